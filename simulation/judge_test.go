package simulation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
)

// What every promise that was seen broken is called by. docs/simulation.md has
// a line for each.
const (
	wipedTwice          = "wiped-twice"
	wipedUnseen         = "wiped-again-after-a-failure-nobody-saw"
	wipedAndDenied      = "wiped-and-denied"
	rebuiltUnrecorded   = "rebuilt-without-a-record"
	rebuiltForbidden    = "rebuilt-though-a-guard-forbids"
	rebuiltOnOldFacts   = "rebuilt-on-old-facts"
	rebuiltUnderUser    = "rebuilt-under-a-user"
	rebuiltOutsideHours = "rebuilt-outside-the-window"
	rebuiltUnheld       = "rebuilt-outside-maintenance"
	takenOutByAnother   = "taken-out-of-maintenance-by-another-request"
	rebuiltUnstopped    = "rebuilt-without-a-stop"
	tooManyAtOnce       = "too-many-at-once"
	begunAfterStop      = "begun-after-a-stop"
	begunTwice          = "begun-twice"
	begunWithoutTick    = "begun-without-a-tick"
	waveTooEarly        = "wave-too-early"
	canaryUnshown       = "wave-passes-a-canary-that-shows-nothing"
	notApproved         = "not-approved"
	retryUnchecked      = "retry-passes-without-its-check"
	waveUnchecked       = "wave-passes-without-its-check"
	rollbackTakesNewer  = "rollback-takes-over-a-newer-release"
	olderStopsRollback  = "older-release-stops-a-rollback"
	supersededByNothing = "superseded-by-nothing"
	leftInMaintenance   = "left-in-maintenance"
	keptFromUser        = "kept-from-its-user"
	undoneOfOthers      = "request-goes-back-where-others-have-rebuilt"
	undoNeverOpened     = "rollback-of-a-request-never-opened"
	undoneTooEarly      = "request-rebuilds-behind-its-rollback"
	rollbackOverwrites  = "rollback-overwrites-what-others-brought"
	leftStopped         = "left-stopped"
	deadlineMissed      = "session-deadline-missed"
	resumedWhilePaused  = "resumed-is-told-while-paused"
	followedForEver     = "followed-for-ever"
	failedAtOnce        = "failed-at-the-first-denial"
	falseReuse          = "reuse-is-told-and-is-not-so"
	unknownCode         = "unknown-code"
	idNamesTwo          = "id-names-two"
	notEnded            = "not-ended"
	endedTwice          = "ended-twice"
	notTold             = "not-told"
	wrongDigest         = "wrong-digest"
	completedUntrue     = "completed-is-not-so"
	failedUntrue        = "failed-is-not-so"
	resetUntrue         = "completed-reset-is-not-so"
	rolloutUntrue       = "completed-rollout-is-not-so"
	neverOpened         = "never-opened"
	ticksMultiply       = "ticks-multiply"
	journalGrows        = "journal-grows"
	dryRunActs          = "dry-run-acts"
	neverEnds           = "never-ends"
	ticksUnbounded      = "ticks-unbounded"
	worksTooLong        = "works-past-its-deadline"
	batchTooLarge       = "batch-too-large"
	bodyNotTaken        = "body-not-taken"
	wrongAccount        = "called-in-the-wrong-account"
	stoppedByAnother    = "stopped-by-another-account"
)

// A wipe is one desktop under one work.
type wipe struct{ work, desktop string }

// An acceptance is one rebuild that was started.
type acceptance struct {
	wipe
	at    time.Time
	image string
}

// told is what the world heard.
type told struct {
	first  map[string]telling // by event id, as it came first
	order  []string
	resume map[string]int // resumed, by rollout
	ended  map[string]bool
	finals map[wipe]bool // which desktops are told to have ended
}

type telling struct {
	typ, id, result string
	outcome         struct {
		RequestID string `json:"requestId"`
		AccountID string `json:"accountId"`
		DesktopID string `json:"desktopId"`
		ImageID   string `json:"imageId"`
		Status    string `json:"status"`
		Code      string `json:"code"`
		DryRun    bool   `json:"dryRun"`
	}
	rollout struct {
		RolloutID  string `json:"rolloutId"`
		Digest     string `json:"digest"`
		PlanDigest string `json:"planDigest"`
		Page       int    `json:"page"`
		Reason     *struct {
			Code string `json:"code"`
		} `json:"reason"`
		DryRun bool `json:"dryRun"`
	}
	finished struct {
		RequestID string `json:"requestId"`
		Digest    string `json:"digest"`
		Desktops  int    `json:"desktops"`
	}
	refused struct {
		Code   string `json:"code"`
		Reason string `json:"reason"`
		Head   string `json:"head"`
	}
}

// quickOutcome reads an outcome as the function writes it, unless there is an escape
// in it: a key with its quotation marks does not stand in a text then.
func (t *telling) quickOutcome(data []byte) bool {
	if bytes.IndexByte(data, '\\') >= 0 {
		return false
	}
	o := &t.outcome
	o.RequestID, o.DesktopID, o.ImageID = textIn(data, `"requestId":"`), textIn(data, `"desktopId":"`), textIn(data, `"imageId":"`)
	o.AccountID = textIn(data, `"accountId":"`)
	o.Status, o.Code, o.DryRun = textIn(data, `"status":"`), textIn(data, `"code":"`), bytes.Contains(data, []byte(`"dryRun":true`))
	return true
}

