package fleet

import (
	"slices"

	"github.com/regild/regild/internal/pattern"
)

// From says through which doors, and from which sources, a fleet hears what. The
// zero value hears everybody.
type From struct {
	Request Gate // requests that name its desktops
	Release Gate // releases, and events of new images
	Control Gate // what its rollouts are told
}

// A Gate lets some messages through. The zero value lets all of them through.
type Gate struct {
	// Doors are those of events.Via: queues/NAME, topics/NAME, events, unknown.
	// The platform says them. None: any.
	Doors []string
	// Sources are those of the CloudEvent, compared exactly. The sender writes
	// them, so they keep apart who means well; doors keep out who does not. None:
	// any. A bare message has the source "", and so passes only where none is
	// named.
	Sources []string
}

// Admits says whether a message through the door from the source passes.
func (g Gate) Admits(door, source string) bool {
	return (len(g.Doors) == 0 || slices.Contains(g.Doors, door)) &&
		(len(g.Sources) == 0 || slices.Contains(g.Sources, source))
}

// HearsConsent says whether the consents of a message through the door count for
// the fleet.
func (f Fleet) HearsConsent(door string) bool {
	return len(f.ConsentFrom) == 0 || slices.Contains(f.ConsentFrom, door)
}

// Apart says whether any of the fleets tells doors or sources apart.
func (fs Fleets) Apart() bool {
	return slices.ContainsFunc(fs, func(f Fleet) bool {
		return len(f.ConsentFrom) > 0 || slices.ContainsFunc([]Gate{f.From.Request, f.From.Release, f.From.Control},
			func(g Gate) bool { return len(g.Doors)+len(g.Sources) > 0 })
	})
}

// Named returns the fleet of that name.
func (fs Fleets) Named(name string) (Fleet, bool) {
	for _, f := range fs {
		if f.Name == name {
			return f, true
		}
	}
	return Fleet{}, false
}

// from reads who may say what about a fleet.
func (r *reader) from(v value) From {
	var f From
	r.object(v, fields{
		"request": func(v value) { f.Request = r.gate(v) },
		"release": func(v value) { f.Release = r.gate(v) },
		"control": func(v value) { f.Control = r.gate(v) },
	})
	return f
}

func (r *reader) gate(v value) Gate {
	var g Gate
	r.object(v, fields{
		"doors":   func(v value) { g.Doors = r.texts(v, MaxDoors, doorForm) },
		"sources": func(v value) { g.Sources = r.texts(v, MaxDoors, sourceForm) },
	})
	return g
}

var (
	doorForm = form{pattern.New(`^((queues|topics)/[A-Za-z0-9][A-Za-z0-9-]{0,119}|events|unknown)$`, 0),
		"must be a door: queues/ and the name of a queue, topics/ and the name of a topic, events or unknown"}
	sourceForm = form{pattern.New(`^[\x21-\x7e]{1,256}$`, 0), "must be a CloudEvent's source: 1 to 256 printable ASCII characters without blanks"}
)
