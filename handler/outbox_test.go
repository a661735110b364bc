package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A testTopic counts what it takes, and how many publishes are under way at once.
type testTopic struct {
	takes func(ctx context.Context, id string) error // nil: everything, at once

	mu        sync.Mutex
	published map[string]int
	now, most int
}

func (p *testTopic) Publish(ctx context.Context, body []byte, _ string) error {
	_, rest, _ := strings.Cut(string(body), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	p.mu.Lock()
	p.now++
	p.most = max(p.most, p.now)
	p.mu.Unlock()
	var err error
	if p.takes != nil {
		err = p.takes(ctx, id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now--
	if err == nil {
		p.published[id]++
	}
	return err
}

// An outboxBench is an outbox, and a job with a journal.
type outboxBench struct {
	*testing.T
	*outbox
	topic *testTopic
	store *watchedStore
	job   *job
	ids   []string
}

// newOutboxBench makes a job that has refused n desktops, and published nothing yet.
func newOutboxBench(t *testing.T, n, concurrency int, takes func(ctx context.Context, id string) error) *outboxBench {
	t.Helper()
	b := &outboxBench{T: t, topic: &testTopic{takes: takes, published: map[string]int{}}, store: &watchedStore{Store: journaltest.Memory()}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	i := newInvocation(ctx, Config{Journal: b.store, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, Invocation{RequestID: "i1", Source: "test"})
	b.outbox = newOutbox(i, b.topic, concurrency, newTally(), &redeliveries{})
	t.Cleanup(func() { b.close(); i.cancel() })
	for k := range n {
		b.ids = append(b.ids, fmt.Sprintf("ecd-%04d", k))
	}
	b.job = &job{name: "request/r1", kind: kindRequest, id: "r1"}
	jobs := &jobs{invocation: i, store: b.store, cache: &cache{}}
	if err := jobs.open(b.job); err != nil {
		t.Fatal(err)
	}
	b.write(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r1", Desktops: b.ids, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
		rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.StatusRefused, Code: events.CodeDesktopNotFound, Desktops: b.ids}}})
	return b
}

func (b *outboxBench) write(records ...rollout.Record) {
	b.Helper()
	if err := b.job.journal.Update(b.Context(), func(*rollout.State) []rollout.Record { return records }); err != nil {
		b.Fatal(err)
	}
}

// unpublished returns how many desktops have outcomes that are not published, and
// how many events are not, as the journal says.
func (b *outboxBench) unpublished() (desktops, events int) {
	b.Helper()
	v, err := openView(b.Context(), logOf{b.store, b.job.key(), "reader", time.Now}, nil, rollout.NewState)
	if err != nil {
		b.Fatal(err)
	}
	v.Look(func(s *rollout.State) { desktops, events = len(s.Fresh()), len(s.UnpublishedEvents) })
	return desktops, events
}

func TestEachOutcomeIsPublishedOnceAndWrittenDown(t *testing.T) {
	b := newOutboxBench(t, 50, 4, nil)
	appends := b.store.appends
	b.add(b.job, b.ids)
	b.publishOutcomes([]*job{b.job})
	b.publishOutcomes([]*job{b.job})
	b.writeRest()
	for id, n := range b.topic.published {
		if n != 1 {
			t.Errorf("%s was published %d times", id, n)
		}
	}
	if len(b.topic.published) != 50 {
		t.Errorf("%d outcomes were published, want 50", len(b.topic.published))
	}
	if n, _ := b.unpublished(); n != 0 {
		t.Errorf("%d outcomes are unpublished by the journal, want none", n)
	}
	if n := b.store.appends - appends; n != 1 {
		t.Errorf("it took %d appends, want 1", n)
	}
}

func TestNoMoreIsPublishedAtOnceThanIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench(t, 20, 3, func(context.Context, string) error { <-time.After(time.Second); return nil })
		b.publishOutcomes([]*job{b.job})
		if b.topic.most != 3 {
			t.Errorf("%d were under way at once, want 3", b.topic.most)
		}
		if len(b.topic.published) != 20 {
			t.Errorf("%d are published when it is said that all are, want 20", len(b.topic.published))
		}
		b.close()
	})
}

func TestWhatIsNotTakenStaysUnpublished(t *testing.T) {
	b := newOutboxBench(t, 10, 2, func(_ context.Context, id string) error {
		switch id {
		case "r1/ecd-0003/refused":
			return errors.New("busy")
		case "r1/ecd-0004/refused":
			panic("a bug")
		}
		return nil
	})
	b.publishOutcomes([]*job{b.job})
	b.writeRest()
	if n, _ := b.unpublished(); n != 2 {
		t.Errorf("%d outcomes are unpublished by the journal, want the 2 that were not taken", n)
	}
	if err := b.again.err(); err != nil {
		t.Errorf("the payload is to be delivered again (%v), though the journal knows of both", err)
	}
}

func TestWhatNoJournalKnowsOfIsDeliveredAgain(t *testing.T) {
	refusal := item{event: events.NewRefused(events.CodeMalformedMessage, "no JSON", []byte("x")).Event("test", time.Now())}
	t.Run("when MNS does not take it", func(t *testing.T) {
		b := newOutboxBench(t, 1, 1, func(context.Context, string) error { return errors.New("busy") })
		b.put(refusal)
		b.drain()
		if _, again := errors.AsType[*RedeliverError](b.again.err()); !again {
			t.Errorf("got %v, want a RedeliverError", b.again.err())
		}
	})
	t.Run("when time is up before its turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newOutboxBench(t, 1, 1, func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
			b.add(b.job, b.ids)
			b.put(refusal)
			b.drain()
			if n, _ := b.unpublished(); n != 1 {
				t.Errorf("%d outcomes are unpublished by the journal, want 1", n)
			}
			if _, again := errors.AsType[*RedeliverError](b.again.err()); !again {
				t.Errorf("got %v, want a RedeliverError", b.again.err())
			}
			b.close()
		})
	})
}

