package ecd

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/tea"

	"github.com/regild/regild/internal/localcloud/fault"
)

func TestARebuildTakesItsTimeAndLeavesARecord(t *testing.T) {
	for _, c := range []struct {
		name    string
		desktop Desktop
		opts    Options
		after   string // AfterStatus
		at      map[time.Duration]string
		records []string
	}{
		{
			"an ordinary one", Desktop{}, Options{}, "",
			map[time.Duration]string{0: "Rebuilding m-old", 6*time.Minute - 1: "Rebuilding m-old", 6 * time.Minute: "Running m-new"},
			[]string{"1 m-old>m-new at 6m0s"},
		},
		{
			"one that ends stopped", Desktop{Status: Stopped, RebuildTakes: time.Minute}, Options{}, "Stopped",
			map[time.Duration]string{0: "Rebuilding m-old", time.Minute: "Stopped m-new"},
			[]string{"1 m-old>m-new at 1m0s"},
		},
		{
			"one whose image flips early", Desktop{}, Options{FlipEarly: true}, "",
			map[time.Duration]string{0: "Rebuilding m-new", 6 * time.Minute: "Running m-new"},
			[]string{"1 m-old>m-new at 6m0s"},
		},
		{
			"one that DescribeDesktops is late to show", Desktop{}, Options{Lag: 10 * time.Second}, "",
			map[time.Duration]string{0: "Running m-old", 9 * time.Second: "Running m-old", 10 * time.Second: "Rebuilding m-old", 6 * time.Minute: "Running m-new"},
			[]string{"1 m-old>m-new at 6m0s"},
		},
		{
			"one that is shown only when it is over", Desktop{RebuildTakes: time.Minute}, Options{Lag: 2 * time.Minute}, "",
			map[time.Duration]string{0: "Running m-old", time.Minute: "Running m-old", 2 * time.Minute: "Running m-new"},
			[]string{"1 m-old>m-new at 1m0s"},
		},
		{
			"one that fails", Desktop{EndsAs: "fail", Reason: "no stock", Status: Stopped}, Options{FlipEarly: true}, "",
			map[time.Duration]string{0: "Rebuilding m-new", 6 * time.Minute: "Stopped m-old"},
			[]string{"2 m-old>m-new at 6m0s no stock"},
		},
		{
			"one that never ends", Desktop{Sticks: true}, Options{}, "",
			map[time.Duration]string{0: "Rebuilding m-old", 1000 * time.Hour: "Rebuilding m-old"},
			[]string{"0 m-old>m-new at 0s"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.desktop.ID = "ecd-1"
			w := start(t, pair(c.desktop), c.opts)
			request := &sdk.RebuildDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("ecd-1"), ImageId: tea.String("m-new")}
			if c.after != "" {
				request.AfterStatus = &c.after
			}
			if got, err := w.rebuildWith(request); err != nil || got["ecd-1"] != "success" {
				t.Fatalf("rebuild: got %v, %v, want success", got, err)
			}
			for _, at := range slices.Sorted(maps.Keys(c.at)) {
				w.clock.Advance(t0.Add(at).Sub(w.clock.Now()))
				if got := w.shown("ecd-1"); got != c.at[at] {
					t.Errorf("after %s: got %s, want %s", at, got, c.at[at])
				}
			}
			if got := w.records("ecd-1"); !slices.Equal(got, c.records) {
				t.Errorf("records: got %q, want %q", got, c.records)
			}
		})
	}
}

// records calls DescribeImageModifiedRecords.
func (w *world) records(id string) []string {
	w.t.Helper()
	answer, err := w.DescribeImageModifiedRecordsWithContext(w.t.Context(), &sdk.DescribeImageModifiedRecordsRequest{
		RegionId: tea.String("cn-hangzhou"), DesktopId: &id,
	}, runtime())
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range answer.Body.ImageModifiedRecords {
		at, err := time.Parse(time.RFC3339Nano, tea.StringValue(r.UpdateTime))
		if err != nil {
			w.t.Fatal(err)
		}
		s := fmt.Sprintf("%d %s>%s at %s", tea.Int32Value(r.Status), tea.StringValue(r.ImageId), tea.StringValue(r.NewImageId), at.Sub(t0))
		if r.Reason != nil {
			s += " " + tea.StringValue(r.Reason)
		}
		out = append(out, s)
	}
	return out
}

