package handler

import (
	"errors"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A rollbacker is the stage that rolls back rollouts that halted and are to go back by
// themselves.
type rollbacker struct {
	*invocation
	rules    rollout.Rules
	jobs     *jobs
	fleets   *fleets
	sched    *scheduler
	recovery *recovery
}

// rollBack rolls back the rollouts that halted and are to go back by themselves, and
// says whether there is anything new to do for that.
func (ro *rollbacker) rollBack(jobs []*job) (more bool) {
	for _, j := range jobs {
		if !j.decision.Back || j.kind != kindRollout {
			continue
		}
		err := contain(func() error {
			began, err := ro.rollBackOne(j)
			more = more || began
			return err
		})
		if err != nil {
			ro.recovery.fail(j, err)
		}
	}
	if more {
		at := jobs[0].operation().Place()
		ro.fleets.supervise(func(j *job) bool { return j.place() == at })
		reconsider(ro.jobs.inPlace(at))
	}
	return more
}

// rollBackOne enters the rollback of a rollout that halted into the log of its fleet,
// unless an operator has acted since, and opens it.
func (ro *rollbacker) rollBackOne(j *job) (began bool, err error) {
	if err := ro.sched.watchdog(j); err != nil {
		return false, err
	}
	if err := j.journal.Refresh(ro.ctx); err != nil {
		return false, err
	}
	op, err := ro.prepareRollback(j)
	if op == nil || err != nil {
		return false, err
	}
	e, refusal, err := ro.fleets.enter(*op, entering{orderID: orderID{message: "halted:" + op.Undoes}})
	if err != nil {
		return false, err
	}
	if refusal != nil {
		return false, j.journal.Update(ro.ctx, func(s *rollout.State) []rollout.Record {
			if !s.MayGoBack() {
				return nil
			}
			return []rollout.Record{ro.stays(refusal.Message)}
		})
	}
	ro.fleets.wake(e)
	return true, nil
}

// prepareRollback writes down that a rollout is about to go back, or why it does not
// after all. It returns the rollback, or nil.
func (ro *rollbacker) prepareRollback(j *job) (back *rollout.Operation, err error) {
	err = j.journal.Update(ro.ctx, func(s *rollout.State) []rollout.Record {
		back = nil
		if !s.MayGoBack() {
			return nil // an operator has acted
		}
		op, why := s.GoBack(fleetNamed(ro.rules.Fleets, s.Operation.Fleet))
		if text := rollout.BackTooLarge(op, ro.rules, all(op.Back)); why == nil && text != "" {
			why = errors.New(text)
		}
		if why != nil {
			return []rollout.Record{ro.stays(why.Error())}
		}
		if back = &op; s.Back.Begun {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindGoingBack, At: ro.asOf()}}
	})
	return back, err
}

// stays is the record that a rollout does not go back by itself after all.
func (ro *rollbacker) stays(why string) rollout.Record {
	return rollout.Record{Kind: rollout.KindStays, At: ro.asOf(), Reason: &events.Reason{Code: events.CodeControlNotPossible,
		Message: "it halted and does not go back by itself: " + why}}
}
