package million

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
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

func TestOneReleaseOverManyDesktops(t *testing.T) {
	p := plan{desktops: number(t, "DESKTOPS", 2000), fleets: number(t, "FLEETS", 10), accounts: number(t, "ACCOUNTS", 5), regions: number(t, "REGIONS", 5),
		instances: number(t, "INSTANCES", 20), takes: span(t, "TAKES", 6*time.Minute), spread: span(t, "SPREAD", 0),
		slow: span(t, "SLOW", 20*time.Second), revoked: span(t, "REVOKED", 45*time.Minute), dark: span(t, "DARK", 65*time.Minute), limit: 30 * time.Hour}
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(p)
		if err != nil {
			t.Fatal(err)
		}
		w.run()
		t.Log("\n" + w.report())
		if len(w.broken) > 0 || w.open > 0 {
			t.Error("see above")
		}
	})
}
