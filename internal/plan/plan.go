// Package plan packs what many requests want into as few RebuildDesktops calls
// as there can be: it makes each wish for the same desktop and spec one target,
// finds the wishes that contradict each other, groups by spec and cuts by 20.
//
// It is pure: the same wishes in the same order give the same plan.
package plan

import (
	"iter"
	"slices"

	"github.com/regild/regild/internal/desktop"
)

// A Wish is one owner's wish to have one target rebuilt now. Owners are counted
// by whoever asks for the plan.
type Wish struct {
	Owner int
	desktop.Target
	// Lost is how many calls for the target came to an end that nobody knows, and
	// were shown not to have been carried out. See company.
	Lost int
}

// company returns how many desktops may share a call of which one has met that
// many lost ones. Any of them may be why ECD answered as it did, by a code that
// no page lists, and a call must not be taken apart for such a code: so the next
// one is smaller, and in the end each goes alone and answers for itself.
func company(lost int) int {
	switch {
	case lost <= 0:
		return desktop.MaxBatch
	case lost == 1:
		return desktop.MaxBatch / 5
	}
	return 1
}

// A Batch is one call to make, and whose wishes it fulfils.
type Batch struct {
	desktop.Batch
	Owners [][]int // of each of the desktops, in the order of their wishes
}

// OwnersOf returns the owners of one of the desktops.
func (b *Batch) OwnersOf(id string) []int {
	if i := slices.Index(b.IDs, id); i >= 0 {
		return b.Owners[i]
	}
	return nil
}

// Keep leaves in the batch the desktops of which keep holds.
func (b *Batch) Keep(keep func(id string, owners []int) bool) {
	n := 0
	for i, id := range b.IDs {
		if keep(id, b.Owners[i]) {
			b.IDs[n], b.Owners[n] = id, b.Owners[i]
			n++
		}
	}
	b.IDs, b.Owners = b.IDs[:n], b.Owners[:n]
}

// A Plan is what is to be done about some wishes.
type Plan struct {
	Batches []Batch
	// Conflicts are the wishes for a desktop that an earlier wish wants
	// otherwise: they must not be fulfilled.
	Conflicts []Conflict
}

// A Conflict is a wish that an earlier one rules out.
type Conflict struct {
	Wish
	With int // the owner of the wish that stands
}

// Make returns the plan for the wishes. Of two wishes for one desktop the first
// stands; n targets of one spec of which no call was lost take exactly ⌈n/20⌉
// batches. Batches come in the order in which their specs were first wished for,
// the desktops in a batch in the order of the wishes.
func Make(wishes iter.Seq[Wish]) Plan {
	var p Plan
	var groups []*group
	byKind := map[kind]*group{}
	var mine []int                                   // the owner of a wish: wishes share the list, in which there is no room for another
	first := map[desktop.Place]map[string]standing{} // an id means another desktop in another place
	for w := range wishes {
		there := first[w.Place()]
		if there == nil {
			there = map[string]standing{}
			first[w.Place()] = there
		}
		switch stands, known := there[w.ID]; {
		case !known:
			k := kind{w.Spec, company(w.Lost)}
			if byKind[k] == nil {
				byKind[k] = &group{kind: k}
				groups = append(groups, byKind[k])
			}
			if mine == nil || mine[0] != w.Owner {
				mine = []int{w.Owner}
			}
			there[w.ID] = byKind[k].add(w.ID, mine)
		case stands.Spec != w.Spec:
			p.Conflicts = append(p.Conflicts, Conflict{w, stands.owners[stands.n][0]})
		default:
			stands.owners[stands.n] = append(stands.owners[stands.n], w.Owner)
		}
	}
	for _, g := range groups {
		for from := 0; from < len(g.ids); from += g.most {
			to := min(from+g.most, len(g.ids))
			p.Batches = append(p.Batches, Batch{desktop.Batch{Spec: g.Spec, IDs: g.ids[from:to:to]}, g.owners[from:to:to]})
		}
	}
	return p
}

// kind is what the desktops of a batch have in common.
type kind struct {
	desktop.Spec
	most int
}

// A group has the targets of one kind, and their owners.
type group struct {
	kind
	ids    []string
	owners [][]int
}

// A standing is the wish for a desktop that came first: the n-th of a group.
type standing struct {
	*group
	n int
}

func (g *group) add(id string, owners []int) standing {
	g.ids, g.owners = append(g.ids, id), append(g.owners, owners)
	return standing{g, len(g.ids) - 1}
}
