package main_test

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/rollout"
)

type worldKey struct{}

// driveLimit bounds one command of a story in real time. A story takes a second
// or two; what hangs must not hang the whole test.
const driveLimit = 3 * time.Minute

// A world is one story's cloud and function.
type world struct {
	ts    *testscript.TestScript
	ctx   context.Context // lives as long as the story does
	cloud *localcloud.Cloud
	host  *fc.Host
	log   lockedText

	mu      sync.Mutex
	payload []byte // what the function had last
	result  fc.Result
	hooks   []func(fault.Point)

	faults []string // what no story may end with
}

func newWorld(env *testscript.Env) error {
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{ctx: ctx}
	env.Values[worldKey{}] = w
	env.Defer(func() {
		defer cancel()
		w.endCloud()
		if len(w.faults) > 0 {
			env.T().Fatal(strings.Join(w.faults, "\n"))
		}
	})
	return nil
}

// endCloud ends the cloud that there is, and judges it.
func (w *world) endCloud() {
	if w.cloud == nil {
		return
	}
	if lost := w.cloud.BlackHoles().Lost; lost > 0 {
		w.faults = append(w.faults, fmt.Sprintf("the function has sent into %d connections that were dead when it was continued", lost))
	}
	if w.host != nil {
		w.host.Kill()
	}
	w.faults = append(w.faults, w.misshapen()...)
	_ = w.cloud.Close() // the function is gone already
	w.faults = append(w.faults, w.broken()...)
	w.cloud, w.host, w.hooks = nil, nil, nil
}

// settings are the flags of cloud and redeploy.
type settings struct {
	fleets             string
	noJournal, noQueue bool
	env                []string
	timeout            time.Duration
	instances          int
}

func (s *settings) flags(f *flag.FlagSet) {
	f.StringVar(&s.fleets, "fleets", "", "")
	f.BoolVar(&s.noJournal, "no-journal", false, "")
	f.BoolVar(&s.noQueue, "no-queue", false, "")
	f.Func("env", "", func(e string) error { s.env = append(s.env, e); return nil })
	f.DurationVar(&s.timeout, "timeout", time.Minute, "")
	f.IntVar(&s.instances, "instances", 1, "")
}

