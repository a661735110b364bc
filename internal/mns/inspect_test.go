package mns

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	local "github.com/regild/regild/internal/localcloud/mns"
)

func TestQueuesTopicsAndSubscriptionsAreSeen(t *testing.T) {
	server := local.New(local.Options{Keys: []local.Keys{{ID: "id", Secret: "secret"}}})
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)
	server.CreateQueue("q", local.QueueAttributes{Retention: 7 * 24 * time.Hour, Visibility: 10 * time.Minute})
	server.CreateTopic("t")
	server.Subscribe("t", "s", local.Subscription{Endpoint: server.QueueEndpoint("q"), Format: "SIMPLIFIED", FilterTag: "failed"})
	c, err := New(Config{Endpoint: web.URL, AccountID: "1234567890123456", RegionID: "cn-hangzhou",
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

// Only MNS's own word for it says that something is not there.
func TestWhatCannotBeLookedAtIsNotAbsent(t *testing.T) {
	for code, absent := range map[string]bool{"QueueNotExist": true, "TopicNotExist": false, "AccessDenied": false} {
		s := serve(t, say(404, errorBody(code)))
		if _, there, err := client(t, s.URL).Queue(t.Context(), "q"); there || (err == nil) != absent {
			t.Errorf("queue, %s: %v, %v", code, there, err)
		}
	}
	for code, absent := range map[string]bool{"TopicNotExist": true, "AccessDenied": false} {
		s := serve(t, say(404, errorBody(code)))
		if there, err := client(t, s.URL).Topic(t.Context(), "t"); there || (err == nil) != absent {
			t.Errorf("topic, %s: %v, %v", code, there, err)
		}
		if subs, err := client(t, s.URL).Subscriptions(t.Context(), "t"); err == nil {
			t.Errorf("subscriptions, %s: %v and no error", code, subs)
		}
	}
	s := serve(t, say(200, "<Topic></Topic>"))
	if there, err := client(t, s.URL).Topic(t.Context(), "a topic"); there || err == nil || s.calls() > 0 {
		t.Errorf("no name: %v, %v after %d calls", there, err, s.calls())
	}
}

func TestSubscriptionsThatCannotBeReadAreAnError(t *testing.T) {
	list := func(name string, n int) string {
		return "<Subscriptions>" + strings.Repeat("<Subscription><SubscriptionURL>http://h/topics/t/subscriptions/"+name+"</SubscriptionURL></Subscription>", n) + "</Subscriptions>"
	}
	for name, c := range map[string]struct {
		list  string
		fails bool
	}{"as many as are read": {list("s", maxSubscriptions), false}, "more": {list("s", maxSubscriptions+1), true}, "no name": {list("a%20b", 1), true}} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
			if n > 1 {
				say(200, "<Subscription><SubscriptionName>s</SubscriptionName></Subscription>")(w, r, n)
				return
			}
			say(200, c.list)(w, r, n)
		})
		if got, err := client(t, s.URL).Subscriptions(t.Context(), "t"); (err != nil) != c.fails || !c.fails && len(got) != maxSubscriptions {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
}
