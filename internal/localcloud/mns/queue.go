package mns

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// QueueAttributes are a queue's settings. A zero Retention, Visibility or
// MaximumMessageSize stands for the service's default.
type QueueAttributes struct {
	Delay              time.Duration // how long a new message stays invisible: 0 to 7 days, default 0
	MaximumMessageSize int           // bytes: 1024 to 65536, the default
	Retention          time.Duration // from sending, whatever the state: 1 minute to 7 days, default 4 days
	Visibility         time.Duration // how long a received message stays invisible: 1 s to 12 h, default 30 s
	PollingWait        time.Duration // of a receive that does not say: 0 to 30 s, default 0
	LoggingEnabled     bool

	// DeadLetterQueue takes what was received MaxReceiveCount times and became
	// visible once more. "" or 0: nothing is moved. Not part of the HTTP API.
	DeadLetterQueue string
	MaxReceiveCount int
}

func (a QueueAttributes) withDefaults() QueueAttributes {
	a.MaximumMessageSize = cmp.Or(a.MaximumMessageSize, maxMessageSize)
	a.Retention = cmp.Or(a.Retention, 4*24*time.Hour)
	a.Visibility = cmp.Or(a.Visibility, 30*time.Second)
	return a
}

// A Property is a typed attribute of a message.
type Property struct {
	Name  string `xml:"Name"`
	Value string `xml:"Value"`
	Type  string `xml:"Type"` // STRING, NUMBER, BOOLEAN or BINARY
}

// A Message is what a queue knows of a message at one moment. Times are the
// cloud's.
type Message struct {
	ID               string // 32 upper-case hexadecimal digits
	Body             []byte
	Handle           string // of the latest receive; "" if there is none
	DequeueCount     int    // 1 after the first receive
	Priority         int    // 1, the highest, to 16
	EnqueueTime      time.Time
	FirstDequeueTime time.Time // zero before the first receive
	NextVisible      time.Time // when it can be received (again)
	Properties       []Property
	SystemProperties []Property
}

// bodyMD5 returns the sum that the service answers for a body. For a message
// with properties the live service answers another; how it is made is not known.
func bodyMD5(body []byte) string { return fmt.Sprintf("%X", md5.Sum(body)) }

type queue struct {
	name              string
	attrs             QueueAttributes
	created, modified time.Time
	messages          []*message // in the order they came
}

type message struct {
	Message
	slice int // which part of the storage holds it; see Options.Unordered
}

// draft is a message about to be sent. A nil delay means the queue's own.
type draft struct {
	body               []byte
	delay              *time.Duration
	priority           int
	properties, system []Property
}

const (
	maxMessageSize  = 65536
	defaultPriority = 8
	slicesPerQueue  = 3
)

// CreateQueue makes a queue, or gives the one there is these attributes. Name
// and limits are not checked.
func (s *Server) CreateQueue(name string, attrs QueueAttributes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	q := s.queues[name]
	if q == nil {
		q = &queue{name: name, created: now}
		s.queues[name] = q
	}
	q.attrs, q.modified = attrs.withDefaults(), now
	s.wake()
}

// Send puts a message into a queue, invisible for delay, and returns its id.
// The error is an *Error: QueueNotExist, or InvalidArgument for a body that is
// empty or larger than the queue takes.
func (s *Server) Send(queue string, body []byte, delay time.Duration) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return "", errQueueNotExist
	}
	if err := checkSize(len(body), q.attrs.MaximumMessageSize); err != nil {
		return "", err
	}
	m := s.send(q, draft{body: slices.Clone(body), delay: &delay, priority: defaultPriority})
	return m.ID, nil
}

// send needs s.mu. The body belongs to the message from here on.
func (s *Server) send(q *queue, d draft) *message {
	now := s.clock.Now()
	delay := q.attrs.Delay
	if d.delay != nil {
		delay = *d.delay
	}
	m := &message{
		Message: Message{
			ID: s.id(32), Body: d.body, Priority: d.priority,
			EnqueueTime: now, NextVisible: now.Add(delay),
			Properties: d.properties, SystemProperties: d.system,
		},
		slice: s.rand.IntN(slicesPerQueue),
	}
	if delay > 0 {
		m.Handle = s.handle(m, delay)
	}
	q.messages = append(q.messages, m)
	s.wake()
	return m
}

