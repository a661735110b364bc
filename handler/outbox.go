package handler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// An outbox publishes what the journals say is not published yet, some at once,
// while the invocation goes on. What MNS took is written down as published, a little of
// it together with the tick at the end; what it did not take stays unpublished, for the
// next tick.
type outbox struct {
	*invocation
	topic  Topic
	counts *tally
	again  *redeliveries
	open   context.Context //nolint:containedctx // publishing may go on a little longer than the invocation's ctx
	end    context.CancelFunc

	mu         sync.Mutex
	idle       *sync.Cond // nobody publishes any more
	queue      []item
	publishers int                      // under way
	most       int                      // and may be; 0: the outbox is closed
	queued     map[*job]map[string]bool // ids that are in the queue, or were
	taken      map[*job]*taken
}

// An item is one message to publish. Its job is nil when no journal knows of it.
type item struct {
	job     *job
	event   events.Event
	group   groupOf // which outcome of the desktop that the event is about
	eventID string  // or which event of the operation, by its id in the journal
}

// taken is what MNS took for a job and the journal does not know yet.
type taken struct {
	outcomes map[groupOf][]string
	events   []string
	n        int
}

type groupOf struct {
	status events.Status
	n      int
}

func (t *taken) add(i item) {
	t.n++
	if i.eventID != "" {
		t.events = append(t.events, i.eventID)
		return
	}
	if t.outcomes == nil {
		t.outcomes = map[groupOf][]string{}
	}
	t.outcomes[i.group] = append(t.outcomes[i.group], i.event.Subject)
}

// flushAt bounds how much is published once more after a crash: what MNS took is
// written down when it is so much, and when all of a stage is published. So much as
// keptAt waits for the end: see unwritten.
const (
	flushAt = 2000
	keptAt  = 100
)

// newOutbox returns an outbox that publishes so many messages at once.
func newOutbox(i *invocation, topic Topic, concurrency int, counts *tally, again *redeliveries) *outbox {
	o := &outbox{invocation: i, topic: topic, counts: counts, again: again, most: concurrency, queued: map[*job]map[string]bool{}, taken: map[*job]*taken{}}
	o.open, o.end = o.until(o.reserve() / 2) // the other half is for ticks
	o.idle = sync.NewCond(&o.mu)
	return o
}

// add puts the outcomes of these desktops of the job into the queue that are
// neither published nor in the queue.
func (o *outbox) add(j *job, ids []string) {
	items := make([]item, 0, len(ids))
	j.journal.Look(func(s *rollout.State) {
		for _, id := range ids {
			if d := s.Desktops[id]; d != nil {
				for _, out := range d.Unpublished {
					items = append(items, o.outcome(j, s.Operation, id, out))
				}
			}
		}
	})
	o.put(items...)
}

// addAll does so for all desktops of the job.
func (o *outbox) addAll(j *job) {
	var ids []string
	j.journal.Look(func(s *rollout.State) { ids = s.Fresh() })
	o.add(j, ids)
}

// publishOutcomes publishes all outcomes of the jobs that are not published, and waits.
func (o *outbox) publishOutcomes(jobs []*job) {
	for _, j := range jobs {
		o.addAll(j)
	}
	o.drain()
}

// publish publishes all that is not published: outcomes, then events.
func (o *outbox) publish(jobs []*job) {
	o.publishOutcomes(jobs)
	for _, j := range jobs {
		o.emitEvents(j)
	}
}

