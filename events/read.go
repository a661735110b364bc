package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file reads JSON more strictly than encoding/json does: names count
// exactly as written, none may stand twice, nothing may follow the document,
// and every fault is gathered instead of the first one returned.

// MaxDocument bounds what the parsers look at, in bytes. 2,000 desktop ids of
// the greatest length need 140 KB; the transport holds 64 KB.
const MaxDocument = 1 << 20

// maxDepth bounds how deep a document may nest. Ours need 2.
const maxDepth = 16

// A kind is a JSON type, named as the faults name it.
type kind string

const (
	object  kind = "an object"
	array   kind = "an array"
	text    kind = "a string"
	number  kind = "a number"
	boolean kind = "true or false"
	null    kind = "null"
)

// A value is one JSON value.
type value struct {
	kind   kind
	text   string // of a string, and a number as it was written
	yes    bool
	items  []value
	fields map[string]value // the first of each name
	twice  []string         // names that stood more than once, in order
}

var (
	errDeep  = errors.New("it nests too deep")
	errAfter = errors.New("something follows the end of the JSON value; send one value a message")
)

// parse reads exactly one JSON value.
func parse(data []byte) (value, error) {
	if !utf8.Valid(data) {
		return value{}, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return value{}, errors.New("it ends in the middle")
	}
	if err != nil {
		return value{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return value{}, errAfter
	}
	return v, nil
}

func parseValue(dec *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errDeep
	}
	token, err := dec.Token()
	if err != nil {
		return value{}, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return parseObject(dec, depth)
		}
		return parseArray(dec, depth)
	case string:
		return value{kind: text, text: t}, nil
	case json.Number:
		return value{kind: number, text: t.String()}, nil
	case bool:
		return value{kind: boolean, yes: t}, nil
	}
	return value{kind: null}, nil
}

func parseObject(dec *json.Decoder, depth int) (value, error) {
	v := value{kind: object, fields: map[string]value{}}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return value{}, err
		}
		name, _ := token.(string)
		field, err := parseValue(dec, depth+1)
		if err != nil {
			return value{}, err
		}
		if _, ok := v.fields[name]; ok {
			v.twice = append(v.twice, name)
			continue
		}
		v.fields[name] = field
	}
	_, err := dec.Token() // the closing brace
	return v, err
}

func parseArray(dec *json.Decoder, depth int) (value, error) {
	v := value{kind: array}
	for dec.More() {
		item, err := parseValue(dec, depth+1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	_, err := dec.Token() // the closing bracket
	return v, err
}

// A reader takes the fields out of one object and gathers what is wrong with
// them. Every field that it is asked for counts as known.
type reader struct {
	value
	known  []string // names that were asked for
	needed []string // those of them that the document cannot go without
	faults Faults
}

// read opens a document that has to be one JSON object. On a fault the reader
// has no fields and only that fault.
func read(data []byte) *reader {
	r := &reader{}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > MaxDocument:
		r.faults.add("", "the message has %d bytes, more than the %d that are read; send fewer desktops a message",
			len(data), MaxDocument)
	case len(bytes.TrimSpace(data)) == 0:
		r.faults.add("", "the message is empty; send a JSON object")
	default:
		v, err := parse(data)
		if err != nil {
			r.faults.add("", "the message is not valid JSON: %v", err)
		} else if v.kind != object {
			r.faults.add("", "the message is %s; send a JSON object", v.kind)
		} else {
			r.value = v
		}
	}
	return r
}

// broken says whether there was no object to read, so that missing fields are
// not worth a word.
func (r *reader) broken() bool { return r.fields == nil }

func (r *reader) has(name string) bool {
	_, ok := r.fields[name]
	return ok
}

// field returns the named field when it is there and of the wanted kind.
func (r *reader) field(name string, want kind) (value, bool) {
	r.known = append(r.known, name)
	v, ok := r.fields[name]
	if !ok {
		return value{}, false
	}
	if v.kind != want {
		otherwise := " or leave the field out"
		if slices.Contains(r.needed, name) {
			otherwise = ""
		}
		r.faults.add(name, "is %s; write %s%s", v.kind, want, otherwise)
		return value{}, false
	}
	return v, true
}

// require adds a fault when the field is not there at all. It is called before
// the field is read.
func (r *reader) require(name, hint string) {
	r.needed = append(r.needed, name)
	if !r.has(name) && !r.broken() {
		r.faults.add(name, "is missing; %s", hint)
	}
}

// A check says what is wrong with a string and what to do, or "".
type check func(string) string

// str returns the named string, or "" when it is absent or not as it should be.
func (r *reader) str(name string, ok check) string {
	v, there := r.field(name, text)
	if !there {
		return ""
	}
	if problem := ok(v.text); problem != "" {
		r.faults.add(name, "%s", problem)
		return ""
	}
	return v.text
}

func (r *reader) flag(name string) bool {
	v, _ := r.field(name, boolean)
	return v.yes
}

// whole returns the named whole number, or 0.
func (r *reader) whole(name string, least, most int) int {
	v, there := r.field(name, number)
	if !there {
		return 0
	}
	// JSON knows no integers: 7, 7.0 and 7e0 are the same number.
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || f != math.Trunc(f) || f < float64(least) || f > float64(most) {
		r.faults.add(name, "is %s; write a whole number from %d to %d", cut(v.text, 40), least, most)
		return 0
	}
	return int(f)
}

// texts returns those strings of the named array that are as they should be
// and stand there for the first time, in order.
func (r *reader) texts(name string, least, most int, ok check) []string {
	v, there := r.field(name, array)
	if !there {
		return nil
	}
	if len(v.items) < least {
		r.faults.add(name, "is empty; name at least %d", least)
	}
	if len(v.items) > most {
		r.faults.add(name, "has %d entries, more than the %d that are allowed; split it", len(v.items), most)
		v.items = v.items[:most]
	}
	var good []string
	first := map[string]int{}
	for i, item := range v.items {
		at := name + "[" + strconv.Itoa(i) + "]"
		if item.kind != text {
			r.faults.add(at, "is %s; write a string", item.kind)
			continue
		}
		if problem := ok(item.text); problem != "" {
			r.faults.add(at, "%s", problem)
			continue
		}
		same := strings.ToLower(item.text) // ECD may not tell the case of ids apart
		if at0, seen := first[same]; seen {
			r.faults.add(at, "repeats %s[%d]; name it once", name, at0)
			continue
		}
		first[same] = i
		good = append(good, item.text)
	}
	return good
}

// finish adds the faults of names: those that stand twice and those that
// nobody asked for.
func (r *reader) finish() error {
	for _, name := range unique(r.twice) {
		r.faults.add(path(name), "stands more than once; keep one")
	}
	for _, name := range sortedNames(r.fields) {
		if !slices.Contains(r.known, name) {
			r.unknown(name)
		}
	}
	return r.faults.err()
}

func (r *reader) unknown(name string) {
	if near := Nearest(name, r.known); near != "" {
		r.faults.add(path(name), "is not a field of this message; did you mean %s?", near)
		return
	}
	r.faults.add(path(name), "is not a field of this message; take it out (known: %s)", strings.Join(r.known, ", "))
}
