package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// calls reads docs/commands.md: the actions by policy.
func calls(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]+ \| \[([a-z-]+\.json)\]\(ram/[^)]+\) \| ([^|]+) \|`).FindAllStringSubmatch(string(text), -1) {
		for _, action := range regexp.MustCompile("`([a-z]+:[A-Za-z]+)`").FindAllStringSubmatch(row[2], -1) {
			out[row[1]] = append(out[row[1]], action[1])
		}
	}
	files, err := filepath.Glob("../docs/ram/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); out[name] == nil && !strings.HasSuffix(name, "-trust.json") {
			t.Errorf("docs/commands.md has no row for %s", name)
		}
	}
	return out
}

func TestEveryPolicyAllowsWhatTheTableListsAndNothingElse(t *testing.T) {
	for file, actions := range calls(t) {
		var allowed []string
		for _, s := range load(t, "../docs/ram/"+file).Statement {
			allowed = append(allowed, s.Action...)
		}
		slices.Sort(allowed)
		if allowed = slices.Compact(allowed); !slices.Equal(allowed, actions) {
			t.Errorf("%s allows\n%q, docs/commands.md lists\n%q", file, allowed, actions)
		}
	}
}

// What the code calls must be in the table: a call that nobody listed fails
// under the least rights only, and so in production only.
func TestTheTableListsEveryControlCallOfTheCode(t *testing.T) {
	code := sources(t, "../internal/acs/*.go", "../internal/mns/inspect.go", "../internal/journal/inspect.go")
	var listed []string
	for _, actions := range calls(t) {
		listed = append(listed, actions...)
	}
	names := regexp.MustCompile(`(?:c\.fc|c\.ros|ram|c\.log|c\.look|c\.ask|callError)\((?:ctx, )?"([A-Z][A-Za-z]+)"|action: "([A-Z][A-Za-z]+)"`).FindAllStringSubmatch(code, -1)
	if len(names) < 25 {
		t.Fatalf("found %d calls: has the code's form changed?", len(names))
	}
	for _, m := range names {
		name := m[1] + m[2]
		if name != "GetCallerIdentity" && !slices.ContainsFunc(listed, func(action string) bool { return strings.HasSuffix(action, ":"+name) }) {
			t.Errorf("%s is called, and docs/commands.md does not list it", name)
		}
	}
}

// The way from an empty account to the first outcome is at most six steps, and
// fits on a screen.
func TestTheWayToTheFirstOutcomeIsShort(t *testing.T) {
	text, err := os.ReadFile("../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := regexp.MustCompile(`(?m)^[0-9]+\. `).FindAllString(string(text), -1)
	m := regexp.MustCompile(`\*\*([0-9]) steps\*\*`).FindStringSubmatch(string(text))
	if m == nil || len(steps) == 0 || len(steps) > 6 || m[1] != strings.TrimSuffix(steps[len(steps)-1], ". ") {
		t.Errorf("got %d steps, and the page counts %v", len(steps), m)
	}
	if lines := strings.Count(string(text), "\n"); lines > 45 {
		t.Errorf("the page has %d lines, more than a screen", lines)
	}
}
