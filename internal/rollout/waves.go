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
func (d *decider) rollout() {
	busy := len(d.f.Busy)
	for _, id := range d.s.Order {
		x := d.s.Desktops[id]
		switch {
		case x.Phase == Begun, x.Phase == Accepted:
			d.desktop(x)
			busy++
		case x.Phase == Final:
			d.letGo(x)
		case x.Held, x.Stopped:
			busy++
		}
	}
	f := d.fleet()
	switch {
	case d.s.Aborted != "":
		d.drop(events.StatusRefused, events.CodeAborted, "the rollout was aborted by "+d.s.Aborted)
	case d.s.Superseded != "":
		d.drop(events.StatusSkipped, events.CodeSuperseded, d.s.Superseded+" took over before the rebuild began")
	case d.s.Paused != "" || d.s.Halted != nil:
		d.standDown()
		d.goBack()
	case f == nil:
		d.standDown()
		d.stand(events.CodeFleetUnknown, fmt.Sprintf("the fleet %s is no longer declared in fleets.yaml", d.s.Operation.Fleet), zero)
	case d.awaitsRings(f):
		d.standDown()
	case d.now.due(d.since(f).Add(f.Strategy.RolloutTimeout)) && d.s.Forgiven.Before(d.since(f).Add(f.Strategy.RolloutTimeout)):
		d.halt(events.CodeRolloutTimeout, fmt.Sprintf("the rollout has taken longer than %s", f.Strategy.RolloutTimeout))
	case !d.tooMany(f) && d.imageReady():
		d.advance(f, busy)
	}
}

func (d *decider) fleet() *fleet.Fleet {
	for i := range d.r.Fleets {
		if d.r.Fleets[i].Name == d.s.Operation.Fleet {
			return &d.r.Fleets[i]
		}
	}
	return nil
}

// drop gives up all that was not begun, and closes the rollout when the rest has
// ended.
func (d *decider) drop(status events.Status, code, message string) {
	for _, id := range d.s.Order {
		if x := d.s.Desktops[id]; x.Phase == Pending {
			d.settle(x, status, code, message)
		}
	}
	if d.open == 0 && d.kept == 0 && len(d.s.held()) == 0 {
		d.close(&events.Reason{Code: code, Message: message})
	}
}

// held returns the desktops that are not begun and yet in maintenance mode, or
// stopped, by us.
func (s *State) held() []*Desktop {
	var out []*Desktop
	for _, id := range s.Order {
		if x := s.Desktops[id]; x.Phase == Pending && (x.Held || x.Stopped) {
			out = append(out, x)
		}
	}
	return out
}

// standDown gives people back the desktops that were made ready and will not be
// begun for now. A rollout that is paused or has halted needs no tick: whoever
// tells it to go on wakes it.
func (d *decider) standDown() {
	for _, x := range d.s.held() {
		d.giveBack(x)
	}
}

// stand says why the rollout stands still, once for each reason.
func (d *decider) stand(code, message string, until time.Time) {
	d.again(d.now.in(MaxTick))
	if !until.IsZero() {
		d.again(until)
	}
	if w := d.s.Waiting; w != nil && w.Code == code {
		return // how many, or of what request, may change each time
	}
	r := &events.Reason{Code: code, Message: message}
	if !until.IsZero() {
		r.Until = &until
	}
	d.record(Record{Kind: KindWaiting, Reason: r})
}

// halt stops the rollout by itself. What is under way is followed to its end.
func (d *decider) halt(code, message string) {
	d.record(d.onHalt(Record{Kind: KindHalted, Reason: &events.Reason{Code: code, Message: message}}))
	d.again(d.now.t)
}

