package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/regild/regild/internal/operator"
)

// referenceDir has one page for each command.
const referenceDir = "../../docs/cli"

// The pages are made of the commands' own help: go test ./cmd/regild -update
// writes them.
func TestTheReferencePagesAreCurrent(t *testing.T) {
	want := map[string][]byte{}
	root := rootCommand(world{})
	root.DisableAutoGenTag = true
	root.InitDefaultHelpFlag()
	root.InitDefaultCompletionCmd()
	for _, c := range append([]*cobra.Command{root}, allCommands(root)...) {
		if c.Name() == "help" {
			continue
		}
		c.DisableAutoGenTag = true
		var page bytes.Buffer
		if err := doc.GenMarkdown(c, &page); err != nil {
			t.Fatal(err)
		}
		want[pageOf(c)] = page.Bytes()
	}
	if len(want) < 7 {
		t.Fatalf("only %d commands were found", len(want))
	}
	if *update {
		for name, page := range want {
			if err := os.WriteFile(filepath.Join(referenceDir, name), page, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	found, err := filepath.Glob(filepath.Join(referenceDir, "*.md"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages in %s: %v", referenceDir, err)
	}
	var have []string
	for _, path := range found {
		have = append(have, filepath.Base(path))
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if page := want[filepath.Base(path)]; page != nil && !bytes.Equal(got, page) {
			t.Errorf("%s is not what the command's help says (go test ./cmd/regild -update writes it)", path)
		}
	}
	if names := slices.Sorted(maps.Keys(want)); !slices.Equal(have, names) {
		t.Errorf("pages: got\n%q\nwant\n%q", have, names)
	}
}

// pageOf is the name of a command's page, as cobra/doc links to it.
func pageOf(c *cobra.Command) string {
	name := ""
	for ; c != nil; c = c.Parent() {
		if name = c.Name() + name; c.HasParent() {
			name = "_" + name
		}
	}
	return name + ".md"
}

// The page that commands share has two tables that are made from code.
func TestTheTablesOfTheSharedPageAreCurrent(t *testing.T) {
	settings := "| key | variable | flag | meaning |\n|---|---|---|---|\n"
	for _, x := range operator.Settings {
		settings += fmt.Sprintf("| `%s` | `%s` | `--%s` | %s |\n", x.Key, x.Env, x.Flag, strings.ReplaceAll(x.Meaning, "`", ""))
	}
	codes := "| code | meaning |\n|---:|---|\n"
	for _, x := range exitCodes {
		codes += fmt.Sprintf("| %d | %s |\n", x.code, x.meaning)
	}
	const page = "../../docs/cli.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, want := range map[string]string{"operator-settings": settings, "exit-codes": codes} {
		_, rest, ok1 := strings.Cut(text, "<!-- "+name+": ")
		_, rest, ok2 := strings.Cut(rest, "-->\n")
		got, _, ok3 := strings.Cut(rest, "<!-- /"+name+" -->")
		if !ok1 || !ok2 || !ok3 {
			t.Fatalf("%s has no part %s", page, name)
		}
		if got != want && *update {
			text = strings.Replace(text, got, want, 1)
		} else if got != want {
			t.Errorf("%s, %s: got\n%s\nwant\n%s", page, name, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
