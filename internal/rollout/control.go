package rollout

import (
	"errors"
	"fmt"

	"github.com/regild/regild/events"
)

// Allow says why a control message cannot be followed now, or nil. Wave is the
// wave that an approve is meant for; 0 means the one that waits.
func Allow(s *State, action string, wave int) error {
	if err := s.takesNothing(action); err != nil {
		return err
	}
	switch action {
	case events.ActionPause:
		if s.Paused != "" {
			return fmt.Errorf("it was paused by %s already", s.Paused)
		}
	case events.ActionResume:
		if s.Paused == "" && s.Halted == nil {
			return errors.New("it is neither paused nor halted")
		}
	case events.ActionApprove:
		return s.approvable(wave)
	case events.ActionRetry:
		if s.Counts().Failed == 0 {
			return errors.New("no desktop has failed")
		}
	case events.ActionRollback:
		return s.undoable()
	case events.ActionAbort:
	default:
		return fmt.Errorf("the action %q is not known", action)
	}
	return nil
}

// takesNothing says why the rollout as it stands takes no such action, or nil.
func (s *State) takesNothing(action string) error {
	switch back := action == events.ActionRollback; {
	case s.Operation == nil:
		return errors.New("there is no such rollout in the journal")
	case s.Superseded != "":
		return fmt.Errorf("%s has taken over from it", s.Superseded)
	case s.Back.Begun:
		return fmt.Errorf("it halted and goes back by itself; say it to rollout %s/rollback", s.Operation.ID)
	case s.Closed && !back:
		return s.butRollback("it has ended")
	case s.Aborted != "" && !back:
		return s.butRollback("it was aborted by " + s.Aborted)
	}
	return nil
}

// butRollback says why the rollout takes no action any more, and that it can be rolled back if
// it can.
func (s *State) butRollback(why string) error {
	if s.undoable() == nil {
		why += "; only rollback is possible now"
	}
	return errors.New(why)
}

// approvable says why a wave cannot be approved, or nil.
func (s *State) approvable(wave int) error {
	w := s.Wave()
	switch {
	case wave == 0 && s.WaitsForRings():
	case w != nil && (wave == 0 || wave == w.N) && s.waitsForProof():
	case w == nil || w.EndedAt.IsZero():
		return errors.New("no wave is finished that could be approved")
	case wave != 0 && wave != w.N:
		return fmt.Errorf("wave %d is not the one that is finished last, which is wave %d", wave, w.N)
	case w.Approved != "":
		return fmt.Errorf("wave %d was approved by %s already", w.N, w.Approved)
	}
	return nil
}

// undoable says why there can be no rollback, or nil.
func (s *State) undoable() error {
	switch {
	case s.Operation.Undoes != "":
		if s.Operation.Request() {
			return errors.New("it is a rollback itself; send a request for the image that is wanted instead")
		}
		return errors.New("it is a rollback itself; publish the image that is wanted instead")
	case s.Undoing != nil:
		return fmt.Errorf("%s has begun before", s.Undoing.ID)
	case s.OpenedLate():
	case len(s.Undo()) == 0:
		if !s.Closed && s.Aborted == "" {
			return errors.New("it has not changed any desktop; abort ends it before it does")
		}
		return errors.New("it has not changed any desktop")
	case s.Operation.Reset():
		return errors.New("it reset desktops to the image that each was on; there is none to go back to")
	}
	return nil
}

// OpenedLate says whether the rollout halted since it was opened long after it was entered. It
// has no desktop yet, and its journal may have been deleted: ECD's records tell what it did.
func (s *State) OpenedLate() bool {
	return s.Halted != nil && s.Halted.Code == events.CodeOpenedLate
}

// Undo returns the desktops that this operation has changed or may have, by the
// image that each was on before.
func (s *State) Undo() map[string][]string {
	out := map[string][]string{}
	for _, id := range s.Order {
		if d := s.Desktops[id]; s.changed(d) && d.From != "" {
			out[d.From] = append(out[d.From], id)
		}
	}
	return out
}

// control folds what somebody told the rollout. Whether it was allowed was
// asked before it was written.
func (s *State) control(r *Record) {
	if r.Message != "" {
		if s.Controls[r.Message] {
			return
		}
		s.Controls[r.Message] = true
	}
	if r.Event != "" {
		s.Controls[r.Event] = true
	}
	s.actedOn(r)
	switch r.Action {
	case events.ActionPause:
		s.Paused = r.Who
		s.emit(events.RolloutPaused, r, r.Reason, r.Who)
	case events.ActionResume:
		s.inSpite(r)
		s.Paused, s.Halted, s.Waiting, s.Forgiven, s.Resumed = "", nil, nil, r.At, r.At
		s.emit(events.RolloutResumed, r, r.Reason, r.Who)
	case events.ActionApprove:
		if w := s.Wave(); r.Wave == 0 && s.WaitsForRings() {
			s.passRings()
			s.emit(events.RolloutApproved, r, r.Reason, r.Who)
		} else if w != nil {
			s.approve(w, r)
			s.emit(events.RolloutApproved, r, r.Reason, r.Who)
		}
	case events.ActionAbort:
		s.Aborted = r.Who
		s.emit(events.RolloutAborted, r, r.Reason, r.Who)
	case events.ActionRetry:
		s.retry(r)
	}
}

// retry makes the desktops that failed pending again. One that is on its image
// already by then is checked anew; see reconciled. A paused rollout stays paused.
func (s *State) retry(r *Record) {
	if s.Halted != nil {
		s.Resumed = r.At
	}
	s.inSpite(r)
	s.Halted, s.Waiting, s.Forgiven = nil, nil, r.At
	for _, d := range s.Desktops {
		if d.Phase == Final && d.Last.Status == events.StatusFailed {
			d.Phase, d.Denied, d.Notice, d.Ask = Pending, 0, nil, nil
			d.waitNoMore()
			d.ArrivedAt, d.MissingAt, d.OutsideAt, d.Check, d.CheckedAt, d.Seen = 0, 0, 0, "", 0, false
			if w := s.Wave(); w != nil {
				w.EndedAt, w.Approved, w.Proved = zero, "", ""
			}
		}
	}
	if s.Paused == "" {
		s.emit(events.RolloutResumed, r, r.Reason, r.Who)
		return
	}
	why := ""
	if r.Reason != nil {
		why = ": " + r.Reason.Message
	}
	s.emit(events.RolloutPaused, r, &events.Reason{Code: events.CodePaused,
		Message: "those who failed are tried again once it goes on" + why + "; it is still paused by " + s.Paused}, r.Who)
}
