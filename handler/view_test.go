package handler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A watchedStore calls a hook before each append, and counts.
type watchedStore struct {
	journal.Store
	before func(ctx context.Context, n int) error // n: the number of the append, from 1

	mu      sync.Mutex
	appends int
}

func (s *watchedStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	s.mu.Lock()
	s.appends++
	n := s.appends
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ctx, n); err != nil {
			return 0, err
		}
	}
	return s.Store.Append(ctx, key, at, lines)
}

var testKey = journal.Key(kindRequest, "r1")

func viewOf(t *testing.T, store journal.Store, by string) *listView {
	t.Helper()
	v, err := openView(t.Context(), logOf{store, testKey, by, time.Now}, nil, newRecordList)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// note returns a record that can be told from others by its name.
func note(name string) []rollout.Record {
	return []rollout.Record{{Kind: rollout.KindTick, Name: name}}
}

func write(t *testing.T, v *listView, name string) {
	t.Helper()
	if err := v.Update(t.Context(), func(*recordList) []rollout.Record { return note(name) }); err != nil {
		t.Fatalf("writing %s: %v", name, err)
	}
}

func namesOf(l *recordList) (names []string) {
	for _, r := range *l {
		names = append(names, r.Name)
	}
	return names
}

func wantNames(t *testing.T, what string, v *listView, want ...string) {
	t.Helper()
	v.Look(func(l *recordList) {
		if got := namesOf(l); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	})
}

func TestAnUpdateIsAskedAgainWhenOthersHaveWritten(t *testing.T) {
	store := journaltest.Memory()
	mine, other := viewOf(t, store, "mine"), viewOf(t, store, "other")
	write(t, other, "first")
	var seen [][]string
	err := mine.Update(t.Context(), func(l *recordList) []rollout.Record {
		seen = append(seen, namesOf(l))
		return note(fmt.Sprint("after ", len(*l)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || len(seen[0]) != 0 || !slices.Equal(seen[1], []string{"first"}) {
		t.Errorf("it was asked with %v, want first with nothing and then with what the other wrote", seen)
	}
	wantNames(t, "the view", mine, "first", "after 1")
	wantNames(t, "the log", viewOf(t, store, "reader"), "first", "after 1")
	mine.Look(func(l *recordList) {
		if r := (*l)[1]; r.By != "mine" || r.At.IsZero() {
			t.Errorf("the record is by %q at %s, want the invocation and a time", r.By, r.At)
		}
	})
}

func TestAnUpdateThatReturnsNothingWritesNothing(t *testing.T) {
	store := &watchedStore{Store: journaltest.Memory()}
	v := viewOf(t, store, "mine")
	if err := v.Update(t.Context(), func(*recordList) []rollout.Record { return nil }); err != nil || store.appends != 0 {
		t.Errorf("got %d appends and %v, want none", store.appends, err)
	}
}

func TestWhatFollowsFromADecisionIsNotWrittenOnceOthersHaveWritten(t *testing.T) {
	for _, noticed := range []bool{true, false} { // before the append, or because it loses
		store := journaltest.Memory()
		mine, other := viewOf(t, store, "mine"), viewOf(t, store, "other")
		basis := mine.Look(func(*recordList) {})
		write(t, other, "other's")
		if noticed {
			if err := mine.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		err := mine.UpdateBy(t.Context(), &basis, overtaken, func(*recordList) []rollout.Record { return note("mine") })
		if !errors.Is(err, errOvertaken) {
			t.Errorf("noticed before (%v): got %v, want errOvertaken", noticed, err)
		}
		wantNames(t, "the log", viewOf(t, store, "reader"), "other's")
		basis = mine.Look(func(*recordList) {})
		if err := mine.UpdateBy(t.Context(), &basis, overtaken, func(*recordList) []rollout.Record { return note("mine") }); err != nil {
			t.Errorf("decided by what the other wrote: %v", err)
		}
	}
}

func TestADecisionIsMadeAnewBeforeItsRecordsAreWritten(t *testing.T) {
	store := journaltest.Memory()
	mine, other := viewOf(t, store, "mine"), viewOf(t, store, "other")
	decision := "at first"
	basis := mine.Look(func(*recordList) {})
	write(t, other, "other's")
	anew := 0
	for range 2 {
		err := mine.UpdateBy(t.Context(), &basis, func(l *recordList) error {
			anew++
			decision = "after " + strings.Join(namesOf(l), ",")
			return nil
		}, func(*recordList) []rollout.Record { return note(decision) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if anew != 1 {
		t.Errorf("it was decided anew %d times, want once: our own records do not change the version", anew)
	}
	wantNames(t, "the view", mine, "other's", "after other's", "after other's")
}

func TestWritersThatComeTogetherShareAnAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		store := &watchedStore{Store: journaltest.Memory(), before: func(_ context.Context, n int) error {
			if n == 1 {
				<-goOn
			}
			return nil
		}}
		v := viewOf(t, store, "mine")
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { write(t, v, fmt.Sprint(i)) })
			synctest.Wait() // it appends, or waits behind the one that does
		}
		close(goOn)
		wg.Wait()
		if store.appends != 2 {
			t.Errorf("%d appends were made, want 2: one by the first, one for all others", store.appends)
		}
		wantNames(t, "the view", v, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	})
}

// One whose time is up, and one that panics, are in one group with others.
func TestWritersOfOneGroupDoNotHarmEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		store := &watchedStore{Store: journaltest.Memory(), before: func(ctx context.Context, n int) error {
			if n == 1 {
				<-goOn
			}
			return ctx.Err()
		}}
		v := viewOf(t, store, "mine")
		errs := map[string]error{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := func(name string, limit time.Duration, f func(*recordList) []rollout.Record) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				err := v.Update(ctx, f)
				mu.Lock()
				defer mu.Unlock()
				errs[name] = err
			})
			synctest.Wait()
		}
		good := func(name string) func(*recordList) []rollout.Record {
			return func(*recordList) []rollout.Record { return note(name) }
		}
		start("first", time.Hour, good("first"))
		start("late", time.Second, good("late"))
		start("panics", time.Hour, func(*recordList) []rollout.Record { panic("a bug") })
		start("patient", time.Hour, good("patient"))
		<-time.After(time.Minute)
		close(goOn)
		wg.Wait()
		if _, bug := errors.AsType[*PanicError](errs["panics"]); !bug {
			t.Errorf("the one that panics: got %v, want a PanicError", errs["panics"])
		}
		for _, name := range []string{"first", "late", "patient"} {
			if errs[name] != nil {
				t.Errorf("%s: %v", name, errs[name])
			}
		}
		wantNames(t, "the view", v, "first", "late", "patient")
		write(t, v, "next") // the lock is free
	})
}

