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
	a, more, ok := v.answers(x, fact, true)
	spec := v.s.Operation.SpecOf(x.ID)
	shown := x.shown(spec.ImageID, a)
	if s = s.with(more).with(step{marks: shown.marks}); !ok {
		return s
	}
	last := fmt.Sprintf("the answer to the call of %s was lost and ECD does not show whether the rebuild began; last seen %s",
		x.BegunAt.Time().Format(time.RFC3339), seen(fact.Value)) + x.cameBack()
	switch never := shown.evidence == shownNotBegun; {
	case shown.evidence == shownFailed:
		return s.with(v.rebuildFailed(x, shown.change))
	case shown.evidence >= shownBegun:
		return s.with(v.accept(fact.ReadAt, "the answer was lost; "+shown.by))
	case never && spec.Reset():
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s; a reset is never sent twice: look at the desktop before you ask again", last))
	case never && x.Attempt >= maxAttempts:
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s; given up after %d calls", last, x.Attempt))
	case never:
		return s.with(marks(KindNotBegun, v.now.t)).with(unfinished(v.now.t))
	}
	over, more := overdue(x, a.at, x.asked().Add(v.timeout(fact.Value)))
	if s = s.with(more); over {
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown, "%s", last))
	}
	return s.with(v.lookLater(x.asked()))
}

// answers returns what ECD shows of a desktop that was read, with its records if they are
// wanted: they cost a call for each desktop.
func (v *view) answers(x *Desktop, fact Fact[*desktop.Desktop], records bool) (answers, step, bool) {
	a := answers{now: fact.Value, at: fact.ReadAt}
	if !records {
		return a, step{}, true
	}
	list, s, ok := about(v, x, ofChanges, x.ID, x.eventful())
	a.changes, a.unread, a.at = list.Value, !ok, earlier(a.at, list.ReadAt)
	return a, s, ok
}

// gone says whether ECD did not list a desktop in two looks, a settling time
// apart, and in none between: it may leave one out of a single answer. For one that
// is not gone, that it is missing is written down. Its records cannot be asked for any
// more.
func (v *view) gone(x *Desktop, fact Fact[*desktop.Desktop]) (step, bool) {
	switch {
	case fact.Value != nil:
		return step{}, false
	case x.MissingAt.IsZero():
		return marks(KindMissing, fact.ReadAt).with(look(v.now.in(Settling))), false
	case fact.Since(x.MissingAt.Time()) < Settling:
		return look(x.MissingAt.Add(Settling)), false
	}
	return step{}, true
}

// listed notes of a desktop that was missing that ECD lists it again, whatever else is
// decided about it.
func (v *view) listed(x *Desktop) step {
	if fact := v.f.Desktops[x.ID]; !x.MissingAt.IsZero() && fact.Value != nil {
		return marks(KindListed, fact.ReadAt)
	}
	return step{}
}

// removed settles a desktop that was begun and is gone.
func (v *view) removed(x *Desktop) step {
	return v.settle(events.StatusFailed, events.CodeChangedOutside, "ECD no longer lists desktop %s: somebody released it while it was being rebuilt", x.ID)
}

func (v *view) rebuildFailed(x *Desktop, c *desktop.Change) step {
	return v.settle(events.StatusFailed, events.CodeRebuildFailed, "ECD records that the rebuild of %s failed: %s", x.ID, cmp.Or(c.Reason, "ECD gives no reason"))
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
	due := x.AcceptedAt.Add(v.timeout(fact.Value))
	if !x.ArrivedAt.IsZero() { // it has shown up, and is only passing through another status
		due = x.ArrivedAt.Add(v.mayStay())
	}
	late := !fact.ReadAt.Before(due)
	a, more, ok := v.answers(x, fact, v.recordsTell(x, fact, late))
	if s = s.with(more); !ok {
		return s
	}
	shown := x.shown(v.s.Operation.SpecOf(x.ID).ImageID, a)
	if s = s.with(step{marks: shown.marks}); shown.evidence == shownFailed {
		return s.with(v.rebuildFailed(x, shown.change))
	}
	if ready(fact.Value) {
		if more, done := v.followReady(x, fact, shown); done {
			return s.with(more)
		}
	}
	if !ready(fact.Value) || fact.Value.ImageID == "" { // which does not show where it is
		late, more = overdue(x, fact.ReadAt, due)
		s = s.with(more)
	}
	if late {
		return s.with(v.notShown(x, fact))
	}
	return s.with(v.lookForArrival(x))
}

