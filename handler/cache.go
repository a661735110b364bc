package handler

import (
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A cache keeps what past invocations knew of journals, so that a warm instance
// reads only what is new. An invocation takes an entry out and puts it back: no two
// share a state.
type cache struct {
	mu    sync.Mutex
	order []string // oldest first
	byKey map[string]knownState
	over  map[string]bool // rollouts and rollbacks of requests of which nothing is left to do, by kind/ID
}

type knownState = known[*rollout.State]

// Bounds of the cache. What it keeps is in memory beside what the next invocation takes
// on.
const (
	maxCached         = 64
	maxCachedDesktops = 2 * MaxDesktops
	maxOver           = 20_000 // 100 for each of 200 fleets: some MB
)

// isOver says whether a past invocation saw that an operation has ended and that all of it is
// published. Its name is kind/ID: a rollout may be called as the rollback of a request is.
func (c *cache) isOver(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over[name]
}

func (c *cache) noteOver(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil || len(c.over) >= maxOver {
		c.over = map[string]bool{} // what is forgotten is read again
	}
	c.over[name] = true
}

func (c *cache) take(key string) *knownState {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.byKey[key]
	if !ok {
		return nil
	}
	c.remove(key)
	return &got
}

// overtaken says whether a tick of an operation is one that a later one has overtaken, by what
// is known of its journal. Whatever others have written since, that later one was put on the
// queue and is still to come: the journal need not be read. Nor for what is still to come of an operation
// that has ended and of which all is published: that stays so.
func (c *cache) overtaken(key string, n int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, is := c.byKey[key]
	if !is || n <= tickIfIdle { // what the timer sends is to find what this instance does not know
		return false
	}
	if s := known.state; s.Closed && s.Quiet() {
		n-- // the last one, too
	}
	return laterComes(known.state, n, now)
}

// recall takes an entry out for a tick that can be looked at without reading the journal, as far
// as is known: it is the last that was put on the queue, and comes now for the first time. Another
// instance that had got it before, or a later one, would have put another on the queue.
func (c *cache) recall(key string, n int, now time.Time) *knownState {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, is := c.byKey[key]
	if !is || !known.current || !known.state.Open() || n != known.state.TickN || n <= tickIfIdle || n >= events.TickAnyway {
		return nil
	}
	late := known.state.TickAt.Add(slack)
	if again := known.state.AgainAt; !again.IsZero() {
		late = again.Add(-slack)
	}
	if !now.Before(late) {
		return nil
	}
	c.remove(key)
	return &known
}

// laterComes says whether a later tick than n is still to come.
func laterComes(s *rollout.State, n int, now time.Time) bool {
	return n < s.TickN && now.Before(rollout.Later(s.TickAt, s.AgainAt).Add(slack))
}

// remove forgets an entry. The lock is held.
func (c *cache) remove(key string) {
	if i := slices.Index(c.order, key); i >= 0 {
		delete(c.byKey, key)
		c.order = slices.Delete(c.order, i, i+1)
	}
}

func (c *cache) put(v *stateView) {
	if v.Broken() || v.Unopened() {
		return
	}
	entry := v.known()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[string]knownState{}
	}
	c.remove(v.key)
	c.byKey[v.key] = entry
	c.order = append(c.order, v.key)
	desktops := 0
	for _, k := range c.order {
		desktops += len(c.byKey[k].state.Desktops)
	}
	for len(c.order) > 1 && (len(c.order) > maxCached || desktops > maxCachedDesktops) {
		desktops -= len(c.byKey[c.order[0]].state.Desktops)
		c.remove(c.order[0])
	}
}
