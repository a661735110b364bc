package chaos

import (
	"context"
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

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/sts"
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
	ctx   context.Context // lives as long as the schedule does
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
	seen        int             // of the wipes
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
	state := w.state
	if w.account != "" {
		// The function's own account has the same desktops, which nobody asks for.
		state.Accounts = []localcloud.Account{{ID: w.account, Roles: []sts.Role{{Name: "regild-member"}}, State: state.State}}
	}
	o := localcloud.Options{State: state, Invoker: w,
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

// desktops are those that the schedule is about.
func (w *world) desktops() *ecd.Server {
	if other := w.cloud.Accounts[w.account]; other != nil {
		return other
	}
	return w.cloud.ECD
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
		w.forsake(messagesOf(e.Payload))
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
	w.forsake(nil) // what was given up is gone from the queue already
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
	if w.desktops().Connect(id, "bob") {
		w.seq++
		w.connected[id] = w.seq
		w.note("bob is on %s", id)
	}
}

func (w *world) leave(id string) {
	w.desktops().Update(id, func(d *ecd.Desktop) { d.Sessions, d.Connection = nil, ecd.Disconnected })
}

// outside gives a desktop another image behind the function's back.
func (w *world) outside(id string) {
	w.desktops().Update(id, func(d *ecd.Desktop) {
		if d.Status == ecd.Running || d.Status == ecd.Stopped {
			d.ImageID, d.OS = "m-outside", "windows"
		}
	})
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
