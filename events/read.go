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

	"github.com/regild/regild/internal/jsonpart"
)

// This file reads JSON more strictly than encoding/json does: names count
// exactly as written, none may stand twice, nothing may follow the document,
// and every fault is gathered instead of the first one returned.

// MaxDocument bounds what the parsers look at, in bytes. 2,000 desktop ids of
// the greatest length need 140 KB; the transport holds 64 KB.
const MaxDocument = 1 << 20

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

// A value is one JSON value, as it was written.
type value []byte

func (v value) kind() kind {
	switch v[0] {
	case '{':
		return object
	case '[':
		return array
	case '"':
		return text
	case 't', 'f':
		return boolean
	case 'n':
		return null
	}
	return number
}

// text returns the string that the value is.
func (v value) text() string {
	s, _ := jsonpart.Text(v) // of a string in valid JSON: cannot fail
	return s
}

// fields are those of an object.
type fields struct {
	list  []jsonpart.Member // the first of each name, sorted by name
	twice []string          // names that stood more than once
}

func (v value) fields() (f fields) {
	all := jsonpart.Members(v)
	slices.SortStableFunc(all, byName)
	f.list = all[:0]
	for _, m := range all {
		if n := len(f.list); n > 0 && bytes.Equal(f.list[n-1].Name, m.Name) {
			f.twice = append(f.twice, string(m.Name))
			continue
		}
		f.list = append(f.list, m)
	}
	return f
}

func byName(a, b jsonpart.Member) int { return bytes.Compare(a.Name, b.Name) }

// named returns the value of that name, and whether there is one.
func (f fields) named(name string) (value, bool) {
	for _, m := range f.list {
		if string(m.Name) == name {
			return value(m.Value), true
		}
	}
	return nil, false
}

// parse returns the one JSON value that data is.
func parse(data []byte) (value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	if json.Valid(data) {
		return bytes.TrimSpace(data), nil
	}
	var first json.RawMessage
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&first)
	switch {
	case err == nil:
		return nil, errors.New("something follows the end of the JSON value; send one value a message")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("it ends in the middle")
	}
	return nil, err
}

// A reader takes the fields out of one object and gathers what is wrong with
// them. Every field that it is asked for counts as known.
type reader struct {
	fields
	broken bool     // there was no object to read, so that missing fields are not worth a word
	known  []string // names that were asked for
	needed []string // those of them that the document cannot go without
	faults Faults
}

// read opens a document that has to be one JSON object. On a fault the reader
// has no fields and only that fault.
func read(data []byte) *reader {
	r := &reader{broken: true, known: make([]string, 0, 16)}
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
		} else if v.kind() != object {
			r.faults.add("", "the message is %s; send a JSON object", v.kind())
		} else {
			r.fields, r.broken = v.fields(), false
		}
	}
	return r
}

func (r *reader) has(name string) bool {
	_, ok := r.named(name)
	return ok
}

// field returns the named field when it is there and of the wanted kind.
func (r *reader) field(name string, want kind) (value, bool) {
	r.known = append(r.known, name)
	v, ok := r.named(name)
	if !ok {
		return nil, false
	}
	if v.kind() != want {
		otherwise := " or leave the field out"
		if slices.Contains(r.needed, name) {
			otherwise = ""
		}
		r.faults.add(name, "is %s; write %s%s", v.kind(), want, otherwise)
		return nil, false
	}
	return v, true
}

// require adds a fault when the field is not there at all. It is called before
// the field is read.
func (r *reader) require(name, hint string) {
	r.needed = append(r.needed, name)
	if !r.has(name) && !r.broken {
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
	s := v.text()
	if problem := ok(s); problem != "" {
		r.faults.add(name, "%s", problem)
		return ""
	}
	return s
}

// must is str for a field that the document cannot go without.
func (r *reader) must(name, hint string, ok check) string {
	r.require(name, hint)
	return r.str(name, ok)
}

func (r *reader) flag(name string) bool {
	v, _ := r.field(name, boolean)
	return string(v) == "true"
}

// whole returns the named whole number, or 0.
func (r *reader) whole(name string, least, most int) int {
	v, there := r.field(name, number)
	if !there {
		return 0
	}
	// JSON knows no integers: 7, 7.0 and 7e0 are the same number.
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || f < float64(least) || f > float64(most) {
		r.faults.add(name, "is %s; write a whole number from %d to %d", cut(string(v), 40), least, most)
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
	items := jsonpart.Elements(v)
	if len(items) < least {
		r.faults.add(name, "is empty; name at least %d", least)
	}
	if len(items) > most {
		r.faults.add(name, "has %d entries, more than the %d that are allowed; split it", len(items), most)
		items = items[:most]
	}
	var good []string
	first := map[string]int{}
	for i, item := range items {
		fault := func(format string, args ...any) { r.faults.add(name+"["+strconv.Itoa(i)+"]", format, args...) }
		if k := value(item).kind(); k != text {
			fault("is %s; write a string", k)
			continue
		}
		s := value(item).text()
		if problem := ok(s); problem != "" {
			fault("%s", problem)
			continue
		}
		same := strings.ToLower(s) // ECD may not tell the case of ids apart
		if at0, seen := first[same]; seen {
			fault("repeats %s[%d]; name it once", name, at0)
			continue
		}
		first[same] = i
		good = append(good, s)
	}
	return good
}

// finish adds the faults of names: those that stand twice and those that
// nobody asked for.
func (r *reader) finish() error {
	for _, name := range unique(r.twice) {
		r.faults.add(path(name), "stands more than once; keep one")
	}
	for _, m := range r.list {
		if name := string(m.Name); !slices.Contains(r.known, name) {
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
