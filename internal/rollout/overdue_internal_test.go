package rollout

import (
	"testing"
	"time"
)

// A desktop is given up by a look soon after its time is over, or by two that are an hour apart.
func TestSilenceAloneIsNotOverdue(t *testing.T) {
	for _, c := range []struct {
		name       string
		at, seen   time.Duration // after its time was over
		over, late bool
	}{
		{"before", -1, -time.Hour, false, false},
		{"at once", 0, -time.Hour, true, false},
		{"soon", lateLook - 1, -time.Hour, true, false},
		{"late", lateLook, -time.Hour, false, true},
		{"late, and seen right before it was over", lateLook, -1, false, true},
		{"late, and seen when it was over", lateLook, 0, false, false},
		{"nearly an hour on", 5*time.Hour + readyLimit - 1, 5 * time.Hour, false, false},
		{"an hour on", 5*time.Hour + readyLimit, 5 * time.Hour, true, false},
	} {
		x := &Desktop{SeenAt: MomentOf(noon.Add(c.seen))}
		if over, s := overdue(x, noon.Add(c.at), noon); over != c.over || s.marked(KindLate) != c.late {
			t.Errorf("%s: over %t, noted %t; want %t, %t", c.name, over, s.marked(KindLate), c.over, c.late)
		}
	}
	if over, s := overdueUnread(&Desktop{}, &Unread{Unasked: true}, noon.Add(time.Hour), noon); over || s.marked(KindLate) {
		t.Errorf("a question that was not sent is a look")
	}
}
