package million

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
)

// objects is the journal. Every instance has one, all of the same logs.
type objects struct{ *world }

var _ journal.Store = objects{}

// Read takes no time: see getTakes.
func (o objects) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := of(ctx)
	i.reads++
	o.count("oss", "GetObject")
	data := o.logs[key]
	if from > int64(len(data)) {
		return nil, 0, journal.ErrShrunk
	}
	i.readBytes += int64(len(data)) - from
	if from == int64(len(data)) {
		return nil, from, nil
	}
	return data[from:len(data):len(data)], int64(len(data)), nil // appends go behind it
}

func (o objects) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if err := pass(ctx, appendTakes); err != nil {
		return 0, journal.ErrUnsettled
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count("oss", "AppendObject")
	o.trace("  APPEND %.300s", lines)
	if at != int64(len(o.logs[key])) {
		return 0, journal.ErrMoved
	}
	o.logs[key] = append(o.logs[key], lines...)
	return int64(len(o.logs[key])), nil
}

func (o objects) Keys(ctx context.Context, prefix string) ([]string, error) {
	return o.Some(ctx, prefix, "", journal.MaxKeys)
}

func (o objects) Some(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := pass(ctx, getTakes); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count("oss", "ListObjects")
	var out []string
	for key := range o.logs {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out[:min(limit, len(out))], nil
}

func (o objects) Forget(ctx context.Context, key string) error {
	if err := pass(ctx, appendTakes); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count("oss", "DeleteObject")
	delete(o.logs, key)
	return nil
}

// queue is that of the function.
type queue struct{ *world }

var _ handler.Queue = queue{}

// A message is on the queue.
type message struct {
	body    []byte
	visible time.Duration
	got     int // how often it was delivered
}

func (q queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	body = bytes.Clone(body)
	if err := pass(ctx, messageTakes); err != nil {
		return unsent("SendMessage", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count("mns", "SendMessage")
	q.trace("  SEND in %s", delay)
	q.put(&message{body: body, visible: q.now() + delay})
	return nil
}

func (q queue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	body = bytes.Clone(body)
	if err := pass(ctx, messageTakes); err != nil {
		return unsent("BatchSendMessage", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count("mns", "BatchSendMessage")
	for _, delay := range delays {
		q.trace("  SEND in %s", delay)
		q.put(&message{body: body, visible: q.now() + delay})
	}
	return nil
}

func unsent(api string, err error) error {
	return &desktop.CallError{Call: api, Delivery: desktop.NotSent, Message: "no time is left", Err: err}
}

// topic is what the world is told.
type topic struct{ *world }

var _ handler.Topic = topic{}

func (t topic) Publish(ctx context.Context, body []byte, _ string) error {
	if err := pass(ctx, messageTakes); err != nil {
		return unsent("PublishMessage", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count("mns", "PublishMessage")
	t.hear(body)
	return nil
}

// hear notes what is told.
func (w *world) hear(body []byte) {
	switch typ := textIn(body, `"type":"`); {
	case typ == "regild.desktop.outcome.v1":
		m := &w.machines[w.number(textIn(body, `"subject":"`))]
		status, code := textIn(body, `"status":"`), textIn(body, `"code":"`)
		m.last = w.word(status + " " + code)
		if status != "accepted" && status != "deferred" {
			m.finals++
		}
		w.outcomes[status]++
	case strings.HasPrefix(typ, "regild.rollout."):
		_, name, _ := strings.Cut(textIn(body, `"rolloutId":"`), "/")
		what := strings.TrimSuffix(strings.TrimPrefix(typ, "regild.rollout."), ".v1")
		f := &w.followed[w.byName[name]]
		_, reason, _ := bytes.Cut(body, []byte(`"reason":{`))
		f.said, f.code, f.why = what, textIn(reason, `"code":"`), textIn(reason, `"message":"`)
		if what == "completed" && f.ended == 0 {
			f.ended = w.now()
			w.open--
			if w.plan.healthy(w.shards[w.byName[name]]) {
				w.openHealthy--
			}
		}
		w.outcomes[typ]++
	default:
		w.outcomes[typ]++
		w.refusals = append(w.refusals, string(body[:min(len(body), 3000)]))
	}
}

// word returns the number of a word, of which there are few.
func (w *world) word(s string) uint8 {
	n := slices.Index(w.words, s)
	if n < 0 {
		n = len(w.words)
		w.words = append(w.words, s)
	}
	return uint8(n)
}

// textIn returns the text behind the first key, up to the next quotation mark.
func textIn(body []byte, key string) string {
	at := bytes.Index(body, []byte(key))
	if at < 0 {
		return ""
	}
	text := body[at+len(key):]
	if end := bytes.IndexByte(text, '"'); end >= 0 {
		text = text[:end]
	}
	return string(text)
}

// due is a heap of messages by the time at which they are to be seen.
type due []*message

func (d due) Len() int           { return len(d) }
func (d due) Less(a, b int) bool { return d[a].visible < d[b].visible }
func (d due) Swap(a, b int)      { d[a], d[b] = d[b], d[a] }
func (d *due) Push(m any)        { *d = append(*d, m.(*message)) }
func (d *due) Pop() any {
	old := *d
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return m
}
