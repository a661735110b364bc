package handler

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

func TestAHandlerSaysAllThatIsMissing(t *testing.T) {
	_, err := New(Config{})
	for _, name := range []string{"ECD", "Topic", "Now", "Log", "Meter", "RebuildConcurrency", "PublishConcurrency", "RebuildTimeout"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want that %s is missing", err, name)
		}
	}
}

// An account that is taken out of fleets.yaml, or that nobody can serve, is not called.
func TestOnlyADeclaredAccountIsServed(t *testing.T) {
	const id = "2000000000000002"
	declared := fleet.Fleets{{Name: "lab", Account: fleet.Account{Name: "lab", ID: id}}}
	serve := func(fleet.Account) Services { return Services{} }
	for name, c := range map[string]struct {
		accounts accounts
		id       string
		served   bool
	}{
		"own": {accounts{}, "", true}, "declared": {accounts{member: serve, fleets: declared}, id, true},
		"not declared": {accounts{member: serve, fleets: declared}, "3000000000000003", false}, "not served": {accounts{fleets: declared}, id, false},
	} {
		_, err := c.accounts.of(c.id)
		if e, denied := errors.AsType[*desktop.CallError](err); (err == nil) != c.served || !c.served && (!denied || e.Delivery != desktop.Forbidden) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A request without an id has one that is short enough for an id, and its own.
func TestTheIdentityOfAMessageIsAnID(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []struct {
		invocation string
		whole      bool // the name is short enough as it is
	}{{"i", true}, {strings.Repeat("i", events.MaxRequestID-24), true}, {strings.Repeat("i", events.MaxRequestID-23), false}, {strings.Repeat("i", 1000), false}, {strings.Repeat("i", 1001), false}} {
		i := invocation{in: Invocation{RequestID: c.invocation}}
		id := i.identity(envelope.Message{Raw: []byte("{}")})
		if len(id) > events.MaxRequestID || seen[id] || strings.Contains(id, c.invocation) != c.whole {
			t.Errorf("invocation of %d letters: got %s", len(c.invocation), id)
		}
		seen[id] = true
	}
}

// A brokenList cannot be listed the first time.
type brokenList struct {
	journal.Store
	broken error
}

func (b *brokenList) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := b.broken; err != nil {
		b.broken = nil
		return nil, err
	}
	if limit < 1 {
		return nil, errors.New("a list of none was asked for")
	}
	return b.Store.Some(ctx, prefix, after, limit)
}

// A sweep comes past each open request, the one that it begins behind included, and reads
// none of an entry that names another.
func TestASweepComesPastEachOpenRequest(t *testing.T) {
	store := &brokenList{Store: journaltest.Memory()}
	x := &openIndex{invocation: &invocation{ctx: t.Context(), log: slog.New(slog.DiscardHandler)}, store: store}
	var keys []string
	for _, id := range []string{"r1", "r2", "r3"} {
		key := journal.OpenKey(id)
		keys = append(keys, key)
		if _, err := store.Append(t.Context(), key, 0, []byte(`{"id":"r1"}`+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(keys)
	for i, from := range keys {
		got, err := x.some(from)
		if want := slices.Concat(keys[i+1:], keys[:i+1]); err != nil || !slices.Equal(got, want) {
			t.Errorf("from %s: got %v, %v; want %v", from, got, err, want)
		}
	}
	for i := range sweepMost {
		if _, err := store.Append(t.Context(), journal.OpenKey("x"+strings.Repeat("x", i)), 0, []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := x.some(""); err != nil || len(got) != sweepMost {
		t.Errorf("got %d entries of more than enough, %v", len(got), err)
	}
	store.broken = errors.New("out of order")
	if got, err := x.some(""); err == nil {
		t.Errorf("got %v and no error of a list that could not be read", got)
	}
	for id, want := range map[string]string{"r1": "r1", "r2": "", "r9": ""} {
		if got, err := x.read(journal.OpenKey(id)); got.ID != want || err != nil {
			t.Errorf("the entry of %s: got %v, %v; want %q", id, got, err, want)
		}
	}
}

// What is kept of one journal twice is taken out once, and nothing of it is left.
func TestAJournalIsKeptOnce(t *testing.T) {
	js := jobsOf(t)
	a, _ := js.add(kindRequest, "a")
	b, _ := js.add(kindRequest, "b")
	for _, j := range []*job{a, b} {
		if err := js.open(j); err != nil {
			t.Fatal(err)
		}
	}
	var c cache
	c.put(a.journal)
	c.put(a.journal)
	if c.take(a.key()) == nil || c.take(a.key()) != nil {
		t.Error("what was kept is not taken out once")
	}
	c.put(b.journal)
	if len(c.order) != 1 || len(c.byKey) != 1 {
		t.Errorf("got %v of %d, want the other journal alone", c.order, len(c.byKey))
	}
}

// A runningECD runs every command.
type runningECD struct{ ECD }

func (runningECD) Run(context.Context, string, []string, string, string, time.Duration) ([]string, error) {
	return []string{"t-1"}, nil
}

// A check says nothing about a desktop that meanwhile was through, was rebuilt once more,
// or is checked by another instance.
func TestACheckIsNotedForTheAttemptThatItChecks(t *testing.T) {
	js := jobsOf(t)
	j, _ := js.add(kindRequest, "r1")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	all := []string{"same", "through", "anew", "checked"}
	call := func(name string, ids ...string) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindBegun, Call: name, Desktops: ids},
			{Kind: rollout.KindEnded, Call: name, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: ids}}}}
	}
	records := slices.Concat([]rollout.Record{{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r1", Desktops: all}}},
		call("c1", "same", "through", "checked"), call("c2", "anew"), []rollout.Record{
			{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.StatusFailed, Code: events.CodeRebuildTimeout, Desktops: []string{"through"}}}},
			{Kind: rollout.KindChecking, Call: "t-0", Desktops: []string{"checked"}}})
	if err := j.journal.Update(t.Context(), func(*rollout.State) []rollout.Record { return records }); err != nil {
		t.Fatal(err)
	}
	a := &acting{preparer: &preparer{invocation: js.invocation}, Services: Services{ECD: runningECD{}}, within: t.Context(), job: j, checked: map[string]string{}}
	for _, id := range all {
		a.checked[id] = "c1"
	}
	a.do(rollout.Act{What: rollout.Check, Desktops: all}, "c3")
	j.journal.Look(func(s *rollout.State) {
		for id, want := range map[string]string{"same": "t-1", "through": "", "anew": "", "checked": "t-0"} {
			if got := s.Desktops[id].Check; got != want {
				t.Errorf("%s: got check %q, want %q", id, got, want)
			}
		}
	})
}

// Reading the rest took minutes: somebody may have connected to a desktop since it was read.
func TestADesktopThatWasReadLongAgoIsNotKeptFromItsUser(t *testing.T) {
	js := jobsOf(t)
	j, _ := js.add(kindRequest, "r1")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	all := []string{"old", "new"}
	if err := j.journal.Update(t.Context(), func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r1", Desktops: all}}}
	}); err != nil {
		t.Fatal(err)
	}
	now := js.business()
	rd := &reader{invocation: js.invocation, places: map[desktop.Place]*rollout.Facts{}}
	known := &rd.place(desktop.Place{}).Desktops
	known.Note("old", rollout.Read(now.Add(-2*factsAge), &desktop.Desktop{}))
	known.Note("new", rollout.Read(now, &desktop.Desktop{}))
	a := &acting{preparer: &preparer{invocation: js.invocation, facts: rd, accounts: &accounts{}}, job: j, call: "c1"}
	only := []string{"new"}
	want := []rollout.Act{{What: rollout.Hold, Desktops: only}, {What: rollout.Stop, Desktops: only}, {What: rollout.Release, Desktops: all}}
	var acts []rollout.Act
	for _, x := range want {
		acts = append(acts, rollout.Act{What: x.What, Desktops: all})
	}
	got, err := a.announce(acts, decision{at: now, basis: j.journal.Look(func(*rollout.State) {})})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got to do %+v, want %+v", got, want)
	}
}

