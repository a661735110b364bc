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

	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

func statusCommand(w world) *cobra.Command {
	var q listFlags
	c := &cobra.Command{
		Use: "status [journal URL] [request/ID | rollout/ID]", Short: "show what the journal knows of requests and rollouts",
		Long: `
Reads the journal (that of the settings, or oss://bucket/prefix or file:///dir)
and lists the rollouts and requests in it: which are open, how far they are, and
why they wait. Named one, it shows that one desktop by desktop.

It only reads. Object Storage is reached with the credentials of
ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET and …_SECURITY_TOKEN.`,
	}
	s := newSettings(w, c, forJournal)
	q.define(c, "list those that have ended, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		given, names := journalAndName(args)
		if len(names) == 0 {
			return s.list(c.Context(), given, q, listLines, operator.Rollout, operator.Request)
		}
		if err := takesNo(names[1:]); err != nil {
			return err
		}
		kind, id, err := splitName(names[0])
		if err != nil {
			return err
		}
		return showOperation(c.Context(), s, given, q.out, kind, id)
	}
	c.ValidArgsFunction = s.completeOperations(operator.Rollout, operator.Request)
	return c
}

// listFlags are those of what lists operations.
type listFlags struct {
	all   bool
	most  int
	fleet string // "": any, and requests
	out   output
}

func (q *listFlags) define(c *cobra.Command, all string) {
	c.Flags().BoolVar(&q.all, "all", false, all)
	c.Flags().IntVar(&q.most, "limit", 0, "read at most this `number` of journals of a kind, those written last; by\ndefault 20000 of a directory and "+
		"1000 of Object Storage")
	q.out.define(c)
}

// What is read of a bucket: a call each, some at once.
const (
	bucketMost    = 1000
	bucketReaders = 32
)

// list reads the operations of some kinds, and shows them in lines.
func (s *settings) list(ctx context.Context, given string, q listFlags, lines func(operator.Listing, *time.Location) []string, kinds ...string) error {
	if q.most < 0 {
		return usageError{fmt.Errorf("--limit is %d; it is a number from 1 on", q.most)}
	}
	return s.reading(ctx, given, func(ctx context.Context, at installation) error {
		query := operator.Query{Kinds: kinds, Fleet: q.fleet, Ended: q.all, Most: q.most}
		if strings.HasPrefix(at.conf.Journal, "oss:") {
			query.Readers, query.Most = bucketReaders, cmp.Or(q.most, bucketMost)
		}
		l, err := operator.List(ctx, at.store, query)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("reading the journal took longer than %s; read less with --limit: %w", oneCall, err)
		}
		if err != nil {
			return err
		}
		return q.out.show(s.w, l, func() []string { return lines(l, at.zone) })
	})
}

// listLines shows a listing of what is open, or of all.
func listLines(l operator.Listing, zone *time.Location) []string {
	return listOr(l, zone, "nothing is open", "--all lists them")
}

// listOr shows a listing, or says what it means that there is none of what was
// asked for; more says how to have those that have ended listed.
func listOr(l operator.Listing, zone *time.Location, none, more string) []string {
	out := []string{pad("kind", 8) + " " + pad("id", 32) + " " + pad("opened", 17) + " " + pad("desktops", 8) + " state"}
	for _, x := range l.Operations {
		opened := ""
		if !x.Opened.IsZero() {
			opened = x.Opened.In(zone).Format("Mon 2 Jan 15:04")
		}
		out = append(out, pad(x.Kind, 8)+" "+pad(escape.Terminal(x.ID), 32)+" "+pad(opened, 17)+" "+
			pad(lead(fmt.Sprint(x.Counts.Fleet), 8), 8)+" "+escape.Terminal(inBrief(x, zone)))
	}
	switch {
	case l.Empty:
		return []string{"the journal is empty: it has no request and no rollout"}
	case len(l.Operations) == 0:
		out = []string{none}
	default:
		out = append(out, "", "times are those of "+zoneName(zone))
	}
	if l.Ended > 0 {
		ended := fmt.Sprintf("%d that have ended are not listed; %s", l.Ended, more)
		if l.Ended == 1 {
			ended = "1 that has ended is not listed; " + more
		}
		out = append(out, ended)
	}
	if l.NotRead > 0 {
		out = append(out, fmt.Sprintf("%d more journals, written longest ago, were not read; --limit reads more, and naming one shows it", l.NotRead))
	}
	return out
}

// zoneName says which time zone times are shown in.
func zoneName(zone *time.Location) string {
	if zone == time.Local {
		name, _ := time.Now().Zone()
		return "this machine (" + name + ")"
	}
	return zone.String()
}

// inBrief says how an operation stands, in one line.
func inBrief(x operator.Operation, zone *time.Location) string {
	text := x.State
	if x.Kind == operator.Rollout && x.Open && x.Wave > 0 {
		text = fmt.Sprintf("wave %d of %d, %s", x.Wave, x.Waves, text)
	}
	why := x.Why
	switch x.State {
	case operator.Aborted, operator.Superseded, operator.Paused:
		text = strings.TrimSuffix(text, x.State) + why // it begins with the state
	default:
		text = joined(": ", text, why)
	}
	if x.Until != nil {
		text += " (until " + dayTime(*x.Until, zone) + ")"
	}
	if x.Closed != nil {
		if x.State == operator.Incomplete {
			text = "ended incomplete"
		}
		text += " " + dayTime(*x.Closed, zone)
	}
	return joined(": ", text, countsText(x.Counts))
}

