package rollout

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ticket(user string, at time.Duration) desktop.Event {
	return desktop.Event{DesktopID: "a", User: user, Kind: desktop.TicketAsked, At: noon.Add(at)}
}

func connect(user string, at time.Duration) desktop.Event {
	return desktop.Event{DesktopID: "a", User: user, Kind: desktop.ConnectDone, At: noon.Add(at)}
}

func TestWhichLogonsHaveFailed(t *testing.T) {
	for _, c := range []struct {
		name        string
		events      []desktop.Event
		all, failed int
	}{
		{"nobody", nil, 0, 0},
		{"one that works", []desktop.Event{ticket("ann", time.Hour), connect("ann", time.Hour+time.Minute)}, 1, 0},
		{"at the same second, in any order", []desktop.Event{connect("ann", time.Hour), ticket("ann", time.Hour)}, 1, 0},
		{"one that fails", []desktop.Event{ticket("ann", time.Hour)}, 1, 1},
		{"one without a ticket", []desktop.Event{connect("ann", time.Hour)}, 1, 0},
		{"of which it is not known yet", []desktop.Event{ticket("ann", 8*time.Hour-4*time.Minute)}, 0, 0},
		{"the third try works", []desktop.Event{ticket("ann", time.Hour), ticket("ann", time.Hour+time.Minute), ticket("ann", time.Hour+2*time.Minute), connect("ann", time.Hour+3*time.Minute)}, 1, 0},
		{"three tries in a row fail", []desktop.Event{ticket("ann", time.Hour), ticket("ann", time.Hour+time.Minute), ticket("ann", time.Hour+2*time.Minute)}, 1, 1},
		{"three tries over the day fail", []desktop.Event{ticket("ann", time.Hour), ticket("ann", 2*time.Hour), ticket("ann", 3*time.Hour)}, 3, 3},
		{"one fails, a later one works", []desktop.Event{ticket("ann", time.Hour), ticket("ann", 2*time.Hour), connect("ann", 2*time.Hour)}, 2, 1},
		{"a connection that comes too late", []desktop.Event{ticket("ann", time.Hour), connect("ann", time.Hour+6*time.Minute)}, 2, 1},
		{"another's connection does not help", []desktop.Event{ticket("ann", time.Hour), connect("bob", time.Hour+time.Minute)}, 2, 1},
		{"before the rebuild", []desktop.Event{ticket("ann", -time.Hour)}, 0, 0},
	} {
		got := countUse(1, map[string]time.Time{"a": noon}, nil, c.events, noon.Add(8*time.Hour))
		if got.Logons != c.all || got.Failed != c.failed {
			t.Errorf("%s: %d of %d logons failed, want %d of %d", c.name, got.Failed, got.Logons, c.failed, c.all)
		}
	}
}

func TestWhichDesktopsCountAsUsed(t *testing.T) {
	rebuilt := map[string]time.Time{"a": noon, "b": noon, "c": noon, "d": noon, "e": noon}
	sessions := map[string][]desktop.Session{
		"a":     {{User: "ann", Started: noon.Add(time.Hour)}, {User: "ann", Started: noon.Add(-time.Hour)}},
		"b":     {{User: "bob", Started: noon.Add(-time.Hour)}, {User: "bob"}}, // before, and at no time that is known
		"c":     {{User: "cat", Started: noon.Add(30 * time.Second)}},          // by another clock
		"other": {{User: "dan", Started: noon.Add(time.Hour)}},
	}
	list := []desktop.Event{
		{DesktopID: "d", User: "dan", Kind: desktop.ConnectDone, At: noon.Add(time.Hour)},
		{DesktopID: "e", User: "eve", Kind: desktop.TicketAsked, At: noon.Add(time.Hour)}, // got no further
	}
	if got := countUse(3, rebuilt, sessions, list, noon.Add(2*time.Hour)); got.Used != 2 || got.Of != 5 || got.Wave != 3 || !got.At.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("got %+v, want a and d: 2 of 5", got)
	}
}

