package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// This file is about what ECD has shown of a desktop's last call: one value, from which it
// is decided what became of the call in whatever phase the desktop is. See decision 41.

// An evidence is how much is shown of a call.
type evidence int

const (
	shownNothing  evidence = iota // nothing that tells what became of it
	shownRest                     // the desktop at rest, as if there had been no call
	shownNotBegun                 // the same a settling time later: it was not carried out
	shownBegun                    // it was carried out
	shownDone                     // it was carried out, and has brought the image
	shownFailed                   // it was carried out, and has failed
)

// Answers are what ECD showed of a desktop at one time.
type answers struct {
	now     *desktop.Desktop // nil: it is not listed
	changes []desktop.Change // the records of its image changes, newest first; none if they were not asked for
	unread  bool             // they could not be read
	at      time.Time        // when: the earlier of the two questions
}

// A shown is what ECD has shown of a call so far.
type shown struct {
	evidence
	by     string          // for people: what shows that it was carried out
	change *desktop.Change // ECD's record of it, if there is one
	marks  []mark          // what of these answers later ones must be held against
}

// shown folds answers into what earlier ones have shown of the desktop's last call, which
// was to bring it to an image; "" for a reset.
func (x *Desktop) shown(image string, a answers) shown {
	wanted := cmp.Or(image, x.From)
	s := x.shows(wanted, a)
	if a.now == nil {
		return s
	}
	// Later nothing else tells that a reset is over, or that the desktop was not at rest.
	rebuilding := a.now.Status == desktop.Rebuilding
	resets := image == "" && rebuilding && (x.Phase == Accepted || s.evidence == shownBegun)
	left := a.now.ImageID != "" && a.now.ImageID != x.From                       // perhaps by somebody else, after our rebuild
	doubtful := a.unread || a.now.ImageID == "" && !elsewhere(wanted, a.changes) // whether it is Rebuilding for us
	shows := image != "" && x.Phase == Begun && s.evidence < shownBegun && (left || rebuilding && doubtful)
	if (resets || shows) && !x.Seen {
		s.marks = append(s.marks, mark{KindSeen, a.at})
	}
	if s.evidence == shownRest && x.IdleAt.IsZero() {
		s.marks = append(s.marks, mark{KindIdle, a.at})
	}
	return s
}

