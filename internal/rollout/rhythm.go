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

// took sums up how long rebuilds took, from the call to when somebody saw the end.
type took struct{ n, all, least time.Duration }

// arrived folds that desktops were seen rebuilt.
func (s *State) arrived(r *Record) {
	for _, id := range r.Desktops {
		d := s.Desktops[id]
		if d == nil {
			continue
		}
		if d.ArrivedAt.IsZero() && !d.Doubtful {
			d := r.At.Sub(d.BegunAt)
			if s.took.n == 0 || d < s.took.least {
				s.took.least = d
			}
			s.took.n, s.took.all = s.took.n+1, s.took.all+d
		}
		d.ArrivedAt = r.At
	}
}

// rhythm returns that of the fleet's rollout. The wider the times that rebuilds took lie
// apart, the longer the step: else somebody would always be due. A desktop is looked at
// when it is expected to have ended at the latest.
func (t took) rhythm(f *fleet.Fleet) rhythm {
	if f == nil || t.n == 0 {
		return rhythm{}
	}
	step := min(max(t.all/t.n-t.least, leastStep), mostStep).Truncate(4 * time.Second)
	return rhythm{first: min(t.least, f.Strategy.Expected) - leastStep, step: step, stays: f.Strategy.Check.Stable}
}

// tooEarly leaves an accepted desktop alone that cannot have arrived yet, or cannot have
// been there for long enough.
func (v *view) tooEarly(x *Desktop) (step, bool) {
	due := x.BegunAt.Add(v.rhythm.first - v.rhythm.step/4) // a little later is now
	if !x.ArrivedAt.IsZero() {
		due = x.ArrivedAt.Add(v.rhythm.stays)
	}
	if v.now.due(due) {
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
