package docs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/printer"
	"go/token"
	"go/types"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/config"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/rollout"
)

func TestTheReadmesSettingsAreThoseOfTheCode(t *testing.T) {
	var b strings.Builder
	b.WriteString("| name | default | meaning |\n|---|---|---|\n")
	for _, s := range config.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, s.Default, s.Meaning)
	}
	between(t, "README.md", "settings", b.String())
}

func TestThePageOfCodesHoldsEveryCode(t *testing.T) {
	var b strings.Builder
	for _, status := range events.Statuses {
		fmt.Fprintf(&b, "\n## %s\n\n| code | meaning |\n|---|---|\n", status)
		for _, c := range events.Codes {
			if c.Status == status {
				fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Meaning)
			}
		}
	}
	b.WriteString("\n")
	between(t, "docs/codes.md", "codes", b.String())
}

func TestTheTableOfAnswersOnThePageIsTheOneOfTheCode(t *testing.T) {
	var b strings.Builder
	b.WriteString("| of | call | HTTP status | code | taken for | because |\n|---|---|---|---|---|---|\n")
	for _, r := range ecd.Table {
		apis, statuses := "any", "any"
		if len(r.APIs) > 0 {
			apis = strings.Join(r.APIs, ", ")
		}
		if r.Level == ecd.OfDesktop {
			statuses = "200"
		} else if len(r.Statuses) > 0 {
			statuses = strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Statuses), " ", ", "), "[]")
		}
		var codes []string
		for _, c := range r.Codes {
			switch c {
			case "":
				codes = append(codes, "none")
			case "*":
				codes = append(codes, "any, or none")
			case "?*":
				codes = append(codes, "any")
			default:
				codes = append(codes, "`"+c+"`")
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Level, apis, statuses, strings.Join(codes, ", "), r.Verdict, r.Source)
	}
	between(t, "docs/codes.md", "answers", b.String())
	between(t, "docs/zh/codes.md", "answers", b.String()) // the words of the code, as the log has them
}

// code is what looks like one of our codes or of a setting, in code style.
var code = regexp.MustCompile("`((?:[A-Z][a-z]+){2,}|Success|Throttled|Downgrade|Aborted|Paused|Superseded|Reconciled|Panicked)`")

// ofECD are the codes of ECD that are known to matter.
func ofECD(code string) bool {
	return slices.ContainsFunc(ecd.Table, func(r ecd.Row) bool { return slices.Contains(r.Codes, code) })
}

// apart are words of that form that are no codes of ours.
var apart = []string{
	"RebuildDesktops", "DescribeDesktops", "DescribeImages", "DescribeImageModifiedRecords", "ListTagResources", "SetDesktopMaintenance",
	"CreateSnapshot", "DescribeDesktopSessions", "SessionIdleTime", "AlertState",
	"StopDesktops", "StartDesktops", "RunCommand", "CreateImage", "CopyImage", "UploadImage", "AppendObject", "RedeliverError", "ConfigError", "PanicError", "ImageId", "DesktopStatus", "RequestId",
	"CallLimit", "MaxTick", // of internal/rollout/limits.go
	"AccessDenied", "ObjectNotAppendable", "PositionNotEqualToLength",
}

