package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// then is when everything in the journal happened.
var then = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

// Sizes of the journal that the benchmarks read: what a large customer has after
// a year.
const (
	manyRequests = 10_000
	perRequest   = 5
	manyRollouts = 5
	perRollout   = 20_000
)

// bigJournal writes requests, of which every hundredth is open, and rollouts, of
// which the last is.
func bigJournal(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	write := func(kind, id string, records []rollout.Record) {
		s := rollout.NewState()
		s.Apply(records...)
		if e := s.Ending(); e != nil { // as the function says once it has published the last event
			records = append(records, rollout.Record{Kind: rollout.KindPublished, At: then, Events: []string{id + "/finished"}, Ending: e})
		}
		lines, err := rollout.Encode(records)
		if err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(journal.Key(kind, id)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, lines, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	for n := range manyRequests {
		id := fmt.Sprintf("ticket-%05d", n)
		ids := names(fmt.Sprintf("ecd-r%05d", n), perRequest)
		records := []rollout.Record{{Kind: rollout.KindOpened, At: then, Operation: &rollout.Operation{ID: id, Spec: spec, Desktops: ids}}}
		records = append(records, rebuilt(ids)...)
		if n%100 != 0 {
			records = append(records, rollout.Record{Kind: rollout.KindClosed, At: then, Digest: "sha256:0"})
		}
		write("request", id, records)
	}
	for n := range manyRollouts {
		id := fmt.Sprintf("2026.%d/office", n)
		work := rollout.Operation{ID: id, Fleet: "office", ReleaseID: fmt.Sprintf("2026.%d", n), ImageName: "win11", Spec: spec}
		ids := names("ecd-gx2x1dhsmucyy", perRollout)
		records := []rollout.Record{{Kind: rollout.KindOpened, At: then, Operation: &work},
			{Kind: rollout.KindWave, At: then, Wave: 1, Waves: 1, Name: "everybody", Size: perRollout, Desktops: ids}}
		for from := 0; from < len(ids); from += 20 {
			records = append(records, rebuilt(ids[from:from+20])...)
		}
		if n < manyRollouts-1 {
			records = append(records, rollout.Record{Kind: rollout.KindClosed, At: then, Digest: "sha256:0"})
		}
		write("rollout", id, records)
	}
	return "file://" + filepath.ToSlash(dir)
}

var spec = desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-84mztzatmlnys0001"}

func names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return out
}

// rebuilt are the records of one call that went well.
func rebuilt(ids []string) []rollout.Record {
	from := make([]string, len(ids))
	for i := range from {
		from[i] = "m-84mztzatmlnys0000"
	}
	group := func(s events.Status, code string) []rollout.Group {
		return []rollout.Group{{Status: s, Code: code, Desktops: ids}}
	}
	return []rollout.Record{
		{Kind: rollout.KindBegun, At: then, Call: ids[0], Desktops: ids, From: from},
		{Kind: rollout.KindEnded, At: then, Call: ids[0], RequestID: "1CBAFFAB-B697-4049-A9B1-67E1FC5F0000", Outcomes: group(events.StatusAccepted, "Success")},
		{Kind: rollout.KindPublished, At: then, Outcomes: group(events.StatusAccepted, "")},
		{Kind: rollout.KindSettled, At: then.Add(5 * time.Minute), Outcomes: group(events.StatusCompleted, "Completed")},
		{Kind: rollout.KindPublished, At: then.Add(5 * time.Minute), Outcomes: group(events.StatusCompleted, "")},
	}
}

// BenchmarkOperator measures the operator's command on a large journal in a
// directory, each in a new process: from its start to its end, and the largest
// resident memory.
func BenchmarkOperator(b *testing.B) {
	at := bigJournal(b)
	regild := filepath.Join(b.TempDir(), "regild")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", regild, "github.com/regild/regild/cmd/regild").CombinedOutput(); err != nil {
		b.Fatalf("building the operator's command: %v\n%s", err, out)
	}
	for _, line := range []string{"status", "status --all", "rollout list", "rollout show 2026.4/office", "request show ticket-00001", "version"} {
		b.Run(strings.ReplaceAll(line, " ", "_"), func(b *testing.B) {
			peak, used := 0.0, time.Duration(0)
			for b.Loop() {
				cmd := exec.Command(regild, strings.Fields(line)...)
				cmd.Env = append(os.Environ(), "REGILD_JOURNAL="+at)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
					peak = max(peak, float64(usage.Maxrss)/1024)
				}
			}
			b.ReportMetric(peak, "peak-MiB")
			b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}
