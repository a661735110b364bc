package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// at is when everything in these tests begins.
var at = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

const id = "2026.11.3/office"

// underWay is a rollout of six desktops: one completed, one failed, one under
// way, three not begun.
func underWay() []rollout.Record {
	op := rollout.Operation{ID: id, Fleet: "office", ReleaseID: "2026.11.3", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	group := func(s events.Status, code string, ids ...string) []rollout.Group {
		return []rollout.Group{{Status: s, Code: code, Message: "why", Desktops: ids}}
	}
	return []rollout.Record{
		{Kind: rollout.KindOpened, At: at, Operation: &op},
		{Kind: rollout.KindWave, At: at, Wave: 1, Waves: 2, Name: "canary", Size: 6, Desktops: []string{"a", "b", "c", "d"}},
		{Kind: rollout.KindBegun, At: at, Call: "1", Desktops: []string{"a", "b", "c"}, From: []string{"m-old", "m-old", "m-older"}},
		{Kind: rollout.KindEnded, At: at, Call: "1", Outcomes: group(events.StatusAccepted, "Success", "a", "b", "c")},
		{Kind: rollout.KindSettled, At: at, Outcomes: group(events.StatusCompleted, "Completed", "a")},
		{Kind: rollout.KindSettled, At: at, Outcomes: group(events.StatusFailed, "RebuildFailed", "b")},
	}
}

func folded(records ...rollout.Record) *rollout.State {
	s := rollout.NewState()
	s.Apply(records...)
	return s
}

func TestAControlSaysWhatItTouches(t *testing.T) {
	for action, want := range map[string]Touch{
		events.ActionPause: {Desktops: []string{"d"}, UnderWay: []string{"c"},
			Facts: []string{"1 desktop is under way: what was begun is followed to its end", "3 desktops are not begun yet, and will not be until somebody says resume"}},
		events.ActionResume: {Desktops: []string{"d"}, Refused: "it is neither paused nor halted"},
		events.ActionAbort:  {Desktops: []string{"c"}, Facts: []string{"1 desktop is under way", "3 desktops are not begun yet, and never will be"}},
		events.ActionRetry:  {Desktops: []string{"b"}, Facts: []string{"1 desktop failed and will be tried again", "1 × RebuildFailed: why"}},
		events.ActionRollback: {Desktops: []string{"a", "b", "c"}, Back: []Back{{"m-old", 2}, {"m-older", 1}},
			Facts: []string{"3 desktops were changed", "2 go back to image m-old", "1 goes back to image m-older", "does not come back: only the images do", "1 desktop is still under way"}},
		events.ActionApprove: {Desktops: []string{}, Refused: "no wave is finished"},
	} {
		got := TouchOf(folded(underWay()...), action, 0)
		if !slices.Equal(got.Desktops, want.Desktops) || !slices.Equal(got.Back, want.Back) ||
			!strings.Contains(got.Refused, want.Refused) || want.Refused == "" && got.Refused != "" || want.UnderWay != nil && !slices.Equal(got.UnderWay, want.UnderWay) {
			t.Errorf("%s: got %+v, want %+v", action, got, want)
		}
		all := strings.Join(got.Facts, "\n")
		for _, fact := range want.Facts {
			if !strings.Contains(all, fact) {
				t.Errorf("%s: %q is not in\n%s", action, fact, all)
			}
		}
	}
}

func TestHowAWorkStandsAndEnds(t *testing.T) {
	record := func(k rollout.Kind) rollout.Record {
		return rollout.Record{Kind: k, At: at, Who: "r9/office", Reason: &events.Reason{Code: "X", Message: "why"}}
	}
	control := func(action string) rollout.Record {
		return rollout.Record{Kind: rollout.KindControl, At: at, Action: action, Who: "ann", Message: action, Reason: &events.Reason{Message: "why"}}
	}
	done := rollout.Record{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Desktops: []string{"d"}},
		{Status: events.StatusCompleted, Desktops: []string{"c"}}}}
	for _, tt := range []struct {
		name  string
		more  []rollout.Record
		state string
		why   string
		end   End
	}{
		{"under way", nil, Running, "", NotYet},
		{"waiting", []rollout.Record{record(rollout.KindWaiting)}, Waiting, "why", NotYet},
		{"paused", []rollout.Record{control("pause")}, Paused, "paused by ann", NotYet},
		{"halted", []rollout.Record{record(rollout.KindHalted)}, Halted, "why", Stopped},
		{"aborted, and followed", []rollout.Record{control("abort")}, Aborted, "aborted by ann", NotYet},
		{"aborted", []rollout.Record{control("abort"), done, record(rollout.KindClosed)}, Aborted, "aborted by ann", Stopped},
		{"superseded", []rollout.Record{record(rollout.KindSuperseded), done, record(rollout.KindClosed)}, Superseded, "superseded by r9/office", Stopped},
		{"with a failure", []rollout.Record{done, record(rollout.KindClosed)}, Incomplete, "", WithFailures},
		{"tried again", []rollout.Record{control("retry"),
			{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Desktops: []string{"b"}}}}, done, record(rollout.KindClosed)}, Completed, "", AllCompleted},
	} {
		w := OperationOf(folded(append(underWay(), tt.more...)...))
		if w.State != tt.state || w.Why != tt.why || EndOf(w) != tt.end {
			t.Errorf("%s: got %s, %q, %v, want %s, %q, %v", tt.name, w.State, w.Why, EndOf(w), tt.state, tt.why, tt.end)
		}
	}
}

