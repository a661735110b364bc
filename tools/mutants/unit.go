package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A unit is one test, or one subtest, in a binary with the bugs compiled in.
type unit struct {
	dir, bin string
	test     string // whose subtest it is, or ""
	name     string
	env      []string
	took     time.Duration // of the processor
	reaches  map[int]bool  // bugs
}

// String names the unit for people.
func (u *unit) String() string {
	return strings.TrimSuffix(filepath.Base(u.bin), ".test") + " " + strings.Join(append([]string{u.pattern()}, u.env...), " ")
}

// pattern is the unit as -test.run takes it. A name may be several.
func (u *unit) pattern() string {
	if u.test == "" {
		return "^(" + u.name + ")$"
	}
	return "^" + u.test + "$/^(" + u.name + ")$"
}

// joins says whether two units can be run by one pattern.
func (u *unit) joins(v *unit) bool {
	return u.bin == v.bin && u.test == v.test && slices.Equal(u.env, v.env)
}

// prepare builds the binaries, and runs every test once without a bug.
func prepare(o options, work, overlay string) ([]*unit, error) {
	var units []*unit
	suites := o.then
	if o.own {
		suites = append([]string{o.pkg + ":."}, suites...)
	}
	for _, suite := range suites {
		pkg, rest, _ := strings.Cut(suite, ":")
		tests, env, _ := strings.Cut(rest, ":")
		bin := filepath.Join(work, strings.NewReplacer("/", "_", ".", "_").Replace(pkg)+".test")
		if _, err := os.Stat(bin); err != nil {
			build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", bin, pkg)
			build.Dir = o.root
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building the tests of %s: %w\n%s", pkg, err, out)
			}
		}
		base := unit{dir: filepath.Join(o.root, pkg), bin: bin}
		if env != "" {
			base.env = strings.Split(env, ",")
		}
		listed, err := base.list(tests, !o.whole)
		if err != nil {
			return nil, err
		}
		for _, u := range listed {
			if err := u.measure(filepath.Join(work, strconv.Itoa(len(units))+".trace")); err != nil {
				return nil, err
			}
			units = append(units, u)
		}
	}
	slices.SortStableFunc(units, func(a, b *unit) int { return cmp.Compare(a.took, b.took) })
	return units, nil
}

// list returns the tests of a binary that match, or their subtests where they have
// any and that is wanted.
func (u unit) list(tests string, subtests bool) ([]*unit, error) {
	args := []string{"-test.list=" + tests}
	if subtests {
		args = []string{"-test.v", "-test.run=" + tests}
	}
	out, _, err := u.run(noLimit, args...)
	if err != nil {
		return nil, fmt.Errorf("without a bug %s fails: %w\n%s", u.bin, err, out)
	}
	var units []*unit
	for line := range strings.Lines(string(out)) {
		name, is := strings.CutPrefix(strings.TrimSpace(line), "=== RUN ")
		if name = strings.TrimSpace(name); subtests != is || !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		one := u
		one.name = name
		if strings.HasPrefix(name, "Fuzz") && strings.Contains(name, "/") { // seeds: many, and quick
			continue
		}
		if test, sub, has := strings.Cut(name, "/"); has {
			sub, _, _ = strings.Cut(sub, "/") // with what is below it: a pattern has a part of its own for each level
			one.test, one.name = test, regexp.QuoteMeta(sub)
			if slices.ContainsFunc(units, func(v *unit) bool { return v.test == test && v.name == one.name }) {
				continue
			}
			units = slices.DeleteFunc(units, func(v *unit) bool { return v.test == "" && v.name == test })
		}
		units = append(units, &one)
	}
	return units, nil
}

// measure runs the unit without a bug, and notes which bugs it reaches.
func (u *unit) measure(trace string) error {
	out, took, err := u.run(noLimit, "-test.run="+u.pattern(), "REGILD_MUTANT_TRACE="+trace)
	if err != nil {
		return fmt.Errorf("without a bug %s fails: %w\n%s", u, err, out)
	}
	u.took = took
	data, err := os.ReadFile(trace)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	u.reaches = map[int]bool{}
	for _, field := range strings.Fields(string(data)) {
		if id, err := strconv.Atoi(field); err == nil {
			u.reaches[id] = true
		}
	}
	return nil
}

// atOnce is how long tests take together that are run in one process: starting one
// takes about as long.
const atOnce = 100 * time.Millisecond

// noticed returns the test that fails, or does not end, with the bug, and whether
// any reaches it at all.
func (t *trial) noticed(b bug) (by string, reached bool) {
	var group *unit // with the names and the time of several
	try := func() bool {
		if group == nil {
			return false
		}
		out, _, err := group.run(3*group.took+t.slack, "-test.run="+group.pattern(), "REGILD_MUTANT="+strconv.Itoa(b.id))
		if err != nil {
			by = group.blame(out)
		}
		return err != nil
	}
	for _, u := range t.units {
		if !u.reaches[b.id] {
			continue
		}
		reached = true
		if group != nil && group.joins(u) && group.took+u.took <= atOnce {
			group.name += "|" + u.name
			group.took += u.took
			continue
		}
		if try() {
			return by, true
		}
		first := *u
		group = &first
	}
	try()
	return by, reached
}

// blame returns the test that failed by what was printed.
func (u *unit) blame(out []byte) string {
	for line := range bytes.Lines(out) {
		if name, is := bytes.CutPrefix(bytes.TrimSpace(line), []byte("--- FAIL: ")); is {
			name, _, _ = bytes.Cut(name, []byte(" "))
			return string(name)
		}
	}
	return u.String()
}

// noLimit is for runs without a bug, which end.
const noLimit = time.Hour

// run runs the binary, with as much time of the processor as it is given: how long
// a test takes by the clock depends on what else the machine does. It returns how
// much it took. Whoever waits for something that never comes is stopped by the
// clock, far later. Arguments that are no flags are for its environment.
func (u *unit) run(limit time.Duration, args ...string) ([]byte, time.Duration, error) {
	flags := []string{"-c", `ulimit -t "$0" && exec "$@"`, strconv.Itoa(int(limit/time.Second) + 1), u.bin, "-test.failfast", "-test.count=1"}
	env := append(os.Environ(), u.env...)
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		} else {
			env = append(env, a)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+20*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", flags...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = u.dir, env, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	go stopWhenStuck(ctx, cancel, cmd.Process.Pid)
	err := cmd.Wait()
	return out.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

// stuckFor is how long all threads of a test may sleep before it counts as one that
// does not end. Tests do not wait for real time.
const stuckFor = 10 * time.Second

// stopWhenStuck ends a process that waits for something that never comes. One that
// waits for the processor does not sleep.
func stopWhenStuck(ctx context.Context, stop func(), pid int) {
	since, before := time.Now(), ""
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		threads, asleep := threadsOf(pid)
		if !asleep || threads != before {
			since, before = time.Now(), threads
		} else if time.Since(since) > stuckFor {
			stop()
		}
	}
}

// threadsOf returns what the threads of a process have used, and whether all sleep.
// Where that is not known none does.
func threadsOf(pid int) (used string, asleep bool) {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	asleep = len(names) > 0
	for _, name := range names {
		data, _ := os.ReadFile(name)
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) < 13 || fields[0] != "S" {
			return "", false
		}
		used += fields[11] + " " + fields[12] + " " // user and system time
	}
	return used, asleep
}
