package pace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

func post(t *testing.T, ctx context.Context, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// ways are the two ways in which a request is sent. What is promised holds for both.
var ways = map[string]func(w *Wire, req *http.Request) (Answer, error){
	"by net/http": (*Wire).Send,
	"over a line": func(w *Wire, req *http.Request) (Answer, error) {
		line := w.Line(req.URL)
		defer line.Close()
		return overLine(line, req)
	},
}

// overLine sends a request over a line.
func overLine(line *Line, req *http.Request) (a Answer, err error) {
	err = line.Send(req.Context(), func(out *bufio.Writer) error { return req.Write(out) }, func(in *bufio.Reader) (bool, error) {
		res, err := http.ReadResponse(in, req)
		if err != nil {
			return false, err
		}
		defer func() { _ = res.Body.Close() }()
		a.Status = res.StatusCode
		if a.Body, err = wholeBody(res); len(a.Body) > MaxAnswer {
			err = errors.New("too long")
		}
		return !res.Close, err
	})
	return a, err
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestARequestThatArrivedHasAnUnknownFate(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"closed before the answer": func(w http.ResponseWriter, _ *http.Request) { hangUp(w) },
		"truncated answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		},
		"no answer in time": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"an answer that says it has a million gigabytes": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1125899906842624\r\n\r\nhalf")
			_ = conn.Close()
		},
		"endless answer": func(w http.ResponseWriter, _ *http.Request) {
			block := bytes.Repeat([]byte{' '}, 1<<20)
			for range MaxAnswer/len(block) + 1 {
				_, _ = w.Write(block)
			}
		},
	} {
		for way, send := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				var served atomic.Int32
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					served.Add(1)
					serve(w, r)
				}))
				defer server.Close()
				timeout := 5 * time.Second
				if name == "no answer in time" {
					timeout = 100 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				_, err := send(NewWire(1), post(t, ctx, server.URL))
				e, ok := errors.AsType[*SendError](err)
				if !ok || e.Delivery != desktop.Unknown || !strings.HasPrefix(err.Error(), "sent, but not answered: ") {
					t.Errorf("error: got %v, want an unknown delivery", err)
				}
				if ended := errors.Is(err, context.DeadlineExceeded); ended != (name == "no answer in time") {
					t.Errorf("the end of the context is %t as the cause of %v", ended, err)
				}
				if served.Load() != 1 {
					t.Errorf("requests served: got %d, want 1", served.Load())
				}
			})
		}
	}
}

func TestARequestThatCannotHaveArrivedWasNotSent(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers a handshake
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	closed := httptest.NewServer(nil)
	closed.Close()

	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	cancelled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	for name, c := range map[string]struct {
		ctx  context.Context
		url  string
		dial func(context.Context, string, string) (net.Conn, error)
		want error
	}{
		"connection refused":   {ctx: t.Context(), url: closed.URL},
		"no TLS there":         {ctx: t.Context(), url: "https" + plain.URL[len("http"):]},
		"handshake timeout":    {ctx: brief, url: "https://" + silent.Addr().String(), want: context.DeadlineExceeded},
		"cancelled before":     {ctx: cancelled, url: plain.URL, want: context.Canceled},
		"impossible URL":       {ctx: t.Context(), url: "gopher://x"},
		"name that is unknown": {ctx: t.Context(), url: "http://ecd.nowhere.invalid", dial: noSuchHost},
	} {
		for way, send := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				w := NewWire(1)
				if c.dial != nil {
					w.connections.dial = c.dial
				}
				_, err := send(w, post(t, c.ctx, c.url))
				e, ok := errors.AsType[*SendError](err)
				if !ok || e.Delivery != desktop.NotSent || !strings.HasPrefix(err.Error(), "not sent: ") {
					t.Errorf("error: got %v, want one that says not sent", err)
				}
				if c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("cause: got %v, want %v", err, c.want)
				}
			})
		}
	}
}

func noSuchHost(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "ecd.nowhere.invalid", IsNotFound: true}}
}

func TestRedirectsAreAnswersLikeOthers(t *testing.T) {
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer server.Close()
	a, err := NewWire(1).Send(post(t, t.Context(), server.URL))
	if err != nil || a.Status != http.StatusFound || served.Load() != 1 {
		t.Errorf("got %v, %v after %d requests, want 302 after 1", a.Status, err, served.Load())
	}
}

