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
	"slices"
	"strconv"
	"strings"
	"time"
)

// A unit is one test, or one subtest, in a binary with the bugs compiled in.
type unit struct {
	dir, bin string
	name     string // as -test.run takes it
	env      []string
	took     time.Duration
	reaches  map[int]bool // bugs
}

// String names the unit for people.
func (u *unit) String() string {
	return strings.TrimSuffix(filepath.Base(u.bin), ".test") + " " + strings.Join(append([]string{u.name}, u.env...), " ")
}

// pattern is a test's name as -test.run takes it.
func pattern(names ...string) string {
	return "^(" + strings.Join(names, "|") + ")$"
}

// prepare builds the binaries, and runs every test once without a bug.
func prepare(o options, work, overlay string) ([]*unit, error) {
	var units []*unit
	for _, suite := range append([]string{o.pkg + ":."}, o.then...) {
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
		names, err := base.list(tests, pkg != o.pkg && !o.whole)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			u := base
			u.name = name
			if err := u.measure(filepath.Join(work, strconv.Itoa(len(units))+".trace")); err != nil {
				return nil, err
			}
			units = append(units, &u)
		}
	}
	slices.SortStableFunc(units, func(a, b *unit) int { return cmp.Compare(a.took, b.took) })
	return units, nil
}

// list returns the tests of a binary that match, or their subtests where they have
// any and that is wanted.
func (u unit) list(tests string, subtests bool) ([]string, error) {
	if !subtests {
		out, err := u.run(context.Background(), "-test.list="+tests)
		if err != nil {
			return nil, fmt.Errorf("listing the tests: %w\n%s", err, out)
		}
		var names []string
		for line := range strings.Lines(string(out)) {
			if name := strings.TrimSpace(line); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
				names = append(names, pattern(name))
			}
		}
		return names, nil
	}
	out, err := u.run(context.Background(), "-test.v", "-test.run="+tests)
	if err != nil {
		return nil, fmt.Errorf("without a bug %s fails: %w\n%s", u.bin, err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, is := strings.CutPrefix(strings.TrimSpace(line), "=== RUN ")
		if !is {
			continue
		}
		test, sub, has := strings.Cut(strings.TrimSpace(name), "/")
		if has {
			names = slices.DeleteFunc(names, func(n string) bool { return n == pattern(test) })
			names = append(names, pattern(test)+"/"+pattern(sub))
		} else {
			names = append(names, pattern(test))
		}
	}
	return names, nil
}

// measure runs the unit without a bug, and notes which bugs it reaches.
func (u *unit) measure(trace string) error {
	began := time.Now()
	if out, err := u.run(context.Background(), "-test.run="+u.name, "REGILD_MUTANT_TRACE="+trace); err != nil {
		return fmt.Errorf("without a bug %s fails: %w\n%s", u, err, out)
	}
	u.took = time.Since(began)
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
	var group []*unit
	var took time.Duration
	try := func() bool {
		if len(group) == 0 {
			return false
		}
		names := make([]string, len(group))
		for i, u := range group {
			names[i] = strings.TrimSuffix(strings.TrimPrefix(u.name, "^("), ")$")
		}
		together := *group[0]
		if len(group) > 1 {
			together.name = pattern(names...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*took+t.slack)
		defer cancel()
		out, err := together.run(ctx, "-test.run="+together.name, "REGILD_MUTANT="+strconv.Itoa(b.id))
		if err != nil {
			by = together.blame(out)
		}
		group, took = nil, 0
		return err != nil
	}
	for _, u := range t.units {
		if !u.reaches[b.id] {
			continue
		}
		reached = true
		joins := len(group) == 0 || group[0].bin == u.bin && !strings.Contains(u.name+group[0].name, "/") && slices.Equal(group[0].env, u.env) && took+u.took <= atOnce
		if !joins && try() {
			return by, true
		}
		group, took = append(group, u), took+u.took
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

// run runs the binary. Arguments that are no flags are for its environment.
func (u *unit) run(ctx context.Context, args ...string) ([]byte, error) {
	flags := []string{"-test.failfast", "-test.count=1"}
	env := append(os.Environ(), u.env...)
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		} else {
			env = append(env, a)
		}
	}
	cmd := exec.CommandContext(ctx, u.bin, flags...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = u.dir, env, time.Second
	return cmd.CombinedOutput()
}
