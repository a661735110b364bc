package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// ECD refuses to start a desktop that is not stopped, and with it all others of
// the call: whom to start is decided by what it is now.
func TestWhomWeStoppedIsStartedOnceItIsStopped(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	for name, c := range map[string]struct {
		now           *desktop.Desktop
		after         time.Duration
		start, settle bool
	}{
		"still on its way":               {&desktop.Desktop{Status: desktop.Stopping}, time.Minute, false, false},
		"shown as it was before":         {&desktop.Desktop{Status: desktop.Running}, time.Minute, false, false},
		"stopped":                        {&desktop.Desktop{Status: desktop.Stopped}, 2 * time.Minute, true, false},
		"stopped, by a call under way":   {&desktop.Desktop{Status: desktop.Stopped}, time.Minute, false, false},
		"running again without us":       {&desktop.Desktop{Status: desktop.Running}, 10 * time.Minute, false, true},
		"no longer listed, at one look":  {nil, time.Minute, false, false},
		"being rebuilt by somebody else": {&desktop.Desktop{Status: desktop.Rebuilding}, time.Hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := rollout.NewState()
			s.Apply(
				rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m"}}},
				rollout.Record{Kind: rollout.KindStopping, At: at, Desktops: []string{"ecd-1"}},
				rollout.Record{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusFailed, Code: "X", Desktops: []string{"ecd-1"}}}})
			f := rollout.NewFacts()
			f.Desktops["ecd-1"] = just(c.now)
			d := decide(s, rules, f, at.Add(c.after))
			started := slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindStarted })
			if (len(of(d, rollout.Start)) > 0) != c.start || started != c.settle || d.Next.IsZero() {
				t.Errorf("got to start %v, noted as started %t, again at %s; want to start %t, noted %t, and to look again", of(d, rollout.Start), started, d.Next, c.start, c.settle)
			}
		})
	}
}

// What ECD makes of a stopped desktop when a rebuild asks for no status is not
// published.
func TestWhomWeStoppedIsRebuiltToRun(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1", "ecd-2"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m"}}},
		rollout.Record{Kind: rollout.KindStopping, Desktops: []string{"ecd-1"}})
	if got := s.CallSpec("ecd-1").AfterStatus; got != desktop.Running {
		t.Errorf("got status %q after the rebuild of a desktop that we stopped, want Running", got)
	}
	if got := s.CallSpec("ecd-2").AfterStatus; got != "" {
		t.Errorf("got status %q after the rebuild of a desktop that we did not stop, want none asked for", got)
	}
}
