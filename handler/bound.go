package handler

import "github.com/regild/regild/internal/rollout"

// MaxDesktops bounds the desktops of the operations that one invocation takes on. All of
// them are in memory at once: their journals, what ECD says of them, and what is told of
// them. With 10,000 the whole function takes some 64 MB (docs/benchmarks.md), and their
// 500 calls, four at once and each of a second, take half of an invocation's time. What
// is above goes back as ticks, for other instances. An operation alone may have more
// desktops: it is never taken apart.
const MaxDesktops = 10_000

// unplannedShare is which share of the bound a rollout counts for of which no wave has
// begun: how many desktops its fleet has is not known yet.
const unplannedShare = 4

// weight is for how many desktops a job counts: none if nothing is known of it.
func (a *admission) weight(j *job) (n int) {
	if j.journal == nil || j.failure() != nil {
		return 0
	}
	j.journal.Look(func(s *rollout.State) {
		if n = s.Extent(); n == 0 && s.Operation != nil {
			n = max(1, a.most/unplannedShare)
		}
	})
	return n
}

// full says whether nothing more is taken on. Without a queue or a journal there is
// nothing that could be sent back instead.
func (a *admission) full() bool { return a.bounded() && a.load >= a.most }

func (a *admission) bounded() bool { return a.hasQueue && a.hasJournal }

// bound counts what the last message brought, and hands over what is too much beside
// that which was taken on before.
func (a *admission) bound() {
	for _, j := range a.jobs.untaken() {
		n := a.weight(j)
		if a.bounded() && n > 0 && a.load > 0 && a.load+n > a.most {
			a.handOver(j)
			continue
		}
		j.taken = true
		a.load += n
	}
}

// handOver leaves a job to another invocation: what brought it is confirmed when this one
// ends, and a tick is on the queue before.
func (a *admission) handOver(j *job) {
	a.log.Info("handed over: the invocation has enough without it", "job", j.id)
	if j.tick >= 0 { // the very tick that came
		if err := a.sched.at(j.kind, j.id, j.tick); err != nil {
			a.again.add(err)
		}
	} else {
		if j.kind == kindRequest {
			a.index.enter(j)
		}
		j.decision = decision{made: true, Decision: rollout.Decision{Next: a.asOf()}}
		a.sched.schedule([]*job{j})
	}
	a.jobs.keepOne(j)
	a.jobs.drop(j)
}
