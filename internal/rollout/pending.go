package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/guard"
)

// A candidate is a pending desktop that was read.
type candidate struct {
	*Desktop
	fact     Fact[*desktop.Desktop]
	now      *desktop.Desktop // the fact's value, with its tags where fleets choose by tags
	strategy *fleet.Strategy  // of the desktop's fleet, or nil
	erases   bool             // the rebuild erases its data disk, which its fleet wants saved before
	doomed   bool             // and ECD deletes the disk's snapshots with it
	consents []string         // that count for it
}

// ours says whether we put it into maintenance mode or stopped it, and so have to
// restore it.
func (x *Desktop) ours() bool { return x.Held || x.Stopped }

// hasPlace says whether a pending desktop has one of the places at once already: it is
// ours to restore, or a snapshot of its data disk is being made.
func (v *view) hasPlace(x *Desktop) bool { return x.ours() || v.saving(x) }

// pending decides whether a desktop may be begun.
func (v *view) pending(x *Desktop) step {
	s, done := inOrder(x, v.scheduled, v.resting, v.missing, v.busy, v.reconciled, v.undone)
	if done {
		return s
	}
	q, c, more, ok := v.question(x)
	if s = s.with(more); !ok {
		return s
	}
	switch verdict := guard.Check(q); verdict.Answer {
	case guard.Go:
		return s.with(v.start(c))
	case guard.Wait:
		return s.with(v.waiting(c, verdict))
	case guard.Skip:
		return s.with(v.settle(events.StatusSkipped, verdict.Code, "%s", verdict.Message))
	default:
		return s.with(v.settle(events.StatusRefused, verdict.Code, "%s", verdict.Message))
	}
}

// resting leaves a desktop alone until it is to be looked at.
func (v *view) resting(x *Desktop) (step, bool) {
	until := v.rests(x)
	if v.now.due(until) {
		return step{}, false
	}
	return unfinished(until), true
}

// missing keeps a desktop waiting that is ours to restore and that ECD does not
// list, until it is gone.
func (v *view) missing(x *Desktop) (step, bool) {
	if !x.ours() {
		return step{}, false
	}
	fact, s, ok := v.read(x)
	if !ok {
		return s, true
	}
	s, gone := v.gone(x, fact)
	if gone || fact.Value != nil {
		return s, false
	}
	s.unfinished = true
	return s, true
}

// reconciled settles a pending desktop that is on its image already by an earlier
// call of ours, for which it failed, or of which ECD did not show in time that it
// was carried out: it is followed, and checked, like any other. So is one whose
// rebuild has failed and that is there all the same, once ECD does not show that by a lag.
func (v *view) reconciled(x *Desktop) (step, bool) {
	spec := v.s.Operation.SpecOf(x.ID)
	if !x.tried() || spec.Reset() {
		return step{}, false
	}
	fact, s, ok := v.read(x)
	if !ok {
		return s, true
	}
	if fact.Value == nil || fact.Value.ImageID != spec.ImageID {
		return v.seenElsewhere(x, fact.Value)
	}
	a, s, ok := v.answers(x, fact, !x.Touched || fact.Since(x.DoneAt.Time()) < Settling)
	if !ok {
		return s, true
	}
	shown, since := x.shown(spec.ImageID, a), x.BegunAt.Time()
	if shown.evidence == shownFailed {
		since = shown.change.Updated
	}
	switch {
	case shown.evidence == shownBegun, shown.evidence == shownDone:
	case a.at.Sub(since) < Settling:
		return s.with(v.lookLater(since)), true
	case shown.evidence == shownNothing:
		return s, false
	}
	s = v.accept(fact.ReadAt, "ECD shows the desktop on the image, to which an earlier call was to bring it")
	s.takesPlace = true // as whatever is accepted
	return s, true
}

// seenElsewhere settles a pending desktop that is not on its image, and was seen on another
// than its former one after its last call, which counts as not carried out: it may have been.
func (v *view) seenElsewhere(x *Desktop, now *desktop.Desktop) (step, bool) {
	if !x.Seen || now == nil || now.ImageID == "" {
		return step{}, false
	}
	return v.settle(events.StatusFailed, events.CodeOutcomeUnknown,
		"the answer to the call of %s was lost, and ECD showed the desktop on another image after it; it is not rebuilt again by itself; last seen %s",
		x.BegunAt.Time().Format(time.RFC3339), seen(now)), true
}

