package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/events"
)

// A profile is one shape of schedules. Each has its own odds, so that what is
// rare in one is common in another.
type profile struct {
	name   string
	weight int
	make   func(s *schedule, d *dice)
}

var profiles = []profile{
	{"requests", 30, requests},
	{"slow", 10, slow},
	{"rollouts", 14, rollouts},
	{"gates", 8, gates},
	{"checks", 8, checks},
	{"rollbacks", 12, rollbacks},
	{"maintenance", 10, maintenance},
	{"sessions", 4, sessions},
	{"unreadable", 1, unreadable},
	{"bare", 4, bare},
	{"texts", 2, texts},
	{"redeployed", 4, redeployed},
	{"many", 6, many},
	{"dry", 4, dry},
	{"queueless", 3, queueless},
	{"swept", 4, swept},
	{"large", 0, large},
}

const (
	region  = "cn-hangzhou"
	region2 = "cn-shanghai"
)

// draw makes the schedule of a seed. Only is the one profile that is wanted, or
// "".
func draw(seed uint64, only string) *schedule {
	if a := newDice(seed, "accounts", 0); only == accountsProfile.name || only == "" && a.one(accountsShare) {
		d := newDice(seed, "plan", 0)
		s := basic(seed, accountsProfile.name, &d)
		accountsProfile.make(s, &d)
		return s
	}
	if t := newDice(seed, "twice", 0); only == twiceProfile.name || only == "" && t.one(twiceShare) {
		d := newDice(seed, "plan", 0)
		s := basic(seed, twiceProfile.name, &d)
		twiceProfile.make(s, &d)
		return s
	}
	if p := peopleProfile(seed, only); p != nil {
		return p.draw(seed)
	}
	d := newDice(seed, "plan", 0)
	total := 0
	for _, p := range profiles {
		if only == "" {
			total += p.weight
		} else if p.name == only {
			total = 1
		}
	}
	at := d.n(total)
	for _, p := range profiles {
		if only != "" && p.name != only {
			continue
		}
		if at -= p.weight; at < 0 || only != "" {
			s := basic(seed, p.name, &d)
			p.make(s, &d)
			return s
		}
	}
	panic("no profile is called " + only)
}

// basic is what most schedules have in common.
func basic(seed uint64, name string, d *dice) *schedule {
	s := &schedule{Seed: seed, Profile: name, Drawn: true, Regions: []string{region}, Instances: pick(d, 1, 2, 2, 3),
		Timeout: pick(d, 10*second, minute, 5*minute, 10*minute), Window: pick(d, 0, 0, second, 30*second), Warm: !d.one(3),
		Rebuilds: 1 + d.n(2), Publishers: 1 + d.n(2), Records: !d.one(3), Calm: 12 * hour, Bound: 10 * 24 * hour, Budget: pick(d, 0, 2, 5, 10, 20)}
	s.After = pick(d, "", "Running")
	if d.one(2) {
		s.Skew = []span{0, span(d.n(14_000)-7_000) * span(time.Millisecond), span(d.n(14_000)-7_000) * span(time.Millisecond)}
	}
	for i, id := range []string{"m-old", "m-new1", "m-new2", "m-outside"} {
		s.Images = append(s.Images, imagePlan{ID: id, Region: region, Day: 10 * (i + 1)})
	}
	s.Images = append(s.Images, imagePlan{ID: "m-broken", Region: region, Day: 60, Failed: true}, imagePlan{ID: "m-ancient", Region: region, Day: 1})
	s.Odds = faults(d)
	apart := newDice(seed, "lossy", 0) // drawn apart: the rest of a seed's schedule stays as it was
	s.Lossy = apart.one(4)
	if few := newDice(seed, "few", 0); few.one(4) {
		s.Most = 1 + few.n(4)
	}
	return s
}

// faults are the odds of a cloud in which everything goes wrong at times.
func faults(d *dice) []odd {
	var out []odd
	add := func(match, what string, lo, hi span, perMille ...int) {
		if n := pick(d, perMille...); n > 0 {
			out = append(out, odd{match, what, n, lo, hi})
		}
	}
	add("", fails, 0, 0, 0, 5, 20)
	add("Describe", throttles, 0, 0, 0, 5, 20)
	add("RebuildDesktops", throttles, 0, 0, 0, 20)
	add("RebuildDesktops", lostAfter, 0, 0, 0, 50, 200)
	add("RebuildDesktops", lostBefore, 0, 0, 0, 50)
	add("RebuildDesktops", leavesOut, 0, 0, 0, 50)
	add("RebuildDesktops", refuses, 0, 0, 0, 0, 30)
	add("RebuildDesktops", forbids, 0, 0, 0, 0, 40)
	add("Rebuild", denies, 0, 0, 0, 0, 50)
	add("Answer", answers, 0, 0, 0, 0, 30, 150)
	add("Describe", forbids, 0, 0, 0, 0, 3)
	add("", lostBefore, 0, 0, 0, 5, 20)
	add("", lostAfter, 0, 0, 0, 5, 30)
	add("", killBefore, 0, 0, 0, 5, 20)
	add("", killAfter, 0, 0, 0, 5, 20)
	add("Append", isLate, second, 3*minute, 0, 0, 20)
	add("RebuildDesktops", isLate, second, 40*second, 0, 0, 50)
	add("Publish", isSlow, 10*second, 4*minute, 0, 0, 50, 200)
	add("", isSlow, second, 30*second, 0, 0, 20, 50)
	add("", isSlow, 30*second, 5*minute, 0, 0, 10)
	add("", freezes, minute, 20*minute, 0, 0, 5, 15)
	add("", freezesIn, minute, 20*minute, 0, 0, 5, 15)
	add("Delivery", twice, 0, 3*minute, 0, 50, 200)
	add("Delivery", twice, hour, 2*hour, 0, 0, 20)
	add("Delivery", isLate, second, 10*minute, 0, 0, 100)
	return out
}

