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

// MaxInFlight is the limit of messages in flight.
const MaxInFlight = maxInFlight

// LimitInFlight lowers the limit of one queue.
func (s *Set) LimitInFlight(name string, n int) { s.live[name].messages.mostInFlight = n }
