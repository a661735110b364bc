package pace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memoryLog is a Log whose calls take 20 ms.
type memoryLog struct {
	mu      sync.Mutex
	logs    map[string]string
	appends int
	fault   func(write bool) (err error, done bool) // done: the call is carried out all the same
}

var errMoved = errors.New("moved")

func (m *memoryLog) meet(write bool, do func() error) error {
	<-time.After(20 * time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		if err, done := m.fault(write); err != nil {
			if done {
				_ = do()
			}
			return err
		}
	}
	return do()
}

func (m *memoryLog) Read(_ context.Context, key string, from int64) (lines []byte, length int64, err error) {
	err = m.meet(false, func() error {
		if from > int64(len(m.logs[key])) {
			return errors.New("shrunk")
		}
		lines, length = []byte(m.logs[key][from:]), int64(len(m.logs[key]))
		return nil
	})
	return lines, length, err
}

func (m *memoryLog) Append(_ context.Context, key string, at int64, lines []byte) (length int64, err error) {
	err = m.meet(true, func() error {
		if int64(len(m.logs[key])) != at {
			return errMoved
		}
		if m.logs == nil {
			m.logs = map[string]string{}
		}
		m.appends++
		m.logs[key] += string(lines)
		length = int64(len(m.logs[key]))
		return nil
	})
	return length, err
}

// an instance has a limiter of 4 calls, of which 1 is its own, and a lease.
type instance struct {
	*Limiter
	lease  *Lease
	faults []error
}

func newInstance(log Log, by string) *instance {
	i := &instance{Limiter: &Limiter{Max: 4}}
	i.lease = NewLease(log, "1/cn-hangzhou", by, func(place, day string) string { return place + "/" + day }, func(err error) { i.faults = append(i.faults, err) })
	i.lease.Bind(i.Limiter, 1, 15*time.Second)
	return i
}

// usage counts the calls of all instances that are under way.
type usage struct {
	mu        sync.Mutex
	now, most int
}

func (u *usage) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now += n
	u.most = max(u.most, u.now)
}

// peak is how many calls were under way at once so far, and at least 1.
func (u *usage) peak() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(u.most, 1)
}

// call makes n calls of a second each, some at once.
func (i *instance) call(t *testing.T, u *usage, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			s, err := i.Acquire(t.Context())
			if err != nil {
				t.Errorf("Acquire: %v", err)
				return
			}
			u.add(1)
			<-time.After(time.Second)
			u.add(-1)
			s.Release(nil)
		})
	}
	wg.Wait()
}

func TestALoneInstanceCallsAsManyAtOnceAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i, u, start := newInstance(&log, "a"), usage{}, time.Now()
		i.call(t, &u, 400)
		if took := time.Since(start); u.most != 4 || took != 100*time.Second+40*time.Millisecond {
			t.Errorf("got %d at once and %s, want 4, and 40 ms beside 100 s", u.most, took)
		}
		i.lease.Give(t.Context())
		if log.appends != 5 { // taken, renewed after 30, 60 and 90 seconds, given back
			t.Errorf("got %d appends, want 5:\n%v", log.appends, log.logs)
		}
	})
}

func TestACallAloneAsksForNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		for range 3 {
			i.call(t, &usage{}, 1)
		}
		i.lease.Give(t.Context())
		if log.appends != 0 {
			t.Errorf("got %d appends, want none", log.appends)
		}
	})
}

// What a line says that cannot be read, or is of a later build, is not known: it may be
// that somebody has the lease.
func TestALineThatIsNotUnderstoodIsSomebodysLease(t *testing.T) {
	for _, line := range []string{"{", `{"v":2,"kind":"lease","at":"2026-11-30T00:00:00Z","by":"b"}`} {
		synctest.Test(t, func(t *testing.T) {
			var u usage
			log := memoryLog{logs: map[string]string{"1/cn-hangzhou/" + time.Now().UTC().Format(time.DateOnly): line + "\n"}}
			i, start := newInstance(&log, "a"), time.Now()
			i.call(t, &u, 70)
			if u.most != 1 {
				t.Errorf("%s: %d calls at once within %s, want 1", line, u.most, time.Since(start))
			}
			i.call(t, &u, 40)
			if u.most != 4 {
				t.Errorf("%s: %d calls at once after its term, want 4", line, u.most)
			}
			i.lease.Give(t.Context())
			lines := slices.Collect(strings.Lines(slices.Collect(maps.Values(log.logs))[0]))
			if len(lines) < 3 || lines[0] != line+"\n" || strings.Contains(lines[len(lines)-1], "until") {
				t.Errorf("got lines %q, want what was there, the lease, and that it was given back", lines)
			}
		})
	}
}

