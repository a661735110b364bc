//go:build browser

package browser

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/regild/regild/internal/escape"
	pages "github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report/reporttest"
)

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if quoteAny(got) != quoteAny(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAReportSaysWhatHappened(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400}, pages.English)
	equal(t, "the sentence", x.text(".lead")[0], "Release 2026.11.3 (win11-office) has gone over fleet office in cn-hangzhou: 352 of 400 desktops rebuilt, 24 failed, 12 refused, 12 skipped, in 7 h 47 min.")
	equal(t, "the title", js[string](x, "document.title"), "Rollout 2026.11.3/office")
	equal(t, "the language", js[string](x, "document.documentElement.lang"), "en")
	if got := x.text("#timeline .label"); !slices.Equal(got, []string{"Done", "wave 1 (canary)", "wave 2", "wave 3 (everybody)", "Stood still", "Said", ""}) {
		t.Errorf("the time line has %q", got)
	}
	equal(t, "standstills", len(x.text("#timeline > .scroll tbody tr")), 5)
	equal(t, "causes", len(x.text(".cause")), 3)
	if got := x.text(".cause dd")[2]; !strings.Contains(got, "1CBAFFAB-B697-4049-A9B1-000000000001") {
		t.Errorf("the first cause has no request id of ECD: %q", got)
	}
	if got := x.text("#said tbody tr"); len(got) != 5 || !strings.Contains(got[1], "li.na@example.com") || !strings.Contains(got[1], "printing works") {
		t.Errorf("who said what: got %q", got)
	}
}

func TestTheTableIsSortedSearchedAndFiltered(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400}, pages.English)
	first := func() string { return x.text("#table tbody td")[0] }
	equal(t, "rows of the first page", len(x.text("#table tbody tr")), 100)
	equal(t, "what is shown", x.text("#shown")[0], "1–100 of 400")

	x.click(`th[data-key="id"] button`)
	x.click(`th[data-key="id"] button`)
	equal(t, "sorted down", first(), "ecd-gx2x1dhsmucy00400")
	equal(t, "aria-sort", js[string](x, `document.querySelector('th[data-key="id"]').getAttribute('aria-sort')`), "descending")
	x.click(`th[data-key="id"] button`)
	equal(t, "in the order they came again", first(), "ecd-gx2x1dhsmucy00001")
	x.click(`th[data-key="took"] button`)
	x.click(`th[data-key="took"] button`)
	equal(t, "the longest", x.text(`#table tbody tr:first-child td:nth-last-child(2)`)[0], "24 min")
	x.click("#next")
	equal(t, "the second page", x.text("#shown")[0], "101–200 of 400")

	x.write("#search", "checkfailed spooler")
	equal(t, "searched", x.text("#shown")[0], "1–12 of 12 (of 400 in all)")
	x.write("#search", " nothing like it")
	equal(t, "found nothing", x.text("#shown")[0], "No desktop matches.")
	js[bool](x, `(document.getElementById('search').value = '', document.getElementById('search').dispatchEvent(new Event('input')))`)

	x.click(`.cause:last-of-type a[data-stand]`)
	equal(t, "the cause's own", x.text("#shown")[0], "1–12 of 12 (of 400 in all)")
	equal(t, "filtered by", js[string](x, `document.getElementById('stand').value + ' ' + document.getElementById('code').value`), "refused DataDiskNeedsConsent")
}

func TestTwentyThousandDesktopsAreAHundredRowsAtATime(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 20000}, pages.English)
	equal(t, "rows", len(x.text("#table tbody tr")), 100)
	equal(t, "what is shown", x.text("#shown")[0], "1–100 of 20,000")
	took := js[map[string]float64](x, `(() => {
		const time = (f) => { const t = performance.now(); f(); document.body.offsetHeight; return performance.now() - t; };
		const input = (id, v) => { document.getElementById(id).value = v; document.getElementById(id).dispatchEvent(new Event('input')); };
		return {
			search: time(() => input('search', 'gx2x1dhsmucy19999')),
			all: time(() => input('search', '')),
			sort: time(() => document.querySelector('th[data-key="message"] button').click()),
			filter: time(() => input('stand', 'failed')),
		};
	})()`)
	t.Logf("milliseconds on this machine: %v", took)
	equal(t, "what is shown", x.text("#shown")[0], "1–100 of 1,000 (of 20,000 in all)")
}

