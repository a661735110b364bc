package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// life makes up what a function may have written about a request of some
// desktops: each record fits what was written before it.
func life(r *rand.Rand) *rollout.State {
	ids := []string{"ecd-1", "ecd-2", "ecd-3", "ecd-4"}
	s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: start,
		Operation: &rollout.Operation{ID: "w", Desktops: ids, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}}})
	for n := range 5 + r.IntN(40) {
		at := start.Add(time.Duration(n+1) * time.Minute)
		id := ids[r.IntN(len(ids))]
		d := s.Desktops[id]
		outcome := func(kind rollout.Kind, status events.Status, code string) rollout.Record {
			return rollout.Record{Kind: kind, At: at, Call: d.Call, Outcomes: []rollout.Group{{Status: status, Code: code, Message: "because", Until: at.Add(time.Minute), Desktops: []string{id}}}}
		}
		mark := func(kind rollout.Kind) rollout.Record {
			return rollout.Record{Kind: kind, At: at, Desktops: []string{id}}
		}
		var choices []rollout.Record
		switch d.Phase {
		case rollout.Pending:
			choices = []rollout.Record{
				{Kind: rollout.KindBegun, At: at, Call: fmt.Sprint("c", n), Desktops: []string{id}, From: []string{"m-old"}},
				outcome(rollout.KindSettled, events.StatusDeferred, events.CodeStatusWait), outcome(rollout.KindSettled, events.StatusDeferred, events.CodeSessionWait), outcome(rollout.KindSettled, events.StatusRefused, events.CodeDesktopNotReady),
				mark(rollout.KindHolding), mark(rollout.KindStopping),
				{Kind: rollout.KindAsking, At: at, Call: fmt.Sprint("a", n), Desktops: []string{id}}, mark(rollout.KindUnasked), mark(rollout.KindOnHold),
			}
			if a := d.Ask; a != nil && a.Got != "" {
				choices = append(choices, mark(rollout.KindCleared), mark(rollout.KindNotNow))
			} else if a != nil && a.CallID != "" {
				choices = append(choices, rollout.Record{Kind: rollout.KindAsked, At: at, Call: a.CallID, Invoke: "t-" + a.CallID, Desktops: []string{id}})
			}
		case rollout.Begun:
			if d.CallEnded.IsZero() {
				choices = []rollout.Record{outcome(rollout.KindEnded, events.StatusAccepted, events.CodeSuccess), outcome(rollout.KindEnded, events.StatusDeferred, events.CodeOutcomeUnknown),
					outcome(rollout.KindEnded, events.StatusDeferred, events.CodeThrottled), outcome(rollout.KindEnded, events.StatusDeferred, rollout.IncorrectDesktopStatus)}
			} else {
				choices = []rollout.Record{mark(rollout.KindNotBegun), outcome(rollout.KindSettled, events.StatusAccepted, events.CodeReconciled)}
			}
		case rollout.Accepted:
			choices = []rollout.Record{outcome(rollout.KindSettled, events.StatusCompleted, events.CodeCompleted), outcome(rollout.KindSettled, events.StatusFailed, events.CodeRebuildFailed), mark(rollout.KindSeen)}
		case rollout.Final:
			choices = []rollout.Record{mark(rollout.KindReleased), mark(rollout.KindStarted)}
		}
		s.Apply(choices[r.IntN(len(choices))])
		if len(d.Unpublished) > 0 && r.IntN(2) == 0 {
			o := d.Unpublished[0]
			s.Apply(rollout.Record{Kind: rollout.KindPublished, At: at, Outcomes: []rollout.Group{{Status: o.Status, N: o.N, Desktops: []string{id}}}})
		}
	}
	return s
}

