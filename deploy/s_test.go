package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/localcloud/fc"
)

// settings are the function's settings, as the README's table lists them; the value says whether s.yaml sets them.
var settings = map[string]bool{
	"REGILD_RESULT_TOPIC":        true,
	"REGILD_REQUEST_QUEUE":       true,
	"REGILD_FLEETS":              true,
	"REGILD_JOURNAL":             true,
	"REGILD_REGIONS":             true,
	"REGILD_REBUILD_CONCURRENCY": true,
	"REGILD_PUBLISH_CONCURRENCY": true,
	"REGILD_REBUILD_TIMEOUT":     true,
	"REGILD_LOG_LEVEL":           true,
	// Set once the marks are taken away; see TestDoorsAreDeployedOnceTheirMarksAreTakenAway.
	"REGILD_CONTROL_QUEUE": false,
	"REGILD_RELEASE_QUEUE": false,
	// A secret, and only for a function without a journal.
	"REGILD_TICK_KEY": false,
	// One ECD endpoint would serve every region, so these are for a VPC or for tests only.
	"REGILD_ECD_ENDPOINT": false,
	"REGILD_MNS_ENDPOINT": false,
	"REGILD_OSS_ENDPOINT": false,
}

func TestPropsKeepTheContractOfTheComponent(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile("props.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(props(t)); err != nil {
		t.Errorf("s.yaml: %v", err)
	}
}

func TestTheSchemaNoticesAMisspeltKey(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile("props.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(map[string]any){
		"a key nobody knows":       func(p map[string]any) { p["timeoutt"] = json.Number("60") },
		"a timeout beyond streams": func(p map[string]any) { p["timeout"] = json.Number("301") },
		"capitals in the role":     func(p map[string]any) { p["role"] = "acs:ram::1234567890123456:role/Regild" },
		"an unquoted number in the environment": func(p map[string]any) {
			p["environmentVariables"].(map[string]any)["REGILD_REBUILD_CONCURRENCY"] = json.Number("4")
		},
		"XML from a topic": func(p map[string]any) {
			trigger(t, p, "topic")["triggerConfig"].(map[string]any)["notifyContentFormat"] = "XML"
		},
		"a stream that stops at an error": func(p map[string]any) {
			dig(t, trigger(t, p, "queue"), "triggerConfig", "runOptions")["errorsTolerance"] = "NONE"
		},
		"a window beyond 15 seconds": func(p map[string]any) {
			dig(t, trigger(t, p, "queue"), "triggerConfig", "runOptions", "batchWindow")["TimeBasedWindow"] = json.Number("16")
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := props(t)
			breakIt(broken)
			if schema.Validate(broken) == nil {
				t.Error("the schema let it pass")
			}
		})
	}
}

func TestEnvironmentIsTheSettingsAndNothingElse(t *testing.T) {
	env := dig(t, props(t), "environmentVariables")
	size := 0
	for name, value := range env {
		size += len(name) + len(value.(string))
		if !settings[name] {
			t.Errorf("%s is no setting that s.yaml should set", name)
		}
	}
	for name, wanted := range settings {
		if _, there := env[name]; wanted && !there {
			t.Errorf("%s is not set", name)
		}
	}
	if size > 4096 {
		t.Errorf("the environment has %d bytes, FC takes 4096", size)
	}
}

// The component deploys triggers in order and stops at the first eventbridge trigger that did not change; topic triggers never
// make it stop. `make deploy` goes through the names besides, which it reads from lines of this form.
func TestTopicTriggersComeFirstAndEveryNameCanBeFound(t *testing.T) {
	var names []string
	eventbridge := false
	for _, element := range props(t)["triggers"].([]any) {
		trigger := element.(map[string]any)
		names = append(names, trigger["triggerName"].(string))
		switch trigger["triggerType"] {
		case "eventbridge":
			eventbridge = true
		default:
			if eventbridge {
				t.Errorf("trigger %s stands after an eventbridge trigger: it would be left out in silence", trigger["triggerName"])
			}
		}
	}

	var lines []string
	for _, match := range regexp.MustCompile(`(?m)^ *- triggerName: *(.*)$`).FindAllStringSubmatch(string(source(t)), -1) {
		lines = append(lines, match[1])
	}
	if !slices.Equal(lines, names) {
		t.Errorf("the Makefile reads the names %q, s.yaml has %q", lines, names)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(names))); len(unique) != len(names) {
		t.Errorf("a trigger's name is used twice: %q", names)
	}
}

