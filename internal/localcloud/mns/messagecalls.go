package mns

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// This file is the HTTP side of messages in queues.

// maxBatch is how many messages one call sends, receives or deletes.
const maxBatch = 16

// size returns how many bytes of a message count for its limits.
func (s *Server) size(t *text) int {
	switch {
	case t == nil:
		return 0
	case s.escapedSize:
		return len(t.Raw)
	}
	return len(t.Value)
}

// draft checks one message of a call.
func (s *Server) draft(q *queue, r sendRequest) (draft, error) {
	if err := checkSize(s.size(r.Body), q.attrs.MaximumMessageSize); err != nil {
		return draft{}, err
	}
	d := draft{body: []byte(r.Body.Value), priority: defaultPriority, properties: r.User, system: r.System}
	if r.DelaySeconds != nil {
		d.delay = new(time.Duration)
		if err := seconds(d.delay, "DelaySeconds", r.DelaySeconds, 0, 604800); err != nil {
			return draft{}, err
		}
	}
	if r.Priority != nil {
		if err := checkRange("Priority", *r.Priority, 1, 16, ""); err != nil {
			return draft{}, err
		}
		d.priority = int(*r.Priority)
	}
	return d, checkProperties(r)
}

// checkProperties holds the limits that the vendor's Java SDK documents.
func checkProperties(r sendRequest) error {
	if len(r.User) > 50 || len(r.System) > 50 {
		return invalidArgument("A message may have 50 properties.")
	}
	for _, p := range r.User {
		switch p.Type {
		case "STRING", "NUMBER", "BOOLEAN", "BINARY":
		default:
			return invalidArgument("The type of property %s is not supported.", p.Name)
		}
		if p.Name == "" || len(p.Name) > 256 || len(p.Value) > 4096 {
			return invalidArgument("The name of a property has 1 to 256 characters, its value up to 4096.")
		}
	}
	return nil
}

// sent describes a message to its sender. The handle of a delayed one lets it
// be deleted, or made visible, before its time.
func sent(m *message) element {
	e := element{name: "Message"}
	e.add("MessageId", m.ID)
	e.add("MessageBodyMD5", bodyMD5(m.Body))
	if m.Handle != "" {
		e.add("ReceiptHandle", m.Handle)
	}
	return e
}

func (s *Server) sendCall(_ context.Context, c *call) (answer, error) {
	var r sendRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	d, err := s.draft(q, r)
	if err != nil {
		return answer{}, err
	}
	body := sent(s.send(q, d))
	return answer{status: http.StatusCreated, body: &body}, nil
}

