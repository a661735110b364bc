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
		x := &Desktop{ID: "ecd-1", Doubted: c.doubted, WaitCode: events.CodeSessionWait, WaitSince: MomentOf(noon.Add(-c.waited))}
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
	tell := func(users ...[]string) []Act {
		total := newTotal(v)
		for i, u := range users {
			x := &Desktop{ID: fmt.Sprintf("ecd-%d", i)}
			total.act(x.ID, total.notice(x, &notification{candidate: candidate{Desktop: x, now: &desktop.Desktop{Users: u}, strategy: &strategy}, n: firstNotice, due: noon.Add(time.Hour)}))
		}
		return total.out.Acts
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
	if got := tell(slices.Repeat([][]string{{"ann"}}, acts[Tell].share+1)...); len(got) != 2 || len(got[0].Desktops) != acts[Tell].share {
		t.Errorf("got %d calls, the first for %d, want two, and %d", len(got), len(got[0].Desktops), acts[Tell].share)
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
				s.Desktops[id] = &Desktop{ID: id, Wave: wave, Phase: phase, DoneAt: MomentOf(noon), Last: Result{Status: status}}
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
		"begun": {Desktop{Phase: Begun, BegunAt: MomentOf(noon), Call: "c"}, 1}, "accepted": {Desktop{Phase: Accepted, AcceptedAt: MomentOf(noon)}, 1},
		"final": {Desktop{Phase: Final, DoneAt: MomentOf(noon)}, 0}, "final, and to be restored": {Desktop{Phase: Final, DoneAt: MomentOf(noon), Held: true}, 0},
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

// A desktop whose tags cannot be read is not taken for one that is not there.
func TestADesktopWhoseTagsCannotBeReadWaits(t *testing.T) {
	office := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Requests: true, Strategy: fleet.Default()}
	office.Strategy.Holds = fleet.Holds{Tag: "hold", AtMost: time.Hour}
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
	v.r = Rules{Regions: []string{"cn-hangzhou"}, Declared: true, Fleets: fleet.Fleets{office}, Journal: true}
	v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"})
	v.f.Tags["ecd-1"] = Fact[map[string]string]{ReadAt: noon, Err: &Unread{Code: events.CodeFactsUnavailable, Message: "no answer"}}
	x := &Desktop{ID: "ecd-1"}
	if _, _, s, ok := v.question(x); ok || s.outcome == nil || s.outcome.Code != events.CodeFactsUnavailable || s.outcome.Status != events.StatusDeferred {
		t.Errorf("got %+v, %t, want that it waits", s.outcome, ok)
	}
}

func viewOf(op *Operation) *view {
	s := NewState()
	s.Operation = op
	return &view{s: s, f: NewFacts(), now: clock{noon}}
}

// A fleet that chooses by image is not left by a desktop of which ECD does not say which
// image it is on.
func TestADesktopWhoseImageIsNotKnownHasNotLeftItsFleet(t *testing.T) {
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
	v.r.Fleets = fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Select: desktop.Selector{ImageIDs: []string{"m-old"}}, Strategy: fleet.Default()}}
	for image, want := range map[string]bool{"m-old": false, "": false, "m-x": true} {
		v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: image})
		if s, left := v.departed(&Desktop{ID: "ecd-1"}); left != want {
			t.Errorf("on %q: it has left the fleet: %v, want %v (%+v)", image, left, want, s.outcome)
		}
	}
}

// Without a journal and with ticks that anybody may have written, nothing is done to a
// desktop that has to be undone.
func TestWhatHasToBeUndoneNeedsToBeRemembered(t *testing.T) {
	for _, c := range []struct{ journal, signed, maintenance, stop, want bool }{
		{false, false, false, false, false}, {false, false, true, false, true}, {false, false, false, true, true}, {false, false, true, true, true},
		{true, false, true, true, false}, {false, true, true, true, false},
	} {
		office := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Requests: true, Strategy: fleet.Default()}
		office.Strategy.Maintenance, office.Strategy.StopFirst = c.maintenance, c.stop
		office.Select.IDs = []string{"ecd-1"}
		v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
		v.r = Rules{Declared: true, Fleets: fleet.Fleets{office}, Journal: c.journal, SignedTicks: c.signed}
		q := guard.Question{Desktop: &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: "m-old"}}
		if s := v.fleetRules(&Desktop{ID: "ecd-1"}, &q, noon); s == nil || q.Rules.Forgetful != c.want || q.Rules.Outside {
			t.Errorf("%+v: got %t, of the fleet %t", c, q.Rules.Forgetful, s != nil)
		}
	}
}

