package handlertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
)

// Queue delivers at least once, in any order, some messages together. A
// delivery that failed, by an error or a kill, comes again; it may be forgotten
// only when the latest tick of the same work is on the queue, because then a
// platform that gave up on it has lost nothing that was promised.
type Queue struct {
	world    *World
	messages []*message
	n        int
}

var _ handler.Queue = (*Queue)(nil)

type message struct {
	id      string
	body    []byte
	typ     string
	subject string
	tick    int // its number
	visible time.Time
}

// Put places a message on the queue as a sender would.
func (q *Queue) Put(body []byte, delay time.Duration) {
	var head struct {
		Type, Subject string
		Data          struct{ N int }
	}
	_ = json.Unmarshal(body, &head)
	q.n++
	q.messages = append(q.messages, &message{id: fmt.Sprintf("m%d", q.n), body: body, typ: head.Type, subject: head.Subject, tick: head.Data.N, visible: time.Now().Add(delay)})
}

// Send is Put as the function sees it.
func (q *Queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	body = bytes.Clone(body)
	return q.world.enter(ctx, "Send "+subjectOf(body)+" in "+delay.Round(time.Second).String(), func() { q.Put(body, delay) }).callError("SendMessage")
}

func subjectOf(body []byte) string {
	var head struct{ Subject, ID string }
	_ = json.Unmarshal(body, &head)
	if head.ID != "" {
		return head.ID
	}
	return head.Subject
}

func (q *Queue) empty() bool { return len(q.messages) == 0 }

func (q *Queue) due() bool {
	return slices.ContainsFunc(q.messages, func(m *message) bool { return !m.visible.After(time.Now()) })
}

func (q *Queue) next() time.Time {
	next := time.Unix(math.MaxInt32, 0)
	for _, m := range q.messages {
		if m.visible.Before(next) {
			next = m.visible
		}
	}
	return next
}

// take chooses some messages that are due, in any order, and hides some of them
// only for a while.
func (q *Queue) take() []*message {
	w := q.world
	var due, out []*message
	for _, m := range q.messages {
		if !m.visible.After(time.Now()) {
			due = append(due, m)
		}
	}
	w.Rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for _, m := range due[:1+w.Rand.IntN(min(len(due), 3))] {
		out = append(out, m)
		if w.Chance(w.Odds.Twice) && !w.quiet() {
			w.Budget--
			again := *m
			again.visible = time.Now().Add(time.Duration(w.Rand.IntN(120)) * time.Second)
			if w.Chance(100) {
				again.visible = again.visible.Add(time.Hour)
			}
			q.messages = append(q.messages, &again)
		}
		q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
	}
	return out
}

// putBack takes messages whose delivery failed.
func (q *Queue) putBack(list []*message) {
	for _, m := range list {
		if q.mayForget(m) && q.world.Chance(500) {
			q.world.note("", "forgotten", m.id+" "+m.typ+" "+m.subject)
			continue
		}
		m.visible = time.Now().Add(time.Duration(q.world.Rand.IntN(60)) * time.Second)
		q.messages = append(q.messages, m)
	}
}

func (q *Queue) mayForget(m *message) bool {
	key, opened := q.world.Journal.Works()[m.subject]
	if !opened || m.typ != events.TypeTick && m.typ != events.TypeRequest {
		return false
	}
	latest := q.world.Journal.State(key).TickN
	return slices.ContainsFunc(q.messages, func(o *message) bool {
		return o.subject == m.subject && o.typ == events.TypeTick && o.tick >= max(latest, 1)
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
	out := ""
	for _, m := range list {
		out += m.id + " " + subjectOf(m.body) + "; "
	}
	return out
}
