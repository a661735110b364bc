package main_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud"
)

// operatorWords are the words of stories about the operator's command.
var operatorWords = []command{
	{"operator [-exit n] [-idle] [-pass duration] [-answer text] [-env NAME=value]... -- argument...",
		"runs the operator's command against the cloud, with the function at work meanwhile, and prints what it wrote to standard output, and then, each line after a !, to standard error; with -idle the function is not; -pass lets so much time of the cloud pass, at the most; -answer is what is typed; without -exit it must exit 0", (*world).operator},
}

// operatorBinary builds the operator's command, once, beside the function.
var operatorBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(function), "regild")
	args := []string{"build", "-o", path}
	if underRaceDetector() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./cmd/regild")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the operator's command: %w\n%s", err, out)
	}
	return path, nil
})

func (w *world) operator(args []string) error {
	exit, answer := 0, ""
	var pass time.Duration
	idle := false
	var env []string
	args, err := parse(args, 1, -1, func(f *flag.FlagSet) {
		f.IntVar(&exit, "exit", 0, "")
		f.BoolVar(&idle, "idle", false, "")
		f.DurationVar(&pass, "pass", 0, "")
		f.StringVar(&answer, "answer", "", "")
		f.Func("env", "", func(e string) error { env = append(env, e); return nil })
	})
	if err != nil {
		return err
	}
	binary, err := operatorBinary()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.ctx, driveLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = w.ts.MkAbs(".")
	cmd.Env = append(w.operatorEnv(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &errs, strings.NewReader(answer+"\n")
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if idle {
		err = <-ended
	} else {
		err = w.drive(ctx, ended, pass)
	}
	code := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else if err != nil {
		return err
	}
	text := w.mask(out.String())
	for l := range strings.Lines(w.mask(errs.String())) {
		text += "! " + l
	}
	_, _ = fmt.Fprint(w.ts.Stdout(), text)
	if code != exit {
		return fmt.Errorf("it exited %d, want %d:\n%s", code, exit, text)
	}
	return nil
}

// operatorEnv are the settings and credentials of somebody who may everything.
func (w *world) operatorEnv() []string {
	keys := w.cloud.Keys()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.ts.MkAbs("."), "REGILD_REGION=cn-hangzhou", "REGILD_ACCOUNT=1234567890123456",
		"REGILD_BY=ada@example.com", "REGILD_TIME_ZONE=UTC",
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN=" + keys.Token}
	for _, e := range w.cloud.Env() {
		switch name, _, _ := strings.Cut(e, "="); name {
		case "REGILD_JOURNAL", "REGILD_REQUEST_QUEUE", "REGILD_ECD_ENDPOINT", "REGILD_MNS_ENDPOINT", "REGILD_OSS_ENDPOINT", "REGILD_CLOCK":
			env = append(env, e)
		}
	}
	return env
}

// glance is how often it is looked whether a message has come, while a process
// of another's runs.
const glance = 5 * time.Millisecond

// drive delivers what comes to the request queue until the process has ended,
// and moves the clock on to what comes later, by so much at the most.
func (w *world) drive(ctx context.Context, ended chan error, pass time.Duration) error {
	end := w.cloud.Clock.Now().Add(pass)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	busy := false
	for {
		select {
		case err := <-ended:
			return err
		default:
		}
		if !busy {
			select {
			case err := <-ended:
				return err
			case <-tick.C:
			}
		}
		some, err := w.cloud.Bridge.Step(ctx)
		if err != nil {
			return err
		}
		next, ok := w.cloud.MNS.Next(localcloud.RequestQueue)
		later := !some && ok && !next.After(end)
		if later {
			w.cloud.Clock.Advance(max(next.Sub(w.cloud.Clock.Now()), 0))
		}
		busy = some || later
	}
}
