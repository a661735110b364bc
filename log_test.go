package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode"
)

// Nothing from outside reaches a line of the log unescaped.
func TestTheLogShowsNothingUnescaped(t *testing.T) {
	const evil = "a\x1b[2J\u009b31m\u202e\u2028\nb\x7f\xff\ufffe"
	var out bytes.Buffer
	log := newLogger(&out, slog.LevelDebug).With("invocation", evil)
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		log.Log(t.Context(), level, "message", "id", evil, slog.Group("of", "desktop", evil), "error", errors.New(evil).Error())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("got %d lines, want 4: %q", len(lines), lines)
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
			t.Errorf("the line does more than print: %q", line)
		}
		var entry struct{ ID string }
		const want = `a\x1b[2J\u009b31m\u202e\u2028\nb\x7f\xff\ufffe`
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.ID != want {
			t.Errorf("got %q (%v), want %q", entry.ID, err, want)
		}
	}
}
