package mns

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Subscription says where a topic's messages go, and in what form.
type Subscription struct {
	Endpoint  string // see Server.QueueEndpoint; others are kept and not served
	FilterTag string // "": everything; otherwise only messages with exactly this tag
	Format    string // XML (the default), JSON, SIMPLIFIED or STREAM
	Strategy  string // BACKOFF_RETRY (the default) or EXPONENTIAL_DECAY_RETRY: queues never fail here
}

func (b Subscription) withDefaults() Subscription {
	if b.Format == "" {
		b.Format = "XML"
	}
	if b.Strategy == "" {
		b.Strategy = "BACKOFF_RETRY"
	}
	return b
}

// A Publication is one message that was published to a topic.
type Publication struct {
	Topic      string
	ID         string // 32 upper-case hexadecimal digits; copies in queues have their own
	Body       []byte
	Tag        string
	Time       time.Time // the cloud's
	Properties []Property
}

type topic struct {
	name              string
	maxSize           int
	logging           bool
	created, modified time.Time
	subscriptions     map[string]*subscription
	published         []Publication
	watchers          []func(Publication)
	unseen            []Publication // not yet shown to the watchers
	showing           bool
}

type subscription struct {
	Subscription
	created, modified time.Time
}

// CreateTopic makes a topic if there is none of that name. The name is not
// checked.
func (s *Server) CreateTopic(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.createTopic(name)
}

// createTopic needs s.mu.
func (s *Server) createTopic(name string) *topic {
	t := s.topics[name]
	if t == nil {
		now := s.clock.Now()
		t = &topic{name: name, maxSize: maxMessageSize, created: now, modified: now, subscriptions: map[string]*subscription{}}
		s.topics[name] = t
	}
	return t
}

// Subscribe makes or replaces a subscription, and its topic if there is none.
// Nothing is checked.
func (s *Server) Subscribe(topic, name string, sub Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.createTopic(topic).subscriptions[name] = &subscription{sub.withDefaults(), now, now}
}

// QueueEndpoint returns the endpoint that subscribes one of this server's
// queues to a topic.
func (s *Server) QueueEndpoint(queue string) string {
	return fmt.Sprintf("acs:mns:%s:%s:queues/%s", s.region, s.account, queue)
}

// Publish publishes a message and returns its id. The error is an *Error:
// TopicNotExist, or InvalidArgument for a body that is empty or larger than the
// topic takes.
func (s *Server) Publish(topic string, body []byte, tag string) (id string, err error) {
	return s.publish(topic, Publication{Body: slices.Clone(body), Tag: tag}, len(body))
}

func (s *Server) publish(name string, p Publication, size int) (id string, err error) {
	s.mu.Lock()
	t := s.topics[name]
	if t == nil {
		s.mu.Unlock()
		return "", errTopicNotExist
	}
	if err := checkSize(size, t.maxSize); err != nil {
		s.mu.Unlock()
		return "", err
	}
	p.Topic, p.ID, p.Time = name, s.id(32), s.clock.Now()
	t.published = append(t.published, p)
	for _, name := range slices.Sorted(maps.Keys(t.subscriptions)) {
		s.deliver(t, name, p)
	}
	t.unseen = append(t.unseen, p)
	s.mu.Unlock()
	s.show(t)
	return p.ID, nil
}

// deliver puts a copy into the subscribed queue. That a message without a tag
// does not pass a filter is likely, not known. It needs s.mu.
func (s *Server) deliver(t *topic, name string, p Publication) {
	sub := t.subscriptions[name]
	if sub.FilterTag != "" && sub.FilterTag != p.Tag {
		return
	}
	queue, ok := s.endpointQueue(sub.Endpoint)
	if !ok || s.queues[queue] == nil {
		return
	}
	s.send(s.queues[queue], draft{
		body:       s.notification(sub.Format, name, p),
		priority:   defaultPriority,
		properties: slices.Clone(p.Properties),
	})
}

// endpointQueue returns the queue of this server that an endpoint names.
func (s *Server) endpointQueue(endpoint string) (string, bool) {
	parts := strings.SplitN(endpoint, ":", 5)
	if len(parts) != 5 || parts[0] != "acs" || parts[1] != "mns" || parts[2] != s.region || parts[3] != s.account {
		return "", false
	}
	return strings.CutPrefix(strings.TrimPrefix(parts[4], "/"), "queues/")
}

// show tells the watchers of what was published, in order and one at a time,
// without holding s.mu: a watcher may publish.
func (s *Server) show(t *topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.showing {
		return
	}
	t.showing = true
	for len(t.unseen) > 0 {
		p, watchers := t.unseen[0], slices.Clone(t.watchers)
		t.unseen = t.unseen[1:]
		s.mu.Unlock()
		for _, f := range watchers {
			f(p.copy())
		}
		s.mu.Lock()
	}
	t.showing = false
}

// Published returns everything that was ever published to a topic, in order,
// also what the live service would have dropped after a day.
func (s *Server) Published(topic string) []Publication {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topic]
	if t == nil {
		return nil
	}
	all := make([]Publication, 0, len(t.published))
	for _, p := range t.published {
		all = append(all, p.copy())
	}
	return all
}

// Watch has f called for each message that is published to a topic from now on,
// in order, one at a time; the topic is made if there is none. f is called
// before the publisher has its answer, unless f was still busy with an earlier
// message then. f may use the server.
func (s *Server) Watch(topic string, f func(Publication)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.createTopic(topic)
	t.watchers = append(t.watchers, f)
}

func (p Publication) copy() Publication {
	p.Body, p.Properties = slices.Clone(p.Body), slices.Clone(p.Properties)
	return p
}

// notification returns the body of a publication's copy in a queue, as the page
// "NotifyContentFormat" and the live service have it. STREAM is documented for
// functions only; a queue is given the plain body.
func (s *Server) notification(format, subscription string, p Publication) []byte {
	switch format {
	case "JSON":
		return s.jsonNotification(subscription, p)
	case "XML":
		return s.xmlNotification(subscription, p)
	}
	return slices.Clone(p.Body)
}

// jsonNotification has its keys in the live service's order, which is that of a
// Java hash map; where MessageTag stands follows from that, it was not seen.
func (s *Server) jsonNotification(subscription string, p Publication) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(struct { // strings into memory: it cannot fail
		TopicOwner, Message, Subscriber string
		MessageTag                      string `json:",omitempty"`
		PublishTime, SubscriptionName   string
		MessageMD5, TopicName           string
		MessageID                       string `json:"MessageId"`
	}{
		TopicOwner: s.account, Message: string(p.Body), Subscriber: s.account,
		MessageTag:  p.Tag,
		PublishTime: strconv.FormatInt(p.Time.UnixMilli(), 10), SubscriptionName: subscription,
		MessageMD5: bodyMD5(p.Body), TopicName: p.Topic,
		MessageID: p.ID,
	})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// xmlNotification follows a published capture of a push; the live service's
// bytes in a queue were not seen.
func (s *Server) xmlNotification(subscription string, p Publication) []byte {
	root := element{name: "Notification", space: "http://mns.aliyuncs.com/doc/v1/"}
	root.add("TopicOwner", s.account)
	root.add("TopicName", p.Topic)
	root.add("Subscriber", s.account)
	root.add("SubscriptionName", subscription)
	root.add("MessageId", p.ID)
	root.add("MessageMD5", bodyMD5(p.Body))
	root.add("Message", string(p.Body))
	if p.Tag != "" {
		root.add("MessageTag", p.Tag)
	}
	root.add("PublishTime", strconv.FormatInt(p.Time.UnixMilli(), 10))
	return root.document(xml.Header)
}
