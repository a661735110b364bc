package mns

import (
	"errors"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud/fault"
)

func TestWhatIsReceivedStaysUntilItIsDeleted(t *testing.T) {
	s, clock, c := newCloud(t, &fault.Injector{})
	if got, err := c.Receive(t.Context(), "requests", MaxBatch, 0); err != nil || len(got) != 0 {
		t.Fatalf("an empty queue: got %+v, %v", got, err)
	}
	body := "{\"a\": \"<&>\u91cd\"}"
	if _, err := c.Send(t.Context(), "requests", []byte(body), 0); err != nil {
		t.Fatal(err)
	}
	got, err := c.Receive(t.Context(), "requests", MaxBatch, 0)
	if err != nil || len(got) != 1 || string(got[0].Body) != body || got[0].ID == "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if again, err := c.Receive(t.Context(), "requests", MaxBatch, 0); err != nil || len(again) != 0 {
		t.Errorf("while it is hidden: got %+v, %v", again, err)
	}
	clock.Advance(time.Hour)
	again, err := c.Receive(t.Context(), "requests", 1, 0)
	if err != nil || len(again) != 1 {
		t.Fatalf("not deleted: got %+v, %v; want it again", again, err)
	}
	if err := c.Delete(t.Context(), "requests", []string{again[0].Handle}); err != nil {
		t.Error(err)
	}
	if left := s.Pending("requests"); len(left) != 0 {
		t.Errorf("deleted: %d are left", len(left))
	}
	if err := c.Delete(t.Context(), "requests", []string{again[0].Handle}); err != nil {
		t.Errorf("deleting it twice: %v", err)
	}
}

func TestReceivingThatCannotBeSaysWhy(t *testing.T) {
	_, _, c := newCloud(t, &fault.Injector{})
	_, noQueue := c.Receive(t.Context(), "nowhere", 1, 0)
	_, badName := c.Receive(t.Context(), "a queue", 1, 0)
	for name, err := range map[string]error{
		"no such queue": noQueue, "no name": badName,
		"nothing to delete": c.Delete(t.Context(), "requests", nil),
	} {
		if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.Delivery != desktop.Refused {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}
