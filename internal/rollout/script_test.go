package rollout_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
	"github.com/regild/regild/internal/scripttest"
)

// testdata/scripts has operations from beginning to end. A line that begins at the
// margin says what happens (see commands); the lines behind a time say what is decided
// then, and what follows: what is read, records, what is done, what is told, and when
// to look again. A call of ours works unless the script says otherwise.

// A player plays one script.
type player struct {
	t       *testing.T
	out     strings.Builder
	archive *txtar.Archive
	rules   rollout.Rules
	s       *rollout.State
	now     time.Time
	facts   *rollout.Facts // that were read
	calls   int
	cloud   *rollout.Facts // as it is; what is not in it cannot be
	broken  map[string]rollout.Unread
	ends    string // how calls end
	answer  desktop.Invocation
	busy    map[string]string
}

func TestScripts(t *testing.T) { scripttest.Run(t, 20, play) }

func play(t *testing.T, archive *txtar.Archive, script string) string {
	p := &player{t: t, archive: archive, s: rollout.NewState(), now: began, cloud: rollout.NewFacts(), facts: rollout.NewFacts(), broken: map[string]rollout.Unread{},
		rules: rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, Freezes: true, RebuildTimeout: 30 * time.Minute}, busy: map[string]string{}}
	p.fleets("fleets.yaml")
	for i, id := range []string{"m-old", "m-new"} {
		p.image(id, desktop.ImageAvailable, began.Add(time.Duration(i-9)*time.Hour))
	}
	scripttest.Play(script, &p.out, func(line string) {
		words := strings.Fields(line)
		p.command(words[0], words[1:])
	})
	return p.out.String()
}

func (p *player) fleets(name string) {
	p.rules.Fleets, p.rules.Declared = nil, false
	for _, f := range p.archive.Files {
		if f.Name != name {
			continue
		}
		list, err := fleet.Parse(name, f.Data)
		if err != nil {
			p.t.Fatal(err)
		}
		p.rules.Fleets, p.rules.Declared = list, true
	}
}

func (p *player) image(id, status string, made time.Time) {
	p.cloud.Images[id] = just(&desktop.Image{ID: id, RegionID: "cn-hangzhou", Status: status, OS: desktop.Windows, SizeGiB: 80, Created: made})
}

// options are words such as image=m-new.
func options(words []string) map[string]string {
	out := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		out[k] = v
	}
	return out
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// time reads +1h as a time after the beginning of the script.
func (p *player) time(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return began.Add(d)
}