// vital is what a function without a journal must not forget of a desktop from
// one tick to the next: how far it is, since when, what is ours to undo, and
// which ends the world was not told of.
func vital(d *rollout.Desktop) string {
	v := fmt.Sprintf("phase %d attempt %d held %t stopped %t", d.Phase, d.Attempt, d.Held, d.Stopped)
	if d.Attempt > 0 {
		v += " from " + d.From
	}
	switch d.Phase {
	case rollout.Pending:
		v += fmt.Sprintf(" waits for %q since %s until %s", d.WaitCode, d.WaitSince, d.RestsUntil) + fmt.Sprint(d.Waits)
		if d.Ask != nil {
			v += fmt.Sprintf(" asked %+v", *d.Ask)
		}
	case rollout.Begun:
		v += fmt.Sprintf(" begun %s in %s ended %s", d.BegunAt, d.Call, d.CallEnded)
	case rollout.Accepted:
		v += fmt.Sprintf(" accepted %s seen %t", d.AcceptedAt, d.Seen)
	case rollout.Final:
		v += fmt.Sprintf(" done %s %v", d.DoneAt, d.Last)
	}
	for _, o := range d.Unpublished {
		if o.Status != events.StatusDeferred {
			v += " untold " + string(o.Status)
		}
	}
	return v
}

func TestWhatATickCarriesFoldsToWhatMatters(t *testing.T) {
	for seed := range uint64(3000) {
		s := life(rand.New(rand.NewPCG(seed, 4)))
		var ids []string
		for _, id := range s.Order {
			if d := s.Desktops[id]; d.Phase != rollout.Final || len(d.Unpublished) > 0 || d.Held || d.Stopped {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		lines, err := rollout.Encode(s.Compact(ids))
		if err != nil {
			t.Fatal(err)
		}
		records, err := rollout.Decode(lines)
		if err != nil {
			t.Fatal(err)
		}
		again := fold(records)
		for _, id := range ids {
			if got, want := vital(again.Desktops[id]), vital(s.Desktops[id]); got != want {
				t.Fatalf("seed %d: %s\n got %s\nwant %s\nfrom %s", seed, id, got, want, lines)
			}
		}
	}
}

// A desktop that waited for its status, was begun and has an unknown delivery has
// two deferrals that the world may not know of. Only one of them says that it
// must not be begun again.
func TestATickDoesNotForgetThatACallsFateIsUnknown(t *testing.T) {
	deferred := func(kind rollout.Kind, code string) rollout.Record {
		return rollout.Record{Kind: kind, At: start, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: code, Desktops: []string{"ecd-1"}}}}
	}
	s := fold([]rollout.Record{
		{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "w", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		deferred(rollout.KindSettled, events.CodeStatusWait),
		{Kind: rollout.KindBegun, At: start, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}},
		deferred(rollout.KindEnded, events.CodeOutcomeUnknown),
	})
	if got := fold(s.Compact([]string{"ecd-1"})).Desktops["ecd-1"].Phase; got != rollout.Begun {
		t.Errorf("got phase %d after a tick, want %d: it would be begun again", got, rollout.Begun)
	}
}

// Outcomes were counted anew after each tick, so that one id stood for several
// happenings.
func TestATickKeepsCountOfOutcomes(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 11))
		s := life(r)
		d := s.Desktops["ecd-1"]
		if d.Phase != rollout.Pending {
			continue
		}
		carried := fold(s.Compact([]string{"ecd-1"}))
		next := rollout.Record{Kind: rollout.KindSettled, At: start.Add(100 * time.Hour), Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: "AnotherReason", Desktops: []string{"ecd-1"}}}}
		s.Apply(next)
		carried.Apply(next)
		last := func(s *rollout.State) int { u := s.Desktops["ecd-1"].Unpublished; return u[len(u)-1].N }
		if got, want := last(carried), last(s); got != want {
			t.Fatalf("seed %d: the next outcome has number %d after a tick, want %d", seed, got, want)
		}
	}
}

