package handler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

const (
	// grace is how long after an invocation's deadline the tick comes that looks
	// after what it may have left.
	grace = 15 * time.Second
	// slack is how much later than wished for a tick may come that is on its way
	// already. One that is due sooner than that may have come and be used up: the
	// clock of whoever sent it may be ahead of ours.
	slack = 15 * time.Second
	// overdue is after how long a tick that did not come is taken for lost.
	overdue = 5 * time.Minute
	// maxTickBody keeps a tick that carries records below what MNS takes.
	maxTickBody = 60_000
)

// publish sees to it that all that the journals say and the world does not know
// is on its way, and closes what has ended.
func (r *run) publish() {
	for _, j := range r.live() {
		r.out.addAll(j)
	}
	r.out.drain()
	for _, j := range r.live() {
		if err := contain(func() error { return r.conclude(j) }); err != nil {
			r.fail(j, err)
			continue
		}
		r.out.addAll(j)
	}
	r.out.drain()
	for _, j := range r.live() {
		r.out.emitEvents(j)
	}
	r.out.drain()
}

// conclude decides once more, now that the calls are made, without asking
// anybody: what has ended is closed, and what has not says when to look again.
func (r *run) conclude(j *job) error {
	var d rollout.Decision
	seen := j.journal.Look(func(s *rollout.State) {
		if !s.Open() {
			return
		}
		d = j.able(rollout.Decide(s, r.Rules, r.factsOf(s.Operation.RegionID, j.busy), r.business().UTC()))
	})
	switch {
	case !d.Need.Empty():
		d.Again = earlier(d.Again, r.now.Add(30*time.Second))
	case len(d.Begin) > 0 || d.Acts():
		d.Again = r.now // time ran short
	default:
		ctx, cancel := r.last()
		defer cancel()
		err := j.journal.UpdateBy(ctx, &seen, overtaken, func(*rollout.State) []rollout.Record { return d.Records })
		if errors.Is(err, errOvertaken) {
			d, err = rollout.Decision{Again: r.now}, nil // the tick decides anew
		}
		if err != nil {
			return err
		}
	}
	j.decision = d
	return nil
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// remind puts a tick on the queue for every job that is not finished.
func (r *run) remind() {
	for _, j := range r.live() {
		again := j.decision.Again
		var open bool
		j.journal.Look(func(s *rollout.State) {
			open = s.Open()
			if since, fresh := s.Unsaid(); fresh {
				again = earlier(again, r.business().Add(rollout.Backoff(r.business().Sub(since))))
			}
		})
		if again.IsZero() {
			if !open && j.kind == kindRequest && r.Journal != nil && r.isIndexed(j) {
				r.noteClosed(journal.OpenKey(j.id))
			}
			continue
		}
		r.counts.unfinished(j.id)
		switch {
		case r.Queue == nil:
			r.noQueue(j, open)
		case r.Journal == nil:
			r.carry(j, again)
		default:
			if err := r.tick(j, again); err != nil {
				r.redeliver(err)
			}
		}
	}
}

// noQueue asks for a redelivery when there is no queue to remind us, if there is
// anything that it could do: an accepted rebuild goes on without us.
func (r *run) noQueue(j *job, open bool) {
	waiting := 0
	j.journal.Look(func(s *rollout.State) {
		waiting = len(s.Fresh())
		if open {
			for _, d := range s.Desktops {
				if d.Phase == rollout.Pending || d.Phase == rollout.Begun {
					waiting++
				}
			}
		}
	})
	if waiting > 0 {
		r.redeliver(fmt.Errorf("%s %s is not finished and %w", j.kind, j.id, errNoQueue))
	}
}

// tick puts a tick on the queue, unless one is on its way that comes in time.
// So however often things are delivered, there is one chain of ticks and not
// many.
func (r *run) tick(j *job, at time.Time) error {
	now := r.business().UTC()
	var n int
	var coming time.Time
	j.journal.Look(func(s *rollout.State) { n, coming = s.TickN, s.TickAt })
	if n > j.used && coming.After(now.Add(slack)) && coming.After(at.Add(-slack)) && !coming.After(at.Add(slack)) {
		return nil
	}
	delay := min(max(at.Sub(now), time.Second), rollout.MaxTick)
	// The record of the tick that brought us may be late. Who sends a tick chooses its
	// number, also the highest: after that one all have it, and none is overtaken.
	n = min(max(n, j.used)+1, events.TickAnyway)
	body, err := events.Tick{Kind: j.kind, ID: j.id, N: n}.Event(r.in.Source, now).Marshal()
	if err != nil {
		return err
	}
	if err := r.send(j.kind, body, delay); err != nil {
		return fmt.Errorf("putting a tick for %s on the queue: %w", j.id, err)
	}
	ctx, cancel := r.last()
	defer cancel()
	indexed := r.isIndexed(j)
	// If this is not written the tick comes all the same, and does no harm.
	return j.journal.Update(ctx, func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindTick, N: n, Until: now.Add(delay), Indexed: indexed}}
	})
}

