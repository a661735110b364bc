package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/rollout"
)

// A work is one journal, folded.
type work struct {
	id    string
	log   []rollout.Record
	state *rollout.State
}

// works reads all journals but those of fleets.
func (w *world) works() map[string]*work {
	out := map[string]*work{}
	for key, lines := range w.journals() {
		log, err := rollout.Decode(lines)
		if err != nil {
			w.breaksLocked("journal %s cannot be read: %v", key, err)
			continue
		}
		// An order that was refused may stand before what opens the journal.
		at := slices.IndexFunc(log, func(r rollout.Record) bool { return r.Operation != nil })
		if at < 0 || key == journal.Key("fleet", log[at].Operation.Fleet) {
			continue
		}
		s := rollout.NewState()
		s.Apply(log...)
		out[log[at].Operation.ID] = &work{log[at].Operation.ID, log, s}
	}
	return out
}

// journals returns the lines of all journals, by key.
func (w *world) journals() map[string][]byte {
	out := map[string][]byte{}
	if w.journal == "oss" {
		for _, key := range w.cloud.OSS.Keys(localcloud.JournalBucket) {
			lines, _ := w.cloud.OSS.Object(localcloud.JournalBucket, key)
			if key = strings.TrimPrefix(key, localcloud.JournalPrefix+"/"); !strings.HasPrefix(key, journal.OpenPrefix) { // the index is no journal
				out[key] = lines
			}
		}
		return out
	}
	store, err := journal.Open("file://"+w.dir+"/journal", journal.Options{})
	if err != nil {
		w.breaksLocked("opening the journal: %v", err)
		return nil
	}
	keys, err := store.Keys(context.Background(), "")
	if err != nil {
		w.breaksLocked("listing the journals: %v", err)
	}
	for _, key := range keys {
		lines, _, err := store.Read(context.Background(), key, 0)
		if err != nil {
			w.breaksLocked("reading journal %s: %v", key, err)
		}
		if !strings.HasPrefix(key, journal.OpenPrefix) {
			out[key] = lines
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// A wipe is one rebuild that ECD started, and for which works that may have been.
type wipe struct {
	ecd.Wipe
	owners []string
}

// see judges each rebuild that ECD has started since the last look. It is called
// before whoever asked for it has the answer.
func (w *world) see() {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.desktops().Wipes()
	fresh := all[w.seen:]
	w.seen = len(all)
	if len(fresh) == 0 {
		return
	}
	works := w.works()
	images := map[string]ecd.Image{}
	for _, i := range w.desktops().Images() {
		images[i.ID] = i
	}
	for _, x := range fresh {
		k := &wipe{Wipe: x}
		w.wipes = append(w.wipes, k)
		w.note("ECD wipes %s for %s (%s)", x.DesktopID, x.ImageID, x.RequestID)
		for _, id := range sortedKeys(works) {
			if w.calling(works[id], x.DesktopID) {
				k.owners = append(k.owners, id)
			}
		}
		if len(k.owners) == 0 {
			w.breaksLocked("%s was wiped, and no journal says that it is being called", x.DesktopID)
			continue
		}
		var faults []string
		for _, id := range k.owners {
			fault := w.forbidden(k, works[id], images)
			if fault == "" {
				faults = nil
				break
			}
			faults = append(faults, id+": "+fault)
		}
		if len(faults) > 0 {
			w.breaksLocked("%s was wiped for %s: %s", x.DesktopID, x.ImageID, strings.Join(faults, "; "))
		}
	}
}

// calling says whether a call of the work for the desktop may be under way.
func (w *world) calling(k *work, id string) bool {
	d := k.state.Desktops[id]
	return d != nil && d.Phase == rollout.Begun && d.CallEnded.IsZero()
}

// caller returns the invocation that began the desktop last.
func (w *world) caller(k *work, id string) *invocation {
	for _, r := range slices.Backward(k.log) {
		if r.Kind == rollout.KindBegun && slices.Contains(r.Desktops, id) {
			return w.invocations[r.By]
		}
	}
	return nil
}

// forbidden returns why the work must not have wiped the desktop, by what ECD
// knows: a second reading of the guards and the gates.
func (w *world) forbidden(k *wipe, of *work, images map[string]ecd.Image) string {
	x, s := w.declared(k.DesktopID), of.state
	spec := s.Operation.SpecOf(k.DesktopID)
	caller := w.caller(of, k.DesktopID)
	switch {
	case caller == nil:
		return "no known invocation began it"
	case x == nil:
		return "there is no such desktop"
	case x.RegionID != region:
		return "its region is not allowed"
	case spec.ImageID != k.ImageID && !spec.Reset() || spec.Reset() != k.Reset:
		return "the work wants " + spec.ImageID
	}
	f := w.fleetOf(x)
	consents := slices.Clone(s.Operation.Consents)
	if w.yaml != "" {
		switch {
		case f == nil, s.Operation.Request() && !f.Requests, !s.Operation.Request() && f.Name != s.Operation.Fleet:
			return "it is outside the fleet"
		}
		if !s.Operation.Request() {
			consents = append(consents, f.Rebuild.Consent...)
		}
	}
	if fault := unfit(k, x, images, consents, s.Operation.Undoes != ""); fault != "" {
		return fault
	}
	if fault := w.inUse(k, of, f, consents, caller); fault != "" {
		return fault
	}
	if f != nil {
		return w.gates(of, *f, caller)
	}
	return ""
}

// unfit holds the image and what is lost against the desktop and the consents.
func unfit(k *wipe, x *ecd.Desktop, images map[string]ecd.Image, consents []string, back bool) string {
	agreed := func(c string) bool { return slices.Contains(consents, c) }
	to, known := images[k.ImageID]
	from := images[k.PreviousImageID]
	disk := 80
	for _, d := range x.Disks {
		if d.Type == "SYSTEM" {
			disk = d.GiB
		}
	}
	switch {
	case !known || to.Status != ecd.Available:
		return "the image cannot be used"
	case x.GroupID != "":
		return "it belongs to a group"
	case len(x.Flags) > 0:
		return fmt.Sprintf("it is %v", x.Flags)
	case to.GPU != (x.GPU > 0):
		return "GPU and no GPU"
	case to.GiB > disk:
		return "the image is larger than the disk"
	case k.Reset && !agreed(events.ConsentReset):
		return "it was reset without consent"
	case !k.Reset && k.ImageID == k.PreviousImageID:
		return "it was on the image already"
	case (to.OS == "linux") != (from.OS == "linux") && !agreed(events.ConsentOSChange):
		return "another OS without consent"
	case k.DataLost && !agreed(events.ConsentDataDisk) && !agreed(events.ConsentOSChange):
		return "its data disk was lost without consent"
	case to.Created.Before(from.Created) && !agreed(events.ConsentDowngrade) && !back:
		return "the image is older"
	}
	return ""
}

// inUse says whether people lost their work without consent. Somebody who came
// after the invocation had begun may have come after the facts were read, which
// only maintenance mode prevents.
func (w *world) inUse(k *wipe, of *work, f *fleet.Fleet, consents []string, caller *invocation) string {
	if len(k.Users) == 0 || slices.Contains(consents, events.ConsentSessions) {
		return ""
	}
	held := false
	if f != nil {
		s := f.Strategy
		waves := slices.Collect(func(yield func(time.Time) bool) {
			for _, v := range of.state.Waves {
				if v.N == of.state.Desktops[k.DesktopID].Wave && !yield(v.BegunAt) {
					return
				}
			}
		})
		waited := len(waves) > 0 && k.At.Sub(waves[0]) >= s.Sessions.Deadline
		if s.Sessions.Policy == fleet.Force || s.Sessions.Policy == fleet.Wait && s.Sessions.After == fleet.Force && waited {
			return ""
		}
		held = s.Maintenance
	}
	if w.connected[k.DesktopID] > caller.seq && !held {
		return ""
	}
	return fmt.Sprintf("%v was using it", k.Users)
}

// gates holds the rebuild against the window and against how many may be under
// way at once. They are for rollouts only.
func (w *world) gates(of *work, f fleet.Fleet, caller *invocation) string {
	s := of.state
	if s.Operation.Request() {
		return ""
	}
	now := w.cloud.Clock.Now()
	inWindow := false
	for _, at := range []time.Time{caller.began, now} {
		open, until := f.Strategy.Open(at)
		inWindow = inWindow || open && (until.IsZero() || !at.Add(f.Strategy.Expected).After(until))
	}
	if !inWindow {
		return "the window is closed"
	}
	under, last := 0, map[string]*wipe{}
	for _, other := range w.wipes {
		last[other.DesktopID] = other
	}
	for id, other := range last {
		mine := len(other.owners) == 0 || slices.ContainsFunc(other.owners, func(o string) bool {
			_, name, ok := rollout.SplitID(o)
			return ok && name == f.Name
		})
		if d, ok := w.desktops().Desktop(id); ok && mine && d.Status == ecd.Rebuilding && now.Sub(other.At) < rebuildTimeout {
			under++
		}
	}
	if most := f.Strategy.AtOnce(s.Size); under > most {
		return fmt.Sprintf("%d desktops of %d are under way, %d may be", under, s.Size, most)
	}
	return ""
}

// rebuildTimeout is the function's, by default.
const rebuildTimeout = 30 * time.Minute

func (w *world) declared(id string) *ecd.Desktop {
	for i := range w.state.Desktops {
		if w.state.Desktops[i].ID == id {
			return &w.state.Desktops[i]
		}
	}
	return nil
}

func (w *world) fleetOf(x *ecd.Desktop) *fleet.Fleet {
	return w.fleets.Of(desktop.Desktop{ID: x.ID, AccountID: w.account, RegionID: x.RegionID, Tags: x.Tags, OfficeSiteID: x.OfficeSiteID, ImageID: x.ImageID})
}
