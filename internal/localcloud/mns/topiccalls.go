package mns

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// This file is the HTTP side of topics and subscriptions.

// topicRetention is fixed in the live service.
const topicRetention = 24 * time.Hour

// maxTag is how long a message's tag and a subscription's filter may be.
const maxTag = 16

func checkTag(name, tag string) error {
	if utf8.RuneCountInString(tag) > maxTag {
		return invalidArgument("The length of %s should not exceed %d.", name, maxTag)
	}
	return nil
}

// read moves what the call says of a topic into maxSize and logging.
func (r topicRequest) read(maxSize *int, logging *bool) error {
	if err := bytesLimit(maxSize, r.MaximumMessageSize); err != nil {
		return err
	}
	return flag(logging, "LoggingEnabled", r.LoggingEnabled)
}

func (c *call) topic() (topicRequest, error) {
	var r topicRequest
	if len(c.body) == 0 {
		return r, nil
	}
	return r, parse(c.body, &r)
}

func (s *Server) createTopicCall(_ context.Context, c *call) (answer, error) {
	name := c.path[1]
	if err := checkName(name, "TopicNameInvalid", "TopicNameLengthError"); err != nil {
		return answer{}, err
	}
	r, err := c.topic()
	if err != nil {
		return answer{}, err
	}
	maxSize, logging := maxMessageSize, false
	if err := r.read(&maxSize, &logging); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	location := s.topicURL(name)
	if t := s.topics[name]; t != nil {
		if t.maxSize != maxSize || t.logging != logging {
			return answer{}, &Error{409, "TopicAlreadyExist", "The topic you want to create already exists."}
		}
		return answer{status: http.StatusNoContent, location: location}, nil
	}
	if len(s.topics) >= maxTopics {
		return answer{}, invalidArgument("The account has %d topics already.", maxTopics)
	}
	t := s.createTopic(name)
	t.maxSize, t.logging = maxSize, logging
	return answer{status: http.StatusCreated, location: location}, nil
}

func (s *Server) topicURL(name string) string { return "http://" + s.host() + "/topics/" + name }

func (s *Server) setTopicCall(_ context.Context, c *call) (answer, error) {
	r, err := c.topic()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[c.path[1]]
	if t == nil {
		return answer{}, errTopicNotExist
	}
	maxSize, logging := t.maxSize, t.logging
	if err := r.read(&maxSize, &logging); err != nil {
		return answer{}, err
	}
	t.maxSize, t.logging, t.modified = maxSize, logging, s.clock.Now()
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) getTopicCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[c.path[1]]
	if t == nil {
		return answer{}, errTopicNotExist
	}
	body := s.describeTopic(t)
	return answer{status: http.StatusOK, body: &body}, nil
}

// describeTopic needs s.mu.
func (s *Server) describeTopic(t *topic) element {
	kept, since := int64(0), s.clock.Now().Add(-topicRetention)
	for _, p := range t.published {
		if p.Time.After(since) {
			kept++
		}
	}
	e := element{name: "Topic"}
	e.add("TopicName", t.name)
	e.number("CreateTime", t.created.Unix())
	e.number("LastModifyTime", t.modified.Unix())
	e.number("MaximumMessageSize", int64(t.maxSize))
	e.number("MessageRetentionPeriod", int64(topicRetention/time.Second))
	e.number("MessageCount", kept)
	e.flag("LoggingEnabled", t.logging)
	return e
}

func (s *Server) publishCall(_ context.Context, c *call) (answer, error) {
	var r sendRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	if err := checkTag("MessageTag", r.Tag); err != nil {
		return answer{}, err
	}
	if err := checkProperties(r); err != nil {
		return answer{}, err
	}
	p := Publication{Tag: r.Tag, Properties: r.User}
	if r.Body != nil {
		p.Body = []byte(r.Body.Value)
	}
	id, err := s.publish(c.path[1], p, s.size(r.Body))
	if err != nil {
		return answer{}, err
	}
	body := element{name: "Message"}
	body.add("MessageId", id)
	body.add("MessageBodyMD5", bodyMD5(p.Body))
	return answer{status: http.StatusCreated, body: &body}, nil
}

// check returns a subscription as a call asks for it.
func (r subscriptionRequest) check() (Subscription, error) {
	sub := Subscription{Endpoint: r.Endpoint, FilterTag: r.FilterTag, Format: r.NotifyContentFormat, Strategy: r.NotifyStrategy}.withDefaults()
	if !validEndpoint(r.Endpoint) {
		return sub, &Error{400, "EndpointInvalid", "The endpoint you provided is not valid."}
	}
	switch sub.Format {
	case "XML", "JSON", "SIMPLIFIED", "STREAM":
	default:
		return sub, invalidArgument("The value of NotifyContentFormat is not supported.")
	}
	if err := checkStrategy(sub.Strategy); err != nil {
		return sub, err
	}
	return sub, checkTag("FilterTag", sub.FilterTag)
}

