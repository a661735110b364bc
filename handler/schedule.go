package handler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

const (
	// grace is how long after an invocation's deadline the tick comes that looks
	// after what it may have left.
	grace = 15 * time.Second
	// slack is how much later than wished for a tick may come that is on its way
	// already. One that is due sooner than that may have come and be used up: the
	// clock of the instance that sent it may be ahead of ours.
	slack = 15 * time.Second
	// early is how much sooner than wished it may come: before anything is due it only
	// reads, and another one must follow.
	early = 4 * time.Second
	// overdue is after how long a tick that did not come is taken for lost.
	overdue = 5 * time.Minute
	// maxTickBody keeps a tick that carries records below what MNS takes.
	maxTickBody = 60_000
)

// errNoQueue says that there is no queue to put anything on.
var errNoQueue = errors.New("no REGILD_REQUEST_QUEUE is set")

// A scheduler is the stage that puts ticks on the queue, and the one that sends
// anything there.
type scheduler struct {
	*invocation
	queue, rolloutQueue Queue // nil: none
	key                 []byte
	index               *openIndex
	counts              *tally
	again               *redeliveries
	out                 *outbox

	mu     sync.Mutex
	ticked map[string]rollout.Record // first ticks that were sent, by kind and id
}

// schedule puts a tick on the queue for every job that is not finished.
func (sc *scheduler) schedule(jobs []*job) {
	for _, j := range jobs {
		kept := sc.out.unwritten(j)
		if !sc.hasQueue || !sc.hasJournal {
			sc.out.write(j, kept...)
			kept = nil
		}
		next := j.decision.Next
		var open bool
		j.journal.Look(func(s *rollout.State) {
			open = s.Open()
			if since, fresh := s.Unsaid(); fresh && kept == nil {
				next = rollout.Soonest(next, sc.business().Add(rollout.Backoff(sc.business().Sub(since))))
			}
		})
		if next.IsZero() {
			sc.flush(j)
			sc.out.write(j, kept...)
			if sc.confirm(j) && !open {
				sc.index.leave(j)
			}
			continue
		}
		sc.counts.unfinished(j.id)
		switch {
		case !sc.hasQueue:
			sc.noQueue(j, open)
		case !sc.hasJournal:
			sc.carry(j, next)
		default:
			sc.index.enter(j) // who opened it may have been killed before that
			if err := sc.tick(j, next, j.ownMessage(), kept...); err != nil {
				sc.again.add(err)
			}
		}
		sc.flush(j)
	}
}

// flush writes down that a job was opened, if nothing else was written about it.
func (sc *scheduler) flush(j *job) {
	if err := j.journal.Flush(sc.last); err != nil {
		sc.again.add(err)
	}
}

// noQueue asks for a redelivery, for want of ticks, if there is anything that it could
// do: something is not published, a desktop has yet to be begun, or is still in
// maintenance mode, or stopped, because of us. An accepted rebuild needs nothing else.
func (sc *scheduler) noQueue(j *job, open bool) {
	waiting := 0
	j.journal.Look(func(s *rollout.State) {
		waiting = len(s.Fresh()) + len(s.UnpublishedEvents)
		if open {
			for _, d := range s.Desktops {
				if d.Phase == rollout.Pending || d.Phase == rollout.Begun || d.Held || d.Stopped {
					waiting++
				}
			}
		}
	})
	if waiting > 0 {
		sc.again.add(fmt.Errorf("%s %s is not finished and %w", j.kind, j.id, errNoQueue))
	}
}

// tick puts a tick on the queue, unless one is on its way that comes in time.
// So however often things are delivered, there is one chain of ticks and not
// many. What else is to be written down then goes into the same append. A guarded tick
// comes once more after the invocation that gets it must have ended, and is the watchdog
// of that.
func (sc *scheduler) tick(j *job, at time.Time, guarded bool, kept ...rollout.Record) error {
	if guarded && j.recalled && !j.upToDate() {
		sc.out.write(j, kept...)
		return sc.decideAnew(j)
	}
	now := sc.business().UTC()
	var n int
	var inTime bool
	j.journal.Look(func(s *rollout.State) {
		n, inTime = s.TickN, coming(s, j.used, rollout.Later(now.Add(slack), soonest(now, at)), at.Add(slack))
		inTime = inTime && !(guarded && n == j.used) // it has no copy itself: whoever gets it needs a watchdog, and another record
	})
	if inTime {
		sc.out.write(j, kept...)
		if guarded {
			sc.confirm(j)
		}
		return nil
	}
	delay := min(max(at.Sub(now), time.Second), rollout.MaxTick)
	// The record of the tick that brought us may be late.
	rec := rollout.Record{Kind: rollout.KindTick, N: min(max(n, j.used)+1, events.TickAnyway), Until: now.Add(delay)}
	body, err := events.Tick{Kind: j.kind, ID: j.id, N: rec.N}.Event(sc.in.Source, now).Marshal()
	if err == nil {
		rec.Again, err = sc.sendTick(j, body, now, delay, guarded)
	}
	if err != nil {
		sc.out.write(j, kept...)
		return fmt.Errorf("putting a tick for %s on the queue: %w", j.id, err)
	}
	if guarded {
		rec.At = sc.since // when it was looked at counts: perhaps no record says so before anything was read
	}
	rec.Indexed = sc.index.has(j)
	if err = sc.noteTick(j, guarded, rec, kept); errors.Is(err, errOvertaken) {
		sc.out.write(j, kept...)
		return sc.decideAnew(j)
	}
	if err != nil || !sc.overtakes(j, at) {
		return err
	}
	return sc.tick(j, sc.business().Add(sc.longest()), false) // somebody looks when they must have ended
}