// question fills in all that the guards want to know, or asks for it: false says
// that the step is all that can be decided.
func (v *view) question(x *Desktop) (q guard.Question, c candidate, s step, ok bool) {
	q.Target = desktop.Target{ID: x.ID, Spec: v.s.Operation.SpecOf(x.ID)}
	q.Rules = guard.Rules{Journal: v.r.Journal, Consents: v.s.Operation.Consents, Held: x.Held}
	regions, declared := v.r.allowed(q.AccountID)
	q.Rules.Regions, q.Rules.Undeclared = regions, !declared
	c.Desktop = x
	if !v.r.Allows(q.Place()) {
		return q, c, step{}, true // refused without asking anybody
	}
	if c.fact, s, ok = v.read(x); !ok || c.fact.Value == nil {
		return q, c, s, ok
	}
	if c.now, s, ok = v.tagged(x, c.fact.Value); !ok {
		return q, c, s, false
	}
	q.Desktop = c.now
	c.strategy = v.fleetRules(x, &q, c.fact.ReadAt)
	wanted := q.ImageID
	if q.Reset() {
		wanted = q.Desktop.ImageID
	}
	image, s1, ok1 := v.image(x, wanted)
	current, s2, ok2 := v.image(x, q.Desktop.ImageID)
	q.Image, q.Current = image, current
	if c.consents = q.Rules.Consents; c.strategy != nil && c.strategy.Snapshot == fleet.SnapshotData {
		c.erases, c.doomed = erases(c.now, image, q.OperateType)
	}
	if s = s1.with(s2); !ok1 || !ok2 {
		return q, c, s, false
	}
	if s, ok = v.idle(c, &q); !ok {
		return q, c, s, false
	}
	q.Snapshots, s, ok = v.snapshots(x, q)
	return q, c, s, ok
}

// fleetRules adds what the desktop's fleet says of it, and returns its strategy; nil
// if it is in none.
func (v *view) fleetRules(x *Desktop, q *guard.Question, readAt time.Time) *fleet.Strategy {
	if !v.r.Declared {
		return nil
	}
	f := v.fleetOf(*q.Desktop)
	q.Rules.Outside = f == nil || v.s.Operation.Request() && !f.Requests
	if f == nil {
		return nil
	}
	if v.s.Operation.Request() {
		v.heard(f, q)
	} else {
		q.Rules.Command = f.Strategy.Check.Command != ""
		q.Rules.Consents = append(slices.Clone(q.Rules.Consents), v.consents(f)...)
	}
	q.Rules.Forgetful = !v.r.Journal && !v.r.SignedTicks && (f.Strategy.Maintenance || f.Strategy.StopFirst)
	q.Rules.Sessions = v.sessions(x, f.Strategy.Sessions, readAt)
	q.Rules.Keep = kept(f.Rebuild.KeepSnapshots)
	return &f.Strategy
}

// fleetOf returns the fleet of a desktop: for a rollout the one that it goes over, or
// nil if the desktop is not in that.
func (v *view) fleetOf(now desktop.Desktop) *fleet.Fleet {
	if !v.s.Operation.Request() {
		if v.member(now) {
			return v.fleet()
		}
		return nil
	}
	return v.s.Operation.FleetOf(v.r.Fleets, now)
}

// kept says which snapshots a fleet keeps. A word that this build does not know
// keeps all of them.
func kept(snapshots string) guard.Keep {
	switch snapshots {
	case "":
		return guard.KeepNone
	case fleet.KeepByHand:
		return guard.KeepByHand
	}
	return guard.KeepAll
}

// heard adds what follows from the door through which the request came. A request that
// names none is from an earlier build, and is trusted least.
func (v *view) heard(f *fleet.Fleet, q *guard.Question) {
	door, source := v.s.Operation.Came()
	what, gate, own := "requests", f.From.Request, []string(nil)
	if v.s.Operation.Undoes != "" { // a control message asked for it, and it consents to the older image by itself
		what, gate, own = "control messages", f.From.Control, []string{events.ConsentDowngrade}
	}
	if !gate.Admits(door, source) {
		q.Rules.Door = WrongDoor(f.Name, what, door, source, gate)
	}
	if len(q.Rules.Consents) > len(own) && !f.HearsConsent(door) {
		q.Rules.Consents = own
		q.Rules.Unheard = fmt.Sprintf("for fleet %s a consent counts only through %s, and this came through %s", f.Name, strings.Join(f.ConsentFrom, ", "), door)
	}
}

// WrongDoor says for people why a fleet does not take what came through the door from
// the source.
func WrongDoor(name, what, door, source string, g fleet.Gate) string {
	came := "this came through " + door
	if len(g.Sources) > 0 {
		came += fmt.Sprintf(" from the source %.100q", source)
	}
	var from []string
	if len(g.Doors) > 0 {
		from = append(from, "through "+strings.Join(g.Doors, ", "))
	}
	if len(g.Sources) > 0 {
		from = append(from, "from "+strings.Join(g.Sources, ", "))
	}
	return fmt.Sprintf("fleet %s takes %s only %s; %s", name, what, strings.Join(from, " "), came)
}

