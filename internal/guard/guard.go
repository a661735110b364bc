// Package guard holds the reasons not to touch a desktop.
//
// A rebuild wipes a person's system disk for good, and neither the API nor RAM
// has a per-desktop permission: what stands here is the only fence. Each guard
// is a pure function from what is known to a verdict. They are asked in a fixed
// order and the first that objects decides. Not being able to tell counts as an
// objection.
package guard

import (
	"fmt"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A Question is all that is known when it is asked whether one desktop may be
// rebuilt now.
type Question struct {
	desktop.Target
	Desktop *desktop.Desktop // nil: ECD does not list it in the region
	Image   *desktop.Image   // the wanted image; nil: ECD does not list it. For a reset, the current one
	// Snapshots are those of the desktop; nil: ECD was not asked. They count where
	// Rules.Keep says so.
	Snapshots []desktop.Snapshot
	Current   *desktop.Image // the image that the desktop is on; nil: ECD does not list it
	Rules     Rules
}

// Rules are what the sender, the settings and the fleet allow.
type Rules struct {
	Regions  []string // the allow-list of the account; empty allows none
	Consents []string // what the sender knowingly destroys
	Journal  bool     // a durable journal is there to tell a repeated delivery from a repeated wish
	// Undeclared says that the account is not the function's own, and that none of
	// fleets.yaml has its id.
	Undeclared bool
	// Outside says that fleets are declared and that the desktop is in none
	// that allows the request.
	Outside bool
	// Door says why the request may not name the desktop, because of the way on
	// which it came; "" if it may.
	Door string
	// Unheard says why the sender's consents do not count, which Consents are
	// without then; "" if they count, or there are none.
	Unheard string
	// Forgetful says that the desktop would be put into maintenance mode, or
	// stopped, and that nothing would remember that in a way that can be believed.
	Forgetful bool
	// Sessions says what happens to a desktop that somebody is using.
	Sessions Sessions
	// AtRest says that whoever is logged on to the desktop does not count as using
	// it; AtWork why that cannot be told, or "".
	AtRest bool
	AtWork string
	// Keep says which snapshots the rebuild may not delete without consent.
	Keep Keep
	// Command says that a command of the fleet is run on the desktop after the
	// rebuild, to check it.
	Command bool
	// Held says that regild itself has put the desktop into maintenance mode. How
	// that shows in the status is not published, so an unknown status then means
	// wait, not no.
	Held bool
}

func (r Rules) consents(to string) bool { return slices.Contains(r.Consents, to) }

// Keep says which snapshots keep a desktop from being rebuilt.
type Keep int

// The zero value keeps none.
const (
	KeepNone   Keep = iota
	KeepByHand      // those that somebody made
	KeepAll         // and those of automatic policies
)

// Sessions is a policy towards people who are connected.
type Sessions int

// The zero value refuses.
const (
	RefuseInUse Sessions = iota // refused: the sender did not consent
	SkipInUse                   // skipped: left alone this time
	WaitInUse                   // waits for them to leave
	ForceInUse                  // rebuilds under them
)

// An Answer is one of what a guard can say.
type Answer int

// The zero value is no.
const (
	Refuse Answer = iota // we will not
	Skip                 // nothing to do
	Wait                 // not yet; ask again
	Go                   // no objection
)

// A Verdict is an answer with its reason. Code and Message are empty for Go.
type Verdict struct {
	Answer  Answer
	Code    string // one of events.Codes
	Message string
}

var none = Verdict{Answer: Go}

func refuse(code, format string, args ...any) Verdict {
	return Verdict{Refuse, code, fmt.Sprintf(format, args...)}
}

// guards in the order in which they are asked: first what makes all other
// questions pointless, then what never changes, then what passes with time, so
// that nobody waits for what will be refused anyway.
var guards = []func(Question) Verdict{
	account, region, known, onImage, fleet, door, forgetful, pooled, // who
	image, already, gpu, system, command, language, protocol, disk, dataDisk, downgrade, reset, // what
	status, session, // when
	snapshots, // last: they are asked for one by one
}

// Check asks all guards and returns the first objection, or a Verdict of Go.
func Check(q Question) Verdict {
	for _, g := range guards {
		if v := g(q); v.Answer != Go {
			return q.Rules.explained(v)
		}
	}
	return none
}

// wantsConsent are the codes that a consent would have kept away.
var wantsConsent = []string{events.CodeOsChangeNeedsConsent, events.CodeDataDiskNeedsConsent, events.CodeSessionActive,
	events.CodeDowngrade, events.CodeResetNeedsConsent, events.CodeSnapshotsNeedConsent}

// explained adds why a consent that the sender gave did not help.
func (r Rules) explained(v Verdict) Verdict {
	if r.Unheard != "" && slices.Contains(wantsConsent, v.Code) {
		v.Message += "; " + r.Unheard
	}
	return v
}