// That the role of an account cannot be assumed just now is no denial of it.
func TestOnlyADenialStopsAnAccount(t *testing.T) {
	js := jobsOf(t)
	for delivery, want := range map[desktop.Delivery]bool{desktop.Forbidden: true, desktop.NotSent: false} {
		perms := newPermissions(js.log)
		a := &acting{preparer: &preparer{invocation: js.invocation, perms: perms}, job: &job{id: "r1"}, fault: &desktop.CallError{Call: callAssume, Delivery: delivery}}
		if done, _ := a.attempt(rollout.Act{What: rollout.Start}, []string{"ecd-1"}); done != nil || a.job.unable["ecd-1"] == nil || (perms.stopped("") != nil) != want {
			t.Errorf("%v: got %v done, %v; stopped: %v, want %t", delivery, done, a.job.unable, perms.stopped(""), want)
		}
	}
}

// Whatever a decision says, an open request stays among the open requests.
func TestAnOpenRequestStaysEntered(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	b.hasQueue = true
	b.write(rollout.Record{Kind: rollout.KindTick, N: 1, Until: b.business(), Indexed: true})
	x := &openIndex{invocation: b.invocation, store: b.store}
	if !x.write(b.job) {
		t.Fatal("it cannot be entered")
	}
	sc := &scheduler{invocation: b.invocation, index: x, counts: newTally(), again: b.again, out: b.outbox}
	sc.schedule([]*job{b.job})
	if e, err := x.read(journal.OpenKey("r1")); e.ID != "r1" || err != nil {
		t.Errorf("got %v, %v: it was removed", e, err)
	}
}

