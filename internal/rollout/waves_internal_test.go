package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A rollback is also for those that were in the fleet only for the image that they have
// had before.
func TestWhoBelongsToARollout(t *testing.T) {
	byImage := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-old", "m-mid"}}}
	other := fleet.Fleet{Name: "home", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-home"}}}
	release := Operation{ID: "v1/office", Fleet: "office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	own := release
	own.ImageID = "m-mid" // on which it is a member
	newer := fleet.Fleet{Name: "newer", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-next"}}}
	everybody := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}
	next := release
	next.ImageID = "m-next"
	back := release
	back.ID, back.Undoes, back.to = "v1/office/rollback", "v1/office", map[string]string{"ecd-1": "m-old", "ecd-2": "m-home"}
	nextBack := back
	nextBack.ImageID = "m-next"
	for _, c := range []struct {
		name      string
		w         Operation
		id, image string
		want      bool
		fleets    fleet.Fleets
	}{
		{"of the fleet", release, "ecd-1", "m-old", true, nil}, {"on the new image", release, "ecd-1", "m-new", false, nil}, {"of another fleet", release, "ecd-1", "m-home", false, nil},
		{"on the new image, which the fleet has", own, "ecd-1", "m-mid", true, nil},
		{"goes back", back, "ecd-1", "m-new", true, nil}, {"is back", back, "ecd-1", "m-old", true, nil}, {"is somewhere else by now", back, "ecd-1", "m-mid", true, nil},
		{"has left", back, "ecd-1", "m-home", false, nil}, {"on no fleet's image", back, "ecd-1", "m-x", false, nil},
		{"would go to another fleet", back, "ecd-2", "m-new", false, nil}, {"was not changed", back, "ecd-3", "m-new", false, nil},
		{"the new image is that of another fleet", next, "ecd-1", "m-next", false, fleet.Fleets{newer, everybody}},
		{"goes back from another fleet's image", nextBack, "ecd-1", "m-next", true, fleet.Fleets{newer, byImage}},
		{"goes back, and the fleet has the new image alone", back, "ecd-1", "m-new", true, fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Select: desktop.Selector{ImageIDs: []string{"m-new"}}}}},
	} {
		v := viewOf(&c.w)
		v.r.Fleets = fleet.Fleets{other, byImage}
		if c.fleets != nil {
			v.r.Fleets = c.fleets
		}
		if got := v.member(desktop.Desktop{ID: c.id, RegionID: "cn-hangzhou", ImageID: c.image}); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

// A desktop that has left its fleet, or is gone, is left alone: two looks have to show the same,
// a settling time apart, and none between anything else.
func TestWhoHasLeftARollout(t *testing.T) {
	office := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-old"}}}
	on := func(image string) *Fact[*desktop.Desktop] {
		return new(Read(noon, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: image}))
	}
	gone := new(Read[*desktop.Desktop](noon, nil))
	ago, less := MomentOf(noon.Add(-Settling)), MomentOf(noon.Add(-Settling+1))
	left := events.CodeLeftFleet
	for _, c := range []struct {
		name  string
		x     Desktop
		fact  *Fact[*desktop.Desktop]
		want  string
		marks []Kind
	}{
		{"not read", Desktop{OutsideAt: ago}, nil, "", nil},
		{"a member", Desktop{}, on("m-old"), "", nil},
		{"a member again", Desktop{OutsideAt: ago}, on("m-old"), "", []Kind{KindListed}},
		{"a member, and listed again", Desktop{MissingAt: ago}, on("m-old"), "", []Kind{KindListed}},
		{"a member again, and listed again", Desktop{MissingAt: ago, OutsideAt: ago}, on("m-old"), "", []Kind{KindListed}},
		{"a member that is ours, and listed again", Desktop{Held: true, MissingAt: ago}, on("m-old"), "", []Kind{KindListed}},
		{"another image, for the first time", Desktop{}, on("m-x"), "", []Kind{KindOutside}},
		{"another image, for less than a while", Desktop{OutsideAt: less}, on("m-x"), "", nil},
		{"another image, for a while", Desktop{OutsideAt: ago}, on("m-x"), left, nil},
		{"another image, and was missing", Desktop{MissingAt: ago}, on("m-x"), "", []Kind{KindListed, KindOutside}},
		{"another image, and was missing since", Desktop{OutsideAt: ago, MissingAt: ago}, on("m-x"), "", []Kind{KindListed, KindOutside}},
		{"on the image by an earlier call", Desktop{Touched: true, OutsideAt: ago}, on("m-new"), "", nil},
		{"on the image by an earlier call, listed again", Desktop{Touched: true, MissingAt: ago}, on("m-new"), "", []Kind{KindListed}},
		{"on the image without one", Desktop{OutsideAt: ago}, on("m-new"), left, nil},
		{"its image left out", Desktop{OutsideAt: ago}, on(""), "", nil},
		{"its image left out, and listed again", Desktop{MissingAt: ago}, on(""), "", []Kind{KindListed}},
		{"tried, and on another image", Desktop{Touched: true, OutsideAt: ago}, on("m-x"), left, nil},
		{"gone, for the first time", Desktop{}, gone, "", []Kind{KindMissing}},
		{"gone, for the first time, and was on another image", Desktop{OutsideAt: ago}, gone, "", []Kind{KindMissing}},
		{"gone, for less than a while", Desktop{MissingAt: less}, gone, "", nil},
		{"gone, for a while", Desktop{MissingAt: ago}, gone, left, nil},
		{"gone, and tried", Desktop{Touched: true, MissingAt: ago}, gone, left, nil},
		{"gone, and ours, for less than a while", Desktop{Held: true, MissingAt: less}, gone, "", nil},
		{"gone, and ours, for a while", Desktop{Held: true, MissingAt: ago}, gone, left, nil},
		{"ours, and on another image", Desktop{Held: true, OutsideAt: ago}, on("m-x"), left, nil},
		{"read before something was done", Desktop{ActedAt: MomentOf(noon.Add(time.Second)), OutsideAt: ago}, on("m-x"), "", nil},
		{"rests", Desktop{RestsUntil: noon.Add(time.Second), OutsideAt: ago}, on("m-x"), "", nil},
		{"has rested", Desktop{RestsUntil: noon, OutsideAt: ago}, on("m-x"), left, nil},
		{"not to be read", Desktop{OutsideAt: ago}, &Fact[*desktop.Desktop]{ReadAt: noon, Err: &Unread{}}, "", nil},
	} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
		v.r.Fleets = fleet.Fleets{office}
		c.x.ID = "ecd-1"
		if c.fact != nil {
			v.f.Desktops["ecd-1"] = *c.fact
		}
		s, done := v.departed(&c.x)
		all := newTotal(v)
		all.add(&c.x, s)
		var marks []Kind
		for _, r := range all.markRecords() {
			if marks = append(marks, r.Kind); len(r.Desktops) > 1 {
				t.Errorf("%s: %s is noted twice", c.name, r.Kind)
			}
		}
		got := ""
		if done && s.outcome != nil {
			got = s.outcome.Code
		}
		if got != c.want || !slices.Equal(marks, c.marks) {
			t.Errorf("%s: got %q and %v, want %q and %v", c.name, got, marks, c.want, c.marks)
		}
	}
}

