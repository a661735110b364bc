package handler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A hookedStore calls a hook before the first record is written that a call begins.
// Several logs may be written at once.
type hookedStore struct {
	journal.Store
	once   sync.Once
	begins func()
	broken bool // the log of freezes cannot be read
}

func (s *hookedStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if s.begins != nil && bytes.Contains(lines, []byte(`"kind":"begun"`)) {
		s.once.Do(s.begins)
	}
	return s.Store.Append(ctx, key, at, lines)
}

func (s *hookedStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if s.broken && strings.HasPrefix(key, "freeze/") {
		return nil, 0, errors.New("out of order")
	}
	return s.Store.Read(ctx, key, from)
}

func (s *hookedStore) freeze(t *testing.T, rec rollout.Record) {
	t.Helper()
	line, err := rollout.Encode([]rollout.Record{rec})
	if err == nil {
		_, err = s.Store.Append(t.Context(), journal.Key("freeze", "all"), 0, line)
	}
	if err != nil {
		t.Error(err)
	}
}

const consents = `{"requestId":"r1","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":["ecd-0000"],"consent":["freeze"]}`

// A freeze that comes between the decision and the call is found right before the
// call: nothing is sent, and it was no attempt.
func TestAFreezeThatComesAfterTheDecisionIsSeenBeforeTheCall(t *testing.T) {
	for _, c := range []struct {
		name, request string
		record        rollout.Record
		calls         int
	}{
		{"of the region", requestFor(1), rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{region}}, 0},
		{"of another region", requestFor(1), rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{"cn-shanghai"}}, 1},
		{"with consent", consents, rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{region}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				store := &hookedStore{Store: journaltest.Memory()}
				c.record.Until = time.Now().Add(time.Hour)
				store.begins = func() { store.freeze(t, c.record) }
				b.handle(store, time.Minute, c.request)
				if got := b.ecd.calls["ecd-0000"]; got != c.calls {
					t.Errorf("%d calls were made, want %d", got, c.calls)
				}
				told := b.topic.told["r1/ecd-0000/deferred"]
				if want := 1 - c.calls; told != want {
					t.Errorf("it was told %d times that the desktop waits, want %d", told, want)
				}
			})
		})
	}
}

func TestNothingIsBegunWhileTheLogOfFreezesCannotBeRead(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			store := &hookedStore{Store: journaltest.Memory(), broken: !late}
			store.begins = func() { store.broken = true }
			b.handle(store, time.Minute, requestFor(1))
			if got := b.ecd.calls["ecd-0000"]; got != 0 {
				t.Errorf("broken before the call alone (%v): %d calls were made, want none", late, got)
			}
			store.broken, store.begins = false, nil
			b.skew += 10 * time.Minute
			b.handle(store, time.Minute, b.queue.last().body)
			if got := b.ecd.calls["ecd-0000"]; got != 1 {
				t.Errorf("mended: %d calls were made, want 1", got)
			}
		})
	}
}

// Consents of a fleet count through one door. The consent to begin in spite of a freeze
// is one of them, before the decision and right before the call.
func TestAConsentToPassAFreezeCountsOnlyThroughTheDoorsThatTheFleetNames(t *testing.T) {
	const apart = `fleets:
  - {name: office, region: cn-hangzhou, images: ["win*"], select: all, requests: true, consentFrom: [DOOR]}
`
	for _, c := range []struct {
		door  string
		late  bool
		calls int
	}{{"queues/ops", false, 0}, {"queues/ops", true, 0}, {"unknown", false, 1}, {"unknown", true, 1}} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			b.declare(strings.Replace(apart, "DOOR", c.door, 1))
			store := &hookedStore{Store: journaltest.Memory()}
			freeze := func() {
				store.freeze(t, rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{region}, Until: time.Now().Add(time.Hour)})
			}
			if c.late {
				store.begins = freeze
			} else {
				freeze()
			}
			b.handle(store, time.Minute, consents)
			if got := b.ecd.calls["ecd-0000"]; got != c.calls {
				t.Errorf("consents count through %s, the freeze comes late: %v: %d calls were made, want %d", c.door, c.late, got, c.calls)
			}
		})
	}
}

