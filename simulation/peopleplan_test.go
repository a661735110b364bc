package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/events"
)

// peopleProfiles are schedules about the care for people. They have a draw of
// their own, so that the seeds of the others keep their schedules.
var peopleProfiles = []profile{
	{"notices", 6, notices},
	{"asking", 6, asking},
	{"undone", 4, undone},
	{"frozen", 4, frozen},
	{"rings", 4, inRings},
	{"scheduled", 3, scheduled},
	{"proven", 4, provenPlan},
	{"saved", 3, savedPlan},
	{"people", 5, everybody},
}

// peopleShare is one in how many schedules is about people.
const peopleShare = 4

func allProfiles() []profile { return slices.Concat(profiles, peopleProfiles) }

// peopleProfile returns the profile of a seed if its schedule is about people, or
// nil.
func peopleProfile(seed uint64, only string) *profile {
	d := newDice(seed, "people", 0)
	if only == "" && !d.one(peopleShare) {
		return nil
	}
	total := 0
	for _, p := range peopleProfiles {
		total += p.weight
	}
	at := d.n(total)
	for i := range peopleProfiles {
		p := &peopleProfiles[i]
		if at -= p.weight; only == "" && at < 0 || p.name == only {
			return p
		}
	}
	return nil
}

// draw makes the schedule of a seed.
func (p *profile) draw(seed uint64) *schedule {
	d := newDice(seed, "plan", 0)
	s := basic(seed, p.name, &d)
	s.People = true
	s.Timeout, s.Calm, s.Shift, s.Bound = pick(&d, minute, 5*minute, 5*minute), 5*hour, hour, 6*24*hour
	s.Budget = pick(&d, 0, 2, 5, 10)
	if s.Odds = append(peopleFaults(&d), s.Odds...); d.one(3) { // or nothing else breaks
		s.Odds, s.Budget = peopleFaults(&d), 10
	}
	s.Results = results{Late: pick(&d, 0, 100, 300), Lost: pick(&d, 0, 0, 100), Fail: pick(&d, 0, 0, 200)}
	p.make(s, &d)
	return s
}

// peopleFaults are the odds of what breaks around telling, asking and freezing.
func peopleFaults(d *dice) []odd {
	var out []odd
	add := func(match, what string, lo, hi span, perMille ...int) {
		if n := pick(d, perMille...); n > 0 {
			out = append(out, odd{match, what, n, lo, hi})
		}
	}
	for _, call := range []string{"Tell ", "Ask "} {
		add(call, lostAfter, 0, 0, 0, 0, 200)
		add(call, killAfter, 0, 0, 0, 0, 200)
		add(call, killBefore, 0, 0, 0, 0, 100)
		add(call, fails, 0, 0, 0, 0, 200)
		add(call, isSlow, second, minute, 0, 0, 100)
		add(call, isLate, second, 40*second, 0, 0, 100)
		add(call, refuses, 0, 0, 0, 0, 100)
	}
	for _, kind := range []string{" telling", " sent", " told", " asked", " not-now", " cleared", " halted", " going-back", "Append fleet/"} {
		add(kind, killAfter, 0, 0, 0, 0, 0, 200)
		add(kind, killBefore, 0, 0, 0, 0, 0, 200)
		add(kind, fails, 0, 0, 0, 0, 0, 200)
		add(kind, isLate, second, 3*minute, 0, 0, 0, 200)
		add(kind, isSlow, second, minute, 0, 0, 0, 200)
	}
	add("Read freeze/", fails, 0, 0, 0, 0, 100)
	add("Read freeze/", isSlow, second, minute, 0, 0, 100)
	add("Append freeze/", lostAfter, 0, 0, 0, 0, 300)
	add("Append freeze/", killAfter, 0, 0, 0, 0, 300)
	return out
}

// quietStrategy is a strategy with little to wait for besides people.
func quietStrategy(d *dice) map[string]string {
	o := strategy(d)
	o["approval"], o["soak"] = "none", "0s"
	o["check"] = pick(d, "{stable: 0s}", "{stable: 0s}", "{stable: 5m}")
	o["maxUnavailable"] = pick(d, `"100%"`, `"100%"`, "1", "2")
	o["maxFailures"], o["maxFailuresPerWave"] = `"100%"`, `"100%"`
	o["canary"] = pick(d, "1", "{share: 2, maxFailures: 2}")
	o["sessions"] = pick(d, "{policy: wait, deadline: 1h, after: skip}", "{policy: wait, deadline: 3h, after: skip}", "{policy: wait, deadline: 1h, after: force}",
		"{policy: wait, deadline: 3h, after: force}", "{policy: force}")
	o["windows"] = pick(d, "", "", `[{from: "02:00", to: "13:30", zone: UTC}]`, `[{from: "00:30", to: "02:30", zone: UTC}, {from: "05:00", to: "09:00", zone: UTC}]`)
	return o
}