// only keeps the odds of some kinds.
func onlyOdds(list []odd, kinds ...string) []odd {
	return slices.DeleteFunc(list, func(o odd) bool { return !slices.Contains(kinds, o.What) })
}

// desktops adds n desktops, most of them ordinary.
func desktops(s *schedule, d *dice, n int, strange bool) []string {
	lag := pick(d, 0, second, 20*second, 50*second, 50*second, 4*minute)
	var ids []string
	for i := range n {
		p := desktopPlan{ID: fmt.Sprintf("ecd-%04d", len(s.Desktops)+1), Region: region, Image: "m-old", Takes: d.between(65*second, pick(d, 2*minute, 2*minute, 4*minute)), Early: d.one(3),
			LagStatus: d.between(0, lag), LagImage: d.between(0, lag), LagRecord: d.between(0, lag)}
		if d.one(12) {
			p.Takes = d.between(4*minute, 25*minute)
		}
		if p.Early { // a status that lags behind the image for longer is believed too early
			p.LagStatus = min(p.LagStatus, 45*second)
		}
		if strange {
			odder(s, d, &p)
		}
		s.Desktops = append(s.Desktops, p)
		ids = append(ids, p.ID)
		_ = i
	}
	return ids
}

// odder makes some desktops something else than ordinary.
func odder(s *schedule, d *dice, p *desktopPlan) {
	event := func(at span, what, arg string) {
		s.Events = append(s.Events, eventPlan{At: at, Desktop: p.ID, What: what, Arg: arg})
	}
	switch n := d.n(34); {
	case n == 0:
		p.Status = "Stopped"
	case n == 1:
		p.Group = "dg-1"
	case n == 2:
		p.Image = "m-new1"
	case n == 3:
		p.GPU = true
	case n < 7 && s.Records:
		p.Ends = "fail"
	case n == 7:
		p.Ends = "stick"
	case n == 8:
		event(d.between(0, 10*minute), "starting", "")
	case n == 9:
		at := d.between(0, 20*minute)
		event(at, "vanish", "")
		if d.one(2) { // ECD did not list it for a while
			event(at+d.between(second, 4*minute), "return", "")
		}
	case n == 10:
		event(d.between(0, 20*minute), "outside", pick(d, "m-outside", "m-new1", "m-old"))
	case n < 14:
		p.User = "alice"
		if d.one(2) {
			event(d.between(0, 4*hour), "disconnect", "")
		}
	case n == 14:
		event(d.between(0, minute), "connect", "")
	}
}

func (s *schedule) request(d *dice, at span, id, image string, ids []string) {
	m := messagePlan{At: at, Kind: "request", ID: id, Region: region, Image: image, IDs: ids}
	if image == "" {
		m.Consent = []string{events.ConsentReset}
	}
	if d.one(6) {
		m.Consent = append(m.Consent, events.ConsentSessions)
	}
	s.Messages = append(s.Messages, m)
}

// requests are one to three requests for some of some desktops.
func requests(s *schedule, d *dice) {
	s.Rebuild = pick(d, 8*minute, 8*minute, 8*minute, 30*minute)
	s.Warm = !d.one(8)
	apart := newDice(s.Seed, "brief", 0)
	s.Brief = !apart.one(10)
	ids := desktops(s, d, 1+d.n(pick(d, 3, 3, 6)), true)
	if d.one(100) { // more than one batch
		ids = append(ids, desktops(s, d, 25+d.n(30), false)...)
	}
	for n := range pick(d, 1, 1, 1, 1, 2, 3) {
		var some []string
		for _, id := range ids {
			if !d.one(4) {
				some = append(some, id)
			}
		}
		if len(some) == 0 || d.one(10) {
			some = append(some, "ecd-none")
		}
		s.request(d, pick(d, 0, 0, second, minute, 10*minute), fmt.Sprintf("r%d", n+1), pick(d, "m-new1", "m-new1", "m-new1", "m-new2", "", "m-broken"), some)
	}
	if d.one(8) { // sent again under the same id
		m := s.Messages[0]
		m.At += d.between(0, hour)
		s.Messages = append(s.Messages, m)
	}
	takenBack(s)
	calledOff(s)
	failedBefore(s)
	for i := range s.Desktops { // few looks at what is being rebuilt
		if s.Brief {
			s.Desktops[i].Takes /= 3
		}
	}
}

// failedBefore has another request come right after the rebuild for one has failed, to the same
// image, and answers that are lost. It is drawn apart.
func failedBefore(s *schedule) {
	d := newDice(s.Seed, "failed before", 0)
	if !d.one(40) {
		return
	}
	s.Desktops, s.Messages, s.Events, s.Brief, s.Records = nil, nil, nil, false, true
	s.Odds, s.Budget = []odd{{"RebuildDesktops", lostAfter, 600, 0, 0}, {"RebuildDesktops", lostBefore, 200, 0, 0}, {"RebuildDesktops", isLate, 200, second, 50 * second}}, 6
	p := desktopPlan{ID: "ecd-0001", Region: region, Image: "m-old", Takes: d.between(30*second, 3*minute), Ends: "fail once",
		LagStatus: d.between(0, 10*second), LagImage: d.between(0, 10*second), LagRecord: d.between(0, 280*second)}
	s.Desktops = []desktopPlan{p}
	image := pick(&d, "m-new1", "m-new1", "")
	s.request(&d, 0, "r1", image, []string{p.ID})
	s.request(&d, p.Takes+p.LagStatus+d.between(0, minute), "r2", image, []string{p.ID})
}

