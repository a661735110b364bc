package mns

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
	cloud "github.com/regild/regild/internal/localcloud/mns"
)

// newCloud starts the local cloud's MNS, which verifies signatures, with topic
// outcomes and queue requests, and returns a client of it.
func newCloud(t testing.TB, faults *fault.Injector, change ...func(*Config)) (*cloud.Server, *clock.Clock, *Client) {
	t.Helper()
	s, c := emptyCloud(faults)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, c, client(t, server.URL, change...)
}

func emptyCloud(faults *fault.Injector) (*cloud.Server, *clock.Clock) {
	c := clock.New(time.Now(), 0)
	s := cloud.New(cloud.Options{Clock: c, Faults: faults, Keys: []cloud.Keys{{ID: keys.ID, Secret: keys.Secret, Token: keys.Token}}})
	s.CreateTopic("outcomes")
	s.CreateQueue("requests", cloud.QueueAttributes{})
	return s, c
}

func TestTheLocalCloudTakesWhatIsPublished(t *testing.T) {
	s, _, c := newCloud(t, &fault.Injector{})
	body := `{"quote":"\"<&>","text":"重建"}` + "\r\n\t"
	id, err := c.Publish(t.Context(), "outcomes", []byte(body), "accepted")
	got := s.Published("outcomes")
	if err != nil || len(got) != 1 || got[0].ID != id || string(got[0].Body) != body || got[0].Tag != "accepted" {
		t.Errorf("got %+v and id %q (%v)", got, id, err)
	}
}

func TestADelayedMessageIsThereWhenItsTimeHasCome(t *testing.T) {
	s, clock, c := newCloud(t, &fault.Injector{})
	if _, err := c.Send(t.Context(), "requests", []byte("tick"), 90*time.Second); err != nil {
		t.Fatal(err)
	}
	clock.Advance(89 * time.Second)
	if got := s.Receive(t.Context(), "requests", 1, 0); len(got) != 0 {
		t.Errorf("too early: got %+v", got)
	}
	clock.Advance(time.Second)
	if got := s.Receive(t.Context(), "requests", 1, 0); len(got) != 1 || string(got[0].Body) != "tick" || got[0].Priority != priority {
		t.Errorf("in time: got %+v", got)
	}
}

func TestABatchComesAfterEachOfItsDelays(t *testing.T) {
	s, clock, c := newCloud(t, &fault.Injector{})
	if err := c.SendEach(t.Context(), "requests", []byte("tick"), time.Second, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []time.Duration{time.Second, 19 * time.Second} {
		clock.Advance(wait)
		if got := s.Receive(t.Context(), "requests", 2, 0); len(got) != 1 || string(got[0].Body) != "tick" || got[0].Priority != priority {
			t.Errorf("after %s more: got %+v", wait, got)
		}
	}
}

func TestAMessageGetsThroughWhateverBreaksAtFirst(t *testing.T) {
	for kind, copies := range map[fault.Kind]int{
		fault.Throttle: 1, fault.Error: 1, fault.HTML: 1, fault.Empty: 1, fault.CloseBefore: 1,
		fault.CloseAfter: 3, fault.ErrorAfter: 3, fault.EmptyAfter: 3, fault.Truncate: 3, // may arrive more than once
	} {
		t.Run(string(kind), func(t *testing.T) {
			faults := &fault.Injector{}
			faults.Add(fault.Rule{Service: "mns", Kind: kind, Times: 2})
			s, _, c := newCloud(t, faults)
			if _, err := c.Publish(t.Context(), "outcomes", []byte("{}"), ""); err != nil {
				t.Errorf("Publish: %v", err)
			}
			if got := len(s.Published("outcomes")); got != copies {
				t.Errorf("copies: got %d, want %d", got, copies)
			}
			if got := faults.Count("mns", "PublishMessage"); got != 3 {
				t.Errorf("sends: got %d, want 3", got)
			}
		})
	}
}

func TestTheLocalCloudsRefusalsKeepTheirCode(t *testing.T) {
	_, _, c := newCloud(t, &fault.Injector{})
	for want, send := range map[string]func() error{
		"TopicNotExist": func() error { _, err := c.Publish(t.Context(), "nowhere", []byte("{}"), ""); return err },
		"QueueNotExist": func() error { _, err := c.Send(t.Context(), "nowhere", []byte("{}"), 0); return err },
	} {
		e, ok := errors.AsType[*desktop.CallError](send())
		if !ok || e.Delivery != desktop.Refused || e.Code != want || e.RequestID == "" {
			t.Errorf("got %+v, want refused with %s", e, want)
		}
	}
	_, _, wrong := newCloud(t, &fault.Injector{}, func(c *Config) {
		c.Keys = func(context.Context) (credentials.Keys, error) {
			return credentials.Keys{ID: keys.ID, Secret: "other", Token: keys.Token}, nil
		}
	})
	_, err := wrong.Publish(t.Context(), "outcomes", []byte("{}"), "")
	if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.Delivery != desktop.Forbidden || e.Code != "SignatureDoesNotMatch" {
		t.Errorf("a wrong secret: got %v, want a forbidden signature", err)
	}
}

func TestRotatedCredentialsAreTakenAtTheNextCall(t *testing.T) {
	now := keys
	s, _, c := newCloud(t, &fault.Injector{}, func(c *Config) {
		c.Keys = func(context.Context) (credentials.Keys, error) { return now, nil }
	})
	for _, next := range []credentials.Keys{keys, {ID: "LTAInext", Secret: "next", Token: "next-token"}, {ID: "LTAIplain", Secret: "plain"}} {
		now = next
		s.SetKeys(cloud.Keys{ID: next.ID, Secret: next.Secret, Token: next.Token})
		if _, err := c.Publish(t.Context(), "outcomes", []byte("{}"), ""); err != nil {
			t.Errorf("with %s: %v", next.ID, err)
		}
	}
}
