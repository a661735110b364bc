package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/plan"
	"github.com/regild/regild/internal/rollout"
)

// An answeringECD answers each RebuildDesktops call as it is told to.
type answeringECD struct {
	ECD
	answers map[string]error // by the ids of the call; none: success
	called  []string
	within  time.Duration // how long the last call might have taken
	waits   time.Duration // how long it might have waited for its turn
}

func (e *answeringECD) Rebuild(ctx context.Context, b desktop.Batch) (a desktop.Answer, err error) {
	ids := strings.Join(b.IDs, ",")
	e.called = append(e.called, ids)
	if until, limited := ctx.Deadline(); limited {
		e.within = time.Until(until)
	}
	if latest, limited := desktop.LatestBegin(ctx); limited {
		e.waits = time.Until(latest)
	}
	for _, id := range b.IDs {
		a.Results = append(a.Results, desktop.Result{DesktopID: id, Code: "success"})
	}
	return a, e.answers[ids]
}

func (e *answeringECD) Desktops(_ context.Context, region string, ids []string) (out []desktop.Desktop, err error) {
	for _, id := range ids {
		out = append(out, desktop.Desktop{ID: id, RegionID: region, Status: desktop.Running, Connection: desktop.Disconnected, ImageID: "m-old", OS: desktop.Windows, SystemDiskGiB: 80})
	}
	return out, nil
}

func (e *answeringECD) Images(_ context.Context, region string, ids []string) (out []desktop.Image, err error) {
	for _, id := range ids {
		out = append(out, desktop.Image{ID: id, RegionID: region, Status: desktop.ImageAvailable, OS: desktop.Windows, SizeGiB: 80, Created: time.Unix(1, 0)})
	}
	return out, nil
}

func (e *answeringECD) Tags(context.Context, string, []string) (map[string]map[string]string, error) {
	return map[string]map[string]string{"ecd-1": {"site": "1"}}, nil
}

// A callsBench is the stage that calls, among the others of an invocation.
type callsBench struct {
	*testing.T
	*calls
	run   *run
	ecd   *answeringECD
	topic *testTopic
	store *watchedStore
	now   time.Time
}

var here = desktop.Place{Region: region1}

func newCallsBench(t *testing.T) *callsBench { return newCallsBenchFor(t.Context(), t) }

func newCallsBenchFor(ctx context.Context, t *testing.T) *callsBench {
	t.Helper()
	b := &callsBench{T: t, ecd: &answeringECD{answers: map[string]error{}}, topic: &testTopic{published: map[string]int{}},
		store: &watchedStore{Store: journaltest.Memory()}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h, err := New(Config{ECD: b.ecd, Topic: b.topic, Journal: b.store, Now: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler), Meter: &Meter{},
		Rules: rollout.Rules{Regions: []string{region1}, RebuildTimeout: 30 * time.Minute}, RebuildConcurrency: 1, PublishConcurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.run = h.begin(ctx, Invocation{RequestID: "i1", Source: "test"})
	t.Cleanup(b.run.end)
	b.calls = &calls{rebuilder: b.run.rebuilder, turns: map[desktop.Place]chan struct{}{here: make(chan struct{}, 1)},
		hopeless: map[refusal]bool{}, late: map[hindrance][]plan.Batch{}, tooOldIn: map[string]bool{}}
	return b
}

// job adds a request that may begin these desktops, as an owner of calls.
func (b *callsBench) job(id string, ids ...string) *job {
	b.Helper()
	j, _ := b.run.jobs.add(kindRequest, id)
	if err := b.run.jobs.open(j); err != nil {
		b.Fatal(err)
	}
	b.note(j, rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: id, Desktops: ids, Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}}})
	j.decision = decision{made: true, at: b.now, Decision: rollout.Decision{Begin: ids}}
	b.owners = append(b.owners, j)
	return j
}

func (b *callsBench) note(j *job, records ...rollout.Record) {
	b.Helper()
	if err := j.journal.Update(b.Context(), func(*rollout.State) []rollout.Record { return records }); err != nil {
		b.Fatal(err)
	}
}

// read notes that a desktop was read so long ago.
func (b *callsBench) read(id string, ago time.Duration) {
	list, _ := b.ecd.Desktops(b.Context(), region1, []string{id})
	b.run.rebuilder.facts.place(here).Desktops.Note(id, rollout.Read(b.now.Add(-ago), &list[0]))
}

