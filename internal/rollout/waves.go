package rollout

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// rollout decides about a release: first what is under way, then whether
// anything more may begin, then what.
func (v *view) rollout(t *total) {
	busy := v.underWay(t)
	f := v.fleet()
	switch {
	case v.s.Aborted != "":
		v.drop(t, events.StatusRefused, events.CodeAborted, "the rollout was aborted by "+v.s.Aborted)
	case v.s.Superseded != "":
		v.drop(t, events.StatusSkipped, events.CodeSuperseded, v.s.Superseded+" took over before the rebuild began")
	case v.s.Paused != "" || v.s.Halted != nil:
		v.standDown(t)
		t.join(v.goBack())
	case f == nil:
		v.standDown(t)
		t.join(v.stand(events.CodeFleetUnknown, fmt.Sprintf("the fleet %s is no longer declared in fleets.yaml", v.s.Operation.Fleet), zero))
	default:
		if s, awaits := v.awaitsRings(f); awaits {
			t.join(s)
			v.standDown(t)
			return
		}
		s, stops := inOrder(f, v.tooLong, t.tooMany, v.imageMissing, v.full)
		if t.join(s); !stops {
			v.advance(t, f, busy)
		}
	}
}

// underWay decides about the desktops that were begun or have ended, and returns
// how many places at once are taken: who ends by this decision leaves one.
func (v *view) underWay(t *total) int {
	busy := len(v.f.Busy)
	for _, id := range v.s.Order {
		x := v.s.Desktops[id]
		if x.Phase == Pending {
			if v.hasPlace(x) {
				busy++
			}
			continue
		}
		s := v.desktop(x)
		t.add(x, s)
		if ends := s.outcome != nil && s.outcome.final(); x.Phase != Final && !ends {
			busy++
		}
	}
	return busy
}

func (v *view) fleet() *fleet.Fleet {
	for i := range v.r.Fleets {
		if v.r.Fleets[i].Name == v.s.Operation.Fleet {
			return &v.r.Fleets[i]
		}
	}
	return nil
}

// drop gives up all that was not begun, and closes the rollout when the rest has
// ended.
func (v *view) drop(t *total, status events.Status, code, message string) {
	for _, id := range v.s.Order {
		if x := v.s.Desktops[id]; x.Phase == Pending {
			t.add(x, v.settle(status, code, "%s", message))
		}
	}
	if t.unfinished == 0 && t.unrestored == 0 && len(v.s.prepared()) == 0 {
		t.close(&events.Reason{Code: code, Message: message})
	}
}

// prepared returns the desktops that are not begun and yet in maintenance mode, or
// stopped, by us.
func (s *State) prepared() []*Desktop {
	var out []*Desktop
	for _, id := range s.Order {
		if x := s.Desktops[id]; x.Phase == Pending && x.ours() {
			out = append(out, x)
		}
	}
	return out
}

// standDown restores the desktops that were prepared and will not be begun for
// now. A rollout that is paused or has halted needs no tick: the message that lets
// it go on is an invocation of its own.
func (v *view) standDown(t *total) {
	for _, x := range v.s.prepared() {
		s, _ := v.restore(x)
		t.add(x, s)
	}
}

// stand says why the rollout stands still, once for each reason.
func (v *view) stand(code, message string, until time.Time) step {
	s := look(soonest(v.now.in(MaxTick), until))
	if w := v.s.Waiting; w != nil && w.Code == code {
		return s // how many, or of what request, may change each time
	}
	r := &events.Reason{Code: code, Message: message}
	if !until.IsZero() {
		r.Until = &until
	}
	return s.with(v.write(Record{Kind: KindWaiting, Reason: r}))
}

// standUnread says that the rollout stands still because something cannot be read. It is
// asked for less often the longer that lasts.
func (v *view) standUnread(u *Unread) step {
	since := v.now.t
	if w := v.s.Waiting; w != nil && w.Code == u.Code {
		since = v.s.WaitingAt
	}
	return v.stand(u.Code, u.Message, zero).with(look(later(v.now.in(time.Minute), v.now.backoff(since))))
}

// halt stops the rollout by itself. What is under way is followed to its end.
func (v *view) halt(code, format string, args ...any) step {
	reason := &events.Reason{Code: code, Message: fmt.Sprintf(format, args...)}
	return v.write(v.onHalt(Record{Kind: KindHalted, Reason: reason})).with(look(v.now.t))
}

// tooLong halts the rollout when it has taken longer than it may.
func (v *view) tooLong(f *fleet.Fleet) (step, bool) {
	limit := v.since(f).Add(f.Strategy.RolloutTimeout)
	if !v.now.due(limit) || !v.s.Forgiven.Before(limit) {
		return step{}, false
	}
	return v.halt(events.CodeRolloutTimeout, "the rollout has taken longer than %s", f.Strategy.RolloutTimeout), true
}

