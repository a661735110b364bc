package ecd

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/tea"
)

const instance = "ALIYUN::GWS::INSTANCE"

// tagsOf calls ListTagResources over all pages.
func (w *world) tagsOf(request *sdk.ListTagResourcesRequest) ([]string, error) {
	or(&request.RegionId, tea.String("cn-hangzhou"))
	or(&request.ResourceType, tea.String(instance))
	var out []string
	for {
		answer, err := w.ListTagResourcesWithContext(w.t.Context(), request, runtime())
		if err != nil {
			return nil, err
		}
		for _, t := range answer.Body.TagResources {
			out = append(out, fmt.Sprintf("%s %s=%s", tea.StringValue(t.ResourceId), tea.StringValue(t.TagKey), tea.StringValue(t.TagValue)))
		}
		if tea.StringValue(answer.Body.NextToken) == "" {
			return out, nil
		}
		request.NextToken = answer.Body.NextToken
	}
}

func TestTagsAreSetListedAndTakenAway(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a", Tags: map[string]string{"ring": "canary"}}, Desktop{ID: "b"}, Desktop{ID: "c"}), Options{})
	set := func(key, value string) error {
		_, err := w.TagResourcesWithContext(t.Context(), &sdk.TagResourcesRequest{
			RegionId: tea.String("cn-hangzhou"), ResourceType: tea.String(instance), ResourceId: pointers("a", "b"),
			Tag: []*sdk.TagResourcesRequestTag{{Key: &key, Value: &value}},
		}, runtime())
		return err
	}
	for _, err := range []error{set("ring", "broad"), set("owner", "it")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	byTag := &sdk.ListTagResourcesRequest{Tag: []*sdk.ListTagResourcesRequestTag{{Key: tea.String("ring"), Value: tea.String("broad")}}, MaxResults: tea.Int32(1)}
	got, err := w.tagsOf(byTag)
	if want := []string{"a owner=it", "a ring=broad", "b owner=it", "b ring=broad"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("by tag: got %q, %v, want %q", got, err, want)
	}
	got, err = w.tagsOf(&sdk.ListTagResourcesRequest{ResourceId: pointers("a", "b", "none")})
	if want := []string{"a owner=it", "a ring=broad", "b owner=it", "b ring=broad"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("by id: got %q, %v, want %q", got, err, want)
	}
}

func TestTagCallsOutOfBoundsChangeNothing(t *testing.T) {
	full := map[string]string{}
	for n := range 20 {
		full[fmt.Sprint(n)] = ""
	}
	w := start(t, pair(Desktop{ID: "a"}, Desktop{ID: "full", Tags: full}), Options{})
	valid := func() *sdk.TagResourcesRequest {
		return &sdk.TagResourcesRequest{RegionId: tea.String("cn-hangzhou"), ResourceType: tea.String(instance),
			ResourceId: pointers("a"), Tag: []*sdk.TagResourcesRequestTag{{Key: tea.String("k"), Value: tea.String("v")}}}
	}
	key := func(k string) func(*sdk.TagResourcesRequest) {
		return func(r *sdk.TagResourcesRequest) { r.Tag[0].Key = &k }
	}
	for _, c := range []struct {
		name string
		bend func(*sdk.TagResourcesRequest)
		code string
	}{
		{"no type", func(r *sdk.TagResourcesRequest) { r.ResourceType = nil }, "MissingResourceType"},
		{"other type", func(r *sdk.TagResourcesRequest) { r.ResourceType = tea.String("ALIYUN::GWS::DESKTOP") }, "InvalidParameter.ResourceType"},
		{"no resources", func(r *sdk.TagResourcesRequest) { r.ResourceId = nil }, "MissingResourceId"},
		{"51 resources", func(r *sdk.TagResourcesRequest) { r.ResourceId = pointers(slices.Repeat([]string{"a"}, 51)...) }, "InvalidParameter.ResourceId"},
		{"unknown resource", func(r *sdk.TagResourcesRequest) { r.ResourceId = pointers("a", "none") }, "InvalidResourceId.NotFound"},
		{"no tags", func(r *sdk.TagResourcesRequest) { r.Tag = nil }, "MissingTag"},
		{"21 tags", func(r *sdk.TagResourcesRequest) { r.Tag = slices.Repeat(r.Tag, 21) }, "InvalidParameter.Tag"},
		{"one tag too many", func(r *sdk.TagResourcesRequest) { r.ResourceId = pointers("a", "full") }, "QuotaExceeded.TagsPerResource"},
		{"reserved key", key("acs:x"), "InvalidParameter.Tag"},
		{"reserved key too", key("aliyunx"), "InvalidParameter.Tag"},
		{"key with an address", key("x http://x"), "InvalidParameter.Tag"},
		{"key of spaces", key("  "), "InvalidParameter.Tag"},
		{"long key", key(strings.Repeat("k", 129)), "InvalidParameter.Tag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := valid()
			c.bend(request)
			if _, err := w.TagResourcesWithContext(t.Context(), request, runtime()); codeOf(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
	if d, _ := w.Desktop("a"); len(d.Tags) != 0 {
		t.Errorf("tags: got %v, want none", d.Tags)
	}
	if _, err := w.tagsOf(&sdk.ListTagResourcesRequest{}); codeOf(err) != "MissingResourceId" {
		t.Errorf("listing neither resources nor tags: got %v", err)
	}
}

func (w *world) stop(ids ...string) error {
	_, err := w.StopDesktopsWithContext(w.t.Context(), &sdk.StopDesktopsRequest{
		RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(ids...), StoppedMode: tea.String("KeepCharging"),
	}, runtime())
	return err
}

func (w *world) startAgain(ids ...string) error {
	_, err := w.StartDesktopsWithContext(w.t.Context(), &sdk.StartDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(ids...)}, runtime())
	return err
}

func TestStoppingAndStartingTakeALittleTime(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a", Sessions: []Session{{User: "ann"}}}, Desktop{ID: "b", Status: Stopped}), Options{})
	want := func(status string) {
		t.Helper()
		if got := w.shown("a"); got != status+" m-old" {
			t.Errorf("got %s, want %s", got, status)
		}
	}
	if err := w.stop("a", "b"); codeOf(err) != "IncorrectDesktopStatus" {
		t.Errorf("stopping what is stopped: got %v", err)
	}
	want(Running)
	if err := w.stop("a"); err != nil {
		t.Fatal(err)
	}
	want(Stopping)
	if err := w.startAgain("a"); codeOf(err) != "IncorrectDesktopStatus" {
		t.Errorf("starting what is stopping: got %v", err)
	}
	w.clock.Advance(stopTakes)
	want(Stopped)
	if err := w.startAgain("a"); err != nil {
		t.Fatal(err)
	}
	want(Starting)
	w.clock.Advance(startTakes)
	want(Running)
}

func TestPassingStatusesOfTheStateSettle(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Status: Starting, Settles: time.Minute}, Desktop{ID: "b", Status: Stopping, Settles: time.Minute},
		Desktop{ID: "c", Status: Rebuilding, Settles: time.Minute}, Desktop{ID: "d", Status: Pending},
	), Options{})
	w.clock.Advance(time.Minute)
	for id, want := range map[string]string{"a": Running, "b": Stopped, "c": Running, "d": Pending} {
		if got := w.shown(id); got != want+" m-old" {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

func TestInMaintenanceNobodyConnectsAgain(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a", EndUsers: []string{"ann"}, Sessions: []Session{{User: "ann"}}, Leaves: time.Minute, Returns: 2 * time.Minute}, Desktop{ID: "b"}), Options{})
	mode := func(mode string, ids ...string) error {
		_, err := w.SetDesktopMaintenanceWithContext(t.Context(), &sdk.SetDesktopMaintenanceRequest{
			RegionId: tea.String("cn-hangzhou"), DesktopIds: pointers(ids...), Mode: &mode,
		}, runtime())
		return err
	}
	for _, c := range []struct {
		mode, code string
		ids        []string
	}{
		{"HALT", "InvalidParameter.Mode", []string{"a"}},
		{"ENTER", "MissingDesktopIds", nil},
		{"ENTER", "InvalidParameter.DesktopIds", slices.Repeat([]string{"a"}, 101)},
		{"ENTER", "InvalidDesktopId.NotFound", []string{"a", "none"}},
	} {
		if err := mode(c.mode, c.ids...); codeOf(err) != c.code {
			t.Errorf("%s of %d desktops: got %v, want %s", c.mode, len(c.ids), err, c.code)
		}
	}
	if err := mode("ENTER", "a"); err != nil {
		t.Fatal(err)
	}
	connection := func() string { return tea.StringValue(w.list("a")["a"].ConnectionStatus) }
	if got := connection(); got != Connected {
		t.Errorf("who is connected stays: got %s", got)
	}
	w.clock.Advance(3 * time.Minute)
	if got := connection(); got != Disconnected {
		t.Errorf("who left does not come back: got %s", got)
	}
	if w.Connect("a", "ann") || !w.Connect("b", "bob") {
		t.Error("connecting: want no for the one in maintenance, yes for the other")
	}
	if err := mode("exit", "a"); err != nil {
		t.Fatal(err)
	}
	if !w.Connect("a", "ann") {
		t.Error("connecting after maintenance: want yes")
	}
}

func TestDescribeDesktopSessionsTellsConnectedFromLoggedOn(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Sessions: []Session{{User: "ann", Idle: time.Minute}}},
		Desktop{ID: "b", Sessions: []Session{{User: "bob", Since: t0.Add(-time.Hour), Disconnected: true}}}, Desktop{ID: "c"},
	), Options{})
	w.clock.Advance(time.Minute)
	for _, c := range []struct {
		status, user string
		want         string
	}{
		{"", "", "a ann Connected idle 120 for 60 Active, b bob Disconnected idle 0 for 3660 Disconnected"},
		{"Connected", "", "a ann Connected idle 120 for 60 Active"},
		{"", "bob", "b bob Disconnected idle 0 for 3660 Disconnected"},
	} {
		request := &sdk.DescribeDesktopSessionsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("a", "b", "c"), CheckOsSession: tea.Bool(true)}
		if c.status != "" {
			request.SessionStatus = &c.status
		}
		if c.user != "" {
			request.EndUserId = &c.user
		}
		answer, err := w.DescribeDesktopSessionsWithContext(t.Context(), request, runtime())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range answer.Body.Sessions {
			got = append(got, fmt.Sprintf("%s %s %s idle %d for %d %s", tea.StringValue(s.DesktopId), tea.StringValue(s.EndUserId), tea.StringValue(s.SessionStatus),
				tea.Int64Value(s.SessionIdleTime), tea.Int64Value(s.LatestConnectionTime), tea.StringValue(s.OsSessionStatus)))
		}
		if strings.Join(got, ", ") != c.want || int(tea.Int32Value(answer.Body.TotalCount)) != len(got) {
			t.Errorf("status %q, user %q: got %q, want %q", c.status, c.user, got, c.want)
		}
	}
}