// That ECD lists a desktop again is noted by whatever look shows it, also where there is no place
// for it, its window is closed, or it is only restored.
func TestEveryLookThatListsADesktopAgainCounts(t *testing.T) {
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
	x := &Desktop{ID: "ecd-1", MissingAt: MomentOf(noon)}
	for name, c := range map[string]struct {
		fact Fact[*desktop.Desktop]
		x    *Desktop
		want bool
	}{
		"listed again":     {Read(noon, &desktop.Desktop{ID: "ecd-1"}), x, true},
		"not listed":       {Read[*desktop.Desktop](noon, nil), x, false},
		"was never missed": {Read(noon, &desktop.Desktop{ID: "ecd-1"}), &Desktop{ID: "ecd-1"}, false},
	} {
		v.f.Desktops["ecd-1"] = c.fact
		all := newTotal(v)
		all.add(c.x, step{})
		if got := len(all.markRecords()) == 1; got != c.want {
			t.Errorf("%s: noted %t", name, got)
		}
	}
}

// What was seen of a desktop in its fleet, out of it and not at all is kept apart.
func TestMissingAndOutsideAreTwoThings(t *testing.T) {
	type both struct{ missing, outside bool }
	for _, c := range []struct {
		kinds []Kind
		want  both
	}{
		{[]Kind{KindMissing}, both{true, false}}, {[]Kind{KindOutside}, both{false, true}},
		{[]Kind{KindOutside, KindMissing}, both{true, true}}, {[]Kind{KindMissing, KindOutside, KindListed}, both{}},
	} {
		var x Desktop
		for _, k := range c.kinds {
			x.mark(&Record{Kind: k, At: noon})
		}
		if got := (both{!x.MissingAt.IsZero(), !x.OutsideAt.IsZero()}); got != c.want {
			t.Errorf("%v: got %v, want %v", c.kinds, got, c.want)
		}
	}
	s := NewState()
	s.Apply(Record{Kind: KindOpened, At: noon, Operation: &Operation{ID: "v1/office", Fleet: "office"}}, Record{Kind: KindWave, At: noon, Wave: 1, Desktops: []string{"ecd-1", "ecd-2"}},
		Record{Kind: KindMissing, At: noon, Desktops: []string{"ecd-1", "ecd-2"}}, Record{Kind: KindOutside, At: noon, Desktops: []string{"ecd-1", "ecd-2"}},
		Record{Kind: KindBegun, At: noon, Call: "c", Desktops: []string{"ecd-1"}},
		Record{Kind: KindSettled, At: noon, Outcomes: []Group{{Status: events.StatusFailed, Code: events.CodeThrottled, Desktops: []string{"ecd-2"}}}},
		Record{Kind: KindMissing, At: noon, Desktops: []string{"ecd-2"}}, Record{Kind: KindControl, At: noon, Action: events.ActionRetry})
	for id, x := range s.Desktops {
		if !x.MissingAt.IsZero() || !x.OutsideAt.IsZero() {
			t.Errorf("%s: what was seen before its call, or before somebody tried again, counts: %v, %v", id, x.MissingAt, x.OutsideAt)
		}
	}
}

