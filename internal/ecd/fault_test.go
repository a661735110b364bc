package ecd

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

func errorBody(code string) string {
	return `{"RequestId":"REQ-1","HostId":"ecd.cn-hangzhou.aliyuncs.com","Code":"` + code + `","Message":"the message","Recommend":"https://next.api.aliyun.com"}`
}

// Each answer that ECD or something before it may give, and what it means for a
// rebuild and for a read. Throttling passes after the first attempt here only
// when it is repeated, so calls counts the attempts.
func TestAnAnswersFateFollowsFromItsCode(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		body      string
		delivery  desktop.Delivery
		throttled bool
		code      string
		rebuilds  int // attempts at a rebuild
		reads     int // attempts at a read
	}{
		"throttled with 400":        {400, errorBody("Throttling"), desktop.NotSent, true, "Throttling", 6, 6},
		"throttled with 503":        {503, errorBody("Throttling.User"), desktop.NotSent, true, "Throttling.User", 6, 6},
		"throttled with 429":        {429, errorBody("Throttling.Api"), desktop.NotSent, true, "Throttling.Api", 6, 6},
		"throttled with 403":        {403, errorBody("Rejected.Throttling"), desktop.NotSent, true, "Rejected.Throttling", 6, 6},
		"throttled with 200":        {200, errorBody("Throttling.Other"), desktop.Unknown, true, "Throttling.Other", 1, 3},
		"429 with another code":     {429, errorBody("FlowControl"), desktop.Unknown, true, "FlowControl", 1, 3},
		"429 without a code":        {429, `{"RequestId":"REQ-1"}`, desktop.Unknown, true, "", 1, 3},
		"429 page":                  {429, `<html>slow down</html>`, desktop.Unknown, true, "", 1, 3},
		"throttled, odd status":     {418, errorBody("Throttling"), desktop.Unknown, true, "Throttling", 1, 3},
		"a parameter of the call":   {400, errorBody("InvalidDesktopId.Malformed"), desktop.Refused, false, "InvalidDesktopId.Malformed", 1, 1},
		"of another call":           {400, errorBody("InvalidDirectoryId"), desktop.Unknown, false, "InvalidDirectoryId", 1, 3},
		"internal error as 4xx":     {400, errorBody("InternalError.Desktop"), desktop.Unknown, false, "InternalError.Desktop", 1, 3},
		"unavailable as 403":        {403, errorBody("ServiceUnavailableTemporary"), desktop.Unknown, false, "ServiceUnavailableTemporary", 1, 3},
		"timeout as 404":            {404, errorBody("InvalidParameter.BackendTimeout"), desktop.Unknown, false, "InvalidParameter.BackendTimeout", 1, 3},
		"unknown error as 401":      {401, errorBody("UnknownError"), desktop.Unknown, false, "UnknownError", 1, 3},
		"internal error as 200":     {200, errorBody("InternalError"), desktop.Unknown, false, "InternalError", 1, 3},
		"session expired":           {400, errorBody("SecurityTokenExpired"), desktop.Forbidden, false, "SecurityTokenExpired", 1, 1},
		"401 with any code":         {401, errorBody("SomethingNew"), desktop.Forbidden, false, "SomethingNew", 1, 1},
		"401 without a code":        {401, `{"RequestId":"REQ-1"}`, desktop.Unknown, false, "", 1, 3},
		"invalid parameter":         {400, errorBody("InvalidParameter.ImageId"), desktop.Refused, false, "InvalidParameter.ImageId", 1, 1},
		"missing parameter":         {400, errorBody("MissingRegionId"), desktop.Refused, false, "MissingRegionId", 1, 1},
		"desktop not found":         {404, errorBody("InvalidDesktopId.NotFound"), desktop.Refused, false, "InvalidDesktopId.NotFound", 1, 1},
		"conflict":                  {409, errorBody("OperationConflict"), desktop.Unknown, false, "OperationConflict", 1, 3},
		"leaked key":                {400, errorBody("Forbidden"), desktop.Forbidden, false, "Forbidden", 1, 1},
		"no permission":             {403, errorBody("Forbidden.RAM"), desktop.Forbidden, false, "Forbidden.RAM", 1, 1},
		"no permission, other code": {400, errorBody("NoPermission"), desktop.Forbidden, false, "NoPermission", 1, 1},
		"403 with any code":         {403, errorBody("SomethingNew"), desktop.Unknown, false, "SomethingNew", 1, 3},
		"unknown key":               {404, errorBody("InvalidAccessKeyId.NotFound"), desktop.Forbidden, false, "InvalidAccessKeyId.NotFound", 1, 1},
		"bad signature":             {400, errorBody("SignatureDoesNotMatch"), desktop.Forbidden, false, "SignatureDoesNotMatch", 1, 1},
		"expired token":             {400, errorBody("InvalidSecurityToken.Expired"), desktop.Forbidden, false, "InvalidSecurityToken.Expired", 1, 1},
		"wrong clock":               {400, errorBody("InvalidTimeStamp.Expired"), desktop.Forbidden, false, "InvalidTimeStamp.Expired", 1, 1},
		"nonce seen before":         {400, errorBody("SignatureNonceUsed"), desktop.Unknown, false, "SignatureNonceUsed", 1, 3},
		"request timeout":           {408, errorBody("RequestTimeout"), desktop.Unknown, false, "RequestTimeout", 1, 3},
		"internal error":            {500, errorBody("InternalError"), desktop.Unknown, false, "InternalError", 1, 3},
		"unavailable":               {503, errorBody("ServiceUnavailable"), desktop.Unknown, false, "ServiceUnavailable", 1, 3},
		"5xx that says forbidden":   {502, errorBody("Forbidden"), desktop.Unknown, false, "Forbidden", 1, 3},
		"5xx without a body":        {500, ``, desktop.Unknown, false, "", 1, 3},
		"5xx page":                  {502, `<html>Bad Gateway</html>`, desktop.Unknown, false, "", 1, 3},
		"4xx page":                  {400, `<html>Bad Request</html>`, desktop.Unknown, false, "", 1, 3},
		"4xx without a code":        {400, `{"RequestId":"REQ-1"}`, desktop.Unknown, false, "", 1, 3},
		"redirect":                  {302, `{}`, desktop.Unknown, false, "", 1, 3},
		"no content":                {204, ``, desktop.Unknown, false, "", 1, 3},
		"empty 200":                 {200, ``, desktop.Unknown, false, "", 1, 3},
		"200 of nobody's":           {200, `{}`, desktop.Unknown, false, "", 1, 3},
		"200 page":                  {200, `<html>Sign in to the Wi-Fi</html>`, desktop.Unknown, false, "", 1, 3},
		"200 of another type":       {200, `[]`, desktop.Unknown, false, "", 1, 3},
		"200 cut in the middle":     {200, `{"RequestId":"REQ-1","RebuildResults":[{"Code":"succ`, desktop.Unknown, false, "", 1, 3},
		"200 of the wrong shape":    {200, `{"RequestId":"REQ-1","RebuildResults":{"a":1},"Desktops":{"a":1}}`, desktop.Unknown, false, "", 1, 3},
		"200 with something behind": {200, `{"RequestId":"REQ-1"} trailing`, desktop.Unknown, false, "", 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, say(c.status, c.body))
			_, err := client(t, s).Rebuild(t.Context(), batch("ecd-1"))
			e, ok := errors.AsType[*desktop.CallError](err)
			if !ok {
				t.Fatalf("error: got %v, want a CallError", err)
			}
			if e.Call != "RebuildDesktops" || e.Delivery != c.delivery || e.Throttled != c.throttled || e.Code != c.code {
				t.Errorf("got %+v, want delivery %v, throttled %v, code %q", e, c.delivery, c.throttled, c.code)
			}
			if c.code != "" && e.RequestID != "REQ-1" {
				t.Errorf("request id: got %q, want REQ-1", e.RequestID)
			}
			if s.calls() != c.rebuilds {
				t.Errorf("rebuilds sent: got %d, want %d", s.calls(), c.rebuilds)
			}

			s = serve(t, say(c.status, c.body))
			_, err = client(t, s).Desktops(t.Context(), region, []string{"ecd-1"})
			if got := desktop.DeliveryOf(err); err == nil || got != c.delivery {
				t.Errorf("delivery of a read: got %v (%v), want %v", got, err, c.delivery)
			}
			if s.calls() != c.reads {
				t.Errorf("reads sent: got %d, want %d", s.calls(), c.reads)
			}
		})
	}
}