// quickFinished reads a summary, as quickOutcome does an outcome.
func (t *telling) quickFinished(data []byte) bool {
	if bytes.IndexByte(data, '\\') >= 0 {
		return false
	}
	t.finished.RequestID, t.finished.Digest = textIn(data, `"requestId":"`), textIn(data, `"digest":"`)
	t.finished.Desktops = numberIn(data, `"desktops":`)
	return true
}

// isFinal says whether a desktop is told to have ended.
func (t telling) isFinal() bool {
	o := t.outcome
	return t.typ == events.TypeOutcome && !o.DryRun && o.Status != "deferred" && o.Status != "accepted"
}

// fleetOf is a fleet as an instance knows it, or nil.
func (w *world) fleetOf(name string, epoch int) *fleet.Fleet {
	if epoch < 0 {
		return nil
	}
	for i := range w.fleets[epoch] {
		if w.fleets[epoch][i].Name == name {
			return &w.fleets[epoch][i]
		}
	}
	return nil
}

// ownersOf finds out for whom a call is, by what the journals say that the
// invocation has begun.
// ownersOf says for which works the desktops of a call are: those for which the invocation has begun
// them. What it announced longer ago it does not carry out any more, though the record that says so
// may be late.
func (w *world) ownersOf(i *invocation, b desktop.Batch) map[string][]string {
	out := map[string][]string{}
	works := w.workList()
	for _, id := range b.IDs {
		for _, k := range works {
			if p := k.desktops[id]; p != nil && p.phase == "begun" && p.by == i.id && p.call != "" && time.Since(p.begunAt) <= oldFacts {
				out[id] = append(out[id], k.id)
			}
		}
		if w.s.NoJournal && len(i.messages) == 1 { // else nobody knows for whom it is
			for _, m := range i.messages {
				for _, plan := range w.s.Messages {
					if plan.ID == m.head.Subject && plan.Kind == "request" && plan.Image == b.ImageID && slices.Contains(plan.IDs, id) && !slices.Contains(out[id], plan.ID) {
						out[id] = append(out[id], plan.ID)
					}
				}
			}
		}
	}
	return out
}

func (w *world) denied(owners []string, id string) {
	for _, o := range owners {
		if k := w.works[o]; k != nil && k.desktops[id] != nil {
			k.desktops[id].denials++
		}
	}
}

// oldFacts is how old what the function goes by may be when its call arrives: a
// minute, and the time of the call.
const oldFacts = 150 * time.Second

// clocksApart is how far the clocks of two instances may be apart.
const clocksApart = 15 * time.Second

// accepted holds a rebuild that ECD is about to start against every rule.
func (w *world) accepted(i *invocation, m *machine, spec desktop.Spec, owners []string, shown shot) {
	id := m.now.ID
	w.note(i.id, "REBUILD", id+" to "+cmp.Or(spec.ImageID, "the same image")+" is started")
	if err := w.forbidden(i, spec, id, shown); err != nil {
		w.breaks(rebuiltForbidden, "%s was rebuilt to %s: %v", id, spec.ImageID, err)
	}
	if age := time.Since(shown.at); !shown.at.IsZero() && age > oldFacts {
		w.breaks(rebuiltOnOldFacts, "%s was rebuilt by what ECD said %s before", id, age.Round(time.Second))
	}
	if len(owners) == 0 && !w.s.NoJournal {
		w.breaks(rebuiltUnrecorded, "%s was rebuilt and no journal says that it was begun", id)
	}
	for _, o := range owners {
		at := wipe{o, id}
		w.wiped[at]++
		w.wipes = append(w.wipes, &acceptance{at, time.Now(), spec.ImageID})
		k := w.works[o]
		if k == nil {
			if w.wiped[at] > 1 && w.hits == 0 {
				w.breaks(wipedTwice, "%s was wiped %d times for %s, and nothing had gone wrong", id, w.wiped[at], o)
			}
			continue
		}
		p := k.desktops[id]
		p.wipedAt = time.Now()
		if n := w.wiped[at]; n > 1+p.retried {
			rule := wipedTwice
			if p.overlooked {
				rule = wipedUnseen
			}
			w.breaks(rule, "%s was wiped %d times for %s, with %d retries of it", id, n, o, p.retried)
		}
		p.overlooked = false
		w.heeded(i, k, p, m, shown)
		w.isFrozen(i, k, m)
		w.isSaved(i, k, m, spec)
		if k.request() {
			w.goesBack(k, m, shown)
			continue
		}
		m.forRollout = true
		if f := w.fleetOf(k.fleet, i.on.epoch); f != nil {
			w.gates(k, p, f, m, shown)
		}
	}
}

