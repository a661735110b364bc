package handler

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// Kinds of journals.
const (
	kindRequest = events.TickRequest
	kindRollout = events.TickRollout
	kindFleet   = "fleet" // which rollouts a fleet had, in their order
)

// A job is one request or rollout that this invocation works on.
type job struct {
	name     string // among the invocation's jobs
	kind, id string
	message  envelope.Message // that brought it; zero when another job did
	request  *events.Request  // as it came, when it did
	tick     int              // the number of the tick that brought it; -1: no tick did
	used     int              // the highest number of a tick that was delivered to us; -1: none
	again    []byte           // the request as it was put on the queue instead of its first tick; nil: it was not

	journal  *stateView
	others   *rollout.Others  // what other operations have to do with its desktops; nil: not read; replaced, not changed
	decision decision         // what decide found; the stages behind it act on it
	woken    bool             // to say why it waits, whatever it waits for
	taken    bool             // on by this invocation: it counts for its bound
	rounds   int              // how often it took a step since all were decided about
	unable   map[string]error // desktops to which something could not be done in this invocation, and why

	opening  sync.Mutex // held while its journal is opened
	recalled bool       // it was opened as this instance knew it: by what it is decided about has yet to be confirmed, see recall
	ended    bool       // nothing was left to do when it was opened, nor to be deleted of it

	mu     sync.Mutex
	failed error // why the job cannot go on in this invocation
}

// fail notes why a job cannot go on, and says whether that is the first reason.
func (j *job) fail(err error) (first bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if first = j.failed == nil; first {
		j.failed = err
	}
	return first
}

func (j *job) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// A decision is what may be done now about a job. The zero value is one that is yet
// to be made.
type decision struct {
	rollout.Decision
	made     bool
	prepared bool      // what comes before a rebuild was done
	at       time.Time // when it was made, in business time
	basis    version   // of the journal, by which it was made
	raced    bool      // it was made anew because others wrote meanwhile
}

// able takes out of a decision what was tried in this invocation and failed, so that
// it does not hold up other desktops, and what is too much for one step.
func (j *job) able(d rollout.Decision) rollout.Decision {
	var acts []rollout.Act
	calls := map[rollout.What]int{}
	for _, a := range d.Acts {
		a.Desktops = slices.DeleteFunc(a.Desktops, func(id string) bool { return j.unable[id] != nil })
		if a.What == rollout.Save { // of each desktop by itself
			calls[a.What] += len(a.Desktops)
		} else {
			calls[a.What]++
		}
		if len(a.Desktops) > 0 && calls[a.What] <= maxCalls {
			acts = append(acts, a)
		}
	}
	d.Acts = acts
	return d
}

func (j *job) key() string { return journal.Key(j.kind, j.id) }

// operation returns what the job's journal was opened for, or nil. It never changes.
func (j *job) operation() *rollout.Operation {
	var op *rollout.Operation
	j.journal.Look(func(s *rollout.State) { op = s.Operation })
	return op
}

// place returns where the job's desktops are: in no place if nothing is known of it.
func (j *job) place() (at desktop.Place) {
	if op := j.operation(); op != nil {
		at = op.Place()
	}
	return at
}

// over says whether nothing is left to do for the job.
func (j *job) over() (over bool) {
	j.journal.Look(func(s *rollout.State) { over = s.Closed && s.Quiet() })
	return over
}

// upToDate says whether nobody is known to have written since the job was decided about.
func (j *job) upToDate() bool {
	return j.journal.Look(func(*rollout.State) {}) == j.decision.basis
}

// known says whether the job's journal could be read and knows its operation.
func (j *job) known() bool {
	return j.journal != nil && j.operation() != nil
}

// maxUnwritten is how far the number of a tick may be ahead of what the journal says: so many may
// have been sent whose records could not be written.
const maxUnwritten = 1000

// use notes that a tick of that number was delivered to us, if it belongs to the chain of ticks: not
// TickAnyway, nor one that its sender made up. The ticks behind the highest number there is would all
// have that one, and none would be overtaken.
func (j *job) use(n int) {
	j.journal.Look(func(s *rollout.State) {
		if n <= s.TickN+maxUnwritten {
			j.used = max(j.used, n)
		}
	})
}

