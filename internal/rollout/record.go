package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// Version is the version of the records that this package writes. A reader
// keeps and ignores kinds that it does not know; it refuses a newer version,
// because what it does not understand there may forbid a rebuild.
const Version = 1

// Versions returns the versions of the records of a kind, the latest last. What a build
// that does not know it must not ignore has a later one: a kind, or a shorter way to
// write down the same.
func (k Kind) Versions() []int {
	switch k {
	case KindBack:
		return []int{2}
	case KindBegun, KindPublished:
		return []int{Version, 2}
	default:
		return []int{Version}
	}
}

// A Kind says what a record tells.
type Kind string

// The kinds of records.
const (
	KindOpened     Kind = "opened"     // the operation was taken on
	KindBack       Kind = "back"       // before a large rollback is opened: these go back to the image that is named
	KindUnplanned  Kind = "unplanned"  // it was asked for with a plan that it no longer had, and refused
	KindWave       Kind = "wave"       // a wave began, with these desktops
	KindWaveEnded  Kind = "wave-ended" // all desktops of a wave have ended and passed their check
	KindBegun      Kind = "begun"      // a RebuildDesktops call is about to be made
	KindEnded      Kind = "ended"      // what became of a RebuildDesktops call
	KindSettled    Kind = "settled"    // outcomes that follow from the facts alone
	KindNotBegun   Kind = "again"      // ECD shows that these were not begun: they are pending again
	KindSeen       Kind = "seen"       // these were seen Rebuilding after their call, or on another image; or could not be checked when it was time
	KindLate       Kind = "late"       // the time of these was over when somebody looked at them again; they may yet arrive
	KindPublished  Kind = "published"  // MNS took these outcomes, or these events of the rollout
	KindTick       Kind = "tick"       // a tick was put on the queue
	KindArrived    Kind = "arrived"    // these were first seen rebuilt; they have yet to prove stable
	KindMissing    Kind = "missing"    // ECD does not list these; of earlier builds: or not in their fleet
	KindListed     Kind = "listed"     // ECD lists these again
	KindOutside    Kind = "outside"    // ECD lists these, but not in their fleet
	KindIdle       Kind = "idle"       // ECD shows nothing of a call of unknown delivery for these
	KindHolding    Kind = "holding"    // these are about to be put into maintenance mode
	KindHeld       Kind = "held"       // these are in maintenance mode
	KindReleasing  Kind = "releasing"  // these are about to be taken out of maintenance mode
	KindReleased   Kind = "released"   // these are out of maintenance mode
	KindStopping   Kind = "stopping"   // these are about to be stopped
	KindStarting   Kind = "starting"   // these were stopped, not rebuilt, and are about to be started
	KindStarted    Kind = "started"    // these run again
	KindChecking   Kind = "checking"   // the check command was sent to these
	KindNotifying  Kind = "telling"    // the users of these are about to be told of their rebuild
	KindSent       Kind = "sent"       // what became of the call that tells users
	KindNotified   Kind = "told"       // the first notice was shown on these
	KindUnnotified Kind = "untold"     // the users of these could not be told
	KindAsking     Kind = "asking"     // these are about to be asked whether they may be rebuilt
	KindAsked      Kind = "asked"      // what became of the call that asks
	KindCleared    Kind = "cleared"    // these said that they may be rebuilt
	KindNotNow     Kind = "not-now"    // these said not now
	KindUnasked    Kind = "unasked"    // these could not be asked
	KindOnHold     Kind = "on-hold"    // a tag holds these back
	KindWaiting    Kind = "waiting"    // why the rollout stands still
	KindHalted     Kind = "halted"     // the rollout halted by itself
	KindControl    Kind = "control"    // somebody told the rollout something
	KindRefused    Kind = "refused"    // somebody told the rollout something that it does not follow; in the log of a fleet: a release is not entered
	KindSuperseded Kind = "superseded" // a newer release took over
	KindUndoing    Kind = "undoing"    // a request is rolled back, by this rollback
	KindGoingBack  Kind = "going-back" // a rollout that halted is about to go back by itself
	KindStays      Kind = "stays"      // it cannot go back, and stays halted
	KindFreeze     Kind = "freeze"     // in the log of freezes: somebody holds everything back
	KindLift       Kind = "lift"       // in the log of freezes: somebody lifted a freeze
	KindUse        Kind = "use"        // how much the desktops of a wave were used so far
	KindAlarms     Kind = "alarms"     // how the fleet's alarms are
	KindSaving     Kind = "saving"     // a snapshot of the data disk of these is about to be asked for
	KindSaved      Kind = "saved"      // what became of the call that asks for a snapshot
	KindUnsaved    Kind = "unsaved"    // ECD does not list the snapshot of these
	KindSafe       Kind = "safe"       // the snapshot of these is complete
	KindClosed     Kind = "closed"     // nothing is left to do
)

