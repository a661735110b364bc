package chaos

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// function is the path of the binary that is killed.
var function string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "regild-chaos")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a directory for the function:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	function = filepath.Join(dir, "main")
	args := []string{"build", "-o", function}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "..")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the function: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A budget says for how long schedules are begun, and how many at most.
type budget struct {
	until time.Time
	most  int64
}

// allowance reads the budget: REGILD_CHAOS_TIME and REGILD_CHAOS_SCHEDULES. Set
// and empty they mean a short run, as in CI's own step; not set at all a shorter
// one, as among all other tests.
func allowance(t *testing.T, usual time.Duration) budget {
	t.Helper()
	limit, set := os.LookupEnv("REGILD_CHAOS_TIME")
	count := os.Getenv("REGILD_CHAOS_SCHEDULES")
	b := budget{most: 1 << 40}
	if !set {
		usual /= 4
	}
	if count != "" {
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 1 {
			t.Fatalf("REGILD_CHAOS_SCHEDULES is %q, want a number of schedules", count)
		}
		b.most, usual = n, 1000*time.Hour
	}
	if limit != "" {
		d, err := time.ParseDuration(limit)
		if err != nil || d <= 0 {
			t.Fatalf("REGILD_CHAOS_TIME is %q, want a time such as 10m", limit)
		}
		usual = d
	}
	b.until = time.Now().Add(usual)
	return b
}

// maxFindings ends a run: the first few say enough.
const maxFindings = 5

// atOnce is how many schedules are lived at the same time for each processor.
// Much of their time the function waits before it tries something again.
const atOnce = 3

// run lives schedules until the budget is used up, some at once.
func run(t *testing.T, b budget, live func(n int64) *world) {
	t.Helper()
	var next, bad atomic.Int64
	var mu sync.Mutex
	total := figures{}
	began := time.Now()
	var wg sync.WaitGroup
	for range atOnce * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Now().Before(b.until) && bad.Load() < maxFindings {
				n := next.Add(1)
				if n > b.most {
					return
				}
				w := live(n)
				mu.Lock()
				total.add(w.figures)
				mu.Unlock()
				if len(w.broken) > 0 {
					bad.Add(1)
					t.Error(w.story())
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%s in %s", total, time.Since(began).Round(time.Second))
}

// TestChaosSchedulesKeepThePromise lives one random schedule after the other.
// REGILD_CHAOS_SEED lives that one alone, or begins there if
// REGILD_CHAOS_SCHEDULES or REGILD_CHAOS_TIME is given too.
func TestChaosSchedulesKeepThePromise(t *testing.T) {
	first := int64(1)
	b := allowance(t, 20*time.Second)
	if s := os.Getenv("REGILD_CHAOS_SEED"); s != "" {
		var err error
		if first, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatalf("REGILD_CHAOS_SEED is %q, want a number", s)
		}
		if os.Getenv("REGILD_CHAOS_SCHEDULES") == "" && os.Getenv("REGILD_CHAOS_TIME") == "" {
			b.most, b.until = 1, b.until.Add(time.Hour)
		}
	}
	run(t, b, func(n int64) *world {
		seed := uint64(first + n - 1)
		p := compose(seed)
		return live(t, p, "REGILD_CHAOS_SEED="+strconv.FormatUint(seed, 10)+" go test ./chaos -run '^TestChaosSchedulesKeepThePromise$' -count=1 -v")
	})
}

// TestChaosKillAtEveryStep kills the function once in each run of some fixed
// scenarios: at the first moment of the first call that it makes, then at the
// next moment, and so on to the end. With little time it takes a part of the
// moments, spread over the whole. REGILD_CHAOS_STEP=scenario/n lives one alone.
func TestChaosKillAtEveryStep(t *testing.T) {
	b := allowance(t, 10*time.Second)
	b.most = 1 << 40
	type step struct {
		scenario string
		at       int
	}
	var steps []step
	for _, s := range scenarios {
		calm := live(t, s.plan(), "")
		if len(calm.broken) > 0 {
			t.Fatalf("scenario %s does not even work in calm: %s", s.name, calm.story())
		}
		for k := range calm.points {
			steps = append(steps, step{s.name, k + 1})
		}
	}
	if only := os.Getenv("REGILD_CHAOS_STEP"); only != "" {
		name, at, _ := strings.Cut(only, "/")
		k, err := strconv.Atoi(at)
		if err != nil {
			t.Fatalf("REGILD_CHAOS_STEP is %q, want scenario/n", only)
		}
		steps = []step{{name, k}}
		b.until = b.until.Add(time.Hour)
	}
	b.most = int64(len(steps))
	stride := coprime(len(steps))
	var lived atomic.Int64
	run(t, b, func(n int64) *world {
		s := steps[(int(n)*stride)%len(steps)]
		i := slices.IndexFunc(scenarios, func(x scenario) bool { return x.name == s.scenario })
		if i < 0 {
			t.Errorf("there is no scenario %q", s.scenario)
			i = 0
		}
		p := scenarios[i].plan()
		p.killAt = s.at
		lived.Add(1)
		return live(t, p, fmt.Sprintf("REGILD_CHAOS_STEP=%s/%d go test ./chaos -run '^TestChaosKillAtEveryStep$' -count=1 -v", s.scenario, s.at))
	})
	t.Logf("killed at %d of %d steps", lived.Load(), len(steps))
}

// coprime returns a stride that visits all of n places, neighbours far apart.
func coprime(n int) int {
	gcd := func(a, b int) int {
		for b != 0 {
			a, b = b, a%b
		}
		return a
	}
	for s := n*618/1000 + 1; s < n; s++ {
		if gcd(s, n) == 1 {
			return s
		}
	}
	return 1
}

// figures are what a run came to.
type figures struct {
	schedules, kills, deliveries, calls, wipes, drops, nudges, findings int
	works, rollouts, outcomes, unopened                                 int
	strikes                                                             int
	cloudTime                                                           time.Duration
	told                                                                map[string]int
}

func (f *figures) add(o figures) {
	f.schedules += o.schedules
	f.kills += o.kills
	f.deliveries += o.deliveries
	f.calls += o.calls
	f.wipes += o.wipes
	f.drops += o.drops
	f.nudges += o.nudges
	f.findings += o.findings
	f.works += o.works
	f.rollouts += o.rollouts
	f.outcomes += o.outcomes
	f.unopened += o.unopened
	f.strikes += o.strikes
	f.cloudTime += o.cloudTime
	if f.told == nil {
		f.told = map[string]int{}
	}
	for k, n := range o.told {
		f.told[k] += n
	}
}

func (f figures) String() string {
	var told []string
	for what, n := range f.told {
		told = append(told, fmt.Sprintf("%s %d", what, n))
	}
	slices.SortFunc(told, func(a, b string) int { return cmp.Compare(a, b) })
	return fmt.Sprintf("%d schedules of %s in all: %d kills, %d faults, %d deliveries (%d not repeated), %d calls, %d requests and %d rollouts (%d lost before they were opened, %d woken), "+
		"%d desktops wiped, %d messages told, %d findings; told: %s", f.schedules, f.cloudTime.Round(time.Hour), f.kills, f.strikes, f.deliveries, f.drops, f.calls, f.works-f.rollouts, f.rollouts,
		f.unopened, f.nudges, f.wipes, f.outcomes, f.findings, strings.Join(told, ", "))
}
