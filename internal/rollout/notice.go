package rollout

import (
	"fmt"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A Notice is what the journal knows of telling the users of a desktop that it is to
// be rebuilt.
type Notice struct {
	Call             // the last that told them
	Due    time.Time // the time that the notice names
	Shown  time.Time // when the first notice was seen to have been shown; zero: it was not
	Unable time.Time // since when they cannot be told
}

// The sorts of notice, as records number them.
const (
	firstNotice = 1
	reminder    = 2
	lastNotice  = 3
)

// Limits of notices.
const (
	// noticeTakes is how much later than lead the time is that is named, so that
	// the command's result is known by then.
	noticeTakes = 2 * time.Minute
	// resultTakes is how long after a command was sent its result is first asked
	// for: it takes some seconds.
	resultTakes = 15 * time.Second
	// noticeLimit is how long the command that shows a notice may take to end.
	noticeLimit = 5 * time.Minute
	// noticeHolds is how long after the time that was named a desktop is still
	// rebuilt by that notice, if its window does not end before. After that its users
	// are told again.
	noticeHolds = 24 * time.Hour
	// tellAgain is after how long it is tried again to tell users who could not be told.
	tellAgain = 30 * time.Minute
	// remindAgain is after how long a desktop is looked at again whose users are to
	// be reminded, and which is not Running.
	remindAgain = 5 * time.Minute
	// untoldLimit is how long to try where the fleet has no sessions.deadline.
	untoldLimit = 24 * time.Hour
)

// A notification is a notice on one desktop, before it is known which desktops share
// its call and which time it names.
type notification struct {
	candidate
	n   int       // which sort it is
	due time.Time // the time to name; zero: the next at which there is a place
}

// notify tells the users of a desktop.
func (v *view) notify(n notification) step {
	s := v.soon()
	s.notify = &n
	return s
}

// noticed lets a desktop go on whose users were told, and long enough ago. Else they
// are told. A Stopped desktop whose users were told nothing needs no notice: it has no
// user now. If it is started before its rebuild begins, its users are told as well.
func (v *view) noticed(c candidate) (step, bool) {
	if c.strategy == nil || c.strategy.Notice.Lead == 0 {
		return step{}, false
	}
	n := c.Notice
	switch {
	case n != nil && !n.Shown.IsZero() && (c.ours() || !v.expired(n, c.strategy)):
		return v.lead(c)
	case c.now.Status == desktop.Stopped && n != nil && !v.now.due(n.Due): // they may have been told of that time
		return v.postponeUntil(c.Desktop, events.CodeNoticeGiven, n.Due, "its users may have been told of that time"), true
	case c.now.Status == desktop.Stopped:
		return step{}, false
	case c.now.OS == desktop.Linux:
		return v.cannotTell(c, "ECD runs commands on Windows only, and nothing else is confirmed to reach the people at a Linux desktop")
	case n == nil, !n.Shown.IsZero():
		return v.notify(notification{candidate: c, n: firstNotice}), true
	case !v.now.due(n.over()): // another instance may be doing it
		return unfinished(n.over()), true
	case n.End.IsZero(): // it is not known whether they were told
		return v.notify(notification{candidate: c, n: firstNotice}), true
	case n.Got == "":
		return v.cannotTell(c, n.Why)
	}
	return v.shown(c)
}

// named returns the time that a notice names which goes out now: lead from now,
// later for desktops for which there is no place then, and never outside the windows
// of a rollout.
func (t *total) named(s *fleet.Strategy) time.Time {
	v := t.v
	due := v.now.in(s.Notice.Lead + noticeTakes + time.Minute - 1).Truncate(time.Minute)
	f := v.fleet()
	if f == nil { // of a request, or gone
		return due
	}
	if t.notices < 0 {
		t.notices = 0
		for _, x := range v.s.Desktops {
			if x.Phase == Pending && x.Notice != nil && !v.expired(x.Notice, s) {
				t.notices++
			}
		}
	}
	turn := t.notices / s.AtOnce(v.s.Size)
	t.notices++
	return v.opens(f, due.Add(time.Duration(turn)*s.Expected))
}

// expired says whether a notice is too old to rebuild anybody by: the window in
// which the time lay that it named is over, or that was a day ago.
func (v *view) expired(n *Notice, s *fleet.Strategy) bool {
	limit := n.Due.Add(noticeHolds)
	if !v.s.Operation.Request() {
		if open, until := s.Open(n.Due); open && !until.IsZero() {
			limit = earlier(limit, until)
		}
	}
	return v.now.due(limit)
}

// notice has a text shown on the desktop, in the session of its user if that is the only
// one.
func (t *total) notice(x *Desktop, n *notification) Act {
	a := Act{What: Tell, N: n.n, Due: n.due, Text: lastNoticeText}
	if n.n == lastNotice {
		return a
	}
	if a.Due.IsZero() {
		a.Due = t.named(n.strategy)
	}
	a.Text = t.v.text(n.candidate, a.Due)
	if users := n.now.Users; len(users) == 1 && (x.Notice == nil || x.Notice.Unable.IsZero()) {
		a.User = users[0]
	}
	return a
}

// text returns what the users of a desktop are told.
func (v *view) text(c candidate, due time.Time) string {
	op := v.s.Operation
	said := fleet.Said{Desktop: c.ID, Image: op.ImageName, Release: op.ReleaseID, At: due, Minutes: int(due.Sub(v.now.t).Minutes())}
	if said.Image == "" {
		said.Image = op.SpecOf(c.ID).ImageID
	}
	if f := v.fleetOf(*c.now); f != nil {
		said.Fleet = f.Name
	}
	if said.Release == "" {
		said.Release = op.ID
	}
	return c.strategy.Say(said)
}

// shown looks at the result of the command that was to show the first notice.
func (v *view) shown(c candidate) (step, bool) {
	n := c.Notice
	results, s, ok := find(v, ofChecks, n.Got, n.End.Add(resultTakes))
	if !ok {
		return s, true
	}
	got := results.Value[c.ID]
	switch {
	case passed(got):
		return marks(KindNotified, results.ReadAt).with(v.awaitDue(c, Later(n.Due, results.ReadAt.Add(c.strategy.Notice.Lead)))), true
	case got.Done:
		return v.cannotTell(c, fmt.Sprintf("the command that shows it ended with %s and exit code %d: %s", got.Status, got.ExitCode, got.Output))
	case results.Since(n.End) >= noticeLimit:
		return v.cannotTell(c, fmt.Sprintf("the command that shows it is not known to have ended after %s", noticeLimit))
	}
	return v.soon(), true
}

// awaitDue leaves a desktop until the time that its users were told.
func (v *view) awaitDue(c candidate, begins time.Time) step {
	return v.postponeUntil(c.Desktop, events.CodeNoticeGiven, begins, "its users were told that it is rebuilt from %s on", begins.UTC().Format(time.RFC3339))
}

// untoldFor is for how long a desktop waits whose users cannot be told, and what
// comes then.
func untoldFor(s *fleet.Strategy) (limit time.Duration, then fleet.Policy) {
	if s.Sessions.Policy == fleet.Wait {
		return s.Sessions.Deadline, s.Sessions.After
	}
	return untoldLimit, fleet.Skip
}

// cannotTell keeps a desktop waiting whose users could not be told, for as long as
// the fleet waits for them. Then it is skipped or rebuilt, as the fleet says, but not
// before the time that the last notice named: some of them may have seen it.
func (v *view) cannotTell(c candidate, why string) (s step, done bool) {
	limit, after := untoldFor(c.strategy)
	n, since := c.Notice, c.fact.ReadAt
	if n != nil && !n.Unable.IsZero() {
		since = n.Unable
	} else {
		s = marks(KindUnnotified, c.fact.ReadAt)
	}
	then := "skipped"
	if after == fleet.Force {
		then = "rebuilt all the same"
	}
	switch over := c.fact.Since(since) >= limit; {
	case over && after == fleet.Force && n != nil && !v.now.due(n.Due):
		return s.with(v.postponeUntil(c.Desktop, events.CodeNoticeGiven, n.Due, "its users may have been told of that time")), true
	case over && after == fleet.Force:
		return s, false
	case over:
		return s.with(v.settle(events.StatusSkipped, events.CodeNoticeNotGiven, "nobody at desktop %s could be told for %s: %s", c.ID, limit, why)), true
	case n != nil && n.CallID != "" && c.now.OS != desktop.Linux && c.fact.Since(n.At) >= tellAgain:
		return s.with(v.notify(notification{candidate: c, n: firstNotice})), true
	}
	return s.with(v.postpone(c.Desktop, events.CodeNoticeNotGiven,
		"nobody at desktop %s could be told; if that stays so for %s, it is %s: %s", c.ID, limit, then, why)), true
}

// lead waits until the time that the notice named, and reminds the users.
func (v *view) lead(c candidate) (step, bool) {
	n := c.Notice
	begins := Later(n.Due, n.Shown.Add(c.strategy.Notice.Lead))
	if v.now.due(begins) {
		return step{}, false
	}
	next := n.reminder(c.strategy)
	switch {
	case v.now.due(n.Due): // nobody is reminded of a time that is over
		next = zero
	case next.IsZero() || !v.now.due(next):
	case c.now.Status == desktop.Running:
		return v.notify(notification{candidate: c, n: reminder, due: n.Due}), true
	default: // if it is started before its time, its users are reminded then
		next = v.now.in(remindAgain)
	}
	return look(next).with(v.awaitDue(c, begins)), true
}

// reminder returns when users are to be reminded, or zero. Of several that are due
// only one is sent.
func (n *Notice) reminder(s *fleet.Strategy) time.Time {
	next := zero
	for _, before := range s.Notice.Remind {
		if at := n.Due.Add(-before); at.After(n.At) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// remind tells users again whose desktop waits for its turn, also while there is no
// place for it or the window is closed.
func (v *view) remind(x *Desktop, strategy *fleet.Strategy) step {
	next := v.remindAt(x, strategy)
	if next.IsZero() || !v.now.due(next) {
		return look(next)
	}
	fact, s, ok := find(v, ofDesktops, x.ID, x.eventful())
	if ok && fact.Value != nil && fact.Value.Status == desktop.Running && fact.Value.OS != desktop.Linux {
		s = v.notify(notification{candidate: candidate{Desktop: x, fact: fact, now: fact.Value, strategy: strategy}, n: reminder, due: x.Notice.Due})
	}
	return s
}

// remindAt returns when the users of a desktop that waits for its turn are to be told again, or zero.
func (v *view) remindAt(x *Desktop, strategy *fleet.Strategy) time.Time {
	n := x.Notice
	if n == nil || n.Shown.IsZero() || v.now.due(n.Due) {
		return zero
	}
	return n.reminder(strategy)
}

// rests returns until when a desktop that waits need not be looked at: not past
// the next reminder of those that its fleet may send.
func (v *view) rests(x *Desktop) time.Time {
	n := x.Notice
	if x.WaitCode != events.CodeNoticeGiven || n == nil || n.Shown.IsZero() {
		return x.RestsUntil
	}
	until := x.RestsUntil
	for i := range v.r.Fleets {
		if next := n.reminder(&v.r.Fleets[i].Strategy); !next.IsZero() {
			until = earlier(until, next)
		}
	}
	return until
}

// notice folds what users were told, or that they could not be told.
func (d *Desktop) notice(r *Record) {
	if r.N == lastNotice {
		d.ask(r)
		return
	}
	if r.Kind == KindSent && d.Ask != nil && d.Ask.Last.ended(r) {
		d.Ask.lastEnded(r)
		return
	}
	if d.Notice == nil {
		d.Notice = &Notice{}
	}
	n := d.Notice
	switch r.Kind {
	case KindNotifying:
		if n.CallID, n.At, n.Due = r.Call, r.At, r.Until; r.N == reminder {
			return
		}
		n.Call, n.Shown = callOf(r), zero
	case KindSent:
		n.ended(r)
	case KindNotified:
		n.Shown, n.Unable = r.At, zero
	case KindUnnotified:
		first(&n.Unable, r.At)
	}
}

// notice writes what the users of the desktop were told.
func (c *compaction) notice(d *Desktop) {
	n := d.Notice
	if n == nil {
		return
	}
	c.call(d, n.Call, Record{Kind: KindNotifying, Until: n.Due, N: firstNotice})
	c.note(partFinal, d, KindNotified, n.Shown)
	c.note(partFinal, d, KindUnnotified, n.Unable)
}
