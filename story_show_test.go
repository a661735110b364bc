package main_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/rollout"
)

// masks stand for what is another one each time.
var masks = []struct {
	is   *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`\b1-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{16}\b`), "INVOCATION"},
	{regexp.MustCompile(`\b[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\b`), "REQUEST"},
	{regexp.MustCompile(`\b[0-9A-F]{32}\b`), "MESSAGE"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
}

// mask replaces what is another one each time.
func (w *world) mask(s string) string {
	for _, m := range masks {
		s = m.is.ReplaceAllString(s, m.mask)
	}
	return strings.ReplaceAll(s, w.ts.MkAbs("."), "$WORK")
}

func (w *world) print(lines ...string) {
	for _, l := range lines {
		_, _ = fmt.Fprintln(w.ts.Stdout(), w.mask(l))
	}
}

// A told event is one CloudEvent that was published.
type told struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Data    struct {
		RequestID string        `json:"requestId"`
		RolloutID string        `json:"rolloutId"`
		DesktopID string        `json:"desktopId"`
		Status    events.Status `json:"status"`
		Wave      int           `json:"wave"`
		DryRun    bool          `json:"dryRun"`
	} `json:"data"`
	body   []byte
	fields map[string]any // of data
	times  int            // how often it was published
	differ bool           // and not always the same
}

// told returns what was published, each id once, oldest first by its own time:
// within one moment the function publishes in no order.
func (w *world) told() ([]*told, error) {
	var all []*told
	byID := map[string]*told{}
	for _, p := range w.cloud.MNS.Published(localcloud.ResultTopic) {
		e := &told{body: p.Body, times: 1}
		var data struct{ Data map[string]any }
		if err := errors.Join(json.Unmarshal(p.Body, e), json.Unmarshal(p.Body, &data)); err != nil {
			return nil, fmt.Errorf("%s was published: %w", p.Body, err)
		}
		e.fields = data.Data
		if before := byID[e.ID]; before != nil {
			before.times++
			before.differ = before.differ || !bytes.Equal(before.body, e.body)
			continue
		}
		byID[e.ID] = e
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b *told) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Data.RolloutID, b.Data.RolloutID), cmp.Compare(number(a), number(b)), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// number is that of the journal's record that an event of a rollout tells of.
func number(e *told) int {
	if e.Data.RolloutID == "" {
		return 0
	}
	n, _ := strconv.Atoi(path.Base(e.ID)) // a refused command has none
	return n
}

// rank orders what happened to one thing in one moment.
func rank(e *told) int {
	switch e.Data.Status {
	case events.StatusDeferred:
		return 1
	case events.StatusAccepted:
		return 2
	}
	return slices.IndexFunc(events.Whats, func(x events.What) bool { return x.Type() == e.Type }) + 3
}

// show appends the chosen fields of the data that are not empty.
func (e *told) show(fields string) string {
	var out strings.Builder
	for name := range strings.SplitSeq(fields, ",") {
		v := e.fields[name]
		if via, ok := e.fields["via"].(map[string]any); ok {
			switch name {
			case "door":
				v = via["door"]
			case "asked":
				v = via["requestId"]
			}
		}
		if reason, ok := e.fields["reason"].(map[string]any); ok {
			switch name {
			case "why":
				v = reason["message"]
			case "until":
				v = reason["until"]
			}
		}
		if v != nil && v != "" && v != 0.0 && v != false {
			text, _ := json.Marshal(v)
			fmt.Fprintf(&out, " %s=%s", name, bytes.Trim(text, `"`))
		}
	}
	switch {
	case e.differ:
		fmt.Fprintf(&out, " (told %d times, not always the same)", e.times)
	case e.times > 1:
		fmt.Fprintf(&out, " (told %d times)", e.times)
	}
	return out.String()
}