// goesBack holds a rebuild of a rollback of a request against what happened to the desktop
// since that request had it rebuilt, as far as ECD shows that.
func (w *world) goesBack(k *work, m *machine, shown shot) {
	if k.undoes == "" {
		return
	}
	id := m.now.ID
	if on := shown.is.ImageID; on != k.image {
		w.breaks(rollbackOverwrites, "%s took %s from %s, which %s did not bring", k.id, id, on, k.undoes)
	}
	var own time.Time
	for _, a := range w.wipes {
		if a.wipe == (wipe{k.undoes, id}) {
			own = a.at
		}
	}
	if own.IsZero() && w.tookAnothers(k.undoes, id) {
		return
	}
	if own.IsZero() {
		w.breaks(undoneOfOthers, "%s took %s back, which %s never had rebuilt", k.id, id, k.undoes)
		return
	}
	if !w.s.Records {
		return
	}
	seen := time.Now().Add(-oldFacts - m.plan.LagRecord.d()*9/8) // what began before shows in ECD's records
	for _, a := range w.wipes {
		if a.desktop == id && a.work != k.undoes && a.work != k.id && a.at.After(own) && a.at.Before(seen) {
			w.breaks(undoneOfOthers, "%s took %s back, which %s had rebuilt since %s did", k.id, id, a.work, k.undoes)
		}
	}
	if m.outside.After(own) && m.outside.Before(seen) {
		w.breaks(undoneOfOthers, "%s took %s back, which somebody else had rebuilt since %s did", k.id, id, k.undoes)
	}
}

// gates holds a rebuild of a rollout against its fleet's rules.
func (w *world) gates(k *work, p *progress, f *fleet.Fleet, m *machine, shown shot) {
	id, s := m.now.ID, f.Strategy
	under := 1
	for _, other := range w.ids {
		o := w.machine(other)
		if o != m && !o.gone && o.forRollout && o.now.Status == desktop.Rebuilding && time.Since(o.since) < cmp.Or(w.s.Rebuild, 30*minute).d() && w.inFleet(other, k.fleet) {
			under++
		}
	}
	if most := s.AtOnce(k.size); under > most && w.static() {
		w.breaks(tooManyAtOnce, "%d desktops of %s are being rebuilt at once, %d may", under, k.fleet, most)
	}
	open := false
	for _, at := range []time.Time{time.Now().Add(-oldFacts), time.Now().Add(-time.Minute), time.Now(), time.Now().Add(clocksApart)} {
		is, until := s.Open(at)
		open = open || is && (until.IsZero() || !at.Add(s.Expected).After(until))
	}
	if !open && !k.people.anyTime {
		w.breaks(rebuiltOutsideHours, "%s was rebuilt outside the window", id)
	}
	w.notInUse(k, p, f, m, shown, "rebuilt")
	if on := shown.is.ImageID; k.undoes != "" && on != k.image && on != k.back[id] {
		w.breaks(rollbackOverwrites, "%s took %s from %s, which %s did not bring", k.id, id, on, k.undoes)
	}
	if s.Maintenance && !m.held {
		rule := rebuiltUnheld
		if len(m.freedBy) > 0 && !slices.Contains(m.freedBy, k.id) {
			rule = takenOutByAnother
		}
		w.breaks(rule, "%s was rebuilt for %s and is not in maintenance mode; it was taken out for %v", id, k.id, m.freedBy)
	}
	if s.StopFirst && shown.is.Status != desktop.Stopped {
		w.breaks(rebuiltUnstopped, "%s was rebuilt and had not been stopped", id)
	}
}

// notInUse asks whether somebody was using a desktop, by what ECD said, when it was
// rebuilt or stopped for a rollout.
func (w *world) notInUse(k *work, p *progress, f *fleet.Fleet, m *machine, shown shot, what string) {
	s := f.Strategy.Sessions
	if !shown.is.InUse() || m.desk.usage.rests(s.Idle) {
		return
	}
	waited := s.Policy == fleet.Wait && s.After == fleet.Force && !p.inUse.IsZero() && time.Since(p.inUse) >= s.Deadline-clocksApart
	if s.Policy != fleet.Force && !waited && !slices.Contains(k.consent, events.ConsentSessions) && !slices.Contains(f.Rebuild.Consent, events.ConsentSessions) {
		w.breaks(rebuiltUnderUser, "%s was %s under somebody who was using it", m.now.ID, what)
	}
}

// keptFrom holds an announcement that a desktop is kept from its users against what the
// announcer was told of it.
func (w *world) keptFrom(k *work, r *record, by *invocation, f *fleet.Fleet) {
	for _, id := range r.Desktops {
		p, m, shown := k.desktops[id], w.machine(id), by.shown[id]
		if p == nil || m == nil {
			continue
		}
		if age := r.At.Sub(shown.at); age > oldFacts { // of what is written late nothing is done
			w.breaks(rebuiltOnOldFacts, "%s: %s by what ECD said of %s %s before", k.id, r.Kind, id, age.Round(time.Second))
		}
		if f != nil && r.Kind == "stopping" {
			w.notInUse(k, p, f, m, shown, "stopped")
		}
	}
}

func (w *world) inFleet(id, name string) bool {
	for _, k := range w.works {
		if k.fleet == name && k.desktops[id] != nil {
			return true
		}
	}
	return false
}

// static says whether nobody joins or leaves a fleet in this schedule and
// fleets.yaml stays as it is.
func (w *world) static() bool { return w.noneVanish() && len(w.s.Fleets) <= 1 }