// What order ECD lists events in, and whom else it lists, changes nothing; and there
// are never more failures than logons, nor more used desktops than rebuilt ones.
func TestACountDoesNotDependOnOrderNorOnOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		rebuilt := map[string]time.Time{"a": noon, "b": noon.Add(time.Hour)}
		var events []desktop.Event
		for range r.IntN(40) {
			events = append(events, desktop.Event{DesktopID: string(rune('a' + r.IntN(2))), User: string(rune('x' + r.IntN(2))),
				Kind: desktop.EventKind(1 + r.IntN(2)), At: noon.Add(time.Duration(r.IntN(600)) * time.Minute)})
		}
		want := countUse(1, rebuilt, nil, events, noon.Add(10*time.Hour))
		for range r.IntN(10) {
			events = append(events, desktop.Event{DesktopID: "other", User: "x", Kind: desktop.TicketAsked, At: noon.Add(time.Hour)})
		}
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		got := countUse(1, rebuilt, nil, events, noon.Add(10*time.Hour))
		if got != want || got.Failed > got.Logons || got.Used > got.Of {
			t.Fatalf("got %+v, want %+v, of %v", got, want, events)
		}
	}
}

func TestWhatACountComesTo(t *testing.T) {
	u := fleet.Use{Least: fleet.Amount{Percent: 30}, Else: fleet.UseWait, Failed: fleet.Amount{Percent: 20}}
	halts := u
	halts.Else = fleet.UseHalt
	count := func(used, of, failed, logons int) UseCount {
		return UseCount{Used: used, Of: of, Failed: failed, Logons: logons}
	}
	for _, c := range []struct {
		use  fleet.Use
		c    UseCount
		over bool
		want useAnswer
	}{
		{u, count(0, 12, 0, 0), false, useWaits}, {u, count(0, 12, 0, 0), true, useWaits},
		{u, count(3, 12, 0, 3), false, useWaits}, {u, count(4, 12, 0, 4), false, useProves},
		{u, count(3, 12, 0, 3), true, useWaits}, {halts, count(3, 12, 0, 3), true, useTooFew}, {halts, count(3, 12, 0, 3), false, useWaits},
		{halts, count(0, 12, 0, 0), true, useWaits}, // nobody was there: that says nothing of the image
		{u, count(1, 1, 0, 1), false, useProves}, {u, count(0, 1, 0, 0), false, useWaits},
		{u, count(12, 12, 3, 12), false, useFails}, {u, count(12, 12, 2, 12), false, useProves},
		{u, count(0, 12, 1, 1), false, useWaits}, // one logon that fails says nothing
		{u, count(0, 12, 2, 2), false, useFails},
		{fleet.Use{Least: fleet.Amount{Count: 3}}, count(3, 12, 12, 12), false, useProves}, // failed is not looked at
		{fleet.Use{Least: fleet.Amount{Count: 30}}, count(12, 12, 0, 0), false, useProves}, // no more than there are
	} {
		if got, _ := judgeUse(c.use, c.c, c.over); got != c.want {
			t.Errorf("%+v of %+v, over %t: got %d, want %d", c.c, c.use, c.over, got, c.want)
		}
	}
}

// Nobody at all never halts a rollout, and more use never makes it worse.
func TestNobodyNeverHaltsAndMoreUseIsNeverWorse(t *testing.T) {
	for of := 1; of < 20; of++ {
		for least := 1; least <= 100; least += 7 {
			u := fleet.Use{Least: fleet.Amount{Percent: float64(least)}, Else: fleet.UseHalt}
			if got, _ := judgeUse(u, UseCount{Of: of}, true); got != useWaits {
				t.Fatalf("%d%% of %d: nobody was there and the answer is %d", least, of, got)
			}
			proved := false
			for used := range of + 1 {
				got, wanted := judgeUse(u, UseCount{Of: of, Used: used}, false)
				if proved && got != useProves || (got == useProves) != (used >= wanted) || wanted < 1 || wanted > of {
					t.Fatalf("%s of %s, %d used: got %d, wanted %d", u.Least, fmt.Sprint(of), used, got, wanted)
				}
				proved = got == useProves
			}
		}
	}
}

