package handler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// An invocation is one call of Handle as every stage sees it: which one it is, how much
// time there is, and the log. Nothing of it changes but the time of the latest
// decision.
type invocation struct {
	in       Invocation
	ctx      context.Context //nolint:containedctx // an invocation is one call of Handle, and ends with it
	last     context.Context //nolint:containedctx // for what must still be written or sent when time is up: it lives as long as the invocation does
	cancel   func()          // ends both
	log      *slog.Logger
	began    time.Time        // real time, for the deadline and the log
	since    time.Time        // business time at its beginning
	deadline time.Time        // real time; zero: none. ctx ends before it, so that there is time for what must come at the end
	clock    func() time.Time // business time
	decided  atomic.Pointer[time.Time]

	hasJournal, hasQueue bool
}

func newInvocation(ctx context.Context, c Config, in Invocation) *invocation {
	i := &invocation{in: in, began: time.Now(), clock: c.Now, log: c.Log.With("invocation", in.RequestID), hasJournal: c.Journal != nil, hasQueue: c.Queue != nil}
	i.since = c.Now().UTC()
	i.decideAt(i.since)
	var end, endLast context.CancelFunc
	var limited bool
	if i.deadline, limited = ctx.Deadline(); limited {
		i.ctx, end = context.WithDeadline(ctx, i.deadline.Add(-i.reserve()))
	} else {
		i.ctx, end = context.WithCancel(ctx)
	}
	i.last, endLast = i.until(100 * time.Millisecond)
	i.cancel = func() { end(); endLast() }
	return i
}

// What is left of the invocation's time is shared out by these.
const (
	// callShare of the whole time must be left, within bounds, to begin a batch.
	callShare, callMin, callMax = 6, time.Second, 15 * time.Second
	// lastShare of the whole time is kept, within bounds, to write down, publish
	// and schedule.
	lastShare, lastMin, lastMax = 10, 500 * time.Millisecond, 10 * time.Second
)

// reserve is the time that is kept for writing down, publishing and scheduling at
// the end.
func (i *invocation) reserve() time.Duration {
	return min(max(i.deadline.Sub(i.began)/lastShare, lastMin), lastMax)
}

// timeLeft returns how much time there is before what is kept for the end, and how
// much a batch needs. Without a deadline there is time enough.
func (i *invocation) timeLeft() (left, needed time.Duration) {
	if i.deadline.IsZero() {
		return rollout.CallLimit, 0
	}
	return time.Until(i.deadline) - i.reserve(), min(max(i.deadline.Sub(i.began)/callShare, callMin), callMax)
}

// shortOfTime says whether no further batch should be begun.
func (i *invocation) shortOfTime() bool {
	left, needed := i.timeLeft()
	return left < needed
}

// until returns a context that ends that long before the invocation does, and for no
// other reason. Without a deadline there is time enough.
func (i *invocation) until(before time.Duration) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(i.ctx)
	if i.deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, i.deadline.Add(-before))
}

// business returns the business time now.
func (i *invocation) business() time.Time { return i.clock() }

// asOf returns the business time of the latest decision; before the first one, that
// of the invocation's beginning.
func (i *invocation) asOf() time.Time { return *i.decided.Load() }

// decideAt notes the time of a decision. Places are decided about at once: an earlier
// time does not replace a later one.
func (i *invocation) decideAt(t time.Time) {
	for {
		before := i.decided.Load()
		if before != nil && before.After(t) || i.decided.CompareAndSwap(before, &t) {
			return
		}
	}
}

// factsAge is for how long a desktop may be begun by what was read of it, and by a
// decision: a user may have connected since, or a window closed.
const factsAge = time.Minute

// old says whether what was read or decided at t is too old to begin a desktop by.
func (i *invocation) old(t time.Time) bool { return i.business().Sub(t) > factsAge }

// identity is the name of a request that has none of its own: the transport's,
// which is the same for every delivery of it.
func (i *invocation) identity(m envelope.Message) string {
	id := m.Identity()
	if id == "" {
		id = "invocation:" + i.in.RequestID + ":" + digestOf(m.Raw)
	}
	if len(id) > events.MaxRequestID {
		sum := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	return id
}

// An orderID is what an order is known by when it comes again: the id of its message, and the
// event in that. A sender whose message was taken though its answer was lost sends the event
// once more, in a message of another id; and one event may come by EventBridge and by MNS.
type orderID struct{ message, event string }

// orderID returns that of a message. What the event says is part of its name: somebody may give
// all of his one id.
func (i *invocation) orderID(m envelope.Message) orderID {
	id := orderID{message: i.identity(m)}
	if m.ID != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s:%d:%s:%s", len(m.Source), m.Source, len(m.ID), m.ID, m.Data))
		id.event = "event:" + hex.EncodeToString(sum[:12])
	}
	return id
}

// controlID returns that of a control message. One that holds something back is known by its
// message alone: to be told to stop twice does no harm.
func (i *invocation) controlID(m envelope.Message, c events.Control) orderID {
	id := i.orderID(m)
	if c.Action == events.ActionPause || c.Action == events.ActionAbort {
		id.event = ""
	}
	return id
}

// among says whether the order is among those of which the ids are given.
func (id orderID) among(ids map[string]bool) bool {
	return ids[id.message] || id.event != "" && ids[id.event]
}

// followedBefore logs that an order is not followed once more. Nothing else tells: to whoever
// sent it again it looks as if it had been followed now.
func (i *invocation) followedBefore(m envelope.Message, action, of string) {
	i.log.Info("order followed before", "action", action, "of", of, "message_id", m.MessageID, "event_id", m.ID)
}

// digestOf makes the ids of events about two messages differ.
func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}

// contain runs f and turns a panic into an error, so that one message that
// makes us panic does not affect the others, and is not delivered again for ever.
func contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: fmt.Sprint(p)}
		}
	}()
	return f()
}

// PanicError is a bug of regild that a message has shown.
type PanicError struct{ Value string }

func (p *PanicError) Error() string {
	return "regild has a bug that this message brings to light: " + p.Value
}

func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// redeliveries are the reasons why the payload must be delivered again.
type redeliveries struct {
	mu   sync.Mutex
	errs []error
}

func (rd *redeliveries) add(err error) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.errs = append(rd.errs, err)
}

// err returns all of them as one error, or nil.
func (rd *redeliveries) err() error {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if len(rd.errs) == 0 {
		return nil
	}
	return &RedeliverError{errors.Join(rd.errs...)}
}
