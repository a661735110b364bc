package handler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
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

	indexed bool // entered into the index of open works in this invocation

	used int // the highest number of a tick that was delivered to us; -1: none

	journal  *stateView
	busy     map[string]string // desktops that an earlier rollout of the fleet is rebuilding
	decision rollout.Decision
	decided  time.Time // when, in business time
	version  version   // of the journal, by which the decision was made
	raced    bool      // the decision was made anew because others wrote meanwhile

	unable map[string]error // desktops to which something could not be done in this invocation, and why
	failed error            // why the job cannot go on in this invocation
}

// able takes out of a decision what was tried in this invocation and did not
// work, so that it keeps nobody else waiting.
func (j *job) able(d rollout.Decision) rollout.Decision {
	tried := func(id string) bool { return j.unable[id] != nil }
	for _, ids := range []*[]string{&d.Hold, &d.Release, &d.Stop, &d.Start, &d.Command.Desktops} {
		*ids = slices.DeleteFunc(*ids, tried)
	}
	ask := d.Ask
	d.Ask = nil
	for _, c := range ask {
		if c.Desktops = slices.DeleteFunc(c.Desktops, tried); len(c.Desktops) > 0 {
			d.Ask = append(d.Ask, c)
		}
	}
	tell := d.Tell[:min(len(d.Tell), maxTellings)]
	d.Tell = nil
	for _, t := range tell {
		if t.Desktops = slices.DeleteFunc(t.Desktops, tried); len(t.Desktops) > 0 {
			d.Tell = append(d.Tell, t)
		}
	}
	return d
}

func (j *job) key() string { return journal.Key(j.kind, j.id) }

// work returns what the job's journal was opened for, or nil. It never changes.
func (j *job) work() *rollout.Operation {
	var w *rollout.Operation
	j.journal.Look(func(s *rollout.State) { w = s.Operation })
	return w
}

// add puts a job on the list, or returns the one that is there for the same
// request or rollout.
func (r *run) add(kind, id string) (*job, bool) {
	return r.addAs(kind+"/"+id, kind, id)
}

func (r *run) addAs(k, kind, id string) (*job, bool) {
	if j := r.byKey[k]; j != nil {
		return j, false
	}
	j := &job{name: k, kind: kind, id: id, tick: -1, used: -1}
	r.byKey[k] = j
	r.jobs = append(r.jobs, j)
	return j, true
}

// open reads the job's journal, once.
func (r *run) open(j *job) error {
	if j.journal != nil {
		return nil
	}
	store := r.Journal
	if store == nil {
		store = journal.Memory() // forgets with the invocation; ticks carry what matters
	}
	l, err := r.openState(store, j.key())
	if err != nil {
		return err
	}
	j.journal = l
	return nil
}

// openOperation writes down that a work is taken on, and that a tick for it is on
// the queue. A work that is there already must be the same one: errReused says that
// it is not. Plan is the digest of the plan that is demanded, or "": errPlanRefused
// says that it was refused with it before.
func (r *run) openOperation(j *job, w rollout.Operation, plan string) error {
	if err := r.open(j); err != nil {
		return err
	}
	first, err := r.firstTick(j)
	if err != nil {
		return err
	}
	var refused error
	err = j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		refused = nil
		switch {
		case s.Operation != nil:
			return nil
		case s.PlansRefused[plan]:
			refused = errPlanRefused
			return nil
		}
		return append([]rollout.Record{{Kind: rollout.KindOpened, At: r.now, Operation: &w}}, first...)
	})
	if err = cmp.Or(err, refused); err != nil {
		return err
	}
	j.journal.Look(func(s *rollout.State) {
		if !s.Operation.Same(w) {
			err = errReused
		}
	})
	return err
}

// firstTick sees to it that a tick for a work that is not opened yet is on the
// queue, and returns the record that says so. So whoever dies before the work is
// looked at leaves somebody who looks, whatever the message that asked for it is
// taken for when it comes again.
func (r *run) firstTick(j *job) ([]rollout.Record, error) {
	known := false
	j.journal.Look(func(s *rollout.State) { known = s.Operation != nil })
	if known || r.Queue == nil || r.Journal == nil {
		return nil, nil
	}
	rec, err := r.tickFor(j.kind, j.id)
	return []rollout.Record{rec}, err
}

// tickFor puts the first tick for a work on the queue, if there is one, once in an
// invocation: it comes after this invocation must have ended. It returns the record
// of it.
func (r *run) tickFor(kind, id string) (rollout.Record, error) {
	if rec, sent := r.ticked[kind+"/"+id]; sent || r.Queue == nil {
		return rec, nil
	}
	now := r.business().UTC()
	rec := rollout.Record{Kind: rollout.KindTick, N: 1, Until: now.Add(min(r.afterUs(), rollout.MaxTick))}
	body, err := events.Tick{Kind: kind, ID: id, N: rec.N}.Event(r.in.Source, now).Marshal()
	if err == nil {
		err = r.send(kind, body, rec.Until.Sub(now))
	}
	if err != nil {
		return rec, fmt.Errorf("putting a tick for %s on the queue: %w", id, err)
	}
	r.ticked[kind+"/"+id] = rec
	return rec, nil
}

var errPlanRefused = errors.New("it was refused with this plan before; look at it with dryRun and ask again")

var errReused = errors.New("the id was used before with other content; give every request an id of its own")

// contain runs f and turns a panic into an error, so that one message that
// breaks us does not break the others, and does not come back for ever.
func contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: fmt.Sprint(p)}
		}
	}()
	return f()
}

