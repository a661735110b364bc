package ecd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

const acknowledgement = `{"RequestId":"REQ-1","InvokeId":"t-1","SnapshotId":"s-1"}`

// What each call puts on the wire: exactly the parameters that ECD documents
// for it, all of them in the query.
func TestEachCallHasExactlyItsParameters(t *testing.T) {
	full := desktop.Batch{
		Spec: desktop.Spec{RegionID: region, ImageID: "m-1", OperateType: "replace", Language: "zh-CN", AfterStatus: "Running"},
		IDs:  []string{"ecd-1", "ecd-2"},
	}
	for name, c := range map[string]struct {
		call   func(context.Context, *Client) error
		action string
		want   string
	}{
		"rebuild": {
			func(ctx context.Context, c *Client) error { _, err := c.Rebuild(ctx, full); return err },
			"RebuildDesktops", "AfterStatus=Running&DesktopId.1=ecd-1&DesktopId.2=ecd-2&ImageId=m-1&Language=zh-CN&OperateType=replace&RegionId=cn-hangzhou",
		},
		"reset": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Rebuild(ctx, desktop.Batch{Spec: desktop.Spec{RegionID: region}, IDs: []string{"ecd-1"}})
				return err
			},
			"RebuildDesktops", "DesktopId.1=ecd-1&RegionId=cn-hangzhou",
		},
		"desktops": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Desktops(ctx, region, []string{"ecd-1", "", "ecd-1"})
				return err
			},
			"DescribeDesktops", "DesktopId.1=ecd-1&FilterDesktopGroup=false&MaxResults=100&RegionId=cn-hangzhou",
		},
		"select": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Select(ctx, region, desktop.Selector{OfficeSiteIDs: []string{"site"}, PolicyGroupIDs: []string{"pg"}, ImageIDs: []string{"m-1", "m-2"}})
				return err
			},
			"DescribeDesktops", "FilterDesktopGroup=false&ImageId.1=m-1&ImageId.2=m-2&MaxResults=100&OfficeSiteId=site&PolicyGroupId=pg&RegionId=cn-hangzhou",
		},
		"select by tag": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Select(ctx, region, desktop.Selector{Tags: map[string]string{"ring": "canary", "fleet": ""}})
				return err
			},
			"ListTagResources", "MaxResults=50&RegionId=cn-hangzhou&ResourceType=ALIYUN::GWS::INSTANCE&Tag.1.Key=fleet&Tag.2.Key=ring&Tag.2.Value=canary",
		},
		"tags": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Tags(ctx, region, []string{"ecd-1"})
				return err
			},
			"ListTagResources", "MaxResults=50&RegionId=cn-hangzhou&ResourceId.1=ecd-1&ResourceType=ALIYUN::GWS::INSTANCE",
		},
		"images": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Images(ctx, region, []string{"m-1"})
				return err
			},
			"DescribeImages", "ImageId.1=m-1&MaxResults=100&RegionId=cn-hangzhou",
		},
		"images by name": {
			func(ctx context.Context, c *Client) error {
				_, err := c.ImagesNamed(ctx, region, "win 11&x")
				return err
			},
			"DescribeImages", "ImageName=win 11%26x&MaxResults=100&RegionId=cn-hangzhou",
		},
		"changes": {
			func(ctx context.Context, c *Client) error { _, err := c.Changes(ctx, region, "ecd-1"); return err },
			"DescribeImageModifiedRecords", "DesktopId=ecd-1&MaxResults=100&RegionId=cn-hangzhou",
		},
		"enter maintenance": {
			func(ctx context.Context, c *Client) error { return c.Maintain(ctx, region, []string{"ecd-1"}, true) },
			"SetDesktopMaintenance", "DesktopIds.1=ecd-1&Mode=ENTER&RegionId=cn-hangzhou",
		},
		"leave maintenance": {
			func(ctx context.Context, c *Client) error { return c.Maintain(ctx, region, []string{"ecd-1"}, false) },
			"SetDesktopMaintenance", "DesktopIds.1=ecd-1&Mode=EXIT&RegionId=cn-hangzhou",
		},
		"stop": {
			func(ctx context.Context, c *Client) error { return c.Stop(ctx, region, []string{"ecd-1"}) },
			"StopDesktops", "DesktopId.1=ecd-1&RegionId=cn-hangzhou&StoppedMode=KeepCharging",
		},
		"start": {
			func(ctx context.Context, c *Client) error { return c.Start(ctx, region, []string{"ecd-1"}) },
			"StartDesktops", "DesktopId.1=ecd-1&RegionId=cn-hangzhou",
		},
		"run": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Run(ctx, region, []string{"ecd-1"}, "exit 0", "RunPowerShellScript", 1500*time.Millisecond)
				return err
			},
			"RunCommand", "CommandContent=ZXhpdCAw&ContentEncoding=Base64&DesktopId.1=ecd-1&RegionId=cn-hangzhou&Timeout=2&Type=RunPowerShellScript",
		},
		"invocations": {
			func(ctx context.Context, c *Client) error { _, err := c.Invocations(ctx, region, "t-1"); return err },
			"DescribeInvocations", "ContentEncoding=Base64&IncludeInvokeDesktops=true&IncludeOutput=true&InvokeId=t-1&MaxResults=50&RegionId=cn-hangzhou",
		},
		"snapshot": {
			func(ctx context.Context, c *Client) error {
				_, err := c.CreateSnapshot(ctx, region, "ecd-1", "regild-1")
				return err
			},
			"CreateSnapshot", "DesktopId=ecd-1&RegionId=cn-hangzhou&SnapshotName=regild-1&SourceDiskType=data",
		},
		"sessions": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Sessions(ctx, region, []string{"ecd-1"}, time.Time{})
				return err
			},
			"DescribeDesktopSessions", "CheckOsSession=true&DesktopId.1=ecd-1&PageNumber=1&PageSize=100&RegionId=cn-hangzhou",
		},
		"sessions from a time on": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Sessions(ctx, region, []string{"ecd-1"}, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
				return err
			},
			"DescribeDesktopSessions", "CheckOsSession=true&DesktopId.1=ecd-1&PageNumber=1&PageSize=100&RegionId=cn-hangzhou&StartTime=2026-11-23T08:00:00Z",
		},
		"events": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Events(ctx, region, "ecd-1", time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
				return err
			},
			"DescribeClientEvents", "DesktopId=ecd-1&EndTime=2026-11-23T09:00:00Z&EventTypes.1=GET_CONNECTION_TICKET&EventTypes.2=DESKTOP_CONNECT&MaxResults=100&RegionId=cn-hangzhou&StartTime=2026-11-23T08:00:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, say(200, acknowledgement))
			if err := c.call(t.Context(), client(t, s)); err != nil {
				t.Fatal(err)
			}
			want, err := url.ParseQuery(strings.ReplaceAll(c.want, "::", "%3A%3A"))
			if err != nil {
				t.Fatal(err)
			}
			if s.actions[0] != c.action || !reflect.DeepEqual(s.queries[0], want) {
				t.Errorf("got %s %v, want %s %v", s.actions[0], s.queries[0], c.action, want)
			}
			if s.calls() != 1 {
				t.Errorf("calls: got %d, want 1", s.calls())
			}
		})
	}
}

