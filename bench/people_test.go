package bench

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"os"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fc"
)

// A fleetRun is what a release over one fleet cost, whose people come and go.
type fleetRun struct {
	calls       map[string]int // to ECD
	all         int            // of them
	invocations int
	journal     int // bytes
	took        time.Duration
}

// runFleet releases an image over a fleet of n desktops under a strategy. Half of them
// are logged on to for 20 minutes every five hours.
func runFleet(t testing.TB, n int, strategy map[string]any) fleetRun {
	t.Helper()
	still := 0.0
	begin := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	var logons []ecd.Logon
	for at := time.Hour; at < 4*24*time.Hour; at += 5 * time.Hour {
		logons = append(logons, ecd.Logon{At: at, User: "user-%d", Stays: 20 * time.Minute})
	}
	state := localcloud.State{Clock: localcloud.Clock{Start: begin, Rate: &still}, State: ecd.State{
		Images: []ecd.Image{
			{ID: oldImage, RegionID: region, Name: "win11-office", Created: begin.AddDate(0, -1, 0)},
			{ID: newImage, RegionID: region, Name: "win11-office", Created: begin.AddDate(0, 0, -1)},
		},
		Desktops: []ecd.Desktop{{ID: "ecd-f%07d", Count: n, RegionID: region, ImageID: oldImage, RebuildTakes: rebuildMinutes,
			Cycle: &ecd.Cycle{Logons: [][]ecd.Logon{logons, {}}}}},
	}}
	file, err := json.Marshal(map[string]any{"fleets": []any{map[string]any{"name": "office", "region": region, "images": []string{"win11-office"},
		"select": "all", "strategy": strategy}}}) // JSON is YAML
	path := filepath.Join(t.TempDir(), "fleets.yaml")
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	main := (&cloud{TB: t, dir: t.TempDir()}).build("main", "github.com/regild/regild")
	out := fleetRun{calls: map[string]int{}}
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{
		State:    state,
		Function: fc.Function{Path: main, Timeout: 280 * time.Second, Env: []string{"REGILD_FLEETS=" + path}},
		Stream: func(o *bridge.Options) {
			o.Observe = func(d bridge.Delivery) {
				if err := d.Result.Err(); err != nil {
					t.Errorf("the function failed: %v", err)
				}
				out.invocations++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	release := fmt.Sprintf(`{"specversion": "1.0", "id": "bench", "source": "bench", "type": "regild.image.published.v1", "data": {"releaseId": "r", "images": {%q: %q}}}`, region, newImage)
	if _, err := cloud.MNS.Send(localcloud.RequestQueue, []byte(release), 0); err != nil {
		t.Fatal(err)
	}
	if err := cloud.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(cloud.ECD.Wipes()); got != n {
		t.Errorf("%d desktops were rebuilt, want %d", got, n)
	}
	for what, count := range cloud.Faults.Calls() {
		if what[0] == "ecd" {
			out.calls[what[1]] = count
			out.all += count
		}
	}
	for _, key := range cloud.OSS.Keys(localcloud.JournalBucket) {
		object, _ := cloud.OSS.Object(localcloud.JournalBucket, key)
		out.journal += len(object)
	}
	out.took = cloud.Clock.Now().Sub(begin)
	return out
}

// office is a strategy with further keys.
func office(further map[string]any) map[string]any {
	out := map[string]any{"approval": "none", "maxUnavailable": "25%", "sessions": map[string]any{"policy": "wait", "deadline": "24h"}}
	for key, value := range further {
		out[key] = value
	}
	return out
}

var (
	withNotice = map[string]any{"lead": "2h"}
	withUse    = map[string]any{"use": map[string]any{"least": "30%", "within": "8h", "failed": "20%"}}
)

// further are the calls that only notice and proof by use make.
func (r fleetRun) further() (n int) {
	for _, name := range []string{"RunCommand", "DescribeInvocations", "DescribeDesktopSessions", "DescribeClientEvents"} {
		n += r.calls[name]
	}
	return n
}

// Notice and proof by use together cost at most a tenth of a call to ECD for each
// desktop; each reminder a fiftieth more.
func TestNoticeAndUseCostAtMostATenthOfACallADesktop(t *testing.T) {
	const n, most = 400, 0.1
	r := runFleet(t, n, office(map[string]any{"notice": withNotice, "check": withUse}))
	if each := float64(r.further()) / n; each > most || r.further() < 3*n/100 {
		t.Errorf("notice and use cost %.3f further calls a desktop (%v), want %.2f at most", each, r.calls, most)
	}
}

// BenchmarkPeople measures what it costs to tell people and to have use prove a wave.
func BenchmarkPeople(b *testing.B) {
	for name, further := range map[string]map[string]any{
		"nothing": nil, "notice": {"notice": withNotice}, "use": {"check": withUse}, "both": {"notice": withNotice, "check": withUse},
	} {
		b.Run(name, func(b *testing.B) {
			const n = 1000
			for b.Loop() {
				r := runFleet(b, n, office(further))
				b.ReportMetric(float64(r.further())/n, "further/desktop")
				b.ReportMetric(float64(r.all)/n, "ecd/desktop")
				b.ReportMetric(float64(r.invocations), "invocations")
				b.ReportMetric(float64(r.journal)/n, "journal-B/desktop")
				b.ReportMetric(r.took.Hours(), "cloud-hours")
			}
		})
	}
}
