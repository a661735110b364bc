package pace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

// MaxAnswer bounds the body of an answer. A page of 100 desktops has 60 KB.
const MaxAnswer = 8 << 20

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
		err = causeIn(ctx, err)
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
	if len(body) > MaxAnswer {
		return Answer{}, &SendError{desktop.Unknown, fmt.Errorf("answer with status %d is longer than %d bytes", res.StatusCode, MaxAnswer)}
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

// causeIn names the end of the context where that is why something failed: transports
// hide a deadline behind their own words.
func causeIn(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// wholeBody reads a body, up to one byte more than an answer may have.
func wholeBody(res *http.Response) ([]byte, error) {
	if n := res.ContentLength; n >= 0 && n <= MaxAnswer {
		body := make([]byte, n)
		_, err := io.ReadFull(res.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
}

// A Seam stands where an SDK expects its HTTP client (Call): it sends one request by
// a Wire, keeps the answer, and shows the SDK an empty one.
type Seam struct {
	Wire   *Wire
	called bool
	answer Answer
	err    error
}

// Call implements the SDK's HttpClient.
func (s *Seam) Call(req *http.Request, _ *http.Transport) (*http.Response, error) {
	s.called = true
	s.answer, s.err = s.Wire.Send(req)
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// Answer returns what became of the request. refusal is the SDK's own error, which
// counts only if the SDK sent nothing.
func (s *Seam) Answer(refusal error) (Answer, error) {
	if !s.called {
		return Answer{}, NothingSent(refusal)
	}
	return s.answer, s.err
}

// NothingSent is the error of an SDK that sent nothing, for which it gave a reason or
// nil.
func NothingSent(refusal error) error {
	return fmt.Errorf("building the request: %w", cmp.Or(refusal, errNothingSent))
}

var errNothingSent = errors.New("the SDK sent nothing")

// SendFault is the failure of a call that brought no answer: it is Refused unless err
// is a *SendError, which says what is known.
func SendFault(api string, keys credentials.Keys, err error) error {
	e := &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: Message(err.Error(), keys), Err: err}
	if sent, ok := errors.AsType[*SendError](err); ok {
		e.Delivery = sent.Delivery
	}
	return e
}

// Keys asks a source for the credentials of one attempt. The source may say by a
// *desktop.CallError what its failure means; any other is Forbidden. The attempt is
// not made then.
func Keys(ctx context.Context, api string, source func(context.Context) (credentials.Keys, error)) (credentials.Keys, error) {
	keys, err := source(ctx)
	if err == nil && !keys.Complete() {
		err = credentials.ErrNone
	}
	if _, said := errors.AsType[*desktop.CallError](err); said || err == nil {
		return keys, err
	}
	return keys, &desktop.CallError{Call: api, Delivery: desktop.Forbidden, Message: err.Error(), Err: err}
}

// maxMessage bounds what is kept of a service's message, in bytes: outcomes
// carry it, and MNS takes 64 KB for everything.
const maxMessage = 512

// Message makes a service's or the network's words fit to be passed on: one
// line, valid UTF-8, cut after 512 bytes, and without the credentials, which
// services are known to echo when a signature does not match.
func Message(text string, k credentials.Keys) string {
	text = strings.ToValidUTF8(k.Redact(text), "\uFFFD")
	if strings.ContainsFunc(text, unicode.IsSpace) { // most are an id
		text = strings.Join(strings.Fields(text), " ")
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
