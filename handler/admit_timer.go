package handler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
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
	overdue := make([]openEntry, len(keys))
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
	for _, e := range overdue {
		if e.ID != "" {
			err = errors.Join(err, a.wakeRequest(e))
		}
	}
	return err
}

// sweepRequest looks at one request, and returns its entry if its tick is overdue: with the
// request only if its journal is empty.
func (a *admission) sweepRequest(key string) (none openEntry, err error) {
	e, err := a.index.read(key)
	if e.ID == "" || err != nil {
		return none, err
	}
	over, still, opened := false, false, false
	err = a.jobs.peek(kindRequest, e.ID, func(s *rollout.State) {
		opened, over = s.Operation != nil, s.Closed && s.Quiet() // its entry was not removed when it closed
		still = !a.asOf().Before(s.TickAt.Add(overdue))
	})
	if err == nil && !opened {
		still, over, err = a.sweepUnopened(e)
	}
	if opened {
		e.Request = nil
	}
	switch {
	case err != nil:
		return none, err
	case over:
		a.index.remove(key)
	case still:
		return e, nil
	}
	return none, nil
}

// sweepUnopened says of a request whose journal is empty whether it is a rollback that was
// entered some time ago, and whoever did so could not open it, or is over: it has expired.
// One of which only its entry is written may be being opened; if its entry has the request, and
// what was put on the queue instead of its first tick must have come, it stands still too.
func (a *admission) sweepUnopened(open openEntry) (still, over bool, err error) {
	e, err := a.fleets.entryOf(kindRequest, open.ID)
	if e == nil {
		age := a.asOf().Sub(open.At)
		long := age > reopen
		if open.Request == nil {
			return false, long, err
		}
		return long || a.hasQueue && age > rollout.MaxTick, age > forget, err
	}
	age := a.asOf().Sub(e.At)
	return age >= overdue, age > forget, err
}

// wakeRequest sends a tick for a request, so that another invocation looks at it, or the
// request itself if nobody has opened it, for a day at most; without a queue this one looks at it.
func (a *admission) wakeRequest(e openEntry) error {
	a.log.Warn("a request stood still and is woken", "request_id", e.ID)
	switch {
	case e.Request != nil && a.asOf().Sub(e.At) > reopen:
		return a.refuseUnopened(e)
	case e.Request != nil:
		return a.sched.send(kindRequest, e.Request, time.Second)
	case a.hasQueue:
		return a.sched.at(kindRequest, e.ID, events.TickAnyway)
	}
	if j, fresh := a.jobs.add(kindRequest, e.ID); fresh {
		return a.jobs.open(j)
	}
	return nil
}

// refuseUnopened opens a request that nobody has opened for long, and refuses its desktops: nobody
// knows whether it is wanted still, or was begun and its journal deleted.
func (a *admission) refuseUnopened(e openEntry) error {
	messages := envelope.Open(e.Request)
	if len(messages) != 1 {
		return fmt.Errorf("reading request %s in its entry among the open ones: it has %d messages, want one", e.ID, len(messages))
	}
	m := messages[0]
	req, err := events.ParseRequest(m.Data)
	if err != nil {
		return fmt.Errorf("reading request %s in its entry among the open ones: %w", e.ID, err)
	}
	op := operationOf(req)
	op.Via = a.via(m)
	op.Via.Door = cmp.Or(a.doors.Request, events.DoorUnknown) // where it was put
	if op.ID != e.ID {
		rename(&op, e.ID)
	}
	j, fresh := a.jobs.add(kindRequest, e.ID)
	if !fresh {
		return nil
	}
	return a.jobs.begin(j, op, "", nil, rollout.Record{Kind: rollout.KindSettled, At: a.asOf(), Outcomes: []rollout.Group{{
		Status: events.StatusRefused, Code: events.CodeOpenedLate, Desktops: op.Desktops,
		Message: openedLate(e.At) + "; it does not begin, send it again under another id if it is wanted still",
	}}})
}
