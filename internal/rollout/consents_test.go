package rollout_test

import (
	"slices"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A consent counts if the sender gave it through a door that the fleet hears, or, for
// a release, if the fleet gives it; and for nothing else.
func TestWhoseConsentCounts(t *testing.T) {
	request := func(door string, consents ...string) rollout.Operation {
		return rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"}, Consents: consents, Via: &events.Via{Door: door},
			Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace"}}
	}
	release := rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace"}}
	for name, l := range map[string]struct {
		operation rollout.Operation
		fleets    []string // the consents of the fleet
		begun     bool
	}{
		"of a request, through a door that is heard":   {request("queues/admin", events.ConsentDataDisk), nil, true},
		"of a request, through another":                {request("queues/all", events.ConsentDataDisk), nil, false},
		"another one, through a door that is heard":    {request("queues/admin", events.ConsentReset), nil, false},
		"of the fleet, for a release":                  {release, []string{events.ConsentDataDisk}, true},
		"of nobody, for a release":                     {release, nil, false},
		"of the fleet, for a request":                  {request("queues/admin"), []string{events.ConsentDataDisk}, false},
		"of the fleet, for a request with another one": {request("queues/all", events.ConsentDataDisk), []string{events.ConsentDataDisk}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rules, _ := office(0, nil)
			f := &rules.Fleets[0]
			f.Requests, f.ConsentFrom, f.Rebuild.Consent = true, []string{"queues/admin"}, l.fleets
			records := []rollout.Record{{Kind: rollout.KindOpened, At: began, Operation: &l.operation}}
			if !l.operation.Request() {
				records = append(records, rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}})
			}
			x := pc(desktop.Running, "m-old")
			x.DataDisks, x.Tags = 1, map[string]string{}
			facts := seen(x)
			facts.Members["office"] = just([]desktop.Desktop{*x})
			d := decide(fold(records), rules, facts, at(1))
			if got := slices.Contains(d.Begin, "ecd-1"); got != l.begun {
				status, code := statusOf(d)
				t.Fatalf("begun: %t, want %t; %s %s, %+v", got, l.begun, status, code, d.Need)
			}
			if status, code := statusOf(d); !l.begun && (status != events.StatusRefused || code != events.CodeDataDiskNeedsConsent) {
				t.Errorf("got %s %s, want it refused for want of a consent", status, code)
			}
		})
	}
}

// What a fleet wants of a rebuild is asked about before it is begun.
func TestAFleetsRulesReachTheGuards(t *testing.T) {
	for code, l := range map[string]struct {
		release bool
		change  func(*rollout.Rules, *fleet.Fleet)
	}{
		events.CodeOutsideFleet:         {false, func(_ *rollout.Rules, f *fleet.Fleet) { f.Requests = false }},
		events.CodeNeedsTickKey:         {false, func(r *rollout.Rules, f *fleet.Fleet) { r.Journal, f.Strategy.Maintenance = false, true }},
		events.CodeSnapshotsNeedConsent: {true, func(_ *rollout.Rules, f *fleet.Fleet) { f.Rebuild.KeepSnapshots = fleet.KeepAll }},
		events.CodeCheckNeedsWindows:    {true, func(_ *rollout.Rules, f *fleet.Fleet) { f.Strategy.Check.Command = "exit 0" }},
	} {
		t.Run(code, func(t *testing.T) {
			rules, _ := office(0, nil)
			rules.Fleets[0].Requests = true
			l.change(&rules, &rules.Fleets[0])
			op := rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
			records := []rollout.Record{{Kind: rollout.KindOpened, At: began, Operation: &op}}
			if l.release {
				op = rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: op.Spec}
				records = append(records, rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}})
			}
			x := pc(desktop.Running, "m-old")
			x.Tags = map[string]string{}
			facts := seen(x)
			facts.Snapshots["ecd-1"] = just([]desktop.Snapshot{{}})
			if code == events.CodeCheckNeedsWindows {
				x.OS = "linux"
				for id, i := range facts.Images {
					linux := *i.Value
					linux.OS = "linux"
					facts.Images[id] = just(&linux)
				}
			}
			facts.Members["office"] = just([]desktop.Desktop{*x})
			d := decide(fold(records), rules, facts, at(1))
			if status, got := statusOf(d); status != events.StatusRefused || got != code {
				t.Errorf("got %s %s, want refused %s; need %+v", status, got, code, d.Need)
			}
		})
	}
}
