package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dependencies = "docs/dependencies.md"

// rows returns the cells of a table of the page, by the name in its first column.
func rows(t *testing.T, table string) map[string][]string {
	t.Helper()
	_, text, ok1 := strings.Cut(read(t, dependencies), "<!-- "+table+" -->\n")
	text, _, ok2 := strings.Cut(text, "<!-- /"+table+" -->")
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table %s", dependencies, table)
	}
	out := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 || slices.Contains(cells, "") {
			t.Errorf("four cells with something in them are needed: %s", line)
			continue
		}
		out[strings.Trim(cells[0], "`")] = cells
	}
	return out
}

// same fails for each name that only one of the two has.
func same(t *testing.T, table string, page map[string][]string, have []string) {
	t.Helper()
	for _, name := range have {
		if page[name] == nil {
			t.Errorf("%s is used and not in the table %s of %s: say why and under which licence", name, table, dependencies)
		}
	}
	for name := range page {
		if !slices.Contains(have, name) {
			t.Errorf("%s is in the table %s of %s and not used", name, table, dependencies)
		}
	}
}

var requirement = regexp.MustCompile(`(?m)^\t(\S+) v\S+$`) // one that is not indirect

func TestEachModuleThatIsAskedForIsOnThePage(t *testing.T) {
	page := rows(t, "direct")
	var have []string
	for _, m := range requirement.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		have = append(have, m[1])
	}
	same(t, "direct", page, have)

	linked := rows(t, "linked")
	var inFunction []string
	for _, m := range strings.Fields(read(t, "testdata/imports.txt")) {
		if !strings.HasPrefix(m, "github.com/regild/regild") {
			inFunction = append(inFunction, m)
		}
	}
	function := map[string][]string{}
	for name, cells := range linked {
		function[name] = cells
	}
	command := modulesOf(t, "./cmd/regild")
	for name, cells := range page {
		want := "tests"
		switch {
		case slices.Contains(inFunction, name):
			want, function[name] = "function", cells
		case command[name] != "":
			want = "command"
		}
		if cells[2] != want {
			t.Errorf("%s is in %s, says the page; it is in %s", name, cells[2], want)
		}
	}
	same(t, "linked", function, inFunction)
}

// modulesOf returns the folder of each module whose packages are in what the
// patterns name.
func modulesOf(t *testing.T, args ...string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing modules: %v", err)
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			dirs[path] = dir
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("only %d modules were found", len(dirs))
	}
	return dirs
}

func TestThePageSaysTheLicenceOfEachModule(t *testing.T) {
	dirs := modulesOf(t, "-test", "-tags=browser,conformance", "./...")
	tables := rows(t, "direct")
	for name, cells := range rows(t, "linked") {
		tables[name] = cells
	}
	for name, cells := range tables {
		dir, ok := dirs[name]
		if !ok {
			t.Errorf("%s is on no list of Go", name)
			continue
		}
		if got := licences(t, dir); got != cells[1] {
			t.Errorf("%s: the page says %q, its licence file %q", name, cells[1], got)
		}
	}
}

// licences returns by their SPDX ids the licences whose words are in a module's
// licence file.
func licences(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range entries {
		if name := strings.ToLower(e.Name()); name == "license" || name == "license.md" || name == "license.txt" || name == "copying" {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Join(strings.Fields(string(data)), " ")
		}
	}
	var found []string
	for _, l := range []struct{ id, words string }{
		{"Apache-2.0", "Apache License"},
		{"BSD-3-Clause", "Neither the name"},
		{"GPL", "GNU GENERAL PUBLIC LICENSE"},
		{"LGPL", "GNU LESSER GENERAL PUBLIC LICENSE"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"MPL-2.0", "Mozilla Public License"},
	} {
		if strings.Contains(text, l.words) {
			found = append(found, l.id)
		}
	}
	return strings.Join(found, ", ")
}

func TestEachToolIsOnThePage(t *testing.T) {
	page := rows(t, "tools")
	var have []string
	for _, file := range []string{"tools/go.mod", "tools/sbom/go.mod"} {
		text := read(t, file)
		for _, m := range regexp.MustCompile(`(?m)^(?:tool |\t)(\S+/cmd/\S+)$`).FindAllStringSubmatch(text, -1) {
			module, _, _ := strings.Cut(m[1], "/cmd/")
			have = append(have, module)
			if cells := page[module]; cells != nil && cells[2] != "`"+file+"`" {
				t.Errorf("%s is pinned in %s, says the page; it is in %s", module, cells[2], file)
			}
		}
	}
	same(t, "tools", page, have)
}

var integrity = regexp.MustCompile(`^sha512-[A-Za-z0-9+/]{86}==$`)

func TestNpmPackagesAreOnThePageAndLockedWithTheirIntegrity(t *testing.T) {
	page := rows(t, "npm")
	var have []string
	files, err := filepath.Glob(filepath.Join(root, "*", "package.json"))
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d package.json, %v", len(files), err)
	}
	for _, file := range files {
		dir := filepath.Base(filepath.Dir(file))
		var asked struct{ Dependencies, DevDependencies map[string]string }
		var lock struct {
			Packages map[string]struct {
				Version, Integrity string
				InBundle           bool // it came in its parent's archive
				License            any
			}
		}
		for path, v := range map[string]any{"package.json": &asked, "package-lock.json": &lock} {
			if err := json.Unmarshal([]byte(read(t, dir+"/"+path)), v); err != nil {
				t.Fatalf("%s/%s: %v", dir, path, err)
			}
		}
		if len(asked.DevDependencies) > 0 {
			t.Errorf("%s: name all packages as dependencies", dir)
		}
		for name, version := range asked.Dependencies {
			have = append(have, name)
			locked := lock.Packages["node_modules/"+name]
			spdx := strings.Replace(fmt.Sprint(locked.License), "Apache 2.0", "Apache-2.0", 1)
			if cells := page[name]; cells != nil && (cells[1] != spdx || cells[2] != "`"+dir+"`") {
				t.Errorf("%s: the page says %s in %s; it is %s in %s", name, cells[1], cells[2], spdx, dir)
			}
			if version != locked.Version {
				t.Errorf("%s: %s is asked for as %s and locked as %s: name one version", dir, name, version, locked.Version)
			}
		}
		for path, p := range lock.Packages {
			if path != "" && !p.InBundle && !integrity.MatchString(p.Integrity) {
				t.Errorf("%s/package-lock.json: %s is not locked with an integrity", dir, path)
			}
		}
	}
	same(t, "npm", page, have)
	if strings.Contains(read(t, "Makefile"), "npm install") || strings.Contains(read(t, ".ci/run"), "npm install") {
		t.Error("npm install does not hold to the lock file; npm ci does")
	}
}

// Nothing found and nothing looked up are not the same. The script runs a Go that
// answers as govulncheck does: 3 when it found something.
func TestTheLookForVulnerabilitiesTellsFoundFromNotLooked(t *testing.T) {
	for code, want := range map[string]int{"0": 0, "3": 1, "1": 2, "2": 2} {
		fake := filepath.Join(t.TempDir(), "go")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\nexit "+code+"\n"), 0o700); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "tools", "vuln.sh"), "target/main")
		cmd.Env = append(os.Environ(), "GO="+fake)
		err := cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("govulncheck exits with %s: got %d (%v), want %d", code, got, err, want)
		}
	}
}
