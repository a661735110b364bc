package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

func requestCommand(w world) *cobra.Command {
	c := group("request", "ask for named desktops to be rebuilt, and look at such requests", `
A request names the desktops that are to be rebuilt. Its id tells a second
delivery from a second wish.`)
	c.AddCommand(requestSendCommand(w), showCommand(w, operator.Request), operationWatchCommand(w, operator.Request), requestRetryCommand(w),
		controlCommand(w, operator.Request, events.ActionAbort, "begin nothing more of a request, ever",
			"Ends the request: what it has not begun, now or for later, is refused (Aborted). What was begun is followed to its\n"+
				"end, and can be rolled back. The ID is that of the outcomes."),
		controlCommand(w, operator.Request, events.ActionRollback, "return every desktop that the request had rebuilt to its former image",
			"Returns every desktop that the request had rebuilt to the image that it was on before, as a request of its own\n(ID/rollback). The images come back; "+
				"what was on the system disks does not. Desktops that somebody else has changed since\nare left alone. The ID is that of the outcomes."))
	return c
}

// A sender sends requests, releases and controls, and waits for what becomes of
// them.
type sender struct {
	*settings
	message          sendFlags
	door             string // through which requests go, as the function names it
	yes, noWait, end bool
	pacing           pacing
	out              output
}

// define gives the command what all senders have. taken is what the function has
// then done, all what has then ended, and wait what --timeout is for.
func (x *sender) define(w world, c *cobra.Command, taken, all, wait string, groups ...[]string) {
	x.settings = newSettings(w, c, append([][]string{forJournal, forQueue}, groups...)...)
	fs := c.Flags()
	fs.BoolVarP(&x.yes, "yes", "y", false, "do not ask")
	fs.BoolVar(&x.noWait, "no-wait", false, "do not wait until the function has "+taken)
	fs.BoolVar(&x.end, "wait", false, "wait until "+all+" has come to its end, as regild wait does")
	x.pacing.define(c, answerWithin, wait+" this `long`; with --wait for the end, 24h by default")
	x.out.define(c)
	x.message.source = "regild"
}

// definePlan gives the command what is asked of a plan, besides what all have.
func (x *sender) definePlan(w world, c *cobra.Command, groups ...[]string) {
	x.define(w, c, "taken it", "all", "wait until it is taken", groups...)
	c.Flags().BoolVar(&x.message.dryRun, "dry-run", false, "ask for the plan, which is published, and change nothing")
	defineDigest(c, &x.message)
}

// defineDigest gives a command the plan that somebody has seen.
func defineDigest(c *cobra.Command, m *sendFlags) {
	c.Flags().StringVar(&m.digest, "plan-digest", "", "demand that the plan is still the one with this `digest`")
}

// ready checks the flags and opens what is needed.
func (x *sender) ready(c *cobra.Command) (installation, error) {
	if x.noWait && x.end {
		return installation{}, usageError{errors.New("--no-wait and --wait exclude each other")}
	}
	if x.end && !c.Flags().Changed("timeout") {
		x.pacing.timeout = endWithin
	}
	if err := x.pacing.check(); err != nil {
		return installation{}, err
	}
	x.pacing.trouble = x.w.trouble
	at, err := x.open("")
	x.door = "queues/" + x.queueName(at.conf, events.TypeRequest)
	return at, err
}

// put asks, puts the message on the queue and returns its id there.
func (x *sender) put(ctx context.Context, conf operator.Config, kind string, desktops, about []string, question string) (string, error) {
	e, err := x.message.event(kind, desktops, x.w.clock()(), fleetsAtHand(conf))
	if err != nil {
		return "", err
	}
	client, queue, err := x.queueOf(conf, e.Type)
	if err != nil {
		return "", err
	}
	body, err := e.Marshal()
	if err != nil {
		return "", err
	}
	if len(body) > queueLimit {
		return "", fmt.Errorf("the message has %d bytes, and a queue takes %d; name fewer desktops in one request", len(body), queueLimit)
	}
	if x.message.dryRun {
		question = "ask for the plan?"
	}
	if err := confirm(ctx, x.w, x.yes, about, question); err != nil {
		return "", err
	}
	id, err := client.Send(ctx, queue, body, 0)
	if err != nil {
		return "", fmt.Errorf("sending to %s: %w", queue, err)
	}
	if x.noWait || x.message.dryRun {
		say(x.w.out, "sent to %s as message %s\n", queue, id)
	}
	if x.message.dryRun {
		say(x.w.out, "the function publishes its plan to the result topic (tag rollout)\n")
	}
	return id, nil
}

// soon is the pacing until the function has answered.
func (x *sender) soon() pacing {
	p := x.pacing
	if x.end {
		p.timeout = min(p.timeout, answerWithin)
	}
	return p
}

// found is what the journal has of what was asked for.
type found struct {
	names   []name
	missing string // what it should have and has not; "": it has all
}

