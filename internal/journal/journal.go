// Package journal keeps append-only logs of lines: what was begun and how it
// ended, one log per request or rollout. It stores lines and knows nothing of
// what they mean.
//
// Every append is a compare-and-swap: it names the length that the log must
// have, so of two instances that decide at once only one writes, and the other
// is told ErrMoved, reads what is new and decides again. That is the whole
// protocol:
//
//	lines, length, err := store.Read(ctx, key, known)   // what is new
//	...fold the lines, decide...
//	length, err = store.Append(ctx, key, length, record) // only if still so
//
// There are two stores: Object Storage Service (OSS) for production, and a
// directory for one machine or a mounted file system. Both pass the suite in
// journaltest, as does the memory that tests use. In each of them an append is
// atomic: all of its lines are there or none is, also after a crash.
//
// The files: journal.go has the contract, key.go names logs, lines.go cuts and
// checks lines, open.go chooses the store; oss.go and file.go are the stores;
// entries.go and tail.go are for those who read many logs. The OSS SDK does not
// leave the package.
package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Store keeps append-only logs of lines, one per key. Keys are made by Key;
// others are refused. All methods may be called at once, from several
// goroutines and several processes.
//
// Every method gives up when ctx ends. An error that comes from OSS holds a
// *desktop.CallError, so desktop.DeliveryOf tells whether the credentials were
// refused (Forbidden) or the request was.
type Store interface {
	// Read returns the complete lines of key from offset from on, each with its
	// newline (nil when there is nothing new), and the log's length: the offset
	// behind its last complete line. A key that was never written has length 0.
	// What an interrupted append left behind the last complete line is not part
	// of the log. The caller owns the returned bytes.
	//
	// from is 0 or a length that Read or Append returned. ErrShrunk: the log is
	// shorter than that, or other than it was (deleted, expired, replaced); read
	// again from 0. ErrDamaged: the log holds what this package never writes.
	Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error)

	// Append adds whole lines, each ended by a newline, if and only if the log's
	// length is at, and returns the new length. The lines are durable when it
	// returns. Lines are at most MaxLine bytes, together MaxAppend.
	//
	// ErrMoved: the log's length is another; nothing was written. An append
	// whose answer was lost is settled by reading what is at that position.
	// Lines must therefore differ between writers (carry an id): equal bytes at
	// the position count as this append. ErrUnsettled: that could not be found
	// out; the lines may be there, or may still arrive, and reading tells.
	// ErrFull, ErrDamaged and every other error: nothing was written.
	Append(ctx context.Context, key string, at int64, lines []byte) (length int64, err error)

	// Keys lists the keys of logs that begin with prefix, in byte order. More
	// than MaxKeys of them are an error: ask for less.
	Keys(ctx context.Context, prefix string) ([]string, error)

	// Some lists up to max keys that begin with prefix and come behind after, in
	// byte order, in one call: for looking at a part of what there is. At most
	// MaxSome.
	Some(ctx context.Context, prefix, after string, limit int) ([]string, error)

	// Forget deletes the entry of a key that begins with OpenPrefix. One that is
	// not there is no error; any other key is. Nothing else is ever deleted.
	Forget(ctx context.Context, key string) error
}

// OpenPrefix is where the entries lie that say which works are open. They tell
// where to look and decide nothing: to lose one, or to keep one for too long,
// does no harm.
const OpenPrefix = "open/"

// CheckForget is what every store asks before it deletes.
func CheckForget(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if !strings.HasPrefix(key, OpenPrefix) {
		return fmt.Errorf("deleting %s: a journal is never deleted, only entries of %s", key, OpenPrefix)
	}
	return nil
}

// Limits of every store. They bound what a reader must hold in memory; a
// request of 2,000 desktops writes some hundred KiB.
const (
	MaxLine   = 4 << 20  // bytes of a line with its newline; a rollback of 50,000 desktops is one
	MaxAppend = 8 << 20  // bytes of one append
	MaxLog    = 64 << 20 // bytes of a log
	MaxKeys   = 100_000  // keys of one listing
	MaxSome   = 1_000    // keys of a part of one. Source: ListObjectsV2, "max-keys"
)

// What callers branch on, with errors.Is.
var (
	// ErrMoved says that a log's length is not what the append was made for.
	ErrMoved = errors.New("the log has moved on")
	// ErrShrunk says that a log is not the one that was read before.
	ErrShrunk = errors.New("the log is shorter than it was, or another one")
	// ErrUnsettled says that an append may or may not have been written.
	ErrUnsettled = errors.New("it is not known whether the append was written")
	// ErrDamaged says that a log holds, or is, what this package never writes.
	// Nothing more is read from it or written to it until somebody has looked.
	ErrDamaged = errors.New("the log is damaged")
	// ErrFull says that the append would make the log longer than MaxLog.
	ErrFull = errors.New("the log is full")
)

// CheckRead is what every store asks before it reads.
func CheckRead(key string, from int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if from < 0 {
		return fmt.Errorf("reading journal %s: negative offset %d", key, from)
	}
	return nil
}

// CheckAppend is what every store asks before it writes.
func CheckAppend(key string, at int64, lines []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if at < 0 {
		return fmt.Errorf("appending to journal %s: negative position %d", key, at)
	}
	if err := checkLines(lines); err != nil {
		return fmt.Errorf("appending to journal %s: %w", key, err)
	}
	if at+int64(len(lines)) > MaxLog {
		return fmt.Errorf("appending to journal %s: %w: %d bytes of at most %d", key, ErrFull, at, MaxLog)
	}
	return nil
}

// moved reports a lost race: the log ends at length, not at at. A negative
// length is one that was not asked for.
func moved(key string, at, length int64) error {
	if length < 0 {
		return fmt.Errorf("appending to journal %s at %d: %w", key, at, ErrMoved)
	}
	return fmt.Errorf("appending to journal %s at %d: %w: its length is %d", key, at, ErrMoved, length)
}

// shrunk reports that nothing readable begins at from.
func shrunk(key string, from int64) error {
	return fmt.Errorf("reading journal %s from %d: %w", key, from, ErrShrunk)
}
