package pace

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
)

var errThrottled = &desktop.CallError{Call: "X", Delivery: desktop.NotSent, Throttled: true}

func acquire(t *testing.T, l *Limiter) Slot {
	t.Helper()
	s, err := l.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return s
}

func TestTheZeroLimiterLetsFourCallsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		for range 4 {
			acquire(t, &l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("fifth Acquire: got %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestAReleasedSlotGoesToWhoWaitsLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 1}
		first := acquire(t, &l)
		var order []int
		for i := range 3 {
			go func() {
				s := acquire(t, &l)
				order = append(order, i)
				s.Release(nil)
			}()
			synctest.Wait()
		}
		first.Release(nil)
		synctest.Wait()
		if want := []int{0, 1, 2}; len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("order: got %v, want %v", order, want)
		}
	})
}

func TestAThrottledRoundHalvesTheBoundOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 8}
		var round []Slot
		for range 8 {
			round = append(round, acquire(t, &l))
		}
		for _, s := range round {
			s.Release(errThrottled)
		}
		if got := l.Allowed(); got != 4 {
			t.Errorf("allowed after a throttled round: got %d, want 4", got)
		}
	})
}

func TestTheBoundNeverFallsBelowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 4}
		for range 10 {
			acquire(t, &l).Release(errThrottled)
		}
		if got := l.Allowed(); got != 1 {
			t.Errorf("allowed: got %d, want 1", got)
		}
	})
}

func TestSuccessesGrowTheBoundByOneARoundUpToTheMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 4}
		acquire(t, &l).Release(errThrottled)
		acquire(t, &l).Release(errThrottled) // 1
		for _, step := range []struct{ successes, want int }{{1, 2}, {2, 2}, {1, 3}, {20, 4}} {
			for range step.successes {
				acquire(t, &l).Release(nil)
			}
			if got := l.Allowed(); got != step.want {
				t.Errorf("allowed after %d more successes: got %d, want %d", step.successes, got, step.want)
			}
		}
	})
}

func TestOnlyAnswersGrowTheBound(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"a refusal is an answer":     {&desktop.CallError{Delivery: desktop.Refused}, 2},
		"an unknown delivery is not": {&desktop.CallError{}, 1},
		"a failure to arrive not":    {&desktop.CallError{Delivery: desktop.NotSent}, 1},
		"nor is a foreign error":     {errors.New("x"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := Limiter{Max: 2}
				acquire(t, &l).Release(errThrottled)
				acquire(t, &l).Release(c.err)
				if got := l.Allowed(); got != c.want {
					t.Errorf("allowed: got %d, want %d", got, c.want)
				}
			})
		})
	}
}

func TestThrottlingPausesLongerEachTimeUntilASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 2}
		waited := func() time.Duration {
			start := time.Now()
			s := acquire(t, &l)
			defer s.Release(errThrottled)
			return time.Since(start)
		}
		for i, want := range []time.Duration{0, 250, 500, 1000, 2000, 4000, 4000} {
			if got := waited(); got != want*time.Millisecond {
				t.Errorf("pause before call %d: got %v, want %v", i, got, want*time.Millisecond)
			}
		}
		acquire(t, &l).Release(nil)
		if got := waited(); got != 0 {
			t.Errorf("pause after a success: got %v, want none", got)
		}
		if got := waited(); got != firstPause {
			t.Errorf("pause after the next throttling: got %v, want %v", got, firstPause)
		}
	})
}

func TestAPausePastTheDeadlineIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		acquire(t, &l).Release(errThrottled)
		ctx, cancel := context.WithTimeout(t.Context(), firstPause/2)
		defer cancel()
		start := time.Now()
		if _, err := l.Acquire(ctx); !errors.Is(err, ErrNoTime) || time.Since(start) != 0 {
			t.Errorf("Acquire: got %v after %v, want %v at once", err, time.Since(start), ErrNoTime)
		}
		acquire(t, &l) // after the pause
	})
}

func TestACancelledContextGetsNothingAndCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 1}
		ctx, cancel := context.WithCancel(t.Context())
		first := acquire(t, &l)
		done := make(chan error)
		go func() {
			_, err := l.Acquire(ctx)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting Acquire: got %v, want %v", err, context.Canceled)
		}
		if _, err := l.Acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("late Acquire: got %v, want %v", err, context.Canceled)
		}
		brief, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if _, err := l.Acquire(brief); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the only slot is taken: got %v", err)
		}
		first.Release(nil)
		acquire(t, &l)
	})
}

// A slot that comes at the moment at which its context ends is taken or goes to the next.
func TestNoSlotIsLostAtTheEndOfAContext(t *testing.T) {
	for range 50 { // which of the two is seen first is chance
		synctest.Test(t, func(t *testing.T) {
			l := Limiter{Max: 1}
			first := acquire(t, &l)
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			for _, ctx := range []context.Context{ctx, t.Context()} {
				group.Go(func() {
					if slot, err := l.Acquire(ctx); err == nil {
						slot.Release(nil)
					}
				})
				synctest.Wait()
			}
			cancel() // and before that is seen:
			first.Release(nil)
			group.Wait()
			if l.inUse() || l.Allowed() != 1 {
				t.Error("a slot is in use that nobody has")
			}
		})
	}
}

func TestTheBoundHoldsUnderAnyMixOfOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limiter{Max: 5}
		var mu sync.Mutex
		under, most, done := 0, 0, 0
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() {
				rnd := rand.New(rand.NewPCG(7, uint64(i)))
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(60_000))*time.Millisecond)
				defer cancel()
				s, err := l.Acquire(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				under++
				most, done = max(most, under), done+1
				mu.Unlock()
				<-time.After(time.Duration(rnd.IntN(500)) * time.Millisecond)
				mu.Lock()
				under--
				mu.Unlock()
				s.Release([]error{nil, nil, errThrottled, errors.New("x")}[rnd.IntN(4)])
			})
		}
		group.Wait()
		if most > 5 {
			t.Errorf("under way at once: got %d, want at most 5", most)
		}
		if done < 20 {
			t.Errorf("calls made: got %d, want at least 20 of 200", done)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.under != 0 || len(l.waiting) != 0 {
			t.Errorf("at the end %d are under way and %d wait, want none", l.under, len(l.waiting))
		}
	})
}

// Allowed returns how many calls may be under way at once now.
func (l *Limiter) Allowed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin()
	return int(l.allowed)
}
