// Package visible makes text from outside fit to be shown on a terminal: ids,
// names, reasons and messages come from people, from ECD and from files, and may
// hold what a terminal takes for a command. Nothing that this package returns
// does. It imports nothing of ours.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s on one line, with every character that is not printable shown
// as an escape: \n, \t, \x1b, \u202e, and \xff for a byte that is no UTF-8. What
// is printable stays as it is; spaces of other widths become plain ones. A
// backslash stays as it is too: the result is for reading, not for decoding.
func Text(s string) string { return escape(s, "") }

// Lines is Text for text of several lines: line feeds stay.
func Lines(s string) string { return escape(s, "\n") }

// JSON returns JSON with every character that is not printable as \u escapes,
// which mean the same to a parser. Line feeds stay: between values they are
// layout, and within strings JSON has none. Source: RFC 8259, "Strings".
func JSON(data []byte) []byte { return []byte(escapeWith(string(data), "\n", jsonEscape)) }

func escape(s, keep string) string { return escapeWith(s, keep, plainEscape) }

func escapeWith(s, keep string, as func(r rune, raw string) string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !shown(r) }) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+n]
		i += n
		switch broken := r == utf8.RuneError && n == 1; {
		case !broken && (shown(r) || strings.ContainsRune(keep, r)):
			b.WriteString(raw)
		default:
			b.WriteString(as(r, raw))
		}
	}
	return b.String()
}

// shown says whether a terminal shows the character and does nothing else.
func shown(r rune) bool { return unicode.IsPrint(r) }

func plainEscape(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case unicode.Is(unicode.Zs, r):
		return " "
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

func jsonEscape(r rune, _ string) string {
	if r <= 0xffff {
		return fmt.Sprintf(`\u%04x`, r)
	}
	r -= 0x10000
	return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
}