func (w *world) outcomes(args []string) error {
	var fields, request string
	_, err := parse(args, 0, 0, func(f *flag.FlagSet) {
		f.StringVar(&fields, "show", "", "")
		f.StringVar(&request, "of", "", "")
	})
	if err != nil {
		return err
	}
	all, err := w.told()
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *told) int {
		return cmp.Or(cmp.Compare(w.mask(a.Data.RequestID), w.mask(b.Data.RequestID)), cmp.Compare(a.Data.DesktopID, b.Data.DesktopID))
	})
	for _, e := range all {
		if e.Type == events.TypeOutcome && (request == "" || request == e.Data.RequestID) {
			w.print(fmt.Sprintf("%s %s %s %s%s", e.Data.RequestID, e.Data.DesktopID, e.Data.Status, e.fields["code"], e.show(fields)))
		}
	}
	return nil
}

func (w *world) events(args []string) error {
	var fields string
	once := false
	_, err := parse(args, 0, 0, func(f *flag.FlagSet) {
		f.StringVar(&fields, "show", "", "")
		f.BoolVar(&once, "once", false, "")
	})
	if err != nil {
		return err
	}
	all, err := w.told()
	if err != nil {
		return err
	}
	for _, e := range all {
		if once {
			e.times = 1
		}
		switch e.Type {
		case events.TypeOutcome, events.RolloutPlan.Type():
		case events.TypeRefused:
			w.print(fmt.Sprintf("message refused: %s%s", e.fields["code"], e.show(fields)))
		case events.TypeFinished:
			w.print(fmt.Sprintf("request %s finished: %s%s", e.Data.RequestID, counts(e.fields["statuses"]), e.show(fields)))
		default:
			w.print(describe(e) + e.show(fields))
		}
	}
	return nil
}

// describe says in a line where a rollout stands.
func describe(e *told) string {
	what := strings.TrimSuffix(strings.TrimPrefix(e.Type, "regild.rollout."), ".v1")
	line := fmt.Sprintf("rollout %s %s", e.Data.RolloutID, what)
	if e.fields["waves"] != 0.0 {
		line += fmt.Sprintf(" wave %v/%v:", e.fields["wave"], e.fields["waves"])
	}
	line += " " + counts(e.fields["counts"])
	if reason, ok := e.fields["reason"].(map[string]any); ok {
		line += fmt.Sprintf(" because %v", reason["code"])
	}
	return strings.TrimSpace(line)
}

// counts writes numbers by name, without those that are 0.
func counts(v any) string {
	m, _ := v.(map[string]any)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] != 0.0 {
			out = append(out, fmt.Sprintf("%s=%v", name, m[name]))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) plans(args []string) error {
	var name string
	if _, err := parse(args, 0, 0, func(f *flag.FlagSet) { f.StringVar(&name, "digest", "", "") }); err != nil {
		return err
	}
	all, err := w.told()
	if err != nil {
		return err
	}
	digest := ""
	for _, e := range all {
		if e.Type != events.RolloutPlan.Type() {
			continue
		}
		var p struct{ Data events.Plan }
		if err := json.Unmarshal(e.body, &p); err != nil {
			return err
		}
		digest = p.Data.PlanDigest
		w.print(fmt.Sprintf("plan of %s, page %d of %d, calls %v, %s", e.Subject, p.Data.Page, p.Data.Pages, p.Data.Calls, time.Duration(p.Data.ExpectedSeconds)*time.Second) + e.show(""))
		for _, g := range p.Data.Gates {
			w.print("  note: " + g)
		}
		for _, wave := range p.Data.Waves {
			for _, d := range wave.Desktops {
				w.print(strings.TrimRight(fmt.Sprintf("  %d %s %s %s %s", wave.N, wave.Name, d.ID, d.Action, d.Code), " "))
			}
		}
	}
	if name != "" {
		w.ts.Setenv(name, digest)
	}
	return nil
}

func (w *world) digests([]string) error {
	all, err := w.told()
	if err != nil {
		return err
	}
	finals := map[string][]string{}
	for _, e := range all {
		final := e.Data.Status != events.StatusDeferred && e.Data.Status != events.StatusAccepted
		if e.Type == events.TypeOutcome && final && ofRequest(e) {
			finals[e.Data.RequestID] = append(finals[e.Data.RequestID], e.ID)
		}
	}
	for _, e := range all {
		if e.Type != events.TypeFinished {
			continue
		}
		ids := finals[e.Data.RequestID]
		if got := events.Digest(ids); got != e.fields["digest"] {
			return fmt.Errorf("request %s finished with the digest %v, its outcomes %v have %s", e.Data.RequestID, e.fields["digest"], ids, got)
		}
		w.print(fmt.Sprintf("%s: the digest is that of its %d final outcomes", e.Data.RequestID, len(ids)))
	}
	return nil
}

