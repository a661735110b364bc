package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// Whether a look only follows what was begun depends on what waits, and on whether ECD answers.
func TestWhichLooksOnlyFollow(t *testing.T) {
	reminded := &Notice{Call: Call{At: noon.Add(-time.Hour)}, Shown: noon.Add(-time.Hour), Due: noon.Add(10 * time.Minute)}
	for name, c := range map[string]struct {
		change func(*view, *fleet.Fleet)
		busy   int // 0: 1
		want   bool
	}{
		"a place is taken": {want: true},
		"a place is free":  {func(_ *view, f *fleet.Fleet) { f.Strategy.MaxUnavailable = fleet.Amount{Count: 2} }, 0, false},
		"who waits rests": {func(v *view, f *fleet.Fleet) {
			f.Strategy.MaxUnavailable.Count, v.s.Desktops["ecd-2"].RestsUntil = 2, noon.Add(1)
		}, 0, true},
		"who waits is prepared": {func(v *view, _ *fleet.Fleet) { v.s.Desktops["ecd-2"].Held = true }, 0, false},
		"users are to be reminded": {func(v *view, f *fleet.Fleet) {
			v.s.Desktops["ecd-2"].Notice, f.Strategy.Notice.Remind = reminded, []time.Duration{10 * time.Minute}
		}, 0, false},
		"users are to be reminded later": {func(v *view, f *fleet.Fleet) {
			v.s.Desktops["ecd-2"].Notice, f.Strategy.Notice.Remind = reminded, []time.Duration{5 * time.Minute}
		}, 0, true},
		"the window is closed":                    {func(_ *view, f *fleet.Fleet) { f.Strategy.Windows = evening() }, 0, false},
		"the window is closed, and nothing waits": {func(v *view, f *fleet.Fleet) { f.Strategy.Windows, v.s.Desktops["ecd-2"].Phase = evening(), Final }, 0, true},
		"nothing of it is under way":              {func(v *view, _ *fleet.Fleet) { v.f.Busy = map[string]string{"ecd-9": "v0/office"} }, 1, false},
		"others are at work as well":              {func(v *view, _ *fleet.Fleet) { v.f.Busy = map[string]string{"ecd-9": "v0/office"} }, 2, true},
		"somebody waits for an answer":            {func(v *view, _ *fleet.Fleet) { v.f.Woken = true }, 0, false},
		"it waits for places":                     {func(v *view, _ *fleet.Fleet) { v.s.Waiting = &events.Reason{Code: events.CodeMaxUnavailable} }, 0, true},
		"it is frozen":                            {func(v *view, _ *fleet.Fleet) { v.s.Waiting = &events.Reason{Code: events.CodeFrozen} }, 0, false},
		"it could not ask":                        {func(v *view, _ *fleet.Fleet) { v.s.Waiting = &events.Reason{Code: events.CodeNotAuthorized} }, 0, false},
		"ECD does not answer": {func(v *view, _ *fleet.Fleet) {
			v.f.Desktops["ecd-1"] = Fact[*desktop.Desktop]{ReadAt: noon, Err: &Unread{}}
		}, 0, false},
		"ECD is not asked":                        {func(v *view, _ *fleet.Fleet) { clear(v.f.Desktops) }, 0, false},
		"the wave is not written down as a whole": {func(v *view, _ *fleet.Fleet) { v.s.Waves[0].Of = 3 }, 0, false},
		"the wave has ended":                      {func(v *view, _ *fleet.Fleet) { v.s.Waves[0].EndedAt = noon }, 0, false},
		"there is no wave":                        {func(v *view, _ *fleet.Fleet) { v.s.Waves = nil }, 0, false},
	} {
		v, f := officeView(&Desktop{ID: "ecd-1", Phase: Accepted}, &Desktop{ID: "ecd-2"})
		f.Strategy.MaxUnavailable = fleet.Amount{Count: 1}
		v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", Status: "Rebuilding"})
		if c.change != nil {
			c.change(v, f)
		}
		if got := v.onlyFollows(newTotal(v), f, max(c.busy, 1)); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	v, f := officeView(&Desktop{ID: "ecd-1", Phase: Accepted})
	asks := newTotal(v)
	asks.out.Need.Desktops = []string{"ecd-1"}
	if !v.onlyFollows(asks, f, 1) {
		t.Error("a look that is about to ask ECD for what is under way does not only follow")
	}
}

// The log of the fleet is read before a look does anything else than follow.
func TestWhichLooksReadTheLogOfTheFleet(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*view, *fleet.Fleet)
		want   bool
	}{
		"it only follows":               {want: false},
		"a place is free":               {func(_ *view, f *fleet.Fleet) { f.Strategy.MaxUnavailable = fleet.Amount{Count: 2} }, true},
		"it was aborted":                {func(v *view, _ *fleet.Fleet) { v.s.Aborted = "ada" }, true},
		"another took over":             {func(v *view, _ *fleet.Fleet) { v.s.Superseded = "v2/office" }, true},
		"it is paused":                  {func(v *view, _ *fleet.Fleet) { v.s.Paused = "ada" }, true},
		"it has halted":                 {func(v *view, _ *fleet.Fleet) { v.s.Halted = &events.Reason{} }, true},
		"its fleet is gone":             {func(v *view, _ *fleet.Fleet) { v.r.Fleets = nil }, true},
		"it comes after another fleet":  {func(_ *view, f *fleet.Fleet) { f.After = []string{"pilot"} }, true},
		"the log is read, and it waits": {func(v *view, f *fleet.Fleet) { v.f.Unread, f.Strategy.MaxUnavailable = false, fleet.Amount{Count: 2} }, false},
	} {
		v, f := officeView(&Desktop{ID: "ecd-1", Phase: Accepted}, &Desktop{ID: "ecd-2"})
		f.Strategy.MaxUnavailable = fleet.Amount{Count: 1}
		v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", Status: "Rebuilding"})
		v.f.Unread = true
		if c.change != nil {
			c.change(v, f)
		}
		total := newTotal(v)
		if v.rollout(total); total.out.Need.Order != c.want || c.want && (len(total.out.Records) > 0 || len(total.out.Begin) > 0) {
			t.Errorf("%s: it is read: %t, want %t; %+v", name, total.out.Need.Order, c.want, total.out)
		}
		if n := (Need{Order: true}); n.Empty() {
			t.Error("a decision that needs the log needs nothing")
		}
	}
}

