package deploy

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What stands behind the mark is deployed by nobody until somebody takes the mark
// away, and must be right then.
func TestDoorsAreDeployedOnceTheirMarksAreTakenAway(t *testing.T) {
	p := propsOf(t, bytes.ReplaceAll(source(t), []byte("#: "), nil))
	schema, err := jsonschema.NewCompiler().Compile("props.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(p); err != nil {
		t.Errorf("s.yaml: %v", err)
	}
	env := dig(t, p, "environmentVariables")
	for name, setting := range map[string]string{"control": "REGILD_CONTROL_QUEUE", "releases": "REGILD_RELEASE_QUEUE"} {
		config := dig(t, trigger(t, p, name), "triggerConfig")
		got := dig(t, config, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters")["QueueName"]
		if decodes := dig(t, config, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters")["IsBase64Decode"]; decodes != false {
			t.Errorf("trigger %s has IsBase64Decode %v, and ticks of rollouts are plain JSON", name, decodes)
		}
		if got, want := trigger(t, p, name+"-topic")["sourceArn"], "acs:mns:cn-hangzhou:1234567890123456:/topics/regild-"+name; got != want {
			t.Errorf("trigger %s-topic is of %v, want %s", name, got, want)
		}
		if want := env[setting]; got != want || want == nil || want == env["REGILD_REQUEST_QUEUE"] {
			t.Errorf("trigger %s reads the queue %v, %s is %v", name, got, setting, want)
		}
	}
	for name := range dig(t, props(t), "environmentVariables") {
		if name == "REGILD_CONTROL_QUEUE" || name == "REGILD_RELEASE_QUEUE" {
			t.Errorf("%s is set though nobody asked for doors", name)
		}
	}
}

// Doors are read from the outermost layer of what is delivered. So every trigger
// has to be of a form in which the platform writes that layer.
func TestNoTriggerLetsASenderWriteTheOutermostLayer(t *testing.T) {
	p := propsOf(t, bytes.ReplaceAll(source(t), []byte("#: "), nil))
	for _, element := range p["triggers"].([]any) {
		x := element.(map[string]any)
		switch name := x["triggerName"]; x["triggerType"] {
		case "timer":
		case "mns_topic":
			if got := dig(t, x, "triggerConfig")["notifyContentFormat"]; got != "JSON" {
				t.Errorf("trigger %v delivers %v: a sender's bytes, as they are", name, got)
			}
		case "eventbridge":
			config := dig(t, x, "triggerConfig")
			if got := dig(t, config, "eventSinkConfig", "deliveryOption")["eventSchema"]; got != "CloudEvents" {
				t.Errorf("trigger %v delivers %v, which does not name the queue", name, got)
			}
			if dig(t, config, "eventSourceConfig")["eventSourceType"] == "MNS" {
				if got := dig(t, config, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters")["IsBase64Decode"]; got != false {
					t.Errorf("trigger %v: got IsBase64Decode %v: ticks are plain JSON, and those of rollouts go to the control queue", name, got)
				}
				continue
			}
			var pattern struct{ Source, Type []string }
			if err := json.Unmarshal([]byte(config["eventRuleFilterPattern"].(string)), &pattern); err != nil {
				t.Fatal(err)
			}
			if len(pattern.Source) == 0 || len(pattern.Type) == 0 || slices.Contains(pattern.Type, "mns:Queue:SendMessage") {
				t.Errorf("trigger %v lets events through that look like those of a queue: %+v", name, pattern)
			}
		default:
			t.Errorf("trigger %v is of a type of which nobody has asked who writes what", name)
		}
	}
}

// RAM tells queues apart, so what one role may send goes to one door.
func TestEachRoleMaySendThroughItsOwnDoorsOnly(t *testing.T) {
	want := map[string][]string{
		"producer.json":       {"<request-queue>", "<request-topic>"},
		"releaser.json":       {"<release-queue>"},
		"operator-doors.json": {"<control-queue>"},
	}
	for file, doors := range want {
		var got []string
		for _, s := range load(t, "../docs/ram/"+file).Statement {
			if !slices.Contains(s.Action, "mns:SendMessage") && !slices.Contains(s.Action, "mns:PublishMessage") {
				continue
			}
			for _, r := range s.Resource {
				for _, door := range []string{"<request-queue>", "<request-topic>", "<release-queue>", "<control-queue>"} {
					if bytes.Contains([]byte(r), []byte(door)) {
						got = append(got, door)
					}
				}
			}
		}
		slices.Sort(got)
		slices.Sort(doors)
		if !slices.Equal(got, doors) {
			t.Errorf("%s may send through %q, want %q", file, got, doors)
		}
	}
}