// Without a journal a tick may carry that its request is in the index: whoever sent it wrote so.
func TestWithoutAJournalNothingIsTakenOutOfTheIndex(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	b.write(rollout.Record{Kind: rollout.KindTick, N: 1, Until: b.business(), Indexed: true})
	b.hasJournal = false
	(&openIndex{invocation: b.invocation}).leave(b.job) // which has no store
}

// What is left of a journal that is nearly full is for the end of what was begun: an order
// to go on is refused, one to end is not.
func TestAJournalThatIsNearlyFullTakesNoOrdersButToEnd(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office"}})
	a := &admission{rules: rollout.Rules{JournalLimit: 3200}}
	for _, c := range []struct {
		length int64
		action string
		taken  bool
	}{
		{3100, events.ActionPause, true}, {3101, events.ActionPause, false}, {3101, events.ActionAbort, true},
	} {
		s.Reached(c.length)
		if err := a.allow(s, events.Control{Action: c.action}); (err == nil) != c.taken {
			t.Errorf("%s of a rollout whose journal has %d of 3200 bytes: %v, want that it is taken: %t", c.action, c.length, err, c.taken)
		}
	}
}

// What a handler makes of its settings: freezes and bounded journals where there is a
// journal, and ticks that are believed where there is a key.
func TestWhatFollowsFromTheSettingsOfAHandler(t *testing.T) {
	c := Config{ECD: &answeringECD{}, Topic: &testTopic{}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Meter: &Meter{},
		RebuildConcurrency: 1, PublishConcurrency: 1, Rules: rollout.Rules{RebuildTimeout: time.Minute}}
	for name, x := range map[string]struct {
		change func(*Config)
		want   rollout.Rules
	}{
		"neither":         {func(*Config) {}, rollout.Rules{}},
		"a key":           {func(c *Config) { c.TickKey = []byte("k") }, rollout.Rules{SignedTicks: true}},
		"a journal":       {func(c *Config) { c.Journal = journaltest.Memory() }, rollout.Rules{Journal: true, Freezes: true, JournalLimit: journal.MaxLog}},
		"a small journal": {func(c *Config) { c.Journal, c.Rules.JournalLimit = journaltest.Memory(), 9 }, rollout.Rules{Journal: true, Freezes: true, JournalLimit: 9}},
	} {
		with := c
		x.change(&with)
		x.want.RebuildTimeout = time.Minute
		h, err := New(with)
		if err != nil || !reflect.DeepEqual(h.Rules, x.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, h.Rules, err, x.want)
		}
	}
}