// ownMessage says whether a message brought the job, and not another job alone.
func (j *job) ownMessage() bool { return j.used >= 0 || j.message.Raw != nil }

// byOwnTick says whether nothing but the chain of its own ticks has an open rollout looked at that no
// later one took over from: what others have to do with it is read when that matters.
func (j *job) byOwnTick() (is bool) {
	if j.kind != kindRollout || j.tick <= tickIfIdle || j.woken {
		return false
	}
	j.journal.Look(func(s *rollout.State) { is = s.Open() && s.Superseded == "" })
	return is
}

// byTick says whether a tick has the job looked at again: no message is needed for it.
func (j *job) byTick() bool { return j.tick >= 0 || j.message.Raw == nil || j.known() }

// jobs are the requests and rollouts of an invocation, in the order in which they
// came.
type jobs struct {
	*invocation
	store journal.Store // nil: none
	cache *cache
	sched *scheduler

	mu         sync.Mutex
	list       []*job
	byName     map[string]*job
	handedOver map[string]bool // names of those that another invocation goes on with

	freezes freezesKnown // guarded by mu
}

// add puts a job on the list, or returns the one that is there for the same
// request or rollout.
func (js *jobs) add(kind, id string) (*job, bool) {
	return js.addAs(kind+"/"+id, kind, id)
}

func (js *jobs) addAs(name, kind, id string) (*job, bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j := js.byName[name]; j != nil {
		return j, false
	}
	j := &job{name: name, kind: kind, id: id, tick: -1, used: -1}
	js.byName[name] = j
	js.list = append(js.list, j)
	return j, true
}

// find returns the job for a request or rollout if its journal is open, or nil.
func (js *jobs) find(kind, id string) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j := js.byName[kind+"/"+id]; j != nil && j.journal != nil {
		return j
	}
	return nil
}

// all returns the jobs that there are now.
func (js *jobs) all() []*job {
	js.mu.Lock()
	defer js.mu.Unlock()
	return slices.Clone(js.list)
}

// untaken returns the jobs that came since the last one that was taken on.
func (js *jobs) untaken() []*job {
	js.mu.Lock()
	defer js.mu.Unlock()
	i := len(js.list)
	for i > 0 && !js.list[i-1].taken {
		i--
	}
	return slices.Clone(js.list[i:])
}

// each goes through the jobs whose journals are open, and those that are added meanwhile.
func (js *jobs) each() iter.Seq[*job] {
	at := func(i int) (j *job, open bool) {
		js.mu.Lock()
		defer js.mu.Unlock()
		if i < len(js.list) {
			j = js.list[i]
		}
		return j, j != nil && j.journal != nil
	}
	return func(yield func(*job) bool) {
		for i := 0; ; i++ {
			if j, open := at(i); j == nil || open && !yield(j) {
				return
			}
		}
	}
}

// live returns the jobs that can go on.
func (js *jobs) live() []*job {
	js.mu.Lock()
	defer js.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(js.list), func(j *job) bool { return j.journal == nil || j.failure() != nil })
}

// inPlace returns those of a place.
func (js *jobs) inPlace(at desktop.Place) []*job {
	return slices.DeleteFunc(js.live(), func(j *job) bool { return j.place() != at })
}

