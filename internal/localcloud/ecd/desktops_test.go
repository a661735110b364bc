package ecd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/tea"
)

// describe calls DescribeDesktops and returns the ids of its answer.
func (w *world) describe(bend func(*sdk.DescribeDesktopsRequest)) ([]string, *sdk.DescribeDesktopsResponseBody, error) {
	request := &sdk.DescribeDesktopsRequest{RegionId: tea.String("cn-hangzhou")}
	bend(request)
	answer, err := w.DescribeDesktopsWithContext(w.t.Context(), request, runtime())
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, d := range answer.Body.Desktops {
		ids = append(ids, tea.StringValue(d.DesktopId))
	}
	return ids, answer.Body, nil
}

func TestDescribeDesktopsFilters(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Name: "alpha", EndUsers: []string{"ann", "bob"}, Tags: map[string]string{"ring": "canary", "x": ""}},
		Desktop{ID: "b", Status: Stopped, OS: "linux", ImageID: "m-dev", Tags: map[string]string{"ring": "broad"}, EndUsers: []string{"bob"}},
		Desktop{ID: "c", OfficeSiteID: "site", PolicyGroupID: "policy", ResourceGroupID: "rg", Protocol: "HDX", Flags: []string{"Updating"}},
		Desktop{ID: "d", GroupID: "dg-1"},
		Desktop{ID: "e", GroupID: "dg-2"},
		Desktop{ID: "f", GPU: 1, Type: "eds.graphics", ChargeType: "PrePaid"},
		Desktop{ID: "s", RegionID: "cn-shanghai", ImageID: "m-shanghai"},
	), Options{})
	s, b := tea.String, tea.Bool
	for _, c := range []struct {
		name string
		bend func(*sdk.DescribeDesktopsRequest)
		want string
	}{
		{"nothing: pooled ones are hidden", func(*sdk.DescribeDesktopsRequest) {}, "a b c f"},
		{"pooled shown", func(r *sdk.DescribeDesktopsRequest) { r.FilterDesktopGroup = b(false) }, "a b c d e f"},
		{"only pooled", func(r *sdk.DescribeDesktopsRequest) { r.OnlyDesktopGroup = b(true) }, "d e"},
		{"one group", func(r *sdk.DescribeDesktopsRequest) { r.DesktopGroupId = s("dg-2") }, "e"},
		{"ids", func(r *sdk.DescribeDesktopsRequest) { r.DesktopId = pointers("c", "a", "none", "a", "s") }, "a c"},
		{"pooled by id", func(r *sdk.DescribeDesktopsRequest) { r.DesktopId = pointers("d") }, ""},
		{"status", func(r *sdk.DescribeDesktopsRequest) { r.DesktopStatus = s("Stopped") }, "b"},
		{"statuses", func(r *sdk.DescribeDesktopsRequest) { r.DesktopStatusList = pointers("Stopped", "Running") }, "a b c f"},
		{"images", func(r *sdk.DescribeDesktopsRequest) { r.ImageId = pointers("m-dev", "m-none") }, "b"},
		{"office site", func(r *sdk.DescribeDesktopsRequest) { r.OfficeSiteId = s("site") }, "c"},
		{"directory", func(r *sdk.DescribeDesktopsRequest) { r.DirectoryId = s("site") }, "c"},
		{"policy", func(r *sdk.DescribeDesktopsRequest) { r.PolicyGroupId = s("policy") }, "c"},
		{"resource group", func(r *sdk.DescribeDesktopsRequest) { r.ResourceGroupId = s("rg") }, "c"},
		{"protocol", func(r *sdk.DescribeDesktopsRequest) { r.ProtocolType = s("HDX") }, "c"},
		{"flag", func(r *sdk.DescribeDesktopsRequest) { r.ManagementFlag = s("Updating") }, "c"},
		{"no flag", func(r *sdk.DescribeDesktopsRequest) { r.ManagementFlag = s("NoFlag") }, "a b f"},
		{"name", func(r *sdk.DescribeDesktopsRequest) { r.DesktopName = s("alpha") }, "a"},
		{"type", func(r *sdk.DescribeDesktopsRequest) { r.DesktopType = s("eds.graphics") }, "f"},
		{"charge", func(r *sdk.DescribeDesktopsRequest) { r.ChargeType = s("PrePaid") }, "f"},
		{"users", func(r *sdk.DescribeDesktopsRequest) { r.EndUserId = pointers("ann", "bob") }, "a b"},
		{"not these users", func(r *sdk.DescribeDesktopsRequest) { r.ExcludedEndUserId = pointers("ann") }, "b c f"},
		{"OS", func(r *sdk.DescribeDesktopsRequest) { r.OsTypes = pointers("Linux") }, "b"},
		{"tag", func(r *sdk.DescribeDesktopsRequest) {
			r.Tag = []*sdk.DescribeDesktopsRequestTag{{Key: s("ring"), Value: s("canary")}}
		}, "a"},
		{"tag of any value", func(r *sdk.DescribeDesktopsRequest) { r.Tag = []*sdk.DescribeDesktopsRequestTag{{Key: s("ring")}} }, "a b"},
		{"two tags", func(r *sdk.DescribeDesktopsRequest) {
			r.Tag = []*sdk.DescribeDesktopsRequestTag{{Key: s("ring"), Value: s("broad")}, {Key: s("x")}}
		}, ""},
		{"another region", func(r *sdk.DescribeDesktopsRequest) { r.RegionId = s("cn-shanghai") }, "s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, body, err := w.describe(c.bend)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(ids, " "); got != c.want || int(tea.Int32Value(body.TotalCount)) != len(ids) {
				t.Errorf("got %q of %d, want %q", got, tea.Int32Value(body.TotalCount), c.want)
			}
		})
	}
}