// ofRequest says whether an outcome is one of the request whose id it carries. The
// refusal of a message that was never taken for that request (a reused id, a plan
// that changed, a fault) ends in the message's own digest, and a dry run's in
// /dryrun.
func ofRequest(e *told) bool {
	rest, ok := strings.CutPrefix(e.ID, e.Data.RequestID+"/"+e.Data.DesktopID+"/"+string(e.Data.Status))
	return ok && (rest == "" || nth.MatchString(rest))
}

var nth = regexp.MustCompile(`^/[0-9]+$`)

var notice = regexp.MustCompile(`FromBase64String\('([A-Za-z0-9+/=]*)'\)`)

func (w *world) notices([]string) error {
	for _, c := range w.cloud.ECD.Commands() {
		m := notice.FindStringSubmatch(c.Text)
		if m == nil {
			continue // a check
		}
		text, err := base64.StdEncoding.DecodeString(m[1])
		if err != nil {
			return err
		}
		line := c.At.UTC().Format("02 15:04:05") + " " + c.DesktopID
		if c.User != "" {
			line += " as " + c.User
		}
		w.print(line + ": " + strings.ReplaceAll(string(text), "\n", " | "))
	}
	return nil
}

func (w *world) wipes([]string) error {
	all := w.cloud.Wipes()
	slices.SortStableFunc(all, func(a, b ecd.Wipe) int {
		return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.DesktopID, b.DesktopID))
	})
	for _, x := range all {
		line := path.Join(x.AccountID, x.DesktopID) + " " + x.ImageID
		if x.Reset {
			line += " reset"
		}
		if x.DataLost {
			line += " data lost"
		}
		if len(x.Users) > 0 {
			line += " under " + strings.Join(x.Users, ", ")
		}
		w.print(line)
	}
	return nil
}

// changing are the operations of ECD that change desktops.
var changing = []string{"RebuildDesktops", "SetDesktopMaintenance", "StopDesktops", "StartDesktops", "RunCommand"}

func (w *world) calls(args []string) error {
	names := args
	if len(names) == 0 {
		names = changing
	}
	byName := map[string]int{}
	for call, n := range w.cloud.Faults.Calls() {
		byName[call[1]] += n
	}
	for _, name := range names {
		if len(args) > 0 || byName[name] > 0 {
			w.print(fmt.Sprintf("%s %d", name, byName[name]))
		}
	}
	return nil
}

func (w *world) snapshots([]string) error {
	var out []string
	for _, d := range w.cloud.ECD.Desktops() {
		for _, s := range d.Snapshots {
			out = append(out, fmt.Sprintf("%s %s", d.ID, s.Disk))
		}
	}
	w.print(slices.Sorted(slices.Values(out))...)
	return nil
}

func (w *world) journal(args []string) error {
	args, err := parse(args, 2, 2, nil)
	if err != nil {
		return err
	}
	lines, ok := w.cloud.OSS.Object(localcloud.JournalBucket, path.Join(localcloud.JournalPrefix, journal.Key(args[0], args[1])))
	if !ok {
		return fmt.Errorf("there is none; there are %v", w.cloud.OSS.Keys(localcloud.JournalBucket))
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return err
	}
	for _, r := range records {
		parts := []string{string(r.Kind)}
		if r.Wave > 0 {
			parts = append(parts, fmt.Sprint("wave ", r.Wave))
		}
		parts = append(parts, r.Action)
		if r.Kind == rollout.KindControl {
			parts = append(parts, "by", r.Who+":", r.Reason.Message)
		}
		parts = append(parts, r.Desktops...)
		for _, g := range r.Outcomes {
			parts = append(parts, string(g.Status), g.Code, strings.Join(g.Desktops, " "))
		}
		parts = append(parts, r.Events...)
		w.print(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " "))
	}
	return nil
}

