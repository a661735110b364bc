package ecd

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
)

var (
	testKeys = Keys{ID: "testAK", Secret: "testSecret"}
	t0       = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

// world is a running service with a clock that stands still, and the vendor's
// own client for it.
type world struct {
	*Server
	*sdk.Client
	t      *testing.T
	url    string
	clock  *clock.Clock
	faults *fault.Injector
}

func start(t *testing.T, state State, opts Options) *world {
	t.Helper()
	w := &world{t: t, clock: clock.New(t0, 0), faults: new(fault.Injector)}
	opts.Clock, opts.Faults = w.clock, w.faults
	if opts.Keys == nil {
		opts.Keys = []Keys{testKeys}
	}
	var err error
	if w.Server, err = New(state, opts); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL
	w.Client = w.client(opts.Keys[0])
	return w
}

func (w *world) client(k Keys) *sdk.Client {
	w.t.Helper()
	config := &openapi.Config{
		AccessKeyId: &k.ID, AccessKeySecret: &k.Secret, Protocol: tea.String("HTTP"),
		Endpoint: tea.String(strings.TrimPrefix(w.url, "http://")), RegionId: tea.String("cn-hangzhou"), HttpClient: plainHTTP{},
	}
	if k.Token != "" {
		config.SecurityToken = &k.Token
	}
	c, err := sdk.NewClient(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// plainHTTP replaces the HTTP clients that the SDK pools for the whole process,
// which it writes to without a lock at each call.
type plainHTTP struct{}

func (plainHTTP) Call(r *http.Request, _ *http.Transport) (*http.Response, error) {
	return http.DefaultClient.Do(r)
}

// runtime is needed by every call: the SDK panics on nil.
func runtime() *dara.RuntimeOptions { return &dara.RuntimeOptions{} }

// codeOf returns the service's code of an error of the SDK.
func codeOf(err error) string {
	if e, ok := errors.AsType[*tea.SDKError](err); ok {
		return tea.StringValue(e.Code)
	}
	if e, ok := errors.AsType[*dara.SDKError](err); ok {
		return tea.StringValue(e.Code)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func pointers(list ...string) []*string { return tea.StringSlice(list) }

// rebuild calls RebuildDesktops and returns its results by desktop.
func (w *world) rebuild(image string, ids ...string) (map[string]string, error) {
	request := &sdk.RebuildDesktopsRequest{RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(ids...)}
	if image != "" {
		request.ImageId = &image
	}
	return w.rebuildWith(request)
}

func (w *world) rebuildWith(request *sdk.RebuildDesktopsRequest) (map[string]string, error) {
	answer, err := w.RebuildDesktopsWithContext(w.t.Context(), request, runtime())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range answer.Body.RebuildResults {
		out[tea.StringValue(r.DesktopId)] = tea.StringValue(r.Code)
	}
	return out, nil
}

// list calls DescribeDesktops and returns the desktops of the first page by id.
func (w *world) list(ids ...string) map[string]*sdk.DescribeDesktopsResponseBodyDesktops {
	w.t.Helper()
	answer, err := w.DescribeDesktopsWithContext(w.t.Context(), &sdk.DescribeDesktopsRequest{
		RegionId: tea.String("cn-hangzhou"), DesktopId: pointers(ids...), MaxResults: tea.Int32(100), FilterDesktopGroup: tea.Bool(false),
	}, runtime())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]*sdk.DescribeDesktopsResponseBodyDesktops{}
	for _, d := range answer.Body.Desktops {
		out[tea.StringValue(d.DesktopId)] = d
	}
	return out
}

// shown returns the status and image of one desktop as DescribeDesktops has it.
func (w *world) shown(id string) string {
	w.t.Helper()
	d := w.list(id)[id]
	if d == nil {
		return "absent"
	}
	return tea.StringValue(d.DesktopStatus) + " " + tea.StringValue(d.ImageId)
}

// pair is a region with an old and a new image, and desktops on the old one.
func pair(desktops ...Desktop) State {
	for i := range desktops {
		or(&desktops[i].RegionID, "cn-hangzhou")
		or(&desktops[i].ImageID, "m-old")
	}
	return State{Desktops: desktops, Images: []Image{
		{ID: "m-old", RegionID: "cn-hangzhou", Name: "office 1"},
		{ID: "m-new", RegionID: "cn-hangzhou", Name: "office 2"},
		{ID: "m-cad", RegionID: "cn-hangzhou", GPU: true},
		{ID: "m-dev", RegionID: "cn-hangzhou", OS: "linux"},
		{ID: "m-hatching", RegionID: "cn-hangzhou", Status: Creating, ReadyAfter: time.Minute},
		{ID: "m-spoilt", RegionID: "cn-hangzhou", Status: Creating, ReadyAfter: time.Minute, EndsAs: "fail"},
		{ID: "m-shanghai", RegionID: "cn-shanghai"},
		{ID: "m-dev-sg", RegionID: "ap-southeast-1", OS: "linux"},
		{ID: "desktopimage-everywhere", Type: "SYSTEM"},
		{ID: "desktopimage-ubuntu", Type: "SYSTEM", OS: "linux"},
	}}
}

func TestTemporaryCredentialsOfTheSDKAreVerified(t *testing.T) {
	sts := Keys{ID: "STS.a", Secret: "b", Token: "c/+=="}
	w := start(t, State{}, Options{Keys: []Keys{sts}})
	call := func(k Keys) string {
		_, err := w.client(k).DescribeRegionsWithContext(t.Context(), &sdk.DescribeRegionsRequest{}, runtime())
		return codeOf(err)
	}
	if got := call(sts); got != "" {
		t.Errorf("right token: got %q, want none", got)
	}
	if got := call(Keys{ID: "STS.a", Secret: "b", Token: "stale"}); got != "InvalidSecurityToken.Malformed" {
		t.Errorf("stale token: got %q", got)
	}
	if got := call(Keys{ID: "STS.a", Secret: "wrong", Token: "c/+=="}); got != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: got %q", got)
	}
}

func TestCallsAboveTheLimitAreThrottledUntilTheSecondIsOver(t *testing.T) {
	w := start(t, State{}, Options{Limits: Limits{"DescribeImages": 2}})
	call := func() string {
		_, err := w.DescribeImagesWithContext(t.Context(), &sdk.DescribeImagesRequest{RegionId: tea.String("cn-hangzhou")}, runtime())
		return codeOf(err)
	}
	got := []string{call(), call(), call()}
	w.clock.Advance(time.Second)
	got = append(got, call())
	if want := []string{"", "", "Throttling.User", ""}; strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("codes: got %q, want %q", got, want)
	}
}

func TestInjectedFaultsSpeakTheServicesLanguage(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-1"}), Options{})
	w.faults.Add(
		fault.Rule{Operation: "RebuildDesktops", Kind: fault.Throttle, Times: 1},
		fault.Rule{Operation: "RebuildDesktops", Kind: fault.Error, Status: 503, Code: "ServiceUnavailable", Times: 1},
	)
	for _, want := range []string{"Throttling.User", "ServiceUnavailable"} {
		if _, err := w.rebuild("m-new", "ecd-1"); codeOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := len(w.Wipes()); got != 0 {
		t.Errorf("wipes: got %d, want none", got)
	}
	w.faults.Add(fault.Rule{Operation: "RebuildDesktops", Kind: fault.CloseAfter, Times: 1})
	if _, err := w.rebuild("m-new", "ecd-1"); err == nil {
		t.Error("the connection was not closed")
	}
	if got := len(w.Wipes()); got != 1 {
		t.Errorf("wipes after the work was done and the answer lost: got %d, want 1", got)
	}
}

func TestTheServiceCanBeUsedFromManySidesAtOnce(t *testing.T) {
	w := start(t, pair(Desktop{ID: "ecd-%d", Count: 40}), Options{})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			c := w.client(testKeys)
			_, _ = c.RebuildDesktopsWithContext(t.Context(), &sdk.RebuildDesktopsRequest{
				RegionId: tea.String("cn-hangzhou"), DesktopId: pointers("ecd-1", "ecd-2", "ecd-3"), ImageId: tea.String("m-new"),
			}, runtime())
			w.clock.Advance(time.Second)
			w.Update("ecd-4", func(d *Desktop) { d.Status = Stopped })
			w.UpdateImage("m-old", func(i *Image) { i.Description = "seen" })
			w.Add(Desktop{ID: "ecd-new", RegionID: "cn-hangzhou", ImageID: "m-old"})
			w.AddImage(Image{ID: "m-more"})
			w.Connect("ecd-5", "ann")
			_, _, _ = w.Desktops(), w.Images(), w.Wipes()
			if n%2 == 0 {
				w.Remove("ecd-new")
			}
		})
	}
	all.Wait()
	if got := len(w.Wipes()); got != 3 {
		t.Errorf("wipes of three desktops asked for by eight at once: got %d, want 3", got)
	}
}
