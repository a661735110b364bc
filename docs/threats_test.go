package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	named    = regexp.MustCompile("`([^`]+)`")
)

// A row of the threat model that names a test which is gone, or none, promises
// what nobody shows.
func TestThreatsNameTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".txtar") {
			there[strings.TrimSuffix(filepath.Base(path), ".txtar")] = true
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(read(t, "docs/threat-model.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 7 || strings.HasPrefix(cells[1], "--") || strings.TrimSpace(cells[1]) == "who" {
			continue
		}
		rows++
		names := named.FindAllStringSubmatch(cells[5], -1)
		if len(names) == 0 {
			t.Errorf("nothing shows this row: %s", line)
		}
		for _, n := range names {
			if !there[n[1]] {
				t.Errorf("%s is neither a test nor a story: %s", n[1], line)
			}
		}
	}
	if rows < 15 {
		t.Errorf("found %d rows: has the table's form changed?", rows)
	}
}
