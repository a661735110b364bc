package handler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// decode opens the payload. Messages that cannot be understood are refused here
// and leave the list.
func (r *run) decode(payload []byte) []envelope.Message {
	messages := envelope.Open(payload)
	r.counts.message(len(messages))
	good := messages[:0:0]
	for _, m := range messages {
		if m.Err != nil {
			r.refuseMessage(m, events.CodeMalformedMessage, m.Err.Error())
			continue
		}
		if problem := unfit(m); problem != "" {
			r.refuseMessage(m, events.CodeMalformedMessage, problem)
			continue
		}
		good = append(good, m)
	}
	return good
}

// unfit says which id that the transport gave cannot stand in the id of an
// outcome, or "".
func unfit(m envelope.Message) string {
	for _, id := range []struct{ what, text string }{
		{"the CloudEvent's id", m.ID}, {"the CloudEvent's source", m.Source},
		{"the message's id in MNS", m.MessageID}, {"the message's id in MNS", m.TopicMessageID},
	} {
		if problem := events.CheckID(id.text); problem != "" {
			return id.what + " " + problem
		}
	}
	return ""
}

// recall makes jobs of the messages and reads what the journals know of them.
// Whatever goes wrong with one message, its neighbours go on.
func (r *run) recall(messages []envelope.Message) {
	r.byTrust(messages)
	for _, m := range messages {
		if err := contain(func() error { return r.take(m) }); err != nil {
			if _, bug := errors.AsType[*PanicError](err); bug {
				r.log().Error("a message made us panic", "message_id", m.MessageID, "error", err.Error())
				r.refuseMessage(m, events.CodePanicked, err.Error())
				continue
			}
			r.redeliver(err)
		}
	}
	r.superviseFleets()
}

// take makes jobs of one message. An error that it returns can be cured by
// delivering the message again.
func (r *run) take(m envelope.Message) error {
	if !r.mayEnter(m) {
		return nil
	}
	switch {
	case m.Type == events.TypeRequest, m.Type == "" && !isTimer(m):
		return r.takeRequest(m)
	case m.Type == events.TypeRelease:
		return r.takeRelease(m)
	case m.Type == events.TypeControl:
		return r.takeControl(m)
	case m.Type == events.TypeFreeze:
		return r.takeFreeze(m)
	case m.Type == events.TypeTick:
		return r.takeTick(m)
	case m.Type == "":
		return r.sweep()
	case events.IsVendorEvent(m.Type):
		return r.takeTrail(m)
	}
	r.refuseMessage(m, events.CodeUnknownType, fmt.Sprintf("events of type %s are not for regild; see events/schema for those that are", short(m.Type, 100)))
	return nil
}

// isTimer recognises what FC's timer trigger delivers, which nothing wraps: what
// came through a queue or a topic somebody sent. Source: Function Compute, "Time
// triggers".
func isTimer(m envelope.Message) bool {
	if m.Door.Kind != envelope.DoorUnknown || m.MessageID != "" || m.TopicMessageID != "" {
		return false
	}
	var t struct {
		Time *string `json:"triggerTime"`
		Name *string `json:"triggerName"`
	}
	return json.Unmarshal(m.Data, &t) == nil && t.Time != nil && t.Name != nil
}

// takeRequest makes a job of a request.
func (r *run) takeRequest(m envelope.Message) error {
	req, err := events.ParseRequest(m.Data)
	if req.RequestID == "" {
		req.RequestID = r.identity(m)
	}
	if err != nil {
		r.refuseRequest(m, req, events.CodeInvalidRequest, err.Error()+meant(m))
		return nil
	}
	if why, err := r.tooFar(req); why != "" || err != nil {
		if why != "" {
			r.refuseRequest(m, req, events.CodeInvalidRequest, why)
		}
		return err
	}
	w := workOf(req)
	w.Via = r.via(m)
	if err := r.apart(&w); err != nil {
		j, fresh := r.add(kindRequest, w.ID)
		if !fresh { // perhaps another sender's
			return err
		}
		j.message, j.request = m, &req
		r.fail(j, err)
		return nil
	}
	if req.DryRun || req.PlanDigest != "" {
		plan := r.preview(w)
		if req.DryRun {
			r.publishPlan(plan.Plan, w)
			return nil
		}
		if ok, err := r.asPlanned(m, req, w.ID, plan); !ok || err != nil {
			return err
		}
	}
	j, fresh := r.add(kindRequest, w.ID)
	if fresh {
		j.message, j.request = m, &req
	}
	if j.failed != nil {
		return nil
	}
	switch err := r.openOperation(j, w, req.PlanDigest); {
	case errors.Is(err, errPlanRefused):
		r.refuseRequest(m, req, events.CodePlanChanged, err.Error())
		r.drop(j)
	case errors.Is(err, errReused):
		r.refuseRequest(m, req, events.CodeRequestIdReused, err.Error())
		if fresh { // what it was opened as goes on by its own ticks
			r.drop(j)
		}
	case err != nil:
		r.fail(j, err)
	}
	return nil
}

