package mns

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	local "github.com/regild/regild/internal/localcloud/mns"
)

func TestQueuesTopicsAndSubscriptionsAreSeen(t *testing.T) {
	server := local.New(local.Options{Keys: []local.Keys{{ID: "id", Secret: "secret"}}})
	http := httptest.NewServer(server.Handler())
	t.Cleanup(http.Close)
	server.CreateQueue("q", local.QueueAttributes{Retention: 7 * 24 * time.Hour, Visibility: 10 * time.Minute})
	server.CreateTopic("t")
	server.Subscribe("t", "s", local.Subscription{Endpoint: server.QueueEndpoint("q"), Format: "SIMPLIFIED", FilterTag: "failed"})
	c, err := New(Config{Endpoint: http.URL, AccountID: "1234567890123456", RegionID: "cn-hangzhou",
		Keys: func(context.Context) (credentials.Keys, error) {
			return credentials.Keys{ID: "id", Secret: "secret"}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if q, there, err := c.Queue(ctx, "q"); err != nil || !there || q != (Queue{7 * 24 * time.Hour, 10 * time.Minute}) {
		t.Errorf("got %v, %v, %v", q, there, err)
	}
	if _, there, err := c.Queue(ctx, "absent"); err != nil || there {
		t.Errorf("got %v, %v of a queue that is not there", there, err)
	}
	if there, err := c.Topic(ctx, "t"); err != nil || !there {
		t.Errorf("got %v, %v", there, err)
	}
	if there, err := c.Topic(ctx, "absent"); err != nil || there {
		t.Errorf("got %v, %v of a topic that is not there", there, err)
	}
	subs, err := c.Subscriptions(ctx, "t")
	if want := []Subscription{{"s", server.QueueEndpoint("q"), "SIMPLIFIED", "failed"}}; err != nil || !slices.Equal(subs, want) {
		t.Errorf("got %v, %v, want %v", subs, err, want)
	}
}
