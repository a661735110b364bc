package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// What was shown to go wrong, each by the shape in which it did.

var unknownC = deferredFor(events.CodeOutcomeUnknown)

func at(minutes float64) time.Time {
	return began.Add(time.Duration(minutes * float64(time.Minute)))
}

// readAt is what ECD said of ecd-1 at a time.
func readAt(t time.Time, x *desktop.Desktop) *rollout.Facts {
	f := seen(x)
	f.Desktops["ecd-1"], f.Changes["ecd-1"] = rollout.Read(t, x), rollout.Read[[]desktop.Change](t, nil)
	return f
}

// ECD showed the rebuild only after it was looked at, and the decision was made
// anew minutes later by what had been read: the desktop was wiped twice.
func TestACallIsNotRepeatedByFactsThatHaveGrownOld(t *testing.T) {
	s := called(began, "m-new", unknownC)
	d := rollout.Decide(s, fateRules, readAt(at(1), pc(desktop.Running, "m-old")), at(9))
	if again := slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindNotBegun }); again || len(d.Begin) > 0 {
		t.Errorf("what was read a minute after the call was taken for settled after nine: %+v", d)
	}
	s.Apply(rollout.Decide(s, fateRules, readAt(at(6), pc(desktop.Running, "m-old")), at(6)).Records...)
	d = rollout.Decide(s, fateRules, readAt(at(12), pc(desktop.Running, "m-old")), at(12))
	if again := slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindNotBegun }); !again {
		t.Errorf("what was read twelve minutes after the call is not taken for settled: %+v", d)
	}
}

// What was read before the call, or before it ended, says nothing of it.
func TestFactsFromBeforeACallAreReadAgain(t *testing.T) {
	for name, s := range map[string]*rollout.State{
		"its delivery is unknown": called(began, "m-new", unknownC),
		"it was accepted":         called(began, "m-new", acceptedC),
	} {
		t.Run(name, func(t *testing.T) {
			d := rollout.Decide(s, fateRules, readAt(at(-1), pc(desktop.Running, "m-new")), at(6))
			if !slices.Equal(d.Need.Desktops, []string{"ecd-1"}) {
				t.Errorf("got %+v, want the desktop to be read again", d)
			}
		})
	}
}

// A sibling: one look was taken for two, a settling time apart.
func TestADesktopIsNotGoneAfterASingleLook(t *testing.T) {
	s := called(began, "m-new", acceptedC)
	s.Apply(rollout.Decide(s, fateRules, readAt(at(2), nil), at(2)).Records...)
	d := rollout.Decide(s, fateRules, readAt(at(2), nil), at(30))
	if status, code := statusOf(d); status != "" {
		t.Errorf("by one look, half an hour ago, it is %s %s", status, code)
	}
}

func TestADesktopThatArrivedAndCannotBeReadAnyMoreIsGivenUp(t *testing.T) {
	s := called(began, "m-new", acceptedC, rollout.Record{Kind: rollout.KindArrived, At: at(10), Desktops: []string{"ecd-1"}})
	f := seen(nil)
	f.Desktops["ecd-1"] = cannot[*desktop.Desktop](events.CodeFactsUnavailable)
	if status, code := statusOf(decide(s, fateRules, f, at(60*23))); status != "" {
		t.Errorf("after 23 hours it is %s %s, want it followed", status, code)
	}
	if status, code := statusOf(decide(s, fateRules, f, at(60*24+15))); status != events.StatusFailed || code != events.CodeCheckFailed {
		t.Errorf("after a day it is %q %q, want failed CheckFailed", status, code)
	}
}

// The other way round: a day in which nobody looked is no day in vain.
func TestADesktopIsLookedAtBeforeItIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		with rollout.Record
		want events.Status
	}{"its delivery is unknown": {unknownC, events.StatusAccepted}, "it was accepted": {acceptedC, events.StatusCompleted}} {
		s := called(began, "m-new", c.with)
		if status, code := statusOf(decide(s, fateRules, seen(pc(desktop.Running, "m-new")), at(60*30))); status != c.want {
			t.Errorf("%s: first looked at after 30 hours, and on its image, it is %q %q, want %s", name, status, code, c.want)
		}
	}
}

