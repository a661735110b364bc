package handler_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// An askedStore counts what is asked of it about each log.
type askedStore struct {
	journal.Store
	mu    sync.Mutex
	asked map[string]int
}

func (s *askedStore) note(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[key]++
}

func (s *askedStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	s.note(key)
	return s.Store.Read(ctx, key, from)
}

func (s *askedStore) Forget(ctx context.Context, key string) error {
	s.note(key)
	return s.Store.Forget(ctx, key)
}

// A rollback of a request that had ended was read at each look at the request, and deleted once more
// from the open requests.
func TestARollbackOfARequestThatHasEndedCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := &askedStore{Store: journaltest.Memory(), asked: map[string]int{}}
		const back, entry = "request/r1~2frollback.jsonl", "open/40b6-r1~2frollback.jsonl"
		h := b.handler(b.ecd, store)
		order := func(id, request, action string) string {
			return fmt.Sprintf(`{"specversion":"1.0","type":"regild.rollout.control.v1","id":%q,"source":"/ops","data":{"requestId":%q,"action":%q,"by":"ada","reason":"r"}}`, id, request, action)
		}
		b.must(b.ask(h, time.Minute, requestFor(2)))
		b.must(b.ask(h, time.Minute, order("c1", "r1", "rollback")))
		look := func(n int) (read int) {
			before := store.asked[back]
			b.must(b.ask(h, time.Minute, fmt.Sprintf(`{"specversion":"1.0","type":"regild.tick.v1","id":"t%d","source":"test","data":{"kind":"request","id":"r1","n":1073741824}}`, n)))
			return store.asked[back] - before
		}
		if one, two := look(1), look(2); one == 0 || two == 0 {
			t.Errorf("read %d and %d times; want that it is looked at as long as it is open", one, two)
		}
		b.must(b.ask(h, time.Minute, order("c2", "r1/rollback", "abort")))
		if n := b.count("r1/rollback/finished"); n != 1 {
			t.Fatalf("told %v, want that the rollback has ended", b.topic.told)
		}
		if store.asked[entry] != 1 {
			t.Fatalf("asked %v, want that %s was deleted once", store.asked, entry)
		}
		first := look(3)
		if second := look(4); first > 1 || second > 0 || store.asked[entry] != 1 {
			t.Errorf("read %d and then %d times, and its entry was deleted %d times; want that nothing is asked once it is known to have ended", first, second, store.asked[entry])
		}
		if open := b.read(store, "request/r1.jsonl"); strings.Contains(open, `"kind":"closed"`) {
			t.Errorf("the request has ended: %s", open)
		}
	})
}
