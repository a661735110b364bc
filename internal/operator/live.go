package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// An ECD answers what a plan has to know of Elastic Desktop Service. It has no
// method that changes anything. *ecd.Client is one; calls may overlap, and an
// error is a *desktop.CallError.
type ECD interface {
	Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error)
	Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error)
	Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error)
	Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error)
	Snapshots(ctx context.Context, region string, ids []string) (map[string][]desktop.Snapshot, error)
}

// A Release is what a plan is made of.
type Release struct {
	ID      string
	ImageID string
	Fleet   string
}

// maxLooks bounds how often facts are asked for before a plan is whole.
const maxLooks = 250

// PlanLive plans a release over a fleet as the function would now, from what ECD
// says of the real desktops. It changes nothing, there or anywhere.
func PlanLive(ctx context.Context, e ECD, fleets fleet.Fleets, r Release, now time.Time) (events.Plan, error) {
	f, err := FleetNamed(fleets, r.Fleet)
	if err != nil {
		return events.Plan{}, err
	}
	images, err := e.Images(ctx, f.Region, []string{r.ImageID})
	if err != nil {
		return events.Plan{}, fmt.Errorf("reading image %s: %w", r.ImageID, err)
	}
	if len(images) == 0 {
		return events.Plan{}, fmt.Errorf("ECD lists no image %s in %s", r.ImageID, f.Region)
	}
	if !f.Follows(images[0].Name) {
		return events.Plan{}, fmt.Errorf("fleet %s does not follow image %s (%s); it follows %s", f.Name, r.ImageID, images[0].Name, strings.Join(f.Images, ", "))
	}
	o := rollout.Operation{ID: r.ID + "/" + f.Name, Fleet: f.Name, ReleaseID: r.ID, ImageName: images[0].Name, ImageMade: images[0].Created,
		Spec: desktop.Spec{AccountID: f.Account.ID, RegionID: f.Region, ImageID: r.ImageID, OperateType: f.Rebuild.OperateType,
			Language: f.Rebuild.Language, AfterStatus: f.Rebuild.AfterStatus}}
	rules := rollout.Rules{Regions: []string{f.Region}, Fleets: fleets, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}
	l := &placeReader{ECD: e, fleets: fleets, account: f.Account.ID, region: f.Region, now: now, facts: rollout.NewFacts()}
	for range maxLooks {
		p, need, unread := rollout.Preview(o, rules, l.facts, now)
		if unread != nil {
			return events.Plan{}, fmt.Errorf("the plan is not whole: %s: %s", unread.Code, unread.Message)
		}
		if need.Empty() {
			return p, nil
		}
		if err := l.look(ctx, need); err != nil {
			return events.Plan{}, err
		}
	}
	return events.Plan{}, errors.New("the plan asks for more and more facts; this is a fault of regild's")
}

// FleetNamed returns a fleet by its name.
func FleetNamed(fleets fleet.Fleets, name string) (fleet.Fleet, error) {
	if f, there := fleets.Named(name); there {
		return f, nil
	}
	var names []string
	for _, f := range fleets {
		names = append(names, f.Name)
	}
	return fleet.Fleet{}, fmt.Errorf("there is no fleet %q; there are %s", name, strings.Join(names, ", "))
}

// A placeReader reads facts of one place.
type placeReader struct {
	ECD
	fleets          fleet.Fleets
	account, region string
	now             time.Time // as of which everything counts as read
	facts           *rollout.Facts
}

// look reads what is needed. What cannot be read fails the whole: a plan that
// leaves something open would be taken for one that does not.
func (l *placeReader) look(ctx context.Context, need rollout.Need) error {
	for _, name := range need.Members {
		members, err := Members(ctx, l.ECD, l.fleets, name)
		if err != nil {
			return err
		}
		l.facts.Members[name] = rollout.Read(l.now, members)
	}
	for _, part := range []struct {
		ids  []string
		read func(context.Context, []string) error
	}{{need.Desktops, l.readDesktops}, {need.Tags, l.readTags}, {need.Images, l.readImages}, {need.Snapshots, l.readSnapshots}} {
		if len(part.ids) == 0 {
			continue
		}
		if err := part.read(ctx, part.ids); err != nil {
			return err
		}
	}
	if len(need.Changes)+len(need.Checks) > 0 {
		return errors.New("the plan asks for what became of rebuilds; this is a fault of regild's")
	}
	return nil
}

func (l *placeReader) readDesktops(ctx context.Context, ids []string) error {
	list, err := l.Desktops(ctx, l.region, ids)
	if err != nil {
		return fmt.Errorf("reading desktops in %s: %w", l.region, err)
	}
	for _, id := range ids {
		l.facts.Desktops[id] = rollout.Read[*desktop.Desktop](l.now, nil) // asked, and not listed unless it follows
	}
	for i := range list {
		list[i].AccountID = l.account
		list[i].Tags = nil // DescribeDesktops leaves them out
		l.facts.Desktops[list[i].ID] = rollout.Read(l.now, &list[i])
	}
	return nil
}