func noticeOf(d *dice) string {
	lead := pick(d, "10m", "40m", "1h", "2h", "5h")
	remind := pick(d, "", ", remind: [5m]", ", remind: [5m]")
	if lead != "10m" {
		remind = pick(d, "", ", remind: [30m, 5m]", ", remind: [35m, 20m, 2m]")
	}
	return fmt.Sprintf("{lead: %s%s, zone: %s, text: '%s'}", lead, remind, pick(d, "UTC", "Asia/Shanghai"), noticeText)
}

func beforeOf(d *dice) string {
	return fmt.Sprintf("{command: %q, timeout: 1m, again: %s, deadline: %s, after: %s%s}", askCommand, pick(d, "5m", "20m", "1h"), pick(d, "30m", "2h", "5h"),
		pick(d, "skip", "force"), pick(d, "", "", ", deferrals: 1", ", deferrals: 2", ", deferrals: 3"))
}

func holdsOf(d *dice) string {
	return fmt.Sprintf("{tag: %s, atMost: %s}", holdTag, pick(d, "30m", "2h", "8h"))
}

// lives draws what people do at their desktops meanwhile.
func lives(s *schedule, d *dice) {
	for i := range s.Desktops {
		p := &s.Desktops[i]
		event := func(at span, what, arg string) {
			s.Events = append(s.Events, eventPlan{At: at, Desktop: p.ID, What: what, Arg: arg})
		}
		p.NotNow = pick(d, 0, 0, 1, 2, 4, -1)
		if d.one(8) {
			p.Exit = 1 + d.n(3)
		}
		switch d.n(8) {
		case 0:
			p.Status = "Stopped"
			event(d.between(0, 3*hour), "start", "")
		case 1:
			p.Status = "Stopped"
		case 2:
			at := d.between(0, 2*hour)
			event(at, "stop", "")
			event(at+d.between(2*minute, 2*hour), "start", "")
		case 3:
			p.User = "alice"
			event(d.between(0, 4*hour), "disconnect", "")
		case 4:
			at := d.between(0, 2*hour)
			event(at, "connect", "")
			event(at+d.between(minute, 2*hour), "disconnect", "")
		}
		if d.one(6) {
			event(d.between(0, 3*hour), "not-now", pick(d, "0", "1", "3"))
		}
	}
}

// held draws tags that hold desktops back.
func held(s *schedule, d *dice) {
	for i := range s.Desktops {
		for range pick(d, 0, 0, 1, 2) {
			s.Events = append(s.Events, eventPlan{At: d.between(0, 3*hour), Desktop: s.Desktops[i].ID, What: "hold", Arg: pick(d, "10m", "1h", "3h", "20h", "-10m", "tomorrow")})
		}
	}
}

// wanted sends a release or requests for the fleet.
func wanted(s *schedule, d *dice, o map[string]string) {
	s.fleet(0, "select: all", o, "requests: true")
	if d.one(3) {
		var ids []string
		for _, p := range s.Desktops {
			ids = append(ids, p.ID)
		}
		s.request(d, pick(d, 0, minute, hour), "r1", pick(d, "m-new1", "m-new1", ""), ids)
		return
	}
	s.release(pick(d, 0, 0, minute, hour), "v1", "m-new1")
	switch d.n(6) {
	case 0:
		s.release(d.between(0, 4*hour), "v2", "m-new2")
	case 1:
		s.control(d.between(10*minute, 4*hour), "v1/office", pick(d, events.Actions...))
	case 2:
		at := d.between(0, 2*hour)
		s.control(at, "v1/office", events.ActionPause)
		s.control(at+d.between(minute, 3*hour), "v1/office", events.ActionResume)
	}
	s.Sweep = d.one(4)
}

// notices are people who are told before.
func notices(s *schedule, d *dice) {
	desktops(s, d, 1+d.n(3), d.one(4))
	lives(s, d)
	o := quietStrategy(d)
	o["notice"] = noticeOf(d)
	s.Linux = d.one(12)
	wanted(s, d, o)
}

