package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// What every promise about rollouts of one fleet that follow each other is called by.
const (
	usedByTwo      = "used-by-two-rollouts-of-a-fleet"
	restoredEarly  = "restored-while-another-rollout-has-it"
	tooManyDown    = "too-many-down-with-earlier-rollouts"
	earlierEndsOff = "earlier-rollout-ends-late"
)

// twiceShare is of how many schedules one changes a fleet within a rebuild.
const twiceShare = 20

var twiceProfile = profile{"twice", 1, twiceWithin}

// A twicePlan is what changes a fleet, while it is being drawn.
type twicePlan struct {
	*schedule
	d       *dice
	at      span
	latest  string              // the release that came last
	images  []string            // those that are still to come, oldest first
	options []map[string]string // of the fleets
	leaves  []string            // desktops that are excluded by now
}

// The fleets of the schedules of twice.
var twiceFleets = []string{"office", "design"}

// twiceWithin changes a fleet two to four times within the time of one rebuild.
func twiceWithin(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift, s.Instances = pick(d, minute, 5*minute, 10*minute), 3*hour, hour, 1+d.n(3)
	s.Budget, s.Sweep = pick(d, 0, 3, 6, 12, 20), d.one(2)
	s.NoQueue = s.Sweep && d.one(6) // something has to wake rollouts
	s.Brief = !d.one(6)
	s.Images = append(s.Images, imagePlan{ID: "m-new3", Region: region, Day: 70}, imagePlan{ID: "m-new4", Region: region, Day: 80}, imagePlan{ID: "m-new5", Region: region, Day: 90})
	p := &twicePlan{schedule: s, d: d, images: []string{"m-new1", "m-new2", "m-new3", "m-new4", "m-new5"}}
	if d.one(12) && !s.NoQueue { // where each delivery comes again all the time
		s.Rebuild = 4 * hour
	}
	p.people()
	p.faults()
	for range pick(d, 1, 1, 2) {
		p.options = append(p.options, p.strategy())
	}
	p.write()
	p.release()
	for range 1 + d.n(3) {
		p.at += d.between(pick(d, second, 20*second, minute), pick(d, 3*minute, 6*minute, 15*minute))
		pick(d, p.release, p.release, p.release, p.stop, p.stop, p.stop, p.goes, p.moves, p.excludes, p.changes, p.asks)()
	}
	if p.one(2) { // and something that goes over all of them
		p.at += d.between(second, 10*minute)
		p.release()
	}
	p.besides()
}

// slowly says whether rebuilds take hours in the schedule, and their checks a day.
func (s *schedule) slowly() bool { return s.Rebuild > hour }

// besides are timers at any time, and what happens to desktops that nobody asked for.
func (p *twicePlan) besides() {
	for range p.d.n(6) {
		if at := p.d.between(0, 40*minute); p.Sweep {
			p.Messages = append(p.Messages, messagePlan{At: at, Kind: "timer"})
		}
	}
	x := p.Desktops[p.d.n(len(p.Desktops))].ID
	at := p.d.between(0, 30*minute)
	switch p.d.n(12) {
	case 0:
		p.Events = append(p.Events, eventPlan{At: at, Desktop: x, What: "outside", Arg: pick(p.d, "m-outside", "m-new1", "m-old")})
	case 1:
		p.Events = append(p.Events, eventPlan{At: at, Desktop: x, What: "vanish"}, eventPlan{At: at + p.d.between(second, 4*minute), Desktop: x, What: "return"})
	case 2:
		p.Events = append(p.Events, eventPlan{At: at, Desktop: "ecd-0090", What: "join", Arg: x})
	}
}

func (p *twicePlan) one(n int) bool { return p.d.one(n) }

// people are the desktops: most are rebuilt for so long that the fleet changes meanwhile.
func (p *twicePlan) people() {
	desktops(p.schedule, p.d, 2+p.d.n(4), p.one(4))
	for i := range p.Desktops {
		x := &p.Desktops[i]
		if !p.one(4) {
			x.Takes = p.d.between(3*minute, 15*minute)
		}
		if p.Records && p.one(12) {
			x.Ends = pick(p.d, "fail", "fail", "stick")
		}
		if p.NoQueue { // a delivery that fails comes again all the time
			x.Ends = ""
		}
		if p.slowly() {
			x.Takes = p.d.between(hour, 3*hour)
		}
		x.Tags = map[string]string{"fleet": pick(p.d, "office", "office", "office", "design")}
	}
}

