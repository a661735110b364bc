package journal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// TestMain lets the test binary be a writer in another process too.
func TestMain(m *testing.M) {
	if dir := os.Getenv("JOURNAL_TEST_WRITER"); dir != "" {
		write(dir, os.Getenv("JOURNAL_TEST_NAME"), os.Getenv("JOURNAL_TEST_ENDLESS") != "")
		return
	}
	if dir := os.Getenv("JOURNAL_TEST_FULL"); dir != "" {
		fill(dir)
		return
	}
	os.Exit(m.Run())
}

// write appends lines of its name, 40 or without end, and prints each that is
// surely there.
func write(dir, name string, endless bool) {
	s, err := journal.Open("file://"+dir, journal.Options{Timeout: time.Minute})
	if err != nil {
		panic(err)
	}
	known := int64(0)
	for n := 0; n < 40 || endless; {
		line := fmt.Sprintf("%s/%d\n", name, n)
		length, err := journaltest.Append(context.Background(), s, key, known, []byte(line))
		switch {
		case err == nil:
			known = length
			n++
			_, _ = os.Stdout.WriteString(line)
		case errors.Is(err, journal.ErrMoved):
			if _, known, err = s.Read(context.Background(), key, known); err != nil {
				panic(err)
			}
		default:
			panic(err)
		}
	}
}

func TestAppendsOfManyProcessesSurviveEachOtherAndBeingKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	type writer struct {
		cmd   *exec.Cmd
		lines *bufio.Scanner
	}
	var writers []writer
	for i := range 4 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_WRITER="+dir, fmt.Sprintf("JOURNAL_TEST_NAME=w%d", i))
		if i%2 == 0 { // will be killed
			cmd.Env = append(cmd.Env, "JOURNAL_TEST_ENDLESS=1")
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, writer{cmd, bufio.NewScanner(out)})
	}
	var sure []string
	for i, w := range writers {
		for n := 0; w.lines.Scan(); n++ {
			sure = append(sure, w.lines.Text())
			if i%2 == 0 && n == 10 {
				// Killed in the middle of something; what it printed must be there.
				_ = w.cmd.Process.Kill()
			}
		}
		if err := w.cmd.Wait(); (err != nil) != (i%2 == 0) {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	lines, _, err := openDir(t, dir).Read(t.Context(), key, 0)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, line := range journal.Lines(lines) {
		count[string(line)]++
	}
	for line, n := range count {
		if n != 1 {
			t.Errorf("%s is there %d times", line, n)
		}
	}
	for _, line := range sure {
		if count[line] != 1 {
			t.Errorf("%s was appended and is gone", line)
		}
	}
}

func TestATornTailIsNotReadAndCutOffByTheNextAppend(t *testing.T) {
	for _, tail := range []string{
		"torn", "{\"id\":\"torn", "\x00", strings.Repeat("\x00", 5000), "\x00orn\n", "\x00orn\nmore\n", "torn\x00\x00\x00",
		"\x00\n", "\x00\nwhole\n",
	} {
		t.Run(fmt.Sprintf("%.20q", tail), func(t *testing.T) {
			dir := t.TempDir()
			s := openDir(t, dir)
			mustAppend(t, s, 0, "first\n")
			add(t, dir, tail)
			if lines, length, err := s.Read(t.Context(), key, 0); string(lines) != "first\n" || length != 6 || err != nil {
				t.Errorf("reading all: got %q, %d, %v", lines, length, err)
			}
			if lines, length, err := s.Read(t.Context(), key, 6); lines != nil || length != 6 || err != nil {
				t.Errorf("reading on: got %q, %d, %v", lines, length, err)
			}
			mustAppend(t, s, 6, "x\n")
			if got, err := os.ReadFile(filepath.Join(dir, key)); string(got) != "first\nx\n" || err != nil {
				t.Errorf("the file: got %q, %v", got, err)
			}
		})
	}
}

func TestAFileThatIsNoLogIsDamagedAndLeftAlone(t *testing.T) {
	for _, bad := range []string{"sec\x00ond\nthird\n", "\n"} {
		dir := t.TempDir()
		s := openDir(t, dir)
		mustAppend(t, s, 0, "first\n")
		add(t, dir, bad)
		if _, _, err := s.Read(t.Context(), key, 0); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("reading %q: got %v, want ErrDamaged", bad, err)
		}
		if _, err := s.Append(t.Context(), key, 6, []byte("x\n")); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("appending to %q: got %v, want ErrDamaged", bad, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, key)); string(got) != "first\n"+bad || err != nil {
			t.Errorf("the file: got %q, %v; want it untouched", got, err)
		}
	}
}