// Records of several desktops that say the same are joined. What one of them has twice
// must not come to stand behind what came after it.
func TestATickKeepsTheOrderOfADesktopsRecords(t *testing.T) {
	ids := []string{"ecd-1", "ecd-2", "ecd-3"}
	of := func(kind rollout.Kind, minutes float64, call string) rollout.Record {
		return rollout.Record{Kind: kind, At: at(minutes), Call: call, Desktops: ids}
	}
	saving := func(minutes float64, call string) rollout.Record {
		r := of(rollout.KindSaving, minutes, call)
		r.N = 1
		return r
	}
	saved, throttled := of(rollout.KindSaved, 12, "s2"), of(rollout.KindSaved, 12, "s2")
	saved.Snapshot = "snap"
	throttled.Reason = &events.Reason{Code: events.CodeThrottled, Message: "slower"}
	for name, c := range map[string][]rollout.Record{
		"asked after two times not now": {of(rollout.KindNotNow, 1, ""), of(rollout.KindNotNow, 1, ""), of(rollout.KindAsking, 9, "a"), of(rollout.KindAsked, 9, "a")},
		"saved by the second call":      {saving(1, "s1"), saving(11, "s2"), saved},
		"saved, each found at once":     {saving(11, "s1"), saving(11, "s2"), saved},
		"throttled at the first call":   {saving(11, "s2"), throttled},
		"throttled at the second call":  {saving(1, "s1"), saving(11, "s2"), throttled},
	} {
		t.Run(name, func(t *testing.T) {
			s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "w", Desktops: ids, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}}})
			s.Apply(c...)
			want := *s.Desktops["ecd-1"]
			for range 3 { // ticks
				s = fold(s.Compact(ids))
			}
			for id, got := range s.Desktops {
				if !reflect.DeepEqual(got.Ask, want.Ask) || !reflect.DeepEqual(got.Saved, want.Saved) {
					t.Errorf("%s is carried as %+v %+v, want %+v %+v", id, got.Ask, got.Saved, want.Ask, want.Saved)
				}
			}
		})
	}
}

// What the world was not told before a tick it is told after it, and what comes next
// has the number that it would have had, whatever other desktops have.
func TestATickCarriesWhatIsNotPublished(t *testing.T) {
	ids := []string{"ecd-1", "ecd-2"}
	outcome := func(id string, status events.Status, code string) rollout.Record {
		return rollout.Record{Kind: rollout.KindSettled, At: start, Outcomes: []rollout.Group{{Status: status, Code: code, Desktops: []string{id}}}}
	}
	s := fold([]rollout.Record{
		{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "w", Desktops: ids, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		{Kind: rollout.KindBegun, At: start, Call: "c", Desktops: ids[1:], From: []string{"m-old"}},
		{Kind: rollout.KindEnded, At: start, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Desktops: ids[1:]}}},
		{Kind: rollout.KindPublished, At: start, Outcomes: []rollout.Group{{Status: events.StatusDeferred, N: 1, Desktops: ids[1:]}}},
		{Kind: rollout.KindNotBegun, At: start, Desktops: ids[1:]},
		outcome("ecd-1", events.StatusDeferred, events.CodeStatusWait),
	})
	again := fold(s.Compact(ids))
	for _, s := range []*rollout.State{s, again} {
		s.Apply(outcome("ecd-1", events.StatusDeferred, events.CodeThrottled), outcome("ecd-2", events.StatusDeferred, events.CodeStatusWait))
	}
	for _, id := range ids {
		if got, want := again.Desktops[id].Unpublished, s.Desktops[id].Unpublished; !reflect.DeepEqual(told(got), told(want)) {
			t.Errorf("%s: after a tick %v is to be told, want %v", id, told(got), told(want))
		}
	}
	if got, want := fold(again.Compact(ids)).Desktops["ecd-2"], again.Desktops["ecd-2"]; !reflect.DeepEqual(told(got.Unpublished), told(want.Unpublished)) {
		t.Errorf("after two ticks %v is to be told, want %v", told(got.Unpublished), told(want.Unpublished))
	}
}

func told(list []rollout.Outcome) (out []string) {
	for _, o := range list {
		out = append(out, fmt.Sprintf("%s %s/%d", o.Status, o.Code, o.N))
	}
	return out
}

// A desktop of which nothing is believed is carried as one that waits for what it
// waited for.
func TestATickCarriesWhatIsDoubted(t *testing.T) {
	ids := []string{"ecd-1"}
	s := fold([]rollout.Record{
		{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "w", Desktops: ids, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		{Kind: rollout.KindBegun, At: start, Call: "c", Desktops: ids, From: []string{"m-old"}},
		{Kind: rollout.KindEnded, At: start, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: rollout.IncorrectDesktopStatus, Until: start.Add(time.Minute), Desktops: ids}}},
	})
	s.Doubt(start.Add(time.Minute))
	want := vital(s.Desktops["ecd-1"])
	for n := range 3 {
		if s = fold(s.Compact(ids)); vital(s.Desktops["ecd-1"]) != want {
			t.Errorf("after %d ticks: got %s, want %s", n+1, vital(s.Desktops["ecd-1"]), want)
		}
	}
}
