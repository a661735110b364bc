// Package main_test tells stories: each file of testdata/script sends events to
// the real binary, which runs against the local cloud as it would run on
// Function Compute, and says what the world must have been told in the end.
//
// The cloud's clock is moved by hand, so an hour of ticks takes as long as the
// function takes to answer. testdata/script/README.md lists the commands of the
// stories; `go test -run Stories/NAME` plays one, and `-update` writes what was
// printed into the files that the story compares with.
package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the stories print into the files that they compare it with")

// function is the path of the binary that the stories run.
var function string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "regild-stories")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a directory for the function:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	function = filepath.Join(dir, "main")
	args := []string{"build", "-o", function}
	if underRaceDetector() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the function: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// underRaceDetector says whether the tests were built with -race; then the
// function is too.
func underRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func TestStories(t *testing.T) {
	files, err := stories(os.Getenv("REGILD_STORIES"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files:              files,
		Setup:              func(env *testscript.Env) error { return newWorld(env) },
		Cmds:               commands(),
		UpdateScripts:      *update,
		RequireUniqueNames: true,
	})
}

// stories returns the files to play: all, or some. Under the race detector a story
// takes three times as long, so some means those in which invocations run at once
// (together, -instances), and every tenth of the others.
func stories(which string) ([]string, error) {
	all, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || which == "" {
		return all, err
	}
	if which != "some" {
		return nil, fmt.Errorf("REGILD_STORIES is %q, want some, or nothing for all", which)
	}
	var some []string
	for i, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if i%10 == 0 || atOnce.Match(text) {
			some = append(some, file)
		}
	}
	return some, nil
}

var atOnce = regexp.MustCompile(`(?m)^(!? *together|cloud .*-instances) `)

// A command is one word of the stories. It prints to stdout; what it returns
// ends the story, unless the line begins with "!".
type command struct {
	usage string
	doc   string
	run   func(w *world, args []string) error
}

// vocabulary is what the stories are told in, besides testscript's own words.
// A test holds it in agreement with testdata/script/README.md.
var vocabulary = append([]command{
	{"cloud [-state file] [-fleets file] [-no-journal] [-no-queue] [-env NAME=value]... [-timeout 60s] [-instances n] [-shape objects] [-batch 10] [-tries 4]",
		"starts a local cloud and the function, and ends the one that there was; the state is cloud.yaml if the story has one, and what it leaves out is as in base.yaml below", (*world).startCloud},
	{"redeploy [-fleets file] [-no-journal] [-no-queue] [-env NAME=value]... [-timeout 60s] [-instances n]",
		"ends the function and starts it anew, with these settings", (*world).redeploy},

	{"send [-queue name] [-times n] [-delay 0s] [-base64] file...", "puts messages on the request queue, or another; ${NAME} in a file stands for a variable of the story, and NTH for 1 to n", (*world).send},
	{"publish [-tag tag] topic file", "publishes a message to a topic, whose subscriptions the state declares", (*world).publish},
	{"push [-format STREAM|JSON] file", "delivers a message of a topic to the function as its topic trigger does", (*world).push},
	{"invoke file", "invokes the function with the file as its payload and prints what report prints", (*world).invoke},
	{"together [-at SERVICE/OPERATION] file...", "invokes the function with all files at once; with -at, the first such calls of all of them wait for one another", (*world).together},
	{"deliver [-queue name]", "delivers the messages that are visible on the request queue, or another, now, in one batch, and prints what report prints", (*world).deliver},
	{"redeliver", "invokes the function once more with the very payload that it had last", (*world).redeliver},
	{"settle [-queues name,...] [duration]", "delivers and moves the clock on until all queues with a trigger are empty, or those that are named, which alone are served then, or until that much time has passed", (*world).settle},
	{"advance duration", "moves the clock and delivers nothing", (*world).advance},

	{"fault SERVICE OPERATION KIND [field=value]... | fault clear", "makes calls go wrong: see internal/localcloud/fault for kinds and fields", (*world).fault},
	{"killat SERVICE OPERATION received|done|answered [n]", "kills the function (kill -9) at the n-th such moment from now", (*world).killAt},
	{"killnow", "kills the function's idle processes: the next invocation is a cold start", (*world).killNow},
	{"desktop id field=value... | connect=user | logon=user [fails=ticket|connect] | leave | gone", "changes a desktop by hand, or has a user try to log on", (*world).desktop},
	{"image id field=value...", "changes an image by hand", (*world).image},
	{"role account/name field=value...", "changes a role of another account by hand", (*world).role},
	{"alarm name OK|ALARM|INSUFFICIENT_DATA|off", "puts an alarm rule of CloudMonitor, or changes its state", (*world).alarm},

	{"outcomes [-show field,...] [-of request]", "prints what was told of desktops, by request and desktop: request desktop status code", (*world).outcomes},
	{"events [-show field,...] [-once]", "prints everything else that was told, in its order: refused messages, finished requests, rollouts", (*world).events},
	{"plans [-digest VAR]", "prints the plans that were told, and puts the last one's digest into a variable", (*world).plans},
	{"digests", "recomputes each finished request's digest from the final outcomes that were told of it; a message that was not taken for the request has other ids", (*world).digests},
	{"wipes", "prints every rebuild that ECD started, by account, which is named if it is not the own, and desktop", (*world).wipes},
	{"snapshots", "prints the snapshots that there are, by desktop", (*world).snapshots},
	{"notices", "prints what people were told on their desktops, in its order", (*world).notices},
	{"calls [OPERATION...]", "prints how often operations were called, by default those that change desktops", (*world).calls},
	{"journal request|rollout|fleet id", "prints the journal of one of them, a record a line", (*world).journal},
	{"queue", "prints what waits on the request queue and on the dead-letter queue", (*world).queue},
	{"frozen", "prints how many connections were dead when the frozen function went on, and into how many of them it has sent anything since", (*world).frozen},
	{"report", "prints what the function answered last", (*world).report},
	{"log", "prints the function's log", (*world).printLog},
}, append(rolloutWords, operatorWords...)...)

func (c command) name() string {
	name, _, _ := strings.Cut(c.usage, " ")
	return name
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for _, c := range vocabulary {
		all[c.name()] = func(ts *testscript.TestScript, neg bool, args []string) {
			w := ts.Value(worldKey{}).(*world)
			w.ts = ts
			_ = ts.Stdout() // so that a command that prints nothing leaves nothing to be read
			if w.cloud == nil && c.name() != "cloud" {
				ts.Fatalf("there is no cloud yet: begin with `cloud`")
			}
			err := c.run(w, args)
			switch {
			case neg && err == nil:
				ts.Fatalf("%s went well and should not have", c.name())
			case neg:
				_, _ = fmt.Fprintln(ts.Stdout(), w.mask(err.Error()))
			case err != nil:
				ts.Fatalf("%s: %v\nusage: %s", c.name(), err, c.usage)
			}
		}
	}
	return all
}

func TestEveryWordOfTheStoriesIsExplained(t *testing.T) {
	data, err := os.ReadFile("testdata/script/README.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, c := range vocabulary {
		if line := "- `" + c.usage + "`: " + c.doc + "\n"; !strings.Contains(page, line) {
			t.Errorf("testdata/script/README.md lacks this line:\n%s", line)
		}
	}
	base, err := os.ReadFile("testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page, "```yaml\n"+string(base)+"```") {
		t.Error("testdata/script/README.md does not show testdata/base.yaml as it is")
	}
}
