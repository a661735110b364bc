package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// linesOf says what a record of a journal tells, as lines of the table that
// regild local shows. The state is the journal folded up to that record: an
// outcome that the fold did not take, such as that of an instance that lost a
// race, is none.
func linesOf(s *rollout.State, r rollout.Record) []line {
	if s.Operation == nil {
		return nil
	}
	l := line{At: r.At, Operation: s.Operation.ID}
	switch r.Kind {
	case rollout.KindOpened:
		l.Status, l.Message = "started", "image "+cmp.Or(s.Operation.ImageID, "that each is on")
		if s.Operation.Undoes != "" {
			l.Message += " is taken back"
		}
	case rollout.KindWave:
		l.Status, l.Message = "wave started", fmt.Sprintf("wave %d of %d, %s", r.Wave, r.Waves, operator.Count(len(r.Desktops), "desktop"))
	case rollout.KindWaveEnded:
		l.Status, l.Message = "wave finished", fmt.Sprintf("wave %d of %d; so far %s", r.Wave, s.Planned, countsText(s.Counts()))
	case rollout.KindEnded, rollout.KindSettled:
		return outcomeLines(s, r)
	case rollout.KindControl:
		l = l.because(told[r.Action], r.Reason, r.Who)
	case rollout.KindWaiting:
		if r.Reason == nil {
			return nil
		}
		l = l.because(events.RolloutWaiting, r.Reason, r.Who)
	case rollout.KindHalted:
		l = l.because(events.RolloutHalted, r.Reason, r.Who)
	case rollout.KindSuperseded:
		l = l.because(events.RolloutSuperseded, r.Reason, "") // the reason names what took over
	case rollout.KindClosed:
		l.Status, l.Message = "finished", countsText(s.Counts())
	default:
		return nil
	}
	return []line{l}
}

// told is what a control makes known.
var told = map[string]events.What{
	events.ActionPause: events.RolloutPaused, events.ActionResume: events.RolloutResumed, events.ActionApprove: events.RolloutApproved,
	events.ActionAbort: events.RolloutAborted, events.ActionRetry: events.RolloutResumed, events.ActionRollback: "rollback",
}

func outcomeLines(s *rollout.State, r rollout.Record) []line {
	var out []line
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			d := s.Desktops[id]
			if d == nil || d.Last != (rollout.Result{Status: g.Status, Code: g.Code, Message: g.Message}) {
				continue
			}
			l := line{At: r.At, Operation: s.Operation.ID, Desktop: id, Status: string(g.Status), Code: g.Code, Message: g.Message, Until: g.Until}
			if g.Status == events.StatusCompleted && l.Message == "" && !d.AcceptedAt.IsZero() {
				l.Message = "took " + d.DoneAt.Sub(d.AcceptedAt.Time()).Round(time.Second).String()
			}
			out = append(out, l)
		}
	}
	return out
}