// Receive takes up to most messages, waiting for the first one for up to wait of
// the cloud's time, or until ctx is done. A queue that does not exist has none.
func (s *Server) Receive(ctx context.Context, queue string, most int, wait time.Duration) []Message {
	if most < 1 {
		return nil
	}
	got, err := s.receive(ctx, queue, most, wait)
	if err != nil {
		return nil
	}
	return got
}

// receive needs a most of at least 1.
func (s *Server) receive(ctx context.Context, name string, most int, wait time.Duration) ([]Message, error) {
	deadline := s.clock.Now().Add(wait)
	duplicate := s.duplicate
	for {
		s.mu.Lock()
		q := s.queues[name]
		if q == nil {
			s.mu.Unlock()
			return nil, errQueueNotExist
		}
		now := s.clock.Now()
		got := s.take(q, most, now, duplicate)
		again, some := s.next(q)
		changed := s.changed
		s.mu.Unlock()
		if len(got) > 0 {
			return got, nil
		}
		if ctx.Err() != nil || !now.Before(deadline) {
			return nil, errMessageNotExist
		}
		if !some || again.After(deadline) {
			again = deadline
		}
		duplicate = 0 // the chance is a call's, not each look's
		s.sleep(ctx, again, changed)
	}
}

// take hands out up to most messages. It needs s.mu.
func (s *Server) take(q *queue, most int, now time.Time, duplicate float64) []Message {
	s.sweep(q, now)
	ready := s.ready(q, now, duplicate)
	var got []Message
	for _, m := range ready[:min(most, len(ready))] {
		if m.DequeueCount++; m.DequeueCount == 1 {
			m.FirstDequeueTime = now
		}
		s.hide(m, now, q.attrs.Visibility)
		got = append(got, m.copy())
	}
	if len(got) > 0 && q.attrs.DeadLetterQueue != "" {
		s.wake() // who waits for dead letters now knows when to look
	}
	return got
}

// ready returns what a consumer may see now, in the order it gets it. It needs
// s.mu and a swept queue.
func (s *Server) ready(q *queue, now time.Time, duplicate float64) []*message {
	var ready []*message
	for _, m := range q.messages {
		held := m.DequeueCount > 0 && m.NextVisible.After(now)
		if !m.NextVisible.After(now) || held && duplicate > 0 && s.rand.Float64() < duplicate {
			ready = append(ready, m)
		}
	}
	if s.unordered && len(ready) > 0 {
		slice := ready[s.rand.IntN(len(ready))].slice
		ready = slices.DeleteFunc(ready, func(m *message) bool { return m.slice != slice })
		s.rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	}
	slices.SortStableFunc(ready, func(a, b *message) int { return cmp.Compare(a.Priority, b.Priority) })
	return ready
}

// hide makes a message invisible from now for d, under a new handle. It needs
// s.mu.
func (s *Server) hide(m *message, now time.Time, d time.Duration) {
	m.NextVisible = now.Add(d)
	m.Handle = s.handle(m, d)
}

// sweep removes what is past its retention and moves what was received too
// often: away from q, and into q from the queues whose dead letters it takes.
// It needs s.mu.
func (s *Server) sweep(q *queue, now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		from := s.queues[name]
		if from != q && from.attrs.DeadLetterQueue != q.name {
			continue
		}
		from.messages = slices.DeleteFunc(from.messages, func(m *message) bool {
			if !now.Before(m.EnqueueTime.Add(from.attrs.Retention)) {
				return true
			}
			to := s.queues[from.attrs.DeadLetterQueue]
			if to == nil || !from.exhausted(m) || m.NextVisible.After(now) {
				return false
			}
			s.bury(from, to, m)
			return true
		})
	}
}

// exhausted says whether a message was received as often as its queue allows.
func (q *queue) exhausted(m *message) bool {
	return q.attrs.DeadLetterQueue != q.name && q.attrs.MaxReceiveCount > 0 && m.DequeueCount >= q.attrs.MaxReceiveCount
}

// bury puts a message of one queue into its dead-letter queue. The clock of its
// retention goes on: see the page "Dead-letter queue". It needs s.mu.
func (s *Server) bury(from, to *queue, m *message) {
	origin := fmt.Sprintf("acs:mns:%s:%s:queues/%s", s.region, s.account, from.name)
	dead := *m
	dead.ID, dead.Handle, dead.DequeueCount, dead.FirstDequeueTime = s.id(32), "", 0, time.Time{}
	dead.SystemProperties = append(slices.Clone(m.SystemProperties),
		Property{"DLQSourceArn", origin, "STRING"}, Property{"DLQOriginMessageId", m.ID, "STRING"})
	to.messages = append(to.messages, &dead)
}

