package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
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