// noteTick writes down that a tick is on the queue, and what is kept for that append. If it is not written the tick comes
// all the same, and does no harm. The error is errOvertaken if others have written since this instance knew what
// the job was decided about by.
func (sc *scheduler) noteTick(j *job, guarded bool, rec rollout.Record, kept []rollout.Record) error {
	records := func(s *rollout.State) []rollout.Record {
		if s.Closed && s.Quiet() { // by others: the end of the journal says so, and nothing else may stand behind that
			return kept
		}
		return append(kept, rec)
	}
	if guarded && j.recalled {
		basis := j.decision.basis
		return j.journal.UpdateBy(sc.last, &basis, overtaken, records)
	}
	return j.journal.Update(sc.last, records)
}

// confirm says whether the job was decided about by what its journal says. If it was by what this
// instance knew, and nothing was written that would have shown whether others have, the journal
// is read now; if they have, the job is looked at once more.
func (sc *scheduler) confirm(j *job) bool {
	if !j.recalled {
		return true
	}
	if j.journal.Recalled() {
		if err := j.journal.Refresh(sc.last); err != nil {
			sc.log.Warn("a job is looked at again: its journal could not be read", "job", j.id, "error", err.Error())
			if err := sc.after(time.Minute, j.kind, j.id, events.TickAnyway); err != nil {
				sc.again.add(err)
			}
			return false
		}
	}
	if j.upToDate() {
		return true
	}
	if err := sc.decideAnew(j); err != nil {
		sc.again.add(err)
	}
	return false
}

// decideAnew has a job looked at at once that was decided about by what this instance knew, and
// others have written since, unless they have ended it. If they have put a later tick on the queue, that
// does it: ours is one that was overtaken, and two instances must not wake each other for ever.
func (sc *scheduler) decideAnew(j *job) error {
	need := false
	j.journal.Look(func(s *rollout.State) {
		need = s.Operation != nil && !(s.Closed && s.Quiet()) && !laterComes(s, j.used, sc.business())
	})
	j.recalled = false
	if !need {
		return nil
	}
	return sc.tick(j, sc.business(), true)
}

// sendTick puts a tick on the queue that comes after a delay, and says when it comes once more. If MNS
// does not take the two for sure it is sent alone: whoever gets it sends a watchdog.
func (sc *scheduler) sendTick(j *job, body []byte, now time.Time, delay time.Duration, guarded bool) (again time.Time, err error) {
	if after := delay + sc.longest(); guarded && after <= rollout.MaxTick {
		if err = sc.queueOf(j.kind).SendEach(sc.last, body, delay, after); err == nil {
			return now.Add(after), nil
		}
		sc.log.Warn("a tick is sent without its watchdog", "job", j.id, "error", err.Error())
	}
	return time.Time{}, sc.send(j.kind, body, delay)
}

// overtakes says whether a tick that is wanted at a time may be too late for what others have
// written since that was decided, and overtakes the watchdog of whoever is at work: something was
// begun or done within the time that an invocation may take. Two that only look wake each other for
// ever otherwise.
func (sc *scheduler) overtakes(j *job, at time.Time) bool {
	now, atWork := sc.business(), false
	since := now.Add(-sc.longest())
	basis := j.journal.Look(func(s *rollout.State) {
		for _, d := range s.Desktops {
			if max(d.BegunAt, d.ActedAt).Time().After(since) {
				atWork = true
			}
		}
	})
	return atWork && basis != j.decision.basis && at.After(now.Add(sc.longest()))
}

