package handler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// A decider is the stage that finds out what may be done now about each job. It reads
// facts, and changes nothing but that a later rollout of a fleet takes over from earlier ones.
type decider struct {
	*invocation
	rules    rollout.Rules
	jobs     *jobs
	fleets   *fleets
	facts    *reader
	sched    *scheduler
	recovery *recovery
}

// decide makes the decisions of the jobs that have none, and of those that the log of a fleet
// adds. They are in one place.
func (dc *decider) decide(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	at := jobs[0].place()
	dc.facts.change(at, func(f *rollout.Facts) { f.DropBefore(dc.business().Add(-factsAge)) })
	undecided := slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.decision.made })
	for range maxLooks {
		now := dc.business().UTC()
		dc.decideAt(now)
		needs := map[desktop.Place]*rollout.Need{}
		var next []*job
		for len(undecided) > 0 {
			for _, j := range undecided {
				if err := contain(func() error { return dc.try(j, now, needs) }); errors.Is(err, errNeed) {
					next = append(next, j)
				} else if err != nil {
					dc.recovery.fail(j, err)
				}
			}
			undecided = slices.DeleteFunc(dc.jobs.inPlace(at), func(j *job) bool { // those that the log of a fleet has added
				return j.decision.made || slices.Contains(next, j)
			})
		}
		if undecided = next; len(undecided) == 0 {
			return
		}
		dc.facts.look(dc.facts.sharing(), needs)
	}
	for _, j := range undecided {
		dc.recovery.fail(j, fmt.Errorf("deciding about %s: the facts were asked for %d times and still do not suffice", j.id, maxLooks))
	}
}

// errNeed says that a decision needs more facts.
var errNeed = errors.New("more facts are needed")

// try decides about one job, or adds to the needs what it must know first.
func (dc *decider) try(j *job, now time.Time, needs map[desktop.Place]*rollout.Need) error {
	var at desktop.Place
	d := decision{made: true, at: now}
	d.basis = j.journal.Look(func(s *rollout.State) {
		if s.Operation == nil {
			return
		}
		at = s.Operation.Place()
		dc.facts.use(at, j.others, func(f *rollout.Facts) { d.Decision = rollout.Decide(s, dc.rules, f, d.at) })
	})
	if d.Need.Empty() {
		j.decision = d
		return nil
	}
	if d.Need.Order {
		if err := dc.fleets.superviseOne(j, j.operation()); err != nil {
			return err
		}
		if d.Need.Order = false; d.Need.Empty() {
			return errNeed
		}
	}
	if !dc.sched.comesAnyway(j) { // reading may take all the time there is
		if err := dc.sched.watchdog(j); err != nil {
			return err
		}
	}
	if need := d.Need; needs[at] == nil {
		needs[at] = &need
	} else {
		needs[at].Add(need)
	}
	return errNeed
}
