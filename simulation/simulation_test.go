package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
)

// The simulation has one processor: of several goroutines that could go on, the
// same one does each time.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(1600) // a schedule lives for a millisecond: collect seldom, in memory that stays in the cache
	debug.SetMemoryLimit(256 << 20)
	runtime.MemProfileRate = 0 // each sample walks a stack
	startLarge()
	os.Exit(m.Run())
}

// startLarge has goroutines begin with stacks as large as the calls of the function
// need: to copy a stack each time that it doubles takes a tenth of all the time. The
// runtime begins them with what those that it finds at a collection use on average;
// so some wait for ever, each with that much on its stack.
func startLarge() {
	var waiting sync.WaitGroup
	for range 100 {
		waiting.Add(1)
		go func() { useStack(&waiting) }()
	}
	waiting.Wait()
	runtime.GC()
}

//go:noinline
func useStack(waiting *sync.WaitGroup) {
	var room [24 << 10]byte
	waiting.Done()
	<-make(chan struct{})
	runtime.KeepAlive(&room)
}

// simulate runs one schedule to its end.
func simulate(t *testing.T, s *schedule, known map[string]bool) *world {
	var w *world
	synctest.Test(t, func(*testing.T) {
		w = newWorld(s, known)
		w.run()
		w.finish()
	})
	return w
}

// known reads which violations are known and not to be reported.
func known(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	if k := os.Getenv("REGILD_SIMULATE_KNOWN"); k != "" {
		for _, rule := range strings.Split(k, ",") {
			out[rule] = true
		}
		return out
	}
	data, err := os.ReadFile(filepath.Join("testdata", "known.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rule, _, _ := strings.Cut(strings.TrimSpace(line), " "); rule != "" && rule != "#" {
			out[rule] = true
		}
	}
	return out
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q, which is no number", name, text)
	}
	return n
}

// plain is how many schedules a plain run of the tests takes.
func plain() int {
	if raceEnabled {
		return 100 // each costs as much as ten
	}
	return 1000
}

// TestThePromiseHoldsUnderEverySchedule runs schedules until it has run as many
// as were asked for, for as long as was asked for, or three have failed.
func TestThePromiseHoldsUnderEverySchedule(t *testing.T) {
	began := time.Now()
	first, n := number(t, "REGILD_SIMULATE_SEED", 1), number(t, "REGILD_SIMULATE_SCHEDULES", plain())
	if os.Getenv("REGILD_SIMULATE_SEED") != "" && os.Getenv("REGILD_SIMULATE_SCHEDULES") == "" {
		n = 1
	}
	var limit time.Duration
	if text := os.Getenv("REGILD_SIMULATE_TIME"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		n = 1 << 40
		if os.Getenv("REGILD_SIMULATE_SEED") == "" {
			first = int(began.Unix()) << 20 // other schedules each time; what fails is printed
		}
	}
	most := number(t, "REGILD_SIMULATE_FINDINGS", 3)
	mask := known(t)
	only := os.Getenv("REGILD_SIMULATE_PROFILE")
	found, said := map[string][]int{}, began
	calls, invocations, ran, failed := 0, 0, 0, 0
	for i := range n {
		if limit > 0 && time.Since(began) > limit {
			break
		}
		if time.Since(said) > time.Minute {
			said = time.Now()
			t.Logf("%d schedules and %d invocations so far, %d broke something", ran, invocations, failed)
		}
		s := draw(uint64(first+i), only)
		w := simulate(t, s, mask)
		ran++
		calls += len(w.trace)
		invocations += w.count
		if len(w.broken) == 0 {
			if os.Getenv("REGILD_SIMULATE_SEED") != "" && n == 1 {
				t.Log("\n" + w.story())
			}
			continue
		}
		failed++
		for _, v := range w.broken {
			if !slices.Contains(found[v.Rule], first+i) {
				found[v.Rule] = append(found[v.Rule], first+i)
			}
		}
		if failed <= most {
			report(t, s, w, mask)
		} else {
			t.Fail()
		}
		if failed >= most && os.Getenv("REGILD_SIMULATE_ALL") == "" {
			break
		}
	}
	took := time.Since(began)
	t.Logf("%d schedules, %d invocations, %d steps in %s: %.0f schedules a second; %d broke something", ran, invocations, calls, took.Round(time.Millisecond), float64(ran)/took.Seconds(), failed)
	for _, rule := range slices.Sorted(maps.Keys(found)) {
		seeds := found[rule]
		t.Logf("%-40s %6d times, first after %d, seeds %v", rule, len(seeds), seeds[0]-first+1, seeds[:min(len(seeds), 6)])
	}
}

