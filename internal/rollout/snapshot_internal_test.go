package rollout

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

func TestWhichRebuildsEraseADataDisk(t *testing.T) {
	with := &desktop.Desktop{OS: "windows", DataDisks: 1}
	windows, linux := &desktop.Image{OS: "windows"}, &desktop.Image{OS: "linux"}
	for _, c := range []struct {
		name            string
		now             *desktop.Desktop
		image           *desktop.Image
		operate         string
		disk, snapshots bool
	}{
		{"same OS", with, windows, "", false, false}, {"replace", with, windows, "replace", true, false},
		{"another OS", with, linux, "", true, true}, {"another OS and replace", with, linux, "replace", true, true},
		{"an image of which nothing is known", with, nil, "", true, true}, {"an image whose OS is not known", with, &desktop.Image{}, "", true, true},
		{"neither OS is known", &desktop.Desktop{DataDisks: 1}, &desktop.Image{}, "", true, true},
		{"no data disk", &desktop.Desktop{OS: "windows"}, linux, "replace", false, false}, {"no desktop", nil, windows, "replace", false, false},
	} {
		if disk, snapshots := erases(c.now, c.image, c.operate); disk != c.disk || snapshots != c.snapshots {
			t.Errorf("%s: got %t %t, want %t %t", c.name, disk, snapshots, c.disk, c.snapshots)
		}
	}
}

