package ecd

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The vendor's own worked example of the RPC signature.
func TestTheRPCSignatureIsTheOneOfTheDocumentation(t *testing.T) {
	v := url.Values{}
	for _, pair := range [][2]string{
		{"Timestamp", "2016-02-23T12:46:24Z"}, {"Format", "XML"}, {"AccessKeyId", "testid"}, {"Action", "DescribeRegions"},
		{"SignatureMethod", "HMAC-SHA1"}, {"SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"},
		{"Version", "2014-05-26"}, {"SignatureVersion", "1.0"},
	} {
		v.Set(pair[0], pair[1])
	}
	if got, want := rpcSignature("testsecret", "GET", v), "OLeaidS1JvxuMvnyHOwuJ+uX5qY="; got != want {
		t.Errorf("signature: got %s, want %s", got, want)
	}
}

// The vendor's own worked example of the signature of version 3.
func TestTheACS3SignatureIsTheOneOfTheDocumentation(t *testing.T) {
	r := httptest.NewRequest("POST", "/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai", nil)
	r.Host = "ecs.cn-shanghai.aliyuncs.com"
	hash := sha256Hex(nil)
	for name, value := range map[string]string{
		"x-acs-action": "RunInstances", "x-acs-content-sha256": hash, "x-acs-date": "2023-10-26T10:22:32Z",
		"x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d", "x-acs-version": "2014-05-26",
	} {
		r.Header.Set(name, value)
	}
	headers := []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
	got := acs3Signature("YourAccessKeySecret", acs3Request(r, r.URL.Query(), headers, hash))
	if want := "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"; got != want {
		t.Errorf("signature: got %s, want %s", got, want)
	}
}

// rpcCall is a call signed by hand as the documentation of the RPC mechanism
// says, written apart from the code under test.
type rpcCall struct {
	method, secret string
	inBody         bool
	params         map[string]string
}

var nonces atomic.Int64

// nonce makes each hand-made call a new one.
func nonce() string { return fmt.Sprintf("nonce-%d", nonces.Add(1)) }

func describeRegions() rpcCall {
	return rpcCall{method: "GET", secret: testKeys.Secret, params: map[string]string{
		"Action": "DescribeRegions", "Version": "2020-09-30", "Format": "JSON", "AccessKeyId": testKeys.ID,
		"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": nonce(),
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05Z"),
	}}
}

func (c rpcCall) do(t *testing.T, base string) (int, map[string]any) {
	t.Helper()
	encode := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	var pairs []string
	for k, v := range c.params {
		pairs = append(pairs, encode(k)+"="+encode(v))
	}
	slices.Sort(pairs)
	query := strings.Join(pairs, "&")
	mac := hmac.New(sha1.New, []byte(c.secret+"&"))
	_, _ = io.WriteString(mac, c.method+"&%2F&"+encode(query))
	if _, given := c.params["Signature"]; !given {
		query += "&Signature=" + encode(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	target, body := base+"/?"+query, io.Reader(nil)
	if c.inBody {
		target, body = base+"/", strings.NewReader(query)
	}
	r, err := http.NewRequestWithContext(t.Context(), c.method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	if c.inBody {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return send(t, r)
}

func send(t *testing.T, r *http.Request) (int, map[string]any) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var body map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatalf("decoding the answer: %v", err)
	}
	if body["RequestId"] != answer.Header.Get("x-acs-request-id") || body["RequestId"] == "" {
		t.Errorf("request id: got %v in the body, %q in the header", body["RequestId"], answer.Header.Get("x-acs-request-id"))
	}
	return answer.StatusCode, body
}

func TestACallSignedTheRPCWayIsServedFromQueryAndBody(t *testing.T) {
	w := start(t, State{}, Options{})
	for _, c := range []struct {
		method string
		inBody bool
	}{{"GET", false}, {"POST", false}, {"POST", true}} {
		call := describeRegions()
		call.method, call.inBody = c.method, c.inBody
		call.params["Odd"] = "a b+c*d~e/f&g=h%中"
		if status, body := call.do(t, w.url); status != 200 || len(body["Regions"].([]any)) == 0 {
			t.Errorf("%s, in the body %v: got %d %v", c.method, c.inBody, status, body)
		}
	}
	if got := w.faults.Count("ecd", "DescribeRegions"); got != 3 {
		t.Errorf("calls counted: got %d, want 3", got)
	}
}

func TestACallThatIsNotSignedRightIsRefused(t *testing.T) {
	sts := Keys{ID: "STS.temporary", Secret: "sts-secret", Token: "sts-token"}
	w := start(t, State{}, Options{Keys: []Keys{testKeys, sts}})
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format("2006-01-02T15:04:05Z") }
	for _, c := range []struct {
		name   string
		bend   func(*rpcCall)
		status int
		code   string
	}{
		{"nothing bent", func(*rpcCall) {}, 200, ""},
		{"wrong secret", func(c *rpcCall) { c.secret = "other" }, 400, "SignatureDoesNotMatch"},
		{"signature of nothing", func(c *rpcCall) { c.params["Signature"] = "bm8=" }, 400, "SignatureDoesNotMatch"},
		{"no signature", func(c *rpcCall) { c.params["Signature"] = "" }, 400, "MissingSignature"},
		{"unknown key", func(c *rpcCall) { c.params["AccessKeyId"] = "other" }, 404, "InvalidAccessKeyId.NotFound"},
		{"no key", func(c *rpcCall) { delete(c.params, "AccessKeyId") }, 400, "MissingAccessKeyId"},
		{"no nonce", func(c *rpcCall) { delete(c.params, "SignatureNonce") }, 400, "MissingSignatureNonce"},
		{"no time stamp", func(c *rpcCall) { delete(c.params, "Timestamp") }, 400, "MissingTimestamp"},
		{"old time stamp", func(c *rpcCall) { c.params["Timestamp"] = ago(16 * time.Minute) }, 400, "InvalidTimeStamp.Expired"},
		{"early time stamp", func(c *rpcCall) { c.params["Timestamp"] = ago(-16 * time.Minute) }, 400, "InvalidTimeStamp.Expired"},
		{"late but good", func(c *rpcCall) { c.params["Timestamp"] = ago(14 * time.Minute) }, 200, ""},
		{"odd time stamp", func(c *rpcCall) { c.params["Timestamp"] = "today" }, 400, "InvalidTimeStamp.Format"},
		{"other method", func(c *rpcCall) { c.params["SignatureMethod"] = "HMAC-SHA256" }, 400, "InvalidSignatureMethod"},
		{"token for a lasting key", func(c *rpcCall) { c.params["SecurityToken"] = "x" }, 400, "InvalidSecurityToken.MismatchWithAccessKey"},
		{"temporary key", func(c *rpcCall) { c.use(sts, sts.Token) }, 200, ""},
		{"temporary key without token", func(c *rpcCall) { c.use(sts, "") }, 400, "MissingSecurityToken"},
		{"temporary key with another token", func(c *rpcCall) { c.use(sts, "old") }, 400, "InvalidSecurityToken.Malformed"},
		{"other version", func(c *rpcCall) { c.params["Version"] = "2020-10-02" }, 400, "InvalidVersion"},
		{"unknown action", func(c *rpcCall) { c.params["Action"] = "DeleteDesktops" }, 404, "InvalidAction.NotFound"},
		{"no action", func(c *rpcCall) { delete(c.params, "Action") }, 404, "InvalidAction.NotFound"},
		{"other verb", func(c *rpcCall) { c.method = "PUT" }, 405, "UnsupportedHTTPMethod"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := describeRegions()
			c.bend(&call)
			status, body := call.do(t, w.url)
			if status != c.status || text(body["Code"]) != c.code {
				t.Errorf("got %d %v, want %d %q", status, body, c.status, c.code)
			}
			if status == 200 {
				return
			}
			for _, field := range []string{"RequestId", "HostId", "Code", "Message", "Recommend"} {
				if text(body[field]) == "" {
					t.Errorf("the error has no %s: %v", field, body)
				}
			}
		})
	}
}

