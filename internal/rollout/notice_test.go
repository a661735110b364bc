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

// noticeRules are those of a fleet that tells people two hours before.
func noticeRules() rollout.Rules {
	r := fateRules
	s := fleet.Default()
	s.Notice = fleet.Notice{Lead: 2 * time.Hour, Remind: []time.Duration{30 * time.Minute}}
	r.Declared, r.Fleets = true, fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Requests: true, Strategy: s}}
	return r
}

func asked() *rollout.State {
	s := rollout.NewState()
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: began, Operation: &rollout.Operation{ID: "r1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}, Desktops: []string{"ecd-1"}}})
	return s
}

func TestNobodyIsRebuiltBeforeNoticeAndLead(t *testing.T) {
	ids := []string{"ecd-1"}
	telling := rollout.Record{Kind: rollout.KindNotifying, At: at(0), Call: "c/0", Until: at(122), N: 1, Desktops: ids}
	sent := rollout.Record{Kind: rollout.KindSent, At: at(0.1), Call: "c/0", Invoke: "t-1", Desktops: ids}
	told := rollout.Record{Kind: rollout.KindNotified, At: at(3), Desktops: ids}
	unsent := rollout.Record{Kind: rollout.KindSent, At: at(0.1), Call: "c/0", Desktops: ids, Reason: &events.Reason{Message: "no right"}}
	reminded := rollout.Record{Kind: rollout.KindNotifying, At: at(92), Call: "c2/0", Until: at(122), N: 2, Desktops: ids}
	const nothing, tells, begins = "nothing", "tells", "begins"
	for _, c := range []struct {
		name    string
		records []rollout.Record
		status  string
		minutes float64
		want    string
	}{
		{"nobody was told", nil, desktop.Running, 0, tells},
		{"nobody is there", nil, desktop.Stopped, 0, begins},
		{"it was announced a moment ago", []rollout.Record{telling}, desktop.Running, 1, nothing},
		{"nobody knows whether it was sent", []rollout.Record{telling}, desktop.Running, 2, tells},
		{"nor after the time that it named", []rollout.Record{telling}, desktop.Running, 200, tells},
		{"it may have been sent, and the desktop was shut down", []rollout.Record{telling}, desktop.Stopped, 60, nothing},
		{"and its time has come", []rollout.Record{telling}, desktop.Stopped, 122, begins},
		{"the call failed", []rollout.Record{telling, unsent}, desktop.Running, 10, nothing},
		{"the call failed some time ago", []rollout.Record{telling, unsent}, desktop.Running, 40, tells},
		{"its result is not known yet", []rollout.Record{telling, sent}, desktop.Running, 130, nothing},
		{"it was shown", []rollout.Record{telling, sent, told}, desktop.Running, 60, nothing},
		{"a reminder is due", []rollout.Record{telling, sent, told}, desktop.Running, 92, tells},
		{"a reminder was announced", []rollout.Record{telling, sent, told, reminded}, desktop.Running, 93, nothing},
		{"the named time has come and lead is not over", []rollout.Record{telling, sent, told, reminded}, desktop.Running, 122, nothing},
		{"lead is over", []rollout.Record{telling, sent, told, reminded}, desktop.Running, 123, begins},
		{"it was told and shut down", []rollout.Record{telling, sent, told, reminded}, desktop.Stopped, 122, nothing},
		{"a reminder whose delivery is not known takes nothing back", []rollout.Record{telling, sent, told, reminded}, desktop.Running, 300, begins},
		{"the notice is a day old", []rollout.Record{telling, sent, told, reminded}, desktop.Running, 122 + 24*60, tells},
	} {
		s := asked()
		s.Apply(c.records...)
		f := readAt(at(c.minutes), pc(c.status, "m-old"))
		f.Checks["t-1"] = rollout.Read(at(1), map[string]desktop.Invocation{"ecd-1": {DesktopID: "ecd-1", Status: "Running"}})
		d := rollout.Decide(s, noticeRules(), f, at(c.minutes))
		got := nothing
		switch {
		case len(d.Begin) > 0:
			got = begins
		case len(of(d, rollout.Tell)) > 0:
			got = tells
		}
		if got != c.want {
			t.Errorf("%s, minute %v: it %s, want %s (%+v)", c.name, c.minutes, got, c.want, d)
		}
	}
}

// The first that the simulation found of notices: a reminder was due, and the
// desktop was shut down; it was looked at every second until the named time.
func TestADesktopThatIsShutDownIsNotLookedAtAllTheTimeForAReminder(t *testing.T) {
	ids := []string{"ecd-1"}
	s := asked()
	s.Apply(rollout.Record{Kind: rollout.KindNotifying, At: at(0), Call: "c/0", Until: at(122), N: 1, Desktops: ids},
		rollout.Record{Kind: rollout.KindSent, At: at(0.1), Call: "c/0", Invoke: "t-1", Desktops: ids},
		rollout.Record{Kind: rollout.KindNotified, At: at(1), Desktops: ids})
	for _, minute := range []float64{92, 100, 119} {
		d := rollout.Decide(s, noticeRules(), readAt(at(minute), pc(desktop.Stopped, "m-old")), at(minute))
		if len(of(d, rollout.Tell)) > 0 || d.Next.Before(at(minute).Add(time.Minute)) || d.Next.After(at(minute).Add(10*time.Minute)) {
			t.Errorf("minute %v: tells %v, and looks again %s later", minute, of(d, rollout.Tell), d.Next.Sub(at(minute)))
		}
	}
	if d := rollout.Decide(s, noticeRules(), readAt(at(100), pc(desktop.Running, "m-old")), at(100)); len(of(d, rollout.Tell)) != 1 || of(d, rollout.Tell)[0].N != 2 {
		t.Errorf("it was started, and its users are told %+v, want a reminder", of(d, rollout.Tell))
	}
}

// A fleet that forces rebuilt a desktop whose users could not be told for long enough,
// though the last notice, of which nobody knows whether it was shown, had named a later
// time. One that was stopped for that then waited for this time, stopped. (simulation:
// rebuilt-by-an-old-notice-1883236242323984)
func TestWhoeverForcesWaitsForTheTimeThatWasNamedLast(t *testing.T) {
	ids := []string{"ecd-1"}
	rules := noticeRules()
	rules.Fleets[0].Strategy.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: time.Hour, After: fleet.Force}
	sent := rollout.Record{Kind: rollout.KindSent, At: at(31), Call: "c2/0", Invoke: "t-1", Desktops: ids}
	unsent := rollout.Record{Kind: rollout.KindSent, At: at(31), Call: "c2/0", Desktops: ids, Reason: &events.Reason{Message: "EOF"}}
	running := desktop.Invocation{DesktopID: "ecd-1", Status: "Running"}
	for _, c := range []struct {
		name string
		end  rollout.Record
		ran  desktop.Invocation
	}{
		{"its command is not known to have ended", sent, running},
		{"its command has failed", sent, desktop.Invocation{DesktopID: "ecd-1", Done: true, Status: "Failed", ExitCode: 1}},
		{"the answer to the call was lost", unsent, running},
	} {
		s := asked()
		s.Apply(rollout.Record{Kind: rollout.KindUnnotified, At: at(0), Desktops: ids},
			rollout.Record{Kind: rollout.KindNotifying, At: at(30), Call: "c2/0", Until: at(153), N: 1, Desktops: ids}, c.end)
		for minute, want := range map[float64]int{61: 0, 152: 0, 153: 1} {
			f := readAt(at(minute), pc(desktop.Running, "m-old"))
			f.Checks["t-1"] = rollout.Read(at(minute), map[string]desktop.Invocation{"ecd-1": c.ran})
			if d := rollout.Decide(s, rules, f, at(minute)); len(d.Begin) != want || len(of(d, rollout.Tell)) > 0 || want == 0 && !d.Next.Equal(at(153)) {
				t.Errorf("%s, minute %v: begins %v, tells %v, and looks again at %s; want %d to begin, or a look at %s", c.name, minute, d.Begin, of(d, rollout.Tell), d.Next, want, at(153))
			}
		}
	}
}

