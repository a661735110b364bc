package handler

import (
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
)

// What comes twice is one order if its message is the same, or the event in that; an order
// without an event of its own is another one each time that somebody sends it.
func TestWhatIsTheSameOrder(t *testing.T) {
	var i invocation
	said := []byte(`{"action":"approve"}`)
	queue := envelope.Message{MessageID: "M1", Source: "ops", ID: "e1", Data: said}
	with := func(m envelope.Message, change func(*envelope.Message)) envelope.Message {
		change(&m)
		return m
	}
	topic := with(queue, func(m *envelope.Message) { m.MessageID, m.TopicMessageID = "", "T1" })
	bare := with(queue, func(m *envelope.Message) { m.Source, m.ID = "", "" })
	another := func(m *envelope.Message) {
		if m.MessageID != "" {
			m.MessageID = "M2"
		}
		if m.TopicMessageID != "" {
			m.TopicMessageID = "T2"
		}
	}
	for name, c := range map[string]struct {
		first, second envelope.Message
		same          bool
	}{
		"delivered again":               {queue, queue, true},
		"the event in another message":  {queue, with(queue, another), true},
		"by a topic":                    {topic, with(topic, another), true},
		"another event":                 {queue, with(with(queue, another), func(m *envelope.Message) { m.ID = "e2" }), false},
		"of another source":             {queue, with(with(queue, another), func(m *envelope.Message) { m.Source = "dev" }), false},
		"another text under its id":     {queue, with(with(queue, another), func(m *envelope.Message) { m.Data = []byte("{}") }), false},
		"a bare one, delivered again":   {bare, bare, true},
		"a bare one that is sent again": {bare, with(bare, another), false},
		"an event that came by a bus":   {with(queue, func(m *envelope.Message) { m.MessageID = "" }), with(queue, func(m *envelope.Message) { m.MessageID = "" }), true},
		"another event by a bus":        {with(queue, func(m *envelope.Message) { m.MessageID = "" }), with(queue, func(m *envelope.Message) { m.MessageID, m.ID = "", "e2" }), false},
		"by a bus, and then by a queue": {with(queue, func(m *envelope.Message) { m.MessageID = "" }), queue, true},
		"by a queue, and then by a bus": {queue, with(queue, func(m *envelope.Message) { m.MessageID = "" }), true},
		"by a topic, and then by a bus": {topic, with(queue, func(m *envelope.Message) { m.MessageID = "" }), true},
	} {
		first := i.orderID(c.first)
		known := map[string]bool{first.message: true}
		if first.event != "" {
			known[first.event] = true
		}
		if got := i.orderID(c.second).among(known); got != c.same {
			t.Errorf("%s: got %t", name, got)
		}
	}
	for action, same := range map[string]bool{events.ActionPause: false, events.ActionAbort: false, events.ActionApprove: true, events.ActionResume: true} {
		c := events.Control{Action: action}
		if got := i.controlID(with(queue, another), c).among(map[string]bool{i.controlID(queue, c).event: true}); got != same {
			t.Errorf("%s, its event in another message: got %t", action, got)
		}
	}
}
