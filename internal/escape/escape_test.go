package escape_test

import (
	"encoding/csv"
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/regild/regild/internal/escape"
)

var places = map[string]func(string) string{
	"terminal": escape.Terminal, "log": escape.Log, "HTML": escape.HTML, "CSV": escape.CSV,
}

func TestWhatEachPlaceShows(t *testing.T) {
	for _, tt := range []struct{ text, terminal, html, csv string }{
		{"", "", "", `""`},
		{"重建 desktop", "重建 desktop", "重建 desktop", `"重建 desktop"`},
		{"a\nb\r\tc", `a\nb\r\tc`, `a\nb\r\tc`, `"a\nb\r\tc"`},
		{"\x1b[2J\x07\x7f", `\x1b[2J\x07\x7f`, `\x1b[2J\x07\x7f`, `"\x1b[2J\x07\x7f"`},
		{"\u009b31m\u202eexe.txt\u2028", `\u009b31m\u202eexe.txt\u2028`, `\u009b31m\u202eexe.txt\u2028`, `"\u009b31m\u202eexe.txt\u2028"`},
		{"\xff\xed\xa0\x80\ufffd", `\xff\xed\xa0\x80` + `\ufffd`, `\xff\xed\xa0\x80` + `\ufffd`, `"\xff\xed\xa0\x80` + `\ufffd"`},
		{"\ufffe\U000e0001", `\ufffe\U000e0001`, `\ufffe\U000e0001`, `"\ufffe\U000e0001"`},
		{`<a href="x">&'`, `<a href="x">&'`, "&lt;a href=&#34;x&#34;&gt;&amp;&#39;", `"<a href=""x"">&'"`},
		{`=HYPERLINK("http://x")`, `=HYPERLINK("http://x")`, "=HYPERLINK(&#34;http://x&#34;)", `"'=HYPERLINK(""http://x"")"`},
		{"@sum", "@sum", "@sum", `"'@sum"`},
		{"＝1", "＝1", "＝1", `"'＝1"`},
		{"\t=1", `\t=1`, `\t=1`, `"\t=1"`},
		{`C:\new`, `C:\new`, `C:\new`, `"C:\new"`},
	} {
		if got := escape.Terminal(tt.text); got != tt.terminal {
			t.Errorf("terminal, %q: got %q, want %q", tt.text, got, tt.terminal)
		}
		if got := escape.Log(tt.text); got != tt.terminal {
			t.Errorf("log, %q: got %q, want %q", tt.text, got, tt.terminal)
		}
		if got := escape.HTML(tt.text); got != tt.html {
			t.Errorf("HTML, %q: got %q, want %q", tt.text, got, tt.html)
		}
		if got := escape.CSV(tt.text); got != tt.csv {
			t.Errorf("CSV, %q: got %q, want %q", tt.text, got, tt.csv)
		}
	}
}

var harmless = regexp.MustCompile(`^([^<>&"']|&(lt|gt|amp|#34|#39);)*$`)

// Whatever the text is: everything that is shown prints, in one line, and the
// place reads it as text and nothing else.
func FuzzNothingFromOutsideDoesAnything(f *testing.F) {
	for _, s := range []string{"", "\x1b[31m", "\u009b2J", "\u202e", "a\r\nb", "\xff", "\xed\xa0\x80", "\ufffe", "<script>", "&amp;", `"`, "=1+1", "-1", `"",=1`, "＝1"} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, text, beside string) {
		for place, show := range places {
			shown := show(text)
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s shows %q", place, shown)
			}
			if plain := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }); plain && utf8.ValidString(text) && strings.Trim(shown, `"`) != text {
				t.Errorf("%s shows letters as %q", place, shown)
			}
		}
		if shown := escape.HTML(text); !harmless.MatchString(shown) || html.UnescapeString(shown) != escape.Terminal(text) {
			t.Errorf("HTML shows %q", shown)
		}
		cells, err := csv.NewReader(strings.NewReader(escape.CSV(text) + "," + escape.CSV(beside) + "\r\n")).ReadAll()
		if err != nil || len(cells) != 1 || len(cells[0]) != 2 {
			t.Fatalf("CSV reads as %q (%v)", cells, err)
		}
		for i, want := range []string{escape.Terminal(text), escape.Terminal(beside)} {
			cell := cells[0][i]
			if strings.TrimPrefix(cell, "'") != strings.TrimPrefix(want, "'") {
				t.Errorf("CSV gives %q, want %q", cell, want)
			}
			if first, _ := utf8.DecodeRuneInString(cell); strings.ContainsRune("=+-@＝＋－＠\t\r", first) && cell != "" {
				t.Errorf("CSV begins a formula: %q", cell)
			}
		}
	})
}
