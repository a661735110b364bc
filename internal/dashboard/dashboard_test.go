package dashboard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

const goodToken = "0123456789abcdefghij"

var noon = reporttest.Start.Add(9 * time.Hour)

// put writes a journal.
func put(t *testing.T, s journal.Store, kind, id string, records ...rollout.Record) {
	t.Helper()
	key := journal.Key(kind, id)
	_, length, err := s.Read(t.Context(), key, 0)
	if err == nil {
		_, err = s.Append(t.Context(), key, length, reporttest.Lines(records))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a journal with a fleet of two rollouts, and two requests.
func filled(t *testing.T) journal.Store {
	t.Helper()
	s := journaltest.Memory()
	put(t, s, kindRollout, "2026.10.1/office", reporttest.Rollout(reporttest.Options{ID: "2026.10.1/office"})...)
	put(t, s, kindRollout, "2026.11.3/office", reporttest.Rollout(reporttest.Options{Until: reporttest.Underway})...)
	put(t, s, kindFleet, "office", reporttest.Fleet("office", "2026.10.1/office", "2026.11.3/office")...)
	put(t, s, kindRequest, "ticket-1", reporttest.Request("ticket-1", 5)...)
	put(t, s, kindRequest, "ticket-2", reporttest.Open("ticket-2", 5)...)
	return s
}

// start returns a dashboard that has looked once.
func start(t *testing.T, loopback bool, change func(*Config)) *Dashboard {
	t.Helper()
	c := Config{Journal: filled(t), Name: "file:///journal", Now: func() time.Time { return noon }}
	if change != nil {
		change(&c)
	}
	d, err := New(c, loopback)
	if err != nil {
		t.Fatal(err)
	}
	d.index.look(t.Context())
	return d
}

// controllable has a token and takes controls, which it keeps.
func controllable(sent *[]events.Control) func(*Config) {
	return func(c *Config) {
		c.Token = goodToken
		c.Control = func(_ context.Context, x events.Control) (string, error) {
			*sent = append(*sent, x)
			return "message-1", nil
		}
	}
}

// ask asks the dashboard as a browser on this machine would.
func ask(t *testing.T, d *Dashboard, method, target string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8042"+target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

func bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+goodToken) }

func has(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("got status %d, want %d: %.300s", w.Code, status, w.Body)
	}
	for _, s := range texts {
		if !strings.Contains(w.Body.String(), s) {
			t.Errorf("the answer has no %q: %.2000s", s, w.Body)
		}
	}
}