// report prints a schedule that breaks something, and makes it short first.
func report(t *testing.T, s *schedule, w *world, mask map[string]bool) {
	t.Helper()
	t.Errorf("REGILD_SIMULATE_SEED=%d (%s) breaks:\n%s", s.Seed, s.Profile, listed(w.broken))
	if os.Getenv("REGILD_SIMULATE_LONG") != "" {
		t.Log("\n" + w.story())
	}
	rule := w.broken[0].Rule
	for _, v := range w.broken {
		if v.Rule == os.Getenv("REGILD_SIMULATE_RULE") {
			rule = v.Rule
		}
	}
	short := shrink(t, s, w, rule, mask)
	if short == nil {
		t.Logf("seed %d does not break %s a second time: something in it is not decided by the seed", s.Seed, rule)
		return
	}
	again := simulate(t, short, mask)
	t.Logf("the shortest schedule found that breaks %s:\n%s%s\n%s", rule, short, listed(again.broken), again.tale(rule))
	if dir := os.Getenv("REGILD_SIMULATE_KEEP"); dir != "" {
		keep(t, filepath.Join(dir, fmt.Sprintf("%s-%d.json", rule, s.Seed)), short)
	}
}

func keep(t *testing.T, path string, s *schedule) {
	t.Helper()
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNoKeptScheduleBreaksAPromise runs the schedules that have broken one.
func TestNoKeptScheduleBreaksAPromise(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "schedules", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no schedules are kept: %v", err)
	}
	mask := known(t)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := &schedule{}
			if err := json.Unmarshal(data, s); err != nil {
				t.Fatal(err)
			}
			if w := simulate(t, s, mask); len(w.broken) > 0 {
				t.Errorf("%s breaks:\n%s\n%s%s", path, listed(w.broken), s, w.story())
			}
		})
	}
}

// reached is what some schedule of a thousand must be told.
const reached = `
	accepted Success
	accepted Reconciled
	completed Completed
	deferred OutcomeUnknown
	deferred Frozen
	deferred NotAsked
	deferred NotAuthorized
	deferred NoticeGiven
	deferred NoticeNotGiven
	deferred NotNow
	deferred Scheduled
	deferred SnapshotWait
	deferred SessionWait
	deferred StatusWait
	deferred StopWait
	deferred Throttled
	deferred TimeShort
	failed ChangedOutside
	failed CheckFailed
	failed OutcomeUnknown
	failed RebuildFailed
	failed RebuildTimeout
	refused Aborted
	refused BeforeFailed
	refused ConflictingTargets
	refused DesktopNotFound
	refused ImageNotAvailable
	refused OutsideFleet
	refused PooledDesktop
	refused SessionActive
	refused SnapshotFailed
	skipped AlreadyOnImage
	skipped AlreadyRebuilding
	skipped LeftFleet
	skipped NotAsked
	skipped NotNow
	skipped NoticeNotGiven
	skipped SessionSkipped
	skipped Superseded
	rollout.halted.v1 AlarmActive
	rollout.halted.v1 TooManyFailures
	rollout.waiting.v1 AlarmActive
	rollout.waiting.v1 ApprovalAwaited
	rollout.waiting.v1 FleetUnknown
	rollout.waiting.v1 Frozen
	rollout.waiting.v1 RingAwaited
	rollout.waiting.v1 Soaking
	rollout.waiting.v1 UseAwaited
	rollout.waiting.v1 WindowClosed
	rollout.paused.v1 Paused
	rollout.resumed.v1
	rollout.approved.v1
	rollout.rolledback.v1
	rollout.completed.v1
	rollout.plan.v1
	rollout.control.refused.v1 ControlNotPossible
	request.finished.v1
`

