package handler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// fleets keep the order of the rollouts of each fleet, by its log.
type fleets struct {
	*invocation
	rules    rollout.Rules
	jobs     *jobs
	facts    *reader
	sched    *scheduler
	refuse   *refusals
	recovery *recovery
	counts   *tally
}

// enrol puts a rollout behind the others of its fleet, and returns its entry; nil: the
// message was refused for it. The order in the fleet's log is the order of the releases,
// in whatever order their messages were delivered. errPlanRefused: the message was
// refused, with the plan of all rollouts that it asks for.
func (fs *fleets) enrol(m asked, op rollout.Operation, plan string) (*rollout.Entry, error) {
	op.Via = fs.via(m.Message)
	e, refusal, err := fs.enter(op, entering{fs.identity(m.Message), m.image, plan})
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

// openRollout makes a job of a rollout that a message has entered.
func (fs *fleets) openRollout(m envelope.Message, e rollout.Entry) error {
	j, fresh := fs.jobs.add(kindRollout, e.ID)
	if fresh {
		j.message = m
	}
	return fs.jobs.begin(j, e.Operation, "", nil)
}

// refusePlan writes into the log of a fleet that a rollout was asked for with a plan
// that it no longer had, so that what is still on its way to enter it comes too late.
func (fs *fleets) refusePlan(op rollout.Operation, digest, message string) error {
	v, err := fs.jobs.openList(fs.ctx, fleetKey(op.Fleet))
	if err != nil {
		return fmt.Errorf("refusing the plan of rollout %s: %w", op.ID, err)
	}
	entered := false
	err = v.Update(fs.ctx, func(l *recordList) []rollout.Record {
		if entered = rollout.ReadFleetLog(*l).Find(op.ID) != nil; entered || rollout.PlanRefusedFor(*l, op.ID, digest, message) {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindUnplanned, At: fs.asOf(), Name: op.ID, Digest: digest, Message: message}}
	})
	if errors.Is(err, journal.ErrFull) {
		return nil // then it cannot be entered either
	}
	if err == nil && entered { // delivered again, its plan counts as checked
		err = fmt.Errorf("rollout %s was entered meanwhile", op.ID)
	}
	return err
}

// entering is what a rollout is entered for.
type entering struct {
	message string // its id
	image   bool   // an event about a new image: no message asks for it
	plan    string // the digest of the plan that is demanded; "": none is
}

