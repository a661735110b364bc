// Package plan packs what many requests want into as few RebuildDesktops calls
// as there can be: it makes each wish for the same desktop and spec one target,
// finds the wishes that contradict each other, groups by spec and cuts by 20.
//
// It is pure: the same wishes in the same order give the same plan.
package plan

import (
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
	var ids []string
	var owners [][]int
	for i, id := range b.IDs {
		if keep(id, b.Owners[i]) {
			ids, owners = append(ids, id), append(owners, b.Owners[i])
		}
	}
	b.IDs, b.Owners = ids, owners
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
	With Wish // the wish that stands
}

// Make returns the plan for the wishes. Of two wishes for one desktop the first
// stands; n targets of one spec of which no call was lost take exactly ⌈n/20⌉
// batches. Batches come in the order in which their specs were first wished for,
// the desktops in a batch in the order of the wishes.
func Make(wishes []Wish) Plan {
	var p Plan
	first := make(map[which]int, len(wishes)) // the index of its wish
	owners := make([][]int, len(wishes))      // of each wish that is the first
	var kinds []kind
	firsts := make(map[kind][]int)
	for i, w := range wishes {
		x := which{w.Place(), w.ID}
		stands, known := first[x]
		switch {
		case !known:
			stands = i
			first[x] = i
			k := kind{w.Spec, company(w.Lost)}
			if firsts[k] == nil {
				kinds = append(kinds, k)
			}
			firsts[k] = append(firsts[k], i)
		case wishes[stands].Spec != w.Spec:
			p.Conflicts = append(p.Conflicts, Conflict{w, wishes[stands]})
			continue
		}
		owners[stands] = append(owners[stands], w.Owner)
	}
	for _, k := range kinds {
		for some := range slices.Chunk(firsts[k], k.most) {
			b := Batch{Batch: desktop.Batch{Spec: k.Spec, IDs: make([]string, 0, len(some))}, Owners: make([][]int, 0, len(some))}
			for _, i := range some {
				b.IDs = append(b.IDs, wishes[i].ID)
				b.Owners = append(b.Owners, owners[i])
			}
			p.Batches = append(p.Batches, b)
		}
	}
	return p
}

// which is one desktop: an id means another one in another place.
type which struct {
	desktop.Place
	id string
}

// kind is what the desktops of a batch have in common.
type kind struct {
	desktop.Spec
	most int
}
