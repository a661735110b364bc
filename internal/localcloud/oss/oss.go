// Package oss is the local cloud's stand-in for Alibaba Cloud Object Storage
// Service (OSS): buckets and objects in memory, spoken to over HTTP so that the
// vendor's own SDKs work against it on loopback. It is for the local cloud and
// for tests, never for production.
//
// # What it imitates
//
// AppendObject with its compare-and-swap on the position, PutObject, GetObject
// with both range behaviours, HeadObject, GetObjectMeta, DeleteObject,
// DeleteMultipleObjects, ListObjects and ListObjectsV2, ListBuckets, PutBucket,
// DeleteBucket, and what GetBucketInfo, GetBucketLocation, GetBucketStat and
// GetBucketAcl tell of a bucket; versions of objects, with delete markers;
// retention policies (WORM); archive storage classes, with RestoreObject; the V4 signature (OSS4-HMAC-SHA256) and the V1 signature
// (OSS ak:signature), both really verified over the request as it was sent; the
// 15 minutes a request's date may be off real time; security tokens;
// Content-MD5; CRC-64; buckets in the host name and in the path; errors in the
// service's XML, for HEAD in a header.
//
// # What it does not
//
// No signed URLs, multipart uploads (a listing of them is empty), copies, tags
// (but their number), ACLs other than private, policies (ask a fault.Injector
// for AccessDenied), callbacks, conditional reads or lifecycle rules. An
// operation it does not know is answered with 501 NotImplemented. It forgets
// everything when it ends. Of the tests that the vendor's SDK brings, those that
// it passes, and why it does not pass the others, are listed in
// conformance/ossgosdk_test.go. Messages and codes are those of the OSS
// documentation's pages on each operation and on error codes; where the
// service's behaviour is not known, the code says so at that place.
//
// The files: oss.go is the server and its Go side, route.go finds out what is
// asked, auth.go verifies signatures, object.go, bucket.go, versions.go and
// retention.go do the work, wire.go writes answers.
package oss

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
)

// Keys is an access key that may call the service. One with a Token is of STS:
// the calls it signs must carry that token.
type Keys struct{ ID, Secret, Token string }

// Options says how a Server is set up. The zero value is a server on real time,
// without faults and buckets, that refuses every call because it knows no key.
type Options struct {
	Clock   *clock.Clock    // for Last-Modified; nil: real time
	Faults  *fault.Injector // nil: none
	Keys    []Keys          // see Server.SetKeys
	Buckets []string        // that exist from the start
	Region  string          // "": cn-hangzhou; V4 signatures must be made for it
}

// maxObject bounds an object, and a request's body. The live service takes 5 GB.
const maxObject = 128 << 20

// A Server is one account's OSS in one region. All methods may be called at
// once from several goroutines.
type Server struct {
	clock  *clock.Clock
	faults *fault.Injector
	region string

	mu      sync.Mutex
	keys    []Keys
	buckets map[string]*bucket
}

type bucket struct {
	created    time.Time
	objects    map[string]*object   // the current versions
	past       map[string][]*object // further versions and delete markers, the latest first
	versioning string               // "", Enabled or Suspended
	class      string               // what objects are stored as unless they say otherwise
	worm       *worm                // retention policy; nil: none
	settings   BucketSettings       // of which the three above are left out
}

func (s *Server) newBucket() *bucket {
	return &bucket{created: s.clock.Now(), objects: map[string]*object{}, past: map[string][]*object{}, class: standard}
}

// standard is the storage class of what nobody gives another.
const standard = "Standard"

type object struct {
	data        []byte // only ever appended to, so a reader may keep a part of it
	appendable  bool
	contentType string
	modified    time.Time
	kept        http.Header // what is told again as it came: x-oss-meta-*, Cache-Control, …

	version  string // "" without versions
	marker   bool   // stands for a deletion, and holds nothing
	class    string // storage class
	restored restoring
}

// New returns a server with the buckets of o, all empty.
func New(o Options) *Server {
	s := &Server{
		clock:   o.Clock,
		faults:  o.Faults,
		region:  o.Region,
		keys:    slices.Clone(o.Keys),
		buckets: map[string]*bucket{},
	}
	if s.clock == nil {
		s.clock = clock.New(time.Now(), 1)
	}
	if s.faults == nil {
		s.faults = &fault.Injector{}
	}
	if s.region == "" {
		s.region = "cn-hangzhou"
	}
	for _, name := range o.Buckets {
		s.CreateBucket(name)
	}
	return s
}

