package handler_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler/handlertest"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// rollouts makes a world with a fleet, over which a release goes, sometimes two,
// and an operator who sees to what stands still; and lets it run until all of it
// has ended.
func rollouts(seed uint64) *handlertest.World {
	w := handlertest.New(seed)
	r := w.Rand
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	w.Odds = handlertest.Odds{Fails: pick(0, 5, 20), Vanishes: pick(0, 5, 20), Loses: pick(0, 5, 20), Kills: pick(0, 5, 20), Twice: pick(0, 50, 200), Late: pick(0, 10)}
	w.Budget = pick(0, 3, 10, 20)
	w.Calm = time.Now().Add(24 * time.Hour)
	w.Overlap, w.Warm = r.IntN(3) > 0, r.IntN(3) > 0
	w.Timeout = time.Duration(pick(60, 300)) * time.Second
	w.ECD.Records = r.IntN(3) > 0
	w.ECD.After = []string{"", desktop.Running}[r.IntN(2)]
	w.ECD.Lag = time.Duration(pick(0, 20, 50)) * time.Second
	w.ECD.Missing, w.ECD.Denies = pick(0, 50), pick(0, 50)
	w.Rules = rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute, Declared: true,
		Fleets: fleet.Fleets{{Name: "office", Region: region, Images: []string{"win*"}, Strategy: strategy(w)}}}
	images(w)
	machines(w, 1+r.IntN(7))
	w.ECD.Check = func(a handlertest.Acceptance) { checkAcceptance(w, a) }

	w.Queue.Put(release("v1", "m-new1"), 0)
	if r.IntN(3) == 0 {
		second := []string{"m-new2", "m-new2", "m-old"}[r.IntN(3)]
		w.Queue.Put(release("v2", second), time.Duration(r.IntN(7200))*time.Second)
	}
	for n := range r.IntN(4) {
		w.Queue.Put(control(fmt.Sprintf("c%d", n), "v1/office", events.Actions[r.IntN(len(events.Actions))]), time.Duration(r.IntN(20_000))*time.Second)
	}
	w.Shift, w.Operator = 2*time.Hour, operator(w)
	w.Run()
	judgeRollouts(w)
	return w
}

// strategy makes up how a release goes over the fleet.
func strategy(w *handlertest.World) fleet.Strategy {
	r, s := w.Rand, fleet.Default()
	s.Canary = fleet.Canary{Share: fleet.Share{Count: 1 + r.IntN(2)}, MaxFailures: fleet.Share{Count: r.IntN(2)}}
	s.Waves = [][]fleet.Share{nil, {{Percent: 50}}, {{Count: 3}, {Percent: 80}}}[r.IntN(3)]
	s.MaxUnavailable = []fleet.Share{{Count: 1}, {Count: 2}, {Percent: 50}, {Percent: 100}}[r.IntN(4)]
	s.MaxFailures = []fleet.Share{{}, {Count: 1}, {Percent: 50}, {Percent: 100}}[r.IntN(4)]
	s.MaxFailuresPerWave = []fleet.Share{{}, {Percent: 100}}[r.IntN(2)]
	s.Soak = []time.Duration{0, 10 * time.Minute, 3 * time.Hour}[r.IntN(3)]
	s.Approval = []fleet.Approval{{}, {}, {Waves: []int{1}}, {Every: true}}[r.IntN(4)]
	s.Check.Stable = []time.Duration{0, 5 * time.Minute}[r.IntN(2)]
	if r.IntN(5) == 0 {
		s.Check.Command = "exit 0"
	}
	s.Maintenance, s.StopFirst = r.IntN(4) == 0, r.IntN(4) == 0
	s.Sessions = fleet.Sessions{Policy: []fleet.Policy{fleet.Wait, fleet.Skip, fleet.Force}[r.IntN(3)],
		Deadline: []time.Duration{10 * time.Minute, 5 * time.Hour}[r.IntN(2)], After: []fleet.Policy{fleet.Skip, fleet.Force}[r.IntN(2)]}
	if r.IntN(3) == 0 {
		s.Windows = []fleet.Window{{From: 60 * r.IntN(12), To: 60 * (13 + r.IntN(10)), Zone: time.UTC}}
	}
	return s
}

func release(id, image string) []byte {
	return event(events.TypeRelease, id, id, map[string]any{"releaseId": id, "image": "win11", "images": map[string]string{region: image}})
}

func control(id, rolloutID, action string) []byte {
	return event(events.TypeControl, id, rolloutID, events.Control{RolloutID: rolloutID, Action: action, By: "alice", Reason: "because"})
}

