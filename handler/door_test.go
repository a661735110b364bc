package handler

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
)

func TestWhatIsSaidWhereIsHeardThereOnly(t *testing.T) {
	both := Doors{Control: "queues/c", Release: "queues/r", Request: "queues/q"}
	one := Doors{Control: "queues/x", Release: "queues/x", Request: "queues/q"}
	same := Doors{Control: "queues/q", Request: "queues/q"}
	topics := Doors{Control: "topics/c", Request: "queues/q"}
	released := Doors{Release: "queues/r", Request: "queues/q"}
	for _, c := range []struct {
		name  string
		doors Doors
		kind  string
		door  string
		heard bool
	}{
		{"nothing is set", Doors{Request: "queues/q"}, saysControl, events.DoorUnknown, true},
		{"nothing is set", Doors{Request: "queues/q"}, saysRelease, "topics/any", true},
		{"two doors", both, saysControl, "queues/c", true},
		{"two doors", both, saysControl, "queues/r", false},
		{"two doors", both, saysControl, "queues/q", false},
		{"two doors", both, saysControl, "topics/c", false},
		{"two doors", both, saysControl, events.DoorEvents, false},
		{"two doors", both, saysControl, events.DoorUnknown, false},
		{"two doors", both, saysRelease, "queues/r", true},
		{"two doors", both, saysRelease, "queues/c", false},
		{"two doors", both, saysRelease, events.DoorUnknown, false},
		{"two doors", both, saysRequest, "queues/q", true},
		{"two doors", both, saysRequest, "topics/any", true},
		{"two doors", both, saysRequest, events.DoorUnknown, true},
		{"two doors", both, saysRequest, "queues/c", false},
		{"two doors", both, saysRequest, "queues/r", false},
		{"two doors", both, saysNothing, "queues/c", true}, // ticks
		{"two doors", both, saysFreeze, "queues/c", true},
		{"two doors", both, saysFreeze, "queues/q", false},
		{"two doors", both, saysFreeze, "queues/r", false},
		{"two doors", both, saysFreeze, events.DoorUnknown, false},
		{"nothing is set", Doors{Request: "queues/q"}, saysFreeze, "queues/q", true},
		{"one door for both", one, saysControl, "queues/x", true},
		{"one door for both", one, saysRelease, "queues/x", true},
		{"one door for both", one, saysRequest, "queues/x", false},
		{"the request queue is the door", same, saysControl, "queues/q", true},
		{"the request queue is the door", same, saysControl, events.DoorUnknown, false},
		{"the request queue is the door", same, saysRequest, "queues/q", true},
		{"the release queue alone", released, saysControl, "queues/q", true},
		{"the release queue alone", released, saysControl, "queues/r", false}, // whoever may release need not be able to roll back
		{"the release queue alone", released, saysFreeze, "queues/r", false},
		{"the release queue alone", released, saysRelease, "queues/r", true},
		{"the release queue alone", released, saysNothing, "queues/r", true}, // ticks of rollouts go there
		{"the control queue alone", Doors{Control: "queues/c", Request: "queues/q"}, saysRelease, "queues/c", false},
		{"the control queue alone", Doors{Control: "queues/c", Request: "queues/q"}, saysRelease, "queues/q", true},
		{"the request queue is the control door", same, saysRelease, "queues/q", true},
		{"a topic", topics, saysControl, "topics/c", true},
		{"a topic", topics, saysControl, "queues/c", false},
	} {
		if why := c.doors.wrong(c.kind, envelope.Message{}, c.door); (why == "") != c.heard {
			t.Errorf("%s: %s through %s: got %q, want heard %v", c.name, c.kind, c.door, why, c.heard)
		}
	}
}

