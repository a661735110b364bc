package rollout

import (
	"slices"

	"github.com/regild/regild/events"
)

// This file is about how it is written down that MNS took outcomes. Mostly it took all
// that were told so far. Then it need not be said of each desktop once more: the record
// says up to which line, and how many outcomes these are. See decision 39.

// told is an outcome that the journal tells.
type told struct {
	line   int // of the journal, from 0
	d      *Desktop
	status events.Status
	n      int
}

// open says whether it is not published yet.
func (x told) open() bool {
	return slices.ContainsFunc(x.d.Unpublished, func(o Outcome) bool { return o.Status == x.status && o.N == x.n })
}

// published notes what MNS took of outcomes and of events.
func (s *State) published(r *Record) {
	s.publishedUpTo(r.UpTo, r.N)
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			if d := s.Desktops[id]; d != nil {
				d.published(g.Status, max(g.N, 1))
			}
		}
	}
	if s.untold = slices.Delete(s.untold, 0, s.firstOpen()); len(s.untold) == 0 {
		s.untold = nil // all of it was for each desktop
	}
	for _, id := range r.Events {
		s.UnpublishedEvents = withoutFirst(s.UnpublishedEvents, func(e Event) bool { return e.ID() == id })
	}
}

// firstOpen returns how many outcomes are published before the first that is not.
func (s *State) firstOpen() int {
	if i := slices.IndexFunc(s.untold, told.open); i >= 0 {
		return i
	}
	return len(s.untold)
}

// publishedUpTo notes that MNS took the n outcomes of the first so many lines that were
// not published. If there are more or fewer, the record does not fit what stands before
// it, and does not count: what it is about is then published once more, with the same
// ids, and nothing is lost.
func (s *State) publishedUpTo(lines, n int) {
	var took []told
	for _, x := range s.untold {
		if x.line >= lines {
			break
		}
		if x.open() {
			took = append(took, x)
		}
	}
	if len(took) != n {
		return
	}
	for _, x := range took {
		x.d.published(x.status, x.n)
	}
}

// published notes that MNS took the n-th outcome of a status.
func (d *Desktop) published(status events.Status, n int) {
	if n > d.counts.of(status) { // a tick, which carries no more of it
		d.counts.set(status, n)
	}
	d.Unpublished = withoutFirst(d.Unpublished, func(o Outcome) bool { return o.Status == status && o.N == n })
}

// Shorten rewrites the first of the records that names published outcomes, if they are
// all those of some first lines of the journal: it then says up to which line, and names
// only the rest. The state is the one that the records are appended to.
func (s *State) Shorten(records []Record) {
	i := slices.IndexFunc(records, func(r Record) bool { return r.Kind == KindPublished && len(r.Outcomes) > 0 })
	if i < 0 {
		return
	}
	r := &records[i]
	named := map[told]bool{}
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			named[s.named(g, id)] = true
		}
	}
	if r.UpTo, r.N = s.takeFirst(named); r.UpTo == 0 {
		return
	}
	var rest []Group
	for _, g := range r.Outcomes {
		g.Desktops = slices.DeleteFunc(slices.Clone(g.Desktops), func(id string) bool { return !named[s.named(g, id)] })
		if len(g.Desktops) > 0 {
			rest = append(rest, g)
		}
	}
	r.Outcomes = rest
}

// named is the outcome of a desktop that a record of published ones names, without its line.
func (s *State) named(g Group, id string) told { return told{0, s.Desktops[id], g.Status, max(g.N, 1)} }

// takeFirst takes out of the named outcomes those of the longest beginning of the journal
// of which all that are not published are named. It returns the lines of that, and how
// many outcomes it took: 0 and 0 if none.
func (s *State) takeFirst(named map[told]bool) (lines, n int) {
	var took []told
	for _, x := range s.untold {
		if !x.open() {
			continue
		}
		if name := (told{0, x.d, x.status, x.n}); named[name] {
			delete(named, name)
			took = append(took, x)
			continue
		}
		for len(took) > 0 && took[len(took)-1].line == x.line { // only whole lines count
			last := took[len(took)-1]
			named[told{0, last.d, last.status, last.n}] = true
			took = took[:len(took)-1]
		}
		break
	}
	if n = len(took); n > 0 {
		lines = took[n-1].line + 1
	}
	return lines, n
}