// fails makes the next append fail.
func (b *callsBench) fails() {
	at := b.store.appends + 1
	b.store.before = func(_ context.Context, n int) error {
		if n == at {
			return errors.New("the disk is full")
		}
		return nil
	}
}

func (b *callsBench) batch(ids ...string) desktop.Batch {
	return desktop.Batch{Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}, IDs: ids}
}

// records returns what the journal has of a kind.
func (b *callsBench) records(j *job, kind rollout.Kind) (out []rollout.Record) {
	b.Helper()
	lines, _, err := b.store.Read(b.Context(), j.key(), 0)
	if err != nil {
		b.Fatal(err)
	}
	all, err := rollout.Decode(lines)
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(all, func(r rollout.Record) bool { return r.Kind != kind })
}

// A call is held back once the first of its desktops was read too long ago, whoever
// wants that one. What could not be claimed is not called, and does not count.
func TestACallIsAsOldAsTheFirstOfItsDesktopsThatWasRead(t *testing.T) {
	for name, c := range map[string]struct {
		owners [][]string
		fails  bool
		want   time.Duration
		ids    int
	}{
		"of one owner":              {owners: [][]string{{"ecd-10", "ecd-50", "ecd-30"}}, want: 50 * time.Second, ids: 3},
		"of the first of two":       {owners: [][]string{{"ecd-50"}, {"ecd-10"}}, want: 50 * time.Second, ids: 2},
		"of the second of two":      {owners: [][]string{{"ecd-10"}, {"ecd-50"}}, want: 50 * time.Second, ids: 2},
		"of one that is not called": {owners: [][]string{{"ecd-50"}, {"ecd-10"}}, fails: true, want: 10 * time.Second, ids: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCallsBench(t)
			for i, ids := range c.owners {
				b.job(fmt.Sprint("r", i), ids...)
				for _, id := range ids {
					ago, _ := time.ParseDuration(strings.TrimPrefix(id, "ecd-") + "s")
					b.read(id, ago)
				}
			}
			batch := plan.Make(wishes(b.owners)).Batches[0]
			if c.fails {
				b.fails()
			}
			readAt := b.claim(&batch, "c1")
			if got := b.now.Sub(readAt); got != c.want || len(batch.IDs) != c.ids {
				t.Errorf("read %s ago, calls %v, want %s and %d", got, batch.IDs, c.want, c.ids)
			}
			if (b.owners[0].failure() != nil) != c.fails {
				t.Errorf("the first owner: %v", b.owners[0].failure())
			}
		})
	}
}

// Seed 500368110 of the simulation: a decision rested on what was read nine minutes
// ago, and another request of the invocation had the desktop read once more since. Its
// new age let the old decision pass, and a desktop was begun while it was rebuilt.
func TestADesktopThatWasReadAgainSinceTheDecisionIsDecidedAboutAgain(t *testing.T) {
	for decided, want := range map[time.Duration]bool{30 * time.Second: false, 10 * time.Second: true, 5 * time.Second: true} {
		b := newCallsBench(t)
		j := b.job("r1", "ecd-1")
		j.decision.at = b.now.Add(-decided)
		b.read("ecd-1", 10*time.Second)
		batch := plan.Make(wishes(b.owners)).Batches[0]
		b.claim(&batch, "c1")
		if got := len(batch.IDs) == 1; got != want || b.tooOldIn[""] == want {
			t.Errorf("decided %s ago, read 10s ago: is begun %t, is read again %t, want %t and %t", decided, got, b.tooOldIn[""], want, !want)
		}
	}
}

// Nor is such a desktop put into maintenance mode, or stopped.
func TestADesktopThatWasReadAgainSinceTheDecisionIsNotTakenFromItsUsers(t *testing.T) {
	b := newCallsBench(t)
	b.read("ecd-1", 10*time.Second)
	for decided, want := range map[time.Duration]int{30 * time.Second: 0, 10 * time.Second: 1} {
		a := acting{preparer: b.run.preparer, at: here}
		got := a.withoutOld([]rollout.Act{{What: rollout.Hold, Desktops: []string{"ecd-1"}}, {What: rollout.Stop, Desktops: []string{"ecd-1"}}}, b.now.Add(-decided))
		if len(got) != 2*want {
			t.Errorf("decided %s ago: does %+v, want each of them %d times", decided, got, want)
		}
	}
}

