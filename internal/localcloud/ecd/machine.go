package ecd

import (
	"cmp"
	"slices"
	"time"
)

// How long things take in cloud time when the state does not say. The vendor
// publishes no figures; six minutes for a rebuild is what users report.
const (
	defaultRebuild = 6 * time.Minute
	defaultCommand = 5 * time.Second
	// A snapshot's time grows with the disk; the vendor names minutes.
	defaultSnapshot = 2 * time.Minute
	stopTakes       = 30 * time.Second
	startTakes      = time.Minute
)

// settled says what a passing status comes to.
var settled = map[string]string{Starting: Running, Pending: Running, Rebuilding: Running, Stopping: Stopped}

// An entry is a desktop and what is under way on it. Nothing runs on a timer:
// whoever looks at an entry settles it first, and then it is as the clock says.
type entry struct {
	Desktop
	position int // in every list, for paging that survives removals

	start           time.Time // of the service
	job             *job
	leaves, returns time.Time // zero: not, or not again
	declared        [2]time.Duration
	logons          []Logon // that are still to come
	planned         []Logon // as declared
	past            []ended // sessions
	events          []clientEvent
	saves           int // snapshots that were made by call

	before     *Desktop // what DescribeDesktops still shows, up to beforeEnds
	beforeEnds time.Time
}

// A job changes a desktop when it ends.
type job struct {
	ends time.Time // zero: never
	end  func(at time.Time)
}

// schedule reads the offsets of the desktop, if they changed.
func (e *entry) schedule(start time.Time) {
	if now := [2]time.Duration{e.Leaves, e.Returns}; now != e.declared {
		e.declared = now
		e.leaves, e.returns = after(start, e.Leaves), after(start, e.Returns)
	}
	if !slices.Equal(e.Logons, e.planned) {
		e.planned = slices.Clone(e.Logons)
		e.logons = slices.Clone(e.Logons)
		slices.SortStableFunc(e.logons, func(a, b Logon) int { return cmp.Compare(a.At, b.At) })
	}
	e.start = start
}

// rest fixes since when the sessions are idle that are declared to be.
func (e *entry) rest(now time.Time) {
	for i := range e.Sessions {
		if s := &e.Sessions[i]; s.Idle > 0 && s.IdleSince.IsZero() {
			s.IdleSince = now.Add(-s.Idle)
		}
	}
}

func after(start time.Time, d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return start.Add(d)
}

// settle lets everything happen that is due by now, in its order.
func (e *entry) settle(now time.Time) {
	if e.job == nil && e.leaves.IsZero() && e.returns.IsZero() && len(e.logons) == 0 {
		return // as nearly always, in fleets of 100,000
	}
	for {
		at, what := e.next()
		if what == nil || at.After(now) {
			return
		}
		what(at)
	}
}

// next returns what happens next and when, or nil.
func (e *entry) next() (at time.Time, what func(time.Time)) {
	consider := func(t time.Time, f func(time.Time)) {
		if !t.IsZero() && (what == nil || t.Before(at)) {
			at, what = t, f
		}
	}
	if e.job != nil {
		consider(e.job.ends, e.finish)
	}
	consider(e.leaves, e.leave)
	consider(e.returns, e.comeBack)
	if len(e.logons) > 0 {
		consider(e.start.Add(e.logons[0].At), e.logOn)
	}
	return at, what
}

func (e *entry) finish(at time.Time) {
	done := e.job
	e.job = nil
	done.end(at)
}

func (e *entry) leave(at time.Time) {
	e.leaves = time.Time{}
	e.endSessions(at)
}

func (e *entry) logOn(at time.Time) {
	l := e.logons[0]
	e.logons = e.logons[1:]
	e.try(l, at)
}

// try has a user try to connect, and says whether they are in.
func (e *entry) try(l Logon, at time.Time) bool {
	if l.Fails == failsTicket || e.Status != Running || e.Maintenance {
		e.event(eventTicket, l.User, at, "FailedToGetConnectionTicket")
		return false
	}
	e.event(eventTicket, l.User, at, "200")
	if l.Fails == failsConnect {
		return false
	}
	if e.connect(l.User, at); l.Stays > 0 {
		e.leaves = at.Add(l.Stays)
	}
	return true
}

func (e *entry) comeBack(at time.Time) {
	e.returns = time.Time{}
	user := "somebody"
	if len(e.EndUsers) > 0 {
		user = e.EndUsers[0]
	}
	e.try(Logon{User: user}, at)
}

