package handler

import (
	"context"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// This file is about freezes that may have come since the decision: they are read once more
// right before each call.

// A concern says which freezes hold back a desktop that is about to be begun: those of its
// region and those of one of the fleets. None does if passes is set: all operations that
// want the desktop have consented to begin in spite of freezes.
type concern struct {
	fleets []string
	passes bool
}

// concerns are the concerns of desktops, by place and id. Most desktops are held back by
// what freezes their region, and by nothing else: those are not in it.
type concerns map[desktop.Place]map[string]*concern

// of returns the concern of a desktop.
func (all concerns) of(at desktop.Place, id string) concern {
	if x := all[at][id]; x != nil {
		return *x
	}
	return concern{}
}

// concerns returns the concern of each desktop that may be begun.
func (rb *rebuilder) concerns(jobs []*job) concerns {
	out := concerns{}
	if !rb.hasJournal { // there are no freezes
		return out
	}
	rb.wanted(jobs, func(at desktop.Place, id, fleet string, passes bool) {
		if fleet == "" && !passes {
			return
		}
		if out[at] == nil {
			out[at] = map[string]*concern{}
		}
		x := out[at][id]
		if x == nil {
			x = &concern{}
			out[at][id] = x
		}
		if x.passes = x.passes || passes; fleet != "" {
			x.fleets = append(x.fleets, fleet)
		}
	})
	rb.wanted(jobs, func(at desktop.Place, id, _ string, passes bool) {
		if x := out[at][id]; x != nil && !passes { // all that want it have to consent
			x.passes = false
		}
	})
	return out
}

// wanted calls f with each desktop that a job may begin, with its fleet, or "", and whether
// freezes do not hold the job back there.
func (rb *rebuilder) wanted(jobs []*job, f func(at desktop.Place, id, fleet string, passes bool)) {
	for _, j := range jobs {
		j.journal.Look(func(s *rollout.State) {
			if len(j.decision.Begin) == 0 {
				return
			}
			at := s.Operation.Place()
			rb.facts.use(at, nil, func(facts *rollout.Facts) {
				for _, id := range j.decision.Begin {
					fleet, passes := rb.fleetOf(s.Operation, id, facts)
					f(at, id, fleet, passes)
				}
			})
		})
	}
}

// fleetOf names the fleet of a desktop under an operation, or "", and says whether
// freezes do not hold the operation back there.
func (rb *rebuilder) fleetOf(op *rollout.Operation, id string, facts *rollout.Facts) (name string, passes bool) {
	d := facts.Desktops[id].Value
	if !op.Request() || d == nil {
		return op.Fleet, op.PassesFreezes(nil)
	}
	with := *d
	if with.Tags == nil {
		with.Tags = facts.Tags[id].Value
	}
	if f := op.FleetOf(rb.rules.Fleets, with); f != nil {
		return f.Name, op.PassesFreezes(f)
	}
	return op.Fleet, op.PassesFreezes(nil)
}

// unfrozen takes out of a batch, right before the call, what a freeze holds back
// that may have come since the decision.
func (c *calls) unfrozen(ctx context.Context, b desktop.Batch) (rest desktop.Batch, held []ending) {
	if !c.hasJournal || !slices.ContainsFunc(b.IDs, func(id string) bool { return !c.concern.of(b.Place(), id).passes }) {
		return b, nil
	}
	freezes, err := c.jobs.readFreezes(ctx)
	now := c.business().UTC()
	if err != nil {
		return desktop.Batch{Spec: b.Spec}, []ending{{ids: b.IDs, group: rollout.Group{Status: events.StatusDeferred, Code: events.CodeFactsUnavailable,
			Until: now.Add(time.Minute), Message: "nothing was sent: " + err.Error()}}}
	}
	rest = b
	rest.IDs = nil
	for _, id := range b.IDs {
		freeze := c.holds(freezes, b.Place(), id, now)
		if freeze == nil {
			rest.IDs = append(rest.IDs, id)
			continue
		}
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeFrozen, Until: freeze.Until, Message: freeze.Message()}
		i := slices.IndexFunc(held, func(e ending) bool { return e.group.Message == g.Message })
		if i < 0 {
			i, held = len(held), append(held, ending{group: g})
		}
		held[i].ids = append(held[i].ids, id)
	}
	return rest, held
}

func (c *calls) holds(freezes rollout.Freezes, at desktop.Place, id string, now time.Time) *rollout.Freeze {
	x := c.concern.of(at, id)
	if x.passes {
		return nil
	}
	for _, fleet := range append([]string{""}, x.fleets...) {
		if f := freezes.Holds(at.Region, fleet, now); f != nil {
			return f
		}
	}
	return nil
}
