//go:build !race

package simulation

import (
	"strings"
	"testing"
)

// The race detector makes each schedule cost as much as ten, and shuffles who goes
// on first: what needs thousands, or one order, is here.
const raceEnabled = false

// TestOneSeedGivesOneTrace runs some schedules twice.
func TestOneSeedGivesOneTrace(t *testing.T) {
	n := number(t, "REGILD_SIMULATE_TWICE", 3)
	for _, p := range allProfiles() {
		if p.weight == 0 {
			continue
		}
		for seed := range uint64(n) {
			first, second := simulate(t, draw(seed, p.name), nil).story(), simulate(t, draw(seed, p.name), nil).story()
			if first != second {
				at := 0
				for at < min(len(first), len(second)) && first[at] == second[at] {
					at++
				}
				from := max(0, at-2000)
				t.Errorf("%s, seed %d, runs in two ways:\n%s\nand\n%s", p.name, seed, first[from:min(at+400, len(first))], second[from:min(at+400, len(second))])
			}
		}
	}
}

// TestTheSchedulesReachWhatMatters makes sure that the schedules come to all that
// the world can be told: a simulation in which nothing happens keeps every
// promise.
func TestTheSchedulesReachWhatMatters(t *testing.T) {
	told := map[string]int{}
	profile := map[string]bool{}
	for seed := range uint64(plain()) {
		s := draw(seed+1_000_000, "")
		w := simulate(t, s, known(t))
		profile[s.Profile] = true
		for _, id := range w.told.order {
			told[w.told.first[id].what()]++
		}
	}
	t.Logf("told: %v", told)
	for _, p := range allProfiles() {
		if !profile[p.name] && p.weight > 0 {
			t.Errorf("no schedule has the profile %s", p.name)
		}
	}
	for _, what := range strings.Split(reached, "\n") {
		if what = strings.TrimSpace(what); what != "" && told[what] == 0 {
			t.Errorf("no schedule is told %q", what)
		}
	}
}

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
