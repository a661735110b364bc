package mns

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

var keys = credentials.Keys{ID: "LTAItest", Secret: "s3cr3t", Token: "CAIStoken"}

func constantKeys(context.Context) (credentials.Keys, error) { return keys, nil }

const taken = `<?xml version="1.0" ?>
<Message xmlns="http://mns.aliyuncs.com/doc/v1">
  <MessageId>6AB500C1D1F37F8A9C3E00000000000A</MessageId>
  <MessageBodyMD5>5D41402ABC4B2A76B9719D911017C592</MessageBodyMD5>
</Message>`

func errorBody(code string) string {
	return `<?xml version="1.0" ?>
<Error xmlns="http://mns.aliyuncs.com/doc/v1">
  <Code>` + code + `</Code>
  <Message>the message</Message>
  <RequestId>6AB5</RequestId>
  <HostId>http://1234567890123456.mns.cn-hangzhou.aliyuncs.com</HostId>
</Error>`
}

// A script is an MNS that answers as it is told and remembers what it was asked.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

type request struct {
	method, host, uri string
	header            http.Header
	body              string
}

func serve(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int)) *script {
	t.Helper()
	s := &script{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, request{r.Method, r.Host, r.RequestURI, r.Header.Clone(), string(body)})
		n := len(s.requests)
		s.mu.Unlock()
		answer(w, r, n)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func say(status int, body string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "text/xml;charset=utf-8")
		w.Header().Set("x-mns-request-id", "REQ-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// quick are waits and pauses too short to notice, for five repetitions.
var quick = []time.Duration{8, 8, 8, 8, 8}

func client(t testing.TB, url string, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Endpoint: url, AccountID: "1234567890123456", RegionID: "cn-hangzhou", Keys: constantKeys, Backoff: quick}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func TestAPublicationIsOneSignedRequest(t *testing.T) {
	s := serve(t, say(201, taken))
	id, err := client(t, s.URL).Publish(t.Context(), "outcomes", []byte(`{"a":"<b>&c"}`), "accepted")
	if err != nil || id != "6AB500C1D1F37F8A9C3E00000000000A" {
		t.Fatalf("got %q %v", id, err)
	}
	r := s.requests[0]
	if r.method != "POST" || r.uri != "/topics/outcomes/messages" || r.host != "1234567890123456.mns.cn-hangzhou.aliyuncs.com" || s.calls() != 1 {
		t.Errorf("got %d requests, the first %s %s to %s", s.calls(), r.method, r.uri, r.host)
	}
	want := `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>{"a":"&lt;b&gt;&amp;c"}</MessageBody><MessageTag>accepted</MessageTag></Message>`
	if r.body != want {
		t.Errorf("body: got %s\nwant %s", r.body, want)
	}
	for name, prefix := range map[string]string{
		"Authorization": "MNS LTAItest:", "Security-Token": "CAIStoken", "X-Mns-Version": "2015-06-06",
		"Content-Type": "application/xml", "Content-Md5": "", "Date": "",
	} {
		if got := r.header.Get(name); got == "" || !strings.HasPrefix(got, prefix) {
			t.Errorf("%s: got %q, want %q…", name, got, prefix)
		}
	}
}

func TestBehindAProxyTheSameIsSent(t *testing.T) {
	s := serve(t, say(201, taken))
	c := client(t, s.URL)
	for _, viaProxy := range []bool{false, true} {
		if viaProxy {
			c.signers[0].line = nil
		}
		if id, err := c.Publish(t.Context(), "outcomes", []byte(`{}`), "accepted"); err != nil || id != "6AB500C1D1F37F8A9C3E00000000000A" {
			t.Fatalf("got %q %v", id, err)
		}
	}
	direct, proxied := s.requests[0], s.requests[1]
	for _, h := range []http.Header{direct.header, proxied.header} { // what net/http adds, and what may have changed in between
		for _, name := range []string{"Accept-Encoding", "Date", "Authorization"} {
			h.Del(name)
		}
	}
	if !reflect.DeepEqual(direct, proxied) {
		t.Errorf("got %+v, want %+v", proxied, direct)
	}
}

func TestAMessageToAQueueHasAPriorityAndItsDelayInWholeSeconds(t *testing.T) {
	for delay, want := range map[time.Duration]string{
		-time.Second: "0", 0: "0", time.Millisecond: "1", time.Second: "1", 90*time.Second + 1: "91", 8 * 24 * time.Hour: "604800",
	} {
		s := serve(t, say(201, taken))
		if _, err := client(t, s.URL).Send(t.Context(), "requests", []byte("tick"), delay); err != nil {
			t.Fatal(err)
		}
		if got := s.requests[0].body; !strings.HasSuffix(got, "<DelaySeconds>"+want+"</DelaySeconds><Priority>8</Priority></Message>") || s.requests[0].uri != "/queues/requests/messages" {
			t.Errorf("delay %v: got %s to %s, want %s seconds", delay, got, s.requests[0].uri, want)
		}
	}
}

// A batch is one request. If MNS does not say of each of its messages that it was taken,
// that is an error, and it is sent again.
func TestAMessageThatComesTwiceIsOneRequest(t *testing.T) {
	entry := strings.TrimPrefix(taken, `<?xml version="1.0" ?>`)
	batch := func(entries ...string) string {
		return `<?xml version="1.0" ?><Messages xmlns="http://mns.aliyuncs.com/doc/v1">` + strings.Join(entries, "") + "</Messages>"
	}
	const refused = "<Message><ErrorCode>InternalError</ErrorCode><ErrorMessage>none</ErrorMessage></Message>"
	withBoth := strings.Replace(entry, "</Message>", "<ErrorCode>InternalError</ErrorCode></Message>", 1)
	const withNeither = "<Message><MessageBodyMD5>5D41402ABC4B2A76B9719D911017C592</MessageBodyMD5></Message>"
	for name, c := range map[string]struct {
		status int
		body   string
		sent   int
	}{
		"both taken":              {201, batch(entry, entry), 1},
		"one refused":             {500, batch(entry, refused), 4},
		"one refused in a 201":    {201, batch(entry, refused), 4},
		"one missing":             {201, batch(entry), 4},
		"one too many":            {201, batch(entry, entry, entry), 4},
		"an id and an error":      {201, batch(entry, withBoth), 4},
		"no id and no error":      {201, batch(entry, withNeither), 4},
		"both, cut at the end":    {201, strings.TrimSuffix(batch(entry, entry), "</Messages>"), 4},
		"the answer to one alone": {201, taken, 4},
	} {
		s := serve(t, say(c.status, c.body))
		err := client(t, s.URL).SendEach(t.Context(), "requests", []byte("<tick>"), time.Second, 76*time.Second)
		e, failed := errors.AsType[*desktop.CallError](err)
		if failed != (c.sent > 1) || failed && (e.Call != "BatchSendMessage" || e.Delivery != desktop.Unknown) || s.calls() != c.sent {
			t.Errorf("%s: %v after %d calls, want %d", name, err, s.calls(), c.sent)
		}
		want := `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/">` +
			`<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>&lt;tick></MessageBody><DelaySeconds>1</DelaySeconds><Priority>8</Priority></Message>` +
			`<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>&lt;tick></MessageBody><DelaySeconds>76</DelaySeconds><Priority>8</Priority></Message></Messages>`
		if got := s.requests[0]; strings.ReplaceAll(got.body, "&gt;", ">") != want || got.uri != "/queues/requests/messages" {
			t.Errorf("%s: got %s to %s", name, got.body, got.uri)
		}
	}
}

func TestABatchThatMNSWouldNotTakeIsNotSent(t *testing.T) {
	entry := strings.TrimPrefix(taken, `<?xml version="1.0" ?>`)
	for _, c := range []struct {
		queue string
		bytes int
		n     int
		says  string // "": it is sent
	}{
		{"no queue", 1, 2, "not the name of a queue"}, {"no queue", 1, 0, "not the name of a queue"}, {"requests", 0, 2, "1 to 65536 bytes, not 0"},
		{"requests", 1, 0, "not 0 of 1 each"}, {"requests", 1, maxBatch + 1, "not 17 of 1 each"}, {"requests", MaxBody/2 + 1, 2, "not 2 of 32769 each"},
		{"requests", 1, 1, ""}, {"requests", 1, maxBatch, ""}, {"requests", MaxBody / 2, 2, ""},
	} {
		s := serve(t, say(201, "<Messages>"+strings.Repeat(entry, c.n)+"</Messages>"))
		err := client(t, s.URL).SendEach(t.Context(), c.queue, []byte(strings.Repeat("x", c.bytes)), make([]time.Duration, c.n)...)
		e, refused := errors.AsType[*desktop.CallError](err)
		if refused != (c.says != "") || refused && (e.Delivery != desktop.Refused || !strings.Contains(e.Message, c.says)) || refused != (s.calls() == 0) {
			t.Errorf("%+v: %v after %d calls", c, err, s.calls())
		}
	}
}

// What MNS calls a message may be spelt as XML spells it.
func TestTheIDOfAMessageIsReadAsXML(t *testing.T) {
	s := serve(t, say(201, `<Message xmlns="http://mns.aliyuncs.com/doc/v1"><MessageId>a&amp;b</MessageId></Message>`))
	if id, err := client(t, s.URL).Publish(t.Context(), "outcomes", []byte("{}"), ""); err != nil || id != "a&b" {
		t.Errorf("got %q %v", id, err)
	}
}

func TestAnAnswersFateFollowsFromItsCode(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		body      string
		delivery  desktop.Delivery
		throttled bool
		code      string
		sent      int
	}{
		"throttled":                    {429, errorBody("TooManyRequests"), desktop.NotSent, true, "TooManyRequests", 6},
		"throttled without words":      {429, "", desktop.Unknown, true, "", 4},
		"429 with another code":        {429, errorBody("FlowControl"), desktop.Unknown, true, "FlowControl", 4},
		"throttled by the old limiter": {400, errorBody("QpsLimitExceeded"), desktop.NotSent, true, "QpsLimitExceeded", 6},
		"no topic":                     {404, errorBody("TopicNotExist"), desktop.Refused, false, "TopicNotExist", 1},
		"bad argument":                 {400, errorBody("InvalidArgument"), desktop.Refused, false, "InvalidArgument", 1},
		"denied":                       {403, errorBody("AccessDenied"), desktop.Forbidden, false, "AccessDenied", 1},
		"unknown key":                  {403, errorBody("InvalidAccessKeyId"), desktop.Forbidden, false, "InvalidAccessKeyId", 1},
		"bad signature":                {403, errorBody("SignatureDoesNotMatch"), desktop.Forbidden, false, "SignatureDoesNotMatch", 1},
		"other 403":                    {403, errorBody("SomethingNew"), desktop.Forbidden, false, "SomethingNew", 1},
		"wrong clock":                  {408, errorBody("TimeExpired"), desktop.Forbidden, false, "TimeExpired", 1},
		"bad header":                   {400, errorBody("InvalidDateHeader"), desktop.Forbidden, false, "InvalidDateHeader", 1},
		"internal error":               {500, errorBody("InternalError"), desktop.Unknown, false, "InternalError", 4},
		"5xx page":                     {502, "<html><body>Tengine</body></html>", desktop.Unknown, false, "", 4},
		"5xx without a body":           {503, "", desktop.Unknown, false, "", 4},
		"4xx page":                     {400, "<html>", desktop.Unknown, false, "", 4},
		"200 instead of 201":           {200, taken, desktop.Unknown, false, "", 4},
		"redirect":                     {302, "", desktop.Unknown, false, "", 4},
		"201 without a body":           {201, "", desktop.Unknown, false, "", 4},
		"201 with garbage":             {201, "garbage", desktop.Unknown, false, "", 4},
		"201 cut in the middle":        {201, taken[:80], desktop.Unknown, false, "", 4},
		"201 without an id":            {201, "<Message></Message>", desktop.Unknown, false, "", 4},
		"201 cut behind its id":        {201, taken[:strings.Index(taken, "<MessageBodyMD5>")], desktop.Unknown, false, "", 4},
		"201 without its beginning":    {201, taken[strings.Index(taken, "<MessageId>"):], desktop.Unknown, false, "", 4},
		"201 with other words":         {201, "<html><MessageId>a</MessageId></html>", desktop.Unknown, false, "", 4},
		"refusal cut behind its code":  {400, strings.Split(errorBody("InvalidArgument"), "<Message>")[0], desktop.Unknown, false, "", 4},
		"refusal without a code":       {400, errorBody(" "), desktop.Unknown, false, "", 4},
		"redirect with a code":         {399, errorBody("InvalidArgument"), desktop.Unknown, false, "InvalidArgument", 4},
		"499":                          {499, errorBody("InvalidArgument"), desktop.Refused, false, "InvalidArgument", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, say(c.status, c.body))
			_, err := client(t, s.URL).Publish(t.Context(), "outcomes", []byte("{}"), "")
			e, ok := errors.AsType[*desktop.CallError](err)
			if !ok {
				t.Fatalf("error: got %v, want a CallError", err)
			}
			if e.Message == "" || e.Call != "PublishMessage" || e.Delivery != c.delivery || e.Throttled != c.throttled || e.Code != c.code || e.RequestID != "REQ-1" {
				t.Errorf("got %+v, want delivery %v, throttled %v, code %q", e, c.delivery, c.throttled, c.code)
			}
			if why := e.Err; why == nil && c.code == "" && name != "refusal without a code" {
				t.Error("what makes the answer unreadable is not among the causes")
			}
			if s.calls() != c.sent {
				t.Errorf("messages sent: got %d, want %d", s.calls(), c.sent)
			}
		})
	}
}

