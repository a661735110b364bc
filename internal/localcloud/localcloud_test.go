package localcloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
)

// function makes an Invoker of a function.
type function func(ctx context.Context, payload []byte) (fc.Result, error)

var _ bridge.Invoker = function(nil)

func (f function) InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error) {
	return f(ctx, e.Payload)
}

// standing is a clock that only a hand moves.
func standing() localcloud.Clock {
	rate := 0.0
	return localcloud.Clock{Start: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Rate: &rate}
}

func start(t *testing.T, o localcloud.Options) *localcloud.Cloud {
	t.Helper()
	c, err := localcloud.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the cloud: %v", err)
		}
	})
	return c
}

func small() localcloud.State {
	return localcloud.State{
		Clock: standing(),
		State: ecd.State{
			Images:   []ecd.Image{{ID: "m-old0000000000000001", RegionID: "cn-hangzhou"}},
			Desktops: []ecd.Desktop{{ID: "ecd-small00000000001", RegionID: "cn-hangzhou", ImageID: "m-old0000000000000001", Tags: map[string]string{"ring": "canary"}}},
		},
	}
}

// ask sends a request to the admin address and returns status and body.
func ask(t *testing.T, c *localcloud.Cloud, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.AdminURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// told is ask for an answer that must be good JSON.
func told(t *testing.T, c *localcloud.Cloud, method, path, body string, into any) {
	t.Helper()
	status, answer := ask(t, c, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s answered %d: %s", method, path, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s answered %s: %v", method, path, answer, err)
	}
}

func TestEnvPointsAtLiveServices(t *testing.T) {
	c := start(t, localcloud.Options{State: localcloud.Default()})
	env := map[string]string{}
	for _, e := range c.Env() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for name, service := range map[string]string{
		"REGILD_ECD_ENDPOINT": "ecd", "REGILD_MNS_ENDPOINT": "mns", "REGILD_OSS_ENDPOINT": "oss",
	} {
		resp, err := http.Get(env[name] + "/")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s answered an unsigned call with %d, want a refusal", name, resp.StatusCode)
		}
		asked := 0
		for call, n := range c.Faults.Calls() {
			if call[0] == service {
				asked += n
			}
		}
		if asked != 1 {
			t.Errorf("%s counted %d calls, want 1: %s points elsewhere", service, asked, name)
		}
	}
	for name, want := range map[string]string{
		"REGILD_RESULT_TOPIC":  "regild-outcomes",
		"REGILD_REQUEST_QUEUE": "regild-requests",
		"REGILD_JOURNAL":       "oss://regild-journal/prod",
		"REGILD_CLOCK":         c.AdminURL + "/clock",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
}

func TestSettingsMayBeOverriddenAndTheJournalLeftOut(t *testing.T) {
	c := start(t, localcloud.Options{Journal: localcloud.NoJournal, Env: []string{"REGILD_RESULT_TOPIC=mine", "REGILD_LOG_LEVEL=debug"}})
	env := c.Env()
	if !slices.Contains(env, "REGILD_RESULT_TOPIC=mine") || !slices.Contains(env, "REGILD_LOG_LEVEL=debug") {
		t.Errorf("settings %v lack the given ones", env)
	}
	for _, e := range env {
		if strings.HasPrefix(e, "REGILD_JOURNAL=") || e == "REGILD_RESULT_TOPIC=regild-outcomes" {
			t.Errorf("settings hold %s", e)
		}
	}
}

// build returns the path of fc's test function.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./fc/testdata/echo").CombinedOutput(); err != nil {
		t.Fatalf("building the test function: %v\n%s", err, out)
	}
	return path
}

func TestAnObserverMayKillTheFunctionInTheMiddleOfACall(t *testing.T) {
	c := start(t, localcloud.Options{State: small(), Function: fc.Function{Path: build(t)}})
	for _, phase := range []fault.Phase{fault.Received, fault.Done} {
		killed := false
		c.Faults.Observe(func(p fault.Point) {
			if p.Service == "ecd" && p.Phase == phase && !killed {
				killed = true
				c.FC.Kill()
			}
		})
		event := fmt.Appendf(nil, `{"tell":%q}`, c.ECDURL)
		r, err := c.FC.Invoke(t.Context(), event)
		if err != nil || r.ErrorType != fc.Unhandled || !strings.Contains(r.ErrorMessage, "killed") {
			t.Errorf("killed at %s, the invocation ended as %+v, %v, want unhandled", phase, r, err)
		}
		if r, err := c.FC.Invoke(t.Context(), event); err != nil || r.Failed() {
			t.Errorf("the invocation after that ended as %+v, %v, want success", r, err)
		}
	}
}

