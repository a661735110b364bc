package mns_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/mns"
)

func TestAnswersAreFramedAsTheLiveServiceDoes(t *testing.T) {
	s, _ := newServer(mns.Options{})
	sent := ask(t, s, "POST", "/queues/q/messages", `<Message><MessageBody>{"a":"&lt;&amp;"}</MessageBody></Message>`).is(t, 201, "")
	want := `<?xml version="1.0" ?>
<Message xmlns="http://mns.aliyuncs.com/doc/v1">
  <MessageId>` + sent.field("MessageId") + `</MessageId>
  <MessageBodyMD5>8F435EB447C16F7AD68BC8B7839213EF</MessageBodyMD5>
</Message>`
	if sent.body != want {
		t.Errorf("sending: got\n%s\nwant\n%s", sent.body, want)
	}
	got := ask(t, s, "GET", "/queues/q/messages", "").is(t, 200, "")
	want = `<?xml version="1.0" ?>
<Message xmlns="http://mns.aliyuncs.com/doc/v1">
  <MessageId>` + sent.field("MessageId") + `</MessageId>
  <MessageBodyMD5>8F435EB447C16F7AD68BC8B7839213EF</MessageBodyMD5>
  <MessageBody>{"a":"&lt;&amp;"}</MessageBody>
  <ReceiptHandle>` + got.field("ReceiptHandle") + `</ReceiptHandle>
  <EnqueueTime>1795420800000</EnqueueTime>
  <FirstDequeueTime>1795420800000</FirstDequeueTime>
  <NextVisibleTime>1795420830000</NextVisibleTime>
  <DequeueCount>1</DequeueCount>
  <Priority>8</Priority>
</Message>`
	if got.body != want {
		t.Errorf("receiving: got\n%s\nwant\n%s", got.body, want)
	}
	empty := ask(t, s, "GET", "/queues/q/messages", "").is(t, 404, "MessageNotExist")
	want = `<?xml version="1.0" ?>
<Error xmlns="http://mns.aliyuncs.com/doc/v1">
  <Code>MessageNotExist</Code>
  <Message>Message not exist.</Message>
  <RequestId>` + empty.header["x-mns-request-id"][0] + `</RequestId>
  <HostId>http://1234567890123456.mns.cn-hangzhou.aliyuncs.com</HostId>
</Error>`
	if empty.body != want {
		t.Errorf("receiving nothing: got\n%s\nwant\n%s", empty.body, want)
	}
	for name, value := range map[string]string{
		"Server": "AliyunMQS", "Content-Type": "text/xml;charset=utf-8",
		"x-mns-version": "2015-06-06", "x-mns-response-format": "xml",
	} {
		if got := empty.header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("header %s: got %q, want %q", name, got, value)
		}
	}
	if id := empty.field("RequestId"); len(id) != 24 || strings.Trim(id, "0123456789ABCDEF") != "" {
		t.Errorf("got request id %q, want 24 upper-case hexadecimal digits", id)
	}
}

