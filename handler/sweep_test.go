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

// An entry of an open request whose request this build cannot read would be swept for ever, and nobody told.
func TestAnUnopenedRequestThatCannotBeReadIsSweptAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, store := newWorkbench(t), journaltest.Memory()
		for _, id := range []string{"r0", "r1", "r2"} {
			request := `{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":"request/` + id + `/tick/1","source":"/ops","data":{"colour":"red"}}`
			switch id {
			case "r0":
				request = "[]"
			case "r2":
				request = strings.Replace(request, `{"colour":"red"}`, requestFor(1), 1)
			}
			entry := fmt.Sprintf(`{"id":%q,"at":%q,"request":%s}`+"\n", id, time.Now().Format(time.RFC3339), request)
			if _, err := store.Append(t.Context(), journal.OpenKey(id), 0, []byte(entry)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(25 * time.Hour) //nolint:forbidigo // time of the bubble, which takes none
		err := b.ask(b.handler(b.ecd, store), time.Minute, `{"triggerTime":"x","triggerName":"t"}`)
		for _, want := range []string{"request r0 in its entry among the open ones: it has 0 messages", "reading request r1 in its entry"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if n := b.count("r2/ecd-0000/refused"); n != 1 {
			t.Errorf("r2 is told %d times to be refused, want once: %v", n, b.topic.told)
		}
	})
}
