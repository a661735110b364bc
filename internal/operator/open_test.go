package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

// A request that stands open for long is not among those written last. That it is
// still listed is what somebody looks for first.
func TestWhatIsOpenIsListedHoweverLongAgoItWasWritten(t *testing.T) {
	s, err := journal.Open("file://"+t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	open := func(id string) {
		put(t, s, Request, id, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: id, Desktops: []string{"a"}}})
	}
	index := func(id string) {
		line, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), journal.OpenKey(id), 0, append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("Long", 60)
	for _, id := range []string{"old", long, "Unindexed"} {
		open(id)
	}
	for _, id := range []string{"old", long, "gone"} {
		index(id)
	}
	put(t, s, Rollout, id, underWay()...)
	put(t, s, "fleet", "office", reporttest.Fleet("office", "2026.11.2/office", id)...)
	put(t, s, "fleet", "empty", rollout.Record{Kind: rollout.KindTick, At: at})
	for n := range 40 {
		open(fmt.Sprint("new-", n))
		new := fmt.Sprintf("2026.%d/other", n)
		put(t, s, Rollout, new, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: new, Fleet: "other"}})
	}
	for _, ended := range []bool{false, true} {
		l, err := List(t.Context(), s, Query{Kinds: []string{Request, Rollout}, Most: 20, Ended: ended, Readers: 3})
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, w := range l.Operations {
			ids = append(ids, w.ID)
		}
		for _, want := range []string{"old", long, id} {
			if !slices.Contains(ids, want) {
				t.Errorf("ended %t: %.20s is open and not listed", ended, want)
			}
		}
		if len(ids) != 43 || l.NotRead != 41 {
			t.Errorf("ended %t: got %d works and %d not read, want 43 and 41", ended, len(ids), l.NotRead)
		}
	}
}

// pages is a store that remembers what was asked of it.
type pages struct {
	journal.Store
	some  []int
	reads []string
}

func (p *pages) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	p.some = append(p.some, limit)
	return p.Store.Some(ctx, prefix, after, limit)
}

func (p *pages) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	p.reads = append(p.reads, key)
	return p.Store.Read(ctx, key, from)
}

func TestTheIndexIsReadInPagesAndNoFurtherThanTheLimit(t *testing.T) {
	s := &pages{Store: journaltest.Memory()}
	for n := range 2300 {
		if _, err := s.Append(t.Context(), journal.OpenKey(fmt.Sprint("r", n)), 0, []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	for most, want := range map[int][]int{10_000: {1000, 1000, 1000}, 2100: {1000, 1000, 100}, 7: {7}} {
		s.some, s.reads = nil, nil
		open, err := stillOpen(t.Context(), s, Request, most, 2)
		if err != nil || len(open) != min(most, 2300) || !slices.Equal(s.some, want) {
			t.Errorf("at most %d: got %d by pages of %v, %v; want pages of %v", most, len(open), s.some, err, want)
		}
		if len(s.reads) > 0 {
			t.Errorf("at most %d: %d entries were read whose keys have the id", most, len(s.reads))
		}
	}
}

// What the journal says at its end is what folding it says, for every way in which
// a work may end.
func TestAWorkIsSummedUpAlikeByItsEndAndByFolding(t *testing.T) {
	closed := rollout.Record{Kind: rollout.KindClosed, At: at}
	for name, records := range map[string][]rollout.Record{
		"completed":  reporttest.Rollout(reporttest.Options{}),
		"aborted":    append(underWay(), rollout.Record{Kind: rollout.KindControl, At: at, Action: events.ActionAbort, Who: "li.na"}, closed),
		"superseded": append(underWay(), rollout.Record{Kind: rollout.KindSuperseded, At: at, Who: "2026.12/office"}, closed),
		"a rollback": {{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: id + "/rollback", Fleet: "office", Undoes: id, Back: map[string][]string{"m-old": {"a"}}}}, closed},
		"no wave":    {{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: id, Fleet: "office", By: "li.na"}}, closed},
		"a request":  reporttest.Request("r", 40),
		"a reset":    {{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"a"}, Spec: desktop.Spec{RegionID: "cn-hangzhou"}}}, closed},
	} {
		s := folded(records...)
		if got, want := endedOperation(s.Ending()), OperationOf(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// Of a long journal that says at its end how the work came out nothing else is read.
func TestALongJournalIsSummedUpByItsEnd(t *testing.T) {
	records := reporttest.Rollout(reporttest.Options{Size: 4000})
	s := folded(records...)
	dir := t.TempDir()
	store, err := journal.Open("file://"+dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(records); i += 5000 {
		put(t, store, Rollout, id, records[i:min(i+5000, len(records))]...)
	}
	put(t, store, Rollout, id, rollout.Record{Kind: rollout.KindPublished, At: at, Events: []string{"x"}, Ending: s.Ending()})
	found, err := journal.Entries(t.Context(), store, Rollout+"/")
	if err != nil || len(found) != 1 || found[0].Size < tailFrom {
		t.Fatalf("got %+v, %v; want one long journal", found, err)
	}
	want := OperationOf(s)
	for name, e := range map[string]journal.Entry{"by its end": found[0], "whole": {Key: found[0].Key}} {
		w, ended, err := brief(t.Context(), store, e, true)
		if err != nil || ended || !reflect.DeepEqual(w, want) {
			t.Errorf("%s: got %+v, %t, %v; want %+v", name, w, ended, err, want)
		}
		if _, ended, err := brief(t.Context(), store, e, false); err != nil || !ended {
			t.Errorf("%s: got %t, %v; want that it has ended", name, ended, err)
		}
	}
	path := filepath.Join(dir, filepath.FromSlash(found[0].Key))
	lines, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(lines, bytes.Repeat([]byte("x"), len(lines)-2*tailBytes))
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	if w, _, err := brief(t.Context(), store, found[0], true); err != nil || !reflect.DeepEqual(w, want) {
		t.Errorf("its beginning cannot be read: got %+v, %v; want it summed up without", w, err)
	}
}

// A person names a request by the id that they sent it under, wherever it came
// through.
func TestARequestThatIsKeptApartIsFoundByItsOwnID(t *testing.T) {
	s := journaltest.Memory()
	open := func(id string) {
		put(t, s, Request, id, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: id, Desktops: []string{"a"}}})
	}
	helpdesk, ours := rollout.Apart("t1", "queues/helpdesk", ""), rollout.Apart("t1", "queues/q", "regild")
	open("t1x")
	open(rollout.Apart("t1@x", "queues/q", ""))
	f := Find(s, Request, "t1")
	if _, err := f.Look(t.Context()); err != nil || f.State.Operation != nil {
		t.Fatalf("got %v, %v; want none yet", f.State.Operation, err)
	}
	open(ours)
	for range 2 {
		if _, err := f.Look(t.Context()); err != nil || f.State.Operation == nil || f.State.Operation.ID != ours {
			t.Fatalf("got %v, %v; want %s", f.State.Operation, err, ours)
		}
	}
	if f := Follow(s, Request, "t1"); f.State.Operation != nil {
		t.Error("whoever follows the plain id was given another")
	}
	open(helpdesk)
	if _, _, err := Read(t.Context(), s, Request, "t1"); err == nil || !strings.Contains(err.Error(), ours) || !strings.Contains(err.Error(), helpdesk) {
		t.Errorf("two of them: got %v, want both named", err)
	}
	open("t1")
	if state, _, err := Read(t.Context(), s, Request, "t1"); err != nil || state.Operation.ID != "t1" {
		t.Errorf("the plain one is there: got %v", err)
	}
}

// What was published of it is said by line: those of another journal do not count.
func TestOfARequestThatIsKeptApartOnlyItsOwnLinesCount(t *testing.T) {
	s := journaltest.Memory()
	put(t, s, Request, "t1", rollout.Record{Kind: rollout.KindUnplanned, At: at, Name: "t1", Digest: "d"})
	put(t, s, Request, rollout.Apart("t1", "queues/q", ""),
		rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "t1", Desktops: []string{"a"}}},
		rollout.Record{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Desktops: []string{"a"}}}},
		rollout.Record{Kind: rollout.KindPublished, At: at, UpTo: 2, N: 1})
	if state, _, err := Read(t.Context(), s, Request, "t1"); err != nil || !state.Quiet() {
		t.Errorf("got %v, %v are not published", err, state.Fresh())
	}
}

