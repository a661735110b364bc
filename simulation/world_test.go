package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A world is one schedule under way, in a bubble of testing/synctest: each call
// of the function sleeps for as long as it takes and then happens, so the fake
// clock alone decides who goes on. Nothing is polled and nobody takes turns.
type world struct {
	s     *schedule
	t0    time.Time
	calm  time.Time
	end   time.Time
	store journal.Store
	known map[string]bool // violations that are not to be noted

	mu        sync.Mutex // guards all below; held only for moments
	seen      map[string]int
	given     map[string]strike // the strikes of a schedule that is not drawn
	struck    []strike
	hits      int // strikes up to now
	lastHit   time.Time
	budget    int
	wake      chan struct{}
	coming    int // effects that are still under way
	instances []*instance
	count     int
	active    int // places that are taken
	alive     []*invocation
	fleets    []fleet.Fleets // of s.Fleets
	happen    []happening    // what is to come, in its order
	looked    time.Time
	acted     int
	swept     int
	timerAt   time.Time // when the timer came last, or is to come
	lastWords string

	machines map[string]*machine
	ids      []string
	images   map[string]*imageNow
	commands int
	messages []*message
	sent     int
	works    map[string]*work // by id
	byKey    map[string]*work
	logs     map[string][]enrolment // of the fleets
	bytes    map[string]int
	indexed  map[string]bool      // requests that a sweep finds
	unopened map[string]*unopened // by the keys of their entries
	// cameAgain are the works of which a message was delivered more than once.
	cameAgain map[string]bool
	told      told
	wiped     map[wipe]int
	wipes     []*acceptance
	ownCodes  map[string]bool // that ECD has spoken
	frozen    []freezing
	alarm     *alarmNow
	rings     map[string]ringNow // by rollout

	broken []violation
	trace  []step
}

// A violation is one promise that was seen broken.
type violation struct{ Rule, Text string }

type step struct {
	at          time.Duration // since the beginning
	who         string
	label, what string
}

type happening struct {
	at time.Time
	do func()
}

// instance is one process of the function.
type instance struct {
	name    string
	handler *handler.Handler
	skew    time.Duration
	epoch   int // of fleets.yaml
	dead    bool
	busy    bool
	frozen  time.Time // until then
}

// invocation is one call of the function.
type invocation struct {
	id       string
	on       *instance
	began    time.Time
	deadline time.Time
	messages []*message
	cancel   context.CancelFunc
	frozen   bool // it was, at some time
	given    bool // its messages were given to somebody else
	over     bool
	freed    bool            // its place was given to somebody else
	shown    map[string]shot // what ECD told it last of each desktop
	images   map[string]desktop.Image
	thawedAt time.Time // when it read the freezes last
	// Where ECD has no records:
	journals  []string             // that it has read
	unwritten map[string]time.Time // by journal: when an append to it failed last
	cutOff    bool                 // it was killed, or its time was up
}

type invocationKey struct{}

func of(ctx context.Context) *invocation { return ctx.Value(invocationKey{}).(*invocation) }

func newWorld(s *schedule, known map[string]bool) *world {
	w := &world{s: s, t0: time.Now(), store: journaltest.Memory(), known: known, seen: map[string]int{}, budget: s.Budget, wake: make(chan struct{}, 1),
		machines: map[string]*machine{}, images: map[string]*imageNow{}, works: map[string]*work{}, byKey: map[string]*work{},
		logs: map[string][]enrolment{}, bytes: map[string]int{}, indexed: map[string]bool{}, unopened: map[string]*unopened{}, cameAgain: map[string]bool{}, wiped: map[wipe]int{}, ownCodes: map[string]bool{}}
	w.rings = map[string]ringNow{}
	w.told.first, w.told.ended, w.told.resume, w.told.finals = map[string]telling{}, map[string]bool{}, map[string]int{}, map[wipe]bool{}
	w.trace = make([]step, 0, 200)
	w.calm = w.at(s.Calm)
	w.end = w.at(s.Calm + s.Bound)
	w.looked, w.timerAt = w.t0, w.t0
	if !s.Drawn {
		w.given = map[string]strike{}
		for _, k := range s.Strikes {
			w.given[strikeKey(k.At, k.N)] = k
		}
	}
	w.fill()
	return w
}