func TestTheSummaryOfARequestComesBehindAllItsOutcomes(t *testing.T) {
	busy := true
	b := newOutboxBench(t, 3, 1, func(_ context.Context, id string) error {
		if busy && id == "r1/ecd-0001/refused" {
			return errors.New("busy")
		}
		return nil
	})
	b.write(rollout.Record{Kind: rollout.KindClosed, Digest: "d"})
	if _, n := b.unpublished(); n != 1 {
		t.Fatalf("%d events are unpublished, want the summary", n)
	}
	b.publish([]*job{b.job})
	b.writeRest()
	if _, n := b.unpublished(); n != 1 {
		t.Error("the summary was published, though an outcome is not")
	}
	busy = false
	later := newOutbox(b.invocation, b.topic, 1, newTally(), &redeliveries{}) // as the next invocation does
	appends := b.store.appends
	later.publish([]*job{b.job})
	later.writeRest()
	if n := b.store.appends - appends; n != 1 {
		t.Errorf("the last outcomes and the summary took %d appends, want 1", n)
	}
	later.close()
	if outcomes, summaries := b.unpublished(); outcomes+summaries != 0 {
		t.Errorf("%d outcomes and %d events are unpublished, want none", outcomes, summaries)
	}
	for id := range maps.Keys(b.topic.published) {
		if b.topic.published[id] != 1 {
			t.Errorf("%s was published %d times", id, b.topic.published[id])
		}
	}
}

func TestMuchThatWasTakenIsWrittenDownBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench(t, flushAt+10, 4, nil)
		b.add(b.job, b.ids)
		synctest.Wait() // all are published
		if n, _ := b.unpublished(); n != 10 {
			t.Errorf("%d outcomes would be published once more after a crash, want the 10 behind the first %d", n, flushAt)
		}
		b.writeRest()
		if n, _ := b.unpublished(); n != 0 {
			t.Errorf("%d outcomes are unpublished by the journal, want none", n)
		}
		b.close()
	})
}

func TestALittleThatWasTakenWaitsForTheEndUnlessSomethingWasNotTaken(t *testing.T) {
	for _, k := range []struct {
		name              string
		n, kept, appended int
		refuses           string
	}{
		{"a little", keptAt, 1, 0, ""},
		{"much", keptAt + 1, 0, 1, ""},
		{"one is not taken", 20, 0, 1, "r1/ecd-0003/refused"},
		{"none is taken", 1, 0, 0, "r1/ecd-0000/refused"},
	} {
		t.Run(k.name, func(t *testing.T) {
			b := newOutboxBench(t, k.n, 4, func(_ context.Context, id string) error {
				if id == k.refuses {
					return errors.New("busy")
				}
				return nil
			})
			appends := b.store.appends
			b.publishOutcomes([]*job{b.job})
			kept := b.unwritten(b.job)
			if got := b.store.appends - appends; len(kept) != k.kept || got != k.appended {
				t.Errorf("%d records are kept and %d appends made, want %d and %d", len(kept), got, k.kept, k.appended)
			}
			b.outbox.write(b.job, kept...)
			want := 0
			if k.refuses != "" {
				want = 1
			}
			if n, _ := b.unpublished(); n != want {
				t.Errorf("%d outcomes are unpublished by the journal, want %d", n, want)
			}
		})
	}
}

// Too much waits for no other append, though nobody has written it down before.
func TestMuchThatWasTakenDoesNotWaitForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutboxBench(t, keptAt+1, 4, nil)
		b.add(b.job, b.ids)
		synctest.Wait() // all are published
		if kept := b.unwritten(b.job); len(kept) != 0 {
			t.Errorf("%d records are kept, want none", len(kept))
		}
		if n, _ := b.unpublished(); n != 0 {
			t.Errorf("%d outcomes are unpublished by the journal, want none", n)
		}
		b.close()
	})
}

// A summary that the topic did not take is told by a tick, which comes only if what was
// taken does not wait.
func TestWhatWasTakenDoesNotWaitIfTheSummaryWasNotTaken(t *testing.T) {
	b := newOutboxBench(t, 3, 1, func(_ context.Context, id string) error {
		if strings.HasSuffix(id, "/finished") {
			return errors.New("busy")
		}
		return nil
	})
	b.write(rollout.Record{Kind: rollout.KindClosed, Digest: "d"})
	b.publish([]*job{b.job})
	if kept := b.unwritten(b.job); len(kept) != 0 {
		t.Errorf("%d records are kept, want none", len(kept))
	}
	if outcomes, summaries := b.unpublished(); outcomes != 0 || summaries != 1 {
		t.Errorf("%d outcomes and %d events are unpublished by the journal, want the summary alone", outcomes, summaries)
	}
}

// Journals are written in the order of the names, so that the same invocation does the same
// each time.
func TestWhatWasTakenIsWrittenDownInTheOrderOfNames(t *testing.T) {
	b := newOutboxBench(t, 0, 1, nil)
	var want, got []string
	for n := range 20 {
		name := fmt.Sprintf("request/r%02d", n)
		signed := func() time.Time { got = append(got, name); return time.Now() }
		v, err := openView(t.Context(), logOf{b.store, name + ".jsonl", "i1", signed}, nil, rollout.NewState)
		if err != nil {
			t.Fatal(err)
		}
		b.note(item{job: &job{name: name, journal: v}, eventID: "finished/"})
		want = append(want, name)
	}
	b.writeRest()
	if !slices.Equal(got, want) {
		t.Errorf("written in the order %v", got)
	}
}
