package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
)

// A site is an account of the local cloud that regild is run against.
type site struct {
	t     *testing.T
	cloud *localcloud.Cloud
	env   map[string]string
	host  *fc.Host
	file  string // regild.env
	in    string // what is typed
}

// ownAccount is the account of a site that is given none.
const ownAccount = "1234567890123456"

func newSite(t *testing.T, of ...fc.Function) *site {
	t.Helper()
	state, err := localcloud.Parse([]byte(desktops))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t}
	options := localcloud.Options{Empty: true, State: state, Invoker: s}
	for _, f := range of {
		options.Function = f
	}
	cloud, err := localcloud.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	keys := cloud.Keys()
	*s = site{t: t, cloud: cloud, file: filepath.Join(t.TempDir(), "regild.env"), env: map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token,
		"REGILD_REGION": "cn-hangzhou", "REGILD_ECD_ENDPOINT": cloud.ECDURL, "REGILD_MNS_ENDPOINT": cloud.MNSURL, "REGILD_OSS_ENDPOINT": cloud.OSSURL}}
	return s
}

// desktops are what a site has: triggers on two queues that setup makes if it is
// asked for doors, 40 desktops that a fleet selects by a tag, one that none does, and
// another account with three, which have the ids of some of these.
const desktops = `
clock: {rate: 60}
queues: [{name: regild-control}, {name: regild-releases}]
trigger: {queues: [regild-control, regild-releases]}
images:
  - {id: m-old, regionId: cn-hangzhou, name: win11-office, created: 2026-10-06T02:30:00Z}
  - {id: m-new, regionId: cn-hangzhou, name: win11-office, created: 2026-11-20T02:30:00Z}
desktops:
  - {id: "ecd-pc%02d", regionId: cn-hangzhou, imageId: m-old, count: 40, tags: {fleet: office}}
  - {id: "ecd-lab", regionId: cn-hangzhou, imageId: m-old}
accounts:
  - id: "2000000000000002"
    roles: [{name: regild-member, trusts: [acs:ram::1234567890123456:role/regild-function], externalId: tools-7}]
    images: [{id: m-tools, regionId: cn-hangzhou, name: win11-office}]
    desktops: [{id: "ecd-pc%02d", regionId: cn-hangzhou, imageId: m-tools, count: 3}]
`

// InvokeEvent hands an event to the function that was deployed last.
func (s *site) InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error) {
	return s.host.InvokeEvent(ctx, e)
}

// deploy does what make deploy does: it starts the function with what setup
// wrote, lets the queue's stream run, and notes it where Function Compute's API
// shows it.
func (s *site) deploy(fleets string) {
	s.t.Helper()
	file, err := envfile.Read(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	keys := s.cloud.Keys()
	env := []string{"REGILD_ECD_ENDPOINT=" + s.cloud.ECDURL, "REGILD_MNS_ENDPOINT=" + s.cloud.MNSURL, "REGILD_OSS_ENDPOINT=" + s.cloud.OSSURL,
		"REGILD_STS_ENDPOINT=" + s.cloud.ControlURL, "REGILD_CLOCK=" + s.cloud.AdminURL + "/clock", "REGILD_FLEETS=" + fleets}
	for _, name := range []string{"REGILD_REQUEST_QUEUE", "REGILD_RESULT_TOPIC", "REGILD_JOURNAL", "REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE"} {
		env = append(env, name+"="+file[name])
	}
	s.host, err = fc.Start(s.t.Context(), fc.Function{Path: builtFunction(s.t), Env: env, Keys: func() fc.Keys { return keys }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.host.Stop(context.Background()) })
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.cloud.Bridge.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-ended })
	for _, door := range s.cloud.Doors {
		closed := make(chan struct{})
		go func() { defer close(closed); _ = door.Run(ctx) }()
		s.t.Cleanup(func() { <-closed })
	}
}

// builtFunction returns the function's binary, built once for all tests.
func builtFunction(t *testing.T) string {
	t.Helper()
	path, err := buildFunction()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildFunction = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "regild-function")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "main")
	out, err := exec.Command("go", "build", "-o", path, module).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the function: %w: %s", err, out)
	}
	return path, nil
})

// write puts a file into the site's directory and returns its path.
func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.file), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// remove takes a file of the site's directory away.
func (s *site) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(filepath.Dir(s.file), name)); err != nil {
		s.t.Fatal(err)
	}
}

