package ecd

import (
	"net/url"
	"strings"
	"testing"

	"github.com/regild/regild/internal/pace"
)

// Credentials go out unencrypted to loopback only, and nothing in an endpoint
// leads to another host than the one that it names.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"", "ecd.cn-hangzhou.aliyuncs.com", "https://h:443/", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "http://10.0.0.1",
		"http://127.0.0.1@evil.com", "http://127.0.0.1#@evil.com", "https://h?x", "HTTP://LOCALHOST", "//h", "\x7f://h", "http://[::1%25eth0]"} {
		f.Add(s)
	}
	f.Add("cn-hangzhou=ecd.cn-hangzhou.aliyuncs.com, cn-shanghai=http://127.0.0.1:1")
	f.Add("cn-hangzhou=,=h,cn-hangzhou=h=h")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseEndpoints(s, nil)
		if err != nil || s == "" {
			return
		}
		for region, at := range all {
			if region == "" && at.host == "" && len(all) > 1 {
				continue // of all regions that have none of their own
			}
			u, err := url.Parse(strings.ToLower(at.protocol) + "://" + at.host)
			if err != nil || u.Host != at.host || at.host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
				t.Errorf("%q leads to %s %q in %q (%v)", s, at.protocol, at.host, region, err)
				continue
			}
			if at.protocol != "HTTPS" && !pace.Loopback(u.Hostname()) {
				t.Errorf("%q sends credentials to %s unencrypted", s, at.host)
			}
		}
	})
}
