package ecd

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud/clock"
	cloud "github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
)

// A world is the local cloud's ECD, which verifies signatures and judges wipes,
// and a client of it.
type world struct {
	*Client
	cloud  *cloud.Server
	clock  *clock.Clock
	faults *fault.Injector
}

func newWorld(t testing.TB, state cloud.State, change ...func(*Config)) *world {
	t.Helper()
	w := &world{clock: clock.New(time.Now(), 0), faults: &fault.Injector{}}
	var err error
	w.cloud, err = cloud.New(state, cloud.Options{
		Clock: w.clock, Faults: w.faults,
		Keys: []cloud.Keys{{ID: keys.ID, Secret: keys.Secret, Token: keys.Token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.cloud.Handler())
	t.Cleanup(server.Close)
	cfg := Config{Endpoint: server.URL, Keys: constantKeys, Backoff: quick}
	for _, f := range change {
		f(&cfg)
	}
	if w.Client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// fleet is n desktops on m-old, all with a tag of their ring, and two images.
func fleet(n int) cloud.State {
	return cloud.State{
		Images: []cloud.Image{
			{ID: "m-old", RegionID: region, Name: "golden", Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
			{ID: "m-new", RegionID: region, Name: "golden", Created: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)},
		},
		Desktops: []cloud.Desktop{{
			ID: "ecd-%04d", RegionID: region, ImageID: "m-old", Count: n, OfficeSiteID: "site-a",
			Cycle: &cloud.Cycle{
				Tags:         []map[string]string{{"ring": "canary", "team": "a"}, {"ring": "broad"}, {"ring": "broad", "team": "b"}},
				OfficeSiteID: []string{"site-a", "site-b"},
				GroupID:      []string{"", "", "", "dg-1"},
			},
		}},
	}
}

func TestARebuildOnTheLocalCloudIsOneWipeEach(t *testing.T) {
	w := newWorld(t, fleet(20))
	w.faults.Add(fault.Rule{Operation: "RebuildDesktops", Kind: fault.Throttle, Times: 2})
	var ids []string
	for _, d := range w.cloud.Desktops() {
		ids = append(ids, d.ID)
	}
	answer, err := w.Rebuild(t.Context(), batch(ids...))
	if err != nil || len(answer.Results) != 20 || answer.RequestID == "" {
		t.Fatalf("got %+v %v, want 20 results", answer, err)
	}
	for _, r := range answer.Results {
		if !r.Accepted() {
			t.Errorf("got %+v, want it accepted", r)
		}
	}
	again, err := w.Rebuild(t.Context(), batch(ids...))
	if err != nil || again.Results[0].Code != "IncorrectDesktopStatus" {
		t.Errorf("a second rebuild: got %+v %v, want IncorrectDesktopStatus", again, err)
	}
	found, err := w.Desktops(t.Context(), region, ids)
	if err != nil || len(found) != 20 || found[0].Status != desktop.Rebuilding {
		t.Errorf("meanwhile: got %+v %v, want Rebuilding", found, err)
	}
	w.clock.Advance(time.Hour)
	found, err = w.Desktops(t.Context(), region, ids[:1])
	if err != nil || found[0].ImageID != "m-new" || found[0].Status != desktop.Running {
		t.Errorf("an hour later: got %+v %v, want it running on m-new", found, err)
	}
	changes, err := w.Changes(t.Context(), region, ids[0])
	if err != nil || len(changes) == 0 || changes[0].State != desktop.ChangeSucceeded || changes[0].From != "m-old" || changes[0].To != "m-new" {
		t.Errorf("its record: got %+v %v", changes, err)
	}
	if n := len(w.cloud.Wipes()); n != 20 {
		t.Errorf("wipes: got %d, want 20", n)
	}
}

func TestWhateverTheFaultNoRebuildIsSentTwice(t *testing.T) {
	for kind, want := range map[fault.Kind]struct {
		delivery desktop.Delivery
		wipes    int
	}{
		fault.ErrorAfter:  {desktop.Unknown, 1},
		fault.HTML:        {desktop.Unknown, 0},
		fault.Empty:       {desktop.Unknown, 0},
		fault.EmptyAfter:  {desktop.Unknown, 1},
		fault.CloseBefore: {desktop.Unknown, 0},
		fault.CloseAfter:  {desktop.Unknown, 1},
		fault.Truncate:    {desktop.Unknown, 1},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, fleet(1))
			w.faults.Add(fault.Rule{Operation: "RebuildDesktops", Kind: kind})
			id := w.cloud.Desktops()[0].ID
			_, err := w.Rebuild(t.Context(), batch(id))
			if err == nil || desktop.DeliveryOf(err) != want.delivery {
				t.Errorf("got %v, want delivery %v", err, want.delivery)
			}
			if got := w.faults.Count("ecd", "RebuildDesktops"); got != 1 {
				t.Errorf("calls: got %d, want 1", got)
			}
			if got := len(w.cloud.Wipes()); got != want.wipes {
				t.Errorf("wipes: got %d, want %d", got, want.wipes)
			}
		})
	}
}

func TestADesktopMissingFromTheResultsIsMissingFromTheAnswer(t *testing.T) {
	w := newWorld(t, fleet(2))
	ids := []string{w.cloud.Desktops()[0].ID, w.cloud.Desktops()[1].ID}
	w.faults.Add(fault.Rule{Operation: "RebuildDesktops", Kind: fault.Missing, Desktop: ids[0]})
	answer, err := w.Rebuild(t.Context(), batch(ids...))
	if err != nil || len(answer.Results) != 1 || answer.Results[0].DesktopID != ids[1] {
		t.Errorf("got %+v %v, want a result for %s alone", answer, err, ids[1])
	}
}

func TestOneUnknownDesktopRefusesTheBatch(t *testing.T) {
	w := newWorld(t, fleet(2))
	_, err := w.Rebuild(t.Context(), batch(w.cloud.Desktops()[0].ID, "ecd-nobody"))
	if desktop.DeliveryOf(err) != desktop.Refused || len(w.cloud.Wipes()) != 0 {
		t.Errorf("got %v and %d wipes, want a refusal and none", err, len(w.cloud.Wipes()))
	}
}

func TestReadsGetOverWhatBreaksThem(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Throttle, fault.HTML, fault.Empty, fault.CloseBefore, fault.CloseAfter, fault.Truncate, fault.Error} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, fleet(3))
			w.faults.Add(fault.Rule{Kind: kind, Times: 2})
			found, err := w.Select(t.Context(), region, desktop.Selector{})
			if err != nil || len(found) != 3 {
				t.Errorf("got %d desktops and %v, want 3", len(found), err)
			}
		})
	}
}