func TestOfManyInstancesOneCallsMoreThanOneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		var u usage
		var wg sync.WaitGroup
		start := time.Now()
		for n := range 10 {
			i := newInstance(&log, fmt.Sprint(n))
			wg.Go(func() {
				i.call(t, &u, 40)
				i.lease.Give(t.Context())
			})
		}
		wg.Wait()
		if u.most != 4+9 {
			t.Errorf("at once: got %d, want the 4 of one instance and 9", u.most)
		}
		if took := time.Since(start); took > 40*time.Second {
			t.Errorf("took %s, want no longer than an instance alone at one at once", took)
		}
	})
}

func TestALeaseThatWasGivenBackIsTakenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		a, b := newInstance(&log, "a"), newInstance(&log, "b")
		a.call(t, &usage{}, 8)
		a.lease.Give(t.Context())
		for i, want := range []int{4, 1, 4} { // b has it, and gives it back
			var u usage
			if i == 2 {
				b.lease.Give(t.Context())
			}
			if [](*instance){b, a, a}[i].call(t, &u, 8); u.most != want {
				t.Errorf("%d: got %d at once, want %d", i, u.most, want)
			}
		}
	})
}

// Nothing ends that would have it asked for again: it is, even so.
func TestTheLeaseIsAskedForUntilItIsHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		a, b := newInstance(&log, "a"), newInstance(&log, "b")
		a.call(t, &usage{}, 8)
		slot := acquire(t, b.Limiter) // a long call
		time.AfterFunc(3*time.Second, func() { a.lease.Give(t.Context()) })
		start := time.Now()
		acquire(t, b.Limiter).Release(nil)
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it was had after %s, want half a second after 3 s", took)
		}
		slot.Release(nil)
	})
}

func TestALogThatCannotBeReachedIsNotAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memoryLog{fault: func(bool) (error, bool) { return errors.New("out"), false }}
		i, u := newInstance(&log, "a"), usage{}
		if i.call(t, &u, 18); u.most != 1 || len(i.faults) != 4 {
			t.Errorf("in 18 s: got %d faults, %d at once, want one every 5 s, and 1", len(i.faults), u.most)
		}
	})
}

func TestWhatCannotBeGivenBackIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		i.call(t, &usage{}, 8)
		log.fault = func(bool) (error, bool) { return errors.New("out"), false }
		if i.lease.Give(t.Context()); len(i.faults) != 1 {
			t.Errorf("got faults %v, want one", i.faults)
		}
		i = newInstance(&log, "b")
		i.lease.warn = nil // nobody wants to know
		log.fault = nil
		<-time.After(2 * leaseTerm)
		i.call(t, &usage{}, 8)
		log.fault = func(bool) (error, bool) { return errors.New("out"), false }
		i.lease.Give(t.Context())
	})
}

func TestALogThatWasDeletedIsReadFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		i.call(t, &usage{}, 8)
		i.lease.Give(t.Context())
		log.logs = nil
		var u usage
		if i.call(t, &u, 30); u.most != 4 || len(i.faults) != 1 {
			t.Errorf("got %d at once and faults %v, want 4 and one", u.most, i.faults)
		}
	})
}

func TestALimiterOfFewCallsAsksForNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		i.Max = 1
		if i.call(t, &usage{}, 8); log.logs != nil || i.lease.logged != "" {
			t.Errorf("it was asked for: %v", log.logs)
		}
	})
}

func TestTheLeaseOfAKilledInstanceEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		a, b := newInstance(&log, "a"), newInstance(&log, "b")
		a.call(t, &usage{}, 8) // and is killed
		killed := time.Now()
		var u usage
		var wg sync.WaitGroup
		wg.Go(func() { b.call(t, &u, 150) })
		for u.peak() == 1 {
			<-time.After(time.Second)
		}
		if took := time.Since(killed); took < leaseTerm+leaseSkew-3*time.Second || took > leaseTerm+leaseSkew+leasePoll {
			t.Errorf("the lease was taken after %s, want about %s", took, leaseTerm+leaseSkew)
		}
		wg.Wait()
		if u.most != 4 {
			t.Errorf("at once: got %d, want 4", u.most)
		}
	})
}

func TestNothingBeginsThatCouldOutlastTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		i.call(t, &usage{}, 8)
		log.fault = func(bool) (error, bool) { return errors.New("out"), false }
		<-time.After(leaseTerm - 15*time.Second - 4*time.Second) // 15 s is what a call takes at most, and 2 s have passed
		var u usage
		i.call(t, &u, 8)
		if u.most != 4 {
			t.Errorf("before the end: got %d at once, want 4", u.most)
		}
		u = usage{}
		i.call(t, &u, 8)
		if u.most != 1 || len(i.faults) == 0 {
			t.Errorf("near the end: got %d at once and faults %v, want 1 and what could not be read", u.most, i.faults)
		}
		log.fault = nil
		if i.call(t, &u, 12); u.most != 4 {
			t.Errorf("when the log answers again: got %d at once, want 4", u.most)
		}
	})
}

func TestAnAppendWhoseAnswerWasLostIsKnownByReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		once := true
		log.fault = func(write bool) (error, bool) {
			if write && once {
				once = false
				return errors.New("lost"), true
			}
			return nil, false
		}
		i, u := newInstance(&log, "a"), usage{}
		if i.call(t, &u, 8); u.most != 4 || len(i.faults) > 0 {
			t.Errorf("got %d at once, faults %v, want 4 and none", u.most, i.faults)
		}
	})
}

// At midnight another log begins, in which nobody has the lease: so nobody has it
// when midnight comes, by any clock.
func TestNoLeaseOutlastsTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		a, b := newInstance(&log, "a"), newInstance(&log, "b")
		midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		<-time.After(time.Until(midnight.Add(-50 * time.Second)))
		a.call(t, &usage{}, 8)
		a.lease.mu.Lock()
		until := a.lease.until
		a.lease.mu.Unlock()
		if want := midnight.Add(-leaseSkew); !until.Equal(want) {
			t.Errorf("the lease ends at %s, want %s", until, want)
		}
		<-time.After(time.Until(midnight))
		var u usage
		if b.call(t, &u, 8); u.most != 4 || len(log.logs) != 2 {
			t.Errorf("got %d at once, logs %v, want 4, and one log a day", u.most, log.logs)
		}
	})
}

// The log of the old day may be read for so long that the new one has begun: nobody gets
// a lease of the new day by it.
func TestNoLeaseIsTakenInTheLogOfAnotherDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, u := &memoryLog{}, &usage{}
		var wg sync.WaitGroup
		for _, by := range []string{"a", "b"} {
			i := newInstance(log, by)
			begins := 24*time.Hour - 10*time.Millisecond // reading takes 20 ms
			if by == "b" {
				begins = 24*time.Hour + time.Second
			}
			wg.Go(func() {
				<-time.After(begins)
				i.call(t, u, 40)
			})
		}
		wg.Wait()
		if u.most != 5 {
			t.Errorf("got %d calls at once, want 4 and 1", u.most)
		}
	})
}

func TestTheLeaseIsKeptWhileAnotherInvocationCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i, u := newInstance(&log, "a"), usage{}
		var wg sync.WaitGroup
		wg.Go(func() { i.call(t, &u, 40) })
		<-time.After(3500 * time.Millisecond)
		i.lease.Give(t.Context())
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); took > 7*time.Second || log.appends != 1 {
			t.Errorf("the rest took %s and there were %d appends, want 6.5 s and the first", took, log.appends)
		}
	})
}

func TestGivingBackEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log memoryLog
		i := newInstance(&log, "a")
		i.lease.turn <- struct{}{} // the log does not answer
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		i.lease.Give(ctx)
	})
}

func TestALineThatIsNotUnderstoodCountsForATerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := "1/cn-hangzhou/" + time.Now().UTC().Format(time.DateOnly)
		log := memoryLog{logs: map[string]string{key: `{"by":"x","until":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + "\"}\n"}}
		i := newInstance(&log, "a")
		for _, want := range []int{1, 1, 4} {
			var u usage
			if i.call(t, &u, 40); u.most != want {
				t.Errorf("got %d at once, want %d:\n%v", u.most, want, log.logs)
			}
			if log.appends == 0 && !strings.HasSuffix(log.logs[key], "{\n") {
				log.logs[key] += "{\n"
			}
		}
	})
}