func TestOnlySignedTimelyCallsOfKnownKeysAreServed(t *testing.T) {
	sts := mns.Keys{ID: "STS.NU1", Secret: "secret", Token: "token"}
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		code   string
	}{
		{"signed", func(r *http.Request) { sign(r, key) }, 201, ""},
		{"signed by STS", func(r *http.Request) { r.Header.Set("security-token", "token"); sign(r, sts) }, 201, ""},
		{"STS without token", func(r *http.Request) { sign(r, sts) }, 403, "InvalidAccessKeyId"},
		{"STS with another token", func(r *http.Request) { r.Header.Set("security-token", "old"); sign(r, sts) }, 403, "InvalidAccessKeyId"},
		{"token without STS", func(r *http.Request) { r.Header.Set("security-token", "token"); sign(r, key) }, 403, "InvalidAccessKeyId"},
		{"unknown key", func(r *http.Request) { sign(r, mns.Keys{ID: "nobody"}) }, 403, "InvalidAccessKeyId"},
		{"wrong secret", func(r *http.Request) { sign(r, mns.Keys{ID: key.ID, Secret: "x"}) }, 403, "SignatureDoesNotMatch"},
		{"changed after signing", func(r *http.Request) { sign(r, key).Header.Set("x-mns-version", "2014-07-08") }, 403, "SignatureDoesNotMatch"},
		{"not signed", func(*http.Request) {}, 400, "MissingAuthorizationHeader"},
		{"signed strangely", func(r *http.Request) { r.Header.Set("Authorization", "Basic x") }, 400, "InvalidAuthorizationHeader"},
		{"14 minutes slow", func(r *http.Request) { r.Header.Set("Date", at(-14*time.Minute)); sign(r, key) }, 201, ""},
		{"16 minutes slow", func(r *http.Request) { r.Header.Set("Date", at(-16*time.Minute)); sign(r, key) }, 408, "TimeExpired"},
		{"16 minutes fast", func(r *http.Request) { r.Header.Set("Date", at(16*time.Minute)); sign(r, key) }, 408, "TimeExpired"},
		{"x-mns-date beside Date", func(r *http.Request) {
			r.Header.Set("Date", at(-time.Hour))
			r.Header.Set("x-mns-date", at(0))
			sign(r, key)
		}, 201, ""},
		{"x-mns-date without Date", func(r *http.Request) {
			r.Header.Set("x-mns-date", r.Header.Get("Date"))
			sign(r, key).Header.Del("Date")
		}, 201, ""},
		{"no date", func(r *http.Request) { r.Header.Del("Date"); sign(r, key) }, 400, "MissingDateHeader"},
		{"no date at all", func(r *http.Request) { r.Header.Set("Date", "yesterday"); sign(r, key) }, 400, "InvalidDateHeader"},
		{"wrong digest", func(r *http.Request) { r.Header.Set("Content-MD5", "eA=="); sign(r, key) }, 400, "InvalidDegist"},
		{"another account's endpoint", func(r *http.Request) { sign(r, key).Host = "1.mns.cn-hangzhou.aliyuncs.com" }, 403, "AccessDenied"},
		{"another region's endpoint", func(r *http.Request) { sign(r, key).Host = account + ".mns.cn-beijing.aliyuncs.com" }, 403, "AccessDenied"},
		{"the internal endpoint", func(r *http.Request) { sign(r, key).Host = account + ".mns.cn-hangzhou-internal.aliyuncs.com" }, 201, ""},
		{"any other host", func(r *http.Request) { sign(r, key).Host = "127.0.0.1:8080" }, 201, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newServer(mns.Options{})
			s.SetKeys(key, sts)
			r := request("POST", "/topics/t/messages", "<Message><MessageBody>x</MessageBody></Message>")
			tt.change(r)
			send(t, s, r).is(t, tt.status, tt.code)
			if got := len(s.Published("t")) == 1; got != (tt.status == 201) {
				t.Errorf("got published: %t, want it only if the call was served", got)
			}
		})
	}
}

func TestAServerWithoutKeysServesNobody(t *testing.T) {
	s := mns.New(mns.Options{})
	send(t, s, sign(request("GET", "/queues", ""), mns.Keys{})).is(t, 400, "InvalidAuthorizationHeader")
	send(t, s, sign(request("GET", "/queues", ""), key)).is(t, 403, "InvalidAccessKeyId")
}

func TestTheEndpointMayStandInThePathSignedWithOrWithoutIt(t *testing.T) {
	s, _ := newServer(mns.Options{})
	prefix := "/" + account + ".mns." + region + ".aliyuncs.com"
	without := sign(request("GET", "/queues/q", ""), key)
	without.RequestURI = prefix + without.RequestURI
	send(t, s, without).is(t, 200, "")
	with := sign(request("GET", prefix+"/queues/q", ""), key)
	send(t, s, with).is(t, 200, "")
	other := sign(request("GET", "/queues/q", ""), key)
	other.RequestURI = "/1.mns." + region + ".aliyuncs.com/queues/q"
	send(t, s, other).is(t, 403, "AccessDenied")
}

