// Package fc stands in for Function Compute: it runs a function's binary as
// the platform's go1 runtime does and hands it invocations over the runtime
// API, on loopback.
//
// A Host owns the instances of one function. An instance is one process with a
// runtime API of its own; it is started on demand, serves one invocation at a
// time, is used again while it is idle, and is killed when an invocation
// outlasts its timeout. The environment, the headers and the hooks
// (initializer, preStop) are those of FC 3.0, so the binary that is deployed
// is the binary that is tested.
//
// Sources: "Environment variables", "Go runtime", "Function instance
// lifecycle" and "Error handling" in FC's documentation, and the protocol
// that fc-runtime-go-sdk v0.3.1 speaks.
//
// With Function.Freeze an instance stands still between invocations, stopped by
// a signal, as on the platform; only on Linux.
//
// What it does not imitate: the memory limit, several invocations at once in one
// instance, HTTP triggers, and refusing an invocation for want of instances,
// which waits here.
//
// It is for the local cloud and for tests, never for production: anyone who
// can reach the loopback interface of the machine can speak to the runtime API.
package fc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// MaxPayload is the largest event, and the largest response, in bytes, of a
// synchronous invocation. Source: FC, "Quotas and limits".
const MaxPayload = 32 << 20

// Unhandled is the ErrorType of a failure that the platform saw, and not the
// function: the process ended under the invocation, or outlasted its timeout.
// Source: FC, "Error handling", header X-Fc-Error-Type.
const Unhandled = "UnhandledInvocationError"

// Limits of a function's settings. Source: FC, "Function configurations" and
// "Environment variables".
const (
	maxEnvBytes = 4096
	maxHook     = 5 * time.Minute // of an initializer; a preStop hook may have less
	maxTimeout  = 24 * time.Hour
	maxMemoryMB = 32768
)

// Keys are the temporary credentials of the function's role. An empty Token
// stands for permanent ones, an empty Keys for a function without a role.
type Keys struct {
	ID, Secret, Token string
}

// String keeps secrets out of formatted text.
func (Keys) String() string { return "[credentials]" }

// GoString keeps secrets out of %#v.
func (k Keys) GoString() string { return k.String() }

// A Function is a binary and how the platform is to run it. Path is required;
// the zero value of everything else is a sensible default.
type Function struct {
	Path string // of the binary, absolute or relative to the working directory
	Dir  string // working directory of the processes; default: the binary's

	Name    string // default regild
	Handler string // default main
	Region  string // default cn-hangzhou
	// AccountID is the account that owns the function; default 1234567890123456.
	AccountID string
	MemoryMB  int // shown to the function, not enforced; default 512

	// Env are the function's own settings, NAME=value each: at most 4 KB in
	// all, and no name may begin with FC_.
	Env []string
	// Timeout bounds one invocation, in real time; default 60 seconds. The
	// function is told of it in whole seconds, rounded up.
	Timeout time.Duration
	// Instances is how many processes there may be at once; default 1.
	Instances int
	// Keys is asked for credentials when a process starts and at each
	// invocation, possibly from several goroutines. Nil means no role.
	Keys func() Keys

	Initializer bool // the function has an initializer: run it before the first event
	PreStop     bool // the function has a preStop hook: run it before an idle process ends
	// InitializerTimeout and PreStopTimeout bound the hooks, in real time, whatever
	// Timeout is; default 20 and 10 seconds, as in s.yaml. A hook that outlasts its
	// limit is killed with its process. Source: "Function instance lifecycle".
	InitializerTimeout, PreStopTimeout time.Duration

	// Freeze, when set, has each process stopped by a signal as soon as it has
	// answered an event, and continued for its next event or hook, as FC freezes
	// an instance in between. It is called while the process stands still, before
	// the answer is passed on, with the ids of the instance and of the process:
	// none of the process's connections should live on. It may be called from
	// several goroutines. It is never called, and nothing is frozen, where the
	// system is not Linux. Source: "Function instance lifecycle".
	Freeze func(instance string, pid int)

	// Stdout receives what the processes write to stdout and stderr, whole
	// lines at a time and never two at once. Nil discards it.
	Stdout io.Writer
}

