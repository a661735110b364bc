package handler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// ordered is a control message for the rollout over the fleet office.
func ordered(id, action string) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"regild.rollout.control.v1","id":%q,"source":"/ops","data":{"rolloutId":"v1/office","action":%q,"by":"ada","reason":"r"}}`, id, action)
}

// An appendOnce does something before a log is appended to for the first time.
type appendOnce struct {
	journal.Store
	key string
	do  func()
}

func (a *appendOnce) Append(ctx context.Context, key string, at int64, data []byte) (int64, error) {
	if do := a.do; do != nil && key == a.key {
		a.do = nil
		do()
	}
	return a.Store.Append(ctx, key, at, data)
}

// releasedTo is a bench with a rollout over the fleet office, and its journal.
func releasedTo(t *testing.T, fleets string) (*workbench, *accountECD, journal.Store) {
	t.Helper()
	b := newWorkbench(t)
	b.declare(fleets)
	store, ecd := journaltest.Memory(), newAccountECD()
	b.must(b.ask(b.handler(ecd, store), time.Minute, release))
	return b, ecd, store
}

func (b *workbench) read(store journal.Store, key string) string {
	b.Helper()
	lines, _, err := store.Read(b.Context(), key, 0)
	b.must(err)
	return string(lines)
}

// While one instance is about to refuse an order, the rollout is paused, and another
// delivery of the order lets it go on.
func TestAnOrderThatAnotherInstanceFollowsMeanwhileIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ecd, store := releasedTo(t, office)
		raced := &appendOnce{store, rolloutV1, func() {
			b.must(b.ask(b.handler(ecd, store), time.Minute, ordered("c0", "pause")))
			b.must(b.ask(b.handler(ecd, store), time.Minute, ordered("c1", "resume")))
		}}
		b.must(b.ask(b.handler(ecd, raced), time.Minute, ordered("c1", "resume")))
		if raced.do != nil || b.count("refused") > 0 || strings.Contains(b.read(store, rolloutV1), `"kind":"refused"`) {
			t.Errorf("told %v, and the journal has %s; want no refusal", b.topic.told, b.read(store, rolloutV1))
		}
	})
}

// While one instance is about to refuse to take a request back that has changed nothing yet,
// the request begins, and another delivery of the order takes it back.
func TestARollbackOfARequestThatAnotherInstanceEntersMeanwhileIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		request := strings.Replace(requestFor(1), "{", `{"notBefore":"2000-01-01T01:00:00Z",`, 1)
		b.handle(store, time.Minute, request)
		order := strings.ReplaceAll(rollsBack, `"rolloutId":"v1/office"`, `"requestId":"r1"`)
		raced := &appendOnce{store, "request/r1.jsonl", func() {
			b.skew += time.Hour + time.Minute
			b.handle(store, time.Minute, request)
			b.handle(store, time.Minute, order)
		}}
		b.must(b.ask(b.handler(b.ecd, raced), 3*time.Hour, order))
		if raced.do != nil || b.count("refused") > 0 {
			t.Errorf("told %v, and the journal has %s; want no refusal", b.topic.told, b.read(store, raced.key))
		}
	})
}

// Two deliveries of an order find two reasons against it. One of them is told.
func TestAnOrderIsRefusedForOneReasonAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ecd, store := releasedTo(t, office)
		told := &bodies{slowTopic: b.topic}
		raced := &appendOnce{store, rolloutV1, func() {
			b.must(b.ask(b.handler(ecd, store), time.Minute, ordered("c0", "abort")))
			b.must(b.ask(b.handler(ecd, store), time.Minute, ordered("c1", "resume")))
		}}
		b.must(b.ask(b.handlerTo(told, ecd, raced), time.Minute, ordered("c1", "resume")))
		if raced.do != nil || !strings.Contains(told.all, "it was aborted by ada") || strings.Contains(told.all, "it is neither paused nor halted") {
			t.Errorf("told %s, want what was told first", told.all)
		}
	})
}

// Whoever a fleet takes no orders from cannot have it remember the ids of others' orders
// as refused.
func TestAnOrderByAWrongWayThatCannotBeReadLeavesNothingInTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ecd, store := releasedTo(t, strings.Replace(office, "    select: all\n", "    select: all\n    from: {control: {sources: [/boss]}}\n", 1))
		before := b.read(store, rolloutV1)
		b.must(b.ask(b.handler(ecd, store), time.Minute, "["+release+","+ordered("c1", "dance")+"]"))
		if after := b.read(store, rolloutV1); strings.Contains(after, `"kind":"refused"`) {
			t.Errorf("the journal has %s, want what it had: %s", after, before)
		}
	})
}

// A withoutLog takes nothing into one log.
type withoutLog struct {
	journal.Store
	key string
}

func (w withoutLog) Append(ctx context.Context, key string, at int64, data []byte) (int64, error) {
	if key == w.key {
		return 0, errors.New("OSS does not answer")
	}
	return w.Store.Append(ctx, key, at, data)
}

// A rollout was entered, its instance could not open it and its tick was lost. A newer one
// came before anybody looked: the older one is opened and says that it was superseded.
func TestARolloutThatIsSupersededBeforeItIsOpenedIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		store, ecd := journaltest.Memory(), newAccountECD()
		_ = b.ask(b.handler(ecd, withoutLog{store, rolloutV1}), time.Minute, release)
		b.queue.sent = nil
		b.must(b.ask(b.handler(ecd, store), time.Minute, strings.NewReplacer(`"v1"`, `"v2"`, "m-new", "m-other").Replace(release)))
		b.must(b.ask(b.handler(ecd, store), time.Minute, `{"triggerTime":"x","triggerName":"t"}`))
		if lines := b.read(store, rolloutV1); !strings.Contains(lines, `"kind":"superseded"`) || b.count("v1/office/superseded") == 0 {
			t.Errorf("the journal has %q, told %v; want that it was superseded", lines, b.topic.told)
		}
	})
}

// bodies are a topic that keeps all that it takes.
type bodies struct {
	*slowTopic
	all string // one publisher writes it
}

func (t *bodies) Publish(ctx context.Context, body []byte, tag string) error {
	t.all += string(body) + "\n"
	return t.slowTopic.Publish(ctx, body, tag)
}

// handlerTo is a handler that publishes one message after the other to that topic.
func (b *workbench) handlerTo(topic handler.Topic, ecd handler.ECD, store journal.Store) *handler.Handler {
	b.Helper()
	h, err := handler.New(handler.Config{ECD: ecd, Topic: topic, Queue: b.queue, Journal: store, Rules: b.rules,
		RebuildConcurrency: 1, PublishConcurrency: 1, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	b.must(err)
	return h
}

// A newer image is made later.
type newerImages struct{ *accountECD }

func (e newerImages) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	list, err := e.accountECD.Images(ctx, region, ids)
	for i := range list {
		n, _ := strconv.Atoi(strings.TrimPrefix(list[i].ID, "m-"))
		list[i].Created = time.Date(1999, 2, 1, 0, n, 0, 0, time.UTC)
	}
	return list, err
}

// Desktops that are not ready: each rollout is superseded before it has begun any.
func (e newerImages) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	list, err := e.accountECD.Desktops(ctx, region, ids)
	for i := range list {
		list[i].Status = desktop.Starting
	}
	return list, err
}

// readKeys counts how often each log was read.
type readKeys struct {
	journal.Store
	mu sync.Mutex
	n  map[string]int
}

func (r *readKeys) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	r.mu.Lock()
	r.n[key]++
	r.mu.Unlock()
	return r.Store.Read(ctx, key, from)
}

func numbered(i int) string {
	return strings.NewReplacer(`"v1"`, fmt.Sprintf(`"v%d"`, i), "m-new", fmt.Sprintf("m-%d", i)).Replace(release)
}

// A fleet gets thirty releases within days. A tick for the latest does not look at the ends
// of all others each time; but one that is taken back is looked at again.
func TestAnEarlierRolloutIsSeenToHaveEndedOnce(t *testing.T) {
	lab := "\n  - {name: lab, region: cn-hangzhou, images: [\"lab*\"], select: {tags: {team: lab}}}\n"
	for name, fleets := range map[string]string{"one fleet": office, "two fleets": strings.Replace(office, "\n", lab, 1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(fleets)
				store, ecd := &readKeys{Store: journaltest.Memory(), n: map[string]int{}}, newerImages{newAccountECD()}
				h := b.handler(ecd, store)
				tick := func() {
					b.must(b.ask(h, time.Minute, fmt.Sprintf(
						`{"specversion":"1.0","type":"regild.tick.v1","id":"t","source":"s","data":{"kind":"rollout","id":"v29/office","n":%d}}`, events.TickAnyway)))
				}
				for i := range 30 {
					b.must(b.ask(h, time.Minute, numbered(i)))
					b.skew += time.Hour
				}
				tick()
				b.must(b.ask(h, time.Minute, `{"triggerTime":"x","triggerName":"t"}`))
				clear(store.n)
				tick()
				b.must(b.ask(h, time.Minute, `{"triggerTime":"x","triggerName":"t"}`))
				if n := len(store.n); n > 12 || store.n["rollout/v29~2foffice.jsonl"] == 0 {
					t.Errorf("read %v, want only what may have changed", store.n)
				}
			})
		})
	}
}

// A release was refused, and another message has given another image the same id since.
// When the first comes again, it is told what it was told.
func TestAReleaseThatComesAgainIsToldWhatItWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		store, told := journaltest.Memory(), &bodies{slowTopic: b.topic}
		h := b.handlerTo(told, newerImages{newAccountECD()}, store)
		b.must(b.ask(h, time.Minute, numbered(5)))
		older := strings.ReplaceAll(numbered(6), "m-6", "m-4")
		b.must(b.ask(h, time.Minute, older))
		b.must(b.ask(h, time.Minute, strings.Replace(strings.ReplaceAll(numbered(6), "m-6", "m-7"), `"id":"v6"`, `"id":"other"`, 1)))
		told.all = ""
		b.must(b.ask(h, time.Minute, older))
		if !strings.Contains(told.all, `"Downgrade"`) || strings.Contains(told.all, `"RequestIdReused"`) {
			t.Errorf("told %s, want the downgrade once more", told.all)
		}
	})
}
