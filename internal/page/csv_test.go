package page

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/regild/regild/internal/escape"
)

// The page writes CSV in the browser. It knows the characters by which a spreadsheet knows
// a formula, and their full-width forms. Source: OWASP, "CSV Injection".
func TestThePageKnowsAFormula(t *testing.T) {
	script, err := os.ReadFile("assets/page.js")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`visible\(v\)\.replace\(/\^\(\?=(\[[^]]+\])\)/, "'"\)`).FindSubmatch(script)
	if m == nil {
		t.Fatal("the page's function for a cell is not what it was")
	}
	formula := regexp.MustCompile("^" + string(m[1]))
	for r := rune(1); r < 0x10000; r++ {
		text := escape.Terminal(string(r)) + "x"
		if got, want := formula.MatchString(text), strings.ContainsRune("=+-@＝＋－＠", r); got != want {
			t.Errorf("%q: the page says %v, want %v", text, got, want)
		}
	}
}
