package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A Saved is what the journal knows of saving a desktop's data disk as a snapshot,
// before a rebuild that erases the disk.
type Saved struct {
	Call            // in which it was asked for last; none: it was found, though nobody knows of one
	Round int       // of the snapshot: 1, and one more whenever the one before was too old
	First time.Time // when the first call of the round was announced
	Tries int       // calls of the round that may have been carried out
	Again bool      // the call certainly was not carried out, and may be made again
	No    bool      // ECD has refused it
	Gone  time.Time // when ECD first did not list it after a call of unknown delivery
	Done  time.Time // when ECD showed it complete; zero: not yet
	GiB   int
}

// Limits of snapshots.
const (
	// saveLimit is how long a snapshot may take; the vendor speaks of minutes, and of
	// a time that grows with the disk.
	saveLimit = 4 * time.Hour
	// saveHolds is how old a snapshot may be when the rebuild begins: then another
	// one is made.
	saveHolds = 6 * time.Hour
	// saveAgain is after how long a call is made again that was not carried out.
	saveAgain = 5 * time.Minute
	// maxSaves is how many calls may be made for one snapshot of which ECD shows each
	// time that there is none.
	maxSaves = 3
)

// SnapshotName names the snapshot of a desktop under an operation: the same name is
// the same snapshot, whatever became of the call. Source: CreateSnapshot,
// "SnapshotName": a letter, then letters, digits, underscores and hyphens.
func SnapshotName(operation, id string, round int) string {
	sum := sha256.Sum256([]byte(operation + "\n" + id))
	return "regild-" + hex.EncodeToString(sum[:12]) + "-" + strconv.Itoa(max(round, 1))
}

// erases says whether a rebuild erases the data disk of a desktop, and whether ECD
// deletes the disk's snapshots with it for certain: that it does for another OS family.
// For operateType replace its pages contradict each other. Source: RebuildDesktops.
func erases(now *desktop.Desktop, image *desktop.Image, operateType string) (disk, snapshots bool) {
	if now == nil || now.DataDisks == 0 {
		return false, false
	}
	change := image == nil || image.OS == "" || image.OS != now.OS
	return change || operateType != "", change
}

// A saveStep is what is to be done next about a snapshot.
type saveStep int

const (
	saveMake  saveStep = iota // CreateSnapshot is to be called
	saveWait                  // look again later
	saveRead                  // the desktop's snapshots must be read, from since on
	saveReady                 // it is complete, and new enough
	saveStale                 // it is complete, and too old: another one is to be made
	saveFails                 // it cannot be made
)

// A saving is the answer of nextSave.
type saving struct {
	step  saveStep
	until time.Time         // of saveWait
	since time.Time         // of saveRead
	why   string            // of saveFails and saveWait
	found *desktop.Snapshot // what ECD lists under the name, if anything
	gone  bool              // it is not listed for the first time after a call of unknown delivery
}

// nextSave says what is to be done about the snapshot of that name. list is nil until
// the desktop's snapshots were read.
func nextSave(s *Saved, name string, list *Fact[[]desktop.Snapshot], now clock) saving {
	if s == nil {
		s = &Saved{}
	}
	if !now.due(s.over()) { // another instance may be calling
		return saving{step: saveWait, until: s.over()}
	}
	if !s.Done.IsZero() && now.due(s.Done.Add(saveHolds)) {
		return saving{step: saveStale}
	}
	since := Later(s.End, s.over())
	if list == nil || list.ReadAt.Before(since) {
		return saving{step: saveRead, since: since}
	}
	if found := findSnapshot(list.Value, s.Got, name); found != nil {
		return listed(s, found, list.ReadAt, now)
	}
	return unlisted(s, list.ReadAt, since, now)
}

// findSnapshot returns the snapshot that is meant, or nil: the one that is furthest, if
// there are several of the name.
func findSnapshot(list []desktop.Snapshot, id, name string) *desktop.Snapshot {
	rank := map[desktop.SnapshotState]int{desktop.SnapshotFailed: 1, desktop.SnapshotUnknown: 2, desktop.SnapshotUnderWay: 2, desktop.SnapshotDone: 3}
	var best *desktop.Snapshot
	for i := range list {
		s := &list[i]
		if s.DataDisk && (s.Name == name || id != "" && s.ID == id) && (best == nil || rank[s.State] > rank[best.State]) {
			best = s
		}
	}
	return best
}

