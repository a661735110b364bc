package mns

// This file is the Go side of what the console and Resource Orchestration
// Service do with queues, topics and subscriptions.

// Queue returns the attributes of a queue, and whether there is one.
func (s *Server) Queue(name string) (QueueAttributes, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return QueueAttributes{}, false
	}
	return q.attrs, true
}

// Subscriptions returns those of a topic by name, and whether there is the topic.
func (s *Server) Subscriptions(topic string) (map[string]Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topic]
	if t == nil {
		return nil, false
	}
	out := map[string]Subscription{}
	for name, sub := range t.subscriptions {
		out[name] = sub.Subscription
	}
	return out, true
}

// RemoveQueue deletes a queue with its messages.
func (s *Server) RemoveQueue(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.queues, name)
}

// RemoveTopic deletes a topic with its subscriptions.
func (s *Server) RemoveTopic(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, name)
}

// Unsubscribe deletes a subscription.
func (s *Server) Unsubscribe(topic, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topic]; t != nil {
		delete(t.subscriptions, name)
	}
}
