package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares lines with a file in testdata.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// nobody is an environment without variables.
func nobody(string) (string, bool) { return "", false }

// runRegild runs regild and returns what it wrote and its exit code.
func runRegild(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), world{out: &o, err: &e, in: strings.NewReader(""), lookup: nobody}, args)
	return o.String(), e.String(), code
}

// start is when everything in these tests begins: a Monday, 19:00 in Hangzhou.
var start = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

var hangzhou = time.FixedZone("CST", 8*3600)

func after(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// office is the fleet of the show.
func office(t *testing.T) fleet.Fleets {
	t.Helper()
	fleets, err := readFleets("show/fleets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return fleets
}

// records tell of a rollout over six desktops, of which the canary has ended and
// the second wave is under way.
func records() []rollout.Record {
	until := after(60)
	op := rollout.Operation{ID: "2026.11.3/office", Fleet: "office", ReleaseID: "2026.11.3", ImageName: "win11-office",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	return []rollout.Record{
		{Kind: rollout.KindOpened, At: start, Operation: &op},
		{Kind: rollout.KindWave, At: start, Wave: 1, Waves: 3, Name: "canary", Size: 8, Desktops: []string{"ecd-a001"}},
		{Kind: rollout.KindWaiting, At: start, Reason: &events.Reason{Code: events.CodeWindowClosed, Message: "the maintenance window is closed", Until: &until}},
		{Kind: rollout.KindControl, At: after(10), Action: events.ActionPause, Who: "ann", Message: "c1", Reason: &events.Reason{Message: "lunch"}},
		{Kind: rollout.KindControl, At: after(20), Action: events.ActionResume, Who: "ann", Message: "c2", Reason: &events.Reason{Message: "back"}},
		{Kind: rollout.KindBegun, At: after(60), Call: "1", Desktops: []string{"ecd-a001"}, From: []string{"m-old"}},
		ended(after(60), "1", events.StatusAccepted, "Success", "", "ecd-a001"),
		ended(after(72), "", events.StatusCompleted, "Completed", "", "ecd-a001"),
		{Kind: rollout.KindWaveEnded, At: after(72), Wave: 1},
		{Kind: rollout.KindWave, At: after(102), Wave: 2, Waves: 3, Name: "wave 2", Size: 8, Desktops: []string{"ecd-b001", "ecd-b002", "ecd-b003", "ecd-b004", "ecd-b005"}},
		{Kind: rollout.KindBegun, At: after(102), Call: "2", Desktops: []string{"ecd-b001", "ecd-b002"}, From: []string{"m-old", "m-old"}},
		ended(after(102), "2", events.StatusAccepted, "Success", "", "ecd-b001", "ecd-b002"),
		ended(after(103), "", events.StatusDeferred, events.CodeSessionWait, "somebody is using desktop ecd-b003", "ecd-b003"),
		ended(after(103), "", events.StatusSkipped, events.CodeAlreadyOnImage, "desktop ecd-b004 is on m-new already", "ecd-b004"),
		ended(after(110), "", events.StatusFailed, events.CodeRebuildFailed, "ECD records that the rebuild failed", "ecd-b002"),
	}
}

// ended is the end of a call, or an outcome by the facts where no call is named.
func ended(at time.Time, call string, status events.Status, code, message string, ids ...string) rollout.Record {
	kind := rollout.KindEnded
	if call == "" {
		kind = rollout.KindSettled
	}
	return rollout.Record{Kind: kind, At: at, Call: call, Outcomes: []rollout.Group{{Status: status, Code: code, Message: message, Desktops: ids}}}
}

// stateOf folds records.
func stateOf(records []rollout.Record) *rollout.State {
	s := rollout.NewState()
	s.Apply(records...)
	return s
}

// asked is a request for some desktops, of which nothing is known yet.
func asked(id string, ids ...string) []rollout.Record {
	return []rollout.Record{{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: id, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}, Desktops: ids}}}
}

func reasonOf(code, message string, until *time.Time) *events.Reason {
	return &events.Reason{Code: code, Message: message, Until: until}
}
