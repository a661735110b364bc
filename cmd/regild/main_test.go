package main

import (
	"cmp"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// The whole show, with the real function, on a clock that stands still but for
// jumps: it ends by what happens and not by how fast.
func TestTheShowEndsAndKeepsItsPromise(t *testing.T) {
	dir := t.TempDir()
	function := filepath.Join(dir, "main")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", function, module).CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	store := "file://" + filepath.ToSlash(filepath.Join(dir, "journal"))
	out, errs, code := runRegild(t, "local", "--plain", "--rate", "0", "--function", function, "--journal", store)
	if code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	for _, want := range []string{
		"MalformedMessage", "SessionWait", "WindowClosed", "Soaking", "RebuildFailed",
		"outcomes    44 completed, 2 skipped, 4 refused, 2 failed",
		"deferred      NoticeGiven", "says not now (1 of 4): a measurement is running", "1 of the 1 desktops of wave 1 (canary) have failed, 0 may; it goes back by itself",
		"rollout     lab-7/lab/rollback, 1 wave: completed",
		"all 52 desktops have exactly one final outcome; 46 accepted, 46 wipes: none was wiped twice for one request",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for args, want := range map[string]string{
		"status " + store + " --all":                          "36 ended incomplete",
		"status " + store:                                     "nothing is open",
		"status " + store + " request/ticket-4711":            "ecd-helpdesk10",
		"report " + store + " rollout/2026.11.3/office":       "RebuildFailed",
		"report --json " + store + " request/ticket-4712":     `"from": "m-84mztzatmlhlp0000"`,
		"status " + store + " rollout/2026.11.3/office --all": "wave 3 (everybody), 23 desktops",
	} {
		if out, errs, code := runRegild(t, strings.Fields(args)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, %q is not in\n%s%s", args, code, want, out, errs)
		}
	}
}

func TestWhatIsAskedForWronglyIsExplained(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "fleets.yaml")
	if err := os.WriteFile(broken, []byte("fleets:\n  - name: A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args, want string
		code       int
	}{
		{"nix", `there is no command "nix"`, exitUsage},
		{"local --rate -2", "the clock does not run backwards", exitUsage},
		{"local --speed 3", "unknown flag: --speed", exitUsage},
		{"local and more", `"and" is one argument too many`, exitUsage},
		{"local --function /absent/main", "there is no function at /absent/main", exitFailed},
		{"local --event /absent.json", "reading an event", exitFailed},
		{"local --event " + empty, "it is empty", exitFailed},
		{"local --cloud /absent.yaml", "reading a state", exitFailed},
		{"local --fleets " + broken, "must have the key region", exitFailed},
		{"check " + broken, ":2:5: fleets[0]: must have the key region", exitFailed},
		{"check --desktops 0", "a fleet has 1 to", exitUsage},
		{"check --at noon", "write it like", exitUsage},
		{"check /absent.yaml", "there is no file /absent.yaml; name another with --fleets", exitFailed},
		{"plan", "--image and --fleet are needed", exitUsage},
		{"plan --fleets show/fleets.yaml --image m-1 --fleet nix", "there are office, lab, helpdesk", exitFailed},
		{"plan --fleets show/fleets.yaml --cloud show/cloud.yaml --image m-1 --fleet office", "no image m-1", exitFailed},
		{"plan --fleets ../../fleets.yaml --cloud show/cloud.yaml --image m-84mztzatmlnys0001 --fleet design",
			"fleet design does not follow image m-84mztzatmlnys0001 (win11-office", exitFailed},
		{"status", "name the journal", exitUsage},
		{"status /var/journal", "is a file:///dir meant?", exitFailed},
		{"status file:///absent", "there is no directory /absent", exitFailed},
		{"status file:///absent fleet/x", "names nothing", exitUsage},
		{"status fleet/x", "names nothing", exitUsage},
		{"status " + journalIn(t) + " request/x and", "one argument too many", exitUsage},
		{"status " + journalIn(t) + " request/x", "knows no request x", exitFailed},
		{"status oss://regild-journal/prod", "there are no credentials", exitFailed},
		{"status " + journalIn(t) + " rollout/x", "knows no rollout x; the id of a rollout is RELEASE/FLEET", exitFailed},
		{"report file:///absent", "name the rollout/ID", exitUsage},
		{"report " + journalIn(t) + " request/x --html", "knows no request x", exitFailed},
		{"report file:///absent request/x --file report.html", "add --html", exitUsage},
		{"report file:///absent request/x --plan plan.json", "add --html", exitUsage},
		{"completion foo", `regild completion: there is no command "regild completion foo"`, exitUsage},
		{"rollout frob", `regild rollout: there is no command "regild rollout frob"`, exitUsage},
		{"request send ecd-gx2x1dhsmucyy0001 --region cn-hangzhou --journal " + journalIn(t), "refuses without --consent reset", exitUsage},
		{"request send --image m-1", "name the desktops", exitUsage},
		{"release 1", "name the image: --image-in REGION=ID", exitUsage},
		{"send", "say what to send", exitUsage},
		{"send nonsense", `"nonsense" cannot be sent`, exitUsage},
		{"send release --image-in m-1", "write cn-hangzhou=m-", exitUsage},
		{"send request ecd-0001", "regionId: is missing", exitFailed},
		{"send control --rollout 1/f --action stop --by me --reason why", `action: "stop" is unknown`, exitFailed},
		{"send freeze --freeze f1 --action freeze --by me --reason why --in cn-hangzhou", "until: is missing", exitFailed},
		{"send control --rollout 1/f --action pause --by me --reason why --queue q --delay 169h", "a queue holds a message back for 168h0m0s at most", exitUsage},
		{"send control --rollout 1/f --action pause --by me --reason why --queue q --delay -1s", "a queue holds a message back", exitUsage},
		{"send control --rollout 1/f --action pause --by me --reason why --delay 1s", "--delay goes with --queue", exitUsage},
		{"send freeze --freeze f1 --action freeze --by me --reason why --in cn-hangzhou --until 2026-12-24T18:00:00Z --dry-run",
			"--dry-run does not go with a freeze; it is for a request or release or control", exitUsage},
		{"send control --rollout 1/f --action pause --by me --reason why --image m-1", "--image does not go with a control; it is for a request", exitUsage},
		{"send freeze --freeze f1 --action freeze --until soon --in cn-hangzhou", "--until is", exitUsage},
		{"send control --rollout 1/f --action pause --by me --reason why --queue q", "--account and --region, REGILD_ACCOUNT and REGILD_REGION", exitUsage},
	}
	for _, tt := range tests {
		out, errs, code := runRegild(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: got exit code %d, %q, want %d, %q", tt.args, code, errs, tt.code, tt.want)
		}
		if out != "" {
			t.Errorf("%s: wrote to standard output: %s", tt.args, out)
		}
	}
}

// journalIn returns the URL of an empty journal.
func journalIn(t *testing.T) string {
	t.Helper()
	return "file://" + filepath.ToSlash(t.TempDir())
}

func TestEveryCommandHasHelp(t *testing.T) {
	list, _, code := runRegild(t)
	if code != 0 {
		t.Errorf("exit code %d without arguments", code)
	}
	seen := 0
	for _, c := range rootCommand(world{}).Commands() {
		seen++
		if !strings.Contains(list, "  "+c.Name()+" ") || !strings.Contains(list, c.Short) {
			t.Errorf("%s is not in\n%s", c.Name(), list)
		}
	}
	if local, status := strings.Index(list, "  local "), strings.Index(list, "  status "); local < 0 || local > status || status > strings.Index(list, "  doctor ") {
		t.Errorf("they are not in the order of a newcomer:\n%s", list)
	}
	if seen < 7 {
		t.Errorf("only %d commands were found", seen)
	}
	for _, c := range allCommands(rootCommand(world{})) {
		name := strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), "regild"))
		out, errs, code := runRegild(t, append(strings.Fields(name), "--help")...)
		again, _, _ := runRegild(t, append([]string{"help"}, strings.Fields(name)...)...)
		if code != 0 || errs != "" || !strings.Contains(out, "  regild "+name) || out != again {
			t.Errorf("%s --help: exit code %d, %q\n%s\nand help %s\n%s", name, code, errs, out, name, again)
		}
		for l := range strings.Lines(out) {
			if columnsOf(l) > helpWidth+1 {
				t.Errorf("%s --help: too long for a terminal: %s", name, l)
			}
		}
		for line, next := range followed(c.Long) {
			if word, _, _ := strings.Cut(next, " "); columnsOf(line+" "+word) <= textWidth {
				t.Errorf("%s --help: a line breaks too early: %s", name, line)
			}
		}
	}
}

