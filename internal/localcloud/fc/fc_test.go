package fc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/fc"
)

// echo is the path of the function that all tests run.
var echo string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fc")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		echo = filepath.Join(dir, "echo")
		build := exec.Command("go", "build", "-o", echo, "./testdata/echo")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the test function: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// report is what the test function answers.
type report struct {
	Say         string
	PID         int
	Calls       int
	Initialized int
	Env         []string
	Keys        struct{ AccessKeyId, AccessKeySecret, SecurityToken string }
	DeadlineMS  int64
	Context     struct {
		RequestID  string
		Region     string
		AccountId  string
		RetryCount int
		Function   struct {
			Name, Handler, Memory string
			Timeout               int
		}
	}
}

func start(t *testing.T, f fc.Function) *fc.Host {
	t.Helper()
	f.Path = echo
	h, err := fc.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Kill)
	return h
}

func invoke(t *testing.T, h *fc.Host, event string) fc.Result {
	t.Helper()
	r, err := h.Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func echoed(t *testing.T, h *fc.Host, event string) report {
	t.Helper()
	result := invoke(t, h, event)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(result.Response, &r); err != nil {
		t.Fatalf("reading %s: %v", result.Response, err)
	}
	return r
}

func TestTheResponseIsWhatTheFunctionReturned(t *testing.T) {
	h := start(t, fc.Function{})
	if got := echoed(t, h, `{"say":"hello"}`).Say; got != "hello" {
		t.Errorf("function said %q, want hello", got)
	}
}

func TestAnIdleInstanceIsUsedAgain(t *testing.T) {
	h := start(t, fc.Function{Instances: 2})
	first, second := echoed(t, h, `{}`), echoed(t, h, `{}`)
	if first.PID != second.PID || second.Calls != 2 {
		t.Errorf("second event went to process %d as its call %d, want process %d and call 2", second.PID, second.Calls, first.PID)
	}
	all := h.Instances()
	if len(all) != 1 || all[0].Invocations != 2 || !all[0].Running || all[0].ColdStart <= 0 {
		t.Errorf("instances are %+v, want one running with 2 invocations and a cold start", all)
	}
}

func TestTheFunctionIsToldWhatFCTells(t *testing.T) {
	rotated := 0
	h := start(t, fc.Function{
		Name: "gilder", Handler: "main", Region: "cn-shanghai", AccountID: "42", MemoryMB: 1024,
		Timeout: 90*time.Second + time.Millisecond,
		Env:     []string{"REGILD_LOG_LEVEL=debug"},
		Keys: func() fc.Keys {
			rotated++ // one instance, one invocation at a time
			return fc.Keys{ID: fmt.Sprintf("STS.%d", rotated), Secret: "secret", Token: "token"}
		},
	})
	before := time.Now()
	result, err := h.InvokeEvent(t.Context(), fc.Event{Payload: []byte(`{}`), RequestID: "1-request", RetryCount: 2})
	if err != nil || result.Failed() {
		t.Fatal(err, result.Err())
	}
	var r report
	if err := json.Unmarshal(result.Response, &r); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", r.Context)
	want := "{RequestID:1-request Region:cn-shanghai AccountId:42 RetryCount:2 Function:{Name:gilder Handler:main Memory:1024 Timeout:91}}"
	if got != want || result.RequestID != "1-request" {
		t.Errorf("context is\n%s, want\n%s", got, want)
	}
	if r.Keys.AccessKeyId != "STS.2" || r.Keys.AccessKeySecret != "secret" || r.Keys.SecurityToken != "token" {
		t.Errorf("credentials of the invocation are %+v, want the second ones asked for", r.Keys)
	}
	left := time.UnixMilli(r.DeadlineMS).Sub(before)
	if left < 90*time.Second || left > 90*time.Second+result.Duration+time.Minute {
		t.Errorf("deadline is %v after the event, want about 90 s", left)
	}
	for _, want := range []string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID=STS.1", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=secret", "ALIBABA_CLOUD_SECURITY_TOKEN=token",
		"FC_ACCOUNT_ID=42", "FC_REGION=cn-shanghai", "FC_FUNCTION_NAME=gilder", "FC_FUNCTION_HANDLER=main",
		"FC_FUNCTION_MEMORY_SIZE=1024", "REGILD_LOG_LEVEL=debug", "FC_FUNC_CODE_PATH=" + filepath.Dir(echo),
	} {
		if !slices.Contains(r.Env, want) {
			t.Errorf("environment lacks %s", want)
		}
	}
}

