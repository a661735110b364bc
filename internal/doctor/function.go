package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/config"
)

const redeploy = "run make deploy"

func checkFunction(ctx context.Context, p *Deployment, say teller) {
	defer func() {
		if p.function == nil {
			p.learn(nil)
		}
	}()
	if p.Account == "" {
		trouble(say, "the function", errNoAccount)
		return
	}
	f, err := p.Cloud.Function(ctx, p.Function)
	switch {
	case acs.Code(err) == "FunctionNotFound":
		p.absent = true
		say(Wrong, fmt.Sprintf("there is no function %s in %s", p.Function, p.Region), redeploy+", if this is the right region")
		return
	case err != nil:
		trouble(say, "the function", err)
		return
	}
	p.function = &f
	p.learn(f.EnvironmentVariables)
	if faults := p.faults(f); len(faults) > 0 {
		say(Wrong, strings.Join(faults, "; "), redeploy)
		return
	}
	if p.RequestQueue == "" {
		say(Warning, "the function has no request queue: it sends itself no ticks, so that what is not done at once is left to whoever delivers again",
			"set REGILD_REQUEST_QUEUE in regild.env and "+redeploy)
	}
	if f.EnvironmentVariables["REGILD_JOURNAL"] == "" {
		say(Warning, "the function has no journal: the promise holds in part only (docs/guarantees.md)", "set REGILD_JOURNAL in regild.env and "+redeploy)
	}
	if p.FleetsFile != "" && f.EnvironmentVariables["REGILD_FLEETS"] == "" {
		say(Warning, "the function reads no fleets.yaml, and here there is one: it lets any desktop be asked for", redeploy+", with REGILD_FLEETS as s.yaml has it")
	}
	say(allWell, fmt.Sprintf("%s, go1, role %s, %d s", p.Function, p.Role, f.Timeout), "")
}

// faults returns what of the function is not as s.yaml and regild.env have it.
func (p *Deployment) faults(f acs.Function) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if f.Runtime != "go1" || f.Handler != "main" {
		fault("runtime %s with handler %s instead of go1 with main", f.Runtime, f.Handler)
	}
	if !strings.EqualFold(f.Role, "acs:ram::"+p.Account+":role/"+p.Role) {
		fault("role %s instead of %s", f.Role, p.Role)
	}
	if f.Timeout < 60 || f.Timeout > 290 {
		fault("timeout %d s; an event stream gives 300 s, and less than 60 s is too little for a batch", f.Timeout)
	}
	if _, err := config.Load(func(name string) (string, bool) { v, ok := f.EnvironmentVariables[name]; return v, ok }); err != nil {
		fault("its settings are at fault: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if got := f.LogConfig; got.Project != p.LogProject || got.Logstore != p.Logstore {
		fault("it logs to %s/%s instead of %s/%s, where searches and alarms look", got.Project, got.Logstore, p.LogProject, p.Logstore)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Expected)) {
		want, got := p.Expected[name], f.EnvironmentVariables[name]
		if same := want == got || strings.HasSuffix(name, "_QUEUE") && Door(want) == Door(got); !same {
			fault("%s is %q, here it is %q", name, got, want)
		}
	}
	return faults
}

func checkCode(_ context.Context, p *Deployment, say teller) {
	switch {
	case p.function == nil:
		say(Unknown, "nothing is known of the function", "mend the line on the function first")
	case p.ZipErr != nil:
		say(Unknown, "could not read the zip that was built here: "+p.ZipErr.Error(), "run make package where make deploy was run")
	case p.Zip == "":
		say(Warning, "there is no target/regild.zip here to compare with", "run make package where make deploy was run")
	case p.function.CodeChecksum != p.Zip:
		say(Wrong, fmt.Sprintf("another build is deployed (checksum %s, here %s)", p.function.CodeChecksum, p.Zip), redeploy)
	default:
		say(Good, "this build is deployed", "")
	}
}

