package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

func statusCommand(w world) *cobra.Command {
	var at journalFlags
	var all bool
	c := &cobra.Command{
		Use: "status <journal URL> [request/ID | rollout/ID]", Short: "show what the journal knows of requests and rollouts",
		Long: strings.TrimSpace(statusHelp),
		RunE: func(c *cobra.Command, args []string) error { return runStatus(c.Context(), w, at, all, args) },
	}
	at.define(c.Flags())
	c.Flags().BoolVar(&all, "all", false, "list those that have ended, too")
	return c
}

const statusHelp = `
Reads the journal (oss://bucket/prefix or file:///dir) and lists the rollouts and
requests in it: which are open, how far they are, and why they wait. Named one,
it shows that one desktop by desktop.

It only reads. Object Storage is reached with the credentials of
ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET and …_SECURITY_TOKEN.`

// maxListed bounds how many journals one listing reads.
const maxListed = 500

func runStatus(ctx context.Context, w world, at journalFlags, all bool, rest []string) error {
	if len(rest) == 0 {
		return usageError{errors.New("name the journal: oss://bucket/prefix or file:///dir")}
	}
	store, err := openJournal(rest[0], at, w.lookup)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		if err := takesNo(rest[2:]); err != nil {
			return err
		}
		s, err := oneState(ctx, store, rest[1])
		if err != nil {
			return err
		}
		printLines(w, detailLines(s, time.Local))
		return nil
	}
	states, left, err := listed(ctx, store)
	if err != nil {
		return err
	}
	printLines(w, statusLines(states, left, all, time.Local))
	return nil
}

func printLines(w world, lines []string) {
	for _, l := range lines {
		say(w.out, "%s\n", strings.TrimRight(l, " "))
	}
}

// oneState folds the journal that a name such as rollout/2026.11.3/office means.
func oneState(ctx context.Context, store journal.Store, name string) (*rollout.State, error) {
	kind, id, ok := strings.Cut(name, "/")
	if !ok || kind != kindRequest && kind != kindRollout || id == "" {
		return nil, usageError{fmt.Errorf("%q names nothing; write request/ID or rollout/RELEASE/FLEET", name)}
	}
	s, err := newFolder(store).state(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	if s.Work == nil {
		return nil, fmt.Errorf("the journal knows no %s %s", kind, id)
	}
	return s, nil
}

// listed folds all journals, rollouts first, and says how many it left out.
func listed(ctx context.Context, store journal.Store) ([]*rollout.State, int, error) {
	var states []*rollout.State
	left := 0
	for _, kind := range []string{kindRollout, kindRequest} {
		keys, err := store.Keys(ctx, kind+"/")
		if err != nil {
			return nil, 0, err
		}
		for _, key := range keys {
			if len(states) >= maxListed {
				left++
				continue
			}
			s, err := stateAt(ctx, store, key)
			if err != nil {
				return nil, 0, err
			}
			if s.Work != nil {
				states = append(states, s)
			}
		}
	}
	return states, left, nil
}

// stateAt folds the journal of a key, whose id may be hashed.
func stateAt(ctx context.Context, store journal.Store, key string) (*rollout.State, error) {
	lines, _, err := store.Read(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return nil, fmt.Errorf("reading journal %s: %w", key, err)
	}
	s := rollout.NewState()
	s.Apply(records...)
	return s, nil
}

// statusLines lists works, the latest first.
func statusLines(states []*rollout.State, left int, all bool, zone *time.Location) []string {
	states = slices.Clone(states)
	slices.SortStableFunc(states, func(a, b *rollout.State) int { return b.OpenedAt.Compare(a.OpenedAt) })
	out := []string{pad("kind", 8) + " " + pad("id", 32) + " " + pad("opened", 17) + " " + pad("desktops", 8) + " state"}
	ended := 0
	for _, s := range states {
		if !s.Open() && !all {
			ended++
			continue
		}
		kind := kindOf(!s.Work.Request())
		out = append(out, pad(kind, 8)+" "+pad(clean(s.Work.ID), 32)+" "+pad(s.OpenedAt.In(zone).Format("Mon 2 Jan 15:04"), 17)+" "+
			pad(lead(fmt.Sprint(max(s.Size, len(s.Desktops))), 8), 8)+" "+clean(briefly(s, zone)))
	}
	if len(out) == 1 {
		out = []string{"nothing is open"}
	}
	if ended > 0 {
		out = append(out, fmt.Sprintf("%d that have ended are not listed; --all lists them", ended))
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("%d more journals were not read; name one to see it", left))
	}
	return out
}