// A desktop that has arrived with the status that it is to have may have another one
// afterwards: somebody uses it.
func TestTheStatusIsLookedAtWhenADesktopArrives(t *testing.T) {
	office := fleet.Fleet{Name: "office", Strategy: fleet.Default()}
	office.Strategy.Check = fleet.Check{Stable: 10 * time.Minute}
	for _, c := range []struct {
		status  string
		arrived time.Time
		want    string
	}{
		{desktop.Stopped, zero, ""}, {desktop.Running, zero, events.CodeCheckFailed}, {desktop.Running, noon.Add(-time.Minute), ""},
		{desktop.Running, noon.Add(-10 * time.Minute), events.CodeCompleted}, {desktop.Stopped, noon.Add(-10 * time.Minute), events.CodeCompleted},
	} {
		v := viewOf(&Operation{ID: "r1/office", Fleet: "office", Spec: desktop.Spec{ImageID: "m-new", AfterStatus: desktop.Stopped}})
		v.r = Rules{Fleets: fleet.Fleets{office}, RebuildTimeout: time.Hour}
		x := &Desktop{ID: "ecd-1", Phase: Accepted, AcceptedAt: MomentOf(noon.Add(-2 * time.Hour)), ArrivedAt: MomentOf(c.arrived)}
		got := ""
		s := v.prove(x, Read(noon, &desktop.Desktop{ID: "ecd-1", Status: c.status, ImageID: "m-new"}))
		if s.outcome != nil {
			got = s.outcome.Code
		}
		if got != c.want {
			t.Errorf("%s, arrived %s: got %q, want %q", c.status, c.arrived, got, c.want)
		}
	}
}

// A request gives a desktop up that waits for a week, a rollout does not: its fleet says
// how long it may take.
func TestHowLongADesktopWaits(t *testing.T) {
	request := &Operation{ID: "r1", Desktops: []string{"ecd-1"}}
	rollout := &Operation{ID: "r1/office", Fleet: "office"}
	for _, c := range []struct {
		w     *Operation
		code  string
		first time.Duration // ago
		since time.Duration // ago
		want  string
	}{
		{request, events.CodeSessionWait, 7*24*time.Hour - 1, time.Hour, "goes on waiting"}, {request, events.CodeSessionWait, 7 * 24 * time.Hour, time.Hour, events.CodeSessionWait + " refused"},
		{rollout, events.CodeSessionWait, 8 * 24 * time.Hour, time.Hour, "goes on waiting"},
		{rollout, events.CodeImageCreating, time.Hour, 2*time.Hour - 1, "goes on waiting"}, {rollout, events.CodeImageCreating, time.Hour, 2 * time.Hour, events.CodeImageNotAvailable + " refused"},
		{rollout, events.CodeStatusWait, time.Hour, time.Hour - 1, "goes on waiting"}, {rollout, events.CodeStatusWait, time.Hour, time.Hour, events.CodeDesktopNotReady + " refused"},
	} {
		v := viewOf(c.w)
		x := &Desktop{ID: "ecd-1", WaitFirst: MomentOf(noon.Add(-c.first)), WaitCode: c.code, WaitSince: MomentOf(noon.Add(-c.since))}
		s := v.wait(candidate{Desktop: x, fact: Fact[*desktop.Desktop]{ReadAt: noon}}, guard.Verdict{Code: c.code, Message: "because"})
		got := "goes on waiting"
		if s.outcome != nil {
			got = s.outcome.Code + " " + string(s.outcome.Status)
		}
		if got != c.want {
			t.Errorf("%s of %s, for %s, first %s ago: got %s, want %s", c.code, c.w.ID, c.since, c.first, got, c.want)
		}
	}
}

// What a tick that anybody may have written tells of a desktop: whether its rebuild has
// begun is asked of ECD, wherever it may have.
func TestWhichDoubtedDesktopsMayHaveBegun(t *testing.T) {
	future := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		d    Desktop
		want bool
	}{
		"pending": {Desktop{}, false}, "begun": {Desktop{Phase: Begun, Attempt: 1}, true}, "begun, and denied": {Desktop{Phase: Begun, Attempt: 1, Denied: 1}, true},
		"accepted": {Desktop{Phase: Accepted}, true}, "touched": {Desktop{Touched: true, Denied: 1, Attempt: 1}, true}, "of unknown delivery": {Desktop{Doubtful: true, Denied: 1, Attempt: 1}, true},
		"tried": {Desktop{Attempt: 1}, true}, "tried, and denied": {Desktop{Attempt: 1, Denied: 1}, false},
	} {
		c.d.ID, c.d.WaitSince = "ecd-1", MomentOf(future)
		c.d.Waits = []Wait{{Code: events.CodeSessionWait, Since: future}}
		given := c.d.Waits
		if c.d.doubt(noon); (c.d.Phase == Begun) != c.want || !c.d.Doubted || c.want && c.d.Attempt < 1 {
			t.Errorf("%s: got %+v", name, c.d)
		}
		if c.d.WaitSince.After(noon) || c.d.Waits[0].Since.After(noon) || !given[0].Since.Equal(future) {
			t.Errorf("%s: it waits since %s and %+v", name, c.d.WaitSince, c.d.Waits)
		}
	}
}

