package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

func keep(t *testing.T, s journal.Store, kind string, op rollout.Operation) {
	t.Helper()
	lines, err := rollout.Encode([]rollout.Record{{Kind: rollout.KindOpened, At: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Operation: &op}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), journal.Key(kind, op.ID), 0, lines); err != nil {
		t.Fatal(err)
	}
}

// Where doors are set, the plain id may be somebody else's: it must not be taken for
// what this command has sent.
func TestARequestOfSomebodyElseIsNotTakenForOurs(t *testing.T) {
	x := &sender{door: "queues/regild-requests", message: sendFlags{source: "regild"}}
	request := func(id string, via *events.Via) rollout.Operation {
		return rollout.Operation{ID: id, Desktops: []string{"ecd-1"}, Via: via}
	}
	for name, tt := range map[string]struct {
		has  rollout.Operation
		want string
	}{
		"none":                  {request("other", nil), ""},
		"ours":                  {request("t1", &events.Via{Door: x.door, Source: "regild"}), "t1"},
		"of an earlier build":   {request("t1", nil), "t1"},
		"through another door":  {request("t1", &events.Via{Door: "queues/helpdesk", Source: "regild"}), ""},
		"from another source":   {request("t1", &events.Via{Door: x.door, Source: "/helpdesk"}), ""},
		"ours, kept apart":      {request(rollout.Apart("t1", x.door, "regild"), &events.Via{Door: x.door, Source: "regild", RequestID: "t1"}), "t1@bf42a9fce617348b"},
		"another's, kept apart": {request(rollout.Apart("t1", "queues/helpdesk", "regild"), &events.Via{Door: "queues/helpdesk", Source: "regild"}), ""},
	} {
		store := journaltest.Memory()
		keep(t, store, operator.Request, tt.has)
		s, err := x.opened(t.Context(), store, "t1", "")
		got := ""
		if s != nil {
			got = s.Operation.ID
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

// A person may leave out the mark of a request that is kept apart by its door: the function
// does not find it without.
func TestAControlNamesARequestAsTheFunctionDoes(t *testing.T) {
	store := journaltest.Memory()
	own := rollout.Apart("t1", "queues/helpdesk", "/helpdesk")
	keep(t, store, operator.Request, rollout.Operation{ID: own, Desktops: []string{"ecd-1"}})
	x := &sender{message: sendFlags{action: events.ActionAbort, request: "t1"}}
	if touch, _, err := x.touch(t.Context(), store, operator.Request, "t1"); err != nil || touch.Refused != "" || x.message.request != own {
		t.Errorf("got %q, %+v, %v; want %q", x.message.request, touch, err, own)
	}
}

// An approval is for the wave that was shown: one that the queue holds back, so that somebody sends another, opened
// the next gate when it came at last.
func TestAnApprovalNamesTheWaveThatWasShown(t *testing.T) {
	wave := func(n int) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindWave, Wave: n, Waves: 3, Desktops: []string{fmt.Sprintf("ecd-%d", n)}}, {Kind: rollout.KindWaveEnded, Wave: n, At: time.Unix(1, 0)}}
	}
	waits := func(code string) rollout.Record {
		return rollout.Record{Kind: rollout.KindWaiting, Reason: &events.Reason{Code: code}, Rings: []string{"pilots"}}
	}
	approved := rollout.Record{Kind: rollout.KindControl, Action: events.ActionApprove, Who: "ada"}
	for name, c := range map[string]struct {
		records     []rollout.Record
		asked, want int
	}{
		"no wave yet":               {nil, 0, 0},
		"a wave under way":          {wave(1)[:1], 0, 0},
		"a wave that is finished":   {append(wave(1), waits(events.CodeApprovalAwaited)), 0, 1},
		"another is meant":          {wave(1), 2, 2},
		"approved by somebody":      {append(wave(1), approved), 0, 0},
		"the next":                  {append(append(wave(1), approved), wave(2)...), 0, 2},
		"it waits for other fleets": {append(wave(1), waits(events.CodeRingAwaited)), 0, 0},
	} {
		store := journaltest.Memory()
		keep(t, store, operator.Rollout, rollout.Operation{ID: "r1/office", Fleet: "office", ReleaseID: "r1"})
		lines, err := rollout.Encode(c.records)
		if err != nil {
			t.Fatal(err)
		}
		key := journal.Key(operator.Rollout, "r1/office")
		_, at, err := store.Read(t.Context(), key, 0)
		if err == nil && len(lines) > 0 {
			_, err = store.Append(t.Context(), key, at, lines)
		}
		if err != nil {
			t.Fatal(err)
		}
		x := &sender{message: sendFlags{action: events.ActionApprove, rollout: "r1/office", wave: c.asked}}
		if _, _, err := x.touch(t.Context(), store, operator.Rollout, "r1/office"); err != nil || x.message.wave != c.want {
			t.Errorf("%s: got wave %d, %v; want %d", name, x.message.wave, err, c.want)
		}
	}
}