func event(typ, id, subject string, data any) []byte {
	body, err := events.Event{Type: typ, ID: id, Source: "test", Subject: subject, Time: time.Now(), Data: data}.Marshal()
	if err != nil {
		panic(err) // the test is wrong
	}
	return body
}

// operator makes go on what stands still, one way or another, and in the end
// gives it up.
func operator(w *handlertest.World) func() {
	acted := 0
	return func() {
		works := w.Journal.Works()
		for _, work := range slices.Sorted(maps.Keys(works)) { // in one order, for the seed's sake
			s := w.Journal.State(works[work])
			if s.Closed || s.Superseded != "" || s.Aborted != "" {
				continue
			}
			var action string
			wave := s.Wave()
			switch {
			case acted >= 8 && (s.Paused != "" || s.Halted != nil):
				action = events.ActionAbort
			case s.Paused != "":
				action = events.ActionResume
			case s.Halted != nil:
				action = []string{events.ActionResume, events.ActionRetry, events.ActionAbort, events.ActionRollback}[w.Rand.IntN(4)]
				if rollout.Allow(s, action, 0) != nil {
					action = events.ActionResume
				}
			case wave != nil && !wave.EndedAt.IsZero() && wave.Approved == "" && s.Waiting != nil && s.Waiting.Code == events.CodeApprovalAwaited:
				action = events.ActionApprove
			default:
				continue
			}
			acted++
			w.Queue.Put(control(fmt.Sprintf("op%d", acted), work, action), 0)
		}
	}
}

// checkAcceptance holds a rebuild that ECD has just started against the gates.
func checkAcceptance(w *handlertest.World, a handlertest.Acceptance) {
	s := w.Journal.State(w.Journal.Works()[a.Work])
	f := w.Rules.Fleets[0].Strategy
	if most := f.AtOnce(s.Size); a.Under > most {
		w.Break("%d desktops of %d are under way at once, %d may", a.Under, s.Size, most)
	}
	inWindow := false
	for _, at := range []time.Time{a.Began, a.At} {
		open, until := f.Open(at)
		inWindow = inWindow || open && (until.IsZero() || !at.Add(f.Expected).After(until))
	}
	if !inWindow {
		w.Break("%s was begun outside the window", a.Desktop)
	}
	if a.Shown.InUse() {
		waited := f.Sessions.Policy == fleet.Wait && f.Sessions.After == fleet.Force && a.At.Sub(waveOf(s, a.Desktop).BegunAt) >= f.Sessions.Deadline
		if f.Sessions.Policy != fleet.Force && !waited {
			w.Break("%s was rebuilt under somebody who was using it", a.Desktop)
		}
	}
	if f.Maintenance && !a.Machine.Held {
		w.Break("%s was rebuilt and is not in maintenance mode", a.Desktop)
	}
	if f.StopFirst && a.Shown.Status != desktop.Stopped {
		w.Break("%s was rebuilt and had not been stopped", a.Desktop)
	}
}

func waveOf(s *rollout.State, id string) rollout.Wave {
	for _, w := range s.Waves {
		if w.N == s.Desktops[id].Wave {
			return w
		}
	}
	return rollout.Wave{}
}

// judgeRollouts holds what happened against what is promised.
func judgeRollouts(w *handlertest.World) {
	works := w.Journal.Works()
	if _, opened := works["v1/office"]; !opened && len(works) == 0 {
		w.Break("the release was never opened")
	}
	for work, key := range works {
		log, s := w.Journal.Logs[key], w.Journal.State(key)
		retries := 0
		for _, r := range log {
			if r.Kind == rollout.KindControl && r.Action == events.ActionRetry {
				retries++
			}
		}
		sameHoweverCut(w, key)
		audit(w, work, log)
		if !s.Closed || !s.Quiet() {
			w.Break("rollout %s is left: closed %t, all published %t, halted %v, paused %q, superseded %q", work, s.Closed, s.Quiet(), s.Halted, s.Paused, s.Superseded)
		}
		finals := finalsOf(w, work)
		var ids []string
		for _, id := range s.Order {
			got := finals[id]
			if len(got) < 1 || len(got) > 1+retries {
				w.Break("desktop %s of %s ended %d times with %d retries", id, work, len(got), retries)
				continue
			}
			last := got[len(got)-1]
			if o := s.Desktops[id].Last; last.Outcome.Status == o.Status {
				ids = append(ids, last.ID)
			}
			if n := w.ECD.Wiped[handlertest.Wipe{Work: work, Desktop: id}]; n > 1+retries {
				w.Break("%s was wiped %d times for %s with %d retries", id, n, work, retries)
			}
		}
		ending(w, s, ids, retries)
	}
	w.ECD.Each(func(m *handlertest.Machine) {
		if m.Held && !m.Gone {
			w.Break("%s was left in maintenance mode", m.Now.ID)
		}
		if m.Halted && !m.Gone && m.Now.Status == desktop.Stopped {
			w.Break("%s was left stopped", m.Now.ID)
		}
	})
}

