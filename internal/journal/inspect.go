package journal

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
)

// A Bucket is how the bucket of a journal is set up.
type Bucket struct {
	Name, Prefix string // Prefix is "" or ends with a slash
	Region       string // such as cn-hangzhou
	Private      bool   // its access control is private
	Blocked      bool   // public access is blocked
	Versioning   string // "", Enabled or Suspended
	WORM         string // state of a retention policy; "" without one
	Rules        []Rule
}

// A Rule deletes objects by age.
type Rule struct {
	Prefix  string
	Days    int
	Enabled bool
}

// ErrNotOSS says that a journal is no bucket.
var ErrNotOSS = errors.New("the journal is not in Object Storage")

// Inspect reads how the bucket of a journal is set up; it changes nothing.
// exists is false when there is no such bucket. A bucket of somebody else is
// an error, whose code is AccessDenied. Sources: GetBucketInfo, GetBucketWorm,
// GetBucketLifecycle.
func Inspect(ctx context.Context, rawURL string, o Options) (b Bucket, exists bool, err error) {
	store, err := Open(rawURL, o)
	if err != nil {
		return b, false, err
	}
	s, ok := store.(*bucket)
	if !ok {
		return b, false, ErrNotOSS
	}
	b.Name, b.Prefix = s.name, s.prefix
	for _, part := range []struct {
		read   func(context.Context, *Bucket) error
		absent string // the code that says that there is none
	}{{s.readInfo, ""}, {s.readWorm, "NoSuchWORMConfiguration"}, {s.readLifecycle, "NoSuchLifecycle"}} {
		err := s.again(ctx, func(ctx context.Context) error { return part.read(ctx, &b) })
		switch code := codeOf(err); {
		case code == "NoSuchBucket" && part.absent == "":
			return b, false, nil
		case err != nil && (part.absent == "" || code != part.absent):
			return b, part.absent != "", fmt.Errorf("looking at bucket %s: %w", s.name, err)
		}
	}
	return b, true, nil
}

func (s *bucket) readInfo(ctx context.Context, b *Bucket) error {
	res, err := s.client.GetBucketInfo(ctx, &oss.GetBucketInfoRequest{Bucket: oss.Ptr(s.name)})
	if err != nil {
		return s.callError(ctx, "GetBucketInfo", err)
	}
	info := res.BucketInfo
	b.Region = regionOf(oss.ToString(info.Location))
	b.Private = oss.ToString(info.ACL) == "private"
	b.Blocked = info.BlockPublicAccess != nil && *info.BlockPublicAccess
	b.Versioning = oss.ToString(info.Versioning)
	return nil
}

func (s *bucket) readWorm(ctx context.Context, b *Bucket) error {
	res, err := s.client.GetBucketWorm(ctx, &oss.GetBucketWormRequest{Bucket: oss.Ptr(s.name)})
	if err != nil {
		return s.callError(ctx, "GetBucketWorm", err)
	}
	if res.WormConfiguration != nil {
		b.WORM = string(res.WormConfiguration.State)
	}
	return nil
}

func (s *bucket) readLifecycle(ctx context.Context, b *Bucket) error {
	res, err := s.client.GetBucketLifecycle(ctx, &oss.GetBucketLifecycleRequest{Bucket: oss.Ptr(s.name)})
	if err != nil {
		return s.callError(ctx, "GetBucketLifecycle", err)
	}
	if res.LifecycleConfiguration == nil {
		return nil
	}
	for _, r := range res.LifecycleConfiguration.Rules {
		rule := Rule{Prefix: oss.ToString(r.Prefix), Enabled: oss.ToString(r.Status) == "Enabled"}
		if r.Expiration != nil && r.Expiration.Days != nil {
			rule.Days = int(*r.Expiration.Days)
		}
		b.Rules = append(b.Rules, rule)
	}
	return nil
}

// regionOf reads oss-cn-hangzhou.
func regionOf(location string) string {
	if len(location) > 4 && location[:4] == "oss-" {
		return location[4:]
	}
	return location
}

// URLOf returns the journal's URL of a bucket without a prefix.
func URLOf(name string) string { return (&url.URL{Scheme: "oss", Host: name}).String() }
