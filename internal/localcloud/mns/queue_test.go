package mns_test

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/mns"
)

func TestAMessageIsDeliveredAgainWhenItsVisibilityTimeoutPasses(t *testing.T) {
	s, c := newServer(mns.Options{})
	id := mustSend(t, s, "q", "x", 0)
	first := one(t, s, "q")
	if first.ID != id || first.DequeueCount != 1 || !first.FirstDequeueTime.Equal(start) || !first.NextVisible.Equal(start.Add(30*time.Second)) {
		t.Errorf("got %+v, want the first receive of %s, hidden for 30 s", first, id)
	}
	c.Advance(30*time.Second - 1)
	none(t, s, "q")
	c.Advance(1)
	second := one(t, s, "q")
	if second.ID != id || second.DequeueCount != 2 || second.Handle == first.Handle || !second.FirstDequeueTime.Equal(start) {
		t.Errorf("got %+v, want the second receive of %s under a new handle", second, id)
	}
	wantCode(t, s.Delete("q", first.Handle), "MessageNotExist")
	if err := s.Delete("q", second.Handle); err != nil {
		t.Errorf("deleting by the new handle: %v", err)
	}
	wantCode(t, s.Delete("q", second.Handle), "MessageNotExist")
}

func TestAHandleExpiresWithItsVisibilityTimeout(t *testing.T) {
	s, c := newServer(mns.Options{})
	mustSend(t, s, "q", "x", 0)
	m := one(t, s, "q")
	c.Advance(30 * time.Second)
	wantCode(t, s.Delete("q", m.Handle), "MessageNotExist")
	if got := s.Pending("q"); len(got) != 1 {
		t.Errorf("got %d pending messages, want 1", len(got))
	}
}

func TestReleaseMakesAMessageVisibleAtOnce(t *testing.T) {
	s, _ := newServer(mns.Options{})
	mustSend(t, s, "q", "x", 0)
	m := one(t, s, "q")
	s.Release("q", m.Handle)
	wantCode(t, s.Delete("q", m.Handle), "MessageNotExist")
	if again := one(t, s, "q"); again.DequeueCount != 2 {
		t.Errorf("got dequeue count %d, want 2", again.DequeueCount)
	}
	s.Release("q", m.Handle) // of no effect, as are these
	s.Release("q", "x")
	s.Release("no", m.Handle)
	none(t, s, "q")
}

func TestReleaseAfterMakesAMessageVisibleLater(t *testing.T) {
	s, c := newServer(mns.Options{})
	mustSend(t, s, "q", "x", 0)
	m := one(t, s, "q")
	s.ReleaseAfter("q", m.Handle, time.Minute)
	wantCode(t, s.Delete("q", m.Handle), "MessageNotExist")
	c.Advance(time.Minute - 1)
	none(t, s, "q")
	c.Advance(1)
	one(t, s, "q")
}

func TestReceivingNoMessagesTakesNone(t *testing.T) {
	s, _ := newServer(mns.Options{})
	mustSend(t, s, "q", "x", 0)
	for _, most := range []int{0, -1} {
		if got := s.Receive(t.Context(), "q", most, time.Hour); got != nil {
			t.Errorf("got %q for at most %d, want nothing", bodies(got), most)
		}
	}
}

func TestADelayedMessageAppearsWhenItsDelayHasPassed(t *testing.T) {
	s, c := newServer(mns.Options{})
	mustSend(t, s, "q", "later", time.Minute)
	none(t, s, "q")
	if at, ok := s.Next("q"); !ok || !at.Equal(start.Add(time.Minute)) {
		t.Errorf("got next %v, %t, want in a minute", at, ok)
	}
	if p := s.Pending("q"); len(p) != 1 || p[0].DequeueCount != 0 || !p[0].NextVisible.Equal(start.Add(time.Minute)) {
		t.Errorf("got pending %+v, want the delayed message", p)
	}
	c.Advance(time.Minute)
	if m := one(t, s, "q"); m.DequeueCount != 1 || !m.EnqueueTime.Equal(start) {
		t.Errorf("got %+v, want a first receive of what was sent at the start", m)
	}
}

func TestADelayedMessageCanBeDeletedOrHastenedByTheHandleOfItsSending(t *testing.T) {
	s, c := newServer(mns.Options{})
	const body = "<Message><MessageBody>x</MessageBody><DelaySeconds>600</DelaySeconds></Message>"
	cancelled := ask(t, s, "POST", "/queues/q/messages", body).is(t, 201, "").field("ReceiptHandle")
	ask(t, s, "DELETE", "/queues/q/messages?ReceiptHandle="+url.QueryEscape(cancelled), "").is(t, 204, "")
	hastened := ask(t, s, "POST", "/queues/q/messages", body).is(t, 201, "").field("ReceiptHandle")
	ask(t, s, "PUT", "/queues/q/messages?VisibilityTimeout=1&ReceiptHandle="+url.QueryEscape(hastened), "").is(t, 200, "")
	c.Advance(time.Second)
	one(t, s, "q")
	plain := ask(t, s, "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody></Message>").is(t, 201, "")
	if plain.field("ReceiptHandle") != "" {
		t.Errorf("got %s, want no handle without a delay", plain.body)
	}
}