// showOperation shows one operation.
func showOperation(ctx context.Context, s *settings, given string, o output, kind, id string) error {
	return s.reading(ctx, given, func(ctx context.Context, at installation) error {
		state, _, err := operator.Read(ctx, at.store, kind, id)
		if err != nil {
			return err
		}
		return o.show(s.w, documentOf(state), func() []string { return detailLines(state, at.zone) })
	})
}

// splitName takes rollout/ID or request/ID apart.
func splitName(name string) (kind, id string, err error) {
	kind, id, err = operator.SplitName(name)
	if err != nil {
		return "", "", usageError{err}
	}
	return kind, id, nil
}

// splitNames takes several apart.
func splitNames(args []string) (names []name, err error) {
	for _, arg := range args {
		kind, id, err := splitName(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name{kind, id})
	}
	return names, nil
}

func printLines(w world, lines []string) {
	for _, l := range lines {
		say(w.out, "%s\n", strings.TrimRight(l, " "))
	}
}

// A detail is one operation with all that is known of each desktop.
type detail struct {
	operator.Operation
	NextLook *time.Time     `json:"nextLook,omitempty"` // when the function looks again, at the latest
	Untold   int            `json:"untold"`             // outcomes and events that are not published yet
	WaveList []reportWave   `json:"waveList"`
	Desktops []reportTarget `json:"desktops"`
}

func documentOf(s *rollout.State) detail {
	r := reportOf(s, nil)
	d := detail{Operation: operator.OperationOf(s), Untold: len(s.Fresh()) + len(s.UnpublishedEvents), WaveList: r.Waves, Desktops: r.Desktops}
	if s.Open() {
		d.NextLook = known(s.TickAt)
	}
	return d
}

// detailLines shows one operation.
func detailLines(s *rollout.State, zone *time.Location) []string {
	o := s.Operation
	var out []string
	row := func(label, format string, args ...any) {
		out = append(out, pad(label, 10)+" "+escape.Terminal(fmt.Sprintf(format, args...)))
	}
	brief := operator.OperationOf(s)
	row(brief.Kind, "%s", o.ID)
	row("image", "%s in %s", imageText(o), o.Place())
	row("opened", "%s%s", s.OpenedAt.In(zone).Format(exact), byText(o.By))
	row("state", "%s", inBrief(brief, zone))
	row("counts", "%s", countsText(s.Counts()))
	if back := s.Undoing; back != nil {
		row("rollback", "%s, asked for %s%s", back.ID, back.At.In(zone).Format(exact), byText(back.By))
	}
	if !s.TickAt.IsZero() && s.Open() {
		row("next look", "%s at the latest", s.TickAt.In(zone).Format(exact))
	}
	if n := len(s.Fresh()) + len(s.UnpublishedEvents); n > 0 {
		row("to tell", "%s not published yet", operator.Count(n, "thing"))
	}
	for _, wave := range s.Waves {
		out = append(out, "")
		if !o.Request() {
			out = append(out, waveLine(waveOf(wave), zone))
		}
		out = append(out, "  "+pad("desktop", desktopColumn)+" "+pad("phase", 9)+" "+pad("tries", 5)+" "+pad("outcome", 9)+" "+pad("code", codeColumn)+" "+
			pad("since", 9)+" message")
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

func imageText(o *rollout.Operation) string {
	switch {
	case o.Undoes != "":
		return "back from " + o.ImageID
	case o.ImageID == "":
		return "reset to the current one"
	case o.ImageName != "":
		return o.ImageName + " (" + o.ImageID + ")"
	}
	return o.ImageID
}

func byText(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func waveLine(w reportWave, zone *time.Location) string {
	text := fmt.Sprintf("wave %d (%s), %s, from %s", w.N, w.Name, operator.Count(w.Desktops, "desktop"), w.Begun.In(zone).Format(exact))
	if w.Ended != nil {
		text += " to " + w.Ended.In(zone).Format(exact)
	}
	if w.Approved != "" {
		text += ", approved by " + w.Approved
	}
	return escape.Terminal(text)
}

// phases has the words for rollout.Phase.
var phases = map[rollout.Phase]string{rollout.Pending: "pending", rollout.Begun: "begun", rollout.Accepted: "accepted", rollout.Final: "done"}

func desktopLine(d *rollout.Desktop, zone *time.Location) string {
	since := cmp.Or(d.DoneAt, d.AcceptedAt, d.BegunAt, d.WaitSince).Time()
	text := d.Last.Message
	if d.Phase == rollout.Pending && d.RestsUntil.After(since) {
		text = joined("; ", text, againText(d.RestsUntil, zone))
	}
	at := ""
	if !since.IsZero() {
		at = since.In(zone).Format("15:04:05")
	}
	return "  " + pad(d.ID, desktopColumn) + " " + pad(phases[d.Phase], 9) + " " + lead(fmt.Sprint(d.Attempt), 5) + " " +
		pad(string(d.Last.Status), 9) + " " + pad(escape.Terminal(d.Last.Code), codeColumn) + " " + pad(at, 9) + " " + escape.Terminal(text)
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
