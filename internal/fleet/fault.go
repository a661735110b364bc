package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Fault is one thing that is wrong with fleets.yaml, where, and what to do.
type Fault struct {
	File         string
	Line, Column int    // from 1; the column counts characters
	Path         string // such as fleets[0].strategy.waves[1]; "" for the whole file
	Problem      string // what is wrong and what to do, without a period
}

// String writes the fault as editors and terminals link it.
func (f Fault) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Path != "" {
		where += f.Path + ": "
	}
	return where + f.Problem
}

// Faults is the error of Parse: everything that is wrong, in the order of the
// file. It is never empty.
type Faults struct {
	List []Fault
	More int // how many there are beyond List, which holds at most MaxFaults
}

// Error writes one fault a line.
func (f *Faults) Error() string {
	lines := make([]string, 0, len(f.List)+1)
	for _, fault := range f.List {
		lines = append(lines, fault.String())
	}
	if f.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", f.More))
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) sort() {
	slices.SortStableFunc(f.List, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

func (f *Faults) add(fault Fault) {
	if len(f.List) == MaxFaults {
		f.More++
		return
	}
	f.List = append(f.List, fault)
}
