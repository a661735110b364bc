package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A tty is a terminal with somebody at it: what the process under test wrote can
// be waited for, and keys can be pressed.
type tty struct {
	master, slave *os.File

	mu    sync.Mutex
	shown bytes.Buffer
	more  *sync.Cond
}

func newTTY(t *testing.T) *tty {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatalf("opening a terminal: %v", err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	x := &tty{master: master, slave: slave}
	x.more = sync.NewCond(&x.mu)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			x.mu.Lock()
			x.shown.Write(buffer[:n])
			x.more.Broadcast()
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close() })
	return x
}

// wait waits until the text was shown. The test's own deadline bounds it.
func (x *tty) wait(text string) {
	x.until(func(shown string) bool { return strings.Contains(shown, text) })
}

// until waits until what was shown is as it should be.
func (x *tty) until(good func(shown string) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for !good(x.shown.String()) {
		x.more.Wait()
	}
}

func (x *tty) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// binaries is where built puts the command.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "regild-command"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

// built is the operator's command as people run it.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "regild")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

// command returns the command on a terminal.
func (x *tty) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), path, args...)
	c.Stdin, c.Stdout, c.Stderr = x.slave, x.slave, x.slave
	c.Env = append(os.Environ(), "TERM=xterm-256color")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c.Dir = t.TempDir()
	return c
}

// What a terminal must be told at the end, for each that it was told in the
// beginning. Source: xterm, "Control Sequences".
var taken = map[string]string{
	"\x1b[?1049h": "\x1b[?1049l", // the alternate screen
	"\x1b[?25l":   "\x1b[?25h",   // the cursor is hidden
	"\x1b[?2004h": "\x1b[?2004l", // bracketed paste
}

// However it ends, the terminal is as it was: by q, by Ctrl-C, by a signal.
func TestTheTerminalIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	store, err := journal.Open("file://"+dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := rollout.Encode(records())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), journal.Key("rollout", "2026.11.3/office"), 0, lines); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*tty, *exec.Cmd) error{
		"q":       func(x *tty, _ *exec.Cmd) error { _, err := io.WriteString(x.master, "q"); return err },
		"Ctrl-C":  func(x *tty, _ *exec.Cmd) error { _, err := io.WriteString(x.master, "\x03"); return err },
		"SIGTERM": func(_ *tty, c *exec.Cmd) error { return c.Process.Signal(syscall.SIGTERM) },
	} {
		x := newTTY(t)
		before, err := term.GetState(int(x.slave.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		c := x.command(t, "watch", "--journal", "file://"+dir, "--time-zone", "Asia/Shanghai", "--interval", "20ms")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		x.wait("2026.11.3/office")
		x.wait("Asia/Shanghai")
		if err := end(x, c); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		after, err := term.GetState(int(x.slave.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if *after != *before {
			t.Errorf("%s: the terminal is not as it was: got %+v, want %+v", name, after, before)
		}
		x.until(func(shown string) bool { // all is taken back, and the last picture stays
			last := 0
			for on, off := range taken {
				if strings.Contains(shown, on) && strings.LastIndex(shown, off) < strings.LastIndex(shown, on) {
					return false
				}
				last = max(last, strings.LastIndex(shown, off))
			}
			return strings.Contains(shown[last:], "desktops; q ends it")
		})
		if !strings.Contains(x.text(), "\x1b[?1049h") {
			t.Errorf("%s: it was not drawn on the alternate screen", name)
		}
	}
}

// Whoever watches one rollout to its end may leave before: q says so, Ctrl-C is an
// interruption.
func TestLeavingBeforeTheEndIsToldApart(t *testing.T) {
	url := journalOf(t, records()...)
	for key, want := range map[string]int{"q": 0, "\x03": exitInterrupted} {
		x := newTTY(t)
		c := x.command(t, "rollout", "watch", "2026.11.3/office", "--journal", url, "--interval", "20ms")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		x.wait("desktops; q ends it")
		if _, err := io.WriteString(x.master, key); err != nil {
			t.Fatal(err)
		}
		code := 0
		if failed, ok := errors.AsType[*exec.ExitError](c.Wait()); ok {
			code = failed.ExitCode()
		}
		if code != want {
			t.Errorf("%q: got exit code %d, want %d", key, code, want)
		}
	}
}

// A question that is interrupted sends nothing and leaves the terminal alone.
func TestAQuestionCanBeInterrupted(t *testing.T) {
	x := newTTY(t)
	dir := t.TempDir()
	store, err := journal.Open("file://"+dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := rollout.Encode(records())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), journal.Key("rollout", "2026.11.3/office"), 0, lines); err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]int{"\x03": exitInterrupted, "\n": exitFailed, "no\n": exitFailed} {
		c := x.command(t, "rollout", "pause", "2026.11.3/office", "--reason", "lunch", "--by", "ann", "--queue", "q", "--region", "cn-hangzhou",
			"--account", "1", "--mns-endpoint", "http://127.0.0.1:1", "--journal", "file://"+dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		x.wait("pause 2026.11.3/office? [y/N] ")
		if _, err := io.WriteString(x.master, answer); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		if failed, ok := errors.AsType[*exec.ExitError](err); !ok || failed.ExitCode() != want {
			t.Errorf("%q: got %v, want exit code %d\n%s", answer, err, want, x.text())
		}
		x.mu.Lock()
		x.shown.Reset()
		x.mu.Unlock()
	}
}
