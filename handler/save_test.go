package handler

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

type panickingSaver struct{}

func (panickingSaver) CreateSnapshot(context.Context, string, string, string) (string, error) {
	panic("a bug")
}

// A panic outside of the goroutine that contains panics would end the instance, and with
// it everything else that it works on.
func TestAPanicWhileASnapshotIsAskedForIsThatOfItsDesktopAlone(t *testing.T) {
	a := &acting{Services: Services{Saver: panickingSaver{}}, within: t.Context()}
	id, err := a.snapshot("ecd-1", "n")
	if id != "" || err == nil || saveReason(err).Code != events.CodeOutcomeUnknown {
		t.Errorf("got %q, %v, want that nothing is known of the call", id, err)
	}
}

// What a refused call for a snapshot is called decides whether it may be made again: one
// of which nothing is known may not be.
func TestWhyASnapshotWasNotAskedFor(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no answer"), events.CodeOutcomeUnknown}, {&desktop.CallError{Delivery: desktop.Unknown}, events.CodeOutcomeUnknown},
		{&desktop.CallError{Delivery: desktop.Unknown, Throttled: true}, events.CodeOutcomeUnknown}, {&desktop.CallError{Delivery: desktop.Refused, Throttled: true}, events.CodeThrottled},
		{&desktop.CallError{Delivery: desktop.NotSent, Throttled: true}, events.CodeThrottled}, {&desktop.CallError{Delivery: desktop.NotSent}, events.CodeCallFailed},
		{&desktop.CallError{Delivery: desktop.Forbidden}, events.CodeNotAuthorized}, {&desktop.CallError{Delivery: desktop.Refused, Code: "QuotaExceed"}, events.CodeSnapshotFailed},
		{&desktop.CallError{Delivery: desktop.Refused, Code: rollout.IncorrectDesktopStatus}, rollout.IncorrectDesktopStatus},
		{&desktop.CallError{Delivery: desktop.Unknown, Code: rollout.IncorrectDesktopStatus}, events.CodeOutcomeUnknown},
	} {
		if got := saveReason(c.err); got.Code != c.want || got.Message == "" {
			t.Errorf("%v: got %+v, want %s", c.err, got, c.want)
		}
	}
}

// A countingSaver counts what it is asked for.
type countingSaver struct{ n atomic.Int64 }

func (s *countingSaver) CreateSnapshot(_ context.Context, _, id, _ string) (string, error) {
	s.n.Add(1)
	return "s-" + id, nil
}

// All that is announced in one step is asked for, some at once; and nothing of a job that
// cannot go on.
func TestSnapshotsAreAskedForOfAllDesktopsUnlessTheJobHasFailed(t *testing.T) {
	for _, failed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newCallsBench(t)
			j := b.job("r1", "ecd-1")
			all := rollout.Act{What: rollout.Save, N: 1}
			for i := range 3 * saveWorkers {
				all.Desktops = append(all.Desktops, fmt.Sprint("ecd-", i))
			}
			if failed {
				j.fail(errors.New("something else"))
			}
			a, saver := b.saving(j), &countingSaver{}
			a.Saver = saver
			a.save(all, "c1")
			want := len(all.Desktops)
			if failed {
				want = 0
			}
			if got := len(b.records(j, rollout.KindSaved)); int(saver.n.Load()) != want || got != want {
				t.Errorf("failed before (%t): %d asked for, %d written down, want %d", failed, saver.n.Load(), got, want)
			}
			b.run.out.close()
		})
	}
}
