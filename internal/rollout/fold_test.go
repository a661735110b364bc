package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// journal makes up the journal of a request or of a rollout: not one that ever
// was written, but records of every kind in any order, some about desktops that
// nobody knows, some of a kind that nobody knows.
func journal(r *rand.Rand, lines int) []rollout.Record {
	ids := []string{"ecd-1", "ecd-2", "ecd-3", "ecd-4", "ecd-nobody"}
	some := func() []string {
		var out []string
		for _, id := range ids {
			if r.IntN(2) == 0 {
				out = append(out, id)
			}
		}
		return out
	}
	work := rollout.Operation{ID: "w", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	if r.IntN(2) == 0 {
		work.Desktops = ids[:4]
	} else {
		work.ID, work.Fleet, work.ReleaseID = "w/office", "office", "w"
	}
	kinds := []rollout.Kind{rollout.KindWave, rollout.KindWaveEnded, rollout.KindBegun, rollout.KindEnded, rollout.KindSettled, rollout.KindNotBegun,
		rollout.KindSeen, rollout.KindPublished, rollout.KindTick, rollout.KindArrived, rollout.KindHolding, rollout.KindHeld, rollout.KindReleasing, rollout.KindReleased,
		rollout.KindStopping, rollout.KindStarting, rollout.KindStarted, rollout.KindChecking, rollout.KindWaiting, rollout.KindHalted, rollout.KindControl,
		rollout.KindSuperseded, rollout.KindGoingBack, rollout.KindStays, rollout.KindClosed, "of-a-later-version"}
	codes := []string{events.CodeSuccess, events.CodeOutcomeUnknown, events.CodeThrottled, events.CodeStatusWait, rollout.IncorrectDesktopStatus}
	out := []rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &work}}
	for n := range lines {
		at := start.Add(time.Duration(n) * time.Minute)
		rec := rollout.Record{Kind: kinds[r.IntN(len(kinds))], At: at, Desktops: some(), Call: fmt.Sprint("c", r.IntN(4)), By: "i"}
		switch rec.Kind {
		case rollout.KindBegun:
			for range rec.Desktops {
				rec.From = append(rec.From, "m-old")
			}
		case rollout.KindEnded, rollout.KindSettled, rollout.KindPublished:
			rec.Outcomes = []rollout.Group{{Status: events.Statuses[r.IntN(len(events.Statuses))], Code: codes[r.IntN(len(codes))], Desktops: rec.Desktops, Until: at.Add(time.Minute)}}
			if rec.Kind == rollout.KindPublished {
				rec.Outcomes[0].N = r.IntN(3)
			}
			rec.Desktops = nil
		case rollout.KindWave:
			rec.Wave, rec.Waves, rec.Size = 1+r.IntN(3), 3, 4
		case rollout.KindWaveEnded:
			rec.Wave = 1 + r.IntN(3)
		case rollout.KindTick:
			rec.N, rec.Until = r.IntN(10), at.Add(time.Minute)
		case rollout.KindWaiting, rollout.KindHalted, rollout.KindStays:
			rec.Reason = &events.Reason{Code: events.CodeSoaking, Message: "because"}
			rec.Action = []string{"", "rollback", "rollback-now"}[r.IntN(3)]
		case rollout.KindControl:
			rec.Action, rec.Who, rec.Message = events.Actions[r.IntN(len(events.Actions))], "alice", fmt.Sprint("message", r.IntN(5))
		case rollout.KindSuperseded:
			rec.Who = "v2/office"
		case rollout.KindClosed:
			if r.IntN(4) > 0 {
				continue
			}
			rec.Digest = "sha256:x"
		}
		out = append(out, rec)
	}
	return out
}

// journals calls f with many journals.
func journals(t *testing.T, f func(t *testing.T, r *rand.Rand, log []rollout.Record)) {
	t.Helper()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		f(t, r, journal(r, r.IntN(40)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func fold(log []rollout.Record) *rollout.State {
	s := rollout.NewState()
	s.Apply(log...)
	return s
}

func TestAJournalFoldsTheSameHoweverItIsCutAndWritten(t *testing.T) {
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		want := fold(log)
		cut := rollout.NewState()
		for rest := log; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			lines, err := rollout.Encode(rest[:n])
			if err != nil {
				t.Fatal(err)
			}
			again, err := rollout.Decode(lines)
			if err != nil {
				t.Fatal(err)
			}
			cut.Apply(again...)
			rest = rest[n:]
		}
		if !reflect.DeepEqual(cut, want) {
			t.Errorf("got %+v\nwant %+v", cut, want)
		}
	})
}