// What a desktop was lost in is taken up again by an earlier call only if that was one.
func TestWhatAnEarlierCallHasDone(t *testing.T) {
	for _, c := range []struct {
		name  string
		touch bool
		spec  desktop.Spec
		from  string
		now   string
		want  bool
	}{
		{"it worked", true, desktop.Spec{ImageID: "m-new"}, "m-old", "m-new", true}, {"it did not", true, desktop.Spec{ImageID: "m-new"}, "m-old", "m-old", false},
		{"there was none", false, desktop.Spec{ImageID: "m-new"}, "m-old", "m-new", false}, {"a reset shows nothing", true, desktop.Spec{}, "m-old", "", false},
		{"nor does the same image", true, desktop.Spec{ImageID: "m-new"}, "m-new", "m-new", false},
	} {
		v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: c.spec})
		v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", ImageID: c.now})
		if s, got := v.reconciled(&Desktop{ID: "ecd-1", Touched: c.touch, From: c.from}); got != c.want || s.takesPlace != c.want {
			t.Errorf("%s: got %t, %+v", c.name, got, s)
		}
	}
}

// How long it is waited for a desktop of which ECD does not tell.
func TestHowLongADesktopMayBeUnreadable(t *testing.T) {
	office := fleet.Fleet{Name: "office", Strategy: fleet.Default()}
	office.Strategy.Check.Stable = time.Hour
	for _, c := range []struct {
		accepted, arrived time.Duration // ago; 0: not
		want              string
	}{
		{24*time.Hour - 1, 0, ""}, {24 * time.Hour, 0, events.CodeRebuildTimeout}, {30 * time.Hour, 25*time.Hour - 1, ""}, {30 * time.Hour, 25 * time.Hour, events.CodeCheckFailed},
	} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
		v.r.Fleets = fleet.Fleets{office}
		x := &Desktop{ID: "ecd-1", Phase: Accepted, AcceptedAt: MomentOf(noon.Add(-c.accepted))}
		if c.arrived > 0 {
			x.ArrivedAt = MomentOf(noon.Add(-c.arrived))
		}
		got := ""
		if s := v.unreadable(x, &Unread{Message: "no answer"}, noon); s.outcome != nil {
			got = s.outcome.Code
		}
		if got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// A reminder is a notice of its own, and so is the last one: they do not share a call
// though their texts are the same.
func TestWhichNoticesShareACall(t *testing.T) {
	strategy := fleet.Default()
	strategy.Notice.Text = "soon"
	one := notification{n: firstNotice, due: noon.Add(time.Hour)}
	later, again, last := one, one, one
	later.due, again.n, last.n = noon.Add(2*time.Hour), reminder, lastNotice
	for name, c := range map[string]struct {
		a, b notification
		want int
	}{"the same": {one, one, 1}, "another time": {one, later, 2}, "a reminder": {one, again, 2}, "the last": {one, last, 2}} {
		total := newTotal(viewOf(&Operation{ID: "r1", Desktops: []string{"a"}}))
		for _, n := range []notification{c.a, c.b} {
			n.candidate = candidate{Desktop: &Desktop{ID: "ecd-1"}, now: &desktop.Desktop{}, strategy: &strategy}
			total.act(n.ID, total.notice(n.Desktop, &n))
		}
		if len(total.out.Acts) != c.want {
			t.Errorf("%s: got %d calls", name, len(total.out.Acts))
		}
	}
}

// Nobody is reminded at a desktop that is gone, does not run, or cannot be told.
func TestWhoIsReminded(t *testing.T) {
	strategy := fleet.Default()
	strategy.Notice = fleet.Notice{Lead: time.Hour, Remind: []time.Duration{10 * time.Minute, 30 * time.Minute}, Text: "soon"}
	running := &desktop.Desktop{Status: desktop.Running, OS: desktop.Windows}
	for _, c := range []struct {
		name string
		now  *desktop.Desktop
		due  time.Duration
		want string
	}{
		{"half an hour before", running, 30 * time.Minute, "told"}, {"earlier", running, 31 * time.Minute, "waits"}, {"over", running, 0, "nothing"},
		{"gone", nil, 30 * time.Minute, "nothing"}, {"stopped", &desktop.Desktop{Status: desktop.Stopped}, 30 * time.Minute, "nothing"},
		{"linux", &desktop.Desktop{Status: desktop.Running, OS: desktop.Linux}, 30 * time.Minute, "nothing"},
	} {
		v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}})
		v.f.Desktops["ecd-1"] = Read(noon, c.now)
		due := noon.Add(c.due)
		s := v.remind(&Desktop{ID: "ecd-1", Notice: &Notice{Call: Call{At: due.Add(-time.Hour)}, Shown: due.Add(-time.Hour), Due: due}}, &strategy)
		got := "nothing"
		switch {
		case s.notify != nil && s.notify.n == reminder:
			got = "told"
		case s.next.Equal(due.Add(-30 * time.Minute)):
			got = "waits"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A snapshot of an earlier round that is written down late does not take its place.
func TestWhichRoundOfASnapshotCounts(t *testing.T) {
	d := &Desktop{ID: "ecd-1"}
	for _, r := range []Record{
		{Kind: KindSaving, At: noon, Call: "c1", N: 1}, {Kind: KindSafe, At: noon, N: 1, Snapshot: "s-1"},
		{Kind: KindSaving, At: noon.Add(7 * time.Hour), Call: "c2", N: 2}, {Kind: KindUnsaved, At: noon.Add(8 * time.Hour), N: 3},
	} {
		d.save(&r)
	}
	if s := d.Saved; s.Round != 2 || s.CallID != "c2" || !s.Done.IsZero() || s.Tries != 1 || !s.First.Equal(noon.Add(7*time.Hour)) || !s.Gone.Equal(noon.Add(8*time.Hour)) {
		t.Errorf("got %+v", s)
	}
	d.save(&Record{Kind: KindUnsaved, At: noon.Add(9 * time.Hour)})
	if !d.Saved.Gone.Equal(noon.Add(8 * time.Hour)) {
		t.Errorf("it is missed since %s", d.Saved.Gone)
	}
	d.AcceptedAt = MomentOf(noon.Add(10 * time.Hour))
	d.save(&Record{Kind: KindUnsaved, At: noon.Add(11 * time.Hour)})
	if !d.Saved.Gone.Equal(noon.Add(11 * time.Hour)) {
		t.Errorf("it is missed since %s, before it was rebuilt", d.Saved.Gone)
	}
}

// Only whoever completes, and only with a snapshot that was seen complete, is proved to
// still have it.
func TestWhoseSnapshotIsLookedAtAgain(t *testing.T) {
	v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}})
	done := func() *Saved { return &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon.Add(-time.Hour)} }
	for name, c := range map[string]struct {
		x      Desktop
		status events.Status
		want   bool
	}{
		"completed": {Desktop{Saved: done()}, events.StatusCompleted, true}, "failed": {Desktop{Saved: done()}, events.StatusFailed, false},
		"not saved": {Desktop{}, events.StatusCompleted, false}, "never complete": {Desktop{Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}}}, events.StatusCompleted, false},
		"doubted": {Desktop{Saved: done(), Doubted: true}, events.StatusCompleted, false},
	} {
		c.x.ID = "ecd-1"
		s := v.proveSaved(&c.x, v.settle(c.status, events.CodeCompleted, ""))
		if looked := len(s.needs) > 0; looked != c.want || looked == (s.outcome != nil) || looked != s.unfinished {
			t.Errorf("%s: looked at again: %t, %+v", name, looked, s)
		}
	}
}

