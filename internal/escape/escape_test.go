package escape_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/regild/regild/internal/escape"
)

var places = map[string]func(string) string{
	"terminal": escape.Terminal, "log": escape.Log,
}

func TestWhatEachPlaceShows(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "重建 desktop": "重建 desktop", "a\nb\r\tc": `a\nb\r\tc`, "\x1b[2J\x07\x7f": `\x1b[2J\x07\x7f`, "\t=1": `\t=1`, `C:\new`: `C:\new`,
		"\u009b31m\u202eexe.txt\u2028": `\u009b31m\u202eexe.txt\u2028`, "\xff\xed\xa0\x80\ufffd": `\xff\xed\xa0\x80` + `\ufffd`,
		"\ufffe\U000e0001": `\ufffe\U000e0001`, `<a href="x">&'`: `<a href="x">&'`, `=HYPERLINK("http://x")`: `=HYPERLINK("http://x")`,
	} {
		for place, show := range places {
			if got := show(text); got != want {
				t.Errorf("%s, %q: got %q, want %q", place, text, got, want)
			}
		}
	}
}

// Whatever the text is: everything that is shown prints, in one line.
func FuzzNothingFromOutsideDoesAnything(f *testing.F) {
	for _, s := range []string{"", "\x1b[31m", "\u009b2J", "\u202e", "a\r\nb", "\xff", "\xed\xa0\x80", "\ufffe", `"`, "＝1"} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, _ string) {
		for place, show := range places {
			shown := show(text)
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s shows %q", place, shown)
			}
			if plain := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }); plain && utf8.ValidString(text) && shown != text {
				t.Errorf("%s shows letters as %q", place, shown)
			}
		}
	})
}
