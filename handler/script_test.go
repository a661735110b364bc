package handler_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
	"github.com/regild/regild/internal/scripttest"
)

// testdata/scripts has what is delivered to the handler, and what comes of it. A line
// that begins at the margin says what happens (see command). The lines behind a
// delivery say what was done: calls that change something, in their order, and how
// often was read what; what each journal has more; what was told; what was put on a
// queue; and whether the delivery is asked for again.

// A stage is where a script is played: the handler and all its ports.
type stage struct {
	*testing.T
	out     strings.Builder
	archive *txtar.Archive
	config  handler.Config
	h       *handler.Handler
	store   *scriptStore
	limit   time.Duration
	n       int // invocations
	last    string
	skew    time.Duration
	names   map[string]string // of calls, for names made of random letters

	mu       sync.Mutex
	desktops map[string]desktop.Desktop
	images   map[string]desktop.Image
	changes  map[string][]desktop.Change
	snaps    map[string][]desktop.Snapshot
	sessions map[string][]desktop.Session
	events   []desktop.Event
	alarms   map[string][]desktop.Alarm
	answer   desktop.Invocation
	results  map[string]desktop.Result       // of RebuildDesktops, by desktop; default: success
	faults   map[string][]*desktop.CallError // nil: it works
	slow     map[string]time.Duration        // how long appends take, and calls that change something
	acts     []string
	reads    map[string]int
	told     []string
	queue    []scriptMessage
	hook     func()            // called before an append
	until    int               // how many come before that
	reading  string            // the key of the journal before whose next read it is called instead; "": before an append
	plan     string            // the digest of the plan that was told last; PLAN in a message stands for it
	sent     int               // of queue that were said
	texts    map[string]string // that were told, by the id of the event: a subscriber drops repetitions
}

type scriptMessage struct {
	queue, body string
	due         time.Time
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, 10, func(t *testing.T, archive *txtar.Archive, script string) (got string) {
		synctest.Test(t, func(t *testing.T) { got = play(t, archive, script) })
		return got
	})
}

func play(t *testing.T, archive *txtar.Archive, script string) string {
	s := &stage{T: t, archive: archive, limit: time.Minute, names: map[string]string{}, reads: map[string]int{}, texts: map[string]string{},
		desktops: map[string]desktop.Desktop{}, images: map[string]desktop.Image{}, changes: map[string][]desktop.Change{}, snaps: map[string][]desktop.Snapshot{},
		sessions: map[string][]desktop.Session{}, alarms: map[string][]desktop.Alarm{}, results: map[string]desktop.Result{}, faults: map[string][]*desktop.CallError{}}
	s.store = &scriptStore{Store: journaltest.Memory(), stage: s, expired: map[string]bool{}}
	s.config = handler.Config{ECD: s, Snapshots: s, Saver: s, Notifier: s, Census: s, Alarms: s, Topic: s, Queue: scriptQueue{s, "q"}, Journal: s.store,
		Rules: rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute}, RebuildConcurrency: 1, PublishConcurrency: 1,
		Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(s.skew) }}
	s.fleets("fleets.yaml")
	for i, id := range []string{"m-old", "m-new"} {
		s.image(id, desktop.ImageAvailable, i)
	}
	scripttest.Play(script, &s.out, func(line string) {
		word, rest, _ := strings.Cut(line, " ")
		s.command(word, rest)
	})
	return s.out.String()
}

func (s *stage) fleets(name string) {
	s.config.Rules.Fleets, s.config.Rules.Declared, s.h = nil, false, nil
	for _, f := range s.archive.Files {
		if f.Name == name {
			list, err := fleet.Parse(name, f.Data)
			if err != nil {
				s.Fatal(err)
			}
			s.config.Rules.Fleets, s.config.Rules.Declared = list, true
		}
	}
}

