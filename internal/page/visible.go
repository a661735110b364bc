package page

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible makes text from outside fit to be shown: whatever a reader would not
// see, or that would move what stands around it (control characters, marks that
// change the direction of writing, other spaces than the usual one), is written
// as its number, such as ⟨U+202E⟩. Line ends and tabs become one space. The
// function of that name in page.js does the same.
func Visible(s string) string {
	if strings.IndexFunc(s, unseen) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case unseen(r):
			hex := strings.ToUpper(strconv.FormatInt(int64(r), 16))
			b.WriteString("⟨U+" + strings.Repeat("0", max(0, 4-len(hex))) + hex + "⟩")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unseen are controls, formats, surrogates, private and separators, but the
// space. (\p{C} and \p{Z} of Unicode, without what is not assigned.)
func unseen(r rune) bool {
	return r != ' ' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Z)
}