// office is a fleet whose rollouts are looked at below, of so many desktops.
func office(n int, change func(*fleet.Strategy)) (rollout.Rules, []desktop.Desktop) {
	f := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Images: []string{"*"}, Strategy: fleet.Default()}
	f.Strategy.Soak, f.Strategy.Check.Stable = 0, 0
	if change != nil {
		change(&f.Strategy)
	}
	members := make([]desktop.Desktop, 0, n)
	for i := range n {
		x := *pc(desktop.Running, "m-old")
		x.ID, x.Tags = fmt.Sprintf("ecd-%05d", i), map[string]string{}
		members = append(members, x)
	}
	return rollout.Rules{Regions: []string{"cn-hangzhou"}, Fleets: fleet.Fleets{f}, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}, members
}

func release() *rollout.State {
	return fold([]rollout.Record{{Kind: rollout.KindOpened, At: began, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1",
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}}})
}

func shown(members []desktop.Desktop) *rollout.Facts {
	f := seen(nil)
	for i := range members {
		f.Desktops[members[i].ID] = just(&members[i])
	}
	f.Members["office"] = just(members)
	return f
}

// through plays a rollout to the end of its n-th wave, every rebuild at once and
// without fault, or until it stands still.
func through(t *testing.T, s *rollout.State, rules rollout.Rules, members []desktop.Desktop, n int) {
	t.Helper()
	now := began
	if w := s.Wave(); w != nil {
		now = w.EndedAt
	}
	facts := shown(members)
	for range 10_000 {
		if s.Closed || len(s.Waves) > n || len(s.Waves) == n && !s.Wave().EndedAt.IsZero() || s.Waiting != nil {
			return
		}
		now = now.Add(time.Minute)
		d := decide(s, rules, facts, now)
		if !d.Need.Empty() {
			t.Fatalf("more is asked for: %+v", d.Need)
		}
		s.Apply(d.Records...)
		if len(d.Begin) > 0 {
			s.Apply(rollout.Record{Kind: rollout.KindBegun, At: now, Call: "c", Desktops: d.Begin, From: slices.Repeat([]string{"m-old"}, len(d.Begin))},
				rollout.Record{Kind: rollout.KindEnded, At: now, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: d.Begin}}},
				rollout.Record{Kind: rollout.KindSettled, At: now, Outcomes: []rollout.Group{{Status: events.StatusCompleted, Code: events.CodeCompleted, Desktops: d.Begin}}})
		}
	}
	t.Fatal("it never ends")
}

// In a small fleet a wave may have nobody in it. What is wanted after it was never
// asked for, and the release went over everybody.
func TestAnApprovalAfterAWaveThatIsEmptyIsAskedFor(t *testing.T) {
	rules, members := office(4, func(s *fleet.Strategy) { s.Approval.Waves = []int{2} }) // 1, then 10% of 4 is the same 1, then 50%
	s := release()
	through(t, s, rules, members, 3)
	if s.Waiting == nil || s.Waiting.Code != events.CodeApprovalAwaited || len(s.Waves) != 1 {
		t.Fatalf("got %d waves and waiting for %+v, want the approval asked for after the canary", len(s.Waves), s.Waiting)
	}
	s.Apply(rollout.Record{Kind: rollout.KindControl, At: at(60), Action: events.ActionApprove, Who: "ann", Message: "m"},
		rollout.Record{Kind: rollout.KindWaiting, At: at(60)})
	through(t, s, rules, members, 3)
	if len(s.Waves) < 2 {
		t.Errorf("once approved it goes no further: %+v", s.Waiting)
	}
}

// A wave above what one record takes counted as several, and was the last of them.
func TestAWaveInSeveralRecordsIsOneWaveToEveryGate(t *testing.T) {
	rules, members := office(21_000, func(s *fleet.Strategy) {
		s.Waves, s.Approval.Waves, s.MaxUnavailable = []fleet.Amount{{Percent: 50}}, []int{2}, fleet.Amount{Count: 20_000}
	})
	s := release()
	through(t, s, rules, members, 4)
	if s.Waiting == nil || s.Waiting.Code != events.CodeApprovalAwaited || s.Wave().N != 2 || len(s.Desktops) != 10_500 {
		t.Fatalf("got %d desktops in %d waves, waiting for %+v; want the approval at half of the fleet", len(s.Desktops), len(s.Waves), s.Waiting)
	}
	started := 0
	for _, n := range s.UnpublishedEvents {
		if n.What == events.RolloutWaveStarted {
			started++
		}
	}
	if started != 2 {
		t.Errorf("%d waves are told to have begun, want 2", started)
	}
}

