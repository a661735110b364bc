package pace

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// defaultSteps are the bounds of the waits between attempts where a policy
// names none: six attempts in at most 23 seconds.
var defaultSteps = []time.Duration{
	1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second,
}

// A Policy says how often a call is repeated and how long to wait in between.
// The zero value repeats what certainly was not carried out, up to five times.
type Policy struct {
	// Steps bound the waits: before the n-th repetition passes a random part of
	// Steps[n-1] (full jitter, so that instances throttled together do not come
	// back together). nil means 1, 2, 4, 8 and 8 seconds; an empty slice never
	// repeats.
	Steps []time.Duration
	// Unknown is how many failures of unknown delivery are repeated as well. Only
	// calls that change nothing, or may be carried out twice, may set it.
	Unknown int
	// Need is how much time must be left for an attempt to be worth beginning.
	Need time.Duration

	// Sleep and Rand replace the clock and chance in tests. Sleep waits for d or
	// returns the context's error; Rand returns a number in [0, 1).
	Sleep func(ctx context.Context, d time.Duration) error
	Rand  func() float64
}

// Limiter returns a limiter of up to n calls whose pauses go with the waits of
// p: from a quarter of the first to half of the last, which is the limiter's
// own default for the default waits.
func (p Policy) Limiter(n int) *Limiter {
	l := &Limiter{Max: n}
	if len(p.Steps) > 0 {
		l.FirstPause, l.LongestPause = p.Steps[0]/4, p.Steps[len(p.Steps)-1]/2
	}
	return l
}

// Retry runs call, and again while its error says that this is safe: while
// desktop.DeliveryOf is NotSent, and for as many unknown deliveries as the policy
// allows. It gives up before a wait that would leave less than Need of the
// context's time, and returns the last error of call unchanged.
func Retry(ctx context.Context, p Policy, call func(context.Context) error) error {
	if p.Steps == nil {
		p.Steps = defaultSteps
	}
	if p.Sleep == nil {
		p.Sleep = Sleep
	}
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	for n := 0; ; n++ {
		err := call(ctx)
		if err == nil || n >= len(p.Steps) || !p.again(err) || ctx.Err() != nil {
			return err
		}
		wait := time.Duration(p.Rand() * float64(p.Steps[n]))
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait+p.Need {
			return err
		}
		if p.Sleep(ctx, wait) != nil {
			return err
		}
	}
}

// again says whether err may be followed by another attempt, and counts the
// unknown deliveries down.
func (p *Policy) again(err error) bool {
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok || errors.Is(err, ErrNoTime) || errors.Is(err, desktop.ErrTooLate) || errors.Is(err, errGivenUp) || errors.Is(err, ErrUnreached) {
		return false
	}
	if e.Delivery == desktop.Unknown && p.Unknown > 0 {
		p.Unknown--
		return true
	}
	return e.Delivery == desktop.NotSent
}

// Sleep waits for d, or until ctx ends, which it then says.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