// A plan that is made apart from any invocation is whole or an error.
func TestAPlanIsWholeOrAnError(t *testing.T) {
	rules := rollout.Rules{Regions: []string{region1}, RebuildTimeout: time.Minute}
	op := rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}}
	p, err := Plan(t.Context(), &answeringECD{}, nil, rules, op, time.Now())
	if err != nil || p.PlanDigest == "" || p.Waves[0].Desktops[0].Action != events.PlanRebuild {
		t.Errorf("%+v, %v, want a plan of one rebuild", p, err)
	}
	if p, err := Plan(t.Context(), brokenECD{&answeringECD{}}, nil, rules, op, time.Now()); err == nil || p.PlanDigest != "" {
		t.Errorf("%+v, %v, want no plan where nothing can be read", p, err)
	}
}

type brokenECD struct{ *answeringECD }

func (brokenECD) Desktops(context.Context, string, []string) ([]desktop.Desktop, error) {
	return nil, errors.New("broken")
}

// Places are decided about at once: an earlier time does not replace a later one.
func TestTheTimeOfDecisionsDoesNotGoBack(t *testing.T) {
	i := newInvocation(t.Context(), Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, Invocation{})
	defer i.cancel()
	later := time.Now().Add(time.Hour)
	i.decideAt(later)
	i.decideAt(later.Add(-time.Minute))
	if !i.asOf().Equal(later) {
		t.Errorf("got %s, want %s", i.asOf(), later)
	}
}

// What a panic may have left half changed is not kept for the next invocation.
func TestABrokenStateIsNotKept(t *testing.T) {
	v, err := openView(t.Context(), logOf{journaltest.Memory(), "request/r1.jsonl", "i1", time.Now}, nil, rollout.NewState)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []error{nil, errors.New("half")} {
		c := &cache{}
		v.broken = broken
		if c.put(v); (len(c.order) == 1) != (broken == nil) {
			t.Errorf("broken: %v, and kept: %v", broken, c.order)
		}
	}
}

// What an instance knows of a journal tells it that a tick was overtaken, while the later one, or
// the copy of that, is still to come. The timer's tick is not held against what it knows.
func TestWhichTicksNeedNoLookAtTheJournal(t *testing.T) {
	now := time.Now()
	s := rollout.NewState()
	s.TickN, s.TickAt, s.AgainAt = 6, now, now.Add(time.Minute)
	c := &cache{byKey: map[string]knownState{"k": {state: s}}}
	for _, x := range []struct {
		key  string
		n    int
		at   time.Duration
		want bool
	}{
		{"k", 5, 0, true}, {"k", 5, time.Minute + slack - 1, true}, {"k", 5, time.Minute + slack, false},
		{"k", 6, 0, false}, {"k", 7, 0, false}, {"k", tickIfIdle, 0, false}, {"other", 5, 0, false},
	} {
		if got := c.overtaken(x.key, x.n, now.Add(x.at)); got != x.want {
			t.Errorf("%+v: got %t", x, got)
		}
	}
}

// A countedQueue counts what is put on it.
type countedQueue struct{ sent int }

func (q *countedQueue) Send(context.Context, []byte, time.Duration) error {
	q.sent++
	return nil
}

func (q *countedQueue) SendEach(context.Context, []byte, ...time.Duration) error {
	q.sent++
	return nil
}

