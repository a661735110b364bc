package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// A Freeze says that nothing may begin in regions or fleets until a time.
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

// FreezeTime says why a freeze cannot end at a time, or "".
func FreezeTime(id string, until, now time.Time) string {
	switch {
	case !now.Before(until):
		return fmt.Sprintf("freeze %s would have ended at %s, which is over", id, until.Format(time.RFC3339))
	case until.Sub(now) > MaxFreeze:
		return fmt.Sprintf("freeze %s would last longer than %d days; freeze anew before it ends", id, MaxFreeze/(24*time.Hour))
	}
	return ""
}

// MaxFreezes is how many freezes may hold at the same time.
const MaxFreezes = 100

// MaxFreezeLog is how long the log of freezes grows, in bytes: some ten thousand
// freezes. An invocation reads it once, and then what is new. To lift a freeze is
// possible beyond that.
const MaxFreezeLog = 4 << 20

// ReadFreezes folds the records of the log of freezes. An id means one freeze for
// ever: what is lifted does not come back.
func ReadFreezes(records []Record) Freezes { return Freezes(nil).With(records...) }

// With folds further records in. It may change the freezes that it is given.
func (fs Freezes) With(records ...Record) Freezes {
	at := make(map[string]int, len(fs))
	for i, f := range fs {
		at[f.ID] = i
	}
	for _, r := range records {
		i, known := at[r.Name]
		switch {
		case r.Kind == KindFreeze && !known:
			why := ""
			if r.Reason != nil {
				why = r.Reason.Message
			}
			at[r.Name] = len(fs)
			fs = append(fs, Freeze{ID: r.Name, Who: r.Who, Why: why, Until: r.Until, Regions: r.Regions, Fleets: r.Fleets})
		case r.Kind == KindLift && known && fs[i].Lifted == "":
			fs[i].Lifted = r.Who
		}
	}
	return fs
}

// After returns a copy of the freezes that may hold something back at t or later.
func (fs Freezes) After(t time.Time) (out Freezes) {
	for _, f := range fs {
		if f.Lifted == "" && t.Before(f.Until) {
			out = append(out, f)
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
		holds := f.Lifted == "" && t.Before(f.Until) && (slices.Contains(f.Regions, region) || slices.Contains(f.Fleets, fleet))
		if holds && (last == nil || f.Until.After(last.Until)) {
			last = f
		}
	}
	return last
}

// Message says who froze what, and why.
func (f Freeze) Message() string {
	return fmt.Sprintf("%s has frozen it (%s): %s", f.Who, f.ID, f.Why)
}

// freezePause is how often something frozen is looked at: a freeze may be lifted.
const freezePause = 5 * time.Minute

// PassesFreezes says whether whoever sent the operation consented to begin it in spite of
// freezes, as far as the fleet (nil: none) hears consents through the door that the
// message came through. A control message whose consents a fleet does not hear is
// refused as a whole.
func (op Operation) PassesFreezes(f *fleet.Fleet) bool {
	door, _ := op.Came()
	return slices.Contains(op.Consents, events.ConsentFreeze) && (!op.Request() || f == nil || f.HearsConsent(door))
}

// passes says whether freezes do not hold the operation back in the fleet (nil: in
// none). Without a journal none is known.
func (v *view) passes(f *fleet.Fleet) bool { return !v.r.Freezes || v.s.Operation.PassesFreezes(f) }

// frozen leaves a request's desktop for later that a freeze holds back. A rollout is
// held back as a whole.
func (v *view) frozen(c candidate) (step, bool) {
	if !v.s.Operation.Request() {
		return step{}, false
	}
	f, name := v.fleetOf(*c.now), ""
	if f != nil {
		name = f.Name
	}
	if v.passes(f) {
		return step{}, false
	}
	fact, s, ok := about(v, c.Desktop, ofFreezes, FreezesKey, zero)
	if !ok {
		return s, true
	}
	freeze := fact.Value.Holds(v.s.Operation.RegionID, name, v.now.t)
	if freeze == nil {
		return step{}, false
	}
	s = unfinished(Soonest(freeze.Until, v.now.in(freezePause)))
	if c.WaitCode != events.CodeFrozen {
		s.outcome = v.deferred(events.CodeFrozen, freeze.Until, "%s", freeze.Message())
	}
	if c.ours() {
		more, _ := v.restore(c.Desktop)
		s = s.with(more)
	}
	return s, true
}

// rolloutFrozen says whether a freeze holds the rollout back, or more must be known,
// and why.
func (v *view) rolloutFrozen(f *fleet.Fleet) (step, bool) {
	if v.passes(f) || !v.anyPending() {
		return step{}, false
	}
	fact, s, ok := find(v, ofFreezes, FreezesKey, zero)
	switch {
	case !ok:
		return s, true
	case fact.Err != nil:
		return v.standUnread(fact.Err), true
	}
	freeze := fact.Value.Holds(f.Region, f.Name, v.now.t)
	if freeze == nil {
		return step{}, false
	}
	return v.standAnew(events.CodeFrozen, freeze.Message(), freeze.Until), true
}

// ordered are the waits that somebody asked for. The desktop is not read meanwhile:
// they do not count towards how long it may wait.
var ordered = map[string]bool{events.CodeFrozen: true, events.CodeScheduled: true}

// frozenGate says what a plan must tell of freezes.
func (v *view) frozenGate() ([]string, step) {
	if !v.r.Freezes {
		return nil, step{}
	}
	fact, s, ok := find(v, ofFreezes, FreezesKey, zero)
	if !ok {
		return nil, s
	}
	if fact.Err != nil {
		return []string{fact.Err.Message}, s
	}
	var fleets []string
	if !v.s.Operation.PassesFreezes(nil) {
		fleets = append(fleets, v.s.Operation.Fleet)
	}
	for _, id := range v.s.Operation.Desktops {
		now, more, ok := v.tagged(&Desktop{ID: id}, v.f.Desktops[id].Value)
		if s = s.with(more); !ok || now == nil {
			continue
		}
		if f := v.fleetOf(*now); f != nil && !v.passes(f) {
			fleets = append(fleets, f.Name)
		}
	}
	for _, name := range fleets {
		if freeze := fact.Value.Holds(v.s.Operation.RegionID, name, v.now.t); freeze != nil {
			return []string{fmt.Sprintf("nothing begins before %s: %s", freeze.Until.UTC().Format(time.RFC3339), freeze.Message())}, s
		}
	}
	return nil, s
}