// calledOff has somebody stop a request, or its rollback, sometimes before it comes, and
// sometimes twice. It is drawn apart, as takenBack is.
func calledOff(s *schedule) {
	d := newDice(s.Seed, "off", 0)
	if !d.one(5) {
		return
	}
	at := d.between(0, pick(&d, minute, 10*minute, 2*hour))
	for n := range pick(&d, 1, 1, 2) {
		of := s.Messages[d.n(len(s.Messages))]
		id := cmp.Or(of.Of, of.ID)
		if of.Of != "" && d.one(2) {
			id += "/rollback"
		}
		s.Messages = append(s.Messages, messagePlan{At: at, Kind: "control", ID: fmt.Sprintf("off%d", n+1), Of: id, Action: events.ActionAbort, DryRun: d.one(12)})
		at += d.between(0, 20*minute)
	}
}

// takenBack has somebody take back requests, once or twice, and somebody else rebuild a
// desktop meanwhile. It is drawn apart: the rest of a seed's schedule stays as it was.
func takenBack(s *schedule) {
	d := newDice(s.Seed, "undo", 0)
	if !d.one(4) {
		return
	}
	at := d.between(0, pick(&d, 2*minute, 10*minute, hour))
	if d.one(4) { // while calls are under way
		at, s.Instances, s.Budget = d.between(second, 40*second), max(s.Instances, 2), max(s.Budget, 5)
		s.Odds = append([]odd{{"RebuildDesktops", isLate, 500, second, 50 * second}}, s.Odds...)
	}
	for n := range pick(&d, 1, 1, 2) {
		of := s.Messages[d.n(len(s.Messages))]
		s.Messages = append(s.Messages, messagePlan{At: at, Kind: "control", ID: fmt.Sprintf("back%d", n+1), Of: cmp.Or(of.Of, of.ID), Action: events.ActionRollback, Planned: d.one(4)})
		at += d.between(0, 20*minute)
	}
	switch at := d.between(minute, 40*minute); d.n(5) {
	case 0:
		s.Events = append(s.Events, eventPlan{At: at, Desktop: s.Desktops[0].ID, What: "outside", Arg: pick(&d, "m-outside", "m-new1", "m-old")})
	case 1: // there and back
		s.Events = append(s.Events, eventPlan{At: at, Desktop: s.Desktops[0].ID, What: "outside", Arg: "m-outside"},
			eventPlan{At: at + d.between(5*minute, 30*minute), Desktop: s.Desktops[0].ID, What: "outside", Arg: "m-new1"})
	case 2: // by another request, to the same image or to another
		s.request(&d, at, "again", pick(&d, "m-new1", "m-new2"), []string{s.Desktops[0].ID})
	}
}

// slow has ECD show things late, and MNS take them slowly: what is read at the
// beginning of an invocation is old at its end.
func slow(s *schedule, d *dice) {
	s.Timeout, s.Instances, s.Window, s.Records = 10*minute, 2, 30*second, d.one(3)
	s.Publishers = 1
	s.Budget = 6
	s.Odds = []odd{
		{"RebuildDesktops", lostAfter, 400, 0, 0},
		{"RebuildDesktops", killAfter, 100, 0, 0},
		{"Publish", isSlow, 300, 30 * second, 6 * minute},
		{"Append", isSlow, 30, 30 * second, 3 * minute},
		{"Append", fails, 30, 0, 0},
		{"Delivery", twice, 100, 0, 6 * minute},
	}
	if apart := newDice(s.Seed, "unread", 0); apart.one(3) { // what became of a call cannot be asked at times
		s.Odds, s.Budget = append(s.Odds, odd{"DescribeImageModified", fails, 400, 0, 0}), 14
	}
	if apart := newDice(s.Seed, "left out", 0); apart.one(3) {
		s.LeftOut = pick(&apart, 100, 400, 800)
	}
	for range 1 + d.n(3) {
		p := desktopPlan{ID: fmt.Sprintf("ecd-%04d", len(s.Desktops)+1), Region: region, Image: "m-old", Takes: d.between(90*second, 10*minute)}
		p.LagStatus, p.LagImage, p.LagRecord = d.between(minute, 280*second), d.between(minute, 280*second), d.between(minute, 280*second)
		if d.one(2) {
			p.Ends = "fail"
		}
		s.Desktops = append(s.Desktops, p)
	}
	broughtElsewhere(s)
	s.Desktops = append(s.Desktops, desktopPlan{ID: "ecd-0009", Region: region, Image: "m-new1", Takes: 5 * minute})
	var ids []string
	for _, p := range s.Desktops {
		ids = append(ids, p.ID)
	}
	s.request(d, 0, "r1", pick(d, "m-new1", "m-new1", ""), ids[:len(ids)-1])
	for n := range 1 + d.n(3) {
		s.request(d, d.between(30*second, 8*minute), fmt.Sprintf("r%d", n+2), "m-new1", ids[len(ids)-1:])
	}
}

// broughtElsewhere has somebody bring desktops to another image after a call, and back. It is drawn
// apart.
func broughtElsewhere(s *schedule) {
	d := newDice(s.Seed, "elsewhere", 0)
	if !d.one(4) {
		return
	}
	at := d.between(2*minute, 6*minute)
	for i := range s.Desktops {
		s.Desktops[i].Takes = d.between(minute, 2*minute)
		s.Events = append(s.Events, eventPlan{At: at, Desktop: s.Desktops[i].ID, What: "outside", Arg: "m-outside"},
			eventPlan{At: at + d.between(4*minute, 15*minute), Desktop: s.Desktops[i].ID, What: "outside", Arg: "m-old"})
	}
}

// fleetYAML writes a fleets.yaml with one fleet.
func fleetYAML(name, selects string, lines ...string) string {
	text := "fleets:\n  - name: " + name + "\n    region: " + region + "\n    images: [\"win*\"]\n    " + selects + "\n"
	var top, inner []string
	for _, l := range lines {
		if strings.HasPrefix(l, "^") {
			top = append(top, l[1:])
		} else if l != "" {
			inner = append(inner, l)
		}
	}
	for _, l := range top {
		text += "    " + l + "\n"
	}
	text += "    strategy:\n"
	for _, l := range inner {
		text += "      " + l + "\n"
	}
	return text
}

