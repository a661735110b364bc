package fc_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regild/regild/internal/localcloud/fc"
)

// state returns the letter by which Linux tells a process's state: T is stopped.
func state(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "State:")
	return strings.Fields(rest)[0]
}

// freezes notes what a host freezes.
type freezes struct {
	mu   sync.Mutex
	ids  []string
	pids []int
}

func (f *freezes) note(id string, pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids, f.pids = append(f.ids, id), append(f.pids, pid)
}

func TestAnInstanceStandsStillBetweenItsEventsAndRunsItsHooks(t *testing.T) {
	var log buffer
	var seen freezes
	h := start(t, fc.Function{Initializer: true, PreStop: true, Stdout: &log, Freeze: seen.note})
	for n := range 3 {
		r := echoed(t, h, `{}`)
		if r.Calls != n+1 {
			t.Errorf("event %d is call %d of its process, want the same process", n+1, r.Calls)
		}
		if got := seen.pids[n]; got != r.PID {
			t.Errorf("frozen after event %d: got process %d, want %d", n+1, got, r.PID)
		}
		if got := state(t, r.PID); got != "T" {
			t.Errorf("after event %d the process is in state %s, want T, stopped", n+1, got)
		}
	}
	id := h.Instances()[0].ID
	if !slices.Equal(seen.ids, []string{id, id, id}) {
		t.Errorf("frozen: got %q, want %s three times", seen.ids, id)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "preStop ran") {
		t.Errorf("the preStop hook of a frozen instance did not run:\n%s", log.String())
	}
}

func TestAFunctionWithoutFreezeGoesOn(t *testing.T) {
	h := start(t, fc.Function{})
	if got := state(t, echoed(t, h, `{}`).PID); got == "T" {
		t.Error("the process is stopped, though nothing asks for it")
	}
}

func TestAFrozenInstanceCanBeKilled(t *testing.T) {
	h := start(t, fc.Function{Freeze: new(freezes).note})
	echoed(t, h, `{}`)
	h.Kill()
	if got := echoed(t, h, `{}`).Calls; got != 1 {
		t.Errorf("next event was call %d of its process, want 1: a new one", got)
	}
}

func TestAProcessThatDiesUnderAnEventIsNotFrozen(t *testing.T) {
	var seen freezes
	h := start(t, fc.Function{Freeze: seen.note})
	invoke(t, h, `{"do":"exit"}`)
	if len(seen.ids) > 0 {
		t.Errorf("frozen: got %q, want none", seen.ids)
	}
}