// Whoever began to write down a large wave may die in the middle.
func TestAWaveOfWhichAPartIsMissingIsCompletedBeforeAnythingElse(t *testing.T) {
	rules, members := office(30_000, func(s *fleet.Strategy) { s.Waves, s.Canary.Amount = nil, fleet.Amount{Count: 25_000} })
	s := release()
	d := decide(s, rules, shown(members), began)
	if len(d.Records) != 3 {
		t.Fatalf("got %d records for a wave of 25,000", len(d.Records))
	}
	s.Apply(d.Records[0])
	d = decide(s, rules, shown(members), at(1))
	if len(d.Begin) > 0 {
		t.Errorf("somebody is begun while it is not known who is in the wave")
	}
	s.Apply(d.Records...)
	if got := len(s.Wave().Desktops); got != 25_000 || len(s.Waves) != 1 || len(s.Desktops) != 25_000 {
		t.Errorf("got %d desktops in %d waves, want 25000 in one", got, len(s.Waves))
	}
}

func TestWhoJoinsAfterTheLastWaveMeetsTheGatesToo(t *testing.T) {
	rules, members := office(4, func(s *fleet.Strategy) { s.Approval.Every = true })
	all := members[:3]
	s := release()
	for n := range 3 {
		through(t, s, rules, all, n+1)
		if len(s.Desktops) < len(all) {
			s.Apply(rollout.Record{Kind: rollout.KindControl, At: at(60), Action: events.ActionApprove, Who: "ann", Message: fmt.Sprint(n)}, rollout.Record{Kind: rollout.KindWaiting, At: at(60)})
		}
	}
	if len(s.Desktops) != 3 || s.Closed || s.Waiting != nil {
		t.Fatalf("%d of 3 desktops had their turn; closed %t, waiting for %+v", len(s.Desktops), s.Closed, s.Waiting)
	}
	s.Apply(decide(s, rules, shown(members), at(600)).Records...)
	if len(s.Desktops) != 3 || s.Waiting == nil || s.Waiting.Code != events.CodeApprovalAwaited {
		t.Errorf("somebody joined: got %d desktops, waiting for %+v; want the approval asked for", len(s.Desktops), s.Waiting)
	}
}

// one is a rollout over one desktop, in its canary.
func one(more ...rollout.Record) *rollout.State {
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}},
		rollout.Record{Kind: rollout.KindBegun, At: began, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}}, acceptedC)
	s.Apply(more...)
	return s
}

func settled(t time.Time, status events.Status, code string) rollout.Record {
	return rollout.Record{Kind: rollout.KindSettled, At: t, Outcomes: []rollout.Group{{Status: status, Code: code, Desktops: []string{"ecd-1"}}}}
}

func retry(t time.Time) rollout.Record {
	return rollout.Record{Kind: rollout.KindControl, At: t, Action: events.ActionRetry, Who: "ann", Message: "retry", Reason: &events.Reason{Code: events.CodeSuccess, Message: "the server is back"}}
}

// It was skipped as being on the image already, and its wave passed.
func TestADesktopThatFailedItsCheckIsCheckedAgainByARetry(t *testing.T) {
	rules, _ := office(0, func(s *fleet.Strategy) { s.Check.Command, s.Check.Timeout = "test", time.Minute })
	s := one(rollout.Record{Kind: rollout.KindArrived, At: at(5), Desktops: []string{"ecd-1"}},
		rollout.Record{Kind: rollout.KindChecking, At: at(5), Call: "run-1", Desktops: []string{"ecd-1"}},
		settled(at(6), events.StatusFailed, events.CodeCheckFailed), retry(at(10)))
	f := seen(pc(desktop.Running, "m-new"))
	d := decide(s, rules, f, at(11))
	s.Apply(d.Records...)
	if status, code := statusOf(d); status != events.StatusAccepted || code != events.CodeReconciled {
		t.Fatalf("after the retry it is %q %q, want accepted Reconciled", status, code)
	}
	s.Apply(decide(s, rules, f, at(13)).Records...) // arrived
	if d = decide(s, rules, f, at(14)); !slices.Equal(whom(d, rollout.Check), []string{"ecd-1"}) {
		t.Errorf("the check is not run again: %+v", d)
	}
}

