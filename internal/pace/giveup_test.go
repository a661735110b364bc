package pace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// patient is a caller of ECD's kind: it repeats, waits as long as it may, and gives up.
func patient() *Caller {
	return &Caller{Limit: &Limiter{Max: 4, GivesUp: true}, Timeout: 10 * time.Second, Policy: Policy{Unknown: 2, Rand: func() float64 { return 1 }}}
}

func throttles(context.Context) (string, error) {
	return "", &desktop.CallError{Call: "X", Delivery: desktop.NotSent, Throttled: true, Code: "Throttling.User"}
}

func silent(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", &desktop.CallError{Call: "X", Err: ctx.Err()}
}

// pages makes n calls, 16 at once, and returns how many attempts were made and how long
// it took.
func pages(t *testing.T, c *Caller, n int, attempt func(context.Context) (string, error)) (attempts int, took time.Duration, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start, next := time.Now(), make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range 16 {
		wg.Go(func() {
			for range next {
				err := c.Do(t.Context(), "X", "cn-hangzhou", func(ctx context.Context) (string, error) {
					mu.Lock()
					attempts++
					mu.Unlock()
					return attempt(ctx)
				})
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return attempts, time.Since(start), errs
}

// A hundred calls to a place that does not answer cost some seconds, and not the time of
// a hundred.
func TestAPlaceThatDoesNotAnswerIsGivenUp(t *testing.T) {
	for name, k := range map[string]struct {
		attempt   func(context.Context) (string, error)
		longest   time.Duration
		throttled bool
	}{"throttled": {throttles, 25 * time.Second, true}, "silent": {silent, 30 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := patient()
				attempts, took, errs := pages(t, c, 100, k.attempt)
				if took > k.longest {
					t.Errorf("took %s and %d attempts, want %s at most", took, attempts, k.longest)
				}
				e, _ := errors.AsType[*desktop.CallError](errs[len(errs)-1])
				if e == nil || e.Delivery != desktop.NotSent || e.Throttled != k.throttled || !errors.Is(e, errGivenUp) {
					t.Errorf("the last call met %+v, want that it was not sent, throttled %t", e, k.throttled)
				}
				asked := slices.DeleteFunc(slices.Clone(errs), func(err error) bool {
					e, ok := errors.AsType[*desktop.CallError](err)
					return ok && e.Unasked
				})
				if n := len(asked); n < 4 || n > attempts || n > 50 {
					t.Errorf("%d of 100 calls count as asked, with %d attempts", n, attempts)
				}
				if n := strings.Count(e.Error(), "others"); n != 1 {
					t.Errorf("the last call says %q", e)
				}
				start := time.Now()
				if err := c.Do(t.Context(), "Y", "cn-hangzhou", throttles); !errors.Is(err, errGivenUp) || time.Since(start) != 0 {
					t.Errorf("another call met %v after %s", err, time.Since(start))
				}
				well := func(context.Context) (string, error) { return "", nil }
				if name == "silent" {
					c.Limit.Reset()
				} else {
					<-time.After(giveUpFor)
				}
				if err := c.Do(t.Context(), "Y", "cn-hangzhou", well); err != nil {
					t.Errorf("after a reset, or when it is over: %v", err)
				}
			})
		})
	}
}

// A service that answers some calls, however few, is not given up.
func TestAPlaceThatAnswersSomeCallsIsNotGivenUp(t *testing.T) {
	for name, answer := range map[string]error{
		"a success": nil, "a refusal": &desktop.CallError{Delivery: desktop.Refused}, "a fault of its own": &desktop.CallError{Code: "InternalError"},
		"that it may not": &desktop.CallError{Delivery: desktop.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, n := patient(), atomic.Int32{}
				_, _, errs := pages(t, c, 100, func(context.Context) (string, error) {
					if n.Add(1)%3 == 0 {
						return "", answer
					}
					return "", errThrottled
				})
				if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, errGivenUp) }) {
					t.Error("it was given up")
				}
			})
		})
	}
}

// One call that is cut off proves nothing of a place that answered others meanwhile.
func TestAPlaceIsNotGivenUpForOneCallThatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := patient()
		c.Timeout, c.Policy.Unknown = 20*time.Second, 0
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Do(t.Context(), "X", "cn-hangzhou", silent) })
		<-time.After(10 * time.Second)
		if err := c.Do(t.Context(), "Y", "cn-hangzhou", func(context.Context) (string, error) { return "", nil }); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := c.Limit.givenUp("X", true); err != nil {
			t.Errorf("given up 10 s after it had answered: %v", err)
		}
		_ = c.Do(t.Context(), "X", "cn-hangzhou", silent)
		if c.Limit.givenUp("X", true) == nil {
			t.Error("not given up 30 s after it had answered")
		}
	})
}

// What fails within a moment proves little, and neither does that somebody left.
func TestNoPlaceIsGivenUpForLittle(t *testing.T) {
	for name, do := range map[string]func(*Caller) error{
		"at once": func(c *Caller) error {
			c.Policy.Steps = []time.Duration{}
			return c.Do(context.Background(), "X", "cn-hangzhou", throttles)
		},
		"cancelled": func(c *Caller) error {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(16*time.Second, cancel)
			c.Timeout = time.Minute
			return c.Do(ctx, "X", "cn-hangzhou", silent)
		},
		"an error of no call": func(c *Caller) error {
			return c.Do(context.Background(), "X", "cn-hangzhou", func(context.Context) (string, error) {
				<-time.After(20 * time.Second)
				return "", errors.New("a bug")
			})
		},
		"of a limiter that does not": func(c *Caller) error {
			c.Limit.GivesUp = false
			c.Policy.Steps = append(defaultSteps, 8*time.Second)
			return c.Do(context.Background(), "X", "cn-hangzhou", throttles)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := patient()
				if err := do(c); err == nil {
					t.Fatal("it went well")
				}
				if err := c.Limit.givenUp("X", true); err != nil {
					t.Errorf("given up: %v", err)
				}
			})
		})
	}
}

// One call proves it that lasts as long as some repetitions.
func TestAPlaceIsGivenUpForOneCallOfFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for timeout, want := range map[time.Duration]bool{giveUpAfter: true, giveUpAfter - 1: false} {
			c := patient()
			c.Timeout, c.Policy.Unknown = timeout, 0
			_ = c.Do(t.Context(), "X", "cn-hangzhou", silent)
			if err := c.Limit.givenUp("X", true); (err != nil) != want {
				t.Errorf("after %s: %v", timeout, err)
			}
		}
	})
}