// Left to itself the SDK sends a message five times here.
func TestABrokenConnectionIsOneSendAnAttempt(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, int){
		"closed": func(w http.ResponseWriter, _ *http.Request, _ int) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() },
		"truncated": func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, taken)
		},
		"reset in the middle": func(w http.ResponseWriter, _ *http.Request, _ int) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nX-Mns-Request-Id: R\r\nContent-Length: 500\r\n\r\n"+taken)
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer)
			attempts := 0
			c := client(t, s.URL, func(c *Config) {
				c.Timeout = 100 * time.Millisecond
				c.Observe = func(Call) { attempts++ }
			})
			_, err := c.Send(t.Context(), "requests", []byte("tick"), 0)
			if err == nil || desktop.DeliveryOf(err) != desktop.Unknown {
				t.Errorf("got %v, want an unknown delivery", err)
			}
			if s.calls() != 1+unknownRepeats || attempts != s.calls() {
				t.Errorf("sent %d times in %d attempts, want %d in as many", s.calls(), attempts, 1+unknownRepeats)
			}
		})
	}
}

// An answer that is not the last one is nobody's answer, and neither is what follows it
// taken for the answer to the next message.
func TestInterimAnswersArePassedOver(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		for _, status := range []int{http.StatusContinue, http.StatusContinue, http.StatusEarlyHints, http.StatusProcessing} {
			w.WriteHeader(status)
		}
		say(http.StatusCreated, strings.Replace(taken, "000A", fmt.Sprintf("000%d", n), 1))(w, nil, n)
	})
	c := client(t, s.URL)
	for n := 1; n <= 2; n++ {
		id, err := c.Send(t.Context(), "requests", []byte("tick"), 0)
		if want := fmt.Sprintf("000%d", n); err != nil || !strings.HasSuffix(id, want) || s.calls() != n {
			t.Errorf("message %d: got %q %v after %d requests, want its own answer", n, id, err, s.calls())
		}
	}
}

