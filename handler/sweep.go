package handler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// sweep looks after works whose ticks were lost: the latest rollout of every fleet,
// and requests that are open. The timer trigger asks for it. One invocation does
// it once, however many timers are delivered with it.
func (r *run) sweep() error {
	if r.Journal == nil || r.swept {
		return nil
	}
	r.swept = true
	return errors.Join(r.sweepFleets(), r.sweepRequests())
}

func (r *run) sweepFleets() error {
	for _, f := range r.Rules.Fleets {
		log, err := r.fleetLog(f.Name)
		if err != nil {
			return err
		}
		if last := log.Latest(); last != nil {
			r.wake(*last)
		}
	}
	return nil
}

// An openEntry tells that a request is open. It is written when the request is
// first looked at, again until the journal says that it is there, and deleted once
// nothing is left to do. It lies under journal.OpenKey.
type openEntry struct {
	ID string `json:"id"`
}

// noteOpen enters a request into the index of those that are open. If that fails
// the next invocation tries again.
func (r *run) noteOpen(j *job) {
	line, err := json.Marshal(openEntry{j.id})
	if err == nil {
		_, err = r.Journal.Append(r.ctx, journal.OpenKey(j.id), 0, append(line, '\n'))
	}
	if err != nil && !errors.Is(err, journal.ErrMoved) {
		r.log().Warn("not entered among the open requests", "request_id", j.id, "error", err.Error())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.indexed = true
}

// isIndexed says whether a request is certainly among the open ones.
func (r *run) isIndexed(j *job) (indexed bool) {
	j.journal.Look(func(s *rollout.State) { indexed = s.Indexed })
	r.mu.Lock()
	defer r.mu.Unlock()
	return indexed || j.indexed
}

// noteClosed takes it out again.
func (r *run) noteClosed(key string) {
	ctx, cancel := r.last()
	defer cancel()
	if err := r.Journal.Forget(ctx, key); err != nil {
		r.log().Warn("left among the open requests; a sweep tries again", "entry", key, "error", err.Error())
	}
}

const (
	// sweepMost is how many open requests one sweep looks at. Which ones changes
	// from sweep to sweep.
	sweepMost = 100
	// sweepWorkers is how many of them at once.
	sweepWorkers = 8
)

// sweepRequests sends a tick to open requests whose own is overdue.
func (r *run) sweepRequests() error {
	sum := sha256.Sum256([]byte(strconv.FormatInt(r.now.Unix(), 10)))
	keys, err := r.someOpen(journal.OpenPrefix + hex.EncodeToString(sum[:2]))
	if err != nil {
		return fmt.Errorf("sweeping open requests: %w", err)
	}
	overdue := make([]string, len(keys))
	var group errgroup.Group
	group.SetLimit(sweepWorkers)
	for i, key := range keys {
		group.Go(func() error {
			return contain(func() (err error) {
				overdue[i], err = r.sweepRequest(key)
				return err
			})
		})
	}
	err = group.Wait()
	for _, id := range overdue {
		if id != "" {
			err = errors.Join(err, r.wakeRequest(id))
		}
	}
	return err
}

// someOpen lists entries from the given one on, and goes on at the beginning.
func (r *run) someOpen(from string) ([]string, error) {
	keys, err := r.Journal.Some(r.ctx, journal.OpenPrefix, from, sweepMost)
	if err != nil || len(keys) == sweepMost {
		return keys, err
	}
	rest, err := r.Journal.Some(r.ctx, journal.OpenPrefix, "", sweepMost-len(keys))
	for _, key := range rest {
		if key <= from {
			keys = append(keys, key)
		}
	}
	return keys, err
}

// sweepRequest looks at one request, and returns its id if it stands still.
func (r *run) sweepRequest(key string) (overdueID string, err error) {
	line, _, err := r.Journal.Read(r.ctx, key, 0)
	if err != nil || len(line) == 0 { // gone meanwhile
		return "", err
	}
	var e openEntry
	if err := json.Unmarshal(line, &e); err != nil || journal.OpenKey(e.ID) != key {
		r.log().Error("not an entry of an open request; delete it by hand", "entry", key)
		return "", nil
	}
	over, still := false, false
	err = r.peek(kindRequest, e.ID, func(s *rollout.State) {
		over = s.Operation == nil || s.Closed && s.Quiet() // expired, or whoever closed it could not say so
		still = !r.now.Before(s.TickAt.Add(overdue))
	})
	switch {
	case err != nil:
		return "", err
	case over:
		r.noteClosed(key)
		return "", nil
	case still:
		return e.ID, nil
	}
	return "", nil
}

// wakeRequest sends a request a tick, so that another invocation takes it; without
// a queue this one does.
func (r *run) wakeRequest(id string) error {
	r.log().Warn("a request stood still and is woken", "request_id", id)
	if r.Queue == nil {
		j, fresh := r.add(kindRequest, id)
		if fresh {
			return r.open(j)
		}
		return nil
	}
	body, err := events.Tick{Kind: kindRequest, ID: id, N: events.TickAnyway}.Event(r.in.Source, r.now).Marshal()
	if err != nil {
		return err
	}
	return r.send(kindRequest, body, time.Second)
}
