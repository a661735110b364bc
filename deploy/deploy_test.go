package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A stage is a directory with the files that deploy.sh reads, and stand-ins for
// the commands that it runs.
type stage struct {
	t    *testing.T
	dir  string
	vars []string
}

func newStage(t *testing.T, state string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), vars: []string{"PATH=" + os.Getenv("PATH"), "S=./s", "REGILD=./regild", "REGILD_ACCOUNT=1234567890123456", "REGILD_REGION=cn-hangzhou", "REGILD_JOURNAL="}}
	script, err := os.ReadFile("deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	s.write("deploy/deploy.sh", string(script))
	s.write("s.yaml", string(source(t)))
	s.write("fleets.yaml", "fleets: []\n")
	s.write("regild.env", "REGILD_JOURNAL=oss://a/b\n")
	// Each prints what it was asked, s also the concurrency that it would deploy.
	s.write("s", "#!/bin/sh\necho \"s $* journal=$REGILD_JOURNAL\" >>log\ncp \"$3\" deployed\ncp \"$3\" \"deployed.$3\"\nsed -n 's/^ *\\(reservedConcurrency: .*\\)/\\1/p' \"$3\" >>log\necho \"$default_serverless_devs_access\" >access\n")
	s.write("regild", "#!/bin/sh\necho \"regild $*\" >>log\ncase \"$1\" in stop) "+state+";; esac\n")
	return s
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) run(vars ...string) (out, log string, err error) {
	s.t.Helper()
	c := exec.Command("sh", "deploy/deploy.sh")
	c.Dir, c.Env = s.dir, append(slices.Clone(s.vars), vars...)
	text, err := c.CombinedOutput()
	written, _ := os.ReadFile(filepath.Join(s.dir, "log")) // absent: nothing was run
	return string(text), string(written), err
}

func TestADeploymentNamesEveryTriggerAndUsesWhatSetupWrote(t *testing.T) {
	s := newStage(t, "echo running")
	s.write("regild.env", "# by setup\nREGILD_JOURNAL=oss://a/b\nREGILD_REGION=cn-beijing\n")
	out, log, err := s.run("ALIBABA_CLOUD_ACCESS_KEY_ID=id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=secret")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"regild check --deploy fleets.yaml", "s deploy -t s.yaml -a default --assume-yes journal=oss://a/b\nreservedConcurrency: 10",
		"--trigger topic", "--trigger sweep", "--trigger queue", "--trigger image"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in\n%s", want, log)
		}
	}
	access, err := os.ReadFile(filepath.Join(s.dir, "access"))
	if err != nil || !strings.Contains(string(access), `"AccessKeyID":"id","AccessKeySecret":"secret"`) || strings.Contains(out+log, "secret") {
		t.Errorf("got %s, %v", access, err)
	}
}