func TestCallsAreCheckedAsDocumented(t *testing.T) {
	name121 := strings.Repeat("n", 121)
	big := strings.Repeat("x", 65537)
	tests := []struct {
		name, method, target, body string
		status                     int
		code                       string
	}{
		{"new queue", "PUT", "/queues/new", "<Queue/>", 201, ""},
		{"new queue, no body", "PUT", "/queues/new", "", 201, ""},
		{"same queue", "PUT", "/queues/q", "<Queue><VisibilityTimeout>30</VisibilityTimeout></Queue>", 204, ""},
		{"other queue", "PUT", "/queues/q", "<Queue><VisibilityTimeout>31</VisibilityTimeout></Queue>", 409, "QueueAlreadyExist"},
		{"queue name", "PUT", "/queues/a_b", "<Queue/>", 400, "InvalidQueueName"},
		{"long queue name", "PUT", "/queues/" + name121, "<Queue/>", 400, "QueueNameLengthError"},
		{"queue delay", "PUT", "/queues/new", "<Queue><DelaySeconds>604801</DelaySeconds></Queue>", 400, "InvalidArgument"},
		{"queue size", "PUT", "/queues/new", "<Queue><MaximumMessageSize>1023</MaximumMessageSize></Queue>", 400, "InvalidArgument"},
		{"queue retention", "PUT", "/queues/new", "<Queue><MessageRetentionPeriod>59</MessageRetentionPeriod></Queue>", 400, "InvalidArgument"},
		{"queue visibility", "PUT", "/queues/new", "<Queue><VisibilityTimeout>0</VisibilityTimeout></Queue>", 400, "InvalidArgument"},
		{"queue polling", "PUT", "/queues/new", "<Queue><PollingWaitSeconds>31</PollingWaitSeconds></Queue>", 400, "InvalidArgument"},
		{"queue logging", "PUT", "/queues/new", "<Queue><LoggingEnabled>perhaps</LoggingEnabled></Queue>", 400, "InvalidArgument"},
		{"queue query", "PUT", "/queues/new?%zz=%zz", "<Queue/>", 400, "InvalidQueryString"},
		{"queue body", "PUT", "/queues/new", "<Topic/>", 400, "MalformedXML"},
		{"set absent queue", "PUT", "/queues/no?metaoverride=true", "<Queue/>", 404, "QueueNotExist"},
		{"absent queue", "GET", "/queues/no", "", 404, "QueueNotExist"},
		{"delete absent queue", "DELETE", "/queues/no", "", 404, "QueueNotExist"},

		{"send", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody></Message>", 201, ""},
		{"send to absent queue", "POST", "/queues/no/messages", "<Message><MessageBody>x</MessageBody></Message>", 404, "QueueNotExist"},
		{"priority 0", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><Priority>0</Priority></Message>", 400, "InvalidArgument"},
		{"priority 16", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><Priority>16</Priority></Message>", 201, ""},
		{"priority 17", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><Priority>17</Priority></Message>", 400, "InvalidArgument"},
		{"delay", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><DelaySeconds>604801</DelaySeconds></Message>", 400, "InvalidArgument"},
		{"64 KB", "POST", "/queues/q/messages", "<Message><MessageBody>" + big[1:] + "</MessageBody></Message>", 201, ""},
		{"more than 64 KB", "POST", "/queues/q/messages", "<Message><MessageBody>" + big + "</MessageBody></Message>", 400, "InvalidArgument"},
		{"no body", "POST", "/queues/q/messages", "<Message/>", 400, "InvalidArgument"},
		{"not XML", "POST", "/queues/q/messages", "hello", 400, "MalformedXML"},
		{"property type", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><UserProperties><PropertyValue><Name>a</Name><Value>1</Value><Type>INT</Type></PropertyValue></UserProperties></Message>", 400, "InvalidArgument"},
		{"property without name", "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><UserProperties><PropertyValue><Value>1</Value><Type>STRING</Type></PropertyValue></UserProperties></Message>", 400, "InvalidArgument"},
		{"51 properties", "POST", "/topics/t/messages", "<Message><MessageBody>x</MessageBody><UserProperties>" + strings.Repeat("<PropertyValue><Name>a</Name><Value>1</Value><Type>STRING</Type></PropertyValue>", 51) + "</UserProperties></Message>", 400, "InvalidArgument"},
		{"batch to absent queue", "POST", "/queues/no/messages", "<Messages><Message><MessageBody>x</MessageBody></Message></Messages>", 404, "QueueNotExist"},
		{"batch over 64 KB", "POST", "/queues/q/messages", "<Messages>" + strings.Repeat("<Message><MessageBody>"+big[:32769]+"</MessageBody></Message>", 2) + "</Messages>", 400, "InvalidArgument"},
		{"batch of 17", "POST", "/queues/q/messages", "<Messages>" + strings.Repeat("<Message><MessageBody>x</MessageBody></Message>", 17) + "</Messages>", 400, "InvalidArgument"},
		{"batch of none", "POST", "/queues/q/messages", "<Messages/>", 400, "InvalidArgument"},

		{"receive from absent queue", "GET", "/queues/no/messages", "", 404, "QueueNotExist"},
		{"receive with a long wait", "GET", "/queues/q/messages?waitseconds=31", "", 400, "InvalidArgument"},
		{"receive with a strange wait", "GET", "/queues/q/messages?waitseconds=x", "", 400, "InvalidQueryString"},
		{"receive 17", "GET", "/queues/q/messages?numOfMessages=17", "", 400, "InvalidArgument"},
		{"receive 0", "GET", "/queues/q/messages?numOfMessages=0", "", 400, "InvalidArgument"},
		{"peek from absent queue", "GET", "/queues/no/messages?peekonly=true", "", 404, "QueueNotExist"},
		{"peek at nothing", "GET", "/queues/q/messages?PeekOnly=true", "", 404, "MessageNotExist"},

		{"delete without handle", "DELETE", "/queues/q/messages", "", 400, "MissingReceiptHandle"},
		{"delete by a strange handle", "DELETE", "/queues/q/messages?ReceiptHandle=x", "", 400, "ReceiptHandleError"},
		{"delete by a strange memo", "DELETE", "/queues/q/messages?ReceiptHandle=0123456789ABCDEF0123456789ABCDEF-%2A", "", 400, "ReceiptHandleError"},
		{"delete by an unknown handle", "DELETE", "/queues/q/messages?ReceiptHandle=0123456789ABCDEF0123456789ABCDEF-eA==", "", 404, "MessageNotExist"},
		{"delete in absent queue", "DELETE", "/queues/no/messages?ReceiptHandle=x", "", 404, "QueueNotExist"},
		{"delete a strange batch", "DELETE", "/queues/q/messages", "<Handles/>", 400, "MalformedXML"},
		{"delete an empty batch", "DELETE", "/queues/q/messages", "<ReceiptHandles/>", 400, "InvalidArgument"},
		{"delete a batch in absent queue", "DELETE", "/queues/no/messages", "<ReceiptHandles><ReceiptHandle>x</ReceiptHandle></ReceiptHandles>", 404, "QueueNotExist"},
		{"hide in absent queue", "PUT", "/queues/no/messages?ReceiptHandle=x&VisibilityTimeout=1", "", 404, "QueueNotExist"},
		{"peek at 17", "GET", "/queues/q/messages?peekonly=true&numOfMessages=17", "", 400, "InvalidArgument"},
		{"hide without handle", "PUT", "/queues/q/messages?VisibilityTimeout=1", "", 400, "MissingReceiptHandle"},
		{"hide without timeout", "PUT", "/queues/q/messages?ReceiptHandle=x", "", 400, "MissingVisibilityTimeout"},
		{"hide for 0 s", "PUT", "/queues/q/messages?ReceiptHandle=x&VisibilityTimeout=0", "", 400, "InvalidArgument"},
		{"hide for more than 12 h", "PUT", "/queues/q/messages?ReceiptHandle=x&VisibilityTimeout=43201", "", 400, "InvalidArgument"},

		{"new topic", "PUT", "/topics/new", "<Topic/>", 201, ""},
		{"same topic", "PUT", "/topics/t", "<Topic><MaximumMessageSize>65536</MaximumMessageSize></Topic>", 204, ""},
		{"other topic", "PUT", "/topics/t", "<Topic><MaximumMessageSize>1024</MaximumMessageSize></Topic>", 409, "TopicAlreadyExist"},
		{"topic without body", "PUT", "/topics/t", "", 204, ""},
		{"topic size", "PUT", "/topics/new", "<Topic><MaximumMessageSize>65537</MaximumMessageSize></Topic>", 400, "InvalidArgument"},
		{"topic body", "PUT", "/topics/new", "<Queue/>", 400, "MalformedXML"},
		{"set topic size", "PUT", "/topics/t?metaoverride=true", "<Topic><MaximumMessageSize>1</MaximumMessageSize></Topic>", 400, "InvalidArgument"},
		{"set topic body", "PUT", "/topics/t?metaoverride=true", "<Queue/>", 400, "MalformedXML"},
		{"topic name", "PUT", "/topics/-a", "<Topic/>", 400, "TopicNameInvalid"},
		{"long topic name", "PUT", "/topics/" + name121, "<Topic/>", 400, "TopicNameLengthError"},
		{"absent topic", "GET", "/topics/no", "", 404, "TopicNotExist"},
		{"set absent topic", "PUT", "/topics/no?metaoverride=true", "<Topic/>", 404, "TopicNotExist"},

		{"publish", "POST", "/topics/t/messages", "<Message><MessageBody>x</MessageBody><MessageTag>sixteen-chars-ok</MessageTag></Message>", 201, ""},
		{"publish a long tag", "POST", "/topics/t/messages", "<Message><MessageBody>x</MessageBody><MessageTag>seventeen-chars-x</MessageTag></Message>", 400, "InvalidArgument"},
		{"publish more than 64 KB", "POST", "/topics/t/messages", "<Message><MessageBody>" + big + "</MessageBody></Message>", 400, "InvalidArgument"},
		{"publish to absent topic", "POST", "/topics/no/messages", "<Message><MessageBody>x</MessageBody></Message>", 404, "TopicNotExist"},
		{"publish a batch", "POST", "/topics/t/messages", "<Messages/>", 400, "MalformedXML"},

		{"subscribe", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>http://example.com/</Endpoint></Subscription>", 201, ""},
		{"subscribe to absent topic", "PUT", "/topics/no/subscriptions/s", "<Subscription><Endpoint>http://example.com/</Endpoint></Subscription>", 404, "TopicNotExist"},
		{"subscribe nothing", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>queue</Endpoint></Subscription>", 400, "EndpointInvalid"},
		{"subscription name", "PUT", "/topics/t/subscriptions/s_", "<Subscription/>", 400, "SubscriptionNameInvalid"},
		{"subscription format", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>http://example.com/</Endpoint><NotifyContentFormat>YAML</NotifyContentFormat></Subscription>", 400, "InvalidArgument"},
		{"subscription strategy", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>http://example.com/</Endpoint><NotifyStrategy>NEVER</NotifyStrategy></Subscription>", 400, "InvalidArgument"},
		{"subscription filter", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>http://example.com/</Endpoint><FilterTag>seventeen-chars-x</FilterTag></Subscription>", 400, "InvalidArgument"},
		{"subscription body", "PUT", "/topics/t/subscriptions/s", "<Topic/>", 400, "MalformedXML"},
		{"subscribe mail", "PUT", "/topics/t/subscriptions/s", "<Subscription><Endpoint>mail:directmail:a@example.com</Endpoint></Subscription>", 201, ""},
		{"set absent subscription", "PUT", "/topics/t/subscriptions/no?metaoverride=true", "<Subscription/>", 404, "SubscriptionNotExist"},
		{"set subscription body", "PUT", "/topics/t/subscriptions/no?metaoverride=true", "<Topic/>", 400, "MalformedXML"},
		{"subscription of absent topic", "GET", "/topics/no/subscriptions/s", "", 404, "TopicNotExist"},
		{"subscriptions of absent topic", "GET", "/topics/no/subscriptions", "", 404, "TopicNotExist"},
		{"absent subscription", "GET", "/topics/t/subscriptions/no", "", 404, "SubscriptionNotExist"},
		{"end absent subscription", "DELETE", "/topics/t/subscriptions/no", "", 404, "SubscriptionNotExist"},

		{"page size", "GET", "/queues", "", 200, ""},
		{"no operation", "POST", "/queues", "", 400, "InvalidRequestURL"},
		{"no path", "GET", "/", "", 400, "InvalidRequestURL"},
		{"another service", "POST", "/commonbuy/openservice", "", 400, "InvalidRequestURL"},
		{"too large", "POST", "/queues/q/messages", strings.Repeat(" ", 1<<20+1), 400, "InvalidArgument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newServer(mns.Options{})
			ask(t, s, tt.method, tt.target, tt.body).is(t, tt.status, tt.code)
		})
	}
}

func TestRefusalsOfPriorityAreWordedAsLive(t *testing.T) {
	s, _ := newServer(mns.Options{})
	got := ask(t, s, "POST", "/queues/q/messages", "<Message><MessageBody>x</MessageBody><Priority>0</Priority></Message>").is(t, 400, "InvalidArgument")
	if want := "The value of Priority should between 1 and 16."; got.field("Message") != want {
		t.Errorf("got %q, want %q", got.field("Message"), want)
	}
}

func TestLocationsAreSentAsTheLiveServiceDoes(t *testing.T) {
	s, _ := newServer(mns.Options{})
	host := account + ".mns." + region + ".aliyuncs.com"
	for _, tt := range []struct{ target, body, want string }{
		{"/queues/new", "<Queue/>", "http://" + host + "/queues/new"},
		{"/topics/new", "<Topic/>", "http://" + host + "/topics/new"},
		{"/topics/t/subscriptions/new", "<Subscription><Endpoint>http://example.com/</Endpoint></Subscription>", host + "/topics/t/subscriptions/new"},
	} {
		for _, status := range []int{201, 204} {
			got := ask(t, s, "PUT", tt.target, tt.body).is(t, status, "")
			if !slices.Equal(got.header["Location"], []string{tt.want}) || got.body != "" {
				t.Errorf("%s, %d: got Location %q and body %q, want %q and none", tt.target, status, got.header["Location"], got.body, tt.want)
			}
		}
	}
}

func TestListsArePagedByMarker(t *testing.T) {
	s, _ := newServer(mns.Options{})
	for _, name := range []string{"a1", "a2", "a3", "b1"} {
		s.CreateQueue(name, mns.QueueAttributes{})
	}
	page := func(marker, size, meta string) reply {
		r := request("GET", "/queues", "")
		r.Header.Set("x-mns-prefix", "a")
		r.Header.Set("x-mns-ret-number", size)
		r.Header.Set("x-mns-marker", marker)
		r.Header.Set("x-mns-with-meta", meta)
		return send(t, s, sign(r, key))
	}
	first := page("", "2", "").is(t, 200, "")
	if n := strings.Count(first.body, "<QueueURL>"); n != 2 || first.field("NextMarker") == "" {
		t.Fatalf("got %s, want two queues and a marker", first.body)
	}
	second := page(first.field("NextMarker"), "2", "true").is(t, 200, "")
	if n := strings.Count(second.body, "<QueueName>a3</QueueName>"); n != 1 || strings.Contains(second.body, "NextMarker") {
		t.Errorf("got %s, want the third queue and no marker", second.body)
	}
	page("", "0", "").is(t, 400, "InvalidArgument")
	page("", "1001", "").is(t, 400, "InvalidArgument")
	page("%", "1", "").is(t, 400, "InvalidArgument")
}

func TestCallsAreCountedAndFaultedByTheNamesOfTheDocumentation(t *testing.T) {
	tests := []struct{ want, method, target, body string }{
		{"SendMessage", "POST", "/queues/q/messages", "<Message/>"},
		{"BatchSendMessage", "POST", "/queues/q/messages", "<Messages/>"},
		{"ReceiveMessage", "GET", "/queues/q/messages?waitseconds=1", ""},
		{"BatchReceiveMessage", "GET", "/queues/q/messages?numOfMessages=2", ""},
		{"PeekMessage", "GET", "/queues/q/messages?peekonly=true", ""},
		{"BatchPeekMessage", "GET", "/queues/q/messages?peekonly=true&numofmessages=1", ""},
		{"DeleteMessage", "DELETE", "/queues/q/messages?ReceiptHandle=x", ""},
		{"BatchDeleteMessage", "DELETE", "/queues/q/messages", "<ReceiptHandles/>"},
		{"ChangeMessageVisibility", "PUT", "/queues/q/messages", ""},
		{"CreateQueue", "PUT", "/queues/q", ""},
		{"SetQueueAttributes", "PUT", "/queues/q?metaOverride=true", ""},
		{"PublishMessage", "POST", "/topics/t/messages", ""},
		{"Subscribe", "PUT", "/topics/t/subscriptions/s", ""},
		{"SetSubscriptionAttributes", "PUT", "/topics/t/subscriptions/s?metaoverride=true", ""},
		{"ListSubscriptionByTopic", "GET", "/topics/t/subscriptions", ""},
		{"Unknown", "PATCH", "/queues", ""},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			faults := &fault.Injector{}
			faults.Add(fault.Rule{Service: "mns", Operation: tt.want, Kind: fault.Throttle})
			s, _ := newServer(mns.Options{Faults: faults})
			ask(t, s, tt.method, tt.target, tt.body).is(t, 429, "TooManyRequests")
			if n := faults.Count("mns", tt.want); n != 1 {
				t.Errorf("got %d calls of %s, want 1: %v", n, tt.want, faults.Calls())
			}
		})
	}
}

func TestAFaultAfterTheWorkLeavesTheMessagePublished(t *testing.T) {
	faults := &fault.Injector{}
	faults.Add(fault.Rule{Operation: "PublishMessage", Kind: fault.ErrorAfter, Times: 1})
	s, _ := newServer(mns.Options{Faults: faults})
	const body = "<Message><MessageBody>x</MessageBody></Message>"
	ask(t, s, "POST", "/topics/t/messages", body).is(t, 500, "InternalError")
	ask(t, s, "POST", "/topics/t/messages", body).is(t, 201, "")
	if got := len(s.Published("t")); got != 2 {
		t.Errorf("got %d publications, want 2", got)
	}
}

func TestSizesMayBeCountedAsTheyStandInTheXML(t *testing.T) {
	body := "<Message><MessageBody>" + strings.Repeat("&#34;", 20000) + "</MessageBody></Message>"
	plain, _ := newServer(mns.Options{})
	ask(t, plain, "POST", "/topics/t/messages", body).is(t, 201, "")
	strict, _ := newServer(mns.Options{EscapedSize: true})
	ask(t, strict, "POST", "/topics/t/messages", body).is(t, 400, "InvalidArgument")
}
