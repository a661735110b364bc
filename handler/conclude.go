package handler

import (
	"errors"
	"time"

	"github.com/regild/regild/internal/rollout"
)

// A concluder is the stage that closes what has ended.
type concluder struct {
	*invocation
	rules    rollout.Rules
	facts    *reader
	out      *outbox
	recovery *recovery
}

// conclude closes what has ended, and finds out when to look again at what has not.
func (co *concluder) conclude(jobs []*job) {
	for _, j := range jobs {
		if err := contain(func() error { return co.concludeOne(j) }); err != nil {
			co.recovery.fail(j, err)
			continue
		}
		co.out.addAll(j)
	}
}

// concludeOne decides once more, now that the calls are made, without reading facts:
// what has ended is closed, and of the rest it is noted when to look again.
func (co *concluder) concludeOne(j *job) error {
	var d rollout.Decision
	seen := j.journal.Look(func(s *rollout.State) {
		if !s.Open() {
			return
		}
		co.facts.use(s.Operation.Place(), j.others, func(f *rollout.Facts) { d = j.able(rollout.Decide(s, co.rules, f, co.business().UTC())) })
	})
	switch {
	case !d.Need.Empty():
		d.Next = rollout.Soonest(d.Next, co.asOf().Add(30*time.Second))
	case len(d.Begin) > 0 || len(d.Acts) > 0:
		d.Next = co.asOf() // time ran short
	default:
		records := d.Records
		err := j.journal.UpdateBy(co.last, &seen, overtaken, func(*rollout.State) []rollout.Record { return records })
		if errors.Is(err, errOvertaken) {
			d, err = rollout.Decision{Next: co.asOf()}, nil // the tick decides anew
		}
		if err != nil {
			return err
		}
	}
	j.decision = decision{Decision: d, made: true, basis: seen}
	j.recalled = j.recalled && (j.journal.Recalled() || !j.upToDate())
	return nil
}