func strikeKey(label string, n int) string { return fmt.Sprint(label, "#", n) }

func (w *world) at(s span) time.Time { return w.t0.Add(s.d()) }

// fill puts all that the schedule names into the world.
func (w *world) fill() {
	for _, f := range w.s.Fleets {
		var parsed fleet.Fleets
		if f.YAML != "" {
			var err error
			if parsed, err = fleet.Parse("fleets.yaml", []byte(f.YAML)); err != nil {
				panic(fmt.Sprintf("the schedule is wrong: %v\n%s", err, f.YAML))
			}
		}
		w.fleets = append(w.fleets, parsed)
		if f.At > 0 {
			w.later(f.At, func() { w.note("", "fleets.yaml", "is another one from now on") })
		}
	}
	for _, i := range w.s.Images {
		w.addImage(i)
	}
	for _, d := range w.s.Desktops {
		w.addMachine(d)
	}
	for _, m := range w.s.Messages {
		w.later(m.At, func() { w.post(m) })
	}
	for _, e := range w.s.Events {
		w.later(e.At, func() { w.occur(e) })
	}
	slices.SortStableFunc(w.happen, func(a, b happening) int { return a.at.Compare(b.at) })
}

func (w *world) later(at span, do func()) { w.happen = append(w.happen, happening{w.at(at), do}) }

// epoch is the number of the fleets.yaml of now, -1 for none.
func (w *world) epoch() int {
	n := -1
	for i, f := range w.s.Fleets {
		if !w.at(f.At).After(time.Now()) {
			n = i
		}
	}
	return n
}

func (w *world) note(who, label, what string) {
	w.trace = append(w.trace, step{time.Since(w.t0), who, label, what})
}

// breaks notes a broken promise. Its rule is what known violations are listed by.
func (w *world) breaks(rule, format string, args ...any) {
	if w.known[rule] {
		return
	}
	v := violation{rule, fmt.Sprintf(format, args...)}
	if slices.Contains(w.broken, v) {
		return
	}
	w.broken = append(w.broken, v)
	w.note("", "BROKEN", rule+": "+v.Text)
}

// quiet says whether nothing breaks any more.
func (w *world) quiet() bool { return !time.Now().Before(w.calm) }

const maxInvocations = 6000