// A wave is judged by how much it was used itself, after it ended; and not before all was read.
func TestAWaveIsJudgedByItsOwnUse(t *testing.T) {
	u := fleet.Use{Least: fleet.Amount{Count: 1}, Within: 8 * time.Hour, Else: fleet.UseWait, Failed: fleet.Amount{Percent: 20}}
	f := &fleet.Fleet{Name: "office"}
	f.Strategy.Check.Use = u
	end := noon.Add(time.Hour)
	ask := func(use *UseCount, now time.Time, facts func(*Facts)) (step, bool) {
		s := NewState()
		s.Operation = &Operation{ID: "r1/office", Fleet: "office"}
		s.Waves = []Wave{{N: 1, EndedAt: noon}, {N: 2, Desktops: []string{"a", "b"}, EndedAt: end}}
		for _, id := range s.Waves[1].Desktops {
			s.Desktops[id] = &Desktop{ID: id, Phase: Final, AcceptedAt: MomentOf(noon), Last: Result{Status: events.StatusCompleted}}
		}
		s.Use = use
		v := &view{s: s, f: NewFacts(), now: clock{now}}
		if facts != nil {
			facts(v.f)
		}
		return v.awaitsUse(f, &s.Waves[1])
	}
	for name, c := range map[string]struct {
		use   *UseCount
		waits bool
	}{
		"its own":                    {&UseCount{Wave: 2, Used: 2, Of: 2, At: end}, false},
		"its own, of nobody":         {&UseCount{Wave: 2, Of: 2, At: end}, true},
		"that of the wave before":    {&UseCount{Wave: 1, Used: 2, Of: 2, At: end}, true},
		"its own, before it was all": {&UseCount{Wave: 2, Used: 2, Of: 2, At: end.Add(-time.Second)}, true},
	} {
		if s, waits := ask(c.use, end.Add(time.Minute), nil); waits != c.waits && len(s.needs) == 0 {
			t.Errorf("%s: it waits: %t, want %t", name, waits, c.waits)
		}
	}
	after := end.Add(3 * time.Hour)
	for name, c := range map[string]struct {
		facts  func(*Facts)
		counts bool
	}{
		"all is read":                        {func(f *Facts) {}, true},
		"the sessions of the first are not":  {func(f *Facts) { delete(f.Uses, "a") }, false},
		"the sessions of the second are not": {func(f *Facts) { delete(f.Uses, "b") }, false},
		"the logons of the first are not":    {func(f *Facts) { delete(f.Logons, "a") }, false},
		"the logons of the second are not":   {func(f *Facts) { delete(f.Logons, "b") }, false},
		"the sessions of the first are of less": {func(f *Facts) {
			f.Uses["a"] = Read(after, History[desktop.Session]{From: noon.Add(time.Second)})
		}, false},
		"the logons of the second are of less": {func(f *Facts) {
			f.Logons["b"] = Read(after, History[desktop.Event]{From: noon.Add(time.Second)})
		}, false},
	} {
		s, waits := ask(nil, after, func(f *Facts) {
			for _, id := range []string{"a", "b"} {
				f.Uses[id] = Read(after, History[desktop.Session]{From: noon})
				f.Logons[id] = Read(after, History[desktop.Event]{From: noon})
			}
			c.facts(f)
		})
		if counted := len(s.records) > 0; !waits || counted != c.counts || counted == (len(s.needs) > 0) {
			t.Errorf("%s: got %+v, counted %t, want %t", name, s, counted, c.counts)
		}
	}
}
