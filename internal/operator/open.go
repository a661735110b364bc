package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// stillOpen returns the keys of journals that may be open however long ago they
// were written: of requests those that the index of open requests names, of
// rollouts the latest of each fleet. It finds at most so many, in pages; readers is
// how many logs are read at once.
func stillOpen(ctx context.Context, store journal.Store, kind string, most, readers int) (map[string]bool, error) {
	if kind == Rollout {
		return latestRollouts(ctx, store, most, readers)
	}
	open := map[string]bool{}
	err := paged(ctx, store, journal.OpenPrefix, most, readers, func(ctx context.Context, key string) (string, error) {
		if id, ok := journal.OpenID(key); ok {
			return id, nil
		}
		line, _, err := store.Read(ctx, key, 0) // the key of an overlong id holds a hash
		if err != nil {
			return "", err
		}
		var entry struct{ ID string }
		if json.Unmarshal(line, &entry) != nil { // gone meanwhile, or nothing of ours
			return "", nil //nolint:nilerr // it names no request
		}
		return entry.ID, nil
	}, func(id string) { open[journal.Key(Request, id)] = true })
	if err != nil {
		return nil, fmt.Errorf("reading the index of open requests: %w", err)
	}
	return open, nil
}

// latestRollouts returns the keys of the rollout that each fleet had last.
func latestRollouts(ctx context.Context, store journal.Store, most, readers int) (map[string]bool, error) {
	latest := map[string]bool{}
	err := paged(ctx, store, fleetPrefix, most, readers, func(ctx context.Context, key string) (string, error) {
		ids, err := enrolledIn(ctx, store, key)
		if err != nil || len(ids) == 0 {
			return "", err
		}
		return ids[len(ids)-1], nil
	}, func(id string) { latest[journal.Key(Rollout, id)] = true })
	return latest, err
}

// fleetPrefix is where the logs of fleets lie.
const fleetPrefix = "fleet/"

// paged reads the ids that keys with a prefix name, a page of keys after the other
// and some keys at once, and notes those that are not empty.
func paged(ctx context.Context, store journal.Store, prefix string, most, readers int,
	read func(ctx context.Context, key string) (id string, err error), note func(id string)) error {
	var mu sync.Mutex
	for after := ""; most > 0; {
		keys, err := store.Some(ctx, prefix, after, min(most, journal.MaxSome))
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(readers)
		for _, key := range keys {
			group.Go(func() error {
				id, err := read(ctx, key)
				if err != nil || id == "" {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				note(id)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if len(keys) < min(most, journal.MaxSome) {
			return nil
		}
		most -= len(keys)
		after = keys[len(keys)-1]
	}
	return nil
}

// Enrolled returns the ids of a fleet's rollouts, oldest first, as the fleet's
// log has them.
func Enrolled(ctx context.Context, from Reader, fleet string) ([]string, error) {
	return enrolledIn(ctx, from, journal.Key(strings.TrimSuffix(fleetPrefix, "/"), fleet))
}

// PlanRefusals counts how often the function has refused rollouts for a plan that they no
// longer had.
func PlanRefusals(ctx context.Context, from Reader, ids []string, digest string) (n int, err error) {
	for _, id := range ids {
		_, fleet, _ := rollout.SplitID(id)
		records, err := recordsOf(ctx, from, journal.Key(strings.TrimSuffix(fleetPrefix, "/"), fleet))
		if err != nil {
			return 0, err
		}
		n += rollout.PlanRefusals(records, id, digest)
	}
	return n, nil
}

// recordsOf reads a journal that is no operation's.
func recordsOf(ctx context.Context, from Reader, key string) ([]rollout.Record, error) {
	lines, _, err := from.Read(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return nil, fmt.Errorf("reading journal %s: %w", key, err)
	}
	return records, nil
}

func enrolledIn(ctx context.Context, from Reader, key string) ([]string, error) {
	records, err := recordsOf(ctx, from, key)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range records {
		if r.Kind == rollout.KindOpened && r.Operation != nil {
			ids = append(ids, r.Operation.ID)
		}
	}
	return ids, nil
}
