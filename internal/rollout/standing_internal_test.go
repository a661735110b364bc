package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// officeView is of a rollout over one fleet, with these desktops in its first wave.
func officeView(desktops ...*Desktop) (*view, *fleet.Fleet) {
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
	v.r.Fleets = fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}}
	v.s.OpenedAt, v.s.Waves = noon, []Wave{{N: 1, BegunAt: noon}}
	for _, x := range desktops {
		v.s.Desktops[x.ID], v.s.Order = x, append(v.s.Order, x.ID)
		v.s.Waves[0].Desktops = append(v.s.Waves[0].Desktops, x.ID)
	}
	v.s.Size = len(desktops)
	return v, &v.r.Fleets[0]
}

func kindsOf(records []Record) (out []Kind) {
	for _, r := range records {
		out = append(out, r.Kind)
	}
	return out
}

// A rollout that stands still restores what it prepared, and only what is not begun.
func TestWhoeverIsPreparedIsRestoredWhileItStandsStill(t *testing.T) {
	for name, phase := range map[string]Phase{"pending": Pending, "begun": Begun, "accepted": Accepted, "final": Final} {
		s := &State{Order: []string{"ecd-1", "ecd-2"}, Desktops: map[string]*Desktop{"ecd-1": {ID: "ecd-1", Phase: phase, Held: true}, "ecd-2": {ID: "ecd-2", Phase: phase}}}
		if got := len(s.prepared()); (got == 1) != (phase == Pending) {
			t.Errorf("%s: %d are prepared", name, got)
		}
	}
	v, f := officeView(&Desktop{ID: "ecd-1", Held: true, Entered: true})
	f.After = []string{"pilot"}
	v.f.Rings["v1/pilot"] = Read(noon, RingBack)
	total := newTotal(v)
	if v.rollout(total); len(total.out.Acts) == 0 && len(total.out.Need.Desktops) == 0 {
		t.Errorf("another fleet went back, and nothing is restored: %+v", total.out)
	}
}

// A rollout that was aborted closes when all is restored.
func TestAnAbortedRolloutClosesWhenAllIsRestored(t *testing.T) {
	for name, c := range map[string]struct {
		unfinished, unrestored int
		closes                 bool
	}{"all is over": {0, 0, true}, "one is under way": {1, 0, false}, "one is in maintenance mode": {0, 1, false}} {
		v, _ := officeView(&Desktop{ID: "ecd-1", Phase: Final, Last: Result{Status: events.StatusCompleted}})
		total := newTotal(v)
		total.unfinished, total.unrestored = c.unfinished, c.unrestored
		if v.drop(total, events.StatusRefused, events.CodeAborted, "aborted"); slices.Contains(kindsOf(total.out.Records), KindClosed) != c.closes {
			t.Errorf("aborted, %s: got %+v", name, total.out.Records)
		}
		total = newTotal(v)
		total.unfinished, total.unrestored = c.unfinished, c.unrestored
		if v.end(total); slices.Contains(kindsOf(total.out.Records), KindClosed) != c.closes {
			t.Errorf("%s: got %+v", name, total.out.Records)
		}
	}
}

// A fleet without desktops is told to be empty, and then nothing more is looked at.
func TestARolloutOverNobodyCloses(t *testing.T) {
	v, _ := officeView()
	total := newTotal(v)
	total.join(look(noon.Add(time.Minute)))
	v.end(total)
	if r := total.out.Records; len(r) != 1 || r[0].Kind != KindClosed || r[0].Reason == nil || r[0].Reason.Code != events.CodeFleetEmpty {
		t.Errorf("got %+v", r)
	}
	if !total.out.Next.IsZero() {
		t.Errorf("it is closed, and looked at again at %s", total.out.Next)
	}
}

