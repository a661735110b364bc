package docs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/events"
)

// translated are the pages that exist in Chinese too.
var translated = [][2]string{
	{"README.md", "README.zh-CN.md"},
	{"docs/deployment.md", "docs/zh/deployment.md"},
	{"docs/rollouts.md", "docs/zh/rollouts.md"},
	{"docs/runbook.md", "docs/zh/runbook.md"},
	{"docs/codes.md", "docs/zh/codes.md"},
}

// A part is what stands between two headings, by what both languages share.
type part struct {
	title   string
	level   int
	prose   string
	code    []string // in the prose and in tables, sorted, each once
	numbers []string // likewise, in digits
	tables  []string // how large they are
	blocks  []string // lines of code, without comments
	links   int
}

func TestBothLanguagesSayTheSame(t *testing.T) {
	for _, p := range translated {
		en, zh := partsOf(read(t, p[0])), partsOf(read(t, p[1]))
		if len(en) != len(zh) {
			t.Errorf("%s has %d headings, %s has %d", p[0], len(en), p[1], len(zh))
			continue
		}
		for i, e := range en {
			z := zh[i]
			differ := func(what string, got, want any) {
				t.Errorf("%s, %q: %s differ from %s, %q: got %v, want %v", p[1], z.title, what, p[0], e.title, got, want)
			}
			if e.level != z.level {
				differ("headings", z.level, e.level)
			}
			if only := without(e.code, z.code); len(only) > 0 {
				differ("words in code style", "nothing of", only)
			}
			if only := without(z.code, e.code); len(only) > 0 {
				differ("words in code style", only, "nothing of them")
			}
			if only := without(e.numbers, z.numbers); len(only) > 0 {
				differ("numbers", z.numbers, only)
			}
			if !slices.Equal(e.tables, z.tables) {
				differ("tables", z.tables, e.tables)
			}
			if !slices.Equal(e.blocks, z.blocks) {
				differ("blocks of code", z.blocks, e.blocks)
			}
			if e.links != z.links {
				differ("links", z.links, e.links)
			}
		}
	}
}

var (
	title   = regexp.MustCompile(`^(#+) +(.+)$`)
	span    = regexp.MustCompile("`([^`]+)`")
	figure  = regexp.MustCompile(`[0-9]+(?:[.,][0-9]+)*`)
	comment = regexp.MustCompile(`(?:^|\s+)#.*$`)
	rule    = regexp.MustCompile(`^\|[-|]+\|$`)
)

// partsOf takes a page apart at its headings.
func partsOf(text string) []part {
	var out []part
	fenced, rows := false, -1 // of the table that is under way; -1: none is
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := title.FindStringSubmatch(line); m != nil && !fenced {
			out = append(out, part{title: m[2], level: len(m[1])})
			continue
		}
		if len(out) == 0 || strings.HasPrefix(line, "<!--") {
			continue
		}
		p := &out[len(out)-1]
		if !strings.HasPrefix(line, "|") {
			rows = -1
		}
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			if code := comment.ReplaceAllString(line, ""); strings.TrimSpace(code) != "" {
				p.blocks = append(p.blocks, strings.Join(strings.Fields(code), " "))
			}
		case rule.MatchString(line):
			rows = 0
			p.tables = append(p.tables, "")
		case strings.HasPrefix(line, "|") && rows >= 0:
			rows++
			p.tables[len(p.tables)-1] = fmt.Sprintf("%d rows of %d", rows, strings.Count(span.ReplaceAllString(line, ""), "|")-1)
			p.prose += " " + line
		default:
			p.prose += " " + line
		}
	}
	for i := range out {
		out[i].read()
	}
	return out
}

// read takes out of the prose what it shares with its translation.
func (p *part) read() {
	p.links = len(link.FindAllString(p.prose, -1))
	prose := link.ReplaceAllString(p.prose, "]")
	for _, m := range span.FindAllStringSubmatch(prose, -1) {
		p.code = append(p.code, strings.Join(strings.Fields(m[1]), " "))
	}
	slices.Sort(p.code)
	p.code = slices.Compact(p.code)
	p.numbers = figure.FindAllString(span.ReplaceAllString(prose, ""), -1)
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// inChinese writes a table that is made from code into a Chinese page: each pair
// of words is a piece of the English one and its translation.
func inChinese(t *testing.T, page, name, table string, words ...string) {
	t.Helper()
	table = strings.NewReplacer(words...).Replace(table)
	if left := english.FindString(span.ReplaceAllString(table, "")); left != "" {
		t.Errorf("%s, %s: nobody has translated %q", page, name, left)
	}
	between(t, page, name, table)
}

// english is a run of words that a translation has left as it was.
var english = regexp.MustCompile(`[a-z]{2,}(?: [a-zA-Z]+)+`)

func TestTheChinesePageOfCodesHoldsEveryCode(t *testing.T) {
	text := read(t, "docs/zh/codes.md")
	for _, s := range events.Statuses {
		_, section, found := strings.Cut(text, "\n## "+string(s)+"\n")
		if !found {
			t.Errorf("docs/zh/codes.md has no heading %s", s)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, c := range events.Codes {
			if c.Status == s && !strings.Contains(section, "| `"+c.Name+"` | ") {
				t.Errorf("docs/zh/codes.md, %s: there is no row for %s: %s", s, c.Name, c.Meaning)
			}
		}
	}
}

func TestEveryChinesePageHasItsEnglishOne(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("zh", "*.md"))
	if err != nil || len(found) < 4 {
		t.Fatalf("pages: %v, %v", found, err)
	}
	for _, path := range found {
		name := "docs/" + filepath.ToSlash(path)
		if !slices.ContainsFunc(translated, func(p [2]string) bool { return p[1] == name }) {
			t.Errorf("%s is held to no page", name)
		}
	}
}