// asPlanned refuses a request whose plan is no longer the one that it demands. One
// that is in the journal, which id names, was compared when it was opened. The
// journal remembers the refusal: what is still on its way to open the request
// finds it, and whatever comes again with this plan is answered in the same way.
func (r *run) asPlanned(m envelope.Message, req events.Request, id string, plan preview) (bool, error) {
	if plan.is(req.PlanDigest) {
		return true, nil
	}
	known := false
	err := r.peek(kindRequest, id, func(s *rollout.State) { known = s.Operation != nil })
	if known || err != nil {
		return known, err
	}
	if err := plan.complete(); err != nil {
		return false, err
	}
	if known, err = r.planRefused(id, req.PlanDigest); known || err != nil {
		return known, err
	}
	r.refuseRequest(m, req, events.CodePlanChanged, "the plan made now is "+plan.PlanDigest+"; look at it with dryRun and ask again")
	return false, nil
}

// planRefused writes down that a request was refused with a plan, unless it was
// opened meanwhile.
func (r *run) planRefused(id, digest string) (opened bool, err error) {
	if r.Journal == nil {
		return false, nil
	}
	j := &job{kind: kindRequest, id: id}
	if err := r.open(j); err != nil {
		return false, err
	}
	err = j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		if opened = s.Operation != nil; opened || s.PlansRefused[digest] {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindUnplanned, At: r.now, Name: id, Digest: digest}}
	})
	r.cache.put(j.journal)
	return opened, err
}

// meant tells the sender of a bare message that looks like something else than a
// request how to say so.
func meant(m envelope.Message) string {
	var fields map[string]json.RawMessage
	if m.Type != "" || json.Unmarshal(m.Data, &fields) != nil {
		return ""
	}
	for _, other := range []struct{ field, what, kind string }{
		{"rolloutId", "a control message", events.TypeControl}, {"freezeId", "a freeze", events.TypeFreeze}, {"releaseId", "a release", events.TypeRelease}, {"images", "a release", events.TypeRelease},
	} {
		if _, has := fields[other.field]; has {
			return fmt.Sprintf("; if it is meant as %s, send it as the data of a CloudEvent of type %s", other.what, other.kind)
		}
	}
	return ""
}

// drop takes a job off the list again.
func (r *run) drop(j *job) {
	delete(r.byKey, j.name)
	for i := range r.jobs {
		if r.jobs[i] == j {
			r.jobs = append(r.jobs[:i], r.jobs[i+1:]...)
			return
		}
	}
}

// peek calls f with the state of a work that need not be a job. f must not keep it.
func (r *run) peek(kind, id string, f func(*rollout.State)) error {
	if j := r.byKey[kind+"/"+id]; j != nil && j.journal != nil {
		j.journal.Look(f)
		return nil
	}
	j := &job{kind: kind, id: id}
	if err := r.open(j); err != nil {
		return err
	}
	j.journal.Look(f)
	if r.Journal != nil {
		r.cache.put(j.journal)
	}
	return nil
}

// identity is the name of a request that has none of its own: the transport's,
// which is the same for every delivery of it.
func (r *run) identity(m envelope.Message) string {
	id := m.Identity()
	if id == "" {
		id = "invocation:" + r.in.RequestID + ":" + digestOf(m.Raw)
	}
	if len(id) > events.MaxRequestID {
		sum := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	return id
}

// digestOf tells two messages apart in the id of what is said of them.
func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}

