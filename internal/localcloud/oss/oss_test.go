package oss_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	sdk "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/oss"
)

var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// A room is a server on loopback and how to reach it.
type room struct {
	*oss.Server
	clock  *clock.Clock
	url    string
	faults *fault.Injector
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{faults: &fault.Injector{}, clock: clock.New(start, 0)}
	r.Server = oss.New(oss.Options{
		Clock: r.clock, Faults: r.faults, Buckets: []string{"journal", "other"},
		Keys: []oss.Keys{{ID: "ak", Secret: "sk"}, {ID: "STS.ak", Secret: "sk2", Token: "tok"}},
	})
	server := httptest.NewServer(r.Handler())
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// client returns the vendor's client, changed by change.
func (r *room) client(change ...func(*sdk.Config)) *sdk.Client {
	cfg := sdk.LoadDefaultConfig().
		WithRegion("cn-hangzhou").WithEndpoint(r.url).WithUsePathStyle(true).WithRetryMaxAttempts(1).
		WithCredentialsProvider(credentials.NewStaticCredentialsProvider("ak", "sk"))
	for _, c := range change {
		c(cfg)
	}
	return sdk.NewClient(cfg)
}

// hostStyle reaches the server under bucket.oss-cn-hangzhou.aliyuncs.com.
func (r *room) hostStyle(cfg *sdk.Config) {
	address := strings.TrimPrefix(r.url, "http://")
	cfg.WithUsePathStyle(false).WithEndpoint("http://oss-cn-hangzhou.aliyuncs.com").WithHttpClient(&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}})
}

func v1(cfg *sdk.Config) { cfg.WithSignatureVersion(sdk.SignatureVersionV1) }

func sts(cfg *sdk.Config) {
	cfg.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("STS.ak", "sk2", "tok"))
}

