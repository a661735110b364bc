package handler_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// copied returns a journal with those logs of another, changed as an earlier build would
// have written them.
func copied(t *testing.T, from journal.Store, changes map[string]func(string) string) journal.Store {
	t.Helper()
	to := journaltest.Memory()
	for key, change := range changes {
		lines, _, err := from.Read(t.Context(), key, 0)
		if err == nil && len(lines) > 0 {
			_, err = to.Append(t.Context(), key, 0, []byte(change(string(lines))))
		}
		if err != nil || len(lines) == 0 {
			t.Fatalf("%s: %d bytes, %v", key, len(lines), err)
		}
	}
	return to
}

const rollsBack = `{"specversion":"1.0","type":"regild.rollout.control.v1","id":"c1","source":"/ops","data":{"rolloutId":"v1/office","action":"rollback","by":"ada","reason":"r"}}`

// rolledBack is a bench, and a journal in which a rollout was rolled back by an order.
func rolledBack(t *testing.T) (*workbench, *accountECD, journal.Store) {
	t.Helper()
	b := newWorkbench(t)
	b.declare(office)
	store, ecd := journaltest.Memory(), newAccountECD()
	h := b.handler(ecd, store)
	b.must(b.ask(h, time.Minute, release))
	b.must(b.ask(h, time.Minute, rollsBack))
	return b, ecd, store
}

func plain(text string) string { return text }

const (
	fleetOfOffice  = "fleet/office.jsonl"
	rolloutV1      = "rollout/v1~2foffice.jsonl"
	rollbackOfV1   = "rollout/v1~2foffice~2frollback.jsonl"
	messageOfOrder = `,"message":"ce:4:/ops:c1"`
)

// Logs of earlier builds do not say which order a rollback was entered for. One that the
// rollout's journal has is not refused when it comes again.
func TestAnOrderThatTheJournalOfAnEarlierBuildHasIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ecd, store := rolledBack(t)
		old := copied(t, store, map[string]func(string) string{rolloutV1: plain, rollbackOfV1: plain, fleetOfOffice: func(s string) string {
			return strings.NewReplacer(messageOfOrder, "", `"by":"ada"`, `"by":"bob"`).Replace(s)
		}})
		clear(b.topic.told)
		b.must(b.ask(b.handler(ecd, old), time.Minute, rollsBack))
		for id := range b.topic.told {
			if strings.Contains(id, "refused") {
				t.Errorf("told %s, want no refusal", id)
			}
		}
	})
}

// A rollback that an earlier build entered is opened without an order of which nobody
// knows the id.
func TestARollbackOfAnEarlierBuildIsOpenedWithoutAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ecd, store := rolledBack(t)
		order := regexp.MustCompile(`(?m)^.*"kind":"control".*\n`)
		old := copied(t, store, map[string]func(string) string{
			rolloutV1:     func(s string) string { return order.ReplaceAllString(s, "") },
			fleetOfOffice: func(s string) string { return strings.ReplaceAll(s, messageOfOrder, "") },
		})
		b.must(b.ask(b.handler(ecd, old), time.Minute, `{"triggerTime":"x","triggerName":"t"}`))
		lines, _, err := old.Read(t.Context(), rolloutV1, 0)
		b.must(err)
		opened, _, err := old.Read(t.Context(), rollbackOfV1, 0)
		b.must(err)
		if len(opened) == 0 || order.Match(lines) {
			t.Errorf("the rollback has %d bytes, and the rollout %s; want an open rollback and no order", len(opened), lines)
		}
	})
}

