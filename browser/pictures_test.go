//go:build browser

package browser

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/dashboard"
	pages "github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report/reporttest"
)

// width of the pictures in the docs, in pixels.
const width = 1240

// picture takes a picture of what the page shows of so many lines of pixels, and
// writes it into the docs when asked to. Otherwise it sees to it that the docs
// have one, of that size.
func (x *tab) picture(name string, height int) {
	x.t.Helper()
	x.size(width, height)
	got, err := chromedp.Run(x.bounded(), chromedp.CaptureScreenshot())
	if err != nil {
		x.t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "images", name+".png")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			x.t.Fatal(err)
		}
	}
	was, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatalf("the docs lack a picture: make browser PICTURES=1 (%v)", err)
	}
	a, err := png.DecodeConfig(bytes.NewReader(got))
	if err != nil {
		x.t.Fatal(err)
	}
	b, err := png.DecodeConfig(bytes.NewReader(was))
	if err != nil || a.Width != b.Width || a.Height != b.Height {
		x.t.Errorf("%s is %d by %d (%v), the page is %d by %d: make browser PICTURES=1", path, b.Width, b.Height, err, a.Width, a.Height)
	}
	docs, err := os.ReadFile("../docs/dashboard.md")
	if err != nil || !strings.Contains(string(docs), "images/"+name+".png") {
		x.t.Errorf("docs/dashboard.md does not show %s (%v)", name, err)
	}
}

func TestThePicturesOfTheDocs(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400}, pages.English)
	x.media("", "light")
	x.picture("report", 1500)
	js[bool](x, `(document.getElementById('stand').value = 'failed', document.getElementById('stand').dispatchEvent(new Event('input')), document.getElementById('desktops').scrollIntoView(), true)`)
	x.picture("report-desktops", 700)
	x = openReport(t, reporttest.Options{Size: 400, Until: reporttest.Halted}, pages.Chinese)
	x.media("", "dark")
	x.picture("report-zh-dark", 1000)

	var s *stage
	s = serve(t, func(c *dashboard.Config) {
		c.Token = token
		c.Control = func(ctx context.Context, e events.Control) (string, error) { return s.control(ctx, e) }
	})
	x = open(t, s.url)
	x.media("", "light")
	x.goTo(s.url + "/login#" + strings.ReplaceAll(token, " ", "%20"))
	x.until(read)
	js[bool](x, `(document.getElementById('live').textContent = 'live, updated 01:00:00', true)`)
	x.picture("dashboard", 1000)
	x.goTo(s.url + "/control?of=rollout/2026.11.3/office&action=rollback")
	x.picture("question", 700)
}