// fleetGone is a fleets.yaml without the fleet.
var fleetGone = fleetYAML("another", "select: {desktopIds: [ecd-none]}", "canary: 1")

// strategy draws how a release goes over a fleet.
func strategy(d *dice) map[string]string {
	return map[string]string{
		"canary":             fmt.Sprintf("{share: %d, maxFailures: %d}", 1+d.n(2), d.n(2)),
		"waves":              pick(d, `[]`, `["50%"]`, `[3, "80%"]`, `["10%", "50%"]`),
		"maxUnavailable":     pick(d, "1", "2", `"50%"`, `"100%"`),
		"maxFailures":        pick(d, "0", "1", `"50%"`, `"100%"`),
		"maxFailuresPerWave": pick(d, "0", `"100%"`),
		"soak":               pick(d, "0s", "10m", "3h"),
		"approval":           pick(d, "none", "none", "[1]", "[2]", "every"),
		"check":              pick(d, "{stable: 0s}", "{stable: 5m}", "{stable: 5m}", `{stable: 0s, command: "exit 0"}`),
		"maintenance":        fmt.Sprint(d.one(4)),
		"stopFirst":          fmt.Sprint(d.one(4)),
		"sessions": pick(d, "{policy: skip}", "{policy: force}", "{policy: wait, deadline: 10m, after: skip}", "{policy: wait, deadline: 5h, after: skip}",
			"{policy: wait, deadline: 10m, after: force}"),
		"windows":        pick(d, "", "", `[{from: "02:00", to: "13:30", zone: UTC}]`),
		"rolloutTimeout": "3d",
	}
}

func (s *schedule) fleet(at span, selects string, options map[string]string, top ...string) {
	s.Fleets = append(s.Fleets, fleetsFile{at, fleetYAML("office", selects, optionLines(options, top...)...)})
}

// optionLines are the lines of a fleet's strategy and, behind a ^, of the fleet.
func optionLines(options map[string]string, top ...string) []string {
	// An approval is for a wave that another follows.
	for most, waves := range map[int]string{1: "[]", 2: `["50%"]`} {
		for n := most + 1; n < 5; n++ {
			if options["waves"] == waves && strings.Contains(options["approval"], strconv.Itoa(n)) {
				options["approval"] = "[1]"
			}
		}
	}
	if strings.Count(options["waves"], ",") == 1 && strings.Contains(options["approval"], "4") {
		options["approval"] = "every"
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if options[name] != "" {
			lines = append(lines, name+": "+options[name])
		}
	}
	for _, t := range top {
		lines = append(lines, "^"+t)
	}
	return lines
}

func (s *schedule) release(at span, id, image string) {
	s.Messages = append(s.Messages, messagePlan{At: at, Kind: "release", ID: id, Name: "win11", Images: map[string]string{region: image}})
}

func (s *schedule) control(at span, id, action string) {
	s.Messages = append(s.Messages, messagePlan{At: at, Kind: "control", ID: fmt.Sprintf("c%d", len(s.Messages)), Rollout: id, Action: action})
}

// rollouts are a release over a fleet, often two, and somebody who has a say.
func rollouts(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift = pick(d, minute, 5*minute, 10*minute), 24*hour, 2*hour
	desktops(s, d, 1+d.n(7), true)
	s.fleet(0, pick(d, "select: all", "select: all", "select: all", "select: {currentImageIds: [m-old]}"), strategy(d))
	s.release(0, "v1", "m-new1")
	if d.one(3) {
		s.release(d.between(0, 2*hour), "v2", pick(d, "m-new2", "m-new2", "m-old"))
	}
	for range d.n(4) {
		s.control(d.between(0, 6*hour), "v1/office", pick(d, events.Actions...))
	}
	if d.one(5) {
		s.Events = append(s.Events, eventPlan{At: d.between(0, 2*hour), Desktop: "ecd-0090", What: "join", Arg: s.Desktops[0].ID})
	}
	if d.one(8) {
		s.Fleets = append(s.Fleets, fleetsFile{d.between(0, 2*hour), fleetGone}, s.Fleets[0])
		s.Fleets[2].At = s.Fleets[1].At + d.between(minute, 4*hour)
	}
	s.Sweep = d.one(3)
}

// gates are small fleets of which somebody wants to approve waves.
func gates(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift = 5*minute, 6*hour, hour
	s.Budget = pick(d, 0, 2, 5)
	desktops(s, d, 1+d.n(8), false)
	o := strategy(d)
	o["approval"] = pick(d, "[1]", "[2]", "[3]", "[1, 2]", "every", "canary")
	o["waves"] = pick(d, `["10%", "50%"]`, `["10%", "20%", "50%"]`, `[3, "50%"]`, `[]`)
	o["sessions"], o["windows"] = "{policy: skip}", ""
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
	if d.one(4) {
		s.control(d.between(0, 2*hour), "v1/office", pick(d, events.ActionRetry, events.ActionPause, events.ActionApprove))
	}
}

// checks are desktops that fail their check, and fleets that go and come back.
func checks(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift = 5*minute, 6*hour, hour
	s.Budget = pick(d, 0, 0, 3)
	desktops(s, d, 2+d.n(3), false)
	for i := range s.Desktops {
		if d.one(3) {
			s.Desktops[i].CheckFails = 1 + d.n(2)
		}
	}
	o := strategy(d)
	o["check"] = pick(d, `{stable: 0s, command: "exit 0"}`, `{stable: 5m, command: "exit 0"}`, `{stable: 1h, command: "exit 0"}`)
	o["sessions"], o["windows"], o["approval"] = "{policy: skip}", "", "none"
	o["stopFirst"] = "false"
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
	for range d.n(3) {
		s.control(d.between(10*minute, 6*hour), "v1/office", events.ActionRetry)
	}
	if d.one(2) {
		s.Fleets = append(s.Fleets, fleetsFile{d.between(0, 2*hour), fleetGone}, s.Fleets[0])
		s.Fleets[2].At = s.Fleets[1].At + d.between(minute, 4*hour)
	}
}

