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
// before ECD has shown over a settling time that it did not happen, and for a
// reset, which nothing in ECD tells from no reset, not at all.
func (d *decider) unknown(x *Desktop) {
	asked := x.CallEnded
	if asked.IsZero() { // whoever began it has not said how it ended
		if asked = x.BegunAt.Add(lease); d.now.Before(asked) {
			d.open++
			d.again(asked)
			return
		}
	}
	if d.now.Sub(asked) >= giveUp {
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, fmt.Sprintf(
			"the answer to the call of %s was lost and ECD could not be asked about it for %s", x.BegunAt.UTC().Format(time.RFC3339), giveUp))
		return
	}
	now, ok := d.read(x)
	if !ok {
		return
	}
	if now == nil && d.gone(x) {
		return
	}
	if now != nil && !x.MissingAt.IsZero() {
		d.mark(KindListed, x)
	}
	change, ok := d.change(x)
	if !ok {
		return
	}
	spec := d.s.Work.SpecOf(x.ID)
	switch {
	case change != nil && change.State == desktop.ChangeFailed:
		d.settle(x, events.StatusFailed, events.CodeRebuildFailed, reason(x, change))
		return
	case change != nil:
		d.settle(x, events.StatusAccepted, events.CodeReconciled, "the answer was lost; ECD's record of image changes shows that the rebuild began")
		return
	case now != nil && now.Status == desktop.Rebuilding && (now.ImageID == x.From || now.ImageID == spec.ImageID) && !d.elsewhere(x):
		d.settle(x, events.StatusAccepted, events.CodeReconciled, "the answer was lost; ECD shows the desktop as Rebuilding")
		return
	case now != nil && !spec.Reset() && now.ImageID == spec.ImageID && x.From != spec.ImageID:
		d.settle(x, events.StatusAccepted, events.CodeReconciled, "the answer was lost; ECD shows the desktop on the new image")
		return
	}
	settled := d.now.Sub(asked) >= Settling
	idle := now != nil && (now.Status == desktop.Running || now.Status == desktop.Stopped) && now.ImageID == x.From
	last := fmt.Sprintf("the answer to the call of %s was lost and ECD does not show whether the rebuild began; last seen %s",
		x.BegunAt.UTC().Format(time.RFC3339), seen(now))
	switch {
	case settled && idle && spec.Reset():
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, last+"; a reset is never sent twice: look at the desktop before you ask again")
	case settled && idle && x.Attempt >= maxAttempts:
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, fmt.Sprintf("%s; given up after %d calls", last, x.Attempt))
	case settled && idle:
		d.mark(KindAgain, x)
		d.open++
		d.again(d.now)
	case d.now.Sub(asked) >= d.timeout(x, now):
		d.settle(x, events.StatusFailed, events.CodeOutcomeUnknown, last)
	default:
		d.open++
		d.again(d.now.Add(Pace(d.now.Sub(asked))))
	}
}

// gone settles a desktop that ECD does not list, in two looks a settling time
// apart, though its rebuild was begun. Its records cannot be asked for any more.
func (d *decider) gone(x *Desktop) bool {
	switch {
	case x.MissingAt.IsZero():
		d.mark(KindMissing, x)
		d.again(d.now.Add(Settling))
		return false
	case d.now.Sub(x.MissingAt) < Settling:
		d.again(x.MissingAt.Add(Settling))
		return false
	}
	d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("ECD no longer lists desktop %s: somebody released it while it was being rebuilt", x.ID))
	return true
}

// change returns ECD's newest record of an image change that belongs to the
// desktop's last call, or nil.
func (d *decider) change(x *Desktop) (*desktop.Change, bool) {
	list, ok := d.changes(x)
	if !ok {
		return nil, false
	}
	spec := d.s.Work.SpecOf(x.ID)
	for i := range list {
		c := &list[i]
		if c.Updated.Before(x.BegunAt.Add(-clockSkew)) {
			break
		}
		// A reset keeps the image: a change to another one, or from another one,
		// was somebody else's.
		if spec.Reset() && (c.To != x.From || c.From != "" && c.From != x.From) {
			continue
		}
		if c.State != desktop.ChangeUnknown && c.To == cmp.Or(spec.ImageID, x.From) {
			return c, true
		}
	}
	return nil, true
}

// elsewhere says whether ECD records that the desktop is on its way to another
// image than ours: then it is Rebuilding for somebody else.
func (d *decider) elsewhere(x *Desktop) bool {
	list := d.f.Changes[x.ID]
	return len(list) > 0 && list[0].State == desktop.Changing && list[0].To != cmp.Or(d.s.Work.SpecOf(x.ID).ImageID, x.From)
}

