package escape_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"unicode"

	"github.com/regild/regild/internal/escape"
)

func TestLinesStayLines(t *testing.T) {
	if got, want := escape.Lines("one\ntwo\x1b\r\n"), "one\ntwo\\x1b\\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever the text, a terminal obeys nothing of it.
func TestNothingThatATerminalObeysComesOut(t *testing.T) {
	holds := func(parts []string, bytes []byte) bool {
		text := strings.Join(parts, "\x1b[2J\n") + string(bytes)
		bad := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
		one := escape.Terminal(text)
		return !strings.ContainsFunc(one, unicode.IsControl) && !strings.ContainsFunc(one, bad) && escape.Terminal(one) == one &&
			!strings.ContainsFunc(escape.Lines(text), bad)
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// JSON means the same afterwards.
func TestJSONMeansTheSame(t *testing.T) {
	holds := func(values map[string]string) bool {
		data, err := json.MarshalIndent(values, "", "  ")
		if err != nil {
			return false
		}
		got := escape.JSON(data)
		var before, after map[string]string
		bad := strings.ContainsFunc(string(got), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
		return !bad && json.Unmarshal(data, &before) == nil && json.Unmarshal(got, &after) == nil && reflect.DeepEqual(before, after)
	}
	if err := quick.Check(holds, nil); err != nil {
		t.Error(err)
	}
	if !holds(map[string]string{"a\u009b": "\x7f\u202e\U000e0041"}) {
		t.Error("C1 and what nothing shows got through")
	}
}
