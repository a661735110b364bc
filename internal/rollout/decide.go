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
	RebuildTimeout time.Duration
}

// Facts are what is known of one region now. A nil desktop or image is one that
// ECD was asked for and does not list.
type Facts struct {
	Desktops map[string]*desktop.Desktop
	Images   map[string]*desktop.Image
	Changes  map[string][]desktop.Change
	Checks   map[string]map[string]desktop.Invocation // by check, by desktop
	Members  map[string][]desktop.Desktop             // by fleet
	// Busy are desktops that another rollout of the same fleet is rebuilding, and
	// which. It is the one fact that differs from work to work.
	Busy map[string]string
	// Unread says why something could not be asked, by Need.
	Unread map[string]Unread
}

// Unread is why a fact could not be had.
type Unread struct{ Code, Message string }

// NewFacts returns facts that know nothing yet.
func NewFacts() *Facts {
	return &Facts{
		Desktops: map[string]*desktop.Desktop{}, Images: map[string]*desktop.Image{}, Changes: map[string][]desktop.Change{},
		Checks: map[string]map[string]desktop.Invocation{}, Members: map[string][]desktop.Desktop{}, Unread: map[string]Unread{},
	}
}

// A Need is what must be known before a decision can be made.
type Need struct {
	Desktops []string
	Tags     []string // of these desktops
	Images   []string
	Changes  []string // of these desktops
	Checks   []string
	Members  []string // of these fleets
}

// Empty says whether nothing more must be known.
func (n Need) Empty() bool {
	return len(n.Desktops)+len(n.Tags)+len(n.Images)+len(n.Changes)+len(n.Checks)+len(n.Members) == 0
}

// A Decision is what may be done now. When Need is not empty the rest is
// unfinished and must not be acted on.
type Decision struct {
	Need    Need
	Records []Record // what follows from the facts; to be written down at once
	// What is to be done to desktops, each after its record.
	Hold, Release, Stop, Start []string
	Command                    Command
	// Left are desktops that we could not give back, for so long that an operator
	// has to: they are in maintenance mode, or stopped, because of us.
	Left []string
	// Begin are the desktops whose rebuild may be begun, in order.
	Begin []string
	// Again is when to look again at the latest; zero when nothing is left.
	Again time.Time
}

