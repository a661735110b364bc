package rollout

import (
	"strings"

	"github.com/regild/regild/events"
)

// UntilShown ends the message of a desktop whose call came to an end that is not
// known: ECD may have answered, by a code that says nothing certain.
const UntilShown = "; the facts will show whether the rebuild began"

// cameBack repeats what was said of the desktop's last call when its delivery was
// left open, so that the end tells it too; "" when nobody said anything.
func (x *Desktop) cameBack() string {
	said, open := strings.CutSuffix(x.Last.Message, UntilShown)
	if !open || x.Last.Code != events.CodeOutcomeUnknown {
		return ""
	}
	return " (what came back: " + said + ")"
}
