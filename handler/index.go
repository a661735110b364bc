package handler

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// An openEntry says that a request is open. It is written when the request is
// first looked at, again until the journal says that it is there, and deleted once
// nothing is left to do. It lies under journal.OpenKey.
type openEntry struct {
	ID string    `json:"id"`
	At time.Time `json:"at,omitzero"` // when it was written; zero in entries of earlier builds
	// Request is the request as it is on the queue instead of its first tick, if it is: its
	// journal may be empty yet.
	Request json.RawMessage `json:"request,omitempty"`
}

// The openIndex lists the requests that are open, for the sweep.
type openIndex struct {
	*invocation
	store   journal.Store
	mu      sync.Mutex
	entries map[*job]*openEntering // those of this invocation
}

// openEntering is an entry that is being written, beside what else is done about the request.
type openEntering struct {
	written chan struct{} // closed when that has ended
	ok      bool          // the entry is there
}

// enter begins to put a request into the index, unless it is there or that was begun. If
// it fails the next invocation tries again. await waits for its end. Rollouts are found by their fleets.
func (x *openIndex) enter(j *job) {
	indexed := j.kind != kindRequest
	j.journal.Look(func(s *rollout.State) { indexed = indexed || s.Indexed })
	x.mu.Lock()
	defer x.mu.Unlock()
	if indexed || x.entries[j] != nil {
		return
	}
	if x.entries == nil {
		x.entries = map[*job]*openEntering{}
	}
	e := &openEntering{written: make(chan struct{})}
	x.entries[j] = e
	go func() {
		defer close(e.written)
		if err := contain(func() error { e.ok = x.write(j); return nil }); err != nil {
			x.log.Error("a step made us panic", "step", "entering an open request", "error", err.Error())
		}
	}()
}

// await waits until nothing is being entered for a request, and says whether it is
// certainly in the index by what this invocation did.
func (x *openIndex) await(j *job) bool {
	x.mu.Lock()
	e := x.entries[j]
	x.mu.Unlock()
	if e == nil {
		return false
	}
	<-e.written
	return e.ok
}

// wait waits until nothing is being entered.
func (x *openIndex) wait() {
	x.mu.Lock()
	defer x.mu.Unlock() // nothing is begun any more
	for _, e := range x.entries {
		<-e.written
	}
}

// write puts a request into the index, and says whether it is there.
func (x *openIndex) write(j *job) bool {
	line, err := json.Marshal(openEntry{j.id, x.business().UTC().Truncate(time.Second), j.again})
	if err == nil {
		_, err = x.store.Append(x.ctx, journal.OpenKey(j.id), 0, append(line, '\n'))
	}
	if err != nil && !errors.Is(err, journal.ErrMoved) {
		x.log.Warn("not entered among the open requests", "request_id", j.id, "error", err.Error())
		return false
	}
	return true
}

// has says whether a request is certainly in the index.
func (x *openIndex) has(j *job) (indexed bool) {
	j.journal.Look(func(s *rollout.State) { indexed = s.Indexed })
	return x.await(j) || indexed
}

// leave takes a request out of the index for which nothing is left to do, unless that was so
// when it was opened: then it was done, or a sweep does it.
func (x *openIndex) leave(j *job) {
	if x.hasJournal && !j.ended && x.has(j) {
		x.remove(journal.OpenKey(j.id))
	}
}

// remove deletes an entry.
func (x *openIndex) remove(key string) {
	if err := x.store.Forget(x.last, key); err != nil {
		x.log.Warn("left among the open requests; a sweep tries again", "entry", key, "error", err.Error())
	}
}

// read returns an entry; one without an id: it is gone, or no entry.
func (x *openIndex) read(key string) (e openEntry, err error) {
	line, _, err := x.store.Read(x.ctx, key, 0)
	if err != nil || len(line) == 0 { // gone meanwhile
		return e, err
	}
	if err := json.Unmarshal(line, &e); err != nil || journal.OpenKey(e.ID) != key {
		x.log.Error("not an entry of an open request; delete it by hand", "entry", key)
		return openEntry{}, nil
	}
	return e, nil
}

// some lists entries from the given one on, and goes on at the beginning.
func (x *openIndex) some(from string) ([]string, error) {
	keys, err := x.store.Some(x.ctx, journal.OpenPrefix, from, sweepMost)
	if err != nil || len(keys) == sweepMost {
		return keys, err
	}
	rest, err := x.store.Some(x.ctx, journal.OpenPrefix, "", sweepMost-len(keys))
	for _, key := range rest {
		if key <= from {
			keys = append(keys, key)
		}
	}
	return keys, err
}
