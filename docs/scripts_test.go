package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

// A trial is one run of a script in a folder of its own: what is there before,
// what replaces the script's settings, and the exit code that must come of it.
type trial struct {
	script, name string
	files        map[string]time.Duration // by path, how old
	settings     map[string]string        // ROOT stands for the folder
	exit         int
	then         string // a file that must be there after
}

const missing = "$from = 'ROOT/none'"

var trials = []trial{
	{"postpone", "nobody asked", nil, map[string]string{`$flag = 'C:\ProgramData\regild\not-now'`: "$flag = 'ROOT/not-now'"}, 0, ""},
	{"postpone", "somebody asked", map[string]time.Duration{"not-now": time.Hour}, map[string]string{`$flag = 'C:\ProgramData\regild\not-now'`: "$flag = 'ROOT/not-now'"}, fleet.NotNow, ""},
	{"postpone", "too long ago", map[string]time.Duration{"not-now": 9 * time.Hour}, map[string]string{`$flag = 'C:\ProgramData\regild\not-now'`: "$flag = 'ROOT/not-now'"}, 0, ""},
	{"documents", "none is open", map[string]time.Duration{"li/plan.docx": 0}, map[string]string{`$root = 'C:\Users'`: "$root = 'ROOT'"}, 0, ""},
	{"documents", "one is open", map[string]time.Duration{"li/~$plan.docx": 0}, map[string]string{`$root = 'C:\Users'`: "$root = 'ROOT'"}, fleet.NotNow, ""},
	{"copy", "it is copied", map[string]time.Duration{"docs/a.txt": 0, "share/x": 0}, map[string]string{
		`$from = 'C:\Users\Public\Documents'`: "$from = 'ROOT/docs'", `$to = '\\files.example.com\rescue'`: "$to = 'ROOT/share'",
		"[Environment]::MachineName": "'pc'"}, 0, "share/pc/docs/a.txt"},
	{"copy", "nothing is there", nil, map[string]string{`$from = 'C:\Users\Public\Documents'`: missing}, 0, ""},
	{"copy", "the share is a file", map[string]time.Duration{"docs/a.txt": 0, "share": 0}, map[string]string{
		`$from = 'C:\Users\Public\Documents'`: "$from = 'ROOT/docs'", `$to = '\\files.example.com\rescue'`: "$to = 'ROOT/share'"}, 1, ""},
}

// lay makes the files of a trial.
func (c trial) lay(t *testing.T, root string) {
	t.Helper()
	for name, age := range c.files {
		path := filepath.Join(root, name)
		at := time.Now().Add(-age)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
}

// Each script is one that fleets.yaml takes and that docs/people.md names. Where
// there is a PowerShell it is run: what it is to come to stands in its trials.
func TestEachScriptIsACommandOfAFleetAndDoesWhatItSays(t *testing.T) {
	shell, err := exec.LookPath("pwsh")
	if err != nil {
		t.Log("there is no PowerShell here: the scripts are read, and not run")
	}
	var tried []string
	for _, c := range trials {
		name := "docs/scripts/" + c.script + ".ps1"
		tried = append(tried, filepath.Join("..", name))
		text := read(t, name)
		command, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.Parse("fleets.yaml", fmt.Appendf(nil, "fleets: [{name: a, region: cn-hangzhou, images: [w], select: all, strategy: {before: {command: %s}}}]", command)); err != nil {
			t.Errorf("%s: a fleet does not take it as a command: %v", name, err)
		}
		if !strings.Contains(read(t, "docs/people.md"), "scripts/"+c.script+".ps1") {
			t.Errorf("docs/people.md does not name %s", name)
		}
		root := t.TempDir()
		c.lay(t, root)
		for from, to := range c.settings {
			if strings.Count(text, from) != 1 {
				t.Fatalf("%s has not the setting %s, once", name, from)
			}
			text = strings.Replace(text, from, strings.ReplaceAll(to, "ROOT", filepath.ToSlash(root)), 1)
		}
		if shell != "" {
			c.run(t, shell, root, text)
		}
	}
	all, err := filepath.Glob("scripts/*")
	if err != nil || len(all) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	for _, name := range all {
		if !slices.Contains(tried, filepath.Join("..", "docs", name)) {
			t.Errorf("%s is never tried", name)
		}
	}
}

// run runs a script as ECD does: from a file, without a profile.
func (c trial) run(t *testing.T, shell, root, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.ps1")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), shell, "-NoProfile", "-NonInteractive", "-File", file).CombinedOutput() //nolint:gosec // a shell that was looked up
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code != c.exit {
		t.Errorf("%s, %s: exit code %d, want %d: %s", c.script, c.name, code, c.exit, out)
	}
	if c.then != "" {
		if _, err := os.Stat(filepath.Join(root, c.then)); err != nil {
			t.Errorf("%s, %s: %v", c.script, c.name, err)
		}
	}
}