// asking are desktops that are asked, and hold themselves back.
func asking(s *schedule, d *dice) {
	desktops(s, d, 1+d.n(3), d.one(4))
	lives(s, d)
	o := quietStrategy(d)
	if !d.one(4) {
		o["before"] = beforeOf(d)
	}
	if d.one(3) { // time passes between go on and the rebuild, or people cannot be told
		s.Odds = append([]odd{{"RebuildDesktops", pick(d, throttles, refuses, lostBefore), pick(d, 0, 500), 0, 0},
			{"Tell ", pick(d, fails, throttles, lostBefore, killBefore), 400, 0, 0}}, s.Odds...)
		s.Budget = 10
	}
	if o["before"] == "" || d.one(3) {
		o["holds"] = holdsOf(d)
		held(s, d)
	}
	if d.one(3) {
		o["notice"] = noticeOf(d)
	}
	s.Linux = d.one(20)
	wanted(s, d, o)
}

// undone are rollouts that halt, and go back by themselves.
func undone(s *schedule, d *dice) {
	s.Instances = 2 + d.n(2)
	desktops(s, d, 1+d.n(4), false)
	o := quietStrategy(d)
	o["sessions"] = "{policy: skip}"
	o["canary"] = pick(d, "1", "{share: 2, maxFailures: 0}", "{share: 1, maxFailures: 1}")
	o["maxFailures"], o["maxFailuresPerWave"] = pick(d, "0", "1"), pick(d, "0", `"100%"`)
	o["check"] = pick(d, "{stable: 0s}", `{stable: 0s, command: "exit 0"}`, `{stable: 5m, command: "exit 0"}`)
	o["onHalt"] = pick(d, "rollback", "rollback", "rollback", "stay")
	if o["onHalt"] == "rollback" {
		o["onHaltNow"] = pick(d, "", "true", "false")
	}
	if d.one(4) {
		o["notice"] = noticeOf(d)
	}
	for i := range s.Desktops {
		switch p := &s.Desktops[i]; d.n(3) {
		case 0:
			p.CheckFails = 1 + d.n(2)
		case 1:
			if s.Records {
				p.Ends = "fail"
			}
		}
	}
	s.fleet(0, "select: all", o)
	if d.one(4) { // onHalt is written, or taken out, later
		o["onHalt"], o["onHaltNow"] = pick(d, "rollback", "stay"), ""
		s.fleet(d.between(0, hour), "select: all", o)
	}
	s.release(0, "v1", "m-new1")
	at := d.between(2*minute, hour)
	switch d.n(5) {
	case 0:
		s.release(at, "v2", pick(d, "m-new2", "m-old"))
	case 1, 2:
		s.control(at, "v1/office", pick(d, events.Actions...))
		s.control(at+d.between(second, 20*minute), "v1/office", pick(d, events.Actions...))
	case 3:
		s.control(d.between(at, 2*hour), "v1/office/rollback", pick(d, events.ActionPause, events.ActionAbort, events.ActionRetry))
	}
	s.Sweep = d.one(3)
}

// freezesOf draws freezes and their lifting.
func freezesOf(s *schedule, d *dice, fleets ...string) {
	for n := range 1 + d.n(3) {
		at := d.between(0, 3*hour)
		m := messagePlan{At: at, Kind: "freeze", ID: fmt.Sprintf("f%d", n+1), Until: at + d.between(5*minute, 5*hour)}
		switch d.n(3) {
		case 0:
			m.Regions = []string{region}
		case 1:
			m.Fleets = []string{pick(d, fleets...)}
		default:
			m.Regions, m.Fleets = []string{region}, []string{pick(d, fleets...)}
		}
		s.Messages = append(s.Messages, m)
		if d.one(2) {
			s.Messages = append(s.Messages, messagePlan{At: at + d.between(minute, 2*hour), Kind: "lift", ID: m.ID})
		}
		if d.one(4) { // sent twice
			m.At += d.between(0, 3*hour)
			s.Messages = append(s.Messages, m)
		}
	}
}

// frozen are regions or fleets that somebody freezes while things are under way.
func frozen(s *schedule, d *dice) {
	s.Instances = 2 + d.n(2)
	desktops(s, d, 1+d.n(4), d.one(4))
	o := quietStrategy(d)
	o["maxUnavailable"] = pick(d, "1", "2", `"100%"`)
	if d.one(4) {
		o["before"] = beforeOf(d)
	}
	freezesOf(s, d, "office")
	wanted(s, d, o)
	if d.one(2) {
		s.request(d, d.between(0, 3*hour), "r2", pick(d, "m-new1", "m-new2"), []string{s.Desktops[0].ID})
		if d.one(2) {
			m := &s.Messages[len(s.Messages)-1]
			m.Consent = append(m.Consent, events.ConsentFreeze)
		}
	}
}

