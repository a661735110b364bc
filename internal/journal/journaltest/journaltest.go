// Package journaltest is the suite that every journal.Store must pass, so that
// what holds for the memory in a test holds for the bucket in production.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
)

// A Harness gives the suite stores to test.
type Harness struct {
	// Open returns a store over the same logs at each call, as another instance
	// of the function would have it.
	Open func(t *testing.T) journal.Store
	// Remove deletes a log behind the stores' backs; nil where nobody could.
	Remove func(t *testing.T, key string)
}

// Run runs the suite. newHarness is called for each test and returns a harness
// without any logs. The suite keeps to the contract: it takes ErrUnsettled for
// an answer and reads, so a harness may put faults below the store.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"a log never written is empty", neverWritten},
		{"what was appended is read back from every line on", readBack},
		{"an append at another position than the end says moved and writes nothing", wrongPosition},
		{"reading beyond the end or within a line says shrunk", wrongOffset},
		{"a log that was removed begins anew", removed},
		{"of writers that race for a position exactly one wins", race},
		{"appends of many writers lose nothing and keep each one's order", manyWriters},
		{"what is not whole lines is refused", badLines},
		{"a log longer than the limit is refused", full},
		{"a key that Key did not make is refused", badKeys},
		{"keys are listed by prefix in order", keys},
		{"ids that differ only in case have their own logs", caseOfIDs},
		{"bytes belong to the caller", ownership},
		{"a context that ended is heard", endedContext},
		{"a part of the keys is listed", some},
		{"only entries of the index are deleted", forget},
		{"the end of a log is read by whole lines", tail},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newHarness(t)) })
	}
}

// patience is how often the suite repeats what may be repeated. A store has
// tried several times before it gives up, so a few more are plenty.
const patience = 20

// Append appends as a caller does who keeps to the contract: what was not sent
// is sent again, and when the store does not know whether the lines were
// written, reading tells.
func Append(ctx context.Context, s journal.Store, key string, at int64, lines []byte) (length int64, err error) {
	for range patience {
		length, err = s.Append(ctx, key, at, lines)
		switch {
		case errors.Is(err, journal.ErrUnsettled):
			data, _, err := s.Read(ctx, key, at)
			if err == nil && bytes.HasPrefix(data, lines) {
				return at + int64(len(lines)), nil
			}
			if err == nil && len(data) > 0 {
				return 0, journal.ErrMoved
			}
		case !notSent(err):
			return length, err
		}
	}
	return length, err
}

// Read reads, and reads again when the call failed on the way.
func Read(ctx context.Context, s journal.Store, key string, from int64) (lines []byte, length int64, err error) {
	for range patience {
		lines, length, err = s.Read(ctx, key, from)
		call, failed := errors.AsType[*desktop.CallError](err)
		if !failed || call.Delivery == desktop.Refused || call.Delivery == desktop.Forbidden {
			break
		}
	}
	return lines, length, err
}

func notSent(err error) bool {
	call, ok := errors.AsType[*desktop.CallError](err)
	return ok && call.Delivery == desktop.NotSent
}

var key = journal.Key("request", "win11-2026.11.3-hz-0007")

func neverWritten(t *testing.T, h Harness) {
	s := h.Open(t)
	wantLog(t, s, "")
	if _, err := Append(t.Context(), s, key, 1, []byte("a\n")); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("appending at 1: got %v, want ErrMoved", err)
	}
	if _, _, err := Read(t.Context(), s, key, 1); !errors.Is(err, journal.ErrShrunk) {
		t.Errorf("reading from 1: got %v, want ErrShrunk", err)
	}
	wantLog(t, s, "")
}

func readBack(t *testing.T, h Harness) {
	s, other := h.Open(t), h.Open(t)
	random := rand.New(rand.NewPCG(1, 2))
	var want []byte
	ends := []int64{0}
	for range 20 {
		var lines []byte
		for range 1 + random.IntN(4) {
			line := fmt.Sprintf("{\"n\":%d,\"pad\":%q}\n", random.Int(), strings.Repeat("ü", random.IntN(300)))
			lines = append(lines, line...)
			ends = append(ends, int64(len(want)+len(lines)))
		}
		at := int64(len(want))
		want = append(want, lines...)
		if got := mustAppend(t, s, at, string(lines)); got != int64(len(want)) {
			t.Fatalf("the length after an append at %d: got %d, want %d", at, got, len(want))
		}
	}
	for _, from := range ends {
		got, length, err := Read(t.Context(), other, key, from)
		if err != nil || length != int64(len(want)) || !bytes.Equal(got, want[from:]) {
			t.Fatalf("reading from %d: got %.300q, length %d, %v; want %.300q, length %d", from, got, length, err, want[from:], len(want))
		}
		if int(from) == len(want) && got != nil {
			t.Fatalf("reading what is new at the end: got %q, want nil", got)
		}
	}
}

