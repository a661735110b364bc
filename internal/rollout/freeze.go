package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A Freeze is somebody's word that nothing may begin in regions or fleets until a
// time.
type Freeze struct {
	ID, Who, Why    string
	Until           time.Time
	Regions, Fleets []string
	Lifted          string // who lifted it; "" when nobody has
}

// Freezes are all freezes of a journal, oldest first.
type Freezes []Freeze

// FreezesKey is the one key of Facts.Freezes and of Need.Freezes.
const FreezesKey = "all"

// MaxFreeze is how far ahead a freeze may end. The log of freezes must not expire
// before: logs are kept for longer than that; see docs/journal.md.
const MaxFreeze = 90 * 24 * time.Hour

// ReadFreezes folds the records of the log of freezes. An id means one freeze for
// ever: what is lifted does not come back.
func ReadFreezes(records []Record) Freezes {
	var out Freezes
	for _, r := range records {
		switch f := out.Find(r.Name); {
		case r.Kind == KindFreeze && f == nil:
			why := ""
			if r.Reason != nil {
				why = r.Reason.Message
			}
			out = append(out, Freeze{ID: r.Name, Who: r.Who, Why: why, Until: r.Until, Regions: r.Regions, Fleets: r.Fleets})
		case r.Kind == KindLift && f != nil && f.Lifted == "":
			f.Lifted = r.Who
		}
	}
	return out
}

// Find returns the freeze of that id, or nil.
func (fs Freezes) Find(id string) *Freeze {
	if i := slices.IndexFunc(fs, func(f Freeze) bool { return f.ID == id }); i >= 0 {
		return &fs[i]
	}
	return nil
}

// Holds returns the freeze that holds back a desktop of the region and the fleet
// ("": of none) at t, or nil: the one that ends last, if there are several.
func (fs Freezes) Holds(region, fleet string, t time.Time) *Freeze {
	var last *Freeze
	for i := range fs {
		f := &fs[i]
		if f.Lifted != "" || !t.Before(f.Until) || !slices.Contains(f.Regions, region) && !slices.Contains(f.Fleets, fleet) {
			continue
		}
		if last == nil || f.Until.After(last.Until) {
			last = f
		}
	}
	return last
}

// Message says who froze what, and why.
func (f Freeze) Message() string {
	return fmt.Sprintf("%s has frozen it (%s): %s", f.Who, f.ID, f.Why)
}

// thaw is how often something frozen is looked at: a freeze may be lifted.
const thaw = 5 * time.Minute

// passes says whether freezes do not hold the work back, because whoever sent it
// consented, or because there is no journal that could know of any.
func (d *decider) passes() bool {
	return !d.r.Freezes || slices.Contains(d.s.Operation.Consents, events.ConsentFreeze)
}

// frozen leaves a request's desktop for later that a freeze holds back, and says
// whether it was dealt with. A rollout is held as a whole.
func (d *decider) frozen(x *Desktop, now *desktop.Desktop) bool {
	if !d.s.Operation.Request() || d.passes() {
		return false
	}
	fact, ok := about(d, x, d.f.Freezes, FreezesKey, &d.out.Need.Freezes, zero)
	if !ok {
		return true
	}
	freeze := fact.Value.Holds(d.s.Operation.RegionID, d.fleetOf(x, now), d.now.t)
	if freeze == nil {
		return false
	}
	if x.WaitCode != events.CodeFrozen {
		d.group(x, groupKey{Result: Result{events.StatusDeferred, events.CodeFrozen, freeze.Message()}, until: freeze.Until, at: d.now.t})
	}
	d.open++
	d.again(freeze.Until)
	d.again(d.now.in(thaw))
	if x.Held || x.Stopped {
		d.giveBack(x)
	}
	return true
}

// fleetOf names the fleet of a desktop, or "".
func (d *decider) fleetOf(x *Desktop, now *desktop.Desktop) string {
	if !d.s.Operation.Request() {
		return d.s.Operation.Fleet
	}
	if now, ok := d.tagged(x, now); ok && now != nil {
		if f, in := d.r.Fleets.Of(*now); in {
			return f.Name
		}
	}
	return ""
}

// held says whether a freeze holds the rollout back, or more must be known, and
// tells why.
func (d *decider) held(f *fleet.Fleet) bool {
	if d.passes() || !d.anyPending() {
		return false
	}
	fact, ok := find(d, d.f.Freezes, FreezesKey, &d.out.Need.Freezes, zero)
	switch {
	case !ok:
		return true
	case fact.Err != nil:
		d.stand(fact.Err.Code, fact.Err.Message, zero)
		d.again(d.now.in(time.Minute))
		return true
	}
	freeze := fact.Value.Holds(f.Region, f.Name, d.now.t)
	if freeze == nil {
		return false
	}
	if w := d.s.Waiting; w != nil && w.Code == events.CodeFrozen && w.Until != nil && w.Until.Equal(freeze.Until) && w.Message == freeze.Message() {
		d.again(d.now.in(MaxTick))
		d.again(freeze.Until)
		return true
	}
	d.again(d.now.in(MaxTick))
	d.again(freeze.Until)
	d.record(Record{Kind: KindWaiting, Reason: &events.Reason{Code: events.CodeFrozen, Message: freeze.Message(), Until: &freeze.Until}})
	return true
}

// ordered are the waits that somebody ordered. Nobody looks at the desktop
// meanwhile: they do not count towards how long it may wait.
var ordered = map[string]bool{events.CodeFrozen: true, events.CodeScheduled: true}

// frozenGate says what a plan must tell of freezes.
func (d *decider) frozenGate() []string {
	if d.passes() {
		return nil
	}
	fact, ok := find(d, d.f.Freezes, FreezesKey, &d.out.Need.Freezes, zero)
	if !ok {
		return nil
	}
	if fact.Err != nil {
		return []string{fact.Err.Message}
	}
	fleets := []string{d.s.Operation.Fleet}
	for _, id := range d.s.Operation.Desktops {
		if f := d.f.Desktops[id]; f.Value != nil {
			fleets = append(fleets, d.fleetOf(&Desktop{ID: id}, f.Value))
		}
	}
	for _, name := range fleets {
		if freeze := fact.Value.Holds(d.s.Operation.RegionID, name, d.now.t); freeze != nil {
			return []string{fmt.Sprintf("nothing begins before %s: %s", freeze.Until.UTC().Format(time.RFC3339), freeze.Message())}
		}
	}
	return nil
}
