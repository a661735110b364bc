package deploy

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the policies of the templates anew from docs/ram")

// A resource of the template, as it stands there.
type resource struct {
	Type           string
	Condition      string
	DeletionPolicy string
	DependsOn      any
	Properties     map[string]any
}

func resources(t *testing.T) map[string]resource {
	t.Helper()
	var file struct {
		Resources map[string]resource `yaml:"Resources"`
	}
	decode(t, []byte(Template), &file)
	if len(file.Resources) < 20 {
		t.Fatalf("got %d resources: has the template's form changed?", len(file.Resources))
	}
	return file.Resources
}

// decode reads YAML through JSON, so that keys match whatever their case.
func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	var any map[string]any
	if err := yaml.Unmarshal(text, &any); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(any)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// memberRole is the resource of function-members.json, and memberRoles what the
// template has in its place: a list that is a parameter.
const memberRole = "acs:ram:*:<member-account>:role/<member-role>"

var memberRoles = map[string]any{"Fn::Split": []any{",", map[string]any{"Ref": "MemberRoles"}}}

// attached are the policies of the template: the resource's name, what follows
// the deployment's name in the policy's, the file it comes from, the file that
// takes its place with doors, the role that it is attached to, and its condition.
var attached = []attachment{
	{"FunctionPolicy", "function", "function.json", "", "FunctionRole", ""},
	{"FunctionExtrasPolicy", "function-extras", "function-extras.json", "", "FunctionRole", "WithExtras"},
	{"FunctionDoorsPolicy", "function-doors", "function-doors.json", "", "FunctionRole", "WithDoors"},
	{"FunctionMembersPolicy", "function-members", "function-members.json", "", "FunctionRole", "WithMembers"},
	{"NotificationPolicy", "notification", "notification.json", "", "NotificationRole", ""},
	{"DeployerPolicy", "deployer", "deployer.json", "", "", ""},
	{"DoctorPolicy", "doctor", "doctor.json", "", "", ""},
	{"OperatorPolicy", "operator", "operator.json", "operator-doors.json", "", ""},
	{"ProducerPolicy", "producer", "producer.json", "", "", ""},
	{"ReleaserPolicy", "releaser", "releaser.json", "", "", "WithDoors"},
}

type attachment struct{ name, suffix, file, doors, role, condition string }

// inMember are those of ros-member.yaml.
var inMember = []attachment{
	{"MemberPolicy", "member", "member.json", "", "MemberRole", ""},
	{"MemberExtrasPolicy", "member-extras", "member-extras.json", "", "MemberRole", "WithExtras"},
}

// A trust is a role of a template and the file that says who may take it.
type trust struct{ name, role, file, more string }

// files are the templates, each with its roles and policies.
var files = map[string]struct {
	text     *string
	roles    []trust
	policies []attachment
	account  string // of docs/ram, as this template fills it in
}{
	"ros.yaml": {&Template, []trust{
		{"FunctionRole", "{'Fn::Sub': '${Name}-function'}", "function-trust.json", ""},
		// The console makes this role too, and other triggers use it.
		{"NotificationRole", "aliyunmnsnotificationrole", "notification-trust.json", "    DeletionPolicy: Retain\n"},
	}, attached, "${ALIYUN::TenantId}"},
	"ros-member.yaml": {&MemberTemplate, []trust{
		{"MemberRole", "{'Fn::Sub': '${Name}-member'}", "member-trust.json", ""},
	}, inMember, "${FunctionAccount}"},
}

// filled are the placeholders of docs/ram as the template fills them in.
var filled = strings.NewReplacer(
	"<region>", "${ALIYUN::Region}", "<function>", "${Name}",
	"<request-queue>", "${Name}-requests", "<request-topic>", "${Name}-requests", "<result-topic>", "${Name}-outcomes",
	"<control-queue>", "${Name}-control", "<release-queue>", "${Name}-releases",
	"<failure-topic>", "${Name}-failures", "<dead-letter-queue>", "${Name}-dead-letters", "<outcomes-queue>", "${Name}-outcomes",
	"<bucket>", "${JournalBucket}", "<prefix>", "${JournalPrefix}", "<log-project>", "${LogProject}", "<logstore>", "function",
	"<external-id>", "${ExternalId}",
)