// faults adds what breaks around a change of rollouts to what may break anyway.
func (p *twicePlan) faults() {
	p.Odds = append([]odd{
		{"Append fleet/", isSlow, pick(p.d, 0, 200), second, 2 * minute}, {"Append fleet/", killAfter, pick(p.d, 0, 100), 0, 0}, {"Append fleet/", isLate, pick(p.d, 0, 100), second, 2 * minute},
		{" superseded", killAfter, pick(p.d, 0, 200), 0, 0}, {" superseded", isSlow, pick(p.d, 0, 200), second, 3 * minute}, {" superseded", fails, pick(p.d, 0, 200), 0, 0},
		{" begun", killAfter, pick(p.d, 0, 100), 0, 0}, {" begun", isSlow, pick(p.d, 0, 100), second, 50 * second}, {" begun", freezes, pick(p.d, 0, 100), minute, 20 * minute},
		{" ended", killBefore, pick(p.d, 0, 100), 0, 0}, {" closed", killBefore, pick(p.d, 0, 100), 0, 0}, {" closed", killAfter, pick(p.d, 0, 100), 0, 0}, {" closed", isLate, pick(p.d, 0, 100), second, 3 * minute},
		{"RebuildDesktops", isLate, pick(p.d, 0, 200), second, 55 * second}, {"RebuildDesktops", lostAfter, pick(p.d, 0, 300), 0, 0},
		{"Maintenance off", isSlow, pick(p.d, 0, 300), second, 3 * minute}, {"Maintenance off", killAfter, pick(p.d, 0, 200), 0, 0}, {"Maintenance off", fails, pick(p.d, 0, 300), 0, 0},
		{"Maintenance on", lostAfter, pick(p.d, 0, 200), 0, 0}, {"Maintenance on", killAfter, pick(p.d, 0, 200), 0, 0}, {"Maintenance on", isLate, pick(p.d, 0, 200), second, 50 * second},
		{"St", killAfter, pick(p.d, 0, 100), 0, 0}, {"StartDesktops", fails, pick(p.d, 0, 200), 0, 0}, {"StopDesktops", isSlow, pick(p.d, 0, 200), second, 50 * second},
	}, p.Odds...)
	if p.one(3) { // or nothing but these
		p.Odds = p.Odds[:22]
	}
	if p.Sweep && p.one(2) {
		p.Odds = append([]odd{{"Delivery of v", vanishes, 100, 0, 0}}, p.Odds...)
	}
}

// strategy has little to wait for besides other rollouts.
func (p *twicePlan) strategy() map[string]string {
	o := strategy(p.d)
	o["approval"], o["soak"], o["windows"] = pick(p.d, "none", "none", "[1]"), pick(p.d, "0s", "0s", "10m"), ""
	o["sessions"] = pick(p.d, "{policy: force}", "{policy: skip}", "{policy: wait, deadline: 10m, after: force}")
	o["canary"] = fmt.Sprintf("{share: %d, maxFailures: %d}", 1+p.d.n(2), p.d.n(2))
	o["maintenance"], o["stopFirst"] = fmt.Sprint(p.one(2)), fmt.Sprint(p.one(3))
	o["check"] = pick(p.d, "{stable: 0s}", "{stable: 0s}", "{stable: 5m}", `{stable: 0s, command: "exit 0"}`)
	if p.slowly() {
		o["check"] = "{stable: 24h}"
	}
	o["onHalt"] = pick(p.d, "", "", "rollback")
	return o
}

