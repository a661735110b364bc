package journal_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/regild/regild/internal/credentials"
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

// What Object Storage leaves out is not there.
func TestInspectReadsAnswersThatLeaveThingsOut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		text := `<BucketInfo><Bucket><Name>b</Name><Location>oss-cn-hangzhou</Location></Bucket></BucketInfo>`
		switch query := r.URL.Query(); {
		case query.Has("worm"):
			text = `<WormConfiguration></WormConfiguration>`
		case query.Has("lifecycle"):
			text = `<LifecycleConfiguration><Rule><Prefix>a/</Prefix><Status>Enabled</Status></Rule>` +
				`<Rule><Prefix>b/</Prefix><Status>Enabled</Status><Expiration><CreatedBeforeDate>2020-01-01T00:00:00Z</CreatedBeforeDate></Expiration></Rule></LifecycleConfiguration>`
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	o := newCloud(t).options()
	o.OSSEndpoint = server.URL
	b, exists, err := journal.Inspect(t.Context(), "oss://"+bucket, o)
	want := journal.Bucket{Name: bucket, Region: "cn-hangzhou", Rules: []journal.Rule{{Prefix: "a/", Enabled: true}, {Prefix: "b/", Enabled: true}}}
	if err != nil || !exists || !reflect.DeepEqual(b, want) {
		t.Errorf("got %+v, %t, %v, want %+v", b, exists, err, want)
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
	c = newCloud(t) // it was removed while we look
	c.faults.Add(fault.Rule{Operation: "GetBucketWorm", Kind: fault.Error, Code: "NoSuchBucket", Status: 404})
	if _, exists, err := journal.Inspect(t.Context(), "oss://"+bucket, c.options()); !exists || err == nil {
		t.Errorf("it is removed while we look: got %t, %v", exists, err)
	}
	c = newCloud(t)
	o := c.options()
	o.Keys = func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, credentials.ErrNone }
	if _, exists, err := journal.Inspect(t.Context(), "oss://"+bucket, o); exists || err == nil {
		t.Errorf("an error without a code: got %t, %v", exists, err)
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