// Another tick looks after the invocation if it is still to come, and no later than the
// watchdog would.
func TestAWatchdogIsSentUnlessATickLooksAfterTheInvocation(t *testing.T) {
	for _, c := range []struct {
		later time.Duration // than the end of the invocation
		want  int
	}{{-time.Hour, 1}, {-2 * time.Second, 0}, {slack - 2*time.Second, 0}, {slack + 2*time.Second, 1}} {
		for used := 5; used <= 7; used++ {
			for _, again := range []bool{false, true} { // the copy of the tick comes then
				b := newOutboxBench(t, 0, 1, nil)
				b.hasQueue = true
				q := &countedQueue{}
				rec := rollout.Record{Kind: rollout.KindTick, N: 6, Until: b.deadline.Add(grace + c.later), Indexed: true}
				last := 5 // the number up to which those that came leave it to come
				if again {
					rec.Until, rec.Again, last = b.business(), rec.Until, 6
				}
				b.write(rec)
				b.job.used = used
				sc := &scheduler{invocation: b.invocation, queue: q, index: &openIndex{invocation: b.invocation, store: b.store}, out: b.outbox}
				want := c.want
				if used > last {
					want = 1
				}
				if err := sc.watchdog(b.job); err != nil || q.sent != want {
					t.Errorf("a tick, for the second time %t, comes %s after the invocation's end, %d was delivered: %v, %d ticks are sent, want %d",
						again, c.later, used, err, q.sent, want)
				}
			}
		}
	}
}

// A rollout that awaits approval, and that an earlier one brings along at each look, got a watchdog each
// time, which overtook the tick on its way, and then another such tick.
func TestWhatIsBroughtAlongNeedsNoWatchdogToBeReadIfATickIsOnItsWay(t *testing.T) {
	for name, c := range map[string]struct {
		comes, again time.Duration // from now on
		used         int
		want         bool
	}{
		"in an hour":          {comes: time.Hour, used: -1, want: true},
		"soon":                {comes: slack + 1, used: -1, want: true},
		"perhaps it has come": {comes: slack, used: -1},
		"it has come":         {comes: -time.Minute, used: -1},
		"it comes once more":  {comes: -time.Minute, again: time.Minute, used: -1, want: true},
		"it has come twice":   {comes: -time.Minute, again: -time.Second, used: -1},
		"a tick brings it":    {comes: time.Hour, used: 5},
		"the first of all":    {comes: time.Hour, used: 0},
	} {
		b := newOutboxBench(t, 0, 1, nil)
		rec := rollout.Record{Kind: rollout.KindTick, N: 6, Until: b.asOf().Add(c.comes)}
		if c.again != 0 {
			rec.Again = b.asOf().Add(c.again)
		}
		b.write(rec)
		b.job.used = c.used
		sc := &scheduler{invocation: b.invocation}
		if got := sc.comesAnyway(b.job); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}

// A queue that takes no two messages in one call.
type singleQueue struct{ countedQueue }

func (*singleQueue) SendEach(context.Context, []byte, ...time.Duration) error {
	return errors.New("not all of them were taken")
}

// The tick that is to come brings its own watchdog: one call and one record for both. If
// that call fails, if the watchdog would come later than a tick may, or if another job
// brought this one, the tick is sent alone.
func TestATickBringsTheWatchdogOfItsInvocation(t *testing.T) {
	const longest = time.Minute + grace
	for name, c := range map[string]struct {
		queue   Queue
		in      time.Duration
		used    int
		guarded bool
	}{
		"a tick":             {&countedQueue{}, time.Minute, 5, true},
		"no batch":           {&singleQueue{}, time.Minute, 5, false},
		"its copy in time":   {&countedQueue{}, rollout.MaxTick - longest, 5, true},
		"its copy too late":  {&countedQueue{}, rollout.MaxTick - longest + 1, 5, false},
		"brought by another": {&countedQueue{}, time.Minute, -1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutboxBench(t, 0, 1, nil)
			var log strings.Builder
			b.hasQueue, b.log = true, slog.New(slog.NewTextHandler(&log, nil))
			b.write(rollout.Record{Kind: rollout.KindTick, N: 5, Until: b.business(), Indexed: true})
			b.job.used = c.used
			sc := &scheduler{invocation: b.invocation, queue: c.queue, index: &openIndex{invocation: b.invocation, store: b.store}, counts: newTally(),
				again: &redeliveries{}, out: b.outbox}
			time.Sleep(time.Second) //nolint:forbidigo // time of the bubble, which takes none
			b.job.decision.Next = b.business().Add(c.in)
			sc.schedule([]*job{b.job})
			b.job.journal.Look(func(s *rollout.State) {
				after := s.AgainAt.Sub(s.TickAt)
				if s.TickN != 6 || s.AgainAt.IsZero() == c.guarded || c.guarded && after != longest || sc.again.err() != nil {
					t.Errorf("%s: tick %d comes once more after %s: %v", name, s.TickN, after, sc.again.err())
				}
			})
			records := b.records()
			if at := records[len(records)-1].At; at.Equal(b.since) != (c.used >= 0) {
				t.Errorf("%s: it was looked at at %s, and the invocation began at %s", name, at, b.since)
			}
			if said := strings.Contains(log.String(), "without its watchdog"); said != (name == "no batch") {
				t.Errorf("%s: the log says %q", name, log.String())
			}
		})
	}
}