// stored returns a store with the journal of a work.
func stored(t *testing.T, kind, id string, records ...rollout.Record) journal.Store {
	t.Helper()
	s := journaltest.Memory()
	put(t, s, kind, id, records...)
	return s
}

func put(t *testing.T, s journal.Store, kind, id string, records ...rollout.Record) {
	t.Helper()
	lines, err := rollout.Encode(records)
	if err != nil {
		t.Fatal(err)
	}
	_, length, err := s.Read(t.Context(), journal.Key(kind, id), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), journal.Key(kind, id), length, lines); err != nil {
		t.Fatal(err)
	}
}

var errEnough = errors.New("waited enough")

// An answer is told from what somebody said before in the same words.
func TestAnAnswerIsToTheMessageThatWasSent(t *testing.T) {
	said := func(message, who string) rollout.Record {
		return rollout.Record{Kind: rollout.KindControl, At: at, Action: "pause", Who: who, Message: message, Reason: &events.Reason{Message: "lunch"}}
	}
	resumed := rollout.Record{Kind: rollout.KindControl, At: at, Action: "resume", Who: "ann", Message: "mns:2", Reason: &events.Reason{Message: "back"}}
	before := append(underWay(), said("mns:1", "ann"), resumed)
	for name, tt := range map[string]struct {
		after []rollout.Record
		taken bool
	}{
		"nothing came":         {nil, false},
		"the message":          {[]rollout.Record{said("mns:7", "ann")}, true},
		"its twin":             {[]rollout.Record{said("mns:8", "ann")}, true},
		"somebody else's":      {[]rollout.Record{said("mns:9", "bob")}, false},
		"somebody's, and then": {[]rollout.Record{said("mns:9", "bob"), resumed, said("mns:7", "ann")}, true},
	} {
		s := stored(t, Rollout, id, before...)
		c := Control{Control: events.Control{RolloutID: id, Action: "pause", By: "ann", Reason: "lunch"}, MessageID: "7", Before: Controls(before)}
		looks := 0
		a, err := c.Answer(t.Context(), s, func(context.Context) error {
			if looks++; looks == 2 {
				return errEnough
			}
			if len(tt.after) > 0 {
				put(t, s, Rollout, id, tt.after...)
			}
			return nil
		})
		if (err == nil) != tt.taken || err != nil && !errors.Is(err, errEnough) {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
		if tt.taken && a.Taken != "rollout/"+id {
			t.Errorf("%s: got %+v", name, a)
		}
	}
}

// An approve that names no wave is for the fleets that a rollout waits for, whatever stands
// behind its waves.
func TestAnApprovalOfARolloutThatWaitsForFleetsSaysSo(t *testing.T) {
	waits := rollout.Record{Kind: rollout.KindWaiting, At: at, Rings: []string{"pilot: halted"},
		Reason: &events.Reason{Code: events.CodeRingAwaited, Message: "release r begins here once it has completed on pilot: pilot has halted in it"}}
	want := []string{"it waits: release r begins here once it has completed on pilot: pilot has halted in it",
		"it goes on without the fleets that it comes after, until something else is wrong there; 3 desktops are not begun yet"}
	if got := TouchOf(folded(append(underWay(), waits)...), events.ActionApprove, 0); got.Refused != "" || !slices.Equal(got.Facts, want) {
		t.Errorf("got %+v, want %q", got, want)
	}
}

// A request that has begun nothing can be stopped, and says so in its own words.
func TestARequestThatHasBegunNothingCanBeStopped(t *testing.T) {
	op := rollout.Operation{ID: "t1", Desktops: []string{"a", "b"}, NotBefore: at.Add(time.Hour)}
	s := folded(rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &op})
	got := TouchOf(s, events.ActionAbort, 0)
	want := []string{"nothing is under way", "2 desktops are not begun yet, and never will be by this request"}
	if got.Refused != "" || !slices.Equal(got.Facts, want) {
		t.Errorf("abort: got %+v, want %q", got, want)
	}
	if got, want := TouchOf(s, events.ActionRollback, 0).Refused, "it has not changed any desktop; abort ends it before it does"; got != want {
		t.Errorf("rollback: got %q, want %q", got, want)
	}
}

