package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
)

// This file is what the judge holds of the care for people: docs/people.md.
const (
	rebuiltUntold    = "rebuilt-untold"
	rebuiltOldNotice = "rebuilt-by-an-old-notice"
	toldUnrecorded   = "told-without-a-record"
	toldAgain        = "told-again"
	toldOutside      = "told-outside-the-window"
	toldAfterStop    = "told-after-a-stop"
	namedOutside     = "named-a-time-outside-the-window"
	namedTooSoon     = "named-a-time-too-soon"
	untoldTooLong    = "untold-for-too-long"
	untoldTooShort   = "given-up-before-it-was-told"

	rebuiltNotNow    = "rebuilt-though-it-said-not-now"
	rebuiltUnasked   = "rebuilt-without-being-asked"
	rebuiltLeftAlone = "rebuilt-though-its-command-failed"
	leftAloneUntrue  = "left-alone-for-no-reason"
	askedUnrecorded  = "asked-without-a-record"
	askedAgain       = "asked-again"
	askedTooEarly    = "asked-before-its-notice-is-over"
	notNowUnbounded  = "not-now-is-not-bounded"
	notNowTooShort   = "given-up-before-its-deadline"
	overruledEarly   = "overruled-too-early"
	overruledUntold  = "overruled-untold"
	rebuiltOnHold    = "rebuilt-though-a-tag-holds-it"
	holdUnbounded    = "hold-is-not-bounded"

	rebuiltFrozen    = "rebuilt-while-frozen"
	rebuiltUnlooked  = "rebuilt-without-a-look-at-freezes"
	readiedFrozen    = "made-ready-while-frozen"
	stillFrozen      = "still-frozen"
	begunBeforeRing  = "begun-before-its-ring"
	begunBeforeTime  = "begun-before-its-time"
	goesBackWrongly  = "goes-back-and-should-not"
	goesBackTwice    = "goes-back-twice"
	goesBackOverActs = "goes-back-though-somebody-acted"
	doesNotGoBack    = "does-not-go-back"
)

// What the number of a telling says.
const (
	tellsFirst    = 1
	tellsReminder = 2
	tellsLast     = 3
)

const holdTag = "regild-hold-until"

// Times of docs/people.md and internal/rollout, as a reader of the docs knows them.
const (
	leaseOver   = 75 * time.Second // what was announced and has no end is over
	tellAgain   = 30 * time.Minute
	askAgain    = 10 * time.Minute
	clearHolds  = 15 * time.Minute
	lastWord    = 5 * time.Minute
	noticeHolds = 24 * time.Hour
	untoldLimit = 24 * time.Hour
)

// workOfPeople is what concerns people in a work as a whole.
type workOfPeople struct {
	notBefore time.Time
	anyTime   bool
	rings     []string // what it was last told to wait for
	passed    map[string]bool
	back      backing
	proofs    proofs
}

// backing is how far a rollout is on its way back by itself.
type backing struct {
	wanted, now, begun, over bool
}

// peopleAt is what the journal says of the people at one desktop, since its work
// began or it was last rebuilt.
type peopleAt struct {
	announced []announcement
	told      sending // the first notice
	untold    time.Time
	reminders map[time.Time]int

	asked   sending
	notNows int
	since   time.Time // since when it says not now, or cannot be asked
	cleared time.Time
	last    sending // that not now is not heeded any more
	unheard time.Time
	hold    time.Time
	saving  time.Time // since when a snapshot is being made; zero: none is
	claimed time.Time // when a call for it was announced
}

// An announcement is something that is about to be sent to a desktop.
type announcement struct {
	by, kind string
	sort     int
}

// A sending is one text, or one question, on its way.
type sending struct {
	call     string
	at, due  time.Time
	sent     time.Time // zero: its end is not written down
	failed   bool      // it could not be sent
	answered time.Time // told, or said something
}

// readiness is what we did to a desktop besides rebuilding it.
type readiness struct {
	held, stopped bool
	freeing       string // who is to take it out of maintenance mode, if that was announced last
	starting      string // who is to start it, likewise
	hold, power   string // the last calls
}

// ringNow is how a release is on a fleet, and since when.
type ringNow struct {
	is    string
	since time.Time
}

// freezing is one freeze, with the times at which it was written down and lifted.
type freezing struct {
	id                string
	at, until, lifted time.Time
	regions, fleets   []string
}

func (f freezing) holds(region, fleet string) bool {
	return slices.Contains(f.regions, region) || fleet != "" && slices.Contains(f.fleets, fleet)
}

