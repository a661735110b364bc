package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/docs/zh"
	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

// draw makes the file of a report.
func draw(t *testing.T, o reporttest.Options, lang Lang) string {
	t.Helper()
	r, err := report.Of(reporttest.Lines(reporttest.Rollout(o)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Report(&b, r, Extras{Source: Source{Key: "rollout/x.jsonl", Bytes: 1, SHA256: "ab"}}, Options{Lang: lang, Zone: reporttest.Hangzhou, Now: r.Last, Version: "regild"}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestEveryTextIsThereInBothLanguages(t *testing.T) {
	for key, pair := range texts {
		if pair[0] == "" || pair[1] == "" {
			t.Errorf("%s lacks a language: %q", key, pair)
		}
		if en, zh := verb.FindAllString(pair[0], -1), verb.FindAllString(pair[1], -1); !slices.Equal(en, zh) {
			t.Errorf("%s has the arguments %q and %q", key, en, zh)
		}
		if strings.ContainsAny(pair[1], ",;") {
			t.Errorf("%s has half-width punctuation in Chinese: %q", key, pair[1])
		}
	}
}

func TestEveryCodeIsExplainedInChinese(t *testing.T) {
	for _, c := range events.Codes {
		if zh.Codes()[c.Name] == "" {
			t.Errorf("%s has no Chinese meaning (docs/zh/codes.md): %s", c.Name, c.Meaning)
		}
	}
}

var used = regexp.MustCompile(`\{\{[^}]*?\b(?:t|count) "([a-z.]+)"|\((?:t|count) "([a-z.]+)"|\bt\('([a-z.]+)'`)

// A key that is missing would stand on the page in brackets.
func TestEveryKeyOfTheTemplatesAndTheScriptHasAText(t *testing.T) {
	all := JS
	for _, name := range []string{"parts.tmpl", "report.tmpl", "board.tmpl"} {
		all += asset(name)
	}
	found := 0
	for _, m := range used.FindAllStringSubmatch(all, -1) {
		found++
		key := m[1] + m[2]
		if m[3] != "" {
			key = "js." + m[3]
		}
		_, one := texts[key]
		_, many := texts[key+".n"]
		if !one && !many && !strings.HasSuffix(key, ".") {
			t.Errorf("%q is not among the texts", key)
		}
	}
	if found < 150 {
		t.Errorf("found only %d keys", found)
	}
	for _, s := range report.States {
		if _, ok := texts["state."+string(s)]; !ok {
			t.Errorf("state %s has no text", s)
		}
	}
	for _, s := range report.Stands {
		if _, ok := texts["stand."+string(s)]; !ok {
			t.Errorf("%s has no text", s)
		}
	}
	for _, w := range events.Whats {
		if _, ok := texts["what."+string(w)]; !ok {
			t.Errorf("what happened %s has no text", w)
		}
	}
	for _, kind := range []string{"rollout", "request"} {
		if _, ok := texts["control.told."+kind]; !ok {
			t.Errorf("where a %s is refused has no text", kind)
		}
	}
	for _, a := range events.Actions {
		if _, ok := texts["action."+a]; !ok {
			t.Errorf("action %s has no text", a)
		}
	}
}

func TestAReportIsWholeInEveryMomentAndLanguage(t *testing.T) {
	for _, lang := range Langs {
		for _, until := range []reporttest.Moment{reporttest.Ended, reporttest.Approval, reporttest.Halted, reporttest.Underway} {
			for _, hostile := range []bool{false, true} {
				html := draw(t, reporttest.Options{Until: until, Hostile: hostile}, lang)
				for _, bad := range []string{"%!", "[js.", "ZgotmplZ", "<no value>", " style=", " onclick=", "http://", "<img"} {
					body := strings.Replace(html, JS, "", 1)
					if strings.Contains(body, bad) {
						at := strings.Index(body, bad)
						t.Errorf("%s, moment %d: the page has %q: …%s…", lang, until, bad, body[max(0, at-80):min(len(body), at+80)])
					}
				}
				if !strings.HasSuffix(html, "</html>\n") {
					t.Errorf("%s, moment %d: the page is cut off", lang, until)
				}
			}
		}
	}
}

func TestTheSameReportIsTheSameFile(t *testing.T) {
	first, second := draw(t, reporttest.Options{Size: 200}, English), draw(t, reporttest.Options{Size: 200}, English)
	if first != second {
		t.Error("two drawings differ")
	}
}

func TestAReportBesideAPlan(t *testing.T) {
	r, err := report.Of(reporttest.Lines(reporttest.Rollout(reporttest.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	p := events.Plan{RolloutID: r.ID, Fleet: r.Fleet, RegionID: r.RegionID, ImageID: r.ImageID, PlanDigest: "sha256:changed",
		Waves: []events.PlanWave{{N: 1, Name: "canary", Desktops: []events.PlanDesktop{{ID: r.Desktops[0].ID, Action: events.PlanSkip, Code: "X<b>"}, {ID: "ecd-left", Action: events.PlanRebuild}}}}}
	c := r.Compare(p)
	for lang, wants := range map[Lang][]string{
		English: {"the plan was changed, or is not whole", "wave 1, skip <code>X&lt;b&gt;</code>", "did not come", "not in the plan", "0 went as planned, 41 otherwise, 0 are still to come"},
		Chinese: {"计划被改动或不完整", "未加入", "不在计划中"},
	} {
		var b bytes.Buffer
		if err := Report(&b, r, Extras{Comparison: &c}, Options{Lang: lang, Now: r.Last}); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: the page has no %q", lang, want)
			}
		}
	}
}

// The file has what the text and the JSON of a report have: which snapshots there are,
// how old and how large.
func TestAReportListsSnapshotsOfDataDisks(t *testing.T) {
	for _, hostile := range []bool{false, true} {
		records := reporttest.Rollout(reporttest.Options{Hostile: hostile})
		r, err := report.Of(reporttest.Lines(records))
		if err != nil {
			t.Fatal(err)
		}
		id := "s-1"
		if hostile {
			id = reporttest.Hostile
		}
		for i, snapshot := range []string{id, "s-2"} {
			records = append(records, rollout.Record{Kind: rollout.KindSafe, At: r.Last.Add(-time.Duration(i+1) * time.Hour), N: 1, Desktops: []string{r.Desktops[i].ID}, Snapshot: snapshot, GiB: 200 * i})
		}
		if r, err = report.Of(reporttest.Lines(records)); err != nil {
			t.Fatal(err)
		}
		for lang, wants := range map[Lang][]string{English: {"regild deletes none", "s-2", "200 GiB", "not known", "2 h"}, Chinese: {"数据盘快照", "s-2", "200 GiB", "未知", "2 小时"}} {
			var b bytes.Buffer
			if err := Report(&b, r, Extras{}, Options{Lang: lang, Zone: reporttest.Hangzhou, Now: r.Last.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			_, section, _ := strings.Cut(b.String(), `<section id="snapshots"`)
			section, _, _ = strings.Cut(section, "</section>")
			for _, want := range append(wants, r.Desktops[1].ID) {
				if !strings.Contains(section, want) {
					t.Errorf("%s: the page has no %q: %s", lang, want, section)
				}
			}
			if strings.Contains(section, "<img") || strings.Count(section, "<tr>") != 3 {
				t.Errorf("%s: %s", lang, section)
			}
		}
	}
	if html := draw(t, reporttest.Options{}, English); strings.Contains(html, "regild deletes none") {
		t.Error("a rollout without snapshots speaks of them")
	}
}

func TestThePolicyNamesWhatThePageCarries(t *testing.T) {
	html := draw(t, reporttest.Options{}, English)
	if !strings.Contains(html, "<style>"+CSS+"</style>") || !strings.Contains(html, "<script>"+JS+"</script>") {
		t.Error("the page does not carry its style and script as their hashes were taken")
	}
	if p := Policy(); !strings.HasPrefix(p, "default-src 'none';") || strings.Contains(p, "unsafe") {
		t.Errorf("the policy is %q", p)
	}
}

var sheetJSON = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// What the browser gets of a desktop is what the report says of it.
func TestTheTableHoldsEveryDesktopAsItIs(t *testing.T) {
	o := reporttest.Options{Size: 200, Hostile: true}
	r, err := report.Of(reporttest.Lines(reporttest.Rollout(o)))
	if err != nil {
		t.Fatal(err)
	}
	m := sheetJSON.FindStringSubmatch(draw(t, o, English))
	if m == nil {
		t.Fatal("the page has no data, or a text ended it")
	}
	var s sheet
	if err := json.Unmarshal([]byte(m[1]), &s); err != nil {
		t.Fatal(err)
	}
	for i, d := range r.Desktops {
		got := report.Desktop{ID: s.ID[i], Wave: s.Wave[i], Stand: report.Stand(s.Stands[s.Stand[i]]), Code: s.Words[s.Code[i]],
			Message: strings.ReplaceAll(s.Words[s.Message[i]], idMark, s.ID[i]), From: s.Words[s.From[i]], To: s.Words[s.To[i]], Attempts: s.Tries[i],
			RequestID: s.Words[s.Request[i]], Accepted: when(s.Accepted[i]), Done: when(s.Done[i]), Nth: s.Nth[i]}
		d.Accepted, d.Done = when(seconds(d.Accepted)), when(seconds(d.Done))
		if !reflect.DeepEqual(got, d) {
			t.Fatalf("desktop %d: got %+v, want %+v", i, got, d)
		}
	}
	if len(s.Words) > 60 {
		t.Errorf("the dictionary has %d words for 200 desktops that share their messages", len(s.Words))
	}
}

func when(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func TestClocksSetForwardAndBackAreWritten(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	got := offsets(zone, from, from.AddDate(0, 0, 3))
	want := [][2]int64{{0, 7200}, {time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC).Unix(), 3600}, {time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC).Unix(), 7200}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := offsets(reporttest.Hangzhou, from, from); !reflect.DeepEqual(got, [][2]int64{{0, 28800}}) {
		t.Errorf("a fixed zone: got %v", got)
	}
}

func TestLengthsAndNumbers(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                            {"0 s", "0 秒"},
		-90 * time.Second:            {"-1 min 30 s", "-1 分 30 秒"},
		59 * time.Second:             {"59 s", "59 秒"},
		time.Hour:                    {"1 h", "1 小时"},
		61 * time.Minute:             {"1 h 1 min", "1 小时 1 分"},
		50*time.Hour + 3*time.Minute: {"2 d 2 h", "2 天 2 小时"},
	} {
		if got := [2]string{English.span(d), Chinese.span(d)}; got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 20000: "20,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "0%"}, {0, 5, "0%"}, {5, 5, "100%"}, {1, 1000, "1%"}, {999, 1000, "99%"}, {1, 2, "50%"}} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: got %s, want %s", c.part, c.whole, got, c.want)
		}
	}
}

func TestLanguages(t *testing.T) {
	for in, want := range map[string]Lang{"": English, "en": English, "en-GB": English, "zh": Chinese, "ZH-cn": Chinese} {
		if got, err := ParseLang(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	if _, err := ParseLang("tlh"); err == nil || !strings.Contains(err.Error(), "use en or zh") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyIsInvisibleInABar(t *testing.T) {
	boxes := shares(events.Counts{Fleet: 20000, Completed: 19999, Failed: 1}, English)
	if len(boxes) != 2 || boxes[1].Width == "0.00%" || !strings.HasPrefix(boxes[1].Width, "0.7") && !strings.HasPrefix(boxes[1].Width, "0.8") {
		t.Errorf("got %+v", boxes)
	}
	if shares(events.Counts{}, English) != nil {
		t.Error("a bar of nobody has parts")
	}
}

func TestTheAxisFitsAnyLength(t *testing.T) {
	from := time.Date(2026, 11, 23, 8, 7, 0, 0, time.UTC)
	for _, d := range []time.Duration{0, time.Second, time.Minute, time.Hour, 9 * time.Hour, 50 * time.Hour, 14 * 24 * time.Hour, 400 * 24 * time.Hour, 5000 * 24 * time.Hour} {
		marks := ticks(scale{from, from.Add(d)}, reporttest.Hangzhou)
		if len(marks) > 20 {
			t.Errorf("%s: %d marks do not fit", d, len(marks))
		}
		for _, m := range marks {
			var x float64
			if _, err := fmt.Sscanf(m.X, "%f%%", &x); err != nil || x < 0 || x > 100 {
				t.Errorf("%s: a mark at %s", d, m.X)
			}
		}
	}
}