// command plays one line.
func (p *player) command(word string, words []string) {
	o := options(words)
	switch word {
	case "request":
		p.open(rollout.Operation{ID: words[0], Desktops: list(o["of"]), NotBefore: p.time(o["before"]), Via: &events.Via{Door: o["door"]}}, o)
	case "release":
		p.open(rollout.Operation{ID: words[0], ReleaseID: strings.Split(words[0], "/")[0], Fleet: strings.Split(words[0], "/")[1], First: o["first"] != ""}, o)
	case "rollback":
		back := map[string][]string{}
		for _, pair := range list(o["back"]) {
			id, image, _ := strings.Cut(pair, ":")
			back[image] = append(back[image], id)
		}
		p.open(rollout.Operation{ID: words[0] + "/rollback", Undoes: words[0], ReleaseID: strings.Split(words[0], "/")[0], Fleet: strings.Split(words[0], "/")[1],
			Back: back, AnyTime: o["any-time"] != "", Why: "it is bad"}, o)
	case "fleets":
		p.fleets(words[0])
	case "image":
		if words[1] == "gone" {
			p.cloud.Images[words[0]] = just[*desktop.Image](nil)
		} else {
			p.image(words[0], words[1], began)
		}
		if _, linux := o["linux"]; linux {
			p.cloud.Images[words[0]].Value.OS = desktop.Linux
		}
	case "desktop":
		p.desktop(words[0], words[1:], o)
	case "lists": // of a fleet, until a desktop changes: these alone
		all := p.cloud.Members[words[0]].Value
		p.cloud.Members[words[0]] = just(slices.DeleteFunc(slices.Clone(all), func(x desktop.Desktop) bool { return !slices.Contains(words[1:], x.ID) }))
	case "change":
		state := map[string]desktop.ChangeState{"changing": desktop.Changing, "succeeded": desktop.ChangeSucceeded, "failed": desktop.ChangeFailed}[words[3]]
		c := desktop.Change{DesktopID: words[0], From: strings.Trim(words[1], "-"), To: words[2], State: state, Updated: p.now}
		p.cloud.Changes[words[0]] = just(append([]desktop.Change{c}, p.cloud.Changes[words[0]].Value...))
	case "session":
		idle, err := time.ParseDuration(o["idle"])
		p.cloud.Sessions[words[0]] = just(append(p.cloud.Sessions[words[0]].Value, desktop.Session{DesktopID: words[0], User: words[1], Status: words[2], Started: p.now, Idle: idle, IdleKnown: err == nil}))
	case "logon":
		kind := map[string]desktop.EventKind{"ticket": desktop.TicketAsked, "connected": desktop.ConnectDone}[words[2]]
		p.cloud.Logons[words[0]] = just(rollout.History[desktop.Event]{List: append(p.cloud.Logons[words[0]].Value.List, desktop.Event{DesktopID: words[0], User: words[1], Kind: kind, At: p.now})})
	case "snapshot":
		state := map[string]desktop.SnapshotState{"made": desktop.SnapshotUnderWay, "done": desktop.SnapshotDone, "failed": desktop.SnapshotFailed}[words[2]]
		p.cloud.Snapshots[words[0]] = just([]desktop.Snapshot{{ID: words[1], DesktopID: words[0], DataDisk: true, Name: words[3], GiB: 100, State: state, Created: p.now}})
	case "alarm":
		p.cloud.Alarms[words[0]] = just([]desktop.Alarm{{Name: words[0], State: words[1], On: true}})
	case "ring":
		p.cloud.Rings[words[0]] = just(rollout.Ring(strings.Join(words[1:], " ")))
	case "freeze":
		p.cloud.Freezes[rollout.FreezesKey] = just(append(p.cloud.Freezes[rollout.FreezesKey].Value,
			rollout.Freeze{ID: words[0], Who: "ada", Why: "exams", Until: p.time(o["until"]), Regions: list(o["regions"]), Fleets: list(o["fleets"])}))
	case "lift":
		p.cloud.Freezes[rollout.FreezesKey].Value.Find(words[0]).Lifted = "ada"
	case "unreadable":
		_, unasked := o["unasked"]
		p.broken[words[0]] = rollout.Unread{Code: words[1], Message: words[0] + " cannot be read", Unasked: unasked}
	case "readable":
		delete(p.broken, words[0])
	case "busy":
		p.busy[words[0]] = words[1]
	case "free":
		clear(p.busy)
	case "calls":
		p.ends = words[0]
	case "answer":
		p.answer = desktop.Invocation{Status: words[0], Done: words[0] != "Running", Output: strings.Join(words[2:], " ")}
		p.answer.ExitCode, _ = strconv.Atoi(words[1])
	case "control":
		wave, _ := strconv.Atoi(o["wave"])
		if err := rollout.Allow(p.s, words[0], wave); err != nil {
			p.sayf("refused: %v", err)
			return
		}
		p.apply(rollout.Record{Kind: rollout.KindControl, Action: words[0], Who: "ada", Wave: wave, Reason: &events.Reason{Code: events.CodeSuccess, Message: "because"}})
	case "superseded":
		p.apply(rollout.Record{Kind: rollout.KindSuperseded, Who: words[0], Reason: &events.Reason{Code: events.CodeSuperseded, Message: "newer"}})
	case "settle":
		p.apply(rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.Status(words[1]), Code: words[2], Desktops: []string{words[0]}}}})
	case "going-back":
		p.apply(rollout.Record{Kind: rollout.KindGoingBack})
	case "without-a-journal":
		p.rules.Journal, p.rules.Freezes, p.rules.SignedTicks = false, false, o["signed"] != ""
	case "use": // somebody logs on
		p.cloud.Uses[words[0]] = just(rollout.History[desktop.Session]{List: []desktop.Session{{DesktopID: words[0], User: words[1], Started: p.now}}})
	case "carried": // by a tick
		s := rollout.NewState()
		s.Apply(p.s.Compact(p.s.Order)...)
		p.s = s
	case "doubted": // by a tick that is not signed, at a time
		p.s.Doubt(p.time(words[0]))
	case "plan":
		p.plan()
	default:
		if p.now = p.time(word); !strings.HasPrefix(word, "+") {
			p.t.Fatalf("%q is no command", word)
		}
		p.step()
	}
}