// write has fleets.yaml be as it is drawn from now on.
func (p *twicePlan) write() {
	text := "fleets:\n"
	for n, o := range p.options {
		selects := "select: {tags: {fleet: " + twiceFleets[n] + "}}"
		if len(p.options) == 1 {
			selects = "select: all"
		}
		if len(p.leaves) > 0 {
			selects += "\n    exclude: {desktopIds: [" + strings.Join(p.leaves, ", ") + "]}"
		}
		text += strings.TrimPrefix(fleetYAML(twiceFleets[n], selects, optionLines(maps.Clone(o), "requests: true")...), "fleets:\n")
	}
	p.Fleets = append(p.Fleets, fleetsFile{p.at, text})
}

// release brings the next image to all fleets, by one message.
func (p *twicePlan) release() {
	if len(p.images) == 0 {
		return
	}
	p.latest = fmt.Sprintf("v%d", 6-len(p.images))
	p.schedule.release(p.at, p.latest, p.images[0])
	p.images = p.images[1:]
}

// stop has somebody stop the latest rollout, or take it back.
func (p *twicePlan) stop() {
	id := p.latest + "/" + twiceFleets[p.d.n(len(p.options))]
	p.control(p.at, id, pick(p.d, events.ActionRollback, events.ActionRollback, events.ActionRollback, events.ActionAbort, events.ActionAbort, events.ActionPause, events.ActionRetry))
	if last := &p.Messages[len(p.Messages)-1]; last.Action == events.ActionRollback {
		last.Planned = p.one(5)
	}
	if p.one(4) {
		p.control(p.at+p.d.between(second, 5*minute), pick(p.d, id, id+"/rollback"), pick(p.d, events.ActionAbort, events.ActionPause, events.ActionResume))
	}
}

// goes takes the fleets out of fleets.yaml and puts them back.
func (p *twicePlan) goes() {
	p.Fleets = append(p.Fleets, fleetsFile{p.at, fleetGone})
	p.at += p.d.between(20*second, 6*minute)
	if p.one(3) {
		p.release() // for nobody
		p.at += p.d.between(second, 2*minute)
	}
	p.write()
}

// moves takes a desktop to another fleet, or to none.
func (p *twicePlan) moves() {
	id := p.Desktops[p.d.n(len(p.Desktops))].ID
	p.Events = append(p.Events, eventPlan{At: p.at, Desktop: id, What: "tag", Arg: "fleet=" + pick(p.d, "office", "design", "none")})
	if p.one(3) {
		p.Events = append(p.Events, eventPlan{At: p.at + p.d.between(minute, 10*minute), Desktop: id, What: "tag", Arg: "fleet=" + pick(p.d, "office", "design")})
	}
}

// excludes has a desktop be no longer a member, for good or for a while.
func (p *twicePlan) excludes() {
	p.leaves = []string{p.Desktops[p.d.n(len(p.Desktops))].ID}
	p.write()
	if p.one(2) {
		p.at += p.d.between(20*second, 5*minute)
		p.leaves = nil
		p.write()
	}
}

// changes has other options of the fleets hold from now on.
func (p *twicePlan) changes() {
	for _, o := range p.options {
		switch p.d.n(4) {
		case 0:
			o["maintenance"] = fmt.Sprint(o["maintenance"] != "true")
		case 1:
			o["stopFirst"] = fmt.Sprint(o["stopFirst"] != "true")
		default:
			o["maxUnavailable"] = pick(p.d, "1", "2", `"100%"`)
		}
	}
	p.write()
}

// asks requests rebuilds of some of the same desktops, and perhaps takes that back.
func (p *twicePlan) asks() {
	ids := []string{p.Desktops[0].ID, p.Desktops[len(p.Desktops)-1].ID}
	id := fmt.Sprintf("r%d", len(p.Messages))
	p.request(p.d, p.at, id, pick(p.d, "m-new1", "m-new2", "m-new5"), slices.Compact(ids))
	if p.one(2) {
		p.at += p.d.between(20*second, 6*minute)
		p.Messages = append(p.Messages, messagePlan{At: p.at, Kind: "control", ID: fmt.Sprintf("b%d", len(p.Messages)), Of: id, Action: events.ActionRollback})
	}
}

// uses says whether a rollout has a desktop: it is being rebuilt for it, or is to be
// restored by it.
func (k *work) uses(id string) bool {
	p := k.desktops[id]
	return p != nil && !k.request() && (p.phase == "begun" || p.phase == "accepted" || !k.closed && (p.ready.held || p.ready.stopped))
}

