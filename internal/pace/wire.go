package pace

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regild/regild/internal/desktop"
)

const (
	// connectTimeout bounds dialling, and again the TLS handshake: endpoints are
	// in the same country, and a call that does not get through in that time had
	// better be tried again.
	connectTimeout = 5 * time.Second
	// idleTimeout is how long an unused connection is kept. The services close
	// theirs after a minute or so, and a request written to a closed connection
	// has an unknown fate, so ours go well before.
	idleTimeout = 15 * time.Second
	// maxAnswer bounds the body of an answer. A page of 100 desktops has 60 KB.
	maxAnswer = 8 << 20
)

// A Wire sends HTTP requests that other people's SDKs have built and signed:
// each exactly once, without following redirects, and with the answer's body
// bounded. When it fails, it knows whether the request may have arrived, which
// no SDK tells. It may be used from several goroutines.
type Wire struct {
	transport *http.Transport
	mu        sync.Mutex
	last      time.Time // wall time of the last use
}

// NewWire returns a Wire that keeps up to idle unused connections to a host.
// It goes through the proxy that HTTPS_PROXY and its kin name.
func NewWire(idle int) *Wire {
	// HTTP/1 only: there a request counts as written before its last byte
	// leaves, and cancelling closes the connection; Send relies on both.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Wire{transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConns:        2 * idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     idleTimeout,
		Protocols:           protocols,
	}}
}

// An Answer is what a service sent back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// A SendError says that no whole answer came back. Its text names no URL.
type SendError struct {
	Fate desktop.Fate // NotSent when the request certainly did not arrive, else Unknown
	Err  error
}

func (e *SendError) Error() string {
	if e.Fate == desktop.NotSent {
		return "not sent: " + e.Err.Error()
	}
	return "sent, but not answered: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Send sends req once, under its context, and reads the whole answer. Every
// error is a *SendError.
func (w *Wire) Send(req *http.Request) (Answer, error) {
	w.dropStale(time.Now().Round(0))
	ctx := req.Context()
	// The transport sends a request again only when nothing of it was written
	// to a connection that turned out dead; it then asks for another one.
	var written atomic.Bool
	res, err := w.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})))
	if err != nil {
		// The transport hides a deadline behind its own words.
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if written.Load() {
			return Answer{}, &SendError{desktop.Unknown, err}
		}
		return Answer{}, &SendError{desktop.NotSent, err}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return Answer{}, &SendError{desktop.Unknown, fmt.Errorf("reading an answer with status %d: %w", res.StatusCode, err)}
	}
	if len(body) > maxAnswer {
		return Answer{}, &SendError{desktop.Unknown, fmt.Errorf("answer with status %d is longer than %d bytes", res.StatusCode, maxAnswer)}
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

// dropStale closes the unused connections when nothing was sent for a while.
// FC freezes an instance between invocations: timers stand still then, and the
// services close their end unnoticed. Wall time goes on.
func (w *Wire) dropStale(now time.Time) {
	w.mu.Lock()
	stale := !w.last.IsZero() && now.Sub(w.last) > idleTimeout
	w.last = now
	w.mu.Unlock()
	if stale {
		w.transport.CloseIdleConnections()
	}
}
