package main

import (
	"context"
	"fmt"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/rollout"
)

// Kinds of journals, as the function names them.
const (
	kindRequest = "request"
	kindRollout = "rollout"
)

// A reader gives what is new in a journal; journal.Store is one.
type reader interface {
	Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error)
}

// A folder folds journals and keeps what it has folded, so that looking again
// costs only what is new. It is for one goroutine.
type folder struct {
	from reader // nil: there is no journal
	got  map[string]*folded
}

type folded struct {
	state  *rollout.State
	length int64
}

func newFolder(from reader) *folder { return &folder{from: from, got: map[string]*folded{}} }

// state returns a request or rollout as its journal tells it. Its Operation is nil
// when there is no journal of it.
func (f *folder) state(ctx context.Context, kind, id string) (*rollout.State, error) {
	key := journal.Key(kind, id)
	g := f.got[key]
	if g == nil {
		g = &folded{state: rollout.NewState()}
		f.got[key] = g
	}
	if f.from == nil {
		return g.state, nil
	}
	lines, length, err := f.from.Read(ctx, key, g.length)
	if err != nil {
		return nil, fmt.Errorf("reading the journal of %s: %w", id, err)
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return nil, fmt.Errorf("reading the journal of %s: %w", id, err)
	}
	g.state.Apply(records...)
	g.length = length
	return g.state, nil
}

// bucket reads the journal in a local cloud without calling its OSS, whose calls
// are counted as the function's.
type bucket struct{ cloud *localcloud.Cloud }

func (b bucket) Read(_ context.Context, key string, from int64) ([]byte, int64, error) {
	data, _ := b.cloud.OSS.Object(localcloud.JournalBucket, localcloud.JournalPrefix+"/"+key)
	if int64(len(data)) < from {
		return nil, 0, fmt.Errorf("%s: %w", key, journal.ErrShrunk)
	}
	return data[from:], int64(len(data)), nil
}
