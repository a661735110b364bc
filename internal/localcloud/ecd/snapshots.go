package ecd

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Statuses of a snapshot. Source: DescribeSnapshots, "Status".
const (
	snapshotDone   = "ACCOMPLISHED"
	snapshotUnder  = "PROGRESSING"
	snapshotFailed = "FAILED"
)

// sticks is the value of EndsAs that makes a thing never end.
const sticks = "stick"

// snapshotName is what a snapshot may be called. Source: CreateSnapshot.
var snapshotName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{1,126}$`)

// A snapshotView is a snapshot at some moment.
type snapshotView struct{ Status, Progress string }

func (s Snapshot) at(now time.Time) snapshotView {
	switch {
	case s.Status != snapshotUnder:
		return snapshotView{s.Status, "100%"}
	case s.Ready.IsZero() || now.Before(s.Ready):
		return snapshotView{snapshotUnder, "37%"}
	case s.EndsAs == fails:
		return snapshotView{snapshotFailed, "37%"}
	}
	return snapshotView{snapshotDone, "100%"}
}

type createdSnapshot struct {
	id
	SnapshotId string
}

// createSnapshot begins a snapshot of one disk. Two snapshots may have one name.
func (s *Server) createSnapshot(c *call) (any, error) {
	region, err := c.region()
	if err != nil {
		return nil, err
	}
	name, err := c.required("DesktopId")
	if err != nil {
		return nil, err
	}
	disk := strings.ToUpper(c.params["SourceDiskType"])
	if disk != "SYSTEM" && disk != "DATA" {
		return nil, invalid("SourceDiskType", "it must be system or data")
	}
	title, err := c.required("SnapshotName")
	if err != nil {
		return nil, err
	}
	if !snapshotName.MatchString(title) || strings.HasPrefix(title, "auto") {
		return nil, invalid("SnapshotName", "it must be 2 to 127 letters, digits, underscores and hyphens, begin with a letter, and not with auto")
	}
	entries, err := s.find([]string{name}, region, "DesktopId")
	if err != nil {
		return nil, err
	}
	e := entries[0]
	switch {
	case e.Status != Running && e.Status != Stopped:
		return nil, refuse(http.StatusBadRequest, "IncorrectDesktopStatus", "The current status of the desktop %s does not support this operation.", e.ID)
	case disk == "DATA" && !e.hasData():
		return nil, invalid("SourceDiskType", "the desktop has no such disk")
	}
	e.saves++
	snap := Snapshot{ID: fmt.Sprintf("s-%s-new%d", e.ID, e.saves), Name: title, Disk: disk, Status: snapshotUnder, Created: c.now, EndsAs: e.Snapshotting.EndsAs}
	if snap.EndsAs != sticks {
		snap.Ready = c.now.Add(e.Snapshotting.Takes)
	}
	e.Snapshots = append(slices.Clip(e.Snapshots), snap)
	return createdSnapshot{c.id(), snap.ID}, nil
}

type snapshotsAnswer struct {
	id
	Snapshots []snapshotShown
	NextToken string
}

type snapshotShown struct {
	SnapshotId, SnapshotName     string
	SnapshotType, SourceDiskType string
	Status, Progress             string
	SourceDiskSize               string
	DesktopId, DesktopName       string
	DesktopStatus, CreationTime  string
}

// describeSnapshots shows a region's snapshots, or those of one desktop; one
// that is not there has none.
func (s *Server) describeSnapshots(c *call) (any, error) {
	region, p, err := c.paged("DescribeSnapshots", 100)
	if err != nil {
		return nil, err
	}
	kind, err := c.oneOf("SnapshotType", "all", "auto", "user")
	if err != nil {
		return nil, err
	}
	type numbered struct {
		shown    snapshotShown
		position int
	}
	var found []numbered
	n := 0
	for _, e := range s.order {
		e.settle(c.now)
		for _, snap := range e.Snapshots {
			n++
			made := "USER"
			if snap.Auto {
				made = "AUTO"
			}
			if e.RegionID != region || e.Ghost || !is(c.params["DesktopId"], e.ID) || !is(c.params["SourceDiskType"], snap.Disk) ||
				!is(c.params["SnapshotId"], snap.ID) || !is(c.params["SnapshotName"], snap.Name) || kind != "" && kind != "all" && !strings.EqualFold(kind, made) {
				continue
			}
			view := snap.at(c.now)
			found = append(found, numbered{snapshotShown{
				SnapshotId: snap.ID, SnapshotName: snap.Name, SnapshotType: made, SourceDiskType: snap.Disk, Status: view.Status,
				SourceDiskSize: e.gib(snap.Disk), Progress: view.Progress, DesktopId: e.ID, DesktopName: e.Name, DesktopStatus: e.Status,
				CreationTime: seconds(snap.Created),
			}, n})
		}
	}
	part, next := cut(found, p, func(f numbered) int { return f.position })
	answer := snapshotsAnswer{id: c.id(), Snapshots: []snapshotShown{}, NextToken: next}
	for _, f := range part {
		answer.Snapshots = append(answer.Snapshots, f.shown)
	}
	return answer, nil
}

// gib returns the size of the first disk of a type, in GiB.
func (d Desktop) gib(disk string) string {
	for _, k := range d.Disks {
		if k.Type == disk {
			return fmt.Sprint(k.GiB)
		}
	}
	return ""
}