func TestTheVendorsClientWorksInEveryStyleAndSignature(t *testing.T) {
	for name, changes := range map[string]func(*room) []func(*sdk.Config){
		"V4, path":      func(*room) []func(*sdk.Config) { return nil },
		"V4, host":      func(r *room) []func(*sdk.Config) { return []func(*sdk.Config){r.hostStyle} },
		"V1, path":      func(*room) []func(*sdk.Config) { return []func(*sdk.Config){v1} },
		"V1, host":      func(r *room) []func(*sdk.Config) { return []func(*sdk.Config){v1, r.hostStyle} },
		"V4, path, STS": func(*room) []func(*sdk.Config) { return []func(*sdk.Config){sts} },
		"V1, host, STS": func(r *room) []func(*sdk.Config) { return []func(*sdk.Config){v1, sts, r.hostStyle} },
		"V4, more is signed": func(*room) []func(*sdk.Config) {
			return []func(*sdk.Config){func(cfg *sdk.Config) { cfg.WithAdditionalHeaders([]string{"host", "range"}) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			useAll(t, r, r.client(changes(r)...))
		})
	}
}

// useAll makes one call of each kind.
func useAll(t *testing.T, r *room, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	bucket, key := sdk.Ptr("journal"), sdk.Ptr("a b/ü+&=%?.jsonl")
	for i, line := range []string{"first\n", "second\n"} {
		res, err := c.AppendObject(ctx, &sdk.AppendObjectRequest{
			Bucket: bucket, Key: key, Position: sdk.Ptr(int64(i * 6)), Body: strings.NewReader(line), InitHashCRC64: crc("first\n"[:i*6]),
			Metadata: map[string]string{"who": "me"},
		})
		if err != nil || res.NextPosition != int64(6+7*i) {
			t.Fatalf("AppendObject %d: %+v, %v", i, res, err)
		}
	}
	got, err := c.GetObject(ctx, &sdk.GetObjectRequest{Bucket: bucket, Key: key, Range: sdk.Ptr("bytes=6-"), RangeBehavior: sdk.Ptr("standard")})
	if err != nil {
		t.Fatal("GetObject:", err)
	}
	if body, err := io.ReadAll(got.Body); string(body) != "second\n" || err != nil || sdk.ToString(got.ContentRange) != "bytes 6-12/13" {
		t.Errorf("GetObject: got %q, %v, %s", body, err, sdk.ToString(got.ContentRange))
	}
	head, err := c.HeadObject(ctx, &sdk.HeadObjectRequest{Bucket: bucket, Key: key})
	if err != nil || head.ContentLength != 13 || sdk.ToString(head.ObjectType) != "Appendable" || *head.NextAppendPosition != "13" ||
		head.Metadata["who"] != "me" || !head.LastModified.Equal(start) || sdk.ToString(head.HashCRC64) != *crc("first\nsecond\n") {
		t.Errorf("HeadObject: got %+v, %v", head, err)
	}
	list, err := c.ListObjectsV2(ctx, &sdk.ListObjectsV2Request{Bucket: bucket, Prefix: sdk.Ptr("a b/"), EncodingType: sdk.Ptr("url")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != *key || list.Contents[0].Size != 13 {
		t.Errorf("ListObjectsV2: got %+v, %v", list, err)
	}
	put, err := c.PutObject(ctx, &sdk.PutObjectRequest{Bucket: bucket, Key: sdk.Ptr("put"), Body: strings.NewReader("data")})
	if err != nil || sdk.ToString(put.ETag) != `"8D777F385D3DFEC8815D20F7496026DC"` {
		t.Errorf("PutObject: got %+v, %v", put, err)
	}
	if _, err := c.DeleteObject(ctx, &sdk.DeleteObjectRequest{Bucket: bucket, Key: sdk.Ptr("put")}); err != nil {
		t.Error("DeleteObject:", err)
	}
	if info, err := c.GetBucketInfo(ctx, &sdk.GetBucketInfoRequest{Bucket: bucket}); err != nil || *info.BucketInfo.Name != "journal" {
		t.Errorf("GetBucketInfo: got %+v, %v", info, err)
	}
	if buckets, err := c.ListBuckets(ctx, &sdk.ListBucketsRequest{}); err != nil || len(buckets.Buckets) != 2 {
		t.Errorf("ListBuckets: got %+v, %v", buckets, err)
	}
	if _, err := c.PutBucket(ctx, &sdk.PutBucketRequest{Bucket: sdk.Ptr("new-one")}); err != nil {
		t.Error("PutBucket:", err)
	}
	if keys := r.Keys("journal"); !slices.Equal(keys, []string{*key}) {
		t.Errorf("keys: got %q", keys)
	}
	if data, ok := r.Object("journal", *key); string(data) != "first\nsecond\n" || !ok {
		t.Errorf("the object: got %q, %v", data, ok)
	}
	if n := r.faults.Count("oss", "AppendObject"); n != 2 {
		t.Errorf("AppendObject was counted %d times, want 2", n)
	}
}

func crc(s string) *string {
	return sdk.Ptr(strconv.FormatUint(crc64.Checksum([]byte(s), crc64.MakeTable(crc64.ECMA)), 10))
}

func TestAnAppendTakesNoPositionButTheLength(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	appendAt := func(key string, position int64) error {
		_, err := c.AppendObject(t.Context(), &sdk.AppendObjectRequest{
			Bucket: sdk.Ptr("journal"), Key: &key, Position: &position, Body: strings.NewReader("line\n"),
		})
		return err
	}
	if err := appendAt("log", 0); err != nil {
		t.Fatal(err)
	}
	for _, position := range []int64{0, 4, 6} {
		e := serviceError(t, appendAt("log", position))
		if e.Code != "PositionNotEqualToLength" || e.StatusCode != 409 || e.EC != "0026-00000016" || e.RequestID == "" ||
			e.Headers.Get("x-oss-next-append-position") != "5" {
			t.Errorf("at %d: got %+v", position, e)
		}
	}
	r.Put("journal", "put", []byte("line\n"))
	if e := serviceError(t, appendAt("put", 5)); e.Code != "ObjectNotAppendable" || e.StatusCode != 409 {
		t.Errorf("to an object that was put: got %+v", e)
	}
	if err := appendAt("log", 5); err != nil {
		t.Error(err)
	}
}

func TestOfManyAppendsAtOnePositionOneWins(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	results := make(chan error)
	for i := range 20 {
		go func() {
			_, err := c.AppendObject(context.Background(), &sdk.AppendObjectRequest{
				Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("log"), Position: sdk.Ptr(int64(0)), Body: strings.NewReader(fmt.Sprintf("%02d\n", i)),
			})
			results <- err
		}()
	}
	won := 0
	for range 20 {
		if err := <-results; err == nil {
			won++
		} else if e := serviceError(t, err); e.Code != "PositionNotEqualToLength" {
			t.Errorf("got %v", err)
		}
	}
	if data, _ := r.Object("journal", "log"); won != 1 || len(data) != 3 {
		t.Errorf("%d appends won, the object has %d bytes", won, len(data))
	}
}

func TestARangeThatDoesNotFitIsIgnoredUnlessStandardWasAskedFor(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	r.Append("journal", "log", []byte("0123456789"))
	r.Append("journal", "empty", nil)
	for _, test := range []struct {
		key, asked, lax, standard string // "416": refused
	}{
		{"log", "bytes=4-", "456789", "456789"},
		{"log", "bytes=4-5", "45", "45"},
		{"log", "bytes=-3", "789", "789"},
		{"log", "bytes=9-9", "9", "9"},
		{"log", "bytes=4-20", "0123456789", "456789"},
		{"log", "bytes=10-", "0123456789", "416"},
		{"log", "bytes=20-30", "0123456789", "416"},
		{"log", "bytes=5-4", "0123456789", "416"},
		{"log", "bytes=0-1,3-4", "0123456789", "416"},
		{"log", "lines=1-", "0123456789", "416"},
		{"empty", "bytes=0-", "", "416"},
	} {
		for behaviour, want := range map[string]string{"": test.lax, "standard": test.standard} {
			req := &sdk.GetObjectRequest{Bucket: sdk.Ptr("journal"), Key: &test.key, Range: &test.asked}
			if behaviour != "" {
				req.RangeBehavior = &behaviour
			}
			got := ""
			if res, err := c.GetObject(t.Context(), req); err != nil {
				if e := serviceError(t, err); e.Code == "InvalidRange" {
					got = strconv.Itoa(e.StatusCode)
				}
			} else if body, err := io.ReadAll(res.Body); err == nil {
				got = string(body)
			}
			if got != want {
				t.Errorf("%s of %s, behaviour %q: got %q, want %q", test.asked, test.key, behaviour, got, want)
			}
		}
	}
}

func TestRequestsThatAreNotSignedRightAreRefused(t *testing.T) {
	r := newRoom(t)
	for name, test := range map[string]struct {
		change func(*sdk.Config)
		code   string
	}{
		"wrong secret": {func(c *sdk.Config) { c.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("ak", "no")) }, "SignatureDoesNotMatch"},
		"unknown id":   {func(c *sdk.Config) { c.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("no", "sk")) }, "InvalidAccessKeyId"},
		"STS without a token": {func(c *sdk.Config) {
			c.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("STS.ak", "sk2"))
		}, "InvalidAccessKeyId"},
		"STS, wrong token": {func(c *sdk.Config) {
			c.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("STS.ak", "sk2", "no"))
		}, "InvalidSecurityToken"},
		"other region": {func(c *sdk.Config) { c.WithRegion("cn-shanghai") }, "InvalidArgument"},
		"not signed":   {func(c *sdk.Config) { c.WithCredentialsProvider(credentials.NewAnonymousCredentialsProvider()) }, "AccessDenied"},
		"V1, wrong key": {func(c *sdk.Config) {
			v1(c)
			c.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("ak", "no"))
		}, "SignatureDoesNotMatch"},
	} {
		_, err := r.client(test.change).ListObjectsV2(t.Context(), &sdk.ListObjectsV2Request{Bucket: sdk.Ptr("journal")})
		if e := serviceError(t, err); e.Code != test.code {
			t.Errorf("%s: got %+v, want %s", name, e, test.code)
		}
	}
}

