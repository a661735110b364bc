package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	ecdclient "github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/rollout"
)

func planCommand(w world) *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use: "plan --image ID --fleet NAME", Short: "show who would be in which wave of a release",
		Long: `
Shows how the release of an image would go over a fleet: the waves, who is in
each and why somebody is left out, the calls and the time to expect.

With --live it asks the real Elastic Desktop Service who is in the fleet today
and on which image; it only reads (DescribeDesktops, DescribeImages,
ListTagResources, and DescribeSnapshots where the fleet keeps some). Otherwise desktops and images are those of a state file, as
regild local takes it, and nothing is asked of the real cloud. A release with
dryRun has the function publish the same plan.

With --diff it shows what is other than in the last rollout of the fleet: who
came, who left, who is in another wave, and for whom another end is to be
expected.`,
		Args: noArgs,
	}
	s := newSettings(w, c, forJournal, forECD)
	fs := c.Flags()
	fs.StringVar(&f.cloud, "cloud", "", "desktops and images are in this state `file`; by default those that\nregild local makes up for an --event")
	fs.BoolVar(&f.live, "live", false, "ask the real ECD, which is only read")
	fs.StringVar(&f.image, "image", "", "the `id` of the image that is released")
	fs.StringVar(&f.name, "fleet", "", "the `name` of the fleet")
	fs.StringVar(&f.release, "release", "plan", "the `id` of the release")
	fs.Var(&f.at, "at", "plan as of this `time` (RFC 3339); by default the state's, or now")
	fs.BoolVar(&f.diff, "diff", false, "show only what differs from the last rollout of the fleet in the journal")
	f.out.define(c)
	mustRegister(c, "fleet", offering(s.completeFleets))
	c.RunE = func(c *cobra.Command, _ []string) error { return runPlan(c.Context(), s, &f) }
	return c
}

type planFlags struct {
	cloud, image, name, release string
	at                          moment
	live, diff                  bool
	out                         output
}

// A planDoc is what regild plan shows.
type planDoc struct {
	Plan events.Plan    `json:"plan"`
	Diff *operator.Diff `json:"diff,omitempty"`
}

func runPlan(ctx context.Context, s *settings, f *planFlags) error {
	switch {
	case f.image == "" || f.name == "":
		return usageError{errors.New("--image and --fleet are needed")}
	case f.live && f.cloud != "":
		return usageError{errors.New("--live and --cloud exclude each other")}
	}
	ctx, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	conf, err := s.load()
	if err != nil {
		return err
	}
	fleets, err := readFleets(cmp.Or(conf.Fleets, defaultFleets))
	if err != nil {
		return err
	}
	var doc planDoc
	if f.live {
		doc.Plan, err = livePlan(ctx, s, conf, fleets, f)
	} else {
		doc.Plan, err = statePlan(ctx, fleets, f)
	}
	if err != nil {
		return err
	}
	if doc.Plan.Page == 0 { // it is shown whole
		doc.Plan.Page, doc.Plan.Pages = 1, 1
	}
	if !f.diff {
		return f.out.show(s.w, doc, func() []string { return planLines(doc.Plan) })
	}
	at, err := s.open("")
	if err != nil {
		return err
	}
	last, err := lastRollout(ctx, at.store, f.name)
	if err != nil {
		return err
	}
	diff := operator.DiffOf(doc.Plan, last)
	doc.Diff = &diff
	return f.out.show(s.w, doc, func() []string { return diffLines(diff) })
}

// liveLimit bounds the questions to ECD: a fleet of 20,000 takes some hundred
// calls, and ECD may ask to slow down.
const liveLimit = 10 * time.Minute

func livePlan(ctx context.Context, s *settings, conf operator.Config, fleets fleet.Fleets, f *planFlags) (events.Plan, error) {
	of, err := operator.FleetNamed(fleets, f.name)
	if err != nil {
		return events.Plan{}, err
	}
	ctx, _ = pace.WithReach(ctx) // who has no network is told so at once
	client, err := s.desktopsOf(ctx, conf, of.Account)
	if err != nil {
		return events.Plan{}, err
	}
	return operator.PlanLive(ctx, client, fleets, operator.Release{ID: f.release, ImageID: f.image, Fleet: f.name}, f.at.or(s.w.clock()()))
}

// desktops returns a client of ECD, as something that only reads.
func (s *settings) desktops(conf operator.Config) (operator.ECD, error) {
	return ecdclient.New(ecdclient.Config{Endpoint: conf.ECDEndpoint, Keys: s.w.keys})
}

// desktopsOf is desktops in an account: in another than the function's own, by the role
// that the function assumes there, if it trusts who asks here too.
func (s *settings) desktopsOf(ctx context.Context, conf operator.Config, a fleet.Account) (operator.ECD, error) {
	if a.ID == "" {
		return s.desktops(conf)
	}
	sts, err := acs.New(acs.Config{Region: cmp.Or(conf.Region, a.Regions[0]), Endpoint: s.w.env("REGILD_STS_ENDPOINT"), Keys: s.w.keys})
	if err != nil {
		return nil, err
	}
	source, err := lookInto(ctx, sts, a, "regild-operator")
	if err != nil {
		return nil, fmt.Errorf("account %s (%s) can be read by whom its role trusts (docs/ram.md, Other accounts): %w", a.Name, a.ID, err)
	}
	return ecdclient.New(ecdclient.Config{Endpoint: conf.ECDEndpoint, Keys: source})
}

