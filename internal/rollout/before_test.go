package rollout_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

func beforeRules(deferrals int, after fleet.Policy) rollout.Rules {
	r := fateRules
	s := fleet.Default()
	s.Before = fleet.Before{Command: "x", Kind: fleet.PowerShell, Timeout: time.Minute, Again: time.Hour, Deadline: 6 * time.Hour, After: after, Deferrals: deferrals}
	r.Declared, r.Fleets = true, fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Requests: true, Strategy: s}}
	return r
}

// Whatever is lost, and whenever somebody looks: a desktop is begun only when it
// has just said go on, or when its users were told that not now is not heeded, and
// not now is heeded no more often than it may be.
func TestBeforeHoldsWhateverIsLostOnTheWay(t *testing.T) {
	cleared, overruled, refused, skipped := 0, 0, 0, 0
	for seed := range uint64(600) {
		rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test
		deferrals, most := 2, 2
		if seed%3 == 0 {
			deferrals, most = 0, 7 // as many as the deadline allows
		}
		rules := beforeRules(deferrals, []fleet.Policy{fleet.Skip, fleet.Force}[seed%2])
		s, now := asked(), began
		results := map[string]desktop.Invocation{}
		var saidGo, lastTold time.Time
		heeded := 0
	life:
		for n := range 300 {
			now = now.Add(time.Duration(rng.IntN(20*60)) * time.Second)
			f := readAt(now, pc(desktop.Running, "m-old"))
			for id, i := range results {
				f.Checks[id] = rollout.Read(now, map[string]desktop.Invocation{"ecd-1": i})
			}
			d := rollout.Decide(s, rules, f, now)
			if len(d.Begin) > 0 {
				byAnswer, byWord := !saidGo.IsZero(), !lastTold.IsZero() && now.Sub(lastTold) >= 5*time.Minute
				if !byAnswer && !byWord {
					t.Fatalf("seed %d: begun at %s; it said go on at %s, and was told at %s", seed, now, saidGo, lastTold)
				}
				if byAnswer {
					cleared++
				} else {
					overruled++
				}
				break
			}
			for i := range d.Records {
				d.Records[i].At = now
				for _, g := range d.Records[i].Outcomes {
					switch {
					case g.Status == events.StatusRefused:
						refused++
						break life
					case g.Status == events.StatusSkipped:
						skipped++
						break life
					}
				}
			}
			if rng.IntN(10) == 0 {
				continue // killed before anything was written
			}
			for _, r := range d.Records {
				if r.Kind == rollout.KindNotNow {
					heeded++
				}
			}
			if heeded > most {
				t.Fatalf("seed %d: not now was heeded %d times, %d may be", seed, heeded, most)
			}
			s.Apply(d.Records...)
			for _, tell := range of(d, rollout.Tell) {
				s.Apply(rollout.Record{Kind: rollout.KindNotifying, At: now, Call: "last", Until: tell.Due, N: tell.N, Desktops: tell.Desktops})
				if rng.IntN(3) > 0 {
					lastTold = now
					s.Apply(rollout.Record{Kind: rollout.KindSent, At: now, Call: "last", Invoke: "t", Desktops: tell.Desktops})
				}
			}
			for _, c := range of(d, rollout.Ask) {
				call := string(rune('a'+n%26)) + string(rune('a'+n/26))
				s.Apply(rollout.Record{Kind: rollout.KindAsking, At: now, Call: call, Desktops: c.Desktops})
				if rng.IntN(4) == 0 {
					continue // killed before the call
				}
				code := []int{0, 1, fleet.NotNow}[min(2, rng.IntN(12))]
				answer := desktop.Invocation{DesktopID: "ecd-1", Done: true, Status: "Success", ExitCode: code}
				if code != 0 {
					answer.Status = "Failed"
				}
				if rng.IntN(4) == 0 {
					continue // killed after it
				}
				if results["t-"+call] = answer; code == 0 {
					saidGo = now
				}
				s.Apply(rollout.Record{Kind: rollout.KindAsked, At: now, Call: call, Invoke: "t-" + call, Desktops: c.Desktops})
			}
		}
	}
	if cleared < 20 || overruled < 20 || refused < 20 || skipped < 1 {
		t.Errorf("%d were cleared, %d overruled, %d refused, %d skipped: the test shows too little", cleared, overruled, refused, skipped)
	}
}

func TestGoOnHoldsForAQuarterOfAnHour(t *testing.T) {
	ids := []string{"ecd-1"}
	for minutes, begins := range map[float64]bool{1: true, 14: true, 16: false} {
		s := asked()
		s.Apply(rollout.Record{Kind: rollout.KindAsking, At: at(0), Call: "c", Desktops: ids},
			rollout.Record{Kind: rollout.KindAsked, At: at(0), Call: "c", Invoke: "t", Desktops: ids},
			rollout.Record{Kind: rollout.KindCleared, At: at(0), Desktops: ids})
		d := rollout.Decide(s, beforeRules(0, fleet.Skip), readAt(at(minutes), pc(desktop.Running, "m-old")), at(minutes))
		if got := len(d.Begin) == 1; got != begins || !got && len(of(d, rollout.Ask)) != 1 {
			t.Errorf("after %v minutes it is begun: %t, want %t, or asked again: %+v", minutes, got, begins, d)
		}
	}
}