func TestResultsAreHeldAgainstTheBatch(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"REQ-1","RebuildResults":[
		{"DesktopId":"ecd-3","Code":"Success","Message":"ok"},
		{"DesktopId":"ecd-other","Code":"success"},
		null,
		{"DesktopId":"ecd-1","Code":"success"},
		{"DesktopId":"ecd-1","Code":"IncorrectDesktopStatus","Message":"The current status of\nthe desktop"},
		{"DesktopId":"ecd-1","Code":"Other"},
		{"DesktopId":"ecd-2","Code":""},
		{"DesktopId":"ecd-5","Code":"IncorrectDesktopStatus","Message":"The current status of\nthe desktop"},
		{"Code":"success"}]}`))
	got, err := client(t, s).Rebuild(t.Context(), batch("ecd-1", "ecd-2", "ecd-3", "ecd-4", "ecd-5"))
	want := desktop.Answer{RequestID: "REQ-1", Results: []desktop.Result{
		{DesktopID: "ecd-3", Code: "Success", Message: "ok"},
		{DesktopID: "ecd-5", Code: "IncorrectDesktopStatus", Message: "The current status of the desktop", Delivery: desktop.Refused},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
}

func TestAnImpossibleBatchIsRefusedUnsent(t *testing.T) {
	s := serve(t, say(200, acknowledgement))
	for name, b := range map[string]desktop.Batch{
		"nobody":    batch(),
		"too many":  batch(numbered(21)...),
		"empty id":  batch("ecd-1", ""),
		"id twice":  batch("ecd-1", "ecd-1"),
		"no region": {IDs: []string{"ecd-1"}},
	} {
		if _, err := client(t, s).Rebuild(t.Context(), b); desktop.DeliveryOf(err) != desktop.Refused || s.calls() != 0 {
			t.Errorf("%s: got %v after %d calls, want it refused unsent", name, err, s.calls())
		}
	}
}

func TestADesktopIsReadWhateverFormItsFieldsHave(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"REQ-1","Desktops":[null,{
		"DesktopId":"ecd-1","DesktopName":"Ann's","DesktopStatus":"Running","ConnectionStatus":"Connected",
		"Sessions":[{"EndUserId":"ann"},{"ExternalUserName":"bob"},{},{"EndUserId":"ann"}],
		"ManagementFlags":["NoFlag","Updating"],"ManagementFlag":"Migrating","ImageId":"m-1","DesktopType":"eds.graphics",
		"OsType":"WINDOWS","GpuCategory":0,"GpuCount":"0.5","ProtocolType":"ASP","SessionType":"SINGLE_SESSION",
		"Disks":[{"DiskType":"SYSTEM","DiskSize":"80"},{"DiskType":"DATA","DiskSize":100}],"DesktopGroupId":null,
		"OfficeSiteId":"site","PolicyGroupIdList":["pg"],"EndUserIds":["ann",null,"bob"],"Tags":[{"Key":"a","Value":"b"}],
		"CreationTime":"2020-11-06T08:28Z","ExpiredTime":"2021-12-31T15:59Z","Unheard":{"of":1}},
		{"DesktopId":"ecd-2","DesktopStatus":"Hibernated","GpuCategory":true,"CreationTime":"soon"}]}`))
	got, err := client(t, s).Desktops(t.Context(), region, []string{"ecd-2", "ecd-1", "ecd-3"})
	want := []desktop.Desktop{
		{ID: "ecd-2", RegionID: region, Status: "Hibernated", GPU: true, DataDisks: 1}, // no list of disks: there may be one
		{
			ID: "ecd-1", RegionID: region, Status: "Running", Connection: "Connected", Users: []string{"ann", "bob", "unknown"},
			Flags: []string{"Updating", "Migrating"}, ImageID: "m-1", OS: "windows", GPU: true, Protocol: "ASP",
			SessionType: "SINGLE_SESSION", SystemDiskGiB: 80, DataDisks: 1, OfficeSiteID: "site", PolicyGroupID: "pg",
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v\nwant %+v", got, err, want)
	}
}

