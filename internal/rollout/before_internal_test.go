package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// asking is the fleet's command before a rebuild that the tests below ask with.
func asking() *fleet.Strategy {
	s := fleet.Default()
	s.Before = fleet.Before{Command: "may-it", Timeout: time.Minute, Again: 30 * time.Minute, Deadline: 2 * time.Hour, After: fleet.Skip, Deferrals: 2}
	return &s
}

// Only who says not now, often enough, is told that it is not heeded any more. Whoever
// has not answered yet is waited for, and who fails is refused.
func TestWhatAnAnswerMeans(t *testing.T) {
	notNow := desktop.Invocation{Done: true, Status: "Failed", ExitCode: fleet.NotNow}
	fails := desktop.Invocation{Done: true, Status: "Failed", ExitCode: 3}
	works := desktop.Invocation{Done: true, Status: "Success"}
	for _, c := range []struct {
		name  string
		got   desktop.Invocation
		later int
		after time.Duration
		want  string
	}{
		{"yes", works, 0, time.Minute, "cleared"}, {"yes, at last", works, 2, time.Minute, "cleared"},
		{"not now", notNow, 0, time.Minute, events.CodeNotNow}, {"not now again", notNow, 1, time.Minute, events.CodeNotNow}, {"not now once more", notNow, 2, time.Minute, "told"},
		{"it fails", fails, 0, time.Minute, events.CodeBeforeFailed}, {"it fails after two deferrals", fails, 2, time.Minute, events.CodeBeforeFailed},
		{"no answer yet", desktop.Invocation{}, 0, time.Minute, "waits"}, {"no answer yet after two deferrals", desktop.Invocation{}, 2, time.Minute, "waits"},
		{"no answer at all", desktop.Invocation{}, 2, 6 * time.Minute, events.CodeBeforeFailed}, {"nearly no answer", desktop.Invocation{}, 2, 6*time.Minute - 1, "waits"},
	} {
		v := &view{s: NewState(), f: NewFacts(), now: clock{noon.Add(c.after)}}
		v.s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}}
		v.f.Checks["t-1"] = Read(noon.Add(c.after), map[string]desktop.Invocation{"ecd-1": c.got})
		s, waits := v.answered(candidate{Desktop: &Desktop{ID: "ecd-1"}, now: &desktop.Desktop{Status: desktop.Running}, strategy: asking()},
			Asking{Call: Call{CallID: "c", At: noon, End: noon, Got: "t-1"}, Later: c.later})
		got := "waits"
		switch {
		case s.outcome != nil:
			got = s.outcome.Code
		case s.notify != nil:
			got = "told"
		case !waits:
			got = "cleared"
		}
		if got != c.want || s.marked(KindCleared) != (c.want == "cleared") || s.marked(KindNotNow) != (c.want == events.CodeNotNow) {
			t.Errorf("%s: got %s %+v, want %s", c.name, got, s.marks, c.want)
		}
	}
}