func TestEveryCodeThatAPageNamesExists(t *testing.T) {
	seen := 0
	for _, page := range []string{"README.md", "docs/codes.md", "docs/rollouts.md", "docs/guarantees.md", "docs/runbook.md"} {
		for _, m := range code.FindAllStringSubmatch(read(t, page), -1) {
			if slices.Contains(apart, m[1]) || ofECD(m[1]) {
				continue
			}
			seen++
			if _, ok := events.CodeNamed(m[1]); !ok {
				t.Errorf("%s names the code %s, which is not in events.Codes", page, m[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d codes were found on the pages", seen)
	}
}

func TestTheWavesOnThePageAreThoseOfTheDefaultStrategy(t *testing.T) {
	s := fleet.Default()
	var b strings.Builder
	b.WriteString("| fleet | canary | wave 2 | wave 3 | everybody | at once | failures that halt it: canary, wave 2, wave 3, last, over all |\n|---|---|---|---|---|---|---|\n")
	for _, n := range []int{5, 40, 200, 10_000} {
		ends := s.WaveEnds(n, s.Canary.Size(n, 0))
		var sizes, halts []string
		from := 0
		for i, end := range ends {
			sizes = append(sizes, thousands(end-from))
			halts = append(halts, thousands(s.AllowedFailuresInWave(i+1, end-from)+1))
			from = end
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s, %s |\n", thousands(n), strings.Join(sizes, " | "), thousands(s.AtOnce(n)),
			strings.Join(halts, ", "), thousands(s.AllowedFailures(n)+1))
	}
	between(t, "docs/rollouts.md", "waves", b.String())
	inChinese(t, "docs/zh/rollouts.md", "waves", b.String(), "fleet", "分组", "canary, wave 2, wave 3, last, over all", "金丝雀、第 2 批、第 3 批、最后一批、总计",
		"canary", "金丝雀", "wave 2", "第 2 批", "wave 3", "第 3 批", "everybody", "其余全部", "at once", "同时", "failures that halt it: ", "使其停止的失败数：")
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func TestTheOrderOnThePageIsTheOneOfRollouts(t *testing.T) {
	var members []desktop.Desktop
	for i := range 4 {
		members = append(members, desktop.Desktop{ID: fmt.Sprintf("ecd-gx2x1dhsmucyy%04d", i+1)})
	}
	f := &fleet.Fleet{Name: "office", Strategy: fleet.Default()}
	var b strings.Builder
	b.WriteString("| place | desktop | SHA-256 begins |\n|---|---|---|\n")
	for i, d := range rollout.Order(f, members) {
		fmt.Fprintf(&b, "| %d | `%s` | `%.4x…` |\n", i+1, d.ID, sha256.Sum256([]byte("office/"+d.ID)))
	}
	between(t, "docs/rollouts.md", "order", b.String())
	inChinese(t, "docs/zh/rollouts.md", "order", b.String(), "place", "次序", "| desktop |", "| 云电脑 |", "SHA-256 begins", "SHA-256 开头")
}

func TestTheCanaryTableIsComputed(t *testing.T) {
	sizes, shares := []int{1, 5, 10, 20, 50, 100}, []float64{0.5, 0.2, 0.1, 0.05, 0.02, 0.01}
	var b strings.Builder
	b.WriteString("| bad for |")
	for _, n := range sizes {
		fmt.Fprintf(&b, " canary of %d |", n)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(sizes)) + "\n")
	for _, p := range shares {
		fmt.Fprintf(&b, "| %.0f%% |", 100*p)
		for _, n := range sizes {
			fmt.Fprintf(&b, " %s |", percent(1-math.Pow(1-p, float64(n))))
		}
		b.WriteString("\n")
	}
	between(t, "docs/rollouts.md", "canary", b.String())
	inChinese(t, "docs/zh/rollouts.md", "canary", b.String(), "bad for", "有问题的比例", "canary of ", "金丝雀台数 ", "over ", "高于 ")
}

// percent never says that something is certain.
func percent(p float64) string {
	if p > 0.995 {
		return "over 99%"
	}
	return fmt.Sprintf("%.0f%%", 100*p)
}

// Found beside issue 7: pages and code named different limits.
func TestTheBoundsOnThePagesAreThoseOfTheCode(t *testing.T) {
	table := func(head string, rows ...[]string) string {
		var b strings.Builder
		b.WriteString(head + "\n" + strings.Repeat("|---", strings.Count(head, "|")-1) + "|\n")
		for _, r := range rows {
			b.WriteString("| " + strings.Join(r, " | ") + " |\n")
		}
		return b.String()
	}
	bounds := table("| what | at most | why |",
		[]string{"desktops in a request", thousands(events.MaxDesktops), "it has to fit a message of " + kib(events.MaxBytes)},
		[]string{"desktops in a wave", "the fleet", "a record of the journal holds " + thousands(number(t, "internal/rollout/total.go", "maxIDs")) + "; a larger wave takes several"},
		[]string{"desktops in a rollout", capacities(), "its journal must hold all that may have to be written; asked before the first wave (`FleetTooLarge`)"},
		[]string{"desktops in a rollback", "as many", "asked before it is entered"},
		[]string{"desktops in a rollback of which no journal tells", thousands(number(t, "handler/undo.go", "maxByRecords")), "ECD is asked about one after the other"},
		[]string{"desktops, or tags of desktops, in a listing of ECD", thousands(number(t, "internal/ecd/client.go", "maxPages")*number(t, "internal/ecd/client.go", "pageSize")) + ", " +
			thousands(number(t, "internal/ecd/client.go", "maxPages")*number(t, "internal/ecd/select.go", "maxTagIDs")), "page follows on page, within an invocation (`FleetTooLarge`)"},
		[]string{"a journal", mib(journal.MaxLog), "it is read into memory; what is left is kept for what was begun (`JournalFull`)"},
		[]string{"regions in a release", fmt.Sprint(number(t, "events/release.go", "maxRegions")), "ECD has fewer than 30"},
		[]string{"waves in a strategy", fmt.Sprint(fleet.MaxWaves), ""},
		[]string{"windows, blackouts in a strategy", fmt.Sprintf("%d, %d", fleet.MaxWindows, fleet.MaxBlackouts), ""},
		[]string{"accounts in `fleets.yaml`, beside the function's own", thousands(fleet.MaxAccounts), "each has a client"},
		[]string{"fleets in `fleets.yaml`, which is", fmt.Sprintf("%s, %s", thousands(fleet.MaxFleets), mib(fleet.MaxFile)), "it is read at each start"},
		[]string{"a check's command", kib(fleet.MaxCommand), "Base64 makes it what ECD takes"},
		[]string{"delay of a tick", plain(fmt.Sprintf("%d * time.Hour", int(rollout.MaxTick.Hours()))), "far below what a queue keeps"},
	)
	between(t, "docs/rollouts.md", "bounds", bounds)
	inChinese(t, "docs/zh/rollouts.md", "bounds", bounds, "| what | at most | why |", "| 对象 | 上限 | 原因 |",
		"desktops in a request", "一个请求中的云电脑", "it has to fit a message of ", "必须放得进一条消息：",
		"desktops in a wave | the fleet", "一个批次中的云电脑 | 整个分组", "a record of the journal holds ", "日志的一条记录最多 ", "; a larger wave takes several", " 台；更大的批次占多条",
		"desktops in a rollback of which no journal tells", "没有日志可查的回滚中的云电脑", "ECD is asked about one after the other", "逐台向 ECD 查询",
		"desktops in a rollback | as many", "一次回滚中的云电脑 | 同上", "asked before it is entered", "在登记之前检查",
		"desktops in a rollout", "一次发布过程中的云电脑", "about ", "约 ", " by the defaults, ", "（默认设置），", " with all that can be done besides", "（启用全部附加操作）",
		"its journal must hold all that may have to be written; asked before the first wave", "其日志必须容得下所有可能要写的内容；在第一批之前检查",
		"desktops, or tags of desktops, in a listing of ECD", "ECD 一次列出的云电脑，或云电脑的标签", "page follows on page, within an invocation", "逐页读取，须在一次调用之内",
		"a journal | ", "一个日志 | ", "it is read into memory; what is left is kept for what was begun", "会读入内存；余下的空间留给已开始的重建", "regions in a release", "一次发布中的地域", "ECD has fewer than 30", "ECD 的地域少于 30 个",
		"waves in a strategy", "一个策略中的批次", "windows, blackouts in a strategy", "一个策略中的时间窗口、禁止时段",
		"accounts in `fleets.yaml`, beside the function's own", "`fleets.yaml` 中的账号，不含函数自己的", "each has a client", "每个账号有一个客户端",
		"fleets in `fleets.yaml`, which is", "`fleets.yaml` 中的分组，及文件大小", "it is read at each start", "每次启动时读取",
		"a check's command", "检查命令", "Base64 makes it what ECD takes", "Base64 编码后是 ECD 接受的长度",
		"delay of a tick | 1 hour", "定时消息的延迟 | 1 小时", "far below what a queue keeps", "远小于队列的消息保留时间")
	between(t, "docs/journal.md", "bounds", table("| what | at most |",
		[]string{"a line", mib(journal.MaxLine)},
		[]string{"an append", mib(journal.MaxAppend)},
		[]string{"a log", mib(journal.MaxLog) + "; an append beyond is refused (`the log is full`)"},
		[]string{"keys in one listing", thousands(journal.MaxKeys) + "; ask with a longer prefix"},
		[]string{"attempts of a call to OSS", fmt.Sprint(number(t, "internal/journal/oss.go", "maxAttempts")) + ", with growing pauses, 5 seconds each"},
	))
}

func mib(n int) string { return fmt.Sprintf("%d MiB", n>>20) }
func kib(n int) string { return fmt.Sprintf("%d KB", n>>10) }

// number returns a whole constant that a file declares, exported or not.
func number(t *testing.T, path, name string) int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(path)), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		decl, is := d.(*ast.GenDecl)
		if !is || decl.Tok != token.CONST {
			continue
		}
		for _, spec := range decl.Specs {
			c := spec.(*ast.ValueSpec)
			for i, n := range c.Names {
				if n.Name != name {
					continue
				}
				v, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(c.Values[i]))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got, exact := constant.Int64Val(constant.ToInt(v.Value))
				if !exact {
					t.Fatalf("%s is no whole number", name)
				}
				return int(got)
			}
		}
	}
	t.Fatalf("%s declares no constant %s", path, name)
	return 0
}

