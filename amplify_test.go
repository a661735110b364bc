package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fc"
)

// bounds are what one inbound message may cause in the invocation that takes it.
// docs/threat-model.md states them.
type bounds struct {
	ecd       int // calls to ECD
	published int // messages to the result topic
	sent      int // messages to queues of our own
	reads     int // of the journal
	appends   int // to the journal
	objects   int // of the journal that are new
	lease     int // reads and appends for the lease of the place, and its log
}

// What a message of each kind can cause at worst is bounded, and the bounds are in
// proportion to its length: 2,000 desktops are 64 KB.
func TestWhatOneMessageCausesIsBounded(t *testing.T) {
	many := func(n int, form string) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf(form, i)
		}
		return `"` + strings.Join(ids, `","`) + `"`
	}
	regions := make([]string, 64)
	for i := range regions {
		regions[i] = fmt.Sprintf(`"cn-a%d":"m-new"`, i)
	}
	const page, leased = 2000/100 + 1, 2 + 2 + 1
	for name, c := range map[string]struct {
		payload string
		most    bounds
	}{
		"not JSON":                   {`{"broken":`, bounds{published: 1}},
		"10,000 elements":            {"[" + many(10_000, "%d") + "]", bounds{published: 10_000}},
		"an array that never ends":   {"[" + strings.Repeat("[", 60_000), bounds{published: 1}},
		"2,000 desktops and a fault": {`{"regionId":"cn-hangzhou","imageId":"no","desktopIds":[` + many(2000, "ecd-%04d") + `]}`, bounds{published: 2000}},
		"2,000 desktops of nobody":   {`{"requestId":"a","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":[` + many(2000, "ecd-x%04d") + `]}`, bounds{ecd: 2*page + 2, published: 2001, sent: 1, reads: 4, appends: 8, objects: 2, lease: leased}},
		"2,000 desktops, dry run":    {`{"requestId":"b","regionId":"cn-hangzhou","imageId":"m-new","dryRun":true,"desktopIds":[` + many(2000, "ecd-x%04d") + `]}`, bounds{ecd: 2*page + 2, published: 2000 + 40, reads: 1, lease: leased}},
		"60 desktops":                {`{"requestId":"c","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":[` + many(60, "ecd-pc%02d") + `]}`, bounds{ecd: 2 + 2 + 60/20 + 1, published: 61, sent: 2, reads: 2 + 60/20 + 1, appends: 16, objects: 2, lease: leased}},
		"control of nothing":         {`{"specversion":"1.0","type":"regild.rollout.control.v1","id":"1","source":"s","data":{"rolloutId":"r/office","action":"abort","by":"a","reason":"b"}}`, bounds{published: 1, reads: 2}},
		"rollback of nothing":        {`{"specversion":"1.0","type":"regild.rollout.control.v1","id":"1","source":"s","data":{"rolloutId":"r/office","action":"rollback","by":"a","reason":"b"}}`, bounds{published: 1, reads: 3}},
		"tick of nothing":            {`{"specversion":"1.0","type":"regild.tick.v1","id":"1","source":"s","data":{"kind":"rollout","id":"r/office","n":1073741824}}`, bounds{reads: 3}},
		"release for 64 regions":     {`{"specversion":"1.0","type":"regild.image.published.v1","id":"1","source":"s","data":{"releaseId":"r","images":{` + strings.Join(regions, ",") + `}}}`, bounds{published: 65}},
		"a type of nobody":           {`{"specversion":"1.0","type":"` + strings.Repeat("x", 60_000) + `","id":"1","source":"s","data":{}}`, bounds{published: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, bytes := measure(t, c.payload)
			if got.ecd > c.most.ecd || got.published > c.most.published || got.sent > c.most.sent || got.reads > c.most.reads ||
				got.appends > c.most.appends || got.objects > c.most.objects || got.lease > c.most.lease {
				t.Errorf("%d bytes caused %+v, at most %+v was stated", len(c.payload), got, c.most)
			}
			if each := bytes / len(c.payload); each > 100*max(1, c.most.published/2000) && bytes > 16_000 && name != "10,000 elements" {
				t.Errorf("%d bytes went out for %d that came in: %d for each", bytes, len(c.payload), each)
			}
		})
	}
}

// stillCloud starts the local cloud of the stories with a clock that stands still,
// until the test ends.
func stillCloud(t *testing.T) *localcloud.Cloud {
	t.Helper()
	state, err := localcloud.Load("testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	still := 0.0
	state.Clock.Rate = &still
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	return cloud
}

func measure(t *testing.T, payload string) (bounds, int) {
	t.Helper()
	cloud := stillCloud(t)
	host, err := fc.Start(t.Context(), fc.Function{Path: function, Env: cloud.Env(), Keys: cloud.Keys, Timeout: time.Minute, Instances: 1, Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := host.InvokeEvent(ctx, fc.Event{Payload: []byte(payload)})
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	var report events.Report
	if err := json.Unmarshal(result.Response, &report); err != nil {
		t.Fatal(err)
	}
	var got bounds
	for _, key := range cloud.OSS.Keys(localcloud.JournalBucket) {
		if strings.Contains(key, "/lease/") {
			got.lease++
		} else {
			got.objects++
		}
	}
	for name, n := range report.Calls {
		switch name {
		case "PublishMessage":
			got.published += n
		case "SendMessage", "BatchSendMessage":
			got.sent += n
		case "JournalRead":
			got.reads += n
		case "JournalAppend":
			got.appends += n
		case "LeaseRead", "LeaseAppend":
			got.lease += n
		default:
			if !strings.HasPrefix(name, "Journal") {
				got.ecd += n
			}
		}
	}
	out := 0
	for _, p := range cloud.MNS.Published(localcloud.ResultTopic) {
		out += len(p.Body)
	}
	t.Logf("%d bytes: %+v, %d bytes out", len(payload), got, out)
	return got, out
}
