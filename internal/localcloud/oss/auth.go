package oss

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxSkew is how far a request's date may be off, in real time. Source: error
// code RequestTimeTooSkewed.
const maxSkew = 15 * time.Minute

// authenticate verifies a request's signature over what was sent and returns
// the place it was made for.
func (s *Server) authenticate(r *http.Request) (place, *apiError) {
	header := r.Header.Get("Authorization")
	places := s.places(r)
	switch {
	case strings.HasPrefix(header, "OSS4-HMAC-SHA256 "):
		return s.authenticateV4(r, strings.TrimPrefix(header, "OSS4-HMAC-SHA256 "), places)
	case strings.HasPrefix(header, "OSS "):
		return s.authenticateV1(r, strings.TrimPrefix(header, "OSS "), places)
	case header == "":
		return place{}, &apiError{Status: 403, Code: "AccessDenied", EC: "0003-00000001", Message: "You have no right to access this object because of bucket acl."}
	}
	return place{}, invalidArgument("Authorization", "", "0002-00000226", "The authorization header that you provided is invalid.")
}

// authenticateV1 checks "OSS id:signature". Source: "Include a V1 signature in
// the Authorization header".
func (s *Server) authenticateV1(r *http.Request, credential string, places []place) (place, *apiError) {
	id, signature, ok := strings.Cut(credential, ":")
	if !ok {
		return place{}, invalidArgument("Authorization", "", "0002-00000227", "The authorization header that you provided is invalid.")
	}
	keys, err := s.keysOf(id, r)
	if err != nil {
		return place{}, err
	}
	// x-oss-date takes the place of Date, which browsers may not set.
	date := r.Header.Get("x-oss-date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	at, parseErr := http.ParseTime(date)
	if err := checkDate(at, parseErr); err != nil {
		return place{}, err
	}
	var stringToSign string
	for _, p := range places {
		stringToSign = strings.Join([]string{
			r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), date,
			canonicalHeaders(r.Header, isOSSHeader) + resourceV1(p, r.URL.Query()),
		}, "\n")
		mac := hmac.New(sha1.New, []byte(keys.Secret))
		_, _ = mac.Write([]byte(stringToSign))
		if equal(base64.StdEncoding.EncodeToString(mac.Sum(nil)), signature) {
			return p, nil
		}
	}
	return place{}, mismatch(id, signature, stringToSign)
}

// signedV1 are the query parameters that belong to the signed resource, beside
// those that begin with x-oss- or response-.
var signedV1 = []string{
	"acl", "append", "bucketInfo", "callback", "callback-var", "cname", "comp", "continuation-token", "cors", "delete",
	"encryption", "endTime", "img", "lifecycle", "live", "location", "logging", "objectMeta", "partNumber", "policy",
	"position", "qos", "qosInfo", "referer", "replication", "restore", "security-token", "sequential", "startTime",
	"stat", "status", "style", "symlink", "tagging", "uploadId", "uploads", "versionId", "versioning", "versions",
	"vod", "website", "worm", "wormExtend", "wormId",
}

func resourceV1(p place, q url.Values) string {
	resource := "/"
	if p.bucket != "" {
		resource += p.bucket + "/" + p.key
	}
	var signed []string
	for name, values := range q {
		if !slices.Contains(signedV1, name) && !strings.HasPrefix(name, "x-oss-") && !strings.HasPrefix(name, "response-") {
			continue
		}
		if values[0] != "" {
			name += "=" + values[0]
		}
		signed = append(signed, name)
	}
	if len(signed) == 0 {
		return resource
	}
	slices.Sort(signed)
	return resource + "?" + strings.Join(signed, "&")
}

