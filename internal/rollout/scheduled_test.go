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