// policies are a template's part on roles and policies, from docs/ram.
func policies(t *testing.T, file string) string {
	t.Helper()
	var b strings.Builder
	flow := func(t *testing.T, name string) string {
		return strings.ReplaceAll(flow(t, name), `\u003caccount\u003e`, files[file].account)
	}
	for _, role := range files[file].roles {
		fmt.Fprintf(&b, "  %s:\n    Type: ALIYUN::RAM::Role\n%s    Properties:\n      RoleName: %s\n      Description: Of regild.\n", role.name, role.more, role.role)
		if role.more != "" {
			b.WriteString("      IgnoreExisting: true\n")
		}
		fmt.Fprintf(&b, "      AssumeRolePolicyDocument: %s\n", flow(t, role.file))
	}
	for _, p := range files[file].policies {
		fmt.Fprintf(&b, "  %s:\n    Type: ALIYUN::RAM::ManagedPolicy\n", p.name)
		if p.condition != "" {
			fmt.Fprintf(&b, "    Condition: %s\n", p.condition)
		}
		fmt.Fprintf(&b, "    Properties:\n      PolicyName: {'Fn::Sub': '${Name}-%s'}\n      Description: docs/ram/%s of regild.\n", p.suffix, p.file)
		if p.role != "" {
			fmt.Fprintf(&b, "      Roles: [{Ref: %s}]\n", p.role)
		}
		document := flow(t, p.file)
		if p.doors != "" { // one policy, so that whoever has it need not be given another
			document = fmt.Sprintf(`{"Fn::If":["WithDoors",%s,%s]}`, flow(t, p.doors), document)
		}
		fmt.Fprintf(&b, "      PolicyDocument: %s\n", document)
	}
	return b.String()
}

