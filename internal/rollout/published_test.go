package rollout_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// taken is what MNS took of a state: each outcome that is not published with a chance of
// some in ten.
func taken(r *rand.Rand, s *rollout.State, inTen int) rollout.Record {
	rec := rollout.Record{Kind: rollout.KindPublished, At: start}
	for _, id := range s.Fresh() {
		for _, o := range s.Desktops[id].Unpublished {
			if r.IntN(10) < inTen {
				rec.Outcomes = append(rec.Outcomes, rollout.Group{Status: o.Status, N: o.N, Desktops: []string{id}})
			}
		}
	}
	r.Shuffle(len(rec.Outcomes), func(i, j int) { rec.Outcomes[i], rec.Outcomes[j] = rec.Outcomes[j], rec.Outcomes[i] })
	return rec
}

// talkative makes a journal tell more outcomes than the one that it is given.
func talkative(r *rand.Rand, log []rollout.Record) (out []rollout.Record) {
	codes := []string{events.CodeThrottled, events.CodeStatusWait, events.CodeSessionWait, events.CodeTimeShort}
	for _, rec := range log {
		out = append(out, rec)
		var groups []rollout.Group
		for _, id := range []string{"ecd-1", "ecd-2", "ecd-3", "ecd-4"} {
			if r.IntN(2) == 0 {
				groups = append(groups, rollout.Group{Status: events.StatusDeferred, Code: codes[r.IntN(len(codes))], Desktops: []string{id}})
			}
		}
		out = append(out, rollout.Record{Kind: rollout.KindSettled, At: rec.At, Outcomes: groups})
	}
	return out
}

// again encodes and decodes records.
func again(t *testing.T, records ...rollout.Record) []rollout.Record {
	t.Helper()
	got, err := rollout.Decode(encoded(t, records...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// unpublished has each outcome that is not published.
func unpublished(s *rollout.State) map[string]bool {
	out := map[string]bool{}
	for _, id := range s.Fresh() {
		for _, o := range s.Desktops[id].Unpublished {
			out[fmt.Sprint(id, o.Status, o.N)] = true
		}
	}
	return out
}

func TestAJournalInShortFoldsToTheSame(t *testing.T) {
	shortened, partly := 0, 0
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		if r.IntN(3) > 0 { // some hundred suffice
			return
		}
		long, short := rollout.NewState(), rollout.NewState()
		for _, rec := range talkative(r, log) {
			both := []rollout.Record{rec}
			if r.IntN(2) == 0 {
				both = append(both, taken(r, long, []int{10, 8, 3}[r.IntN(3)]))
			}
			for _, rec := range both {
				brief := []rollout.Record{rec}
				short.Shorten(brief)
				if brief[0].UpTo > 0 {
					shortened++
					if brief[0].Outcomes != nil {
						partly++
					}
				}
				long.Apply(rec)
				short.Apply(again(t, brief...)...)
			}
		}
		if !reflect.DeepEqual(short, long) {
			t.Errorf("got %+v\nwant %+v", short, long)
		}
	})
	if shortened < 2000 || partly < 100 {
		t.Errorf("%d records are shortened, %d of them in part", shortened, partly)
	}
}

// Others may have written between the state by which a record was made and its line.
func TestOnlyWhatMNSTookCountsAsPublishedWhateverIsWrittenBefore(t *testing.T) {
	ignored, counted := 0, 0
	journals(t, func(t *testing.T, r *rand.Rand, log []rollout.Record) {
		log = talkative(r, log)
		at := r.IntN(len(log)) + 1
		s := fold(log[:at])
		took := []rollout.Record{taken(r, s, 10-r.IntN(2))}
		named := map[string]bool{}
		for _, g := range took[0].Outcomes {
			named[fmt.Sprint(g.Desktops[0], g.Status, g.N)] = true
		}
		if s.Shorten(took); took[0].UpTo == 0 {
			return
		}
		took[0].Outcomes = nil
		if r.IntN(2) == 0 {
			s.Apply(taken(r, s, 2))
		}
		s.Apply(log[at:]...)
		before := unpublished(s)
		s.Apply(took...)
		after := unpublished(s)
		for name := range before {
			if !after[name] && !named[name] {
				t.Errorf("%s counts as published, and was not", name)
			}
		}
		if len(after) == len(before) {
			ignored++
		} else {
			counted++
		}
	})
	if ignored < 50 || counted < 300 {
		t.Errorf("%d records counted, %d did not", counted, ignored)
	}
}

func skippedOf(ids ...string) rollout.Record {
	return rollout.Record{Kind: rollout.KindSettled, At: start, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Code: events.CodeAlreadyOnImage, Desktops: ids}}}
}

