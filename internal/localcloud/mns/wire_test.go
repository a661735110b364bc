package mns

import (
	"encoding/xml"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRequestsAreReadWhateverTheirNamespace(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"the documentation's", `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>x</MessageBody></Message>`, "x"},
		{"the service's own", `<Message xmlns="http://mns.aliyuncs.com/doc/v1"><MessageBody>x</MessageBody></Message>`, "x"},
		{"none", `<Message><MessageBody>x</MessageBody></Message>`, "x"},
		{"declaration and space around", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Message><MessageBody>x</MessageBody></Message>\n", "x"},
		{"escapes", `<Message><MessageBody>&#34;&amp;&lt;</MessageBody></Message>`, `"&<`},
		{"character data", `<Message><MessageBody><![CDATA[<a/>]]></MessageBody></Message>`, "<a/>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r sendRequest
			if err := parse([]byte(tt.body), &r); err != nil {
				t.Fatal(err)
			}
			if r.Body.Value != tt.want {
				t.Errorf("got %q, want %q", r.Body.Value, tt.want)
			}
		})
	}
}

func TestRequestsThatAreNotWhatTheyShouldBeAreMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"empty":              "",
		"text":               "hello",
		"another root":       "<Queue></Queue>",
		"another namespace":  `<Message xmlns="http://mqs.aliyuncs.com/doc/v1/"><MessageBody>x</MessageBody></Message>`,
		"not closed":         "<Message><MessageBody>x</MessageBody>",
		"two roots":          "<Message></Message><Message></Message>",
		"text behind":        "<Message></Message>x",
		"control characters": "<Message><MessageBody>\x01</MessageBody></Message>",
		"no number":          "<Message><MessageBody>x</MessageBody><Priority>high</Priority></Message>",
		"too deep":           strings.Repeat("<Message>", 100) + strings.Repeat("</Message>", 100),
	} {
		t.Run(name, func(t *testing.T) {
			var r sendRequest
			err := parse([]byte(body), &r)
			if e, ok := err.(*Error); !ok || e.Code != "MalformedXML" {
				t.Errorf("got %v, want MalformedXML", err)
			}
		})
	}
}

func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`<Message><MessageBody>x</MessageBody><DelaySeconds>0</DelaySeconds><Priority>8</Priority></Message>`,
		`<Messages><Message><MessageBody>&#34;</MessageBody></Message></Messages>`,
		`<Message><MessageBody>x</MessageBody><UserProperties><PropertyValue><Name>a</Name><Value>1</Value><Type>NUMBER</Type></PropertyValue></UserProperties></Message>`,
		`<ReceiptHandles><ReceiptHandle>RH==</ReceiptHandle></ReceiptHandles>`,
		`<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"><DelaySeconds>1</DelaySeconds></Queue>`,
		`<Subscription><Endpoint>acs:mns:cn-hangzhou:1:queues/q</Endpoint></Subscription>`,
		"<Message><MessageBody>]]&gt;\r\n</MessageBody></Message>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []any{&batchRequest{}, &handlesRequest{}, &queueRequest{}, &topicRequest{}, &subscriptionRequest{}} {
			_ = parse(body, v)
		}
		var r sendRequest
		if err := parse(body, &r); err != nil || r.Body == nil {
			return
		}
		// What was understood comes out of the answer as it went in.
		e := element{name: "Message"}
		e.add("MessageBody", r.Body.Value)
		var again struct {
			Body string `xml:"MessageBody"`
		}
		if err := xml.Unmarshal(e.document(header), &again); err != nil {
			t.Fatalf("reading %q again: %v", r.Body.Value, err)
		}
		if again.Body != r.Body.Value {
			t.Errorf("got %q, want %q", again.Body, r.Body.Value)
		}
	})
}

func FuzzTargets(f *testing.F) {
	f.Add("GET", "/queues/q/messages?waitseconds=30&numOfMessages=16")
	f.Add("DELETE", "/queues/q/messages?ReceiptHandle=a+b/c==")
	f.Add("PUT", "/1.mns.cn-hangzhou.aliyuncs.com/topics/t/subscriptions/s?metaOverride=true")
	f.Add("POST", "http://1.mns.cn-hangzhou.aliyuncs.com/topics/t/messages")
	f.Add("GET", "//%zz?%zz")
	f.Fuzz(func(t *testing.T, method, target string) {
		r := httptest.NewRequest("GET", "/", strings.NewReader("<Messages/>"))
		r.Method, r.RequestURI = method, target
		c := readCall(r)
		if c.err == nil && New(Options{}).calls[c.operation] == nil {
			t.Errorf("%s %s: got operation %q without a handler", method, target, c.operation)
		}
	})
}
