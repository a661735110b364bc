package million

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A world is the cloud, and the function in it.
type world struct {
	plan
	shards []shard
	rules  rollout.Rules
	byName map[string]int
	ids    []string
	t0     time.Time

	mu          sync.Mutex // guards all below
	machines    []machine
	followed    []followed // by shard
	open        int        // rollouts that have not ended
	openHealthy int
	mended      bool
	logs        map[string][]byte
	taken       map[string]time.Duration // by region: when ECD takes the next call of the throttled account
	waiting     due
	instances_  []*instance
	active      int
	wake        chan struct{}
	swept       time.Duration // when the timer comes next
	random      *rand.Rand
	figures
}

// A followed is how the rollout of a fleet goes.
type followed struct {
	ended           time.Duration // 0: it has not
	said, code, why string        // what was told of it last
}

// An instance is one process of the function.
type instance struct {
	n       int
	handler *handler.Handler
	ecd     map[string]*ecd // by account
	busy    bool
}

// An invocation is one call of the function.
type invocation struct {
	began, took time.Duration
	messages    int
	calls       int // of ECD
	reads       int // of the journal
	readBytes   int64
	failed      string
}

type invocationKey struct{}

func of(ctx context.Context) *invocation { return ctx.Value(invocationKey{}).(*invocation) }

func newWorld(p plan) (*world, error) {
	w := &world{plan: p, shards: p.shards(), byName: map[string]int{}, t0: time.Now(), logs: map[string][]byte{}, taken: map[string]time.Duration{},
		wake: make(chan struct{}, 1), swept: sweepEvery, figures: newFigures(), open: p.fleets,
		random: rand.New(rand.NewPCG(1, 2))}
	fleets, err := fleet.Parse("fleets.yaml", []byte(p.fleetsFile(w.shards)))
	if err != nil {
		return nil, err
	}
	w.rules = rollout.Rules{Regions: regions[:p.regions], Fleets: fleets, Declared: true, RebuildTimeout: 30 * time.Minute}
	w.followed = make([]followed, p.fleets)
	w.machines, w.ids = make([]machine, p.desktops), make([]string, p.desktops)
	for n, s := range w.shards {
		w.byName[s.name] = n
		if p.healthy(s) {
			w.openHealthy++
		}
		for d := s.first; d < s.first+s.size; d++ {
			w.machines[d].shard, w.ids[d] = int32(n), fmt.Sprintf(idForm, d)
		}
	}
	w.put(&message{body: p.release()})
	return w, nil
}

func (w *world) now() time.Duration { return time.Since(w.t0) }

func (w *world) put(m *message) {
	heap.Push(&w.waiting, m)
	w.poke()
}

func (w *world) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run calls the function until all rollouts have ended, or the time is over.
func (w *world) run() {
	for {
		w.mu.Lock()
		next, over := w.step()
		w.mu.Unlock()
		if over {
			w.allEnded = w.now()
			return
		}
		timer := time.NewTimer(next - w.now())
		select {
		case <-w.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// step calls the function with what is due, and says when to look again.
func (w *world) step() (time.Duration, bool) {
	now := w.now()
	if !w.mended && w.openHealthy == 0 {
		w.mend()
	}
	if w.active == 0 && (w.open == 0 && len(w.waiting) == 0 || now > w.limit) {
		return 0, true
	}
	if w.open == 0 {
		w.swept = now + w.limit // no more of it: only what is on the queue
	}
	for w.active < w.instances {
		switch {
		case now >= w.swept:
			w.swept += sweepEvery
			w.invoke([]*message{{body: []byte(`{"triggerTime":"2026-11-23T08:00:00Z","triggerName":"sweep","payload":""}`)}})
		case w.batchDue(now):
			var batch []*message
			for len(batch) < batchSize && len(w.waiting) > 0 && w.waiting[0].visible <= now {
				batch = append(batch, heap.Pop(&w.waiting).(*message))
			}
			w.invoke(batch)
		default:
			next := w.swept
			if len(w.waiting) > 0 {
				next = min(next, max(w.waiting[0].visible+batchWindow, now+batchWindow/10))
			}
			return next, false
		}
	}
	return now + time.Hour, false // whoever ends pokes
}

// batchDue says whether a batch is full, or its first message has waited long enough.
func (w *world) batchDue(now time.Duration) bool {
	if len(w.waiting) == 0 || w.waiting[0].visible > now {
		return false
	}
	if w.waiting[0].visible+batchWindow <= now {
		return true
	}
	n := 0
	for _, m := range w.waiting[:min(len(w.waiting), 64)] { // those that are due stand near the top
		if m.visible <= now {
			n++
		}
	}
	return n >= batchSize
}

// mend ends what is wrong, once the healthy have ended.
func (w *world) mend() {
	w.healthyEnded = w.now()
	w.says()
	w.mended = true
	w.atMend = w.figures.copy()
}

// invoke calls the function, in the first instance that is free.
func (w *world) invoke(batch []*message) {
	on := w.instance()
	on.busy = true
	w.active++
	w.mostActive = max(w.mostActive, w.active)
	w.count("fc", "invocations")
	for _, m := range batch {
		m.got++
		w.count("mns", "delivered")
	}
	i := &invocation{began: w.now(), messages: len(batch)}
	w.trace("INVOKE %d %.2000s", len(batch), payload(batch))
	name := fmt.Sprintf("1-6%015x-%012x", i.began, w.counts["fc invocations"]) // as long as the platform's
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), invocationKey{}, i), timeout)
		defer cancel()
		_, err := on.handler.Handle(ctx, handler.Invocation{RequestID: name, Source: "acs:fc:cn-hangzhou:1234567890123456:functions/regild"}, payload(batch))
		for _, e := range on.ecd {
			e.rest(ctx)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		on.busy = false
		w.active--
		i.took = w.now() - i.began
		if err != nil {
			i.failed = err.Error()
			for _, m := range batch {
				m.visible = w.now() + time.Second<<min(m.got-1, 9)
				w.put(m)
			}
		}
		w.trace("END took %s, calls %d, reads %d %s", i.took, i.calls, i.reads, i.failed)
		w.served(i)
		w.poke()
	}()
}

// payload is what the trigger delivers.
func payload(batch []*message) []byte {
	var out bytes.Buffer
	for n, m := range batch {
		out.WriteByte("[,"[min(n, 1)])
		out.Write(m.body)
	}
	out.WriteByte(']')
	return out.Bytes()
}

// instance returns the first that is free, or a new one.
func (w *world) instance() *instance {
	for _, on := range w.instances_ {
		if !on.busy {
			return on
		}
	}
	on := &instance{n: len(w.instances_), ecd: map[string]*ecd{}}
	for a := range w.accounts {
		on.ecd[accountID(a)] = w.services(a)
	}
	h, err := handler.New(handler.Config{ECD: on.ecd[""], Topic: topic{w}, Queue: queue{w}, Journal: objects{w}, Rules: w.rules,
		Member:   func(a fleet.Account) handler.Services { return handler.Services{ECD: on.ecd[a.ID]} },
		Desktops: w.bound, RebuildConcurrency: 4, PublishConcurrency: 16, Now: time.Now, Log: slog.New(slog.DiscardHandler), Meter: &handler.Meter{}})
	if err != nil {
		panic(err)
	}
	on.handler = h
	w.instances_ = append(w.instances_, on)
	return on
}
