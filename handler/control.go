package handler

import (
	"errors"
	"fmt"

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
	err = j.ledger.write(r.ctx, func(s *rollout.State) []rollout.Record {
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
		j.ledger.view(func(s *rollout.State) {
			if s.Work == nil {
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
	return rollout.Record{Kind: rollout.KindControl, At: r.now, Action: c.Action, Who: c.By, Wave: c.Wave, Message: r.identity(m),
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
	w := rollout.Work{ID: c.RolloutID + "/rollback", Undoes: c.RolloutID, By: c.By, Why: c.Reason, Consents: append([]string{events.ConsentDowngrade}, c.Consent...)}
	origin, latest, err := r.origin(c.RolloutID)
	if err != nil {
		return err
	}
	if refusal := mayRollBack(j, w, origin, latest); refusal != nil {
		code := events.CodeControlNotPossible
		if origin == nil {
			code = events.CodeRolloutUnknown
			r.drop(j)
		}
		r.refuseControl(m, c, code, fmt.Sprintf("rollback is not possible for rollout %s: %s", c.RolloutID, refusal))
		return nil
	}
	w.Fleet, w.ReleaseID, w.ImageName, w.Spec = origin.Fleet, origin.ReleaseID, origin.ImageName, origin.Spec
	known, err := r.known(kindRollout, w.ID)
	if err != nil {
		return err
	}
	if known {
		return r.rollbackAgain(m, c, j, w.ID)
	}
	return r.beginRollback(m, c, j, w, origin.Work)
}

// rollbackAgain wakes a rollback that has begun, and refuses to begin another.
func (r *run) rollbackAgain(m envelope.Message, c events.Control, j *job, id string) error {
	back, _ := r.add(kindRollout, id)
	if err := r.open(back); err != nil {
		return err
	}
	// Where the journal of what it undoes has expired, only what it was asked for
	// by tells a second delivery.
	again := j.told(r.identity(m)) || j.work() == nil && back.work().By == c.By && back.work().Why == c.Reason
	if !again {
		r.refuseControl(m, c, events.CodeControlNotPossible, fmt.Sprintf("rollback is not possible for rollout %s: %s has begun before", c.RolloutID, id))
	}
	return nil
}

// beginRollback finds out what is to go back, and opens the rollback, or shows
// what it would do.
func (r *run) beginRollback(m envelope.Message, c events.Control, j *job, w, origin rollout.Work) error {
	undo := func() (err error) {
		if j.work() == nil { // its journal has expired
			w.Back, err = r.undoByRecords(origin)
			return err
		}
		j.ledger.view(func(s *rollout.State) { w.Back = s.Undo() })
		return nil
	}
	if err := undo(); err != nil {
		return err
	}
	if n := count(w.Back); n == 0 || n > maxBack {
		r.refuseControl(m, c, events.CodeControlNotPossible, fmt.Sprintf(
			"rollback is not possible for rollout %s: %d desktops are known that it changed; it takes 1 to %d", c.RolloutID, n, maxBack))
		return nil
	}
	if c.DryRun || c.PlanDigest != "" {
		p := r.preview(w)
		if c.DryRun {
			r.publishPlan(p, w)
			return nil
		}
		if p.PlanDigest != c.PlanDigest {
			r.refuseControl(m, c, events.CodePlanChanged, "the plan made now is "+p.PlanDigest+"; look at it with dryRun and ask again")
			return nil
		}
	}
	if err := j.ledger.write(r.ctx, func(s *rollout.State) []rollout.Record {
		if s.Work == nil || s.Controls[r.identity(m)] {
			return nil // expired, or told twice
		}
		return []rollout.Record{r.controlled(m, c)}
	}); err != nil {
		return err
	}
	// From here on nothing more is begun that would have to go back too.
	if err := r.supersede(j, w.ID); err != nil {
		return err
	}
	if err := undo(); err != nil {
		return err
	}
	return r.openRollout(m, w)
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

// mayRollBack says why the job's rollout cannot be taken back by w, or nil.
// Origin is what the fleet's log says of it; its own journal may have expired.
func mayRollBack(j *job, w rollout.Work, origin *enrolled, latest string) error {
	var refusal error
	j.ledger.view(func(s *rollout.State) {
		switch {
		case origin == nil:
			refusal = errors.New("there is no such rollout in the journal")
		case latest != w.Undoes && latest != w.ID:
			refusal = fmt.Errorf("%s came after it; roll that back, or publish the image that is wanted", latest)
		case origin.Undoes != "":
			refusal = errors.New("it is a rollback itself; publish the image that is wanted instead")
		case s.Work != nil && s.Superseded != w.ID: // else it was told before, or is long over
			refusal = rollout.Allow(s, events.ActionRollback, 0)
		}
	})
	return refusal
}

// undoByRecords finds out from ECD's own records what a rollout changed whose
// journal has expired: the members of its fleet that are on its image now, by the
// image that each came from. It takes a call a desktop.
func (r *run) undoByRecords(w rollout.Work) (map[string][]string, error) {
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
