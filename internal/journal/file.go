package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// file keeps each log in a file of a directory. Its rules:
//
//   - Whoever reads holds a shared lock (flock) on the file, whoever appends an
//     exclusive one, so a reader never sees an append that is not yet durable.
//   - An append is written with its first byte as NUL and synced; then the first
//     byte is put right and synced. Until then the append is a torn tail, which
//     no reader takes for records, whatever part of it reached the disk.
//   - The next append cuts a torn tail off.
//   - Files and directories that it makes are for their owner alone (0600, 0700),
//     and their names are made durable with them. It follows no link below its
//     directory and opens nothing but files.
type file struct {
	dir     string
	timeout time.Duration        // the longest wait for a lock
	sync    func(*os.File) error // makes a file, or the names in a directory, durable
}

func newFile(dir string, timeout time.Duration) *file {
	return &file{dir: dir, timeout: timeout, sync: (*os.File).Sync}
}

func (f *file) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if err := CheckRead(key, from); err != nil {
		return nil, 0, err
	}
	log, err := f.open(ctx, key, os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		if from > 0 {
			return nil, 0, shrunk(key, from)
		}
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading journal %s: %w", key, err)
	}
	defer func() { _ = log.Close() }()
	data, n, err := readFrom(log, key, from)
	if err != nil || n == 0 {
		return nil, from, err
	}
	return data[:n:n], from + int64(n), nil
}

// readFrom returns what is in the file from an offset on, torn tail included,
// and how much of it is complete lines.
func readFrom(log *os.File, key string, from int64) (data []byte, n int, err error) {
	info, err := log.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("reading journal %s: %w", key, err)
	}
	size := info.Size()
	if size > MaxLog+MaxAppend {
		return nil, 0, fmt.Errorf("reading journal %s: %w: %d bytes, at most %d", key, ErrDamaged, size, MaxLog)
	}
	if from > size {
		return nil, 0, shrunk(key, from)
	}
	// One byte before, to see that a line ends there.
	before := min(from, 1)
	data = make([]byte, size-from+before)
	if _, err := io.ReadFull(io.NewSectionReader(log, from-before, int64(len(data))), data); err != nil {
		return nil, 0, fmt.Errorf("reading journal %s: %w", key, err)
	}
	if before == 1 && data[0] != '\n' {
		return nil, 0, shrunk(key, from)
	}
	data = data[before:]
	n, err = complete(data)
	if err != nil {
		return nil, 0, fmt.Errorf("reading journal %s from %d: %w", key, from, err)
	}
	return data, n, nil
}

func (f *file) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if err := CheckAppend(key, at, lines); err != nil {
		return 0, err
	}
	mode := os.O_RDWR
	if at == 0 {
		mode |= os.O_CREATE
	}
	log, err := f.open(ctx, key, mode, syscall.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, moved(key, at, 0)
	}
	if err != nil {
		return 0, fmt.Errorf("appending to journal %s: %w", key, err)
	}
	defer func() { _ = log.Close() }()
	rest, n, err := readFrom(log, key, at)
	switch {
	case errors.Is(err, ErrShrunk):
		return 0, moved(key, at, -1)
	case err != nil:
		return 0, err
	case n > 0:
		return 0, moved(key, at, at+int64(n))
	}
	if err := f.write(log, key, at, lines, len(rest) > 0); err != nil {
		return 0, fmt.Errorf("appending to journal %s: %w", key, err)
	}
	return at + int64(len(lines)), nil
}

// write appends in the two steps that make it atomic; torn says that there is
// something to cut off. An error of the second step leaves it open whether the
// append is there.
func (f *file) write(log *os.File, key string, at int64, lines []byte, torn bool) error {
	if torn {
		if err := log.Truncate(at); err != nil {
			return err
		}
	}
	draft := append([]byte{0}, lines[1:]...)
	if _, err := log.WriteAt(draft, at); err != nil {
		return err
	}
	if err := f.sync(log); err != nil {
		return err
	}
	if at == 0 {
		if err := f.syncDirs(key); err != nil {
			return err
		}
	}
	if _, err := log.WriteAt(lines[:1], at); err != nil {
		return errors.Join(ErrUnsettled, err)
	}
	if err := f.sync(log); err != nil {
		return errors.Join(ErrUnsettled, err)
	}
	return nil
}

