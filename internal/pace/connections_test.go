package pace

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"time"
)

// counting starts a server that counts the connections made to it.
func counting(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, &opened
}

func TestConnectionsAreKeptUntilRenewed(t *testing.T) {
	server, opened := counting(t)
	w := NewWire(1)
	for _, want := range []int32{1, 2, 3} {
		for range 5 {
			if _, err := w.Send(post(t, t.Context(), server.URL)); err != nil {
				t.Fatal(err)
			}
		}
		if opened.Load() != want {
			t.Errorf("connections: got %d, want %d", opened.Load(), want)
		}
		w.Renew()
	}
}

func TestConnectionsAreNotUsedAfterThePause(t *testing.T) {
	server, opened := counting(t)
	w := NewWire(1)
	for range 2 {
		if _, err := w.Send(post(t, t.Context(), server.URL)); err != nil {
			t.Fatal(err)
		}
		w.connections.last = w.connections.last.Add(-time.Hour) // both clocks have gone on
	}
	if opened.Load() != 2 {
		t.Errorf("connections: got %d, want 2", opened.Load())
	}
}

func TestADialThatOutlastsARenewalServesNobodyAfterIt(t *testing.T) {
	server, _ := counting(t)
	c := NewConnections(2)
	dialling, dialled := make(chan struct{}), make(chan struct{})
	late := make(chan net.Conn, 1)
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		close(dialling)
		<-dialled
		conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), network, address)
		late <- conn
		return conn, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := (&Wire{c}).Send(post(t, ctx, server.URL))
		gone <- err
	}()
	<-dialling
	cancel() // the call is given up, its dial goes on
	if err := <-gone; err == nil {
		t.Error("a call that was given up succeeded")
	}
	c.dial = (&net.Dialer{}).DialContext
	c.Renew() // the process was frozen
	localEnd(t, c, server.URL)
	close(dialled)
	old := (<-late).LocalAddr().String()
	for range 3 {
		if now := localEnd(t, c, server.URL); now == old {
			t.Errorf("a request went over the connection %s, which was dialled before the renewal", old)
		}
	}
}

// localEnd sends a request and returns the local end of its connection.
func localEnd(t *testing.T, c *Connections, url string) string {
	t.Helper()
	var end string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { end = i.Conn.LocalAddr().String() },
	})
	res, err := c.RoundTrip(post(t, ctx, url))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return end
}

func TestWallTimeAndSteadyTimeAreLookedAtApart(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		wall, steady time.Duration
		want         bool
	}{
		"no pause":                                  {0, 0, false},
		"a short pause":                             {14 * s, 14 * s, false},
		"stopped by a signal: both go on":           {16 * s, 16 * s, true},
		"suspended: steady time stands still":       {3600 * s, 0, true},
		"suspended for a moment":                    {2 * s, 0, true},
		"the clock was set forward":                 {9 * s, s, true},
		"the clock was set back":                    {-3600 * s, s, true},
		"set back while it stood still":             {-3600 * s, 16 * s, true},
		"set back by just what it stood still":      {0, 16 * s, true},
		"a clock that is steered":                   {14*s + 100*time.Millisecond, 14 * s, false},
		"just as long as they are kept":             {15 * s, 15 * s, false},
		"just as far apart as is allowed":           {9 * s, 8 * s, false},
		"too long by the wall clock alone":          {15*s + 1, 14*s + 1, true},
		"too long by the steady clock alone":        {14*s + 1, 15*s + 1, true},
		"steady time went on, wall time was set to": {14 * s, 16 * s, true},
	} {
		if got := stale(c.wall, c.steady); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