func TestAQueuesDelayAppliesToMessagesWithoutTheirOwn(t *testing.T) {
	s, _ := newServer(mns.Options{})
	s.CreateQueue("slow", mns.QueueAttributes{Delay: time.Minute})
	ask(t, s, "POST", "/queues/slow/messages", "<Message><MessageBody>own</MessageBody><DelaySeconds>0</DelaySeconds></Message>").is(t, 201, "")
	ask(t, s, "POST", "/queues/slow/messages", "<Message><MessageBody>queue's</MessageBody></Message>").is(t, 201, "")
	if m := one(t, s, "slow"); string(m.Body) != "own" {
		t.Errorf("got %q, want the message with a delay of its own", m.Body)
	}
}

func TestRetentionEndsAMessageWhateverItsState(t *testing.T) {
	s, c := newServer(mns.Options{})
	s.CreateQueue("short", mns.QueueAttributes{Retention: time.Hour, Visibility: 2 * time.Hour})
	mustSend(t, s, "short", "visible", 0)
	mustSend(t, s, "short", "delayed beyond it", 2*time.Hour)
	held := s.Receive(t.Context(), "short", 1, 0)[0]
	mustSend(t, s, "short", "waiting", 0)
	c.Advance(time.Hour - 1)
	if got := len(s.Pending("short")); got != 3 {
		t.Fatalf("got %d pending just before the hour, want 3", got)
	}
	c.Advance(1)
	if got := s.Pending("short"); len(got) != 0 {
		t.Errorf("got %q pending after the hour, want nothing", bodies(got))
	}
	wantCode(t, s.Delete("short", held.Handle), "MessageNotExist")
	c.Advance(2 * time.Hour)
	none(t, s, "short")
	if at, ok := s.Next("short"); ok {
		t.Errorf("got next %v of an empty queue, want none", at)
	}
}

func TestChangingVisibilityGivesANewHandleAndEndsTheOld(t *testing.T) {
	s, c := newServer(mns.Options{})
	mustSend(t, s, "q", "x", 0)
	old := one(t, s, "q").Handle
	target := func(handle string) string {
		return "/queues/q/messages?receiptHandle=" + url.QueryEscape(handle) + "&visibilityTimeout=100"
	}
	c.Advance(10 * time.Second)
	got := ask(t, s, "PUT", target(old), "").is(t, 200, "")
	want := `<?xml version="1.0" ?>
<ChangeVisibility xmlns="http://mns.aliyuncs.com/doc/v1">
  <ReceiptHandle>` + got.field("ReceiptHandle") + `</ReceiptHandle>
  <NextVisibleTime>` + strconv.FormatInt(start.Add(110*time.Second).UnixMilli(), 10) + `</NextVisibleTime>
</ChangeVisibility>`
	if got.body != want {
		t.Errorf("got\n%s\nwant\n%s", got.body, want)
	}
	ask(t, s, "PUT", target(old), "").is(t, 404, "MessageNotExist")
	wantCode(t, s.Delete("q", old), "MessageNotExist")
	c.Advance(90 * time.Second)
	none(t, s, "q")
	if err := s.Delete("q", got.field("ReceiptHandle")); err != nil {
		t.Errorf("deleting by the new handle: %v", err)
	}
}

func TestHandlesAreReadAlsoWhenTheyCameUnescaped(t *testing.T) {
	s, _ := newServer(mns.Options{})
	seen := ""
	for range 50 {
		mustSend(t, s, "q", "x", 0)
		handle := one(t, s, "q").Handle
		seen += handle
		ask(t, s, "DELETE", "/queues/q/messages?ReceiptHandle="+handle, "").is(t, 204, "")
	}
	for _, c := range "+/=" {
		if !strings.ContainsRune(seen, c) {
			t.Errorf("no handle had a %q, want some that need escaping", c)
		}
	}
}

