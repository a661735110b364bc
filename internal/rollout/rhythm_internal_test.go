package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A sighting is of desktops that were called together: so long before it they had been looked at in
// vain (0: they had not), and so long they had been away when they were seen.
type sighting struct {
	missed, took time.Duration
	n            int
}

// learned folds what was seen, call after call.
func learned(t *testing.T, looks ...sighting) took {
	t.Helper()
	s, begun, ticks := NewState(), noon, 0
	look := func(at time.Duration) string {
		ticks++
		by := fmt.Sprint("look ", ticks)
		s.tick(&Record{By: by, At: begun.Add(at), N: ticks})
		return by
	}
	for _, l := range looks {
		begun = begun.Add(time.Hour)
		look(0)
		if l.missed > 0 {
			look(l.missed)
		}
		r := Record{By: look(l.took), At: begun.Add(l.took), Desktops: []string{"unknown"}}
		for range l.n {
			id := fmt.Sprint("d", len(s.Desktops))
			s.Desktops[id] = &Desktop{ID: id, BegunAt: MomentOf(begun)}
			r.Desktops = append(r.Desktops, id)
		}
		s.tick(&Record{By: r.By, At: r.At.Add(time.Second), N: ticks + 1})
		s.arrived(&r)
		s.arrived(&Record{Desktops: r.Desktops, At: r.At.Add(time.Hour)}) // seen again: teaches nothing
		ticks++
	}
	s.Desktops["doubtful"] = &Desktop{ID: "doubtful", BegunAt: MomentOf(begun), Doubtful: true}
	s.arrived(&Record{Desktops: []string{"doubtful"}, At: begun.Add(time.Second)})
	return s.took
}

// When a rebuild was seen, and when it was looked at before in vain, say how long it took.
func TestWhatIsSeenOfRebuildsIsLearned(t *testing.T) {
	const sec = time.Second
	canary := sighting{360 * sec, 480 * sec, 1}
	sure := []sighting{{350 * sec, 360 * sec, 1}} // least 360 s, gap 8 s
	for name, c := range map[string]struct {
		looks      []sighting
		least, gap time.Duration
	}{
		"nothing":                                      {nil, 0, 0},
		"between two looks":                            {[]sighting{canary}, 480 * sec, 60 * sec},
		"between two looks that are close":             {sure, 360 * sec, 8 * sec},
		"never looked at before":                       {[]sighting{{0, 480 * sec, 1}}, 480 * sec, 240 * sec},
		"there at the first look":                      {[]sighting{canary, {0, 421 * sec, 90}}, 421 * sec, 180 * sec},
		"there at the first look, no sooner":           {[]sighting{canary, {0, 480 * sec, 90}}, 480 * sec, 180 * sec},
		"there at the first look, again":               {[]sighting{canary, {0, 421 * sec, 90}, {0, 242 * sec, 90}}, 242 * sec, 121 * sec},
		"there at the first look, which was late":      {[]sighting{canary, {0, 500 * sec, 90}}, 480 * sec, 60 * sec},
		"an earlier look was none":                     {[]sighting{canary, {300 * sec, 421 * sec, 90}}, 421 * sec, 180 * sec},
		"not there at the first look, there when due":  {[]sighting{canary, {420 * sec, 482 * sec, 90}}, 480 * sec, 30 * sec},
		"not there at the first look, there before":    {[]sighting{canary, {420 * sec, 440 * sec, 90}}, 440 * sec, 10 * sec},
		"as sure as can be":                            {append(sure, sighting{352 * sec, 361 * sec, 90}), 360 * sec, 8 * sec},
		"they take longer":                             {append(sure, sighting{370 * sec, 400 * sec, 90}), 400 * sec, 15 * sec},
		"as many as count in full take longer":         {append(sure, sighting{360 * sec, 400 * sec, 20}), 400 * sec, 20 * sec},
		"one takes longer":                             {append(sure, sighting{370 * sec, 400 * sec, 1}), 362 * sec, 15 * sec},
		"a few seconds before it was due is the first": {append(sure, sighting{348 * sec, 356 * sec, 90}), 356 * sec, 8 * sec},
		"more seconds before it was due is none":       {append(sure, sighting{347 * sec, 356 * sec, 90}), 356 * sec, 24 * sec},
	} {
		got := learned(t, c.looks...)
		if got.least != c.least || got.gap != c.gap || got.apart > 40*sec {
			t.Errorf("%s: got the least %s, less %s, apart %s; want %s, less %s", name, got.least, got.gap, got.apart, c.least, c.gap)
		}
	}
}

// Rebuilds that become much faster are known to be in a few rounds.
func TestTheRhythmFallsFast(t *testing.T) {
	looks := []sighting{{20 * time.Minute, 30 * time.Minute, 1}}
	for len(looks) < 5 {
		known := learned(t, looks...)
		looks = append(looks, sighting{0, max(known.first(), 6*time.Minute), 100})
	}
	if got := learned(t, looks...); got.first() > 6*time.Minute {
		t.Errorf("after %d calls desktops that take 6 minutes are read after %s: %v", len(looks), got.first(), looks)
	}
}

