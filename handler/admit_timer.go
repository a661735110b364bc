package handler

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// sweep looks after operations whose ticks were lost: the latest rollout of every fleet,
// and requests that are open. The timer trigger asks for it. One invocation does
// it once, however many timers are delivered with it.
func (a *admission) sweep() error {
	if !a.hasJournal || a.swept {
		return nil
	}
	a.swept = true
	return errors.Join(a.fleets.wakeLatest(tickIfIdle), a.sweepRequests())
}

const (
	// sweepMost is how many open requests one sweep looks at. Which ones changes
	// from sweep to sweep.
	sweepMost = 100
	// sweepWorkers is how many of them at once.
	sweepWorkers = 8
)

// sweepRequests sends a tick to open requests whose own is overdue.
func (a *admission) sweepRequests() error {
	sum := sha256.Sum256([]byte(strconv.FormatInt(a.asOf().Unix(), 10)))
	keys, err := a.index.some(journal.OpenPrefix + hex.EncodeToString(sum[:2]))
	if err != nil {
		return fmt.Errorf("sweeping open requests: %w", err)
	}
	overdue := make([]string, len(keys))
	var group errgroup.Group
	group.SetLimit(sweepWorkers)
	for i, key := range keys {
		group.Go(func() error {
			return contain(func() (err error) {
				overdue[i], err = a.sweepRequest(key)
				return err
			})
		})
	}
	err = group.Wait()
	for _, id := range overdue {
		if id != "" {
			err = errors.Join(err, a.wakeRequest(id))
		}
	}
	return err
}

// sweepRequest looks at one request, and returns its id if its tick is overdue.
func (a *admission) sweepRequest(key string) (overdueID string, err error) {
	e, err := a.index.read(key)
	if e.ID == "" || err != nil {
		return "", err
	}
	over, still, opened := false, false, false
	err = a.jobs.peek(kindRequest, e.ID, func(s *rollout.State) {
		opened, over = s.Operation != nil, s.Closed && s.Quiet() // its entry was not removed when it closed
		still = !a.asOf().Before(s.TickAt.Add(overdue))
	})
	if err == nil && !opened {
		still, over, err = a.sweepUnopened(e)
	}
	switch {
	case err != nil:
		return "", err
	case over:
		a.index.remove(key)
		return "", nil
	case still:
		return e.ID, nil
	}
	return "", nil
}

// sweepUnopened says of a request whose journal is empty whether it is a rollback that was
// entered some time ago, and whoever did so could not open it, or is over: it has expired.
// One of which only its entry is written may be being opened.
func (a *admission) sweepUnopened(open openEntry) (still, over bool, err error) {
	e, err := a.fleets.entryOf(kindRequest, open.ID)
	if e == nil {
		return false, a.asOf().Sub(open.At) > reopen, err
	}
	age := a.asOf().Sub(e.At)
	return age >= overdue, age > reopen, err
}

// wakeRequest sends a tick for a request, so that another invocation looks at it;
// without a queue this one does.
func (a *admission) wakeRequest(id string) error {
	a.log.Warn("a request stood still and is woken", "request_id", id)
	if !a.hasQueue {
		j, fresh := a.jobs.add(kindRequest, id)
		if fresh {
			return a.jobs.open(j)
		}
		return nil
	}
	return a.sched.at(kindRequest, id, events.TickAnyway)
}
