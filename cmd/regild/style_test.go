package main

import (
	"slices"
	"testing"
	"time"
)

func TestTextIsCutAndPaddedByColumns(t *testing.T) {
	tests := []struct {
		text     string
		to       int
		cut, pad string
	}{
		{"short", 8, "short", "short   "},
		{"exactly8", 8, "exactly8", "exactly8"},
		{"a long text", 8, "a long …", "a long …"},
		{"重建云桌面", 8, "重建云…", "重建云… "},
		{"e\u0301tude", 5, "e\u0301tude", "e\u0301tude"},
		{"anything", 0, "", ""},
	}
	for _, tt := range tests {
		if got := cut(tt.text, tt.to); got != tt.cut {
			t.Errorf("cut(%q, %d): got %q, want %q", tt.text, tt.to, got, tt.cut)
		}
		if got := pad(tt.text, tt.to); got != tt.pad {
			t.Errorf("pad(%q, %d): got %q, want %q", tt.text, tt.to, got, tt.pad)
		}
	}
}

func TestALengthOfTimeIsToldInItsTwoLargestParts(t *testing.T) {
	tests := map[time.Duration]string{
		0: "0s", 1234 * time.Millisecond: "1.2s", 59 * time.Second: "59s", time.Minute: "1m", 90 * time.Second: "1m 30s",
		10 * time.Minute: "10m", time.Hour: "1h", 4*time.Hour + 6*time.Minute + 5*time.Second: "4h 6m",
		24 * time.Hour: "24h", 14 * 24 * time.Hour: "14d", 53 * time.Hour: "2d 5h", -time.Minute: "-1m",
	}
	for d, want := range tests {
		if got := span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestWordsAreWrappedAndLongOnesKept(t *testing.T) {
	got := wrap("one two three a-word-that-is-longer four", 9)
	if want := []string{"one two", "three", "a-word-that-is-longer", "four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALongWaitIsWatchedLongerButNotForEver(t *testing.T) {
	last := time.Duration(0)
	for _, gap := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		got := watched(gap, 300)
		if got < last || got > longWait || got > time.Duration(float64(gap)/300) {
			t.Errorf("%v: got %v", gap, got)
		}
		last = got
	}
}