// rollbacks are rollbacks that meet newer and older releases, and faults.
func rollbacks(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift, s.Instances = pick(d, minute, 5*minute), 12*hour, 2*hour, 2+d.n(2)
	s.Budget = pick(d, 0, 2, 5, 10)
	desktops(s, d, 1+d.n(4), d.one(3))
	o := strategy(d)
	o["sessions"], o["windows"], o["soak"] = "{policy: force}", "", "0s"
	o["canary"] = "1"
	s.fleet(0, "select: all", o)
	s.Odds = append([]odd{
		{"Append fleet/", isSlow, pick(d, 0, 200, 400), second, minute}, {"Append fleet/", fails, pick(d, 0, 200), 0, 0}, {"Read fleet/", isSlow, pick(d, 0, 100), second, minute},
		{"Append fleet/", killBefore, pick(d, 0, 50), 0, 0}, {"Append rollout/", isSlow, pick(d, 0, 100), second, 30 * second},
	}, s.Odds...)
	s.release(0, "v1", "m-new1")
	at := d.between(5*minute, 40*minute)
	s.Messages = append(s.Messages, messagePlan{At: at, Kind: "control", ID: "back", Rollout: "v1/office", Action: events.ActionRollback, Planned: d.one(2)})
	if d.one(3) { // somebody else changes one meanwhile
		s.Events = append(s.Events, eventPlan{At: d.between(10*minute, hour), Desktop: s.Desktops[0].ID, What: "outside", Arg: "m-outside"})
	}
	switch d.n(4) {
	case 0:
		s.release(at+d.between(0, 20*second), "v2", "m-new2")
	case 1:
		s.release(at+d.between(10*second, 20*minute), "v0", "m-ancient")
	case 2:
		s.release(d.between(0, hour), "v2", pick(d, "m-new2", "m-ancient"))
	}
	if d.one(4) {
		s.control(at+d.between(0, hour), "v1/office/rollback", pick(d, events.ActionPause, events.ActionAbort))
	}
}

// maintenance is a fleet in maintenance mode whose rollout is paused and resumed
// while it goes in and out.
func maintenance(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift, s.Instances = pick(d, minute, 5*minute), 12*hour, 2*hour, 2+d.n(2)
	s.Budget = pick(d, 2, 5, 10)
	desktops(s, d, 1+d.n(4), d.one(4))
	o := strategy(d)
	o["maintenance"], o["windows"], o["maxUnavailable"] = "true", "", pick(d, `"100%"`, "2")
	o["sessions"] = pick(d, "{policy: wait, deadline: 5h, after: skip}", "{policy: force}")
	s.Odds = append([]odd{
		{"Maintenance off", isSlow, pick(d, 0, 300), second, 3 * minute}, {"Maintenance off", killAfter, pick(d, 0, 200), 0, 0},
		{" released", killBefore, pick(d, 0, 200), 0, 0}, {" released", fails, pick(d, 0, 200), 0, 0}, {" released", isSlow, pick(d, 0, 200), second, 2 * minute},
		{"Maintenance on", lostAfter, pick(d, 0, 100), 0, 0}, {"Maintenance on", isSlow, pick(d, 0, 200), second, minute},
		{"RebuildDesktops", fails, pick(d, 0, 300, 500), 0, 0}, {"RebuildDesktops", refuses, pick(d, 0, 200), 0, 0},
	}, s.Odds...)
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
	if wanders(s, o) {
		return
	}
	at := d.between(0, 20*minute)
	if d.one(3) { // it is put in again while it is being given back
		o := s.Odds
		s.Odds = []odd{{"Maintenance on", lostAfter, 600, 0, 0}, {"Maintenance off", isSlow, 700, minute, 4 * minute}, {"Maintenance off", freezes, 300, minute, 8 * minute}}
		s.Odds, s.Budget, s.Timeout = append(s.Odds, o...), 12, 5*minute
		at = d.between(4*minute, 6*minute)
		s.control(at, "v1/office", events.ActionPause)
		at += d.between(5*second, 2*minute)
		s.control(at, "v1/office", events.ActionResume)
		return
	}
	for range 1 + d.n(3) {
		s.control(at, "v1/office", events.ActionPause)
		at += d.between(second, 5*minute)
		s.control(at, "v1/office", pick(d, events.ActionResume, events.ActionResume, events.ActionResume, events.ActionRetry))
		at += d.between(second, 10*minute)
	}
}

// wanders has desktops that are in maintenance mode, or stopped, shown without their tags and then
// not at all, each for some minutes, while somebody pauses the rollout and stops it. It is drawn
// apart.
func wanders(s *schedule, o map[string]string) bool {
	d := newDice(s.Seed, "wanders", 0)
	if !d.one(5) {
		return false
	}
	o["stopFirst"], o["sessions"], o["approval"] = "true", "{policy: force}", "none"
	s.Fleets, s.Events = nil, nil
	s.fleet(0, "select: {tags: {fleet: office}}", o)
	s.Odds = []odd{{"RebuildDesktops", throttles, 900, 0, 0}, {"Maintenance on", lostAfter, 300, 0, 0}}
	s.Budget = 12
	at := d.between(30*second, 3*minute)
	for i := range s.Desktops {
		p := &s.Desktops[i]
		p.Tags, p.Early, p.LagStatus, p.LagImage = map[string]string{"fleet": "office"}, false, d.between(0, 4*minute), 0
		event := func(at span, what, arg string) {
			s.Events = append(s.Events, eventPlan{At: at, Desktop: p.ID, What: what, Arg: arg})
		}
		away := at + d.between(2*minute, 9*minute)
		event(at, "untag", "fleet")
		event(at+d.between(minute, 20*minute), "tag", "fleet=office")
		event(away, "vanish", "")
		event(away+d.between(minute, 4*minute), "return", "")
	}
	paused := at + d.between(30*second, 4*minute)
	s.control(paused, "v1/office", events.ActionPause)
	s.control(paused+d.between(minute, 12*minute), "v1/office", pick(&d, events.ActionAbort, events.ActionAbort, events.ActionResume))
	return true
}