func TestTheQueueTriggerReadsTheQueueThatTicksGoTo(t *testing.T) {
	p := props(t)
	queue := trigger(t, p, "queue")
	parameters := dig(t, queue, "triggerConfig", "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters")
	if got, want := parameters["QueueName"], dig(t, p, "environmentVariables")["REGILD_REQUEST_QUEUE"]; got != want {
		t.Errorf("got queue %v, want %v", got, want)
	}
	if got, want := parameters["RegionId"], p["region"]; got != want {
		t.Errorf("got a queue in %v, want %v: queue and function share a region", got, want)
	}
	if got := parameters["IsBase64Decode"]; got != false {
		t.Errorf("got IsBase64Decode %v: ticks are plain JSON, and nobody says what a stream that decodes does with them", got)
	}
	if got := dig(t, queue, "triggerConfig", "runOptions")["mode"]; got != "event-streaming" {
		t.Errorf("got mode %v: a batch window counts for event-streaming only", got)
	}
}

// The local cloud runs the hooks under the limits that they are deployed with.
func TestHooksHaveTheLimitsOfTheStandIn(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host, err := fc.Start(t.Context(), fc.Function{Path: path}) // which starts nothing before an event
	if err != nil {
		t.Fatal(err)
	}
	f := host.Function()
	for name, want := range map[string]time.Duration{"initializer": f.InitializerTimeout, "preStop": f.PreStopTimeout} {
		if got := fmt.Sprint(dig(t, props(t), "instanceLifecycleConfig", name)["timeout"], "s"); got != want.String() {
			t.Errorf("%s: s.yaml says %s, the stand-in %s", name, got, want)
		}
	}
}

// A publish loop costs money by the second: what the function sends must not come back to it, except for ticks.
func TestNoTriggerListensToWhatTheFunctionSends(t *testing.T) {
	p := props(t)
	outcomes := fmt.Sprint(dig(t, p, "environmentVariables")["REGILD_RESULT_TOPIC"])
	if arn := trigger(t, p, "topic")["sourceArn"].(string); strings.HasSuffix(arn, "/"+outcomes) {
		t.Errorf("the topic trigger listens to the result topic %s", outcomes)
	}
	for _, name := range []string{"queue", "image"} {
		config := dig(t, trigger(t, p, name), "triggerConfig")
		var pattern map[string]any
		if err := json.Unmarshal([]byte(config["eventRuleFilterPattern"].(string)), &pattern); err != nil {
			t.Errorf("trigger %s: the filter pattern is not JSON: %v", name, err)
		}
		if name == "image" && !reflect.DeepEqual(dig(t, pattern, "data")["eventName"], []any{"CreateImage", "CopyImage", "UploadImage"}) {
			t.Errorf("trigger %s would wake the function for other calls, its own among them: %v", name, pattern)
		}
	}
}

func TestARNsNameOneAccountAndOneRegion(t *testing.T) {
	p := props(t)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	arns := regexp.MustCompile(`acs:(ram|mns):([a-z0-9-]*):([0-9]*):`).FindAllStringSubmatch(string(text), -1)
	if len(arns) == 0 {
		t.Fatal("found no ARN: has their form changed?")
	}
	for _, arn := range arns {
		if arn[1] == "mns" && arn[2] != p["region"] {
			t.Errorf("%s: got region %s, want %v", arn[0], arn[2], p["region"])
		}
		if arn[3] != "" && arn[3] != account {
			t.Errorf("%s: got account %s, want %s", arn[0], arn[3], account)
		}
	}
}

// Actions run programs on the machine that deploys. `make deploy` builds the zip, so there is nothing for them to do.
func TestNoActionsRunOnDeployment(t *testing.T) {
	var file struct {
		Edition   string
		Name      string
		Access    string
		Vars      map[string]any
		Resources map[string]struct {
			Component string
			Props     map[string]any
		}
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(source(t))), yaml.WithKnownFields())
	if err != nil {
		t.Fatal(err)
	}
	if err := loader.Load(&file); err != nil {
		t.Fatalf("s.yaml has keys beyond edition, name, access, vars, resources.component and resources.props: %v", err)
	}
	if file.Edition != "3.0.0" || file.Resources["regild"].Component != "fc3@0.1.22" || len(file.Resources) != 1 {
		t.Errorf("got edition %s and resources %v, want 3.0.0 and one fc3, pinned", file.Edition, file.Resources)
	}
}

// `make preview` lets Serverless Devs resolve the file and names the result here. It must come to the same as resolve, which
// all other tests rely on.
func TestServerlessDevsResolvesTheFileAsTheTestsDo(t *testing.T) {
	name := os.Getenv("REGILD_PREVIEW")
	if name == "" {
		t.Log("run by make preview, which needs npm")
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.Index(string(text), "${"); i >= 0 {
		t.Errorf("a variable is left: %.60s", text[i:])
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatalf("reading what s preview printed: %v", err)
	}
	got, want := dig(t, file, "resources", "regild", "props"), props(t)
	if g, w := marshal(t, got), marshal(t, want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}
