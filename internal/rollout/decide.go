// Package rollout decides what is to be done about a request or a release.
//
// It holds the three pure pieces that the promise stands on. A State is the
// journal, folded: what was asked for, what was begun and how it ended. Decide
// looks at the state, the facts and the time and says what may be done now, or
// what must be known first. And the Records are what is written down, before
// and after it is done, and make the next State.
//
// A request is a rollout with one wave and no gates: the same fold and the same
// decisions serve both. Nothing here has a clock, a client or a logger.
//
// The life of a desktop under a work:
//
//	Pending --begun--> Begun --accepted--> Accepted --completed, failed--> Final
//	   |  ^              | |
//	   |  +----again-----+ +--failed----------------------------------> Final
//	   +--skipped, refused, failed------------------------------------> Final
//
// It comes again only when ECD did not start it: it says so, or shows over a
// settling time that nothing began.
//
// A call is made only for a desktop that a record says was begun, and a desktop
// is begun only while it is Pending: that is the whole of "never twice".
package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/guard"
)

// Rules are what the settings and fleets.yaml say now. They are not part of the
// journal: a change takes effect at the next decision.
type Rules struct {
	Regions        []string // allow-list
	Fleets         fleet.Fleets
	Declared       bool // a fleets.yaml is there, even if it is empty
	Journal        bool // the journal is durable
	Freezes        bool // and knows of freezes, which hold everything back
	SignedTicks    bool // without a journal: what ticks carry is signed, and so believed
	RebuildTimeout time.Duration
}

// A Decision is what may be done now. When Need is not empty the rest is
// unfinished and must not be acted on.
type Decision struct {
	Need    Need
	Records []Record // what follows from the facts; to be written down at once
	// What is to be done to desktops, each after its record.
	Hold, Release, Stop, Start []string
	Command                    Command
	Tell                       []Notification
	Ask                        []Command
	// Left are desktops that we could not give back, for so long that an operator
	// has to: they are in maintenance mode, or stopped, because of us.
	Left []string
	// Back says that the rollout, which has halted, is to go back by itself.
	Back bool
	// Begin are the desktops whose rebuild may be begun, in order.
	Begin []string
	// Again is when to look again at the latest; zero when nothing is left.
	Again time.Time
}

// Acts says whether something besides Begin is to be done to desktops.
func (d Decision) Acts() bool {
	return len(d.Hold)+len(d.Release)+len(d.Stop)+len(d.Start)+len(d.Command.Desktops)+len(d.Tell)+len(d.Ask) > 0
}

// A Command is a check to be run on desktops.
type Command struct {
	Desktops   []string
	Text, Kind string
	Timeout    time.Duration
}

// Decide says what may be done about the work now. It is pure, and asks for
// facts as it needs them: call it again with more facts until Need is empty.
func Decide(s *State, r Rules, f *Facts, now time.Time) Decision {
	d := newDecider(s, r, f, now)
	if !s.Open() {
		return d.out
	}
	if s.Operation.Request() {
		for _, id := range s.Order {
			d.desktop(s.Desktops[id])
		}
	} else {
		d.rollout()
	}
	d.finish()
	return d.out
}

// decider gathers one decision.
type decider struct {
	s   *State
	r   Rules
	f   *Facts
	now clock
	out Decision

	settled  []settlement
	groups   map[groupKey]int // of settled
	marks    map[markKey][]string
	open     int // desktops that are not Final after this decision
	kept     int // desktops that are Final and still ours to release or start
	told     int // notices that are out, once they were counted; see named
	want     map[any]bool
	running  map[string]bool // desktops that we had stopped, and that run again
	planning bool            // nothing is begun: see snapshots
	vain     *Unread         // why something could not be had, for a plan
	asking   int             // desktops that take room because they are being asked
}

func newDecider(s *State, r Rules, f *Facts, now time.Time) *decider {
	return &decider{s: s, r: r, f: f, now: clock{now}, groups: map[groupKey]int{}, marks: map[markKey][]string{}, told: -1}
}

// A settlement is an outcome that follows from the facts, and its time.
type settlement struct {
	Group
	at time.Time
}

type groupKey struct {
	Result
	until time.Time
	at    time.Time
}

// A markKey tells marks apart by what they say and since when it is so.
type markKey struct {
	kind Kind
	at   time.Time
}

// desktop decides about one desktop by its phase.
func (d *decider) desktop(x *Desktop) {
	switch x.Phase {
	case Pending:
		d.pending(x)
	case Begun:
		if x.Doubted {
			d.doubted(x)
			return
		}
		d.unknown(x)
	case Accepted:
		d.follow(x)
	case Final:
		d.letGo(x)
	}
}

