package rollout

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// unknown settles a call of unknown delivery by reading. The call is never repeated
// before ECD has shown in two looks that it did not happen, the first a settling
// time after it and the second a settling time later: a rebuild that had begun
// shows at the first, or is over, and then its image shows at the second. For a
// reset, which nothing in ECD tells from no reset, it is not repeated at all.
func (v *view) unknown(x *Desktop) step {
	fact, s, ok := v.read(x)
	if !ok {
		return s
	}
	s, gone := v.gone(x, fact)
	if gone {
		return s.with(v.removed(x))
	}
	change, changesAt, more, ok := v.change(x)
	if s = s.with(more); !ok {
		return s.with(v.shownAnyway(x, fact))
	}
	shown := earlier(fact.ReadAt, changesAt) // as far as both tell
	if more, did := v.began(x, fact, change, shown); did {
		return s.with(more)
	}
	return s.with(v.unshown(x, fact.Value, shown))
}

// shownAnyway notes that a desktop whose records could not be read is shown Rebuilding, or on
// another image: once they can be read it may be back, and ECD may have no record of it. A
// reset is not sent again anyway, and Rebuilding may be for somebody else.
func (v *view) shownAnyway(x *Desktop, fact Fact[*desktop.Desktop]) step {
	now, image := fact.Value, v.s.Operation.SpecOf(x.ID).ImageID
	unread := v.f.Changes[x.ID].Err != nil
	if !unread || now == nil || x.Seen || image == "" || now.Status != desktop.Rebuilding && !v.left(x, now) {
		return step{}
	}
	return marks(KindSeen, fact.ReadAt)
}

// left says whether a desktop is shown on another image than its former one: on the new one,
// or on one to which somebody else has brought it, perhaps after our rebuild. For a reset that
// says nothing, and it is not sent again anyway.
func (v *view) left(x *Desktop, now *desktop.Desktop) bool {
	return now != nil && now.ImageID != "" && now.ImageID != x.From && v.s.Operation.SpecOf(x.ID).ImageID != ""
}

// unshown deals with a call of unknown delivery of which ECD showed nothing at the time
// shown.
func (v *view) unshown(x *Desktop, now *desktop.Desktop, shown time.Time) (s step) {
	reset, passed := v.s.Operation.SpecOf(x.ID).Reset(), shown.Sub(x.asked())
	if v.left(x, now) && !x.Seen { // if it is on its former image later, that does not say that nothing happened
		s = marks(KindSeen, shown)
	}
	idle := ready(now) && (now.ImageID == x.From && !x.Seen || v.fellBack(x, now))
	if idle && x.IdleAt.IsZero() && passed >= Settling { // by then a call that was carried out has shown, or is over
		s = s.with(marks(KindIdle, shown))
	}
	never := idle && !x.IdleAt.IsZero() && shown.Sub(x.IdleAt.Time()) >= Settling
	last := fmt.Sprintf("the answer to the call of %s was lost and ECD does not show whether the rebuild began; last seen %s",
		x.BegunAt.Time().Format(time.RFC3339), seen(now)) + x.cameBack()
	switch {
	case never && reset:
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s; a reset is never sent twice: look at the desktop before you ask again", last))
	case never && x.Attempt >= maxAttempts:
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s; given up after %d calls", last, x.Attempt))
	case never:
		return s.with(marks(KindNotBegun, v.now.t)).with(unfinished(v.now.t))
	}
	over, more := overdue(x, shown, x.asked().Add(v.timeout(now)))
	if s = s.with(more); over {
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s", last))
	}
	return s.with(v.lookLater(x.asked()))
}

// began settles a call of unknown delivery of which ECD shows at the time shown that it
// was carried out, and how it ended if it failed. That the desktop is on the new image
// proves it only once ECD would show that a rebuild of somebody else has failed, and so
// left the desktop there, or brought it back.
func (v *view) began(x *Desktop, fact Fact[*desktop.Desktop], change *desktop.Change, shown time.Time) (step, bool) {
	now, spec := fact.Value, v.s.Operation.SpecOf(x.ID)
	switch {
	case change != nil && change.State == desktop.ChangeFailed:
		return v.rebuildFailed(x, change), true
	case change != nil:
		return v.accept(fact.ReadAt, "the answer was lost; ECD's record of image changes shows that the rebuild began"), true
	case now != nil && now.Status == desktop.Rebuilding && (now.ImageID == x.From || now.ImageID == spec.ImageID) && !v.elsewhere(x):
		return v.accept(fact.ReadAt, "the answer was lost; ECD shows the desktop as Rebuilding"), true
	case v.onNew(x, now) && shown.Sub(x.BegunAt.Time()) >= Settling && !v.fellBack(x, now):
		return v.accept(fact.ReadAt, "the answer was lost; ECD shows the desktop on the new image"), true
	}
	return step{}, false
}