func checkStrategy(strategy string) error {
	if strategy != "BACKOFF_RETRY" && strategy != "EXPONENTIAL_DECAY_RETRY" {
		return invalidArgument("The value of NotifyStrategy is not supported.")
	}
	return nil
}

// validEndpoint knows queues, HTTP and mail.
func validEndpoint(endpoint string) bool {
	if rest, ok := strings.CutPrefix(endpoint, "acs:mns:"); ok {
		parts := strings.Split(rest, ":")
		return len(parts) == 3 && parts[0] != "" && parts[1] != "" &&
			nameForm.MatchString(strings.TrimPrefix(strings.TrimPrefix(parts[2], "/"), "queues/"))
	}
	if strings.HasPrefix(endpoint, "mail:directmail:") {
		return true
	}
	u, err := url.Parse(endpoint)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (s *Server) subscribeCall(_ context.Context, c *call) (answer, error) {
	name := c.path[3]
	if err := checkName(name, "SubscriptionNameInvalid", "SubscriptionNameLengthError"); err != nil {
		return answer{}, err
	}
	var r subscriptionRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	sub, err := r.check()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[c.path[1]]
	if t == nil {
		return answer{}, errTopicNotExist
	}
	location := s.subscriptionPath(t.name, name)
	if old := t.subscriptions[name]; old != nil {
		if old.Subscription != sub {
			return answer{}, &Error{409, "SubscriptionAlreadyExist", "The subscription you want to create already exists."}
		}
		return answer{status: http.StatusNoContent, location: location}, nil
	}
	if len(t.subscriptions) >= maxSubscriptions {
		return answer{}, invalidArgument("The topic has %d subscriptions already.", maxSubscriptions)
	}
	now := s.clock.Now()
	t.subscriptions[name] = &subscription{sub, now, now}
	return answer{status: http.StatusCreated, location: location}, nil
}

// subscriptionPath is the Location of a subscription, which the live service
// sends without a scheme.
func (s *Server) subscriptionPath(topic, name string) string {
	return s.host() + "/topics/" + topic + "/subscriptions/" + name
}

// subscription returns what a call names. It needs s.mu.
func (s *Server) subscription(c *call) (*topic, *subscription, error) {
	t := s.topics[c.path[1]]
	if t == nil {
		return nil, nil, errTopicNotExist
	}
	sub := t.subscriptions[c.path[3]]
	if sub == nil {
		return nil, nil, errSubscriptionNotExist
	}
	return t, sub, nil
}

// setSubscriptionCall changes the strategy: nothing else of a subscription can be.
func (s *Server) setSubscriptionCall(_ context.Context, c *call) (answer, error) {
	var r subscriptionRequest
	if err := parse(c.body, &r); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, sub, err := s.subscription(c)
	if err != nil {
		return answer{}, err
	}
	if r.NotifyStrategy != "" {
		if err := checkStrategy(r.NotifyStrategy); err != nil {
			return answer{}, err
		}
		sub.Strategy, sub.modified = r.NotifyStrategy, s.clock.Now()
	}
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) getSubscriptionCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, sub, err := s.subscription(c)
	if err != nil {
		return answer{}, err
	}
	body := s.describeSubscription(t.name, c.path[3], sub)
	return answer{status: http.StatusOK, body: &body}, nil
}

func (s *Server) describeSubscription(topic, name string, sub *subscription) element {
	e := element{name: "Subscription"}
	e.add("SubscriptionName", name)
	e.add("Subscriber", s.account)
	e.add("TopicOwner", s.account)
	e.add("TopicName", topic)
	e.add("Endpoint", sub.Endpoint)
	e.add("NotifyStrategy", sub.Strategy)
	e.add("NotifyContentFormat", sub.Format)
	if sub.FilterTag != "" {
		e.add("FilterTag", sub.FilterTag)
	}
	e.number("CreateTime", sub.created.Unix())
	e.number("LastModifyTime", sub.modified.Unix())
	return e
}

func (s *Server) unsubscribeCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, _, err := s.subscription(c)
	if err != nil {
		return answer{}, err
	}
	delete(t.subscriptions, c.path[3])
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) listSubscriptionsCall(_ context.Context, c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[c.path[1]]
	if t == nil {
		return answer{}, errTopicNotExist
	}
	return list(c, "Subscriptions", t.subscriptions, func(name string, meta bool) element {
		if meta {
			return s.describeSubscription(t.name, name, t.subscriptions[name])
		}
		e := element{name: "Subscription"}
		e.add("SubscriptionURL", "http://"+s.subscriptionPath(t.name, name))
		return e
	})
}
