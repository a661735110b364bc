package journal

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

func TestTheEndpointFollowsFromTheOptions(t *testing.T) {
	for _, l := range []struct {
		o     Options
		want  string // "": refused
		style bool   // the bucket stands in the path
	}{
		{Options{Region: "cn-hangzhou"}, "https://oss-cn-hangzhou.aliyuncs.com", false},
		{Options{Region: "cn-hangzhou", Internal: true}, "https://oss-cn-hangzhou-internal.aliyuncs.com", false},
		{Options{OSSEndpoint: "oss.example.com"}, "https://oss.example.com", false},
		{Options{OSSEndpoint: "https://oss.example.com/"}, "https://oss.example.com", false},
		{Options{OSSEndpoint: "http://127.0.0.1:9003"}, "http://127.0.0.1:9003", true},
		{Options{OSSEndpoint: "http://localhost:9003"}, "http://localhost:9003", true},
		{Options{OSSEndpoint: "https://192.0.2.1"}, "https://192.0.2.1", true},
		{Options{OSSEndpoint: "http://192.0.2.1"}, "", false},
		{Options{OSSEndpoint: "https://host/path"}, "", false},
		{Options{OSSEndpoint: "https://host?a=b"}, "", false},
		{Options{OSSEndpoint: "https://host#a"}, "", false},
		{Options{OSSEndpoint: "https://user@host"}, "", false},
		{Options{OSSEndpoint: "https://:443"}, "", false},
		{Options{OSSEndpoint: "https://%zz"}, "", false},
		{Options{OSSEndpoint: "ftp://host"}, "", false},
	} {
		got, err := ossEndpoint(l.o)
		if (err != nil) != (l.want == "") || err == nil && (got.String() != l.want || pathStyle(got) != l.style) {
			t.Errorf("%+v: got %v, %v, want %q, bucket in the path: %t", l.o, got, err, l.want, l.style)
		}
	}
	for region, bad := range map[string]bool{"cn-" + strings.Repeat("a", 37): false, "cn-" + strings.Repeat("a", 38): true, "cn": true, "abc-x": true} {
		for prefix, long := range map[string]bool{strings.Repeat("p", maxPrefix): false, strings.Repeat("p", maxPrefix+1): true} {
			u := &url.URL{Scheme: "oss", Host: "bucket", Path: "/" + prefix}
			faults := ossFaults(u, Options{Region: region, OSSEndpoint: "host"})
			text := errors.Join(faults...).Error()
			if strings.Contains(text, "not a region") != bad || strings.Contains(text, "not an object prefix") != long {
				t.Errorf("a region of %d, a prefix of %d: got %s", len(region), len(prefix), text)
			}
		}
	}
}

func TestWhatAnAnswerOfObjectStorageMeans(t *testing.T) {
	for _, l := range []struct {
		status    int
		code      string
		delivery  desktop.Delivery
		throttled bool
	}{
		{500, "", desktop.Unknown, false},
		{503, "SlowDown", desktop.NotSent, true},
		{400, "Throttling.User", desktop.NotSent, true},
		{400, "TooManyRequests", desktop.NotSent, true},
		{400, "QpsLimitExceeded", desktop.Refused, false},
		{503, "QpsLimitExceeded", desktop.NotSent, true},
		{400, "RequestTimeout", desktop.Unknown, false},
		{404, "", desktop.Unknown, false},
		{403, "AccessDenied", desktop.Forbidden, false},
		{409, "PositionNotEqualToLength", desktop.Refused, false},
	} {
		if delivery, throttled := deliveryOf(l.status, l.code); delivery != l.delivery || throttled != l.throttled {
			t.Errorf("%d %s: got %v, %t, want %v, %t", l.status, l.code, delivery, throttled, l.delivery, l.throttled)
		}
	}
	for _, err := range []error{ErrShrunk, fmt.Errorf("reading: %w", ErrDamaged)} {
		if worthAgain(err) {
			t.Errorf("%v: it is tried again, and cannot come out otherwise", err)
		}
	}
	e := callError(credentials.Keys{}, "GetObject", &url.Error{Op: "Get", URL: "http://bucket.host/secret", Err: io.ErrUnexpectedEOF})
	if e.Message != io.ErrUnexpectedEOF.Error() || !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, want the cause without its URL", e.Message)
	}
	for text, want := range map[string]string{
		"a\n b\t c": "a b c", strings.Repeat("x", 300): strings.Repeat("x", 300), strings.Repeat("x", 301): strings.Repeat("x", 300) + "…",
		strings.Repeat("x", 299) + "é": strings.Repeat("x", 299) + "…",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%.10q: got %q, want %q", text, got, want)
		}
	}
}

func TestOnlyWhatHasTheMarksOfObjectStorageIsRead(t *testing.T) {
	result := func(etag, sum string, status int) *oss.GetObjectResult {
		r := &oss.GetObjectResult{ResultCommon: oss.ResultCommon{StatusCode: status}}
		if etag != "" {
			r.ETag = oss.Ptr(etag)
		}
		if sum != "" {
			r.HashCRC64 = oss.Ptr(sum)
		}
		return r
	}
	for name, l := range map[string]struct {
		r    *oss.GetObjectResult
		fine bool
	}{
		"without an ETag":                     {result("", "", 200), false},
		"without a checksum":                  {result("e", "", 200), true},
		"with another's checksum":             {result("e", "1", 200), false},
		"a part, with the checksum of it all": {result("e", "1", 206), true},
	} {
		if err := genuine(l.r, []byte("a\n")); (err == nil) != l.fine {
			t.Errorf("%s: got %v, fine: %t", name, err, l.fine)
		}
	}
	if got, err := cutRange([]byte("new\n"), 6, 206, "bytes 6-9/10"); err == nil {
		t.Errorf("a range that begins too late: got %q", got)
	}
}