// next returns when the next message of q becomes visible. It needs s.mu and a
// swept queue.
func (s *Server) next(q *queue) (at time.Time, ok bool) {
	see := func(m *message) {
		if !ok || m.NextVisible.Before(at) {
			at, ok = m.NextVisible, true
		}
	}
	for _, from := range s.queues {
		for _, m := range from.messages {
			if from == q || from.attrs.DeadLetterQueue == q.name && from.exhausted(m) {
				see(m)
			}
		}
	}
	return at, ok
}

// Delete ends a message. The error is an *Error: MessageNotExist for a handle
// that was used or has expired, ReceiptHandleError for one that never was one,
// QueueNotExist.
func (s *Server) Delete(queue, handle string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return errQueueNotExist
	}
	return s.delete(q, handle)
}

// delete needs s.mu.
func (s *Server) delete(q *queue, handle string) error {
	m, err := s.find(q, handle)
	if err != nil {
		return err
	}
	q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
	return nil
}

// Release makes a message visible again at once, as if its visibility timeout
// had passed: it will be delivered again. A handle that is no longer valid is
// ignored.
func (s *Server) Release(queue, handle string) { s.ReleaseAfter(queue, handle, 0) }

// ReleaseAfter makes a message visible again after delay of the cloud's time,
// as a change of its visibility would, and as Release does for no delay. A
// handle that is no longer valid is ignored.
func (s *Server) ReleaseAfter(queue, handle string, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return
	}
	m, err := s.find(q, handle)
	if err != nil {
		return
	}
	s.hide(m, s.clock.Now(), max(delay, 0))
	s.wake()
}

// find returns the message that a valid handle stands for. It needs s.mu.
func (s *Server) find(q *queue, handle string) (*message, error) {
	now := s.clock.Now()
	s.sweep(q, now)
	id, err := messageID(handle)
	if err != nil {
		return nil, errReceiptHandle
	}
	for _, m := range q.messages {
		if m.ID == id && m.Handle == handle && m.NextVisible.After(now) {
			return m, nil
		}
	}
	return nil, errMessageNotExist
}

// Pending returns all messages of a queue that are not deleted, whatever their
// state, in the order they were sent.
func (s *Server) Pending(queue string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return nil
	}
	s.sweep(q, s.clock.Now())
	all := make([]Message, 0, len(q.messages))
	for _, m := range q.messages {
		all = append(all, m.copy())
	}
	return all
}

// Next returns the cloud's time at which the next message of a queue becomes
// visible, which is past if one is visible now, and false if the queue is empty.
func (s *Server) Next(queue string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return time.Time{}, false
	}
	s.sweep(q, s.clock.Now())
	return s.next(q)
}

// copy returns the message as its own value, for callers to keep.
func (m *message) copy() Message {
	c := m.Message
	c.Body = slices.Clone(m.Body)
	c.Properties, c.SystemProperties = slices.Clone(m.Properties), slices.Clone(m.SystemProperties)
	return c
}

// handle makes a receipt handle of the shape the service gives today: the
// message's id and, in Base64, what the service wants to remember of the
// receive. Random bytes at its end bring out "+", "/" and "=", which a client
// must escape. It needs s.mu.
func (s *Server) handle(m *message, hidden time.Duration) string {
	memo := fmt.Appendf(nil, "3 %d %d 2 0 ", m.NextVisible.UnixMilli(), hidden.Milliseconds())
	for range 8 {
		memo = append(memo, byte(s.rand.UintN(256)))
	}
	return m.ID + "-" + base64.StdEncoding.EncodeToString(memo)
}

// messageID returns the id in a well-formed handle.
func messageID(handle string) (string, error) {
	id, memo, ok := strings.Cut(handle, "-")
	if !ok || len(id) != 32 || strings.Trim(id, upperHex) != "" {
		return "", errors.New("the handle names no message")
	}
	if _, err := base64.StdEncoding.DecodeString(memo); err != nil {
		return "", fmt.Errorf("decoding the handle's memo: %w", err)
	}
	return id, nil
}

func checkSize(size, limit int) error {
	if size < 1 || size > limit {
		return invalidArgument("The value of MessageBody should between 1 and %d bytes.", limit)
	}
	return nil
}
