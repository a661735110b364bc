package handler

import (
	"errors"
	"fmt"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// control writes into the journal of a rollout or request what an operator orders.
func (a *admission) control(m envelope.Message) error {
	c, err := events.ParseControl(m.Data)
	if why := a.heardControl(m, c); why != "" { // first: what came by a wrong way leaves nothing in the journal
		return a.refuse.control(m, c, nil, events.CodeWrongDoor, why)
	}
	if err != nil {
		return a.refuse.control(m, c, nil, events.CodeInvalidRequest, err.Error())
	}
	switch {
	case c.RequestID != "" && c.Action == events.ActionRollback:
		return a.rollbackRequest(m, c)
	case c.RequestID != "" && !a.hasJournal:
		return a.refuse.control(m, c, nil, events.CodeControlNotPossible,
			notPossible(c, "without a journal it goes on by ticks, which nothing stops; set REGILD_JOURNAL"))
	case !a.hasJournal:
		return a.refuse.control(m, c, nil, events.CodeRolloutUnknown, "there are no rollouts without a journal; set REGILD_JOURNAL")
	}
	j, fresh := a.jobs.add(c.Of())
	if fresh {
		j.message = m
	}
	err = a.jobs.open(j)
	if err == nil {
		err = a.fleets.openIfEntered(j)
	}
	if err != nil {
		a.jobs.drop(j)
		return err
	}
	if c.Action == events.ActionRollback {
		return a.rollback(m, c, j)
	}
	return a.order(m, c, j)
}

// notPossible says that a control message is not followed, and why.
func notPossible(c events.Control, why string) string {
	kind, id := c.Of()
	return fmt.Sprintf("%s is not possible for %s %s: %s", c.Action, kind, id, why)
}

// order writes a control message into the journal of what it is for, or refuses it: one that
// was refused before in any case, since its sender knows that.
func (a *admission) order(m envelope.Message, c events.Control, j *job) error {
	if err := a.lookedAfter(m, c, j); err != nil {
		a.jobs.drop(j)
		return err
	}
	var refusal error
	var told *rollout.Refusal
	id, again, unknown := a.controlID(m, c), false, false
	err := j.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
		told, refusal, unknown = refusedBefore(s, id), nil, false
		if again = id.among(s.Controls); told != nil || again {
			return nil
		}
		unknown = s.Operation == nil
		if refusal = a.allow(s, c); refusal != nil || c.DryRun {
			return nil
		}
		j.message = envelope.Message{} // it is in the journal: if the job fails now, a tick goes on with it
		j.woken = true
		return []rollout.Record{a.controlled(m, c)}
	})
	switch {
	case err != nil:
	case told != nil:
		err = a.refuse.control(m, c, j, told.Reason.Code, told.Reason.Message)
	case again:
		a.followedBefore(m, c.Action, j.id)
	case unknown:
		err = a.refuseUnknown(m, c, j)
	case refusal != nil:
		err = a.refuse.control(m, c, j, events.CodeControlNotPossible, notPossible(c, refusal.Error()))
	}
	if err != nil {
		a.jobs.drop(j)
	}
	return err
}

// refuseUnknown refuses a control message for what the journal does not know, and takes
// its job off the list. It is an error, to have the message delivered again, if that is a request
// which is being opened. The refusal stands in a journal if the operation may still come: any
// request may, and a rollout of a fleet that is declared.
func (a *admission) refuseUnknown(m envelope.Message, c events.Control, j *job) error {
	defer a.jobs.drop(j)
	code, in, why := events.CodeRolloutUnknown, j, "there is no such rollout in the journal"
	if j.kind == kindRequest {
		var err error
		if why, err = a.unopened(j); err != nil {
			return err
		}
		code = events.CodeControlNotPossible
	} else if _, name, _ := rollout.SplitID(c.RolloutID); fleetNamed(a.rules.Fleets, name) == nil {
		in = nil
	}
	return a.refuse.control(m, c, in, code, notPossible(c, why))
}

// allow says why a control message cannot be followed now, or nil. What is left of a
// journal that is nearly full is for the end of what was begun.
func (a *admission) allow(s *rollout.State, c events.Control) error {
	if err := rollout.Allow(s, c.Action, c.Wave); err != nil {
		return err
	}
	if c.Action != events.ActionAbort && s.Crammed(a.rules.JournalLimit) {
		return errors.New("its journal is nearly full; it can be aborted or rolled back")
	}
	return nil
}

// lookedAfter sees to it that a tick is on the queue before an order is in the journal: a
// rollout that stands still has none, and after a crash right behind the record only the
// message could wake it, which may not be delivered again.
func (a *admission) lookedAfter(m envelope.Message, c events.Control, j *job) error {
	id, follows := a.controlID(m, c), false
	j.journal.Look(func(s *rollout.State) {
		follows = !c.DryRun && !id.among(s.Controls) && refusedBefore(s, id) == nil && a.allow(s, c) == nil
	})
	if !follows {
		return nil
	}
	return a.sched.watchdog(j)
}

// controlled is the record of a control message.
func (a *admission) controlled(m envelope.Message, c events.Control) rollout.Record {
	id := a.controlID(m, c)
	return rollout.Record{Kind: rollout.KindControl, At: a.asOf(), Action: c.Action, Who: c.By, Wave: c.Wave, Message: id.message, Event: id.event, Via: a.via(m),
		Reason: &events.Reason{Code: controlCode(c.Action), Message: c.Reason}}
}