// inRings are fleets that a release reaches one after the other.
func inRings(s *schedule, d *dice) {
	s.Instances = 2 + d.n(2)
	desktops(s, d, 3+d.n(3), false)
	pilots := 1 + d.n(2)
	s.Rebuild, s.Shift = 8*minute, 40*minute
	for i := range s.Desktops {
		p := &s.Desktops[i]
		p.Tags = map[string]string{"fleet": "office"}
		switch {
		case i < pilots:
			p.Tags["fleet"] = "pilot"
			if d.one(3) {
				p.Ends = "fail"
			}
		case d.one(3):
			p.Tags["fleet"] = "design"
		}
		if d.one(10) {
			p.Image = "m-new1"
		}
	}
	text := "fleets:\n"
	for _, name := range []string{"pilot", "office", "design"} {
		o := quietStrategy(d)
		o["sessions"] = "{policy: skip}"
		if name == "pilot" {
			o["maxFailures"], o["maxFailuresPerWave"] = "0", "0"
			o["onHalt"] = pick(d, "stay", "rollback")
		} else if d.one(4) {
			o["waves"], o["approval"] = `["50%"]`, "every"
		}
		if !d.one(6) {
			o["windows"] = ""
		}
		after := map[string]string{"office": "after: [pilot]", "design": pick(d, "after: [pilot, office]", "after: [office]", "after: [pilot]")}[name]
		text += strings.TrimPrefix(fleetYAML(name, "select: {tags: {fleet: "+name+"}}", append(lines(o), "^"+after)...), "fleets:\n")
	}
	s.Fleets = []fleetsFile{{0, text}}
	s.release(0, "v1", "m-new1")
	if d.one(3) {
		s.release(d.between(0, 4*hour), "v2", pick(d, "m-new2", "m-old"))
	}
	for range d.n(4) {
		s.control(d.between(0, 4*hour), pick(d, "v1/pilot", "v1/pilot", "v1/office", "v1/design"),
			pick(d, events.ActionPause, events.ActionResume, events.ActionApprove, events.ActionApprove, events.ActionRollback, events.ActionAbort, events.ActionRetry))
	}
	if d.one(4) {
		freezesOf(s, d, "pilot", "office")
	}
	s.Sweep = d.one(3)
}

// scheduled are requests for later.
func scheduled(s *schedule, d *dice) {
	ids := desktops(s, d, 1+d.n(3), d.one(2))
	o := quietStrategy(d)
	if d.one(2) {
		o["notice"] = noticeOf(d)
	}
	if d.one(3) {
		o["before"] = beforeOf(d)
	}
	if !d.one(3) {
		s.fleet(0, "select: all", o, "requests: true")
		lives(s, d)
	}
	for n := range 1 + d.n(2) {
		s.request(d, d.between(0, hour), fmt.Sprintf("r%d", n+1), pick(d, "m-new1", "m-new1", "m-new2", ""), ids)
		m := &s.Messages[len(s.Messages)-1]
		m.NotBefore = pick(d, d.between(minute, 10*hour), d.between(minute, hour), minute)
		if d.one(4) { // sent again
			again := *m
			again.At += d.between(0, 3*hour)
			s.Messages = append(s.Messages, again)
		}
	}
	if len(s.Fleets) > 0 && d.one(3) {
		freezesOf(s, d, "office")
	}
	s.Sweep = d.one(3)
}

// everybody is all of it at once.
func everybody(s *schedule, d *dice) {
	s.Instances = 2 + d.n(2)
	desktops(s, d, 1+d.n(4), d.one(3))
	lives(s, d)
	held(s, d)
	o := quietStrategy(d)
	o["notice"], o["before"], o["holds"] = noticeOf(d), beforeOf(d), holdsOf(d)
	o["onHalt"] = pick(d, "stay", "rollback")
	o["maxFailures"] = pick(d, "0", `"100%"`)
	for _, key := range []string{"notice", "before", "holds"} {
		if d.one(4) {
			o[key] = ""
		}
	}
	if d.one(2) {
		freezesOf(s, d, "office")
	}
	wanted(s, d, o)
	if d.one(3) {
		s.request(d, d.between(0, 2*hour), "r2", "m-new2", []string{s.Desktops[0].ID})
		s.Messages[len(s.Messages)-1].NotBefore = d.between(hour, 6*hour)
	}
}

// lines writes options as lines of a strategy.
func lines(o map[string]string) []string {
	var out []string
	for _, key := range sorted(o) {
		if o[key] != "" {
			out = append(out, key+": "+o[key])
		}
	}
	return out
}

func sorted(o map[string]string) []string { return slices.Sorted(maps.Keys(o)) }
