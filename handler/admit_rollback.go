package handler

import (
	"errors"
	"fmt"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// rollbackRequest opens the rollback of a request: each desktop that it has changed goes
// back to the image that it was on before. The journal of the request says first that it was
// asked for, so that a message that is delivered again finds it.
func (a *admission) rollbackRequest(m envelope.Message, c events.Control) error {
	if !a.hasJournal {
		return a.refuse.control(m, c, nil, events.CodeControlNotPossible,
			notPossible(c, "without a journal nothing says which images its desktops were on; set REGILD_JOURNAL"))
	}
	origin, fresh := a.jobs.add(kindRequest, c.RequestID)
	if err := a.jobs.open(origin); err != nil {
		a.jobs.drop(origin)
		return err
	}
	no := func(code, why string) error {
		return a.refuse.control(m, c, origin, code, notPossible(c, why))
	}
	var op rollout.Operation
	var entered *rollout.Entry
	var told *rollout.Refusal
	var why error
	id, refused := a.controlID(m, c), 0
	origin.journal.Look(func(s *rollout.State) {
		entered, told, refused = s.Undoing, refusedBefore(s, id), s.PlansRefused[c.PlanDigest]
		if op, why = s.RollBack(c, a.via(m)); why == nil {
			op = s.Fill(op)
		}
	})
	switch {
	case entered != nil:
		if entered.AskedBy(id.message, id.event) {
			a.followedBefore(m, c.Action, c.RequestID)
		}
		return a.fleets.resumeRequestRollback(m, c, *entered, no)
	case told != nil:
		return a.refuse.control(m, c, origin, told.Reason.Code, told.Reason.Message)
	case why != nil:
		if fresh {
			defer a.jobs.drop(origin)
		}
		return a.cannotRollBackRequest(origin, why, no)
	}
	return a.beginRequestRollback(m, c, origin, op, refused, no)
}

// cannotRollBackRequest refuses the rollback of a request, for what its journal says or since
// nobody has opened it.
func (a *admission) cannotRollBackRequest(origin *job, why error, no func(code, why string) error) error {
	text := why.Error()
	if origin.operation() == nil {
		var err error
		if text, err = a.unopened(origin); err != nil {
			return err
		}
	}
	return no(events.CodeControlNotPossible, text)
}

// beginRequestRollback enters and opens the rollback of a request, or shows what it would do. refused
// is as for enterRequestRollback.
func (a *admission) beginRequestRollback(m envelope.Message, c events.Control, origin *job, op rollout.Operation, refused int,
	no func(code, why string) error,
) error {
	if named, err := a.rollbackIDTaken(op); err != nil {
		return err
	} else if named {
		return no(events.CodeControlNotPossible, "another request is called "+op.ID+", as its rollback would be")
	}
	agreed, err := a.rollbackAgreed(m, c, origin, op, func(why *events.Reason) error { return a.refuseRollbackPlan(m, c, origin, op, why) })
	if !agreed || err != nil {
		return err
	}
	return a.enterRequestRollback(m, c, origin, op, refused, no)
}

// unopened says why a request that its journal does not know takes no order. It is an error, to
// have the message delivered again, if the request is worked on: it is on the queue instead of its
// first tick, and its entry is written. One that nobody has opened since is refused by a sweep.
func (a *admission) unopened(j *job) (why string, err error) {
	e, err := a.index.read(journal.OpenKey(j.id))
	switch age := a.asOf().Sub(e.At); {
	case err != nil:
		return "", err
	case e.Request == nil || age > forget:
		return "there is no such request in the journal", nil
	case age > reopen:
		return openedLate(e.At) + "; it is refused the next time that the timer looks at it", nil
	}
	return "", fmt.Errorf("request %s is being opened", j.id)
}

// rollbackIDTaken says whether a sender has called a request what its rollback is called:
// earlier builds let them.
func (a *admission) rollbackIDTaken(op rollout.Operation) (named bool, err error) {
	err = a.jobs.peek(kindRequest, op.ID, func(s *rollout.State) { named = s.Operation != nil && s.Operation.Undoes == "" })
	return named, err
}

// refuseRollbackPlan writes into the journal of a request that its rollback was asked for
// with a plan that it no longer had, so that what is still on its way to enter it comes too
// late, and what whoever asked is told: the same when the message comes again.
func (a *admission) refuseRollbackPlan(m envelope.Message, c events.Control, origin *job, op rollout.Operation, why *events.Reason) error {
	id, entered := a.controlID(m, c), false
	err := origin.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
		if entered = s.Undoing != nil; entered || s.Refusals[id.message] {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindUnplanned, At: a.asOf(), Name: op.ID, Digest: c.PlanDigest, Message: id.message, Event: id.event, Reason: why}}
	})
	if err == nil && entered { // delivered again, its plan counts as checked
		err = fmt.Errorf("rollback %s was entered meanwhile", op.ID)
	}
	return err
}

