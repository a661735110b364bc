package handler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A oneByOne takes no message twice at once.
type oneByOne struct{ *cutOff }

func (oneByOne) SendEach(context.Context, []byte, ...time.Duration) error {
	return errors.New("no answer")
}

// Another instance has ended a rollout since. Whoever looks at it by what it knew writes nothing behind that: else no
// end of the journal says that it is over, and each sweep and each later rollout of the fleet looks at it for days.
func TestWhatOthersHaveEndedIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		paused   bool // there is nothing to do or to write
		oneByOne bool // the tick has no copy, and the look needs a watchdog
	}{"it waits": {}, "it is paused": {paused: true}, "a watchdog is sent": {oneByOne: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(office)
				store := journaltest.Memory()
				h := func() *handler.Handler {
					ports := &cutOff{left: -1, Store: store, ECD: usedECD{newAccountECD()}, outQueue: b.queue, topic: b.topic}
					config := b.config(ports, ports, ports)
					if c.oneByOne {
						config.Queue = oneByOne{ports}
					}
					instance, err := handler.New(config)
					b.must(err)
					return instance
				}
				ours, q := h(), &dueQueue{outQueue: b.queue}
				b.must(b.ask(ours, time.Minute, release))
				b.must(b.ask(ours, time.Minute, q.next(time.Now().Add(time.Hour))))
				if c.paused {
					b.must(b.ask(ours, time.Minute, ordered("c1", "pause")))
				}
				tick := q.next(time.Now().Add(time.Hour))
				b.must(b.ask(h(), time.Minute, ordered("c2", "abort")))
				end := func() []byte {
					lines, err := journal.Tail(t.Context(), store, journal.Key("rollout", "v1/office"), 16<<10)
					b.must(err)
					return lines
				}
				if rollout.EndingIn(end()) == nil {
					t.Fatalf("the journal ends with %s, want that the rollout has ended", end())
				}
				b.must(b.ask(ours, time.Minute, tick))
				if rollout.EndingIn(end()) == nil {
					t.Errorf("the journal ends with %s", end())
				}
			})
		})
	}
}