func (s *stage) image(id, status string, day int) {
	s.images[id] = desktop.Image{ID: id, RegionID: region, Name: "win-" + id, Status: status, OS: desktop.Windows, SizeGiB: 80, Created: time.Date(1999, 1, 1+day, 0, 0, 0, 0, time.UTC)}
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

// command plays one line.
func (s *stage) command(word, rest string) {
	words := strings.Fields(rest)
	switch word {
	case "fleets":
		s.fleets(rest)
	case "cold": // a new instance
		s.h = nil
	case "without":
		s.without(rest)
	case "room": // how many bytes a journal takes
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		s.config.Rules.JournalLimit, s.h = n, nil
	case "full": // a log takes no more
		s.store.full = append(s.store.full, rest)
	case "doors":
		s.h = nil
		for _, w := range words {
			k, v, _ := strings.Cut(w, "=")
			*map[string]*string{"control": &s.config.Doors.Control, "release": &s.config.Doors.Release, "request": &s.config.Doors.Request}[k] = v
		}
	case "apart": // requests of senders are kept apart, or no more
		s.config.Doors.Apart, s.h = rest != "no", nil
	case "key":
		s.config.TickKey, s.h = []byte(rest), nil
	case "rollout-queue":
		s.config.RolloutQueue, s.h = scriptQueue{s, "rollouts"}, nil
	case "most": // desktops that an invocation takes on
		s.config.Desktops, _ = strconv.Atoi(rest)
		s.h = nil
	case "lost": // what is on the queues never comes
		s.queue = nil
	case "limit":
		s.limit = s.duration(rest)
	case "skew":
		s.skew = s.duration(rest)
	case "desktop":
		s.desktop(words[0], words[1:])
	case "desktops": // so many, in this status and on this image
		n, _ := strconv.Atoi(words[0])
		for i := range n {
			s.desktop(fmt.Sprintf("ecd-%06d", i), words[1:])
		}
	case "image":
		if words[1] == "gone" {
			delete(s.images, words[0])
		} else {
			s.image(words[0], words[1], 5)
			if len(words) > 2 {
				i := s.images[words[0]]
				i.Type = words[2]
				s.images[words[0]] = i
			}
		}
	case "change":
		state := map[string]desktop.ChangeState{"changing": desktop.Changing, "succeeded": desktop.ChangeSucceeded, "failed": desktop.ChangeFailed}[words[3]]
		s.changes[words[0]] = append([]desktop.Change{{DesktopID: words[0], From: strings.Trim(words[1], `"`), To: words[2], State: state, Updated: time.Now()}}, s.changes[words[0]]...)
	case "snapshot":
		s.snaps[words[0]] = []desktop.Snapshot{{ID: words[1], DesktopID: words[0], DataDisk: true, GiB: 100, State: desktop.SnapshotDone, Created: time.Now()}}
	case "session":
		s.sessions[words[0]] = []desktop.Session{{DesktopID: words[0], User: words[1], Status: desktop.Connected, Started: time.Now()}}
	case "alarm":
		s.alarms[words[0]] = []desktop.Alarm{{Name: words[0], State: words[1], On: true}}
	case "answer":
		s.answer = desktop.Invocation{Status: words[0], Done: words[0] != "Running"}
		s.answer.ExitCode, _ = strconv.Atoi(words[1])
	case "result": // of RebuildDesktops, for one desktop
		delivery := map[string]desktop.Delivery{"refused": desktop.Refused, "not-sent": desktop.NotSent, "forbidden": desktop.Forbidden, "unknown": desktop.Unknown}[words[1]]
		s.results[words[0]] = desktop.Result{DesktopID: words[0], Delivery: delivery, Code: words[2], Message: strings.Join(words[3:], " ")}
	case "fails": // NAME how often, and how
		s.fail(words)
	case "then": // as fails, behind those faults that there are
		before := s.faults[words[0]]
		s.fail(words)
		s.faults[words[0]] = slices.Concat(before, s.faults[words[0]])
	case "after": // NAME works so often before
		n, _ := strconv.Atoi(words[1])
		s.faults[words[0]] = append(make([]*desktop.CallError, n), s.faults[words[0]]...)
	case "slow": // each call of this name takes so long
		s.slow = map[string]time.Duration{words[0]: s.duration(words[1])}
	case "mended":
		clear(s.faults)
	case "expired": // a journal, as a rule of its bucket deletes it
		s.store.expired[rest], s.h = true, nil
	case "wait":
		time.Sleep(s.duration(rest)) //nolint:forbidigo // time of the bubble, which takes none
	case "send":
		s.deliver(rest)
	case "again":
		s.deliver(s.last)
	case "meanwhile": // before the n-th append of the next delivery another instance handles a message, or the same
		n, rest, _ := strings.Cut(rest, " ")
		s.until, _ = strconv.Atoi(n)
		s.hook = func() { s.meanwhile(rest) }
	case "reading": // KEY: the same before that journal is read next
		key, rest, _ := strings.Cut(rest, " ")
		s.until, s.reading = 1, key
		s.hook = func() { s.meanwhile(rest) }
	case "at": // before the n-th append of the next delivery, as a line of the script says
		n, rest, _ := strings.Cut(rest, " ")
		s.until, _ = strconv.Atoi(n)
		word, rest, _ := strings.Cut(rest, " ")
		s.hook = func() { s.command(word, rest) }
	case "queued": // what is due next comes; with a time, all that is due by then
		for s.queued(); rest != "" && len(s.queue) > 0 && !s.next().due.After(start.Add(s.duration(rest))); {
			s.queued()
		}
	case "together": // all that comes within a second does so in one delivery
		s.together()
	case "ask": // a message through a door: DOOR TYPE ID DATA
		s.deliver(s.asked(rest))
	default:
		s.Fatalf("%q is no command", word)
	}
}

func (s *stage) asked(rest string) string {
	rest = strings.ReplaceAll(rest, "PLAN", s.plan)
	door, rest, _ := strings.Cut(rest, " ")
	kind, rest, _ := strings.Cut(rest, " ")
	id, data, _ := strings.Cut(rest, " ")
	return s.wrapped(door, kind, id, data)
}

// meanwhile has another instance handle a message, in the middle of a delivery.
func (s *stage) meanwhile(rest string) {
	payload := s.last
	if rest != "again" {
		payload = s.asked(rest)
	}
	h, err := handler.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	s.does("another instance begins")
	if _, err = h.Handle(s.Context(), handler.Invocation{RequestID: fmt.Sprintf("other%d", s.n), Source: "acs:fc:cn-hangzhou:1:functions/regild"}, []byte(payload)); err != nil {
		s.does("and asks for it again: %v", err)
	}
	s.does("and ends")
}

func (s *stage) without(what string) {
	s.h = nil
	switch what {
	case "journal":
		s.config.Journal = nil
	case "queue":
		s.config.Queue = nil
	case "snapshots":
		s.config.Snapshots = nil
	case "saver":
		s.config.Saver = nil
	case "notifier":
		s.config.Notifier = nil
	case "census":
		s.config.Census = nil
	case "alarms":
		s.config.Alarms = nil
	default:
		s.Fatalf("without %s", what)
	}
}

func (s *stage) desktop(id string, words []string) {
	if words[0] == "gone" {
		delete(s.desktops, id)
		return
	}
	d := desktop.Desktop{ID: id, RegionID: region, Status: words[0], ImageID: strings.Trim(words[1], `"`), Connection: desktop.Disconnected, OS: desktop.Windows, SystemDiskGiB: 80}
	for _, w := range words[2:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "user":
			d.Connection, d.Users = desktop.Connected, []string{v}
		case "disks":
			d.DataDisks, _ = strconv.Atoi(v)
		case "pool":
			d.GroupID = v
		}
	}
	s.desktops[id] = d
}