// emitEvents publishes the events of the operation as a whole, in their order. A
// request's summary waits until all its outcomes are published.
func (o *outbox) emitEvents(j *job) {
	var items []item
	j.journal.Look(func(s *rollout.State) {
		if s.Operation == nil || s.Operation.Request() && !o.tookOutcomes(j, s) {
			return
		}
		for _, e := range s.UnpublishedEvents {
			items = append(items, o.eventOf(j, s, e))
		}
	})
	for _, i := range items {
		if !o.enlist(i) {
			continue
		}
		if !o.hasJournal && j.kind == kindRequest {
			// Without a journal the desktops of a request go on in separate ticks: when
			// the last of them has ended is not known, so no summary is published.
			t := &taken{}
			t.add(i)
			o.write(j, t.record())
			continue
		}
		err := o.publishOne(i)
		o.noteResult(i, err)
		if err != nil {
			return
		}
	}
}

// enlist notes that an item is published in this invocation, and says whether it
// was not before.
func (o *outbox) enlist(i item) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.enlistLocked(i)
}

func (o *outbox) enlistLocked(i item) bool {
	ids := o.queued[i.job]
	if ids == nil {
		ids = map[string]bool{}
		o.queued[i.job] = ids
	}
	if ids[i.event.ID] {
		return false
	}
	ids[i.event.ID] = true
	return true
}

// eventOf is the event that a rollout's journal tells of, or a request's summary.
func (o *outbox) eventOf(j *job, s *rollout.State, n rollout.Event) item {
	op := s.Operation
	i := item{job: j, eventID: n.ID()}
	if n.Finished() {
		statuses := map[events.Status]int{events.StatusCompleted: n.Counts.Completed, events.StatusSkipped: n.Counts.Skipped,
			events.StatusRefused: n.Counts.Refused, events.StatusFailed: n.Counts.Failed}
		maps.DeleteFunc(statuses, func(_ events.Status, n int) bool { return n == 0 })
		i.event = events.Finished{RequestID: op.ID, AccountID: op.AccountID, RegionID: op.RegionID, Desktops: len(s.Order), Statuses: statuses, Digest: n.Digest,
			StartedAt: s.OpenedAt, FinishedAt: n.At, DurationSeconds: int(n.At.Sub(s.OpenedAt) / time.Second), Via: op.Via}.Event(o.in.Source)
		return i
	}
	i.event = events.Rollout{RolloutID: op.ID, ReleaseID: op.ReleaseID, Fleet: op.Fleet, AccountID: op.AccountID, RegionID: op.RegionID, ImageID: op.ImageID,
		Wave: n.Wave, Waves: n.Waves, Counts: n.Counts, Reason: n.Reason, By: n.By, Digest: n.Digest, Via: n.Via}.Event(n.What, n.Key, o.in.Source, n.At)
	return i
}

func (o *outbox) outcome(j *job, op *rollout.Operation, id string, out rollout.Outcome) item {
	e := events.Outcome{
		RequestID: op.ID, AccountID: op.AccountID, RegionID: op.RegionID, DesktopID: id, ImageID: op.SpecOf(id).ImageID,
		Status: out.Status, Code: out.Code, Message: out.Message, ECDRequestID: out.RequestID,
		PreviousImageID: out.From, Attempt: out.Attempt, Fleet: op.Fleet, ReleaseID: op.ReleaseID, Nth: out.N,
		DurationSeconds: int(out.Duration / time.Second), SnapshotID: out.Snapshot, Via: op.Via,
	}
	if until := out.Until; !until.IsZero() {
		e.Until = &until
	}
	return item{job: j, event: e.Event(o.in.Source, out.At), group: groupOf{out.Status, out.N}}
}

// put queues items, each id once, and starts publishers for them. The list is the outbox's from then on.
func (o *outbox) put(items ...item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := slices.DeleteFunc(items, func(i item) bool { return !o.enlistLocked(i) })
	if len(o.queue) == 0 {
		o.queue = fresh
	} else {
		o.queue = append(o.queue, fresh...)
	}
	for range fresh {
		if o.publishers < o.most {
			o.publishers++
			go o.publishAll()
		}
	}
}

// publishAll publishes items until there are none. Each publisher runs it.
func (o *outbox) publishAll() {
	for i, ok := o.next(); ok; i, ok = o.next() {
		o.noteResult(i, contain(func() error { return o.publishOne(i) }))
	}
}