func (c *rpcCall) use(k Keys, token string) {
	c.secret = k.Secret
	c.params["AccessKeyId"] = k.ID
	if token != "" {
		c.params["SecurityToken"] = token
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func TestANonceWorksOnce(t *testing.T) {
	w := start(t, State{}, Options{})
	call := describeRegions()
	if status, body := call.do(t, w.url); status != 200 {
		t.Fatalf("first: got %d %v, want 200", status, body)
	}
	if status, body := call.do(t, w.url); status != 400 || body["Code"] != "SignatureNonceUsed" {
		t.Errorf("second: got %d %v, want 400 SignatureNonceUsed", status, body)
	}
}

func TestOldNoncesAreForgotten(t *testing.T) {
	g := newGate([]Keys{testKeys})
	now := time.Now()
	for n, at := range []time.Duration{0, time.Minute, time.Hour, 2 * time.Hour} {
		if err := g.once(fmt.Sprint(n), now.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(g.nonces); got != 1 {
		t.Errorf("nonces kept: got %d, want 1", got)
	}
}

// An ACS3 call whose signature was taken from another is refused, whatever of it
// was changed.
func TestAChangedACS3CallIsRefused(t *testing.T) {
	w := start(t, State{Desktops: []Desktop{{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: "m-1"}}}, Options{})
	for _, c := range []struct {
		name string
		bend func(*http.Request)
		code string
	}{
		{"nothing", func(*http.Request) {}, ""},
		{"the query", func(r *http.Request) { r.URL.RawQuery += "&DesktopId.1=ecd-1" }, "SignatureDoesNotMatch"},
		{"the action", func(r *http.Request) { r.Header.Set("x-acs-action", "RebuildDesktops") }, "SignatureDoesNotMatch"},
		{"the host", func(r *http.Request) { r.Host = "ecd.cn-shanghai.aliyuncs.com" }, "SignatureDoesNotMatch"},
		{"the body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }, "SignatureDoesNotMatch"},
		{"an unsigned token", func(r *http.Request) { r.Header.Set("x-acs-security-token", "x") }, "IncompleteSignature"},
		{"fewer signed headers", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "x-acs-action;", "", 1))
		}, "IncompleteSignature"},
		{"the algorithm", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SHA256", "SM3", 1))
		}, "InvalidSignatureMethod"},
		{"a key that is none", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testKeys.ID, "other", 1))
		}, "InvalidAccessKeyId.NotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/?RegionId=cn-hangzhou", nil)
			if err != nil {
				t.Fatal(err)
			}
			signACS3(r)
			c.bend(r)
			if _, body := send(t, r); text(body["Code"]) != c.code {
				t.Errorf("got %v, want code %q", body, c.code)
			}
		})
	}
}

func signACS3(r *http.Request) {
	hash := sha256Hex(nil)
	r.Header.Set("x-acs-action", "DescribeDesktops")
	r.Header.Set("x-acs-version", "2020-09-30")
	r.Header.Set("x-acs-content-sha256", hash)
	r.Header.Set("x-acs-date", time.Now().UTC().Format("2006-01-02T15:04:05Z"))
	r.Header.Set("x-acs-signature-nonce", nonce())
	headers := []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
	r.Header.Set("Authorization", acs3+" Credential="+testKeys.ID+",SignedHeaders="+strings.Join(headers, ";")+
		",Signature="+acs3Signature(testKeys.Secret, acs3Request(r, r.URL.Query(), headers, hash)))
}