func TestAResetKeepsTheImageAndIsInTheLedger(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}), Options{SuccessCode: "Success"})
	got, err := w.rebuild("", "ecd-1")
	if err != nil || got["ecd-1"] != "Success" {
		t.Fatalf("reset: got %v, %v, want Success", got, err)
	}
	w.clock.Advance(defaultRebuild)
	if got, want := w.shown("ecd-1"), "Running m-old"; got != want {
		t.Errorf("afterwards: got %s, want %s", got, want)
	}
	wipe := w.Wipes()[0]
	if !wipe.Reset || wipe.ImageID != "m-old" || wipe.PreviousImageID != "m-old" || !wipe.At.Equal(t0) || wipe.RequestID == "" {
		t.Errorf("wipe: got %+v", wipe)
	}
}

// What the documentation says a rebuild destroys is in the ledger.
func TestTheLedgerSaysWhatWasDestroyed(t *testing.T) {
	data := []Disk{{"SYSTEM", 80}, {"DATA", 100}}
	for _, c := range []struct {
		name               string
		disks              []Disk
		image, operateType string
		lost               bool
	}{
		{"no data disk, replace", nil, "m-new", "replace", false},
		{"same OS", data, "m-new", "", false},
		{"same OS, replace", data, "m-new", "replace", true},
		{"another OS", data, "m-dev", "", true},
		{"reset", data, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, pair(Desktop{ID: "ecd-1", Disks: c.disks, Sessions: []Session{{User: "ann"}, {User: "bob", Disconnected: true}}}), Options{})
			request := &sdk.RebuildDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("ecd-1"),
				ImageId: tea.String(c.image), OperateType: tea.String(c.operateType)}
			if _, err := w.rebuildWith(request); err != nil {
				t.Fatal(err)
			}
			wipe := w.Wipes()[0]
			if wipe.DataLost != c.lost {
				t.Errorf("data lost: got %v, want %v", wipe.DataLost, c.lost)
			}
			if want := []string{"ann", "bob"}; !slices.Equal(wipe.Users, want) {
				t.Errorf("users cut off: got %q, want %q", wipe.Users, want)
			}
			if d, _ := w.Desktop("ecd-1"); len(d.Sessions) != 0 || d.Connection != Disconnected {
				t.Errorf("sessions outlived the rebuild: %+v", d.Sessions)
			}
		})
	}
}

func TestADesktopThatCannotBeRebuiltNowIsRefusedAlone(t *testing.T) {
	statuses := []string{Running, Stopped, Starting, Stopping, Rebuilding, Pending, Expired, Deleted, Failed, Hibernated}
	var desktops []Desktop
	var ids []string
	want := map[string]string{}
	for _, s := range statuses {
		desktops, ids = append(desktops, Desktop{ID: "ecd-" + s, Status: s}), append(ids, "ecd-"+s)
		want["ecd-"+s] = "IncorrectDesktopStatus"
	}
	want["ecd-Running"], want["ecd-Stopped"] = "success", "success"
	w := start(t, pair(desktops...), Options{Lag: time.Hour})
	if got, err := w.rebuild("m-new", ids...); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	again, err := w.rebuild("m-new", "ecd-Running")
	if err != nil || again["ecd-Running"] != "IncorrectDesktopStatus" {
		t.Errorf("a second rebuild meanwhile: got %v, %v, want IncorrectDesktopStatus", again, err)
	}
	if got := len(w.Wipes()); got != 2 {
		t.Errorf("wipes: got %d, want 2", got)
	}
}