// onNew says whether a desktop is shown on the image that it was to get, and was on another.
func (v *view) onNew(x *Desktop, now *desktop.Desktop) bool {
	image := v.s.Operation.SpecOf(x.ID).ImageID
	return now != nil && image != "" && now.ImageID == image && x.From != image
}

// gone says whether ECD did not list a desktop in two looks, a settling time
// apart: it may leave one out of a single answer. For one that is not gone, that it
// is missing, or listed again, is written down. Its records cannot be asked for any
// more.
func (v *view) gone(x *Desktop, fact Fact[*desktop.Desktop]) (step, bool) {
	switch {
	case fact.Value != nil && !x.MissingAt.IsZero():
		return marks(KindListed, fact.ReadAt), false
	case fact.Value != nil:
		return step{}, false
	case x.MissingAt.IsZero():
		return marks(KindMissing, fact.ReadAt).with(look(v.now.in(Settling))), false
	case fact.Since(x.MissingAt.Time()) < Settling:
		return look(x.MissingAt.Add(Settling)), false
	}
	return step{}, true
}

// removed settles a desktop that was begun and is gone.
func (v *view) removed(x *Desktop) step {
	return v.settle(events.StatusFailed, events.CodeChangedOutside, "ECD no longer lists desktop %s: somebody released it while it was being rebuilt", x.ID)
}

func (v *view) rebuildFailed(x *Desktop, c *desktop.Change) step {
	return v.settle(events.StatusFailed, events.CodeRebuildFailed, "ECD records that the rebuild of %s failed: %s", x.ID, cmp.Or(c.Reason, "ECD gives no reason"))
}

// change returns ECD's newest record of an image change that belongs to the
// desktop's last call, or nil, and when that was asked.
func (v *view) change(x *Desktop) (*desktop.Change, time.Time, step, bool) {
	list, s, ok := about(v, x, ofChanges, x.ID, x.eventful())
	if !ok {
		return nil, zero, s, false
	}
	spec := v.s.Operation.SpecOf(x.ID)
	for i := range list.Value {
		c := &list.Value[i]
		if c.Updated.Before(x.BegunAt.Add(-clockSkew)) {
			break
		}
		// A reset keeps the image: a change from another one was somebody else's.
		if spec.Reset() && c.From != "" && c.From != x.From {
			continue
		}
		if c.State != desktop.ChangeUnknown && c.To == cmp.Or(spec.ImageID, x.From) {
			return c, list.ReadAt, s, true
		}
	}
	return nil, list.ReadAt, s, true
}

// elsewhere says whether ECD records that the desktop is on its way to another
// image than ours: then it is Rebuilding for somebody else.
func (v *view) elsewhere(x *Desktop) bool {
	list := v.f.Changes[x.ID].Value
	return len(list) > 0 && list[0].State == desktop.Changing && list[0].To != cmp.Or(v.s.Operation.SpecOf(x.ID).ImageID, x.From)
}

// fellBack says whether a desktop is on the image that is wanted, and ECD's newest record is of
// a rebuild from there to the image that it was on before its call, and not of its success:
// if that failed, the desktop is back, by no call of ours.
func (v *view) fellBack(x *Desktop, now *desktop.Desktop) bool {
	list := v.f.Changes[x.ID].Value
	if len(list) == 0 || now.ImageID == "" || now.ImageID != v.s.Operation.SpecOf(x.ID).ImageID {
		return false
	}
	c := list[0]
	return c.To == x.From && (c.From == now.ImageID || c.From == "") && (c.State == desktop.Changing || c.State == desktop.ChangeFailed)
}

