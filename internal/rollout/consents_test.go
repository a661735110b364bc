package rollout_test

import (
	"slices"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
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
