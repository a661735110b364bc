// Package ecdtest is what regild relies on in Elastic Desktop Service, as a suite
// that every stand-in for it passes: the one of the simulation, and the local cloud's
// behind the real client. What only one of them knows has its tests there.
package ecdtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
)

// An ECD is a stand-in.
type ECD interface {
	handler.ECD
	handler.Snapshotter
	handler.Saver
}

// A Service is a stand-in that has what Desktops and Images list, and nothing else.
// A rebuild of it takes 20 minutes at most, any other change 5 minutes.
type Service struct {
	ECD
	Context context.Context // for its calls
	Pass    func(time.Duration)
}

// Region is where all desktops and images are but one desktop.
const Region = "cn-hangzhou"

// What a Service has.
var (
	Desktops = []desktop.Desktop{
		{ID: "ecd-suite0001", RegionID: Region, ImageID: Old, Status: desktop.Running, DataDisks: 1, Tags: map[string]string{"ring": "canary"}},
		{ID: "ecd-suite0002", RegionID: Region, ImageID: Old, Status: desktop.Running, Tags: map[string]string{"ring": "broad"}},
		{ID: "ecd-suite0003", RegionID: Region, ImageID: Old, Status: desktop.Stopped, Tags: map[string]string{}},
		{ID: "ecd-suite0004", RegionID: "cn-shanghai", ImageID: "m-suite-far", Status: desktop.Running, Tags: map[string]string{}},
	}
	// Images are all named golden, and a day apart.
	Images = []desktop.Image{
		{ID: Old, Name: "golden", RegionID: Region, Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{ID: New, Name: "golden", RegionID: Region, Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
		{ID: "m-suite-far", Name: "golden", RegionID: "cn-shanghai", Created: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)},
	}
)

// Ids of images, and of what there is not.
const (
	Old, New      = "m-suite-old", "m-suite-new"
	first, second = "ecd-suite0001", "ecd-suite0002"
	stopped       = "ecd-suite0003"
	elsewhere     = "ecd-suite0004"
	absent        = "ecd-suite9999"
)

// Cases are the suite: each is called with a Service of its own.
var Cases = map[string]func(*testing.T, Service){
	"facts are of one region, and what is not there is absent": facts,
	"images of a name come newest first":                       images,
	"a rebuild ends on its image and leaves a record":          rebuilds,
	"a desktop that is being rebuilt is denied for itself":     denied,
	"a desktop that is not there keeps all from being rebuilt": whole,
	"a rebuild leaves a desktop in the status asked for":       after,
	"a desktop stops and starts, and one alone keeps no other": power,
	"maintenance may be repeated":                              maintenance,
	"a command ends with its exit code":                        command,
	"a snapshot is found by its name":                          snapshot,
}

func (s Service) desktop(t *testing.T, id string) desktop.Desktop {
	t.Helper()
	list, err := s.Desktops(s.Context, Region, []string{id})
	if err != nil || len(list) != 1 {
		t.Fatalf("reading %s: got %+v, %v", id, list, err)
	}
	return list[0]
}

func (s Service) rebuild(t *testing.T, spec desktop.Spec, ids ...string) map[string]desktop.Result {
	t.Helper()
	spec.RegionID = Region
	answer, err := s.Rebuild(s.Context, desktop.Batch{Spec: spec, IDs: ids})
	if err != nil || len(answer.Results) != len(ids) || answer.RequestID == "" {
		t.Fatalf("rebuilding %v: got %+v, %v", ids, answer, err)
	}
	out := map[string]desktop.Result{}
	for _, r := range answer.Results {
		out[r.DesktopID] = r
	}
	return out
}

// refused fails unless a call was refused, with that code, and nothing was done.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	call, ok := errors.AsType[*desktop.CallError](err)
	if !ok || call.Delivery != desktop.Refused || call.Code != code {
		t.Errorf("got %v, want it refused with %s", err, code)
	}
}

func ids[T any](list []T, id func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, id(v))
	}
	slices.Sort(out)
	return out
}

func idOf(d desktop.Desktop) string { return d.ID }

