package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/regild/regild/internal/fleet"
)

// MaxRequestID bounds a request's id with its mark, in bytes; the id of an event and
// of a tick holds it.
const MaxRequestID = 256

// Apart returns the id that keeps a request apart from those of other senders: the
// id as it was sent, an @, and a digest of the door and the source that it came
// through. Of an overlong id it has the digest.
func Apart(id, door, source string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s:%s", len(door), door, source))
	mark := "@" + hex.EncodeToString(sum[:8])
	if len(id) > MaxRequestID-len(mark) {
		long := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(long[:])
	}
	return id + mark
}

// IsApart says whether an id has the form of those that Apart makes.
func IsApart(id string) bool { return marked().MatchString(id) }

// Unmarked returns an id without the mark of Apart.
func Unmarked(id string) string { return marked().ReplaceAllString(id, "") }

var marked = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`@[0-9a-f]{16}$`) })

// Misnamed says why no request may have the id, or "": it is what a rollout over one of the
// fleets is called, or the rollback of a request.
func Misnamed(id string, fleets fleet.Fleets) string {
	_, name, _ := SplitID(id) // "" is no fleet's
	switch {
	case slices.ContainsFunc(fleets, func(f fleet.Fleet) bool { return f.Name == name }):
		return fmt.Sprintf("requestId: %.100q is what a rollout over fleet %s is called; give the request another id", id, name)
	case strings.HasSuffix(Unmarked(id), BackOf("")):
		return fmt.Sprintf("requestId: %.100q is what the rollback of another request is called; give the request another id", id)
	}
	return ""
}
