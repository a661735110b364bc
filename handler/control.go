package handler

import (
	"errors"
	"fmt"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// takeControl tells a rollout what somebody wants of it.
func (r *run) takeControl(m envelope.Message) error {
	c, err := events.ParseControl(m.Data)
	if err != nil {
		r.refuseControl(m, c, events.CodeInvalidRequest, err.Error())
		return nil
	}
	if why := r.heardControl(m, c); why != "" {
		r.refuseControl(m, c, events.CodeWrongDoor, why)
		return nil
	}
	if r.Journal == nil {
		r.refuseControl(m, c, events.CodeRolloutUnknown, "there are no rollouts without a journal; set REGILD_JOURNAL")
		return nil
	}
	j, fresh := r.add(kindRollout, c.RolloutID)
	if fresh {
		j.message = m
	}
	if err := r.open(j); err != nil {
		r.drop(j)
		return err
	}
	if c.Action == events.ActionRollback {
		return r.takeRollback(m, c, j)
	}
	var refusal error
	err = j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		refusal = nil
		if s.Controls[r.identity(m)] {
			return nil // told twice
		}
		if refusal = rollout.Allow(s, c.Action, c.Wave); refusal != nil || c.DryRun {
			return nil
		}
		j.message = envelope.Message{} // written down: if the job fails now, a tick goes on with it
		return []rollout.Record{r.controlled(m, c)}
	})
	if err != nil {
		r.drop(j)
		return err
	}
	if refusal != nil {
		code := events.CodeControlNotPossible
		j.journal.Look(func(s *rollout.State) {
			if s.Operation == nil {
				code = events.CodeRolloutUnknown
			}
		})
		r.refuseControl(m, c, code, fmt.Sprintf("%s is not possible for rollout %s: %s", c.Action, c.RolloutID, refusal))
		if code == events.CodeRolloutUnknown {
			r.drop(j)
		}
	}
	return nil
}

// controlled is the record of what somebody told a rollout.
func (r *run) controlled(m envelope.Message, c events.Control) rollout.Record {
	return rollout.Record{Kind: rollout.KindControl, At: r.now, Action: c.Action, Who: c.By, Wave: c.Wave, Message: r.identity(m), Via: r.via(m),
		Reason: &events.Reason{Code: controlCode(c.Action), Message: c.Reason}}
}

func controlCode(action string) string {
	switch action {
	case events.ActionPause:
		return events.CodePaused
	case events.ActionAbort:
		return events.CodeAborted
	}
	return events.CodeSuccess
}

// takeRollback opens the rollout that takes another one back: each desktop to
// the image that it was on before.
func (r *run) takeRollback(m envelope.Message, c events.Control, j *job) error {
	w := rollout.Operation{Via: r.via(m), ID: c.RolloutID + "/rollback", Undoes: c.RolloutID, By: c.By, Why: c.Reason, Consents: append([]string{events.ConsentDowngrade}, c.Consent...)}
	no := func(code, why string) error {
		r.refuseControl(m, c, code, fmt.Sprintf("rollback is not possible for rollout %s: %s", c.RolloutID, why))
		return nil
	}
	var log rollout.FleetLog
	if _, fleet, ok := rollout.SplitID(c.RolloutID); ok {
		var err error
		if log, err = r.fleetLog(fleet); err != nil {
			return err
		}
	}
	if before := log.Find(w.ID); before != nil {
		if !asksFor(*before, r.identity(m), c) && !r.toldBefore(j, m) {
			return no(events.CodeControlNotPossible, w.ID+" has begun before")
		}
		r.wake(*before)
		return nil
	}
	origin := log.Find(c.RolloutID)
	if origin == nil {
		r.drop(j)
		return no(events.CodeRolloutUnknown, "there is no such rollout in the journal")
	}
	if why := mayRollBack(j, *origin, log); why != nil {
		return no(events.CodeControlNotPossible, why.Error())
	}
	w.Fleet, w.ReleaseID, w.ImageName, w.Spec = origin.Fleet, origin.ReleaseID, origin.ImageName, origin.Spec
	if !slices.Contains(c.Consent, events.ConsentDataDisk) {
		w.OperateType = "" // only system disks go back
	}
	w.Language = "" // of the image that is left; the former ones may take none
	return r.beginRollback(m, c, j, w, *origin)
}

// asksFor says whether a control message is the one that a rollback was entered
// for, come again. Logs of earlier builds do not say which it was.
func asksFor(e rollout.Entry, message string, c events.Control) bool {
	if e.Message != "" {
		return e.Message == message
	}
	return e.By == c.By && e.Why == c.Reason
}

func (r *run) toldBefore(j *job, m envelope.Message) (told bool) {
	j.journal.Look(func(s *rollout.State) { told = s.Controls[r.identity(m)] })
	return told
}