func facts(t *testing.T, s Service) {
	list, err := s.Desktops(s.Context, Region, []string{first, stopped, elsewhere, absent})
	if got := ids(list, idOf); err != nil || !slices.Equal(got, []string{first, stopped}) {
		t.Errorf("desktops: got %v, %v", got, err)
	}
	for _, d := range list {
		want := Desktops[slices.IndexFunc(Desktops, func(w desktop.Desktop) bool { return w.ID == d.ID })]
		if d.RegionID != Region || d.ImageID != Old || d.Status != want.Status {
			t.Errorf("got %+v, want %+v", d, want)
		}
	}
	list, err = s.Select(s.Context, Region, desktop.Selector{})
	if got := ids(list, idOf); err != nil || !slices.Equal(got, []string{first, second, stopped}) {
		t.Errorf("all of a region: got %v, %v", got, err)
	}
	list, err = s.Select(s.Context, Region, desktop.Selector{Tags: map[string]string{"ring": "canary"}})
	if got := ids(list, idOf); err != nil || !slices.Equal(got, []string{first}) {
		t.Errorf("those of a tag: got %v, %v", got, err)
	}
	tags, err := s.Tags(s.Context, Region, []string{first, stopped})
	if err != nil || tags[first]["ring"] != "canary" || len(tags[stopped]) > 0 {
		t.Errorf("tags: got %v, %v", tags, err)
	}
	changes, err := s.Changes(s.Context, Region, first)
	if err != nil || len(changes) > 0 {
		t.Errorf("changes before any rebuild: got %v, %v", changes, err)
	}
}

func images(t *testing.T, s Service) {
	for what, want := range map[string]struct {
		ask  func() ([]desktop.Image, error)
		want []string
	}{
		"by id":                     {func() ([]desktop.Image, error) { return s.Images(s.Context, Region, []string{New, "m-none"}) }, []string{New}},
		"by id, in another region":  {func() ([]desktop.Image, error) { return s.Images(s.Context, "cn-shanghai", []string{New}) }, nil},
		"by name":                   {func() ([]desktop.Image, error) { return s.ImagesNamed(s.Context, Region, "golden") }, []string{New, Old}},
		"by the beginning of names": {func() ([]desktop.Image, error) { return s.ImagesNamed(s.Context, Region, "gold") }, nil},
	} {
		list, err := want.ask()
		var got []string
		for _, i := range list {
			got = append(got, i.ID)
			if i.Status != desktop.ImageAvailable || i.Created.IsZero() {
				t.Errorf("%s: got %+v", what, i)
			}
		}
		if err != nil || !slices.Equal(got, want.want) {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want.want)
		}
	}
}

func rebuilds(t *testing.T, s Service) {
	if r := s.rebuild(t, desktop.Spec{ImageID: New}, first)[first]; !r.Accepted() {
		t.Fatalf("got %+v, want it accepted", r)
	}
	if d := s.desktop(t, first); d.Status != desktop.Rebuilding {
		t.Errorf("at once: got %+v, want it rebuilding", d)
	}
	s.Pass(20 * time.Minute)
	if d := s.desktop(t, first); d.Status != desktop.Running || d.ImageID != New {
		t.Errorf("later: got %+v, want it running on %s", d, New)
	}
	if d := s.desktop(t, second); d.ImageID != Old {
		t.Errorf("a desktop that was not named: got %+v", d)
	}
	s.rebuild(t, desktop.Spec{ImageID: Old}, first)
	s.Pass(20 * time.Minute)
	changes, err := s.Changes(s.Context, Region, first)
	if err != nil || len(changes) != 2 || changes[0].From != New || changes[0].To != Old || changes[1].From != Old || changes[1].To != New ||
		changes[0].State != desktop.ChangeSucceeded || !changes[0].Updated.After(changes[1].Updated) {
		t.Errorf("its record, newest first: got %+v, %v", changes, err)
	}
}

func denied(t *testing.T, s Service) {
	s.rebuild(t, desktop.Spec{ImageID: New}, first)
	got := s.rebuild(t, desktop.Spec{ImageID: New}, first, second)
	if r := got[first]; r.Accepted() || r.Code != "IncorrectDesktopStatus" {
		t.Errorf("one that is being rebuilt: got %+v", r)
	}
	if r := got[second]; !r.Accepted() {
		t.Errorf("the other of the call: got %+v", r)
	}
}

