package events

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Fault is one thing that is wrong with a document.
type Fault struct {
	Field   string // its path, such as desktopIds[3]; "" for the whole document
	Problem string // what is wrong and what to do about it
}

func (f Fault) String() string {
	if f.Field == "" {
		return f.Problem
	}
	return f.Field + ": " + f.Problem
}

// Faults is the error of every parser of this package: all that is wrong with
// one document, in a fixed order: the fields in the order of their contract,
// then fields that stand twice, then unknown ones. A redelivery of the same
// document has the same faults.
type Faults struct {
	List []Fault // at most maxFaults of them
	More int     // how many others there were
}

// maxFaults bounds the list: whoever made more than that is not helped by
// reading them all.
const maxFaults = 100

// maxFaultText bounds Error, in bytes, so that a refusal which carries it to
// every desktop of a request stays small.
const maxFaultText = 1500

// Error returns the faults in one line, cut to a bounded length with the
// number of those left out.
func (e *Faults) Error() string {
	var b strings.Builder
	for i, f := range e.List {
		s := f.String()
		if i > 0 && b.Len()+len(s) > maxFaultText {
			return fmt.Sprintf("%s; and %d more", b.String(), len(e.List)-i+e.More)
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	return b.String()
}

func (e *Faults) add(field, format string, args ...any) {
	if len(e.List) == maxFaults {
		e.More++
		return
	}
	e.List = append(e.List, Fault{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// err returns e, or nil when there is no fault.
func (e *Faults) err() error {
	if len(e.List) == 0 {
		return nil
	}
	return e
}

// cut returns s in at most n bytes, ending in … when something was cut off,
// and never in the middle of a character. What is not UTF-8 becomes U+FFFD.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	const dots = "…"
	n -= len(dots)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + dots
}