// taken waits until the journal has what was asked for, and shows it or follows
// it to the end.
func (x *sender) taken(ctx context.Context, at installation, what string, look func(context.Context) (found, error)) error {
	if x.noWait || x.message.dryRun {
		return nil
	}
	within := x.soon()
	waiting, cancel := within.within(ctx)
	defer cancel()
	has, err := look(waiting)
	missing := has.missing
	for err == nil && has.missing != "" {
		missing = has.missing
		if err = within.wait(waiting); err == nil {
			has, err = look(waiting)
		}
	}
	const hint = "if it was refused, the result topic was told (regild tail)"
	notTaken := what + " was sent, and " + missing
	if err != nil {
		return within.outcomeOf(waiting, err, notTaken, hint)
	}
	if x.end {
		return x.waitIn(ctx, at, has.names, &x.pacing, &x.out)
	}
	l := operator.Listing{Operations: []operator.Operation{}}
	for _, n := range has.names {
		a, err := operator.Opened(waiting, retrying{at.store, &within}, n.kind, n.id, within.wait)
		if err != nil {
			return within.outcomeOf(waiting, err, notTaken, hint)
		}
		l.Operations = append(l.Operations, a.Operation)
	}
	return x.out.show(x.w, l, func() []string { return listLines(l, at.zone) })
}

// opened returns the request that has an id of ours, if the journal has one. Where
// the function keeps requests apart by door and source, ours has another id there
// (rollout.Apart), and one of the plain id may be somebody else's. It is a RefusedError if the
// function refused the message, which is "" before one was sent.
func (x *sender) opened(ctx context.Context, from operator.Reader, id, message string) (*rollout.State, error) {
	for _, own := range []string{rollout.Apart(id, x.door, x.message.source), id} {
		f := operator.Follow(from, operator.Request, own)
		if _, err := f.Look(ctx); err != nil {
			return nil, err
		}
		if o := f.State.Operation; o != nil {
			door, source := o.Came()
			if o.Via == nil || own != id || door == x.door && source == x.message.source {
				return f.State, nil
			}
		} else if message != "" {
			if err := operator.RefusedRequest(f.State, message, x.message.digest); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil //nolint:nilnil // there is none, and nothing is wrong
}

// unused fails where the journal has a request of the id, whoever sent it.
func (x *sender) unused(ctx context.Context, at installation, id string) error {
	s, err := x.opened(ctx, at.store, id, "")
	if err == nil && s == nil {
		f := operator.Follow(at.store, operator.Request, id)
		_, err = f.Look(ctx)
		s = f.State
	}
	if err != nil || s.Operation == nil {
		return err
	}
	return fmt.Errorf("there is a request %s already: %s; give this one another --id", s.Operation.ID, inBrief(operator.OperationOf(s), at.zone))
}

func requestSendCommand(w world) *cobra.Command {
	x := &sender{}
	c := &cobra.Command{
		Use: "send DESKTOP...", Short: "ask for desktops to be rebuilt",
		Long: `
Puts a request on the queue that names the desktops, after showing what it asks
for, and waits until the function has taken it, or with --wait until all desktops
have come to their end; --no-wait waits for neither. The region is that of the
settings.`,
		Example: `  regild request send ecd-gx2x1dhsmucyy0001 ecd-gx2x1dhsmucyy0002 --image m-84mztzatmlnys0001
  regild request send --consent reset ecd-gx2x1dhsmucyy0001 --id ticket-4711 --wait`,
	}
	x.definePlan(w, c)
	fs, m := c.Flags(), &x.message
	fs.StringVar(&m.request, "id", "", "the request's `id`, by which repetitions are recognised; by default a new one")
	fs.StringVar(&m.image, "image", "", "the `id` of the image; without one, back to the current image (needs --consent reset)")
	fs.StringVar(&m.of, "of-account", "", "the `id` of the account of the desktops; by default the function's own")
	fs.StringVar(&m.notBefore, "not-before", "", "begin nothing before this `time` (RFC 3339), 7 days ahead at most")
	defineRebuild(c, m)
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{errors.New("name the desktops, such as ecd-gx2x1dhsmucyy0001")}
		}
		at, err := x.ready(c)
		if err != nil {
			return err
		}
		m.region = at.conf.Region
		m.request = cmp.Or(m.request, "regild-"+strings.ToLower(rand.Text()[:16]))
		if m.image == "" && !slices.Contains(m.consent, "reset") {
			return usageError{errors.New("without --image the desktops are reset to the image that each is on, which the function refuses without --consent reset")}
		}
		if err := x.unused(c.Context(), at, m.request); err != nil {
			return err
		}
		return x.request(c.Context(), at, args, nil)
	}
	return c
}

