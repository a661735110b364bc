package rollout

import (
	"fmt"
	"slices"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// officeOf returns a view of a rollout that is about to begin over so many desktops.
func officeOf(n int, limit int64) *view {
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
	v.r.Fleets = fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}}
	v.r.JournalLimit = limit
	v.s.Desktops = map[string]*Desktop{}
	members := make([]desktop.Desktop, n)
	for i := range members {
		members[i] = desktop.Desktop{ID: fmt.Sprintf("ecd-%017d", i), RegionID: "cn-hangzhou", ImageID: "m-old"}
	}
	v.f.Members["office"] = Read(noon, members)
	return v
}

// A fleet that the journal of one rollout may not hold is refused before anything of it
// is begun; when it was split, the rollout can be told to go on.
func TestAFleetThatTheJournalMayNotHoldIsNotBegun(t *testing.T) {
	s := fleet.Default()
	const limit = 1 << 20
	most := Capacity(&s, 21, limit)
	for n, want := range map[int]Kind{most: KindWave, most + 1: KindHalted} {
		v := officeOf(n, limit)
		total := newTotal(v)
		v.nextWave(total, v.fleet(), nil)
		if got := kindsOf(total.out.Records); !slices.Equal(got, []Kind{want}) {
			t.Errorf("%d desktops, of which the journal holds %d: got %v, want %s", n, most, got, want)
		} else if r := total.out.Records[0]; want == KindHalted && (r.Reason.Code != events.CodeFleetTooLarge || r.Action != "") {
			t.Errorf("%d desktops: got %+v", n, r)
		}
		if got := len(v.roomGate([]events.PlanWave{{Desktops: planned(v)}}, nil)); (got == 1) != (want == KindHalted) {
			t.Errorf("%d desktops: the plan says so %d times", n, got)
		}
	}
	if again := officeOf(most+1, 0); again.tooLarge(again.s.Order) != "" {
		t.Error("without a bound there is none")
	}
}

func planned(v *view) (out []events.PlanDesktop) {
	for _, m := range v.f.Members["office"].Value {
		out = append(out, events.PlanDesktop{ID: m.ID})
	}
	return out
}

// Who joins a fleet while its rollout is under way comes only if the journal holds all of
// them too.
func TestWhoJoinsComesOnlyIfTheJournalHoldsThem(t *testing.T) {
	s := fleet.Default()
	const limit = 1 << 20
	most := Capacity(&s, 21, limit)
	for joined, want := range map[int]string{0: "", most / 2: events.CodeFleetTooLarge} {
		v := officeOf(most/2+joined, limit)
		for _, m := range v.f.Members["office"].Value[:most/2] {
			v.s.Desktops[m.ID] = &Desktop{ID: m.ID, Wave: 1, Phase: Pending}
			v.s.Order = append(v.s.Order, m.ID)
		}
		v.s.Length = limit / 4
		v.s.Waves = []Wave{{N: 1, EndedAt: noon, Approved: "ada"}}
		total := newTotal(v)
		f := v.fleet()
		f.Strategy.Soak, f.Strategy.Approval = 0, fleet.Approval{}
		v.nextWave(total, f, v.s.Wave())
		got := ""
		for _, r := range total.out.Records {
			if r.Kind == KindHalted {
				got = r.Reason.Code
			}
		}
		if got != want {
			t.Errorf("%d joined: got %q, want %q", joined, got, want)
		}
	}
}

// When what is left of the journal is what those take that have not ended, nothing more
// is begun; what was begun is followed, and what was not can be given up.
func TestAJournalThatIsNearlyFullIsKeptForWhatWasBegun(t *testing.T) {
	const limit = 100_000
	pending, begun := &Desktop{ID: "ecd-1"}, &Desktop{ID: "ecd-2", Phase: Begun, Attempt: 1, BegunAt: MomentOf(noon)}
	for _, c := range []struct {
		length int64
		both   bool
		want   bool
	}{{0, true, false}, {limit - limit/spare, true, true}, {limit - limit/spare, false, false}} {
		for _, request := range []bool{false, true} {
			v := officeOf(0, limit)
			v.s.Desktops, v.s.Order, v.s.Length = map[string]*Desktop{"ecd-2": begun}, []string{"ecd-2"}, c.length
			if c.both {
				v.s.Desktops["ecd-1"], v.s.Order = pending, []string{"ecd-1", "ecd-2"}
			}
			var got bool
			if request {
				v.s.Operation.Fleet = ""
				rest := v.givenUp()
				if got = rest != nil; got && (rest.Code != events.CodeJournalFull || rest.Status != events.StatusRefused) {
					t.Errorf("a request: got %+v", rest)
				}
			} else {
				var s step
				if s, got = v.full(v.fleet()); got && s.records[0].Reason.Code != events.CodeJournalFull {
					t.Errorf("a rollout: got %+v", s.records)
				}
			}
			if got != c.want {
				t.Errorf("%d of %d bytes, both %t, request %t: got %t", c.length, limit, c.both, request, got)
			}
		}
	}
}