// change lets a signed request be changed on its way.
type change func(*http.Request)

func (c change) RoundTrip(r *http.Request) (*http.Response, error) {
	c(r)
	return http.DefaultTransport.RoundTrip(r)
}

func TestARequestChangedAfterItWasSignedIsRefused(t *testing.T) {
	r := newRoom(t)
	for name, test := range map[string]struct {
		change change
		code   string
	}{
		"position":    {func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "position=0", "position=5", 1) }, "SignatureDoesNotMatch"},
		"key":         {func(r *http.Request) { r.URL.Path += "x" }, "SignatureDoesNotMatch"},
		"method":      {func(r *http.Request) { r.Method = "PUT" }, "SignatureDoesNotMatch"},
		"OSS header":  {func(r *http.Request) { r.Header.Set("x-oss-forbid-overwrite", "true") }, "SignatureDoesNotMatch"},
		"old date":    {func(r *http.Request) { setDate(r, -16*time.Minute) }, "RequestTimeTooSkewed"},
		"early date":  {func(r *http.Request) { setDate(r, 16*time.Minute) }, "RequestTimeTooSkewed"},
		"other date":  {func(r *http.Request) { setDate(r, time.Minute) }, "SignatureDoesNotMatch"},
		"no date":     {func(r *http.Request) { r.Header.Del("x-oss-date"); r.Header.Del("Date") }, "AccessDenied"},
		"body digest": {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("LINE\n")) }, "InvalidDigest"},
	} {
		for version, sign := range map[string]func(*sdk.Config){"V4": func(*sdk.Config) {}, "V1": v1} {
			c := r.client(sign, func(cfg *sdk.Config) { cfg.WithHttpClient(&http.Client{Transport: test.change}) })
			sum := md5.Sum([]byte("line\n"))
			_, err := c.AppendObject(t.Context(), &sdk.AppendObjectRequest{
				Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("log"), Position: sdk.Ptr(int64(0)), Body: strings.NewReader("line\n"),
				ContentMD5: sdk.Ptr(base64.StdEncoding.EncodeToString(sum[:])),
			})
			if e := serviceError(t, err); e.Code != test.code {
				t.Errorf("%s, %s: got %+v, want %s", name, version, e, test.code)
			}
		}
	}
	if keys := r.Keys("journal"); len(keys) > 0 {
		t.Errorf("written all the same: %q", keys)
	}
}

