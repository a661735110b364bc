package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/events"
)

// fields are the keys that an object may have, and what reads each.
type fields map[string]func(value)

// object reads an object: every key at most once, none unknown, all required
// ones there, or some where none is. It returns the values that were read, so that they can be checked
// against each other.
func (r *reader) object(v value, known fields, required ...string) map[string]value {
	read := map[string]value{}
	r.pairs(v, func(key *yaml.Node, item value) {
		take, ok := known[key.Value]
		if !ok {
			hint := meant(key.Value, keys(known))
			if hint == "" {
				hint = "; known here: " + strings.Join(keys(known), ", ")
			}
			r.faultf(value{key, item.path}, "unknown key%s", hint)
			return
		}
		read[key.Value] = item
		take(item)
	})
	if v.node.Kind != yaml.MappingNode {
		return read
	}
	for _, key := range required {
		if _, ok := read[key]; !ok {
			r.faultf(v, "must have the key %s", key)
		}
	}
	if len(required) == 0 {
		r.notEmpty(v)
	}
	return read
}

// pairs calls take for each key of an object and its value, in the order of the
// file. Keys that are not text or are repeated become faults instead.
func (r *reader) pairs(v value, take func(key *yaml.Node, item value)) {
	if !r.is(v, yaml.MappingNode, "an object") {
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		item := value{v.node.Content[i+1], v.child(key.Value)}
		switch line, again := lines[key.Value]; {
		case key.ShortTag() == "!!merge":
			r.aliased(value{key, item.path})
		case !r.plain(value{key, item.path}):
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			r.faultf(value{key, item.path}, "the key must be text; put it in quotes")
		case again:
			r.faultf(value{key, item.path}, "is here a second time (first in line %d); keep one", line)
		default:
			lines[key.Value] = key.Line
			take(key, item)
		}
	}
}

// list reads a list of least to most items. Items beyond most are not read.
func (r *reader) list(v value, least, most int, item func(value)) {
	if !r.is(v, yaml.SequenceNode, "a list") {
		return
	}
	n := len(v.node.Content)
	if n < least {
		r.faultf(v, "must have at least %d, has %d", least, n)
	}
	if n > most {
		r.faultf(v, "must have at most %d, has %d", most, n)
	}
	for i := range min(n, most) {
		item(v.element(i))
	}
}

// each is list for what makes a list of its items.
func each[T any](r *reader, v value, least, most int, item func(value) T) (out []T) {
	r.list(v, least, most, func(v value) { out = append(out, item(v)) })
	return out
}

// anyText is what a scalar is called that may be any text, even one that YAML
// takes for a number, a date or a truth value unless it stands in quotes.
const anyText = "text"

// scalar returns the text of a value that is neither list nor object. The tags
// say which of YAML's types it may have.
func (r *reader) scalar(v value, what string, tags ...string) (string, bool) {
	if !r.is(v, yaml.ScalarNode, what) {
		return "", false
	}
	if !slices.Contains(tags, v.node.ShortTag()) {
		hint := ""
		if what == anyText && v.node.ShortTag() != "!!null" {
			hint = "; put it in quotes"
		}
		r.faultf(v, "must be %s, is %s%s", what, kind(v.node), hint)
		return "", false
	}
	return v.node.Value, true
}

// is notes a fault unless v is of the kind, and plain.
func (r *reader) is(v value, want yaml.Kind, what string) bool {
	if !r.plain(v) {
		return false
	}
	if v.node.Kind != want {
		r.faultf(v, "must be %s, is %s", what, kind(v.node))
		return false
	}
	return true
}

// plain notes a fault if v is an anchor or alias. They would let a few lines
// stand for millions, and one edit change what is far away from it.
func (r *reader) plain(v value) bool {
	if v.node.Kind == yaml.AliasNode || v.node.Anchor != "" {
		r.aliased(v)
		return false
	}
	return true
}

func (r *reader) aliased(v value) {
	r.faultf(v, "anchors and aliases are not read; write the value out")
}

// kind names what a node is, for people.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!str":
		return "the text " + quoted(n.Value)
	case "!!int", "!!float":
		return "the number " + clip(n.Value)
	case "!!bool":
		return "the truth value " + clip(n.Value)
	case "!!timestamp":
		return "the date " + clip(n.Value)
	}
	return "of the type " + clip(n.ShortTag())
}

// maxEcho is how many characters of the file a fault repeats: enough to see
// what is meant, and few enough that a thousand faults stay readable.
const maxEcho = 64

func clip(s string) string {
	if utf8.RuneCountInString(s) <= maxEcho {
		return s
	}
	return string([]rune(s[:min(len(s), maxEcho*utf8.UTFMax)])[:maxEcho]) + "…"
}

func quoted(s string) string { return fmt.Sprintf("%q", clip(s)) }

func keys(known fields) []string { return slices.Sorted(maps.Keys(known)) }

// meant suggests the nearest of the known words, or nothing when none is near.
func meant(word string, known []string) string {
	if best := events.Nearest(word, known); best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return ""
}
