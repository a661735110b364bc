// Package plan packs what many requests want into as few RebuildDesktops calls
// as there can be: it makes each wish for the same desktop and spec one target,
// finds the wishes that contradict each other, groups by spec and cuts by 20.
//
// It is pure: the same wishes in the same order give the same plan.
package plan

import "github.com/regild/regild/internal/desktop"

// A Wish is one owner's wish to have one target rebuilt now. Owners are counted
// by whoever asks for the plan.
type Wish struct {
	Owner int
	desktop.Target
}

// A Batch is one call to make, and whose wishes it fulfils.
type Batch struct {
	desktop.Batch
	Owners map[string][]int // of each desktop, in the order of their wishes
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
// stands; n targets of one spec take exactly ⌈n/20⌉ batches. Batches come in
// the order in which their specs were first wished for, the desktops in a batch
// in the order of the wishes.
func Make(wishes []Wish) Plan {
	var p Plan
	first := make(map[string]Wish, len(wishes)) // by desktop
	owners := make(map[string][]int, len(wishes))
	var specs []desktop.Spec
	ids := make(map[desktop.Spec][]string)
	for _, w := range wishes {
		stands, known := first[w.ID]
		switch {
		case !known:
			first[w.ID] = w
			if ids[w.Spec] == nil {
				specs = append(specs, w.Spec)
			}
			ids[w.Spec] = append(ids[w.Spec], w.ID)
		case stands.Spec != w.Spec:
			p.Conflicts = append(p.Conflicts, Conflict{w, stands})
			continue
		}
		owners[w.ID] = append(owners[w.ID], w.Owner)
	}
	for _, s := range specs {
		p.Batches = append(p.Batches, cut(s, ids[s], owners)...)
	}
	return p
}

// cut makes batches of at most desktop.MaxBatch out of the targets of one spec.
func cut(s desktop.Spec, ids []string, owners map[string][]int) []Batch {
	var out []Batch
	for len(ids) > 0 {
		n := min(len(ids), desktop.MaxBatch)
		b := Batch{Batch: desktop.Batch{Spec: s, IDs: ids[:n:n]}, Owners: make(map[string][]int, n)}
		for _, id := range b.IDs {
			b.Owners[id] = owners[id]
		}
		out = append(out, b)
		ids = ids[n:]
	}
	return out
}