// Of desktops that were called together those that arrive first say how long a rebuild
// takes, and all of them how far apart that is.
func TestHowFarApartRebuildsAreIsLearned(t *testing.T) {
	s := NewState()
	s.tick(&Record{By: "a", At: noon, N: 1})
	s.tick(&Record{By: "b", At: noon.Add(5 * time.Minute), N: 2})
	for i, took := range []time.Duration{6 * time.Minute, 8 * time.Minute} {
		id := fmt.Sprint(i)
		s.Desktops[id] = &Desktop{ID: id, BegunAt: MomentOf(noon)}
		s.arrived(&Record{By: id, At: noon.Add(took), Desktops: []string{id}})
		s.tick(&Record{By: "c", At: noon.Add(450 * time.Second), N: 3}) // that the other is not there yet says nothing of the fastest
	}
	if want := (took{least: 6 * time.Minute, gap: 30 * time.Second, apart: 30 * time.Second, newest: noon}); s.took != want {
		t.Errorf("got %+v, want %+v", s.took, want)
	}
	s.Desktops["2"], s.Desktops["3"] = &Desktop{ID: "2", BegunAt: MomentOf(noon.Add(2 * time.Minute))}, &Desktop{ID: "3", BegunAt: MomentOf(noon.Add(3 * time.Minute))}
	s.Desktops["4"] = &Desktop{ID: "4", BegunAt: MomentOf(noon.Add(time.Minute))}
	s.arrived(&Record{By: "d", At: noon.Add(8 * time.Minute), Desktops: []string{"2", "3", "4"}})
	if want := (took{least: 5 * time.Minute, gap: 90 * time.Second, apart: 37500 * time.Millisecond, newest: noon.Add(3 * time.Minute)}); s.took != want {
		t.Errorf("got %+v, want %+v", s.took, want)
	}
}