func TestABatchDeleteWithOneBadHandleDeletesTheOthersAndSaysSo(t *testing.T) {
	s, _ := newServer(mns.Options{})
	var body strings.Builder
	body.WriteString("<ReceiptHandles>")
	for range 2 {
		mustSend(t, s, "q", "x", 0)
		body.WriteString("<ReceiptHandle>" + one(t, s, "q").Handle + "</ReceiptHandle>")
	}
	const bad = "0123456789ABCDEF0123456789ABCDEF-eA=="
	body.WriteString("<ReceiptHandle>" + bad + "</ReceiptHandle></ReceiptHandles>")
	got := ask(t, s, "DELETE", "/queues/q/messages", body.String())
	want := `<?xml version="1.0" ?>
<Errors xmlns="http://mns.aliyuncs.com/doc/v1">
  <Error>
    <ErrorCode>MessageNotExist</ErrorCode>
    <ErrorMessage>Message not exist.</ErrorMessage>
    <ReceiptHandle>` + bad + `</ReceiptHandle>
  </Error>
</Errors>`
	if got.status != 404 || got.body != want {
		t.Errorf("got %d\n%s\nwant 404\n%s", got.status, got.body, want)
	}
	if left := s.Pending("q"); len(left) != 0 {
		t.Errorf("got %d messages left, want none", len(left))
	}
}

func TestABatchSendThatFailsInPartSendsTheRest(t *testing.T) {
	s, _ := newServer(mns.Options{})
	got := ask(t, s, "POST", "/queues/q/messages", `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/">`+
		`<Message><MessageBody>good</MessageBody></Message>`+
		`<Message><MessageBody>bad</MessageBody><Priority>0</Priority></Message></Messages>`)
	if got.status != 500 || got.field("ErrorCode") != "InvalidArgument" || got.field("MessageId") == "" {
		t.Errorf("got %d %s, want 500 with one error and one id", got.status, got.body)
	}
	if m := one(t, s, "q"); string(m.Body) != "good" {
		t.Errorf("got %q, want good", m.Body)
	}
}

func TestPeekingShowsMessagesAndChangesNothing(t *testing.T) {
	s, _ := newServer(mns.Options{})
	mustSend(t, s, "q", "a", 0)
	mustSend(t, s, "q", "b", 0)
	mustSend(t, s, "q", "later", time.Minute)
	first := ask(t, s, "GET", "/queues/q/messages?peekonly=true", "").is(t, 200, "")
	if first.field("MessageBody") != "a" || first.field("DequeueCount") != "0" || first.field("ReceiptHandle") != "" {
		t.Errorf("got %s, want message a, never received, without a handle", first.body)
	}
	all := ask(t, s, "GET", "/queues/q/messages?peekonly=true&numOfMessages=16", "").is(t, 200, "")
	if n := strings.Count(all.body, "<MessageId>"); n != 2 {
		t.Errorf("got %s, want two messages", all.body)
	}
	if got := s.Receive(t.Context(), "q", 16, 0); len(got) != 2 || got[0].DequeueCount != 1 {
		t.Errorf("got %+v, want both messages for the first time", got)
	}
}

func TestMessagesComeByPriorityThenInOrder(t *testing.T) {
	s, _ := newServer(mns.Options{})
	for _, m := range []string{"a 9", "b 1", "c 9", "d 1"} {
		body, priority, _ := strings.Cut(m, " ")
		ask(t, s, "POST", "/queues/q/messages", "<Message><MessageBody>"+body+"</MessageBody><Priority>"+priority+"</Priority></Message>").is(t, 201, "")
	}
	if got := bodies(s.Receive(t.Context(), "q", 16, 0)); !slices.Equal(got, []string{"b", "d", "a", "c"}) {
		t.Errorf("got %q, want b d a c", got)
	}
}

func TestAnUnorderedQueueGivesOneSliceACallAndEveryMessageOnce(t *testing.T) {
	s, _ := newServer(mns.Options{Unordered: true, Seed: 7})
	var sent []string
	for i := range 30 {
		body := strconv.Itoa(100 + i)
		sent = append(sent, body)
		mustSend(t, s, "q", body, 0)
	}
	var got []string
	calls := 0
	for batch := s.Receive(t.Context(), "q", 30, 0); len(batch) > 0; batch = s.Receive(t.Context(), "q", 30, 0) {
		calls++
		got = append(got, bodies(batch)...)
	}
	if calls < 2 || slices.IsSorted(got) {
		t.Errorf("got %q in %d calls, want several calls and no order", got, calls)
	}
	if slices.Sort(got); !slices.Equal(got, sent) {
		t.Errorf("got %q, want each message once", got)
	}
}

func TestDuplicatesAreHandedOutThoughInvisibleButNotBeforeTheirDelay(t *testing.T) {
	s, _ := newServer(mns.Options{Duplicate: 1})
	mustSend(t, s, "q", "x", 0)
	mustSend(t, s, "q", "later", time.Minute)
	first := one(t, s, "q")
	second := one(t, s, "q")
	if second.ID != first.ID || second.DequeueCount != 2 {
		t.Errorf("got %+v, want %s for the second time", second, first.ID)
	}
	wantCode(t, s.Delete("q", first.Handle), "MessageNotExist")
	if err := s.Delete("q", second.Handle); err != nil {
		t.Errorf("deleting the duplicate: %v", err)
	}
	none(t, s, "q")
}