func (w *world) queue([]string) error {
	for _, name := range []string{localcloud.RequestQueue, localcloud.DeadLetterQueue} {
		for _, m := range w.cloud.MNS.Pending(name) {
			var e told
			_ = json.Unmarshal(m.Body, &e) // a message need not be an event
			if e.Type == "" {
				e.Type, e.Subject = "message", fmt.Sprintf("of %d bytes", len(m.Body))
			}
			w.print(fmt.Sprintf("%s: %s %s", name, e.Type, e.Subject))
		}
	}
	return nil
}

func (w *world) frozen([]string) error {
	holes := w.cloud.BlackHoles()
	w.print(fmt.Sprintf("dead connections: %d, sent into: %d", holes.Made, holes.Lost))
	return nil
}

func (w *world) report([]string) error { return w.printResult(w.result) }

// printResult prints a report, or what the function failed with, which is an
// error that a line with "!" expects.
func (w *world) printResult(r fc.Result) error {
	if err := r.Err(); err != nil {
		return err
	}
	var report events.Report
	if err := json.Unmarshal(r.Response, &report); err != nil {
		return fmt.Errorf("the function answered %s: %w", r.Response, err)
	}
	line := fmt.Sprintf("messages=%d desktops=%d", report.Messages, report.Desktops)
	for _, s := range events.Statuses {
		if n := report.Outcomes[s]; n > 0 {
			line += fmt.Sprintf(" %s=%d", s, n)
		}
	}
	w.print(line)
	return nil
}

func (w *world) printLog([]string) error {
	w.print(strings.TrimSuffix(w.log.String(), "\n"))
	return nil
}

// broken says what no story may end with: an event that its schema refuses, a
// data race in the function, a secret in its log or in what it told.
func (w *world) broken() []string {
	var faults []string
	all, err := w.told()
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range all {
		if err := checkSchema(e); err != nil {
			faults = append(faults, fmt.Sprintf("%s was published, which its schema refuses: %v", e.body, err))
		}
	}
	faults = append(faults, w.misreported()...)
	log := w.log.String()
	if strings.Contains(log, "WARNING: DATA RACE") {
		faults = append(faults, "the function has a data race:\n"+log)
	}
	for _, secret := range append(w.cloud.Roles.Secrets(), w.cloud.Keys().Secret, w.cloud.Keys().Token) {
		if strings.Contains(log, secret) || slices.ContainsFunc(all, func(e *told) bool { return bytes.Contains(e.body, []byte(secret)) }) {
			faults = append(faults, "a secret is in the log or in an event")
		}
	}
	return faults
}

// schemas are compiled once: one schema for each type of event.
var schemas = compileSchemas()

func compileSchemas() func(eventType string) (*jsonschema.Schema, error) {
	const base = "https://github.com/regild/regild/events/schema/"
	compiler := jsonschema.NewCompiler()
	files, err := events.Schemas.ReadDir("schema")
	for _, f := range files {
		data, readErr := events.Schemas.ReadFile("schema/" + f.Name())
		doc, parseErr := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		err = errors.Join(err, readErr, parseErr, compiler.AddResource(base+f.Name(), doc))
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range []string{events.TypeOutcome, events.TypeRefused, events.TypeFinished, "regild.rollout.v1", events.RolloutPlan.Type(), "cloudevent"} {
		schema, compileErr := compiler.Compile(base + name + ".json")
		err = errors.Join(err, compileErr)
		compiled[name] = schema
	}
	return func(eventType string) (*jsonschema.Schema, error) {
		if s := compiled[eventType]; s != nil || err != nil {
			return s, err
		}
		if strings.HasPrefix(eventType, "regild.rollout.") {
			return compiled["regild.rollout.v1"], nil
		}
		return nil, fmt.Errorf("no schema is known for %q", eventType)
	}
}

func checkSchema(e *told) error {
	whole, err := schemas("cloudevent")
	if err != nil {
		return err
	}
	of, err := schemas(e.Type)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.body))
	if err != nil {
		return err
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return errors.New("it is no object")
	}
	return errors.Join(whole.Validate(doc), of.Validate(object["data"]))
}