// Found wrong: a deployment wrote the concurrency of s.yaml, and so started in
// silence what somebody had stopped.
func TestADeploymentLeavesAStoppedFunctionStopped(t *testing.T) {
	s := newStage(t, "echo stopped")
	out, log, err := s.run()
	if err != nil || !strings.Contains(out, "The function is stopped, and stays so") || strings.Contains(log, "reservedConcurrency: 10") ||
		strings.Count(log, "reservedConcurrency: 0") != 5 {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "s.deployed.yaml")); err == nil {
		t.Error("s.deployed.yaml was left")
	}
	out, log, err = newStage(t, "echo stopped").run("START=1")
	if err != nil || !strings.Contains(log, "reservedConcurrency: 10") {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
	out, log, err = newStage(t, "exit 1").run()
	if err == nil || !strings.Contains(out, "cannot see whether the function is stopped") || strings.Contains(log, "s deploy") {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
}

// What setup says of doors is enough: nobody has to edit s.yaml.
func TestADeploymentOpensTheDoorsThatAreSet(t *testing.T) {
	for name, tt := range map[string]struct {
		env              string
		settings, opened []string
		says             string
	}{
		"none":         {"", nil, nil, ""},
		"empty":        {"REGILD_CONTROL_QUEUE=\nREGILD_RELEASE_QUEUE=\n", nil, nil, ""},
		"both":         {"REGILD_CONTROL_QUEUE=c\nREGILD_RELEASE_QUEUE=queues/r\n", []string{"REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE"}, []string{"control", "releases"}, ""},
		"one queue":    {"REGILD_CONTROL_QUEUE=c\nREGILD_RELEASE_QUEUE=queues/c\n", []string{"REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE"}, []string{"control"}, ""},
		"control only": {"REGILD_CONTROL_QUEUE=c\n", []string{"REGILD_CONTROL_QUEUE"}, []string{"control"}, ""},
		"a topic":      {"REGILD_RELEASE_QUEUE=topics/r\n", []string{"REGILD_RELEASE_QUEUE"}, []string{"releases-topic"}, "REGILD_RELEASE_QUEUE is a topic"},
		"one topic":    {"REGILD_CONTROL_QUEUE=topics/t\nREGILD_RELEASE_QUEUE=topics/t\n", []string{"REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE"}, []string{"control-topic"}, "REGILD_CONTROL_QUEUE is a topic"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "echo running")
			s.write("regild.env", "REGILD_JOURNAL=oss://a/b\n"+tt.env)
			out, log, err := s.run()
			if err != nil || !strings.Contains(out, tt.says) {
				t.Fatalf("%v\n%s", err, out)
			}
			text, err := os.ReadFile(filepath.Join(s.dir, "deployed"))
			if err != nil {
				t.Fatal(err)
			}
			p := propsOf(t, text)
			for _, setting := range []string{"REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE"} {
				if _, there := dig(t, p, "environmentVariables")[setting]; there != slices.Contains(tt.settings, setting) {
					t.Errorf("%s is set: %v", setting, there)
				}
			}
			for _, name := range []string{"control", "releases", "control-topic", "releases-topic"} {
				if opened := slices.Contains(tt.opened, name); strings.Contains(log, "--trigger "+name+" ") != opened || regexp.MustCompile(`(?m)^ *- triggerName: `+name+`$`).Match(text) != opened {
					t.Errorf("trigger %s: want %v in\n%s", name, opened, log)
				}
			}
			if _, err := os.Stat(filepath.Join(s.dir, "s.deployed.yaml")); err == nil {
				t.Error("s.deployed.yaml was left")
			}
		})
	}
}

// A line in regild.env is enough for requests to have a function of their own, that
// differs from the other in its name and its triggers alone.
func TestADeploymentGivesRequestsAShareOfTheirOwn(t *testing.T) {
	const doors = "REGILD_CONTROL_QUEUE=c\nREGILD_RELEASE_QUEUE=r\n"
	s := newStage(t, "echo running")
	s.write("regild.env", "REGILD_JOURNAL=oss://a/b\nREGILD_SHARES=yes\n"+doors)
	out, log, err := s.run()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	names := func(p map[string]any) (out []string) {
		for _, element := range p["triggers"].([]any) {
			out = append(out, element.(map[string]any)["triggerName"].(string))
		}
		return out
	}
	read := func(name string) map[string]any {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return propsOf(t, text)
	}
	first, second := read("deployed.s.deployed.yaml"), read("deployed.s.requests.yaml")
	if got, want := names(second), []string{"topic", "queue"}; !slices.Equal(got, want) {
		t.Errorf("requests have the triggers %q, want %q", got, want)
	}
	if got, want := names(first), []string{"sweep", "control", "releases", "image"}; !slices.Equal(got, want) {
		t.Errorf("the other function has the triggers %q, want %q", got, want)
	}
	if a, b := first["functionName"], second["functionName"]; b != a.(string)+Requests {
		t.Errorf("the functions are called %v and %v", a, b)
	}
	for _, p := range []map[string]any{first, second} {
		delete(p, "triggers")
		delete(p, "functionName")
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("the two differ:\n%v\n%v", first, second)
	}
	if strings.Index(log, "s.requests.yaml") > strings.Index(log, "s.deployed.yaml") || strings.Count(log, "--trigger queue ") != 1 {
		t.Errorf("requests are without a function for a while, or have two:\n%s", log)
	}
	for env, want := range map[string]string{"REGILD_SHARES=yes\n": "needs doors", "REGILD_SHARES=2\n" + doors: "write yes or no"} {
		s := newStage(t, "echo running")
		s.write("regild.env", "REGILD_JOURNAL=oss://a/b\n"+env)
		if out, log, err := s.run(); err == nil || !strings.Contains(out, want) || strings.Contains(log, "s deploy") {
			t.Errorf("%q: got %v, %s\n%s", env, err, out, log)
		}
	}
}

