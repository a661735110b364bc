package escape_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/regild/regild/internal/escape"
)

func TestWhatEachPlaceShows(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "重建 desktop": "重建 desktop", "a\nb\r\tc": `a\nb\r\tc`, "\x1b[2J\x07\x7f": `\x1b[2J\x07\x7f`, "\t=1": `\t=1`, `C:\new`: `C:\new`,
		"\u009b31m\u202eexe.txt\u2028": `\u009b31m\u202eexe.txt\u2028`, "\xff\xed\xa0\x80\ufffd": `\xff\xed\xa0\x80` + `\ufffd`,
		"\ufffe\U000e0001": `\ufffe\U000e0001`, `<a href="x">&'`: `<a href="x">&'`, `=HYPERLINK("http://x")`: `=HYPERLINK("http://x")`,
	} {
		if got := escape.Terminal(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Whatever the text is: everything that is shown prints, in one line.
func FuzzNothingFromOutsideDoesAnything(f *testing.F) {
	for _, s := range []string{"", "\x1b[31m", "\u009b2J", "\u202e", "a\r\nb", "\xff", "\xed\xa0\x80", "\ufffe", `"`, "＝1"} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, _ string) {
		shown := escape.Terminal(text)
		if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("it shows %q", shown)
		}
		if plain := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }); plain && utf8.ValidString(text) && shown != text {
			t.Errorf("it shows letters as %q", shown)
		}
	})
}
