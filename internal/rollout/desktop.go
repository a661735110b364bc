package rollout

import (
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// A Phase says how far one desktop is in an operation.
type Phase uint8

// The phases. Final is reached once and never left, but by a retry that
// somebody asked for.
const (
	Pending  Phase = iota // nothing was begun, or what was begun certainly did not happen
	Begun                 // a call is under way or its delivery is unknown
	Accepted              // ECD has started the rebuild
	Final                 // completed, skipped, refused or failed
)

// A Desktop is what the journal knows of one desktop in an operation.
type Desktop struct {
	ID   string
	Wave int // the wave it came in; 1 for a request

	Call       string // the last call it was in
	CallEnded  Moment // when the end of that call was written down; zero: it was not
	BegunAt    Moment
	AcceptedAt Moment
	DoneAt     Moment // when it became Final
	Attempt    int    // calls that may have reached ECD
	From       string // the image it was on before the first call that may have changed it
	SeenAt     Moment // when it was Seen, or looked at for the first time after its time was over
	// What is small stands together, since there is one of these for each desktop.
	Phase Phase
	// Seen is what ECD showed since the last call, and what it means goes by the phase. Of a reset,
	// Begun or Accepted: it was Rebuilding. Of another that is Begun, or Pending since the call counts
	// as not carried out: it was on another image than its former one, or Rebuilding while nothing said
	// for whom. Of one that has arrived: it could not be checked when it was time.
	Seen     bool
	Doubted  bool // what is known of it came in an unsigned tick; see Doubt
	Touched  bool // ECD accepted a rebuild of it at some time
	Doubtful bool // the delivery of a call for it was unknown at some time
	Refuted  bool // its last call was certainly not carried out
	Held     bool // we put it into maintenance mode, or are about to, and have to take it out again
	Entered  bool // certainly in maintenance mode
	Stopped  bool // we stopped it, or are about to, and have to start it unless it is rebuilt
	counts   tally

	WaitCode   string    // why it is not begun, if it is waiting
	WaitSince  Moment    // since when, for that reason
	Waits      []Wait    // further reasons that have not passed, as far as is known, oldest first
	RestsUntil time.Time // need not be looked at before; in the zone in which that was said
	WaitFirst  Moment    // since when, for whatever reason
	Denied     int       // how often ECD said that the status does not allow it

	Maintenance *Call  // what we did last about maintenance mode
	StoppedAt   Moment // when we stopped it last
	Power       *Call  // what we did last about that
	ActedAt     Moment // when we last did something to it besides rebuilding it

	ArrivedAt Moment // first seen rebuilt, while it has yet to prove stable
	MissingAt Moment // when ECD first did not list it, and has not since
	OutsideAt Moment // when ECD first listed it, but not in its fleet, and has not in it since
	IdleAt    Moment // when ECD first showed nothing of its call, whose delivery is unknown
	Check     string // the id of the check command that was sent to it
	CheckedAt Moment // when

	Notice *Notice // what its users were told; nil: nothing
	Ask    *Asking // what it was asked; nil: nothing
	Saved  *Saved  // of its data disk, before a rebuild that erases it; nil: nothing

	Last Result // its last outcome
	// Unpublished are outcomes that MNS has not taken yet, oldest first.
	Unpublished []Outcome
}

// A Wait is a reason for which a desktop waits.
type Wait struct {
	Code  string
	Since time.Time
}

// asked returns when ECD may be asked what became of its last call: when
// the call ended, or certainly was over.
func (d *Desktop) asked() time.Time {
	if d.CallEnded.IsZero() { // its end is not written down
		return d.BegunAt.Add(lease)
	}
	return d.CallEnded.Time()
}

// eventful returns when the desktop last changed by what we did: what was read
// before says nothing of it.
func (d *Desktop) eventful() time.Time {
	switch d.Phase {
	case Begun:
		return d.asked()
	case Accepted:
		seen := d.SeenAt.Time()
		if d.Seen && d.ArrivedAt.IsZero() { // Rebuilding, for a reset: an older answer may still show it at rest, as if it were over
			seen = seen.Add(statusLag)
		}
		return Later(d.AcceptedAt.Add(statusLag), seen)
	case Pending:
		return Later(d.DoneAt.Time(), d.ActedAt.Time())
	case Final:
	}
	return d.ActedAt.Time()
}

// tried says whether a call for the desktop was carried out, or may have been.
func (d *Desktop) tried() bool { return d.Touched || d.Doubtful }

// restoring says whether we have begun to undo what we did to it besides
// rebuilding it.
func (d *Desktop) restoring() bool {
	return d.Maintenance != nil && d.Maintenance.Kind == KindReleasing || d.Power != nil && d.Power.Kind == KindStarting
}

// A tally counts outcomes by status: in the order of events.Statuses, and in the
// end those that this build does not know. A map would be half of what a desktop
// takes in memory.
type tally [7]uint32

func (t *tally) of(s events.Status) int { return int(*t.at(s)) }

func (t *tally) add(s events.Status) int {
	*t.at(s)++
	return t.of(s)
}

func (t *tally) set(s events.Status, n int) { *t.at(s) = uint32(min(n, maxCount)) } //nolint:gosec // bounded

// maxCount bounds a count that comes from outside.
const maxCount = 1 << 30

func (t *tally) at(s events.Status) *uint32 {
	if i := slices.Index(events.Statuses, s); i >= 0 {
		return &t[i]
	}
	return &t[len(t)-1]
}

// A Result is what an outcome says in short.
type Result struct {
	Status  events.Status
	Code    string
	Message string
}

// An Outcome is one thing to tell the world of one desktop.
type Outcome struct {
	Result
	N         int // how many-th of its status, from 1
	At        time.Time
	Until     time.Time
	RequestID string
	From      string
	Attempt   int
	Duration  time.Duration
	Snapshot  string // of its data disk, that was made before
}

// IncorrectDesktopStatus is ECD's code for a desktop whose status does not
// allow the rebuild. Source: RebuildDesktops.
const IncorrectDesktopStatus = "IncorrectDesktopStatus"

// blind are the reasons for which a desktop could not be read: they say nothing of any
// other reason.
var blind = map[string]bool{
	events.CodeFactsUnavailable: true, events.CodeThrottled: true, events.CodeNotAuthorized: true, events.CodeCallFailed: true, events.CodeTimeShort: true,
}

// waitFor notes that the desktop waits, and for what. A reason for which it could not
// be read leaves the others as they are. One that was seen ends those, and all others
// that were seen but one: how long its user has been waited for counts from when it
// was due and found in use, until it is begun.
func (d *Desktop) waitFor(code string, at time.Time) {
	switch {
	case ordered[code]:
		d.WaitFirst = 0
	case d.WaitFirst.IsZero():
		d.WaitFirst = MomentOf(at)
	}
	since, waits := d.waitsSince(code)
	if !waits || d.WaitCode == code && d.left(at) { // that does not count
		since = at
	}
	others := make([]Wait, 0, len(d.Waits)+1)
	if d.WaitCode != "" {
		others = append(others, Wait{d.WaitCode, d.WaitSince.Time()})
	}
	others = slices.DeleteFunc(append(slices.Clone(d.Waits), others...), func(w Wait) bool {
		return w.Code == code || !blind[code] && w.Code != events.CodeSessionWait || ordered[code]
	})
	d.WaitCode, d.WaitSince, d.Waits = code, MomentOf(since), slices.Clip(others)
	if len(others) == 0 {
		d.Waits = nil
	}
}

// left says whether a desktop that waits was not tried for long.
func (d *Desktop) left(at time.Time) bool { return at.Sub(d.RestsUntil) > MaxTick }

// waitsSince returns since when the desktop waits for that reason, if it does.
func (d *Desktop) waitsSince(code string) (since time.Time, waits bool) {
	if d.WaitCode == code {
		return d.WaitSince.Time(), code != ""
	}
	for _, w := range d.Waits {
		if w.Code == code {
			return w.Since, true
		}
	}
	return zero, false
}

func (d *Desktop) waitNoMore() {
	d.WaitCode, d.WaitSince, d.Waits, d.WaitFirst, d.RestsUntil = "", 0, nil, 0, zero
}