func TestACommandRunsAndItsInvocationTells(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "good", Command: Command{Output: "ok"}}, Desktop{ID: "bad", Command: Command{ExitCode: 3, Output: "no"}},
		Desktop{ID: "off", Status: Stopped}, Desktop{ID: "slow", Command: Command{Takes: time.Hour}},
	), Options{})
	ran, err := w.RunCommandWithContext(t.Context(), &sdk.RunCommandRequest{
		RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("good", "bad", "off", "slow"), Type: tea.String("RunPowerShellScript"),
		CommandContent: tea.String("hostname"), Timeout: tea.Int64(60),
	}, runtime())
	if err != nil {
		t.Fatal(err)
	}
	look := func(encoding string) string {
		answer, err := w.DescribeInvocationsWithContext(t.Context(), &sdk.DescribeInvocationsRequest{
			RegionId: tea.String("cn-hangzhou"), InvokeId: ran.Body.InvokeId, IncludeInvokeDesktops: tea.Bool(true), IncludeOutput: tea.Bool(true),
			ContentEncoding: &encoding,
		}, runtime())
		if err != nil {
			t.Fatal(err)
		}
		i := answer.Body.Invocations[0]
		out := fmt.Sprintf("%s %s %d/%d", tea.StringValue(i.InvocationStatus), tea.StringValue(i.CommandContent),
			tea.Int32Value(i.InvokeDesktopSucceedCount), tea.Int32Value(i.InvokeDesktopCount))
		for _, d := range i.InvokeDesktops {
			out += fmt.Sprintf("; %s %s", tea.StringValue(d.DesktopId), tea.StringValue(d.InvocationStatus))
			if d.ExitCode != nil {
				out += fmt.Sprintf(" %d", *d.ExitCode)
			}
			out += strings.TrimRight(" "+tea.StringValue(d.ErrorCode)+" "+tea.StringValue(d.Output), " ")
		}
		return out
	}
	for _, c := range []struct {
		wait time.Duration
		want string
	}{
		{0, "Running hostname 0/4; good Running; bad Running; off Failed InstanceNotRunning; slow Running"},
		{defaultCommand, "Running hostname 1/4; good Success 0  ok; bad Failed 3 ExitCodeNonzero no; off Failed InstanceNotRunning; slow Running"},
		{time.Minute, "PartialFailed hostname 1/4; good Success 0  ok; bad Failed 3 ExitCodeNonzero no; off Failed InstanceNotRunning; slow Timeout ExecutionTimeout"},
	} {
		w.clock.Advance(c.wait)
		if got := look("PlainText"); got != c.want {
			t.Errorf("after %s:\n got %s\nwant %s", c.wait, got, c.want)
		}
	}
	if got, want := look("Base64"), base64.StdEncoding.EncodeToString([]byte("hostname")); !strings.Contains(got, want) {
		t.Errorf("in Base64: got %s, want the command as %s", got, want)
	}
}

