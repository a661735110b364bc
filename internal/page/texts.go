package page

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/docs/zh"
	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/report"
)

// A Lang is a language that pages are written in.
type Lang string

// The languages.
const (
	English Lang = "en"
	Chinese Lang = "zh"
)

// Langs lists the languages.
var Langs = []Lang{English, Chinese}

// ParseLang reads a language's code, such as zh or zh-CN; "" is English.
func ParseLang(s string) (Lang, error) {
	switch base, _, _ := strings.Cut(strings.ToLower(s), "-"); base {
	case "", "en":
		return English, nil
	case "zh":
		return Chinese, nil
	}
	return "", fmt.Errorf("the language %.20q is not known; use en or zh", s)
}

// tag is the language as HTML wants it.
func (l Lang) tag() string {
	if l == Chinese {
		return "zh-CN"
	}
	return "en"
}

// text returns a text of the page, with its arguments put in. A key that the
// language has not is a fault of this package, which a test looks for.
func (l Lang) text(key string, args ...any) string {
	s, ok := texts[key]
	if !ok {
		return "[" + key + "]"
	}
	format := s[0]
	if l == Chinese {
		format = s[1]
	}
	if len(args) == 0 {
		return format
	}
	for i, a := range args {
		if n, ok := a.(int); ok {
			args[i] = number(n)
		}
	}
	return fmt.Sprintf(format, args...)
}

// count is a text in which a number decides between one and many: key.1 or
// key.n. Chinese has no such difference, and two equal texts.
func (l Lang) count(key string, n int, args ...any) string {
	if n == 1 {
		return l.text(key+".1", append([]any{n}, args...)...)
	}
	return l.text(key+".n", append([]any{n}, args...)...)
}

// number writes a number with commas between thousands, as both languages do.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span writes a length of time in its two largest parts.
func (l Lang) span(d time.Duration) string {
	const day = 24 * time.Hour
	part := func(n time.Duration, unit string) string {
		if n == 0 {
			return ""
		}
		return l.text("span."+unit, int(n))
	}
	two := func(a, b string) string { return strings.TrimSpace(a + " " + b) }
	switch {
	case d < 0:
		return "-" + l.span(-d)
	case d < time.Second:
		return l.text("span.s", 0)
	case d < time.Hour:
		d = d.Round(time.Second)
		return two(part(d/time.Minute, "m"), part(d%time.Minute/time.Second, "s"))
	case d < 2*day:
		d = d.Round(time.Minute)
		return two(part(d/time.Hour, "h"), part(d%time.Hour/time.Minute, "m"))
	}
	d = d.Round(time.Hour)
	return two(part(d/day, "d"), part(d%day/time.Hour, "h"))
}

// meaning says what a code means, or "" for one of ECD's own.
func (l Lang) meaning(code string) string {
	for _, c := range events.Codes {
		if c.Name != code {
			continue
		}
		if l == Chinese {
			return cmp.Or(zh.Codes()[code], c.Meaning)
		}
		return c.Meaning
	}
	return ""
}

// sentence says in one sentence what happened.
func (l Lang) sentence(r *report.Report, now time.Time) string {
	c := r.Counts
	var head string
	image := cmp.Or(escape.Terminal(r.ImageName), escape.Terminal(r.ImageID))
	release, fleet, region := escape.Terminal(r.ReleaseID), escape.Terminal(r.Fleet), escape.Terminal(r.Where())
	switch tense := map[bool]string{true: "done", false: "open"}[r.Closed]; {
	case r.Request() && r.ImageID == "":
		head = l.text("head.reset."+tense, escape.Terminal(r.ID), region)
	case r.Request():
		head = l.text("head.request."+tense, escape.Terminal(r.ID), region, escape.Terminal(r.ImageID))
	case r.Undoes != "":
		head = l.text("head.rollback."+tense, escape.Terminal(r.Undoes), fleet, region)
	case r.State == report.StateAborted:
		head = l.text("head.aborted", release, image, fleet, region, escape.Terminal(r.Who))
	case r.State == report.StateSuperseded:
		head = l.text("head.superseded", release, image, fleet, region, escape.Terminal(r.Who))
	default:
		head = l.text("head.rollout."+tense, release, image, fleet, region)
	}
	parts := []string{l.text("result.completed", c.Completed, c.Fleet)}
	for _, s := range []report.Stand{report.Failed, report.Refused, report.Skipped, report.Running, report.Waiting, report.Pending} {
		if n := s.Of(c); n > 0 {
			parts = append(parts, l.text("result."+string(s), n))
		}
	}
	took := l.text("result.took", l.span(r.Lasted(now)))
	if !r.Closed {
		took = l.text("result.since", l.span(r.Lasted(now)))
	}
	return l.text("sentence", head, strings.Join(parts, l.text("and")), took)
}

