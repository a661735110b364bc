package fleet_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

func TestProofByUseIsReadWithItsDefaults(t *testing.T) {
	f, err := fleet.Parse("fleets.yaml", one(`check: {use: {least: "30%"}, alarms: [a, {name: b, always: true}, {name: c}]}, snapshot: data, sessions: {idle: 1h}`))
	if err != nil {
		t.Fatal(err)
	}
	s := f[0].Strategy
	if want := (fleet.Use{Least: fleet.Amount{Percent: 30}, Within: 8 * time.Hour, Else: fleet.UseWait}); s.Check.Use != want {
		t.Errorf("use: got %+v, want %+v", s.Check.Use, want)
	}
	if want := []fleet.Alarm{{Name: "a"}, {Name: "b", Always: true}, {Name: "c"}}; !reflect.DeepEqual(s.Check.Alarms, want) {
		t.Errorf("alarms: got %+v, want %+v", s.Check.Alarms, want)
	}
	if s.Snapshot != fleet.SnapshotData || s.Sessions.Idle != time.Hour || s.Sessions.Policy != fleet.Wait {
		t.Errorf("got %+v %+v", s.Snapshot, s.Sessions)
	}
	if d := fleet.Default(); d.Snapshot != fleet.SnapshotNone || d.Sessions.Idle != 0 || !d.Check.Use.Least.IsZero() || d.Check.Alarms != nil {
		t.Errorf("by default something is on: %+v", d)
	}
}

func TestFaultsOfProofByUseSayWhatToDo(t *testing.T) {
	for strategy, want := range map[string]string{
		"sessions: {policy: force, idle: 1h}":               "with the policy force nobody does",
		"sessions: {idle: 30s}":                             "must be 1m to 30d",
		"check: {use: {within: 1h}}":                        "must have the key least",
		"check: {use: {least: 1, within: 8d}}":              "must be 10m to 7d",
		"check: {use: {least: 1, else: hald}}":              "halt",
		"check: {alarms: [a, a]}":                           "the alarm \"a\" is here a second time",
		"check: {alarms: [a, {name: a, always: true}]}":     "is here a second time",
		"check: {alarms: [{name: a, alway: true}]}":         "did you mean always?",
		"snapshot: disk":                                    "data",
		"check: {use: {least: 1, els: wait}, alarms: ['']}": "must be the name of an alarm rule",
	} {
		_, err := fleet.Parse("fleets.yaml", one(strategy))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", strategy, err, want)
		}
	}
}
