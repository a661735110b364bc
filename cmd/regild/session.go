package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// A session is a scenario that runs.
type session struct {
	scenario *scenario
	cloud    *localcloud.Cloud
	invoker  *invoker
	watch    *watcher
	fold     *folder
	pacer    *pacer
	zone     *time.Location
	began    time.Time // real

	mu    sync.Mutex
	title string // of the step
}

// beat is how often the session looks whether something is settled.
const beat = 20 * time.Millisecond

// run runs all steps, shows them, sums up and judges.
func (s *session) run(ctx context.Context, w world, f *localFlags, p *scenario) error {
	defer func() { _ = s.cloud.Close() }()
	st := newDisplay(w, f.plain)
	ctx, quit := context.WithCancelCause(ctx) // Ctrl-C is no signal while the display has the terminal
	defer quit(nil)
	st.open(ctx, s, quit)
	defer st.leave()
	err := s.runAll(ctx, f.limit, st)
	st.close(s)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errInterrupted
	}
	sum := s.summary(context.WithoutCancel(ctx))
	printLines(w, sum.lines(st.width(), palette{st.colour}))
	if err == nil {
		err = sum.verdict()
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		return p.log.with(err)
	}
	return err
}

// runAll runs one step after the other, with the trigger running beside
// them, and returns when the last is settled.
func (s *session) runAll(ctx context.Context, limit time.Duration, st *display) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("gave up after %s (--limit)", limit))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	var trigger sync.WaitGroup
	defer trigger.Wait()
	defer stop(nil)
	for i, a := range s.scenario.steps {
		s.announce(st, a.title)
		if err := s.send(ctx, a); err != nil {
			return err
		}
		if i == 0 { // only now, so that what is queued together is delivered together
			trigger.Go(func() {
				if err := s.cloud.Run(ctx); err != nil {
					stop(err)
				}
			})
		}
		if err := s.settle(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) announce(st *display, title string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.title = title
	st.announce(s, title)
}

// settle waits until nothing more happens by itself.
func (s *session) settle(ctx context.Context, st *display) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		st.draw(s)
		idle := s.idle()
		if idle {
			done, err := s.settled(ctx)
			if err != nil {
				return err
			}
			if done {
				return nil
			}
		}
		s.pacer.pace(idle, s.next)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// next says when the next message comes.
func (s *session) next() (time.Time, bool) { return s.cloud.MNS.Next(localcloud.RequestQueue) }

// idle says whether the function has nothing to do before a tick comes.
func (s *session) idle() bool {
	if s.invoker.busy() {
		return false
	}
	now := s.cloud.Clock.Now()
	for _, m := range s.cloud.MNS.Pending(localcloud.RequestQueue) {
		if !m.NextVisible.After(now) || m.DequeueCount > 0 {
			return false
		}
	}
	return !s.invoker.busy()
}

// settled says whether all that was heard of has ended, or waits for a person.
// Ticks may still be on their way; they would find nothing to do.
func (s *session) settled(ctx context.Context) (bool, error) {
	if s.fold.from == nil {
		_, some := s.next()
		return !some, nil
	}
	for _, n := range s.watch.heard() {
		state, err := s.fold.state(ctx, n.kind, n.id)
		if err != nil {
			return false, err
		}
		if state.Open() && !stuck(state) || !state.Quiet() {
			return false, nil
		}
	}
	return true, nil
}

// stuck says whether a rollout waits for somebody to say something, with
// nothing under way.
func stuck(s *rollout.State) bool {
	waits := s.Paused != "" || s.Halted != nil || s.Waiting != nil && s.Waiting.Code == events.CodeApprovalAwaited
	if !waits {
		return false
	}
	for _, d := range s.Desktops {
		if d.Phase == rollout.Begun || d.Phase == rollout.Accepted || d.Held || d.Stopped {
			return false
		}
	}
	return true
}

// An invoker hands events to the function and remembers how that went. It may be
// used from several goroutines.
type invoker struct {
	host  *fc.Host
	hurry func() // called when an event is handed over

	mu          sync.Mutex
	under       int // events that are being handled
	invocations int
	failures    int
	givenUp     int
	worked      time.Duration
}

// InvokeEvent is bridge.Invoker's.
func (c *invoker) InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error) {
	c.mu.Lock()
	c.under++
	c.mu.Unlock()
	c.hurry()
	result, err := c.host.InvokeEvent(ctx, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under--
	c.invocations++
	c.worked += result.Duration
	if result.Failed() {
		c.failures++
	}
	return result, err
}

var _ bridge.Invoker = (*invoker)(nil)

// settled takes note of what the trigger did with a batch.
func (c *invoker) settled(d bridge.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.givenUp += d.GivenUp
}

func (c *invoker) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.under > 0
}

// A pacer lets the cloud's clock run at its rate while the function works, and
// faster while everything waits: nobody wants to watch a soak of half an hour,
// and nobody should miss it either.
type pacer struct {
	clock *clock.Clock
	base  float64

	mu   sync.Mutex
	fast time.Time // what the clock is running up to; zero: it runs at its rate
}

// Bounds of how long a wait is watched.
const (
	shortWait = 500 * time.Millisecond
	longWait  = 1600 * time.Millisecond
)

// pace sets the clock's rate by what is going on.
func (p *pacer) pace(idle bool, next func() (time.Time, bool)) {
	if !idle {
		p.normal()
		return
	}
	at, some := next()
	if !some {
		return
	}
	gap := at.Sub(p.clock.Now())
	if gap <= 0 {
		return
	}
	if p.base == 0 {
		p.clock.Advance(gap)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fast.Equal(at) {
		return
	}
	if rate := gap.Seconds() / watched(gap, p.base).Seconds(); rate > p.base {
		p.fast = at
		p.clock.SetRate(rate)
	}
}

// watched returns how long a wait of the cloud is watched: as long as it takes
// at the base rate, but what is long grows ever more slowly.
func watched(gap time.Duration, base float64) time.Duration {
	real := time.Duration(float64(gap) / base)
	if real <= shortWait {
		return real
	}
	return min(shortWait+(real-shortWait)/5, longWait)
}

// normal lets the clock run at its rate.
func (p *pacer) normal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fast.IsZero() {
		return
	}
	p.fast = time.Time{}
	p.clock.SetRate(p.base)
}

// A folder follows the journals of operations. It is for one goroutine.
type folder struct {
	from operator.Reader // nil: there is no journal
	got  map[string]*operator.Follower
}

// state returns a request or rollout as its journal tells it. Its Operation is nil
// when there is no journal of it.
func (f *folder) state(ctx context.Context, kind, id string) (*rollout.State, error) {
	g := f.got[kind+"/"+id]
	if g == nil {
		g = operator.Follow(f.from, kind, id)
		f.got[kind+"/"+id] = g
	}
	if f.from == nil {
		return g.State, nil
	}
	_, err := g.Look(ctx)
	return g.State, err
}

// bucket reads the journal in a local cloud without calling its OSS, whose calls
// are counted as the function's.
type bucket struct{ cloud *localcloud.Cloud }

func (b bucket) Read(_ context.Context, key string, from int64) ([]byte, int64, error) {
	data, _ := b.cloud.OSS.Object(localcloud.JournalBucket, localcloud.JournalPrefix+"/"+key)
	if int64(len(data)) < from {
		return nil, 0, fmt.Errorf("%s: %w", key, journal.ErrShrunk)
	}
	return data[from:], int64(len(data)), nil
}
