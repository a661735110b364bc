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
	Name  string
	Value json.RawMessage
}

// Members returns those of an object, as they stand there: a name may come twice.
func Members(object []byte) []Member {
	pieces := Elements(object)
	out := make([]Member, len(pieces))
	for i, piece := range pieces {
		end := endOfString(piece, 0)
		out[i].Name, _ = Text(piece[:end+1]) // of valid JSON: cannot fail
		out[i].Value = trim(trim(piece[end+1:])[1:])
	}
	return out
}

// Elements returns those of an array; of an object its members, each as it stands there.
func Elements(array []byte) (out [][]byte) {
	depth, start := 0, 1
	for i := 0; i < len(array); i++ {
		switch array[i] {
		case '"':
			i = endOfString(array, i)
		case '[', '{':
			depth++
		case ',':
			if depth == 1 {
				out, start = append(out, trim(array[start:i])), i+1
			}
		case ']', '}':
			if depth--; depth > 0 {
				continue
			}
			if last := trim(array[start:i]); len(last) > 0 {
				out = append(out, last)
			}
		}
	}
	return out
}

// Text returns the string that a JSON value is. Most have no escape, and need no
// decoding.
func Text(value []byte) (string, error) {
	if n := len(value); n > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return string(value[1 : n-1]), nil
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err
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