// run lets things happen until nothing more does.
func (w *world) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.mu.Lock()
		if w.pending() {
			w.mu.Unlock()
			synctest.Wait() // all else that happens at this moment has happened, whoever the runtime lets go on first
			w.mu.Lock()
		}
		next, over := w.step()
		w.mu.Unlock()
		if over {
			return
		}
		if next.IsZero() {
			continue
		}
		timer.Reset(max(time.Until(next), 0))
		select {
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// pending says whether a step may do something while an invocation is under way.
func (w *world) pending() bool {
	now := time.Now()
	return len(w.alive) > 0 && (w.s.Sweep || w.s.Shift > 0 || len(w.happen) > 0 && !w.happen[0].at.After(now) ||
		w.free() && slices.ContainsFunc(w.messages, func(m *message) bool { return !m.visible.After(now) }))
}

// step does what is due and says when to look again, or that all is over. It begins one
// invocation at a time: the time is zero if it has.
func (w *world) step() (time.Time, bool) {
	now := time.Now()
	for len(w.happen) > 0 && !w.happen[0].at.After(now) {
		h := w.happen[0]
		w.happen = w.happen[1:]
		h.do()
	}
	switch {
	case now.After(w.end):
		rule := neverEnds
		if w.s.Unreadable > 0 {
			rule = followedForEver
		}
		w.stop(rule, "after %s there is still something to do%s", w.s.Calm.d()+w.s.Bound.d(), w.left())
	case w.count >= maxInvocations:
		w.stop(ticksUnbounded, "after %d invocations there is still something to do%s", maxInvocations, w.left())
	}
	w.sweepsSometimes(now)
	if w.lastWords == "" && w.invoke() {
		return time.Time{}, false
	}
	if len(w.alive) == 0 && w.coming == 0 && len(w.happen) == 0 && (len(w.messages) == 0 || w.lastWords != "") {
		if w.lastWords != "" || !w.operate(true) {
			return time.Time{}, true
		}
	}
	next := time.Unix(math.MaxInt32*2, 0)
	earliest := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(w.happen) > 0 {
		earliest(w.happen[0].at)
	}
	for _, m := range w.messages {
		if m.visible.After(now) { // what is due and was not taken waits for another to come, or to go
			earliest(m.visible)
		}
	}
	if w.s.Shift > 0 && w.lastWords == "" {
		if now.Sub(w.looked) >= w.s.Shift.d() {
			w.operate(false)
		}
		earliest(w.looked.Add(w.s.Shift.d()))
	}
	if w.lastWords != "" {
		next = now.Add(time.Hour)
	}
	return next, false
}

// stop ends a schedule that does not end by itself.
func (w *world) stop(rule, format string, args ...any) {
	if w.lastWords != "" {
		return
	}
	w.lastWords = fmt.Sprintf(format, args...)
	w.breaks(rule, "%s", w.lastWords)
	w.messages, w.happen = nil, nil
	for _, i := range w.instances {
		i.dead = true
	}
}

// left names what is not over.
func (w *world) left() string {
	var out strings.Builder
	for _, k := range w.workList() {
		if !k.closed {
			fmt.Fprintf(&out, "; %s is open: %s", k.id, k.describe())
		}
	}
	return out.String()
}

func (w *world) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// free says whether somebody can take a delivery.
func (w *world) free() bool {
	return w.active < w.s.Instances
}

// invoke delivers some messages that are due, if there are any and somebody can
// take them.
func (w *world) invoke() bool {
	if !w.free() {
		return false
	}
	taken := w.take()
	if len(taken) == 0 {
		return false
	}
	w.count++
	on := w.instance()
	on.busy = true
	w.active++
	i := &invocation{id: "i" + strconv.Itoa(w.count), on: on, began: time.Now(), deadline: time.Now().Add(w.s.Timeout.d()), messages: taken,
		shown: map[string]shot{}, images: map[string]desktop.Image{}}
	ctx := context.WithValue(context.Background(), invocationKey{}, i)
	ctx, i.cancel = context.WithDeadline(ctx, i.deadline)
	w.alive = append(w.alive, i)
	w.note(i.id, "invoked", on.name+" with "+describe(taken))
	for _, m := range taken {
		if k := w.works[m.work()]; (w.s.NoQueue || w.s.Lossy) && k != nil {
			k.lookedAt = time.Now()
		}
	}
	var lost *time.Timer
	go func() {
		_, err := on.handler.Handle(ctx, handler.Invocation{RequestID: i.id, Source: "acs:fc:cn-hangzhou:1:functions/simulation"}, payload(taken))
		w.mu.Lock()
		defer w.mu.Unlock()
		i.over = true
		i.cancel()
		lost.Stop()
		w.vacate(i)
		w.alive = slices.DeleteFunc(w.alive, func(o *invocation) bool { return o == i })
		on.busy = false
		words := "returns"
		if on.dead {
			words = "is dead"
		} else if err != nil {
			words = "returns an error: " + err.Error()
		}
		w.note(i.id, words, "")
		w.sweptBy(i, err)
		if (on.dead || err != nil) && !i.given {
			w.putBack(i.messages)
		}
		if err == nil && !on.dead && time.Since(i.deadline) > time.Millisecond && !i.frozen {
			w.breaks(worksTooLong, "invocation %s returns %s after its deadline", i.id, time.Since(i.deadline))
		}
		w.poke()
	}()
	lost = time.AfterFunc(w.s.Timeout.d()+time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if i.over || i.given {
			return
		}
		// The platform takes it for lost, and somebody else gets its messages,
		// though it may yet go on.
		w.note(i.id, "is given up by the platform", "")
		w.giveUp(i)
		if !i.frozen && !on.dead {
			w.breaks(worksTooLong, "invocation %s is still at work after its deadline", i.id)
		}
		w.poke()
	})
	return true
}

