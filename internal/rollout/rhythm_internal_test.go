package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// What was seen of the rebuilds up to now says when the next are looked at, and how
// often, within bounds.
func TestARhythmFollowsFromWhatRebuildsTook(t *testing.T) {
	f := &fleet.Fleet{Strategy: fleet.Default()}
	f.Strategy.Expected, f.Strategy.Check.Stable = 10*time.Minute, 5*time.Minute
	for name, c := range map[string]struct {
		took []time.Duration
		want rhythm
	}{
		"nothing is known":                       {nil, rhythm{}},
		"one":                                    {[]time.Duration{6 * time.Minute}, rhythm{344 * time.Second, 16 * time.Second, 5 * time.Minute}},
		"all alike":                              {[]time.Duration{6 * time.Minute, 6*time.Minute + 20*time.Second}, rhythm{344 * time.Second, 16 * time.Second, 5 * time.Minute}},
		"apart":                                  {[]time.Duration{7 * time.Minute, 6 * time.Minute}, rhythm{344 * time.Second, 28 * time.Second, 5 * time.Minute}},
		"far apart":                              {[]time.Duration{6 * time.Minute, 20 * time.Minute}, rhythm{344 * time.Second, time.Minute, 5 * time.Minute}},
		"longer than expected: nobody was there": {[]time.Duration{3 * time.Hour}, rhythm{584 * time.Second, 16 * time.Second, 5 * time.Minute}},
	} {
		s := NewState()
		begun := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
		for i, d := range c.took {
			id := string(rune('a' + i))
			s.Desktops[id] = &Desktop{ID: id, BegunAt: begun}
			s.arrived(&Record{Desktops: []string{id, "unknown"}, At: begun.Add(d)})
			s.arrived(&Record{Desktops: []string{id}, At: begun.Add(d + time.Hour)}) // seen again: teaches nothing
		}
		s.Desktops["doubtful"] = &Desktop{ID: "doubtful", BegunAt: begun, Doubtful: true}
		s.arrived(&Record{Desktops: []string{"doubtful"}, At: begun.Add(time.Second)})
		if got := s.took.rhythm(f); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if got := (took{1, time.Minute, time.Minute}).rhythm(nil); got != (rhythm{}) {
		t.Errorf("a rollout whose fleet is not declared has the rhythm %+v", got)
	}
}

// Who waits only for an image will take a place: nobody else is read in its stead, but
// to fill the last page.
func TestNoMoreAreReadThanMayBegin(t *testing.T) {
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	f := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}
	f.Strategy.MaxUnavailable = fleet.Amount{Count: 150}
	ids := make([]string, 400)
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-%03d", i)
	}
	s := NewState()
	s.Apply(Record{Kind: KindOpened, At: at, Operation: &Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		Record{Kind: KindWave, At: at, Wave: 1, Waves: 1, Size: len(ids), Desktops: ids})
	facts := NewFacts()
	facts.Images["m-new"] = Read(at, &desktop.Image{ID: "m-new", Status: desktop.ImageAvailable, OS: desktop.Windows, SizeGiB: 80, Created: at})
	facts.Freezes[FreezesKey] = Read[Freezes](at, nil)
	r := Rules{Regions: []string{"cn-hangzhou"}, Fleets: fleet.Fleets{f}, Declared: true, Journal: true, RebuildTimeout: time.Hour}
	d := Decide(s, r, facts, at)
	if len(d.Need.Desktops) != 200 {
		t.Errorf("%d desktops are read for 150 places, want two pages", len(d.Need.Desktops))
	}
	for _, id := range d.Need.Desktops {
		facts.Desktops[id] = Read(at, &desktop.Desktop{ID: id, RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected,
			ImageID: "m-old", OS: desktop.Windows, SystemDiskGiB: 80})
	}
	if d = Decide(s, r, facts, at); len(d.Need.Desktops) != 0 || len(d.Need.Images) != 1 {
		t.Errorf("%d further desktops and %v are read, want the former image alone", len(d.Need.Desktops), d.Need.Images)
	}
	facts.Images["m-old"] = Read(at, &desktop.Image{ID: "m-old", Status: desktop.ImageAvailable, OS: desktop.Windows, SizeGiB: 80, Created: at})
	if d = Decide(s, r, facts, at); !d.Need.Empty() || len(d.Begin) != 150 {
		t.Errorf("%d desktops are begun, want 150; %+v is to be read", len(d.Begin), d.Need)
	}
}

// What cannot be read is asked for less often the longer just that lasts.
func TestWhatCannotBeReadIsAskedForLessOften(t *testing.T) {
	for code, want := range map[string]time.Duration{events.CodeFactsUnavailable: 5 * time.Minute, events.CodeSoaking: time.Minute, "": time.Minute} {
		v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
		v.s.WaitingAt = noon.Add(-time.Hour)
		if code != "" {
			v.s.Waiting = &events.Reason{Code: code}
		}
		if s := v.standUnread(&Unread{Code: events.CodeFactsUnavailable}); s.next.Sub(noon) != want {
			t.Errorf("a rollout that waited for %q for an hour looks again after %s, want %s", code, s.next.Sub(noon), want)
		}
	}
}
