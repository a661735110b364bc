package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/dashboard"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

// journalOf writes a rollout into a journal in a directory, and returns its URL. By
// default it is one that has ended.
func journalOf(t *testing.T, records ...rollout.Record) string {
	t.Helper()
	url := "file://" + filepath.ToSlash(t.TempDir())
	store, err := journal.Open(url, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 {
		records = reporttest.Rollout(reporttest.Options{})
	}
	if _, err := store.Append(t.Context(), journal.Key(operator.Rollout, "2026.11.3/office"), 0, reporttest.Lines(records)); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestReportAsAPage(t *testing.T) {
	url := journalOf(t)
	path := filepath.Join(t.TempDir(), "report.html")
	out, errs, code := runRegild(t, "report", url, "rollout/2026.11.3/office", "--html", "--lang", "zh", "--time-zone", "Asia/Shanghai", "--file", path)
	page, err := os.ReadFile(path)
	if code != 0 || out != "" || err != nil || !strings.Contains(errs, "open it in a browser") {
		t.Fatalf("code %d, %v: %s %s", code, err, out, errs)
	}
	for _, want := range []string{`lang="zh-CN"`, "推送", "Asia/Shanghai (UTC+08:00)", "rollout/2026.11.3~2foffice.jsonl"} {
		if !strings.Contains(html.UnescapeString(string(page)), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	out, errs, code = runRegild(t, "report", url, "rollout/2026.11.3/office", "--html")
	if code != 0 || !strings.HasPrefix(out, "<!doctype html>") || errs != "" {
		t.Errorf("to standard output: code %d, %.100s %s", code, out, errs)
	}
}

func TestReportAsAPageRefusesWhatIsWrong(t *testing.T) {
	url := journalOf(t)
	plan := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(plan, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a language":  {[]string{"--lang", "tlh"}, exitUsage, "use en or zh"},
		"a zone":      {[]string{"--time-zone", "Mars/Olympus"}, exitFailed, "Mars/Olympus"},
		"no plan":     {[]string{"--plan", plan + "x"}, exitFailed, "reading the plan"},
		"an odd plan": {[]string{"--plan", plan}, exitFailed, "no planDigest"},
		"no folder":   {[]string{"--file", filepath.Join(plan, "x")}, exitFailed, "not a directory"},
	} {
		_, errs, code := runRegild(t, append([]string{"report", url, "rollout/2026.11.3/office", "--html"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: got code %d, %s; want %d, %q", name, code, errs, c.code, c.want)
		}
	}
}

// Whoever sent a request knows it by the id that they gave it.
func TestAPageIsFoundByTheSendersID(t *testing.T) {
	url := "file://" + filepath.ToSlash(t.TempDir())
	store, err := journal.Open(url, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	records := reporttest.Rollout(reporttest.Options{})
	records[0].Operation.ID = rollout.Apart("ticket-4711", "queues/q", "")
	key := journal.Key(operator.Request, records[0].Operation.ID)
	if _, err := store.Append(t.Context(), key, 0, reporttest.Lines(records)); err != nil {
		t.Fatal(err)
	}
	out, errs, code := runRegild(t, "report", url, "request/ticket-4711", "--html")
	if code != 0 || !strings.Contains(html.UnescapeString(out), key) {
		t.Errorf("code %d, %s; want the page of %s", code, errs, key)
	}
}

func TestDashboardRefusesWhatIsWrong(t *testing.T) {
	url := journalOf(t)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no journal":            {nil, exitUsage, "name the journal"},
		"no directory":          {[]string{url + "x"}, exitFailed, "there is no directory"},
		"controls to nowhere":   {[]string{url, "--allow-control"}, exitUsage, "name the queue"},
		"looks too often":       {[]string{url, "--listen", "127.0.0.1:0", "--every", "1ms"}, exitFailed, "too often"},
		"an address of another": {[]string{url, "--listen", "192.0.2.1:80"}, exitFailed, "give --listen another address"},
	} {
		if _, errs, code := runRegild(t, append([]string{"dashboard"}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: got code %d, %s; want %d, %q", name, code, errs, c.code, c.want)
		}
	}
}

func TestDashboardServesUntilItIsEnded(t *testing.T) {
	for name, c := range map[string]struct {
		listen string
		status int
		want   []string
	}{
		"on loopback":              {"127.0.0.1:0", 200, []string{"http://127.0.0.1:", "Ctrl-C"}},
		"for others, a token made": {"0.0.0.0:0", 401, []string{"/login#", "put a proxy with TLS before it"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read, write := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, world{out: io.Discard, err: write, in: strings.NewReader(""), lookup: nobody}, []string{"dashboard", journalOf(t), "--listen", c.listen})
				_ = write.Close()
			}()
			lines := bufio.NewScanner(read)
			if !lines.Scan() {
				t.Fatal("it says nothing")
			}
			said := lines.Text()
			_, address, _ := strings.Cut(said, "http://")
			address, _, _ = strings.Cut(address, "/")
			go func() { // what else it says
				for lines.Scan() {
					said += "\n" + lines.Text()
				}
				ended <- -1
			}()
			_, port, _ := strings.Cut(strings.TrimPrefix(address, "[::]"), ":")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != c.status {
				t.Errorf("got status %d, want %d", response.StatusCode, c.status)
			}
			cancel()
			first, second := <-ended, <-ended
			if first+second != -1 {
				t.Errorf("it ended with %d and %d, want 0 and the end of what it says", first, second)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it says %q, without %q", said, want)
				}
			}
		})
	}
}

// dashboardConfig is what a dashboard is made of by these settings.
func dashboardConfig(t *testing.T, env map[string]string, f dashboardFlags, args ...string) dashboard.Config {
	t.Helper()
	c := &cobra.Command{}
	s := newSettings(world{lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, c, forJournal, forQueue, []string{"fleets"})
	if err := c.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	config, err := f.config(s, "")
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// What the dashboard sends is what the function takes, with an id of its own.
func TestTheDashboardsControlsReachTheQueue(t *testing.T) {
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := cloud.Keys()
	env := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token}
	config := dashboardConfig(t, env, dashboardFlags{lang: "en", every: time.Second, control: true}, "--journal", journalOf(t), "--region", "cn-hangzhou",
		"--queue", localcloud.RequestQueue, "--account", "1234567890123456", "--mns-endpoint", cloud.MNSURL)
	for i, want := range []events.Control{
		{RolloutID: "2026.11.3/office", Action: events.ActionApprove, By: "ann", Reason: "a < b", Wave: 2},
		{RequestID: "ticket-4711", Action: events.ActionAbort, By: "ann", Reason: "a < b"},
	} {
		id, err := config.Control(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		pending := cloud.MNS.Pending(localcloud.RequestQueue)
		if len(pending) != i+1 {
			t.Fatalf("%d messages are on the queue, want %d", len(pending), i+1)
		}
		var e struct {
			ID, Type string
			Data     json.RawMessage
		}
		if err := json.Unmarshal(pending[i].Body, &e); err != nil {
			t.Fatal(err)
		}
		got, err := events.ParseControl(e.Data)
		if err != nil || !reflect.DeepEqual(got, want) || e.ID != id || e.Type != events.TypeControl {
			t.Errorf("got %+v (%v) in %+v, want %+v with id %s", got, err, e, want, id)
		}
	}
}

// Against Object Storage with the vendor's own client: the journal is listed and
// read as in production.
func TestTheDashboardReadsAJournalInObjectStorage(t *testing.T) {
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(kind, id string, records []rollout.Record) {
		cloud.OSS.Put(localcloud.JournalBucket, localcloud.JournalPrefix+"/"+journal.Key(kind, id), reporttest.Lines(records))
	}
	put(operator.Rollout, "2026.11.3/office", reporttest.Rollout(reporttest.Options{}))
	put("fleet", "office", reporttest.Fleet("office", "2026.11.3/office"))
	for i := range 1200 { // more than one page of a listing
		put(operator.Request, fmt.Sprint("ticket-", i), reporttest.Open(fmt.Sprint("ticket-", i), 1))
	}
	keys := cloud.Keys()
	env := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token}
	config := dashboardConfig(t, env, dashboardFlags{lang: "en"}, "--journal", "oss://"+localcloud.JournalBucket+"/"+localcloud.JournalPrefix,
		"--region", "cn-hangzhou", "--oss-endpoint", cloud.OSSURL)
	config.Every = time.Hour
	d, err := dashboard.New(config, true)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	fetch := func(path string) string {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	events, err := http.Get("http://" + l.Addr().String() + "/events?of=board") //nolint:noctx // it ends with the server
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Body.Close() }()
	changes := bufio.NewScanner(events.Body)
	for board := ""; !strings.Contains(board, "1,000 more are not listed") && !strings.Contains(board, "1,001 more are not listed"); board = fetch("/") {
		for changes.Scan() && changes.Text() != "event: change" {
		}
		if changes.Err() != nil {
			t.Fatalf("the server ended before it had read the journal: %v; the board: %.2000s", changes.Err(), board)
		}
	}
	if got := fetch("/report?of=rollout/2026.11.3/office"); !strings.Contains(got, "32 of 40 desktops rebuilt") {
		t.Errorf("the report: %.500s", got)
	}
}