func TestABrokenConnectionLeavesARebuildUnknownAndIsNotSentAgain(t *testing.T) {
	hijack := func(w http.ResponseWriter) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, int){
		"closed":    func(w http.ResponseWriter, _ *http.Request, _ int) { hijack(w) },
		"no answer": func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() },
		"truncated": func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"RequestId":"REQ-1"`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer)
			_, err := client(t, s, func(c *Config) { c.RebuildTimeout = 200 * time.Millisecond }).Rebuild(t.Context(), batch("ecd-1"))
			if got := desktop.DeliveryOf(err); err == nil || got != desktop.Unknown {
				t.Errorf("delivery: got %v (%v), want unknown", got, err)
			}
			if s.calls() != 1 {
				t.Errorf("rebuilds sent: got %d, want 1", s.calls())
			}
			if err != nil && strings.Contains(err.Error(), "ecd-1") {
				t.Errorf("the error repeats the query: %v", err)
			}
		})
	}
}

func TestARebuildThatDidNotArriveIsSentAgain(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	var told []Call
	c, err := New(Config{
		Endpoint: closed.URL, Keys: constantKeys,
		Backoff: quick,
		Observe: func(c Call) { told = append(told, c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Rebuild(t.Context(), batch("ecd-1"))
	if got := desktop.DeliveryOf(err); got != desktop.NotSent {
		t.Errorf("delivery: got %v (%v), want not sent", got, err)
	}
	if len(told) != 6 {
		t.Errorf("attempts: got %d, want 6", len(told))
	}
}

func TestACancelledRebuildWasNotSent(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"REQ-1"}`))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client(t, s).Rebuild(ctx, batch("ecd-1"))
	if desktop.DeliveryOf(err) != desktop.NotSent || !errors.Is(err, context.Canceled) || s.calls() != 0 {
		t.Errorf("got %v after %d calls, want not sent because cancelled", err, s.calls())
	}
}