func checkTriggers(ctx context.Context, p *Deployment, say teller) {
	var found []string
	for _, name := range p.triggers() {
		t, err := p.Cloud.Trigger(ctx, p.Function, name)
		switch {
		case acs.NotThere(err):
			say(Wrong, "there is no trigger "+name, redeploy)
			continue
		case err != nil:
			trouble(say, "trigger "+name, err)
			continue
		}
		c := triggerConfig(t.TriggerConfig)
		switch {
		case c.off() && name == "image":
			found = append(found, name+" (off)")
		case c.off():
			say(Wrong, fmt.Sprintf("trigger %s is off, or its stream has not started", name),
				"wait a minute after a deployment; then enable it in the console, or "+redeploy)
		default:
			found = append(found, name)
		}
		if name != "image" {
			t.TriggerName = name
			p.checkStream(t, c, say)
		}
	}
	say(allWell, strings.Join(found, ", "), "")
}

// checkStream holds a trigger against s.yaml. What its configuration does not
// have is passed over: which form Function Compute gives it is UNCONFIRMED.
func (p *Deployment) checkStream(t acs.Trigger, c stream, say teller) {
	name := t.TriggerName
	reads := map[string]string{"queue": "queues/" + p.RequestQueue, "control": p.ControlDoor, "releases": p.ReleaseDoor,
		"topic": "topics/" + p.RequestTopic, "control-topic": p.ControlDoor, "releases-topic": p.ReleaseDoor}[name]
	kind, want, _ := strings.Cut(reads, "/")
	got := c.Source.Parameters.MNS.QueueName
	if kind == "topics" {
		_, got, _ = strings.Cut(t.SourceArn, "/topics/")
	}
	if got != "" && want != "" && got != want {
		say(Wrong, fmt.Sprintf("trigger %s reads the %s %s instead of %s", name, strings.TrimSuffix(kind, "s"), got, want), redeploy)
	}
	if got := c.Sink.Delivery.EventSchema; got != "" && got != "CloudEvents" {
		say(Wrong, fmt.Sprintf("trigger %s delivers %s: then nothing says which queue a message came from", name, got), redeploy)
	}
	if got := c.Run.ErrorsTolerance; got != "" && got != "ALL" {
		say(Wrong, fmt.Sprintf("trigger %s has errorsTolerance %s: one batch that fails stops the stream, and with it all work", name, got), redeploy)
	}
	if got := c.NotifyContentFormat; got != "" && got != "JSON" {
		say(Wrong, fmt.Sprintf("trigger %s delivers %s: then nothing says which topic a message came from", name, got), "remove the trigger and "+redeploy)
	}
}

// A stream is what a trigger's configuration says, in the parts that are looked at.
type stream struct {
	TriggerEnable, Enable *bool
	NotifyContentFormat   string
	Source                struct {
		Parameters struct {
			MNS struct{ QueueName string } `json:"sourceMNSParameters"`
		} `json:"eventSourceParameters"`
	} `json:"eventSourceConfig"`
	Sink struct {
		Delivery struct{ EventSchema string } `json:"deliveryOption"`
	} `json:"eventSinkConfig"`
	Run struct{ ErrorsTolerance string } `json:"runOptions"`
}

// triggerConfig reads one; a form that is not known counts as on.
func triggerConfig(text string) (c stream) {
	_ = json.Unmarshal([]byte(text), &c)
	return c
}

func (c stream) off() bool {
	return c.TriggerEnable != nil && !*c.TriggerEnable || c.Enable != nil && !*c.Enable
}

