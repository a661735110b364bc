package pace

import (
	"context"
	"errors"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// A Call is one attempt at a call, as told to an observer after it ended.
type Call struct {
	Name      string        // the API's name, such as RebuildDesktops
	RegionID  string        // where it went
	Took      time.Duration // from the first byte's turn to the last byte's arrival
	RequestID string        // the service's, or "" when it did not answer
	// Err is nil when the service answered that it did what was asked;
	// otherwise it tells delivery, code and message.
	Err *desktop.CallError
}

// A Caller makes calls of one kind: bounded by Limit, repeated by Policy, each
// attempt cut off after Timeout (not at all when it is 0) and told to Observe,
// which may be nil and is called from several goroutines.
type Caller struct {
	Limit   *Limiter
	Policy  Policy
	Timeout time.Duration
	Observe func(Call)
}

// Do runs attempt as one call named name, and again while the policy allows.
// An attempt returns the service's request id, if it has one, and a
// *desktop.CallError when it failed.
func (c *Caller) Do(ctx context.Context, name, regionID string, attempt func(context.Context) (string, error)) error {
	asked := false
	return Retry(ctx, c.Policy, func(ctx context.Context) error {
		if err := c.Limit.givenUp(name, asked); err != nil {
			return err
		}
		slot, err := c.turn(ctx)
		if err != nil {
			return &desktop.CallError{
				Call: name, Delivery: desktop.NotSent, Throttled: errors.Is(err, ErrNoTime), Unasked: !asked,
				Message: "waiting for its turn: " + err.Error(), Err: err,
			}
		}
		defer func() { slot.Release(err) }()
		if err = c.Limit.givenUp(name, asked); err != nil { // meanwhile
			return err
		}
		asked = true
		err = &desktop.CallError{Call: name} // of a panic: it counts as a failure of unknown delivery
		err = c.once(ctx, name, regionID, attempt)
		return err
	})
}

// turn waits for the right to make the call, for as long as it may still begin.
func (c *Caller) turn(ctx context.Context) (Slot, error) {
	latest, limited := desktop.LatestBegin(ctx)
	if !limited {
		return c.Limit.Acquire(ctx)
	}
	wait, cancel := context.WithDeadline(ctx, latest)
	defer cancel()
	slot, err := c.Limit.Acquire(wait)
	if err != nil && ctx.Err() == nil && wait.Err() != nil {
		err = desktop.ErrTooLate
	}
	return slot, err
}

func (c *Caller) once(ctx context.Context, name, regionID string, attempt func(context.Context) (string, error)) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	start := time.Now()
	requestID, err := attempt(ctx)
	if c.Observe != nil {
		e, ok := errors.AsType[*desktop.CallError](err)
		if err != nil && !ok {
			e = &desktop.CallError{Call: name, Message: err.Error(), Err: err}
		}
		c.Observe(Call{Name: name, RegionID: regionID, Took: time.Since(start), RequestID: requestID, Err: e})
	}
	return err
}
