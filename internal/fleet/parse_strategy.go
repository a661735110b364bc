package fleet

import (
	"time"

	"go.yaml.in/yaml/v4"
)

// strategy reads a strategy over the defaults.
func (r *reader) strategy(v value) Strategy {
	s := Default()
	at := r.object(v, fields{
		"canary":             func(v value) { s.Canary = r.canary(v) },
		"waves":              func(v value) { s.Waves = each(r, v, 0, MaxWaves, func(v value) Amount { return r.share(v, false) }) },
		"maxUnavailable":     func(v value) { s.MaxUnavailable = r.share(v, false) },
		"maxFailures":        func(v value) { s.MaxFailures = r.share(v, true) },
		"maxFailuresPerWave": func(v value) { s.MaxFailuresPerWave = r.share(v, true) },
		"soak":               func(v value) { s.Soak = r.duration(v, 0, 30*day) },
		"approval":           func(v value) { s.Approval = r.approval(v) },
		"check":              func(v value) { s.Check = r.check(v) },
		"windows":            func(v value) { s.Windows = each(r, v, 1, MaxWindows, r.window) },
		"blackouts":          func(v value) { s.Blackouts = each(r, v, 1, MaxBlackouts, r.blackout) },
		"sessions":           func(v value) { s.Sessions = r.sessions(v) },
		"before":             func(v value) { s.Before = r.before(v) },
		"holds":              func(v value) { s.Holds = r.holds(v) },
		"snapshot":           func(v value) { s.Snapshot = Snapshot(r.oneOf(v, string(SnapshotNone), string(SnapshotData))) },
		"notice":             func(v value) { s.Notice = r.notice(v) },
		"maintenance":        func(v value) { s.Maintenance = r.truth(v) },
		"stopFirst":          func(v value) { s.StopFirst = r.truth(v) },
		"expected":           func(v value) { s.Expected = r.duration(v, time.Minute, day) },
		"rebuildTimeout":     func(v value) { s.RebuildTimeout = r.rebuildTimeout(v) },
		"rolloutTimeout":     func(v value) { s.RolloutTimeout = r.duration(v, time.Hour, 365*day) },
		"onHalt":             func(v value) { s.OnHalt = OnHalt(r.oneOf(v, string(Stay), string(Rollback))) },
		"onHaltNow":          func(v value) { s.OnHaltNow = r.truth(v) },
	})
	s.Waves = r.ordered(s.Canary, s.Waves, at)
	r.agree(s, at)
	return s
}

// agree checks the parts of a strategy against each other.
func (r *reader) agree(s Strategy, at map[string]value) {
	if v, ok := at["approval"]; ok && v.node.Kind == yaml.SequenceNode {
		for i, wave := range s.Approval.Waves {
			if wave > len(s.Waves)+1 {
				r.faultf(v.element(i), "must be at most %d, the last wave that another follows", len(s.Waves)+1)
			}
		}
	}
	for i, w := range s.Windows {
		if w.Zone != nil && w.length() < s.Expected {
			r.faultf(at["windows"].element(i), "is %s long, and nothing that is expected to take %s would begin in it; make it longer or expected shorter",
				written(w.length()), written(s.Expected))
		}
	}
	r.faultAt(at, "onHaltNow", s.OnHaltNow && s.OnHalt != Rollback, "says when a rollback on a halt begins; write onHalt: rollback too, or leave it out")
	r.faultAt(at, "rebuildTimeout", s.RebuildTimeout > 0 && s.RebuildTimeout < s.Expected, "must not be less than expected (%s)", written(s.Expected))
}

// canary reads a share, or an object with a share or tags.
func (r *reader) canary(v value) Canary {
	c := Canary{Amount: Amount{Count: 1}}
	if v.node.Kind != yaml.MappingNode {
		c.Amount = r.share(v, false)
		return c
	}
	at := r.object(v, fields{
		"share":       func(v value) { c.Amount = r.share(v, false) },
		"tags":        func(v value) { c.Tags = r.tags(v) },
		"maxFailures": func(v value) { c.MaxFailures = r.share(v, true) },
	})
	_, share := at["share"]
	r.faultAt(at, "tags", share, "must not stand beside share; keep one of them")
	return c
}

