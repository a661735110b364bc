package mns

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/pace"
)

// Whatever bytes arrive, nothing panics and an error is bounded UTF-8.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{taken, errorBody("TopicNotExist"), "", "<Error>", "<Message><MessageId>\xff</MessageId></Message>", "<!DOCTYPE a [<!ENTITY b 'c'>]><Error/>"} {
		f.Add(201, []byte(seed))
		f.Add(500, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if id, err := messageID(body); err == nil && (id == "" || !utf8.ValidString(id)) {
			t.Errorf("id %q", id)
		}
		err := judge("X", "REQ-1", keys, answer{status: status, body: body})
		if text := err.Error(); len(text) > 4096 || !utf8.ValidString(text) {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
		if got := desktop.DeliveryOf(err); status >= 500 && got != desktop.Unknown && got != desktop.NotSent {
			t.Errorf("status %d: got %v", status, err)
		}
	})
}

// What passes the check arrives as it was sent.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"a":"<b>&c"}`, "a\r\nb\tc]]>", "\x00", "\xff", "\uFFFE", "重建"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body) != nil {
			return
		}
		var w bytes.Buffer
		open(&w, body)
		w.WriteString("</Message>")
		var got struct{ MessageBody []byte }
		if err := xml.Unmarshal(w.Bytes(), &got); err != nil || !bytes.Equal(got.MessageBody, body) {
			t.Errorf("%q arrives as %q (%v)", body, got.MessageBody, err)
		}
	})
}

// Bug 3 of the hard look: an outcome whose ids or text XML cannot carry was
// refused by this client, for ever. What an event says arrives, through the SDK
// and the stand-in, and says the same.
func FuzzBug3WhateverAnEventSaysArrives(f *testing.F) {
	for _, s := range []string{"r", "\ufffe", "a\uffffb", "\x00\x1f\x7f\u0085", "<&>\r\n\t", "\xed\xa0\x80", "\U0001fffe", "]]>", strings.Repeat("&<", 2000)} {
		f.Add(s, s)
	}
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	// One address and one connection for all inputs, behind which the cloud is new each
	// time: a listener for each of them is slow, and a worker that has used up what
	// the machine has of them dies without a word.
	var now atomic.Pointer[http.Handler]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*now.Load()).ServeHTTP(w, r) }))
	f.Cleanup(server.Close)
	c := client(f, server.URL)
	f.Fuzz(func(t *testing.T, id, text string) {
		id = id[:min(len(id), 512)]
		s, _ := emptyCloud(&fault.Injector{})
		handler := s.Handler()
		now.Store(&handler)
		refused := events.NewRefused(events.CodeMalformedMessage, text, []byte(text))
		refused.EventID, refused.Source = text, text
		sent := []events.Event{
			events.Outcome{RequestID: id, DesktopID: id, Status: events.StatusFailed, Code: text, Message: text}.Event("s", at),
			refused.Event("s", at),
			events.Rollout{RolloutID: id, Reason: &events.Reason{Code: events.CodePaused, Message: text}}.Event(events.RolloutPaused, id, "s", at),
		}
		for _, event := range sent {
			body, err := event.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Publish(t.Context(), "outcomes", body, event.Tag); err != nil {
				t.Fatalf("publishing %s: %v", body, err)
			}
			if _, err := c.Send(t.Context(), "requests", body, 0); err != nil {
				t.Fatalf("sending %s: %v", body, err)
			}
			got := s.Receive(t.Context(), "requests", 1, 0)
			if len(got) != 1 || !bytes.Equal(got[0].Body, body) {
				t.Fatalf("received %+v, want %s", got, body)
			}
			if err := s.Delete("requests", got[0].Handle); err != nil {
				t.Fatal(err)
			}
			var doc struct{ ID string }
			if err := json.Unmarshal(body, &doc); err != nil || utf8.ValidString(event.ID) && doc.ID != event.ID {
				t.Errorf("the id arrives as %q, want %q (%v)", doc.ID, event.ID, err)
			}
		}
		if got := s.Published("outcomes"); len(got) != len(sent) {
			t.Errorf("%d of %d messages were published", len(got), len(sent))
		}
	})
}

// An endpoint that is taken is one that the SDK takes, and nothing in it leads to
// another host than the one that it names.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"", "1234567890123456.mns.cn-hangzhou.aliyuncs.com", "https://1.mns.cn-hangzhou-internal.aliyuncs.com/", "http://127.0.0.1:80", "http://localhost",
		"http://[::1]:1", "http://user@127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1/#x", "http://evil.com/1.mns.cn-hangzhou.aliyuncs.com", "\x00"} {
		f.Add(s, "1234567890123456", "cn-hangzhou")
	}
	f.Add("http://127.0.0.1", "1/../2", "x y")
	f.Fuzz(func(t *testing.T, given, account, region string) {
		at, err := parseEndpoint(Config{Endpoint: given, AccountID: account, RegionID: region})
		if err != nil {
			return
		}
		if _, err := newSigner(pace.NewWire(1), at); err != nil {
			t.Errorf("%q is taken, and the SDK says %v", given, err)
		}
		signed, err := url.Parse(at.url)
		if err != nil || !hostForm().MatchString(signed.Host) || signed.User != nil || at.region == "" {
			t.Errorf("%q of %q in %q becomes %+v (%v)", given, account, region, at, err)
		}
		if real, err := url.Parse("http://" + at.host); err != nil || real.Host != at.host || real.Path != "" || real.User != nil ||
			at.host != signed.Host && real.Hostname() != "localhost" && !net.ParseIP(real.Hostname()).IsLoopback() {
			t.Errorf("%q leads to %q, signed for %q (%v)", given, at.host, signed.Host, err)
		}
	})
}