// Whatever is lost, and whenever somebody looks: between the first time that the
// notice was certainly shown and the rebuild lies lead, and nothing is begun
// before the time that was named last.
func TestNoticeHoldsWhateverIsLostOnTheWay(t *testing.T) {
	rules, begun := noticeRules(), 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		s, now := asked(), began
		var shown, named time.Time // really
		results := map[string]desktop.Invocation{}
		for n := range 400 {
			now = now.Add(time.Duration(rng.IntN(15*60)) * time.Second)
			f := readAt(now, pc(desktop.Running, "m-old"))
			for id, i := range results {
				f.Checks[id] = rollout.Read(now, map[string]desktop.Invocation{"ecd-1": i})
			}
			d := rollout.Decide(s, rules, f, now)
			if len(d.Begin) > 0 {
				begun++
				if shown.IsZero() || now.Sub(shown) < rules.Fleets[0].Strategy.Notice.Lead || now.Before(named) {
					t.Fatalf("seed %d: begun at %s, shown at %s, named %s", seed, now, shown, named)
				}
				break
			}
			if rng.IntN(10) == 0 {
				continue // killed before anything was written
			}
			for i := range d.Records {
				d.Records[i].At = now
			}
			s.Apply(d.Records...)
			for _, tell := range of(d, rollout.Tell) {
				call := string(rune('a' + n%26))
				s.Apply(rollout.Record{Kind: rollout.KindNotifying, At: now, Call: call, Until: tell.Due, N: tell.N, Desktops: tell.Desktops})
				if rng.IntN(4) == 0 {
					continue // killed before the call
				}
				invoke := "t-" + call
				ok := rng.IntN(3) > 0
				results[invoke] = desktop.Invocation{DesktopID: "ecd-1", Done: true, Status: "Failed", ExitCode: 1}
				if ok {
					results[invoke] = desktop.Invocation{DesktopID: "ecd-1", Done: true, Status: "Success"}
					named = tell.Due
					if shown.IsZero() {
						shown = now
					}
				}
				if rng.IntN(4) > 0 { // else killed after it
					s.Apply(rollout.Record{Kind: rollout.KindSent, At: now, Call: call, Invoke: invoke, Desktops: tell.Desktops})
				}
			}
		}
	}
	if begun < 100 {
		t.Errorf("only %d of 300 were ever begun: the test shows nothing", begun)
	}
}

