package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/guard"
)

// How long a desktop of which only a tick tells has waited is not believed: it would be
// rebuilt while somebody works.
func TestADoubtedDesktopHasNotWaitedLongEnough(t *testing.T) {
	s := fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Force}
	for _, c := range []struct {
		doubted bool
		waited  time.Duration
		want    guard.Sessions
	}{
		{false, time.Hour, guard.ForceInUse}, {false, time.Hour - 1, guard.WaitInUse},
		{true, time.Hour, guard.WaitInUse}, {true, 1000 * time.Hour, guard.WaitInUse},
	} {
		x := &Desktop{ID: "ecd-1", Doubted: c.doubted, WaitCode: events.CodeSessionWait, WaitSince: noon.Add(-c.waited)}
		if got := (&view{}).sessions(x, s, noon); got != c.want {
			t.Errorf("doubted %t, waited %s: got %v, want %v", c.doubted, c.waited, got, c.want)
		}
	}
}

// One call tells as many desktops as fit the same text. It names a user only if it is
// the only one of all of them: a text for ann alone is not shown to bob.
func TestOneCallTellsManyDesktopsAndNamesAUserOnlyIfAllAreHis(t *testing.T) {
	v := &view{s: NewState(), now: clock{noon}}
	v.s.Operation = &Operation{ID: "r1", Desktops: []string{"a"}}
	strategy := fleet.Default()
	strategy.Notice.Text = "soon"
	tell := func(users ...[]string) []Notification {
		total := newTotal(v)
		for i, u := range users {
			x := &Desktop{ID: fmt.Sprintf("ecd-%d", i)}
			total.notify(x, &notification{candidate: candidate{Desktop: x, now: &desktop.Desktop{Users: u}, strategy: &strategy}, due: noon.Add(time.Hour)})
		}
		return total.out.Tell
	}
	for _, c := range []struct {
		users [][]string
		want  string
	}{
		{[][]string{{"ann"}}, "ann"}, {[][]string{{"ann"}, {"ann"}}, "ann"}, {[][]string{{"ann"}, {"bob"}}, ""},
		{[][]string{{"ann"}, {"bob"}, {"ann"}}, ""}, {[][]string{{}, {"ann"}}, ""}, {[][]string{{"ann", "bob"}}, ""},
	} {
		if got := tell(c.users...); len(got) != 1 || got[0].User != c.want || len(got[0].Desktops) != len(c.users) {
			t.Errorf("%v: got %+v, want one call for %q", c.users, got, c.want)
		}
	}
	if got := tell(slices.Repeat([][]string{{"ann"}}, maxTold+1)...); len(got) != 2 || len(got[0].Desktops) != maxTold {
		t.Errorf("got %d calls, the first for %d, want two, and %d", len(got), len(got[0].Desktops), maxTold)
	}
}

// A rollout halts by what failed in the wave, and by what failed in all of them.
func TestHowManyMayFail(t *testing.T) {
	f := &fleet.Fleet{}
	f.Strategy.MaxFailures = fleet.Amount{Count: 3}
	f.Strategy.MaxFailuresPerWave = fleet.Amount{Count: 2}
	for _, c := range []struct {
		earlier, now, ending, other int // failed: in the first wave, in the second, in this decision, of which not by failing
		halts                       bool
	}{
		{0, 0, 0, 0, false}, {0, 2, 0, 0, false}, {0, 3, 0, 0, true}, {0, 2, 1, 0, true}, {0, 1, 1, 4, false},
		{3, 0, 0, 0, false}, {4, 0, 0, 0, true}, {2, 2, 0, 0, true}, {3, 0, 1, 0, true}, {1, 2, 0, 9, false},
	} {
		s := NewState()
		s.Operation = &Operation{ID: "r1/office"}
		s.Size = 100
		s.Waves = []Wave{{N: 1}, {N: 2, Desktops: make([]string, 50)}}
		add := func(n, wave int, phase Phase, status events.Status) (ids []string) {
			for range n {
				id := fmt.Sprint("ecd-", len(s.Desktops))
				s.Desktops[id] = &Desktop{ID: id, Wave: wave, Phase: phase, DoneAt: noon, Last: Result{Status: status}}
				ids = append(ids, id)
			}
			return ids
		}
		add(c.earlier, 1, Final, events.StatusFailed)
		add(c.now, 2, Final, events.StatusFailed)
		add(c.other, 2, Final, events.StatusRefused)
		add(c.other, 2, Pending, events.StatusFailed) // failed once, and is tried again
		total := newTotal(&view{s: s, now: clock{noon}})
		total.outcomes = []Group{
			{Status: events.StatusFailed, Desktops: add(c.ending, 2, Accepted, "")},
			{Status: events.StatusCompleted, Desktops: add(c.other, 2, Accepted, "")},
			{Status: events.StatusAccepted, Desktops: add(c.other, 2, Begun, "")},
			{Status: events.StatusDeferred, Desktops: add(c.other, 2, Pending, "")},
		}
		if step, halts := total.tooMany(f); halts != c.halts || (len(step.records) > 0) != halts {
			t.Errorf("%+v: got %+v, %t", c, step.records, halts)
		}
	}
}

