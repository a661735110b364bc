package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
)

// Limits of an event stream. Source: FC, "Advanced features of triggers".
const (
	maxBatch  = 10000
	maxWindow = 15 * time.Second
)

// pollWait is how long a worker asks an empty queue before it asks again, in
// cloud time. It bounds nothing: a message that arrives ends the wait.
const pollWait = 30 * time.Second

// Options say how a stream works. Queue is required; the rest has defaults.
type Options struct {
	Queue     string
	AccountID string // default 1234567890123456
	Region    string // default cn-hangzhou
	Function  string // the function's name, for the events' source; default regild

	Shape Shape // default Objects
	// DecodeBase64 decodes message bodies that are base64 before delivery, as
	// the trigger's IsBase64Decode does; other bodies stay as they are.
	DecodeBase64 bool

	BatchSize int           // messages in one invocation at most, 1 to 10000; default 10; an Object takes 1
	Window    time.Duration // how long Run waits for a batch to fill, in cloud time, up to 15 s; default none
	Workers   int           // batches that Run has under way at once; default 1

	// Tries is how often a message is delivered before it is given up; default
	// 4, which is BACKOFF_RETRY's first try and three more.
	Tries int
	// Backoff is how long a failed batch stays hidden, in cloud time; default
	// 15 s, the middle of BACKOFF_RETRY's random 10 to 20 s.
	Backoff time.Duration
	// DeadLetter is the queue that given-up messages go to, as the event that
	// was delivered; "" throws them away (errorsTolerance ALL without a queue).
	DeadLetter string

	// Observe is told of every delivery after it has been settled, possibly by
	// several goroutines at once. Nil: nobody.
	Observe func(Delivery)
}

// A Delivery is one invocation by a stream and what became of its messages.
type Delivery struct {
	MessageIDs []string
	Result     fc.Result
	Deleted    int // done, or given up
	Released   int // will be delivered again
	GivenUp    int // sent to the dead-letter queue, or thrown away
}

// A Stream carries messages from one queue to the function. All methods may be
// called at once from several goroutines.
type Stream struct {
	queues   *mns.Server
	function Invoker
	clock    *clock.Clock
	opt      Options
}