func TestInvocationsAreFilteredPagedAndForgotten(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a"}, Desktop{ID: "b", Command: Command{ExitCode: 1}}), Options{})
	run := func(desktop, kind string) {
		t.Helper()
		if _, err := w.RunCommandWithContext(t.Context(), &sdk.RunCommandRequest{
			RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(desktop), Type: &kind, CommandContent: tea.String("eA=="), ContentEncoding: tea.String("Base64"),
		}, runtime()); err != nil {
			t.Fatal(err)
		}
	}
	for range 12 {
		run("a", "RunBatScript")
	}
	run("b", "RunPowerShellScript")
	w.clock.Advance(time.Minute)
	count := func(request *sdk.DescribeInvocationsRequest) (n int) {
		t.Helper()
		request.RegionId = tea.String("cn-hangzhou")
		for {
			answer, err := w.DescribeInvocationsWithContext(t.Context(), request, runtime())
			if err != nil {
				t.Fatal(err)
			}
			n += len(answer.Body.Invocations)
			if tea.StringValue(answer.Body.NextToken) == "" {
				return n
			}
			request.NextToken = answer.Body.NextToken
		}
	}
	for _, c := range []struct {
		name    string
		request *sdk.DescribeInvocationsRequest
		want    int
	}{
		{"all", &sdk.DescribeInvocationsRequest{}, 13},
		{"one desktop", &sdk.DescribeInvocationsRequest{DesktopId: tea.String("b")}, 1},
		{"desktops", &sdk.DescribeInvocationsRequest{DesktopIds: pointers("a", "b")}, 13},
		{"type", &sdk.DescribeInvocationsRequest{CommandType: tea.String("RunPowerShellScript")}, 1},
		{"failed", &sdk.DescribeInvocationsRequest{InvokeStatus: tea.String("Failed")}, 1},
		{"finished", &sdk.DescribeInvocationsRequest{InvokeStatus: tea.String("Finished")}, 12},
	} {
		if got := count(c.request); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
	for n := range maxInvocations { // nobody else calls by now
		w.invocations = append(w.invocations, &invocation{region: "cn-hangzhou", position: 1<<20 + n})
	}
	run("a", "RunBatScript")
	if got := len(w.invocations); got != maxInvocations {
		t.Errorf("kept: got %d invocations, want %d", got, maxInvocations)
	}
}

func TestRunCommandRefusesWhatIsOutOfBounds(t *testing.T) {
	w := start(t, pair(Desktop{ID: "a"}), Options{})
	for _, c := range []struct {
		name string
		bend func(*sdk.RunCommandRequest)
		code string
	}{
		{"no desktops", func(r *sdk.RunCommandRequest) { r.DesktopId = nil }, "MissingDesktopId"},
		{"51 desktops", func(r *sdk.RunCommandRequest) { r.DesktopId = pointers(slices.Repeat([]string{"a"}, 51)...) }, "InvalidParameter.DesktopId"},
		{"unknown desktop", func(r *sdk.RunCommandRequest) { r.DesktopId = pointers("none") }, "InvalidDesktopId.NotFound"},
		{"no type", func(r *sdk.RunCommandRequest) { r.Type = nil }, "MissingType"},
		{"other type", func(r *sdk.RunCommandRequest) { r.Type = tea.String("RunShellScript") }, "InvalidParameter.Type"},
		{"no content", func(r *sdk.RunCommandRequest) { r.CommandContent = nil }, "MissingCommandContent"},
		{"content that is not Base64", func(r *sdk.RunCommandRequest) { r.ContentEncoding = tea.String("Base64") }, "InvalidParameter.CommandContent"},
		{"content too long", func(r *sdk.RunCommandRequest) { r.CommandContent = tea.String(strings.Repeat("x", 13000)) }, "CmdContent.ExceedLimit"},
		{"timeout", func(r *sdk.RunCommandRequest) { r.Timeout = tea.Int64(0) }, "InvalidParameter.Timeout"},
	} {
		request := &sdk.RunCommandRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("a"), Type: tea.String("RunBatScript"), CommandContent: tea.String("a b")}
		c.bend(request)
		if _, err := w.RunCommandWithContext(t.Context(), request, runtime()); codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", c.name, err, c.code)
		}
	}
}