// Found by the simulation: the call failed that was to tell the users, and five
// minutes later the desktop was rebuilt against their not now.
func TestNobodyIsOverruledWhoCouldNotBeToldSo(t *testing.T) {
	ids := []string{"ecd-1"}
	made := []rollout.Record{{At: at(0.1), Invoke: "t"}}
	failed := []rollout.Record{{At: at(0.1), Reason: &events.Reason{Code: events.CodeCallFailed, Message: "throttled"}}}
	const nothing, tells, begins, skips = "nothing", "tells", "begins", "skips"
	for _, c := range []struct {
		name    string
		after   fleet.Policy // of sessions
		sent    []rollout.Record
		status  string
		minutes float64
		want    string
	}{
		{"the call is under way", fleet.Skip, nil, desktop.Running, 1, nothing},
		{"nobody knows its end", fleet.Skip, nil, desktop.Running, 2, tells},
		{"nobody knows its end, and nobody is there", fleet.Skip, nil, desktop.Stopped, 2, begins},
		{"it was made", fleet.Skip, made, desktop.Running, 4, nothing},
		{"it was made five minutes ago", fleet.Skip, made, desktop.Running, 6, begins},
		{"it failed", fleet.Skip, failed, desktop.Running, 6, nothing},
		{"it failed ten minutes ago", fleet.Skip, failed, desktop.Running, 11, tells},
		{"it failed, and the desktop was shut down", fleet.Skip, failed, desktop.Stopped, 6, begins},
		{"it has failed for too long", fleet.Skip, failed, desktop.Running, 241, skips},
		{"it has failed for too long, and the fleet forces", fleet.Force, failed, desktop.Running, 241, begins},
	} {
		rules := beforeRules(1, fleet.Skip)
		rules.Fleets[0].Strategy.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: 4 * time.Hour, After: c.after}
		s := asked()
		s.Apply(rollout.Record{Kind: rollout.KindNotNow, At: at(-10), Desktops: ids}, rollout.Record{Kind: rollout.KindAsking, At: at(-2), Call: "a", Desktops: ids},
			rollout.Record{Kind: rollout.KindAsked, At: at(-1), Call: "a", Invoke: "t-a", Desktops: ids},
			rollout.Record{Kind: rollout.KindNotifying, At: at(0), Call: "d", N: 3, Desktops: ids})
		for _, r := range c.sent {
			r.Kind, r.Call, r.Desktops = rollout.KindSent, "d", ids
			s.Apply(r)
		}
		d := rollout.Decide(s, rules, readAt(at(c.minutes), pc(c.status, "m-old")), at(c.minutes))
		got := nothing
		switch {
		case len(d.Begin) > 0:
			got = begins
		case len(of(d, rollout.Tell)) > 0:
			got = tells
		case len(d.Records) > 0 && d.Records[0].Outcomes[0].Status == events.StatusSkipped:
			got = skips
		case !d.Next.After(at(c.minutes)):
			got = "looks again at once"
		}
		if got != c.want {
			t.Errorf("%s, minute %v: it %s, want %s (%+v)", c.name, c.minutes, got, c.want, d)
		}
	}
}

// Of the last try to say that not now is not heeded any more nobody knows whether it was
// shown: the five minutes that it gives are given.
func TestWhoeverForcesWaitsForTheTimeThatTheLastWordGives(t *testing.T) {
	ids := []string{"ecd-1"}
	rules := beforeRules(1, fleet.Skip)
	rules.Fleets[0].Strategy.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Force}
	s := asked()
	s.Apply(rollout.Record{Kind: rollout.KindNotNow, At: at(-10), Desktops: ids})
	for i, minute := range []float64{0, 59} {
		call := string(rune('d' + i))
		s.Apply(rollout.Record{Kind: rollout.KindNotifying, At: at(minute), Call: call, N: 3, Desktops: ids},
			rollout.Record{Kind: rollout.KindSent, At: at(minute), Call: call, Desktops: ids, Reason: &events.Reason{Code: events.CodeCallFailed}})
	}
	for minute, want := range map[float64]int{61: 0, 64: 1} {
		d := rollout.Decide(s, rules, readAt(at(minute), pc(desktop.Running, "m-old")), at(minute))
		if len(d.Begin) != want || len(of(d, rollout.Tell)) > 0 || want == 0 && !d.Next.Equal(at(64)) {
			t.Errorf("minute %v: begins %v, tells %v, looks again at %s; want %d to begin", minute, d.Begin, of(d, rollout.Tell), d.Next, want)
		}
	}
}

