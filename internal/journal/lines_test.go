package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestATornTailIsNoLine(t *testing.T) {
	for data, want := range map[string][]string{
		"":                       nil,
		"a":                      nil,
		"a\n":                    {"a"},
		"a\nb":                   {"a"},
		"a\nb\n":                 {"a", "b"},
		"a\n\x00\x00":            {"a"},
		"a\n\x00b\nc\n":          {"a"},
		"a\nb\x00\x00":           {"a"},
		"\x00\n":                 nil,
		"a\r\nb\n":               {"a\r", "b"},
		"{\"a\":1}\n{\"b\":2}\n": {`{"a":1}`, `{"b":2}`},
	} {
		var got []string
		for _, line := range Lines([]byte(data)) {
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	}
}

func TestACompleteLineThatNobodyWroteIsDamageAndNotATornTail(t *testing.T) {
	for _, bad := range []string{"\n", "a\x00b\n", string(bytes.Repeat([]byte("x"), MaxLine)) + "\n"} {
		n, err := complete([]byte("first\n" + bad + "last\n"))
		if n != 6 || !errors.Is(err, ErrDamaged) {
			t.Errorf("%.10q: got %d, %v; want 6 and ErrDamaged", bad, n, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n"))
	f.Add([]byte("a\n\x00b\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := 0
		for at, line := range Lines(data) {
			if int(at) != end || bytes.IndexByte(line, '\n') >= 0 || !bytes.HasPrefix(data[at:], line) {
				t.Fatalf("line %q at %d, want one without a newline at %d", line, at, end)
			}
			end += len(line) + 1
		}
		if rest := data[end:]; len(rest) > 0 && rest[0] != 0 && bytes.IndexByte(rest, '\n') >= 0 {
			t.Fatalf("a line is left over: %q", rest)
		}
		n, err := complete(data)
		if n > end || (err == nil && n != end) {
			t.Fatalf("complete: got %d, %v; the lines end at %d", n, err, end)
		}
		// What may be appended is read back whole.
		if checkLines(data) == nil && (err != nil || n != len(data)) {
			t.Fatalf("an append of %q would be read back to %d, %v", data, n, err)
		}
	})
}

func FuzzCutRange(f *testing.F) {
	f.Add([]byte("\nnew\n"), int64(6), 206, "bytes 5-9/10")
	f.Add([]byte("first\nnew\n"), int64(6), 200, "")
	f.Add([]byte("first\n"), int64(0), 200, "")
	f.Fuzz(func(t *testing.T, data []byte, from int64, status int, contentRange string) {
		if from < 0 {
			return // refused before
		}
		got, err := cutRange(data, from, status, contentRange)
		if err == nil && !bytes.HasSuffix(data, got) {
			t.Fatalf("%q is not the end of %q", got, data)
		}
		if err == nil && from > 0 && (len(got) >= len(data) || data[len(data)-len(got)-1] != '\n') {
			t.Fatalf("%q does not begin behind a newline of %q", got, data)
		}
		if err == nil && status == 200 && int64(len(data)-len(got)) != from {
			t.Fatalf("%q is not what is behind %d", got, from)
		}
	})
}

func TestAnAnswerToARangeIsCutToWhatWasAskedFor(t *testing.T) {
	for _, test := range []struct {
		data         string
		from         int64
		status       int
		contentRange string
		want         string
		fails        bool
	}{
		{"first\nnew\n", 0, 200, "", "first\nnew\n", false},
		{"first\nnew\n", 6, 200, "", "new\n", false}, // the range was ignored
		{"\nnew\n", 6, 206, "bytes 5-9/10", "new\n", false},
		{"\n", 10, 206, "bytes 9-9/10", "", false},
		{"tnew\n", 6, 206, "bytes 5-9/10", "", true}, // no line ends there
		{"\nnew\n", 6, 206, "bytes 4-8/10", "", true},
		{"\nnew\n", 6, 206, "bytes 5-9/12", "", true}, // more is there
		{"\nne", 6, 206, "bytes 5-9/10", "", true},
		{"\nnew\n", 6, 206, "", "", true},
		{"first\n", 7, 200, "", "", true},
	} {
		got, err := cutRange([]byte(test.data), test.from, test.status, test.contentRange)
		if (err != nil) != test.fails || string(got) != test.want {
			t.Errorf("%s: got %q, %v; want %q", fmt.Sprint(test), got, err, test.want)
		}
	}
}
