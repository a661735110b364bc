//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

var update = flag.Bool("update", false, "write the pictures of the docs anew")

// names are what the distributions call a browser that can be driven.
var names = []string{"chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// limit bounds one test: each takes a second or two.
const limit = time.Minute

var browser context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path := os.Getenv("REGILD_BROWSER")
	for _, name := range names {
		if found, err := exec.LookPath(name); path == "" && err == nil {
			path = found
		}
	}
	if path == "" {
		fmt.Fprintf(os.Stderr, "there is no browser: install %s, or set REGILD_BROWSER to the path of a Chromium\n", names[0])
		return 1
	}
	// Only pages of ours are opened, so the sandbox, which containers often cannot have, protects from nothing here.
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("hide-scrollbars", true))...)
	defer cancel()
	browser, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintf(os.Stderr, "the browser %s does not start: %v\n", path, err)
		return 1
	}
	return m.Run()
}

// A tab is one page in the browser. It takes note of everything that the page
// asks for and complains about.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	faults   []string
}

// open returns a new tab, which fails the test in the end if the page asked for
// anything that does not begin with own, or wrote to the console.
func open(t *testing.T, own string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	x := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, x.note); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, f := range x.faults {
			t.Errorf("the page complained: %s", f)
		}
		if len(x.requests) == 0 {
			t.Error("the page itself was not seen among the requests, so no other would have been")
		}
		for _, r := range x.requests {
			if !strings.HasPrefix(r, own) && !strings.HasPrefix(r, "data:") && !strings.HasPrefix(r, "blob:") {
				t.Errorf("the page asked for %s", r)
			}
		}
	})
	return x
}

