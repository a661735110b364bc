package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is about who uses desktops and who is idle, about alarms, and about what
// a wave has to prove by both before the next one begins.
const (
	waveUnused    = "wave-passes-without-its-use"
	waveInAlarm   = "wave-passes-an-alarm"
	haltedUntruly = "halted-for-what-is-not-so"
)

// alarmRule is the alarm of the fleets that name one.
const alarmRule = "office-logon-errors"

// A logon is one session of a user on a desktop.
type logon struct {
	user    string
	started time.Time
}

// usage is who used a desktop, and who tried to.
type usage struct {
	logons  []logon
	tickets []desktop.Event
	idle    time.Time // since when its user is idle; zero: is not
	woke    time.Time // when its user was idle last,
	slept   time.Time // and since when then
}

// rests says whether its user was idle for so long, at a time or shortly before.
func (u usage) rests(limit time.Duration) bool {
	if limit == 0 {
		return false
	}
	now := !u.idle.IsZero() && time.Since(u.idle) >= limit-clocksApart
	return now || !u.woke.IsZero() && time.Since(u.woke) < oldFacts && u.woke.Sub(u.slept) >= limit-clocksApart
}

// usedSince says whether somebody has logged on since.
func (u usage) usedSince(t time.Time) bool {
	return slices.ContainsFunc(u.logons, func(l logon) bool { return l.started.After(t) })
}

// failedSince counts the logons since then that came to nothing: bob's, who never gets
// further than his ticket. Those that follow each other within five minutes are one, and
// the last may still succeed for so long.
func (u usage) failedSince(t time.Time) (n int) {
	const mayTake = 5 * time.Minute
	var last time.Time
	for _, e := range u.tickets {
		if e.User != "bob" || !e.At.After(t) {
			continue
		}
		if !last.IsZero() && e.At.Sub(last) > mayTake {
			n++
		}
		last = e.At
	}
	if !last.IsZero() && time.Since(last) > mayTake-clocksApart {
		n++
	}
	return n
}

func (u *usage) wake() {
	if !u.idle.IsZero() {
		u.woke, u.slept, u.idle = time.Now(), u.idle, time.Time{}
	}
}

// usesDesk notes what a user does.
func (m *machine) usesDesk(what string) {
	u, now := &m.desk.usage, time.Now()
	switch what {
	case "connect":
		u.wake()
		u.logons = append(u.logons, logon{"alice", now})
		u.tickets = append(u.tickets, desktop.Event{DesktopID: m.now.ID, User: "alice", Kind: desktop.TicketAsked, At: now.Add(-5 * time.Second)},
			desktop.Event{DesktopID: m.now.ID, User: "alice", Kind: desktop.ConnectDone, At: now})
	case "ticket":
		u.tickets = append(u.tickets, desktop.Event{DesktopID: m.now.ID, User: "bob", Kind: desktop.TicketAsked, At: now})
	case "leave":
		if len(m.now.Users) > 0 {
			m.now.Connection, u.idle = desktop.Disconnected, now
		}
	case "idle":
		u.idle = now
	case "active":
		u.wake()
	}
}

var _ handler.Census = (*ecd)(nil)

// Sessions is DescribeDesktopSessions.
func (e *ecd) Sessions(ctx context.Context, _ string, ids []string, from time.Time) (map[string][]desktop.Session, error) {
	out := map[string][]desktop.Session{}
	_, err := e.ask(ctx, "DescribeDesktopSessions", "DescribeDesktopSessions "+strings.Join(ids, ","), true, func() error {
		for _, id := range ids {
			out[id] = []desktop.Session{}
			m := e.machine(id)
			if m == nil || m.gone {
				continue
			}
			for n, l := range m.desk.usage.logons {
				s := desktop.Session{DesktopID: id, User: l.user, Status: desktop.Disconnected, Started: l.started}
				live := n == len(m.desk.usage.logons)-1 && len(m.now.Users) > 0
				if !live && !from.IsZero() && l.started.Before(from) {
					continue
				}
				if live {
					s.Status, s.IdleKnown = m.now.Connection, !m.plan.NoIdle
					if idle := m.desk.usage.idle; !idle.IsZero() {
						s.Idle = time.Since(idle)
					}
				}
				out[id] = append(out[id], s)
			}
		}
		return nil
	})
	return out, err
}

