package ecd_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"testing/quick"
	"unicode"

	"github.com/regild/regild/internal/ecd"
)

var quotedText = regexp.MustCompile(`FromBase64String\('([A-Za-z0-9+/=]*)'\)`)

// around takes the text out of a script: what is left must not depend on it.
func around(t *testing.T, script string) (rest, shown string) {
	t.Helper()
	m := quotedText.FindStringSubmatch(script)
	if m == nil {
		t.Fatalf("the script holds no text in Base64: %s", script)
	}
	raw, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(script, m[1], "", 1), string(raw)
}

func TestNothingInATextIsEverPartOfTheScript(t *testing.T) {
	want, _ := around(t, ecd.TellScript("hello"))
	holds := func(text string) bool {
		rest, shown := around(t, ecd.TellScript(text))
		bad := strings.ContainsFunc(shown, func(r rune) bool { return r == '"' || r != '\n' && unicode.IsControl(r) })
		return rest == want && !bad && !strings.HasSuffix(shown, `\`) && !strings.HasPrefix(shown, "/") && !strings.HasPrefix(shown, "-") && shown != ""
	}
	for _, text := range []string{
		"", "'", "''')); Remove-Item C:\\ -Recurse; ('", "\"; calc.exe; \"", "$(calc.exe)", "`calc`", "%COMSPEC% & del *", "/server:evil", "-x",
		"a\x00b", "\r\n; calc", "‘’‚‛'", "ends in \\", "ends in \\\\ \\ ", "\xff\xfe", "\u2028", "更新",
	} {
		if !holds(text) {
			t.Errorf("the text %q changes the script, or bends the argument: %s", text, ecd.TellScript(text))
		}
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func TestWhatATextSaysIsShown(t *testing.T) {
	for text, want := range map[string]string{
		"Save your work.\n请保存工作。": "Save your work.\n请保存工作。",
		`say "now"`:               "say 'now'",
		"  a\r\nb\t":              "a\nb",
	} {
		if _, got := around(t, ecd.TellScript(text)); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
