package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/operator"
)

func checkCommand(w world) *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use: "check [fleets.yaml]", Short: "explain a fleets.yaml, or say what is wrong with it",
		Long: `
Reads a fleets.yaml (by default that of the settings, or the one in this
directory) as the function would and says what it means: who follows which image,
how a release goes over a fleet of a given size, and when rebuilds may begin. If
the file is at fault it names every fault with its line and column, and exits 1.
It warns of what is wide open.

With --live it asks the real Elastic Desktop Service, which it only reads: how
many desktops are in each fleet today, on which image they are, who is in no
fleet, and what the waves of the real size are.`,
	}
	s := newSettings(w, c, forECD)
	c.Flags().IntVar(&f.size, "desktops", 100, "show the waves of a fleet of this `size`")
	c.Flags().Var(&f.at, "at", "explain the windows as of this `time` (RFC 3339); by default now")
	c.Flags().BoolVar(&f.live, "live", false, "ask the real ECD who is in each fleet today; it is only read")
	c.Flags().BoolVar(&f.deploy, "deploy", false, "say less, and fail if a fleet is one of the example's")
	f.out.define(c)
	c.RunE = func(c *cobra.Command, args []string) error { return runCheck(c.Context(), s, &f, args) }
	return c
}

type checkFlags struct {
	size int
	at   moment
	live bool
	out  output

	deploy bool
}

// A checkDoc is what regild check shows.
type checkDoc struct {
	Path   string         `json:"path"`
	Fleets []checkedFleet `json:"fleets"`
	// InNoFleet has by region (and account, if that is not the function's own) how many desktops belong to no fleet; with --live.
	InNoFleet map[string]int `json:"inNoFleet,omitempty"`
}

type checkedFleet struct {
	Name      string         `json:"name"`
	AccountID string         `json:"accountId,omitempty"` // "": the function's own
	RegionID  string         `json:"regionId"`
	Desktops  int            `json:"desktops"`         // in the fleet today with --live, else as many as were assumed
	Live      bool           `json:"live"`             // ECD was asked
	Images    map[string]int `json:"images,omitempty"` // with --live: desktops by the image that they are on
	Waves     []int          `json:"waves"`            // how many desktops each has
	Open      bool           `json:"open"`             // rebuilds may begin at the time that was asked for
	Until     *time.Time     `json:"until,omitempty"`  // when that changes

	fleet  fleet.Fleet
	at     time.Time
	tagged int
}

func runCheck(ctx context.Context, s *settings, f *checkFlags, args []string) error {
	if f.size < 1 || f.size > fleet.MaxCount {
		return usageError{fmt.Errorf("--desktops is %d; a fleet has 1 to %d", f.size, fleet.MaxCount)}
	}
	conf, err := s.load()
	if err != nil {
		return err
	}
	path := cmp.Or(conf.Fleets, defaultFleets)
	if len(args) > 0 {
		path, args = args[0], args[1:]
	}
	if err := takesNo(args); err != nil {
		return err
	}
	fleets, err := readFleets(path)
	if err != nil {
		return err
	}
	if f.deploy {
		return checkDeploy(s.w, path, fleets)
	}
	doc := checkDoc{Path: path, Fleets: []checkedFleet{}}
	for _, x := range fleets {
		doc.Fleets = append(doc.Fleets, checked(x, f.size, -1, f.at.or(s.w.clock()())))
	}
	if f.live {
		ctx, cancel := context.WithTimeout(ctx, liveLimit)
		defer cancel()
		if err := doc.ask(ctx, s, conf, fleets); err != nil {
			return err
		}
	}
	return f.out.show(s.w, doc, doc.lines)
}

// checkDeploy refuses the example's fleets, and warns of what is wide open.
func checkDeploy(w world, path string, fleets fleet.Fleets) error {
	for _, f := range fleets {
		if f.FromExample() {
			return fmt.Errorf("%s: fleet %s is the example's: put your own fleets in its place before you deploy", path, f.Name)
		}
	}
	say(w.out, "%s: %s, no fault\n", path, operator.Count(len(fleets), "fleet"))
	for _, f := range fleets {
		for _, text := range f.Warnings() {
			say(w.out, "warning: fleet %s: %s\n", f.Name, text)
		}
	}
	return nil
}

// checked says what a fleet of a size means.
func checked(f fleet.Fleet, size, tagged int, at time.Time) checkedFleet {
	c := checkedFleet{Name: f.Name, AccountID: f.Account.ID, RegionID: f.Region, Desktops: size, Waves: []int{}, fleet: f, at: at, tagged: tagged}
	had := 0
	for _, end := range waveEnds(f.Strategy, size, tagged) {
		c.Waves, had = append(c.Waves, end-had), end
	}
	open, until := f.Strategy.Open(at)
	c.Open, c.Until = open, known(until)
	return c
}