// A machine that loses power in the middle of an append may keep any part of
// what was written since the last sync: any pages of it, others as zeros. Up to
// the first sync that is the draft, whose first byte is NUL in any case.
func TestWhateverPartOfAnAppendReachesTheDiskItIsAllOrNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	before, append3 := "first\nsecond\n", "third\n"+strings.Repeat("y", 40)+"\nfifth\n"
	for range 300 {
		dir := t.TempDir()
		s := openDir(t, dir)
		mustAppend(t, s, 0, before)
		draft := []byte("\x00" + append3[1:])
		const page = 7
		for at := 0; at < len(draft); at += page {
			if random.IntN(2) == 0 {
				clear(draft[at:min(at+page, len(draft))])
			}
		}
		add(t, dir, string(draft[:random.IntN(len(draft)+1)]))
		if lines, _, err := s.Read(t.Context(), key, 0); string(lines) != before || err != nil {
			t.Fatalf("with %q on the disk: got %q, %v; want %q", draft, lines, err, before)
		}
		mustAppend(t, s, int64(len(before)), "next\n")
	}
}

func TestALockThatOthersKeepIsWaitedForOnlySoLong(t *testing.T) {
	dir := t.TempDir()
	s, err := journal.Open("file://"+dir, journal.Options{Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, openDir(t, dir), 0, "first\n")
	other, err := os.Open(filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), key, 6, []byte("x\n")); err == nil || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("appending: got %v, want an error that names the lock", err)
	}
	if _, _, err := s.Read(t.Context(), key, 0); err == nil || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("reading: got %v, want an error that names the lock", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, openDir(t, dir), 6, "x\n")
}

func TestALogRemovedWhileAnAppendWaitsIsNotWrittenToAfterwards(t *testing.T) {
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("made anew: %t", anew), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { removedWhileAnAppendWaits(t, anew) })
		})
	}
}

func removedWhileAnAppendWaits(t *testing.T, anew bool) {
	dir := t.TempDir()
	s := openDir(t, dir)
	mustAppend(t, s, 0, "first\n")
	other, err := os.Open(filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := s.Append(t.Context(), key, 6, []byte("x\n"))
		result <- err
	}()
	synctest.Wait() // it has opened the file, and waits for the lock
	if err := os.Remove(filepath.Join(dir, key)); err != nil {
		t.Fatal(err)
	}
	if anew {
		mustAppend(t, openDir(t, dir), 0, "first, and more\n")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, journal.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
}

// An asked is a context that calls do when it is asked for the n-th time whether it has
// ended.
type asked struct {
	context.Context
	n  int
	do func()
}

func (a *asked) Err() error {
	if a.n--; a.n == 0 {
		a.do()
	}
	return a.Context.Err()
}

func TestALogRemovedWhileOthersAreListedIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	for _, id := range []string{"a", "b"} {
		if _, err := s.Append(t.Context(), journal.Key("request", id), 0, []byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	// It asks at the directory, reads the names in it, and asks at each.
	ctx := &asked{t.Context(), 2, func() { _ = os.Remove(filepath.Join(dir, journal.Key("request", "b"))) }}
	if keys, err := s.Keys(ctx, "request/"); err != nil || len(keys) != 1 || keys[0] != journal.Key("request", "a") {
		t.Errorf("got %q, %v, want a alone", keys, err)
	}
}

func TestNothingIsForgottenThroughALink(t *testing.T) {
	entry := filepath.FromSlash(journal.Key("open", "r1"))
	for name, link := range map[string]func(dir, outside string) error{
		"for the directory": func(dir, outside string) error { return os.Symlink(outside, filepath.Join(dir, "open")) },
		"for the entry": func(dir, outside string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "open"), 0o700), os.Symlink(filepath.Join(outside, filepath.Base(entry)), filepath.Join(dir, entry)))
		},
	} {
		dir, outside := t.TempDir(), t.TempDir()
		kept := filepath.Join(outside, filepath.Base(entry))
		if err := errors.Join(os.WriteFile(kept, []byte("x\n"), 0o600), link(dir, outside)); err != nil {
			t.Fatal(err)
		}
		if err := openDir(t, dir).Forget(t.Context(), filepath.ToSlash(entry)); err == nil {
			t.Errorf("link %s: got no error", name)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("link %s: %v", name, err)
		}
	}
}

