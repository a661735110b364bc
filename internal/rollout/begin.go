package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is about which desktops of the waves so far begin, within the window and as far
// as there are places at once, and what is said if none does.

// page is how many desktops are read together: the last page is filled up with those that
// have their turn next. It is what one call takes, and in a large fleet several calls,
// since a decision is given its facts some 250 times and no more.
func (v *view) page() int { return 100 * max(1, (len(v.s.Order)+19_999)/20_000) }

// beginWithinWindow begins desktops of the waves so far, as far as the window
// is open and there are places.
func (v *view) beginWithinWindow(t *total, f *fleet.Fleet, busy int) {
	open, until := v.window(f)
	if !open {
		v.standDown(t)
		for _, id := range v.s.Order {
			if x := v.s.Desktops[id]; x.Phase == Pending {
				t.add(x, v.remind(x, &f.Strategy))
			}
		}
		if v.anyPending() {
			t.join(v.stand(events.CodeWindowClosed, v.closed(f, until), until))
		}
		return
	}
	t.join(look(until))
	if s, frozen := v.rolloutFrozen(f); frozen {
		t.join(s)
		v.standDown(t)
		return
	}
	v.beginSome(t, f, f.Strategy.AtOnce(v.s.Size)-busy)
	t.join(v.sayWhatWaits(t, f, busy))
}

// beginSome decides about pending desktops one after the other until no place is
// free. A desktop that we prepared has its place already.
func (v *view) beginSome(t *total, f *fleet.Fleet, places int) {
	page := v.page()
	for _, id := range v.s.Order {
		x := v.s.Desktops[id]
		if x.Phase != Pending {
			continue
		}
		if !v.hasPlace(x) && places <= 0 && len(t.out.Need.Desktops)%page == 0 {
			s := v.remind(x, &f.Strategy).with(step{unfinished: true})
			if len(t.out.Need.Tags)%page != 0 { // they may have their turn yet, and one call reads all
				_, more, _ := v.tagged(x, v.f.Desktops[x.ID].Value)
				s = s.with(step{needs: more.needs})
			}
			t.add(x, s)
			continue
		}
		s, done := v.departed(x)
		if !done {
			s = s.with(v.pending(x))
		}
		t.add(x, s)
		if (s.inPlace() || len(s.needs) > 0) && !v.hasPlace(x) { // what is not known yet may begin
			places--
		}
	}
}

// departed settles a desktop that is no longer in the fleet, as far as that is
// known. Else pending asks, waits, or sees that it is on its image.
func (v *view) departed(x *Desktop) (step, bool) {
	fact, asked := v.f.Desktops[x.ID]
	switch {
	case !asked, fact.Err != nil, fact.ReadAt.Before(x.eventful()), !v.now.due(x.RestsUntil):
		return step{}, false
	case fact.Value == nil:
		s, gone := v.gone(x, fact)
		if gone {
			s = v.settle(events.StatusSkipped, events.CodeLeftFleet, "ECD no longer lists desktop %s", x.ID)
		}
		return s, true
	case fact.Value.ImageID == "": // fleets choose by image, too
		return step{}, false
	case x.tried() && fact.Value.ImageID == v.s.Operation.SpecOf(x.ID).ImageID:
		return step{}, false
	}
	now, s, ok := v.tagged(x, fact.Value)
	switch {
	case !ok:
		return s, true // it waits for its tags
	case !v.member(*now):
		return v.outside(x, fact), true
	case !x.OutsideAt.IsZero() && x.MissingAt.IsZero(): // else it is noted already: see listed
		s = marks(KindListed, fact.ReadAt)
	}
	more, done := v.changedSince(x, now)
	return s.with(more), done
}

// outside settles a desktop that is no longer in the fleet by two looks, a settling time apart,
// and none between that showed it in the fleet or not at all: one answer may leave out its tags.
func (v *view) outside(x *Desktop, fact Fact[*desktop.Desktop]) step {
	switch {
	case x.OutsideAt.IsZero(), !x.MissingAt.IsZero(): // see listed
		return marks(KindOutside, fact.ReadAt).with(unfinished(v.now.in(Settling)))
	case fact.Since(x.OutsideAt.Time()) < Settling:
		return unfinished(x.OutsideAt.Add(Settling))
	}
	return v.settle(events.StatusSkipped, events.CodeLeftFleet, "desktop %s is no longer in the fleet %s", x.ID, v.s.Operation.Fleet)
}

// changedSince settles a desktop of a rollback that is on neither the image to
// leave nor the one to go back to: somebody else has rebuilt it. Where ECD leaves out on
// which it is, the guards wait.
func (v *view) changedSince(x *Desktop, now *desktop.Desktop) (step, bool) {
	op := v.s.Operation
	if op.Undoes == "" || now.ImageID == "" || now.ImageID == op.ImageID || now.ImageID == op.to[x.ID] {
		return step{}, false
	}
	by := "this rollout"
	if op.Request() {
		by = "request " + op.Undoes
	}
	return v.settle(events.StatusSkipped, events.CodeChangedOutside, "desktop %s is on %s by now, which %s did not bring", x.ID, now.ImageID, by), true
}

