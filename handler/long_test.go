package handler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

const region = "cn-hangzhou"

// slowECD takes its time, loses the first answer for one desktop, and shows a
// rebuild only a while after it began.
type slowECD struct {
	handler.ECD
	takes time.Duration // of a RebuildDesktops call
	loses string        // the desktop whose first call's answer is lost

	mu    sync.Mutex
	began map[string]time.Time
	calls map[string]int
}

func (e *slowECD) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	e.mu.Lock()
	lost := false
	var a desktop.Answer
	for _, id := range b.IDs {
		e.calls[id]++
		lost = lost || id == e.loses && e.calls[id] == 1
		e.began[id] = time.Now()
		a.Results = append(a.Results, desktop.Result{DesktopID: id, Code: "success"})
	}
	e.mu.Unlock()
	if lost {
		return desktop.Answer{}, &desktop.CallError{Call: "RebuildDesktops", Message: "EOF"}
	}
	select {
	case <-time.After(e.takes):
		return a, nil
	case <-ctx.Done():
		return desktop.Answer{}, &desktop.CallError{Call: "RebuildDesktops", Message: "cut off"}
	}
}

func (e *slowECD) Desktops(_ context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []desktop.Desktop
	for _, id := range ids {
		status := desktop.Running
		if at, begun := e.began[id]; begun && time.Since(at) > 90*time.Second {
			status = desktop.Rebuilding
		}
		out = append(out, desktop.Desktop{ID: id, RegionID: region, Status: status, Connection: desktop.Disconnected,
			ImageID: "m-old", OS: "windows", SystemDiskGiB: 80})
	}
	return out, nil
}

func (e *slowECD) Images(_ context.Context, region string, ids []string) ([]desktop.Image, error) {
	made := map[string]int{"m-old": 10, "m-new": 20}
	var out []desktop.Image
	for _, id := range ids {
		out = append(out, desktop.Image{ID: id, RegionID: region, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80,
			Created: time.Date(1999, 1, made[id], 0, 0, 0, 0, time.UTC)})
	}
	return out, nil
}

func (e *slowECD) Changes(context.Context, string, string) ([]desktop.Change, error) { return nil, nil }

type slowTopic struct {
	takes time.Duration
	mu    sync.Mutex
	told  map[string]int
}

func (s *slowTopic) Publish(ctx context.Context, body []byte, _ string) error {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	var e struct{ ID string }
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[e.ID]++
	return nil
}

type queued struct {
	body  string
	delay time.Duration
}

// An outQueue takes messages of several places at once.
type outQueue struct {
	mu   sync.Mutex
	sent []queued
}

func (q *outQueue) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = append(q.sent, queued{string(body), delay})
	return nil
}

func (q *outQueue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	return sendEach(ctx, q, body, delays...)
}

// sendEach sends one by one.
func sendEach(ctx context.Context, q handler.Queue, body []byte, delays ...time.Duration) error {
	for _, delay := range delays {
		if err := q.Send(ctx, body, delay); err != nil {
			return err
		}
	}
	return nil
}

func (q *outQueue) last() queued { return q.sent[len(q.sent)-1] }

// A workbench is a handler among slow services.
type workbench struct {
	*testing.T
	ecd   *slowECD
	topic *slowTopic
	queue *outQueue
	skew  time.Duration // of the instance's clock
	rules rollout.Rules
}

func newWorkbench(t *testing.T) *workbench {
	return &workbench{T: t, ecd: &slowECD{began: map[string]time.Time{}, calls: map[string]int{}}, topic: &slowTopic{told: map[string]int{}}, queue: &outQueue{},
		rules: rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute}}
}

// declare has fleets.yaml say which fleets there are.
func (b *workbench) declare(fleets string) {
	b.Helper()
	var err error
	b.rules.Fleets, err = fleet.Parse("fleets.yaml", []byte(fleets))
	b.must(err)
	b.rules.Declared = true
}

func (b *workbench) handle(store journal.Store, limit time.Duration, payload string) {
	b.Helper()
	if err := b.ask(b.handler(b.ecd, store), limit, payload); err != nil {
		b.Fatal(err)
	}
}

func (b *workbench) handler(ecd handler.ECD, store journal.Store) *handler.Handler {
	b.Helper()
	h, err := handler.New(b.config(ecd, store, b.queue))
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func (b *workbench) config(ecd handler.ECD, store journal.Store, queue handler.Queue) handler.Config {
	return handler.Config{ECD: ecd, Topic: b.topic, Queue: queue, Journal: store,
		Rules: b.rules, RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(b.skew) }}
}

func (b *workbench) ask(h *handler.Handler, limit time.Duration, payload string) error {
	ctx, cancel := context.WithTimeout(b.Context(), limit)
	defer cancel()
	_, err := h.Handle(ctx, handler.Invocation{RequestID: fmt.Sprint(time.Now().UnixNano())}, []byte(payload))
	return err
}

func requestFor(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%q", fmt.Sprintf("ecd-%04d", i))
	}
	return fmt.Sprintf(`{"requestId":"r1","regionId":%q,"imageId":"m-new","desktopIds":[%s]}`, region, strings.Join(ids, ","))
}

// An invocation of many minutes settled a call of unknown delivery by what it had
// read before the call, and called again.
func TestALongInvocationDoesNotSettleAFateByWhatItReadBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.ecd.takes, b.ecd.loses = 20*time.Second, "ecd-0000"
		b.handle(journaltest.Memory(), 15*time.Minute, requestFor(800))
		for id, n := range b.ecd.calls {
			if n > 1 {
				t.Fatalf("%s was called %d times", id, n)
			}
		}
	})
}

// What was published just before the time was up was never written down, so the
// same outcomes were told each time and the others never.
func TestOutcomesAreToldThoughTheTopicIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.topic.takes = 10 * time.Second
		store := journaltest.Memory()
		b.handle(store, time.Minute, requestFor(30))
		for len(b.topic.told) < 30 {
			before := len(b.topic.told)
			time.Sleep(b.queue.last().delay) //nolint:forbidigo // time of the bubble, which takes none
			b.handle(store, time.Minute, b.queue.last().body)
			if len(b.topic.told) == before {
				t.Fatalf("stuck after %d of 30 outcomes", before)
			}
		}
		for id, n := range b.topic.told {
			if n > 1 {
				t.Errorf("%s was told %d times", id, n)
			}
		}
	})
}

// A tick that comes early by the reader's clock was taken for one still to come,
// and nobody looked again.
func TestATickIsFollowedByAnotherThoughTheClockIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		b.handle(store, 280*time.Second, requestFor(1))
		tick, n := b.queue.last(), len(b.queue.sent)
		time.Sleep(tick.delay) //nolint:forbidigo // time of the bubble, which takes none
		b.skew = -2 * time.Second
		b.handle(store, 280*time.Second, tick.body)
		if len(b.queue.sent) == n {
			t.Error("no tick follows")
		}
	})
}

// Without a journal only the tick knows what was begun: a request sent back in
// its place would begin it again.
func TestWithoutAJournalWhatWasBegunIsCarriedWhenTheTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.ecd.takes = 21 * time.Second
		b.handle(nil, time.Minute, requestFor(200))
		if len(b.queue.sent) == 0 {
			t.Fatal("nothing was sent")
		}
		for _, m := range b.queue.sent {
			if !strings.Contains(m.body, "regild.tick.v1") {
				t.Errorf("sent %.120s, want a tick that carries what was begun", m.body)
			}
		}
	})
}