// What was read of a desktop before its rebuild was accepted is looked at no more. Of a
// large fleet it is much.
func TestOfADesktopWhoseRebuildWasAcceptedNothingIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		kept   bool
	}{"accepted": {nil, false}, "of unknown delivery": {errors.New("no such host"), true}} {
		b := newCallsBench(t)
		b.job("r1", "ecd-1")
		b.read("ecd-1", time.Second)
		b.read("ecd-2", time.Second)
		b.ecd.answers["ecd-1"] = c.answer
		b.calls.batch(plan.Make(wishes(b.owners)).Batches[0])
		facts := b.run.rebuilder.facts.place(here).Desktops
		if _, kept := facts["ecd-1"]; kept != c.kept || len(b.ecd.called) != 1 || facts["ecd-2"].Value == nil {
			t.Errorf("%s: it is kept: %t, want %t (calls: %v, and the other: %v)", name, kept, c.kept, b.ecd.called, facts["ecd-2"].Value)
		}
	}
}

// What others wrote meanwhile has a decision made anew, and facts may be missing for it:
// then nothing is begun by it, also not the desktops that are known.
func TestNothingIsBegunByADecisionMadeAnewThatLacksFacts(t *testing.T) {
	for _, lacks := range []bool{false, true} {
		b := newCallsBench(t)
		j := b.job("r1", "ecd-1", "ecd-2")
		j.decision = decision{}
		b.run.decide(b.owners)
		if lacks {
			b.run.rebuilder.facts.forget(here, "ecd-2")
		}
		j.journal.Look(func(s *rollout.State) { b.redecide(j, s) })
		want := []string{"ecd-1", "ecd-2"}
		if lacks {
			want = nil
		}
		if !slices.Equal(j.decision.Begin, want) || b.tooOldIn[""] != lacks || !j.decision.raced {
			t.Errorf("lacks facts (%t): begins %v, is read again: %t", lacks, j.decision.Begin, b.tooOldIn[""])
		}
	}
}

