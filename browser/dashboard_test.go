//go:build browser

package browser

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/dashboard"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	pages "github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

const token = "a token of the browser's tests"

// A stage is a journal and the dashboard that shows it.
type stage struct {
	t       *testing.T
	store   journal.Store
	lengths map[string]int64
	url     string

	mu   sync.Mutex
	sent []events.Control
}

// put adds records to a journal.
func (s *stage) put(kind, id string, records ...rollout.Record) {
	s.t.Helper()
	key := journal.Key(kind, id)
	n, err := s.store.Append(s.t.Context(), key, s.lengths[key], reporttest.Lines(records))
	if err != nil {
		s.t.Fatal(err)
	}
	s.lengths[key] = n
}

// serve starts a dashboard over a journal with a fleet that has had two rollouts,
// one under way, one that waits for approval, and requests.
func serve(t *testing.T, change func(*dashboard.Config)) *stage {
	t.Helper()
	s := &stage{t: t, store: journaltest.Memory(), lengths: map[string]int64{}}
	s.put("rollout", "2026.10.1/office", reporttest.Rollout(reporttest.Options{ID: "2026.10.1/office", Size: 100})...)
	s.put("rollout", "2026.11.3/office", reporttest.Rollout(reporttest.Options{Size: 400, Until: reporttest.Underway})...)
	s.put("rollout", "2026.11.3/design", reporttest.Rollout(reporttest.Options{ID: "2026.11.3/design", Until: reporttest.Approval})...)
	s.put("fleet", "office", reporttest.Fleet("office", "2026.10.1/office", "2026.11.3/office")...)
	s.put("fleet", "design", reporttest.Fleet("design", "2026.11.3/design")...)
	s.put("request", "ticket-4711", reporttest.Request("ticket-4711", 30)...)
	s.put("request", "ticket-4712", reporttest.Open("ticket-4712", 5)...)
	c := dashboard.Config{Journal: s.store, Name: "oss://regild-journal/production", Zone: reporttest.Hangzhou, Version: "regild v1.0.0", Every: 100 * time.Millisecond,
		Fleets: fleet.Fleets{{Name: "office", Region: "cn-hangzhou", Images: []string{"win11-office*"}}, {Name: "kiosk", Region: "cn-shanghai", Images: []string{"win11-kiosk"}}},
		Now:    func() time.Time { return reporttest.Start.Add(9 * time.Hour) }}
	if change != nil {
		change(&c)
	}
	d, err := dashboard.New(c, true)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// controlled lets people ask for something, with a token.
func (s *stage) control(_ context.Context, c events.Control) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, c)
	return fmt.Sprint("message-", len(s.sent)), nil
}

const read = `document.querySelectorAll('.cards > li').length === 3 && !document.querySelector('progress') && document.querySelectorAll('#history tbody tr').length > 0`

func (s *stage) open() *tab {
	s.t.Helper()
	x := open(s.t, s.url+"/")
	x.goTo(s.url + "/")
	x.until(read)
	return x
}

func TestTheBoardShowsFleetsAndWhatIsUnderWay(t *testing.T) {
	s := serve(t, nil)
	x := s.open()
	if got := x.text(".cards h3 span:first-child"); strings.Join(got, " ") != "office kiosk design" {
		t.Errorf("fleets: got %q", got)
	}
	if got := x.text(".cards > li")[0]; !strings.Contains(got, "Under way") || !strings.Contains(got, reporttest.NewImage) || !strings.Contains(got, "2026.11.3/office") {
		t.Errorf("the office fleet: got %q", got)
	}
	if got := x.text(".cards > li")[1]; !strings.Contains(got, "No release yet") {
		t.Errorf("the kiosk fleet: got %q", got)
	}
	// Who waits for a person comes first.
	if got := x.text("#open tbody th"); len(got) != 3 || !strings.Contains(got[0], "2026.11.3/design") {
		t.Errorf("under way: got %q", got)
	}
	equal(t, "history", len(x.text("#history tbody tr")), 2)
	x.goTo(s.url + "/?q=TICKET+4711")
	equal(t, "searched", len(x.text("#history tbody tr")), 1)
	x.click("#history a")
	x.until(`document.title === 'Request ticket-4711'`)
	equal(t, "the way back", js[string](x, `document.querySelector('.top a').getAttribute('href')`), "/")
}

func TestPagesKeepThemselvesUpToDate(t *testing.T) {
	s := serve(t, nil)
	x := s.open()
	equal(t, "under way", len(x.text("#open tbody tr")), 3)
	s.put("request", "ticket-4712", rollout.Record{Kind: rollout.KindSettled, At: reporttest.Start.Add(time.Minute), Outcomes: []rollout.Group{
		{Status: events.StatusRefused, Code: events.CodeDesktopNotFound, Message: "ECD lists none of these", Desktops: []string{
			"ecd-gx2x1dhsmucy00001", "ecd-gx2x1dhsmucy00002", "ecd-gx2x1dhsmucy00003", "ecd-gx2x1dhsmucy00004", "ecd-gx2x1dhsmucy00005"}}}},
		rollout.Record{Kind: rollout.KindClosed, At: reporttest.Start.Add(time.Minute)})
	x.until(`document.querySelectorAll('#open tbody tr').length === 2 && document.querySelectorAll('#history tbody tr').length === 3`)

	x.goTo(s.url + "/report?of=rollout/2026.11.3/design")
	x.until(`document.getElementById('live').textContent.startsWith('live')`)
	x.write("#search", "00002")
	equal(t, "before", x.text(".pill")[0], "Waiting")
	s.put("rollout", "2026.11.3/design", rollout.Record{Kind: rollout.KindControl, At: reporttest.Start.Add(8 * time.Hour), Action: events.ActionPause, Who: "ann", Message: "c1",
		Reason: &events.Reason{Message: "lunch"}})
	x.until(`document.querySelector('.pill').textContent === 'Paused'`)
	if got := x.text(".notices li")[0]; !strings.HasPrefix(got, "It was paused by ann: lunch") {
		t.Errorf("needs attention: got %q", got)
	}
	equal(t, "the search is as it was", x.text("#shown")[0], "1–1 of 1 (of 2 in all)")
	equal(t, "and has the focus", js[string](x, "document.activeElement.id"), "search")
}

