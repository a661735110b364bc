package simulation

import (
	"encoding/json"
	"fmt"
	"time"
)

// A schedule is one run of the simulation: who is there, what is sent when, and
// what breaks. It is all values, so that it can be cut down and kept.
type schedule struct {
	Seed    uint64
	Profile string

	Instances  int          // at most so many at once
	Timeout    span         // of an invocation
	Rebuild    span         `json:",omitempty"` // how long a rebuild may take; 30 minutes
	Window     span         // messages that come within it are delivered together
	Skew       []span       // of the instances' clocks, in turn
	Warm       bool         // instances live on between invocations
	Rebuilds   int          // concurrency
	Publishers int          // concurrency
	NoJournal  bool         `json:",omitempty"`
	NoQueue    bool         `json:",omitempty"`
	Lossy      bool         `json:",omitempty"` // a delivery that failed may be forgotten, whatever it is but a tick
	Sweep      bool         `json:",omitempty"` // a timer wakes rollouts
	Most       int          `json:",omitempty"` // desktops that one invocation takes on; 0: as many as in production
	Brief      bool         `json:",omitempty"` // ticks that would find nothing to do are not delivered
	Records    bool         // ECD keeps a record of image changes
	After      string       `json:",omitempty"` // the status after a rebuild that asks for none
	Regions    []string     // allow-list
	Shift      span         `json:",omitempty"` // how often the operator looks; 0: never
	Fleets     []fleetsFile `json:",omitempty"` // fleets.yaml, from when on
	Images     []imagePlan  // beyond the usual ones
	Desktops   []desktopPlan
	Messages   []messagePlan
	Events     []eventPlan `json:",omitempty"` // what happens to desktops besides
	Calm       span        // no strikes from then on
	Bound      span        // how long after that everything may take
	Unreadable span        `json:",omitempty"` // from then on, for good, some desktops cannot be read
	LeftOut    int         `json:",omitempty"` // of 1000 answers about a desktop so many leave out on which image it is
	Linux      bool        `json:",omitempty"` // desktops and images are of Linux
	People     bool        `json:",omitempty"` // commands, freezes and rings take the time that they take
	Results    results     `json:",omitzero"`  // what becomes of commands on desktops
	Refused    refusalPlan `json:",omitzero"`  // when the role of the other account cannot be assumed

	// What breaks: drawn from the seed by the odds, at most Budget times; or,
	// when Drawn is false, exactly the strikes that are listed.
	Drawn   bool
	Budget  int      `json:",omitempty"`
	Odds    []odd    `json:",omitempty"`
	Strikes []strike `json:",omitempty"`
}

// A span is a time since the beginning, or a length of time, written as 1m30s.
type span time.Duration

func (s span) d() time.Duration { return time.Duration(s) }

func (s span) String() string { return time.Duration(s).String() }

func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

