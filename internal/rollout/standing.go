package rollout

import (
	"fmt"
	"time"

	"github.com/regild/regild/events"
)

// This file says why a rollout as a whole does not go on: it waits, or it has halted. Why
// it waits is published once, and not each time that somebody looks.

// stand says why the rollout waits, once for each code: how many, or for which request, may
// change each time. It looks again at until, if that is not zero, and at least each MaxTick.
func (v *view) stand(code, message string, until time.Time) step {
	w := v.s.Waiting
	return v.waits(code, message, until, w != nil && w.Code == code)
}

// standAnew is stand for a reason that is published again when its message changes.
func (v *view) standAnew(code, message string, until time.Time) step {
	w := v.s.Waiting
	return v.waits(code, message, until, w != nil && w.Code == code && w.Message == message)
}

func (v *view) waits(code, message string, until time.Time, said bool) step {
	s := look(Soonest(v.now.in(MaxTick), until))
	if said {
		return s
	}
	r := &events.Reason{Code: code, Message: message}
	if !until.IsZero() {
		r.Until = &until
	}
	return s.with(v.write(Record{Kind: KindWaiting, Reason: r}))
}

// standUnread says that the rollout stands still because something cannot be read. It is
// asked for less often the longer that lasts.
func (v *view) standUnread(u *Unread) step {
	since := v.now.t
	if w := v.s.Waiting; w != nil && w.Code == u.Code {
		since = v.s.WaitingAt
	}
	return v.stand(u.Code, u.Message, zero).with(look(Later(v.now.in(time.Minute), v.now.backoff(since))))
}

// unreadProof holds the next wave because something could not be read.
func (v *view) unreadProof(u *Unread) step {
	return v.stand(u.Code, u.Message, zero).with(look(v.now.in(alarmPause)))
}

// halt stops the rollout by itself. What is under way is followed to its end.
func (v *view) halt(code, format string, args ...any) step {
	reason := &events.Reason{Code: code, Message: fmt.Sprintf(format, args...)}
	return v.write(v.onHalt(Record{Kind: KindHalted, Reason: reason})).with(look(v.now.t))
}
