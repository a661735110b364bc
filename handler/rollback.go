package handler

import (
	"errors"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// An undoer is the stage that takes back rollouts that halted and are to go back by
// themselves.
type undoer struct {
	*invocation
	rules    rollout.Rules
	jobs     *jobs
	fleets   *fleets
	sched    *scheduler
	recovery *recovery
}

// rollBack takes back the rollouts that halted and are to go back by themselves, and
// says whether there is anything new to do for that.
func (un *undoer) rollBack(jobs []*job) (more bool) {
	for _, j := range jobs {
		if !j.decision.Back || j.kind != kindRollout {
			continue
		}
		err := contain(func() error {
			began, err := un.rollBackOne(j)
			more = more || began
			return err
		})
		if err != nil {
			un.recovery.fail(j, err)
		}
	}
	if more {
		at := jobs[0].operation().Place()
		un.fleets.supervise(func(op *rollout.Operation) bool { return op.Place() == at })
		reconsider(un.jobs.inPlace(at))
	}
	return more
}

// rollBackOne enters the rollback of a rollout that halted into the log of its fleet,
// unless an operator has acted since, and opens it.
func (un *undoer) rollBackOne(j *job) (began bool, err error) {
	if err := un.sched.watchdog(j); err != nil {
		return false, err
	}
	if err := j.journal.Refresh(un.ctx); err != nil {
		return false, err
	}
	op, err := un.prepareRollback(j)
	if op == nil || err != nil {
		return false, err
	}
	e, refusal, err := un.fleets.enter(*op, entering{message: "halted:" + op.Undoes})
	if err != nil {
		return false, err
	}
	if refusal != nil {
		return false, j.journal.Update(un.ctx, func(s *rollout.State) []rollout.Record {
			if !s.MayGoBack() {
				return nil
			}
			return []rollout.Record{un.stays(refusal.Message)}
		})
	}
	un.fleets.wake(e)
	return true, nil
}

// prepareRollback writes down that a rollout is about to go back, or why it does not
// after all. It returns the rollback, or nil.
func (un *undoer) prepareRollback(j *job) (back *rollout.Operation, err error) {
	err = j.journal.Update(un.ctx, func(s *rollout.State) []rollout.Record {
		back = nil
		if !s.MayGoBack() {
			return nil // an operator has acted
		}
		op, why := s.GoBack(fleetNamed(un.rules.Fleets, s.Operation.Fleet))
		if text := rollout.BackTooLarge(op, un.rules, all(op.Back)); why == nil && text != "" {
			why = errors.New(text)
		}
		if why != nil {
			return []rollout.Record{un.stays(why.Error())}
		}
		if back = &op; s.Back.Begun {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindGoingBack, At: un.asOf()}}
	})
	return back, err
}

// stays is the record that a rollout does not go back by itself after all.
func (un *undoer) stays(why string) rollout.Record {
	return rollout.Record{Kind: rollout.KindStays, At: un.asOf(), Reason: &events.Reason{Code: events.CodeControlNotPossible,
		Message: "it halted and does not go back by itself: " + why}}
}
