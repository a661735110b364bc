package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

func TestAFreezeHoldsWhatItNamesUntilItsEnd(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	freezes := rollout.ReadFreezes([]rollout.Record{
		{Kind: rollout.KindFreeze, Name: "region", Who: "ada", Until: noon, Regions: []string{"cn-hangzhou"}},
		{Kind: rollout.KindFreeze, Name: "fleet", Who: "ada", Until: noon.Add(time.Hour), Fleets: []string{"office"}},
		{Kind: rollout.KindFreeze, Name: "lifted", Who: "ada", Until: noon.Add(24 * time.Hour), Regions: []string{"cn-hangzhou"}},
		{Kind: rollout.KindLift, Name: "lifted", Who: "bob"},
		{Kind: rollout.KindFreeze, Name: "lifted", Who: "ada", Until: noon.Add(48 * time.Hour), Regions: []string{"cn-hangzhou"}},
		{Kind: rollout.KindLift, Name: "never", Who: "bob"},
	})
	for _, c := range []struct {
		region, fleet string
		at            time.Time
		want          string
	}{
		{"cn-hangzhou", "design", noon.Add(-time.Second), "region"},
		{"cn-hangzhou", "", noon.Add(-time.Second), "region"},
		{"cn-hangzhou", "design", noon, ""},
		{"cn-hangzhou", "office", noon.Add(-time.Second), "fleet"},
		{"cn-shanghai", "office", noon, "fleet"},
		{"cn-shanghai", "office", noon.Add(time.Hour), ""},
		{"cn-shanghai", "", noon.Add(-time.Second), ""},
	} {
		got := ""
		if f := freezes.Holds(c.region, c.fleet, c.at); f != nil {
			got = f.ID
		}
		if got != c.want {
			t.Errorf("%s in %s at %s is held by %q, want %q", c.fleet, c.region, c.at.Format(time.TimeOnly), got, c.want)
		}
	}
}

// However the log of freezes is read, whole or in parts, an id means one freeze for ever.
func TestFreezesAreFoldedInParts(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	records := []rollout.Record{
		{Kind: rollout.KindFreeze, Name: "a", Who: "ada", Until: noon},
		{Kind: rollout.KindTick, Name: "b", Who: "nobody", Until: noon.Add(time.Hour)},
		{Kind: rollout.KindFreeze, Name: "b", Who: "bob", Until: noon.Add(time.Hour)},
		{Kind: rollout.KindFreeze, Name: "a", Who: "eve", Until: noon.Add(9 * time.Hour)},
		{Kind: rollout.KindTick, Name: "b", Who: "nobody"},
		{Kind: rollout.KindLift, Name: "c", Who: "early"},
		{Kind: rollout.KindFreeze, Name: "c", Who: "cid", Until: noon.Add(2 * time.Hour)},
		{Kind: rollout.KindLift, Name: "c", Who: "ada"},
		{Kind: rollout.KindLift, Name: "c", Who: "eve"},
	}
	var parts rollout.Freezes
	for _, r := range records {
		parts = parts.With(r)
	}
	for name, got := range map[string]rollout.Freezes{"whole": rollout.ReadFreezes(records), "in parts": parts} {
		said := ""
		for _, f := range got {
			said += fmt.Sprintf("%s by %s until %s lifted by %q; ", f.ID, f.Who, f.Until.Format(time.TimeOnly), f.Lifted)
		}
		if want := `a by ada until 12:00:00 lifted by ""; b by bob until 13:00:00 lifted by ""; c by cid until 14:00:00 lifted by "ada"; `; said != want {
			t.Errorf("%s: got %s want %s", name, said, want)
		}
	}
	for at, want := range map[time.Duration]int{-time.Second: 2, 0: 1, time.Hour - time.Second: 1, time.Hour: 0} {
		if got := len(parts.After(noon.Add(at))); got != want {
			t.Errorf("after noon and %s %d may hold, want %d", at, got, want)
		}
	}
}

// A consent to begin in spite of freezes counts where the fleet hears it.
func TestWhoPassesFreezes(t *testing.T) {
	heard, other := &fleet.Fleet{ConsentFrom: []string{"queues/ops"}}, &fleet.Fleet{ConsentFrom: []string{"queues/others"}}
	consent := []string{events.ConsentFreeze}
	via := &events.Via{Door: "queues/ops"}
	for name, c := range map[string]struct {
		w    rollout.Operation
		f    *fleet.Fleet
		want bool
	}{
		"without a consent":             {rollout.Operation{Via: via}, heard, false},
		"with another consent":          {rollout.Operation{Via: via, Consents: []string{events.ConsentReset}}, heard, false},
		"through a door that is heard":  {rollout.Operation{Via: via, Consents: consent}, heard, true},
		"through another":               {rollout.Operation{Via: via, Consents: consent}, other, false},
		"in no fleet":                   {rollout.Operation{Via: via, Consents: consent}, nil, true},
		"a rollout, which was let in":   {rollout.Operation{Via: via, Consents: consent, Fleet: "office"}, other, true},
		"a rollout without a consent":   {rollout.Operation{Via: via, Fleet: "office"}, heard, false},
		"from nobody knows what a door": {rollout.Operation{Consents: consent}, heard, false},
	} {
		if got := c.w.PassesFreezes(c.f); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}