func TestSelectorsMeanTheSameToECDAndToUs(t *testing.T) {
	w := newWorld(t, fleet(240))
	all, err := w.Select(t.Context(), region, desktop.Selector{})
	if err != nil || len(all) != 240 {
		t.Fatalf("all: got %d %v, want 240, pooled ones among them", len(all), err)
	}
	tags, err := w.Tags(t.Context(), region, ids(all))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i].Tags = tags[all[i].ID]
	}
	for name, s := range map[string]desktop.Selector{
		"ids":               {IDs: []string{all[5].ID, all[1].ID, all[1].ID, "ecd-nobody"}},
		"ids and a tag":     {IDs: ids(all[:9]), Tags: map[string]string{"ring": "canary"}},
		"a tag":             {Tags: map[string]string{"ring": "canary"}},
		"any value":         {Tags: map[string]string{"team": ""}},
		"two tags":          {Tags: map[string]string{"ring": "broad", "team": "b"}},
		"a tag nobody has":  {Tags: map[string]string{"ring": "none"}},
		"a tag and a site":  {Tags: map[string]string{"ring": "broad"}, OfficeSiteIDs: []string{"site-b"}},
		"a site":            {OfficeSiteIDs: []string{"site-b"}},
		"several sites":     {OfficeSiteIDs: []string{"site-b", "site-a", "site-z", "site-b"}},
		"an image":          {ImageIDs: []string{"m-old"}},
		"an image of none":  {ImageIDs: []string{"m-new"}},
		"a policy and site": {PolicyGroupIDs: []string{all[0].PolicyGroupID}, OfficeSiteIDs: []string{"site-a"}},
		"many policies":     {PolicyGroupIDs: []string{"pg-x", all[0].PolicyGroupID}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, d := range all {
				if s.Matches(d) {
					want = append(want, d.ID)
				}
			}
			got, err := w.Select(t.Context(), region, s)
			if err != nil || !slices.Equal(ids(got), want) {
				t.Errorf("got %v %v\nwant %v", ids(got), err, want)
			}
			for _, d := range got {
				if (len(s.Tags) > 0) != (d.Tags != nil) || len(d.Tags) > 0 && d.Tags["ring"] == "" {
					t.Errorf("tags of %s: got %v", d.ID, d.Tags)
				}
			}
		})
	}
}

