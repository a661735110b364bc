package rollout

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

func TestHowAnAlarmRuleIsRead(t *testing.T) {
	rule := func(state string, on bool) desktop.Alarm { return desktop.Alarm{Name: "a", State: state, On: on} }
	for _, c := range []struct {
		name  string
		rules []desktop.Alarm
		want  AlarmState
	}{
		{"there is none", nil, AlarmUnknown}, {"quiet", []desktop.Alarm{rule("OK", true)}, AlarmQuiet},
		{"without data", []desktop.Alarm{rule("INSUFFICIENT_DATA", true)}, AlarmQuiet}, {"active", []desktop.Alarm{rule("ALARM", true)}, AlarmActive},
		{"off", []desktop.Alarm{rule("OK", false)}, AlarmUnknown}, {"off, with an old state", []desktop.Alarm{rule("ALARM", false)}, AlarmUnknown},
		{"no state", []desktop.Alarm{rule("", true)}, AlarmUnknown}, {"another word", []desktop.Alarm{rule("Alarming", true)}, AlarmUnknown},
		{"one of two", []desktop.Alarm{rule("OK", true), rule("ALARM", true)}, AlarmActive}, {"one of two is off", []desktop.Alarm{rule("OK", true), rule("OK", false)}, AlarmUnknown},
	} {
		if got := alarmState(c.rules); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A day of one alarm: what it shows every five minutes, and what that comes to.
func TestAlarmsOverTime(t *testing.T) {
	const q, a, u = AlarmQuiet, AlarmActive, AlarmUnknown
	for _, c := range []struct {
		name   string
		always bool
		begins int // look at which the first wave begins
		shows  []AlarmState
		want   []alarmAnswer
	}{
		{"quiet", false, 1, []AlarmState{q, q, q}, []alarmAnswer{alarmsQuiet, alarmsQuiet, alarmsQuiet}},
		{"it holds, and halts after 15 minutes", false, 1, []AlarmState{q, a, a, a, a}, []alarmAnswer{alarmsQuiet, alarmsHold, alarmsHold, alarmsHold, alarmsHalt}},
		{"it ends in time", false, 1, []AlarmState{q, a, a, q, a}, []alarmAnswer{alarmsQuiet, alarmsHold, alarmsHold, alarmsQuiet, alarmsHold}},
		{"it was there before", false, 1, []AlarmState{a, a, a, a, a}, make([]alarmAnswer, 5)},
		{"it was there before, ended, and comes again", false, 1, []AlarmState{a, q, a}, []alarmAnswer{alarmsQuiet, alarmsQuiet, alarmsHold}},
		{"it was there before, and counts all the same", true, 1, []AlarmState{a, a, a, a}, []alarmAnswer{alarmsHold, alarmsHold, alarmsHold, alarmsHalt}},
		{"it comes before the first wave, and was quiet before", false, 9, []AlarmState{q, a, a}, []alarmAnswer{alarmsQuiet, alarmsHold, alarmsHold}},
		{"it comes into the file later", false, 0, []AlarmState{a, a}, []alarmAnswer{alarmsHold, alarmsHold}},
		{"it cannot be told", false, 1, []AlarmState{u, u, u, u, u, q}, []alarmAnswer{alarmsUnclear, alarmsUnclear, alarmsUnclear, alarmsUnclear, alarmsUnclear, alarmsQuiet}},
		{"it cannot be told, and is active", false, 1, []AlarmState{q, u, a}, []alarmAnswer{alarmsQuiet, alarmsUnclear, alarmsHold}},
	} {
		var was []Alarm
		var got []alarmAnswer
		for i, state := range c.shows {
			at := noon.Add(time.Duration(i) * 5 * time.Minute)
			was, _ = seenAlarms([]fleet.Alarm{{Name: "x", Always: c.always}}, was, map[string]AlarmState{"x": state}, at, i >= c.begins)
			answer, _, _ := judgeAlarms(was, at)
			got = append(got, answer)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhoeverGoesOnInSpiteOfAnAlarmIsNotHeldByItAgain(t *testing.T) {
	was := []Alarm{{"x", AlarmActive, noon}, {"y", AlarmQuiet, noon}}
	was = ignoreAlarms(was, noon.Add(time.Minute))
	rules := []fleet.Alarm{{Name: "x"}, {Name: "y"}}
	now, news := seenAlarms(rules, was, map[string]AlarmState{"x": AlarmActive, "y": AlarmQuiet}, noon.Add(time.Hour), true)
	if answer, _, _ := judgeAlarms(now, noon.Add(time.Hour)); answer != alarmsQuiet || news {
		t.Errorf("got %d of %v, want that it does not count", answer, now)
	}
	now, _ = seenAlarms(rules, now, map[string]AlarmState{"x": AlarmActive, "y": AlarmActive}, noon.Add(2*time.Hour), true)
	if answer, names, halts := judgeAlarms(now, noon.Add(2*time.Hour)); answer != alarmsHold || !slices.Equal(names, []string{"y"}) || !halts.Equal(noon.Add(2*time.Hour+alarmHolds)) {
		t.Errorf("another: got %d %v until %s, want y to hold", answer, names, halts)
	}
}

// An alarm that was active for less than 15 minutes at a stretch never halts, and one
// that was active for longer, since it began, always does.
func TestAlarmsHaltAfterAWholeQuarterOfAnHourAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var was []Alarm
		var since time.Time
		for i := range 60 {
			at := noon.Add(time.Duration(i) * time.Minute)
			state := []AlarmState{AlarmQuiet, AlarmActive, AlarmActive, AlarmActive, AlarmActive, AlarmActive, AlarmActive, AlarmActive}[r.IntN(8)]
			if i == 0 {
				state = AlarmQuiet
			}
			if state != AlarmActive {
				since = time.Time{}
			} else if since.IsZero() {
				since = at
			}
			was, _ = seenAlarms([]fleet.Alarm{{Name: "x"}}, was, map[string]AlarmState{"x": state}, at, true)
			answer, _, _ := judgeAlarms(was, at)
			if halts := !since.IsZero() && at.Sub(since) >= alarmHolds; (answer == alarmsHalt) != halts || (answer == alarmsQuiet) != since.IsZero() {
				t.Fatalf("active since %s, at %s: got %d", since, at, answer)
			}
		}
	}
}