// ordered checks that each wave is greater than what came before it, as far as
// that can be said without knowing the fleet: counts are compared with counts,
// percentages with percentages, and nothing comes after 100%. It leaves out a
// last wave of 100%, which is implied, and default waves that the canary has
// already reached.
func (r *reader) ordered(c Canary, waves []Amount, at map[string]value) []Amount {
	v, written := at["waves"]
	var canary Amount
	if len(c.Tags) == 0 {
		canary = c.Amount
	}
	count, percent := Amount{Count: canary.Count}, Amount{Percent: canary.Percent}
	var out []Amount
	for i, w := range waves {
		low, than := w.Count > 0 && w.Count <= count.Count, count
		if w.Percent > 0 || percent.Percent == 100 {
			low, than = percent.Percent == 100 || w.Percent <= percent.Percent, percent
		}
		switch {
		case w.IsZero() || low && !written:
			continue
		case low && than == canary:
			r.faultf(v.element(i), "must be greater than the canary (%s)", than)
		case low:
			r.faultf(v.element(i), "must be greater than the wave before it (%s)", than)
		}
		count.Count, percent.Percent = max(count.Count, w.Count), max(percent.Percent, w.Percent)
		if w.Percent < 100 {
			out = append(out, w)
		}
	}
	return out
}

// approval reads a word or a list of wave numbers.
func (r *reader) approval(v value) Approval {
	if v.node.Kind != yaml.SequenceNode {
		switch r.oneOf(v, "first", "none", "canary", "every") {
		case "first":
			return Approval{First: true}
		case "canary":
			return Approval{Waves: []int{1}}
		case "every":
			return Approval{Every: true}
		}
		return Approval{}
	}
	var a Approval
	last := 0
	r.list(v, 1, MaxWaves+1, func(v value) {
		n, ok := r.number(v, 1, MaxWaves+1)
		if ok && n <= last {
			r.faultf(v, "must be greater than the number before it (%d)", last)
		}
		last = max(last, n)
		a.Waves = append(a.Waves, n)
	})
	return a
}

// check reads what a wave must pass.
func (r *reader) check(v value) Check {
	c := Default().Check
	at := r.object(v, fields{
		"stable":  func(v value) { c.Stable = r.duration(v, 0, day) },
		"command": func(v value) { c.Command = r.command(v) },
		"kind":    func(v value) { c.Kind = r.oneOf(v, PowerShell, Bat) },
		"timeout": func(v value) { c.Timeout = r.duration(v, 10*time.Second, time.Hour) },
		"use":     func(v value) { c.Use = r.use(v) },
		"alarms":  func(v value) { c.Alarms = r.alarms(v) },
	})
	_, command := at["command"]
	for _, key := range []string{"kind", "timeout"} {
		r.faultAt(at, key, !command, "says how to run a command; write command too, or leave it out")
	}
	return c
}

func (r *reader) command(v value) string {
	s, ok := r.scalar(v, anyText, "!!str")
	if ok && (s == "" || len(s) > MaxCommand) {
		r.faultf(v, "must be 1 to %d bytes, is %d", MaxCommand, len(s))
		return ""
	}
	return s
}

// sessions reads what to do with desktops in use.
func (r *reader) sessions(v value) Sessions {
	s := Default().Sessions
	at := r.object(v, fields{
		"policy":   func(v value) { s.Policy = Policy(r.oneOf(v, string(Wait), string(Skip), string(Force))) },
		"deadline": func(v value) { s.Deadline = r.duration(v, time.Minute, 30*day) },
		"after":    func(v value) { s.After = Policy(r.oneOf(v, string(Skip), string(Force))) },
		"idle":     func(v value) { s.Idle = r.duration(v, time.Minute, 30*day) },
	})
	r.faultAt(at, "idle", s.Policy == Force, "says who does not count as using a desktop, and with the policy force nobody does; leave it out")
	if s.Policy != Skip && s.Policy != Force {
		return s
	}
	for _, key := range []string{"deadline", "after"} {
		r.faultAt(at, key, true, "belongs to the policy wait, and the policy is %s; leave it out", s.Policy)
	}
	return Sessions{Policy: s.Policy, Idle: s.Idle}
}

// rebuildTimeout reads a duration or 0, which stands for the setting.
func (r *reader) rebuildTimeout(v value) time.Duration {
	d := r.duration(v, 0, day)
	if d > 0 && d < time.Minute {
		r.faultf(v, "must be 1m to 1d, or 0 for the function's own setting")
		return 0
	}
	return d
}