// finish writes down what was gathered, and closes a work of which nothing is
// left.
func (d *decider) finish() {
	if !d.out.Need.Empty() {
		return
	}
	// What became of desktops comes before what follows from it, so that a wave
	// that ends, a halt and a closing count it in.
	follows := d.out.Records
	d.out.Records = nil
	for _, k := range []Kind{KindAgain, KindSeen, KindArrived, KindMissing, KindListed, KindIdle, KindReleased, KindStarted, KindNotified, KindUnnotified, KindCleared, KindNotNow, KindUnasked, KindOnHold} {
		d.recordMarks(k)
	}
	d.recordSettled()
	d.out.Records = append(d.out.Records, follows...)
	if d.s.Operation.Request() && d.open == 0 && d.kept == 0 {
		d.close(nil)
	}
}

// recordMarks writes down the marks of one kind, oldest first.
func (d *decider) recordMarks(k Kind) {
	var times []time.Time
	for m := range d.marks {
		if m.kind == k {
			times = append(times, m.at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range times {
		for ids := range slices.Chunk(d.marks[markKey{k, at}], maxIDs) {
			d.out.Records = append(d.out.Records, Record{Kind: k, At: at, Desktops: ids})
		}
	}
}

// recordSettled writes down the outcomes, oldest first.
func (d *decider) recordSettled() {
	byTime := map[time.Time][]Group{}
	for _, g := range d.settled {
		byTime[g.at] = append(byTime[g.at], g.Group)
	}
	for _, at := range slices.SortedFunc(maps.Keys(byTime), time.Time.Compare) {
		for _, groups := range portions(byTime[at]) {
			d.out.Records = append(d.out.Records, Record{Kind: KindSettled, At: at, Outcomes: groups})
		}
	}
}

// Bounds of a record, so that its line stays far below what a journal takes:
// outcomes, desktops, and bytes of a message.
const (
	maxGroups  = 250
	maxIDs     = 10_000
	maxMessage = 512
)

// portions deals groups out to records. No group has more than maxIDs desktops.
func portions(groups []Group) [][]Group {
	var out [][]Group
	ids := 0
	for _, g := range groups {
		if n := len(out); n == 0 || len(out[n-1]) >= maxGroups || ids+len(g.Desktops) > maxIDs {
			out, ids = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], g)
		ids += len(g.Desktops)
	}
	return out
}

// Cut bounds a message that goes into a record.
func Cut(s string) string { return cut(s) }

// cut bounds a message; ECD's own, or a command's output, may be long.
func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

func (d *decider) record(r Record) {
	r.At = d.now.t
	d.out.Records = append(d.out.Records, r)
}

// close ends the work. The digest counts the outcomes of this very decision in.
func (d *decider) close(reason *events.Reason) {
	after := d.s.finals()
	for _, g := range d.settled {
		if g.Status != events.StatusDeferred && g.Status != events.StatusAccepted {
			for _, id := range g.Desktops {
				after = append(after, OutcomeID(d.s.Operation.ID, id, g.Status, d.s.Desktops[id].counts.of(g.Status)+1))
			}
		}
	}
	d.record(Record{Kind: KindClosed, Digest: events.Digest(after), Reason: reason})
	d.out.Again = zero
}

// finals returns the ids of the final outcomes that there are.
func (s *State) finals() []string {
	var out []string
	for _, id := range s.Order {
		if d := s.Desktops[id]; d.Phase == Final {
			out = append(out, OutcomeID(s.Operation.ID, id, d.Last.Status, d.counts.of(d.Last.Status)))
		}
	}
	return out
}

// OutcomeID names the n-th outcome of one status of one desktop under one work.
// Equal ids mean the same happening, however often it is published.
func OutcomeID(work, desktop string, status events.Status, n int) string {
	id := work + "/" + desktop + "/" + string(status)
	if n > 1 {
		id = fmt.Sprintf("%s/%d", id, n)
	}
	return id
}

// again makes sure that the work is looked at again at t.
func (d *decider) again(t time.Time) {
	if d.out.Again.IsZero() || t.Before(d.out.Again) {
		d.out.Again = t
	}
}

// settle gives a desktop a final outcome that follows from the facts.
func (d *decider) settle(x *Desktop, status events.Status, code, message string) {
	d.group(x, groupKey{Result: Result{status, code, message}, at: d.now.t})
	if x.Held || x.Stopped && !d.running[x.ID] {
		d.kept++
		d.again(d.now.t)
	}
}

// runs notes that a desktop that we had stopped runs again by its rebuild.
func (d *decider) runs(x *Desktop, now *desktop.Desktop) {
	if !x.Stopped || now.Status != desktop.Running {
		return
	}
	d.mark(KindStarted, x, d.now.t)
	if d.running == nil {
		d.running = map[string]bool{}
	}
	d.running[x.ID] = true
}

// accept notes that ECD shows, at the time at which it was asked, that a rebuild
// of ours began whose answer was lost.
func (d *decider) accept(x *Desktop, readAt time.Time, message string) {
	at := later(d.now.t, readAt)
	d.group(x, groupKey{Result: Result{events.StatusAccepted, events.CodeReconciled, message}, at: at})
	d.open++
	d.again(at.Add(statusLag))
}

func (d *decider) group(x *Desktop, k groupKey) {
	k.Message = cut(k.Message)
	i, known := d.groups[k]
	if !known || len(d.settled[i].Desktops) >= maxIDs {
		i = len(d.settled)
		d.groups[k] = i
		d.settled = append(d.settled, settlement{Group{Status: k.Status, Code: k.Code, Message: k.Message, Until: k.until}, k.at})
	}
	d.settled[i].Desktops = append(d.settled[i].Desktops, x.ID)
}

// postpone leaves a desktop for later. It is told to the world when the reason
// is new.
func (d *decider) postpone(x *Desktop, code, message string) {
	d.open++
	until := d.now.in(30 * time.Second)
	if x.WaitCode == code {
		until = d.now.pace(x.WaitSince)
	} else {
		d.group(x, groupKey{Result: Result{events.StatusDeferred, code, message}, until: until, at: d.now.t})
	}
	d.again(until)
}

// waited returns how long the desktop had been waiting for that reason when the
// fact was read that says so.
func (d *decider) waited(x *Desktop, code string, readAt time.Time) time.Duration {
	since, waits := x.waitsSince(code)
	if w := d.s.Waiting; !waits || w != nil && w.Code == events.CodeWindowClosed {
		return 0 // while the window was closed nobody looked
	}
	return readAt.Sub(later(since, d.s.Resumed))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// mark notes what was so when the fact was read.
func (d *decider) mark(k Kind, x *Desktop, readAt time.Time) {
	m := markKey{k, readAt}
	d.marks[m] = append(d.marks[m], x.ID)
}

// pending decides whether a desktop may be begun.
func (d *decider) pending(x *Desktop) {
	if d.scheduled(x) {
		return
	}
	if until := d.rests(x); !d.now.due(until) {
		d.open++
		d.again(until)
		return
	}
	if d.missing(x) || x.tried() && d.reconciled(x) {
		return
	}
	q := guard.Question{Target: targetOf(d.s.Operation, x.ID)}
	fact, strategy, ok := d.question(x, &q)
	if !ok {
		return
	}
	v := guard.Check(q)
	switch v.Answer {
	case guard.Go:
		d.goAhead(x, fact, strategy)
	case guard.Wait:
		if v.Code == events.CodeSessionWait && !(d.notHeld(x, fact, strategy) && d.noticed(x, fact, strategy)) {
			return // whoever is there is told first
		}
		d.wait(x, v, fact.ReadAt)
	case guard.Skip:
		d.settle(x, events.StatusSkipped, v.Code, v.Message)
	default:
		d.settle(x, events.StatusRefused, v.Code, v.Message)
	}
}

// missing keeps a desktop waiting that is ours to give back and that ECD does not
// list, until it is gone. True also means that more must be known first.
func (d *decider) missing(x *Desktop) bool {
	if !x.Held && !x.Stopped {
		return false
	}
	fact, ok := d.read(x)
	if !ok {
		return true
	}
	if d.gone(x, fact) || fact.Value != nil {
		return false
	}
	d.open++
	return true
}

func targetOf(w *Operation, id string) desktop.Target {
	return desktop.Target{ID: id, Spec: w.SpecOf(id)}
}

// reconciled settles a pending desktop that is on its image already by an earlier
// call of ours, for which it failed, or of which ECD did not show in time that it
// was carried out: it is followed, and proves itself, like any other. True also
// means that more must be known first.
func (d *decider) reconciled(x *Desktop) bool {
	spec := d.s.Operation.SpecOf(x.ID)
	if spec.Reset() || x.From == spec.ImageID {
		return false
	}
	fact, ok := d.read(x)
	if !ok {
		return true
	}
	if fact.Value == nil || fact.Value.ImageID != spec.ImageID {
		return false
	}
	d.accept(x, fact.ReadAt, "ECD shows the desktop on the image, to which an earlier call was to bring it")
	return true
}

// question fills in all that the guards want to know, or asks for it. The
// strategy is that of the desktop's fleet, or nil.
func (d *decider) question(x *Desktop, q *guard.Question) (Fact[*desktop.Desktop], *fleet.Strategy, bool) {
	q.Rules = guard.Rules{Regions: d.r.Regions, Journal: d.r.Journal, Consents: d.s.Operation.Consents, Held: x.Held}
	if !slices.Contains(d.r.Regions, q.RegionID) {
		return Fact[*desktop.Desktop]{}, nil, true // refused without asking anybody
	}
	fact, ok := d.read(x)
	if !ok || fact.Value == nil {
		return fact, nil, ok
	}
	if q.Desktop, ok = d.tagged(x, fact.Value); !ok {
		return fact, nil, false
	}
	strategy := d.fleetRules(x, q, fact.ReadAt)
	wanted := q.ImageID
	if q.Reset() {
		wanted = q.Desktop.ImageID
	}
	image, ok1 := d.image(x, wanted)
	current, ok2 := d.image(x, q.Desktop.ImageID)
	q.Image, q.Current = image, current
	return fact, strategy, ok1 && ok2 && d.snapshots(x, q)
}

// fleetRules adds what the desktop's fleet says of it.
func (d *decider) fleetRules(x *Desktop, q *guard.Question, readAt time.Time) *fleet.Strategy {
	if !d.r.Declared {
		return nil
	}
	f, in := d.r.Fleets.Of(*q.Desktop)
	if d.s.Operation.Request() {
		q.Rules.Outside = !in || !f.Requests
		if in {
			d.heard(&f, q)
		}
	} else {
		if in = d.member(*q.Desktop); in {
			f = *d.fleet()
		}
		q.Rules.Outside = !in
		q.Rules.Command = in && f.Strategy.Check.Command != ""
		q.Rules.Consents = append(slices.Clone(q.Rules.Consents), d.consents(&f)...)
	}
	if !in {
		return nil
	}
	q.Rules.Forgetful = !d.r.Journal && !d.r.SignedTicks && (f.Strategy.Maintenance || f.Strategy.StopFirst)
	q.Rules.Sessions = d.sessions(x, f.Strategy.Sessions, readAt)
	q.Rules.Keep = kept(f.Rebuild.KeepSnapshots)
	return &f.Strategy
}

// kept says which snapshots a fleet keeps. A word that this build does not know
// keeps all of them.
func kept(snapshots string) guard.Keep {
	switch snapshots {
	case "":
		return guard.KeepNone
	case fleet.KeepByHand:
		return guard.KeepByHand
	}
	return guard.KeepAll
}

// heard adds what follows from the way on which the request came. What does not
// say how it came is from an earlier build, and trusted least.
func (d *decider) heard(f *fleet.Fleet, q *guard.Question) {
	door, source := d.s.Operation.Came()
	if !f.From.Request.Admits(door, source) {
		q.Rules.Door = WrongDoor(f.Name, "requests", door, source, f.From.Request)
	}
	if len(q.Rules.Consents) > 0 && !f.HearsConsent(door) {
		q.Rules.Consents = nil
		q.Rules.Unheard = fmt.Sprintf("for fleet %s a consent counts only through %s, and this came through %s", f.Name, strings.Join(f.ConsentFrom, ", "), door)
	}
}

// WrongDoor says, for people, why a fleet does not hear what came through the door
// from the source.
func WrongDoor(name, what, door, source string, g fleet.Gate) string {
	came := "this came through " + door
	if len(g.Sources) > 0 {
		came += fmt.Sprintf(" from the source %.100q", source)
	}
	var from []string
	if len(g.Doors) > 0 {
		from = append(from, "through "+strings.Join(g.Doors, ", "))
	}
	if len(g.Sources) > 0 {
		from = append(from, "from "+strings.Join(g.Sources, ", "))
	}
	return fmt.Sprintf("fleet %s takes %s only %s; %s", name, what, strings.Join(from, " "), came)
}

// consents returns what the fleet consents to for its rollouts. Going back is a
// wish of its own: what it would erase besides system disks needs the consent of
// whoever asks for it.
func (d *decider) consents(f *fleet.Fleet) []string {
	if d.s.Operation.Undoes == "" {
		return f.Rebuild.Consent
	}
	return slices.DeleteFunc(slices.Clone(f.Rebuild.Consent), func(c string) bool {
		return c == events.ConsentDataDisk || c == events.ConsentOSChange || c == events.ConsentSnapshots
	})
}

// sessions returns the policy towards users of the desktop at the time at which
// it was looked at.
func (d *decider) sessions(x *Desktop, s fleet.Sessions, readAt time.Time) guard.Sessions {
	policy := s.Policy
	if since, waits := x.waitsSince(events.CodeSessionWait); policy == fleet.Wait && waits && !x.Doubted && readAt.Sub(since) >= s.Deadline {
		policy = s.After
	}
	switch policy {
	case fleet.Force:
		return guard.ForceInUse
	case fleet.Wait:
		return guard.WaitInUse
	case fleet.Skip:
		return guard.SkipInUse
	}
	return guard.RefuseInUse
}

// unread deals with a desktop about which ECD could not be asked at that time: it
// waits, and in the end it has failed. It is only given up after a look that was
// in vain.
func (d *decider) unread(x *Desktop, u *Unread, at time.Time) {
	d.vain = u
	switch x.Phase {
	case Pending:
		if d.waited(x, u.Code, at) < askLimit {
			d.postpone(x, u.Code, u.Message)
			return
		}
		d.settle(x, events.StatusFailed, u.Code, fmt.Sprintf("gave up after %s: %s", askLimit, u.Message))
	case Begun:
		if at.Sub(x.asked()) < giveUp {
			d.lookAgain(x.BegunAt)
			return
		}
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, fmt.Sprintf(
			"the answer to the call of %s was lost and ECD could not be asked about it for %s", x.BegunAt.UTC().Format(time.RFC3339), giveUp))
	case Accepted:
		d.unreadable(x, u, at)
	case Final: // it was given an outcome; see letGo
	}
}

// unreadable deals with an accepted desktop about which ECD could not be asked.
func (d *decider) unreadable(x *Desktop, u *Unread, at time.Time) {
	limit, since := giveUp, x.AcceptedAt
	if !x.ArrivedAt.IsZero() {
		since = x.ArrivedAt
		if s := d.strategy(nil); s != nil {
			limit += s.Check.Stable
		}
	}
	switch {
	case at.Sub(since) < limit:
		d.lookAgain(since)
	case x.ArrivedAt.IsZero():
		d.settle(x, events.StatusFailed, events.CodeRebuildTimeout, fmt.Sprintf("it is not known to have ended after %s: %s", limit, u.Message))
	default:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("it was seen on the image and could not be checked for %s: %s", limit, u.Message))
	}
}

// lookAgain leaves a desktop open, to be looked at again the later the longer it
// takes.
func (d *decider) lookAgain(since time.Time) {
	d.open++
	d.again(d.now.pace(since))
}

// wait leaves a desktop for later, but not for ever.
func (d *decider) wait(x *Desktop, v guard.Verdict, readAt time.Time) {
	if x.Stopped && v.Code == events.CodeStatusWait {
		v.Code, v.Message = events.CodeStopWait, fmt.Sprintf("desktop %s was told to stop before it is rebuilt", x.ID)
	}
	waited := d.waited(x, v.Code, readAt)
	switch {
	case !x.WaitFirst.IsZero() && readAt.Sub(x.WaitFirst) >= waitLimit && d.s.Operation.Request():
		d.settle(x, events.StatusRefused, v.Code, fmt.Sprintf("given up after %s: %s", waitLimit, v.Message))
	case v.Code == events.CodeImageCreating && waited >= imageLimit:
		d.settle(x, events.StatusRefused, events.CodeImageNotAvailable, fmt.Sprintf("%s after %s", v.Message, imageLimit))
	case (v.Code == events.CodeStatusWait || v.Code == events.CodeStopWait) && waited >= readyLimit:
		d.settle(x, events.StatusRefused, events.CodeDesktopNotReady, fmt.Sprintf("%s after %s", v.Message, readyLimit))
	default:
		d.postpone(x, v.Code, v.Message)
	}
}

// passing are the reasons for which a call that may be made was not, again and
// again.
// They end at some time.
var passing = map[string]time.Duration{
	events.CodeThrottled: askLimit, events.CodeNotAuthorized: askLimit, events.CodeCallFailed: askLimit, events.CodeTimeShort: waitLimit, IncorrectDesktopStatus: readyLimit,
}

// goAhead begins a desktop to which no guard objects, or takes the next step
// towards that: into maintenance mode, stopped, begun.
func (d *decider) goAhead(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) {
	now := fact.Value
	switch {
	case d.frozen(x, now):
		return
	case d.f.Busy[x.ID] != "":
		d.postpone(x, events.CodeStatusWait, fmt.Sprintf("desktop %s is still being rebuilt by %s", x.ID, d.f.Busy[x.ID]))
		return
	case passing[x.WaitCode] > 0 && x.Again.Sub(x.WaitSince) >= passing[x.WaitCode]:
		d.settle(x, events.StatusFailed, x.WaitCode, fmt.Sprintf("gave up after %s: %s", passing[x.WaitCode], x.Last.Message))
		return
	case x.Denied >= maxDenied:
		d.settle(x, events.StatusFailed, IncorrectDesktopStatus, fmt.Sprintf(
			"ECD shows desktop %s as %s and refused to rebuild it %d times; stopFirst in its fleet stops it before", x.ID, now.Status, x.Denied))
		return
	case !d.now.due(x.Maintenance.over("")), !d.now.due(x.Power.over(KindStopping)):
		// It is being put in or given back at this moment, perhaps by another
		// instance: what is announced next must not hide that.
		d.open++
		d.again(later(x.Maintenance.over(""), x.Power.over(KindStopping)))
		return
	case !d.notHeld(x, fact, s), !d.noticed(x, fact, s), !d.cleared(x, fact, s):
		return
	case s != nil && s.Maintenance && !x.Entered:
		d.out.Hold = append(d.out.Hold, x.ID)
	case s != nil && s.StopFirst && now.Status == desktop.Running && fact.Since(x.StoppedAt) >= stopAgain:
		d.out.Stop = append(d.out.Stop, x.ID)
	case s != nil && s.StopFirst && now.Status == desktop.Running:
		d.wait(x, guard.Verdict{Code: events.CodeStopWait, Message: fmt.Sprintf("desktop %s was told to stop and is still Running", x.ID)}, fact.ReadAt)
		return
	default:
		d.out.Begin = append(d.out.Begin, x.ID)
	}
	d.open++
	d.again(d.now.in(30 * time.Second))
}

// letGo undoes what we did to a desktop besides rebuilding it, and only that. It
// gives up after a day, but not before it has tried.
func (d *decider) letGo(x *Desktop) {
	if !x.Held && !x.Stopped {
		return
	}
	over := d.now.due(x.DoneAt.Add(giveUp))
	if over && x.givingBack() || d.giveBack(x) == nothing && over {
		d.out.Left = append(d.out.Left, x.ID)
		return
	}
	d.kept++
}

// What giveBack came to.
type restored int

const (
	nothing restored = iota // the desktop cannot be read, or is in a status that must pass
	waits                   // more must be known, or a call must have ended
	acts                    // it is given back, or needs nothing
)

// giveBack takes a desktop out of maintenance mode and starts it, as far as we
// put it there and stopped it. One that ECD no longer lists, or that is running
// again without us, needs nothing; one that is on its way to being stopped is
// started when it is. While it may still be on its way in, or being stopped, by a
// call of ours, it is left alone: the two could overtake each other.
func (d *decider) giveBack(x *Desktop) (did restored) {
	d.again(d.now.pace(x.StoppedAt))
	fact, ok := find(d, d.f.Desktops, x.ID, &d.out.Need.Desktops, x.eventful())
	if !ok {
		return waits
	}
	if fact.Err != nil {
		return nothing
	}
	now := fact.Value
	gone := d.gone(x, fact)
	if now == nil && !gone {
		return waits
	}
	if x.Held {
		switch in := x.Maintenance.over(""); {
		case gone:
			d.mark(KindReleased, x, d.now.t)
			did = acts
		case !d.now.due(in):
			d.again(in)
			did = waits
		default:
			d.out.Release = append(d.out.Release, x.ID)
			did = acts
		}
	}
	if x.Stopped {
		switch stopping := x.Power.over(""); {
		case gone, now.Status == desktop.Running && fact.Since(x.StoppedAt) >= stopAgain:
			d.mark(KindStarted, x, d.now.t)
			did = acts
		case now.Status != desktop.Stopped:
		case !d.now.due(stopping):
			d.again(stopping)
			did = waits
		default:
			d.out.Start = append(d.out.Start, x.ID)
			did = acts
		}
	}
	return did
}
