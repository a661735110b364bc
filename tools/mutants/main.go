// Command mutants finds out what the tests would not notice. It makes small bugs,
// one at a time, in the packages that it is given, and runs their tests. A bug
// that no test notices survives, and is printed.
//
//	cd tools && go run ./mutants -accepted mutants/accepted.txt \
//		-pkg ./internal/rollout -then './simulation:Kept' -then './simulation:Every:REGILD_SIMULATE_PROFILE=slow'
//
// All bugs of a package are compiled into one test binary, each behind a switch
// that an environment variable sets; so a bug costs no build. The sources are not
// touched: the changed files come in by an overlay. Each test is run once without a
// bug, which tells how long it takes and which bugs it reaches. For a bug only those
// tests run that reach it, the cheapest first, until one fails; each has a few times
// as long as it took without a bug.
//
// The bugs: a condition is taken as the opposite, an operand of && or || is left
// out, a comparison includes or excludes its bound, a statement (an assignment, a
// call, an increment) is left out, a returned true or false is the other. What
// cannot be switched at run time (constants, types, labels) is not changed.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type options struct {
	root     string
	pkg      string
	then     []string
	accepted string
	results  string
	workers  int
	again    bool
	every    int
	whole    bool
	own      bool
	only     string
	slack    time.Duration
	limit    time.Duration
}

func parse() options {
	o := options{}
	flag.StringVar(&o.root, "root", "..", "root of the module that is tested")
	flag.StringVar(&o.pkg, "pkg", "", "package to put bugs into, such as ./internal/plan")
	flag.Func("then", "package:tests[:NAME=value,...] that are run as well: tests is a pattern, each subtest counts for itself; may be repeated", func(s string) error {
		o.then = append(o.then, s)
		return nil
	})
	flag.StringVar(&o.accepted, "accepted", "", "file of bugs that change nothing, each with its reason")
	flag.StringVar(&o.results, "results", "", "file to add results to; bugs that stand in it are not tried again")
	flag.BoolVar(&o.again, "again", false, "try bugs again that survived according to -results")
	flag.IntVar(&o.every, "every", 1, "make each n-th bug only")
	flag.BoolVar(&o.whole, "whole", false, "run the subtests of a test together")
	flag.BoolVar(&o.own, "own", true, "run the package's own tests; false for survivors of theirs, with -again and -then")
	flag.IntVar(&o.workers, "workers", max(1, runtime.NumCPU()), "runs at once")
	flag.StringVar(&o.only, "only", "", "make only bugs whose description contains this")
	flag.DurationVar(&o.slack, "slack", 2*time.Second, "how much more processor time than three times that without a bug tests may take")
	flag.DurationVar(&o.limit, "limit", 0, "begin no further bug after this time; 0: try all")
	flag.Parse()
	return o
}

func run() (err error) {
	o := parse()
	if o.pkg == "" {
		return errors.New("no -pkg; see -h")
	}
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	bugs, overlay, err := instrument(filepath.Join(o.root, o.pkg), work)
	if err != nil {
		return err
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	before, err := readResults(o.results, o.again)
	if err != nil {
		return err
	}
	units, err := prepare(o, work, overlay)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d bugs, %d tests\n", o.pkg, len(bugs), len(units))
	t := &trial{options: o, units: units, accepted: accepted, before: before, began: time.Now()}
	return t.judge(bugs)
}

// A trial is the bugs of one package being tried.
type trial struct {
	options
	units    []*unit
	accepted map[string]string
	before   map[string]result
	began    time.Time

	mu        sync.Mutex
	survivors []string
	tried     int
	killed    int
	equal     int // accepted
	reached   int // by a test
	stale     []string
	results   *os.File
}

// A result is what became of a bug: by names the test that noticed it, or is "".
type result struct{ by string }

// judge tries every bug, and prints those that survive.
func (t *trial) judge(bugs []bug) (err error) {
	if t.options.results != "" {
		f, fault := os.OpenFile(t.options.results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if fault != nil {
			return fault
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		t.results = f
	}
	var group sync.WaitGroup
	next := make(chan bug)
	for range t.workers {
		group.Go(func() {
			for b := range next {
				t.try(b)
			}
		})
	}
	for _, b := range bugs {
		if t.limit > 0 && time.Since(t.began) > t.limit {
			fmt.Printf("%s: the time is up; %d bugs are not tried\n", t.pkg, len(bugs)-t.tried)
			break
		}
		if strings.Contains(b.String(), t.only) && b.id%max(t.every, 1) == 0 {
			next <- b
		}
	}
	close(next)
	group.Wait()
	slices.Sort(t.survivors)
	fmt.Printf("%s: %d bugs, %d noticed, %d accepted, %d survived (%d of them reached by a test)\n", t.pkg, t.tried, t.killed, t.equal, len(t.survivors), t.reached)
	for _, s := range t.stale {
		fmt.Printf("%s: accepted, and noticed by a test: %s\n", t.pkg, s)
	}
	if len(t.survivors) > 0 {
		return fmt.Errorf("%d bugs of %s are noticed by no test", len(t.survivors), t.pkg)
	}
	return nil
}

func (t *trial) try(b bug) {
	name := b.String()
	r, known := t.before[name]
	reached := false
	if !known {
		r.by, reached = t.noticed(b)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried++
	if !known && t.results != nil {
		fmt.Fprintf(t.results, "%s\t%s\n", name, r.by)
	}
	_, equal := t.accepted[name]
	switch {
	case r.by != "":
		t.killed++
		if equal {
			t.stale = append(t.stale, name)
		}
	case equal:
		t.equal++
	default:
		if reached {
			t.reached++
		}
		t.survivors = append(t.survivors, name)
		fmt.Println("survived:", name)
	}
	if t.tried%100 == 0 {
		fmt.Fprintf(os.Stderr, "%d tried, %d survived\n", t.tried, len(t.survivors))
	}
}

// readAccepted reads lines of a description, a tab and a reason.
func readAccepted(name string) (map[string]string, error) {
	out := map[string]string{}
	if name == "" {
		return out, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		what, why, ok := strings.Cut(line, "\t")
		if !ok || strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("%s:%d: no tab and reason behind the description", name, n)
		}
		out[what] = why
	}
	return out, lines.Err()
}

// readResults reads lines of a description, a tab and the test that noticed the bug.
// Without the survivors, if they are to be tried again; the last line counts.
func readResults(name string, again bool) (map[string]result, error) {
	out := map[string]result{}
	data, err := os.ReadFile(name)
	if name == "" || errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	for line := range strings.Lines(string(data)) {
		what, by, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if out[what] = (result{by}); by == "" && again {
			delete(out, what)
		}
	}
	return out, err
}
