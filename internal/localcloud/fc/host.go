package fc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrStopped says that the host no longer takes invocations.
var ErrStopped = errors.New("the function's host has been stopped")

// A Host runs the instances of one function. All methods may be called at once
// from several goroutines.
type Host struct {
	function Function
	output   *output
	slots    chan struct{} // holds one for each invocation under way
	stopping chan struct{} // closed by Stop and by the end of Start's context
	stopOnce sync.Once
	over     <-chan struct{} // closed by the end of Start's context

	mu        sync.Mutex
	idle      []*instance // the latest used last
	instances []*instance // all there were, for Instances and Kill
}

// Start checks f and returns a host for it; no process is started before the
// first invocation. Every fault of f is told at once. When ctx is done the host
// stops as if by Kill.
func Start(ctx context.Context, f Function) (*Host, error) {
	f, err := f.normal()
	if err != nil {
		return nil, fmt.Errorf("checking function %s: %w", f.Name, err)
	}
	h := &Host{
		function: f,
		output:   &output{w: f.Stdout},
		slots:    make(chan struct{}, f.Instances),
		stopping: make(chan struct{}),
		over:     ctx.Done(),
	}
	context.AfterFunc(ctx, func() {
		h.refuse()
		h.Kill()
	})
	return h, nil
}

// Function returns the function with its defaults filled in.
func (h *Host) Function() Function { return h.function }

// Invoke hands payload to an instance and returns how that ended. It is
// InvokeEvent for a first try with a new request id.
func (h *Host) Invoke(ctx context.Context, payload []byte) (Result, error) {
	return h.InvokeEvent(ctx, Event{Payload: payload})
}

// InvokeEvent hands e to an idle instance, or to a new one, or waits for one
// when all are busy. It returns when the function has answered, its process
// has ended, or its timeout has passed, whereupon the process is killed. When
// ctx ends first, the process is killed and ctx's error returned.
//
// A failed function is not an error: see Result. The errors are ctx's,
// ErrStopped, a payload above MaxPayload, and a binary that cannot be started.
func (h *Host) InvokeEvent(ctx context.Context, e Event) (Result, error) {
	if len(e.Payload) > MaxPayload {
		return Result{}, fmt.Errorf("invoking %s: payload of %d bytes is above the platform's %d", h.function.Name, len(e.Payload), MaxPayload)
	}
	if err := h.take(ctx); err != nil {
		return Result{}, fmt.Errorf("invoking %s: %w", h.function.Name, err)
	}
	defer func() { <-h.slots }()
	if e.RequestID == "" {
		e.RequestID = newRequestID()
	}
	in, fault, err := h.ready(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("invoking %s: %w", h.function.Name, err)
	}
	if fault != nil {
		fault.RequestID = e.RequestID
		return *fault, nil
	}
	c := newCall(handlerCall, e.RequestID, &h.function)
	c.payload, c.retryCount = e.Payload, e.RetryCount
	result, err := h.run(ctx, in, c)
	in.countInvocation()
	if in.alive() {
		in.freeze(h.function.Freeze)
		h.rest(in)
	}
	if err != nil {
		return Result{}, fmt.Errorf("invoking %s: %w", h.function.Name, err)
	}
	return result, nil
}

// take waits for the right to use an instance.
func (h *Host) take(ctx context.Context) error {
	select {
	case <-h.stopping: // first: a select among several ready cases is a lottery
		return ErrStopped
	default:
	}
	select {
	case <-h.stopping:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	case h.slots <- struct{}{}:
		return nil
	}
}

// ready returns an instance to use: the idle one used last, else a new one. A
// new one whose initializer fails comes to nothing but the result that says so.
func (h *Host) ready(ctx context.Context) (*instance, *Result, error) {
	h.mu.Lock()
	for len(h.idle) > 0 {
		in := h.idle[len(h.idle)-1]
		h.idle = h.idle[:len(h.idle)-1]
		if in.alive() {
			h.mu.Unlock()
			in.thaw()
			return in, nil, nil
		}
	}
	h.mu.Unlock()
	in, err := startInstance(&h.function, &lines{to: h.output})
	if err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	h.instances = append(h.instances, in)
	h.mu.Unlock()
	if !h.function.Initializer {
		return in, nil, nil
	}
	result, err := h.run(ctx, in, newCall(initializerCall, newRequestID(), &h.function))
	if err == nil && !result.Failed() {
		return in, nil, nil
	}
	in.kill()
	return nil, &result, err
}

