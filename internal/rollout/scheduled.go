package rollout

import (
	"fmt"
	"time"

	"github.com/regild/regild/events"
)

// MaxAhead is how far ahead of its coming a request may be scheduled.
const MaxAhead = 7 * 24 * time.Hour

// ErrTooFar is why a request cannot be begun at a time that is further ahead.
var ErrTooFar = fmt.Errorf("notBefore: is more than %d days ahead; send the request later, as a new event", MaxAhead/(24*time.Hour))

// TooFar is ErrTooFar, if a request that comes now names a time too far ahead.
func TooFar(notBefore, now time.Time) error {
	if notBefore.Sub(now) > MaxAhead {
		return ErrTooFar
	}
	return nil
}

// scheduled leaves a desktop for later whose request names a time, and says so at
// once. Nobody looks at the desktop before.
func (v *view) scheduled(x *Desktop) (step, bool) {
	at := v.s.Operation.NotBefore
	if v.now.due(at) || x.tried() {
		return step{}, false
	}
	s := unfinished(at)
	if x.WaitCode != events.CodeScheduled {
		s.outcome = v.deferred(events.CodeScheduled, at, "the request is to begin no earlier")
	}
	return s, true
}

// scheduleGate says what a plan must tell of the request's time.
func (v *view) scheduleGate() []string {
	if at := v.s.Operation.NotBefore; !v.now.due(at) {
		return []string{fmt.Sprintf("nothing begins before %s, as the request asks", at.UTC().Format(time.RFC3339))}
	}
	return nil
}
