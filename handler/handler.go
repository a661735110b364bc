// Package handler is one invocation of the function, from what a trigger delivers
// to what subscribers are sent. Start with Handle: it names the stages in their
// order, and each stage is the subject of one file of that name (admit has a file
// for each kind of message).
//
// What decides is elsewhere and pure: envelope and events read what came in, guard
// and rollout say what may be done, plan makes calls of it. What reaches the cloud
// is elsewhere too, behind the small interfaces of ports.go. What is here is the
// order of things, and the promise rests on that order: what is about to be done is
// in the journal before it is done, and what was done is in the journal before
// anything is published about it.
//
// The stages share a few parts, each with its own lock: the invocation, the jobs,
// the facts, the permissions, the outbox and the scheduler. A view is one log, and
// its Update the only way to write to it.
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

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
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
	// Saver is for fleets that save data disks (snapshot); nil: it cannot be done, and
	// then nothing is rebuilt that would erase one.
	Saver Saver
	// Notifier is for fleets that show notices (notice); nil: none can be shown.
	Notifier Notifier
	// Census is for fleets whose idle users do not count (sessions.idle), or that want
	// proof by use (check.use), and Alarms for those that name alarms; nil: cannot be
	// asked, and then users count and no further wave begins.
	Census Census
	Alarms Alarmer
	// Member returns the services of an account that Rules.Fleets declares; those above
	// are of the function's own account. nil: nothing is asked for in any other.
	Member func(fleet.Account) Services
	Rules  rollout.Rules // Journal is set by New
	// Doors say where what is taken from. RolloutQueue is where ticks of rollouts
	// go, so that a flood of requests does not hold them up; nil: to Queue.
	Doors        Doors
	RolloutQueue Queue
	TickKey      []byte // signs ticks that carry records; nil: those are not believed

	// Desktops are how many one invocation takes on; 0: MaxDesktops. For tests.
	Desktops int
	// Grown says that a log of the journal was seen to grow. For tests.
	Grown bool

	RebuildConcurrency int // RebuildDesktops calls under way at once in a place; at least 1
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
	if c.Rules.Journal && c.Rules.JournalLimit == 0 {
		c.Rules.JournalLimit = journal.MaxLog
	}
	if c.Journal != nil {
		g := &growing{Store: c.Journal}
		g.seen.Store(c.Grown)
		c.Journal = g
	}
	return &Handler{Config: c}, nil
}

// An Invocation identifies one call of Handle.
type Invocation struct {
	RequestID string // of the invocation
	Source    string // the CloudEvents source of what goes out: acs:fc:region:account:functions/name
}

// Handle works through one payload. It returns an error when the payload must
// be delivered again, and only then: it is safe to do so any number of times.
func (h *Handler) Handle(ctx context.Context, in Invocation, payload []byte) (Report, error) {
	r := h.begin(ctx, in)
	defer r.end()

	r.admit(r.open(payload)) // messages become jobs: the requests and rollouts that they are about
	r.inPlaces(r.stages)     // those of each place by themselves, all at once

	return r.report()
}

// stages takes the jobs of one place through the stages. Live returns those that can go on.
func (r *run) stages(live func() []*job) {
	for further := true; further; {
		r.decide(live())               // what may be done now; reads facts and changes nothing
		further = r.prepare(live()) || // what follows is written down; maintenance, stop, commands, notices
			r.rebuild(live()) || // desktops are claimed, calls are made, and how each ended is written down
			r.rollBack(live()) // rollouts that halted and go back by themselves
	}
	r.out.publishOutcomes(live()) // those that MNS has not taken yet
	r.conclude(live())            // what has ended is closed
	r.out.publish(live())         // the outcomes and events that follow from that
	r.schedule(live())            // a tick for each operation that is unfinished
}

