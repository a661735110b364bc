package handler_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// A leavingECD shows a user on each desktop until that has left. A rebuild takes two minutes.
type leavingECD struct {
	*slowECD
	left bool
}

func (e *leavingECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	list, err := e.slowECD.Desktops(ctx, region, ids)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range list {
		began, begun := e.began[list[i].ID]
		switch {
		case begun && time.Since(began) > 2*time.Minute:
			list[i].Status, list[i].ImageID = desktop.Running, "m-new"
		case begun:
			list[i].Status = desktop.Rebuilding
		case !e.left:
			list[i].Connection, list[i].Users = desktop.Connected, []string{"ada"}
		}
	}
	return list, err
}

// cutOff are the ports of an instance that is killed right before its n-th call, or right behind
// an append that has some words.
type cutOff struct {
	journal.Store
	handler.ECD
	*outQueue
	topic *slowTopic

	mu     sync.Mutex
	left   int // calls until then; negative: it is not killed
	behind string
	dead   bool
}

var errCutOff = errors.New("killed")

func (c *cutOff) call() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		c.dead = true
	}
	if c.left--; c.dead {
		return errCutOff
	}
	return nil
}

func (c *cutOff) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if err := c.call(); err != nil {
		return nil, 0, err
	}
	return c.Store.Read(ctx, key, from)
}

func (c *cutOff) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if err := c.call(); err != nil {
		return 0, err
	}
	length, err := c.Store.Append(ctx, key, at, lines)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.behind != "" && strings.Contains(string(lines), c.behind) {
		c.dead = true
	}
	return length, err
}

func (c *cutOff) Forget(ctx context.Context, key string) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.Store.Forget(ctx, key)
}

func (c *cutOff) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	if err := c.call(); err != nil {
		return nil, &desktop.CallError{Call: "DescribeDesktops", Message: "killed"}
	}
	return c.ECD.Desktops(ctx, region, ids)
}

func (c *cutOff) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	if err := c.call(); err != nil {
		return desktop.Answer{}, &desktop.CallError{Call: "RebuildDesktops", Message: "killed"}
	}
	return c.ECD.Rebuild(ctx, b)
}

func (c *cutOff) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.outQueue.Send(ctx, body, delay)
}

func (c *cutOff) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.outQueue.SendEach(ctx, body, delays...)
}

func (c *cutOff) Publish(ctx context.Context, body []byte, tag string) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.topic.Publish(ctx, body, tag)
}

func (b *workbench) instance(c *cutOff) *handler.Handler {
	b.Helper()
	config := b.config(c, c, c)
	config.Topic = c
	h, err := handler.New(config)
	b.must(err)
	return h
}

// A forgetful store loses a log when it is told to.
type forgetful struct {
	journal.Store
	now journal.Store
}

func (f *forgetful) of(key string) journal.Store {
	if f.now != nil && key == "request/r1.jsonl" {
		return f.now
	}
	return f.Store
}

func (f *forgetful) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	return f.of(key).Read(ctx, key, from)
}

func (f *forgetful) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	return f.of(key).Append(ctx, key, at, lines)
}

const (
	abortsR1 = `{"specversion":"1.0","type":"regild.rollout.control.v1","id":"c1","source":"/ops","data":{"requestId":"r1","action":"abort","by":"ada","reason":"r"}}`
	waiting  = "fleets:\n  - {name: office, region: cn-hangzhou, images: [win*], select: all, requests: true, strategy: {sessions: {policy: wait}}}\n"
)

