package events

import (
	"bytes"
	"fmt"
	"unicode"
)

// This file knows what can travel. A message of MNS is XML 1.0, whose Char
// production leaves out U+FFFE, U+FFFF and all control characters but tab, line
// feed and carriage return, and JSON text cannot hold half of a surrogate pair.
// What goes out is escaped in one place, armour; what comes in as an id is held
// to it at the door, CheckID. Source: Extensible Markup Language 1.0, "Char".

// armour writes JSON so that XML can carry it and nothing of it is lost:
// U+FFFE and U+FFFF, which stand in strings only, become escapes of JSON.
// Control characters are such escapes already, and what is no UTF-8 is
// U+FFFD: encoding/json sees to both.
func armour(data []byte) []byte {
	if !bytes.Contains(data, []byte("\xef\xbf\xbe")) && !bytes.Contains(data, []byte("\xef\xbf\xbf")) {
		return data
	}
	data = bytes.ReplaceAll(data, []byte("\xef\xbf\xbe"), []byte(`\ufffe`))
	return bytes.ReplaceAll(data, []byte("\xef\xbf\xbf"), []byte(`\uffff`))
}

// WireSize returns the bytes that a body takes in the XML of a message to MNS.
// Whether MNS counts the body before or after it is escaped is not published:
// this is the larger number. A body in base64 grows to four thirds instead, and
// then has nothing to escape.
func WireSize(body []byte) int {
	count := func(c string) int { return bytes.Count(body, []byte(c)) }
	return len(body) + (len("&amp;")-1)*(count("&")+count("\r")) + (len("&lt;")-1)*(count("<")+count(">"))
}

// CheckID says what keeps a text from being an id that every outcome can carry,
// and what to do about it, or "". It is for ids that senders choose freely: a
// request's, a CloudEvent's id and source. U+FFFD is refused with the rest: it
// stands for text that was lost (half of a surrogate pair, bytes that are no
// UTF-8), and two ids that lost theirs would be one.
func CheckID(s string) string {
	for _, r := range s {
		switch {
		case unicode.IsControl(r):
			return "holds control characters; take them out"
		case r == unicode.ReplacementChar:
			return "holds U+FFFD, which stands for a character that was lost (half of a surrogate pair, or no UTF-8); write it in full"
		case r == 0xFFFE || r == 0xFFFF:
			return fmt.Sprintf("holds %U, which is no character and cannot travel in XML; take it out", r)
		}
	}
	return ""
}