// enter writes a rollout into its fleet's log, unless it is there, and returns its
// entry, or why it may not be entered. Whatever speaks against it is asked about
// the very log that it is appended to. A tick for it is on the queue before.
func (fs *fleets) enter(op rollout.Operation, why entering) (rollout.Entry, *events.Reason, error) {
	e := rollout.Entry{Operation: op, At: fs.asOf(), Message: why.message}
	v, err := fs.jobs.openList(fs.ctx, fleetKey(op.Fleet))
	if err != nil {
		return e, nil, fmt.Errorf("entering rollout %s: %w", op.ID, err)
	}
	refusals := rollout.PlanRefusals(*v.known().state, op.ID, why.plan)
	var refusal *events.Reason
	var fault error
	err = v.Update(fs.ctx, func(l *recordList) []rollout.Record {
		log := rollout.ReadFleetLog(*l)
		if refusal = rollout.RefusedBefore(*l, why.message); refusal != nil {
			return nil
		}
		if before := log.Find(op.ID); before != nil {
			e, refusal, fault = *before, nil, nil
			return nil
		}
		if refusal, fault = fs.mayFollow(log, op, why.image); fault != nil {
			return nil
		}
		if refusal != nil {
			return fs.notEntered(e, *l, why, refusal)
		}
		if rollout.PlanRefusals(*l, op.ID, why.plan) > refusals || rollout.PlanRefusedFor(*l, op.ID, why.plan, why.message) { // by another delivery
			refusal = &events.Reason{Code: events.CodePlanChanged, Message: errPlanRefused.Error()}
			return nil
		}
		if e.First, fault = fs.first(log, op); fault != nil {
			return nil
		}
		if _, fault = fs.sched.tickFor(kindRollout, op.ID); fault != nil {
			return nil
		}
		return []rollout.Record{e.Entered()}
	})
	if errors.Is(err, journal.ErrFull) {
		return e, &events.Reason{Code: events.CodeJournalFull, Message: fmt.Sprintf(
			"the log of fleet %s takes no more; give the fleet another name in fleets.yaml, which begins another log", op.Fleet)}, nil
	}
	return e, refusal, errors.Join(fault, err)
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

// reopen is how long after it was entered a rollout whose journal is empty is
// opened: the invocation that entered it was ended just then. Later, its journal has
// expired, and what is long over must not begin again.
const reopen = 24 * time.Hour

// separately says whether so many rollouts are each left to an invocation of its own, which a
// tick brings about. One alone is looked at here and now; without a queue, all are.
func (fs *fleets) separately(rollouts int) bool { return fs.hasQueue && rollouts > 1 }

// wakeLatest has the unfinished rollouts of all fleets looked at: here, or each by a tick
// with the number n.
func (fs *fleets) wakeLatest(n int) error {
	list, failed := fs.unfinished()
	for _, e := range list {
		if !fs.separately(len(fs.rules.Fleets)) {
			fs.wake(e)
			continue
		}
		failed = errors.Join(failed, fs.sched.at(kindRollout, e.ID, n))
	}
	return failed
}

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

// endBytes is how much of the end of a journal is read to see whether its rollout has
// ended: some times the record that says so.
const endBytes = 16 << 10

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

// endedAndPublished says whether a rollout has ended and all of it is published, by the end
// of its journal. That stays so, though it may be rolled back, so it is read once.
func (fs *fleets) endedAndPublished(id string) (bool, error) {
	if fs.jobs.cache.isOver(id) {
		return true, nil
	}
	lines, err := journal.Tail(fs.ctx, fs.jobs.store, journal.Key(kindRollout, id), endBytes)
	if err != nil {
		return false, fmt.Errorf("looking at the end of rollout %s: %w", id, err)
	}
	over := rollout.EndingIn(lines) != nil
	if over {
		fs.jobs.cache.noteOver(id)
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

// openIfEntered opens the journal of a rollout that was entered just now: its own
// invocation is still to come, and what somebody orders of it counts all the same.
func (fs *fleets) openIfEntered(j *job) error {
	if j.operation() != nil {
		return nil
	}
	e, err := fs.entryOf(j.kind, j.id)
	if e == nil || fs.asOf().Sub(e.At) > reopen {
		return err
	}
	return fs.openEntered(j, *e)
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
		if fs.asOf().Sub(e.At) > reopen {
			fs.jobs.drop(j)
			return
		}
		err = fs.openEntered(j, e)
	}
	if err != nil {
		fs.recovery.fail(j, err)
	}
}

// openEntered opens the journal of an operation that was entered.
func (fs *fleets) openEntered(j *job, e rollout.Entry) error {
	switch {
	case e.Request():
		return fs.openRequestRollback(j, e)
	case e.Undoes != "":
		return fs.openRollback(j, e)
	}
	return fs.jobs.begin(j, e.Operation, "", nil)
}

// openRollback lets a rollback that was entered take over from what it undoes, and
// opens it. Each step may have been taken before, by an invocation that was ended.
func (fs *fleets) openRollback(back *job, e rollout.Entry) error {
	origin, _ := fs.jobs.add(kindRollout, e.Undoes)
	if err := fs.jobs.open(origin); err != nil {
		return err
	}
	err := origin.journal.Update(fs.ctx, func(s *rollout.State) []rollout.Record {
		if s.Operation == nil || e.Message == "" || s.Controls[e.Message] {
			return nil // expired, or in the journal already
		}
		return []rollout.Record{{Kind: rollout.KindControl, At: fs.asOf(), Action: events.ActionRollback, Who: e.By, Message: e.Message, Via: e.Via,
			Reason: &events.Reason{Code: controlCode(events.ActionRollback), Message: e.Why}}}
	})
	if err != nil {
		return err
	}
	// From here on nothing more is begun that would have to go back too.
	if err := fs.supersede(origin, e.ID); err != nil {
		return err
	}
	if e.Back, err = fs.undo(origin, e.Operation); err != nil {
		return err
	}
	return fs.jobs.begin(back, e.Operation, "", nil)
}

// undo returns what a rollout changed: from its journal or, if that has expired,
// from what ECD records.
func (fs *fleets) undo(j *job, op rollout.Operation) (map[string][]string, error) {
	if j.operation() == nil {
		return fs.undoByRecords(op)
	}
	var back map[string][]string
	j.journal.Look(func(s *rollout.State) { back = s.Undo() })
	return back, nil
}

// all returns the desktops that go back.
func all(back map[string][]string) (ids []string) {
	for _, image := range slices.Sorted(maps.Keys(back)) {
		ids = append(ids, back[image]...)
	}
	return ids
}

// maxByRecords bounds the desktops of a rollback for which ECD has to be asked one by
// one, so that all answers come within an invocation.
const maxByRecords = 10_000

// A tooManyError says why so many desktops cannot be rolled back, however often that is
// asked for.
type tooManyError struct{ why string }

func (e *tooManyError) Error() string { return e.why }

// undoByRecords finds out from ECD's own records what a rollout changed whose
// journal has expired: the members of its fleet that are on its image now, by the
// image that each came from. It takes a call a desktop.
func (fs *fleets) undoByRecords(op rollout.Operation) (map[string][]string, error) {
	var members rollout.Fact[[]desktop.Desktop]
	fs.facts.look(1, map[desktop.Place]*rollout.Need{op.Place(): {Members: []string{op.Fleet}}})
	fs.facts.use(op.Place(), rollout.Others{}, func(f *rollout.Facts) { members = f.Members[op.Fleet] })
	if members.Err != nil {
		return nil, errors.New(members.Err.Message)
	}
	var on []string
	for _, d := range members.Value {
		if d.ImageID == op.ImageID {
			on = append(on, d.ID)
		}
	}
	if len(on) > maxByRecords {
		return nil, &tooManyError{fmt.Sprintf("its journal has expired, %d desktops are on its image, and ECD can be asked about %d where each came from; "+
			"publish the image that is wanted",
			len(on), maxByRecords)}
	}
	fs.facts.look(1, map[desktop.Place]*rollout.Need{op.Place(): {Changes: on}})
	back := map[string][]string{}
	for _, id := range on {
		var changes rollout.Fact[[]desktop.Change]
		fs.facts.use(op.Place(), rollout.Others{}, func(f *rollout.Facts) { changes = f.Changes[id] })
		if changes.Err != nil {
			return nil, errors.New(changes.Err.Message)
		}
		for _, c := range changes.Value { // newest first
			if c.To == op.ImageID && c.From != "" && c.From != c.To && c.State == desktop.ChangeSucceeded {
				back[c.From] = append(back[c.From], id)
				break
			}
		}
	}
	return back, nil
}

// supervise sees to it that only the latest rollout of a fleet begins anything, and
// that it knows what earlier ones are still rebuilding; and that the rollback of a request
// knows it of the request. It goes by the fleet's log alone, so the order of messages does
// not matter. It does so for those operations which are wanted.
func (fs *fleets) supervise(wanted func(*rollout.Operation) bool) {
	for j := range fs.jobs.each() {
		if j.failure() != nil {
			continue
		}
		op := j.operation()
		if op == nil || !wanted(op) {
			continue
		}
		err := contain(func() error {
			if j.kind == kindRequest {
				return fs.superviseRequest(j)
			}
			return fs.superviseOne(j, op)
		})
		if err != nil {
			fs.recovery.fail(j, err)
		}
	}
}

// superviseOne has a rollout superseded by the latest of its fleet, or, if it is the
// latest, supersedes all before it.
func (fs *fleets) superviseOne(j *job, op *rollout.Operation) error {
	log, err := fs.jobs.fleetLog(op.Fleet)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(log, func(e rollout.Entry) bool { return e.ID == op.ID })
	if at < 0 {
		return fmt.Errorf("rollout %s is not in the log of fleet %s: the journal is damaged", op.ID, op.Fleet)
	}
	if latest := log.Latest(); latest.ID != op.ID {
		if err := fs.supersede(j, latest.ID); err != nil {
			return err
		}
		fs.wake(*latest)
		return nil
	}
	var others rollout.Others
	for at--; at >= 0; at-- {
		if err := fs.follow(log[at].ID, op.ID, &others); err != nil {
			return err
		}
		if fs.asOf().Sub(log[at+1].At) > busyLimit {
			break
		}
	}
	j.others = others
	return nil
}

// follow has an earlier rollout of a fleet superseded by the latest, and adds the desktops
// that it still uses. It may use some though a rollout after it has ended.
func (fs *fleets) follow(earlier, latest string, others *rollout.Others) error {
	if fs.jobs.find(kindRollout, earlier) == nil {
		if over, err := fs.endedAndPublished(earlier); over || err != nil { // its journal may be large
			return err
		}
	}
	before, fresh := fs.jobs.add(kindRollout, earlier)
	if err := fs.jobs.open(before); err != nil {
		return err
	}
	if !fs.jobs.isHandedOver(kindRollout, earlier) {
		if err := fs.openIfEntered(before); err != nil { // whoever entered it could not, and its events are waited for
			return err
		}
	}
	if err := fs.supersede(before, latest); err != nil {
		return err
	}
	before.journal.Look(func(s *rollout.State) { others.Add(earlier, s) })
	if fresh && (before.over() || fs.jobs.isHandedOver(kindRollout, earlier)) { // there is nothing to do for it here
		fs.jobs.keepOne(before)
		fs.jobs.drop(before)
	}
	return nil
}

// busyLimit is how long after a rollout was superseded desktops may still be under way for
// it: a day each at the most until it is known whether a call began a rebuild, for the
// rebuild (rebuildTimeout), for its check (check.stable), as long as ECD cannot be asked, and
// until the desktop is restored; and some time for the last look.
const busyLimit = 5*24*time.Hour + 2*time.Hour

// supersede writes down that a newer rollout took over. From then on no desktop is
// begun for the old one, not even by an instance that is working on it now.
func (fs *fleets) supersede(j *job, by string) error {
	return j.journal.Update(fs.ctx, func(s *rollout.State) []rollout.Record {
		if !s.Open() || s.Superseded != "" {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindSuperseded, At: fs.asOf(), Who: by,
			Reason: &events.Reason{Code: events.CodeSuperseded, Message: by + " took over"}}}
	})
}

// fleetNamed returns the fleet of that name, or nil.
func fleetNamed(fleets fleet.Fleets, name string) *fleet.Fleet {
	if i := slices.IndexFunc(fleets, func(f fleet.Fleet) bool { return f.Name == name }); i >= 0 {
		return &fleets[i]
	}
	return nil
}