func TestADashboardThatOthersCanReachNeedsAToken(t *testing.T) {
	control := func(context.Context, events.Control) (string, error) { return "", nil }
	for name, c := range map[string]struct {
		loopback bool
		config   Config
		want     string
	}{
		"off loopback without":        {false, Config{Journal: journaltest.Memory()}, "needs a token"},
		"off loopback with":           {false, Config{Journal: journaltest.Memory(), Token: goodToken}, ""},
		"a short one":                 {false, Config{Journal: journaltest.Memory(), Token: "secret"}, "take 20 or more"},
		"on loopback without":         {true, Config{Journal: journaltest.Memory()}, ""},
		"on loopback, with controls":  {true, Config{Journal: journaltest.Memory(), Control: control}, "needs a token"},
		"controls with a token":       {true, Config{Journal: journaltest.Memory(), Control: control, Token: goodToken}, ""},
		"no journal":                  {true, Config{}, "no journal"},
		"a look every microsecond":    {true, Config{Journal: journaltest.Memory(), Every: time.Microsecond}, "too often"},
		"everything wrong is told":    {false, Config{}, "no journal"},
		"everything wrong, the other": {false, Config{}, "needs a token"},
	} {
		_, err := New(c.config, c.loopback)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestEveryAnswerCarriesThePolicy(t *testing.T) {
	d := start(t, true, nil)
	for _, target := range []string{"/", "/report?of=rollout/2026.11.3/office", "/assets/page.js", "/nowhere", "/login", "/report?of=x", "/control"} {
		w := ask(t, d, http.MethodGet, target, nil, nil)
		h := w.Header()
		if p := h.Get("Content-Security-Policy"); p != policy || strings.Contains(p, "unsafe") {
			t.Errorf("%s: got the policy %q", target, p)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: got the headers %v", target, h)
		}
		if body := w.Body.String(); strings.Contains(body, "style=\"") || strings.Contains(body, " onclick") {
			t.Errorf("%s has an inline style or handler", target)
		}
	}
}

// DNS rebinding: a web site has its own name lead to 127.0.0.1 and reads what it
// wants as if it were its own.
func TestOnLoopbackOnlyALoopbackHostIsAnswered(t *testing.T) {
	d := start(t, true, nil)
	for host, want := range map[string]int{
		"127.0.0.1:8042": 200, "localhost:8042": 200, "LOCALHOST": 200, "[::1]:8042": 200, "[::1]": 200, "127.9.9.9": 200,
		"evil.example": 421, "evil.example:8042": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "10.0.0.1:8042": 421, "": 421,
	} {
		w := ask(t, d, http.MethodGet, "/", nil, func(r *http.Request) { r.Host = host })
		if w.Code != want {
			t.Errorf("host %q: got %d, want %d", host, w.Code, want)
		}
	}
}

func TestWithATokenNothingIsShownWithoutIt(t *testing.T) {
	d := start(t, false, func(c *Config) { c.Token = goodToken })
	for _, target := range []string{"/", "/report?of=rollout/2026.11.3/office", "/report?of=rollout/2026.11.3/office&file=1", "/events?of=board", "/control", "/nowhere"} {
		w := ask(t, d, http.MethodGet, target, nil, nil)
		has(t, w, http.StatusUnauthorized, "Sign in")
		if strings.Contains(w.Body.String(), reporttest.NewImage) {
			t.Errorf("%s shows an image without the token", target)
		}
		wrong := ask(t, d, http.MethodGet, target, nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+goodToken[1:]) })
		has(t, wrong, http.StatusUnauthorized)
	}
	has(t, ask(t, d, http.MethodGet, "/", nil, bearer), http.StatusOK, "office")
}