// consents returns what the fleet consents to for its rollouts. For a rollback they do
// not cover what it would erase besides system disks: that needs the consent of the
// message that asks for it.
func (v *view) consents(f *fleet.Fleet) []string {
	if v.s.Operation.Undoes == "" {
		return f.Rebuild.Consent
	}
	return slices.DeleteFunc(slices.Clone(f.Rebuild.Consent), func(c string) bool {
		return c == events.ConsentDataDisk || c == events.ConsentOSChange || c == events.ConsentSnapshots
	})
}

// sessions returns the policy towards users of the desktop at the time at which
// it was looked at.
func (v *view) sessions(x *Desktop, s fleet.Sessions, readAt time.Time) guard.Sessions {
	policy := s.Policy
	if since, waits := x.waitsSince(events.CodeSessionWait); policy == fleet.Wait && waits && !x.Doubted && readAt.Sub(since) >= s.Deadline {
		policy = s.After
	}
	switch policy {
	case fleet.Force:
		return guard.ForceInUse
	case fleet.Wait:
		return guard.WaitInUse
	case fleet.Skip:
		return guard.SkipInUse
	}
	return guard.RefuseInUse
}

// cannotRead deals with a desktop about which ECD could not be asked at that time: it
// waits, and in the end it has failed. What was begun is given up only after it was
// asked for once more: a question that was not sent does not count.
func (v *view) cannotRead(x *Desktop, u *Unread, at time.Time) step {
	s := step{unread: u}
	switch x.Phase {
	case Pending:
		over, more := v.waited(x, u.Code, at, askLimit, u.Message)
		if over {
			more = v.settle(events.StatusFailed, u.Code, "gave up after %s: %s", askLimit, u.Message)
		}
		return s.with(more)
	case Begun:
		if over, more := overdueUnread(x, u, at, x.asked().Add(giveUp)); !over {
			return s.with(more).with(v.lookLater(x.BegunAt.Time()))
		}
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown,
			"the answer to the call of %s was lost and ECD could not be asked about it for %s", x.BegunAt.Time().Format(time.RFC3339), giveUp))
	case Accepted:
		return s.with(v.unreadable(x, u, at))
	case Final: // it has its outcome; see restoreFinal
	}
	return s
}

// unreadable deals with an accepted desktop about which ECD could not be asked.
func (v *view) unreadable(x *Desktop, u *Unread, at time.Time) step {
	limit, since := giveUp, x.AcceptedAt.Time()
	if !x.ArrivedAt.IsZero() {
		limit, since = v.mayStay(), x.ArrivedAt.Time()
	}
	over, s := overdueUnread(x, u, at, since.Add(limit))
	switch {
	case !over:
		return s.with(v.lookLater(since))
	case x.ArrivedAt.IsZero():
		return v.settle(events.StatusFailed, events.CodeRebuildTimeout, "it is not known to have ended after %s: %s", limit, u.Message)
	}
	return v.settle(events.StatusFailed, events.CodeCheckFailed, "it was seen on the image and could not be checked for %s: %s", limit, u.Message)
}

// overdueUnread is overdue for a desktop about which ECD could not be asked at that time.
func overdueUnread(x *Desktop, u *Unread, at, due time.Time) (bool, step) {
	if u.Unasked {
		return false, step{}
	}
	return overdue(x, at, due)
}

// mayStay is how long a desktop that was seen on the image is followed though it cannot be
// told how it is: it is not read before it must have been stable.
func (v *view) mayStay() time.Duration {
	if s := v.strategy(nil); s != nil {
		return giveUp + s.Check.Stable
	}
	return giveUp
}

// waited says whether the desktop had been waiting for that reason for as long as it may
// when the fact was read that says so, and postpones it if not. If nobody had tried it for
// long it waits anew: see waitFor.
func (v *view) waited(x *Desktop, code string, readAt time.Time, limit time.Duration, message string) (over bool, s step) {
	since, waits := x.waitsSince(code)
	if w := v.s.Waiting; w != nil && w.Code == events.CodeWindowClosed {
		waits = false // it was not read
	}
	passed := readAt.Sub(Later(since, v.s.Resumed))
	switch {
	case !waits || passed < limit:
		return false, v.postpone(x, code, "%s", message)
	case passed >= limit+lateLook && x.WaitCode == code && x.left(readAt) &&
		(passed >= waitLimit || readAt.Sub(Later(x.WaitFirst.Time(), v.s.Resumed)) < waitLimit): // which looks too far apart must not repeat for ever
		s = v.soon()
		s.outcome = v.deferred(code, s.next, "%s", message)
		return false, s
	}
	return true, step{}
}

