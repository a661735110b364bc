// Package pace is how calls to the cloud are made: never more of them at once
// than the service bears (Limiter), each sent exactly once and its delivery known
// (Wire), and repeated only when that is safe (Retry). Caller puts the three
// together; the adapters of ECD and MNS make all their calls through it.
//
// The services publish no rate limits that could be built in, so the pace is
// found by asking: every throttling answer halves what is allowed at once and
// imposes a short pause, every success lets it grow again.
package pace

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/internal/desktop"
)

const (
	defaultMax = 4
	// firstPause is how long nothing new begins after the first throttling
	// answer, and longestPause after many in a row: long enough to let a limit of
	// one call in a few seconds through, short beside an invocation.
	firstPause   = 250 * time.Millisecond
	longestPause = 4 * time.Second
)

// ErrNoTime says that the service's throttling leaves no time for the call
// before its context's deadline. The call was not sent.
var ErrNoTime = errors.New("no time left after the pause that throttling asks for")

// A Limiter bounds how many calls are under way at once, and adapts that bound
// to what the service bears: additive increase, multiplicative decrease. The
// zero value allows four at once. All methods may be called from several
// goroutines; a Limiter must not be copied after its first use.
type Limiter struct {
	// Max is how many calls may be under way at most; 0 means 4. The exported
	// fields must not be changed after the first Acquire.
	Max int
	// FirstPause is how long nothing begins after a throttled call; it doubles
	// up to LongestPause with each further one until a call succeeds. 0 means
	// 250 ms, and 4 s.
	FirstPause, LongestPause time.Duration
	// GivesUp: when nothing was answered for 15 seconds, but that too much is asked, no
	// call is made for 30 seconds, or until Reset. So a place that is throttled or
	// silent takes little of the time of those who have other places to look after.
	GivesUp bool

	lease *Lease // nil: the bound is this limiter's own
	few   int    // may be under way without the lease

	mu      sync.Mutex
	allowed float64 // 1 to Max; 0 until the first use
	under   int
	epoch   int // counts the decreases: one per round trip
	pause   time.Duration
	until   time.Time // nothing begins before
	waiting []*waiter // in order of arrival
	silence silence
	timer   *time.Timer
}

type waiter struct {
	ctx   context.Context //nolint:containedctx // of the call that waits
	ready chan struct{}   // closed when slot is granted; nil: that was at once
	slot  Slot
}

// A Slot is the right to one call. It must be released once.
type Slot struct {
	limiter *Limiter
	epoch   int
	began   time.Time
}

// Acquire waits for the right to make one call, first come, first served. It
// returns the context's error when that ends first, and ErrNoTime at once when
// the context ends before the pause that throttling imposed.
func (l *Limiter) Acquire(ctx context.Context) (Slot, error) {
	if err := ctx.Err(); err != nil {
		return Slot{}, err
	}
	l.mu.Lock()
	if end, ok := ctx.Deadline(); ok && l.until.After(end) {
		l.mu.Unlock()
		return Slot{}, ErrNoTime
	}
	w := &waiter{ctx: ctx}
	l.waiting = append(l.waiting, w)
	if l.grant(); w.slot.limiter != nil {
		l.mu.Unlock()
		return w.slot, nil
	}
	w.ready = make(chan struct{})
	l.mu.Unlock()

	select {
	case <-w.ready:
		return w.slot, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else { // granted meanwhile
		l.under--
	}
	l.grant()
	return Slot{}, ctx.Err()
}

// Release gives the right back and says how the call ended. A nil error or a
// refusal is an answer that was not throttled, and lets the bound grow by one
// in a round of calls; a throttled call halves it, once for all the calls that
// were under way together; any other error leaves it.
func (s Slot) Release(err error) {
	l := s.limiter
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under--
	l.note(s, err)
	e, classified := errors.AsType[*desktop.CallError](err)
	switch {
	case errors.Is(err, errGivenUp):
	case classified && e.Throttled:
		if s.epoch == l.epoch {
			l.slowDown()
		}
	case err == nil, classified && e.Delivery == desktop.Refused:
		if s.epoch == l.epoch {
			l.allowed = min(l.allowed+1/l.allowed, float64(l.max()))
			l.pause = 0
		}
	}
	l.grant()
}

func (l *Limiter) max() int {
	if l.Max <= 0 {
		return defaultMax
	}
	return l.Max
}

func (l *Limiter) begin() {
	if l.allowed == 0 {
		l.allowed = float64(l.max())
	}
}

func (l *Limiter) slowDown() {
	l.epoch++
	l.allowed = max(l.allowed/2, 1)
	first, longest := cmp.Or(l.FirstPause, firstPause), cmp.Or(l.LongestPause, longestPause)
	l.pause = min(max(2*l.pause, first), longest)
	l.until = time.Now().Add(l.pause)
}

// grant hands out what is free. While a pause is on, it comes back at its end.
func (l *Limiter) grant() {
	l.begin()
	if len(l.waiting) == 0 || l.under >= l.bound() {
		return
	}
	if rest := time.Until(l.until); rest > 0 {
		if l.timer == nil {
			l.timer = time.AfterFunc(rest, l.pauseOver)
		}
		return
	}
	for len(l.waiting) > 0 && l.under < l.bound() {
		w := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.under++
		w.slot = Slot{l, l.epoch, time.Now()}
		if w.ready != nil {
			close(w.ready)
		}
	}
}

// bound is how many calls may be under way at once for whoever waits first: few without
// the lease, which is then asked for.
func (l *Limiter) bound() int {
	allowed := int(l.allowed)
	if l.lease == nil || allowed <= l.few || l.under < l.few {
		return allowed
	}
	l.lease.want(l.waiting[0].ctx)
	if !l.lease.held() {
		return l.few
	}
	return allowed
}

func (l *Limiter) pauseOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	l.grant()
}

// again looks again at what may be granted.
func (l *Limiter) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grant()
}

// inUse says whether a call is under way.
func (l *Limiter) inUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.under > 0
}