// rest makes an instance available to the next invocation, or to Stop.
func (h *Host) rest(in *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = append(h.idle, in)
}

// run hands c to the instance and waits for its end. When it returns without
// an answer of the process, the process is gone.
func (h *Host) run(ctx context.Context, in *instance, c *call) (Result, error) {
	result := Result{RequestID: c.id}
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	died := func() Result {
		result.ErrorType = Unhandled
		result.ErrorMessage = "process exited unexpectedly before completing the request: " + in.deathCause()
		return result
	}
	select {
	case in.api.work <- c:
	case <-in.ended:
		return died(), nil
	case <-limit.C:
		in.kill()
		result.ErrorType, result.Killed = Unhandled, true
		result.ErrorMessage = fmt.Sprintf("function did not ask for an invocation within %v", startLimit)
		return result, nil
	case <-h.over:
		in.kill()
		return result, ErrStopped
	case <-ctx.Done():
		in.kill()
		return result, ctx.Err()
	}
	<-c.taken
	begun := time.Now()
	limit.Reset(c.limit)
	select {
	case a := <-c.answer:
		return finish(result, a, begun), nil
	case <-in.ended:
	case <-limit.C:
		in.kill()
		result.Killed = true
	case <-h.over:
		in.kill()
		return result, ErrStopped
	case <-ctx.Done():
		in.kill()
		return result, ctx.Err()
	}
	// The answer may have arrived just before the end; then it counts.
	select {
	case a := <-c.answer:
		result.Killed = false
		return finish(result, a, begun), nil
	default:
	}
	result.Duration = time.Since(begun)
	if result.Killed {
		result.ErrorType = Unhandled
		result.ErrorMessage = fmt.Sprintf("%s timed out after %v", c.what, c.limit)
		return result, nil
	}
	return died(), nil
}

func finish(r Result, a answer, begun time.Time) Result {
	r.Duration = time.Since(begun)
	if a.fail != nil {
		r.ErrorType, r.ErrorMessage = a.fail.Type, a.fail.Message
		return r
	}
	r.Response = a.body
	return r
}

// Kill ends every process at once, as SIGKILL does, and returns when they are
// gone. Invocations under way end as failed; the next one starts a new
// process. It may be called from whatever an invocation calls, such as an
// observer of the stand-ins.
func (h *Host) Kill() {
	h.mu.Lock()
	all := slices.Clone(h.instances)
	h.mu.Unlock()
	for _, in := range all {
		if in.alive() {
			_ = in.cmd.Process.Kill()
		}
	}
	for _, in := range all {
		<-in.ended
	}
}

// Stop takes no further invocations, waits for those under way, runs the
// preStop hook on each idle instance and ends it. When ctx ends first, all
// processes are killed and ctx's error is returned; so is the failure of a
// hook. Stopping twice is harmless.
func (h *Host) Stop(ctx context.Context) error {
	h.refuse()
	for n := range cap(h.slots) {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			h.Kill()
			return fmt.Errorf("stopping %s: waiting for %d of its instances: %w", h.function.Name, cap(h.slots)-n, ctx.Err())
		}
	}
	h.mu.Lock()
	idle := h.idle
	h.idle = nil
	h.mu.Unlock()
	var faults []error
	for _, in := range idle {
		faults = append(faults, h.retire(ctx, in))
	}
	return errors.Join(faults...)
}

func (h *Host) retire(ctx context.Context, in *instance) error {
	defer in.end()
	in.thaw() // for its hook, and because SIGTERM waits for it
	if !h.function.PreStop || !in.alive() {
		return nil
	}
	result, err := h.run(ctx, in, newCall(preStopCall, newRequestID(), &h.function))
	select {
	case <-h.over:
		return nil // everything is being killed, the hook with it
	default:
	}
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		return fmt.Errorf("running the preStop hook of %s: %w", h.function.Name, err)
	}
	return nil
}

func (h *Host) refuse() { h.stopOnce.Do(func() { close(h.stopping) }) }

// Instances tells of every process there was, in the order of their start.
func (h *Host) Instances() []Instance {
	h.mu.Lock()
	all := slices.Clone(h.instances)
	h.mu.Unlock()
	infos := make([]Instance, 0, len(all))
	for _, in := range all {
		infos = append(infos, in.info())
	}
	return infos
}

func newRequestID() string {
	id := randomHex(16)
	return "1-" + id[:8] + "-" + id[8:16] + "-" + id[16:]
}
