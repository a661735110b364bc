//go:build !race

package simulation

import "testing"

const raceEnabled = false

// TestALargeFleetIsAskedAtEveryGate goes over a fleet of which a wave takes
// several records of the journal.
func TestALargeFleetIsAskedAtEveryGate(t *testing.T) {
	s := draw(1, "large")
	w := simulate(t, s, nil)
	if len(w.broken) > 0 {
		t.Errorf("a fleet of %d breaks:\n%s", len(s.Desktops), listed(w.broken))
	}
	k := w.works["v1/office"]
	if k == nil || !k.closed || len(k.order) != len(s.Desktops) || k.approvals < 2 {
		t.Errorf("the release did not go over the fleet of %d with an approval after each wave%s", len(s.Desktops), w.left())
	}
}