func wrongPosition(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, 0, "first\nsecond\n")
	for _, at := range []int64{0, 1, 6, 12, 14, 1000} {
		if _, err := Append(t.Context(), s, key, at, []byte("x\n")); !errors.Is(err, journal.ErrMoved) {
			t.Errorf("appending at %d of 13: got %v, want ErrMoved", at, err)
		}
	}
	if _, err := s.Append(t.Context(), key, -1, []byte("x\n")); err == nil {
		t.Error("appending at -1: got no error")
	}
	wantLog(t, s, "first\nsecond\n")
}

func wrongOffset(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, 0, "first\nsecond\n")
	for _, from := range []int64{1, 5, 7, 14, 15, 1000} {
		if got, _, err := Read(t.Context(), s, key, from); !errors.Is(err, journal.ErrShrunk) {
			t.Errorf("reading from %d of 13: got %q, %v, want ErrShrunk", from, got, err)
		}
	}
	if _, _, err := Read(t.Context(), s, key, -1); err == nil {
		t.Error("reading from -1: got no error")
	}
}

func removed(t *testing.T, h Harness) {
	if h.Remove == nil {
		return // nobody can remove a log of this store
	}
	s := h.Open(t)
	length := mustAppend(t, s, 0, "first\n")
	h.Remove(t, key)
	if _, _, err := Read(t.Context(), s, key, length); !errors.Is(err, journal.ErrShrunk) {
		t.Errorf("reading on after the removal: got %v, want ErrShrunk", err)
	}
	if _, err := Append(t.Context(), s, key, length, []byte("x\n")); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("appending after the removal: got %v, want ErrMoved", err)
	}
	mustAppend(t, s, 0, "anew\n")
	wantLog(t, s, "anew\n")
}

func race(t *testing.T, h Harness) {
	const writers, rounds = 6, 12
	stores := make([]journal.Store, writers)
	for i := range stores {
		stores[i] = h.Open(t)
	}
	var want string
	for round := range rounds {
		at := int64(len(want))
		won := make([]string, writers)
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				line := fmt.Sprintf("round %d writer %d\n", round, i)
				_, err := Append(t.Context(), s, key, at, []byte(line))
				switch {
				case err == nil:
					won[i] = line
				case !errors.Is(err, journal.ErrMoved):
					t.Errorf("round %d, writer %d: got %v, want success or ErrMoved", round, i, err)
				}
			})
		}
		wg.Wait()
		winners := slices.DeleteFunc(won, func(s string) bool { return s == "" })
		if len(winners) != 1 {
			t.Fatalf("round %d at %d: got winners %q, want one", round, at, winners)
		}
		want += winners[0]
		wantLog(t, stores[round%writers], want)
	}
}

