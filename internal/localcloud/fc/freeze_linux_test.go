package fc_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/sockets"
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
	open []sockets.Connection // of the latest
}

func (f *freezes) note(id string, open []sockets.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids, f.open = append(f.ids, id), open
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

func TestFreezeIsToldTheProcessesConnectionsAndNobodyElses(t *testing.T) {
	var mu sync.Mutex
	var clients []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, r.RemoteAddr)
	}))
	defer server.Close()
	other, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	var seen freezes
	h := start(t, fc.Function{Freeze: seen.note})
	if r := invoke(t, h, string(event(t, "echo", server.URL))); r.Failed() {
		t.Fatal(r.Err())
	}
	to := netip.MustParseAddrPort(server.Listener.Addr().String())
	var got []string
	for _, c := range seen.open {
		if c.Remote == to {
			got = append(got, c.Local.String())
		}
	}
	if !slices.Equal(got, clients) {
		t.Errorf("connections to the server: got %q, want %q", got, clients)
	}
}
