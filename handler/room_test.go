package handler_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rogpeppe/go-internal/txtar"
)

// Desktops that wait for this and that again and again fill a journal. Before it is full
// nothing more is begun, and there is room for the end of what was begun.
func TestAJournalIsNeverFullHalfWay(t *testing.T) {
	archive := txtar.Parse([]byte(`-- fleets.yaml --
fleets:
  - name: office
    region: cn-hangzhou
    images: ["win*"]
    select: all
    requests: true
    strategy: {canary: 9, waves: [], approval: none, maxUnavailable: 1, sessions: {policy: wait, deadline: 5d, after: skip}, check: {stable: 0}}
`))
	flaps := strings.Repeat("desktop ecd-0001 Running m-old user=ann\nqueued\ndesktop ecd-0001 Starting m-old\nqueued\n", 300)
	for name, c := range map[string]struct{ ask, then, says string }{
		"a rollout": {`ask event release 1 {"releaseId":"v1","images":{"cn-hangzhou":"m-new"}}`, `ask event control c1 {"rolloutId":"v1/office","action":"abort","by":"ada","reason":"it is full"}`, `"kind":"halted"`},
		"a request": {`ask event request r1 {"requestId":"r1","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":["ecd-0001","ecd-0002"]}`, "queued", `"kind":"settled"`},
	} {
		t.Run(name, func(t *testing.T) {
			script := "room 30000\ndesktop ecd-0001 Running m-old user=ann\ndesktop ecd-0002 Running m-old\n" + c.ask + "\ndesktop ecd-0002 Running m-new\n" + flaps + c.then + strings.Repeat("\nqueued", 5) + "\n"
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, archive, script) })
			if strings.Contains(got, "the log is full") || strings.Contains(got, "again:") {
				t.Error("the journal was full")
			}
			said := false
			for line := range strings.Lines(got) {
				said = said || strings.Contains(line, c.says) && strings.Contains(line, "JournalFull")
			}
			if !said || !strings.Contains(got, `"kind":"closed"`) {
				t.Errorf("it said so: %t; the last of it:\n%s", said, got[max(0, len(got)-3000):])
			}
		})
	}
}
