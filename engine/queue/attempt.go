package queue

import (
	"time"
)

// attempt is a receive from a FIFO queue that may be asked for again, because
// its answer may have been lost.
type attempt struct {
	id    string
	at    time.Time
	taken []part
}

// part is one message of an attempt.
type part struct {
	*entry
	number uint64
	until  time.Time
}

// attempts are those of the last five minutes. They are not kept on disk: after
// a new start the messages come back when their time is over.
type attempts struct {
	byID map[string]*attempt
	row  []*attempt // by time
}

func (a *attempts) add(now time.Time, id string, taken []held) {
	if id == "" || len(taken) == 0 {
		return
	}
	one := &attempt{id: id, at: now}
	for _, h := range taken {
		one.taken = append(one.taken, part{h.entry, h.number, h.at})
	}
	if a.byID == nil {
		a.byID = map[string]*attempt{}
	}
	a.byID[id] = one
	a.row = append(a.row, one)
}

func (a *attempts) expire(now time.Time) {
	for len(a.row) > 0 && !now.Before(a.row[0].at.Add(onceFor)) {
		one := a.row[0]
		a.row[0] = nil
		a.row = a.row[1:]
		if a.byID[one.id] == one {
			delete(a.byID, one.id)
		}
	}
}

// next is when the oldest is to be forgotten; false: there is none.
func (a *attempts) next() (time.Time, bool) {
	if len(a.row) == 0 {
		return time.Time{}, false
	}
	return a.row[0].at.Add(onceFor), true
}

// repeat gives again what an attempt was given, hidden anew; nil: the attempt is
// unknown, or the time of all it was given is over. If one of the messages was
// deleted, changed or given to another, the attempt cannot be repeated.
func (l *live) repeat(now time.Time, id string, visibility time.Duration) ([]held, error) {
	one := l.attempts.byID[id]
	if id == "" || one == nil || !now.Before(one.at.Add(onceFor)) {
		return nil, nil
	}
	l.messages.advance(now)
	over := 0
	for _, p := range one.taken {
		if l.messages.byID[p.ID] != p.entry || p.entry.number != p.number || p.inFlight && !p.at.Equal(p.until) || p.place == leaving {
			return nil, invalid("ReceiveRequestAttemptId", id,
				"The receiveRequestAttemptId is not valid anymore since the receive call is not retryable.")
		}
		if !p.inFlight {
			over++
		}
	}
	if over > 0 {
		delete(l.attempts.byID, id)
		return nil, nil
	}
	again := make([]held, len(one.taken))
	for i := range one.taken {
		p := &one.taken[i]
		again[i] = held{p.entry, p.receipt}
		l.messages.hide(now, p.entry, visibility)
		p.until = p.at
	}
	return again, nil
}