// An instance looks at a request without reading its journal, as its own last tick asks it to. Whatever others
// have done about the request since, and wherever either of them is killed, the desktop is rebuilt once at the
// most, not behind an abort, and the request ends.
func TestWhatOthersDidSinceAnInstanceKnewTheJournalCounts(t *testing.T) {
	for name, c := range map[string]struct {
		others  func(b *workbench, h func(*cutOff) *handler.Handler, tick string) // what they do
		aborted bool
		gone    bool // the journal is
	}{
		"nothing": {others: func(*workbench, func(*cutOff) *handler.Handler, string) {}},
		"they abort it": {aborted: true, others: func(b *workbench, h func(*cutOff) *handler.Handler, _ string) {
			b.must(b.ask(h(&cutOff{left: -1}), time.Minute, abortsR1))
		}},
		"they abort it, and are killed": {aborted: true, others: func(b *workbench, h func(*cutOff) *handler.Handler, _ string) {
			_ = b.ask(h(&cutOff{left: -1, behind: `"control"`}), time.Minute, abortsR1)
		}},
		"they get the tick, too": {others: func(b *workbench, h func(*cutOff) *handler.Handler, tick string) {
			b.must(b.ask(h(&cutOff{left: -1}), time.Minute, tick))
		}},
		"they get the tick, and are killed before the call": {others: func(b *workbench, h func(*cutOff) *handler.Handler, tick string) {
			_ = b.ask(h(&cutOff{left: -1, behind: `"begun"`}), time.Minute, tick)
		}},
		"they get the tick, and are killed behind the call": {others: func(b *workbench, h func(*cutOff) *handler.Handler, tick string) {
			_ = b.ask(h(&cutOff{left: -1, behind: `"ended"`}), time.Minute, tick)
		}},
		"they delete the journal": {gone: true, others: func(*workbench, func(*cutOff) *handler.Handler, string) {}},
	} {
		killed := true
		for at := 0; killed; at++ { // before the first call, the second, …
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(waiting)
				store, ecd := &forgetful{Store: journaltest.Memory()}, &leavingECD{slowECD: b.ecd}
				h := func(c *cutOff) *handler.Handler {
					c.Store, c.ECD, c.outQueue, c.topic = store, ecd, b.queue, b.topic
					return b.instance(c)
				}
				own := &cutOff{left: -1}
				ours := h(own)
				q := &dueQueue{outQueue: b.queue}
				b.must(b.ask(ours, time.Minute, requestFor(1)))
				for range 2 {
					b.must(b.ask(ours, time.Minute, q.next(time.Now().Add(time.Hour))))
				}
				tick := q.next(time.Now().Add(time.Hour))
				ecd.left = true
				if c.gone {
					store.now = journaltest.Memory()
				}
				c.others(b, h, tick)
				own.left = at
				err := b.ask(ours, time.Minute, tick)
				if killed = own.dead; killed || err != nil {
					b.queue.sent = append(b.queue.sent, queued{tick, time.Minute}) // it is delivered again
				}
				last := h(&cutOff{left: -1})
				for end := time.Now().Add(24 * time.Hour); ; {
					body := q.next(end)
					if body == "" {
						break
					}
					b.must(b.ask(last, time.Minute, body))
				}
				calls, finished := b.ecd.calls["ecd-0000"], b.topic.told["r1/finished"]
				switch {
				case calls > 1, c.aborted && calls > 0:
					t.Errorf("%s, killed before call %d: the desktop is rebuilt %d times", name, at, calls)
				case c.gone: // nobody knows of it
				case finished == 0, !c.aborted && b.count("/completed") != 1:
					t.Errorf("%s, killed before call %d: told %v", name, at, b.topic.told)
				}
			})
		}
	}
}

// An instance whose tick others have relied on for their order, before they were killed, finds that at
// the end of its look, and looks once more at once.
func TestAnOrderThatOthersWroteIsFollowedAtOnceThoughTheJournalWasNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(waiting)
		store, ecd := &forgetful{Store: journaltest.Memory()}, &leavingECD{slowECD: b.ecd}
		h := func(c *cutOff) *handler.Handler {
			c.Store, c.ECD, c.outQueue, c.topic = store, ecd, b.queue, b.topic
			return b.instance(c)
		}
		ours, q := h(&cutOff{left: -1}), &dueQueue{outQueue: b.queue}
		b.must(b.ask(ours, time.Minute, requestFor(1)))
		for range 2 {
			b.must(b.ask(ours, time.Minute, q.next(time.Now().Add(time.Hour))))
		}
		_ = q.next(time.Now()) // nothing is due yet
		end := q.list[0].at.Add(2 * time.Second)
		for !strings.Contains(q.list[0].body, "tick/4") { // overtaken
			q.list = q.list[1:]
			end = q.list[0].at.Add(2 * time.Second)
		}
		time.Sleep(time.Until(end.Add(-32 * time.Second))) //nolint:forbidigo // time of the bubble, which takes none
		_ = b.ask(h(&cutOff{left: -1, behind: `"control"`}), time.Minute, abortsR1)
		if len(b.queue.sent) > 0 {
			t.Fatalf("whoever orders sends %v, want that it relies on the tick", b.queue.sent)
		}
		for body := q.next(end); body != ""; body = q.next(end) {
			b.must(b.ask(ours, time.Minute, body))
		}
		if b.topic.told["r1/finished"] != 1 {
			t.Errorf("told %v, want that the request has ended", b.topic.told)
		}
	})
}

// A usedECD shows a user on each desktop.
type usedECD struct{ *accountECD }

