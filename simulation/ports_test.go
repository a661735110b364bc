package simulation

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
)

// log is the journal: appends are atomic, and may be confirmed late or never.
type log struct{ *world }

var _ journal.Store = (*log)(nil)

// Read takes its time for the logs of fleets. For the journals of works it takes
// none: the handler holds a lock while it reads them, and the fake clock does not
// pass for whoever waits for a lock.
func (l *log) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	i := of(ctx)
	label := "Read " + key
	if strings.HasPrefix(key, "fleet/") {
		var lines []byte
		var length int64
		var err error
		h := l.call(ctx, label, true, func() { lines, length, err = l.store.Read(context.Background(), key, from) })
		switch {
		case h.dead:
			return nil, 0, errDead
		case h.what != "":
			return nil, 0, errors.New("reading: connection refused")
		}
		return lines, length, err
	}
	if strings.HasPrefix(key, "freeze/") && l.s.People {
		return l.readFreezes(ctx, key, from)
	}
	l.mu.Lock()
	if i.on.dead {
		l.mu.Unlock()
		return nil, 0, errDead
	}
	if !l.s.Records {
		i.journals = append(i.journals, key)
	}
	l.seen[label]++
	k := l.strikeAt(label, l.seen[label], newDice(l.s.Seed, label, l.seen[label]))
	if k.What == fails || k.What == lostBefore || k.What == lostAfter {
		l.note(i.id, label, "fails")
		l.mu.Unlock()
		return nil, 0, errors.New("reading: connection refused")
	}
	l.mu.Unlock()
	return l.store.Read(ctx, key, from)
}

func (l *log) Keys(ctx context.Context, prefix string) ([]string, error) {
	if of(ctx).on.dead {
		return nil, errDead
	}
	return l.store.Keys(ctx, prefix)
}

func (l *log) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if of(ctx).on.dead {
		return nil, errDead
	}
	return l.store.Some(ctx, prefix, after, limit)
}

func (l *log) Forget(ctx context.Context, key string) error {
	var err error
	h := l.call(ctx, "Forget "+key, false, func() {
		err = l.store.Forget(context.Background(), key)
		delete(l.unopened, key)
	})
	switch {
	case h.dead:
		return errDead
	case h.what == "":
		return err
	}
	return errors.New("deleting: unexpected EOF")
}

func (l *log) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	entry := strings.HasPrefix(key, journal.OpenPrefix)
	var label strings.Builder
	label.Grow(80)
	label.WriteString("Append ")
	label.WriteString(key)
	var records []record
	if entry { // of the index: it has no records
		label.WriteByte(' ')
	} else {
		records = decodeRecords(lines)
	}
	for i := range records {
		label.WriteByte(' ')
		label.WriteString(records[i].Kind)
	}
	var length int64
	var err error
	by := of(ctx)
	h := l.call(ctx, label.String(), false, func() {
		if length, err = l.store.Append(context.Background(), key, at, lines); err != nil {
			l.note(by.id, label.String(), err.Error())
			return
		}
		l.bytes[key] += len(lines)
		if entry {
			l.entered(key, lines)
			return
		}
		for n := range records {
			l.wrote(key, &records[n], by)
		}
	})
	if h.what != "" && !l.s.Records {
		l.lost(by, key)
	}
	switch {
	case h.dead:
		return 0, errDead
	case h.what == "":
		return length, err
	case h.what == fails || h.what == throttles:
		return 0, errors.New("appending: connection refused")
	}
	// The adapter reads what is there when an answer is lost. It may find it.
	return 0, fmt.Errorf("appending: %w", journal.ErrUnsettled)
}

// lost notes that an invocation could not write something down.
func (l *log) lost(by *invocation, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if by.unwritten == nil {
		by.unwritten = map[string]time.Time{}
	}
	by.unwritten[key] = time.Now()
}

// queue delivers at least once, in any order, some messages together.
type queue struct{ *world }

var _ handler.Queue = (*queue)(nil)

type message struct {
	id      string
	body    []byte
	head    head
	visible time.Time
	late    time.Duration // by how much it comes later than asked for
	got     int           // how often it was delivered
	lost    bool          // before it comes, if somebody makes good for it by then
}

