package rollout

import (
	"time"

	"github.com/regild/regild/internal/fleet"
)

// A rhythm is what a rollout has learned of how long ECD takes for a rebuild: from
// when on a desktop is read again, and how often. So few of the looks find nothing,
// and many desktops share one. The zero rhythm has learned nothing.
type rhythm struct {
	first time.Duration // from the call on until a desktop is read
	step  time.Duration // between two looks of the rollout
	stays time.Duration // from its arrival on until it is read again
}

// Bounds of what is learned.
const (
	// leastStep is also how much sooner than the shortest rebuild up to now a desktop is
	// read: the next may be shorter.
	leastStep = 16 * time.Second
	mostStep  = time.Minute
)

// learn returns the rhythm of a rollout over the fleet. The wider the times that
// rebuilds took lie apart, the longer the step: else somebody would always be due.
// What takes longer than it is expected to teaches nothing, for perhaps only nobody
// could look.
func (s *State) learn(f *fleet.Fleet) rhythm {
	var n, all, least time.Duration
	for _, x := range s.Desktops {
		took := x.ArrivedAt.Sub(x.BegunAt)
		if x.ArrivedAt.IsZero() || x.Doubtful || took > f.Strategy.Expected {
			continue
		}
		if n, all = n+1, all+took; least == 0 || took < least {
			least = took
		}
	}
	if n == 0 {
		return rhythm{}
	}
	return rhythm{first: least - leastStep, step: min(max((all/n-least)/2, leastStep), mostStep).Truncate(4 * time.Second), stays: f.Strategy.Check.Stable}
}

// tooEarly leaves an accepted desktop alone that cannot have arrived yet, or cannot have
// been there for long enough. One that ECD did not list is looked for.
func (v *view) tooEarly(x *Desktop) (step, bool) {
	due := x.BegunAt.Add(v.rhythm.first - v.rhythm.step/4) // a little later is now
	if !x.ArrivedAt.IsZero() {
		due = x.ArrivedAt.Add(v.rhythm.stays)
	}
	if v.rhythm.step == 0 || !x.MissingAt.IsZero() || v.now.due(due) {
		return step{}, false
	}
	return unfinished(v.shared(due)), true
}

// shared returns when the rollout looks at what is due then: one look serves all that
// is due at about the same time.
func (v *view) shared(due time.Time) time.Time {
	if due.Before(v.now.in(v.rhythm.step / 2)) {
		return v.now.in(v.rhythm.step)
	}
	return due
}

// lookForArrival looks again at an accepted desktop that has not arrived.
func (v *view) lookForArrival(x *Desktop) step {
	if v.rhythm.step == 0 {
		return v.lookLater(x.AcceptedAt)
	}
	late := v.now.t.Sub(x.BegunAt.Add(v.rhythm.first))
	return unfinished(v.now.in(min(max(late/3, v.rhythm.step), 5*time.Minute).Round(time.Second)))
}