// enterRequestRollback writes into the journal of a request that it is rolled back, and
// opens the rollback. refused is how many plans of it had been refused when this message was
// first looked at: if there are more by now, another delivery of the message was refused.
func (a *admission) enterRequestRollback(m envelope.Message, c events.Control, origin *job, op rollout.Operation, refused int,
	no func(code, why string) error,
) error {
	var entered *rollout.Entry
	var told *rollout.Refusal
	var why, fault error
	code, id := "", a.controlID(m, c)
	a.index.write(&job{id: op.ID}) // so that the timer opens it, if nobody else does
	err := origin.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
		why, fault, code = nil, nil, events.CodeControlNotPossible
		if entered = s.Undoing; entered != nil {
			return nil
		}
		if told = refusedBefore(s, id); told != nil {
			return nil
		}
		if s.PlansRefused[c.PlanDigest] > refused { // by another delivery, which has told so
			why, code = errPlanRefused, events.CodePlanChanged
			return nil
		}
		if _, why = s.RollBack(c, op.Via); why != nil {
			return nil
		}
		if _, fault = a.sched.tickFor(kindRequest, op.ID); fault != nil {
			return nil
		}
		r := rollout.Undoing(op, a.asOf(), id.message, id.event)
		entered = &rollout.Entry{Operation: *r.Operation, At: r.At, Message: r.Message, Event: r.Event}
		return []rollout.Record{r}
	})
	switch {
	case errors.Is(err, journal.ErrFull):
		return no(events.CodeJournalFull, "its journal takes no more; send a request for the image that is wanted instead")
	case err != nil:
		return err
	case fault != nil:
		return fault
	case entered == nil && told != nil:
		return a.refuse.control(m, c, origin, told.Reason.Code, told.Reason.Message)
	case why != nil:
		return no(code, why.Error())
	}
	return a.fleets.resumeRequestRollback(m, c, *entered, no)
}

// resumeRequestRollback opens the rollback of a request that was entered, if it was for
// this message, or the event in it.
func (fs *fleets) resumeRequestRollback(m envelope.Message, c events.Control, e rollout.Entry, no func(code, why string) error) error {
	if id := fs.controlID(m, c); !e.AskedBy(id.message, id.event) {
		return no(events.CodeControlNotPossible, e.ID+" has begun before")
	}
	if c.DryRun { // a message that was sent again with another wish
		return nil
	}
	fs.wake(e)
	return nil
}

// openRequestRollback opens a rollback of a request, for what the request is known to have changed: if
// that is nothing by now, for what it seemed to have, so that whoever asked is told.
func (fs *fleets) openRequestRollback(back *job, e rollout.Entry) error {
	op := e.Operation
	if err := fs.jobs.peek(kindRequest, e.Undoes, func(s *rollout.State) { op = s.Fill(op) }); err != nil {
		return err
	}
	return fs.jobs.begin(back, op, "", nil)
}

// superviseRequest sees to it that a rollback of a request knows what the request is still
// rebuilding, and that one that was entered is opened.
func (fs *fleets) superviseRequest(j *job) error {
	var entered *rollout.Entry
	var undoes string
	j.journal.Look(func(s *rollout.State) {
		if entered = s.Undoing; s.Operation != nil {
			undoes = s.Operation.Undoes
		}
	})
	if entered != nil && !fs.jobs.cache.isOver(kindRequest+"/"+entered.ID) {
		fs.wake(*entered)
		if back := fs.jobs.find(kindRequest, entered.ID); back != nil && back.ended {
			fs.jobs.cache.noteOver(back.name)
		}
	}
	if undoes == "" {
		return nil
	}
	var others rollout.Others
	if err := fs.jobs.peek(kindRequest, undoes, func(s *rollout.State) { others.Add(undoes, s); others.AddUnchanged(s) }); err != nil {
		return err
	}
	j.others = &others
	return nil
}