func TestASnapshotsNameIsItsOwnAndOneThatECDTakes(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{1,126}$`)
	seen := map[string]bool{}
	for _, op := range []string{"r1/office", "r2/office", "长/办公室", "a\nb"} {
		for _, id := range []string{"ecd-1", "ecd-2", "b"} {
			for round := 1; round < 3; round++ {
				name := SnapshotName(op, id, round)
				if !form.MatchString(name) || seen[name] || name != SnapshotName(op, id, round) {
					t.Errorf("%q", name)
				}
				seen[name] = true
			}
		}
	}
}

func TestWhatIsDoneAboutASnapshotNext(t *testing.T) {
	const name = "regild-x-1"
	called := Saved{Round: 1, Call: Call{CallID: "c", At: noon}, First: noon, Tries: 1}
	ended := called
	ended.End = noon.Add(10 * time.Second)
	known := ended
	known.Got = "s-1"
	refused, again := ended, ended
	refused.No, refused.Why = true, "ECD has no room"
	again.Again, again.Why = true, "slow down"
	gone := ended
	gone.Gone = noon.Add(time.Minute)
	third := gone
	third.Tries = maxSaves
	knownGone := known
	knownGone.Gone = noon.Add(time.Minute)
	done := known
	done.Done = noon.Add(3 * time.Minute)
	doneGone, slow := done, done
	doneGone.Gone = noon.Add(50 * time.Minute)
	slow.Done = noon.Add(3 * time.Hour)
	snap := func(state desktop.SnapshotState, created time.Time) []desktop.Snapshot {
		return []desktop.Snapshot{{ID: "s-0", Name: "another", DataDisk: true, State: desktop.SnapshotDone}, {ID: "s-1", Name: name, DataDisk: true, State: state, Created: created}}
	}
	none := []desktop.Snapshot{}
	for _, c := range []struct {
		name   string
		s      *Saved
		readAt time.Duration // below 0: not read
		list   []desktop.Snapshot
		now    time.Duration
		want   saveStep
	}{
		{"nothing is known", nil, -1, nil, 0, saveRead},
		{"nothing is there", nil, 0, none, 0, saveMake},
		{"one is there of which nobody knows", nil, 0, snap(desktop.SnapshotDone, noon.Add(-time.Hour)), 0, saveReady},
		{"one is there that is too old", nil, 0, snap(desktop.SnapshotDone, noon.Add(-7*time.Hour)), 0, saveStale},
		{"it is under way by a call that nobody knows of", nil, 0, snap(desktop.SnapshotUnderWay, noon.Add(-time.Hour)), 0, saveWait},
		{"the call may be under way", &called, 0, none, time.Minute, saveWait},
		{"nobody said how it ended", &called, 0, none, 2 * time.Minute, saveRead},
		{"nobody said how it ended, and it is there", &called, 2 * time.Minute, snap(desktop.SnapshotUnderWay, noon), 2 * time.Minute, saveWait},
		{"it is being made", &known, time.Minute, snap(desktop.SnapshotUnderWay, noon), time.Minute, saveWait},
		{"a word that no page has", &known, time.Minute, snap(desktop.SnapshotUnknown, noon), time.Minute, saveWait},
		{"it takes too long", &known, 4 * time.Hour, snap(desktop.SnapshotUnderWay, noon), 4 * time.Hour, saveFails},
		{"it is complete", &known, time.Minute, snap(desktop.SnapshotDone, noon), time.Minute, saveReady},
		{"what was read before the call says nothing", &known, 0, snap(desktop.SnapshotDone, noon), time.Minute, saveRead},
		{"it has failed", &known, time.Minute, snap(desktop.SnapshotFailed, noon), time.Minute, saveFails},
		{"it was seen complete", &done, -1, nil, time.Hour, saveRead},
		{"it was seen complete, and still is", &done, time.Hour, snap(desktop.SnapshotDone, noon), time.Hour, saveReady},
		{"it was seen complete, and is not listed any more", &done, time.Hour, none, time.Hour, saveWait},
		{"it was seen complete, and has not been listed for a settling time", &doneGone, time.Hour, none, time.Hour, saveStale},
		{"it was seen complete, and is not any more", &done, time.Hour, snap(desktop.SnapshotUnknown, noon), time.Hour, saveWait},
		{"it was seen complete long ago", &done, -1, nil, 7 * time.Hour, saveStale},
		{"it was seen complete less than six hours ago, and is older", &slow, 7 * time.Hour, snap(desktop.SnapshotDone, noon), 7 * time.Hour, saveStale},
		{"so too if ECD does not say how old it is", &slow, 7 * time.Hour, snap(desktop.SnapshotDone, time.Time{}), 7 * time.Hour, saveStale},
		{"nobody knows of it, and ECD does not say how old it is", nil, 0, snap(desktop.SnapshotDone, time.Time{}), 0, saveStale},
		{"ECD refused it", &refused, time.Minute, none, time.Minute, saveFails},
		{"ECD asked to slow down", &again, time.Minute, none, time.Minute, saveWait},
		{"ECD asked to slow down a while ago", &again, 6 * time.Minute, none, 6 * time.Minute, saveMake},
		{"ECD asks to slow down for hours", &again, 6 * time.Hour, none, 6 * time.Hour, saveFails},
		{"its delivery is not known", &ended, time.Minute, none, time.Minute, saveWait},
		{"it is not there for less than a settling time", &gone, 5 * time.Minute, none, 5 * time.Minute, saveWait},
		{"it is not there for a settling time", &gone, 6 * time.Minute, none, 6 * time.Minute, saveMake},
		{"it is not there after three calls", &third, 6 * time.Minute, none, 6 * time.Minute, saveFails},
		{"ECD said that it began, and does not list it", &knownGone, 6 * time.Minute, none, 6 * time.Minute, saveFails},
		{"it is complete, and ECD does not say under which id", &ended, time.Minute, []desktop.Snapshot{{Name: name, DataDisk: true, State: desktop.SnapshotDone, Created: noon}}, time.Minute, saveWait},
		{"one of that name has failed, another is complete", &ended, time.Minute, append(snap(desktop.SnapshotFailed, noon), snap(desktop.SnapshotDone, noon)...), time.Minute, saveReady},
		{"one of that name is complete, another has failed", &ended, time.Minute, append(snap(desktop.SnapshotDone, noon), snap(desktop.SnapshotFailed, noon)...), time.Minute, saveReady},
		{"it is complete six hours after it began", &ended, 6 * time.Hour, snap(desktop.SnapshotDone, noon), 6 * time.Hour, saveStale},
		{"an unnamed one of no id is not it", &ended, time.Minute, []desktop.Snapshot{{DataDisk: true, State: desktop.SnapshotDone, Created: noon}}, time.Minute, saveWait},
		{"it was made before the first call", &ended, time.Minute, snap(desktop.SnapshotUnderWay, noon.Add(-4*time.Hour)), time.Minute, saveFails},
		{"ECD does not say when it was made", &ended, 4 * time.Hour, snap(desktop.SnapshotUnderWay, time.Time{}), 4 * time.Hour, saveFails},
		{"it is under way, and nobody knows since when", nil, 0, snap(desktop.SnapshotUnderWay, time.Time{}), 0, saveWait},
		{"it is complete for long, and has no id", nil, 0, []desktop.Snapshot{{Name: name, DataDisk: true, State: desktop.SnapshotDone, Created: noon.Add(-7 * time.Hour)}}, 0, saveFails},
		{"its delivery is not known for long", &gone, 7 * time.Hour, none, 7 * time.Hour, saveMake},
		{"a snapshot of the system disk has the name", nil, 0, []desktop.Snapshot{{ID: "s-1", Name: name, State: desktop.SnapshotDone}}, 0, saveMake},
	} {
		var list *Fact[[]desktop.Snapshot]
		if c.readAt >= 0 {
			f := Read(noon.Add(c.readAt), c.list)
			list = &f
		}
		if got := nextSave(c.s, name, list, clock{noon.Add(c.now)}); got.step != c.want {
			t.Errorf("%s: got step %d (%s), want %d", c.name, got.step, got.why, c.want)
		}
	}
}

// A call whose end is written down late, when the snapshot was found by its name and seen
// complete, does not take its id away.
func TestALateEndOfACallDoesNotUndoASnapshot(t *testing.T) {
	d := &Desktop{ID: "ecd-1"}
	for _, r := range []Record{
		{Kind: KindSaving, At: noon, Call: "c", N: 1},
		{Kind: KindSafe, At: noon.Add(2 * time.Minute), N: 1, Snapshot: "s-1", GiB: 80},
		{Kind: KindSaved, At: noon.Add(3 * time.Minute), Call: "c", Reason: &events.Reason{Code: events.CodeOutcomeUnknown, Message: "timeout"}},
	} {
		d.save(&r)
	}
	if d.Saved.id() != "s-1" || d.Saved.End.IsZero() {
		t.Errorf("got %+v, want the snapshot s-1, and the call ended", d.Saved)
	}
}

// What a fleet consents to losing it also loses without being told that the rebuild failed:
// the rollout would halt, and go back, for what was meant.
func TestAFleetThatConsentsToLosingSnapshotsDoesNotFailForIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		consent []string
		undoes  string
		want    events.Status
	}{
		{"without consent", nil, "", events.StatusFailed},
		{"with consent", []string{events.ConsentSnapshots}, "", events.StatusCompleted},
		{"with consent, for a rollback", []string{events.ConsentSnapshots}, "r0/office", events.StatusFailed},
	} {
		s := NewState()
		s.Operation = &Operation{ID: "r1/office", Fleet: "office", Undoes: c.undoes}
		x := &Desktop{ID: "ecd-1", Phase: Accepted, AcceptedAt: MomentOf(noon), Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon.Add(-time.Minute), Gone: noon.Add(10 * time.Minute)}}
		f := NewFacts()
		f.Snapshots["ecd-1"] = Read(noon.Add(time.Hour), []desktop.Snapshot{})
		v := &view{s: s, f: f, now: clock{noon.Add(time.Hour)}, r: Rules{Fleets: fleet.Fleets{{Name: "office", Rebuild: fleet.Rebuild{Consent: c.consent}}}}}
		if got := v.proveSaved(x, v.settle(events.StatusCompleted, events.CodeCompleted, "")); got.outcome == nil || got.outcome.Status != c.want {
			t.Errorf("%s: got %+v, want %s", c.name, got.outcome, c.want)
		}
	}
}

// A consent that came through a door which the desktop's fleet does not hear does not
// excuse a snapshot that is gone.
func TestAConsentToLoseSnapshotsCountsOnlyThroughItsDoor(t *testing.T) {
	for door, want := range map[string]events.Status{"queues/trusted": events.StatusCompleted, "queues/any": events.StatusFailed} {
		s := NewState()
		s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Consents: []string{events.ConsentSnapshots}, Via: &events.Via{Door: door},
			Spec: desktop.Spec{RegionID: "cn-hangzhou"}}
		x := &Desktop{ID: "ecd-1", Phase: Accepted, AcceptedAt: MomentOf(noon), Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon.Add(-time.Minute), Gone: noon.Add(10 * time.Minute)}}
		f := NewFacts()
		f.Desktops["ecd-1"] = Read(noon.Add(time.Hour), &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou"})
		f.Snapshots["ecd-1"] = Read(noon.Add(time.Hour), []desktop.Snapshot{})
		v := &view{s: s, f: f, now: clock{noon.Add(time.Hour)}, r: Rules{Declared: true, Fleets: fleet.Fleets{
			{Name: "office", Region: "cn-hangzhou", Requests: true, ConsentFrom: []string{"queues/trusted"}}}}}
		if got := v.proveSaved(x, v.settle(events.StatusCompleted, events.CodeCompleted, "")); got.outcome == nil || got.outcome.Status != want {
			t.Errorf("%s: got %+v, want %s", door, got.outcome, want)
		}
	}
}

// A desktop that somebody else brought to another image right after it was rebuilt was
// completed without a look whether its snapshot is still there.
func TestADesktopThatMovedOnCompletesOnlyIfItsSnapshotIsStillThere(t *testing.T) {
	now := noon.Add(time.Hour)
	decide := func(gone time.Time, list []desktop.Snapshot) step {
		s := NewState()
		s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace"}}
		x := &Desktop{ID: "ecd-1", Phase: Accepted, BegunAt: MomentOf(noon.Add(-time.Minute)), AcceptedAt: MomentOf(noon), From: "m-old",
			Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon.Add(-time.Minute), Gone: gone}}
		f := NewFacts()
		f.Desktops["ecd-1"] = Read(now, &desktop.Desktop{ID: "ecd-1", Status: desktop.Running, ImageID: "m-other"})
		f.Changes["ecd-1"] = Read(now, []desktop.Change{{DesktopID: "ecd-1", From: "m-old", To: "m-new", State: desktop.ChangeSucceeded, Updated: noon.Add(time.Minute)}})
		f.Snapshots["ecd-1"] = Read(now, list)
		return (&view{s: s, f: f, now: clock{now}, r: Rules{RebuildTimeout: time.Hour}}).follow(x)
	}
	there := []desktop.Snapshot{{ID: "s-1", DataDisk: true, State: desktop.SnapshotDone}}
	if got := decide(zero, there); got.outcome == nil || got.outcome.Status != events.StatusCompleted {
		t.Errorf("its snapshot is there: got %+v, want completed", got.outcome)
	}
	if got := decide(zero, nil); got.outcome != nil || !got.marked(KindUnsaved) || !got.unfinished {
		t.Errorf("its snapshot is not listed: got %+v, want another look", got)
	}
	if got := decide(noon.Add(10*time.Minute), nil); got.outcome == nil || got.outcome.Status != events.StatusFailed || got.outcome.Code != events.CodeSnapshotFailed {
		t.Errorf("nor in a second look: got %+v, want SnapshotFailed", got.outcome)
	}
}

// A snapshot of hours was looked at once or twice a minute. One that is done is to be
// seen soon all the same.
func TestASnapshotIsLookedAtTheLessOftenTheLongerItTakes(t *testing.T) {
	strategy := fleet.Default()
	strategy.Snapshot = fleet.SnapshotData
	rules := Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: time.Hour, Declared: true, Fleets: fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Requests: true, Strategy: strategy}}}
	for takes, most := range map[time.Duration]int{time.Minute: 3, 5 * time.Minute: 9, 30 * time.Minute: 16, 3*time.Hour + 50*time.Minute: 60} {
		s, now := NewState(), noon
		s.Apply(Record{Kind: KindOpened, At: noon, Operation: &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Consents: []string{events.ConsentDataDisk},
			Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace"}}})
		looks := 0
		for begins := false; !begins && looks < 1000; {
			f := NewFacts()
			for id, made := range map[string]time.Time{"m-old": noon.AddDate(-1, 0, 0), "m-new": noon} {
				f.Images[id] = Read(now, &desktop.Image{ID: id, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: made})
			}
			f.Desktops["ecd-1"] = Read(now, &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected,
				ImageID: "m-old", OS: "windows", SystemDiskGiB: 80, DataDisks: 1})
			var shots []desktop.Snapshot
			if x := s.Desktops["ecd-1"].Saved; x != nil {
				shots = []desktop.Snapshot{{ID: "s-1", Name: SnapshotName("r1", "ecd-1", 1), DataDisk: true, Created: noon, State: desktop.SnapshotUnderWay}}
				if now.Sub(noon) >= takes {
					shots[0].State = desktop.SnapshotDone
				}
				looks++
			}
			f.Snapshots["ecd-1"], f.Freezes[FreezesKey] = Read(now, shots), Read[Freezes](now, nil)
			d := Decide(s, rules, f, now)
			if !d.Need.Empty() || s.Desktops["ecd-1"].Phase == Final {
				t.Fatalf("%s: needs %+v, %+v", takes, d.Need, s.Desktops["ecd-1"].Last)
			}
			s.Apply(d.Records...)
			if len(d.Acts) > 0 {
				s.Apply(Record{Kind: KindSaving, At: now, Call: "c", N: 1, Desktops: []string{"ecd-1"}},
					Record{Kind: KindSaved, At: now, Call: "c", Snapshot: "s-1", Desktops: []string{"ecd-1"}})
			}
			if begins = len(d.Begin) > 0; !begins {
				now = d.Next
			}
		}
		if late := now.Sub(noon.Add(takes)); looks > most || late > max(takes/3, 30*time.Second) || late > 5*time.Minute {
			t.Errorf("a snapshot that takes %s is looked at %d times, and seen %s late; want at most %d times", takes, looks, late, most)
		}
	}
}

// Whatever becomes of calls, and whoever is killed between the record and its end: a
// snapshot counts only when ECD has one that is complete; and there is one alone as long
// as ECD shows it within a settling time.
func TestASnapshotIsMadeOnceWhateverIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const name = "n"
	for run := range 400 {
		var s *Saved
		var real []desktop.Snapshot // what ECD has
		lag := time.Duration(r.IntN(5)) * time.Minute
		takes := time.Duration(r.IntN(20)) * time.Minute
		calls := 0
		over := false
		for now := noon; !over && now.Before(noon.Add(8*time.Hour)); now = now.Add(time.Duration(1+r.IntN(90)) * time.Second) {
			shown := []desktop.Snapshot{}
			for _, x := range real {
				if now.Sub(x.Created) >= lag {
					if x.State = desktop.SnapshotUnderWay; now.Sub(x.Created) >= takes {
						x.State = desktop.SnapshotDone
					}
					shown = append(shown, x)
				}
			}
			list := Read(now, shown)
			got := nextSave(s, name, &list, clock{now})
			if got.gone && s.Gone.IsZero() {
				s.Gone = now
			}
			switch got.step {
			case saveMake:
				calls++
				tries, first := 0, now
				if s != nil {
					tries, first = s.Tries, s.First
				}
				s = &Saved{Round: 1, Call: Call{CallID: "c", At: now}, First: first, Tries: tries + 1}
				arrives, tells := r.IntN(3) > 0, r.IntN(2) > 0
				if arrives {
					real = append(real, desktop.Snapshot{ID: "s", Name: name, DataDisk: true, Created: now})
				}
				switch {
				case !tells: // killed, or the answer was lost
				case arrives:
					s.End, s.Got = now, "s"
				default:
					s.End, s.Again, s.Tries = now, true, s.Tries-1
				}
			case saveReady:
				over = true
				if len(real) == 0 || now.Sub(real[0].Created) < takes {
					t.Fatalf("run %d: ready, and ECD has %v", run, real)
				}
			case saveFails:
				over = true
			case saveWait, saveRead, saveStale:
			}
			if len(real) > 1 {
				t.Fatalf("run %d: %d snapshots were made, with a lag of %s", run, len(real), lag)
			}
		}
		if !over {
			t.Fatalf("run %d: it does not come to an end after %d calls: %+v", run, calls, s)
		}
	}
}

// Our own snapshots are to be deleted with the disk, and are no reason to keep it; those
// of another round or of somebody else are.
func TestWhichSnapshotsAreOurOwn(t *testing.T) {
	s := NewState()
	s.Operation = &Operation{ID: "r1/office"}
	x := &Desktop{ID: "ecd-1", Saved: &Saved{Round: 2}}
	v := &view{s: s}
	for round, want := range map[int]bool{1: true, 2: true, 3: false} {
		if got := v.own(x, desktop.Snapshot{Name: SnapshotName("r1/office", "ecd-1", round)}); got != want {
			t.Errorf("the snapshot of round %d is our own: %t, want %t", round, got, want)
		}
	}
	for _, name := range []string{"", "another", SnapshotName("r2/office", "ecd-1", 1), SnapshotName("r1/office", "ecd-2", 1)} {
		if v.own(x, desktop.Snapshot{Name: name}) {
			t.Errorf("snapshot %q is said to be our own", name)
		}
	}
}

// A snapshot that has failed since is none.
func TestWhichSnapshotsAreStillThere(t *testing.T) {
	for state, want := range map[desktop.SnapshotState]bool{desktop.SnapshotDone: true, desktop.SnapshotUnknown: true, desktop.SnapshotUnderWay: true, desktop.SnapshotFailed: false} {
		if got := stillListed([]desktop.Snapshot{{ID: "s-0"}, {ID: "s-1", State: state}}, "s-1"); got != want {
			t.Errorf("in state %v it is there: %t, want %t", state, got, want)
		}
	}
}

// What cannot be saved is refused, except where losing it was consented to.
func TestWhatCannotBeSavedIsRefused(t *testing.T) {
	disks := func(n int) *desktop.Desktop { return &desktop.Desktop{DataDisks: n} }
	for _, c := range []struct {
		name string
		c    candidate
		want string
	}{
		{"nothing is erased", candidate{now: disks(2), doomed: true}, ""},
		{"one disk", candidate{now: disks(1), erases: true}, ""},
		{"two disks", candidate{now: disks(2), erases: true}, events.CodeSnapshotFailed},
		{"its snapshots go as well", candidate{now: disks(1), erases: true, doomed: true}, events.CodeSnapshotFailed},
		{"that is consented to", candidate{now: disks(1), erases: true, doomed: true, consents: []string{events.ConsentSnapshots}}, ""},
		{"something else is consented to", candidate{now: disks(1), erases: true, doomed: true, consents: []string{"other"}}, events.CodeSnapshotFailed},
	} {
		c.c.Desktop = &Desktop{ID: "ecd-1"}
		if got, _ := c.c.unsavable(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A desktop has a place for as long as its snapshot may be under way, and no longer.
func TestASnapshotHasAPlaceWhileItIsMade(t *testing.T) {
	v := &view{s: NewState(), now: clock{noon.Add(time.Hour)}}
	called := Saved{Round: 1, Call: Call{CallID: "c", At: noon}}
	with := func(f func(*Saved)) *Saved { s := called; f(&s); return &s }
	for name, c := range map[string]struct {
		s    *Saved
		want bool
	}{
		"nothing was asked for":             {nil, false},
		"it is being made":                  {&called, true},
		"it was found, and not asked for":   {with(func(s *Saved) { s.CallID = "" }), false},
		"it is complete":                    {with(func(s *Saved) { s.Done = noon }), false},
		"the call was not carried out":      {with(func(s *Saved) { s.Again = true }), false},
		"ECD refused it":                    {with(func(s *Saved) { s.No = true }), false},
		"it was asked for four hours ago":   {with(func(s *Saved) { s.At = noon.Add(-3 * time.Hour) }), false},
		"it was asked for nearly that long": {with(func(s *Saved) { s.At = noon.Add(-3*time.Hour + 1) }), true},
	} {
		if got := v.saving(&Desktop{ID: "ecd-1", Saved: c.s}); got != c.want {
			t.Errorf("%s: it has a place: %t, want %t", name, got, c.want)
		}
	}
}

// One that has become too old is followed by one of another name.
func TestASnapshotThatIsTooOldIsFollowedByTheNext(t *testing.T) {
	v := &view{s: NewState(), now: clock{noon}}
	for step, want := range map[saveStep]int{saveMake: 2, saveStale: 3} {
		if s, done := v.save(candidate{Desktop: &Desktop{ID: "ecd-1", Saved: &Saved{Round: 2}}}, saving{step: step}, nil); s.acts[0].N != want || !done {
			t.Errorf("got round %d, %t, want %d", s.acts[0].N, done, want)
		}
	}
	done := candidate{Desktop: &Desktop{ID: "ecd-1", Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon}}}
	if s, waits := v.save(done, saving{step: saveReady, found: &desktop.Snapshot{ID: "s-1"}}, nil); waits || len(s.records) > 0 {
		t.Errorf("it is complete: got %+v, %t, want nothing", s, waits)
	}
	missed := candidate{Desktop: &Desktop{ID: "ecd-1", Saved: &Saved{Round: 1, Call: Call{Got: "s-1"}, Done: noon, Gone: noon}}}
	f := Read(noon, []desktop.Snapshot{})
	if s, _ := v.save(missed, saving{step: saveWait, gone: true}, &f); s.marked(KindUnsaved) {
		t.Error("it is missed for the first time twice")
	}
}

// What was read before a call about the desktop says nothing of its snapshots.
func TestSnapshotsAreReadAfterWhatWasDone(t *testing.T) {
	s := NewState()
	s.Operation = &Operation{ID: "r1"}
	f := NewFacts()
	f.Snapshots["ecd-1"] = Read(noon.Add(-time.Minute), []desktop.Snapshot{{ID: "s-1", Name: SnapshotName("r1", "ecd-1", 1), DataDisk: true, State: desktop.SnapshotDone, Created: noon.Add(-time.Hour)}})
	v := &view{s: s, f: f, now: clock{noon.Add(time.Hour)}}
	c := candidate{Desktop: &Desktop{ID: "ecd-1", ActedAt: MomentOf(noon)}, now: &desktop.Desktop{DataDisks: 1}, erases: true}
	if got, done := v.saved(c); !done || len(got.needs) != 1 {
		t.Errorf("got %+v, %t, want that they are read again", got, done)
	}
	c.ActedAt = MomentOf(noon.Add(-time.Hour))
	if got, done := v.saved(c); done || len(got.records) != 1 {
		t.Errorf("got %+v, %t, want that it is complete", got, done)
	}
}

// Whoever waits for its snapshot to be made takes a place; one that has it already, or
// ends, takes none more.
func TestASnapshotThatIsAwaitedTakesAPlace(t *testing.T) {
	list := []desktop.Snapshot{{ID: "s-1", Name: SnapshotName("r1", "ecd-1", 1), DataDisk: true, State: desktop.SnapshotUnderWay, Created: noon}}
	failed := []desktop.Snapshot{{ID: "s-1", Name: SnapshotName("r1", "ecd-1", 1), DataDisk: true, State: desktop.SnapshotFailed, Created: noon}}
	for name, c := range map[string]struct {
		saved *Saved
		list  []desktop.Snapshot
		want  bool
	}{
		"found":             {nil, list, true},
		"we asked for it":   {&Saved{Round: 1, Call: Call{CallID: "c", At: noon, End: noon, Got: "s-1"}, First: noon}, list, false},
		"found, and failed": {nil, failed, false},
		"to be asked for":   {nil, []desktop.Snapshot{}, true},
	} {
		v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}})
		v.f.Snapshots["ecd-1"] = Read(noon, c.list)
		x := &Desktop{ID: "ecd-1", Saved: c.saved}
		s, done := v.saved(candidate{Desktop: x, now: &desktop.Desktop{DataDisks: 1}, erases: true})
		if !done || s.takesPlace != c.want {
			t.Errorf("%s: takes a place: %t, done %t, want %t", name, s.takesPlace, done, c.want)
		}
	}
}