// office is a careful fleets.yaml of the site.
const officeFleet = `
fleets:
  - name: office
    region: cn-hangzhou
    images: ["win11-office"]
    select: {tags: {fleet: office}}
    requests: true
    strategy:
      windows: [{from: "20:00", to: "06:00", zone: Asia/Shanghai}]
`

// The way of a newcomer: an empty account, setup, the function, a request, and
// its outcome on the queue that setup made.
func TestFromAnEmptyAccountToTheFirstOutcome(t *testing.T) {
	s := newSite(t)
	s.must("done; the names are in", setupArgs...)
	s.deploy(s.write("fleets.yaml", officeFleet))
	t.Chdir(filepath.Dir(s.file)) // whose regild.env says all that is needed
	delete(s.env, "REGILD_REGION")
	if out, code := s.regildPlain("request", "send", "ecd-pc01", "--image", "m-new", "--id", "first", "--yes"); code != 0 {
		t.Fatal(out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		messages := s.cloud.MNS.Receive(ctx, "regild-outcomes", 16, 30*time.Second)
		if ctx.Err() != nil {
			t.Fatal("no outcome came within a minute")
		}
		for _, m := range messages {
			var e struct {
				Data struct{ RequestID, DesktopID, Status string }
			}
			if err := json.Unmarshal(m.Body, &e); err != nil {
				t.Fatalf("the queue has something else than an outcome: %v: %s", err, m.Body)
			}
			if e.Data.RequestID == "first" && e.Data.DesktopID == "ecd-pc01" && e.Data.Status == "accepted" {
				return
			}
		}
	}
}

// Whoever asks setup for doors has them after the next deployment, with nothing
// to edit.
func TestFromAnEmptyAccountToDoors(t *testing.T) {
	s := newSite(t)
	s.must("done; the names are in", append(setupArgs, "--set", "Doors=yes")...)
	env, err := envfile.Read(s.file)
	if err != nil || env["REGILD_CONTROL_QUEUE"] != "regild-control" || env["REGILD_RELEASE_QUEUE"] != "regild-releases" {
		t.Fatalf("got %v, %v", env, err)
	}
	s.cloud.Control.Change(func(a *control.Account) {
		if p := a.Roles["regild-function"].Policies["regild-function-doors"]; !strings.Contains(p, "/queues/regild-control/messages") {
			t.Errorf("the function may not put ticks on the control queue: %s", p)
		}
	})
	s.deploy(s.write("fleets.yaml", officeFleet))
	lift := func(id, queue string) { // a freeze that there is not: every answer is a refusal

		t.Helper()
		if out, code := s.regildPlain("send", "freeze", "--freeze", id, "--action", "lift", "--by", "me", "--reason", "a test",
			"--region", "cn-hangzhou", "--queue", queue, "--account", "1234567890123456", "--endpoint", s.cloud.MNSURL); code != 0 {
			t.Fatal(out)
		}
	}
	lift("wrong-door", "regild-requests")
	s.hears("wrong-door", "WrongDoor")
	lift("right-door", "regild-control")
	s.hears("right-door", "there is no freeze right-door in the journal")
	// And back: never before the function was deployed without them.
	s.fails("the function may still use queue regild-control", append(setupArgs, "--set", "Doors=no")...)
	if _, there := s.cloud.MNS.Queue("regild-control"); !there {
		t.Error("the queue was deleted")
	}
	s.write("regild.env", regexp.MustCompile("REGILD_(CONTROL|RELEASE)_QUEUE=.*\n").ReplaceAllString(string(mustRead(t, s.file)), ""))
	s.must("done; the names are in", append(setupArgs, "--set", "Doors=no")...)
	if env, err = envfile.Read(s.file); err != nil || env["REGILD_CONTROL_QUEUE"] != "" || env["REGILD_RELEASE_QUEUE"] != "" {
		t.Errorf("got %v, %v", env, err)
	}
}

// hears waits for a message on the outcomes queue that has both texts.
func (s *site) hears(one, two string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		messages := s.cloud.MNS.Receive(ctx, "regild-outcomes", 16, 30*time.Second)
		if ctx.Err() != nil {
			s.t.Fatalf("no message with %q and %q came within a minute", one, two)
		}
		for _, m := range messages {
			if text := string(m.Body); strings.Contains(text, one) && strings.Contains(text, two) {
				return
			}
		}
	}
}

