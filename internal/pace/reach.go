package pace

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// reachTimeout bounds dialling a host for the first time: who waits for the hosts of a
	// cloud wants to know soon that there is no network.
	reachTimeout = 2500 * time.Millisecond
	// firstTry bounds the first of two tries in that time, since a name server may leave
	// out one answer, and reachPause is how long after it the second begins.
	firstTry   = time.Second
	reachPause = 300 * time.Millisecond
)

// ErrUnreached is among the causes of a failed call whose host could not be reached, where a
// Reach watches. Such a call is not repeated.
var ErrUnreached = errors.New("the host cannot be reached")

// A Reach knows which hosts could be reached by the calls under its context. One that could not
// at first fails at once from then on; one that could is dialled as if nobody watched. It may be
// used from several goroutines.
type Reach struct {
	mu      sync.Mutex
	reached map[string]bool
	failed  map[string]error
}

type reachKey struct{}

// WithReach returns a context whose calls a new Reach watches.
func WithReach(ctx context.Context) (context.Context, *Reach) {
	r := &Reach{reached: map[string]bool{}, failed: map[string]error{}}
	return context.WithValue(ctx, reachKey{}, r), r
}

// Any says whether any host could be reached.
func (r *Reach) Any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.reached) > 0
}

// Failed returns the hosts that could not be reached, as host:port in their order, and why the
// first of them could not.
func (r *Reach) Failed() (hosts []string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hosts = slices.Sorted(maps.Keys(r.failed)); len(hosts) > 0 {
		why = r.failed[hosts[0]]
	}
	return hosts, why
}

// A dialer connects to an address.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects by way of d, and to a host that was not reached yet twice at most.
func (r *Reach) dial(ctx context.Context, d dialer, network, address string) (net.Conn, error) {
	r.mu.Lock()
	reached, err := r.reached[address], r.failed[address]
	r.mu.Unlock()
	switch {
	case reached:
		return d(ctx, network, address)
	case err != nil:
		return nil, err
	}
	conn, err := twice(ctx, d, network, address)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		err = &unreachedError{err}
		r.failed[address] = err
		return nil, err
	}
	r.reached[address] = true
	return conn, nil
}

// twice dials once more if the first try fails.
func twice(ctx context.Context, d dialer, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	first, end := context.WithTimeout(ctx, firstTry)
	defer end()
	conn, err := d(first, network, address)
	if err != nil && Sleep(ctx, reachPause) == nil {
		conn, err = d(ctx, network, address)
	}
	return conn, err
}

// An unreachedError has the words of its cause alone.
type unreachedError struct{ cause error }

func (e *unreachedError) Error() string { return e.cause.Error() }

func (e *unreachedError) Unwrap() []error { return []error{e.cause, ErrUnreached} }
