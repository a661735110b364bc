// Package jsonpart takes JSON apart that is known to be valid, without decoding what
// is in it: a parser that only needs some fields, or wants to see a field that stands
// twice, pays for what it looks at. Parts share memory with what they are parts of.
package jsonpart

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// A Member is one name and value of an object.
type Member struct {
	Name  []byte
	Value json.RawMessage
}

// Members returns those of an object, as they stand there: a name may come twice.
func Members(object []byte) []Member {
	out := make([]Member, 0, 8)
	cut(object, func(piece []byte) {
		end := endOfString(piece, 0)
		name, _ := text(piece[:end+1]) // of valid JSON: cannot fail
		out = append(out, Member{name, trim(trim(piece[end+1:])[1:])})
	})
	return out
}

// Elements returns those of an array.
func Elements(array []byte) (out [][]byte) {
	cut(array, func(piece []byte) { out = append(out, piece) })
	return out
}

// cut calls f with each element of an array, or with each member of an object.
func cut(whole []byte, f func(piece []byte)) {
	depth, start := 0, 1
	for i := 0; i < len(whole); i++ {
		switch whole[i] {
		case '"':
			i = endOfString(whole, i)
		case '[', '{':
			depth++
		case ',':
			if depth == 1 {
				f(trim(whole[start:i]))
				start = i + 1
			}
		case ']', '}':
			if depth--; depth > 0 {
				continue
			}
			if last := trim(whole[start:i]); len(last) > 0 {
				f(last)
			}
		}
	}
}

// Text returns the string that a JSON value is, or an error if it is none.
func Text(value []byte) (string, error) {
	s, err := text(value)
	return string(s), err
}

// text returns the string that a JSON value is. Most have no escape, and need no
// decoding.
func text(value []byte) ([]byte, error) {
	if bytes.HasPrefix(value, []byte(`"`)) && !bytes.Contains(value, []byte(`\`)) && utf8.Valid(value) {
		return value[1 : len(value)-1], nil
	}
	var s string
	err := json.Unmarshal(value, &s)
	return []byte(s), err
}

// endOfString returns where the string ends that begins at i.
func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}

func trim(data []byte) []byte { return bytes.Trim(data, " \t\r\n") }
