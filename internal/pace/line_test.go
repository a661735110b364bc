package pace

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// lineTo returns a line of a wire to a server, and a function that sends a request over it.
func lineTo(t *testing.T, w *Wire, address string) (*Line, func(context.Context) (Answer, error)) {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	line := w.Line(target)
	t.Cleanup(line.Close)
	return line, func(ctx context.Context) (Answer, error) {
		return overLine(line, post(t, ctx, address))
	}
}

func TestALineIsUsedUntilItMayBeDead(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*Wire, *Line, *httptest.Server)
		opened  int32
	}{
		"nothing":                     {func(*Wire, *Line, *httptest.Server) {}, 1},
		"a short while":               {func(_ *Wire, l *Line, _ *httptest.Server) { l.used = l.used.Add(-5 * time.Second) }, 1},
		"a long while":                {func(_ *Wire, l *Line, _ *httptest.Server) { l.used = l.used.Add(-time.Minute) }, 2},
		"a renewal":                   {func(w *Wire, _ *Line, _ *httptest.Server) { w.Renew() }, 2},
		"a stop that the clocks show": {func(w *Wire, _ *Line, _ *httptest.Server) { w.connections.last = w.connections.last.Add(-time.Hour) }, 2},
		"an end of the service's": {func(_ *Wire, l *Line, s *httptest.Server) {
			s.CloseClientConnections()
			l.used = l.used.Add(-2 * probeAfter)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			server, opened := counting(t)
			w := NewWire(1)
			line, send := lineTo(t, w, server.URL)
			for i := range 3 {
				if _, err := send(t.Context()); err != nil {
					t.Fatalf("request %d: %v", i+1, err)
				}
				if i == 0 {
					c.between(w, line, server)
				}
			}
			if opened.Load() != c.opened {
				t.Errorf("connections: got %d, want %d", opened.Load(), c.opened)
			}
		})
	}
}

func TestALineIsNotUsedAfterACallThatWasCutOff(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "second")
	}))
	defer server.Close()
	_, send := lineTo(t, NewWire(1), server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := send(ctx); err == nil {
		t.Error("a call was answered that should have been cut off")
	}
	if a, err := send(t.Context()); err != nil || string(a.Body) != "second" {
		t.Errorf("the next call: got %q %v, want its own answer", a.Body, err)
	}
}

func TestALineSpeaksTLSToWhomItTrusts(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	defer server.Close()
	w := NewWire(1)
	w.connections.roots = x509.NewCertPool()
	w.connections.roots.AddCert(server.Certificate())
	line, send := lineTo(t, w, server.URL)
	for range 2 {
		a, err := send(t.Context())
		if err != nil || string(a.Body) != "secret" {
			t.Errorf("got %q %v", a.Body, err)
		}
		line.used = line.used.Add(-2 * probeAfter) // the second time it is asked whether it lives
	}
}
