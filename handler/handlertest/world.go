// Package handlertest is a cloud in miniature for tests of package handler: it
// loses, repeats, delays and reorders whatever can be lost, repeated, delayed or
// reordered, kills the function wherever it calls, and keeps count of what
// really happened.
//
// A World runs in a bubble of testing/synctest. Its scheduler lets exactly one
// call of the function through at a time, so a whole schedule (who is delivered
// when, which call waits for which, what breaks) follows from one seed. Judge is
// ECD and knows what was wiped; Queue redelivers; Witness remembers what the
// world was told; Journal can be read back line by line.
//
// What is assumed of the platform is what docs/guarantees.md assumes, and no
// more: see Judge for ECD, Queue for deliveries.
package handlertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// Odds are chances in a thousand, for each call of the function.
type Odds struct {
	Fails    int // nothing is done, and it is known that nothing was
	Vanishes int // nothing is done, and the answer does not say so
	Loses    int // it is done, and the answer is lost
	Kills    int // the function is killed at the call, before or after it is done
	Twice    int // a message is delivered once more
	Late     int // seconds pass before the call is made
}

// A World is one cloud with one function in it. Use it in a synctest bubble:
// New, fill it, Run, look.
type World struct {
	Rand    *rand.Rand
	Odds    Odds
	Budget  int           // faults that may still happen
	Calm    time.Time     // no faults from then on
	Timeout time.Duration // of an invocation
	Rules   rollout.Rules
	Overlap bool // several invocations at once
	Warm    bool // instances live on between invocations

	ECD     *Judge
	Queue   *Queue
	Topic   *Witness
	Journal *Journal

	// Operator looks in every Shift, and when nothing is under way and nothing
	// is on the queue. He may put something there.
	Operator func()
	Shift    time.Duration
	looked   time.Time
	// Broken are the promises that were seen broken.
	Broken []string

	mu        sync.Mutex
	pending   []*call
	active    []*invocation
	instances []*instance
	count     int
	trace     []step
}

// step is one line of the trace, formatted only when somebody wants to see it.
type step struct {
	at    time.Time
	who   string
	label string
	what  string
}

// instance is one process of the function.
type instance struct {
	handler *handler.Handler
	dead    bool
	busy    int
}

// invocation is one call of the function.
type invocation struct {
	id       string
	on       *instance
	began    time.Time
	deadline time.Time
	messages []*message
	cancel   context.CancelFunc
	dead     atomic.Bool
	over     atomic.Bool
	err      error
	reads    atomic.Uint64
	shown    map[string]desktop.Desktop // what ECD told it last of each desktop
	images   map[string]desktop.Image
}

// call is one call of a port, waiting for its turn.
type call struct {
	by     *invocation
	label  string
	do     func()
	answer chan how
	gone   bool
}

// how says what became of a call.
type how int

const (
	worked   how = iota
	failed       // nothing was done, certainly
	vanished     // nothing was done
	lost         // it was done
	throttled
	dead // whoever called is no more
)

// New returns an empty world for the seed.
func New(seed uint64) *World {
	w := &World{Rand: rand.New(rand.NewPCG(seed, 1)), Timeout: time.Minute, Calm: time.Now().Add(12 * time.Hour)}
	w.ECD = &Judge{world: w, Lag: 20 * time.Second, Records: true, desktops: map[string]*Machine{}, images: map[string]desktop.Image{}, Wiped: map[Wipe]int{}}
	w.Queue = &Queue{world: w}
	w.Topic = &Witness{world: w, Seen: map[string]int{}}
	w.Journal = newJournal(w, seed)
	return w
}

// Chance is true n times out of a thousand.
func (w *World) Chance(n int) bool { return w.Rand.IntN(1000) < n }

// Break notes a broken promise.
func (w *World) Break(format string, args ...any) {
	w.Broken = append(w.Broken, fmt.Sprintf(format, args...))
	w.note("", "BROKEN", w.Broken[len(w.Broken)-1])
}

func (w *World) note(who, label, what string) {
	w.trace = append(w.trace, step{time.Now(), who, label, what})
}

// Trace returns what happened, a line each.
func (w *World) Trace() string {
	var out strings.Builder
	for _, s := range w.trace {
		fmt.Fprintf(&out, "%s %-4s %-40s %s\n", s.at.UTC().Format("02 15:04:05.000"), s.who, s.label, s.what)
	}
	return out.String()
}