func TestARequestOnTheQueueReachesTheRealBinary(t *testing.T) {
	path := build(t)
	var result fc.Result
	c := start(t, localcloud.Options{
		State:    small(),
		Function: fc.Function{Path: path, Env: []string{"REGILD_LOG_LEVEL=debug"}, PreStop: true},
		Stream: func(o *bridge.Options) {
			o.Shape = bridge.Object // the test function takes one object
			o.Observe = func(d bridge.Delivery) { result = d.Result }
		},
	})
	if _, err := c.MNS.Send(localcloud.RequestQueue, []byte(`{}`), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Env  []string
		Keys struct{ AccessKeyID, AccessKeySecret, SecurityToken string } // keys match in any case
	}
	if err := json.Unmarshal(result.Response, &report); err != nil {
		t.Fatal(err)
	}
	for _, want := range append(c.Env(), "REGILD_LOG_LEVEL=debug") {
		if !slices.Contains(report.Env, want) {
			t.Errorf("the function's environment lacks %s", want)
		}
	}
	if k := report.Keys; (fc.Keys{ID: k.AccessKeyID, Secret: k.AccessKeySecret, Token: k.SecurityToken}) != c.Keys() {
		t.Error("the function's credentials are not the cloud's")
	}
	if got, want := len(c.FC.Instances()), 1; got != want {
		t.Errorf("%d instances ran, want %d", got, want)
	}
}

func TestSettleLetsDaysOfTicksPassOnAClockThatStandsStill(t *testing.T) {
	var c *localcloud.Cloud
	var at []string
	began := time.Now()
	c = start(t, localcloud.Options{State: small(), Invoker: function(func(context.Context, []byte) (fc.Result, error) {
		now := c.Clock.Now()
		at = append(at, now.Format("02T15:04"))
		if len(at) < 5 { // a tick to ourselves, a day ahead
			if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("tick"), 24*time.Hour); err != nil {
				return fc.Result{}, err
			}
		}
		return fc.Result{}, nil
	})})
	if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("request"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(at, " "), "23T08:00 24T08:00 25T08:00 26T08:00 27T08:00"; got != want {
		t.Errorf("function ran at %s, want %s (real time passed: %v)", got, want, time.Since(began))
	}
}

func TestSettleStopsWhenTheConditionHoldsOrNothingIsLeft(t *testing.T) {
	runs := 0
	c := start(t, localcloud.Options{State: small(), Invoker: function(func(context.Context, []byte) (fc.Result, error) {
		runs++
		return fc.Result{}, nil
	})})
	for range 3 {
		if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("x"), time.Duration(runs)*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := c.Settle(t.Context(), func() bool { return runs > 0 }); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Errorf("function ran %d times, want 1: the condition held from then on", runs)
	}
	if err := c.Settle(t.Context(), func() bool { return false }); !errors.Is(err, localcloud.ErrUnsettled) {
		t.Errorf("settling returned %v, want ErrUnsettled", err)
	}
}

