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
	s, stuck := v.restore(x)
	s.givenUp = over && stuck
	s.unrestored = !s.givenUp
	return s
}

// restore takes a desktop out of maintenance mode and starts it, as far as we put
// it there and stopped it. One that ECD no longer lists, or that is running again
// without us, needs nothing; one that is on its way to being stopped is started
// when it is. While a call of ours may still put it into maintenance mode, or stop
// it, it is left alone: the two calls could overtake each other. stuck says that it
// cannot be read though it was asked for, or is in a status that must pass.
func (v *view) restore(x *Desktop) (s step, stuck bool) {
	s = look(v.now.backoff(x.StoppedAt.Time()))
	fact, more, ok := find(v, ofDesktops, x.ID, x.eventful())
	if s = s.with(more); !ok {
		return s, false
	}
	if fact.Err != nil {
		return s, !fact.Err.Unasked
	}
	more, gone := v.gone(x, fact)
	if s = s.with(more); fact.Value == nil && !gone {
		return s, false
	}
	if x.Held {
		s = s.with(v.release(x, gone))
	}
	if x.Stopped {
		more, stuck = v.startAgain(x, fact, gone)
		s = s.with(more)
	}
	return s, stuck && !x.Held
}

// release takes a desktop out of maintenance mode.
func (v *view) release(x *Desktop, gone bool) step {
	switch over := x.Maintenance.over(); {
	case gone:
		return marks(KindReleased, v.now.t)
	case !v.now.due(over):
		return look(over)
	}
	return step{acts: []Act{{What: Release}}}
}

// startAgain starts a desktop that we stopped.
func (v *view) startAgain(x *Desktop, fact Fact[*desktop.Desktop], gone bool) (s step, stuck bool) {
	switch over := x.Power.over(); {
	case gone, fact.Value.Status == desktop.Running && fact.Since(x.StoppedAt.Time()) >= stopAgain:
		return marks(KindStarted, v.now.t), false
	case fact.Value.Status != desktop.Stopped:
		return step{}, true
	case !v.now.due(over):
		return look(over), false
	}
	return step{acts: []Act{{What: Start}}}, false
}
