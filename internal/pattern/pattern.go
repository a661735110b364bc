// Package pattern says what the ids and names are that regild takes: one pattern for
// each, to which events, settings, fleets.yaml, the adapters and the command hold
// them. events/schema says the same to other programs. A pattern is wider than what
// the services hand out today, and narrow enough that an id can stand in a log line,
// an object's key, a host name or a URL. Whether there is such a thing, only its
// service knows.
package pattern

import (
	"regexp"
	"sync"
)

// A Pattern is what a text must look like.
type Pattern struct {
	Regexp string
	Most   int // bytes; 0: as many as Regexp takes

	compiled func() *regexp.Regexp
}

// New returns a pattern of at most that many bytes, unless most is 0.
func New(expression string, most int) *Pattern {
	return &Pattern{expression, most, Lazily(expression)}
}

// Lazily compiles an expression when it is first used. Compiling them all would be a
// tenth of the time that the function takes to start, and most invocations need few.
func Lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// Matches says whether s has the pattern.
func (p *Pattern) Matches(s string) bool {
	return (p.Most == 0 || len(s) <= p.Most) && p.compiled().MatchString(s)
}

// The patterns.
var (
	Desktop = New(`^ecd-[0-9a-zA-Z]{4,60}$`, 0)
	Image   = New(`^(m|desktopimage)-[0-9a-zA-Z][0-9a-zA-Z._-]{0,100}$`, 0)
	Region  = New(`^[a-z]{2}-[a-z]+(-[a-z0-9]+)*$`, 40) // the longest today has 20
	Account = New(`^[0-9]{1,32}$`, 0)
	// Queue is the name of a queue or topic. Source: MNS, "Limits". Its length stands
	// apart, since an expression that counts to 120 takes long to compile.
	Queue = New(`^[A-Za-z0-9][A-Za-z0-9-]*$`, 120)

	Release = New(`^[0-9a-zA-Z][0-9a-zA-Z._+-]{0,127}$`, 0)
	Fleet   = New(`^[0-9a-z][0-9a-z-]{0,62}$`, 0)
	Rollout = New(`^[0-9a-zA-Z][0-9a-zA-Z._+-]{0,127}/[0-9a-z][0-9a-z-]{0,62}(/rollback)?$`, 0)
)