// after has something happen later.
func (w *world) after(d time.Duration, do func()) {
	w.happen = append(w.happen, happening{time.Now().Add(d), do})
	slices.SortStableFunc(w.happen, func(a, b happening) int { return a.at.Compare(b.at) })
	w.poke()
}

// fleetFor is the fleet whose rules hold for a desktop under a work, or nil.
func (w *world) fleetFor(k *work, id string, epoch int) *fleet.Fleet {
	if !k.request() {
		return w.fleetOf(k.fleet, epoch)
	}
	m := w.machines[id]
	if epoch < 0 || m == nil {
		return nil
	}
	return w.fleets[epoch].Of(m.now)
}

// heeded holds a rebuild, or what makes a desktop ready for one, against what its
// people were promised.
func (w *world) heeded(i *invocation, k *work, p *progress, m *machine, shown shot) {
	id := m.now.ID
	if at := w.scheduledFor(k); time.Now().Add(clocksApart).Before(at) {
		w.breaks(begunBeforeTime, "%s of %s is touched %s before the time that was asked for", id, k.id, time.Until(at))
	}
	f := w.fleetFor(k, id, i.on.epoch)
	if f == nil {
		return
	}
	if f.Strategy.Notice.Lead > 0 {
		w.wasTold(k, p, f, m, shown)
	}
	if p.ready.held || p.ready.stopped {
		return // it was asked before that
	}
	if f.Strategy.Before.Command != "" {
		w.wasAsked(k, p, f, m, shown)
	}
	w.isNotHeld(k, p, f, m)
}

// scheduledFor is the time that a request names, by its message and its journal.
func (w *world) scheduledFor(k *work) time.Time {
	at := k.people.notBefore
	for _, m := range w.s.Messages {
		if m.ID == k.id && m.Kind == "request" && m.NotBefore > 0 && w.at(m.NotBefore).After(at) {
			at = w.at(m.NotBefore)
		}
	}
	return at
}

// attempt is since when the desktop is on its way to its next rebuild.
func (p *progress) attempt() time.Time {
	if p.restarted.After(p.accepted) {
		return p.restarted
	}
	return p.accepted
}

// limit is how long a fleet waits for people, and whether they are overruled then.
func limit(s fleet.Strategy) (time.Duration, bool) {
	if s.Sessions.Policy == fleet.Wait {
		return s.Sessions.Deadline, s.Sessions.After == fleet.Force
	}
	return untoldLimit, false
}

// wasTold asks whether people at a desktop were shown a notice, and had the time
// that it named.
func (w *world) wasTold(k *work, p *progress, f *fleet.Fleet, m *machine, shown shot) {
	id, s, now := m.now.ID, f.Strategy, time.Now()
	var last *notice
	for n := range m.desk.shown {
		if x := &m.desk.shown[n]; x.work == k.id && x.sort == tellsFirst && x.at.After(p.attempt()) {
			last = x
		}
	}
	long, force := limit(s)
	ready := p.ready.held || p.ready.stopped
	forced := force && !p.people.untold.IsZero() && now.Sub(p.people.untold) >= long-clocksApart // whatever they were told before
	switch {
	case last != nil && !last.due.After(now.Add(clocksApart)) && !last.at.Add(s.Notice.Lead).After(now.Add(clocksApart)):
		until := last.due.Add(noticeHolds)
		if open, closes := s.Open(last.due); open && !closes.IsZero() && closes.Before(until) && !k.request() {
			until = closes
		}
		if !ready && !forced && now.After(until.Add(oldFacts)) {
			w.breaks(rebuiltOldNotice, "%s of %s is rebuilt at %s by a notice that named %s", id, k.id, now.Format(time.DateTime), last.due.Format(time.DateTime))
		}
	case shown.is.Status == desktop.Stopped && !p.ready.stopped && (last == nil || !last.due.After(now.Add(clocksApart))):
	case forced && (last == nil || !last.due.After(now.Add(clocksApart))):
	default:
		text := "nobody was told"
		if last != nil {
			text = fmt.Sprintf("they were told %s before, of %s", now.Sub(last.at), last.due.Format(time.DateTime))
		}
		w.breaks(rebuiltUntold, "%s of %s is touched at %s, and %s", id, k.id, now.Format(time.DateTime), text)
	}
}

