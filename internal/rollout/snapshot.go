package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// A Saved is what the journal knows of saving a desktop's data disk as a snapshot,
// before a rebuild that erases the disk.
type Saved struct {
	Round int       // of the snapshot: 1, and one more whenever the one before was too old
	Call  string    // in which it was asked for last; "": it was found, though nobody knows of a call
	At    time.Time // when that was announced
	First time.Time // when the first call of the round was announced
	Ended time.Time // when the call ended; zero: that is not written down
	Tries int       // calls of the round that may have been carried out
	ID    string    // of the snapshot; "": not known
	Code  string    // why the call failed
	Why   string
	Again bool      // the call certainly was not carried out, and may be made again
	No    bool      // ECD has refused it
	Gone  time.Time // when ECD first did not list it after a call of unknown fate
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

// snapshotName names the snapshot of a desktop under an operation: the same name is
// the same snapshot, whatever became of the call. Source: CreateSnapshot,
// "SnapshotName": a letter, then letters, digits, underscores and hyphens.
func snapshotName(operation, id string, round int) string {
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
	gone  bool              // it is not listed for the first time after a call of unknown fate
}

// nextSave says what is to be done about the snapshot of that name. list is nil until
// the desktop's snapshots were read.
func nextSave(s *Saved, name string, list *Fact[[]desktop.Snapshot], now clock) saving {
	if s == nil {
		s = &Saved{}
	}
	since := s.Ended
	if s.Call != "" && since.IsZero() {
		if since = s.At.Add(lease); !now.due(since) { // perhaps another instance is at it
			return saving{step: saveWait, until: since}
		}
	}
	if !s.Done.IsZero() {
		if now.due(s.Done.Add(saveHolds)) {
			return saving{step: saveStale}
		}
		return saving{step: saveReady}
	}
	if list == nil || list.ReadAt.Before(since) {
		return saving{step: saveRead, since: since}
	}
	if found := findSnapshot(list.Value, s.ID, name); found != nil {
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

// listed deals with a snapshot that ECD lists.
func listed(s *Saved, found *desktop.Snapshot, readAt time.Time, now clock) saving {
	out := saving{step: saveWait, until: now.in(time.Minute), found: found}
	began := s.First
	if began.IsZero() || !found.Created.IsZero() && found.Created.Before(began) {
		began = found.Created
	}
	switch {
	case found.State == desktop.SnapshotDone && found.ID != "" && !found.Created.IsZero() && readAt.Sub(found.Created) >= saveHolds:
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
	case s.Call == "":
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
	case s.ID != "":
		return saving{step: saveFails, why: fmt.Sprintf("ECD does not list snapshot %s, which it said was begun", s.ID)}
	case s.Tries >= maxSaves:
		return saving{step: saveFails, why: fmt.Sprintf("ECD lists no snapshot after %d calls", s.Tries)}
	}
	return saving{step: saveMake}
}

// stillListed says whether ECD lists a snapshot among those of a desktop.
func stillListed(list []desktop.Snapshot, id string) bool {
	return slices.ContainsFunc(list, func(s desktop.Snapshot) bool { return s.ID == id && s.State != desktop.SnapshotFailed })
}