// listed deals with a snapshot that ECD lists. One that is being made is looked at the
// less often the longer that takes.
func listed(s *Saved, found *desktop.Snapshot, readAt time.Time, now clock) saving {
	began := s.First
	if began.IsZero() || !found.Created.IsZero() && found.Created.Before(began) {
		began = found.Created
	}
	out := saving{step: saveWait, until: now.in(time.Minute), found: found}
	if !began.IsZero() {
		out.until = earlier(now.backoff(began), Later(began.Add(saveLimit), now.in(time.Minute)))
	}
	switch {
	case found.State == desktop.SnapshotDone && found.ID != "" && (began.IsZero() || readAt.Sub(cmp.Or(found.Created, began)) >= saveHolds):
		out.step = saveStale
	case found.State == desktop.SnapshotDone && found.ID != "":
		out.step = saveReady
	case found.State == desktop.SnapshotFailed:
		out.step, out.why = saveFails, fmt.Sprintf("ECD shows snapshot %s as failed", found.ID)
	case !began.IsZero() && readAt.Sub(began) >= saveLimit:
		out.step, out.why = saveFails, fmt.Sprintf("snapshot %s is not complete after %s", found.ID, saveLimit)
	default:
		out.why = fmt.Sprintf("snapshot %s of its data disk is being made", found.ID)
	}
	return out
}

// unlisted deals with a snapshot that ECD does not list: it was not asked for, or the
// call was not carried out, or it does not show yet.
func unlisted(s *Saved, readAt, since time.Time, now clock) saving {
	switch {
	case !s.Done.IsZero():
		return vanished(s, readAt)
	case s.CallID == "":
		return saving{step: saveMake}
	case s.No:
		return saving{step: saveFails, why: s.Why}
	case s.Again && readAt.Sub(s.First) >= askLimit:
		return saving{step: saveFails, why: fmt.Sprintf("gave up after %s: %s", askLimit, s.Why)}
	case s.Again && !now.due(s.At.Add(saveAgain)):
		return saving{step: saveWait, until: s.At.Add(saveAgain), why: s.Why}
	case s.Again:
		return saving{step: saveMake}
	case s.Gone.IsZero():
		return saving{step: saveWait, until: readAt.Add(Settling), gone: readAt.Sub(since) >= 0, why: "ECD does not list the snapshot of its data disk yet"}
	case readAt.Sub(s.Gone) < Settling:
		return saving{step: saveWait, until: s.Gone.Add(Settling), why: "ECD does not list the snapshot of its data disk yet"}
	case s.Got != "":
		return saving{step: saveFails, why: fmt.Sprintf("ECD does not list snapshot %s, which it said was begun", s.Got)}
	case s.Tries >= maxSaves:
		return saving{step: saveFails, why: fmt.Sprintf("ECD lists no snapshot after %d calls", s.Tries)}
	}
	return saving{step: saveMake}
}

// vanished deals with a snapshot that was seen complete and that ECD does not list any
// more, though the rebuild has yet to begin: if that lasts another one is made.
func vanished(s *Saved, readAt time.Time) saving {
	switch {
	case s.Gone.IsZero():
		return saving{step: saveWait, until: readAt.Add(Settling), gone: true, why: "ECD does not list the snapshot of its data disk any more"}
	case readAt.Sub(s.Gone) < Settling:
		return saving{step: saveWait, until: s.Gone.Add(Settling), why: "ECD does not list the snapshot of its data disk any more"}
	}
	return saving{step: saveStale}
}

// stillListed says whether ECD lists a snapshot among those of a desktop.
func stillListed(list []desktop.Snapshot, id string) bool {
	return slices.ContainsFunc(list, func(s desktop.Snapshot) bool { return s.ID == id && s.State != desktop.SnapshotFailed })
}

// own says whether this operation made a snapshot of the desktop.
func (v *view) own(x *Desktop, s desktop.Snapshot) bool {
	for round := 1; round <= x.Saved.round(); round++ {
		if s.Name == SnapshotName(v.s.Operation.ID, x.ID, round) {
			return true
		}
	}
	return false
}

// unsavable says why a snapshot of the data disk of a desktop could not be made, or not
// be used, or "".
func (c candidate) unsavable() (code, why string) {
	switch {
	case !c.erases:
		return "", ""
	case c.now.DataDisks > 1:
		return events.CodeSnapshotFailed, fmt.Sprintf(
			"desktop %s has %d data disks, and no page says of which ECD makes a snapshot; nothing was touched", c.ID, c.now.DataDisks)
	case c.doomed && !slices.Contains(c.consents, events.ConsentSnapshots):
		return events.CodeSnapshotFailed, fmt.Sprintf(
			"another OS family erases the data disk of desktop %s, and ECD deletes its snapshots with it, so one that is made before is no help; "+
				"copy the data away first, and send the consent snapshots", c.ID)
	}
	return "", ""
}

