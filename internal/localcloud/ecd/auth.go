package ecd

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// acs3 is the algorithm of the newer signature. Source: "Request syntax and
// signature method V3".
const acs3 = "ACS3-HMAC-SHA256"

// maxSkew is how far a call's time stamp may be from real time. Source: the
// error code InvalidTimeStamp.Expired.
const maxSkew = 15 * time.Minute

// A gate admits calls that are signed with a known key, in time and once.
type gate struct {
	keys    map[string]Keys
	assumed func(keyID string) (Assumed, bool) // nil: none
	cloud   func() time.Time                   // by which they end

	mu     *sync.Mutex
	nonces map[string]time.Time // key id and nonce, and when they were used
	pruned *time.Time
}

// Assumed is what the temporary keys of an assumed role stand for. Its zero
// value is that of the account's own keys, which may do everything.
type Assumed struct {
	Keys
	AccountID, Role, Name string
	Expires               time.Time // by the cloud's clock
	Allows                func(action string) bool
}

// ARN names who has the keys.
func (s Assumed) ARN() string {
	return "acs:ram::" + s.AccountID + ":assumed-role/" + s.Role + "/" + s.Name
}

// may says whether the keys may call an action, such as ecd:RebuildDesktops.
func (s Assumed) may(action string) bool { return s.Allows == nil || s.Allows(action) }

func newGate(keys []Keys) gate {
	g := gate{keys: map[string]Keys{}, cloud: time.Now, mu: new(sync.Mutex), nonces: map[string]time.Time{}, pruned: new(time.Time)}
	for _, k := range keys {
		g.keys[k.ID] = k
	}
	return g
}

// A claim is what a call says of itself, by either signature.
type claim struct {
	keyID, token, stamp, nonce string
	// signed says whether the signature was made with the secret.
	signed func(secret string) bool
}