// Whoever stops a rollback is not told that a rollback is possible then.
func TestWhatIsLeftAfterAnAbort(t *testing.T) {
	for undoes, want := range map[string]string{"": "0 desktops are not begun yet, and never will be by this request; only rollback is possible then",
		"t0": "0 desktops are not begun yet, and never will be by this request"} {
		op := rollout.Operation{ID: "t1", Undoes: undoes, Desktops: []string{"a"}, Spec: desktop.Spec{ImageID: "m-new"}}
		s := folded(rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &op}, rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"a"}, From: []string{"m-old"}})
		if got := TouchOf(s, events.ActionAbort, 0).Facts; !slices.Contains(got, want) {
			t.Errorf("it undoes %q: got %q, want %q among them", undoes, got, want)
		}
	}
}

// What is not there is refused as well: whoever waits for the answer hears it.
func TestARefusalOfWhatIsNotThereIsHeard(t *testing.T) {
	s := stored(t, Request, "t1", rollout.Record{Kind: rollout.KindRefused, At: at, Action: "abort", Message: "mns:7",
		Reason: &events.Reason{Code: "ControlNotPossible", Message: "there is no such request in the journal"}})
	c := Control{Control: events.Control{RequestID: "t1", Action: "abort", By: "ann", Reason: "bad"}, MessageID: "7"}
	a, err := c.Answer(t.Context(), s, func(context.Context) error { return errEnough })
	if _, refused := errors.AsType[*RefusedError](err); !refused {
		t.Errorf("got %+v, %v", a, err)
	}
}

// A request that was refused is not opened: its journal says so, of the message or of the plan.
func TestARequestThatWasRefusedIsHeard(t *testing.T) {
	why := &events.Reason{Code: events.CodeInvalidRequest, Message: "notBefore: is more than 7 days ahead"}
	s := folded(rollout.Record{Kind: rollout.KindRefused, At: at, Name: "t1", Message: "mns:7", Reason: why},
		rollout.Record{Kind: rollout.KindUnplanned, At: at, Name: "t1", Digest: "sha256:1"})
	for _, tt := range []struct{ message, digest, want string }{
		{"7", "", "the function refuses it (InvalidRequest): notBefore: is more than 7 days ahead"}, {"8", "", ""}, {"8", "sha256:2", ""},
		{"8", "sha256:1", "the function refuses it (PlanChanged): " + rollout.PlanChanged},
	} {
		err := RefusedRequest(s, tt.message, tt.digest)
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || err != nil && got != tt.want {
			t.Errorf("message %s, plan %s: got %v, want %q", tt.message, tt.digest, err, tt.want)
		}
	}
}

// A release may be refused with a plan and taken with it later: what counts is how often.
func TestRefusalsOfAPlanAreCounted(t *testing.T) {
	s := stored(t, "fleet", "office", rollout.Record{Kind: rollout.KindUnplanned, At: at, Name: "r1/office", Digest: "sha256:1"},
		rollout.Record{Kind: rollout.KindUnplanned, At: at, Name: "r2/office", Digest: "sha256:1"})
	n, err := PlanRefusals(t.Context(), s, []string{"r1/office", "r1/lab"}, "sha256:1")
	if n != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", n, err)
	}
}

