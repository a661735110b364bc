package journal_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regild/regild/internal/journal"
)

// Whatever the setting says: no panic, nobody is called, and an error does not
// show a password that somebody put into it.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{"oss://bucket/prefix", "file:///dir", "file://host/dir", "file:dir", "oss://", "oss://b/../x", "file:///a\x00b", "oss://user:s3cr3tpassword@bucket/p",
		"file:///%2e%2e/x", "://", "OSS://Bucket", "oss://bucket/a?b#c", strings.Repeat("a/", 2000)} {
		f.Add(s, "cn-hangzhou", "")
	}
	f.Add("oss://bucket/p", "cn hangzhou", "http://evil.com")
	f.Add("oss://bucket/p", "cn-hangzhou", "%250")
	f.Fuzz(func(t *testing.T, rawURL, region, endpoint string) {
		s, err := journal.Open(rawURL, journal.Options{Region: region, OSSEndpoint: endpoint})
		if (s == nil) != (err != nil) {
			t.Fatalf("%q: got %v and %v", rawURL, s, err)
		}
		if err == nil {
			if !strings.HasPrefix(strings.ToLower(rawURL), "oss:") && !strings.HasPrefix(strings.ToLower(rawURL), "file:") {
				t.Errorf("%q is taken", rawURL)
			}
			return
		}
		if !utf8.ValidString(err.Error()) {
			t.Errorf("the error is no UTF-8: %q", err)
		}
		if u, bad := url.Parse(rawURL); bad == nil && u.User != nil {
			if secret, ok := u.User.Password(); ok && len(secret) > 12 && strings.Contains(err.Error(), secret) {
				t.Errorf("%q: the error shows the password: %v", rawURL, err)
			}
		}
	})
}