func (e *entry) endSessions(at time.Time) {
	for _, s := range e.Sessions {
		e.past = append(e.past, ended{s, at})
		if !s.Disconnected {
			e.event(eventDisconnect, s.User, at, "200")
		}
	}
	e.Sessions = nil
	e.Connection = Disconnected
}

// connect has a user connect, unless the desktop is not running or in
// maintenance. Source: SetDesktopMaintenance.
func (e *entry) connect(user string, at time.Time) bool {
	if e.Status != Running || e.Maintenance {
		return false
	}
	i := slices.IndexFunc(e.Sessions, func(s Session) bool { return s.User == user })
	if i < 0 {
		e.Sessions = append(e.Sessions, Session{User: user, Since: at})
	} else {
		e.Sessions[i].Disconnected, e.Sessions[i].Idle, e.Sessions[i].IdleSince = false, 0, time.Time{}
	}
	e.event(eventConnect, user, at, "")
	e.Connection = Connected
	return true
}

// passing is the end of a passing status that the state declared.
func passing(e *entry, start time.Time) *job {
	return &job{ends: after(start, e.Settles), end: func(time.Time) {
		if next, ok := settled[e.Status]; ok {
			e.Status = next
		}
	}}
}

// power takes the desktop through a passing status to a lasting one.
func (e *entry) power(by, to string, now time.Time, takes time.Duration) {
	e.Status = by
	e.job = &job{ends: now.Add(takes), end: func(at time.Time) {
		e.Status = to
		if to == Running {
			e.Started = at
		}
	}}
}

// A rebuild is one accepted rebuild of one desktop.
type rebuild struct {
	image       *picture // nil: reset to the image it has
	operateType string
	afterStatus string
	flipEarly   bool
	lag         time.Duration
}

// rebuild starts r on the desktop.
func (e *entry) rebuild(r rebuild, now time.Time) {
	if r.lag > 0 {
		shown := e.clone()
		e.before, e.beforeEnds = &shown, now.Add(r.lag)
	}
	old := e.clone()
	e.Status = Rebuilding
	e.endSessions(now)
	record := len(e.Records)
	to := old.ImageID
	if r.image != nil {
		to = r.image.ID
	}
	e.Records = append(e.Records, Record{ImageID: old.ImageID, NewImageID: to, Updated: now})
	if r.flipEarly {
		e.ImageID = to
	}
	e.job = &job{end: func(at time.Time) { e.rebuilt(r, old, record, at) }}
	if !e.Sticks {
		e.job.ends = now.Add(e.RebuildTakes)
	}
}

// rebuilt ends a rebuild, well or badly.
func (e *entry) rebuilt(r rebuild, old Desktop, record int, at time.Time) {
	status, reason := 1, ""
	if e.EndsAs == fails {
		status, reason = 2, e.Reason
		or(&reason, "The image cannot be applied to the cloud computer.")
		e.Status, e.ImageID = old.Status, old.ImageID
	} else {
		e.Status = r.afterStatus
		if r.image != nil {
			e.ImageID, e.OS, e.Platform = r.image.ID, r.image.OS, r.image.Platform
		}
		if e.Status == Running {
			e.Started = at
		}
	}
	if record < len(e.Records) { // somebody may have cut the records by hand
		e.Records[record].Status, e.Records[record].Reason, e.Records[record].Updated = status, reason, at
	}
}

// shown is the desktop as DescribeDesktops shows it.
func (e *entry) shown(now time.Time) *Desktop {
	if e.before != nil {
		if now.Before(e.beforeEnds) {
			return e.before
		}
		e.before = nil
	}
	return &e.Desktop
}

// A picture is an image and when it will be ready.
type picture struct {
	Image
	position int
	ready    time.Time
	declared time.Duration
}

func (p *picture) schedule(start time.Time) {
	if p.ReadyAfter != p.declared {
		p.declared = p.ReadyAfter
		p.ready = after(start, p.ReadyAfter)
	}
}

func (p *picture) settle(now time.Time) {
	if p.ready.IsZero() || p.ready.After(now) {
		return
	}
	p.ready = time.Time{}
	if p.Status != Creating {
		return
	}
	p.Status = Available
	if p.EndsAs == fails {
		p.Status = CreateFailed
	}
}

// in says whether the image can be used in a region.
func (p *picture) in(region string) bool { return p.RegionID == "" || p.RegionID == region }
