package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A Notice is what the journal knows of telling the people at a desktop that it
// is to be rebuilt.
type Notice struct {
	Call   string    // in which they were told last
	At     time.Time // when that was announced
	Sent   time.Time // when the call ended; zero: its end is not written down
	Invoke string    // what to ask for its result; "" when the call was not made
	Why    string    // why it was not made
	Due    time.Time // the time that was named
	Told   time.Time // when the first telling was seen to have run; zero: it was not
	Untold time.Time // since when they could not be told
}

// A Notification is one text to show on desktops.
type Notification struct {
	Desktops []string
	Text     string
	User     string    // in whose session; "": in all
	Due      time.Time // the time that the text names
	Again    bool      // a reminder
	Last     bool      // that not now is not heeded any more
}

// What the number of a telling says.
const (
	tellsFirst    = 1
	tellsReminder = 2
	tellsLast     = 3
)

// N returns the number that says of which sort the telling is.
func (t Notification) N() int {
	switch {
	case t.Last:
		return tellsLast
	case t.Again:
		return tellsReminder
	}
	return tellsFirst
}

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
	// rebuilt by that notice, if its window does not end before: then people are
	// told again.
	noticeHolds = 24 * time.Hour
	// tellAgain is after how long people are told again who could not be told.
	tellAgain = 30 * time.Minute
	// remindAgain is after how long a desktop is looked at again whose users are to
	// be reminded, and which is not Running.
	remindAgain = 5 * time.Minute
	// untoldLimit is how long to try where the fleet has no sessions.deadline.
	untoldLimit = 24 * time.Hour
)

// noticed says whether the people at the desktop were told, and long enough ago.
// Otherwise it sees to that. A desktop that is Stopped, and at which nobody was
// told anything, needs no notice: nobody is there. Whoever starts it before its
// rebuild begins is told like anybody else.
func (d *decider) noticed(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) bool {
	if s == nil || s.Notice.Lead == 0 {
		return true
	}
	n, now := x.Notice, fact.Value
	switch {
	case n != nil && !n.Told.IsZero() && (x.Held || x.Stopped || !d.expired(n, s)):
		return d.lead(x, fact, s)
	case now.Status == desktop.Stopped && n != nil && !d.now.due(n.Due): // they may have been told of that time
		d.postponeUntil(x, events.CodeNoticeGiven, "its users may have been told of that time", n.Due)
		return false
	case now.Status == desktop.Stopped:
		return true
	case now.OS == desktop.Linux:
		return d.untold(x, fact, s, "ECD runs commands on Windows only, and nothing else is confirmed to reach the people at a Linux desktop")
	case n == nil, !n.Told.IsZero():
		d.tell(x, fact, s, d.named(s), false)
	case n.Sent.IsZero() && !d.now.due(n.At.Add(lease)): // perhaps another instance is at it
		d.open++
		d.again(n.At.Add(lease))
	case n.Sent.IsZero(): // nobody knows whether they were told
		d.tell(x, fact, s, d.named(s), false)
	case n.Invoke == "":
		return d.untold(x, fact, s, n.Why)
	default:
		return d.shown(x, fact, s)
	}
	return false
}

// named returns the time that a notice names which goes out now: lead from now,
// later for those for whom there is no room then, and never outside the windows
// of a rollout.
func (d *decider) named(s *fleet.Strategy) time.Time {
	t := d.now.in(s.Notice.Lead + noticeTakes + time.Minute - 1).Truncate(time.Minute)
	f := d.fleet()
	if d.s.Operation.Request() || f == nil {
		return t
	}
	if d.told < 0 {
		d.told = 0
		for _, x := range d.s.Desktops {
			if x.Phase == Pending && x.Notice != nil && !d.expired(x.Notice, s) {
				d.told++
			}
		}
	}
	turn := d.told / s.AtOnce(d.s.Size)
	d.told++
	return opens(f, t.Add(time.Duration(turn)*s.Expected))
}

// expired says whether a notice is too old to rebuild anybody by: the window in
// which the time lay that it named is over, or that was a day ago.
func (d *decider) expired(n *Notice, s *fleet.Strategy) bool {
	limit := n.Due.Add(noticeHolds)
	if !d.s.Operation.Request() {
		if open, until := s.Open(n.Due); open && !until.IsZero() {
			limit = earlier(limit, until)
		}
	}
	return d.now.due(limit)
}

