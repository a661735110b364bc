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
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/operator"
	model "github.com/regild/regild/internal/report" // report is the command
	"github.com/regild/regild/internal/rollout"
)

func reportCommand(w world) *cobra.Command {
	var o output
	var asJSON bool
	var html htmlFlags
	c := &cobra.Command{
		Use: "report [journal URL] rollout/ID|request/ID", Short: "write down what a rollout did, for the record",
		Long: `
Writes what an auditor asks of a rollout or request: who wanted what and when,
who said what meanwhile, what became of each desktop and from which image to
which, how long rebuilds took, and what failed and why. It is made of the
journal alone and only reads it; with --json it is for programs, with --html it
is one page for a browser that needs nothing else.`,
	}
	s := newSettings(w, c, forJournal)
	o.define(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON, as --output json does")
	html.define(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if asJSON {
			o = outputJSON
		}
		return runReport(c.Context(), s, o, &html, args)
	}
	c.ValidArgsFunction = s.completeOperations(operator.Rollout, operator.Request)
	return c
}

func runReport(ctx context.Context, s *settings, o output, html *htmlFlags, args []string) error {
	given, names := journalAndName(args)
	if len(names) == 0 {
		return usageError{errors.New("name the rollout/ID or request/ID, after the journal if the settings have none")}
	}
	if err := takesNo(names[1:]); err != nil {
		return err
	}
	kind, id, err := splitName(names[0])
	if err != nil {
		return err
	}
	if !html.on && (html.file != "" || html.plan != "") {
		return usageError{errors.New("--file and --plan are for a page; add --html")}
	}
	return s.reading(ctx, given, func(ctx context.Context, at installation) error {
		state, records, err := operator.Read(ctx, at.store, kind, id)
		if err != nil {
			return err
		}
		if html.on {
			return html.write(ctx, s.w, at, kind, state.Operation.ID)
		}
		r := reportOf(state, records)
		r.asOf = s.w.clock()()
		return o.show(s.w, r, func() []string { return r.lines(at.zone) })
	})
}

// A reportDocument is what a rollout or request did. Times are in UTC, lengths in
// seconds.
type reportDocument struct {
	ID string `json:"id"`
	model.Subject
	Consent  []string       `json:"consent,omitempty"`
	Opened   time.Time      `json:"opened"`
	Closed   *time.Time     `json:"closed,omitempty"`
	Digest   string         `json:"digest,omitempty"` // over the ids of all final outcomes
	Counts   events.Counts  `json:"counts"`
	Rebuilds lengths        `json:"rebuildSeconds"`
	Waves    []reportWave   `json:"waves"`
	Said     []reportSaid   `json:"said"` // what people, and the rollout itself, said
	Desktops []reportTarget `json:"desktops"`

	asOf time.Time // to tell the age of snapshots; zero: it is not told
}

type reportWave struct {
	N        int        `json:"n"`
	Name     string     `json:"name,omitempty"`
	Desktops int        `json:"desktops"`
	Begun    time.Time  `json:"begun"`
	Ended    *time.Time `json:"ended,omitempty"`
	Approved string     `json:"approvedBy,omitempty"`
}

func waveOf(w rollout.Wave) reportWave {
	return reportWave{N: w.N, Name: w.Name, Desktops: len(w.Desktops), Begun: w.BegunAt.UTC(), Ended: known(w.EndedAt), Approved: w.Approved}
}

type reportSaid struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Who    string    `json:"who,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

type reportTarget struct {
	ID       string     `json:"id"`
	Wave     int        `json:"wave"`
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	Status   string     `json:"status"` // "" while nothing was said of it
	Code     string     `json:"code,omitempty"`
	Message  string     `json:"message,omitempty"`
	Attempts int        `json:"attempts"`
	Accepted *time.Time `json:"accepted,omitempty"`
	Done     *time.Time `json:"done,omitempty"`
	// Snapshot is that of the data disk which was made before the rebuild.
	Snapshot *model.Snapshot `json:"snapshot,omitempty"`
}

// lengths are how long rebuilds took, from acceptance until they were seen to
// have ended.
type lengths struct {
	N   int `json:"n"`
	P50 int `json:"p50"`
	P95 int `json:"p95"`
	Max int `json:"max"`
}

// reportOf makes a report of a journal and its records.
func reportOf(s *rollout.State, records []rollout.Record) reportDocument {
	o := s.Operation
	b, _ := model.BriefOf(s)
	r := reportDocument{ID: o.ID, Subject: b.Subject, Consent: o.Consents, Opened: s.OpenedAt.UTC(), Closed: known(s.ClosedAt), Digest: s.Digest,
		Counts: b.Counts, Waves: []reportWave{}, Said: said(records), Desktops: []reportTarget{}}
	for _, wave := range s.Waves {
		r.Waves = append(r.Waves, waveOf(wave))
	}
	var took []int
	for _, id := range s.Order {
		d := s.Desktops[id]
		r.Desktops = append(r.Desktops, reportTarget{ID: id, Wave: d.Wave, From: d.From, To: o.SpecOf(id).ImageID,
			Status: string(d.Last.Status), Code: d.Last.Code, Message: d.Last.Message, Attempts: d.Attempt,
			Accepted: known(d.AcceptedAt.Time()), Done: known(d.DoneAt.Time()), Snapshot: model.SnapshotOf(d)})
		if d.Last.Status == events.StatusCompleted {
			took = append(took, int(d.DoneAt.Sub(d.AcceptedAt.Time())/time.Second))
		}
	}
	r.Rebuilds = lengthsOf(took)
	return r
}

// known returns a time for JSON, or nil for none.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// lengthsOf takes the nearest rank, so that each figure is one that was seen.
func lengthsOf(took []int) lengths {
	if len(took) == 0 {
		return lengths{}
	}
	slices.Sort(took)
	rank := func(percent int) int { return took[(len(took)*percent+99)/100-1] }
	return lengths{N: len(took), P50: rank(50), P95: rank(95), Max: took[len(took)-1]}
}

// said picks out of the records what people said, and what the rollout said of
// itself besides its waves.
func said(records []rollout.Record) []reportSaid {
	return entriesOf(slices.DeleteFunc(slices.Clone(records), func(r rollout.Record) bool {
		return !slices.Contains([]rollout.Kind{rollout.KindControl, rollout.KindUndoing, rollout.KindHalted, rollout.KindSuperseded, rollout.KindWaiting}, r.Kind)
	}))
}

// lines writes a report for people.
func (r reportDocument) lines(zone *time.Location) []string {
	var out []string
	row := func(label, format string, args ...any) {
		out = append(out, pad(label, 10)+" "+escape.Terminal(fmt.Sprintf(format, args...)))
	}
	row("report of", "%s", r.ID)
	if r.Undoes != "" {
		row("undoes", "%s", r.Undoes)
	}
	row("image", "%s in %s", joined(" ", r.ImageName, cmp.Or(r.ImageID, "reset to the current one")), desktop.Place{Account: r.AccountID, Region: r.RegionID})
	row("opened", "%s%s", r.Opened.In(zone).Format(exact), byText(r.By))
	if r.Closed != nil {
		row("closed", "%s, after %s", r.Closed.In(zone).Format(exact), span(r.Closed.Sub(r.Opened)))
	} else {
		row("closed", "not yet")
	}
	if len(r.Consent) > 0 {
		row("consent", "%s", strings.Join(r.Consent, ", "))
	}
	row("desktops", "%s", cmp.Or(countsText(r.Counts), "none"))
	if r.Rebuilds.N > 0 {
		second := func(n int) string { return span(time.Duration(n) * time.Second) }
		row("rebuilds", "%d, half of them within %s, 95%% within %s, the longest took %s", r.Rebuilds.N, second(r.Rebuilds.P50), second(r.Rebuilds.P95),
			second(r.Rebuilds.Max))
	}
	if r.Digest != "" {
		row("digest", "%s", r.Digest)
	}
	for _, w := range r.Waves {
		if r.Fleet == "" {
			break
		}
		row("", "%s", waveLine(w, zone))
	}
	for i, x := range r.Said {
		label := ""
		if i == 0 {
			out = append(out, "")
			label = "meanwhile"
		}
		row(label, "%s  %s%s: %s", x.At.In(zone).Format(exact), x.What, byText(x.Who), x.Reason)
	}
	out = append(out, r.snapshots(zone)...)
	return append(out, r.targets(zone)...)
}

// snapshots lists the snapshots of data disks that were made, which regild never
// deletes, and says how one is restored.
func (r reportDocument) snapshots(zone *time.Location) []string {
	var out []string
	for _, d := range r.Desktops {
		s := d.Snapshot
		if s == nil {
			continue
		}
		size, age := "of unknown size", ""
		if s.GiB > 0 {
			size = fmt.Sprintf("%d GiB", s.GiB)
		}
		if !r.asOf.IsZero() {
			age = ", " + span(r.asOf.Sub(s.Seen)) + " old"
		}
		out = append(out, "  "+escape.Terminal(fmt.Sprintf("%s %s  %s, made %s%s", pad(d.ID, desktopColumn), s.ID, size, s.Seen.In(zone).Format(exact), age)))
	}
	if out == nil {
		return nil
	}
	return append([]string{"", "snapshots of data disks; regild deletes none. To restore one: stop the desktop, then ResetSnapshot, " +
		"or the console (docs/people.md)"}, out...)
}

// targets lists the desktops, those that failed first.
func (r reportDocument) targets(zone *time.Location) []string {
	list := slices.Clone(r.Desktops)
	slices.SortStableFunc(list, func(a, b reportTarget) int { return badness(a) - badness(b) })
	out := []string{"", pad("desktop", desktopColumn) + " " + pad("wave", 4) + " " + pad("status", 9) + " " + pad("from", 22) + " " + pad("to", 22) +
		" " + pad("accepted", 8) + " " + pad("done", 8) + " why"}
	clockTime := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.In(zone).Format("15:04:05")
	}
	for _, d := range list {
		why := d.Code
		if d.Status == string(events.StatusCompleted) {
			why = ""
		}
		out = append(out, pad(d.ID, desktopColumn)+" "+lead(fmt.Sprint(d.Wave), 4)+" "+pad(cmp.Or(d.Status, "–"), 9)+" "+pad(d.From, 22)+" "+pad(d.To, 22)+" "+
			pad(clockTime(d.Accepted), 8)+" "+pad(clockTime(d.Done), 8)+" "+escape.Terminal(joined(": ", why, d.Message)))
	}
	return out
}

// badness is the order in which an auditor wants to see desktops.
func badness(d reportTarget) int {
	return slices.Index([]string{"failed", "", "deferred", "accepted", "refused", "skipped", "completed"}, d.Status)
}
