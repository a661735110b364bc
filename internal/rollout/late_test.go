package rollout_test

import (
	"reflect"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A record that is written twice, or too late, or by an instance that knew less, changes
// nothing.
func TestWhatIsWrittenTooLateChangesNothing(t *testing.T) {
	wave := rollout.Record{Kind: rollout.KindWave, At: at(0), Wave: 1, Waves: 2, Name: "canary", Size: 4, Of: 3, Desktops: []string{"ecd-1", "ecd-2"}}
	more := wave
	more.Desktops = []string{"ecd-2", "ecd-3"}
	begun := rollout.Record{Kind: rollout.KindBegun, At: at(1), Call: "c", Desktops: []string{"ecd-1", "ecd-2"}, From: []string{"m-old"}}
	accepted := rollout.Record{Kind: rollout.KindEnded, At: at(2), Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}}
	end := rollout.Record{Kind: rollout.KindWaveEnded, At: at(9), Wave: 1}
	tick := rollout.Record{Kind: rollout.KindTick, At: at(9), N: 4, Until: at(10), Indexed: true}
	base := []rollout.Record{wave, more, begun, accepted, settled(at(3), events.StatusDeferred, events.CodeThrottled), end, tick}
	for name, late := range map[string]rollout.Record{
		"a wave that is there":              {Kind: rollout.KindWave, At: at(11), Wave: 1, Waves: 3, Name: "again", Size: 9, Desktops: []string{"ecd-9"}},
		"the end of a wave that has ended":  {Kind: rollout.KindWaveEnded, At: at(11), Wave: 1},
		"the end of a wave that is not yet": {Kind: rollout.KindWaveEnded, At: at(11), Wave: 2},
		"an earlier tick":                   {Kind: rollout.KindTick, At: at(11), N: 3, Until: at(99)},
		"the same tick":                     {Kind: rollout.KindTick, At: at(11), N: 4, Until: at(99)},
		"a second opening":                  {Kind: rollout.KindOpened, At: at(11), Operation: &rollout.Operation{ID: "other"}},
		"an opening of nothing":             {Kind: rollout.KindOpened, At: at(11)},
		"the end of another call":           {Kind: rollout.KindEnded, At: at(11), Call: "d", Outcomes: accepted.Outcomes},
		"a refusal of what was accepted":    settled(at(11), events.StatusRefused, events.CodeSessionActive),
		"a deferral of what was accepted":   settled(at(11), events.StatusDeferred, events.CodeThrottled),
		"what nobody knows":                 {Kind: rollout.KindBegun, At: at(11), Call: "x", Desktops: []string{"ecd-nobody"}},
		"the acceptance of what is":         {Kind: rollout.KindSettled, At: at(11), Outcomes: accepted.Outcomes},
	} {
		s, want := release(), release()
		want.Apply(base...)
		s.Apply(append(base[:len(base):len(base)], late)...)
		s.UnpublishedEvents, want.UnpublishedEvents = nil, nil
		if name == "what nobody knows" { // but that something is begun
			s.Waiting = want.Waiting
		}
		a, b := reflect.ValueOf(*s), reflect.ValueOf(*want)
		for f := range a.Type().Fields() {
			if f.IsExported() && !reflect.DeepEqual(a.FieldByIndex(f.Index).Interface(), b.FieldByIndex(f.Index).Interface()) {
				t.Errorf("%s changes %s: %+v, want %+v", name, f.Name, a.FieldByIndex(f.Index), b.FieldByIndex(f.Index))
			}
		}
	}
	s := release()
	s.Apply(base...)
	if got := s.Desktops["ecd-2"].From; got != "" || s.Desktops["ecd-1"].From != "m-old" {
		t.Errorf("ecd-2 was on %q, which no record says", got)
	}
	if w := s.Wave(); len(w.Desktops) != 3 || w.Of != 3 || len(base[0].Desktops) != 2 {
		t.Errorf("the wave has %v of %d; want three, and the record as it was", w.Desktops, w.Of)
	}
	if !s.Indexed || s.TickN != 4 {
		t.Errorf("got tick %d, indexed %t", s.TickN, s.Indexed)
	}
	s.Apply(rollout.Record{Kind: rollout.KindTick, N: 5})
	if !s.Indexed {
		t.Error("a later tick makes it forget that it is in the index")
	}
}

// What was told is struck off the list by its number, in any order.
func TestWhatWasToldIsStruckOffByItsNumber(t *testing.T) {
	s := asked()
	for i, code := range []string{events.CodeThrottled, events.CodeStatusWait, events.CodeSessionWait} {
		s.Apply(settled(at(float64(i)), events.StatusDeferred, code))
	}
	s.Apply(rollout.Record{Kind: rollout.KindPublished, Outcomes: []rollout.Group{{Status: events.StatusDeferred, N: 2, Desktops: []string{"ecd-1"}}}})
	left := s.Desktops["ecd-1"].Unpublished
	if len(left) != 2 || left[0].N != 1 || left[1].N != 3 {
		t.Errorf("left are %+v, want the first and the third", left)
	}
}

// A desktop that was begun where nothing proves it may be refused, and one that is
// pending may be accepted only if a call may have been carried out.
func TestWhatBecomesOfADesktopFollowsFromWhereItStands(t *testing.T) {
	s := asked()
	s.Apply(settled(at(1), events.StatusAccepted, events.CodeReconciled))
	if got := s.Desktops["ecd-1"].Phase; got != rollout.Pending {
		t.Errorf("a desktop for which no call was made is in phase %d by an acceptance", got)
	}
	begun := func() *rollout.State {
		s := asked()
		s.Apply(rollout.Record{Kind: rollout.KindBegun, At: at(1), Call: "c", Desktops: []string{"ecd-1"}})
		return s
	}
	s = begun()
	s.Apply(settled(at(2), events.StatusSkipped, events.CodeAlreadyOnImage))
	if got := s.Desktops["ecd-1"].Phase; got != rollout.Begun {
		t.Errorf("a desktop that was begun is in phase %d by being skipped", got)
	}
	s = begun()
	s.Doubt(at(2))
	s.Apply(settled(at(2), events.StatusSkipped, events.CodeAlreadyOnImage))
	if got := s.Desktops["ecd-1"].Phase; got != rollout.Final {
		t.Errorf("a desktop that an unsigned tick calls begun is in phase %d by being skipped", got)
	}
}