// PanicError is a bug of ours that a message brought to light.
type PanicError struct{ Value string }

func (p *PanicError) Error() string {
	return "regild has a bug that this message brings to light: " + p.Value
}

// fail ends a job for this invocation. Nothing that it was about to do was done.
func (r *run) fail(j *job, err error) {
	r.mu.Lock()
	again := j.failed != nil
	if !again {
		j.failed = err
	}
	r.mu.Unlock()
	if again {
		return
	}
	r.log().Error("job failed", "job", j.id, "error", err.Error())
	if _, bug := errors.AsType[*PanicError](err); bug {
		r.refuseMessage(j.message, events.CodePanicked, err.Error())
		if j.known() { // what was begun for it must still be followed, if a later build can
			r.sendBack(j, rollout.MaxTick)
		}
		return
	}
	r.sendBack(j, time.Minute)
}

// known says whether the job's journal could be read and knows its work.
func (j *job) known() bool { return j.journal != nil && j.work() != nil }

// sendBack puts what brought a job back on the queue, for another try: a tick,
// as soon as there is a journal that knows what to do; else a request, written
// anew so that it keeps its identity under a new message; else what came.
func (r *run) sendBack(j *job, delay time.Duration) {
	if r.Journal == nil && r.Queue != nil && j.known() {
		r.carry(j, r.business().Add(delay)) // only this state knows what was begun
		return
	}
	body := j.message.Raw
	var err error
	switch {
	case r.Doors.apart() && !j.known() && j.tick < 0 && body != nil:
		if j.request == nil || r.doorOf(j.message) != r.Doors.Request {
			// Sent by us it would come through another door.
			r.redeliver(fmt.Errorf("%s %s: %w", j.kind, j.id, j.failed))
			return
		}
		body, err = sameRequest(*j.request, j.message, r.now)
	case r.Journal != nil && (j.tick >= 0 || body == nil || j.known()):
		body, err = events.Tick{Kind: j.kind, ID: j.id, N: events.TickAnyway}.Event(r.in.Source, r.now).Marshal()
	case j.request != nil:
		again := *j.request
		again.RequestID = j.id
		body, err = requestEvent(again, r.in.Source, r.now).Marshal()
	}
	if err == nil {
		err = r.send(j.kind, body, delay)
	}
	if err != nil {
		r.redeliver(fmt.Errorf("%s %s: %w; and it could not be put back on the queue: %w", j.kind, j.id, j.failed, err))
	}
}

// sameRequest is a request as it came, but for an id if it had none: from the source
// that it came from.
func sameRequest(req events.Request, m envelope.Message, now time.Time) ([]byte, error) {
	if m.Type == "" {
		return json.Marshal(req)
	}
	return requestEvent(req, m.Source, now).Marshal()
}

// errNoQueue says that there is no queue to put anything on.
var errNoQueue = errors.New("no REGILD_REQUEST_QUEUE is set")

// send puts a message about a work of the kind on the queue for such.
func (r *run) send(kind string, body []byte, delay time.Duration) error {
	if r.Queue == nil {
		return errNoQueue
	}
	ctx, cancel := r.last()
	defer cancel()
	if kind == kindRollout && r.RolloutQueue != nil {
		return r.RolloutQueue.Send(ctx, body, delay)
	}
	return r.Queue.Send(ctx, body, delay)
}

// last returns a context for what must still be said when time is up: it lives
// as long as the invocation does, and is not cut short by anything else.
func (r *run) last() (context.Context, context.CancelFunc) {
	return r.until(100 * time.Millisecond)
}

// until returns a context that ends that long before the invocation does.
func (r *run) until(before time.Duration) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(r.ctx)
	if r.deadline.IsZero() {
		return context.WithTimeout(ctx, 30*time.Second)
	}
	return context.WithDeadline(ctx, r.deadline.Add(-before))
}

func short(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// A stateView is the view of a request's or rollout's journal.
type stateView = view[*rollout.State]

// openState opens the journal of a request or a rollout.
func (r *run) openState(store journal.Store, key string) (*stateView, error) {
	var before *knownState
	if store == r.Journal {
		before = r.cache.take(key)
	}
	v, err := openView(r.ctx, logOf{store, key, r.in.RequestID, r.business}, before, rollout.NewState)
	v.complete = noteEnding
	return v, err
}

// noteEnding has the record that says that the last events of a closed operation are
// published say how it came out. What is appended together with anything else says
// nothing: the state does not hold that yet.
func noteEnding(s *rollout.State, records []rollout.Record) {
	if slices.ContainsFunc(records, func(r rollout.Record) bool { return r.Kind != rollout.KindPublished }) {
		return
	}
	for i := range records {
		if len(records[i].Events) > 0 {
			records[i].Ending = s.Ending()
		}
	}
}

// A recordList is the state of a log whose meaning follows from all its records.
type recordList []rollout.Record

// Apply adds records to the list.
func (l *recordList) Apply(records ...rollout.Record) { *l = append(*l, records...) }

// A listView is the view of such a log: of a fleet's rollouts, and of freezes.
type listView = view[*recordList]

func newRecordList() *recordList { return &recordList{} }

// openList reads such a log, as it is at this moment.
func (r *run) openList(ctx context.Context, key string) (*listView, error) {
	return openView(ctx, logOf{r.Journal, key, r.in.RequestID, r.business}, nil, newRecordList)
}

// business returns the business time now.
func (r *run) business() time.Time { return r.Now() }