// inPlaces calls do for the jobs of each place, for all places at once: none waits for
// what another one does not answer. A job that comes into a place of which there was
// none goes on by its tick.
func (r *run) inPlaces(do func(live func() []*job)) {
	places := r.jobs.places()
	r.facts.setSharers(len(places))
	var wg sync.WaitGroup
	for i, at := range places {
		inPlace := func() {
			err := contain(func() error { do(func() []*job { return r.jobs.inPlace(at) }); return nil })
			if err != nil {
				inAccount(r.log, at.Account).Error("a stage made us panic", "region_id", at.Region, "error", err.Error())
				r.again.add(err)
			}
		}
		if i == len(places)-1 { // of which there is mostly one
			inPlace()
		} else {
			wg.Go(inPlace)
		}
	}
	wg.Wait()
}

// A run is one invocation under way: its stages, and what they share.
type run struct {
	*invocation
	jobs   *jobs
	out    *outbox
	counts *tally
	again  *redeliveries
	index  *openIndex
	meter  *Meter
	facts  *reader
	calls  map[string]int // by name, before this invocation

	*admission
	*decider
	*preparer
	*rebuilder
	*rollbacker
	*concluder
	*scheduler
}

// begin makes the stages of an invocation. Each is given what it uses.
func (h *Handler) begin(ctx context.Context, in Invocation) *run {
	i := newInvocation(ctx, h.Config, in)
	counts, again := newTally(), &redeliveries{}
	perms := newPermissions(i.log)
	accounts := &accounts{own: Services{h.ECD, h.Snapshots, h.Saver, h.Notifier, h.Census}, member: h.Member, fleets: h.Rules.Fleets}
	index := &openIndex{invocation: i, store: h.Journal}
	sched := &scheduler{invocation: i, queue: h.Queue, rolloutQueue: h.RolloutQueue, key: h.TickKey,
		index: index, counts: counts, again: again, ticked: map[string]rollout.Record{}}
	jobs := &jobs{invocation: i, store: h.Journal, cache: &h.cache, sched: sched, byName: map[string]*job{}, handedOver: map[string]bool{}}
	out := newOutbox(i, h.Topic, h.PublishConcurrency, counts, again)
	sched.out = out
	facts := &reader{invocation: i, accounts: accounts, alarmer: h.Alarms, rules: h.Rules,
		jobs: jobs, perms: perms, counts: counts, places: map[desktop.Place]*rollout.Facts{}}
	refuse := &refusals{invocation: i, doors: h.Doors, jobs: jobs, out: out}
	recovery := &recovery{invocation: i, doors: h.Doors, sched: sched, refuse: refuse, again: again}
	fleets := &fleets{invocation: i, rules: h.Rules, jobs: jobs, facts: facts, sched: sched, refuse: refuse, recovery: recovery, counts: counts}
	return &run{invocation: i, jobs: jobs, out: out, counts: counts, again: again, index: index, facts: facts, meter: h.Meter, calls: h.Meter.Snapshot(),
		admission: &admission{invocation: i, most: h.most(), accounts: accounts, rules: h.Rules, doors: h.Doors, key: h.TickKey, jobs: jobs, fleets: fleets,
			facts: facts, index: index, sched: sched, refuse: refuse, recovery: recovery, counts: counts, again: again},
		decider:  &decider{invocation: i, rules: h.Rules, jobs: jobs, fleets: fleets, facts: facts, sched: sched, recovery: recovery},
		preparer: &preparer{invocation: i, accounts: accounts, facts: facts, perms: perms, sched: sched, index: index, out: out, recovery: recovery},
		rebuilder: &rebuilder{invocation: i, accounts: accounts, rules: h.Rules, concurrency: h.RebuildConcurrency,
			jobs: jobs, facts: facts, perms: perms, sched: sched, out: out, recovery: recovery, index: index},
		rollbacker: &rollbacker{invocation: i, rules: h.Rules, jobs: jobs, fleets: fleets, sched: sched, recovery: recovery},
		concluder:  &concluder{invocation: i, rules: h.Rules, facts: facts, out: out, recovery: recovery},
		scheduler:  sched,
	}
}

// end stops the publishers and leaves what was learned to the instance.
func (r *run) end() {
	r.out.close()
	r.index.wait()
	r.cancel()
	r.jobs.keep()
}
