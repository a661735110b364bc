package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// Nothing is asked of ECD before a request's time, and it is told once that it waits.
func TestARequestIsLeftAloneUntilItsTime(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	due := now.Add(time.Hour)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: time.Hour}
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: now, Operation: &rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"}, NotBefore: due,
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}})
	for _, c := range []struct {
		at      time.Time
		records int
		asks    bool
	}{{now, 1, false}, {now.Add(time.Minute), 0, false}, {due.Add(-time.Second), 0, false}, {due, 0, true}} {
		d := rollout.Decide(s, rules, rollout.NewFacts(), c.at)
		if len(d.Records) != c.records || d.Need.Empty() == c.asks {
			t.Errorf("at %s: %d records and it asks for %+v, want %d records, asks: %v", c.at.Format(time.TimeOnly), len(d.Records), d.Need, c.records, c.asks)
		}
		if !c.asks && !d.Next.Equal(due) {
			t.Errorf("at %s: it looks again at %s, want %s", c.at.Format(time.TimeOnly), d.Next, due)
		}
		s.Apply(d.Records...)
	}
	if x := s.Desktops["ecd-1"]; x.WaitCode != events.CodeScheduled || !x.WaitFirst.IsZero() {
		t.Errorf("it waits for %s since %s, want Scheduled, which does not count as waiting", x.WaitCode, x.WaitFirst)
	}
}

// Whoever stops a request that has begun nothing has every desktop refused at once, and the
// request ended: nothing is asked of ECD, and nothing begins when its time comes.
func TestARequestForLaterCanBeStopped(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: time.Hour}
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: now, Operation: &rollout.Operation{ID: "r1", Desktops: []string{"ecd-1", "ecd-2"}, NotBefore: now.Add(time.Hour),
		Spec: desktop.Spec{RegionID: "cn-hangzhou"}}}) // a reset
	may := func(action, want string) {
		t.Helper()
		got := ""
		if err := rollout.Allow(s, action, 0); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", action, got, want)
		}
	}
	may(events.ActionAbort, "")
	may(events.ActionRollback, "it has not changed any desktop; abort ends it before it does")
	s.Apply(rollout.Record{Kind: rollout.KindControl, At: now, Action: events.ActionAbort, Who: "ada", Message: "m1"})
	d := rollout.Decide(s, rules, rollout.NewFacts(), now.Add(time.Minute))
	if !d.Need.Empty() || len(d.Begin) > 0 || !d.Next.IsZero() {
		t.Errorf("got %+v, want nothing that is asked, begun or waited for", d)
	}
	s.Apply(d.Records...)
	for _, x := range s.Desktops {
		if want := (rollout.Result{Status: events.StatusRefused, Code: events.CodeAborted, Message: "the request was aborted by ada"}); x.Last != want {
			t.Errorf("%s: got %+v, want %+v", x.ID, x.Last, want)
		}
	}
	if !s.Closed {
		t.Error("it has not ended")
	}
	may(events.ActionAbort, "it has ended")
	may(events.ActionRollback, "it has not changed any desktop")
}
