// Package report makes of the journal of a rollout or request what people ask
// about it: how it stands, what happened when and why it stood still, what
// became of each desktop, how long rebuilds took, what failed and why, who said
// what, and whether the record is complete.
//
// Everything here is a function of values: records go in (Of, or a Builder as
// they come), a Report comes out. Nothing is read, written or asked for the
// time. Package page draws reports for a browser, package dashboard serves them.
//
// What the records mean is not decided here: they are folded by rollout.State,
// record by record, and this package takes down what each one changed.
//
// The files: report.go has the model, build.go takes the records down, brief.go
// says how an operation stands in a few words, cause.go groups failures, took.go
// counts lengths, plan.go holds a plan against what happened, touch.go says what
// a control would touch.
package report

import (
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A Report is what a rollout or request did, up to the last record of its
// journal. Texts from outside are as they were written: whoever shows them has
// to make them harmless.
type Report struct {
	Brief

	ImageMade time.Time // when the image was created; zero: not known
	Consents  []string
	Why       string // the reason of whoever asked for it

	Waves    []Wave
	Happened []Happening  // oldest first
	Stood    []Standstill // oldest first
	Said     []Said       // oldest first
	Took     Took         // lengths of the rebuilds that completed
	Outcomes []Tally      // of the last outcomes, by status and code, in the order of events.Statuses
	Waited   []Tally      // desktops that were deferred at some time, by code
	Causes   []Cause      // of what failed or was refused, the largest first
	Desktops []Desktop    // in the order in which they came

	Digest Digest
	Untold int // outcomes and events that MNS has not taken yet
	Last   time.Time
	// Records is how many records the journal had.
	Records int
}

// A Wave is one wave, with what became of its desktops.
type Wave struct {
	N        int // from 1
	Name     string
	Size     int // desktops that came in it
	Begun    time.Time
	Ended    time.Time // zero: it is under way
	Approved string    // who said go on after it
	Counts   events.Counts
}

// A Happening is one event of the rollout as a whole.
type Happening struct {
	At     time.Time
	What   events.What
	Wave   int // the wave that was under way; 0 before the first
	Reason *events.Reason
	By     string
	Counts events.Counts // how desktops stood then
}

// A Standstill is a time in which nothing new began, and why.
type Standstill struct {
	What    string // waiting, paused or halted
	Code    string
	Message string
	By      string    // who paused it
	Until   time.Time // what was announced; zero: nothing was
	From    time.Time
	To      time.Time // zero: it still stands
}

// What a Standstill is.
const (
	StoodWaiting = "waiting"
	StoodPaused  = "paused"
	StoodHalted  = "halted"
)

// Said is what somebody told the rollout.
type Said struct {
	At      time.Time
	Action  string // one of events.Actions
	Who     string
	Reason  string
	Message string // the id of the message that said so
}

// A Tally counts desktops.
type Tally struct {
	Status events.Status
	Code   string
	N      int
}

// A Desktop is one desktop and what became of it.
type Desktop struct {
	ID       string
	Wave     int
	Stand    Stand
	Code     string // of its last outcome
	Message  string // of its last outcome
	From     string // the image it was on before
	To       string // the image it was to get; "" for a reset
	Attempts int    // calls that may have reached ECD
	// RequestID is ECD's id of the last call that ECD answered.
	RequestID string
	Accepted  time.Time // when ECD accepted the last rebuild
	Done      time.Time // when its final outcome was written down
	// Nth is how many-th outcome of its status the final one is; 0: not final.
	Nth int
	// Snapshot is that of the data disk which was made before the rebuild; nil: none.
	Snapshot *Snapshot
}

// A Snapshot is one of a data disk, which regild never deletes.
type Snapshot struct {
	ID   string    `json:"id"`
	GiB  int       `json:"gib,omitempty"` // of the disk; 0: ECD does not say
	Seen time.Time `json:"seen"`          // when ECD showed it complete
}

// SnapshotOf returns that of a desktop by its journal, or nil.
func SnapshotOf(d *rollout.Desktop) *Snapshot {
	if d.Saved == nil || d.Saved.Done.IsZero() {
		return nil
	}
	return &Snapshot{d.Saved.Got, d.Saved.GiB, d.Saved.Done.UTC()}
}

// A Stand says where a desktop stands: its final status, or running, waiting or
// pending.
type Stand string

// Where a desktop may stand.
const (
	Completed Stand = "completed"
	Skipped   Stand = "skipped"
	Refused   Stand = "refused"
	Failed    Stand = "failed"
	Running   Stand = "running"
	Waiting   Stand = "waiting"
	Pending   Stand = "pending"
)

// Stands lists where a desktop may stand, in the order in which a bar shows
// them.
var Stands = []Stand{Completed, Skipped, Refused, Failed, Running, Waiting, Pending}

// Final says whether nothing more is to come of it.
func (s Stand) Final() bool {
	return s == Completed || s == Skipped || s == Refused || s == Failed
}

// Of returns how many desktops stand there.
func (s Stand) Of(c events.Counts) int { return *s.in(&c) }

// in is the place of the counts where desktops that stand there are counted.
func (s Stand) in(c *events.Counts) *int {
	switch s {
	case Completed:
		return &c.Completed
	case Skipped:
		return &c.Skipped
	case Refused:
		return &c.Refused
	case Failed:
		return &c.Failed
	case Running:
		return &c.Running
	case Waiting:
		return &c.Waiting
	}
	return &c.Pending
}

// StandOf says where a desktop stands by its journal.
func StandOf(d *rollout.Desktop) Stand {
	switch {
	case d.Phase == rollout.Begun || d.Phase == rollout.Accepted:
		return Running
	case d.Phase == rollout.Pending && d.WaitCode != "":
		return Waiting
	case d.Phase == rollout.Pending:
		return Pending
	}
	if stand := Stand(d.Last.Status); stand.Final() {
		return stand
	}
	return Failed // as rollout.State counts what it does not know
}

// Took returns how long the rebuild took, from ECD's acceptance until it was
// seen to have ended, and false where it is not known. It is seen by looks that
// come minutes apart, so the true time is somewhat shorter.
func (d Desktop) Took() (time.Duration, bool) {
	if d.Stand != Completed || d.Accepted.IsZero() || d.Done.Before(d.Accepted) {
		return 0, false
	}
	return d.Done.Sub(d.Accepted), true
}

// OutcomeID returns the id of the desktop's final outcome, or "" while it has
// none.
func (d Desktop) OutcomeID(work string) string {
	if d.Nth == 0 {
		return ""
	}
	return rollout.OutcomeID(work, d.ID, events.Status(d.Stand), d.Nth)
}

// A Digest says whether a record is complete.
type Digest struct {
	Written string // what the journal says; "" while the operation is open
	Counted string // over the final outcomes of this report
	N       int    // how many those are
}

// Agrees says whether the journal's digest is that of the outcomes here. It is
// false while there is none.
func (d Digest) Agrees() bool { return d.Written != "" && d.Written == d.Counted }
