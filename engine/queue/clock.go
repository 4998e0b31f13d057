package queue

import (
	"time"

	"plimsoll/engine/store"
)

// retryAfter is how long the log is left alone that did not take deletions.
const retryAfter = time.Minute

// release ends what enter began: it wakes whoever can go on, sets the timer and
// unlocks; then it tells of what has come and sends the dead on their way.
func (s *Set) release(l *live) {
	appeared, dead := l.messages.appeared, l.messages.dead
	l.messages.appeared, l.messages.dead = false, nil
	if l.messages.givable() {
		l.waiters.wakeOne()
	}
	s.arm(l)
	l.mu.Unlock()
	if appeared {
		s.arrived(l.name)
	}
	if len(dead) > 0 {
		s.bury(l, dead)
	}
}

// arm sets the queue's timer to when time alone changes something. l.mu is
// held.
func (s *Set) arm(l *live) {
	if l.deleted || s.running.Err() != nil {
		return
	}
	var next time.Time
	sooner := func(at time.Time, some bool) {
		if some && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	sooner(l.messages.next())
	sent, some := l.messages.oldest()
	sooner(sent.Add(l.config().seconds(Retention)), some)
	sooner(l.once.next())
	sooner(l.attempts.next())
	sooner(s.now().Add(retryAfter), len(l.owed) > 0)
	if next.IsZero() || !l.armed.IsZero() && !next.Before(l.armed) {
		return
	}
	l.armed = next
	wait := max(next.Sub(s.now()), 0)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() { s.sweep(l) })
		return
	}
	l.timer.Reset(wait)
}

// sweep does what time has brought.
func (s *Set) sweep(l *live) {
	l.mu.Lock()
	l.armed = time.Time{}
	if l.deleted || s.running.Err() != nil {
		l.mu.Unlock()
		return
	}
	now := s.now()
	l.messages.mostReceives = s.mostReceives(l)
	gone := append(l.owed, l.deletions(l.messages.expire(now.Add(-l.config().seconds(Retention)))...)...)
	for _, key := range l.once.expire(now) {
		gone = append(gone, store.Record{Key: onceKey(l.id, key)})
	}
	l.owed = nil
	l.attempts.expire(now)
	l.messages.advance(now)
	wait := s.log.Begin(gone)
	s.release(l)
	if wait() != nil {
		// They are gone for the clients; the log takes it later.
		l.mu.Lock()
		l.owed = append(l.owed, gone...)
		s.arm(l)
		l.mu.Unlock()
	}
}