func TestAThrottledRebuildIsRepeatedOnlyWhileTimeIsLeft(t *testing.T) {
	s := serve(t, say(400, errorBody("Throttling.User")))
	ctx, cancel := context.WithTimeout(t.Context(), rebuildNeeds-time.Second)
	defer cancel()
	_, err := client(t, s).Rebuild(ctx, batch("ecd-1"))
	if e, ok := errors.AsType[*desktop.CallError](err); !ok || !e.Throttled {
		t.Errorf("error: got %v, want the throttling", err)
	}
	if s.calls() != 1 {
		t.Errorf("calls: got %d, want 1", s.calls())
	}
}

func TestNoErrorCarriesCredentials(t *testing.T) {
	echo := `{"RequestId":"REQ-1","Code":"InvalidParameter","Message":"seen CAIStoken, LTAItest and s3cr3t"}`
	signature := `{"RequestId":"REQ-1","Code":"SignatureDoesNotMatch","Message":"server string to sign is: ... x-acs-security-token:CAISother"}`
	for _, body := range []string{echo, signature} {
		_, err := client(t, serve(t, say(400, body))).Rebuild(t.Context(), batch("ecd-1"))
		for _, secret := range []string{keys.ID, keys.Secret, keys.Token, "CAISother"} {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v carries %q", err, secret)
			}
		}
	}
}

func TestNothingIsSentWithoutCredentials(t *testing.T) {
	s := serve(t, say(200, `{}`))
	for name, source := range map[string]func(context.Context) (credentials.Keys, error){
		"none":       func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, credentials.ErrNone },
		"incomplete": func(context.Context) (credentials.Keys, error) { return credentials.Keys{ID: "LTAI"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, s, func(c *Config) { c.Keys = source }).Rebuild(t.Context(), batch("ecd-1"))
			if desktop.DeliveryOf(err) != desktop.Forbidden || !errors.Is(err, credentials.ErrNone) || s.calls() != 0 {
				t.Errorf("got %v after %d calls, want forbidden after none", err, s.calls())
			}
		})
	}
}

func TestARegionThatIsNoNameIsRefusedUnsent(t *testing.T) {
	for _, bad := range []string{"", "cn/hangzhou", "evil.example/x", "CN", "-cn", strings.Repeat("a", 64), "a@b", "cn-hangzhou\r\nX: y"} {
		c, err := New(Config{Keys: constantKeys})
		if err != nil {
			t.Fatal(err)
		}
		b := batch("ecd-1")
		b.RegionID = bad
		if _, err := c.Rebuild(t.Context(), b); desktop.DeliveryOf(err) != desktop.Refused {
			t.Errorf("region %q: got %v, want it refused", bad, err)
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Config{Endpoint: "http://ecd.example.com", Concurrency: -1, CallTimeout: -1})
	for _, want := range []string{"unencrypted", "Keys", "timeout", "concurrency"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for given, want := range map[string][2]string{
		"":                              {"HTTPS", ""},
		"ecd.cn-shanghai.aliyuncs.com":  {"HTTPS", "ecd.cn-shanghai.aliyuncs.com"},
		"ecd.internal:8443":             {"HTTPS", "ecd.internal:8443"},
		"https://ecd.internal/":         {"HTTPS", "ecd.internal"},
		"http://127.0.0.1:8080":         {"HTTP", "127.0.0.1:8080"},
		"http://localhost:8080":         {"HTTP", "localhost:8080"},
		"http://[::1]:8080":             {"HTTP", "[::1]:8080"},
		"http://10.0.0.1:8080":          {},
		"ftp://ecd.internal":            {},
		"https://user:pass@ecd.interna": {},
		"https://ecd.internal/path":     {},
		"ecd.internal?x=y":              {},
		"https://":                      {},
		"exa mple":                      {},
	} {
		at, err := parseEndpoint(given)
		protocol, host := at.protocol, at.host
		if want == [2]string{} {
			if err == nil {
				t.Errorf("%q: got %s %s, want a refusal", given, protocol, host)
			}
			continue
		}
		if err != nil || protocol != want[0] || host != want[1] {
			t.Errorf("%q: got %q %q %v, want %q", given, protocol, host, err, want)
		}
	}
}