func TestDescribeRegions(t *testing.T) {
	w := start(t, State{}, Options{})
	answer, err := w.DescribeRegionsWithContext(t.Context(), &sdk.DescribeRegionsRequest{}, runtime())
	if err != nil {
		t.Fatal(err)
	}
	first := answer.Body.Regions[0]
	if tea.StringValue(first.RegionId) != "cn-hangzhou" || tea.StringValue(first.RegionEndpoint) != "ecd.cn-hangzhou.aliyuncs.com" || tea.StringValue(first.LocalName) == "" {
		t.Errorf("first region: got %v", first)
	}
}

func TestAnIdleSessionGrowsAndOneThatEndedIsRemembered(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Sessions: []Session{{User: "ann", Idle: 59 * time.Minute}}},
		Desktop{ID: "b", Sessions: []Session{{User: "bob", Idle: time.Hour, IdleHidden: true}}, Leaves: 30 * time.Second},
	), Options{})
	w.clock.Advance(time.Minute)
	list := func(from *string) string {
		t.Helper()
		answer, err := w.DescribeDesktopSessionsWithContext(t.Context(), &sdk.DescribeDesktopSessionsRequest{RegionId: tea.String("cn-hangzhou"), StartTime: from}, runtime())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range answer.Body.Sessions {
			idle := "nothing"
			if s.SessionIdleTime != nil {
				idle = fmt.Sprint(*s.SessionIdleTime)
			}
			got = append(got, fmt.Sprintf("%s %s idle %s", tea.StringValue(s.DesktopId), tea.StringValue(s.SessionStatus), idle))
		}
		return strings.Join(got, ", ")
	}
	if got, want := list(nil), "a Connected idle 3600, b Disconnected idle nothing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := list(tea.String(seconds(w.clock.Now()))), "a Connected idle 3600"; got != want {
		t.Errorf("from now on: got %q, want %q", got, want)
	}
}

