package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// Options are what Open needs beside the URL. The fields are for OSS, but for
// Timeout, which is for files too.
type Options struct {
	// Region of the bucket, such as cn-hangzhou; required, since it is signed.
	Region string
	// Internal chooses the region's internal endpoint, which costs no traffic
	// and is reached only from inside the region.
	Internal bool
	// OSSEndpoint is a host, or a URL such as http://127.0.0.1:PORT, instead of
	// the region's endpoint. A bucket at an IP address or localhost is addressed
	// in the path, otherwise in the host name.
	OSSEndpoint string
	// Keys returns the credentials of a call; it is asked at each one. Required.
	Keys func(context.Context) (credentials.Keys, error)
	// Timeout bounds one attempt of a call to OSS, or the wait for another
	// process's lock on a file. 0 means 5 seconds.
	Timeout time.Duration
	// Backoff is the pause before the first further attempt; it doubles each
	// time, and half of it is random. 0 means 100 milliseconds.
	Backoff time.Duration
}

const (
	// defaultTimeout is long for a call inside a region (some 20 ms) and short
	// for an invocation, which lives for minutes.
	defaultTimeout = 5 * time.Second
	defaultBackoff = 100 * time.Millisecond
)

// Open returns the store that rawURL names: oss://bucket/prefix or file:///dir.
// It reports every fault of the URL and the options by name, and calls nobody:
// a bucket that is missing or forbidden shows at the first use. Directories are
// created at the first append.
func Open(rawURL string, o Options) (Store, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Backoff == 0 {
		o.Backoff = defaultBackoff
	}
	// The URL is not printed whole: somebody may have put a password into it.
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("opening journal: not a URL; use oss://bucket/prefix or file:///dir")
	}
	var faults []error
	if o.Timeout < 0 {
		faults = append(faults, fmt.Errorf("negative timeout %s", o.Timeout))
	}
	if o.Backoff < 0 {
		faults = append(faults, fmt.Errorf("negative backoff %s", o.Backoff))
	}
	if u.User != nil {
		faults = append(faults, errors.New("a journal URL takes no user or password"))
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		faults = append(faults, errors.New("a journal URL has a scheme, a bucket or nothing, and a path, and no more"))
	}
	var open func() (Store, error)
	switch u.Scheme {
	case "oss":
		faults = append(faults, ossFaults(u, o)...)
		open = func() (Store, error) { return newOSS(u, o) }
	case "file":
		faults = append(faults, fileFaults(u)...)
		open = func() (Store, error) { return newFile(filepath.Clean(filepath.FromSlash(u.Path)), o.Timeout), nil }
	default:
		faults = append(faults, fmt.Errorf("unknown scheme %.20q; use oss://bucket/prefix or file:///dir", u.Scheme))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("opening journal: %w", errors.Join(faults...))
	}
	return open()
}

// Renew has a store that Open returned use new connections only, from now on. It
// is for the start of an invocation: Function Compute may have frozen the
// instance since, and its connections may be dead without a word. Stores without
// connections are left as they are.
func Renew(s Store) {
	if b, ok := s.(*bucket); ok {
		b.renew()
	}
}

func fileFaults(u *url.URL) (faults []error) {
	if u.Host != "" {
		faults = append(faults, fmt.Errorf("file URL with a host %.60q: use three slashes, as in file:///dir", u.Host))
	}
	if !strings.HasPrefix(u.Path, "/") || strings.ContainsRune(u.Path, 0) {
		faults = append(faults, errors.New("file URL without an absolute directory, as in file:///dir"))
	}
	return faults
}

// Names of buckets and what we allow in a prefix. Source: "Bucket naming
// conventions", "Object naming conventions".
var (
	bucketName = pattern.Lazily(`^[a-z0-9][a-z0-9-]*[a-z0-9]$`)
	prefixName = pattern.Lazily(`^[A-Za-z0-9_=~-][A-Za-z0-9._=~-]*(/[A-Za-z0-9_=~-][A-Za-z0-9._=~-]*)*$`)
)

// maxPrefix leaves room for a key in OSS's 1,023 bytes of an object name.
const maxPrefix = 500

func ossFaults(u *url.URL, o Options) (faults []error) {
	if len(u.Host) < 3 || len(u.Host) > 63 || !bucketName().MatchString(u.Host) {
		faults = append(faults, fmt.Errorf("not a bucket name: %.70q", u.Host))
	}
	if p := prefixOf(u); p != "" && (len(p) > maxPrefix || !prefixName().MatchString(p)) {
		faults = append(faults, fmt.Errorf("not an object prefix: %.100q: use letters, digits, -, _ and / between them", p))
	}
	if !pattern.Region.Matches(o.Region) {
		faults = append(faults, fmt.Errorf("not a region: %.60q", o.Region))
	}
	if _, err := ossEndpoint(o); err != nil {
		faults = append(faults, err)
	}
	if o.Keys == nil {
		faults = append(faults, errors.New("no source of credentials (Options.Keys)"))
	}
	return faults
}

func prefixOf(u *url.URL) string { return strings.Trim(u.Path, "/") }

// ossEndpoint returns the URL of the service, without a bucket.
func ossEndpoint(o Options) (*url.URL, error) {
	raw := o.OSSEndpoint
	if raw == "" {
		raw = "oss-" + o.Region + ".aliyuncs.com"
		if o.Internal {
			raw = "oss-" + o.Region + "-internal.aliyuncs.com"
		}
	}
	u, err := pace.ParseEndpoint(raw)
	if err != nil {
		return nil, fmt.Errorf("not an OSS endpoint: %w", err)
	}
	return u, nil
}

// pathStyle says whether the bucket belongs into the path: there is no
// sub-domain of an address.
func pathStyle(endpoint *url.URL) bool {
	host := endpoint.Hostname()
	return net.ParseIP(host) != nil || host == "localhost"
}
