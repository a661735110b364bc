package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/regild/regild/events"
)

// Version is the version of the records that this package writes. A reader
// keeps and ignores kinds that it does not know; it refuses a newer version,
// because what it does not understand there may forbid a rebuild.
const Version = 1

// A Kind says what a record tells.
type Kind string

// The kinds of records.
const (
	KindOpened     Kind = "opened"     // the work was taken on
	KindWave       Kind = "wave"       // a wave began, with these desktops
	KindWaveEnded  Kind = "wave-ended" // all of a wave is settled and checked
	KindBegun      Kind = "begun"      // a RebuildDesktops call is about to be made
	KindEnded      Kind = "ended"      // what became of that call
	KindSettled    Kind = "settled"    // outcomes that follow from the facts alone
	KindAgain      Kind = "again"      // ECD shows that these were not begun: they are pending again
	KindSeen       Kind = "seen"       // these were seen Rebuilding after their call
	KindPublished  Kind = "published"  // MNS took these outcomes, or these events of the rollout
	KindTick       Kind = "tick"       // a tick was put on the queue
	KindArrived    Kind = "arrived"    // these were first seen rebuilt; they have yet to prove stable
	KindMissing    Kind = "missing"    // ECD does not list these, though they were begun
	KindListed     Kind = "listed"     // ECD lists these again
	KindIdle       Kind = "idle"       // ECD shows nothing of a call of unknown fate for these
	KindHolding    Kind = "holding"    // about to be put into maintenance mode by us
	KindHeld       Kind = "held"       // in maintenance mode, by us
	KindReleasing  Kind = "releasing"  // about to be taken out of it by us
	KindReleased   Kind = "released"   // taken out of it again
	KindStopping   Kind = "stopping"   // about to be stopped by us
	KindStarting   Kind = "starting"   // about to be started again by us, not having been rebuilt
	KindStarted    Kind = "started"    // started again
	KindChecking   Kind = "checking"   // the check command was sent to these
	KindNotifying  Kind = "telling"    // these are about to be told of their rebuild
	KindSent       Kind = "sent"       // what became of that call
	KindNotified   Kind = "told"       // the first notice was shown on these
	KindUnnotified Kind = "untold"     // these could not be told
	KindAsking     Kind = "asking"     // these are about to be asked whether they may be rebuilt
	KindAsked      Kind = "asked"      // what became of that call
	KindCleared    Kind = "cleared"    // these said go on
	KindNotNow     Kind = "not-now"    // these said not now
	KindUnasked    Kind = "unasked"    // these could not be asked
	KindOnHold     Kind = "on-hold"    // a tag holds these back
	KindWaiting    Kind = "waiting"    // why the rollout stands still
	KindHalted     Kind = "halted"     // the rollout stopped by itself
	KindControl    Kind = "control"    // somebody told the rollout something
	KindRefused    Kind = "refused"    // somebody told the rollout something that it does not follow
	KindSuperseded Kind = "superseded" // a newer release took over
	KindGoingBack  Kind = "going-back" // a rollout that halted is about to be taken back by itself
	KindStays      Kind = "stays"      // it cannot be, and stays halted
	KindFreeze     Kind = "freeze"     // in the log of freezes: somebody holds everything back
	KindLift       Kind = "lift"       // in the log of freezes: that was lifted
	KindClosed     Kind = "closed"     // nothing is left to do
)

// A Record is one line of a journal. Which fields are set follows from Kind.
type Record struct {
	V    int       `json:"v"`
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	By   string    `json:"by,omitempty"` // the invocation that wrote it

	Operation *Operation     `json:"work,omitempty"`
	Call      string         `json:"call,omitempty"` // names a call across the record that announces it and the one of its end
	Desktops  []string       `json:"desktops,omitempty"`
	From      []string       `json:"from,omitempty"`   // begun: the image of each of Desktops before
	Invoke    string         `json:"invoke,omitempty"` // sent: ids of the command, to ask for its result
	RequestID string         `json:"ecdRequestId,omitempty"`
	Outcomes  []Group        `json:"outcomes,omitempty"`
	Events    []string       `json:"news,omitempty"` // published: ids of events of the rollout
	Wave      int            `json:"wave,omitempty"`
	Name      string         `json:"name,omitempty"`
	Size      int            `json:"size,omitempty"`   // wave: desktops of the fleet then
	Waves     int            `json:"waves,omitempty"`  // wave: how many there are
	Of        int            `json:"of,omitempty"`     // wave: how many desktops it has in all, if it takes several records
	Digest    string         `json:"digest,omitempty"` // closed: over the ids of all final outcomes
	Reason    *events.Reason `json:"reason,omitempty"`
	Action    string         `json:"action,omitempty"`
	Who       string         `json:"who,omitempty"`
	Regions   []string       `json:"regions,omitempty"` // freeze
	Fleets    []string       `json:"fleets,omitempty"`  // freeze
	Rings     []string       `json:"rings,omitempty"`   // waiting: the fleets that are waited for, and how each is
	Message   string         `json:"message,omitempty"` // control: the id of the message, so that it counts once
	Via       *events.Via    `json:"via,omitempty"`     // control, freeze, lift: how it reached us
	N         int            `json:"n,omitempty"`
	Indexed   bool           `json:"indexed,omitempty"` // tick: the work is in the index of open works
	Ending    *Ending        `json:"ending,omitempty"`  // published, once closed: how the work came out
	Until     time.Time      `json:"until,omitzero"`
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

// Encode returns the records as lines of a journal, stamped with the version.
func Encode(records []Record) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i := range records {
		records[i].V = Version
		if err := enc.Encode(&records[i]); err != nil {
			return nil, fmt.Errorf("encoding journal record %s: %w", records[i].Kind, err)
		}
	}
	return out.Bytes(), nil
}

// Decode returns the records of whole lines. It fails on a line that is no
// record of a version it knows, naming the line: what cannot be read may say
// that a desktop was begun.
func Decode(lines []byte) ([]Record, error) {
	var out []Record
	for n := 1; len(lines) > 0; n++ {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		if !whole {
			return nil, fmt.Errorf("decoding journal line %d: it is cut off", n)
		}
		lines = rest
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("decoding journal line %d: %w", n, err)
		}
		if r.V < 1 || r.V > Version {
			return nil, fmt.Errorf("decoding journal line %d: version %d is not known to this build, which knows up to %d", n, r.V, Version)
		}
		out = append(out, r)
	}
	return out, nil
}