// Whatever is under way counts among those that are rebuilt at once.
func TestWhatIsUnderWayCounts(t *testing.T) {
	for name, c := range map[string]struct {
		x    Desktop
		want int
	}{
		"pending": {Desktop{}, 0}, "pending, and stopped": {Desktop{Stopped: true}, 1}, "pending, and held": {Desktop{Held: true}, 1},
		"begun": {Desktop{Phase: Begun, BegunAt: noon, Call: "c"}, 1}, "accepted": {Desktop{Phase: Accepted, AcceptedAt: noon}, 1},
		"final": {Desktop{Phase: Final, DoneAt: noon}, 0}, "final, and to be restored": {Desktop{Phase: Final, DoneAt: noon, Held: true}, 0},
	} {
		s := NewState()
		s.Operation = &Operation{ID: "r1/office", Fleet: "office"}
		c.x.ID = "ecd-1"
		s.Order, s.Desktops = []string{"ecd-1"}, map[string]*Desktop{"ecd-1": &c.x}
		v := &view{s: s, f: NewFacts(), now: clock{noon}}
		v.f.Busy = map[string]string{"ecd-9": "r0/office"}
		if got := v.underWay(newTotal(v)); got != c.want+1 {
			t.Errorf("%s: got %d, want %d, and another rollout's", name, got, c.want)
		}
	}
}

// A rollout is not over before a desktop is restored that ends held or stopped.
func TestADesktopThatEndsIsStillToBeRestored(t *testing.T) {
	for _, c := range []struct {
		x       Desktop
		status  events.Status
		started bool
		want    int
	}{
		{Desktop{}, events.StatusRefused, false, 0}, {Desktop{Held: true}, events.StatusRefused, false, 1}, {Desktop{Stopped: true}, events.StatusFailed, false, 1},
		{Desktop{Stopped: true}, events.StatusCompleted, true, 0}, {Desktop{Held: true, Stopped: true}, events.StatusCompleted, true, 1},
		{Desktop{Held: true}, events.StatusDeferred, false, 0}, {Desktop{Held: true}, events.StatusAccepted, false, 0},
	} {
		total := newTotal(&view{s: NewState(), now: clock{noon}})
		s := step{outcome: &outcome{Result: Result{Status: c.status}}}
		if c.started {
			s.marks = marks(KindStarted, noon).marks
		}
		if total.outcome(&c.x, s); total.unrestored != c.want || (c.want > 0) != total.out.Next.Equal(noon) {
			t.Errorf("%+v %s: %d to be restored, look again at %s; want %d", c.x, c.status, total.unrestored, total.out.Next, c.want)
		}
	}
}

// Groups of outcomes are written in portions that ticks and appends can carry.
func TestInWhatPortionsOutcomesAreWritten(t *testing.T) {
	for _, c := range []struct{ groups, each, want int }{
		{0, 1, 0}, {1, 1, 1}, {maxGroups, 1, 1}, {maxGroups + 1, 1, 2}, {2, maxIDs / 2, 1}, {3, maxIDs / 2, 2}, {2, maxIDs/2 + 1, 2}, {4, maxIDs / 2, 2},
	} {
		groups := make([]Group, c.groups)
		for i := range groups {
			groups[i] = Group{N: i, Desktops: make([]string, c.each)}
		}
		got := portions(groups)
		n := 0
		for _, p := range got {
			for _, g := range p {
				if g.N != n {
					t.Errorf("%+v: group %d comes in place of %d", c, g.N, n)
				}
				n++
			}
		}
		if len(got) != c.want || n != c.groups {
			t.Errorf("%+v: %d groups in %d portions", c, n, len(got))
		}
	}
}
