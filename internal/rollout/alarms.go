package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// An Alarm is what the journal knows of one alarm rule: how it was last seen.
type Alarm struct {
	Name  string     `json:"name"`
	State AlarmState `json:"state"`
	Since time.Time  `json:"since"` // when it was first seen so
}

// An AlarmState is how an alarm rule was seen.
type AlarmState string

// The states.
const (
	AlarmQuiet   AlarmState = "quiet"
	AlarmActive  AlarmState = "active"
	AlarmBefore  AlarmState = "before"  // active since before the rollout began, or somebody went on in spite of it: it does not count until it was quiet
	AlarmUnknown AlarmState = "unknown" // there is no such rule, it is off, or its state is not one that a page lists
)

const (
	// alarmHolds is how long an alarm holds the next wave before the rollout halts.
	alarmHolds = 15 * time.Minute
	// alarmPause is how often alarms are looked at between two waves in the first
	// hour, and alarmSlow afterwards.
	alarmPause, alarmSlow = 5 * time.Minute, 30 * time.Minute
)

// alarmState says how a rule is of which CloudMonitor lists these: several may have
// one name.
func alarmState(rules []desktop.Alarm) AlarmState {
	state := AlarmQuiet
	for _, r := range rules {
		switch {
		case r.On && r.State == desktop.AlarmActive:
			return AlarmActive
		case !r.On, r.State != "OK" && r.State != "INSUFFICIENT_DATA":
			state = AlarmUnknown
		}
	}
	if len(rules) == 0 {
		return AlarmUnknown
	}
	return state
}

// seenAlarm returns what is written down of an alarm that was seen in a state at a
// time, and before that as was says (nil: never). begun says that a wave has begun.
func seenAlarm(rule fleet.Alarm, was *Alarm, state AlarmState, at time.Time, begun bool) Alarm {
	switch {
	case was == nil && state == AlarmActive && !begun && !rule.Always:
		return Alarm{rule.Name, AlarmBefore, at}
	case was != nil && was.State == AlarmBefore && state == AlarmActive && !rule.Always, was != nil && was.State == state:
		return *was
	}
	return Alarm{rule.Name, state, at}
}

// seenAlarms is seenAlarm for all rules of a fleet, and says whether anything has changed.
// Rules that are not among them any more are forgotten.
func seenAlarms(rules []fleet.Alarm, was []Alarm, states map[string]AlarmState, at time.Time, begun bool) (now []Alarm, changed bool) {
	for _, rule := range rules {
		var before *Alarm
		if i := slices.IndexFunc(was, func(a Alarm) bool { return a.Name == rule.Name }); i >= 0 {
			before = &was[i]
		}
		now = append(now, seenAlarm(rule, before, states[rule.Name], at, begun))
	}
	return now, !slices.Equal(now, was)
}

// ignoreAlarms returns the alarms as they are once somebody goes on in spite of those
// that are active, or not known.
func ignoreAlarms(list []Alarm, at time.Time) []Alarm {
	out := slices.Clone(list)
	for i := range out {
		if out[i].State == AlarmActive {
			out[i] = Alarm{out[i].Name, AlarmBefore, at}
		}
	}
	return out
}

// An alarmAnswer is what the states of alarms mean for a rollout.
type alarmAnswer int

const (
	alarmsQuiet alarmAnswer = iota
	alarmsHold
	alarmsUnclear // the state of one of them is not known
	alarmsHalt
)

// judgeAlarms says what alarms mean that were read at a time, which of them say so,
// and when the rollout halts at the latest.
func judgeAlarms(list []Alarm, readAt time.Time) (answer alarmAnswer, names []string, halts time.Time) {
	var unclear []string
	for _, a := range list {
		switch a.State {
		case AlarmActive:
			names = append(names, a.Name)
			halts = Soonest(halts, a.Since.Add(alarmHolds))
		case AlarmUnknown:
			unclear = append(unclear, a.Name)
		case AlarmQuiet, AlarmBefore:
		}
	}
	switch {
	case len(names) == 0 && len(unclear) == 0:
		return alarmsQuiet, nil, zero
	case len(names) == 0:
		return alarmsUnclear, unclear, zero
	case !readAt.Before(halts):
		return alarmsHalt, names, halts
	}
	return alarmsHold, names, halts
}

// alarmText says for people what an answer means.
func alarmText(answer alarmAnswer, names []string) string {
	text := strings.Join(names, ", ")
	switch answer {
	case alarmsHold:
		return fmt.Sprintf("CloudMonitor shows in ALARM: %s; if that lasts for %s, the rollout halts", text, alarmHolds)
	case alarmsHalt:
		return fmt.Sprintf("CloudMonitor has shown in ALARM for %s: %s", alarmHolds, text)
	case alarmsUnclear:
		return fmt.Sprintf("CloudMonitor does not tell the state of: %s; there is no such rule in the region, or it is off", text)
	case alarmsQuiet:
	}
	return ""
}