func (s *stage) fail(words []string) {
	n, _ := strconv.Atoi(words[1])
	e := desktop.CallError{Call: words[0], Code: "Code." + words[2], Message: words[2], RequestID: "req-1"}
	if len(words) > 3 {
		e.Message += " " + strings.Join(words[3:], " ")
	}
	switch words[2] {
	case "throttled":
		e.Throttled, e.Delivery = true, desktop.NotSent
	case "not-sent":
		e.Delivery = desktop.NotSent
	case "refused":
		e.Delivery = desktop.Refused
	case "IncorrectDesktopStatus":
		e.Delivery, e.Code = desktop.Refused, rollout.IncorrectDesktopStatus
	case "forbidden":
		e.Delivery = desktop.Forbidden
	case "credentials":
		e.Delivery, e.Credentials = desktop.Forbidden, true
	case "unlisted":
		e.Unlisted = true
	case "too-many":
		e.Err = desktop.ErrTooMany
	}
	s.faults[words[0]] = slices.Repeat([]*desktop.CallError{&e}, n)
}

// types are short words for types of messages.
var types = map[string]string{"request": events.TypeRequest, "release": events.TypeRelease, "control": events.TypeControl, "freeze": events.TypeFreeze, "tick": events.TypeTick}

// wrapped is a message as a trigger delivers it: "bare" as it is, "event" as a
// CloudEvent that somebody sends, else from a queue or a topic.
func (s *stage) wrapped(door, kind, id, data string) string {
	body := data
	if kind != "bare" {
		typ := kind
		if long, short := types[kind]; short {
			typ = long
		}
		plain, source, _ := strings.Cut(id, "@")
		if id = plain; source == "" {
			source = "/ops"
		}
		body = fmt.Sprintf(`{"specversion":"1.0","type":%q,"id":%q,"source":%q,"data":%s}`, typ, id, source, data)
	}
	switch {
	case strings.HasPrefix(door, "queues/"):
		return fmt.Sprintf(`{"specversion":"1.0","type":"mns:Queue:SendMessage","id":"E-%s","source":"MNS","subject":"acs:mns:cn-hangzhou:1:%s","data":{"messageId":"M-%s","messageBody":%q}}`, id, door, id, body)
	case strings.HasPrefix(door, "topics/"):
		return fmt.Sprintf(`{"TopicOwner":"1","TopicName":%q,"MessageId":"T-%s","Message":%q}`, strings.TrimPrefix(door, "topics/"), id, body)
	}
	return body
}