func ids(list []desktop.Desktop) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.ID)
	}
	return out
}

func TestDesktopsCanBeHeldStoppedStartedAndCommanded(t *testing.T) {
	w := newWorld(t, fleet(1))
	id := w.cloud.Desktops()[0].ID
	if err := w.Maintain(t.Context(), region, []string{id}, true); err != nil {
		t.Fatal(err)
	}
	if w.cloud.Connect(id, "ann") {
		t.Error("ann connected to a desktop in maintenance")
	}
	if err := w.Maintain(t.Context(), region, []string{id}, false); err != nil {
		t.Fatal(err)
	}
	invoked, err := w.Run(t.Context(), region, []string{id}, "exit 0", "RunPowerShellScript", time.Minute)
	if err != nil || len(invoked) != 1 {
		t.Fatalf("Run: got %v %v", invoked, err)
	}
	running, err := w.Invocations(t.Context(), region, invoked[0])
	if err != nil || len(running) != 1 || running[0].Done {
		t.Errorf("at once: got %+v %v, want it under way", running, err)
	}
	w.clock.Advance(time.Minute)
	done, err := w.Invocations(t.Context(), region, invoked[0])
	if err != nil || len(done) != 1 || !done[0].Done || done[0].Status != "Success" || done[0].ExitCode != 0 {
		t.Errorf("a minute later: got %+v %v, want success", done, err)
	}
	if err := w.Stop(t.Context(), region, []string{id}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	if d, _ := w.cloud.Desktop(id); d.Status != desktop.Stopped {
		t.Errorf("after Stop: got %s", d.Status)
	}
	if err := w.Stop(t.Context(), region, []string{id}); desktop.DeliveryOf(err) != desktop.Refused || err == nil {
		t.Errorf("stopping it again: got %v, want a refusal", err)
	}
	if err := w.Start(t.Context(), region, []string{id}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	if d, _ := w.cloud.Desktop(id); d.Status != desktop.Running {
		t.Errorf("after Start: got %s", d.Status)
	}
}

func TestImagesAreFoundByIDAndByName(t *testing.T) {
	w := newWorld(t, fleet(1))
	found, err := w.Images(t.Context(), region, []string{"m-new", "m-nobody", "m-old"})
	if err != nil || len(found) != 2 || found[0].ID != "m-new" || found[1].OS != "windows" || found[1].Status != desktop.ImageAvailable || found[0].SizeGiB == 0 {
		t.Errorf("by id: got %+v %v", found, err)
	}
	named, err := w.ImagesNamed(t.Context(), region, "golden")
	if err != nil || len(named) != 2 || named[0].ID != "m-new" {
		t.Errorf("by name: got %+v %v, want m-new first", named, err)
	}
}

func TestAWrongSecretIsForbidden(t *testing.T) {
	w := newWorld(t, fleet(1), func(c *Config) {
		wrong := keys
		wrong.Secret = "other"
		c.Keys = func(context.Context) (credentials.Keys, error) { return wrong, nil }
	})
	_, err := w.Desktops(t.Context(), region, []string{"ecd-0001"})
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok || e.Delivery != desktop.Forbidden || e.Code != "SignatureDoesNotMatch" {
		t.Errorf("got %v, want a forbidden signature", err)
	}
}

// Bug 19 of the hard look: snapshots that a rebuild deletes were never read.
func TestBug19SnapshotsAreReadForFewDesktopsAndForMany(t *testing.T) {
	made := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	state := fleet(150)
	state.Desktops[0].Snapshots = []cloud.Snapshot{
		{Disk: "DATA", Created: made.AddDate(0, 1, 0)}, {Auto: true, Created: made}, {Status: "FAILED", Created: made},
	}
	state.Desktops = append(state.Desktops, cloud.Desktop{ID: "ecd-bare", RegionID: region, ImageID: "m-old"})
	w := newWorld(t, state)
	var all []string
	for i := range 150 {
		all = append(all, fmt.Sprintf("ecd-%04d", i+1))
	}
	for _, ids := range [][]string{{"ecd-0007", "ecd-bare", "ecd-none"}, append(all, "ecd-bare", "ecd-none")} {
		got, err := w.Snapshots(t.Context(), region, ids)
		if err != nil || len(got) != len(ids) {
			t.Fatalf("%d ids: got %d (%v)", len(ids), len(got), err)
		}
		want := []desktop.Snapshot{
			{ID: "s-ecd-0007-2", DesktopID: "ecd-0007", Auto: true, Created: made, Name: "s-ecd-0007-2", GiB: 80, State: desktop.SnapshotDone},
			{ID: "s-ecd-0007-3", DesktopID: "ecd-0007", Created: made, Name: "s-ecd-0007-3", GiB: 80, State: desktop.SnapshotFailed},
			{ID: "s-ecd-0007-1", DesktopID: "ecd-0007", DataDisk: true, Created: made.AddDate(0, 1, 0), Name: "s-ecd-0007-1", State: desktop.SnapshotDone},
		}
		if !slices.Equal(got["ecd-0007"], want) {
			t.Errorf("%d ids: got %+v, want %+v", len(ids), got["ecd-0007"], want)
		}
		for _, id := range []string{"ecd-bare", "ecd-none"} {
			if list, asked := got[id]; !asked || list == nil || len(list) > 0 {
				t.Errorf("%d ids: %s has %+v, want an empty list", len(ids), id, list)
			}
		}
	}
	if _, err := w.Rebuild(t.Context(), desktop.Batch{Spec: desktop.Spec{RegionID: region, ImageID: "m-new"}, IDs: []string{"ecd-0007"}}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Snapshots(t.Context(), region, []string{"ecd-0007"})
	if err != nil || len(got["ecd-0007"]) != 1 || !got["ecd-0007"][0].DataDisk {
		t.Errorf("after a rebuild: got %+v (%v), want the data disk's alone", got, err)
	}
	if wipes := w.cloud.Wipes(); len(wipes) != 1 || wipes[0].SnapshotsLost != 2 {
		t.Errorf("the ledger has %+v, want 2 snapshots lost", wipes)
	}
}

func TestSessionsAreReadPageByPageAndSayHowLongNobodyDidAnything(t *testing.T) {
	state := cloud.State{Images: fleet(0).Images}
	var many []cloud.Session
	for i := range 150 {
		many = append(many, cloud.Session{User: fmt.Sprintf("user%03d", i)})
	}
	state.Desktops = []cloud.Desktop{
		{ID: "ecd-many", RegionID: region, ImageID: "m-old", SessionType: "MULTIPLE_SESSION", Sessions: many},
		{ID: "ecd-idle", RegionID: region, ImageID: "m-old", Sessions: []cloud.Session{{User: "ann", Idle: time.Hour, Disconnected: true}}},
		{ID: "ecd-hidden", RegionID: region, ImageID: "m-old", Sessions: []cloud.Session{{User: "bob", Idle: time.Hour, IdleHidden: true}}},
		{ID: "ecd-bare", RegionID: region, ImageID: "m-old"},
	}
	w := newWorld(t, state)
	got, err := w.Sessions(t.Context(), region, []string{"ecd-many", "ecd-idle", "ecd-hidden", "ecd-bare", "ecd-none"}, time.Time{})
	if err != nil || len(got) != 5 {
		t.Fatalf("got %d desktops (%v), want 5", len(got), err)
	}
	if n := len(got["ecd-many"]); n != 150 || got["ecd-many"][149].IdleKnown {
		t.Errorf("got %d sessions, want 150 of which none is known to be idle", n)
	}
	if s := got["ecd-idle"][0]; s.User != "ann" || s.Status != desktop.Disconnected || !s.IdleKnown || s.Idle != time.Hour || s.Started.IsZero() {
		t.Errorf("got %+v, want ann idle for an hour", s)
	}
	if s := got["ecd-hidden"][0]; s.IdleKnown {
		t.Errorf("got %+v, want that nothing is known", s)
	}
	if got["ecd-bare"] == nil || len(got["ecd-bare"])+len(got["ecd-none"]) > 0 {
		t.Errorf("got %+v, want empty lists", got)
	}
	if n := w.faults.Count("ecd", "DescribeDesktopSessions"); n != 2 {
		t.Errorf("calls: got %d, want 2", n)
	}
}

func TestEventsTellWhoTriedAndWhoWasLetIn(t *testing.T) {
	state := fleet(1)
	state.Desktops = append(state.Desktops, cloud.Desktop{ID: "ecd-a", RegionID: region, ImageID: "m-old", Logons: []cloud.Logon{
		{At: time.Minute, User: "ann"}, {At: 2 * time.Minute, User: "ann", Fails: "connect"}, {At: 3 * time.Minute, User: "bob", Fails: "ticket"},
	}})
	w := newWorld(t, state)
	from := w.clock.Now()
	w.clock.Advance(4 * time.Minute)
	got, err := w.Events(t.Context(), region, "", from, w.clock.Now())
	want := []string{"ann 1", "ann 2", "ann 1", "bob 1"} // a ticket that is not given is one that nothing follows
	var said []string
	for _, e := range got {
		said = append(said, fmt.Sprintf("%s %d", e.User, e.Kind))
	}
	if err != nil || !slices.Equal(said, want) {
		t.Errorf("got %v (%v), want %v", said, err, want)
	}
}

func TestASnapshotIsMadeOnceWhateverTheFault(t *testing.T) {
	for _, kind := range []fault.Kind{fault.ErrorAfter, fault.EmptyAfter, fault.CloseAfter, fault.Truncate} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, cloud.State{Images: fleet(0).Images, Desktops: []cloud.Desktop{
				{ID: "ecd-a", RegionID: region, ImageID: "m-old", Disks: []cloud.Disk{{Type: "SYSTEM", GiB: 80}, {Type: "DATA", GiB: 200}}}}})
			w.faults.Add(fault.Rule{Operation: "CreateSnapshot", Kind: kind})
			_, err := w.CreateSnapshot(t.Context(), region, "ecd-a", "regild-1")
			if err == nil || desktop.DeliveryOf(err) != desktop.Unknown {
				t.Errorf("got %v, want an unknown delivery", err)
			}
			got, err := w.Snapshots(t.Context(), region, []string{"ecd-a"})
			if err != nil || len(got["ecd-a"]) != 1 || got["ecd-a"][0].Name != "regild-1" || got["ecd-a"][0].State != desktop.SnapshotUnderWay || got["ecd-a"][0].GiB != 200 {
				t.Errorf("got %+v (%v), want one that is under way", got, err)
			}
			w.clock.Advance(time.Hour)
			if got, err = w.Snapshots(t.Context(), region, []string{"ecd-a"}); err != nil || got["ecd-a"][0].State != desktop.SnapshotDone {
				t.Errorf("an hour later: got %+v (%v), want it done", got, err)
			}
		})
	}
}

func TestASnapshotIsCompleteOnlyIfAllThatIsSaidOfItSaysSo(t *testing.T) {
	for _, c := range []struct {
		status, progress string
		want             desktop.SnapshotState
	}{
		{"ACCOMPLISHED", "100%", desktop.SnapshotDone}, {"accomplished", "100", desktop.SnapshotDone},
		{"ACCOMPLISHED", "", desktop.SnapshotUnknown}, {"ACCOMPLISHED", "99%", desktop.SnapshotUnknown},
		{"PROGRESSING", "100%", desktop.SnapshotUnderWay}, {"FAILED", "100%", desktop.SnapshotFailed}, {"", "100%", desktop.SnapshotUnknown}, {"Available", "100%", desktop.SnapshotUnknown},
	} {
		if got := snapshotState(c.status, c.progress); got != c.want {
			t.Errorf("%q %q: got %d, want %d", c.status, c.progress, got, c.want)
		}
	}
}
