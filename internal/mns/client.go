// Package mns is the only package that knows Message Service (MNS, now Simple
// Message Queue, API 2015-06-06) and its SDK: it publishes outcomes to a topic
// and sends messages to a queue.
//
// The SDK signs each request; a pace.Line sends it, and the answer is read here.
// Left to itself the SDK sends a message up to five times when a connection
// breaks, knows no context and no deadline under a second, fails when all its
// connections are busy, sleeps for seconds under load, and panics on a bad
// endpoint. So it is given a transport of ours (its SetTransport) that sends
// once, and its topics and queues, which race, are not used: requests go
// through its Send.
//
// MNS has no deduplication, and none is needed: what regild sends has stable
// ids and may arrive twice. Calls are therefore repeated on unknown deliveries too.
package mns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

const (
	// defaultTimeout bounds one attempt. MNS answers in milliseconds, but may
	// hold a request that it throttles for up to 5 seconds.
	defaultTimeout     = 6 * time.Second
	defaultConcurrency = 16
	unknownRepeats     = 3               // repetitions of a message that may have arrived
	need               = 1 * time.Second // left of the context's time, for a repetition
)

// backoff bounds the waits between attempts: 10 seconds of patience.
var backoff = []time.Duration{
	200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
	1600 * time.Millisecond, 3200 * time.Millisecond, 3200 * time.Millisecond,
}

// A Call is one attempt at an MNS call, as told to Config.Observe.
type Call = pace.Call

// A Config says how to reach MNS. Keys is required, and either an Endpoint of
// MNS or AccountID and RegionID.
type Config struct {
	// Endpoint is https://<account>.mns.<region>[-internal].aliyuncs.com, or the
	// host alone, or http://127.0.0.1:PORT for a stand-in; ""
	// means the public endpoint of AccountID and RegionID over https.
	Endpoint string
	// AccountID and RegionID name the owner of the topics and queues.
	AccountID, RegionID string
	// Keys returns the credentials for one attempt.
	Keys func(context.Context) (credentials.Keys, error)
	// Timeout bounds one attempt; 0 means 6 seconds.
	Timeout time.Duration
	// Concurrency bounds the calls under way at once; 0 means 16. Throttling
	// lowers it for a while.
	Concurrency int
	// Observe, when set, is told of each attempt, from several goroutines.
	Observe func(Call)
	// Backoff replaces the bounds of the waits between attempts, 0.2 to 3.2
	// seconds, and with them the pauses after throttling; Sleep how they are waited.
	Backoff []time.Duration
	Sleep   func(context.Context, time.Duration) error
}

// A Client sends messages. It may be used from several goroutines.
type Client struct {
	endpoint endpoint
	keys     func(context.Context) (credentials.Keys, error)
	wire     *pace.Wire
	calls    pace.Caller

	mu      sync.Mutex
	signers []*signer // unused ones
}

// New returns a client, or an error that names every fault of cfg. It never
// panics.
func New(cfg Config) (*Client, error) {
	at, err := parseEndpoint(cfg)
	faults := []error{err}
	if cfg.Keys == nil {
		faults = append(faults, errors.New("mns: Keys is missing"))
	}
	if cfg.Timeout < 0 {
		faults = append(faults, errors.New("mns: the timeout is negative"))
	}
	if cfg.Concurrency < 0 {
		faults = append(faults, errors.New("mns: the concurrency is negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.Backoff == nil {
		cfg.Backoff = backoff
	}
	policy := pace.Policy{Steps: cfg.Backoff, Sleep: cfg.Sleep, Unknown: unknownRepeats, Need: need}
	limit := policy.Limiter(cmp.Or(cfg.Concurrency, defaultConcurrency))
	c := &Client{
		endpoint: at, keys: cfg.Keys, wire: pace.NewWire(limit.Max),
		calls: pace.Caller{
			Limit: limit, Policy: policy,
			Timeout: cmp.Or(cfg.Timeout, defaultTimeout), Observe: cfg.Observe,
		},
	}
	first, err := newSigner(c.wire, at)
	if err != nil {
		return nil, err
	}
	c.signers = append(c.signers, first)
	return c, nil
}

// Renew has every call from now on use a connection that was made from now on.
// It is for the start of an invocation: Function Compute may have frozen the
// instance since, and its connections may be dead without a word.
func (c *Client) Renew() {
	c.wire.Renew()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.signers {
		s.line.Close()
	}
}

// An endpoint is where MNS is: the URL the SDK signs for, and the host that is
// really called.
type endpoint struct {
	url    string // scheme://account.mns.region.aliyuncs.com
	host   string // host, or host:port
	region string
}

// hostForm is the only form of a host that the SDK takes.
var hostForm = pattern.Lazily(`^([0-9]+)\.mns\.([a-z0-9-]+)\.aliyuncs\.com$`)

func parseEndpoint(cfg Config) (endpoint, error) {
	own := cfg.AccountID + ".mns." + cfg.RegionID + ".aliyuncs.com"
	u, err := pace.ParseEndpoint(cmp.Or(cfg.Endpoint, own))
	if err != nil {
		return endpoint{}, fmt.Errorf("mns: %w", err)
	}
	signed := u.Host
	if pace.Loopback(u.Hostname()) {
		signed = own
	}
	parts := hostForm().FindStringSubmatch(signed)
	if parts == nil {
		return endpoint{}, fmt.Errorf("mns: %q is not an endpoint such as 1234567890123456.mns.cn-hangzhou.aliyuncs.com", signed)
	}
	return endpoint{
		url: u.Scheme + "://" + signed, host: u.Host,
		region: strings.TrimSuffix(parts[2], "-internal"),
	}, nil
}
