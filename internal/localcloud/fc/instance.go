package fc

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit bounds the time from the start of a process to its first
	// next. FC gives a custom runtime 120 s to be ready; a loaded machine
	// under the race detector stays far below it.
	startLimit = 120 * time.Second
	// endLimit bounds how long an idle process may take to end by itself
	// after SIGTERM; the SDK has no handler for it, so it takes no time.
	endLimit = 5 * time.Second
	// pipeLimit bounds the wait for output that a dead process's own children
	// hold open.
	pipeLimit = time.Second
)

// An Instance is what is known of one process of the function.
type Instance struct {
	ID          string
	Running     bool
	Started     time.Time     // just before the process was started, real time
	ColdStart   time.Duration // from Started to the first next; 0: it never asked
	Invocations int           // events that it answered or died under
	// PeakRSS is the largest resident memory in bytes, seen at the end of the
	// latest invocation or hook that was answered; 0: not on Linux, or never.
	PeakRSS int64
	CPU     time.Duration // user and system time, once the process ended
}

// instance is one process and the runtime API that it speaks to.
type instance struct {
	cmd    *exec.Cmd
	api    *runtimeAPI
	server *http.Server
	ended  chan struct{} // closed when the process is gone and reaped

	mu    sync.Mutex
	known Instance
	cause string // how the process ended, for people
}

func startInstance(f *Function, stdout *lines) (*instance, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a runtime API: %w", err)
	}
	in := &instance{
		ended: make(chan struct{}),
		known: Instance{ID: "c-" + randomHex(8), Running: true},
	}
	in.api = newRuntimeAPI(f, in.sample)
	in.server = &http.Server{Handler: in.api.handler(), ReadHeaderTimeout: startLimit}
	in.cmd = exec.Command(f.Path)
	in.cmd.Dir = f.Dir
	in.cmd.Env = environment(f, in.known.ID, listener.Addr().String())
	in.cmd.Stdout = stdout
	in.cmd.Stderr = stdout
	in.cmd.WaitDelay = pipeLimit
	isolate(in.cmd)
	go func() { _ = in.server.Serve(listener) }()
	in.known.Started = time.Now()
	started := make(chan error)
	go in.supervise(started, stdout)
	if err := <-started; err != nil {
		_ = in.server.Close()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(f.Path), err)
	}
	return in, nil
}

// supervise starts the process and waits for its end on one OS thread: on
// Linux the process is to die with that thread, that is with this program.
func (in *instance) supervise(started chan<- error, stdout *lines) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := in.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = in.cmd.Wait()
	stdout.flush()
	in.mu.Lock()
	in.known.Running = false
	if state := in.cmd.ProcessState; state != nil {
		in.known.CPU = state.UserTime() + state.SystemTime()
		in.cause = state.String()
	} else {
		in.cause = err.Error()
	}
	in.mu.Unlock()
	_ = in.server.Close()
	close(in.ended)
}

// sample notes the peak memory of the process, which must be alive: after its
// end Linux no longer tells it apart from the memory of the process that
// started it.
func (in *instance) sample() {
	if n := peakRSS(in.cmd.Process.Pid); n > 0 {
		in.mu.Lock()
		in.known.PeakRSS = max(in.known.PeakRSS, n)
		in.mu.Unlock()
	}
}

func (in *instance) countInvocation() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.known.Invocations++
}

// info returns what is known of the instance now.
func (in *instance) info() Instance {
	first := in.api.firstNext()
	in.mu.Lock()
	defer in.mu.Unlock()
	i := in.known
	if !first.IsZero() {
		i.ColdStart = first.Sub(i.Started)
	}
	return i
}

func (in *instance) alive() bool {
	select {
	case <-in.ended:
		return false
	default:
		return true
	}
}

// kill ends the process at once and returns when it is gone.
func (in *instance) kill() {
	_ = in.cmd.Process.Kill() // an error says that it has ended already
	<-in.ended
}

// end lets an idle process end by itself, for a moment.
func (in *instance) end() {
	in.sample()
	if in.cmd.Process.Signal(syscall.SIGTERM) == nil {
		timer := time.NewTimer(endLimit)
		defer timer.Stop()
		select {
		case <-in.ended:
			return
		case <-timer.C:
		}
	}
	in.kill()
}

func (in *instance) deathCause() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.cause
}

// environment is what FC 3.0 gives a go1 function, the function's own
// settings, and of this machine only what a process cannot do without.
// Source: FC, "Environment variables".
func environment(f *Function, instanceID, api string) []string {
	keys := f.Keys()
	env := []string{
		"FC_RUNTIME_API=" + api,
		"FC_ACCOUNT_ID=" + f.AccountID,
		"FC_REGION=" + f.Region,
		"FC_FUNCTION_NAME=" + f.Name,
		"FC_FUNCTION_HANDLER=" + f.Handler,
		"FC_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.MemoryMB),
		"FC_FUNC_CODE_PATH=" + f.Dir,
		"FC_INSTANCE_ID=" + instanceID,
		"FC_CUSTOM_LISTEN_PORT=9000",
		"FC_VER_ID=LATEST",
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + keys.ID,
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + keys.Secret,
		"ALIBABA_CLOUD_SECURITY_TOKEN=" + keys.Token,
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, f.Env...)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
