package handler

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// freeze writes a freeze of regions or fleets into its log, or the end of one.
func (a *admission) freeze(m envelope.Message) error {
	f, err := events.ParseFreeze(m.Data)
	if err != nil {
		a.refuse.message(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	if why := a.heardFreeze(m, f.Fleets); why != "" {
		a.refuse.message(m, events.CodeWrongDoor, why)
		return nil
	}
	if !a.hasJournal {
		a.refuse.message(m, events.CodeControlNotPossible, "a freeze is kept in a journal; set REGILD_JOURNAL")
		return nil
	}
	v, err := a.jobs.openList(a.ctx, freezeKey())
	if err != nil {
		return fmt.Errorf("reading the log of freezes: %w", err)
	}
	var code, why string
	err = v.Update(a.ctx, func(l *recordList) (write []rollout.Record) {
		code, why, write = a.freezeAt(*l, m, f, v.length)
		return write
	})
	switch {
	case err != nil:
		return fmt.Errorf("writing the log of freezes: %w", err)
	case why != "":
		a.refuse.message(m, code, why)
		return nil
	case code == events.CodeSuccess:
		a.followedBefore(m, f.Action, f.FreezeID)
	default:
		a.log.Warn("freeze", "action", f.Action, "freeze_id", f.FreezeID, "by", f.By, "until", f.Until, "regions", f.Regions, "fleets", f.Fleets)
	}
	return a.fleets.wakeLatest(events.TickAnyway) // those that go on now, or say why not
}

// freezeAt says why a freeze message cannot be followed at the end of the log, which is so
// long, and what the log is to say of it. CodeSuccess: it is followed already. "": it is now.
func (a *admission) freezeAt(l recordList, m envelope.Message, f events.Freeze, length int64) (code, why string, write []rollout.Record) {
	id := a.freezeID(m, f)
	if i := slices.IndexFunc(l, func(rec rollout.Record) bool { return rec.FollowsFrom(id.message, id.event) }); i >= 0 {
		if rec := l[i]; rec.Kind == rollout.KindRefused && rec.Reason != nil {
			return rec.Reason.Code, rec.Reason.Message, nil
		}
		return events.CodeSuccess, "", nil // delivered again, perhaps after a crash right behind this record
	}
	all := rollout.ReadFreezes(l)
	if code, why = a.mayFreeze(m, f, all); code == "" && f.Action == events.FreezeBegin {
		code, why = a.roomForFreeze(f, all, length)
	}
	if code != "" {
		return code, why, a.notLifted(m, f, code, why, length)
	}
	return "", "", []rollout.Record{a.freezeRecord(m, f)}
}

// notLifted has the log say that a freeze was not lifted, so that it is not when the message
// comes again, which tells the same once more: there may be such a freeze by then.
func (a *admission) notLifted(m envelope.Message, f events.Freeze, code, why string, length int64) []rollout.Record {
	if f.Action != events.FreezeLift || code == events.CodeWrongDoor || length >= rollout.MaxFreezeLog/2 {
		return nil
	}
	id := a.freezeID(m, f)
	return []rollout.Record{{Kind: rollout.KindRefused, At: a.asOf(), Action: f.Action, Name: f.FreezeID, Who: f.By, Message: id.message, Event: id.event,
		Via: a.via(m), Reason: &events.Reason{Code: code, Message: why}}}
}

// freezeID returns what a freeze message is known by. One that freezes is known by its message
// and by the id of the freeze.
func (a *admission) freezeID(m envelope.Message, f events.Freeze) orderID {
	id := a.orderID(m)
	if f.Action == events.FreezeBegin {
		id.event = ""
	}
	return id
}

func (a *admission) freezeRecord(m envelope.Message, f events.Freeze) rollout.Record {
	id := a.freezeID(m, f)
	rec := rollout.Record{Kind: rollout.KindFreeze, At: a.asOf(), Name: f.FreezeID, Who: f.By, Until: f.Until,
		Regions: f.Regions, Fleets: f.Fleets, Message: id.message, Event: id.event, Via: a.via(m), Reason: &events.Reason{Code: events.CodeFrozen, Message: f.Reason}}
	if f.Action == events.FreezeLift {
		rec.Kind, rec.Reason.Code = rollout.KindLift, events.CodeSuccess
	}
	return rec
}

// roomForFreeze says why the log of freezes takes no further one, or "".
func (a *admission) roomForFreeze(f events.Freeze, all rollout.Freezes, length int64) (code, why string) {
	switch {
	case len(all.After(a.asOf())) >= rollout.MaxFreezes:
		return events.CodeControlNotPossible, fmt.Sprintf(
			"%d freezes hold at this time, and no more may; lift some, or send one that names all that is to be frozen", rollout.MaxFreezes)
	case length >= rollout.MaxFreezeLog:
		return events.CodeControlNotPossible, fmt.Sprintf("the log of freezes has %d MB and takes no further freeze (%s); "+
			"stop the function instead, and move the log away as the runbook says", rollout.MaxFreezeLog>>20, f.FreezeID)
	case length >= rollout.MaxFreezeLog/2:
		a.log.Warn("the log of freezes is more than half full; see the runbook", "bytes", length)
	}
	return "", ""
}

// heldBy names the fleets that a freeze holds back, by their names or by their regions:
// to lift it lets all of them go.
func (a *admission) heldBy(f rollout.Freeze) []string {
	names := slices.Clone(f.Fleets)
	for _, fl := range a.rules.Fleets {
		if slices.Contains(f.Regions, fl.Region) {
			names = append(names, fl.Name)
		}
	}
	return names
}

// mayFreeze says why a freeze message cannot be followed, or "". CodeSuccess: it is
// the one that the journal knows, delivered again.
func (a *admission) mayFreeze(m envelope.Message, f events.Freeze, freezes rollout.Freezes) (code, why string) {
	known := freezes.Find(f.FreezeID)
	if f.Action == events.FreezeLift {
		switch {
		case known == nil:
			return events.CodeControlNotPossible, fmt.Sprintf("there is no freeze %s in the journal; if it is still on its way, lift it again later", f.FreezeID)
		case known.Lifted != "":
			return events.CodeControlNotPossible, fmt.Sprintf("freeze %s was lifted by %s already", f.FreezeID, known.Lifted)
		case !a.asOf().Before(known.Until):
			return events.CodeControlNotPossible, fmt.Sprintf("freeze %s ended at %s by itself", f.FreezeID, known.Until.UTC().Format(time.RFC3339))
		}
		if why = a.heardFreeze(m, a.heldBy(*known)); why != "" {
			return events.CodeWrongDoor, why
		}
		return "", ""
	}
	switch {
	case known != nil && known.Who == f.By && known.Why == f.Reason && known.Until.Equal(f.Until) &&
		slices.Equal(known.Regions, f.Regions) && slices.Equal(known.Fleets, f.Fleets):
		return events.CodeSuccess, "" // delivered again
	case known != nil:
		return events.CodeRequestIdReused, fmt.Sprintf("there was a freeze %s before; give every freeze an id of its own, also one that prolongs another", f.FreezeID)
	}
	if why = rollout.FreezeTime(f.FreezeID, f.Until, a.asOf()); why != "" {
		return events.CodeControlNotPossible, why
	}
	for _, region := range f.Regions {
		if len(a.placesIn(region)) == 0 {
			return events.CodeRegionNotAllowed, fmt.Sprintf("nothing was frozen: region %s is not in REGILD_REGIONS", region)
		}
	}
	for _, name := range f.Fleets {
		if fleetNamed(a.rules.Fleets, name) == nil {
			return events.CodeFleetUnknown, fmt.Sprintf("nothing was frozen: fleets.yaml declares no fleet %s", name)
		}
	}
	return "", ""
}