// A connection is used again until MNS closes it or the invocation is another one; and
// nothing is sent on one that MNS has said it closes.
func TestConnectionsAreUsedAgainUntilTheyAreStale(t *testing.T) {
	for name, c := range map[string]struct {
		closes, proxied, renewed bool
		connections              int64
	}{
		"kept": {connections: 1}, "kept behind a proxy": {proxied: true, connections: 1}, "closed by MNS": {closes: true, connections: 3},
		"renewed": {renewed: true, connections: 3}, "renewed behind a proxy": {renewed: true, proxied: true, connections: 3},
	} {
		var connections atomic.Int64
		s := &script{}
		s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.closes {
				w.Header().Set("Connection", "close")
			}
			say(201, taken)(w, r, 0)
		}))
		s.Config.ConnState = func(_ net.Conn, to http.ConnState) {
			if to == http.StateNew {
				connections.Add(1)
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		attempts := 0
		m := client(t, s.URL, func(c *Config) { c.Observe = func(Call) { attempts++ } })
		if c.proxied {
			m.signers[0].line = nil
		}
		for range 3 {
			if c.renewed {
				m.Renew()
			}
			if _, err := m.Publish(t.Context(), "outcomes", []byte("{}"), ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := connections.Load(); got != c.connections || attempts != 3 {
			t.Errorf("%s: %d connections and %d attempts, want %d and 3", name, got, attempts, c.connections)
		}
	}
}

func TestTheWaitsBetweenAttemptsAreThoseOfMNS(t *testing.T) {
	sum := time.Duration(0)
	for _, step := range client(t, "http://127.0.0.1:1", func(c *Config) { c.Backoff = nil }).calls.Policy.Steps {
		sum += step
	}
	if sum != 9400*time.Millisecond {
		t.Errorf("waits of up to %v in all", sum)
	}
}

// The id of a request is in a header, and in the words of a refusal.
func TestARefusalWithoutTheHeaderKeepsTheIDOfItsRequest(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, errorBody("InvalidArgument"))
	})
	_, err := client(t, s.URL).Publish(t.Context(), "outcomes", []byte("{}"), "")
	if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.RequestID != "6AB5" || e.Message != "the message" {
		t.Errorf("got %+v", err)
	}
}

