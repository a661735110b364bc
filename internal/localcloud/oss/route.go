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
		return bucketOperation(r.Method, q.Has)
	}
	return objectOperation(r.Method, q.Has)
}

func bucketOperation(method string, has func(string) bool) string {
	switch {
	case has("bucketInfo") && method == "GET":
		return "GetBucketInfo"
	case has("location") && method == "GET":
		return "GetBucketLocation"
	case unknownSubresource(has):
		return ""
	case method == "GET" && has("list-type"):
		return "ListObjectsV2"
	case method == "GET":
		return "ListObjects"
	case method == "PUT":
		return "PutBucket"
	}
	return ""
}

func objectOperation(method string, has func(string) bool) string {
	switch {
	case has("append") && method == "POST":
		return "AppendObject"
	case has("objectMeta") && method == "HEAD":
		return "GetObjectMeta"
	case unknownSubresource(has):
		return ""
	}
	return map[string]string{
		"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject",
	}[method]
}

// unknownSubresource tells operations that are not imitated from those that
// are and share their method.
func unknownSubresource(has func(string) bool) bool {
	for _, name := range []string{
		"acl", "append", "bucketInfo", "cors", "delete", "encryption", "lifecycle", "location", "logging", "objectMeta",
		"partNumber", "policy", "qosInfo", "referer", "restore", "stat", "symlink", "tagging", "uploadId", "uploads",
		"versionId", "versioning", "versions", "website", "worm",
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
		return s.putBucket(w, r, p)
	}
	b := s.buckets[p.bucket]
	if b == nil {
		return errNoSuchBucket.with("BucketName", p.bucket)
	}
	if len(p.key) > 1023 || strings.HasPrefix(p.key, "\\") {
		return &apiError{Status: 400, Code: "InvalidObjectName", Message: "The specified object is not valid."}
	}
	return map[string]func(http.ResponseWriter, *http.Request, *bucket, place, []byte) *apiError{
		"GetBucketInfo":     s.bucketInfo,
		"GetBucketLocation": s.bucketLocation,
		"ListObjects":       s.listObjects,
		"ListObjectsV2":     s.listObjects,
		"AppendObject":      s.appendObject,
		"PutObject":         s.putObject,
		"GetObject":         s.getObject,
		"HeadObject":        s.headObject,
		"GetObjectMeta":     s.headObject,
		"DeleteObject":      s.deleteObject,
	}[op](w, r, b, p, body)
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
