package credentials_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
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

// The credentials of several accounts are used in turns, each for its own calls.
func TestEachAccountsCredentialsAreTakenOutOfItsOwnTexts(t *testing.T) {
	one, two := credentials.Keys{ID: "LTAIone", Secret: "first-secret"}, credentials.Keys{ID: "LTAItwo", Secret: "second-secret"}
	for range 3 {
		for _, k := range []credentials.Keys{one, two} {
			if got := k.Redact(k.ID + " and " + k.Secret); got != "[credentials] and [credentials]" {
				t.Errorf("got %q", got)
			}
		}
	}
	if got := (credentials.Keys{ID: "abc", Secret: "four"}).Redact("abc and four"); got != "abc and [credentials]" {
		t.Errorf("short ones: got %q", got)
	}
}

func TestCredentialsAreWholeOrNone(t *testing.T) {
	for k, want := range map[credentials.Keys]bool{{ID: "a", Secret: "b"}: true, {ID: "a", Secret: "b", Token: "c"}: true, {ID: "a"}: false, {Secret: "b"}: false, {Token: "c"}: false, {}: false} {
		got, err := credentials.From(credentials.With(t.Context(), k))
		if k.Complete() != want || (err == nil) != want || want && got != k || !want && (got != credentials.Keys{} || !errors.Is(err, credentials.ErrNone)) {
			t.Errorf("%t, %t, %t: got %v", k.ID != "", k.Secret != "", k.Token != "", err)
		}
	}
	if _, err := credentials.From(t.Context()); !errors.Is(err, credentials.ErrNone) {
		t.Errorf("of a context without any: got %v", err)
	}
}
