package main

import (
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

func TestCheckExplainsWhatIsDoneForThePeople(t *testing.T) {
	fleets, err := fleet.Parse("fleets.yaml", []byte(`
fleets:
  - name: office
    region: cn-hangzhou
    images: [w]
    select: all
    strategy:
      check:
        use: {least: "30%", else: halt, failed: "20%"}
        alarms: [logon-errors, {name: boot-time, always: true}]
      sessions: {idle: 1h}
      notice: {lead: 2h, remind: [30m, 5m]}
      before: {command: exit 0, deferrals: 3}
      holds: {tag: hold-until}
      snapshot: data
`))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(explain(fleets[0], 10, -1, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)), "\n")
	for _, want := range []string{
		"30% of the wave's desktops logged on to within 8h; else it halts, if any was used at all; halts when more than 20% of the logons fail",
		"no alarm of the rule logon-errors\n", "no alarm of the rule boot-time, even one from before the rollout",
		"then skip it; who is idle or disconnected for 1h does not count",
		"the tag hold-until holds it back, for 3d at most", "its users are told 2h before, and again 30m, 5m",
		"it is asked by a command (RunPowerShellScript, within 1m); not now is heeded for 24h, 3 times, then skip",
		"where the data disk is erased, a snapshot of it is made and waited for",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}
