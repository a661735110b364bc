package handler

import (
	"errors"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// A Report is the function's response.
type Report = events.Report

// tally counts what an invocation did. It may be used from several goroutines.
type tally struct {
	mu       sync.Mutex
	messages int
	skipped  int             // events that are none of our business
	looked   map[string]bool // desktops that ECD was asked about
	outcomes map[events.Status]int
	open     map[string]bool
}

func (t *tally) message(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages += n
}

func (t *tally) ignored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

func (t *tally) lookedAt(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looked == nil {
		t.looked = map[string]bool{}
	}
	for _, id := range ids {
		t.looked[id] = true
	}
}

func (t *tally) unfinished(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[string]bool{}
	}
	t.open[id] = true
}

func (t *tally) published(e events.Event) {
	o, is := e.Data.(events.Outcome)
	if !is {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outcomes == nil {
		t.outcomes = map[events.Status]int{}
	}
	t.outcomes[o.Status]++
}

// RedeliverError is the error that asks for another delivery of the payload. FC shows
// its name as the type of the function's error.
type RedeliverError struct{ Err error }

func (e *RedeliverError) Error() string { return "deliver this again: " + e.Err.Error() }

func (e *RedeliverError) Unwrap() error { return e.Err }

// report sums the invocation up, in the response and in one line of the log.
func (r *run) report() (Report, error) {
	r.out.drain()
	r.out.close()
	rep := Report{Messages: r.counts.messages, Desktops: len(r.counts.looked), Outcomes: r.counts.outcomes, Calls: map[string]int{}}
	if rep.Outcomes == nil {
		rep.Outcomes = map[events.Status]int{}
	}
	for name, n := range r.Meter.Snapshot() {
		if n -= r.calls[name]; n > 0 {
			rep.Calls[name] = n
		}
	}
	var err error
	if len(r.again) > 0 {
		err = &RedeliverError{errors.Join(r.again...)}
	}
	attrs := []any{"messages", rep.Messages, "jobs", len(r.jobs), "desktops", rep.Desktops, "outcomes", rep.Outcomes,
		"calls", rep.Calls, "ignored", r.counts.skipped, "unfinished", unfinishedNames(r.counts.open),
		"duration_ms", time.Since(r.began).Milliseconds()}
	if err != nil {
		r.log().Error("invocation must be delivered again", append(attrs, "error", err.Error())...)
		return rep, err
	}
	r.log().Info("invocation", attrs...)
	return rep, nil
}

// refuseMessage refuses a message in which no desktop could be read.
func (r *run) refuseMessage(m envelope.Message, code, reason string) {
	refused := events.NewRefused(code, reason, m.Raw)
	refused.MessageID, refused.Source, refused.EventID = m.MessageID, m.Source, m.ID
	if m.Raw != nil {
		refused.Via = r.via(m)
	}
	if m.MessageID == "" && m.ID == "" {
		refused.RequestID = r.in.RequestID
	}
	r.log().Warn("message refused", "message_id", m.MessageID, "event_id", m.ID, "code", code, "reason", reason)
	r.out.put(nil, item{event: refused.Event(r.in.Source, r.now)})
}

// refuseRequest refuses every desktop of a request, or the message if none can
// be read.
func (r *run) refuseRequest(m envelope.Message, req events.Request, code, reason string) {
	if len(req.DesktopIDs) == 0 {
		r.refuseMessage(m, code, reason)
		return
	}
	for _, id := range req.DesktopIDs {
		o := events.Outcome{RequestID: req.RequestID, RegionID: req.RegionID, DesktopID: id, ImageID: req.ImageID,
			Status: events.StatusRefused, Code: code, Message: reason, DryRun: req.DryRun, Via: r.via(m)}
		e := o.Event(r.in.Source, r.now)
		// The request that has this id already may have an outcome refused of its
		// own: another message must not be taken for it.
		e.ID += "/" + code + "/" + digestOf(m.Raw)
		r.out.put(nil, item{event: e, said: o})
	}
}

// refuseControl tells that a control message is not followed, and why.
func (r *run) refuseControl(m envelope.Message, c events.Control, code, reason string) {
	if c.RolloutID == "" {
		r.refuseMessage(m, code, reason)
		return
	}
	n := events.Rollout{RolloutID: c.RolloutID, By: c.By, Via: r.via(m), Reason: &events.Reason{Code: code, Message: reason}}
	if release, fleet, ok := rollout.SplitID(c.RolloutID); ok {
		n.ReleaseID, n.Fleet = release, fleet
	}
	if j := r.byKey[kindRollout+"/"+c.RolloutID]; j != nil && j.journal != nil {
		j.journal.Look(func(s *rollout.State) { whereItStands(&n, s) })
		if code != events.CodeWrongDoor { // who may not say anything writes nothing either
			r.noteRefusal(m, c, j, n.Reason)
		}
	}
	r.log().Warn("control refused", "rollout", c.RolloutID, "action", c.Action, "code", code, "reason", reason)
	r.out.put(nil, item{event: n.Event(events.RolloutControlRefused, r.identity(m)+"/"+digestOf(m.Raw)+"/"+code, r.in.Source, r.now)})
}

// maxRefusals bounds how many refusals a rollout's journal keeps: whoever may send
// nonsense must not be able to fill it.
const maxRefusals = 100

// noteRefusal writes down that a control message is not followed, for whoever waits
// for the answer by reading the journal. The event tells it to everybody else, so
// a journal that does not take it changes nothing.
func (r *run) noteRefusal(m envelope.Message, c events.Control, j *job, why *events.Reason) {
	id := r.identity(m)
	err := j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		if s.Operation == nil || s.Refusals[id] || len(s.Refusals) >= maxRefusals {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindRefused, At: r.now, Action: c.Action, Who: c.By, Wave: c.Wave, Message: id, Via: r.via(m), Reason: why}}
	})
	if err != nil {
		r.log().Warn("the refusal is not in the journal", "rollout", c.RolloutID, "error", err.Error())
	}
}

// whereItStands fills in how far the rollout is that a refused command was for.
func whereItStands(n *events.Rollout, s *rollout.State) {
	if s.Operation == nil {
		return
	}
	n.RegionID, n.ImageID, n.Waves, n.Counts = s.Operation.RegionID, s.Operation.ImageID, s.Planned, s.Counts()
	if w := s.Wave(); w != nil {
		n.Wave = w.N
	}
}
