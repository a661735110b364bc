package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

func TestARequestIsForAWeekAheadAtMost(t *testing.T) {
	now := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]error{-time.Hour: nil, 0: nil, rollout.MaxAhead: nil, rollout.MaxAhead + 1: rollout.ErrTooFar} {
		if got := rollout.TooFar(now.Add(ahead), now); !errors.Is(got, want) {
			t.Errorf("%s ahead: got %v, want %v", ahead, got, want)
		}
	}
	if want := "notBefore: is more than 7 days ahead; send the request later, as a new event"; rollout.ErrTooFar.Error() != want {
		t.Errorf("got %q, want %q", rollout.ErrTooFar, want)
	}
}

func TestAFreezeEndsWithinAQuarter(t *testing.T) {
	now := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]string{
		-1: "freeze f1 would have ended at 2026-11-23T10:59:59Z, which is over", 0: "which is over", 1: "", rollout.MaxFreeze: "",
		rollout.MaxFreeze + 1: "freeze f1 would last longer than 90 days; freeze anew before it ends",
	} {
		if got := rollout.FreezeTime("f1", now.Add(ahead), now); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s ahead: got %q, want %q", ahead, got, want)
		}
	}
}

func TestSomeIDsAreNoRequests(t *testing.T) {
	fleets := fleet.Fleets{{Name: "lab"}, {Name: "office"}}
	for id, want := range map[string]string{
		"":                   "",
		"ticket-4711":        "",
		"r1/other":           "",
		"r1/office":          `requestId: "r1/office" is what a rollout over fleet office is called; give the request another id`,
		"r1/rollback":        `requestId: "r1/rollback" is what the rollback of another request is called; give the request another id`,
		"r1/office/rollback": "is what a rollout over fleet office is called",
		"a/rollback/b":       "",
		rollout.Apart("r1/rollback", "queues/q", "/ops"): "is what the rollback of another request is called",
	} {
		if got := rollout.Misnamed(id, fleets); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}
