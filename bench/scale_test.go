package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fc"
)

// fleetSize is how many desktops each simulated fleet has.
const fleetSize = 10_000

// What a simulated release waits for, in cloud time.
const (
	rebuildMinutes = 6 * time.Minute // of every desktop
	soak           = 30 * time.Minute
	stable         = 5 * time.Minute
)

// simulation is a release over some fleets in the local cloud, whose clock moves
// from tick to tick, and what it cost.
type simulation struct {
	testing.TB
	fleets int
	cloud  *localcloud.Cloud
	before map[[2]string]int

	invocations, mostCalls int
	busy, longest          time.Duration // real time of the function
	events                 int           // messages delivered to it
}

// simulate releases an image over fleets of fleetSize desktops each, and stops
// the test unless every desktop was rebuilt exactly once.
func simulate(t testing.TB, fleets int, bytag bool) *simulation {
	t.Helper()
	s := &simulation{TB: t, fleets: fleets, before: map[[2]string]int{}}
	s.start(bytag)
	release, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": "bench", "source": "bench", "type": "regild.image.published.v1", "datacontenttype": "application/json",
		"data": map[string]any{"releaseId": "2026.11.3", "images": map[string]string{region: newImage}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.cloud.MNS.Send(localcloud.RequestQueue, release, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.cloud.Idle(context.Background()); err != nil {
		t.Fatal(err)
	}
	rebuilt := map[string]int{}
	for _, w := range s.cloud.ECD.Wipes() {
		rebuilt[w.DesktopID]++
	}
	for id, n := range rebuilt {
		if n != 1 {
			t.Errorf("%s was rebuilt %d times", id, n)
		}
	}
	if want := fleets * fleetSize; len(rebuilt) != want {
		t.Errorf("%d desktops were rebuilt, want %d", len(rebuilt), want)
	}
	return s
}

func (s *simulation) start(bytag bool) {
	s.Helper()
	still := 0.0
	begin := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	state := localcloud.State{Clock: localcloud.Clock{Start: begin, Rate: &still}, State: ecd.State{Images: []ecd.Image{
		{ID: oldImage, RegionID: region, Name: "win11-office", Created: begin.AddDate(0, -1, 0)},
		{ID: newImage, RegionID: region, Name: "win11-office", Created: begin.AddDate(0, 0, -1)},
	}}}
	var declared []map[string]any
	for f := range s.fleets {
		name := fmt.Sprintf("fleet%02d", f)
		site := region + "+dir-" + name
		state.Desktops = append(state.Desktops, ecd.Desktop{ID: fmt.Sprintf("ecd-f%02dx%%07d", f), Count: fleetSize, RegionID: region,
			ImageID: oldImage, OfficeSiteID: site, Tags: map[string]string{"fleet": name}, RebuildTakes: rebuildMinutes})
		who := map[string]any{"officeSiteIds": []string{site}}
		if bytag {
			who = map[string]any{"tags": map[string]string{"fleet": name}}
		}
		declared = append(declared, map[string]any{"name": name, "region": region, "images": []string{"win11-office"}, "select": who,
			"strategy": map[string]any{"approval": "none"}}) // by default the first release waits for somebody
	}
	file, err := json.Marshal(map[string]any{"fleets": declared}) // JSON is YAML
	path := filepath.Join(s.TempDir(), "fleets.yaml")
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	main := (&cloud{TB: s, dir: s.TempDir()}).build("main", "github.com/regild/regild")
	s.cloud, err = localcloud.Start(context.Background(), localcloud.Options{
		State:    state,
		Function: fc.Function{Path: main, Timeout: 280 * time.Second, Env: []string{"REGILD_FLEETS=" + path}},
		Stream:   func(o *bridge.Options) { o.Observe = s.observe },
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := s.cloud.Close(); err != nil {
			s.Error(err)
		}
	})
}

// observe sums up one delivery. With one worker there is one at a time.
func (s *simulation) observe(d bridge.Delivery) {
	if err := d.Result.Err(); err != nil {
		s.Errorf("the function failed: %v", err)
	}
	s.invocations++
	s.events += len(d.MessageIDs)
	s.busy += d.Result.Duration
	s.longest = max(s.longest, d.Result.Duration)
	now := s.cloud.Faults.Calls()
	calls := 0
	for what, n := range now {
		if what[0] == "ecd" {
			calls += n - s.before[what]
		}
	}
	s.before = now
	s.mostCalls = max(s.mostCalls, calls)
}

// took is the cloud time from the release to the last thing that was told.
func (s *simulation) took() time.Duration {
	all := s.cloud.MNS.Published(localcloud.ResultTopic)
	return all[len(all)-1].Time.Sub(all[0].Time)
}

// bound is the least cloud time that the strategy of a fleet leaves: by default
// waves of 1, 10%, 50% and all, 10% of the fleet at once, each in full rounds,
// each wave checked for stability, and a soak after all but the last.
func bound() time.Duration {
	at, rounds, waves := 0, 0, []int{1, fleetSize / 10, fleetSize / 2, fleetSize}
	for _, end := range waves {
		rounds += (end - at + fleetSize/10 - 1) / (fleetSize / 10)
		at = end
	}
	return time.Duration(rounds)*(rebuildMinutes+stable) + time.Duration(len(waves)-1)*soak
}

// BenchmarkRollout measures a release over whole fleets in cloud time.
func BenchmarkRollout(b *testing.B) {
	for _, k := range []struct {
		fleets int
		bytag  bool
	}{{1, false}, {1, true}, {10, false}} {
		b.Run(fmt.Sprintf("by-tag=%v/desktops=%d", k.bytag, k.fleets*fleetSize), func(b *testing.B) {
			for b.Loop() {
				simulate(b, k.fleets, k.bytag).report(b)
			}
		})
	}
}

func (s *simulation) report(b *testing.B) {
	s.Helper()
	n := float64(s.fleets * fleetSize)
	calls := s.cloud.Faults.Calls()
	for _, what := range slices.SortedFunc(maps.Keys(calls), func(a, b [2]string) int { return strings.Compare(a[1], b[1]) }) {
		b.ReportMetric(float64(calls[what]), what[0]+"-"+what[1])
	}
	journal := 0
	for _, key := range s.cloud.OSS.Keys(localcloud.JournalBucket) {
		data, _ := s.cloud.OSS.Object(localcloud.JournalBucket, key)
		journal += len(data)
	}
	if err := s.cloud.Close(); err != nil {
		s.Fatal(err)
	}
	i := s.cloud.FC.Instances()[0]
	b.ReportMetric(float64(journal)/n, "journal-B/desktop")
	b.ReportMetric(float64(s.invocations), "invocations")
	b.ReportMetric(float64(s.events), "delivered")
	b.ReportMetric(float64(s.mostCalls), "most-ecd-calls")
	b.ReportMetric(s.busy.Seconds(), "function-s")
	b.ReportMetric(s.longest.Seconds(), "longest-s")
	b.ReportMetric(i.CPU.Seconds(), "cpu-s")
	b.ReportMetric(float64(i.CPU.Microseconds())/n, "cpu-µs/desktop")
	b.ReportMetric(float64(i.PeakRSS)/(1<<20), "peak-MiB")
	b.ReportMetric(s.took().Minutes(), "cloud-min")
	b.ReportMetric(float64(s.took())/float64(bound()), "x-bound")
	b.ReportMetric(0, "ns/op")
}