// What more is done to each desktop takes more of the journal.
func TestWhatIsSetAsideGrowsWithWhatIsDone(t *testing.T) {
	plain := fleet.Default()
	base := Capacity(&plain, 21, 64<<20)
	if base < 150_000 || base > 170_000 {
		t.Errorf("a fleet by the defaults: got %d", base)
	}
	for name, change := range map[string]func(*fleet.Strategy){
		"notice":      func(s *fleet.Strategy) { s.Notice.Lead = 1 },
		"before":      func(s *fleet.Strategy) { s.Before.Command = "x" },
		"snapshot":    func(s *fleet.Strategy) { s.Snapshot = fleet.SnapshotData },
		"maintenance": func(s *fleet.Strategy) { s.Maintenance = true },
		"stopFirst":   func(s *fleet.Strategy) { s.StopFirst = true },
		"check":       func(s *fleet.Strategy) { s.Check.Command = "x" },
		"one at once": func(s *fleet.Strategy) { s.MaxUnavailable = fleet.Amount{} },
	} {
		s := plain
		change(&s)
		if got := Capacity(&s, 21, 64<<20); got >= base {
			t.Errorf("%s: got %d, without it %d", name, got, base)
		}
	}
	if got := Capacity(&plain, 64, 64<<20); got >= base {
		t.Errorf("long ids: got %d, short ones %d", got, base)
	}
	if request := shareOf(nil, 0); request.ids < 30 || request.bytes < 3000 {
		t.Errorf("a request, whose desktops may be of any fleet: got %+v", request)
	}
}

// A rollback of more desktops than a record holds is opened by several, and none of them
// counts before the last.
func TestARollbackOfManyDesktopsIsOpenedByManyRecords(t *testing.T) {
	op := Operation{ID: "v1/office/rollback", Fleet: "office", Undoes: "v1/office", Spec: desktop.Spec{ImageID: "m-new"}, Back: map[string][]string{}}
	for i := range maxBack + 1 {
		image := fmt.Sprint("m-", i%2)
		op.Back[image] = append(op.Back[image], fmt.Sprintf("ecd-%060d", i))
	}
	records := Opening(op, noon)
	lines, err := Encode(records)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Decode(lines)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.Apply(read[:3]...) // and then the invocation was ended
	if s.Operation != nil {
		t.Fatal("it is open before all is written")
	}
	s.Apply(read...)
	s.Apply(Record{Kind: KindBack, At: noon, Name: "m-x", Desktops: []string{"ecd-late"}})
	if s.Operation == nil || len(s.Operation.to) != maxBack+1 || s.Operation.Back != nil { // what stands in other records does not stand here too
		t.Fatalf("got %d records, and %+v", len(records), s.Operation)
	}
	for image, ids := range op.Back {
		for _, id := range ids {
			if got := s.Operation.SpecOf(id).ImageID; got != image {
				t.Fatalf("%s goes back to %q, want %q", id, got, image)
			}
		}
	}
	op.Back["m-0"] = op.Back["m-0"][1:]
	if few := Opening(op, noon); len(few) != 1 || len(few[0].Operation.Back) != 2 {
		t.Errorf("as many as one record holds: got %d records", len(few))
	}
}

