package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
)

// This file is about after: a fleet that a release reaches once it has completed
// on others. Whether it has is read from their logs and journals each time. Only
// completed lets it begin.

// A Ring says how far a release is on a fleet that another comes after.
type Ring string

// The rings.
const (
	RingCompleted  Ring = "completed"  // and there was no rollback
	RingAbsent     Ring = "absent"     // there is no such rollout
	RingUnderWay   Ring = "under way"  //
	RingPaused     Ring = "paused"     //
	RingHalted     Ring = "halted"     //
	RingAborted    Ring = "aborted"    //
	RingSuperseded Ring = "superseded" // a newer release came before it had completed
	RingBack       Ring = "going back" // or gone
	RingEmpty      Ring = "empty"      // it has ended, and no desktop got the release
	RingExpired    Ring = "expired"    // the journal that would tell is gone
)

// words are what people are told of a ring.
var words = map[Ring]string{
	RingAbsent: "has not had it", RingUnderWay: "has not completed it", RingPaused: "is paused in it", RingHalted: "has halted in it",
	RingAborted: "has aborted it", RingSuperseded: "got a newer release before it had completed", RingBack: "has taken it back, or is about to",
	RingEmpty: "has no desktop that it could have been tried on", RingExpired: "had it so long ago that its journal is gone",
}

// RingOf says how far a release is, by the log of its fleet and its journal.
func RingOf(log FleetLog, id string, s *State) Ring {
	switch e := log.Find(id); {
	case e == nil:
		return RingAbsent
	case log.Find(id+"/rollback") != nil:
		return RingBack
	case s.Operation == nil && log.Latest().ID != id:
		return RingExpired
	case s.Operation == nil:
		return RingUnderWay // just entered, or expired: it is not known to have completed
	case s.Aborted != "":
		return RingAborted
	case s.Superseded != "" || !s.Closed && log.Latest().ID != id:
		return RingSuperseded
	case s.Closed && !s.completedAny():
		return RingEmpty
	case s.Closed:
		return RingCompleted
	case s.Halted != nil:
		return RingHalted
	case s.Paused != "":
		return RingPaused
	}
	return RingUnderWay
}

// completedAny says whether a desktop proved the release: it was rebuilt, or had
// the image already.
func (s *State) completedAny() bool {
	return s.any(func(x *Desktop) bool {
		return x.Last.Status == events.StatusCompleted || x.Last.Code == events.CodeAlreadyOnImage
	})
}

// ringAgain is how often the other fleets are looked at.
const ringAgain = 10 * time.Minute

// awaitsRings says whether the fleet comes after one on which the release has not
// completed, and says so once for each reason. An approval lets it go on until there
// is another reason.
func (v *view) awaitsRings(f *fleet.Fleet) (step, bool) {
	if len(f.After) == 0 || v.s.Operation.Undoes != "" {
		return step{}, false
	}
	var asks step
	var shut, texts []string
	for _, name := range f.After {
		fact, s, ok := find(v, ofRings, v.s.Operation.ReleaseID+"/"+name, zero)
		switch {
		case !ok:
			asks = asks.with(s)
		case fact.Err != nil:
			return asks.with(v.standUnread(fact.Err)), true
		case fact.Value != RingCompleted && !v.s.Passed[passKey(name, fact.Value)]:
			shut, texts = append(shut, ringKey(name, fact.Value)), append(texts, name+" "+words[fact.Value])
		}
	}
	switch {
	case len(asks.needs) > 0:
		return asks, true
	case len(shut) == 0:
		return step{}, false
	}
	s := look(v.now.in(ringAgain))
	if w := v.s.Waiting; w != nil && w.Code == events.CodeRingAwaited && slices.Equal(v.s.Rings, shut) {
		return s, true
	}
	return s.with(v.write(Record{Kind: KindWaiting, Rings: shut, Reason: &events.Reason{Code: events.CodeRingAwaited,
		Message: fmt.Sprintf("release %s begins here once it has completed on %s: %s; or once somebody approves", v.s.Operation.ReleaseID,
			strings.Join(f.After, ", "), strings.Join(texts, ", "))}})), true
}

func ringKey(name string, r Ring) string { return name + ": " + string(r) }

// passKey is what an approval is for. An approval to go on before the release has
// completed on a fleet holds until something goes wrong there.
func passKey(name string, r Ring) string {
	if r == RingAbsent || r == RingPaused {
		r = RingUnderWay
	}
	return ringKey(name, r)
}

// since is when the time of the rollout begins to count: with its first wave, if
// it has to wait for other fleets before.
func (v *view) since(f *fleet.Fleet) time.Time {
	if len(f.After) > 0 && len(v.s.Waves) > 0 {
		return v.s.Waves[0].BegunAt
	}
	return v.s.OpenedAt
}

// WaitsForRings says whether it stands still for want of other fleets: an approve that names no
// wave passes those that Rings names.
func (s *State) WaitsForRings() bool {
	return s.Waiting != nil && s.Waiting.Code == events.CodeRingAwaited && len(s.Rings) > 0
}

// passRings notes that somebody approved to go on.
func (s *State) passRings() {
	if s.Passed == nil {
		s.Passed = map[string]bool{}
	}
	for _, key := range s.Rings {
		name, ring, _ := strings.Cut(key, ": ")
		s.Passed[passKey(name, Ring(ring))] = true
	}
	s.Rings, s.Waiting = nil, nil
}

// ringGate says what a plan must tell of the fleets that it comes after.
func (v *view) ringGate(f *fleet.Fleet) []string {
	if len(f.After) == 0 || v.s.Operation.Undoes != "" {
		return nil
	}
	return []string{fmt.Sprintf("it begins once release %s has completed on %s, or somebody approves", v.s.Operation.ReleaseID, strings.Join(f.After, ", "))}
}