// batchSendCall sends what it can. The status of a partial failure is that of
// the documentation; it was not seen live.
func (s *Server) batchSendCall(_ context.Context, c *call) (answer, error) {
	var r batchRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	if err := checkRange("the number of messages", int64(len(r.Messages)), 1, maxBatch, ""); err != nil {
		return answer{}, err
	}
	total := 0
	for _, m := range r.Messages {
		total += s.size(m.Body)
	}
	if total > maxMessageSize {
		return answer{}, invalidArgument("The bodies of a batch should not exceed %d bytes.", maxMessageSize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	body, status := element{name: "Messages"}, http.StatusCreated
	for _, m := range r.Messages {
		d, err := s.draft(q, m)
		if err != nil {
			status = http.StatusInternalServerError
			body.children = append(body.children, refused("Message", err))
			continue
		}
		body.children = append(body.children, sent(s.send(q, d)))
	}
	return answer{status: status, body: &body}, nil
}

// refused describes one failed entry of a batch.
func refused(name string, err error) element {
	e := &Error{500, "InternalError", "The server has met an internal error."}
	errors.As(err, &e)
	entry := element{name: name}
	entry.add("ErrorCode", e.Code)
	entry.add("ErrorMessage", e.Message)
	return entry
}

func (s *Server) receiveCall(ctx context.Context, c *call) (answer, error) {
	s.mu.Lock()
	q := s.queues[c.path[1]]
	var fallback time.Duration
	if q != nil {
		fallback = q.attrs.PollingWait
	}
	s.mu.Unlock()
	wait, err := c.number("waitseconds", 0, 30, int64(fallback/time.Second), " seconds")
	if err != nil {
		return answer{}, err
	}
	count, err := c.number("numOfMessages", 1, maxBatch, 1, "")
	if err != nil {
		return answer{}, err
	}
	got, err := s.receive(ctx, c.path[1], int(count), time.Duration(wait)*time.Second)
	if err != nil {
		return answer{}, err
	}
	return received(c, got, false), nil
}

// peekCall shows what a receive would give and changes nothing.
func (s *Server) peekCall(_ context.Context, c *call) (answer, error) {
	count, err := c.number("numOfMessages", 1, maxBatch, 1, "")
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	now := s.clock.Now()
	s.sweep(q, now)
	var got []Message
	for _, m := range s.ready(q, now, 0) {
		if len(got) < int(count) {
			got = append(got, m.copy())
		}
	}
	if len(got) == 0 {
		return answer{}, errMessageNotExist
	}
	return received(c, got, true), nil
}

// received describes messages to their consumer: as a list if it named a number.
func received(c *call, got []Message, peek bool) answer {
	if !c.counts() {
		e := consumed(got[0], peek)
		return answer{status: http.StatusOK, body: &e}
	}
	body := element{name: "Messages"}
	for _, m := range got {
		body.children = append(body.children, consumed(m, peek))
	}
	return answer{status: http.StatusOK, body: &body}
}

// consumed describes a message in the order of the live service. A message that
// was only looked at has no handle, and if nobody received it, the time it was
// sent stands for that of its first receive.
func consumed(m Message, peek bool) element {
	e := element{name: "Message"}
	e.add("MessageId", m.ID)
	e.add("MessageBodyMD5", bodyMD5(m.Body))
	e.add("MessageBody", string(m.Body))
	if !peek {
		e.add("ReceiptHandle", m.Handle)
	}
	e.number("EnqueueTime", m.EnqueueTime.UnixMilli())
	first := m.FirstDequeueTime
	if first.IsZero() {
		first = m.EnqueueTime
	}
	e.number("FirstDequeueTime", first.UnixMilli())
	if !peek {
		e.number("NextVisibleTime", m.NextVisible.UnixMilli())
	}
	e.number("DequeueCount", int64(m.DequeueCount))
	e.number("Priority", int64(m.Priority))
	e.properties("UserProperties", "PropertyValue", m.Properties)
	e.properties("SystemProperties", "SystemPropertyValue", m.SystemProperties)
	return e
}

func (e *element) properties(name, each string, properties []Property) {
	if len(properties) == 0 {
		return
	}
	all := element{name: name}
	for _, p := range properties {
		one := element{name: each}
		one.add("Name", p.Name)
		one.add("Value", p.Value)
		one.add("Type", p.Type)
		all.children = append(all.children, one)
	}
	e.children = append(e.children, all)
}

func (s *Server) deleteCall(_ context.Context, c *call) (answer, error) {
	handle := c.query["receipthandle"]
	if handle == "" {
		return answer{}, errMissingHandle
	}
	if err := s.Delete(c.path[1], handle); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

var errMissingHandle = &Error{400, "MissingReceiptHandle", "ReceiptHandle is required."}

// batchDeleteCall deletes what it can and answers 404 if that was not all.
func (s *Server) batchDeleteCall(_ context.Context, c *call) (answer, error) {
	var r handlesRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	if err := checkRange("the number of receipt handles", int64(len(r.Handles)), 1, maxBatch, ""); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	body := element{name: "Errors"}
	for _, handle := range r.Handles {
		if err := s.delete(q, handle); err != nil {
			entry := refused("Error", err)
			entry.add("ReceiptHandle", handle)
			body.children = append(body.children, entry)
		}
	}
	if len(body.children) > 0 {
		return answer{status: http.StatusNotFound, body: &body}, nil
	}
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) visibilityCall(_ context.Context, c *call) (answer, error) {
	handle := c.query["receipthandle"]
	if handle == "" {
		return answer{}, errMissingHandle
	}
	if !c.has("visibilitytimeout") {
		return answer{}, &Error{400, "MissingVisibilityTimeout", "VisibilityTimeout is required."}
	}
	timeout, err := c.number("VisibilityTimeout", 1, 43200, 0, " seconds")
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	m, err := s.find(q, handle)
	if err != nil {
		return answer{}, err
	}
	s.hide(m, s.clock.Now(), time.Duration(timeout)*time.Second)
	s.wake()
	body := element{name: "ChangeVisibility"}
	body.add("ReceiptHandle", m.Handle)
	body.number("NextVisibleTime", m.NextVisible.UnixMilli())
	return answer{status: http.StatusOK, body: &body}, nil
}
