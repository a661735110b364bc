package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	osscredentials "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// bucket keeps each log in an appendable object. AppendObject is a
// compare-and-swap on the object's length: it takes only the position that is
// that length. The SDK would send it three times, and take the refusal of the
// second sending for the answer to the first; so the SDK sends once, and again
// and settle below decide what a failure means. Sending an append again is
// safe, since only one of the two can find its position free.
// Source: "AppendObject".
type bucket struct {
	client  *oss.Client
	wire    *pace.Connections // in place of the SDK's own, which outlive a frozen instance
	name    string
	prefix  string // "" or ends with a slash
	timeout time.Duration
	backoff time.Duration
	keys    func(context.Context) (credentials.Keys, error)
}

// maxAttempts bounds how often one call is sent: with the default backoff the
// pauses add up to less than a second, so an invocation loses little by it.
const maxAttempts = 4

// contentType of the objects, which a browser shows as text.
const contentType = "application/x-ndjson"

// idleConnections is how many unused connections are kept: an invocation reads
// the logs of a few works at once.
const idleConnections = 10

// noRedirects has a redirect read as the answer that it is, as the SDK's own
// client does: a signature is for one host.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func newOSS(u *url.URL, o Options) (Store, error) {
	endpoint, err := ossEndpoint(o)
	if err != nil {
		return nil, err
	}
	keys := osscredentials.CredentialsProviderFunc(func(ctx context.Context) (osscredentials.Credentials, error) {
		k, err := o.Keys(ctx)
		if err == nil && !k.Complete() {
			err = credentials.ErrNone
		}
		if err != nil {
			return osscredentials.Credentials{}, &keysError{err}
		}
		return osscredentials.Credentials{AccessKeyID: k.ID, AccessKeySecret: k.Secret, SecurityToken: k.Token}, nil
	})
	// once bounds each attempt, so the SDK's timeouts for connections are not missed.
	wire := pace.NewConnections(idleConnections)
	cfg := oss.LoadDefaultConfig().
		WithRegion(o.Region).
		WithEndpoint(endpoint.String()).
		WithUsePathStyle(pathStyle(endpoint)).
		WithCredentialsProvider(keys).
		WithRetryMaxAttempts(1).                                                  // so the SDK does not correct a wrong clock either: that should be heard of
		WithHttpClient(&http.Client{Transport: wire, CheckRedirect: noRedirects}) // by way of the proxy, as the other clients
	b := &bucket{client: oss.NewClient(cfg), wire: wire, name: u.Host, timeout: o.Timeout, backoff: o.Backoff, keys: o.Keys}
	if p := prefixOf(u); p != "" {
		b.prefix = p + "/"
	}
	return b, nil
}

// renew has every call from now on use a connection that was made from now on.
func (b *bucket) renew() { b.wire.Renew() }

func (b *bucket) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if err := CheckRead(key, from); err != nil {
		return nil, 0, err
	}
	data, err := b.read(ctx, key, from)
	if err != nil {
		return nil, 0, err
	}
	n, err := complete(data)
	if err != nil {
		return nil, 0, fmt.Errorf("reading journal %s from %d: %w", key, from, err)
	}
	if n == 0 {
		return nil, from, nil
	}
	return data[:n:n], from + int64(n), nil
}

// read returns the bytes of a log from an offset on, whatever they are.
func (b *bucket) read(ctx context.Context, key string, from int64) ([]byte, error) {
	var data []byte
	err := b.again(ctx, func(ctx context.Context) (err error) {
		data, err = b.get(ctx, key, from)
		return err
	})
	switch code := codeOf(err); {
	case err == nil:
		return data, nil
	case code == "NoSuchKey" && from == 0:
		return nil, nil
	case code == "NoSuchKey", code == "InvalidRange", errors.Is(err, ErrShrunk):
		return nil, shrunk(key, from)
	}
	return nil, fmt.Errorf("reading journal %s: %w", key, err)
}

// get reads from an offset on. It asks for one byte more, the newline before from: so
// an offset at the log's end is within the range, one beyond it is not, and a
// log that was replaced shows.
func (b *bucket) get(ctx context.Context, key string, from int64) ([]byte, error) {
	span := ""
	if from > 0 {
		span = fmt.Sprintf("bytes=%d-", from-1)
	}
	data, status, of, err := b.getObject(ctx, key, span, MaxLog+MaxAppend)
	if err != nil {
		return nil, err
	}
	return cutRange(data, from, status, of)
}

