package handler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// kindFreeze is the log of freezes, of which there is one.
const kindFreeze = "freeze"

func freezeKey() string { return journal.Key(kindFreeze, rollout.FreezesKey) }

// readFreezes reads the freezes, as they are at this moment.
func (r *run) readFreezes(ctx context.Context) (rollout.Freezes, error) {
	v, err := r.openList(ctx, freezeKey())
	if err != nil {
		return nil, fmt.Errorf("reading the log of freezes: %w", err)
	}
	return rollout.ReadFreezes(*v.known().state), nil
}

// takeFreeze writes down that somebody freezes regions or fleets, or lifts that.
func (r *run) takeFreeze(m envelope.Message) error {
	f, err := events.ParseFreeze(m.Data)
	if err != nil {
		r.refuseMessage(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	if why := r.heardFreeze(m, f.Fleets); why != "" {
		r.refuseMessage(m, events.CodeWrongDoor, why)
		return nil
	}
	if r.Journal == nil {
		r.refuseMessage(m, events.CodeControlNotPossible, "a freeze is kept in a journal; set REGILD_JOURNAL")
		return nil
	}
	v, err := r.openList(r.ctx, freezeKey())
	if err != nil {
		return fmt.Errorf("reading the log of freezes: %w", err)
	}
	var code, why string
	err = v.Update(r.ctx, func(l *recordList) []rollout.Record {
		code, why = events.CodeSuccess, ""
		if slices.ContainsFunc(*l, func(rec rollout.Record) bool { return rec.Message == r.identity(m) }) {
			return nil // delivered again; whoever wrote it down may have died then
		}
		if code, why = r.mayFreeze(m, f, rollout.ReadFreezes(*l)); code != "" {
			return nil
		}
		return []rollout.Record{r.freezeRecord(m, f)}
	})
	switch {
	case err != nil:
		return fmt.Errorf("writing the log of freezes: %w", err)
	case why != "":
		r.refuseMessage(m, code, why)
		return nil
	case code == "":
		r.log().Warn("freeze", "action", f.Action, "freeze_id", f.FreezeID, "by", f.By, "until", f.Until, "regions", f.Regions, "fleets", f.Fleets)
	}
	return r.sweepFleets() // those that go on now, or say why not
}

func (r *run) freezeRecord(m envelope.Message, f events.Freeze) rollout.Record {
	rec := rollout.Record{Kind: rollout.KindFreeze, At: r.now, Name: f.FreezeID, Who: f.By, Until: f.Until,
		Regions: f.Regions, Fleets: f.Fleets, Message: r.identity(m), Via: r.via(m), Reason: &events.Reason{Code: events.CodeFrozen, Message: f.Reason}}
	if f.Action == events.FreezeLift {
		rec.Kind, rec.Reason.Code = rollout.KindLift, events.CodeSuccess
	}
	return rec
}

// mayFreeze says why a freeze message cannot be followed, or "". CodeSuccess: it is
// the one that the journal knows, come again.
func (r *run) mayFreeze(m envelope.Message, f events.Freeze, freezes rollout.Freezes) (code, why string) {
	known := freezes.Find(f.FreezeID)
	if f.Action == events.FreezeLift {
		switch {
		case known == nil:
			return events.CodeControlNotPossible, fmt.Sprintf("there is no freeze %s in the journal; if it is still on its way, lift it again later", f.FreezeID)
		case known.Lifted != "":
			return events.CodeControlNotPossible, fmt.Sprintf("freeze %s was lifted by %s already", f.FreezeID, known.Lifted)
		case !r.now.Before(known.Until):
			return events.CodeControlNotPossible, fmt.Sprintf("freeze %s ended at %s by itself", f.FreezeID, known.Until.UTC().Format(time.RFC3339))
		}
		if why = r.heardFreeze(m, known.Fleets); why != "" {
			return events.CodeWrongDoor, why
		}
		return "", ""
	}
	switch {
	case known != nil && known.Who == f.By && known.Why == f.Reason && known.Until.Equal(f.Until) &&
		slices.Equal(known.Regions, f.Regions) && slices.Equal(known.Fleets, f.Fleets):
		return events.CodeSuccess, "" // told twice
	case known != nil:
		return events.CodeRequestIdReused, fmt.Sprintf("there was a freeze %s before; give every freeze an id of its own, also one that prolongs another", f.FreezeID)
	case !r.now.Before(f.Until):
		return events.CodeControlNotPossible, fmt.Sprintf("freeze %s would have ended at %s, which is over", f.FreezeID, f.Until.Format(time.RFC3339))
	case f.Until.Sub(r.now) > rollout.MaxFreeze:
		return events.CodeControlNotPossible, fmt.Sprintf("freeze %s would last longer than %d days; freeze anew before it ends", f.FreezeID, rollout.MaxFreeze/(24*time.Hour))
	}
	for _, region := range f.Regions {
		if !slices.Contains(r.Rules.Regions, region) {
			return events.CodeRegionNotAllowed, fmt.Sprintf("nothing was frozen: region %s is not in REGILD_REGIONS", region)
		}
	}
	for _, name := range f.Fleets {
		if r.fleetNamed(name) == nil {
			return events.CodeFleetUnknown, fmt.Sprintf("nothing was frozen: fleets.yaml declares no fleet %s", name)
		}
	}
	return "", ""
}

// freezes reads the freezes for decisions.
func (l *look) freezes(wg *sync.WaitGroup, keys []string) {
	if len(keys) == 0 {
		return
	}
	wg.Go(func() {
		fact := rollout.Read[rollout.Freezes](l.business().UTC(), nil)
		if l.Journal != nil {
			var err error
			if fact.Value, err = l.readFreezes(l.ctx); err != nil {
				fact.Err = &rollout.Unread{Code: events.CodeFactsUnavailable, Message: err.Error()}
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys {
			l.facts.Freezes[key] = fact
		}
	})
}

// A concern is what freezes hold a desktop back that is about to be begun: all
// that hold one of its fleets, unless everybody who wants it consented.
type concern struct {
	fleets []string
	passes bool
}

// concerns notes for each desktop that may be begun which freezes it is subject
// to. It reads facts that nobody writes while calls are made.
func (c *calls) concerns() {
	c.concern = map[string]concern{}
	for _, j := range c.jobs {
		j.journal.Look(func(s *rollout.State) {
			for _, id := range j.decision.Begin {
				passes := slices.Contains(s.Operation.Consents, events.ConsentFreeze)
				x, known := c.concern[id]
				x.passes = passes && (x.passes || !known)
				x.fleets = append(x.fleets, c.fleetOf(s.Operation, id))
				c.concern[id] = x
			}
		})
	}
}

func (c *calls) fleetOf(w *rollout.Operation, id string) string {
	if !w.Request() {
		return w.Fleet
	}
	facts := c.factsOf(w.RegionID, nil)
	d := facts.Desktops[id].Value
	if d == nil {
		return ""
	}
	with := *d
	if with.Tags == nil {
		with.Tags = facts.Tags[id].Value
	}
	f, _ := c.Rules.Fleets.Of(with)
	return f.Name
}

// thawed takes out of a batch, right before the call, what a freeze holds back
// that may have come since the decision.
func (c *calls) thawed(ctx context.Context, b desktop.Batch) (rest desktop.Batch, held []ending) {
	if c.Journal == nil || !slices.ContainsFunc(b.IDs, func(id string) bool { return !c.concern[id].passes }) {
		return b, nil
	}
	freezes, err := c.readFreezes(ctx)
	now := c.business().UTC()
	if err != nil {
		return desktop.Batch{Spec: b.Spec}, []ending{{ids: b.IDs, group: rollout.Group{Status: events.StatusDeferred, Code: events.CodeFactsUnavailable,
			Until: now.Add(time.Minute), Message: "nothing was sent: " + err.Error()}}}
	}
	rest = b
	rest.IDs = nil
	for _, id := range b.IDs {
		freeze := c.holds(freezes, b.RegionID, id, now)
		if freeze == nil {
			rest.IDs = append(rest.IDs, id)
			continue
		}
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeFrozen, Until: freeze.Until, Message: freeze.Message()}
		i := slices.IndexFunc(held, func(e ending) bool { return e.group.Message == g.Message })
		if i < 0 {
			i, held = len(held), append(held, ending{group: g})
		}
		held[i].ids = append(held[i].ids, id)
	}
	return rest, held
}

func (c *calls) holds(freezes rollout.Freezes, region, id string, now time.Time) *rollout.Freeze {
	x := c.concern[id]
	if x.passes {
		return nil
	}
	for _, fleet := range append([]string{""}, x.fleets...) {
		if f := freezes.Holds(region, fleet, now); f != nil {
			return f
		}
	}
	return nil
}
