package rollout

import (
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

// What was seen of the rebuilds up to now says when the next are looked at, and how
// often, within bounds.
func TestARhythmFollowsFromWhatRebuildsTook(t *testing.T) {
	f := &fleet.Fleet{Strategy: fleet.Default()}
	f.Strategy.Expected, f.Strategy.Check.Stable = 10*time.Minute, 5*time.Minute
	for name, c := range map[string]struct {
		took []time.Duration
		want rhythm
	}{
		"nothing is known":                       {nil, rhythm{}},
		"one":                                    {[]time.Duration{6 * time.Minute}, rhythm{344 * time.Second, 16 * time.Second, 5 * time.Minute}},
		"all alike":                              {[]time.Duration{6 * time.Minute, 6*time.Minute + 20*time.Second}, rhythm{344 * time.Second, 16 * time.Second, 5 * time.Minute}},
		"apart":                                  {[]time.Duration{7 * time.Minute, 6 * time.Minute}, rhythm{344 * time.Second, 28 * time.Second, 5 * time.Minute}},
		"far apart":                              {[]time.Duration{6 * time.Minute, 20 * time.Minute}, rhythm{344 * time.Second, time.Minute, 5 * time.Minute}},
		"longer than expected: nobody was there": {[]time.Duration{3 * time.Hour}, rhythm{584 * time.Second, 16 * time.Second, 5 * time.Minute}},
	} {
		s := NewState()
		begun := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
		for i, d := range c.took {
			id := string(rune('a' + i))
			s.Desktops[id] = &Desktop{ID: id, BegunAt: begun}
			s.arrived(&Record{Desktops: []string{id, "unknown"}, At: begun.Add(d)})
			s.arrived(&Record{Desktops: []string{id}, At: begun.Add(d + time.Hour)}) // seen again: teaches nothing
		}
		s.Desktops["doubtful"] = &Desktop{ID: "doubtful", BegunAt: begun, Doubtful: true}
		s.arrived(&Record{Desktops: []string{"doubtful"}, At: begun.Add(time.Second)})
		if got := s.took.rhythm(f); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if got := (took{1, time.Minute, time.Minute}).rhythm(nil); got != (rhythm{}) {
		t.Errorf("a rollout whose fleet is not declared has the rhythm %+v", got)
	}
}