// queued waits for what is due next on a queue, and delivers it.
func (s *stage) queued() {
	if len(s.queue) == 0 {
		s.say("nothing is on a queue")
		return
	}
	m := s.next()
	s.queue = s.queue[1:]
	time.Sleep(time.Until(m.due)) //nolint:forbidigo // time of the bubble, which takes none
	s.say("it is " + s.since(time.Now()))
	door := cmp.Or(s.config.Doors.Request, "queues/q")
	if m.queue != "q" {
		door = "queues/" + m.queue
	}
	s.deliver(s.wrapped(door, "bare", fmt.Sprintf("q%d", s.n), m.body))
}

// together waits for a second, and delivers all that is due in one payload.
func (s *stage) together() {
	time.Sleep(time.Second) //nolint:forbidigo // time of the bubble, which takes none
	s.say("it is " + s.since(time.Now()))
	var bodies []string
	for len(s.queue) > 0 && !s.next().due.After(time.Now()) {
		bodies = append(bodies, s.queue[0].body)
		s.queue = s.queue[1:]
	}
	s.deliver("[" + strings.Join(bodies, ",") + "]")
}

// next returns what is due next.
func (s *stage) next() scriptMessage {
	slices.SortStableFunc(s.queue, func(a, b scriptMessage) int { return a.due.Compare(b.due) })
	return s.queue[0]
}

func (s *stage) deliver(payload string) {
	s.last = payload
	if s.h == nil {
		var err error
		if s.h, err = handler.New(s.config); err != nil {
			s.Fatal(err)
		}
	}
	s.n++
	s.acts, s.told, s.sent = nil, nil, len(s.queue)
	clear(s.reads)
	ctx, cancel := context.WithTimeout(s.Context(), s.limit)
	defer cancel()
	began := time.Now()
	report, err := s.h.Handle(ctx, handler.Invocation{RequestID: fmt.Sprintf("i%d", s.n), Source: "acs:fc:cn-hangzhou:1:functions/regild"}, []byte(payload))
	synctest.Wait()
	for i := range s.acts { // some are done at once
		word, _, _ := strings.Cut(s.acts[i], " ")
		for k := i; k > 0 && (word == "CreateSnapshot" || word == "Forget") && strings.HasPrefix(s.acts[k-1], word+" ") && s.acts[k] < s.acts[k-1]; k-- {
			s.acts[k], s.acts[k-1] = s.acts[k-1], s.acts[k]
		}
	}
	for _, line := range s.acts {
		s.say(line)
	}
	var reads []string
	for _, name := range slices.Sorted(maps.Keys(s.reads)) {
		reads = append(reads, fmt.Sprintf("%s %d", name, s.reads[name]))
	}
	if len(reads) > 0 {
		s.say("reads " + strings.Join(reads, ", "))
	}
	s.store.say()
	slices.Sort(s.told)
	for _, line := range s.told {
		s.say("told " + line)
	}
	for _, m := range s.queue[s.sent:] {
		s.say(fmt.Sprintf("%s: in %s %s", m.queue, time.Until(m.due), s.short(m.body)))
	}
	if took := time.Since(began); took > 0 {
		s.say("took " + took.String())
	}
	s.say(fmt.Sprintf("%d messages, %d desktops, %v", report.Messages, report.Desktops, report.Outcomes))
	if err != nil {
		s.say("again: " + err.Error())
	}
}