// An image that will never be there halts the rollout; one that is being created is
// waited for.
func TestWhichImageIsWaitedFor(t *testing.T) {
	for status, want := range map[string]Kind{desktop.ImageCreating: KindWaiting, "CreateFailed": KindHalted, "Deprecated": KindHalted, desktop.ImageAvailable: ""} {
		v, f := officeView()
		v.f.Images["m-new"] = Read(noon, &desktop.Image{ID: "m-new", Status: status})
		s, stops := v.imageMissing(f)
		got := Kind("")
		if len(s.records) > 0 {
			got = s.records[0].Kind
		}
		if got != want || stops != (want != "") {
			t.Errorf("%s: got %s, %t, want %s", status, got, stops, want)
		}
	}
}

// A canary that has shown nothing takes in others, as long as there are any; no other
// wave does.
func TestWhichWaveIsWidened(t *testing.T) {
	for _, c := range []struct {
		name    string
		wave    int
		code    string // of its only desktop
		members []string
		want    []Kind
	}{
		{"a canary of which nobody has it", 1, events.CodeDesktopNotReady, []string{"ecd-1", "ecd-2"}, []Kind{KindWave}},
		{"nobody else is left", 1, events.CodeDesktopNotReady, []string{"ecd-1"}, []Kind{KindWaveEnded}},
		{"it had the image already", 1, events.CodeAlreadyOnImage, []string{"ecd-1", "ecd-2"}, []Kind{KindWaveEnded}},
		{"a later wave", 2, events.CodeDesktopNotReady, []string{"ecd-1", "ecd-2"}, []Kind{KindWaveEnded}},
		{"the members are not read", 1, events.CodeDesktopNotReady, nil, nil},
	} {
		v, f := officeView(&Desktop{ID: "ecd-1", Phase: Final, Last: Result{Status: events.StatusSkipped, Code: c.code}})
		v.s.Size, v.s.Waves[0].N = 2, c.wave
		var members []desktop.Desktop
		for _, id := range c.members {
			members = append(members, desktop.Desktop{ID: id})
		}
		if members != nil {
			v.f.Members["office"] = Read(noon, members)
		}
		if s := v.endWave(newTotal(v), f, v.s.Wave()); !slices.Equal(kindsOf(s.records), c.want) || (len(s.needs) > 0) != (members == nil) {
			t.Errorf("%s: got %+v", c.name, s)
		}
		if v.s.Wave().Of = 2; members == nil {
			if s := v.fill(f, v.s.Wave()); len(s.records) > 0 || len(s.needs) == 0 {
				t.Errorf("a wave is filled without its members: %+v", s)
			}
		}
	}
}

// How many carry the canary's tags decides how large the canary is.
func TestHowManyAreOfTheCanary(t *testing.T) {
	v, f := officeView()
	f.Strategy.Canary.Tags = map[string]string{"ring": "0"}
	members := []desktop.Desktop{{ID: "ecd-1", Tags: map[string]string{"ring": "0"}}, {ID: "ecd-2"}, {ID: "ecd-3", Tags: map[string]string{"ring": "0"}}}
	if ids, tagged := v.turns(f, members); len(ids) != 3 || tagged != 2 {
		t.Errorf("got %v, %d, want two of the canary", ids, tagged)
	}
}

// While the window is closed, users are reminded of the time that they were told, and
// of nothing else is ECD asked.
func TestWhoIsRemindedWhileTheWindowIsClosed(t *testing.T) {
	due := noon.Add(time.Hour)
	told := func() *Notice {
		return &Notice{Call: Call{At: noon.Add(-3 * time.Hour)}, Shown: noon.Add(-3 * time.Hour), Due: due}
	}
	v, f := officeView(&Desktop{ID: "ecd-1", Notice: told()}, &Desktop{ID: "ecd-2", Phase: Final, Notice: told()}, &Desktop{ID: "ecd-3", Notice: &Notice{Call: Call{At: noon.Add(-3 * time.Hour)}, Due: due}})
	f.Strategy.Notice = fleet.Notice{Lead: time.Hour, Remind: []time.Duration{time.Hour}, Text: "soon"}
	f.Strategy.Windows = []fleet.Window{{From: 13 * 60, To: 15 * 60, Zone: time.UTC}}
	total := newTotal(v)
	if v.beginWithinWindow(total, f, 0); !slices.Equal(total.out.Need.Desktops, []string{"ecd-1"}) {
		t.Errorf("got %v, want ecd-1, whose users are to be reminded", total.out.Need.Desktops)
	}
}