// saved lets a desktop go on whose data disk is saved, or need not be. Otherwise it
// takes the next step to save it.
func (v *view) saved(c candidate) (step, bool) {
	if !c.erases {
		return step{}, false
	}
	if code, why := c.unsavable(); code != "" {
		return v.settle(events.StatusRefused, code, "%s", why), true
	}
	var list *Fact[[]desktop.Snapshot]
	if f, asked := v.f.Snapshots[c.ID]; asked && f.Err == nil && !f.ReadAt.Before(c.eventful()) {
		list = &f
	}
	next := nextSave(c.Saved, SnapshotName(v.s.Operation.ID, c.ID, c.Saved.round()), list, v.now)
	s, done := v.save(c, next, list)
	s.takesPlace = done && !v.saving(c.Desktop) && (s.outcome == nil || !s.outcome.final()) // else it has its place
	return s, done
}

// save takes the next step about the snapshot of a desktop.
func (v *view) save(c candidate, next saving, list *Fact[[]desktop.Snapshot]) (step, bool) {
	switch next.step {
	case saveRead:
		_, s, _ := about(v, c.Desktop, ofSnapshots, c.ID, Later(next.since, c.eventful()))
		return s, true
	case saveMake, saveStale:
		round := c.Saved.round()
		if next.step == saveStale {
			round++
		}
		return v.soon(Act{What: Save, N: round}), true
	case saveFails:
		return v.settle(events.StatusRefused, events.CodeSnapshotFailed,
			"the data disk of desktop %s could not be saved as a snapshot: %s; nothing was touched", c.ID, next.why), true
	case saveReady:
		if c.Saved != nil && !c.Saved.Done.IsZero() {
			return step{}, false // it was written down
		}
		return v.write(Record{Kind: KindSafe, N: c.Saved.round(), Desktops: []string{c.ID}, Snapshot: next.found.ID, GiB: next.found.GiB}), false
	case saveWait:
	}
	var s step
	if next.gone && c.Saved != nil && c.Saved.Gone.IsZero() {
		s = marks(KindUnsaved, list.ReadAt)
	}
	if next.why == "" {
		return s.with(unfinished(next.until)), true
	}
	return s.with(v.postpone(c.Desktop, events.CodeSnapshotWait, "%s", next.why)).with(look(next.until)), true
}

// proveSaved lets a desktop complete whose data disk was saved only if ECD still lists
// the snapshot, in one of two looks: the vendor's pages contradict each other about
// whether it outlives the rebuild. So a rollout learns from its canary.
func (v *view) proveSaved(x *Desktop, s step) step {
	if s.outcome == nil || s.outcome.Status != events.StatusCompleted || x.Saved == nil || x.Saved.Done.IsZero() || x.Doubted {
		return s
	}
	since := x.eventful()
	if gone := x.Saved.Gone; gone.After(x.AcceptedAt.Time()) {
		since = gone.Add(Settling)
	}
	fact, more, ok := find(v, ofSnapshots, x.ID, since)
	switch {
	case !ok:
		more.unfinished = true
		return more
	case fact.Err != nil && x.ArrivedAt.IsZero(): // from now on it is given a day
		return marks(KindArrived, fact.ReadAt).with(v.lookLater(x.AcceptedAt.Time()))
	case fact.Err != nil:
		return v.unproved(x, fact)
	case stillListed(fact.Value, x.Saved.Got):
		return s
	case !x.Saved.Gone.After(x.AcceptedAt.Time()):
		return marks(KindUnsaved, fact.ReadAt).with(unfinished(fact.ReadAt.Add(Settling)))
	case v.losesSnapshots(x):
		return v.settle(events.StatusCompleted, events.CodeCompleted, "%s", joined(s.outcome.Message,
			fmt.Sprintf("ECD no longer lists snapshot %s of its data disk", x.Saved.Got)))
	}
	return v.settle(events.StatusFailed, events.CodeSnapshotFailed,
		"desktop %s was rebuilt, but ECD no longer lists snapshot %s of its data disk, which the rebuild erased", x.ID, x.Saved.Got)
}

