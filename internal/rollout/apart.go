package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"sync"
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
