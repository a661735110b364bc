package handler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
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

// What a message may be.
const (
	saysRequest = "requests"
	saysRelease = "releases"
	saysControl = "control messages"
	saysFreeze  = "freezes" // they stop and let go as controls do, and come where those come
	saysNothing = ""        // ticks and timers cause a look and no more; what is refused anyway
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
// event that EventBridge itself hands over from the account's own services is a
// release's door too: nobody sends it.
func (d Doors) wrong(kind string, m envelope.Message, door string) string {
	only := ""
	switch kind {
	case saysControl, saysFreeze:
		only = d.Control
	case saysRelease:
		only = d.Release
		if door == events.DoorEvents && m.Door.Name == m.Source && vendors[m.Source] && events.IsVendorEvent(m.Type) {
			return ""
		}
	case saysRequest:
		if door != d.Request && door != events.DoorUnknown && (door == d.Control || door == d.Release) {
			return fmt.Sprintf("requests are not taken from %s; send them to %s", door, cmp.Or(d.Request, "a queue for requests"))
		}
	}
	if only == "" || door == only {
		return ""
	}
	return fmt.Sprintf("%s are taken from %s only; this came through %s", kind, only, door)
}

// vendors are the sources under which the account's own services tell of images.
// Source: EventBridge, "ActionTrail events".
var vendors = map[string]bool{"acs.ecd": true, "acs.actiontrail": true}

// doorOf names the door of a message. A queue or topic of another account is not
// one of ours, whatever its name.
func (r *run) doorOf(m envelope.Message) string {
	switch d := m.Door; {
	case d.Kind == envelope.DoorEvent:
		return events.DoorEvents
	case d.Kind == envelope.DoorUnknown, d.Account != cmp.Or(accountOf(r.in.Source), d.Account):
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
func (r *run) via(m envelope.Message) *events.Via {
	v := events.Via{Door: r.doorOf(m), Message: cmp.Or(m.Door.Message, m.MessageID, m.TopicMessageID, m.ID, "invocation:"+r.in.RequestID), Source: m.Source}
	if m.Door.Kind == envelope.DoorQueue {
		v.Queue = m.Door.Subject
	}
	v = v.Cut()
	return &v
}

// mayEnter refuses a message that came through a door that is not for it.
func (r *run) mayEnter(m envelope.Message) bool {
	why := r.Doors.wrong(says(m), m, r.doorOf(m))
	if why == "" {
		return true
	}
	switch says(m) {
	case saysControl:
		c, _ := events.ParseControl(m.Data) // what of it can be read says whom it is about
		r.refuseControl(m, c, events.CodeWrongDoor, why)
	case saysRequest:
		req, _ := events.ParseRequest(m.Data)
		if req.RequestID == "" {
			req.RequestID = r.identity(m)
		}
		r.refuseRequest(m, req, events.CodeWrongDoor, why)
	default:
		r.refuseMessage(m, events.CodeWrongDoor, why)
	}
	return false
}

// hears says whether the fleet takes releases, or control messages, on the way on
// which m came; if not, why.
func (r *run) hears(name, kind string, m envelope.Message, gate func(fleet.From) fleet.Gate) (why string) {
	f, ok := r.Rules.Fleets.Named(name)
	if !ok {
		return "" // refused for another reason
	}
	g, door := gate(f.From), r.doorOf(m)
	if g.Admits(door, m.Source) {
		return ""
	}
	return rollout.WrongDoor(name, kind, door, m.Source, g)
}

func releaseGate(f fleet.From) fleet.Gate { return f.Release }
func controlGate(f fleet.From) fleet.Gate { return f.Control }

// heardRelease returns the works of those fleets that hear the message, and
// refuses it for the others.
func (r *run) heardRelease(m envelope.Message, works []rollout.Operation) []rollout.Operation {
	var refused []string
	works = slices.DeleteFunc(works, func(w rollout.Operation) bool {
		why := r.hears(w.Fleet, saysRelease, m, releaseGate)
		if why != "" {
			refused = append(refused, why)
		}
		return why != ""
	})
	if len(refused) > 0 { // in one: a message has one refusal
		r.refuseMessage(m, events.CodeWrongDoor, strings.Join(refused, "; "))
	}
	return works
}

// heardControl says why a control message is not followed because of the way on
// which it came, or "".
func (r *run) heardControl(m envelope.Message, c events.Control) string {
	_, name, ok := rollout.SplitID(c.RolloutID)
	if !ok {
		return ""
	}
	if why := r.hears(name, saysControl, m, controlGate); why != "" {
		return why
	}
	if f, ok := r.Rules.Fleets.Named(name); ok && len(c.Consent) > 0 && !f.HearsConsent(r.doorOf(m)) {
		return fmt.Sprintf("for fleet %s a consent counts only through %s; this came through %s", name, strings.Join(f.ConsentFrom, ", "), r.doorOf(m))
	}
	return ""
}

// heardFreeze says why one of the fleets is not frozen, or let go, because of the
// way on which the message came, or "".
func (r *run) heardFreeze(m envelope.Message, fleets []string) string {
	for _, name := range fleets {
		if why := r.hears(name, saysFreeze, m, controlGate); why != "" {
			return why
		}
	}
	return ""
}

// byTrust puts what came through the doors for controls and releases first, so that
// time that runs short is taken from the rest. What came through one door keeps its
// order.
func (r *run) byTrust(messages []envelope.Message) {
	rank := func(m envelope.Message) int {
		switch r.doorOf(m) {
		case r.Doors.Control:
			return 0
		case r.Doors.Release:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(messages, func(a, b envelope.Message) int { return cmp.Compare(rank(a), rank(b)) })
}

// marked is the form of an id that we made ourselves to keep two senders apart.
var marked = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`@[0-9a-f]{16}$`) })

// apart gives a request's work an id of its own where another sender, who is to be
// told apart from this one, has that id or might have it: the id as it was sent, an
// @, and a digest of door and source. Requests by the request queue without a
// source keep their ids, and so does whatever has a journal under its id already,
// if it came on the same way or from an earlier build, which did not write down how.
func (r *run) apart(w *rollout.Operation) error {
	if !r.Doors.apart() {
		return nil
	}
	door, source := w.Came()
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s:%s", len(door), door, source))
	mark := "@" + hex.EncodeToString(sum[:8])
	room := maxID - len(mark)
	own := w.ID
	if len(own) > room {
		long := sha256.Sum256([]byte(own))
		own = "sha256:" + hex.EncodeToString(long[:])
	}
	own += mark
	home := door == r.Doors.Request && source == "" && !marked().MatchString(w.ID)
	if r.Journal == nil {
		if !home {
			rename(w, own)
		}
		return nil
	}
	had, mine := false, false
	if !home {
		if err := r.peek(kindRequest, own, func(s *rollout.State) { had = s.Operation != nil }); err != nil {
			return err
		}
	}
	if !had {
		err := r.peek(kindRequest, w.ID, func(s *rollout.State) {
			mine = home && s.Operation == nil
			if s.Operation != nil {
				d, src := s.Operation.Came()
				mine = s.Operation.Via == nil || d == door && src == source
			}
		})
		if err != nil {
			return err
		}
	}
	if !mine {
		rename(w, own)
	}
	return nil
}

// rename gives a request another id, and keeps its sender's.
func rename(w *rollout.Operation, id string) {
	via := *w.Via
	via.RequestID = w.ID
	w.Via, w.ID = &via, id
}

// maxID bounds a request's id with its mark, in bytes; the id of an event and of a
// tick holds it.
const maxID = 256