// defineRebuild gives a command the options of a rebuild.
func defineRebuild(c *cobra.Command, m *sendFlags) {
	fs := c.Flags()
	fs.StringArrayVar(&m.consent, "consent", nil, "`what` is knowingly destroyed: "+strings.Join(events.Consents, ", ")+"; may be given several times")
	fs.StringVar(&m.operate, "operate-type", "", "`replace` also replaces data disks")
	fs.StringVar(&m.language, "language", "", strings.Join(events.Languages, ", "))
	fs.StringVar(&m.after, "after", "", "the `status` wanted afterwards, Running or Stopped")
	mustRegister(c, "consent", cobra.FixedCompletions(events.Consents, cobra.ShellCompDirectiveNoFileComp))
	mustRegister(c, "after", cobra.FixedCompletions(events.AfterStatuses, cobra.ShellCompDirectiveNoFileComp))
	mustRegister(c, "language", cobra.FixedCompletions(events.Languages, cobra.ShellCompDirectiveNoFileComp))
	mustRegister(c, "operate-type", cobra.FixedCompletions(events.OperateTypes, cobra.ShellCompDirectiveNoFileComp))
}

// request asks and sends, and waits for what becomes of it.
func (x *sender) request(ctx context.Context, at installation, desktops, about []string) error {
	m := &x.message
	image := "image " + m.image
	if m.image == "" {
		image = "the image that each is on: everything on the system disks since then is lost"
	}
	place := desktop.Place{Account: m.of, Region: m.region}
	about = append([]string{fmt.Sprintf("request %s: %s in %s to %s", m.request, operator.Count(len(desktops), "desktop"), place, image)}, about...)
	if len(desktops) > 0 {
		about = append(about, "  "+operator.First(10, " ", desktops))
	}
	if m.notBefore != "" {
		notBefore, err := timeOf("not-before", m.notBefore)
		if err != nil {
			return err
		}
		about = append(about, fmt.Sprintf("  nothing begins before %s (%s)", m.notBefore, notBefore.In(at.zone).Format(exact)))
	}
	if len(m.consent) > 0 {
		about = append(about, "  with the consent to "+strings.Join(m.consent, ", "))
	}
	message, err := x.put(ctx, at.conf, "request", desktops, about, "rebuild them? What is on their system disks is lost.")
	if err != nil {
		return err
	}
	return x.taken(ctx, at, "request "+m.request, func(ctx context.Context) (found, error) {
		s, err := x.opened(ctx, retrying{at.store, &x.pacing}, m.request, message)
		if err != nil || s == nil {
			return found{missing: "nothing in the journal shows that the function took it"}, err
		}
		if s.Operation.ID != m.request {
			say(x.w.err, "the function calls it %s: requests are kept apart by the door that they come through\n", shown(s.Operation.ID))
		}
		return found{names: []name{{operator.Request, s.Operation.ID}}}, nil
	})
}

func requestRetryCommand(w world) *cobra.Command {
	x := &sender{}
	c := &cobra.Command{
		Use: "retry ID", Short: "ask once more for the desktops of a request that failed",
		Long: `Sends a new request for those desktops of an ended one that failed, with the same image, options and consents. The
new one has an id of its own, by default ID/retry-N.`,
	}
	x.definePlan(w, c)
	c.Flags().StringVar(&x.message.request, "id", "", "the new request's `id`")
	return x.forID(c, operator.Request, x.retry)
}

// retry sends a new request for those desktops of a request that failed.
func (x *sender) retry(c *cobra.Command, id string) error {
	at, err := x.ready(c)
	if err != nil {
		return err
	}
	s, _, err := operator.Read(c.Context(), at.store, operator.Request, id)
	if err != nil {
		return err
	}
	if s.Open() {
		return fmt.Errorf("request %s has not ended; it tries by itself what can be tried", id)
	}
	failed := slices.DeleteFunc(slices.Clone(s.Order), func(id string) bool { return s.Desktops[id].Last.Status != events.StatusFailed })
	if len(failed) == 0 {
		return fmt.Errorf("no desktop of request %s has failed: %s", id, countsText(s.Counts()))
	}
	m := &x.message
	if m.request == "" {
		if m.request, err = x.nextRetry(c.Context(), at.store, id); err != nil {
			return err
		}
	}
	o := s.Operation
	m.of, m.region, m.image, m.operate, m.language, m.after, m.consent = o.AccountID, o.RegionID, o.ImageID, o.OperateType, o.Language, o.AfterStatus, o.Consents
	var about []string
	for _, d := range failed {
		last := s.Desktops[d].Last
		about = append(about, fmt.Sprintf("  %s failed: %s: %s", d, last.Code, last.Message))
		if len(about) == 10 {
			about = append(about, fmt.Sprintf("  and %d more", len(failed)-len(about)))
			break
		}
	}
	return x.request(c.Context(), at, failed, about)
}

// maxRetries bounds the search for an id that is free.
const maxRetries = 100

// nextRetry returns the first id of a retry that the journal does not know.
func (x *sender) nextRetry(ctx context.Context, store journal.Store, id string) (string, error) {
	for n := 1; n <= maxRetries; n++ {
		next := fmt.Sprintf("%s/retry-%d", id, n)
		if s, err := x.opened(ctx, store, next, ""); err != nil || s == nil {
			return next, err
		}
	}
	return "", fmt.Errorf("request %s was tried again %d times; give the next one an --id", id, maxRetries)
}
