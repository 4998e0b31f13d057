package queue

import (
	"context"
	"time"

	"plimsoll/engine/store"
)

// Receive is a request for messages.
type Receive struct {
	Max int // 1 to 10
	// Visibility and Wait are those of this call; nil: the queue's own.
	Visibility, Wait *time.Duration
	// Attempt, if it is not empty, makes the call one that may be repeated: a
	// FIFO queue gives the same messages again for five minutes.
	Attempt string
}

// Receive gives up to o.Max messages and hides them from others for the
// visibility time. While there are none it waits for the wait time, or until
// the context ends; then it gives none. Those who wait are served in the order
// in which they came.
func (s *Set) Receive(ctx context.Context, name string, o Receive) ([]Received, error) {
	l, err := s.enter(name)
	if err != nil {
		return nil, err
	}
	wait := l.config().seconds(WaitTime)
	if o.Wait != nil {
		wait = *o.Wait
	}
	if wait == 0 || !l.waiters.busy() {
		t := s.take(l, o)
		if t.err != nil || len(t.held) > 0 || wait == 0 {
			return s.hand(l, t)
		}
	}
	turn := l.waiters.join(nil)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for over := false; ; {
		s.release(l)
		select {
		case <-turn.woken:
		case <-timer.C:
			over = true
		case <-ctx.Done():
		}
		l.mu.Lock()
		l.waiters.leave(turn)
		if l.deleted {
			l.mu.Unlock()
			return nil, noQueue(name)
		}
		if ctx.Err() != nil {
			s.release(l) // whatever this one was woken for is for the next
			return nil, nil
		}
		l.messages.mostReceives = s.mostReceives(l)
		t := s.take(l, o)
		if t.err != nil || len(t.held) > 0 || over {
			return s.hand(l, t)
		}
		l.waiters.join(turn)
	}
}

// taking is what one try of a receive came to.
type taking struct {
	held  []held
	again bool // the messages are those of an earlier attempt
	err   error
}

// take tries once. l.mu is held.
func (s *Set) take(l *live, o Receive) taking {
	now := s.now()
	visibility := l.config().seconds(VisibilityTimeout)
	if o.Visibility != nil {
		visibility = *o.Visibility
	}
	if l.messages.fifo {
		if got, err := l.repeat(now, o.Attempt, visibility); err != nil || got != nil {
			return taking{held: got, again: true, err: err}
		}
	}
	// What is too old is not given, even where the timer is late.
	if old := l.messages.expire(now.Add(-l.config().seconds(Retention))); len(old) > 0 {
		l.owed = append(l.owed, l.deletions(old...)...)
	}
	got, err := l.messages.take(now, o.Max, visibility, func() uint64 { return s.sequence.Add(1) })
	if l.messages.fifo {
		l.attempts.add(now, o.Attempt, got)
	}
	return taking{held: got, err: err}
}

// hand gives messages out when their receipts are on disk, and unlocks the
// queue.
func (s *Set) hand(l *live, t taking) ([]Received, error) {
	received := make([]Received, len(t.held))
	records := make([]store.Record, len(t.held))
	for i, h := range t.held {
		received[i] = Received{
			Message: h.Message, Handle: l.config().handle(h.ID, h.number), Count: h.Earlier + h.receipt.count, First: h.first,
		}
		records[i] = l.receiptRecord(h.entry)
	}
	wait := s.log.Begin(records)
	s.release(l)
	if t.err != nil {
		return nil, t.err
	}
	err := wait()
	if err == nil {
		return received, nil
	}
	if !t.again {
		l.mu.Lock()
		for _, h := range t.held {
			l.messages.untake(h)
		}
		s.release(l)
	}
	return nil, err
}
