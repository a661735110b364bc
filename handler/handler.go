// Package handler is one invocation of the function, from what a trigger
// delivered to what the world is told. Handle reads as the sentence: decode,
// recall, decide, rebuild, publish, remind.
//
// Everything that decides is elsewhere and pure: envelope and events read what
// came in, guard and rollout say what may be done, plan packs it into calls.
// Everything that touches the cloud is elsewhere too, behind the small
// interfaces of ports.go. What is here is the order of things, and that order is
// the promise: what is about to be done is in the journal before it is done, and
// what was done is in the journal before anybody is told.
//
// A returned error means "deliver this again", and nothing else. Whatever no
// redelivery can cure is published as a refusal and is done.
package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A Config is all that a Handler works with. Queue and Journal may be nil; see
// docs/guarantees.md for what that costs.
type Config struct {
	ECD     ECD
	Topic   Topic         // outcomes go there
	Queue   Queue         // requests come from there and ticks go there; nil: none
	Journal journal.Store // nil: none
	// Snapshots is for fleets that keep them (keepSnapshots); nil: cannot be
	// asked, and then their desktops are not rebuilt.
	Snapshots Snapshotter
	// Notifier is for fleets that tell people (notice); nil: nobody can be told.
	Notifier Notifier
	Rules    rollout.Rules // Journal is set by New
	// Doors say where what is taken from. RolloutQueue is where ticks of rollouts
	// go, so that a flood of requests does not hold them up; nil: to Queue.
	Doors        Doors
	RolloutQueue Queue
	TickKey      []byte // signs ticks that carry records; nil: those are not believed

	RebuildConcurrency int // RebuildDesktops calls under way at once; at least 1
	PublishConcurrency int // publishes under way at once; at least 1

	Now   func() time.Time // business time; time.Now in production
	Log   *slog.Logger
	Meter *Meter // counts API calls by name; the adapters feed it
}

// A Handler handles invocations. It may be used by several at once: what two of
// them want of one request is settled by the journal.
type Handler struct {
	Config
	cache cache // folded journals, for a warm instance
}

// New returns a handler, or an error that names everything that is missing.
func New(c Config) (*Handler, error) {
	var faults []error
	missing := func(absent bool, name string) {
		if absent {
			faults = append(faults, fmt.Errorf("handler needs %s", name))
		}
	}
	missing(c.ECD == nil, "ECD")
	missing(c.Topic == nil, "Topic")
	missing(c.Now == nil, "Now")
	missing(c.Log == nil, "Log")
	missing(c.Meter == nil, "Meter")
	missing(c.RebuildConcurrency < 1, "RebuildConcurrency of at least 1")
	missing(c.PublishConcurrency < 1, "PublishConcurrency of at least 1")
	missing(c.Rules.RebuildTimeout <= 0, "Rules.RebuildTimeout above 0")
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	c.Rules.Journal, c.Rules.SignedTicks = c.Journal != nil, len(c.TickKey) > 0
	c.Rules.Freezes = c.Rules.Journal
	return &Handler{Config: c}, nil
}

// An Invocation says who is asked, by whom.
type Invocation struct {
	RequestID string // of the invocation
	Source    string // the CloudEvents source of what goes out: acs:fc:region:account:functions/name
}

// Handle works through one payload. It returns an error when the payload must
// be delivered again, and only then: it is safe to do so any number of times.
func (h *Handler) Handle(ctx context.Context, in Invocation, payload []byte) (Report, error) {
	r := h.begin(ctx, in)
	defer r.end()

	messages := r.decode(payload) // what came in: requests, releases, controls, ticks
	r.recall(messages)            // what the journals know of them
	r.work()
	if r.goBack() { // a rollout that halted takes itself back
		r.work()
	}
	r.publish() // whatever the world has not been told yet
	r.remind()  // a tick for all that is unfinished

	return r.report()
}

// work does what may be done now.
func (r *run) work() {
	for r.decide(); r.rebuild(); { // what may be done now, by facts and rules; then claim, call, write down
		r.decide() // a long invocation looks again before it goes on
	}
}

// run is one invocation under way.
type run struct {
	*Handler
	ctx      context.Context //nolint:containedctx // a run is one call of Handle, and ends with it
	cancel   context.CancelFunc
	in       Invocation
	began    time.Time // real time, for the deadline and the log
	deadline time.Time // real time; zero: none. ctx ends before it, so that there is time for the last words
	start    time.Time // business time of the beginning
	now      time.Time // business time of the decisions that are being made
	calls    map[string]int

	jobs  []*job
	byKey map[string]*job
	// ticked are the ticks that were put on the queue for works before they were
	// opened, by kind and id.
	ticked map[string]rollout.Record
	facts  map[string]*rollout.Facts // by region
	swept  bool                      // lost ticks were looked for

	logger  *slog.Logger
	out     outbox
	mu      sync.Mutex
	stop    error           // why nothing more is begun: the credentials may not
	missing map[string]bool // calls that the credentials may not make, and others do without
	again   []error         // why the payload must be delivered again
	counts  tally
}

func (h *Handler) begin(ctx context.Context, in Invocation) *run {
	r := &run{
		Handler: h, in: in, began: time.Now(), start: h.Now().UTC(), calls: h.Meter.Snapshot(),
		byKey: map[string]*job{}, ticked: map[string]rollout.Record{}, facts: map[string]*rollout.Facts{}, logger: h.Log.With("invocation", in.RequestID),
	}
	r.now, r.deadline = r.start, zeroIfNone(ctx)
	if r.deadline.IsZero() {
		r.ctx, r.cancel = context.WithCancel(ctx)
	} else {
		r.ctx, r.cancel = context.WithDeadline(ctx, r.deadline.Add(-r.lastWords()))
	}
	r.out.start(r)
	return r
}

// end stops the publishers and gives what was learned back to the instance.
func (r *run) end() {
	r.out.close()
	r.cancel()
	for _, j := range r.jobs {
		if j.journal != nil && r.Journal != nil {
			r.cache.put(j.journal)
		}
	}
}

// log returns the invocation's logger.
func (r *run) log() *slog.Logger { return r.logger }

// redeliver notes that the payload must come again, and why.
func (r *run) redeliver(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = append(r.again, err)
}

// halt makes sure that nothing more is begun in this invocation.
func (r *run) halt(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop == nil {
		r.stop = err
		r.log().Error("stopped: the credentials do not allow it", "error", err.Error())
	}
}

func (r *run) halted() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// What is left of the invocation's time is shared out by these.
const (
	// callShare of the whole time must be left, within bounds, to begin a batch.
	callShare, callMin, callMax = 6, time.Second, 15 * time.Second
	// lastShare of the whole time is kept, within bounds, to write down, publish
	// and remind.
	lastShare, lastMin, lastMax = 10, 500 * time.Millisecond, 10 * time.Second
)

func zeroIfNone(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	return deadline
}

// lastWords is the time that is kept for what must still be said at the end.
func (r *run) lastWords() time.Duration {
	return min(max(r.deadline.Sub(r.began)/lastShare, lastMin), lastMax)
}

// left returns how much time there is before what is kept for the end, and how
// much a batch needs. Without a deadline there is time enough.
func (r *run) left() (left, needed time.Duration) {
	if r.deadline.IsZero() {
		return rollout.CallLimit, 0
	}
	return time.Until(r.deadline) - r.lastWords(), min(max(r.deadline.Sub(r.began)/callShare, callMin), callMax)
}

// short says whether no further batch should be begun.
func (r *run) short() bool {
	left, needed := r.left()
	return left < needed
}