func publishedOf(ids ...string) rollout.Record {
	return rollout.Record{Kind: rollout.KindPublished, At: start, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Desktops: ids}}}
}

// threeTold is a request of which line 2 tells of a and b, and line 3 of c.
func threeTold() *rollout.State {
	w := rollout.Operation{ID: "r1", Desktops: []string{"a", "b", "c"}}
	return fold([]rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &w}, skippedOf("a", "b"), skippedOf("c")})
}

func TestHowItIsWrittenWhatWasPublished(t *testing.T) {
	for name, c := range map[string]struct {
		records []rollout.Record
		upTo, n int
		rest    []rollout.Group
	}{
		"all":                         {[]rollout.Record{publishedOf("c", "a", "b")}, 3, 3, nil},
		"the first line":              {[]rollout.Record{publishedOf("b", "a")}, 2, 2, nil},
		"a part of a line":            {[]rollout.Record{publishedOf("a")}, 0, 0, publishedOf("a").Outcomes},
		"the last line":               {[]rollout.Record{publishedOf("c")}, 0, 0, publishedOf("c").Outcomes},
		"not all of the first line":   {[]rollout.Record{publishedOf("a", "c")}, 0, 0, publishedOf("a", "c").Outcomes},
		"one that nobody told":        {[]rollout.Record{publishedOf("a", "b", "x")}, 2, 2, publishedOf("x").Outcomes},
		"together with other records": {[]rollout.Record{{Kind: rollout.KindPublished, Events: []string{"finished/3"}}, publishedOf("a", "b"), publishedOf("c")}, 2, 2, nil},
		"nothing":                     {[]rollout.Record{{Kind: rollout.KindTick, N: 1}}, 0, 0, nil},
	} {
		s := threeTold()
		s.Shorten(c.records)
		got := c.records[min(1, len(c.records)-1)]
		if got.UpTo != c.upTo || got.Kind == rollout.KindPublished && got.N != c.n || !reflect.DeepEqual(got.Outcomes, c.rest) {
			t.Errorf("%s: got %+v, want %d outcomes up to line %d and %v", name, got, c.n, c.upTo, c.rest)
		}
		if len(c.records) == 3 && len(c.records[2].Outcomes) != 1 {
			t.Errorf("%s: the second is shortened too: %+v", name, c.records[2])
		}
	}
}

// One outcome of a desktop may be published while another is not.
func TestWhatIsPublishedAlreadyNeedNotBeNamed(t *testing.T) {
	waits := func(status events.Status, code string, ids ...string) rollout.Record {
		return rollout.Record{Kind: rollout.KindSettled, At: start, Outcomes: []rollout.Group{{Status: status, Code: code, Desktops: ids}}}
	}
	w := rollout.Operation{ID: "r1", Desktops: []string{"a", "b"}}
	for name, last := range map[string]rollout.Record{
		"waits again": waits(events.StatusDeferred, events.CodeThrottled, "a"), "is skipped": waits(events.StatusSkipped, events.CodeAlreadyOnImage, "a"),
	} {
		first := waits(events.StatusDeferred, events.CodeStatusWait, "b", "a")
		s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &w}, first, {Kind: rollout.KindPublished, Outcomes: []rollout.Group{
			{Status: events.StatusDeferred, Desktops: []string{"a"}}}}, last})
		all := []rollout.Record{taken(rand.New(rand.NewPCG(1, 1)), s, 10)}
		s.Shorten(all)
		if all[0].UpTo != 4 || all[0].N != 2 || all[0].Outcomes != nil {
			t.Errorf("it %s: got %+v, want 2 outcomes up to line 4", name, all[0])
		}
	}
}

// Writers share an append, and none knows what the others add to it.
func TestWhatIsToldInTheSameAppendIsNotPublished(t *testing.T) {
	w := rollout.Operation{ID: "r1", Desktops: []string{"a", "b", "c"}}
	s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &w}, skippedOf("a", "b")})
	all := []rollout.Record{skippedOf("c"), publishedOf("a", "b")}
	s.Shorten(all)
	s.Apply(all...)
	if got := s.Fresh(); all[1].UpTo != 2 || !slices.Equal(got, []string{"c"}) {
		t.Errorf("up to line %d: %v are not published, want c", all[1].UpTo, got)
	}
}

