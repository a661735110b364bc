package rollout

import (
	"errors"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is about the rollback of a request. It is a request of its own, called as the
// one that it undoes with /rollback behind it. That it was asked for is written into the
// journal of the request first (undoing): from there on the request begins nothing more,
// so that what it has changed is known. Then it is opened, for the desktops that the
// request has changed or may have.

// takenBack notes that a request is rolled back. The first who asks for it has it.
func (s *State) takenBack(r *Record) {
	if r.Operation == nil || s.Undoing != nil {
		return
	}
	s.Undoing = &Entry{*r.Operation, r.At, r.Message, r.Event}
	if !s.Closed {
		s.Superseded = r.Operation.ID
	}
}

// BackOf returns the id of the rollback of a request or rollout.
func BackOf(id string) string { return id + "/rollback" }

// RollBack returns the rollback of a request, as somebody asks for it, or why there is
// none. Fill gives it its desktops.
func (s *State) RollBack(c events.Control, via *events.Via) (Operation, error) {
	if s.Operation == nil {
		return Operation{}, errors.New("there is no such request in the journal")
	}
	if err := Allow(s, events.ActionRollback, 0); err != nil {
		return Operation{}, err
	}
	return s.Operation.Undone(c, via), nil
}

// Undone returns the rollback of the operation, as somebody asks for it.
func (op Operation) Undone(c events.Control, via *events.Via) Operation {
	back := Operation{ID: BackOf(op.ID), Undoes: op.ID, Spec: op.Spec, Fleet: op.Fleet, ReleaseID: op.ReleaseID, ImageName: op.ImageName,
		By: c.By, Why: c.Reason, Via: via, Consents: append([]string{events.ConsentDowngrade}, c.Consent...)}
	if !slices.Contains(c.Consent, events.ConsentDataDisk) {
		back.OperateType = "" // only system disks go back
	}
	back.Language = "" // of the image that is left; the former ones may take none
	return back
}

// Fill returns the rollback with the desktops that the request has changed or may have:
// where each goes back to, and since when nobody else may have changed it. Of which that is
// not known is among them, and is refused. If there are none any more they are those for which
// a call was begun, which Others.Unchanged has skipped.
func (s *State) Fill(op Operation) Operation {
	op.Desktops, op.Back, op.Since = nil, s.Undo(), map[string][]string{}
	none := !slices.ContainsFunc(s.Order, func(id string) bool { return s.changed(s.Desktops[id]) })
	for _, id := range s.Order {
		if d := s.Desktops[id]; s.changed(d) || none && d.From != "" {
			at := d.BegunAt.Time().Format(time.RFC3339Nano)
			op.Desktops, op.Since[at] = append(op.Desktops, id), append(op.Since[at], id)
		}
	}
	return op
}

// changed says whether the operation has changed a desktop, or may have. A rollout is
// followed by nothing but its rollback, so that all that it has tried to change can be
// looked at; anybody may have had a request's desktops rebuilt since.
func (s *State) changed(d *Desktop) bool {
	if s.Operation.Request() {
		return d.rebuilt()
	}
	return d.Attempt > 0
}

// rebuilt says whether a call for the desktop was carried out, or may have been as far as
// can be known by now. What ECD denied, or showed not to have begun, was not, nor what it
// showed idle on its former image long enough after the call: whoever has rebuilt it
// since, it was not this operation.
func (d *Desktop) rebuilt() bool {
	return d.Touched || d.Phase == Begun || d.Doubtful && !d.Refuted && d.IdleAt.IsZero() && d.Last.Status == events.StatusFailed
}

// Undoing returns the record that says that a request is rolled back by a rollback.
func Undoing(op Operation, at time.Time, message, event string) Record {
	op.Desktops, op.Back, op.Since = nil, nil, nil
	return Record{Kind: KindUndoing, At: at, Operation: &op, Message: message, Event: event}
}

// undone settles a desktop of a rollback of a request that is not to go back.
func (v *view) undone(x *Desktop) (step, bool) {
	op := v.s.Operation
	if op.Undoes == "" || !op.Request() {
		return step{}, false
	}
	if v.f.Unchanged[x.ID] && !x.tried() {
		return v.settle(events.StatusSkipped, events.CodeChangedOutside, "request %s did not have desktop %s rebuilt after all", op.Undoes, x.ID), true
	}
	if op.to[x.ID] == "" {
		return v.settle(events.StatusRefused, events.CodeControlNotPossible, "the journal of request %s does not say which image desktop %s was on before",
			op.Undoes, x.ID), true
	}
	fact, s, ok := v.read(x)
	switch {
	case !ok:
		return s, true
	case fact.Value == nil:
		return step{}, false
	}
	return v.changedSince(x, fact.Value)
}

// overtaken settles a desktop of a rollback of a request that ECD records to have been
// rebuilt since the request had it rebuilt, by whomever: what is on it is not what the
// request brought, though the image may be.
func (v *view) overtaken(c candidate) (step, bool) {
	op := v.s.Operation
	if op.Undoes == "" || !op.Request() {
		return step{}, false
	}
	fact, s, ok := about(v, c.Desktop, ofChanges, c.ID, c.eventful())
	if !ok {
		return s, true
	}
	since := op.since[c.ID].Add(-clockSkew)
	theirs := slices.DeleteFunc(slices.Clone(fact.Value), func(x desktop.Change) bool {
		ours := c.Attempt > 0 && x.From == op.ImageID && x.To == op.to[c.ID] && !x.Updated.Before(c.BegunAt.Add(-clockSkew))
		return !x.Updated.IsZero() && x.Updated.Before(since) || ours // of which no time is known: perhaps since then
	})
	if len(theirs) == 0 || len(theirs) == 1 && theirs[0].To == op.ImageID && (theirs[0].From == op.to[c.ID] || theirs[0].From == "") {
		return step{}, false
	}
	return v.settle(events.StatusSkipped, events.CodeChangedOutside, "ECD records that desktop %s was changed since request %s had it rebuilt",
		c.ID, op.Undoes), true
}

// FleetOf returns the fleet of a desktop under the operation, or nil. One that the request took out
// of its fleet, which chooses by image, is in it for the rollback.
func (op *Operation) FleetOf(fleets fleet.Fleets, x desktop.Desktop) *fleet.Fleet {
	f := fleets.Of(x)
	if to := op.to[x.ID]; f == nil && to != "" && x.ImageID == op.ImageID {
		x.ImageID = to
		f = fleets.Of(x)
	}
	return f
}

// leftAlone says of a desktop of a rollback, for a plan, that it is not to go back, as far as
// its image tells.
func (v *view) leftAlone(x *Desktop, now *desktop.Desktop) step {
	s, done := v.undone(x)
	if !done && now != nil {
		s, _ = v.changedSince(x, now)
	}
	return s
}
