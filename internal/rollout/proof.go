package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is about what a finished wave must prove before the next one begins: by
// use (use.go), and by alarms that stay quiet (alarms.go). Going back proves nothing,
// so a rollback is not held by either.

// rebuilt returns the desktops of a wave that this rollout rebuilt, and when ECD
// accepted that.
func (s *State) rebuilt(w *Wave) map[string]time.Time {
	out := map[string]time.Time{}
	for _, id := range w.Desktops {
		if x := s.Desktops[id]; x != nil && x.Phase == Final && x.Last.Status == events.StatusCompleted && !x.AcceptedAt.IsZero() {
			out[id] = x.AcceptedAt.Time()
		}
	}
	return out
}

// awaitsUse says whether too little is known of how a finished wave is used, or too
// few of its desktops are.
func (v *view) awaitsUse(f *fleet.Fleet, w *Wave) (step, bool) {
	u := f.Strategy.Check.Use
	if u.Least.IsZero() || v.s.Operation.Undoes != "" || w.Proved != "" {
		return step{}, false
	}
	rebuilt := v.s.rebuilt(w)
	if len(rebuilt) == 0 {
		return step{}, false
	}
	ends := w.EndedAt.Add(u.Within)
	c := v.s.Use
	if c == nil || c.Wave != w.N || c.At.Before(w.EndedAt) {
		c = nil
	}
	var next time.Time
	switch {
	case c == nil:
		next = earlier(w.EndedAt.Add(max(f.Strategy.Soak, usePause(u, false))), ends)
	case c.At.Before(ends):
		next = earlier(c.At.Add(usePause(u, false)), ends)
	default:
		next = c.At.Add(usePause(u, true))
	}
	if v.now.due(next) {
		return v.readUse(f, w, rebuilt, next), true
	}
	if c == nil && !v.now.due(w.EndedAt.Add(f.Strategy.Soak)) {
		return look(next), false // it still soaks: see mustRest
	}
	if c == nil {
		return v.stand(events.CodeUseAwaited, fmt.Sprintf("how much %s is used is looked at in a while", w.Title()), next), true
	}
	return v.judgedUse(u, w, *c, next, ends)
}

// judgedUse says what a count means.
func (v *view) judgedUse(u fleet.Use, w *Wave, c UseCount, next, ends time.Time) (step, bool) {
	over := !c.At.Before(ends)
	answer, wanted := judgeUse(u, c, over)
	count := fmt.Sprintf("%d of %d desktops of %s used so far, %d are wanted", c.Used, c.Of, w.Title(), wanted)
	switch answer {
	case useProves:
		return step{}, false
	case useFails:
		return v.halt(events.CodeLogonsFailed, "%d of %d logons to the desktops of %s have failed, %d may",
			c.Failed, c.Logons, w.Title(), u.Failed.Floor(c.Logons)), true
	case useTooFew:
		return v.halt(events.CodeTooFewUsed, "%s, within %s", count, u.Within), true
	case useWaits:
	}
	if over {
		return v.standAnew(events.CodeUseAwaited, count+"; somebody has to approve it", zero).with(look(next)), true
	}
	return v.standAnew(events.CodeUseAwaited, count, ends).with(look(next)), true
}

// readUse reads how much a wave was used, at a time or later, and writes that down.
func (v *view) readUse(f *fleet.Fleet, w *Wave, rebuilt map[string]time.Time, from time.Time) step {
	since := zero
	for _, at := range rebuilt {
		since = Soonest(since, at)
	}
	var s step
	sessions := map[string][]desktop.Session{}
	at, whole := zero, true
	for _, id := range w.Desktops {
		if _, in := rebuilt[id]; !in {
			continue
		}
		fact, more, ok := findHistory(v, ofUses, id, since, from)
		if ok && fact.Err != nil {
			return v.unreadProof(fact.Err)
		}
		s, whole = s.with(more), whole && ok
		sessions[id], at = fact.Value.List, Soonest(at, fact.ReadAt)
	}
	var logons []desktop.Event
	for _, id := range logonsOf(f, w, rebuilt) {
		fact, more, ok := findHistory(v, ofLogons, id, since, from)
		if ok && fact.Err != nil {
			return v.unreadProof(fact.Err)
		}
		s, whole = s.with(more), whole && ok
		logons, at = append(logons, fact.Value.List...), Soonest(at, fact.ReadAt)
	}
	if !whole {
		return s
	}
	count := countUse(w.N, rebuilt, sessions, logons, at)
	return v.write(Record{Kind: KindUse, Wave: w.N, Use: &count}).with(look(v.now.t))
}

// fewLogons is up to how many desktops are asked one by one for who tried to log on;
// for more the region's events are read once.
const fewLogons = 20

