package pace

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// connectTimeout bounds dialling, and again the TLS handshake: endpoints are
	// in the same country, and a call that does not get through in that time had
	// better be tried again.
	connectTimeout = 5 * time.Second
	// idleTimeout is how long an unused connection is kept. The services close
	// theirs after a minute or so, and a request written to a closed connection
	// has an unknown delivery, so ours go well before.
	idleTimeout = 15 * time.Second
	// clockDrift is how far wall time and steady time may go apart between two
	// requests: further than any clock is corrected at once, and less than a stop
	// that would be noticed by nothing else.
	clockDrift = time.Second
)

// Connections is an HTTP transport that keeps connections for further requests,
// but none beyond a moment at which the process may have stood still. Function
// Compute freezes an instance between invocations; what it was connected to may
// be gone then without a word, and a request on such a connection waits in vain
// until its timeout. So whoever knows of such a moment calls Renew, and as a
// second net the clocks are watched at each request.
//
// It may be used from several goroutines.
type Connections struct {
	idle  int
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	roots *x509.CertPool // whom TLS trusts; nil: whom the system does

	mu         sync.Mutex
	transport  *http.Transport
	generation int       // counts the renewals
	last       time.Time // of the last request, with both clocks' readings
}

var _ http.RoundTripper = (*Connections)(nil)

// NewConnections returns Connections that keep up to idle unused ones to a host.
// They go through the proxy that HTTPS_PROXY and its kin name.
func NewConnections(idle int) *Connections {
	c := &Connections{idle: idle, dial: (&net.Dialer{Timeout: connectTimeout}).DialContext}
	c.transport = c.fresh()
	return c
}

// fresh returns a transport without any connections.
func (c *Connections) fresh() *http.Transport {
	// HTTP/1 only: there a request counts as written before its last byte
	// leaves, and cancelling closes the connection; Wire.Send relies on both.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         c.connect,
		TLSClientConfig:     &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConns:        2 * c.idle,
		MaxIdleConnsPerHost: c.idle,
		IdleConnTimeout:     idleTimeout,
		Protocols:           protocols,
	}
}

// connect dials an address, watched by the context's Reach if it has one.
func (c *Connections) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if r, watched := ctx.Value(reachKey{}).(*Reach); watched {
		return r.dial(ctx, c.dial, network, address)
	}
	return c.dial(ctx, network, address)
}

// Renew has every request from now on use a connection that was made from now
// on. Requests under way are left alone. Call it at the start of an invocation.
func (c *Connections) Renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew()
}

// renew puts a transport of its own into the place of the old one, since that
// may still be dialling: the connection that comes of it would be as stale as
// the others. c.mu is held.
func (c *Connections) renew() {
	c.transport.CloseIdleConnections()
	c.transport = c.fresh()
	c.generation++
}

// RoundTrip sends a request as http.Transport does.
func (c *Connections) RoundTrip(r *http.Request) (*http.Response, error) {
	transport, _ := c.at(time.Now())
	return transport.RoundTrip(r)
}

// at returns the transport for a request at a moment, and the generation that a
// connection for it must be of.
func (c *Connections) at(now time.Time) (*http.Transport, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && stale(now.Round(0).Sub(c.last.Round(0)), now.Sub(c.last)) {
		c.renew()
	}
	c.last = now
	return c.transport, c.generation
}

// stale says whether connections last used that long ago, by the wall clock and
// by the steady one, are to be dropped. A stopped process finds that both have
// gone on; a machine that was suspended or moved finds that only the wall clock
// has, and one whose clock was set finds the two apart and nothing wrong.
func stale(wall, steady time.Duration) bool {
	return wall > idleTimeout || steady > idleTimeout || (wall-steady).Abs() > clockDrift
}
