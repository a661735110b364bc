package ecd

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/localcloud/fault"
)

// maxRebuilds is how many desktops one RebuildDesktops call takes.
const maxRebuilds = 20

type rebuildAnswer struct {
	id
	RebuildResults []rebuildResult
}

type rebuildResult struct{ Code, Message, DesktopId string }

// rebuildDesktops checks everything first: a call that is refused starts nothing.
func (s *Server) rebuildDesktops(c *call) (any, error) {
	region, ids, err := c.regional("DesktopId", maxRebuilds)
	if err != nil {
		return nil, err
	}
	r, err := s.readRebuild(c, region)
	if err != nil {
		return nil, err
	}
	entries, err := s.find(ids, region, "DesktopId")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := fits(r.image, e); err != nil {
			return nil, err
		}
		if err := s.speaks(c.params["Language"], r.image, e); err != nil {
			return nil, err
		}
	}
	answer := rebuildAnswer{id: c.id(), RebuildResults: []rebuildResult{}}
	for _, e := range entries {
		kind := fault.Kind("")
		if c.fault != nil && (c.fault.Desktop == "" || c.fault.Desktop == e.ID) {
			kind = c.fault.Kind
		}
		var result rebuildResult
		if kind != fault.Desktop {
			result = s.rebuildOne(c, e, r)
		}
		if kind == fault.Desktop || kind == fault.DesktopAfter {
			result = injected(c.fault, e.ID)
		}
		if kind != fault.Missing {
			answer.RebuildResults = append(answer.RebuildResults, result)
		}
	}
	return answer, nil
}

// readRebuild reads everything but the desktops. AfterStatus has no published
// list; Running and Stopped are the two that a desktop can be left in.
func (s *Server) readRebuild(c *call, region string) (rebuild, error) {
	r := rebuild{flipEarly: s.opts.FlipEarly, lag: s.opts.Lag}
	var err error
	if r.operateType, err = c.oneOf("OperateType", "replace"); err != nil {
		return r, err
	}
	if _, err = c.oneOf("Language", "en-US", "zh-HK", "zh-CN", "ja-JP"); err != nil {
		return r, err
	}
	if r.afterStatus, err = c.oneOf("AfterStatus", Running, Stopped); err != nil {
		return r, err
	}
	or(&r.afterStatus, Running)
	if name := c.params["ImageId"]; name != "" {
		r.image = s.imageByID(name)
		if r.image == nil || !r.image.in(region) {
			return r, notFound("ImageId", name)
		}
		if r.image.Status != Available {
			return r, refuse(http.StatusBadRequest, "IncorrectImageStatus", "The current status of the image does not support this operation.")
		}
	}
	return r, nil
}

// fits refuses what the documentation forbids. Source: RebuildDesktops.
func fits(image *picture, e *entry) error {
	if image == nil {
		return nil
	}
	if image.GPU != (e.GPU > 0) {
		return refuse(http.StatusBadRequest, "InvalidImageId.GpuMismatch", "An image with GPU and a desktop without, or the reverse, do not fit: %s.", e.ID)
	}
	if !strings.EqualFold(image.OS, e.OS) && !mainland(e.RegionID) {
		return refuse(http.StatusBadRequest, "InvalidImageId.OsTypeMismatch", "The OS of a desktop cannot be changed in %s: %s.", e.RegionID, e.ID)
	}
	return nil
}

// speaks refuses a language that the image does not take: custom images take
// none, and Linux takes English only. Which code the service answers is not
// published. Source: RebuildDesktops, "Language".
func (s *Server) speaks(language string, image *picture, e *entry) error {
	if image == nil {
		image = s.imageByID(e.ImageID)
	}
	switch {
	case language == "":
		return nil
	case image == nil || image.Type != "SYSTEM":
		return invalid("Language", "it is for system images only")
	case language != "en-US" && strings.EqualFold(image.OS, "linux"):
		return invalid("Language", "Linux supports English only")
	}
	return nil
}

