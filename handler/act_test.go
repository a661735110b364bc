package handler_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal/journaltest"
)

// A timedECD notes how long before each act the desktop was read, and how much time
// each notice gives.
type timedECD struct {
	*slowECD
	down  bool // nothing can be done to desktops
	read  time.Time
	acts  int
	aged  time.Duration // the longest time between a read and an act
	given time.Duration // the shortest time that a notice gave
}

func (e *timedECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000"})
}

func (e *timedECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	e.read = time.Now()
	return e.slowECD.Desktops(ctx, region, ids)
}

func (e *timedECD) act() error {
	if e.down {
		return &desktop.CallError{Call: "RunCommand", Delivery: desktop.NotSent, Message: "connection refused"}
	}
	e.acts++
	e.aged = max(e.aged, time.Since(e.read))
	return nil
}

func (e *timedECD) Maintain(context.Context, string, []string, bool) error { return e.act() }
func (e *timedECD) Stop(context.Context, string, []string) error           { return e.act() }

func (e *timedECD) Tell(_ context.Context, _ string, _ []string, _, text string) ([]string, error) {
	due, err := time.Parse("2006-01-02 15:04", text)
	if e.given == 0 || time.Until(due) < e.given {
		e.given = time.Until(due)
	}
	return []string{"t-1"}, errors.Join(err, e.act())
}

// A downTopic takes nothing.
type downTopic struct{}

func (downTopic) Publish(context.Context, []byte, string) error { return errors.New("out of order") }

// Publishing took minutes between a decision and what it decided: people were told of a
// time that was nearer than lead, and a desktop could be stopped, or put into maintenance
// mode, under somebody who had connected since. (simulation:
// named-a-time-too-soon-1883236242296635)
func TestNothingIsDoneByADecisionThatHasGrownOld(t *testing.T) {
	for _, c := range []struct {
		name, strategy string
		lead           time.Duration
	}{
		{"told", `expected: 1m, notice: {lead: 1h, text: "{{.At}}"}`, time.Hour},
		{"stopped", "stopFirst: true", 0},
		{"put into maintenance mode", "maintenance: true", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(strings.Replace(office, "canary: 1", "canary: 1, "+c.strategy, 1))
				ecd := &timedECD{slowECD: b.ecd, down: true}
				store := journaltest.Memory()
				with := func(topic handler.Topic) *handler.Handler {
					h, err := handler.New(handler.Config{ECD: ecd, Notifier: ecd, Topic: topic, Queue: b.queue, Journal: store, Rules: b.rules,
						RebuildConcurrency: 1, PublishConcurrency: 1, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
					b.must(err)
					return h
				}
				b.must(b.ask(with(downTopic{}), time.Minute, release)) // the events of the rollout are not published
				time.Sleep(40 * time.Minute)                           //nolint:forbidigo // time of the bubble, which takes none
				ecd.down, b.topic.takes = false, 3*time.Minute
				b.must(b.ask(with(b.topic), 20*time.Minute, b.queue.last().body))
				if ecd.acts == 0 || len(b.topic.told) == 0 {
					t.Fatalf("%d acts, told %v: the test shows nothing", ecd.acts, b.topic.told)
				}
				if ecd.aged > time.Minute || ecd.given < c.lead {
					t.Errorf("the desktop was read %s before, and people were given %s; want at most a minute, and %s", ecd.aged, ecd.given, c.lead)
				}
			})
		})
	}
}