// capacities says how many desktops a rollout takes, by ids of 21 bytes as ECD gives them
// today.
func capacities() string {
	plain, all := fleet.Default(), fleet.Default()
	all.Notice.Lead, all.Before.Command, all.Snapshot, all.Maintenance, all.StopFirst, all.Check.Command = 1, "x", fleet.SnapshotData, true, true, "x"
	about := func(s *fleet.Strategy) string {
		return thousands(rollout.Capacity(s, 21, journal.MaxLog) / 1000 * 1000)
	}
	return "about " + about(&plain) + " by the defaults, " + about(&all) + " with all that can be done besides"
}

func TestARollbackOfTheStatedSizeFitsALine(t *testing.T) {
	ids := make([]string, number(t, "internal/rollout/operation.go", "maxBack"))
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-%060d", i) // as long as an id may be
	}
	op := rollout.Operation{ID: "2026.11.3/office/rollback", Fleet: "office", Undoes: "2026.11.3/office", Back: map[string][]string{"m-84mztzatmlnys0000": ids}}
	records := rollout.Opening(op, op.ImageMade)
	lines, err := rollout.Encode(records)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 || len(lines) > journal.MaxLine {
		t.Errorf("a rollback of %d desktops takes %d records and %d bytes, a line at most %d", len(ids), len(records), len(lines), journal.MaxLine)
	}
}

