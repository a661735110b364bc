package handler

import (
	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// ringsOf reads how far rollouts of other fleets are, for those that come after.
func (r *run) ringsOf(needs map[string]*rollout.Need) {
	for region, need := range needs {
		for _, id := range need.Rings {
			at := r.business().UTC()
			ring, err := r.ring(id)
			fact := rollout.Read(at, ring)
			if err != nil {
				fact.Err = &rollout.Unread{Code: events.CodeFactsUnavailable, Message: err.Error()}
			}
			r.facts[region].Rings[id] = fact
		}
	}
}

func (r *run) ring(id string) (ring rollout.Ring, err error) {
	_, fleet, _ := rollout.SplitID(id)
	log, err := r.fleetLog(fleet)
	if err != nil {
		return "", err
	}
	err = r.peek(kindRollout, id, func(s *rollout.State) { ring = rollout.RingOf(log, id, s) })
	return ring, err
}
