package handler_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

const checkedLater = "fleets:\n  - {name: office, region: cn-hangzhou, images: [win*], select: all, strategy: {canary: 1, approval: none, soak: 0, check: {stable: 5m}}}\n"

// A leavingFleet is a fleet of two desktops that nobody uses.
type leavingFleet struct{ *accountECD }

func (e leavingFleet) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	return (&leavingECD{slowECD: e.slowECD, left: true}).Desktops(ctx, region, ids)
}

func (e leavingFleet) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000", "ecd-0001"})
}

// An aloneStore counts the appends that say that desktops have arrived, and nothing else.
type aloneStore struct {
	journal.Store
	n int
}

func (s *aloneStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if text := string(lines); strings.Contains(text, `"kind":"arrived"`) && strings.Count(text, "\n") == 1 {
		s.n++
	}
	return s.Store.Append(ctx, key, at, lines)
}

// That a desktop has arrived is written down together with the next tick: nothing is published or done because
// of it. If others write first it is not, and is found again.
func TestWhatHasArrivedIsWrittenWithTheNextTick(t *testing.T) {
	for _, raced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			b.declare(checkedLater)
			between, ecd := &storeBetween{Store: journaltest.Memory(), kind: "arrived"}, leavingFleet{newAccountECD()}
			appends := &aloneStore{Store: between.Store}
			between.Store = appends
			h := b.handler(ecd, between)
			q := &dueQueue{outQueue: b.queue}
			b.must(b.ask(h, time.Minute, release))
			hooked := false
			between.hook = func() {
				if hooked = true; raced {
					b.must(b.ask(b.handler(ecd, between.Store), time.Minute, ordered("c1", "pause")))
					b.must(b.ask(b.handler(ecd, between.Store), time.Minute, ordered("c2", "resume")))
				}
			}
			for end := time.Now().Add(time.Hour); ; {
				body := q.next(end)
				if body == "" {
					break
				}
				b.must(b.ask(h, time.Minute, body))
			}
			lines := b.read(between, rolloutV1)
			_, behind, arrived := strings.Cut(lines, `"kind":"arrived"`)
			if !hooked || !arrived || strings.Count(lines, `"kind":"arrived"`) != 2 || b.count("v1/office/completed") != 1 || ecd.calls["ecd-0000"] != 1 {
				t.Fatalf("raced %t: told %v, journal %s", raced, b.topic.told, lines)
			}
			if _, behind, _ = strings.Cut(behind, "\n"); !raced && !strings.HasPrefix(behind, `{"v":1,"kind":"tick"`) {
				t.Errorf("behind what arrived comes %s, want a tick", behind)
			}
			if !raced && appends.n != 0 { // who only pauses it puts no tick on the queue
				t.Errorf("%d appends have what arrived, and nothing else", appends.n)
			}
		})
	}
}

// An instance is killed right before each of its calls, of all that it makes for a rollout.
func TestARolloutEndsWhereverItsOnlyInstanceIsKilled(t *testing.T) {
	killed := true
	for at := 0; killed; at++ {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			b.declare(checkedLater)
			store, ecd := journaltest.Memory(), leavingFleet{newAccountECD()}
			own, other := &cutOff{left: at}, &cutOff{left: -1}
			for _, c := range []*cutOff{own, other} {
				c.Store, c.ECD, c.outQueue, c.topic = store, ecd, b.queue, b.topic
			}
			first, q := b.instance(own), &dueQueue{outQueue: b.queue}
			h, body := first, release
			for end := time.Now().Add(24 * time.Hour); body != ""; body = q.next(end) {
				_ = b.ask(h, time.Minute, body)
				if own.dead && h == first { // it is delivered once more, to another instance
					h = b.instance(other)
					b.queue.sent = append(b.queue.sent, queued{body, time.Minute})
				}
			}
			if killed = own.dead; ecd.calls["ecd-0000"] != 1 || ecd.calls["ecd-0001"] != 1 || b.count("v1/office/completed") != 1 || b.count("/completed") != 3 {
				t.Errorf("killed before call %d: called %v, told %v", at, ecd.calls, b.topic.told)
			}
		})
	}
}