// wasAsked asks whether the desktop said go on, or may be overruled.
func (w *world) wasAsked(k *work, p *progress, f *fleet.Fleet, m *machine, shown shot) {
	id, b, now := m.now.ID, f.Strategy.Before, time.Now()
	var last *answer
	for n := range m.desk.asked {
		if x := &m.desk.asked[n]; x.work == k.id && x.at.After(p.attempt()) {
			last = x
		}
	}
	over := !p.people.since.IsZero() && now.Sub(p.people.since) >= b.Deadline-clocksApart && b.After == fleet.Force
	if p.people.last.call != "" {
		w.wasOverruled(k, p, f, m, shown)
		return
	}
	switch {
	case over && shown.is.Status != desktop.Running:
	case last == nil:
		w.breaks(rebuiltUnasked, "%s of %s was not asked", id, k.id)
	case last.ran.exit == 0 && (p.people.cleared.IsZero() || now.Sub(p.people.cleared) > clearHolds+oldFacts),
		last.ran.exit == 0 && now.Sub(last.at) > b.Timeout+2*clearHolds+oldFacts: // it was read as late as it counts
		w.breaks(rebuiltUnasked, "%s of %s said go on too long ago", id, k.id)
	case last.ran.exit == 0:
	case last.ran.exit == fleet.NotNow:
		w.breaks(rebuiltNotNow, "%s of %s said not now %s ago", id, k.id, now.Sub(last.at))
	default:
		w.breaks(rebuiltLeftAlone, "%s of %s: its command ended with %d", id, k.id, last.ran.exit)
	}
}

// wasOverruled asks whether the users at a desktop were told that not now is not
// heeded any more, and had five minutes, as far as anybody is there.
func (w *world) wasOverruled(k *work, p *progress, f *fleet.Fleet, m *machine, shown shot) {
	id, pe, now := m.now.ID, p.people, time.Now()
	long, force := limit(f.Strategy)
	switch {
	case shown.is.Status != desktop.Running:
	case force && !pe.unheard.IsZero() && now.Sub(pe.unheard) >= long-clocksApart:
	case pe.last.sent.IsZero() || now.Sub(pe.last.sent) < lastWord-clocksApart:
		w.breaks(rebuiltNotNow, "%s of %s said not now, and its users have not had their time", id, k.id)
	case !slices.ContainsFunc(m.desk.told, func(n notice) bool { return n.work == k.id && n.sort == tellsLast && n.at.After(p.attempt()) }):
		w.breaks(overruledUntold, "%s of %s is rebuilt against its not now, and nobody there was told", id, k.id)
	}
}

// isNotHeld asks whether a tag holds the desktop back.
func (w *world) isNotHeld(k *work, p *progress, f *fleet.Fleet, m *machine) {
	h := f.Strategy.Holds
	value, tagged := m.now.Tags[h.Tag]
	if h.Tag == "" || !tagged || time.Since(m.desk.heldAt) < oldFacts {
		return
	}
	until, err := time.Parse(time.RFC3339, value)
	if err == nil && !time.Now().Add(clocksApart).Before(until) {
		return
	}
	if since := p.people.hold; since.IsZero() || time.Since(since) < h.AtMost-clocksApart {
		w.breaks(rebuiltOnHold, "%s of %s is held by its tag until %s", m.now.ID, k.id, value)
	}
}

// isFrozen holds a rebuild against the freezes that the caller knew of, and sees to
// it that it looked.
func (w *world) isFrozen(i *invocation, k *work, m *machine) {
	if !w.s.People || w.s.NoJournal || slices.Contains(k.consent, events.ConsentFreeze) {
		return
	}
	id := m.now.ID
	if claimed := k.desktops[id].people.claimed; !i.thawedAt.After(claimed) || time.Since(i.thawedAt) > leaseOver {
		w.breaks(rebuiltUnlooked, "%s of %s: nobody had looked at the freezes since %s", id, k.id, claimed.Format(time.DateTime))
		return
	}
	name := ""
	if f := w.fleetFor(k, id, i.on.epoch); f != nil {
		name = f.Name
	}
	for _, f := range w.frozen {
		if f.holds(m.now.RegionID, name) && f.at.Before(i.thawedAt) && (f.lifted.IsZero() || f.lifted.After(i.thawedAt)) && time.Now().Before(f.until.Add(-clocksApart)) {
			w.breaks(rebuiltFrozen, "%s of %s is frozen by %s until %s", id, k.id, f.id, f.until.Format(time.DateTime))
		}
	}
}

// frozenLong says whether at that time a freeze had held the desktop's fleet or region
// for longer than facts are gone by.
func (w *world) frozenLong(k *work, region, name string, at time.Time) bool {
	if slices.Contains(k.consent, events.ConsentFreeze) {
		return false
	}
	return slices.ContainsFunc(w.frozen, func(f freezing) bool {
		return f.holds(region, name) && at.Sub(f.at) > oldFacts && f.lifted.IsZero() && at.Before(f.until.Add(-clocksApart))
	})
}

