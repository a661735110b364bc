package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
)

// marked are credentials that are easy to find again. A token of the vendor's has
// characters that URLs and XML write otherwise.
var marked = credentials.Keys{ID: "LTAImarkedmarked", Secret: "s3cr3tmarked/+=", Token: "CAISmarked+/token=="}

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
		case "cut off":
			_, _ = fmt.Fprintf(w, `{"Code":%s`, inJSON[:len(inJSON)/2])
		default:
			_, _ = w.Write([]byte(all))
		}
	}
}

func TestNoErrorOfAnAdapterShowsCredentials(t *testing.T) {
	ctx := credentials.With(t.Context(), marked)
	quick := []time.Duration{time.Nanosecond}
	noSleep := func(context.Context, time.Duration) error { return nil }
	seen := 0
	for _, status := range []int{200, 400, 403, 503} {
		for _, shape := range []string{"JSON", "XML", "plain", "cut off"} {
			server := httptest.NewServer(mirror(status, shape))
			desktops, err1 := ecd.New(ecd.Config{Endpoint: server.URL, Keys: credentials.From, Backoff: quick, Sleep: noSleep})
			messages, err2 := mns.New(mns.Config{Endpoint: server.URL, AccountID: "1234567890123456", RegionID: "cn-hangzhou", Keys: credentials.From, Backoff: quick, Sleep: noSleep})
			store, err3 := journal.Open("oss://bucket/prefix", journal.Options{Region: "cn-hangzhou", OSSEndpoint: server.URL, Keys: credentials.From, Backoff: time.Nanosecond})
			if err1 != nil || err2 != nil || err3 != nil {
				t.Fatal(err1, err2, err3)
			}
			const region = "cn-hangzhou"
			ids, key := []string{"ecd-0001"}, journal.Key("request", "r")
			for name, call := range map[string]func() error{
				"Rebuild": func() error {
					_, err := desktops.Rebuild(ctx, desktop.Batch{Spec: desktop.Spec{RegionID: region, ImageID: "m-1"}, IDs: ids})
					return err
				},
				"Desktops":    func() error { _, err := desktops.Desktops(ctx, region, ids); return err },
				"Images":      func() error { _, err := desktops.Images(ctx, region, ids); return err },
				"Tags":        func() error { _, err := desktops.Tags(ctx, region, ids); return err },
				"Changes":     func() error { _, err := desktops.Changes(ctx, region, ids[0]); return err },
				"Snapshots":   func() error { _, err := desktops.Snapshots(ctx, region, ids); return err },
				"Invocations": func() error { _, err := desktops.Invocations(ctx, region, "t-1"); return err },
				"Run": func() error {
					_, err := desktops.Run(ctx, region, ids, "exit 0", "RunBatScript", time.Minute)
					return err
				},
				"Maintain": func() error { return desktops.Maintain(ctx, region, ids, true) },
				"Stop":     func() error { return desktops.Stop(ctx, region, ids) },
				"Start":    func() error { return desktops.Start(ctx, region, ids) },
				"Publish":  func() error { _, err := messages.Publish(ctx, "outcomes", []byte("{}"), "accepted"); return err },
				"Send":     func() error { _, err := messages.Send(ctx, "requests", []byte("{}"), 0); return err },
				"Append":   func() error { _, err := store.Append(ctx, key, 0, []byte("{}\n")); return err },
				"Read":     func() error { _, _, err := store.Read(ctx, key, 0); return err },
				"Keys":     func() error { _, err := store.Keys(ctx, "request/"); return err },
			} {
				err := call()
				if err == nil {
					continue
				}
				seen++
				var log bytes.Buffer
				newLogger(&log, slog.LevelDebug).Debug("failed", "error", err, "text", err.Error(), "verbose", fmt.Sprintf("%+v", err))
				for _, secret := range []string{marked.ID, marked.Secret, marked.Token, url.QueryEscape(marked.Token), url.QueryEscape(marked.Secret), "CAISmarked"} {
					if text := err.Error() + log.String(); strings.Contains(text, secret) {
						t.Errorf("%s, status %d, %s: shows %s: %s", name, status, shape, secret, text)
					}
				}
			}
			server.Close()
		}
	}
	if seen < 150 {
		t.Errorf("only %d calls failed", seen)
	}
}
