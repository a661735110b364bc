package localcloud

import (
	"context"
	"errors"
	"fmt"
)

// maxRounds bounds Settle: a rollout of a large fleet over weeks takes some
// thousands of deliveries, an endless one must not hang a test.
const maxRounds = 100_000

// ErrUnsettled says that nothing is left on the request queue, and what was
// waited for has not come.
var ErrUnsettled = errors.New("the request queue is empty and the condition does not hold")

// Settle lets the cloud live until done says so: it delivers what is visible on
// the queues with a trigger, and whenever nothing is, moves the clock to where the next
// message becomes visible. So days of ticks pass as fast as the function
// answers. It is for a clock that stands still, with nothing else moving it and
// nobody in Bridge.Run. Done is asked before each delivery, and may change the
// cloud; nil waits for the empty queue.
//
// The errors are ErrUnsettled, those of Bridge.Step, ctx's, and one for a
// queue that is not empty after 100,000 rounds.
func (c *Cloud) Settle(ctx context.Context, done func() bool) error {
	if c.Bridge == nil {
		return errors.New("settling: there is no function")
	}
	for range maxRounds {
		if done != nil && done() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("settling: %w", err)
		}
		some, err := c.Step(ctx)
		if err != nil {
			return fmt.Errorf("settling: %w", err)
		}
		if some {
			continue
		}
		next, ok := c.Next()
		switch {
		case !ok && done == nil:
			return nil
		case !ok:
			return fmt.Errorf("settling: %w", ErrUnsettled)
		}
		if wait := next.Sub(c.Clock.Now()); wait > 0 {
			c.Clock.Advance(wait)
		}
	}
	return fmt.Errorf("settling: %d messages are on the request queue after %d rounds", len(c.MNS.Pending(RequestQueue)), maxRounds)
}

// Idle is Settle until the request queue is empty.
func (c *Cloud) Idle(ctx context.Context) error { return c.Settle(ctx, nil) }
