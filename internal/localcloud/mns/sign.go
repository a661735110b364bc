package mns

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// This file decides who may call. A signature is computed over the request as
// it was sent: the page "Sign requests" of the MNS documentation for V2, the
// vendor's Java SDK for V4.

// maxSkew is how far a call's date may be off real time.
const maxSkew = 15 * time.Minute

var (
	errMissingAuthorization = &Error{400, "MissingAuthorizationHeader", "Authorization header is required."}
	errInvalidAuthorization = &Error{400, "InvalidAuthorizationHeader", "The Authorization header format is invalid."}
	errMissingDate          = &Error{400, "MissingDateHeader", "Date header is required."}
	errInvalidDate          = &Error{400, "InvalidDateHeader", "The Date header format is invalid."}
	errTimeExpired          = &Error{408, "TimeExpired", "The http request you sent is expired."}
	errAccessKeyID          = &Error{403, "InvalidAccessKeyId", "The access Id you provided does not exist."}
	errSignature            = &Error{403, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	errDigest = &Error{400, "InvalidDegist", "The Content-MD5 you provided does not match with http body."} // the service's spelling
)

// authenticate checks everything about a call that needs no look at what it asks.
func (s *Server) authenticate(r *http.Request, c *call) error {
	credential, err := readAuthorization(c.header.Get("Authorization"))
	if err != nil {
		return err
	}
	date, err := dateOf(c.header)
	if err != nil {
		return err
	}
	if skew := time.Since(date); skew > maxSkew || skew < -maxSkew {
		return errTimeExpired
	}
	key, err := s.key(credential.id, c.header.Get("security-token"))
	if err != nil {
		return err
	}
	if !credential.signed(c, key.Secret, date) {
		return errSignature
	}
	if err := s.checkEndpoint(r, c); err != nil {
		return err
	}
	return checkDigest(c.header.Get("Content-MD5"), c.body)
}

// dateOf prefers x-mns-date, which is there for clients that cannot set Date.
func dateOf(h http.Header) (time.Time, error) {
	value := h.Get("x-mns-date")
	if value == "" {
		value = h.Get("Date")
	}
	if value == "" {
		return time.Time{}, errMissingDate
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}, errInvalidDate
	}
	return date, nil
}

// key returns the key of that id and token. What the live service answers to a
// wrong token is not known; without its token an STS key is no key.
func (s *Server) key(id, token string) (Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.ID == id && subtle.ConstantTimeCompare([]byte(k.Token), []byte(token)) == 1 {
			return k, nil
		}
	}
	return Keys{}, errAccessKeyID
}

// checkEndpoint refuses a call that names another account's or region's
// endpoint. The live service's words for it are not known.
func (s *Server) checkEndpoint(r *http.Request, c *call) error {
	host := c.endpoint
	if host == "" {
		host, _, _ = strings.Cut(r.Host, ":")
	}
	m := endpointHost.FindStringSubmatch(host)
	if m == nil {
		return nil
	}
	region := strings.TrimSuffix(strings.TrimSuffix(m[2], "-internal"), "-control")
	if m[1] != s.account || region != s.region {
		return &Error{403, "AccessDenied", fmt.Sprintf("The endpoint is of account %s in %s; this is %s.", m[1], region, s.host())}
	}
	return nil
}

// checkDigest compares Content-MD5 with the body: Base64 of the sum as RFC 1864
// has it, or what all the vendor's SDKs send, Base64 of the sum in hexadecimal.
func checkDigest(digest string, body []byte) error {
	sum := md5.Sum(body)
	switch digest {
	case "", base64.StdEncoding.EncodeToString(sum[:]),
		base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:]))):
		return nil
	}
	return errDigest
}

// A credential is what an Authorization header claims.
type credential struct {
	id, signature string
	scope         string // V4: day/region/mns/aliyun_v4_request; V2: ""
}

