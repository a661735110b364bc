// Command regild is the operator's side of regild: it plays the function
// against a cloud on this machine (local), explains and tries a fleets.yaml
// (check, plan), reads what the journal knows (status, report), and writes the
// messages that the function takes (send).
//
// The function itself is the other binary, in the root of the project. Each
// command stands in a file of its own name and is a cobra command; what people
// see is made by pure functions from a model to lines (board.go, summary.go, …),
// so that it can be tested without a terminal or a clock.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // windows have time zones, and a machine need not

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/regild/regild/internal/clock"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/escape"
)

// A world is what a command sees of the process it runs in.
type world struct {
	out, err io.Writer
	in       io.Reader
	lookup   func(string) (string, bool) // the environment
	asks     func() bool                 // whether somebody can be asked at in; nil: nobody
}

// env returns a variable of the environment; "" it is not set.
func (w world) env(name string) string {
	v, _ := w.lookup(name)
	return v
}

// keys returns the credentials of the environment.
func (w world) keys(context.Context) (credentials.Keys, error) {
	k := credentials.Keys{ID: w.env("ALIBABA_CLOUD_ACCESS_KEY_ID"), Secret: w.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		Token: w.env("ALIBABA_CLOUD_SECURITY_TOKEN")}
	if !k.Complete() {
		return credentials.Keys{}, fmt.Errorf("there are no credentials: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	}
	return k, nil
}

// clock returns the clock of the function: this machine's, or that of the local cloud that
// REGILD_CLOCK names, as long as it is there.
func (w world) clock() func() time.Time {
	now, err := clock.Of(w.env("REGILD_CLOCK"))
	if err != nil {
		return time.Now
	}
	return now
}

// memoryLimit is what the collector keeps to, as long as less than that is in use:
// a journal of 10,000 requests is read on a small machine, too.
const memoryLimit = 72 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, world{out: os.Stdout, err: os.Stderr, in: os.Stdin, lookup: os.LookupEnv,
		asks: func() bool { return term.IsTerminal(int(os.Stdin.Fd())) }}, os.Args[1:]))
}

// The exit codes, the same for every command. docs/cli.md has the table.
const (
	exitFailed      = 1   // it could not be done
	exitUsage       = 2   // it was asked for wrongly
	exitFailures    = 3   // what was waited for ended, and some desktop failed or was refused
	exitStopped     = 4   // what was waited for halted, was aborted or was superseded
	exitTimedOut    = 5   // what was waited for did not come in time
	exitInterrupted = 130 // somebody interrupted it
)

// exitCodes are all of them, for the page of docs.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{0, "done; of what was waited for: every desktop is completed or skipped"},
	{exitFailed, "could not be done, or somebody said no"},
	{exitUsage, "asked for wrongly"},
	{exitFailures, "what was waited for has ended, and some desktop failed or was refused"},
	{exitStopped, "what was waited for halted, was aborted or was superseded"},
	{exitTimedOut, "timed out: no end, or no answer, within `--timeout`"},
	{exitInterrupted, "interrupted"},
}

// An endError is how something came out that was waited for.
type endError struct {
	code int
	error
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// errInterrupted says that somebody ended the command before it was done.
var errInterrupted = errors.New("interrupted")

// run runs one command line and returns its exit code.
func run(ctx context.Context, w world, args []string) (code int) {
	defer func() {
		if fault := recover(); fault != nil { // a sentence helps whoever is at work; a stack does not
			say(w.err, "regild: this is a fault of regild's own, please report it: %s\n", escape.Lines(fmt.Sprint(fault)))
			code = exitFailed
		}
	}()
	root := rootCommand(w)
	root.SetArgs(append([]string{}, args...)) // cobra would take nil for the process's own
	c, err := root.ExecuteContextC(ctx)
	return exitCode(w, c, err)
}

// rootCommand returns regild with all of its commands. They are in the order in
// which a newcomer needs them.
func rootCommand(w world) *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:   "regild",
		Short: "bring new golden images to cloud desktops, and tell what became of each",
		Long:  "regild brings new golden images to cloud desktops, and tells what became of each.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; regild help lists them", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },

		SilenceErrors: true, // exitCode tells them
		SilenceUsage:  true,
	}
	root.SetOut(w.out)
	root.SetErr(w.err)
	root.SetIn(w.in)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", helpWidth)))
	root.AddCommand(localCommand(w), checkCommand(w), planCommand(w), sendCommand(w), statusCommand(w), reportCommand(w),
		rolloutCommand(w), requestCommand(w), releaseCommand(w), watchCommand(w), waitCommand(w), tailCommand(w), dashboardCommand(w), configCommand(w),
		setupCommand(w), doctorCommand(w), stopCommand(w), startCommand(w), versionCommand(w))
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" { // cobra's own shows its help, whatever shell is named
			c.Short = "write a script by which a shell completes commands, flags and names"
			c.Args, c.RunE = group("", "", "").Args, group("", "", "").RunE
		}
	}
	narrow(root)
	return root
}

// narrow trims the help of a command and of those under it, and wraps its
// paragraphs anew. What is indented stays as it is.
func narrow(c *cobra.Command) {
	var out, text []string
	for l := range strings.SplitSeq(strings.TrimSpace(c.Long)+"\n", "\n") {
		if l != "" && strings.TrimLeft(l, " \t") == l {
			text = append(text, l)
			continue
		}
		if len(text) > 0 {
			out, text = append(out, wrap(strings.Join(text, " "), textWidth)...), nil
		}
		out = append(out, l)
	}
	c.Long = strings.TrimSpace(strings.Join(out, "\n"))
	for _, sub := range c.Commands() {
		narrow(sub)
	}
}

// textWidth is how wide a help's text is, in columns.
const textWidth = 80

// helpWidth is the longest line of a help, in columns.
const helpWidth = 100

// helpCommand shows the help of a command. Unlike cobra's own it fails on a
// command that is not there.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "say more of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("there is no command %q; regild help lists them", strings.Join(args, " "))}
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// exitCode tells an error and says what the process exits with.
func exitCode(w world, c *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	say(w.err, "%s: %s\n", c.CommandPath(), escape.Lines(err.Error()))
	var usage usageError
	var ended endError
	switch {
	case errors.As(err, &usage):
		if c.HasParent() {
			say(w.err, "%s --help says how it is used\n", c.CommandPath())
		}
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &ended):
		return ended.code
	}
	return exitFailed
}

// say writes text for people. Where it cannot be written there is nobody to
// tell.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// trouble says what is in the way of something that goes on trying.
func (w world) trouble(err error) {
	say(w.err, "%s; it is tried again\n", escape.Terminal(err.Error()))
}

// takesNo refuses arguments that a command has no use for.
func takesNo(rest []string) error {
	if len(rest) > 0 {
		return usageError{fmt.Errorf("%q is one argument too many", rest[0])}
	}
	return nil
}

// noArgs is takesNo for a command that takes none at all.
func noArgs(_ *cobra.Command, args []string) error { return takesNo(args) }
