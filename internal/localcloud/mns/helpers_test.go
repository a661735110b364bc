package mns_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/mns"
)

const (
	account = "1234567890123456"
	region  = "cn-hangzhou"
)

var (
	key   = mns.Keys{ID: "LTAI0001", Secret: "s3cret"}
	start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

// newServer returns a server on a clock that only the test moves, with a queue
// and a topic.
func newServer(o mns.Options) (*mns.Server, *clock.Clock) {
	o.Clock = clock.New(start, 0)
	o.Keys = []mns.Keys{key}
	s := mns.New(o)
	s.CreateQueue("q", mns.QueueAttributes{})
	s.CreateTopic("t")
	return s, o.Clock
}

// request returns a call as a client without an SDK makes it, not yet signed.
func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = account + ".mns." + region + ".aliyuncs.com"
	r.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	r.Header.Set("Content-Type", "text/xml")
	r.Header.Set("x-mns-version", "2015-06-06")
	return r
}

// sign signs a call from the documentation's words, not with the server's code.
func sign(r *http.Request, k mns.Keys) *http.Request {
	var lines []string
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-mns-") {
			lines = append(lines, name+":"+r.Header.Get(name)+"\n")
		}
	}
	slices.Sort(lines)
	h := hmac.New(sha1.New, []byte(k.Secret))
	h.Write([]byte(r.Method + "\n" + r.Header.Get("Content-MD5") + "\n" + r.Header.Get("Content-Type") + "\n" +
		r.Header.Get("Date") + "\n" + strings.Join(lines, "") + r.RequestURI))
	r.Header.Set("Authorization", "MNS "+k.ID+":"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return r
}

// reply is an answer. Its headers are spelled as they were set: the service's
// own are in lower case.
type reply struct {
	status int
	header map[string][]string
	body   string
}

// field returns the text of the first element of that name, or "".
func (r reply) field(name string) string {
	_, rest, ok := strings.Cut(r.body, "<"+name+">")
	value, _, closed := strings.Cut(rest, "</"+name+">")
	if !ok || !closed {
		return ""
	}
	return html.UnescapeString(value)
}

// is stops the test unless the answer has that status and error code.
func (r reply) is(t *testing.T, status int, code string) reply {
	t.Helper()
	if r.status != status || r.field("Code") != code {
		t.Fatalf("got %d %s, want %d and code %q", r.status, r.body, status, code)
	}
	return r
}

func ask(t *testing.T, s *mns.Server, method, target, body string) reply {
	t.Helper()
	return send(t, s, sign(request(method, target, body), key))
}

func send(t *testing.T, s *mns.Server, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

func bodies(messages []mns.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Body))
	}
	return all
}

func mustSend(t *testing.T, s *mns.Server, queue, body string, delay time.Duration) string {
	t.Helper()
	id, err := s.Send(queue, []byte(body), delay)
	if err != nil {
		t.Fatalf("sending %q to %s: %v", body, queue, err)
	}
	return id
}

// one receives the one message that is there, or stops the test.
func one(t *testing.T, s *mns.Server, queue string) mns.Message {
	t.Helper()
	got := s.Receive(t.Context(), queue, 16, 0)
	if len(got) != 1 {
		t.Fatalf("got %d messages from %s, want 1: %q", len(got), queue, bodies(got))
	}
	return got[0]
}

func none(t *testing.T, s *mns.Server, queue string) {
	t.Helper()
	if got := s.Receive(t.Context(), queue, 16, 0); len(got) != 0 {
		t.Fatalf("got %q from %s, want nothing", bodies(got), queue)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	e, ok := err.(*mns.Error)
	if !ok || e.Code != code {
		t.Fatalf("got error %v, want %s", err, code)
	}
}