// soonest returns how soon a tick on its way may come instead of one that is wanted at a time.
// What is wanted later than a tick can come is reached in steps, and any step of a fair length
// does: else each look at a rollout beside another puts one more on the queue.
func soonest(now, at time.Time) time.Time {
	if at.After(now.Add(rollout.MaxTick - slack)) {
		return now.Add(rollout.MaxTick / 2)
	}
	return at.Add(-early)
}

// coming says whether a tick is on its way that comes between two times, when those up to the
// number used have been delivered: of that one only its second copy may still come.
func coming(s *rollout.State, used int, from, to time.Time) bool {
	within := func(t time.Time) bool { return t.After(from) && !t.After(to) }
	return s.TickN > used && within(s.TickAt) || s.TickN >= used && within(s.AgainAt)
}

// watchdog puts a tick on the queue that comes after the invocation must have ended,
// before anything is read or begun: after a crash the journal is looked at again. In
// the end the tick that is really wanted overtakes it. Mostly the tick that brought the
// invocation comes once more and is the watchdog.
func (sc *scheduler) watchdog(j *job) error {
	if !sc.hasQueue || !sc.hasJournal {
		return nil
	}
	open := false
	j.journal.Look(func(s *rollout.State) { open = s.Open() })
	if open {
		sc.index.enter(j) // and before anything is done, its end is waited for
	}
	watched := true
	j.journal.Look(func(s *rollout.State) { watched = sc.watched(j, s) })
	if watched {
		return nil
	}
	return sc.tick(j, sc.business().Add(sc.afterUs()), false)
}

// comesAnyway says whether a tick of a job is on its way that this look at it does not use up, for
// another job has brought it along: cut off before anything is written, it has changed nothing.
func (sc *scheduler) comesAnyway(j *job) (comes bool) {
	j.journal.Look(func(s *rollout.State) {
		comes = !j.ownMessage() && rollout.Later(s.TickAt, s.AgainAt).After(sc.asOf().Add(slack))
	})
	return comes
}

// watched says whether a tick looks after this invocation, if there is anything to look after.
// Another invocation may put a later one on the queue, which overtakes it.
func (sc *scheduler) watched(j *job, s *rollout.State) bool {
	end := sc.business().Add(sc.afterUs())
	return !sc.hasQueue || !sc.hasJournal || !s.Open() || coming(s, j.used, sc.asOf().Add(slack), end.Add(slack))
}

// firstTick sees to it that a tick for an operation that is not opened yet is on the
// queue, and returns the record that says so. So a crash before it is looked at leaves
// a tick that has it looked at, whatever the message that asked for it is taken for
// when it comes again. again, if there is one, is what comes instead.
func (sc *scheduler) firstTick(j *job, again *resent) ([]rollout.Record, error) {
	known := false
	j.journal.Look(func(s *rollout.State) { known = s.Operation != nil })
	if known || !sc.hasQueue || !sc.hasJournal {
		return nil, nil
	}
	if again != nil {
		rec, err := sc.put(j.kind, j.id, again.n, again.as)
		return []rollout.Record{rec}, err
	}
	rec, err := sc.tickFor(j.kind, j.id)
	return []rollout.Record{rec}, err
}

// tickFor puts the first tick for an operation on the queue, if there is one, once in
// an invocation: it comes after this invocation must have ended. It returns the record
// of it.
func (sc *scheduler) tickFor(kind, id string) (rollout.Record, error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if rec, sent := sc.ticked[kind+"/"+id]; sent || !sc.hasQueue {
		return rec, nil
	}
	rec, err := sc.put(kind, id, 1, events.Tick{Kind: kind, ID: id, N: 1}.Event)
	if err == nil {
		sc.ticked[kind+"/"+id] = rec
	}
	return rec, err
}

// put puts what has an operation looked at on the queue, as its tick n: it comes after this
// invocation must have ended. It returns the record of it.
func (sc *scheduler) put(kind, id string, n int, event func(source string, at time.Time) events.Event) (rollout.Record, error) {
	now := sc.business().UTC()
	rec := rollout.Record{Kind: rollout.KindTick, N: n, Until: now.Add(min(sc.afterUs(), rollout.MaxTick))}
	body, err := event(sc.in.Source, now).Marshal()
	if err == nil {
		err = sc.send(kind, body, rec.Until.Sub(now))
	}
	if err != nil {
		return rec, fmt.Errorf("putting a tick for %s on the queue: %w", id, err)
	}
	return rec, nil
}

// tickIfIdle is the number of a tick for an operation that need not be looked at if a
// tick for it is on its way already: the first one of its chain has the number 1.
const tickIfIdle = 0

