package handler_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An order that was followed and comes again changes nothing, and no outcome says so: without
// a line in the log its sender cannot tell that from a message that was lost.
func TestTheLogTellsOfAnOrderThatWasFollowedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
		later := func(id string) string {
			return strings.Replace(ask(id, "", "ecd-0001", "m-new"), `"imageId"`, fmt.Sprintf(`"notBefore":%q,"imageId"`, in(time.Hour)), 1)
		}
		order := func(message, event, kind, data string) string {
			body := fmt.Sprintf(`{"specversion":"1.0","type":"regild.%s.v1","id":%q,"source":"/ops","data":%s}`, kind, event, data)
			return fmt.Sprintf(`{"specversion":"1.0","type":"mns:Queue:SendMessage","id":"E","source":"MNS","subject":"acs:mns:%s:%s:queues/q","data":{"messageId":%q,"messageBody":%q}}`,
				region, ownAccount, message, body)
		}
		said := func() (lines []map[string]any) {
			for _, line := range strings.Split(strings.TrimSpace(b.log.String()), "\n") {
				var x map[string]any
				if err := json.Unmarshal([]byte(line), &x); err == nil && x["msg"] == "order followed before" {
					lines = append(lines, x)
				}
			}
			b.log.Reset()
			return lines
		}
		const control = `{"requestId":%q,"action":%q,"by":"ada","reason":"secret"}`
		b.send(ask("r1", "", "ecd-0000", "m-new"))
		b.send(later("r2"))
		for _, c := range []struct{ of, action, kind, data, again string }{
			{"r1", "rollback", "rollout.control", fmt.Sprintf(control, "r1", "rollback"), "M-another"},
			{"r2", "abort", "rollout.control", fmt.Sprintf(control, "r2", "abort"), "M-abort"},
			{"f1", "freeze", "freeze", fmt.Sprintf(`{"freezeId":"f1","action":"freeze","by":"ada","reason":"secret","until":%q,"regions":[%q]}`, in(time.Hour), region), "M-freeze"},
			{"f1", "lift", "freeze", `{"freezeId":"f1","action":"lift","by":"ada","reason":"secret"}`, "M-again"},
		} {
			event := "e-" + c.action
			b.send(order("M-"+c.action, event, c.kind, c.data))
			if got := said(); len(got) > 0 {
				t.Errorf("%s %s: the log says %v though it comes for the first time", c.action, c.of, got)
			}
			b.send(order(c.again, event, c.kind, c.data))
			got := said()
			if len(got) != 1 || got[0]["level"] != "INFO" || got[0]["action"] != c.action || got[0]["of"] != c.of || got[0]["event_id"] != event ||
				got[0]["message_id"] != c.again || strings.Contains(fmt.Sprint(got), "secret") {
				t.Errorf("%s %s comes again in message %s: the log says %v", c.action, c.of, c.again, got)
			}
		}
	})
}