func (p *player) open(op rollout.Operation, o map[string]string) {
	op.Spec = desktop.Spec{RegionID: cmp.Or(o["region"], "cn-hangzhou"), ImageID: o["image"], OperateType: o["type"], AfterStatus: o["after"]}
	op.Consents = list(o["consent"])
	p.apply(rollout.Record{Kind: rollout.KindOpened, Operation: &op})
}

func (p *player) desktop(id string, words []string, o map[string]string) {
	delete(p.cloud.Sessions, id)
	if words[0] == "gone" {
		p.cloud.Desktops[id] = just[*desktop.Desktop](nil)
	} else {
		x := &desktop.Desktop{ID: id, RegionID: "cn-hangzhou", Status: words[0], ImageID: strings.Trim(words[1], "-"), Connection: desktop.Disconnected, OS: desktop.Windows, SystemDiskGiB: 80,
			Users: list(o["users"]), Tags: map[string]string{}}
		if _, linux := o["linux"]; linux {
			x.OS = desktop.Linux
		}
		if _, connected := o["connected"]; connected {
			x.Connection = desktop.Connected
		}
		x.DataDisks, _ = strconv.Atoi(o["disks"])
		for _, tag := range list(o["tags"]) {
			k, v, _ := strings.Cut(tag, ":")
			x.Tags[k] = strings.ReplaceAll(v, ".", ":")
		}
		p.cloud.Tags[id] = just(x.Tags)
		if _, apart := o["tags-apart"]; apart { // they have to be asked for
			x.Tags = nil
		}
		p.cloud.Desktops[id] = just(x)
	}
	var members []desktop.Desktop
	for _, id := range slices.Sorted(maps.Keys(p.cloud.Desktops)) {
		if x := p.cloud.Desktops[id].Value; x != nil {
			members = append(members, *x)
		}
	}
	for _, f := range p.rules.Fleets {
		p.cloud.Members[f.Name] = just(slices.DeleteFunc(slices.Clone(members), func(x desktop.Desktop) bool { return !f.Contains(x) }))
	}
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// sayf adds a line to what is decided. Times are told from the beginning on.
func (p *player) sayf(format string, args ...any) {
	text := moment.ReplaceAllStringFunc(fmt.Sprintf(format, args...), func(at string) string {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			p.t.Fatal(err)
		}
		return "+" + t.Sub(began).String()
	})
	p.out.WriteString("  " + strings.ReplaceAll(text, "\n", " | ") + "\n")
}

