package mns_test

import (
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	ali_mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/valyala/fasthttp"

	"github.com/regild/regild/internal/localcloud/mns"
)

// loopback sends what is meant for a host of the live service to a server on
// loopback, under the real Host header.
type loopback struct{ addr string }

func (l loopback) RoundTrip(hc *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response) (bool, error) {
	local := &fasthttp.HostClient{Addr: l.addr, Dial: func(string) (net.Conn, error) { return net.Dial("tcp", l.addr) }}
	return false, local.DoTimeout(req, resp, 5*time.Second)
}

// client returns the vendor's client, led to a server by the path.
func client(t *testing.T, s *mns.Server, k mns.Keys) ali_mns.MNSClient {
	t.Helper()
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	_, port, err := net.SplitHostPort(h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ali_mns.NewAliMNSClientWithConfig(ali_mns.AliMNSClientConfig{
		EndPoint:    "http://localhost:" + port + "/" + account + ".mns." + region + ".aliyuncs.com",
		AccessKeyId: k.ID, AccessKeySecret: k.Secret, Token: k.Token, TimeoutSecond: 5,
	})
}

// wantSDK stops the test unless err is the SDK's error want.
func wantSDK(t *testing.T, err error, want interface{ IsEqual(error) bool }) {
	t.Helper()
	if !want.IsEqual(err) {
		t.Fatalf("got %v, want %+v", err, want)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheVendorsClientIsServedAtTheHostOfTheLiveService(t *testing.T) {
	sts := mns.Keys{ID: "STS.NU1", Secret: "secret", Token: "token"}
	s, _ := newServer(mns.Options{})
	s.SetKeys(sts)
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	c := ali_mns.NewAliMNSClientWithConfig(ali_mns.AliMNSClientConfig{
		EndPoint:    "http://" + account + ".mns." + region + "-internal.aliyuncs.com",
		AccessKeyId: sts.ID, AccessKeySecret: sts.Secret, Token: sts.Token,
	})
	c.SetTransport(loopback{h.Listener.Addr().String()})
	got := must(ali_mns.NewMNSTopic("t", c).PublishMessage(ali_mns.MessagePublishRequest{MessageBody: `{"a":"<&>"}`, MessageTag: "done"}))(t)
	p := s.Published("t")
	if len(p) != 1 || p[0].ID != got.MessageId || string(p[0].Body) != `{"a":"<&>"}` || p[0].Tag != "done" {
		t.Errorf("got %+v, want what the SDK published", p)
	}
	if got.Code != "201" || len(got.RequestId) != 24 || got.MessageBodyMD5 != "FF4346E5E8AB7DFD89199AC0941663A6" {
		t.Errorf("got %+v, want 201, a request id and the sum of the body", got)
	}
	s.SetKeys(mns.Keys{ID: sts.ID, Secret: sts.Secret, Token: "rotated"})
	_, err := ali_mns.NewMNSTopic("t", c).PublishMessage(ali_mns.MessagePublishRequest{MessageBody: "x"})
	wantSDK(t, err, &ali_mns.ERR_MNS_INVALID_ACCESS_KEY_ID)
}

func TestTheVendorsClientSeesItsMistakes(t *testing.T) {
	s, _ := newServer(mns.Options{})
	wrong := client(t, s, mns.Keys{ID: key.ID, Secret: "x"})
	_, err := ali_mns.NewMNSQueue("q", wrong).SendMessage(ali_mns.MessageSendRequest{MessageBody: "x", Priority: 8})
	wantSDK(t, err, &ali_mns.ERR_MNS_SIGNATURE_DOES_NOT_MATCH)
	c := client(t, s, key)
	_, err = ali_mns.NewMNSQueue("q", c).SendMessage(ali_mns.MessageSendRequest{MessageBody: "x"})
	wantSDK(t, err, &ali_mns.ERR_MNS_INVALID_ARGUMENT) // the SDK sends priority 0 unless told otherwise
	_, err = ali_mns.NewMNSQueue("no", c).SendMessage(ali_mns.MessageSendRequest{MessageBody: "x", Priority: 8})
	wantSDK(t, err, &ali_mns.ERR_MNS_QUEUE_NOT_EXIST)
	_, err = ali_mns.NewMNSTopic("no", c).PublishMessage(ali_mns.MessagePublishRequest{MessageBody: "x"})
	wantSDK(t, err, &ali_mns.ERR_MNS_TOPIC_NOT_EXIST)
}

func TestTheVendorsQueueManagerKeepsQueues(t *testing.T) {
	s, _ := newServer(mns.Options{})
	m := ali_mns.NewMNSQueueManager(client(t, s, key))
	ok(t, m.CreateQueue("work", 5, 1024, 3600, 60, 10, 2))
	wantSDK(t, m.CreateQueue("work", 5, 1024, 3600, 60, 10, 2), &ali_mns.ERR_MNS_QUEUE_ALREADY_EXIST_AND_HAVE_SAME_ATTR)
	wantSDK(t, m.CreateSimpleQueue("work"), &ali_mns.ERR_MNS_QUEUE_ALREADY_EXIST)
	got := must(m.GetQueueAttributes("work"))(t)
	if got.QueueName != "work" || got.DelaySeconds != 5 || got.MaxMessageSize != 1024 || got.MessageRetentionPeriod != 3600 ||
		got.VisibilityTimeout != 60 || got.PollingWaitSeconds != 10 || got.CreateTime != start.Unix() || got.LoggingEnabled {
		t.Errorf("got %+v, want what was asked for", got)
	}
	ok(t, m.SetQueueAttributes("work", 0, 65536, 604800, 30, 0, 2))
	if got := must(m.GetQueueAttributes("work"))(t); got.DelaySeconds != 0 || got.MessageRetentionPeriod != 604800 {
		t.Errorf("got %+v, want what was set", got)
	}
	// The SDK sends three attributes beside the one that is meant: see that they are taken as sent.
	ok(t, m.SetQueueAttributes("work", 7, 65536, 604800, 30, 0, 2))
	ok(t, m.SetQueueAttributesWithOptions("work", ali_mns.WithVisibilityTimeout(90)))
	if got := must(m.GetQueueAttributes("work"))(t); got.DelaySeconds != 0 || got.VisibilityTimeout != 90 || got.MessageRetentionPeriod != 604800 {
		t.Errorf("got %+v, want the delay reset as well", got)
	}
	list := must(m.ListQueue("", 1, ""))(t)
	if len(list.Queues) != 1 || !strings.HasSuffix(list.Queues[0].QueueURL, ".aliyuncs.com/queues/q") || list.NextMarker == "" {
		t.Errorf("got %+v, want queue q and a marker", list)
	}
	details := must(m.ListQueueDetail(list.NextMarker, 10, "w"))(t)
	if len(details.Attrs) != 1 || details.Attrs[0].QueueName != "work" || details.NextMarker != "" {
		t.Errorf("got %+v, want queue work and no marker", details)
	}
	ok(t, m.DeleteQueue("work"))
	_, err := m.GetQueueAttributes("work")
	wantSDK(t, err, &ali_mns.ERR_MNS_QUEUE_NOT_EXIST)
}

// receive asks the SDK for one message; its channels need room, or it hangs.
func receive(q ali_mns.AliMNSQueue, wait ...int64) (ali_mns.MessageReceiveResponse, error) {
	got, failed := make(chan ali_mns.MessageReceiveResponse, 1), make(chan error, 1)
	q.ReceiveMessage(got, failed, wait...)
	select {
	case m := <-got:
		return m, nil
	case err := <-failed:
		return ali_mns.MessageReceiveResponse{}, err
	}
}

func TestTheVendorsQueueSendsReceivesAndDeletes(t *testing.T) {
	s, c := newServer(mns.Options{})
	q := ali_mns.NewMNSQueue("q", client(t, s, key))
	sent := must(q.SendMessage(ali_mns.MessageSendRequest{MessageBody: "a\"<&>\n\tä", Priority: 3}))(t)
	peeked := make(chan ali_mns.MessageReceiveResponse, 1)
	failed := make(chan error, 1)
	q.PeekMessage(peeked, failed)
	if m := <-peeked; m.MessageId != sent.MessageId || m.ReceiptHandle != "" {
		t.Errorf("got %+v, want a look at %s", m, sent.MessageId)
	}
	m := must(receive(q, 1))(t)
	if m.MessageBody != "a\"<&>\n\tä" || m.MessageId != sent.MessageId || m.MessageBodyMD5 != sent.MessageBodyMD5 || m.DequeueCount != 1 ||
		m.Priority != 3 || m.EnqueueTime != start.UnixMilli() || m.NextVisibleTime != start.Add(30*time.Second).UnixMilli() {
		t.Errorf("got %+v, want what was sent", m)
	}
	changed := must(q.ChangeMessageVisibility(m.ReceiptHandle, 5))(t)
	if changed.NextVisibleTime != start.Add(5*time.Second).UnixMilli() {
		t.Errorf("got %+v, want visible in 5 s", changed)
	}
	wantSDK(t, q.DeleteMessage(m.ReceiptHandle), &ali_mns.ERR_MNS_MESSAGE_NOT_EXIST)
	ok(t, q.DeleteMessage(changed.ReceiptHandle))
	wantSDK(t, q.DeleteMessage("x"), &ali_mns.ERR_MNS_RECEIPT_HANDLE_ERROR)
	_, err := receive(q)
	wantSDK(t, err, &ali_mns.ERR_MNS_MESSAGE_NOT_EXIST)

	delayed := must(q.SendMessage(ali_mns.MessageSendRequest{MessageBody: "later", DelaySeconds: 60, Priority: 8}))(t)
	_, err = receive(q)
	wantSDK(t, err, &ali_mns.ERR_MNS_MESSAGE_NOT_EXIST)
	if delayed.ReceiptHandle == "" {
		t.Error("got no handle, want one of the delayed message")
	}
	c.Advance(time.Minute)
	must(receive(q))(t)
}

func TestTheVendorsQueueWorksInBatches(t *testing.T) {
	s, _ := newServer(mns.Options{})
	q := ali_mns.NewMNSQueue("q", client(t, s, key))
	sent := must(q.BatchSendMessage(ali_mns.MessageSendRequest{MessageBody: "a", Priority: 8}, ali_mns.MessageSendRequest{MessageBody: "b", Priority: 8}))(t)
	if len(sent.Messages) != 2 || sent.Messages[1].MessageBodyMD5 != "92EB5FFEE6AE2FEC3AD71C777531578F" {
		t.Errorf("got %+v, want two messages sent", sent)
	}
	part, err := q.BatchSendMessage(ali_mns.MessageSendRequest{MessageBody: "c", Priority: 8}, ali_mns.MessageSendRequest{MessageBody: "d"})
	wantSDK(t, err, &ali_mns.ERR_MNS_BATCH_OP_FAIL)
	if len(part.Messages) != 2 || part.Messages[0].MessageId == "" || part.Messages[1].ErrorCode != "InvalidArgument" {
		t.Errorf("got %+v, want one sent and one refused", part)
	}
	got, failed := make(chan ali_mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
	q.BatchPeekMessage(got, failed, 16)
	if m := <-got; len(m.Messages) != 3 {
		t.Errorf("got %+v, want a look at three messages", m)
	}
	q.BatchReceiveMessage(got, failed, 16, 1)
	m := <-got
	if len(m.Messages) != 3 || m.Messages[2].MessageBody != "c" {
		t.Fatalf("got %+v, want three messages", m)
	}
	resp, err := q.BatchDeleteMessage(m.Messages[0].ReceiptHandle, m.Messages[0].ReceiptHandle, m.Messages[1].ReceiptHandle)
	wantSDK(t, err, &ali_mns.ERR_MNS_BATCH_OP_FAIL)
	if len(resp.FailedMessages) != 1 || resp.FailedMessages[0].ErrorCode != "MessageNotExist" || resp.FailedMessages[0].ReceiptHandle != m.Messages[0].ReceiptHandle {
		t.Errorf("got %+v, want the handle refused that was given twice", resp)
	}
	must(q.BatchDeleteMessage(m.Messages[2].ReceiptHandle))(t)
	if left := s.Pending("q"); len(left) != 0 {
		t.Errorf("got %q left, want nothing", bodies(left))
	}
	q.BatchReceiveMessage(got, failed, 16)
	wantSDK(t, <-failed, &ali_mns.ERR_MNS_MESSAGE_NOT_EXIST)
}

func TestTheVendorsTopicManagerKeepsTopics(t *testing.T) {
	s, _ := newServer(mns.Options{})
	m := ali_mns.NewMNSTopicManager(client(t, s, key))
	ok(t, m.CreateTopic("outcomes", 2048, true))
	wantSDK(t, m.CreateTopic("outcomes", 2048, true), &ali_mns.ERR_MNS_TOPIC_ALREADY_EXIST_AND_HAVE_SAME_ATTR)
	wantSDK(t, m.CreateSimpleTopic("outcomes"), &ali_mns.ERR_MNS_TOPIC_ALREADY_EXIST)
	ok(t, m.SetTopicAttributes("outcomes", 65536, false))
	got := must(m.GetTopicAttributes("outcomes"))(t)
	if got.TopicName != "outcomes" || got.MaxMessageSize != 65536 || got.MessageRetentionPeriod != 86400 || got.LoggingEnabled {
		t.Errorf("got %+v, want what was set", got)
	}
}

func TestTheVendorsTopicFeedsAQueue(t *testing.T) {
	s, _ := newServer(mns.Options{})
	c := client(t, s, key)
	topic, queue := ali_mns.NewMNSTopic("t", c), ali_mns.NewMNSQueue("q", c)
	sub := ali_mns.MessageSubsribeRequest{
		Endpoint: topic.GenerateQueueEndpoint("q"), FilterTag: "failed",
		NotifyStrategy: ali_mns.EXPONENTIAL_DECAY_RETRY, NotifyContentFormat: ali_mns.SIMPLIFIED,
	}
	ok(t, topic.Subscribe("s", sub))
	wantSDK(t, topic.Subscribe("s", sub), &ali_mns.ERR_MNS_SUBSCRIPTION_ALREADY_EXIST_AND_HAVE_SAME_ATTR)
	other := sub
	other.FilterTag = ""
	wantSDK(t, topic.Subscribe("s", other), &ali_mns.ERR_MNS_SUBSCRIPTION_ALREADY_EXIST)
	wantSDK(t, topic.Subscribe("s2", ali_mns.MessageSubsribeRequest{Endpoint: "x"}), &ali_mns.ERR_MNS_INVALID_ENDPOINT)
	for _, tag := range []string{"completed", "failed"} {
		must(topic.PublishMessage(ali_mns.MessagePublishRequest{MessageBody: "desktop " + tag, MessageTag: tag}))(t)
	}
	if m := must(receive(queue))(t); m.MessageBody != "desktop failed" {
		t.Errorf("got %q, want what has the tag", m.MessageBody)
	}
	ok(t, topic.SetSubscriptionAttributes("s", ali_mns.BACKOFF_RETRY))
	got := must(topic.GetSubscriptionAttributes("s"))(t)
	if got.SubscriptionName != "s" || got.TopicName != "t" || got.TopicOwner != account || got.Endpoint != sub.Endpoint ||
		got.FilterTag != "failed" || got.NotifyStrategy != ali_mns.BACKOFF_RETRY || got.NotifyContentFormat != ali_mns.SIMPLIFIED {
		t.Errorf("got %+v, want the subscription with its new strategy", got)
	}
	list := must(topic.ListSubscriptionByTopic("", 10, "s"))(t)
	if len(list.Subscriptions) != 1 || !strings.HasSuffix(list.Subscriptions[0].SubscriptionURL, "/topics/t/subscriptions/s") {
		t.Errorf("got %+v, want one subscription", list)
	}
	details := must(topic.ListSubscriptionDetailByTopic("", 10, ""))(t)
	if len(details.Attrs) != 1 || details.Attrs[0].SubscriptionName != "s" {
		t.Errorf("got %+v, want one subscription", details)
	}
	ok(t, topic.Unsubscribe("s"))
	must(topic.PublishMessage(ali_mns.MessagePublishRequest{MessageBody: "x", MessageTag: "failed"}))(t)
	if left := s.Pending("q"); len(left) != 1 || !slices.Equal(bodies(left), []string{"desktop failed"}) {
		t.Errorf("got %q in the queue, want nothing new", bodies(left))
	}
}
