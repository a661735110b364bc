package pace

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/credentials"
)

// Nothing answers, not even that there is no such host: a call fails within seconds, and so,
// at once, does each further one to the host.
func TestAHostThatCannotBeReachedIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		w := NewWire(1)
		w.connections.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials++
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, reach := WithReach(t.Context())
		c := Caller{Limit: &Limiter{Max: 4}}
		for n, want := range []time.Duration{reachTimeout, 0, 0} {
			before := time.Now()
			err := c.Do(ctx, "Ask", "", func(ctx context.Context) (string, error) {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nowhere.invalid/", nil)
				if err == nil {
					_, err = w.Send(req)
				}
				return "", SendFault("Ask", credentials.Keys{}, err)
			})
			if took := time.Since(before); !errors.Is(err, ErrUnreached) || took != want {
				t.Errorf("call %d: got %v after %s, want it after %s", n, err, took, want)
			}
		}
		if err := w.Line(&url.URL{Scheme: "http", Host: "nowhere.invalid:80"}).connect(ctx); !errors.Is(err, ErrUnreached) {
			t.Errorf("a line: got %v", err)
		}
		hosts, why := reach.Failed()
		if reach.Any() || len(hosts) != 1 || hosts[0] != "nowhere.invalid:80" || why == nil || dials != 2 {
			t.Errorf("got %v, %q, %v after %d dials", reach.Any(), hosts, why, dials)
		}
	})
}

// One failure is none yet: a name server may leave out an answer.
func TestAHostIsTriedOnceMore(t *testing.T) {
	for name, first := range map[string]func(context.Context) error{
		"refused":   func(context.Context) error { return errors.New("no such host") },
		"no answer": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { triedOnceMore(t, first) }) })
	}
}

func triedOnceMore(t *testing.T, first func(context.Context) error) {
	dials := 0
	var d dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if dials++; dials == 1 {
			return nil, first(ctx)
		}
		a, b := net.Pipe()
		_ = b.Close()
		return a, nil
	}
	_, reach := WithReach(t.Context())
	conn, err := reach.dial(t.Context(), d, "tcp", "somewhere:443")
	if hosts, _ := reach.Failed(); err != nil || conn == nil || !reach.Any() || len(hosts) > 0 {
		t.Errorf("got %v, %v, %q", err, reach.Any(), hosts)
	}
	if _, err = reach.dial(t.Context(), d, "tcp", "elsewhere:443"); err != nil || dials != 3 {
		t.Errorf("a host that answers: got %v after %d dials", err, dials)
	}
	d = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no such host") }
	if _, err = reach.dial(t.Context(), d, "tcp", "nowhere:443"); err == nil || !strings.HasPrefix(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
	// What was reached once is dialled as ever, and its failure counts once.
	lost := errors.New("connection reset")
	d = func(context.Context, string, string) (net.Conn, error) { dials++; return nil, lost }
	dials = 0
	for range 2 {
		if _, err = reach.dial(t.Context(), d, "tcp", "somewhere:443"); !errors.Is(err, lost) || errors.Is(err, ErrUnreached) {
			t.Errorf("a host that was reached before: got %v", err)
		}
	}
	if dials != 2 {
		t.Errorf("it was dialled %d times in two calls", dials)
	}
}

// Whoever has left wants no other try.
func TestAHostIsNotTriedAgainForWhoHasLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dials := 0
	_, err := twice(ctx, func(context.Context, string, string) (net.Conn, error) {
		dials++
		cancel()
		return nil, errors.New("no such host")
	}, "tcp", "somewhere:443")
	if err == nil || dials != 1 {
		t.Errorf("got %v after %d dials", err, dials)
	}
}