// sessions are users who stay, and reads that fail at times.
func sessions(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Bound = minute, 60*hour, 10*24*hour
	s.Budget = 40
	desktops(s, d, 1+d.n(3), false)
	for i := range s.Desktops {
		if !d.one(3) {
			s.Desktops[i].User = "alice"
		}
	}
	s.Odds = []odd{{"DescribeDesktops ecd", throttles, pick(d, 0, 10, 50), 0, 0}, {"DescribeDesktops ecd", fails, pick(d, 0, 10), 0, 0}}
	o := strategy(d)
	o["sessions"] = fmt.Sprintf("{policy: wait, deadline: %s, after: %s}", pick(d, "1h", "4h"), pick(d, "skip", "force"))
	o["windows"], o["approval"], o["soak"], o["maxFailures"], o["maxFailuresPerWave"] = "", "none", "0s", `"100%"`, `"100%"`
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
}

// unreadable are desktops that ECD cannot be asked about any more.
func unreadable(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Bound, s.Shift, s.Warm = minute, 2*hour, 2*24*hour, 6*hour, true
	s.Budget = 0
	desktops(s, d, 1+d.n(2), false)
	s.Unreadable = d.between(3*minute, 20*minute)
	for i := range s.Desktops {
		s.Desktops[i].Unreadable = true
		s.Desktops[i].LagStatus, s.Desktops[i].LagImage, s.Desktops[i].LagRecord = 0, 0, 0
	}
	o := strategy(d)
	o["check"] = pick(d, "{stable: 5m}", "{stable: 10m}", `{stable: 5m, command: "exit 0"}`)
	o["sessions"], o["windows"], o["approval"], o["maintenance"], o["stopFirst"] = "{policy: skip}", "", "none", "false", "false"
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
	s.control(d.between(hour, 26*hour), "v1/office", events.ActionAbort)
}

// bare is a function without a journal, or without a queue.
func bare(s *schedule, d *dice) {
	requests(s, d)
	s.NoJournal = true
	s.Budget = pick(d, 0, 3)
	s.Odds = onlyOdds(s.Odds, fails, throttles, lostAfter, isSlow)
	seen := map[string]bool{}
	s.Messages = slices.DeleteFunc(s.Messages, func(m messagePlan) bool {
		again := seen[m.ID]
		seen[m.ID] = true
		return m.Image == "" || again
	})
	if len(s.Messages) == 0 {
		s.request(d, 0, "r1", "m-new1", []string{s.Desktops[0].ID})
	}
}

// texts are ids and bodies that cannot travel as they are.
func texts(s *schedule, d *dice) {
	s.Calm, s.Bound, s.Budget = 0, 24*hour, 0
	ids := desktops(s, d, 1+d.n(2), false)
	bad := pick(d, "\uFFFE", "\uFFFF", "r\uFFFFx", "r\uFFFEx", "\U0001FFFE", strings.Repeat("é", 128), strings.Repeat("<", 128), "r\\\"x")
	switch d.n(3) {
	case 0:
		s.request(d, 0, bad, "m-new1", ids)
	case 1:
		s.request(d, 0, "r1", "m-new1", append(ids, "ecd-"+bad))
	case 2:
		s.Messages = append(s.Messages, messagePlan{Kind: "raw", ID: "x", Raw: fmt.Sprintf(`{"specversion":"1.0","type":"regild.unknown.v1","id":"%s","source":"s","data":{}}`, bad)})
	}
}

// redeployed is a release that comes again after fleets.yaml has changed.
func redeployed(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift = 5*minute, 6*hour, 2*hour
	s.Budget = pick(d, 0, 2)
	desktops(s, d, 1+d.n(3), false)
	o := strategy(d)
	o["windows"] = ""
	s.fleet(0, "select: all", o)
	s.fleet(d.between(0, hour), "select: all", o, "rebuild: {afterStatus: Running}")
	s.release(0, "v1", "m-new1")
	s.release(d.between(hour, 3*hour), "v1", "m-new1")
}

