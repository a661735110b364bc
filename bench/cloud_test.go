package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/fc"
)

// cloud is the stand-in in its process, and what there is to run against it.
type cloud struct {
	testing.TB
	url string
	dir string // of the binaries
}

// newCloud starts a stand-in that lives as long as the test.
func newCloud(t testing.TB) *cloud {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), standInEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("ending the stand-in: %v", err)
		}
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("starting the stand-in: %v", err)
	}
	return &cloud{TB: t, url: strings.TrimSpace(address), dir: t.TempDir()}
}

// build builds a program of this module as `make build` builds the function: without the
// C library, which takes 2 MiB of memory and some processor time.
func (c *cloud) build(name, pkg string) string {
	c.Helper()
	path := filepath.Join(c.dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return path
}

// ask speaks to the stand-in's own side.
func (c *cloud) ask(what string, say, into any) {
	c.Helper()
	body, err := json.Marshal(say)
	if err != nil {
		c.Fatal(err)
	}
	resp, err := http.Post(c.url+"/control/"+what, "application/json", bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		c.Fatalf("asking the stand-in for %s: %d %s %v", what, resp.StatusCode, answer, err)
	}
}

func (c *cloud) delay(d Delays) { var ok bool; c.ask("set", d, &ok) }
func (c *cloud) forget()        { var ok bool; c.ask("forget", nil, &ok) }
func (c *cloud) counts() Counts { var n Counts; c.ask("counts", nil, &n); return n }
func (c *cloud) take() []Message {
	var q []Message
	c.ask("take", nil, &q)
	return q
}

// function returns the settings with which a binary runs against the stand-in.
func (c *cloud) function(path string, env ...string) fc.Function {
	return fc.Function{
		Path:    path,
		Timeout: 280 * time.Second, // as in s.yaml
		Keys:    func() fc.Keys { return fc.Keys{ID: "STS.bench", Secret: "bench", Token: "bench"} },
		Env: append([]string{
			"REGILD_ECD_ENDPOINT=" + c.url, "REGILD_MNS_ENDPOINT=" + c.url, "REGILD_OSS_ENDPOINT=" + c.url,
			"REGILD_RESULT_TOPIC=" + topic, "REGILD_REQUEST_QUEUE=" + queue,
		}, env...),
	}
}

// withJournal is the setting of a journal in the stand-in; each prefix is a
// journal of its own.
func withJournal(prefix string) string { return "REGILD_JOURNAL=oss://" + bucket + "/" + prefix }

// start starts a host of a function. The caller must stop it.
func (c *cloud) start(f fc.Function) *fc.Host {
	c.Helper()
	h, err := fc.Start(context.Background(), f)
	if err != nil {
		c.Fatal(err)
	}
	return h
}

// stop ends the host's instances and returns what became of the last one.
func (c *cloud) stop(h *fc.Host) fc.Instance {
	c.Helper()
	if err := h.Stop(context.Background()); err != nil {
		c.Fatal(err)
	}
	all := h.Instances()
	if len(all) == 0 {
		c.Fatal("no instance was started")
	}
	return all[len(all)-1]
}

// invoke hands a payload over and returns how that ended, which must be well.
func (c *cloud) invoke(h *fc.Host, payload []byte) fc.Result {
	c.Helper()
	result, err := h.Invoke(context.Background(), payload)
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		c.Fatal(err)
	}
	return result
}

// perMessage is the most desktops that one message may name.
const perMessage = 2000

// requests is the payload of one invocation that asks for n desktops in as few
// messages as there can be. The ids begin with the name.
func requests(name string, n int) []byte {
	var bodies []string
	for from := 0; from < n; from += perMessage {
		ids := make([]string, 0, perMessage)
		for i := from; i < min(from+perMessage, n); i++ {
			ids = append(ids, fmt.Sprintf("ecd-%s%07d", name, i))
		}
		body, _ := json.Marshal(map[string]any{ // strings cannot fail
			"requestId": fmt.Sprintf("bench-%s-%d", name, from/perMessage), "regionId": region, "imageId": newImage, "desktopIds": ids,
		})
		bodies = append(bodies, string(body))
	}
	return batch(bodies)
}

// batch wraps messages as the queue's trigger does: an array of CloudEvents.
// Source: Function Compute, "MNS queue triggers", sample event.
func batch(bodies []string) []byte {
	events := make([]map[string]any, 0, len(bodies))
	for i, body := range bodies {
		id := fmt.Sprintf("5F290C926D472878-%d-%d", i, len(body))
		events = append(events, map[string]any{
			"id": id, "source": "MNS-Function-" + queue, "specversion": "1.0", "type": "mns:Queue:SendMessage",
			"datacontenttype": "application/json; charset=utf-8", "time": "2026-11-23T08:00:00Z",
			"subject": "acs:mns:" + region + ":1234567890123456:queues/" + queue,
			"data":    map[string]any{"requestId": id, "messageId": id, "messageBody": body},
		})
	}
	payload, _ := json.Marshal(events) // strings cannot fail
	return payload
}