// A number far ahead of the journal belongs to no chain of ticks.
func TestWhichNumberOfATickCounts(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	b.write(rollout.Record{Kind: rollout.KindTick, N: 5, Until: b.business()})
	for _, c := range []struct{ n, used int }{{4, 4}, {3, 4}, {5 + maxUnwritten + 1, 4}, {5 + maxUnwritten, 5 + maxUnwritten}} {
		if b.job.use(c.n); b.job.used != c.used {
			t.Errorf("after tick %d the highest is %d, want %d", c.n, b.job.used, c.used)
		}
	}
}

// A tick comes once more if that is not later than a tick may come.
func TestHowLateAWatchdogMayCome(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	b.hasQueue, b.deadline = true, b.began.Add(time.Minute)
	sc := &scheduler{invocation: b.invocation, queue: &countedQueue{}}
	now := b.business()
	for _, c := range []struct{ more, again time.Duration }{{0, rollout.MaxTick}, {1, 0}} {
		again, err := sc.sendTick(b.job, nil, now, rollout.MaxTick-sc.longest()+c.more, true)
		if err != nil || c.again == 0 && !again.IsZero() || c.again > 0 && !again.Equal(now.Add(c.again)) {
			t.Errorf("%s later than it may: comes once more at %s, %v", c.more, again, err)
		}
	}
}

func (b *outboxBench) records() []rollout.Record {
	b.Helper()
	lines, _, err := b.store.Read(b.Context(), b.job.key(), 0)
	if err != nil {
		b.Fatal(err)
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		b.Fatal(err)
	}
	return records
}

// What others have begun since it was decided when to look again needs somebody to look sooner:
// behind a tick that comes later than that one more is sent. What they only wrote does not: two that
// look at one moment would wake each other for ever.
func TestALateTickBehindOthersIsFollowedByOneInTime(t *testing.T) {
	const begun = rollout.KindBegun
	for _, c := range []struct {
		in     time.Duration // behind the end of an invocation that begins now
		others rollout.Kind
		sent   int
	}{{-2 * time.Second, begun, 1}, {slack - 2*time.Second, begun, 1}, {slack + 2*time.Second, "", 1}, {slack + 2*time.Second, begun, 2}, {10 * time.Hour, begun, 2}, {10 * time.Hour, rollout.KindStopping, 2}, {10 * time.Hour, rollout.KindControl, 1}} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutboxBench(t, 1, 1, nil)
			b.hasQueue = true
			q := &countedQueue{}
			sc := &scheduler{invocation: b.invocation, queue: q, index: &openIndex{invocation: b.invocation, store: b.store}, out: b.outbox}
			b.job.decision.basis = b.job.journal.Look(func(*rollout.State) {})
			if c.others != "" {
				r := rollout.Record{Kind: c.others, At: b.since}
				if c.others == rollout.KindControl {
					r.Action = "resume"
				} else {
					r.Call, r.Desktops = "c9", b.ids
				}
				lines, err := rollout.Encode([]rollout.Record{r})
				if err == nil {
					_, err = b.store.Append(b.Context(), b.job.key(), b.job.journal.Length(), lines)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := sc.tick(b.job, b.business().Add(sc.longest()+c.in), true); err != nil || q.sent != c.sent {
				t.Errorf("%+v: %v, %d are sent", c, err, q.sent)
			}
			var last time.Duration
			b.job.journal.Look(func(s *rollout.State) { last = s.TickAt.Sub(b.since) })
			if last > sc.longest()+slack && c.sent == 2 {
				t.Errorf("%+v: the last tick comes in %s", c, last)
			}
		})
	}
}