// many are several fleets in two regions, with tags, exclusions and blackouts,
// releases for both regions, and requests beside them.
func many(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift, s.Instances = pick(d, minute, 5*minute), 24*hour, 2*hour, 2+d.n(2)
	s.Regions = []string{region, region2}
	s.Images = append(s.Images, imagePlan{ID: "m-sh-old", Region: region2, Day: 10}, imagePlan{ID: "m-sh-new", Region: region2, Day: 20})
	desktops(s, d, 2+d.n(4), true)
	for i := range s.Desktops {
		s.Desktops[i].Tags = pick(d, map[string]string{}, map[string]string{"fleet": "office"}, map[string]string{"fleet": "office"}, map[string]string{"fleet": "office", "hold": ""},
			map[string]string{"fleet": "office", "ring": "canary"}, map[string]string{"fleet": "design"})
		if d.one(6) {
			s.Events = append(s.Events, eventPlan{At: d.between(0, hour), Desktop: s.Desktops[i].ID, What: pick(d, "tag", "untag"), Arg: pick(d, "hold", "fleet")})
		}
	}
	for n := range 1 + d.n(3) {
		s.Desktops = append(s.Desktops, desktopPlan{ID: fmt.Sprintf("ecd-sh%02d", n), Region: region2, Image: "m-sh-old", Takes: d.between(70*second, 4*minute)})
	}
	fleet := func(name, region, selects string, o map[string]string) string {
		var lines []string
		for _, key := range slices.Sorted(maps.Keys(o)) {
			if o[key] != "" {
				lines = append(lines, key+": "+o[key])
			}
		}
		text := strings.TrimPrefix(fleetYAML(name, selects, append(lines, "^requests: "+pick(d, "true", "false"))...), "fleets:\n")
		return strings.Replace(text, "region: cn-hangzhou", "region: "+region, 1)
	}
	office, design, north := strategy(d), strategy(d), strategy(d)
	for _, o := range []map[string]string{office, design, north} {
		o["approval"] = pick(d, "none", "none", "every")
	}
	if d.one(2) {
		office["canary"] = "{tags: {ring: canary}, maxFailures: 1}"
	}
	if d.one(3) {
		design["blackouts"] = "[{from: 2000-01-01T00:30:00Z, to: 2000-01-01T05:00:00Z, reason: stocktaking}]"
	}
	s.Fleets = []fleetsFile{{0, "fleets:\n" + fleet("office", region, "select: {tags: {fleet: office}}\n    exclude: {tags: {hold: \"\"}}", office) +
		fleet("design", region, "select: {tags: {fleet: design}}", design) + fleet("north", region2, "select: all", north)}}
	s.Messages = append(s.Messages, messagePlan{Kind: "release", ID: "v1", Name: "win11", Images: map[string]string{region: "m-new1", region2: "m-sh-new"}})
	if d.one(3) {
		s.release(d.between(0, 2*hour), "v2", "m-new2")
	}
	if d.one(2) {
		s.request(d, d.between(0, hour), "r1", pick(d, "m-new1", "m-new2"), []string{s.Desktops[0].ID, s.Desktops[1].ID})
	}
	for range d.n(3) {
		s.control(d.between(0, 4*hour), pick(d, "v1/office", "v1/design", "v1/north"), pick(d, events.Actions...))
	}
	s.Sweep = d.one(2)
	if apart := newDice(s.Seed, "vanish", 0); s.Sweep && apart.one(2) {
		s.Odds = append([]odd{{"Delivery of v", vanishes, 100, 0, 0}}, s.Odds...)
	}
}

// dry are requests and releases that are looked at first, and then asked for as
// they were looked at.
func dry(s *schedule, d *dice) {
	s.Calm, s.Shift = 6*hour, 2*hour
	ids := desktops(s, d, 1+d.n(4), true)
	if d.one(2) {
		o := strategy(d)
		s.fleet(0, "select: all", o, "requests: true")
		at := d.between(0, hour)
		s.Messages = append(s.Messages, messagePlan{At: at, Kind: "release", ID: "v1", Name: "win11", Images: map[string]string{region: "m-new1"}, DryRun: true, Planned: d.one(2)})
		if d.one(2) {
			s.release(d.between(0, 2*hour), "v2", "m-new2")
			s.Messages = append(s.Messages, messagePlan{At: d.between(0, 3*hour), Kind: "control", ID: "dry", Rollout: "v2/office", Action: pick(d, events.Actions...), DryRun: true})
		}
	}
	s.Messages = append(s.Messages, messagePlan{At: d.between(0, hour), Kind: "request", ID: "r1", Region: region, Image: "m-new1", IDs: ids, DryRun: true, Planned: d.one(2)})
	if d.one(2) {
		s.request(d, d.between(0, hour), "r2", "m-new1", ids)
	}
}

// queueless is a function without a queue: what is not finished comes again only
// if its delivery failed.
func queueless(s *schedule, d *dice) {
	s.NoQueue, s.Sweep = true, d.one(2)
	s.Timeout, s.Calm, s.Budget = 5*minute, 2*hour, pick(d, 0, 3, 6)
	ids := desktops(s, d, 1+d.n(4), false)
	s.request(d, 0, "r1", pick(d, "m-new1", "m-new1", ""), ids)
	if d.one(2) {
		s.request(d, d.between(0, 10*minute), "r2", "m-new2", ids)
	}
}

// swept is a queue that loses what it should not, and a timer that makes good
// for it.
func swept(s *schedule, d *dice) {
	if d.one(2) {
		requests(s, d)
	} else {
		rollouts(s, d)
		s.Messages = s.Messages[:1]
	}
	s.Sweep, s.Budget = true, 10
	if apart := newDice(s.Seed, "unopened", 0); apart.one(3) { // nobody opens it, and what comes instead of its first tick is lost
		defer func() {
			s.Odds = append([]odd{{"Append open/", killAfter, 400, 0, 0}, {"Describe", killAfter, 200, 0, 0}, {"Delivery of r", vanishes, 600, 0, 0}}, s.Odds...)
		}()
	}
	s.Odds = append([]odd{{"Delivery of r", vanishes, pick(d, 50, 300), 0, 0}, {"Delivery of v", vanishes, pick(d, 20, 200), 0, 0}}, onlyOdds(s.Odds, fails, lostAfter, killAfter, isSlow, isLate)...)
}

// large is a fleet of which a wave takes several records. It takes seconds, and
// has a test of its own.
func large(s *schedule, d *dice) {
	s.Timeout, s.Calm, s.Shift, s.Budget, s.Instances, s.Warm, s.Skew, s.Window = 10*minute, 0, hour, 0, 1, true, nil, 0
	s.Rebuilds, s.Publishers, s.Odds = 4, 16, nil
	for n := range 10_500 {
		s.Desktops = append(s.Desktops, desktopPlan{ID: fmt.Sprintf("ecd-%05d", n), Region: region, Image: pick(d, "m-new1", "m-new1", "m-new1", "m-old"), Takes: 2 * minute})
	}
	s.fleet(0, "select: all", map[string]string{"canary": "1", "waves": pick(d, `["98%"]`, `["97%", "99%"]`), "approval": "every", "soak": "0s",
		"maxUnavailable": `"100%"`, "check": "{stable: 0s}", "sessions": "{policy: skip}"})
	s.release(0, "v1", "m-new1")
}