func TestARefusedRebuildCallStartsNothing(t *testing.T) {
	state := pair(
		Desktop{ID: "ecd-%d", Count: 21}, Desktop{ID: "ecd-ghost", Ghost: true},
		Desktop{ID: "ecd-shanghai", RegionID: "cn-shanghai", ImageID: "m-shanghai"},
		Desktop{ID: "ecd-singapore", RegionID: "ap-southeast-1", ImageID: "m-sg"},
	)
	w := start(t, state, Options{})
	many := make([]string, 21)
	for n := range many {
		many[n] = fmt.Sprintf("ecd-%d", n+1)
	}
	valid := func() *sdk.RebuildDesktopsRequest {
		return &sdk.RebuildDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("ecd-1", "ecd-2"), ImageId: tea.String("m-new")}
	}
	for _, c := range []struct {
		name string
		bend func(*sdk.RebuildDesktopsRequest)
		code string
	}{
		{"no region", func(r *sdk.RebuildDesktopsRequest) { r.RegionId = nil }, "MissingRegionId"},
		{"no such region", func(r *sdk.RebuildDesktopsRequest) { r.RegionId = tea.String("cn-atlantis") }, "InvalidRegionId.NotFound"},
		{"another region", func(r *sdk.RebuildDesktopsRequest) { r.RegionId, r.ImageId = tea.String("cn-shanghai"), nil }, "NotFindDesktopId"},
		{"no desktops", func(r *sdk.RebuildDesktopsRequest) { r.DesktopId = nil }, "MissingDesktopId"},
		{"21 desktops", func(r *sdk.RebuildDesktopsRequest) { r.DesktopId = pointers(many...) }, "InvalidParameter.DesktopId"},
		{"an unknown desktop", func(r *sdk.RebuildDesktopsRequest) { r.DesktopId = pointers("ecd-1", "ecd-none") }, "InvalidDesktopId.NotFound"},
		{"a ghost", func(r *sdk.RebuildDesktopsRequest) { r.DesktopId = pointers("ecd-1", "ecd-ghost") }, "InvalidDesktopId.NotFound"},
		{"a desktop elsewhere", func(r *sdk.RebuildDesktopsRequest) { r.DesktopId = pointers("ecd-1", "ecd-shanghai") }, "NotFindDesktopId"},
		{"an unknown image", func(r *sdk.RebuildDesktopsRequest) { r.ImageId = tea.String("m-none") }, "InvalidImageId.NotFound"},
		{"an image elsewhere", func(r *sdk.RebuildDesktopsRequest) { r.ImageId = tea.String("m-shanghai") }, "InvalidImageId.NotFound"},
		{"an image not ready", func(r *sdk.RebuildDesktopsRequest) { r.ImageId = tea.String("m-hatching") }, "IncorrectImageStatus"},
		{"a GPU image", func(r *sdk.RebuildDesktopsRequest) { r.ImageId = tea.String("m-cad") }, "InvalidImageId.GpuMismatch"},
		{"another OS abroad", func(r *sdk.RebuildDesktopsRequest) {
			r.RegionId, r.ImageId, r.DesktopId = tea.String("ap-southeast-1"), tea.String("m-dev-sg"), pointers("ecd-singapore")
		}, "InvalidImageId.OsTypeMismatch"},
		{"an operate type", func(r *sdk.RebuildDesktopsRequest) { r.OperateType = tea.String("rebuild") }, "InvalidParameter.OperateType"},
		{"a language", func(r *sdk.RebuildDesktopsRequest) { r.Language = tea.String("de-DE") }, "InvalidParameter.Language"},
		{"a language for a custom image", func(r *sdk.RebuildDesktopsRequest) { r.Language = tea.String("en-US") }, "InvalidParameter.Language"},
		{"a language for the custom image that is there", func(r *sdk.RebuildDesktopsRequest) { r.Language, r.ImageId = tea.String("en-US"), nil }, "InvalidParameter.Language"},
		{"a language that Linux lacks", func(r *sdk.RebuildDesktopsRequest) {
			r.Language, r.ImageId = tea.String("ja-JP"), tea.String("desktopimage-ubuntu")
		}, "InvalidParameter.Language"},
		{"a status", func(r *sdk.RebuildDesktopsRequest) { r.AfterStatus = tea.String("Flying") }, "InvalidParameter.AfterStatus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := valid()
			c.bend(request)
			if got, err := w.rebuildWith(request); codeOf(err) != c.code {
				t.Errorf("got %v, %v, want %s", got, err, c.code)
			}
		})
	}
	if got := w.Wipes(); len(got) != 0 {
		t.Errorf("wipes: got %+v, want none", got)
	}
	if got, err := w.rebuildWith(valid()); err != nil || got["ecd-1"] != "success" || got["ecd-2"] != "success" {
		t.Errorf("the valid call: got %v, %v", got, err)
	}
}

func TestASystemImageTakesALanguage(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}, Desktop{ID: "ecd-2"}), Options{})
	for id, want := range map[string][2]string{"ecd-1": {"desktopimage-everywhere", "ja-JP"}, "ecd-2": {"desktopimage-ubuntu", "en-US"}} {
		got, err := w.rebuildWith(&sdk.RebuildDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(id),
			ImageId: &want[0], Language: &want[1]})
		if err != nil || got[id] != "success" {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
	}
}

