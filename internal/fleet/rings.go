package fleet

import (
	"slices"
	"strings"
)

// rings notes a fault for each fleet of an after that is not in the file, and for
// each circle.
func (r *reader) rings(fleets Fleets, after []value) {
	index := map[string]int{}
	for i, f := range fleets {
		if _, twice := index[f.Name]; !twice {
			index[f.Name] = i
		}
	}
	for i, f := range fleets {
		for k, name := range f.After {
			at := after[i]
			if k < len(at.node.Content) {
				at = at.element(k)
			}
			if name == "" {
				continue // a fault of its own
			}
			if _, known := index[name]; !known {
				r.faultf(at, "%s is no fleet of this file; name one that is, or leave it out", quoted(name))
			} else if circle := fleets.circle(index, f.Name, name); circle != nil && f.Name != "" {
				r.faultf(at, "is a circle: %s; no release would ever begin", strings.Join(circle, " after "))
			}
		}
	}
}

// circle returns the way from a fleet over one that it comes after back to itself,
// or nil.
func (fs Fleets) circle(index map[string]int, from, over string) []string {
	seen := map[string]bool{}
	var walk func(way []string) []string
	walk = func(way []string) []string {
		at := way[len(way)-1]
		if at == from {
			return way
		}
		i, known := index[at]
		if !known || seen[at] {
			return nil
		}
		seen[at] = true
		for _, next := range fs[i].After {
			if found := walk(append(slices.Clip(way), next)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk([]string{from, over})
}
