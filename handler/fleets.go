package handler

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// fleets keep the order of the rollouts of each fleet, by its log. How a rollout gets into
// the log stands in enter.go, how it is found there again in wake.go, what a rollback takes
// over in undo.go; here is what later rollouts mean for earlier ones.
type fleets struct {
	*invocation
	rules    rollout.Rules
	jobs     *jobs
	facts    *reader
	sched    *scheduler
	refuse   *refusals
	recovery *recovery
	counts   *tally
}

// supervise sees to it that only the latest rollout of a fleet begins anything, and
// that it knows what earlier ones are still rebuilding; and that the rollback of a request
// knows it of the request. It goes by the fleet's log alone, so the order of messages does
// not matter. It does so for those jobs which are wanted.
func (fs *fleets) supervise(wanted func(*job) bool) {
	for j := range fs.jobs.each() {
		if j.failure() != nil {
			continue
		}
		op := j.operation()
		if op == nil || !wanted(j) {
			continue
		}
		err := contain(func() error {
			if j.kind == kindRequest {
				return fs.superviseRequest(j)
			}
			return fs.superviseOne(j, op)
		})
		if err != nil {
			fs.recovery.fail(j, err)
		}
	}
}

// superviseOne has a rollout superseded by the latest of its fleet, or, if it is the
// latest, supersedes all before it.
func (fs *fleets) superviseOne(j *job, op *rollout.Operation) error {
	log, err := fs.jobs.fleetLog(op.Fleet)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(log, func(e rollout.Entry) bool { return e.ID == op.ID })
	if at < 0 {
		return fmt.Errorf("rollout %s is not in the log of fleet %s: the journal is damaged", op.ID, op.Fleet)
	}
	if latest := log.Latest(); latest.ID != op.ID {
		if err := fs.supersede(j, latest.ID); err != nil {
			return err
		}
		j.others = &rollout.Others{Woken: j.woken}
		fs.wake(*latest)
		return nil
	}
	earlier, err := fs.stillOpen(log[:at+1])
	if err != nil {
		return err
	}
	others := rollout.Others{Woken: j.woken}
	for _, id := range earlier {
		if err := fs.follow(id, op.ID, &others); err != nil {
			return err
		}
	}
	j.others = &others
	return nil
}

// stillOpen returns the rollouts before the last of these that may have something left to do,
// the latest first. Some use desktops though a rollout after them has ended. Of the others the
// end of the journal is looked at, which may be large, of some at once.
func (fs *fleets) stillOpen(log rollout.FleetLog) ([]string, error) {
	var ids []string
	for at := len(log) - 2; at >= 0; at-- {
		ids = append(ids, log[at].ID)
		if fs.asOf().Sub(log[at+1].At) > busyLimit {
			break
		}
	}
	over := make([]bool, len(ids))
	var group errgroup.Group
	group.SetLimit(sweepWorkers)
	for i, id := range ids {
		if fs.jobs.find(kindRollout, id) != nil {
			continue
		}
		group.Go(func() error {
			return contain(func() (err error) {
				over[i], err = fs.endedAndPublished(id)
				return err
			})
		})
	}
	err := group.Wait()
	var out []string
	for i, id := range ids {
		if !over[i] {
			out = append(out, id)
		}
	}
	return out, err
}

// follow has an earlier rollout of a fleet superseded by the latest, and adds the desktops
// that it still uses.
func (fs *fleets) follow(earlier, latest string, others *rollout.Others) error {
	before, fresh := fs.jobs.add(kindRollout, earlier)
	if err := fs.jobs.open(before); err != nil {
		return err
	}
	if !fs.jobs.isHandedOver(kindRollout, earlier) {
		if err := fs.openIfEntered(before); err != nil { // whoever entered it could not, and its events are waited for
			return err
		}
	}
	if err := fs.supersede(before, latest); err != nil {
		return err
	}
	before.journal.Look(func(s *rollout.State) { others.Add(earlier, s) })
	if fresh && (before.over() || fs.jobs.isHandedOver(kindRollout, earlier)) { // there is nothing to do for it here
		fs.jobs.keepOne(before)
		fs.jobs.drop(before)
	}
	return nil
}

// busyLimit is how long after a rollout was superseded desktops may still be under way for
// it: a day each at the most until it is known whether a call began a rebuild, for the
// rebuild (rebuildTimeout), for its check (check.stable), as long as ECD cannot be asked, and
// until the desktop is restored; an hour more each if nobody looked; and some time for the last look.
const busyLimit = 5*24*time.Hour + 7*time.Hour

// supersede writes down that a newer rollout took over. From then on no desktop is
// begun for the old one, not even by an instance that is working on it now.
func (fs *fleets) supersede(j *job, by string) error {
	return j.journal.Update(fs.ctx, func(s *rollout.State) []rollout.Record {
		if !s.Open() || s.Superseded != "" {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindSuperseded, At: fs.asOf(), Who: by,
			Reason: &events.Reason{Code: events.CodeSuperseded, Message: by + " took over"}}}
	})
}

// fleetNamed returns the fleet of that name, or nil.
func fleetNamed(fleets fleet.Fleets, name string) *fleet.Fleet {
	if i := slices.IndexFunc(fleets, func(f fleet.Fleet) bool { return f.Name == name }); i >= 0 {
		return &fleets[i]
	}
	return nil
}
