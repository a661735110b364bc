package handler_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// tallied counts the calls of all ports by name.
type tallied struct {
	journal.Store
	*slowECD
	*outQueue
	mu    sync.Mutex
	calls map[string]int
}

func (c *tallied) count(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[name]++
}

func (c *tallied) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	c.count("Read")
	return c.Store.Read(ctx, key, from)
}

func (c *tallied) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	c.count("Append")
	return c.Store.Append(ctx, key, at, lines)
}

func (c *tallied) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	c.count("Desktops")
	return c.slowECD.Desktops(ctx, region, ids)
}

func (c *tallied) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	c.count("Images")
	return c.slowECD.Images(ctx, region, ids)
}

func (c *tallied) Send(ctx context.Context, body []byte, delay time.Duration) error {
	c.count("Send")
	return c.outQueue.Send(ctx, body, delay)
}

func (c *tallied) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	c.count("SendEach")
	return c.outQueue.SendEach(ctx, body, delays...)
}

// A look that finds nothing new takes three calls in an instance that has made the one before: ECD is
// asked once, and the next tick and its watchdog are put on the queue by one call and stand in one record, which
// shows whether others have written. In another instance the journal is read first. The
// watchdog of a look that was not cut off takes none, if the instance has made that look.
func TestALookThatFindsNothingTakesThreeCallsAndItsWatchdogNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		c := &tallied{Store: journaltest.Memory(), slowECD: b.ecd, outQueue: b.queue, calls: map[string]int{}}
		start := func() *handler.Handler {
			h, err := handler.New(b.config(c, c, c))
			b.must(err)
			return h
		}
		h := start()
		b.must(b.ask(h, time.Minute, requestFor(1)))
		first := b.queue.last() // which came before anything was begun, and has no copy
		time.Sleep(first.delay) //nolint:forbidigo // time of the bubble, which takes none
		b.must(b.ask(h, time.Minute, first.body))
		tick := b.queue.sent[len(b.queue.sent)-2]
		for _, step := range []struct {
			name string
			in   time.Duration
			want map[string]int
		}{
			{"the tick", tick.delay, map[string]int{"Desktops": 1, "SendEach": 1, "Append": 1}},
			{"its copy", 20 * time.Second, map[string]int{}},
			{"its copy once more, in another instance", 0, map[string]int{"Read": 1}},
			{"its copy, when the next tick and the copy of that are overdue", 5 * time.Minute, map[string]int{"Read": 1, "Desktops": 1, "Send": 1, "SendEach": 1, "Append": 2}},
		} {
			time.Sleep(step.in) //nolint:forbidigo // time of the bubble, which takes none
			if step.name == "its copy once more, in another instance" {
				h = start()
			}
			clear(c.calls)
			b.must(b.ask(h, time.Minute, tick.body))
			if !maps.Equal(c.calls, step.want) {
				t.Errorf("%s: %v, want %v", step.name, c.calls, step.want)
			}
		}
	})
}

// listing is a tallied with a fleet of two desktops.
type listing struct{ *tallied }

func (c listing) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	c.count("Select")
	return c.slowECD.Desktops(ctx, region, []string{"ecd-0000", "ecd-0001"})
}

// A look at a rollout takes no more while nothing can begin: neither the log of its fleet is read, nor
// its image, nor the freezes. One that somebody else asks for reads them, to say why it waits.
func TestALookThatOnlyFollowsTakesThreeCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare("fleets:\n  - {name: office, region: cn-hangzhou, images: [win*], select: all, strategy: {canary: 2, waves: [], maxUnavailable: 1}}\n")
		c := listing{&tallied{Store: journaltest.Memory(), slowECD: b.ecd, outQueue: b.queue, calls: map[string]int{}}}
		h, err := handler.New(b.config(c, c, c))
		b.must(err)
		b.must(b.ask(h, time.Minute, release))
		first := b.queue.last() // which came before anything was begun, and has no copy
		time.Sleep(first.delay) //nolint:forbidigo // time of the bubble, which takes none
		b.must(b.ask(h, time.Minute, first.body))
		tick := b.queue.sent[len(b.queue.sent)-2]
		time.Sleep(tick.delay) //nolint:forbidigo // time of the bubble, which takes none
		clear(c.calls)
		b.must(b.ask(h, time.Minute, tick.body))
		if want := map[string]int{"Desktops": 1, "SendEach": 1, "Append": 1}; !maps.Equal(c.calls, want) {
			t.Errorf("its tick: %v, want %v", c.calls, want)
		}
		anyway, err := events.Tick{Kind: events.TickRollout, ID: "v1/office", N: events.TickAnyway}.Event("acs:fc", time.Now()).Marshal()
		b.must(err)
		clear(c.calls)
		b.must(b.ask(h, time.Minute, string(anyway)))
		if want := map[string]int{"Read": 3, "Desktops": 1, "Images": 1}; !maps.Equal(c.calls, want) {
			t.Errorf("a tick for another reason: %v, want %v", c.calls, want)
		}
	})
}

func (c *tallied) Maintain(context.Context, string, []string, bool) error {
	c.count("Maintain")
	return nil
}

// The record that announces what is done to a desktop shows whether others have written: the
// journal is not read once more before it.
func TestWhatIsAnnouncedIsNotReadBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare("fleets:\n  - {name: office, region: cn-hangzhou, images: [win*], select: all, requests: true, strategy: {maintenance: true}}\n")
		c := &tallied{Store: journaltest.Memory(), slowECD: b.ecd, outQueue: b.queue, calls: map[string]int{}}
		h, err := handler.New(b.config(c, c, c))
		b.must(err)
		b.must(b.ask(h, time.Minute, requestFor(1)))
		// Of the journal under both ids that the request may have, and of freezes for the decision and before the call;
		// opened, entered, holding, held, begun, ended, published.
		want := map[string]int{"Read": 4, "Desktops": 2, "Images": 1, "Maintain": 1, "Send": 1, "Append": 7}
		if !maps.Equal(c.calls, want) {
			t.Errorf("%v, want %v", c.calls, want)
		}
	})
}