func TestWhatHasNoEndEndsLast(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	late, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	never := context.Background()
	for _, c := range []struct {
		a, b context.Context
		want bool
	}{{late, soon, true}, {soon, late, false}, {soon, soon, false}, {never, soon, true}, {soon, never, false}, {never, never, false}} {
		if got := endsLater(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: got %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

func TestAnUpdateGivesUpWhenOthersAreFasterEachTime(t *testing.T) {
	store := &watchedStore{Store: journaltest.Memory(), before: func(context.Context, int) error { return journal.ErrMoved }}
	v := viewOf(t, store, "mine")
	err := v.Update(t.Context(), func(*recordList) []rollout.Record { return note("mine") })
	if !errors.Is(err, journal.ErrMoved) || store.appends != maxRaces {
		t.Errorf("got %v after %d appends, want ErrMoved after %d", err, store.appends, maxRaces)
	}
}

func TestRecordsThatOneAppendDoesNotTakeAreWrittenInPieces(t *testing.T) {
	store := &watchedStore{Store: journaltest.Memory()}
	v := viewOf(t, store, "mine")
	many := make([]rollout.Record, 5)
	for i := range many {
		many[i] = rollout.Record{Kind: rollout.KindTick, Name: strings.Repeat("x", maxAppend/2)}
	}
	if err := v.Update(t.Context(), func(*recordList) []rollout.Record { return many }); err != nil {
		t.Fatal(err)
	}
	if store.appends != 3 {
		t.Errorf("%d appends were made, want 3", store.appends)
	}
	v.Look(func(l *recordList) {
		if len(*l) != len(many) {
			t.Errorf("the view has %d records, want %d", len(*l), len(many))
		}
	})
}

// What no store takes is an error, and is not tried for ever; what comes before it is written.
func TestARecordThatNoAppendTakesIsAnError(t *testing.T) {
	store := &watchedStore{Store: journaltest.Memory()}
	v := viewOf(t, store, "mine")
	large := append(note("small"), note(strings.Repeat("x", journal.MaxAppend))...)
	if err := v.Update(t.Context(), func(*recordList) []rollout.Record { return large }); err == nil || store.appends > 2 {
		t.Errorf("got %v after %d appends, want an error", err, store.appends)
	}
	wantNames(t, "the view", v, "small")
}

// A deafStore cannot be read.
type deafStore struct{ journal.Store }

func (deafStore) Read(context.Context, string, int64) ([]byte, int64, error) {
	return nil, 0, errors.New("connection refused")
}

// Who goes by what others wrote is told when that cannot be read, and nothing is written then.
func TestWhatCannotBeReadAgainIsAnError(t *testing.T) {
	store := journaltest.Memory()
	v := viewOf(t, store, "mine")
	v.store = deafStore{store}
	if err := v.Refresh(t.Context()); err == nil {
		t.Error("it counts as read")
	}
}

// A panicStore has a bug that shows once, when something is written.
type panicStore struct {
	journal.Store
	panicked bool
}

func (s *panicStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if !s.panicked {
		s.panicked = true
		panic("index out of range")
	}
	return s.Store.Append(ctx, key, at, lines)
}

// After a panic in the middle of writing the state may be half of one: nothing more is
// written by it, and the instance does not keep it.
func TestNothingIsWrittenByAStateInWhichAPanicCame(t *testing.T) {
	store := &panicStore{Store: journaltest.Memory()}
	v := viewOf(t, store, "mine")
	for range 2 {
		err := v.Update(t.Context(), func(*recordList) []rollout.Record { return note("mine") })
		if _, bug := errors.AsType[*PanicError](err); !bug || !v.Broken() {
			t.Errorf("got %v, broken: %t, want a PanicError", err, v.Broken())
		}
	}
	wantNames(t, "the log", viewOf(t, store, "reader"))
}

func TestALogThatExpiredSinceItWasReadIsReadAnew(t *testing.T) {
	old := viewOf(t, journaltest.Memory(), "mine")
	write(t, old, "long ago")
	before := old.known()
	store := journaltest.Memory()
	v, err := openView(t.Context(), logOf{store, testKey, "mine", time.Now}, &before, newRecordList)
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, "the view", v)
	write(t, v, "now")
	wantNames(t, "the log", viewOf(t, store, "reader"), "now")
}

func TestACacheKeepsTheLatestAndBoundsWhatItKeeps(t *testing.T) {
	var c cache
	for i := range maxCached + 1 {
		v, err := openView(t.Context(), logOf{journaltest.Memory(), journal.Key(kindRequest, fmt.Sprint("r", i)), "mine", time.Now}, nil, rollout.NewState)
		if err != nil {
			t.Fatal(err)
		}
		c.put(v)
	}
	if c.take(journal.Key(kindRequest, "r0")) != nil {
		t.Error("the oldest entry is still there")
	}
	if c.take(journal.Key(kindRequest, "r1")) == nil || c.take(journal.Key(kindRequest, "r1")) != nil {
		t.Error("an entry is not there, or is there a second time after it was taken out")
	}
	if len(c.order) != maxCached-1 || len(c.byKey) != maxCached-1 {
		t.Errorf("%d and %d entries are left, want %d", len(c.order), len(c.byKey), maxCached-1)
	}
}

// openAs returns what opens a log by a name, unless somebody has.
func openAs(name string) func(*recordList) ([]rollout.Record, error) {
	return func(l *recordList) ([]rollout.Record, error) {
		if names := namesOf(l); slices.Contains(names, "other") {
			return nil, errReused
		} else if slices.Contains(names, "opened") {
			return nil, nil
		}
		return note(name), nil
	}
}

// Whoever opens a log without writing that yet sees it at once; others see it with what is written
// next, or when it is wanted. If others were first, their records come before it.
func TestALogIsOpenedWithWhatIsWrittenNext(t *testing.T) {
	store := journaltest.Memory()
	first, second := viewOf(t, store, "mine"), viewOf(t, store, "other")
	for _, v := range []*listView{first, second} {
		if err := v.OpenAhead(openAs("opened")); err != nil || !v.Unopened() {
			t.Fatalf("got %v, ahead: %t", err, v.Unopened())
		}
		wantNames(t, "who opens it", v, "opened")
	}
	wantNames(t, "the log", viewOf(t, store, "reader"))
	if err := first.Refresh(t.Context()); err != nil || !first.Unopened() {
		t.Errorf("got %v, ahead: %t; nobody has written", err, first.Unopened())
	}
	write(t, first, "next")
	wantNames(t, "the first", first, "opened", "next")
	if err := second.Flush(t.Context()); err != nil || second.Unopened() || second.Length() == 0 {
		t.Errorf("got %v, ahead: %t", err, second.Unopened())
	}
	write(t, second, "last")
	wantNames(t, "the second", second, "opened", "next", "last")
	wantNames(t, "the log", viewOf(t, store, "reader"), "opened", "next", "last")
}

func TestALogIsOpenedBehindWhatOthersWroteFirst(t *testing.T) {
	store := journaltest.Memory()
	mine, other := viewOf(t, store, "mine"), viewOf(t, store, "noter")
	if err := mine.OpenAhead(openAs("opened")); err != nil {
		t.Fatal(err)
	}
	write(t, other, "note")
	before := mine.Look(func(*recordList) {})
	if err := mine.Refresh(t.Context()); err != nil || !mine.Unopened() || mine.Look(func(*recordList) {}) == before {
		t.Errorf("got %v, ahead: %t, version %v", err, mine.Unopened(), before)
	}
	wantNames(t, "who opens it", mine, "note", "opened")
	write(t, other, "another")
	if err := mine.Flush(t.Context()); err != nil || mine.Flush(t.Context()) != nil {
		t.Error(err)
	}
	wantNames(t, "who opens it", mine, "note", "another", "opened")
	wantNames(t, "the log", viewOf(t, store, "reader"), "note", "another", "opened")
}

// What another has opened otherwise takes nothing of ours, and is not kept.
func TestNothingIsWrittenIntoALogThatAnotherHasOpenedOtherwise(t *testing.T) {
	store := journaltest.Memory()
	mine, other := viewOf(t, store, "mine"), viewOf(t, store, "other")
	if err := mine.OpenAhead(openAs("opened")); err != nil {
		t.Fatal(err)
	}
	write(t, other, "other")
	for range 2 {
		if err := mine.Update(t.Context(), func(*recordList) []rollout.Record { return note("next") }); !errors.Is(err, errReused) || !mine.Broken() {
			t.Errorf("got %v, broken: %t", err, mine.Broken())
		}
	}
	if err := mine.OpenAhead(openAs("opened")); !errors.Is(err, errReused) {
		t.Errorf("got %v", err)
	}
	wantNames(t, "the log", viewOf(t, store, "reader"), "other")
}

func TestWhatIsNotOpenedIsNotKept(t *testing.T) {
	v, err := openView(t.Context(), logOf{journaltest.Memory(), journal.Key(kindRequest, "r1"), "mine", time.Now}, nil, rollout.NewState)
	if err == nil {
		err = v.OpenAhead(func(*rollout.State) ([]rollout.Record, error) {
			return rollout.Opening(rollout.Operation{ID: "r1"}, time.Now()), nil
		})
	}
	v.Look(func(s *rollout.State) {
		if s.Length == 0 {
			t.Error("what opens the log counts for nothing in its length")
		}
	})
	var c cache
	if c.put(v); err != nil || c.take(v.key) != nil {
		t.Errorf("%v, or an instance keeps what no log holds", err)
	}
}

func TestAPanicWhileALogIsOpenedEndsTheView(t *testing.T) {
	v := viewOf(t, journaltest.Memory(), "mine")
	for range 2 {
		err := v.OpenAhead(func(*recordList) ([]rollout.Record, error) { panic("index out of range") })
		if _, bug := errors.AsType[*PanicError](err); !bug || !v.Broken() {
			t.Errorf("got %v, broken: %t", err, v.Broken())
		}
	}
}
