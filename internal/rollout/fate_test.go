package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// called returns a request for one desktop, for which a call was made.
func called(at time.Time, image string, more ...rollout.Record) *rollout.State {
	s := rollout.NewState()
	s.Apply(
		rollout.Record{Kind: rollout.KindOpened, At: at, Work: &rollout.Work{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: image}}},
		rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
	s.Apply(more...)
	return s
}

func statusOf(d rollout.Decision) (status events.Status, code string) {
	for _, r := range d.Records {
		for _, g := range r.Outcomes {
			status, code = g.Status, g.Code
		}
	}
	return status, code
}

// ECD may list a desktop and yet refuse to tell its records. A call of unknown
// fate was then asked about for ever.
func TestACallThatECDCannotBeAskedAboutIsGivenUp(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	f := rollout.NewFacts()
	f.Desktops["ecd-1"] = &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"}
	f.Unread["changes/ecd-1"] = rollout.Unread{Code: events.CodeFactsUnavailable, Message: "no"}
	early := rollout.Decide(called(at, "m-new"), rules, f, at.Add(6*time.Hour))
	if status, code := statusOf(early); status != "" || early.Again.IsZero() {
		t.Errorf("after 6 hours it is %s %s, to be looked at again %s; want it open", status, code, early.Again)
	}
	late := rollout.Decide(called(at, "m-new"), rules, f, at.Add(25*time.Hour))
	if status, code := statusOf(late); status != events.StatusFailed || code != events.CodeOutcomeUnknown {
		t.Errorf("after 25 hours it is %q %q, want failed OutcomeUnknown", status, code)
	}
}

// A reset that fails leaves the desktop on the very image that it was to get.
func TestAResetThatFailedIsNotCompleted(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	accepted := []rollout.Record{
		{Kind: rollout.KindEnded, At: at, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}},
		{Kind: rollout.KindSeen, At: at.Add(time.Minute), Desktops: []string{"ecd-1"}},
	}
	for name, c := range map[string]struct {
		records []desktop.Change
		want    events.Status
	}{
		"ECD records a failure": {[]desktop.Change{{From: "m-old", To: "m-old", State: desktop.ChangeFailed, Updated: at.Add(4 * time.Minute)}}, events.StatusFailed},
		"ECD records success":   {[]desktop.Change{{From: "m-old", To: "m-old", State: desktop.ChangeSucceeded, Updated: at.Add(4 * time.Minute)}}, events.StatusCompleted},
		"ECD records no resets": {nil, events.StatusCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			f := rollout.NewFacts()
			f.Desktops["ecd-1"] = &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"}
			f.Changes["ecd-1"] = c.records
			if status, code := statusOf(rollout.Decide(called(at, "", accepted...), rules, f, at.Add(6*time.Minute))); status != c.want {
				t.Errorf("it is %q %q, want %s", status, code, c.want)
			}
		})
	}
}