// vacate gives an invocation's place to whoever comes next.
func (w *world) vacate(i *invocation) {
	if !i.freed {
		i.freed = true
		w.active--
	}
}

// giveUp has the platform take an invocation for lost: somebody else gets its
// messages.
func (w *world) giveUp(i *invocation) {
	w.vacate(i)
	if !i.given && !i.over {
		i.given = true
		w.putBack(i.messages)
	}
}

// instance returns a process for the next invocation.
func (w *world) instance() *instance {
	epoch := w.epoch()
	w.instances = slices.DeleteFunc(w.instances, func(i *instance) bool { return i.dead && !i.busy })
	if w.s.Warm {
		d := newDice(w.s.Seed, "warm", w.count)
		for _, i := range w.instances {
			if !i.dead && !i.busy && i.epoch == epoch && !i.frozen.After(time.Now()) && !d.one(6) {
				return i
			}
		}
	}
	n := len(w.instances) + w.count
	i := &instance{name: "instance " + strconv.Itoa(w.count), epoch: epoch}
	if len(w.s.Skew) > 0 {
		i.skew = w.s.Skew[n%len(w.s.Skew)].d()
	}
	c := handler.Config{ECD: &ecd{w}, Notifier: &ecd{w}, Census: &ecd{w}, Snapshots: &ecd{w}, Saver: &ecd{w}, Alarms: &ecd{w}, Member: w.servicesOf, Topic: &topic{w}, Rules: w.rules(epoch),
		Desktops: w.s.Most, RebuildConcurrency: max(w.s.Rebuilds, 1), PublishConcurrency: max(w.s.Publishers, 1),
		Now: func() time.Time { return time.Now().Add(i.skew) }, Log: discard, Meter: &handler.Meter{}}
	if !w.s.NoQueue {
		c.Queue = &queue{w}
	}
	if !w.s.NoJournal {
		c.Journal, c.Grown = &log{w}, w.s.Seed%2 == 1
	}
	h, err := handler.New(c)
	if err != nil {
		panic(err) // the simulation is wrong
	}
	i.handler = h
	w.instances = append(w.instances, i)
	return i
}

var discard = slog.New(slog.DiscardHandler)

func (w *world) rules(epoch int) rollout.Rules {
	r := rollout.Rules{Regions: w.s.Regions, RebuildTimeout: cmp.Or(w.s.Rebuild, 30*minute).d()}
	if epoch >= 0 {
		r.Fleets, r.Declared = w.fleets[epoch], true
	}
	return r
}

// how says what became of a call.
type how struct {
	what string // one of the strikes that the caller sees, or "" for worked
	dead bool
}

var errDead = errors.New("the process was killed")