// froze takes a line of the log of freezes.
func (w *world) froze(r *record) {
	at := slices.IndexFunc(w.frozen, func(f freezing) bool { return f.id == r.Name })
	switch {
	case r.Kind == "freeze" && at < 0:
		w.frozen = append(w.frozen, freezing{id: r.Name, at: time.Now(), until: r.Until, regions: r.Regions, fleets: r.Fleets})
		w.after(time.Until(r.Until)+20*time.Minute, w.thawed)
	case r.Kind == "lift" && at >= 0 && w.frozen[at].lifted.IsZero():
		w.frozen[at].lifted = time.Now()
		w.after(20*time.Minute, w.thawed)
	}
}

// thawed asks whether anything still stands still for a freeze that is over.
func (w *world) thawed() {
	if w.lastWords != "" || !w.quietSince(time.Now().Add(-2*time.Hour)) {
		return
	}
	for _, k := range w.workList() {
		if k.stopped() {
			continue
		}
		waits := k.waiting == events.CodeFrozen
		for _, id := range k.order {
			if p := k.desktops[id]; k.request() && p.phase == "" && p.code == events.CodeFrozen {
				waits = true
			}
		}
		over := true
		for _, f := range w.frozen {
			over = over && (!f.lifted.IsZero() && time.Since(f.lifted) > 19*time.Minute || time.Since(f.until) > 19*time.Minute)
		}
		if waits && over {
			w.breaks(stillFrozen, "%s stands still, and nothing has been frozen for 20 minutes", k.id)
		}
	}
}

// lookAtRings notes how releases are on their fleets.
func (w *world) lookAtRings() {
	if !w.s.People {
		return
	}
	for id, k := range w.works {
		if k.request() || k.undoes != "" {
			continue
		}
		if is := w.ring(k); w.rings[id].is != is {
			w.rings[id] = ringNow{is, time.Now()}
		}
	}
}

func (w *world) ring(k *work) string {
	log := w.logs[journal.Key("fleet", k.fleet)]
	latest := len(log) == 0 || log[len(log)-1].id == k.id
	proved := false
	for _, p := range k.desktops {
		proved = proved || p.status == "completed" || p.code == events.CodeAlreadyOnImage
	}
	switch {
	case slices.ContainsFunc(log, func(e enrolment) bool { return e.undoes == k.id }):
		return "going back"
	case k.aborted:
		return "aborted"
	case k.superseded != "" || !k.closed && !latest:
		return "superseded"
	case k.closed && !proved:
		return "empty"
	case k.closed:
		return "completed"
	case k.halted != "":
		return "halted"
	case k.paused:
		return "paused"
	}
	return "under way"
}

// ringStuck says whether what a rollout waits for will not come by itself.
func (w *world) ringStuck(k *work) bool {
	if w.quiet() && time.Since(k.opened) > 8*time.Hour {
		return true
	}
	for _, key := range k.people.rings {
		_, is, _ := strings.Cut(key, ": ")
		if is != "under way" && is != "has not had it" && is != "paused" && is != "absent" {
			return true
		}
	}
	return false
}

// ringClass is what an approval is for.
func ringClass(is string) string {
	if is == "absent" || is == "paused" || is == "" {
		return "under way"
	}
	return is
}

// ringsOpen asks whether the fleets that come before are done.
func (w *world) ringsOpen(k *work, f *fleet.Fleet) {
	if len(f.After) == 0 || k.undoes != "" {
		return
	}
	release := strings.TrimSuffix(k.id, "/"+k.fleet)
	for _, name := range f.After {
		now := w.rings[release+"/"+name]
		if now.is == "completed" || k.people.passed[name+": "+ringClass(now.is)] || !now.since.IsZero() && time.Since(now.since) <= oldFacts {
			continue
		}
		w.breaks(begunBeforeRing, "%s goes on, and %s is %s there since %s", k.id, name, cmpOr(now.is, "absent"), now.since.Format(time.DateTime))
	}
}

// passRings takes an approval that is for what a rollout waits for.
func (k *work) passRings(r *record) bool {
	if r.Wave != 0 || k.waiting != events.CodeRingAwaited || len(k.people.rings) == 0 {
		return false
	}
	if k.people.passed == nil {
		k.people.passed = map[string]bool{}
	}
	for _, key := range k.people.rings {
		name, is, _ := strings.Cut(key, ": ")
		k.people.passed[name+": "+ringClass(is)] = true
	}
	k.people.rings, k.waiting = nil, ""
	return true
}

