package handler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// wakeLatest has the unfinished rollouts of all fleets looked at: here, or each by a tick
// with the number n.
func (fs *fleets) wakeLatest(n int) error {
	list, failed := fs.unfinished()
	for _, e := range list {
		if !fs.separately(len(fs.rules.Fleets)) {
			fs.wake(e)
			if j := fs.jobs.find(kindRollout, e.ID); j != nil {
				j.woken = true
			}
			continue
		}
		failed = errors.Join(failed, fs.sched.at(kindRollout, e.ID, n))
	}
	return failed
}

// separately says whether so many rollouts are each left to an invocation of its own, which a
// tick brings about. One alone is looked at here and now; without a queue, all are.
func (fs *fleets) separately(rollouts int) bool { return fs.hasQueue && rollouts > 1 }

// unfinished returns the rollouts of all fleets that have to be looked at. Of fleets that
// it could not read it returns why.
func (fs *fleets) unfinished() (list []rollout.Entry, _ error) {
	found, faults := make([][]rollout.Entry, len(fs.rules.Fleets)), make([]error, len(fs.rules.Fleets))
	var group errgroup.Group
	group.SetLimit(sweepWorkers)
	for i, f := range fs.rules.Fleets {
		group.Go(func() error {
			faults[i] = contain(func() (err error) {
				found[i], err = fs.unfinishedOf(f.Name)
				return err
			})
			return nil
		})
	}
	_ = group.Wait()
	return slices.Concat(found...), errors.Join(faults...)
}

// unfinishedOf returns the rollouts of a fleet that have to be looked at: the latest, and
// those before it that may still have desktops under way. It leaves out those that have
// ended and of which all is published. A rollout may end before one that it superseded: if
// it was aborted, or if the desktops of the other were not in the fleet then. Where rollouts
// are looked at in this invocation, it returns the latest alone: superviseOne finds the others.
func (fs *fleets) unfinishedOf(fleet string) (list []rollout.Entry, err error) {
	log, err := fs.jobs.fleetLog(fleet)
	if err != nil {
		return nil, err
	}
	if !fs.separately(len(fs.rules.Fleets)) {
		return log[max(0, len(log)-1):], nil
	}
	for _, e := range slices.Backward(log) {
		over, err := fs.endedAndPublished(e.ID)
		if err != nil {
			return list, err
		}
		if !over {
			list = append(list, e)
		}
		if fs.asOf().Sub(e.At) > busyLimit {
			break
		}
	}
	return list, nil
}

// endBytes is how much of the end of a journal is read to see whether its rollout has
// ended: some times the record that says so.
const endBytes = 16 << 10

// endedAndPublished says whether a rollout has ended and all of it is published, by the end
// of its journal. That stays so, though it may be rolled back, so it is read once.
func (fs *fleets) endedAndPublished(id string) (bool, error) {
	if fs.jobs.cache.isOver(kindRollout + "/" + id) {
		return true, nil
	}
	lines, err := journal.Tail(fs.ctx, fs.jobs.store, journal.Key(kindRollout, id), endBytes)
	if err != nil {
		return false, fmt.Errorf("looking at the end of rollout %s: %w", id, err)
	}
	over := rollout.EndingIn(lines) != nil
	if over {
		fs.jobs.cache.noteOver(kindRollout + "/" + id)
	}
	return over, nil
}

// wakeEntered has an operation looked at whose journal is empty, if another log says that
// it was entered: the invocation that entered it could not open it.
func (fs *fleets) wakeEntered(kind, id string) error {
	e, err := fs.entryOf(kind, id)
	if e != nil {
		fs.wake(*e)
	}
	return err
}

// entryOf returns the entry of a rollout in its fleet's log, or of the rollback of a
// request in the request's own, or nil.
func (fs *fleets) entryOf(kind, id string) (e *rollout.Entry, err error) {
	if kind == kindRequest {
		if of, is := strings.CutSuffix(id, rollout.BackOf("")); is {
			err = fs.jobs.peek(kindRequest, of, func(s *rollout.State) { e = s.Undoing })
		}
		return e, err
	}
	_, fleet, ok := rollout.SplitID(id)
	if !ok {
		return nil, nil
	}
	log, err := fs.jobs.fleetLog(fleet)
	return log.Find(id), err
}

// wake makes a job of an operation that was entered, and opens it if it is not open yet,
// unless it was left to another invocation.
func (fs *fleets) wake(e rollout.Entry) {
	kind := kindRollout
	if e.Request() {
		kind = kindRequest
	}
	if fs.jobs.isHandedOver(kind, e.ID) {
		return
	}
	j, fresh := fs.jobs.add(kind, e.ID)
	if !fresh {
		return
	}
	err := fs.jobs.open(j)
	if err == nil && j.operation() == nil {
		if fs.asOf().Sub(e.At) > forget {
			fs.jobs.drop(j)
			return
		}
		err = fs.openEntered(j, e)
	}
	if err != nil {
		fs.recovery.fail(j, err)
	}
}

const (
	// reopen is how long after it was entered an operation whose journal is empty begins
	// when it is opened: the invocation that entered it was ended just then.
	reopen = 24 * time.Hour
	// forget is how long after that it is opened at all, and a rollout halts then, and a request is
	// refused. Later, its journal may have expired, which is kept for 30 days at least, and what is long over must
	// not begin again.
	forget = 14 * 24 * time.Hour
)

// openIfEntered opens the journal of a rollout that was entered just now: its own
// invocation is still to come, and what somebody orders of it counts all the same.
func (fs *fleets) openIfEntered(j *job) error {
	if j.operation() != nil {
		return nil
	}
	e, err := fs.entryOf(j.kind, j.id)
	if e == nil || fs.asOf().Sub(e.At) > forget {
		return err
	}
	return fs.openEntered(j, *e)
}

// late returns the record by which a rollout halts that is opened long after it was
// entered: nobody knows whether it is wanted still, or was begun and its journal deleted.
func (fs *fleets) late(e rollout.Entry) []rollout.Record {
	if e.Request() || fs.asOf().Sub(e.At) <= reopen {
		return nil
	}
	return []rollout.Record{{Kind: rollout.KindHalted, At: fs.asOf(), Reason: &events.Reason{Code: events.CodeOpenedLate,
		Message: openedLate(e.At)}}}
}

// openedLate says of an operation for people that it is opened long after it was entered.
func openedLate(entered time.Time) string {
	return fmt.Sprintf("it was entered at %s and its journal is empty: nobody has opened it since, or the journal was deleted",
		entered.UTC().Format(time.RFC3339))
}

// openEntered opens the journal of an operation that was entered.
func (fs *fleets) openEntered(j *job, e rollout.Entry) error {
	switch {
	case e.Request():
		return fs.openRequestRollback(j, e)
	case e.Undoes != "":
		return fs.openRollback(j, e)
	}
	return fs.jobs.begin(j, e.Operation, "", nil, fs.late(e)...)
}