// what names the kind of thing that was told.
func (t telling) what() string {
	switch {
	case t.outcome.Status != "":
		return t.outcome.Status + " " + t.outcome.Code
	case t.rollout.Reason != nil && t.rollout.Reason.Code != events.CodeSuccess:
		return strings.TrimPrefix(t.typ, "regild.") + " " + t.rollout.Reason.Code
	}
	return strings.TrimPrefix(t.typ, "regild.")
}

// String says what a schedule consists of, for people.
func (s *schedule) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\t%d at once, each for %s; desktops:", s.Instances, s.Timeout)
	for _, d := range s.Desktops {
		fmt.Fprintf(&out, " %s on %s (rebuilt in %s, shown %s, %s, %s late%s)", d.ID, d.Image, d.Takes.d().Round(time.Second), d.LagStatus.d().Round(time.Second),
			d.LagImage.d().Round(time.Second), d.LagRecord.d().Round(time.Second), map[bool]string{true: ", ends: " + d.Ends}[d.Ends != ""])
	}
	out.WriteByte('\n')
	for _, f := range s.Fleets {
		fmt.Fprintf(&out, "\tfrom %s on: %s\n", f.At, strings.ReplaceAll(f.YAML, "\n", "\n\t"))
	}
	for _, k := range s.Strikes {
		fmt.Fprintf(&out, "\tstrikes: %s\n", k)
	}
	return out.String()
}

func listed(list []violation) string {
	var out strings.Builder
	for _, v := range list {
		fmt.Fprintf(&out, "\t%s: %s\n", v.Rule, v.Text)
	}
	return out.String()
}

// story is what happened, for people.
func (w *world) story() string {
	var out strings.Builder
	for _, s := range w.trace {
		w.tell(&out, s)
	}
	return out.String()
}

// tale is the story up to where the rule broke, without the invocations that
// only looked.
func (w *world) tale(rule string) string {
	end := len(w.trace)
	for n, s := range w.trace {
		if s.label == "BROKEN" && strings.HasPrefix(s.what, rule+":") {
			end = n + 1
			break
		}
	}
	acted := map[string]bool{"": true}
	for _, s := range w.trace[:end] {
		if !dull(s) {
			acted[s.who] = true
		}
	}
	var out strings.Builder
	left := 0
	flush := func() {
		if left > 0 {
			fmt.Fprintf(&out, "%12s        (%d times, somebody only looked)\n", "", left)
			left = 0
		}
	}
	for _, s := range w.trace[:end] {
		switch {
		case !acted[s.who]:
			if s.label == "invoked" {
				left++
			}
			continue
		case s.what == "works" && (strings.HasSuffix(s.label, " tick") || strings.HasPrefix(s.label, "Send ")):
			continue // every invocation does
		}
		flush()
		w.tell(&out, s)
	}
	flush()
	return out.String()
}

// dull says whether a step changes nothing but ticks.
func dull(s step) bool {
	return s.label == "invoked" || s.label == "returns" || strings.HasPrefix(s.label, "Send ") && strings.HasPrefix(s.what, "comes in") ||
		s.what == "works" && (strings.HasPrefix(s.label, "Describe") || strings.HasPrefix(s.label, "Read") || strings.HasPrefix(s.label, "List") || strings.HasSuffix(s.label, " tick") || strings.HasPrefix(s.label, "Send "))
}

func (w *world) tell(out *strings.Builder, s step) {
	fmt.Fprintf(out, "%12s  %-5s %s", s.at.Round(time.Millisecond), s.who, s.label)
	if s.what != "" {
		fmt.Fprintf(out, ": %s", s.what)
	}
	out.WriteByte('\n')
}