// unproved keeps a desktop waiting that has arrived and of whose snapshot ECD could not be
// asked, as long as one that cannot be checked.
func (v *view) unproved(x *Desktop, fact Fact[[]desktop.Snapshot]) step {
	s := v.unreadable(x, fact.Err, fact.ReadAt)
	if s.outcome != nil {
		s.outcome.Code = events.CodeSnapshotFailed
		s.outcome.Message = fmt.Sprintf("desktop %s was rebuilt, and ECD could not be asked whether it still lists snapshot %s of its data disk: %s",
			x.ID, x.Saved.Got, fact.Err.Message)
	}
	return s
}

// losesSnapshots says whether the operation, or its fleet for it, consents to losing
// snapshots of the desktop, as far as the fleet hears consents through the door that a
// request came through.
func (v *view) losesSnapshots(x *Desktop) bool {
	op := v.s.Operation
	consents := op.Consents
	if f := v.fleet(); f != nil {
		consents = slices.Concat(consents, v.consents(f))
	} else if now := v.f.Desktops[x.ID].Value; now != nil {
		door, _ := op.Came()
		if f := v.fleetOf(*now); f != nil && !f.HearsConsent(door) {
			return false
		}
	}
	return slices.Contains(consents, events.ConsentSnapshots)
}

// round returns which snapshot of the desktop is looked at, from 1.
func (s *Saved) round() int {
	if s == nil {
		return 1
	}
	return s.Round
}

// saving says whether a snapshot of the desktop's data disk may be in the making: it
// takes one of the places at once for as long as it may take.
func (v *view) saving(x *Desktop) bool {
	s := x.Saved
	return s != nil && s.CallID != "" && s.Done.IsZero() && !s.Again && !s.No && !v.now.due(s.At.Add(saveLimit))
}

// id returns the id of a snapshot that is complete, or "".
func (s *Saved) id() string {
	if s == nil || s.Done.IsZero() {
		return ""
	}
	return s.Got
}

// Codes of a KindSaved record by which the call certainly was not carried out.
var (
	saveMayBeRepeated = []string{events.CodeThrottled, events.CodeNotAuthorized, events.CodeCallFailed, IncorrectDesktopStatus}
	saveIsRefused     = events.CodeSnapshotFailed
)

// save folds what became of saving a desktop's data disk.
func (d *Desktop) save(r *Record) {
	switch {
	case d.Saved == nil:
		d.Saved = &Saved{Round: max(r.N, 1)}
	case r.Kind == KindSaving && r.N > d.Saved.Round:
		d.Saved = &Saved{Round: r.N}
	}
	s := d.Saved
	switch r.Kind {
	case KindSaving:
		first(&s.First, r.At)
		s.Call, s.Gone, s.Again, s.No = callOf(r), zero, false, false
		s.Tries++
	case KindSaved:
		s.saved(r)
	case KindUnsaved:
		if s.Gone.IsZero() || s.Gone.Before(d.AcceptedAt.Time()) {
			s.Gone = r.At
		}
	case KindSafe:
		s.Got, s.GiB, s.Done, s.Gone = r.Snapshot, r.GiB, r.At, zero
	}
}

// saved folds the end of a call.
func (s *Saved) saved(r *Record) {
	was := s.Call
	if !s.ended(r) {
		return
	}
	if !s.Done.IsZero() { // it was found, and what is known of the call does not matter any more
		s.Got, s.Code, s.Why = was.Got, was.Code, was.Why
		return
	}
	s.No = s.Code == saveIsRefused
	if s.Again = slices.Contains(saveMayBeRepeated, s.Code); s.Again {
		s.Tries--
	}
}

// save tells what became of saving the desktop's data disk.
func (c *compaction) save(d *Desktop) {
	s := d.Saved
	if s == nil {
		return
	}
	begins := Record{Kind: KindSaving, N: s.Round}
	if s.First.Before(s.At) { // tells when it was, and is no try
		c.call(d, Call{CallID: s.CallID, At: s.First, End: s.First, Code: saveMayBeRepeated[0]}, begins)
	}
	tries := s.Tries
	if s.Again { // the last was none
		tries++
	}
	for range tries - 1 {
		c.call(d, Call{CallID: s.CallID, At: s.At}, begins)
	}
	c.call(d, s.Call, begins)
	if !s.Done.IsZero() {
		c.add(partFinal, Record{Kind: KindSafe, At: s.Done, N: s.Round, Snapshot: s.Got, GiB: s.GiB, Desktops: []string{d.ID}})
	}
	c.note(partFinal, d, KindUnsaved, s.Gone)
}
