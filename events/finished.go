package events

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// TagFinished is the MNS message tag of a finished request.
const TagFinished = "finished"

// Finished is the data of regild.request.finished.v1: a request has no open
// desktop left. A subscriber that counts the final outcomes it has, and
// compares Digest of their event ids, knows whether it has them all.
type Finished struct {
	RequestID string         `json:"requestId"`
	AccountID string         `json:"accountId,omitempty"` // "": the function's own
	RegionID  string         `json:"regionId"`
	Desktops  int            `json:"desktops"`
	Statuses  map[Status]int `json:"statuses"` // final outcomes by status
	Digest    string         `json:"digest"`   // of the ids of the final outcomes
	DryRun    bool           `json:"dryRun"`

	StartedAt       time.Time `json:"startedAt"`
	FinishedAt      time.Time `json:"finishedAt"`
	DurationSeconds int       `json:"durationSeconds"`

	Via *Via `json:"via,omitempty"` // how the request reached us
}

// Digest returns "sha256:" and the SHA-256, in lower-case hex, of the ids
// sorted by bytes and joined by line feeds. It leaves ids as they are.
func Digest(ids []string) string {
	sorted := slices.Sorted(slices.Values(ids))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Event returns the summary as a CloudEvent from source, dated FinishedAt. Its
// id is requestId/finished, and /dryrun behind it for a dry run.
func (f Finished) Event(source string) Event {
	f.StartedAt, f.FinishedAt = *utc(&f.StartedAt), *utc(&f.FinishedAt)
	if f.Statuses == nil {
		f.Statuses = map[Status]int{}
	}
	id := f.RequestID + "/finished"
	if f.DryRun {
		id += "/dryrun"
	}
	return Event{
		Type: TypeFinished, ID: id, Source: source, Subject: f.RequestID,
		Time: f.FinishedAt, Tag: TagFinished, Data: f,
	}
}