// next returns the next item; false: there is none, and the publisher ends.
func (o *outbox) next() (item, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open.Err() != nil && len(o.queue) > 0 { // time is up, and ticks for the rest matter more
		o.giveUp()
	}
	if len(o.queue) == 0 {
		if o.publishers--; o.publishers == 0 {
			o.idle.Broadcast()
		}
		return item{}, false
	}
	i := o.queue[0]
	o.queue = o.queue[1:]
	return i, true
}

// giveUp leaves what is in the queue unpublished. What no journal knows of must
// be delivered again. The lock is held.
func (o *outbox) giveUp() {
	o.log.Warn("not published: the time is up", "messages", len(o.queue))
	for _, i := range o.queue {
		if i.job == nil {
			o.again.add(fmt.Errorf("publishing %s: %w", i.event.ID, o.open.Err()))
			break
		}
	}
	o.queue = nil
}

func (o *outbox) publishOne(i item) error {
	for _, word := range i.event.Unlisted() {
		o.log.Error("a code is not on the list", "id", i.event.ID, "code", word, "published_as", events.CodeUnlisted)
	}
	body, err := i.event.Marshal()
	if err != nil {
		return err
	}
	return o.topic.Publish(o.open, body, i.event.Tag)
}

// noteResult notes how an item went. If it was not taken and no journal knows of it, the
// payload must be delivered again.
func (o *outbox) noteResult(i item, err error) {
	if err != nil {
		o.log.Warn("not published", "id", i.event.ID, "error", err.Error())
		if i.job == nil {
			o.again.add(err)
		}
		return
	}
	o.counts.published(i.event)
	o.logPublished(i)
	if i.job != nil {
		if full := o.note(i); full != nil {
			o.write(i.job, full.record())
		}
	}
}

func (o *outbox) logPublished(i item) {
	if s, ok := i.event.Data.(events.Outcome); ok {
		inAccount(o.log, s.AccountID).LogAttrs(o.ctx, slog.LevelInfo, "outcome", slog.String("request_id", s.RequestID), slog.String("region_id", s.RegionID),
			slog.String("desktop_id", s.DesktopID), slog.String("status", string(s.Status)), slog.String("code", s.Code),
			slog.String("image_id", s.ImageID), slog.String("previous_image_id", s.PreviousImageID),
			slog.String("ecd_request_id", s.ECDRequestID), slog.Int("attempt", s.Attempt), slog.String("fleet", s.Fleet))
		return
	}
	o.log.Info("published", append([]any{"type", i.event.Type, "id", i.event.ID}, aboutRollout(i.event)...)...)
}

// note keeps that MNS took an item. Once that is enough to be written down, it
// returns all of it.
func (o *outbox) note(i item) (full *taken) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.taken[i.job]
	if t == nil {
		t = &taken{}
		o.taken[i.job] = t
	}
	if t.add(i); t.n < flushAt {
		return nil
	}
	delete(o.taken, i.job)
	return t
}

// aboutRollout returns, for the log, the rollout that an event is about, and the reason
// that it gives.
func aboutRollout(e events.Event) []any {
	n, ok := e.Data.(events.Rollout)
	if !ok {
		return nil
	}
	attrs := []any{"rollout", n.RolloutID}
	if n.AccountID != "" {
		attrs = append(attrs, "account_id", n.AccountID)
	}
	if n.Reason != nil {
		attrs = append(attrs, "code", n.Reason.Code, "reason", n.Reason.Message)
	}
	return attrs
}

// tookOutcomes says whether MNS took all outcomes that are unpublished in the state.
func (o *outbox) tookOutcomes(j *job, s *rollout.State) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken[j].outcomesOf(s)
}

