package mns

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is the HTTP side of queues, and what they have in common with
// topics and subscriptions: names, marks of the page, attributes.

// Limits of an account.
const (
	maxName          = 120
	maxQueues        = 1000
	maxTopics        = 1000
	maxSubscriptions = 100 // of a topic
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)

// checkName answers with the codes of the kind of resource that is named.
func checkName(name, invalid, tooLong string) error {
	switch {
	case len(name) > maxName:
		return &Error{400, tooLong, "The name is longer than 120 characters."}
	case !nameForm.MatchString(name):
		return &Error{400, invalid, "The name may have letters, digits and hyphens, and begins with a letter or digit."}
	}
	return nil
}

// seconds moves an attribute of a request into a duration.
func seconds(to *time.Duration, name string, from *int64, low, high int64) error {
	if from == nil {
		return nil
	}
	*to = time.Duration(*from) * time.Second
	return checkRange(name, *from, low, high, " seconds")
}

// flag moves a True or False of a request into a bool.
func flag(to *bool, name string, from *string) error {
	if from == nil {
		return nil
	}
	b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(*from)))
	if err != nil {
		return invalidArgument("The value of %s should be True or False.", name)
	}
	*to = b
	return nil
}

// bytesLimit moves a MaximumMessageSize of a request into a limit.
func bytesLimit(to *int, from *int64) error {
	if from == nil {
		return nil
	}
	*to = int(*from)
	return checkRange("MaximumMessageSize", *from, 1024, maxMessageSize, " bytes")
}

// attributes returns a with what the call says changed.
func (c *call) attributes(a QueueAttributes) (QueueAttributes, error) {
	var r queueRequest
	if len(c.body) > 0 {
		if err := parse(c.body, &r); err != nil {
			return a, err
		}
	}
	return a, cmp.Or(
		seconds(&a.Delay, "DelaySeconds", r.DelaySeconds, 0, 604800),
		bytesLimit(&a.MaximumMessageSize, r.MaximumMessageSize),
		seconds(&a.Retention, "MessageRetentionPeriod", r.MessageRetentionPeriod, 60, 604800),
		seconds(&a.Visibility, "VisibilityTimeout", r.VisibilityTimeout, 1, 43200),
		seconds(&a.PollingWait, "PollingWaitSeconds", r.PollingWaitSeconds, 0, 30),
		flag(&a.LoggingEnabled, "LoggingEnabled", r.LoggingEnabled),
	)
}

func (s *Server) createQueueCall(_ context.Context, c *call) (answer, error) {
	name := c.path[1]
	if err := checkName(name, "InvalidQueueName", "QueueNameLengthError"); err != nil {
		return answer{}, err
	}
	attrs, err := c.attributes(QueueAttributes{}.withDefaults())
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	location := s.queueURL(name)
	if q := s.queues[name]; q != nil {
		attrs.DeadLetterQueue, attrs.MaxReceiveCount = q.attrs.DeadLetterQueue, q.attrs.MaxReceiveCount
		if attrs != q.attrs {
			return answer{}, &Error{409, "QueueAlreadyExist", "The queue you want to create is already exist."}
		}
		return answer{status: http.StatusNoContent, location: location}, nil
	}
	if len(s.queues) >= maxQueues {
		return answer{}, invalidArgument("The account has %d queues already.", maxQueues)
	}
	now := s.clock.Now()
	s.queues[name] = &queue{name: name, attrs: attrs, created: now, modified: now}
	return answer{status: http.StatusCreated, location: location}, nil
}

func (s *Server) queueURL(name string) string { return "http://" + s.host() + "/queues/" + name }

func (s *Server) setQueueCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	attrs, err := c.attributes(q.attrs)
	if err != nil {
		return answer{}, err
	}
	q.attrs, q.modified = attrs, s.clock.Now()
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) getQueueCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[c.path[1]]
	if q == nil {
		return answer{}, errQueueNotExist
	}
	body := s.describeQueue(q)
	return answer{status: http.StatusOK, body: &body}, nil
}

// describeQueue counts messages as the service still did in 2026; it is to
// answer zeros some day. It needs s.mu.
func (s *Server) describeQueue(q *queue) element {
	now := s.clock.Now()
	s.sweep(q, now)
	var active, inactive, delayed int64
	for _, m := range q.messages {
		switch {
		case !m.NextVisible.After(now):
			active++
		case m.DequeueCount > 0:
			inactive++
		default:
			delayed++
		}
	}
	e := element{name: "Queue"}
	e.add("QueueName", q.name)
	e.number("CreateTime", q.created.Unix())
	e.number("LastModifyTime", q.modified.Unix())
	e.number("DelaySeconds", int64(q.attrs.Delay/time.Second))
	e.number("MaximumMessageSize", int64(q.attrs.MaximumMessageSize))
	e.number("MessageRetentionPeriod", int64(q.attrs.Retention/time.Second))
	e.number("VisibilityTimeout", int64(q.attrs.Visibility/time.Second))
	e.number("PollingWaitSeconds", int64(q.attrs.PollingWait/time.Second))
	e.number("ActiveMessages", active)
	e.number("InactiveMessages", inactive)
	e.number("DelayMessages", delayed)
	e.flag("LoggingEnabled", q.attrs.LoggingEnabled)
	return e
}

func (e *element) number(name string, n int64) { e.add(name, strconv.FormatInt(n, 10)) }

func (e *element) flag(name string, b bool) {
	text := "False"
	if b {
		text = "True"
	}
	e.add(name, text)
}

func (s *Server) deleteQueueCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[c.path[1]] == nil {
		return answer{}, errQueueNotExist
	}
	delete(s.queues, c.path[1])
	s.wake()
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) listQueuesCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return list(c, "Queues", s.queues, func(name string, meta bool) element {
		if meta {
			return s.describeQueue(s.queues[name])
		}
		e := element{name: "Queue"}
		e.add("QueueURL", s.queueURL(name))
		return e
	})
}

// list answers one page of what is in all, by name.
func list[T any](c *call, root string, all map[string]T, entry func(name string, meta bool) element) (answer, error) {
	size, after := int64(1000), ""
	if text := c.header.Get("x-mns-ret-number"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > 1000 {
			return answer{}, invalidArgument("The value of x-mns-ret-number should between 1 and 1000.")
		}
		size = n
	}
	if mark := c.header.Get("x-mns-marker"); mark != "" {
		name, err := base64.URLEncoding.DecodeString(mark)
		if err != nil {
			return answer{}, invalidArgument("The value of x-mns-marker is not valid.")
		}
		after = string(name)
	}
	prefix, meta := c.header.Get("x-mns-prefix"), strings.EqualFold(c.header.Get("x-mns-with-meta"), "true")
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return name <= after || !strings.HasPrefix(name, prefix)
	})
	body := element{name: root}
	for _, name := range names[:min(int(size), len(names))] {
		body.children = append(body.children, entry(name, meta))
	}
	if len(names) > int(size) {
		body.add("NextMarker", base64.URLEncoding.EncodeToString([]byte(names[size-1])))
	}
	return answer{status: http.StatusOK, body: &body}, nil
}
