package acs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

const callAssume = "AssumeRole"

// Bounds of what Assumed keeps.
const (
	renewBefore  = 5 * time.Minute  // their end, credentials are asked for anew
	usableBefore = time.Minute      // their end, the old ones no longer serve
	keepRefusal  = time.Minute      // before it is asked again whether the role can be assumed
	keepFailure  = 5 * time.Second  // likewise, after a question that had no answer
	assumeLimit  = 15 * time.Second // for one question, with its repetitions
)

// An Assumed keeps the credentials of a role: they are asked for when they are first
// needed and again before they end, by one of those who need them, for all. It may be
// used from several goroutines.
type Assumed struct {
	whose string // for people: the account
	arn   string
	ask   func(context.Context) (credentials.Keys, time.Time, error)
	now   func() time.Time
	one   singleflight.Group

	mu     sync.Mutex
	keys   credentials.Keys // none: not complete
	until  time.Time
	failed error // why there are no new ones; kept until again
	again  time.Time
}

// NewAssumed returns the keeper of a role's credentials. whose names the account for
// people, and now is the clock by which credentials end.
func NewAssumed(c *Client, whose string, r AssumeRole, now func() time.Time) *Assumed {
	return &Assumed{whose: whose, arn: r.ARN, now: now,
		ask: func(ctx context.Context) (credentials.Keys, time.Time, error) { return c.AssumeRole(ctx, r) }}
}

// Keys returns credentials for one attempt at a call. Its errors are
// *desktop.CallError: Forbidden if the role cannot be assumed, else NotSent. The
// question is signed with the credentials of ctx, and does not end with ctx.
func (a *Assumed) Keys(ctx context.Context) (credentials.Keys, error) {
	if keys, err, known := a.known(); known {
		return keys, err
	}
	answer := a.one.DoChan("", func() (any, error) {
		if keys, err, known := a.known(); known { // another has asked meanwhile
			return keys, err
		}
		return a.renew(context.WithoutCancel(ctx))
	})
	select {
	case got := <-answer:
		keys, _ := got.Val.(credentials.Keys)
		return keys, got.Err
	case <-ctx.Done():
		return credentials.Keys{}, &desktop.CallError{Call: callAssume, Delivery: desktop.NotSent, Message: a.about(ctx.Err()), Err: ctx.Err()}
	}
}

// Reject drops credentials that a service did not accept.
func (a *Assumed) Reject(keys credentials.Keys) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == keys {
		a.keys = credentials.Keys{}
	}
}

// known returns what can be said without asking.
func (a *Assumed) known() (keys credentials.Keys, err error, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	serves := func(before time.Duration) bool { return a.keys.Complete() && now.Before(a.until.Add(-before)) }
	switch waits := a.failed != nil && now.Before(a.again); {
	case serves(renewBefore), waits && serves(usableBefore):
		return a.keys, nil, true
	case waits:
		return keys, a.failed, true
	}
	return keys, nil, false
}

// renew asks for new credentials and keeps what it learns.
func (a *Assumed) renew(ctx context.Context) (credentials.Keys, error) {
	ctx, cancel := context.WithTimeout(ctx, assumeLimit)
	defer cancel()
	keys, until, err := a.ask(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.keys, a.until, a.failed = keys, until, nil
		return keys, nil
	}
	e := a.fault(err)
	a.failed = e
	a.again = a.now().Add(keepFailure)
	if e.Delivery == desktop.Forbidden {
		a.keys, a.again = credentials.Keys{}, a.now().Add(keepRefusal)
	}
	if a.keys.Complete() && a.now().Before(a.until.Add(-usableBefore)) {
		return a.keys, nil
	}
	return credentials.Keys{}, e
}

// fault says what a failed question means for the call that needs its answer, which
// was not sent: an answer that refuses the role is about all calls of the account.
func (a *Assumed) fault(err error) *desktop.CallError {
	out := &desktop.CallError{Call: callAssume, Delivery: desktop.NotSent, Message: a.about(err), Err: err}
	if e, ok := errors.AsType[*desktop.CallError](err); ok {
		out.Code, out.RequestID, out.Throttled, out.Message = e.Code, e.RequestID, e.Throttled, a.about(errors.New(e.Message))
		if e.Delivery == desktop.Forbidden || e.Delivery == desktop.Refused {
			out.Delivery = desktop.Forbidden
		}
	}
	return out
}

func (a *Assumed) about(err error) string {
	return fmt.Sprintf("the role %s of %s cannot be assumed: %s", a.arn, a.whose, err)
}