// A function without a journal carries what people were told in its ticks.
func TestWhatPeopleWereToldIsCarriedWithoutAJournal(t *testing.T) {
	ids := []string{"ecd-1"}
	s := asked()
	s.Apply(
		rollout.Record{Kind: rollout.KindUnnotified, At: at(0), Desktops: ids},
		rollout.Record{Kind: rollout.KindNotifying, At: at(1), Call: "c/0", Until: at(122), N: 1, Desktops: ids},
		rollout.Record{Kind: rollout.KindSent, At: at(2), Call: "c/0", Invoke: "t-1", Desktops: ids})
	for range 2 {
		carried := rollout.NewState()
		carried.Apply(s.Compact(ids)...)
		if got, want := carried.Desktops["ecd-1"].Notice, s.Desktops["ecd-1"].Notice; got == nil || *got != *want {
			t.Errorf("carried is %+v, want %+v", got, want)
		}
		s.Apply(rollout.Record{Kind: rollout.KindNotified, At: at(3), Desktops: ids})
	}
}

// Everybody of a wave is told when it begins, so the lead passes once for each wave
// and not for each group that is rebuilt at once.
func TestAPlanCountsTheLeadOnceAWave(t *testing.T) {
	rules := noticeRules()
	s := &rules.Fleets[0].Strategy
	s.Waves, s.MaxUnavailable = nil, fleet.Amount{Count: 1}
	facts := rollout.NewFacts()
	for id, made := range map[string]time.Time{"m-new": start, "m-old": start.AddDate(-1, 0, 0)} {
		facts.Images[id] = just(&desktop.Image{ID: id, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: made})
	}
	var members []desktop.Desktop
	for _, id := range []string{"ecd-1", "ecd-2", "ecd-3", "ecd-4"} {
		d := desktop.Desktop{ID: id, RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected, ImageID: "m-old",
			OS: "windows", SystemDiskGiB: 80}
		members = append(members, d)
		facts.Desktops[id] = just(&d)
	}
	facts.Members["office"] = just(members)
	op := rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	plan, need, _ := rollout.Preview(op, rules, facts, start)
	one := s.Expected + s.Check.Stable
	want := 2*s.Notice.Lead + 4*one + s.Soak // a canary of one, then three one after the other
	if got := time.Duration(plan.ExpectedSeconds) * time.Second; !need.Empty() || len(plan.Waves) != 2 || got != want {
		t.Errorf("got %s for %d waves (needs %+v), want %s", got, len(plan.Waves), need, want)
	}
}
