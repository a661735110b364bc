package handler_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A hookedStore calls a hook before the record is written that a call begins.
type hookedStore struct {
	journal.Store
	begins func()
	broken bool // the log of freezes cannot be read
}

func (s *hookedStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if s.begins != nil && bytes.Contains(lines, []byte(`"kind":"begun"`)) {
		s.begins()
		s.begins = nil
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
				store := &hookedStore{Store: journal.Memory()}
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
			store := &hookedStore{Store: journal.Memory(), broken: !late}
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