// backedOut holds a rollback that nobody asked for against its rules, before it is
// entered.
func (w *world) backedOut(key string, r *record, by *invocation) {
	o := r.Operation
	k := w.works[o.Undoes]
	if o.Undoes == "" || o.By != "regild" || k == nil {
		return
	}
	if slices.ContainsFunc(w.logs[key], func(e enrolment) bool { return e.id == o.ID }) {
		w.breaks(goesBackTwice, "%s is entered a second time", o.ID)
	}
	switch b := k.people.back; {
	case k.undoes != "":
		w.breaks(goesBackWrongly, "%s is a rollback itself, and goes back by itself", k.id)
	case !b.begun || b.over || k.paused || k.halted == "" || k.aborted:
		w.breaks(goesBackOverActs, "%s goes back by itself, and somebody has acted: %s", k.id, k.describe())
	case o.AnyTime && !b.now:
		w.breaks(goesBackWrongly, "%s goes back outside of windows, which the fleet does not want", k.id)
	}
	f := w.fleetOf(k.fleet, by.on.epoch)
	for _, c := range o.Consent {
		if c != events.ConsentDowngrade && (f == nil || !slices.Contains(f.Rebuild.Consent, c)) {
			w.breaks(goesBackWrongly, "%s goes back by itself with the consent %s, which nobody gave", k.id, c)
		}
	}
}

// goesBackAfter are the halts after which a rollout may go back by itself.
var goesBackAfter = []string{events.CodeTooManyFailures, events.CodeTooFewUsed, events.CodeLogonsFailed, events.CodeAlarmActive}

// halts holds a halt against what the fleet wants after it.
func (w *world) halts(k *work, r *record, f *fleet.Fleet) {
	if f == nil {
		return
	}
	wants := f.Strategy.OnHalt == fleet.Rollback && k.undoes == "" && !k.people.back.over && r.Reason != nil && slices.Contains(goesBackAfter, r.Reason.Code)
	switch {
	case wants && r.Action == "":
		w.breaks(doesNotGoBack, "%s halts, and does not say that it goes back", k.id)
	case !wants && r.Action != "":
		w.breaks(goesBackWrongly, "%s halts, and says that it goes back", k.id)
	case !wants:
		return
	}
	id := k.id
	w.after(25*time.Minute, func() {
		k := w.works[id]
		b := k.people.back
		entered := w.rings[id].is == "going back"
		if w.lastWords == "" && w.quietSince(time.Now().Add(-2*time.Hour)) && b.wanted && !b.over && !entered && k.superseded == "" && !k.aborted && !k.closed {
			w.breaks(doesNotGoBack, "%s halted 25 minutes ago, and has not gone back", id)
		}
	})
}

// auditPeople holds a line of a journal against those before it.
func (w *world) auditPeople(k *work, r *record, by *invocation) {
	if !w.s.People {
		return
	}
	f := w.fleetOf(k.fleet, by.on.epoch)
	switch r.Kind {
	case "telling":
		w.auditTelling(k, r, by)
	case "asking":
		w.auditAsking(k, r, by)
	case "holding", "stopping":
		for _, id := range r.Desktops {
			if p, m := k.desktops[id], w.machine(id); p != nil && m != nil {
				w.heeded(by, k, p, m, by.shown[id])
			}
		}
		w.notWhileFrozen(k, r, by)
	case "saving":
		w.notWhileFrozen(k, r, by)
		w.savesSome(k, r, f)
	case "not-now":
		for _, id := range r.Desktops {
			p, f := k.desktops[id], w.fleetFor(k, id, by.on.epoch)
			if p != nil && f != nil && f.Strategy.Before.Deferrals > 0 && p.people.notNows >= f.Strategy.Before.Deferrals {
				w.breaks(notNowUnbounded, "%s of %s says not now for the %d. time, and that is heeded", id, k.id, p.people.notNows+1)
			}
		}
	case "begun", "wave":
		if f != nil {
			w.ringsOpen(k, f)
		}
		if r.Kind == "begun" {
			w.notWhileFrozen(k, r, by)
		}
		if n := len(k.waves); f != nil && r.Kind == "wave" && (n == 0 || r.Wave > k.waves[n-1].n) {
			w.proven(k, f)
		}
	case "halted":
		w.halts(k, r, f)
		w.haltsForProof(k, r.Reason.Code, f)
	case "going-back":
		if b := k.people.back; !b.wanted || b.over || k.halted == "" || k.paused || k.aborted || k.superseded != "" {
			w.breaks(goesBackOverActs, "%s is about to go back by itself, and somebody has acted: %s", k.id, k.describe())
		}
	case "settled":
		for _, g := range r.Outcomes {
			for _, id := range g.Desktops {
				w.weighPeople(k, r, g.Status, g.Code, id, by)
			}
		}
	}
}

