package credentials

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// Redact takes the credentials out of a text that came from outside. Services are
// known to echo them when a signature does not match, as they are or in the form in
// which they were sent: escaped for a URL, for JSON, in base64 or in hex.
func (k Keys) Redact(text string) string {
	for _, secret := range []string{k.Token, k.Secret, k.ID} {
		if len(secret) < minSecret {
			continue
		}
		for _, form := range forms(secret) {
			if strings.Contains(text, form) {
				text = strings.ReplaceAll(text, form, k.String())
			}
		}
	}
	return text
}

// minSecret keeps what cannot be a credential from taking ordinary words apart.
const minSecret = 4

// forms are the ways in which a text may be written.
func forms(s string) []string {
	query, quoted := url.QueryEscape(s), quote(s)
	out := []string{
		s, quoted, query, strings.ToLower(query), url.PathEscape(s), strings.ReplaceAll(query, "+", "%20"), url.QueryEscape(query),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(s),
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		out = append(out, e.EncodeToString([]byte(s)))
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