// The line of the log about an invocation names each operation that is unfinished once, in one order.
func TestTheLogNamesEachUnfinishedOperationOnce(t *testing.T) {
	counts := newTally()
	for _, id := range []string{"r2", "r1", "r2"} {
		counts.unfinished(id)
	}
	if _, _, open := counts.sum(nil); !slices.Equal(open, []string{"r1", "r2"}) {
		t.Errorf("got %v", open)
	}
}

// What was opened is written down at the end of an invocation in which nothing else was; if that
// cannot be, the delivery is asked for again.
func TestWhatWasOpenedIsWrittenAtTheEnd(t *testing.T) {
	for _, next := range []time.Time{{}, time.Now()} {
		for _, broken := range []error{nil, errors.New("out of order")} {
			b := newOutboxBench(t, 0, 1, nil)
			j := &job{name: "request/r2", kind: kindRequest, id: "r2"}
			j.decision.Next = next
			if err := (&jobs{invocation: b.invocation, store: b.store, cache: &cache{}}).open(j); err != nil {
				t.Fatal(err)
			}
			op := rollout.Operation{ID: "r2", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
			if err := j.journal.OpenAhead(func(*rollout.State) ([]rollout.Record, error) { return rollout.Opening(op, b.business()), nil }); err != nil {
				t.Fatal(err)
			}
			b.store.before = func(context.Context, int) error { return broken }
			again := &redeliveries{}
			sc := &scheduler{invocation: b.invocation, index: &openIndex{invocation: b.invocation, store: b.store}, counts: newTally(), again: again, out: b.outbox}
			sc.schedule([]*job{j})
			if j.journal.Unopened() != (broken != nil) || (again.err() != nil) != (broken != nil) {
				t.Errorf("next %v, %v: not opened %t, asked again for %v", next, broken, j.journal.Unopened(), again.err())
			}
		}
	}
}

// A rollout beside another is looked at whenever that is. Each look put one more tick for it on
// the queue, for an hour later.
func TestWhatIsWantedLateIsReachedInStepsWhateverTheirLength(t *testing.T) {
	for _, c := range []struct {
		wanted, comes time.Duration
		sent          int
	}{
		{5 * time.Hour, 55 * time.Minute, 0}, {5 * time.Hour, 31 * time.Minute, 0}, {5 * time.Hour, 29 * time.Minute, 1}, {rollout.MaxTick, 31 * time.Minute, 0},
		{rollout.MaxTick, 29 * time.Minute, 1}, {59 * time.Minute, 55 * time.Minute, 1}, {59 * time.Minute, 59 * time.Minute, 0},
	} {
		b := newOutboxBench(t, 0, 1, nil)
		b.hasQueue, b.job.used = true, 5
		q, now := &countedQueue{}, b.business()
		b.write(rollout.Record{Kind: rollout.KindTick, N: 6, Until: now.Add(c.comes), Indexed: true})
		sc := &scheduler{invocation: b.invocation, queue: q, index: &openIndex{invocation: b.invocation, store: b.store}, out: b.outbox}
		if err := sc.tick(b.job, now.Add(c.wanted), false); err != nil || q.sent != c.sent {
			t.Errorf("wanted in %s, and one comes in %s: %v, %d are sent, want %d", c.wanted, c.comes, err, q.sent, c.sent)
		}
	}
}
