package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// A Work is what was asked for: a request, or one release over one fleet. It is
// written into the journal once, when it is opened, and never changes.
type Work struct {
	// ID is the request's id, or releaseId/fleet (and /rollback behind it) of a
	// rollout.
	ID string `json:"id"`
	desktop.Spec

	// Of a request: the desktops that it names, in its order.
	Desktops []string `json:"desktops,omitempty"`
	// Consents are what the sender knowingly destroys. For a rollout they come
	// on top of the fleet's.
	Consents []string `json:"consent,omitempty"`

	// Of a rollout. Fleet is empty for a request.
	Fleet     string    `json:"fleet,omitempty"`
	ReleaseID string    `json:"releaseId,omitempty"`
	ImageName string    `json:"imageName,omitempty"`
	ImageMade time.Time `json:"imageMade,omitzero"` // when the image was created
	// Previous is the rollout of the fleet that this one takes over from; its
	// desktops that are still being rebuilt end first.
	Previous string `json:"previous,omitempty"`

	// Of a rollback: the rollout that it undoes, and the image that each desktop
	// goes back to.
	Undoes string            `json:"undoes,omitempty"`
	Back   map[string]string `json:"back,omitempty"`
	// By is who asked for it, where a person or a pipeline did.
	By string `json:"by,omitempty"`
}

// Request says whether the work is a request: one wave and no gates.
func (w Work) Request() bool { return w.Fleet == "" }

// SpecOf returns the spec under which the desktop is rebuilt.
func (w Work) SpecOf(id string) desktop.Spec {
	s := w.Spec
	if w.Undoes != "" {
		s.ImageID = w.Back[id]
	}
	return s
}

// Digest identifies what is asked for: two works with one id and two digests
// are two different wishes under one name. What differs between deliveries of
// the same wish (who relayed it, what was before) does not count.
func (w Work) Digest() string {
	w.Previous, w.By, w.ImageName, w.ImageMade = "", "", "", time.Time{}
	data, err := json.Marshal(w)
	if err != nil { // strings and maps of strings only: cannot happen
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