// Bug 19 of the hard look: a GPU category that ECD leaves out read as "no GPU".
func TestBug19AGPUCategoryThatIsLeftOutIsUnknown(t *testing.T) {
	for _, tt := range []struct {
		fields       string
		yes, unknown bool
	}{
		{`"GpuCategory":0`, false, false},
		{`"GpuCategory":1`, true, false},
		{`"GpuCategory":"1.0"`, true, false},
		{`"GpuCategory":false`, false, false},
		{`"GpuCategory":true`, true, false},
		{`"Name":"x"`, false, true},
		{`"GpuCategory":null`, false, true},
		{`"GpuCategory":"some"`, false, true},
		{`"GpuCategory":"NaN"`, false, true},
	} {
		s := serve(t, say(200, `{"RequestId":"R","Desktops":[{"DesktopId":"ecd-1",`+tt.fields+`},{"DesktopId":"ecd-2","GpuCount":1,`+tt.fields+`}],
			"Images":[{"ImageId":"m-1",`+tt.fields+`}]}`))
		c := client(t, s)
		d, err1 := c.Desktops(t.Context(), region, []string{"ecd-1", "ecd-2"})
		i, err2 := c.Images(t.Context(), region, []string{"m-1"})
		if err1 != nil || err2 != nil || len(d) != 2 || len(i) != 1 {
			t.Fatalf("%s: got %v, %v (%v, %v)", tt.fields, d, i, err1, err2)
		}
		if d[0].GPU != tt.yes || d[0].GPUUnknown != tt.unknown || i[0].GPU != tt.yes || i[0].GPUUnknown != tt.unknown {
			t.Errorf("%s: got %+v and %+v", tt.fields, d[0], i[0])
		}
		if !d[1].GPU || d[1].GPUUnknown {
			t.Errorf("%s and one GPU counted: got %+v", tt.fields, d[1])
		}
	}
}

