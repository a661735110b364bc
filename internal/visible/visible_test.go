package visible

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"unicode"
	"unicode/utf8"
)

func TestWhatIsNotPrintableIsShown(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"plain, 重建, é, 🙂":         "plain, 重建, é, 🙂",
		"\x1b[31mred\x1b[0m":      `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\a":          `\x1b]0;title\x07`,
		"one\ntwo\r\n\tthree":     `one\ntwo\r\n\tthree`,
		"\u009b2J":                `\u009b2J`, // CSI in one character
		"a\u202eb":                `a\u202eb`, // would show what follows from right to left
		"a\u200bb":                `a\u200bb`, // takes no room
		"wide\u3000and\u00a0hard": "wide and hard",
		"no UTF-8: \xff\xfe":      `no UTF-8: \xff\xfe`,
		"the sign itself: \ufffd": "the sign itself: \ufffd",
		"\x00\x7f":                `\x00\x7f`,
		"\U000e0041":              `\U000e0041`, // a tag, which nothing shows
		`a \ stays`:               `a \ stays`,
	} {
		if got := Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got, want := Lines("one\ntwo\x1b"), "one\ntwo\\x1b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever the text: nothing but printable characters comes out, what was
// printable is still there, and showing it again changes nothing.
func TestNothingThatATerminalObeysComesOut(t *testing.T) {
	holds := func(parts []string, bytes []byte) bool {
		text := strings.Join(parts, "\x1b[2J") + string(bytes)
		got := Text(text)
		bad := strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) })
		printable := strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) && r != utf8.RuneError {
				return r
			}
			return -1
		}, text)
		return !bad && utf8.ValidString(got) && Text(got) == got && within(printable, got)
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// within says whether the characters of a are in b, in their order.
func within(a, b string) bool {
	rest := []rune(b)
	for _, r := range a {
		i := 0
		for i < len(rest) && rest[i] != r {
			i++
		}
		if i == len(rest) {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// JSON means the same afterwards.
func TestJSONMeansTheSame(t *testing.T) {
	holds := func(values map[string]string) bool {
		data, err := json.MarshalIndent(values, "", "  ")
		if err != nil {
			return false
		}
		got := JSON(data)
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

func FuzzText(f *testing.F) {
	f.Add("\x1b[31m\u009b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got := Text(s); strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || Text(got) != got {
			t.Errorf("%q gave %q", s, got)
		}
	})
}