// tell has a text shown on the desktop. Those that are told the same are told in
// one call; in the session of their user if all have the same one, and nobody
// else.
func (d *decider) tell(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy, due time.Time, again bool) {
	d.open++
	d.again(d.now.in(30 * time.Second))
	w := d.s.Operation
	said := fleet.Said{Desktop: x.ID, Fleet: w.Fleet, Image: w.ImageName, Release: w.ReleaseID, At: due, Minutes: int(due.Sub(d.now.t).Minutes())}
	if said.Image == "" {
		said.Image = w.SpecOf(x.ID).ImageID
	}
	if f, in := d.r.Fleets.Of(*fact.Value); said.Fleet == "" && in {
		said.Fleet = f.Name
	}
	if said.Release == "" {
		said.Release = w.ID
	}
	text, user := s.Say(said), ""
	if users := fact.Value.Users; len(users) == 1 && (x.Notice == nil || x.Notice.Untold.IsZero()) {
		user = users[0]
	}
	i := slices.IndexFunc(d.out.Tell, func(t Notification) bool {
		return t.Text == text && t.Due.Equal(due) && t.Again == again && !t.Last && len(t.Desktops) < maxTold
	})
	if i < 0 {
		i, d.out.Tell = len(d.out.Tell), append(d.out.Tell, Notification{Text: text, User: user, Due: due, Again: again})
	}
	t := &d.out.Tell[i]
	t.Desktops = append(t.Desktops, x.ID)
	if t.User != user {
		t.User = ""
	}
}

// maxTold is how many desktops are told in one call. Source: RunCommand,
// "DesktopId".
const maxTold = 50

// shown looks at the result of the command that was to show the first notice.
func (d *decider) shown(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) bool {
	n := x.Notice
	results, ok := find(d, d.f.Checks, n.Invoke, &d.out.Need.Checks, n.Sent.Add(resultTakes))
	if !ok {
		return false
	}
	got, there := results.Value[x.ID]
	switch {
	case there && got.Done && got.Status == "Success" && got.ExitCode == 0:
		d.mark(KindNotified, x, results.ReadAt)
		begins := later(n.Due, results.ReadAt.Add(s.Notice.Lead))
		d.postponeUntil(x, events.CodeNoticeGiven, fmt.Sprintf("its users were told that it is rebuilt from %s on", begins.UTC().Format(time.RFC3339)), begins)
		return false
	case there && got.Done:
		return d.untold(x, fact, s, fmt.Sprintf("the command that shows it ended with %s and exit code %d: %s", got.Status, got.ExitCode, got.Output))
	case results.Since(n.Sent) >= noticeLimit:
		return d.untold(x, fact, s, fmt.Sprintf("the command that shows it is not known to have ended after %s", noticeLimit))
	}
	d.open++
	d.again(d.now.in(30 * time.Second))
	return false
}

// untold keeps a desktop waiting whose people could not be told: for as long as
// the fleet waits for them, and then it is skipped, or rebuilt all the same, as
// the fleet says.
func (d *decider) untold(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy, why string) bool {
	limit, after := untoldLimit, fleet.Skip
	if s.Sessions.Policy == fleet.Wait {
		limit, after = s.Sessions.Deadline, s.Sessions.After
	}
	n, since := x.Notice, fact.ReadAt
	if n != nil && !n.Untold.IsZero() {
		since = n.Untold
	} else {
		d.mark(KindUnnotified, x, fact.ReadAt)
	}
	then := "skipped"
	if after == fleet.Force {
		then = "rebuilt all the same"
	}
	switch over := fact.Since(since) >= limit; {
	case over && after == fleet.Force:
		return true
	case over:
		d.settle(x, events.StatusSkipped, events.CodeNoticeNotGiven, fmt.Sprintf("nobody at desktop %s could be told for %s: %s", x.ID, limit, why))
	case n != nil && n.Call != "" && fact.Value.OS != desktop.Linux && fact.Since(n.At) >= tellAgain:
		d.tell(x, fact, s, d.named(s), false)
	default:
		d.postpone(x, events.CodeNoticeNotGiven, fmt.Sprintf("nobody at desktop %s could be told; if that stays so for %s, it is %s: %s", x.ID, limit, then, why))
	}
	return false
}

// lead waits until the time that people were told, and reminds them.
func (d *decider) lead(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) bool {
	n := x.Notice
	begins := later(n.Due, n.Told.Add(s.Notice.Lead))
	if d.now.due(begins) {
		return true
	}
	switch next := n.reminder(s); {
	case next.IsZero():
	case !d.now.due(next):
		d.again(next)
	case fact.Value.Status == desktop.Running:
		d.tell(x, fact, s, n.Due, true)
		return false
	default: // whoever starts it before its time is reminded then
		d.again(d.now.in(remindAgain))
	}
	d.postponeUntil(x, events.CodeNoticeGiven, fmt.Sprintf("its users were told that it is rebuilt from %s on", begins.UTC().Format(time.RFC3339)), begins)
	return false
}

