package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	model "github.com/regild/regild/internal/report" // report is the command
	"github.com/regild/regild/internal/rollout"
)

// shown makes text from outside fit for a terminal.
func shown(s string) string { return escape.Terminal(s) }

func rolloutCommand(w world) *cobra.Command {
	c := group("rollout", "look at rollouts, and tell them what to do", `
A rollout is one release on its way over one fleet, in waves. Its id is
RELEASE/FLEET, such as 2026.11.3/office.`)
	c.AddCommand(rolloutListCommand(w), showCommand(w, operator.Rollout), operationWatchCommand(w, operator.Rollout), historyCommand(w))
	for _, x := range []struct{ action, short, long string }{
		{events.ActionPause, "begin nothing new", "Has the rollout begin nothing new until somebody says resume. What was begun is followed to its end."},
		{events.ActionResume, "go on after a pause or a halt", "Has the rollout go on. After a halt, failures until now do not count any more."},
		{events.ActionApprove, "open the gate behind a wave",
			"Opens the gate behind the wave that is finished, where the fleet asks for an approval. One that waits for other\nfleets goes on without them."},
		{events.ActionAbort, "begin nothing new, ever", "Ends the rollout: it begins nothing new, ever. What was begun is followed to its end. " +
			"Only rollback is\npossible afterwards."},
		{events.ActionRetry, "try the failed desktops again", "Has the rollout try its failed desktops again."},
		{events.ActionRollback, "return every changed desktop to its former image",
			"Returns every desktop that the rollout changed to the image that it was on before, as a rollout of its own\n(ID/rollback). The images come back; " +
				"what was on the system disks does not."},
	} {
		c.AddCommand(controlCommand(w, operator.Rollout, x.action, x.short, x.long))
	}
	return c
}

// group returns a command that has others and does nothing by itself.
func group(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", c.CommandPath()+" "+args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
}

func rolloutListCommand(w world) *cobra.Command {
	var q listFlags
	var open bool
	c := &cobra.Command{
		Use: "list", Short: "list rollouts, the latest first",
		Long: "Lists the rollouts that the journal knows, the latest first: those that are open and those that have ended.",
		Args: noArgs,
	}
	s := newSettings(w, c, forJournal)
	c.Flags().BoolVar(&open, "open", false, "list only those that have not ended")
	c.Flags().StringVar(&q.fleet, "fleet", "", "list only those of this `fleet`")
	c.Flags().IntVar(&q.most, "limit", rolloutsMost, "read at most this `number` of journals, those written last")
	q.out.define(c)
	mustRegister(c, "fleet", offering(s.completeFleets))
	c.RunE = func(c *cobra.Command, _ []string) error {
		q.all = !open
		none := "the journal has no rollout"
		if open {
			none = "no rollout is open"
		}
		if q.fleet != "" {
			none += " of fleet " + shown(q.fleet)
		}
		return s.list(c.Context(), "", q, func(l operator.Listing, zone *time.Location) []string {
			return listOr(l, zone, none, "without --open they are")
		}, operator.Rollout)
	}
	return c
}

// rolloutsMost is how many rollouts are listed: some of them are large.
const rolloutsMost = 50

func showCommand(w world, kind string) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use: "show ID", Short: "show a " + kind + ", desktop by desktop",
		Long: "Shows what the journal knows of a " + kind + ": how far it is, why it waits, and each desktop.",
	}
	s := newSettings(w, c, forJournal)
	o.define(c)
	return s.forID(c, kind, func(c *cobra.Command, id string) error { return showOperation(c.Context(), s, "", o, kind, id) })
}

// forID has a command take the id of one operation, and nothing else.
func (s *settings) forID(c *cobra.Command, kind string, run func(c *cobra.Command, id string) error) *cobra.Command {
	c.ValidArgsFunction = s.completeOperations(kind)
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := oneID(kind, args)
		if err != nil {
			return err
		}
		return run(c, id)
	}
	return c
}

// oneID reads the one argument of a command: the id of an operation, with or without
// its kind before it.
func oneID(kind string, args []string) (string, error) {
	id := ""
	if len(args) > 0 {
		if err := takesNo(args[1:]); err != nil {
			return "", err
		}
		id = strings.TrimPrefix(args[0], kind+"/")
	}
	if id == "" {
		return "", usageError{fmt.Errorf("name the %s", kind)}
	}
	return id, nil
}