func (l *placeReader) readTags(ctx context.Context, ids []string) error {
	tags, err := l.Tags(ctx, l.region, ids)
	if err != nil {
		return fmt.Errorf("reading tags in %s: %w", l.region, err)
	}
	for _, id := range ids {
		l.facts.Tags[id] = rollout.Read(l.now, tagsOr(tags[id]))
	}
	return nil
}

func (l *placeReader) readImages(ctx context.Context, ids []string) error {
	list, err := l.Images(ctx, l.region, ids)
	if err != nil {
		return fmt.Errorf("reading images in %s: %w", l.region, err)
	}
	for _, id := range ids {
		l.facts.Images[id] = rollout.Read[*desktop.Image](l.now, nil)
	}
	for i := range list {
		l.facts.Images[list[i].ID] = rollout.Read(l.now, &list[i])
	}
	return nil
}

func (l *placeReader) readSnapshots(ctx context.Context, ids []string) error {
	snapshots, err := l.Snapshots(ctx, l.region, ids)
	if err != nil {
		return fmt.Errorf("reading snapshots in %s: %w", l.region, err)
	}
	for _, id := range ids {
		l.facts.Snapshots[id] = rollout.Read(l.now, snapshots[id])
	}
	return nil
}

// Members returns the desktops that belong to a fleet today: those that it
// selects and no fleet before it in the file.
func Members(ctx context.Context, e ECD, fleets fleet.Fleets, name string) ([]desktop.Desktop, error) {
	f, err := FleetNamed(fleets, name)
	if err != nil {
		return nil, err
	}
	list, err := e.Select(ctx, f.Region, f.Select)
	if err != nil {
		return nil, fmt.Errorf("reading the desktops of fleet %s: %w", name, err)
	}
	for i := range list {
		list[i].AccountID = f.Account.ID
	}
	if fleets.NeedTags(f.Place()) {
		var ids []string
		for _, d := range list {
			if d.Tags == nil {
				ids = append(ids, d.ID)
			}
		}
		tags := map[string]map[string]string{}
		if len(ids) > 0 {
			if tags, err = e.Tags(ctx, f.Region, ids); err != nil {
				return nil, fmt.Errorf("reading the tags of fleet %s: %w", name, err)
			}
		}
		for i := range list {
			if list[i].Tags == nil {
				list[i].Tags = tagsOr(tags[list[i].ID])
			}
		}
	}
	return slices.DeleteFunc(list, func(d desktop.Desktop) bool {
		of := fleets.Of(d)
		return of == nil || of.Name != name
	}), nil
}

func tagsOr(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

// A Diff is a plan beside the last rollout of the same fleet.
type Diff struct {
	Against string   `json:"against"` // that rollout's id
	Added   []Differ `json:"added"`   // not in that rollout
	Gone    []Differ `json:"gone"`    // in that rollout, and not in the plan
	Changed []Differ `json:"changed"` // in another wave, or another end is to be expected
	// Unnamed is how many desktops that rollout had whose wave never began: its
	// journal does not name them, so that they are among Added if they still belong.
	Unnamed int `json:"unnamed,omitempty"`
}

// A Differ is one desktop that is not as it was. Waves are 0 and texts empty
// where it was not, or is not, in the fleet.
type Differ struct {
	ID       string `json:"id"`
	WasWave  int    `json:"wasWave,omitempty"`
	IsWave   int    `json:"isWave,omitempty"`
	WasState string `json:"wasState,omitempty"` // its last outcome's status then
	WasCode  string `json:"wasCode,omitempty"`
	IsAction string `json:"isAction,omitempty"` // what is planned for it now
	IsCode   string `json:"isCode,omitempty"`
}

// DiffOf compares a plan with a rollout.
func DiffOf(p events.Plan, last *rollout.State) Diff {
	d := Diff{Against: last.Operation.ID, Added: []Differ{}, Gone: []Differ{}, Changed: []Differ{}, Unnamed: max(0, last.Size-len(last.Desktops))}
	in := map[string]bool{}
	for _, wave := range p.Waves {
		for _, x := range wave.Desktops {
			in[x.ID] = true
			now := Differ{ID: x.ID, IsWave: wave.N, IsAction: x.Action, IsCode: x.Code}
			was := last.Desktops[x.ID]
			if was == nil {
				d.Added = append(d.Added, now)
				continue
			}
			now.WasWave, now.WasState, now.WasCode = was.Wave, string(was.Last.Status), was.Last.Code
			if was.Wave != wave.N || !alike(was.Last.Status, x.Action) {
				d.Changed = append(d.Changed, now)
			}
		}
	}
	for _, id := range last.Order {
		if was := last.Desktops[id]; !in[id] {
			d.Gone = append(d.Gone, Differ{ID: id, WasWave: was.Wave, WasState: string(was.Last.Status), WasCode: was.Last.Code})
		}
	}
	return d
}

// alike says whether what is planned is what came out the last time.
func alike(was events.Status, now string) bool {
	switch now {
	case events.PlanRebuild:
		return was == events.StatusCompleted
	case events.PlanSkip:
		return was == events.StatusSkipped
	}
	return was == events.StatusRefused
}
