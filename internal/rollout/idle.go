package rollout

import (
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

// atRest says whether nobody counts as using a desktop, though somebody is logged
// on: all of them have been idle, or disconnected, for as long as the limit. What
// ECD does not say means that somebody is at work.
func atRest(d *desktop.Desktop, sessions []desktop.Session, limit time.Duration) bool {
	if d.Connection != desktop.Connected && d.Connection != desktop.Disconnected {
		return false
	}
	connected := false
	for _, s := range sessions {
		connected = connected || s.Status == desktop.Connected
		if (s.Status == desktop.Connected || s.User == "") && !idleFor(s, limit) { // one without a name may be anybody's
			return false
		}
	}
	if d.Connection == desktop.Connected && !connected {
		return false // the two answers contradict each other
	}
	for _, user := range d.Users {
		if !userAtRest(user, sessions, limit) {
			return false
		}
	}
	return true
}

// userAtRest looks at the sessions of one user. ECD also lists those that are over:
// the last one counts, as far as it is known which that is.
func userAtRest(user string, sessions []desktop.Session, limit time.Duration) bool {
	var last *desktop.Session
	unordered := false
	all := true
	n := 0
	for i := range sessions {
		s := &sessions[i]
		if s.User != user {
			continue
		}
		n++
		all = all && idleFor(*s, limit)
		unordered = unordered || s.Started.IsZero() || last != nil && s.Started.Equal(last.Started)
		if last == nil || s.Started.After(last.Started) {
			last = s
		}
	}
	if n == 0 {
		return false
	}
	return all || !unordered && idleFor(*last, limit)
}

func idleFor(s desktop.Session, limit time.Duration) bool { return s.IdleKnown && s.Idle >= limit }

// idle adds whether all who are logged on to a desktop are idle for as long as its
// fleet says, where nothing but them keeps it from being rebuilt. If that cannot be
// read they count as using it.
func (v *view) idle(c candidate, q *guard.Question) (step, bool) {
	if v.planning || c.strategy == nil || c.strategy.Sessions.Idle == 0 || !c.now.InUse() {
		return step{}, true
	}
	if v := guard.Check(*q); v.Code != events.CodeSessionWait && v.Code != events.CodeSessionSkipped {
		return step{}, true
	}
	fact, s, ok := find(v, ofSessions, c.ID, earlier(c.fact.ReadAt, v.now.t))
	switch {
	case !ok:
		return s, false
	case fact.Err != nil:
		q.Rules.AtWork = "; how long they have been idle cannot be told: " + fact.Err.Message
	default:
		q.Rules.AtRest = atRest(c.now, fact.Value, c.strategy.Sessions.Idle)
	}
	return step{}, true
}
