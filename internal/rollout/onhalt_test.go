package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// halted returns a rollout in which a desktop was changed and that halted, with
// further records behind the halt.
func halted(action string, more ...rollout.Record) *rollout.State {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	s := rollout.NewState()
	s.Apply(append([]rollout.Record{
		{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r2/office", Fleet: "office", ReleaseID: "r2",
			Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace", Language: "en-US"}}},
		{Kind: rollout.KindWave, At: at, Wave: 1, Waves: 2, Size: 2, Desktops: []string{"ecd-1"}},
		{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}},
		{Kind: rollout.KindEnded, At: at, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusFailed, Desktops: []string{"ecd-1"}}}},
		{Kind: rollout.KindHalted, At: at, Action: action, Reason: &events.Reason{Code: events.CodeTooManyFailures, Message: "1 has failed"}},
	}, more...)...)
	return s
}

func TestWhoeverActsAfterAHaltKeepsTheRollout(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	told := func(action string) rollout.Record {
		return rollout.Record{Kind: rollout.KindControl, At: at, Action: action, Who: "ada"}
	}
	again := rollout.Record{Kind: rollout.KindHalted, At: at, Action: "rollback", Reason: &events.Reason{Code: events.CodeTooManyFailures}}
	for _, c := range []struct {
		name   string
		action string
		more   []rollout.Record
		want   bool
	}{
		{"it stays", "", nil, false},
		{"it goes back", "rollback", nil, true},
		{"it goes back now", "rollback-now", nil, true},
		{"it has begun to go back", "rollback", []rollout.Record{{Kind: rollout.KindGoingBack, At: at}}, true},
		{"it cannot", "rollback", []rollout.Record{{Kind: rollout.KindStays, At: at, Reason: &events.Reason{}}}, false},
		{"resumed", "rollback", []rollout.Record{told(events.ActionResume)}, false},
		{"retried", "rollback", []rollout.Record{told(events.ActionRetry)}, false},
		{"paused", "rollback", []rollout.Record{told(events.ActionPause)}, false},
		{"aborted", "rollback", []rollout.Record{told(events.ActionAbort)}, false},
		{"superseded", "rollback", []rollout.Record{{Kind: rollout.KindSuperseded, At: at, Who: "r3/office"}}, false},
		{"resumed, and halts again", "rollback", []rollout.Record{told(events.ActionResume), again}, false},
		{"retried, and halts again", "rollback", []rollout.Record{told(events.ActionRetry), again}, false},
	} {
		if got := halted(c.action, c.more...).MayGoBack(); got != c.want {
			t.Errorf("%s: it may go back: %v, want %v", c.name, got, c.want)
		}
	}
}

// Two instances may write in any order: what stopped the rollout before it halted counts
// as well.
func TestAHaltBehindAPauseOrAnAbortDoesNotLeadBack(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, action := range []string{events.ActionPause, events.ActionAbort} {
		s := rollout.NewState()
		s.Apply(rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r2/office", Fleet: "office", ReleaseID: "r2"}},
			rollout.Record{Kind: rollout.KindControl, At: at, Action: action, Who: "ada"},
			rollout.Record{Kind: rollout.KindHalted, At: at, Action: "rollback", Reason: &events.Reason{Code: events.CodeTooManyFailures}})
		if s.MayGoBack() {
			t.Errorf("after %s and a halt it may go back", action)
		}
	}
}

func TestARolloutThatGoesBackTakesNoCommands(t *testing.T) {
	s := halted("rollback", rollout.Record{Kind: rollout.KindGoingBack})
	for _, action := range events.Actions {
		if rollout.Allow(s, action, 0) == nil {
			t.Errorf("%s is allowed, want a refusal that names the rollback", action)
		}
	}
}

func TestGoingBackConsentsToWhatTheFleetSaysAlone(t *testing.T) {
	f := &fleet.Fleet{Name: "office", Rebuild: fleet.Rebuild{Consent: []string{events.ConsentOSChange}}}
	op, err := halted("rollback-now").GoBack(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{events.ConsentDowngrade, events.ConsentOSChange}; !slices.Equal(op.Consents, want) {
		t.Errorf("it consents to %v, want %v", op.Consents, want)
	}
	if op.ID != "r2/office/rollback" || op.Undoes != "r2/office" || !op.AnyTime || op.OperateType != "" || op.Language != "" {
		t.Errorf("got %+v", op)
	}
	if got := op.Back["m-old"]; !slices.Equal(got, []string{"ecd-1"}) {
		t.Errorf("%v go back to m-old, want ecd-1", got)
	}
}

func TestNothingGoesBackIfNothingWasChanged(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r2/office", Fleet: "office"}},
		rollout.Record{Kind: rollout.KindHalted, Action: "rollback", Reason: &events.Reason{Code: events.CodeTooManyFailures}})
	if _, err := s.GoBack(nil); err == nil {
		t.Error("it goes back, want a refusal: no desktop was changed")
	}
}
