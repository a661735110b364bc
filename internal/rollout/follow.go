package rollout

import (
	"cmp"
	"fmt"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// unknown settles the fate of a call by reading. The call is never repeated
// before ECD has shown in two looks that it did not happen, the first a settling
// time after it and the second a settling time later: a rebuild that had begun
// shows at the first, or is over, and then its image shows at the second. For a
// reset, which nothing in ECD tells from no reset, it is not repeated at all.
func (d *decider) unknown(x *Desktop) {
	fact, ok := d.read(x)
	if !ok {
		return
	}
	now := fact.Value
	if d.gone(x, fact) {
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("ECD no longer lists desktop %s: somebody released it while it was being rebuilt", x.ID))
		return
	}
	change, changesAt, ok := d.change(x)
	if !ok || d.began(x, fact, change) {
		return
	}
	spec := d.s.Operation.SpecOf(x.ID)
	shown := earlier(fact.ReadAt, changesAt) // as far as both tell
	passed := shown.Sub(x.asked())
	idle := now != nil && (now.Status == desktop.Running || now.Status == desktop.Stopped) && now.ImageID == x.From
	if idle && x.IdleAt.IsZero() && passed >= Settling { // by then a call that was carried out has shown, or is over
		d.mark(KindIdle, x, shown)
	}
	settled := idle && !x.IdleAt.IsZero() && shown.Sub(x.IdleAt) >= Settling
	last := fmt.Sprintf("the answer to the call of %s was lost and ECD does not show whether the rebuild began; last seen %s",
		x.BegunAt.UTC().Format(time.RFC3339), seen(now)) + x.cameBack()
	switch {
	case settled && spec.Reset():
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, last+"; a reset is never sent twice: look at the desktop before you ask again")
	case settled && x.Attempt >= maxAttempts:
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, fmt.Sprintf("%s; given up after %d calls", last, x.Attempt))
	case settled:
		d.mark(KindAgain, x, d.now.t)
		d.open++
		d.again(d.now.t)
	case passed >= d.timeout(now):
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, last)
	default:
		d.lookAgain(x.asked())
	}
}

// began settles a call of unknown fate of which ECD shows that it was carried
// out, and how it ended if it failed.
func (d *decider) began(x *Desktop, fact Fact[*desktop.Desktop], change *desktop.Change) bool {
	now, spec := fact.Value, d.s.Operation.SpecOf(x.ID)
	switch {
	case change != nil && change.State == desktop.ChangeFailed:
		d.settle(x, events.StatusFailed, events.CodeRebuildFailed, reason(x, change))
	case change != nil:
		d.accept(x, fact.ReadAt, "the answer was lost; ECD's record of image changes shows that the rebuild began")
	case now != nil && now.Status == desktop.Rebuilding && (now.ImageID == x.From || now.ImageID == spec.ImageID) && !d.elsewhere(x):
		d.accept(x, fact.ReadAt, "the answer was lost; ECD shows the desktop as Rebuilding")
	case now != nil && !spec.Reset() && now.ImageID == spec.ImageID && x.From != spec.ImageID:
		d.accept(x, fact.ReadAt, "the answer was lost; ECD shows the desktop on the new image")
	default:
		return false
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// gone says whether ECD did not list a desktop in two looks, a settling time
// apart: it may leave one out of a single answer. For one that is not gone, that it
// is missing, or listed again, is written down. Its records cannot be asked for any
// more.
func (d *decider) gone(x *Desktop, fact Fact[*desktop.Desktop]) bool {
	switch {
	case fact.Value != nil && !x.MissingAt.IsZero():
		d.mark(KindListed, x, fact.ReadAt)
	case fact.Value != nil:
	case x.MissingAt.IsZero():
		d.mark(KindMissing, x, fact.ReadAt)
		d.again(d.now.in(Settling))
	case fact.Since(x.MissingAt) < Settling:
		d.again(x.MissingAt.Add(Settling))
	default:
		return true
	}
	return false
}

// change returns ECD's newest record of an image change that belongs to the
// desktop's last call, or nil, and when that was asked.
func (d *decider) change(x *Desktop) (*desktop.Change, time.Time, bool) {
	list, ok := d.changes(x)
	if !ok {
		return nil, zero, false
	}
	spec := d.s.Operation.SpecOf(x.ID)
	for i := range list.Value {
		c := &list.Value[i]
		if c.Updated.Before(x.BegunAt.Add(-clockSkew)) {
			break
		}
		// A reset keeps the image: a change to another one, or from another one,
		// was somebody else's.
		if spec.Reset() && (c.To != x.From || c.From != "" && c.From != x.From) {
			continue
		}
		if c.State != desktop.ChangeUnknown && c.To == cmp.Or(spec.ImageID, x.From) {
			return c, list.ReadAt, true
		}
	}
	return nil, list.ReadAt, true
}

// elsewhere says whether ECD records that the desktop is on its way to another
// image than ours: then it is Rebuilding for somebody else.
func (d *decider) elsewhere(x *Desktop) bool {
	list := d.f.Changes[x.ID].Value
	return len(list) > 0 && list[0].State == desktop.Changing && list[0].To != cmp.Or(d.s.Operation.SpecOf(x.ID).ImageID, x.From)
}

// follow sees an accepted rebuild to its end.
func (d *decider) follow(x *Desktop) {
	fact, ok := d.read(x)
	if !ok {
		return
	}
	now := fact.Value
	if d.gone(x, fact) {
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("ECD no longer lists desktop %s: somebody released it while it was being rebuilt", x.ID))
		return
	}
	took := fact.Since(x.AcceptedAt)
	spec := d.s.Operation.SpecOf(x.ID)
	still := now != nil && (now.Status == desktop.Running || now.Status == desktop.Stopped)
	here := false
	if still {
		if here, ok = d.arrived(x, now, spec); !ok {
			return
		}
	}
	switch {
	case here:
		d.runs(x, now)
		d.prove(x, fact)
		return
	case still && now.ImageID != x.From && now.ImageID != spec.ImageID:
		d.moved(x, now)
		return
	case !x.ArrivedAt.IsZero() && still:
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("desktop %s was on %s and is no more: somebody else changed it", x.ID, spec.ImageID))
		return
	case now != nil && now.Status == desktop.Rebuilding && spec.Reset() && !x.Seen:
		d.mark(KindSeen, x, fact.ReadAt)
	}
	late := took >= d.timeout(now)
	if !x.ArrivedAt.IsZero() { // it has shown up, and is only passing through another status
		late = fact.Since(x.ArrivedAt) >= giveUp
	}
	if (late || still && took >= Settling) && d.ended(x, now, late, took) {
		return
	}
	d.lookAgain(x.AcceptedAt)
}