func manyWriters(t *testing.T, h Harness) {
	const writers, each = 5, 10
	var wg sync.WaitGroup
	for w := range writers {
		s := h.Open(t)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			known := int64(0)
			for n := 0; n < each; {
				lines := fmt.Sprintf("%d/%d\n", w, n)
				next := n + 1
				if next < each && random.IntN(2) == 0 {
					lines += fmt.Sprintf("%d/%d\n", w, next)
					next++
				}
				length, err := Append(t.Context(), s, key, known, []byte(lines))
				switch {
				case err == nil:
					known, n = length, next
				case errors.Is(err, journal.ErrMoved):
					if _, length, err := Read(t.Context(), s, key, known); err == nil {
						known = length
					}
				default:
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	next := make([]int, writers)
	for _, line := range journal.Lines(mustRead(t, h.Open(t))) {
		var w, n int
		if _, err := fmt.Sscanf(string(line), "%d/%d", &w, &n); err != nil || w >= writers || next[w] != n {
			t.Fatalf("line %q: want number %d of its writer; read so far %v", line, next[min(w, writers-1)], next)
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("writer %d: got %d lines, want %d", w, n, each)
		}
	}
}

func badLines(t *testing.T, h Harness) {
	s := h.Open(t)
	long := strings.Repeat("x", journal.MaxLine-1)
	for name, lines := range map[string]string{
		"nothing":             "",
		"no newline":          "a",
		"no last newline":     "a\nb",
		"an empty line":       "a\n\nb\n",
		"only a newline":      "\n",
		"a NUL":               "a\x00b\n",
		"a NUL first":         "\x00a\n",
		"a NUL in the second": "a\n\x00b\n",
		"a line too long":     "a\n" + long + "x\n",
		"too many lines":      strings.Repeat("x\n", journal.MaxAppend/2+1),
	} {
		if _, err := s.Append(t.Context(), key, 0, []byte(lines)); err == nil || errors.Is(err, journal.ErrMoved) || errors.Is(err, journal.ErrUnsettled) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	wantLog(t, s, "")
	mustAppend(t, s, 0, long+"\n")
	wantLog(t, s, long+"\n")
}

func full(t *testing.T, h Harness) {
	if _, err := h.Open(t).Append(t.Context(), key, journal.MaxLog-1, []byte("ab\n")); !errors.Is(err, journal.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

func badKeys(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, key := range []string{
		"", "x", "/", "a/b", "a/.jsonl", "/b.jsonl", "a/../b.jsonl", "../b.jsonl", "a/.b.jsonl", "./b.jsonl", "a/b/c.jsonl",
		"A/b.jsonl", "a/b\\c.jsonl", "a/b c.jsonl", "a/b\x00.jsonl", "a/" + strings.Repeat("b", 300) + ".jsonl",
	} {
		if _, err := s.Append(t.Context(), key, 0, []byte("a\n")); err == nil {
			t.Errorf("appending to %q: got no error", key)
		}
		if _, _, err := Read(t.Context(), s, key, 0); err == nil {
			t.Errorf("reading %q: got no error", key)
		}
	}
}

func keys(t *testing.T, h Harness) {
	s := h.Open(t)
	var want []string
	for _, id := range []string{"b", "a", "a.b", "C", "..", "", strings.Repeat("long", 100)} {
		key := journal.Key("request", id)
		want = append(want, key)
		for _, k := range []string{key, journal.Key("rollout", id)} {
			if _, err := Append(t.Context(), s, k, 0, []byte("a\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(want)
	got, err := list(t, h.Open(t), "request/")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("with a prefix: got %q, %v; want %q", got, err, want)
	}
	if got, err := list(t, s, ""); err != nil || len(got) != 2*len(want) || !slices.IsSorted(got) {
		t.Errorf("without a prefix: got %q, %v; want %d keys in order", got, err, 2*len(want))
	}
	if got, err := list(t, s, "request/a"); err != nil || len(got) != 2 {
		t.Errorf("with the beginning of an id: got %q, %v; want 2 keys", got, err)
	}
	if got, err := list(t, s, "nothing/"); err != nil || len(got) != 0 {
		t.Errorf("with another prefix: got %q, %v; want none", got, err)
	}
}

// list lists, and lists again when the call failed on the way.
func list(t *testing.T, s journal.Store, prefix string) (keys []string, err error) {
	t.Helper()
	for range patience {
		if keys, err = s.Keys(t.Context(), prefix); err == nil {
			break
		}
	}
	return keys, err
}

func some(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		if _, err := Append(t.Context(), s, journal.Key("open", id), 0, []byte(id+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, s, 0, "first\n")
	open := func(ids ...string) (keys []string) {
		for _, id := range ids {
			keys = append(keys, journal.Key("open", id))
		}
		return keys
	}
	for _, c := range []struct {
		after string
		limit int
		want  []string
	}{
		{"", 10, open("a", "b", "c", "d")},
		{"", 2, open("a", "b")},
		{journal.Key("open", "b"), 1, open("c")},
		{journal.OpenPrefix + "b", 10, open("b", "c", "d")},
		{journal.Key("open", "d"), 10, nil},
	} {
		var got []string
		var err error
		for range patience {
			if got, err = s.Some(t.Context(), journal.OpenPrefix, c.after, c.limit); err == nil {
				break
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("behind %q, at most %d: got %q, %v; want %q", c.after, c.limit, got, err, c.want)
		}
	}
}

func tail(t *testing.T, h Harness) {
	s := h.Open(t)
	end := func(n int64) string {
		var got []byte
		var err error
		for range patience {
			if got, err = journal.Tail(t.Context(), s, key, n); err == nil {
				return string(got)
			}
		}
		t.Fatalf("reading the last %d bytes: %v", n, err)
		return ""
	}
	if got := end(100); got != "" {
		t.Errorf("the end of a log never written: got %q, want nothing", got)
	}
	mustAppend(t, s, mustAppend(t, s, 0, "first\nsecond\n"), "third\n")
	for n, want := range map[int64]string{
		1: "", 6: "", 7: "third\n", 13: "third\n", 14: "second\nthird\n", 19: "first\nsecond\nthird\n", 1000: "first\nsecond\nthird\n",
	} {
		if got := end(n); got != want {
			t.Errorf("the last %d bytes: got %q, want %q", n, got, want)
		}
	}
}

func forget(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, 0, "first\n")
	entry := journal.Key("open", "a")
	if _, err := Append(t.Context(), s, entry, 0, []byte("a\n")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{entry, entry} { // the second time it is not there
		var err error
		for range patience {
			if err = s.Forget(t.Context(), key); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("deleting an entry: %v", err)
		}
	}
	if got, err := list(t, s, journal.OpenPrefix); err != nil || len(got) != 0 {
		t.Errorf("after deleting: got %q, %v; want none", got, err)
	}
	for _, bad := range []string{key, "open/../" + key, "request/x"} {
		if err := s.Forget(t.Context(), bad); err == nil {
			t.Errorf("%q was deleted", bad)
		}
	}
	wantLog(t, s, "first\n")
}

func caseOfIDs(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, id := range []string{"abc", "ABC", "aBc", "=a=b=c"} {
		k := journal.Key("request", id)
		if _, err := Append(t.Context(), s, k, 0, []byte(id+"\n")); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if got, _, err := Read(t.Context(), s, k, 0); err != nil || string(got) != id+"\n" {
			t.Errorf("%s: got %q, %v", id, got, err)
		}
	}
}

func ownership(t *testing.T, h Harness) {
	s := h.Open(t)
	lines := []byte("first\n")
	if _, err := Append(t.Context(), s, key, 0, lines); err != nil {
		t.Fatal(err)
	}
	copy(lines, "XXXXX")
	got := mustRead(t, s)
	copy(got, "YYYYY")
	_ = append(got, "ZZZZZ\n"...)
	wantLog(t, s, "first\n")
	mustAppend(t, s, 6, "second\n")
	wantLog(t, s, "first\nsecond\n")
}

func endedContext(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, 0, "first\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Read(ctx, key, 0); err == nil {
		t.Error("reading: got no error")
	}
	if _, err := s.Append(ctx, key, 6, []byte("second\n")); err == nil {
		t.Error("appending: got no error")
	}
	if _, err := s.Keys(ctx, ""); err == nil {
		t.Error("listing: got no error")
	}
	wantLog(t, s, "first\n")
}

// Benchmark measures appends of a line of 200 bytes to logs of 50 lines.
func Benchmark(b *testing.B, s journal.Store) {
	line := []byte(strings.Repeat("x", 199) + "\n")
	at := int64(0)
	n := 0
	for b.Loop() {
		k := journal.Key("bench", fmt.Sprint(n/50))
		length, err := s.Append(b.Context(), k, at, line)
		if err != nil {
			b.Fatal(err)
		}
		at = length
		if n++; n%50 == 0 {
			at = 0
		}
	}
	b.SetBytes(int64(len(line)))
}

func mustAppend(t *testing.T, s journal.Store, at int64, lines string) int64 {
	t.Helper()
	length, err := Append(t.Context(), s, key, at, []byte(lines))
	if err != nil {
		t.Fatalf("appending at %d: %v", at, err)
	}
	return length
}

func mustRead(t *testing.T, s journal.Store) []byte {
	t.Helper()
	data, length, err := Read(t.Context(), s, key, 0)
	if err != nil || length != int64(len(data)) {
		t.Fatalf("reading: got %d bytes, length %d, %v", len(data), length, err)
	}
	return data
}

func wantLog(t *testing.T, s journal.Store, want string) {
	t.Helper()
	if got := mustRead(t, s); string(got) != want {
		t.Fatalf("the log: got %.300q, want %.300q", got, want)
	}
}