func TestWhatIsPublishedTwiceCountsOnce(t *testing.T) {
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		var twice []rollout.Record
		for _, rec := range log {
			twice = append(twice, rec)
			if rec.Kind == rollout.KindPublished || rec.Kind == rollout.KindTick {
				twice = append(twice, rec)
			}
		}
		once, again := fold(log), fold(twice)
		for _, id := range once.Order {
			if a, b := once.Desktops[id], again.Desktops[id]; !reflect.DeepEqual(a, b) {
				t.Errorf("got %+v\nwant %+v", b, a)
			}
		}
		if once.TickN != again.TickN || !once.TickAt.Equal(again.TickAt) || len(once.UnpublishedEvents) != len(again.UnpublishedEvents) {
			t.Errorf("got tick %d at %s and %d news, want %d at %s and %d", again.TickN, again.TickAt, len(again.UnpublishedEvents), once.TickN, once.TickAt, len(once.UnpublishedEvents))
		}
	})
}

func TestRecordsOfALaterVersionAreIgnored(t *testing.T) {
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		var known []rollout.Record
		for _, rec := range log {
			if rec.Kind != "of-a-later-version" {
				known = append(known, rec)
			}
		}
		a, b := fold(log), fold(known)
		if !reflect.DeepEqual(a.Desktops, b.Desktops) || a.Closed != b.Closed || !reflect.DeepEqual(a.Waves, b.Waves) {
			t.Error("a record of an unknown kind changed something")
		}
	})
}

// A desktop is begun only while it is Pending, and what is final stays so until
// somebody asks for another try: whatever is written, in whatever order.
func TestNoRecordTakesADesktopBackFromItsEnd(t *testing.T) {
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		s := rollout.NewState()
		for _, rec := range log {
			ended := map[string]bool{}
			for id, d := range s.Desktops {
				ended[id] = d.Phase == rollout.Final
			}
			s.Apply(rec)
			retry := rec.Kind == rollout.KindControl && rec.Action == events.ActionRetry
			for id, was := range ended {
				if was && s.Desktops[id].Phase != rollout.Final && !retry && rec.Kind != rollout.KindBegun {
					t.Errorf("%s came back from its end by %+v", id, rec)
				}
			}
		}
	})
}

func TestOutcomesOfADesktopAreCountedWithoutGaps(t *testing.T) {
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		var kept []rollout.Record
		for _, rec := range log {
			if rec.Kind != rollout.KindPublished {
				kept = append(kept, rec)
			}
		}
		for id, d := range fold(kept).Desktops {
			n := map[events.Status]int{}
			for _, o := range d.Unpublished {
				if n[o.Status]++; o.N != n[o.Status] {
					t.Errorf("outcome %s of %s is number %d, want %d", o.Status, id, o.N, n[o.Status])
				}
			}
		}
	})
}

func TestDecodeRefusesWhatItMayNotUnderstand(t *testing.T) {
	for name, lines := range map[string]string{
		"a line that is cut off":   `{"v":1,"kind":"opened","at":"2026-11-23T08:00:00Z"}`,
		"no JSON":                  "opened\n",
		"no version":               `{"kind":"opened","at":"2026-11-23T08:00:00Z"}` + "\n",
		"a version to come":        `{"v":2,"kind":"opened","at":"2026-11-23T08:00:00Z"}` + "\n",
		"an empty line":            "\n",
		"good, and then no record": `{"v":1,"kind":"opened","at":"2026-11-23T08:00:00Z"}` + "\n[]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := rollout.Decode([]byte(lines)); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		lines, err := rollout.Encode(journal(r, 10))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(lines)
	}
	f.Add([]byte(`{"v":1,"kind":"freeze","at":"2026-11-23T08:00:00Z","name":"f1","who":"ada","until":"2026-11-24T08:00:00Z","regions":["cn-hangzhou"]}
{"v":1,"kind":"lift","at":"2026-11-23T09:00:00Z","name":"f1","who":"ada"}
`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		_ = rollout.EndingIn(lines)
		records, err := rollout.Decode(lines)
		if err != nil {
			return
		}
		log, freezes := rollout.ReadFleetLog(records), rollout.ReadFreezes(records)
		if last := log.Latest(); last != nil && log.Find(last.ID) == nil {
			t.Fatalf("the latest entry of a fleet's log cannot be found: %+v", last)
		}
		for _, r := range records {
			if f := freezes.Holds("cn-hangzhou", "office", r.At); f != nil && (f.Lifted != "" || !r.At.Before(f.Until)) {
				t.Fatalf("it holds and is over: %+v", f)
			}
		}
		s := fold(records)
		_, _, _ = s.Counts(), s.Quiet(), s.Undo()
		again, err := rollout.Encode(records)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := rollout.Decode(again)
		if err != nil || len(back) != len(records) {
			t.Fatalf("what was written cannot be read: %d records of %d, %v", len(back), len(records), err)
		}
	})
}