func TestSettleTellsWhatKeepsItFromSettling(t *testing.T) {
	trouble := errors.New("no function today")
	c := start(t, localcloud.Options{State: small(), Invoker: function(func(context.Context, []byte) (fc.Result, error) {
		return fc.Result{}, trouble
	})})
	if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Idle(t.Context()); !errors.Is(err, trouble) {
		t.Errorf("settling returned %v, want the host's trouble", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Idle(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("settling returned %v, want the context's error", err)
	}
	if err := start(t, localcloud.Options{}).Idle(t.Context()); err == nil || !strings.Contains(err.Error(), "no function") {
		t.Errorf("settling without a function returned %v", err)
	}
}

func TestAMessageThatFailsForEverEndsAsADeadLetter(t *testing.T) {
	c := start(t, localcloud.Options{State: small(), Invoker: function(func(context.Context, []byte) (fc.Result, error) {
		return fc.Result{ErrorType: "panic", ErrorMessage: "poison"}, nil
	})})
	if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("poison"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(c.MNS.Pending(localcloud.DeadLetterQueue)); got != 1 {
		t.Errorf("%d messages are on the dead-letter queue, want 1", got)
	}
}

func TestTheCloudEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := localcloud.Start(ctx, localcloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Close(); err != nil { // waits for the end that cancel began
		t.Error(err)
	}
	if resp, err := http.Get(c.AdminURL + "/clock"); err == nil {
		_ = resp.Body.Close()
		t.Error("the cloud still answers")
	}
}

func TestACloudThatCannotStartSaysWhyAndLeavesNothing(t *testing.T) {
	taken := start(t, localcloud.Options{})
	_, err := localcloud.Start(t.Context(), localcloud.Options{Listen: localcloud.Addresses{Admin: strings.TrimPrefix(taken.AdminURL, "http://")}})
	if err == nil || !strings.Contains(err.Error(), "listening for admin") {
		t.Errorf("starting on a taken port returned %v", err)
	}
	_, err = localcloud.Start(t.Context(), localcloud.Options{Function: fc.Function{Path: "no/such/binary"}})
	if err == nil || !strings.Contains(err.Error(), "finding the function's binary") {
		t.Errorf("starting without a binary returned %v", err)
	}
	_, err = localcloud.Start(t.Context(), localcloud.Options{State: localcloud.State{Faults: []fault.Rule{{Kind: "flood"}}}})
	if err == nil || !strings.Contains(err.Error(), `kind "flood"`) {
		t.Errorf("starting with an unknown fault returned %v", err)
	}
}

func TestTheClockIsToldAndMoved(t *testing.T) {
	c := start(t, localcloud.Options{State: small()})
	var now struct {
		Now  time.Time
		Rate float64
	}
	told(t, c, "GET", "/clock", "", &now)
	if want := *standing().Rate; !now.Now.Equal(standing().Start) || now.Rate != want {
		t.Errorf("clock is %+v, want %v at rate %v", now, standing().Start, want)
	}
	told(t, c, "POST", "/clock", `{"advance":"10m"}`, &now)
	if want := standing().Start.Add(10 * time.Minute); !now.Now.Equal(want) {
		t.Errorf("clock is %v after 10 minutes, want %v", now.Now, want)
	}
	told(t, c, "POST", "/clock", `{"rate":3600}`, &now)
	if now.Rate != 3600 {
		t.Errorf("rate is %v, want 3600", now.Rate)
	}
	for _, body := range []string{`{"advance":"-1m"}`, `{"rate":-1}`, `{"forward":"1m"}`, `[`} {
		if status, answer := ask(t, c, "POST", "/clock", body); status != http.StatusBadRequest {
			t.Errorf("POST /clock %s answered %d: %s, want 400", body, status, answer)
		}
	}
}

func TestDesktopsAreShownAndChangedInTheWordsOfAStateFile(t *testing.T) {
	c := start(t, localcloud.Options{State: small()})
	const path = "/admin/desktops/ecd-small00000000001"
	var d struct {
		ID, Status, Connection string
		Tags                   map[string]string
		RebuildTakes           string
		Sessions               []struct{ User string }
	}
	told(t, c, "POST", path+"/connect?user=alice", "", &d)
	if d.Connection != "Connected" || len(d.Sessions) != 1 || d.Sessions[0].User != "alice" {
		t.Errorf("desktop is %+v after alice connected", d)
	}
	told(t, c, "POST", path, `{"status":"Stopped","connection":"Disconnected","rebuildTakes":"90s"}`, &d)
	if d.Status != "Stopped" || d.RebuildTakes != "1m30s" || d.Tags["ring"] != "canary" || d.ID != "ecd-small00000000001" {
		t.Errorf("desktop is %+v, want the three changes and the rest as it was", d)
	}
	var all []struct{ ID, Status string }
	told(t, c, "GET", "/admin/desktops", "", &all)
	if len(all) != 1 || all[0].Status != "Stopped" {
		t.Errorf("desktops are %+v, want the changed one", all)
	}
	for body, want := range map[string]string{`{"state":"Running"}`: "state", `{"status":`: "reading the body"} {
		if status, answer := ask(t, c, "POST", path, body); status != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("patch %s answered %d: %s, want 400 that names %s", body, status, answer, want)
		}
	}
	if status, _ := ask(t, c, "GET", "/admin/desktops/ecd-none", ""); status != http.StatusNotFound {
		t.Errorf("an unknown desktop answered %d, want 404", status)
	}
	if status, _ := ask(t, c, "POST", path+"/connect?user=bob", ""); status != http.StatusBadRequest {
		t.Errorf("connecting to a stopped desktop answered %d, want 400", status)
	}
}

func TestImagesMessagesFaultsAndTheJournalAreWithinReach(t *testing.T) {
	c := start(t, localcloud.Options{State: small()})
	var image struct{ Status string }
	told(t, c, "POST", "/admin/images/m-old0000000000000001", `{"status":"Creating"}`, &image)
	if image.Status != "Creating" {
		t.Errorf("image is %+v, want Creating", image)
	}
	var id struct{ ID string }
	told(t, c, "POST", "/admin/send?delay=1h", `{"n":1}`, &id)
	messages := c.MNS.Pending(localcloud.RequestQueue)
	if len(messages) != 1 || messages[0].ID != id.ID || string(messages[0].Body) != `{"n":1}` ||
		!messages[0].NextVisible.Equal(standing().Start.Add(time.Hour)) {
		t.Errorf("messages are %+v, want the one that was sent, an hour ahead", messages)
	}
	if _, err := c.MNS.Publish(localcloud.ResultTopic, []byte("plain text"), "accepted"); err != nil {
		t.Fatal(err)
	}
	var outcomes []struct{ ID, Tag, Body string }
	told(t, c, "GET", "/admin/outcomes", "", &outcomes)
	if len(outcomes) != 1 || outcomes[0].Tag != "accepted" || outcomes[0].Body != "plain text" {
		t.Errorf("outcomes are %+v, want the one that was published", outcomes)
	}
	var added struct{ Added []string }
	told(t, c, "POST", "/admin/faults", `{"service":"ecd","kind":"throttle"}`, &added)
	told(t, c, "POST", "/admin/faults", `[{"kind":"html"},{"kind":"close-after","service":"mns"}]`, &added)
	if got := fmt.Sprint(added.Added); got != "[html on any service any operation close-after on mns any operation]" {
		t.Errorf("faults are %s", got)
	}
	if resp, err := http.Get(c.ECDURL + "/?Action=DescribeRegions"); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("ECD was not throttled: %v", err)
	} else {
		_ = resp.Body.Close()
	}
	if calls := c.Faults.Calls(); calls[[2]string{"ecd", "DescribeRegions"}] != 1 {
		t.Errorf("calls are %v, want one DescribeRegions", calls)
	}
	var anything any
	told(t, c, "DELETE", "/admin/faults", "", &anything)
	if status, answer := ask(t, c, "GET", "/admin/wipes", ""); status != http.StatusOK || answer != "[]\n" {
		t.Errorf("GET /admin/wipes answered %d: %s, want an empty list", status, answer)
	}
	for _, q := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/admin/faults", `{"kind":"flood"}`, 400},
		{"POST", "/admin/send?queue=none", "x", 404},
		{"POST", "/admin/send?delay=soon", "x", 400},
		{"POST", "/admin/send", "", 400},
		{"POST", "/admin/images/none", "{}", 404},
		{"POST", "/admin/send", strings.Repeat("x", 1<<20+1), 413},
	} {
		if status, answer := ask(t, c, q.method, q.path, q.body); status != q.want {
			t.Errorf("%s %s answered %d: %s, want %d", q.method, q.path, status, answer, q.want)
		}
	}
}

