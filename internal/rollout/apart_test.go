package rollout_test

import (
	"strings"
	"testing"

	"github.com/regild/regild/internal/rollout"
)

// The id that keeps senders apart differs by id, door and source, says so by its form,
// and is no longer than an id may be.
func TestIdsAreKeptApart(t *testing.T) {
	seen := map[string]string{}
	const mark = 17
	for _, id := range []string{"r1", strings.Repeat("x", rollout.MaxRequestID-mark), strings.Repeat("x", rollout.MaxRequestID-mark+1), strings.Repeat("x", rollout.MaxRequestID)} {
		for _, from := range [][2]string{{"queues/a", ""}, {"queues/a", "/s"}, {"queues", "a:/s"}} {
			got := rollout.Apart(id, from[0], from[1])
			if other, twice := seen[got]; twice {
				t.Errorf("%.20s from %v and %s have one id", id, from, other)
			}
			seen[got] = id + from[0]
			if fits := len(id) <= rollout.MaxRequestID-mark; strings.HasPrefix(got, id+"@") != fits || len(got) > rollout.MaxRequestID || !rollout.IsApart(got) {
				t.Errorf("an id of %d bytes becomes %s, of %d", len(id), got, len(got))
			}
		}
	}
}
