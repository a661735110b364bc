package journal

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestMemoryForgetsTheLogsWrittenLongestAgo(t *testing.T) {
	s := Memory().(*memory)
	s.maxLogs, s.maxBytes = 3, 100
	for _, id := range []string{"a", "b", "c"} {
		mustAppend(t, s, Key("request", id), 0, id+"\n")
	}
	mustAppend(t, s, Key("request", "a"), 2, "again\n") // now b is the oldest
	mustAppend(t, s, Key("request", "d"), 0, "d\n")
	got, err := s.Keys(t.Context(), "")
	want := []string{Key("request", "a"), Key("request", "c"), Key("request", "d")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("after one log too many: got %q, %v; want %q", got, err, want)
	}
	if _, _, err := s.Read(t.Context(), Key("request", "b"), 2); !errors.Is(err, ErrShrunk) {
		t.Errorf("reading on in a forgotten log: got %v, want ErrShrunk", err)
	}
	mustAppend(t, s, Key("request", "e"), 0, fmt.Sprintf("%0100d\n", 0))
	got, err = s.Keys(t.Context(), "")
	if want := []string{Key("request", "e")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("after too many bytes: got %q, %v; want the newest, %q", got, err, want)
	}
	if s.bytes != 101 {
		t.Errorf("bytes kept: got %d, want 101", s.bytes)
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
