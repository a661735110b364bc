package acs

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
)

// Whatever bytes arrive, nothing panics, no other status passes for success, and an
// error is bounded UTF-8.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"RequestId":"R","Code":"Forbidden.RAM","Message":"no"}`, `{"requestId":"R","Code":200,"Success":false}`, `{"errorCode":"ProjectNotExist","errorMessage":"x"}`,
		`{"Datapoints":"[{\"timestamp\":1,\"Average\":2}]","Total":"x"}`, `{"Stacks":null}`, `<html>`, ``, `[]`, `null`, "{\"Message\":\"\xff\"}",
	} {
		f.Add(200, []byte(seed))
		f.Add(404, []byte(seed))
	}
	keys := credentials.Keys{ID: "LTAItest", Secret: "secret-of-the-test", Token: "token-of-the-test"}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var out map[string]any
		_, err := judge("X", keys, pace.Answer{Status: status, Header: http.Header{}, Body: body}, &out)
		if err == nil && (status < 200 || status > 299) {
			t.Errorf("status %d passes for success", status)
		}
		if err == nil {
			return
		}
		if text := err.Error(); len(text) > 4096 || !utf8.ValidString(text) {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
		_, _ = Code(err), NotThere(err)
	})
}