// getObject is one GetObject: of all of an object, or of a span, of at most so many bytes. A
// whole object is a legal answer to a span.
func (b *bucket) getObject(ctx context.Context, key, span string, most int64) (data []byte, status int, contentRange string, err error) {
	req := &oss.GetObjectRequest{Bucket: oss.Ptr(b.name), Key: oss.Ptr(b.prefix + key)}
	if span != "" {
		req.Range = oss.Ptr(span)
		// Without this OSS answers a range past the end with the whole object.
		req.RangeBehavior = oss.Ptr("standard")
	}
	res, err := b.client.GetObject(ctx, req)
	if err != nil {
		return nil, 0, "", b.callError(ctx, "GetObject", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 206 {
		most = MaxLog + MaxAppend
	}
	if res.ContentLength > MaxLog+MaxAppend {
		return nil, 0, "", fmt.Errorf("%w: %d bytes, at most %d", ErrDamaged, res.ContentLength, MaxLog)
	}
	data, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	if n := int64(len(data)); err == nil && (n > most || res.ContentLength >= 0 && n != res.ContentLength) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = genuine(res, data)
	}
	if err != nil {
		return nil, 0, "", b.callError(ctx, "GetObject", err)
	}
	return data, res.StatusCode, oss.ToString(res.ContentRange), nil
}

// genuine refuses a 200 that is not OSS's: taking a gateway's empty answer for
// an empty log would be taking what was begun for not begun.
func genuine(res *oss.GetObjectResult, data []byte) error {
	if oss.ToString(res.ETag) == "" {
		return errors.New("an answer without an ETag is not from OSS")
	}
	sum := oss.ToString(res.HashCRC64) // of the whole object
	if res.StatusCode == 200 && sum != "" && sum != strconv.FormatUint(crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), 10) {
		return errors.New("the bytes do not have the checksum that OSS tells")
	}
	return nil
}

// cutRange returns what an answer holds from an offset on. A whole object (200)
// is a legal answer to a range.
func cutRange(data []byte, from int64, status int, contentRange string) ([]byte, error) {
	start := int64(0)
	if status == 206 {
		var end, total int64
		if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &start, &end, &total); err != nil ||
			start != from-1 || end != total-1 || end-start+1 != int64(len(data)) {
			return nil, callError(credentials.Keys{}, "GetObject", errors.New("another range than was asked for"))
		}
	}
	if from == 0 {
		return data, nil
	}
	newline := from - 1 - start
	if newline >= int64(len(data)) || data[newline] != '\n' {
		return nil, ErrShrunk
	}
	return data[newline+1:], nil
}

func (b *bucket) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if err := CheckAppend(key, at, lines); err != nil {
		return 0, err
	}
	unsure := false // an attempt may have been carried out
	err := b.again(ctx, func(ctx context.Context) error {
		err := b.append(ctx, key, at, lines)
		unsure = unsure || err != nil && desktop.DeliveryOf(err) == desktop.Unknown
		return err
	})
	switch code := codeOf(err); {
	case err == nil:
		return at + int64(len(lines)), nil
	case code == "PositionNotEqualToLength" || unsure:
		return b.settle(ctx, key, at, lines, err)
	case code == "ObjectNotAppendable":
		return 0, fmt.Errorf("appending to journal %s: %w: the object was not made by appending: move it away: %w", key, ErrDamaged, err)
	}
	return 0, fmt.Errorf("appending to journal %s: %w", key, err)
}

// append is one AppendObject.
func (b *bucket) append(ctx context.Context, key string, at int64, lines []byte) error {
	req := &oss.AppendObjectRequest{
		Bucket:      oss.Ptr(b.name),
		Key:         oss.Ptr(b.prefix + key),
		Position:    oss.Ptr(at),
		ContentType: oss.Ptr(contentType),
		Body:        bytes.NewReader(lines),
	}
	if at == 0 {
		// Whatever class the bucket has: an archived log could be begun and never
		// be read. Source: "AppendObject", x-oss-storage-class.
		req.StorageClass = oss.StorageClassStandard
	}
	res, err := b.client.AppendObject(ctx, req)
	if err != nil {
		return b.callError(ctx, "AppendObject", err)
	}
	if want := at + int64(len(lines)); res.NextPosition != want {
		return b.callError(ctx, "AppendObject", fmt.Errorf("next position %d, want %d", res.NextPosition, want))
	}
	return nil
}

