// Package docs holds no code. Its tests hold the written house and the code in
// agreement: tables that are made from code, samples, links, commands, numbers.
//
//	go test ./docs -update
//
// writes the tables anew; read the difference before you commit.
package docs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables that are made from code")

const root = ".."

// pages returns every page of the house, README first.
func pages(t *testing.T) []string {
	t.Helper()
	out := []string{"README.md", "README.zh-CN.md", "CHANGELOG.md", "RELEASING.md"}
	for _, pattern := range []string{"docs/*.md", "docs/zh/*.md", "docs/decisions/*.md", "events/samples/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no page matches %s: %v", pattern, err)
		}
		for _, path := range found {
			out = append(out, filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator))))
		}
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// between holds the part of a page between two markers to want, or writes it.
func between(t *testing.T, page, name, want string) {
	t.Helper()
	text := read(t, page)
	start := strings.Index(text, "<!-- "+name+":")
	end := strings.Index(text, "<!-- /"+name+" -->")
	if start < 0 || end < start {
		t.Fatalf("%s has no part <!-- %s: … --> to <!-- /%s -->", page, name, name)
	}
	start += strings.Index(text[start:], "-->\n") + len("-->\n")
	if got := text[start:end]; got == want {
		return
	} else if !*update {
		t.Errorf("%s, %s: got\n%s\nwant\n%s\n(go test ./docs -update writes it)", page, name, got, want)
		return
	}
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(page)), []byte(text[:start]+want+text[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

var sample = regexp.MustCompile("(?s)<!-- sample: (\\S+) -->\n```json\n(.*?)```")

func TestSamplesOnPagesAreTheSamplesThatAreTested(t *testing.T) {
	seen := 0
	for _, page := range pages(t) {
		text := read(t, page)
		found := sample.FindAllStringSubmatch(text, -1)
		if n := strings.Count(text, "<!-- sample:"); n != len(found) {
			t.Errorf("%s marks %d samples, of which %d are followed by a json block", page, n, len(found))
		}
		for _, m := range found {
			seen++
			var got, want any
			if err := json.Unmarshal([]byte(m[2]), &got); err != nil {
				t.Errorf("%s, sample %s: %v", page, m[1], err)
				continue
			}
			if err := json.Unmarshal([]byte(read(t, m[1])), &want); err != nil {
				t.Errorf("%s: %v", m[1], err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s shows another sample than %s: got\n%v\nwant\n%v", page, m[1], got, want)
			}
		}
	}
	if seen < 6 {
		t.Errorf("only %d samples were found on the pages", seen)
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fence    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

func TestLinksLeadSomewhere(t *testing.T) {
	seen := 0
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, page), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			seen++
			path := page
			if target != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(page), target))
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(path))); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], path)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d links were found", seen)
	}
}

// anchors returns the names under which a forge makes headings reachable.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		plain := noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		out = append(out, strings.ReplaceAll(plain, " ", "-"))
	}
	return out
}

var makeTarget = regexp.MustCompile("(?m)(?:`|^    )make ([a-z][a-z -]*[a-z])")

func TestEveryMakeTargetThatIsNamedExists(t *testing.T) {
	makefile := read(t, "Makefile")
	seen := 0
	for _, page := range pages(t) {
		for _, m := range makeTarget.FindAllStringSubmatch(read(t, page), -1) {
			for target := range strings.FieldsSeq(m[1]) {
				seen++
				if !strings.Contains(makefile, "\n"+target+":") {
					t.Errorf("%s names make %s, which the Makefile does not have", page, target)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d targets were found", seen)
	}
}

func TestPagesNeverNameWhatIsNotFinished(t *testing.T) {
	for _, page := range pages(t) {
		for _, word := range []string{"TODO", "FIXME", "XXX", "coming soon"} {
			if strings.Contains(read(t, page), word) {
				t.Errorf("%s says %s", page, word)
			}
		}
	}
}

func TestReadmeNamesEveryPackage(t *testing.T) {
	readme := read(t, "README.md")
	found, err := filepath.Glob(filepath.Join(root, "internal", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no packages: %v", err)
	}
	for _, path := range found {
		if dir := "internal/" + filepath.Base(path); !strings.Contains(readme, "]("+dir+")") {
			t.Errorf("the table of packages leaves out %s", dir)
		}
	}
}

var numbered = regexp.MustCompile(`^[0-9]{4}$`)

func TestDecisionsHaveANumberOfTheirOwnAndAStatus(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("decisions", "*.md"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	last := ""
	for _, path := range found { // Glob sorts
		name := filepath.Base(path)
		number, _, ok := strings.Cut(name, "-")
		if !ok || !numbered.MatchString(number) || number == last {
			t.Errorf("%s does not begin with a number of four digits that no other decision has", name)
		}
		last = number
		text := read(t, "docs/decisions/"+name)
		for _, part := range []string{"\nStatus: ", "\nRefused"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no line that begins with %q", name, strings.TrimSpace(part))
			}
		}
	}
}

var (
	operators = regexp.MustCompile("(?m)(?:^    |`)(?:bin/)?regild ([a-z]+(?: [a-z]+)?)([^`\n]*)")
	option    = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// The pages of docs/cli are made of the commands themselves; a test of
// cmd/regild holds them current.
func TestEveryCommandOfTheOperatorThatIsNamedExists(t *testing.T) {
	seen := 0
	for _, page := range pages(t) {
		for _, m := range operators.FindAllStringSubmatch(strings.ReplaceAll(read(t, page), "\\\n", " "), -1) {
			seen++
			verb, sub, _ := strings.Cut(m[1], " ")
			reference, err := os.ReadFile(filepath.Join(root, "docs", "cli", "regild_"+verb+"_"+sub+".md"))
			if err != nil {
				reference, err = os.ReadFile(filepath.Join(root, "docs", "cli", "regild_"+verb+".md"))
			}
			if err != nil {
				t.Errorf("%s names regild %s, which is no command", page, m[1])
				continue
			}
			for _, o := range option.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(string(reference), "--"+o[1]+" ") {
					t.Errorf("%s gives regild %s the flag --%s, which it does not have", page, m[1], o[1])
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found", seen)
	}
}

func TestThePageOfTheArchitectureNamesEveryFileOfAStage(t *testing.T) {
	page, handle := read(t, "docs/architecture.md"), read(t, "handler/handler.go")
	files, err := filepath.Glob(filepath.Join(root, "handler", "admit*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of the first stage: %v", err)
	}
	for _, stage := range []string{"decide", "prepare", "rebuild", "rollback", "outbox", "conclude", "schedule"} {
		files = append(files, stage+".go")
	}
	for _, file := range files {
		if !strings.Contains(page, "(../handler/"+filepath.Base(file)+")") {
			t.Errorf("docs/architecture.md does not name handler/%s", filepath.Base(file))
		}
	}
	for _, stage := range regexp.MustCompile(`(?m)^\| ([a-zA-Z]+) \| `).FindAllStringSubmatch(page, -1) {
		if stage[1] != "stage" && !strings.Contains(handle, "."+stage[1]) {
			t.Errorf("docs/architecture.md names the stage %s, which Handle does not run", stage[1])
		}
	}
}