// follow sees an accepted rebuild to its end.
func (d *decider) follow(x *Desktop) {
	took := d.now.Sub(x.AcceptedAt)
	if took < statusLag {
		d.open++
		d.again(x.AcceptedAt.Add(statusLag))
		return
	}
	if took >= giveUp && x.ArrivedAt.IsZero() {
		d.settle(x, events.StatusFailed, events.CodeRebuildTimeout, fmt.Sprintf("it is not known to have ended after %s", giveUp))
		return
	}
	now, ok := d.read(x)
	if !ok {
		return
	}
	if now == nil && d.gone(x) {
		return
	}
	if now != nil && !x.MissingAt.IsZero() {
		d.mark(KindListed, x)
	}
	spec := d.s.Work.SpecOf(x.ID)
	still := now != nil && (now.Status == desktop.Running || now.Status == desktop.Stopped)
	switch {
	case still && d.arrived(x, now, spec):
		d.prove(x, now)
		return
	case still && now.ImageID != x.From && now.ImageID != spec.ImageID:
		c, ok := d.change(x)
		if !ok {
			return
		}
		if c != nil && c.State == desktop.ChangeSucceeded {
			d.settle(x, events.StatusCompleted, events.CodeCompleted, fmt.Sprintf("ECD records that it was rebuilt; it is on %s by now", now.ImageID))
			return
		}
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("desktop %s is on %s, which is neither the image it was on nor the one it was to get: somebody else changed it", x.ID, now.ImageID))
		return
	case !x.ArrivedAt.IsZero() && still:
		d.settle(x, events.StatusFailed, events.CodeChangedOutside, fmt.Sprintf("desktop %s was on %s and is no more: somebody else changed it", x.ID, spec.ImageID))
		return
	case now != nil && now.Status == desktop.Rebuilding && spec.Reset() && !x.Seen:
		d.mark(KindSeen, x)
	}
	late := took >= d.timeout(x, now)
	if !x.ArrivedAt.IsZero() { // it has shown up, and is only passing through another status
		late = d.now.Sub(x.ArrivedAt) >= giveUp
	}
	if (late || still && took >= Settling) && d.ended(x, now, late, took) {
		return
	}
	d.open++
	d.again(d.now.Add(Pace(took)))
}

// arrived says whether a desktop that is Running or Stopped is where its
// rebuild was to bring it. For a reset the image says nothing: ECD's record must
// say that it succeeded or, if there is none, it must have been seen Rebuilding.
func (d *decider) arrived(x *Desktop, now *desktop.Desktop, spec desktop.Spec) bool {
	wanted := cmp.Or(spec.ImageID, x.From)
	if now.ImageID != wanted || x.From != wanted {
		return now.ImageID == wanted
	}
	c, ok := d.change(x)
	if c != nil {
		return c.State == desktop.ChangeSucceeded
	}
	return ok && x.Seen
}

// ended asks ECD's records about a rebuild that shows no success, and settles
// it if they tell, or if its time is over.
func (d *decider) ended(x *Desktop, now *desktop.Desktop, late bool, took time.Duration) bool {
	change, ok := d.change(x)
	if !ok {
		return false
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
func (d *decider) prove(x *Desktop, now *desktop.Desktop) {
	var check fleet.Check
	if s := d.strategy(now); s != nil && !d.s.Work.Request() {
		check = s.Check
	}
	wanted := d.s.Work.AfterStatus
	late := d.now.Sub(x.AcceptedAt) >= d.timeout(x, now)
	switch {
	case wanted != "" && now.Status != wanted && x.ArrivedAt.IsZero() && !late:
		d.open++
		d.again(d.now.Add(Pace(d.now.Sub(x.AcceptedAt))))
	case wanted != "" && now.Status != wanted && x.ArrivedAt.IsZero() && !d.s.Work.Request():
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("desktop %s is on the image, but it is %s and not %s", x.ID, now.Status, wanted))
	case wanted != "" && now.Status != wanted && x.ArrivedAt.IsZero():
		d.settle(x, events.StatusCompleted, events.CodeCompleted, fmt.Sprintf("it is on the image, but it is %s and not %s", now.Status, wanted))
	case x.ArrivedAt.IsZero() && (check.Stable > 0 || check.Command != ""):
		d.mark(KindArrived, x)
		d.open++
		d.again(d.now.Add(check.Stable))
	case d.now.Sub(x.ArrivedAt) < check.Stable:
		d.open++
		d.again(x.ArrivedAt.Add(check.Stable))
	case check.Command != "":
		d.check(x, now, check)
	default:
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "")
	}
}

// check runs the fleet's command on a desktop and waits for its result.
func (d *decider) check(x *Desktop, now *desktop.Desktop, c fleet.Check) {
	over := d.now.Sub(x.ArrivedAt) >= c.Stable+readyLimit
	switch {
	case x.Check == "" && over:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check could not be run on desktop %s, which is %s", x.ID, now.Status))
		return
	case x.Check == "" && now.Status != desktop.Running:
		d.open++
		d.again(d.now.Add(time.Minute))
		return
	case x.Check == "":
		d.out.Command.Text, d.out.Command.Kind, d.out.Command.Timeout = c.Command, c.Kind, c.Timeout
		d.out.Command.Desktops = append(d.out.Command.Desktops, x.ID)
		d.open++
		d.again(d.now.Add(30 * time.Second))
		return
	}
	results, asked := d.f.Checks[x.Check]
	if !asked {
		if _, unread := d.f.Unread["check/"+x.Check]; !unread {
			d.need(&d.out.Need.Checks, x.Check)
			return
		}
	}
	got, there := results[x.ID]
	late := d.now.Sub(x.CheckedAt) >= c.Timeout+5*time.Minute
	switch {
	case there && got.Done && got.Status == "Success" && got.ExitCode == 0:
		d.settle(x, events.StatusCompleted, events.CodeCompleted, "")
	case there && got.Done:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check ended on desktop %s with %s and exit code %d: %s", x.ID, got.Status, got.ExitCode, got.Output))
	case late:
		d.settle(x, events.StatusFailed, events.CodeCheckFailed, fmt.Sprintf("the check on desktop %s did not end", x.ID))
	default:
		d.open++
		d.again(d.now.Add(30 * time.Second))
	}
}

// strategy returns that of the rollout's fleet, or of the fleet that the desktop
// of a request belongs to, as far as it is known.
func (d *decider) strategy(now *desktop.Desktop) *fleet.Strategy {
	if !d.s.Work.Request() {
		for i := range d.r.Fleets {
			if d.r.Fleets[i].Name == d.s.Work.Fleet {
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
func (d *decider) timeout(_ *Desktop, now *desktop.Desktop) time.Duration {
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