func (s *span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

const (
	second = span(time.Second)
	minute = span(time.Minute)
	hour   = span(time.Hour)
)

// A fleetsFile is fleets.yaml from a time on; "" means that there is none.
type fleetsFile struct {
	At   span
	YAML string
}

type imagePlan struct {
	ID, Name, Region string
	Day              int  // of its creation, so that they have an order
	Creating         span `json:",omitempty"` // until then
	Failed           bool `json:",omitempty"`
	GPU              bool `json:",omitempty"`
}

// A desktopPlan is one desktop as it is at the beginning.
type desktopPlan struct {
	ID, Region, Image, Status string
	Takes                     span              // a rebuild
	Ends                      string            `json:",omitempty"` // of a rebuild: "", fail or stick
	Early                     bool              `json:",omitempty"` // the image id changes when a rebuild begins
	Group                     string            `json:",omitempty"`
	GPU                       bool              `json:",omitempty"`
	Disks                     int               `json:",omitempty"`
	User                      string            `json:",omitempty"` // who is connected
	Site                      string            `json:",omitempty"`
	Tags                      map[string]string `json:",omitempty"`
	// Lags are how late ECD shows what it is and where, and its record.
	LagStatus, LagImage, LagRecord span
	CheckFails                     int  `json:",omitempty"` // how often a check fails on it
	NotNow                         int  `json:",omitempty"` // how often its user says not now; below 0: always
	Snapshot                       span `json:",omitempty"` // how long a snapshot of its data disk takes; below 0: it fails
	NoIdle                         bool `json:",omitempty"` // ECD does not say how long its user has been idle
	Exit                           int  `json:",omitempty"` // with what the command before a rebuild ends otherwise
	Unreadable                     bool `json:",omitempty"` // see schedule.Unreadable
}

// A messagePlan is something that is sent to the function.
type messagePlan struct {
	At      span
	Kind    string // request, release, control, freeze, lift, timer or raw
	ID      string
	Account string            `json:",omitempty"` // of a request; the ids are as the own account has them
	Region  string            `json:",omitempty"`
	Image   string            `json:",omitempty"`
	Images  map[string]string `json:",omitempty"`
	Name    string            `json:",omitempty"` // of the image of a release
	IDs     []string          `json:",omitempty"`
	Consent []string          `json:",omitempty"`
	After   string            `json:",omitempty"`
	Rollout string            `json:",omitempty"`
	Of      string            `json:",omitempty"` // the request that is taken back
	Action  string            `json:",omitempty"`
	DryRun  bool              `json:",omitempty"`
	Planned bool              `json:",omitempty"` // after a dry run it is asked for with the digest of the plan
	Digest  string            `json:",omitempty"`
	Raw     string            `json:",omitempty"`
	// NotBefore is the time that a request names, Until when a freeze ends.
	NotBefore span     `json:",omitempty"`
	Until     span     `json:",omitempty"`
	Fleets    []string `json:",omitempty"` // of a freeze
	Regions   []string `json:",omitempty"` // of a freeze
}

// An eventPlan is something that happens to a desktop.
type eventPlan struct {
	At      span
	Desktop string
	What    string // connect, disconnect, vanish, return, outside, join, tag, untag, start, stop, hold, not-now, leave, idle, active, ticket; alarm
	Arg     string `json:",omitempty"`
}

// An odd is the chance of one kind of strike at the calls whose label contains
// Match.
type odd struct {
	Match    string
	What     string
	PerMille int
	Min, Max span
}

// A strike is one thing that breaks: at the n-th call with a label.
type strike struct {
	At   string
	N    int
	What string
	For  span `json:",omitempty"`
}

// Kinds of strikes. What is not struck works, some milliseconds later.
const (
	fails      = "fails"       // nothing was done, and the caller knows
	throttles  = "throttles"   // nothing was done, and the caller is asked to slow down
	lostBefore = "lost before" // nothing was done, and the caller cannot know
	lostAfter  = "lost after"  // done, and the caller cannot know
	isLate     = "late"        // the caller gives up, and it is done later
	isSlow     = "slow"        // it takes long
	freezes    = "freezes"     // the instance stands still, and goes on later
	freezesIn  = "freezes in"  // the same, and the call is made only then
	killBefore = "killed before"
	killAfter  = "killed after"
	refuses    = "refuses"    // the service says no to all of it, by the status of a desktop
	forbids    = "forbids"    // the credentials may not
	leavesOut  = "leaves out" // a desktop is missing from the answer
	denies     = "denies"     // a desktop is refused with a code of its own
	answers    = "answers"    // with a status and a code that may mean anything
	forgets    = "is forgotten"
	twice      = "comes twice"
	vanishes   = "never comes"
)

// dice are chances that follow from a seed and a name alone, so that one thing
// that is taken out of a schedule changes nothing for the others.
type dice uint64

func newDice(seed uint64, name string, n int) dice {
	h := uint64(0xCBF29CE484222325) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001B3
	}
	return dice(h ^ seed*0x9E3779B97F4A7C15 ^ uint64(n)*0xD1B54A32D192ED03)
}

func (d *dice) next() uint64 {
	*d += 0x9E3779B97F4A7C15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// n returns a number from 0 up to n.
func (d *dice) n(n int) int { return int(d.next() % uint64(max(n, 1))) }

func (d *dice) one(in int) bool { return d.n(in) == 0 }

func (d *dice) between(lo, hi span) span {
	if hi <= lo {
		return lo
	}
	return lo + span(d.next()%uint64(hi-lo))
}

func pick[T any](d *dice, list ...T) T { return list[d.n(len(list))] }

func (s strike) String() string {
	text := fmt.Sprintf("%s (%d.) %s", s.At, s.N, s.What)
	if s.For > 0 {
		text += " for " + s.For.String()
	}
	return text
}
