package mns

import (
	"bytes"
	"encoding/xml"
	"testing"
	"unicode/utf8"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// Whatever bytes arrive, nothing panics and an error is bounded UTF-8.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{taken, errorBody("TopicNotExist"), "", "<Error>", "<Message><MessageId>\xff</MessageId></Message>", "<!DOCTYPE a [<!ENTITY b 'c'>]><Error/>"} {
		f.Add(201, []byte(seed))
		f.Add(500, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if id, err := messageID(body); err == nil && (id == "" || !utf8.ValidString(id)) {
			t.Errorf("id %q", id)
		}
		err := judge("X", "REQ-1", keys, pace.Answer{Status: status, Body: body})
		if text := err.Error(); len(text) > 4096 || !utf8.ValidString(text) {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
		if got := desktop.FateOf(err); status >= 500 && got != desktop.Unknown && got != desktop.NotSent {
			t.Errorf("status %d: got %v", status, err)
		}
	})
}

// What passes the check arrives as it was sent.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"a":"<b>&c"}`, "a\r\nb\tc]]>", "\x00", "\xff", "\uFFFE", "重建"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body) != nil {
			return
		}
		var w bytes.Buffer
		open(&w, body)
		w.WriteString("</Message>")
		var got struct{ MessageBody []byte }
		if err := xml.Unmarshal(w.Bytes(), &got); err != nil || !bytes.Equal(got.MessageBody, body) {
			t.Errorf("%q arrives as %q (%v)", body, got.MessageBody, err)
		}
	})
}