// syncDirs makes a new file's name durable.
func (f *file) syncDirs(key string) error {
	for _, dir := range []string{path.Dir(key), "."} {
		if err := f.syncDir(filepath.Join(f.dir, filepath.FromSlash(dir))); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.sync(d)
	return errors.Join(err, d.Close())
}

// open opens and locks the file of a key, and sees to it that the file has
// still that name: somebody may have removed it before the lock was had.
func (f *file) open(ctx context.Context, key string, mode, lock int) (*os.File, error) {
	if mode&os.O_CREATE != 0 {
		if err := f.makeDirs(filepath.Join(f.dir, filepath.FromSlash(path.Dir(key)))); err != nil {
			return nil, err
		}
	}
	// A root keeps links in the directory from leading out of it.
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("locked by another process for %s", f.timeout))
	defer cancel()
	for {
		if err := ordinary(root, key); err != nil {
			return nil, err
		}
		log, err := root.OpenFile(filepath.FromSlash(key), mode, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, log, lock); err != nil {
			_ = log.Close()
			return nil, err
		}
		mine, _ := log.Stat() // what cannot be looked at is not the same file
		named, _ := root.Lstat(filepath.FromSlash(key))
		if os.SameFile(mine, named) {
			return log, nil
		}
		_ = log.Close()
	}
}

// ordinary refuses a key whose place is taken by something else than a file in a
// directory: a link would lead to the log of another key, a pipe would block.
func ordinary(root *os.Root, key string) error {
	dir, err := root.Lstat(filepath.FromSlash(path.Dir(key)))
	if err == nil && !dir.IsDir() {
		return fmt.Errorf("%s is no directory but %s", path.Dir(key), dir.Mode().Type())
	}
	log, err := root.Lstat(filepath.FromSlash(key))
	if err == nil && !log.Mode().IsRegular() {
		return fmt.Errorf("%s is no file but %s", key, log.Mode().Type())
	}
	return nil // what cannot be looked at cannot be opened either, and says so
}

// makeDirs makes a directory and those above it, each durable before the next,
// for their owner alone. Those that are there stay as they are.
func (f *file) makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above == dir {
		return os.Mkdir(dir, 0o700)
	}
	if err := f.makeDirs(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(above)
}

// lockPause is how long to wait before asking for a lock again: an append holds
// it for two syncs of a disk, some milliseconds.
const lockPause = time.Millisecond

// flock asks without blocking, since a blocked flock would not hear of ctx. The
// lock ends when the file is closed, also by the end of the process.
func flock(ctx context.Context, log *os.File, how int) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := syscall.Flock(int(log.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockPause):
		}
	}
}

func (f *file) Keys(ctx context.Context, prefix string) ([]string, error) {
	return keysOf(f.entries(ctx, prefix))
}

func (f *file) entries(ctx context.Context, prefix string) ([]Entry, error) {
	var found []Entry
	from := f.dir
	if kind, _, whole := strings.Cut(prefix, "/"); whole && checkPart(kind) { // no other directory can have them
		from = filepath.Join(f.dir, kind)
	}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we look, or never made
			}
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(f.dir, name)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(rel)
		if !d.Type().IsRegular() || !strings.HasPrefix(key, prefix) || checkKey(key) != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 {
			return nil // removed while we look, or created and never written
		}
		if found = append(found, Entry{key, info.Size(), info.ModTime()}); len(found) > MaxKeys {
			return fmt.Errorf("more than %d keys", MaxKeys)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing journal %s: %w", prefix, err)
	}
	return found, nil
}

func (f *file) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	keys, err := f.Keys(ctx, prefix)
	at, found := slices.BinarySearch(keys, after)
	if found {
		at++
	}
	keys = keys[at:]
	return keys[:min(len(keys), limit, MaxSome)], err
}

func (f *file) Forget(ctx context.Context, key string) error {
	if err := CheckForget(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	if err := f.remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}

func (f *file) remove(key string) error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := ordinary(root, key); err != nil {
		return err
	}
	return root.Remove(filepath.FromSlash(key))
}
