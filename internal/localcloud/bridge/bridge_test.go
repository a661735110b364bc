package bridge_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
)

// function is an Invoker that keeps what it was given.
type function struct {
	mu     sync.Mutex
	events []fc.Event
	answer func(fc.Event) (fc.Result, error) // nil: succeeds
}

var _ bridge.Invoker = (*function)(nil)

func (f *function) InvokeEvent(_ context.Context, e fc.Event) (fc.Result, error) {
	f.mu.Lock()
	f.events = append(f.events, e)
	answer := f.answer
	f.mu.Unlock()
	if answer == nil {
		return fc.Result{Response: []byte("{}")}, nil
	}
	return answer(e)
}

func (f *function) payloads() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, e := range f.events {
		all = append(all, string(e.Payload))
	}
	return all
}

func fails(fc.Event) (fc.Result, error) {
	return fc.Result{RequestID: "1-same", ErrorType: "RefusalError", ErrorMessage: "again"}, nil
}

// world is a stream between a queue service and a function, on a clock that
// stands still.
type world struct {
	clock  *clock.Clock
	queues *mns.Server
	*bridge.Stream
}

func newWorld(t *testing.T, f bridge.Invoker, opt bridge.Options) world {
	t.Helper()
	c := clock.New(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), 0)
	queues := mns.New(mns.Options{Clock: c})
	queues.CreateQueue("requests", mns.QueueAttributes{Visibility: 12 * time.Hour})
	queues.CreateQueue("dead", mns.QueueAttributes{})
	opt.Queue = "requests"
	s, err := bridge.NewStream(queues, f, c, opt)
	if err != nil {
		t.Fatal(err)
	}
	return world{c, queues, s}
}

