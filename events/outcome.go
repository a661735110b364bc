package events

import (
	"strconv"
	"time"
)

// A Status says what became of one desktop. The list is closed; it is also
// the MNS message tag of the outcome.
type Status string

// The statuses of an outcome.
const (
	// StatusAccepted: ECD has started the rebuild. Its API does not say when
	// it is finished, so neither do we.
	StatusAccepted Status = "accepted"
	// StatusCompleted: seen on the new image and no longer rebuilding.
	StatusCompleted Status = "completed"
	// StatusSkipped: nothing to do, it is there or on its way there.
	StatusSkipped Status = "skipped"
	// StatusRefused: we will not.
	StatusRefused Status = "refused"
	// StatusFailed: we or ECD tried and it did not work.
	StatusFailed Status = "failed"
	// StatusDeferred: not yet; it is looked at again, and Until says when.
	StatusDeferred Status = "deferred"
)

// Statuses lists every status in the order of the docs.
var Statuses = []Status{StatusAccepted, StatusCompleted, StatusSkipped, StatusRefused, StatusFailed, StatusDeferred}

// An Outcome is the data of regild.desktop.outcome.v1: what became of one
// desktop under one request. Fields without omitempty are always on the wire,
// so that a reader need not tell "empty" from "absent".
type Outcome struct {
	RequestID string `json:"requestId"`
	AccountID string `json:"accountId,omitempty"` // "": the function's own
	RegionID  string `json:"regionId"`
	DesktopID string `json:"desktopId"`
	ImageID   string `json:"imageId"` // "" for a reset to the current image
	Status    Status `json:"status"`
	// Code is ECD's own code where ECD spoke, unchanged; otherwise the name of
	// one of Codes.
	Code    string `json:"code"`
	Message string `json:"message"` // for people; cut at MaxMessage bytes
	// ECDRequestID is the RequestId that ECD gave the call, for a ticket.
	ECDRequestID    string `json:"ecdRequestId"`
	PreviousImageID string `json:"previousImageId"` // what a rollback would return to
	Attempt         int    `json:"attempt"`         // counts from 1; 0: nothing was tried
	Fleet           string `json:"fleet"`
	ReleaseID       string `json:"releaseId"`
	DryRun          bool   `json:"dryRun"`
	// Until is when a deferred desktop is looked at again.
	Until *time.Time `json:"until,omitempty"`
	// DurationSeconds is how long a completed rebuild took, from its
	// acceptance until we saw that it had ended.
	DurationSeconds int `json:"durationSeconds,omitempty"`
	// SnapshotID is the snapshot of the data disk that was made before a rebuild that
	// erases the disk, as strategy.snapshot asks for.
	SnapshotID string `json:"snapshotId,omitempty"`
	// Via says how the wish reached us; nil in what earlier builds wrote down.
	Via *Via `json:"via,omitempty"`
	// Nth says how many-th outcome of its status this is for the desktop under
	// the request; 0 and 1 both mean the first. It is part of the id only.
	Nth int `json:"-"`
}

// ID returns the id of the outcome's event: requestId/desktopId/status, and
// /n behind it for the n-th of its status after the first (a desktop that is
// deferred for one reason and then for another); for a dry run /dryrun behind it, so that what would be done is never taken
// for a repetition of what was done.
func (o Outcome) ID() string {
	id := o.RequestID + "/" + o.DesktopID + "/" + string(o.Status)
	if o.Nth > 1 {
		id += "/" + strconv.Itoa(o.Nth)
	}
	if o.DryRun {
		id += "/dryrun"
	}
	return id
}

// Event returns the outcome as a CloudEvent from source, dated at.
func (o Outcome) Event(source string, at time.Time) Event {
	o.Message = cut(o.Message, MaxMessage)
	for _, s := range []*string{&o.Code, &o.ECDRequestID, &o.PreviousImageID} {
		*s = cut(*s, maxForeign)
	}
	o.Until = utc(o.Until)
	return Event{
		Type: TypeOutcome, ID: o.ID(), Source: source, Subject: o.DesktopID,
		Time: at, Tag: string(o.Status), Data: o,
	}
}