// short leaves out of a tick what it carries.
func (s *stage) short(body string) string {
	var e struct {
		Type, ID string
		Data     struct {
			Kind, ID, MAC string
			N             int
			Records       []string
		}
	}
	if json.Unmarshal([]byte(body), &e) != nil {
		return body
	}
	if kind, id, n, is := events.TickNamed(e.ID); is && e.Type == events.TypeRequest {
		return fmt.Sprintf("%s %s again, as tick %d", kind, id, n)
	}
	if e.Type != events.TypeTick {
		return body
	}
	return fmt.Sprintf("tick %s %s %d with %d records %.6s", e.Data.Kind, e.Data.ID, e.Data.N, len(e.Data.Records), e.Data.MAC)
}

var (
	moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	random = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
	writer = regexp.MustCompile(`"v":1,|,?"by":"(i|other)\d+"|"indexed":true,`) // that is written at the same time as the tick
	start  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)                        // of a bubble
)

func (s *stage) since(at time.Time) string { return "+" + at.Sub(start).String() }

// say adds a line. Times are told from the beginning on, and random names by their
// order.
func (s *stage) say(text string) {
	text = moment.ReplaceAllStringFunc(text, func(at string) string {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			s.Fatal(err)
		}
		return s.since(t)
	})
	text = random.ReplaceAllStringFunc(text, func(name string) string {
		if s.names[name] == "" {
			s.names[name] = fmt.Sprintf("c%d", len(s.names)+1)
		}
		return s.names[name]
	})
	s.out.WriteString("  " + strings.ReplaceAll(text, "\n", " | ") + "\n")
}

// before calls the hook if its append has come, or the read of its key.
func (s *stage) before(reading string) {
	s.mu.Lock()
	hook := s.hook
	if reading == s.reading {
		s.until--
	}
	if reading != s.reading || s.until > 0 {
		hook = nil
	}
	if hook != nil {
		s.hook, s.reading = nil, ""
	}
	s.mu.Unlock()
	if hook != nil {
		synctest.Wait() // what is done beside this append is over, in whatever order they began
		hook()
	}
}

// A scriptStore notes what is appended.
type scriptStore struct {
	journal.Store
	stage   *stage
	lines   map[string][]string
	expired map[string]bool // keys of which nothing is left
	full    []string        // keys that take no more
}

func (st *scriptStore) key(key string) string {
	if st.expired[key] {
		return strings.Replace(key, ".jsonl", "-anew.jsonl", 1)
	}
	return key
}

func (st *scriptStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	s := st.stage
	fault, lost := "Append", "AppendLost"
	if strings.HasPrefix(key, journal.OpenPrefix) { // it is written beside the rest, before or after
		fault, lost = "Enter", "EnterLost"
	} else {
		s.before("")
		time.Sleep(s.slow["Append"]) //nolint:forbidigo // time of the bubble, which takes none
	}
	if err := st.stage.meets(fault); err != nil {
		return 0, err
	}
	if limit := s.config.Rules.JournalLimit; slices.Contains(st.full, key) || limit > 0 && at+int64(len(lines)) > limit {
		return 0, journal.ErrFull
	}
	end, err := st.Store.Append(ctx, st.key(key), at, lines)
	if err == nil {
		if err = st.stage.meets(lost); err != nil {
			return 0, errors.Join(journal.ErrUnsettled, err)
		}
		st.stage.mu.Lock()
		defer st.stage.mu.Unlock()
		if st.lines == nil {
			st.lines = map[string][]string{}
		}
		for line := range bytes.Lines(lines) {
			st.lines[key] = append(st.lines[key], strings.TrimSpace(string(line)))
		}
	}
	return end, err
}

