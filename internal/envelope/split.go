package envelope

import (
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