func (w *world) notWhileFrozen(k *work, r *record, by *invocation) {
	for _, id := range r.Desktops {
		name := ""
		if f := w.fleetFor(k, id, by.on.epoch); f != nil {
			name = f.Name
		}
		if m := w.machines[id]; m != nil && w.frozenLong(k, m.now.RegionID, name, r.At) {
			w.breaks(readiedFrozen, "%s of %s: %s while it is frozen", id, k.id, r.Kind)
		}
	}
}

// within says whether something may be done at about that time by a fleet's
// windows.
func within(s fleet.Strategy, at time.Time) bool {
	for _, t := range []time.Time{at.Add(-oldFacts), at, at.Add(clocksApart)} {
		if open, _ := s.Open(t); open {
			return true
		}
	}
	return false
}

func (w *world) auditTelling(k *work, r *record, by *invocation) {
	if k.stopped() {
		w.breaks(toldAfterStop, "%s: %v are told after it was stopped (%s)", k.id, r.Desktops, k.describe())
	}
	if at := w.scheduledFor(k); r.At.Add(clocksApart).Before(at) {
		w.breaks(begunBeforeTime, "%s: %v are told %s before the time that was asked for", k.id, r.Desktops, at.Sub(r.At))
	}
	for _, id := range r.Desktops {
		p, f := k.desktops[id], w.fleetFor(k, id, by.on.epoch)
		if p == nil || f == nil {
			continue
		}
		switch r.N {
		case tellsFirst:
			w.auditNotice(k, p, f.Strategy, r, id)
		case tellsReminder:
			w.auditReminder(k, p, f.Strategy, r, id)
		case tellsLast:
			w.auditLastWord(k, p, f.Strategy, r, id)
		}
	}
}

// auditNotice holds a first notice against the ones before it.
func (w *world) auditNotice(k *work, p *progress, s fleet.Strategy, r *record, id string) {
	was, untold := p.people.told, p.people.untold
	again := false
	switch {
	case was.call == "":
	case !was.answered.IsZero(): // only if its time is long over
		until := was.due.Add(noticeHolds)
		if open, closes := s.Open(was.due); open && !closes.IsZero() && closes.Before(until) && !k.request() {
			until = closes
		}
		again = r.At.Before(until.Add(-clocksApart))
	case was.sent.IsZero():
		again = r.At.Before(was.at.Add(leaseOver - clocksApart))
	default:
		again = !was.failed && untold.IsZero() || r.At.Before(was.at.Add(tellAgain-clocksApart))
	}
	if again {
		w.breaks(toldAgain, "%s of %s is told at %s what it was told at %s", id, k.id, r.At.Format(time.DateTime), was.at.Format(time.DateTime))
	}
	unknown := was.call != "" && was.sent.IsZero() // then it is tried once more
	if long, _ := limit(s); !untold.IsZero() && !unknown && r.At.Sub(untold) > long+oldFacts {
		w.breaks(untoldTooLong, "%s of %s could not be told for %s", id, k.id, r.At.Sub(untold))
	}
	if r.Until.Before(r.At.Add(s.Notice.Lead)) {
		w.breaks(namedTooSoon, "%s of %s is told of %s at %s", id, k.id, r.Until, r.At)
	}
	if k.request() || k.people.anyTime {
		return
	}
	if open, until := s.Open(r.Until); !open || !until.IsZero() && r.Until.Add(s.Expected).After(until) {
		w.breaks(namedOutside, "%s of %s is told of %s, which is outside the window", id, k.id, r.Until)
	}
	if !within(s, r.At) {
		w.breaks(toldOutside, "%s of %s is told at %s, outside the window", id, k.id, r.At)
	}
}

// auditReminder asks whether a reminder is one of those that the fleet wants, and
// the first for its time.
func (w *world) auditReminder(k *work, p *progress, s fleet.Strategy, r *record, id string) {
	due := 0
	for _, before := range s.Notice.Remind {
		if !r.At.Add(clocksApart).Before(r.Until.Add(-before)) {
			due++
		}
	}
	if p.people.reminders[r.Until] >= due || p.people.told.answered.IsZero() || !r.Until.Equal(p.people.told.due) {
		w.breaks(toldAgain, "%s of %s is reminded at %s of %s for the %d. time, %d are due", id, k.id, r.At.Format(time.DateTime), r.Until.Format(time.DateTime),
			p.people.reminders[r.Until]+1, due)
	}
}