func TestNothingOfThisMachineIsInheritedButWhatAProcessNeeds(t *testing.T) {
	t.Setenv("REGILD_RESULT_TOPIC", "leaked")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	allowed := []string{
		"PATH", "HOME", "TMPDIR", "GOCOVERDIR", "FC_RUNTIME_API", "FC_ACCOUNT_ID", "FC_REGION", "FC_FUNCTION_NAME",
		"FC_FUNCTION_HANDLER", "FC_FUNCTION_MEMORY_SIZE", "FC_FUNC_CODE_PATH", "FC_INSTANCE_ID", "FC_CUSTOM_LISTEN_PORT",
		"FC_VER_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN",
	}
	for _, entry := range echoed(t, start(t, fc.Function{}), `{}`).Env {
		if name, _, _ := strings.Cut(entry, "="); !slices.Contains(allowed, name) {
			t.Errorf("the function inherited %s", name)
		}
	}
}

func TestAReturnedErrorIsAFunctionErrorWithItsGoType(t *testing.T) {
	h := start(t, fc.Function{})
	r := invoke(t, h, `{"do":"fail","say":"will not"}`)
	if r.ErrorType != "refusalError" || r.ErrorMessage != "will not" || r.Response != nil || r.Killed {
		t.Errorf("result is %+v, want a refusalError that says: will not", r)
	}
	if got := echoed(t, h, `{}`).Calls; got != 2 {
		t.Errorf("next event was call %d of its process, want 2: an error does not end the process", got)
	}
}

func TestAPanicIsAFunctionErrorAndTheProcessGoesOn(t *testing.T) {
	h := start(t, fc.Function{})
	if r := invoke(t, h, `{"do":"panic","say":"broken"}`); r.ErrorType != "string" || r.ErrorMessage != "broken" {
		t.Errorf("result is %+v, want the panic's type and message", r)
	}
	if got := echoed(t, h, `{}`).Calls; got != 2 {
		t.Errorf("next event was call %d of its process, want 2", got)
	}
}

func TestAnInvocationThatOutlastsItsTimeoutIsKilled(t *testing.T) {
	h := start(t, fc.Function{Timeout: time.Millisecond})
	r := invoke(t, h, `{"do":"hang"}`)
	if !r.Killed || r.ErrorType != fc.Unhandled || !strings.Contains(r.ErrorMessage, "timed out after 1ms") {
		t.Errorf("result is %+v, want killed by the timeout", r)
	}
	if all := h.Instances(); len(all) != 1 || all[0].Running {
		t.Errorf("instances are %+v, want one that ended", all)
	}
}

func TestAProcessThatDiesIsAFunctionErrorAndTheNextEventStartsAnother(t *testing.T) {
	h := start(t, fc.Function{})
	r := invoke(t, h, `{"do":"exit"}`)
	if r.ErrorType != fc.Unhandled || r.Killed || !strings.Contains(r.ErrorMessage, "exit status 7") {
		t.Errorf("result is %+v, want unhandled, exit status 7", r)
	}
	if got := echoed(t, h, `{}`).Calls; got != 1 {
		t.Errorf("next event was call %d of its process, want 1: a new one", got)
	}
	if all := h.Instances(); len(all) != 2 || all[0].Running || !all[1].Running || all[0].CPU <= 0 {
		t.Errorf("instances are %+v, want an ended one with its CPU time and a running one", all)
	}
}

