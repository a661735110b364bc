package handler

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A listingECD lists ecd-1 and ecd-2 wherever it is asked, or fails where it is told to.
type listingECD struct {
	answeringECD
	fails string // Select, Tags or Images
	tags  int    // how often those were asked for
}

func (e *listingECD) fault(call string) error {
	if e.fails == call {
		return &desktop.CallError{Call: call, Message: "no answer"}
	}
	return nil
}

func (e *listingECD) Select(_ context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	list, _ := e.Desktops(context.Background(), region, []string{"ecd-1", "ecd-2"})
	return list, e.fault("Select")
}

func (e *listingECD) Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error) {
	e.tags++
	tags, _ := e.answeringECD.Tags(ctx, region, ids)
	return tags, e.fault("Tags")
}

func (e *listingECD) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	list, _ := e.answeringECD.Images(ctx, region, ids)
	return list, e.fault("Images")
}

func fleetsOf(at ...fleet.Fleet) (fleets fleet.Fleets) {
	for _, f := range at {
		f.Region, f.Strategy = "cn-hangzhou", fleet.Default()
		fleets = append(fleets, f)
	}
	return fleets
}

// A desktop is a member of the first fleet of its account that has it; tags are read where
// a fleet chooses by them.
func TestWhoIsInAFleet(t *testing.T) {
	site := fleet.Fleet{Name: "site", Select: desktop.Selector{Tags: map[string]string{"site": "1"}}}
	rest, other := fleet.Fleet{Name: "rest"}, fleet.Fleet{Name: "other", Account: fleet.Account{ID: "2"}}
	for name, c := range map[string]struct {
		fleets fleet.Fleets
		fleet  int
		fails  string
		want   string
		tags   int
	}{
		"all":                    {fleetsOf(rest), 0, "", "ecd-1 ecd-2", 0},
		"by tags":                {fleetsOf(site, rest), 0, "", "ecd-1", 1},
		"what another has":       {fleetsOf(site, rest), 1, "", "ecd-2", 1},
		"of another account":     {fleetsOf(site, other), 1, "", "2/ecd-1 2/ecd-2", 0},
		"the listing fails":      {fleetsOf(rest), 0, "Select", "fails", 0},
		"reading the tags fails": {fleetsOf(site), 0, "Tags", "fails", 1},
	} {
		e := &listingECD{fails: c.fails}
		list, err := Members(t.Context(), e, c.fleets, c.fleets[c.fleet])
		var got []string
		for _, d := range list {
			got = append(got, strings.TrimPrefix(d.AccountID+"/"+d.ID, "/"))
		}
		if err != nil {
			got = append(got, "fails")
		}
		if strings.Join(got, " ") != c.want || e.tags != c.tags {
			t.Errorf("%s: got %v with %d readings of tags, want %s with %d", name, got, e.tags, c.want, c.tags)
		}
	}
}

func TestAPlanIsWholeOrFails(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for _, account := range []string{"", "2"} {
		fleets := fleetsOf(fleet.Fleet{Name: "office", Account: fleet.Account{ID: account, Regions: []string{"cn-hangzhou"}}})
		rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Fleets: fleets, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}
		op := rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: fleets[0].Spec("m-new")}
		plan, err := Plan(t.Context(), &listingECD{}, nil, rules, op, now)
		desktops := 0
		for _, w := range plan.Waves {
			desktops += len(w.Desktops)
		}
		if err != nil || desktops != 2 || plan.Calls["RebuildDesktops"] == 0 || plan.AccountID != account {
			t.Errorf("account %q: got %+v, %v, want a plan of two desktops", account, plan, err)
		}
		for _, call := range []string{"Select", "Images"} {
			plan, err := Plan(t.Context(), &listingECD{fails: call}, nil, rules, op, now)
			if err == nil || !strings.Contains(err.Error(), "no answer") || len(plan.Waves) > 0 {
				t.Errorf("%s fails: got %+v, %v, want why the plan is not whole", call, plan, err)
			}
		}
	}
	l := &look{reader: &reader{rules: rollout.Rules{Fleets: fleetsOf(fleet.Fleet{Name: "office"})}}}
	if _, err := l.members("lab"); err == nil {
		t.Error("a fleet that is not declared has members")
	}
}