// at puts a tick for an operation on the queue that comes at once.
func (sc *scheduler) at(kind, id string, n int) error { return sc.after(time.Second, kind, id, n) }

// after puts a tick for an operation on the queue that comes after delay. It belongs to no
// chain of ticks, and nothing is written down of it.
func (sc *scheduler) after(delay time.Duration, kind, id string, n int) error {
	body, err := events.Tick{Kind: kind, ID: id, N: n}.Event(sc.in.Source, sc.asOf()).Marshal()
	if err == nil {
		err = sc.send(kind, body, delay)
	}
	if err != nil {
		return fmt.Errorf("putting a tick for %s on the queue: %w", id, err)
	}
	return nil
}

// afterUs is how long it takes until this invocation must have ended.
func (sc *scheduler) afterUs() time.Duration {
	if sc.deadline.IsZero() {
		return rollout.CallLimit + grace
	}
	return time.Until(sc.deadline) + grace
}

// longest is how long it takes from its beginning until an invocation must have ended: one
// that is still to come has as much time as this one.
func (sc *scheduler) longest() time.Duration {
	if sc.deadline.IsZero() {
		return sc.afterUs()
	}
	return sc.deadline.Sub(sc.began) + grace
}

// carry sends what is unfinished to ourselves, for want of a journal, in as many
// ticks as it takes.
func (sc *scheduler) carry(j *job, at time.Time) {
	now := sc.business().UTC()
	delay := min(max(at.Sub(now), time.Second), rollout.MaxTick)
	err := sc.carriers(j, now, func(body []byte) error { return sc.send(j.kind, body, delay) })
	if err != nil {
		sc.again.add(fmt.Errorf("putting a tick for %s %s on the queue: %w", j.kind, j.id, err))
	}
}

const (
	// firstFit is how many desktops the first tick is tried with. Further ones are tried
	// with as many as went into the one before.
	firstFit = 256
	// carryWorkers is how many ticks that carry records are sent at once.
	carryWorkers = 4
)

// carriers makes the ticks that carry what is unfinished, one after the other, and sends
// each, some at once. An error of send ends it; a desktop that does not fit into a tick is
// an error too, and those before it are sent even so.
func (sc *scheduler) carriers(j *job, now time.Time, send func([]byte) error) error {
	var ids []string
	j.journal.Look(func(s *rollout.State) {
		for _, id := range s.Order {
			if d := s.Desktops[id]; d.Phase != rollout.Final || len(d.Unpublished) > 0 || d.Held || d.Stopped {
				ids = append(ids, id)
			}
		}
	})
	group, ctx := errgroup.WithContext(context.WithoutCancel(sc.last)) // only an error of send ends it
	group.SetLimit(carryWorkers)
	for fit := firstFit; len(ids) > 0 && ctx.Err() == nil; {
		n := min(fit, len(ids))
		var body []byte
		var err error
		j.journal.Look(func(s *rollout.State) { body, err = carried(s, j, ids[:n], sc.in.Source, sc.key, now) })
		if err != nil || len(body) > maxTickBody {
			if fit = n / 2; fit == 0 {
				return errors.Join(fmt.Errorf("desktop %s does not fit a tick", ids[0]), err, group.Wait())
			}
			continue
		}
		group.Go(func() error { return contain(func() error { return send(body) }) })
		fit, ids = max(1, n*maxTickBody*9/10/len(body)), ids[n:]
	}
	return group.Wait()
}

// carried is a tick with the records of some desktops.
func carried(s *rollout.State, j *job, ids []string, source string, key []byte, now time.Time) ([]byte, error) {
	lines, err := rollout.Encode(s.Compact(ids))
	if err != nil {
		return nil, err
	}
	t := events.Tick{Kind: j.kind, ID: j.id, N: min(s.TickN+1, events.TickAnyway)}
	for line := range strings.Lines(string(lines)) {
		t.Records = append(t.Records, strings.TrimSuffix(line, "\n"))
	}
	if len(key) > 0 {
		t = t.Sign(key, source)
	}
	return t.Event(source, now).Marshal()
}

// send puts a message about an operation of the kind on the queue for such.
func (sc *scheduler) send(kind string, body []byte, delay time.Duration) error {
	if !sc.hasQueue {
		return errNoQueue
	}
	return sc.queueOf(kind).Send(sc.last, body, delay)
}

// queueOf returns the queue for operations of the kind.
func (sc *scheduler) queueOf(kind string) Queue {
	if kind == kindRollout && sc.rolloutQueue != nil {
		return sc.rolloutQueue
	}
	return sc.queue
}
