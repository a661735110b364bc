package guard

import (
	"fmt"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// status lets Running and Stopped desktops through, waits for the states that
// pass by themselves and refuses every other, known or unknown. Which statuses
// RebuildDesktops accepts is not published; these two are the safe ones.
func status(q Question) Verdict {
	d := q.Desktop
	if len(d.Flags) > 0 {
		return wait(q, "it is "+strings.ToLower(strings.Join(d.Flags, " and ")))
	}
	switch d.Status {
	case desktop.Running, desktop.Stopped:
		return none
	case desktop.Rebuilding:
		return wait(q, "it is being rebuilt; to which image shows when that is done")
	case desktop.Starting, desktop.Stopping, desktop.Pending:
		return wait(q, "it is "+d.Status)
	}
	if q.Rules.Held {
		return wait(q, "it is "+word(d.Status)+" while in maintenance mode")
	}
	return refuse(events.CodeDesktopNotReady, "desktop %s is %s; only Running and Stopped desktops are rebuilt", q.ID, word(d.Status))
}

func wait(q Question, why string) Verdict {
	return Verdict{Wait, events.CodeStatusWait, fmt.Sprintf("desktop %s is not ready: %s", q.ID, why)}
}

// session guards people at work. A connection whose state is unknown counts.
func session(q Question) Verdict {
	if !q.Desktop.InUse() || q.Rules.AtRest || q.Rules.Sessions == ForceInUse || q.Rules.consents(events.ConsentSessions) {
		return none
	}
	switch q.Rules.Sessions {
	case WaitInUse:
		return Verdict{Wait, events.CodeSessionWait, fmt.Sprintf("somebody is using desktop %s; waiting for them to leave%s", q.ID, q.Rules.AtWork)}
	case SkipInUse:
		return Verdict{Skip, events.CodeSessionSkipped, fmt.Sprintf("somebody is using desktop %s; it is left alone this time%s", q.ID, q.Rules.AtWork)}
	}
	return refuse(events.CodeSessionActive, "somebody is using desktop %s; send the consent sessions if they may lose their work", q.ID)
}