func (p *player) apply(records ...rollout.Record) {
	for _, r := range records {
		if r.At.IsZero() {
			r.At = p.now
		}
		if err := func() error { r.V = 1; return r.Check() }(); err != nil {
			p.t.Fatal(err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			p.t.Fatal(err)
		}
		p.sayf("%s", strings.Replace(string(data), `"v":1,`, "", 1))
		p.s.Apply(r)
	}
}

// fill reads what is asked for, and says what that is.
func (p *player) fill(n rollout.Need) {
	var said []string
	need, cloud, facts := reflect.ValueOf(n), reflect.ValueOf(p.cloud).Elem(), reflect.ValueOf(p.facts).Elem()
	for f := range need.Type().Fields() {
		keys, _ := need.FieldByIndex(f.Index).Interface().([]string)
		for _, key := range keys {
			said = append(said, f.Name+" "+key)
			table := facts.FieldByName(f.Name)
			fact := reflect.New(table.Type().Elem()).Elem()
			if there := cloud.FieldByName(f.Name).MapIndex(reflect.ValueOf(key)); there.IsValid() {
				fact.Set(there)
			}
			if history := fact.FieldByName("Value"); history.Kind() == reflect.Struct {
				history.FieldByName("From").Set(reflect.ValueOf(n.From))
				said[len(said)-1] = f.Name + " " + n.From.Format(time.RFC3339) + " " + key
			}
			fact.FieldByName("ReadAt").Set(reflect.ValueOf(p.now))
			for _, name := range []string{f.Name, key} {
				if u, broken := p.broken[name]; broken {
					fact.FieldByName("Err").Set(reflect.ValueOf(&u))
				}
			}
			if f.Name == "Checks" {
				results := map[string]desktop.Invocation{}
				for _, id := range p.s.Order {
					results[id] = p.answer
				}
				fact.FieldByName("Value").Set(reflect.ValueOf(results))
			}
			table.SetMapIndex(reflect.ValueOf(key), fact)
		}
	}
	p.sayf("reads %s", strings.Join(said, ", "))
}

// step decides, and does what is decided, until nothing more follows at this time.
func (p *player) step() {
	p.facts = rollout.NewFacts()
	p.facts.Busy = p.busy
	for range 12 {
		d := rollout.Decide(p.s, p.rules, p.facts, p.now)
		if !d.Need.Empty() {
			p.fill(d.Need)
			continue
		}
		if len(d.Unrestored) > 0 {
			p.sayf("is not restored: %s", d.Unrestored)
		}
		p.apply(d.Records...)
		p.act(d)
		p.publish()
		if len(d.Records) > 0 || len(d.Acts) > 0 || len(d.Begin) > 0 {
			continue
		}
		if d.Back {
			p.sayf("goes back")
		}
		if d.Next.IsZero() {
			p.sayf("looks no more")
		} else {
			p.sayf("looks again at %s", d.Next.Format(time.RFC3339Nano))
		}
		return
	}
	p.sayf("and so on")
}

// act does what was decided. Each call is announced before; its end is written down
// unless it is lost.
func (p *player) act(d rollout.Decision) {
	p.calls++
	call := fmt.Sprintf("c%d", p.calls)
	end := func(r rollout.Record) {
		if r.Call = call; p.ends == "refused" {
			r.Invoke, r.Reason = "", &events.Reason{Code: events.CodeCallFailed, Message: "ECD says no"}
		}
		if p.ends != "lost" && (r.Reason == nil || r.Kind == rollout.KindSent || r.Kind == rollout.KindAsked || r.Kind == rollout.KindSaved) {
			p.apply(r)
		}
	}
	for _, a := range d.Acts {
		done := rollout.Record{Kind: a.Ends(), Desktops: a.Desktops}
		switch a.What {
		case rollout.Check:
			p.sayf("checks %s: %s (%s, %s)", a.Desktops, a.Text, a.Kind, a.Timeout)
			done.Call = "t-" + call
			p.apply(done)
			continue
		case rollout.Tell:
			p.sayf("tells %s in the session of %q: %s", a.Desktops, a.User, a.Text)
			done.Invoke = "t-" + call
		case rollout.Ask:
			p.sayf("asks %s: %s (%s, %s)", a.Desktops, a.Text, a.Kind, a.Timeout)
			done.Invoke = "t-" + call
		case rollout.Save:
			p.save(call, a, end)
			continue
		}
		begins, _ := a.Begins(call)
		p.apply(begins)
		if done.Kind != "" {
			end(done)
		}
	}
	if len(d.Begin) > 0 {
		p.begin(call, d.Begin)
	}
}

// save makes a snapshot of each desktop, by a call of its own.
func (p *player) save(call string, a rollout.Act, end func(rollout.Record)) {
	for _, id := range a.Desktops {
		p.sayf("saves %s as %s", id, rollout.SnapshotName(p.s.Operation.ID, id, a.N))
		a.Desktops = []string{id}
		begins, _ := a.Begins(call)
		p.apply(begins)
		end(rollout.Record{Kind: a.Ends(), Snapshot: "s-" + call, Desktops: a.Desktops})
	}
}

func (p *player) begin(call string, ids []string) {
	var from []string
	for _, id := range ids {
		spec, err := json.Marshal(p.s.CallSpec(id))
		if err != nil {
			p.t.Fatal(err)
		}
		p.sayf("rebuilds %s: %s", id, spec)
		from = append(from, p.cloud.Desktops[id].Value.ImageID)
	}
	p.apply(rollout.Record{Kind: rollout.KindBegun, Call: call, Desktops: ids, From: from})
	g := rollout.Group{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: ids}
	switch p.ends {
	case "lost":
		return
	case "unknown":
		g.Status, g.Code = events.StatusDeferred, events.CodeOutcomeUnknown
	case "refused":
		g.Status, g.Code, g.Until = events.StatusDeferred, rollout.IncorrectDesktopStatus, p.now.Add(time.Minute)
	case "throttled":
		g.Status, g.Code, g.Until = events.StatusDeferred, events.CodeThrottled, p.now.Add(time.Minute)
	case "short":
		g.Status, g.Code, g.Until = events.StatusDeferred, events.CodeTimeShort, p.now.Add(time.Minute)
	}
	p.apply(rollout.Record{Kind: rollout.KindEnded, Call: call, Outcomes: []rollout.Group{g}})
}

// publish says what the world is told, of which MNS takes all.
func (p *player) publish() {
	told := rollout.Record{Kind: rollout.KindPublished, At: p.now}
	for _, id := range p.s.Fresh() {
		for _, o := range p.s.Desktops[id].Unpublished {
			text := fmt.Sprintf("told %s: %s %s/%d, attempt %d", id, o.Status, o.Code, o.N, o.Attempt)
			if o.Snapshot != "" {
				text += ", saved as " + o.Snapshot
			}
			p.sayf("%s, from %q, after %s", text, o.From, o.Duration)
			told.Outcomes = append(told.Outcomes, rollout.Group{Status: o.Status, N: o.N, Desktops: []string{id}})
		}
	}
	for _, n := range p.s.UnpublishedEvents {
		reason := ""
		if n.Reason != nil {
			reason = " " + n.Reason.Code + " " + n.Reason.Message
		}
		counts := regexp.MustCompile(`\w+:0 ?`).ReplaceAllString(fmt.Sprintf("%+v", n.Counts), "")
		p.sayf("told %s of wave %d of %d, %s%s %s", n.What, n.Wave, n.Waves, counts, reason, n.By)
		told.Events = append(told.Events, n.ID())
	}
	p.s.Apply(told)
}

// plan says what would be done.
func (p *player) plan() {
	p.facts = rollout.NewFacts()
	for range 12 {
		plan, need, unread := rollout.Preview(*p.s.Operation, p.rules, p.facts, p.now)
		if !need.Empty() {
			p.fill(need)
			continue
		}
		if unread != nil {
			p.sayf("cannot be read: %s", unread.Message)
		}
		for _, w := range plan.Waves {
			for _, x := range w.Desktops {
				p.sayf("wave %d %s: %s %s from %q %s %s", w.N, w.Name, x.ID, x.Action, x.From, x.Code, x.Message)
			}
		}
		for _, g := range plan.Gates {
			p.sayf("gate: %s", g)
		}
		p.sayf("%v calls, %s", plan.Calls, time.Duration(plan.ExpectedSeconds)*time.Second)
		return
	}
}

// of returns what is to be done of one sort.
func of(d rollout.Decision, what rollout.What) []rollout.Act {
	return slices.DeleteFunc(slices.Clone(d.Acts), func(a rollout.Act) bool { return a.What != what })
}

// whom returns the desktops to which that is to be done.
func whom(d rollout.Decision, what rollout.What) (ids []string) {
	for _, a := range of(d, what) {
		ids = append(ids, a.Desktops...)
	}
	return ids
}