// tooMany halts the rollout when more desktops have failed than may, in the
// wave that is under way or over all. The failures of this very decision count.
func (t *total) tooMany(f *fleet.Fleet) (step, bool) {
	s, w := t.v.s, t.v.s.Wave()
	if w == nil {
		return step{}, false
	}
	wave, all := 0, 0
	failed := func(x *Desktop) {
		all++
		if x.Wave == w.N {
			wave++
		}
	}
	for _, x := range s.Desktops {
		if x.Phase == Final && x.Last.Status == events.StatusFailed && x.DoneAt.After(s.Forgiven) {
			failed(x)
		}
	}
	for id, status := range t.ended() {
		if status == events.StatusFailed {
			failed(s.Desktops[id])
		}
	}
	inWave, over := f.Strategy.AllowedFailuresInWave(w.N, len(w.Desktops)), f.Strategy.AllowedFailures(s.Size)
	switch {
	case wave > inWave:
		return t.v.halt(events.CodeTooManyFailures, "%d of the %d desktops of %s have failed, %d may", wave, len(w.Desktops), w.Title(), inWave), true
	case all > over:
		return t.v.halt(events.CodeTooManyFailures, "%d of the %d desktops have failed, %d may", all, s.Size, over), true
	}
	return step{}, false
}

// imageMissing says whether the release's image cannot be used. It waits for one
// that is being created, and halts the rollout for one that never will be.
func (v *view) imageMissing(*fleet.Fleet) (step, bool) {
	id := v.s.Operation.ImageID
	if v.s.Operation.Undoes != "" {
		return step{}, false // each desktop has an image of its own; the guards look at it
	}
	fact, s, ok := find(v, ofImages, id, zero)
	if !ok {
		if v.s.former != "" { // mostly the next desktops have it as well: one call reads both
			_, more, _ := find(v, ofImages, v.s.former, zero)
			s = s.with(more)
		}
		return s, true
	}
	switch image := fact.Value; {
	case fact.Err != nil:
		return v.standUnread(fact.Err), true
	case image == nil:
		return v.halt(events.CodeImageNotFound, "ECD lists no image %s in %s", id, v.s.Operation.Place()), true
	case image.Status == desktop.ImageAvailable:
		return step{}, false
	case image.Status == desktop.ImageCreating && fact.Since(v.s.OpenedAt) < imageLimit:
		return v.stand(events.CodeImageCreating, fmt.Sprintf("image %s is still being created", id), zero).with(look(v.now.in(time.Minute))), true
	}
	return v.halt(events.CodeImageNotAvailable, "image %s is %s", id, fact.Value.Status), true
}

// advance works on the wave that is under way, ends it, or begins the next.
func (v *view) advance(t *total, f *fleet.Fleet, busy int) {
	w := v.s.Wave()
	switch {
	case w == nil:
		if s, waits := v.heldByAlarms(f, nil); waits {
			t.join(s)
			return
		}
		v.nextWave(t, f, nil)
	case !w.whole():
		t.join(v.fill(f, w))
	case w.EndedAt.IsZero():
		v.beginWithinWindow(t, f, busy)
		if t.out.Need.Empty() && t.unfinished == 0 && !t.anyLeft() {
			t.join(v.endWave(t, f, w))
		}
	default:
		if len(v.s.Desktops) < v.s.Size { // another wave follows: ECD is not asked for its desktops before it may begin
			if s, waits := v.mustWait(f, w, w.N+1); waits {
				t.join(s)
				return
			}
		}
		v.nextWave(t, f, w)
	}
}

// mustWait says whether the wave next may not follow on w yet, and why. Waves
// between the two have no desktops; an approval that is wanted after one of them is
// wanted all the same.
func (v *view) mustWait(f *fleet.Fleet, w *Wave, next int) (step, bool) {
	quiet, waits := v.heldByAlarms(f, w)
	if waits {
		return quiet, true
	}
	use, waits := v.awaitsUse(f, w)
	if waits {
		return quiet.with(use), true
	}
	if s, waits := v.mustRest(f, w, next); waits {
		return quiet.with(use).with(s), true
	}
	return step{}, false
}

// mustRest says whether a finished wave has yet to be approved, or to soak.
func (v *view) mustRest(f *fleet.Fleet, w *Wave, next int) (step, bool) {
	for n := w.N; n < next; n++ {
		if f.Strategy.Approval.After(n, v.s.Operation.First) && w.Approved == "" {
			return v.stand(events.CodeApprovalAwaited, fmt.Sprintf("%s is finished; somebody has to approve it", w.Title()), zero), true
		}
	}
	if until := w.EndedAt.Add(f.Strategy.Soak); !v.now.due(until) {
		return v.stand(events.CodeSoaking, fmt.Sprintf("%s soaks for %s", w.Title(), f.Strategy.Soak), until), true
	}
	return step{}, false
}

