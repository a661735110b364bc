package pace

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// probeAfter is how long a Line may be unused before its connection is asked whether
// the service has closed it. The question costs a millisecond.
const probeAfter = time.Second

// A Line sends requests over one connection, one after the other, and needs no
// goroutine for it: each of its requests costs half the processor time of one that
// net/http sends. It is for many small requests. It must not be used by several
// goroutines at once.
type Line struct {
	connections *Connections
	target      *url.URL

	conn       *tracked // nil: none
	in         *bufio.Reader
	out        *bufio.Writer
	generation int       // of the connections, when this one was dialled
	used       time.Time // last
}

// tracked is a connection that knows whether anything was written to it, and how it
// broke: some libraries take what a reset cut short for a whole answer.
type tracked struct {
	net.Conn
	wrote  bool
	broken error
}

func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader returns it as it is
		t.broken = err
	}
	return n, err
}

func (t *tracked) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.wrote = t.wrote || n > 0
	return n, err
}

// Line returns a Line to the host of a URL, or nil if a proxy stands in between: then
// only Send will do.
func (w *Wire) Line(target *url.URL) *Line {
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: target}); proxy != nil || err != nil {
		return nil
	}
	return &Line{connections: w.connections, target: target}
}

// Send has a whole request written, once, and a whole answer read. read says whether the
// service leaves the connection open, and bounds what it reads by MaxAnswer. Every error
// is a *SendError, as those of Wire.Send.
func (l *Line) Send(ctx context.Context, write func(*bufio.Writer) error, read func(*bufio.Reader) (open bool, err error)) error {
	if err := l.connect(ctx); err != nil {
		return &SendError{desktop.NotSent, causeIn(ctx, err)}
	}
	conn := l.conn
	conn.wrote, conn.broken = false, nil
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	open, err := false, errors.Join(write(l.out), l.out.Flush())
	if err == nil {
		open, err = read(l.in)
	}
	err = cmp.Or(err, conn.broken)
	l.used = time.Now()
	if !interrupt() || !open || err != nil || l.in.Buffered() > 0 {
		l.Close()
	}
	switch {
	case err == nil:
		return nil
	case conn.wrote:
		return &SendError{desktop.Unknown, causeIn(ctx, err)}
	default:
		return &SendError{desktop.NotSent, causeIn(ctx, err)}
	}
}

// connect makes sure that there is a connection which may be used.
func (l *Line) connect(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	_, generation := l.connections.at(now)
	if l.conn != nil && (l.generation != generation || l.dead(now.Sub(l.used))) {
		l.Close()
	}
	if l.conn != nil {
		return nil
	}
	conn, err := l.dial(ctx)
	if err != nil {
		return err
	}
	l.conn, l.generation = &tracked{Conn: conn}, generation
	l.in, l.out = bufio.NewReader(l.conn), bufio.NewWriter(l.conn)
	return nil
}

// dead says whether a connection that was not used for so long is not to be used again.
// The service never speaks first: what can be read is an end.
func (l *Line) dead(unused time.Duration) bool {
	if unused < probeAfter || unused > idleTimeout {
		return unused > idleTimeout
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := l.in.Peek(1)
	timeout, ok := errors.AsType[net.Error](err)
	return !ok || !timeout.Timeout() || l.conn.SetReadDeadline(time.Time{}) != nil
}

func (l *Line) dial(ctx context.Context) (net.Conn, error) {
	port := l.target.Port()
	if port == "" {
		port = l.target.Scheme // a service's name will do
	}
	conn, err := l.connections.connect(ctx, "tcp", net.JoinHostPort(l.target.Hostname(), port))
	if err != nil || l.target.Scheme == "http" {
		return conn, err
	}
	shaking, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secure := tls.Client(conn, &tls.Config{ServerName: l.target.Hostname(), RootCAs: l.connections.roots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(shaking); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

// Close closes the connection, if there is one. The next request makes another. A nil
// Line has none.
func (l *Line) Close() {
	if l != nil && l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}
