package rollout

import (
	"errors"
	"fmt"

	"github.com/regild/regild/events"
)

// What somebody can tell a rollout.
const (
	Pause    = "pause"
	Resume   = "resume"
	Approve  = "approve"
	Abort    = "abort"
	Retry    = "retry"
	Rollback = "rollback"
)

// Allow says why a control message cannot be followed now, or nil. Wave is the
// wave that an approve is meant for; 0 means the one that waits.
func Allow(s *State, action string, wave int) error {
	if s.Work == nil {
		return errors.New("there is no such rollout in the journal")
	}
	if s.Superseded != "" {
		return fmt.Errorf("%s has taken over from it", s.Superseded)
	}
	if s.Closed && action != Rollback {
		return errors.New("it has ended; only rollback is possible now")
	}
	if s.Aborted != "" && action != Rollback {
		return fmt.Errorf("it was aborted by %s; only rollback is possible now", s.Aborted)
	}
	switch action {
	case Pause:
		if s.Paused != "" {
			return fmt.Errorf("it was paused by %s already", s.Paused)
		}
	case Resume:
		if s.Paused == "" && s.Halted == nil {
			return errors.New("it is neither paused nor halted")
		}
	case Approve:
		w := s.Wave()
		switch {
		case w == nil || w.EndedAt.IsZero():
			return errors.New("no wave is finished that could be approved")
		case wave != 0 && wave != w.N:
			return fmt.Errorf("wave %d is not the one that is finished last, which is wave %d", wave, w.N)
		case w.Approved != "":
			return fmt.Errorf("wave %d was approved by %s already", w.N, w.Approved)
		}
	case Retry:
		if s.Counts().Failed == 0 {
			return errors.New("no desktop has failed")
		}
	case Rollback:
		if s.Work.Undoes != "" {
			return errors.New("it is a rollback itself; publish the image that is wanted instead")
		}
		if len(s.Undo()) == 0 {
			return errors.New("it has not changed any desktop")
		}
	case Abort:
	default:
		return fmt.Errorf("the action %q is not known", action)
	}
	return nil
}

// Undo returns the image that each desktop was on which this rollout has begun
// to change.
func (s *State) Undo() map[string]string {
	out := map[string]string{}
	for id, d := range s.Desktops {
		if d.Touched && d.From != "" {
			out[id] = d.From
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
	switch r.Action {
	case Pause:
		s.Paused = r.Who
		s.tell(events.RolloutPaused, r, r.Reason, r.Who)
	case Resume:
		s.Paused, s.Halted, s.Waiting, s.Forgiven = "", nil, nil, r.At
		s.tell(events.RolloutResumed, r, r.Reason, r.Who)
	case Approve:
		if w := s.Wave(); w != nil {
			w.Approved = r.Who
			s.tell(events.RolloutApproved, r, r.Reason, r.Who)
		}
	case Abort:
		s.Aborted = r.Who
		s.tell(events.RolloutAborted, r, r.Reason, r.Who)
	case Retry:
		s.Halted, s.Waiting, s.Forgiven = nil, nil, r.At
		for _, d := range s.Desktops {
			if d.Phase == Final && d.Last.Status == events.StatusFailed {
				d.Phase, d.WaitCode, d.Denied = Pending, "", 0
				d.Again = r.At
				if w := s.Wave(); w != nil {
					w.EndedAt, w.Approved = zero, ""
				}
			}
		}
		s.tell(events.RolloutResumed, r, r.Reason, r.Who)
	}
}
