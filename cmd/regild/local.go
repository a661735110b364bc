package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/operator"
)

func localCommand(w world) *cobra.Command {
	var f localFlags
	c := &cobra.Command{
		Use: "local", Short: "run the function against a cloud on this machine, and watch",
		Long: `
Starts Function Compute, Elastic Desktop Service, Message Service and Object
Storage on loopback, runs the real function in them, sends it messages and shows
what becomes of each desktop. Nothing leaves the machine and no account is
needed. At the end it holds what it saw against regild's promise: every desktop
has exactly one final outcome, and none was wiped twice for one request.

Without --event it plays a show of half a minute: a batch of requests with a
broken one among them, then the release of an image over a fleet, in waves, with
a maintenance window, people who are told before, somebody who works late and a
rebuild that fails; and of a bad one over another fleet, where somebody says not
now, and which goes back by itself.

An --event file holds what a trigger delivers (a CloudEvent, or an array of
them; controls and releases must be one), which the function is invoked with, or
the body of a message (a request), which is put on the request queue. Its cloud is a made-up one of
some eighty desktops unless --cloud says otherwise, and its fleets are those of
./fleets.yaml if there is one.

Time in the cloud runs fast, and faster still while everything waits.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runLocal(c.Context(), w, &f) },
	}
	f.define(c.Flags())
	return c
}

// localFlags are what regild local was asked for.
type localFlags struct {
	flags    *pflag.FlagSet
	events   []string
	cloud    string
	fleets   string
	function string
	journal  string
	log      string
	rate     float64
	limit    time.Duration
	plain    bool
	serve    bool
}

// stateRate is the --rate that leaves the rate to the state.
const stateRate = -1

func (f *localFlags) define(fs *pflag.FlagSet) {
	f.flags = fs
	fs.StringArrayVar(&f.events, "event", nil, "send what is in this `file`; may be given several times")
	fs.StringVar(&f.cloud, "cloud", "", "start from the desktops and images in this state `file` (YAML)")
	fs.StringVar(&f.fleets, "fleets", "", "give the function this `file` as its fleets.yaml")
	fs.StringVar(&f.function, "function", defaultFunction, "run this `binary`; by default "+defaultFunction+", built first if it is not there")
	fs.StringVar(&f.journal, "journal", "", "keep the journal at this `URL` (file:///dir), or none;\nby default in the local cloud's own Object Storage")
	fs.StringVar(&f.log, "log", "", "write the function's log to this `file`")
	fs.Float64Var(&f.rate, "rate", stateRate, "let so many cloud `seconds` pass in one; 0 stands still but for jumps\nover waits; by default as the state says")
	fs.Lookup("rate").DefValue = "0" // not shown
	fs.DurationVar(&f.limit, "limit", 10*time.Minute, "give up after this `time` on this machine's clock")
	fs.BoolVar(&f.plain, "plain", false, "write plain lines, also on a terminal")
	fs.BoolVar(&f.serve, "serve", false, "keep the cloud running until Ctrl-C, and say how to reach it")
}

func runLocal(ctx context.Context, w world, f *localFlags) error {
	if f.rated() && f.rate < 0 {
		return usageError{fmt.Errorf("--rate is %v; the clock does not run backwards", f.rate)}
	}
	p, err := f.scenario(ctx, w)
	if err != nil {
		return err
	}
	defer p.clean()
	s, err := p.start(ctx)
	if err != nil {
		return err
	}
	if f.serve {
		return s.serve(ctx, w, p)
	}
	return s.run(ctx, w, f, p)
}

// rated says whether --rate was given.
func (f *localFlags) rated() bool { return f.flags.Changed("rate") }

// A scenario is all that a session consists of: the cloud, the function and what is sent.
type scenario struct {
	state      localcloud.State
	fleets     fleet.Fleets
	fleetsPath string
	function   string
	journal    string
	steps      []step
	log        *tail
	rate       float64
	tidy       []func() error
}

// clean removes what was made for the scenario.
func (p *scenario) clean() {
	for _, f := range p.tidy {
		_ = f()
	}
}

// scenario reads all that the flags name.
func (f *localFlags) scenario(ctx context.Context, w world) (_ *scenario, err error) {
	p := &scenario{journal: f.journal, log: &tail{}}
	defer func() {
		if err != nil {
			p.clean()
		}
	}()
	if p.state, err = f.state(); err != nil {
		return nil, err
	}
	if f.serve {
		p.state = withOutcomes(p.state)
	}
	if err := f.readFleets(p); err != nil {
		return nil, err
	}
	switch {
	case len(f.events) > 0:
		p.steps, err = stepsOf(f.events)
	case !f.serve:
		p.steps, err = showSteps()
	}
	if err != nil {
		return nil, err
	}
	p.rate = 60
	if r := p.state.Clock.Rate; r != nil {
		p.rate = *r
	}
	if f.rated() {
		p.rate = f.rate
	}
	p.state.Clock.Rate = &p.rate
	if f.log != "" {
		file, err := os.Create(f.log)
		if err != nil {
			return nil, fmt.Errorf("opening the file for the function's log: %w", err)
		}
		p.log.also = file
		p.tidy = append(p.tidy, file.Close)
	}
	p.function, err = findFunction(ctx, w, f.function)
	return p, err
}

// ours says whether the show's own cloud and fleets are wanted.
func (f *localFlags) ours() bool { return len(f.events) == 0 && !f.serve }

func (f *localFlags) state() (localcloud.State, error) {
	switch {
	case f.cloud != "":
		return localcloud.Load(f.cloud)
	case f.ours():
		return showState()
	}
	return localcloud.Default(), nil
}

// readFleets finds the file that the function reads, and reads it too: the
// display speaks of its windows and waves.
func (f *localFlags) readFleets(p *scenario) error {
	path := f.fleets
	if path == "" && f.ours() {
		temporary, err := showFleets()
		if err != nil {
			return err
		}
		p.tidy = append(p.tidy, func() error { return os.RemoveAll(filepath.Dir(temporary)) })
		path = temporary
	}
	if path == "" {
		if _, err := os.Stat("fleets.yaml"); err != nil {
			return nil
		}
		path = "fleets.yaml"
	}
	var err error
	if p.fleets, err = readFleets(path); err != nil {
		return err
	}
	p.fleetsPath, err = filepath.Abs(path)
	return err
}

// readFleets reads a fleets.yaml. The error names every fault of it.
func readFleets(path string) (fleet.Fleets, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s; name another with --fleets", path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading fleets: %w", err)
	}
	return fleet.Parse(path, data)
}

// start starts the cloud and the function in it.
func (p *scenario) start(ctx context.Context) (*session, error) {
	s := &session{scenario: p, began: time.Now(), zone: zoneOf(p.fleets)}
	s.invoker = &invoker{hurry: func() {
		if s.pacer != nil {
			s.pacer.normal()
		}
	}}
	s.watch = newWatcher(nil)
	env := []string{"REGILD_REGIONS=" + strings.Join(regionsOf(p.state), ","), "REGILD_LOG_LEVEL=info"}
	if p.fleetsPath != "" {
		env = append(env, "REGILD_FLEETS="+p.fleetsPath)
	}
	cloud, err := localcloud.Start(ctx, localcloud.Options{
		State:    p.state,
		Function: fc.Function{Path: p.function, Region: serveRegion, AccountID: serveAccount, Initializer: true, PreStop: true, Stdout: p.log},
		Invoker:  s.invoker,
		Stream:   func(o *bridge.Options) { o.Observe = s.invoker.settled },
		Journal:  p.journal,
		Env:      env,
	})
	if err != nil {
		return nil, err
	}
	s.cloud, s.invoker.host = cloud, cloud.FC
	s.pacer = &pacer{clock: cloud.Clock, base: p.rate}
	cloud.MNS.Watch(localcloud.ResultTopic, func(m mns.Publication) { s.watch.watch(m) })
	s.fold = &folder{got: map[string]*operator.Follower{}}
	if p.journal == "" {
		s.fold.from = bucket{cloud}
	} else if p.journal != localcloud.NoJournal {
		store, err := openJournal(world{lookup: os.LookupEnv}, p.journal, defaultRegion, "")
		if err != nil {
			return nil, errors.Join(err, cloud.Close())
		}
		s.fold.from = store
	}
	return s, nil
}

// regionsOf returns the regions in which a state has something.
func regionsOf(s localcloud.State) []string {
	in := map[string]bool{"cn-hangzhou": true}
	for _, d := range s.Desktops {
		in[d.RegionID] = true
	}
	for _, i := range s.Images {
		if i.RegionID != "" {
			in[i.RegionID] = true
		}
	}
	return slices.Sorted(maps.Keys(in))
}

// zoneOf returns the time zone that the fleets' windows are in, if it is one,
// and otherwise UTC: times are shown as people wrote them.
func zoneOf(fleets fleet.Fleets) *time.Location {
	var zone *time.Location
	for _, f := range fleets {
		for _, w := range f.Strategy.Windows {
			if zone != nil && zone.String() != w.Zone.String() {
				return time.UTC
			}
			zone = w.Zone
		}
	}
	if zone == nil {
		return time.UTC
	}
	return zone
}
