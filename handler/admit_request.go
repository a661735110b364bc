package handler

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// request makes a job of a request.
func (a *admission) request(m envelope.Message) error {
	req, err := events.ParseRequest(m.Data)
	if req.RequestID == "" {
		req.RequestID = a.identity(m)
	}
	if req.AccountID == accountOf(a.in.Source) {
		req.AccountID = "" // the own account has one name only, or each of its desktops would have two
	}
	if err != nil {
		a.refuse.request(m, req, "", events.CodeInvalidRequest, err.Error()+meant(m))
		return nil
	}
	op := operationOf(req)
	op.Via = a.via(m)
	if a.isTick(m, req, op) {
		return nil
	}
	if err := a.nameApart(&op, req.DryRun); err != nil {
		return a.notNamed(m, req, op, err)
	}
	if why, err := a.tooFar(m, req, op.ID); why != "" || err != nil {
		if why != "" {
			a.refuse.request(m, req, op.ID, events.CodeInvalidRequest, why)
		}
		return err
	}
	if refused, err := a.misnamed(m, req, op.ID); refused || err != nil {
		return err
	}
	agreed, err := a.agreed(agreement{
		operations: []rollout.Operation{op}, dryRun: req.DryRun, digest: req.PlanDigest,
		checked: func() (bool, error) { return a.isKnown(op.ID) },
		refuse:  func() (bool, error) { return a.refusePlan(m, req, op.ID) },
	})
	if agreed && err == nil {
		a.takeOn(m, req, op)
	}
	return err
}

// notNamed fails a request of which it could not be read under which id it is known here.
func (a *admission) notNamed(m envelope.Message, req events.Request, op rollout.Operation, err error) error {
	if !a.doors.apart() && len(op.Consents) > 0 { // put back, it comes from elsewhere, and the facts alone are not enough then
		return err
	}
	j, fresh := a.jobs.add(kindRequest, op.ID)
	if !fresh { // perhaps another sender's
		return err
	}
	j.message, j.request = m, &req
	a.recovery.fail(j, err)
	return nil
}

// misnamed refuses a request that may not have its id. What a rollout is called
// would give its outcomes the ids that the rollout's have: subscribers would take those
// for repetitions. An id that the transport gave has to be as those are that senders
// write. A request that the journal knows keeps its id.
func (a *admission) misnamed(m envelope.Message, req events.Request, id string) (refused bool, err error) {
	why := rollout.Misnamed(id, a.rules.Fleets)
	if fault := events.CheckRequestID(req.RequestID); why == "" && fault != "" {
		why = "the id of the message, which stands for the requestId that is missing, " + fault
	}
	if why == "" {
		return false, nil
	}
	if known, err := a.isKnown(id); known || err != nil {
		return false, err
	}
	a.refuse.request(m, req, id, events.CodeInvalidRequest, why)
	return true, nil
}

// isKnown says whether the journal has a request of that id.
func (a *admission) isKnown(id string) (known bool, err error) {
	if a.hasJournal {
		err = a.jobs.peek(kindRequest, id, func(s *rollout.State) { known = s.Operation != nil })
	}
	return known, err
}

// takeOn opens the journal of a request.
func (a *admission) takeOn(m envelope.Message, req events.Request, op rollout.Operation) {
	j, fresh := a.jobs.add(kindRequest, op.ID)
	if fresh {
		j.message, j.request = m, &req
		j.message.Data = nil // req has what was in it
	}
	if j.failure() != nil {
		a.recovery.failToo(j, &job{kind: kindRequest, id: op.ID, message: m, request: &req, tick: -1})
		return
	}
	switch err := a.jobs.begin(j, op, req.PlanDigest, a.resend(m, req, op)); {
	case errors.Is(err, errPlanRefused):
		a.refuse.request(m, req, op.ID, events.CodePlanChanged, err.Error())
		a.jobs.drop(j)
	case errors.Is(err, errReused):
		a.refuse.request(m, req, op.ID, events.CodeRequestIdReused, err.Error())
		if fresh { // the operation that has this id goes on by its own ticks
			a.jobs.drop(j)
		}
	case err != nil:
		a.recovery.fail(j, err)
	}
}

func operationOf(req events.Request) rollout.Operation {
	return rollout.Operation{
		ID: req.RequestID, Desktops: req.DesktopIDs, Consents: req.Consent, NotBefore: req.NotBefore,
		Spec: desktop.Spec{AccountID: req.AccountID, RegionID: req.RegionID, ImageID: req.ImageID, OperateType: req.OperateType,
			Language: req.Language, AfterStatus: req.AfterStatus},
	}
}