// paged answers any listing with pages of one desktop, image, tag and record
// each, named by their number, and leads through n of them.
func paged(n int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		page := 0
		_, _ = fmt.Sscanf(r.URL.Query().Get("NextToken"), "page-%d", &page)
		next := ""
		if page+1 < n {
			next = fmt.Sprintf("page-%d", page+1)
		}
		id := fmt.Sprintf("ecd-%04d", page)
		say(200, fmt.Sprintf(`{"RequestId":"R","NextToken":%q,"Desktops":[{"DesktopId":%q}],"Images":[{"ImageId":%q,"Name":"golden"}],
			"TagResources":[{"ResourceId":%q,"TagKey":"k","TagValue":"v"}],
			"ImageModifiedRecords":[{"NewImageId":%q,"UpdateTime":"2026-01-01T00:%02d:00.5Z","Status":%d}]}`, next, id, id, id, id, page, page%4))(w, r, 0)
	}
}

func TestEveryListingReadsAllPages(t *testing.T) {
	ids := numbered(7)
	for name, count := range map[string]func(context.Context, *Client) (int, error){
		"desktops": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.Desktops(ctx, region, ids)
			return len(l), err
		},
		"select": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.Select(ctx, region, desktop.Selector{})
			return len(l), err
		},
		"tags": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.Tags(ctx, region, ids)
			return len(l), err
		},
		"images": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.Images(ctx, region, ids)
			return len(l), err
		},
		"images by name": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.ImagesNamed(ctx, region, "golden")
			return len(l), err
		},
		"changes": func(ctx context.Context, c *Client) (int, error) {
			l, err := c.Changes(ctx, region, "ecd-1")
			return len(l), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, paged(7))
			got, err := count(t.Context(), client(t, s))
			if err != nil || got != 7 || s.calls() != 7 {
				t.Errorf("got %d entries in %d calls (%v), want 7 in 7", got, s.calls(), err)
			}
		})
	}
}

func TestPagesWithoutEndAreAnError(t *testing.T) {
	self := serve(t, say(200, `{"RequestId":"R","NextToken":"again"}`))
	if _, err := client(t, self).Select(t.Context(), region, desktop.Selector{}); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("a page that names itself: got %v, want an error", err)
	}
	// Two pages that name each other were read 2,000 times, and halted the rollout: its fleet
	// was taken for too large.
	round := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		say(200, fmt.Sprintf(`{"RequestId":"R","NextToken":"t%d"}`, n%2))(w, r, n)
	})
	if _, err := client(t, round).Select(t.Context(), region, desktop.Selector{}); err == nil || errors.Is(err, desktop.ErrTooMany) || round.calls() != 3 {
		t.Errorf("pages that name each other: got %v in %d calls, want an error in 3", err, round.calls())
	}
	many := serve(t, paged(maxChangePages+1))
	if _, err := client(t, many).Changes(t.Context(), region, "ecd-1"); !errors.Is(err, desktop.ErrTooMany) || !strings.Contains(err.Error(), "more than 50 pages") {
		t.Errorf("too many pages: got %v, want an error", err)
	}
}

func TestOnePageThatCannotBeReadFailsTheListing(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n > 2 {
			say(400, errorBody("InvalidParameter"))(w, r, n)
			return
		}
		paged(9)(w, r, n)
	})
	got, err := client(t, s).Select(t.Context(), region, desktop.Selector{})
	if desktop.DeliveryOf(err) != desktop.Refused || len(got) != 0 {
		t.Errorf("got %d desktops and %v, want none and the refusal", len(got), err)
	}
}

func TestLongListsGoOutInChunks(t *testing.T) {
	for name, c := range map[string]struct {
		call  func(context.Context, *Client) error
		sizes []int
	}{
		"desktops": {func(ctx context.Context, c *Client) error {
			_, err := c.Desktops(ctx, region, numbered(250))
			return err
		}, []int{50, 100, 100}},
		"tags":     {func(ctx context.Context, c *Client) error { _, err := c.Tags(ctx, region, numbered(120)); return err }, []int{20, 50, 50}},
		"images":   {func(ctx context.Context, c *Client) error { _, err := c.Images(ctx, region, numbered(60)); return err }, []int{10, 50}},
		"maintain": {func(ctx context.Context, c *Client) error { return c.Maintain(ctx, region, numbered(101), true) }, []int{1, 100}},
		"stop":     {func(ctx context.Context, c *Client) error { return c.Stop(ctx, region, numbered(100)) }, []int{100}},
		"run": {func(ctx context.Context, c *Client) error {
			_, err := c.Run(ctx, region, numbered(51), "exit 0", "RunBatScript", time.Minute)
			return err
		}, []int{1, 50}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, say(200, acknowledgement))
			if err := c.call(t.Context(), client(t, s)); err != nil {
				t.Fatal(err)
			}
			var sizes []int
			for _, q := range s.queries {
				n := 0
				for key := range q {
					if strings.Contains(key, "Id.") || strings.Contains(key, "Ids.") {
						n++
					}
				}
				sizes = append(sizes, n)
			}
			slices.Sort(sizes)
			if !slices.Equal(sizes, c.sizes) {
				t.Errorf("ids in each call: got %v, want %v", sizes, c.sizes)
			}
		})
	}
}