func TestARollbackIsAnsweredByItsOwnRollout(t *testing.T) {
	s := stored(t, Rollout, id, underWay()...)
	op := rollout.Operation{ID: id + "/rollback", Fleet: "office", Undoes: id, By: "ann", Why: "bad"}
	put(t, s, Rollout, op.ID, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &op})
	ask := func(why string) (Answer, error) {
		c := Control{Control: events.Control{RolloutID: id, Action: events.ActionRollback, By: "ann", Reason: why}}
		return c.Answer(t.Context(), s, func(context.Context) error { return errEnough })
	}
	if a, err := ask("bad"); err != nil || a.Taken != "rollout/"+id+"/rollback" {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, err := ask("another reason"); !errors.Is(err, errEnough) {
		t.Errorf("somebody else's rollback: got %+v, %v", a, err)
	}
}

func TestOnlyRolloutsOfTheReleaseAreFound(t *testing.T) {
	s := journaltest.Memory()
	long := strings.Repeat("long", 60)
	for _, x := range []string{"r1/office", "r1/lab", "r1/office/rollback", "r10/office", "r1/a/office", long + "/office"} {
		op := rollout.Operation{ID: x, Fleet: "office"}
		put(t, s, Rollout, x, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &op})
	}
	put(t, s, Rollout, "r1/nowhere", rollout.Record{Kind: rollout.KindRefused, At: at, Action: "pause", Message: "mns:7"}) // there is no such rollout
	known := map[string]string{}
	for release, want := range map[string][]string{"r1": {"r1/lab", "r1/office"}, "r10": {"r10/office"}, "r1/a": {"r1/a/office"}, long: {long + "/office"}, "r2": nil} {
		if got, err := OfRelease(t.Context(), s, release, known); err != nil || !slices.Equal(got, want) {
			t.Errorf("%.10s: got %q, %v, want %q", release, got, err, want)
		}
	}
	if got, want := known[journal.Key(Rollout, "r1/lab")], "r1/lab"; got != want || known[journal.Key(Rollout, "r1/nowhere")] != "" {
		t.Errorf("remembered %q", known)
	}
}

func TestAListingHasWhatWasAskedFor(t *testing.T) {
	s := journaltest.Memory()
	for n := range 30 {
		op := rollout.Operation{ID: fmt.Sprintf("t%02d", n), Desktops: []string{"a"}}
		records := []rollout.Record{{Kind: rollout.KindOpened, At: at.Add(time.Duration(n) * time.Minute), Operation: &op}}
		if n%3 == 0 {
			records = append(records, rollout.Record{Kind: rollout.KindClosed, At: at})
		}
		put(t, s, Request, op.ID, records...)
	}
	put(t, s, Rollout, id, underWay()...)
	both := []string{Request, Rollout}
	for _, tt := range []struct {
		q                     Query
		works, ended, notRead int
	}{
		{Query{Kinds: both}, 21, 10, 0},
		{Query{Kinds: both, Ended: true}, 31, 0, 0},
		{Query{Kinds: both, Ended: true, Readers: 8}, 31, 0, 0},
		{Query{Kinds: []string{Rollout}}, 1, 0, 0},
		{Query{Kinds: both, Ended: true, Most: 4}, 5, 0, 26},
	} {
		l, err := List(t.Context(), s, tt.q)
		if err != nil || len(l.Operations) != tt.works || l.Ended != tt.ended || l.NotRead != tt.notRead || l.Empty {
			t.Errorf("%+v: got %d works, %d ended, %d not read, %v", tt.q, len(l.Operations), l.Ended, l.NotRead, err)
		}
		if !slices.IsSortedFunc(l.Operations, func(a, b Operation) int { return b.Opened.Compare(a.Opened) }) {
			t.Errorf("%+v: not the latest first", tt.q)
		}
	}
	if l, err := List(t.Context(), journaltest.Memory(), Query{Kinds: both}); err != nil || !l.Empty {
		t.Errorf("an empty journal: got %+v, %v", l, err)
	}
	put(t, s, Request, "broken", rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "broken"}})
	if _, err := s.Append(t.Context(), journal.Key(Request, "torn"), 0, []byte("no record\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := List(t.Context(), s, Query{Kinds: both}); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a journal that cannot be read: got %v, want it named", err)
	}
}