// followed yields each line of a paragraph with the one after it.
func followed(text string) iter.Seq2[string, string] {
	return func(yield func(line, next string) bool) {
		lines := strings.Split(text, "\n")
		for i, next := range lines[1:] {
			flows := !strings.HasPrefix(lines[i], " ") && !strings.HasPrefix(next, " ") && lines[i] != "" && next != ""
			if flows && !yield(lines[i], next) {
				return
			}
		}
	}
}

// allCommands returns the commands under c that are shown.
func allCommands(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			out = append(out, sub)
			out = append(out, allCommands(sub)...)
		}
	}
	return out
}

// What a shell completes, and how.
func TestShellsCompleteCommandsAndFlags(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, errs, code := runRegild(t, "completion", shell); code != 0 || errs != "" || !strings.Contains(out, "__complete") {
			t.Errorf("completion %s: exit code %d, %s\n%.200s", shell, code, errs, out)
		}
	}
	if out, _, code := runRegild(t, "__complete", "sta"); code != 0 || !strings.HasPrefix(out, "status\t") {
		t.Errorf("exit code %d, got %s", code, out)
	}
}

func TestFleetsAndPlansAreExplained(t *testing.T) {
	var explained []string
	for _, f := range office(t) {
		explained = append(explained, explain(f, 36, -1, start)...)
	}
	golden(t, "check", explained)
	state, err := showState()
	if err != nil {
		t.Fatal(err)
	}
	p, err := preview(t.Context(), office(t), state, operator.Release{ID: "2026.11.3", ImageID: "m-84mztzatmlnys0001", Fleet: "office"}, start)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan", planLines(p))
	if out, errs, code := runRegild(t, "check", "../../fleets.yaml", "--at", "2026-11-23T20:00:00+08:00"); code != 0 || !strings.Contains(out, "no fault") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// A plan asks for snapshots where the fleet keeps them, and says who is left out.
func TestAPlanReadsTheSnapshotsThatAFleetKeeps(t *testing.T) {
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fleets := file("fleets.yaml", `fleets: [{name: office, region: cn-hangzhou, images: [win11], select: all, rebuild: {keepSnapshots: user}}]`)
	cloud := file("cloud.yaml", `images: [{id: m-old, name: win11, created: 2026-10-01T00:00:00Z}, {id: m-new, name: win11, created: 2026-11-01T00:00:00Z}]
desktops:
  - {id: ecd-pc01, regionId: cn-hangzhou, imageId: m-old, snapshots: [{}]}
  - {id: ecd-pc02, regionId: cn-hangzhou, imageId: m-old}`)
	out, errs, code := runRegild(t, "plan", "--fleets", fleets, "--cloud", cloud, "--fleet", "office", "--image", "m-new")
	if code != 0 || !strings.Contains(out, "refuse") || !strings.Contains(out, "SnapshotsNeedConsent") || strings.Count(out, " rebuild ") != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestAPlanNamesTheWavesThatHaveNobody(t *testing.T) {
	got := strings.Join(planLines(events.Plan{Waves: []events.PlanWave{{N: 1, Name: "canary"}, {N: 3, Name: "wave 3"}, {N: 4, Name: "everybody"}}}), "\n")
	want := "wave 1 (canary), 0 desktops\n\nwave 2: nobody\n\nwave 3, 0 desktops\n\nwave 4 (everybody), 0 desktops"
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestTheDaysOfAWindowBeginWithMonday(t *testing.T) {
	w := fleet.Window{Days: []time.Weekday{time.Sunday, time.Saturday, time.Monday}, To: 60, Zone: time.UTC}
	if got, want := windowText(w), "Mon Sat Sun 00:00 to 01:00, UTC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a wave may lose is never more than what the rollout may.
func TestAWaveHaltsNoLaterThanTheRollout(t *testing.T) {
	s := fleet.Default()
	s.MaxFailures = fleet.Amount{}
	s.Approval = fleet.Approval{Waves: []int{1}}
	lines := explainWaves(s, 100, -1)
	for i, l := range lines {
		if !strings.Contains(l, "halts when more than 0 fail") {
			t.Errorf("wave %d: got %q", i+1, l)
		}
		if approves := strings.Contains(l, "has to approve"); approves != (i == 0) {
			t.Errorf("wave %d: got %q, want the approval after wave 1", i+1, l)
		}
	}
}

func TestWhatIsSentIsWhatTheFunctionReads(t *testing.T) {
	f := sendFlags{id: "1", source: "test", request: "r", region: "cn-hangzhou", image: "m-1", consent: []string{"sessions"}, dryRun: true,
		release: "2026.11.3", images: []string{"cn-hangzhou=m-1"}, rollout: "2026.11.3/office", action: events.ActionPause, by: "ann", reason: "a < b"}
	for kind, want := range map[string]string{
		"request": `"type":"regild.rebuild.requested.v1","id":"1","source":"test","time":"2026-11-23T11:00:00Z","datacontenttype":"application/json",` +
			`"data":{"consent":["sessions"],"desktopIds":["ecd-0001"],"dryRun":true,"imageId":"m-1","regionId":"cn-hangzhou","requestId":"r"}}`,
		"release":  `"data":{"dryRun":true,"images":{"cn-hangzhou":"m-1"},"releaseId":"2026.11.3"}}`,
		"control":  `"data":{"action":"pause","by":"ann","consent":["sessions"],"dryRun":true,"reason":"a < b","rolloutId":"2026.11.3/office"}}`,
		"control ": `"data":{"action":"rollback","by":"ann","consent":["sessions"],"dryRun":true,"reason":"a < b","requestId":"r"}}`,
	} {
		var rest []string
		f := f
		switch kind {
		case "request":
			rest = []string{"ecd-0001"}
		case "control":
			f.request = ""
		case "control ": // of a request
			kind, f.rollout, f.action = "control", "", events.ActionRollback
		}
		e, err := f.event(kind, rest, start, nil)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got, err := e.Marshal(); err != nil || !strings.HasSuffix(string(got), want) {
			t.Errorf("%s: got %s, %v, want it to end %s", kind, got, err, want)
		}
	}
}

// What the function refuses by its clock and its fleets alone is refused before it is sent, in
// its words and by its bounds.
func TestWhatTheFunctionWouldRefuseLaterIsRefusedAtOnce(t *testing.T) {
	at := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
	const week, season = rollout.MaxAhead, rollout.MaxFreeze
	request := func(f sendFlags) sendFlags { f.region, f.image = "cn-hangzhou", "m-1"; return f }
	freeze := func(f sendFlags) sendFlags {
		f.freeze, f.by, f.reason, f.in = "xmas", "ann", "holidays", []string{"cn-hangzhou"}
		f.action = cmp.Or(f.action, events.FreezeBegin)
		return f
	}
	for name, tt := range map[string]struct {
		kind string
		f    sendFlags
		want string
	}{
		"over":                    {"request", request(sendFlags{notBefore: at(0)}), "is over, and the function would begin at once; leave it out if that is meant"},
		"a week ahead":            {"request", request(sendFlags{notBefore: at(week)}), ""},
		"more than a week ahead":  {"request", request(sendFlags{notBefore: at(week + time.Second)}), "notBefore: is more than 7 days ahead; send the request later, as a new event"},
		"a week after it comes":   {"request", request(sendFlags{notBefore: at(week + time.Hour), delay: time.Hour}), ""},
		"the id of a rollout":     {"request", request(sendFlags{request: "2026.11.3/office"}), "is what a rollout over fleet office is called"},
		"the id of no rollout":    {"request", request(sendFlags{request: "2026.11.3/other"}), ""},
		"the id of a rollback":    {"request", request(sendFlags{request: "r1/rollback"}), "is what the rollback of another request is called"},
		"a season":                {"freeze", freeze(sendFlags{until: at(season)}), ""},
		"more than a season":      {"freeze", freeze(sendFlags{until: at(season + time.Second)}), "freeze xmas would last longer than 90 days; freeze anew before it ends"},
		"a season after it comes": {"freeze", freeze(sendFlags{until: at(season + time.Hour), delay: time.Hour}), ""},
		"a time that is over":     {"freeze", freeze(sendFlags{until: at(0)}), "freeze xmas would have ended at 2026-11-23T11:00:00Z, which is over"},
		"lifted at any time":      {"freeze", freeze(sendFlags{action: events.FreezeLift, in: nil}), ""},
	} {
		var rest []string
		if tt.kind == "request" {
			rest = []string{"ecd-0001"}
		}
		if tt.f.action == events.FreezeLift {
			tt.f.in = nil
		}
		if _, err := tt.f.event(tt.kind, rest, start, office(t)); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// Where there is a local cloud, its clock is the function's.
func TestTheTimeIsThatOfTheFunction(t *testing.T) {
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"now": "2026-11-23T11:00:00Z"}`)
	}))
	defer cloud.Close()
	env := map[string]string{"REGILD_CLOCK": cloud.URL, "REGILD_REGION": "cn-hangzhou"}
	send := func(notBefore string) (string, int) {
		var out strings.Builder
		w := world{out: &out, err: &out, lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
		code := run(t.Context(), w, []string{"send", "request", "ecd-0001", "--image", "m-1", "--not-before", notBefore})
		return out.String(), code
	}
	if out, code := send("2026-11-30T11:00:00Z"); code != 0 {
		t.Errorf("within a week: %s", out)
	}
	if out, code := send("2026-11-30T11:00:01Z"); code != exitFailed || !strings.Contains(out, "is more than 7 days ahead") {
		t.Errorf("beyond a week: exit code %d, %s", code, out)
	}
	cloud.Close() // then this machine's
	if out, code := send(time.Now().Add(time.Hour).Format(time.RFC3339)); code != 0 {
		t.Errorf("without the local cloud: exit code %d, %s", code, out)
	}
}

func TestAMessageReachesTheQueue(t *testing.T) {
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := cloud.Keys()
	env := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token}
	var out strings.Builder
	w := world{out: &out, err: &out, lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	send := func(want int, args string) string {
		t.Helper()
		code := run(t.Context(), w, strings.Fields("send "+args+" --queue regild-requests"))
		pending := cloud.MNS.Pending(localcloud.RequestQueue)
		if code != 0 || len(pending) != want {
			t.Fatalf("exit code %d, %d messages, %s", code, len(pending), out.String())
		}
		return string(pending[want-1].Body)
	}
	if got := send(1, "control --rollout 1/f --action pause --by me --reason why --account 1234567890123456 --region cn-hangzhou --endpoint "+cloud.MNSURL); !strings.Contains(got, `"action":"pause"`) {
		t.Errorf("got %s", got)
	}
	env["REGILD_ACCOUNT"], env["REGILD_REGION"], env["REGILD_MNS_ENDPOINT"], env["REGILD_BY"] = "1234567890123456", "cn-hangzhou", cloud.MNSURL, "the-profile"
	if got := send(2, "freeze --freeze exam --action lift --reason why"); !strings.Contains(got, `"by":"the-profile"`) {
		t.Errorf("by the settings alone: got %s", got)
	}
	if got := send(3, "request ecd-0001 --image m-0001 --request r1"); !strings.Contains(got, `"regionId":"cn-hangzhou"`) {
		t.Errorf("by the settings alone: got %s", got)
	}
	if got := send(4, "freeze --freeze exam --action lift --by me --reason why"); !strings.Contains(got, `"by":"me"`) {
		t.Errorf("a flag wins: got %s", got)
	}
}

func TestEventFilesGoTheirWay(t *testing.T) {
	tests := map[string]bool{
		`{"regionId": "cn-hangzhou"}`: false, `not JSON`: false, ` [{"specversion": "1.0"}]`: true, `{"specversion": "1.0", "type": "x"}`: true,
		`"` + strings.Repeat("x", queueLimit) + `"`: true,
	}
	for body, want := range tests {
		if got := delivered([]byte(body)); got != want {
			t.Errorf("%.40s: got %v, want %v", body, got, want)
		}
	}
}

func TestTheEndOfTheLogIsKept(t *testing.T) {
	var l tail
	for range 30 {
		if _, err := l.Write([]byte("early\n")); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = l.Write([]byte("late\n"))
	err := l.with(errInterrupted)
	if got := strings.Count(err.Error(), "\n"); got != tailLines+1 || !strings.HasSuffix(err.Error(), "late") {
		t.Errorf("got %d lines: %v", got, err)
	}
}

func TestABuildTellsItsVersion(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}
	if got := version(info); !strings.HasPrefix(got, "regild (devel) 0123456789ab with local changes, go") {
		t.Errorf("got %s", got)
	}
	info.Main.Version = "v1.2.3"
	if got := version(info); !strings.HasPrefix(got, "regild v1.2.3, go") {
		t.Errorf("got %s", got)
	}
}

func TestAVerdictSaysOnceWhoEndedIt(t *testing.T) {
	of := []name{{operator.Rollout, "1/f"}, {operator.Rollout, "2/f"}}
	err := verdict(of, []operator.Operation{
		{ID: "1/f", State: string(report.StateSuperseded), Why: "superseded by 2/f"},
		{ID: "2/f", State: string(report.StateHalted), Why: "2 of 3 desktops have failed"},
	})
	const want = "rollout/1/f: superseded by 2/f; rollout/2/f: halted, 2 of 3 desktops have failed"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A flag that a help calls one of a kind is one of that kind.
func TestTheFlagsOfAMessageAreThoseOfItsKind(t *testing.T) {
	var c *cobra.Command
	for _, x := range rootCommand(world{}).Commands() {
		if x.Name() == "send" {
			c = x
		}
	}
	for name := range kindsOf {
		if c.Flags().Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		said, _, ok := strings.Cut(f.Usage, ": ")
		for kind := range strings.SplitSeq(said, ", ") {
			if known := kind == "request" || kind == "release" || kind == "control" || kind == "freeze"; ok && known && f.Name != "region" && !slices.Contains(kindsOf[f.Name], kind) {
				t.Errorf("--%s is said to be for a %s: %s", f.Name, kind, f.Usage)
			}
		}
	})
}