// A wave is told in several records, and maybe by two instances: what adds to it is
// what says that it has more desktops, as long as it is under way.
func TestWhatAddsToAWave(t *testing.T) {
	wave := func(n, of int, ids ...string) rollout.Record {
		return rollout.Record{Kind: rollout.KindWave, At: start, Wave: n, Waves: 2, Size: 9, Of: of, Desktops: ids}
	}
	ended := rollout.Record{Kind: rollout.KindWaveEnded, At: start, Wave: 1}
	for name, c := range map[string]struct {
		records []rollout.Record
		want    []string
		of      int
	}{
		"in two records":                           {[]rollout.Record{wave(1, 3, "a", "b"), wave(1, 3, "c")}, []string{"a", "b", "c"}, 3},
		"the rest has left the fleet":              {[]rollout.Record{wave(1, 3, "a", "b"), wave(1, 2)}, []string{"a", "b"}, 2},
		"in another order":                         {[]rollout.Record{wave(1, 2, "a", "b"), wave(1, 2, "c", "a")}, []string{"a", "b"}, 2},
		"by another instance":                      {[]rollout.Record{wave(1, 0, "a", "b"), wave(1, 0, "a", "c")}, []string{"a", "b"}, 0},
		"the canary takes in more":                 {[]rollout.Record{wave(1, 0, "a"), wave(1, 2, "b")}, []string{"a", "b"}, 2},
		"the canary is over, and takes in no more": {[]rollout.Record{wave(1, 0, "a"), ended, wave(1, 2, "b")}, []string{"a"}, 0},
	} {
		s := fold(append([]rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1"}}}, c.records...))
		if w := s.Wave(); !reflect.DeepEqual(w.Desktops, c.want) || w.Of != c.of || !reflect.DeepEqual(s.Order, c.want) {
			t.Errorf("%s: got %v of %d, and %v in all", name, w.Desktops, w.Of, s.Order)
		}
	}
}

// What is told of a message that is not followed had the counts of the moment at which it came again.
func TestWhatIsToldOfARefusalIsHowItWasThen(t *testing.T) {
	s := rollout.NewState()
	why := &events.Reason{Code: events.CodeControlNotPossible, Message: "it is not paused"}
	s.Apply(
		rollout.Record{Kind: rollout.KindRefused, Message: "m0", Reason: why},
		rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office"}},
		rollout.Record{Kind: rollout.KindRefused, Message: "m1", Reason: why},
		rollout.Record{Kind: rollout.KindWave, Wave: 1, Waves: 3, Size: 5, Desktops: []string{"ecd-1", "ecd-2"}},
		rollout.Record{Kind: rollout.KindBegun, Desktops: []string{"ecd-1"}},
		rollout.Record{Kind: rollout.KindRefused, Message: "m2", Event: "e2", Reason: why},
		rollout.Record{Kind: rollout.KindBegun, Desktops: []string{"ecd-2"}},
		rollout.Record{Kind: rollout.KindRefused, Message: "m4", Event: "e2", Reason: why}, // the same order in another message
		rollout.Record{Kind: rollout.KindRefused, Message: "m1", Event: "e2", Reason: why},
		rollout.Record{Kind: rollout.KindRefused, Message: "m2", Reason: &events.Reason{Code: events.CodeJournalFull}}, // of another delivery, too late
	)
	for message, want := range map[string]*rollout.Refusal{
		"m0": {Reason: why},
		"m1": {Reason: why, Opened: true},
		"m2": {Reason: why, Opened: true, Wave: 1, Waves: 3, Counts: events.Counts{Fleet: 5, Pending: 4, Running: 1}},
		"m3": nil,
		"m4": {Reason: why, Opened: true, Wave: 1, Waves: 3, Counts: events.Counts{Fleet: 5, Pending: 4, Running: 1}},
	} {
		if got := s.Answers[message]; !reflect.DeepEqual(got, want) || s.Refusals[message] != (want != nil) {
			t.Errorf("%s: got %+v, want %+v", message, got, want)
		}
	}
}

// Earlier builds wrote down that a plan was refused, and not what was told.
func TestWhatAnEarlierBuildRefusedForItsPlanStaysRefused(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindUnplanned, Digest: "sha256:0", Message: "mns:1"}, rollout.Record{Kind: rollout.KindUnplanned, Digest: "sha256:1"})
	want := map[string]*rollout.Refusal{"mns:1": {Reason: &events.Reason{Code: events.CodePlanChanged, Message: rollout.PlanChanged}}}
	if !reflect.DeepEqual(s.Answers, want) {
		t.Errorf("got %+v, want that the plan has changed", s.Answers)
	}
}

// A refusal that names no message is an answer to none: a pause, which has no event that it is
// known by, would be told the same.
func TestARefusalWithoutAMessageAnswersNothing(t *testing.T) {
	why := &events.Reason{Code: events.CodeControlNotPossible, Message: "no"}
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindRefused, Reason: why}, rollout.Record{Kind: rollout.KindRefused, Message: "m-1", Reason: why})
	if len(s.Answers) != 1 || len(s.Refusals) != 1 || s.Answers["m-1"] == nil || !s.Refusals["m-1"] {
		t.Errorf("got answers %v and refusals %v, want those of m-1", s.Answers, s.Refusals)
	}
}
