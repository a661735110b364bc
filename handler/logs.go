package handler

import (
	"context"
	"fmt"
	"slices"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A stateView is the view of a request's or rollout's journal.
type stateView = view[*rollout.State]

// openState opens the journal of a request or a rollout.
func (js *jobs) openState(store journal.Store, key string) (*stateView, error) {
	var before *knownState
	if store == js.store {
		before = js.cache.take(key)
	}
	v, err := openView(js.ctx, js.logOf(store, key), before, rollout.NewState)
	if store != (nowhere{}) { // nobody reads it there
		v.complete = complete
	}
	return v, err
}

func (js *jobs) logOf(store journal.Store, key string) logOf {
	return logOf{store, key, js.in.RequestID, js.business}
}

// complete adds to the records of an append what follows from the state before it. How
// they are shortened comes last: it takes away the names.
func complete(s *rollout.State, records []rollout.Record) {
	noteEnding(s, records)
	s.Shorten(records)
}

// noteEnding has the record behind which all of a closed operation is published say how
// it came out. What is appended together with anything else says nothing: the state does
// not hold that yet.
func noteEnding(s *rollout.State, records []rollout.Record) {
	if !s.Closed || len(records) == 0 || slices.ContainsFunc(records, func(r rollout.Record) bool { return r.Kind != rollout.KindPublished }) {
		return
	}
	if takenOf(records).all(s) {
		records[len(records)-1].Ending = s.Ending()
	}
}

// A recordList is the state of a log whose meaning follows from all its records.
type recordList []rollout.Record

// Apply adds records to the list.
func (l *recordList) Apply(records ...rollout.Record) { *l = append(*l, records...) }

// Reached is of no use to it.
func (l *recordList) Reached(int64) {}

// A listView is the view of such a log: of a fleet's rollouts, and of freezes.
type listView = view[*recordList]

func newRecordList() *recordList { return &recordList{} }

// openList reads such a log, as it is at this moment.
func (js *jobs) openList(ctx context.Context, key string) (*listView, error) {
	return openView(ctx, js.logOf(js.store, key), nil, newRecordList)
}

func fleetKey(name string) string { return journal.Key(kindFleet, name) }

// fleetLog reads which rollouts a fleet had, oldest first.
func (js *jobs) fleetLog(name string) (rollout.FleetLog, error) {
	v, err := js.openList(js.ctx, fleetKey(name))
	if err != nil {
		return nil, fmt.Errorf("reading the log of fleet %s: %w", name, err)
	}
	return rollout.ReadFleetLog(*v.known().state), nil
}

// kindFreeze is the log of freezes, of which there is one.
const kindFreeze = "freeze"

func freezeKey() string { return journal.Key(kindFreeze, rollout.FreezesKey) }

// freezesKnown is what an invocation knows of the log of freezes. What it holds is not
// changed any more.
type freezesKnown struct {
	all    rollout.Freezes
	length int64
}

// readFreezes reads which freezes may hold something back, as they are at this moment.
// The first time it reads the whole log, and then what is new. No lock is held while
// it reads.
func (js *jobs) readFreezes(ctx context.Context) (rollout.Freezes, error) {
	js.mu.Lock()
	known := js.freezes
	js.mu.Unlock()
	lines, length, err := js.store.Read(ctx, freezeKey(), known.length)
	var records []rollout.Record
	if err == nil {
		records, err = rollout.Decode(lines)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log of freezes: %w", err)
	}
	if len(records) > 0 {
		known = freezesKnown{slices.Clone(known.all).With(records...), length}
		js.mu.Lock()
		js.freezes = known
		js.mu.Unlock()
	}
	return known.all.After(js.asOf()), nil
}