func (w *world) auditLastWord(k *work, p *progress, s fleet.Strategy, r *record, id string) {
	b := s.Before
	bound := b.Deferrals > 0 && p.people.notNows >= b.Deferrals
	over := b.After == fleet.Force && !p.people.since.IsZero() && r.At.Sub(p.people.since) >= b.Deadline-clocksApart
	if !bound && !over {
		w.breaks(overruledEarly, "%s of %s said not now %d times of %d, since %s", id, k.id, p.people.notNows, b.Deferrals, p.people.since)
	}
	if was := p.people.last; was.call != "" && (!was.sent.IsZero() && !was.failed || r.At.Before(was.at.Add(leaseOver-clocksApart))) {
		w.breaks(toldAgain, "%s of %s gets its last word at %s, and had it at %s", id, k.id, r.At.Format(time.DateTime), was.at.Format(time.DateTime))
	}
}

func (w *world) auditAsking(k *work, r *record, by *invocation) {
	if k.stopped() {
		w.breaks(toldAfterStop, "%s: %v are asked after it was stopped (%s)", k.id, r.Desktops, k.describe())
	}
	if at := w.scheduledFor(k); r.At.Add(clocksApart).Before(at) {
		w.breaks(begunBeforeTime, "%s: %v are asked %s before the time that was asked for", k.id, r.Desktops, at.Sub(r.At))
	}
	w.notWhileFrozen(k, r, by)
	for _, id := range r.Desktops {
		p, f := k.desktops[id], w.fleetFor(k, id, by.on.epoch)
		if p == nil || f == nil {
			continue
		}
		b, pe := f.Strategy.Before, p.people
		was := pe.asked
		again := false
		switch {
		case was.call == "":
		case !pe.cleared.IsZero():
			again = r.At.Before(pe.cleared.Add(clearHolds - oldFacts))
		case !was.answered.IsZero():
			again = r.At.Before(was.answered.Add(b.Again - clocksApart))
		case was.sent.IsZero():
			again = r.At.Before(was.at.Add(leaseOver - clocksApart))
		case was.failed:
			again = r.At.Before(was.at.Add(askAgain - clocksApart))
		default: // what it said was not read before it was too old
			again = r.At.Before(was.sent.Add(b.Timeout + clearHolds - oldFacts))
		}
		if again || pe.last.call != "" {
			w.breaks(askedAgain, "%s of %s is asked at %s, and was at %s", id, k.id, r.At.Format(time.DateTime), was.at.Format(time.DateTime))
		}
		if !pe.since.IsZero() && r.At.Sub(pe.since) > b.Deadline+oldFacts {
			w.breaks(notNowUnbounded, "%s of %s is asked %s after it first said not now, %s is the deadline", id, k.id, r.At.Sub(pe.since), b.Deadline)
		}
		if f.Strategy.Notice.Lead > 0 && !pe.told.answered.IsZero() && r.At.Add(clocksApart).Before(pe.told.due) {
			w.breaks(askedTooEarly, "%s of %s is asked at %s, and was told of %s", id, k.id, r.At, pe.told.due)
		}
		if !k.request() && !k.people.anyTime && !within(f.Strategy, r.At) {
			w.breaks(toldOutside, "%s of %s is asked at %s, outside the window", id, k.id, r.At)
		}
	}
}

// weighPeople holds an outcome against what people said, and were told.
func (w *world) weighPeople(k *work, r *record, status, code, id string, by *invocation) {
	p, m, f := k.desktops[id], w.machines[id], w.fleetFor(k, id, by.on.epoch)
	if p == nil || m == nil || f == nil || p.phase != "" {
		return
	}
	s, pe := f.Strategy, p.people
	switch {
	case status == "skipped" && code == events.CodeNoticeNotGiven:
		since := pe.untold
		if since.IsZero() {
			since = pe.unheard
		}
		if long, force := limit(s); force || since.IsZero() || r.At.Sub(since) < long-clocksApart {
			w.breaks(untoldTooShort, "%s of %s is %s %s at %s, and could not be told since %s", id, k.id, status, code, r.At.Format(time.DateTime), pe.untold.Format(time.DateTime))
		}
	case status == "skipped" && (code == events.CodeNotNow || code == events.CodeNotAsked):
		if s.Before.After == fleet.Force || pe.since.IsZero() || r.At.Sub(pe.since) < s.Before.Deadline-clocksApart {
			w.breaks(notNowTooShort, "%s of %s is %s %s at %s, since %s", id, k.id, status, code, r.At.Format(time.DateTime), pe.since.Format(time.DateTime))
		}
	case status == "refused" && code == events.CodeBeforeFailed && !w.s.Linux:
		for _, a := range slices.Backward(m.desk.asked) {
			if a.work != k.id {
				continue
			}
			if ended := !a.ran.shows.IsZero() && time.Since(a.ran.shows) > 0; ended && (a.ran.exit == 0 || a.ran.exit == fleet.NotNow) && a.ran.shows.Sub(a.at) < time.Minute && w.hits == 0 {
				w.breaks(leftAloneUntrue, "%s of %s said %d", id, k.id, a.ran.exit)
			}
			break
		}
	case status == "deferred" && code == events.CodeNotNow && s.Before.Command == "":
		if !pe.hold.IsZero() && r.At.Sub(pe.hold) > s.Holds.AtMost+oldFacts {
			w.breaks(holdUnbounded, "%s of %s is held for %s, %s is the most", id, k.id, r.At.Sub(pe.hold), s.Holds.AtMost)
		}
	}
}

