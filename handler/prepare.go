package handler

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// A preparer is the stage that writes down what follows from the facts, and does what
// comes before a rebuild and after it: maintenance mode, stop, start, commands and
// notices.
type preparer struct {
	*invocation
	ecd interface {
		Maintainer
		Checker
	}
	notifier Notifier // nil: none
	saver    Saver    // nil: none
	facts    *reader
	perms    *permissions
	sched    *scheduler
	out      *outbox
	recovery *recovery
}

// maxRounds bounds how many steps a job may take in one invocation before its
// desktops are begun: a wave begins, desktops go into maintenance mode, …
const maxRounds = 8

// prepare takes the next step of each job that was decided about, and says whether a
// further one follows for any of them: those are to be decided about anew.
func (pr *preparer) prepare(jobs []*job) (further bool) {
	for _, j := range jobs {
		if !j.decision.made || j.decision.prepared {
			continue
		}
		j.decision.prepared = true
		if !pr.prepareOne(j, j.decision) {
			continue
		}
		j.decision = decision{}
		if j.rounds++; j.rounds == maxRounds { // still moving: the tick goes on
			j.decision = decision{made: true, prepared: true, Decision: rollout.Decision{Next: pr.asOf()}}
			continue
		}
		further = true
	}
	return further
}

// prepareOne writes down what follows from the facts, takes the steps that come before
// a rebuild, and says whether the job must be decided about anew.
func (pr *preparer) prepareOne(j *job, found decision) bool {
	d := j.able(found.Decision)
	if len(d.Begin) > 0 || len(d.Records) > 0 || d.Acts() {
		if err := pr.sched.watchdog(j); err != nil {
			pr.recovery.fail(j, err)
			return false
		}
	}
	if len(d.Unrestored) > 0 {
		pr.log.Error("desktops are left in maintenance mode, or stopped, by us: take them out by hand", "job", j.id, "desktops", d.Unrestored)
	}
	if len(d.Records) > 0 {
		err := j.journal.UpdateBy(pr.ctx, &found.basis, overtaken, func(*rollout.State) []rollout.Record { return d.Records })
		if errors.Is(err, errOvertaken) {
			return true
		}
		if err != nil {
			pr.recovery.fail(j, err)
			return false
		}
	}
	outcomes := 0
	for _, rec := range d.Records {
		for _, g := range rec.Outcomes {
			pr.out.add(j, g.Desktops)
			outcomes++
		}
	}
	if outcomes == 0 { // else the events come behind the outcomes that they follow from
		pr.out.emitEvents(j)
	}
	if d.Acts() {
		return pr.act(j, d, found.basis)
	}
	return slices.ContainsFunc(d.Records, leadsOn)
}

// leadsOn says whether another decision follows from a record at once.
func leadsOn(rec rollout.Record) bool {
	switch rec.Kind {
	case rollout.KindWave, rollout.KindWaveEnded, rollout.KindNotBegun, rollout.KindHalted, rollout.KindUse, rollout.KindAlarms:
		return true
	}
	return false
}

// act does to desktops what is not a rebuild. Each call is announced in the journal
// before it is made, so that its effect is undone even after a crash; and it is
// repeated if it fails, which does no harm. If others have written since the decision,
// nothing is done: the desktops may be released, or begun, by now. The record of a
// call's end counts only if no other call was announced since. It returns whether to
// decide again.
func (pr *preparer) act(j *job, d rollout.Decision, basis version) bool {
	ctx, cancel := context.WithDeadline(pr.ctx, time.Now().Add(rollout.CallLimit)) // others rely on it: see rollout.Act
	defer cancel()
	call := rand.Text()
	var region string
	calls := map[string]string{} // in which each desktop was that is to be checked
	if again := pr.announce(j, d, basis, call, func(s *rollout.State) {
		region = s.Operation.RegionID
		for _, id := range d.Command.Desktops {
			calls[id] = s.Desktops[id].Call
		}
	}); again || j.failure() != nil {
		return again && j.failure() == nil
	}
	maintain := func(on bool) func([]string) error {
		return func(ids []string) error { return pr.ecd.Maintain(ctx, region, ids, on) }
	}
	done := func(kind rollout.Kind, ids []string) {
		pr.record(j, func(*rollout.State) rollout.Record { return rollout.Record{Kind: kind, Call: call, Desktops: ids} })
	}
	done(rollout.KindHeld, pr.attempt(j, "maintenance on", d.Hold, maintain(true)))
	pr.putOff(j, d.Hold)
	pr.attempt(j, "stop", d.Stop, func(ids []string) error { return pr.ecd.Stop(ctx, region, ids) })
	done(rollout.KindReleased, pr.attempt(j, "maintenance off", d.Release, maintain(false)))
	done(rollout.KindStarted, pr.attempt(j, "start", d.Start, func(ids []string) error { return pr.ecd.Start(ctx, region, ids) }))
	pr.runCheck(ctx, j, region, d.Command, calls)
	pr.notify(ctx, j, region, d.Tell, call)
	pr.ask(ctx, j, region, d.Ask, call)
	pr.save(ctx, j, region, d.Save, call)
	pr.facts.forget(region, slices.Concat(d.Hold, d.Stop, d.Release, d.Start)...) // what was read of them was so before
	return j.failure() == nil
}