func TestNothingFromOutsideBreaksOutOfAReport(t *testing.T) {
	x := openReport(t, reporttest.Options{Hostile: true}, pages.English)
	x.click(`th[data-key="id"] button`)
	unharmed(t, x)
	want := escape.Terminal("ecd-" + reporttest.Hostile)
	if got := x.text("#table tbody td"); !slices.Contains(got, want) {
		t.Errorf("the table does not show the hostile name as %q, as the rest of the page would", want)
	}
	if got := x.text(".lead")[0]; !strings.Contains(got, `<img src=x onerror="window.hacked=1">`) || !strings.Contains(got, `\u202e`) {
		t.Errorf("the sentence does not show the name as it is: %q", got)
	}
}

// unharmed says that no text became anything else.
func unharmed(t *testing.T, x *tab) {
	t.Helper()
	equal(t, "what ran", js[bool](x, "'hacked' in window"), false)
	equal(t, "elements that are not ours", js[int](x, `document.querySelectorAll('img, iframe, object, embed, body script:not([src]):not([type]) ~ script, [onerror], [onclick], [style]').length`), 0)
}

func TestWhatIsSavedAsCSVIsEscapedAsEverywhere(t *testing.T) {
	x := openReport(t, reporttest.Options{Hostile: true, Size: 20}, pages.English)
	js[bool](x, `(URL.createObjectURL = (file) => { file.text().then((text) => { window.saved = text; }); return '#'; }, true)`)
	x.click("#csv")
	x.until(`'saved' in window`)
	saved := js[string](x, `window.saved`)
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(saved, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 21 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	for _, cells := range rows {
		for _, c := range cells {
			if c != escape.Terminal(c) {
				t.Errorf("%q is in the file as it came", c)
			}
		}
	}
	if want := `"` + strings.ReplaceAll(escape.Terminal("ecd-"+reporttest.Hostile), `"`, `""`) + `"`; !strings.Contains(saved, want) {
		t.Errorf("the file does not show the hostile name as %s", want)
	}
}

func TestAReportInChinese(t *testing.T) {
	x := openReport(t, reporttest.Options{}, pages.Chinese)
	equal(t, "the language", js[string](x, "document.documentElement.lang"), "zh-CN")
	equal(t, "the sentence", x.text(".lead")[0], "发布 2026.11.3（win11-office）已在分组 office（cn-hangzhou）推送完毕：已重建 32 台（共 40 台云电脑），失败 4 台，拒绝 1 台，跳过 3 台，历时 7 小时 29 分。")
	equal(t, "what is shown", x.text("#shown")[0], "第 1–40 行，共 40 行")
}

func TestTheDigestIsCheckedOnThePage(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400}, pages.English)
	x.click("#check")
	x.until(`document.getElementById('checked').textContent.startsWith('Agrees: 400 outcomes give sha256:')`)
	// An outcome that somebody changed in the file shows.
	js[bool](x, `(() => { const d = document.getElementById('digest'); d.textContent = d.textContent.replace(/.$/, (c) => c === '0' ? '1' : '0'); return true; })()`)
	x.click("#check")
	x.until(`document.getElementById('checked').textContent.startsWith('Does not agree')`)
}