// Both describe a message of MNS; neither package may import the other.
func TestALimitThatStandsTwiceIsOne(t *testing.T) {
	for _, p := range [][3]any{
		{"bytes of a message", events.MaxBytes, mns.MaxBody},
		{"bytes of a line and an append", true, journal.MaxLine <= journal.MaxAppend},
		{"bytes of one append of the handler and of the journal", true, number(t, "handler/view.go", "maxAppend") <= journal.MaxAppend},
		{"bytes of a plan's page and a message", true, events.MaxPlanPage < events.MaxBytes},
		{"bytes of a tick and a message", true, number(t, "handler/schedule.go", "maxTickBody") < events.MaxBytes},
		{"desktops of a call", desktop.MaxBatch, number(t, "internal/localcloud/ecd/rebuild.go", "maxRebuilds")},
	} {
		if p[1] != p[2] {
			t.Errorf("%s: %v and %v", p[0], p[1], p[2])
		}
	}
}

func TestTheLimitsOnThePageAreThoseOfTheCode(t *testing.T) {
	path := filepath.Join(root, "internal", "rollout", "limits.go")
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| name | is | why |\n|---|---|---|\n")
	rows := 0
	for _, d := range file.Decls {
		decl, is := d.(*ast.GenDecl)
		if !is || decl.Tok != token.CONST {
			continue
		}
		for _, spec := range decl.Specs {
			c := spec.(*ast.ValueSpec)
			var value bytes.Buffer
			if err := printer.Fprint(&value, set, c.Values[0]); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Names[0].Name, plain(value.String()), why(c.Names[0].Name, c.Doc.Text()))
			rows++
		}
	}
	if rows < 10 {
		t.Fatalf("only %d limits were found in %s", rows, path)
	}
	between(t, "docs/guarantees.md", "limits", b.String())
}