func TestDescribeDesktopsRefusesWhatIsOutOfBounds(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a"}), Options{})
	s := tea.String
	for _, c := range []struct {
		name string
		bend func(*sdk.DescribeDesktopsRequest)
		code string
	}{
		{"no region", func(r *sdk.DescribeDesktopsRequest) { r.RegionId = nil }, "MissingRegionId"},
		{"page of 101", func(r *sdk.DescribeDesktopsRequest) { r.MaxResults = tea.Int32(101) }, "InvalidParameter.MaxResults"},
		{"page of none", func(r *sdk.DescribeDesktopsRequest) { r.MaxResults = tea.Int32(0) }, "InvalidParameter.MaxResults"},
		{"foreign token", func(r *sdk.DescribeDesktopsRequest) { r.NextToken = s("RGVzY3JpYmVJbWFnZXMgMQ") }, "InvalidParameter.NextToken"},
		{"no token at all", func(r *sdk.DescribeDesktopsRequest) { r.NextToken = s("!") }, "InvalidParameter.NextToken"},
		{"101 ids", func(r *sdk.DescribeDesktopsRequest) { r.DesktopId = pointers(slices.Repeat([]string{"a"}, 101)...) }, "InvalidParameter.DesktopId"},
		{"page size", func(r *sdk.DescribeDesktopsRequest) { r.PageSize = tea.Int32(1000) }, "InvalidParameter.PageSize"},
		{"page number", func(r *sdk.DescribeDesktopsRequest) { r.PageNumber = tea.Int32(0) }, "InvalidParameter.PageNumber"},
		{"protocol", func(r *sdk.DescribeDesktopsRequest) { r.ProtocolType = s("RDP") }, "InvalidParameter.ProtocolType"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := w.describe(c.bend); codeOf(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}

func TestPagesMissNothingWhenDesktopsGoMeanwhile(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-%02d", Count: 25}), Options{})
	seen := map[string]bool{}
	token := ""
	for page := 1; ; page++ {
		ids, body, err := w.describe(func(r *sdk.DescribeDesktopsRequest) {
			if token != "" {
				r.NextToken = &token
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			seen[id] = true
		}
		w.Remove(fmt.Sprintf("ecd-%02d", page))
		if token = tea.StringValue(body.NextToken); token == "" {
			break
		}
	}
	if len(seen) != 25 {
		t.Errorf("seen: got %d desktops, want 25", len(seen))
	}
}

func TestNumberedPages(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-%02d", Count: 25}), Options{})
	for number, want := range map[int32]int{1: 20, 2: 5, 3: 0} {
		ids, body, err := w.describe(func(r *sdk.DescribeDesktopsRequest) { r.PageNumber, r.PageSize = &number, tea.Int32(20) })
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) != want || tea.Int32Value(body.TotalCount) != 25 || tea.StringValue(body.NextToken) != "" {
			t.Errorf("page %d: got %d of %d, want %d of 25", number, len(ids), tea.Int32Value(body.TotalCount), want)
		}
	}
}

// The wire itself, since the SDK's decoder forgives what other clients do not.
func TestADesktopIsWrittenWithTheServicesQuirks(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Tags: map[string]string{"ring": "canary"}, Created: t0, Started: t0, Expires: t0,
			Sessions: []Session{{User: "ann"}}, Disks: []Disk{{"SYSTEM", 80}, {"DATA", 100}}},
		Desktop{ID: "b", GPU: 2, GroupID: "dg-1", OS: "linux", Status: Stopped},
	), Options{})
	call := describeRegions()
	call.params["Action"], call.params["RegionId"], call.params["FilterDesktopGroup"] = "DescribeDesktops", "cn-hangzhou", "false"
	_, body := call.do(t, w.url)
	desktops := body["Desktops"].([]any)
	for n, want := range []map[string]string{
		{
			"DesktopStatus": `"Running"`, "ConnectionStatus": `"Connected"`, "OsType": `"Windows"`, "GpuCategory": "0", "GpuCount": "0",
			"DesktopGroupId": "null", "Tags": "[]", "ManagementFlags": `["NoFlag"]`, "EndUserIds": "[]",
			"CreationTime": `"2026-11-23T08:00Z"`, "StandardStartTime": `"2026-11-23T08:00:00Z"`, "ExpiredTime": `"2026-11-23T08:00Z"`,
			"Disks":    `[{"DiskId":"d-a-1","DiskSize":80,"DiskType":"SYSTEM"},{"DiskId":"d-a-2","DiskSize":100,"DiskType":"DATA"}]`,
			"Sessions": `[{"EndUserId":"ann","EstablishmentTime":"2026-11-23T08:00Z","ExternalUserName":"ann"}]`,
		},
		{"DesktopStatus": `"Stopped"`, "OsType": `"Linux"`, "GpuCategory": "1", "GpuCount": "2", "DesktopGroupId": `"dg-1"`, "Sessions": "[]", "SystemDiskSize": "null"},
	} {
		for field, value := range want {
			got, err := json.Marshal(desktops[n].(map[string]any)[field])
			if err != nil || string(got) != value {
				t.Errorf("desktop %d, %s: got %s, want %s", n, field, got, value)
			}
		}
	}
	if _, there := desktops[0].(map[string]any)["DesktopGroupId"]; !there {
		t.Error("DesktopGroupId is absent where it should be null")
	}
}

func TestSessionsEndAndUsersComeBackOnTheClock(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a", EndUsers: []string{"ann"}, Sessions: []Session{{User: "ann"}}, Leaves: time.Minute, Returns: 2 * time.Minute}), Options{})
	for _, want := range []string{Connected, Disconnected, Connected} {
		if got := tea.StringValue(w.list("a")["a"].ConnectionStatus); got != want {
			t.Errorf("at %s: got %s, want %s", w.clock.Now(), got, want)
		}
		w.clock.Advance(time.Minute)
	}
}

func TestDescribeImages(t *testing.T) {
	w := start(t, pair(), Options{})
	s := tea.String
	for _, c := range []struct {
		name string
		bend func(*sdk.DescribeImagesRequest)
		want string
	}{
		{"all of a region", func(*sdk.DescribeImagesRequest) {}, "m-old m-new m-cad m-dev m-hatching m-spoilt desktopimage-everywhere desktopimage-ubuntu"},
		{"ids", func(r *sdk.DescribeImagesRequest) { r.ImageId = pointers("m-new", "m-none", "m-shanghai") }, "m-new"},
		{"kind", func(r *sdk.DescribeImagesRequest) { r.ImageType = s("SYSTEM") }, "desktopimage-everywhere desktopimage-ubuntu"},
		{"status", func(r *sdk.DescribeImagesRequest) { r.ImageStatus = s("Creating") }, "m-hatching m-spoilt"},
		{"name", func(r *sdk.DescribeImagesRequest) { r.ImageName = s("office 2") }, "m-new"},
		{"OS", func(r *sdk.DescribeImagesRequest) { r.OsType = s("Linux") }, "m-dev desktopimage-ubuntu"},
		{"GPU", func(r *sdk.DescribeImagesRequest) { r.GpuCategory = tea.Bool(true) }, "m-cad"},
		{"instance type", func(r *sdk.DescribeImagesRequest) { r.DesktopInstanceType = s("eds.graphics.x") }, "m-cad"},
		{"language", func(r *sdk.DescribeImagesRequest) { r.LanguageType = s("ja-JP") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := &sdk.DescribeImagesRequest{RegionId: s("cn-hangzhou"), MaxResults: tea.Int32(2)}
			c.bend(request)
			var got []string
			for {
				answer, err := w.DescribeImagesWithContext(t.Context(), request, runtime())
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range answer.Body.Images {
					got = append(got, tea.StringValue(i.ImageId))
				}
				if tea.StringValue(answer.Body.NextToken) == "" {
					break
				}
				request.NextToken = answer.Body.NextToken
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnImageBecomesReadyOrSpoilsOnTheClock(t *testing.T) {
	w := start(t, pair(), Options{})
	look := func() string {
		answer, err := w.DescribeImagesWithContext(t.Context(), &sdk.DescribeImagesRequest{
			RegionId: tea.String("cn-hangzhou"), ImageId: pointers("m-hatching", "m-spoilt"),
		}, runtime())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range answer.Body.Images {
			out = append(out, tea.StringValue(i.Status), tea.StringValue(i.Progress), tea.StringValue(i.OsType))
		}
		return strings.Join(out, " ")
	}
	if got, want := look(), "Creating 50% WINDOWS Creating 50% WINDOWS"; got != want {
		t.Errorf("at first: got %s, want %s", got, want)
	}
	w.clock.Advance(time.Minute)
	if got, want := look(), "Available 100% WINDOWS CreateFailed 0% WINDOWS"; got != want {
		t.Errorf("later: got %s, want %s", got, want)
	}
}