// What the retry found on its image was followed beside another that was begun, though
// one may be under way. (simulation: too-many-at-once-50000101)
func TestWhatARetryFindsOnItsImageTakesAPlace(t *testing.T) {
	rules, members := office(2, nil) // 10%: one at once
	members[0].ID, members[1].ID = "ecd-1", "ecd-2"
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 2, Desktops: []string{"ecd-1", "ecd-2"}},
		rollout.Record{Kind: rollout.KindBegun, At: began, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}}, acceptedC,
		settled(at(6), events.StatusFailed, events.CodeCheckFailed), retry(at(10)))
	members[0].ImageID = "m-new"
	d := decide(s, rules, shown(members), at(11))
	if status, code := statusOf(d); status != events.StatusAccepted || len(d.Begin) > 0 {
		t.Errorf("the one on its image is %q %q, and %v are begun; want it accepted, and nobody begun", status, code, d.Begin)
	}
}

func TestARetryWhilePausedDoesNotTellThatItGoesOn(t *testing.T) {
	s := one(settled(at(6), events.StatusFailed, events.CodeCheckFailed),
		rollout.Record{Kind: rollout.KindControl, At: at(7), Action: events.ActionPause, Who: "bob", Message: "pause"}, retry(at(8)))
	last := s.UnpublishedEvents[len(s.UnpublishedEvents)-1]
	if last.What != events.RolloutPaused || s.Paused != "bob" || !strings.Contains(last.Reason.Message, "bob") {
		t.Errorf("it tells %s %+v and is paused by %q; want it paused, by bob", last.What, last.Reason, s.Paused)
	}
}

// The canary had yet to pass its check when its fleet went out of fleets.yaml and
// came back: the check was never run.
func TestADesktopIsNotTakenAsProvenWhileItsFleetIsNotDeclared(t *testing.T) {
	rules, _ := office(0, func(s *fleet.Strategy) { s.Check.Command, s.Check.Timeout = "test", time.Minute })
	without := rules
	without.Fleets = nil
	f := seen(pc(desktop.Running, "m-new"))
	s := one()
	s.Apply(decide(s, without, f, at(5)).Records...)
	s.Apply(decide(s, without, f, at(15)).Records...)
	if got := s.Desktops["ecd-1"].Phase; got != rollout.Accepted {
		t.Fatalf("without its fleet the desktop is in phase %d, want it followed", got)
	}
	if d := decide(s, rules, f, at(20)); !slices.Equal(whom(d, rollout.Check), []string{"ecd-1"}) {
		t.Errorf("once the fleet is back the check is not run: %+v", d)
	}
	if status, code := statusOf(decide(s, without, f, at(60*30))); status != events.StatusFailed || code != events.CodeCheckFailed {
		t.Errorf("after more than a day without its fleet it is %q %q, want failed CheckFailed", status, code)
	}
	s.Apply(rollout.Record{Kind: rollout.KindSuperseded, At: at(30), Who: "v2/office"})
	if status, _ := statusOf(decide(s, without, f, at(31))); status != events.StatusCompleted {
		t.Errorf("in a rollout that was superseded it is %q, want completed", status)
	}
}

// One read that failed began the waiting for a user anew.
func TestTheDeadlineOfSessionsOutlastsAReadThatFailed(t *testing.T) {
	rules, _ := office(0, func(s *fleet.Strategy) {
		s.Sessions = fleet.Sessions{Policy: fleet.Wait, Deadline: 4 * time.Hour, After: fleet.Skip}
	})
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}})
	busy := pc(desktop.Running, "m-old")
	busy.Connection, busy.Users, busy.Tags = desktop.Connected, []string{"eve"}, map[string]string{}
	for minute := 0; minute < 60*5; minute++ {
		f := seen(busy)
		if minute%50 == 10 {
			f.Desktops["ecd-1"] = cannot[*desktop.Desktop](events.CodeThrottled)
		}
		d := decide(s, rules, f, at(float64(minute)))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status == events.StatusSkipped {
			if minute < 4*60 || minute > 4*60+10 || code != events.CodeSessionSkipped {
				t.Errorf("skipped after %d minutes with %s, want after 240 with SessionSkipped", minute, code)
			}
			return
		}
	}
	t.Error("after five hours it still waits; the deadline is four")
}

// acts plays records of one desktop, and says whether it is ours to release and
// whether it is certainly in maintenance mode.
func acts(records ...rollout.Record) (held, entered bool) {
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}})
	s.Apply(records...)
	return s.Desktops["ecd-1"].Held, s.Desktops["ecd-1"].Entered
}

func act(kind rollout.Kind, call string, t time.Time) rollout.Record {
	return rollout.Record{Kind: kind, At: t, Call: call, Desktops: []string{"ecd-1"}}
}