// noneVanish says whether nobody joins or leaves a fleet, or is rebuilt by hand.
func (w *world) noneVanish() bool {
	for _, e := range w.s.Events {
		if e.What == "join" || e.What == "vanish" || e.What == "return" || e.What == "tag" || e.What == "untag" || e.What == "outside" {
			return false
		}
	}
	return true
}

// forbidden is what every rebuild must fulfil by what the caller was told, in
// the same invocation: a second reading of the guards.
func (w *world) forbidden(i *invocation, spec desktop.Spec, id string, shown shot) error {
	d := shown.is
	wanted := cmp.Or(spec.ImageID, d.ImageID)
	image, read := i.images[wanted]
	switch {
	case shown.at.IsZero():
		return errors.New("nobody had asked about it")
	case shown.gone:
		return errors.New("it was not listed")
	case d.Status != desktop.Running && d.Status != desktop.Stopped:
		return errors.New("it was shown as " + d.Status)
	case spec.ImageID == d.ImageID:
		return errors.New("it was shown on that image already")
	case d.GroupID != "":
		return errors.New("it belongs to a group")
	case len(d.Flags) > 0:
		return fmt.Errorf("it was shown as %v", d.Flags)
	case !read || image.Status != desktop.ImageAvailable:
		return errors.New("the image was not shown as Available")
	case image.GPU != d.GPU || image.OS != d.OS || image.SizeGiB > d.SystemDiskGiB:
		return errors.New("the image does not fit")
	case spec.OperateType == "replace" && d.DataDisks > 0 && i.on.epoch < 0:
		return errors.New("its data disk goes too")
	}
	return nil
}

// enrolled takes a line of a fleet's log.
func (w *world) enrolled(key string, e enrolment) {
	log := w.logs[key]
	if n := len(log); n > 0 {
		last := log[n-1]
		if e.undoes != "" && last.id != e.undoes {
			w.breaks(rollbackTakesNewer, "%s was enrolled behind %s, which it does not undo", e.id, last.id)
		}
		older := e.undoes == ""
		for _, o := range log {
			if o.undoes == "" && !e.made.Before(o.made) {
				older = false
			}
		}
		if k := w.works[last.id]; older && last.undoes != "" && (k == nil || !k.closed) {
			w.breaks(olderStopsRollback, "%s has an image older than all before it, and takes over from %s, which is under way", e.id, last.id)
		}
	}
	w.logs[key] = append(log, e)
}

// audit holds a line of a journal against those before it.
func (w *world) audit(k *work, r *record, by *invocation) {
	f := w.fleetOf(k.fleet, by.on.epoch)
	switch r.Kind {
	case "begun":
		w.alone(k, r, f)
		if !w.reminded(k, by) {
			w.breaks(begunWithoutTick, "%s: %v begun, and no tick is on the queue that looks after them", k.id, r.Desktops)
		}
		if k.stopped() {
			w.breaks(begunAfterStop, "%s: %v begun after it was stopped (%s)", k.id, r.Desktops, k.describe())
		}
		for _, id := range r.Desktops {
			p := k.desktops[id]
			if p == nil || p.phase != "" {
				w.breaks(begunTwice, "%s: %s is begun and not pending", k.id, id)
				continue
			}
			p.by, p.begunAt = by.id, time.Now()
			if f != nil {
				w.approved(k, f, id)
			}
		}
		if f != nil {
			running := len(r.Desktops)
			for _, p := range k.desktops {
				if p.phase == "begun" || p.phase == "accepted" {
					running++
				}
			}
			if most := f.Strategy.AtOnce(k.size); running > most && w.static() {
				w.breaks(tooManyAtOnce, "%s: %d are under way, %d may be", k.id, running, most)
			}
			w.checked(k, f, k.desktops[r.Desktops[0]].wave)
		}
	case "wave":
		if n := len(k.waves); n > 0 && f != nil {
			last := k.waves[n-1]
			switch {
			case r.Wave == last.n && r.Of > 0: // a further part of it
				if last.n == 1 && (k.shows() || k.undoes != "") {
					w.breaks(waveTooEarly, "%s: wave %d grows, and shows already what the image does", k.id, r.Wave)
				}
			case r.Wave <= last.n:
				w.breaks(waveTooEarly, "%s: wave %d after wave %d", k.id, r.Wave, last.n)
			case !last.ended:
				w.breaks(waveTooEarly, "%s: wave %d before wave %d has ended", k.id, r.Wave, last.n)
			case last.n < k.planned && time.Since(last.endedAt) < f.Strategy.Soak-time.Minute:
				w.breaks(waveTooEarly, "%s: wave %d while wave %d soaks", k.id, r.Wave, last.n)
			}
			if r.Wave > last.n && last.n == 1 && k.undoes == "" && !k.shows() && len(k.order) < k.size && w.static() {
				w.breaks(canaryUnshown, "%s: wave %d begins, and no desktop of the canary was rebuilt or had the image", k.id, r.Wave)
			}
		}
		if k.stopped() {
			w.breaks(begunAfterStop, "%s: wave %d after it was stopped", k.id, r.Wave)
		}
	case "again":
		w.overlook(k, r)
	case "holding", "stopping":
		w.alone(k, r, f)
		w.keptFrom(k, r, by, f)
	case "closed":
		w.endsInTime(k)
		if f != nil && k.superseded == "" && !k.aborted {
			w.checked(k, f, 1<<30)
		}
	case "ended", "settled":
		for _, g := range r.Outcomes {
			for _, id := range g.Desktops {
				w.weigh(k, r, g.Status, g.Code, id, f)
			}
		}
	}
}