// call is every call of the function: it takes its time, meets what the schedule
// has for it, and does what it is for, or not. do is called with the lock held.
func (w *world) call(ctx context.Context, label string, reads bool, do func()) how {
	i := of(ctx)
	w.mu.Lock()
	if i.on.dead {
		w.mu.Unlock()
		return how{dead: true}
	}
	if ctx.Err() != nil {
		d := newDice(w.s.Seed, label, w.seen[label])
		w.ownMoment(d.next())
		w.note(i.id, label, "is not made: its time is up")
		i.cutOff = true
		w.mu.Unlock()
		return how{what: fails}
	}
	w.seen[label]++
	n := w.seen[label]
	d := newDice(w.s.Seed, label, n)
	takes := span(time.Millisecond) + span(d.next()%uint64(50*time.Millisecond))
	deadline, bounded := ctx.Deadline()
	due := time.Now().Add(takes.d())
	k := w.drawn(label, n, d)
	if k.What != "" && w.s.Drawn { // of two that begin at one moment, the same one gets what is left of the budget each time
		w.ownMoment(uint64(takes))
	}
	k = w.strikes(k)
	w.mu.Unlock()

	gaveUp := func() bool { return bounded && !time.Now().Before(deadline) }
	sleepTill := func(t time.Time) {
		if bounded && deadline.Before(t) {
			t = deadline.Add(time.Microsecond + takes.d()/1000) // when it is over for everybody, and nobody else's moment
		}
		time.Sleep(time.Until(t)) //nolint:forbidigo // the fake clock's time, which costs none
	}
	sleepTill(due)
	out := how{what: k.What}
	switch k.What {
	case isSlow:
		due = due.Add(k.For.d())
		out.what = ""
		sleepTill(due)
	case isLate:
		out.what = lostAfter
	case freezes, freezesIn:
		out.what = ""
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	did := func(words string) {
		w.note(i.id, label, words)
		do()
	}
	if i.on.dead { // killed meanwhile: what was under way may arrive
		if d.one(2) {
			did("arrives though its sender is dead")
		}
		return how{dead: true}
	}
	switch k.What {
	case killBefore, killAfter:
		if k.What == killAfter {
			did("is done, and then the instance is killed")
		} else {
			w.note(i.id, label, "is not done: the instance is killed")
		}
		w.kill(i.on)
		return how{dead: true}
	case freezes, freezesIn:
		i.frozen = true
		i.on.frozen = time.Now().Add(k.For.d())
		if k.What == freezes {
			did("is done, and then the instance freezes for " + k.For.String())
		} else {
			w.note(i.id, label, "has to wait: the instance freezes for "+k.For.String())
		}
	}
	if until := i.on.frozen; until.After(time.Now()) && k.What != freezes && k.What != freezesIn {
		if out.what == "" || out.what == lostAfter {
			did("is done while its sender is frozen")
			do = nil
		}
		i.frozen = true
	} else if k.What == freezes {
		do = nil
	}
	w.thaw(i, takes.d()/1000)
	if i.on.dead {
		return how{dead: true}
	}
	switch {
	case gaveUp() && !reads && do != nil && out.what == "" && (!bounds(label) || time.Since(deadline) < 5*time.Second):
		late := min(time.Until(due), w.latest(label, deadline)) - takes.d()/1000 // at a moment of its own
		w.note(i.id, label, "its caller gives up")
		w.arrive(late, label, i, do)
		return how{what: lostAfter}
	case gaveUp() && (reads || do != nil):
		w.note(i.id, label, "its caller gives up")
		return how{what: lostBefore}
	case k.What == isLate && do != nil:
		w.note(i.id, label, "its answer does not come; it arrives "+k.For.String()+" later")
		late := k.For.d()
		if bounded {
			late = min(late, w.latest(label, deadline)) - takes.d()/1000
		}
		w.arrive(late, label, i, do)
	case out.what == "" && do != nil:
		words := "works"
		if k.What == isSlow {
			words = "takes " + k.For.String()
		}
		did(words)
	case out.what == lostAfter && do != nil:
		did("is done, and its answer is lost")
	case out.what == leavesOut || out.what == denies:
		did("works, but " + out.what + " one")
	default:
		if out.what != "" {
			w.note(i.id, label, out.what)
		}
	}
	return out
}

// bounds says whether the guarantees assume that a call does not arrive after its
// time: one that changes a desktop.
func bounds(label string) bool {
	for _, p := range []string{"RebuildDesktops", "Maintenance", "StopDesktops", "StartDesktops", "Ask ", "Tell ", "CreateSnapshot "} {
		if strings.HasPrefix(label, p) {
			return true
		}
	}
	return false
}

// latest bounds how late something may still arrive. What changes a desktop
// arrives no later than the guarantees assume: with the end of its call.
func (w *world) latest(label string, deadline time.Time) time.Duration {
	if bounds(label) {
		return max(time.Until(deadline), 0) + 2*time.Second
	}
	return time.Hour
}

// arrive has something happen later, whoever sent it.
func (w *world) arrive(in time.Duration, label string, i *invocation, do func()) {
	if in <= 0 { // before its sender goes on
		w.note(i.id, label, "arrives now")
		do()
		return
	}
	w.coming++
	time.AfterFunc(in, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.note(i.id, label, "arrives now")
		do()
		w.coming--
		w.poke()
	})
}