// follow sees an accepted rebuild to its end.
func (v *view) follow(x *Desktop) step {
	if s, early := v.tooEarly(x); early {
		return s
	}
	fact, s, ok := v.read(x)
	if !ok {
		return s
	}
	s, gone := v.gone(x, fact)
	if gone {
		return s.with(v.removed(x))
	}
	now, reset := fact.Value, v.s.Operation.SpecOf(x.ID).Reset()
	if ready(now) {
		more, done := v.followReady(x, fact)
		if s = s.with(more); done {
			return s
		}
	} else if now != nil && now.Status == desktop.Rebuilding && reset && !x.Seen {
		s = s.with(marks(KindSeen, fact.ReadAt))
	}
	return s.with(v.followOn(x, fact))
}

// followReady looks at an accepted desktop that is Running or Stopped: it has
// arrived, is somewhere else, or nothing shows yet.
func (v *view) followReady(x *Desktop, fact Fact[*desktop.Desktop]) (step, bool) {
	now, spec := fact.Value, v.s.Operation.SpecOf(x.ID)
	here, s, ok := v.arrived(x, now, spec)
	switch {
	case !ok:
		return s, true
	case here:
		return s.with(v.runs(x, now)).with(v.proveSaved(x, v.prove(x, fact))), true
	case now.ImageID == "": // ECD left it out of this answer, which so tells nothing
		return s, false
	case now.ImageID != x.From && now.ImageID != spec.ImageID:
		return s.with(v.proveSaved(x, v.moved(x, now))), true
	case fact.Since(x.ArrivedAt.Time()) < Settling: // perhaps by a part of ECD that lags behind
		return s, false
	case !x.ArrivedAt.IsZero():
		return s.with(v.settle(events.StatusFailed, events.CodeChangedOutside,
			"desktop %s was on %s and is no more: somebody else changed it", x.ID, spec.ImageID)), true
	}
	return s, false
}

// followOn waits for a rebuild that shows no success, as long as it may take.
func (v *view) followOn(x *Desktop, fact Fact[*desktop.Desktop]) (s step) {
	due := x.AcceptedAt.Add(v.timeout(fact.Value))
	if !x.ArrivedAt.IsZero() { // it has shown up, and is only passing through another status
		due = x.ArrivedAt.Add(v.mayStay())
	}
	late := !fact.ReadAt.Before(due)
	if late || ready(fact.Value) && fact.Since(x.AcceptedAt.Time()) >= Settling {
		if !ready(fact.Value) || fact.Value.ImageID == "" { // which does not show where it is
			late, s = overdue(x, fact.ReadAt, due)
		}
		if s, done := v.ended(x, fact, late); done {
			return s
		}
	}
	return s.with(v.lookForArrival(x))
}

// overdue says whether the time of a desktop, which ended at due, is over by what was seen of
// it until it was looked at, and notes the first look if that came long after: nobody knows
// what was meanwhile, so it may pass through a status for a while from then on.
func overdue(x *Desktop, at, due time.Time) (bool, step) {
	switch {
	case at.Before(due):
		return false, step{}
	case at.Sub(due) < lateLook:
		return true, step{}
	case x.SeenAt.Before(due):
		return false, marks(KindLate, at)
	}
	return at.Sub(x.SeenAt.Time()) >= readyLimit, step{}
}

// ready says whether a desktop is in a status in which it can be rebuilt, and in
// which it is once its rebuild has ended.
func ready(now *desktop.Desktop) bool {
	return now != nil && (now.Status == desktop.Running || now.Status == desktop.Stopped)
}

// runs notes that a desktop that we had stopped runs again by its rebuild.
func (v *view) runs(x *Desktop, now *desktop.Desktop) step {
	if !x.Stopped || now.Status != desktop.Running {
		return step{}
	}
	return marks(KindStarted, v.now.t)
}

// moved settles a desktop that is on neither the image that it was on nor the one
// that it was to get.
func (v *view) moved(x *Desktop, now *desktop.Desktop) step {
	c, _, s, ok := v.change(x)
	switch {
	case !ok:
		return s
	case c != nil && c.State == desktop.ChangeSucceeded && v.provesNothing(now):
		return v.settle(events.StatusCompleted, events.CodeCompleted, "ECD records that it was rebuilt; it is on %s by now", now.ImageID)
	}
	return v.settle(events.StatusFailed, events.CodeChangedOutside,
		"desktop %s is on %s, which is neither the image it was on nor the one it was to get: somebody else changed it", x.ID, now.ImageID)
}