// An answer may be as long as the bound, whether it says so before or not.
func TestAnAnswerAsLongAsTheBoundIsRead(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !chunked {
				w.Header().Set("Content-Length", strconv.Itoa(MaxAnswer))
			}
			_, _ = w.Write(make([]byte, MaxAnswer))
		}))
		a, err := NewWire(1).Send(post(t, t.Context(), server.URL))
		if err != nil || len(a.Body) != MaxAnswer {
			t.Errorf("chunked %t: got %d bytes, %v", chunked, len(a.Body), err)
		}
		server.Close()
	}
}

func TestTheCauseOfAFailureIsTheEndOfItsContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := errors.New("use of closed connection")
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want string
	}{
		"it goes on":         {t.Context(), closed, "use of closed connection"},
		"it has ended":       {ended, closed, "context canceled: use of closed connection"},
		"the error names it": {ended, fmt.Errorf("reading: %w", context.Canceled), "reading: context canceled"},
	} {
		if got := causeIn(c.ctx, c.err); got.Error() != c.want || !errors.Is(got, c.err) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// What an SDK makes of an answer does not count; what came back does.
func TestASeamKeepsWhatBecameOfARequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			hangUp(w)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}))
	defer server.Close()
	seam := &Seam{Wire: NewWire(1)}
	if _, err := seam.Answer(io.ErrNoProgress); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("before any call: got %v", err)
	}
	if _, err := seam.Answer(nil); !errors.Is(err, errNothingSent) {
		t.Errorf("before any call, without a reason: got %v", err)
	}
	shown, err := seam.Call(post(t, t.Context(), server.URL), nil)
	if err != nil || shown.StatusCode != http.StatusOK {
		t.Errorf("the SDK sees %+v, %v", shown, err)
	}
	_ = shown.Body.Close()
	if a, err := seam.Answer(io.ErrNoProgress); err != nil || a.Status != http.StatusTeapot || string(a.Body) != "short and stout" {
		t.Errorf("got %+v, %v", a, err)
	}
	gone := &Seam{Wire: NewWire(1)}
	if shown, err := gone.Call(post(t, t.Context(), server.URL+"/gone"), nil); err == nil {
		_ = shown.Body.Close()
		t.Error("the SDK sees an answer that never came")
	}
	_, err = gone.Answer(nil)
	if e, ok := errors.AsType[*SendError](err); !ok || e.Delivery != desktop.Unknown {
		t.Errorf("got %v", err)
	}
}

// Only what was certainly not sent, or was refused, did not happen.
func TestWhatAFailureWithoutAnAnswerMeans(t *testing.T) {
	for err, want := range map[error]desktop.Delivery{
		errNothingSent: desktop.Refused, &SendError{desktop.Unknown, io.EOF}: desktop.Unknown, &SendError{desktop.NotSent, io.EOF}: desktop.NotSent,
	} {
		if got := SendFault("X", credentials.Keys{}, err); desktop.DeliveryOf(got) != want || !errors.Is(got, err) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

func TestNothingIsSentWithoutWholeCredentials(t *testing.T) {
	said := &desktop.CallError{Call: "AssumeRole", Delivery: desktop.NotSent}
	broken := errors.New("no file")
	whole := credentials.Keys{ID: "a", Secret: "b"}
	for name, c := range map[string]struct {
		keys     credentials.Keys
		err      error
		cause    error
		delivery desktop.Delivery
	}{
		"whole":              {whole, nil, nil, 0},
		"half":               {credentials.Keys{ID: "a"}, nil, credentials.ErrNone, desktop.Forbidden},
		"none, and why":      {credentials.Keys{}, broken, broken, desktop.Forbidden},
		"the source says it": {credentials.Keys{}, said, said, desktop.NotSent},
	} {
		keys, err := Keys(t.Context(), "X", func(context.Context) (credentials.Keys, error) { return c.keys, c.err })
		if (err == nil) != (c.cause == nil) || err == nil && keys != c.keys || err != nil && (!errors.Is(err, c.cause) || desktop.DeliveryOf(err) != c.delivery) {
			t.Errorf("%s: got %v, %v", name, keys, err)
		}
	}
}