func TestPropertiesAreCarried(t *testing.T) {
	s, _ := newServer(mns.Options{})
	ask(t, s, "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><MessageGroupId>g</MessageGroupId>"+
		"<UserProperties><PropertyValue><Name>a</Name><Value>1</Value><Type>NUMBER</Type></PropertyValue></UserProperties>"+
		"<SystemProperties><SystemPropertyValue><Name>traceparent</Name><Value>00-1</Value><Type>STRING</Type></SystemPropertyValue></SystemProperties></Message>").is(t, 201, "")
	got := ask(t, s, "GET", "/queues/q/messages", "").is(t, 200, "")
	const want = `  <Priority>8</Priority>
  <UserProperties>
    <PropertyValue>
      <Name>a</Name>
      <Value>1</Value>
      <Type>NUMBER</Type>
    </PropertyValue>
  </UserProperties>
  <SystemProperties>
    <SystemPropertyValue>
      <Name>traceparent</Name>
      <Value>00-1</Value>
      <Type>STRING</Type>
    </SystemPropertyValue>
  </SystemProperties>
</Message>`
	if !strings.HasSuffix(got.body, want) {
		t.Errorf("got\n%s\nwant it to end in\n%s", got.body, want)
	}
}

func TestTheGoSideRefusesWhatTheServiceRefuses(t *testing.T) {
	s, _ := newServer(mns.Options{})
	_, err := s.Send("no", []byte("x"), 0)
	wantCode(t, err, "QueueNotExist")
	_, err = s.Send("q", nil, 0)
	wantCode(t, err, "InvalidArgument")
	_, err = s.Send("q", make([]byte, 65537), 0)
	wantCode(t, err, "InvalidArgument")
	wantCode(t, s.Delete("no", "x"), "QueueNotExist")
	wantCode(t, s.Delete("q", "x"), "ReceiptHandleError")
	_, err = s.Publish("no", []byte("x"), "")
	wantCode(t, err, "TopicNotExist")
	if got := s.Receive(t.Context(), "no", 1, time.Hour); got != nil {
		t.Errorf("got %q of a queue that is not, want nothing", bodies(got))
	}
}

func TestTheSameSeedGivesTheSameServer(t *testing.T) {
	run := func(seed uint64) string {
		s, _ := newServer(mns.Options{Seed: seed, Unordered: true})
		for range 9 {
			mustSend(t, s, "q", "x", 0)
		}
		var all strings.Builder
		for _, m := range s.Receive(t.Context(), "q", 9, 0) {
			all.WriteString(m.Handle)
		}
		return all.String()
	}
	first := run(1)
	if again := run(1); again != first {
		t.Errorf("got %s of the same seed, want %s", again, first)
	}
	if other := run(2); other == first {
		t.Errorf("got %s of another seed as well", other)
	}
}

func TestAttributesChangeOnlyWhereACallNamesThem(t *testing.T) {
	s, c := newServer(mns.Options{})
	c.Advance(time.Minute)
	ask(t, s, "PUT", "/queues/q?MetaOverride=true", "<Queue><VisibilityTimeout>100</VisibilityTimeout></Queue>").is(t, 204, "")
	ask(t, s, "PUT", "/queues/q?metaoverride=true", "<Queue><VisibilityTimeout>0</VisibilityTimeout></Queue>").is(t, 400, "InvalidArgument")
	mustSend(t, s, "q", "held", 0)
	one(t, s, "q")
	mustSend(t, s, "q", "ready", 0)
	mustSend(t, s, "q", "delayed", time.Minute)
	got := ask(t, s, "GET", "/queues/q", "").is(t, 200, "")
	const want = `<?xml version="1.0" ?>
<Queue xmlns="http://mns.aliyuncs.com/doc/v1">
  <QueueName>q</QueueName>
  <CreateTime>1795420800</CreateTime>
  <LastModifyTime>1795420860</LastModifyTime>
  <DelaySeconds>0</DelaySeconds>
  <MaximumMessageSize>65536</MaximumMessageSize>
  <MessageRetentionPeriod>345600</MessageRetentionPeriod>
  <VisibilityTimeout>100</VisibilityTimeout>
  <PollingWaitSeconds>0</PollingWaitSeconds>
  <ActiveMessages>1</ActiveMessages>
  <InactiveMessages>1</InactiveMessages>
  <DelayMessages>1</DelayMessages>
  <LoggingEnabled>False</LoggingEnabled>
</Queue>`
	if got.body != want {
		t.Errorf("got\n%s\nwant\n%s", got.body, want)
	}
}
