package pace

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
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

// raw starts a server that answers with bytes, each time anew, and then does what after says.
func raw(t *testing.T, answer string, after func(*net.TCPConn)) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	server, opened := counting(t)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		for {
			_, _ = io.WriteString(conn, answer)
			after(conn.(*net.TCPConn))
			if _, err := http.ReadRequest(in.Reader); err != nil {
				_ = conn.Close()
				return
			}
		}
	})
	return server, opened
}

// What follows an answer on the connection must not be taken for the answer to another
// request, and nothing is sent where nobody listens.
func TestALineIsNotUsedAfterAnAnswerThatEndsIt(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
	stays := func(*net.TCPConn) {}
	for name, c := range map[string]struct {
		answer   string
		open     bool // what the reader says
		fails    bool // the reader
		cancels  bool // the caller, once it has the answer
		opened   int32
		eachFits bool
	}{
		"it stays":                        {answer: whole, open: true, opened: 1, eachFits: true},
		"the service closes it":           {answer: whole, opened: 3, eachFits: true},
		"there is more than one answer":   {answer: whole + whole, open: true, opened: 3, eachFits: true},
		"the answer cannot be read":       {answer: whole, open: true, fails: true, opened: 3},
		"the call was cut off at its end": {answer: whole, open: true, cancels: true, opened: 3, eachFits: true},
	} {
		t.Run(name, func(t *testing.T) {
			server, opened := raw(t, c.answer, stays)
			line, _ := lineTo(t, NewWire(1), server.URL)
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				req := post(t, ctx, server.URL)
				err := line.Send(ctx, func(out *bufio.Writer) error { return req.Write(out) }, func(in *bufio.Reader) (bool, error) {
					answer := make([]byte, len(whole))
					if _, err := io.ReadFull(in, answer); err != nil || string(answer) != whole {
						t.Errorf("got %q %v", answer, err)
					}
					if c.cancels {
						cancel()
					}
					if c.fails {
						return c.open, errors.New("what is this")
					}
					return c.open, nil
				})
				cancel()
				if (err == nil) != c.eachFits {
					t.Errorf("got %v", err)
				}
			}
			if opened.Load() != c.opened {
				t.Errorf("connections: got %d, want %d", opened.Load(), c.opened)
			}
		})
	}
}

// Some libraries take what a reset cut short for a whole answer. One that ends with its
// connection is whole.
func TestAnAnswerThatAResetCutShortIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		after func(*net.TCPConn)
		whole bool
	}{
		"a reset": {func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, false},
		"an end":  {func(c *net.TCPConn) { _ = c.CloseWrite() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := raw(t, "HTTP/1.1 200 OK\r\n\r\nhalf of it", c.after)
			line, _ := lineTo(t, NewWire(1), server.URL)
			req := post(t, t.Context(), server.URL)
			err := line.Send(t.Context(), func(out *bufio.Writer) error { return req.Write(out) }, func(in *bufio.Reader) (bool, error) {
				_, _ = io.Copy(io.Discard, in)
				return false, nil
			})
			e, failed := errors.AsType[*SendError](err)
			if failed == c.whole || failed && e.Delivery != desktop.Unknown {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestALineThatWasResetIsNotUsed(t *testing.T) {
	reset, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server, opened := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", func(c *net.TCPConn) {
		once.Do(func() {
			go func() {
				<-reset
				_ = c.SetLinger(0)
				_ = c.Close()
				close(done)
			}()
		})
	})
	line, send := lineTo(t, NewWire(1), server.URL)
	if _, err := send(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(reset)
	<-done
	line.used = line.used.Add(-2 * probeAfter)
	if _, err := send(t.Context()); err != nil || opened.Load() != 2 {
		t.Errorf("got %v over %d connections, want 2", err, opened.Load())
	}
}

// A line without a connection makes one, however long that is ago.
func TestALineThatWasClosedIsOpenedAgain(t *testing.T) {
	server, opened := counting(t)
	line, send := lineTo(t, NewWire(1), server.URL)
	for _, unused := range []time.Duration{0, 2 * probeAfter, time.Minute} {
		if _, err := send(t.Context()); err != nil {
			t.Fatal(err)
		}
		line.Close()
		line.used = line.used.Add(-unused)
	}
	if _, err := send(t.Context()); err != nil || opened.Load() != 4 {
		t.Errorf("got %v over %d connections, want 4", err, opened.Load())
	}
	(*Line)(nil).Close()
}

// A conn writes as much as it is told and then fails.
type conn struct {
	net.Conn
	writes []int
}

func (c *conn) Write([]byte) (int, error) {
	n := c.writes[0]
	c.writes = c.writes[1:]
	if n < 0 {
		return 0, io.ErrClosedPipe
	}
	return n, nil
}

func (c *conn) Close() error { return nil }

// Once a byte has left, the request may have arrived.
func TestWhatWasWrittenInPartMayHaveArrived(t *testing.T) {
	for name, c := range map[string]struct {
		writes []int
		want   desktop.Delivery
	}{
		"nothing": {[]int{-1}, desktop.NotSent}, "a part": {[]int{4096, -1}, desktop.Unknown},
	} {
		w := NewWire(1)
		address := ""
		w.connections.dial = func(_ context.Context, _, to string) (net.Conn, error) {
			address = to
			return &conn{writes: c.writes}, nil
		}
		line := w.Line(&url.URL{Scheme: "http", Host: "127.0.0.1"})
		err := line.Send(t.Context(), func(out *bufio.Writer) error {
			for range 2 {
				if _, err := out.Write(make([]byte, 4096)); err != nil {
					return err
				}
			}
			return nil
		}, nil)
		if e, ok := errors.AsType[*SendError](err); !ok || e.Delivery != c.want {
			t.Errorf("%s: got %v", name, err)
		}
		if address != "127.0.0.1:http" {
			t.Errorf("dialled %q", address)
		}
	}
}
