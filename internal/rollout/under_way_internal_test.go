package rollout

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// Whatever was learned, by clocks that are apart and after hours in which nobody looked: who is under
// way is looked at again, not at once, and no later than 5 minutes and half a step after it is expected.
func TestWhoIsUnderWayIsAlwaysLookedAtAgain(t *testing.T) {
	d := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	upTo := func(most time.Duration) time.Duration { return time.Duration(d.Int64N(int64(most) + 1)) }
	for range 2000 {
		v, f := officeView()
		for i := range d.IntN(6) {
			begun, id := noon.Add(upTo(40*time.Hour)), fmt.Sprint("past", i)
			v.s.Desktops[id] = &Desktop{ID: id, BegunAt: MomentOf(begun), Phase: Final}
			v.s.tick(&Record{By: fmt.Sprint("a", i), At: begun.Add(upTo(8 * time.Hour)), N: 2*i + 1})
			v.s.arrived(&Record{By: fmt.Sprint("b", i), At: begun.Add(upTo(8*time.Hour) - 14*time.Second), Desktops: []string{id}})
			v.s.tick(&Record{By: fmt.Sprint("b", i), At: begun.Add(upTo(8 * time.Hour)), N: 2*i + 2})
		}
		now := noon.Add(48 * time.Hour)
		v.now = clock{now}
		f.Strategy.Expected, f.Strategy.Check.Stable = time.Minute+upTo(24*time.Hour-time.Minute), upTo(24*time.Hour)
		for i := range 1 + d.IntN(8) {
			x := &Desktop{ID: fmt.Sprint("d", i), Phase: Accepted, BegunAt: MomentOf(now.Add(14*time.Second - upTo(25*time.Hour)))}
			x.AcceptedAt = MomentOf(x.BegunAt.Add(upTo(time.Minute)))
			if d.IntN(2) == 0 {
				x.ArrivedAt = MomentOf(now.Add(-upTo(25 * time.Hour)))
			}
			v.s.Desktops[x.ID] = x
		}
		v.rhythm = v.s.took.rhythm(f, f.Strategy.AtOnce(1+d.IntN(30000)))
		v.leave = v.proven()
		for _, x := range v.s.Desktops {
			got, early := v.tooEarly(x)
			due := x.BegunAt.Add(f.Strategy.Expected)
			switch {
			case !x.ArrivedAt.IsZero():
				due = x.ArrivedAt.Add(f.Strategy.Check.Stable)
			case !early:
				got, early = v.lookForArrival(x), true
			}
			if latest := Later(now, due).Add(5*time.Minute + mostStep/2); early && (!got.unfinished || !got.next.After(now) || got.next.After(latest)) {
				t.Fatalf("%+v %+v: %+v is looked at %s later, and must be %s later", v.s.took, v.rhythm, *x, got.next.Sub(now), latest.Sub(now))
			}
		}
	}
}

// A check that cannot be run is tried for an hour from the first look on: after hours without one too.
func TestACheckIsTriedForAnHourFromTheFirstLook(t *testing.T) {
	const due, hour = 5 * time.Minute, time.Hour
	for name, c := range map[string]struct {
		at, seen           time.Duration // after the arrival; seen 0: it was not
		status             string
		marks, tries, ends bool
	}{
		"in time":                          {due, 0, desktop.Running, false, true, false},
		"a little late":                    {due + Settling - 1, 0, desktop.Running, false, true, false},
		"late":                             {due + Settling, 0, desktop.Running, true, true, false},
		"after hours":                      {30 * hour, 0, desktop.Running, true, true, false},
		"it does not run":                  {due, 0, desktop.Stopped, true, false, false},
		"it does not run, after hours":     {30 * hour, 0, desktop.Stopped, true, false, false},
		"it did not run, and does":         {due + hour - 1, due, desktop.Running, false, true, false},
		"nobody could run it for an hour":  {due + hour, due, desktop.Running, false, false, true},
		"it did not run for an hour":       {due + hour, due, desktop.Stopped, false, false, true},
		"it was seen before it was time":   {30 * hour, due - 1, desktop.Running, true, true, false},
		"after hours, and tried for a bit": {30*hour + hour - 1, 30 * hour, desktop.Stopped, false, false, false},
	} {
		x := &Desktop{ID: "ecd-1", Phase: Accepted, ArrivedAt: MomentOf(noon)}
		if c.seen > 0 {
			x.SeenAt = MomentOf(noon.Add(c.seen))
		}
		v, _ := officeView(x)
		v.now = clock{noon.Add(c.at)}
		got := v.check(x, Read(v.now.t, &desktop.Desktop{ID: x.ID, Status: c.status}), fleet.Check{Stable: due, Command: "is-it-well"})
		if got.marked(KindSeen) != c.marks || (len(got.acts) > 0) != c.tries || (got.outcome != nil) != c.ends || c.ends == got.unfinished {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