// A Record is one line of a journal. Which fields it has follows from its kind: see
// forms.
type Record struct {
	V    int       `json:"v"`            // the version of the record: 1; of back 2, and of begun and published where they are short
	Kind Kind      `json:"kind"`         // what it tells
	At   time.Time `json:"at"`           // when that was so
	By   string    `json:"by,omitempty"` // the invocation that wrote it

	Operation *Operation     `json:"work,omitempty"`         // what was asked for
	Call      string         `json:"call,omitempty"`         // names a call, before it and at its end; of a check, the ids of its commands
	Desktops  []string       `json:"desktops,omitempty"`     // whom it tells of
	From      []string       `json:"from,omitempty"`         // the image that each of the desktops was on; in version 2 the one that all were on
	Invoke    string         `json:"invoke,omitempty"`       // the ids of the commands that were sent, joined by commas; none: the call was not made
	RequestID string         `json:"ecdRequestId,omitempty"` // ECD's id of the call
	Outcomes  []Group        `json:"outcomes,omitempty"`     // what became of desktops, or which outcomes were published
	UpTo      int            `json:"upTo,omitempty"`         // version 2: MNS took all outcomes that the first so many lines tell
	Events    []string       `json:"news,omitempty"`         // ids of the events of the rollout that were published
	Wave      int            `json:"wave,omitempty"`         // the number of the wave, from 1
	Name      string         `json:"name,omitempty"`         // the name of the wave, or the id of the freeze, of what was refused, or of the image to go back to
	Size      int            `json:"size,omitempty"`         // how many desktops the fleet had when the wave began
	Waves     int            `json:"waves,omitempty"`        // how many waves there are to be
	Of        int            `json:"of,omitempty"`           // how many desktops the wave has in all, if that takes several records
	Digest    string         `json:"digest,omitempty"`       // of the ids of all final outcomes, or of the plan that was demanded
	Reason    *events.Reason `json:"reason,omitempty"`       // why
	Action    string         `json:"action,omitempty"`       // what the rollout was told, or what follows on its halt
	Who       string         `json:"who,omitempty"`          // who said it, or the rollout that took over
	Regions   []string       `json:"regions,omitempty"`      // what is frozen
	Fleets    []string       `json:"fleets,omitempty"`       // what is frozen
	Rings     []string       `json:"rings,omitempty"`        // the fleets that are waited for, and how far the release is on each
	Message   string         `json:"message,omitempty"`      // the id of the message that said it, so that it counts once
	Event     string         `json:"event,omitempty"`        // names the event in that message: another message that has it does not count either
	Via       *events.Via    `json:"via,omitempty"`          // how the message reached regild
	Snapshot  string         `json:"snapshot,omitempty"`     // the id of the snapshot
	GiB       int            `json:"gib,omitempty"`          // the size of the disk that was saved
	Use       *UseCount      `json:"use,omitempty"`          // how much the wave was used
	Alarms    []Alarm        `json:"alarms,omitempty"`       // how each alarm is, and since when
	N         int            `json:"n,omitempty"`            // number of tick, snapshot or notice (1 first, 2 reminder, 3 last); with upTo, of outcomes
	Indexed   bool           `json:"indexed,omitempty"`      // the operation is in the index of open operations
	Ending    *Ending        `json:"ending,omitempty"`       // how the operation came out, in short
	Again     time.Time      `json:"again,omitzero"`         // when the same tick comes once more, in case the invocation that it brings about is cut off
	Until     time.Time      `json:"until,omitzero"`         // when the tick is due, the time that the notice names, or the end of the freeze
}

// A Group is an outcome that several desktops share.
type Group struct {
	Status   events.Status `json:"status"`
	Code     string        `json:"code,omitempty"`
	Message  string        `json:"message,omitempty"`
	Until    time.Time     `json:"until,omitzero"` // deferred: when they are looked at again
	N        int           `json:"n,omitempty"`    // how many-th of its status; published: if not the first; else only where a tick carries it
	Desktops []string      `json:"desktops"`
}

// FollowsFrom says whether a record follows from a message, or from the event in it. "" is none.
func (r *Record) FollowsFrom(message, event string) bool {
	return message != "" && r.Message == message || event != "" && r.Event == event
}

// Encode returns the records as lines of a journal, stamped with the version.
func Encode(records []Record) ([]byte, error) {
	var out bytes.Buffer
	if err := EncodeTo(&out, records); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// EncodeTo is Encode behind what a buffer holds.
func EncodeTo(out *bytes.Buffer, records []Record) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i := range records {
		if err := enc.Encode(records[i].packed()); err != nil {
			return fmt.Errorf("encoding journal record %s: %w", records[i].Kind, err)
		}
	}
	return nil
}

// packed returns a record in the form in which it is written: the shortest that says the
// same. See decision 39.
func (r *Record) packed() *Record {
	r.V = Version
	switch {
	case r.Kind == KindBack, r.UpTo > 0:
		r.V = 2
	case r.Kind == KindBegun && len(r.From) > 1 && len(r.From) == len(r.Desktops) && same(r.From):
		brief := *r
		brief.V, brief.From = 2, r.From[:1]
		return &brief
	}
	return r
}

func same(list []string) bool {
	return !slices.ContainsFunc(list, func(x string) bool { return x != list[0] })
}

// unpack brings a record that was read into the form in which it is used.
func (r *Record) unpack() error {
	if known := r.Kind.Versions(); r.V < 1 || r.V > known[len(known)-1] {
		return fmt.Errorf("version %d is not known to this build, which knows up to %d", r.V, known[len(known)-1])
	}
	if r.Kind == KindBegun && r.V == 2 {
		if len(r.From) != 1 {
			return fmt.Errorf("it says that all desktops were on one image, and names %d", len(r.From))
		}
		r.From = slices.Repeat(r.From, len(r.Desktops))
	}
	return nil
}

// Decode returns the records of whole lines. It fails on a line that is no
// record of a version it knows, naming the line: what cannot be read may say
// that a desktop was begun.
func Decode(lines []byte) ([]Record, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	out := make([]Record, 0, bytes.Count(lines, []byte("\n")))
	for n := 1; len(lines) > 0; n++ {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		if !whole {
			return nil, fmt.Errorf("decoding journal line %d: it is cut off", n)
		}
		lines = rest
		out = append(out, Record{})
		r := &out[len(out)-1]
		if err := json.Unmarshal(line, r); err != nil {
			return nil, fmt.Errorf("decoding journal line %d: %w", n, err)
		}
		if err := r.unpack(); err != nil {
			return nil, fmt.Errorf("decoding journal line %d: %w", n, err)
		}
	}
	return out, nil
}