// parse reads the flags of a command and returns what follows them.
func parse(args []string, least, most int, declare func(*flag.FlagSet)) ([]string, error) {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(new(strings.Builder))
	if declare != nil {
		declare(f)
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() < least || most >= 0 && f.NArg() > most {
		return nil, fmt.Errorf("%d arguments do not fit", f.NArg())
	}
	return f.Args(), nil
}

func (w *world) startCloud(args []string) error {
	w.endCloud()
	var s settings
	stateFile, shape, batch, tries := "", "", 0, 0
	_, err := parse(args, 0, 0, func(f *flag.FlagSet) {
		s.flags(f)
		f.StringVar(&stateFile, "state", "", "")
		f.StringVar(&shape, "shape", "", "")
		f.IntVar(&batch, "batch", 0, "")
		f.IntVar(&tries, "tries", 0, "")
	})
	if err != nil {
		return err
	}
	state, err := w.state(stateFile)
	if err != nil {
		return err
	}
	cloud, err := localcloud.Start(w.ctx, localcloud.Options{
		State: state, Invoker: w,
		Stream: func(o *bridge.Options) {
			if shape != "" {
				o.Shape, err = bridge.ParseShape(shape)
			}
			if batch > 0 {
				o.BatchSize = batch
			}
			if tries > 0 {
				o.Tries = tries
			}
		},
	})
	if err != nil {
		return err
	}
	w.cloud = cloud
	cloud.Faults.Seed(1)
	cloud.Faults.Observe(w.observe)
	return w.startFunction(s)
}

// misshapen returns what is wrong with records in the journal.
func (w *world) misshapen() (faults []string) {
	for _, key := range w.cloud.OSS.Keys(localcloud.JournalBucket) {
		lines, _ := w.cloud.OSS.Object(localcloud.JournalBucket, key)
		if !strings.HasSuffix(key, ".jsonl") {
			continue
		}
		records, err := rollout.Decode(lines)
		if err != nil {
			continue // a story may damage a journal
		}
		for _, r := range records {
			if err := r.Check(); err != nil {
				faults = append(faults, fmt.Sprintf("%s: %v", key, err))
			}
		}
	}
	return faults
}

// state reads a story's state, on a clock that stands still.
func (w *world) state(file string) (localcloud.State, error) {
	base, err := localcloud.Load("testdata/base.yaml")
	if err != nil {
		return base, err
	}
	if _, missing := os.Stat(w.ts.MkAbs("cloud.yaml")); file == "" && missing == nil {
		file = "cloud.yaml"
	}
	state := base
	if file != "" {
		if state, err = localcloud.Parse([]byte(w.ts.ReadFile(file))); err != nil {
			return state, err
		}
	}
	if state.Desktops == nil {
		state.Desktops = base.Desktops
	}
	if state.Images == nil {
		state.Images = base.Images
	}
	if state.Clock.Start.IsZero() {
		state.Clock.Start = base.Clock.Start
	}
	still := 0.0
	state.Clock.Rate = &still
	return state, nil
}

func (w *world) startFunction(s settings) error {
	env := w.cloud.Env()
	if s.noJournal {
		env = append(env, "REGILD_JOURNAL=")
	}
	if s.noQueue {
		env = append(env, "REGILD_REQUEST_QUEUE=")
	}
	if s.fleets != "" {
		env = append(env, "REGILD_FLEETS="+w.ts.MkAbs(s.fleets))
	}
	for _, e := range s.env {
		env = append(env, strings.ReplaceAll(e, "$WORK", w.ts.MkAbs(".")))
	}
	host, err := fc.Start(w.ctx, fc.Function{
		Path: function, Env: env, Keys: w.cloud.Keys, Timeout: s.timeout, Instances: s.instances,
		Initializer: true, PreStop: true, Stdout: &w.log, Freeze: w.cloud.Sever,
	})
	w.host = host
	return err
}

func (w *world) redeploy(args []string) error {
	var s settings
	if _, err := parse(args, 0, 0, s.flags); err != nil {
		return err
	}
	if err := w.host.Stop(w.ctx); err != nil {
		return err
	}
	return w.startFunction(s)
}

// InvokeEvent hands an event to the function that is deployed now.
func (w *world) InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error) {
	result, err := w.host.InvokeEvent(ctx, e)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.payload, w.result = e.Payload, result
	return result, err
}

// read returns a file of the story with the story's variables put in.
func (w *world) read(file string) []byte {
	text := variable.ReplaceAllStringFunc(w.ts.ReadFile(file), func(v string) string {
		return w.ts.Getenv(v[2 : len(v)-1])
	})
	return []byte(strings.TrimSuffix(text, "\n"))
}

var variable = regexp.MustCompile(`\$\{[A-Za-z0-9_]+\}`)

