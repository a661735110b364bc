package handler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
)

// countedECD counts what is asked.
type countedECD struct {
	*slowECD
	meter *handler.Meter
}

func (e countedECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	e.meter.Count("DescribeDesktops")
	return e.slowECD.Desktops(ctx, region, ids)
}

func TestAReportNamesTheCallsOfItsInvocationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		meter := &handler.Meter{}
		meter.Count("ListObjects") // before
		h, err := handler.New(handler.Config{ECD: countedECD{b.ecd, meter}, Topic: b.topic, Queue: b.queue, Journal: journaltest.Memory(), Rules: b.rules,
			RebuildConcurrency: 1, PublishConcurrency: 1, Meter: meter, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		b.must(err)
		for _, want := range []map[string]int{{"DescribeDesktops": 1}, {}} {
			report, err := h.Handle(t.Context(), handler.Invocation{RequestID: "i"}, []byte(requestFor(1)))
			b.must(err)
			if !maps.Equal(report.Calls, want) {
				t.Errorf("got %v, want %v", report.Calls, want)
			}
		}
	})
}

// Without a journal, ticks carry each desktop that is not finished, and MNS takes each tick.
func TestWhatTicksCarryFitsThem(t *testing.T) {
	for _, zeros := range []int{44, 56} { // the first try is above our bound; above that of MNS
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			b.handle(nil, time.Minute, strings.ReplaceAll(requestFor(300), `"ecd-`, `"ecd-`+strings.Repeat("0", zeros)))
			all := ""
			for _, q := range b.queue.sent {
				if len(q.body) > 60_000 {
					t.Errorf("a tick has %d bytes", len(q.body))
				}
				all += q.body
			}
			for i := range 300 {
				if !strings.Contains(all, fmt.Sprintf("ecd-%0*d", zeros+4, i)) {
					t.Fatalf("%d ticks, and none carries desktop %d", len(b.queue.sent), i)
				}
			}
		})
	}
}

// A slowIndex takes its time to enter an open request.
type slowIndex struct {
	journal.Store
	fails   bool
	entered bool
}

func (s *slowIndex) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if strings.HasPrefix(key, journal.OpenPrefix) {
		time.Sleep(time.Second) //nolint:forbidigo // time of the bubble, which takes none
		if s.fails {
			return 0, errors.New("out of order")
		}
		s.entered = true
	}
	return s.Store.Append(ctx, key, at, lines)
}

type downQueue struct{}

func (downQueue) Send(context.Context, []byte, time.Duration) error {
	return errors.New("out of order")
}

func (downQueue) SendEach(context.Context, []byte, ...time.Duration) error {
	return errors.New("out of order")
}

// What goes on behind an invocation is frozen with its instance, and comes at any time.
func TestNothingIsEnteredBehindAnInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := &slowIndex{Store: journaltest.Memory(), fails: true}
		b.handle(store, time.Minute, requestFor(1))
		store.fails = false
		h, err := handler.New(handler.Config{ECD: b.ecd, Topic: b.topic, Queue: downQueue{}, Journal: store, Rules: b.rules,
			RebuildConcurrency: 1, PublishConcurrency: 1, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		b.must(err)
		time.Sleep(b.queue.last().delay) //nolint:forbidigo // time of the bubble, which takes none
		if err := b.ask(h, time.Minute, b.queue.last().body); err == nil {
			t.Error("nothing could be put on the queue, and no delivery is asked for")
		}
		if !store.entered {
			t.Error("the entry was still being written when the invocation ended")
		}
	})
}

// An enteredECD notes whether the request was entered before maintenance mode.
type enteredECD struct {
	*slowECD
	store *slowIndex
	held  int
	early bool
}

func (e *enteredECD) Maintain(context.Context, string, []string, bool) error {
	e.held++
	e.early = e.early || !e.store.entered
	return nil
}

// A sweep finds each request that may have left a desktop in maintenance mode.
func TestARequestIsEnteredBeforeAnythingIsDoneToADesktop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(strings.Replace(office, "{canary: 1}", "{maintenance: true}\n    requests: true", 1))
		store := &slowIndex{Store: journaltest.Memory()}
		ecd := &enteredECD{slowECD: b.ecd, store: store}
		b.must(b.ask(b.handler(ecd, store), time.Minute, requestFor(1)))
		if ecd.held == 0 || ecd.early {
			t.Errorf("put into maintenance mode %d times, before the request was entered: %t", ecd.held, ecd.early)
		}
	})
}