// A window counts that is open long enough for a rebuild.
func TestWhichWindowCounts(t *testing.T) {
	fleets, err := fleet.Parse("fleets.yaml", []byte(`fleets:
  - name: office
    region: cn-hangzhou
    images: ["*"]
    select: {desktopIds: [ecd-1]}
    strategy: {expected: 15m, windows: [{from: "08:00", to: "10:00", zone: UTC}, {from: "22:00", to: "23:00", zone: UTC}]}
  - name: always
    region: cn-hangzhou
    images: ["*"]
    select: all
`))
	if err != nil {
		t.Fatal(err)
	}
	day := func(h, m int) time.Time { return time.Date(2026, 11, 23, h, m, 0, 0, time.UTC) }
	for _, c := range []struct {
		now   time.Time
		open  bool
		until time.Time
	}{
		{day(9, 0), true, day(10, 0)}, {day(9, 45), true, day(10, 0)}, {day(9, 46), false, day(22, 0)}, {day(7, 50), false, day(8, 0)}, {day(5, 0), false, day(8, 0)},
	} {
		if open, until := windowAt(&fleets[0], clock{c.now}); open != c.open || !until.Equal(c.until) {
			t.Errorf("at %s: got %t until %s, want %t until %s", c.now, open, until, c.open, c.until)
		}
	}
	if open, until := windowAt(&fleets[1], clock{noon}); !open || !until.IsZero() {
		t.Errorf("without windows: got %t until %s", open, until)
	}
}