func TestAControlIsAskedForWithItsQuestions(t *testing.T) {
	var s *stage
	s = serve(t, func(c *dashboard.Config) {
		c.Token = token
		c.Control = func(ctx context.Context, e events.Control) (string, error) { return s.control(ctx, e) }
	})
	x := open(t, s.url)
	x.goTo(s.url + "/report?of=rollout/2026.11.3/office")
	equal(t, "without the token", x.text("h1")[0], "Sign in")
	x.forgive("401")
	x.write("#token", token)
	x.click("form.form button")
	x.until(`document.title === 'Rollout 2026.11.3/office'`)
	if got := x.text(".controls a"); strings.Join(got, " ") != "pause abort retry rollback" {
		t.Errorf("what can be asked for: got %q", got)
	}
	x.click(`.controls a[href*="rollback"]`)
	x.until(`document.querySelector('form.form') !== null`)
	question := strings.Join(x.text("main li"), "\n")
	for _, want := range []string{"go back to " + reporttest.OldImage, "What was on their system disks does not come back", "are being rebuilt, and are followed to their end"} {
		if !strings.Contains(question, want) {
			t.Errorf("the question does not say %q: %s", want, question)
		}
	}
	x.click("form.form button")
	equal(t, "an empty form is not sent", js[bool](x, `document.querySelector('form.form').checkValidity()`), false)
	x.send("ann@example.com", "the image is bad")
	x.until(`document.querySelector('.notices .good')?.textContent.includes('Sent as message message-1.')`)

	// A request takes what the function takes for it.
	x.goTo(s.url + "/report?of=request/ticket-4712")
	if got := x.text(".controls a"); strings.Join(got, " ") != "abort" {
		t.Errorf("what can be asked for a request: got %q", got)
	}
	x.click(`.controls a`)
	x.until(`document.querySelector('form.form') !== null`)
	if question := strings.Join(x.text("main li"), "\n"); !strings.Contains(question, "5 desktops have not begun.") {
		t.Errorf("the question does not say how many desktops it is about: %s", question)
	}
	x.send("ann@example.com", "the wrong image")
	x.until(`document.querySelector('.notices .good')?.textContent.includes('Sent as message message-2.')`)
	s.mu.Lock()
	defer s.mu.Unlock()
	equal(t, "what was sent", s.sent, []events.Control{{RolloutID: "2026.11.3/office", Action: "rollback", By: "ann@example.com", Reason: "the image is bad"},
		{RequestID: "ticket-4712", Action: "abort", By: "ann@example.com", Reason: "the wrong image"}})
}

// send fills in the form of a control, and sends it.
func (x *tab) send(by, reason string) {
	x.t.Helper()
	x.write(`[name="by"]`, by)
	x.write(`[name="reason"]`, reason)
	x.click(`[name="sure"]`)
	x.click("form.form button")
}

func TestTheAddressWithTheTokenSignsIn(t *testing.T) {
	s := serve(t, func(c *dashboard.Config) { c.Token = token })
	x := open(t, s.url)
	x.goTo(s.url + "/login#" + strings.ReplaceAll(token, " ", "%20"))
	x.until(`document.title === 'regild dashboard'`)
	equal(t, "the token is not in the address", js[string](x, "location.href"), s.url+"/")
}

func TestNothingFromOutsideBreaksOutOfTheDashboard(t *testing.T) {
	s := serve(t, nil)
	id := "2026.12.1/" + reporttest.Hostile
	s.put("rollout", id, reporttest.Rollout(reporttest.Options{ID: id, Hostile: true, Until: reporttest.Halted})...)
	x := open(t, s.url+"/")
	x.goTo(s.url + "/")
	x.until(`[...document.querySelectorAll('#open a')].some((a) => a.textContent.startsWith('2026.12.1/'))`)
	unharmed(t, x)
	js[bool](x, `([...document.querySelectorAll('#open a')].find((a) => a.textContent.startsWith('2026.12.1/')).click(), true)`)
	x.until(`document.querySelector('h1 .id')?.textContent.startsWith('2026.12.1/')`)
	unharmed(t, x)
	equal(t, "the address leads there", x.text("h1 .pill")[0], "Halted")
	x.goTo(s.url + "/?q=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E")
	unharmed(t, x)
}

func TestAxeFindsNothingSeriousInTheDashboard(t *testing.T) {
	var s *stage
	s = serve(t, func(c *dashboard.Config) {
		c.Token, c.Lang = token, pages.English
		c.Control = func(ctx context.Context, e events.Control) (string, error) { return s.control(ctx, e) }
	})
	x := open(t, s.url)
	x.goTo(s.url + "/login")
	x.schemes("login")
	x.goTo(s.url + "/login#" + strings.ReplaceAll(token, " ", "%20"))
	x.until(read)
	x.schemes("board")
	x.goTo(s.url + "/control?of=rollout/2026.11.3/office&action=rollback")
	x.schemes("question")
	x.goTo(s.url + "/nowhere")
	x.schemes("problem")
	x.forgive("404")
}
