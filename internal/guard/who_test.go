package guard_test

import (
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/guard"
)

func TestRegionGuard(t *testing.T) {
	check(t, []line{
		{"another region is allowed", func(q *guard.Question) { q.Rules.Regions = []string{"cn-shanghai"} }, guard.Refuse, events.CodeRegionNotAllowed},
		{"no region is allowed", func(q *guard.Question) { q.Rules.Regions = nil }, guard.Refuse, events.CodeRegionNotAllowed},
		{"several are allowed", func(q *guard.Question) { q.Rules.Regions = []string{"cn-shanghai", "cn-hangzhou"} }, guard.Go, ""},
	})
}

func TestKnownGuard(t *testing.T) {
	check(t, []line{
		{"not listed", func(q *guard.Question) { q.Desktop = nil }, guard.Refuse, events.CodeDesktopNotFound},
		{"not listed, every consent given", both(func(q *guard.Question) { q.Desktop = nil }, func(q *guard.Question) { q.Rules.Consents = events.Consents }),
			guard.Refuse, events.CodeDesktopNotFound},
	})
}

func TestFleetGuard(t *testing.T) {
	check(t, []line{
		{"in no fleet that allows it", func(q *guard.Question) { q.Rules.Outside = true }, guard.Refuse, events.CodeOutsideFleet},
		{"no consent helps", func(q *guard.Question) { q.Rules.Outside, q.Rules.Consents = true, events.Consents }, guard.Refuse, events.CodeOutsideFleet},
	})
}

func TestPooledGuard(t *testing.T) {
	check(t, []line{
		{"in a desktop group", func(q *guard.Question) { q.Desktop.GroupID = "dg-1" }, guard.Refuse, events.CodePooledDesktop},
		{"no consent helps", func(q *guard.Question) { q.Desktop.GroupID, q.Rules.Consents = "dg-1", events.Consents }, guard.Refuse, events.CodePooledDesktop},
	})
}
