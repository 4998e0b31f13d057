package queue

// Held counts what the queues keep in memory for their messages.
func (s *Set) Held() int {
	n := 0
	for _, l := range s.live {
		l.mu.Lock()
		q := l.messages
		n += len(q.byID) + len(q.groups) + len(q.free) + len(q.waiting.entries) + len(q.ages.entries) + len(q.dead) +
			len(l.once.byKey) + len(l.once.row) + len(l.attempts.byID) + len(l.attempts.row) + len(l.waiters.row) + len(l.owed)
		l.mu.Unlock()
	}
	return n
}