func TestAnEventOfTheAccountsOwnServicesIsARelease(t *testing.T) {
	d := Doors{Release: "queues/r"}
	trail := envelope.Message{Type: "ecd:ActionTrail:ApiCall", Source: "acs.ecd", Door: envelope.Door{Kind: envelope.DoorEvent, Name: "acs.ecd"}}
	for name, c := range map[string]struct {
		change func(*envelope.Message)
		door   string
		heard  bool
	}{
		"as EventBridge hands it over":     {func(*envelope.Message) {}, events.DoorEvents, true},
		"by the bus that takes no others":  {func(m *envelope.Message) { m.Door.Bus = "default" }, events.DoorEvents, true},
		"by a bus of somebody's own":       {func(m *envelope.Message) { m.Door.Bus = "team" }, events.DoorEvents, false},
		"on a queue":                       {func(*envelope.Message) {}, "queues/q", false},
		"bare":                             {func(*envelope.Message) {}, events.DoorUnknown, false},
		"of a source of somebody's own":    {func(m *envelope.Message) { m.Source, m.Door.Name = "team", "team" }, events.DoorEvents, false},
		"inside of an event of another":    {func(m *envelope.Message) { m.Door.Name = "team" }, events.DoorEvents, false},
		"a release of somebody's, dressed": {func(m *envelope.Message) { m.Type = events.TypeRelease }, events.DoorEvents, false},
	} {
		m := trail
		c.change(&m)
		if why := d.wrong(saysRelease, m, c.door); (why == "") != c.heard {
			t.Errorf("%s: got %q, want heard %v", name, why, c.heard)
		}
	}
}

func TestADoorOfAnotherAccountIsNoneOfOurs(t *testing.T) {
	i := &invocation{in: Invocation{Source: "acs:fc:cn-hangzhou:42:functions/regild"}}
	for _, c := range []struct {
		door envelope.Door
		want string
	}{
		{envelope.Door{Kind: envelope.DoorQueue, Account: "42", Name: "c"}, "queues/c"},
		{envelope.Door{Kind: envelope.DoorTopic, Account: "42", Name: "c"}, "topics/c"},
		{envelope.Door{Kind: envelope.DoorQueue, Account: "43", Name: "c"}, events.DoorUnknown},
		{envelope.Door{Kind: envelope.DoorTopic, Account: "43", Name: "c"}, events.DoorUnknown},
		{envelope.Door{Kind: envelope.DoorEvent, Name: "acs.ecd"}, events.DoorEvents},
		{envelope.Door{}, events.DoorUnknown},
	} {
		if got := i.doorOf(envelope.Message{Door: c.door}); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.door, got, c.want)
		}
	}
}

// An audit begins at the message's id in MNS. A sender who writes a body that looks
// like the envelope of another message does not choose it.
func TestTheMessageOfViaIsThePlatforms(t *testing.T) {
	i := &invocation{in: Invocation{RequestID: "i1", Source: "acs:fc:cn-hangzhou:1234567890123456:functions/regild"}}
	const queue = `{"id":"1","source":"MNS","specversion":"1.0","type":"mns:Queue:SendMessage","subject":"acs:mns:cn-hangzhou:1234567890123456:queues/q","data":{"requestId":"2","messageId":"M1","messageBody":%s}}`
	for _, body := range []string{
		`{"regionId":"cn-hangzhou"}`,
		`{"messageId":"M9","messageBody":"{\"regionId\":\"cn-hangzhou\"}"}`,
		`{"TopicName":"t","TopicOwner":"1","MessageId":"M9","Message":"{\"regionId\":\"cn-hangzhou\"}"}`,
		`<Notification><MessageId>M9</MessageId><Message>{"regionId":"cn-hangzhou"}</Message></Notification>`,
		`{"specversion":"1.0","type":"regild.rebuild.requested.v1","id":"M9","source":"eve","data":{"regionId":"cn-hangzhou"}}`,
	} {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range envelope.Open(fmt.Appendf(nil, queue, text)) {
			if v := i.via(m); m.Err != nil || v.Message != "M1" || v.Door != "queues/q" {
				t.Errorf("%s: got %+v, %v", body, v, m.Err)
			}
		}
	}
}
