package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/deploy"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/pace"
)

func stopCommand(w world) *cobra.Command {
	at := accountFlags{lenient: true}
	c := &cobra.Command{
		Use: "stop", Short: "turn every invocation of the function away, at once", Args: noArgs,
		Long: `
The kill switch: sets the function's reserved concurrency to 0 by Function
Compute's own API, so that every invocation is turned away; and that of the
function which requests have to themselves, where there is one. Rebuilds that ECD has
accepted go on. What is turned away is offered again, or goes to the dead-letter
queue: docs/runbook.md, "Stop everything". It needs the right
fc:PutConcurrencyConfig and nothing else; --show needs fc:GetConcurrencyConfig.
Where Function Compute cannot be reached it says so at once, and goes on trying
for a minute.`,
	}
	at.define(c.Flags())
	c.Flags().StringVar(&at.name, "function", "", "the function's `name`; by default REGILD_NAME, or regild")
	show := c.Flags().Bool("show", false, "change nothing; print stopped, running or absent")
	c.RunE = func(c *cobra.Command, _ []string) error { return runStop(c.Context(), w, &at, *show) }
	return c
}

func startCommand(w world) *cobra.Command {
	var at accountFlags
	c := &cobra.Command{
		Use: "start", Short: "let invocations of the function in again", Args: noArgs,
		Long: `
Undoes regild stop: sets the function's reserved concurrency to --concurrency, or
to what s.yaml says, also of the function which requests have to themselves, where
there is one. It needs the right fc:PutConcurrencyConfig and nothing else.`,
	}
	at.define(c.Flags())
	c.Flags().StringVar(&at.name, "function", "", "the function's `name`; by default REGILD_NAME, or regild")
	n := c.Flags().Int("concurrency", 0, "let this `number` of invocations in at once; by default what s.yaml says")
	c.RunE = func(c *cobra.Command, _ []string) error { return runStart(c.Context(), w, &at, *n) }
	return c
}

const (
	// reserved is the reservedConcurrency of the s.yaml that this build came
	// with, for a machine without the sources. A test compares the two.
	reserved = 10
	// switchLimit bounds stop and start, with all repetitions.
	switchLimit = time.Minute
)

func runStop(ctx context.Context, w world, at *accountFlags, show bool) error {
	ctx, cancel := context.WithTimeout(ctx, switchLimit)
	defer cancel()
	if show {
		return showSwitch(ctx, w, at)
	}
	names, err := at.turn(ctx, w, 0)
	for _, name := range names {
		say(w.out, "%s in %s is stopped: every invocation is turned away; what ECD has accepted goes on\n", name, at.region)
	}
	return err
}

func showSwitch(ctx context.Context, w world, at *accountFlags) error {
	ctx, _ = pace.WithReach(ctx)
	client, err := at.ready(ctx, w)
	if err != nil {
		return err
	}
	n, set, err := client.Concurrency(ctx, at.name)
	switch {
	case acs.Code(err) == "FunctionNotFound":
		say(w.out, "absent\n")
	case err != nil:
		return acs.Plain(err)
	case set && n == 0:
		say(w.out, "stopped\n")
	default:
		say(w.out, "running\n")
	}
	return nil
}

func runStart(ctx context.Context, w world, at *accountFlags, n int) error {
	if n < 0 {
		return usageError{fmt.Errorf("--concurrency is %d; 1 is the least", n)}
	}
	if n == 0 {
		n = declared("s.yaml")
	}
	ctx, cancel := context.WithTimeout(ctx, switchLimit)
	defer cancel()
	names, err := at.turn(ctx, w, n)
	for _, name := range names {
		say(w.out, "%s in %s is started: up to %d invocations at once\n", name, at.region, n)
	}
	return err
}

// turn sets the switch. Where Function Compute cannot be reached it says so at once, and
// then tries as long as ctx lasts.
func (f *accountFlags) turn(ctx context.Context, w world, n int) (done []string, err error) {
	client, _, err := f.open(w)
	if err != nil {
		return nil, err
	}
	err = untilReached(ctx, func(err error) {
		say(w.err, "%s\nit is tried again, for at most %s\n", escape.Lines(err.Error()), span(switchLimit))
	}, func(ctx context.Context) error {
		err := f.known(ctx, client)
		if err == nil {
			done, err = setConcurrency(ctx, client, f, n)
		}
		return err
	})
	return done, err
}

// untilReached tries, and tells once that what is called cannot be reached. It then tries
// as long as ctx lasts: one try with all its repetitions is over after 20 seconds or so.
func untilReached(ctx context.Context, tell func(error), try func(context.Context) error) error {
	for told := false; ; told = true {
		soon, _ := pace.WithReach(ctx)
		err := try(soon)
		if !errors.Is(err, pace.ErrUnreached) {
			return err
		}
		if !told {
			tell(err)
		}
		if err = try(ctx); desktop.DeliveryOf(err) != desktop.NotSent || ctx.Err() != nil {
			return err
		}
	}
}

// setConcurrency sets that of the function, and of the one that requests have to
// themselves where there is one. It returns those whose was set.
func setConcurrency(ctx context.Context, client *acs.Client, at *accountFlags, n int) (done []string, err error) {
	var faults []error
	for _, name := range []string{at.name, at.name + deploy.Requests} {
		err := client.SetConcurrency(ctx, name, n)
		switch {
		case err == nil:
			done = append(done, name)
		case errors.Is(err, pace.ErrUnreached): // nor is the other one then
			return done, switchError(err, name, at.region)
		case name == at.name || acs.Code(err) != "FunctionNotFound":
			faults = append(faults, switchError(err, name, at.region))
		}
	}
	return done, errors.Join(faults...)
}

// declared returns the reserved concurrency of an s.yaml, or the built-in one.
func declared(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return reserved
	}
	match := regexp.MustCompile(`(?m)^ *reservedConcurrency: *([0-9]+)`).FindSubmatch(text)
	if match == nil {
		return reserved
	}
	n, err := strconv.Atoi(string(match[1]))
	if err != nil || n == 0 {
		return reserved
	}
	return n
}

func switchError(err error, name, region string) error {
	if acs.Code(err) == "FunctionNotFound" {
		return fmt.Errorf("there is no function %s in %s: is the region right?", name, region)
	}
	return fmt.Errorf("function %s: %w", name, acs.Plain(err))
}