func TestImagesOfANameComeNewestFirstAndExactly(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"R","Images":[
		{"ImageId":"m-b","Name":"golden","CreationTime":"2026-01-01T00:00:00Z","GpuCategory":"false","Size":"60"},
		{"ImageId":"m-x","Name":"golden-2","CreationTime":"2026-05-01T00:00:00Z"},
		{"ImageId":"m-c","Name":"golden","CreationTime":"2026-03-01T00:00:00Z","GpuCategory":true,"OsType":"LINUX","DataDiskSize":40},
		{"ImageId":"m-d","Name":"golden"},
		{"ImageId":"m-a","Name":"golden","CreationTime":"2026-01-01T00:00:00Z"}]}`))
	got, err := client(t, s).ImagesNamed(t.Context(), region, "golden")
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v %v, want 4 images", got, err)
	}
	for i, want := range []string{"m-c", "m-a", "m-b", "m-d"} {
		if got[i].ID != want {
			t.Errorf("image %d: got %s, want %s", i, got[i].ID, want)
		}
	}
	if c, b := got[0], got[2]; !c.GPU || c.OS != "linux" || c.DataDiskGiB != 40 || b.GPU || b.SizeGiB != 60 {
		t.Errorf("got %+v and %+v", c, b)
	}
}

func TestChangesComeNewestFirst(t *testing.T) {
	got, err := client(t, serve(t, paged(4))).Changes(t.Context(), region, "ecd-1")
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v %v, want 4 changes", got, err)
	}
	for i, want := range []desktop.ChangeState{desktop.ChangeUnknown, desktop.ChangeFailed, desktop.ChangeSucceeded, desktop.Changing} {
		at := time.Date(2026, 1, 1, 0, 3-i, 0, 5e8, time.UTC)
		if got[i].State != want || !got[i].Updated.Equal(at) || got[i].DesktopID != "ecd-1" {
			t.Errorf("change %d: got %+v, want state %d at %v", i, got[i], want, at)
		}
	}
}

func TestACommandThatMayHaveStartedIsNotStartedAgain(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 2 {
			say(500, errorBody("InternalError"))(w, r, n)
			return
		}
		say(200, acknowledgement)(w, r, n)
	})
	got, err := client(t, s).Run(t.Context(), region, numbered(120), "exit 0", "RunBatScript", time.Minute)
	if desktop.DeliveryOf(err) != desktop.Unknown || err == nil || !slices.Equal(got, []string{"t-1"}) || s.calls() != 2 {
		t.Errorf("got %v %v after %d calls, want [t-1] and an unknown delivery after 2", got, err, s.calls())
	}
	if _, err := client(t, s).Run(t.Context(), region, []string{"ecd-1"}, strings.Repeat("x", 13_000), "RunBatScript", 0); desktop.DeliveryOf(err) != desktop.Refused {
		t.Errorf("a command that is too long: got %v, want it refused", err)
	}
}

func TestInvocationsTellWhatIsOverAndWhatWasSaid(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"R","Invocations":[{"InvokeDesktops":[
		{"DesktopId":"ecd-1","InvocationStatus":"Success","ExitCode":0,"Output":"aGVsbG8="},
		{"DesktopId":"ecd-2","InvocationStatus":"Failed","ExitCode":3,"Output":"not Base64!"},
		{"DesktopId":"ecd-3","InvocationStatus":"Running"},
		{"DesktopId":"ecd-4","InvocationStatus":"Aborted","ErrorInfo":"the instance is not running"},
		{"DesktopId":"ecd-5","InvocationStatus":"Somehow"},
		{"DesktopId":"ecd-6","InvocationStatus":"Success","ExitCode":3221225477},
		{"DesktopId":"ecd-7","InvocationStatus":"Success","ExitCode":"0"},
		{"DesktopId":"ecd-8","InvocationStatus":"Success","ExitCode":"0xC0000005"},
		{"DesktopId":"ecd-9","InvocationStatus":"Success","ExitCode":0.0},
		{"DesktopId":"ecd-10","InvocationStatus":"success"}]}]}`))
	got, err := client(t, s).Invocations(t.Context(), region, "t-1")
	want := []desktop.Invocation{
		{DesktopID: "ecd-1", Status: "Success", Done: true, Output: "hello"},
		{DesktopID: "ecd-2", Status: "Failed", Done: true, ExitCode: 3, Output: "not Base64!"},
		{DesktopID: "ecd-3", Status: "Running"},
		{DesktopID: "ecd-4", Status: "Aborted", Done: true, Output: "the instance is not running"},
		{DesktopID: "ecd-5", Status: "Somehow"},
		{DesktopID: "ecd-6", Status: "Success", Done: true, ExitCode: 3221225477}, // was read as 0: the check had passed
		{DesktopID: "ecd-7", Status: "Success", Done: true},
		{DesktopID: "ecd-8", Status: "Success", Done: true, ExitCode: -1},
		{DesktopID: "ecd-9", Status: "Success", Done: true},
		{DesktopID: "ecd-10", Status: "success", Done: true, ExitCode: -1}, // was read as 0: a desktop was rebuilt that had said not now, perhaps
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v\nwant %+v", got, err, want)
	}
}

