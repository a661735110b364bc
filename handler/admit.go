package handler

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// admission is the stage that makes jobs of messages: it parses them, refuses what
// cannot be followed, and writes down what is new. Each kind of message has a file
// of its own.
type admission struct {
	*invocation
	accounts *accounts
	rules    rollout.Rules
	doors    Doors
	key      []byte // of signed ticks
	jobs     *jobs
	fleets   *fleets
	facts    *reader
	index    *openIndex
	sched    *scheduler
	refuse   *refusals
	recovery *recovery
	counts   *tally
	again    *redeliveries

	swept bool // lost ticks were looked for; messages are admitted one after another
	load  int  // desktops of the jobs that were taken on
	most  int  // and may be
}

// open opens the envelopes of a payload. Messages that cannot be understood are
// refused here, and are not returned.
func (a *admission) open(payload []byte) []envelope.Message {
	messages := envelope.Open(payload)
	a.counts.message(len(messages))
	good := messages[:0:0]
	for _, m := range messages {
		if m.Err != nil {
			a.refuse.message(m, events.CodeMalformedMessage, m.Err.Error())
			continue
		}
		if problem := unfit(m); problem != "" {
			a.refuse.message(m, events.CodeMalformedMessage, problem)
			continue
		}
		good = append(good, m)
	}
	return good
}

// unfit says which id that the transport gave cannot stand in the id of an
// outcome, or "".
func unfit(m envelope.Message) string {
	for _, id := range []struct{ what, text string }{
		{"the CloudEvent's id", m.ID}, {"the CloudEvent's source", m.Source},
		{"the message's id in MNS", m.MessageID}, {"the message's id in MNS", m.TopicMessageID},
	} {
		if problem := events.CheckID(id.text); problem != "" {
			return id.what + " " + problem
		}
	}
	return ""
}

// admit makes jobs of the messages and reads what the journals know of them. A fault
// of one message does not affect the others.
func (a *admission) admit(messages []envelope.Message) {
	a.facts.setSharers(len(messages))
	a.byTrust(messages)
	for _, m := range messages {
		if err := contain(func() error { return a.admitOne(m) }); err != nil {
			if _, bug := errors.AsType[*PanicError](err); bug {
				a.log.Error("a message made us panic", "message_id", m.MessageID, "error", err.Error())
				a.refuse.message(m, events.CodePanicked, err.Error())
			} else {
				a.again.add(err)
			}
		}
		a.bound()
	}
	a.fleets.supervise(func(j *job) bool { return !j.byOwnTick() }) // the others when they may begin anything: see decide
}

// admitOne makes jobs of one message. An error that it returns can be cured by
// delivering the message again.
func (a *admission) admitOne(m envelope.Message) error {
	if !a.mayEnter(m) {
		return nil
	}
	switch {
	case m.Type == events.TypeRequest, m.Type == "" && !isTimer(m):
		return a.request(m)
	case m.Type == events.TypeRelease:
		return a.release(m)
	case m.Type == events.TypeControl:
		return a.control(m)
	case m.Type == events.TypeFreeze:
		return a.freeze(m)
	case m.Type == events.TypeTick:
		return a.tick(m)
	case m.Type == "":
		return a.sweep()
	case events.IsVendorEvent(m.Type):
		return a.trail(m)
	}
	a.refuse.message(m, events.CodeUnknownType, fmt.Sprintf("events of type %s are not for regild; see events/schema for those that are", clip(m.Type, 100)))
	return nil
}

// isTimer recognises what FC's timer trigger delivers, which nothing wraps: what
// came through a queue or a topic somebody sent. Source: Function Compute, "Time
// triggers".
func isTimer(m envelope.Message) bool {
	if m.Door.Kind != envelope.DoorUnknown || m.MessageID != "" || m.TopicMessageID != "" {
		return false
	}
	var t struct {
		Time *string `json:"triggerTime"`
		Name *string `json:"triggerName"`
	}
	return json.Unmarshal(m.Data, &t) == nil && t.Time != nil && t.Name != nil
}