// texts are all texts of the pages: English, Chinese. Those that begin with js.
// go to the browser, as do those that both use.
var texts = map[string][2]string{
	"and":      {", ", "，"},
	"sentence": {"%s: %s, %s.", "%s：%s，%s。"},

	"head.rollout.done":  {"Release %s (%s) has gone over fleet %s in %s", "发布 %s（%s）已在分组 %s（%s）推送完毕"},
	"head.rollout.open":  {"Release %s (%s) is going over fleet %s in %s", "发布 %s（%s）正在向分组 %s（%s）推送"},
	"head.aborted":       {"Release %s (%s) over fleet %s in %s was aborted by %s", "发布 %s（%s）向分组 %s（%s）的推送已被 %s 中止"},
	"head.superseded":    {"Release %s (%s) over fleet %s in %s was superseded by %s", "发布 %s（%s）向分组 %s（%s）的推送已被 %s 取代"},
	"head.rollback.done": {"Rollout %s over fleet %s in %s was rolled back", "推送 %s 在分组 %s（%s）已回滚"},
	"head.rollback.open": {"Rollout %s over fleet %s in %s is being rolled back", "推送 %s 在分组 %s（%s）正在回滚"},
	"head.request.done":  {"Request %s in %s for image %s is finished", "请求 %s（%s，镜像 %s）已完成"},
	"head.request.open":  {"Request %s in %s for image %s is under way", "请求 %s（%s，镜像 %s）正在处理"},
	"head.reset.done":    {"Request %s in %s to reset desktops is finished", "请求 %s（%s，重置云电脑）已完成"},
	"head.reset.open":    {"Request %s in %s to reset desktops is under way", "请求 %s（%s，重置云电脑）正在处理"},
	"result.completed":   {"%s of %s desktops rebuilt", "已重建 %s 台（共 %s 台云电脑）"},
	"result.failed":      {"%s failed", "失败 %s 台"},
	"result.refused":     {"%s refused", "拒绝 %s 台"},
	"result.skipped":     {"%s skipped", "跳过 %s 台"},
	"result.running":     {"%s being rebuilt", "正在重建 %s 台"},
	"result.waiting":     {"%s waiting", "等待 %s 台"},
	"result.pending":     {"%s not begun", "未开始 %s 台"},
	"result.took":        {"in %s", "历时 %s"},
	"result.since":       {"since %s", "已进行 %s"},

	"span.s": {"%s s", "%s 秒"},
	"span.m": {"%s min", "%s 分"},
	"span.h": {"%s h", "%s 小时"},
	"span.d": {"%s d", "%s 天"},

	"title.rollout":  {"Rollout %s", "推送 %s"},
	"title.request":  {"Request %s", "请求 %s"},
	"kind.rollout":   {"Rollout", "推送"},
	"kind.request":   {"Request", "请求"},
	"kind.rollback":  {"Rollback", "回滚"},
	"skip":           {"Skip to the content", "跳到正文"},
	"theme":          {"Colours", "配色"},
	"theme.auto":     {"Colours: as the system", "配色：跟随系统"},
	"js.theme.light": {"Colours: light", "配色：浅色"},
	"js.theme.dark":  {"Colours: dark", "配色：深色"},
	"print":          {"Print", "打印"},
	"contents":       {"Contents", "目录"},
	"zone":           {"Times are in %s.", "时间均为 %s。"},
	"made":           {"Made %s by %s.", "生成于 %s，%s。"},
	"asof":           {"It shows the journal up to %s.", "内容截至日志中的 %s。"},

	"state.completed":  {"Completed", "已完成"},
	"state.rolledback": {"Rolled back", "已回滚"},
	"state.aborted":    {"Aborted", "已中止"},
	"state.superseded": {"Superseded", "已被取代"},
	"state.halted":     {"Halted", "已自动停止"},
	"state.paused":     {"Paused", "已暂停"},
	"state.waiting":    {"Waiting", "等待中"},
	"state.running":    {"Under way", "进行中"},

	"stand.completed": {"completed", "完成"},
	"stand.skipped":   {"skipped", "跳过"},
	"stand.refused":   {"refused", "拒绝"},
	"stand.failed":    {"failed", "失败"},
	"stand.running":   {"running", "进行中"},
	"stand.waiting":   {"waiting", "等待"},
	"stand.pending":   {"not begun", "未开始"},
	"stand.deferred":  {"deferred", "推迟"},
	"stand.accepted":  {"accepted", "已受理"},

	"figure.rebuilt":     {"Rebuilt", "已重建"},
	"figure.of":          {"of %s (%s)", "共 %s 台（%s）"},
	"figure.failed":      {"Failed", "失败"},
	"figure.failed.none": {"none", "无"},
	"figure.causes.1":    {"%s cause", "%s 种原因"},
	"figure.causes.n":    {"%s causes", "%s 种原因"},
	"figure.alone":       {"Left alone", "未改动"},
	"figure.alone.of":    {"%s refused, %s skipped", "拒绝 %s，跳过 %s"},
	"figure.left":        {"Still to come", "尚未结束"},
	"figure.left.of":     {"%s running, %s waiting, %s not begun", "进行中 %s，等待 %s，未开始 %s"},
	"figure.took":        {"Duration", "历时"},
	"figure.sofar":       {"So far", "已进行"},
	"figure.stood":       {"stood still %s of it", "其中停顿 %s"},
	"figure.never":       {"never stood still", "没有停顿"},
	"figure.median":      {"Typical rebuild", "典型重建时长"},
	"figure.p95":         {"95%% within %s", "95%% 不超过 %s"},
	"none":               {"–", "–"},
	"bar":                {"Desktops by where they stand", "云电脑状态分布"},

	"attention":            {"Needs attention", "需要关注"},
	"attention.none":       {"Nothing needs attention.", "没有需要关注的事项。"},
	"attention.halted":     {"It has stopped by itself: %s", "已自动停止：%s"},
	"attention.paused":     {"It was paused by %s: %s", "已由 %s 暂停：%s"},
	"attention.waiting":    {"It waits: %s", "正在等待：%s"},
	"attention.approval":   {"Somebody has to approve: %s", "需要批准：%s"},
	"attention.failed.1":   {"%s desktop has failed, most often for: %s", "%s 台云电脑失败，主要原因：%s"},
	"attention.failed.n":   {"%s desktops have failed, most often for: %s", "%s 台云电脑失败，主要原因：%s"},
	"attention.refused.1":  {"%s desktop was refused, most often for: %s", "%s 台云电脑被拒绝，主要原因：%s"},
	"attention.refused.n":  {"%s desktops were refused, most often for: %s", "%s 台云电脑被拒绝，主要原因：%s"},
	"attention.digest":     {"The digest does not agree with the outcomes: the record is not complete.", "摘要与结果不一致：记录不完整。"},
	"attention.untold.1":   {"%s outcome or event is not published yet.", "%s 条结果或事件尚未发布。"},
	"attention.untold.n":   {"%s outcomes or events are not published yet.", "%s 条结果或事件尚未发布。"},
	"attention.silent":     {"It is under way, yet nothing was written down for %s: see the runbook.", "仍在进行，但已有 %s 没有任何记录：请查看运维手册。"},
	"attention.see":        {"see the causes", "查看原因"},
	"since":                {"since %s", "自 %s"},
	"until":                {"until %s", "至 %s"},
	"timeline":             {"Time line", "时间线"},
	"timeline.lead":        {"From %s to %s, in %s.", "从 %s 到 %s（%s）。"},
	"timeline.progress":    {"Done", "进度"},
	"timeline.stood":       {"Stood still", "停顿"},
	"timeline.said":        {"Said", "指令"},
	"timeline.list":        {"What happened, in order", "依次发生的事件"},
	"timeline.done":        {"%s of %s", "%s / %s"},
	"timeline.failures":    {"Red lines are failures.", "红线表示失败。"},
	"stood.list":           {"Standstills", "停顿"},
	"stood.none":           {"It never stood still.", "没有停顿。"},
	"stood.lead":           {"Times in which nothing new began, and why.", "没有开始新操作的时段及原因。"},
	"stood.waiting":        {"waiting", "等待"},
	"stood.paused":         {"paused", "暂停"},
	"stood.halted":         {"halted", "自动停止"},
	"still":                {"still so", "仍在持续"},
	"announced":            {"announced until %s", "预告至 %s"},
	"waves":                {"The plan and what happened", "计划与实际"},
	"waves.request":        {"The request and what happened", "请求与实际"},
	"waves.lead":           {"Each wave as it was planned when it began, and what became of it.", "每个批次开始时的计划，以及实际结果。"},
	"waves.to.come.1":      {"%s wave is still to come, with %s desktops.", "还有 %s 个批次未开始，共 %s 台云电脑。"},
	"waves.to.come.n":      {"%s waves are still to come, with %s desktops.", "还有 %s 个批次未开始，共 %s 台云电脑。"},
	"wave":                 {"wave %s", "批次 %s"},
	"wave.named":           {"wave %s (%s)", "批次 %s（%s）"},
	"wave.canary":          {"canary", "金丝雀"},
	"wave.everybody":       {"everybody", "全部"},
	"waveof":               {"wave %s of %s", "批次 %s / %s"},
	"plan":                 {"Beside the plan", "与计划对照"},
	"plan.lead":            {"Held against the plan %s.", "对照计划 %s。"},
	"plan.sound":           {"Its digest is that of what it says.", "摘要与计划内容一致。"},
	"plan.unsound":         {"Its digest is not that of what it says: the plan was changed, or is not whole.", "摘要与计划内容不一致：计划被改动或不完整。"},
	"plan.other":           {"The plan speaks of another rollout, region or image.", "该计划针对另一推送、地域或镜像。"},
	"plan.result":          {"%s went as planned, %s otherwise, %s are still to come.", "%s 台与计划一致，%s 台不一致，%s 台尚未结束。"},
	"plan.more":            {"The first %s of %s are listed.", "仅列出前 %s 台，共 %s 台。"},
	"plan.none":            {"not in the plan", "不在计划中"},
	"plan.never":           {"did not come", "未加入"},
	"plan.rebuild":         {"rebuild", "重建"},
	"plan.skip":            {"skip", "跳过"},
	"plan.refuse":          {"refuse", "拒绝"},
	"took":                 {"How long rebuilds took", "重建用时"},
	"took.lead":            {"%s rebuilds: half within %s, 90%% within %s, 95%% within %s, the longest %s.", "共 %s 次重建：半数不超过 %s，90%% 不超过 %s，95%% 不超过 %s，最长 %s。"},
	"took.note":            {"Counted from when ECD accepted a rebuild until regild saw that it had ended. It looks minutes apart, so the true times are somewhat shorter.", "从 ECD 受理重建到 regild 看到其结束为止。两次查看相隔数分钟，因此实际用时略短。"},
	"took.none":            {"No rebuild has completed yet.", "尚无完成的重建。"},
	"took.chart":           {"Rebuilds by how long they took", "按用时统计的重建次数"},
	"took.last":            {"%s and longer", "%s 及以上"},
	"outcomes":             {"Outcomes", "结果"},
	"outcomes.lead":        {"The final outcome of every desktop, by status and code.", "每台云电脑的最终结果，按状态和代码统计。"},
	"outcomes.none":        {"No desktop has its final outcome yet.", "尚无云电脑有最终结果。"},
	"outcomes.waited":      {"Desktops that had to wait at some time", "曾经等待过的云电脑"},
	"causes":               {"What failed, and why", "失败原因"},
	"causes.lead":          {"Failures and refusals that share a cause. The ids are ECD's request ids, for a ticket.", "原因相同的失败和拒绝归为一组。编号为 ECD 的请求 ID，可用于提交工单。"},
	"causes.none":          {"Nothing failed, and nothing was refused.", "没有失败，也没有拒绝。"},
	"causes.various":       {"various messages", "多种信息"},
	"causes.ids":           {"ECD request ids", "ECD 请求 ID"},
	"causes.desktops":      {"Desktops", "云电脑"},
	"causes.more":          {"and %s more, see the table", "另有 %s 个，见表格"},
	"causes.show":          {"Show these in the table", "在表格中查看"},
	"desktops.1":           {"%s desktop", "%s 台云电脑"},
	"desktops.n":           {"%s desktops", "%s 台云电脑"},
	"snapshots":            {"Snapshots of data disks", "数据盘快照"},
	"snapshots.lead":       {"Made before the rebuild erased the disk. regild deletes none. To restore one: stop the desktop, then ResetSnapshot with its id, or the console; what was written since is lost.", "在重建清除数据盘之前创建，regild 不会删除。恢复方法：先停止云电脑，再以快照 ID 调用 ResetSnapshot，或使用控制台；此后写入的数据将丢失。"},
	"snapshots.unsized":    {"not known", "未知"},
	"said":                 {"Who said what", "指令记录"},
	"said.none":            {"Nobody told it anything.", "没有人下达指令。"},
	"said.opened":          {"asked for it", "发起"},
	"action.pause":         {"pause", "暂停"},
	"action.resume":        {"resume", "继续"},
	"action.approve":       {"approve", "批准"},
	"action.abort":         {"abort", "中止"},
	"action.retry":         {"retry", "重试"},
	"action.rollback":      {"rollback", "回滚"},
	"what.started":         {"The release has come", "发布已到达"},
	"what.wave.started":    {"A wave begins", "批次开始"},
	"what.wave.finished":   {"The wave is finished", "批次完成"},
	"what.waiting":         {"It stands still", "停顿"},
	"what.paused":          {"Paused", "已暂停"},
	"what.resumed":         {"Goes on", "继续"},
	"what.approved":        {"Approved", "已批准"},
	"what.halted":          {"Halted by itself", "自动停止"},
	"what.aborted":         {"Aborted", "已中止"},
	"what.superseded":      {"Superseded", "已被取代"},
	"what.completed":       {"Completed", "已完成"},
	"what.rolledback":      {"Rolled back", "已回滚"},
	"what.plan":            {"Planned", "已计划"},
	"what.control.refused": {"A control was refused", "指令被拒绝"},
	"table":                {"Every desktop", "全部云电脑"},
	"table.search":         {"Search", "搜索"},
	"table.search.hint":    {"Desktop, code, message, image, request id", "云电脑、代码、信息、镜像、请求 ID"},
	"table.status":         {"Status", "状态"},
	"table.wave":           {"Wave", "批次"},
	"table.code":           {"Code", "代码"},
	"table.all":            {"all", "全部"},
	"table.csv":            {"Save as CSV", "另存为 CSV"},
	"table.prev":           {"Previous page", "上一页"},
	"table.next":           {"Next page", "下一页"},
	"table.region":         {"Table of desktops", "云电脑表格"},
	"table.noscript":       {"The table needs JavaScript; everything else on this page does not.", "此表格需要 JavaScript；页面的其他内容不需要。"},
	"js.table.shown":       {"%1–%2 of %3", "第 %1–%2 行，共 %3 行"},
	"js.table.filtered":    {"%1–%2 of %3 (of %4 in all)", "第 %1–%2 行，共 %3 行（全部 %4 行）"},
	"js.table.none":        {"No desktop matches.", "没有符合条件的云电脑。"},
	"js.table.printed":     {"The first %1 of %2 rows are printed; filter the table to print others.", "仅打印前 %1 行，共 %2 行；筛选后可打印其他行。"},
	"js.sort":              {"sort by %1", "按 %1 排序"},
	"js.col.id":            {"Desktop", "云电脑"},
	"js.col.wave":          {"Wave", "批次"},
	"js.col.stand":         {"Status", "状态"},
	"js.col.code":          {"Code", "代码"},
	"js.col.message":       {"Message", "信息"},
	"js.col.from":          {"Image before", "原镜像"},
	"js.col.to":            {"Image", "镜像"},
	"js.col.tries":         {"Tries", "次数"},
	"js.col.accepted":      {"Accepted", "受理时间"},
	"js.col.done":          {"Done", "结束时间"},
	"js.col.took":          {"Took", "用时"},
	"js.col.request":       {"ECD request id", "ECD 请求 ID"},
	"js.col.outcome":       {"Outcome id", "结果 ID"},
	"js.span.s":            {"%1 s", "%1 秒"},
	"js.span.m":            {"%1 min", "%1 分"},
	"js.span.h":            {"%1 h", "%1 小时"},
	"js.span.d":            {"%1 d", "%1 天"},
	"col.when":             {"When", "时间"},
	"col.from":             {"From", "开始"},
	"col.to":               {"To", "结束"},
	"col.length":           {"Length", "时长"},
	"col.what":             {"What", "事件"},
	"col.why":              {"Why", "原因"},
	"col.who":              {"Who", "人员"},
	"col.wave":             {"Wave", "批次"},
	"col.planned":          {"Planned", "计划"},
	"col.rebuild":          {"to rebuild", "其中重建"},
	"col.came":             {"Came", "实到"},
	"col.approved":         {"Approved by", "批准人"},
	"col.status":           {"Status", "状态"},
	"col.code":             {"Code", "代码"},
	"col.meaning":          {"Meaning", "含义"},
	"col.desktops":         {"Desktops", "云电脑数"},
	"col.desktop":          {"Desktop", "云电脑"},
	"col.snapshot":         {"Snapshot", "快照"},
	"col.size":             {"Size", "大小"},
	"col.made":             {"Made", "创建时间"},
	"col.age":              {"Age", "距今"},
	"col.happened":         {"What became of it", "实际结果"},
	"record":               {"For the record", "备查信息"},
	"record.id":            {"Id", "编号"},
	"record.release":       {"Release", "发布"},
	"record.fleet":         {"Fleet", "分组"},
	"record.region":        {"Region", "地域"},
	"record.image":         {"Image", "镜像"},
	"record.image.made":    {"%s, made %s", "%s，制作于 %s"},
	"record.before":        {"Images before", "原镜像"},
	"record.reset":         {"the current one of each desktop (reset)", "各云电脑当前镜像（重置）"},
	"record.undoes":        {"Takes back", "回滚对象"},
	"record.by":            {"Asked for by", "发起人"},
	"record.why":           {"Why", "原因"},
	"record.consent":       {"Consents", "同意项"},
	"record.opened":        {"Opened", "开始"},
	"record.closed":        {"Closed", "结束"},
	"record.open":          {"not yet", "尚未"},
	"record.journal":       {"Journal", "日志"},
	"record.journal.of":    {"%s, %s records, %s bytes, SHA-256 %s", "%s，%s 条记录，%s 字节，SHA-256 %s"},
	"record.digest":        {"Digest", "摘要"},
	"record.digest.open":   {"It is written when the work ends. Over the %s final outcomes so far it would be %s.", "结束时写入。以目前 %s 个最终结果计算为 %s。"},
	"record.agrees":        {"It agrees with the %s final outcomes on this page.", "与本页的 %s 个最终结果一致。"},
	"record.differs":       {"It does not agree with the %s final outcomes on this page, over which it is %s.", "与本页的 %s 个最终结果不一致，后者的摘要为 %s。"},
	"record.check":         {"How to check it", "如何核对"},
	"record.check.what":    {"The digest is the SHA-256 over the ids of all final outcomes, sorted by bytes and joined by line feeds. If it agrees, no outcome is missing and none was changed.", "摘要是全部最终结果 ID 按字节排序、以换行符连接后的 SHA-256。一致即表示没有结果缺失或被改动。"},
	"record.check.here":    {"Here:", "在本页："},
	"record.check.button":  {"Count it anew from the table", "用表格重新计算"},
	"record.check.file":    {"With a tool of your own: save the ids, and compare.", "使用自己的工具：保存 ID 后比较。"},
	"record.check.save":    {"Save the outcome ids", "保存结果 ID"},
	"record.check.heard":   {"Against what was published: the ids of the final outcome events that a subscriber received of it (after a retry, the last one of each desktop).", "对照已发布的事件：订阅者收到的最终结果事件 ID（重试后取每台云电脑的最后一个）。"},
	"record.check.journal": {"Against the journal: the object or file named above has the SHA-256 given there, unless it has grown since.", "对照日志：上述对象或文件的 SHA-256 应与所列一致，除非其后又有追加。"},
	"js.check.agrees":      {"Agrees: %1 outcomes give %2", "一致：%1 个结果得到 %2"},
	"js.check.differs":     {"Does not agree: %1 outcomes give %2", "不一致：%1 个结果得到 %2"},
	"js.check.cannot":      {"This browser cannot count it here; use the saved ids.", "此浏览器无法在此计算；请使用保存的 ID。"},
	"board":                {"Fleets and rollouts", "分组与推送"},
	"board.title":          {"regild dashboard", "regild 控制台"},
	"board.journal":        {"Journal: %s", "日志：%s"},
	"board.back":           {"All fleets and rollouts", "全部分组与推送"},
	"board.fleets":         {"Fleets", "分组"},
	"board.fleets.none":    {"No fleet has had a release yet.", "尚无分组收到发布。"},
	"board.fleet.none":     {"No release yet", "尚无发布"},
	"board.fleet.gone":     {"The journal of its last rollout has expired.", "最近一次推送的日志已过期。"},
	"board.open":           {"Under way", "进行中"},
	"board.open.none":      {"Nothing is under way.", "没有进行中的操作。"},
	"board.history":        {"History", "历史"},
	"board.history.none":   {"Nothing has ended yet.", "尚无已结束的记录。"},
	"board.history.match":  {"Nothing matches.", "没有符合条件的记录。"},
	"board.more":           {"%s more are not listed; search for them.", "另有 %s 条未列出，请搜索。"},
	"board.search":         {"Search", "搜索"},
	"board.search.hint":    {"Id, fleet, image or state", "编号、分组、镜像或状态"},
	"board.reading":        {"Reading the journal: %s of %s", "正在读取日志：%s / %s"},
	"board.left.1":         {"%s journal was left out, beyond the limit of %s.", "%s 份日志超出上限 %s，未读取。"},
	"board.left.n":         {"%s journals were left out, beyond the limit of %s.", "%s 份日志超出上限 %s，未读取。"},
	"board.broken.1":       {"%s journal cannot be read: %s", "%s 份日志无法读取：%s"},
	"board.broken.n":       {"%s journals cannot be read, such as: %s", "%s 份日志无法读取，例如：%s"},
	"board.trouble":        {"The journal cannot be read now: %s", "目前无法读取日志：%s"},
	"board.paused":         {"It was paused by %s.", "已由 %s 暂停。"},
	"board.save":           {"Save this page as a file", "另存为文件"},
	"board.readonly":       {"This page only reads.", "本页面仅供查看。"},
	"live":                 {"live", "实时"},
	"js.live.on":           {"live, updated %1", "实时，更新于 %1"},
	"js.live.off":          {"not connected; trying again", "连接中断，正在重试"},
	"col.work":             {"Rollout or request", "推送或请求"},
	"col.image":            {"Image", "镜像"},
	"col.state":            {"State", "状态"},
	"col.done":             {"Done", "进度"},
	"col.opened":           {"Opened", "开始"},
	"control":              {"Controls", "操作"},
	"control.title":        {"%s: %s", "%s：%s"},
	"control.touch":        {"What this touches", "影响范围"},
	"control.refused":      {"This is not possible now: %s", "目前无法执行：%s"},
	"control.pause":        {"Nothing new begins until somebody resumes it.", "在有人继续之前不会开始新的操作。"},
	"control.resume":       {"It goes on; failures so far are forgiven.", "将继续执行；此前的失败不再计入。"},
	"control.approve":      {"The gate behind wave %s opens.", "批次 %s 之后的关口将打开。"},
	"control.rings":        {"It goes on without the fleets that it comes after, until something else is wrong there.", "将不等待前置分组而继续执行，直至那里出现其他问题。"},
	"control.abort":        {"Nothing new begins, ever. What was not begun is refused.", "永不再开始新的操作；未开始的将被拒绝。"},
	"control.retry.1":      {"%s desktop that failed is rebuilt once more.", "%s 台失败的云电脑将再次重建。"},
	"control.retry.n":      {"%s desktops that failed are rebuilt once more.", "%s 台失败的云电脑将再次重建。"},
	"control.rollback":     {"Desktops go back to the image that they were on. What was on their system disks does not come back.", "云电脑将恢复到原镜像。系统盘上的内容无法恢复。"},
	"control.back.1":       {"%s desktop goes back to %s.", "%s 台云电脑恢复到 %s。"},
	"control.back.n":       {"%s desktops go back to %s.", "%s 台云电脑恢复到 %s。"},
	"control.lost.1":       {"%s desktop cannot go back: its former image is not known.", "%s 台云电脑无法恢复：原镜像未知。"},
	"control.lost.n":       {"%s desktops cannot go back: their former image is not known.", "%s 台云电脑无法恢复：原镜像未知。"},
	"control.running.1":    {"%s desktop is being rebuilt, and is followed to its end: ECD cannot stop it.", "%s 台云电脑正在重建，将跟踪至结束：ECD 无法停止。"},
	"control.running.n":    {"%s desktops are being rebuilt, and are followed to their end: ECD cannot stop them.", "%s 台云电脑正在重建，将跟踪至结束：ECD 无法停止。"},
	"control.pending.1":    {"%s desktop has not begun.", "%s 台云电脑尚未开始。"},
	"control.pending.n":    {"%s desktops have not begun.", "%s 台云电脑尚未开始。"},
	"control.halted":       {"It had stopped by itself: %s", "此前自动停止：%s"},
	"control.held.1":       {"%s desktop is in maintenance mode or stopped, and is restored.", "%s 台云电脑处于维护模式或已停止，将予以恢复。"},
	"control.held.n":       {"%s desktops are in maintenance mode or stopped, and are restored.", "%s 台云电脑处于维护模式或已停止，将予以恢复。"},
	"control.others":       {"Desktops that somebody else has changed since are left alone.", "此后被他人改动的云电脑不受影响。"},
	"control.ends":         {"It ends by this: it begins nothing more.", "它将由此结束，不再开始新的操作。"},
	"control.by":           {"Who you are", "您是谁"},
	"control.why":          {"Why", "原因"},
	"control.why.hint":     {"Written into the journal for ever", "将永久写入日志"},
	"control.sure":         {"I have read what this touches.", "我已阅读影响范围。"},
	"control.send":         {"Send %s", "发送：%s"},
	"control.cancel":       {"Cancel", "取消"},
	"control.sent":         {"Sent as message %s. The report shows it under \"Who said what\" when the function has taken it, usually within seconds.", "已发送，消息 %s。函数受理后会显示在“指令记录”中，通常只需数秒。"},
	"control.told.rollout": {"If it makes no sense by then, the function answers control.refused on the result topic.", "若届时已不适用，函数会在结果主题上回复 control.refused。"},
	"control.told.request": {"If it makes no sense by then, the function answers message.refused on the result topic.", "若届时已不适用，函数会在结果主题上回复 message.refused。"},
	"control.failed":       {"It was not sent: %s", "未能发送：%s"},
	"control.see":          {"To the report", "返回报告"},
	"login":                {"Sign in", "登录"},
	"login.lead":           {"This dashboard wants the token that regild wrote when it started, or that it was given.", "请输入 regild 启动时显示或为其设置的令牌。"},
	"login.token":          {"Token", "令牌"},
	"login.wrong":          {"That is not the token.", "令牌不正确。"},
	"problem":              {"That did not work", "出错了"},
}