// tickLate is how long after an invocation has ended the tick that looks after it may come: it is
// sent for a quarter of a minute later, clocks differ, and a call that takes it to the queue may be slow.
const tickLate = 5 * time.Minute

// reminded says whether a tick for a work is on the queue, or with somebody else, so
// that whoever begins something may die of it. Where the timer wakes works, ticks
// may be lost.
//
// It must come soon after the invocation has ended, or by as much later as the invocation stood
// frozen while it sent it; and no later one may have overtaken it.
func (w *world) reminded(k *work, by *invocation) bool {
	if w.s.NoQueue || w.s.Sweep {
		return true
	}
	tick := func(m *message) bool {
		return m.head.Type == events.TypeTick && m.head.Subject == k.id || m.head.again() == k.id
	}
	soon := func(m *message) bool {
		return tick(m) && !w.overtaken(m) && m.visible.Add(-m.late).Before(by.deadline.Add(w.s.Timeout.d()+tickLate))
	}
	return slices.ContainsFunc(w.messages, soon) ||
		slices.ContainsFunc(w.alive, func(i *invocation) bool { return i != by && slices.ContainsFunc(i.messages, tick) })
}

// shows says whether a desktop was rebuilt, or had the image already.
func (k *work) shows() bool {
	for _, p := range k.desktops {
		if !p.accepted.IsZero() || p.code == events.CodeAlreadyOnImage {
			return true
		}
	}
	return false
}

// approved asks for an approval at every end of a wave that the fleet wants one
// after and that lies before the desktop, whether or not a wave ended there.
func (w *world) approved(k *work, f *fleet.Fleet, id string) {
	if !w.static() || len(f.Strategy.Canary.Tags) > 0 {
		return
	}
	at := slices.Index(k.order, id)
	ends := f.Strategy.WaveEnds(k.size, f.Strategy.Canary.Size(k.size, 0))
	gates := map[int]bool{}
	canary := 0 // it may have grown
	for _, p := range k.desktops {
		if p.wave == 1 {
			canary++
		}
	}
	for n, end := range ends[:len(ends)-1] {
		end = max(end, canary)
		if f.Strategy.Approval.After(n+1, false) && end <= at && end < k.size {
			gates[end] = true
		}
	}
	if k.approvals < len(gates) {
		w.breaks(notApproved, "%s: %s, number %d of %d, is begun behind %d gates, with %d approvals", k.id, id, at+1, k.size, len(gates), k.approvals)
	}
}

// checked asks whether all that was rebuilt in the waves before has passed its
// check, where the fleet has one.
func (w *world) checked(k *work, f *fleet.Fleet, before int) {
	if f.Strategy.Check.Command == "" {
		return
	}
	for _, fs := range w.fleets {
		for _, o := range fs {
			if o.Name == k.fleet && o.Strategy.Check.Command == "" {
				return // there was a time when none was wanted
			}
		}
	}
	for _, id := range k.order {
		p := k.desktops[id]
		good := p.status == "completed" || p.status == "skipped" && p.code == events.CodeAlreadyOnImage
		if p.wave >= before || p.wipedAt.IsZero() || p.phase != "final" || !good || w.machines[id].checked.After(p.wipedAt) {
			continue
		}
		rule := waveUnchecked
		if p.retried > 0 {
			rule = retryUnchecked
		}
		w.breaks(rule, "%s goes on and %s, which is %s %s, has not passed its check", k.id, id, p.status, p.code)
	}
}

// standing asks whether a rollout that stands still, because somebody said so or it
// halted, still keeps people from desktops that it has not begun.
func (w *world) standing(k *work) {
	if !(k.paused || k.halted != "") || k.stopAt.IsZero() || time.Since(k.stopAt) < 30*time.Minute || !w.quietSince(k.stopAt) {
		return
	}
	for _, id := range k.order {
		if m := w.machine(id); m != nil && !m.gone && m.held && k.desktops[id].phase == "" && w.only(k, id) {
			w.breaks(keptFromUser, "%s is in maintenance mode, and %s has stood still for %s", id, k.id, time.Since(k.stopAt).Round(time.Minute))
		}
	}
}

// quietSince says whether nothing has struck since then.
func (w *world) quietSince(t time.Time) bool { return w.lastHit.Before(t) }

// only says whether no other open work names the desktop.
func (w *world) only(k *work, id string) bool {
	for _, o := range w.works {
		if o != k && !o.closed && o.desktops[id] != nil {
			return false
		}
	}
	return true
}