// window says whether a rebuild may begin now, and until when, or else when
// it opens next. A rollback may be allowed to begin at any time.
func (v *view) window(f *fleet.Fleet) (bool, time.Time) {
	if v.s.Operation.AnyTime {
		return true, zero
	}
	return windowAt(f, v.now)
}

// windowAt says whether a rebuild may begin at a time in the fleet's windows, and
// until when, or else when next.
func windowAt(f *fleet.Fleet, now clock) (bool, time.Time) {
	open, until := f.Strategy.Open(now.t)
	if !open || until.IsZero() || !now.in(f.Strategy.Expected).After(until) {
		return open, until
	}
	// Open, but not for long enough: the next window counts.
	for range 100 {
		if open, until = f.Strategy.Open(until); !open {
			return false, until
		}
		if until.IsZero() {
			break
		}
	}
	return false, until
}

// closed says why nothing may begin before until, in words that stay the same
// meanwhile.
func (v *view) closed(f *fleet.Fleet, until time.Time) string {
	if w := v.s.Waiting; w != nil && w.Code == events.CodeWindowClosed && w.Until != nil && w.Until.Equal(until) {
		return w.Message
	}
	text := "the maintenance window is closed, or would close before a rebuild is expected to end"
	for _, b := range f.Strategy.Blackouts {
		if b.From.Before(until) && !v.now.due(b.To) {
			text += "; blackout"
			if b.Reason != "" {
				text += ": " + b.Reason
			}
		}
	}
	return text
}

func (v *view) anyPending() bool {
	return v.s.any(func(x *Desktop) bool { return x.Phase == Pending })
}

// sayWhatWaits tells why nothing happens when nothing of this rollout is under
// way and nothing begins.
func (v *view) sayWhatWaits(t *total, f *fleet.Fleet, busy int) step {
	own := busy - len(v.f.Busy)
	thawed := v.s.Waiting != nil && v.s.Waiting.Code == events.CodeFrozen // and nothing is frozen any more
	if own > 0 && !thawed || !t.out.Need.Empty() || len(t.out.Begin) > 0 || len(t.out.Acts) > 0 {
		return step{}
	}
	if own == 0 && busy >= f.Strategy.AtOnce(v.s.Size) && v.anyPending() {
		// The ticks of those desktops are another rollout's: this one needs its own.
		// One of them may take a day, so it is looked at the less often the longer that
		// takes.
		return v.stand(events.CodeMaxUnavailable, "as many desktops as may be at once are still being rebuilt by "+v.others(), zero).
			with(look(v.now.backoff(v.s.Wave().BegunAt)))
	}
	code, n := t.mostCommonWait()
	if n == 0 {
		return step{}
	}
	until := zero
	if deadline := v.longestInUse().Add(f.Strategy.Sessions.Deadline); code == events.CodeSessionWait && !v.now.due(deadline) {
		until = deadline
	}
	text, known := waitText[code]
	if !known {
		text = "desktops that have to wait"
	}
	return v.stand(code, fmt.Sprintf("%s: %d", text, n), until)
}

// mostCommonWait returns the reason for which most desktops wait after this
// decision, and how many wait for it.
func (t *total) mostCommonWait() (code string, most int) {
	waits := map[string]int{}
	decided := map[string]bool{}
	for _, g := range t.outcomes {
		for _, id := range g.Desktops {
			decided[id] = true
		}
		if g.Status == events.StatusDeferred {
			waits[g.Code] += len(g.Desktops)
		}
	}
	for _, x := range t.v.s.Desktops {
		if x.Phase == Pending && x.WaitCode != "" && !decided[x.ID] {
			waits[x.WaitCode]++
		}
	}
	for _, c := range slices.Sorted(maps.Keys(waits)) {
		if waits[c] > most {
			code, most = c, waits[c]
		}
	}
	return code, most
}

// longestInUse returns since when the desktop has been waited for that has been in use
// for longest.
func (v *view) longestInUse() time.Time {
	since := v.now.t
	for _, x := range v.s.Desktops {
		if at, waits := x.waitsSince(events.CodeSessionWait); waits && x.Phase == Pending {
			since = earlier(since, at)
		}
	}
	return since
}

// others names the rollouts that are still rebuilding desktops of the fleet.
func (v *view) others() string {
	return strings.Join(slices.Compact(slices.Sorted(maps.Values(v.f.Busy))), " and ")
}

// waitText says for what desktops wait, for people.
var waitText = map[string]string{
	events.CodeSessionWait:    "desktops that somebody is using",
	events.CodeStatusWait:     "desktops in a passing status",
	events.CodeStopWait:       "desktops that are stopped before they are rebuilt",
	events.CodeNotNow:         "desktops that said not now, or are held back by a tag",
	events.CodeNotAsked:       "desktops that cannot be asked whether they may be rebuilt",
	events.CodeSnapshotWait:   "desktops of whose data disk a snapshot is being made",
	events.CodeNoticeGiven:    "desktops whose users were told and have time until then",
	events.CodeNoticeNotGiven: "desktops whose users could not be told",
	events.CodeThrottled:      "desktops for which ECD asked to slow down",
	events.CodeNotAuthorized:  "desktops that we may not touch",
}
