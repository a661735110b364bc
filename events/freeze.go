package events

import "time"

// Actions of a freeze message.
const (
	FreezeBegin = "freeze" // begin nothing there until a time
	FreezeLift  = "lift"   // end a freeze before its time
)

// Bounds of what a freeze names.
const (
	MaxFreezeRegions = 64
	MaxFreezeFleets  = 1000
)

// A Freeze is the data of regild.freeze.v1: somebody holds back every rebuild in
// regions or fleets until a time, or lifts that.
type Freeze struct {
	FreezeID string `json:"freezeId"` // names it, once and for ever; in the form of a release's id
	Action   string `json:"action"`   // FreezeBegin or FreezeLift
	By       string `json:"by"`       // who says so
	Reason   string `json:"reason"`   // why
	// Of FreezeBegin: until when, and where: what is in one of the regions or in
	// one of the fleets.
	Until   time.Time `json:"until,omitzero"`
	Regions []string  `json:"regions,omitempty"`
	Fleets  []string  `json:"fleets,omitempty"`
}

// ParseFreeze reads a freeze message. The error, if any, is a *Faults.
func ParseFreeze(data []byte) (Freeze, error) {
	r := read(data)
	var f Freeze
	f.FreezeID = r.must("freezeId", "give the freeze a name of its own, by which it can be lifted", checkFreeze)
	f.Action = r.must("action", "write "+alternatives([]string{FreezeBegin, FreezeLift}), oneOf(FreezeBegin, FreezeLift))
	f.By, f.Reason = r.order()
	f.Until = r.instant("until")
	f.Regions = r.texts("regions", 1, MaxFreezeRegions, checkRegion)
	f.Fleets = r.texts("fleets", 1, MaxFreezeFleets, checkFleet)
	switch {
	case r.broken:
	case f.Action == FreezeBegin:
		r.require("until", "say when it ends, as in 2026-12-24T18:00:00+08:00")
		if !r.has("regions") && !r.has("fleets") {
			r.faults.add("regions", "is missing, and so is fleets; name what is frozen by at least one of them")
		}
	case f.Action == FreezeLift:
		for _, name := range []string{"until", "regions", "fleets"} {
			if r.has(name) {
				r.faults.add(name, "goes with freeze only; take it out")
			}
		}
	}
	return f, r.finish()
}

// instant returns the named time, in UTC, or the zero time.
func (r *reader) instant(name string) time.Time {
	var t time.Time
	r.str(name, func(s string) string {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil || at.Year() < 2000 || at.UTC().Year() > 9999 {
			return quoted(s) + " is not a time of RFC 3339; write it like 2026-12-24T18:00:00+08:00"
		}
		t = at.UTC()
		return ""
	})
	return t
}