// waiting leaves a desktop for later to which a guard objects for now. Its users are
// told first.
func (v *view) waiting(c candidate, verdict guard.Verdict) step {
	if verdict.Code != events.CodeSessionWait {
		return v.wait(c, verdict)
	}
	s, done := inOrder(c, v.heldByTag, v.noticed)
	if done {
		return s
	}
	return s.with(v.wait(c, verdict))
}

// wait leaves a desktop for later, but not for ever.
func (v *view) wait(c candidate, verdict guard.Verdict) step {
	code, message := verdict.Code, verdict.Message
	if c.Stopped && code == events.CodeStatusWait {
		code, message = events.CodeStopWait, fmt.Sprintf("desktop %s was told to stop before it is rebuilt", c.ID)
	}
	limit, end := time.Duration(0), ""
	switch code {
	case events.CodeImageCreating:
		limit, end = imageLimit, events.CodeImageNotAvailable
	case events.CodeStatusWait, events.CodeStopWait:
		limit, end = readyLimit, events.CodeDesktopNotReady
	}
	switch {
	case !c.WaitFirst.IsZero() && c.fact.Since(c.WaitFirst.Time()) >= waitLimit && v.s.Operation.Request():
		return v.settle(events.StatusRefused, code, "given up after %s: %s", waitLimit, message)
	case limit == 0:
		return v.postpone(c.Desktop, code, "%s", message)
	}
	over, s := v.waited(c.Desktop, code, c.fact.ReadAt, limit, message)
	if over {
		return v.settle(events.StatusRefused, end, "%s after %s", message, limit)
	}
	return s
}

// passing are the reasons for which a call that may be made was not made, and how
// long they may last in all. Each of them ends at some time.
var passing = map[string]time.Duration{
	events.CodeThrottled: askLimit, events.CodeNotAuthorized: askLimit, events.CodeCallFailed: askLimit,
	events.CodeTimeShort: waitLimit, IncorrectDesktopStatus: readyLimit,
}

// start begins a desktop to which no guard objects, or takes the next step
// towards that: into maintenance mode, stopped, begun.
func (v *view) start(c candidate) step {
	s, done := inOrder(c, v.overtaken, v.frozen, v.obstructed, v.heldByTag, v.noticed, v.cleared)
	if done {
		return s
	}
	var next step
	switch stopFirst := c.strategy != nil && c.strategy.StopFirst && c.now.Status == desktop.Running; {
	case c.strategy != nil && c.strategy.Maintenance && !c.Entered:
		next = v.soon(Act{What: Hold})
	case stopFirst && c.fact.Since(c.StoppedAt.Time()) >= stopAgain:
		next = v.soon(Act{What: Stop})
	case stopFirst:
		next = v.wait(c, guard.Verdict{Code: events.CodeStopWait, Message: fmt.Sprintf("desktop %s was told to stop and is still Running", c.ID)})
	default:
		if saved, done := v.saved(c); done {
			return s.with(saved)
		} else {
			s = s.with(saved)
		}
		next = v.soon()
		next.begin = true
	}
	return s.with(next)
}

// busy leaves a desktop until another operation is done with it: what ECD shows of it by
// now is not what it will be.
func (v *view) busy(x *Desktop) (step, bool) {
	by := v.f.Busy[x.ID]
	if by == "" {
		return step{}, false
	}
	return v.postpone(x, events.CodeStatusWait, "desktop %s is still being rebuilt by %s", x.ID, by), true
}

// obstructed deals with a desktop for which calls are refused again and again, or for
// which one of ours is under way.
func (v *view) obstructed(c candidate) (step, bool) {
	over := c.Maintenance.over()
	if c.Power != nil && c.Power.Kind == KindStarting { // the end of a stop is seen, and not written down
		over = Later(over, c.Power.over())
	}
	if c.tried() { // else ECD's record of a failure could be that of the next call
		over = Later(over, c.DoneAt.Add(2*clockSkew))
	}
	switch limit := passing[c.WaitCode]; {
	case limit > 0 && c.RestsUntil.Sub(c.WaitSince.Time()) >= limit:
		return v.settle(events.StatusFailed, c.WaitCode, "gave up after %s: %s", limit, c.Last.Message), true
	case c.Denied >= maxDenied:
		return v.settle(events.StatusFailed, IncorrectDesktopStatus,
			"ECD shows desktop %s as %s and refused to rebuild it %d times; stopFirst in its fleet stops it before", c.ID, c.now.Status, c.Denied), true
	case !v.now.due(over):
		// Another instance may be making this call now: the next announcement must
		// not hide that it is under way.
		return unfinished(over), true
	}
	return step{}, false
}
