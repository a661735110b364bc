package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
	"github.com/regild/regild/internal/rollout"
)

// A pacing says how often the journal is looked at, and for how long at the most.
type pacing struct {
	interval time.Duration
	timeout  time.Duration
	trouble  func(error) // is told of the first of several failed looks in a row; nil: nobody
}

// Bounds of a pacing. A look at a journal in Object Storage is a call.
const (
	defaultInterval = 2 * time.Second
	leastInterval   = 10 * time.Millisecond
	answerWithin    = 2 * time.Minute // the function answers within seconds, or is not running
	endWithin       = 24 * time.Hour  // a rollout may wait for a window
)

func (p *pacing) define(c *cobra.Command, timeout time.Duration, meaning string) {
	c.Flags().DurationVar(&p.interval, "interval", defaultInterval, "look at the journal this `often`")
	c.Flags().DurationVar(&p.timeout, "timeout", timeout, meaning)
}

func (p *pacing) check() error {
	if p.interval < leastInterval {
		return usageError{fmt.Errorf("--interval is %s; it is %s at least", p.interval, leastInterval)}
	}
	if p.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout is %s; it must be more than nothing", p.timeout)}
	}
	return nil
}

// errTimedOut is the cause of a context whose time was for waiting.
var errTimedOut = errors.New("timed out")

// within bounds a wait.
func (p *pacing) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, errTimedOut)
}

// wait waits until it is time to look again.
func (p *pacing) wait(ctx context.Context) error {
	if pace.Sleep(ctx, p.interval) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// outcomeOf makes of an error that ended a wait what the process exits with. What was not
// reached is said with why the journal could not be read, if it could not, and with what
// the reader may look at.
func (p *pacing) outcomeOf(ctx context.Context, err error, what string, hints ...string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errTimedOut):
		if passing(err) {
			hints = append([]string{"the last look failed: " + err.Error()}, hints...)
		}
		return endError{exitTimedOut, errors.New(joined("; ", append([]string{fmt.Sprintf("%s within %s (--timeout)", what, p.timeout)}, hints...)...))}
	case ctx.Err() != nil:
		return errInterrupted
	}
	return err
}

// retrying is a journal that overlooks some failed reads in a row: what is followed
// for hours outlives a network that is away for a minute.
type retrying struct {
	journal.Store
	pacing *pacing
}

// maxFailures is how many reads in a row may fail.
const maxFailures = 20

func (p retrying) Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error) {
	err = p.again(ctx, func() error {
		lines, length, err = p.Store.Read(ctx, key, from)
		return err
	})
	return lines, length, err
}

func (p retrying) Some(ctx context.Context, prefix, after string, limit int) (keys []string, err error) {
	err = p.again(ctx, func() error {
		keys, err = p.Store.Some(ctx, prefix, after, limit)
		return err
	})
	return keys, err
}

func (p retrying) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = p.again(ctx, func() error {
		keys, err = p.Store.Keys(ctx, prefix)
		return err
	})
	return keys, err
}

func (p retrying) again(ctx context.Context, call func() error) error {
	for failures := 1; ; failures++ {
		err := call()
		if err == nil || !passing(err) || failures == maxFailures {
			return err
		}
		if failures == 1 && p.pacing.trouble != nil {
			p.pacing.trouble(err)
		}
		if p.pacing.wait(ctx) != nil {
			return err
		}
	}
}

