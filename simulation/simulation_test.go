package simulation

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The simulation has one processor: of several goroutines that could go on, the
// same one does each time.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
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

// TestThePromiseHoldsUnderEverySchedule runs schedules until it has run as many
// as were asked for, for as long as was asked for, or three have failed.
func TestThePromiseHoldsUnderEverySchedule(t *testing.T) {
	first, n := number(t, "REGILD_SIMULATE_SEED", 1), number(t, "REGILD_SIMULATE_SCHEDULES", 1000)
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
	}
	most := number(t, "REGILD_SIMULATE_FINDINGS", 3)
	mask, began := known(t), time.Now()
	only := os.Getenv("REGILD_SIMULATE_PROFILE")
	found := map[string][]int{}
	calls, ran, failed := 0, 0, 0
	for i := range n {
		if limit > 0 && time.Since(began) > limit {
			break
		}
		s := draw(uint64(first+i), only)
		w := simulate(t, s, mask)
		ran++
		calls += len(w.trace)
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
	t.Logf("%d schedules, %d calls in %s: %.0f schedules a second; %d broke something", ran, calls, took.Round(time.Millisecond), float64(ran)/took.Seconds(), failed)
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
		fmt.Fprintf(&out, "%12s  %-4s %s", s.at.Sub(w.t0).Round(time.Millisecond), s.who, s.label)
		if s.what != "" {
			fmt.Fprintf(&out, ": %s", s.what)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