// What was learned says when the next are looked at, and how often, within bounds.
func TestARhythmFollowsFromWhatRebuildsTook(t *testing.T) {
	const sec, stable = time.Second, 5 * time.Minute
	f := &fleet.Fleet{Strategy: fleet.Default()}
	f.Strategy.Expected, f.Strategy.Check.Stable = 10*time.Minute, stable
	for name, c := range map[string]struct {
		took   took
		atOnce int
		want   rhythm
	}{
		"nothing is known":                       {took{}, 10, rhythm{}},
		"all alike":                              {took{least: 360 * sec, gap: 8 * sec}, 10, rhythm{352 * sec, 360 * sec, 360 * sec, 8 * sec, stable}},
		"one, of which little is known":          {took{least: 480 * sec, gap: 60 * sec}, 10, rhythm{420 * sec, 480 * sec, 480 * sec, 8 * sec, stable}},
		"apart":                                  {took{least: 360 * sec, gap: 8 * sec, apart: 20 * sec}, 10, rhythm{352 * sec, 360 * sec, 400 * sec, 20 * sec, stable}},
		"far apart":                              {took{least: 300 * sec, gap: 8 * sec, apart: 200 * sec}, 100, rhythm{292 * sec, 300 * sec, 700 * sec, mostStep, stable}},
		"far apart, many at once":                {took{least: 300 * sec, gap: 8 * sec, apart: 200 * sec}, 2000, rhythm{292 * sec, 300 * sec, 700 * sec, 32 * sec, stable}},
		"longer than expected: nobody was there": {took{least: 3 * time.Hour, gap: 8 * sec}, 0, rhythm{592 * sec, 600 * sec, 600 * sec, 8 * sec, stable}},
	} {
		if got := c.took.rhythm(f, c.atOnce); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// rolling is a view of a rollout of which desktops have arrived so long ago, and others
// were begun so long ago, with a step of 40 seconds.
func rolling(arrived []time.Duration, begun ...time.Duration) (*view, []*Desktop) {
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
	v.rhythm = rhythm{first: 4 * time.Minute, least: 5 * time.Minute, most: 7 * time.Minute, step: 40 * time.Second, stays: 5 * time.Minute}
	var out []*Desktop
	add := func(x *Desktop) {
		x.ID = fmt.Sprint("d", len(out))
		v.s.Desktops[x.ID], out = x, append(out, x)
		v.leave = v.proven()
	}
	for _, d := range []time.Duration{0, time.Minute, 5*time.Minute - 15*time.Second} { // they failed while they were to be stable
		v.s.Desktops[d.String()] = &Desktop{ID: d.String(), Phase: Final, ArrivedAt: MomentOf(noon.Add(-d))}
	}
	for _, d := range arrived {
		add(&Desktop{Phase: Accepted, BegunAt: MomentOf(noon.Add(-time.Hour)), ArrivedAt: MomentOf(noon.Add(-d))})
	}
	for _, d := range begun {
		add(&Desktop{Phase: Accepted, BegunAt: MomentOf(noon.Add(-d))})
	}
	return v, out
}

// One look serves what is due at about the same time; what leaves a place is looked at when
// it does.
func TestOneLookServesMany(t *testing.T) {
	const sec, min = time.Second, time.Minute
	for name, c := range map[string]struct {
		arrived []time.Duration
		begun   time.Duration // 0: the first that has arrived is asked about
		want    time.Duration // from now on; 0: now
	}{
		"another is stable much sooner":           {[]time.Duration{4 * min, 5*min - 10*sec}, 0, min},
		"to be read at about the time of two":     {[]time.Duration{4 * min, 4*min + 10*sec, 4*min + 5*sec}, 3 * min, 50 * sec},
		"stable":                                  {[]time.Duration{5 * min}, 0, 0},
		"nearly stable":                           {[]time.Duration{5*min - sec}, 0, sec},
		"another is stable soon":                  {[]time.Duration{5*min - sec, 5*min - 20*sec}, 0, 20 * sec},
		"another is stable later":                 {[]time.Duration{5*min - sec, 5*min - 21*sec}, 0, sec},
		"another is stable already":               {[]time.Duration{5*min - 10*sec, 5 * min}, 0, 10 * sec},
		"not yet to be read":                      {nil, 3 * min, min},
		"to be read at about the time of a place": {[]time.Duration{4*min + 20*sec}, 3 * min, 40 * sec},
		"to be read long after a place":           {[]time.Duration{4*min + 21*sec}, 3 * min, min},
		"to be read soon":                         {nil, 4*min - 11*sec, 20 * sec},
		"to be read a little later":               {nil, 4*min - 10*sec, 0},
	} {
		v, list := rolling(c.arrived, c.begun)
		x := list[0]
		if c.begun > 0 {
			x = list[len(list)-1]
		}
		s, early := v.tooEarly(x)
		if early != (c.want > 0) || early && s.next.Sub(noon) != c.want {
			t.Errorf("%s: looked at in %s, early is %t; want %s", name, s.next.Sub(noon), early, c.want)
		}
	}
}

// A desktop that was not there is looked at when the fastest have ended, then while others
// do, and then the less often the longer it takes.
func TestWhenADesktopThatIsNotThereIsReadAgain(t *testing.T) {
	const sec, min = time.Second, time.Minute
	for name, c := range map[string]struct {
		arrived []time.Duration
		begun   time.Duration
		want    time.Duration
	}{
		"before the fastest have ended":     {nil, 4*min + 10*sec, 50 * sec},
		"shortly before":                    {nil, 4*min + 45*sec, 40 * sec},
		"while the others end":              {nil, 6 * min, 40 * sec},
		"another leaves a place":            {[]time.Duration{4 * min}, 6 * min, min},
		"another leaves a place much later": {[]time.Duration{4*min - sec}, 6 * min, 40 * sec},
		"longer than the others":            {nil, 8 * min, min},
		"longer by minutes":                 {nil, 10 * min, mostStep},
		"much longer":                       {nil, 13 * min, 2 * min},
		"for an hour":                       {nil, 60 * min, 5 * min},
	} {
		v, list := rolling(c.arrived, c.begun)
		if s := v.lookForArrival(list[len(list)-1]); s.next.Sub(noon) != c.want {
			t.Errorf("%s: read again in %s, want %s", name, s.next.Sub(noon), c.want)
		}
	}
}

// A decision knows which of its desktops leave places, and when.
func TestARolloutLooksForArrivalsWhenAPlaceIsLeft(t *testing.T) {
	f := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default()}
	s := NewState()
	s.Apply(Record{Kind: KindOpened, At: noon.Add(-time.Hour), Operation: &Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		Record{Kind: KindWave, At: noon.Add(-time.Hour), Wave: 1, Waves: 1, Size: 2, Desktops: []string{"leaves", "comes"}})
	s.took = took{least: 5 * time.Minute, gap: time.Minute, apart: time.Minute}
	leaves, comes := s.Desktops["leaves"], s.Desktops["comes"]
	leaves.Phase, leaves.BegunAt, leaves.ArrivedAt = Accepted, MomentOf(noon.Add(-time.Hour)), MomentOf(noon.Add(40*time.Second-f.Strategy.Check.Stable))
	comes.Phase, comes.BegunAt = Accepted, MomentOf(noon.Add(20*time.Second-4*time.Minute))
	facts := NewFacts()
	facts.Images["m-new"] = Read(noon, &desktop.Image{ID: "m-new", Status: desktop.ImageAvailable})
	facts.Freezes[FreezesKey] = Read[Freezes](noon, nil)
	d := Decide(s, Rules{Regions: []string{"cn-hangzhou"}, Fleets: fleet.Fleets{f}, Declared: true, Journal: true, RebuildTimeout: time.Hour}, facts, noon)
	if !d.Need.Empty() || d.Next.Sub(noon) != 40*time.Second {
		t.Errorf("looks again in %s and needs %+v, want 40 seconds, when a place is left", d.Next.Sub(noon), d.Need)
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
