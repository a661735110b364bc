package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/internal/rollout"
)

// Whatever is done is announced in the journal before, but for checks.
func TestWhatIsAnnounced(t *testing.T) {
	for what := rollout.Hold; what <= rollout.Save; what++ {
		a := rollout.Act{What: what, N: 1, Due: start.Add(time.Hour), Desktops: []string{"ecd-1"}}
		r, announced := a.Begins("c1")
		if announced != (what != rollout.Check) {
			t.Errorf("act %d is announced: %t", what, announced)
		}
		if announced && (r.Kind == "" || r.Kind == a.Ends() || r.Call != "c1" || r.N != 1 || !r.Until.Equal(a.Due) || len(r.Desktops) != 1) {
			t.Errorf("act %d is announced by %+v", what, r)
		}
	}
}