func TestWhoTriesToConnectIsAmongTheEvents(t *testing.T) {
	w := start(t, pair(
		Desktop{ID: "a", Logons: []Logon{{At: time.Minute, User: "ann"}, {At: 3 * time.Minute, User: "ann", Fails: "connect"}}},
		Desktop{ID: "b", Status: Stopped, Logons: []Logon{{At: 2 * time.Minute, User: "bob"}}},
	), Options{})
	w.clock.Advance(5 * time.Minute)
	var got []string
	request := &sdk.DescribeClientEventsRequest{RegionId: tea.String("cn-hangzhou"), MaxResults: tea.Int32(2),
		EventTypes: []*string{tea.String("GET_CONNECTION_TICKET"), tea.String("DESKTOP_CONNECT")}}
	for {
		answer, err := w.DescribeClientEventsWithContext(t.Context(), request, runtime())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.Body.Events {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", tea.StringValue(e.DesktopId), tea.StringValue(e.EndUserId), tea.StringValue(e.EventType), tea.StringValue(e.Status))))
		}
		if request.NextToken = answer.Body.NextToken; tea.StringValue(request.NextToken) == "" {
			break
		}
	}
	want := "a ann GET_CONNECTION_TICKET 200, a ann DESKTOP_CONNECT, b bob GET_CONNECTION_TICKET FailedToGetConnectionTicket, a ann GET_CONNECTION_TICKET 200"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
}

