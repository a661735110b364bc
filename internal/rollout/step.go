package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// A step is what is decided about one desktop, or about a rollout as a whole. The
// zero step decides nothing.
type step struct {
	needs  []missingFact // what must be known before more can be decided
	unread *Unread       // why something could not be read; only plans look at it

	outcome *outcome      // what becomes of the desktop, if that changes
	marks   []mark        // what was seen of it, to be written down
	begin   bool          // its rebuild may be begun
	acts    []Act         // to be done to it
	notify  *notification // to be shown to its users

	next       time.Time // when to look again at the latest; zero: need not
	unfinished bool      // the desktop is not Final after this step
	unrestored bool      // the desktop is Final and is still to be restored
	givenUp    bool      // it could not be restored for so long that an operator has to do it
	takesPlace bool      // counts towards maxUnavailable though nothing is done to it yet

	records []Record // of the rollout as a whole
	goBack  bool     // the rollout goes back by itself
}

// An outcome is what becomes of a desktop, and when that was decided.
type outcome struct {
	Result
	until time.Time // deferred: when it is looked at again
	at    time.Time
}

// final says whether nothing follows on the outcome.
func (o outcome) final() bool {
	return o.Status != events.StatusDeferred && o.Status != events.StatusAccepted
}

// A mark is one thing that was seen of a desktop, and when.
type mark struct {
	kind Kind
	at   time.Time
}

// A missingFact is one thing that must be read.
type missingFact struct {
	list func(*Need) *[]string
	key  string
	from time.Time // of a History; else zero
}

// with returns both steps as one. A desktop has one outcome: the first.
func (s step) with(o step) step {
	s.needs, s.marks, s.records, s.acts = both(s.needs, o.needs), both(s.marks, o.marks), both(s.records, o.records), both(s.acts, o.acts)
	if s.unread == nil {
		s.unread = o.unread
	}
	if s.outcome == nil {
		s.outcome = o.outcome
	}
	if s.notify == nil {
		s.notify = o.notify
	}
	s.next = Soonest(s.next, o.next)
	s.begin, s.unfinished, s.unrestored = s.begin || o.begin, s.unfinished || o.unfinished, s.unrestored || o.unrestored
	s.givenUp, s.takesPlace, s.goBack = s.givenUp || o.givenUp, s.takesPlace || o.takesPlace, s.goBack || o.goBack
	return s
}

// both returns both lists as one; a step is made of another one at most once, so that
// a list may be appended to.
func both[T any](a, b []T) []T {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

// marked says whether the step has a mark of the kind.
func (s step) marked(k Kind) bool {
	return slices.ContainsFunc(s.marks, func(m mark) bool { return m.kind == k })
}

// inPlace says whether the desktop takes one of the places at once by this step.
func (s step) inPlace() bool {
	return s.takesPlace || s.begin || slices.ContainsFunc(s.acts, func(a Act) bool { return a.What == Hold || a.What == Stop || a.What == Save })
}

// inOrder asks rules one after the other until one is done with x, and joins their
// steps.
func inOrder[T any](x T, rules ...func(T) (step, bool)) (s step, done bool) {
	for _, rule := range rules {
		more, done := rule(x)
		if s = s.with(more); done {
			return s, true
		}
	}
	return s, false
}

// Soonest returns the earlier of two times, of which zero is never.
func Soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// look leaves a rollout as it is and looks again at t.
func look(t time.Time) step { return step{next: t} }

// unfinished leaves a desktop as it is and looks again at t.
func unfinished(t time.Time) step { return step{unfinished: true, next: t} }

// soon leaves a desktop as it is, but for what is to be done to it, and looks again in
// half a minute.
func (v *view) soon(acts ...Act) step {
	s := unfinished(v.now.in(30 * time.Second))
	s.acts = acts
	return s
}

// lookLater leaves a desktop as it is and looks again the later the longer it takes.
func (v *view) lookLater(since time.Time) step { return unfinished(v.now.backoff(since)) }

// marks notes what was seen of a desktop at t.
func marks(k Kind, t time.Time) step { return step{marks: []mark{{k, t}}} }

// settle gives a desktop a final outcome that follows from the facts.
func (v *view) settle(status events.Status, code, format string, args ...any) step {
	return step{outcome: &outcome{Result: Result{status, code, fmt.Sprintf(format, args...)}, at: v.now.t}}
}

// accept notes that ECD shows, at the time at which it was asked, that a rebuild
// of ours began whose answer was lost.
func (v *view) accept(readAt time.Time, message string) step {
	at := Later(v.now.t, readAt)
	s := unfinished(at.Add(statusLag))
	s.outcome = &outcome{Result: Result{events.StatusAccepted, events.CodeReconciled, message}, at: at}
	return s
}

// postpone leaves a desktop for later. The world is told when the reason is new.
func (v *view) postpone(x *Desktop, code, format string, args ...any) step {
	if x.WaitCode == code {
		return v.lookLater(x.WaitSince.Time())
	}
	s := v.soon()
	s.outcome = v.deferred(code, s.next, format, args...)
	return s
}

// postponeUntil leaves a desktop for later, when that is known.
func (v *view) postponeUntil(x *Desktop, code string, until time.Time, format string, args ...any) step {
	s := unfinished(until)
	if x.WaitCode != code || !x.RestsUntil.Equal(until) {
		s.outcome = v.deferred(code, until, format, args...)
	}
	return s
}

func (v *view) deferred(code string, until time.Time, format string, args ...any) *outcome {
	return &outcome{Result: Result{events.StatusDeferred, code, fmt.Sprintf(format, args...)}, until: until, at: v.now.t}
}

// write adds a record about the rollout as a whole.
func (v *view) write(r Record) step {
	r.At = v.now.t
	return step{records: []Record{r}}
}