// Only desktops that were rebuilt and are through count as such.
func TestWhichDesktopsOfAWaveWereRebuilt(t *testing.T) {
	s := NewState()
	for id, x := range map[string]Desktop{
		"completed": {Phase: Final, Last: Result{Status: events.StatusCompleted}, AcceptedAt: MomentOf(noon)}, "already": {Phase: Final, Last: Result{Status: events.StatusCompleted}},
		"failed": {Phase: Final, Last: Result{Status: events.StatusFailed}, AcceptedAt: MomentOf(noon)}, "under-way": {Phase: Accepted, Last: Result{Status: events.StatusAccepted}, AcceptedAt: MomentOf(noon)},
		"again": {Phase: Begun, Last: Result{Status: events.StatusCompleted}, AcceptedAt: MomentOf(noon)}, "other": {Phase: Final, Last: Result{Status: events.StatusCompleted}, AcceptedAt: MomentOf(noon)},
	} {
		s.Desktops[id] = &x
	}
	if got := s.rebuilt(&Wave{Desktops: []string{"completed", "already", "failed", "under-way", "again", "unknown"}}); len(got) != 1 || !got["completed"].Equal(noon) {
		t.Errorf("got %v", got)
	}
}

// Which steps of a desktop count when several are joined.
func TestStepsAreJoined(t *testing.T) {
	a := step{unread: &Unread{}, unrestored: true, givenUp: true, takesPlace: true, goBack: true, unfinished: true, begin: true, acts: []Act{{What: Save, N: 2}}}
	for name, got := range map[string]step{"first": a.with(step{}), "second": step{}.with(a), "both": a.with(a)} {
		if got.unread != a.unread || !got.unrestored || !got.givenUp || !got.takesPlace || !got.goBack || !got.unfinished || !got.begin || len(got.acts) == 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if (step{}).inPlace() || !(step{acts: []Act{{What: Save}}}).inPlace() || !(step{takesPlace: true}).inPlace() || !(step{acts: []Act{{What: Stop}}}).inPlace() || (step{acts: []Act{{What: Start}}}).inPlace() {
		t.Error("which steps take a place")
	}
}

// What is not asked for is no reason to wait: an image that ECD does not name, and the
// snapshots of a desktop that may not be rebuilt anyway.
func TestWhatIsNotAskedForIsNotWaitedFor(t *testing.T) {
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}})
	x := &Desktop{ID: "ecd-1"}
	if image, s, ok := v.image(x, ""); image != nil || len(s.needs) > 0 || !ok {
		t.Errorf("no image: got %+v %+v %t", image, s, ok)
	}
	q := guard.Question{Desktop: &desktop.Desktop{ID: "ecd-1"}, Rules: guard.Rules{Keep: guard.KeepAll}, Image: &desktop.Image{}}
	if list, s, ok := v.snapshots(x, q); list != nil || len(s.needs) > 0 || !ok {
		t.Errorf("what is refused: got %+v %+v %t", list, s, ok)
	}
}

// A fleet's log says once of a message that its release was refused, of a hundred between
// two entries, and why.
func TestAFleetsLogSaysWhichReleasesWereRefused(t *testing.T) {
	why := &events.Reason{Code: events.CodeDowngrade}
	refused := func(message string) Record {
		return Record{Kind: KindRefused, Message: message, Event: "e" + message, Reason: why}
	}
	entry := Entry{Operation: Operation{ID: "v2/office"}, At: noon, Message: "mns:2", Event: "emns:2"}
	var many []Record
	for i := range maxRefused {
		many = append(many, refused(fmt.Sprintf("mns:%d", 100+i)))
	}
	for name, c := range map[string]struct {
		records []Record
		noted   bool
		before  bool
	}{
		"nothing yet":                    {nil, true, false},
		"another message":                {[]Record{refused("mns:1")}, true, false},
		"the message":                    {[]Record{refused("mns:2"), refused("mns:1")}, false, true},
		"its event, in another message":  {[]Record{{Kind: KindRefused, Message: "mns:1", Event: "emns:2", Reason: why}}, false, true},
		"as many as it keeps":            {many, false, false},
		"one less":                       {many[1:], true, false},
		"many, and an entry behind them": {append(many[:maxRefused:maxRefused], Record{Kind: KindOpened}), true, false},
	} {
		got := entry.NotEntered(c.records, why)
		if noted := len(got) == 1 && got[0].Message == "mns:2" && got[0].Event == "emns:2" && got[0].Name == "v2/office" && got[0].Reason == why; noted != c.noted || len(got) > 1 {
			t.Errorf("%s: got %+v", name, got)
		}
		if told := RefusedBefore(c.records, "mns:2", "emns:2"); (told == why) != c.before {
			t.Errorf("%s: told before %v", name, told)
		}
	}
}
