package events

import (
	"strings"
	"unicode"
)

// This file keeps apart ids that look alike. Senders choose a request's id freely,
// and people compare ids by eye: one that can be mistaken for another is refused.

// lookalike says what keeps an id from being told from another one by eye, and
// what to do about it, or "".
func lookalike(s string) string {
	if strings.TrimSpace(s) != s {
		return "begins or ends with a blank; take it out"
	}
	latin, others, alike := false, 0, 0
	before := rune(0)
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Zs, r) && r != ' ' || unicode.Is(unicode.Variation_Selector, r):
			return "holds a character that cannot be seen, or a blank other than the usual one; take it out"
		case unicode.Is(unicode.M, r) && unicode.In(before, unicode.Latin, unicode.Cyrillic, unicode.Greek):
			return "has a letter and its accent as two characters; write them as one, or leave the accent out"
		case r >= '０' && r <= '９', r >= 'Ａ' && r <= 'Ｚ', r >= 'ａ' && r <= 'ｚ', r >= 0x1D400 && r <= 0x1D7FF:
			return "holds letters or digits of another width or font; write them in plain ASCII"
		case unicode.Is(unicode.Latin, r):
			latin = true
		case unicode.In(r, unicode.Cyrillic, unicode.Greek):
			others++
			if strings.ContainsRune(likeLatin, r) {
				alike++
			}
		}
		before = r
	}
	if others > 0 && (latin || others == alike) {
		return "mixes Latin letters with Cyrillic or Greek ones, or has only such of these as look like Latin ones; write it in one script"
	}
	return ""
}

// likeLatin are the letters of Cyrillic and Greek that print as Latin ones do.
const likeLatin = "аеорсухісӏјѕԁһԛԝѵАВЕЅІЈКМНОРСТХУҮԌԚԜ" + "ανορυιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
