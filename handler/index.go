package handler

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// An openEntry says that a request is open. It is written when the request is
// first looked at, again until the journal says that it is there, and deleted once
// nothing is left to do. It lies under journal.OpenKey.
type openEntry struct {
	ID string `json:"id"`
}

// The openIndex lists the requests that are open, for the sweep.
type openIndex struct {
	*invocation
	store   journal.Store
	mu      sync.Mutex
	entered map[*job]bool // in this invocation
}

// enter puts a request into the index. If that fails the next invocation tries again.
func (x *openIndex) enter(j *job) {
	line, err := json.Marshal(openEntry{j.id})
	if err == nil {
		_, err = x.store.Append(x.ctx, journal.OpenKey(j.id), 0, append(line, '\n'))
	}
	if err != nil && !errors.Is(err, journal.ErrMoved) {
		x.log.Warn("not entered among the open requests", "request_id", j.id, "error", err.Error())
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entered == nil {
		x.entered = map[*job]bool{}
	}
	x.entered[j] = true
}

// has says whether a request is certainly in the index.
func (x *openIndex) has(j *job) (indexed bool) {
	j.journal.Look(func(s *rollout.State) { indexed = s.Indexed })
	x.mu.Lock()
	defer x.mu.Unlock()
	return indexed || x.entered[j]
}

// remove deletes an entry.
func (x *openIndex) remove(key string) {
	ctx, cancel := x.last()
	defer cancel()
	if err := x.store.Forget(ctx, key); err != nil {
		x.log.Warn("left among the open requests; a sweep tries again", "entry", key, "error", err.Error())
	}
}

// read returns the id of the request that an entry names; "": it is gone, or no entry.
func (x *openIndex) read(key string) (id string, err error) {
	line, _, err := x.store.Read(x.ctx, key, 0)
	if err != nil || len(line) == 0 { // gone meanwhile
		return "", err
	}
	var e openEntry
	if err := json.Unmarshal(line, &e); err != nil || journal.OpenKey(e.ID) != key {
		x.log.Error("not an entry of an open request; delete it by hand", "entry", key)
		return "", nil
	}
	return e.ID, nil
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