func controlCode(action string) string {
	switch action {
	case events.ActionPause:
		return events.CodePaused
	case events.ActionAbort:
		return events.CodeAborted
	}
	return events.CodeSuccess
}

// rollback opens the rollout that takes another one back: each desktop to the image
// that it was on before.
func (a *admission) rollback(m envelope.Message, c events.Control, j *job) error {
	no := func(code, why string) error {
		return a.refuse.control(m, c, j, code, notPossible(c, why))
	}
	var log rollout.FleetLog
	if _, fleet, ok := rollout.SplitID(c.RolloutID); ok {
		var err error
		if log, err = a.jobs.fleetLog(fleet); err != nil {
			return err
		}
	}
	if before := log.Find(rollout.BackOf(c.RolloutID)); before != nil {
		if !asksFor(*before, a.controlID(m, c), c) {
			return no(events.CodeControlNotPossible, before.ID+" has begun before")
		}
		a.followedBefore(m, c.Action, c.RolloutID)
		a.fleets.wake(*before)
		return nil
	}
	var told *rollout.Refusal
	j.journal.Look(func(s *rollout.State) { told = refusedBefore(s, a.controlID(m, c)) })
	if told != nil {
		return a.refuse.control(m, c, j, told.Reason.Code, told.Reason.Message)
	}
	origin := log.Find(c.RolloutID)
	if origin == nil {
		return a.refuseUnknown(m, c, j)
	}
	if why := mayRollBack(j, *origin, log); why != nil {
		return no(events.CodeControlNotPossible, why.Error())
	}
	return a.beginRollback(m, c, j, origin.Undone(c, a.via(m)), *origin)
}

// asksFor says whether a control message is the one that a rollback was entered
// for, delivered or sent again. Logs of earlier builds do not say which it was.
func asksFor(e rollout.Entry, id orderID, c events.Control) bool {
	if e.Message != "" {
		return e.AskedBy(id.message, id.event)
	}
	return e.By == c.By && e.Why == c.Reason
}

// rollbackAgreed says whether a rollback of what j is may begin. refusePlan writes down that its
// plan is refused.
func (a *admission) rollbackAgreed(m envelope.Message, c events.Control, j *job, op rollout.Operation,
	refusePlan func(why *events.Reason) error,
) (bool, error) {
	return a.agreed(agreement{
		operations: []rollout.Operation{op}, dryRun: c.DryRun, digest: c.PlanDigest,
		checked: func() (bool, error) { return false, nil },
		refuse: func() (bool, error) {
			why := &events.Reason{Code: events.CodePlanChanged, Message: notPossible(c, rollout.PlanChanged)}
			if err := refusePlan(why); err != nil {
				return false, err
			}
			return false, a.refuse.control(m, c, j, why.Code, why.Message)
		},
	})
}

// beginRollback enters a rollback into the log of its fleet and opens it, or shows
// what it would do.
func (a *admission) beginRollback(m envelope.Message, c events.Control, j *job, op rollout.Operation, origin rollout.Entry) error {
	var err error
	if op.Back, err = a.fleets.undo(j, origin.Operation); err != nil {
		if _, is := errors.AsType[*tooManyError](err); !is {
			return err
		}
	}
	if why := a.cannotGoBack(j, op, err); why != "" {
		return a.refuse.control(m, c, j, events.CodeControlNotPossible, notPossible(c, why))
	}
	agreed, err := a.rollbackAgreed(m, c, j, op, func(*events.Reason) error { return a.fleets.refusePlan(op, c.PlanDigest, a.controlID(m, c)) })
	if !agreed || err != nil {
		return err
	}
	e, refusal, err := a.fleets.enter(op, entering{orderID: a.controlID(m, c), plan: c.PlanDigest})
	switch {
	case err != nil:
		return err
	case refusal != nil:
		return a.refuse.control(m, c, j, refusal.Code, notPossible(c, refusal.Message))
	case !asksFor(e, a.controlID(m, c), c):
		return a.refuse.control(m, c, j, events.CodeControlNotPossible, notPossible(c, op.ID+" has begun before"))
	}
	a.fleets.wake(e)
	return nil
}

// cannotGoBack says why a rollback of the desktops that are known to have changed cannot
// be opened, or "".
func (a *admission) cannotGoBack(j *job, op rollout.Operation, err error) string {
	ids := all(op.Back)
	switch {
	case err != nil:
		return err.Error()
	case len(ids) == 0:
		return "it is not known to have changed any desktop"
	}
	j.journal.Look(func(s *rollout.State) { // more may be begun until it is superseded
		if len(s.Order) > len(ids) {
			ids = slices.Clone(s.Order)
		}
	})
	return rollout.BackTooLarge(op, a.rules, ids)
}

// mayRollBack says why the job's rollout, which its fleet's log names as origin,
// cannot be rolled back now, or nil. Its own journal may have expired.
func mayRollBack(j *job, origin rollout.Entry, log rollout.FleetLog) (refusal error) {
	if origin.Undoes != "" {
		return errors.New("it is a rollback itself; publish the image that is wanted instead")
	}
	if why := log.MayFollow(rollout.Operation{Undoes: origin.ID}, false, false); why != nil {
		return errors.New(why.Message)
	}
	j.journal.Look(func(s *rollout.State) {
		if s.Operation != nil {
			refusal = rollout.Allow(s, events.ActionRollback, 0)
		}
	})
	return refusal
}