func historyCommand(w world) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use: "history ID|FLEET", Short: "show what happened in a rollout, or which rollouts a fleet had",
		Long: `Shows what happened in a rollout and when: its waves, why it stood still, and who said what. Of a fleet (a name
without a slash) it shows which rollouts it had, in their order.`,
	}
	s := newSettings(w, c, forJournal)
	o.define(c)
	return s.forID(c, operator.Rollout, func(c *cobra.Command, id string) error {
		return s.reading(c.Context(), "", func(ctx context.Context, at installation) error {
			if !strings.Contains(id, "/") {
				return fleetHistory(ctx, w, at, o, id)
			}
			_, records, err := operator.Read(ctx, at.store, operator.Rollout, id)
			if err != nil {
				return err
			}
			h := history{ID: id, Entries: entriesOf(records)}
			return o.show(w, h, func() []string { return h.lines(at.zone) })
		})
	})
}

// fleetHistory shows the rollouts of a fleet in the order of its log.
func fleetHistory(ctx context.Context, w world, at installation, o output, fleet string) error {
	ids, err := operator.Enrolled(ctx, at.store, fleet)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return fmt.Errorf("the journal knows no rollout of a fleet %q", fleet)
	}
	left := max(0, len(ids)-rolloutsMost)
	l := operator.Listing{Operations: []operator.Operation{}, NotRead: left}
	for _, id := range ids[left:] {
		state, _, err := operator.Read(ctx, at.store, operator.Rollout, id)
		if unknown, ok := errors.AsType[*operator.UnknownError](err); ok {
			l.Operations = append(l.Operations, operator.Operation{Kind: unknown.Kind, ID: id, State: operator.Expired,
				Subject: model.Subject{Fleet: fleet}})
			continue
		}
		if err != nil {
			return err
		}
		l.Operations = append(l.Operations, operator.OperationOf(state))
	}
	return o.show(w, l, func() []string { return listLines(l, at.zone) })
}

// A history is what happened in a rollout.
type history struct {
	ID      string       `json:"id"`
	Entries []reportSaid `json:"entries"`
}

func (h history) lines(zone *time.Location) []string {
	out := []string{"times are those of " + zoneName(zone), ""}
	for _, e := range h.Entries {
		out = append(out, e.At.In(zone).Format("2006-01-02 15:04:05")+"  "+pad(e.What, 13)+" "+shown(joined(": ", strings.TrimSpace(byText(e.Who)), e.Reason)))
	}
	return out
}

// entriesOf picks what happened to a rollout as a whole out of its records.
func entriesOf(records []rollout.Record) []reportSaid {
	out := []reportSaid{}
	for _, r := range records {
		e := reportSaid{At: r.At.UTC(), What: string(r.Kind), Who: r.Who}
		if r.Reason != nil {
			e.Reason = r.Reason.Message
		}
		switch r.Kind {
		case rollout.KindOpened:
			if r.Operation != nil {
				e.Who, e.Reason = r.Operation.By, joined(": ", "image "+r.Operation.ImageID, r.Operation.Why)
			}
		case rollout.KindWave:
			e.Reason = fmt.Sprintf("wave %d of %d (%s), %s", r.Wave, r.Waves, r.Name, operator.Count(len(r.Desktops), "desktop"))
		case rollout.KindWaveEnded:
			e.Reason = fmt.Sprintf("wave %d", r.Wave)
		case rollout.KindControl:
			e.What = r.Action
		case rollout.KindUndoing:
			if r.Operation == nil {
				continue
			}
			e.What, e.Who, e.Reason = events.ActionRollback, r.Operation.By, r.Operation.Why
		case rollout.KindWaiting:
			if e.Reason == "" {
				continue
			}
		case rollout.KindHalted, rollout.KindSuperseded, rollout.KindClosed:
		default:
			continue
		}
		out = append(out, e)
	}
	return out
}

// controlCommand tells a rollout what to do, or has a request stopped or rolled back.
func controlCommand(w world, kind, action, short, long string) *cobra.Command {
	x := &sender{}
	m := &x.message
	c := &cobra.Command{Use: action + " ID", Short: short, Long: long + "\n\n" + controlHelp}
	x.define(w, c, "answered", "the "+kind, "wait for the answer", []string{"by"})
	m.action = action
	fs := c.Flags()
	fs.StringVar(&m.reason, "reason", "", "`why`; it is written down and told to subscribers")
	if action == events.ActionApprove {
		fs.IntVar(&m.wave, "wave", 0, "the `wave` that is approved; by default the one that waits")
	}
	if action == events.ActionRollback {
		fs.StringArrayVar(&m.consent, "consent", nil, "`what` is knowingly destroyed, besides what a rollback always does: "+
			strings.Join(events.Consents, ", ")+"; may be given several times")
		defineDigest(c, m)
	}
	return x.forID(c, kind, func(c *cobra.Command, id string) error {
		if kind == operator.Request {
			m.request = id
		} else {
			m.rollout = id
		}
		return x.control(c, kind, id)
	})
}