var times = regexp.MustCompile(`(?:(\d+) ?\* ?)?time\.(Second|Minute|Hour)`)

// why turns the comment of a constant into a sentence for a table.
func why(name, doc string) string {
	s := strings.TrimPrefix(strings.Join(strings.Fields(doc), " "), name+" ")
	s = strings.TrimPrefix(s, "is ")
	return strings.ToUpper(s[:1]) + s[1:]
}

// plain turns an expression of Go into words: 5 * time.Minute is 5 minutes.
func plain(expr string) string {
	return times.ReplaceAllStringFunc(expr, func(s string) string {
		m := times.FindStringSubmatch(s)
		unit := strings.ToLower(m[2])
		if m[1] == "" || m[1] == "1" {
			return "1 " + unit
		}
		return m[1] + " " + unit + "s"
	})
}

// logged is a message of the log that the runbook says to look for.
var logged = regexp.MustCompile(`"msg":"([^"]+)"`)

func TestTheLogMessagesOfTheRunbookAreWritten(t *testing.T) {
	sources := read(t, "main.go")
	files, err := filepath.Glob(filepath.Join(root, "handler", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of the handler: %v", err)
	}
	for _, path := range files {
		sources += read(t, "handler/"+filepath.Base(path))
	}
	found := logged.FindAllStringSubmatch(read(t, "docs/runbook.md"), -1)
	if len(found) < 8 {
		t.Errorf("the runbook names only %d messages of the log", len(found))
	}
	for _, m := range found {
		msg := strings.Join(strings.Fields(m[1]), " ") // the page may break its lines there
		if !strings.Contains(sources, `("`+msg+`"`) && !strings.Contains(sources, `slog.LevelInfo, "`+msg+`"`) {
			t.Errorf("the runbook names the log message %q, which nobody writes", msg)
		}
	}
}

// halts finds the codes with which a rollout halts by itself.
var halts = regexp.MustCompile(`(?:halt\(|KindHalted, .*Code: )events\.Code(\w+)`)

func TestTheRunbookSaysWhatToDoAboutEachWaitAndHalt(t *testing.T) {
	entry := func(name string) string {
		_, text, _ := strings.Cut(read(t, "docs/runbook.md"), "\n## "+name+"\n")
		text, _, _ = strings.Cut(text, "\n## ")
		return text
	}
	waits := entry("A request or rollout stands still")
	for _, c := range events.Codes {
		if c.Status == events.StatusDeferred && c.Name != events.CodePaused && c.Name != events.CodeUnlisted && !strings.Contains(waits, "`"+c.Name+"`") {
			t.Errorf("docs/runbook.md does not say until when %s lasts: %s", c.Name, c.Meaning)
		}
	}
	halted, seen := entry("A rollout has halted"), 0
	for _, dir := range []string{"handler", "internal/rollout"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			for _, m := range halts.FindAllStringSubmatch(read(t, dir+"/"+filepath.Base(path)), -1) {
				seen++
				if !strings.Contains(halted, "`"+m[1]+"`") {
					t.Errorf("docs/runbook.md does not say what to do about a rollout that halted with %s", m[1])
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d places were found in which a rollout halts", seen)
	}
}
