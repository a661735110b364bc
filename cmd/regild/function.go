package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// module is the path of the function's package, for go build.
const module = "github.com/regild/regild"

// defaultFunction is where make build puts the function.
const defaultFunction = "target/main"

// findFunction returns the path of the function's binary. The default one is
// built if it is not there, which works inside the project and where there is
// Go; one that somebody named must be there.
func findFunction(ctx context.Context, w world, path string) (string, error) {
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return path, nil
	case path != defaultFunction:
		return "", fmt.Errorf("there is no function at %s: %w", path, err)
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("there is no function at %s, and no Go on the PATH to build it with; name one with --function", path)
	}
	say(w.err, "building the function: go build -o %s %s\n", path, module)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, module)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the function (there is none at %s; run this in the project, or name one with --function): %w\n%s",
			path, err, bytes.TrimSpace(out))
	}
	return path, nil
}

// A tail keeps the end of the function's log, and hands all of it on. It may be
// used from several goroutines.
type tail struct {
	also io.Writer // nil: nobody else

	mu    sync.Mutex
	lines []string
}

// tailLines is how much of the function's log is shown when something went
// wrong.
const tailLines = 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range strings.Lines(string(p)) {
		t.lines = append(t.lines, strings.TrimSuffix(l, "\n"))
	}
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
	if t.also == nil {
		return len(p), nil
	}
	return t.also.Write(p)
}

// with adds the end of the log to an error.
func (t *tail) with(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return err
	}
	return errors.Join(err, errors.New("the function's last words:\n  "+strings.Join(t.lines, "\n  ")))
}