// post sends a message of the schedule.
func (w *world) post(m messagePlan) {
	var body []byte
	var err error
	event := func(typ, id, subject string, data any) {
		body, err = events.Event{Type: typ, ID: id, Source: "test", Subject: subject, Time: time.Now(), Data: data}.Marshal()
	}
	switch m.Kind {
	case "request":
		event(events.TypeRequest, m.ID, m.ID, events.Request{RequestID: m.ID, AccountID: m.Account, RegionID: m.Region, DesktopIDs: m.IDs, ImageID: m.Image, Consent: m.Consent,
			AfterStatus: m.After, DryRun: m.DryRun, PlanDigest: m.Digest, NotBefore: w.instant(m.NotBefore)})
	case "release":
		event(events.TypeRelease, m.ID, m.ID, events.Release{ReleaseID: m.ID, Image: m.Name, Images: m.Images, DryRun: m.DryRun, PlanDigest: m.Digest})
	case "control":
		event(events.TypeControl, m.ID, cmp.Or(m.Rollout, m.Of), events.Control{RolloutID: m.Rollout, RequestID: m.Of, Action: m.Action, By: "alice", Reason: "because", DryRun: m.DryRun || m.Planned && m.Digest == "", PlanDigest: m.Digest})
	case "freeze", "lift":
		event(events.TypeFreeze, m.ID+m.Kind, m.ID, w.freezeOf(m))
	case "timer":
		body = []byte(timer)
	default:
		body = []byte(m.Raw)
	}
	if err != nil {
		panic(fmt.Sprintf("the schedule is wrong: %v", err))
	}
	w.note("", "SENT", strings.TrimSpace(m.Kind+" "+m.ID+" "+m.Action+" "+m.Rollout+m.Of+m.Image))
	w.put(body, 0)
}

const timer = `{"triggerTime":"2026-11-23T08:00:00Z","triggerName":"sweep","payload":""}`

// operatorHears has somebody ask for what a dry run has shown.
func (w *world) operatorHears(typ, subject string, t telling) {
	if typ != events.RolloutPlan.Type() || t.rollout.Page > 1 {
		return
	}
	for _, m := range w.s.Messages {
		about := m.Kind == "control" && subject == cmp.Or(m.Rollout, m.Of)+"/rollback" || m.Kind == "request" && subject == m.ID || m.Kind == "release" && strings.HasPrefix(subject, m.ID+"/")
		if !m.Planned || !about {
			continue
		}
		if w.seen["planned "+m.ID]++; w.seen["planned "+m.ID] > 1 {
			continue
		}
		m.ID, m.Digest, m.DryRun = m.ID+m.suffix(), t.rollout.PlanDigest, false
		w.post(m)
	}
}

// suffix tells what is asked for with a digest from the dry run before it, where
// the id does not have to be the same.
func (m messagePlan) suffix() string {
	if m.Kind == "control" {
		return "-planned"
	}
	return ""
}

// operate has somebody see to what stands still, one way or another, and in the
// end give it up. It says whether that put anything on the queue.
func (w *world) operate(idle bool) bool {
	w.looked = time.Now()
	put := false
	if w.s.Shift > 0 {
		for _, k := range w.workList() { // in one order, for the seed's sake
			if k.request() || k.closed || k.superseded != "" || k.aborted {
				continue
			}
			w.standing(k)
			d := newDice(w.s.Seed, "operator "+k.id, w.acted)
			var action string
			switch {
			case (w.acted >= 8 || time.Until(w.end) < w.s.Bound.d()/2) && (k.paused || k.halted != ""):
				action = events.ActionAbort // a retry of what cannot be read takes six hours
			case k.paused:
				action = events.ActionResume
			case k.halted != "":
				action = pick(&d, events.ActionResume, events.ActionRetry, events.ActionRetry, events.ActionAbort, events.ActionRollback)
				if action == events.ActionRetry && !k.anyFailed() || action == events.ActionRollback && k.undoes != "" {
					action = events.ActionResume
				}
			case k.waiting == events.CodeFleetUnknown && w.quiet():
				action = events.ActionAbort // it will not come back
			case k.waiting == events.CodeApprovalAwaited:
				action = events.ActionApprove
			case k.waiting == events.CodeUseAwaited && (w.quiet() || d.one(3)):
				action = pick(&d, events.ActionApprove, events.ActionApprove, events.ActionAbort)
			case k.waiting == events.CodeAlarmUnknown && w.quiet():
				action = events.ActionAbort
			case k.waiting == events.CodeRingAwaited && w.ringStuck(k):
				action = pick(&d, events.ActionApprove, events.ActionApprove, events.ActionAbort)
			default:
				continue
			}
			if w.acted++; w.acted > 30 {
				continue
			}
			put = true
			w.post(messagePlan{Kind: "control", ID: fmt.Sprintf("op%d", w.acted), Rollout: k.id, Action: action})
		}
	}
	if idle && !put && w.s.Sweep && w.swept < 60 && (w.unopenedYet() || slices.ContainsFunc(w.workList(), func(k *work) bool { return !k.closed || !w.told.ended[k.id] })) {
		w.swept++
		w.sweeps(time.Hour)
		put = true
	}
	return put
}

// sweeps has the timer come.
func (w *world) sweeps(in time.Duration) {
	w.timerAt = time.Now().Add(in)
	for _, k := range w.works {
		if !k.lostAt.IsZero() {
			k.lostAt, k.foundAt = time.Time{}, w.timerAt
		}
	}
	w.put([]byte(timer), in)
}

// sweepsSometimes has the timer come every two hours while something goes on: beside it, what
// has lost its tick may stand still, and it may wait for that.
func (w *world) sweepsSometimes(now time.Time) {
	if w.s.Sweep && len(w.messages) > 0 && now.Sub(w.timerAt) >= 2*time.Hour {
		w.sweeps(0)
	}
}

func (k *work) anyFailed() bool {
	for _, p := range k.desktops {
		if p.phase == "final" && p.status == "failed" {
			return true
		}
	}
	return false
}