// NewStream returns a stream from a queue to the function. It refuses a missing
// argument and options out of the platform's limits.
func NewStream(queues *mns.Server, function Invoker, c *clock.Clock, opt Options) (*Stream, error) {
	if queues == nil || function == nil || c == nil {
		return nil, errors.New("making an event stream: queues, function and clock are required")
	}
	fill(&opt.AccountID, "1234567890123456")
	fill(&opt.Region, "cn-hangzhou")
	fill(&opt.Function, "regild")
	fill(&opt.BatchSize, 10)
	fill(&opt.Workers, 1)
	fill(&opt.Tries, 4)
	fill(&opt.Backoff, 15*time.Second)
	if opt.Shape == Object {
		opt.BatchSize = 1
	}
	var faults []error
	if opt.Queue == "" {
		faults = append(faults, errors.New("queue is missing"))
	}
	if opt.Shape < Objects || opt.Shape > Object {
		faults = append(faults, fmt.Errorf("shape %d is unknown", opt.Shape))
	}
	if opt.BatchSize < 1 || opt.BatchSize > maxBatch {
		faults = append(faults, fmt.Errorf("batch size %d is not between 1 and %d", opt.BatchSize, maxBatch))
	}
	if opt.Window < 0 || opt.Window > maxWindow {
		faults = append(faults, fmt.Errorf("window %v is not between 0 and %v", opt.Window, maxWindow))
	}
	if opt.Workers < 1 || opt.Tries < 1 || opt.Backoff < 0 {
		faults = append(faults, errors.New("workers, tries and backoff must not be negative"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("making an event stream from %q: %w", opt.Queue, errors.Join(faults...))
	}
	return &Stream{queues: queues, function: function, clock: c, opt: opt}, nil
}

func fill[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

// Run delivers until ctx ends, and then returns nil. It returns early with an
// error when the queue does not exist, the function cannot be invoked at all,
// or a message cannot be given up.
func (s *Stream) Run(ctx context.Context) error {
	workers, running := errgroup.WithContext(ctx)
	for range s.opt.Workers {
		workers.Go(func() error {
			for running.Err() == nil {
				batch := s.gather(running)
				if len(batch) == 0 && s.queues.Pending(s.opt.Queue) == nil {
					return fmt.Errorf("receiving from %s: no such queue", s.opt.Queue)
				}
				if err := s.deliver(running, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := workers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Step delivers one batch of what is visible now, without waiting for more,
// and reports whether there was any.
func (s *Stream) Step(ctx context.Context) (bool, error) {
	batch := s.queues.Receive(ctx, s.opt.Queue, s.opt.BatchSize, 0)
	for len(batch) > 0 && len(batch) < s.opt.BatchSize { // a receive may hand out less than there is
		more := s.queues.Receive(ctx, s.opt.Queue, s.opt.BatchSize-len(batch), 0)
		if len(more) == 0 {
			break
		}
		batch = append(batch, more...)
	}
	return len(batch) > 0, s.deliver(ctx, batch)
}

// gather waits for a message, and then for the batch or the window to be full.
func (s *Stream) gather(ctx context.Context) []mns.Message {
	batch := s.queues.Receive(ctx, s.opt.Queue, s.opt.BatchSize, pollWait)
	if len(batch) == 0 {
		return nil
	}
	until := s.clock.Now().Add(s.opt.Window)
	for len(batch) < s.opt.BatchSize && ctx.Err() == nil {
		left := max(until.Sub(s.clock.Now()), 0)
		more := s.queues.Receive(ctx, s.opt.Queue, s.opt.BatchSize-len(batch), left)
		batch = append(batch, more...)
		if len(more) == 0 && left == 0 {
			break
		}
	}
	return batch
}

// deliver invokes the function on a batch and settles its messages.
func (s *Stream) deliver(ctx context.Context, batch []mns.Message) error {
	if len(batch) == 0 {
		return nil
	}
	events := s.events(batch)
	payload, err := s.opt.Shape.payload(events)
	if err != nil {
		return fmt.Errorf("delivering from %s: %w", s.opt.Queue, err)
	}
	result, err := s.function.InvokeEvent(ctx, fc.Event{Payload: payload})
	if err != nil {
		for _, m := range batch { // not the function's fault: deliver again at once
			s.queues.Release(s.opt.Queue, m.Handle)
		}
		return fmt.Errorf("delivering from %s: %w", s.opt.Queue, err)
	}
	d := Delivery{Result: result}
	for i, m := range batch {
		d.MessageIDs = append(d.MessageIDs, m.ID)
		err = errors.Join(err, s.settle(&d, m, events[i]))
	}
	if s.opt.Observe != nil {
		s.opt.Observe(d)
	}
	if err != nil {
		return fmt.Errorf("settling messages of %s: %w", s.opt.Queue, err)
	}
	return nil
}

// settle deletes, releases or gives up one message. A handle that no longer
// holds is no error: the message's visibility ran out, and it comes again.
func (s *Stream) settle(d *Delivery, m mns.Message, event []byte) error {
	if d.Result.Failed() && m.DequeueCount < s.opt.Tries {
		d.Released++
		s.queues.ReleaseAfter(s.opt.Queue, m.Handle, s.opt.Backoff)
		return nil
	}
	if d.Result.Failed() {
		d.GivenUp++
		if err := s.bury(m, event); err != nil {
			return fmt.Errorf("sending message %s to %s: %w", m.ID, s.opt.DeadLetter, err)
		}
	}
	d.Deleted++
	_ = s.queues.Delete(s.opt.Queue, m.Handle)
	return nil
}

// bury puts the event into the dead-letter queue, or the message's own body
// when the envelope has made it larger than a message may be.
func (s *Stream) bury(m mns.Message, event []byte) error {
	if s.opt.DeadLetter == "" {
		return nil
	}
	_, err := s.queues.Send(s.opt.DeadLetter, event, 0)
	if err != nil {
		_, err = s.queues.Send(s.opt.DeadLetter, m.Body, 0)
	}
	return err
}
