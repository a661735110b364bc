package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Whatever a message on the outcomes' queue holds, tail prints lines of which a
// terminal obeys nothing, and as JSON one line for each.
func FuzzTold(f *testing.F) {
	for _, seed := range []string{
		`{"id":"r/d/failed","type":"regild.desktop.outcome.v1","time":"2026-11-23T08:00:00Z","data":{"requestId":"r\u001b[2J","desktopId":"d\n","status":"failed","code":"\u202e","message":"\u009b31m"}}`,
		`{"id":"1","type":"regild.message.refused.v1","data":{"reason":"\u0007"}}`, `{"id":"1","type":"regild.rollout.waiting.v1","data":{"rolloutId":"a/b","reason":{"code":"x","until":"2026-11-23T08:00:00Z"}}}`,
		`{"id":"1","type":"regild.request.finished.v1","data":{"statuses":{"failed":-1}}}`, `{"id":"1","type":"regild.rollout.plan.v1","data":{}}`, `{"id":"1","type":"x\n"}`,
		`{"TopicName":"t","Message":"{\"id\":\"1\"}"}`, `<Notification><TopicName>t</TopicName><Message>eyJpZCI6IjEifQ==</Message></Notification>`, "\x1b]0;x\x07", "\xff", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, as := range []output{outputTable, outputJSON} {
			var out bytes.Buffer
			show := printerOf(&out, as, time.UTC)
			for range 2 { // it may come again
				if err := show(body); err != nil {
					t.Fatal(err)
				}
			}
			if bad := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); bad >= 0 {
				t.Fatalf("%q reaches the terminal", out.String()[bad:])
			}
			if n := strings.Count(out.String(), "\n"); as == outputJSON && n != 2 || n > 4 {
				t.Fatalf("%d lines: %q", n, out.String())
			}
		}
	})
}
