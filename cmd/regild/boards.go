package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// watchFlags are those of the commands that watch.
type watchFlags struct {
	*settings
	plain  bool
	pacing pacing
}

func (x *watchFlags) define(w world, c *cobra.Command) {
	x.settings = newSettings(w, c, forJournal, []string{"fleets"})
	c.Flags().BoolVar(&x.plain, "plain", false, "write plain lines, also on a terminal")
	x.pacing.define(c, endWithin, "watch for this `long` at the most")
}

func watchCommand(w world) *cobra.Command {
	x := &watchFlags{}
	c := &cobra.Command{
		Use: "watch [rollout/ID|request/ID]...", Short: "watch rollouts and requests, live",
		Long: `
Draws what regild local draws, from the real journal: each wave of each rollout
desktop by desktop, why one stands still and until when, and what happened last.
Times are in the time zone of the settings, which the first line names. Where
there is no terminal (or with --plain) it writes a line for each thing that
happens.

Named operations are watched until all have ended; without names, whatever is open is
watched until q or Ctrl-C.`,
	}
	x.define(w, c)
	c.ValidArgsFunction = x.completeOperations(operator.Rollout, operator.Request)
	c.RunE = func(c *cobra.Command, args []string) error {
		given, rest := journalAndName(args)
		names, err := splitNames(rest)
		if err != nil {
			return err
		}
		return x.run(c.Context(), given, names)
	}
	return c
}

func operationWatchCommand(w world, kind string) *cobra.Command {
	x := &watchFlags{}
	c := &cobra.Command{
		Use: "watch ID", Short: "watch a " + kind + ", live",
		Long: "Draws the " + kind + " from the journal until it has ended, as regild watch does.",
	}
	x.define(w, c)
	return x.forID(c, kind, func(c *cobra.Command, id string) error { return x.run(c.Context(), "", []name{{kind, id}}) })
}

// A watchList is what is being watched.
type watchList struct {
	store     journal.Store
	zone      *time.Location
	fleets    fleet.Fleets // say how large the waves to come will be; nil: not known
	pacing    *pacing
	all       bool // whatever is open, and not what was named
	followers []*operator.Follower
	names     []name
	newest    []line
	told      func(line) // nil: nobody
	began     time.Time
	now       func() time.Time
	failed    error // the last search
	ended     map[string]int64
}

// keptLines is how many lines are kept for the board: more than a terminal shows.
const keptLines = 500

func (x *watchFlags) run(ctx context.Context, given string, names []name) error {
	if err := x.pacing.check(); err != nil {
		return err
	}
	at, err := x.open(given)
	if err != nil {
		return err
	}
	g := &watchList{store: at.store, zone: at.zone, fleets: fleetsAtHand(at.conf), pacing: &x.pacing, all: len(names) == 0, began: time.Now(),
		now: x.w.clock(), ended: map[string]int64{}}
	for _, n := range names {
		state, _, err := operator.Read(ctx, at.store, n.kind, n.id)
		if err != nil {
			return err
		}
		g.follow(name{n.kind, state.Operation.ID})
	}
	if g.all {
		if err := g.find(ctx); err != nil {
			return err
		}
	}
	return g.watch(ctx, newDisplay(x.w, x.plain))
}

func (g *watchList) follow(n name) {
	g.names = append(g.names, n)
	g.followers = append(g.followers, operator.Follow(retrying{g.store, g.pacing}, n.kind, n.id))
}

// find looks for operations that are open and not watched yet, the oldest first.
func (g *watchList) find(ctx context.Context) error {
	l, err := operator.List(ctx, g.store, operator.Query{Kinds: []string{operator.Rollout, operator.Request}, Readers: bucketReaders, Most: bucketMost,
		Over: g.ended})
	if err != nil {
		return err
	}
	slices.Reverse(l.Operations)
	for _, o := range l.Operations {
		if n := (name{o.Kind, o.ID}); !slices.Contains(g.names, n) {
			g.follow(n)
		}
	}
	return nil
}

// findEvery is how often operations are looked for that were opened meanwhile, in
// looks at those that are known.
const findEvery = 15

func (g *watchList) watch(ctx context.Context, st *display) error {
	quitting, quit := context.WithCancelCause(ctx)
	defer quit(nil)
	bounded, cancel := g.pacing.within(quitting)
	defer cancel()
	if !st.live {
		t := table{zone: g.zone, palette: palette{st.colour}}
		say(st.w.out, "times are those of %s\n%s\n", zoneName(g.zone), t.head())
		g.told = func(l line) { say(st.w.out, "%s\n", strings.TrimRight(t.row(l), " ")) }
		if len(g.names) == 0 {
			say(st.w.err, "nothing is open yet; what opens is shown\n")
		}
	}
	st.take(quitting, quit)
	defer st.leave()
	err := g.loop(bounded, st)
	if st.live {
		st.leave()
		st.last(g.board(0))
	}
	switch {
	case err == nil:
		return nil
	case quitting.Err() != nil && g.all: // q and Ctrl-C are how one ends it
		return nil
	case ctx.Err() == nil && quitting.Err() != nil && !errors.Is(context.Cause(quitting), errInterrupted): // q
		return nil
	}
	open := func(f *operator.Follower) bool { return f.State.Open() }
	if g.all && !slices.ContainsFunc(g.followers, open) {
		return g.pacing.outcomeOf(bounded, err, "nothing is open, and nothing more was opened")
	}
	return g.pacing.outcomeOf(bounded, err, "not all has ended")
}

func (g *watchList) loop(ctx context.Context, st *display) error {
	for n := 1; ; n++ {
		if g.all && n%findEvery == 0 {
			g.failed = g.find(ctx)
		}
		open, err := g.look(ctx)
		if err != nil {
			return err
		}
		if st.screen != nil {
			st.paint(g.board)
		}
		if open == 0 && !g.all {
			return nil
		}
		if err := g.pause(ctx, st); err != nil {
			return err
		}
	}
}

// pause waits for the next look. On a terminal the clock of the picture goes on.
func (g *watchList) pause(ctx context.Context, st *display) error {
	until := time.Now().Add(g.pacing.interval)
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		step := pacing{interval: left}
		if st.screen != nil {
			step.interval = min(left, time.Second)
		}
		if err := step.wait(ctx); err != nil {
			return err
		}
		if st.screen != nil {
			st.paint(g.board)
		}
	}
}

// look reads what is new and says how many operations are open.
func (g *watchList) look(ctx context.Context) (open int, err error) {
	for _, f := range g.followers {
		if f.State.Closed && f.State.Quiet() {
			continue
		}
		if _, err := f.Each(ctx, func(r rollout.Record) {
			for _, l := range linesOf(f.State, r) {
				g.newest = append(g.newest, l)
				if g.told != nil {
					g.told(l)
				}
			}
		}); err != nil {
			return 0, err
		}
		g.newest = g.newest[max(0, len(g.newest)-keptLines):]
		if f.State.Open() {
			open++
		}
	}
	return open, nil
}

// board is what is to be seen now.
func (g *watchList) board(height int) board {
	b := board{now: g.now(), zone: g.zone, real: time.Since(g.began), watched: true, newest: g.newest[max(0, len(g.newest)-height):]}
	for _, f := range g.followers {
		if f.State.Operation != nil {
			b.add(panelOf(f.State, g.fleets, g.zone))
		}
	}
	switch {
	case g.failed != nil && !errors.Is(g.failed, context.Canceled):
		b.title = "the journal could not be listed: " + shown(g.failed.Error())
	case len(b.panels) == 0:
		b.title = "nothing is open"
	}
	return b
}
