package main

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/doctor"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/oss"
)

const testBucket, testProject = "regild-journal-1234567890123456-cn-hangzhou", "regild-1234567890123456-cn-hangzhou"

// healthySite is set up and deployed as it should be.
func healthySite(t *testing.T, set ...string) *site {
	t.Helper()
	s := newSite(t)
	s.cloud.Control.Change(func(a *control.Account) { a.AtOnce = true })
	args := append(setupArgs, "--set", "ContactGroup=oncall")
	for _, parameter := range set {
		args = append(args, "--set", parameter)
	}
	s.must("done; the names are in", args...)
	s.write("fleets.yaml", officeFleet)
	s.write("regild.zip", "the zip")
	file, err := envfile.Read(s.file)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := checksum(strings.TrimSuffix(s.file, "regild.env") + "regild.zip")
	if err != nil || sum == "" {
		t.Fatal(sum, err)
	}
	ten := 10
	env := map[string]string{"REGILD_FLEETS": "/code/fleets.yaml"}
	for _, name := range []string{"REGILD_RESULT_TOPIC", "REGILD_REQUEST_QUEUE", "REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE", "REGILD_JOURNAL"} {
		if file[name] != "" {
			env[name] = file[name]
		}
	}
	s.cloud.Control.Change(func(a *control.Account) {
		a.Functions["regild"] = &control.Function{
			Runtime: "go1", Handler: "main", Role: "acs:ram::1234567890123456:role/regild-function", Timeout: 280, CodeChecksum: sum, Concurrency: &ten,
			LogProject: file["REGILD_LOG_PROJECT"], Logstore: file["REGILD_LOGSTORE"],
			Env:       env,
			OnFailure: "acs:mns:cn-hangzhou::/topics/regild-failures/messages",
			Triggers: map[string]control.Trigger{
				"topic": topicOf("regild-requests"), "sweep": {Type: "timer", Config: `{"enable": true}`},
				"queue": {Type: "eventbridge", Config: streamOf("regild-requests")}, "image": {Type: "eventbridge", Config: `{"triggerEnable": false}`},
			},
		}
		for trigger, setting := range map[string]string{"control": "REGILD_CONTROL_QUEUE", "releases": "REGILD_RELEASE_QUEUE"} {
			if queue := file[setting]; queue != "" {
				a.Functions["regild"].Triggers[trigger] = control.Trigger{Type: "eventbridge", Config: streamOf(queue)}
			}
		}
		for _, name := range []string{"AliyunServiceRoleForEventBridgeSendToMNS", "AliyunServiceRoleForEventBridgeSourceCMS"} {
			a.ServiceLinked[name] = true
		}
	})
	return s
}

// topicOf is a trigger of a topic, as s.yaml has it.
func topicOf(name string) control.Trigger {
	return control.Trigger{Type: "mns_topic", Config: `{"notifyContentFormat": "JSON"}`, Source: "acs:mns:cn-hangzhou:1234567890123456:/topics/" + name}
}

// streamOf is the configuration of a trigger that reads a queue, as s.yaml has it.
func streamOf(queue string) string {
	return `{"triggerEnable": true, "eventSourceConfig": {"eventSourceType": "MNS", "eventSourceParameters": {"sourceMNSParameters": {"QueueName": "` + queue + `"}}},
		"eventSinkConfig": {"deliveryOption": {"eventSchema": "CloudEvents"}}, "runOptions": {"errorsTolerance": "ALL"}}`
}

// examine runs the doctor and returns its findings and its exit code.
func (s *site) examine(args ...string) (findings []doctor.Finding, code int) {
	s.t.Helper()
	dir := strings.TrimSuffix(s.file, "regild.env")
	out, code := s.regild(append([]string{"doctor", "--json", "--fleets", dir + "fleets.yaml", "--template", dir + "s.yaml", "--zip", dir + "regild.zip"}, args...)...)
	end := strings.LastIndex(out, "}")
	var v struct{ Findings []doctor.Finding }
	if end < 0 || json.Unmarshal([]byte(out[:end+1]), &v) != nil {
		s.t.Fatalf("the doctor printed no JSON, exit code %d: %s", code, out)
	}
	return v.Findings, code
}

