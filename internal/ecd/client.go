// Package ecd is the only package that knows Elastic Desktop Service (ECD, API
// 2020-09-30) and its SDK. It speaks desktop's words to the rest of regild.
//
// The SDK builds and signs each request; pace.Wire sends it, and the answer is
// read here, not by the SDK: the SDK loses the HTTP status of an answer that is
// not JSON, calls an empty 200 a success, cannot tell a request that was never
// sent from one that was, and takes three times as long to decode a page. One
// SDK client serves one attempt, since a client shared between goroutines is a
// data race, and since credentials change while an instance lives.
//
// What an answer means is decided by the table in table.go, how answers are read
// in answer.go. A rebuild is repeated only when it certainly was not carried out;
// calls that change nothing are repeated on unknown deliveries too.
package ecd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alibabacloud-go/darabonba-openapi/v2/models"
	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

const (
	// defaultCallTimeout bounds one attempt at a call; a page of 100 desktops
	// takes well under a second.
	defaultCallTimeout = 10 * time.Second
	// defaultRebuildTimeout is longer, because a rebuild that is cut off has an
	// unknown delivery, and that costs more calls than waiting does.
	defaultRebuildTimeout        = 15 * time.Second
	defaultConcurrency           = 4
	defaultReadConcurrency       = 8
	fewChanges                   = 1 // under way at once in a region without its lease
	fewReads                     = 2
	rebuildNeeds                 = 5 * time.Second // left of the context's time, for a rebuild to be repeated
	readNeeds                    = 1 * time.Second
	readUnknown                  = 2 // repetitions of a read whose answer did not come
	maxPages                     = 2000
	pageSize               int32 = 100
)

// A Call is one attempt at an ECD call, as told to Config.Observe.
type Call = pace.Call

// A Config says how to reach ECD. Only Keys is required.
type Config struct {
	// Endpoint is the host, or host:port, to call instead of
	// ecd.<region>.aliyuncs.com of each call's region; or region=host for some
	// regions, separated by commas. An http:// URL is taken for a loopback
	// address only, since credentials travel with each call.
	Endpoint string
	// Regions are those that will be called, if that is known: an Endpoint that
	// does not go with them is a fault.
	Regions []string
	// Keys returns the credentials for one attempt.
	Keys func(context.Context) (credentials.Keys, error)
	// CallTimeout bounds one attempt at any call but RebuildDesktops; 0 means
	// 10 seconds. RebuildTimeout does for RebuildDesktops; 0 means 15 seconds.
	CallTimeout, RebuildTimeout time.Duration
	// Rejected, when set, is told that ECD did not accept these credentials, before
	// Keys is asked whether there are others by now.
	Rejected func(credentials.Keys)
	// Concurrency bounds the calls under way at once in a region that change
	// something, RebuildDesktops among them; 0 means 4. ReadConcurrency does for
	// those that change nothing; 0 means 8. Throttling lowers both for a while, in
	// that region.
	Concurrency, ReadConcurrency int
	// Lease, when set, returns the lease of a region, which is shared with other
	// instances: without it, one call that changes something and two others may be
	// under way at once.
	Lease func(region string) *pace.Lease
	// Observe, when set, is told of each attempt, from several goroutines.
	Observe func(Call)
	// Backoff replaces the bounds of the waits between attempts, 1 to 8 seconds,
	// and with them the pauses after throttling; Sleep how they are waited.
	Backoff []time.Duration
	Sleep   func(context.Context, time.Duration) error
}

// A Client calls ECD. It may be used from several goroutines.
type Client struct {
	at       places
	keys     func(context.Context) (credentials.Keys, error)
	rejected func(credentials.Keys)
	wire     *pace.Wire
	pace     func(region string) *callers // makes those of a region
	reading  int                          // calls under way at once in a region that change nothing

	mu      sync.Mutex
	regions map[string]*callers
}

