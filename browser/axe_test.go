//go:build browser

package browser

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	pages "github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report/reporttest"
)

// A finding is what axe-core says of a page.
type finding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// axe holds the page against rules of axe-core and reports what is serious.
func (x *tab) axe(what, options string, least int) {
	x.t.Helper()
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		x.t.Fatalf("axe-core is missing: run make browser, which installs it (%v)", err)
	}
	x.do("loading axe-core", chromedp.Evaluate[chromedp.Void](string(source)+";0"))
	found := js[struct {
		Passes     int       `json:"passes"`
		Violations []finding `json:"violations"`
	}](x, `axe.run(document, `+options+`).then((r) => ({ passes: r.passes.length,
		violations: r.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + (n.any[0]?.message || '')) })) }))`)
	if found.Passes < least {
		x.t.Errorf("%s: axe-core found only %d rules to hold it against", what, found.Passes)
	}
	for _, v := range found.Violations {
		text := fmt.Sprintf("%s: %s: %s (%s): %q", what, v.Impact, v.Help, v.ID, v.Nodes)
		if v.Impact == "serious" || v.Impact == "critical" {
			x.t.Error(text)
		} else {
			x.t.Log(text)
		}
	}
}

// schemes looks at a page in light and in dark.
func (x *tab) schemes(what string) {
	x.t.Helper()
	x.media("", "light")
	x.axe(what+", light", "{}", 10)
	x.media("", "dark") // where only colours differ
	x.axe(what+", dark", "{ runOnly: ['color-contrast'] }", 1)
}

func TestAxeFindsNothingSeriousInReports(t *testing.T) {
	for name, c := range map[string]struct {
		o    reporttest.Options
		lang pages.Lang
	}{
		"ended":    {reporttest.Options{}, pages.English},
		"halted":   {reporttest.Options{Until: reporttest.Halted}, pages.English},
		"underway": {reporttest.Options{Until: reporttest.Underway}, pages.Chinese},
	} {
		t.Run(name, func(t *testing.T) {
			x := openReport(t, c.o, c.lang)
			js[bool](x, `document.querySelectorAll('details').forEach((d) => { d.open = true; }) || true`)
			x.schemes(name)
		})
	}
}
