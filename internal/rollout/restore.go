package rollout

import "github.com/regild/regild/internal/desktop"

// restoreFinal undoes what we did to a desktop besides rebuilding it, and only
// that. It gives up after a day, but not before it has tried.
func (v *view) restoreFinal(x *Desktop) step {
	if !x.ours() {
		return step{}
	}
	over := v.now.due(x.DoneAt.Add(giveUp))
	if over && x.restoring() {
		return step{givenUp: true}
	}
	s, progress := v.restore(x)
	s.givenUp = over && progress == stuck
	s.unrestored = !s.givenUp
	return s
}

// A progress says what restore came to.
type progress int

const (
	stuck  progress = iota // the desktop cannot be read, or is in a status that must pass
	waits                  // more must be known, or a call must have ended
	acting                 // it is restored, or needs nothing
)

// restore takes a desktop out of maintenance mode and starts it, as far as we put
// it there and stopped it. One that ECD no longer lists, or that is running again
// without us, needs nothing; one that is on its way to being stopped is started
// when it is. While a call of ours may still put it into maintenance mode, or stop
// it, it is left alone: the two calls could overtake each other.
func (v *view) restore(x *Desktop) (step, progress) {
	s := look(v.now.backoff(x.StoppedAt))
	fact, more, ok := find(v, ofDesktops, x.ID, x.eventful())
	if s = s.with(more); !ok {
		return s, waits
	}
	if fact.Err != nil {
		return s, stuck
	}
	more, gone := v.gone(x, fact)
	if s = s.with(more); fact.Value == nil && !gone {
		return s, waits
	}
	done := stuck
	if x.Held {
		more, done = v.release(x, gone)
		s = s.with(more)
	}
	if x.Stopped {
		more, started := v.startAgain(x, fact, gone)
		s = s.with(more)
		if started != stuck {
			done = started
		}
	}
	return s, done
}

// release takes a desktop out of maintenance mode.
func (v *view) release(x *Desktop, gone bool) (step, progress) {
	switch over := x.Maintenance.over(); {
	case gone:
		return marks(KindReleased, v.now.t), acting
	case !v.now.due(over):
		return look(over), waits
	}
	return step{acts: []Act{{What: Release}}}, acting
}

// startAgain starts a desktop that we stopped.
func (v *view) startAgain(x *Desktop, fact Fact[*desktop.Desktop], gone bool) (step, progress) {
	switch over := x.Power.over(); {
	case gone, fact.Value.Status == desktop.Running && fact.Since(x.StoppedAt) >= stopAgain:
		return marks(KindStarted, v.now.t), acting
	case fact.Value.Status != desktop.Stopped:
		return step{}, stuck
	case !v.now.due(over):
		return look(over), waits
	}
	return step{acts: []Act{{What: Start}}}, acting
}
