package plan_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/plan"
)

func wish(owner int, id, image string) plan.Wish {
	return plan.Wish{Owner: owner, Target: desktop.Target{ID: id, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: image}}}
}

func TestTargetsOfOneSpecTakeAsFewCallsAsThereCanBe(t *testing.T) {
	for _, tt := range []struct{ targets, calls int }{
		{0, 0}, {1, 1}, {19, 1}, {20, 1}, {21, 2}, {40, 2}, {41, 3}, {1000, 50}, {10001, 501},
	} {
		var wishes []plan.Wish
		for i := range tt.targets {
			wishes = append(wishes, wish(i%3, fmt.Sprintf("ecd-%05d", i), "m-1"))
		}
		if got := len(plan.Make(slices.Values(wishes)).Batches); got != tt.calls {
			t.Errorf("%d targets: got %d calls, want %d", tt.targets, got, tt.calls)
		}
	}
}

// One desktop for which ECD has an answer that no page lists must not sink those
// that share its calls.
func TestWhoseCallsWereLostGoesInEverSmallerCompany(t *testing.T) {
	var wishes []plan.Wish
	for i := range 63 {
		w := wish(0, fmt.Sprintf("ecd-%05d", i), "m-1")
		w.Lost = i % 3
		wishes = append(wishes, w)
	}
	var got []int
	for _, b := range plan.Make(slices.Values(wishes)).Batches {
		got = append(got, len(b.IDs))
	}
	want := []int{20, 1, 4, 4, 4, 4, 4, 1}
	for range 21 {
		want = append(want, 1)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sizes of batches: got %v, want %v", got, want)
	}
}

func TestTheSameTargetAskedForTwiceIsOneTargetOfBothOwners(t *testing.T) {
	p := plan.Make(slices.Values([]plan.Wish{wish(0, "a", "m-1"), wish(1, "a", "m-1"), wish(1, "b", "m-1")}))
	if len(p.Batches) != 1 || len(p.Conflicts) != 0 {
		t.Fatalf("got %+v, want one batch and no conflict", p)
	}
	want := [][]int{{0, 1}, {1}}
	if got := p.Batches[0]; !reflect.DeepEqual(got.IDs, []string{"a", "b"}) || !reflect.DeepEqual(got.Owners, want) {
		t.Errorf("got %v of owners %v, want [a b] of %v", got.IDs, got.Owners, want)
	}
}

func TestTargetsOfOneOwnerMayHaveDifferentFurtherOnes(t *testing.T) {
	b := plan.Make(slices.Values([]plan.Wish{wish(0, "a", "m-1"), wish(0, "b", "m-1"), wish(1, "a", "m-1"), wish(2, "b", "m-1")})).Batches[0]
	if want := [][]int{{0, 1}, {0, 2}}; !reflect.DeepEqual(b.Owners, want) {
		t.Errorf("got owners %v, want %v", b.Owners, want)
	}
}

func TestABatchKeepsSomeOfItsDesktopsWithTheirOwners(t *testing.T) {
	b := plan.Make(slices.Values([]plan.Wish{wish(0, "a", "m-1"), wish(1, "b", "m-1"), wish(1, "c", "m-1"), wish(2, "c", "m-1")})).Batches[0]
	b.Keep(func(id string, owners []int) bool { return id != "b" && slices.Equal(owners, b.OwnersOf(id)) })
	if !slices.Equal(b.IDs, []string{"a", "c"}) || !slices.Equal(b.OwnersOf("a"), []int{0}) || !slices.Equal(b.OwnersOf("c"), []int{1, 2}) || b.OwnersOf("b") != nil {
		t.Errorf("got %v of owners %v, want a of 0 and c of 1 and 2", b.IDs, b.Owners)
	}
}

func TestOfTwoSpecsForOneDesktopTheFirstStands(t *testing.T) {
	p := plan.Make(slices.Values([]plan.Wish{wish(0, "a", "m-1"), wish(1, "a", "m-2"), wish(2, "a", "m-1")}))
	if len(p.Batches) != 1 || p.Batches[0].ImageID != "m-1" {
		t.Fatalf("got %+v, want one batch to m-1", p.Batches)
	}
	want := []plan.Conflict{{Wish: wish(1, "a", "m-2"), With: 0}}
	if !reflect.DeepEqual(p.Conflicts, want) {
		t.Errorf("got conflicts %+v, want %+v", p.Conflicts, want)
	}
}

// Whatever is wished for: no desktop is in two batches, no batch is too large or
// mixes specs, every wish is either in a batch or a conflict, and the plan is
// the same each time.
func TestPlansHoldTheirInvariants(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var wishes []plan.Wish
		for range r.IntN(200) {
			wishes = append(wishes, wish(r.IntN(5), fmt.Sprint("ecd-", r.IntN(120)), fmt.Sprint("m-", r.IntN(3))))
		}
		p := plan.Make(slices.Values(wishes))
		seen, owners := map[string]desktop.Spec{}, map[string][]int{}
		granted, perSpec := 0, map[desktop.Spec][2]int{}
		for _, b := range p.Batches {
			if len(b.IDs) == 0 || len(b.IDs) > desktop.MaxBatch {
				t.Fatalf("seed %d: a batch of %d", seed, len(b.IDs))
			}
			c := perSpec[b.Spec]
			perSpec[b.Spec] = [2]int{c[0] + len(b.IDs), c[1] + 1}
			for _, id := range b.IDs {
				if _, twice := seen[id]; twice {
					t.Fatalf("seed %d: %s is in two batches", seed, id)
				}
				seen[id], owners[id] = b.Spec, b.OwnersOf(id)
				granted += len(owners[id])
			}
		}
		for s, c := range perSpec {
			if want := (c[0] + desktop.MaxBatch - 1) / desktop.MaxBatch; c[1] != want {
				t.Fatalf("seed %d: %d targets of %v in %d calls, want %d", seed, c[0], s, c[1], want)
			}
		}
		if granted+len(p.Conflicts) != len(wishes) {
			t.Fatalf("seed %d: %d granted and %d in conflict of %d wishes", seed, granted, len(p.Conflicts), len(wishes))
		}
		for _, c := range p.Conflicts {
			if seen[c.ID] == c.Spec || owners[c.ID][0] != c.With {
				t.Fatalf("seed %d: %+v is no conflict with %+v of owners %v", seed, c, seen[c.ID], owners[c.ID])
			}
		}
		if again := plan.Make(slices.Values(wishes)); !reflect.DeepEqual(again, p) {
			t.Fatalf("seed %d: two plans of the same wishes differ", seed)
		}
	}
}