func TestTheInitializerRunsOnceBeforeTheFirstEvent(t *testing.T) {
	h := start(t, fc.Function{Initializer: true})
	for n := range 2 {
		if got := echoed(t, h, `{}`).Initialized; got != 1 {
			t.Errorf("event %d saw %d runs of the initializer, want 1", n+1, got)
		}
	}
}

func TestAFailingInitializerFailsTheEventAndEndsTheInstance(t *testing.T) {
	h := start(t, fc.Function{Initializer: true, Env: []string{"INITIALIZER=panic"}})
	r, err := h.InvokeEvent(t.Context(), fc.Event{Payload: []byte(`{}`), RequestID: "1-mine"})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Failed() || r.RequestID != "1-mine" || r.ErrorMessage != "initializer fails" {
		t.Errorf("result is %+v, want the initializer's failure under the event's request id", r)
	}
	if all := h.Instances(); len(all) != 1 || all[0].Running {
		t.Errorf("instances are %+v, want one that ended", all)
	}
}

func TestHooksHaveLimitsOfTheirOwn(t *testing.T) {
	t.Run("as the hooks are told", func(t *testing.T) {
		var log buffer
		h := start(t, fc.Function{
			Initializer: true, PreStop: true, Stdout: &log, Timeout: time.Hour,
			InitializerTimeout: 30 * time.Second, PreStopTimeout: 40 * time.Second,
		})
		if got := echoed(t, h, `{}`).Context.Function.Timeout; got != 3600 {
			t.Errorf("the event was told a limit of %d s, want 3600", got)
		}
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"initializer ran within 30s\n", "preStop ran within 40s\n"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
	})
	t.Run("an initializer that hangs", func(t *testing.T) {
		h := start(t, fc.Function{Initializer: true, Env: []string{"INITIALIZER=hang"}, Timeout: time.Hour, InitializerTimeout: time.Millisecond})
		r := invoke(t, h, `{}`)
		if !r.Killed || r.ErrorType != fc.Unhandled || r.ErrorMessage != "initializer timed out after 1ms" {
			t.Errorf("result is %+v, want killed by the initializer's limit", r)
		}
		if all := h.Instances(); len(all) != 1 || all[0].Running {
			t.Errorf("instances are %+v, want one that ended", all)
		}
	})
	t.Run("a preStop hook that hangs", func(t *testing.T) {
		h := start(t, fc.Function{PreStop: true, Env: []string{"PRESTOP=hang"}, Timeout: time.Hour, PreStopTimeout: time.Millisecond})
		echoed(t, h, `{}`)
		if err := h.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "preStop hook timed out after 1ms") {
			t.Errorf("stopping returned %v, want the hook's limit", err)
		}
		if all := h.Instances(); len(all) != 1 || all[0].Running {
			t.Errorf("instances are %+v, want one that ended", all)
		}
	})
}

// buffer is a writer that several goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestStopRunsPreStopOnIdleInstancesAndEndsThem(t *testing.T) {
	var log buffer
	h := start(t, fc.Function{PreStop: true, Stdout: &log})
	echoed(t, h, `{"do":"log","say":"a line of the function"}`)
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a line of the function\n", "preStop ran within 10s\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "initializer ran") {
		t.Error("the initializer ran although the function does not declare it")
	}
	if all := h.Instances(); len(all) != 1 || all[0].Running {
		t.Errorf("instances are %+v, want one that ended", all)
	}
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, fc.ErrStopped) {
		t.Errorf("invoking a stopped host returned %v, want ErrStopped", err)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestStopGivesUpOnABusyInstanceWhenItsContextEnds(t *testing.T) {
	h := start(t, fc.Function{})
	busy := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(busy) }))
	defer server.Close()
	result := make(chan fc.Result, 1)
	go func() {
		r, _ := h.Invoke(context.WithoutCancel(t.Context()), event(t, "hang", server.URL))
		result <- r
	}()
	<-busy
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("stopping returned %v, want the context's error", err)
	}
	if r := <-result; r.ErrorType != fc.Unhandled {
		t.Errorf("invocation ended as %+v, want unhandled", r)
	}
}