// passing says whether a failure to read may pass by itself.
func passing(err error) bool {
	for _, lasting := range []error{journal.ErrDamaged, journal.ErrShrunk, fs.ErrNotExist, fs.ErrPermission, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	call, ok := errors.AsType[*desktop.CallError](err)
	return ok && call.Delivery != desktop.Refused && call.Delivery != desktop.Forbidden
}

// A name is one operation: its kind and its id.
type name struct{ kind, id string }

func (n name) String() string { return n.kind + "/" + n.id }

// toTheEnd follows operations until all have come to their end, and tells of each
// change of their state. One that is not there yet is waited for. What it returns
// is how they came out: the worst of it.
func toTheEnd(ctx context.Context, s *settings, at installation, names []name, p *pacing) ([]operator.Operation, error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	p.trouble = s.w.trouble
	x := endings{names: slices.Clone(names), operations: make([]operator.Operation, len(names)), told: make([]string, len(names))}
	for _, n := range names {
		x.followers = append(x.followers, operator.Find(retrying{at.store, p}, n.kind, n.id))
	}
	for {
		open, err := x.look(ctx, s, at.zone)
		if err == nil && !open {
			return x.operations, verdict(x.names, x.operations)
		}
		if err == nil {
			err = p.wait(ctx)
		}
		if err != nil {
			return x.operations, p.outcomeOf(ctx, err, stillOpen(x.names, x.operations))
		}
	}
}

// endings are the operations that toTheEnd follows, each at the same place of every list.
type endings struct {
	names      []name
	operations []operator.Operation // as they were last seen
	followers  []*operator.Follower
	told       []string // what was last said of each
}

// look looks once at each that has not ended, and says whether some are still open.
func (x *endings) look(ctx context.Context, s *settings, zone *time.Location) (open bool, err error) {
	for i, f := range x.followers {
		o := &x.operations[i]
		if o.ID != "" && operator.EndOf(*o) != operator.NotYet {
			continue
		}
		if _, err := f.Look(ctx); err != nil {
			return true, err
		}
		if f.State.Operation != nil {
			*o = operator.OperationOf(f.State)
			x.names[i].id = o.ID // that of a person may be shorter
		}
		if text := changeText(*o, zone); text != x.told[i] {
			say(s.w.err, "%s  %s\n", s.w.clock()().In(zone).Format("15:04:05"), shown(x.names[i].String()+"  "+text))
			x.told[i] = text
		}
		open = open || o.ID == "" || operator.EndOf(*o) == operator.NotYet
	}
	return open, nil
}

// changeText is what of an operation is worth a line when it changes: how it stands,
// but not each desktop.
func changeText(o operator.Operation, zone *time.Location) string {
	switch {
	case o.ID == "":
		return "is not in the journal yet, and is waited for"
	case o.Open && o.State == operator.Running:
		return fmt.Sprintf("running, wave %d of %d", o.Wave, o.Waves)
	}
	return inBrief(o, zone)
}

func stillOpen(names []name, operations []operator.Operation) string {
	var open []string
	for i, n := range names {
		switch {
		case operations[i].ID == "":
			open = append(open, n.String()+" did not begin")
		case operator.EndOf(operations[i]) == operator.NotYet:
			open = append(open, n.String()+" did not end")
		}
	}
	return strings.Join(open, ", ")
}

// verdict says how operations came out, as an exit code and a sentence; nil means that
// all is completed.
func verdict(names []name, operations []operator.Operation) error {
	code := 0
	var texts []string
	for i, o := range operations {
		switch operator.EndOf(o) {
		case operator.Stopped:
			code = exitStopped
		case operator.WithFailures:
			code = max(code, exitFailures)
		default:
			continue
		}
		state := o.State
		if strings.HasPrefix(o.Why, state) { // superseded by …, aborted by …
			state = ""
		}
		texts = append(texts, fmt.Sprintf("%s: %s", names[i], joined(", ", state, o.Why, countsText(o.Counts))))
	}
	if code == 0 {
		return nil
	}
	return endError{code, errors.New(strings.Join(texts, "; "))}
}

func waitCommand(w world) *cobra.Command {
	var p pacing
	var o output
	c := &cobra.Command{
		Use: "wait rollout/ID|request/ID...", Short: "wait until rollouts or requests have come to their end",
		Long: `
Follows rollouts and requests in the journal until they have come to their end,
and exits with

  0    all completed: every desktop is completed, or skipped as the rules want it
  3    ended, and some desktop failed or was refused
  4    halted, aborted or superseded
  5    timed out: not ended within --timeout, or never begun

One that halted counts as ended: it stands still until somebody says go on. What
is not in the journal yet is waited for, and that is said; what cannot come is an
error at once: an id that nothing can have, or a rollout over a fleet that neither
fleets.yaml nor the journal knows.`,
		Example: `  regild wait rollout/2026.11.3/office --timeout 12h
  regild wait request/ticket-4711 -o json`,
	}
	s := newSettings(w, c, forJournal, []string{"fleets"})
	p.define(c, endWithin, "give up after this `time`")
	o.define(c)
	c.ValidArgsFunction = s.completeOperations(operator.Rollout, operator.Request)
	c.RunE = func(c *cobra.Command, args []string) error {
		given, rest := journalAndName(args)
		if len(rest) == 0 {
			return usageError{errors.New("name what to wait for: rollout/ID or request/ID")}
		}
		names, err := splitNames(rest)
		if err != nil {
			return err
		}
		return s.waitFor(c.Context(), given, names, &p, &o)
	}
	return c
}

// waitFor follows operations to the end and shows what became of them.
func (s *settings) waitFor(ctx context.Context, given string, names []name, p *pacing, o *output) error {
	if err := p.check(); err != nil {
		return err
	}
	for _, n := range names {
		if why := n.fault(); why != "" {
			return usageError{fmt.Errorf("%s cannot come: %s", n, why)}
		}
	}
	at, err := s.open(given)
	if err != nil {
		return err
	}
	for _, n := range names {
		if why, err := n.neverComes(ctx, at.store, cmp.Or(at.conf.Fleets, defaultFleets)); err != nil || why != "" {
			return cmp.Or(err, fmt.Errorf("%s cannot come: %s", n, why))
		}
	}
	return s.waitIn(ctx, at, names, p, o)
}

// fault says why nothing can have the id, or "".
func (n name) fault() string {
	if n.kind == operator.Rollout {
		if !pattern.Rollout.Matches(n.id) {
			return "the id of a rollout is RELEASE/FLEET, such as 2026.11.3/office"
		}
		return ""
	}
	if why := events.CheckRequestID(rollout.Unmarked(strings.TrimSuffix(n.id, rollout.BackOf("")))); why != "" {
		return "the id of the request " + why
	}
	return ""
}

// neverComes says why a rollout that is not in the journal will not come, as far as the
// fleets file at the path and the journal tell, or "".
func (n name) neverComes(ctx context.Context, store journal.Store, path string) (string, error) {
	_, fleet, is := rollout.SplitID(n.id)
	fleets, err := readFleets(path)
	if n.kind != operator.Rollout || !is || err != nil { // without the file any fleet may come
		return "", nil
	}
	if _, declared := fleets.Named(fleet); declared {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	had, err := operator.Enrolled(ctx, store, fleet)
	if err != nil || len(had) > 0 {
		return "", err
	}
	if _, _, err = operator.Read(ctx, store, n.kind, n.id); err == nil {
		return "", nil
	} else if _, unknown := errors.AsType[*operator.UnknownError](err); !unknown {
		return "", err
	}
	return fmt.Sprintf("%s declares no fleet %s, and the journal knows no rollout of one", path, fleet), nil
}

func (s *settings) waitIn(ctx context.Context, at installation, names []name, p *pacing, o *output) error {
	operations, end := toTheEnd(ctx, s, at, names, p)
	l := operator.Listing{Operations: slices.DeleteFunc(operations, func(x operator.Operation) bool { return x.ID == "" })}
	err := o.show(s.w, l, func() (out []string) {
		for _, x := range l.Operations {
			out = append(out, shown(x.Kind+"/"+x.ID+"  "+inBrief(x, at.zone)))
		}
		return out
	})
	return cmp.Or(err, end)
}
