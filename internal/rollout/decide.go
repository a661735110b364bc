// Package rollout decides what is to be done about a request or a release.
//
// It has three parts, all of them pure: nothing here has a clock, a client or a
// logger.
//
//   - A State is the journal, folded: what was asked for, what was begun and how it
//     ended. See State.Apply, and forms for what each kind of record does.
//   - Decide takes the state, the facts and the time, and says what may be done now,
//     or what must be known first. See step.go for how.
//   - Records are what is written down before and after something is done. They make
//     the next State.
//
// A request is a rollout with one wave and no gates: the same fold and the same
// decisions serve both. An operation is either of them.
//
// The phases of a desktop in an operation:
//
//	Pending --begun--> Begun --accepted--> Accepted --completed, failed--> Final
//	   |  ^              | |
//	   |  +----again-----+ +--failed----------------------------------> Final
//	   +--skipped, refused, failed------------------------------------> Final
//
// A desktop becomes Pending again only when ECD did not start its rebuild: ECD says
// so, or shows over a settling time that nothing began.
//
// A call is made only for a desktop that a record says was begun, and a desktop
// is begun only while it is Pending. So no desktop is rebuilt twice for one request.
//
// The files, in the order in which they are best read:
//
//   - what goes in and out: operation.go with apart.go, state.go, desktop.go, record.go,
//     facts.go
//   - a decision: decide.go, step.go, total.go, limits.go
//   - one desktop: pending.go (may it begin?), follow.go (what became of the call?)
//     with shown.go (what has ECD shown of it?), restore.go
//   - a rollout: waves.go, turn.go (may anything begin?), begin.go, standing.go, rhythm.go (when to look again)
//   - what holds a rollout back: freeze.go, rings.go, proof.go with use.go and alarms.go,
//     room.go
//   - what comes before a rebuild: act.go (how anything else is done to desktops), notice.go,
//     before.go, snapshot.go, idle.go, scheduled.go
//   - orders, and going back: control.go, onhalt.go, undo.go, fleetlog.go
//   - the journal: forms.go (a table of all records), fold.go, published.go, compact.go,
//     ending.go, doubt.go
//   - plans: preview.go, gates.go
package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// Rules are what the settings and fleets.yaml say now. They are not part of the
// journal: a change takes effect at the next decision.
type Rules struct {
	Regions        []string // allow-list of the function's own account
	Fleets         fleet.Fleets
	Declared       bool  // a fleets.yaml is there, even if it is empty
	Journal        bool  // the journal is durable
	JournalLimit   int64 // bytes that a journal takes at most; 0: no bound
	Freezes        bool  // and knows of freezes, which hold everything back
	SignedTicks    bool  // without a journal: what ticks carry is signed, and so believed
	RebuildTimeout time.Duration
}

// allowed returns the regions in which desktops of an account may be rebuilt, and
// whether it is the function's own or declared.
func (r Rules) allowed(account string) ([]string, bool) {
	if account == "" {
		return r.Regions, true
	}
	a, declared := r.Fleets.Account(account)
	return a.Regions, declared
}

// Allows says whether desktops in a place may be rebuilt at all.
func (r Rules) Allows(p desktop.Place) bool {
	regions, _ := r.allowed(p.Account)
	return slices.Contains(regions, p.Region)
}

// A Decision is what may be done now. When Need is not empty the rest is
// unfinished and must not be acted on.
type Decision struct {
	Need    Need
	Records []Record // what follows from the facts; to be written down at once
	// Acts are what is to be done to desktops besides rebuilding them, in order.
	Acts []Act
	// Unrestored are desktops that are in maintenance mode, or stopped, because of us, and
	// that could not be restored for so long that an operator has to do it.
	Unrestored []string
	// Back says that the rollout, which has halted, is to go back by itself.
	Back bool
	// Begin are the desktops whose rebuild may be begun, in order.
	Begin []string
	// Next is when to decide again at the latest; zero when nothing remains to be done.
	Next time.Time
}

// Decide says what may be done about the operation now. It is pure, and asks for
// facts as it needs them: call it again with more facts until Need is empty.
//
// It takes a step for each desktop, and for a rollout the steps of the rollout as
// a whole, and joins them into a total, which becomes the decision.
func Decide(s *State, r Rules, f *Facts, now time.Time) Decision {
	if !s.Open() {
		return Decision{}
	}
	v := &view{s: s, r: r, f: f, now: clock{now}}
	t := newTotal(v)
	if !s.Operation.Request() {
		if f := v.fleet(); f != nil {
			v.rhythm = s.took.rhythm(f, f.Strategy.AtOnce(s.Size))
			v.leave = v.proven()
		}
		v.rollout(t)
		return t.decision()
	}
	rest := v.givenUp()
	for _, id := range s.Order {
		x := s.Desktops[id]
		if x.Phase == Pending && rest != nil {
			t.add(x, v.settle(rest.Status, rest.Code, "%s", rest.Message))
		} else {
			t.add(x, v.desktop(x))
		}
	}
	return t.decision()
}

// A view is what a decision is made from. Nothing changes it.
type view struct {
	s        *State
	r        Rules
	f        *Facts
	now      clock
	rhythm   rhythm
	leave    []time.Time // see proven
	planning bool        // nothing is begun: see snapshots
}

// desktop decides about one desktop by its phase.
func (v *view) desktop(x *Desktop) step {
	switch {
	case x.Phase == Pending:
		return v.pending(x)
	case x.Phase == Begun && x.Doubted:
		return v.doubted(x)
	case x.Phase == Begun:
		return v.unknown(x)
	case x.Phase == Accepted:
		return v.follow(x)
	}
	return v.restoreFinal(x)
}

// finals returns the ids of the final outcomes that there are.
func (s *State) finals() []string {
	var out []string
	for _, id := range s.Order {
		if d := s.Desktops[id]; d.Phase == Final {
			out = append(out, OutcomeID(s.Operation.ID, id, d.Last.Status, d.counts.of(d.Last.Status)))
		}
	}
	return out
}

// OutcomeID names the n-th outcome of one status of one desktop in one operation.
// Equal ids mean the same outcome, however often it is published.
func OutcomeID(operation, desktop string, status events.Status, n int) string {
	return events.Outcome{RequestID: operation, DesktopID: desktop, Status: status, Nth: n}.ID()
}

// Cut bounds a message that goes into a record.
func Cut(s string) string { return cut(s) }

// cut bounds a message; ECD's own, or a command's output, may be long.
func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