// A desktop that another instance has begun meanwhile is under way: nothing is written
// down of it that this instance made up before.
func TestWhatAnotherInstanceHasBegunIsNotSettled(t *testing.T) {
	b := newCallsBench(t)
	j := b.job("r1", "ecd-1", "ecd-2")
	b.note(j, rollout.Record{Kind: rollout.KindBegun, Call: "c0", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
	late := func(id string) []rollout.Group {
		return []rollout.Group{{Status: events.StatusDeferred, Code: events.CodeTimeShort, Until: b.now, Message: "late", Desktops: []string{id}}}
	}
	n := b.store.appends
	b.settle(j, late("ecd-1"))
	if b.store.appends != n || len(b.records(j, rollout.KindSettled)) != 0 {
		t.Errorf("written: %v, want nothing", b.records(j, rollout.KindSettled))
	}
	b.settle(j, append(late("ecd-1"), late("ecd-2")...))
	got := b.records(j, rollout.KindSettled)
	if len(got) != 1 || len(got[0].Outcomes) != 1 || !slices.Equal(got[0].Outcomes[0].Desktops, []string{"ecd-2"}) {
		t.Errorf("written: %+v, want of the other desktop alone", got)
	}
	b.write(j, "c0", []ending{{ids: []string{"ecd-1"}, group: rollout.Group{Status: events.StatusAccepted, Code: events.CodeSuccess}}})
	j.fail(errors.New("something else"))
	b.out.writeRest()
	if want := map[string]int{"r1/ecd-1/accepted": 1, "r1/ecd-2/deferred": 1}; !maps.Equal(b.topic.published, want) {
		t.Errorf("told %v, want what was written down", b.topic.published)
	}
}

// A job does not go on in an invocation in which its journal does not take how something ended.
func TestAJobEndsWhoseJournalTakesNoOutcome(t *testing.T) {
	for name, do := range map[string]func(b *callsBench, j *job){
		"settled": func(b *callsBench, j *job) {
			b.settle(j, []rollout.Group{{Status: events.StatusRefused, Code: events.CodeConflictingTargets, Desktops: []string{"ecd-1"}}})
		},
		"ended": func(b *callsBench, j *job) {
			b.write(j, "c1", []ending{{ids: []string{"ecd-1"}, group: rollout.Group{Status: events.StatusAccepted, Code: events.CodeSuccess}}})
		},
		"closed": func(b *callsBench, j *job) {
			b.run.conclude([]*job{j})
		},
		"saved": func(b *callsBench, j *job) {
			b.saving(j).save(rollout.Act{What: rollout.Save, N: 1, Desktops: []string{"ecd-1"}}, "c1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCallsBench(t)
			j := b.job("r1", "ecd-1")
			switch name {
			case "ended":
				b.note(j, rollout.Record{Kind: rollout.KindBegun, Call: "c1", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
			case "closed":
				b.note(j, rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.StatusRefused, Code: events.CodeDesktopNotFound, Desktops: []string{"ecd-1"}}}})
			}
			b.fails()
			do(b, j)
			if j.failure() == nil || len(b.run.jobs.live()) != 0 {
				t.Error("it goes on")
			}
		})
	}
}

// What ended was closed by another instance first: this one has it looked at by a tick at
// once, and does not put it back as if something had failed.
func TestAJobThatAnotherInstanceClosesIsLookedAtByATick(t *testing.T) {
	b := newCallsBench(t)
	j := b.job("r1", "ecd-1")
	b.note(j, rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.StatusRefused, Code: events.CodeDesktopNotFound, Desktops: []string{"ecd-1"}}}})
	other, err := openView(t.Context(), logOf{b.store, j.key(), "other", time.Now}, nil, rollout.NewState)
	if err == nil {
		err = other.Update(t.Context(), func(*rollout.State) []rollout.Record {
			return []rollout.Record{{Kind: rollout.KindClosed, Digest: "d"}}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.run.conclude([]*job{j})
	if j.failure() != nil || !j.decision.Next.Equal(b.now) {
		t.Errorf("failed with %v, next at %s, want now", j.failure(), j.decision.Next)
	}
	if n := len(b.records(j, rollout.KindClosed)); n != 1 {
		t.Errorf("it is closed %d times", n)
	}
}

// Each desktop's outcome names the request of ECD that answered for it.
func TestEachEndingKeepsTheIDOfItsOwnCall(t *testing.T) {
	b := newCallsBench(t)
	j := b.job("r1", "ecd-1", "ecd-2", "ecd-3")
	b.note(j, rollout.Record{Kind: rollout.KindBegun, Call: "c1", Desktops: []string{"ecd-1", "ecd-2", "ecd-3"}, From: []string{"m-old", "m-old", "m-old"}})
	var endings []ending
	for i, requestID := range []string{"req-1", "req-2", "req-2"} {
		endings = append(endings, ending{ids: []string{fmt.Sprint("ecd-", i+1)}, requestID: requestID, group: rollout.Group{Status: events.StatusAccepted, Code: events.CodeSuccess}})
	}
	b.write(j, "c1", endings)
	got := b.records(j, rollout.KindEnded)
	if len(got) != 2 || got[0].RequestID != "req-1" || got[1].RequestID != "req-2" || len(got[0].Outcomes) != 1 || len(got[1].Outcomes) != 2 {
		t.Errorf("got %+v", got)
	}
}

// Of a call that failed in a way that nobody foresaw it is not known whether it was
// carried out, as of a desktop that the answer says nothing of.
func TestWhatAnAnswerDoesNotSayIsNotKnown(t *testing.T) {
	b := newCallsBench(t)
	b.ecd.answers["ecd-1,ecd-2"] = errors.New("no such host")
	got := b.call(t.Context(), b.batch("ecd-1", "ecd-2"), 0)
	if len(got) != 1 || len(got[0].ids) != 2 || got[0].group.Code != events.CodeOutcomeUnknown || !strings.Contains(got[0].group.Message, "no such host") {
		t.Errorf("got %+v, want that nothing is known of both", got)
	}
	got = b.calls.read(b.batch("ecd-1", "ecd-2"), desktop.Answer{Results: []desktop.Result{{DesktopID: "ecd-1"}}})
	if len(got) != 1 || len(got[0].ids) != 2 || got[0].group.Code != events.CodeOutcomeUnknown || !strings.Contains(got[0].group.Message, "does not mention") {
		t.Errorf("got %+v, want that the answer mentions neither", got)
	}
}

// A call that was refused is made again in parts. Only if every single desktop met the
// same refusal it is about all, and further calls are not taken apart; and only if every
// single one was denied nothing more is begun in the account.
func TestWhatTheEndingsOfACallTakenApartMeanForOthers(t *testing.T) {
	refused := func(code string) *desktop.CallError {
		return &desktop.CallError{Call: "RebuildDesktops", Code: code, Delivery: desktop.Refused, Message: code}
	}
	denied := &desktop.CallError{Call: "RebuildDesktops", Code: "Forbidden", Delivery: desktop.Forbidden, Message: "not for ecd-1, ecd-2, ecd-3 and ecd-4"}
	const all, left, right = "ecd-1,ecd-2,ecd-3,ecd-4", "ecd-1,ecd-2", "ecd-3,ecd-4"
	each := func(e error, calls ...string) map[string]error {
		out := map[string]error{}
		for _, call := range calls {
			out[call] = e
		}
		return out
	}
	with := func(answers map[string]error, call string, e error) map[string]error {
		answers[call] = e
		return answers
	}
	for name, c := range map[string]struct {
		answers           map[string]error
		hopeless, stopped bool
	}{
		"all of them refused":             {answers: each(refused("Bad"), all, left, right, "ecd-1", "ecd-2", "ecd-3", "ecd-4"), hopeless: true},
		"one half refused":                {answers: each(refused("Bad"), all, left, "ecd-1", "ecd-2")},
		"one refused":                     {answers: each(refused("Bad"), all, left, "ecd-1")},
		"all, one otherwise":              {answers: with(each(refused("Bad"), all, left, right, "ecd-1", "ecd-2", "ecd-3"), "ecd-4", refused("Other"))},
		"none by itself":                  {answers: each(refused("Bad"), all)},
		"all in a status that will pass":  {answers: each(refused(rollout.IncorrectDesktopStatus), all, left, right, "ecd-1", "ecd-2", "ecd-3", "ecd-4")},
		"all of them denied":              {answers: each(denied, all, left, right, "ecd-1", "ecd-2", "ecd-3", "ecd-4"), stopped: true},
		"one half denied":                 {answers: each(denied, all, left, "ecd-1", "ecd-2")},
		"denied together, not one by one": {answers: each(denied, all, left, right)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCallsBench(t)
			b.concern = concerns{}
			b.ecd.answers = c.answers
			endings := b.send(t.Context(), b.batch("ecd-1", "ecd-2", "ecd-3", "ecd-4"), 0)
			n := 0
			for _, e := range endings {
				n += len(e.ids)
			}
			e, _ := errors.AsType[*desktop.CallError](c.answers[all])
			if got := b.isHopeless(refusal{b.batch().Spec, e.Code}); got != c.hopeless || n != 4 {
				t.Errorf("%d desktops ended, and the refusal is about all: %t", n, got)
			}
			if stopped := b.perms.stopped("") != nil; stopped != c.stopped {
				t.Errorf("the account is stopped: %t", stopped)
			}
		})
	}
}

// A freeze holds a desktop back unless all requests that want it have consented, in
// whatever order they came.
func TestAFreezeIsPassedOnlyIfAllWhoWantTheDesktopConsent(t *testing.T) {
	for _, c := range []struct{ first, second, passes bool }{{true, true, true}, {true, false, false}, {false, true, false}, {false, false, false}} {
		b := newCallsBench(t)
		for i, consents := range []bool{c.first, c.second} {
			op := rollout.Operation{ID: fmt.Sprint("r", i), Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}}
			if consents {
				op.Consents = []string{events.ConsentFreeze}
			}
			j, _ := b.run.jobs.add(kindRequest, op.ID)
			if err := b.run.jobs.open(j); err != nil {
				t.Fatal(err)
			}
			b.note(j, rollout.Record{Kind: rollout.KindOpened, Operation: &op})
			j.decision.Begin = op.Desktops
			b.owners = append(b.owners, j)
		}
		if got := b.concerns(b.owners).of(here, "ecd-1").passes; got != c.passes {
			t.Errorf("consents %t and %t: passes %t", c.first, c.second, got)
		}
	}
}

