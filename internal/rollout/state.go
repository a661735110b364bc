package rollout

import (
	"strconv"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// An Event is one thing to say of a rollout as a whole.
type Event struct {
	What   events.What
	Key    string // tells events of one kind apart
	At     time.Time
	Wave   int
	Waves  int
	Counts events.Counts
	Reason *events.Reason
	By     string
	Digest string
	Via    *events.Via // of the message from which it follows, where one did
}

// ID identifies the event within its operation.
func (n Event) ID() string { return string(n.What) + "/" + n.Key }

// A Wave is a part of the fleet that is rebuilt together.
type Wave struct {
	N        int // from 1
	Name     string
	Desktops []string
	BegunAt  time.Time
	EndedAt  time.Time // zero: it is under way
	Approved string    // who approved to go on after it
	Proved   string    // who said go on though too few of its desktops were used, or its logons failed
	Of       int       // how many desktops it has, when they are told in several records; else 0
}

// whole says whether all its desktops are known.
func (w *Wave) whole() bool { return len(w.Desktops) >= w.Of }

// Title names the wave for people: wave 1 (canary), wave 2.
func (w *Wave) Title() string { return waveTitle(w.N, w.Name) }

func waveTitle(n int, name string) string {
	title := "wave " + strconv.Itoa(n)
	if name == title || name == "" {
		return title
	}
	return title + " (" + name + ")"
}

// A State is a journal, folded: what was asked for and how far it is. It is
// made by applying records in their order; the same records give the same
// state however they were cut into appends.
type State struct {
	Operation *Operation // nil: nothing was opened
	OpenedAt  time.Time
	Desktops  map[string]*Desktop
	Order     []string // of the desktops, as they came
	Waves     []Wave
	Size      int // desktops of the fleet when the last wave began
	Planned   int // waves that there are to be

	Paused     string // who paused it; "" when it is not
	Halted     *events.Reason
	Back       Back   // how it goes back by itself, if it does
	Aborted    string // who aborted it
	Superseded string // the rollout, or of a request its rollback, that took over
	Undoing    *Entry // of a request: the rollback of it, without its desktops; nil: none
	// Resumed is when a standstill ended last: desktops were not read during it.
	Resumed time.Time
	// Forgiven is until when failures do not count, because somebody let it go on.
	Forgiven  time.Time
	Waiting   *events.Reason
	WaitingAt time.Time       // since when, for that reason
	Rings     []string        // what it waits for on the fleets that it comes after
	Passed    map[string]bool // of these, what somebody approved
	Use       *UseCount       // how much a wave was used when that was asked last
	Alarms    []Alarm         // how the alarms were when that changed last

	TickN   int // the last tick that was put on the queue
	TickAt  time.Time
	AgainAt time.Time // when it comes once more; zero: it does not
	Indexed bool      // it is in the index of open operations
	// Length is how many bytes the journal has, as it was read or written last; 0: that is
	// not known. No record says it.
	Length int64

	Closed   bool
	ClosedAt time.Time
	Digest   string // over the ids of all final outcomes, when closed

	// UnpublishedEvents are what MNS has not taken yet, oldest first.
	UnpublishedEvents []Event
	// Controls are the ids of the messages that told the rollout something, and of the events in them.
	Controls map[string]bool
	// Refusals are the ids of messages that it does not follow, as far as they are
	// written down, and Answers what is told of each, also by the events in them.
	Refusals map[string]bool
	Answers  map[string]*Refusal
	// PlansRefused are the digests of the plans with which the work was asked for
	// and refused, and how often: whoever writes late that it is opened for one of them
	// comes too late.
	// Of a request that is there they are those of its rollback.
	PlansRefused map[string]int

	back    map[string]string // where desktops go back to, before the rollback is opened
	records int               // how many were applied: the lines of the journal
	untold  []told            // outcomes that may be unpublished, by line; the first is
	took    took
	looked  looked
	former  string // the image that the desktop had which was begun last
}

// A Refusal is why a message is not followed, and how far the operation was when that was
// written down: whoever sends the message again is told the same.
type Refusal struct {
	Reason *events.Reason
	Opened bool // there was an operation
	Wave   int
	Waves  int
	Counts events.Counts
}

// PlanChanged is why nothing is begun whose plan is another one by now. What its digest is
// stands nowhere here: it may be another one again when the message comes again.
const PlanChanged = "the plan is no longer the one whose digest is demanded; look at it with dryRun and ask again"

// NewState returns the state of an empty journal.
func NewState() *State {
	return &State{Desktops: map[string]*Desktop{}, Controls: map[string]bool{}, Refusals: map[string]bool{}, Answers: map[string]*Refusal{}}
}

// Reached notes that the journal has so many bytes.
func (s *State) Reached(length int64) { s.Length = length }

// Open says whether there is an operation and it is not closed.
func (s *State) Open() bool { return s.Operation != nil && !s.Closed }

// Extent is how many desktops the operation is about; 0: that is not known yet.
func (s *State) Extent() int {
	n := max(s.Size, len(s.Desktops))
	if s.Operation != nil {
		n = max(n, len(s.Operation.to))
	}
	return n
}

// Quiet says whether everything is published.
func (s *State) Quiet() bool {
	return len(s.UnpublishedEvents) == 0 && len(s.Fresh()) == 0
}

// Unsaid returns since when something is not published, and whether anything is not.
func (s *State) Unsaid() (since time.Time, any bool) {
	note := func(at time.Time) {
		if !any || at.Before(since) {
			since, any = at, true
		}
	}
	for _, n := range s.UnpublishedEvents {
		note(n.At)
	}
	for _, id := range s.Fresh() {
		note(s.Desktops[id].Unpublished[0].At)
	}
	return since, any
}

// Fresh returns the desktops of which something is not published yet.
func (s *State) Fresh() []string {
	var out []string
	for _, id := range s.Order {
		if len(s.Desktops[id].Unpublished) > 0 {
			out = append(out, id)
		}
	}
	return out
}

// CallSpec returns the spec under which the desktop is rebuilt now. A desktop that we
// stopped for it is to run afterwards, if nothing else was asked for: what ECD does
// without AfterStatus is not published.
func (s *State) CallSpec(id string) desktop.Spec {
	spec := s.Operation.SpecOf(id)
	if d := s.Desktops[id]; d != nil && d.Stopped && spec.AfterStatus == "" {
		spec.AfterStatus = desktop.Running
	}
	return spec
}

// any says whether something is so of one of the desktops.
func (s *State) any(is func(*Desktop) bool) bool {
	for _, d := range s.Desktops {
		if is(d) {
			return true
		}
	}
	return false
}

// Wave returns the wave that began last, or nil.
func (s *State) Wave() *Wave {
	if len(s.Waves) == 0 {
		return nil
	}
	return &s.Waves[len(s.Waves)-1]
}

// whatFinished stands for the summary of a request among the events.
const whatFinished events.What = "finished"

// Finished says whether the event is the summary of a request.
func (n Event) Finished() bool { return n.What == whatFinished }

// Counts says how many desktops stand where.
func (s *State) Counts() events.Counts {
	c := events.Counts{Fleet: max(s.Size, len(s.Desktops))}
	for _, d := range s.Desktops {
		switch {
		case d.Phase == Begun || d.Phase == Accepted:
			c.Running++
		case d.Phase == Pending && d.WaitCode != "":
			c.Waiting++
		case d.Phase == Pending:
		case d.Last.Status == events.StatusCompleted:
			c.Completed++
		case d.Last.Status == events.StatusSkipped:
			c.Skipped++
		case d.Last.Status == events.StatusRefused:
			c.Refused++
		default:
			c.Failed++
		}
	}
	c.Pending = c.Fleet - c.Waiting - c.Running - c.Completed - c.Skipped - c.Refused - c.Failed
	return c
}
