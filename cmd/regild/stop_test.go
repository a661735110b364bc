package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/pace"
)

// account starts an empty local cloud with a deployed function, and returns how
// to run regild there.
func account(t *testing.T) (*localcloud.Cloud, func(args string) (out string, code int)) {
	t.Helper()
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	cloud.Control.Change(func(a *control.Account) { a.Functions["regild"] = &control.Function{} })
	keys := cloud.Keys()
	env := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token}
	return cloud, func(args string) (string, int) {
		var out strings.Builder
		w := world{out: &out, err: &out, in: strings.NewReader(""), lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
		code := run(t.Context(), w, append(strings.Fields(args), "--endpoint", cloud.ControlURL))
		return out.String(), code
	}
}

func concurrencyOf(cloud *localcloud.Cloud) string {
	text := "none"
	cloud.Control.Change(func(a *control.Account) {
		if n := a.Functions["regild"].Concurrency; n != nil {
			text = strconv.Itoa(*n)
		}
	})
	return text
}

func TestTheKillSwitchNeedsOneRightAndNothingElse(t *testing.T) {
	cloud, regild := account(t)
	cloud.Control.Change(func(a *control.Account) {
		for _, action := range []string{"ram:CheckServiceLinkedRoleExistence", "fc:GetFunction", "fc:GetTrigger", "fc:GetConcurrencyConfig", "ram:GetRole"} {
			a.Denied[action] = true
		}
	})
	for _, tt := range []struct{ args, want, left string }{
		{"stop --region cn-hangzhou", "is stopped", "0"},
		{"start --region cn-hangzhou", "up to 10 invocations", "10"},
		{"start --region cn-hangzhou --concurrency 3", "up to 3 invocations", "3"},
	} {
		out, code := regild(tt.args)
		if code != 0 || !strings.Contains(out, tt.want) || concurrencyOf(cloud) != tt.left {
			t.Errorf("%s: exit code %d, concurrency %s, %s", tt.args, code, concurrencyOf(cloud), out)
		}
	}
	for _, name := range []string{"GetConcurrencyConfig", "GetFunction"} {
		if n := cloud.Faults.Count("control", name); n != 0 {
			t.Errorf("%s was called %d times", name, n)
		}
	}
}

// Where requests have a function of their own, one that goes on would rebuild.
func TestTheKillSwitchIsForBothFunctions(t *testing.T) {
	cloud, regild := account(t)
	second := &control.Function{}
	cloud.Control.Change(func(a *control.Account) { a.Functions["regild-requests"] = second })
	for args, want := range map[string]int{"stop --region cn-hangzhou": 0, "start --region cn-hangzhou --concurrency 3": 3} {
		out, code := regild(args)
		if code != 0 || concurrencyOf(cloud) != strconv.Itoa(want) || second.Concurrency == nil || *second.Concurrency != want || strings.Count(out, "\n") != 2 {
			t.Errorf("%s: exit code %d, %s", args, code, out)
		}
	}
}

func TestTheKillSwitchShowsWhereItStands(t *testing.T) {
	cloud, regild := account(t)
	show := func(want string) {
		t.Helper()
		if out, code := regild("stop --show --region cn-hangzhou"); code != 0 || out != want+"\n" {
			t.Errorf("got %d, %q, want %s", code, out, want)
		}
	}
	show("running")
	regild("stop --region cn-hangzhou")
	show("stopped")
	cloud.Control.Change(func(a *control.Account) { delete(a.Functions, "regild") })
	show("absent")
	out, code := regild("stop --region cn-hangzhou")
	if code != exitFailed || !strings.Contains(out, "there is no function regild in cn-hangzhou") {
		t.Errorf("got %d, %s", code, out)
	}
	cloud.Control.Change(func(a *control.Account) { a.Denied["fc:PutConcurrencyConfig"] = true })
	if out, code := regild("stop --region cn-hangzhou"); code != exitFailed || !strings.Contains(out, "may not call PutConcurrencyConfig") ||
		!strings.Contains(out, "function regild: ") || !strings.Contains(out, "function regild-requests: ") {
		t.Errorf("got %d, %s", code, out)
	}
	if out, code := regild("stop"); code != exitUsage || !strings.Contains(out, "no region") {
		t.Errorf("got %d, %s", code, out)
	}
}

// nowhere is a world with credentials in which no endpoint can be reached, and the flag that says so.
func nowhere(errs io.Writer) (world, string) {
	env := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI5tExample0001", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret"}
	return world{out: errs, err: errs, in: strings.NewReader(""), lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, "http://127.0.0.1:1"
}

