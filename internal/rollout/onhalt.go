package rollout

import (
	"errors"
	"slices"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// This file is about onHalt: rollback. It takes three steps. Each is written down
// before the next is taken, so that the next invocation goes on from there:
//
//  1. halted, with the intention to go back: as fleets.yaml said at that moment;
//  2. going-back, only if the rollout was told nothing since. From here on it cannot
//     be told to go on;
//  3. the rollback is entered into the fleet's log, as one by message is, unless a
//     newer release is there.
//
// A rollout that is told anything before step 2 does not go back by itself any more,
// neither then nor at a later halt.

// A Back is how far a rollout is on its way back by itself.
type Back struct {
	Wanted bool // it halted and is to go back
	Now    bool // outside of windows too
	Begun  bool // only a newer release can keep it from going back
	Over   bool // it will not do so any more: it was told something, or it was tried
}

// The words of a halted record that say what follows.
const (
	thenRollback    = events.ActionRollback
	thenRollbackNow = events.ActionRollback + "-now"
)

// goesBackText ends the message of a halt that a rollback follows.
const goesBackText = "; it goes back by itself"

// goesBack are the codes of halts after which a rollout may go back by itself: those that
// its desktops, or the people at them, are the reason of. An image that is gone, or
// time that is up, says nothing against the image that they are on.
var goesBack = []string{events.CodeTooManyFailures, events.CodeTooFewUsed, events.CodeLogonsFailed, events.CodeAlarmActive}

// onHalt adds to the record of a halt that the rollout goes back by itself, if
// its fleet wants that.
func (v *view) onHalt(r Record) Record {
	f := v.fleet()
	if f == nil || f.Strategy.OnHalt != fleet.Rollback || v.s.Operation.Undoes != "" || v.s.Back.Over || !slices.Contains(goesBack, r.Reason.Code) {
		return r
	}
	r.Action = thenRollback
	if f.Strategy.OnHaltNow {
		r.Action = thenRollbackNow
	}
	r.Reason.Message += goesBackText
	return r
}

// backOut folds what concerns going back by itself.
func (s *State) backOut(r *Record) {
	switch r.Kind {
	case KindHalted:
		if !s.Back.Over && (r.Action == thenRollback || r.Action == thenRollbackNow) {
			s.Back.Wanted, s.Back.Now = true, r.Action == thenRollbackNow
		}
	case KindGoingBack:
		s.Back.Begun = true
	case KindStays:
		s.Back = Back{Over: true}
		s.Waiting = r.Reason
		s.emit(events.RolloutWaiting, r, r.Reason, "")
	}
}

// actedOn notes that somebody told the rollout something since it halted.
func (s *State) actedOn(r *Record) {
	if s.Halted != nil && r.Action != events.ActionRollback {
		s.Back = Back{Over: true}
	}
}

// MayGoBack says whether the rollout, as it stands, is to go back by itself.
func (s *State) MayGoBack() bool {
	return s.Open() && s.Back.Wanted && s.Paused == "" && s.Aborted == "" && s.Superseded == ""
}

// goBack asks for the rollback of a rollout that halted.
func (v *view) goBack() step {
	if !v.s.MayGoBack() {
		return step{}
	}
	return step{goBack: true, next: v.now.t}
}

// GoBack returns the rollback by which the rollout goes back by itself, with the
// consents of its fleet and nothing besides, or why there is none. Data disks
// stay.
func (s *State) GoBack(f *fleet.Fleet) (Operation, error) {
	if len(s.Undo()) == 0 {
		return Operation{}, errors.New("it has not changed any desktop")
	}
	back := s.Operation.Undone(events.Control{By: "regild", Reason: "it halted: " + strings.TrimSuffix(s.Halted.Message, goesBackText)}, nil)
	if back.AnyTime = s.Back.Now; f != nil {
		for _, c := range f.Rebuild.Consent {
			if !slices.Contains(back.Consents, c) {
				back.Consents = append(back.Consents, c)
			}
		}
	}
	back.Back = s.Undo()
	return back, nil
}
