package rollout

import (
	"fmt"
	"time"

	"github.com/regild/regild/events"
)

// MaxAhead is how far ahead of its coming a request may be scheduled.
const MaxAhead = 7 * 24 * time.Hour

// scheduled leaves a desktop for later whose request names a time, and says so at
// once. Nobody looks at the desktop before.
func (d *decider) scheduled(x *Desktop) bool {
	at := d.s.Operation.NotBefore
	if d.now.due(at) || x.tried() {
		return false
	}
	if x.WaitCode != events.CodeScheduled {
		d.group(x, groupKey{Result: Result{events.StatusDeferred, events.CodeScheduled, "the request is to begin no earlier"}, until: at, at: d.now.t})
	}
	d.open++
	d.again(at)
	return true
}

// scheduleGate says what a plan must tell of the request's time.
func (d *decider) scheduleGate() []string {
	if at := d.s.Operation.NotBefore; !d.now.due(at) {
		return []string{fmt.Sprintf("nothing begins before %s, as the request asks", at.UTC().Format(time.RFC3339))}
	}
	return nil
}