// Events is DescribeClientEvents.
func (e *ecd) Events(ctx context.Context, _, only string, from, to time.Time) ([]desktop.Event, error) {
	var out []desktop.Event
	_, err := e.ask(ctx, "DescribeClientEvents", "DescribeClientEvents", true, func() error {
		for _, id := range e.ids {
			for _, t := range e.machines[id].desk.usage.tickets {
				if (only == "" || only == id) && !t.At.Before(from) && !t.At.After(to.Add(clocksApart)) {
					out = append(out, t)
				}
			}
		}
		return nil
	})
	return out, err
}

var _ handler.Alarmer = (*ecd)(nil)

// alarmNow is an alarm rule as it is.
type alarmNow struct {
	is     desktop.Alarm
	active time.Time // since when; zero: it is not
	was    time.Time // when it was active last
}

// alarms has the alarm rule change.
func (w *world) alarms(state string) {
	a := w.alarm
	if a == nil {
		a = &alarmNow{}
		w.alarm = a
	}
	if state == desktop.AlarmActive && a.active.IsZero() {
		a.active = time.Now()
	} else if state != desktop.AlarmActive && !a.active.IsZero() {
		a.active, a.was = time.Time{}, time.Now()
	}
	a.is = desktop.Alarm{Name: alarmRule, State: state, On: state != "off"}
	w.note("", alarmRule, "is "+state)
}

// Alarms is DescribeMetricRuleList.
func (e *ecd) Alarms(ctx context.Context, _, name string) ([]desktop.Alarm, error) {
	var out []desktop.Alarm
	_, err := e.ask(ctx, "DescribeMetricRuleList", "DescribeMetricRuleList "+name, true, func() error {
		if e.alarm != nil && name == alarmRule && e.alarm.is.State != "gone" {
			out = append(out, e.alarm.is)
		}
		return nil
	})
	return out, err
}

// proofs are what somebody let a rollout go on without.
type proofs struct {
	waves   map[int]bool // without use
	ignored time.Time    // when alarms were ignored last
}

// goesOnWithout notes that somebody lets the rollout go on that waits, or has
// halted, for want of proof. It says whether that was all that was said.
func (k *work) goesOnWithout(code string) bool {
	last := 0
	if n := len(k.waves); n > 0 {
		last = k.waves[n-1].n
	}
	switch code {
	case events.CodeUseAwaited, events.CodeTooFewUsed, events.CodeLogonsFailed:
		if k.people.proofs.waves == nil {
			k.people.proofs.waves = map[int]bool{}
		}
		k.people.proofs.waves[last] = true
	case events.CodeAlarmActive:
		k.people.proofs.ignored = time.Now()
		return true
	}
	return false
}

// proven holds a wave that begins against what the one before had to prove.
func (w *world) proven(k *work, f *fleet.Fleet) {
	c := f.Strategy.Check
	if k.undoes != "" {
		return
	}
	if a := w.alarm; len(c.Alarms) > 0 && a != nil && !a.active.IsZero() && time.Since(a.active) > oldFacts && a.active.After(k.people.proofs.ignored) {
		began := len(k.waves) > 0 && a.active.After(k.waves[0].begun)
		if began || c.Alarms[0].Always {
			w.breaks(waveInAlarm, "%s goes on, and %s is in ALARM since %s", k.id, alarmRule, a.active.Format(time.DateTime))
		}
	}
	n := len(k.waves)
	if n == 0 || c.Use.Least.IsZero() || k.people.proofs.waves[k.waves[n-1].n] {
		return
	}
	used, of := w.used(k, k.waves[n-1])
	if want := c.Use.Least.Of(of); of > 0 && used < want {
		w.breaks(waveUnused, "%s goes on, and %d of %d desktops of wave %d were used, %d are wanted", k.id, used, of, k.waves[n-1].n, want)
	}
}

// used counts the desktops of a wave that were rebuilt, and that somebody has logged
// on to since.
func (w *world) used(k *work, wave waveOf) (used, of int) {
	for _, id := range wave.desktops {
		p := k.desktops[id]
		if p == nil || p.status != "completed" || p.wipedAt.IsZero() {
			continue
		}
		if of++; w.machines[id].desk.usage.usedSince(p.wipedAt) {
			used++
		}
	}
	return used, of
}

