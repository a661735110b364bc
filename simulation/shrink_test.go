package simulation

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// clone copies a schedule deeply.
func (s *schedule) clone() *schedule {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	out := &schedule{}
	if err := json.Unmarshal(data, out); err != nil {
		panic(err)
	}
	return out
}

// pinned is the schedule with what struck in it written down, so that it can be
// cut down.
func (s *schedule) pinned(w *world) *schedule {
	out := s.clone()
	out.Drawn, out.Odds, out.Budget = false, nil, 0
	out.Strikes = append(slices.Clone(out.Strikes), w.struck...)
	return out
}

// shrinkTime bounds how long a schedule is made shorter.
const shrinkTime = 20 * time.Second

// shrink takes out of a schedule whatever it breaks the rule without. It returns
// nil if the schedule does not break it a second time.
func shrink(t *testing.T, s *schedule, w *world, rule string, mask map[string]bool) *schedule {
	t.Helper()
	began := time.Now()
	breaks := func(c *schedule) bool {
		return slices.ContainsFunc(simulate(t, c, mask).broken, func(v violation) bool { return v.Rule == rule })
	}
	best := s.pinned(w)
	if !breaks(best) {
		return nil
	}
	try := func(change func(*schedule)) bool {
		if time.Since(began) > shrinkTime {
			return false
		}
		c := best.clone()
		change(c)
		if !breaks(c) {
			return false
		}
		best = c
		return true
	}
	for again := true; again && time.Since(began) < shrinkTime; {
		again = false
		for size := len(best.Strikes); size > 0; size /= 2 {
			for at := 0; at < len(best.Strikes); {
				to := min(at+size, len(best.Strikes))
				if try(func(c *schedule) { c.Strikes = slices.Delete(c.Strikes, at, to) }) {
					again = true
				} else {
					at = to
				}
			}
		}
		for at := len(best.Messages) - 1; at >= 0; at-- {
			again = try(func(c *schedule) { c.Messages = slices.Delete(c.Messages, at, at+1) }) || again
		}
		for at := len(best.Events) - 1; at >= 0; at-- {
			again = try(func(c *schedule) { c.Events = slices.Delete(c.Events, at, at+1) }) || again
		}
		for at := len(best.Desktops) - 1; at >= 0; at-- {
			again = try(func(c *schedule) { c.without(at) }) || again
		}
		for _, change := range simpler {
			before, _ := json.Marshal(best)
			after := best.clone()
			change(after)
			if data, _ := json.Marshal(after); string(data) != string(before) {
				again = try(change) || again
			}
		}
	}
	return best
}

// without takes a desktop out, and out of what names it.
func (s *schedule) without(at int) {
	id := s.Desktops[at].ID
	s.Desktops = slices.Delete(s.Desktops, at, at+1)
	s.Events = slices.DeleteFunc(s.Events, func(e eventPlan) bool { return e.Desktop == id })
	for i := range s.Messages {
		s.Messages[i].IDs = slices.DeleteFunc(s.Messages[i].IDs, func(o string) bool { return o == id })
	}
	s.Messages = slices.DeleteFunc(s.Messages, func(m messagePlan) bool { return m.Kind == "request" && len(m.IDs) == 0 })
}

// simpler are changes that make a schedule easier to read.
var simpler = []func(*schedule){
	func(s *schedule) { s.Instances = 1 },
	func(s *schedule) { s.Instances = min(s.Instances, 2) },
	func(s *schedule) { s.Skew = nil },
	func(s *schedule) { s.Window = 0 },
	func(s *schedule) { s.Warm = false },
	func(s *schedule) { s.Rebuilds, s.Publishers = 1, 1 },
	func(s *schedule) { s.Sweep = false },
	func(s *schedule) { s.After = "" },
	func(s *schedule) { s.Fleets = s.Fleets[:min(len(s.Fleets), 1)] },
	func(s *schedule) { s.Records = true },
	func(s *schedule) {
		for i := range s.Desktops {
			s.Desktops[i].LagStatus, s.Desktops[i].LagImage, s.Desktops[i].LagRecord = 0, 0, 0
		}
	},
	func(s *schedule) {
		for i := range s.Desktops {
			s.Desktops[i].Early = false
		}
	},
	func(s *schedule) {
		for i := range s.Desktops {
			s.Desktops[i].Takes = 5 * minute
		}
	},
	func(s *schedule) {
		for i := range s.Strikes {
			s.Strikes[i].For = (s.Strikes[i].For + minute - 1) / minute * minute
		}
	},
}