func whole(t *testing.T, s Service) {
	_, err := s.Rebuild(s.Context, desktop.Batch{Spec: desktop.Spec{RegionID: Region, ImageID: New}, IDs: []string{first, absent}})
	refused(t, err, "InvalidDesktopId.NotFound")
	if d := s.desktop(t, first); d.Status != desktop.Running {
		t.Errorf("got %+v, want nothing begun", d)
	}
}

func after(t *testing.T, s Service) {
	for id, status := range map[string]string{first: desktop.Stopped, stopped: desktop.Running} {
		s.rebuild(t, desktop.Spec{ImageID: New, AfterStatus: status}, id)
		s.Pass(20 * time.Minute)
		if d := s.desktop(t, id); d.Status != status || d.ImageID != New {
			t.Errorf("got %+v, want it %s on %s", d, status, New)
		}
	}
}

func power(t *testing.T, s Service) {
	refused(t, s.Stop(s.Context, Region, []string{first, stopped}), "IncorrectDesktopStatus")
	refused(t, s.Start(s.Context, Region, []string{second}), "IncorrectDesktopStatus")
	refused(t, s.Stop(s.Context, Region, []string{absent}), "InvalidDesktopId.NotFound")
	if d := s.desktop(t, first); d.Status != desktop.Running {
		t.Errorf("got %+v, want nothing begun", d)
	}
	for _, step := range []struct {
		do   func(context.Context, string, []string) error
		id   string
		want string
	}{{s.Stop, first, desktop.Stopped}, {s.Start, first, desktop.Running}, {s.Start, stopped, desktop.Running}} {
		if err := step.do(s.Context, Region, []string{step.id}); err != nil {
			t.Fatal(err)
		}
		s.Pass(5 * time.Minute)
		if d := s.desktop(t, step.id); d.Status != step.want {
			t.Errorf("got %+v, want it %s", d, step.want)
		}
	}
}

func maintenance(t *testing.T, s Service) {
	for _, on := range []bool{true, true, false, false} {
		if err := s.Maintain(s.Context, Region, []string{first, second}, on); err != nil {
			t.Errorf("on %v: %v", on, err)
		}
	}
	refused(t, s.Maintain(s.Context, Region, []string{first, absent}, true), "InvalidDesktopId.NotFound")
	if r := s.rebuild(t, desktop.Spec{ImageID: New}, first)[first]; !r.Accepted() {
		t.Errorf("got %+v, want it accepted", r)
	}
}

func command(t *testing.T, s Service) {
	started, err := s.Run(s.Context, Region, []string{first, second}, "exit 0", "RunPowerShellScript", time.Minute)
	if err != nil || len(started) != 1 {
		t.Fatalf("got %v, %v", started, err)
	}
	s.Pass(5 * time.Minute)
	ended, err := s.Invocations(s.Context, Region, started[0])
	if err != nil || len(ended) != 2 {
		t.Fatalf("got %+v, %v", ended, err)
	}
	for _, i := range ended {
		if !i.Done || i.ExitCode != 0 || i.Status != "Success" {
			t.Errorf("got %+v", i)
		}
	}
	// Whether the call is refused for a desktop that does not run, no page says; the command does not succeed there.
	started, err = s.Run(s.Context, Region, []string{stopped}, "exit 0", "RunPowerShellScript", time.Minute)
	if err != nil {
		refused(t, err, "IncorrectDesktopStatus")
		return
	}
	s.Pass(5 * time.Minute)
	ended, err = s.Invocations(s.Context, Region, started[0])
	if err != nil || len(ended) != 1 || ended[0].Status == "Success" {
		t.Errorf("on a desktop that is stopped: got %+v, %v", ended, err)
	}
}

func snapshot(t *testing.T, s Service) {
	id, err := s.CreateSnapshot(s.Context, Region, first, "regild-suite")
	if err != nil || id == "" {
		t.Fatalf("got %q, %v", id, err)
	}
	s.Pass(20 * time.Minute)
	found, err := s.Snapshots(s.Context, Region, []string{first, second})
	if err != nil || len(found) != 2 || len(found[second]) != 0 || len(found[first]) != 1 {
		t.Fatalf("got %+v, %v", found, err)
	}
	if got := found[first][0]; got.ID != id || got.Name != "regild-suite" || got.State != desktop.SnapshotDone {
		t.Errorf("got %+v", got)
	}
}
