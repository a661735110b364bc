package rollout

import (
	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// This file is about looks that only follow what was begun. What is read to begin by (the image, the
// freezes, the log of the fleet) is not read then: see docs/decisions/0042-what-only-follows-reads-less.md.

// unsure are what a rollout waits for that only such a look clears up which reads everything.
var unsure = map[string]bool{events.CodeFrozen: true, events.CodeImageCreating: true,
	events.CodeFactsUnavailable: true, events.CodeThrottled: true, events.CodeNotAuthorized: true}

// onlyFollows says whether this look can do no more than follow what the wave has begun, as far
// as is known by now: it asks ECD about that, or ECD has answered, and no desktop has its turn. What
// ECD does not answer is asked for in other ways as well, so that the rollout can say why it waits.
func (v *view) onlyFollows(t *total, f *fleet.Fleet, busy int) bool {
	w, waiting := v.s.Wave(), v.s.Waiting
	switch {
	case w == nil, !w.whole(), !w.EndedAt.IsZero(), busy == len(v.f.Busy), v.f.Woken, waiting != nil && unsure[waiting.Code]:
		return false
	case v.anyTurn(f, f.Strategy.AtOnce(v.s.Size)-busy):
		return false
	}
	answered := len(t.out.Need.Desktops) > 0
	for id := range v.s.Desktops {
		if fact, asked := v.f.Desktops[id]; asked {
			if fact.Err != nil {
				return false
			}
			answered = true
		}
	}
	return answered
}

// followsAlone says whether this look only follows, as far as is known before the log of the fleet is
// read: neither what later rollouts mean for this one nor what earlier ones use matters then. Whatever
// else it does, the log is read first.
func (v *view) followsAlone(t *total, f *fleet.Fleet, busy int) bool {
	s := v.s
	goesOn := s.Aborted == "" && s.Superseded == "" && s.Paused == "" && s.Halted == nil && f != nil && len(f.After) == 0
	return goesOn && v.onlyFollows(t, f, busy)
}

// imageAlong says whether the image may be asked for together with the former ones of the desktops whose
// turn it is, which are not known before one was begun: it is one call. Nothing is decided without it.
func (v *view) imageAlong() bool {
	w, waiting := v.s.Wave(), v.s.Waiting
	_, asked := v.f.Images[v.s.Operation.ImageID]
	return w != nil && w.whole() && w.EndedAt.IsZero() && v.s.former == "" && v.s.Operation.Undoes == "" && !asked &&
		(waiting == nil || !unsure[waiting.Code])
}

// anyTurn says whether something may be done now to a desktop that waits, if so many places are free: it
// may be begun or prepared for that, or restored, or its users be told again.
func (v *view) anyTurn(f *fleet.Fleet, places int) bool {
	if !v.anyPending() {
		return false
	}
	if open, _ := v.window(f); !open {
		return true // it has to be said
	}
	for _, x := range v.s.Desktops {
		if x.Phase != Pending {
			continue
		}
		remind := v.remindAt(x, &f.Strategy)
		if v.hasPlace(x) || places > 0 && v.now.due(v.rests(x)) || !remind.IsZero() && v.now.due(remind) {
			return true
		}
	}
	return false
}

// awaitTurns leaves the desktops that wait for their turn. Those that are next are read along with what
// may end in this look and leave its place to them.
func (v *view) awaitTurns(t *total, f *fleet.Fleet, busy int) {
	places := f.Strategy.AtOnce(v.s.Size) - busy
	asked, page := len(t.out.Need.Desktops), v.page()
	along := min(asked, (page-asked%page)%page) // no call more for them
	if open, until := v.window(f); open {
		t.join(look(until))
	}
	for _, id := range v.s.Order {
		x := v.s.Desktops[id]
		if x.Phase != Pending {
			continue
		}
		s := v.remind(x, &f.Strategy).with(step{unfinished: true})
		switch due := v.now.due(v.rests(x)); {
		case places > 0:
			s = s.with(look(v.rests(x)))
		case due && along > 0:
			_, reads, _ := find(v, ofDesktops, x.ID, x.eventful())
			s, along = s.with(reads), along-1
		}
		t.add(x, s)
	}
}