// Names of roles and policies count in all regions, and those of queues in one:
// two deployments need names of their own, and files of their own.
func TestTwoDeploymentsOfOneAccount(t *testing.T) {
	s := newSite(t)
	s.cloud.Control.Change(func(a *control.Account) { a.AtOnce = true })
	s.must("done; the names are in", setupArgs...)
	first := mustRead(t, s.file)
	s.fails("is of another deployment: it has REGILD_NAME=regild, and this one is staging", append(setupArgs, "--name", "staging")...)
	s.fails(`a name has up to 20 lower-case letters`, append(setupArgs, "--name", "Staging")...)
	s.fails("--set Name: use --name", append(setupArgs, "--set", "Name=staging")...)
	if string(mustRead(t, s.file)) != string(first) {
		t.Error("the file of the first deployment was changed")
	}
	s.file = filepath.Join(t.TempDir(), "staging.env")
	s.must("done; the names are in", append(setupArgs, "--name", "staging", "--set", "Doors=yes", "--set", "ContactGroup=oncall")...)
	env, err := envfile.Read(s.file)
	for name, want := range map[string]string{"REGILD_NAME": "staging", "REGILD_REQUEST_QUEUE": "staging-requests", "REGILD_CONTROL_QUEUE": "staging-control",
		"REGILD_JOURNAL": "oss://staging-journal-1234567890123456-cn-hangzhou/regild"} {
		if env[name] != want {
			t.Errorf("%s: got %q (%v), want %q", name, env[name], err, want)
		}
	}
	s.must("nothing to change", setupArgs...) // the file says which deployment is meant
	s.cloud.Control.Change(func(a *control.Account) {
		a.Functions["staging"] = &control.Function{}
		if a.Roles["staging-function"] == nil || a.Roles["regild-function"] == nil || !a.Alarms["staging: messages stay in staging-control"] {
			t.Errorf("got roles %v, alarms %v", a.Roles, a.Alarms)
		}
	})
	s.must("staging in cn-hangzhou is stopped", "stop")
	s.in = "cn-hangzhou\n"
	s.must("roles and policies of staging in cn-hangzhou", "setup", "--remove", "--poll", "1ns")
	if _, there := s.cloud.MNS.Queue("regild-requests"); !there {
		t.Error("the other deployment was taken away")
	}
}

// regildPlain runs a command that knows nothing of accounts.
func (s *site) regildPlain(args ...string) (string, int) {
	s.t.Helper()
	var b strings.Builder
	w := world{out: &b, err: &b, in: strings.NewReader(""), lookup: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }}
	code := run(s.t.Context(), w, args)
	return b.String(), code
}

func (s *site) regild(args ...string) (out string, code int) {
	s.t.Helper()
	var b strings.Builder
	w := world{out: &b, err: &b, in: strings.NewReader(s.in), lookup: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }}
	code = run(s.t.Context(), w, append(args, "--endpoint", s.cloud.ControlURL, "--env-file", s.file))
	if secret := s.env["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]; secret != "" && strings.Contains(b.String(), secret) {
		s.t.Errorf("%v told a secret", args)
	}
	return b.String(), code
}

// must runs regild and demands that it works and says want.
func (s *site) must(want string, args ...string) string {
	s.t.Helper()
	out, code := s.regild(args...)
	if code != 0 || !strings.Contains(out, want) {
		s.t.Fatalf("%v: exit code %d, want %q in\n%s", args, code, want, out)
	}
	return out
}

// fails runs regild and demands that it does not work and says why.
func (s *site) fails(want string, args ...string) {
	s.t.Helper()
	if out, code := s.regild(args...); code == 0 || !strings.Contains(out, want) {
		s.t.Fatalf("%v: exit code %d, want %q in\n%s", args, code, want, out)
	}
}

var setupArgs = []string{"setup", "--poll", "1ns"}

