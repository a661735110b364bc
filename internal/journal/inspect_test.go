package journal_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/oss"
)

func TestInspectTellsHowABucketIsSetUp(t *testing.T) {
	good := journal.Bucket{Name: bucket, Prefix: "regild/prod/", Region: "cn-hangzhou", Private: true, Blocked: true}
	for name, l := range map[string]struct {
		settings oss.BucketSettings
		want     func(*journal.Bucket)
	}{
		"as it should be":      {oss.BucketSettings{}, func(*journal.Bucket) {}},
		"public to read":       {oss.BucketSettings{ACL: "public-read"}, func(b *journal.Bucket) { b.Private = false }},
		"not blocked":          {oss.BucketSettings{Public: true}, func(b *journal.Bucket) { b.Blocked = false }},
		"with versions":        {oss.BucketSettings{Versioning: "Enabled"}, func(b *journal.Bucket) { b.Versioning = "Enabled" }},
		"with a retention":     {oss.BucketSettings{RetentionDays: 3}, func(b *journal.Bucket) { b.WORM = "Locked" }},
		"with lifecycle rules": {oss.BucketSettings{Lifecycle: []oss.LifecycleRule{{ID: "old", Prefix: "regild/", Status: "Enabled", Days: 180}}}, func(b *journal.Bucket) { b.Rules = []journal.Rule{{Prefix: "regild/", Days: 180, Enabled: true}} }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.SetBucket(bucket, l.settings)
			want := good
			l.want(&want)
			got, exists, err := journal.Inspect(t.Context(), "oss://"+bucket+"/regild/prod", c.options())
			if err != nil || !exists || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %t, %v\nwant %+v", got, exists, err, want)
			}
		})
	}
}

func TestInspectSaysWhatItCouldNotRead(t *testing.T) {
	c := newCloud(t)
	if _, exists, err := journal.Inspect(t.Context(), "oss://another-bucket", c.options()); exists || err != nil {
		t.Errorf("a bucket that is not there: got %t, %v", exists, err)
	}
	if _, exists, err := journal.Inspect(t.Context(), "file:///tmp/x", c.options()); exists || !errors.Is(err, journal.ErrNotOSS) {
		t.Errorf("a directory: got %t, %v, want ErrNotOSS", exists, err)
	}
	if _, exists, err := journal.Inspect(t.Context(), "s3://x", c.options()); exists || err == nil {
		t.Errorf("a URL of something else: got %t, %v", exists, err)
	}
	for _, operation := range []string{"GetBucketInfo", "GetBucketWorm", "GetBucketLifecycle"} {
		c := newCloud(t)
		c.faults.Add(fault.Rule{Operation: operation, Kind: fault.Error, Code: "AccessDenied", Status: 403})
		_, exists, err := journal.Inspect(t.Context(), "oss://"+bucket, c.options())
		if err == nil || !strings.Contains(err.Error(), operation) || exists != (operation != "GetBucketInfo") {
			t.Errorf("%s is refused: got %t, %v", operation, exists, err)
		}
	}
}