// provesNothing says whether a desktop need not prove anything once it was rebuilt.
func (v *view) provesNothing(now *desktop.Desktop) bool {
	check, declared := v.checkOf(now)
	return declared && check.Stable == 0 && check.Command == ""
}

// arrived says whether a desktop that is Running or Stopped is where its
// rebuild was to bring it. For a reset the image says nothing: ECD's record must
// say that it succeeded or, if there is none, it must have been seen Rebuilding.
func (v *view) arrived(x *Desktop, now *desktop.Desktop, spec desktop.Spec) (here bool, s step, ok bool) {
	wanted := cmp.Or(spec.ImageID, x.From)
	if now.ImageID != wanted || x.From != wanted {
		return now.ImageID == wanted, step{}, true
	}
	c, _, s, ok := v.change(x)
	if c != nil {
		return c.State == desktop.ChangeSucceeded, s, ok
	}
	return x.Seen, s, ok
}

// ended asks ECD's records about a rebuild that shows no success, and settles
// it if they tell, or if its time is over.
func (v *view) ended(x *Desktop, fact Fact[*desktop.Desktop], late bool) (step, bool) {
	change, _, s, ok := v.change(x)
	switch {
	case !ok:
		return s, true // it was dealt with, or waits for the answer
	case change != nil && change.State == desktop.ChangeFailed:
		return v.rebuildFailed(x, change), true
	case !late:
		return s, false
	case !x.ArrivedAt.IsZero():
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "desktop %s was seen on the image, and %s later it is neither Running nor Stopped; last seen %s",
			x.ID, fact.Since(x.ArrivedAt.Time()).Round(time.Second), seen(fact.Value)), true
	}
	took := fact.Since(x.AcceptedAt.Time()).Round(time.Second)
	if v.s.Operation.SpecOf(x.ID).Reset() {
		return v.settle(events.StatusFailed, events.CodeRebuildTimeout,
			"ECD has not shown that desktop %s was reset %s after it accepted that; last seen %s", x.ID, took, seen(fact.Value)), true
	}
	return v.settle(events.StatusFailed, events.CodeRebuildTimeout,
		"desktop %s has not shown up on the image %s after ECD accepted the rebuild; last seen %s", x.ID, took, seen(fact.Value)), true
}

// prove completes a desktop that has arrived once it is in the wanted status, has
// been stable and has passed its check, where its fleet wants that. A request's
// desktop that stays in another status is completed all the same: it has the
// image, and ECD does not say that it keeps to AfterStatus.
func (v *view) prove(x *Desktop, fact Fact[*desktop.Desktop]) step {
	now := fact.Value
	check, declared := v.checkOf(now)
	wanted := v.s.Operation.AfterStatus
	otherStatus := wanted != "" && now.Status != wanted && x.ArrivedAt.IsZero()
	switch {
	case otherStatus && fact.Since(x.AcceptedAt.Time()) < v.timeout(now):
		return v.lookLater(x.AcceptedAt.Time())
	case otherStatus && !v.s.Operation.Request():
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "desktop %s is on the image, but it is %s and not %s", x.ID, now.Status, wanted)
	case otherStatus:
		return v.settle(events.StatusCompleted, events.CodeCompleted, "it is on the image, but it is %s and not %s", now.Status, wanted)
	case !declared:
		return v.unproven(x, fact)
	case x.ArrivedAt.IsZero() && (check.Stable > 0 || check.Command != ""):
		return marks(KindArrived, fact.ReadAt).with(unfinished(v.now.in(check.Stable)))
	case fact.Since(x.ArrivedAt.Time()) < check.Stable:
		return unfinished(x.ArrivedAt.Add(check.Stable))
	case check.Command != "" && now.OS == desktop.Linux && x.Check == "":
		// The guard refuses such desktops; the command came into fleets.yaml since.
		return v.settle(events.StatusCompleted, events.CodeCompleted, "it is on the image; the check was not run, for ECD runs commands on Windows only")
	case check.Command != "":
		return v.check(x, fact, check)
	}
	return v.settle(events.StatusCompleted, events.CodeCompleted, "")
}

