package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/internal/rollout"
)

// A moment is the time that it was made of, to the nanosecond, or the nearest that there is.
func TestAMomentIsTheTimeItWasMadeOf(t *testing.T) {
	at := func(year int) time.Time { return time.Date(year, 2, 3, 4, 5, 6, 789, time.FixedZone("", 3600)) }
	first, last := time.Unix(0, -1<<63), time.Unix(0, 1<<63-1)
	for _, c := range []struct{ of, want time.Time }{
		{time.Time{}, time.Time{}},
		{at(2026), at(2026)},
		{at(1678), at(1678)},
		{at(2262), at(2262)},
		{at(1), first},
		{at(1677), first},
		{at(9999), last},
		{first, first},
		{last, last},
		{time.Unix(0, 0), time.Unix(0, 1)},
	} {
		m := rollout.MomentOf(c.of)
		if !m.Time().Equal(c.want) || m.IsZero() != c.of.IsZero() || m.String() != c.want.UTC().String() {
			t.Errorf("%s: got %s, want %s", c.of, m, c.want)
		}
		before, after := c.want.Add(-time.Nanosecond), c.want.Add(time.Nanosecond)
		if !m.After(before) || m.After(c.want) || !m.Before(after) || m.Before(c.want) || !m.Equal(c.want) || m.Equal(after) {
			t.Errorf("%s is not between %s and %s", m, before, after)
		}
		if m.Add(time.Second).Sub(c.want) != time.Second || m.Sub(before) != time.Nanosecond {
			t.Errorf("%s: a second later it is %s, and it is %s after %s", m, m.Add(time.Second), m.Sub(before), before)
		}
	}
	if early, late := rollout.MomentOf(at(2025)), rollout.MomentOf(at(2026)); early >= late || early <= 0 {
		t.Errorf("%s is not before %s", early, late)
	}
}