func TestSigningInLastsForADay(t *testing.T) {
	now := noon
	d := start(t, false, func(c *Config) { c.Token, c.Now = goodToken, func() time.Time { return now } })
	has(t, ask(t, d, http.MethodPost, "/login", url.Values{"token": {"wrong"}}, nil), http.StatusUnauthorized, "That is not the token")
	w := ask(t, d, http.MethodPost, "/login", url.Values{"token": {goodToken}, "next": {"/?q=x"}}, nil)
	has(t, w, http.StatusSeeOther)
	if to := w.Header().Get("Location"); to != "/?q=x" {
		t.Errorf("goes on to %q", to)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || strings.Contains(cookies[0].Value, goodToken) {
		t.Fatalf("got the cookies %v", cookies)
	}
	with := func(r *http.Request) { r.AddCookie(cookies[0]) }
	has(t, ask(t, d, http.MethodGet, "/", nil, with), http.StatusOK, "office")
	now = now.Add(13 * time.Hour)
	has(t, ask(t, d, http.MethodGet, "/", nil, with), http.StatusUnauthorized)
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	for in, want := range map[string]string{
		"/report?of=rollout/a/b": "/report?of=rollout/a/b", "": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"/events?of=board": "/", "javascript:alert(1)": "/", "\x00": "/", "/login": "/", "///evil.example": "/",
	} {
		if got := inHouse(in); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

// form is a control that is filled in as it should be.
func form(d *Dashboard, action string) url.Values {
	return url.Values{"of": {"rollout/2026.11.3/office"}, "action": {action}, "by": {"ann"}, "reason": {"it is bad"}, "sure": {"yes"}, "wave": {"0"}, "csrf": {d.csrf}}
}

func TestAControlIsSentOnlyFromAPageOfThisServer(t *testing.T) {
	var sent []events.Control
	d := start(t, true, controllable(&sent))
	signed := func(change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) { bearer(r); change(r) }
	}
	for name, c := range map[string]struct {
		form   func(url.Values)
		change func(*http.Request)
		want   int
	}{
		"from another site":                   {change: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, want: 403},
		"from another port":                   {change: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, want: 403},
		"from another origin":                 {change: func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, want: 403},
		"without the form's secret":           {form: func(f url.Values) { f.Del("csrf") }, want: 403},
		"with another secret":                 {form: func(f url.Values) { f.Set("csrf", "x") }, want: 403},
		"without the token":                   {change: func(r *http.Request) { r.Header.Del("Authorization") }, want: 401},
		"without having read":                 {form: func(f url.Values) { f.Del("sure") }, want: 400},
		"without saying who":                  {form: func(f url.Values) { f.Set("by", "") }, want: 409},
		"without saying why":                  {form: func(f url.Values) { f.Set("reason", "") }, want: 409},
		"with a reason too long":              {form: func(f url.Values) { f.Set("reason", strings.Repeat("x", 257)) }, want: 409},
		"of an action there is none":          {form: func(f url.Values) { f.Set("action", "explode") }, want: 400},
		"that makes no sense now":             {form: func(f url.Values) { f.Set("action", "resume") }, want: 409},
		"of what was followed":                {form: func(f url.Values) { f.Set("of", "rollout/2026.10.1/office"); f.Set("action", "rollback") }, want: 409},
		"that no request takes":               {form: func(f url.Values) { f.Set("of", "request/ticket-2") }, want: 400},
		"of a request that has ended":         {form: func(f url.Values) { f.Set("of", "request/ticket-1"); f.Set("action", "abort") }, want: 409},
		"of a request that has begun nothing": {form: func(f url.Values) { f.Set("of", "request/ticket-2"); f.Set("action", "rollback") }, want: 409},
		"of what is not there":                {form: func(f url.Values) { f.Set("of", "rollout/no/such") }, want: 404},
		"far too long":                        {form: func(f url.Values) { f.Set("reason", strings.Repeat("x", 20<<10)) }, want: 400},
	} {
		f := form(d, "pause")
		if c.form != nil {
			c.form(f)
		}
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		if w := ask(t, d, http.MethodPost, "/control", f, signed(change)); w.Code != c.want || len(sent) > 0 {
			t.Fatalf("%s: got %d and sent %v, want %d and nothing: %.500s", name, w.Code, sent, c.want, w.Body)
		}
	}
	has(t, ask(t, d, http.MethodPost, "/control", form(d, "pause"), bearer), http.StatusOK, "Sent as message message-1")
	if want := []events.Control{{RolloutID: "2026.11.3/office", Action: "pause", By: "ann", Reason: "it is bad"}}; len(sent) != 1 || fmt.Sprint(sent) != fmt.Sprint(want) {
		t.Errorf("sent %+v, want %+v", sent, want)
	}
}

// A rollback of what another rollout came after is refused by the function; the page
// says so before it is asked for.
func TestARollbackOfWhatWasFollowedIsNotOffered(t *testing.T) {
	d := start(t, true, controllable(new([]events.Control)))
	w := ask(t, d, http.MethodGet, "/control?of=rollout/2026.10.1/office&action=rollback", nil, bearer)
	has(t, w, http.StatusOK, "2026.11.3/office came after it")
	if strings.Contains(w.Body.String(), "<form") {
		t.Error("it has a form that asks for it all the same")
	}
	has(t, ask(t, d, http.MethodGet, "/control?of=rollout/2026.11.3/office&action=rollback", nil, bearer), http.StatusOK, "<form")
	if got := offered(t, d, "rollout/2026.10.1/office"); len(got) > 0 {
		t.Errorf("its report offers %q", got)
	}
}

// offered are the actions that the report of an operation offers.
func offered(t *testing.T, d *Dashboard, of string) (actions []string) {
	t.Helper()
	w := ask(t, d, http.MethodGet, "/report?of="+of, nil, bearer)
	has(t, w, http.StatusOK)
	for _, m := range regexp.MustCompile(`href="/control\?of=([^"&]*)&amp;action=([a-z]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if to, err := url.QueryUnescape(m[1]); err != nil || to != of {
			t.Errorf("the report of %s leads to a control of %s", of, m[1])
		}
		actions = append(actions, m[2])
	}
	return actions
}

// A request takes what the function takes for it: it is stopped while there is something
// to stop, and rolled back once it has changed something.
func TestARequestIsStoppedOrRolledBack(t *testing.T) {
	var sent []events.Control
	d := start(t, true, controllable(&sent))
	for _, x := range []struct {
		of      string
		offers  []string
		asks    []string
		control events.Control
	}{
		{"request/ticket-2", []string{"abort"}, []string{"5 desktops have not begun.", "What was not begun is refused."},
			events.Control{RequestID: "ticket-2", Action: "abort", By: "ann", Reason: "it is bad"}},
		{"request/ticket-1", []string{"rollback"},
			[]string{"5 desktops go back to " + reporttest.OldImage, "What was on their system disks does not come back.", "somebody else has changed since are left alone"},
			events.Control{RequestID: "ticket-1", Action: "rollback", By: "ann", Reason: "it is bad"}},
	} {
		if got := offered(t, d, x.of); !slices.Equal(got, x.offers) {
			t.Fatalf("the report of %s offers %q, want %q", x.of, got, x.offers)
		}
		has(t, ask(t, d, http.MethodGet, "/control?of="+x.of+"&action="+x.offers[0], nil, bearer), http.StatusOK, append(x.asks, "<form")...)
		f := form(d, x.offers[0])
		f.Set("of", x.of)
		has(t, ask(t, d, http.MethodPost, "/control", f, bearer), http.StatusOK, "Sent as message message-1", "message.refused")
		if !reflect.DeepEqual(sent, []events.Control{x.control}) {
			t.Errorf("sent %+v, want %+v", sent, x.control)
		}
		sent = nil
	}
	w := ask(t, d, http.MethodGet, "/control?of=request/ticket-2&action=rollback", nil, bearer)
	has(t, w, http.StatusOK, "it has not changed any desktop; abort ends it before it does")
	if strings.Contains(w.Body.String(), "<form") {
		t.Error("a rollback of what changed nothing has a form all the same")
	}
}

// A rollout that comes after other fleets waits for them, not behind a wave: the page says so,
// and what it sends passes them. A wave that is finished as well is not what is approved, and
// what was read is not sent for another.
func TestAnApprovalForARolloutThatWaitsForFleetsPassesThem(t *testing.T) {
	const id = "2026.11.3/office"
	waits := func(ring string) rollout.Record {
		return rollout.Record{Kind: rollout.KindWaiting, Rings: []string{"pilot: " + ring},
			Reason: &events.Reason{Code: events.CodeRingAwaited, Message: "release 2026.11.3 begins here once it has completed on pilot: it is " + ring}}
	}
	for name, before := range map[string][]rollout.Record{
		"before its first wave": reporttest.Rollout(reporttest.Options{ID: id})[:1],
		"behind a wave":         reporttest.Rollout(reporttest.Options{ID: id, Until: reporttest.Approval}),
	} {
		var sent []events.Control
		s := journaltest.Memory()
		put(t, s, kindRollout, id, append(before, waits("under way"))...)
		d := start(t, true, func(c *Config) { controllable(&sent)(c); c.Journal = s })
		asked := ask(t, d, http.MethodGet, "/control?of=rollout/"+id+"&action=approve", nil, bearer)
		has(t, asked, http.StatusOK, "It waits: release 2026.11.3 begins here once it has completed on pilot: it is under way",
			"It goes on without the fleets that it comes after", `name="wave" value="0"`, `name="rings" value="pilot: under way"`)
		if strings.Contains(asked.Body.String(), "The gate behind wave") {
			t.Errorf("%s: it speaks of a gate behind a wave", name)
		}
		f := form(d, events.ActionApprove)
		f.Set("rings", "pilot: under way")
		has(t, ask(t, d, http.MethodPost, "/control", f, bearer), http.StatusOK, "Sent as message message-1")
		if want := []events.Control{{RolloutID: id, Action: "approve", By: "ann", Reason: "it is bad"}}; !reflect.DeepEqual(sent, want) {
			t.Errorf("%s: sent %+v, want %+v", name, sent, want)
		}
		put(t, s, kindRollout, id, waits("halted"))
		has(t, ask(t, d, http.MethodPost, "/control", f, bearer), http.StatusConflict, "what it waits for is another by now")
		if len(sent) > 1 {
			t.Errorf("%s: sent %+v for what was not read", name, sent[1:])
		}
	}
}

// What was asked for stands in the report of the request.
func TestTheReportOfARequestSaysWhoRolledItBack(t *testing.T) {
	d := start(t, true, controllable(new([]events.Control)))
	put(t, d.Journal.(journal.Store), kindRequest, "ticket-1",
		rollout.Undoing(rollout.Operation{ID: "ticket-1/rollback", Undoes: "ticket-1", By: "ann", Why: "no printing"}, noon, "mns:1", ""))
	has(t, ask(t, d, http.MethodGet, "/report?of=request/ticket-1", nil, bearer), http.StatusOK, "<td>ann</td><td>rollback</td><td>no printing</td>")
	if got := offered(t, d, "request/ticket-1"); len(got) > 0 {
		t.Errorf("its report offers %q once more", got)
	}
}

func TestWithoutControlsNothingCanBeAskedFor(t *testing.T) {
	d := start(t, true, func(c *Config) { c.Token = goodToken })
	has(t, ask(t, d, http.MethodGet, "/control?of=rollout/2026.11.3/office&action=pause", nil, bearer), http.StatusForbidden, "only reads")
	has(t, ask(t, d, http.MethodPost, "/control", form(d, "pause"), bearer), http.StatusForbidden, "only reads")
	if w := ask(t, d, http.MethodGet, "/report?of=rollout/2026.11.3/office", nil, bearer); strings.Contains(w.Body.String(), "/control?") {
		t.Error("the report offers controls")
	}
}

func TestAControlThatCannotBeSentIsAskedForAgainAsItWas(t *testing.T) {
	d := start(t, true, func(c *Config) {
		c.Token = goodToken
		c.Control = func(context.Context, events.Control) (string, error) { return "", errors.New("the queue is gone") }
	})
	has(t, ask(t, d, http.MethodPost, "/control", form(d, "abort"), bearer), http.StatusBadGateway, "the queue is gone", `value="it is bad"`, `value="ann"`)
}

func TestAnAddressThatIsWrongIsAnsweredWithASentence(t *testing.T) {
	d := start(t, true, nil)
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		"/report":                 {400, "names no rollout"},
		"/report?of=fleet/office": {400, "names no rollout"},
		"/report?of=rollout/":     {400, "names no rollout"},
		"/report?of=rollout/" + strings.Repeat("x", 2000):        {400, "names no rollout"},
		"/report?of=rollout/no/such":                             {404, "knows no rollout no/such"},
		"/report?of=rollout/..%2f..%2fetc%2fpasswd":              {404, "knows no rollout"},
		"/report?of=rollout/%3Cscript%3Ealert(1)%3C%2Fscript%3E": {404, "&lt;script&gt;"},
		"/events":                         {400, "what to listen to"},
		"/?q=" + strings.Repeat("x", 300): {400, "longer than 200 bytes"},
		"/nowhere":                        {404, "no page at this address"},
	} {
		has(t, ask(t, d, http.MethodGet, target, nil, nil), want.status, want.text)
	}
}

// broken fails as a store would.
type broken struct {
	journal.Store
	err error
}

func (b *broken) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if b.err != nil {
		return nil, 0, b.err
	}
	return b.Store.Read(ctx, key, from)
}

func TestAJournalThatCannotBeReadNowIsSaidAndTriedAgain(t *testing.T) {
	b := &broken{Store: filled(t), err: errors.New("Forbidden: you are not authorized")}
	d, err := New(Config{Journal: b}, true)
	if err != nil {
		t.Fatal(err)
	}
	d.index.look(t.Context())
	has(t, ask(t, d, http.MethodGet, "/", nil, nil), http.StatusOK, "The journal cannot be read now", "you are not authorized")
	has(t, ask(t, d, http.MethodGet, "/report?of=request/ticket-1", nil, nil), http.StatusBadGateway, "you are not authorized")
	b.err = nil
	for range listEvery {
		d.index.look(t.Context())
	}
	if w := ask(t, d, http.MethodGet, "/", nil, nil); strings.Contains(w.Body.String(), "not authorized") || !strings.Contains(w.Body.String(), "ticket-1") {
		t.Errorf("got %.2000s", w.Body)
	}
}

func TestOneDamagedJournalHarmsNoOther(t *testing.T) {
	s := filled(t)
	if _, err := s.Append(t.Context(), journal.Key(kindRequest, "bad"), 0, []byte("{\"v\":99}\n")); err != nil {
		t.Fatal(err)
	}
	d := start(t, true, func(c *Config) { c.Journal = s })
	has(t, ask(t, d, http.MethodGet, "/", nil, nil), http.StatusOK, "1 journal cannot be read", "version 99 is not known", "ticket-1", "office")
}

func TestTheIndexIsWhatAFullReadingSays(t *testing.T) {
	s := filled(t)
	d := start(t, true, func(c *Config) { c.Journal = s })
	// Grow each in turn, and look: what is read on must be what is read anew.
	put(t, s, kindRequest, "ticket-2", rollout.Record{Kind: rollout.KindSettled, At: noon, Outcomes: []rollout.Group{{Status: events.StatusRefused, Code: "X", Desktops: []string{"ecd-gx2x1dhsmucy00001"}}}})
	put(t, s, kindRollout, "2026.11.3/office", rollout.Record{Kind: rollout.KindHalted, At: noon, Reason: &events.Reason{Code: events.CodeTooManyFailures, Message: "too many"}})
	d.index.look(t.Context())
	for _, got := range d.index.now().operations {
		lines, _, err := s.Read(t.Context(), journal.Key(got.Kind(), got.ID), 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err := report.Of(lines)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want.Brief) {
			t.Errorf("%s: the index has %+v, want %+v", got.Name(), got, want.Brief)
		}
	}
	if w := d.index.now().operations; !slices.ContainsFunc(w, func(b report.Brief) bool { return b.State == report.StateHalted }) {
		t.Errorf("no work is halted: %+v", w)
	}
}

// A state that is too large to be kept is folded anew when its journal grows.
// What people look for first is read first, and is not what is left out.
func TestWhatIsOpenIsReadFirst(t *testing.T) {
	x := newIndex(nil, nil)
	x.fleets["office"] = []string{"r1/office", "r2/office"}
	keys := map[string][]string{
		kindRollout: {journal.Key(kindRollout, "r1/office"), journal.Key(kindRollout, "r2/office")},
		kindRequest: {journal.Key(kindRequest, "a"), journal.Key(kindRequest, "b"), journal.Key(kindRequest, "c")},
	}
	fresh, left := x.unread(keys, []string{journal.OpenKey("c"), journal.OpenKey("gone"), "open/nonsense.jsonl"})
	want := []string{journal.Key(kindRollout, "r2/office"), journal.Key(kindRequest, "c"), journal.Key(kindRollout, "r1/office"), journal.Key(kindRequest, "a"), journal.Key(kindRequest, "b")}
	if !slices.Equal(fresh, want) || left != 0 {
		t.Errorf("got %q and %d left, want %q", fresh, left, want)
	}
}

func TestWhatIsNotKeptIsReadAnew(t *testing.T) {
	s := filled(t)
	d, err := New(Config{Journal: s}, true)
	if err != nil {
		t.Fatal(err)
	}
	d.index.kept = maxKept
	d.index.look(t.Context())
	key := journal.Key(kindRequest, "ticket-2")
	if d.index.operations[key].state != nil {
		t.Fatal("the state is kept beyond the limit")
	}
	put(t, s, kindRequest, "ticket-2", rollout.Record{Kind: rollout.KindClosed, At: noon})
	d.index.look(t.Context())
	if b := d.index.operations[key].brief; !b.Closed || b.Counts.Fleet != 5 {
		t.Errorf("got %+v, want it closed, with its five desktops", b)
	}
	if d.index.kept != maxKept {
		t.Errorf("the count of what is kept moved to %d from %d", d.index.kept, maxKept)
	}
}

func TestTheHistoryIsSearchedAndBounded(t *testing.T) {
	p := picture{}
	for i := range 300 {
		p.operations = append(p.operations, report.Brief{ID: fmt.Sprint("ticket-", i), Closed: true})
	}
	if b := board(p, nil, ""); len(b.History) != maxListed || b.Ended != 300 || b.HistoryMore() != 100 {
		t.Errorf("got %d of %d listed", len(b.History), b.Ended)
	}
	if b := board(p, nil, "TICKET 299"); b.Ended != 1 || b.History[0].ID != "ticket-299" {
		t.Errorf("got %d that match", b.Ended)
	}
}

func TestAPageThatListensIsToldOfChangesAndOfTheEnd(t *testing.T) {
	s := filled(t)
	d, err := New(Config{Journal: s, Every: leastEvery}, true)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, seen := make(chan error, 1), d.hub.revision("request/ticket-2") // before it is read
	go func() { ended <- d.Serve(ctx, l) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/events?of=request/ticket-2&seen="+seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended (%v) before %q", lines.Err(), want)
	}
	next("retry: 2000")
	next("event: change") // it was read for the first time
	put(t, s, kindRequest, "ticket-2", rollout.Record{Kind: rollout.KindClosed, At: noon})
	next("event: change")
	cancel()
	for lines.Scan() {
		if lines.Text() == "event: change" {
			t.Error("told of a change at the end")
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTooManyListenersAreTurnedAway(t *testing.T) {
	d := start(t, true, nil)
	for range maxListeners {
		if d.hub.listen(boardName, "") == nil {
			t.Fatal("turned away too early")
		}
	}
	has(t, ask(t, d, http.MethodGet, "/events?of=board", nil, nil), http.StatusServiceUnavailable, "Too many pages")
}

func TestAFileToSaveNeedsNoServer(t *testing.T) {
	d := start(t, true, nil)
	w := ask(t, d, http.MethodGet, "/report?of=rollout/2026.11.3/office&file=1", nil, nil)
	has(t, w, http.StatusOK, "<style>", "Content-Security-Policy")
	if body := w.Body.String(); strings.Contains(body, "/assets/") || strings.Contains(body, "data-watch") {
		t.Error("the file refers to the server")
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="regild-2026.11.3-office.html"` {
		t.Errorf("the file is called %q", got)
	}
	if got := FileName("../../\"x\r\n" + strings.Repeat("é", 200)); strings.ContainsAny(got, "/\"\r\n") || len(got) > 120 {
		t.Errorf("a hostile id makes the name %q", got)
	}
}