// notShown settles an accepted desktop that has shown no success in time.
func (v *view) notShown(x *Desktop, fact Fact[*desktop.Desktop]) step {
	took, spec := fact.Since(x.AcceptedAt.Time()).Round(time.Second), v.s.Operation.SpecOf(x.ID)
	switch {
	case !x.ArrivedAt.IsZero():
		return v.settle(events.StatusFailed, events.CodeCheckFailed, "desktop %s was seen on the image, and %s later it is neither Running nor Stopped; last seen %s",
			x.ID, fact.Since(x.ArrivedAt.Time()).Round(time.Second), seen(fact.Value))
	case spec.Reset():
		return v.settle(events.StatusFailed, events.CodeRebuildTimeout, "ECD has not shown that desktop %s was reset %s after it accepted that; last seen %s",
			x.ID, took, seen(fact.Value))
	}
	return v.settle(events.StatusFailed, events.CodeRebuildTimeout,
		"desktop %s has not shown up on the image %s after ECD accepted the rebuild; last seen %s", x.ID, took, seen(fact.Value))
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

// recordsTell says whether ECD's records tell more of an accepted rebuild than the desktop
// itself: whether a reset is over, what somebody else has overwritten was done, or what
// shows no success in time has failed.
func (v *view) recordsTell(x *Desktop, fact Fact[*desktop.Desktop], late bool) bool {
	now, image := fact.Value, v.s.Operation.SpecOf(x.ID).ImageID
	late = late || ready(now) && fact.Since(x.AcceptedAt.Time()) >= Settling
	switch {
	case !ready(now), now.ImageID == "":
		return late
	case now.ImageID == image:
		return false
	}
	return late || image == "" || now.ImageID != x.From
}

// followReady looks at an accepted desktop that is Running or Stopped: it has
// arrived, is somewhere else, or nothing shows yet.
func (v *view) followReady(x *Desktop, fact Fact[*desktop.Desktop], shown shown) (step, bool) {
	now, image := fact.Value, v.s.Operation.SpecOf(x.ID).ImageID
	switch done := shown.evidence == shownDone; {
	case done && now.ImageID == cmp.Or(image, x.From):
		return v.runs(x, now).with(v.proveSaved(x, v.prove(x, fact))), true
	case now.ImageID == "": // ECD left it out of this answer, which so tells nothing
		return step{}, false
	case now.ImageID != x.From:
		return v.proveSaved(x, v.moved(x, now, done)), true
	case fact.Since(x.ArrivedAt.Time()) < Settling: // perhaps by a part of ECD that lags behind
		return step{}, false
	case !x.ArrivedAt.IsZero():
		return v.settle(events.StatusFailed, events.CodeChangedOutside,
			"desktop %s was on %s and is no more: somebody else changed it", x.ID, image), true
	}
	return step{}, false
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
// that it was to get; done says that it was rebuilt before.
func (v *view) moved(x *Desktop, now *desktop.Desktop, done bool) step {
	if done && v.provesNothing(now) {
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

// UntilShown ends the message of a desktop whose call came to an end that is not
// known: ECD may have answered, by a code that says nothing certain.
const UntilShown = "; the facts will show whether the rebuild began"

// cameBack repeats what was said of the desktop's last call when its delivery was
// left open, so that the end tells it too; "" when nobody said anything.
func (x *Desktop) cameBack() string {
	said, open := strings.CutSuffix(x.Last.Message, UntilShown)
	if !open || x.Last.Code != events.CodeOutcomeUnknown {
		return ""
	}
	return " (what came back: " + said + ")"
}
