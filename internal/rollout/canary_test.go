package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A canary whose desktops were all refused or skipped passed, and the next wave, with its
// share of the fleet and of failures, was the first to show what the image does.
func TestACanaryThatShowsNothingGrows(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(*desktop.Desktop) // what the first three desktops are like
		want  []int                  // how many desktops come into each wave, record by record
		waves []int                  // of the plan
	}{
		{"all can be rebuilt", func(*desktop.Desktop) {}, []int{1}, []int{1, 4, 5}},
		{"three are refused", func(d *desktop.Desktop) { d.GroupID = "g" }, []int{1, 1, 2}, []int{4, 1, 5}},
		{"three have the image", func(d *desktop.Desktop) { d.ImageID = "m-new" }, []int{1, 4}, []int{1, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, facts, members := fleetOfTen(c.first)
			op := rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
			var waves []int
			plan, need, _ := rollout.Preview(op, rules, facts, start)
			for _, wave := range plan.Waves {
				waves = append(waves, len(wave.Desktops))
			}
			if !need.Empty() || !slices.Equal(waves, c.waves) {
				t.Errorf("the plan has waves of %v, want %v", waves, c.waves)
			}
			s := rollout.NewState()
			s.Apply(rollout.Record{Kind: rollout.KindOpened, At: start, Operation: &op})
			var came []int
			for range 20 {
				d := rollout.Decide(s, rules, facts, start)
				for _, r := range d.Records {
					if r.Kind == rollout.KindWave {
						came = append(came, len(r.Desktops))
					}
				}
				s.Apply(d.Records...)
				if len(d.Begin) > 0 {
					break
				}
			}
			if !slices.Equal(came, c.want) || s.Desktops[members[0].ID].Wave != 1 {
				t.Errorf("waves of %v begin, want %v", came, c.want)
			}
		})
	}
}

func TestARolloutEndsThoughNoDesktopShowsAnything(t *testing.T) {
	rules, facts, members := fleetOfTen(nil)
	for _, x := range facts.Desktops {
		x.Value.GroupID = "g"
	}
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: start, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}})
	for n := range 40 {
		at := start.Add(time.Hour + time.Duration(n)*time.Minute)
		facts.Members["office"] = rollout.Read(at, members)
		s.Apply(rollout.Decide(s, rules, facts, at).Records...)
	}
	if got := s.Counts(); !s.Closed || got.Refused != 10 || len(s.Waves) != 1 || len(s.Waves[0].Desktops) != 10 {
		t.Errorf("closed: %t, %+v in %d waves; want ten refused in the canary, and an end", s.Closed, got, len(s.Waves))
	}
}

// fleetOfTen is a fleet in the order of its turns, with all that is to be known of it.
func fleetOfTen(first func(*desktop.Desktop)) (rollout.Rules, *rollout.Facts, []desktop.Desktop) {
	rules := noticeRules()
	s := fleet.Default()
	s.Soak, s.Waves, s.MaxUnavailable, s.Approval = 0, []fleet.Amount{{Percent: 50}}, fleet.Amount{Percent: 100}, fleet.Approval{}
	rules.Fleets[0].Strategy = s
	facts := rollout.NewFacts()
	for id, made := range map[string]time.Time{"m-new": start, "m-old": start.AddDate(-1, 0, 0)} {
		facts.Images[id] = just(&desktop.Image{ID: id, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: made})
	}
	var members []desktop.Desktop
	for n := range 10 {
		members = append(members, desktop.Desktop{ID: fmt.Sprintf("ecd-%d", n), RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected,
			ImageID: "m-old", OS: "windows", SystemDiskGiB: 80})
	}
	members = rollout.Order(&rules.Fleets[0], members)
	for n := range members {
		if n < 3 && first != nil {
			first(&members[n])
		}
		facts.Desktops[members[n].ID] = just(&members[n])
	}
	facts.Members["office"] = just(members)
	return rules, facts, members
}