// Which rollouts a release has is known by its fleets. Where they are not known, some
// looks in a row must find the same ones: a late one would not be waited for.
func TestAReleaseIsTakenOnceAllOfItsRolloutsAreThere(t *testing.T) {
	store := journaltest.Memory()
	var told strings.Builder
	x := &sender{settings: &settings{w: world{err: &told}}, message: sendFlags{release: "r1"}, pacing: pacing{interval: leastInterval}}
	known, guessed := x.rolloutsOf(store, []string{"office", "lab"}), x.rolloutsOf(store, nil)
	look := func(name string, at func() (found, error), rollouts int, missing string) {
		t.Helper()
		has, err := at()
		if err != nil || len(has.names) != rollouts || has.missing != missing {
			t.Errorf("%s: got %d rollouts, missing %q, %v; want %d, %q", name, len(has.names), has.missing, err, rollouts, missing)
		}
	}
	byFleets := func() (found, error) { return known(t.Context()) }
	byLooks := func() (found, error) { return guessed(t.Context()) }
	look("nothing yet", byFleets, 0, "nothing in the journal shows that the function took it")
	look("nothing yet", byLooks, 0, "nothing in the journal shows that the function took it")
	keep(t, store, operator.Rollout, rollout.Operation{ID: "r1/office", Fleet: "office", ReleaseID: "r1"})
	look("one of two", byFleets, 1, "it has no rollout over lab, but one over office")
	for range settledLooks - 1 {
		look("one", byLooks, 1, "more rollouts of it may open")
	}
	keep(t, store, operator.Rollout, rollout.Operation{ID: "r1/lab", Fleet: "lab", ReleaseID: "r1"})
	look("both", byFleets, 2, "")
	for range settledLooks - 1 {
		look("a late one", byLooks, 2, "more rollouts of it may open")
	}
	if told.Len() > 0 {
		t.Errorf("told %q too early", told.String())
	}
	look("settled", byLooks, 2, "")
	if want := "which fleets follow it is not known here; it has rollouts over lab, office\n"; told.String() != want {
		t.Errorf("told %q, want %q", told.String(), want)
	}
}

// Whoever waits hears at once that the journal cannot be read, and not at each look.
func TestAWaitSaysThatTheJournalCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		fails := 3
		p := &pacing{interval: time.Second, timeout: time.Minute, trouble: world{err: &told}.trouble}
		err := retrying{nil, p}.again(t.Context(), func() error {
			if fails--; fails < 0 {
				return nil
			}
			return &desktop.CallError{Call: "GetObject", Delivery: desktop.NotSent, Message: "no such host"}
		})
		if want := "GetObject: not sent: no such host; it is tried again\n"; err != nil || told.String() != want {
			t.Errorf("got %v, told %q, want %q", err, told.String(), want)
		}
	})
}

// Whoever waited in vain hears whether the journal could be read at all.
func TestAWaitThatTimedOutSaysWhyTheJournalCouldNotBeRead(t *testing.T) {
	p := pacing{timeout: time.Second}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTimedOut)
	for want, err := range map[string]error{
		"r1 did not begin within 1s (--timeout)": errTimedOut,
		"r1 did not begin within 1s (--timeout); the last look failed: listing: GetObject: not sent: no such host": fmt.Errorf("listing: %w",
			&desktop.CallError{Call: "GetObject", Delivery: desktop.NotSent, Message: "no such host"}),
	} {
		got := p.outcomeOf(ctx, err, "r1 did not begin")
		if end, ok := errors.AsType[endError](got); !ok || end.code != exitTimedOut || got.Error() != want {
			t.Errorf("got %v, want %q and exit code %d", got, want, exitTimedOut)
		}
	}
}