// ask fills in what ECD says.
func (d *checkDoc) ask(ctx context.Context, s *settings, conf operator.Config, fleets fleet.Fleets) error {
	in := map[desktop.Place]int{}
	clients := map[string]operator.ECD{} // by account
	for i, x := range d.Fleets {
		client := clients[x.AccountID]
		if client == nil {
			var err error
			if client, err = s.desktopsOf(ctx, conf, x.fleet.Account); err != nil {
				return err
			}
			clients[x.AccountID] = client
		}
		members, err := handler.Members(ctx, client, fleets, x.fleet)
		if err != nil {
			return fmt.Errorf("reading the desktops of fleet %s: %w", x.Name, err)
		}
		tagged := 0
		images := map[string]int{}
		for _, m := range members {
			images[m.ImageID]++
			if tags := x.fleet.Strategy.Canary.Tags; len(tags) > 0 && (desktop.Selector{Tags: tags}).Matches(m) {
				tagged++
			}
		}
		d.Fleets[i] = checked(x.fleet, len(members), tagged, x.at)
		d.Fleets[i].Live, d.Fleets[i].Images = true, images
		in[x.fleet.Place()] += len(members)
	}
	d.InNoFleet = map[string]int{}
	for at, n := range in {
		all, err := clients[at.Account].Select(ctx, at.Region, desktop.Selector{})
		if err != nil {
			return fmt.Errorf("reading the desktops of %s: %w", at, err)
		}
		d.InNoFleet[at.String()] = max(0, len(all)-n) // the two were not read at the same moment
	}
	return nil
}

func (d checkDoc) lines() []string {
	out := []string{fmt.Sprintf("%s: %s, no fault", d.Path, operator.Count(len(d.Fleets), "fleet"))}
	for _, x := range d.Fleets {
		for _, text := range x.fleet.Warnings() {
			out = append(out, "warning: fleet "+x.fleet.Name+": "+text)
		}
		lines := explain(x.fleet, max(x.Desktops, 1), x.tagged, x.at)
		if x.Live {
			lines = append(lines, "  "+pad("today", 14)+" "+operator.Count(x.Desktops, "desktop"))
			for _, id := range sorted(x.Images) {
				lines = append(lines, fmt.Sprintf("  %s %d on image %s", pad("", 14), x.Images[id], shown(id)))
			}
		}
		out = append(out, lines...)
	}
	if len(d.InNoFleet) > 0 {
		out = append(out, "")
	}
	for _, region := range sorted(d.InNoFleet) {
		out = append(out, fmt.Sprintf("%s in no fleet in %s", operator.Count(d.InNoFleet[region], "desktop"), region))
	}
	return out
}

// A moment is a flag that holds a time; zero: it was not given.
type moment struct{ time.Time }

// Set is pflag.Value's.
func (m *moment) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return errors.New("write it like 2026-11-23T20:00:00+08:00")
	}
	m.Time = t
	return nil
}

// String is pflag.Value's.
func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Type is pflag.Value's.
func (m *moment) Type() string { return "time" }

// or returns the time that was given, or another where none was.
func (m *moment) or(other time.Time) time.Time {
	if m.IsZero() {
		return other
	}
	return m.Time
}

// explain says what one fleet means, for a fleet of n desktops at a moment, of
// which so many carry the canary's tags; below 0: one is assumed.
func explain(f fleet.Fleet, n, tagged int, now time.Time) []string {
	s := f.Strategy
	out := []string{"", f.Name + "  in " + f.Place().String()}
	row := func(label, format string, args ...any) {
		out = append(out, "  "+pad(label, 14)+" "+fmt.Sprintf(format, args...))
	}
	row("follows", "images named %s", strings.Join(f.Images, ", "))
	row("who belongs", "%s", selects(f))
	if f.Requests {
		row("requests", "may name its desktops")
	} else {
		row("requests", "may not name its desktops; only releases rebuild them")
	}
	if text := options(f.Rebuild); text != "" {
		row("rebuilds", "%s", text)
	}
	out = append(out, explainWaves(s, n, tagged)...)
	row("at once", "%d of %d (maxUnavailable %s)", s.AtOnce(n), n, s.MaxUnavailable)
	row("halts when", "more than %d of %d fail (maxFailures %s)", s.AllowedFailures(n), n, s.MaxFailures)
	row("a wave is good", "%s", goodWhen(s.Check))
	row("between waves", "%s", between(s))
	for _, text := range proofs(s.Check) {
		row("", "%s", text)
	}
	row("in use", "%s", inUse(s.Sessions))
	for i, before := range before(s) {
		row([]string{"before", ""}[min(i, 1)], "%s", before)
	}
	if s.OnHalt == fleet.Rollback {
		now := ""
		if s.OnHaltNow {
			now = ", at once, whatever the windows"
		}
		row("on a halt", "it goes back by itself%s", now)
	}
	if len(f.After) > 0 {
		row("after", "a release begins here once it has completed on %s", strings.Join(f.After, ", "))
	}
	row("takes", "%s expected for a rebuild, %s at the most for the rollout", span(s.Expected), span(s.RolloutTimeout))
	return append(out, explainWindows(s, now)...)
}

