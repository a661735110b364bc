package oss_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"

	"github.com/regild/regild/internal/localcloud/oss"
)

func put(t *testing.T, c *sdk.Client, key, data string) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), &sdk.PutObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr(key), Body: strings.NewReader(data)})
	return err
}

func appendAt(t *testing.T, c *sdk.Client, key string, at int64, data string) error {
	t.Helper()
	_, err := c.AppendObject(t.Context(), &sdk.AppendObjectRequest{
		Bucket: sdk.Ptr("journal"), Key: sdk.Ptr(key), Position: sdk.Ptr(at), Body: strings.NewReader(data),
	})
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatWasPutHasADigest(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	must(t, put(t, c, "put", "hello"))
	must(t, appendAt(t, c, "appended", 0, "hello"))
	for key, want := range map[string]string{"put": "XUFAKrxLKna5cZ2REBfFkg==", "appended": ""} {
		head, err := c.HeadObject(t.Context(), &sdk.HeadObjectRequest{Bucket: sdk.Ptr("journal"), Key: &key})
		must(t, err)
		got, err := c.GetObject(t.Context(), &sdk.GetObjectRequest{Bucket: sdk.Ptr("journal"), Key: &key})
		must(t, err)
		_ = got.Body.Close()
		if sdk.ToString(head.ContentMD5) != want || sdk.ToString(got.ContentMD5) != want {
			t.Errorf("%s: Content-MD5 is %q and %q, want %q", key, sdk.ToString(head.ContentMD5), sdk.ToString(got.ContentMD5), want)
		}
	}
}

func TestARetentionPolicyKeepsWhatWasWrittenForItsDays(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	r.SetBucket("journal", oss.BucketSettings{RetentionDays: 2})
	must(t, put(t, c, "put", "hello"))
	must(t, appendAt(t, c, "log", 0, "first"))
	remove := func(key string) error {
		_, err := c.DeleteObject(t.Context(), &sdk.DeleteObjectRequest{Bucket: sdk.Ptr("journal"), Key: &key})
		return err
	}
	for name, err := range map[string]error{
		"putting again": put(t, c, "put", "other"), "appending": appendAt(t, c, "log", 5, "second"), "deleting": remove("log"),
	} {
		if e := serviceError(t, err); e.StatusCode != 409 || e.Code != "FileImmutable" {
			t.Errorf("%s: got %+v, want FileImmutable", name, e)
		}
	}
	r.Remove("journal", "log")
	if data, _ := r.Object("journal", "log"); string(data) != "first" {
		t.Errorf("the log holds %q, want it as it was", data)
	}
	r.clock.Advance(48 * time.Hour)
	must(t, appendAt(t, c, "log", 5, "second"))
	must(t, remove("put"))
}

func TestAPolicyThatIsNotLockedIsVoidAfterADay(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	_, err := c.InitiateBucketWorm(t.Context(), &sdk.InitiateBucketWormRequest{
		Bucket: sdk.Ptr("journal"), InitiateWormConfiguration: &sdk.InitiateWormConfiguration{RetentionPeriodInDays: sdk.Ptr(int32(9))},
	})
	must(t, err)
	must(t, put(t, c, "put", "hello"))
	if e := serviceError(t, put(t, c, "put", "other")); e.Code != "FileImmutable" {
		t.Errorf("within the day: got %+v, want FileImmutable", e)
	}
	r.clock.Advance(25 * time.Hour)
	must(t, put(t, c, "put", "other"))
}

func TestAnArchivedObjectIsReadOnceItIsRestoredAndNotForEver(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	r.SetBucket("journal", oss.BucketSettings{StorageClass: "Archive"})
	must(t, appendAt(t, c, "log", 0, "first"))
	read := func() string {
		res, err := c.GetObject(t.Context(), &sdk.GetObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("log")})
		if err != nil {
			return serviceError(t, err).Code
		}
		_ = res.Body.Close()
		return res.Status
	}
	var got []string
	got = append(got, read())
	_, err := c.RestoreObject(t.Context(), &sdk.RestoreObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("log")})
	must(t, err)
	got = append(got, read())
	r.clock.Advance(time.Minute)
	got = append(got, read())
	r.clock.Advance(24 * time.Hour)
	got = append(got, read())
	if want := "[InvalidObjectState InvalidObjectState 200 OK InvalidObjectState]"; fmt.Sprint(got) != want {
		t.Errorf("reading: got %v, want %s", got, want)
	}
}

func TestPastVersionsAreKeptAndListedPageByPage(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	must(t, put(t, c, "a", "before versions"))
	r.SetBucket("journal", oss.BucketSettings{Versioning: "Enabled"})
	must(t, put(t, c, "a", "one"))
	must(t, put(t, c, "a", "two"))
	must(t, appendAt(t, c, "b", 0, "log"))
	must(t, appendAt(t, c, "b", 3, "log"))
	r.clock.Advance(time.Hour)
	must(t, appendAt(t, c, "b", 6, "log"))
	r.Remove("journal", "b")
	for _, size := range []int32{1, 2, 3, 100} {
		var got []string
		pages := c.NewListObjectVersionsPaginator(&sdk.ListObjectVersionsRequest{Bucket: sdk.Ptr("journal"), MaxKeys: size})
		for pages.HasNext() {
			page, err := pages.NextPage(t.Context())
			must(t, err)
			for _, v := range page.ObjectVersions {
				got = append(got, fmt.Sprint(*v.Key, v.Size, v.IsLatest))
				if at := v.LastModified.UTC(); !at.Equal(start) {
					t.Errorf("%s was modified at %s, want %s: with versions an append does not renew it", *v.Key, at, start)
				}
			}
			for _, v := range page.ObjectDeleteMarkers {
				got = append(got, fmt.Sprint(*v.Key, "marker", v.IsLatest))
			}
		}
		if len(got) == 5 && got[4] == "bmarkertrue" { // a page lists its markers last
			got[3], got[4] = got[4], got[3]
		}
		if want := "[a3 true a3 false a15 false bmarkertrue b9 false]"; fmt.Sprint(got) != want {
			t.Errorf("pages of %d: got %v, want %s", size, got, want)
		}
	}
}

func TestABucketIsDeletedOnlyWhenItHoldsNothingAtAll(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	remove := func() error {
		_, err := c.DeleteBucket(t.Context(), &sdk.DeleteBucketRequest{Bucket: sdk.Ptr("journal")})
		return err
	}
	r.SetBucket("journal", oss.BucketSettings{Versioning: "Enabled"})
	must(t, put(t, c, "a", "one"))
	for range 2 { // with an object, and with a delete marker and a past version
		if e := serviceError(t, remove()); e.StatusCode != 409 || e.Code != "BucketNotEmpty" {
			t.Errorf("got %+v, want BucketNotEmpty", e)
		}
		r.Remove("journal", "a")
	}
	pages, err := c.ListObjectVersions(t.Context(), &sdk.ListObjectVersionsRequest{Bucket: sdk.Ptr("journal")})
	must(t, err)
	all := []string{*pages.ObjectVersions[0].VersionId, *pages.ObjectDeleteMarkers[0].VersionId, *pages.ObjectDeleteMarkers[1].VersionId}
	for _, version := range all {
		_, err := c.DeleteObject(t.Context(), &sdk.DeleteObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("a"), VersionId: &version})
		must(t, err)
	}
	must(t, remove())
}
