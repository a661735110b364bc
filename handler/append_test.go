package handler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// secondStore takes a second for an append, and nothing for all else.
type secondStore struct{ journal.Store }

func (s secondStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	select {
	case <-time.After(time.Second):
		return s.Store.Append(ctx, key, at, lines)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Opened, its first tick and begun, beside the entry among the open requests; ended;
// published with the tick that looks again. So many appends come one after the other,
// since each says what must be known before the next step. An instance that has not seen
// a log grow yet writes first that the request is opened, and so finds out.
func TestASmallRequestTakesThreeAppendsOneAfterTheOther(t *testing.T) {
	for _, n := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			h := b.handler(b.ecd, secondStore{journaltest.Memory()})
			for nth, want := range []time.Duration{4 * time.Second, 3 * time.Second} {
				request := strings.Replace(requestFor(n), `"r1"`, fmt.Sprintf(`"r%d"`, nth), 1)
				request = strings.ReplaceAll(request, "ecd-", fmt.Sprintf("ecd-%d", nth))
				began := time.Now()
				b.must(b.ask(h, time.Minute, request))
				if took := time.Since(began); took != want {
					t.Errorf("%d desktops, request %d of the instance: %s of appends, want %s", n, nth, took, want)
				}
				if told := (nth + 1) * n; b.count("/accepted") != told || len(b.ecd.calls) != told {
					t.Errorf("%d desktops, request %d of the instance: %d are called, %v told", n, nth, len(b.ecd.calls), b.topic.told)
				}
			}
		})
	}
}

// A slowIndexStore takes its time for entries of the index of open requests.
type slowIndexStore struct {
	journal.Store
	entered bool
}

func (s *slowIndexStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if strings.HasPrefix(key, journal.OpenPrefix) {
		<-time.After(5 * time.Second)
		s.entered = true
	}
	return s.Store.Append(ctx, key, at, lines)
}

// An indexedECD notes whether the request was in the index when its desktop was rebuilt.
type indexedECD struct {
	*slowECD
	store *slowIndexStore
	early bool
}

func (e *indexedECD) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	e.early = e.early || !e.store.entered
	return e.slowECD.Rebuild(ctx, b)
}

// Whatever happens to the instance and to its ticks while a call is under way, a sweep
// finds the request.
func TestARequestIsInTheIndexBeforeItsFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		ecd := &indexedECD{slowECD: b.ecd, store: &slowIndexStore{Store: journaltest.Memory()}}
		b.must(b.ask(b.handler(ecd, ecd.store), time.Minute, requestFor(1)))
		if b.ecd.calls["ecd-0000"] != 1 || ecd.early {
			t.Errorf("called %v, before the request was in the index: %t", b.ecd.calls, ecd.early)
		}
	})
}

// A request for up to a hundred desktops is sent again instead of its first tick.
func TestALargeRequestIsNotSentAgain(t *testing.T) {
	for n, want := range map[int]bool{100: true, 101: false} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			h := b.handler(b.ecd, journaltest.Memory())
			b.must(b.ask(h, time.Minute, strings.Replace(requestFor(1), "ecd-", "ecd-0", 1)))
			b.must(b.ask(h, time.Minute, strings.Replace(requestFor(n), `"r1"`, `"r2"`, 1)))
			again := slices.ContainsFunc(b.queue.sent, func(q queued) bool {
				return strings.Contains(q.body, `"id":"request/r2/tick/1"`) && strings.Contains(q.body, "requested.v1")
			})
			if again != want {
				t.Errorf("%d desktops: sent again %t, want %t", n, again, want)
			}
		})
	}
}