// announce writes down what is about to be done to desktops. It returns true, and
// writes nothing, if others have written since the decision was made.
func (pr *preparer) announce(j *job, d rollout.Decision, basis version, call string, look func(*rollout.State)) (again bool) {
	kinds := []struct {
		kind rollout.Kind
		ids  []string
	}{{rollout.KindHolding, d.Hold}, {rollout.KindStopping, d.Stop}, {rollout.KindReleasing, d.Release}, {rollout.KindStarting, d.Start}}
	if err := j.journal.Refresh(pr.ctx); err != nil { // a check announces nothing
		pr.recovery.fail(j, err)
		return false
	}
	err := j.journal.UpdateBy(pr.ctx, &basis, overtaken, func(s *rollout.State) []rollout.Record {
		look(s)
		var out []rollout.Record
		for _, k := range kinds {
			if len(k.ids) > 0 {
				out = append(out, rollout.Record{Kind: k.kind, Call: call, Desktops: k.ids})
			}
		}
		return slices.Concat(out, announcedNotices(d.Tell, call), announcedAsks(d.Ask, call), announcedSaves(d.Save, call))
	})
	if errors.Is(err, errOvertaken) {
		return true
	}
	if err != nil {
		pr.recovery.fail(j, err)
	}
	return false
}

// runCheck runs the check command on desktops and writes down its id for those
// that are still in the attempt that it is to check.
func (pr *preparer) runCheck(ctx context.Context, j *job, region string, c rollout.Command, calls map[string]string) {
	var invoked []string
	ran := pr.attempt(j, checking, c.Desktops, func(ids []string) error {
		more, err := pr.ecd.Run(ctx, region, ids, c.Text, c.Kind, c.Timeout)
		if err == nil {
			invoked = append(invoked, more...)
		}
		return err
	})
	pr.record(j, func(s *rollout.State) rollout.Record {
		rec := rollout.Record{Kind: rollout.KindChecking, Call: strings.Join(invoked, ",")}
		for _, id := range ran {
			if x := s.Desktops[id]; x.Phase == rollout.Accepted && x.Call == calls[id] && x.Check == "" {
				rec.Desktops = append(rec.Desktops, id)
			}
		}
		return rec
	})
}

// holdPause is after how long it is tried again to put a desktop into maintenance mode.
const holdPause = 5 * time.Minute

// putOff defers the desktops that could not be put into maintenance mode. They fail
// in the end like those that could not be rebuilt, and do not hold up others.
func (pr *preparer) putOff(j *job, ids []string) {
	var groups []rollout.Group
	for _, id := range ids {
		err := j.unable[id]
		if err == nil {
			continue
		}
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeCallFailed, Until: pr.business().UTC().Add(holdPause),
			Message: "putting it into maintenance mode: " + err.Error()}
		if desktop.DeliveryOf(err) == desktop.Forbidden {
			g.Code = events.CodeNotAuthorized
		}
		i := slices.IndexFunc(groups, func(o rollout.Group) bool { return o.Message == g.Message })
		if i < 0 {
			i, groups = len(groups), append(groups, g)
		}
		groups[i].Desktops = append(groups[i].Desktops, id)
	}
	if len(groups) == 0 || j.failure() != nil {
		return
	}
	err := j.journal.Update(pr.ctx, func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindSettled, Outcomes: groups}}
	})
	if err != nil {
		pr.recovery.fail(j, err)
		return
	}
	for _, g := range groups {
		pr.out.add(j, g.Desktops)
	}
}

// record writes one record, if it names any desktop. It is made of the state that it is
// appended to.
func (pr *preparer) record(j *job, f func(*rollout.State) rollout.Record) {
	if j.failure() != nil {
		return
	}
	err := j.journal.Update(pr.ctx, func(s *rollout.State) []rollout.Record {
		if rec := f(s); len(rec.Desktops) > 0 {
			return []rollout.Record{rec}
		}
		return nil
	})
	if err != nil {
		pr.recovery.fail(j, err)
	}
}

