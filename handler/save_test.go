package handler

import (
	"context"
	"testing"

	"github.com/regild/regild/events"
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
	id, err := a.snapshot(rollout.Saving{DesktopID: "ecd-1", Name: "n", Round: 1})
	if id != "" || err == nil || saveReason(err).Code != events.CodeOutcomeUnknown {
		t.Errorf("got %q, %v, want that nothing is known of the call", id, err)
	}
}