func (e usedECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	return inUse{e.slowECD}.Desktops(ctx, region, ids)
}

func (e usedECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000", "ecd-0001"})
}

// As the instance knows it, the rollout is paused: nothing is to be done, written or waited for. Then it
// reads whether that is still so.
func TestAPausedRolloutIsReadBeforeItIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		store, ecd := journaltest.Memory(), usedECD{newAccountECD()}
		h := func(c *cutOff) *handler.Handler {
			c.Store, c.ECD, c.outQueue, c.topic = store, ecd, b.queue, b.topic
			return b.instance(c)
		}
		ours, q := h(&cutOff{left: -1}), &dueQueue{outQueue: b.queue}
		b.must(b.ask(ours, time.Minute, release))
		_ = q.next(time.Now())
		for !strings.Contains(q.list[0].body, "tick/2") {
			q.list = q.list[1:]
		}
		due := q.list[0].at
		time.Sleep(time.Until(due.Add(-25 * time.Second))) //nolint:forbidigo // time of the bubble, which takes none
		b.must(b.ask(ours, time.Minute, ordered("c1", "pause")))
		_ = b.ask(h(&cutOff{left: -1, behind: `"resume"`}), time.Minute, ordered("c2", "resume"))
		if len(b.queue.sent) > 0 || b.count("paused") != 1 || b.count("resumed") > 0 {
			t.Fatalf("sent %v, told %v, want that whoever orders relies on the tick", b.queue.sent, b.topic.told)
		}
		for end := due.Add(2 * time.Second); ; {
			body := q.next(end)
			if body == "" {
				break
			}
			b.must(b.ask(ours, time.Minute, body))
		}
		if b.count("resumed") != 1 {
			t.Errorf("told %v, want that it goes on", b.topic.told)
		}
	})
}

// Where instances take turns each reads the journal before it looks; the copy of a tick that another
// instance had is no look. So nothing is asked in vain.
func TestInstancesThatTakeTurnsReadTheJournalFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		c := &tallied{Store: journaltest.Memory(), slowECD: b.ecd, outQueue: b.queue, calls: map[string]int{}}
		start := func() *handler.Handler {
			h, err := handler.New(b.config(c, c, c))
			b.must(err)
			return h
		}
		instances, q := []*handler.Handler{start(), start()}, &dueQueue{outQueue: b.queue}
		b.must(b.ask(instances[0], time.Minute, requestFor(1)))
		b.must(b.ask(instances[0], time.Minute, q.next(time.Now().Add(time.Hour)))) // its own first tick: that has no copy
		for n := range 6 {
			tick := q.next(time.Now().Add(time.Hour))
			clear(c.calls)
			b.must(b.ask(instances[(n+1)%2], time.Minute, tick))
			if len(c.calls) > 0 && c.calls["Read"] != 1 || c.calls["Desktops"] > 1 {
				t.Errorf("turn %d: %v, want that the journal is read, and ECD is asked once", n, c.calls)
			}
		}
	})
}

// The first of a tick and its copy went to another instance.
func TestTheCopyOfATickThatAnotherInstanceHadIsNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, ours := talliedLook(t)
		tick := b.queue.sent[len(b.queue.sent)-2]
		time.Sleep(tick.delay) //nolint:forbidigo // time of the bubble, which takes none
		other, err := handler.New(b.config(c, c, c))
		b.must(err)
		b.must(b.ask(other, time.Minute, tick.body))
		time.Sleep(time.Minute + 15*time.Second) //nolint:forbidigo // as before
		clear(c.calls)
		b.must(b.ask(ours, time.Minute, tick.body))
		if want := map[string]int{"Read": 1}; !maps.Equal(c.calls, want) {
			t.Errorf("%v, want %v", c.calls, want)
		}
	})
}

// talliedLook is a bench with a request whose desktop is being rebuilt, behind the first look at that, and the
// instance that has made it.
func talliedLook(t *testing.T) (*workbench, *tallied, *handler.Handler) {
	t.Helper()
	b := newWorkbench(t)
	c := &tallied{Store: journaltest.Memory(), slowECD: b.ecd, outQueue: b.queue, calls: map[string]int{}}
	h, err := handler.New(b.config(c, c, c))
	b.must(err)
	b.must(b.ask(h, time.Minute, requestFor(1)))
	first := b.queue.last()
	time.Sleep(first.delay) //nolint:forbidigo // time of the bubble, which takes none
	b.must(b.ask(h, time.Minute, first.body))
	return b, c, h
}