// Found wrong: the example fleets.yaml was deployed as it is.
func TestADeploymentRefusesTheExampleAndAMissingAccount(t *testing.T) {
	s := newStage(t, "echo running")
	s.write("regild", "#!/bin/sh\necho \"regild $*\" >>log\ncase \"$1\" in check) echo \"fleet office is the example's\" >&2; exit 1;; esac\n")
	out, log, err := s.run()
	if err == nil || !strings.Contains(out, "is the example's") || strings.Contains(log, "s deploy") {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
	s = newStage(t, "echo running")
	s.vars = s.vars[:3]
	if out, log, err := s.run(); err == nil || !strings.Contains(out, "make setup") || log != "" {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
	// Deployed from a place that does not know the journal, the function would have another one.
	s = newStage(t, "echo running")
	s.write("regild.env", "")
	if out, log, err := s.run(); err == nil || !strings.Contains(out, "must not change its journal by accident") || log != "" {
		t.Errorf("got %v, %s\n%s", err, out, log)
	}
	s = newStage(t, "echo running")
	s.write("regild.env", "A;reboot=1\n")
	if out, _, err := s.run(); err == nil || !strings.Contains(out, "is not the name of a variable") {
		t.Errorf("got %v, %s", err, out)
	}
}

// Found wrong: the trigger for new images was on from the first deployment, and
// the component was whatever the registry called the latest.
func TestTheImageTriggerIsOffAndTheComponentIsPinned(t *testing.T) {
	p := props(t)
	for name, want := range map[string]bool{"image": false, "queue": true} {
		if got := dig(t, trigger(t, p, name), "triggerConfig")["triggerEnable"]; got != want {
			t.Errorf("trigger %s: got %v, want %v", name, got, want)
		}
	}
	if !regexp.MustCompile(`(?m)^ *component: fc3@[0-9]+\.[0-9]+\.[0-9]+$`).Match(source(t)) {
		t.Error("the component has no version")
	}
}

// Found wrong: the deployer's policy named service-linked roles that the
// component does not make, and missed what it calls first of all.
func TestTheDeployerMayDoWhatTheComponentDoes(t *testing.T) {
	var actions, roles []string
	for _, s := range load(t, "../docs/ram/deployer.json").Statement {
		actions = append(actions, s.Action...)
		roles = append(roles, s.Condition["StringEquals"]["ram:ServiceName"]...)
	}
	for _, want := range []string{"ram:CheckServiceLinkedRoleExistence", "ram:CreateServiceLinkedRole", "fc:GetTempBucketToken", "fc:GetConcurrencyConfig", "ram:PassRole"} {
		if !slices.Contains(actions, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, want := range []string{"sendevent-mns", "source-cms", "source-actiontrail"} {
		if !slices.Contains(roles, want+".eventbridge.aliyuncs.com") {
			t.Errorf("the role of %s may not be made", want)
		}
	}
	text, err := os.ReadFile("../docs/ram.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[int]string{3: "three", 4: "four", 5: "five"}
	if !strings.Contains(string(text), "Of the "+words[len(roles)]+" names under `ram:ServiceName`") {
		t.Errorf("docs/ram.md does not count %d names", len(roles))
	}
}

// Found wrong: the runbook told operators to run commands that their policy
// refuses, to look at a metric that MNS lacks, and nobody spoke of the index or
// of who may create images.
func TestTheDocumentsSayWhatIsNeeded(t *testing.T) {
	for file, wants := range map[string][]string{
		"../docs/runbook.md": {"ActiveMessages", "regild stop", "index", "ram/doctor.json"},
		"../docs/ram.md":     {"`ecd:CreateImage`", "`ecd:CopyImage`", "`ecd:UploadImage`", "approval"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not name %s", file, want)
			}
		}
		for _, wrong := range []string{"bin/s info", "ge of the oldest message in"} {
			if strings.Contains(string(text), wrong) {
				t.Errorf("%s still says %q", file, wrong)
			}
		}
	}
}
