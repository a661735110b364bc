package handler

import (
	"errors"
	"fmt"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// An agreement is what a message asks for, and the plan that its sender has agreed to.
type agreement struct {
	operations []rollout.Operation
	dryRun     bool
	digest     string // of the plan; "": any will do
	// checked says whether the plan was compared when the message came before.
	checked func() (bool, error)
	// refuse writes down that the plan has changed, so that what is still on its way to
	// begin the operations comes too late, and publishes that. It says whether they have
	// begun meanwhile; then it does neither.
	refuse func() (begun bool, err error)
}

// agreed says whether the operations may begin. It publishes the plan of a dry run, and
// refuses any other plan than the one that is demanded. A plan that was made although
// something could not be read is none that anybody can agree to.
func (a *admission) agreed(g agreement) (bool, error) {
	if !g.dryRun && g.digest == "" {
		return true, nil
	}
	p := a.plan(g.operations, g.dryRun)
	if g.dryRun {
		for i, plan := range p.plans {
			a.refuse.publishPlan(plan, g.operations[i])
		}
		return false, nil
	}
	if !p.unread && p.digest == g.digest {
		return true, nil
	}
	if checked, err := g.checked(); checked || err != nil {
		return checked, err
	}
	if p.again != nil {
		return false, p.again
	}
	a.log.Info("another plan is demanded than the one made now", "demanded", g.digest, "made", p.digest)
	return g.refuse()
}

// planned is the plan of several operations.
type planned struct {
	plans  []events.Plan // of each; only for a dry run, for they are as large as the fleets
	digest string        // of all together
	unread bool          // something could not be read
	again  error         // and is asked again when the message comes again; nil: ECD would refuse that too
}

// plan plans several operations, and changes nothing.
func (a *admission) plan(operations []rollout.Operation, keep bool) (out planned) {
	var digests []string
	for _, op := range operations {
		p := a.facts.preview(op)
		if keep {
			out.plans = append(out.plans, p.Plan)
		}
		digests = append(digests, p.PlanDigest)
		if p.unread != nil {
			out.unread = true
			if !p.unread.Refused {
				out.again = errors.Join(out.again, fmt.Errorf("making the plan whose planDigest is asked for: %s", p.unread.Message))
			}
		}
		if a.fleets.separately(len(operations)) { // nothing of it is begun here
			a.facts.forgetPlace(op.Place())
		}
	}
	out.digest = digests[0]
	if len(digests) > 1 {
		out.digest = events.Digest(digests)
	}
	for i := range out.plans {
		out.plans[i].PlanDigest = out.digest
	}
	return out
}