// An unsureStore has an append written and says that it is not known.
type unsureStore struct {
	journal.Store
	next bool
}

func (s *unsureStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	length, err := s.Store.Append(ctx, key, at, lines)
	if s.next {
		s.next = false
		return 0, journal.ErrUnsettled
	}
	return length, err
}

// What an instance wrote, or tried to, and does not know: it reads the journal when the tick comes again.
func TestAnInstanceThatDoesNotKnowWhatItWroteReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, ours := talliedLook(t)
		store := &unsureStore{c.Store, true}
		c.Store = store
		tick := b.queue.sent[len(b.queue.sent)-2]
		time.Sleep(tick.delay) //nolint:forbidigo // time of the bubble, which takes none
		if err := b.ask(ours, time.Minute, tick.body); err == nil || store.next {
			t.Errorf("it is not delivered again: %v", err)
		}
		clear(c.calls)
		b.must(b.ask(ours, time.Minute, tick.body))
		if want := map[string]int{"Read": 1}; !maps.Equal(c.calls, want) {
			t.Errorf("%v, want %v: a later one is on the queue", c.calls, want)
		}
	})
}

// Two instances get one tick at the same moment, and each gets its own further ones. Without what stops
// that, each would find at its end that the other has written, and look again at once, for ever.
func TestTwoInstancesDoNotWakeEachOtherForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(waiting)
		between, ecd := &storeBetween{Store: journaltest.Memory(), kind: "tick"}, &leavingECD{slowECD: b.ecd}
		var instances []*handler.Handler
		var queues []*dueQueue
		for range 2 {
			c := &cutOff{left: -1, Store: between, ECD: ecd, outQueue: &outQueue{}, topic: b.topic}
			instances, queues = append(instances, b.instance(c)), append(queues, &dueQueue{outQueue: c.outQueue})
		}
		b.must(b.ask(instances[0], time.Minute, requestFor(1)))
		_ = queues[0].next(time.Now().Add(29 * time.Second))
		tick := queues[0].next(time.Now().Add(time.Hour))
		between.hook = func() { b.must(b.ask(instances[1], time.Minute, tick)) }
		b.must(b.ask(instances[0], time.Minute, tick))
		looks := 0
		for end := time.Now().Add(time.Hour); looks < 500; looks++ {
			of := 0
			for i, q := range queues {
				_ = q.next(time.Now().Add(-time.Second))
				if len(q.list) > 0 && (len(queues[of].list) == 0 || q.list[0].at.Before(queues[of].list[0].at)) {
					of = i
				}
			}
			body := queues[of].next(end)
			if body == "" {
				break
			}
			b.must(b.ask(instances[of], time.Minute, body))
		}
		if between.hook != nil || looks > 100 || looks < 10 {
			t.Errorf("%d messages in an hour", looks)
		}
	})
}

// A request has ended, and the copy of its last tick is still to come.
func TestTheCopyOfATickBehindTheEndTakesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store, ecd := &readKeys{Store: journaltest.Memory(), n: map[string]int{}}, &leavingECD{slowECD: b.ecd, left: true}
		c := &cutOff{left: -1, Store: store, ECD: ecd, outQueue: b.queue, topic: b.topic}
		ours, q := b.instance(c), &dueQueue{outQueue: b.queue}
		b.must(b.ask(ours, time.Minute, requestFor(1)))
		behind := 0
		for body := q.next(time.Now().Add(time.Hour)); body != ""; body = q.next(time.Now().Add(time.Hour)) {
			ended := b.topic.told["r1/finished"] > 0
			c.left = -1
			b.must(b.ask(ours, time.Minute, body))
			if made := -1 - c.left; ended {
				if behind++; made > 0 {
					t.Errorf("a tick behind the end takes %d calls", made)
				}
			}
		}
		if behind == 0 {
			t.Error("no tick came behind the end")
		}
	})
}

// A tick of an operation and another message that rests on its journal come together: then it is read.
func TestWhatOthersRestOnIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, ours := talliedLook(t)
		tick := b.queue.sent[len(b.queue.sent)-2]
		time.Sleep(tick.delay) //nolint:forbidigo // time of the bubble, which takes none
		reads := &readKeys{Store: c.Store, n: map[string]int{}}
		c.Store = reads
		b.must(b.ask(ours, time.Minute, "["+tick.body+","+strings.ReplaceAll(abortsR1, "abort", "rollback")+"]"))
		if reads.n["request/r1.jsonl"] == 0 {
			t.Errorf("%v, want that the journal is read before it is said what goes back", reads.n)
		}
	})
}