// anyLeft says whether a desktop of the waves so far is not begun, and does not end in
// this decision either.
func (t *total) anyLeft() bool {
	ended := maps.Collect(t.ended())
	for _, x := range t.v.s.Desktops {
		if _, ends := ended[x.ID]; x.Phase == Pending && !ends {
			return true
		}
	}
	return false
}

// endWave ends a wave of which all is final. A canary of which no desktop got the
// image has shown nothing: as many desktops as it has come into it besides, until one
// has, or the fleet has no more. A rollback brings what is known.
func (v *view) endWave(t *total, f *fleet.Fleet, w *Wave) step {
	if w.N == 1 && v.s.Operation.Undoes == "" && len(v.s.Desktops) < v.s.Size && !t.shows() {
		rest, _, s, ok := v.remaining(f)
		if !ok {
			return s
		}
		if more := rest[:min(len(rest), len(w.Desktops))]; len(more) > 0 {
			return v.begin(Record{Kind: KindWave, Wave: w.N, Waves: v.s.Planned, Name: w.Name, Size: v.s.Size, Of: len(w.Desktops) + len(more)}, len(w.Desktops), more)
		}
	}
	return v.write(Record{Kind: KindWaveEnded, Wave: w.N}).with(look(v.now.t))
}

// shows says whether a desktop shows what the image does, after this decision: it was
// rebuilt, well or badly, or had the image already.
func (t *total) shows() bool {
	for _, x := range t.v.s.Desktops {
		if x.Touched || x.Last.Code == events.CodeAlreadyOnImage {
			return true
		}
	}
	return slices.ContainsFunc(t.outcomes, func(g Group) bool { return g.Code == events.CodeAlreadyOnImage })
}

// nextWave begins the first wave behind w that has any desktops, if the rollout may go
// on from w, or ends the rollout when no desktops remain. The desktops are those that
// are in the fleet now.
func (v *view) nextWave(t *total, f *fleet.Fleet, w *Wave) {
	rest, tagged, s, ok := v.remaining(f)
	if t.join(s); !ok {
		return
	}
	if len(rest) == 0 {
		v.end(t)
		return
	}
	n := 1
	if w != nil {
		n = w.N + 1
	}
	comes, size := rest, len(rest)+len(v.s.Desktops) // all that comes must find room, not this wave alone
	ends := f.Strategy.WaveEnds(size, f.Strategy.Canary.Size(size, tagged))
	planned := max(len(ends), n)
	for ; n < planned; n++ {
		if want := ends[n-1] - len(v.s.Desktops); want > 0 {
			rest = rest[:min(want, len(rest))]
			break
		}
	}
	if w != nil {
		if s, waits := v.mustWait(f, w, n); waits {
			t.join(s)
			return
		}
	}
	if why := v.tooLarge(comes); why != "" {
		t.join(v.halt(events.CodeFleetTooLarge, "%s", why))
		return
	}
	t.join(v.begin(Record{Kind: KindWave, Wave: n, Waves: planned, Name: waveName(n, planned), Size: size}, 0, rest))
}

// fill goes on writing down who is in a wave, after an invocation was killed while it
// did so.
func (v *view) fill(f *fleet.Fleet, w *Wave) step {
	rest, _, s, ok := v.remaining(f)
	if !ok {
		return s
	}
	rest = rest[:min(len(rest), w.Of-len(w.Desktops))]
	rec := Record{Kind: KindWave, Wave: w.N, Waves: v.s.Planned, Name: w.Name, Size: v.s.Size, Of: len(w.Desktops) + len(rest)}
	if len(rest) == 0 { // they are no longer in the fleet
		return v.write(rec).with(look(v.now.t))
	}
	return v.begin(rec, len(w.Desktops), rest)
}

// begin writes down who is in a wave, in as many records as it takes. There are
// known desktops in it already.
func (v *view) begin(rec Record, known int, ids []string) step {
	if known+len(ids) > maxIDs {
		rec.Of = known + len(ids)
	}
	s := look(v.now.t)
	for part := range slices.Chunk(ids, maxIDs) {
		rec.Desktops = part
		s = s.with(v.write(rec))
	}
	return s
}

