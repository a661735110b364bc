package ecd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

// shapes are the SDK's requests of all APIs that are called here.
var shapes = map[string]any{
	"RebuildDesktops": sdk.RebuildDesktopsRequest{}, "StopDesktops": sdk.StopDesktopsRequest{}, "StartDesktops": sdk.StartDesktopsRequest{},
	"SetDesktopMaintenance": sdk.SetDesktopMaintenanceRequest{}, "RunCommand": sdk.RunCommandRequest{}, "DescribeInvocations": sdk.DescribeInvocationsRequest{},
	"DescribeDesktops": sdk.DescribeDesktopsRequest{}, "DescribeImages": sdk.DescribeImagesRequest{},
	"CreateSnapshot": sdk.CreateSnapshotRequest{}, "DescribeSnapshots": sdk.DescribeSnapshotsRequest{},
	"DescribeDesktopSessions": sdk.DescribeDesktopSessionsRequest{}, "DescribeClientEvents": sdk.DescribeClientEventsRequest{},
	"DescribeImageModifiedRecords": sdk.DescribeImageModifiedRecordsRequest{}, "ListTagResources": sdk.ListTagResourcesRequest{},
}

func TestParametersAreThoseOfTheSDK(t *testing.T) {
	if len(parameters) != len(shapes) {
		t.Errorf("APIs: got %d, want %d", len(parameters), len(shapes))
	}
	for api, names := range parameters {
		for _, name := range names {
			if _, ok := reflect.TypeOf(shapes[api]).FieldByName(name); !ok {
				t.Errorf("%s has no parameter %s", api, name)
			}
		}
	}
}

// documented is written by hand, apart from the table: each code, or what
// it begins with, by which a source says that nothing was carried out, and
// the statuses that it may come with. What is not here may have been carried out.
var documented = []struct {
	code     string
	statuses []int
	desktop  bool // also of a desktop in a 200
}{
	{"Throttling", []int{400, 403, 429, 503}, true},
	{"Throttling.*", []int{400, 403, 429, 503}, true},
	{"Rejected.Throttling", []int{400, 403, 429, 503}, true},
	{"IncorrectDesktopStatus", []int{400, 403, 409}, true},
	{"Forbidden", []int{400, 403}, true},
	{"Forbidden.RAM", []int{400, 403}, true},
	{"NoPermission", []int{400, 403}, true},
	{"InvalidParameter", []int{400, 404}, true},
	{"InvalidParameter.*", []int{400, 404}, true},
	{"MissingParameter", []int{400, 404}, true},
	{"MissingParameter.*", []int{400, 404}, true},
	{"InvalidDesktopId.NotFound", []int{400, 404}, true},
	{"InvalidResourceId.NotFound", []int{400, 404}, true},
	{"NotFindDesktopId", []int{400, 404}, true},
	{"InvalidAction.NotFound", []int{400, 404}, false},
	{"InvalidVersion", []int{400, 404}, false},
	{"401", []int{401}, false},
	{"InvalidSecurityToken", []int{400, 401, 403, 404}, false},
	{"InvalidSecurityToken.*", []int{400, 401, 403, 404}, false},
	{"SecurityTokenExpired", []int{400, 401, 403, 404}, false},
	{"MissingSecurityToken", []int{400, 401, 403, 404}, false},
	{"InvalidAccessKeyId", []int{400, 401, 403, 404}, false},
	{"InvalidAccessKeyId.*", []int{400, 401, 403, 404}, false},
	{"InvalidAccessKeySecret", []int{400, 401, 403, 404}, false},
	{"InactiveAccessKey", []int{400, 401, 403, 404}, false},
	{"InvalidCredentials", []int{400, 401, 403, 404}, false},
	{"SignatureDoesNotMatch", []int{400, 401, 403, 404}, false},
	{"IncompleteSignature", []int{400, 401, 403, 404}, false},
	{"InvalidTimeStamp.*", []int{400, 401, 403, 404}, false},
	{"IllegalTimestamp", []int{400, 401, 403, 404}, false},
}

// mayHaveHappened are words that outweigh whatever else an answer says.
var mayHaveHappened = []string{"internal", "unavailable", "timeout", "timedout", "unknown", "systemerror", "systembusy"}