// admit returns whose keys a call is signed with that may go on. now is real time.
func (g gate) admit(r *http.Request, f form, now time.Time) (Assumed, error) {
	c, err := readClaim(r, f)
	if err != nil {
		return Assumed{}, err
	}
	if err := c.complete(now); err != nil {
		return Assumed{}, err
	}
	by, ok := g.of(c.keyID)
	if !ok {
		return Assumed{}, refuse(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
	}
	if err := checkToken(by.Keys, c.token); err != nil {
		return Assumed{}, err
	}
	if !by.Expires.IsZero() && !g.cloud().Before(by.Expires) {
		return Assumed{}, refuse(http.StatusBadRequest, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
	}
	if !c.signed(by.Secret) {
		return Assumed{}, refuse(http.StatusBadRequest, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
	}
	return by, g.once(c.keyID+" "+c.nonce, now)
}

// of returns whose keys an id is of.
func (g gate) of(keyID string) (Assumed, bool) {
	if k, ok := g.keys[keyID]; ok {
		return Assumed{Keys: k}, true
	}
	if g.assumed == nil {
		return Assumed{}, false
	}
	return g.assumed(keyID)
}

func readClaim(r *http.Request, f form) (claim, error) {
	if isACS3(r) {
		return acs3Claim(r, f)
	}
	return rpcClaim(r, f)
}

// complete checks what needs no key.
func (c claim) complete(now time.Time) error {
	for _, need := range [][2]string{{"AccessKeyId", c.keyID}, {"Timestamp", c.stamp}, {"SignatureNonce", c.nonce}} {
		if need[1] == "" {
			return missing(need[0])
		}
	}
	stamp, err := time.Parse("2006-01-02T15:04:05Z", c.stamp)
	if err != nil {
		return refuse(http.StatusBadRequest, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
	}
	if d := now.Sub(stamp); d > maxSkew || d < -maxSkew {
		return refuse(http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
	}
	return nil
}

func checkToken(k Keys, token string) error {
	switch {
	case k.Token == token:
		return nil
	case token == "":
		return refuse(http.StatusBadRequest, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
	case k.Token == "":
		return refuse(http.StatusBadRequest, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
	}
	return refuse(http.StatusBadRequest, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
}

// once refuses a nonce that was used in the time in which its call is valid.
func (g gate) once(nonce string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(*g.pruned) > maxSkew {
		*g.pruned = now
		for n, used := range g.nonces {
			if now.Sub(used) > 2*maxSkew {
				delete(g.nonces, n)
			}
		}
	}
	if _, used := g.nonces[nonce]; used {
		return refuse(http.StatusBadRequest, "SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	g.nonces[nonce] = now
	return nil
}

// isACS3 says whether a call is signed in its headers; otherwise it must be in
// its parameters.
func isACS3(r *http.Request) bool { return r.Header.Get("Authorization") != "" }

// acs3Claim reads the signature in the headers.
func acs3Claim(r *http.Request, f form) (claim, error) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), acs3+" ")
	if !ok {
		return claim{}, refuse(http.StatusBadRequest, "InvalidSignatureMethod", "Specified signature method is not %s.", acs3)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	headers := strings.Split(fields["SignedHeaders"], ";")
	for _, name := range []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"} {
		if !slices.Contains(headers, name) {
			return claim{}, refuse(http.StatusBadRequest, "IncompleteSignature", "The header %s is not signed.", name)
		}
	}
	token := r.Header.Get("x-acs-security-token")
	if token != "" && !slices.Contains(headers, "x-acs-security-token") {
		return claim{}, refuse(http.StatusBadRequest, "IncompleteSignature", "The header x-acs-security-token is not signed.")
	}
	return claim{
		keyID: fields["Credential"],
		token: token,
		stamp: r.Header.Get("x-acs-date"),
		nonce: r.Header.Get("x-acs-signature-nonce"),
		signed: func(secret string) bool {
			hash := sha256Hex(f.raw)
			return r.Header.Get("x-acs-content-sha256") == hash &&
				equal(fields["Signature"], acs3Signature(secret, acs3Request(r, f.query, headers, hash)))
		},
	}, nil
}

// acs3Request is the canonical request that ACS3 signs.
func acs3Request(r *http.Request, query url.Values, headers []string, bodyHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escapePath(r.URL) + "\n" + canonical(query) + "\n")
	for _, name := range headers {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		b.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	b.WriteString("\n" + strings.Join(headers, ";") + "\n" + bodyHash)
	return b.String()
}

func acs3Signature(secret, request string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(acs3 + "\n" + sha256Hex([]byte(request))))
	return hex.EncodeToString(mac.Sum(nil))
}

// rpcClaim reads the older signature, a parameter among the others. Source:
// "RPC mechanism", "Signature".
func rpcClaim(r *http.Request, f form) (claim, error) {
	p := f.all()
	for _, need := range []string{"AccessKeyId", "Signature"} {
		if p[need] == "" {
			return claim{}, missing(need)
		}
	}
	if p["SignatureMethod"] != "HMAC-SHA1" || p["SignatureVersion"] != "1.0" {
		return claim{}, refuse(http.StatusBadRequest, "InvalidSignatureMethod", "Only HMAC-SHA1 of version 1.0 is known here.")
	}
	return claim{
		keyID: p["AccessKeyId"],
		token: p["SecurityToken"],
		stamp: p["Timestamp"],
		nonce: p["SignatureNonce"],
		signed: func(secret string) bool {
			signed := url.Values{}
			for name, value := range p {
				if name != "Signature" {
					signed.Set(name, value)
				}
			}
			return equal(p["Signature"], rpcSignature(secret, r.Method, signed))
		},
	}, nil
}

func rpcSignature(secret, method string, signed url.Values) string {
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(method + "&" + escape("/") + "&" + escape(canonical(signed))))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// canonical returns parameters sorted by name and escaped.
func canonical(v url.Values) string {
	var parts []string
	for _, name := range sortedKeys(v) {
		value := ""
		if len(v[name]) > 0 {
			value = v[name][0]
		}
		parts = append(parts, escape(name)+"="+escape(value))
	}
	return strings.Join(parts, "&")
}

// escape is RFC 3986's percent-encoding, as both signatures want it.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}

func escapePath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