// Whoever approves passes the fleets that a rollout waits for, as they are, and no others.
func TestWhatAnApprovalPasses(t *testing.T) {
	s := NewState()
	s.Waiting, s.Rings = &events.Reason{Code: events.CodeRingAwaited}, []string{ringKey("first", "halted")}
	if !s.WaitsForRings() {
		t.Error("it does not wait for them")
	}
	s.passRings()
	if s.WaitsForRings() || s.Waiting != nil || s.Rings != nil || !s.Passed[passKey("first", "halted")] || s.Passed[passKey("first", RingCompleted)] || s.Passed[passKey("second", "halted")] {
		t.Errorf("got %+v %+v", s.Passed, s.Waiting)
	}
	s.Rings = []string{ringKey("first", "halted")}
	s.Waiting = &events.Reason{Code: events.CodeSoaking}
	if s.WaitsForRings() {
		t.Error("it waits for something else")
	}
}

// What a rollout waits for is told anew when the text differs.
func TestWhatIsToldAnew(t *testing.T) {
	for _, c := range []struct {
		waiting *events.Reason
		want    bool
	}{{nil, true}, {&events.Reason{Code: events.CodeUseAwaited, Message: "1 of 3"}, true}, {&events.Reason{Code: events.CodeUseAwaited, Message: "2 of 3"}, false}, {&events.Reason{Code: events.CodeSoaking, Message: "2 of 3"}, true}} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
		v.s.Waiting = c.waiting
		until := noon.Add(time.Hour)
		s := v.standAnew(events.CodeUseAwaited, "2 of 3", until)
		if told := len(s.records) == 1; told != c.want || told && (s.records[0].Reason.Until == nil || !s.records[0].Reason.Until.Equal(until)) || !s.next.Equal(until) {
			t.Errorf("%+v: got %+v", c.waiting, s.records)
		}
	}
}

