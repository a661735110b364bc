package handler

import (
	"errors"
	"fmt"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// enrol puts a rollout behind the others of its fleet, and returns its entry; nil: the
// message was refused for it. The order in the fleet's log is the order of the releases,
// in whatever order their messages were delivered. errPlanRefused: the message was
// refused, with the plan of all rollouts that it asks for.
func (fs *fleets) enrol(m asked, op rollout.Operation, plan string) (*rollout.Entry, error) {
	op.Via = fs.via(m.Message)
	e, refusal, err := fs.enter(op, entering{fs.orderID(m.Message), m.image, plan})
	switch {
	case err != nil:
		return nil, err
	case refusal != nil && m.image && refusal.Code == events.CodeImageReleasedBefore:
		fs.counts.ignored() // most events tell of what was released by a message as well
		return nil, nil
	case refusal != nil:
		part := op.Fleet
		if refusal.Code == events.CodePlanChanged { // one plan stands for all of them
			part, err = refusal.Code, errPlanRefused
		}
		fs.refuse.part(m.Message, part, refusal.Code, refusal.Message)
		return nil, err
	case !e.Same(op):
		fs.refuse.part(m.Message, op.Fleet, events.CodeRequestIdReused, fmt.Sprintf(
			"release %s was published before with another image; give every release an id of its own", op.ReleaseID))
		return nil, nil
	}
	return &e, nil
}

// entering is what a rollout is entered for.
type entering struct {
	orderID        // of the message
	image   bool   // an event about a new image: no message asks for it
	plan    string // the digest of the plan that is demanded; "": none is
}

// entered is what came of entering a rollout.
type entered struct {
	entry   rollout.Entry
	refusal *events.Reason   // why there is none; nil: there is
	write   []rollout.Record // what the log is to say of it; none if it says so already
}

// enter writes a rollout into its fleet's log, unless it is there, and returns its
// entry, or why it may not be entered. Whatever speaks against it is asked about
// the very log that it is appended to. A tick for it is on the queue before.
func (fs *fleets) enter(op rollout.Operation, why entering) (rollout.Entry, *events.Reason, error) {
	v, err := fs.jobs.openList(fs.ctx, fleetKey(op.Fleet))
	if err != nil {
		return rollout.Entry{}, nil, fmt.Errorf("entering rollout %s: %w", op.ID, err)
	}
	refusals := rollout.PlanRefusals(*v.known().state, op.ID, why.plan)
	var came entered
	var fault error
	err = v.Update(fs.ctx, func(l *recordList) []rollout.Record {
		came, fault = fs.enterAt(*l, op, why, refusals)
		return came.write
	})
	if errors.Is(err, journal.ErrFull) {
		return rollout.Entry{}, &events.Reason{Code: events.CodeJournalFull, Message: fmt.Sprintf(
			"the log of fleet %s takes no more; give the fleet another name in fleets.yaml, which begins another log", op.Fleet)}, nil
	}
	return came.entry, came.refusal, errors.Join(fault, err)
}

// enterAt says what comes of entering a rollout at the end of its fleet's log. refusals is
// how often its plan had been refused when the log was first read: if that is more by now,
// another delivery of the message was refused.
func (fs *fleets) enterAt(l recordList, op rollout.Operation, why entering, refusals int) (none entered, _ error) {
	log := rollout.ReadFleetLog(l)
	if told := rollout.RefusedBefore(l, why.message, why.event); told != nil {
		return entered{refusal: told}, nil
	}
	if before := log.Find(op.ID); before != nil {
		return entered{entry: *before}, nil
	}
	e := rollout.Entry{Operation: op, At: fs.asOf(), Message: why.message, Event: why.event}
	refusal, err := fs.mayFollow(log, op, why.image)
	switch {
	case err != nil:
		return none, err
	case refusal != nil:
		return entered{refusal: refusal, write: fs.notEntered(e, l, why, refusal)}, nil
	case rollout.PlanRefusals(l, op.ID, why.plan) > refusals || rollout.PlanRefusedFor(l, op.ID, why.plan, why.message, why.event):
		return entered{refusal: &events.Reason{Code: events.CodePlanChanged, Message: errPlanRefused.Error()}}, nil
	}
	if e.First, err = fs.first(log, op); err != nil {
		return none, err
	}
	if _, err = fs.sched.tickFor(kindRollout, op.ID); err != nil {
		return none, err
	}
	return entered{entry: e, write: []rollout.Record{e.Entered()}}, nil
}

// notEntered has the log of a fleet say that a release is refused, so that it is not begun
// when its message comes again, which tells the same once more. A rollback is refused in the
// journal of what it undoes; and an event about an image that came before is of no interest.
func (fs *fleets) notEntered(e rollout.Entry, log recordList, why entering, refusal *events.Reason) []rollout.Record {
	if e.Undoes != "" || why.image && refusal.Code == events.CodeImageReleasedBefore {
		return nil
	}
	return e.NotEntered(log, refusal)
}

// mayFollow says why a rollout may not follow those of its fleet's log, or nil. Whether
// the latest has ended matters only if that took one back, or brought the same image: its
// journal may be long.
func (fs *fleets) mayFollow(log rollout.FleetLog, op rollout.Operation, image bool) (*events.Reason, error) {
	ended := false
	if last := log.Latest(); last != nil && (last.Undoes != "" || last.ImageID == op.ImageID) {
		var err error
		if ended, err = fs.ended(*last); err != nil {
			return nil, err
		}
	}
	return log.MayFollow(op, image, ended), nil
}

// first says whether a rollout is the first of its fleet: none before it has gone further
// than its canary. A rollback is never the first.
func (fs *fleets) first(log rollout.FleetLog, op rollout.Operation) (first bool, err error) {
	if op.Undoes != "" {
		return false, nil
	}
	for _, last := range slices.Backward(log) {
		if last.Undoes != "" {
			continue
		}
		if !last.First {
			return false, nil
		}
		err = fs.jobs.peek(kindRollout, last.ID, func(s *rollout.State) {
			first = len(s.Waves) < 2
		})
		return first, err
	}
	return true, nil
}

// ended says whether nothing is left to do for a rollout. What has ended does not
// begin again, so the answer may be kept.
func (fs *fleets) ended(e rollout.Entry) (ended bool, err error) {
	err = fs.jobs.peek(kindRollout, e.ID, func(s *rollout.State) {
		ended = s.Closed
		if s.Operation == nil { // it is not opened yet, or its journal has expired
			ended = fs.asOf().Sub(e.At) > reopen
		}
	})
	return ended, err
}

// refusePlan writes into the log of a fleet that a rollout was asked for with a plan
// that it no longer had, so that what is still on its way to enter it comes too late.
func (fs *fleets) refusePlan(op rollout.Operation, digest string, id orderID) error {
	v, err := fs.jobs.openList(fs.ctx, fleetKey(op.Fleet))
	if err != nil {
		return fmt.Errorf("refusing the plan of rollout %s: %w", op.ID, err)
	}
	entered := false
	err = v.Update(fs.ctx, func(l *recordList) []rollout.Record {
		if entered = rollout.ReadFleetLog(*l).Find(op.ID) != nil; entered || rollout.PlanRefusedFor(*l, op.ID, digest, id.message, id.event) {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindUnplanned, At: fs.asOf(), Name: op.ID, Digest: digest, Message: id.message, Event: id.event}}
	})
	if errors.Is(err, journal.ErrFull) {
		return nil // then it cannot be entered either
	}
	if err == nil && entered { // delivered again, its plan counts as checked
		err = fmt.Errorf("rollout %s was entered meanwhile", op.ID)
	}
	return err
}
