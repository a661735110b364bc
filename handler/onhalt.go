package handler

import (
	"fmt"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// goBack takes back the rollouts that halted and are to go back by themselves,
// and says whether there is anything new to do for that.
func (r *run) goBack() (more bool) {
	for _, j := range r.live() {
		if !j.decision.Back || j.kind != kindRollout {
			continue
		}
		err := contain(func() error {
			began, err := r.takeBack(j)
			more = more || began
			return err
		})
		if err != nil {
			r.fail(j, err)
		}
	}
	if more {
		r.superviseFleets()
	}
	return more
}

// takeBack enters the rollback of a rollout that halted into the log of its
// fleet, unless somebody has acted since, and opens it.
func (r *run) takeBack(j *job) (began bool, err error) {
	if err := r.insure(j); err != nil {
		return false, err
	}
	if err := j.journal.Refresh(r.ctx); err != nil {
		return false, err
	}
	var w rollout.Operation
	var why error
	err = j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		began, why = s.MayGoBack(), nil
		if !began {
			return nil // somebody has acted
		}
		if w, why = s.GoBack(r.fleetNamed(s.Operation.Fleet)); why == nil && count(w.Back) > maxBack {
			why = fmt.Errorf("it has changed %d desktops, and a rollback takes %d at most", count(w.Back), maxBack)
		}
		switch {
		case why != nil:
			return []rollout.Record{r.stays(why.Error())}
		case s.Back.Begun:
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindGoingBack, At: r.now}}
	})
	if err != nil || !began || why != nil {
		return false, err
	}
	e, refusal, err := r.enter(w, entering{message: "halted:" + w.Undoes})
	if err != nil {
		return false, err
	}
	if refusal != nil {
		return false, j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
			if !s.MayGoBack() {
				return nil
			}
			return []rollout.Record{r.stays(refusal.Message)}
		})
	}
	r.wake(e)
	return true, nil
}

// stays is the record that a rollout does not go back by itself after all.
func (r *run) stays(why string) rollout.Record {
	return rollout.Record{Kind: rollout.KindStays, At: r.now, Reason: &events.Reason{Code: events.CodeControlNotPossible,
		Message: "it halted and does not go back by itself: " + why}}
}

// fleetNamed returns the fleet of that name, or nil.
func (r *run) fleetNamed(name string) *fleet.Fleet {
	for i := range r.Rules.Fleets {
		if r.Rules.Fleets[i].Name == name {
			return &r.Rules.Fleets[i]
		}
	}
	return nil
}