// A build that does not know the records of a large rollback must not take the rest for
// all of it.
func TestTheRecordsOfALargeRollbackMustNotBeIgnored(t *testing.T) {
	lines, err := Encode([]Record{{Kind: KindBack, At: noon, Name: "m-1", Desktops: []string{"ecd-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(lines)
	if err != nil || got[0].V <= Version {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A rollback that the journal does not hold is refused at the door.
func TestARollbackThatIsTooLargeIsRefused(t *testing.T) {
	v := officeOf(0, 1<<20)
	s := fleet.Default()
	op := Operation{ID: "v1/office/rollback", Fleet: "office", Undoes: "v1/office"}
	ids := make([]string, Capacity(&s, 21, 1<<20))
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-%017d", i)
	}
	if got := BackTooLarge(op, v.r, ids); got == "" {
		t.Error("the images that they go back to take room as well")
	}
	if got := BackTooLarge(op, v.r, ids[:len(ids)*9/10]); got != "" {
		t.Errorf("got %q", got)
	}
}

// A large fleet is read in so few looks that the facts of one decision suffice.
func TestALargeFleetIsReadInFewLooks(t *testing.T) {
	for n, want := range map[int]int{1: 100, 20_000: 100, 20_001: 200, 100_000: 500} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
		v.s.Order = make([]string, n)
		if got := v.page(); got != want || n/got > 200 {
			t.Errorf("%d desktops: got %d at once, want %d", n, got, want)
		}
	}
}

// The last byte counts for what is set aside, and a call that is under way has had a third.
func TestRoomIsCountedToTheByte(t *testing.T) {
	for _, request := range []bool{false, true} {
		v := officeOf(0, 100_000)
		if request {
			v.s.Operation.Fleet = ""
		}
		empty := v.room(nil)
		v.s.Desktops, v.s.Order = map[string]*Desktop{"ecd-1": {ID: "ecd-1"}}, []string{"ecd-1"}
		pending := empty - v.room(nil)
		v.s.Desktops["ecd-1"].Phase = Begun
		if begun := empty - v.room(nil); begun != pending*2/3 || pending <= 0 {
			t.Errorf("request %t: a pending desktop takes %d, a begun one %d", request, pending, begun)
		}
		v.s.Desktops["ecd-1"].Phase = Pending
		most := v.room(nil)
		for more, want := range map[int64]bool{0: false, 1: true} {
			v.s.Length = most + more
			_, full := v.full(v.fleet())
			if got := v.givenUp() != nil; got != want || full != want || (v.tooLarge(nil) != "") != want {
				t.Errorf("request %t, %d bytes too much: got %t, %t and %q", request, more, got, full, v.tooLarge(nil))
			}
		}
		v.r.JournalLimit = 0
		if _, full := v.full(nil); full || v.givenUp() != nil {
			t.Error("without a bound there is none")
		}
	}
	for length, want := range map[int64]bool{3100: false, 3101: true} {
		s := &State{Length: length}
		if got := s.Crammed(3200); got != want || s.Crammed(0) {
			t.Errorf("%d of 3200 bytes: got %t", length, got)
		}
	}
}

// Who has ended and is still in maintenance mode, or stopped, by us writes its restoring
// down: no room was kept for that.
func TestRoomIsKeptForThoseWhoAreStillToBeRestored(t *testing.T) {
	v := officeOf(0, 1<<20)
	v.s.Desktops["ecd-1"] = &Desktop{ID: "ecd-1", Phase: Final}
	ended := v.room(nil)
	for _, x := range []Desktop{{Held: true}, {Stopped: true}} {
		x.ID, x.Phase = "ecd-1", Final
		v.s.Desktops["ecd-1"] = &x
		if left, need := v.room(nil), 3*int64(len(`"ecd-1",`)); left > ended-need {
			t.Errorf("%+v: %d bytes are left, %d without it; want %d kept for it", x, left, ended, need)
		}
	}
}

// A plan says that the fleet is listed too long; a plan of a request has no fleet.
func TestAPlanSaysWhatHaltsTheRollout(t *testing.T) {
	v := officeOf(3, 1_000)
	long := &Unread{Code: events.CodeFleetTooLarge, Message: "too long"}
	if got := v.roomGate(nil, long); len(got) != 1 || got[0] != "it halts before its first wave: too long" {
		t.Errorf("got %q", got)
	}
	if got := v.roomGate(nil, &Unread{Code: events.CodeThrottled, Message: "later"}); got != nil {
		t.Errorf("got %q", got)
	}
	v.s.Operation.Fleet = ""
	if got := v.roomGate([]events.PlanWave{{Desktops: planned(v)}}, nil); got != nil {
		t.Errorf("a request: got %q", got)
	}
}