// weigh holds an outcome against what is so.
func (w *world) weigh(k *work, r *record, status, code, id string, f *fleet.Fleet) {
	p, m := k.desktops[id], w.machine(id)
	if p == nil || m == nil || p.phase == "final" || r.Kind == "ended" && (p.phase != "begun" || p.call != r.Call) {
		return
	}
	wiped := w.wiped[wipe{k.id, id}]
	switch {
	case status == "failed" && code == "IncorrectDesktopStatus" && p.denials < 5:
		w.breaks(failedAtOnce, "%s of %s has failed after ECD denied it %d times for its status", id, k.id, p.denials)
	case (status == "skipped" || status == "refused") && wiped > 0 && p.retried == 0 && code != events.CodeChangedOutside && p.phase == "":
		rule := wipedAndDenied
		if p.overlooked {
			rule = wipedUnseen
		}
		w.breaks(rule, "%s of %s is said to be %s (%s), and was wiped for it", id, k.id, status, code)
	case status == "completed" && m.now.Status == desktop.Rebuilding && m.byUs && m.rebuilt == wiped:
		w.breaks(completedUntrue, "%s of %s is said to be completed, and is being rebuilt", id, k.id)
	}
	if f != nil && !k.request() && status != "deferred" && status != "accepted" {
		w.deadline(k, p, m, f, id)
	}
}

// deadline asks whether a desktop in use was waited for much longer than its
// fleet says.
func (w *world) deadline(k *work, p *progress, m *machine, f *fleet.Fleet, id string) {
	s := f.Strategy.Sessions
	if s.Policy != fleet.Wait || p.inUse.IsZero() || m.inUse.IsZero() || m.inUse.After(p.inUse) || w.s.Sweep || len(w.s.Fleets) > 1 || len(f.Strategy.Windows) > 0 || w.s.slowly() { // a check of a day keeps its place
		return
	}
	for _, why := range slices.Sorted(maps.Keys(k.waitedFor)) {
		if !slices.Contains([]string{events.CodeSessionWait, events.CodeThrottled, events.CodeFactsUnavailable, events.CodeSoaking}, why) {
			return
		}
	}
	if k.halted != "" || k.paused || k.resumes > 0 || k.retries > 0 {
		return
	}
	if waited := time.Since(p.inUse); waited > s.Deadline+2*time.Hour {
		w.breaks(deadlineMissed, "%s of %s is in use and was waited for %s, %s may be", id, k.id, waited.Round(time.Minute), s.Deadline)
	}
}

func (w *world) countTicks(h head) {
	if h.tick == 0 || w.s.NoJournal {
		return
	}
	n := 0
	for _, m := range w.messages {
		if m.head.Type == events.TypeTick && m.head.Subject == h.Subject {
			n++
		}
	}
	// Each invocation sees to it that one comes after its own end, and one when
	// there is something to look at: every half a minute at the earliest.
	if most := 20 + 2*w.hits + 2*int(w.s.Timeout/(30*second)); n > most {
		w.breaks(ticksMultiply, "%d ticks for %s are on the queue", n, h.Subject)
	}
}

// hear takes one event that was published.
func (w *world) hear(h head) string {
	t := telling{typ: h.Type, id: h.ID}
	code := func(c string) {
		if _, ours := events.CodeNamed(c); !ours && !w.ownCodes[c] && c != "" {
			w.breaks(unknownCode, "%s has the code %q, which is in no list", h.ID, c)
		}
	}
	var err error
	switch h.Type {
	case events.TypeOutcome:
		if !t.quickOutcome(h.Data) {
			err = json.Unmarshal(h.Data, &t.outcome)
		}
		code(t.outcome.Code)
		t.result = t.outcome.Code
		if t.outcome.AccountID == "" && bytes.Contains(h.Data, []byte("AssumeRole")) {
			w.breaks(stoppedByAnother, "%s is in the own account, and says: %s", h.ID, h.Data)
		}
		t.outcome.DesktopID = inner(t.outcome.AccountID, t.outcome.DesktopID)
	case events.TypeFinished:
		if !t.quickFinished(h.Data) {
			err = json.Unmarshal(h.Data, &t.finished)
		}
		t.result = t.finished.Digest
	case events.TypeRefused:
		err = json.Unmarshal(h.Data, &t.refused)
		code(t.refused.Code)
		t.result = t.refused.Code
		if t.refused.Code == events.CodeRequestIdReused {
			w.reused(t.refused.Reason)
		}
	default:
		err = json.Unmarshal(h.Data, &t.rollout)
		if t.rollout.Reason != nil {
			code(t.rollout.Reason.Code)
			t.result = t.rollout.Reason.Code
		}
		w.operatorHears(h.Type, h.Subject, t)
	}
	if err != nil {
		w.breaks(notTold, "%s cannot be read: %v", h.ID, err)
	}
	if old, again := w.told.first[h.ID]; again {
		if old.result != t.result && h.Type != events.TypeRefused && !(w.s.NoJournal && (t.outcome.Status == "accepted" || w.cameAgain[t.outcome.RequestID])) && !strings.HasSuffix(h.ID, "/dryrun") { // what would be done changes
			w.breaks(idNamesTwo, "%s names two things: %q and %q", h.ID, old.result, t.result)
		}
		return t.result
	}
	w.told.first[h.ID] = t
	if id := cmp.Or(t.finished.RequestID, t.rollout.RolloutID); t.finished.Digest != "" || t.rollout.Digest != "" && t.rollout.PlanDigest == "" {
		w.told.ended[id] = true
	}
	w.told.order = append(w.told.order, h.ID)
	if t.isFinal() {
		w.told.finals[wipe{t.outcome.RequestID, t.outcome.DesktopID}] = true
	}
	if h.Type == events.RolloutResumed.Type() {
		w.told.resume[t.rollout.RolloutID]++
		if k := w.works[t.rollout.RolloutID]; k != nil && w.told.resume[k.id] > k.resumes {
			w.breaks(resumedWhilePaused, "%s is told to have resumed %d times, and did %d times", k.id, w.told.resume[k.id], k.resumes)
		}
	}
	return t.result
}