func TestAReportIsUsedByKeyboardAlone(t *testing.T) {
	x := openReport(t, reporttest.Options{}, pages.English)
	x.keys(kb.Tab)
	equal(t, "the first stop", js[string](x, "document.activeElement.textContent"), "Skip to the content")
	x.keys(kb.Enter)
	x.until("document.activeElement.id === 'main'")
	x.slash()
	equal(t, "the search", js[string](x, "document.activeElement.id"), "search")
	x.keys("failed")
	equal(t, "what was typed", js[string](x, "document.getElementById('search').value"), "failed")
	for range 40 {
		if js[bool](x, `document.activeElement.parentElement.dataset.key === 'done'`) {
			break
		}
		x.keys(kb.Tab)
	}
	x.keys(kb.Enter)
	equal(t, "sorted by keyboard", js[string](x, `document.querySelector('th[data-key="done"]').getAttribute('aria-sort')`), "ascending")
	equal(t, "the focus stays", js[string](x, `document.activeElement.parentElement.dataset.key`), "done")
	equal(t, "the focus is seen", js[string](x, `getComputedStyle(document.activeElement).outlineStyle`), "solid")
}

func TestColoursFollowTheSystemAndTheButton(t *testing.T) {
	x := openReport(t, reporttest.Options{}, pages.English)
	background := func() string { return js[string](x, "getComputedStyle(document.body).backgroundColor") }
	const light, dark = "rgb(244, 246, 248)", "rgb(14, 17, 22)"
	x.media("", "light")
	equal(t, "a light system", background(), light)
	x.media("", "dark")
	equal(t, "a dark system", background(), dark)
	x.click("#theme")
	equal(t, "light by the button", background(), light)
	x.media("", "light")
	x.click("#theme")
	equal(t, "dark by the button", background(), dark)
	equal(t, "what the button says", x.text("#theme")[0], "Colours: dark")
	x.click("#theme")
	equal(t, "the system's again", background(), light)
}

func TestAReportIsPrinted(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400}, pages.English)
	x.media("print", "dark")
	equal(t, "paper is white in the dark", js[string](x, "getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
	equal(t, "no buttons on paper", js[string](x, "getComputedStyle(document.querySelector('.top')).display"), "none")
	js[bool](x, `window.dispatchEvent(new Event('beforeprint'))`)
	equal(t, "rows on paper", len(x.text("#table tbody tr")), 400)
	equal(t, "what is folded on paper", js[int](x, `document.querySelectorAll('details:not([open])').length`), 0)
	x.size(760, 1000)
	equal(t, "nothing is cut off", js[bool](x, `[...document.querySelectorAll('.waves, #waves table, #timeline table')].every((e) => e.getBoundingClientRect().right <= innerWidth)`), true)
	pdf, err := chromedp.Call(x.bounded(), page.PrintToPDF, page.PrintToPDFParams{})
	if err != nil || !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) {
		t.Errorf("printing: %v", err)
	}
	js[bool](x, `window.dispatchEvent(new Event('afterprint'))`)
	equal(t, "rows on the screen again", len(x.text("#table tbody tr")), 100)
}

func TestARequestHasAReportToo(t *testing.T) {
	url := file(t, reporttest.Request("ticket-4711", 30), pages.English)
	x := open(t, url)
	x.goTo(url)
	if got := x.text(".lead")[0]; !strings.HasPrefix(got, "Request ticket-4711 in cn-hangzhou for image m-84mztzatmlnys0001 is finished: ") {
		t.Errorf("got %q", got)
	}
	x.click("#check")
	x.until(`document.getElementById('checked').textContent.startsWith('Agrees: 30 outcomes')`)
}

func TestPagesFitANarrowScreen(t *testing.T) {
	x := openReport(t, reporttest.Options{Size: 400, Until: reporttest.Halted}, pages.English)
	x.size(390, 900)
	equal(t, "a report's width", js[int](x, "document.documentElement.scrollWidth"), 390)
	x = serve(t, nil).open()
	x.size(390, 900)
	equal(t, "the board's width", js[int](x, "document.documentElement.scrollWidth"), 390)
}
