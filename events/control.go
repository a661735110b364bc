package events

import (
	"fmt"
	"slices"
)

// Actions of a control message.
const (
	ActionPause    = "pause"    // begin nothing new
	ActionResume   = "resume"   // go on
	ActionApprove  = "approve"  // open the gate behind a wave
	ActionAbort    = "abort"    // begin nothing new, ever
	ActionRetry    = "retry"    // try the failed desktops again
	ActionRollback = "rollback" // return every changed desktop to its former image
)

// Actions lists every action of a control message.
var Actions = []string{ActionPause, ActionResume, ActionApprove, ActionAbort, ActionRetry, ActionRollback}

// RequestActions lists those that are possible for a request.
var RequestActions = []string{ActionAbort, ActionRollback}

// MaxWho and MaxWhy bound who commands and why, in bytes: both are written
// down for ever.
const (
	MaxWho = 256
	MaxWhy = 256
)

// maxWave bounds the number of a wave.
const maxWave = 10_000

// maxOperationID bounds a request's id as outcomes have it: the id that its sender gave
// it, or that of the transport, with the mark that keeps it apart from those of others.
const maxOperationID = 2 * MaxRequestID

// A Control is the data of regild.rollout.control.v1: somebody tells a rollout
// what to do, or has a request stopped or rolled back.
type Control struct {
	RolloutID string `json:"rolloutId,omitempty"`
	// RequestID is the request that is meant, as its outcomes call it; then Action is
	// one of RequestActions, and RolloutID empty.
	RequestID string `json:"requestId,omitempty"`
	Action    string `json:"action"` // one of Actions
	By        string `json:"by"`     // who says so
	Reason    string `json:"reason"` // why
	// Wave is the wave that is approved; 0: whichever waits for approval.
	Wave       int      `json:"wave,omitempty"`
	Consent    []string `json:"consent,omitempty"` // of Consents, each once
	DryRun     bool     `json:"dryRun,omitempty"`
	PlanDigest string   `json:"planDigest,omitempty"`
}

// Of returns what the message is for: TickRequest or TickRollout, and its id.
func (c Control) Of() (kind, id string) {
	if c.RequestID != "" {
		return TickRequest, c.RequestID
	}
	return TickRollout, c.RolloutID
}

// ParseControl reads a control message. The error, if any, is a *Faults; then
// the result still holds the rollout's id and the action when they could be
// read, so that the refusal can be addressed.
func ParseControl(data []byte) (Control, error) {
	r := read(data)
	var c Control
	c.RequestID = r.str("requestId", checkText(maxOperationID))
	switch {
	case !r.has("requestId"):
		r.require("rolloutId", "name the rollout as release/fleet, or by requestId a request that is to be stopped or rolled back")
	case r.has("rolloutId"):
		r.faults.add("requestId", "goes without rolloutId; name a rollout or a request")
	}
	c.RolloutID = r.str("rolloutId", checkRollout)
	c.Action = r.must("action", "write "+alternatives(Actions), oneOf(Actions...))
	if r.has("requestId") && c.Action != "" && !slices.Contains(RequestActions, c.Action) {
		r.faults.add("action", "is not possible for a request; a request can be stopped (abort) or rolled back (rollback)")
	}
	c.By, c.Reason = r.order()
	c.Wave = r.whole("wave", 1, maxWave)
	if r.has("wave") && c.Action != ActionApprove && c.Action != "" {
		r.faults.add("wave", "goes with approve only; take it out")
	}
	c.Consent = r.texts("consent", 0, len(Consents), oneOf(Consents...))
	c.DryRun = r.flag("dryRun")
	c.PlanDigest = r.str("planDigest", checkDigest)
	return c, r.finish()
}

// order reads who commands something, and why.
func (r *reader) order() (by, reason string) {
	by = r.must("by", "say who commands it", checkBytes(MaxWho))
	return by, r.must("reason", "say why", checkBytes(MaxWhy))
}

// checkBytes is checkText with a limit in bytes.
func checkBytes(most int) check {
	return func(s string) string {
		if len(s) > most {
			return fmt.Sprintf("has %d bytes, more than %d; make it shorter", len(s), most)
		}
		return checkText(most)(s)
	}
}