func TestSetupMakesEverythingAndMayBeRunAgain(t *testing.T) {
	s := newSite(t)
	out := s.must("37 changes; nothing was done", "setup", "--dry-run")
	if !strings.Contains(out, "make       RequestQueue             MNS Queue") {
		t.Errorf("got\n%s", out)
	}
	if _, there := s.cloud.MNS.Queue("regild-requests"); there {
		t.Error("a dry run made a queue")
	}
	out = s.must("done; the names are in", setupArgs...)
	if !strings.Contains(out, "made         RequestQueue             MNS Queue") {
		t.Errorf("got\n%s", out)
	}
	env, err := envfile.Read(s.file)
	for name, want := range map[string]string{
		"REGILD_ACCOUNT": "1234567890123456", "REGILD_REGION": "cn-hangzhou", "REGILD_REQUEST_QUEUE": "regild-requests", "REGILD_RESULT_TOPIC": "regild-outcomes",
		"REGILD_OUTCOMES_QUEUE": "regild-outcomes", "REGILD_JOURNAL": "oss://regild-journal-1234567890123456-cn-hangzhou/regild",
		"REGILD_LOG_PROJECT": "regild-1234567890123456-cn-hangzhou", "REGILD_LOGSTORE": "function",
	} {
		if env[name] != want {
			t.Errorf("%s: got %q (%v), want %q", name, env[name], err, want)
		}
	}
	if subs, _ := s.cloud.MNS.Subscriptions("regild-outcomes"); subs["regild-outcomes"].Format != "SIMPLIFIED" {
		t.Errorf("got subscriptions %v", subs)
	}
	s.cloud.Control.Change(func(a *control.Account) {
		if p := a.Roles["regild-function"].Policies["regild-function"]; !strings.Contains(p, "acs:mns:cn-hangzhou:1234567890123456:/queues/regild-requests/messages") {
			t.Errorf("got policy %s", p)
		}
	})
	s.must("0 changes; nothing was done", "setup", "--dry-run")
	s.must("nothing to change", setupArgs...)
	// What was set stays, and what is added by hand stays in the file.
	if err := os.WriteFile(s.file, append(envfile.Format([]envfile.Line{{Name: "REGILD_REGIONS", Value: "cn-hangzhou,cn-shanghai"}}), mustRead(t, s.file)...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("made         AlarmRequests", append(setupArgs, "--set", "ContactGroup=oncall")...)
	s.must("nothing to change", setupArgs...)
	if env, err = envfile.Read(s.file); err != nil || env["REGILD_REGIONS"] != "cn-hangzhou,cn-shanghai" {
		t.Errorf("got %v, %v", env, err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatSetupLeftHalfDoneASecondRunMends(t *testing.T) {
	s := newSite(t)
	s.cloud.Control.Change(func(a *control.Account) { a.Taken["regild-1234567890123456-cn-hangzhou"] = true })
	s.fails("the log project regild-1234567890123456-cn-hangzhou belongs to somebody else", setupArgs...)
	// A queue of the same name, found only while ROS is at it: it takes back what it made.
	s.cloud.Control.Change(func(a *control.Account) { clear(a.Taken) })
	s.cloud.MNS.CreateQueue("regild-requests", mns.QueueAttributes{})
	s.fails("RequestQueue: there is a queue of this name already", setupArgs...)
	if _, there := s.cloud.MNS.Queue("regild-dead-letters"); there {
		t.Error("the dead-letter queue was left")
	}
	if _, err := os.Stat(s.file); err == nil {
		t.Error("regild.env was written all the same")
	}
	s.cloud.MNS.RemoveQueue("regild-requests")
	s.must("changes; nothing was done", "setup", "--dry-run")
	out := s.must("done; the names are in", setupArgs...)
	if !strings.Contains(out, "an earlier creation failed (CREATE_ROLLBACK_COMPLETE)") {
		t.Errorf("got\n%s", out)
	}
}

func TestRemoveAsksAndKeepsWhatWasDone(t *testing.T) {
	s := newSite(t)
	s.must("there is nothing to take away", "setup", "--remove", "--yes")
	s.must("done; the names are in", setupArgs...)
	s.cloud.OSS.Append("regild-journal-1234567890123456-cn-hangzhou", "regild/fleet/a.jsonl", []byte("{}\n"))
	s.in = "yes\n"
	s.fails("nothing was taken away", "setup", "--remove", "--poll", "1ns")
	s.in = "cn-hangzhou\n"
	if out := s.must("bucket and logs are still there", "setup", "--remove", "--poll", "1ns"); !strings.Contains(out, "kept         Bucket") || strings.Contains(out, "taken away   Bucket") {
		t.Errorf("got\n%s", out)
	}
	if _, there := s.cloud.MNS.Queue("regild-requests"); there {
		t.Error("the queue was left")
	}
	if _, there := s.cloud.OSS.Object("regild-journal-1234567890123456-cn-hangzhou", "regild/fleet/a.jsonl"); !there {
		t.Error("the journal was taken away")
	}
	s.must("done; the names are in", setupArgs...) // finds bucket and logs
	if _, there := s.cloud.MNS.Queue("regild-requests"); !there {
		t.Error("the queue was not made again")
	}
}

func TestSetupSaysInASentenceWhatIsWrong(t *testing.T) {
	s := newSite(t)
	s.fails(`--set "x": write Name=value`, "setup", "--set", "x")
	s.fails("the template has no such parameter", append(setupArgs, "--set", "Nonsense=1")...)
	s.cloud.Control.Change(func(a *control.Account) { a.Denied["ros:ValidateTemplate"] = true })
	s.fails("may not call ValidateTemplate (NoPermission); regild setup --policy setup prints the rights", setupArgs...)
	s.cloud.Control.Change(func(a *control.Account) { clear(a.Denied) })
	s.cloud.Faults.Add(fault.Rule{Service: "control", Operation: "CreateStack", Kind: fault.CloseAfter, Times: 1})
	s.must("done; the names are in", setupArgs...) // the token makes the repetition harmless
	if n := s.cloud.Faults.Count("control", "CreateStack"); n != 3 {
		t.Errorf("CreateStack was called %d times, want 3: one was refused", n)
	}
	s.env["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "LTAI"
	s.fails("the access key is not known", setupArgs...)
	delete(s.env, "ALIBABA_CLOUD_ACCESS_KEY_ID")
	s.fails("there are no credentials", setupArgs...)
	s.env["REGILD_REGION"] = "Hangzhou"
	s.fails(`"Hangzhou" is not a region`, setupArgs...)
}

// Whether ROS keeps what an update takes out of a template is not confirmed, so
// that a stack of another shape is not updated.
func TestAStackOfAnEarlierBuildIsNotUpdated(t *testing.T) {
	s := newSite(t)
	client, err := acs.New(acs.Config{Region: "cn-hangzhou", AccountID: "1234567890123456", Endpoint: s.cloud.ControlURL,
		Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys(s.cloud.Keys()), nil }})
	if err != nil {
		t.Fatal(err)
	}
	const old = "ROSTemplateFormatVersion: '2015-09-01'\nResources:\n  JournalBucket:\n    Type: ALIYUN::OSS::Bucket\n    DeletionPolicy: Retain\n    Properties: {BucketName: " + testBucket + "}\n"
	id, err := client.CreateStack(t.Context(), "regild", old, nil, "token")
	for range 3 {
		if err == nil {
			_, err = client.Stack(t.Context(), id)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.fails("the stack was made by an earlier build", setupArgs...)
	s.fails("the stack was made by an earlier build", "setup", "--dry-run")
	s.must("bucket and logs are still there", "setup", "--remove", "--yes", "--poll", "1ns")
	s.must("done; the names are in", setupArgs...)
	if _, there := s.cloud.OSS.Bucket(testBucket); !there {
		t.Error("the bucket was deleted")
	}
}

// Whoever administers the account has to give the rights before anybody can set
// up: one policy, with nothing left to fill in.
func TestSetupPrintsThePolicyThatItNeeds(t *testing.T) {
	s := newSite(t)
	s.env = map[string]string{} // no credentials are needed for it
	out := s.must(`"acs:mns:cn-hangzhou:1000000000000001:/queues/staging-*"`, "setup", "--policy", "setup,deployer", "--name", "staging", "--region", "cn-hangzhou", "--account", "1000000000000001")
	var v struct{ Statement []any }
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Statement) < 15 || strings.ContainsAny(out, "<>") {
		t.Errorf("%v, %d statements:\n%s", err, len(v.Statement), out)
	}
	for _, want := range []string{"ros:CreateStack", "fc:CreateFunction", "staging-journal-1000000000000001-cn-hangzhou", "role/staging-function"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	s.fails("docs/ram has no such policy", "setup", "--policy", "root", "--region", "cn-hangzhou", "--account", "1000000000000001")
	s.fails("print them one by one", "setup", "--policy", "setup,deployer,doctor,operator", "--region", "cn-hangzhou", "--account", "1000000000000001")
	s.fails("with --account no credentials are needed", "setup", "--policy", "setup", "--region", "cn-hangzhou")
}

// Found wrong: check took the example, and a fleet that is wide open, without a word.
func TestCheckRefusesTheExampleAndWarnsOfWhatIsWideOpen(t *testing.T) {
	out, errs, code := runRegild(t, "check", "--deploy", "../../fleets.yaml")
	if code != exitFailed || !strings.Contains(errs, "fleet office is the example's: put your own fleets in its place") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	open := filepath.Join(t.TempDir(), "fleets.yaml")
	if err := os.WriteFile(open, []byte("fleets:\n  - {name: a, region: cn-hangzhou, images: ['*'], select: all}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", open}, {"check", "--deploy", open}} {
		out, errs, code = runRegild(t, args...)
		if code != 0 || !strings.Contains(out, "warning: fleet a: images matches every name") || !strings.Contains(out, "warning: fleet a: select: all") {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, errs)
		}
	}
}