// moved settles a desktop that is on neither the image that it was on nor the one
// that it was to get.
func (d *decider) moved(x *Desktop, now *desktop.Desktop) {
	c, _, ok := d.change(x)
	switch {
	case !ok:
	case c != nil && c.State == desktop.ChangeSucceeded && d.provesNothing(now):
		d.settle(x, events.StatusCompleted, events.CodeCompleted, fmt.Sprintf("ECD records that it was rebuilt; it is on %s by now", now.ImageID))
	default:
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("desktop %s is on %s, which is neither the image it was on nor the one it was to get: somebody else changed it", x.ID, now.ImageID))
	}
}

// provesNothing says whether a desktop need not prove anything once it was rebuilt.
func (d *decider) provesNothing(now *desktop.Desktop) bool {
	check, declared := d.checkOf(now)
	return declared && check.Stable == 0 && check.Command == ""
}

// arrived says whether a desktop that is Running or Stopped is where its
// rebuild was to bring it. For a reset the image says nothing: ECD's record must
// say that it succeeded or, if there is none, it must have been seen Rebuilding.
func (d *decider) arrived(x *Desktop, now *desktop.Desktop, spec desktop.Spec) (here, ok bool) {
	wanted := cmp.Or(spec.ImageID, x.From)
	if now.ImageID != wanted || x.From != wanted {
		return now.ImageID == wanted, true
	}
	c, _, ok := d.change(x)
	if c != nil {
		return c.State == desktop.ChangeSucceeded, ok
	}
	return x.Seen, ok
}

// ended asks ECD's records about a rebuild that shows no success, and settles
// it if they tell, or if its time is over.
func (d *decider) ended(x *Desktop, now *desktop.Desktop, late bool, took time.Duration) bool {
	change, _, ok := d.change(x)
	if !ok {
		return true // it was dealt with, or waits for the answer
	}
	if change != nil && change.State == desktop.ChangeFailed {
		d.settle(x, events.StatusFailed, events.CodeRebuildFailed, reason(x, change))
		return true
	}
	if !late {
		return false
	}
	d.settle(x, events.StatusFailed, events.CodeRebuildTimeout, fmt.Sprintf("desktop %s has not shown up on the image %s after ECD accepted the rebuild; last seen %s", x.ID, took.Round(time.Second), seen(now)))
	return true
}

