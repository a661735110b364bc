package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
)

const floodFleets = `fleets:
  - name: office
    region: cn-hangzhou
    images: [win11-office]
    select: all
    requests: true
    strategy: {approval: none, canary: 1, waves: [], maxUnavailable: 1, soak: 1h}
`

// Function Compute bounds the instances of a function, not of a trigger. With
// REGILD_SHARES=yes requests have a function of their own: both work on one journal,
// and a flood that takes all instances of the one leaves the other alone.
func TestAFloodTakesTheInstancesOfItsOwnFunctionOnly(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cloud := stillCloud(t)
	for _, name := range []string{"regild-control", "regild-releases"} {
		cloud.MNS.CreateQueue(name, mns.QueueAttributes{})
	}
	fleets := filepath.Join(t.TempDir(), "fleets.yaml")
	if err := os.WriteFile(fleets, []byte(floodFleets), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(name string, env ...string) *fc.Host {
		env = append(append(cloud.Env(), "REGILD_FLEETS="+fleets, "REGILD_CONTROL_QUEUE=regild-control", "REGILD_RELEASE_QUEUE=regild-releases"), env...)
		host, err := fc.Start(t.Context(), fc.Function{Name: name, Path: function, Env: env, Keys: cloud.Keys, Timeout: time.Minute, Instances: 1, Stdout: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(host.Kill)
		return host
	}
	busy, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(busy) })
		<-over
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"RequestId":"R","Code":"Forbidden.RAM","Message":"no"}`)
	}))
	defer slow.Close()
	requests, doors := start("regild-requests", "REGILD_ECD_ENDPOINT="+slow.URL), start("regild")

	var flood sync.WaitGroup
	for i := range 10 {
		flood.Go(func() {
			through(ctx, t, requests, "regild-requests", fmt.Sprintf(`{"requestId":"flood-%d","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":["ecd-pc01"]}`, i))
		})
	}
	<-busy
	through(ctx, t, doors, "regild-releases", `{"specversion":"1.0","type":"regild.image.published.v1","id":"r2","source":"/images","data":{"releaseId":"r2","regionId":"cn-hangzhou","imageId":"m-new"}}`)
	through(ctx, t, doors, "regild-control", `{"specversion":"1.0","type":"regild.rollout.control.v1","id":"p","source":"/ops","data":{"rolloutId":"r2/office","action":"pause","by":"ada@example.com","reason":"wait"}}`)
	var types []string
	for _, p := range cloud.MNS.Published(localcloud.ResultTopic) {
		var e struct{ Type string }
		if err := json.Unmarshal(p.Body, &e); err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
	}
	if !slices.Contains(types, "regild.rollout.started.v1") || !slices.Contains(types, "regild.rollout.paused.v1") {
		t.Errorf("while the other function is busy, got %s", strings.Join(types, ", "))
	}
	close(over)
	flood.Wait()
}

// through invokes a function with a message as the stream of a queue hands it over.
func through(ctx context.Context, t *testing.T, host *fc.Host, queue, body string) {
	t.Helper()
	event, err := json.Marshal([]any{map[string]any{
		"specversion": "1.0", "type": "mns:Queue:SendMessage", "id": "1", "source": "MNS", "subject": "acs:mns:cn-hangzhou:" + host.Function().AccountID + ":queues/" + queue,
		"data": map[string]string{"requestId": "1", "messageId": fmt.Sprintf("M%x", len(body)), "messageBody": body},
	}})
	if err != nil {
		t.Error(err)
		return
	}
	result, err := host.InvokeEvent(ctx, fc.Event{Payload: event})
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		t.Errorf("%s: %v", queue, err)
	}
}
