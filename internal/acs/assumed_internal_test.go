package acs

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

// asked is a role whose credentials last an hour and are numbered, unless err says why
// there are none.
type asked struct {
	*Assumed
	mu    sync.Mutex
	n     int
	err   error
	takes time.Duration
}

func newAsked() *asked {
	a := &asked{takes: time.Second}
	a.Assumed = &Assumed{whose: "account tools (2)", arn: "acs:ram::2:role/r", now: time.Now, ask: func(ctx context.Context) (keys credentials.Keys, until time.Time, err error) {
		select {
		case <-time.After(a.takes):
		case <-ctx.Done():
			return keys, until, ctx.Err()
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.n++
		if a.err != nil {
			return keys, until, a.err
		}
		n := strconv.Itoa(a.n)
		return credentials.Keys{ID: "id" + n, Secret: "secret" + n, Token: "token" + n}, time.Now().Add(time.Hour), nil
	}}
	return a
}

func (a *asked) fails(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// want asks for credentials and holds them to those of the n-th answer, after so many
// calls.
func (a *asked) want(t *testing.T, n, calls int) {
	t.Helper()
	_ = a.hold(t, n, calls)
}

// wantNone holds that there are none, and returns why.
func (a *asked) wantNone(t *testing.T, calls int) error {
	t.Helper()
	return a.hold(t, 0, calls)
}

func (a *asked) hold(t *testing.T, n, calls int) error {
	t.Helper()
	keys, err := a.Keys(t.Context())
	want := ""
	if n > 0 {
		want = "id" + strconv.Itoa(n)
	}
	if keys.ID != want || a.n != calls || (err == nil) != (n > 0) {
		t.Errorf("got %q after %d calls (%v), want %q after %d", keys.ID, a.n, err, want, calls)
	}
	return err
}

func TestCredentialsAreKeptUntilFiveMinutesBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		a.want(t, 1, 1)
		pass(55*time.Minute - time.Second)
		a.want(t, 1, 1)
		pass(time.Second)
		a.want(t, 2, 2)
	})
}

func TestCredentialsAreAskedForOnceForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		for round := 1; round <= 3; round++ {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					keys, err := a.Keys(t.Context())
					if n := strings.TrimPrefix(keys.ID, "id"); err != nil || keys.Secret != "secret"+n || keys.Token != "token"+n || n != strconv.Itoa(round) {
						t.Errorf("round %d: got %q (%v)", round, keys.ID, err)
					}
				})
			}
			wg.Wait()
			if a.n != round {
				t.Errorf("round %d: %d calls", round, a.n)
			}
			pass(56 * time.Minute)
		}
	})
}

func TestAQuestionDoesNotEndWithTheCallerThatPutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := a.Keys(short); desktop.DeliveryOf(err) != desktop.NotSent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want not sent for want of time", err)
		}
		a.want(t, 1, 1)
	})
}

func TestARefusalIsKeptForAMinuteAndIsAboutTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, delivery := range []desktop.Delivery{desktop.Forbidden, desktop.Refused} {
			a := newAsked()
			a.fails(&desktop.CallError{Call: "AssumeRole", Delivery: delivery, Code: "NoPermission", Message: "not trusted", RequestID: "r-1"})
			err := a.wantNone(t, 1)
			e, ok := errors.AsType[*desktop.CallError](err)
			if !ok || e.Delivery != desktop.Forbidden || e.Call != "AssumeRole" || e.Code != "NoPermission" || e.RequestID != "r-1" ||
				!strings.Contains(e.Error(), "acs:ram::2:role/r of account tools (2) cannot be assumed: not trusted") {
				t.Errorf("got %v", err)
			}
			pass(keepRefusal - time.Millisecond)
			_ = a.wantNone(t, 1)
			a.fails(nil)
			pass(time.Millisecond)
			a.want(t, 2, 2)
		}
	})
}

func TestOldCredentialsServeWhileNoAnswerComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		a.takes = 0
		a.want(t, 1, 1)
		a.fails(&desktop.CallError{Call: "AssumeRole", Delivery: desktop.Unknown, Message: "reset"})
		pass(56 * time.Minute)
		a.want(t, 1, 2)
		a.want(t, 1, 2) // and it is not asked at each call
		pass(keepFailure)
		a.want(t, 1, 3)
		pass(3*time.Minute - keepFailure) // a minute before their end
		if err := a.wantNone(t, 4); desktop.DeliveryOf(err) != desktop.NotSent {
			t.Errorf("got %v, want not sent: the account may be there in a moment", err)
		}
		a.fails(&desktop.CallError{Call: "AssumeRole", Delivery: desktop.NotSent, Throttled: true, Message: "slowly"})
		pass(keepFailure)
		if e, ok := errors.AsType[*desktop.CallError](a.wantNone(t, 5)); !ok || !e.Throttled {
			t.Errorf("got %v, want throttled", e)
		}
	})
}

func TestARoleThatIsTakenAwayEndsItsCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		a.want(t, 1, 1)
		a.fails(&desktop.CallError{Call: "AssumeRole", Delivery: desktop.Forbidden, Code: "NoPermission"})
		pass(55 * time.Minute)
		_ = a.wantNone(t, 2)
	})
}

func TestCredentialsThatWereNotAcceptedAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		a.want(t, 1, 1)
		a.Reject(credentials.Keys{ID: "id0"}) // of an earlier hour
		a.want(t, 1, 1)
		a.Reject(credentials.Keys{ID: "id1", Secret: "secret1", Token: "token1"})
		a.want(t, 2, 2)
	})
}

func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // time of the bubble, which takes none
