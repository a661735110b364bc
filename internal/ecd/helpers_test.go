package ecd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

const region = "cn-hangzhou"

var keys = credentials.Keys{ID: "LTAItest", Secret: "s3cr3t", Token: "CAIStoken"}

func constantKeys(context.Context) (credentials.Keys, error) { return keys, nil }

// A script is an ECD that answers as it is told and remembers what it was asked.
type script struct {
	*httptest.Server
	mu      sync.Mutex
	actions []string
	queries []url.Values
	headers []http.Header
}

// serve starts an ECD whose n-th answer, from 1, is written by answer.
func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) *script {
	t.Helper()
	s := &script{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.actions = append(s.actions, r.Header.Get("X-Acs-Action"))
		s.queries = append(s.queries, r.URL.Query())
		s.headers = append(s.headers, r.Header.Clone())
		n := len(s.actions)
		s.mu.Unlock()
		answer(w, r, n)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.actions)
}

// say answers every call alike.
func say(status int, body string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// quick are waits and pauses too short to notice, for five repetitions.
var quick = []time.Duration{8, 8, 8, 8, 8}

// client returns a client of s that does not wait between attempts.
func client(t *testing.T, s *script, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Endpoint: s.URL, Keys: constantKeys, Backoff: quick}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func batch(ids ...string) desktop.Batch {
	return desktop.Batch{Spec: desktop.Spec{RegionID: region, ImageID: "m-new"}, IDs: ids}
}

func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-%04d", i)
	}
	return ids
}
