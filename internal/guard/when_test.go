package guard_test

import (
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

func TestStatusGuard(t *testing.T) {
	is := func(status string) func(*guard.Question) {
		return func(q *guard.Question) { q.Desktop.Status = status }
	}
	held := func(q *guard.Question) { q.Rules.Held = true }
	check(t, []line{
		{"stopped", is(desktop.Stopped), guard.Go, ""},
		{"starting", is(desktop.Starting), guard.Wait, events.CodeStatusWait},
		{"stopping", is(desktop.Stopping), guard.Wait, events.CodeStatusWait},
		{"pending", is(desktop.Pending), guard.Wait, events.CodeStatusWait},
		{"rebuilding", is(desktop.Rebuilding), guard.Wait, events.CodeStatusWait},
		{"expired", is("Expired"), guard.Refuse, events.CodeDesktopNotReady},
		{"unknown", is("Dreaming"), guard.Refuse, events.CodeDesktopNotReady},
		{"without a status", is(""), guard.Refuse, events.CodeDesktopNotReady},
		{"unknown while in maintenance mode by us", both(is("Maintenance"), held), guard.Wait, events.CodeStatusWait},
		{"running while in maintenance mode by us", held, guard.Go, ""},
		{"migrating", func(q *guard.Question) { q.Desktop.Flags = []string{"Migrating"} }, guard.Wait, events.CodeStatusWait},
	})
}

func TestSessionGuard(t *testing.T) {
	used := func(q *guard.Question) { q.Desktop.Connection = desktop.Connected }
	policy := func(s guard.Sessions) func(*guard.Question) {
		return both(used, func(q *guard.Question) { q.Rules.Sessions = s })
	}
	check(t, []line{
		{"in use", used, guard.Refuse, events.CodeSessionActive},
		{"in use with consent", both(used, consent(events.ConsentSessions)), guard.Go, ""},
		{"another consent does not do", both(used, consent(events.ConsentReset)), guard.Refuse, events.CodeSessionActive},
		{"wait", policy(guard.WaitInUse), guard.Wait, events.CodeSessionWait},
		{"skip", policy(guard.SkipInUse), guard.Skip, events.CodeSessionSkipped},
		{"force", policy(guard.ForceInUse), guard.Go, ""},
		{"a user who is not connected", func(q *guard.Question) { q.Desktop.Users = []string{"alice"} }, guard.Refuse, events.CodeSessionActive},
		{"nobody knows", func(q *guard.Question) { q.Desktop.Connection = "" }, guard.Refuse, events.CodeSessionActive},
		{"stopped, and nobody knows", func(q *guard.Question) { q.Desktop.Connection, q.Desktop.Status = "", desktop.Stopped }, guard.Go, ""},
		{"stopped, and said to be in use", func(q *guard.Question) {
			q.Desktop.Connection, q.Desktop.Status = desktop.Connected, desktop.Stopped
		}, guard.Refuse, events.CodeSessionActive},
	})
}