// readAuthorization reads "MNS <id>:<signature>" or "MNS4-HMAC-SHA256
// Credential=<id>/<scope>,Signature=<signature>".
func readAuthorization(value string) (credential, error) {
	if value == "" {
		return credential{}, errMissingAuthorization
	}
	if rest, ok := strings.CutPrefix(value, "MNS "); ok {
		id, signature, ok := strings.Cut(strings.TrimSpace(rest), ":")
		if ok && id != "" && signature != "" {
			return credential{id: id, signature: signature}, nil
		}
	}
	if rest, ok := strings.CutPrefix(value, v4Algorithm+" Credential="); ok {
		claim, signature, ok := strings.Cut(rest, ",Signature=")
		id, scope, _ := strings.Cut(claim, "/")
		if ok && id != "" && strings.HasSuffix(scope, "/mns/"+v4Suffix) && strings.Count(scope, "/") == 3 {
			return credential{id: id, signature: signature, scope: scope}, nil
		}
	}
	return credential{}, errInvalidAuthorization
}

// signed says whether the secret's owner signed the call. A client that was
// given the endpoint as a path may have signed with or without it.
func (k credential) signed(c *call, secret string, date time.Time) bool {
	targets := []string{c.target}
	if c.endpoint != "" {
		targets = append(targets, "/"+c.endpoint+c.target)
	}
	for _, target := range targets {
		var want string
		if k.scope != "" {
			want = signV4(secret, k.scope, date, c.method, target, c.header)
		} else {
			want = signV2(secret, c.method, target, c.header)
		}
		if hmac.Equal([]byte(k.signature), []byte(want)) {
			return true
		}
	}
	return false
}

// mnsHeaders returns the lines "name:value\n" of all x-mns-* headers and of
// those named besides, sorted.
func mnsHeaders(h http.Header, besides ...string) string {
	lines := map[string]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-mns-") || slices.Contains(besides, name) {
			lines[name] = name + ":" + strings.TrimSpace(values[0]) + "\n"
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		b.WriteString(lines[name])
	}
	return b.String()
}

// signV2 returns a call's V2 signature. target is path and query exactly as
// they were sent. Without Date, x-mns-date stands in its place as well as among
// the x-mns-* headers.
func signV2(secret, method, target string, h http.Header) string {
	date := h.Get("Date")
	if date == "" {
		date = h.Get("x-mns-date")
	}
	return base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(secret),
		method+"\n"+h.Get("Content-MD5")+"\n"+h.Get("Content-Type")+"\n"+date+"\n"+mnsHeaders(h)+target))
}

const (
	v4Algorithm = "MNS4-HMAC-SHA256"
	v4Prefix    = "aliyun_v4"
	v4Suffix    = "aliyun_v4_request"
)

// signV4 returns a call's V4 signature. The key is derived from the parts of
// scope: day, region, service and suffix.
func signV4(secret, scope string, date time.Time, method, target string, h http.Header) string {
	path, query, _ := strings.Cut(target, "?")
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	request := method + "\n" +
		strings.ReplaceAll(escapeV4(path), "%2F", "/") + "\n" +
		queryV4(query) + "\n" +
		mnsHeaders(h, "content-type", "content-md5") + "\n"
	key := []byte(v4Prefix + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(sha256.New, key, part)
	}
	return hex.EncodeToString(mac(sha256.New, key,
		v4Algorithm+"\n"+date.UTC().Format("20060102T150405Z")+"\n"+scope+"\n"+request))
}

// queryV4 returns the query with keys in lower case, sorted.
func queryV4(query string) string {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		if pair = escapeV4(strings.ToLower(key)); value != "" {
			pair += "=" + escapeV4(strings.TrimSpace(value))
		}
		pairs = append(pairs, pair)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escapeV4 escapes everything but letters, digits and "-_.~".
func escapeV4(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	_, _ = m.Write([]byte(text)) // a hash never fails
	return m.Sum(nil)
}
