package handler

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A resent is a request that is put on the queue again instead of its first tick, as tick n.
// Whoever gets it opens the request, if nobody has by then. So the journal need not know
// the request before ECD is asked about its desktops.
type resent struct {
	n  int
	as func(source string, at time.Time) events.Event
}

// A growing store notes that a log has grown in it. Some bucket takes the first append to each
// log and no other, for a rule of its own: there nothing may be begun in the first.
type growing struct {
	journal.Store
	seen atomic.Bool
}

// Append appends, and notes that it was to a log that held something.
func (g *growing) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	length, err := g.Store.Append(ctx, key, at, lines)
	if err == nil && at > 0 {
		g.seen.Store(true)
	}
	return length, err
}

// grows says whether a log was seen to grow by this instance.
func (js *jobs) grows() bool {
	g, is := js.store.(*growing)
	return is && g.seen.Load()
}

const (
	// maxAgain is how many desktops a request may name that is sent again: one append of
	// many is not worth the message.
	maxAgain = 100
	// againMost is how often it is, each time because the one before found nothing in the
	// journal. After that it is opened first.
	againMost = 10
)

// resend returns a request as it is to be sent again, if it can be: if whoever gets it takes it
// for the same request, with the same rights, and makes the same of it.
func (a *admission) resend(m envelope.Message, req events.Request, op rollout.Operation) *resent {
	source := cmp.Or(m.Source, a.in.Source)
	own := a.doorOf(m) == a.doors.Request // it comes through this door
	switch {
	case !a.hasQueue, !a.hasJournal, !a.jobs.grows(), len(req.DesktopIDs) > maxAgain:
		return nil
	case req.PlanDigest != "", req.ImageID == "": // another plan may be made then; a reset is told from no other by the facts
		return nil
	case !own && (a.doors.apart() || len(req.Consent) > 0), a.doors.apart() && m.Source == "":
		return nil
	}
	n := 1
	if before, is := namedAsTick(m, op); is {
		n = before.N + 1
	}
	if n > againMost {
		return nil
	}
	return &resent{n, func(_ string, at time.Time) events.Event {
		e := requestEvent(req, source, at)
		e.ID = events.TickName(kindRequest, op.ID, n)
		return e
	}}
}

// isTick takes a request that was sent again for the tick that it comes instead of, if the
// journal knows the request.
func (a *admission) isTick(m envelope.Message, req events.Request, op rollout.Operation) bool {
	t, is := namedAsTick(m, op)
	if !is || !a.hasJournal {
		return false
	}
	op.ID = t.ID
	j, fresh := a.jobs.add(kindRequest, t.ID)
	if fresh {
		j.message, j.request = m, &req
	}
	if j.failure() != nil {
		return false
	}
	if err := a.jobs.open(j); err != nil {
		a.recovery.fail(j, err)
		return true
	}
	if known := j.operation(); known == nil || !known.Same(op) {
		if fresh {
			a.jobs.drop(j)
		}
		return false
	}
	j.use(t.N)
	if fresh {
		j.tick = t.N
		if a.stale(j, t) {
			a.jobs.keepOne(j)
			a.jobs.drop(j)
		}
	}
	return true
}

// namedAsTick returns the tick of the request that a message is named as; false: it is not.
func namedAsTick(m envelope.Message, op rollout.Operation) (events.Tick, bool) {
	kind, id, n, is := events.TickNamed(m.ID)
	return events.Tick{Kind: kind, ID: id, N: n}, is && kind == kindRequest && rollout.Unmarked(id) == rollout.Unmarked(op.ID)
}