// callers pace the calls to one region: ECD throttles each by itself.
type callers struct {
	rebuilds pace.Caller // RebuildDesktops
	changes  pace.Caller // other calls that change something
	reads    pace.Caller
	lease    *pace.Lease // nil: the limits are this client's own
}

// in returns the callers of a region.
func (c *Client) in(region string) *callers {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.regions[region] == nil {
		c.regions[region] = c.pace(region)
	}
	return c.regions[region]
}

// New returns a client, or an error that names every fault of cfg.
func New(cfg Config) (*Client, error) {
	at, err := parseEndpoints(cfg.Endpoint, cfg.Regions)
	faults := []error{err}
	if cfg.Keys == nil {
		faults = append(faults, errors.New("ecd: Keys is missing"))
	}
	if cfg.CallTimeout < 0 || cfg.RebuildTimeout < 0 {
		faults = append(faults, errors.New("ecd: a timeout is negative"))
	}
	if cfg.Concurrency < 0 || cfg.ReadConcurrency < 0 {
		faults = append(faults, errors.New("ecd: a concurrency is negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	policy := func(need time.Duration, unknown int) pace.Policy {
		return pace.Policy{Steps: cfg.Backoff, Sleep: cfg.Sleep, Need: need, Unknown: unknown}
	}
	changing, reading := cmp.Or(cfg.Concurrency, defaultConcurrency), cmp.Or(cfg.ReadConcurrency, defaultReadConcurrency)
	timeout, rebuildTimeout := cmp.Or(cfg.CallTimeout, defaultCallTimeout), cmp.Or(cfg.RebuildTimeout, defaultRebuildTimeout)
	return &Client{
		at: at, keys: cfg.Keys, rejected: cfg.Rejected,
		wire: pace.NewWire(changing + reading), reading: reading,
		pace: func(region string) *callers {
			change, read := policy(0, 0).Limiter(changing), policy(0, 0).Limiter(reading)
			change.GivesUp, read.GivesUp = true, true
			all := &callers{
				rebuilds: pace.Caller{Limit: change, Policy: policy(rebuildNeeds, 0), Timeout: rebuildTimeout, Observe: cfg.Observe},
				changes:  pace.Caller{Limit: change, Policy: policy(readNeeds, 0), Timeout: timeout, Observe: cfg.Observe},
				reads:    pace.Caller{Limit: read, Policy: policy(readNeeds, readUnknown), Timeout: timeout, Observe: cfg.Observe},
			}
			if cfg.Lease != nil {
				all.lease = cfg.Lease(region)
				all.lease.Bind(change, fewChanges, max(timeout, rebuildTimeout))
				all.lease.Bind(read, fewReads, timeout)
			}
			return all
		},
		regions: map[string]*callers{},
	}, nil
}

// Renew has every call from now on use a connection that was made from now on.
// It is for the start of an invocation: Function Compute may have frozen the
// instance since, and its connections may be dead without a word. Regions that did
// not answer are asked again.
func (c *Client) Renew() {
	c.wire.Renew()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.regions {
		in.changes.Limit.Reset()
		in.reads.Limit.Reset()
	}
}

// ReleaseLeases releases the leases that the client has. It is for the end of an invocation, and
// ends with ctx.
func (c *Client) ReleaseLeases(ctx context.Context) {
	var wg sync.WaitGroup
	c.mu.Lock()
	for _, in := range c.regions {
		if in.lease != nil {
			wg.Go(func() { in.lease.Give(ctx) })
		}
	}
	c.mu.Unlock()
	wg.Wait()
}

// said is what every answer has.
type said interface{ said() envelope }

// ask makes one call of the kind that by describes, and decodes the answer's
// body. send calls the SDK's method, whose result is not looked at. (The method itself as
// an argument, of a type parameter's form, would have the linker keep all methods of the
// SDK's client: 9 MB.) Errors are *desktop.CallError.
func ask[T said](ctx context.Context, c *Client, by *pace.Caller, api, region string,
	send func(context.Context, *sdk.Client, *dara.RuntimeOptions) error,
) (body T, requestID string, err error) {
	if !pattern.Region.Matches(region) {
		return body, "", &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: fmt.Sprintf("%q is not the form of a region", region)}
	}
	err = by.Do(ctx, api, region, func(ctx context.Context) (string, error) {
		keys, err := c.credentials(ctx, api)
		if err != nil {
			return "", err
		}
		body, requestID, err = once[T](ctx, c, api, region, keys, send)
		if e, ok := errors.AsType[*desktop.CallError](err); ok && e.Credentials {
			// Nothing was carried out. Where the source has others by now, they may do.
			if c.rejected != nil {
				c.rejected(keys)
			}
			if fresh, failed := c.credentials(ctx, api); failed == nil && fresh != keys {
				body, requestID, err = once[T](ctx, c, api, region, fresh, send)
			}
		}
		return requestID, err
	})
	return body, requestID, err
}

// credentials asks the source for those of one attempt.
func (c *Client) credentials(ctx context.Context, api string) (credentials.Keys, error) {
	keys, err := pace.Keys(ctx, api, c.keys)
	if e, ok := errors.AsType[*desktop.CallError](err); ok && e.Call == api {
		e.Credentials = true
	}
	return keys, err
}

// once sends one request, signed with keys, and reads the answer.
func once[T said](ctx context.Context, c *Client, api, region string, keys credentials.Keys,
	send func(context.Context, *sdk.Client, *dara.RuntimeOptions) error,
) (body T, requestID string, err error) {
	answer, err := c.exchange(ctx, region, keys, send)
	if err != nil {
		return body, "", pace.SendFault(api, keys, err)
	}
	answer.Body = keys.RedactBytes(answer.Body) // whatever is read from it is told
	return read[T](api, keys, answer)
}

// read decodes an answer. What every answer has may be readable where the rest is not.
func read[T said](api string, keys credentials.Keys, answer pace.Answer) (body T, requestID string, err error) {
	var none T
	body, unread := decode[T](answer.Body)
	all, fault := body.said(), error(nil)
	if unread != nil {
		all, fault = decode[envelope](answer.Body)
	}
	switch requestID, err = judge(api, keys, answer, all, fault); {
	case err != nil:
		return none, requestID, err
	case unread != nil:
		return none, requestID, unreadable(api, requestID, answer.Status, unread)
	}
	return body, requestID, nil
}

// exchange has the SDK build and sign one request, sends it once, and returns
// the answer, whatever its status.
func (c *Client) exchange(ctx context.Context, region string, keys credentials.Keys,
	send func(context.Context, *sdk.Client, *dara.RuntimeOptions) error,
) (pace.Answer, error) {
	seam := &pace.Seam{Wire: c.wire}
	at := c.at.of(region)
	cfg := &models.Config{
		Protocol: &at.protocol, RegionId: &region,
		AccessKeyId: &keys.ID, AccessKeySecret: &keys.Secret,
		HttpClient: seam,
	}
	if keys.Token != "" {
		cfg.SecurityToken = &keys.Token
	}
	if at.host != "" {
		cfg.Endpoint = &at.host
	}
	client, err := sdk.NewClient(cfg)
	if err == nil {
		err = send(ctx, client, new(dara.RuntimeOptions))
	}
	return seam.Answer(err)
}

// pages calls next for each page of api's answer until a page names no
// follower. next gets the token of the page, nil for the first, and returns the
// follower's.
func pages(api string, limit int, next func(token *string) (string, error)) error {
	var token *string
	seen := map[string]bool{}
	for range limit {
		follower, err := next(token)
		if err != nil || follower == "" {
			return err
		}
		if seen[follower] {
			return &desktop.CallError{Call: api, Message: "a page names itself, or one before it, as the next one"}
		}
		seen[follower], token = true, &follower
	}
	return &desktop.CallError{Call: api, Message: fmt.Sprintf("more than %d pages", limit), Err: desktop.ErrTooMany}
}
