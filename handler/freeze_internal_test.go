package handler

import (
	"log/slog"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// That a freeze was not lifted is written down, but not what came through a wrong door, nor
// that nothing was frozen, and it does not fill the log.
func TestWhichFreezesThatWereNotLiftedAreWrittenDown(t *testing.T) {
	i := newInvocation(t.Context(), Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, Invocation{RequestID: "i1", Source: "test"})
	defer i.cancel()
	a := &admission{invocation: i}
	for name, c := range map[string]struct {
		action, code string
		length       int64
		want         int
	}{
		"unknown":          {events.FreezeLift, events.CodeControlNotPossible, rollout.MaxFreezeLog/2 - 1, 1},
		"half full":        {events.FreezeLift, events.CodeControlNotPossible, rollout.MaxFreezeLog / 2, 0},
		"by a wrong door":  {events.FreezeLift, events.CodeWrongDoor, 0, 0},
		"of one to freeze": {events.FreezeBegin, events.CodeControlNotPossible, 0, 0},
	} {
		got := a.notLifted(envelope.Message{ID: "1", Source: "/ops"}, events.Freeze{FreezeID: "f1", Action: c.action}, c.code, "no", c.length)
		if len(got) != c.want {
			t.Errorf("%s: got %+v, want %d", name, got, c.want)
		}
	}
}
