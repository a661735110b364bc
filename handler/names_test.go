package handler_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// Outcomes of a request r1/office would have the ids that those of the rollout r1/office
// have: who knows repetitions by their id would lose the rollout's.
func TestARequestDoesNotTakeTheNameOfARollout(t *testing.T) {
	for id, taken := range map[string]bool{"v1/office": false, "v1/office/rollback": false, "a/b/office": false, "v1/lab": true, "ticket/4711": true, "office": true, "v1/office@x": true} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			b.declare(strings.Replace(office, "strategy:", "requests: true\n    strategy:", 1))
			b.handle(journaltest.Memory(), time.Minute, strings.Replace(requestFor(1), `"r1"`, fmt.Sprintf("%q", id), 1))
			if got := b.ecd.calls["ecd-0000"] == 1; got != taken {
				t.Errorf("the request %s was carried out: %v, want %v; told %v", id, got, taken, b.topic.told)
			}
		})
	}
}

// One that an earlier build has opened goes on under its id.
func TestARequestThatTheJournalKnowsKeepsItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store, payload := journaltest.Memory(), strings.Replace(requestFor(1), "r1", "v1/office", 1)
		b.handle(store, time.Minute, payload) // there is no such fleet yet
		b.declare(office)
		b.handle(store, time.Minute, payload)
		if n := b.count("/refused"); n > 0 {
			t.Errorf("told %v, want nothing that is refused", b.topic.told)
		}
	})
}

// A request without an id is called as its message is. That name, and the one that an
// unsigned tick carries, are held to what senders may write.
func TestNoWayLeadsToAnIdThatLooksLikeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for id, taken := range map[string]bool{"ticket-7": true, "tick\u0435t-7": false} { // an e of Cyrillic
			b := newWorkbench(t)
			nameless := strings.Replace(requestFor(1), `"requestId":"r1",`, "", 1)
			event := fmt.Sprintf(`{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":%q,"source":"/portal","data":%s}`, id, nameless)
			b.handle(journaltest.Memory(), time.Minute, event)
			if got := b.ecd.calls["ecd-0000"] == 1; got != taken {
				t.Errorf("a request that its message %q gives a name was carried out: %v, want %v; told %v", id, got, taken, b.topic.told)
			}
		}
		for id, taken := range map[string]bool{"ticket-7": true, "ticket-7@0123456789abcdef": true, "tick\u0435t-7": false} {
			b := newWorkbench(t)
			b.handle(nil, time.Minute, b.unsignedTick(id))
			if got := b.ecd.calls["ecd-0000"] == 1; got != taken {
				t.Errorf("an unsigned tick of %q was followed: %v, want %v; told %v", id, got, taken, b.topic.told)
			}
		}
	})
}

// unsignedTick is one that somebody wrote for a request that nobody sent.
func (b *workbench) unsignedTick(id string) string {
	b.Helper()
	op := rollout.Operation{ID: id, Desktops: []string{"ecd-0000"}}
	op.RegionID, op.ImageID = region, "m-new"
	lines, err := rollout.Encode([]rollout.Record{{Kind: rollout.KindOpened, At: time.Now(), By: "x", Operation: &op}})
	b.must(err)
	body, err := json.Marshal(map[string]any{"specversion": "1.0", "type": "regild.tick.v1", "id": "t", "source": "s",
		"data": map[string]any{"kind": "request", "id": id, "n": 1, "records": []string{strings.TrimSpace(string(lines))}}})
	b.must(err)
	return string(body)
}

// A signed tick that somebody has kept does what a second delivery does for as long as
// its request could still be open. After that its consents do not count any more.
func TestTheConsentsOfATickThatSomebodyKeptExpire(t *testing.T) {
	key, source := []byte("0123456789abcdef0123456789abcdef"), "acs:fc:cn-hangzhou:1:functions/regild"
	for age, calls := range map[time.Duration]int{time.Hour: 1, 6 * 24 * time.Hour: 1, 8 * 24 * time.Hour: 0, 400 * 24 * time.Hour: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			op := rollout.Operation{ID: "r1", Desktops: []string{"ecd-0000"}, Consents: []string{"downgrade"}}
			op.RegionID, op.ImageID = region, "m-ancient"
			lines, err := rollout.Encode([]rollout.Record{{Kind: rollout.KindOpened, At: time.Now().Add(-age), By: "x", Operation: &op}})
			b.must(err)
			tick := events.Tick{Kind: "request", ID: "r1", N: 1, Records: []string{strings.TrimSpace(string(lines))}}.Sign(key, source)
			body, err := tick.Event("s", time.Now()).Marshal()
			b.must(err)
			h, err := handler.New(handler.Config{ECD: b.ecd, Topic: b.topic, Queue: b.queue, TickKey: key, Rules: b.rules,
				RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
			b.must(err)
			_, err = h.Handle(t.Context(), handler.Invocation{RequestID: "i", Source: source}, body)
			b.must(err)
			if got := b.ecd.calls["ecd-0000"]; got != calls {
				t.Errorf("after %s: %d calls, want %d; told %v", age, got, calls, b.topic.told)
			}
		})
	}
}

// Nobody answers under another sender's id: subscribers who group outcomes by requestId
// would take the refusal of a message for that of the request which has the id.
func TestARefusalDoesNotSpeakForAnotherSendersRequest(t *testing.T) {
	through := func(queue, body string) string {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"id":"1","source":"MNS","specversion":"1.0","type":"mns:Queue:SendMessage","subject":"acs:mns:cn-hangzhou:1234567890123456:queues/%s",
			"data":{"requestId":"2","messageId":"M%x","messageBody":%s}}`, queue, len(body), text)
	}
	from := func(source, data string) string {
		return `{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":"e","source":"` + source + `","data":` + data + `}`
	}
	faulty := strings.Replace(requestFor(1), `"requestId"`, `"reboot":true,"requestId"`, 1)
	far := strings.Replace(requestFor(1), `"requestId"`, `"notBefore":"2099-01-01T00:00:00Z","requestId"`, 1)
	for name, c := range map[string]struct {
		payload string
		marked  bool
	}{
		"a wrong door":                   {through("releases", requestFor(1)), true},
		"faults, another source":         {through("requests", from("/eve", faulty)), true},
		"a time too far, another source": {through("requests", from("/eve", far)), true},
		"faults, as the request came":    {through("requests", faulty), false}, // two senders with one door
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				h, err := handler.New(handler.Config{ECD: b.ecd, Topic: b.topic, Queue: b.queue, Journal: journaltest.Memory(), Rules: b.rules,
					Doors:              handler.Doors{Control: "queues/control", Release: "queues/releases", Request: "queues/requests"},
					RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
				b.must(err)
				b.must(b.ask(h, time.Minute, through("requests", requestFor(1))))
				b.must(b.ask(h, time.Minute, c.payload))
				refused, plain := b.count("/refused/"), 0
				for id := range b.topic.told {
					if strings.HasPrefix(id, "r1/") && strings.Contains(id, "/refused") {
						plain++
					}
				}
				if b.ecd.calls["ecd-0000"] != 1 || refused != 1 || (plain == 0) != c.marked {
					t.Errorf("told %v, want one refusal, under the id of the request that was taken: %v", b.topic.told, !c.marked)
				}
			})
		})
	}
}
