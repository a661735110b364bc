package oss

import (
	"crypto/md5"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
)

// A place is what a request is about: nothing (the service), a bucket, or an
// object.
type place struct{ bucket, key string }

// places returns the places a request may mean, most likely first. Mostly it is
// one. Where the host names a bucket that the path begins with too, only the
// signature can tell: npm ali-oss sends both when it is told to use the path
// at an IP address.
func (s *Server) places(r *http.Request) []place {
	path := strings.TrimPrefix(r.URL.Path, "/")
	first, rest, _ := strings.Cut(path, "/")
	inPath := place{first, rest}
	name, ok := s.bucketOfHost(r.Host)
	if !ok {
		return []place{inPath}
	}
	inHost := place{name, path}
	if name == first {
		return []place{inPath, inHost}
	}
	return []place{inHost}
}

// bucketOfHost reads the bucket from a host such as journal.localhost or
// journal.oss-cn-hangzhou.aliyuncs.com. In other domains only a bucket that
// exists counts as one.
func (s *Server) bucketOfHost(host string) (name string, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if net.ParseIP(strings.Trim(host, "[]")) != nil {
		return "", false
	}
	name, domain, dotted := strings.Cut(host, ".")
	if strings.HasPrefix(domain, "oss-") && strings.HasSuffix(domain, ".aliyuncs.com") {
		return name, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return name, dotted && s.buckets[name] != nil
}

// operation names what is asked, in the words of the API.
func (p place) operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case p.bucket == "":
		return map[string]string{"GET": "ListBuckets"}[r.Method]
	case p.key == "":
		return nameOf(bucketOperations, r.Method, q.Has)
	}
	return nameOf(objectOperations, r.Method, q.Has)
}

// An operation is told by its method and the query parameter that names it.
type operation struct{ method, has, name string }

var bucketOperations = []operation{
	{"GET", "bucketInfo", "GetBucketInfo"},
	{"GET", "location", "GetBucketLocation"},
	{"GET", "stat", "GetBucketStat"},
	{"GET", "acl", "GetBucketAcl"},
	{"GET", "lifecycle", "GetBucketLifecycle"},
	{"GET", "versioning", "GetBucketVersioning"},
	{"PUT", "versioning", "PutBucketVersioning"},
	{"GET", "versions", "ListObjectVersions"},
	{"GET", "uploads", "ListMultipartUploads"},
	{"POST", "delete", "DeleteMultipleObjects"},
	{"POST", "worm", "InitiateBucketWorm"},
	{"GET", "worm", "GetBucketWorm"},
	{"DELETE", "worm", "AbortBucketWorm"},
	{"POST", "wormExtend", "ExtendBucketWorm"},
	{"POST", "wormId", "CompleteBucketWorm"},
	{"GET", "list-type", "ListObjectsV2"},
	{"GET", "", "ListObjects"},
	{"PUT", "", "PutBucket"},
	{"DELETE", "", "DeleteBucket"},
}

var objectOperations = []operation{
	{"POST", "append", "AppendObject"},
	{"HEAD", "objectMeta", "GetObjectMeta"},
	{"POST", "restore", "RestoreObject"},
	{"POST", "cleanRestoredObject", "CleanRestoredObject"},
	{"POST", "seal", "SealAppendObject"},
	{"GET", "", "GetObject"},
	{"HEAD", "", "HeadObject"},
	{"PUT", "", "PutObject"},
	{"DELETE", "", "DeleteObject"},
}

// nameOf returns the name of the operation that is asked for, "" for one that
// is not imitated: such share their method with one that is.
func nameOf(all []operation, method string, has func(string) bool) string {
	for _, op := range all {
		if op.method != method || op.has != "" && !has(op.has) || op.has == "" && unknownSubresource(has) {
			continue
		}
		return op.name
	}
	return ""
}