// insure puts a tick on the queue that comes after the invocation must have
// ended, before anything is read or begun: whatever kills us, the journal is
// looked at again. In the end the tick that is really wanted overtakes it.
func (r *run) insure(j *job) error {
	if r.Queue == nil || r.Journal == nil {
		return nil
	}
	var entry sync.WaitGroup
	defer entry.Wait()
	open := false
	j.journal.Look(func(s *rollout.State) { open = s.Open() })
	if open && j.kind == kindRequest && !r.isIndexed(j) {
		entry.Go(func() { r.noteOpen(j) })
	}
	at := r.business().Add(r.afterUs())
	var sure bool
	j.journal.Look(func(s *rollout.State) {
		sure = !open || s.TickN > j.used && s.TickAt.After(r.now.Add(slack)) && !s.TickAt.After(at.Add(slack))
	})
	if sure {
		return nil
	}
	return r.tick(j, at)
}

// afterUs is how long it takes until this invocation must have ended.
func (r *run) afterUs() time.Duration {
	if r.deadline.IsZero() {
		return rollout.CallLimit + grace
	}
	return time.Until(r.deadline) + grace
}

// carry sends what is unfinished to ourselves, for want of a journal, in as many
// ticks as it takes.
func (r *run) carry(j *job, at time.Time) {
	var bodies [][]byte
	now := r.business().UTC()
	j.journal.Look(func(s *rollout.State) {
		var ids []string
		for _, id := range s.Order {
			if d := s.Desktops[id]; d.Phase != rollout.Final || len(d.Unpublished) > 0 || d.Held || d.Stopped {
				ids = append(ids, id)
			}
		}
		for fit := len(ids); len(ids) > 0; { // what did not fit once is not tried again
			n := min(fit, len(ids))
			body, err := carried(s, j, ids[:n], r.in.Source, r.TickKey, now)
			for ; err != nil || len(body) > maxTickBody; body, err = carried(s, j, ids[:n], r.in.Source, r.TickKey, now) {
				if n /= 2; n == 0 {
					r.redeliver(fmt.Errorf("%s %s is not finished and does not fit a tick: %w", j.kind, j.id, err))
					return
				}
			}
			bodies = append(bodies, body)
			fit, ids = n, ids[n:]
		}
	})
	for _, body := range bodies {
		if err := r.send(j.kind, body, min(max(at.Sub(now), time.Second), rollout.MaxTick)); err != nil {
			r.redeliver(fmt.Errorf("putting a tick for %s on the queue: %w", j.id, err))
			return
		}
	}
}

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

// publishPlan tells what a dry run would do: outcomes for a request, the pages
// of a plan for both.
func (r *run) publishPlan(p events.Plan, w rollout.Operation) {
	for _, page := range events.PlanPages(p) {
		r.out.put(nil, item{event: page.Event(r.in.Source, r.now)})
	}
	if w.Request() {
		for _, o := range rollout.Outcomes(p, w) {
			r.out.put(nil, item{event: o.Event(r.in.Source, r.now), said: o})
		}
	}
}

// unfinishedNames lists some names for a log line.
func unfinishedNames(ids map[string]bool) string {
	names := slices.Sorted(maps.Keys(ids))
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
