package journal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
)

// Each bound holds at the bound and not one further.
func TestAppendsAreTakenUpToTheirBounds(t *testing.T) {
	line := append(bytes.Repeat([]byte("x"), MaxLine-1), '\n')
	full := slices.Concat(line, line) // MaxAppend
	if len(full) != MaxAppend {
		t.Fatalf("two lines of %d bytes are %d, want %d", MaxLine, len(full), MaxAppend)
	}
	for name, l := range map[string]struct {
		at    int64
		lines []byte
		fails bool
	}{
		"as large as may be":    {0, full, false},
		"one byte more":         {0, append(slices.Clone(full[:len(full)-1]), "\ny\n"...), true},
		"up to the end":         {MaxLog - 2, []byte("a\n"), false},
		"beyond the end":        {MaxLog - 1, []byte("a\n"), true},
		"at a negative place":   {-1, []byte("a\n"), true},
		"a line that is longer": {0, append([]byte("x"), line...), true},
	} {
		if err := CheckAppend(Key("request", "a"), l.at, l.lines); (err != nil) != l.fails {
			t.Errorf("%s: got %v, want an error: %t", name, err, l.fails)
		}
	}
}

func TestAMoveSaysTheLengthWhereItIsKnown(t *testing.T) {
	for length, want := range map[int64]string{
		-1: "appending to journal k at 7: the log has moved on",
		0:  "appending to journal k at 7: the log has moved on: its length is 0",
		9:  "appending to journal k at 7: the log has moved on: its length is 9",
	} {
		if err := moved("k", 7, length); err.Error() != want || !errors.Is(err, ErrMoved) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestKeysAtTheirBounds(t *testing.T) {
	for id, want := range map[string]string{
		"AZ": "=a=z", "az": "az", "09": "09", "@[`{": "~40~5b~60~7b",
		strings.Repeat("x", maxName):   strings.Repeat("x", maxName),
		strings.Repeat("x", maxName+1): strings.Repeat("x", maxName-len(hashMark)-64) + hashMark,
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(Key("request", id), "request/"), suffix)
		if at := strings.Index(want, hashMark); at > 0 { // which hash does not matter here
			got, want = got[:at+len(hashMark)], want[:at+len(hashMark)]
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", id, got, want)
		}
	}
	for _, key := range []string{"x", "a/b", "a/=", "a/~f.jsonl", "a/~zz.jsonl", "=/x.jsonl", "a/~61.jsonl", "a/B.jsonl"} {
		if kind, id, ok := SplitKey(key); ok {
			t.Errorf("SplitKey(%q) = %q, %q, want none", key, kind, id)
		}
	}
	for _, key := range []string{Key("open", "abcd"), Key("open", "abc"), Key("open", "")} {
		if id, ok := OpenID(key); ok {
			t.Errorf("OpenID(%q) = %q, want none", key, id)
		}
	}
}

func TestARegionIsReadFromALocation(t *testing.T) {
	for location, want := range map[string]string{"oss-cn-hangzhou": "cn-hangzhou", "cn-hangzhou": "cn-hangzhou", "oss-": "oss-", "oss": "oss", "": "", "oss-a": "a"} {
		if got := regionOf(location); got != want {
			t.Errorf("%q: got %q, want %q", location, got, want)
		}
	}
}

func TestWhatIsNotSaidIsTheDefault(t *testing.T) {
	s, err := Open("file:///tmp/x", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.(*file).timeout; got != 5*time.Second {
		t.Errorf("the timeout is %s, want 5s", got)
	}
	o := Options{Region: "cn-hangzhou", Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, credentials.ErrNone }}
	s, err = Open("oss://bucket", o)
	if err != nil {
		t.Fatal(err)
	}
	if b := s.(*bucket); b.timeout != 5*time.Second || b.backoff != 100*time.Millisecond {
		t.Errorf("the timeout is %s and the backoff %s, want 5s and 100ms", b.timeout, b.backoff)
	}
	for url, fails := range map[string]bool{
		"oss://abc": false, "oss://ab": true, "oss://" + strings.Repeat("a", 63): false, "oss://" + strings.Repeat("a", 64): true,
		"file:///a?": true, "file:///a#b": true, "file:///a%00b": true, "file:///a%20b": false,
	} {
		if _, err := Open(url, o); (err != nil) != fails {
			t.Errorf("%s: got %v, want an error: %t", url, err, fails)
		}
	}
}

// A listing of a directory leaves out what is no log, and is in order whatever the
// names of directories are.
func TestADirectoryListsItsLogsInOrder(t *testing.T) {
	dir := t.TempDir()
	s := newFile(dir, time.Minute)
	// As paths a- comes before a/, as names of directories a before a-.
	for _, key := range []string{Key("a", "x"), Key("a-", "x"), Key("b", "y"), Key("b", "x")} {
		mustAppend(t, s, key, 0, "l\n")
	}
	for name, data := range map[string]string{"b/empty.jsonl": "", "b/BAD.jsonl": "l\n", "b/other.txt": "l\n", "loose.jsonl": "l\n"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "b", "dir.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := []string{Key("a-", "x"), Key("a", "x"), Key("b", "x"), Key("b", "y")}
	keys, err := s.Keys(t.Context(), "")
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("keys: got %q, %v, want %q", keys, err, want)
	}
	if lines, length, err := s.Read(t.Context(), Key("never", "x"), 0); err != nil || lines != nil || length != 0 {
		t.Errorf("a kind that was never written: got %q, %d, %v", lines, length, err)
	}
	for name, store := range map[string]Store{"a directory": s, "a store that tells keys only": onlyKeys{s}} {
		var got []string
		found, err := Entries(t.Context(), store, "")
		for _, e := range found {
			got = append(got, e.Key)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for prefix, n := range map[string]int{"b/": 2, "b/x": 1, "b": 2, "a": 2, "c/": 0, "../": 0, "b/dir.jsonl/": 0} {
		if keys, err := s.Keys(t.Context(), prefix); err != nil || len(keys) != n {
			t.Errorf("prefix %s: got %q, %v, want %d", prefix, keys, err, n)
		}
	}
}

// onlyKeys hides what else a store can do.
type onlyKeys struct{ Store }

func TestNothingIsListedOrDeletedWithoutTime(t *testing.T) {
	s := newFile(t.TempDir(), time.Minute)
	mustAppend(t, s, Key("open", "a"), 0, "l\n")
	mustAppend(t, s, Key("open", "b"), 0, "l\n")
	for range 2 { // the second time it is not there
		if err := s.Forget(t.Context(), Key("open", "b")); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the time is up")
	cancel(why)
	if _, err := s.Keys(ctx, ""); !errors.Is(err, why) {
		t.Errorf("listing: got %v, want %v", err, why)
	}
	if err := s.Forget(ctx, Key("open", "a")); err == nil {
		t.Error("it is deleted, want that the time is up")
	}
}

func mustAppend(t *testing.T, s Store, key string, at int64, lines string) int64 {
	t.Helper()
	length, err := s.Append(t.Context(), key, at, []byte(lines))
	if err != nil {
		t.Fatalf("appending to %s at %d: %v", key, at, err)
	}
	return length
}
