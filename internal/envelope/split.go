package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A remainder is the part of an array that could not be cut into elements.
type remainder struct {
	raw []byte
	err error
}

// split cuts a JSON array into its elements by counting brackets and strings,
// without reading what is in them, so that an element that is no JSON costs
// nobody else anything. What follows the end, what a cut-off array ends with
// and what is beyond MaxMessages comes back as the remainder.
func split(data []byte) (elements [][]byte, rest remainder) {
	depth, inString, start := 0, false, 1
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == '}':
			depth = max(1, depth-1) // a stray brace belongs to its element
		case c == ']' && depth > 1:
			depth--
		case c == ']':
			if last := trim(data[start:i]); len(last) > 0 || len(elements) > 0 {
				elements = append(elements, last)
			}
			return finish(elements, data[i+1:])
		case c == ',' && depth == 1:
			if len(elements) == MaxMessages {
				return elements, remainder{data[start:], fmt.Errorf(
					"the batch holds more than %d messages; those beyond were not read", MaxMessages)}
			}
			elements = append(elements, trim(data[start:i]))
			start = i + 1
		}
	}
	return elements, remainder{data[start:], errors.New("the batch ends in the middle of a message")}
}

// A member is one name and value of an object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns those of an object that is valid JSON, as they stand there: a name
// may come twice.
func members(object []byte) (out []member) {
	name, depth, start := "", 0, 0
	for i := 0; i < len(object); i++ {
		switch c := object[i]; {
		case c == '"':
			end := endOfString(object, i)
			if depth == 1 && start == 0 {
				name, _ = textOf(object[i : end+1]) // of valid JSON: cannot fail
			}
			i = end
		case c == ':' && depth == 1:
			start = i + 1
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']' || c == ',':
			if depth == 1 && start > 0 {
				out, start = append(out, member{name, trim(object[start:i])}), 0
			}
			if c != ',' {
				depth--
			}
		}
	}
	return out
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

// finish looks at what follows the array.
func finish(elements [][]byte, after []byte) ([][]byte, remainder) {
	if len(elements) > MaxMessages {
		return elements[:MaxMessages], remainder{elements[MaxMessages], fmt.Errorf(
			"the batch holds more than %d messages; those beyond were not read", MaxMessages)}
	}
	if len(trim(after)) > 0 {
		return elements, remainder{after, errors.New("something follows the end of the batch")}
	}
	return elements, remainder{}
}