// haltsForProof holds a halt for want of use, or for alarms, against what is so.
func (w *world) haltsForProof(k *work, code string, f *fleet.Fleet) {
	n := len(k.waves)
	if f == nil {
		return
	}
	switch code {
	case events.CodeTooFewUsed:
		used, of := w.used(k, k.waves[n-1])
		late := time.Since(k.waves[n-1].endedAt) >= f.Strategy.Check.Use.Within-clocksApart
		recent := slices.ContainsFunc(k.waves[n-1].desktops, func(id string) bool { return w.machines[id].desk.usage.usedSince(time.Now().Add(-oldFacts)) })
		if !late || used == 0 || used >= f.Strategy.Check.Use.Least.Of(of) && !recent {
			w.breaks(haltedUntruly, "%s halts: %s, and %d of %d were used", k.id, code, used, of)
		}
	case events.CodeAlarmActive:
		if a := w.alarm; a == nil || a.active.IsZero() && time.Since(a.was) > oldFacts {
			w.breaks(haltedUntruly, "%s halts: %s, and no alarm is", k.id, code)
		}
	case events.CodeLogonsFailed:
		failed := 0
		for _, id := range k.waves[n-1].desktops {
			if p := k.desktops[id]; p != nil && p.status == "completed" && !p.wipedAt.IsZero() {
				failed += w.machines[id].desk.usage.failedSince(p.wipedAt)
			}
		}
		if failed < 2 {
			w.breaks(haltedUntruly, "%s halts: %s, and %d logons have failed", k.id, code, failed)
		}
	}
}

// provenPlan is a fleet whose waves prove themselves by use, by alarms that stay quiet,
// or both, and whose idle users do not count.
func provenPlan(s *schedule, d *dice) {
	desktops(s, d, 2+d.n(5), false)
	o := quietStrategy(d)
	o["canary"], o["waves"] = pick(d, "1", "2"), pick(d, `[]`, `["50%"]`)
	o["sessions"] = pick(d, "{policy: skip}", "{policy: skip, idle: 20m}", "{policy: wait, deadline: 2h, after: skip, idle: 10m}", "{policy: wait, deadline: 3h, after: skip, idle: 1h}")
	check := []string{"stable: " + pick(d, "0s", "0s", "5m")}
	if !d.one(4) {
		check = append(check, fmt.Sprintf("use: {least: %s, within: %s, else: %s%s}", pick(d, "1", `"50%"`, `"30%"`, `"100%"`), pick(d, "10m", "1h", "3h"), pick(d, "wait", "halt"),
			pick(d, "", `, failed: "20%"`, ", failed: 1")))
	}
	if len(check) == 1 || d.one(3) {
		check = append(check, "alarms: ["+pick(d, alarmRule, alarmRule, "{name: "+alarmRule+", always: true}")+"]")
	}
	o["check"] = "{" + strings.Join(check, ", ") + "}"
	o["onHalt"] = pick(d, "stay", "stay", "rollback")
	o["windows"] = ""
	s.fleet(0, "select: all", o)
	s.release(0, "v1", "m-new1")
	if d.one(6) {
		s.release(d.between(0, 4*hour), "v2", "m-new2")
	}
	for range d.n(3) {
		s.control(d.between(10*minute, 4*hour), "v1/office", pick(d, events.ActionApprove, events.ActionApprove, events.ActionRetry, events.ActionPause, events.ActionRollback))
	}
	alarm := func(at span, state string) {
		s.Events = append(s.Events, eventPlan{At: at, What: "alarm", Arg: state})
	}
	if !d.one(8) {
		alarm(0, pick(d, "OK", "OK", "OK", "INSUFFICIENT_DATA", desktop.AlarmActive, "off"))
	}
	for range d.n(3) {
		at := d.between(0, 3*hour)
		alarm(at, pick(d, desktop.AlarmActive, desktop.AlarmActive, "off"))
		alarm(at+d.between(2*minute, 40*minute), "OK")
	}
	for i := range s.Desktops {
		p := &s.Desktops[i]
		p.NoIdle = d.one(6)
		if d.one(4) {
			p.User = "alice"
		}
		at := d.between(0, 30*minute)
		for range d.n(7) {
			s.Events = append(s.Events, eventPlan{At: at, Desktop: p.ID, What: pick(d, "connect", "connect", "disconnect", "leave", "idle", "active", "ticket")})
			at += d.between(second, 70*minute)
		}
	}
}