// settle finds out by reading what became of an append that ended with cause.
// It reads also after a plain refusal of the position: something between OSS
// and us may have sent the append twice.
func (b *bucket) settle(ctx context.Context, key string, at int64, lines []byte, cause error) (int64, error) {
	taken := codeOf(cause) == "PositionNotEqualToLength"
	data, err := b.read(ctx, key, at)
	switch {
	case errors.Is(err, ErrShrunk) && taken:
		return 0, moved(key, at, -1)
	case err != nil:
		return 0, fmt.Errorf("appending to journal %s at %d: %w: %w; %w", key, at, ErrUnsettled, cause, err)
	case bytes.HasPrefix(data, lines):
		return at + int64(len(lines)), nil
	}
	n, err := complete(data)
	switch {
	case err != nil:
		return 0, fmt.Errorf("appending to journal %s at %d: %w", key, at, err)
	case n == 0 && len(data) > 0:
		return 0, fmt.Errorf("appending to journal %s: %w: it ends in an incomplete line at %d", key, ErrDamaged, at)
	case len(data) > 0, taken:
		// Somebody else has the position, so this append can never be carried out.
		return 0, moved(key, at, at+int64(n))
	}
	// Nothing is there, but the append may be still on its way.
	return 0, fmt.Errorf("appending to journal %s at %d: %w: %w", key, at, ErrUnsettled, cause)
}

func (b *bucket) Keys(ctx context.Context, prefix string) ([]string, error) {
	return keysOf(b.entries(ctx, prefix))
}

func (b *bucket) entries(ctx context.Context, prefix string) ([]Entry, error) {
	var found []Entry
	var token *string
	for seen := 0; ; {
		page, err := b.list(ctx, &oss.ListObjectsV2Request{Prefix: &prefix, MaxKeys: 1000, ContinuationToken: token})
		if err != nil {
			return nil, err
		}
		found = append(found, b.ours(page)...)
		// What is not ours counts too: this bounds the pages.
		if seen += max(len(page.Contents), 1); seen > MaxKeys {
			return nil, fmt.Errorf("listing journal %s: more than %d keys", prefix, MaxKeys)
		}
		if !page.IsTruncated {
			return found, nil
		}
		if token = page.NextContinuationToken; oss.ToString(token) == "" {
			return nil, fmt.Errorf("listing journal %s: the listing breaks off without a continuation", prefix)
		}
	}
}

func (b *bucket) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	request := &oss.ListObjectsV2Request{Prefix: &prefix, MaxKeys: int32(min(limit, MaxSome))} //nolint:gosec // bounded
	if after != "" {
		request.StartAfter = oss.Ptr(b.prefix + after)
	}
	page, err := b.list(ctx, request)
	if err != nil {
		return nil, err
	}
	return keysOf(b.ours(page), nil)
}

// list asks for one page of objects, whose request names a prefix of our keys.
func (b *bucket) list(ctx context.Context, request *oss.ListObjectsV2Request) (page *oss.ListObjectsV2Result, err error) {
	prefix := *request.Prefix
	request.Bucket, request.Prefix, request.EncodingType = oss.Ptr(b.name), oss.Ptr(b.prefix+prefix), oss.Ptr("url")
	err = b.again(ctx, func(ctx context.Context) (err error) {
		page, err = b.client.ListObjectsV2(ctx, request)
		if err == nil && oss.ToString(page.Name) != b.name {
			err = errors.New("an answer without the bucket's name is not from OSS")
		}
		if err != nil {
			return b.callError(ctx, "ListObjectsV2", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing journal %s: %w", prefix, err)
	}
	return page, nil
}

// ours are those objects of a page that are logs.
func (b *bucket) ours(page *oss.ListObjectsV2Result) (found []Entry) {
	for _, object := range page.Contents {
		if key, ok := strings.CutPrefix(oss.ToString(object.Key), b.prefix); ok && checkKey(key) == nil {
			found = append(found, Entry{key, object.Size, oss.ToTime(object.LastModified)})
		}
	}
	return found
}

func (b *bucket) Forget(ctx context.Context, key string) error {
	if err := CheckForget(key); err != nil {
		return err
	}
	err := b.again(ctx, func(ctx context.Context) error {
		if _, err := b.client.DeleteObject(ctx, &oss.DeleteObjectRequest{Bucket: oss.Ptr(b.name), Key: oss.Ptr(b.prefix + key)}); err != nil {
			return b.callError(ctx, "DeleteObject", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}

// again makes a call that may be made twice, until it succeeds or is refused,
// or attempts or time run out.
func (b *bucket) again(ctx context.Context, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := b.once(ctx, call)
		if err == nil || !worthAgain(err) || attempt == maxAttempts || b.pause(ctx, attempt) != nil {
			return err
		}
	}
}

func (b *bucket) once(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := call(ctx)
	if e, ok := errors.AsType[*desktop.CallError](err); ok {
		// Services are known to echo credentials when a signature does not match.
		k, _ := b.keys(ctx) // none, none to hide
		for _, s := range []*string{&e.Code, &e.Message, &e.RequestID} {
			*s = pace.Message(*s, k)
		}
	}
	return err
}

// pause waits before a further attempt, or until ctx ends: a call after that is not sent.
func (b *bucket) pause(ctx context.Context, attempt int) error {
	d := b.backoff << (attempt - 1)
	return pace.Sleep(ctx, d/2+rand.N(d/2+1))
}
