package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// Redact takes the credentials out of a text that came from outside. Services are
// known to echo them when a signature does not match, as they are or in the form in
// which they were sent: escaped for a URL, for JSON, in base64 or in hex.
func (k Keys) Redact(text string) string {
	for _, form := range k.forms() {
		if strings.Contains(text, form) {
			text = strings.ReplaceAll(text, form, k.String())
		}
	}
	return text
}

// minSecret keeps what cannot be a credential from taking ordinary words apart.
const minSecret = 4

// RedactBytes is Redact for bytes, which it leaves where they are if there is nothing to
// take out.
func (k Keys) RedactBytes(text []byte) []byte {
	for _, form := range k.forms() {
		if bytes.Contains(text, []byte(form)) {
			return []byte(k.Redact(string(text)))
		}
	}
	return text
}

// known are the forms of credentials. Those that were asked about last are kept: they
// are the same for all texts of an account in an invocation.
type known struct {
	keys  Keys
	forms []string
}

var lately atomic.Pointer[known]

// forms are the ways in which each of the credentials may be written.
func (k Keys) forms() []string {
	if k == (Keys{}) { // nothing is looked for
		return nil
	}
	if last := lately.Load(); last != nil && last.keys == k {
		return last.forms
	}
	var all []string
	for _, secret := range []string{k.Token, k.Secret, k.ID} {
		if len(secret) >= minSecret {
			all = append(all, forms(secret)...)
		}
	}
	lately.Store(&known{k, all})
	return all
}

// forms are the ways in which a text may be written. Most texts are the same in many
// of them.
func forms(s string) []string {
	query, inHex := url.QueryEscape(s), hex.EncodeToString([]byte(s))
	out := make([]string, 0, 12)
	for _, form := range [...]string{
		s, quote(s), query, strings.ToLower(query), url.PathEscape(s), strings.ReplaceAll(query, "+", "%20"), url.QueryEscape(query),
		inHex, strings.ToUpper(inHex), html.EscapeString(s),
		base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
	} {
		if !slices.Contains(out, form) {
			out = append(out, form)
		}
	}
	return out
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil { // a string: cannot happen
		return s
	}
	return strings.Trim(string(text), `"`)
}