func TestADeadlineBelowASecondHolds(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client(t, s.URL).Publish(ctx, "outcomes", []byte("{}"), "")
	if !errors.Is(err, context.DeadlineExceeded) || s.calls() > 1 { // none where the machine is slow
		t.Errorf("got %v after %d sends, want the deadline after 1", err, s.calls())
	}
}

func TestWhatNeverArrivedWasNotSent(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	_, err := client(t, closed.URL).Publish(t.Context(), "outcomes", []byte("{}"), "")
	if err == nil || desktop.DeliveryOf(err) != desktop.NotSent {
		t.Errorf("connection refused: got %v, want not sent", err)
	}
	s := serve(t, say(201, taken))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client(t, s.URL).Publish(ctx, "outcomes", []byte("{}"), "")
	if desktop.DeliveryOf(err) != desktop.NotSent || s.calls() != 0 {
		t.Errorf("cancelled: got %v after %d sends, want not sent after none", err, s.calls())
	}
}

func TestWhatMNSWouldRefuseOrChangeIsRefusedUnsent(t *testing.T) {
	s := serve(t, say(201, taken))
	c := client(t, s.URL)
	for name, m := range map[string]struct{ topic, body, tag string }{
		"no topic":          {"", "{}", ""},
		"a path":            {"a/b", "{}", ""},
		"a query":           {"a?b=c", "{}", ""},
		"a leading hyphen":  {"-a", "{}", ""},
		"a long name":       {strings.Repeat("a", 121), "{}", ""},
		"no body":           {"a", "", ""},
		"a long body":       {"a", strings.Repeat("x", MaxBody+1), ""},
		"not UTF-8":         {"a", "\xff", ""},
		"a byte in between": {"a", "a\x80", ""},
		"a NUL":             {"a", "a\x00b", ""},
		"an escape":         {"a", "\x1b[0m", ""},
		"a non-character":   {"a", "\uFFFE", ""},
		"a long tag":        {"a", "{}", strings.Repeat("t", MaxTag+1)},
		"a tag not in UTF8": {"a", "{}", "\xff"},
	} {
		_, err := c.Publish(t.Context(), m.topic, []byte(m.body), m.tag)
		if err == nil || desktop.DeliveryOf(err) != desktop.Refused {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if s.calls() != 0 {
		t.Errorf("messages sent: got %d, want none", s.calls())
	}
	for name, body := range map[string]string{
		"as long as allowed": strings.Repeat(`"`, MaxBody), "lines and tabs": "a\tb\r\nc", "any language": "重建 ✓ \uFFFD",
	} {
		if _, err := c.Publish(t.Context(), strings.Repeat("a", 120), []byte(body), strings.Repeat("é", MaxTag)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got struct{ MessageBody string }
		if err := xml.Unmarshal([]byte(s.requests[s.calls()-1].body), &got); err != nil || got.MessageBody != body {
			t.Errorf("%s: arrived as %q (%v)", name, got.MessageBody, err)
		}
	}
}

func TestNothingIsSentWithoutCredentials(t *testing.T) {
	s := serve(t, say(201, taken))
	c := client(t, s.URL, func(c *Config) {
		c.Keys = func(context.Context) (credentials.Keys, error) { return credentials.Keys{ID: "LTAI"}, nil }
	})
	_, err := c.Publish(t.Context(), "a", []byte("{}"), "")
	if desktop.DeliveryOf(err) != desktop.Forbidden || !errors.Is(err, credentials.ErrNone) || s.calls() != 0 {
		t.Errorf("got %v after %d sends, want forbidden after none", err, s.calls())
	}
}

func TestNoErrorCarriesCredentials(t *testing.T) {
	s := serve(t, say(400, strings.Replace(errorBody("InvalidArgument"), "the message", "CAIStoken of LTAItest, s3cr3t", 1)))
	_, err := client(t, s.URL).Publish(t.Context(), "a", []byte("{}"), "")
	for _, secret := range []string{keys.ID, keys.Secret, keys.Token} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v carries %q", err, secret)
		}
	}
}

func TestSixtyFourGoroutinesShareAClientThroughEveryRotation(t *testing.T) {
	var mu sync.Mutex
	under, most := 0, 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		mu.Lock()
		under++
		most = max(most, under)
		mu.Unlock()
		// Key and token of one request belong together.
		id, token := r.Header.Get("Authorization"), r.Header.Get("Security-Token")
		if !strings.HasPrefix(id, "MNS LTAI"+strings.TrimPrefix(token, "token")+":") {
			t.Errorf("signed with %q, but token %q", id, token)
		}
		mu.Lock()
		under--
		mu.Unlock()
		say(201, taken)(w, r, n)
	})
	var turn int
	c := client(t, s.URL, func(c *Config) {
		c.Keys = func(context.Context) (credentials.Keys, error) {
			mu.Lock()
			defer mu.Unlock()
			turn++
			return credentials.Keys{ID: fmt.Sprint("LTAI", turn), Secret: "s", Token: fmt.Sprint("token", turn)}, nil
		}
	})
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for range 5 {
				if _, err := c.Publish(t.Context(), "outcomes", []byte("{}"), "accepted"); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	group.Wait()
	if s.calls() != 320 || most > defaultConcurrency {
		t.Errorf("got %d sends, at most %d at once, want 320 and %d", s.calls(), most, defaultConcurrency)
	}
	if len(c.signers) > defaultConcurrency {
		t.Errorf("signers: got %d, want at most %d", len(c.signers), defaultConcurrency)
	}
}

