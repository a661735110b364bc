// Package escape makes text from outside fit to be shown: what senders wrote,
// what ECD answered, names of desktops and people. There is one function for
// each kind of text. All of them give one line of UTF-8, and show
// what does not print as an escape, so that it is seen and does nothing.
//
// Each takes a whole text, once: what is escaped twice is not wrong, but shown
// twice. It imports nothing of ours, and every function may be called from
// several goroutines.
package escape

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Terminal returns text as it may be printed on a terminal, and stand in a line of a log,
// at which people look on one: no control character (so no command to the terminal, and no
// second line), no mark that turns the direction of writing, no broken UTF-8. They become
// \n, \t, \x1b or \u202e. A backslash stays one: the text is for people, and \x1b may
// have been written so. Only the ordinary space counts as a space: others look like it and
// are not.
func Terminal(text string) string {
	if plain(text) || !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !hidden(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// plain says whether a text is printable ASCII, as nearly all are.
func plain(text string) bool {
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// hidden says whether a character does not print, or does something else.
// U+FFFD prints, but it is also how broken UTF-8 reads: Terminal tells them apart.
func hidden(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

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
