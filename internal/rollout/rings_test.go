package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// Nothing but a rollout that has completed, and was not taken back, opens a ring.
func TestOnlyWhatHasCompletedOpensARing(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	entry := func(id, undoes string) rollout.Entry {
		return rollout.Entry{Operation: rollout.Operation{ID: id, Undoes: undoes, Fleet: "pilot"}, At: at}
	}
	r2, r3, back := entry("r2/pilot", ""), entry("r3/pilot", ""), entry("r2/pilot/rollback", "r2/pilot")
	had := func(status events.Status, code string) rollout.Record {
		return rollout.Record{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: status, Code: code, Desktops: []string{"ecd-1"}}}}
	}
	told := func(action string) rollout.Record {
		return rollout.Record{Kind: rollout.KindControl, At: at, Action: action, Who: "ada"}
	}
	opened := rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &r2.Operation}
	wave := rollout.Record{Kind: rollout.KindWave, At: at, Wave: 1, Waves: 1, Size: 1, Desktops: []string{"ecd-1"}}
	begun := rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}}
	accepted := rollout.Record{Kind: rollout.KindEnded, At: at, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}}
	completed, closed := had(events.StatusCompleted, ""), rollout.Record{Kind: rollout.KindClosed, At: at}
	halted := rollout.Record{Kind: rollout.KindHalted, At: at, Reason: &events.Reason{}}
	superseded := rollout.Record{Kind: rollout.KindSuperseded, At: at, Who: "r3/pilot"}
	all := []rollout.Record{opened, wave, begun, accepted, completed, closed}
	for _, c := range []struct {
		name    string
		log     rollout.FleetLog
		journal []rollout.Record
		want    rollout.Ring
	}{
		{"nothing is there", nil, nil, rollout.RingAbsent},
		{"another release is there", rollout.FleetLog{r3}, nil, rollout.RingAbsent},
		{"entered alone", rollout.FleetLog{r2}, nil, rollout.RingUnderWay},
		{"expired", rollout.FleetLog{r2, r3}, nil, rollout.RingExpired},
		{"opened", rollout.FleetLog{r2}, all[:1], rollout.RingUnderWay},
		{"every desktop completed, and it is not closed", rollout.FleetLog{r2}, all[:5], rollout.RingUnderWay},
		{"completed", rollout.FleetLog{r2}, all, rollout.RingCompleted},
		{"on the image already", rollout.FleetLog{r2}, []rollout.Record{opened, wave, had(events.StatusSkipped, events.CodeAlreadyOnImage), closed}, rollout.RingCompleted},
		{"completed, and a newer one is there", rollout.FleetLog{r2, r3}, all, rollout.RingCompleted},
		{"completed, and taken back", rollout.FleetLog{r2, back}, all, rollout.RingBack},
		{"taken back", rollout.FleetLog{r2, back}, all[:3], rollout.RingBack},
		{"nobody is there", rollout.FleetLog{r2}, []rollout.Record{opened, closed}, rollout.RingEmpty},
		{"everybody was refused", rollout.FleetLog{r2}, []rollout.Record{opened, wave, had(events.StatusRefused, ""), closed}, rollout.RingEmpty},
		{"halted", rollout.FleetLog{r2}, []rollout.Record{opened, wave, halted}, rollout.RingHalted},
		{"paused", rollout.FleetLog{r2}, []rollout.Record{opened, wave, told(events.ActionPause)}, rollout.RingPaused},
		{"aborted", rollout.FleetLog{r2}, []rollout.Record{opened, wave, told(events.ActionAbort)}, rollout.RingAborted},
		{"aborted, and ended", rollout.FleetLog{r2}, []rollout.Record{opened, wave, told(events.ActionAbort), closed}, rollout.RingAborted},
		{"superseded, and not told yet", rollout.FleetLog{r2, r3}, all[:3], rollout.RingSuperseded},
		{"superseded, and ended", rollout.FleetLog{r2, r3}, append(all[:5:5], superseded, closed), rollout.RingSuperseded},
	} {
		s := rollout.NewState()
		s.Apply(c.journal...)
		if got := rollout.RingOf(c.log, "r2/pilot", s); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAnApprovalOpensARingForWhatWasToldAlone(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r2/office", Fleet: "office"}})
	if rollout.Allow(s, events.ActionApprove, 0) == nil {
		t.Error("approve is allowed before anything waits")
	}
	s.Apply(rollout.Record{Kind: rollout.KindWaiting, Rings: []string{"pilot: paused"}, Reason: &events.Reason{Code: events.CodeRingAwaited}})
	if err := rollout.Allow(s, events.ActionApprove, 0); err != nil {
		t.Errorf("approve is not allowed: %v", err)
	}
	if rollout.Allow(s, events.ActionApprove, 1) == nil {
		t.Error("approve of wave 1 is allowed before there is one")
	}
	s.Apply(rollout.Record{Kind: rollout.KindControl, Action: events.ActionApprove, Who: "ada"})
	for key, want := range map[string]bool{"pilot: under way": true, "pilot: halted": false, "other: under way": false} {
		if s.Passed[key] != want {
			t.Errorf("%s is passed: %v, want %v", key, s.Passed[key], want)
		}
	}
}
