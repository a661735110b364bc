// Command mutants finds out what the tests would not notice. It makes small bugs,
// one at a time, in the packages that it is given, and runs their tests. A bug
// that no test notices survives, and is printed.
//
//	cd tools && go run ./mutants -accepted mutants/accepted.txt \
//		-pkg ./internal/rollout -then './handler:-test.run=TestSimulation'
//
// All bugs of a package are compiled into one test binary, each behind a switch
// that an environment variable sets; so a bug costs one run of the tests and no
// build. The sources are not touched: the changed files come in by an overlay.
//
// The bugs: a condition is taken as the opposite, an operand of && or || is left
// out, a comparison includes or excludes its bound, a statement (an assignment, a
// call, an increment) is left out, a returned true or false is the other. What
// cannot be switched at run time (constants, types, labels) is not changed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
	workers  int
	only     string
	slow     string
	slack    time.Duration
}

func parse() options {
	o := options{}
	flag.StringVar(&o.root, "root", "..", "root of the module that is tested")
	flag.StringVar(&o.pkg, "pkg", "", "package to put bugs into, such as ./internal/plan")
	flag.Func("then", "package:flags of tests that are run as well, if its own notice nothing; may be repeated", func(s string) error {
		o.then = append(o.then, s)
		return nil
	})
	flag.StringVar(&o.accepted, "accepted", "", "file of bugs that change nothing, each with its reason")
	flag.IntVar(&o.workers, "workers", max(1, runtime.NumCPU()), "runs at once")
	flag.StringVar(&o.only, "only", "", "make only bugs whose description contains this")
	flag.StringVar(&o.slow, "slow", "", "pattern of the package's slow tests, which run if the others notice nothing")
	flag.DurationVar(&o.slack, "slack", 20*time.Second, "how much longer than without a bug tests may take")
	flag.Parse()
	return o
}

// suites returns the tests to run, those of the package itself first.
func (o options) suites() []*suite {
	out := []*suite{{pkg: o.pkg}}
	if o.slow != "" { // first without them: most bugs are noticed by a quick one
		out = []*suite{{pkg: o.pkg, flags: []string{"-test.skip=" + o.slow}}, {pkg: o.pkg, flags: []string{"-test.run=" + o.slow}}}
	}
	for _, t := range o.then {
		pkg, flags, _ := strings.Cut(t, ":")
		out = append(out, &suite{pkg: pkg, flags: strings.Fields(flags)})
	}
	return out
}

func run() error {
	o := parse()
	if o.pkg == "" {
		return errors.New("no -pkg; see -h")
	}
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bugs, overlay, err := instrument(filepath.Join(o.root, o.pkg), work)
	if err != nil {
		return err
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	suites := o.suites()
	for _, s := range suites {
		if err := s.prepare(o, work, overlay); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d bugs\n", o.pkg, len(bugs))
	return judge(o, bugs, suites, accepted)
}

// judge tries every bug, and prints those that survive.
func judge(o options, bugs []bug, suites []*suite, accepted map[string]string) error {
	var mu sync.Mutex
	var survivors []string
	killed, equal, tried := 0, 0, 0
	var group sync.WaitGroup
	next := make(chan bug)
	for range o.workers {
		group.Go(func() {
			for b := range next {
				noticed := false
				for _, s := range suites {
					if noticed = s.notices(b, o.slack); noticed {
						break
					}
				}
				mu.Lock()
				tried++
				reason, known := accepted[b.String()]
				switch {
				case noticed:
					killed++
				case known:
					equal++
					_ = reason
				default:
					survivors = append(survivors, b.String())
					fmt.Println("survived:", b)
				}
				if tried%100 == 0 {
					fmt.Fprintf(os.Stderr, "%d tried, %d survived\n", tried, len(survivors))
				}
				mu.Unlock()
			}
		})
	}
	for _, b := range bugs {
		if strings.Contains(b.String(), o.only) {
			next <- b
		}
	}
	close(next)
	group.Wait()
	slices.Sort(survivors)
	fmt.Printf("%s: %d bugs, %d noticed, %d change nothing, %d survived\n", o.pkg, tried, killed, equal, len(survivors))
	if len(survivors) > 0 {
		return fmt.Errorf("%d bugs of %s are noticed by no test", len(survivors), o.pkg)
	}
	return nil
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
	defer f.Close()
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

// A suite is a test binary with the bugs of a package compiled in.
type suite struct {
	pkg   string
	flags []string
	dir   string
	bin   string
	took  time.Duration
	seen  map[int]bool // bugs whose place it comes to
}

// prepare builds the binary and runs it without a bug.
func (s *suite) prepare(o options, work, overlay string) error {
	s.dir = filepath.Join(o.root, s.pkg)
	s.bin = filepath.Join(work, strings.NewReplacer("/", "_", ".", "_").Replace(s.pkg)+strconv.Itoa(len(strings.Join(s.flags, "")))+".test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", s.bin, s.pkg)
	build.Dir = o.root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests of %s: %w\n%s", s.pkg, err, out)
	}
	trace := s.bin + ".trace"
	began := time.Now()
	if out, err := s.run(context.Background(), "REGILD_MUTANT_TRACE="+trace); err != nil {
		return fmt.Errorf("without a bug the tests of %s fail: %w\n%s", s.pkg, err, out)
	}
	s.took = time.Since(began)
	data, err := os.ReadFile(trace)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.seen = map[int]bool{}
	for _, field := range strings.Fields(string(data)) {
		if id, err := strconv.Atoi(field); err == nil {
			s.seen[id] = true
		}
	}
	return nil
}

// notices says whether a test fails, or does not end, with the bug.
func (s *suite) notices(b bug, slack time.Duration) bool {
	if !s.seen[b.id] {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*s.took+slack)
	defer cancel()
	_, err := s.run(ctx, "REGILD_MUTANT="+strconv.Itoa(b.id))
	return err != nil
}

func (s *suite) run(ctx context.Context, env string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.bin, append([]string{"-test.failfast", "-test.count=1"}, s.flags...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), env)
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}