// unknownSubresource tells operations by a parameter that is none of a plain
// one.
func unknownSubresource(has func(string) bool) bool {
	for _, name := range []string{
		"acl", "append", "bucketInfo", "cleanRestoredObject", "cors", "delete", "encryption", "lifecycle", "location", "logging",
		"objectMeta", "objectWorm", "partNumber", "policy", "qosInfo", "referer", "restore", "seal", "stat", "symlink", "tagging",
		"uploadId", "uploads", "versioning", "versions", "website", "worm", "wormExtend", "wormId",
	} {
		if has(name) {
			return true
		}
	}
	return false
}

// dispatch does what was asked; s.mu is held.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, p place, body []byte) *apiError {
	op := p.operation(r)
	if op == "ListBuckets" {
		return s.listBuckets(w, r)
	}
	if op == "" {
		return &apiError{Status: 501, Code: "NotImplemented", Message: "A header or a query you provided implies functionality that is not implemented."}
	}
	if op == "PutBucket" {
		return s.putBucket(w, p, body)
	}
	b := s.buckets[p.bucket]
	if b == nil {
		return errNoSuchBucket.with("BucketName", p.bucket)
	}
	if len(p.key) > 1023 || strings.HasPrefix(p.key, "\\") {
		return &apiError{Status: 400, Code: "InvalidObjectName", Message: "The specified object is not valid."}
	}
	return s.operations()[op](w, r, b, p, body)
}

// operations are those on a bucket that exists; s.mu is held. The journal appends,
// gets, puts, lists and deletes objects, and the doctor reads how the bucket is set
// up. Versions, retention (WORM), restoring and sealing are what may happen to a
// journal behind regild's back, and the rest is what the SDK's own tests of all these
// need, which judge this server (conformance).
func (s *Server) operations() map[string]func(http.ResponseWriter, *http.Request, *bucket, place, []byte) *apiError {
	return map[string]func(http.ResponseWriter, *http.Request, *bucket, place, []byte) *apiError{
		"GetBucketInfo":         s.bucketInfo,
		"GetBucketLocation":     s.bucketLocation,
		"GetBucketStat":         s.bucketStat,
		"GetBucketAcl":          s.bucketACL,
		"GetBucketLifecycle":    s.bucketLifecycle,
		"GetBucketVersioning":   s.getVersioning,
		"PutBucketVersioning":   s.putVersioning,
		"ListObjectVersions":    s.listVersions,
		"ListMultipartUploads":  s.listUploads,
		"DeleteMultipleObjects": s.deleteObjects,
		"InitiateBucketWorm":    s.initiateWorm,
		"GetBucketWorm":         s.getWorm,
		"AbortBucketWorm":       s.abortWorm,
		"ExtendBucketWorm":      s.changeWorm,
		"CompleteBucketWorm":    s.changeWorm,
		"ListObjects":           s.listObjects,
		"ListObjectsV2":         s.listObjects,
		"DeleteBucket":          s.deleteBucket,
		"AppendObject":          s.appendObject,
		"PutObject":             s.putObject,
		"GetObject":             s.getObject,
		"HeadObject":            s.headObject,
		"GetObjectMeta":         s.headObject,
		"DeleteObject":          s.deleteObject,
		"RestoreObject":         s.restore,
		"CleanRestoredObject":   s.cleanRestored,
		"SealAppendObject":      s.seal,
	}
}

// readBody reads a bounded body and checks the digest that came with it.
func readBody(r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxObject+1))
	if err != nil {
		return nil, &apiError{Status: 400, Code: "IncompleteBody", Message: "The request body terminated unexpectedly."}
	}
	if len(body) > maxObject {
		return nil, errTooLarge
	}
	if want := r.Header.Get("Content-MD5"); want != "" {
		if sum := md5.Sum(body); base64.StdEncoding.EncodeToString(sum[:]) != want {
			return nil, (&apiError{Status: 400, Code: "InvalidDigest", Message: "The Content-MD5 you specified was invalid."}).with("Content-MD5", want)
		}
	}
	return body, nil
}
