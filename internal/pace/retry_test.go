package pace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

var (
	errNotSent = &desktop.CallError{Call: "X", Delivery: desktop.NotSent}
	errUnknown = &desktop.CallError{Call: "X"}
	errRefused = &desktop.CallError{Call: "X", Delivery: desktop.Refused}
)

// failing returns a call that fails with each of errs in turn and then succeeds,
// and a count of its attempts.
func failing(errs ...error) (func(context.Context) error, *int) {
	n := new(int)
	return func(context.Context) error {
		*n++
		if *n <= len(errs) {
			return errs[*n-1]
		}
		return nil
	}, n
}

func TestOnlyWhatCertainlyDidNotHappenIsRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		unknown  int
		errs     []error
		attempts int
		want     error
	}{
		"success":                       {0, nil, 1, nil},
		"not sent":                      {0, []error{errNotSent, errNotSent}, 3, nil},
		"throttled":                     {0, []error{errThrottled}, 2, nil},
		"unknown delivery":              {0, []error{errUnknown}, 1, errUnknown},
		"refused":                       {0, []error{errRefused}, 1, errRefused},
		"forbidden":                     {0, []error{&desktop.CallError{Delivery: desktop.Forbidden}}, 1, &desktop.CallError{Delivery: desktop.Forbidden}},
		"foreign error":                 {2, []error{context.Canceled}, 1, context.Canceled},
		"unknown where harmless":        {2, []error{errUnknown, errUnknown}, 3, nil},
		"unknown too often":             {2, []error{errUnknown, errNotSent, errUnknown, errUnknown}, 4, errUnknown},
		"not sent, and then unknown":    {0, []error{errNotSent, errUnknown}, 2, errUnknown},
		"never arriving":                {0, slices.Repeat([]error{errNotSent}, 9), 6, errNotSent},
		"no time for throttling's wait": {0, []error{&desktop.CallError{Delivery: desktop.NotSent, Err: ErrNoTime}}, 1, ErrNoTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, attempts := failing(c.errs...)
				err := Retry(t.Context(), Policy{Unknown: c.unknown}, call)
				if *attempts != c.attempts {
					t.Errorf("attempts: got %d, want %d", *attempts, c.attempts)
				}
				if (err == nil) != (c.want == nil) || (err != nil && !errors.Is(err, c.want) && err.Error() != c.want.Error()) {
					t.Errorf("error: got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestWaitsDoubleUpToEightSecondsWithFullJitter(t *testing.T) {
	for name, c := range map[string]struct {
		rand float64
		want []time.Duration
	}{
		"all of it": {1, []time.Duration{1000, 2000, 4000, 8000, 8000}},
		"a quarter": {.25, []time.Duration{250, 500, 1000, 2000, 2000}},
		"nothing":   {0, []time.Duration{0, 0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var waits []time.Duration
			call, _ := failing(slices.Repeat([]error{errNotSent}, 9)...)
			_ = Retry(t.Context(), Policy{
				Rand:  func() float64 { return c.rand },
				Sleep: func(_ context.Context, d time.Duration) error { waits = append(waits, d/time.Millisecond); return nil },
			}, call)
			if !slices.Equal(waits, c.want) {
				t.Errorf("waits in ms: got %v, want %v", waits, c.want)
			}
		})
	}
}

func TestNoAttemptBeginsThatTheTimeLeftWouldNotDoFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		call, attempts := failing(slices.Repeat([]error{errNotSent}, 9)...)
		start := time.Now()
		// Waits of 1 and 2 seconds leave 7; another 4 would leave less than 5.
		err := Retry(ctx, Policy{Need: 5 * time.Second, Rand: func() float64 { return 1 }}, call)
		if !errors.Is(err, errNotSent) || *attempts != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %d attempts and %v, want %v after 3 and 3s", err, *attempts, time.Since(start), errNotSent)
		}
	})
}

// An attempt that just fits begins.
func TestAnAttemptBeginsThatTheTimeLeftJustDoesFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		call, attempts := failing(errNotSent)
		if err := Retry(ctx, Policy{Need: 9 * time.Second, Rand: func() float64 { return 1 }}, call); err != nil || *attempts != 2 {
			t.Errorf("got %v after %d attempts", err, *attempts)
		}
	})
}