// The image is asked for along with the former one only while that is not known, and only where
// that it cannot be read is not what the rollout waits for.
func TestWhenTheImageIsAskedForAlong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*view)
		want   bool
	}{
		"nothing was begun":       {func(*view) {}, true},
		"something was begun":     {func(v *view) { v.s.former = "m-old" }, false},
		"it is known":             {func(v *view) { v.f.Images["m-new"] = Read[*desktop.Image](noon, nil) }, false},
		"it waits for users":      {func(v *view) { v.s.Waiting = &events.Reason{Code: events.CodeSessionWait} }, true},
		"it could not ask":        {func(v *view) { v.s.Waiting = &events.Reason{Code: events.CodeThrottled} }, false},
		"it goes back":            {func(v *view) { v.s.Operation.Undoes = "v0/office" }, false},
		"there is no wave":        {func(v *view) { v.s.Waves = nil }, false},
		"the wave has ended":      {func(v *view) { v.s.Waves[0].EndedAt = noon }, false},
		"the wave is being begun": {func(v *view) { v.s.Waves[0].Of = 3 }, false},
	} {
		v, _ := officeView(&Desktop{ID: "ecd-1"}, &Desktop{ID: "ecd-2"})
		if c.change(v); v.imageAlong() != c.want {
			t.Errorf("%s: %t, want %t", name, !c.want, c.want)
		}
	}
}

// One call reads the tags of all that may have their turn, also of those beyond the free places.
func TestTagsAreReadTogether(t *testing.T) {
	v, f := officeView(&Desktop{ID: "ecd-1"}, &Desktop{ID: "ecd-2"}, &Desktop{ID: "ecd-3"})
	f.Select.Tags = map[string]string{"fleet": "office"}
	v.r.Declared, v.r.Regions = true, []string{"cn-hangzhou"}
	for _, id := range []string{"ecd-1", "ecd-2"} { // the third was not read
		v.f.Desktops[id] = Read(noon, &desktop.Desktop{ID: id, RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"})
	}
	total := newTotal(v)
	if v.beginSome(total, f, 1); !slices.Equal(total.out.Need.Tags, []string{"ecd-1", "ecd-2"}) {
		t.Errorf("the tags of %v are read, want those of both that were read", total.out.Need.Tags)
	}
}

func evening() []fleet.Window { return []fleet.Window{{From: 20 * 60, To: 22 * 60, Zone: time.UTC}} }

// With what may end as many are read as may have their turn then, those first that are next.
func TestWhoIsReadAlong(t *testing.T) {
	v, f := officeView(&Desktop{ID: "ecd-1", Phase: Accepted}, &Desktop{ID: "ecd-2", RestsUntil: noon.Add(time.Minute)}, &Desktop{ID: "ecd-3"}, &Desktop{ID: "ecd-4"})
	f.Strategy.Windows = []fleet.Window{{From: 11 * 60, To: 13 * 60, Zone: time.UTC}}
	f.Strategy.Expected, f.Strategy.MaxUnavailable = time.Minute, fleet.Amount{Count: 1}
	for asked, want := range map[string][]string{"": nil, "ecd-1": {"ecd-1", "ecd-3"}} {
		total := newTotal(v)
		if asked != "" {
			total.out.Need.Desktops = []string{asked}
		}
		v.awaitTurns(total, f, 1)
		if !slices.Equal(total.out.Need.Desktops, want) || total.unfinished != 3 {
			t.Errorf("with %q: %v are read, want %v; %d wait", asked, total.out.Need.Desktops, want, total.unfinished)
		}
		if !total.out.Next.Equal(noon.Add(time.Hour)) {
			t.Errorf("it looks again at %s, want when the window closes", total.out.Next)
		}
	}
	full := newTotal(v) // a page that is full has no room
	for i := range 100 {
		full.out.Need.Desktops = append(full.out.Need.Desktops, fmt.Sprintf("ecd-%d", 1000+i))
	}
	if v.awaitTurns(full, f, 1); len(full.out.Need.Desktops) != 100 {
		t.Errorf("behind a full page %v are read", full.out.Need.Desktops[100:])
	}
	f.Strategy.MaxUnavailable.Count = 2
	total := newTotal(v)
	if v.awaitTurns(total, f, 1); !total.out.Next.Before(noon.Add(time.Hour)) {
		t.Errorf("with a free place it looks again at %s, want when the first of those that rest may begin", total.out.Next)
	}
}
