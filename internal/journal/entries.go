package journal

import (
	"context"
	"slices"
	"strings"
	"time"
)

// An Entry is one log as a listing shows it.
type Entry struct {
	Key     string
	Size    int64     // bytes, a torn tail included; 0 where the store does not tell
	Written time.Time // when it was last appended to; zero where the store does not tell
}

// Entries lists what Keys of the store lists, with what a listing tells beside
// the keys and at no further call. A reader that cannot read everything reads
// what was written last.
func Entries(ctx context.Context, s Store, prefix string) ([]Entry, error) {
	if l, ok := s.(interface {
		entries(context.Context, string) ([]Entry, error)
	}); ok {
		found, err := l.entries(ctx, prefix)
		slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
		return found, err
	}
	keys, err := s.Keys(ctx, prefix)
	var found []Entry
	for _, key := range keys {
		found = append(found, Entry{Key: key})
	}
	return found, err
}

// keysOf returns the keys of a listing in byte order.
func keysOf(found []Entry, err error) ([]string, error) {
	var keys []string
	for _, e := range found {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return keys, err
}