// beginRollback enters a rollback into the log of its fleet and opens it, or shows
// what it would do.
func (r *run) beginRollback(m envelope.Message, c events.Control, j *job, w rollout.Operation, origin rollout.Entry) error {
	var err error
	if w.Back, err = r.undo(j, origin.Operation); err != nil {
		return err
	}
	now, most := count(w.Back), 0
	j.journal.Look(func(s *rollout.State) { most = max(now, len(s.Desktops)) }) // more may be begun until it is superseded
	if now == 0 || most > maxBack {
		r.refuseControl(m, c, events.CodeControlNotPossible, fmt.Sprintf(
			"rollback is not possible for rollout %s: it has %d desktops and is known to have changed %d of them; a rollback takes 1 to %d", c.RolloutID, most, now, maxBack))
		return nil
	}
	if c.DryRun || c.PlanDigest != "" {
		p := r.preview(w)
		if c.DryRun {
			r.publishPlan(p.Plan, w)
			return nil
		}
		if !p.is(c.PlanDigest) {
			if err := p.complete(); err != nil {
				return err
			}
			if err := r.refusePlan(w, c.PlanDigest); err != nil {
				return err
			}
			r.refuseControl(m, c, events.CodePlanChanged, "the plan made now is "+p.PlanDigest+"; look at it with dryRun and ask again")
			return nil
		}
	}
	e, refusal, err := r.enter(w, entering{message: r.identity(m), plan: c.PlanDigest})
	switch {
	case err != nil:
		return err
	case refusal != nil:
		r.refuseControl(m, c, refusal.Code, fmt.Sprintf("rollback is not possible for rollout %s: %s", c.RolloutID, refusal.Message))
	case !asksFor(e, r.identity(m), c):
		r.refuseControl(m, c, events.CodeControlNotPossible, fmt.Sprintf("rollback is not possible for rollout %s: %s has begun before", c.RolloutID, w.ID))
	default:
		r.wake(e)
	}
	return nil
}

// openRollback lets a rollback that was entered take over from what it undoes, and
// opens it. Each step may have been taken before, by whoever died after it.
func (r *run) openRollback(back *job, e rollout.Entry) error {
	origin, _ := r.add(kindRollout, e.Undoes)
	if err := r.open(origin); err != nil {
		return err
	}
	err := origin.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		if s.Operation == nil || e.Message == "" || s.Controls[e.Message] {
			return nil // expired, or written down before
		}
		return []rollout.Record{{Kind: rollout.KindControl, At: r.now, Action: events.ActionRollback, Who: e.By, Message: e.Message, Via: e.Via,
			Reason: &events.Reason{Code: controlCode(events.ActionRollback), Message: e.Why}}}
	})
	if err != nil {
		return err
	}
	// From here on nothing more is begun that would have to go back too.
	if err := r.supersede(origin, e.ID); err != nil {
		return err
	}
	undone := e.Operation
	undone.ID, undone.Undoes = e.Undoes, ""
	if e.Back, err = r.undo(origin, undone); err != nil {
		return err
	}
	return r.openOperation(back, e.Operation, "")
}

// undo returns what a rollout changed: from its journal or, if that has expired,
// from what ECD records.
func (r *run) undo(j *job, w rollout.Operation) (map[string][]string, error) {
	if j.work() == nil {
		return r.undoByRecords(w)
	}
	var back map[string][]string
	j.journal.Look(func(s *rollout.State) { back = s.Undo() })
	return back, nil
}

// maxBack bounds the desktops of a rollback, whose images are one record of its
// journal.
const maxBack = 50_000

func count(back map[string][]string) (n int) {
	for _, ids := range back {
		n += len(ids)
	}
	return n
}

// mayRollBack says why the job's rollout, which its fleet's log names as origin,
// cannot be taken back now, or nil. Its own journal may have expired.
func mayRollBack(j *job, origin rollout.Entry, log rollout.FleetLog) (refusal error) {
	if origin.Undoes != "" {
		return errors.New("it is a rollback itself; publish the image that is wanted instead")
	}
	if why := log.MayFollow(rollout.Operation{Undoes: origin.ID}, false, false); why != nil {
		return errors.New(why.Message)
	}
	j.journal.Look(func(s *rollout.State) {
		if s.Operation != nil {
			refusal = rollout.Allow(s, events.ActionRollback, 0)
		}
	})
	return refusal
}

// undoByRecords finds out from ECD's own records what a rollout changed whose
// journal has expired: the members of its fleet that are on its image now, by the
// image that each came from. It takes a call a desktop.
func (r *run) undoByRecords(w rollout.Operation) (map[string][]string, error) {
	f := r.factsOf(w.RegionID, nil)
	r.look(map[string]*rollout.Need{w.RegionID: {Members: []string{w.Fleet}}})
	members := f.Members[w.Fleet]
	if members.Err != nil {
		return nil, errors.New(members.Err.Message)
	}
	var on []string
	for _, d := range members.Value {
		if d.ImageID == w.ImageID {
			on = append(on, d.ID)
		}
	}
	r.look(map[string]*rollout.Need{w.RegionID: {Changes: on}})
	back := map[string][]string{}
	for _, id := range on {
		changes := f.Changes[id]
		if changes.Err != nil {
			return nil, errors.New(changes.Err.Message)
		}
		for _, c := range changes.Value { // newest first
			if c.To == w.ImageID && c.From != "" && c.From != c.To && c.State == desktop.ChangeSucceeded {
				back[c.From] = append(back[c.From], id)
				break
			}
		}
	}
	return back, nil
}
