package rollout

import (
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/guard"
)

// Doubt takes out of a state all that would allow something, because nothing proves
// it: the state came in a message that anybody who may send could have written. What
// remains is the request, as if it came now and without consents, and all that
// forbids something.
//
// No desktop counts as begun, held, stopped, finished or waited for because the state
// says so. A desktop that it calls begun is not begun again either, in case that is
// true: it is read, and what ECD shows of it is its outcome. Times in the future are
// brought back to now, so nothing waits for longer than if it had begun now. Outcomes
// are still counted on from the numbers in the state: these only tell one repetition
// from another.
func (s *State) Doubt(now time.Time) {
	s.Operation.Consents = nil
	s.Paused, s.Halted, s.Aborted, s.Superseded, s.Waiting = "", nil, "", "", nil
	s.Resumed, s.Forgiven, s.Closed, s.ClosedAt, s.Digest = zero, zero, false, zero, ""
	s.UnpublishedEvents, s.Controls = nil, map[string]bool{}
	notAfter(now, &s.OpenedAt)
	for _, d := range s.Desktops {
		d.doubt(now)
	}
}

func (d *Desktop) doubt(now time.Time) {
	begun := d.Phase == Begun || d.Phase == Accepted || d.tried() || d.Attempt > 0 && d.Denied == 0
	was := *d
	*d = Desktop{
		ID: was.ID, Wave: was.Wave, Doubted: true, counts: was.counts, Last: was.Last, Denied: was.Denied,
		WaitCode: was.WaitCode, WaitSince: was.WaitSince, Waits: slices.Clone(was.Waits), WaitFirst: was.WaitFirst, RestsUntil: was.RestsUntil,
	}
	if begun {
		d.Phase, d.Call, d.CallEnded, d.BegunAt = Begun, was.Call, was.CallEnded, was.BegunAt
		d.Attempt = min(max(was.Attempt, 1), maxAttempts)
	}
	for _, m := range []*Moment{&d.WaitSince, &d.WaitFirst, &d.CallEnded, &d.BegunAt} {
		*m = min(*m, MomentOf(now))
	}
	for i := range d.Waits {
		notAfter(now, &d.Waits[i].Since)
	}
	notAfter(now.Add(MaxTick), &d.RestsUntil)
}

// notAfter brings a time back to the limit if it lies behind.
func notAfter(limit time.Time, t *time.Time) {
	if t.After(limit) {
		*t = limit
	}
}

// doubted reads a desktop that is said to have been begun, which nothing proves. It is
// not begun, and its outcome is what ECD shows.
func (v *view) doubted(x *Desktop) step {
	q, c, s, ok := v.question(x)
	if !ok {
		return s
	}
	verdict, passed := guard.Check(q), c.fact.Since(x.asked())
	patience := Settling
	if verdict.Code == events.CodeAlreadyRebuilding {
		patience = v.timeout(c.fact.Value)
	}
	switch {
	case verdict.Answer == guard.Skip && (verdict.Code != events.CodeAlreadyRebuilding || passed >= patience):
		return s.with(v.settle(events.StatusSkipped, verdict.Code, "%s", verdict.Message))
	case passed >= patience:
		return s.with(v.settle(events.StatusFailed, events.CodeOutcomeUnknown,
			"an unsigned tick says that a rebuild of desktop %s was begun; ECD shows none, last seen %s; it is not begun again, in case that is true: "+
				"look at it, and ask again under a new id", x.ID, seen(c.fact.Value)))
	}
	return s.with(v.lookLater(x.asked()))
}

// Expire takes away the consents of a request that must have ended by now. Without a
// journal nothing tells its last ticks from one that somebody kept: for as long as that
// is so, such a tick is worth what a request without consents is.
func (s *State) Expire(now time.Time) {
	if op := s.Operation; op != nil && now.Sub(Later(s.OpenedAt, op.NotBefore)) > waitLimit {
		op.Consents = nil
	}
}