func TestAListingOfAFleetHasOnlyThat(t *testing.T) {
	s := journaltest.Memory()
	long := strings.Repeat("R", 200)
	for _, id := range []string{"r1/office", "r2/office", "r2/office/rollback", "r1/lab", long + "/office", long + "/lab"} {
		_, fleet, _ := rollout.SplitID(id)
		put(t, s, Rollout, id, rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: id, Fleet: fleet}})
	}
	for fleet, want := range map[string]int{"office": 4, "lab": 2, "none": 0} {
		l, err := List(t.Context(), s, Query{Kinds: []string{Rollout}, Fleet: fleet, Ended: true})
		if err != nil || len(l.Operations) != want || l.Empty {
			t.Errorf("%s: got %d, empty %t, %v; want %d", fleet, len(l.Operations), l.Empty, err, want)
		}
	}
}

func TestAJournalIsEmptyOnlyIfItHasNothingAtAll(t *testing.T) {
	s := journaltest.Memory()
	for _, want := range []bool{true, false} {
		l, err := List(t.Context(), s, Query{Kinds: []string{Rollout}})
		if err != nil || l.Empty != want {
			t.Errorf("got empty %t, %v; want %t", l.Empty, err, want)
		}
		put(t, s, Request, "r", rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"a"}}})
	}
}

// A rollout that did not come to its later waves does not name who would have been in
// them: they look as if they had come since.
func TestAPlanIsComparedWithTheLastRollout(t *testing.T) {
	var p events.Plan
	plan := `{"waves":[{"n":1,"desktops":[{"id":"a","action":"rebuild"},{"id":"b","action":"rebuild"},{"id":"new","action":"rebuild"}]},{"n":2,"desktops":[{"id":"c","action":"skip","code":"AlreadyOnImage"}]}]}`
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		t.Fatal(err)
	}
	want := Diff{Against: id, Unnamed: 2,
		Added: []Differ{{ID: "new", IsWave: 1, IsAction: "rebuild"}},
		Gone:  []Differ{{ID: "d", WasWave: 1}},
		Changed: []Differ{
			{ID: "b", WasWave: 1, IsWave: 1, WasState: "failed", WasCode: "RebuildFailed", IsAction: "rebuild"},
			{ID: "c", WasWave: 1, IsWave: 2, WasState: "accepted", WasCode: "Success", IsAction: "skip", IsCode: "AlreadyOnImage"},
		}}
	if got := DiffOf(p, folded(underWay()...)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
