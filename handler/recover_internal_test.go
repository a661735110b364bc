package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// sentBodies is a queue that keeps what is sent.
type sentBodies []string

func (s *sentBodies) Send(_ context.Context, body []byte, _ time.Duration) error {
	*s = append(*s, string(body))
	return nil
}

func (s *sentBodies) SendEach(_ context.Context, body []byte, delays ...time.Duration) error {
	for range delays {
		*s = append(*s, string(body))
	}
	return nil
}

// A job that cannot go on is logged with the message by which it came: what is sent back
// has another id, and an audit goes on with this one.
func TestAJobThatFailsIsLoggedWithItsMessage(t *testing.T) {
	b := newCallsBench(t)
	var log bytes.Buffer
	var queue sentBodies
	rc := b.run.decider.recovery
	rc.log = slog.New(slog.NewJSONHandler(&log, nil))
	rc.sched.queue, rc.sched.hasQueue = &queue, true
	for id, message := range map[string]string{"r1": "8A3F", "r2": ""} {
		j := b.job(id, "ecd-1")
		if j.message.MessageID = message; message != "" {
			j.message.Raw = []byte("{}")
		}
		log.Reset()
		rc.fail(j, errors.New("the disk is full"))
		for _, want := range []string{`"msg":"job failed"`, `"job":"` + id + `"`, `"message_id":"` + message + `"`, "the disk is full"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log says %s, want %s in it", log.String(), want)
			}
		}
	}
	if len(queue) != 2 {
		t.Errorf("sent back %s, want both", queue)
	}
}

// Without a journal only the invocation knows what was begun for a job that fails: a tick
// carries it. Where there is no queue either, the delivery has to come again.
func TestWithoutAJournalWhatAFailedJobKnowsTravelsInATick(t *testing.T) {
	for _, hasQueue := range []bool{true, false} {
		b := newCallsBench(t)
		var queue sentBodies
		rc := b.run.decider.recovery
		j := b.job("r1", "ecd-1")
		b.note(j, rollout.Record{Kind: rollout.KindBegun, Call: "c1", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		j.message.Raw = []byte("{}")
		rc.hasJournal, rc.hasQueue, rc.sched.queue = false, hasQueue, &queue
		rc.fail(j, errors.New("the disk is full"))
		if !hasQueue {
			if len(queue) != 0 || rc.again.err() == nil {
				t.Errorf("without a queue: sent back %s, delivered again for %v", queue, rc.again.err())
			}
			continue
		}
		if len(queue) != 1 || !strings.Contains(queue[0], `\"kind\":\"begun\"`) {
			t.Errorf("sent back %s, want a tick that says what was begun", queue)
		}
	}
}

// A readStore counts how often logs of fleets are read.
type readStore struct {
	journal.Store
	fleets int
}

func (s *readStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if strings.HasPrefix(key, kindFleet+"/") {
		s.fleets++
	}
	return s.Store.Read(ctx, key, from)
}

func TestOnlyWhatIsWantedAndCanGoOnIsSupervised(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	store := &readStore{Store: b.store}
	js := &jobs{invocation: b.invocation, store: store, cache: &cache{}, byName: map[string]*job{}}
	j, _ := js.add(kindRollout, "v1/office")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	err := j.journal.Update(t.Context(), func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office"}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	fs := &fleets{invocation: b.invocation, jobs: js, recovery: &recovery{invocation: b.invocation, sched: &scheduler{invocation: b.invocation}, again: &redeliveries{}}}
	supervise := func(wanted bool) int {
		store.fleets = 0
		fs.supervise(func(*job) bool { return wanted })
		return store.fleets
	}
	if n := supervise(false); n != 0 {
		t.Errorf("the log of its fleet was read %d times though it is not wanted", n)
	}
	if n := supervise(true); n != 1 || j.failure() == nil {
		t.Errorf("the log of its fleet was read %d times, and it fails by %v, want that it is not in that log", n, j.failure())
	}
	if n := supervise(true); n != 0 {
		t.Errorf("the log of its fleet was read %d times though it cannot go on", n)
	}
}

// A brokenStore cannot read as often as it says.
type brokenStore struct {
	journal.Store
	broken int
}

func (s *brokenStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if s.broken--; s.broken >= 0 {
		return nil, 0, errors.New("broken")
	}
	return s.Store.Read(ctx, key, from)
}

// What an earlier rollout uses is not known if the end of its journal cannot be read. One
// that is over is no job, though an earlier build has not written how it came out.
func TestWhatAnEarlierRolloutUsesIsKnown(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	js := &jobs{invocation: b.invocation, store: b.store, cache: &cache{}, byName: map[string]*job{}}
	j, _ := js.add(kindRollout, "v1/office")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	err := j.journal.Update(t.Context(), func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office"}}, {Kind: rollout.KindClosed},
			{Kind: rollout.KindPublished, Events: []string{"started/0", "completed/1"}}}
	})
	if err != nil || !j.over() {
		t.Fatalf("%v, over %t", err, j.over())
	}
	js.drop(j)
	fs := &fleets{invocation: b.invocation, jobs: js}
	log := rollout.FleetLog{{Operation: rollout.Operation{ID: "v1/office"}}, {Operation: rollout.Operation{ID: "v2/office"}}}
	js.store = &brokenStore{b.store, 1}
	if _, err := fs.stillOpen(log); err == nil {
		t.Error("it is followed though its end could not be read")
	}
	if open, err := fs.stillOpen(log); err != nil || len(open) != 1 {
		t.Errorf("got %v, %v; want that it is looked at", open, err)
	}
	if err := fs.follow("v1/office", "v2/office", &rollout.Others{}); err != nil || len(js.all()) != 0 {
		t.Errorf("got %v and %d jobs", err, len(js.all()))
	}
}

// A slowStore takes a second for each read, and has nothing.
type slowStore struct{ journal.Store }

func (slowStore) Read(context.Context, string, int64) ([]byte, int64, error) {
	time.Sleep(time.Second) //nolint:forbidigo // time of the bubble, which takes none
	return nil, 0, nil
}

// A new instance reads the ends of a fleet's earlier rollouts some at once, of those that may
// still have desktops under way, and says of each in its place whether it is still open.
func TestEndsOfEarlierRolloutsAreReadSomeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench(t, 0, 1, nil)
		js := &jobs{invocation: b.invocation, store: slowStore{}, cache: &cache{}, byName: map[string]*job{}}
		fs := &fleets{invocation: b.invocation, jobs: js}
		var log rollout.FleetLog
		for i := range 60 { // the first ten were superseded long ago, the last is the latest
			at := fs.asOf()
			if i < 10 {
				at = at.Add(-busyLimit - 1)
			} else if i == 10 {
				at = at.Add(-busyLimit)
			}
			log = append(log, rollout.Entry{Operation: rollout.Operation{ID: fmt.Sprintf("v%d/office", i)}, At: at})
		}
		js.cache.noteOver("rollout/v58/office")
		start := time.Now()
		open, err := fs.stillOpen(log)
		if err != nil || len(open) != 50 || open[0] != "v57/office" || open[49] != "v8/office" {
			t.Errorf("open are %d, %v: %v", len(open), err, open)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("50 reads of a second each took %s, want 7 seconds, with %d at once", took, sweepWorkers)
		}
	})
}

