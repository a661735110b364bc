package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Limits of what Parse reads. They are far above what anybody writes by hand
// and keep its time and memory bounded.
const (
	MaxFile      = 1 << 20 // bytes of the file
	MaxFleets    = 1000    // in the file
	MaxAccounts  = 200     // in the file, beside the function's own
	MaxRegions   = 100     // of an account
	MaxAfter     = 20      // fleets that a fleet comes after
	MaxImages    = 100     // patterns in a fleet
	MaxIDs       = 2000    // in each list of ids
	MaxTags      = 20      // in each set of tags; also what TagResources takes
	MaxDoors     = 50      // in each list of doors or sources
	MaxWaves     = 50      // in a strategy
	MaxWindows   = 50      // in a strategy
	MaxBlackouts = 200     // in a strategy
	MaxZones     = 100     // different ones in the file: looking for one that is not there is slow
	MaxCount     = 1000000 // desktops, as a share
	MaxFaults    = 1000    // reported at once
)

// maxDepth is how deep the file may nest; the format needs eight.
const maxDepth = 32

// Parse reads fleets.yaml. The name is the one that faults speak of. The error
// is nil or a *Faults, which holds every fault of the file at once; the fleets
// are nil then. A syntax error is a fault that hides those after it.
//
// It is strict: unknown and repeated keys, a value of another type than
// expected, and anchors and aliases are faults. Zones are looked up in the
// system's time zone database, or in the one that the program brought along by
// importing time/tzdata.
func Parse(name string, data []byte) (Fleets, error) {
	r := &reader{file: name, zones: map[string]*time.Location{}}
	var fleets Fleets
	if root, ok := r.document(data); ok {
		fleets = r.fleets(root)
	}
	if len(r.faults.List) > 0 {
		r.faults.sort()
		return nil, &r.faults
	}
	return fleets, nil
}

// A reader collects the faults of one file.
type reader struct {
	file   string
	faults Faults
	zones  map[string]*time.Location // by name; nil: there is none
}

// A value is one node of the file and the path that leads to it.
type value struct {
	node *yaml.Node
	path string
}

// child is the path of one key of an object.
func (v value) child(key string) string {
	if v.path == "" {
		return clip(key)
	}
	return v.path + "." + clip(key)
}

// element is one item of a list.
func (v value) element(i int) value {
	return value{v.node.Content[i], fmt.Sprintf("%s[%d]", v.path, i)}
}

// at is the value of one key of an object, or the object itself without it.
func (v value) at(key string) value {
	for i := 0; v.node.Kind == yaml.MappingNode && i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == key {
			return value{v.node.Content[i+1], v.child(key)}
		}
	}
	return v
}

// faultf notes what is wrong with v.
func (r *reader) faultf(v value, format string, args ...any) {
	r.faults.add(Fault{
		File: r.file, Line: v.node.Line, Column: v.node.Column,
		Path: v.path, Problem: fmt.Sprintf(format, args...),
	})
}

// document reads the one document of data as a tree.
func (r *reader) document(data []byte) (value, bool) {
	start := value{node: &yaml.Node{Line: 1, Column: 1}}
	if len(data) > MaxFile {
		r.faultf(start, "is %d bytes long; at most %d are read", len(data), MaxFile)
		return value{}, false
	}
	var doc, more yaml.Node
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(limits))
	if err == nil {
		err = loader.Load(&doc)
	}
	switch {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		r.faultf(start, "is empty; list at least one fleet under the key fleets")
		return value{}, false
	case err != nil:
		r.syntax(start, err)
		return value{}, false
	}
	root := value{node: doc.Content[0]}
	if err := loader.Load(&more); err == nil && len(more.Content) > 0 {
		r.faultf(value{node: more.Content[0]}, "a second document begins; keep one")
		return root, true
	} else if err != nil && !errors.Is(err, io.EOF) {
		r.syntax(start, err)
	}
	return root, true
}

// syntax notes why the library could not read the file.
func (r *reader) syntax(start value, err error) {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		r.faultf(start, "is not YAML: %s", clip(err.Error()))
		return
	}
	start.node.Line, start.node.Column = max(1, e.Mark.Line), max(1, e.Mark.Column)
	problem := e.Message
	if e.ContextMsg != "" {
		problem = e.ContextMsg + ": " + problem
	}
	r.faultf(start, "is not YAML: %s", clip(problem))
}

// fleets reads the whole file.
func (r *reader) fleets(root value) Fleets {
	var fleets Fleets
	names := map[string]int{}   // line of each name
	regions := map[string]int{} // index of the fleet that takes all of a region of an account
	var after []value           // of each fleet; without a node if it has none
	var named []value           // the account of each fleet; likewise
	members := newMembers()
	r.object(root, fields{
		"accounts": func(v value) {
			r.list(v, 1, MaxAccounts, func(v value) { r.member(v, members) })
		},
		"fleets": func(v value) {
			r.list(v, 1, MaxFleets, func(v value) {
				f, at := r.fleet(v)
				r.once(at["name"], f.Name, "name of another fleet", names)
				r.reachable(f, at, len(fleets), regions)
				fleets = append(fleets, f)
				after, named = append(after, at["after"]), append(named, at["account"])
			})
		},
	}, "fleets")
	r.rings(fleets, after)
	r.owners(fleets, named, members)
	return fleets
}

// once notes a fault if the text of v, unless it is empty, is another's already. lines
// has the line of each.
func (r *reader) once(v value, s, whose string, lines map[string]int) bool {
	if s == "" {
		return true
	}
	if line := lines[s]; line > 0 {
		r.faultf(v, "is the %s (line %d); give each its own", whose, line)
		return false
	}
	lines[s] = v.node.Line
	return true
}

// faultAt is faultf for the value of a key, if it was written and is wrong.
func (r *reader) faultAt(at map[string]value, key string, wrong bool, format string, args ...any) {
	if v, written := at[key]; written && wrong {
		r.faultf(v, format, args...)
	}
}

// reachable notes a fault if a fleet before takes every desktop of the region,
// since a desktop belongs to the first fleet that contains it.
func (r *reader) reachable(f Fleet, at map[string]value, index int, regions map[string]int) {
	if f.Region == "" {
		return
	}
	place := f.Account.Name + "/" + f.Region
	if i, taken := regions[place]; taken {
		r.faultf(at["region"], "fleets[%d] before it takes every desktop of %s; put that one last", i, f.Region)
		return
	}
	_, excludes := at["exclude"]
	if v, ok := at["select"]; ok && v.node.Value == everyDesktop && !excludes {
		regions[place] = index
	}
}