func workOf(req events.Request) rollout.Operation {
	return rollout.Operation{
		ID: req.RequestID, Desktops: req.DesktopIDs, Consents: req.Consent, NotBefore: req.NotBefore,
		Spec: desktop.Spec{RegionID: req.RegionID, ImageID: req.ImageID, OperateType: req.OperateType,
			Language: req.Language, AfterStatus: req.AfterStatus},
	}
}

// takeTick makes a job of a tick. A tick that a later one has overtaken is
// done: the later one looks at everything.
func (r *run) takeTick(m envelope.Message) error {
	t, err := events.ParseTick(m.Data)
	if err != nil {
		r.refuseMessage(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	name := t.Kind + "/" + t.ID
	if r.Journal == nil {
		name += "/" + digestOf(m.Raw) // each carries other desktops
	}
	j, fresh := r.addAs(name, t.Kind, t.ID)
	if fresh {
		j.message, j.tick = m, t.N
	}
	if t.N != events.TickAnyway { // which is in nobody's chain
		j.used = max(j.used, t.N)
	}
	if j.failed != nil {
		return nil
	}
	if err := r.open(j); err != nil {
		r.fail(j, err)
		return nil
	}
	if r.Journal == nil && fresh {
		return r.carried(j, t)
	}
	stale := false
	j.journal.Look(func(s *rollout.State) {
		stale = s.Operation == nil || s.Closed && s.Quiet() ||
			t.N < s.TickN && r.now.Before(s.TickAt.Add(slack)) // the later one is still to come
	})
	if !stale || !fresh {
		return nil
	}
	empty := t.Kind == kindRollout && j.work() == nil
	r.cache.put(j.journal)
	r.drop(j)
	if empty {
		return r.wakeEntered(t.ID)
	}
	return nil
}

// carried gives a job the records that a tick brought along, for want of a
// journal that lasts.
func (r *run) carried(j *job, t events.Tick) error {
	records, err := rollout.Decode([]byte(strings.Join(t.Records, "\n") + "\n"))
	if err != nil || len(records) == 0 {
		r.refuseMessage(j.message, events.CodeInvalidRequest, fmt.Sprintf("the tick for %s carries no records that can be read, and there is no journal: %v", t.ID, err))
		r.drop(j)
		return nil
	}
	s := j.journal.known().state // nobody else has it yet, and nothing of it is written down
	s.Apply(records...)
	s.TickN = t.N
	if t.Signed(r.TickKey, r.in.Source) {
		return nil
	}
	if why := fitsRequest(s, t); why != "" {
		r.refuseMessage(j.message, events.CodeInvalidRequest, fmt.Sprintf("the unsigned tick for %s: %s", t.ID, why))
		r.drop(j)
		return nil
	}
	r.log().Warn("an unsigned tick carries records: what it says is doubted; set REGILD_JOURNAL or REGILD_TICK_KEY", "request_id", t.ID)
	s.Doubt(r.now)
	s.Operation.Via = r.via(j.message)
	return nil
}

// fitsRequest says why a state that nothing proves is not one of a request that a
// sender could have sent, or "".
func fitsRequest(s *rollout.State, t events.Tick) string {
	w := s.Operation
	if w == nil || t.Kind != kindRequest || w.ID != t.ID || !w.Request() || w.Undoes != "" || len(w.Back) > 0 {
		return "its records are not those of the request that it names"
	}
	body, err := json.Marshal(events.Request{RegionID: w.RegionID, DesktopIDs: w.Desktops, ImageID: w.ImageID,
		OperateType: w.OperateType, Language: w.Language, AfterStatus: w.AfterStatus})
	if err == nil {
		_, err = events.ParseRequest(body)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// requestEvent is a request as the CloudEvent in which it can be sent again.
func requestEvent(req events.Request, source string, at time.Time) events.Event {
	return events.Event{Type: events.TypeRequest, ID: req.RequestID, Source: source, Subject: req.RequestID, Time: at, Data: req}
}