// Earlier builds did not write down how a request came. It is the same when it comes
// again and requests are kept apart now.
func TestARequestOfAnEarlierBuildKeepsItsIDWhenRequestsAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		b.handle(store, time.Minute, requestFor(1))
		via := regexp.MustCompile(`,"via":\{[^}]*\}`)
		old := copied(t, store, map[string]func(string) string{"request/r1.jsonl": func(s string) string { return via.ReplaceAllString(s, "") }})
		h, err := handler.New(handler.Config{ECD: b.ecd, Topic: b.topic, Queue: b.queue, Journal: old, Doors: handler.Doors{Apart: true}, Rules: b.rules,
			RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		b.must(err)
		b.must(b.ask(h, time.Minute, `{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":"1","source":"/ops","data":`+requestFor(1)+`}`))
		if b.ecd.calls["ecd-0000"] != 1 {
			t.Errorf("calls: %v, want one", b.ecd.calls)
		}
		for id := range b.topic.told {
			if strings.HasPrefix(id, "r1@") {
				t.Errorf("told %s, want the id that it had", id)
			}
		}
	})
}

// What stands among the open requests and is no entry is left for somebody to look at.
func TestASweepLeavesWhatIsNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		_, err := store.Append(t.Context(), journal.OpenKey("a"), 0, []byte(`{"id":"b"}`+"\n"))
		b.must(err)
		b.handle(store, time.Minute, `{"triggerTime":"x","triggerName":"t"}`)
		keys, err := store.Some(context.Background(), journal.OpenPrefix, "", 10)
		b.must(err)
		if fmt.Sprint(keys) != fmt.Sprint([]string{journal.OpenKey("a")}) {
			t.Errorf("got the entries %v, want the one that was there", keys)
		}
	})
}

// An earlier build let a sender call a request what the rollback of another one is called
// now. That one is not taken back under its name.
func TestARequestThatIsCalledAsARollbackIsNotTakenForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		b.handle(store, time.Minute, requestFor(1))
		old := copied(t, store, map[string]func(string) string{"request/r1.jsonl": plain})
		lines, _, err := store.Read(t.Context(), "request/r1.jsonl", 0)
		b.must(err)
		_, err = old.Append(t.Context(), "request/r1~2frollback.jsonl", 0, []byte(strings.ReplaceAll(string(lines), `"id":"r1"`, `"id":"r1/rollback"`)))
		b.must(err)
		clear(b.topic.told)
		b.must(b.ask(b.handler(b.ecd, old), time.Minute, strings.ReplaceAll(rollsBack, `"rolloutId":"v1/office"`, `"requestId":"r1"`)))
		lines, _, err = old.Read(t.Context(), "request/r1.jsonl", 0)
		b.must(err)
		refused := false
		for id := range b.topic.told {
			refused = refused || strings.Contains(id, "refused")
		}
		if !refused || strings.Contains(string(lines), `"kind":"undoing"`) {
			t.Errorf("told %v, and the request has %s; want a refusal", b.topic.told, lines)
		}
	})
}

// A readOnce does something before a log is read for the first time.
type readOnce struct {
	journal.Store
	key string
	do  func()
}

func (r *readOnce) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if do := r.do; do != nil && key == r.key {
		r.do = nil
		do()
	}
	return r.Store.Read(ctx, key, from)
}

// Of two instances that get the order to take back a request at once, one opens the
// rollback. To the other it is not another request that is called so.
func TestARollbackThatIsOpenedMeanwhileIsNotAnotherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		b.handle(store, time.Minute, requestFor(1))
		clear(b.topic.told)
		order := strings.ReplaceAll(rollsBack, `"rolloutId":"v1/office"`, `"requestId":"r1"`)
		raced := &readOnce{store, "request/r1~2frollback.jsonl", func() { b.must(b.ask(b.handler(b.ecd, store), time.Minute, order)) }}
		b.must(b.ask(b.handler(b.ecd, raced), time.Minute, order))
		for id := range b.topic.told {
			if strings.Contains(id, "refused") {
				t.Errorf("told %s, want no refusal", id)
			}
		}
		if lines, _, err := store.Read(t.Context(), raced.key, 0); err != nil || strings.Count(string(lines), `"kind":"opened"`) != 1 {
			t.Errorf("the rollback has %s, %v; want it opened once", lines, err)
		}
	})
}
