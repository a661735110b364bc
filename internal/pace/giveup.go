package pace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regild/regild/internal/desktop"
)

const (
	// giveUpAfter is for how long nothing may be answered before a place is given up:
	// the time of some repetitions, or of a call that is cut off.
	giveUpAfter = 15 * time.Second
	// giveUpFor is for how long then: what is put off for want of an answer is looked
	// at again after as long.
	giveUpFor = 30 * time.Second
)

// errGivenUp says that a call was not sent because others were not answered.
var errGivenUp = errors.New("given up for now")

// silence is what a limiter knows of a place that does not answer.
type silence struct {
	answered time.Time          // last
	since    time.Time          // nothing was answered, while calls were under way; zero: the last one was
	until    time.Time          // no call is made before
	last     *desktop.CallError // what the last call met
}

// note takes down how a call ended. l.mu is held.
func (l *Limiter) note(s Slot, err error) {
	if answers(err) {
		l.silence.answered, l.silence.since = time.Now(), time.Time{}
		return
	}
	e, ok := errors.AsType[*desktop.CallError](err)
	if !l.GivesUp || !ok || errors.Is(err, errGivenUp) || errors.Is(err, context.Canceled) {
		return
	}
	if l.silence.since.IsZero() {
		if l.silence.since = s.began; l.silence.answered.After(s.began) { // another call was, meanwhile
			l.silence.since = l.silence.answered
		}
	}
	if now := time.Now(); now.Sub(l.silence.since) >= giveUpAfter {
		l.silence.until, l.silence.last = now.Add(giveUpFor), e
	}
}

// answers says whether the service answered, and not that it is asked too much.
func answers(err error) bool {
	e, ok := errors.AsType[*desktop.CallError](err)
	return err == nil || ok && !e.Throttled && (e.Code != "" || e.Delivery == desktop.Refused || e.Delivery == desktop.Forbidden)
}

// givenUp returns why no call is to be made now, of which an attempt was made before or
// not; nil: nothing is in the way.
func (l *Limiter) givenUp(name string, asked bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !time.Now().Before(l.silence.until) {
		return nil
	}
	return &desktop.CallError{Call: name, Delivery: desktop.NotSent, Throttled: l.silence.last.Throttled, Unasked: !asked, Err: errGivenUp,
		Message: fmt.Sprintf("others were not answered: %v", l.silence.last)}
}

// Reset has a place asked again that was given up.
func (l *Limiter) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silence = silence{}
}