// remaining returns the desktops of the fleet that have not had their turn, in
// order, and how many of the fleet carry the canary's tags.
func (v *view) remaining(f *fleet.Fleet) (ids []string, tagged int, s step, ok bool) {
	members, s, ok := find(v, ofMembers, f.Name, zero)
	if !ok {
		return nil, 0, s, false
	}
	switch {
	case members.Err != nil && members.Err.Code == events.CodeFleetTooLarge: // to ask again changes nothing, and costs as much
		return nil, 0, v.halt(members.Err.Code, "%s", members.Err.Message), false
	case members.Err != nil:
		return nil, 0, v.standUnread(members.Err), false
	}
	ids, tagged = v.turns(f, members.Value)
	return slices.DeleteFunc(ids, func(id string) bool { return v.s.Desktops[id] != nil }), tagged, s, true
}

// turns returns, in their order, the desktops that the operation is for, and how many
// carry the canary's tags. A rollback is for those that were changed: those that are
// not in the fleet any more come last, and get an outcome as well.
func (v *view) turns(f *fleet.Fleet, members []desktop.Desktop) (ids []string, tagged int) {
	rest := maps.Clone(v.s.Operation.to)
	for _, m := range Order(f, members) {
		if _, changed := rest[m.ID]; !changed && v.s.Operation.Undoes != "" {
			continue
		}
		if f.Strategy.Canary.Chosen(m) {
			tagged++
		}
		ids = append(ids, m.ID)
		delete(rest, m.ID)
	}
	return append(ids, slices.Sorted(maps.Keys(rest))...), tagged
}

// member says whether a desktop is in the fleet of the rollout. One that the
// rollout itself took out, because the fleet chooses by image, still is for the
// rollback.
func (v *view) member(x desktop.Desktop) bool {
	f := v.r.Fleets.Of(x)
	if (f == nil || f.Name != v.s.Operation.Fleet) && v.s.Operation.Undoes != "" && x.ImageID == v.s.Operation.ImageID {
		x.ImageID = v.s.Operation.to[x.ID]
		f = v.r.Fleets.Of(x)
	}
	return f != nil && f.Name == v.s.Operation.Fleet
}

// end closes a rollout of which nothing remains to be done.
func (v *view) end(t *total) {
	switch {
	case t.unfinished > 0 || t.unrestored > 0:
	case len(v.s.Desktops) == 0:
		t.close(&events.Reason{Code: events.CodeFleetEmpty, Message: "the fleet has no desktop"})
	default:
		t.close(nil)
	}
}

func waveName(n, of int) string {
	switch n {
	case 1:
		return "canary"
	case of:
		return "everybody"
	}
	return fmt.Sprintf("wave %d", n)
}

// Order returns the members of a fleet in the order in which they get a release:
// those whom the canary's tags choose, then the others, each by a hash of the
// fleet's name and the desktop's id. So it is the same for every release, can be
// told in advance, and does not depend on names or age.
func Order(f *fleet.Fleet, members []desktop.Desktop) []desktop.Desktop {
	type ranked struct {
		desktop.Desktop
		canary bool
		hash   [sha256.Size]byte
	}
	list := make([]ranked, len(members))
	for i, m := range members {
		list[i] = ranked{m, f.Strategy.Canary.Chosen(m), sha256.Sum256([]byte(f.Name + "/" + m.ID))}
	}
	slices.SortFunc(list, func(a, b ranked) int {
		if a.canary != b.canary {
			if a.canary {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.hash[:], b.hash[:])
	})
	out := make([]desktop.Desktop, len(list))
	for i := range list {
		out[i] = list[i].Desktop
	}
	return out
}

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
			t.add(x, v.remind(x, &f.Strategy).with(step{unfinished: true}))
			continue
		}
		s, done := v.departed(x)
		if !done {
			s = v.pending(x)
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
	case fact.Value != nil && fact.Value.ImageID == "": // fleets choose by image, too
		return step{}, false
	case fact.Value != nil && x.tried() && fact.Value.ImageID == v.s.Operation.SpecOf(x.ID).ImageID:
		return step{}, false
	case fact.Value == nil && x.ours() && (x.MissingAt.IsZero() || fact.Since(x.MissingAt) < Settling):
		return step{}, false
	case fact.Value == nil:
		return v.settle(events.StatusSkipped, events.CodeLeftFleet, "ECD no longer lists desktop %s", x.ID), true
	}
	now, s, ok := v.tagged(x, fact.Value)
	switch {
	case !ok:
		return s, true // it waits for its tags
	case v.member(*now):
		return v.changedSince(x, now)
	}
	return v.settle(events.StatusSkipped, events.CodeLeftFleet, "desktop %s is no longer in the fleet %s", x.ID, v.s.Operation.Fleet), true
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
	for _, x := range v.s.Desktops {
		if x.Phase == Pending {
			return true
		}
	}
	return false
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