// What does not fit the lines before it does not count: its outcomes are told once more.
func TestWhatWasPublishedCountsOnlyIfTheNumberFits(t *testing.T) {
	for name, c := range map[string]struct {
		upTo, n int
		want    string
	}{
		"all":            {3, 3, ""},
		"more lines":     {9, 3, ""},
		"the first line": {2, 2, "c"},
		"too few":        {3, 2, "a b c"},
		"too many":       {2, 3, "a b c"},
		"none":           {1, 1, "a b c"},
		"no number":      {3, 0, "a b c"},
	} {
		s := threeTold()
		s.Apply(again(t, rollout.Record{Kind: rollout.KindPublished, At: start, UpTo: c.upTo, N: c.n})...)
		if got := strings.Join(s.Fresh(), " "); got != c.want {
			t.Errorf("%s: %q are not published, want %q", name, got, c.want)
		}
	}
}

// A build that does not know what is left out must not read on.
func TestShortRecordsHaveALaterVersion(t *testing.T) {
	begun := func(from ...string) rollout.Record {
		return rollout.Record{Kind: rollout.KindBegun, At: start, Call: "c", Desktops: []string{"a", "b"}[:max(1, min(2, len(from)))], From: from}
	}
	for name, c := range map[string]struct {
		record rollout.Record
		want   int
	}{
		"published, by name":      {publishedOf("a"), 1},
		"published, by line":      {rollout.Record{Kind: rollout.KindPublished, At: start, UpTo: 2, N: 1}, 2},
		"begun from two images":   {begun("m-1", "m-2"), 1},
		"begun from one image":    {begun("m-1", "m-1"), 2},
		"begun, a single one":     {begun("m-1"), 1},
		"begun, no image":         {begun(), 1},
		"from no known image":     {begun("", ""), 2},
		"of another kind":         {rollout.Record{Kind: rollout.KindSeen, At: start, Desktops: []string{"a", "b"}, From: []string{"m-1", "m-1"}}, 1},
		"fewer images than asked": {rollout.Record{Kind: rollout.KindBegun, At: start, Desktops: []string{"a", "b", "c"}, From: []string{"m-1", "m-1"}}, 1},
	} {
		got := again(t, c.record)[0]
		if got.V != c.want || !slices.Equal(got.From, c.record.From) {
			t.Errorf("%s: got version %d and %q, want %d and %q", name, got.V, got.From, c.want, c.record.From)
		}
		if c.record.V != 0 {
			t.Errorf("%s: the record was changed", name)
		}
	}
	const at = `"at":"2026-11-23T08:00:00Z"`
	for _, line := range []string{
		`{"v":3,"kind":"published",` + at + `}`, `{"v":3,"kind":"begun",` + at + `,"call":"c","desktops":["a"],"from":["m-1"]}`, `{"v":2,"kind":"ended",` + at + `}`,
		`{"v":2,"kind":"begun",` + at + `,"call":"c","desktops":["a","b"],"from":["m-1","m-1"]}`, `{"v":2,"kind":"begun",` + at + `,"call":"c","desktops":["a"]}`,
	} {
		if got, err := rollout.Decode([]byte(line + "\n")); err == nil {
			t.Errorf("%s is read: %+v", line, got)
		}
	}
}

// Bytes that a desktop takes in a line, of calls of 20 with ids as ECD gives them. The
// figures are those of docs/decisions/0039-a-journal-in-short.md.
func TestWhatADesktopTakesInALine(t *testing.T) {
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-%017d", i)
	}
	s := rollout.NewState()
	for _, c := range []struct {
		record      rollout.Record
		long, short int // of 20 desktops
	}{
		{rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r1", Desktops: ids}}, 635, 635},
		{rollout.Record{Kind: rollout.KindBegun, Desktops: ids, From: slices.Repeat([]string{"m-84mztzatmlnys0001"}, 20)}, 1086, 668},
		{rollout.Record{Kind: rollout.KindEnded, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: ids}}}, 689, 689},
		{rollout.Record{Kind: rollout.KindPublished, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: ids}}}, 640, 128},
	} {
		r := c.record
		r.At, r.By, r.Call = start.Add(123456789*time.Nanosecond), "c-65130000-12345678-0123456789ab/NQXW3O", ""
		if r.Kind == rollout.KindBegun || r.Kind == rollout.KindEnded {
			r.Call = strings.Repeat("X", 26)
		}
		r.V = 1
		long, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		short := []rollout.Record{r}
		s.Shorten(short)
		s.Apply(short...)
		if got := [2]int{len(long) + 1, len(encoded(t, short...))}; got != [2]int{c.long, c.short} {
			t.Errorf("%s: got %d bytes in full and %d in short, want %d and %d", r.Kind, got[0], got[1], c.long, c.short)
		}
	}
}