// A rollout looks at itself again when its window closes.
func TestARolloutLooksAgainWhenItsWindowCloses(t *testing.T) {
	v, f := officeView()
	f.Strategy.Windows = []fleet.Window{{From: 11 * 60, To: 13 * 60, Zone: time.UTC}}
	f.Strategy.Expected = time.Minute
	total := newTotal(v)
	if v.beginWithinWindow(total, f, 0); !total.out.Next.Equal(noon.Add(time.Hour)) {
		t.Errorf("it looks again at %s", total.out.Next)
	}
}

// What is said of a closed window stays the same until another one is meant, and names
// the blackouts that lie between.
func TestWhatIsSaidOfAClosedWindow(t *testing.T) {
	until, text := noon.Add(4*time.Hour), "the maintenance window is closed, or would close before a rebuild is expected to end"
	for _, c := range []struct {
		name    string
		waiting *events.Reason
		from    time.Duration
		to      time.Duration
		want    string
	}{
		{"without", nil, 0, 0, text}, {"a blackout", nil, -1, 1, text + "; blackout: exams"}, {"a coming one", nil, 1, 2, text + "; blackout: exams"},
		{"one that is over", nil, -2, 0, text}, {"one that comes after", nil, 4, 5, text},
		{"said before", &events.Reason{Code: events.CodeWindowClosed, Until: &until, Message: "said before"}, -2, 0, "said before"},
		{"something else was said", &events.Reason{Code: events.CodeSoaking, Until: &until, Message: "soaks"}, -2, 0, text},
		{"of another time", &events.Reason{Code: events.CodeWindowClosed, Until: new(noon), Message: "said before"}, -2, 0, text},
		{"of no time", &events.Reason{Code: events.CodeWindowClosed, Message: "said before"}, -2, 0, text},
	} {
		v, f := officeView()
		v.s.Waiting = c.waiting
		if c.to != 0 || c.from != 0 {
			f.Strategy.Blackouts = []fleet.Blackout{{From: noon.Add(c.from * time.Hour), To: noon.Add(c.to * time.Hour), Reason: "exams"}}
		}
		if got := v.closed(f, until); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Why nothing begins is said if nothing of this rollout is under way, or what was said
// last, that it is frozen, is over.
func TestWhenItIsSaidWhatWaits(t *testing.T) {
	for _, c := range []struct {
		name        string
		own, others int
		frozen      bool
		wait        string // of the desktop that is not begun; "": all are
		want        string
	}{
		{"one waits", 0, 0, false, events.CodeSessionWait, events.CodeSessionWait},
		{"one of ours is under way", 1, 0, false, events.CodeSessionWait, ""},
		{"one of ours is, and the freeze is over", 1, 0, true, events.CodeSessionWait, events.CodeSessionWait},
		{"another rollout has the place", 0, 1, false, events.CodeSessionWait, events.CodeMaxUnavailable},
		{"another rollout has it, and nothing is left", 0, 1, false, "", ""},
		{"nothing waits", 0, 0, false, "", ""},
		{"for something new", 0, 0, false, "SomethingNew", "SomethingNew"},
	} {
		x := &Desktop{ID: "ecd-1", WaitCode: c.wait, WaitSince: MomentOf(noon)}
		if c.wait == "" {
			x.Phase = Final
		}
		v, f := officeView(x)
		f.Strategy.MaxUnavailable = fleet.Amount{Count: 1}
		for i := range c.others {
			v.f.Busy = map[string]string{fmt.Sprint("other-", i): "v0/office"}
		}
		if c.frozen {
			v.s.Waiting = &events.Reason{Code: events.CodeFrozen}
		}
		s, got, text := v.sayWhatWaits(newTotal(v), f, c.own+c.others), "", ""
		if len(s.records) > 0 {
			got, text = s.records[0].Reason.Code, s.records[0].Reason.Message
		}
		if got != c.want || strings.HasPrefix(text, ":") {
			t.Errorf("%s: got %q %q, want %q", c.name, got, text, c.want)
		}
	}
}

// The time of a rollout begins to count with its first wave if it has to wait for other
// fleets, and else when it is opened.
func TestSinceWhenARolloutTakesItsTime(t *testing.T) {
	for _, c := range []struct {
		after []string
		waves int
		want  time.Time
	}{{nil, 1, noon}, {nil, 0, noon}, {[]string{"pilot"}, 0, noon}, {[]string{"pilot"}, 1, noon.Add(time.Hour)}} {
		v, f := officeView()
		v.s.Waves[0].BegunAt = noon.Add(time.Hour)
		f.After, v.s.Waves = c.after, v.s.Waves[:c.waves]
		if got := v.since(f); !got.Equal(c.want) {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// What it waits for on other fleets is said again if something else was said meanwhile.
func TestWhatIsAwaitedOfOtherFleetsIsSaidOnceForEachReason(t *testing.T) {
	for name, c := range map[string]struct {
		waiting *events.Reason
		says    bool
	}{"said": {&events.Reason{Code: events.CodeRingAwaited}, false}, "nothing is said": {nil, true}, "something else is said": {&events.Reason{Code: events.CodeSoaking}, true}} {
		v, f := officeView()
		f.After, v.s.Rings, v.s.Waiting = []string{"pilot"}, []string{"pilot: halted"}, c.waiting
		v.f.Rings["v1/pilot"] = Read(noon, RingHalted)
		if s, waits := v.awaitsRings(f); !waits || (len(s.records) > 0) != c.says {
			t.Errorf("%s: got %t, %+v", name, waits, s)
		}
	}
}

// A notice that is out takes a place: whoever is told after it is told a later time.
func TestWhichTimeANoticeNames(t *testing.T) {
	out := func(id string, due time.Time) *Desktop {
		return &Desktop{ID: id, Notice: &Notice{Call: Call{CallID: "c"}, Due: due}}
	}
	for _, c := range []struct {
		desktops []*Desktop
		want     time.Duration
	}{
		{[]*Desktop{{ID: "ecd-1"}}, 0}, {[]*Desktop{out("ecd-1", noon.Add(time.Hour))}, 1},
		{[]*Desktop{out("ecd-1", noon.Add(time.Hour)), out("ecd-2", noon.Add(time.Hour))}, 2}, {[]*Desktop{out("ecd-1", noon.Add(-25*time.Hour))}, 0},
	} {
		v, f := officeView(c.desktops...)
		f.Strategy.MaxUnavailable, f.Strategy.Expected, f.Strategy.Notice.Lead = fleet.Amount{Count: 1}, 10*time.Minute, time.Hour
		if got, want := newTotal(v).named(&f.Strategy), noon.Add(62*time.Minute+c.want*10*time.Minute); !got.Equal(want) {
			t.Errorf("%d are out: got %s, want %s", c.want, got, want)
		}
	}
}

// A notice holds until the window closes in which its time lies, or for a day.
func TestHowLongANoticeHolds(t *testing.T) {
	for _, c := range []struct {
		name string
		due  time.Duration // ago
		want bool
	}{
		{"within its window", 30 * time.Minute, false}, {"yesterday's window", 24 * time.Hour, true},
		{"its time is in no window any more", 4 * time.Hour, false},
	} {
		v, f := officeView()
		f.Strategy.Windows = []fleet.Window{{From: 11 * 60, To: 13 * 60, Zone: time.UTC}}
		if got := v.expired(&Notice{Due: noon.Add(-c.due)}, &f.Strategy); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

// No command is sent to Linux, also if its users were told while Windows was on it.
func TestNothingIsShownOnLinux(t *testing.T) {
	for os, want := range map[string]bool{desktop.Windows: true, desktop.Linux: false} {
		v, f := officeView()
		now := &desktop.Desktop{ID: "ecd-1", OS: os}
		c := candidate{Desktop: &Desktop{ID: "ecd-1", Notice: &Notice{Call: Call{CallID: "c", At: noon.Add(-tellAgain)}, Unable: noon.Add(-tellAgain)}}, fact: Read(noon, now), now: now, strategy: &f.Strategy}
		if s, done := v.cannotTell(c, "it does not work"); !done || (s.notify != nil) != want {
			t.Errorf("%s: got %t, %+v", os, done, s)
		}
	}
}

// A fleet that wants a desktop to stay up for a while, or a check to pass, wants proof.
func TestWhoProvesNothing(t *testing.T) {
	for _, c := range []struct {
		stable  time.Duration
		command string
		want    bool
	}{{0, "", true}, {time.Minute, "", false}, {0, "whoami", false}} {
		v, f := officeView()
		f.Strategy.Check = fleet.Check{Stable: c.stable, Command: c.command}
		if got := v.provesNothing(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou"}); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

// Whoever consents to pass freezes passes them, through a door by which the fleet hears
// consents.
func TestWhoPassesFreezes(t *testing.T) {
	for _, c := range []struct {
		freezes bool
		consent []string
		want    bool
	}{{false, nil, true}, {true, nil, false}, {true, []string{events.ConsentReset}, false}, {true, []string{events.ConsentFreeze}, true}} {
		v, f := officeView()
		v.r.Freezes, v.s.Operation.Consents = c.freezes, c.consent
		if got := v.passes(f); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou"}, Consents: []string{events.ConsentFreeze}})
	v.r.Freezes, v.r.Fleets, v.r.Declared = true, fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}}, true
	v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou"})
	v.f.Freezes[FreezesKey] = Read(noon, Freezes{{ID: "f1", Until: noon.Add(time.Hour), Fleets: []string{"office"}}})
	if gates, _ := v.frozenGate(); len(gates) > 0 {
		t.Errorf("it passes freezes, and its plan says %v", gates)
	}
}

// Another freeze is said, also if it ends at the same time.
func TestAnotherFreezeIsSaid(t *testing.T) {
	until := noon.Add(time.Hour)
	f1 := Freeze{ID: "f1", Who: "ada", Why: "exams", Until: until, Fleets: []string{"office"}}
	for who, says := range map[string]bool{"ada": false, "bob": true} {
		v, f := officeView(&Desktop{ID: "ecd-1"})
		v.r.Freezes, v.s.Waiting = true, &events.Reason{Code: events.CodeFrozen, Message: f1.Message(), Until: &until}
		now := f1
		now.Who = who
		v.f.Freezes[FreezesKey] = Read(noon, Freezes{now})
		if s, frozen := v.rolloutFrozen(f); !frozen || (len(s.records) > 0) != says {
			t.Errorf("frozen by %s: got %t, %+v", who, frozen, s)
		}
	}
}

// Whose tags were read is not asked for them again, also if there are none.
func TestADesktopWithoutTagsIsAskedOnce(t *testing.T) {
	v, f := officeView()
	f.Select.Tags = map[string]string{"ring": ""}
	v.f.Tags["ecd-1"] = Read[map[string]string](noon, nil)
	now, _, ok := v.tagged(&Desktop{ID: "ecd-1"}, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou"})
	if !ok || now.Tags == nil {
		t.Fatalf("got %+v, %t", now, ok)
	}
	clear(v.f.Tags)
	if _, s, ok := v.tagged(&Desktop{ID: "ecd-1"}, now); !ok || len(s.needs) > 0 {
		t.Errorf("it is asked again: %+v", s)
	}
}

// An outcome's message is cut, so that its record stays within bounds.
func TestALongMessageIsCut(t *testing.T) {
	v, _ := officeView(&Desktop{ID: "ecd-1"})
	total := newTotal(v)
	total.add(v.s.Desktops["ecd-1"], v.settle(events.StatusRefused, events.CodeDesktopNotReady, "%s", strings.Repeat("x", 5000)))
	if got := len(total.outcomes[0].Message); got > maxMessage+len("…") {
		t.Errorf("it has %d bytes, at most %d are wanted", got, maxMessage)
	}
}

// When windows do not open any more, the plan counts from now.
func TestWhenAWindowOpensThatDoesNot(t *testing.T) {
	v, f := officeView()
	f.Strategy.Blackouts = []fleet.Blackout{{From: noon.AddDate(-1, 0, 0), To: noon.AddDate(20, 0, 0)}}
	if got := v.opens(f, noon); !got.Equal(noon) {
		t.Errorf("got %s", got)
	}
}

// What a plan costs, and the times that notices name, wait for no window where a
// rollback may begin at any time.
func TestARollbackThatMayBeginAtAnyTimeIsPlannedSo(t *testing.T) {
	v, f := officeView()
	f.Strategy.Blackouts = []fleet.Blackout{{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)}}
	for anyTime, want := range map[bool]time.Time{false: noon.Add(time.Hour), true: noon} {
		v.s.Operation.AnyTime = anyTime
		if got := v.opens(f, noon); !got.Equal(want) {
			t.Errorf("at any time %t: got %s, want %s", anyTime, got, want)
		}
	}
}

// Only a request that must have ended by now loses its consents.
func TestWhenConsentsExpire(t *testing.T) {
	for _, c := range []struct {
		opened, notBefore time.Duration // ago
		want              bool
	}{{waitLimit - 1, waitLimit - 1, true}, {waitLimit + 1, waitLimit + 1, false}, {waitLimit + 1, waitLimit - 1, true}, {0, 0, true}} {
		s := NewState()
		s.Operation, s.OpenedAt = &Operation{ID: "r1", NotBefore: noon.Add(-c.notBefore), Consents: []string{events.ConsentReset}}, noon.Add(-c.opened)
		if s.Expire(noon); (len(s.Operation.Consents) > 0) != c.want {
			t.Errorf("%+v: got %v", c, s.Operation.Consents)
		}
	}
}

// What is left to publish, and since when.
func TestWhatIsNotPublished(t *testing.T) {
	s := NewState()
	if _, any := s.Unsaid(); any || s.Open() || !s.Quiet() {
		t.Error("something is to be said of an empty journal, or it is open")
	}
	s.Operation = &Operation{ID: "v1/office", Fleet: "office"}
	s.Order, s.Desktops = []string{"ecd-1", "ecd-2", "ecd-3"}, map[string]*Desktop{"ecd-1": {ID: "ecd-1"}, "ecd-2": {ID: "ecd-2"}, "ecd-3": {ID: "ecd-3"}}
	if _, any := s.Unsaid(); any || !s.Quiet() || len(s.Fresh()) > 0 || !s.Open() {
		t.Error("nothing has happened, and something is to be said, or it is not open")
	}
	wants := func(what string, since time.Time, fresh ...string) {
		t.Helper()
		if got, any := s.Unsaid(); !any || !got.Equal(since) || s.Quiet() || !slices.Equal(s.Fresh(), fresh) {
			t.Errorf("%s: since %s, %t, quiet %t, of %v", what, got, any, s.Quiet(), s.Fresh())
		}
	}
	s.Desktops["ecd-2"].Unpublished = []Outcome{{At: noon.Add(2 * time.Hour)}, {At: noon.Add(5 * time.Hour)}}
	wants("an outcome", noon.Add(2*time.Hour), "ecd-2")
	s.Desktops["ecd-3"].Unpublished = []Outcome{{At: noon.Add(time.Hour)}}
	wants("an earlier one", noon.Add(time.Hour), "ecd-2", "ecd-3")
	s.UnpublishedEvents = []Event{{At: noon.Add(3 * time.Hour)}}
	wants("and an event", noon.Add(time.Hour), "ecd-2", "ecd-3")
	s.UnpublishedEvents[0].At = noon
	wants("and an earlier event", noon, "ecd-2", "ecd-3")
	s.Desktops["ecd-2"].Unpublished, s.Desktops["ecd-3"].Unpublished = nil, nil
	wants("an event alone", noon)
	if (Event{What: events.RolloutCompleted}).Finished() || !(Event{What: whatFinished}).Finished() {
		t.Error("an event of a rollout is taken for the summary of a request, or the other way round")
	}
}

func TestHowAWaveIsCalled(t *testing.T) {
	for w, want := range map[*Wave]string{{N: 1, Name: "canary"}: "wave 1 (canary)", {N: 2, Name: "wave 2"}: "wave 2", {N: 1}: "wave 1"} {
		if got := w.Title(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Once somebody approved it waits for nothing any more.
func TestWhoeverIsApprovedWaitsNoMore(t *testing.T) {
	for _, code := range []string{events.CodeUseAwaited, events.CodeAlarmActive} {
		v, _ := officeView()
		v.s.Waiting = &events.Reason{Code: code}
		if v.s.approve(v.s.Wave(), &Record{Who: "ada", At: noon}); v.s.Waiting != nil {
			t.Errorf("%s: it still waits", code)
		}
	}
}

// What a plan says of a desktop is its outcome in a dry run.
func TestAPlanIsTheOutcomeOfADryRun(t *testing.T) {
	plan := events.Plan{Waves: []events.PlanWave{{N: 1, Name: "canary", Desktops: []events.PlanDesktop{
		{ID: "ecd-1", Action: events.PlanRebuild, From: "m-old"}, {ID: "ecd-2", Action: events.PlanRebuild, From: "m-old", Message: "it loses its disk"}}},
		{N: 2, Name: "everybody", Desktops: []events.PlanDesktop{
			{ID: "ecd-3", Action: events.PlanSkip, Code: events.CodeAlreadyOnImage, Message: "it is on it"}, {ID: "ecd-4", Action: events.PlanRefuse, Code: events.CodeDesktopNotFound, Message: "it is not there"}}}}}
	op := Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	var got []string
	for _, o := range Outcomes(plan, op) {
		if !o.DryRun || o.RequestID != "v1/office" || o.ImageID != "m-new" || o.Fleet != "office" || o.RegionID != "cn-hangzhou" {
			t.Errorf("got %+v", o)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", o.DesktopID, o.Status, o.Code, o.Message))
	}
	if want := []string{
		"ecd-1 skipped DryRun would be rebuilt from m-old in wave 1 (canary); nothing was done",
		"ecd-2 skipped DryRun would be rebuilt from m-old in wave 1 (canary); nothing was done; it loses its disk",
		"ecd-3 skipped AlreadyOnImage it is on it", "ecd-4 refused DesktopNotFound it is not there",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A plan says nothing of notices and questions where there is no fleet.
func TestAPlanWithoutAFleetTellsOfNoNotice(t *testing.T) {
	now := &desktop.Desktop{ID: "ecd-1", OS: desktop.Windows}
	if got := (candidate{now: now}).before(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

// Of two times the earlier counts, and none at all does not.
func TestTheSoonerOfTwoTimes(t *testing.T) {
	a, b, none := time.Unix(1, 0), time.Unix(2, 0), time.Time{}
	if !Soonest(a, b).Equal(a) || !Soonest(b, a).Equal(a) || !Soonest(none, b).Equal(b) || !Soonest(a, none).Equal(a) || !Soonest(none, none).IsZero() {
		t.Error("which is the soonest")
	}
}