// A listing that is made again and again reads only what is open or has grown:
// what has ended may become unreadable, and nobody notices.
func TestWhatHasEndedIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := journal.Open("file://"+dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	op := rollout.Operation{ID: "a", Desktops: []string{"d"}}
	put(t, s, Request, "a", rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &op}, rollout.Record{Kind: rollout.KindClosed, At: at})
	q := Query{Kinds: []string{Request}, Over: map[string]int64{}}
	list := func() (Listing, error) { return List(t.Context(), s, q) }
	if l, err := list(); err != nil || l.Ended != 1 {
		t.Fatalf("got %+v, %v", l, err)
	}
	path := filepath.Join(dir, filepath.FromSlash(journal.Key(Request, "a")))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	garbage := strings.Repeat("x", int(info.Size())-1) + "\n"
	if err := os.WriteFile(path, []byte(garbage), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := list(); err != nil || l.Ended != 1 {
		t.Errorf("as long as it was: got %+v, %v", l, err)
	}
	if err := os.WriteFile(path, []byte(garbage+garbage), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := list(); err == nil {
		t.Error("it has grown, and was not read")
	}
}

// What is skipped without being decoded is what folding would skip, whatever
// somebody writes into a reason.
func TestEndedIsSeenWithoutDecodingOnlyWhereItIsTrue(t *testing.T) {
	encode := func(records ...rollout.Record) []byte {
		lines, err := rollout.Encode(records)
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	evil := rollout.Record{Kind: rollout.KindControl, At: at, Action: "pause", Who: "x", Reason: &events.Reason{Message: "\n" + string(closedLine) + "\n"}}
	if closed(encode(append(underWay(), evil)...)) {
		t.Error("a reason made an open rollout look ended")
	}
	if !closed(encode(append(underWay(), evil, rollout.Record{Kind: rollout.KindClosed, At: at}, rollout.Record{Kind: rollout.KindPublished, At: at})...)) {
		t.Error("an ended rollout is decoded: has the form of records changed?")
	}
}

// A build that writes more than this one knows must not break who reads it.
func TestFieldsThatAreNotKnownAreOverlooked(t *testing.T) {
	s := journaltest.Memory()
	line := `{"v":1,"kind":"opened","at":"2026-11-23T11:00:00Z","new":{"a":[1]},"work":{"id":"t1","regionId":"cn-hangzhou","desktops":["a"],"newer":true}}` + "\n" +
		`{"v":1,"kind":"never-heard-of","at":"2026-11-23T11:00:00Z"}` + "\n"
	if _, err := s.Append(t.Context(), journal.Key(Request, "t1"), 0, []byte(line)); err != nil {
		t.Fatal(err)
	}
	if state, records, err := Read(t.Context(), s, Request, "t1"); err != nil || len(records) != 2 || OperationOf(state).State != Running {
		t.Errorf("got %d records, %v", len(records), err)
	}
}

// A control may be refused between our look and the function's.
func TestARefusalIsAnAnswer(t *testing.T) {
	s := stored(t, Rollout, "v1/office", append(underWay(),
		rollout.Record{Kind: rollout.KindRefused, At: at, Action: "pause", Who: "ann", Message: "mns:other", Reason: &events.Reason{Code: events.CodeControlNotPossible, Message: "not this one"}},
		rollout.Record{Kind: rollout.KindRefused, At: at, Action: "pause", Who: "ann", Message: "mns:m1", Reason: &events.Reason{Code: events.CodeControlNotPossible, Message: "it has ended"}})...)
	c := Control{Control: events.Control{RolloutID: "v1/office", Action: "pause", By: "ann", Reason: "lunch"}, MessageID: "m1"}
	_, err := c.Answer(t.Context(), s, func(context.Context) error { return errEnough })
	if no, refused := errors.AsType[*RefusedError](err); !refused || no.Reason.Message != "it has ended" {
		t.Errorf("got %v, want the refusal", err)
	}
}
