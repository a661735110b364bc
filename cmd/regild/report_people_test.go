package main

import (
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

func TestAReportListsSnapshotsWithTheirAgeAndSize(t *testing.T) {
	s := rollout.NewState()
	s.Apply(
		rollout.Record{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "q", Desktops: []string{"ecd-pc01", "ecd-pc02", "ecd-pc03"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new", OperateType: "replace"}}},
		rollout.Record{Kind: rollout.KindSaving, At: start, Call: "c", N: 1, Desktops: []string{"ecd-pc01", "ecd-pc02", "ecd-pc03"}},
		rollout.Record{Kind: rollout.KindSafe, At: start.Add(time.Minute), N: 1, Desktops: []string{"ecd-pc01"}, Snapshot: "s-1", GiB: 200},
		rollout.Record{Kind: rollout.KindSafe, At: start.Add(time.Minute), N: 1, Desktops: []string{"ecd-pc02"}, Snapshot: "s-2"},
		rollout.Record{Kind: rollout.KindBegun, At: start.Add(2 * time.Minute), Call: "b", Desktops: []string{"ecd-pc01"}, From: []string{"m-old"}},
		rollout.Record{Kind: rollout.KindEnded, At: start.Add(2 * time.Minute), Call: "b", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-pc01"}}}},
	)
	r := reportOf(s, nil)
	r.asOf = start.Add(25 * time.Hour)
	got := strings.Join(r.lines(time.UTC), "\n")
	for _, want := range []string{"regild deletes none. To restore one: stop the desktop, then ResetSnapshot", " s-1  200 GiB, made ", "24h 59m old", " s-2  of unknown size, made "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if r.Desktops[2].Snapshot != nil || r.Desktops[0].Snapshot.ID != "s-1" {
		t.Errorf("got %+v", r.Desktops)
	}
	if o := s.Desktops["ecd-pc01"].Unpublished[0]; o.Snapshot != "s-1" {
		t.Errorf("the outcome has %q, want s-1", o.Snapshot)
	}
}
