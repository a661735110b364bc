package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// A reset keeps the image. Whatever ECD shows of a rebuild to another image was
// somebody else's doing, and must not be reported as ours.
func TestARebuildToAnotherImageIsNotTakenForAReset(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	begun := func() *rollout.State {
		s := rollout.NewState()
		s.Apply(
			rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou"}}},
			rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		return s
	}
	accepted := func() *rollout.State {
		s := begun()
		s.Apply(rollout.Record{Kind: rollout.KindEnded, At: at, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}},
			rollout.Record{Kind: rollout.KindSeen, At: at, Desktops: []string{"ecd-1"}})
		return s
	}
	for name, c := range map[string]struct {
		state  *rollout.State
		status string
		want   events.Status // "" for none
	}{
		"while the call's delivery is unknown, rebuilding": {begun(), desktop.Rebuilding, ""},
		"while the call's delivery is unknown, rebuilt":    {begun(), desktop.Running, ""},
		"after it was accepted and seen rebuilding":        {accepted(), desktop.Running, events.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := rollout.NewFacts()
			f.Desktops["ecd-1"] = just(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: c.status, ImageID: "m-other"})
			f.Changes["ecd-1"] = just([]desktop.Change{{From: "m-old", To: "m-other", State: desktop.ChangeSucceeded, Updated: at.Add(2 * time.Minute)}})
			d := decide(c.state, rules, f, at.Add(4*time.Minute))
			if !d.Need.Empty() {
				t.Fatalf("more facts are asked for: %+v", d.Need)
			}
			var got events.Status
			for _, r := range d.Records {
				for _, g := range r.Outcomes {
					got = g.Status
				}
			}
			if got != c.want {
				t.Errorf("got outcome %q, want %q; records %+v", got, c.want, d.Records)
			}
		})
	}
}

// The rebuild that brought a desktop onto its image may have ended so shortly
// before a reset of it that, by clocks that differ, it could be the reset's.
func TestTheRebuildBeforeAResetIsNotTakenForIt(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	s := rollout.NewState()
	s.Apply(
		rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou"}}},
		rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-new"}})
	f := rollout.NewFacts()
	f.Desktops["ecd-1"] = just(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-new"})
	f.Changes["ecd-1"] = just([]desktop.Change{{From: "m-old", To: "m-new", State: desktop.ChangeSucceeded, Updated: at.Add(-30 * time.Second)}})
	d := decide(s, rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}, f, at.Add(2*time.Minute))
	if status, _ := statusOf(d); !d.Need.Empty() || status != "" {
		t.Errorf("got %+v, want nothing settled", d)
	}
}

// A desktop that is Rebuilding to another image, for another request, is not
// ours, though it still shows the image that both found it on.
func TestARebuildOnItsWayToAnotherImageIsNotTakenForOurs(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for _, image := range []string{"", "m-new"} {
		s := rollout.NewState()
		s.Apply(
			rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: image}}},
			rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		f := rollout.NewFacts()
		f.Desktops["ecd-1"] = just(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Rebuilding, ImageID: "m-old"})
		f.Changes["ecd-1"] = just([]desktop.Change{{From: "m-old", To: "m-other", State: desktop.Changing, Updated: at.Add(-10 * time.Second)}})
		d := decide(s, rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}, f, at.Add(2*time.Minute))
		if !d.Need.Empty() || len(d.Records) > 0 {
			t.Errorf("image %q: got %+v, want nothing settled", image, d)
		}
	}
}
