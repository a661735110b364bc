package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/regild/regild/internal/fleet"
)

// A rhythm is what a rollout has learned of how long ECD takes for a rebuild: from
// when on a desktop is read again, and how often. So few of the looks find nothing,
// and many desktops share one. The zero rhythm has learned nothing.
type rhythm struct {
	first time.Duration // from the call on until a desktop is read
	least time.Duration // until the fastest have ended
	most  time.Duration // until most have ended
	step  time.Duration // between two looks of the rollout
	stays time.Duration // from its arrival on until it is read again
}

// Bounds of what is learned.
const (
	leastStep = 8 * time.Second
	mostStep  = 90 * time.Second
	// sameTime is how much sooner than it is due a desktop is read along.
	sameTime = 4 * time.Second
	// certain is from how many desktops on a rebuild that took longer than those before
	// counts in full: one alone may be slow.
	certain = 20
	// worthALook is how many desktops that have ended are worth the calls of a look.
	worthALook = 80
)

// looked is when the rollout was looked at: in the invocation that was the last to put a
// tick on the queue, and in the one before.
type looked struct {
	by         string
	at, before time.Time
}

// ticked folds that an invocation puts a tick on the queue: before it reads anything, or
// else at its end.
func (l *looked) ticked(r *Record) {
	if r.By != l.by {
		l.by, l.at, l.before = r.By, r.At, l.at
	}
}

// last returns when an invocation before that one has looked.
func (l *looked) last(by string) time.Time {
	if by == l.by {
		return l.before
	}
	return l.at
}

// took sums up how long rebuilds took, from the call to when somebody saw the end.
type took struct {
	least  time.Duration // the fastest of late; 0: none has ended
	gap    time.Duration // how much faster they may be: so much sooner somebody looks
	apart  time.Duration // how much longer the others of late took than the fastest
	newest time.Time     // the latest call of which a desktop has arrived
}

// arrived folds that desktops were seen rebuilt. Of those that were called since the latest
// call of which one had arrived the last took the least.
func (s *State) arrived(r *Record) {
	var all time.Duration
	n, fresh, newest := 0, 0, s.took.newest
	for _, id := range r.Desktops {
		d := s.Desktops[id]
		if d == nil {
			continue
		}
		if d.ArrivedAt.IsZero() && !d.Doubtful {
			n, all, newest = n+1, all+r.At.Sub(d.BegunAt.Time()), Later(newest, d.BegunAt.Time())
			if d.BegunAt.After(s.took.newest) {
				fresh++
			}
		}
		d.ArrivedAt = MomentOf(r.At)
	}
	if n == 0 {
		return
	}
	if fresh > 0 {
		s.took.newest = newest
		s.took.learn(r.At.Sub(newest), s.looked.last(r.By).Sub(newest), fresh)
	}
	s.took.apart = (3*s.took.apart + max(all/time.Duration(n)-s.took.least, 0)) / 4
}

// learn learns from the fastest of n rebuilds that were called together: it took that
// long at most, and longer than missed, when it was looked at and had not ended. If
// missed is too early for a look nobody knows how much faster it was.
func (t *took) learn(took, missed time.Duration, n int) {
	switch known := missed > 0 && missed >= t.first()-sameTime; {
	case t.least == 0:
		t.least, t.gap = took, max(took-max(missed, 0), 2*leastStep)/2
	case !known && took <= t.least:
		t.least, t.gap = took, 3*t.gap
	case !known: // it was looked at late
	case missed >= t.least: // they take longer than they did
		t.least += (took - t.least) * time.Duration(min(n, certain)) / certain
		t.gap = (took - missed) / 2
	default:
		t.least, t.gap = min(t.least, took), min(t.gap, took-missed)/2
	}
	t.gap = min(max(t.gap, leastStep), t.least/2)
}

// first is from the call on until a desktop is read.
func (t *took) first() time.Duration { return t.least - t.gap }

// rhythm returns that of the fleet's rollout, of which so many are rebuilt at once. The
// wider the times that rebuilds took lie apart, the longer the step: else somebody would
// always be due. But it is no longer than it takes until enough have ended. A desktop is
// looked at when it is expected to have ended at the latest.
func (t took) rhythm(f *fleet.Fleet, atOnce int) rhythm {
	if t.least == 0 {
		return rhythm{}
	}
	least, stays := min(t.least, f.Strategy.Expected), f.Strategy.Check.Stable
	enough := (least + t.apart + stays) * worthALook / time.Duration(max(atOnce, 1))
	step := min(max(min(t.apart, enough), leastStep), mostStep)
	return rhythm{first: min(t.first(), least-leastStep), least: least, most: least + 2*t.apart, step: step.Truncate(time.Second), stays: stays}
}

// tooEarly leaves an accepted desktop alone that cannot have arrived yet, or cannot have
// been there for long enough.
func (v *view) tooEarly(x *Desktop) (step, bool) {
	if !x.ArrivedAt.IsZero() {
		due := x.ArrivedAt.Add(v.rhythm.stays)
		if v.now.due(due) {
			return step{}, false
		}
		return unfinished(v.together(due)), true
	}
	due := x.BegunAt.Add(v.rhythm.first)
	if v.now.due(due.Add(-max(v.rhythm.step/4, sameTime))) {
		return step{}, false
	}
	return unfinished(v.along(Later(due, v.now.in(v.rhythm.step/2)))), true
}

// proven returns when desktops that have arrived have been there for long enough, soonest
// first: the rollout must be looked at then, for each of them leaves a place.
func (v *view) proven() []time.Time {
	at := map[time.Time]bool{}
	for _, x := range v.s.Desktops {
		if x.Phase == Accepted {
			at[x.ArrivedAt.Add(v.rhythm.stays)] = true // of one that has not arrived it is long ago, and changes nothing
		}
	}
	return slices.SortedFunc(maps.Keys(at), time.Time.Compare)
}

// together returns when the rollout looks at what has been there for long enough at a
// time: one look serves all for which that is soon.
func (v *view) together(due time.Time) time.Time {
	soon := v.now.in(v.rhythm.step / 2)
	for _, other := range v.leave {
		if other.After(due) && !other.After(soon) {
			due = other
		}
	}
	return due
}

// along returns when the rollout looks for arrivals at about a time: when it has to look
// for something else, if that is not far.
func (v *view) along(at time.Time) time.Time {
	for _, due := range v.leave {
		if d := due.Sub(at).Abs(); d <= v.rhythm.step/2 {
			return due
		}
	}
	return at
}

// lookForArrival looks again at an accepted desktop that has not arrived: when the fastest
// have, while others do, and then the less often the longer it takes.
func (v *view) lookForArrival(x *Desktop) step {
	if v.rhythm.step == 0 {
		return v.lookLater(x.AcceptedAt.Time())
	}
	if least := x.BegunAt.Add(v.rhythm.least); least.After(v.now.in(v.rhythm.step / 2)) {
		return unfinished(v.along(earlier(least, v.now.in(mostStep))))
	}
	over := v.now.t.Sub(x.BegunAt.Add(v.rhythm.most))
	wait := max(v.rhythm.step, min(over, max(mostStep, over/3)))
	return unfinished(v.along(v.now.in(min(wait, 5*time.Minute).Round(time.Second))))
}
