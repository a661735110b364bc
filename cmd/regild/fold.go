package main

import (
	"context"
	"fmt"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// A folder follows the journals of operations. It is for one goroutine.
type folder struct {
	from operator.Reader // nil: there is no journal
	got  map[string]*operator.Follower
}

// state returns a request or rollout as its journal tells it. Its Operation is nil
// when there is no journal of it.
func (f *folder) state(ctx context.Context, kind, id string) (*rollout.State, error) {
	g := f.got[kind+"/"+id]
	if g == nil {
		g = operator.Follow(f.from, kind, id)
		f.got[kind+"/"+id] = g
	}
	if f.from == nil {
		return g.State, nil
	}
	_, err := g.Look(ctx)
	return g.State, err
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