func TestALinkLeadsNowhereElse(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "request")); err != nil {
		t.Fatal(err)
	}
	if _, err := openDir(t, dir).Append(t.Context(), key, 0, []byte("x\n")); err == nil {
		t.Error("appending through a link: got no error")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: got %v, %v; want nothing", entries, err)
	}
}

// A link within the directory leads to the log of another key; a pipe would
// block whoever opens it.
func TestNothingButAFileIsOpened(t *testing.T) {
	other := journal.Key("request", "other")
	for name, put := range map[string]func(path string) error{
		"link to a log":   func(path string) error { return os.Symlink(filepath.Base(other), path) },
		"link to nothing": func(path string) error { return os.Symlink("none", path) },
		"link outside":    func(path string) error { return os.Symlink("/etc/hostname", path) },
		"pipe":            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory":       func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openDir(t, dir)
			if _, err := s.Append(t.Context(), other, 0, []byte("other\n")); err != nil {
				t.Fatal(err)
			}
			if err := put(filepath.Join(dir, filepath.FromSlash(key))); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), key, 0, []byte("x\n")); err == nil {
				t.Error("appending: got no error")
			}
			if lines, _, err := s.Read(t.Context(), key, 0); err == nil {
				t.Errorf("reading: got %q and no error", lines)
			}
			if keys, err := s.Keys(t.Context(), ""); err != nil || len(keys) != 1 || keys[0] != other {
				t.Errorf("listing: got %q, %v; want the other log alone", keys, err)
			}
			if lines, _, err := s.Read(t.Context(), other, 0); string(lines) != "other\n" || err != nil {
				t.Errorf("the other log: got %q, %v; want it untouched", lines, err)
			}
		})
	}
	t.Run("link for the kind", func(t *testing.T) {
		dir := t.TempDir()
		s := openDir(t, dir)
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700), os.Symlink("elsewhere", filepath.Join(dir, "request"))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), key, 0, []byte("x\n")); err == nil {
			t.Error("appending: got no error")
		}
		if entries, err := os.ReadDir(filepath.Join(dir, "elsewhere")); err != nil || len(entries) > 0 {
			t.Errorf("elsewhere: got %v, %v; want nothing", entries, err)
		}
	})
}

// fill appends until nothing more fits, looks whether all that was appended is
// there and no more, makes room, and goes on. It runs in a process of its own,
// whose files may only grow to a certain size: to a writer that is a full disk.
func fill(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	small := limit
	small.Cur = 1000
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small))
	s, err := journal.Open("file://"+dir, journal.Options{Timeout: time.Minute})
	must(err)
	ctx := context.Background()
	whole, line := "", strings.Repeat("x", 150)+"\n"
	for {
		length, err := s.Append(ctx, key, int64(len(whole)), []byte(line))
		if err != nil {
			if !errors.Is(err, syscall.EFBIG) || errors.Is(err, journal.ErrMoved) || errors.Is(err, journal.ErrUnsettled) {
				panic(fmt.Sprintf("a full disk gives %v", err))
			}
			break
		}
		whole += line
		if int(length) != len(whole) || len(whole) > 1000 {
			panic(fmt.Sprintf("%d bytes after an append, want %d", length, len(whole)))
		}
	}
	lines, length, err := s.Read(ctx, key, 0)
	if must(err); string(lines) != whole || int(length) != len(whole) {
		panic(fmt.Sprintf("read %q, want %q", lines, whole))
	}
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	_, err = s.Append(ctx, key, length, []byte("more\n"))
	must(err)
	lines, _, err = s.Read(ctx, key, 0)
	if must(err); string(lines) != whole+"more\n" {
		panic(fmt.Sprintf("read %q after there was room, want %q", lines, whole+"more\n"))
	}
	fmt.Print("appended ", len(whole)/len(line))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestAFullDiskLosesNothingAndLeavesNothingHalf(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_FULL="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "appended 6" {
		t.Errorf("got %v:\n%s", err, out)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "new")
	mustAppend(t, openDir(t, dir), 0, "x\n")
	for name, want := range map[string]os.FileMode{filepath.Dir(dir): 0o700, dir: 0o700, filepath.Join(dir, "request"): 0o700, filepath.Join(dir, key): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

// add writes raw bytes behind a log.
func add(t *testing.T, dir, data string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, key), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