// Whose users cannot be told that not now is not heeded is rebuilt only where the fleet
// says so, after as long as it says, and never within the time that the notice named.
func TestWhoCannotBeOverruled(t *testing.T) {
	waits := asking()
	waits.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Skip}
	forces := asking()
	forces.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Force}
	for _, c := range []struct {
		name   string
		s      *fleet.Strategy
		unable time.Duration // ago
		last   time.Duration // ago
		want   string
	}{
		{"at first", forces, 0, 0, events.CodeNoticeNotGiven}, {"after five minutes", forces, 5 * time.Minute, 5 * time.Minute, events.CodeNoticeNotGiven},
		{"after ten minutes", forces, 10 * time.Minute, 10 * time.Minute, "told"},
		{"just before an hour", forces, time.Hour - 1, 6 * time.Minute, events.CodeNoticeNotGiven},
		{"after an hour, and one has just been told", forces, time.Hour, 5*time.Minute - 1, "waits"},
		{"after an hour", forces, time.Hour, 5 * time.Minute, "goes"},
		{"after an hour, skipped", waits, time.Hour, 5 * time.Minute, events.CodeNoticeNotGiven + " skipped"},
		{"after an hour, skipped at once", waits, time.Hour, time.Minute, events.CodeNoticeNotGiven + " skipped"},
		{"before, not skipped", waits, time.Hour - 1, 5 * time.Minute, events.CodeNoticeNotGiven},
		{"before, told again", waits, time.Hour - 1, 10 * time.Minute, "told"},
	} {
		v := &view{s: NewState(), f: NewFacts(), now: clock{noon}}
		v.s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}}
		x := &Desktop{ID: "ecd-1", Ask: &Asking{Last: Call{CallID: "c", At: noon.Add(-c.last)}, LastUnable: noon.Add(-c.unable)}}
		s, done := v.cannotOverrule(candidate{Desktop: x, now: &desktop.Desktop{Status: desktop.Running}, strategy: c.s, fact: Fact[*desktop.Desktop]{ReadAt: noon}})
		got := "waits"
		switch {
		case !done:
			got = "goes"
		case s.outcome != nil && s.outcome.Status == events.StatusSkipped:
			got = s.outcome.Code + " skipped"
		case s.outcome != nil:
			got = s.outcome.Code
		case s.notify != nil:
			got = "told"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A tag that comes after a desktop was asked holds it back like one that came before.
func TestATagHoldsADesktopBackThatWasAsked(t *testing.T) {
	s := fleet.Default()
	s.Holds = fleet.Holds{Tag: "hold", AtMost: time.Hour}
	for _, c := range []struct {
		name string
		ask  *Asking
		tag  string
		held bool
	}{
		{"not asked", nil, "2026-11-23T12:30:00Z", true}, {"asked before", &Asking{Later: 1}, "2026-11-23T12:30:00Z", true},
		{"asked, and held for less than that", &Asking{Hold: noon.Add(-time.Hour + 1)}, "2026-11-23T12:30:00Z", true},
		{"held for as long as may be", &Asking{Hold: noon.Add(-time.Hour)}, "2026-11-23T12:30:00Z", false},
		{"until now", &Asking{Later: 1}, "2026-11-23T12:00:00Z", false}, {"no time", &Asking{Later: 1}, "always", true}, {"no tag", nil, "", false},
	} {
		v := &view{s: NewState(), f: NewFacts(), now: clock{noon}}
		v.s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}}
		now := &desktop.Desktop{Tags: map[string]string{}}
		if c.tag != "" {
			now.Tags["hold"] = c.tag
		}
		got, held := v.heldByTag(candidate{Desktop: &Desktop{ID: "ecd-1", Ask: c.ask}, now: now, strategy: &s, fact: Fact[*desktop.Desktop]{ReadAt: noon}})
		if held != c.held || got.marked(KindOnHold) != (held && (c.ask == nil || c.ask.Hold.IsZero())) {
			t.Errorf("%s: held %t, %+v, want %t", c.name, held, got.marks, c.held)
		}
	}
}

// Whoever said yes is asked again when that was too long ago; and who says nothing is
// given up at the deadline, not before.
func TestHowLongAnAnswerHolds(t *testing.T) {
	force := asking()
	force.Before.After = fleet.Force
	for _, c := range []struct {
		name string
		s    *fleet.Strategy
		ask  Asking
		want string
	}{
		{"said yes just now", asking(), Asking{Call: Call{CallID: "c"}, Cleared: noon.Add(-15*time.Minute + 1)}, "goes"},
		{"said yes a while ago", asking(), Asking{Call: Call{CallID: "c"}, Cleared: noon.Add(-15 * time.Minute)}, "asked"},
		{"not asked yet", asking(), Asking{}, "asked"}, {"not asked yet, and forced", force, Asking{}, "asked"},
		{"cannot be asked for nearly two hours", asking(), Asking{Since: noon.Add(-2*time.Hour + 1)}, "asked"},
		{"cannot be asked for two hours", asking(), Asking{Since: noon.Add(-2 * time.Hour)}, events.CodeNotAsked},
		{"says not now for two hours", asking(), Asking{Since: noon.Add(-2 * time.Hour), Later: 1}, events.CodeNotNow},
		{"says not now for two hours, and is forced", force, Asking{Since: noon.Add(-2 * time.Hour), Later: 1}, "told"},
	} {
		v := &view{s: NewState(), f: NewFacts(), now: clock{noon}}
		v.s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}}
		s, done := v.cleared(candidate{Desktop: &Desktop{ID: "ecd-1", Ask: &c.ask}, now: &desktop.Desktop{Status: desktop.Running}, strategy: c.s, fact: Fact[*desktop.Desktop]{ReadAt: noon}})
		got := "waits"
		switch {
		case !done:
			got = "goes"
		case s.outcome != nil:
			got = s.outcome.Code
		case slices.ContainsFunc(s.acts, func(a Act) bool { return a.What == Ask }):
			got = "asked"
		case s.notify != nil:
			got = "told"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Nothing is asked where ECD runs no commands: it is refused, and goes no further.
func TestALinuxDesktopIsNotAsked(t *testing.T) {
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}})
	s, done := v.cleared(candidate{Desktop: &Desktop{ID: "ecd-1"}, now: &desktop.Desktop{Status: desktop.Running, OS: desktop.Linux}, strategy: asking()})
	if !done || s.outcome == nil || s.outcome.Status != events.StatusRefused || s.outcome.Code != events.CodeBeforeFailed {
		t.Errorf("got %+v, %t", s.outcome, done)
	}
}
