package rollout_test

import (
	"testing"
	"time"

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