func (st *scriptStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	st.stage.before(key)
	if err := st.stage.meets("Read"); err != nil {
		return nil, 0, err
	}
	return st.Store.Read(ctx, st.key(key), from)
}

func (st *scriptStore) Forget(ctx context.Context, key string) error {
	st.stage.does("Forget %s", key)
	if err := st.stage.meets("Forget"); err != nil {
		return err
	}
	return st.Store.Forget(ctx, key)
}

func (st *scriptStore) say() {
	for _, key := range slices.Sorted(maps.Keys(st.lines)) {
		for _, line := range st.lines[key] {
			line = writer.ReplaceAllString(inOrder(line), "")
			if head, _, entry := strings.Cut(line, `,"at":`); entry && strings.HasPrefix(key, journal.OpenPrefix) {
				line = head + "}"
			}
			st.stage.say(key + " " + line)
		}
	}
	clear(st.lines)
}

// inOrder sorts what was published: that is told in any order.
func inOrder(line string) string {
	var r rollout.Record
	if json.Unmarshal([]byte(line), &r) != nil || r.Kind != rollout.KindPublished {
		return line
	}
	slices.SortFunc(r.Outcomes, func(a, b rollout.Group) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.N, b.N))
	})
	for _, g := range r.Outcomes {
		slices.Sort(g.Desktops)
	}
	slices.Sort(r.Events)
	data, err := json.Marshal(r)
	if err != nil {
		return line
	}
	return string(data)
}

// meets returns the fault that a call of that name meets, if any.
func (s *stage) meets(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.faults[name]; len(list) > 0 {
		if s.faults[name] = list[1:]; list[0] != nil {
			return list[0]
		}
	}
	return nil
}

func (s *stage) does(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acts = append(s.acts, fmt.Sprintf(format, args...))
}

// asks notes a call that reads.
func (s *stage) asks(name string) error {
	s.mu.Lock()
	s.reads[name]++
	s.mu.Unlock()
	name, _, _ = strings.Cut(name, " ")
	return s.meets(name)
}

func (s *stage) acting(name string, ids []string, more string) error {
	s.does("%s %s %s", name, strings.Join(ids, ","), more)
	time.Sleep(s.slow[name]) //nolint:forbidigo // time of the bubble, which takes none
	return s.meets(name)
}

// The ports.