// checkDoors says what the doors separate.
func checkDoors(_ context.Context, p *Deployment, say teller) {
	const set = "set REGILD_CONTROL_QUEUE and REGILD_RELEASE_QUEUE to queues of their own in regild.env and " + redeploy
	doors := map[string]string{"control messages": p.ControlDoor, "releases": p.ReleaseDoor}
	if p.ControlDoor == "" && p.ReleaseDoor == "" {
		if p.function == nil {
			say(Unknown, "nothing is known of the function", "mend the line on the function first")
			return
		}
		say(Good, "none of their own: whoever may send requests may release, roll back and abort too (docs/ram.md, Doors)", "")
		return
	}
	for _, what := range slices.Sorted(maps.Keys(doors)) {
		switch door := doors[what]; {
		case door == "":
			say(Warning, what+" have no door of their own: they come through the request queue", set)
		case door == "queues/"+p.RequestQueue, door == "topics/"+p.RequestTopic:
			say(Wrong, fmt.Sprintf("the door of %s, %s, is the one of requests: then nothing separates them, and requests are refused there", what, door), set)
		case door == "topics/"+p.ResultTopic, door == "queues/"+p.OutcomesQueue, door == "queues/"+p.DeadLetterQueue:
			say(Wrong, fmt.Sprintf("the door of %s is %s, where regild's own messages go", what, door), set)
		case strings.HasPrefix(door, "topics/"):
			say(Warning, fmt.Sprintf("the door of %s is %s: a topic merges what its sender writes into its own fields (docs/ram.md, Doors)", what, door),
				"take a queue, and subscribe it to the topic")
		}
	}
	for _, n := range []struct{ setting, door string }{{"REGILD_CONTROL_QUEUE", p.ControlDoor}, {"REGILD_RELEASE_QUEUE", p.ReleaseDoor}} {
		if _, here := p.Expected[n.setting]; n.door != "" && !here {
			say(Warning, "regild.env does not name "+n.setting+", and the function does: commands that are run here send through the wrong door",
				fmt.Sprintf("add %s=%s to regild.env", n.setting, strings.TrimPrefix(n.door, "queues/")))
		}
	}
	say(allWell, fmt.Sprintf("control messages by %s, releases by %s", p.ControlDoor, p.ReleaseDoor), "")
}

func checkConcurrency(ctx context.Context, p *Deployment, say teller) {
	n, set, err := p.Cloud.Concurrency(ctx, p.Function)
	switch {
	case acs.Code(err) == "FunctionNotFound":
		say(Unknown, "nothing is known of the function", "mend the line on the function first")
	case err != nil:
		trouble(say, "the concurrency", err)
	case set && n == 0:
		say(Wrong, "the function is stopped: every invocation is turned away", "regild start")
	case !set:
		say(Warning, "no reserved concurrency: calls to ECD are bounded by the account's limit only", redeploy)
	default:
		say(Good, fmt.Sprintf("up to %d invocations at once", n), "")
	}
}

func checkAsync(ctx context.Context, p *Deployment, say teller) {
	c, err := p.Cloud.AsyncConfig(ctx, p.Function)
	switch {
	case acs.Code(err) == "FunctionNotFound":
		say(Unknown, "nothing is known of the function", "mend the line on the function first")
	case err != nil && (acs.NotThere(err) || acs.Code(err) == "AsyncConfigNotExists"):
		say(Wrong, "asynchronous invocations that fail are lost: there is no destination", redeploy)
	case err != nil:
		trouble(say, "the asynchronous configuration", err)
	case !strings.Contains(c.DestinationConfig.OnFailure.Destination, "topics/"+p.FailureTopic+"/messages"):
		say(Wrong, fmt.Sprintf("what fails goes to %q instead of the topic %s", c.DestinationConfig.OnFailure.Destination, p.FailureTopic), redeploy)
	default:
		say(Good, "what fails goes to "+p.FailureTopic, "")
	}
}

// linkedRoles are those that component fc3 makes for eventbridge triggers;
// SourceActionTrail is needed only where SourceCMS is missing.
var linkedRoles = []string{"AliyunServiceRoleForEventBridgeSendToMNS", "AliyunServiceRoleForEventBridgeSourceCMS",
	"AliyunServiceRoleForEventBridgeSourceActionTrail"}

func checkLinked(ctx context.Context, p *Deployment, say teller) {
	there := map[string]bool{}
	for _, role := range linkedRoles {
		found, err := p.Cloud.ServiceLinkedRole(ctx, role)
		if err != nil {
			trouble(say, "service-linked role "+role, err)
			return
		}
		there[role] = found
	}
	var missing []string
	if !there[linkedRoles[0]] {
		missing = append(missing, linkedRoles[0])
	}
	if !there[linkedRoles[1]] && !there[linkedRoles[2]] {
		missing = append(missing, linkedRoles[1])
	}
	if len(missing) > 0 {
		say(Wrong, "missing: "+strings.Join(missing, ", "), redeploy+", which makes them; the deployer needs ram:CreateServiceLinkedRole")
		return
	}
	say(Good, "there", "")
}
