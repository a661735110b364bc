package handler_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A listedStore counts how often the open requests are listed.
type listedStore struct {
	journal.Store
	lists int
}

func (s *listedStore) Some(ctx context.Context, prefix, from string, most int) ([]string, error) {
	s.lists++
	return s.Store.Some(ctx, prefix, from, most)
}

// A timer's event is 60 bytes and makes us look at a hundred journals: many in one
// payload do so once.
func TestAnInvocationSweepsOnceHoweverManyTimersItIsGiven(t *testing.T) {
	lists := func(payload string) int {
		store := &listedStore{Store: journaltest.Memory()}
		h, err := handler.New(handler.Config{ECD: emptyECD{}, Topic: &scribe{}, Queue: &outQueue{}, Journal: store,
			Rules:              rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute},
			RebuildConcurrency: 1, PublishConcurrency: 1, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Handle(t.Context(), handler.Invocation{RequestID: "i1", Source: "test"}, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		return store.lists
	}
	const timer = `{"triggerTime":"2026-11-23T08:00:00Z","triggerName":"sweep","payload":""}`
	one, many := lists(timer), lists("["+strings.Repeat(timer+",", 999)+timer+"]")
	if one == 0 || many != one {
		t.Errorf("one timer lists %d times, a thousand %d times", one, many)
	}
	if n := lists(`{"specversion":"1.0","type":"mns:Queue:SendMessage","id":"1","source":"MNS","subject":"acs:mns:cn-hangzhou:1:queues/q","data":{"messageId":"M1","messageBody":` +
		`"{\"triggerTime\":\"x\",\"triggerName\":\"sweep\"}"}}`); n != 0 {
		t.Errorf("a timer on a queue lists %d times", n)
	}
}

// A crowdedStore knows how many read at once.
type crowdedStore struct {
	journal.Store
	mu        sync.Mutex
	now, most int
}

func (s *crowdedStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Millisecond) //nolint:forbidigo // time of the bubble, which takes none
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return s.Store.Read(ctx, key, from)
}

func TestASweepReadsTheLogsOfSomeFleetsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		for i := range 40 {
			b.rules.Fleets = append(b.rules.Fleets, fleet.Fleet{Name: fmt.Sprintf("fleet%d", i), Region: region, Strategy: fleet.Default()})
		}
		store := &crowdedStore{Store: journaltest.Memory()}
		b.must(b.ask(b.handler(b.ecd, store), time.Minute, `{"triggerTime":"2026-11-23T08:00:00Z","triggerName":"sweep","payload":""}`))
		if store.most != 8 {
			t.Errorf("%d logs were read at once, want 8", store.most)
		}
	})
}