// logonsOf returns whose logons are read: nobody's, those of each desktop, or "", which
// is all of the region.
func logonsOf(f *fleet.Fleet, w *Wave, rebuilt map[string]time.Time) []string {
	switch {
	case f.Strategy.Check.Use.Failed.IsZero():
		return nil
	case len(rebuilt) > fewLogons:
		return []string{""}
	}
	return slices.DeleteFunc(slices.Clone(w.Desktops), func(id string) bool { return rebuilt[id].IsZero() })
}

// heldByAlarms says whether alarms hold the wave behind w (nil: the first), and when to
// look at them again if not.
func (v *view) heldByAlarms(f *fleet.Fleet, w *Wave) (step, bool) {
	rules := f.Strategy.Check.Alarms
	if len(rules) == 0 || v.s.Operation.Undoes != "" {
		return step{}, false
	}
	states, at := map[string]AlarmState{}, zero
	s, whole := step{}, true
	for _, rule := range rules {
		fact, more, ok := find(v, ofAlarms, rule.Name, zero)
		if ok && fact.Err != nil {
			return v.unreadProof(fact.Err), true
		}
		s, whole = s.with(more), whole && ok
		states[rule.Name], at = alarmState(fact.Value), Soonest(at, fact.ReadAt)
	}
	if !whole {
		return s, true
	}
	list, changed := seenAlarms(rules, v.s.Alarms, states, at, w != nil)
	if changed {
		return v.write(Record{Kind: KindAlarms, Alarms: list}).with(look(v.now.t)), true
	}
	answer, names, halts := judgeAlarms(list, at)
	switch text := alarmText(answer, names); answer {
	case alarmsHalt:
		return v.halt(events.CodeAlarmActive, "%s", text), true
	case alarmsHold:
		return v.standAnew(events.CodeAlarmActive, text, halts).with(look(v.now.in(alarmPause))), true
	case alarmsUnclear:
		return v.standAnew(events.CodeAlarmUnknown, text, zero).with(look(v.now.in(alarmPause))), true
	case alarmsQuiet:
	}
	pause := alarmPause
	if w != nil && v.now.due(w.EndedAt.Add(time.Hour)) {
		pause = alarmSlow
	}
	return look(v.now.in(pause)), false
}

// waitsForProof says whether the rollout stands still for what a wave has yet to
// prove, which somebody may approve it without.
func (s *State) waitsForProof() bool {
	return s.Waiting != nil && (s.Waiting.Code == events.CodeUseAwaited || s.Waiting.Code == events.CodeAlarmActive)
}

// approve notes that somebody said go on after a wave: without the proof that it waits
// for, if it does.
func (s *State) approve(w *Wave, r *Record) {
	if !s.waitsForProof() {
		w.Approved = r.Who
		return
	}
	switch s.Waiting.Code {
	case events.CodeUseAwaited:
		w.Approved, w.Proved = r.Who, r.Who
	case events.CodeAlarmActive:
		s.Alarms = ignoreAlarms(s.Alarms, r.At)
	}
	s.Waiting = nil
}

// inSpite notes that somebody resumes a rollout that halted because a proof was missing.
func (s *State) inSpite(r *Record) {
	if s.Halted == nil {
		return
	}
	switch w := s.Wave(); s.Halted.Code {
	case events.CodeTooFewUsed, events.CodeLogonsFailed:
		if w != nil {
			w.Proved = r.Who
		}
	case events.CodeAlarmActive:
		s.Alarms = ignoreAlarms(s.Alarms, r.At)
	}
}

// proofGate says what a plan must tell of what each wave has to prove.
func (v *view) proofGate(f *fleet.Fleet) []string {
	if v.s.Operation.Undoes != "" {
		return nil
	}
	var out []string
	if u := f.Strategy.Check.Use; !u.Least.IsZero() {
		text := fmt.Sprintf("the next wave begins once %s of a wave's desktops were logged on to", u.Least)
		if u.Else == fleet.UseHalt {
			text += fmt.Sprintf("; after %s it halts, if any was used at all", u.Within)
		} else {
			text += fmt.Sprintf("; after %s somebody has to approve", u.Within)
		}
		if !u.Failed.IsZero() {
			text += fmt.Sprintf("; it halts if more than %s of the logons fail", u.Failed)
		}
		out = append(out, text)
	}
	if rules := f.Strategy.Check.Alarms; len(rules) > 0 {
		var names []string
		for _, a := range rules {
			names = append(names, a.Name)
		}
		out = append(out, fmt.Sprintf("no wave begins while CloudMonitor shows in ALARM: %s; after %s it halts", strings.Join(names, ", "), alarmHolds))
	}
	return out
}