// ending looks at what was said when the rollout ended.
func ending(w *handlertest.World, s *rollout.State, ids []string, retries int) {
	ended := 0
	for _, told := range w.Topic.Told {
		if told.Rollout.RolloutID != s.Work.ID || told.Rollout.Digest == "" {
			continue // only the last news has one
		}
		ended++
		if want := events.Digest(ids); retries == 0 && told.Rollout.Digest != want {
			w.Break("the end of %s has digest %s, its outcomes have %s", s.Work.ID, told.Rollout.Digest, want)
		}
		if told.Rollout.Reason == nil && s.Work.Undoes == "" {
			w.ECD.Each(func(m *handlertest.Machine) {
				if s.Desktops[m.Now.ID] == nil && !m.Gone {
					w.Break("%s is said to have gone over the fleet, and %s had no turn", s.Work.ID, m.Now.ID)
				}
			})
		}
	}
	if ended != 1 {
		w.Break("%s has %d endings", s.Work.ID, ended)
	}
}

// audit replays a journal and asks at each record whether it may be there.
func audit(w *handlertest.World, work string, log []rollout.Record) {
	f := w.Rules.Fleets[0].Strategy
	s := rollout.NewState()
	for _, r := range log {
		switch r.Kind {
		case rollout.KindBegun:
			if s.Stopped() || s.Closed {
				w.Break("%s: %v begun after it was stopped", work, r.Desktops)
			}
			for _, id := range r.Desktops {
				if d := s.Desktops[id]; d == nil || d.Phase != rollout.Pending {
					w.Break("%s: %s begun and not pending", work, id)
				}
			}
			running := 0
			for _, d := range s.Desktops {
				if d.Phase == rollout.Begun || d.Phase == rollout.Accepted {
					running++
				}
			}
			if most := f.AtOnce(s.Size); running+len(r.Desktops) > most {
				w.Break("%s: %d under way and %d begun, %d may be", work, running, len(r.Desktops), most)
			}
		case rollout.KindWave:
			if last := s.Wave(); last != nil {
				switch {
				case r.Wave <= last.N:
					w.Break("%s: wave %d after wave %d", work, r.Wave, last.N)
				case last.EndedAt.IsZero():
					w.Break("%s: wave %d before wave %d has ended", work, r.Wave, last.N)
				case last.N < s.Planned && f.Approval.After(last.N) && last.Approved == "":
					w.Break("%s: wave %d without approval after wave %d", work, r.Wave, last.N)
				case last.N < s.Planned && r.At.Before(last.EndedAt.Add(f.Soak)):
					w.Break("%s: wave %d while wave %d soaks", work, r.Wave, last.N)
				}
			}
			if s.Stopped() {
				w.Break("%s: wave %d after it was stopped", work, r.Wave)
			}
		}
		was := map[string]bool{}
		for id, d := range s.Desktops {
			was[id] = d.Phase == rollout.Final
		}
		s.Apply(r)
		for id, final := range was {
			if final && s.Desktops[id].Phase != rollout.Final && !(r.Kind == rollout.KindControl && r.Action == events.ActionRetry) {
				w.Break("%s: %s came back from its end by %s", work, id, r.Kind)
			}
		}
	}
}

func TestRolloutsKeepThePromiseUnderEverySchedule(t *testing.T) {
	schedules(t, 600, rollouts, "completed Completed", "accepted Reconciled", "failed RebuildFailed", "skipped Superseded", "skipped SessionSkipped",
		events.RolloutHalted.Type()+" "+events.CodeTooManyFailures, events.RolloutWaiting.Type()+" "+events.CodeWindowClosed,
		events.RolloutWaiting.Type()+" "+events.CodeSoaking, events.RolloutWaiting.Type()+" "+events.CodeApprovalAwaited,
		events.RolloutPaused.Type()+" "+events.CodePaused, events.RolloutRolledBack.Type(), events.RolloutCompleted.Type())
}