// applyPeople folds a line.
func (k *work) applyPeople(r *record, by *invocation) {
	switch r.Kind {
	case "waiting":
		k.people.rings = r.Rings
	case "holding", "stopping", "asking", "telling", "saving": // it goes on
		if k.waiting == events.CodeFrozen {
			k.waiting = ""
		}
	case "halted":
		if !k.people.back.over && r.Action != "" {
			k.people.back.wanted, k.people.back.now = true, strings.HasSuffix(r.Action, "-now")
		}
	case "going-back":
		k.people.back.begun = true
	case "stays":
		k.people.back = backing{over: true}
	case "control":
		if (r.Message == "" || !k.controls[r.Message]) && k.halted != "" && r.Action != events.ActionRollback {
			k.people.back = backing{over: true}
		}
	}
	for _, id := range r.Desktops {
		if p := k.desktops[id]; p != nil {
			p.ready.apply(r)
			p.people.apply(r, by.id)
		}
	}
}

func (x *readiness) apply(r *record) {
	switch r.Kind {
	case "holding":
		x.held, x.hold, x.freeing = true, r.Call, ""
	case "releasing":
		x.hold, x.freeing = r.Call, r.By
	case "released":
		x.held = x.held && r.Call != "" && r.Call != x.hold
	case "stopping":
		x.stopped, x.power, x.starting = true, r.Call, ""
	case "starting":
		x.power, x.starting = r.Call, r.By
	case "started":
		x.stopped = x.stopped && r.Call != "" && r.Call != x.power
	}
}

func (x *peopleAt) apply(r *record, by string) {
	switch r.Kind {
	case "telling":
		x.announced = append(x.announced, announcement{by, "telling", r.N})
		switch r.N {
		case tellsFirst:
			x.told = sending{call: r.Call, at: r.At, due: r.Until}
		case tellsReminder:
			if x.reminders == nil {
				x.reminders = map[time.Time]int{}
			}
			x.reminders[r.Until]++
		case tellsLast:
			x.last = sending{call: r.Call, at: r.At}
		}
	case "begun":
		x.claimed = time.Now()
	case "saving":
		x.announced, x.saving = append(x.announced, announcement{by, "saving", 0}), r.At
	case "safe":
		x.saving = time.Time{}
	case "saved":
		if r.Reason != nil && r.Reason.Code != events.CodeOutcomeUnknown { // ECD did not make it
			x.saving = time.Time{}
		}
	case "sent":
		for _, s := range []*sending{&x.told, &x.last} {
			if s.call == r.Call {
				s.sent, s.failed = r.At, r.Invoke == ""
			}
		}
		if x.last.call == r.Call && x.last.failed && x.unheard.IsZero() {
			x.unheard = r.At
		} else if x.last.call == r.Call && !x.last.failed {
			x.unheard = time.Time{}
		}
	case "told":
		x.told.answered, x.untold = r.At, time.Time{}
	case "untold":
		if x.untold.IsZero() {
			x.untold = r.At
		}
	case "asking":
		x.announced = append(x.announced, announcement{by, "asking", 0})
		x.asked, x.cleared = sending{call: r.Call, at: r.At}, time.Time{}
	case "asked":
		if x.asked.call == r.Call {
			x.asked.sent, x.asked.failed = r.At, r.Invoke == ""
		}
	case "cleared":
		x.cleared, x.since, x.asked.answered = r.At, time.Time{}, r.At
	case "not-now":
		x.notNows++
		x.asked.answered = r.At
		if x.since.IsZero() {
			x.since = r.At
		}
	case "unasked":
		if x.since.IsZero() {
			x.since = r.At
		}
	case "on-hold":
		if x.hold.IsZero() {
			x.hold = r.At
		}
	}
}
