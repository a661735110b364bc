package simulation

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// What is read without decoding it is what decoding gives.
func TestAQuickHeadIsTheHead(t *testing.T) {
	at := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	tick := events.Tick{Kind: events.TickRequest, ID: "r1", N: 12}.Event("acs:fc", at)
	outcome := events.Outcome{RequestID: `r"1`, DesktopID: "ecd-0001", Status: events.StatusAccepted, Code: "Success", Message: `,"id":"no"`}.Event("acs:fc", at)
	plain := events.Outcome{RequestID: "r1", DesktopID: "ecd-0001", Status: events.StatusFailed, Message: `{"type":"no"}}`}.Event("acs:fc", at)
	dry := events.Outcome{RequestID: "r1", DesktopID: "ecd-0001", ImageID: "m-new", PreviousImageID: "m-old", Status: events.StatusSkipped, Code: "AlreadyOnImage",
		DryRun: true, Via: &events.Via{RequestID: "r0", Message: "m1"}}.Event("acs:fc", at)
	for name, e := range map[string]events.Event{"a tick": tick, "an id with an escape": outcome, "an outcome": plain, "an outcome of a dry run": dry} {
		body, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var want head
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := quickHead(body)
		var quick, full telling
		if err := json.Unmarshal(want.Data, &full.outcome); e.Type == events.TypeOutcome && quick.quickOutcome(want.Data) && (err != nil || quick.outcome != full.outcome) {
			t.Errorf("%s: got %+v, want %+v (%v)", name, quick.outcome, full.outcome, err)
		}
		if escaped := name == "an id with an escape"; ok == escaped {
			t.Errorf("%s: is read quickly: %t", name, ok)
		} else if ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if body, _ := tick.Marshal(); headOf(body).tick != 12 {
		t.Errorf("the tick has the number %d, want 12", headOf(body).tick)
	}
	if _, ok := quickHead([]byte(`{"requestId":"r1","data":{}}`)); ok {
		t.Error("a bare request is taken for an event of the function")
	}
}

func TestAQuickSummaryIsTheSummary(t *testing.T) {
	at := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	for _, id := range []string{"r1", `r"1`} {
		body, err := events.Finished{RequestID: id, AccountID: "2", RegionID: "cn-hangzhou", Desktops: 12, Statuses: map[events.Status]int{events.StatusFailed: 3}, Digest: "sha256:7",
			StartedAt: at, FinishedAt: at, Via: &events.Via{RequestID: "r0"}}.Event("acs:fc").Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var h head
		var got, want telling
		if err := errors.Join(json.Unmarshal(body, &h), json.Unmarshal(h.Data, &want.finished)); err != nil {
			t.Fatal(err)
		}
		if quick := got.quickFinished(h.Data); quick != (id == "r1") || quick && got.finished != want.finished {
			t.Errorf("%s: got %+v, %t, want %+v", id, got.finished, quick, want.finished)
		}
	}
}

func TestAQuickRecordIsTheRecord(t *testing.T) {
	at := time.Date(2026, 11, 29, 8, 0, 0, 7, time.UTC)
	all := []rollout.Record{
		{Kind: rollout.KindBegun, At: at, By: "i1", Call: "c1", Desktops: []string{"ecd-0001", "ecd-0002"}, From: []string{"m-old", ""}},
		{Kind: rollout.KindEnded, At: at, By: "i1", Call: "c1", RequestID: "q", Outcomes: []rollout.Group{
			{Status: events.StatusAccepted, Code: "Success", Desktops: []string{"ecd-0001"}},
			{Status: events.StatusDeferred, Code: "Throttled", Message: "status: [code] {desktops}", Until: at, Desktops: []string{"ecd-0002", "ecd-0003"}}}},
		{Kind: rollout.KindSettled, At: at, By: "i1", Outcomes: []rollout.Group{{Status: events.StatusFailed, Code: "RebuildFailed", N: 2, Desktops: []string{"ecd-0001"}}}},
		{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusFailed, Message: `"desktops":["no"]`, Desktops: []string{"ecd-0001"}}}},
		{Kind: rollout.KindWaiting, At: at, By: `a "name"`, Reason: &events.Reason{Code: "StatusWait"}},
		{Kind: rollout.KindClosed, At: at, Digest: "d"},
	}
	lines, err := rollout.Encode(all)
	if err != nil {
		t.Fatal(err)
	}
	quick := 0
	for line := range bytes.Lines(lines) {
		var got, want record
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		if got.quick(line) {
			quick++
		} else {
			got = decodeRecords(line)[0]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", line, got, want)
		}
	}
	if quick != 4 {
		t.Errorf("%d lines are read quickly, want 4", quick)
	}
}

func TestOfTicksOnlyTheNumberIsReadAndOfWhatIsPublishedNothing(t *testing.T) {
	lines, err := rollout.Encode([]rollout.Record{
		{Kind: rollout.KindTick, N: 7, By: `a "name"`, Until: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)}, {Kind: rollout.KindPublished, By: "i1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := decodeRecords(lines)
	if want := []record{{Kind: "tick", N: 7}, {Kind: "published"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhatMNSTakesIsWhatXMLCarries(t *testing.T) {
	for body, want := range map[string]bool{
		"": true, "plain text of more than eight bytes\r\n\t": true, "Ünïcode is fine, 中文 too": true, "\x7f and \u0080": true,
		"1234567\x00": false, "12345678\x1f": false, "\x01": false, "12345678\ufffe": false, "123456789\uffff": false,
		strings.Repeat("x", 64<<10): true, strings.Repeat("x", 64<<10+1): false,
	} {
		if got := takes([]byte(body)); got != want {
			t.Errorf("%.20q: got %t, want %t", body, got, want)
		}
	}
}