func (x *tab) note(ev any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		x.requests = append(x.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		x.faults = append(x.faults, e.ExceptionDetails.Text+" "+detail(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		x.faults = append(x.faults, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		if e.Entry.Level != "verbose" && e.Entry.Level != "info" {
			x.faults = append(x.faults, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func detail(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return d.Exception.Description
}

// forgive takes a complaint that is meant off the list, once the browser has told of it.
func (x *tab) forgive(part string) {
	x.t.Helper()
	if !x.wait(func(context.Context) bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		before := len(x.faults)
		x.faults = slices.DeleteFunc(x.faults, func(f string) bool { return strings.Contains(f, part) })
		return len(x.faults) < before
	}) {
		x.t.Errorf("the page did not complain of %q", part)
	}
}

// bounded is the tab's context with a limit.
func (x *tab) bounded() context.Context {
	ctx, cancel := context.WithTimeout(x.ctx, limit)
	x.t.Cleanup(cancel)
	return ctx
}

func (x *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	x.t.Helper()
	if err := chromedp.Do(x.bounded(), steps...); err != nil {
		x.t.Fatalf("%s: %v", what, err)
	}
}

func (x *tab) goTo(url string) { x.t.Helper(); x.do("opening "+url, chromedp.Navigate(url)) }

// js evaluates an expression.
func js[T any](x *tab, expression string) T {
	x.t.Helper()
	v, err := chromedp.Run(x.bounded(), chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		x.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text returns what stands in the elements that a selector means, one after the
// other.
func (x *tab) text(selector string) []string {
	x.t.Helper()
	return js[[]string](x, `[...document.querySelectorAll(`+quote(selector)+`)].map((e) => e.textContent.trim())`)
}

// patience is how long a page may take to show what it is to show.
const patience = 15 * time.Second

// until waits for an expression to be true of a page that is loaded, also while it is another one.
func (x *tab) until(expression string) {
	x.t.Helper()
	expression = `document.readyState === 'complete' && (` + expression + `)`
	var err error
	if !x.wait(func(ctx context.Context) (ok bool) {
		ok, err = chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		return ok && err == nil
	}) {
		text, _ := chromedp.Run(x.bounded(), chromedp.Evaluate[string]("location.href + document.body.innerText.slice(0, 500)"))
		x.t.Fatalf("waiting for %s: last %v; the page: %s", expression, err, text)
	}
}

// wait asks again and again, and says whether the answer was yes in the end.
func (x *tab) wait(yes func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !yes(ctx) {
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
	return true
}

// on does something to the first element e that a selector means, once it is there and a person could click on it.
// It is found and used in one step in the page: a page that keeps itself up to date puts another in its place at any time.
func (x *tab) on(selector, do string) {
	x.t.Helper()
	x.until(`document.querySelector(` + quote(selector) + `) !== null`)
	covered := js[string](x, `((e) => {
		e.scrollIntoView({ block: 'center', behavior: 'instant' });
		const at = e.getBoundingClientRect(), hit = document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2);
		if (!at.width || !at.height || !e.contains(hit)) return 'it is covered by ' + hit?.outerHTML.slice(0, 200);
		`+do+`;
		return '';
	})(document.querySelector(`+quote(selector)+`))`)
	if covered != "" {
		x.t.Fatalf("%s: %s", selector, covered)
	}
}

func (x *tab) click(selector string) { x.t.Helper(); x.on(selector, "e.click()") }

// write writes into a field, behind what is in it.
func (x *tab) write(selector, text string) {
	x.t.Helper()
	x.on(selector, `e.focus(); e.setRangeText(`+quote(text)+`, e.value.length, e.value.length, 'end'); e.dispatchEvent(new InputEvent('input', { bubbles: true }))`)
}

// keys presses keys, as a person would.
func (x *tab) keys(keys string) { x.t.Helper(); x.do("pressing keys", chromedp.KeyEvent(keys)) }

// slash presses the key that goes to the search. As in a real keyboard, the
// character comes with the key: a page that takes the key takes it too.
func (x *tab) slash() {
	x.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		if _, err := chromedp.Call(x.bounded(), input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: "/", Code: "Slash", Text: map[bool]string{true: "/"}[kind == input.DispatchKeyEventTypeKeyDown]}); err != nil {
			x.t.Fatal(err)
		}
	}
}

// media makes the page believe in a colour scheme and a medium.
func (x *tab) media(medium, scheme string) {
	x.t.Helper()
	if _, err := chromedp.Call(x.bounded(), emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium,
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
		x.t.Fatal(err)
	}
}

// size gives the page a window of so many pixels.
func (x *tab) size(width, height int) {
	x.t.Helper()
	if _, err := chromedp.Call(x.bounded(), emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: int64(height), DeviceScaleFactor: 1}); err != nil {
		x.t.Fatal(err)
	}
	x.until(fmt.Sprintf("innerWidth === %d && innerHeight === %d", width, height))
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// file writes the page of a report into a file and returns its address.
func file(t *testing.T, records []rollout.Record, lang page.Lang) string {
	t.Helper()
	lines := reporttest.Lines(records)
	r, err := report.Of(lines)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = page.Report(out, r, page.Extras{Source: page.Source{Key: "rollout/2026.11.3~2foffice.jsonl", Bytes: len(lines), SHA256: strings.Repeat("ab", 32)}},
		page.Options{Lang: lang, Zone: reporttest.Hangzhou, Now: r.Last.Add(10 * time.Minute), Version: "regild v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.ToSlash(path)
}

// openReport opens the page of a report.
func openReport(t *testing.T, o reporttest.Options, lang page.Lang) *tab {
	t.Helper()
	url := file(t, reporttest.Rollout(o), lang)
	x := open(t, url)
	x.goTo(url)
	return x
}

func quoteAny(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// What every test relies on: a page that asks for something or complains is
// noticed.
func TestATabNoticesRequestsAndComplaints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.html")
	const bad = `<!doctype html><title>bad</title><meta http-equiv="Content-Security-Policy" content="script-src 'unsafe-inline'"><img src="missing.png"><link rel="icon" href="data:,"><script>console.error('one'); eval('1')</script>`
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	x := open(t, "file://"+filepath.ToSlash(filepath.Dir(path)))
	x.goTo("file://" + filepath.ToSlash(path))
	x.until("document.title === 'bad'")
	x.forgive("ERR_FILE_NOT_FOUND")
	x.forgive("console.error")
	x.forgive("unsafe-eval")
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.ContainsFunc(x.requests, func(r string) bool { return strings.HasSuffix(r, "/missing.png") }) {
		t.Errorf("got the requests %q, want the picture among them", x.requests)
	}
}