func TestTheDoctorFindsNothingWrongWithAHealthySite(t *testing.T) {
	s := healthySite(t)
	fleets := s.write("fleets.yaml", memberFleets)
	s.must("done", append(setupArgs, "--fleets", fleets)...)
	s.deploy(fleets)
	findings, code := s.examine("--probe")
	seen := map[string]bool{}
	for _, f := range findings {
		seen[f.Check] = true
		if f.Level != doctor.Good {
			t.Errorf("got %+v", f)
		}
	}
	for _, c := range doctor.Checks() {
		if !seen[c.Name] {
			t.Errorf("check %s said nothing", c.Name)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := len(s.cloud.MNS.Pending("regild-outcomes")); n > 2 { // the requests' summaries may still be on their way
		t.Errorf("%d messages of the probe are left", n)
	}
	for _, key := range s.cloud.OSS.Keys(testBucket) {
		if !strings.Contains(key, "/probe/") && !strings.Contains(key, "/request/doctor-") {
			t.Errorf("the doctor, or its probe, left %s", key)
		}
	}
	s.theFunctionAloneMayTakeTheRole()
	out, code := s.regild("doctor", "--fleets", "absent", "--zip", "absent")
	if code != 0 || !strings.Contains(out, "good     function     regild, go1, role regild-function, 280 s") || !strings.Contains(out, "nothing is wrong; 2 warnings") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Each check must be able to fail, and say what to do.
func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	function := func(f func(*control.Function)) func(*site) {
		return func(s *site) { s.cloud.Control.Change(func(a *control.Account) { f(a.Functions["regild"]) }) }
	}
	account := func(f func(*control.Account)) func(*site) {
		return func(s *site) { s.cloud.Control.Change(f) }
	}
	bucket := func(f func(*oss.BucketSettings)) func(*site) {
		return func(s *site) {
			settings, _ := s.cloud.OSS.Bucket(testBucket)
			f(&settings)
			s.cloud.OSS.SetBucket(testBucket, settings)
		}
	}
	fleets := func(text string) func(*site) {
		return func(s *site) { s.write("fleets.yaml", text) }
	}
	trigger := func(name, config string) func(*site) {
		return function(func(f *control.Function) {
			f.Triggers[name] = control.Trigger{Type: f.Triggers[name].Type, Config: config}
		})
	}
	policy := func(f func(string) string) func(*site) {
		return account(func(a *control.Account) {
			of := a.Roles["regild-function"].Policies
			changed := f(of["regild-function"])
			if changed == of["regild-function"] {
				panic("the policy is as it was")
			}
			of["regild-function"] = changed
		})
	}
	fleetOf := func(rest string) func(*site) {
		return fleets("fleets:\n  - {name: office, region: cn-hangzhou, " + rest + "}\n")
	}
	failed := map[string]bool{"doors": true, "probe": true, "accounts": true} // in tests of their own, below
	const windows = `windows: [{from: "20:00", to: "06:00", zone: Asia/Shanghai}]`
	alarmed := func(on bool) func(*site) { // a fleet with an alarm, and all rights for that
		return func(s *site) {
			fleetOf(`images: [win11-office], select: {tags: {fleet: office}}, strategy: {check: {alarms: [office-logons]}, ` + windows + `}`)(s)
			account(func(a *control.Account) {
				a.Alarms["office-logons"] = on
				a.Roles["regild-function"].Policies["regild-function-extras"] = string(mustRead(s.t, "../../docs/ram/function-extras.json"))
			})(s)
		}
	}
	for name, tt := range map[string]struct {
		ail   func(*site)
		check string
		level doctor.Level
		want  string
	}{
		"another account":        {func(s *site) { s.env["REGILD_ACCOUNT"] = "1000000000000001" }, "account", doctor.Wrong, "the credentials are of account 1234567890123456"},
		"no function":            {account(func(a *control.Account) { delete(a.Functions, "regild") }), "function", doctor.Wrong, "there is no function regild"},
		"another runtime":        {function(func(f *control.Function) { f.Runtime = "custom" }), "function", doctor.Wrong, "runtime custom"},
		"another role":           {function(func(f *control.Function) { f.Role = "acs:ram::1234567890123456:role/admin" }), "function", doctor.Wrong, "role acs:ram::1234567890123456:role/admin"},
		"a setting at fault":     {function(func(f *control.Function) { f.Env["REGILD_REBUILD_CONCURRENCY"] = "many" }), "function", doctor.Wrong, "REGILD_REBUILD_CONCURRENCY"},
		"another journal":        {function(func(f *control.Function) { f.Env["REGILD_JOURNAL"] = "oss://other/x" }), "function", doctor.Wrong, `REGILD_JOURNAL is "oss://other/x"`},
		"a timeout too long":     {function(func(f *control.Function) { f.Timeout = 600 }), "function", doctor.Wrong, "timeout 600 s"},
		"another build":          {function(func(f *control.Function) { f.CodeChecksum = "1" }), "code", doctor.Wrong, "another build is deployed"},
		"no trigger":             {function(func(f *control.Function) { delete(f.Triggers, "sweep") }), "triggers", doctor.Wrong, "there is no trigger sweep"},
		"a stream that is off":   {function(func(f *control.Function) { f.Triggers["queue"] = control.Trigger{Config: `{"triggerEnable": false}`} }), "triggers", doctor.Wrong, "trigger queue is off"},
		"stopped":                {function(func(f *control.Function) { f.Concurrency = new(int) }), "concurrency", doctor.Wrong, "the function is stopped"},
		"no limit":               {function(func(f *control.Function) { f.Concurrency = nil }), "concurrency", doctor.Warning, "no reserved concurrency"},
		"no destination":         {function(func(f *control.Function) { f.OnFailure = "" }), "failures", doctor.Wrong, "there is no destination"},
		"another destination":    {function(func(f *control.Function) { f.OnFailure = "acs:mns:cn-hangzhou::/topics/other/messages" }), "failures", doctor.Wrong, "instead of the topic regild-failures"},
		"no role":                {account(func(a *control.Account) { delete(a.Roles, "regild-function") }), "role", doctor.Wrong, "there is no role"},
		"trust in somebody else": {account(func(a *control.Account) { a.Roles["regild-function"].Trust = `{"Statement":[]}` }), "role", doctor.Wrong, "does not trust"},
		"a right missing":        {account(func(a *control.Account) { clear(a.Roles["regild-function"].Policies) }), "role", doctor.Wrong, "the role may not: ecd:DescribeDesktops on *"},
		"a right too many": {account(func(a *control.Account) {
			a.Roles["regild-function"].Policies["more"] = `{"Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"*"}]}`
		}), "role", doctor.Warning, "more than it needs: ecs:* on *"},
		"a condition left out": {policy(func(text string) string {
			return regexp.MustCompile(`"Condition":\{"StringLike":[^}]*\}\},`).ReplaceAllString(text, "")
		}), "role", doctor.Warning, `without the condition {"StringLike":{"oss:Prefix":["regild/*"]}}`},
		"a condition of somebody's own": {policy(func(text string) string {
			return strings.Replace(text, `"Resource":["*"]`, `"Resource":["*"],"Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}`, 1)
		}), "role", doctor.Unknown, `ecd:DescribeDesktops on * under the condition {"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}`},
		"a statement that denies": {account(func(a *control.Account) {
			a.Roles["regild-function"].Policies["no"] = `{"Statement":[{"Effect":"Deny","Action":"oss:*","Resource":"acs:oss:*:*:*/regild/fleet/*"}]}`
		}), "role", doctor.Wrong, "denies what the role needs: oss:* on acs:oss:*:*:*/regild/fleet/*"},
		"a statement that may deny": {account(func(a *control.Account) {
			a.Roles["regild-function"].Policies["no"] = `{"Statement":[{"Effect":"Deny","Action":"ECD:Rebuild*","Resource":"*","Condition":{"Bool":{"acs:MFAPresent":"false"}}}]}`
		}), "role", doctor.Unknown, "denied: ECD:Rebuild* on *"},
		"a denial of something else": {account(func(a *control.Account) {
			a.Roles["regild-function"].Policies["no"] = `{"Statement":[{"Effect":"Deny","Action":"ecs:*","Resource":"*"}]}`
		}), "role", doctor.Good, "and no more"},
		"what is not judged": {account(func(a *control.Account) {
			a.Roles["regild-function"].Policies["odd"] = `{"Statement":[{"Effect":"Allow","NotAction":"ecs:*","Resource":"*"}]}`
		}), "role", doctor.Unknown, "odd says NotAction"},
		"trust in others": {account(func(a *control.Account) {
			a.Roles["regild-function"].Trust = `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":["fc.aliyuncs.com"],"RAM":["acs:ram::1000000000000001:root"]}}]}`
		}), "role", doctor.Warning, "may be taken by others too: acs:ram::1000000000000001:root"},
		"no topic wanted": {func(s *site) {
			s.write("s.yaml", "triggers:\n  - triggerName: sweep\n  - triggerName: queue\n  - triggerName: image\n")
			s.cloud.MNS.RemoveTopic("regild-requests")
			account(func(a *control.Account) {
				delete(a.Functions["regild"].Triggers, "topic")
				delete(a.Roles, "aliyunmnsnotificationrole")
			})(s)
		}, "topic role", doctor.Good, "there is no topic trigger"},
		"no topic role":            {account(func(a *control.Account) { delete(a.Roles, "aliyunmnsnotificationrole") }), "topic role", doctor.Wrong, "there is no role aliyunmnsnotificationrole"},
		"a topic role without use": {account(func(a *control.Account) { clear(a.Roles["aliyunmnsnotificationrole"].Policies) }), "topic role", doctor.Wrong, "may not: fc:InvokeFunction"},
		"a fleet that needs more": {fleetOf(`images: [win11-office], select: {tags: {fleet: office}}, strategy: {notice: {lead: 2h}, ` + windows + `}`), "role", doctor.Wrong,
			"the role may not: "},
		"another queue": {trigger("queue", streamOf("other")), "triggers", doctor.Wrong, "trigger queue reads the queue other instead of regild-requests"},
		"raw data": {trigger("queue", strings.Replace(streamOf("regild-requests"), "CloudEvents", "RawData", 1)), "triggers", doctor.Wrong,
			"delivers RawData: then nothing says which queue"},
		"a stream that stops": {trigger("queue", strings.Replace(streamOf("regild-requests"), "ALL", "NONE", 1)), "triggers", doctor.Wrong, "errorsTolerance NONE"},
		"XML from the topic":  {trigger("topic", `{"notifyContentFormat": "XML"}`), "triggers", doctor.Wrong, "delivers XML"},
		"another log": {function(func(f *control.Function) { f.LogProject = "other" }), "function", doctor.Wrong,
			"it logs to other/function instead of regild-1234567890123456-cn-hangzhou/function"},
		"no journal in the function": {function(func(f *control.Function) { delete(f.Env, "REGILD_JOURNAL") }), "function", doctor.Wrong, `REGILD_JOURNAL is ""`},
		"no fleets in the function":  {function(func(f *control.Function) { delete(f.Env, "REGILD_FLEETS") }), "function", doctor.Warning, "reads no fleets.yaml"},
		"a region that is not allowed": {function(func(f *control.Function) { f.Env["REGILD_REGIONS"] = "cn-beijing,cn-shanghai" }), "fleets", doctor.Wrong,
			"fleet office is in cn-hangzhou, and the function may rebuild in cn-beijing, cn-shanghai only"},
		"fleets that cannot be read": {fleets("fleets:\n  - {name: office, region: cn-hangzhou}\n"), "fleets", doctor.Wrong, "the fleets cannot be read: "},
		"a zip that cannot be read": {func(s *site) {
			s.remove("regild.zip")
			if err := os.Mkdir(filepath.Join(filepath.Dir(s.file), "regild.zip"), 0o700); err != nil {
				s.t.Fatal(err)
			}
		}, "code", doctor.Unknown, "could not read the zip"},
		"a clock that is off":           {account(func(a *control.Account) { a.ClockOff = 30 * time.Second }), "clock", doctor.Wrong, "this machine's clock is "},
		"a clock that is far off":       {account(func(a *control.Account) { a.ClockOff = -time.Hour }), "clock", doctor.Wrong, "this machine's clock is "},
		"a journal that takes anything": {bucket(func(b *oss.BucketSettings) { b.AnyPosition = true }), "journal", doctor.Wrong, "a second append at one position was taken"},
		"a journal with an echo":        {bucket(func(b *oss.BucketSettings) { b.Mirror = "{}\n" }), "journal", doctor.Wrong, "a journal that was never written has content"},
		"a journal that is none":        {func(s *site) { s.env["REGILD_JOURNAL"] = "s3://bucket" }, "journal", doctor.Wrong, "REGILD_JOURNAL cannot be used"},
		"another region":                {func(s *site) { s.env["REGILD_REGION"] = "cn-shanghai" }, "account", doctor.Warning, "looking at region cn-shanghai, and regild.env is of cn-hangzhou"},
		"no linked role":                {account(func(a *control.Account) { clear(a.ServiceLinked) }), "linked roles", doctor.Wrong, "AliyunServiceRoleForEventBridgeSourceCMS"},
		"no queue":                      {func(s *site) { s.cloud.MNS.RemoveQueue("regild-dead-letters") }, "queues", doctor.Wrong, "there is no queue regild-dead-letters"},
		"retention too short":           {func(s *site) { s.cloud.MNS.CreateQueue("regild-dead-letters", mns.QueueAttributes{}) }, "queues", doctor.Wrong, "less than 7 days"},
		"visibility too short": {func(s *site) {
			s.cloud.MNS.CreateQueue("regild-requests", mns.QueueAttributes{Retention: 7 * 24 * 3600e9})
		}, "queues", doctor.Wrong, "hides a message for 30s"},
		"no topic":        {func(s *site) { s.cloud.MNS.RemoveTopic("regild-requests") }, "topics", doctor.Wrong, "there is no topic regild-requests"},
		"no subscription": {func(s *site) { s.cloud.MNS.Unsubscribe("regild-failures", "regild-dead-letters") }, "topics", doctor.Wrong, "has no queue behind it"},
		"the default format": {func(s *site) {
			s.cloud.MNS.Subscribe("regild-outcomes", "regild-outcomes", mns.Subscription{Endpoint: s.cloud.MNS.QueueEndpoint("regild-outcomes")})
		}, "topics", doctor.Wrong, "has format XML"},
		"no bucket":             {func(s *site) { s.cloud.OSS.RemoveBucket(testBucket) }, "bucket", doctor.Wrong, "there is no bucket"},
		"a public bucket":       {bucket(func(b *oss.BucketSettings) { b.ACL = "public-read" }), "bucket", doctor.Wrong, "is not private"},
		"public access":         {bucket(func(b *oss.BucketSettings) { b.Public = true }), "bucket", doctor.Warning, "is not blocked"},
		"a retention policy":    {bucket(func(b *oss.BucketSettings) { b.RetentionDays = 30 }), "bucket", doctor.Wrong, "retention policy (Locked)"},
		"versioning":            {bucket(func(b *oss.BucketSettings) { b.Versioning = "Enabled" }), "bucket", doctor.Warning, "versioning of bucket"},
		"no lifecycle":          {bucket(func(b *oss.BucketSettings) { b.Lifecycle = nil }), "bucket", doctor.Warning, "no lifecycle rule"},
		"a lifecycle too short": {bucket(func(b *oss.BucketSettings) { b.Lifecycle[0].Days = 3 }), "bucket", doctor.Wrong, "deleted after 3 days"},
		"a journal that cannot be written": {func(s *site) {
			s.cloud.Faults.Add(fault.Rule{Service: "oss", Operation: "AppendObject", Kind: fault.Error, Status: 403, Code: "AccessDenied"})
		}, "journal", doctor.Unknown, "AppendObject"},
		"an alarm of a fleet that is not there": {fleetOf(`images: [win11-office], select: {tags: {fleet: office}}, strategy: {check: {alarms: [office-logons]}, ` + windows + `}`), "fleets",
			doctor.Wrong, "there is no alarm rule office-logons in cn-hangzhou"},
		"an alarm of a fleet that is off": {
			alarmed(false), "fleets", doctor.Wrong, "the alarm rule office-logons in cn-hangzhou is off",
		},
		"an alarm of a fleet that is there": {
			alarmed(true), "fleets", doctor.Good, "its alarms are there: office-logons",
		},
		"alarms that nobody may see": {func(s *site) {
			alarmed(true)(s)
			account(func(a *control.Account) { a.Denied["cms:DescribeMetricRuleList"] = true })(s)
		}, "fleets", doctor.Unknown, "could not look at the alarms of fleet office"},
		"no index":                     {account(func(a *control.Account) { a.Projects[testProject].Logstores["function"] = nil }), "log index", doctor.Wrong, "has no index"},
		"no logstore":                  {account(func(a *control.Account) { clear(a.Projects[testProject].Logstores) }), "log index", doctor.Wrong, "there is no logstore"},
		"an index of old":              {account(func(a *control.Account) { delete(a.Projects[testProject].Logstores["function"], "KeyIndices") }), "log index", doctor.Wrong, "lacks message.msg"},
		"no alarm":                     {account(func(a *control.Account) { clear(a.Alarms) }), "alarms", doctor.Warning, "nobody is woken"},
		"an alert that is gone":        {account(func(a *control.Account) { delete(a.Projects[testProject].Alerts, "regild-heartbeat") }), "alarms", doctor.Warning, "missing in Log Service: regild-heartbeat"},
		"an alert that is off":         {account(func(a *control.Account) { a.Projects[testProject].Alerts["regild-heartbeat"] = false }), "alarms", doctor.Warning, "switched off in Log Service: regild-heartbeat"},
		"alerts nobody may see":        {account(func(a *control.Account) { a.Denied["log:ListJobs"] = true }), "alarms", doctor.Unknown, "could not look at the alerts of Log Service"},
		"an alarm that is off":         {account(func(a *control.Account) { a.Alarms["regild: messages in regild-dead-letters"] = false }), "alarms", doctor.Warning, "switched off"},
		"no desktop":                   {fleetOf(`images: [win11-office], select: {tags: {fleet: other}}, strategy: {` + windows + `}`), "fleets", doctor.Warning, "selects no desktop"},
		"all desktops":                 {fleetOf(`images: [win11-office], select: all, strategy: {` + windows + `}`), "fleets", doctor.Warning, "selects all 41 desktops"},
		"a large canary":               {fleetOf(`images: [win11-office], select: {tags: {fleet: office}}, strategy: {canary: 9, waves: ["50%"], ` + windows + `}`), "fleets", doctor.Warning, "its canary is 9 of 40"},
		"no image":                     {fleetOf(`images: [win10], select: {tags: {fleet: office}}, strategy: {` + windows + `}`), "fleets", doctor.Warning, "follows no image"},
		"no window":                    {fleetOf(`images: [win11-office], select: {tags: {fleet: office}}`), "fleets", doctor.Warning, "no windows"},
		"any image":                    {fleetOf(`images: ["*"], select: {tags: {fleet: office}}, strategy: {` + windows + `}`), "fleets", doctor.Warning, "matches every name"},
		"the example":                  {func(s *site) { s.write("fleets.yaml", string(mustRead(s.t, "../../fleets.yaml"))) }, "fleets", doctor.Wrong, "fleet office is the example's"},
		"requests alone without doors": {func(s *site) { s.env["REGILD_SHARES"] = "yes" }, "shares", doctor.Wrong, "nothing else has a door"},
		"no right":                     {account(func(a *control.Account) { a.Denied["fc:GetTrigger"] = true }), "triggers", doctor.Unknown, "could not look at trigger topic"},
	} {
		if tt.level != doctor.Good {
			failed[tt.check] = true
		}
		t.Run(name, func(t *testing.T) {
			s := healthySite(t)
			tt.ail(s)
			findings, code := s.examine()
			for _, f := range findings {
				if f.Check != tt.check || f.Level != tt.level || !strings.Contains(f.Text, tt.want) {
					continue
				}
				if (f.Do == "") != (tt.level == doctor.Good) {
					t.Errorf("it does not say what to do: %+v", f)
				}
				if name == "another region" {
					return // nothing else is right there
				}
				if (code == 0) != (tt.level == doctor.Warning || tt.level == doctor.Good) {
					t.Errorf("exit code %d for %s", code, tt.level)
				}
				if name == "no right" && f.Right != "fc:GetTrigger" {
					t.Errorf("it does not name the right: %+v", f)
				}
				return
			}
			t.Errorf("check %s did not find %q as %s in %+v", tt.check, tt.want, tt.level, findings)
		})
	}
	for _, c := range doctor.Checks() {
		if !failed[c.Name] {
			t.Errorf("nothing here makes check %s fail", c.Name)
		}
	}
}

// What the doctor calls is what its checks say, and so what docs/ram/doctor.json
// allows: under a role of its own it is refused nothing, and it changes nothing
// but what it says.
func TestTheDoctorCallsWhatItSays(t *testing.T) {
	s := healthySite(t, "Doors=yes")
	before := s.cloud.Faults.Calls()
	s.examine("--probe", "--wait", "1ns")
	says := map[string]bool{}
	for _, c := range doctor.Checks() {
		for _, action := range c.Calls {
			says[action[strings.Index(action, ":")+1:]] = true
		}
	}
	rights := map[string]string{"AppendObject": "PutObject", "BatchReceiveMessage": "ReceiveMessage", "BatchDeleteMessage": "DeleteMessage"}
	called := 0
	for call, n := range s.cloud.Faults.Calls() {
		if n == before[call] {
			continue
		}
		called++
		right := call[1]
		if r := rights[right]; r != "" {
			right = r
		}
		if !says[right] {
			t.Errorf("it calls %s of %s, and no check says so", call[1], call[0])
		}
	}
	if called < 20 {
		t.Errorf("it made %d different calls: are they counted?", called)
	}
}

// What is missing for one check must not keep the others from being made.
func TestTheDoctorLooksAtWhatItCan(t *testing.T) {
	s := healthySite(t)
	levels := func(findings []doctor.Finding) map[string]doctor.Level {
		out := map[string]doctor.Level{}
		for _, f := range findings {
			out[f.Check] = f.Level
		}
		return out
	}
	s.remove("regild.env") // then the function itself says what there is
	findings, code := s.examine()
	if got := levels(findings); code != 0 || got["journal"] != doctor.Good || got["bucket"] != doctor.Good || got["log index"] != doctor.Good || got["queues"] != doctor.Good || got["role"] != doctor.Good {
		t.Errorf("without regild.env: exit code %d, %+v", code, findings)
	}
	s.cloud.Control.Change(func(a *control.Account) { delete(a.Functions, "regild") })
	s.write("fleets.yaml", "fleets: [")
	findings, code = s.examine("--probe")
	got := levels(findings)
	for check, want := range map[string]doctor.Level{"account": doctor.Good, "clock": doctor.Good, "function": doctor.Wrong, "code": doctor.Unknown, "triggers": doctor.Wrong,
		"role": doctor.Unknown, "topic role": doctor.Good, "queues": doctor.Good, "doors": doctor.Unknown, "topics": doctor.Good, "bucket": doctor.Unknown, "journal": doctor.Unknown, "log index": doctor.Unknown,
		"alarms": doctor.Unknown, "fleets": doctor.Wrong, "probe": doctor.Unknown} {
		if got[check] != want {
			t.Errorf("check %s: got %s, want %s", check, got[check], want)
		}
	}
	if code == 0 || len(got) != len(doctor.Checks()) {
		t.Errorf("exit code %d, %d of %d checks", code, len(got), len(doctor.Checks()))
	}
	s.cloud.Control.Change(func(a *control.Account) { a.Denied["sts:GetCallerIdentity"] = true })
	if findings, _ = s.examine("--probe"); len(levels(findings)) != len(doctor.Checks()) {
		t.Errorf("without an account %d of %d checks were made: %+v", len(levels(findings)), len(doctor.Checks()), findings)
	}
}

func TestTheDoctorSaysOnceThatTheCredentialsAreNotValid(t *testing.T) {
	s := healthySite(t)
	for name, break_ := range map[string]func(){
		"there are no credentials":    func() { delete(s.env, "ALIBABA_CLOUD_ACCESS_KEY_ID") },
		"the access key is not known": func() { s.env["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "LTAI" },
	} {
		break_()
		findings, code := s.examine("--probe")
		if code == 0 || len(findings) != 2 || findings[0].Level != doctor.Wrong || !strings.Contains(findings[0].Text, name) || findings[1].Level != doctor.Unknown {
			t.Errorf("exit code %d, %+v", code, findings)
		}
	}
}

// Without a network it says so once, and what the files show all the same.
func TestTheDoctorSaysOnceThatThereIsNoNetwork(t *testing.T) {
	s := healthySite(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close() // who listens nowhere is reached by nobody
	for name := range s.env {
		if strings.HasSuffix(name, "_ENDPOINT") {
			s.env[name] = "http://" + nobody.Addr().String()
		}
	}
	s.cloud.ControlURL = "http://" + nobody.Addr().String()
	s.write("fleets.yaml", "fleets: [")
	findings, code := s.examine()
	if code != 1 || len(findings) == 0 || findings[0].Check != "network" || findings[0].Level != doctor.Unknown || !strings.Contains(findings[0].Text, "there is no network: no host could be reached") {
		t.Errorf("exit code %d, %+v", code, findings)
	}
	if rest := findings[1:]; len(rest) != 1 || rest[0].Check != "fleets" || rest[0].Level != doctor.Wrong {
		t.Errorf("besides it told %+v", rest)
	}
}

// The dry run must come back, and as what it is.
func TestTheDoctorJudgesTheProbe(t *testing.T) {
	s := healthySite(t)
	probe := func(args ...string) doctor.Finding {
		t.Helper()
		findings, code := s.examine(append([]string{"--probe"}, args...)...)
		last := findings[len(findings)-1]
		if last.Check != "probe" || code == 0 {
			t.Fatalf("exit code %d, %+v", code, findings)
		}
		return last
	}
	if f := probe("--wait", "1ns"); f.Level != doctor.Wrong || !strings.Contains(f.Text, "no outcome of the dry run came within 1ns") {
		t.Errorf("nobody took the dry run, and got %+v", f)
	}
	s.cloud.Faults.Add(fault.Rule{Service: "ecd", Operation: "DescribeDesktops", Kind: fault.Error, Status: 403, Code: "Forbidden.RAM"})
	s.deploy(s.write("fleets.yaml", officeFleet))
	if f := probe(); f.Level != doctor.Wrong || !strings.Contains(f.Text, ", NotAuthorized") || !strings.Contains(f.Do, "role") {
		t.Errorf("the function may not ask ECD, and got %+v", f)
	}
}

func TestTheDoctorKnowsDoors(t *testing.T) {
	function := func(f func(*control.Function)) func(*site) {
		return func(s *site) { s.cloud.Control.Change(func(a *control.Account) { f(a.Functions["regild"]) }) }
	}
	// Both the function and regild.env, as a deployment has them.
	door := func(setting, queue string) func(*site) {
		return func(s *site) {
			s.env[setting] = queue
			function(func(f *control.Function) { f.Env[setting] = queue })(s)
		}
	}
	for name, tt := range map[string]struct {
		ail   func(*site)
		check string
		level doctor.Level
		want  string
	}{
		"as they should be": {func(*site) {}, "doors", doctor.Good, "control messages by queues/regild-control, releases by queues/regild-releases"},
		"one for both": {func(s *site) {
			door("REGILD_RELEASE_QUEUE", "regild-control")(s)
			function(func(f *control.Function) { delete(f.Triggers, "releases") })(s)
		}, "triggers", doctor.Good, "topic, sweep, queue, image (off), control"},
		"no queue": {func(s *site) { s.cloud.MNS.RemoveQueue("regild-control") }, "queues", doctor.Wrong, "there is no queue regild-control"},
		"short visibility": {func(s *site) {
			s.cloud.MNS.CreateQueue("regild-releases", mns.QueueAttributes{Retention: 7 * 24 * 3600e9})
		}, "queues", doctor.Wrong, "queue regild-releases hides"},
		"no trigger":       {function(func(f *control.Function) { delete(f.Triggers, "releases") }), "triggers", doctor.Wrong, "there is no trigger releases"},
		"crossed triggers": {function(func(f *control.Function) { f.Triggers["control"] = f.Triggers["releases"] }), "triggers", doctor.Wrong, "trigger control reads the queue regild-releases"},
		"no right": {func(s *site) {
			s.cloud.Control.Change(func(a *control.Account) { delete(a.Roles["regild-function"].Policies, "regild-function-doors") })
		}, "role", doctor.Wrong, "may not: mns:BatchSendMessage on acs:mns:cn-hangzhou:1234567890123456:/queues/regild-control/messages, mns:SendMessage on acs:mns:cn-hangzhou:1234567890123456:/queues/regild-control/messages"},
		"the requests' own": {door("REGILD_CONTROL_QUEUE", "regild-requests"), "doors", doctor.Wrong, "is the one of requests"},
		"the outcomes'":     {door("REGILD_RELEASE_QUEUE", "regild-outcomes"), "doors", doctor.Wrong, "where regild's own messages go"},
		"a topic": {func(s *site) {
			door("REGILD_RELEASE_QUEUE", "topics/releases")(s)
			function(func(f *control.Function) { f.Triggers["releases-topic"] = topicOf("releases") })(s)
		}, "doors", doctor.Warning, "the door of releases is topics/releases"},
		"a topic without a trigger": {door("REGILD_RELEASE_QUEUE", "topics/releases"), "triggers", doctor.Wrong, "there is no trigger releases-topic"},
		"a topic with its trigger": {func(s *site) {
			door("REGILD_RELEASE_QUEUE", "topics/releases")(s)
			function(func(f *control.Function) { f.Triggers["releases-topic"] = topicOf("releases") })(s)
		}, "triggers", doctor.Good, "topic, sweep, queue, image (off), control, releases-topic"},
		"a topic with another's trigger": {func(s *site) {
			door("REGILD_RELEASE_QUEUE", "topics/releases")(s)
			function(func(f *control.Function) { f.Triggers["releases-topic"] = topicOf("others") })(s)
		}, "triggers", doctor.Wrong, "trigger releases-topic reads the topic others instead of releases"},
		"spelt in two ways":       {func(s *site) { s.env["REGILD_CONTROL_QUEUE"] = "queues/regild-control" }, "function", doctor.Good, "regild, go1"},
		"unknown to the function": {function(func(f *control.Function) { delete(f.Env, "REGILD_CONTROL_QUEUE") }), "function", doctor.Wrong, `REGILD_CONTROL_QUEUE is "", here it is "regild-control"`},
		"unknown here": {func(s *site) {
			text := strings.Replace(string(mustRead(s.t, s.file)), "REGILD_CONTROL_QUEUE=regild-control\n", "", 1)
			s.write("regild.env", text)
		}, "doors", doctor.Warning, "regild.env does not name REGILD_CONTROL_QUEUE"},
		"only one": {func(s *site) {
			s.write("regild.env", strings.Replace(string(mustRead(s.t, s.file)), "REGILD_RELEASE_QUEUE=regild-releases\n", "", 1))
			function(func(f *control.Function) { delete(f.Env, "REGILD_RELEASE_QUEUE") })(s)
		}, "doors", doctor.Warning, "releases have no door of their own"},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthySite(t, "Doors=yes")
			tt.ail(s)
			findings, code := s.examine()
			if !slices.ContainsFunc(findings, func(f doctor.Finding) bool {
				return f.Check == tt.check && f.Level == tt.level && strings.Contains(f.Text, tt.want) && (f.Do == "") == (tt.level == doctor.Good)
			}) {
				t.Errorf("check %s did not find %q as %s in %+v", tt.check, tt.want, tt.level, findings)
			}
			if (code != 0) != (tt.level == doctor.Wrong) {
				t.Errorf("exit code %d in %+v", code, findings)
			}
		})
	}
	s := healthySite(t, "Doors=yes")
	s.deploy(s.write("fleets.yaml", officeFleet))
	findings, code := s.examine("--probe") // whose outcome has another id, behind doors
	if last := findings[len(findings)-1]; code != 0 || last.Check != "probe" || last.Level != doctor.Good {
		t.Errorf("exit code %d, %+v", code, findings)
	}
}

// The second function has to be the first one's like, and to be the only one that
// requests come to.
func TestTheDoctorKnowsShares(t *testing.T) {
	change := func(f func(a *control.Account)) func(*site) { return func(s *site) { s.cloud.Control.Change(f) } }
	second := func(f func(*control.Function)) func(*site) {
		return change(func(a *control.Account) { f(a.Functions["regild-requests"]) })
	}
	for name, tt := range map[string]struct {
		ail   func(*site)
		level doctor.Level
		want  string
	}{
		"as it should be":    {func(*site) {}, doctor.Good, "requests have regild-requests, with instances of its own"},
		"not switched on":    {func(s *site) { s.env["REGILD_SHARES"] = "no" }, doctor.Good, "can take all of them"},
		"not deployed":       {change(func(a *control.Account) { delete(a.Functions, "regild-requests") }), doctor.Wrong, "there is no function regild-requests"},
		"another journal":    {second(func(f *control.Function) { f.Env["REGILD_JOURNAL"] = "oss://other/regild" }), doctor.Wrong, "regild-requests: REGILD_JOURNAL is"},
		"another region":     {second(func(f *control.Function) { f.Env["REGILD_REGIONS"] = "cn-shanghai" }), doctor.Wrong, "its settings are not those of regild"},
		"another build":      {second(func(f *control.Function) { f.CodeChecksum = "1" }), doctor.Wrong, "regild-requests: another build"},
		"no queue":           {second(func(f *control.Function) { delete(f.Triggers, "queue") }), doctor.Wrong, "regild-requests: there is no trigger queue"},
		"stopped":            {second(func(f *control.Function) { *f.Concurrency = 0 }), doctor.Wrong, "regild-requests: the function is stopped"},
		"what fails is lost": {second(func(f *control.Function) { f.OnFailure = "" }), doctor.Wrong, "regild-requests: "},
		"the first one takes them too": {change(func(a *control.Account) {
			a.Functions["regild"].Triggers["topic"] = control.Trigger{Type: "mns_topic", Config: `{"notifyContentFormat": "JSON"}`}
		}), doctor.Wrong, "regild still has the trigger topic"},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthySite(t, "Doors=yes")
			s.env["REGILD_SHARES"] = "yes"
			s.cloud.Control.Change(func(a *control.Account) {
				first := a.Functions["regild"]
				copied, ten := *first, 10
				copied.Env, copied.Concurrency, copied.Triggers = maps.Clone(first.Env), &ten, map[string]control.Trigger{}
				for _, trigger := range []string{"topic", "queue"} {
					copied.Triggers[trigger] = first.Triggers[trigger]
					delete(first.Triggers, trigger)
				}
				a.Functions["regild-requests"] = &copied
			})
			tt.ail(s)
			findings, _ := s.examine()
			if !slices.ContainsFunc(findings, func(f doctor.Finding) bool {
				return f.Check == "shares" && f.Level == tt.level && strings.Contains(f.Text, tt.want) && (f.Do == "") == (tt.level == doctor.Good)
			}) {
				t.Errorf("no finding %q as %s in %+v", tt.want, tt.level, findings)
			}
		})
	}
}

// Who has set up before there were shares needs nothing new before they are switched on.
func TestTheTopicsRoleNeedsTheSecondFunctionOnlyWhereThereIsOne(t *testing.T) {
	s := healthySite(t, "Doors=yes")
	s.cloud.Control.Change(func(a *control.Account) {
		for name, text := range a.Roles["aliyunmnsnotificationrole"].Policies {
			if !strings.Contains(text, "functions/regild-requests") {
				t.Errorf("the policy does not name the second function: %s", text)
			}
			a.Roles["aliyunmnsnotificationrole"].Policies[name] = strings.ReplaceAll(text, "functions/regild-requests", "functions/regild")
		}
	})
	for shares, want := range map[string]doctor.Level{"no": doctor.Good, "yes": doctor.Wrong} {
		s.env["REGILD_SHARES"] = shares
		findings, _ := s.examine()
		if !slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Check == "topic role" && f.Level == want }) {
			t.Errorf("with shares %s the role is not %s: %+v", shares, want, findings)
		}
	}
}

func TestTheDoctorExplainsItselfWithoutLooking(t *testing.T) {
	s := newSite(t)
	out := s.must("against stand-ins only", "doctor", "--explain")
	for _, c := range doctor.Checks() {
		if !strings.Contains(out, c.Name+"\n  looks at  "+c.Looks) {
			t.Errorf("%s is not explained", c.Name)
		}
	}
}