// outcomesOf says whether all outcomes that are unpublished in the state were taken. A nil
// taken has none.
func (t *taken) outcomesOf(s *rollout.State) bool {
	for _, id := range s.Fresh() {
		for _, out := range s.Desktops[id].Unpublished {
			if t == nil || !slices.Contains(t.outcomes[groupOf{out.Status, out.N}], id) {
				return false
			}
		}
	}
	return true
}

// all says whether all that the state has as unpublished was taken.
func (t *taken) all(s *rollout.State) bool {
	return !slices.ContainsFunc(s.UnpublishedEvents, func(e rollout.Event) bool { return !slices.Contains(t.events, e.ID()) }) && t.outcomesOf(s)
}

// unwritten returns the record of what MNS took for a job and the journal does not know
// yet, for the caller to write together with the job's tick. It returns nil, and writes
// the record itself, if there is much of it (keptAt), or if something of the job is still
// unpublished.
func (o *outbox) unwritten(j *job) []rollout.Record {
	o.mu.Lock()
	t := o.taken[j]
	delete(o.taken, j)
	o.mu.Unlock()
	if t == nil {
		return nil
	}
	all := t.n <= keptAt
	j.journal.Look(func(s *rollout.State) { all = all && t.all(s) })
	if !all {
		o.write(j, t.record())
		return nil
	}
	return []rollout.Record{t.record()}
}

// takenOf returns what records tell the journal of what MNS took.
func takenOf(records []rollout.Record) *taken {
	t := &taken{outcomes: map[groupOf][]string{}}
	for _, r := range records {
		t.events = append(t.events, r.Events...)
		for _, g := range r.Outcomes {
			at := groupOf{g.Status, max(g.N, 1)}
			t.outcomes[at] = append(t.outcomes[at], g.Desktops...)
		}
	}
	return t
}

// record is what the journal is told of what MNS took.
func (t *taken) record() rollout.Record {
	rec := rollout.Record{Kind: rollout.KindPublished, Events: t.events}
	for g, ids := range t.outcomes {
		group := rollout.Group{Status: g.status, Desktops: ids}
		if g.n > 1 {
			group.N = g.n
		}
		rec.Outcomes = append(rec.Outcomes, group)
	}
	return rec
}

// write notes in the journal what MNS took. If that fails it is published once more,
// with the same ids.
func (o *outbox) write(j *job, records ...rollout.Record) {
	if len(records) == 0 {
		return
	}
	err := j.journal.Update(o.last, func(*rollout.State) []rollout.Record { return records })
	if err != nil {
		o.log.Warn("published, but not written down", "job", j.id, "error", err.Error())
	}
}

// wait waits until nothing is being published. The lock is held.
func (o *outbox) wait() {
	for o.publishers > 0 {
		o.idle.Wait()
	}
}

// drain waits until the queue is empty, and writes down what was taken if it is much.
func (o *outbox) drain() { o.writeMore(keptAt) }

// writeRest waits until the queue is empty and writes down all that was taken.
func (o *outbox) writeRest() { o.writeMore(0) }

// writeMore writes down, for each job, what was taken if that is more than n.
func (o *outbox) writeMore(n int) {
	o.mu.Lock()
	o.wait()
	var jobs []*job
	for j, t := range o.taken {
		if t.n > n {
			jobs = append(jobs, j)
		}
	}
	slices.SortFunc(jobs, func(a, b *job) int { return strings.Compare(a.name, b.name) }) // in one order: a seed of the simulation gives one trace
	records := make([]rollout.Record, len(jobs))
	for i, j := range jobs {
		records[i] = o.taken[j].record()
		delete(o.taken, j)
	}
	o.mu.Unlock()
	for i, j := range jobs {
		o.write(j, records[i])
	}
}

// close ends the publishers. What is still in the queue stays unpublished. It may
// be called again.
func (o *outbox) close() {
	o.mu.Lock()
	o.most, o.queue = 0, nil
	o.wait()
	o.mu.Unlock()
	o.end()
}