// authenticateV4 checks "Credential=…,AdditionalHeaders=…,Signature=…". Source:
// "Include a V4 signature in the Authorization header".
func (s *Server) authenticateV4(r *http.Request, credential string, places []place) (place, *apiError) {
	bad := func(why string) *apiError { return invalidArgument("Authorization", "", "0002-00000225", why) }
	fields := map[string]string{}
	for field := range strings.SplitSeq(credential, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[3] != "oss" || scope[4] != "aliyun_v4_request" {
		return place{}, bad("Invalid credential in Authorization header.")
	}
	id, day, region := scope[0], scope[1], scope[2]
	keys, err := s.keysOf(id, r)
	if err != nil {
		return place{}, err
	}
	date := r.Header.Get("x-oss-date")
	at, parseErr := time.Parse("20060102T150405Z", date)
	if err := checkDate(at, parseErr); err != nil {
		return place{}, err
	}
	switch {
	case region != s.region:
		return place{}, bad("Invalid signing region in Authorization header.")
	case day != at.Format("20060102"):
		return place{}, bad("Invalid signing date in Authorization header.")
	case r.Header.Get("x-oss-content-sha256") == "":
		return place{}, bad("Header 'x-oss-content-sha256' is missing.")
	}
	var stringToSign string
	for _, p := range places {
		sum := sha256.Sum256([]byte(canonicalV4(r, p, fields["AdditionalHeaders"])))
		stringToSign = strings.Join([]string{"OSS4-HMAC-SHA256", date, strings.Join(scope[1:], "/"), hex.EncodeToString(sum[:])}, "\n")
		key := []byte("aliyun_v4" + keys.Secret)
		for _, part := range append(slices.Clone(scope[1:]), stringToSign) {
			mac := hmac.New(sha256.New, key)
			_, _ = mac.Write([]byte(part))
			key = mac.Sum(nil)
		}
		if equal(hex.EncodeToString(key), fields["Signature"]) {
			return p, nil
		}
	}
	return place{}, mismatch(id, fields["Signature"], stringToSign)
}

// canonicalV4 is the request as a V4 signature sees it.
func canonicalV4(r *http.Request, p place, additional string) string {
	uri := "/"
	if p.bucket != "" {
		uri += p.bucket + "/" + p.key
	}
	var query []string
	for name, values := range r.URL.Query() {
		pair := escape(name, false)
		if values[0] != "" {
			pair += "=" + escape(values[0], false)
		}
		query = append(query, pair)
	}
	slices.SortFunc(query, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	extra := strings.Split(additional, ";")
	headers := canonicalHeaders(r.Header, func(name string) bool {
		return isOSSHeader(name) || name == "content-type" || name == "content-md5" || slices.Contains(extra, name)
	})
	return strings.Join([]string{
		r.Method, escape(uri, true), strings.Join(query, "&"), headers, additional, r.Header.Get("x-oss-content-sha256"),
	}, "\n")
}

func isOSSHeader(name string) bool { return strings.HasPrefix(name, "x-oss-") }

// canonicalHeaders lists headers that are signed, sorted, one a line.
func canonicalHeaders(h http.Header, signed func(lowerName string) bool) string {
	var lines []string
	for name, values := range h {
		if name = strings.ToLower(name); !signed(name) {
			continue
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.TrimSpace(v)
		}
		lines = append(lines, name+":"+strings.Join(trimmed, ",")+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// escape encodes all but the unreserved characters of RFC 3986.
func escape(s string, keepSlash bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-._~", c) >= 0 || c == '/' && keepSlash {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// keysOf finds the keys of an access key id and checks the token that goes with
// them.
func (s *Server) keysOf(id string, r *http.Request) (Keys, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.Header.Get("x-oss-security-token")
	known := false
	for _, k := range s.keys {
		if k.ID != id {
			continue
		}
		if equal(k.Token, token) {
			return k, nil
		}
		known = true
	}
	if known && token != "" {
		return Keys{}, &apiError{Status: 403, Code: "InvalidSecurityToken", Message: "The security token you provided is invalid."}
	}
	// A temporary key without its token is unknown too.
	return Keys{}, (&apiError{
		Status: 403, Code: "InvalidAccessKeyId", EC: "0002-00000902",
		Message: "The OSS Access Key Id you provided does not exist in our records.",
	}).with("OSSAccessKeyId", id)
}

func checkDate(at time.Time, err error) *apiError {
	if err != nil {
		return &apiError{Status: 403, Code: "AccessDenied", EC: "0002-00000203", Message: "OSS authentication requires a valid Date."}
	}
	now := time.Now()
	if d := now.Sub(at); d > maxSkew || d < -maxSkew {
		return (&apiError{
			Status: 403, Code: "RequestTimeTooSkewed", EC: "0002-00000504",
			Message: "The difference between the request time and the current time is too large.",
		}).with("MaxAllowedSkewMilliseconds", fmt.Sprint(maxSkew.Milliseconds())).
			with("RequestTime", isoTime(at)).with("ServerTime", isoTime(now))
	}
	return nil
}

func mismatch(id, signature, stringToSign string) *apiError {
	return (&apiError{
		Status: 403, Code: "SignatureDoesNotMatch", EC: "0002-00000040",
		Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
	}).with("OSSAccessKeyId", id).with("SignatureProvided", signature).with("StringToSign", stringToSign)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