// Whoever has left wants no other attempt, also where no wait comes before it.
func TestNoAttemptFollowsTheEndOfTheContext(t *testing.T) {
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := Retry(ctx, Policy{Rand: func() float64 { return 0 }}, func(context.Context) error {
			n++
			cancel()
			return errNotSent
		})
		if n != 1 || !errors.Is(err, errNotSent) {
			t.Fatalf("got %v after %d attempts", err, n)
		}
	}
}

func TestALimitersPausesGoWithTheWaits(t *testing.T) {
	for name, c := range map[string]struct {
		steps          []time.Duration
		first, longest time.Duration
	}{
		"none": {[]time.Duration{}, 0, 0}, "the default": {defaultSteps, firstPause, longestPause}, "one": {[]time.Duration{time.Second}, time.Second / 4, time.Second / 2},
	} {
		if l := (Policy{Steps: c.steps}).Limiter(3); l.Max != 3 || l.FirstPause != c.first || l.LongestPause != c.longest {
			t.Errorf("%s: got %d, %s, %s", name, l.Max, l.FirstPause, l.LongestPause)
		}
	}
}

func TestACancelledWaitReturnsTheCallsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		call, attempts := failing(errNotSent)
		err := Retry(ctx, Policy{Rand: func() float64 { return 1 }}, call)
		if !errors.Is(err, errNotSent) || *attempts != 1 {
			t.Errorf("got %v after %d attempts, want %v after 1", err, *attempts, errNotSent)
		}
	})
}

// A call that waits too long for its turn is not sent, nor tried again.
func TestACallIsNotBegunAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := Caller{Limit: &Limiter{Max: 1}}, time.Now()
		slot := acquire(t, c.Limit)
		ctx := desktop.BeginBefore(t.Context(), start.Add(20*time.Second))
		err := c.Do(ctx, "DoThis", "cn-hangzhou", func(context.Context) (string, error) {
			t.Error("it was sent")
			return "", nil
		})
		if !errors.Is(err, desktop.ErrTooLate) || desktop.DeliveryOf(err) != desktop.NotSent || time.Since(start) != 20*time.Second {
			t.Errorf("got %v after %s, want %v after 20s", err, time.Since(start), desktop.ErrTooLate)
		}
		short, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		if err := c.Do(short, "DoThis", "cn-hangzhou", nil); errors.Is(err, desktop.ErrTooLate) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with no time left at all: got %v", err)
		}
		slot.Release(errThrottled)
		if err := c.Do(desktop.BeginBefore(t.Context(), time.Now().Add(100*time.Millisecond)), "DoThis", "cn-hangzhou", nil); !errors.Is(err, ErrNoTime) {
			t.Errorf("in a pause that is longer: got %v, want %v", err, ErrNoTime)
		} else if e, _ := errors.AsType[*desktop.CallError](err); !e.Unasked {
			t.Error("a call that got no turn counts as asked")
		}
	})
}

// One that was throttled is tried again until then.
func TestAThrottledCallIsTriedAgainUntilItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := Caller{Limit: &Limiter{}, Policy: Policy{Rand: func() float64 { return 1 }}}, time.Now()
		latest, n := start.Add(5*time.Second), 0
		err := c.Do(desktop.BeginBefore(t.Context(), latest), "DoThis", "cn-hangzhou", func(context.Context) (string, error) {
			if n++; time.Now().After(latest) {
				t.Errorf("attempt %d came after %s", n, time.Since(start))
			}
			return "", errThrottled
		})
		if n != 3 || desktop.DeliveryOf(err) != desktop.NotSent {
			t.Errorf("got %v after %d attempts, want 3", err, n)
		}
	})
}

func TestACallerTellsItsObserverOfEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Call
		c := Caller{Limit: &Limiter{}, Timeout: time.Second, Observe: func(c Call) { told = append(told, c) }}
		n := 0
		err := c.Do(t.Context(), "DoThis", "cn-hangzhou", func(ctx context.Context) (string, error) {
			if n++; n == 1 {
				<-ctx.Done() // the attempt's own timeout
				return "", errNotSent
			}
			return "req-2", nil
		})
		if err != nil || len(told) != 2 {
			t.Fatalf("got %v and %d attempts told, want none and 2", err, len(told))
		}
		if got := told[0]; got.Err != errNotSent || got.Took != time.Second || got.RequestID != "" {
			t.Errorf("first attempt: got %+v, want %v after 1s", got, errNotSent)
		}
		if got := told[1]; got.Err != nil || got.Name != "DoThis" || got.RegionID != "cn-hangzhou" || got.RequestID != "req-2" {
			t.Errorf("second attempt: got %+v", got)
		}
	})
}

// An error of no call is a failure all the same.
func TestAnObserverIsToldOfEachError(t *testing.T) {
	var told []Call
	c := Caller{Limit: &Limiter{}, Observe: func(c Call) { told = append(told, c) }}
	bug := errors.New("a bug")
	if err := c.Do(t.Context(), "DoThis", "r", func(context.Context) (string, error) { return "", bug }); !errors.Is(err, bug) {
		t.Errorf("got %v", err)
	}
	if len(told) != 1 || told[0].Err == nil || told[0].Err.Call != "DoThis" || told[0].Err.Message != "a bug" || told[0].Err.Delivery != desktop.Unknown || !errors.Is(told[0].Err, bug) {
		t.Errorf("told %+v", told)
	}
}

func TestACallerThatGetsNoTurnHasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Caller{Limit: &Limiter{Max: 1}}
		if _, err := c.Limit.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Do(ctx, "DoThis", "r", func(context.Context) (string, error) {
			t.Error("the call was made")
			return "", nil
		})
		if desktop.DeliveryOf(err) != desktop.NotSent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want not sent because of the deadline", err)
		}
	})
}

func TestACallerWithoutTimeForThrottlingsPauseIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Caller{Limit: &Limiter{}, Policy: Policy{Steps: []time.Duration{}}}
		_ = c.Do(t.Context(), "DoThis", "r", func(context.Context) (string, error) { return "", errThrottled })
		ctx, cancel := context.WithTimeout(t.Context(), firstPause/2)
		defer cancel()
		err := c.Do(ctx, "DoThis", "r", func(context.Context) (string, error) { return "", nil })
		if e, ok := errors.AsType[*desktop.CallError](err); !ok || !e.Throttled || e.Delivery != desktop.NotSent {
			t.Errorf("got %v, want it throttled", err)
		}
	})
}

func TestAPanickingCallGivesItsSlotBack(t *testing.T) {
	c := Caller{Limit: &Limiter{Max: 2, FirstPause: 1, LongestPause: 1}}
	acquire(t, c.Limit).Release(errThrottled)
	func() {
		defer func() { _ = recover() }()
		_ = c.Do(t.Context(), "X", "r", func(context.Context) (string, error) { panic("boom") })
	}()
	if got := c.Limit.Allowed(); got != 1 {
		t.Errorf("%d calls are allowed at once after one that was throttled and one that panicked: it counts as a success", got)
	}
	if err := c.Do(t.Context(), "X", "r", func(context.Context) (string, error) { return "", nil }); err != nil {
		t.Errorf("the call after a panic: %v", err)
	}
}

func TestMessagesCarryNoCredentialsAndAreShort(t *testing.T) {
	keys := credentials.Keys{ID: "LTAIabc", Secret: "s3cr3t", Token: "CAISabc"}
	got := Message("string to sign is:\n LTAIabc\tCAISabc s3cr3t \xff", keys)
	if want := "string to sign is: [credentials] [credentials] [credentials] \uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if exact := strings.Repeat("x", maxMessage); Message(exact, keys) != exact {
		t.Error("a message as long as allowed is cut")
	}
	if got := Message(strings.Repeat("é", 600), keys); len(got) > maxMessage+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("a long message has %d bytes and ends in %q", len(got), got[len(got)-6:])
	}
}
