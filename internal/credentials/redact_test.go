package credentials_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"github.com/regild/regild/internal/credentials"
)

func TestCredentialsAreTakenOutInEveryFormInWhichTheyAreSent(t *testing.T) {
	k := credentials.Keys{ID: "STS.NTexample", Secret: "s3cret+of/the=key&x", Token: "CAISexample+/=&<token>"}
	for _, secret := range []string{k.ID, k.Secret, k.Token} {
		for name, form := range map[string]string{
			"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "lower case": strings.ToLower(url.QueryEscape(secret)),
			"escaped twice": url.QueryEscape(url.QueryEscape(secret)), "hex": hex.EncodeToString([]byte(secret)),
			"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			got := k.Redact("before " + form + " after")
			if strings.Contains(got, form) || !strings.HasPrefix(got, "before [credentials]") || !strings.HasSuffix(got, " after") {
				t.Errorf("%s: got %q", name, got)
			}
			if got := string(k.RedactBytes([]byte("before " + form + " after"))); got != k.Redact("before "+form+" after") {
				t.Errorf("%s in bytes: got %q", name, got)
			}
			if got := k.Redact(form); strings.Contains(got, form) {
				t.Errorf("%s alone: got %q", name, got)
			}
		}
	}
	if got := (credentials.Keys{}).Redact("nothing to hide"); got != "nothing to hide" {
		t.Errorf("got %q", got)
	}
}

func TestBytesWithoutCredentialsAreNotCopied(t *testing.T) {
	k := credentials.Keys{ID: "STS.NTexample", Secret: "s3cret+of/the=key&x", Token: "CAISexample+/=&<token>"}
	text := []byte(strings.Repeat("nothing to hide ", 100))
	if got := k.RedactBytes(text); &got[0] != &text[0] {
		t.Error("a text without credentials was copied")
	}
}