// rebuildOne starts the rebuild of one desktop, if its status allows it.
func (s *Server) rebuildOne(c *call, e *entry, r rebuild) rebuildResult {
	if e.Status != Running && e.Status != Stopped {
		return rebuildResult{"IncorrectDesktopStatus", "The current status of the desktop does not support this operation.", e.ID}
	}
	w := Wipe{
		AccountID: s.account,
		DesktopID: e.ID, RegionID: e.RegionID,
		ImageID: e.ImageID, PreviousImageID: e.ImageID,
		Reset:     r.image == nil,
		At:        c.now,
		RequestID: c.requestID,
	}
	changesOS := false
	if r.image != nil {
		w.ImageID = r.image.ID
		changesOS = !strings.EqualFold(r.image.OS, e.OS)
	}
	w.DataLost = e.hasData() && (changesOS || r.operateType == "replace")
	erased := changesOS || r.operateType == "replace" && !s.opts.DataSnapshotsSurvive
	for _, snap := range e.Snapshots {
		if snap.Disk != "SYSTEM" && snap.at(c.now).Status == snapshotDone {
			w.DataSaved = append(w.DataSaved, snap.ID)
		}
	}
	e.Snapshots = slices.DeleteFunc(e.Snapshots, func(s Snapshot) bool {
		gone := s.Disk == "SYSTEM" || erased
		if gone {
			w.SnapshotsLost++
		}
		return gone
	})
	for _, session := range e.Sessions {
		w.Users = append(w.Users, session.User)
	}
	s.wipes = append(s.wipes, w)
	e.rebuild(r, c.now)
	return rebuildResult{s.opts.SuccessCode, "", e.ID}
}

func injected(f *fault.Rule, desktop string) rebuildResult {
	result := rebuildResult{f.Code, f.Message, desktop}
	or(&result.Code, "IncorrectDesktopStatus")
	or(&result.Message, "The current status of the desktop does not support this operation.")
	return result
}

// find returns the desktops of these ids; one that is not there fails the call.
// kind names the parameter in the error's code. Calls are regional: a desktop of
// another region is answered with NotFindDesktopId.
func (s *Server) find(ids []string, region, kind string) ([]*entry, error) {
	out := make([]*entry, 0, len(ids))
	for _, name := range ids {
		e := s.entry(name)
		switch {
		case e == nil || e.Ghost:
			return nil, notFound(kind, name)
		case e.RegionID != region && kind == "DesktopId":
			return nil, refuse(http.StatusNotFound, "NotFindDesktopId", "The desktop %q is not in %s.", name, region)
		case e.RegionID != region:
			return nil, notFound(kind, name)
		}
		out = append(out, e)
	}
	return out, nil
}

type recordsAnswer struct {
	id
	ImageModifiedRecords []recordShown
	NextToken            string
	TotalCount           int
}

type recordShown struct {
	ImageId, ImageName       string
	NewImageId, NewImageName string
	Status                   int
	Reason                   string `json:",omitempty"`
	UpdateTime               string
}

// describeImageModifiedRecords shows oldest first; the vendor promises no order.
func (s *Server) describeImageModifiedRecords(c *call) (any, error) {
	region, err := c.region()
	if err != nil {
		return nil, err
	}
	name, err := c.required("DesktopId")
	if err != nil {
		return nil, err
	}
	p, err := c.page("DescribeImageModifiedRecords", 100)
	if err != nil {
		return nil, err
	}
	entries, err := s.find([]string{name}, region, "DesktopId")
	if err != nil {
		return nil, err
	}
	records := entries[0].Records
	numbers := make([]int, len(records))
	for i := range numbers {
		numbers[i] = i + 1
	}
	part, next := cut(numbers, p, func(n int) int { return n })
	shown := make([]recordShown, 0, len(part))
	for _, n := range part {
		shown = append(shown, s.showRecord(records[n-1]))
	}
	return recordsAnswer{c.id(), shown, next, len(records)}, nil
}

func (s *Server) showRecord(r Record) recordShown {
	return recordShown{
		ImageId: r.ImageID, ImageName: s.imageName(r.ImageID),
		NewImageId: r.NewImageID, NewImageName: s.imageName(r.NewImageID),
		Status: r.Status, Reason: r.Reason,
		UpdateTime: r.Updated.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
}

func (s *Server) imageName(image string) string {
	if p := s.imageByID(image); p != nil {
		return p.Name
	}
	return ""
}

// Time formats of the service; it is not of one mind.
func minutes(t time.Time) string { return layout(t, "2006-01-02T15:04Z") }
func seconds(t time.Time) string { return layout(t, "2006-01-02T15:04:05Z") }

func layout(t time.Time, as string) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(as)
}