// SetKeys replaces the keys that may call, as when STS credentials rotate.
func (s *Server) SetKeys(keys ...Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.Clone(keys)
}

// CreateBucket makes a bucket; one that exists keeps its objects.
func (s *Server) CreateBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] == nil {
		s.buckets[name] = s.newBucket()
	}
}

// BucketSettings are what a journal's bucket should not have.
type BucketSettings struct {
	StorageClass  string // "": Standard; also IA, Archive, ColdArchive, DeepColdArchive
	Versioning    string // "", Enabled or Suspended
	RetentionDays int    // of a locked retention policy (WORM); 0: none

	// These break what a journal rests on. AnyPosition takes an append at any
	// position, in the place of what stands there, as Object Storage never does.
	// Mirror is what a key that is not there reads as, as under a rule that
	// fetches missing objects from elsewhere (back-to-origin); "": it is missing.
	AnyPosition bool
	Mirror      string

	// These are shown and not obeyed.
	ACL       string // "": private; also public-read and public-read-write
	Public    bool   // public access is not blocked
	Lifecycle []LifecycleRule
}

// SetBucket makes a bucket if need be, and gives it settings. Objects that it
// has keep their storage class and their versions.
func (s *Server) SetBucket(name string, o BucketSettings) {
	s.CreateBucket(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	b.class, b.versioning, b.worm, b.settings = o.StorageClass, o.Versioning, nil, o
	b.settings.Lifecycle = slices.Clone(o.Lifecycle)
	if b.class == "" {
		b.class = standard
	}
	if o.RetentionDays > 0 {
		b.worm = &worm{id: requestID(), days: o.RetentionDays, locked: true, created: s.clock.Now()}
	}
}

// Object returns what an object holds, and whether there is one.
func (s *Server) Object(bucketName, key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil || b.objects[key] == nil {
		return nil, false
	}
	return bytes.Clone(b.objects[key].data), true
}

// Keys lists the keys of a bucket in byte order.
func (s *Server) Keys(bucketName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil {
		return nil
	}
	return b.keys()
}

func (b *bucket) keys() []string {
	keys := make([]string, 0, len(b.objects))
	for key := range b.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Put makes an object as PutObject does; the bucket is made if need be.
func (s *Server) Put(bucketName, key string, data []byte) {
	s.CreateBucket(bucketName)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	b.put(key, &object{data: bytes.Clone(data), contentType: "application/octet-stream", modified: s.clock.Now(), class: b.class})
}

// Append adds to an object as AppendObject does at its end, or makes one; the
// bucket is made if need be.
func (s *Server) Append(bucketName, key string, data []byte) {
	s.CreateBucket(bucketName)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	o := b.objects[key]
	if o == nil {
		o = &object{appendable: true, contentType: "application/octet-stream", class: b.class}
		b.put(key, o)
	}
	o.data, o.modified = append(o.data, data...), s.clock.Now()
}

// Remove deletes an object, as a lifecycle rule or a person would.
func (s *Server) Remove(bucketName, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[bucketName]; b != nil {
		_, _ = s.remove(b, key, "") // a retention policy keeps it
	}
}

// Archive moves an object to another storage class, as a lifecycle rule does.
func (s *Server) Archive(bucketName, key, class string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[bucketName]; b != nil && b.objects[key] != nil {
		b.objects[key].class = class
	}
}

// Handler answers the HTTP API, with the faults of Options around it.
func (s *Server) Handler() http.Handler {
	return s.faults.Wrap(fault.Service{
		Name:      "oss",
		Operation: func(r *http.Request) string { return s.places(r)[0].operation(r) },
		Fail: func(w http.ResponseWriter, r *http.Request, status int, code, message string) {
			fail(w, r, &apiError{Status: status, Code: code, Message: message})
		},
		ThrottleStatus: http.StatusServiceUnavailable,
		ThrottleCode:   "QpsLimitExceeded",
	}, http.HandlerFunc(s.serve))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AliyunOSS")
	p, err := s.authenticate(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	body, err := readBody(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.dispatch(w, r, p, body); err != nil {
		fail(w, r, err)
	}
}
