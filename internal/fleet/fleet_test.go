package fleet_test

import (
	"slices"
	"testing"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

func tags(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func TestADesktopBelongsToTheFirstFleetThatContainsIt(t *testing.T) {
	fleets := fleet.Fleets{
		{Name: "tagged", Region: "cn-hangzhou", Select: desktop.Selector{Tags: tags("fleet", "a")}, Exclude: fleet.Exclusion{Tags: tags("hold", "")}},
		{Name: "site", Region: "cn-hangzhou", Select: desktop.Selector{OfficeSiteIDs: []string{"s"}}},
		{Name: "rest", Region: "cn-shanghai"},
	}
	for name, c := range map[string]struct {
		d    desktop.Desktop
		want string
	}{
		"by tag":                      {desktop.Desktop{RegionID: "cn-hangzhou", Tags: tags("fleet", "a"), OfficeSiteID: "s"}, "tagged"},
		"excluded from the first":     {desktop.Desktop{RegionID: "cn-hangzhou", Tags: tags("fleet", "a", "hold", "x"), OfficeSiteID: "s"}, "site"},
		"in none":                     {desktop.Desktop{RegionID: "cn-hangzhou", Tags: tags()}, ""},
		"tags not read":               {desktop.Desktop{RegionID: "cn-hangzhou", OfficeSiteID: "s"}, ""},
		"tags not read, nor needed":   {desktop.Desktop{RegionID: "cn-shanghai"}, "rest"},
		"in a region without a fleet": {desktop.Desktop{RegionID: "cn-beijing", Tags: tags("fleet", "a")}, ""},
	} {
		got := ""
		if f := fleets.Of(c.d); f != nil {
			got = f.Name
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestOneMatchOfAnyKindExcludes(t *testing.T) {
	e := fleet.Exclusion{
		IDs: []string{"d"}, Tags: tags("hold", "", "ring", "test"), OfficeSiteIDs: []string{"s"},
		PolicyGroupIDs: []string{"p"}, ImageIDs: []string{"i"},
	}
	for name, c := range map[string]struct {
		d    desktop.Desktop
		want bool
	}{
		"id": {desktop.Desktop{ID: "d", Tags: tags()}, true}, "site": {desktop.Desktop{OfficeSiteID: "s", Tags: tags()}, true},
		"policy": {desktop.Desktop{PolicyGroupID: "p", Tags: tags()}, true}, "image": {desktop.Desktop{ImageID: "i", Tags: tags()}, true},
		"tag with any value": {desktop.Desktop{Tags: tags("hold", "yes")}, true}, "tag with its value": {desktop.Desktop{Tags: tags("ring", "test")}, true},
		"tag with another value": {desktop.Desktop{Tags: tags("ring", "prod")}, false}, "nothing": {desktop.Desktop{Tags: tags()}, false},
		"tags not read": {desktop.Desktop{}, true},
	} {
		if got := e.Matches(c.d); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
	if (fleet.Exclusion{}).Matches(desktop.Desktop{ID: "d"}) {
		t.Error("the zero exclusion excludes, want nobody excluded")
	}
}

func TestFollowingKeepsTheOrderOfTheFile(t *testing.T) {
	fleets := fleet.Fleets{
		{Name: "b", Region: "r", Images: []string{"other", "win*"}},
		{Name: "a", Region: "r", Images: []string{"win11-[ab]?"}},
		{Name: "elsewhere", Region: "q", Images: []string{"win*"}},
	}
	for image, want := range map[string][]string{
		"win11-a1": {"b", "a"}, "win11-c1": {"b"}, "WIN11": nil, "xwin": nil, "win/11": nil, "other": {"b"}, "": nil,
	} {
		var got []string
		for _, f := range fleets.Following(image, desktop.Place{Region: "r"}) {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", image, got, want)
		}
	}
}

func TestTagsAreNeededWhereAnythingUsesThem(t *testing.T) {
	fleets := fleet.Fleets{
		{Region: "select", Select: desktop.Selector{Tags: tags("a", "b")}},
		{Region: "exclude", Exclude: fleet.Exclusion{Tags: tags("a", "b")}},
		{Region: "canary", Strategy: fleet.Strategy{Canary: fleet.Canary{Tags: tags("a", "b")}}},
		{Region: "none"},
	}
	for region, want := range map[string]bool{"select": true, "exclude": true, "canary": true, "none": false, "absent": false} {
		if got := fleets.NeedTags(desktop.Place{Region: region}); got != want {
			t.Errorf("%s: got %t, want %t", region, got, want)
		}
	}
}

func TestSharesRoundUpToChooseAndDownToLimit(t *testing.T) {
	for _, c := range []struct {
		share     fleet.Amount
		n, of, fl int
		text      string
	}{
		{fleet.Amount{}, 10, 0, 0, "0"},
		{fleet.Amount{Count: 5}, 10, 5, 5, "5"},
		{fleet.Amount{Count: 5}, 3, 3, 3, "5"},
		{fleet.Amount{Count: 5}, 0, 0, 0, "5"},
		{fleet.Amount{Percent: 10}, 19, 2, 1, "10%"},
		{fleet.Amount{Percent: 10}, 30, 3, 3, "10%"},
		{fleet.Amount{Percent: 0.01}, 1, 1, 0, "0.01%"},
		{fleet.Amount{Percent: 33.3}, 1000, 333, 333, "33.3%"},
		{fleet.Amount{Percent: 100}, 7, 7, 7, "100%"},
		{fleet.Amount{Percent: 100}, -7, 0, 0, "100%"},
	} {
		if of, fl := c.share.Of(c.n), c.share.Floor(c.n); of != c.of || fl != c.fl || c.share.String() != c.text {
			t.Errorf("%v of %d: got %d and %d, want %d and %d", c.share, c.n, of, fl, c.of, c.fl)
		}
	}
}

func TestSharesNeverLeaveTheFleet(t *testing.T) {
	for n := range 300 {
		for h := 1; h <= 10000; h += 7 {
			s := fleet.Amount{Percent: float64(h) / 100}
			up, down := s.Of(n), s.Floor(n)
			exact := n * h // in hundredths of a percent
			if up*10000 < exact || (up-1)*10000 >= exact && n > 0 || down*10000 > exact || (down+1)*10000 <= exact {
				t.Fatalf("%v of %d: got %d up and %d down", s, n, up, down)
			}
		}
	}
}

func TestWavesCoverTheFleetAndBeginWithACanary(t *testing.T) {
	for _, s := range []fleet.Strategy{
		fleet.Default(), {}, parse(t, "testdata/valid/everything.yaml")[0].Strategy,
	} {
		for n := range 200 {
			canary := s.Canary.Size(n, 3)
			ends := s.WaveEnds(n, canary)
			if n > 0 && canary < 1 || canary > n {
				t.Fatalf("a fleet of %d has a canary of %d", n, canary)
			}
			if len(ends) != len(s.Waves)+2 || ends[0] != canary || ends[len(ends)-1] != n || !slices.IsSorted(ends) {
				t.Fatalf("a fleet of %d has waves that end at %v", n, ends)
			}
		}
	}
}

func TestLimitsOfTheDefaultStrategy(t *testing.T) {
	s := fleet.Default()
	for _, c := range []struct{ n, atOnce, failures, canary, wave int }{
		{1, 1, 0, 0, 0}, {9, 1, 0, 0, 0}, {20, 2, 1, 0, 2}, {1000, 100, 50, 0, 100},
	} {
		got := []int{s.AtOnce(c.n), s.AllowedFailures(c.n), s.AllowedFailuresInWave(1, c.n), s.AllowedFailuresInWave(2, c.n)}
		if want := []int{c.atOnce, c.failures, c.canary, c.wave}; !slices.Equal(got, want) {
			t.Errorf("of %d: got %v, want %v", c.n, got, want)
		}
	}
}

func TestApprovalAndCanaryAnswerByWaveAndTag(t *testing.T) {
	a := parse(t, "testdata/valid/everything.yaml")[0].Strategy
	if !a.Approval.After(1, false) || a.Approval.After(2, true) || !a.Approval.After(3, false) || !(fleet.Approval{Every: true}).After(7, false) || (fleet.Approval{}).After(1, true) ||
		!fleet.Default().Approval.After(1, true) || fleet.Default().Approval.After(1, false) || fleet.Default().Approval.After(2, true) {
		t.Errorf("got approvals %+v, want them after 1 and 3", a.Approval)
	}
	if !a.Canary.Chosen(desktop.Desktop{Tags: tags("ring", "canary")}) || a.Canary.Chosen(desktop.Desktop{}) || fleet.Default().Canary.Chosen(desktop.Desktop{}) {
		t.Error("the canary is not chosen by its tag alone")
	}
	if got := a.Canary.Size(10, 0); got != 1 {
		t.Errorf("got a canary of %d where nobody has the tag, want 1", got)
	}
}

func TestDefaultWavesThatTheCanaryReachedAreLeftOut(t *testing.T) {
	fleets := parse(t, "testdata/valid/canary-share.yaml")
	if got, want := fleets[0].Strategy.Waves, []fleet.Amount{{Percent: 50}}; !slices.Equal(got, want) {
		t.Errorf("got waves %v after a canary of 20%%, want %v", got, want)
	}
	if got := fleets[1].Strategy.Waves; len(got) != 0 {
		t.Errorf("got waves %v after a canary of 100%%, want none", got)
	}
}
