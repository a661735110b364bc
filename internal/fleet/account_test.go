package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// Desktops of two accounts may have one id: a fleet is of one account alone.
func TestAFleetContainsNothingOfAnotherAccountOrRegion(t *testing.T) {
	f := fleet.Fleet{Region: "r", Account: fleet.Account{ID: "1"}}
	for d, want := range map[desktop.Place]bool{{Account: "1", Region: "r"}: true, {Account: "2", Region: "r"}: false, {Region: "r"}: false, {Account: "1", Region: "s"}: false} {
		if got := f.Contains(desktop.Desktop{ID: "ecd-1", AccountID: d.Account, RegionID: d.Region}); got != want {
			t.Errorf("of %s: got %t", d, got)
		}
	}
}

func TestAccountsAreKnownByTheirIDs(t *testing.T) {
	one, two := fleet.Account{Name: "one", ID: "1", Role: "acs:ram::1:role/regild"}, fleet.Account{Name: "two", ID: "2", Role: "regild"}
	fs := fleet.Fleets{{Name: "own"}, {Name: "a", Account: one}, {Name: "b", Account: one}, {Name: "c", Account: two}}
	var ids []string
	for _, a := range fs.Accounts() {
		ids = append(ids, a.ID)
	}
	if !slices.Equal(ids, []string{"1", "2"}) {
		t.Errorf("got %q, want each once and without the own one", ids)
	}
	for id, want := range map[string]string{"1": "one", "2": "two", "3": "", "": ""} {
		if a, is := fs.Account(id); a.Name != want || is != (want != "") {
			t.Errorf("%q: got %+v, %t", id, a, is)
		}
	}
	if fleets := fs[1:]; func() bool { _, is := fleets.Account("1"); return !is }() {
		t.Error("the account of the first fleet is not found")
	}
	if one.RoleARN() != "acs:ram::1:role/regild" || two.RoleARN() != "acs:ram::2:role/regild" {
		t.Errorf("got the roles %s and %s", one.RoleARN(), two.RoleARN())
	}
	if f, is := fs.Named("b"); !is || f.Name != "b" {
		t.Errorf("got %q, %t", f.Name, is)
	}
	if f, is := fs.Named("x"); is || f.Name != "" {
		t.Errorf("got %q, %t", f.Name, is)
	}
}

// Whoever limits from where consents count hears those doors alone.
func TestConsentsCountThroughTheDoorsThatAreNamed(t *testing.T) {
	limited := fleet.Fleet{ConsentFrom: []string{"queues/control"}}
	for door, want := range map[string]bool{"queues/control": true, "queues/requests": false, "unknown": false} {
		if limited.HearsConsent(door) != want || !(fleet.Fleet{}).HearsConsent(door) {
			t.Errorf("%s: got %t", door, limited.HearsConsent(door))
		}
	}
	gate := fleet.Gate{Doors: []string{"events"}}
	for name, fs := range map[string]fleet.Fleets{
		"consents": {{}, limited}, "requests": {{From: fleet.From{Request: gate}}}, "releases": {{From: fleet.From{Release: gate}}}, "control": {{From: fleet.From{Control: gate}}},
		"sources": {{From: fleet.From{Request: fleet.Gate{Sources: []string{"x"}}}}},
	} {
		if !fs.Apart() {
			t.Errorf("a file that tells %s apart does not say so", name)
		}
	}
	if (fleet.Fleets{{}, {}}).Apart() {
		t.Error("a file that tells nobody apart says so")
	}
}

