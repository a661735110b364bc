package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/rollout"
)

// Bounds of a schedule: what takes longer will never be quiet.
const (
	maxRounds = 6000
	maxTime   = 90 * 24 * time.Hour // of the cloud
	liveLimit = 5 * time.Minute     // real time
	// shift is how often somebody looks after rollouts that stand still.
	shift = 2 * time.Hour
	// drift bounds how much cloud time passes within one round of deliveries, so
	// that a call is never as long as what is assumed of it (rollout.CallLimit).
	drift = 30 * time.Second
)

// A world is one schedule, lived.
type world struct {
	*plan
	figures
	rerun string
	dir   string
	ctx   context.Context //nolint:containedctx // it lives as long as the schedule does
	cloud *localcloud.Cloud
	host  *fc.Host

	mu          sync.Mutex
	next        int // of deeds
	points      int // moments of calls so far
	drifted     time.Duration
	calmed      bool
	seq         int // orders what people do and when invocations begin
	connected   map[string]int
	invocations map[string]*invocation
	lost        map[string]bool // works whose last message was not delivered again
	killed      bool            // at killAt
	seen        int             // of ECD.Wipes
	wipes       []*wipe
	acted       int // times that the operator did something
	looked      time.Time
	trace       []string
	broken      []string
	log         strings.Builder
	logs        map[string][]byte // the journals in the end
}

// An invocation is one call of the function.
type invocation struct {
	id    string
	seq   int
	began time.Time // of the cloud
	over  bool
}

// live lives a plan to its end and judges it.
func live(t *testing.T, p *plan, rerun string) *world {
	t.Helper()
	w := &world{plan: p, rerun: rerun, connected: map[string]int{}, invocations: map[string]*invocation{}, lost: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), liveLimit)
	defer cancel()
	w.ctx = ctx
	var err error
	if w.dir, err = os.MkdirTemp("", "regild-chaos"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(w.dir) }()
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		w.host.Kill()
		_ = w.cloud.Close() // the function is gone already
	}()
	if err := w.settle(); err != nil {
		w.breaks("it does not become quiet: %v", err)
	}
	w.judge()
	w.sum()
	return w
}

func (w *world) start() error {
	still := 0.0
	w.state.Clock = localcloud.Clock{Start: begin, Rate: &still}
	o := localcloud.Options{State: w.state, Invoker: w,
		Function: fc.Function{Path: function, Timeout: w.timeout, Instances: w.workers, Initializer: true, Stdout: &locked{w: w}},
		Stream: func(o *bridge.Options) {
			o.BatchSize, o.Tries, o.Observe = w.batch, w.tries, w.settled
		}}
	if w.journal == "file" {
		o.Journal = "file://" + filepath.Join(w.dir, "journal")
	}
	if w.yaml != "" {
		path := filepath.Join(w.dir, "fleets.yaml")
		if err := os.WriteFile(path, []byte(w.yaml), 0o600); err != nil {
			return err
		}
		o.Env = append(o.Env, "REGILD_FLEETS="+path)
	}
	var err error
	if w.cloud, err = localcloud.Start(w.ctx, o); err != nil {
		return err
	}
	w.host = w.cloud.FC
	w.cloud.Faults.Seed(w.seed)
	w.cloud.Faults.Observe(w.moment)
	return nil
}

// settle lets everything happen, until nothing more does.
func (w *world) settle() error {
	for range maxRounds {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		w.due()
		w.mu.Lock()
		w.drifted = 0
		w.mu.Unlock()
		some, err := w.deliver()
		if err != nil {
			return err
		}
		now := w.cloud.Clock.Now()
		if some {
			w.tend(now)
			continue
		}
		at, ok := w.upcoming()
		switch {
		case !ok && !w.operate():
			return nil
		case !ok:
			continue
		case at.Sub(begin) > maxTime:
			return fmt.Errorf("after %s there is still something to do", maxTime)
		}
		w.cloud.Clock.Advance(max(at.Sub(now), 0))
		w.tend(at)
	}
	return fmt.Errorf("after %d rounds there is still something to do", maxRounds)
}

