package handler

import (
	"cmp"
	"errors"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// refusals answer messages that are not followed.
type refusals struct {
	*invocation
	doors Doors
	jobs  *jobs
	out   *outbox
}

// message refuses a message in which no desktop could be read.
func (rf *refusals) message(m envelope.Message, code, reason string) { rf.part(m, "", code, reason) }

// part refuses a part of a message, such as its release for one fleet: beside the refusal
// of another part, with an id of its own.
func (rf *refusals) part(m envelope.Message, part, code, reason string) {
	refused := events.NewRefused(code, reason, m.Raw)
	refused.MessageID, refused.Source, refused.EventID = m.MessageID, m.Source, m.ID
	if m.Raw != nil {
		refused.Via = rf.via(m)
	}
	if m.MessageID == "" && m.ID == "" {
		refused.RequestID = rf.in.RequestID
	}
	rf.log.Warn("message refused", "message_id", m.MessageID, "event_id", m.ID, "code", code, "reason", reason)
	e := refused.Event(rf.in.Source, rf.asOf())
	if part != "" {
		e.ID += "/" + part
	}
	rf.out.put(item{event: e})
}

// request refuses every desktop of a request, or the message if none can be read. id is
// what the request is called here, "" where that is not settled: nobody is to answer
// under an id that is another sender's.
func (rf *refusals) request(m envelope.Message, req events.Request, id, code, reason string) {
	if len(req.DesktopIDs) == 0 {
		rf.message(m, code, reason)
		return
	}
	via := rf.via(m)
	if id == "" {
		id = rf.doors.name(req.RequestID, via.Door, via.Source)
	}
	if id != req.RequestID {
		via.RequestID, req.RequestID = req.RequestID, id
	}
	for _, id := range req.DesktopIDs {
		o := events.Outcome{RequestID: req.RequestID, AccountID: req.AccountID, RegionID: req.RegionID, DesktopID: id, ImageID: req.ImageID,
			Status: events.StatusRefused, Code: code, Message: reason, DryRun: req.DryRun, Via: via}
		e := o.Event(rf.in.Source, rf.asOf())
		// The request that has this id already may have an outcome refused of its
		// own: another message must not be taken for it.
		e.ID += "/" + code + "/" + digestOf(m.Raw)
		rf.out.put(item{event: e})
	}
}

// control publishes that a control message is not followed, and why, once the journal of
// j, what it is for, knows that: what comes again is told the same. It tells nothing of one that
// another instance follows by now. j is nil if nothing is written down.
func (rf *refusals) control(m envelope.Message, c events.Control, j *job, code, reason string) error {
	told := &rollout.Refusal{Reason: &events.Reason{Code: code, Message: reason}}
	var op *rollout.Operation
	if j != nil {
		var err error
		if told, err = rf.note(m, c, j, told.Reason); err != nil {
			return err
		}
		if told == nil {
			rf.followedBefore(m, c.Action, j.id)
			return nil
		}
		op = j.operation()
	}
	if c.RolloutID == "" {
		rf.message(m, told.Reason.Code, told.Reason.Message)
		return nil
	}
	n := events.Rollout{RolloutID: c.RolloutID, By: c.By, Via: rf.via(m), Reason: told.Reason, Wave: told.Wave, Waves: told.Waves, Counts: told.Counts}
	if release, fleet, ok := rollout.SplitID(c.RolloutID); ok {
		n.ReleaseID, n.Fleet = release, fleet
	}
	if told.Opened {
		n.AccountID, n.RegionID, n.ImageID = op.AccountID, op.RegionID, op.ImageID
	}
	rf.log.Warn("control refused", "rollout", c.RolloutID, "action", c.Action, "code", told.Reason.Code, "reason", told.Reason.Message)
	rf.out.put(item{event: n.Event(events.RolloutControlRefused, rf.identity(m)+"/"+digestOf(m.Raw)+"/"+told.Reason.Code, rf.in.Source, rf.asOf())})
	return nil
}

// maxRefusals bounds how many refusals a rollout's journal keeps, so that messages
// cannot fill it.
const maxRefusals = 100

// note writes down that a control message is not followed, and returns what to tell: why, or
// what another instance told meanwhile; nil: that one follows it. A journal that is full
// takes no orders either.
func (rf *refusals) note(m envelope.Message, c events.Control, j *job, why *events.Reason) (told *rollout.Refusal, err error) {
	id := rf.controlID(m, c)
	err = j.journal.Update(rf.ctx, func(s *rollout.State) []rollout.Record {
		if told = refusedBefore(s, id); told == nil {
			told = s.Refusal(why)
		}
		if follows(s, id) {
			told = nil
		}
		if told == nil || s.Refusals[id.message] || len(s.Refusals) >= maxRefusals {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindRefused, At: rf.asOf(), Action: c.Action, Who: c.By, Wave: c.Wave, Message: id.message, Event: id.event,
			Via: rf.via(m), Reason: told.Reason}}
	})
	if errors.Is(err, journal.ErrFull) {
		rf.log.Warn("the refusal is not in the journal", "job", j.id, "error", err.Error())
		return told, nil
	}
	return told, err
}

// follows says whether the journal has a message among those that are followed.
func follows(s *rollout.State, id orderID) bool {
	return id.among(s.Controls) || s.Undoing != nil && s.Undoing.AskedBy(id.message, id.event)
}

// refusedBefore returns what was told of a message when it came before, or nil.
func refusedBefore(s *rollout.State, id orderID) *rollout.Refusal {
	return cmp.Or(s.Answers[id.message], s.Answers[id.event])
}

// publishPlan publishes what a dry run would do: outcomes for a request, the pages
// of a plan for both.
func (rf *refusals) publishPlan(p events.Plan, op rollout.Operation) {
	for _, page := range events.PlanPages(p) {
		rf.out.put(item{event: page.Event(rf.in.Source, rf.asOf())})
	}
	if op.Request() {
		for _, o := range rollout.Outcomes(p, op) {
			rf.out.put(item{event: o.Event(rf.in.Source, rf.asOf())})
		}
	}
}
