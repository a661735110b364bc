package rollout

import (
	"reflect"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A tick without a journal carries when a desktop was seen since its call, and when somebody
// looked at it late or saw it on its image, as far as that is asked for in its phase.
func TestWhatWasSeenOfADesktopIsCarried(t *testing.T) {
	at := func(d time.Duration) Moment { return MomentOf(noon.Add(d)) }
	type look struct {
		kind Kind
		at   time.Time
	}
	seen, late := look{KindSeen, noon}, look{KindLate, noon.Add(lateLook)}
	for name, c := range map[string]struct {
		x    Desktop
		want []look
	}{
		"accepted, and looked at late":     {Desktop{Phase: Accepted, Touched: true, Seen: true, AcceptedAt: at(0), SeenAt: at(lateLook)}, []look{seen, late}},
		"accepted, and looked at in time":  {Desktop{Phase: Accepted, Touched: true, Seen: true, AcceptedAt: at(0), SeenAt: at(lateLook - 1)}, []look{seen}},
		"begun again":                      {Desktop{Phase: Begun, Touched: true, Seen: true, AcceptedAt: at(-time.Hour), SeenAt: at(0)}, []look{seen}},
		"never accepted":                   {Desktop{Phase: Pending, Seen: true, SeenAt: at(0)}, []look{seen}},
		"begun, and shown idle":            {Desktop{Phase: Begun, IdleAt: at(0)}, nil},
		"saved, and not arrived":           {Desktop{Phase: Accepted, Saved: &Saved{}}, nil},
		"saved, and arrived":               {Desktop{Phase: Accepted, Saved: &Saved{}, ArrivedAt: at(0)}, []look{{KindArrived, noon}}},
		"saved and arrived, and has ended": {Desktop{Phase: Final, Touched: true, Saved: &Saved{}, ArrivedAt: at(0)}, nil},
	} {
		c.x.ID = "ecd-1"
		var all compaction
		all.looks(&c.x)
		var got []look
		for _, r := range all.parts[partAgain].records {
			got = append(got, look{r.Kind, r.At})
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// A tick without a journal carries since when ECD does not list a desktop: in whatever phase it
// is, that it was missing is noted last.
func TestThatADesktopIsMissingIsCarried(t *testing.T) {
	for name, x := range map[string]*Desktop{
		"pending":  {Phase: Pending, Held: true},
		"begun":    {Phase: Begun, Attempt: 1, Call: "c", BegunAt: MomentOf(noon)},
		"accepted": {Phase: Accepted, Touched: true, Attempt: 1, Call: "c", BegunAt: MomentOf(noon), AcceptedAt: MomentOf(noon)},
		"final":    {Phase: Final, Held: true, DoneAt: MomentOf(noon), Last: Result{Status: events.StatusRefused}},
	} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, At: noon, Operation: &Operation{ID: "r1", Desktops: []string{"ecd-1"}}})
		x.ID, x.Wave, x.MissingAt = "ecd-1", 1, MomentOf(noon.Add(time.Minute))
		s.Desktops["ecd-1"] = x
		carried := NewState()
		carried.Apply(s.Compact(s.Order)...)
		if got := carried.Desktops["ecd-1"]; got.MissingAt != x.MissingAt || got.Phase != x.Phase {
			t.Errorf("%s: carried as %v, missing since %v", name, got.Phase, got.MissingAt.Time())
		}
	}
}

// A pending desktop that was seen elsewhere waits for an answer that says where it is.
func TestADesktopThatWasSeenElsewhereIsSettledOnlyWhereItShows(t *testing.T) {
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: "m-new"}})
	for _, c := range []struct {
		now  *desktop.Desktop
		seen bool
		want bool
	}{
		{nil, true, false},
		{&desktop.Desktop{ID: "ecd-1"}, true, false},
		{&desktop.Desktop{ID: "ecd-1", ImageID: "m-old"}, true, true},
		{&desktop.Desktop{ID: "ecd-1", ImageID: "m-old"}, false, false},
	} {
		if _, got := v.seenElsewhere(&Desktop{ID: "ecd-1", Phase: Pending, Seen: c.seen}, c.now); got != c.want {
			t.Errorf("%+v, seen %t: settled %t, want %t", c.now, c.seen, got, c.want)
		}
	}
}

// Who failed after a call is not called again before ECD's record of the failure is old; who
// failed without one is.
func TestWhoFailedAfterACallIsNotCalledAgainAtOnce(t *testing.T) {
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: "m-new"}})
	for _, c := range []struct {
		called bool
		ago    time.Duration
		want   bool
	}{
		{true, 2*clockSkew - 1, true},
		{true, 2 * clockSkew, false},
		{false, 0, false},
	} {
		x := &Desktop{ID: "ecd-1", Phase: Pending, Touched: c.called, DoneAt: MomentOf(noon.Add(-c.ago))}
		if _, got := v.obstructed(candidate{Desktop: x}); got != c.want {
			t.Errorf("called %t, failed %s ago: waits %t, want %t", c.called, c.ago, got, c.want)
		}
	}
	if _, got := v.obstructed(candidate{Desktop: &Desktop{ID: "ecd-1", Phase: Pending, Touched: true}}); got {
		t.Error("who has not ended waits")
	}
}