// attempt calls ECD for desktops, and returns those for which that worked. ECD
// refuses all of a call for the sake of one desktop (one that was released, or
// is in another status than it was shown in), so a call that it refused is taken
// apart; see mayTakeApart. A failure is logged; the journal says what is still to be
// done, and the next tick tries again.
func (pr *preparer) attempt(j *job, what string, ids []string, do func([]string) error) []string {
	if len(ids) == 0 || j.failure() != nil {
		return nil
	}
	err := do(ids)
	if err == nil {
		return ids
	}
	e, answered := errors.AsType[*desktop.CallError](err)
	if answered && len(ids) > 1 && mayTakeApart(e, what, ids) {
		half := len(ids) / 2
		return append(slices.Clip(pr.attempt(j, what, ids[:half], do)), pr.attempt(j, what, ids[half:], do)...)
	}
	if answered && e.Delivery == desktop.Forbidden {
		pr.perms.deny(e, err)
	}
	pr.log.Warn("desktops could not be made ready", "job", j.id, "what", what, "desktops", len(ids), "error", err.Error())
	if j.unable == nil {
		j.unable = map[string]error{}
	}
	for _, id := range ids {
		j.unable[id] = err
	}
	return nil
}

// checking is the one thing done to desktops, besides a rebuild, that must not be
// done twice.
const checking = "checking"

// mayTakeApart says whether a call that makes desktops ready, or checks them, is
// made again in halves. One that does no harm when it is repeated may be, also
// for a code that no page lists: one desktop must not keep all the others in
// maintenance mode.
func mayTakeApart(e *desktop.CallError, what string, ids []string) bool {
	return e.Delivery == desktop.Refused || aboutOne(e, ids) || e.Unlisted && what != checking && what != telling && what != asking
}

// What the calls that show notices, and those that ask desktops, are called in the log.
// Like a check they are not repeated without need: a person reads each.
const (
	telling = "telling"
	asking  = "asking"
)

// maxNotices is how many notices are announced and sent in one step, so that all of it
// fits into the time of a call. The rest is sent in the next.
const maxNotices = 20

// announcedNotices returns the records that announce notices. Each has a call of its
// own, so that its end is not taken for that of another.
func announcedNotices(tell []rollout.Notification, call string) []rollout.Record {
	var out []rollout.Record
	for i, t := range tell {
		out = append(out, rollout.Record{Kind: rollout.KindNotifying, Call: partOf(call, i), Until: t.Due, N: t.N(), Desktops: t.Desktops})
	}
	return out
}

func partOf(call string, i int) string { return call + "/" + strconv.Itoa(i) }

// announcedAsks returns the records that announce commands before a rebuild.
func announcedAsks(ask []rollout.Command, call string) []rollout.Record {
	var out []rollout.Record
	for i, c := range ask {
		out = append(out, rollout.Record{Kind: rollout.KindAsking, Call: partOf(call, i), Desktops: c.Desktops})
	}
	return out
}

// ask runs the command that asks desktops whether they may be rebuilt.
func (pr *preparer) ask(ctx context.Context, j *job, region string, ask []rollout.Command, call string) {
	for i, c := range ask {
		pr.startOn(j, rollout.KindAsked, asking, partOf(call, i), c.Desktops, func(ids []string) ([]string, error) {
			return pr.ecd.Run(ctx, region, ids, c.Text, c.Kind, c.Timeout)
		})
	}
}

// notify has notices shown, and writes down for which desktops that was asked for and
// for which it could not be.
func (pr *preparer) notify(ctx context.Context, j *job, region string, tell []rollout.Notification, call string) {
	for i, t := range tell {
		pr.startOn(j, rollout.KindSent, telling, partOf(call, i), t.Desktops, func(ids []string) ([]string, error) {
			if pr.notifier == nil {
				return nil, errors.New("nobody can be told here")
			}
			return pr.notifier.Tell(ctx, region, ids, t.User, t.Text)
		})
	}
}

// startOn starts something on desktops that ends later, and writes down what to
// ask for its results, or why it was not started.
func (pr *preparer) startOn(j *job, kind rollout.Kind, what, call string, ids []string, start func([]string) ([]string, error)) {
	var invoked []string
	sent := pr.attempt(j, what, ids, func(ids []string) error {
		more, err := start(ids)
		if err == nil {
			invoked = append(invoked, more...)
		}
		return err
	})
	pr.record(j, func(*rollout.State) rollout.Record {
		return rollout.Record{Kind: kind, Call: call, Invoke: strings.Join(invoked, ","), Desktops: sent}
	})
	byReason := map[string][]string{}
	for _, id := range ids {
		if err := j.unable[id]; err != nil {
			byReason[err.Error()] = append(byReason[err.Error()], id)
		}
	}
	for why, ids := range byReason {
		pr.record(j, func(*rollout.State) rollout.Record {
			return rollout.Record{Kind: kind, Call: call, Desktops: ids, Reason: &events.Reason{Code: events.CodeCallFailed, Message: rollout.Cut(why)}}
		})
	}
}