// places returns where there are jobs that can go on, in the order in which they came.
func (js *jobs) places() (list []desktop.Place) {
	for _, j := range js.live() {
		if at := j.place(); at.Region != "" && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// reconsider has jobs decided about anew.
func reconsider(jobs []*job) {
	for _, j := range jobs {
		j.decision, j.rounds = decision{}, 0
	}
}

// drop takes a job off the list again.
func (js *jobs) drop(j *job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	delete(js.byName, j.name)
	js.list = slices.DeleteFunc(js.list, func(o *job) bool { return o == j })
}

// noteHandedOver takes a job off the list and notes that another invocation goes on with it.
func (js *jobs) noteHandedOver(j *job) {
	js.drop(j)
	js.mu.Lock()
	defer js.mu.Unlock()
	js.handedOver[j.name] = true
}

// isHandedOver says whether a request or rollout was left to another invocation.
func (js *jobs) isHandedOver(kind, id string) bool {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.handedOver[kind+"/"+id]
}

// open reads the job's journal, once.
func (js *jobs) open(j *job) error {
	j.opening.Lock() // two rollouts of a fleet may be in two places
	defer j.opening.Unlock()
	if j.journal != nil && !j.journal.Recalled() {
		return nil
	}
	if j.journal != nil {
		return j.journal.Refresh(js.ctx)
	}
	store := js.store
	if store == nil {
		store = nowhere{} // the state is all there is of it; ticks carry what matters
	}
	l, err := js.openState(store, j.key())
	if err != nil {
		return err
	}
	js.mu.Lock() // it is on the list, perhaps, which others go through
	defer js.mu.Unlock()
	j.journal = l
	j.ended = j.over()
	return nil
}

// recall opens the journal of a job that a tick has brought as this instance knows it, and does not
// read it, if nothing speaks for others having written since. What is written then shows whether
// they have, as it does when they write after a read; and if nothing is, the journal is read before the
// job is left: see scheduler.confirm. Whoever else opens it in this invocation reads it.
func (js *jobs) recall(j *job, n int) bool {
	if !js.hasJournal || !js.hasQueue {
		return false
	}
	before := js.cache.recall(j.key(), n, js.asOf())
	if before == nil {
		return false
	}
	v := recallView(js.logOf(js.store, j.key()), *before, rollout.NewState)
	v.complete = complete
	js.mu.Lock()
	defer js.mu.Unlock()
	j.journal, j.recalled = v, true
	return true
}

// nowhere is the store of a function without a journal: a view of a log there folds
// what it writes, and that is all that there is of it.
type nowhere struct{ journal.Store }

func (nowhere) Read(ctx context.Context, _ string, from int64) ([]byte, int64, error) {
	return nil, from, ctx.Err()
}

// begin opens the journal of an operation, and writes down that a tick for it is on the
// queue. If the journal is open already, it changes nothing, and returns errReused if that is
// for another operation. plan is the digest of the plan that is demanded, or "". The result is
// errPlanRefused if the operation was refused with that plan before. again, if there is one, is
// sent instead of the tick and brings the whole request again; then all this is written down
// together with what follows (docs/decisions/0040-a-request-is-its-own-first-tick.md). more is
// written down with it.
func (js *jobs) begin(j *job, op rollout.Operation, plan string, again *resent, more ...rollout.Record) error {
	if err := js.open(j); err != nil {
		return err
	}
	open := func(s *rollout.State, first []rollout.Record) ([]rollout.Record, error) {
		switch {
		case s.Operation != nil && !s.Operation.Same(op):
			return nil, errReused
		case s.Operation != nil:
			return nil, nil
		case s.PlansRefused[plan] > 0:
			return nil, errPlanRefused
		}
		return slices.Concat(rollout.Opening(op, js.asOf()), first, more), nil
	}
	if j.journal.Unopened() { // by another message of this delivery
		var other error
		j.journal.Look(func(s *rollout.State) { _, other = open(s, nil) })
		return other
	}
	first, err := js.sched.firstTick(j, again)
	if err != nil {
		return err
	}
	if again != nil && j.journal.Length() == 0 {
		if j.again, err = again.as(js.in.Source, js.asOf()).Marshal(); err != nil {
			return err
		}
		return j.journal.OpenAhead(func(s *rollout.State) ([]rollout.Record, error) { return open(s, first) })
	}
	var refused error
	err = j.journal.Update(js.ctx, func(s *rollout.State) (out []rollout.Record) {
		out, refused = open(s, first)
		return out
	})
	return cmp.Or(err, refused)
}

var errPlanRefused = errors.New(rollout.PlanChanged)

var errReused = errors.New("the id was used before with other content; give every request an id of its own")

// peek calls f with the state of an operation that need not be a job. f must not
// keep it.
func (js *jobs) peek(kind, id string, f func(*rollout.State)) error {
	j := js.find(kind, id)
	if j == nil {
		j = &job{kind: kind, id: id}
		defer js.keepOne(j)
	}
	if err := js.open(j); err != nil {
		return err
	}
	j.journal.Look(f)
	return nil
}

// keep leaves what the journals hold to the instance's next invocations.
func (js *jobs) keep() {
	for _, j := range js.all() {
		js.keepOne(j)
	}
}

func (js *jobs) keepOne(j *job) {
	if js.hasJournal && j.journal != nil {
		js.cache.put(j.journal)
	}
}
