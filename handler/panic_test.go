package handler_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A panickingECD has a bug in reading one desktop, or one image.
type panickingECD struct {
	handler.ECD
	desktop string
}

func (e panickingECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	for _, id := range ids {
		if id == e.desktop {
			panic("index out of range")
		}
	}
	return e.ECD.Desktops(ctx, region, ids)
}

// Facts are read in goroutines of their own: a panic there would end the instance, with
// every other request of the delivery, and the delivery would come again and do the same.
func TestAPanicWhileFactsAreReadIsAFactThatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		bad := strings.Replace(requestFor(1), "r1", "bad", 1)
		bad = strings.Replace(bad, "ecd-0000", "ecd-broken", 1)
		h := b.handler(panickingECD{b.ecd, "ecd-broken"}, journaltest.Memory())
		if err := b.ask(h, time.Minute, bad); err != nil {
			t.Fatal(err)
		}
		if err := b.ask(h, time.Minute, requestFor(1)); err != nil {
			t.Fatal(err)
		}
		if b.ecd.calls["ecd-broken"] != 0 || b.ecd.calls["ecd-0000"] != 1 {
			t.Errorf("calls: %v, want one for the desktop that can be read and none for the other", b.ecd.calls)
		}
		if b.topic.told["bad/ecd-broken/deferred"] != 1 {
			t.Errorf("told: %v, want that the desktop whose facts are not known waits", b.topic.told)
		}
	})
}

func (e panickingECD) Maintain(context.Context, string, []string, bool) error {
	panic("index out of range")
}

func TestAPanicWhileADesktopIsPreparedEndsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(strings.Replace(office, "{canary: 1}", "{maintenance: true}\n    requests: true", 1))
		b.must(b.ask(b.handler(panickingECD{ECD: b.ecd}, journaltest.Memory()), time.Minute, requestFor(1)))
		if b.ecd.calls["ecd-0000"] != 0 {
			t.Errorf("calls: %v, want none", b.ecd.calls)
		}
		if told := slices.Collect(maps.Keys(b.topic.told)); len(told) != 1 || !strings.HasSuffix(told[0], "/refused") {
			t.Errorf("told: %v, want once that a bug is in the way", told)
		}
		if last := b.queue.last(); !strings.Contains(last.body, "regild.tick.v1") || last.delay > rollout.MaxTick {
			t.Errorf("sent last: %+v, want a tick: it was announced that the desktop goes into maintenance mode", last)
		}
	})
}

// A panickingStore has a bug that shows when something is written.
type panickingStore struct {
	journal.Store
	bad string // part of a key
}

func (s panickingStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if strings.Contains(key, s.bad) {
		panic("index out of range")
	}
	return s.Store.Append(ctx, key, at, lines)
}

// A panic in the middle of writing left the log locked: whoever wrote next waited for
// ever, and the invocation with it.
func TestAPanicOfTheJournalEndsOneRequestAndHangsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := panickingStore{journaltest.Memory(), journal.Key("request", "bad")}
		bad := strings.Replace(requestFor(1), "r1", "bad", 1)
		bad = strings.Replace(bad, "ecd-0000", "ecd-0009", 1)
		b.handle(store, time.Minute, "["+bad+","+requestFor(1)+"]")
		if b.ecd.calls["ecd-0009"] != 0 || b.ecd.calls["ecd-0000"] != 1 {
			t.Errorf("calls: %v, want one for the request whose journal works and none for the other", b.ecd.calls)
		}
		if !b.topic.refused() {
			t.Errorf("told: %v, want that the message could not be handled", b.topic.told)
		}
		for _, q := range b.queue.sent {
			if strings.Contains(q.body, "bad") && q.delay == rollout.MaxTick {
				t.Errorf("sent %+v: what made us panic is not to come again", q)
			}
		}
	})
}

// refused says whether a message was refused.
func (s *slowTopic) refused() bool {
	for id := range s.told {
		if strings.HasSuffix(id, "/refused") {
			return true
		}
	}
	return false
}

func (e panickingECD) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	if slices.Contains(ids, e.desktop) {
		panic("index out of range")
	}
	return e.ECD.Images(ctx, region, ids)
}

// A release whose image we cannot read because of a bug would do the same each time that
// it is delivered: it is refused, so that somebody hears of it.
func TestAReleaseThatMadeUsPanicIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		b.must(b.ask(b.handler(panickingECD{b.ecd, "m-new"}, journaltest.Memory()), time.Minute, release))
		if !b.topic.refused() {
			t.Errorf("told: %v, want a refusal", b.topic.told)
		}
	})
}

// A begunStore has a bug that shows when it is written down that something begins.
type begunStore struct{ journal.Store }

func (s begunStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if bytes.Contains(lines, []byte(`"kind":"begun"`)) {
		panic("index out of range")
	}
	return s.Store.Append(ctx, key, at, lines)
}

// What a journal knows is looked at again, as late as may be: perhaps by a later build.
func TestAPanicLeavesATickForWhatTheJournalKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		h, err := handler.New(handler.Config{ECD: b.ecd, Topic: b.topic, Queue: b.queue, Journal: begunStore{journaltest.Memory()}, Doors: handler.Doors{Apart: true},
			Rules: b.rules, RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		b.must(err)
		b.must(b.ask(h, time.Minute, requestFor(1)))
		if b.ecd.calls["ecd-0000"] != 0 || !b.topic.refused() {
			t.Errorf("calls: %v, told: %v, want none, and a refusal", b.ecd.calls, b.topic.told)
		}
		if last := b.queue.last(); !strings.Contains(last.body, "regild.tick.v1") || last.delay != rollout.MaxTick {
			t.Errorf("sent last: %+v, want a tick in %s", last, rollout.MaxTick)
		}
	})
}

// Whoever sends orders that are not possible does not fill the journal.
func TestARolloutsJournalKeepsAHundredRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		store := journaltest.Memory()
		h := b.handler(b.ecd, store)
		b.must(b.ask(h, time.Minute, release))
		orders := make([]string, 101)
		for i := range orders {
			orders[i] = fmt.Sprintf(`{"specversion":"1.0","type":"regild.rollout.control.v1","id":"c%d","source":"/ops","data":{"rolloutId":"v1/office","action":"resume","by":"ada","reason":"r"}}`, i)
		}
		b.must(b.ask(h, time.Minute, "["+strings.Join(orders, ",")+"]"))
		lines, _, err := store.Read(t.Context(), journal.Key("rollout", "v1/office"), 0)
		b.must(err)
		if n := bytes.Count(lines, []byte(`"kind":"refused"`)); n != 100 {
			t.Errorf("the journal has %d refusals, want 100", n)
		}
	})
}

// Messages cannot fill the journal of a request that nobody has opened, either.
func TestARequestsJournalKeepsAHundredRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, store := newWorkbench(t), journaltest.Memory()
		h := b.handler(b.ecd, store)
		request := strings.TrimSuffix(requestFor(1), "}") + fmt.Sprintf(`,"notBefore":%q}`, time.Now().Add(8*24*time.Hour).Format(time.RFC3339))
		for i := range 101 {
			b.must(b.ask(h, time.Minute, fmt.Sprintf(`{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":"%d","source":"/ops","data":%s}`, i, request)))
		}
		lines, _, err := store.Read(t.Context(), "request/r1.jsonl", 0)
		b.must(err)
		if n := strings.Count(string(lines), `"kind":"refused"`); n != 100 || b.count("/refused/InvalidRequest/") != 101 {
			t.Errorf("%d refusals are written down, and %d told; want 100 and 101", n, b.count("/refused/InvalidRequest/"))
		}
	})
}
