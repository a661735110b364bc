package rollout_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
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
	next := rollout.Record{Kind: rollout.KindWave, At: at(12), Wave: 2, Waves: 2, Name: "rest", Size: 4, Desktops: []string{"ecd-4"}}
	call := rollout.Record{Kind: rollout.KindBegun, At: at(12), Call: "d", Desktops: []string{"ecd-4"}, From: []string{"m-old"}}
	late := rollout.Record{Kind: rollout.KindEnded, At: at(13), Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-4"}}}}
	if s.Apply(next, call, end, late); !s.Wave().EndedAt.IsZero() || s.Desktops["ecd-4"].Phase != rollout.Begun {
		t.Errorf("the end of the wave before, or of another call, is taken for that of this one: %+v %+v", s.Wave(), s.Desktops["ecd-4"])
	}
	s = release()
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

// What a retry and a further call leave as it was.
func TestARetryTakesUpThoseAloneThatFailed(t *testing.T) {
	s := one(settled(at(3), events.StatusCompleted, events.CodeCompleted), retry(at(4)))
	if d := s.Desktops["ecd-1"]; d.Phase != rollout.Final || !s.Resumed.IsZero() {
		t.Errorf("a desktop that completed is in phase %d, and the rollout, which did not stand still, was resumed at %s", d.Phase, s.Resumed)
	}
	s = one(settled(at(3), events.StatusFailed, events.CodeCheckFailed), rollout.Record{Kind: rollout.KindHalted, At: at(3), Reason: &events.Reason{}}, retry(at(4)),
		rollout.Record{Kind: rollout.KindBegun, At: at(5), Call: "d", Desktops: []string{"ecd-1"}, From: []string{"m-new"}})
	if d := s.Desktops["ecd-1"]; d.From != "m-old" || d.Phase != rollout.Begun || !s.Resumed.Equal(at(4)) {
		t.Errorf("it came from %q, phase %d, resumed at %s; want the image before the first call", d.From, d.Phase, s.Resumed)
	}
	s.Apply(rollout.Record{Kind: rollout.KindEnded, At: at(6), Call: "d", Outcomes: []rollout.Group{{Status: events.StatusFailed, Desktops: []string{"ecd-1"}}}})
	if s.Desktops["ecd-1"].Doubtful {
		t.Error("a call that was refused counts as one of which nobody knows whether it was carried out")
	}
	s = asked()
	s.Apply(rollout.Record{Kind: rollout.KindBegun, At: at(1), Call: "c", Desktops: []string{"ecd-1"}}, settled(at(2), events.StatusFailed, events.CodeOutcomeUnknown))
	if d := s.Desktops["ecd-1"]; !d.Doubtful || len(s.Undo()) != 0 {
		t.Errorf("its delivery was unknown: doubtful %t; it goes back to %v, which no record says", d.Doubtful, s.Undo())
	}
}

// A wait goes on as long as somebody looks at least once an hour, and ends with what
// somebody ordered.
func TestHowLongADesktopHasWaited(t *testing.T) {
	wait := func(minutes float64, code string) rollout.Record {
		r := settled(at(minutes), events.StatusDeferred, code)
		r.Outcomes[0].Until = at(minutes + 1)
		return r
	}
	s := asked()
	s.Apply(wait(0, events.CodeThrottled), wait(61, events.CodeThrottled))
	if d := s.Desktops["ecd-1"]; !d.WaitSince.Equal(at(0)) {
		t.Errorf("looked at after an hour, it has waited since %s, want since the first time", d.WaitSince)
	}
	s.Apply(wait(122.1, events.CodeThrottled))
	if d := s.Desktops["ecd-1"]; !d.WaitSince.Equal(at(122.1)) || !d.WaitFirst.Equal(at(0)) {
		t.Errorf("looked at after more than an hour, it has waited since %s, in all since %s", d.WaitSince, d.WaitFirst)
	}
	s.Apply(wait(123, events.CodeSessionWait), wait(124, events.CodeThrottled))
	if d := s.Desktops["ecd-1"]; len(d.Waits) != 1 || d.Waits[0].Code != events.CodeSessionWait {
		t.Errorf("a read that failed leaves the reasons %+v, want that somebody uses it", d.Waits)
	}
	s.Apply(wait(200, events.CodeSessionWait))
	if d := s.Desktops["ecd-1"]; !d.WaitSince.Equal(at(123)) {
		t.Errorf("its user has been waited for since %s, want since the first time", d.WaitSince)
	}
	s.Apply(wait(201, events.CodeFrozen))
	if d := s.Desktops["ecd-1"]; len(d.Waits) != 0 || !d.WaitFirst.IsZero() {
		t.Errorf("frozen it waits for %+v since %s, want that nothing before counts", d.Waits, d.WaitFirst)
	}
}

func TestNamesOfOutcomesAndRollouts(t *testing.T) {
	if a, b := rollout.OutcomeID("r1", "ecd-1", events.StatusDeferred, 1), rollout.OutcomeID("r1", "ecd-1", events.StatusDeferred, 2); a != "r1/ecd-1/deferred" || b != "r1/ecd-1/deferred/2" {
		t.Errorf("got %s and %s", a, b)
	}
	for id, want := range map[string]string{"v1/office": "v1 office true", "v1/office/rollback": "v1 office true", "a/b/office": "a/b office true", "/office": " office true", "office": "  false"} {
		release, fleet, ok := rollout.SplitID(id)
		if got := fmt.Sprint(release, " ", fleet, " ", ok); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	for n, want := range map[int]int{511: 511, 512: 512, 513: 515} {
		if got := rollout.Cut(strings.Repeat("x", n)); len(got) != want {
			t.Errorf("a message of %d bytes is cut to %d, want %d", n, len(got), want)
		}
	}
}

// What differs between deliveries of one message does not make it another; what is
// asked for does.
func TestWhatIsTheSame(t *testing.T) {
	request := rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	release := rollout.Operation{ID: "v1/office", Fleet: "office", Spec: request.Spec}
	for name, c := range map[string]struct {
		a, b rollout.Operation
		with func(*rollout.Operation)
		want bool
	}{
		"a request by another way": {request, request, func(op *rollout.Operation) { op.Via = &events.Via{Door: "queues/b"} }, true},
		"a request of somebody": {request, request, func(op *rollout.Operation) {
			op.By, op.Why, op.ImageName, op.ImageMade, op.First = "ada", "so", "win", start, true
		}, true},
		"a request with a consent":     {request, request, func(op *rollout.Operation) { op.Consents = []string{events.ConsentReset} }, false},
		"a request and a release":      {request, release, func(*rollout.Operation) {}, false},
		"a release with a consent":     {release, release, func(op *rollout.Operation) { op.Consents = []string{events.ConsentReset} }, true},
		"a release of another image":   {release, release, func(op *rollout.Operation) { op.ImageID = "m-other" }, false},
		"a release in another region":  {release, release, func(op *rollout.Operation) { op.RegionID = "cn-beijing" }, false},
		"a release and its rollback":   {release, release, func(op *rollout.Operation) { op.Undoes = "v1/office" }, false},
		"a release by another account": {release, release, func(op *rollout.Operation) { op.By = "ada" }, true},
	} {
		c.with(&c.b)
		if a, b := c.a.Same(c.b), c.b.Same(c.a); a != c.want || b != c.want {
			t.Errorf("%s: the same %t and %t, want %t", name, a, b, c.want)
		}
	}
}
