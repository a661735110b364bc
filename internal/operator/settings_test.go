package operator

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/events"
)

const sample = `
default: production
profiles:
  production:
    region: cn-hangzhou
    account: "1234567890123456"
    journal: oss://regild-journal/prod
    queue: regild-requests
    timeZone: Asia/Shanghai
    fleets: fleets.yaml
  trial:
    region: cn-shanghai
    journal: file:///var/lib/regild
`

// written writes a regild.yaml and returns its path.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), DefaultFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheProfile(t *testing.T) {
	path := written(t, sample)
	c, err := Load(Source{Lookup: lookup(map[string]string{ConfigEnv: path, "REGILD_REQUEST_QUEUE": "other-requests", "REGILD_TIME_ZONE": "UTC", "REGILD_ACCOUNT": " "}),
		Flags: map[string]string{"time-zone": "Asia/Tokyo"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"region":   {"cn-hangzhou", "profile production of " + path},
		"account":  {"1234567890123456", "profile production of " + path},
		"journal":  {"oss://regild-journal/prod", "profile production of " + path},
		"queue":    {"other-requests", "REGILD_REQUEST_QUEUE"},
		"timeZone": {"Asia/Tokyo", "--time-zone"},
		"fleets":   {filepath.Join(filepath.Dir(path), "fleets.yaml"), "profile production of " + path},
	}
	for _, v := range c.Values {
		if got := [2]string{v.Value, v.From}; got != want[v.Key] {
			t.Errorf("%s: got %q, want %q", v.Key, got, want[v.Key])
		}
	}
	if len(c.Values) != len(want) || c.Queue != "other-requests" || c.Name != "production" || len(c.Profiles) != 2 {
		t.Errorf("got %+v", c)
	}
	if zone, err := c.Zone(); err != nil || zone.String() != "Asia/Tokyo" {
		t.Errorf("zone: got %v, %v", zone, err)
	}
}

// What setup wrote is enough for whoever has just set up, and never mixes with a
// profile, which may be of another deployment.
func TestWhatWasDeployedCountsWithoutAProfile(t *testing.T) {
	deployed := map[string]string{"REGILD_REGION": "cn-hangzhou", "REGILD_REQUEST_QUEUE": "regild-requests", "REGILD_CONTROL_QUEUE": "", "REGILD_FLEETS": "/code/fleets.yaml"}
	c, err := Load(Source{Lookup: lookup(map[string]string{"REGILD_REGION": "cn-beijing"}), Deployed: deployed, DeployedFile: "regild.env"})
	want := []Value{{"region", "cn-beijing", "REGILD_REGION"}, {"queue", "regild-requests", "regild.env"}}
	if err != nil || !slices.Equal(c.Values, want) {
		t.Errorf("got %+v, %v, want %+v", c.Values, err, want)
	}
	c, err = Load(Source{File: written(t, sample), Lookup: lookup(nil), Deployed: map[string]string{"REGILD_OUTCOMES_QUEUE": "staging-outcomes", "REGILD_REQUEST_QUEUE": "staging-requests"}, DeployedFile: "regild.env"})
	if err != nil || c.Queue == "staging-requests" || c.OutcomesQueue == "staging-outcomes" {
		t.Errorf("got %+v, %v", c.Values, err)
	}
}

func TestAProfileIsChosenByName(t *testing.T) {
	path := written(t, sample)
	for name, s := range map[string]Source{
		"by flag":        {File: path, Profile: "trial", Lookup: lookup(map[string]string{ProfileEnv: "production"})},
		"by environment": {File: path, Lookup: lookup(map[string]string{ProfileEnv: "trial"})},
	} {
		if c, err := Load(s); err != nil || c.Region != "cn-shanghai" || c.Queue != "" {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
	only := written(t, "profiles: {one: {region: cn-beijing}}")
	if c, err := Load(Source{File: only, Lookup: lookup(nil)}); err != nil || c.Region != "cn-beijing" {
		t.Errorf("the only one: got %+v, %v", c, err)
	}
	if c, err := Load(Source{Lookup: lookup(nil)}); err != nil || len(c.Values) != 0 {
		t.Errorf("without a file: got %+v, %v", c, err)
	}
}

func TestSettingsThatAreAtFaultAreNamed(t *testing.T) {
	profile := func(line string) string { return "profiles:\n  p:\n    " + line + "\n" }
	for text, want := range map[string]string{
		profile("regoin: cn-hangzhou"):                     `line 3: there is no setting "regoin"; regild config --help lists them`,
		profile("region: Hangzhou"):                        `region (from profile p of`,
		profile("account: me"):                             `"me" is no account`,
		profile("journal: /var/journal"):                   "write oss://bucket/prefix or file:///dir",
		profile("queue: a queue"):                          "is no queue",
		profile("timeZone: Mars"):                          `"Mars" is no time zone`,
		profile("ossEndpoint: http://oss.example.com"):     "http is for loopback only",
		profile("mnsEndpoint: ftp://127.0.0.1"):            "neither http nor https",
		"profiles: [":                                      "reading settings",
		"default: x\nprofiles: {p: {region: cn-hangzhou}}": `has no profile "x"; it has p`,
		strings.Repeat("# much\n", maxFile/7+1):            "larger than 1 MiB",
	} {
		if _, err := Load(Source{File: written(t, text), Lookup: lookup(nil)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
	if _, err := Load(Source{File: "/absent.yaml", Lookup: lookup(nil)}); err == nil {
		t.Error("a file that was named and is not there: got no error")
	}
	if _, err := Load(Source{Profile: "p", Lookup: lookup(nil)}); err == nil || !strings.Contains(err.Error(), "there is no regild.yaml") {
		t.Errorf("a profile without a file: got %v", err)
	}
	both := written(t, profile("account: me\n    region: Hangzhou"))
	if _, err := Load(Source{File: both, Lookup: lookup(nil)}); err == nil || !strings.Contains(err.Error(), "me") || !strings.Contains(err.Error(), "Hangzhou") {
		t.Errorf("got %v, want both faults", err)
	}
}

func TestControlsAndReleasesGoThroughTheirDoors(t *testing.T) {
	p := Profile{Queue: "q", ControlQueue: "queues/c"}
	for kind, want := range map[string]string{events.TypeControl: "c", events.TypeFreeze: "c", events.TypeRelease: "q", events.TypeRequest: "q"} {
		if got := p.QueueFor(kind); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
	}
	if err := checkDoor("topics/ops"); err == nil {
		t.Error("a topic was taken for a queue that can be sent to")
	}
}