// One instance released a desktop, slowly; another put it in again meanwhile. The
// first one's record made the journal forget that.
func TestALateReleaseDoesNotMakeTheJournalForgetWhatCameAfterIt(t *testing.T) {
	held, entered := acts(act(rollout.KindHolding, "a", at(0)), act(rollout.KindHeld, "a", at(0)), act(rollout.KindReleasing, "b", at(1)),
		act(rollout.KindHolding, "c", at(3)), act(rollout.KindHeld, "c", at(3)), act(rollout.KindReleased, "b", at(3.5)))
	if !held || !entered {
		t.Errorf("held %t, entered %t; want the desktop known to be in maintenance mode, by us", held, entered)
	}
}

// Killed between leaving maintenance mode and its record.
func TestADesktopThatMayHaveLeftMaintenanceModeIsPutInAgainBeforeItIsRebuilt(t *testing.T) {
	if held, entered := acts(act(rollout.KindHolding, "a", at(0)), act(rollout.KindHeld, "a", at(0)), act(rollout.KindReleasing, "b", at(1))); !held || entered {
		t.Errorf("held %t, entered %t; want it ours to release, and not taken to be in", held, entered)
	}
	rules, _ := office(0, func(s *fleet.Strategy) { s.Maintenance = true })
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}},
		act(rollout.KindHolding, "a", at(0)), act(rollout.KindHeld, "a", at(0)), act(rollout.KindReleasing, "b", at(1)))
	f := seen(pc(desktop.Running, "m-old"))
	if d := decide(s, rules, f, at(1.5)); len(of(d, rollout.Hold))+len(d.Begin) > 0 {
		t.Errorf("while it may be on its way out it is put in, or rebuilt: %+v", d)
	}
	if d := decide(s, rules, f, at(3)); !slices.Equal(whom(d, rollout.Hold), []string{"ecd-1"}) || len(d.Begin) > 0 {
		t.Errorf("once that is over it is not put in again before it is rebuilt: %+v", d)
	}
}

// A sibling with stopping and starting.
func TestALateStartDoesNotMakeTheJournalForgetThatADesktopWasStoppedAgain(t *testing.T) {
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}},
		act(rollout.KindStopping, "a", at(0)), act(rollout.KindStarting, "b", at(4)), act(rollout.KindStopping, "c", at(8)), act(rollout.KindStarted, "b", at(9)))
	if !s.Desktops["ecd-1"].Stopped {
		t.Error("it is not known any more that we stopped it")
	}
}

// Going back is for system disks. What else a fleet consents to for its releases
// would be erased without anybody having asked for that.
func TestARollbackErasesNothingElse(t *testing.T) {
	rules, _ := office(0, nil)
	rules.Fleets[0].Rebuild.Consent = []string{events.ConsentDataDisk, events.ConsentOSChange}
	s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: began, Operation: &rollout.Operation{ID: "v1/office/rollback", Fleet: "office", ReleaseID: "v1", Undoes: "v1/office",
		Back: map[string][]string{"m-old": {"ecd-1"}}, Consents: []string{events.ConsentDowngrade}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}}})
	x := pc(desktop.Running, "m-new")
	x.OS = "linux"
	if status, code := statusOf(decide(s, rules, seen(x), at(1))); status != events.StatusRefused || code != events.CodeOsChangeNeedsConsent {
		t.Errorf("a rollback to another OS family is %q %q, want it refused for want of a consent of its own", status, code)
	}
}

// Reasons A, B, A for three desktops were reported as A, B, B.
func TestAPlanSaysOfEachDesktopWhyItCannotBeRead(t *testing.T) {
	f := seen(nil)
	for id, code := range map[string]string{"ecd-1": events.CodeThrottled, "ecd-2": events.CodeFactsUnavailable, "ecd-3": events.CodeThrottled} {
		f.Desktops[id] = cannot[*desktop.Desktop](code)
	}
	p, _, _ := rollout.Preview(rollout.Operation{ID: "r", Desktops: []string{"ecd-1", "ecd-2", "ecd-3"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}, fateRules, f, began)
	var got []string
	for _, x := range p.Waves[0].Desktops {
		got = append(got, x.Code)
	}
	if want := []string{events.CodeThrottled, events.CodeFactsUnavailable, events.CodeThrottled}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// ECD showed the new image at acceptance, the rebuild failed, and the image went
// back: whom we had stopped was left stopped.
func TestADesktopThatWasChangedOutsideIsStillOursToStart(t *testing.T) {
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}},
		act(rollout.KindStopping, "a", at(-5)),
		rollout.Record{Kind: rollout.KindBegun, At: began, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}}, acceptedC,
		settled(at(6), events.StatusFailed, events.CodeChangedOutside))
	if !s.Desktops["ecd-1"].Stopped {
		t.Error("it is not known any more that we stopped it")
	}
}