// nothingHappened is the oracle: what the sources say, and no more.
func nothingHappened(level Level, api string, status int, code string) bool {
	if level == OfDesktop && api != "RebuildDesktops" { // no other answer speaks of desktops
		return false
	}
	for _, word := range mayHaveHappened {
		if strings.Contains(strings.ToLower(code), word) {
			return false
		}
	}
	reads := strings.HasPrefix(api, "Describe") || strings.HasPrefix(api, "List")
	for _, d := range documented {
		begin, open := strings.CutSuffix(d.code, "*")
		switch {
		case d.code == "401": // any code but those that leave it open at any status
			lower := strings.ToLower(code)
			if code == "" || lower == "signaturenonceused" || lower == "throttling" || lower == "rejected.throttling" || strings.HasPrefix(lower, "throttling.") {
				continue
			}
		case open && !strings.HasPrefix(code, begin), !open && code != d.code, code == "IncorrectDesktopStatus" && reads:
			continue
		}
		if level == OfDesktop && d.desktop || level == OfCall && slices.Contains(d.statuses, status) {
			return true
		}
	}
	for _, p := range parameters[api] {
		if code == "Missing"+p || code == "Invalid"+p || strings.HasPrefix(code, "Invalid"+p+".") {
			return level == OfDesktop || status == 400 || status == 404
		}
	}
	return false
}

// codes are all that the table and the oracle name, those that live services
// have been seen to send, and each of them spoilt in some way.
func codes() []string {
	list := []string{
		"", "success", "Success", "SUCCESS", "OK", "200", "successful", "<nil>", "null", "InternalError", "InternalFailure", "ServiceUnavailable",
		"ServiceUnavailableTemporary", "BackendTimeout", "RequestTimeout", "UnknownError", "OperationConflict", "OperationDenied", "DesktopInArrears",
		"SignatureNonceUsed", "Forbidden.Desktop", "Forbidden.SubUser", "QuotaExceeded", "InvalidDirectoryStatus", "DirectoryNotReady", "InvalidImageId.NotFound",
		"InvalidDesktopId.InternalError", "InvalidRegionId", "MissingRegionId", "InvalidLanguage.Malformed", "InvalidEndUserId", "Throttling.Timeout",
		"IncorrectImageStatus", "IncorrectInstanceStatus", "FlowControl", "InvalidMode.X", "InvalidDesktopIds.NotFound", "Invalid", "Missing", "Invalid.",
	}
	for _, r := range Table {
		for _, c := range r.Codes {
			list = append(list, strings.NewReplacer("<P>", "ImageId", "*", "Thing", "?", "A").Replace(c))
		}
	}
	for _, d := range documented {
		list = append(list, strings.ReplaceAll(d.code, "*", "Thing"))
	}
	for _, c := range slices.Clone(list) {
		list = append(list, c+"X", "X"+c, c+".", "x."+c, strings.ToLower(c), strings.ToUpper(c), c+" ", c+"\x00")
		if len(c) > 3 {
			list = append(list, c[:len(c)-1], c[1:])
		}
	}
	return list
}

// statuses are those that HTTP knows and some that it does not.
var statuses = []int{0, 100, 199, 200, 201, 202, 204, 206, 299, 301, 302, 304, 399, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 412, 413, 418, 422, 423, 424,
	425, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511, 599, 999}

func eachCombination(t *testing.T, f func(level Level, api string, status int, code string)) {
	t.Helper()
	list, n := codes(), 0
	for _, api := range []string{"RebuildDesktops", "SetDesktopMaintenance", "DescribeDesktops", "ListTagResources"} {
		for _, code := range list {
			f(OfDesktop, api, 200, code)
			for _, status := range statuses {
				f(OfCall, api, status, code)
				n++
			}
		}
	}
	if n < 100_000 {
		t.Fatalf("only %d combinations were tried", n)
	}
}

// Finding 1 to 5 of "answers that nobody documents" in one sentence: whatever no
// source speaks of may have been carried out.
func TestOnlyADocumentedAnswerIsTakenForNothingHappened(t *testing.T) {
	nothing := 0
	eachCombination(t, func(level Level, api string, status int, code string) {
		v := verdict(level, api, status, code)
		if want := nothingHappened(level, api, status, code); v.Nothing() != want {
			t.Fatalf("%s %s status %d code %q: got %s, want nothing happened: %t", api, level, status, code, v, want)
		}
		if v.Nothing() {
			nothing++
		}
	})
	if nothing < 1000 {
		t.Errorf("only %d combinations mean that nothing happened", nothing)
	}
}

