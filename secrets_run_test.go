package main_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
)

// marked are credentials that can be recognised wherever they turn up, in part as
// well, and that look different once they are escaped.
var marked = fc.Keys{ID: "STS.MarkedAccessKeyId0001", Secret: "MarkedSecret+of/the=key&0001", Token: "CAISMarkedToken+of/the=key&0001" + strings.Repeat("x", 200)}

const markedTickKey = "TWFya2VkVGlja0tleU9mVGhpcnR5VHdvQnl0ZXNPck1vcmUwMDAx"

// traces are what no output may hold: the credentials as they are and as a
// service may echo them, and the part of each that no escaping changes.
func traces() map[string]string {
	out := map[string]string{}
	for name, s := range map[string]string{"access key id": marked.ID, "secret": marked.Secret, "token": marked.Token, "tick key": markedTickKey} {
		out[name] = s
		out[name+", escaped for a URL"] = url.QueryEscape(s)
		out[name+", escaped for a path"] = url.PathEscape(s)
		out[name+", in base64"] = base64.StdEncoding.EncodeToString([]byte(s))
		out[name+", in hex"] = hex.EncodeToString([]byte(s))
		quoted, _ := json.Marshal(s) // a string: cannot fail
		out[name+", in JSON"] = strings.Trim(string(quoted), `"`)
	}
	for name, part := range map[string]string{"access key id": "MarkedAccessKeyId", "secret": "MarkedSecret", "token": "MarkedToken", "tick key": "TWFya2VkVGlja0tleU"} {
		out["a part of the "+name] = part
	}
	return out
}

// A service that answers with what it was sent, in every way in which the stand-ins
// can go wrong, at every operation, with the log at its finest: no credential is in
// the log, in an answer, in an error, in a message or in a journal.
func TestNoOutputHoldsACredential(t *testing.T) {
	echo := strings.Join([]string{
		"The signature of " + marked.ID + " does not match: " + marked.Secret,
		"security-token=" + url.QueryEscape(marked.Token) + "&id=" + url.PathEscape(marked.ID),
		marked.Token, base64.StdEncoding.EncodeToString([]byte(marked.Secret)), hex.EncodeToString([]byte(marked.Token)), url.QueryEscape(marked.Secret),
	}, " ")
	kinds := []fault.Rule{
		{Kind: fault.Throttle}, {Kind: fault.HTML}, {Kind: fault.Empty}, {Kind: fault.EmptyAfter}, {Kind: fault.CloseBefore},
		{Kind: fault.CloseAfter}, {Kind: fault.Truncate}, {Kind: fault.Desktop}, {Kind: fault.Missing}, {Kind: fault.ErrorAfter},
		{Kind: fault.Error, Status: 400}, {Kind: fault.Error, Status: 403}, {Kind: fault.Error, Status: 404}, {Kind: fault.Error, Status: 409},
		{Kind: fault.Error, Status: 500}, {Kind: fault.Error, Status: 503}, {Kind: fault.Error, Status: 200},
	}
	for _, service := range []string{"ecd", "mns", "oss"} {
		for _, noJournal := range []bool{false, true} {
			if service == "oss" && noJournal {
				continue
			}
			t.Run(fmt.Sprintf("%s, no journal %v", service, noJournal), func(t *testing.T) {
				t.Parallel()
				var said loud
				w := startMarked(t, &said, noJournal)
				for _, code := range []string{"EchoOf" + marked.ID, "SignatureDoesNotMatch"} {
					for i, rule := range kinds {
						rule.Service, rule.Code, rule.Message, rule.Times = service, code, echo, 1
						w.play(t, fmt.Sprintf("%s-%d-%s", service, i, code[:4]), rule)
					}
				}
				w.look(t)
			})
		}
	}
}

// loud keeps all that was said anywhere.
type loud struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *loud) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

type markedWorld struct {
	cloud *localcloud.Cloud
	host  *fc.Host
	said  *loud
}

func startMarked(t *testing.T, said *loud, noJournal bool) *markedWorld {
	t.Helper()
	state, err := localcloud.Load("testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	still := 0.0
	state.Clock.Rate = &still
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{State: state, Keys: &marked})
	if err != nil {
		t.Fatal(err)
	}
	env := append(cloud.Env(), "REGILD_LOG_LEVEL=debug", "REGILD_TICK_KEY="+markedTickKey)
	if noJournal {
		env = append(env, "REGILD_JOURNAL=")
	}
	host, err := fc.Start(t.Context(), fc.Function{Path: function, Env: env, Keys: cloud.Keys, Timeout: 4 * time.Second, Instances: 1,
		Initializer: true, PreStop: true, Stdout: said})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		host.Kill()
		_ = cloud.Close()
	})
	return &markedWorld{cloud, host, said}
}

// play sends the function a request, a release, a control message and a broken one
// while the rule strikes, and once more when it does not.
func (w *markedWorld) play(t *testing.T, id string, rule fault.Rule) {
	t.Helper()
	id = strings.ToLower(strings.ReplaceAll(id, ".", "-"))
	w.cloud.Faults.Add(rule)
	for _, body := range []string{
		`{"requestId":"` + id + `","regionId":"cn-hangzhou","desktopIds":["ecd-pc01","ecd-pc02"],"imageId":"m-new"}`,
		`{"specversion":"1.0","type":"regild.rollout.control.v1","id":"c","source":"s","data":{"rolloutId":"` + id + `/office","action":"pause","by":"ada","reason":"x"}}`,
		`{"broken":`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		result, err := w.host.InvokeEvent(ctx, fc.Event{Payload: []byte(body)})
		cancel()
		_, _ = fmt.Fprintln(w.said, string(result.Response), result.ErrorType, result.ErrorMessage, err)
	}
	w.cloud.Faults.Clear()
}

// look searches all that was said, told, put on a queue and written down.
func (w *markedWorld) look(t *testing.T) {
	t.Helper()
	w.host.Kill() // its log is complete now
	for _, p := range w.cloud.MNS.Published(localcloud.ResultTopic) {
		_, _ = fmt.Fprintf(w.said, "published %s\n", p.Body)
	}
	for _, m := range w.cloud.MNS.Pending(localcloud.RequestQueue) {
		_, _ = fmt.Fprintf(w.said, "queued %s\n", m.Body)
	}
	for _, key := range w.cloud.OSS.Keys(localcloud.JournalBucket) {
		text, _ := w.cloud.OSS.Object(localcloud.JournalBucket, key)
		_, _ = fmt.Fprintf(w.said, "journal %s: %s\n", key, text)
	}
	all := w.said.text.String()
	if !strings.Contains(all, "published ") || !strings.Contains(all, "invocation") {
		t.Fatalf("nothing was said, so nothing was searched: %.500s", all)
	}
	for name, trace := range traces() {
		if i := strings.Index(all, trace); i >= 0 {
			t.Errorf("the %s is in the output: …%s…", name, all[max(0, i-200):min(len(all), i+200)])
		}
	}
}
