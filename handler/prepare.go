package handler

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
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
	accounts *accounts
	facts    *reader
	perms    *permissions
	sched    *scheduler
	index    *openIndex
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
		again := false
		err := contain(func() error {
			again = pr.prepareOne(j, j.decision)
			return nil
		})
		if err != nil { // what it had announced is looked after as after a crash
			pr.recovery.fail(j, err)
		}
		if !again {
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
	if len(d.Begin) > 0 || len(d.Records) > 0 || len(d.Acts) > 0 {
		if err := pr.sched.watchdog(j); err != nil {
			pr.recovery.fail(j, err)
			return false
		}
	}
	if len(d.Acts) > 0 {
		pr.index.await(j) // before anything is done to a desktop
	}
	if len(d.Unrestored) > 0 {
		pr.log.Error("desktops are left in maintenance mode, or stopped, by us: take them out by hand", "job", j.id, "desktops", d.Unrestored)
	}
	if len(d.Records) > 0 {
		basis, records := found.basis, d.Records
		err := j.journal.UpdateBy(pr.ctx, &basis, overtaken, func(*rollout.State) []rollout.Record { return records })
		again := errors.Is(err, errOvertaken)
		if again { // what was seen may not show any more
			err = j.journal.Update(pr.ctx, func(s *rollout.State) []rollout.Record { return s.StillSeen(records) })
		}
		if err != nil {
			pr.recovery.fail(j, err)
			return false
		}
		if again {
			return true
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
	if len(d.Acts) > 0 {
		return pr.act(j, d, found)
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
// nothing is done: the desktops may be released, or begun, by now. Nor is anything done
// by a decision that has grown old: publishing may have taken minutes, and a window may
// have closed, or somebody have connected, since. The record of a call's end counts only
// if no other call was announced since. It returns whether to decide again.
func (pr *preparer) act(j *job, d rollout.Decision, made decision) bool {
	ctx, cancel := context.WithDeadline(pr.ctx, time.Now().Add(rollout.CallLimit)) // others rely on it: see rollout.Call
	defer cancel()
	a := &acting{preparer: pr, within: ctx, job: j, call: rand.Text(), checked: map[string]string{}}
	acts, err := a.announce(d.Acts, made)
	if errors.Is(err, errOvertaken) {
		return true
	}
	if err != nil {
		pr.recovery.fail(j, err)
		return false
	}
	for i, x := range acts {
		a.do(x, a.part(i))
	}
	return j.failure() == nil
}

// acting is what is being done to the desktops of one job.
type acting struct {
	*preparer
	Services

	within  context.Context //nolint:containedctx // its calls must end when others take them for over
	job     *job
	at      desktop.Place
	fault   error             // why nothing can be called there; nil: it can
	call    string            // tells the records of these calls from those of others
	checked map[string]string // the call in which each desktop was that is to be checked
}

// announce writes down what is about to be done to desktops, and returns it without those
// that are to be kept from their users and were read too long ago; nothing of it if the
// decision has grown old. If others have written since that was made, it writes nothing
// and returns errOvertaken.
func (a *acting) announce(acts []rollout.Act, made decision) (able []rollout.Act, err error) {
	// The record that announces what is done shows whether others have written; a check has none.
	if slices.ContainsFunc(acts, func(x rollout.Act) bool { return x.What == rollout.Check }) {
		if err := a.job.journal.Refresh(a.ctx); err != nil {
			return nil, err
		}
	}
	basis, decided := made.basis, made.at
	err = a.job.journal.UpdateBy(a.ctx, &basis, overtaken, func(s *rollout.State) (out []rollout.Record) {
		a.at = s.Operation.Place()
		a.Services, a.fault = a.accounts.of(a.at.Account)
		if able = nil; !a.old(decided) {
			able = a.withoutOld(acts, decided)
		}
		for i, x := range able {
			if rec, announced := x.Begins(a.part(i)); announced {
				out = append(out, rec)
			}
			if x.What == rollout.Check {
				for _, id := range x.Desktops {
					a.checked[id] = s.Desktops[id].Call
				}
			}
		}
		return out
	})
	return able, err
}

// withoutOld takes out of acts the desktops that are to be put into maintenance mode,
// or stopped, and were read too long ago, or once more since that was decided: somebody
// may use them by now.
func (a *acting) withoutOld(acts []rollout.Act, decided time.Time) (out []rollout.Act) {
	a.facts.use(a.at, nil, func(facts *rollout.Facts) {
		for _, x := range acts {
			if x.What == rollout.Hold || x.What == rollout.Stop {
				x.Desktops = slices.DeleteFunc(slices.Clone(x.Desktops), func(id string) bool {
					read := facts.Desktops[id].ReadAt
					return a.old(read) || read.After(decided)
				})
			}
			if len(x.Desktops) > 0 {
				out = append(out, x)
			}
		}
	})
	return out
}

// part names one of several calls, so that its end is not taken for that of another.
func (a *acting) part(i int) string { return a.call + "/" + strconv.Itoa(i) }

// do does an act, and writes down how its call ended.
func (a *acting) do(x rollout.Act, call string) {
	if x.What == rollout.Save {
		a.save(x, call)
		return
	}
	done, invoked := a.attempt(x, x.Desktops)
	end := rollout.Record{Kind: x.Ends(), Call: call, Invoke: strings.Join(invoked, ","), Desktops: done}
	switch x.What {
	case rollout.Check:
		a.noteCheck(end)
		return
	case rollout.Stop: // the desktop shows it
	default:
		a.record(func(*rollout.State) rollout.Record { return end })
	}
	switch x.What {
	case rollout.Tell, rollout.Ask:
		a.noteFailures(x, end)
		return
	case rollout.Hold:
		a.putOff(x.Desktops)
	}
	a.facts.forget(a.at, x.Desktops...) // what was read of them was so before
}

// make makes one call for an act, and returns the ids to ask for its results, if it ends
// later.
func (a *acting) make(x rollout.Act, ids []string) (invoked []string, err error) {
	switch x.What {
	case rollout.Hold, rollout.Release:
		return nil, a.ECD.Maintain(a.within, a.at.Region, ids, x.What == rollout.Hold)
	case rollout.Stop:
		return nil, a.ECD.Stop(a.within, a.at.Region, ids)
	case rollout.Start:
		return nil, a.ECD.Start(a.within, a.at.Region, ids)
	case rollout.Tell:
		if a.Notifier == nil {
			return nil, errors.New("nobody can be told here")
		}
		return a.Notifier.Tell(a.within, a.at.Region, ids, x.User, x.Text)
	}
	return a.ECD.Run(a.within, a.at.Region, ids, x.Text, x.Kind, x.Timeout)
}

// noteCheck writes down the id of a check for those desktops that are still in the attempt
// that it is to check.
func (a *acting) noteCheck(end rollout.Record) {
	a.record(func(s *rollout.State) rollout.Record {
		rec := rollout.Record{Kind: end.Kind, Call: end.Invoke}
		for _, id := range end.Desktops {
			if x := s.Desktops[id]; x.Phase == rollout.Accepted && x.Call == a.checked[id] && x.Check == "" {
				rec.Desktops = append(rec.Desktops, id)
			}
		}
		return rec
	})
}

// noteFailures writes down why users could not be told, or desktops not be asked.
func (a *acting) noteFailures(x rollout.Act, end rollout.Record) {
	byReason := map[string][]string{}
	for _, id := range x.Desktops {
		if err := a.job.unable[id]; err != nil {
			byReason[err.Error()] = append(byReason[err.Error()], id)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		a.record(func(*rollout.State) rollout.Record {
			return rollout.Record{Kind: end.Kind, Call: end.Call, Desktops: byReason[why],
				Reason: &events.Reason{Code: events.CodeCallFailed, Message: rollout.Cut(why)}}
		})
	}
}

// holdPause is after how long it is tried again to put a desktop into maintenance mode.
const holdPause = 5 * time.Minute

// putOff defers the desktops that could not be put into maintenance mode. They fail
// in the end like those that could not be rebuilt, and do not hold up others.
func (a *acting) putOff(ids []string) {
	var groups []rollout.Group
	for _, id := range ids {
		err := a.job.unable[id]
		if err == nil {
			continue
		}
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeCallFailed, Until: a.business().UTC().Add(holdPause),
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
	if len(groups) == 0 || a.job.failure() != nil {
		return
	}
	err := a.job.journal.Update(a.ctx, func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindSettled, Outcomes: groups}}
	})
	if err != nil {
		a.recovery.fail(a.job, err)
		return
	}
	for _, g := range groups {
		a.out.add(a.job, g.Desktops)
	}
}

// record writes one record, if it names any desktop. It is made of the state that it is
// appended to.
func (a *acting) record(f func(*rollout.State) rollout.Record) {
	if a.job.failure() != nil {
		return
	}
	err := a.job.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
		if rec := f(s); len(rec.Desktops) > 0 {
			return []rollout.Record{rec}
		}
		return nil
	})
	if err != nil {
		a.recovery.fail(a.job, err)
	}
}

// attempt calls ECD for desktops, and returns those for which that worked, and what to
// ask for its results. ECD refuses all of a call for the sake of one desktop (one that
// was released, or is in another status than it was shown in), so a call that it refused
// is taken apart; see mayTakeApart. A failure is logged; the journal says what is still
// to be done, and the next tick tries again.
func (a *acting) attempt(x rollout.Act, ids []string) (done, invoked []string) {
	j := a.job
	if len(ids) == 0 || j.failure() != nil {
		return nil, nil
	}
	err := a.fault
	if err == nil {
		invoked, err = a.make(x, ids)
	}
	if err == nil {
		return ids, invoked
	}
	e, answered := errors.AsType[*desktop.CallError](err)
	if answered && len(ids) > 1 && mayTakeApart(e, x.What, ids) {
		half := len(ids) / 2
		first, of1 := a.attempt(x, ids[:half])
		second, of2 := a.attempt(x, ids[half:])
		return slices.Concat(first, second), slices.Concat(of1, of2)
	}
	if answered && e.Delivery == desktop.Forbidden {
		a.perms.deny(a.at.Account, e, err)
	}
	inAccount(a.log, a.at.Account).Warn("desktops could not be made ready", "job", j.id, "what", actNames[x.What], "desktops", len(ids), "error", err.Error())
	if j.unable == nil {
		j.unable = map[string]error{}
	}
	for _, id := range ids {
		j.unable[id] = err
	}
	return nil, nil
}

// actNames are what acts are called in the log.
var actNames = map[rollout.What]string{rollout.Hold: "maintenance on", rollout.Stop: "stop", rollout.Release: "maintenance off", rollout.Start: "start",
	rollout.Check: "checking", rollout.Tell: "telling", rollout.Ask: "asking"}

// maxCalls is how many calls of one sort are announced and made in one step, so that all
// of it fits into the time of a call. The rest is done in the next.
const maxCalls = 20

// mayTakeApart says whether a call that makes desktops ready, or checks them, is
// made again in halves. One that does no harm when it is repeated may be, also
// for a code that no page lists: one desktop must not keep all the others in
// maintenance mode. Checks, notices and questions are not repeated without need: a
// person may see each.
func mayTakeApart(e *desktop.CallError, what rollout.What, ids []string) bool {
	return e.Delivery == desktop.Refused || aboutOne(e, ids) || e.Unlisted && what < rollout.Check
}