// Each desktop that is held back right before the call is told by which freeze, and
// waits for the end of that one.
func TestEachDesktopWaitsForTheFreezeThatHoldsIt(t *testing.T) {
	b := newCallsBench(t)
	b.concern = concerns{here: {}}
	var log []rollout.Record
	for i, fleet := range []string{"a", "b"} {
		log = append(log, rollout.Record{Kind: rollout.KindFreeze, At: b.now, Name: "f" + fleet, Who: "ada", Fleets: []string{fleet}, Until: b.now.Add(time.Duration(i+1) * time.Hour)})
		for k := range 2 {
			b.concern[here][fmt.Sprint("ecd-", fleet, k)] = &concern{fleets: []string{fleet}}
		}
	}
	lines, err := rollout.Encode(log)
	if err == nil {
		_, err = b.store.Append(t.Context(), freezeKey(), 0, lines)
	}
	if err != nil {
		t.Fatal(err)
	}
	rest, held := b.unfrozen(t.Context(), b.batch("ecd-a0", "ecd-b0", "ecd-a1", "ecd-b1", "ecd-c"))
	if !slices.Equal(rest.IDs, []string{"ecd-c"}) || len(held) != 2 {
		t.Fatalf("calls %v, holds %+v, want two groups", rest.IDs, held)
	}
	for i, want := range [][]string{{"ecd-a0", "ecd-a1"}, {"ecd-b0", "ecd-b1"}} {
		if g := held[i].group; !slices.Equal(held[i].ids, want) || !g.Until.Equal(log[i].Until) || !strings.Contains(g.Message, log[i].Name) {
			t.Errorf("group %d: %v waits until %s: %s", i, held[i].ids, g.Until, g.Message)
		}
	}
}

