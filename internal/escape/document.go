package escape

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Lines is Terminal for a text of several lines: line feeds stay.
func Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = Terminal(l)
	}
	return strings.Join(lines, "\n")
}

// JSON returns a JSON document that may be printed on a terminal. Every
// character that does not print is written as a \u escape, which means the same
// to whoever reads it. Line feeds stay: they stand between values only. The
// document is UTF-8, as encoding/json writes it. Source: RFC 8259, "Strings".
func JSON(document []byte) []byte {
	text := string(document)
	plain := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return document
	}
	var b strings.Builder
	for _, r := range text {
		if plain(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return []byte(b.String())
}