func TestADesktopNamedTwiceInACallIsRebuiltOnce(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}), Options{})
	if _, err := w.rebuild("m-new", "ecd-1", "ecd-1"); err != nil {
		t.Fatal(err)
	}
	if got := len(w.Wipes()); got != 1 {
		t.Errorf("wipes: got %d, want 1", got)
	}
}

func TestASystemImageServesEveryRegionAndAnotherOSTheMainland(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}, Desktop{ID: "ecd-2"}), Options{})
	for id, image := range map[string]string{"ecd-1": "desktopimage-everywhere", "ecd-2": "m-dev"} {
		if got, err := w.rebuild(image, id); err != nil || got[id] != "success" {
			t.Errorf("%s: got %v, %v", image, got, err)
		}
	}
	w.clock.Advance(defaultRebuild)
	if d := w.list("ecd-2")["ecd-2"]; tea.StringValue(d.OsType) != "Linux" || tea.StringValue(d.Platform) != "Ubuntu" {
		t.Errorf("OS after a rebuild to Linux: got %s, %s", tea.StringValue(d.OsType), tea.StringValue(d.Platform))
	}
}

func TestFaultsStrikeSingleDesktops(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-%d", Count: 9}), Options{})
	w.faults.Add(
		fault.Rule{Kind: fault.Desktop, Desktop: "ecd-2", Code: "OperationDenied", Times: 1},
		fault.Rule{Kind: fault.Missing, Desktop: "ecd-5", Times: 1},
		fault.Rule{Kind: fault.Desktop, Times: 1},
	)
	for _, c := range []struct {
		ids  []string
		want map[string]string
	}{
		{[]string{"ecd-1", "ecd-2", "ecd-3"}, map[string]string{"ecd-1": "success", "ecd-2": "OperationDenied", "ecd-3": "success"}},
		{[]string{"ecd-4", "ecd-5", "ecd-6"}, map[string]string{"ecd-4": "success", "ecd-6": "success"}},
		{[]string{"ecd-7", "ecd-8"}, map[string]string{"ecd-7": "IncorrectDesktopStatus", "ecd-8": "IncorrectDesktopStatus"}},
	} {
		if got, err := w.rebuild("m-new", c.ids...); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%v: got %v, %v, want %v", c.ids, got, err, c.want)
		}
	}
	var wiped []string
	for _, wipe := range w.Wipes() {
		wiped = append(wiped, wipe.DesktopID)
	}
	if want := []string{"ecd-1", "ecd-3", "ecd-4", "ecd-5", "ecd-6"}; !slices.Equal(wiped, want) {
		t.Errorf("wiped: got %v, want %v", wiped, want)
	}
}

func TestRecordsComeInPagesAndSurviveInTheState(t *testing.T) {
	var records []Record
	for n := range 25 {
		records = append(records, Record{ImageID: "m-old", NewImageID: "m-new", Status: 1, Updated: t0.Add(time.Duration(n) * time.Second)})
	}
	w := start(t, pair(Desktop{ID: "ecd-1", Records: records}), Options{})
	seen := 0
	request := &sdk.DescribeImageModifiedRecordsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: tea.String("ecd-1")}
	for pages := 1; ; pages++ {
		answer, err := w.DescribeImageModifiedRecordsWithContext(t.Context(), request, runtime())
		if err != nil {
			t.Fatal(err)
		}
		seen += len(answer.Body.ImageModifiedRecords)
		if got := tea.StringValue(answer.Body.ImageModifiedRecords[0].NewImageName); got != "office 2" {
			t.Errorf("name of the new image: got %q", got)
		}
		if tea.StringValue(answer.Body.NextToken) == "" {
			if seen != 25 || pages != 3 || tea.Int32Value(answer.Body.TotalCount) != 25 {
				t.Errorf("got %d records of %d in %d pages", seen, tea.Int32Value(answer.Body.TotalCount), pages)
			}
			return
		}
		request.NextToken = answer.Body.NextToken
	}
}

func TestAHandThatChangesTheStatusCallsTheRebuildOff(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}), Options{Lag: time.Hour})
	if _, err := w.rebuild("m-new", "ecd-1"); err != nil {
		t.Fatal(err)
	}
	if !w.Update("ecd-1", func(d *Desktop) { d.ID, d.Status = "other", Failed }) {
		t.Error("the desktop was not found")
	}
	w.clock.Advance(time.Hour)
	if got, want := w.shown("ecd-1"), "Failed m-old"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if w.Update("ecd-none", func(*Desktop) {}) {
		t.Error("an absent desktop was changed")
	}
}
