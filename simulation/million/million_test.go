package million

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
)

// One processor, so that of several goroutines that could go on the same one does each
// time; and memory for few collections.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(200)
	os.Exit(m.Run())
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv("REGILD_MILLION_" + name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("REGILD_MILLION_%s is %q, which is no number", name, text)
	}
	return n
}

func span(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("REGILD_MILLION_" + name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// play plays the release, and says what came of it.
func play(t *testing.T, p plan) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w, err = newWorld(p); err != nil {
			t.Fatal(err)
		}
		w.run()
	})
	return w
}

// usual is a cloud in which nothing is wrong, and which is the smallest with several of
// everything.
func usual() plan {
	return plan{desktops: 2000, fleets: 10, accounts: 5, regions: 5, instances: 20, takes: 6 * time.Minute, limit: 30 * time.Hour}
}

// TestOneReleaseOverManyDesktops has one account throttled, the role of another revoked,
// and a region dark. `make million` plays it over a million desktops.
func TestOneReleaseOverManyDesktops(t *testing.T) {
	p := usual()
	p.desktops, p.fleets, p.accounts, p.regions = number(t, "DESKTOPS", p.desktops), number(t, "FLEETS", p.fleets), number(t, "ACCOUNTS", p.accounts), number(t, "REGIONS", p.regions)
	p.instances, p.takes, p.spread = number(t, "INSTANCES", p.instances), span(t, "TAKES", p.takes), span(t, "SPREAD", 0)
	p.bound = number(t, "BOUND", 0)
	p.slow, p.revoked, p.dark = span(t, "SLOW", 20*time.Second), span(t, "REVOKED", 50*time.Minute), span(t, "DARK", 90*time.Minute)
	w := play(t, p)
	t.Log("\n" + w.report())
	w.holds(t)
}

// TestWhatAFleetCosts holds the calls, the time and the journal of a fleet with which
// nothing is wrong.
func TestWhatAFleetCosts(t *testing.T) {
	p := usual()
	p.desktops, p.fleets, p.accounts, p.regions = 2000, 1, 1, 1
	w := play(t, p)
	w.holds(t)
	for what, most := range map[string]int{"ecd RebuildDesktops": 101, "ecd DescribeDesktops": 90, "ecd DescribeDesktops of a fleet": 100, "ecd DescribeImages": 60,
		"fc invocations": 110, "mns SendMessage": 100} {
		if got := w.counts[what]; got > most {
			t.Errorf("%s: %d calls for 2,000 desktops, want at most %d", what, got, most)
		}
	}
	if x := w.ofLeast(0); x > 1.02 {
		t.Errorf("it takes %.3f of the least", x)
	}
	if size := len(w.logs["rollout/2026.11.3~2ffleet000.jsonl"]); size > 156*2000 {
		t.Errorf("the journal has %d bytes for 2,000 desktops", size)
	}
	if t.Failed() {
		t.Log("\n" + w.report())
	}
}

// TestWhatUnevenRebuildsCost holds the calls and the time of a fleet where a rebuild takes 4
// to 8 minutes.
func TestWhatUnevenRebuildsCost(t *testing.T) {
	p := usual()
	p.desktops, p.fleets, p.accounts, p.regions, p.spread = 2000, 1, 1, 1, 2*time.Minute
	w := play(t, p)
	w.holds(t)
	if calls := w.counts["ecd DescribeDesktops"] + w.counts["ecd DescribeImages"] + w.counts["ecd RebuildDesktops"]; calls > 620 {
		t.Errorf("%d calls for 2,000 desktops, and those that list them", calls)
	}
	if t.Failed() {
		t.Log("\n" + w.report())
	}
}

// saysWhy is what a rollout may say with whose account or region something is wrong.
var saysWhy = map[string][]string{"throttled": {events.CodeThrottled}, "revoked": {events.CodeNotAuthorized}, "dark": {events.CodeFactsUnavailable}}

// holds holds what happened against what must be so at any size.
func (w *world) holds(t *testing.T) {
	t.Helper()
	for _, b := range w.broken {
		t.Error(b)
	}
	if w.open > 0 || w.healthyEnded == 0 {
		t.Errorf("%d rollouts have not ended, %d of them with which nothing is wrong", w.open, w.openHealthy)
	}
	for i, m := range w.machines {
		if said := w.words[m.last]; m.wipes != 1 || m.finals == 0 || said != "completed Completed" {
			t.Fatalf("desktop %s is wiped %d times and ended %d times; said of it last is %q", w.ids[i], m.wipes, m.finals, said)
		}
	}
	for i, s := range w.shards {
		if x := w.ofLeast(i); w.healthy(s) && x > 1.05 {
			t.Errorf("%s takes %.3f of the least", s.name, x)
		}
	}
	for _, s := range w.silent {
		t.Error(s)
	}
	if w.longest.took > time.Minute {
		t.Errorf("an invocation takes %s: %+v", w.longest.took, w.longest)
	}
}
