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
func (w Operation) Came() (door, source string) {
	if w.Via == nil {
		return events.DoorUnknown, ""
	}
	return w.Via.Door, w.Via.Source
}

// Request says whether the operation is a request: one wave and no gates.
func (w Operation) Request() bool { return w.Fleet == "" }

// reason says why a rollback began, and what it cannot do.
func (w Operation) reason() *events.Reason {
	if w.Undoes == "" {
		return nil
	}
	return &events.Reason{Code: events.CodeSuccess,
		Message: w.Why + " (the former images come back, what was on the system disks does not)"}
}

// SpecOf returns the spec under which the desktop is rebuilt.
func (w Operation) SpecOf(id string) desktop.Spec {
	s := w.Spec
	if w.Undoes != "" {
		s.ImageID = w.to[id]
	}
	return s
}

// maxBack is how many desktops that go back stand in the record by which a rollback is
// opened; for more there are records before it, of maxIDs each.
const maxBack = 50_000

// Opening returns the records by which an operation is opened. All of them are read
// before the last one counts.
func Opening(w Operation, at time.Time) (out []Record) {
	n := 0
	for _, ids := range w.Back {
		n += len(ids)
	}
	if n > maxBack {
		for _, image := range slices.Sorted(maps.Keys(w.Back)) {
			for ids := range slices.Chunk(w.Back[image], maxIDs) {
				out = append(out, Record{Kind: KindBack, At: at, Name: image, Desktops: ids})
			}
		}
		w.Back = nil
	}
	return append(out, Record{Kind: KindOpened, At: at, Operation: &w})
}

// index makes Back, and more that stands in other records, quick to ask.
func (w *Operation) index(more map[string]string) {
	w.to = map[string]string{}
	maps.Copy(w.to, more)
	for image, ids := range w.Back {
		for _, id := range ids {
			w.to[id] = image
		}
	}
	w.since = map[string]time.Time{}
	for at, ids := range w.Since {
		t, err := time.Parse(time.RFC3339Nano, at)
		for _, id := range ids {
			if w.since[id] = t; err != nil {
				delete(w.to, id) // it is not known whether somebody else has changed it since
			}
		}
	}
}

// Same says whether o asks for the same as w. A rollout is known by its image, and any
// rollback by what it undoes: what else it does was fixed when it was first asked for,
// whatever the settings say now.
func (w Operation) Same(o Operation) bool {
	if (w.Request() || o.Request()) && (w.Undoes == "" || o.Undoes == "") {
		return w.Digest() == o.Digest()
	}
	return w.ImageID == o.ImageID && w.Place() == o.Place() && w.Undoes == o.Undoes && w.Fleet == o.Fleet
}

// Digest identifies what is asked for: two operations with one id and two digests ask
// for different things under one name. What differs between deliveries of one message
// (who relayed it, what ECD said of the image) does not count.
func (w Operation) Digest() string {
	w.By, w.Why, w.ImageName, w.ImageMade, w.First = "", "", "", time.Time{}, false
	w.Via = nil
	data, err := json.Marshal(w)
	if err != nil { // strings and maps of strings only: cannot happen
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