func TestOnlySuccessIsTakenForSuccess(t *testing.T) {
	eachCombination(t, func(level Level, api string, status int, code string) {
		want := strings.EqualFold(code, "success") && (level == OfDesktop && api == "RebuildDesktops" || level == OfCall && status == 200) || level == OfCall && status == 200 && code == ""
		if got := verdict(level, api, status, code); (got == Done) != want {
			t.Fatalf("%s %s status %d code %q: got %s, want done: %t", api, level, status, code, got, want)
		}
		if level == OfDesktop && api == "RebuildDesktops" && want != (desktop.Result{Code: code}).Accepted() {
			t.Fatalf("code %q of a desktop: the table says done is %t, desktop.Result the opposite", code, want)
		}
	})
}

// Any text at all: the alphabet is made so that parts of real codes come up.
func TestNoRandomCodeIsTakenForNothingHappened(t *testing.T) {
	rnd := rand.New(rand.NewPCG(12, 12))
	parts := []string{"Invalid", "Missing", "Parameter", ".", "DesktopId", "ImageId", "NotFound", "Throttling", "Forbidden", "RAM", "Internal", "Error", "Incorrect", "Status", "Desktop", "x", "", "Timeout", "NoPermission", "é"}
	apis := slices.Sorted(func(yield func(string) bool) {
		for api := range shapes {
			if !yield(api) {
				return
			}
		}
	})
	for range 300_000 {
		var code string
		for range rnd.IntN(5) {
			code += parts[rnd.IntN(len(parts))]
		}
		level, api, status := Level(rnd.IntN(2)), apis[rnd.IntN(len(apis))], 100+rnd.IntN(500)
		if v, want := verdict(level, api, status, code), nothingHappened(level, api, status, code); v.Nothing() != want {
			t.Fatalf("%s %s status %d code %q: got %s, want nothing happened: %t", api, level, status, code, v, want)
		}
	}
}

// The handler knows one code that passes by itself, and counts how often it came.
func TestWhatIsRefusedForNowIsTheOneCodeThatTheHandlerKnows(t *testing.T) {
	for _, r := range Table {
		if r.Verdict == NotYet && !slices.Equal(r.Codes, []string{"IncorrectDesktopStatus"}) {
			t.Errorf("refused for now: got %v, want IncorrectDesktopStatus alone", r.Codes)
		}
	}
}

func TestEveryRowHasASourceAndDecidesSomething(t *testing.T) {
	decides := make([]bool, len(Table))
	eachCombination(t, func(level Level, api string, status int, code string) {
		for i := range Table {
			if Table[i].fits(level, api, status, code) {
				decides[i] = true
				return
			}
		}
	})
	for i, r := range Table {
		if r.Source == "" || len(r.Codes) == 0 {
			t.Errorf("row %d lacks a source, or codes: %+v", i, r)
		}
		if !decides[i] {
			t.Errorf("row %d never decides: %+v", i, r)
		}
	}
}

func TestADesktopsCodeInA200GoesByTheSameTable(t *testing.T) {
	for code, want := range map[string]desktop.Result{
		"InternalError":              {Delivery: desktop.Unknown},
		"ServiceUnavailable":         {Delivery: desktop.Unknown},
		"BackendTimeout":             {Delivery: desktop.Unknown},
		"UnknownError":               {Delivery: desktop.Unknown},
		"DesktopInArrears":           {Delivery: desktop.Unknown},
		"Throttling.User":            {Delivery: desktop.NotSent, Throttled: true},
		"Forbidden.RAM":              {Delivery: desktop.Forbidden},
		"InvalidDesktopId.NotFound":  {Delivery: desktop.Refused},
		"IncorrectDesktopStatus":     {Delivery: desktop.Refused},
		"InvalidImageId.GpuMismatch": {Delivery: desktop.Refused},
	} {
		body := fmt.Sprintf(`{"RequestId":"REQ-1","RebuildResults":[{"Code":%q,"Message":"m","DesktopId":"ecd-1"}]}`, code)
		answer, err := client(t, serve(t, say(200, body))).Rebuild(t.Context(), batch("ecd-1"))
		if err != nil || len(answer.Results) != 1 {
			t.Fatalf("%s: got %v, %v, want one result", code, answer, err)
		}
		got := answer.Results[0]
		if got.Delivery != want.Delivery || got.Throttled != want.Throttled || got.Code != code {
			t.Errorf("%s: got %+v, want %+v", code, got, want)
		}
	}
}

func TestIncorrectDesktopStatusOfAWholeCallIsARefusalThatSaysWhy(t *testing.T) {
	s := serve(t, say(400, errorBody("IncorrectDesktopStatus")))
	_, err := client(t, s).Rebuild(t.Context(), batch("ecd-1"))
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok || e.Delivery != desktop.Refused || e.Code != "IncorrectDesktopStatus" || s.calls() != 1 {
		t.Errorf("got %+v after %d calls, want refused with the code after one", e, s.calls())
	}
}