// Found by the simulation: a desktop had been in use up to the deadline and was
// asked then; until it answered the rollout was looked at every second.
func TestAnAnswerIsNotAwaitedAllTheTime(t *testing.T) {
	ids := []string{"ecd-1"}
	rules := beforeRules(1, fleet.Skip)
	rules.Fleets[0].Strategy.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Force}
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: at(0), Operation: &rollout.Operation{ID: "r2/office", Fleet: "office", ReleaseID: "r2",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		rollout.Record{Kind: rollout.KindWave, At: at(0), Wave: 1, Waves: 1, Size: 1, Desktops: ids},
		rollout.Record{Kind: rollout.KindSettled, At: at(0), Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: events.CodeSessionWait, Until: at(1), Desktops: ids}}},
		rollout.Record{Kind: rollout.KindAsking, At: at(61), Call: "a", Desktops: ids},
		rollout.Record{Kind: rollout.KindAsked, At: at(61), Call: "a", Invoke: "t", Desktops: ids})
	f := readAt(at(63), pc(desktop.Running, "m-old"))
	f.Checks["t"] = rollout.Read(at(63), map[string]desktop.Invocation{"ecd-1": {DesktopID: "ecd-1", Status: "Running"}})
	if d := rollout.Decide(s, rules, f, at(63)); !d.Need.Empty() || d.Next.Before(at(63.3)) {
		t.Errorf("it is looked at again at %s, %s later: %+v", d.Next, d.Next.Sub(at(63)), d)
	}
}

// Found by the simulation: a desktop that never came back held up a rollback for a
// day, which looked at it every minute.
func TestWhoeverWaitsForAnothersDesktopsLooksLessOftenTheLongerThatTakes(t *testing.T) {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: at(0), Operation: &rollout.Operation{ID: "r2/office", Fleet: "office", ReleaseID: "r2",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		rollout.Record{Kind: rollout.KindWave, At: at(0), Wave: 1, Waves: 1, Size: 1, Desktops: []string{"ecd-1"}})
	rules := beforeRules(0, fleet.Skip)
	for minutes, want := range map[float64]time.Duration{1: 30 * time.Second, 9: 3 * time.Minute, 600: 5 * time.Minute} {
		f := readAt(at(minutes), pc(desktop.Running, "m-old"))
		f.Busy = map[string]string{"ecd-9": "r1/office"}
		if d := rollout.Decide(s, rules, f, at(minutes)); len(d.Begin)+len(of(d, rollout.Ask)) > 0 || d.Next.Sub(at(minutes)) != want {
			t.Errorf("after %v minutes it looks again %s later, want %s: %+v", minutes, d.Next.Sub(at(minutes)), want, d)
		}
	}
}

// A function without a journal carries what was asked in its ticks.
func TestWhatWasAskedIsCarriedWithoutAJournal(t *testing.T) {
	ids := []string{"ecd-1"}
	s := asked()
	for i, r := range []rollout.Record{
		{Kind: rollout.KindOnHold, At: at(0)},
		{Kind: rollout.KindAsking, At: at(1), Call: "a"},
		{Kind: rollout.KindAsked, At: at(2), Call: "a", Invoke: "t-a"},
		{Kind: rollout.KindNotNow, At: at(3)},
		{Kind: rollout.KindAsking, At: at(64), Call: "b"},
		{Kind: rollout.KindAsked, At: at(65), Call: "b", Invoke: "t-b"},
		{Kind: rollout.KindNotNow, At: at(66)},
		{Kind: rollout.KindAsking, At: at(120), Call: "c"},
		{Kind: rollout.KindNotifying, At: at(121), Call: "d", N: 3},
		{Kind: rollout.KindSent, At: at(122), Call: "d", Reason: &events.Reason{Code: events.CodeCallFailed}},
		{Kind: rollout.KindNotifying, At: at(133), Call: "e", N: 3},
		{Kind: rollout.KindSent, At: at(134), Call: "e"},
	} {
		r.Desktops = ids
		s.Apply(r)
		carried := rollout.NewState()
		carried.Apply(s.Compact(ids)...)
		got, want := *carried.Desktops["ecd-1"].Ask, *s.Desktops["ecd-1"].Ask
		if got != want {
			t.Errorf("after %d records, carried is %+v, want %+v", i+1, got, want)
		}
	}
}

// Whoever may tag a desktop holds it back for as long as its fleet heeds a tag, and not
// for ever by taking the tag off and putting it on again.
func TestATagThatIsPutOnAgainCountsFromTheFirstTime(t *testing.T) {
	rules := beforeRules(0, fleet.Skip)
	strategy := &rules.Fleets[0].Strategy
	strategy.Before, strategy.Holds = fleet.Before{}, fleet.Holds{Tag: "hold", AtMost: 3 * time.Hour}
	s := asked()
	for _, c := range []struct {
		minutes float64
		tagged  bool
		begins  bool
	}{{0, true, false}, {61, false, true}, {62, true, false}, {123, true, false}, {184, true, true}} {
		x := pc(desktop.Running, "m-old")
		if x.Tags = map[string]string{}; c.tagged {
			x.Tags["hold"] = "2030-01-01T00:00:00Z"
		}
		d := rollout.Decide(s, rules, readAt(at(c.minutes), x), at(c.minutes))
		if got := len(d.Begin) == 1; got != c.begins {
			t.Errorf("after %v minutes, tagged %t, it is begun: %t, want %t: %+v", c.minutes, c.tagged, got, c.begins, d)
		}
		s.Apply(d.Records...)
	}
}
