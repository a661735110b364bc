package journal_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/regild/regild/internal/journal"
)

func TestAReadOnlyDirectoryCanBeReadAndIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	mustAppend(t, openDir(t, dir), 0, "first\n")
	const nobody = 65534
	log := filepath.Join(dir, filepath.FromSlash(key))
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, log: 0o400, filepath.Dir(log): 0o500, dir: 0o500} {
		if os.Geteuid() == 0 && path != filepath.Dir(dir) {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o700)
		_ = os.Chmod(filepath.Dir(log), 0o700)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 { // nothing is read-only for root: this thread, which ends here, is somebody else to the file system
			runtime.LockOSThread()
			if err := syscall.Setfsuid(nobody); err != nil {
				t.Error(err)
			}
		}
		s := openDir(t, dir)
		if lines, _, err := s.Read(context.Background(), key, 0); string(lines) != "first\n" || err != nil {
			t.Errorf("reading: got %q, %v", lines, err)
		}
		for at, key := range map[int64]string{6: key, 0: journal.Key("request", "new")} {
			_, err := s.Append(context.Background(), key, at, []byte("x\n"))
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, journal.ErrMoved) || errors.Is(err, journal.ErrUnsettled) {
				t.Errorf("appending to %s: got %v, want it not allowed", key, err)
			}
		}
		if _, err := s.Append(context.Background(), journal.Key("fleet", "new"), 0, []byte("x\n")); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("appending to a new kind: got %v, want it not allowed", err)
		}
	}()
	<-done
	if got, err := os.ReadFile(log); string(got) != "first\n" || err != nil {
		t.Errorf("the log: got %q, %v", got, err)
	}
}