func TestASnapshotIsMadeAndShowsHowFarItIs(t *testing.T) {
	data := []Disk{{"SYSTEM", 80}, {"DATA", 200}}
	w := start(t, pair(
		Desktop{ID: "good", Disks: data}, Desktop{ID: "bad", Disks: data, Snapshotting: Snapshotting{EndsAs: "fail"}},
		Desktop{ID: "slow", Disks: data, Snapshotting: Snapshotting{EndsAs: "stick"}}, Desktop{ID: "plain"}, Desktop{ID: "starts", Status: Starting, Disks: data},
	), Options{DataSnapshotsSurvive: true})
	create := func(id, disk, name string) error {
		_, err := w.CreateSnapshotWithContext(t.Context(), &sdk.CreateSnapshotRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: &id, SourceDiskType: &disk, SnapshotName: &name}, runtime())
		return err
	}
	for _, c := range []struct{ id, disk, name, code string }{
		{"good", "data", "kept-1", ""}, {"bad", "data", "kept-1", ""}, {"slow", "data", "kept-1", ""},
		{"plain", "data", "kept-1", "InvalidParameter.SourceDiskType"}, {"good", "both", "kept-1", "InvalidParameter.SourceDiskType"},
		{"good", "data", "autonomous", "InvalidParameter.SnapshotName"}, {"starts", "data", "kept-1", "IncorrectDesktopStatus"}, {"none", "data", "kept-1", "InvalidDesktopId.NotFound"},
	} {
		if err := create(c.id, c.disk, c.name); codeOf(err) != c.code {
			t.Errorf("%v: got %v", c, err)
		}
	}
	look := func() string {
		answer, err := w.DescribeSnapshotsWithContext(t.Context(), &sdk.DescribeSnapshotsRequest{RegionId: tea.String("cn-hangzhou")}, runtime())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range answer.Body.Snapshots {
			got = append(got, fmt.Sprintf("%s %s %s %s", tea.StringValue(s.DesktopId), tea.StringValue(s.SnapshotName), tea.StringValue(s.Status), tea.StringValue(s.Progress)))
		}
		return strings.Join(got, ", ")
	}
	if got, want := look(), "good kept-1 PROGRESSING 37%, bad kept-1 PROGRESSING 37%, slow kept-1 PROGRESSING 37%"; got != want {
		t.Errorf("at once: got %q, want %q", got, want)
	}
	w.clock.Advance(time.Hour)
	if got, want := look(), "good kept-1 ACCOMPLISHED 100%, bad kept-1 FAILED 37%, slow kept-1 PROGRESSING 37%"; got != want {
		t.Errorf("an hour later: got %q, want %q", got, want)
	}
}
