package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// A FleetLog is which rollouts a fleet had, oldest first: the order of its
// releases, in whatever order they were delivered.
type FleetLog []Entry

// An Entry is one rollout in a fleet's log. Its Operation has no Back, which may be
// long and stands in the rollout's own journal.
type Entry struct {
	Operation
	At      time.Time
	Message string // the id of the message that asked for it; "" in logs of earlier builds
	Event   string // names the event in that message; "" if none is known
}

// AskedBy says whether a message asked for it, or the event in that. "" is none.
func (e Entry) AskedBy(message, event string) bool {
	r := Record{Message: e.Message, Event: e.Event}
	return r.FollowsFrom(message, event)
}

// ReadFleetLog folds the records of a fleet's log.
func ReadFleetLog(records []Record) FleetLog {
	var out FleetLog
	for _, r := range records {
		if r.Kind == KindOpened && r.Operation != nil {
			out = append(out, Entry{*r.Operation, r.At, r.Message, r.Event})
		}
	}
	return out
}

// PlanRefusals counts how often the records of a fleet's log say that a rollout was
// asked for with a plan that it no longer had.
func PlanRefusals(records []Record, id, digest string) (n int) {
	for _, r := range records {
		if r.Kind == KindUnplanned && r.Name == id && r.Digest == digest {
			n++
		}
	}
	return n
}

// PlanRefusedFor says whether the records of a fleet's log say so of this very message, or of
// the event in it: whatever delivery of it comes later is told the same. Records of earlier builds
// name no message.
func PlanRefusedFor(records []Record, id, digest, message, event string) bool {
	return slices.ContainsFunc(records, func(r Record) bool {
		return r.Kind == KindUnplanned && r.Name == id && r.Digest == digest && r.FollowsFrom(message, event)
	})
}

// maxRefused bounds how many refused releases a fleet's log keeps between two entries, so
// that messages cannot fill it.
const maxRefused = 100

// NotEntered returns the record that a release was refused for the fleet: none if the log
// has it, or has many.
func (e Entry) NotEntered(records []Record, why *events.Reason) []Record {
	n := 0
	for _, r := range slices.Backward(records) {
		if r.Kind == KindOpened {
			break
		}
		if r.Kind == KindRefused {
			n++
		}
	}
	if n >= maxRefused || RefusedBefore(records, e.Message, e.Event) != nil {
		return nil
	}
	return []Record{{Kind: KindRefused, At: e.At, Name: e.ID, Message: e.Message, Event: e.Event, Via: e.Via, Reason: why}}
}

// RefusedBefore returns why a release was refused for the fleet when its message came
// before, or the event in it, as the records of the fleet's log say, or nil.
func RefusedBefore(records []Record, message, event string) *events.Reason {
	i := slices.IndexFunc(records, func(r Record) bool { return r.Kind == KindRefused && r.FollowsFrom(message, event) })
	if i < 0 {
		return nil
	}
	return records[i].Reason
}

// Entered returns the record that enters a rollout.
func (e Entry) Entered() Record {
	op := e.Operation
	op.Back = nil
	return Record{Kind: KindOpened, At: e.At, Operation: &op, Message: e.Message, Event: e.Event}
}

// Find returns the entry of a rollout, or nil.
func (l FleetLog) Find(id string) *Entry {
	if i := slices.IndexFunc(l, func(e Entry) bool { return e.ID == id }); i >= 0 {
		return &l[i]
	}
	return nil
}

// Latest returns the last entry, or nil.
func (l FleetLog) Latest() *Entry {
	if len(l) == 0 {
		return nil
	}
	return &l[len(l)-1]
}

// MayFollow says why a rollout may not be entered behind the others, or nil.
// LatestEnded says that nothing is left to do for the latest of them. Image says
// that op follows from an event that tells of a new image, and not from a release.
func (l FleetLog) MayFollow(op Operation, image, latestEnded bool) *events.Reason {
	last := l.Latest()
	switch {
	case op.Undoes != "":
		if last == nil || last.ID != op.Undoes {
			return &events.Reason{Code: events.CodeControlNotPossible, Message: l.newerThan(op.Undoes)}
		}
		return nil
	case last == nil:
		return nil
	}
	if had := l.ofImage(op.ImageID); image && had != nil {
		return &events.Reason{Code: events.CodeImageReleasedBefore, Message: fmt.Sprintf(
			"image %s came to fleet %s with release %s already", op.ImageID, op.Fleet, had.ReleaseID)}
	}
	if last.Undoes == "" && last.ImageID == op.ImageID && !latestEnded {
		return &events.Reason{Code: events.CodeImageReleasedBefore, Message: fmt.Sprintf(
			"image %s is on its way to fleet %s already, by rollout %s, which has not ended; wait for that, tell it to go on, or abort it first",
			op.ImageID, op.Fleet, last.ID)}
	}
	if newest := l.newest(latestEnded); newest != nil && op.ImageMade.Before(newest.ImageMade) {
		return &events.Reason{Code: events.CodeDowngrade, Message: fmt.Sprintf(
			"image %s of release %s is older than %s of release %s, which fleet %s has already; roll back instead, or publish a newer image",
			op.ImageID, op.ReleaseID, newest.ImageID, newest.ReleaseID, op.Fleet)}
	}
	return nil
}

// newerThan says for people why a rollout cannot be undone.
func (l FleetLog) newerThan(id string) string {
	if l.Find(id) == nil {
		return "there is no such rollout in the journal"
	}
	return l.Latest().ID + " came after it; roll that back, or publish the image that is wanted"
}

// ofImage returns an entry of a release of the image, or nil.
func (l FleetLog) ofImage(id string) *Entry {
	if i := slices.IndexFunc(l, func(e Entry) bool { return e.Undoes == "" && e.ImageID == id }); i >= 0 {
		return &l[i]
	}
	return nil
}

// newest returns the entry of the newest image that desktops of the fleet may be
// on. An image that was rolled back counts while that is under way, since some are
// still on it; and if the fleet had no other.
func (l FleetLog) newest(latestEnded bool) *Entry {
	undone := map[string]bool{}
	for i, e := range l {
		if e.Undoes != "" && (i < len(l)-1 || latestEnded) {
			undone[e.Undoes] = true
		}
	}
	var newest, back *Entry
	for i := range l {
		switch e := &l[i]; {
		case e.Undoes != "":
		case undone[e.ID]:
			back = newer(back, e)
		default:
			newest = newer(newest, e)
		}
	}
	if newest == nil {
		return back
	}
	return newest
}

func newer(a, b *Entry) *Entry {
	if a == nil || b.ImageMade.After(a.ImageMade) {
		return b
	}
	return a
}
