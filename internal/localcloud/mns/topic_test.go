package mns_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/mns"
)

func TestATopicFeedsItsQueuesInTheFormatOfEachSubscription(t *testing.T) {
	tests := []struct{ format, tag, body, want string }{
		{"JSON", "", `{"a":"<&>"}`, `{"TopicOwner":"1234567890123456","Message":"{\"a\":\"<&>\"}","Subscriber":"1234567890123456","PublishTime":"1795420800000",` +
			`"SubscriptionName":"s","MessageMD5":"FF4346E5E8AB7DFD89199AC0941663A6","TopicName":"t","MessageId":"ID"}`},
		{"JSON", "done", "x", `{"TopicOwner":"1234567890123456","Message":"x","Subscriber":"1234567890123456","MessageTag":"done","PublishTime":"1795420800000",` +
			`"SubscriptionName":"s","MessageMD5":"9DD4E461268C8034F5C8564E155C67A6","TopicName":"t","MessageId":"ID"}`},
		{"", "done", "<x>", `<?xml version="1.0" encoding="UTF-8"?>
<Notification xmlns="http://mns.aliyuncs.com/doc/v1/">
  <TopicOwner>1234567890123456</TopicOwner>
  <TopicName>t</TopicName>
  <Subscriber>1234567890123456</Subscriber>
  <SubscriptionName>s</SubscriptionName>
  <MessageId>ID</MessageId>
  <MessageMD5>CCEF51D6689C7E6B294CF5AEDAC859DA</MessageMD5>
  <Message>&lt;x&gt;</Message>
  <MessageTag>done</MessageTag>
  <PublishTime>1795420800000</PublishTime>
</Notification>`},
		{"SIMPLIFIED", "done", "x", "x"},
		{"STREAM", "done", "x", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.format+tt.tag, func(t *testing.T) {
			s, _ := newServer(mns.Options{})
			s.Subscribe("t", "s", mns.Subscription{Endpoint: s.QueueEndpoint("q"), Format: tt.format})
			id, err := s.Publish("t", []byte(tt.body), tt.tag)
			if err != nil {
				t.Fatal(err)
			}
			m := one(t, s, "q")
			if got := strings.ReplaceAll(string(m.Body), id, "ID"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if m.ID == id || m.Priority != 8 {
				t.Errorf("got id %s and priority %d, want another id than the topic's and 8", m.ID, m.Priority)
			}
		})
	}
}

func TestAFilterPassesExactlyItsTag(t *testing.T) {
	s, _ := newServer(mns.Options{})
	for queue, filter := range map[string]string{"all": "", "failed": "failed"} {
		s.CreateQueue(queue, mns.QueueAttributes{})
		s.Subscribe("t", queue, mns.Subscription{Endpoint: s.QueueEndpoint(queue), FilterTag: filter, Format: "SIMPLIFIED"})
	}
	for _, tag := range []string{"failed", "fail", "failed2", "Failed", ""} {
		if _, err := s.Publish("t", []byte("tag "+tag), tag); err != nil {
			t.Fatal(err)
		}
	}
	if got := bodies(s.Pending("failed")); !slices.Equal(got, []string{"tag failed"}) {
		t.Errorf("got %q past the filter, want only its tag", got)
	}
	if got := s.Pending("all"); len(got) != 5 {
		t.Errorf("got %q without a filter, want all five", bodies(got))
	}
}

func TestEndpointsThatAreNotOursAreNotServed(t *testing.T) {
	s, _ := newServer(mns.Options{})
	for i, endpoint := range []string{
		"acs:mns:cn-hangzhou:1234567890123456:queues/no", "acs:mns:cn-hangzhou:1:queues/q",
		"acs:mns:cn-beijing:1234567890123456:queues/q", "http://example.com/q", "mail:directmail:a@example.com", "queues/q",
	} {
		s.Subscribe("t", fmt.Sprint("s", i), mns.Subscription{Endpoint: endpoint})
	}
	s.Subscribe("t", "ours", mns.Subscription{Endpoint: "acs:mns:cn-hangzhou:1234567890123456:/queues/q"})
	if _, err := s.Publish("t", []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	one(t, s, "q")
}

func TestPublishedPropertiesArriveInTheQueue(t *testing.T) {
	s, _ := newServer(mns.Options{})
	s.Subscribe("t", "s", mns.Subscription{Endpoint: s.QueueEndpoint("q"), Format: "SIMPLIFIED"})
	got := ask(t, s, "POST", "/topics/t/messages", "<Message><MessageBody>x</MessageBody><MessageAttributes><DirectMail>{}</DirectMail></MessageAttributes>"+
		"<UserProperties><PropertyValue><Name>a</Name><Value>1</Value><Type>STRING</Type></PropertyValue></UserProperties></Message>").is(t, 201, "")
	want := []mns.Property{{Name: "a", Value: "1", Type: "STRING"}}
	if m := one(t, s, "q"); !slices.Equal(m.Properties, want) {
		t.Errorf("got %v in the queue, want %v", m.Properties, want)
	}
	if p := s.Published("t"); len(p) != 1 || p[0].ID != got.field("MessageId") || !slices.Equal(p[0].Properties, want) {
		t.Errorf("got %+v, want what was published", p)
	}
}

func TestWatchersSeeEveryPublicationOnceAndInOrder(t *testing.T) {
	s, c := newServer(mns.Options{})
	var mu sync.Mutex
	var seen []string
	s.Watch("t", func(p mns.Publication) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p.ID)
	})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if _, err := s.Publish("t", fmt.Append(nil, i), "tag"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.Advance(time.Second)
	last, err := s.Publish("t", []byte("last"), "")
	if err != nil {
		t.Fatal(err)
	}
	var published []string
	for _, p := range s.Published("t") {
		published = append(published, p.ID)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, published) || len(seen) != 51 {
		t.Errorf("got %d seen, want the 51 published in their order", len(seen))
	}
	if p := s.Published("t")[50]; p.ID != last || string(p.Body) != "last" || !p.Time.Equal(start.Add(time.Second)) {
		t.Errorf("got %+v, want the last publication at its time", p)
	}
}

func TestAWatcherMayPublish(t *testing.T) {
	s, _ := newServer(mns.Options{})
	var seen []string
	s.Watch("new", func(p mns.Publication) {
		seen = append(seen, string(p.Body))
		if len(seen) < 3 {
			if _, err := s.Publish("new", append(p.Body, '!'), ""); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := s.Publish("new", []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	if want := []string{"x", "x!", "x!!"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestASubscriptionMadeTwiceMustBeTheSame(t *testing.T) {
	s, _ := newServer(mns.Options{})
	body := func(format string) string {
		return "<Subscription><Endpoint>" + s.QueueEndpoint("q") + "</Endpoint><NotifyContentFormat>" + format + "</NotifyContentFormat></Subscription>"
	}
	ask(t, s, "PUT", "/topics/t/subscriptions/s", body("JSON")).is(t, 201, "")
	ask(t, s, "PUT", "/topics/t/subscriptions/s", body("JSON")).is(t, 204, "")
	ask(t, s, "PUT", "/topics/t/subscriptions/s", body("XML")).is(t, 409, "SubscriptionAlreadyExist")
}

func TestATopicCountsTheMessagesOfItsLastDay(t *testing.T) {
	s, c := newServer(mns.Options{})
	for range 2 {
		if _, err := s.Publish("t", []byte("x"), ""); err != nil {
			t.Fatal(err)
		}
		c.Advance(12 * time.Hour)
	}
	got := ask(t, s, "GET", "/topics/t", "").is(t, 200, "")
	if got.field("MessageCount") != "1" || got.field("MessageRetentionPeriod") != "86400" {
		t.Errorf("got %s, want one message of the last day", got.body)
	}
	if n := len(s.Published("t")); n != 2 {
		t.Errorf("got %d ever published, want 2", n)
	}
}