func (w *world) send(args []string) error {
	var delay time.Duration
	var encoded bool
	queue, times := localcloud.RequestQueue, 1
	files, err := parse(args, 1, -1, func(f *flag.FlagSet) {
		f.StringVar(&queue, "queue", queue, "")
		f.IntVar(&times, "times", times, "")
		f.DurationVar(&delay, "delay", 0, "")
		f.BoolVar(&encoded, "base64", false, "")
	})
	if err != nil {
		return err
	}
	for n := range times * len(files) {
		body := w.read(files[n%len(files)])
		if times > 1 {
			body = []byte(strings.ReplaceAll(string(body), "NTH", strconv.Itoa(n/len(files)+1)))
		}
		if encoded {
			body = []byte(base64.StdEncoding.EncodeToString(body))
		}
		if _, err := w.cloud.MNS.Send(queue, body, delay); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) publish(args []string) error {
	var tag string
	args, err := parse(args, 2, 2, func(f *flag.FlagSet) { f.StringVar(&tag, "tag", "", "") })
	if err != nil {
		return err
	}
	_, err = w.cloud.MNS.Publish(args[0], w.read(args[1]), tag)
	return err
}

func (w *world) push(args []string) error {
	var format string
	args, err := parse(args, 1, 1, func(f *flag.FlagSet) { f.StringVar(&format, "format", "STREAM", "") })
	if err != nil {
		return err
	}
	trigger, err := bridge.NewTopic(w, bridge.TopicOptions{Name: "requests", Format: bridge.Format(format)})
	if err != nil {
		return err
	}
	body := w.read(args[0])
	result, err := trigger.Push(w.ctx, bridge.TopicMessage{ID: "6B3C1A0E5F7D4C2B9A8E7F6D5C4B3A21", Body: string(body), Published: w.cloud.Clock.Now()})
	if err != nil {
		return err
	}
	return w.printResult(result)
}

func (w *world) invoke(args []string) error {
	args, err := parse(args, 1, 1, nil)
	if err != nil {
		return err
	}
	return w.invokeWith(w.read(args[0]))
}

func (w *world) redeliver([]string) error { return w.invokeWith(w.payload) }

func (w *world) invokeWith(payload []byte) error {
	ctx, cancel := context.WithTimeout(w.ctx, driveLimit)
	defer cancel()
	result, err := w.InvokeEvent(ctx, fc.Event{Payload: payload})
	if err != nil {
		return err
	}
	return w.printResult(result)
}

func (w *world) together(args []string) error {
	var at string
	files, err := parse(args, 2, -1, func(f *flag.FlagSet) { f.StringVar(&at, "at", "", "") })
	if err != nil {
		return err
	}
	if at != "" {
		service, operation, _ := strings.Cut(at, "/")
		w.hook(gate(service, operation, len(files)))
	}
	results, faults := make([]fc.Result, len(files)), make([]error, len(files))
	var wg sync.WaitGroup
	for i, file := range files {
		payload := w.read(file)
		wg.Go(func() { results[i], faults[i] = w.InvokeEvent(w.ctx, fc.Event{Payload: payload}) })
	}
	wg.Wait()
	for i, r := range results {
		faults[i] = errors.Join(faults[i], r.Err())
	}
	return errors.Join(faults...)
}

// gate makes the first n calls of an operation wait for one another.
func gate(service, operation string, n int) func(fault.Point) {
	var mu sync.Mutex
	arrived := 0
	open := make(chan struct{})
	return func(p fault.Point) {
		if p.Service != service || p.Operation != operation || p.Phase != fault.Received {
			return
		}
		mu.Lock()
		if arrived++; arrived == n {
			close(open)
		}
		mu.Unlock()
		<-open
	}
}

func (w *world) deliver(args []string) error {
	queue := localcloud.RequestQueue
	if _, err := parse(args, 0, 0, func(f *flag.FlagSet) { f.StringVar(&queue, "queue", queue, "") }); err != nil {
		return err
	}
	some, err := w.cloud.StepQueue(w.ctx, queue)
	if err != nil {
		return err
	}
	if !some {
		return fmt.Errorf("nothing is visible on the queue %s", queue)
	}
	return w.printResult(w.result)
}

func (w *world) settle(args []string) error {
	var queues string
	args, err := parse(args, 0, 1, func(f *flag.FlagSet) { f.StringVar(&queues, "queues", "", "") })
	if err != nil {
		return err
	}
	if queues != "" {
		return w.settleQueues(strings.Split(queues, ","))
	}
	ctx, cancel := context.WithTimeout(w.ctx, driveLimit)
	defer cancel()
	if len(args) == 0 {
		return w.cloud.Idle(ctx)
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	end := w.cloud.Clock.Now().Add(d)
	for {
		some, err := w.cloud.Step(ctx)
		switch {
		case err != nil:
			return err
		case some:
			continue
		}
		next, ok := w.cloud.Next()
		now := w.cloud.Clock.Now()
		if !ok || next.After(end) {
			w.cloud.Clock.Advance(max(end.Sub(now), 0))
			return nil
		}
		w.cloud.Clock.Advance(max(next.Sub(now), 0))
	}
}

// settleQueues serves these queues alone until they are empty: what waits on others
// stays there.
func (w *world) settleQueues(queues []string) error {
	ctx, cancel := context.WithTimeout(w.ctx, driveLimit)
	defer cancel()
	for {
		some := false
		var next time.Time
		for _, q := range queues {
			did, err := w.cloud.StepQueue(ctx, q)
			if err != nil {
				return err
			}
			some = some || did
			if at, ok := w.cloud.MNS.Next(q); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		switch {
		case some:
		case next.IsZero():
			return nil
		default:
			w.cloud.Clock.Advance(max(next.Sub(w.cloud.Clock.Now()), 0))
		}
	}
}

func (w *world) advance(args []string) error {
	args, err := parse(args, 1, 1, nil)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[0])
	w.cloud.Clock.Advance(d)
	return err
}

// lockedText is a text that several goroutines write to.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
