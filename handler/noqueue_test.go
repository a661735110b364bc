package handler

import (
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// Without a queue nothing comes by itself: what a delivery could still do must be asked
// for. That a request's summary was not published did not count, nor that a desktop was
// left in maintenance mode, or stopped. (simulation: not-told-1883236242293205)
func TestWithoutAQueueADeliveryIsAskedForAsLongAsItCanDoAnything(t *testing.T) {
	begun := []rollout.Record{{Kind: rollout.KindBegun, Call: "c", Desktops: []string{"ecd-0000"}}}
	accepted := append(begun, rollout.Record{Kind: rollout.KindEnded, Call: "c",
		Outcomes: []rollout.Group{{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: []string{"ecd-0000"}}}})
	published := rollout.Record{Kind: rollout.KindPublished, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-0000"}}}}
	holding := rollout.Record{Kind: rollout.KindHolding, Call: "h", Desktops: []string{"ecd-0000"}}
	stopping := rollout.Record{Kind: rollout.KindStopping, Call: "h", Desktops: []string{"ecd-0000"}}
	for _, c := range []struct {
		name    string
		records []rollout.Record
		want    bool
	}{
		{"it is to be begun", nil, true},
		{"its delivery is unknown", begun, true},
		{"it is accepted, which is not published", accepted, true},
		{"it is accepted", append(accepted, published), false},
		{"it is accepted, and in maintenance mode because of us", append([]rollout.Record{holding}, append(accepted, published)...), true},
		{"it is accepted, and was stopped", append([]rollout.Record{stopping}, append(accepted, published)...), true},
		{"the summary is not published", append(accepted, published, rollout.Record{Kind: rollout.KindClosed}), true},
		{"all is over", append(accepted, published, rollout.Record{Kind: rollout.KindClosed},
			rollout.Record{Kind: rollout.KindPublished, Events: []string{"finished/4"}}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newOutboxBench(t, 0, 1, nil)
			b.job.journal = nil
			b.job.id = "r2"
			jobs := &jobs{invocation: b.invocation, store: b.store, cache: &cache{}}
			if err := jobs.open(b.job); err != nil {
				t.Fatal(err)
			}
			b.write(append([]rollout.Record{{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r2", Desktops: []string{"ecd-0000"}}}}, c.records...)...)
			var open bool
			b.job.journal.Look(func(s *rollout.State) { open = s.Open() })
			sc := &scheduler{invocation: b.invocation, again: &redeliveries{}}
			sc.noQueue(b.job, open)
			if got := sc.again.err() != nil; got != c.want {
				var unpublished []rollout.Event
				b.job.journal.Look(func(s *rollout.State) { unpublished = s.UnpublishedEvents })
				t.Errorf("another delivery is asked for: %t, want %t (unpublished %v)", got, c.want, unpublished)
			}
		})
	}
}