func setDate(r *http.Request, d time.Duration) {
	at := time.Now().Add(d).UTC()
	r.Header.Set("Date", at.Format(http.TimeFormat))
	if r.Header.Get("x-oss-date") != "" {
		r.Header.Set("x-oss-date", at.Format("20060102T150405Z"))
	}
}

func TestAListingIsPagedInOrder(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	for _, key := range []string{"a/1", "a/2", "b", "c/1", "c/2", "c/3", "d"} {
		r.Append("journal", key, []byte("x"))
	}
	for _, delimiter := range []string{"", "/"} {
		want := "a/1 a/2 b c/1 c/2 c/3 d"
		if delimiter == "/" {
			want = "a/ b c/ d"
		}
		for _, size := range []int32{1, 2, 3, 100} {
			var second, first []string
			pages := c.NewListObjectsV2Paginator(&sdk.ListObjectsV2Request{Bucket: sdk.Ptr("journal"), Delimiter: &delimiter, MaxKeys: size})
			for pages.HasNext() {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				second = append(second, names(page.Contents, page.CommonPrefixes)...)
			}
			old := c.NewListObjectsPaginator(&sdk.ListObjectsRequest{Bucket: sdk.Ptr("journal"), Delimiter: &delimiter, MaxKeys: size})
			for old.HasNext() {
				page, err := old.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				first = append(first, names(page.Contents, page.CommonPrefixes)...)
			}
			if strings.Join(second, " ") != want || strings.Join(first, " ") != want {
				t.Errorf("delimiter %q, pages of %d: got %q and %q, want %q", delimiter, size, second, first, want)
			}
		}
	}
	_, err := c.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Request{Bucket: sdk.Ptr("journal"), MaxKeys: 1001})
	if e := serviceError(t, err); e.Code != "InvalidArgument" {
		t.Errorf("a page of 1001: got %+v", e)
	}
}

// names lists a page's objects and folders in order.
func names(objects []sdk.ObjectProperties, folders []sdk.CommonPrefix) (all []string) {
	for _, o := range objects {
		all = append(all, *o.Key)
	}
	for _, f := range folders {
		all = append(all, *f.Prefix)
	}
	slices.Sort(all)
	return all
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	r := newRoom(t)
	c := r.client()
	_, err := c.GetObject(t.Context(), &sdk.GetObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("none")})
	if e := serviceError(t, err); e.Code != "NoSuchKey" || e.StatusCode != 404 || e.EC != "0026-00000001" {
		t.Errorf("GetObject: got %+v", e)
	}
	_, err = c.HeadObject(t.Context(), &sdk.HeadObjectRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("none")})
	if e := serviceError(t, err); e.Code != "NoSuchKey" || e.StatusCode != 404 {
		t.Errorf("HeadObject: got %+v", e)
	}
	_, err = c.GetObject(t.Context(), &sdk.GetObjectRequest{Bucket: sdk.Ptr("no-bucket"), Key: sdk.Ptr("none")})
	if e := serviceError(t, err); e.Code != "NoSuchBucket" {
		t.Errorf("in no bucket: got %+v", e)
	}
	_, err = c.PutObjectAcl(t.Context(), &sdk.PutObjectAclRequest{Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("none"), Acl: sdk.ObjectACLPrivate})
	if e := serviceError(t, err); e.Code != "NotImplemented" || e.StatusCode != 501 {
		t.Errorf("PutObjectAcl: got %+v", e)
	}
}

func TestAFaultSpeaksAsTheServiceDoes(t *testing.T) {
	r := newRoom(t)
	r.faults.Add(fault.Rule{Service: "oss", Operation: "AppendObject", Kind: fault.Throttle})
	_, err := r.client().AppendObject(t.Context(), &sdk.AppendObjectRequest{
		Bucket: sdk.Ptr("journal"), Key: sdk.Ptr("log"), Position: sdk.Ptr(int64(0)), Body: bytes.NewReader([]byte("x\n")),
	})
	if e := serviceError(t, err); e.StatusCode != 503 || e.Code != "QpsLimitExceeded" || e.RequestID == "" {
		t.Errorf("got %+v", e)
	}
}

func serviceError(t *testing.T, err error) *sdk.ServiceError {
	t.Helper()
	e, ok := errors.AsType[*sdk.ServiceError](err)
	if !ok {
		t.Fatalf("got %v, want an error of the service", err)
	}
	return e
}