func (w world) send(t *testing.T, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if _, err := w.queues.Send("requests", []byte(b), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func (w world) step(t *testing.T) bool {
	t.Helper()
	some, err := w.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return some
}

type cloudEvent struct {
	ID, Source, SpecVersion, Type, Subject, Time string
	Data                                         struct{ RequestID, MessageID, MessageBody string }
}

func TestEachShapeIsWhatItsTriggerDelivers(t *testing.T) {
	decode := func(t *testing.T, from string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(from), into); err != nil {
			t.Fatalf("reading %s: %v", from, err)
		}
	}
	for shape, read := range map[bridge.Shape]func(*testing.T, string) []cloudEvent{
		bridge.Objects: func(t *testing.T, payload string) (events []cloudEvent) {
			decode(t, payload, &events)
			return events
		},
		bridge.Strings: func(t *testing.T, payload string) []cloudEvent {
			var texts []string
			decode(t, payload, &texts)
			events := make([]cloudEvent, len(texts))
			for i, s := range texts {
				decode(t, s, &events[i])
			}
			return events
		},
		bridge.RawData: func(t *testing.T, payload string) []cloudEvent {
			if strings.Contains(payload, "specversion") {
				t.Errorf("raw data has an envelope: %s", payload)
			}
			events := make([]cloudEvent, 2)
			decode(t, payload, &[]any{&events[0].Data, &events[1].Data})
			for i := range events {
				events[i].Type = "mns:Queue:SendMessage"
			}
			return events
		},
		bridge.Object: func(t *testing.T, payload string) []cloudEvent {
			var e cloudEvent
			decode(t, payload, &e)
			return []cloudEvent{e}
		},
	} {
		t.Run(shape.String(), func(t *testing.T) {
			f := &function{}
			w := newWorld(t, f, bridge.Options{Shape: shape})
			w.send(t, `{"n":"<one>"}`, "two")
			for w.step(t) {
			}
			var events []cloudEvent
			for _, p := range f.payloads() {
				events = append(events, read(t, p)...)
			}
			if len(events) != 2 {
				t.Fatalf("function got %d events, want 2", len(events))
			}
			for i, want := range []string{`{"n":"<one>"}`, "two"} {
				e := events[i]
				if e.Type != "mns:Queue:SendMessage" || e.Data.MessageBody != want || len(e.Data.MessageID) != 32 {
					t.Errorf("event %d is %+v, want body %s under a message id", i, e, want)
				}
			}
			if left := len(w.queues.Pending("requests")); left != 0 {
				t.Errorf("%d messages are left, want 0", left)
			}
		})
	}
}

func TestTheEnvelopeIsEventBridges(t *testing.T) {
	f := &function{}
	w := newWorld(t, f, bridge.Options{Shape: bridge.Object, AccountID: "42", Region: "cn-shanghai", Function: "gilder"})
	w.send(t, "body")
	w.step(t)
	var e cloudEvent
	if err := json.Unmarshal([]byte(f.payloads()[0]), &e); err != nil {
		t.Fatal(err)
	}
	id := e.Data.MessageID
	want := `{"id":"` + id + `-1","source":"MNS-gilder-requests","specversion":"1.0","type":"mns:Queue:SendMessage",` +
		`"datacontenttype":"application/json; charset=utf-8","time":"2026-11-23T08:00:00Z","subject":"acs:mns:cn-shanghai:42:queues/requests",` +
		`"aliyunaccountid":"42","aliyunpublishtime":"2026-11-23T08:00:00.000Z","aliyuneventbusname":"MNS-gilder-requests",` +
		`"aliyunregionid":"cn-shanghai","aliyunpublishaddr":"127.0.0.1","data":{"requestId":"` + id + `-1","messageId":"` + id + `","messageBody":"body"}}`
	if got := f.payloads()[0]; got != want {
		t.Errorf("event is\n%s, want\n%s", got, want)
	}
}

func TestBodiesAreDecodedOnlyWhenAskedAndOnlyIfTheyAreBase64(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"regionId":"cn-hangzhou"}`))
	for _, c := range []struct {
		decode     bool
		body, want string
	}{
		{false, encoded, encoded},
		{true, encoded, `{"regionId":"cn-hangzhou"}`},
		{true, `{"plain":true}`, `{"plain":true}`},
	} {
		f := &function{}
		w := newWorld(t, f, bridge.Options{Shape: bridge.Object, DecodeBase64: c.decode})
		w.send(t, c.body)
		w.step(t)
		var e cloudEvent
		if err := json.Unmarshal([]byte(f.payloads()[0]), &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.MessageBody != c.want {
			t.Errorf("body %s with decoding %v arrived as %s, want %s", c.body, c.decode, e.Data.MessageBody, c.want)
		}
	}
}

func TestABatchIsNotLargerThanItsSize(t *testing.T) {
	f := &function{}
	w := newWorld(t, f, bridge.Options{BatchSize: 2})
	w.send(t, "1", "2", "3")
	for w.step(t) {
	}
	if got := len(f.payloads()); got != 2 {
		t.Errorf("3 messages took %d invocations, want 2", got)
	}
}

func TestAFailedBatchComesAgainAfterTheBackoff(t *testing.T) {
	f := &function{answer: fails}
	var seen []bridge.Delivery
	w := newWorld(t, f, bridge.Options{Observe: func(d bridge.Delivery) { seen = append(seen, d) }})
	w.send(t, "1", "2")
	w.step(t)
	if w.step(t) {
		t.Fatal("the batch came again at once")
	}
	w.clock.Advance(15 * time.Second)
	f.answer = nil
	if !w.step(t) {
		t.Fatal("the batch did not come again after 15 s")
	}
	if w.step(t) || len(w.queues.Pending("requests")) != 0 {
		t.Error("messages are left after a good return")
	}
	got := fmt.Sprintf("%d released, then %d deleted, of %d", seen[0].Released, seen[1].Deleted, len(seen[1].MessageIDs))
	if want := "2 released, then 2 deleted, of 2"; got != want {
		t.Errorf("deliveries: %s, want %s", got, want)
	}
	var first, again []cloudEvent
	if err := errors.Join(json.Unmarshal([]byte(f.payloads()[0]), &first), json.Unmarshal([]byte(f.payloads()[1]), &again)); err != nil {
		t.Fatal(err)
	}
	if first[0].ID == again[0].ID || first[0].Data.MessageID != again[0].Data.MessageID {
		t.Errorf("redelivered event has id %s and message id %s, want a new one and the same one", again[0].ID, again[0].Data.MessageID)
	}
}

func TestAMessageIsGivenUpAfterItsTries(t *testing.T) {
	for _, c := range []struct {
		name, deadLetter string
		body             string
		dead             string // what the dead message must hold
	}{
		{"to the dead-letter queue", "dead", "poison", `"messageBody":"poison"`},
		{"bare when the envelope makes it too large", "dead", strings.Repeat("x", 65536), "xxx"},
		{"to nowhere", "", "poison", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &function{answer: fails}
			w := newWorld(t, f, bridge.Options{DeadLetter: c.deadLetter})
			w.send(t, c.body)
			for range 10 {
				w.step(t)
				w.clock.Advance(time.Minute)
			}
			if got := len(f.payloads()); got != 4 {
				t.Errorf("message was delivered %d times, want 4", got)
			}
			if left := len(w.queues.Pending("requests")); left != 0 {
				t.Errorf("%d messages are left, want 0", left)
			}
			var dead string
			for _, m := range w.queues.Pending("dead") {
				dead += string(m.Body)
			}
			if !strings.Contains(dead, c.dead) || (c.dead == "") != (dead == "") {
				t.Errorf("dead-letter queue holds %.200s, want %s", dead, c.dead)
			}
		})
	}
}

func TestTroubleOfTheHostIsAnErrorAndTheBatchComesAgainAtOnce(t *testing.T) {
	trouble := errors.New("no binary")
	f := &function{answer: func(fc.Event) (fc.Result, error) { return fc.Result{}, trouble }}
	w := newWorld(t, f, bridge.Options{})
	w.send(t, "1")
	for n := range 2 {
		if some, err := w.Step(t.Context()); !some || !errors.Is(err, trouble) {
			t.Errorf("step %d returned %v, %v, want the trouble", n+1, some, err)
		}
	}
	if err := w.Run(t.Context()); !errors.Is(err, trouble) {
		t.Errorf("running returned %v, want the trouble", err)
	}
}

func TestTwoWorkersDeliverAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	f := &function{answer: func(fc.Event) (fc.Result, error) {
		both.Done()
		both.Wait() // lets nobody go before both are here
		return fc.Result{}, nil
	}}
	delivered := make(chan struct{})
	w := newWorld(t, f, bridge.Options{BatchSize: 1, Workers: 2, Observe: func(bridge.Delivery) { delivered <- struct{}{} }})
	w.send(t, "1", "2")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	<-delivered
	<-delivered
	stop()
	if err := <-ended; err != nil {
		t.Errorf("running returned %v after its context ended, want nil", err)
	}
	if left := len(w.queues.Pending("requests")); left != 0 {
		t.Errorf("%d messages are left, want 0", left)
	}
}

func TestAWindowGathersWhatArrivesWithinIt(t *testing.T) {
	f := &function{}
	delivered := make(chan bridge.Delivery)
	w := newWorld(t, f, bridge.Options{BatchSize: 3, Window: 10 * time.Second, Observe: func(d bridge.Delivery) { delivered <- d }})
	w.send(t, "1")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.send(t, "2", "3") // the clock stands still: only a full batch can end the wait
	if d := <-delivered; len(d.MessageIDs) != 3 {
		t.Errorf("first batch has %d messages, want 3", len(d.MessageIDs))
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunEndsWhenTheQueueDoesNotExist(t *testing.T) {
	c := clock.New(time.Now(), 0)
	s, err := bridge.NewStream(mns.New(mns.Options{Clock: c}), &function{}, c, bridge.Options{Queue: "nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "nowhere: no such queue") {
		t.Errorf("running returned %v, want: no such queue", err)
	}
}

func TestAStreamNamesEveryFaultOfItsOptions(t *testing.T) {
	c := clock.New(time.Now(), 0)
	_, err := bridge.NewStream(mns.New(mns.Options{Clock: c}), &function{}, c,
		bridge.Options{Shape: 9, BatchSize: 10001, Window: time.Minute, Tries: -1})
	if err == nil {
		t.Fatal("making the stream succeeded")
	}
	for _, want := range []string{"queue is missing", "shape 9", "batch size 10001", "window 1m0s", "negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestATopicDeliversInTheFormatOfItsTrigger(t *testing.T) {
	m := bridge.TopicMessage{ID: "ID1", Body: `{"a":1}`, Published: time.UnixMilli(1550216480040)}
	with := m
	with.Attributes = map[string]string{"Extend": "more"}
	const envelope = `"Message":"{\"a\":1}","MessageId":"ID1","MessageMD5":"BB6CB5C68DF4652941CAF652A366F2D8",` +
		`"PublishTime":1550216480040,"Subscriber":"42","SubscriptionName":"regild","TopicName":"images","TopicOwner":"42"}`
	for _, c := range []struct {
		format bridge.Format
		m      bridge.TopicMessage
		want   string
	}{
		{bridge.STREAM, m, `{"a":1}`},
		{bridge.STREAM, with, `{"attrs":{"Extend":"more"},"body":"{\"a\":1}"}`},
		{bridge.JSON, m, `{` + envelope},
		{bridge.JSON, with, `{"Extend":"more",` + envelope},
	} {
		f := &function{}
		topic, err := bridge.NewTopic(f, bridge.TopicOptions{Name: "images", AccountID: "42", Format: c.format})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Push(t.Context(), c.m); err != nil {
			t.Fatal(err)
		}
		if got := f.payloads()[0]; got != c.want {
			t.Errorf("%s delivered\n%s, want\n%s", c.format, got, c.want)
		}
	}
}

func TestATopicTriesAgainUnderTheSameRequestID(t *testing.T) {
	f := &function{answer: fails}
	topic, err := bridge.NewTopic(f, bridge.TopicOptions{Name: "images"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := topic.Push(t.Context(), bridge.TopicMessage{Body: "x"})
	if err != nil || !r.Failed() {
		t.Fatalf("pushing returned %+v, %v, want the function's failure", r, err)
	}
	var tries []string
	for _, e := range f.events {
		tries = append(tries, fmt.Sprintf("%s#%d", e.RequestID, e.RetryCount))
	}
	if got, want := strings.Join(tries, " "), "#0 1-same#1 1-same#2 1-same#3"; got != want {
		t.Errorf("tries were %s, want %s", got, want)
	}
}
