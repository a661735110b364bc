package rollout

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
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
	if v.f.Unread && !v.followsAlone(t, f, busy) {
		t.out.Need.Order = true
		return
	}
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
		if v.onlyFollows(t, f, busy) {
			if s, stops := inOrder(f, v.tooLong, t.tooMany, v.full); stops {
				t.join(s)
			} else {
				v.awaitTurns(t, f, busy)
			}
			return
		}
		image, along := v.imageMissing, v.imageAlong()
		if along {
			image = func(*fleet.Fleet) (step, bool) { return step{}, false }
		}
		s, stops := inOrder(f, v.tooLong, t.tooMany, image, v.full)
		if t.join(s); !stops {
			v.advance(t, f, busy)
		}
		if along && t.out.Need.Empty() { // none has asked for it
			s, _ := v.imageMissing(f)
			t.join(s)
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
	return t.v.s.any(func(x *Desktop) bool {
		_, ends := ended[x.ID]
		return x.Phase == Pending && !ends
	})
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
	return t.v.s.any(func(x *Desktop) bool { return x.Touched || x.Last.Code == events.CodeAlreadyOnImage }) ||
		slices.ContainsFunc(t.outcomes, func(g Group) bool { return g.Code == events.CodeAlreadyOnImage })
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
		s, once := v.listOnceMore(f, w)
		if t.join(s); !once {
			v.end(t)
		}
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

// listOnceMore has a fleet listed once more of which no desktop is left, before its rollout
// ends: a listing may miss some. The last wave took all that were listed when it began; else
// it is said since when none was.
func (v *view) listOnceMore(f *fleet.Fleet, w *Wave) (step, bool) {
	var since time.Time
	switch stands := v.s.Waiting; {
	case v.s.Operation.Undoes != "": // it is known who goes back
		return step{}, false
	case w != nil && len(v.s.Desktops) >= v.s.Size:
		since = w.BegunAt
	case stands != nil && stands.Code == events.CodeFleetEmpty:
		since = v.s.WaitingAt
	default:
		why := "ECD lists no desktop of the fleet"
		if w != nil {
			why = fmt.Sprintf("ECD lists no further desktop of the fleet, which had %d when %s began", v.s.Size, w.Title())
		}
		return v.stand(events.CodeFleetEmpty, why+"; the rollout stays open", v.now.in(Settling)), true
	}
	again := since.Add(Settling)
	if !v.now.due(again) {
		return look(again), true
	}
	_, s, ok := find(v, ofMembers, f.Name, again)
	return s, !ok
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
