package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
)

// What a tick says that nothing proves never allows what a request would not be
// allowed, whatever records it is made of.
func TestWhatIsDoubtedAllowsNothing(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	future := now.AddDate(50, 0, 0)
	op := &Operation{ID: "r1", Desktops: []string{"ecd-a001", "ecd-a002", "ecd-a003"}, Consents: events.Consents}
	id := func(i int) []string { return op.Desktops[i : i+1] }
	s := NewState()
	s.Apply(
		Record{Kind: KindOpened, At: future, Operation: op},
		Record{Kind: KindHolding, At: future, Call: "h", Desktops: id(0)}, Record{Kind: KindHeld, At: future, Call: "h", Desktops: id(0)},
		Record{Kind: KindStopping, At: future, Call: "s", Desktops: id(0)},
		Record{Kind: KindBegun, At: future, Call: "c", Desktops: id(1), From: []string{"m-x"}},
		Record{Kind: KindEnded, At: future, Call: "c", Outcomes: []Group{{Status: events.StatusAccepted, Desktops: id(1)}}},
		Record{Kind: KindSettled, At: future, Outcomes: []Group{{Status: events.StatusDeferred, Code: events.CodeSessionWait, Until: future, Desktops: id(2)}}},
		Record{Kind: KindControl, At: future, Action: events.ActionAbort, Who: "eve"},
		Record{Kind: KindClosed, At: future},
	)
	s.Doubt(now)
	if s.Operation.Consents != nil || s.Closed || s.Aborted != "" || len(s.UnpublishedEvents) > 0 || s.OpenedAt.After(now) {
		t.Errorf("the work is believed: %+v", s)
	}
	for _, x := range s.Desktops {
		if x.Held || x.Entered || x.Stopped || x.Maintenance != nil || x.Power != nil || x.Touched || x.Seen || x.From != "" || len(x.Unpublished) > 0 {
			t.Errorf("%s is believed: %+v", x.ID, x)
		}
		if x.WaitSince.After(now) || x.BegunAt.After(now) || x.CallEnded.After(now) || x.RestsUntil.After(now.Add(MaxTick)) {
			t.Errorf("%s lies in the future: %+v", x.ID, x)
		}
		if !x.Doubted {
			t.Errorf("%s is not doubted", x.ID)
		}
	}
	if x := s.Desktops["ecd-a002"]; x.Phase != Begun {
		t.Errorf("whom it calls begun is in phase %v, and could be begun again", x.Phase)
	}
	if x := s.Desktops["ecd-a001"]; x.Phase != Pending {
		t.Errorf("whom it does not call begun is in phase %v", x.Phase)
	}
	again := NewState()
	again.Apply(s.Compact(slices.Clone(s.Order))...)
	again.Doubt(now)
	if again.Desktops["ecd-a002"].Phase != Begun {
		t.Error("on the way through a second tick it is forgotten that a rebuild may have begun")
	}
}
