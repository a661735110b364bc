package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// An ECD answers what a plan has to know of Elastic Desktop Service. It has no
// method that changes anything. *ecd.Client is one.
type ECD interface {
	handler.Describer
	handler.Snapshotter
}

// A Release is what a plan is made of.
type Release struct {
	ID      string
	ImageID string
	Fleet   string
}

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
		Spec: f.Spec(r.ImageID)}
	rules := rollout.Rules{Regions: []string{f.Region}, Fleets: fleets, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}
	return handler.Plan(ctx, e, e, rules, o, now)
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
