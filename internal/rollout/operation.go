package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// An Operation is what was asked for: a request, or one release over one fleet. It is
// written into the journal once, when it is opened, and never changes.
type Operation struct {
	// ID is the request's id, or releaseId/fleet (and /rollback behind it) of a
	// rollout.
	ID string `json:"id"`
	desktop.Spec

	// Of a request: the desktops that it names, in its order.
	Desktops []string `json:"desktops,omitempty"`
	// NotBefore is when its desktops may be begun; zero: at once.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Consents name what the sender agrees to lose. For a rollout they are added to
	// those of the fleet.
	Consents []string `json:"consent,omitempty"`

	// Of a rollout. Fleet is empty for a request.
	Fleet     string    `json:"fleet,omitempty"`
	ReleaseID string    `json:"releaseId,omitempty"`
	ImageName string    `json:"imageName,omitempty"`
	ImageMade time.Time `json:"imageMade,omitzero"` // when the image was created
	// First says that no rollout of the fleet had gone further than its canary
	// when this one was entered.
	First bool `json:"first,omitempty"`
	// Of a rollback: the rollout or the request that it undoes, and the desktops that go back to
	// each image. ImageID is then the image that they leave.
	// Those of a rollback of more than 50,000 desktops stand in records of their own.
	Undoes string              `json:"undoes,omitempty"`
	Back   map[string][]string `json:"back,omitempty"`
	// Of a rollback of a request: the desktops by when it had them rebuilt last, in RFC 3339.
	Since map[string][]string `json:"since,omitempty"`
	// AnyTime lets a rollback begin outside of the fleet's windows.
	AnyTime bool `json:"anyTime,omitempty"`
	// By is who asked for it and Why their reason, where a person or a pipeline
	// did.
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`

	// Via says how the message reached us; nil in journals of earlier builds.
	Via *events.Via `json:"via,omitempty"`

	to    map[string]string // Back by desktop; see index
	since map[string]time.Time
}

// SplitID returns the release and the fleet that a rollout's id names.
func SplitID(id string) (release, fleet string, ok bool) {
	id = strings.TrimSuffix(id, "/rollback")
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// Came returns through which door, and from which source, the message came.
func (op Operation) Came() (door, source string) {
	if op.Via == nil {
		return events.DoorUnknown, ""
	}
	return op.Via.Door, op.Via.Source
}

// Request says whether the operation is a request: one wave and no gates.
func (op Operation) Request() bool { return op.Fleet == "" }

// reason says why a rollback began, and what it cannot do.
func (op Operation) reason() *events.Reason {
	if op.Undoes == "" {
		return nil
	}
	return &events.Reason{Code: events.CodeSuccess,
		Message: op.Why + " (the former images come back, what was on the system disks does not)"}
}

// SpecOf returns the spec under which the desktop is rebuilt.
func (op Operation) SpecOf(id string) desktop.Spec {
	s := op.Spec
	if op.Undoes != "" {
		s.ImageID = op.to[id]
	}
	return s
}

// maxBack is how many desktops that go back stand in the record by which a rollback is
// opened; for more there are records before it, of maxIDs each.
const maxBack = 50_000

// Opening returns the records by which an operation is opened. All of them are read
// before the last one counts.
func Opening(op Operation, at time.Time) (out []Record) {
	n := 0
	for _, ids := range op.Back {
		n += len(ids)
	}
	if n > maxBack {
		for _, image := range slices.Sorted(maps.Keys(op.Back)) {
			for ids := range slices.Chunk(op.Back[image], maxIDs) {
				out = append(out, Record{Kind: KindBack, At: at, Name: image, Desktops: ids})
			}
		}
		op.Back = nil
	}
	return append(out, Record{Kind: KindOpened, At: at, Operation: &op})
}

// index makes Back, and more that stands in other records, quick to ask.
func (op *Operation) index(more map[string]string) {
	op.to = map[string]string{}
	maps.Copy(op.to, more)
	for image, ids := range op.Back {
		for _, id := range ids {
			op.to[id] = image
		}
	}
	op.since = map[string]time.Time{}
	for at, ids := range op.Since {
		t, err := time.Parse(time.RFC3339Nano, at)
		for _, id := range ids {
			if op.since[id] = t; err != nil {
				delete(op.to, id) // it is not known whether somebody else has changed it since
			}
		}
	}
}

// Same says whether o asks for the same as op. A rollout is known by its image, and any
// rollback by what it undoes: what else it does was fixed when it was first asked for,
// whatever the settings say now.
func (op Operation) Same(o Operation) bool {
	if op.Request() && op.Undoes == "" {
		return op.Digest() == o.Digest()
	}
	return op.ImageID == o.ImageID && op.Place() == o.Place() && op.Undoes == o.Undoes && op.Fleet == o.Fleet
}

// Digest identifies what is asked for: two operations with one id and two digests ask
// for different things under one name. What differs between deliveries of one message
// (who relayed it, what ECD said of the image) does not count.
func (op Operation) Digest() string {
	op.By, op.Why, op.ImageName, op.ImageMade, op.First = "", "", "", time.Time{}, false
	op.Via = nil
	data, err := json.Marshal(op)
	if err != nil { // strings and maps of strings only: cannot happen
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