// alone holds an announcement that something is done to desktops against what other
// rollouts of the fleet are doing to them, and to others.
func (w *world) alone(k *work, r *record, f *fleet.Fleet) {
	if k.request() {
		return
	}
	down := map[string]bool{}
	more := false // what is down already may be begun
	for _, id := range r.Desktops {
		down[id] = true
		more = more || !k.uses(id)
	}
	for _, o := range w.workList() {
		if o.fleet != k.fleet || o.account != k.account {
			continue
		}
		for id, p := range o.desktops {
			switch {
			case !o.uses(id):
			case o == k && p.phase == "final": // it has ended, and is restored at once
			case o != k && slices.Contains(r.Desktops, id):
				w.breaks(usedByTwo, "%s: %s of %s, which %s still uses (%s)", k.id, r.Kind, id, o.id, cmpOr(p.phase, "pending"))
			default:
				down[id] = true
			}
		}
	}
	if f == nil || w.s.NoJournal {
		return
	}
	if most := f.Strategy.AtOnce(k.size); more && len(down) > most && w.noneVanish() {
		w.breaks(tooManyDown, "%s: %s of %v, and %v are down with it, %d may be", k.id, r.Kind, r.Desktops, slices.Sorted(maps.Keys(down)), most)
	}
}

// restores holds a call that takes a desktop out of maintenance mode, or starts it, against
// what other rollouts of the fleet have done to it.
func (w *world) restores(m *machine, what string, by []*work) {
	id := m.now.ID
	for _, k := range by {
		for _, o := range w.workList() {
			if o != k && !k.request() && o.fleet == k.fleet && o.account == k.account && o.uses(id) && !slices.Contains(by, o) {
				w.breaks(restoredEarly, "%s: %s of %s, which %s uses", k.id, what, id, o.id)
			}
		}
	}
}

// endsIn is how long a rollout from which another took over may take to its end while
// nothing breaks: a rebuild that never arrives, its check, and that it is restored.
const endsIn = 3 * time.Hour

// endsInTime asks whether a rollout that begins nothing more has ended soon.
func (w *world) endsInTime(k *work) {
	since := k.overSince
	if since.IsZero() || !k.lostAt.IsZero() || w.s.Unreadable > 0 || w.s.NoQueue || w.s.NoJournal {
		return
	}
	for _, t := range []time.Time{w.lastHit, k.foundAt} { // whoever has lost its tick waits for the timer
		if t.After(since) {
			since = t
		}
	}
	most := endsIn
	for _, id := range k.order {
		if m := w.machine(id); m != nil && m.plan.Ends == "stick" && k.desktops[id].ready.stopped {
			most = 25 * time.Hour // it cannot be started, and is given up after a day
		}
	}
	if w.s.slowly() {
		most += 28 * time.Hour
	}
	if took := time.Since(since); took > most {
		w.breaks(earlierEndsOff, "%s took %s to end after it was stopped", k.id, took.Round(time.Minute))
	}
}

// releasesOpened asks whether each release has come to each fleet, and each rollout that
// was entered was opened.
func (w *world) releasesOpened() {
	if w.s.NoJournal || w.s.NoQueue {
		return
	}
	for _, log := range w.logs {
		for _, e := range log {
			release, name, _ := strings.Cut(e.id, "/")
			if w.cameAgain[release] && !w.always(strings.TrimSuffix(name, "/rollback")) {
				continue // its message came again when there was no such fleet
			}
			late := w.s.Lossy && w.seen["Redelivery of "+release]+w.seen["Redelivery of "+e.id] > 0 // its entry came after its tick: see openedTooLate
			if w.works[e.id] == nil && !late {
				w.breaks(neverOpened, "rollout %s was entered, and never opened", e.id)
			}
		}
	}
}

// always says whether a fleet is declared at all times.
func (w *world) always(name string) bool {
	for epoch := range w.fleets {
		if w.fleetOf(name, epoch) == nil {
			return false
		}
	}
	return true
}