// Whoever only looks, or has not begun anything, is told at once.
func TestWithoutANetworkNothingIsTriedForLong(t *testing.T) {
	w, endpoint := nowhere(io.Discard)
	for _, account := range []string{"", ownAccount} {
		at := accountFlags{region: "cn-hangzhou", endpoint: endpoint, account: account, file: filepath.Join(t.TempDir(), "regild.env")}
		for name, err := range map[string]error{
			"stop --show":     runStop(t.Context(), w, new(at), true),
			"setup":           runSetup(t.Context(), w, &setupFlags{at: at}),
			"setup --dry-run": runSetup(t.Context(), w, &setupFlags{at: at, dry: true}),
			"setup --remove":  runSetup(t.Context(), w, &setupFlags{at: at, remove: true, yes: true}),
			"setup --member":  runSetup(t.Context(), w, &setupFlags{at: accountFlags{region: at.region, endpoint: endpoint, account: ownAccount, file: at.file}, member: true}),
		} {
			if !errors.Is(err, pace.ErrUnreached) || !strings.Contains(err.Error(), "could not be reached") {
				t.Errorf("%s of account %q: got %v", name, account, err)
			}
		}
	}
}

// The kill switch says at once that it does not get through, and goes on trying.
func TestTheKillSwitchGoesOnTrying(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said strings.Builder
	w, endpoint := nowhere(writerFunc(func(p []byte) (int, error) {
		said.Write(p)
		if strings.Contains(said.String(), "it is tried again, for at most 1m") {
			cancel()
		}
		return len(p), nil
	}))
	at := accountFlags{region: "cn-hangzhou", endpoint: endpoint, account: ownAccount, file: filepath.Join(t.TempDir(), "regild.env")}
	err := runStop(ctx, w, &at, false)
	if err == nil || errors.Is(err, pace.ErrUnreached) || strings.Count(said.String(), "could not be reached") != 1 {
		t.Errorf("got %v after %s", err, said.String())
	}
}

// It goes on for as long as it says, and not only as long as one call is repeated.
func TestTheKillSwitchTriesForAsLongAsItSays(t *testing.T) {
	lost := &desktop.CallError{Call: "PutConcurrencyConfig", Delivery: desktop.NotSent}
	denied := &desktop.CallError{Call: "PutConcurrencyConfig", Code: "AccessDenied", Delivery: desktop.Refused}
	unreached := errors.Join(lost, pace.ErrUnreached)
	for name, c := range map[string]struct {
		answers []error
		ends    bool // the time is over with the last of them
		tells   int
		want    error
	}{
		"at once":                          {[]error{nil}, false, 0, nil},
		"another error":                    {[]error{denied}, false, 0, denied},
		"soon there":                       {[]error{unreached, nil}, false, 1, nil},
		"there long after":                 {[]error{unreached, lost, unreached, lost, unreached, lost, nil}, false, 1, nil},
		"there, and it says no":            {[]error{unreached, lost, unreached, denied}, false, 1, denied},
		"not there as long as it is tried": {[]error{unreached, lost, unreached, lost}, true, 1, lost},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		tries, tells := 0, 0
		got := untilReached(ctx, func(error) { tells++ }, func(context.Context) error {
			tries++
			if c.ends && tries == len(c.answers) {
				cancel()
			}
			return c.answers[tries-1]
		})
		if !errors.Is(got, c.want) || tries != len(c.answers) || tells != c.tells {
			t.Errorf("%s: got %v after %d tries, and was told %d times", name, got, tries, tells)
		}
		cancel()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestTheRegionMayComeFromTheFileThatSetupWrites(t *testing.T) {
	cloud, regild := account(t)
	file := filepath.Join(t.TempDir(), "regild.env")
	if err := os.WriteFile(file, []byte("REGILD_REGION=cn-hangzhou\nREGILD_ACCOUNT=1234567890123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := regild("stop --env-file " + file); code != 0 || concurrencyOf(cloud) != "0" {
		t.Errorf("got %d, %s", code, out)
	}
}

// The switch works whatever regild.env has become, if somebody says where.
func TestStopDoesNotDependOnTheFileThatSetupWrites(t *testing.T) {
	cloud, regild := account(t)
	file := filepath.Join(t.TempDir(), "regild.env")
	if err := os.WriteFile(file, []byte("<<<<<<< HEAD\nREGILD_REGION=cn-hangzhou\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := regild("stop --region cn-hangzhou --env-file " + file); code != 0 || concurrencyOf(cloud) != "0" || !strings.Contains(out, "going on without") {
		t.Errorf("got %d, %s", code, out)
	}
	if out, code := regild("stop --env-file " + file); code == 0 || !strings.Contains(out, "no region") {
		t.Errorf("got %d, %s", code, out)
	}
}

func TestStartKnowsWhatSYAMLSays(t *testing.T) {
	text, err := os.ReadFile("../../s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^ *reservedConcurrency: *([0-9]+)`).FindSubmatch(text)
	if match == nil || string(match[1]) != strconv.Itoa(reserved) {
		t.Errorf("s.yaml has %s, the command %d", match, reserved)
	}
	other := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(other, []byte("concurrencyConfig:\n  reservedConcurrency: 25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := declared(other); got != 25 {
		t.Errorf("got %d, want 25", got)
	}
	if got := declared(other + ".absent"); got != reserved {
		t.Errorf("got %d, want %d", got, reserved)
	}
}