// What is written counts, and not the default; its bounds may be reached.
func TestWhatIsWrittenCounts(t *testing.T) {
	data := `fleets:
  - name: a
    region: cn-hangzhou
    images: [w]
    select: all
    strategy:
      maxFailuresPerWave: 3
      sessions: {policy: wait, deadline: 30d, after: force}
      before: {command: x, kind: RunBatScript, timeout: 1h, again: 1d, deadline: 30d, deferrals: 100}
      holds: {tag: hold, atMost: 30d}
      notice: {lead: 3d, remind: [1d, 1h], zone: UTC}
      windows: [{days: [sun, mon], from: "22:00", to: "22:20", zone: UTC}]
      expected: 20m
      rebuildTimeout: 20m
`
	fs, err := fleet.Parse("fleets.yaml", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	s := fs[0].Strategy
	const day = 24 * time.Hour
	if s.MaxFailuresPerWave.Count != 3 || s.Sessions.Deadline != 30*day || s.Sessions.After != fleet.Force || s.Holds.AtMost != 30*day || s.RebuildTimeout != 20*time.Minute {
		t.Errorf("got %+v", s)
	}
	want := fleet.Before{Command: "x", Kind: fleet.Bat, Timeout: time.Hour, Again: day, Deadline: 30 * day, After: fleet.Skip, Deferrals: 100}
	if s.Before != want || s.Notice.Lead != 3*day || !slices.Equal(s.Notice.Remind, []time.Duration{day, time.Hour}) {
		t.Errorf("got %+v and %+v", s.Before, s.Notice)
	}
	for from, to := range map[string]string{
		"deadline: 30d": "deadline: 31d", "timeout: 1h": "timeout: 61m", "again: 1d": "again: 25h", "atMost: 30d": "atMost: 30d1m", "deferrals: 100": "deferrals: 101", "lead: 3d": "lead: 4d",
		"[1d, 1h]": "[1d, 1d]", "remind: [1d": "remind: [3d", `"22:20"`: `"22:19"`, "rebuildTimeout: 20m": "rebuildTimeout: 19m",
	} {
		if _, err := fleet.Parse("fleets.yaml", []byte(strings.Replace(data, from, to, 1))); err == nil {
			t.Errorf("%s is taken", to)
		}
	}
	if _, err := fleet.Parse("fleets.yaml", []byte(strings.Replace(data, "rebuildTimeout: 20m", "rebuildTimeout: 0", 1))); err != nil {
		t.Errorf("the function's own timeout: %v", err)
	}
}

func TestTagsOfHoldsAreNeeded(t *testing.T) {
	fs := fleet.Fleets{{Region: "r", Strategy: fleet.Strategy{Holds: fleet.Holds{Tag: "hold"}}}, {Region: "s"}}
	if !fs.NeedTags(desktop.Place{Region: "r"}) || fs.NeedTags(desktop.Place{Region: "s"}) || fs.NeedTags(desktop.Place{Account: "1", Region: "r"}) {
		t.Error("tags are not needed where a fleet holds by them, or elsewhere")
	}
}

// Without windows and blackouts nothing ever changes; a window of a whole day neither.
func TestAlwaysOpenHasNoEnd(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, s := range map[string]fleet.Strategy{"no windows": {}, "whole days": {Windows: []fleet.Window{{To: 24 * 60, Zone: time.UTC}}}} {
		if open, until := s.Open(now); !open || !until.IsZero() {
			t.Errorf("%s: got %t until %s", name, open, until)
		}
	}
	never := fleet.Strategy{Blackouts: []fleet.Blackout{{From: now.AddDate(-1, 0, 0), To: now.AddDate(5, 0, 0)}}}
	if open, until := never.Open(now); open || !until.IsZero() {
		t.Errorf("a blackout of years: got %t until %s", open, until)
	}
}

// A fleet that takes every desktop but some leaves those to the next.
func TestAFleetBehindOneThatExcludesIsReached(t *testing.T) {
	const first, second = "fleets:\n  - {name: a, region: r, images: [w], select: SELECT}\n", "  - {name: b, region: r, images: [w], select: all}\n"
	for selects, fails := range map[string]bool{"all": true, "all, exclude: {desktopIds: [ecd-1]}": false, "{desktopIds: [ecd-1]}": false} {
		data := strings.ReplaceAll(strings.Replace(first, "SELECT", selects, 1)+second, "region: r", "region: cn-hangzhou")
		if _, err := fleet.Parse("fleets.yaml", []byte(data)); (err != nil) != fails {
			t.Errorf("%s: got %v", selects, err)
		}
	}
}