// checkOf returns what the desktop must prove. Nobody knows what that is when the
// rollout's fleet is not declared any more.
func (v *view) checkOf(now *desktop.Desktop) (check fleet.Check, declared bool) {
	if v.s.Operation.Request() {
		return check, true
	}
	s := v.strategy(now)
	if s == nil {
		return check, false
	}
	return s.Check, true
}

// unproven keeps a desktop waiting that has arrived while its fleet is not
// declared: what it must prove may come back with the fleet. A rollout that will
// not go on anyway does not wait for that.
func (v *view) unproven(x *Desktop, fact Fact[*desktop.Desktop]) step {
	const not = "its fleet is not declared in fleets.yaml any more, so it was not checked"
	switch {
	case v.s.Aborted != "" || v.s.Superseded != "":
		return v.settle(events.StatusCompleted, events.CodeCompleted, "it is on the image; "+not)
	case x.ArrivedAt.IsZero():
		return marks(KindArrived, fact.ReadAt).with(v.lookLater(x.AcceptedAt.Time()))
	case fact.Since(x.ArrivedAt.Time()) >= giveUp:
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "desktop %s is on the image for %s; %s", x.ID, giveUp, not)
	}
	return v.lookLater(x.ArrivedAt.Time())
}

// check runs the fleet's command on a desktop and waits for its result. What cannot be
// checked is tried for a while, from when somebody first looked at it: if nobody could, or
// ECD did not answer, that time has not begun.
func (v *view) check(x *Desktop, fact Fact[*desktop.Desktop], c fleet.Check) (s step) {
	due, runs := x.ArrivedAt.Add(c.Stable), fact.Value.Status == desktop.Running
	switch looked := !x.SeenAt.Before(due); {
	case x.Check != "":
		return v.checked(x, c)
	case looked && fact.Since(x.SeenAt.Time()) >= readyLimit:
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "the check could not be run on desktop %s, which is %s", x.ID, fact.Value.Status)
	case !looked && (!runs || fact.Since(due) >= Settling):
		s = marks(KindSeen, fact.ReadAt)
	}
	if !runs {
		return s.with(unfinished(v.now.in(time.Minute)))
	}
	return s.with(v.soon(Act{What: Check, Text: c.Command, Kind: c.Kind, Timeout: c.Timeout}))
}

// checked looks at the result of the command that was run.
func (v *view) checked(x *Desktop, c fleet.Check) step {
	results, s, ok := about(v, x, ofChecks, x.Check, x.CheckedAt.Time())
	if !ok {
		return s
	}
	got := results.Value[x.ID]
	switch {
	case passed(got):
		return v.settle(events.StatusCompleted, events.CodeCompleted, "")
	case got.Done:
		return v.settle(events.StatusFailed, events.CodeCheckFailed,
			"the check ended on desktop %s with %s and exit code %d: %s", x.ID, got.Status, got.ExitCode, got.Output)
	case results.Since(x.CheckedAt.Time()) >= c.Timeout+5*time.Minute:
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "the check on desktop %s did not end", x.ID)
	}
	return v.soon()
}

// passed says whether a command has ended well.
func passed(got desktop.Invocation) bool {
	return got.Done && strings.EqualFold(got.Status, "Success") && got.ExitCode == 0
}

// strategy returns that of the rollout's fleet, or of the fleet that the desktop
// of a request belongs to, as far as it is known.
func (v *view) strategy(now *desktop.Desktop) *fleet.Strategy {
	if !v.s.Operation.Request() {
		if f := v.fleet(); f != nil {
			return &f.Strategy
		}
		return nil
	}
	if now != nil {
		if f := v.r.Fleets.Of(*now); f != nil {
			return &f.Strategy
		}
	}
	return nil
}

// timeout is how long a rebuild of the desktop may take.
func (v *view) timeout(now *desktop.Desktop) time.Duration {
	if s := v.strategy(now); s != nil && s.RebuildTimeout > 0 {
		return s.RebuildTimeout
	}
	return v.r.RebuildTimeout
}

func seen(d *desktop.Desktop) string {
	if d == nil {
		return "nowhere: ECD does not list it"
	}
	return fmt.Sprintf("%s on image %s", d.Status, d.ImageID)
}
