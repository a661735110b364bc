// Command regild is the operator's side of regild: it plays the function
// against a cloud on this machine (local), explains and tries a fleets.yaml
// (check, plan), reads what the journal knows (status, report), and writes the
// messages that the function takes (send).
//
// The function itself is the other binary, in the root of the project. Each
// command stands in a file of its own name; what people see is made by pure
// functions from a model to lines (board.go, summary.go, …), so that it can be
// tested without a terminal or a clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // windows have time zones, and a machine need not
)

// A world is what a command sees of the process it runs in.
type world struct {
	out, err io.Writer
	in       io.Reader
	lookup   func(string) (string, bool) // the environment
}

// A command is one word behind regild.
type command struct {
	name, args string
	short      string // for the list of commands
	long       string // for its own help, above the flags
	run        func(ctx context.Context, w world, c *command, args []string) error
}

// commands are in the order in which a newcomer needs them. A function, since
// help is one of them and lists them.
func commands() []*command {
	return []*command{localCommand, checkCommand, planCommand, sendCommand, statusCommand, reportCommand, dashboardCommand, versionCommand}
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, world{out: os.Stdout, err: os.Stderr, in: os.Stdin, lookup: os.LookupEnv}, os.Args[1:]))
}

// Exit codes: 0 all is well, 1 it did not work, 2 it was asked for wrongly, 130
// somebody interrupted it.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// errInterrupted says that somebody ended the command before it was done.
var errInterrupted = errors.New("interrupted")

func run(ctx context.Context, w world, args []string) int {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name == "help" || name == "--help" || name == "-h" {
		return help(ctx, w, args)
	}
	for _, c := range commands() {
		if c.name == name {
			return exitCode(w, c, c.run(ctx, w, c, args))
		}
	}
	say(w.err, "regild: there is no command %q; regild help lists them\n", name)
	return exitUsage
}

func exitCode(w world, c *command, err error) int {
	var usage usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		say(w.err, "regild %s: %v\nregild %s --help says how it is used\n", c.name, err, c.name)
		return exitUsage
	case errors.Is(err, errInterrupted):
		say(w.err, "regild %s: %v\n", c.name, err)
		return exitInterrupted
	}
	say(w.err, "regild %s: %v\n", c.name, err)
	return exitFailed
}

// help lists the commands, or shows the help of one.
func help(ctx context.Context, w world, args []string) int {
	for _, c := range commands() {
		if len(args) > 0 && args[0] == c.name {
			return exitCode(w, c, c.run(ctx, w, c, []string{"--help"}))
		}
	}
	say(w.out, "regild brings new golden images to cloud desktops, and tells what became of each.\n\n")
	say(w.out, "Commands:\n")
	for _, c := range commands() {
		say(w.out, "  %-9s %s\n", c.name, c.short)
	}
	say(w.out, "\nregild <command> --help says more of each.\n")
	return 0
}

// say writes text for people. Where it cannot be written there is nobody to
// tell.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// flags returns an empty set of flags for the command.
func (c *command) flags() *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads the command line into the flags and returns what is left of it.
// Flags may stand before and behind the other arguments. Asked for help, it
// writes it and returns flag.ErrHelp.
func (c *command) parse(w world, fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			c.help(w.out, fs)
			return nil, err
		}
		if err != nil {
			return nil, usageError{err}
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// help writes how the command is used.
func (c *command) help(w io.Writer, fs *flag.FlagSet) {
	say(w, "regild %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), strings.TrimSpace(c.long))
	var names, usages []string
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		names = append(names, strings.TrimSpace("--"+f.Name+" "+value))
		usages = append(usages, usage)
	})
	if len(names) == 0 {
		return
	}
	wide := 0
	for _, n := range names {
		wide = max(wide, len(n))
	}
	say(w, "\nFlags:\n")
	for i, n := range names {
		say(w, "  %-*s  %s\n", wide, n, strings.ReplaceAll(usages[i], "\n", "\n"+strings.Repeat(" ", wide+4)))
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ", ") }

// Set adds a value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}