func TestAStrangeRefusalIsKnownFromAnOutage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   bool
	}{
		"a code that no page lists": {400, errorBody("DesktopInArrears"), true},
		"a conflict":                {409, errorBody("OperationConflict"), true},
		"something broke inside":    {400, errorBody("InternalError"), false},
		"a 5xx":                     {500, errorBody("DesktopInArrears"), false},
		"a throttle":                {429, errorBody("FlowControl"), false},
		"no code":                   {400, `{"RequestId":"REQ-1"}`, false},
		"a page":                    {400, `<html>`, false},
		"a code that is listed":     {400, errorBody("InvalidParameter"), false},
	} {
		err := client(t, serve(t, say(c.status, c.body))).Maintain(t.Context(), region, []string{"ecd-1"}, true)
		if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.Unlisted != c.want {
			t.Errorf("%s: got %+v, want unlisted: %t", name, e, c.want)
		}
	}
}

func TestCredentialsThatAreNotAcceptedAreAskedForAnew(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
	}{
		"expired with 400": {400, "SecurityTokenExpired"}, "expired with 403": {403, "InvalidSecurityToken.Expired"},
		"any 401": {401, "Unauthorized"}, "a key that was rotated": {404, "InvalidAccessKeyId.NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
				if n == 1 {
					say(c.status, errorBody(c.code))(w, r, n)
					return
				}
				say(200, `{"RequestId":"REQ-2","RebuildResults":[{"Code":"success","DesktopId":"ecd-1"}]}`)(w, r, n)
			})
			asked := 0
			source := func(context.Context) (credentials.Keys, error) {
				asked++
				return credentials.Keys{ID: fmt.Sprintf("LTAI%d", asked), Secret: "s"}, nil
			}
			answer, err := client(t, s, func(c *Config) { c.Keys = source }).Rebuild(t.Context(), batch("ecd-1"))
			if err != nil || len(answer.Results) != 1 || s.calls() != 2 || asked != 2 {
				t.Errorf("got %v, %v after %d calls and %d questions, want one result after 2 and 2", answer, err, s.calls(), asked)
			}

			s = serve(t, say(c.status, errorBody(c.code)))
			_, err = client(t, s).Rebuild(t.Context(), batch("ecd-1"))
			if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.Delivery != desktop.Forbidden || !e.Credentials || s.calls() != 1 {
				t.Errorf("with the same credentials: got %+v after %d calls, want it said after 1", e, s.calls())
			}
		})
	}
}

// FuzzVerdict holds the table against the oracle for codes that nobody thought of.
func FuzzVerdict(f *testing.F) {
	for i, code := range codes() { // a test above has all of them, and each seed is run before anything new is tried
		if i%40 == 0 {
			f.Add(400, code, i%80 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, status int, code string, ofDesktop bool) {
		level := OfCall
		if ofDesktop {
			level = OfDesktop
		}
		v := verdict(level, "RebuildDesktops", status, code)
		if want := nothingHappened(level, "RebuildDesktops", status, code); v.Nothing() != want {
			t.Errorf("%s status %d code %q: got %s, want nothing happened: %t", level, status, code, v, want)
		}
	})
}

// A panic in a goroutine would end the instance with all that it works on.
func TestAPanicWhileAPageIsReadIsAnErrorOfTheRead(t *testing.T) {
	_, err := gather(t.Context(), &Client{reading: 2}, []string{"a", "b"}, 1, func(_ context.Context, ids []string) (map[string]int, error) {
		if ids[0] == "b" {
			panic("index out of range")
		}
		return map[string]int{ids[0]: 1}, nil
	})
	if err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v, want an error that names the bug", err)
	}
}

func TestASessionMayMakeEveryCallAndNoOther(t *testing.T) {
	if want := slices.Sorted(maps.Keys(shapes)); !slices.Equal(Actions, want) {
		t.Errorf("got the actions %v, want %v", Actions, want)
	}
	policy := SessionPolicy()
	var v struct {
		Statement []struct {
			Effect, Resource string
			Action           []string
		}
	}
	if err := json.Unmarshal([]byte(policy), &v); err != nil || len(policy) > 1024 || len(v.Statement) != 1 || len(v.Statement[0].Action) != len(Actions) {
		t.Errorf("got %d characters, %+v, %v: want one statement in 1,024", len(policy), v, err)
	}
}
