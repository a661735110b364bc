package handler

import (
	"cmp"
	"math"

	"github.com/regild/regild/internal/rollout"
)

// MaxDesktops bounds the desktops of the operations that one invocation takes on. All of
// them are in memory at once: their journals, what ECD says of them, and what is told of
// them. With 10,000 the whole function takes some 50 MB (docs/benchmarks.md), and their
// 500 calls, four at once and each of a second, take half of an invocation's time. What
// is above goes back as ticks, for other instances. An operation alone may have more
// desktops: it is never taken apart.
const MaxDesktops = 10_000

// unplannedShare is which share of the bound a rollout counts for of which no wave has
// begun: how many desktops its fleet has is not known yet.
const unplannedShare = 4

// weight is for how many desktops a job counts: none if nothing is known of it.
func (a *admission) weight(j *job) (n int) {
	if j.journal == nil {
		return 0
	}
	j.journal.Look(func(s *rollout.State) {
		if n = s.Extent(); n == 0 && s.Operation != nil {
			n = max(1, a.most/unplannedShare)
		}
	})
	return n
}

// most is how many desktops an invocation takes on. Without a queue or a journal there is
// nothing that could be sent back instead.
func (h *Handler) most() int {
	if h.Queue == nil || h.Journal == nil {
		return math.MaxInt / 2 // room for the sum of two
	}
	return cmp.Or(h.Desktops, MaxDesktops)
}

// full says whether nothing more is taken on.
func (a *admission) full() bool { return a.load >= a.most }

// bound counts what the last message brought, and hands over what is too much beside
// that which was taken on before.
func (a *admission) bound() {
	for _, j := range a.jobs.untaken() {
		n := a.weight(j)
		if n > 0 && a.load > 0 && a.load+n > a.most {
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
	if j.tick >= 0 { // the very tick that came, without delay: where much is due at once it may be left several times
		if err := a.sched.after(0, j.kind, j.id, j.tick); err != nil {
			a.again.add(err)
		}
	} else {
		j.decision = decision{made: true, Decision: rollout.Decision{Next: a.asOf()}}
		a.sched.schedule([]*job{j})
	}
	a.jobs.noteHandedOver(j)
}
