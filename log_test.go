package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
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

func TestTheLogIsTheSameWithAndWithoutLookingForWhatToEscape(t *testing.T) {
	var out bytes.Buffer
	r := slog.NewRecord(time.Unix(1, 0), slog.LevelInfo, "outcome", 0)
	r.AddAttrs(slog.String("id", `<a> "x" \ 重建`), slog.Int("attempt", 1), slog.Duration("took", time.Second), slog.Bool("dry", true), slog.Time("at", time.Unix(2, 3)))
	log := newLogger(&out, slog.LevelInfo).With("build", "b").WithGroup("of").With("n", 1).Handler().(logHandler)
	for _, h := range []slog.Handler{log.plain, log.escaping, log} {
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Split(out.String(), "\n"); lines[0] == "" || lines[0] != lines[1] || lines[0] != lines[2] {
		t.Errorf("got different lines:\n%s", out.String())
	}
}

// BenchmarkLog writes the line of an outcome.
func BenchmarkLog(b *testing.B) {
	log := newLogger(io.Discard, slog.LevelInfo).With("build", "b").With("invocation", "1-dc7541a7-011fa48a-853c69154d474f10")
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(b.Context(), slog.LevelInfo, "outcome", slog.String("request_id", "win11-2026.11.3-hz-0007"), slog.String("region_id", "cn-hangzhou"),
			slog.String("desktop_id", "ecd-gx2x1dhsmucyy0001"), slog.String("status", "accepted"), slog.String("code", "Success"),
			slog.String("image_id", "m-84mztzatmlnys0001"), slog.String("previous_image_id", "m-84mztzatmlnys0000"),
			slog.String("ecd_request_id", "1CBAFFAB-B697-4049-A9B1-67E1FC5F0000"), slog.Int("attempt", 1), slog.String("fleet", ""))
	}
}