// Bounds of a schedule. A world of some desktops needs some hundred steps; one
// that takes this many will never be quiet.
const maxSteps = 60_000

// Run lets things happen until nothing more does: the queue is empty, nobody is
// at work and the operator has put nothing there.
func (w *World) Run() {
	for range maxSteps {
		synctest.Wait()
		w.reap()
		switch {
		case len(w.active) > 0:
			w.proceed()
		case w.Queue.due():
			w.invoke()
		case w.Operator != nil && time.Since(w.looked) >= w.Shift:
			w.looked = time.Now()
			w.Operator()
			if w.Queue.empty() {
				return
			}
		case !w.Queue.empty():
			time.Sleep(max(time.Until(w.Queue.next()), 0))
		case w.Operator != nil:
			w.looked = time.Time{}
		default:
			return
		}
	}
	w.Break("the world does not become quiet: after %d steps there is still something to do", maxSteps)
	for _, i := range w.instances {
		w.kill(i)
	}
	synctest.Wait()
}

// proceed lets one call through, or starts another invocation beside.
func (w *World) proceed() {
	if w.Overlap && len(w.active) < 2 && w.Queue.due() && w.Chance(100) {
		w.invoke()
		return
	}
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(c *call) bool { return c.gone })
	slices.SortStableFunc(w.pending, func(a, b *call) int { return strings.Compare(a.label, b.label) })
	n := len(w.pending)
	w.mu.Unlock()
	if n == 0 {
		time.Sleep(time.Second)
		return
	}
	w.pass()
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(c *call) bool { return c.gone })
	if len(w.pending) == 0 {
		w.mu.Unlock()
		return
	}
	i := w.Rand.IntN(len(w.pending))
	c := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	c.gone = true
	w.mu.Unlock()
	w.answer(c)
}

// pass lets some time go by, as calls take.
func (w *World) pass() {
	switch {
	case w.Chance(w.Odds.Late):
		time.Sleep(time.Duration(1+w.Rand.IntN(20)) * time.Second)
	default:
		time.Sleep(time.Duration(w.Rand.IntN(50)) * time.Millisecond)
	}
	synctest.Wait()
}

// answer does what a call asks for, or not.
func (w *World) answer(c *call) {
	h, kills, words := worked, false, "worked"
	switch n := w.Rand.IntN(1000); {
	case w.quiet():
	case n < w.Odds.Fails:
		h, words = failed, "failed"
		if w.Chance(300) {
			h, words = throttled, "throttled"
		}
	case n < w.Odds.Fails+w.Odds.Vanishes:
		h, words = vanished, "vanished"
	case n < w.Odds.Fails+w.Odds.Vanishes+w.Odds.Loses:
		h, words = lost, "done, and its answer lost"
	case n < w.Odds.Fails+w.Odds.Vanishes+w.Odds.Loses+w.Odds.Kills:
		h, kills, words = dead, true, "killed before"
		if w.Chance(500) {
			words = "killed after"
			w.note(c.by.id, c.label, "done before the kill")
			c.do()
		}
	}
	if h != worked {
		w.Budget--
	}
	w.note(c.by.id, c.label, words)
	if h == worked || h == lost {
		c.do()
	}
	c.answer <- h
	if kills {
		w.kill(c.by.on)
	}
}

// quiet says whether nothing breaks any more.
func (w *World) quiet() bool { return w.Budget <= 0 || !time.Now().Before(w.Calm) }

// kill ends a process in the middle of whatever it does. What it had sent may
// still arrive.
func (w *World) kill(on *instance) {
	on.dead = true
	for _, i := range w.active {
		if i.on == on {
			i.dead.Store(true)
			i.cancel()
		}
	}
	w.mu.Lock()
	var orphans []*call
	w.pending = slices.DeleteFunc(w.pending, func(c *call) bool {
		if c.by.on == on && !c.gone {
			c.gone = true
			orphans = append(orphans, c)
			return true
		}
		return false
	})
	w.mu.Unlock()
	for _, c := range orphans {
		if w.Chance(500) {
			w.note(c.by.id, c.label, "was under way and arrived")
			c.do()
		}
		c.answer <- dead
	}
}

