package rollout_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// world makes up what ECD says of four desktops, some of it not asked for, some
// of it not to be had.
func world(r *rand.Rand) *rollout.Facts {
	f := rollout.NewFacts()
	for _, id := range []string{"m-old", "m-new"} {
		if r.IntN(8) > 0 {
			f.Images[id] = just(&desktop.Image{ID: id, RegionID: "cn-hangzhou", Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80,
				Created: map[string]time.Time{"m-old": start.AddDate(-1, 0, 0), "m-new": start}[id]})
		}
	}
	statuses := []string{desktop.Running, desktop.Running, desktop.Stopped, desktop.Rebuilding, desktop.Starting, "Expired"}
	for n := range 4 {
		id := fmt.Sprintf("ecd-%d", n+1)
		switch r.IntN(8) {
		case 0:
		case 1:
			f.Desktops[id] = just[*desktop.Desktop](nil)
		case 2:
			f.Desktops[id] = cannot[*desktop.Desktop](events.CodeThrottled)
		default:
			f.Desktops[id] = just(&desktop.Desktop{ID: id, RegionID: "cn-hangzhou", Status: statuses[r.IntN(len(statuses))], Connection: desktop.Disconnected,
				ImageID: []string{"m-old", "m-new"}[r.IntN(2)], OS: "windows", SystemDiskGiB: 80})
		}
		if r.IntN(4) > 0 {
			f.Changes[id] = just[[]desktop.Change](nil)
		}
	}
	return f
}

func TestDecideDependsOnNothingElseAndChangesNothing(t *testing.T) {
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	for seed := range uint64(3000) {
		state := func() *rollout.State { return life(rand.New(rand.NewPCG(seed, 5))) }
		facts := func() *rollout.Facts { return world(rand.New(rand.NewPCG(seed, 6))) }
		s, f, now := state(), facts(), start.Add(time.Duration(seed)*time.Minute)
		first := decide(s, rules, f, now)
		second := decide(s, rules, f, now)
		if !reflect.DeepEqual(first, second) || !reflect.DeepEqual(first, decide(state(), rules, facts(), now)) {
			t.Fatalf("seed %d: got %+v\nand then %+v", seed, first, second)
		}
		if !reflect.DeepEqual(s, state()) || !reflect.DeepEqual(f, facts()) {
			t.Fatalf("seed %d: the state or the facts were changed", seed)
		}
	}
}

// Only a desktop that is Pending, is listed and is shown in a status that allows
// it is begun; and whoever decides with facts missing begins nobody.
func TestDecideBeginsOnlyWhoIsPendingAndReady(t *testing.T) {
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	begun := 0
	for seed := range uint64(3000) {
		s, f := life(rand.New(rand.NewPCG(seed, 7))), world(rand.New(rand.NewPCG(seed, 8)))
		d := decide(s, rules, f, start.Add(2*time.Hour))
		if !d.Need.Empty() && len(d.Records) > 0 {
			t.Fatalf("seed %d: records were decided though facts are missing: %+v", seed, d)
		}
		for _, id := range d.Begin {
			begun++
			now := f.Desktops[id].Value
			if s.Desktops[id].Phase != rollout.Pending || now == nil || now.ImageID == "m-new" || now.Status != desktop.Running && now.Status != desktop.Stopped {
				t.Fatalf("seed %d: %s is begun in phase %d, shown as %+v", seed, id, s.Desktops[id].Phase, now)
			}
		}
	}
	if begun == 0 {
		t.Fatal("nobody was ever begun")
	}
}

func TestAPlanIsTheSameByteForByteInWhateverOrderECDListsTheFleet(t *testing.T) {
	f := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Images: []string{"*"}, Strategy: fleet.Default()}
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Fleets: fleet.Fleets{f}, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}
	work := rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	var want string
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 9))
		facts := rollout.NewFacts()
		facts.Images["m-new"] = just(&desktop.Image{ID: "m-new", Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: start})
		facts.Images["m-old"] = just(&desktop.Image{ID: "m-old", Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: start.AddDate(-1, 0, 0)})
		members := make([]desktop.Desktop, 0, 60)
		for _, n := range r.Perm(60) {
			d := desktop.Desktop{ID: fmt.Sprintf("ecd-%04d", n), RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected, ImageID: "m-old",
				OS: "windows", SystemDiskGiB: 80, GPU: n%7 == 0, Tags: map[string]string{}}
			members = append(members, d)
			facts.Desktops[d.ID] = just(&d)
		}
		facts.Members["office"] = just(members)
		plan, need, _ := rollout.Preview(work, rules, facts, start)
		if !need.Empty() {
			t.Fatalf("more facts are asked for: %+v", need)
		}
		data, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = string(data)
		}
		if string(data) != want {
			t.Fatalf("got %s\nwant %s", data, want)
		}
	}
}
