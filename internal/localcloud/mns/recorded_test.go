package mns_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/regild/regild/internal/localcloud/mns"
)

func TestAnswersHaveTheShapeOfRecordedOnes(t *testing.T) {
	recorded, err := txtar.ParseFile("testdata/recorded.txtar")
	if err != nil {
		t.Fatal(err)
	}
	got := answers(t)
	for _, f := range recorded.Files {
		if want := string(f.Data); got[f.Name] != want {
			t.Errorf("%s: got\n%s\nrecorded\n%s", f.Name, got[f.Name], want)
		}
		delete(got, f.Name)
	}
	for name := range got {
		t.Errorf("%s: nothing is recorded", name)
	}
}

// answers makes the recorded calls, in an order that makes sense, and returns
// the shapes of what comes back.
func answers(t *testing.T) map[string]string {
	t.Helper()
	s, _ := newServer(mns.Options{})
	ask(t, s, "PUT", "/queues/copies", "<Queue></Queue>").is(t, 201, "")
	const (
		properties = `<UserProperties>%s<PropertyValue><Name>case</Name><Value>ack</Value><Type>STRING</Type></PropertyValue></UserProperties>`
		origin     = `<PropertyValue><Name>topicoriginated</Name><Value>true</Value><Type>BOOLEAN</Type></PropertyValue>`
		subscribe  = `<Subscription><Endpoint>acs:mns:cn-hangzhou:1234567890123456:queues/copies</Endpoint><NotifyContentFormat>JSON</NotifyContentFormat></Subscription>`
		body       = `<Message><MessageBody>it-ack-test</MessageBody>` + properties + `</Message>`
	)
	all := map[string]string{}
	call := func(name, method, target, body string) reply {
		t.Helper()
		r := ask(t, s, method, target, body)
		all[name] = shape(r)
		return r
	}
	call("CreateQueue, with the attributes that it has", "PUT", "/queues/q", "<Queue></Queue>")
	call("CreateTopic, with the attributes that it has", "PUT", "/topics/t", "<Topic></Topic>")
	ask(t, s, "PUT", "/topics/t/subscriptions/s", subscribe).is(t, 201, "")
	call("Subscribe, as it is", "PUT", "/topics/t/subscriptions/s", subscribe)
	call("BatchReceiveMessage, nothing there", "GET", "/queues/q/messages?numOfMessages=16", "")
	call("BatchSendMessage", "POST", "/queues/q/messages", "<Messages>"+fmt.Sprintf(body, "")+"</Messages>")
	handle := call("BatchReceiveMessage", "GET", "/queues/q/messages?numOfMessages=1", "").field("ReceiptHandle")
	handle = call("ChangeMessageVisibility", "PUT", "/queues/q/messages?ReceiptHandle="+url.QueryEscape(handle)+"&VisibilityTimeout=1", "").field("ReceiptHandle")
	call("BatchDeleteMessage", "DELETE", "/queues/q/messages", "<ReceiptHandles><ReceiptHandle>"+handle+"</ReceiptHandle></ReceiptHandles>")
	call("PublishMessage", "POST", "/topics/t/messages", fmt.Sprintf(body, origin))
	call("BatchReceiveMessage, what a topic sent as JSON", "GET", "/queues/copies/messages?numOfMessages=1", "")
	return all
}

// words stand for what is another one each time.
var words = []struct {
	is   *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\b[0-9]+\.mns\.cn-hangzhou\.aliyuncs\.com`), "ENDPOINT"},
	{regexp.MustCompile(`(<ReceiptHandle>)[0-9A-F]{32}-[A-Za-z0-9+/]+=*<`), "${1}ID-BASE64<"},
	{regexp.MustCompile(`(MD5>|MD5":")[0-9A-F]{32}\b`), "${1}MD5"},
	{regexp.MustCompile(`\b[0-9A-F]{32}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9A-F]{24}\b`), "REQUEST"},
	{regexp.MustCompile(`\b1234567890123456\b`), "ACCOUNT"},
	{regexp.MustCompile(`\b[0-9]{13}\b`), "MS"},
	{regexp.MustCompile(`(-time: )[0-9]+`), "${1}NUMBER"},
}

// shape is an answer without what is another one each time.
func shape(r reply) string {
	var lines []string
	for name, values := range r.header {
		if name == "Content-Length" {
			continue // which the recorder leaves out, as it does framing of any kind
		}
		lines = append(lines, name+": "+strings.Join(values, ","))
	}
	slices.Sort(lines)
	text := fmt.Sprintf("%d\n%s\n", r.status, strings.Join(lines, "\n"))
	if r.body != "" {
		text += "\n" + r.body + "\n"
	}
	for _, w := range words {
		text = w.is.ReplaceAllString(text, w.word)
	}
	return text
}
