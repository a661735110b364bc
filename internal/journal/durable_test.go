package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// An append is durable as a draft, and so is its name, before it is made valid; and
// valid before it is told. What each sync makes durable is what is in the file then.
func TestAnAppendIsDurableBeforeItIsValidAndBeforeItIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	s := newFile(dir, time.Minute)
	var synced []string
	s.sync = func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(dir), f.Name())
		if !info.IsDir() {
			data, err2 := os.ReadFile(filepath.Join(dir, filepath.FromSlash(Key("request", "r1"))))
			rel, err = fmt.Sprintf("%q", data), errors.Join(err, err2)
		}
		synced = append(synced, filepath.ToSlash(rel))
		return errors.Join(err, f.Sync())
	}
	for _, step := range []struct {
		at   int64
		line string
		want []string
	}{
		{0, "one\n", []string{".", "journal", `"\x00ne\n"`, "journal/request", "journal", `"one\n"`}},
		{4, "two\n", []string{`"one\n\x00wo\n"`, `"one\ntwo\n"`}},
	} {
		synced = nil
		if _, err := s.Append(t.Context(), Key("request", "r1"), step.at, []byte(step.line)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(synced, step.want) {
			t.Errorf("appending %q: got synced %q, want %q", step.line, synced, step.want)
		}
	}
}

// A sync that fails before the append is valid leaves nothing; one that fails after
// leaves it open whether the append is there.
func TestASyncThatFailsIsTold(t *testing.T) {
	for fails, unsettled := range map[int]bool{1: false, 2: true} {
		s := newFile(t.TempDir(), time.Minute)
		if _, err := s.Append(t.Context(), Key("request", "r1"), 0, []byte("one\n")); err != nil {
			t.Fatal(err)
		}
		n := 0
		s.sync = func(*os.File) error {
			if n++; n == fails {
				return fs.ErrInvalid
			}
			return nil
		}
		_, err := s.Append(t.Context(), Key("request", "r1"), 4, []byte("two\n"))
		if !errors.Is(err, fs.ErrInvalid) || errors.Is(err, ErrUnsettled) != unsettled {
			t.Errorf("sync %d fails: got %v, want unsettled %v", fails, err, unsettled)
		}
		lines, _, err := s.Read(t.Context(), Key("request", "r1"), 0)
		if want := map[bool]string{false: "one\n", true: "one\ntwo\n"}[unsettled]; string(lines) != want || err != nil {
			t.Errorf("sync %d fails: read %q, %v", fails, lines, err)
		}
	}
}