// prove completes a desktop that has arrived once it is in the wanted status, has
// been stable and has passed its check, where its fleet wants that. A request's
// desktop that stays in another status is completed all the same: it has the
// image, and ECD does not say that it keeps to AfterStatus.
func (d *decider) prove(x *Desktop, fact Fact[*desktop.Desktop]) {
	now := fact.Value
	check, declared := d.checkOf(now)
	wanted := d.s.Operation.AfterStatus
	elsewise := wanted != "" && now.Status != wanted && x.ArrivedAt.IsZero()
	switch {
	case elsewise && fact.Since(x.AcceptedAt) < d.timeout(now):
		d.lookAgain(x.AcceptedAt)
	case elsewise && !d.s.Operation.Request():
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("desktop %s is on the image, but it is %s and not %s", x.ID, now.Status, wanted))
	case elsewise:
		d.settle(x, events.StatusCompleted, events.CodeCompleted, fmt.Sprintf("it is on the image, but it is %s and not %s", now.Status, wanted))
	case !declared:
		d.unproven(x, fact)
	case x.ArrivedAt.IsZero() && (check.Stable > 0 || check.Command != ""):
		d.mark(KindArrived, x, fact.ReadAt)
		d.open++
		d.again(d.now.in(check.Stable))
	case fact.Since(x.ArrivedAt) < check.Stable:
		d.open++
		d.again(x.ArrivedAt.Add(check.Stable))
	case check.Command != "" && now.OS == desktop.Linux && x.Check == "":
		// The guard refuses such desktops; the command came into fleets.yaml since.
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "it is on the image; the check was not run, for ECD runs commands on Windows only")
	case check.Command != "":
		d.check(x, fact, check)
	default:
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "")
	}
}

// checkOf returns what the desktop must prove. Nobody knows what that is when the
// rollout's fleet is not declared any more.
func (d *decider) checkOf(now *desktop.Desktop) (check fleet.Check, declared bool) {
	if d.s.Operation.Request() {
		return check, true
	}
	s := d.strategy(now)
	if s == nil {
		return check, false
	}
	return s.Check, true
}

// unproven keeps a desktop waiting that has arrived while its fleet is not
// declared: what it must prove may come back with the fleet. A rollout that will
// not go on anyway does not wait for that.
func (d *decider) unproven(x *Desktop, fact Fact[*desktop.Desktop]) {
	const not = "its fleet is not declared in fleets.yaml any more, so it was not checked"
	switch {
	case d.s.Aborted != "" || d.s.Superseded != "":
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "it is on the image; "+not)
	case x.ArrivedAt.IsZero():
		d.mark(KindArrived, x, fact.ReadAt)
		d.lookAgain(x.AcceptedAt)
	case fact.Since(x.ArrivedAt) >= giveUp:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("desktop %s is on the image for %s; %s", x.ID, giveUp, not))
	default:
		d.lookAgain(x.ArrivedAt)
	}
}

// check runs the fleet's command on a desktop and waits for its result.
func (d *decider) check(x *Desktop, fact Fact[*desktop.Desktop], c fleet.Check) {
	now := fact.Value
	switch over := fact.Since(x.ArrivedAt) >= c.Stable+readyLimit; {
	case x.Check != "":
		d.checked(x, c)
	case over:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check could not be run on desktop %s, which is %s", x.ID, now.Status))
	case now.Status != desktop.Running:
		d.open++
		d.again(d.now.in(time.Minute))
	default:
		d.out.Command.Text, d.out.Command.Kind, d.out.Command.Timeout = c.Command, c.Kind, c.Timeout
		d.out.Command.Desktops = append(d.out.Command.Desktops, x.ID)
		d.open++
		d.again(d.now.in(30 * time.Second))
	}
}

// checked looks at the result of the command that was run.
func (d *decider) checked(x *Desktop, c fleet.Check) {
	results, ok := find(d, d.f.Checks, x.Check, &d.out.Need.Checks, x.CheckedAt)
	if !ok {
		return
	}
	got, there := results.Value[x.ID]
	switch {
	case there && got.Done && got.Status == "Success" && got.ExitCode == 0:
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "")
	case there && got.Done:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check ended on desktop %s with %s and exit code %d: %s", x.ID, got.Status, got.ExitCode, got.Output))
	case results.Since(x.CheckedAt) >= c.Timeout+5*time.Minute:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check on desktop %s did not end", x.ID))
	default:
		d.open++
		d.again(d.now.in(30 * time.Second))
	}
}

// strategy returns that of the rollout's fleet, or of the fleet that the desktop
// of a request belongs to, as far as it is known.
func (d *decider) strategy(now *desktop.Desktop) *fleet.Strategy {
	if !d.s.Operation.Request() {
		for i := range d.r.Fleets {
			if d.r.Fleets[i].Name == d.s.Operation.Fleet {
				return &d.r.Fleets[i].Strategy
			}
		}
		return nil
	}
	if now != nil {
		if f, in := d.r.Fleets.Of(*now); in {
			return &f.Strategy
		}
	}
	return nil
}

// timeout is how long a rebuild of the desktop may take.
func (d *decider) timeout(now *desktop.Desktop) time.Duration {
	if s := d.strategy(now); s != nil && s.RebuildTimeout > 0 {
		return s.RebuildTimeout
	}
	return d.r.RebuildTimeout
}

func reason(x *Desktop, c *desktop.Change) string {
	why := c.Reason
	if why == "" {
		why = "ECD gives no reason"
	}
	return fmt.Sprintf("ECD records that the rebuild of %s failed: %s", x.ID, why)
}

func seen(d *desktop.Desktop) string {
	if d == nil {
		return "nowhere: ECD does not list it"
	}
	return fmt.Sprintf("%s on image %s", d.Status, d.ImageID)
}
