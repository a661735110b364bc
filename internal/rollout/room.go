package rollout

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// This file is about the room in a journal, which holds Rules.JournalLimit bytes. An
// operation that begins must be able to end, so room is set aside for each desktop that
// has not ended: for all that is usually written about one, and about half of it again.
// It is asked for at the door, before a wave is written down, and at each decision:
// desktops that wait for this and that again and again take more than that, and when
// what is left would not do, nothing more is begun.

// A share is what is set aside for one desktop: how often its id is written, and bytes
// besides.
type share struct{ ids, bytes int }

// shareOf returns the share of a desktop under a strategy of which so many are rebuilt
// at once. nil is a request, which may be for desktops of any fleet.
func shareOf(s *fleet.Strategy, atOnce int) share {
	if s == nil {
		s, atOnce = &everything, 1
	}
	// Its wave, two reasons to wait, begun, ended, seen, arrived, two outcomes, and that
	// three are published, which is said by id where MNS does not take one before them;
	// the image that it was on, and its part of what records have besides ids, ticks among
	// them: some ten for those that are rebuilt together.
	out := share{ids: 12, bytes: 80 + 3000/min(max(atOnce, 1), 100)}
	for _, act := range []struct {
		does bool
		share
	}{
		{s.Notice.Lead > 0, share{8, 40}},
		{s.Before.Command != "", share{6, 40}},
		{s.Snapshot == fleet.SnapshotData, share{4, 400}}, // each has an id of its own
		{s.Maintenance, share{4, 20}},
		{s.StopFirst, share{3, 20}},
		{s.Check.Command != "", share{2, 20}},
	} {
		if act.does {
			out.ids, out.bytes = out.ids+act.ids, out.bytes+act.bytes
		}
	}
	return out
}

// everything is a strategy that does all that can be done besides rebuilding.
var everything = fleet.Strategy{
	Notice: fleet.Notice{Lead: 1}, Before: fleet.Before{Command: "x"}, Snapshot: fleet.SnapshotData, Maintenance: true, StopFirst: true,
	Check: fleet.Check{Command: "x"},
}

// of returns the bytes that are set aside for a desktop.
func (x share) of(id string) int64 { return int64(x.ids*(len(id)+len(`"",`)) + x.bytes) }

// spare is the part of a journal that nothing is set aside in: it is for what is written
// about no desktop, and for what takes more than its share.
const spare = 16

// Crammed says whether a journal of limit bytes has so little left that it takes no more
// orders but to end.
func (s *State) Crammed(limit int64) bool {
	return limit > 0 && s.Length > limit-limit/(2*spare)
}

// room returns how many bytes of the journal are left beyond what is set aside for the
// desktops that have not ended, and for more that are to come. Without a bound there is
// always room.
func (v *view) room(more []string) (left int64) {
	limit := v.r.JournalLimit
	if limit == 0 {
		return math.MaxInt64
	}
	var s *fleet.Strategy
	if f := v.fleet(); f != nil {
		s = &f.Strategy
	}
	size := len(v.s.Desktops) + len(more)
	x := shareOf(s, 1)
	if s != nil {
		x = shareOf(s, s.AtOnce(size))
	}
	left = limit - limit/spare - v.s.Length
	for _, id := range more {
		left -= x.of(id)
	}
	for _, d := range v.s.Desktops {
		switch d.Phase {
		case Pending:
			left -= x.of(d.ID)
		case Begun, Accepted:
			left -= x.of(d.ID) * 2 / 3
		case Final:
			if d.ours() { // it is still to be restored
				left -= x.of(d.ID) / 4
			}
		}
	}
	return left
}

// full halts a rollout whose journal has room for what was begun and for nothing more.
func (v *view) full(*fleet.Fleet) (step, bool) {
	if v.room(nil) >= 0 || !v.anyPending() {
		return step{}, false
	}
	return v.halt(events.CodeJournalFull, "the journal has %d of %d bytes, and the rest is kept for desktops that have not ended; "+
		"abort it, and release again what is left",
		v.s.Length, v.r.JournalLimit), true
}

// tooLarge says why the journal does not hold these desktops besides those that it has,
// or "".
func (v *view) tooLarge(more []string) string {
	left := v.room(more)
	if left >= 0 {
		return ""
	}
	return fmt.Sprintf("fleet %s has %d desktops that are yet to come, and the journal of one rollout, of %d bytes, lacks %d for them; "+
		"split the fleet in fleets.yaml",
		v.s.Operation.Fleet, len(more), v.r.JournalLimit, -left)
}

// givenUp returns what becomes of the desktops of a request that are not begun, where
// none of them is to be: it was stopped, it is rolled back, or its journal has no room for them.
func (v *view) givenUp() *Result {
	if by := v.s.Aborted; by != "" {
		return &Result{events.StatusRefused, events.CodeAborted, "the request was aborted by " + by}
	}
	if by := v.s.Superseded; by != "" {
		return &Result{events.StatusSkipped, events.CodeSuperseded, by + " took over before the rebuild began"}
	}
	if v.room(nil) >= 0 || !v.anyPending() {
		return nil
	}
	return &Result{events.StatusRefused, events.CodeJournalFull, fmt.Sprintf(
		"the journal has %d of %d bytes, and the rest is kept for desktops that were begun; send another request", v.s.Length, v.r.JournalLimit)}
}

// Capacity returns how many desktops one rollout under a strategy takes at most, whose
// ids have so many bytes, in a journal of limit bytes.
func Capacity(s *fleet.Strategy, idBytes int, limit int64) int {
	id := strings.Repeat("x", idBytes)
	return sort.Search(int(limit), func(n int) bool {
		return int64(n+1)*shareOf(s, s.AtOnce(n+1)).of(id) > limit-limit/spare
	})
}

// roomGate says in a plan that the fleet is too large to begin with.
func (v *view) roomGate(waves []events.PlanWave, u *Unread) []string {
	var ids []string
	for _, w := range waves {
		for _, x := range w.Desktops {
			ids = append(ids, x.ID)
		}
	}
	why := v.tooLarge(ids)
	if u != nil && u.Code == events.CodeFleetTooLarge {
		why = u.Message
	}
	if why == "" || v.s.Operation.Request() {
		return nil
	}
	return []string{"it halts before its first wave: " + why}
}

// BackTooLarge says why the journal of a rollback does not hold these desktops, or "".
func BackTooLarge(op Operation, r Rules, ids []string) string {
	s := NewState()
	s.Operation = &op
	for _, id := range ids { // they stand there once more, by the image that they go back to
		s.Length += int64(len(id) + len(`"",`))
	}
	return (&view{s: s, r: r}).tooLarge(ids)
}