func (s *stage) Publish(_ context.Context, body []byte, tag string) error {
	if err := s.meets("Publish"); err != nil {
		return err
	}
	var e struct {
		Type, ID string
		Data     map[string]any
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	if digest, is := e.Data["planDigest"].(string); is {
		s.plan = digest
	}
	maps.DeleteFunc(e.Data, func(_ string, v any) bool { return v == "" || v == false || v == 0.0 })
	data, err := json.Marshal(e.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf("%s %s [%s] %s", strings.TrimPrefix(e.Type, "regild."), e.ID, tag, data))
	delete(e.Data, "via") // of a request whose journal has expired it is another message's
	text := fmt.Sprint(e.Data)
	if before, is := s.texts[e.ID]; is && before != text {
		s.Errorf("%s was told with two texts: %s, and %s", e.ID, before, text)
	}
	s.texts[e.ID] = text
	return err
}

type scriptQueue struct {
	s    *stage
	name string
}

func (q scriptQueue) Send(_ context.Context, body []byte, delay time.Duration) error {
	if err := q.s.meets("Send"); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	q.s.queue = append(q.s.queue, scriptMessage{q.name, string(body), time.Now().Add(delay)})
	return nil
}

func (q scriptQueue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	return sendEach(ctx, q, body, delays...)
}

func (s *stage) Rebuild(_ context.Context, b desktop.Batch) (desktop.Answer, error) {
	spec, err := json.Marshal(b.Spec)
	if err = errors.Join(err, s.acting("RebuildDesktops", b.IDs, string(spec))); err != nil {
		return desktop.Answer{}, err
	}
	a := desktop.Answer{RequestID: "req-1"}
	for _, id := range b.IDs {
		switch r, special := s.results[id]; {
		case !special:
			a.Results = append(a.Results, desktop.Result{DesktopID: id, Code: "success"})
		case r.Code != "missing":
			a.Results = append(a.Results, r)
		}
	}
	return a, nil
}

func pickAll[T any](from map[string]T, ids []string) (out []T) {
	for _, id := range ids {
		if x, there := from[id]; there {
			out = append(out, x)
		}
	}
	return out
}

func (s *stage) Desktops(_ context.Context, _ string, ids []string) ([]desktop.Desktop, error) {
	return pickAll(s.desktops, ids), s.asks("DescribeDesktops")
}

func (s *stage) Select(context.Context, string, desktop.Selector) ([]desktop.Desktop, error) {
	return pickAll(s.desktops, slices.Sorted(maps.Keys(s.desktops))), s.asks("Select")
}

func (s *stage) Tags(_ context.Context, _ string, ids []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, id := range ids {
		out[id] = map[string]string{"site": id[len(id)-1:]}
	}
	return out, s.asks("Tags")
}

func (s *stage) Images(_ context.Context, _ string, ids []string) ([]desktop.Image, error) {
	return pickAll(s.images, ids), s.asks("DescribeImages")
}

func (s *stage) ImagesNamed(_ context.Context, _, name string) (out []desktop.Image, err error) {
	for _, id := range slices.Sorted(maps.Keys(s.images)) {
		if s.images[id].Name == name {
			out = append(out, s.images[id])
		}
	}
	return out, s.asks("ImagesNamed")
}

func (s *stage) Changes(_ context.Context, _, id string) ([]desktop.Change, error) {
	return s.changes[id], s.asks("Changes")
}

func (s *stage) Maintain(_ context.Context, _ string, ids []string, on bool) error {
	return s.acting("Maintain", ids, fmt.Sprint(on))
}

func (s *stage) Stop(_ context.Context, _ string, ids []string) error {
	return s.acting("StopDesktops", ids, "")
}

func (s *stage) Start(_ context.Context, _ string, ids []string) error {
	return s.acting("StartDesktops", ids, "")
}

func (s *stage) Run(_ context.Context, _ string, ids []string, command, kind string, timeout time.Duration) ([]string, error) {
	return []string{"t-1"}, s.acting("RunCommand", ids, fmt.Sprint(command, " ", kind, " ", timeout))
}

func (s *stage) Tell(_ context.Context, _ string, ids []string, user, text string) ([]string, error) {
	return []string{"t-2"}, s.acting("Tell", ids, user+" "+text)
}

func (s *stage) Invocations(context.Context, string, string) (out []desktop.Invocation, err error) {
	for _, id := range slices.Sorted(maps.Keys(s.desktops)) {
		i := s.answer
		i.DesktopID = id
		out = append(out, i)
	}
	return out, s.asks("Invocations")
}

func (s *stage) Snapshots(_ context.Context, _ string, ids []string) (map[string][]desktop.Snapshot, error) {
	out := map[string][]desktop.Snapshot{}
	for _, id := range ids {
		out[id] = s.snaps[id]
	}
	return out, s.asks("Snapshots")
}

func (s *stage) CreateSnapshot(_ context.Context, _, id, name string) (string, error) {
	return "s-" + id, s.acting("CreateSnapshot", []string{id}, name)
}

func (s *stage) Sessions(_ context.Context, _ string, ids []string, from time.Time) (map[string][]desktop.Session, error) {
	out := map[string][]desktop.Session{}
	for _, id := range ids {
		out[id] = s.sessions[id]
	}
	return out, s.asks("Sessions since " + s.since(from))
}

func (s *stage) Events(_ context.Context, _, id string, from, _ time.Time) ([]desktop.Event, error) {
	return s.events, s.asks("Events " + id + " since " + s.since(from))
}

func (s *stage) Alarms(_ context.Context, _, name string) ([]desktop.Alarm, error) {
	return s.alarms[name], s.asks("Alarms " + name)
}
