package rollout

import (
	"fmt"
	"slices"
	"testing"
)

// While all desktops of a wave are begun nothing can begin, and the image is not read; it is if
// it takes several calls to read the desktops, since then it is read first, and shows whether
// anybody answers.
func TestWhenTheImageIsReadThoughNothingBegins(t *testing.T) {
	for name, c := range map[string]struct {
		desktops int
		change   func(*State)
		want     bool
	}{
		"all are begun":             {100, func(*State) {}, false},
		"one is not":                {100, func(s *State) { s.Desktops["ecd-007"].Phase = Pending }, true},
		"more than a call can read": {101, func(*State) {}, true},
		"the wave has ended":        {100, func(s *State) { s.Waves[0].EndedAt = noon }, true},
		"the wave is not known":     {100, func(s *State) { s.Waves[0].Of = 101 }, true},
	} {
		var list []*Desktop
		for i := range c.desktops {
			list = append(list, &Desktop{ID: fmt.Sprintf("ecd-%03d", i), Phase: Accepted, BegunAt: MomentOf(noon), AcceptedAt: MomentOf(noon), Wave: 1})
		}
		v, _ := officeView(list...)
		c.change(v.s)
		total := newTotal(v)
		v.rollout(total)
		if got := slices.Contains(total.decision().Need.Images, v.s.Operation.ImageID); got != c.want {
			t.Errorf("%s: the image is asked for: %t, want %t", name, got, c.want)
		}
	}
}
