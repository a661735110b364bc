package pace

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/regild/regild/internal/desktop"
)

// maxAnswer bounds the body of an answer. A page of 100 desktops has 60 KB.
const maxAnswer = 8 << 20

// A Wire sends HTTP requests that other people's SDKs have built and signed:
// each exactly once, without following redirects, and with the answer's body
// bounded. When it fails, it knows whether the request may have arrived, which
// no SDK tells. It may be used from several goroutines.
type Wire struct{ connections *Connections }

// NewWire returns a Wire that keeps up to idle unused connections to a host.
func NewWire(idle int) *Wire { return &Wire{NewConnections(idle)} }

// Renew has every request from now on use a connection that was made from now
// on: see Connections.
func (w *Wire) Renew() { w.connections.Renew() }

// An Answer is what a service sent back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// A SendError says that no whole answer came back. Its text names no URL.
type SendError struct {
	Delivery desktop.Delivery // NotSent when the request certainly did not arrive, else Unknown
	Err      error
}

func (e *SendError) Error() string {
	if e.Delivery == desktop.NotSent {
		return "not sent: " + e.Err.Error()
	}
	return "sent, but not answered: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Send sends req once, under its context, and reads the whole answer. Every
// error is a *SendError.
func (w *Wire) Send(req *http.Request) (Answer, error) {
	ctx := req.Context()
	// The transport sends a request again only when nothing of it was written
	// to a connection that turned out dead; it then asks for another one.
	var written atomic.Bool
	res, err := w.connections.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
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
	body, err := wholeBody(res)
	if err != nil {
		return Answer{}, &SendError{desktop.Unknown, fmt.Errorf("reading an answer with status %d: %w", res.StatusCode, err)}
	}
	if len(body) > maxAnswer {
		return Answer{}, &SendError{desktop.Unknown, fmt.Errorf("answer with status %d is longer than %d bytes", res.StatusCode, maxAnswer)}
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

// wholeBody reads a body, up to one byte more than an answer may have.
func wholeBody(res *http.Response) ([]byte, error) {
	if n := res.ContentLength; n >= 0 && n <= maxAnswer {
		body := make([]byte, n)
		_, err := io.ReadFull(res.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
}