func TestEndpoints(t *testing.T) {
	for given, want := range map[string]endpoint{
		"": {"https://12.mns.cn-hangzhou.aliyuncs.com", "12.mns.cn-hangzhou.aliyuncs.com", "cn-hangzhou"},
		"34.mns.cn-shanghai-internal.aliyuncs.com":  {"https://34.mns.cn-shanghai-internal.aliyuncs.com", "34.mns.cn-shanghai-internal.aliyuncs.com", "cn-shanghai"},
		"https://34.mns.eu-west-1.aliyuncs.com/":    {"https://34.mns.eu-west-1.aliyuncs.com", "34.mns.eu-west-1.aliyuncs.com", "eu-west-1"},
		"http://34.mns.eu-west-1.aliyuncs.com/":     {},
		"http://127.0.0.1:8080":                     {"http://12.mns.cn-hangzhou.aliyuncs.com", "127.0.0.1:8080", "cn-hangzhou"},
		"http://localhost:8080":                     {"http://12.mns.cn-hangzhou.aliyuncs.com", "localhost:8080", "cn-hangzhou"},
		"http://10.0.0.1:8080":                      {},
		"example.com":                               {},
		"ftp://34.mns.eu-west-1.aliyuncs.com":       {},
		"https://u:p@34.mns.eu-west-1.aliyuncs.com": {},
		"34.mns.eu-west-1.aliyuncs.com/path":        {},
		"34.mns.eu-west-1.aliyuncs.com.evil":        {},
		"exa mple":                                  {},
	} {
		got, err := parseEndpoint(Config{Endpoint: given, AccountID: "12", RegionID: "cn-hangzhou"})
		if (want == endpoint{}) != (err != nil) || got != want {
			t.Errorf("%q: got %+v %v, want %+v", given, got, err, want)
		}
	}
}

func TestNewNamesEveryFaultAndNeverPanics(t *testing.T) {
	_, err := New(Config{Timeout: -1, Concurrency: -1})
	for _, want := range []string{"endpoint", "Keys", "timeout", "concurrency"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if _, err := newSigner(nil, endpoint{url: "http://x"}); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("an endpoint that the SDK panics on: got %v, want an error", err)
	}
}
