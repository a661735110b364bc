package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/config"
)

const redeploy = "run make deploy"

func checkFunction(ctx context.Context, p *Patient, say func(Level, string, string)) {
	f, err := p.Cloud.Function(ctx, p.Function)
	switch {
	case acs.Code(err) == "FunctionNotFound":
		say(Wrong, fmt.Sprintf("there is no function %s in %s", p.Function, p.Region), redeploy)
		return
	case err != nil:
		trouble(say, "the function", err)
		return
	}
	p.function = &f
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
	for _, name := range slices.Sorted(maps.Keys(p.Expected)) {
		if want, got := p.Expected[name], f.EnvironmentVariables[name]; want != got {
			fault("%s is %q, here it is %q", name, got, want)
		}
	}
	if len(faults) > 0 {
		say(Wrong, strings.Join(faults, "; "), redeploy)
		return
	}
	say(Good, fmt.Sprintf("%s, go1, role %s, %d s", p.Function, p.Role, f.Timeout), "")
}

func checkCode(_ context.Context, p *Patient, say func(Level, string, string)) {
	switch {
	case p.function == nil:
		say(Unknown, "nothing is known of the function", "mend the line on the function first")
	case p.Zip == "":
		say(Warning, "there is no target/regild.zip here to compare with", "run make package where make deploy was run")
	case p.function.CodeChecksum != p.Zip:
		say(Wrong, fmt.Sprintf("another build is deployed (checksum %s, here %s)", p.function.CodeChecksum, p.Zip), redeploy)
	default:
		say(Good, "this build is deployed", "")
	}
}

func checkTriggers(ctx context.Context, p *Patient, say func(Level, string, string)) {
	var found []string
	ok := true
	for _, name := range p.Triggers {
		t, err := p.Cloud.Trigger(ctx, p.Function, name)
		switch {
		case acs.NotThere(err):
			say(Wrong, "there is no trigger "+name, redeploy)
			ok = false
			continue
		case err != nil:
			trouble(say, "trigger "+name, err)
			ok = false
			continue
		}
		var c struct {
			TriggerEnable *bool `json:"triggerEnable"`
			Enable        *bool `json:"enable"`
		}
		_ = json.Unmarshal([]byte(t.TriggerConfig), &c) // a form that is not known counts as on
		off := c.TriggerEnable != nil && !*c.TriggerEnable || c.Enable != nil && !*c.Enable
		switch {
		case off && name == "image":
			found = append(found, name+" (off)")
		case off:
			say(Wrong, fmt.Sprintf("trigger %s is off, or its stream has not started", name), "wait a minute after a deployment; then enable it in the console, or "+redeploy)
			ok = false
		default:
			found = append(found, name)
		}
	}
	if ok {
		say(Good, strings.Join(found, ", "), "")
	}
}

func checkConcurrency(ctx context.Context, p *Patient, say func(Level, string, string)) {
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

func checkAsync(ctx context.Context, p *Patient, say func(Level, string, string)) {
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
var linkedRoles = []string{"AliyunServiceRoleForEventBridgeSendToMNS", "AliyunServiceRoleForEventBridgeSourceCMS", "AliyunServiceRoleForEventBridgeSourceActionTrail"}

func checkLinked(ctx context.Context, p *Patient, say func(Level, string, string)) {
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

// A grant is one action on one resource.
type grant struct{ action, resource string }

// checkRole holds trust and policies against docs/ram.
func checkRole(ctx context.Context, p *Patient, say func(Level, string, string)) {
	trust, err := p.Cloud.Role(ctx, p.Role)
	switch {
	case acs.NotThere(err):
		say(Wrong, "there is no role "+p.Role, "run make setup")
		return
	case err != nil:
		trouble(say, "role "+p.Role, err)
		return
	}
	if !strings.Contains(trust, `"fc.aliyuncs.com"`) {
		say(Wrong, "role "+p.Role+" does not trust fc.aliyuncs.com", "run make setup")
		return
	}
	documents, err := p.Cloud.RolePolicies(ctx, p.Role)
	if err != nil {
		trouble(say, "the policies of role "+p.Role, err)
		return
	}
	has, more, err := p.compare(documents)
	switch {
	case err != nil:
		say(Unknown, "could not read the policies of role "+p.Role+": "+err.Error(), "compare them with docs/ram/function.json by hand")
	case len(has) > 0:
		say(Wrong, "the role may not: "+few(has), "run make setup")
	case len(more) > 0:
		say(Warning, "the role may more than it needs: "+few(more), "take it away, or run make setup")
	default:
		say(Good, "may what the function calls, and no more", "")
	}
}

// compare returns what the documents miss and what they grant beyond docs/ram.
func (p *Patient) compare(documents map[string]string) (missing, more []string, err error) {
	var has []grant
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		grants, err := grantsOf([]byte(documents[name]))
		if err != nil {
			return nil, nil, err
		}
		has = append(has, grants...)
	}
	var needs, may []grant
	for _, file := range []string{"function.json", "function-extras.json"} {
		text, err := p.Policies(file)
		if err != nil {
			return nil, nil, err
		}
		grants, err := grantsOf([]byte(p.fill(string(text))))
		if err != nil {
			return nil, nil, err
		}
		if may = append(may, grants...); file == "function.json" || p.needsExtras() {
			needs = append(needs, grants...)
		}
	}
	for _, n := range needs {
		if !slices.ContainsFunc(has, func(h grant) bool { return covers(h.action, n.action) && covers(h.resource, n.resource) }) {
			missing = append(missing, n.action+" on "+n.resource)
		}
	}
	for _, h := range has {
		if !slices.Contains(may, h) {
			more = append(more, h.action+" on "+h.resource)
		}
	}
	return missing, more, nil
}

// needsExtras says whether a fleet uses what function-extras.json allows.
func (p *Patient) needsExtras() bool {
	for _, f := range p.Fleets {
		if f.Strategy.Maintenance || f.Strategy.StopFirst || f.Strategy.Check.Command != "" || f.Rebuild.KeepSnapshots != "" {
			return true
		}
	}
	return false
}

// fill puts names in the place of a policy's placeholders.
func (p *Patient) fill(text string) string {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(p.Journal, "oss://"), "/")
	return strings.NewReplacer(
		"<account>", p.Account, "<region>", p.Region, "<function>", p.Function, "<request-queue>", p.RequestQueue,
		"<request-topic>", p.RequestTopic, "<result-topic>", p.ResultTopic, "<failure-topic>", p.FailureTopic,
		"<dead-letter-queue>", p.DeadLetterQueue, "<outcomes-queue>", p.OutcomesQueue, "<bucket>", bucket, "<prefix>", strings.Trim(prefix, "/"),
		"<log-project>", p.LogProject, "<logstore>", p.Logstore).Replace(text)
}

// grantsOf reads a policy. Conditions are not looked at.
func grantsOf(document []byte) ([]grant, error) {
	var v struct {
		Statement []struct {
			Effect           string
			Action, Resource any
		}
	}
	if err := json.Unmarshal(document, &v); err != nil {
		return nil, err
	}
	var out []grant
	for _, s := range v.Statement {
		for _, action := range texts(s.Action) {
			for _, resource := range texts(s.Resource) {
				if s.Effect == "Allow" {
					out = append(out, grant{action, resource})
				}
			}
		}
	}
	return out, nil
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return nil
}

// covers says whether a pattern of RAM means a name: * is any run of characters.
func covers(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x01"), strings.ReplaceAll(name, "/", "\x01"))
	return pattern == name || err == nil && ok
}

func few(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