func TestCredentialsAreThoseOfTheMoment(t *testing.T) {
	s := serve(t, say(200, acknowledgement))
	now := credentials.Keys{ID: "LTAIone", Secret: "one", Token: "token-one"}
	c := client(t, s, func(c *Config) { c.Keys = func(context.Context) (credentials.Keys, error) { return now, nil } })
	for _, next := range []credentials.Keys{now, {ID: "LTAItwo", Secret: "two", Token: "token-two"}, {ID: "LTAIthree", Secret: "three"}} {
		now = next
		if err := c.Start(t.Context(), region, []string{"ecd-1"}); err != nil {
			t.Fatal(err)
		}
		h := s.headers[len(s.headers)-1]
		if !strings.Contains(h.Get("Authorization"), "Credential="+next.ID+",") || h.Get("X-Acs-Security-Token") != next.Token {
			t.Errorf("signed with %q and token %q, want %s and %q", h.Get("Authorization"), h.Get("X-Acs-Security-Token"), next.ID, next.Token)
		}
	}
}

func TestObserveIsToldOfEachAttempt(t *testing.T) {
	var told []Call
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			say(503, errorBody("Throttling.User"))(w, r, n)
			return
		}
		say(200, `{"RequestId":"REQ-2"}`)(w, r, n)
	})
	if _, err := client(t, s, func(c *Config) { c.Observe = func(c Call) { told = append(told, c) } }).Rebuild(t.Context(), batch("ecd-1")); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || told[0].Err == nil || !told[0].Err.Throttled || told[0].RequestID != "REQ-1" || told[1].Err != nil || told[1].RequestID != "REQ-2" ||
		told[1].Name != "RebuildDesktops" || told[1].RegionID != region || told[1].Took <= 0 {
		t.Errorf("told %+v", told)
	}
}

func TestFiftyGoroutinesShareAClient(t *testing.T) {
	var mu sync.Mutex
	under, most := 0, 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		rebuild := r.Header.Get("X-Acs-Action") == "RebuildDesktops"
		mu.Lock()
		if rebuild {
			under++
		}
		most = max(most, under)
		mu.Unlock()
		id := r.URL.Query().Get("DesktopId.1")
		body := fmt.Sprintf(`{"RequestId":"R","Desktops":[{"DesktopId":%q}],"RebuildResults":[{"DesktopId":%q,"Code":"success"}]}`, id, id)
		mu.Lock()
		if rebuild {
			under--
		}
		mu.Unlock()
		say(200, body)(w, r, n)
	})
	c := client(t, s, func(c *Config) { c.Concurrency = 3 })
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			id := fmt.Sprintf("ecd-%d", i)
			if a, err := c.Rebuild(t.Context(), batch(id)); err != nil || len(a.Results) != 1 || a.Results[0].DesktopID != id {
				t.Errorf("rebuild of %s: got %+v %v", id, a, err)
			}
			if d, err := c.Desktops(t.Context(), region, []string{id}); err != nil || len(d) != 1 || d[0].ID != id {
				t.Errorf("reading %s: got %+v %v", id, d, err)
			}
		})
	}
	group.Wait()
	if most > 3 {
		t.Errorf("rebuilds under way at once: got %d, want at most 3", most)
	}
}
