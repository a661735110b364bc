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
	// reachTimeout bounds dialling a host for whoever looks around: who waits for all
	// hosts of a cloud wants to know soon that there is no network.
	reachTimeout = 3 * time.Second
	// reachPause is how long after a failure a host is tried once more: a name server may
	// leave out one answer.
	reachPause = 300 * time.Millisecond
)

// ErrUnreached is among the causes of a failed call whose host could not be reached, where a
// Reach watches. Such a call is not repeated.
var ErrUnreached = errors.New("the host cannot be reached")

// A Reach knows which hosts could be reached by the calls under its context. One that could not
// fails at once from then on. It may be used from several goroutines.
type Reach struct {
	mu     sync.Mutex
	any    bool
	failed map[string]error
}

type reachKey struct{}

// WithReach returns a context whose calls a new Reach watches.
func WithReach(ctx context.Context) (context.Context, *Reach) {
	r := &Reach{failed: map[string]error{}}
	return context.WithValue(ctx, reachKey{}, r), r
}

// Any says whether any host could be reached.
func (r *Reach) Any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.any
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

// dial connects by way of d, and twice at most.
func (r *Reach) dial(ctx context.Context, d dialer, network, address string) (net.Conn, error) {
	if err := r.known(address); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	conn, err := d(limited, network, address)
	if err != nil && Sleep(limited, reachPause) == nil {
		conn, err = d(limited, network, address)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		err = &unreachedError{err}
		r.failed[address] = err
		return nil, err
	}
	r.any = true
	return conn, nil
}

func (r *Reach) known(address string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[address]
}

// An unreachedError has the words of its cause alone.
type unreachedError struct{ cause error }

func (e *unreachedError) Error() string { return e.cause.Error() }

func (e *unreachedError) Unwrap() []error { return []error{e.cause, ErrUnreached} }
