package ecd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// A region that does not answer is given up, by itself, for reads and changes apart,
// and asked again in the next invocation.
func TestARegionThatDoesNotAnswerIsAskedAgainInTheNextInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		try := func(by *pace.Caller, err error) (sent bool) {
			_ = by.Do(t.Context(), "X", "", func(context.Context) (string, error) {
				sent = true
				return "", err
			})
			return sent
		}
		one, other := c.in("cn-hangzhou"), c.in("cn-shanghai")
		for _, by := range []*pace.Caller{&one.reads, &one.rebuilds} {
			start := time.Now()
			for try(by, &desktop.CallError{Delivery: desktop.NotSent, Throttled: true}) {
				if time.Since(start) > time.Minute {
					t.Fatal("it is not given up")
				}
			}
		}
		if !try(&other.reads, nil) || !try(&other.changes, nil) {
			t.Error("the other region is given up too")
		}
		if c.Renew(); !try(&one.reads, nil) || !try(&one.changes, nil) {
			t.Error("after Renew it is still given up")
		}
	})
}

// In a region one rebuild and two reads are let through without its lease.
func TestTheLeaseOfARegionIsForAllCallsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c, err := New(Config{Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, nil },
			Lease: func(region string) *pace.Lease {
				asked++
				return pace.NewLease(noLog{}, region, "me", func(place, _ string) string { return place }, nil)
			}})
		if err != nil {
			t.Fatal(err)
		}
		in := c.in("cn-hangzhou")
		for by, few := range map[*pace.Limiter]int{in.changes.Limit: fewChanges, in.reads.Limit: fewReads} {
			var slots []pace.Slot
			for range few {
				s, err := by.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				slots = append(slots, s)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := by.Acquire(ctx); err == nil {
				t.Errorf("more than %d calls are let through", few)
			}
			cancel()
			for _, s := range slots {
				s.Release(nil)
			}
		}
		if c.ReleaseLeases(t.Context()); asked != 1 || in.rebuilds.Limit != in.changes.Limit {
			t.Errorf("%d leases were made", asked)
		}
	})
}

// noLog is a journal that cannot be reached.
type noLog struct{}

func (noLog) Read(context.Context, string, int64) ([]byte, int64, error) {
	return nil, 0, context.DeadlineExceeded
}

func (noLog) Append(context.Context, string, int64, []byte) (int64, error) {
	return 0, context.DeadlineExceeded
}