// tooFar says why a request cannot be begun at the time that it names, or "". One
// that the journal knows was asked when it came first, and what was refused then is
// refused again: its journal remembers.
func (a *admission) tooFar(m envelope.Message, req events.Request, id string) (why string, err error) {
	far := rollout.TooFar(req.NotBefore, a.asOf()) != nil
	switch {
	case !req.NotBefore.After(a.asOf()):
		return "", nil
	case !a.hasQueue:
		return "notBefore: nothing would begin the request at that time, for REGILD_REQUEST_QUEUE is not set; send it then", nil
	case !far && !a.hasJournal:
		return "", nil
	}
	if !a.hasJournal {
		return rollout.ErrTooFar.Error(), nil
	}
	j := &job{kind: kindRequest, id: id}
	if err := a.jobs.open(j); err != nil {
		return "", err
	}
	defer a.jobs.keepOne(j)
	message := a.orderID(m)
	err = j.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
		told := refusedBefore(s, message) != nil
		if why = rollout.ErrTooFar.Error(); s.Operation != nil || !far && !told {
			why = ""
		}
		if why == "" || told || req.DryRun || len(s.Refusals) >= maxRefusals {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindRefused, At: a.asOf(), Name: id, Message: message.message, Event: message.event, Via: a.via(m),
			Reason: &events.Reason{Code: events.CodeInvalidRequest, Message: why}}}
	})
	return why, err
}

// refusePlan refuses a request whose plan has changed, unless it was opened meanwhile. The
// journal remembers that: what is still on its way to open the request finds it, and whatever
// comes again with this plan is answered in the same way.
func (a *admission) refusePlan(m envelope.Message, req events.Request, id string) (opened bool, err error) {
	if a.hasJournal {
		j := &job{kind: kindRequest, id: id}
		if err := a.jobs.open(j); err != nil {
			return false, err
		}
		defer a.jobs.keepOne(j)
		err = j.journal.Update(a.ctx, func(s *rollout.State) []rollout.Record {
			if opened = s.Operation != nil; opened || s.PlansRefused[req.PlanDigest] > 0 {
				return nil
			}
			return []rollout.Record{{Kind: rollout.KindUnplanned, At: a.asOf(), Name: id, Digest: req.PlanDigest}}
		})
	}
	if !opened && err == nil {
		a.refuse.request(m, req, id, events.CodePlanChanged, rollout.PlanChanged)
	}
	return opened, err
}

// meant returns a hint for the sender of a bare message that looks like something
// else than a request, or "".
func meant(m envelope.Message) string {
	var fields map[string]json.RawMessage
	if m.Type != "" || json.Unmarshal(m.Data, &fields) != nil {
		return ""
	}
	for _, other := range []struct{ field, what, kind string }{
		{"rolloutId", "a control message", events.TypeControl}, {"freezeId", "a freeze", events.TypeFreeze},
		{"releaseId", "a release", events.TypeRelease}, {"images", "a release", events.TypeRelease},
	} {
		if _, has := fields[other.field]; has {
			return fmt.Sprintf("; if it is meant as %s, send it as the data of a CloudEvent of type %s", other.what, other.kind)
		}
	}
	return ""
}

// nameApart gives a request an id of its own where senders are kept apart: the id as it
// was sent, an @, and a digest of its door and source. So another sender's request of the same
// id is another request. Two keep their ids: a request through the request queue without a
// source, and one that has a journal under its id already, if that says that it came in the
// same way, or not how (it is of an earlier build). One that has a journal under the id of its
// own keeps that, though senders may not be kept apart any more.
func (a *admission) nameApart(op *rollout.Operation, dryRun bool) error {
	if dryRun && !a.doors.apart() {
		return nil
	}
	door, source := op.Came()
	own := rollout.Apart(op.ID, door, source)
	home := door == a.doors.Request && source == "" && !rollout.IsApart(op.ID)
	if !a.hasJournal {
		if a.doors.apart() && !home {
			rename(op, own)
		}
		return nil
	}
	if !home {
		if had, err := a.isKnown(own); err != nil {
			return err
		} else if had {
			rename(op, own)
			return nil
		}
	}
	if !a.doors.apart() {
		return nil
	}
	mine, err := a.cameSo(*op, home)
	if err == nil && !mine {
		rename(op, own)
	}
	return err
}

// cameSo says whether the request that the journal has under an id came as this one did, or is of
// a build that did not write down how; unknown: if it has none.
func (a *admission) cameSo(op rollout.Operation, unknown bool) (same bool, err error) {
	door, source := op.Came()
	err = a.jobs.peek(kindRequest, op.ID, func(s *rollout.State) {
		same = unknown
		if s.Operation != nil {
			d, src := s.Operation.Came()
			same = s.Operation.Via == nil || d == door && src == source
		}
	})
	return same, err
}

// rename gives a request another id, and keeps its sender's.
func rename(op *rollout.Operation, id string) {
	via := *op.Via
	via.RequestID = op.ID
	op.Via, op.ID = &via, id
}