// tooMany halts the rollout when more desktops have failed than may, in the
// wave that is under way or over all. The failures of this very decision count.
func (d *decider) tooMany(f *fleet.Fleet) bool {
	wave, all := 0, 0
	w := d.s.Wave()
	if w == nil {
		return false
	}
	failed := func(x *Desktop) {
		all++
		if x.Wave == w.N {
			wave++
		}
	}
	for _, x := range d.s.Desktops {
		if x.Phase == Final && x.Last.Status == events.StatusFailed && x.DoneAt.After(d.s.Forgiven) {
			failed(x)
		}
	}
	for _, g := range d.settled {
		if g.Status == events.StatusFailed {
			for _, id := range g.Desktops {
				failed(d.s.Desktops[id])
			}
		}
	}
	inWave, over := f.Strategy.AllowedFailuresInWave(w.N, len(w.Desktops)), f.Strategy.AllowedFailures(d.s.Size)
	switch {
	case wave > inWave:
		d.halt(events.CodeTooManyFailures, fmt.Sprintf("%d of the %d desktops of %s have failed, %d may", wave, len(w.Desktops), w.Title(), inWave))
	case all > over:
		d.halt(events.CodeTooManyFailures, fmt.Sprintf("%d of the %d desktops have failed, %d may", all, d.s.Size, over))
	default:
		return false
	}
	return true
}

