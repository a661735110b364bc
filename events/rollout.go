package events

import "time"

// TagRollout is the MNS message tag of every event of a rollout.
const TagRollout = "rollout"

// What says what happened to a rollout.
type What string

// Everything that may happen to a rollout.
const (
	RolloutStarted        What = "started"
	RolloutWaveStarted    What = "wave.started"
	RolloutWaveFinished   What = "wave.finished"
	RolloutWaiting        What = "waiting" // it stands still; the reason says for what, until when
	RolloutPaused         What = "paused"
	RolloutResumed        What = "resumed"
	RolloutApproved       What = "approved"
	RolloutHalted         What = "halted" // it stopped by itself
	RolloutAborted        What = "aborted"
	RolloutSuperseded     What = "superseded" // a newer release took over
	RolloutCompleted      What = "completed"
	RolloutRolledBack     What = "rolledback"
	RolloutPlan           What = "plan"
	RolloutControlRefused What = "control.refused"
)

// Whats lists everything that may happen to a rollout, in the order of the docs.
var Whats = []What{
	RolloutStarted, RolloutWaveStarted, RolloutWaveFinished, RolloutWaiting, RolloutPaused, RolloutResumed,
	RolloutApproved, RolloutHalted, RolloutAborted, RolloutSuperseded, RolloutCompleted, RolloutRolledBack,
	RolloutPlan, RolloutControlRefused,
}

// Type returns the CloudEvents type, such as regild.rollout.wave.started.v1.
func (w What) Type() string { return "regild.rollout." + string(w) + ".v1" }

// Rollout is the data of every regild.rollout.*.v1 but the plan: where the
// rollout stands, and why.
type Rollout struct {
	RolloutID string `json:"rolloutId"` // releaseId/fleet
	ReleaseID string `json:"releaseId"`
	Fleet     string `json:"fleet"`
	AccountID string `json:"accountId,omitempty"` // "": the function's own
	RegionID  string `json:"regionId"`
	ImageID   string `json:"imageId"`
	Wave      int    `json:"wave"`  // the current one, counted from 1; 0 before the first
	Waves     int    `json:"waves"` // how many there are
	Counts    Counts `json:"counts"`
	// Reason says why, and until when, whenever the rollout stands still or ended.
	Reason *Reason `json:"reason,omitempty"`
	By     string  `json:"by,omitempty"`     // who asked for it, where somebody did
	Digest string  `json:"digest,omitempty"` // of the final outcome ids (see Digest), or of the plan
	DryRun bool    `json:"dryRun"`
	// Via says how the message reached us from which this follows, where one did.
	Via *Via `json:"via,omitempty"`
}

// Counts says how many desktops of the fleet stand where. Fleet is their sum.
type Counts struct {
	Fleet     int `json:"fleet"`
	Pending   int `json:"pending"` // not yet begun
	Waiting   int `json:"waiting"` // due, but held back (a session, a passing status)
	Running   int `json:"running"` // being rebuilt
	Completed int `json:"completed"`
	Skipped   int `json:"skipped"`
	Refused   int `json:"refused"`
	Failed    int `json:"failed"`
}

// A Reason says why a rollout stands where it stands.
type Reason struct {
	Code    string     `json:"code"`    // the name of one of Codes
	Message string     `json:"message"` // for people; cut at MaxMessage bytes
	Until   *time.Time `json:"until,omitempty"`
}

// Event returns what happened as a CloudEvent from source, dated at. Key tells
// happenings of one kind apart (the wave, the number of the journal's record);
// the id is rolloutId/what/key, or rolloutId/what when key is empty, and for a
// dry run /dryrun behind it.
func (r Rollout) Event(what What, key, source string, at time.Time) Event {
	if r.Reason != nil {
		reason := *r.Reason
		reason.Message, reason.Until = cut(reason.Message, MaxMessage), utc(reason.Until)
		r.Reason = &reason
	}
	id := r.RolloutID + "/" + string(what)
	if key != "" {
		id += "/" + key
	}
	if r.DryRun {
		id += "/dryrun"
	}
	return Event{
		Type: what.Type(), ID: id, Source: source, Subject: r.RolloutID,
		Time: at, Tag: TagRollout, Data: r,
	}
}