// reused asks whether a release that is told to be another one under the same id
// was ever sent with another image.
func (w *world) reused(reason string) {
	images := map[string]bool{}
	for _, m := range w.s.Messages {
		if m.Kind == "release" && strings.Contains(reason, "release "+m.ID+" ") {
			data, _ := json.Marshal(m.Images)
			images[string(data)] = true
		}
	}
	if len(images) == 1 {
		w.breaks(falseReuse, "%s, and it was not", reason)
	}
}

// finish holds what happened against what is promised, when all is over.
func (w *world) finish() {
	if w.lastWords != "" {
		return
	}
	finals := map[wipe][]telling{}
	for _, id := range w.told.order {
		t := w.told.first[id]
		if o := t.outcome; t.isFinal() {
			at := wipe{o.RequestID, o.DesktopID}
			finals[at] = append(finals[at], t)
		}
	}
	for _, k := range w.workList() {
		w.finishWork(k, finals)
	}
	for _, m := range w.s.Messages {
		if k := w.works[m.ID]; k != nil && m.DryRun && !m.Planned {
			w.breaks(dryRunActs, "request %s was for show only, and was opened", m.ID)
		}
		if m.Kind == "request" && !m.DryRun && m.Raw == "" && !w.s.NoJournal && w.works[m.ID] == nil && !w.excused(m.ID) {
			w.breaks(neverOpened, "request %s was never opened", m.ID)
		}
	}
	w.undoOpened()
	w.releasesOpened()
	for _, id := range w.ids {
		m := w.machine(id)
		if m.held && !m.gone {
			w.breaks(leftInMaintenance, "%s was left in maintenance mode", id)
		}
		if m.halted && !m.gone && m.now.Status == desktop.Stopped {
			w.breaks(leftStopped, "%s was left stopped", id)
		}
	}
	for key, n := range w.bytes {
		if most := 200_000 + 2_000*w.count + 1_000*len(w.ids); n > most {
			w.breaks(journalGrows, "journal %s has %d bytes", key, n)
		}
	}
}

// undoOpened asks whether each request that was to be taken back has a rollback, or whoever
// asked for it was told no.
func (w *world) undoOpened() {
	refused := false
	for _, t := range w.told.first {
		refused = refused || t.typ == events.TypeRefused
	}
	for _, m := range w.s.Messages {
		if m.Action == events.ActionRollback && m.Of != "" && !m.Planned && !w.s.NoJournal && !refused && w.works[m.Of+"/rollback"] == nil && w.seen["Redelivery of "+m.ID] == 0 && w.seen["Redelivery of "+m.Of] == 0 {
			w.breaks(undoNeverOpened, "%s was to be taken back, and has no rollback", m.Of)
		}
	}
}

// tookAnothers says whether a work took another's rebuild of a desktop for its own, or may have:
// docs/guarantees.md, two requests for one desktop.
func (w *world) tookAnothers(work, id string) bool {
	k := w.works[work]
	return k != nil && k.desktops[id] != nil && k.desktops[id].lost
}

// excused says whether nothing at all was heard of a request because the queue
// lost it, or it was answered with a refusal of the whole.
func (w *world) excused(id string) bool {
	if w.seen["Redelivery of "+id] > 0 && w.unopenedOf(id) == nil {
		return true
	}
	for _, t := range w.told.first {
		if t.typ == events.TypeRefused || t.typ == events.TypeOutcome && t.outcome.RequestID == id && t.outcome.Status == "refused" {
			return true
		}
	}
	return false
}

// openedTooLate says whether a work was opened so late that its first tick had found
// nothing, that the platform has forgotten the message besides, and that nothing was
// done for it.
func (w *world) openedTooLate(k *work) bool {
	release, _, _ := strings.Cut(k.id, "/")
	if !w.s.Lossy || k.tickN > 1 || w.seen["Redelivery of "+k.id]+w.seen["Redelivery of "+release] == 0 {
		return false
	}
	for _, p := range k.desktops {
		if p.begun > 0 || p.status != "" {
			return false
		}
	}
	return true
}