// ECD shows late what it did, but within a settling time. Whoever first looked when
// that was over saw nothing, once, and the call was repeated.
func TestACallIsNotRepeatedByASingleLook(t *testing.T) {
	s := called(began, "m-new", unknownC)
	again := func(minute float64) bool {
		d := rollout.Decide(s, fateRules, readAt(at(minute), pc(desktop.Running, "m-old")), at(minute))
		s.Apply(d.Records...)
		return slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindNotBegun })
	}
	if again(1) || again(7) || again(11) { // the first says nothing: ECD shows late
		t.Error("it is made again by a look that came too early")
	}
	s = called(began, "m-new", unknownC)
	if again(12) || again(14) {
		t.Error("it is made again before a settling time has passed between two looks")
	}
	if !again(18) {
		t.Error("it is not made again though two looks, six minutes apart, show nothing")
	}
}

// A request brought a canary that had yet to pass its check to another image: the
// wave passed without the check.
func TestADesktopThatSomebodyElseRebuiltBeforeItsCheckHasNotPassedIt(t *testing.T) {
	rules, _ := office(0, func(s *fleet.Strategy) { s.Check.Command, s.Check.Timeout = "test", time.Minute })
	s := one(rollout.Record{Kind: rollout.KindArrived, At: at(5), Desktops: []string{"ecd-1"}})
	f := seen(pc(desktop.Running, "m-other"))
	f.Changes["ecd-1"] = just([]desktop.Change{{From: "m-new", To: "m-other", State: desktop.ChangeSucceeded, Updated: at(7)}, {From: "m-old", To: "m-new", State: desktop.ChangeSucceeded, Updated: at(4)}})
	if status, code := statusOf(decide(s, rules, f, at(8))); status != events.StatusFailed || code != events.CodeChangedOutside {
		t.Errorf("it is %q %q, want failed ChangedOutside", status, code)
	}
}

// ECD left a desktop that we had stopped out of one answer: it was given up, and
// nobody started it when it was listed again.
func TestADesktopThatIsOursToGiveBackIsNotGivenUpAfterASingleLook(t *testing.T) {
	rules, _ := office(0, func(s *fleet.Strategy) { s.StopFirst = true })
	s := release()
	s.Apply(rollout.Record{Kind: rollout.KindWave, At: began, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"ecd-1"}}, act(rollout.KindStopping, "a", at(0)))
	for _, look := range []struct {
		minute float64
		want   events.Status
	}{{2, ""}, {4, ""}, {8, events.StatusSkipped}} {
		d := decide(s, rules, seen(nil), at(look.minute))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status != look.want {
			t.Fatalf("minute %g: it is %q %q, want %q", look.minute, status, code, look.want)
		}
	}
	f := seen(nil)
	f.Members["office"] = just[[]desktop.Desktop](nil)
	for minute := range 5 {
		s.Apply(decide(s, rules, f, at(9+2*float64(minute))).Records...)
	}
	if !s.Closed || s.Desktops["ecd-1"].Stopped {
		t.Errorf("once it is gone for good: closed %t, still ours to start %t", s.Closed, s.Desktops["ecd-1"].Stopped)
	}
}

// Two images that could not be read, for two reasons, gave two outcomes of one
// desktop: it was told to wait for one, and for the other.
func TestADesktopHasOneOutcomeInADecision(t *testing.T) {
	s := fold([]rollout.Record{{Kind: rollout.KindOpened, At: began, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"},
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}}})
	f := seen(pc(desktop.Running, "m-old"))
	f.Images["m-new"], f.Images["m-old"] = cannot[*desktop.Image](events.CodeThrottled), cannot[*desktop.Image](events.CodeFactsUnavailable)
	var got []string
	for _, r := range decide(s, fateRules, f, at(1)).Records {
		for _, g := range r.Outcomes {
			got = append(got, g.Code)
		}
	}
	if want := []string{events.CodeThrottled}; !slices.Equal(got, want) {
		t.Errorf("its outcomes are %v, want %v", got, want)
	}
}
