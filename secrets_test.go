package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
)

// marked are credentials that are easy to find again. A token of the vendor's has
// characters that URLs and XML write otherwise.
var marked = credentials.Keys{ID: "LTAImarkedmarked", Secret: "s3cr3tmarked/+=", Token: "CAISmarked+/token=="}

// granted are the credentials that a service hands out, which nobody knows to take out of
// its words.
var granted = credentials.Keys{ID: "LTAIgrantedgranted", Secret: "s3cr3tgranted/+=", Token: "CAISgranted+/token=="}

// A mirror answers every call with all that it was sent, credentials included, as
// services are known to do when a signature does not match.
func mirror(status int, shape string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sent, err := httputil.DumpRequest(r, true)
		if err != nil {
			panic(err)
		}
		unescaped, _ := url.QueryUnescape(r.URL.RawQuery)
		// The keys in front, since messages are cut.
		all := fmt.Sprintf("%s %s %s %s %s %s", marked.ID, marked.Token, url.QueryEscape(marked.Token), marked.Secret, unescaped, sent)
		var inXML bytes.Buffer
		_ = xml.EscapeText(&inXML, []byte(all))
		inJSON, _ := json.Marshal(all)
		w.Header().Set("X-Mns-Request-Id", marked.ID+marked.Token)
		w.Header().Set("X-Oss-Request-Id", url.QueryEscape(marked.Token)+marked.Secret)
		w.WriteHeader(status)
		switch shape {
		case "JSON":
			_, _ = fmt.Fprintf(w, `{"RequestId":%s,"Code":%s,"Message":%s}`, inJSON, inJSON, inJSON)
		case "XML":
			_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>`, inXML.String(), inXML.String(), inXML.String())
		case "keys": // of a role, in an answer that cannot be used
			_, _ = fmt.Fprintf(w, `{"RequestId":"R","Credentials":{"AccessKeyId":%q,"AccessKeySecret":%q,"SecurityToken":%q,"Expiration":%q}}`, granted.ID, granted.Secret, granted.Token, granted.Token)
		case "cut off":
			_, _ = fmt.Fprintf(w, `{"Code":%s`, inJSON[:len(inJSON)/2])
		default:
			_, _ = w.Write([]byte(all))
		}
	}
}

// Every method of every adapter that calls a service, so that none is forgotten.
func TestNoErrorOfAnAdapterShowsCredentials(t *testing.T) {
	ctx := credentials.With(t.Context(), marked)
	seen := map[string]int{} // by call: how often it failed with an answer of the service
	for _, status := range []int{200, 400, 403, 503} {
		for _, shape := range []string{"JSON", "XML", "plain", "keys", "cut off"} {
			var reached atomic.Int64
			answer := mirror(status, shape)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached.Add(1)
				answer(w, r)
			}))
			for name, call := range callsOf(ctx, t, server.URL) {
				before := reached.Load()
				err := call()
				if _, known := seen[name]; !known {
					seen[name] = 0
				}
				if err == nil {
					continue
				}
				if reached.Load() > before {
					seen[name]++
				}
				var log bytes.Buffer
				newLogger(&log, slog.LevelDebug).Debug("failed", "error", err, "text", err.Error(), "verbose", fmt.Sprintf("%+v", err))
				for _, secret := range []string{marked.ID, marked.Secret, marked.Token, url.QueryEscape(marked.Token), url.QueryEscape(marked.Secret), "CAISmarked", "granted"} {
					if text := err.Error() + log.String(); strings.Contains(text, secret) {
						t.Errorf("%s, status %d, %s: shows %s: %s", name, status, shape, secret, text)
					}
				}
			}
			server.Close()
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d calls were found", len(seen))
	}
	for name, n := range seen {
		if n == 0 {
			t.Errorf("%s never failed with an answer: give it arguments with which it calls", name)
		}
	}
}

// callsOf returns every exported method of the adapters that takes a context and
// returns an error, with arguments made up by their types.
func callsOf(ctx context.Context, t *testing.T, endpoint string) map[string]func() error {
	t.Helper()
	quick := []time.Duration{time.Nanosecond}
	noSleep := func(context.Context, time.Duration) error { return nil }
	desktops, err1 := ecd.New(ecd.Config{Endpoint: endpoint, Keys: credentials.From, Backoff: quick, Sleep: noSleep})
	messages, err2 := mns.New(mns.Config{Endpoint: endpoint, AccountID: "1234567890123456", RegionID: "cn-hangzhou", Keys: credentials.From, Backoff: quick, Sleep: noSleep})
	store, err3 := journal.Open("oss://bucket/prefix", journal.Options{Region: "cn-hangzhou", OSSEndpoint: endpoint, Keys: credentials.From, Backoff: time.Nanosecond})
	account, err4 := acs.New(acs.Config{Region: "cn-hangzhou", AccountID: "1234567890123456", Endpoint: endpoint, Keys: credentials.From, Backoff: quick})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	given := map[string][]any{ // where the type alone does not make a call
		"journal.Read":   {journal.Key("request", "r"), int64(0)},
		"journal.Append": {journal.Key("request", "r"), int64(0), []byte("{}\n")},
		"journal.Keys":   {"request/"},
		"journal.Some":   {journal.OpenPrefix, "", 1},
		"journal.Forget": {journal.Key("open", "r")},
	}
	calls := map[string]func() error{}
	for name, client := range map[string]any{"ecd": desktops, "mns": messages, "journal": store, "acs": account} {
		value := reflect.ValueOf(client)
		for i := range value.NumMethod() {
			method, name := value.Method(i), name+"."+value.Type().Method(i).Name
			kind := method.Type()
			if name == "acs.Time" { // takes any answer; it calls Identity
				continue
			}
			if kind.NumIn() == 0 || kind.In(0) != reflect.TypeFor[context.Context]() || kind.NumOut() == 0 || kind.Out(kind.NumOut()-1) != reflect.TypeFor[error]() {
				continue
			}
			in := []reflect.Value{reflect.ValueOf(ctx)}
			for j := 1; j < kind.NumIn(); j++ {
				takes := kind.In(j)
				if kind.IsVariadic() && j == kind.NumIn()-1 {
					takes = takes.Elem()
				}
				if args := given[name]; args != nil {
					in = append(in, reflect.ValueOf(args[j-1]))
				} else {
					in = append(in, madeUp(t, name, takes))
				}
			}
			calls[name] = func() error {
				out := method.Call(in)
				err, _ := out[len(out)-1].Interface().(error)
				return err
			}
		}
	}
	return calls
}

// madeUp returns an argument of the type with which a call is made.
func madeUp(t *testing.T, name string, kind reflect.Type) reflect.Value {
	t.Helper()
	for _, v := range []any{
		"cn-hangzhou", []string{"ecd-0001"}, []byte("{}"), 1, int64(1), true, time.Minute, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), map[string]string{"A": "b"},
		acs.AssumeRole{ARN: "acs:ram::1234567890123456:role/regild-member", Session: "regild", Seconds: 900},
		desktop.Batch{Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-1"}, IDs: []string{"ecd-0001"}}, desktop.Selector{IDs: []string{"ecd-0001"}},
	} {
		if reflect.TypeOf(v) == kind {
			return reflect.ValueOf(v)
		}
	}
	t.Fatalf("%s takes a %s: say here what to call it with", name, kind)
	return reflect.Value{}
}