// imageReady says whether the release's image can be used. It waits for one
// that is being created, and halts the rollout for one that never will be.
func (d *decider) imageReady() bool {
	id := d.s.Operation.ImageID
	if d.s.Operation.Undoes != "" {
		return true // each desktop has an image of its own; the guards look at it
	}
	fact, ok := find(d, d.f.Images, id, &d.out.Need.Images, zero)
	if !ok {
		return false
	}
	switch image := fact.Value; {
	case fact.Err != nil:
		d.stand(fact.Err.Code, fact.Err.Message, zero)
		d.again(d.now.in(time.Minute))
	case image == nil:
		d.halt(events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s in %s", id, d.s.Operation.RegionID))
	case image.Status == desktop.ImageAvailable:
		return true
	case image.Status == desktop.ImageCreating && fact.Since(d.s.OpenedAt) < imageLimit:
		d.stand(events.CodeImageCreating, fmt.Sprintf("image %s is still being created", id), zero)
		d.again(d.now.in(time.Minute))
	default:
		d.halt(events.CodeImageNotAvailable, fmt.Sprintf("image %s is %s", id, image.Status))
	}
	return false
}

// advance works on the wave that is under way, ends it, or begins the next.
func (d *decider) advance(f *fleet.Fleet, busy int) {
	w := d.s.Wave()
	switch {
	case w == nil:
		d.nextWave(f, nil)
	case !w.whole():
		d.fill(f, w)
	case w.EndedAt.IsZero():
		d.work(f, busy)
		if d.out.Need.Empty() && d.open == 0 && !d.waiting() {
			d.record(Record{Kind: KindWaveEnded, Wave: w.N})
			d.again(d.now.t)
		}
	case len(d.s.Desktops) < d.s.Size && !d.mayLeave(f, w, w.N+1):
		// Somebody is left: no need to ask ECD who, before the next may begin.
	default:
		d.nextWave(f, w)
	}
}

// mayLeave says whether the wave next may follow on w, and else why not. Waves
// between the two have nobody in them; an approval that is wanted after one of
// them is wanted all the same.
func (d *decider) mayLeave(f *fleet.Fleet, w *Wave, next int) bool {
	for n := w.N; n < next; n++ {
		if f.Strategy.Approval.After(n, d.s.Operation.First) && w.Approved == "" {
			d.stand(events.CodeApprovalAwaited, fmt.Sprintf("%s is finished; somebody has to approve it", w.Title()), zero)
			return false
		}
	}
	if until := w.EndedAt.Add(f.Strategy.Soak); !d.now.due(until) {
		d.stand(events.CodeSoaking, fmt.Sprintf("%s soaks for %s", w.Title(), f.Strategy.Soak), until)
		return false
	}
	return true
}

// waiting says whether a desktop that has come is not begun and not settled in
// this decision either.
func (d *decider) waiting() bool {
	done := map[string]bool{}
	for _, g := range d.settled {
		for _, id := range g.Desktops {
			done[id] = g.Status != events.StatusDeferred && g.Status != events.StatusAccepted
		}
	}
	for _, x := range d.s.Desktops {
		if x.Phase == Pending && !done[x.ID] {
			return true
		}
	}
	return false
}

// nextWave begins the first wave behind w that has somebody in it, if w may be
// left, or ends the rollout when nobody is left. Whoever joined the fleet since is
// in it, whoever left is not.
func (d *decider) nextWave(f *fleet.Fleet, w *Wave) {
	left, tagged, ok := d.left(f)
	if !ok {
		return
	}
	if len(left) == 0 {
		d.end()
		return
	}
	n := 1
	if w != nil {
		n = w.N + 1
	}
	total := len(left) + len(d.s.Desktops)
	ends := f.Strategy.WaveEnds(total, f.Strategy.Canary.Size(total, tagged))
	planned := max(len(ends), n)
	for ; n < planned; n++ {
		if want := ends[n-1] - len(d.s.Desktops); want > 0 {
			left = left[:min(want, len(left))]
			break
		}
	}
	if w != nil && !d.mayLeave(f, w, n) {
		return
	}
	d.begin(Record{Kind: KindWave, Wave: n, Waves: planned, Name: waveName(n, planned), Size: total}, 0, left)
}

// fill goes on writing down who is in a wave, after whoever began to died.
func (d *decider) fill(f *fleet.Fleet, w *Wave) {
	left, _, ok := d.left(f)
	if !ok {
		return
	}
	left = left[:min(len(left), w.Of-len(w.Desktops))]
	rec := Record{Kind: KindWave, Wave: w.N, Waves: d.s.Planned, Name: w.Name, Size: d.s.Size, Of: len(w.Desktops) + len(left)}
	if len(left) == 0 { // they have left the fleet meanwhile
		d.record(rec)
		d.again(d.now.t)
		return
	}
	d.begin(rec, len(w.Desktops), left)
}

// begin writes down who is in a wave, in as many records as it takes. There are
// known desktops in it already.
func (d *decider) begin(rec Record, known int, ids []string) {
	if known+len(ids) > maxIDs {
		rec.Of = known + len(ids)
	}
	for part := range slices.Chunk(ids, maxIDs) {
		rec.Desktops = part
		d.record(rec)
	}
	d.again(d.now.t)
}

// left returns the desktops of the fleet that have not had their turn, in order,
// and how many of the fleet carry the canary's tags.
func (d *decider) left(f *fleet.Fleet) (ids []string, tagged int, ok bool) {
	members, ok := find(d, d.f.Members, f.Name, &d.out.Need.Members, zero)
	if !ok {
		return nil, 0, false
	}
	if members.Err != nil {
		d.stand(members.Err.Code, members.Err.Message, zero)
		d.again(d.now.in(time.Minute))
		return nil, 0, false
	}
	ids, tagged = d.turns(f, members.Value)
	return slices.DeleteFunc(ids, func(id string) bool { return d.s.Desktops[id] != nil }), tagged, true
}

// turns returns, in their order, the desktops that the work is for, and how many
// carry the canary's tags. A rollback is for those that were changed: whoever is
// not found in the fleet any more comes last, and is told what becomes of it.
func (d *decider) turns(f *fleet.Fleet, members []desktop.Desktop) (ids []string, tagged int) {
	rest := maps.Clone(d.s.Operation.to)
	for _, m := range Order(f, members) {
		if _, changed := rest[m.ID]; !changed && d.s.Operation.Undoes != "" {
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
func (d *decider) member(x desktop.Desktop) bool {
	f, in := d.r.Fleets.Of(x)
	if (!in || f.Name != d.s.Operation.Fleet) && d.s.Operation.Undoes != "" && x.ImageID == d.s.Operation.ImageID {
		x.ImageID = d.s.Operation.to[x.ID]
		f, in = d.r.Fleets.Of(x)
	}
	return in && f.Name == d.s.Operation.Fleet
}

// end closes a rollout of which nothing is left.
func (d *decider) end() {
	if d.open > 0 || d.kept > 0 {
		return
	}
	if len(d.s.Desktops) == 0 {
		d.close(&events.Reason{Code: events.CodeFleetEmpty, Message: "the fleet has no desktop"})
		return
	}
	d.close(nil)
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
// told in advance, and favours nobody by name or age.
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

// askAhead is how many desktops beyond what there is room for are read at once
// while looking for some that may be begun.
const askAhead = 100

// work begins desktops of the waves that have come, as far as the window is open
// and there is room.
func (d *decider) work(f *fleet.Fleet, busy int) {
	room := f.Strategy.AtOnce(d.s.Size) - busy
	open, until := d.windowOrNow(f)
	if !open {
		d.standDown()
		for _, id := range d.s.Order {
			if x := d.s.Desktops[id]; x.Phase == Pending {
				d.remind(x, &f.Strategy)
			}
		}
		if d.anyPending() {
			d.stand(events.CodeWindowClosed, d.closed(f, until), until)
		}
		return
	}
	if !until.IsZero() {
		d.again(until)
	}
	if d.held(f) {
		d.standDown()
		return
	}
	most := max(room, 0) + askAhead
	for _, id := range d.s.Order {
		x := d.s.Desktops[id]
		if x.Phase != Pending {
			continue
		}
		mine := x.Held || x.Stopped // has its room already
		if !mine && room <= 0 {
			d.remind(x, &f.Strategy)
			d.open++
			continue
		}
		if len(d.out.Need.Desktops) >= most {
			break
		}
		if d.consider(x) && !mine {
			room--
		}
	}
	d.sayWhatWaits(f, busy)
}

// consider decides about one pending desktop and says whether that took room.
func (d *decider) consider(x *Desktop) bool {
	before := len(d.out.Begin) + len(d.out.Hold) + len(d.out.Stop) + d.asking
	if d.departed(x) {
		return false
	}
	d.pending(x)
	return len(d.out.Begin)+len(d.out.Hold)+len(d.out.Stop)+d.asking > before
}

// departed settles a desktop that is no longer in the fleet, as far as that is
// known.
func (d *decider) departed(x *Desktop) bool {
	fact, asked := d.f.Desktops[x.ID]
	if !asked || fact.Err != nil || fact.ReadAt.Before(x.eventful()) || !d.now.due(x.Again) || x.tried() && fact.Value != nil && fact.Value.ImageID == d.s.Operation.SpecOf(x.ID).ImageID {
		return false // pending asks, waits, or sees that it has come home
	}
	if fact.Value == nil && (x.Held || x.Stopped) && (x.MissingAt.IsZero() || fact.Since(x.MissingAt) < Settling) {
		return false // pending sees to it
	}
	if fact.Value == nil {
		d.settle(x, events.StatusSkipped, events.CodeLeftFleet, fmt.Sprintf("ECD no longer lists desktop %s", x.ID))
		return true
	}
	now, ok := d.tagged(x, fact.Value)
	if !ok {
		return true // it waits for its tags
	}
	if d.member(*now) {
		return d.changedSince(x, now)
	}
	d.settle(x, events.StatusSkipped, events.CodeLeftFleet, fmt.Sprintf("desktop %s is no longer in the fleet %s", x.ID, d.s.Operation.Fleet))
	return true
}

// changedSince settles a desktop of a rollback that is on neither the image to
// leave nor the one to go back to: somebody else decided about it meanwhile.
func (d *decider) changedSince(x *Desktop, now *desktop.Desktop) bool {
	w := d.s.Operation
	if w.Undoes == "" || now.ImageID == w.ImageID || now.ImageID == w.to[x.ID] {
		return false
	}
	d.settle(x, events.StatusSkipped, events.CodeChangedOutside, fmt.Sprintf("desktop %s is on %s by now, which this rollout did not bring", x.ID, now.ImageID))
	return true
}

// window says whether a rebuild may begin now, and until when, or else when
// next.
func (d *decider) window(f *fleet.Fleet) (bool, time.Time) {
	open, until := f.Strategy.Open(d.now.t)
	if !open || until.IsZero() || !d.now.in(f.Strategy.Expected).After(until) {
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
func (d *decider) closed(f *fleet.Fleet, until time.Time) string {
	if w := d.s.Waiting; w != nil && w.Code == events.CodeWindowClosed && w.Until != nil && w.Until.Equal(until) {
		return w.Message
	}
	text := "the maintenance window is closed, or would close before a rebuild is expected to end"
	for _, b := range f.Strategy.Blackouts {
		if b.From.Before(until) && !d.now.due(b.To) {
			text += "; blackout"
			if b.Reason != "" {
				text += ": " + b.Reason
			}
		}
	}
	return text
}

func (d *decider) anyPending() bool {
	for _, x := range d.s.Desktops {
		if x.Phase == Pending {
			return true
		}
	}
	return false
}

// sayWhatWaits tells why nothing happens when nothing of this rollout is under
// way and nothing begins.
func (d *decider) sayWhatWaits(f *fleet.Fleet, busy int) {
	own := busy - len(d.f.Busy)
	if own > 0 || !d.out.Need.Empty() || len(d.out.Begin) > 0 || d.out.Acts() {
		return
	}
	if busy >= f.Strategy.AtOnce(d.s.Size) && d.anyPending() {
		// Those ticks are another rollout's: nobody would wake this one.
		d.stand(events.CodeMaxUnavailable, "as many desktops as may be at once are still being rebuilt by "+d.others(), zero)
		d.again(d.now.in(time.Minute))
		return
	}
	reasons := map[string]int{}
	since := d.now.t // the longest that somebody has been waited for
	for _, x := range d.s.Desktops {
		if x.Phase == Pending && x.WaitCode != "" {
			reasons[x.WaitCode]++
			if at, waits := x.waitsSince(events.CodeSessionWait); waits {
				since = earlier(since, at)
			}
		}
	}
	for _, g := range d.settled {
		if g.Status == events.StatusDeferred {
			reasons[g.Code] += len(g.Desktops)
		}
	}
	best, most := "", 0
	for code, n := range reasons {
		if n > most || n == most && code < best {
			best, most = code, n
		}
	}
	if most == 0 {
		return
	}
	until := zero
	if best == events.CodeSessionWait && f.Strategy.Sessions.Deadline > 0 {
		until = since.Add(f.Strategy.Sessions.Deadline)
	}
	text, known := waitText[best]
	if !known {
		text = "desktops that have to wait"
	}
	d.stand(best, fmt.Sprintf("%s: %d", text, most), until)
}

// others names the rollouts that are still rebuilding desktops of the fleet.
func (d *decider) others() string {
	return strings.Join(slices.Compact(slices.Sorted(maps.Values(d.f.Busy))), " and ")
}

// waitText says for what desktops wait, for people.
var waitText = map[string]string{
	events.CodeSessionWait:    "desktops that somebody is using",
	events.CodeStatusWait:     "desktops in a passing status",
	events.CodeStopWait:       "desktops that are stopped before they are rebuilt",
	events.CodeNotNow:         "desktops that said not now, or are held back by a tag",
	events.CodeNotAsked:       "desktops that cannot be asked whether they may be rebuilt",
	events.CodeNoticeGiven:    "desktops whose users were told and have time until then",
	events.CodeNoticeNotGiven: "desktops whose users could not be told",
	events.CodeThrottled:      "desktops for which ECD asked to slow down",
	events.CodeNotAuthorized:  "desktops that we may not touch",
}