// An Event is one invocation.
type Event struct {
	Payload    []byte
	RequestID  string // default: a new one
	RetryCount int    // how many-th retry of an asynchronous invocation this is; 0 is the first try
}

// A Result is how an invocation ended. The error that comes beside a Result is
// for the host's own trouble; a function that failed is told here.
type Result struct {
	RequestID string
	Response  []byte // JSON, as the function's SDK encoded it; nil when it failed

	// ErrorType is "" when the function succeeded. Else it is the Go type of
	// the error or panic value that the function's SDK reported, or Unhandled.
	ErrorType    string
	ErrorMessage string

	Killed   bool          // the process outlasted the timeout and was killed
	Duration time.Duration // from handing the event over to the answer, in real time
}

// Failed says whether the invocation counts as a function error.
func (r Result) Failed() bool { return r.ErrorType != "" }

// Err returns nil for a success, and otherwise an error that tells what failed.
func (r Result) Err() error {
	if !r.Failed() {
		return nil
	}
	return fmt.Errorf("invocation %s: %s: %s", r.RequestID, r.ErrorType, r.ErrorMessage)
}

var envName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// normal returns f with its defaults filled in, or every fault of f at once.
func (f Function) normal() (Function, error) {
	fill(&f.Name, "regild")
	fill(&f.Handler, "main")
	fill(&f.Region, "cn-hangzhou")
	fill(&f.AccountID, "1234567890123456")
	fill(&f.MemoryMB, 512)
	fill(&f.Timeout, time.Minute)
	fill(&f.InitializerTimeout, 20*time.Second)
	fill(&f.PreStopTimeout, 10*time.Second)
	fill(&f.Instances, 1)
	if f.Keys == nil {
		f.Keys = func() Keys { return Keys{} }
	}
	if f.Stdout == nil {
		f.Stdout = io.Discard
	}
	var faults []error
	if f.Timeout < 0 || f.Timeout > maxTimeout {
		faults = append(faults, fmt.Errorf("timeout %v is not between 0 and %v", f.Timeout, maxTimeout))
	}
	for _, hook := range []struct {
		name  string
		limit time.Duration
	}{{"initializer", f.InitializerTimeout}, {"preStop", f.PreStopTimeout}} {
		if hook.limit < 0 || hook.limit > maxHook {
			faults = append(faults, fmt.Errorf("timeout %v of the %s hook is not between 0 and %v", hook.limit, hook.name, maxHook))
		}
	}
	if f.MemoryMB < 128 || f.MemoryMB > maxMemoryMB || f.MemoryMB%64 != 0 {
		faults = append(faults, fmt.Errorf("memory %d MB is not a multiple of 64 between 128 and %d", f.MemoryMB, maxMemoryMB))
	}
	if f.Instances < 0 {
		faults = append(faults, fmt.Errorf("instances %d is negative", f.Instances))
	}
	faults = append(faults, checkEnv(f.Env)...)
	path, err := checkBinary(f.Path)
	if err != nil {
		faults = append(faults, err)
	}
	f.Path = path
	if f.Dir == "" {
		f.Dir = filepath.Dir(path)
	}
	return f, errors.Join(faults...)
}

func fill[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

func checkBinary(path string) (string, error) {
	if path == "" {
		return "", errors.New("path of the function's binary is missing")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the function's binary: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("finding the function's binary: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("function's binary %s is not a file", path)
	}
	return path, nil
}

// checkEnv refuses what the platform refuses, so that a setting that works
// here can be deployed.
func checkEnv(env []string) []error {
	var faults []error
	size := 0
	for _, e := range env {
		name, _, ok := strings.Cut(e, "=")
		size += len(e)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("environment entry %q is not NAME=value", name))
		case !envName.MatchString(name):
			faults = append(faults, fmt.Errorf("environment name %q is not letters, digits and underscores", name))
		case strings.HasPrefix(name, "FC_"):
			faults = append(faults, fmt.Errorf("environment name %s: FC_ is reserved by the platform", name))
		}
	}
	if size > maxEnvBytes {
		faults = append(faults, fmt.Errorf("environment is %d bytes, the platform takes %d", size, maxEnvBytes))
	}
	return faults
}