// work returns the id of the work that the message is of.
func (m *message) work() string {
	if m.head.Subject != "" {
		return m.head.Subject
	}
	var bare struct {
		RequestID string `json:"requestId"`
	}
	_ = json.Unmarshal(m.body, &bare)
	return cmpOr(bare.RequestID, m.head.ID)
}

type head struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
	tick    int
}

// again returns the request that the function sends again instead of a tick; "": it is none.
func (h head) again() string {
	if _, id, _, is := events.TickNamed(h.ID); is && h.Type == events.TypeRequest {
		return id
	}
	return ""
}

func (q *queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	h := headOf(body)
	by := of(ctx)
	label := "Send " + cmpOr(h.Subject, h.ID)
	if h.tick > 0 {
		label += " tick " + strconv.Itoa(h.tick)
	}
	return q.call(ctx, label, false, func() {
		q.note(by.id, label, "comes in "+delay.Round(time.Second).String())
		if !takes(body) {
			q.breaks(bodyNotTaken, "%s: MNS does not take a message of %d bytes", label, len(body))
		}
		q.putAs(h, body, delay)
		q.sent++
		q.countTicks(h)
	}).callError("SendMessage")
}

// SendEach is one call, of which MNS may take a part: that is an error.
func (q *queue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	h := headOf(body)
	by := of(ctx)
	label := "Send " + cmpOr(h.Subject, h.ID) + " tick " + strconv.Itoa(h.tick) + " and again"
	partly := false
	met := q.call(ctx, label, false, func() {
		taken := len(delays)
		luck, which := newDice(q.s.Seed, label+" "+leavesOut, q.seen[label]), newDice(q.s.Seed, label, q.seen[label])
		if partly = q.strikesIf(label, leavesOut, func() bool { return !q.quiet() && luck.n(1000) < 20 }); partly {
			taken = which.n(len(delays))
			if which.one(2) { // those behind the first
				slices.Reverse(delays)
			}
		}
		for _, delay := range delays[:taken] {
			q.note(by.id, label, "comes in "+delay.Round(time.Second).String())
			q.putAs(h, body, delay)
			q.sent++
			q.countTicks(h)
		}
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := met.callError("BatchSendMessage"); err != nil || !partly {
		return err
	}
	return &desktop.CallError{Call: "BatchSendMessage", Delivery: desktop.Unknown, Message: "not all of them were taken"}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// headOf reads the head of a message. Data is a part of body.
func headOf(body []byte) head {
	h, ok := quickHead(body)
	if !ok {
		_ = json.Unmarshal(body, &h)
	}
	if h.Type == events.TypeTick {
		h.tick = numberIn(h.Data, `"n":`)
	}
	return h
}

// quickHead reads the head of an event as the function writes it, which spares most
// of the decoding. It says no to all others, and to what has an escape in its head.
func quickHead(body []byte) (h head, ok bool) {
	top, data, found := bytes.Cut(body, []byte(`,"data":`))
	if !found || !bytes.HasPrefix(top, []byte(`{"specversion":"1.0",`)) || bytes.IndexByte(top, '\\') >= 0 || !bytes.HasSuffix(data, []byte("}}")) {
		return head{}, false
	}
	h.ID, h.Type, h.Subject, h.Data = textIn(top, `,"id":"`), textIn(top, `,"type":"`), textIn(top, `,"subject":"`), data[:len(data)-1]
	return h, h.ID != "" && h.Type != ""
}

// textIn returns the text behind the first key, up to the next quotation mark.
func textIn(body []byte, key string) string {
	_, text, _ := bytes.Cut(body, []byte(key))
	text, _, _ = bytes.Cut(text, []byte(`"`))
	return string(text)
}

// textsIn returns the texts behind the first key, up to the next bracket.
func textsIn(body []byte, key string) (out []string) {
	_, list, _ := bytes.Cut(body, []byte(key))
	list, _, _ = bytes.Cut(list, []byte("]"))
	for len(list) > 1 {
		text, rest, _ := bytes.Cut(list[1:], []byte(`"`))
		out, list = append(out, string(text)), bytes.TrimPrefix(rest, []byte(","))
	}
	return out
}

// numberIn returns the number behind the first key, or 0.
func numberIn(body []byte, key string) (n int) {
	_, text, _ := bytes.Cut(body, []byte(key))
	for len(text) > 0 && text[0] >= '0' && text[0] <= '9' {
		n, text = 10*n+int(text[0]-'0'), text[1:]
	}
	return n
}

// put places a message on the queue.
func (w *world) put(body []byte, delay time.Duration) { w.putAs(headOf(body), body, delay) }

func (w *world) putAs(h head, body []byte, delay time.Duration) {
	w.seen["message"]++
	m := &message{id: "m" + strconv.Itoa(w.seen["message"]), body: body, head: h, visible: time.Now().Add(delay)}
	if u := w.unopenedOf(h.again()); u != nil {
		u.sent = time.Now()
	}
	// A message may come later than asked for.
	label := "Delivery of " + cmpOr(h.Subject, h.ID)
	w.seen[label]++
	if k := w.strikeAt(label, w.seen[label], newDice(w.s.Seed, label, w.seen[label])); k.What == isLate {
		m.late = k.For.d()
		m.visible = m.visible.Add(m.late)
		w.note("", label, "comes "+k.For.String()+" late")
	} else if k.What == vanishes && w.mayVanish(m) {
		w.note("", label, "never comes")
		if o := w.works[m.head.Subject]; o != nil {
			o.lostAt = time.Now()
		}
		w.poke()
		return
	} else if k.What == vanishes && w.s.Sweep {
		m.lost = h.again() != ""
	} else if k.What == twice {
		again := *m
		again.visible = again.visible.Add(k.For.d())
		w.messages = append(w.messages, &again)
		w.note("", label, "comes twice")
		w.cameAgain[m.work()] = true
	}
	w.messages = append(w.messages, m)
	w.poke()
}

// mayVanish says whether a message is of a work that the timer finds again: the
// latest rollout of a fleet, or a request that stands in the index of open ones.
func (w *world) mayVanish(m *message) bool {
	k := w.works[m.head.Subject]
	switch {
	case !w.s.Sweep || m.head.Type != events.TypeTick:
		return false
	case k == nil: // it is entered, perhaps, and not opened
		return slices.ContainsFunc(slices.Collect(maps.Values(w.logs)), func(log []enrolment) bool { return log[len(log)-1].id == m.head.Subject })
	}
	return !k.request() || w.indexed[k.id]
}

// take chooses some messages that are due: those that came together, at most
// three, in any order.
func (w *world) take() []*message {
	now := time.Now()
	if w.s.Sweep {
		w.messages = slices.DeleteFunc(w.messages, w.isLost)
	}
	if w.s.Brief {
		w.messages = slices.DeleteFunc(w.messages, func(m *message) bool { return !m.visible.After(now) && w.overtaken(m) })
	}
	var due []*message
	for _, m := range w.messages {
		if !m.visible.After(now) {
			due = append(due, m)
		}
	}
	if len(due) == 0 {
		return nil
	}
	d := newDice(w.s.Seed, "delivery", w.count)
	if w.s.Window > 0 { // wait for what comes soon
		first := due[0].visible
		for _, m := range due {
			if m.visible.Before(first) {
				first = m.visible
			}
		}
		if now.Before(first.Add(w.s.Window.d())) && len(due) < 3 {
			for _, m := range w.messages {
				if m.visible.After(now) && !m.visible.After(first.Add(w.s.Window.d())) {
					return nil // another is on its way: it comes along
				}
			}
		}
	}
	for n := range due {
		o := n + d.n(len(due)-n)
		due[n], due[o] = due[o], due[n]
	}
	n := 1 + d.n(min(len(due), 3))
	if w.s.Window > 0 {
		n = min(len(due), 3)
	}
	due = due[:n]
	w.messages = slices.DeleteFunc(w.messages, func(m *message) bool { return slices.Contains(due, m) })
	for _, m := range due {
		m.got++
	}
	return due
}

// overtaken says whether a tick would find nothing to do: a later one of its work is
// on the queue and in the journal, or the work has ended and all of that was told.
func (w *world) overtaken(m *message) bool {
	k := w.works[m.head.Subject]
	if m.head.Type != events.TypeTick || k == nil {
		return false
	}
	if k.closed && w.told.ended[k.id] {
		return !slices.ContainsFunc(k.order, func(id string) bool { return !w.told.finals[wipe{k.id, id}] })
	}
	return m.head.tick < k.tickN && slices.ContainsFunc(w.messages, func(o *message) bool {
		return o.head.Subject == k.id && o.head.Type == events.TypeTick && o.head.tick >= k.tickN && o.visible.After(time.Now())
	})
}

// putBack takes messages whose delivery failed.
func (w *world) putBack(list []*message) {
	for _, m := range list {
		d, luck := newDice(w.s.Seed, "back "+cmpOr(m.head.ID, m.id), m.got), newDice(w.s.Seed, "forgotten "+cmpOr(m.head.ID, m.id), m.got)
		if w.strikesIf("Redelivery of "+cmpOr(m.head.ID, m.head.Subject), forgets, func() bool { return w.mayForget(m) && luck.one(2) }) {
			w.note("", "forgotten", m.id+" "+cmpOr(m.head.ID, m.head.Subject))
			continue
		}
		again := *m
		w.cameAgain[m.work()] = true // without a journal two deliveries are two chains of ticks: docs/guarantees.md
		again.visible = time.Now().Add(d.between(0, minute).d())
		w.messages = append(w.messages, &again)
	}
	w.poke()
}

// mayForget says whether the platform may give up on a message whose delivery
// failed: when a tick for the same work is on the queue or, in a schedule that is
// lossy, whatever it is but a tick. What was opened for it must go on all the same.
func (w *world) mayForget(m *message) bool {
	if w.s.Lossy && !w.s.NoJournal && !w.s.NoQueue && m.head.Type != events.TypeTick && m.head.again() == "" || w.sentBySweep(m.head.again()) {
		return true
	}
	if m.head.Type != events.TypeTick && m.head.Type != events.TypeRequest {
		return false
	}
	k := w.works[m.work()]
	if slices.ContainsFunc(w.messages, func(o *message) bool {
		_, id, n, is := events.TickNamed(o.head.ID)
		return is && o != m && o.head.Type == events.TypeRequest && id == m.work() && (k == nil || n >= max(k.tickN, 1))
	}) {
		return true // whoever gets that opens it, or looks as at a tick
	}
	k = w.works[m.head.Subject]
	if k == nil {
		return false
	}
	return slices.ContainsFunc(w.messages, func(o *message) bool {
		return o != m && o.head.Subject == m.head.Subject && o.head.Type == events.TypeTick && o.head.tick >= max(k.tickN, 1)
	})
}

// payload is what the trigger delivers.
func payload(list []*message) []byte {
	if len(list) == 1 {
		return list[0].body
	}
	var out bytes.Buffer
	for i, m := range list {
		out.WriteByte("[,"[min(i, 1)])
		out.Write(m.body)
	}
	out.WriteByte(']')
	return out.Bytes()
}

func describe(list []*message) string {
	var out []string
	for _, m := range list {
		text := strings.TrimPrefix(m.head.Type, "regild.")
		if text == "" {
			text = "a timer, or a bare message"
		}
		text += " " + cmpOr(m.head.Subject, m.head.ID)
		if m.head.tick > 0 {
			text += " " + strconv.Itoa(m.head.tick)
		}
		if m.got > 1 {
			text += " (again)"
		}
		out = append(out, text)
	}
	return strings.Join(out, " and ")
}

// topic is what the world is told.
type topic struct{ *world }

var _ handler.Topic = (*topic)(nil)

func (t *topic) Publish(ctx context.Context, body []byte, tag string) error {
	h := headOf(body)
	var refused error
	err := t.call(ctx, "Publish "+h.ID, false, func() {
		if !takes(body) {
			refused = fmt.Errorf("MNS does not take a message of %d bytes", len(body))
			t.breaks(bodyNotTaken, "Publish %s: MNS does not take it: %d bytes", h.ID, len(body))
			return
		}
		if result := t.hear(h); result != "" {
			t.trace[len(t.trace)-1].what += " (" + result + ")"
		}
	}).callError("PublishMessage")
	if err == nil {
		err = refused
	}
	return err
}

// takes says whether MNS takes a body: XML carries it (production Char of XML
// 1.0), and it has at most 64 KB.
func takes(body []byte) bool {
	if len(body) > 64<<10 {
		return false
	}
	rest := body
	for len(rest) >= 8 { // most bodies are ASCII, which is looked at eight bytes at a time
		if eight := binary.LittleEndian.Uint64(rest); (eight|(eight-0x2020202020202020))&0x8080808080808080 != 0 {
			break
		}
		rest = rest[8:]
	}
	for _, r := range string(rest) {
		ok := r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
		if !ok {
			return false
		}
	}
	return true
}
