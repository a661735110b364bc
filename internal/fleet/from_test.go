package fleet_test

import (
	"strings"
	"testing"

	"github.com/regild/regild/internal/fleet"
)

func TestAGateAdmitsWhatItNamesAndAnEmptyOneEverything(t *testing.T) {
	for _, c := range []struct {
		gate         fleet.Gate
		door, source string
		want         bool
	}{
		{fleet.Gate{}, "unknown", "", true},
		{fleet.Gate{Doors: []string{"queues/a"}}, "queues/a", "", true},
		{fleet.Gate{Doors: []string{"queues/a"}}, "queues/A", "", false},
		{fleet.Gate{Doors: []string{"queues/a"}}, "topics/a", "", false},
		{fleet.Gate{Doors: []string{"queues/a"}}, "unknown", "", false},
		{fleet.Gate{Sources: []string{"ops"}}, "unknown", "ops", true},
		{fleet.Gate{Sources: []string{"ops"}}, "unknown", "Ops", false},
		{fleet.Gate{Sources: []string{"ops"}}, "unknown", "оps", false}, // a Cyrillic o
		{fleet.Gate{Sources: []string{"ops"}}, "unknown", "", false},
		{fleet.Gate{Doors: []string{"queues/a"}, Sources: []string{"ops"}}, "queues/a", "x", false},
		{fleet.Gate{Doors: []string{"queues/a"}, Sources: []string{"ops"}}, "queues/b", "ops", false},
		{fleet.Gate{Doors: []string{"queues/a"}, Sources: []string{"ops"}}, "queues/a", "ops", true},
	} {
		if got := c.gate.Admits(c.door, c.source); got != c.want {
			t.Errorf("%+v for %q from %q: got %v, want %v", c.gate, c.door, c.source, got, c.want)
		}
	}
}

func TestWhoMayNotSayWhatIsAFaultWhereItIsNotADoor(t *testing.T) {
	file := func(body string) []byte {
		return []byte("fleets:\n  - name: a\n    region: cn-hangzhou\n    images: [x]\n    select: all\n" + body)
	}
	for body, want := range map[string]string{
		"    from: {}\n": "must not be empty",
		"    from: {requests: {doors: [events]}}\n":             "did you mean request?",
		"    from: {control: {doors: [regild-control]}}\n":      "must be a door",
		"    from: {control: {doors: [Queues/x]}}\n":            "must be a door",
		"    from: {control: {doors: [queues/cоntrol]}}\n":      "must be a door", // a Cyrillic o
		"    from: {control: {doors: []}}\n":                    "must have at least 1",
		"    from: {control: {sources: [\"a b\"]}}\n":           "must be a CloudEvent's source",
		"    from: {control: {sources: [\"оps\"]}}\n":           "must be a CloudEvent's source",
		"    consentFrom: [queues/a, queues/a]\n":               "a second time",
		"    consentFrom: queues/a\n":                           "must be a list",
		"    from: {release: {doors: [events], source: [x]}}\n": "did you mean sources?",
	} {
		_, err := fleet.Parse("f.yaml", file(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", strings.TrimSpace(body), err, want)
		}
	}
}

func TestAFleetThatSaysNothingHearsEverybody(t *testing.T) {
	fs, err := fleet.Parse("f.yaml", []byte("fleets:\n  - {name: a, region: cn-hangzhou, images: [x], select: all}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f := fs[0]; fs.Apart() || !f.From.Request.Admits("unknown", "") || !f.From.Control.Admits("unknown", "") || !f.HearsConsent("unknown") {
		t.Errorf("got %+v", f)
	}
}
