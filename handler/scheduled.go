package handler

import (
	"fmt"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// tooFar says why a request cannot be begun at the time that it names, or "". One
// that the journal knows was asked when it came first.
func (r *run) tooFar(req events.Request) (why string, err error) {
	switch {
	case !req.NotBefore.After(r.now):
		return "", nil
	case r.Queue == nil:
		return "notBefore: nothing would begin the request at that time, for REGILD_REQUEST_QUEUE is not set; send it then", nil
	case req.NotBefore.Sub(r.now) <= rollout.MaxAhead:
		return "", nil
	}
	if r.Journal != nil {
		known := false
		if err := r.peek(kindRequest, req.RequestID, func(s *rollout.State) { known = s.Operation != nil }); known || err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("notBefore: is more than %d days ahead; send the request later", rollout.MaxAhead/(24*time.Hour)), nil
}