// statePlan plans against the desktops and images of a state file.
func statePlan(ctx context.Context, fleets fleet.Fleets, f *planFlags) (events.Plan, error) {
	state := localcloud.Default()
	if f.cloud != "" {
		var err error
		if state, err = localcloud.Load(f.cloud); err != nil {
			return events.Plan{}, err
		}
	}
	now := time.Now()
	if !state.Clock.Start.IsZero() {
		now = state.Clock.Start
	}
	return preview(ctx, fleets, state, operator.Release{ID: f.release, ImageID: f.image, Fleet: f.name}, f.at.or(now))
}

// preview plans a release against the Elastic Desktop Service of a state, whose
// time stands still.
func preview(ctx context.Context, fleets fleet.Fleets, state localcloud.State, r operator.Release, now time.Time) (events.Plan, error) {
	of, err := operator.FleetNamed(fleets, r.Fleet)
	if err != nil {
		return events.Plan{}, err
	}
	for _, a := range state.Accounts {
		if a.ID == of.Account.ID {
			state.State = a.State
		}
	}
	still := 0.0
	cloud, err := localcloud.Start(ctx, localcloud.Options{Empty: true,
		State: localcloud.State{State: state.State, Clock: localcloud.Clock{Start: state.Clock.Start, Rate: &still}}})
	if err != nil {
		return events.Plan{}, err
	}
	defer func() { _ = cloud.Close() }()
	keys := credentials.Keys(cloud.Keys())
	client, err := ecdclient.New(ecdclient.Config{Endpoint: cloud.ECDURL, Keys: func(context.Context) (credentials.Keys, error) { return keys, nil }})
	if err != nil {
		return events.Plan{}, err
	}
	return operator.PlanLive(ctx, client, fleets, r, now)
}

// lastRollout returns the last rollout of a fleet whose journal is there.
func lastRollout(ctx context.Context, store journal.Store, fleet string) (*rollout.State, error) {
	ids, err := operator.Enrolled(ctx, store, fleet)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(ids) {
		last, _, err := operator.Read(ctx, store, operator.Rollout, id)
		if _, unknown := errors.AsType[*operator.UnknownError](err); !unknown {
			return last, err
		}
	}
	return nil, fmt.Errorf("the journal has no rollout of fleet %s to compare with", fleet)
}

// diffLines shows a plan beside the last rollout.
func diffLines(d operator.Diff) []string {
	out := []string{shown("beside " + d.Against + ":")}
	if len(d.Added)+len(d.Gone)+len(d.Changed) == 0 {
		return append(out, "  everybody is where they were")
	}
	was := func(x operator.Differ) string {
		return fmt.Sprintf("was in wave %d, %s", x.WasWave, joined(" ", cmp.Or(x.WasState, "not begun"), x.WasCode))
	}
	is := func(x operator.Differ) string {
		return fmt.Sprintf("is in wave %d, %s", x.IsWave, joined(" ", x.IsAction, x.IsCode))
	}
	for _, x := range d.Added {
		out = append(out, shown("+ "+pad(x.ID, desktopColumn)+" "+is(x)))
	}
	for _, x := range d.Gone {
		out = append(out, shown("- "+pad(x.ID, desktopColumn)+" "+was(x)))
	}
	for _, x := range d.Changed {
		out = append(out, shown("~ "+pad(x.ID, desktopColumn)+" "+was(x)+"; "+is(x)))
	}
	out = append(out, "", fmt.Sprintf("%d came, %d left, %d changed", len(d.Added), len(d.Gone), len(d.Changed)))
	if d.Unnamed > 0 {
		out = append(out, shown(fmt.Sprintf("%s of %s whose wave has not begun are not named in its journal: they count as having come",
			operator.Count(d.Unnamed, "desktop"), d.Against)))
	}
	return out
}

// planLines shows a plan.
func planLines(p events.Plan) []string {
	out := []string{fmt.Sprintf("%s: image %s over fleet %s in %s", p.RolloutID, p.ImageID, p.Fleet, desktop.Place{Account: p.AccountID, Region: p.RegionID})}
	next := 1
	for _, wave := range p.Waves {
		for ; next < wave.N; next++ {
			out = append(out, "", fmt.Sprintf("wave %d: nobody", next))
		}
		next++
		title := fmt.Sprintf("wave %d", wave.N)
		if wave.Name != title {
			title += " (" + wave.Name + ")"
		}
		out = append(out, "", title+", "+operator.Count(len(wave.Desktops), "desktop"))
		for _, d := range wave.Desktops {
			text := "  " + pad(d.ID, desktopColumn) + " " + pad(d.Action, 8) + " " + pad(d.From, 22)
			if d.Code != "" {
				text += " " + pad(d.Code, codeColumn) + " " + escape.Terminal(d.Message)
			}
			out = append(out, strings.TrimRight(text, " "))
		}
	}
	if len(p.Waves) == 0 {
		out = append(out, "", "the fleet has no desktop")
	}
	var calls []string
	for _, name := range sorted(p.Calls) {
		calls = append(calls, fmt.Sprintf("%s %d", name, p.Calls[name]))
	}
	if len(p.Gates) > 0 {
		out = append(out, "")
	}
	for _, g := range p.Gates {
		out = append(out, "note      "+escape.Terminal(g))
	}
	return append(out, "", "calls     "+strings.Join(calls, ", "), "expected  "+span(time.Duration(p.ExpectedSeconds)*time.Second), "digest    "+p.PlanDigest)
}