// briefly says how a work stands, in one line.
func briefly(s *rollout.State, zone *time.Location) string {
	if s.Work.Request() {
		state := "open"
		if s.Closed {
			state = "finished " + dayTime(s.ClosedAt, zone)
		}
		return state + ": " + countsText(s.Counts())
	}
	text, _ := standing(s, zone)
	if w := s.Wave(); w != nil && s.Open() {
		text = fmt.Sprintf("wave %d of %d, %s", w.N, s.Planned, text)
	}
	if s.Closed {
		text += ": " + countsText(s.Counts())
	}
	return text
}

// detailLines shows one work.
func detailLines(s *rollout.State, zone *time.Location) []string {
	w := s.Work
	var out []string
	row := func(label, format string, args ...any) {
		out = append(out, pad(label, 10)+" "+clean(fmt.Sprintf(format, args...)))
	}
	row(kindOf(!w.Request()), "%s", w.ID)
	row("image", "%s in %s", imageText(w), w.RegionID)
	row("opened", "%s%s", s.OpenedAt.In(zone).Format(exact), byText(w.By))
	row("state", "%s", briefly(s, zone))
	row("counts", "%s", countsText(s.Counts()))
	if !s.TickAt.IsZero() && s.Open() {
		row("next look", "%s at the latest", s.TickAt.In(zone).Format(exact))
	}
	if n := len(s.Fresh()) + len(s.UnpublishedNews); n > 0 {
		row("to tell", "%s not published yet", count(n, "thing"))
	}
	for _, wave := range s.Waves {
		out = append(out, "")
		if !w.Request() {
			out = append(out, waveLine(wave, zone))
		}
		out = append(out, "  "+pad("desktop", desktopColumn)+" "+pad("phase", 9)+" "+pad("tries", 5)+" "+pad("outcome", 9)+" "+pad("code", codeColumn)+" "+pad("since", 9)+" message")
		for _, id := range wave.Desktops {
			if d := s.Desktops[id]; d != nil {
				out = append(out, desktopLine(d, zone))
			}
		}
	}
	return out
}

// exact is how a time is written where it must be exact.
const exact = "Mon 2 Jan 2006 15:04:05 MST"

func imageText(w *rollout.Work) string {
	switch {
	case w.Undoes != "":
		return "back from " + w.ImageID
	case w.ImageID == "":
		return "reset to the current one"
	case w.ImageName != "":
		return w.ImageName + " (" + w.ImageID + ")"
	}
	return w.ImageID
}

func byText(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func waveLine(w rollout.Wave, zone *time.Location) string {
	text := fmt.Sprintf("wave %d (%s), %s, from %s", w.N, w.Name, count(len(w.Desktops), "desktop"), w.BegunAt.In(zone).Format(exact))
	if !w.EndedAt.IsZero() {
		text += " to " + w.EndedAt.In(zone).Format(exact)
	}
	if w.Approved != "" {
		text += ", approved by " + w.Approved
	}
	return clean(text)
}

// phases has the words for rollout.Phase.
var phases = map[rollout.Phase]string{rollout.Pending: "pending", rollout.Begun: "begun", rollout.Accepted: "accepted", rollout.Final: "done"}

func desktopLine(d *rollout.Desktop, zone *time.Location) string {
	since := d.DoneAt
	for _, t := range []time.Time{d.AcceptedAt, d.BegunAt, d.WaitSince} {
		if since.IsZero() {
			since = t
		}
	}
	text := d.Last.Message
	if d.Phase == rollout.Pending && d.Again.After(since) {
		text = joined("; ", text, "looked at again "+d.Again.In(zone).Format("15:04:05"))
	}
	at := ""
	if !since.IsZero() {
		at = since.In(zone).Format("15:04:05")
	}
	return "  " + pad(d.ID, desktopColumn) + " " + pad(phases[d.Phase], 9) + " " + lead(fmt.Sprint(d.Attempt), 5) + " " +
		pad(string(d.Last.Status), 9) + " " + pad(clean(d.Last.Code), codeColumn) + " " + pad(at, 9) + " " + clean(text)
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
