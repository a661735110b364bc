package handler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// Doors are where control messages and releases come in, as queues/NAME or
// topics/NAME. Once one is set, what it is for is taken from there and from
// nowhere else, and nothing else is taken from there. The zero value takes
// everything from everywhere.
type Doors struct {
	Control string
	Release string // may be the same
	Request string // where requests come from; it may also be one of the others
	// Apart says that requests are kept apart by door and source as well: of two
	// senders with one id neither blocks the other. It is so whenever Control or
	// Release is set.
	Apart bool
}

func (d Doors) apart() bool { return d.Apart || d.Control != "" || d.Release != "" }

// name returns what a request is called that came through the door from the source, if
// no journal knows it: what was sent, with a mark where another sender's might be called
// so.
func (d Doors) name(id, door, source string) string {
	if !d.apart() || door == d.Request && source == "" && !rollout.IsApart(id) {
		return id
	}
	return rollout.Apart(id, door, source)
}

// What a message may be.
const (
	saysRequest = "requests"
	saysRelease = "releases"
	saysControl = "control messages"
	saysFreeze  = "freezes" // taken where control messages are: they stop and release as those do
	saysNothing = ""        // ticks and timers only have us look; and what is refused anyway
)

func says(m envelope.Message) string {
	switch {
	case m.Type == events.TypeRequest, m.Type == "" && !isTimer(m):
		return saysRequest
	case m.Type == events.TypeRelease, events.IsVendorEvent(m.Type):
		return saysRelease
	case m.Type == events.TypeControl:
		return saysControl
	case m.Type == events.TypeFreeze:
		return saysFreeze
	}
	return saysNothing
}

// wrong says why a message of the kind may not come through the door, or "". An
// event that EventBridge delivers from the account's own services is a release's door
// too: nobody can send one.
func (d Doors) wrong(kind string, m envelope.Message, door string) string {
	only := ""
	switch kind {
	case saysControl, saysFreeze:
		only = d.Control
	case saysRelease:
		only = d.Release
		if door == events.DoorEvents && m.Door.Name == m.Source && vendors[m.Source] && events.IsVendorEvent(m.Type) && cmp.Or(m.Door.Bus, vendorBus) == vendorBus {
			return ""
		}
	case saysNothing:
		return ""
	}
	switch {
	case only != "" && door != only:
		return fmt.Sprintf("%s are taken from %s only; this came through %s", kind, only, door)
	case only == "" && door != d.Request && (door == d.Control || door == d.Release):
		return fmt.Sprintf("%s are not taken from %s; send them to %s", kind, door, cmp.Or(d.Request, "a queue for requests"))
	}
	return ""
}

// vendorBus takes events of the account's own services and no others; on a bus of one's
// own whoever may send writes the source. Source: EventBridge, "Event buses".
const vendorBus = "default"

// vendors are the sources of the account's own services that report images.
// Source: EventBridge, "ActionTrail events".
var vendors = map[string]bool{"acs.ecd": true, "acs.actiontrail": true}

// doorOf names the door of a message. A queue or topic of another account is not
// one of ours, whatever its name.
func (i *invocation) doorOf(m envelope.Message) string {
	switch d := m.Door; {
	case d.Kind == envelope.DoorEvent:
		return events.DoorEvents
	case d.Kind == envelope.DoorUnknown, d.Account != cmp.Or(accountOf(i.in.Source), d.Account):
		return events.DoorUnknown
	case d.Kind == envelope.DoorTopic:
		return "topics/" + d.Name
	default:
		return "queues/" + d.Name
	}
}

// accountOf returns the account of acs:fc:region:account:functions/name, or "".
func accountOf(source string) string {
	if parts := strings.Split(source, ":"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// via says how a message reached us. The message's id is the platform's, where it
// says one: a sender can write a body that looks like the envelope of another.
func (i *invocation) via(m envelope.Message) *events.Via {
	v := events.Via{Door: i.doorOf(m), Message: cmp.Or(m.Door.Message, m.MessageID, m.TopicMessageID, m.ID, "invocation:"+i.in.RequestID), Source: m.Source}
	if m.Door.Kind == envelope.DoorQueue {
		v.Queue = m.Door.Subject
	}
	v = v.Cut()
	return &v
}

// mayEnter refuses a message that came through a door that is not for it.
func (a *admission) mayEnter(m envelope.Message) bool {
	why := a.doors.wrong(says(m), m, a.doorOf(m))
	if why == "" {
		return true
	}
	switch says(m) {
	case saysControl:
		c, _ := events.ParseControl(m.Data)                        // what of it can be read names the rollout
		_ = a.refuse.control(m, c, nil, events.CodeWrongDoor, why) // which writes nothing down
	case saysRequest:
		req, _ := events.ParseRequest(m.Data)
		if req.RequestID == "" {
			req.RequestID = a.identity(m)
		}
		a.refuse.request(m, req, "", events.CodeWrongDoor, why)
	default:
		a.refuse.message(m, events.CodeWrongDoor, why)
	}
	return false
}

// hears says why the fleet does not take a kind of message by the way that m came, or
// "".
func (a *admission) hears(name, kind string, m envelope.Message) (why string) {
	f, ok := a.rules.Fleets.Named(name)
	if !ok {
		return "" // refused for another reason
	}
	g, door := f.From.Control, a.doorOf(m) // for freezes too
	if kind == saysRelease {
		g = f.From.Release
	}
	if g.Admits(door, m.Source) {
		return ""
	}
	return rollout.WrongDoor(name, kind, door, m.Source, g)
}

// heardRelease returns the rollouts of those fleets that take the message, and why the
// others do not.
func (a *admission) heardRelease(m envelope.Message, operations []rollout.Operation) (heard []rollout.Operation, refused []events.Reason) {
	heard = slices.DeleteFunc(operations, func(op rollout.Operation) bool {
		why := a.hears(op.Fleet, saysRelease, m)
		if why != "" {
			refused = append(refused, events.Reason{Code: events.CodeWrongDoor, Message: why})
		}
		return why != ""
	})
	return heard, refused
}

// heardControl says why a control message is not followed because of the way that it
// came, or "".
func (a *admission) heardControl(m envelope.Message, c events.Control) string {
	_, name, ok := rollout.SplitID(c.RolloutID)
	if !ok {
		return ""
	}
	if why := a.hears(name, saysControl, m); why != "" {
		return why
	}
	if f, _ := a.rules.Fleets.Named(name); len(c.Consent) > 0 && !f.HearsConsent(a.doorOf(m)) {
		return fmt.Sprintf("for fleet %s a consent counts only through %s; this came through %s", name, strings.Join(f.ConsentFrom, ", "), a.doorOf(m))
	}
	return ""
}

// heardFreeze says why one of the fleets is not frozen, or released, because of the way
// that the message came, or "".
func (a *admission) heardFreeze(m envelope.Message, fleets []string) string {
	for _, name := range fleets {
		if why := a.hears(name, saysFreeze, m); why != "" {
			return why
		}
	}
	return ""
}

// byTrust puts what came through the doors for controls and releases first, so that
// time that runs short is taken from the rest. What came through one door keeps its
// order.
func (a *admission) byTrust(messages []envelope.Message) {
	rank := func(m envelope.Message) int {
		switch a.doorOf(m) {
		case a.doors.Control:
			return 0
		case a.doors.Release:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(messages, func(a, b envelope.Message) int { return cmp.Compare(rank(a), rank(b)) })
}
