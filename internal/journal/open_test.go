package journal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/journal"
)

func TestOpenNamesEveryFault(t *testing.T) {
	keys := func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, credentials.ErrNone }
	good := journal.Options{Region: "cn-hangzhou", Keys: keys}
	for _, test := range []struct {
		url  string
		o    journal.Options
		want []string // nil: it opens
	}{
		{"oss://bucket", good, nil},
		{"oss://bucket/", good, nil},
		{"oss://bucket/regild/prod", good, nil},
		{"oss://bucket", journal.Options{Region: "cn-hangzhou", Keys: keys, Internal: true, OSSEndpoint: "oss.example.com"}, nil},
		{"file:///var/lib/regild", journal.Options{}, nil},
		{"", good, []string{`unknown scheme ""`}},
		{"s3://bucket", good, []string{`unknown scheme "s3"`}},
		{"/var/lib", good, []string{"unknown scheme"}},
		{"file://var/lib", good, []string{`with a host "var"`, "three slashes"}},
		{"file:relative", good, []string{"a journal URL has", "without an absolute directory"}},
		{"file:///a?b=c", good, []string{"a journal URL has"}},
		{"oss://", good, []string{"not a bucket name"}},
		{"oss://Bucket/../x", good, []string{`not a bucket name: "Bucket"`, "not an object prefix"}},
		{"oss://bucket/a b", good, []string{"not an object prefix"}},
		{"oss://user:hunter2@bucket", good, []string{"no user or password"}},
		{"oss://user:hunter2@%zz", good, []string{"not a URL"}},
		{"oss://b", journal.Options{Timeout: -1, Backoff: -time.Second, OSSEndpoint: "ftp://x"}, []string{
			"not a bucket name", "not a region", "not an OSS endpoint", "no source of credentials", "negative timeout", "negative backoff",
		}},
		{"oss://bucket", journal.Options{Region: "cn-hangzhou", Keys: keys, OSSEndpoint: "http://user:hunter2@host"}, []string{"not an OSS endpoint"}},
		{"oss://bucket", journal.Options{Region: "cn-hangzhou", Keys: keys, OSSEndpoint: "http://oss-cn-hangzhou-internal.aliyuncs.com"}, []string{"http is for loopback only"}},
	} {
		s, err := journal.Open(test.url, test.o)
		if (err == nil) != (test.want == nil) || (s == nil) != (err != nil) {
			t.Errorf("%s: got %v, want %q", test.url, err, test.want)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to name %q", test.url, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", test.url, err)
		}
	}
}