// A release "request" over a fleet "r1" has a rollback that is called as the one of request r1 is
// with its kind: that this one has ended says nothing of that.
func TestTheEndOfARequestsRollbackIsNotARollouts(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	fs := &fleets{invocation: b.invocation, jobs: &jobs{invocation: b.invocation, store: journaltest.Memory(), cache: &cache{}, byName: map[string]*job{}}}
	fs.jobs.cache.noteOver(kindRequest + "/r1/rollback")
	if over, err := fs.endedAndPublished("request/r1/rollback"); over || err != nil {
		t.Errorf("got %t %v", over, err)
	}
}

// Of the rollouts that it saw end an instance remembers so many.
func TestHowManyEndedRolloutsAreRemembered(t *testing.T) {
	c := &cache{}
	for i := range maxOver + 1 {
		c.noteOver(strconv.Itoa(i))
	}
	if len(c.over) != 1 || !c.isOver(strconv.Itoa(maxOver)) {
		t.Errorf("%d are remembered, want the last alone", len(c.over))
	}
}

// What is opened more than a day after it was entered halts, if it is a rollout.
func TestWhatIsOpenedLateHalts(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	fs := &fleets{invocation: b.invocation}
	for _, c := range []struct {
		fleet string
		age   time.Duration
		halts bool
	}{{"office", reopen, false}, {"office", reopen + 1, true}, {"", reopen + 1, false}} {
		e := rollout.Entry{Operation: rollout.Operation{ID: "v1/office", Fleet: c.fleet}, At: fs.asOf().Add(-c.age)}
		if got := fs.late(e); (len(got) > 0) != c.halts {
			t.Errorf("%q, %s after its entry: got %v, want that it halts: %t", c.fleet, c.age, got, c.halts)
		}
	}
}