// What was read of a desktop grew old while its call waited for its turn: it is not
// called, and is read again in the same invocation.
func TestWhatGrewOldBeforeItsTurnIsReadAgain(t *testing.T) {
	b := newCallsBench(t)
	got := b.inTurn(t.Context(), b.batch("ecd-1"), b.now.Add(-2*factsAge))
	if len(got) != 1 || got[0].group.Code != events.CodeTimeShort || len(b.ecd.called) != 0 || !b.tooOldIn[""] {
		t.Errorf("got %+v, called %v, read again %v", got, b.ecd.called, b.tooOldIn)
	}
}

// A call may wait for its turn in the adapter too, as long as what was read of the
// desktop is not too old. Then it is read again.
func TestACallWaitsForTheAdaptersTurnUntilTheFactsAreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCallsBench(t)
		b.concern = concerns{}
		b.ecd.answers["ecd-1"] = &desktop.CallError{Call: "RebuildDesktops", Delivery: desktop.NotSent, Err: desktop.ErrTooLate}
		got := b.inTurn(t.Context(), b.batch("ecd-1"), b.now.Add(-factsAge/3))
		if len(got) != 1 || got[0].group.Code != events.CodeTimeShort || !b.tooOldIn[""] {
			t.Errorf("got %+v, read again %v", got, b.tooOldIn)
		}
		if want := factsAge - factsAge/3; b.ecd.waits != want {
			t.Errorf("it may wait for %s, want %s", b.ecd.waits, want)
		}
	})
}

// Others may ask ECD what became of a call as soon as CallLimit is over: it must not be
// under way then, however long the invocation may take, nor when that ends.
func TestACallEndsWithinItsLimitAndTheInvocation(t *testing.T) {
	for _, limit := range []time.Duration{time.Hour, rollout.CallLimit / 2} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		b := newCallsBenchFor(ctx, t)
		b.concern = concerns{}
		b.job("r1", "ecd-1")
		b.read("ecd-1", 0)
		b.calls.batch(plan.Make(wishes(b.owners)).Batches[0])
		if len(b.ecd.called) != 1 || b.ecd.within <= 0 || b.ecd.within > min(limit, rollout.CallLimit) {
			t.Errorf("of %s a call may take %s", limit, b.ecd.within)
		}
	}
}

// A desktop whose tags were read and that has none is told from one whose tags were not read.
func TestTheTagsOfADesktopThatHasNoneAreKnown(t *testing.T) {
	list := []desktop.Desktop{{ID: "ecd-1"}, {ID: "ecd-2"}}
	if err := addTags(t.Context(), &answeringECD{}, "cn-hangzhou", list); err != nil {
		t.Fatal(err)
	}
	if list[0].Tags["site"] != "1" || list[1].Tags == nil || len(list[1].Tags) != 0 {
		t.Errorf("got %v and %v", list[0].Tags, list[1].Tags)
	}
}

// saving is what is being done about the data disks of a job's desktops.
func (b *callsBench) saving(j *job) *acting {
	return &acting{preparer: b.run.preparer, Services: Services{Saver: &countingSaver{}}, within: b.Context(), job: j, at: here, call: "c1"}
}