// tend has the operator look at things once a shift, when the storm is over.
func (w *world) tend(now time.Time) {
	if w.calmed && now.Sub(w.looked) >= shift {
		w.looked = now
		w.operate()
	}
}

// upcoming returns when the next thing happens.
func (w *world) upcoming() (time.Time, bool) {
	at, ok := w.cloud.MNS.Next(localcloud.RequestQueue)
	earlier := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next < len(w.deeds) {
		earlier(begin.Add(w.deeds[w.next].at))
	}
	if !w.calmed {
		earlier(begin.Add(w.calm))
	}
	return at, ok
}

// due does what is due.
func (w *world) due() {
	now := w.cloud.Clock.Now().Sub(begin)
	for {
		w.mu.Lock()
		var d *deed
		if w.next < len(w.deeds) && w.deeds[w.next].at <= now {
			d = &w.deeds[w.next]
			w.next++
		}
		if !w.calmed && now >= w.calm {
			w.calmed, w.plan.kills, w.forsaken = true, nil, 0
			w.cloud.Faults.Clear()
			w.note("the storm is over")
		}
		w.mu.Unlock()
		if d == nil {
			return
		}
		w.told(d.what)
		d.do(w)
	}
}

// deliver has every worker deliver one batch, at the same time.
func (w *world) deliver() (bool, error) {
	some, errs := make([]bool, w.workers), make([]error, w.workers)
	var wg sync.WaitGroup
	for i := range w.workers {
		wg.Go(func() { some[i], errs[i] = w.cloud.Bridge.Step(w.ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return false, err
		}
	}
	return slices.Contains(some, true), nil
}

// InvokeEvent hands an event to the function, and now and then forgets to say
// that it failed: the platform need not deliver it again.
func (w *world) InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error) {
	w.mu.Lock()
	w.seq++
	w.deliveries++
	i := &invocation{id: fmt.Sprintf("i%d", w.deliveries), seq: w.seq, began: w.cloud.Clock.Now()}
	w.invocations[i.id] = i
	w.note("%s: %s", i.id, about(e.Payload))
	w.mu.Unlock()
	e.RequestID = i.id
	result, err := w.host.InvokeEvent(ctx, e)
	w.mu.Lock()
	defer w.mu.Unlock()
	i.over = true
	if err != nil || !result.Failed() {
		w.note("%s ended: %v %s", i.id, err, result.Response)
		return result, err
	}
	w.note("%s failed: %s %s", i.id, result.ErrorType, result.ErrorMessage)
	if w.dice(uint64(w.deliveries)).IntN(1000) < w.forsaken {
		w.drops++
		w.note("%s is not delivered again", i.id)
		w.forsake(messagesOf(e.Payload), nil)
		return fc.Result{RequestID: i.id, Response: []byte("{}")}, nil
	}
	return result, nil
}

// settled is told what the bridge did with a batch.
func (w *world) settled(d bridge.Delivery) {
	if d.GivenUp == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drops++
	w.note("%d messages were given up", d.GivenUp)
	w.forsake(nil, d.MessageIDs)
}

// moment is every moment of every call: the time passes, and the function may
// die.
func (w *world) moment(p fault.Point) {
	if p.Service == "ecd" && p.Operation == "RebuildDesktops" && p.Phase == fault.Done {
		w.see()
	}
	phases := []fault.Phase{p.Phase}
	if p.Phase == fault.Received {
		phases = []fault.Phase{lost, fault.Received}
	}
	for _, phase := range phases {
		w.mu.Lock()
		w.points++
		kills := w.killAt > 0 && w.points == w.killAt
		for _, k := range w.plan.kills {
			kills = kills || k == kill{p.Service, p.Operation, p.N, phase}
		}
		passes := time.Duration(0)
		if d := w.dice(uint64(w.points) << 20); d.IntN(1000) < w.duplex && w.drifted < drift {
			passes = time.Duration(1+d.IntN(3)) * time.Second
			w.drifted += passes
		}
		if kills {
			w.note("killed when %s %s %d was %s", p.Service, p.Operation, p.N, phase)
		}
		w.mu.Unlock()
		if passes > 0 {
			w.cloud.Clock.Advance(passes)
			w.due()
		}
		if !kills {
			continue
		}
		w.kill()
		if phase == lost {
			panic(http.ErrAbortHandler) // the call goes down with its sender
		}
	}
}

func (w *world) kill() {
	alive := slices.ContainsFunc(w.host.Instances(), func(i fc.Instance) bool { return i.Running })
	w.host.Kill()
	if alive {
		w.mu.Lock()
		w.figures.kills++
		w.mu.Unlock()
	}
}

// dice returns chances that depend on the seed and n alone.
func (w *world) dice(n uint64) dice { return dice{rand.New(rand.NewPCG(w.seed, n))} }

func (w *world) send(body []byte) {
	if _, err := w.cloud.MNS.Send(localcloud.RequestQueue, body, 0); err != nil {
		w.breaks("sending %s: %v", body, err)
	}
}

func (w *world) connect(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cloud.ECD.Connect(id, "bob") {
		w.seq++
		w.connected[id] = w.seq
		w.note("bob is on %s", id)
	}
}

func (w *world) leave(id string) {
	w.cloud.ECD.Update(id, func(d *ecd.Desktop) { d.Sessions, d.Connection = nil, ecd.Disconnected })
}

// outside gives a desktop another image behind the function's back.
func (w *world) outside(id string) {
	w.cloud.ECD.Update(id, func(d *ecd.Desktop) {
		if d.Status == ecd.Running || d.Status == ecd.Stopped {
			d.ImageID, d.OS = "m-outside", "windows"
		}
	})
}

// A note is a message on the queue, as far as it says what it is about.
type note struct {
	id   string // of the message
	typ  string
	work string // "" for a release
	n    int    // of a tick
	text string
}

// messagesOf opens what the bridge delivers.
func messagesOf(payload []byte) []note {
	var envelopes []struct {
		Data struct{ MessageID, MessageBody string }
	}
	if err := json.Unmarshal(payload, &envelopes); err != nil {
		return nil
	}
	var out []note
	for _, e := range envelopes {
		out = append(out, open(e.Data.MessageID, []byte(e.Data.MessageBody)))
	}
	return out
}

func open(id string, body []byte) note {
	var e struct {
		Type string `json:"type"`
		Data struct {
			ID        string `json:"id"`
			RequestID string `json:"requestId"`
			RolloutID string `json:"rolloutId"`
			ReleaseID string `json:"releaseId"`
			Action    string `json:"action"`
			N         int    `json:"n"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &e) // some are broken on purpose
	d := e.Data
	return note{id, e.Type, d.ID + d.RequestID + d.RolloutID, d.N, strings.TrimSpace(fmt.Sprintf("%s %s%s%s%s %s", strings.TrimPrefix(e.Type, "regild."), d.ID, d.RequestID, d.RolloutID, d.ReleaseID, d.Action))}
}

func about(payload []byte) string {
	var out []string
	for _, m := range messagesOf(payload) {
		text := m.text
		if m.typ == events.TypeTick {
			text = fmt.Sprintf("%s %d", text, m.n)
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// forsake notes which works nobody will look at any more, because the messages
// that would have had it done are gone: those given, or those with these ids that
// are no longer on the queue. A work that another message names is not among
// them. The lock is held.
func (w *world) forsake(gone []note, ids []string) {
	pending := map[string]note{}
	for _, m := range w.cloud.MNS.Pending(localcloud.RequestQueue) {
		pending[m.ID] = open(m.ID, m.Body)
	}
	for _, g := range gone {
		delete(pending, g.id)
	}
	_ = ids // what was given up is gone from the queue already
	works := w.works()
	for id, k := range works {
		named := false
		for _, m := range pending {
			switch m.typ {
			case events.TypeTick:
				named = named || m.work == id && m.n >= k.state.TickN
			case events.TypeRequest, events.TypeControl:
				named = named || m.work == id
			}
		}
		w.lost[id] = w.lost[id] || !named && !(k.state.Closed && k.state.Quiet())
	}
	for _, s := range w.sent {
		w.lost[s.id] = w.lost[s.id] || works[s.id] == nil
	}
	for _, r := range w.releases {
		for _, f := range w.fleets {
			if id := r.id + "/" + f.Name; works[id] == nil {
				w.lost[id] = true
			}
		}
	}
}

// operate does what an operator does when things stand still, and says whether
// anything is on the queue after that.
func (w *world) operate() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := len(w.cloud.MNS.Pending(localcloud.RequestQueue)) == 0
	works := w.works()
	for _, id := range sortedKeys(works) {
		s := works[id].state
		if body := w.goOn(id, s); body != nil {
			w.acted++
			w.send(body)
		} else if idle && (!s.Closed || !s.Quiet()) && !(s.Paused != "" || s.Halted != nil) {
			w.nudge(id, s)
		}
	}
	if idle && w.acted < 200 {
		for _, s := range w.sent {
			if s.valid && !s.dry && works[s.id] == nil && w.lost[s.id] {
				w.note("nobody heard of %s: sent again", s.id)
				w.lost[s.id] = false
				w.unopened++
				w.send(s.body)
			}
		}
		for _, r := range w.releases {
			for _, f := range w.fleets {
				if id := r.id + "/" + f.Name; works[id] == nil && w.lost[id] {
					w.lost[id] = false
					w.unopened++
					w.send(r.body)
				}
			}
		}
	}
	return len(w.cloud.MNS.Pending(localcloud.RequestQueue)) > 0
}

// nudge wakes a work that nothing on the queue would wake. That is needed only
// where the platform did not deliver something again.
func (w *world) nudge(id string, s *rollout.State) {
	if w.nudges++; w.nudges > 50 {
		return
	}
	w.note("nothing would ever look at %s again: woken", id)
	if !w.lost[id] {
		w.breaksLocked("nothing is on the queue for %s, which has not ended, and every message was delivered again", id)
	}
	w.lost[id] = false
	kind := events.TickRequest
	if !s.Work.Request() {
		kind = events.TickRollout
	}
	body, err := events.Tick{Kind: kind, ID: id, N: s.TickN + 1}.Event("chaos", w.cloud.Clock.Now()).Marshal()
	if err != nil {
		panic(err) // the test is wrong
	}
	w.send(body)
}

// goOn returns what has a rollout go on that stands still until somebody says
// so, and gives it up in the end.
func (w *world) goOn(id string, s *rollout.State) []byte {
	if s.Work.Request() || s.Closed || s.Superseded != "" || s.Aborted != "" {
		return nil
	}
	action := ""
	d := w.dice(uint64(w.acted)<<40 + 1)
	wave := s.Wave()
	switch {
	case w.acted >= 8 && (s.Paused != "" || s.Halted != nil):
		action = events.ActionAbort
	case s.Paused != "":
		action = events.ActionResume
	case s.Halted != nil:
		action = pick(d, events.ActionResume, events.ActionRetry, events.ActionAbort, events.ActionRollback)
		if rollout.Allow(s, action, 0) != nil {
			action = events.ActionResume
		}
	case wave != nil && !wave.EndedAt.IsZero() && wave.Approved == "" && s.Waiting != nil && s.Waiting.Code == events.CodeApprovalAwaited:
		action = events.ActionApprove
	default:
		return nil
	}
	w.note("operator: %s %s", action, id)
	return message(events.TypeControl, fmt.Sprintf("op%d", w.acted), id, events.Control{RolloutID: id, Action: action, By: "operator", Reason: "it stands still"})
}

func (w *world) told(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s", what)
}

// note adds a line to the story. The lock is held.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, w.cloud.Clock.Now().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// breaks notes a broken promise.
func (w *world) breaks(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breaksLocked(format, args...)
}

func (w *world) breaksLocked(format string, args ...any) {
	if len(w.broken) < 20 {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
		w.note("BROKEN: "+format, args...)
	}
}

// locked is where the function's log goes.
type locked struct{ w *world }

func (l *locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}