func TestKillMayBeCalledFromWhatAnInvocationCalls(t *testing.T) {
	h := start(t, fc.Function{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.Kill() }))
	defer server.Close()
	r, err := h.Invoke(t.Context(), event(t, "echo", server.URL))
	if err != nil {
		t.Fatal(err)
	}
	if r.ErrorType != fc.Unhandled || r.Killed || !strings.Contains(r.ErrorMessage, "killed") {
		t.Errorf("result is %+v, want unhandled, by a signal", r)
	}
	echoed(t, h, `{}`)
}

func TestAsManyEventsRunAtOnceAsThereMayBeInstances(t *testing.T) {
	const instances = 3
	h := start(t, fc.Function{Instances: instances})
	var inside sync.WaitGroup
	inside.Add(instances)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside.Done()
		inside.Wait() // lets nobody go before all are here
	}))
	defer server.Close()
	var events sync.WaitGroup
	for range instances {
		events.Go(func() {
			if r, err := h.Invoke(t.Context(), event(t, "echo", server.URL)); err != nil || r.Failed() {
				t.Error(err, r.Err())
			}
		})
	}
	events.Wait()
	if got := len(h.Instances()); got != instances {
		t.Errorf("%d instances ran, want %d", got, instances)
	}
}

func TestAnInvocationEndsWithItsContext(t *testing.T) {
	h := start(t, fc.Function{})
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	defer server.Close()
	if _, err := h.Invoke(ctx, event(t, "hang", server.URL)); !errors.Is(err, context.Canceled) {
		t.Errorf("invoking returned %v, want the context's error", err)
	}
	if all := h.Instances(); len(all) != 1 || all[0].Running {
		t.Errorf("instances are %+v, want one that ended", all)
	}
}

func TestTheHostEndsWithStartsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h, err := fc.Start(ctx, fc.Function{Path: echo})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	defer server.Close()
	r, err := h.Invoke(t.Context(), event(t, "hang", server.URL))
	if err == nil && r.ErrorType != fc.Unhandled {
		t.Errorf("invocation ended as %+v, want unhandled or ErrStopped", r)
	}
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, fc.ErrStopped) {
		t.Errorf("invoking afterwards returned %v, want ErrStopped", err)
	}
}

func TestStartNamesEveryFaultOfAFunction(t *testing.T) {
	_, err := fc.Start(t.Context(), fc.Function{
		Timeout: -1, InitializerTimeout: -1, PreStopTimeout: time.Hour, MemoryMB: 100, Instances: -1,
		Env: []string{"FC_REGION=x", "1A=x", "novalue", "BIG=" + strings.Repeat("x", 5000)},
	})
	if err == nil {
		t.Fatal("starting succeeded")
	}
	for _, want := range []string{
		"timeout -1ns", "timeout -1ns of the initializer hook", "timeout 1h0m0s of the preStop hook", "memory 100 MB", "instances -1", "FC_REGION: FC_ is reserved", `"1A"`, `"novalue" is not NAME=value`,
		"the platform takes 4096", "path of the function's binary is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestABinaryThatCannotRunIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := fc.Start(t.Context(), fc.Function{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "starting text") {
		t.Errorf("invoking returned %v, want: starting text", err)
	}
}

func TestAPayloadAboveThePlatformsLimitIsRefused(t *testing.T) {
	h := start(t, fc.Function{})
	if _, err := h.Invoke(t.Context(), make([]byte, fc.MaxPayload+1)); err == nil || !strings.Contains(err.Error(), "above the platform's") {
		t.Errorf("invoking returned %v, want a refusal", err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k := fc.Keys{ID: "an-id", Secret: "a-secret", Token: "a-token"}
	if got := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(got, "a-") || strings.Contains(got, "an-") {
		t.Errorf("printed %s", got)
	}
}

// event returns an event that asks url first and then does something.
func event(t *testing.T, do, url string) []byte {
	t.Helper()
	e, err := json.Marshal(map[string]string{"do": do, "tell": url})
	if err != nil {
		t.Error(err)
	}
	return e
}
