package mns_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/mns"
)

func TestALongPollEndsWhenAMessageComesOrTimeRunsOut(t *testing.T) {
	tests := []struct {
		name string
		do   func(*testing.T, *mns.Server, *clock.Clock)
		want int
	}{
		{"sent", func(t *testing.T, s *mns.Server, _ *clock.Clock) { mustSend(t, s, "q", "x", 0) }, 1},
		{"published", func(t *testing.T, s *mns.Server, _ *clock.Clock) {
			s.Subscribe("t", "s", mns.Subscription{Endpoint: s.QueueEndpoint("q")})
			if _, err := s.Publish("t", []byte("x"), ""); err != nil {
				t.Error(err)
			}
		}, 1},
		{"delay over", func(t *testing.T, s *mns.Server, c *clock.Clock) {
			mustSend(t, s, "q", "x", 10*time.Second)
			c.Advance(10 * time.Second)
		}, 1},
		{"time over", func(_ *testing.T, _ *mns.Server, c *clock.Clock) { c.Advance(20 * time.Second) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := newServer(mns.Options{})
				done := make(chan []mns.Message, 1)
				go func() { done <- s.Receive(t.Context(), "q", 1, 20*time.Second) }()
				synctest.Wait()
				c.Advance(5 * time.Second)
				synctest.Wait()
				select {
				case got := <-done:
					t.Fatalf("got %q after 5 s, want the poll to go on", bodies(got))
				default:
				}
				tt.do(t, s, c)
				if got := <-done; len(got) != tt.want {
					t.Errorf("got %q, want %d messages", bodies(got), tt.want)
				}
			})
		})
	}
}

func TestALongPollOverHTTPEndsAfterItsSecondsOfTheCloudsTime(t *testing.T) {
	for _, target := range []string{"/queues/q/messages?waitseconds=20", "/queues/q/messages?WaitSeconds=20&numOfMessages=16", "/queues/polled/messages"} {
		synctest.Test(t, func(t *testing.T) {
			s, c := newServer(mns.Options{})
			s.CreateQueue("polled", mns.QueueAttributes{PollingWait: 20 * time.Second})
			done := make(chan reply, 1)
			go func() { done <- ask(t, s, "GET", target, "") }()
			for range 20 {
				synctest.Wait()
				if len(done) > 0 {
					t.Fatalf("%s: got an answer at %v, want it after 20 s", target, c.Now())
				}
				c.Advance(time.Second)
			}
			(<-done).is(t, 404, "MessageNotExist")
		})
	}
}

func TestALongPollEndsWhenItsClientLeavesOrItsQueueGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(mns.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan []mns.Message, 1)
		go func() { left <- s.Receive(ctx, "q", 1, 30*time.Second) }()
		gone := make(chan reply, 1)
		go func() { gone <- ask(t, s, "GET", "/queues/q/messages?waitseconds=30", "") }()
		synctest.Wait()
		cancel()
		if got := <-left; got != nil {
			t.Errorf("got %q, want nothing", bodies(got))
		}
		ask(t, s, "DELETE", "/queues/q", "").is(t, 204, "")
		(<-gone).is(t, 404, "QueueNotExist")
	})
}

func TestAMessageReceivedTooOftenGoesToTheDeadLetterQueue(t *testing.T) {
	s, c := newServer(mns.Options{})
	s.CreateQueue("dead", mns.QueueAttributes{})
	s.CreateQueue("work", mns.QueueAttributes{DeadLetterQueue: "dead", MaxReceiveCount: 2})
	id := mustSend(t, s, "work", "poison", 0)
	for range 2 {
		one(t, s, "work")
		none(t, s, "dead")
		if at, ok := s.Next("work"); !ok || !at.Equal(c.Now().Add(30*time.Second)) {
			t.Errorf("got next %v, %t, want in 30 s", at, ok)
		}
		c.Advance(30 * time.Second)
	}
	m := one(t, s, "dead")
	if string(m.Body) != "poison" || m.ID == id || m.DequeueCount != 1 || !m.EnqueueTime.Equal(start) {
		t.Errorf("got %+v, want the message under its own id and old time", m)
	}
	want := []mns.Property{
		{Name: "DLQSourceArn", Value: "acs:mns:cn-hangzhou:1234567890123456:queues/work", Type: "STRING"},
		{Name: "DLQOriginMessageId", Value: id, Type: "STRING"},
	}
	if !slices.Equal(m.SystemProperties, want) {
		t.Errorf("got system properties %v, want %v", m.SystemProperties, want)
	}
	none(t, s, "work")
}

func TestALongPollOnADeadLetterQueueSeesWhatDies(t *testing.T) {
	for _, before := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, c := newServer(mns.Options{})
			s.CreateQueue("dead", mns.QueueAttributes{})
			s.CreateQueue("work", mns.QueueAttributes{DeadLetterQueue: "dead", MaxReceiveCount: 1, Visibility: 10 * time.Second})
			mustSend(t, s, "work", "poison", 0)
			if before {
				one(t, s, "work")
			}
			done := make(chan []mns.Message, 1)
			go func() { done <- s.Receive(t.Context(), "dead", 1, 30*time.Second) }()
			synctest.Wait()
			if !before {
				one(t, s, "work")
			}
			synctest.Wait()
			c.Advance(10 * time.Second)
			if got := <-done; len(got) != 1 || c.Now().Sub(start) != 10*time.Second {
				t.Errorf("received before the poll began: %t: got %q, want the dead letter", before, bodies(got))
			}
		})
	}
}