// StillSeen returns of records that are not written, since others wrote before them, what was seen
// of desktops after a call that is under way still: whoever decides anew may not see it any more.
func (s *State) StillSeen(records []Record) (out []Record) {
	for _, r := range records {
		r.Desktops = slices.DeleteFunc(slices.Clone(r.Desktops), func(id string) bool {
			x := s.Desktops[id]
			return x == nil || x.Phase != Begun || x.Seen || r.At.Before(x.asked())
		})
		if r.Kind == KindSeen && len(r.Desktops) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// shows says what answers show of the last call. ECD's record of it outweighs all, and what
// cannot be held against the records shows nothing. A failure that may be another's counts only
// once the call would show, and does not while the desktop is Rebuilding.
func (x *Desktop) shows(wanted string, a answers) shown {
	now, c := a.now, x.record(wanted, a.changes)
	doubtful := c != nil && x.mayPrecede(c)
	switch {
	case a.unread:
		return shown{}
	case c != nil && !doubtful:
		return shownBy(c)
	case now == nil:
		return shown{}
	case now.Status == desktop.Rebuilding && (now.ImageID == x.From || now.ImageID == wanted) && !elsewhere(wanted, a.changes):
		return shown{evidence: shownBegun, by: "ECD shows the desktop as Rebuilding"}
	case doubtful && a.at.Sub(x.asked()) < Settling:
		return shown{}
	case doubtful:
		return shownBy(c)
	case now.ImageID == wanted && x.brought(wanted, a):
		return shown{evidence: shownDone, by: "ECD shows the desktop on the new image"}
	case x.unclear(wanted, a.changes):
		return shown{}
	}
	return shown{evidence: x.rest(wanted, a)}
}

// recorded is what a record of a call shows.
var recorded = map[desktop.ChangeState]evidence{
	desktop.Changing: shownBegun, desktop.ChangeSucceeded: shownDone, desktop.ChangeFailed: shownFailed,
}

// shownBy says what a record of the call shows.
func shownBy(c *desktop.Change) shown {
	return shown{evidence: recorded[c.State], by: "ECD's record of image changes shows that the rebuild began", change: c}
}

// mayPrecede says of a record that is taken for that of a call that has not ended whether it
// may be of a rebuild by somebody else that had failed before: ECD's clock may be ahead of ours.
func (x *Desktop) mayPrecede(c *desktop.Change) bool {
	return x.Phase != Pending && c.State == desktop.ChangeFailed && c.Updated.Before(x.BegunAt.Add(clockSkew))
}

// record returns ECD's newest record of an image change that belongs to the desktop's last
// call, or nil.
func (x *Desktop) record(wanted string, changes []desktop.Change) *desktop.Change {
	for i := range changes {
		c := &changes[i]
		if c.Updated.Before(x.BegunAt.Add(-clockSkew)) {
			break
		}
		// A reset keeps the image: a change from another one was somebody else's.
		theirs := wanted == x.From && c.From != "" && c.From != x.From
		if !theirs && c.State != desktop.ChangeUnknown && c.To == wanted {
			return c
		}
	}
	return nil
}

// unclear says whether ECD has a record that may be of the desktop's last call, and leaves out
// when that was or to which image, or has a state that nobody knows: it does not say that
// nothing was carried out.
func (x *Desktop) unclear(wanted string, changes []desktop.Change) bool {
	return slices.ContainsFunc(changes, func(c desktop.Change) bool {
		older := !c.Updated.IsZero() && c.Updated.Before(x.BegunAt.Add(-clockSkew))
		whole := c.To != "" && c.State != desktop.ChangeUnknown && !c.Updated.IsZero()
		return !older && !whole && (c.To == "" || c.To == wanted)
	})
}

// elsewhere says whether ECD records that the desktop is on its way to another image than
// ours: then it is Rebuilding for somebody else.
func elsewhere(wanted string, changes []desktop.Change) bool {
	return len(changes) > 0 && changes[0].State == desktop.Changing && changes[0].To != wanted
}

// brought says whether it was the call that brought a desktop to the image that is wanted,
// on which it is. If ECD accepted none, that is so only once it would show that a rebuild
// of somebody else has failed, and so left the desktop there, or brought it back. A reset
// leaves it where it is, and must have been seen.
func (x *Desktop) brought(wanted string, a answers) bool {
	switch {
	case wanted == x.From:
		return x.Seen
	case x.Touched && x.Phase != Begun:
		return true
	}
	return a.at.Sub(x.BegunAt.Time()) >= Settling && !x.fellBack(wanted, a)
}

// rest says whether a desktop with a call of unknown delivery is at rest: on its former
// image, and not seen on the new one, or on that, to which the call did not bring it. What
// was carried out has shown a settling time after the call, or is over.
func (x *Desktop) rest(wanted string, a answers) evidence {
	atRest := ready(a.now) && (a.now.ImageID == x.From && !x.Seen || a.now.ImageID == wanted)
	switch {
	case x.Phase != Begun || !atRest || a.at.Sub(x.asked()) < Settling:
		return shownNothing
	case !x.IdleAt.IsZero() && a.at.Sub(x.IdleAt.Time()) >= Settling:
		return shownNotBegun
	}
	return shownRest
}

// fellBack says of a desktop on the image that is wanted whether ECD's newest record is of
// a rebuild from there to its former image, and not of its success: if that failed, the
// desktop is back, by no call of ours. Newer rebuilds from there to elsewhere that have not
// succeeded either say nothing of how it came there.
func (x *Desktop) fellBack(wanted string, a answers) bool {
	for i := range a.changes {
		c := &a.changes[i]
		if c.From != wanted && c.From != "" || c.State != desktop.Changing && c.State != desktop.ChangeFailed {
			return false
		}
		if c.To == x.From {
			return true
		}
	}
	return false
}