// A rollback waits neither for other fleets nor for how much a wave was used.
func TestARollbackWaitsForNoOtherFleet(t *testing.T) {
	f := &fleet.Fleet{Name: "office", After: []string{"first"}}
	for undoes, want := range map[string]bool{"": true, "v1/office": false} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Undoes: undoes})
		if _, waits := v.awaitsRings(f); waits != want || (len(v.ringGate(f)) > 0) != want {
			t.Errorf("undoes %q: it waits: %t", undoes, waits)
		}
		f.Strategy.Check.Use = fleet.Use{Least: fleet.Amount{Count: 1}, Within: 8 * time.Hour, Else: fleet.UseWait}
		v.s.Desktops["a"] = &Desktop{ID: "a", Phase: Final, AcceptedAt: MomentOf(noon), Last: Result{Status: events.StatusCompleted}}
		if _, waits := v.awaitsUse(f, &Wave{N: 1, Desktops: []string{"a"}, EndedAt: noon}); waits != want {
			t.Errorf("undoes %q: it waits for use: %t", undoes, waits)
		}
	}
}

// A desktop that waits is told of again when the reason or the time is another.
func TestWhenAWaitIsToldAgain(t *testing.T) {
	until := noon.Add(time.Hour)
	for _, c := range []struct {
		code  string
		rests time.Time
		want  bool
	}{{"", zero, true}, {events.CodeNotNow, until, false}, {events.CodeNotNow, noon, true}, {events.CodeSessionWait, until, true}} {
		s := viewOf(&Operation{ID: "r1"}).postponeUntil(&Desktop{ID: "ecd-1", WaitCode: c.code, RestsUntil: c.rests}, events.CodeNotNow, until, "not now")
		if told := s.outcome != nil; told != c.want || !s.unfinished || !s.next.Equal(until) {
			t.Errorf("%+v: got %+v", c, s)
		}
	}
}

// What a refusal says of the doors and sources that a fleet listens to.
func TestWhatIsSaidOfAWrongDoor(t *testing.T) {
	for _, c := range []struct {
		g    fleet.Gate
		want string
	}{
		{fleet.Gate{Doors: []string{"events"}}, "fleet office takes requests only through events; this came through queues/q"},
		{fleet.Gate{Sources: []string{"/ops"}}, `fleet office takes requests only from /ops; this came through queues/q from the source "/x"`},
		{fleet.Gate{Doors: []string{"events", "mns"}, Sources: []string{"/ops"}}, `fleet office takes requests only through events, mns from /ops; this came through queues/q from the source "/x"`},
	} {
		if got := WrongDoor("office", "requests", "queues/q", "/x", c.g); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