// thaw waits until the instance goes on, each of its calls at a moment of its own.
// The lock is held before and after.
func (w *world) thaw(i *invocation, after time.Duration) {
	for i.on.frozen.After(time.Now()) && !i.on.dead {
		until := i.on.frozen
		w.mu.Unlock()
		time.Sleep(time.Until(until.Add(time.Microsecond + after))) //nolint:forbidigo // as above
		w.mu.Lock()
	}
}

// kill ends a process in the middle of whatever it does.
func (w *world) kill(on *instance) {
	on.dead = true
	for _, i := range w.alive {
		if i.on == on {
			i.cutOff = true
			w.giveUp(i)
		}
	}
	w.poke()
}

// ownMoment waits for some microseconds, so that what two do at one moment has an order that
// does not depend on whom the runtime lets go on first. The lock is held before and after.
func (w *world) ownMoment(luck uint64) {
	w.mu.Unlock()
	time.Sleep(time.Microsecond + time.Duration(luck%uint64(50*time.Microsecond))) //nolint:forbidigo // as above
	w.mu.Lock()
}

// strikeAt says what the call meets.
func (w *world) strikeAt(label string, n int, d dice) strike {
	return w.strikes(w.drawn(label, n, d))
}

// strikes has a strike happen, if it is one and the budget is not used up.
func (w *world) strikes(k strike) strike {
	if k.What == "" || w.s.Drawn && w.budget <= 0 {
		return strike{}
	}
	w.hits++
	w.lastHit = time.Now()
	if w.s.Drawn {
		w.budget--
		w.struck = append(w.struck, k)
	}
	return k
}

// drawn says what the call would meet.
func (w *world) drawn(label string, n int, d dice) strike {
	if !w.s.Drawn {
		return w.given[strikeKey(label, n)]
	}
	if w.budget <= 0 || w.quiet() {
		return strike{}
	}
	for _, o := range w.s.Odds {
		if !strings.Contains(label, o.Match) {
			continue
		}
		if d.n(1000) < o.PerMille {
			return strike{At: label, N: n, What: o.What, For: d.between(o.Min, o.Max) / second * second}
		}
	}
	return strike{}
}

// strikesIf notes a strike that the world itself decides about, where its chance
// says so, or where the schedule lists it.
func (w *world) strikesIf(label, what string, chance func() bool) bool {
	w.seen[label]++
	n := w.seen[label]
	if !w.s.Drawn {
		return w.given[strikeKey(label, n)].What == what
	}
	if !chance() {
		return false
	}
	w.struck = append(w.struck, strike{At: label, N: n, What: what})
	return true
}

// callError is the error of a call to a cloud service.
func (h how) callError(api string) error {
	switch {
	case h.dead:
		return &desktop.CallError{Call: api, Delivery: desktop.Unknown, Message: "the process was killed", Err: errDead}
	case h.what == "", h.what == leavesOut, h.what == denies:
		return nil
	case h.what == fails:
		return &desktop.CallError{Call: api, Delivery: desktop.NotSent, Message: "connection refused"}
	case h.what == throttles:
		return &desktop.CallError{Call: api, Delivery: desktop.NotSent, Throttled: true, Code: "Throttling.User"}
	case h.what == forbids:
		return &desktop.CallError{Call: api, Delivery: desktop.Forbidden, Code: "Forbidden.RAM"}
	case h.what == refuses:
		return &desktop.CallError{Call: api, Delivery: desktop.Refused, Code: rollout.IncorrectDesktopStatus, Message: "the status does not allow it"}
	}
	return &desktop.CallError{Call: api, Delivery: desktop.Unknown, Message: "unexpected EOF"}
}
