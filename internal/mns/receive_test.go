package mns

import (
	"errors"
	"strings"
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

// What was not deleted comes again: none of it may count as deleted.
func TestOnlyWhatIsGoneCountsAsDeleted(t *testing.T) {
	gone := func(codes ...string) string {
		body := `<Errors xmlns="http://mns.aliyuncs.com/doc/v1">`
		for _, c := range codes {
			body += "<Error><ErrorCode>" + c + "</ErrorCode></Error>"
		}
		return body + "</Errors>"
	}
	one := []string{"handle"}
	for name, c := range map[string]struct {
		status  int
		body    string
		handles []string
		fails   bool
		calls   int
	}{
		"deleted":                {204, "", one, false, 1},
		"as many as go":          {204, "", make([]string, MaxBatch), false, 1},
		"too many":               {204, "", make([]string, MaxBatch+1), true, 0},
		"gone":                   {404, gone("MessageNotExist", "MessageNotExist"), one, false, 1},
		"one is not":             {404, gone("MessageNotExist", "InternalError"), one, true, 4},
		"nothing is said of any": {404, gone(), one, true, 4},
		"cut off":                {404, gone("MessageNotExist")[:100], one, true, 4},
		"another status":         {500, gone("MessageNotExist"), one, true, 4},
		"no queue":               {404, errorBody("QueueNotExist"), one, true, 1},
	} {
		s := serve(t, say(c.status, c.body))
		err := client(t, s.URL).Delete(t.Context(), "requests", c.handles)
		if (err != nil) != c.fails || s.calls() != c.calls {
			t.Errorf("%s: %v after %d calls, want %d", name, err, s.calls(), c.calls)
		}
	}
	err := client(t, "http://127.0.0.1:1").Delete(t.Context(), "a queue", nil)
	if err == nil || !strings.Contains(err.Error(), "name of a queue") {
		t.Errorf("got %v, want the name", err)
	}
	err = client(t, "http://127.0.0.1:1").Delete(t.Context(), "requests", nil)
	if err == nil || !strings.Contains(err.Error(), "not 0") {
		t.Errorf("got %v, want how many", err)
	}
}