const controlHelp = `It shows first what it will touch and asks; --yes does not ask. The message goes to the queue of controls, by
default that of requests; the answer is what the journal shows of it.`

// control asks and sends, and waits for the answer.
func (x *sender) control(c *cobra.Command, kind, id string) error {
	ctx, m := c.Context(), &x.message
	if m.reason == "" {
		return usageError{errors.New("say why: --reason")}
	}
	at, err := x.ready(c)
	if err != nil {
		return err
	}
	if m.by, err = x.who(at.conf); err != nil {
		return err
	}
	touch, before, err := x.touch(ctx, at.store, kind, id)
	if err != nil {
		return err
	}
	what := m.action + " " + id
	if touch.Refused != "" {
		return fmt.Errorf("%s is not possible for %s %s: %s", m.action, kind, id, touch.Refused)
	}
	about := []string{what + ":"}
	for _, fact := range touch.Facts {
		about = append(about, "  "+fact)
	}
	message, err := x.put(ctx, at.conf, "control", nil, about, what+"?")
	if err != nil || x.noWait {
		return err
	}
	answer, err := x.answer(ctx, at.store, operator.Control{MessageID: message, Before: before,
		Control: events.Control{RolloutID: m.rollout, RequestID: m.request, Action: m.action, By: m.by, Reason: m.reason}})
	if err != nil {
		return err
	}
	if x.end {
		kind, id, _ := strings.Cut(answer.Taken, "/")
		return x.waitIn(ctx, at, []name{{kind, id}}, &x.pacing, &x.out)
	}
	return x.out.show(x.w, answer, func() []string { return answerLines(m.action, answer, at.zone) })
}

// touch says what the control will touch, and how many controls there were
// before it.
func (x *sender) touch(ctx context.Context, store journal.Store, kind, id string) (operator.Touch, int, error) {
	back := x.message.action == events.ActionRollback && kind == operator.Rollout
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	var expired operator.Touch
	enrolled := []string{}
	if _, fleet, ok := rollout.SplitID(id); ok && back {
		var err error
		if enrolled, err = operator.Enrolled(ctx, store, fleet); err != nil {
			return expired, 0, err
		}
	}
	at := slices.Index(enrolled, id)
	state, records, err := operator.Read(ctx, store, kind, id)
	if _, unknown := errors.AsType[*operator.UnknownError](err); unknown && at >= 0 {
		expired.Facts = []string{"its journal has expired: the function goes by what ECD recorded of each desktop that is on its image now"}
		return expired, 0, nil
	}
	if err != nil {
		return expired, 0, err
	}
	if kind == operator.Request {
		x.message.request = state.Operation.ID // a person's may be shorter
	}
	if x.message.action == events.ActionApprove && x.message.wave == 0 {
		x.message.wave = gate(state)
	}
	t := operator.TouchOf(state, x.message.action, x.message.wave)
	if t.Refused == "" && back {
		t.Refused = model.NotLatest(id, enrolled)
	}
	return t, operator.Controls(records), nil
}

// gate returns the wave behind which an approve opens the gate by what is shown of the rollout. It
// is named in the message: one that arrives late, when another was sent since, opens no other gate. 0: it
// waits for something else than an approval behind a wave.
func gate(s *rollout.State) int {
	wave := model.TouchOf(s, events.ActionApprove, 0).Wave
	if rollout.Allow(s, events.ActionApprove, wave) != nil {
		return 0
	}
	return wave
}

// answer waits until the function has taken the control.
func (x *sender) answer(ctx context.Context, store journal.Store, control operator.Control) (operator.Answer, error) {
	within := x.soon()
	waiting, cancel := within.within(ctx)
	defer cancel()
	a, err := control.Answer(waiting, retrying{store, &within}, within.wait)
	if err == nil {
		return a, nil
	}
	what := fmt.Sprintf("message %s was sent, and the function did not answer", control.MessageID)
	kind, id := control.Of()
	if state, _, readErr := operator.Read(context.WithoutCancel(ctx), store, kind, id); readErr == nil {
		if refusal := rollout.Allow(state, control.Action, x.message.wave); refusal != nil {
			what += " (as the " + kind + " stands now it would refuse: " + refusal.Error() + ")"
		}
	}
	return a, within.outcomeOf(waiting, err, what)
}

// answerLines shows what the function made of something.
func answerLines(what string, a operator.Answer, zone *time.Location) []string {
	return []string{
		shown(fmt.Sprintf("%s: taken by %s at %s", what, a.Taken, a.At.In(zone).Format(exact))),
		shown(fmt.Sprintf("it is now %s", inBrief(a.Operation, zone))),
	}
}