// reminder returns when people are to be told again, or zero. What was missed is
// not made up for by more than one.
func (n *Notice) reminder(s *fleet.Strategy) time.Time {
	next := zero
	for _, before := range s.Notice.Remind {
		if at := n.Due.Add(-before); at.After(n.At) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// remind tells people again who wait for their turn: also while there is no room
// for anybody, or the window is closed.
func (d *decider) remind(x *Desktop, s *fleet.Strategy) {
	n := x.Notice
	if n == nil || n.Told.IsZero() || d.now.due(n.Due) {
		return
	}
	next := n.reminder(s)
	if next.IsZero() {
		return
	}
	if !d.now.due(next) {
		d.again(next)
		return
	}
	fact, ok := find(d, d.f.Desktops, x.ID, &d.out.Need.Desktops, x.eventful())
	if ok && fact.Value != nil && fact.Value.Status == desktop.Running && fact.Value.OS != desktop.Linux {
		d.tell(x, fact, s, n.Due, true)
	}
}

// rests returns until when a desktop that waits need not be looked at: not past
// the next reminder of those that its fleet may send.
func (d *decider) rests(x *Desktop) time.Time {
	n := x.Notice
	if x.WaitCode != events.CodeNoticeGiven || n == nil || n.Told.IsZero() {
		return x.Again
	}
	until := x.Again
	for i := range d.r.Fleets {
		if next := n.reminder(&d.r.Fleets[i].Strategy); !next.IsZero() {
			until = earlier(until, next)
		}
	}
	return until
}

// postponeUntil leaves a desktop for later, when that is known.
func (d *decider) postponeUntil(x *Desktop, code, message string, until time.Time) {
	d.open++
	if x.WaitCode != code || !x.Again.Equal(until) {
		d.group(x, groupKey{Result: Result{events.StatusDeferred, code, message}, until: until, at: d.now.t})
	}
	d.again(until)
}

// notice folds what was told, or could not be.
func (d *Desktop) notice(r *Record) {
	if r.Kind == KindNotifying && r.N == tellsLast {
		d.ask(r)
		return
	}
	if r.Kind == KindSent && d.Ask != nil && d.Ask.Final == r.Call {
		d.Ask.Told = r.At
		return
	}
	if d.Notice == nil {
		d.Notice = &Notice{}
	}
	n := d.Notice
	switch r.Kind {
	case KindNotifying:
		if n.Call, n.At, n.Due = r.Call, r.At, r.Until; r.N == tellsReminder {
			return // a reminder
		}
		if !n.Told.IsZero() {
			n.Untold = zero
		}
		n.Sent, n.Invoke, n.Why, n.Told = zero, "", "", zero
	case KindSent:
		if n.Call == r.Call {
			n.Sent, n.Invoke, n.Why = r.At, r.Invoke, ""
			if r.Reason != nil {
				n.Why = r.Reason.Message
			}
		}
	case KindNotified:
		n.Told, n.Untold = r.At, zero
	case KindUnnotified:
		if n.Untold.IsZero() {
			n.Untold = r.At
		}
	}
}

// notice tells what people at the desktop were told.
func (c *compaction) notice(d *Desktop) {
	n, id := d.Notice, []string{d.ID}
	if n == nil {
		return
	}
	if n.Call != "" {
		c.add(stepFinal, Record{Kind: KindNotifying, At: n.At, Call: n.Call, Until: n.Due, N: tellsFirst, Desktops: id})
	}
	if !n.Sent.IsZero() {
		c.add(stepFinal, Record{Kind: KindSent, At: n.Sent, Call: n.Call, Invoke: n.Invoke, Desktops: id})
	}
	if !n.Told.IsZero() {
		c.add(stepFinal, Record{Kind: KindNotified, At: n.Told, Desktops: id})
	}
	if !n.Untold.IsZero() {
		c.add(stepFinal, Record{Kind: KindUnnotified, At: n.Untold, Desktops: id})
	}
}

// foretold says in a plan who is told before, and when.
func foretold(now *desktop.Desktop, s *fleet.Strategy) string {
	switch {
	case s == nil || s.Notice.Lead == 0 || now == nil:
		return ""
	case now.OS == desktop.Linux:
		return "its users are to be told before, and cannot be: ECD runs commands on Windows only"
	case now.Status == desktop.Stopped:
		return fmt.Sprintf("its users are told %s before if it runs by then", s.Notice.Lead)
	}
	return fmt.Sprintf("its users are told %s before", s.Notice.Lead)
}
