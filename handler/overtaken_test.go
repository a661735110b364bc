package handler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// inUse is an ECD that shows a user on each desktop.
type inUse struct{ *slowECD }

func (e inUse) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	list, err := e.slowECD.Desktops(ctx, region, ids)
	for i := range list {
		list[i].Connection, list[i].Users = desktop.Connected, []string{"ada"}
	}
	return list, err
}

// A storeBetween calls a hook before the first append that has a record of a kind.
type storeBetween struct {
	journal.Store
	kind string
	hook func()
}

func (s *storeBetween) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if hook := s.hook; hook != nil && strings.Contains(string(lines), `"kind":"`+s.kind+`"`) {
		s.hook = nil
		hook()
	}
	return s.Store.Append(ctx, key, at, lines)
}

// A dyingStore is that of an instance that is killed when it has begun desktops.
type dyingStore struct {
	journal.Store
	dead bool
}

func (s *dyingStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if s.dead {
		return 0, errors.New("dead")
	}
	length, err := s.Store.Append(ctx, key, at, lines)
	s.dead = err == nil && strings.Contains(string(lines), `"kind":"begun"`)
	return length, err
}

type dyingQueue struct {
	*outQueue
	of *dyingStore
}

func (q dyingQueue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if q.of.dead {
		return errors.New("dead")
	}
	return q.outQueue.Send(ctx, body, delay)
}

func (q dyingQueue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	return sendEach(ctx, q, body, delays...)
}

// lookedAfter says in how long a tick comes that no later one has overtaken.
func (b *workbench) lookedAfter(store journal.Store) time.Duration {
	b.Helper()
	lines, _, err := store.Read(b.Context(), journal.Key("request", "r1"), 0)
	b.must(err)
	records, err := rollout.Decode(lines)
	b.must(err)
	s := rollout.NewState()
	s.Apply(records...)
	if in := time.Until(s.TickAt); in > 0 || s.AgainAt.IsZero() {
		return in
	}
	return time.Until(s.AgainAt)
}

// waits has a request wait for its only desktop until it is looked at seldom, and returns the tick
// that comes then.
func (b *workbench) waits(store journal.Store) (tick string) {
	b.Helper()
	b.declare("fleets:\n  - {name: office, region: cn-hangzhou, images: [win*], select: all, requests: true, strategy: {sessions: {policy: wait}}}\n")
	h := b.handler(inUse{b.ecd}, store)
	for tick = requestFor(1); ; {
		b.must(b.ask(h, time.Minute, tick))
		q := b.queue.last()
		if n := len(b.queue.sent); n > 1 && b.queue.sent[n-2].body == q.body { // it is the copy of this one
			q = b.queue.sent[n-2]
		}
		time.Sleep(q.delay) //nolint:forbidigo // time of the bubble, which takes none
		if tick = q.body; q.delay > latest {
			return tick
		}
	}
}

// latest is when the watchdog of an invocation comes that may take a minute.
const latest = time.Minute + 30*time.Second

// Two instances get one tick. One waits for a user, and its late tick overtakes the watchdog of
// the other, which is about to begin the desktop: if that is killed then, nobody would look.
func TestWhatIsBegunBehindALateTickIsLookedAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		memory := journaltest.Memory()
		tick := b.waits(memory)
		store := &storeBetween{Store: memory, kind: "begun", hook: func() {
			b.must(b.ask(b.handler(inUse{b.ecd}, memory), time.Minute, tick))
			if in := b.lookedAfter(memory); in <= latest {
				t.Errorf("the late tick comes in %s", in)
			}
		}}
		dying := &dyingStore{Store: store}
		h, err := handler.New(b.config(b.ecd, dying, dyingQueue{b.queue, dying}))
		b.must(err)
		if err := b.ask(h, time.Minute, tick); err == nil || !dying.dead {
			t.Fatalf("it was not killed: %v", err)
		}
		if in := b.lookedAfter(memory); in > latest {
			t.Errorf("somebody looks in %s, want within %s", in, latest)
		}
	})
}

// The other way round: the desktop is begun while a late tick is being put on the queue.
func TestALateTickBehindWhatWasBegunIsNotTheOnlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		memory := journaltest.Memory()
		tick := b.waits(memory)
		dying := &dyingStore{Store: memory}
		other, err := handler.New(b.config(b.ecd, dying, dyingQueue{b.queue, dying}))
		b.must(err)
		store := &storeBetween{Store: memory, kind: "tick", hook: func() {
			if err := b.ask(other, time.Minute, tick); err == nil || !dying.dead {
				t.Errorf("it was not killed: %v", err)
			}
		}}
		b.must(b.ask(b.handler(inUse{b.ecd}, store), time.Minute, tick))
		if in := b.lookedAfter(memory); in > latest {
			t.Errorf("somebody looks in %s, want within %s", in, latest)
		}
	})
}

// Who sends a tick chooses its number. Behind the highest that there is all others had that one too,
// so that none was overtaken: each look brought three more, and there were thousands within an hour.
func TestTicksDoNotMultiplyWhateverNumberSomebodySends(t *testing.T) {
	for _, n := range []int{1, 500, events.TickAnyway - 1, events.TickAnyway} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			store := journaltest.Memory()
			b.waits(store)
			h, q := b.handler(inUse{b.ecd}, store), &dueQueue{outQueue: b.queue}
			b.queue.sent = nil
			b.must(b.ask(h, time.Minute, fmt.Sprintf(`{"specversion":"1.0","type":"regild.tick.v1","id":"t","source":"/ops","data":{"kind":"request","id":"r1","n":%d}}`, n)))
			looks := 0
			for end := time.Now().Add(time.Hour); ; looks++ {
				body := q.next(end)
				if body == "" || looks > 100 {
					break
				}
				b.must(b.ask(h, time.Minute, body))
			}
			if looks > 60 || n != 1 && looks < 10 {
				t.Errorf("number %d: %d ticks in an hour", n, looks)
			}
		})
	}
}

// A dueQueue delivers what is on a queue when it is due.
type dueQueue struct {
	*outQueue
	list []dueMessage
}

type dueMessage struct {
	at   time.Time
	body string
}

// next waits for what is due next, and takes it; "" if that is not before end.
func (q *dueQueue) next(end time.Time) string {
	for _, m := range q.sent {
		q.list = append(q.list, dueMessage{time.Now().Add(m.delay), m.body})
	}
	q.sent = nil
	slices.SortStableFunc(q.list, func(a, b dueMessage) int { return a.at.Compare(b.at) })
	if len(q.list) == 0 || q.list[0].at.After(end) {
		return ""
	}
	m := q.list[0]
	q.list = q.list[1:]
	time.Sleep(time.Until(m.at)) //nolint:forbidigo // time of the bubble, which takes none
	return m.body
}