// enter waits for a call's turn. When it returns worked or lost, do was called,
// by the scheduler.
func (w *World) enter(ctx context.Context, label string, do func()) how {
	i := ctx.Value(invocationKey{}).(*invocation)
	if i.dead.Load() {
		return dead
	}
	if ctx.Err() != nil {
		return failed
	}
	c := &call{by: i, label: i.id + " " + label, do: do, answer: make(chan how, 1)}
	w.mu.Lock()
	w.pending = append(w.pending, c)
	w.mu.Unlock()
	select {
	case h := <-c.answer:
		return h
	case <-ctx.Done():
	}
	w.mu.Lock()
	if !c.gone {
		c.gone = true
		w.mu.Unlock()
		return failed // it was not made yet
	}
	w.mu.Unlock()
	return <-c.answer
}

type invocationKey struct{}

// invoke delivers some messages.
func (w *World) invoke() {
	on := w.instance()
	w.count++
	i := &invocation{id: fmt.Sprintf("i%d", w.count), on: on, began: time.Now(), deadline: time.Now().Add(w.Timeout),
		messages: w.Queue.take(), shown: map[string]desktop.Desktop{}, images: map[string]desktop.Image{}}
	on.busy++
	ctx := context.WithValue(context.Background(), invocationKey{}, i)
	ctx, i.cancel = context.WithDeadline(ctx, i.deadline)
	w.active = append(w.active, i)
	w.note(i.id, "invoked", describe(i.messages))
	go func() {
		defer i.over.Store(true)
		_, i.err = on.handler.Handle(ctx, handler.Invocation{RequestID: i.id, Source: "acs:fc:cn-hangzhou:1:functions/model"}, payload(i.messages))
	}()
}

// instance returns a process for the next invocation: a new one, or one that is
// there.
func (w *World) instance() *instance {
	if w.Warm {
		for _, i := range w.instances {
			if !i.dead && i.busy == 0 && w.Chance(800) {
				return i
			}
		}
	}
	c := handler.Config{ECD: w.ECD, Topic: w.Topic, Queue: w.Queue, Journal: w.Journal, Rules: w.Rules,
		RebuildConcurrency: 1 + w.Rand.IntN(2), PublishConcurrency: 1 + w.Rand.IntN(2),
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Meter: &handler.Meter{}}
	h, err := handler.New(c)
	if err != nil {
		panic(err) // the test is wrong
	}
	i := &instance{handler: h}
	w.instances = append(w.instances, i)
	return i
}

// reap takes leave of invocations that are over, and of those whose time is.
func (w *World) reap() {
	w.active = slices.DeleteFunc(w.active, func(i *invocation) bool {
		if !i.over.Load() {
			return false
		}
		i.cancel()
		i.on.busy--
		words := "over"
		if i.dead.Load() {
			words = "dead"
		} else if i.err != nil {
			words = "error: " + i.err.Error()
		}
		w.note(i.id, "returned", words)
		if i.dead.Load() || i.err != nil {
			w.Queue.putBack(i.messages)
		}
		return true
	})
	w.instances = slices.DeleteFunc(w.instances, func(i *instance) bool { return i.dead && i.busy == 0 })
	for _, i := range w.active {
		if time.Now().After(i.deadline) && !i.dead.Load() {
			w.Break("invocation %s is still at work %s after its deadline", i.id, time.Since(i.deadline))
			w.kill(i.on)
		}
	}
}

var errDead = errors.New("the process was killed")

// plain is the error of a port that speaks no desktop.CallError.
func (h how) plain(what string) error {
	switch h {
	case worked:
		return nil
	case dead:
		return errDead
	case failed, throttled:
		return errors.New(what + ": connection refused")
	}
	return errors.New(what + ": unexpected EOF")
}

// callError is the error of a call to a cloud service.
func (h how) callError(api string) error {
	switch h {
	case worked:
		return nil
	case dead:
		return &desktop.CallError{Call: api, Fate: desktop.Unknown, Message: "the process was killed", Err: errDead}
	case failed:
		return &desktop.CallError{Call: api, Fate: desktop.NotSent, Message: "connection refused"}
	case throttled:
		return &desktop.CallError{Call: api, Fate: desktop.NotSent, Throttled: true, Code: "Throttling.User"}
	}
	return &desktop.CallError{Call: api, Fate: desktop.Unknown, Message: "unexpected EOF"}
}