// selects says which desktops a fleet means.
func selects(f fleet.Fleet) string {
	text := cmp.Or(strings.Join(selectors(f.Select), "; "), "every desktop of the region")
	if excluded := selectors(desktop.Selector(f.Exclude)); len(excluded) > 0 {
		text += "; but not " + strings.Join(excluded, " or ")
	}
	return text
}

// selectors are the parts of a selector in words.
func selectors(s desktop.Selector) (parts []string) {
	for _, x := range []struct {
		word string
		list []string
	}{{"ids", s.IDs}, {"tagged", tagList(s.Tags)}, {"office sites", s.OfficeSiteIDs}, {"policy groups", s.PolicyGroupIDs}, {"on image", s.ImageIDs}} {
		if len(x.list) > 0 {
			parts = append(parts, x.word+" "+operator.First(4, ", ", x.list))
		}
	}
	return parts
}

func tagList(tags map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if tags[k] == "" {
			out = append(out, k)
			continue
		}
		out = append(out, k+"="+tags[k])
	}
	return out
}

func options(r fleet.Rebuild) string {
	var parts []string
	for _, o := range [][2]string{{"operateType ", r.OperateType}, {"language ", r.Language}, {"afterStatus ", r.AfterStatus},
		{"consent to ", strings.Join(r.Consent, ", ")}} {
		if o[1] != "" {
			parts = append(parts, o[0]+o[1])
		}
	}
	return strings.Join(parts, "; ")
}

// waveEnds are how many desktops have been reached at the end of each wave of a fleet of n,
// of which so many carry the canary's tags; below 0: one is assumed, where it has tags.
func waveEnds(s fleet.Strategy, n, tagged int) []int {
	if tagged < 0 {
		tagged = min(len(s.Canary.Tags), 1)
	}
	return s.WaveEnds(n, s.Canary.Size(n, tagged))
}

// explainWaves shows them.
func explainWaves(s fleet.Strategy, n, tagged int) []string {
	canary := "by share " + s.Canary.Amount.String()
	if len(s.Canary.Tags) > 0 {
		canary = "those tagged " + strings.Join(tagList(s.Canary.Tags), ", ")
		if tagged < 0 {
			canary += "; here one"
		}
	}
	var out []string
	had := 0
	ends := waveEnds(s, n, tagged)
	for i, end := range ends {
		label := ""
		if i == 0 {
			label = "waves of " + fmt.Sprint(n)
		}
		why := "everybody"
		switch {
		case i == 0:
			why = "canary, " + canary
		case i < len(ends)-1:
			why = "up to " + s.Waves[i-1].String()
		}
		text := fmt.Sprintf("%d  %5d desktops  %s", i+1, end-had, why)
		if end > had {
			text += fmt.Sprintf("; halts when more than %d fail", min(s.AllowedFailuresInWave(i+1, end-had), s.AllowedFailures(n)))
		}
		switch {
		case i == len(ends)-1:
		case s.Approval.After(i+1, false):
			text += "; then somebody has to approve"
		case s.Approval.After(i+1, true):
			text += "; then somebody has to approve the fleet's first rollout"
		}
		out = append(out, "  "+pad(label, 14)+" "+text)
		had = end
	}
	return out
}

func goodWhen(c fleet.Check) string {
	text := "when all are on the image for " + span(c.Stable)
	if c.Stable == 0 {
		text = "as soon as all are on the image"
	}
	if c.Command != "" {
		text += fmt.Sprintf(" and a command (%s, within %s) ends well on each", c.Kind, span(c.Timeout))
	}
	return text
}

func between(s fleet.Strategy) string {
	if s.Soak == 0 {
		return "nothing to wait for"
	}
	return "a soak of " + span(s.Soak)
}

