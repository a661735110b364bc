package localcloud

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/localcloud/bridge"
)

// Step delivers one batch that is visible on a queue with a trigger, if there is
// one, the request queue first. See bridge.Stream.Step.
func (c *Cloud) Step(ctx context.Context) (bool, error) {
	for _, s := range c.streams() {
		if some, err := s.Step(ctx); some || err != nil {
			return some, err
		}
	}
	return false, nil
}

// StepQueue is Step for one queue alone. It is false for a queue without a trigger.
func (c *Cloud) StepQueue(ctx context.Context, queue string) (bool, error) {
	if queue == RequestQueue {
		return c.Bridge.Step(ctx)
	}
	if s := c.Doors[queue]; s != nil {
		return s.Step(ctx)
	}
	return false, nil
}

// Run delivers from all queues with a trigger until ctx ends, as bridge.Stream.Run
// does from one.
func (c *Cloud) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range c.streams() {
		group.Go(func() error { return s.Run(ctx) })
	}
	return group.Wait()
}

// Next says when the next message of a queue with a trigger becomes visible, and
// whether there is one.
func (c *Cloud) Next() (at time.Time, any bool) {
	for _, q := range append([]string{RequestQueue}, c.doors...) {
		if next, ok := c.MNS.Next(q); ok && (!any || next.Before(at)) {
			at, any = next, true
		}
	}
	return at, any
}

// streams are the triggers, that of the request queue first.
func (c *Cloud) streams() []*bridge.Stream {
	all := []*bridge.Stream{c.Bridge}
	for _, q := range c.doors {
		all = append(all, c.Doors[q])
	}
	return all
}
