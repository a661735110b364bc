package handler_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
)

// secondStore takes a second for an append, and nothing for all else.
type secondStore struct{ journal.Store }

func (s secondStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	select {
	case <-time.After(time.Second):
		return s.Store.Append(ctx, key, at, lines)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Opened with the first tick; begun, beside the entry among the open requests; ended;
// published with the tick that looks again. So many appends come one after the other,
// since each says what must be known before the next step.
func TestASmallRequestTakesFourAppendsOneAfterTheOther(t *testing.T) {
	for _, n := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench(t)
			began := time.Now()
			b.handle(secondStore{journal.Memory()}, time.Minute, requestFor(n))
			if took := time.Since(began); took != 4*time.Second {
				t.Errorf("%d desktops: %s of appends, want 4s", n, took)
			}
			if b.count("/accepted") != n || len(b.ecd.calls) != n {
				t.Errorf("%d desktops: %d are called, %v told", n, len(b.ecd.calls), b.topic.told)
			}
		})
	}
}
