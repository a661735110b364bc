package desktop

import (
	"errors"
	"fmt"
	"testing"
)

// Somebody may be there unless ECD says twice that nobody is: a desktop counts as free if it
// is stopped, or disconnected without a session.
func TestADesktopIsInUseUnlessNobodyCanBeThere(t *testing.T) {
	users := []string{"ann"}
	for _, c := range []struct {
		status, connection string
		users              []string
		want               bool
	}{
		{Running, Connected, nil, true}, {Running, Disconnected, nil, false}, {Running, Disconnected, users, true}, {Running, "Unknown", nil, true}, {Running, "", nil, true},
		{Stopped, Connected, nil, true}, {Stopped, Disconnected, users, false}, {Stopped, "Unknown", users, false}, {Stopped, "", nil, false},
		{"", "", nil, true}, {Stopping, Disconnected, nil, false}, {Stopping, "", nil, true},
	} {
		if got := (Desktop{Status: c.status, Connection: c.connection, Users: c.users}).InUse(); got != c.want {
			t.Errorf("%q, %q, users %q: got %t", c.status, c.connection, c.users, got)
		}
	}
}

// A desktop is meant by what a selector says, all of it; what it leaves out does not matter.
func TestASelectorMeansWhatHasAllThatItSays(t *testing.T) {
	d := Desktop{ID: "ecd-1", OfficeSiteID: "site", PolicyGroupID: "pg", ImageID: "m-1", Tags: map[string]string{"ring": "canary", "empty": ""}}
	for name, c := range map[string]struct {
		s    Selector
		want bool
	}{
		"nothing": {Selector{}, true}, "its id": {Selector{IDs: []string{"x", "ecd-1"}}, true}, "another id": {Selector{IDs: []string{"x"}}, false},
		"its site": {Selector{OfficeSiteIDs: []string{"site"}}, true}, "another site": {Selector{OfficeSiteIDs: []string{"x"}}, false},
		"its policy": {Selector{PolicyGroupIDs: []string{"pg"}}, true}, "another policy": {Selector{PolicyGroupIDs: []string{"x"}}, false},
		"its image": {Selector{ImageIDs: []string{"m-1"}}, true}, "another image": {Selector{ImageIDs: []string{"x"}}, false},
		"its tag": {Selector{Tags: map[string]string{"ring": "canary"}}, true}, "another value": {Selector{Tags: map[string]string{"ring": "broad"}}, false},
		"any value": {Selector{Tags: map[string]string{"ring": ""}}, true}, "a tag that is empty": {Selector{Tags: map[string]string{"empty": ""}}, true},
		"no such tag": {Selector{Tags: map[string]string{"x": ""}}, false}, "no such tag, with a value": {Selector{Tags: map[string]string{"x": "y"}}, false},
		"one of two tags":   {Selector{Tags: map[string]string{"ring": "canary", "x": ""}}, false},
		"all":               {Selector{IDs: []string{"ecd-1"}, OfficeSiteIDs: []string{"site"}, PolicyGroupIDs: []string{"pg"}, ImageIDs: []string{"m-1"}, Tags: map[string]string{"ring": ""}}, true},
		"all but its image": {Selector{IDs: []string{"ecd-1"}, OfficeSiteIDs: []string{"site"}, PolicyGroupIDs: []string{"pg"}, ImageIDs: []string{"x"}}, false},
	} {
		if got := c.s.Matches(d); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// Only an error that says so was not carried out.
func TestAnErrorOfNoCallMayHaveBeenCarriedOut(t *testing.T) {
	refused := &CallError{Call: "X", Delivery: Refused}
	for err, want := range map[error]Delivery{errors.New("x"): Unknown, fmt.Errorf("more: %w", refused): Refused, error(refused): Refused} {
		if got := DeliveryOf(err); got != want {
			t.Errorf("%v: got %v", err, got)
		}
	}
	if (Spec{}).Reset() != true || (Spec{ImageID: "m-1"}).Reset() {
		t.Error("a reset is what names no image")
	}
	if got := (Place{Region: "r"}).String() + ", " + (Place{"1", "r"}).String(); got != "r, r of account 1" {
		t.Errorf("places are called %q", got)
	}
}