// Acts says whether something besides Begin is to be done to desktops.
func (d Decision) Acts() bool {
	return len(d.Hold)+len(d.Release)+len(d.Stop)+len(d.Start)+len(d.Command.Desktops) > 0
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
	d := &decider{s: s, r: r, f: f, now: now, groups: map[groupKey]int{}}
	if !s.Open() {
		return d.out
	}
	if s.Work.Request() {
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
	now time.Time
	out Decision

	settled []Group
	groups  map[groupKey]int // of settled
	marks   map[Kind][]string
	open    int // desktops that are not Final after this decision
	kept    int // desktops that are Final and still ours to release or start
	want    map[string]bool
}

type groupKey struct {
	Gist
	until time.Time
}

// desktop decides about one desktop by its phase.
func (d *decider) desktop(x *Desktop) {
	switch x.Phase {
	case Pending:
		d.pending(x)
	case Begun:
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
	for _, k := range []Kind{KindAgain, KindSeen, KindArrived, KindMissing, KindListed, KindReleased, KindStarted} {
		for ids := range slices.Chunk(d.marks[k], maxIDs) {
			d.record(Record{Kind: k, Desktops: ids})
		}
	}
	for _, groups := range portions(d.settled) {
		d.record(Record{Kind: KindSettled, Outcomes: groups})
	}
	d.out.Records = append(d.out.Records, follows...)
	if d.s.Work.Request() && d.open == 0 && d.kept == 0 {
		d.close(nil)
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

// cut bounds a message; ECD's own, or a command's output, may be long.
func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

func (d *decider) record(r Record) {
	r.At = d.now
	d.out.Records = append(d.out.Records, r)
}

// close ends the work. The digest counts the outcomes of this very decision in.
func (d *decider) close(reason *events.Reason) {
	after := d.s.finals()
	for _, g := range d.settled {
		if g.Status != events.StatusDeferred && g.Status != events.StatusAccepted {
			for _, id := range g.Desktops {
				after = append(after, OutcomeID(d.s.Work.ID, id, g.Status, d.s.Desktops[id].counts.of(g.Status)+1))
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
			out = append(out, OutcomeID(s.Work.ID, id, d.Last.Status, d.counts.of(d.Last.Status)))
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

// settle gives a desktop an outcome that follows from the facts.
func (d *decider) settle(x *Desktop, status events.Status, code, message string) {
	d.group(x, groupKey{Gist: Gist{status, code, message}})
	if status == events.StatusAccepted {
		d.open++
		d.again(d.now.Add(statusLag))
		return
	}
	if x.Held || x.Stopped {
		d.kept++
		d.again(d.now)
	}
}

func (d *decider) group(x *Desktop, k groupKey) {
	k.Message = cut(k.Message)
	i, known := d.groups[k]
	if !known || len(d.settled[i].Desktops) >= maxIDs {
		i = len(d.settled)
		d.groups[k] = i
		d.settled = append(d.settled, Group{Status: k.Status, Code: k.Code, Message: k.Message, Until: k.until})
	}
	d.settled[i].Desktops = append(d.settled[i].Desktops, x.ID)
}

// postpone leaves a desktop for later. It is told to the world when the reason
// is new.
func (d *decider) postpone(x *Desktop, code, message string) {
	d.open++
	until := d.now.Add(30 * time.Second)
	if x.WaitCode == code {
		until = d.now.Add(Pace(d.now.Sub(x.WaitSince)))
	} else {
		d.group(x, groupKey{Gist{events.StatusDeferred, code, message}, until})
	}
	d.again(until)
}

// waited returns how long the desktop has been waiting for that reason.
func (d *decider) waited(x *Desktop, code string) time.Duration {
	if w := d.s.Waiting; x.WaitCode != code || w != nil && w.Code == events.CodeWindowClosed {
		return 0 // while the window was closed nobody looked
	}
	return d.now.Sub(later(x.WaitSince, d.s.Resumed))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (d *decider) mark(k Kind, x *Desktop) {
	if d.marks == nil {
		d.marks = map[Kind][]string{}
	}
	d.marks[k] = append(d.marks[k], x.ID)
}

// pending decides whether a desktop may be begun.
func (d *decider) pending(x *Desktop) {
	if d.now.Before(x.Again) {
		d.open++
		d.again(x.Again)
		return
	}
	q := guard.Question{Target: desktop.Target{ID: x.ID, Spec: d.s.Work.SpecOf(x.ID)}}
	strategy, ok := d.question(x, &q)
	if !ok {
		return
	}
	v := guard.Check(q)
	switch v.Answer {
	case guard.Go:
		d.goAhead(x, q.Desktop, strategy)
	case guard.Wait:
		d.wait(x, v)
	case guard.Skip:
		d.settle(x, events.StatusSkipped, v.Code, v.Message)
	default:
		d.settle(x, events.StatusRefused, v.Code, v.Message)
	}
}

// question fills in all that the guards want to know, or asks for it. The
// strategy is that of the desktop's fleet, or nil.
func (d *decider) question(x *Desktop, q *guard.Question) (*fleet.Strategy, bool) {
	q.Rules = guard.Rules{Regions: d.r.Regions, Journal: d.r.Journal, Consents: d.s.Work.Consents, Held: x.Held}
	if !slices.Contains(d.r.Regions, q.RegionID) {
		return nil, true // refused without asking anybody
	}
	var ok bool
	if q.Desktop, ok = d.read(x); !ok || q.Desktop == nil {
		return nil, ok
	}
	strategy, ok := d.fleetRules(x, q)
	if !ok {
		return nil, false
	}
	wanted := q.ImageID
	if q.Reset() {
		wanted = q.Desktop.ImageID
	}
	image, ok1 := d.image(x, wanted)
	current, ok2 := d.image(x, q.Desktop.ImageID)
	q.Image, q.Current = image, current
	return strategy, ok1 && ok2
}

// read returns what ECD says of the desktop now, nil if it lists none; false
// when that must be asked first or cannot be asked, in which case the desktop
// has been dealt with.
func (d *decider) read(x *Desktop) (*desktop.Desktop, bool) {
	if got, asked := d.f.Desktops[x.ID]; asked {
		return got, true
	}
	if u, unread := d.f.Unread[x.ID]; unread {
		d.unread(x, u)
		return nil, false
	}
	d.need(&d.out.Need.Desktops, x.ID)
	return nil, false
}

func (d *decider) image(x *Desktop, id string) (*desktop.Image, bool) {
	if got, asked := d.f.Images[id]; asked || id == "" {
		return got, true
	}
	if u, unread := d.f.Unread[id]; unread {
		d.unread(x, u)
		return nil, false
	}
	d.need(&d.out.Need.Images, id)
	return nil, false
}

// changes returns ECD's record of the desktop's image changes, newest first.
func (d *decider) changes(x *Desktop) ([]desktop.Change, bool) {
	if got, asked := d.f.Changes[x.ID]; asked {
		return got, true
	}
	if u, unread := d.f.Unread["changes/"+x.ID]; unread {
		d.unread(x, u)
		return nil, false
	}
	d.need(&d.out.Need.Changes, x.ID)
	return nil, false
}

// need asks for something once.
func (d *decider) need(list *[]string, id string) {
	if d.want == nil {
		d.want = map[string]bool{}
	}
	key := fmt.Sprintf("%p/%s", list, id)
	if !d.want[key] {
		d.want[key] = true
		*list = append(*list, id)
	}
}

// fleetRules adds what the desktop's fleet says of it.
func (d *decider) fleetRules(x *Desktop, q *guard.Question) (*fleet.Strategy, bool) {
	if !d.r.Declared {
		return nil, true
	}
	if q.Desktop.Tags == nil && d.r.Fleets.NeedTags(q.RegionID) {
		if u, unread := d.f.Unread["tags/"+x.ID]; unread {
			d.unread(x, u)
			return nil, false
		}
		d.need(&d.out.Need.Tags, x.ID)
		return nil, false
	}
	f, in := d.r.Fleets.Of(*q.Desktop)
	if d.s.Work.Request() {
		q.Rules.Outside = !in || !f.Requests
	} else {
		if in = d.member(*q.Desktop); in {
			f = *d.fleet()
		}
		q.Rules.Outside = !in
		q.Rules.Consents = append(slices.Clone(q.Rules.Consents), f.Rebuild.Consent...)
	}
	if !in {
		return nil, true
	}
	q.Rules.Sessions = d.sessions(x, f.Strategy.Sessions)
	return &f.Strategy, true
}

// sessions returns the policy towards users of the desktop at this time.
func (d *decider) sessions(x *Desktop, s fleet.Sessions) guard.Sessions {
	policy := s.Policy
	if policy == fleet.Wait && x.WaitCode == events.CodeSessionWait && d.now.Sub(x.WaitSince) >= s.Deadline {
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

// unread deals with a desktop about which ECD could not be asked: it waits, and
// in the end it has failed.
func (d *decider) unread(x *Desktop, u Unread) {
	if x.Phase != Pending {
		d.open++
		d.again(d.now.Add(Pace(d.now.Sub(x.BegunAt))))
		return
	}
	if d.waited(x, u.Code) >= askLimit {
		d.settle(x, events.StatusFailed, u.Code, fmt.Sprintf("gave up after %s: %s", askLimit, u.Message))
		return
	}
	d.postpone(x, u.Code, u.Message)
}

// wait leaves a desktop for later, but not for ever.
func (d *decider) wait(x *Desktop, v guard.Verdict) {
	if x.Stopped && v.Code == events.CodeStatusWait {
		v.Code, v.Message = events.CodeStopWait, fmt.Sprintf("desktop %s was told to stop before it is rebuilt", x.ID)
	}
	waited := d.waited(x, v.Code)
	switch {
	case !x.WaitFirst.IsZero() && d.now.Sub(x.WaitFirst) >= waitLimit && d.s.Work.Request():
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
func (d *decider) goAhead(x *Desktop, now *desktop.Desktop, s *fleet.Strategy) {
	switch {
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
	case s != nil && s.Maintenance && !x.Entered:
		d.out.Hold = append(d.out.Hold, x.ID)
	case s != nil && s.StopFirst && now.Status == desktop.Running && d.now.Sub(x.StoppedAt) >= stopAgain:
		d.out.Stop = append(d.out.Stop, x.ID)
	case s != nil && s.StopFirst && now.Status == desktop.Running:
		d.wait(x, guard.Verdict{Code: events.CodeStopWait, Message: fmt.Sprintf("desktop %s was told to stop and is still Running", x.ID)})
		return
	default:
		d.out.Begin = append(d.out.Begin, x.ID)
	}
	d.open++
	d.again(d.now.Add(30 * time.Second))
}

// letGo undoes what we did to a desktop besides rebuilding it, and only that.
func (d *decider) letGo(x *Desktop) {
	if !x.Held && !x.Stopped {
		return
	}
	if d.now.Sub(x.DoneAt) >= giveUp {
		d.out.Left = append(d.out.Left, x.ID)
		return
	}
	d.giveBack(x)
	d.kept++
}

// giveBack takes a desktop out of maintenance mode and starts it, as far as we
// put it there and stopped it. One that ECD no longer lists, or that is running
// again without us, needs nothing; one that is on its way to being stopped is
// started when it is.
func (d *decider) giveBack(x *Desktop) {
	d.again(d.now.Add(Pace(d.now.Sub(x.StoppedAt))))
	now, asked := d.f.Desktops[x.ID]
	if !asked {
		if _, unread := d.f.Unread[x.ID]; !unread {
			d.need(&d.out.Need.Desktops, x.ID)
		}
		return
	}
	if x.Held && now != nil {
		d.out.Release = append(d.out.Release, x.ID)
	} else if x.Held {
		d.mark(KindReleased, x)
	}
	switch {
	case !x.Stopped:
	case now == nil, now.Status == desktop.Running && d.now.Sub(x.StoppedAt) >= stopAgain:
		d.mark(KindStarted, x)
	case now.Status == desktop.Stopped:
		d.out.Start = append(d.out.Start, x.ID)
	}
}

// Add adds the needs of another decision, each once.
func (n *Need) Add(o Need) {
	for _, p := range []struct {
		to   *[]string
		from []string
	}{
		{&n.Desktops, o.Desktops}, {&n.Tags, o.Tags}, {&n.Images, o.Images},
		{&n.Changes, o.Changes}, {&n.Checks, o.Checks}, {&n.Members, o.Members},
	} {
		if len(*p.to) == 0 {
			*p.to = p.from
			continue
		}
		*p.to = append(*p.to, p.from...)
		slices.Sort(*p.to)
		*p.to = slices.Compact(*p.to)
	}
}