func TestOnARunningClockTheTriggerDeliversAgainByItself(t *testing.T) {
	fast := 100_000.0 // the backoff of 15 s takes no time
	state := small()
	state.Clock.Rate = &fast
	tries := 0 // one worker, one invocation at a time
	delivered := make(chan bridge.Delivery)
	c := start(t, localcloud.Options{
		State: state,
		Invoker: function(func(context.Context, []byte) (fc.Result, error) {
			if tries++; tries == 1 {
				return fc.Result{ErrorType: "RetryError"}, nil
			}
			return fc.Result{}, nil
		}),
		Stream: func(o *bridge.Options) { o.Observe = func(d bridge.Delivery) { delivered <- d } },
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Bridge.Run(ctx) }()
	if _, err := c.MNS.Send(localcloud.RequestQueue, []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	first, second := <-delivered, <-delivered
	if first.Released != 1 || second.Deleted != 1 {
		t.Errorf("deliveries were %+v and %+v, want a release and then a deletion", first, second)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A web page that a developer looks at must not move the clock of what runs there.
func TestTheAdminAddressIsForProgramsAndNotForPages(t *testing.T) {
	c, err := localcloud.Start(t.Context(), localcloud.Options{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for name, tt := range map[string]struct {
		host, origin string
		want         int
	}{
		"a program":                      {"", "", http.StatusOK},
		"a page of another site":         {"", "http://evil.example", http.StatusForbidden},
		"a page that leads here by name": {"evil.example", "", http.StatusMisdirectedRequest},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.AdminURL+"/clock", strings.NewReader("advance: 1m"))
		if err != nil {
			t.Fatal(err)
		}
		if tt.host != "" {
			r.Host = tt.host
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: got status %d, want %d", name, resp.StatusCode, tt.want)
		}
	}
}