func inUse(s fleet.Sessions) string {
	switch s.Policy {
	case fleet.Skip:
		if s.Idle > 0 {
			return "skip the desktop; who is idle or disconnected for " + span(s.Idle) + " does not count"
		}
		return "skip the desktop"
	case fleet.Force:
		return "rebuild it all the same: unsaved work is lost"
	case fleet.Wait:
	}
	text := "wait up to " + span(s.Deadline) + ", then skip it"
	if s.After == fleet.Force {
		text = "wait up to " + span(s.Deadline) + ", then rebuild it all the same: unsaved work is lost"
	}
	if s.Idle > 0 {
		text += "; who is idle or disconnected for " + span(s.Idle) + " does not count"
	}
	return text
}

// proofs says what a wave must prove by use, and which alarms hold the next.
func proofs(c fleet.Check) []string {
	var out []string
	if u := c.Use; !u.Least.IsZero() {
		then := "somebody has to approve"
		if u.Else == fleet.UseHalt {
			then = "it halts, if any was used at all"
		}
		text := fmt.Sprintf("%s of the wave's desktops logged on to within %s; else %s", u.Least, span(u.Within), then)
		if !u.Failed.IsZero() {
			text += fmt.Sprintf("; halts when more than %s of the logons fail", u.Failed)
		}
		out = append(out, text)
	}
	for _, a := range c.Alarms {
		text := fmt.Sprintf("no alarm of the rule %s", a.Name)
		if a.Always {
			text += ", even one from before the rollout"
		}
		out = append(out, text)
	}
	return out
}

// before lists what is done before a desktop is rebuilt, in its order.
func before(s fleet.Strategy) []string {
	var parts []string
	if s.Holds.Tag != "" {
		parts = append(parts, fmt.Sprintf("the tag %s holds it back, for %s at most", s.Holds.Tag, span(s.Holds.AtMost)))
	}
	if s.Notice.Lead > 0 {
		text := fmt.Sprintf("its users are told %s before", span(s.Notice.Lead))
		for i, d := range s.Notice.Remind {
			text += []string{", and again ", ", "}[min(i, 1)] + span(d)
		}
		parts = append(parts, text)
	}
	if b := s.Before; b.Command != "" {
		text := fmt.Sprintf("it is asked by a command (%s, within %s); not now is heeded for %s", b.Kind, span(b.Timeout), span(b.Deadline))
		if b.Deferrals > 0 {
			text += fmt.Sprintf(", %d times", b.Deferrals)
		}
		parts = append(parts, fmt.Sprintf("%s, then %s", text, b.After))
	}
	if s.Maintenance {
		parts = append(parts, "maintenance mode keeps users out")
	}
	if s.StopFirst {
		parts = append(parts, "the desktop is stopped")
	}
	if s.Snapshot == fleet.SnapshotData {
		parts = append(parts, "where the data disk is erased, a snapshot of it is made and waited for")
	}
	return parts
}

// explainWindows lists the windows and says what holds now.
func explainWindows(s fleet.Strategy, now time.Time) []string {
	var out []string
	row := func(label, text string) { out = append(out, "  "+pad(label, 14)+" "+text) }
	zone := time.UTC
	label := "windows"
	for _, w := range s.Windows {
		zone = w.Zone
		row(label, windowText(w))
		label = ""
	}
	if len(s.Windows) == 0 {
		row(label, "always")
	}
	label = "blackouts"
	for _, b := range s.Blackouts {
		row(label, fmt.Sprintf("%s to %s  %s", b.From.Format("Mon 2 Jan 2006 15:04"), b.To.Format("Mon 2 Jan 2006 15:04 MST"), escape.Terminal(b.Reason)))
		label = ""
	}
	open, until := s.Open(now)
	text := "closed"
	if open {
		text = "open"
	}
	switch {
	case until.IsZero():
		text += ", and that does not change within a year"
	case open:
		text += " until " + until.In(zone).Format("Mon 2 Jan 15:04 MST")
	default:
		text += ", opens " + until.In(zone).Format("Mon 2 Jan 15:04 MST")
	}
	row("now", now.In(zone).Format("Mon 2 Jan 15:04 MST")+": "+text)
	return out
}

func windowText(w fleet.Window) string {
	days := "every day"
	if len(w.Days) > 0 {
		var names []string
		for _, d := range fromMonday(w.Days) {
			names = append(names, d.String()[:3])
		}
		days = strings.Join(names, " ")
	}
	next := ""
	if w.To <= w.From {
		next = " the next day"
	}
	return fmt.Sprintf("%s %02d:%02d to %02d:%02d%s, %s", days, w.From/60, w.From%60, w.To/60, w.To%60, next, w.Zone)
}

// fromMonday returns days in the order in which people write them.
func fromMonday(days []time.Weekday) []time.Weekday {
	return slices.SortedFunc(slices.Values(days), func(a, b time.Weekday) int { return int(a+6)%7 - int(b+6)%7 })
}
