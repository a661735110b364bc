package handlertest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// Journal keeps journals, with the faults that a store may show by its
// contract, and what was written into them.
type Journal struct {
	journal.Store
	world *World
	seed  uint64

	mu   sync.Mutex
	Logs map[string][]rollout.Record // by key
	Cuts map[string][]int            // how many records there were after each append
}

var _ journal.Store = (*Journal)(nil)

func newJournal(w *World, seed uint64) *Journal {
	return &Journal{Store: journal.Memory(), world: w, seed: seed, Logs: map[string][]rollout.Record{}, Cuts: map[string][]int{}}
}

// Read does not wait for its turn: it changes nothing, and the function may hold
// a lock while it reads.
func (j *Journal) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	i := ctx.Value(invocationKey{}).(*invocation)
	if i.dead.Load() {
		return nil, 0, errDead
	}
	n := i.reads.Add(1)
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, j.seed, i.id, key, n)
	j.mu.Lock()
	defer j.mu.Unlock()
	if int(h.Sum64()%1000) < j.world.Odds.Fails/2 && j.world.Budget > 0 {
		return nil, 0, errors.New("reading: connection refused")
	}
	return j.Store.Read(ctx, key, from)
}

// Append writes, may say so or not, and says ErrUnsettled only when it may.
func (j *Journal) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	var length int64
	var err error
	records, _ := rollout.Decode(lines)
	label := "Append " + key
	for _, r := range records {
		label += " " + string(r.Kind)
	}
	h := j.world.enter(ctx, label, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		length, err = j.Store.Append(context.Background(), key, at, lines)
		if err == nil {
			j.Logs[key] = append(j.Logs[key], records...)
			j.Cuts[key] = append(j.Cuts[key], len(j.Logs[key]))
		} else {
			j.world.note("", label, err.Error())
		}
	})
	switch h {
	case worked:
		return length, err
	case lost, vanished:
		return 0, fmt.Errorf("appending: %w", journal.ErrUnsettled)
	}
	return 0, h.plain("appending")
}

// Works returns what was opened, by id, with its key.
func (j *Journal) Works() map[string]string {
	out := map[string]string{}
	for key, log := range j.Logs {
		if len(log) > 0 && log[0].Work != nil && key != journal.Key("fleet", log[0].Work.Fleet) {
			out[log[0].Work.ID] = key
		}
	}
	return out
}

// State folds the journal of the key.
func (j *Journal) State(key string) *rollout.State {
	s := rollout.NewState()
	s.Apply(j.Logs[key]...)
	return s
}
