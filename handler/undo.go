package handler

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// openRollback lets a rollback that was entered take over from what it undoes, and
// opens it. Each step may have been taken before, by an invocation that was ended.
func (fs *fleets) openRollback(back *job, e rollout.Entry) error {
	origin, _ := fs.jobs.add(kindRollout, e.Undoes)
	if err := fs.jobs.open(origin); err != nil {
		return err
	}
	err := origin.journal.Update(fs.ctx, func(s *rollout.State) []rollout.Record {
		if s.Operation == nil || e.Message == "" || s.Controls[e.Message] {
			return nil // expired, or in the journal already
		}
		return []rollout.Record{{Kind: rollout.KindControl, At: fs.asOf(), Action: events.ActionRollback, Who: e.By, Message: e.Message, Event: e.Event, Via: e.Via,
			Reason: &events.Reason{Code: controlCode(events.ActionRollback), Message: e.Why}}}
	})
	if err != nil {
		return err
	}
	// From here on nothing more is begun that would have to go back too.
	if err := fs.supersede(origin, e.ID); err != nil {
		return err
	}
	if e.Back, err = fs.undo(origin, e.Operation); err != nil {
		return err
	}
	return fs.jobs.begin(back, e.Operation, "", nil, fs.late(e)...)
}

// undo returns what a rollout changed: from its journal or, if that has expired,
// from what ECD records.
func (fs *fleets) undo(j *job, op rollout.Operation) (map[string][]string, error) {
	var back map[string][]string
	gone := false
	j.journal.Look(func(s *rollout.State) {
		if gone = s.Operation == nil || s.OpenedLate(); !gone {
			back = s.Undo()
		}
	})
	if gone {
		return fs.undoByRecords(op)
	}
	return back, nil
}

// all returns the desktops that go back.
func all(back map[string][]string) (ids []string) {
	for _, image := range slices.Sorted(maps.Keys(back)) {
		ids = append(ids, back[image]...)
	}
	return ids
}

// maxByRecords bounds the desktops of a rollback for which ECD has to be asked one by
// one, so that all answers come within an invocation.
const maxByRecords = 10_000

// A tooManyError says why so many desktops cannot be rolled back, however often that is
// asked for.
type tooManyError struct{ why string }

func (e *tooManyError) Error() string { return e.why }

// undoByRecords finds out from ECD's own records what a rollout changed whose
// journal has expired: the members of its fleet that are on its image now, by the
// image that each came from. It takes a call a desktop.
func (fs *fleets) undoByRecords(op rollout.Operation) (map[string][]string, error) {
	var members rollout.Fact[[]desktop.Desktop]
	fs.facts.look(1, map[desktop.Place]*rollout.Need{op.Place(): {Members: []string{op.Fleet}}})
	fs.facts.use(op.Place(), nil, func(f *rollout.Facts) { members = f.Members[op.Fleet] })
	if members.Err != nil {
		return nil, errors.New(members.Err.Message)
	}
	var on []string
	for _, d := range members.Value {
		if d.ImageID == op.ImageID {
			on = append(on, d.ID)
		}
	}
	if len(on) > maxByRecords {
		return nil, &tooManyError{fmt.Sprintf("its journal has expired, %d desktops are on its image, and ECD can be asked about %d where each came from; "+
			"publish the image that is wanted",
			len(on), maxByRecords)}
	}
	fs.facts.look(1, map[desktop.Place]*rollout.Need{op.Place(): {Changes: on}})
	back := map[string][]string{}
	for _, id := range on {
		var changes rollout.Fact[[]desktop.Change]
		fs.facts.use(op.Place(), nil, func(f *rollout.Facts) { changes = f.Changes[id] })
		if changes.Err != nil {
			return nil, errors.New(changes.Err.Message)
		}
		for _, c := range changes.Value { // newest first
			if c.To == op.ImageID && c.From != "" && c.From != c.To && c.State == desktop.ChangeSucceeded {
				back[c.From] = append(back[c.From], id)
				break
			}
		}
	}
	return back, nil
}
