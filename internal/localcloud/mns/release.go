package mns

import "time"

// ReleaseAfter makes a message visible again after delay of the cloud's time,
// as a change of its visibility would, and as Release does for no delay. A
// handle that is no longer valid is ignored.
func (s *Server) ReleaseAfter(queue, handle string, delay time.Duration) {
	if delay <= 0 {
		s.Release(queue, handle)
		return
	}
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
	s.hide(m, s.clock.Now(), delay)
	s.wake()
}