func (w *world) finishWork(k *work, finals map[wipe][]telling) {
	if !k.closed && w.s.NoQueue && (k.request() || !w.s.Sweep || w.fleetOf(k.fleet, len(w.fleets)-1) == nil) {
		return // nothing wakes it
	}
	if !k.closed && (w.openedTooLate(k) || !w.s.Sweep && k.controlledTooLate()) {
		return // its sender hears nothing, and sends it again: docs/guarantees.md
	}
	if !k.closed {
		w.breaks(notEnded, "%s is left open: %s", k.id, k.describe())
		return
	}
	var ids []string
	for _, id := range k.order {
		p, got := k.desktops[id], finals[wipe{k.id, id}]
		switch {
		case len(got) == 0 && k.untold() && p.finalAt.Equal(k.untoldAt):
			continue
		case len(got) == 0:
			w.breaks(notTold, "%s of %s ended as %s %s, and nobody was told", id, k.id, p.status, p.code)
			continue
		case len(got) > 1+p.retried:
			w.breaks(endedTwice, "%s of %s ended %d times with %d retries: %s and %s", id, k.id, len(got), p.retried, got[0].id, got[len(got)-1].id)
			continue
		}
		last := got[0]
		for _, g := range got {
			if g.outcome.Status == p.status {
				last = g
			}
		}
		ids = append(ids, last.id)
		w.truth(k, id, last)
		// Who stops a rollback wants no more taken back, what is under way included.
		if k.undoes != "" && k.request() && p.code != events.CodeAborted && slices.ContainsFunc(w.wipes, func(a *acceptance) bool { return a.wipe == (wipe{k.undoes, id}) && a.at.After(p.finalAt) }) {
			w.breaks(undoneTooEarly, "%s of %s ended as %s, and %s had it rebuilt after that", id, k.id, p.code, k.undoes)
		}
	}
	w.summary(k, ids)
	if s := k.superseded; s != "" && w.works[s] == nil {
		enrolled := false
		for _, log := range w.logs {
			enrolled = enrolled || slices.ContainsFunc(log, func(e enrolment) bool { return e.id == s })
		}
		if !enrolled {
			w.breaks(supersededByNothing, "%s was superseded by %s, which does not exist", k.id, s)
		}
	}
}

// truth holds a final outcome against what really happened.
func (w *world) truth(k *work, id string, t telling) {
	if t.outcome.Code == events.CodeRebuildFailed && w.succeeded(wipe{k.id, id}) {
		w.breaks(failedUntrue, "%s of %s is said to have failed, and was rebuilt", id, k.id)
	}
	if t.outcome.Status != "completed" {
		return
	}
	image := k.image
	if k.undoes != "" {
		image = k.back[id]
	}
	m := w.machines[id]
	if m == nil || slices.ContainsFunc(m.record, func(e entry) bool { return e.to == cmp.Or(image, e.from) }) {
		return // whoever did it: ECD's records do not say
	}
	if image == "" {
		w.breaks(resetUntrue, "%s of %s is said to be completed, and was never reset", id, k.id)
	} else {
		w.breaks(completedUntrue, "%s of %s is said to be completed, and was never rebuilt to %q", id, k.id, image)
	}
}

// succeeded says whether a work has had a desktop rebuilt, and none of its rebuilds has failed.
func (w *world) succeeded(of wipe) bool {
	own, failed := false, false
	for _, a := range w.wipes {
		for _, e := range w.machines[of.desktop].record {
			if a.wipe == of && e.began.Equal(a.at) {
				own, failed = true, failed || e.failed
			}
		}
	}
	return own && !failed
}

// summary looks for what is said when a work ends, and holds its digest against
// the outcomes.
func (w *world) summary(k *work, ids []string) {
	n := 0
	want := events.Digest(ids)
	for _, id := range w.told.order {
		t := w.told.first[id]
		switch {
		case t.typ == events.TypeFinished && t.finished.RequestID == k.id && !strings.HasSuffix(id, "/dryrun"):
			if n++; t.finished.Digest != want {
				w.breaks(wrongDigest, "the summary of %s has another digest than its outcomes", k.id)
			}
			if t.finished.Desktops != len(k.order) {
				w.breaks(wrongDigest, "the summary of %s counts %d desktops of %d", k.id, t.finished.Desktops, len(k.order))
			}
		case t.rollout.RolloutID == k.id && t.rollout.Digest != "" && !strings.HasSuffix(t.typ, ".plan.v1"):
			if n++; k.retries == 0 && t.rollout.Digest != want {
				w.breaks(wrongDigest, "the end of %s has another digest than its outcomes", k.id)
			}
			if t.rollout.Reason == nil && k.undoes == "" && w.static() && !k.request() {
				for _, id := range w.ids {
					if m := w.machines[id]; k.desktops[id] == nil && !m.gone && w.member(m, k.fleet) {
						w.breaks(rolloutUntrue, "%s is said to have gone over the fleet, and %s had no turn", k.id, id)
					}
				}
			}
		}
	}
	gone := w.s.NoQueue && !k.request() && w.fleetOf(k.fleet, len(w.fleets)-1) == nil // what comes again is not for it any more
	if n != 1 && !(n == 0 && (k.untold() || gone)) {
		w.breaks(notTold, "%s has %d endings", k.id, n)
	}
}

// untold says whether an instance that was given up while it was frozen wrote down how a
// request ended, and nothing has brought it up since: it is told when something does.
// docs/guarantees.md, without a queue.
func (k *work) untold() bool { return k.request() && k.untoldAt.After(k.lookedAt) }

// controlledTooLate says whether an order was written down so late that its tick had come, by an
// instance that was given up while it was frozen, and the platform has forgotten the message: the
// timer finds the rollout. docs/guarantees.md
func (k *work) controlledTooLate() bool { return !k.request() && k.controlledAt.After(k.lookedAt) }

// member says whether a desktop belongs to the fleet by the last fleets.yaml.
func (w *world) member(m *machine, name string) bool {
	if len(w.fleets) == 0 {
		return false
	}
	f := w.fleets[len(w.fleets)-1].Of(m.now)
	return f != nil && f.Name == name
}

var _ = journal.Key
