package report

import (
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A Subject is what an operation is about, as the operator's documents have it.
type Subject struct {
	ReleaseID string `json:"releaseId,omitempty"`
	Fleet     string `json:"fleet,omitempty"`     // "" for a request
	AccountID string `json:"accountId,omitempty"` // "": the function's own
	RegionID  string `json:"regionId"`
	ImageID   string `json:"imageId"` // "" for a reset to the current image
	ImageName string `json:"imageName,omitempty"`
	Undoes    string `json:"undoes,omitempty"` // the rollout that it rolls back
	By        string `json:"by,omitempty"`     // who asked for it
}

// A Brief is how a rollout or request stands, in a few words.
type Brief struct {
	ID string
	Subject

	State  State
	Reason *events.Reason // why it stands where it stands, or ended so
	Who    string         // who paused or aborted it, or what took over
	Closed bool
	Opened time.Time
	Ended  time.Time // zero: it is open

	Wave   int // the wave that began last; 0 before the first
	Waves  int // how many there are to be
	Counts events.Counts
}

// Where names region and account without words of any language.
func (b Brief) Where() string {
	if b.AccountID == "" {
		return b.RegionID
	}
	return b.AccountID + "/" + b.RegionID
}

// A State says in a word how an operation stands.
type State string

// How an operation may stand. The last four are open.
const (
	StateCompleted  State = "completed"  // all waves are finished, or all of a request
	StateRolledBack State = "rolledback" // as StateCompleted, for a rollback
	StateAborted    State = "aborted"    // also while what was begun is followed to its end
	StateSuperseded State = "superseded" // likewise
	StateHalted     State = "halted"     // it stopped by itself
	StatePaused     State = "paused"
	StateWaiting    State = "waiting"
	StateRunning    State = "running"
)

// States lists how an operation may stand.
var States = []State{StateCompleted, StateRolledBack, StateAborted, StateSuperseded, StateHalted, StatePaused, StateWaiting, StateRunning}

// BriefOf says how an operation stands. It is false for a journal in which nothing was
// opened.
func BriefOf(s *rollout.State) (Brief, bool) {
	if s.Operation == nil {
		return Brief{}, false
	}
	o := s.Operation
	b := Brief{ID: o.ID, Closed: s.Closed, Opened: s.OpenedAt, Ended: s.ClosedAt, Waves: s.Planned, Counts: s.Counts(),
		Subject: Subject{o.ReleaseID, o.Fleet, o.AccountID, o.RegionID, o.ImageID, o.ImageName, o.Undoes, o.By}}
	if wave := s.Wave(); wave != nil {
		b.Wave = wave.N
	}
	b.Waves = max(b.Waves, b.Wave)
	b.State, b.Reason, b.Who = stateOf(s)
	return b, true
}

func stateOf(s *rollout.State) (State, *events.Reason, string) {
	switch {
	case s.Aborted != "":
		return StateAborted, nil, s.Aborted
	case s.Superseded != "":
		return StateSuperseded, nil, s.Superseded
	case s.Closed && s.Operation.Undoes != "":
		return StateRolledBack, nil, ""
	case s.Closed:
		return StateCompleted, nil, ""
	case s.Halted != nil:
		return StateHalted, s.Halted, ""
	case s.Paused != "":
		return StatePaused, nil, s.Paused
	case s.Waiting != nil:
		return StateWaiting, s.Waiting, ""
	case scheduled(s):
		at := s.Operation.NotBefore
		return StateWaiting, &events.Reason{Code: events.CodeScheduled, Message: "it is to begin no earlier", Until: &at}, ""
	}
	return StateRunning, nil, ""
}

// scheduled says whether a request still waits for the time at which it is to begin.
func scheduled(s *rollout.State) bool {
	for _, d := range s.Desktops {
		if d.Phase != rollout.Pending || d.WaitCode != events.CodeScheduled {
			return false
		}
	}
	return len(s.Desktops) > 0
}

// Request says whether it is a request: one wave and no gates.
func (b Brief) Request() bool { return b.Fleet == "" }

// Kind is request or rollout, as the journal names them.
func (b Brief) Kind() string {
	if b.Request() {
		return "request"
	}
	return "rollout"
}

// Name is what commands call it: rollout/ID or request/ID.
func (b Brief) Name() string { return b.Kind() + "/" + b.ID }

// Done returns how many desktops have their final outcome.
func (b Brief) Done() int {
	c := b.Counts
	return c.Completed + c.Skipped + c.Refused + c.Failed
}

// Lasted returns how long it has been under way at now, or was.
func (b Brief) Lasted(now time.Time) time.Duration {
	if !b.Ended.IsZero() {
		now = b.Ended
	}
	return max(0, now.Sub(b.Opened))
}