// A freeze of a region holds a fleet back that is controlled through one door only.
// Whoever may not control it does not let it go either.
func TestAFreezeOfARegionIsLiftedByWhoMayControlAllItsFleets(t *testing.T) {
	const guarded = `fleets:
  - {name: office, region: cn-hangzhou, images: ["win*"], select: all, from: {control: {sources: [/ops]}}}
`
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(guarded)
		store := &hookedStore{Store: journaltest.Memory()}
		store.freeze(t, rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{region}, Until: time.Now().Add(time.Hour)})
		for _, c := range []struct {
			source string
			lifted int
		}{{"/eve", 0}, {"/ops", 1}} {
			b.handle(store, time.Minute, `{"specversion":"1.0","type":"regild.freeze.v1","id":"l`+c.source+`","source":"`+c.source+
				`","data":{"freezeId":"f1","action":"lift","by":"eve","reason":"fun"}}`)
			lines, _, err := store.Read(t.Context(), journal.Key("freeze", "all"), 0)
			b.must(err)
			if got := bytes.Count(lines, []byte(`"kind":"lift"`)); got != c.lifted {
				t.Errorf("after a lift from %s the log has %d, want %d", c.source, got, c.lifted)
			}
		}
	})
}

// A countingStore notes from where the log of freezes is read.
type countingStore struct {
	journal.Store
	from []int64
}

func (s *countingStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if strings.HasPrefix(key, "freeze/") {
		s.from = append(s.from, from)
	}
	return s.Store.Read(ctx, key, from)
}

// A log that only grows must not cost more and more.
func TestAnInvocationReadsTheLogOfFreezesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := &countingStore{Store: journaltest.Memory()}
		hooked := &hookedStore{Store: store}
		hooked.freeze(t, rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Regions: []string{"cn-shanghai"}, Until: time.Now().Add(time.Hour)})
		h := b.handler(b.ecd, hooked)
		b.must(b.ask(h, time.Minute, requestFor(45)))
		if len(store.from) < 3 || store.from[0] != 0 {
			t.Fatalf("read from %v, want the whole log and then more", store.from)
		}
		for _, from := range store.from[1:] {
			if from == 0 {
				t.Errorf("read from %v, want the whole log once", store.from)
			}
		}
	})
}

func freezing(id string, until time.Time) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"regild.freeze.v1","id":%q,"source":"/ops","data":{"freezeId":%q,"action":"freeze","by":"eve","reason":"fun","until":%q,"regions":["cn-hangzhou"]}}`,
		id, id, until.Format(time.RFC3339))
}

// Whoever may freeze can hold everything back, and no more than that: neither fill the
// log without end, nor keep others from letting go.
func TestTheLogOfFreezesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := &hookedStore{Store: journaltest.Memory()}
		h := b.handler(b.ecd, store)
		var flood []string
		for i := range rollout.MaxFreezes + 5 {
			flood = append(flood, freezing(fmt.Sprintf("f%d", i), time.Now().Add(time.Hour)))
		}
		b.must(b.ask(h, time.Minute, "["+strings.Join(flood, ",")+"]"))
		if got := store.count(t, `"kind":"freeze"`); got != rollout.MaxFreezes {
			t.Errorf("%d freezes are in the log, want %d", got, rollout.MaxFreezes)
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // time of the bubble, which takes none; they are over then
		b.must(b.ask(h, time.Minute, freezing("later", time.Now().Add(time.Hour))))
		if got := store.count(t, `"name":"later"`); got != 1 {
			t.Errorf("one that comes after they have ended is in the log %d times, want once", got)
		}
		store.fill(t, rollout.MaxFreezeLog)
		b.must(b.ask(h, time.Minute, "["+freezing("last", time.Now().Add(time.Hour))+
			`,{"specversion":"1.0","type":"regild.freeze.v1","id":"l","source":"/ops","data":{"freezeId":"later","action":"lift","by":"ada","reason":"over"}}]`))
		if frozen, lifted := store.count(t, `"name":"last"`), store.count(t, `"kind":"lift"`); frozen != 0 || lifted != 1 {
			t.Errorf("a full log took %d freezes and %d lifts, want no further freeze, and the lift", frozen, lifted)
		}
	})
}

func (s *hookedStore) count(t *testing.T, words string) int {
	t.Helper()
	lines, _, err := s.Store.Read(t.Context(), journal.Key("freeze", "all"), 0)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(lines, []byte(words))
}

// fill makes the log of freezes that long, by freezes that are over.
func (s *hookedStore) fill(t *testing.T, bytes int64) {
	t.Helper()
	key := journal.Key("freeze", "all")
	_, at, err := s.Store.Read(t.Context(), key, 0)
	for i := 0; err == nil && at < bytes; i++ {
		var line []byte
		line, err = rollout.Encode([]rollout.Record{{Kind: rollout.KindFreeze, Name: fmt.Sprintf("old%d", i), Who: strings.Repeat("x", 1<<16), Until: time.Now()}})
		if err == nil {
			at, err = s.Store.Append(t.Context(), key, at, line)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