// flow returns a policy as one line of YAML, its placeholders filled in by Fn::Sub.
func flow(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/ram/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for _, element := range v["Statement"].([]any) { // ROS takes lists where RAM takes a text as well
		s := element.(map[string]any)
		for _, key := range []string{"Action", "Resource"} {
			if text, ok := s[key].(string); ok && s["Principal"] == nil {
				s[key] = []any{text}
			}
		}
		if list, ok := s["Resource"].([]any); ok && list[0] == memberRole {
			s["Resource"] = memberRoles
		}
	}
	out, err := json.Marshal(fill(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func fill(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = fill(v[key])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = fill(v[i])
		}
		return out
	case string:
		if text := filled.Replace(v); text != v || strings.Contains(v, "<account>") {
			return map[string]any{"Fn::Sub": text}
		}
	}
	return v
}

func TestTheTemplatesPoliciesAreThoseOfTheDocuments(t *testing.T) {
	const begin, end = "  # policies: written by go test ./deploy -update, from docs/ram\n", "  # /policies\n"
	for name, f := range files {
		text := *f.text
		i, j := strings.Index(text, begin), strings.Index(text, end)
		if i < 0 || j < i {
			t.Fatalf("%s has no part for policies", name)
		}
		i += len(begin)
		want := policies(t, name)
		if *update {
			if err := os.WriteFile(name, []byte(text[:i]+want+text[j:]), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if text[i:j] != want {
			t.Errorf("%s has other policies than docs/ram: run go test ./deploy -update", name)
		}
		if at := strings.Index(want, `\u003c`); at >= 0 || strings.Contains(want, "<") {
			t.Errorf("%s: a placeholder is left: %.80s", name, want[max(at, 0):])
		}
	}
}

// The role in another account lives as long as its stack, and for an hour at most
// at a time, which is the default.
func TestTheMembersTemplateMakesOneRoleAndItsPolicies(t *testing.T) {
	var file struct {
		Parameters map[string]any
		Resources  map[string]resource
	}
	decode(t, []byte(MemberTemplate), &file)
	for _, name := range []string{"Name", "FunctionAccount", "ExternalId", "Extras"} {
		if file.Parameters[name] == nil {
			t.Errorf("there is no parameter %s", name)
		}
	}
	if len(file.Resources) != 3 {
		t.Errorf("got %d resources, want a role and two policies", len(file.Resources))
	}
	trust := marshal(t, file.Resources["MemberRole"].Properties["AssumeRolePolicyDocument"])
	for _, want := range []string{`"acs:ram::${FunctionAccount}:role/${Name}-function"`, `"sts:ExternalId":[{"Fn::Sub":"${ExternalId}"}]`} {
		if !strings.Contains(trust, want) {
			t.Errorf("the role trusts %s, want %s in it", trust, want)
		}
	}
}

// What s.yaml refers to and the template makes must have one name.
func TestTheTemplateMakesWhatSYAMLRefersTo(t *testing.T) {
	p, r := props(t), resources(t)
	text := marshal(t, p)
	for name, property := range map[string]string{
		"RequestQueue": "QueueName", "DeadLetterQueue": "QueueName", "RequestTopic": "TopicName", "ResultTopic": "TopicName",
		"FailureTopic": "TopicName", "FunctionRole": "RoleName", "NotificationRole": "RoleName",
	} {
		if value := nameOf(r[name].Properties[property]); value == "" || !regexp.MustCompile(`[/"]`+value+`["/]`).MatchString(text) {
			t.Errorf("s.yaml does not refer to %s %v", name, r[name].Properties[property])
		}
	}
	env := dig(t, p, "environmentVariables")
	if env["REGILD_RESULT_TOPIC"] != nameOf(r["ResultTopic"].Properties["TopicName"]) || env["REGILD_REQUEST_QUEUE"] != nameOf(r["RequestQueue"].Properties["QueueName"]) {
		t.Errorf("s.yaml has queue %v and topic %v", env["REGILD_REQUEST_QUEUE"], env["REGILD_RESULT_TOPIC"])
	}
	if got, want := r["Logstore"].Properties["LogstoreName"], dig(t, p, "logConfig")["logstore"]; got != want {
		t.Errorf("got logstore %v, want %v", got, want)
	}
	timeout, err := p["timeout"].(json.Number).Int64()
	if visibility, ok := r["RequestQueue"].Properties["VisibilityTimeout"].(float64); err != nil || !ok || int64(visibility) <= timeout {
		t.Errorf("a message is hidden for %v s, and the function may run for %v", r["RequestQueue"].Properties["VisibilityTimeout"], p["timeout"])
	}
	var names []string
	for _, element := range p["triggers"].([]any) {
		names = append(names, element.(map[string]any)["triggerName"].(string))
	}
	if !slices.Equal(names, Triggers) {
		t.Errorf("got triggers %q, want %q", Triggers, names)
	}
}

// nameOf returns a name of the template, as the default deployment has it.
func nameOf(property any) string {
	if sub, ok := property.(map[string]any); ok {
		property = sub["Fn::Sub"]
	}
	text, _ := property.(string)
	return strings.ReplaceAll(text, "${Name}", Name)
}

// Resource Orchestration Service takes names of parameters and resources from one
// space, and refuses a template that uses one twice.
func TestNoNameIsUsedTwice(t *testing.T) {
	for text, least := range map[string]int{Template: 50, MemberTemplate: 8} {
		var file struct{ Parameters, Conditions, Resources map[string]any }
		decode(t, []byte(text), &file)
		seen := map[string]int{}
		for _, names := range []map[string]any{file.Parameters, file.Conditions, file.Resources} {
			for name := range names {
				if seen[name]++; seen[name] > 1 {
					t.Errorf("%s is used twice", name)
				}
			}
		}
		if len(seen) < least {
			t.Errorf("found %d names: has the template's form changed?", len(seen))
		}
	}
}

// Two deployments of one account share nothing by accident: names of roles and
// policies count in all regions.
func TestEveryNameBeginsWithTheDeploymentsOwn(t *testing.T) {
	n := 0
	for name, r := range resources(t) {
		for _, property := range []string{"QueueName", "TopicName", "SubscriptionName", "RoleName", "PolicyName", "RuleName"} {
			value, there := r.Properties[property]
			if !there || name == "NotificationRole" { // which the console makes too, for all triggers
				continue
			}
			n++
			if sub, _ := value.(map[string]any); sub == nil || !strings.HasPrefix(fmt.Sprint(sub["Fn::Sub"]), "${Name}") {
				t.Errorf("%s: %s is %v, whatever the deployment's name", name, property, value)
			}
		}
	}
	if n < 20 {
		t.Errorf("found %d names: has the template's form changed?", n)
	}
}

// The vendor's package for MNS types cannot be had, so these are held to a schema of our own.
func TestQueuesTopicsAndSubscriptionsKeepTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("ros-mns.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(r resource) error {
		raw, err := json.Marshal(map[string]any{"Type": r.Type, "Properties": r.Properties})
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	n := 0
	for name, r := range resources(t) {
		if strings.HasPrefix(r.Type, "ALIYUN::MNS::") {
			n++
			if err := validate(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n != 10 {
		t.Errorf("got %d resources of MNS, want 10", n)
	}
	for name, r := range map[string]resource{
		"a misspelt property": {Type: "ALIYUN::MNS::Queue", Properties: map[string]any{"QueueName": "a", "RetentionPeriod": 60}},
		"retention too long":  {Type: "ALIYUN::MNS::Queue", Properties: map[string]any{"QueueName": "a", "MessageRetentionPeriod": 604801}},
		"no name":             {Type: "ALIYUN::MNS::Topic", Properties: map[string]any{}},
		"no format": {Type: "ALIYUN::MNS::Subscription", Properties: map[string]any{"TopicName": "a", "SubscriptionName": "b",
			"Endpoint": map[string]any{"Fn::Sub": "acs:mns:r:a:queues/q"}, "PushType": "queue"}},
	} {
		if validate(r) == nil {
			t.Errorf("the schema let %s pass", name)
		}
	}
}

// An alarm on a text that the code does not write never fires.
func TestAlertsLookForWhatTheCodeWrites(t *testing.T) {
	code := sources(t, "../main.go", "../handler/*.go")
	wire := sources(t, "../events/*.go")
	texts := 0
	for name, r := range resources(t) {
		if r.Type != "ALIYUN::SLS::Alert" && r.Type != "ALIYUN::SLS::Savedsearch" && r.Type != "ALIYUN::SLS::Dashboard" {
			continue
		}
		raw, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		query := strings.ReplaceAll(string(raw), `\"`, `"`)
		for _, m := range regexp.MustCompile(`message\.(msg|type|code|status): (?:"([^"]+)"|([A-Za-z_]+))`).FindAllStringSubmatch(query, -1) {
			texts++
			text := m[2] + m[3]
			written := regexp.MustCompile(`(\(|slog\.Level[A-Z][a-z]+, )"` + regexp.QuoteMeta(text) + `[":]`)
			switch {
			case m[1] == "msg" && !written.MatchString(code):
				t.Errorf("%s looks for the line %q, which nobody writes", name, text)
			case m[1] == "type" && !strings.Contains(wire, `"`+strings.TrimSuffix(strings.TrimPrefix(text, "regild.rollout."), ".v1")+`"`):
				t.Errorf("%s looks for the type %q, which nobody sends", name, text)
			case (m[1] == "code" || m[1] == "status") && !strings.Contains(wire, `"`+text+`"`):
				t.Errorf("%s looks for the %s %q, which nobody gives", name, m[1], text)
			}
		}
	}
	if texts < 15 {
		t.Errorf("found %d texts: has the form of the queries changed?", texts)
	}
}

func TestTheAlertsThatTheDoctorLooksForAreThoseOfTheTemplate(t *testing.T) {
	var names []string
	for _, r := range resources(t) {
		if r.Type == "ALIYUN::SLS::Alert" {
			names = append(names, fmt.Sprint(dig(t, r.Properties, "Detail")["Name"]))
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(Alerts)); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", want, names)
	}
}

func sources(t *testing.T, patterns ...string) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no file matches %s (%v)", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	return b.String()
}

func TestWhatHoldsTheMemoryIsKept(t *testing.T) {
	r := resources(t)
	for _, name := range []string{"Bucket", "Project", "Logstore", "LogIndex"} {
		if r[name].DeletionPolicy != "Retain" {
			t.Errorf("%s is deleted with the stack", name)
		}
	}
	bucket := r["Bucket"].Properties
	if bucket["AccessControl"] != "private" || bucket["BlockPublicAccess"] != true || bucket["VersioningConfiguration"] != nil {
		t.Errorf("got bucket %v", bucket)
	}
	index, ok := r["LogIndex"].Properties["KeyIndices"].([]any)
	if !ok || !reflect.DeepEqual(index[0].(map[string]any)["Name"], "message") {
		t.Errorf("got index %v", index)
	}
}
