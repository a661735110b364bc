package localcloud_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fault"
)

func TestAStateFileIsReadWholeAndStarts(t *testing.T) {
	s, err := localcloud.Load("testdata/state.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d desktops, %d images, %v, %v, %v, %v, %v", len(s.Desktops), len(s.Images), s.Topics, s.Queues, s.Subscriptions, s.Trigger, s.MNS)
	want := "2 desktops, 2 images, [images], [{consumer 0s 1m0s 24h0m0s regild-dead-letters 3}], [{regild-outcomes failures consumer failed SIMPLIFIED}], " +
		"{[] strings false 5 1s 2 2 20s}, {0.1 true 7}"
	if got != want {
		t.Errorf("state is\n%s, want\n%s", got, want)
	}
	if r := s.Faults[0]; r.Kind != fault.SlowAfter || r.Delay != 10*time.Millisecond || r.Skip != 1 || r.Times != 2 {
		t.Errorf("fault is %+v", r)
	}
	if s.Desktops[1].RebuildTakes != 8*time.Minute || s.ECD.Lag != 5*time.Second || s.ECD.Limits["RebuildDesktops"] != 10 {
		t.Errorf("durations and limits are %v, %v, %v", s.Desktops[1].RebuildTakes, s.ECD.Lag, s.ECD.Limits)
	}
	c := start(t, localcloud.Options{State: s})
	if now := c.Clock.Now(); !now.Equal(s.Clock.Start) || c.Clock.Rate() != 0 {
		t.Errorf("clock shows %v at rate %v", now, c.Clock.Rate())
	}
	if _, err := c.MNS.Publish(localcloud.ResultTopic, []byte("x"), "failed"); err != nil {
		t.Fatal(err)
	}
	if got := len(c.MNS.Pending("consumer")); got != 1 {
		t.Errorf("the subscribed queue holds %d messages, want 1", got)
	}
}

func TestJSONIsAStateFileToo(t *testing.T) {
	s, err := localcloud.Parse([]byte(`{"clock":{"rate":60},"topics":["a"],"desktops":[{"id":"x","regionId":"r","imageId":"m","tags":{"k":"v"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if *s.Clock.Rate != 60 || s.Desktops[0].Tags["k"] != "v" {
		t.Errorf("state is %+v", s)
	}
}

func TestEveryFaultOfAStateIsTold(t *testing.T) {
	for _, c := range []struct {
		name, state string
		want        []string
	}{
		{"keys that nobody knows, with their line", "clock: {rate: 1}\ntopcis: [a]\n", []string{"line 2", "topcis"}},
		{"values of another kind, with their line", "topics: 7\nclock: {start: soon}\n", []string{"line 1", "line 2"}},
		{"repeated keys", "topics: [a]\ntopics: [b]\n", []string{"topics"}},
		{"versions of another kind", "oss: {versioning: on}\n", []string{`versioning "on"`}},
		{"a retention for ever", "oss: {retentionDays: 99999}\n", []string{"99999 days"}},
		{"versions and a retention policy", "oss: {versioning: Enabled, retentionDays: 1}\n", []string{"never both"}},
		{"what cannot be", `
clock: {rate: -1}
queues: [{name: "a b"}, {name: q, visibility: -1s, deadLetterQueue: nowhere}]
topics: [""]
subscriptions: [{topic: t, name: s, queue: u, format: TEXT, tag: longer-than-sixteen}]
trigger: {shape: round}
oss: {storageClass: Frozen}
faults: [{kind: flood}, {kind: error, service: rds}, {kind: error, probability: 2}, {kind: error, times: -1}]
`, []string{
			"rate -1", `"a b" is not a name`, "q: nothing may be negative", `dead-letter queue "nowhere"`, `topics: "" is not a name`,
			`topic "t" is not declared`, `queue "u" is not declared`, `format "TEXT"`, "longer than 16", `shape "round"`,
			`storage class "Frozen"`,
			`rule 1: kind "flood"`, `rule 2: service "rds"`, "rule 3: probability 2", "rule 4: skip, times",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := localcloud.Parse([]byte(c.state))
			if err == nil {
				t.Fatal("state was accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestAStateFileThatIsNotThereOrBrokenIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	if _, err := localcloud.Load(path); err == nil || !strings.Contains(err.Error(), "cloud.yaml") {
		t.Errorf("loading a missing file returned %v", err)
	}
	if err := os.WriteFile(path, []byte("desktops: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := localcloud.Load(path); err == nil || !strings.Contains(err.Error(), "cloud.yaml") {
		t.Errorf("loading a broken file returned %v", err)
	}
}

func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile("testdata/state.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(`{"clock":{"rate":60}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = localcloud.Parse(data) // must not panic
	})
}
