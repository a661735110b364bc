package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A ledger is one journal as an invocation sees it: the folded state, and a way
// to add to it. Writers that come together share an append. It may be used from
// several goroutines.
type ledger struct {
	store journal.Store
	key   string
	by    string // the invocation
	now   func() time.Time

	mu      sync.Mutex
	state   *rollout.State
	length  int64
	foreign int // how often others were found to have written meanwhile
	waiting []*entry
	writing bool
}

type entry struct {
	ctx  context.Context                       //nolint:containedctx // of the write, which another's append may carry out
	make func(*rollout.State) []rollout.Record // nil: only fold in what others wrote
	done chan error
}

// maxAppend keeps one append well below journal.MaxAppend.
const maxAppend = 2 << 20

// refresh folds in what was written since the ledger was last read.
func (l *ledger) refresh(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.catchUp(ctx)
	if errors.Is(err, journal.ErrShrunk) { // expired since the instance last saw it
		l.state, l.length = rollout.NewState(), 0
		err = l.catchUp(ctx)
	}
	return err
}

// catchUp is refresh with the lock held.
func (l *ledger) catchUp(ctx context.Context) error {
	lines, length, err := l.store.Read(ctx, l.key, l.length)
	if err != nil {
		return fmt.Errorf("reading journal %s: %w", l.key, err)
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return fmt.Errorf("reading journal %s: %w", l.key, err)
	}
	if len(records) > 0 {
		l.state.Apply(records...)
		l.foreign++
	}
	l.length = length
	return nil
}

// write appends the records that f makes of the state, and folds them in. When
// another instance has written meanwhile, its records are folded in first and f
// is asked again: what f returns always fits the state that it is appended to.
// f must not keep the state; returning nothing writes nothing.
func (l *ledger) write(ctx context.Context, f func(*rollout.State) []rollout.Record) error {
	e := &entry{ctx, f, make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, e)
	if l.writing { // whoever is writing now takes it along next
		l.mu.Unlock()
		return <-e.done
	}
	l.writing = true
	for len(l.waiting) > 0 {
		group := l.waiting
		l.waiting = nil
		err := l.appendTogether(group)
		for _, e := range group {
			e.done <- err
		}
	}
	l.writing = false
	l.mu.Unlock()
	return <-e.done
}

// appendTogether writes the entries of a group. It takes the time that the most
// patient of them has: what must still be said when another's time is up must not
// be lost with it.
func (l *ledger) appendTogether(group []*entry) error {
	var until time.Time
	for _, e := range group {
		deadline, ok := e.ctx.Deadline()
		if !ok {
			return l.append(e.ctx, group)
		}
		if deadline.After(until) {
			until = deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(group[0].ctx), until)
	defer cancel()
	return l.append(ctx, group)
}

// see folds in what others wrote up to now, like write that writes nothing.
func (l *ledger) see(ctx context.Context) error { return l.write(ctx, nil) }

// maxRaces bounds how often an append may lose against other instances.
const maxRaces = 20

// append writes one group of entries. The lock is held but for the appends
// themselves.
func (l *ledger) append(ctx context.Context, group []*entry) error {
	if slices.ContainsFunc(group, func(e *entry) bool { return e.make == nil }) {
		if err := l.catchUp(ctx); err != nil {
			return err
		}
	}
	for range maxRaces {
		var records []rollout.Record
		err := contain(func() error { // a bug in one must not leave the lock behind
			for _, e := range group {
				if e.make != nil {
					records = append(records, e.make(l.state)...)
				}
			}
			return nil
		})
		if err == nil {
			l.conclude(records)
			err = l.put(ctx, records)
		}
		if !errors.Is(err, journal.ErrMoved) {
			return err
		}
		if err := l.catchUp(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("writing journal %s: %w %d times in a row", l.key, journal.ErrMoved, maxRaces)
}

// conclude has the record that says that the last events of a closed operation are
// published say how it came out. What is appended together with anything
// else says nothing: the state does not hold that yet.
func (l *ledger) conclude(records []rollout.Record) {
	for i := range records {
		if records[i].Kind != rollout.KindPublished {
			return
		}
	}
	for i := range records {
		if len(records[i].Events) > 0 {
			records[i].Ending = l.state.Ending()
		}
	}
}

// put encodes records, appends them in pieces that the store takes, and folds in
// each piece that was written.
func (l *ledger) put(ctx context.Context, records []rollout.Record) error {
	for len(records) > 0 {
		var piece bytes.Buffer
		n := 0
		for ; n < len(records) && (n == 0 || piece.Len() < maxAppend); n++ {
			if records[n].At.IsZero() {
				records[n].At = l.now().UTC()
			}
			records[n].By = l.by
			line, err := rollout.Encode(records[n : n+1])
			if err != nil {
				return fmt.Errorf("writing journal %s: %w", l.key, err)
			}
			if n > 0 && piece.Len()+len(line) > journal.MaxAppend {
				break
			}
			piece.Write(line)
		}
		at := l.length
		l.mu.Unlock()
		length, err := l.store.Append(ctx, l.key, at, piece.Bytes())
		l.mu.Lock()
		if err != nil {
			return fmt.Errorf("writing journal %s: %w", l.key, err)
		}
		l.state.Apply(records[:n]...)
		l.length = length
		records = records[n:]
	}
	return nil
}

// view calls f with the state as it is now. f must not keep it.
func (l *ledger) view(f func(*rollout.State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.state)
}

// cache keeps the ledgers of past invocations, so that a warm instance reads
// only what is new. An invocation takes a ledger out and puts it back.
type cache struct {
	mu    sync.Mutex
	order []string // oldest first
	byKey map[string]cached
}

type cached struct {
	state  *rollout.State
	length int64
}

// Bounds of the cache: some ten journals of a fleet of 10,000.
const (
	maxCached         = 64
	maxCachedDesktops = 100_000
)

func (c *cache) take(key string) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.byKey[key]
	c.remove(key)
	return got, ok
}

func (c *cache) remove(key string) {
	if _, ok := c.byKey[key]; !ok {
		return
	}
	delete(c.byKey, key)
	for i, k := range c.order {
		if k == key {
			c.order = append(c.order[:i], c.order[i+1:]...)
			return
		}
	}
}

func (c *cache) put(l *ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[string]cached{}
	}
	c.remove(l.key)
	c.byKey[l.key] = cached{l.state, l.length}
	c.order = append(c.order, l.key)
	desktops := 0
	for _, k := range c.order {
		desktops += len(c.byKey[k].state.Desktops)
	}
	for len(c.order) > 1 && (len(c.order) > maxCached || desktops > maxCachedDesktops) {
		desktops -= len(c.byKey[c.order[0]].state.Desktops)
		c.remove(c.order[0])
	}
}

// ledger opens the journal of the key.
func (r *run) ledger(store journal.Store, key string) (*ledger, error) {
	l := &ledger{store: store, key: key, by: r.in.RequestID, now: r.business, state: rollout.NewState()}
	if c, ok := r.cache.take(key); ok && store == r.Journal {
		l.state, l.length = c.state, c.length
	}
	return l, l.refresh(r.ctx)
}

// business returns the business time now: that of the invocation's beginning
// and what has passed since.
func (r *run) business() time.Time { return r.Now() }
