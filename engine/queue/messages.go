package queue

import (
	"container/heap"
	"time"
)

// maxInFlight is how many messages of a queue may be in flight at once.
const maxInFlight = 120_000

// place is where a message is.
type place int8

const (
	writing place = iota // not on disk yet
	ready                // may be received, as far as its group allows
	hidden               // in flight or delayed, until entry.at
	leaving              // its end is being written
)

// entry is a message of a queue, and where it is.
type entry struct {
	*Message
	receipt
	place    place
	inFlight bool
	at       time.Time // hidden: when it will be ready
	spot     int       // place in the heap that holds it: group.ready or messages.waiting
	age      int       // place in messages.ages
	group    *group
	// before and after are the group's next older and newer message in a FIFO
	// queue.
	before, after *entry
}

// held is a message that was just taken, and the receipt that it had before.
type held struct {
	*entry
	earlier receipt
}

// messages are those of one queue, as plain state. They are not safe for
// concurrent use, and know the time only from what they are told. Times do not
// go back.
type messages struct {
	fifo bool
	// mostReceives is after how many receives a message that would become
	// visible is dead instead; 0: never.
	mostReceives int
	mostInFlight int // maxInFlight

	byID    map[string]*entry
	groups  map[string]*group
	free    groupHeap // the groups that have something to give
	waiting entryHeap // the hidden, by time
	ages    entryHeap // all, by when they were sent
	count   Depth
	// appeared tells that something became ready since it was last set to
	// false; dead are those that were received too often.
	appeared bool
	dead     []*entry
}

func newMessages(fifo bool) *messages {
	return &messages{
		fifo: fifo, mostInFlight: maxInFlight, byID: map[string]*entry{}, groups: map[string]*group{},
		waiting: entryHeap{less: func(a, b *entry) bool { return a.at.Before(b.at) }, spot: func(e *entry) *int { return &e.spot }},
		ages:    entryHeap{less: func(a, b *entry) bool { return a.Sent.Before(b.Sent) }, spot: func(e *entry) *int { return &e.age }},
	}
}

// add takes a message in that is being written: it has its place in its group,
// and nobody can receive it.
func (q *messages) add(m *Message) *entry {
	e := &entry{Message: m, place: writing}
	q.byID[m.ID] = e
	heap.Push(&q.ages, e)
	g := q.groups[m.Group]
	if g == nil {
		g = newGroup(q.fifo)
		q.groups[m.Group] = g
	}
	g.add(e)
	q.settle(g) // it may have come before the front of its group
	return e
}

// admit lets a message that was written be received when it is due.
func (q *messages) admit(now time.Time, e *entry) {
	if q.byID[e.ID] != e {
		return // it expired, or its queue is gone
	}
	if e.Due.After(now) {
		q.move(e, hidden, e.Due)
	} else {
		q.show(e)
	}
}

// take receives up to most messages and hides them until now + visibility. The
// receipts' numbers come from next.
func (q *messages) take(now time.Time, most int, visibility time.Duration, next func() uint64) ([]held, error) {
	q.advance(now)
	if len(q.free) > 0 && q.count.InFlight >= q.mostInFlight {
		if q.fifo {
			return nil, nil
		}
		return nil, refuse("OverLimit", "Too many messages in flight for this queue: %d. "+
			"Delete messages after they are processed, or let their visibility timeouts end.", q.mostInFlight)
	}
	most = min(most, q.mostInFlight-q.count.InFlight)
	var taken []held
	hold := func(e *entry) {
		taken = append(taken, held{e, e.receipt})
		e.number = next()
		e.receipt.count++
		e.taken = now
		if e.first.IsZero() {
			e.first = now
		}
		e.inFlight = true
		q.move(e, hidden, now.Add(visibility))
	}
	for len(taken) < most && len(q.free) > 0 {
		e := q.free[0].front()
		if q.spent(e) {
			q.bury(e)
			continue
		}
		hold(e)
		if q.fifo { // as many of the group as there are, in order
			for e = e.after; e != nil && e.place == ready && !q.spent(e) && len(taken) < most; e = e.after {
				hold(e)
			}
		}
	}
	return taken, nil
}

// untake gives a message back whose receipt could not be written.
func (q *messages) untake(h held) {
	if q.byID[h.ID] == h.entry && h.place == hidden && h.inFlight {
		h.receipt = h.earlier
		q.show(h.entry)
	}
}

// withdraw takes up to most messages out of reach that could be received.
func (q *messages) withdraw(now time.Time, most int) []*entry {
	q.advance(now)
	var out []*entry
	for len(out) < most && len(q.free) > 0 {
		e := q.free[0].front()
		q.leave(e)
		out = append(out, e)
	}
	return out
}

// givable tells whether a receiver would get something.
func (q *messages) givable() bool { return len(q.free) > 0 && q.count.InFlight < q.mostInFlight }

// hide sets when a message in flight is ready again: now + visibility.
func (q *messages) hide(now time.Time, e *entry, visibility time.Duration) {
	if visibility <= 0 {
		q.end(e)
		return
	}
	q.move(e, hidden, now.Add(visibility))
}

// end ends a message's time of being hidden. In a FIFO queue a dead one goes
// when it is at the front of its group, so that they go in order: see settle.
func (q *messages) end(e *entry) {
	if !q.fifo && q.spent(e) {
		q.bury(e)
	} else {
		q.show(e)
	}
}

// restore puts a message where it was when the engine last ended.
func (q *messages) restore(now time.Time, e *entry, r receipt, until time.Time) {
	e.receipt = r
	if r.number != 0 && until.After(now) {
		e.inFlight = true
		q.move(e, hidden, until)
		return
	}
	q.admit(now, e)
}

// leave takes a message out of reach while its end is being written.
func (q *messages) leave(e *entry) { q.move(e, leaving, e.at) }

// stay puts one back whose end could not be written.
func (q *messages) stay(now time.Time, e *entry) {
	switch {
	case q.byID[e.ID] != e || e.place != leaving:
	case e.at.After(now):
		q.move(e, hidden, e.at)
	default:
		q.show(e)
	}
}

// putBack is stay for what is left alone for a while, because it failed.
func (q *messages) putBack(e *entry, until time.Time) {
	if q.byID[e.ID] == e && e.place == leaving {
		e.inFlight = false
		q.move(e, hidden, until)
	}
}

// drop takes a message out, wherever it is.
func (q *messages) drop(e *entry) {
	if q.byID[e.ID] != e {
		return
	}
	q.unlink(e)
	heap.Remove(&q.ages, e.age)
	delete(q.byID, e.ID)
	g := e.group
	g.remove(e)
	q.settle(g)
	if g.size == 0 {
		delete(q.groups, e.Message.Group)
	}
}

// expire takes out what was sent before the time given, and gives the ids.
func (q *messages) expire(before time.Time) []string {
	var ids []string
	for len(q.ages.entries) > 0 && !q.ages.entries[0].Sent.After(before) {
		e := q.ages.entries[0]
		q.drop(e)
		ids = append(ids, e.ID)
	}
	return ids
}

// advance makes ready what is due.
func (q *messages) advance(now time.Time) {
	for len(q.waiting.entries) > 0 && !q.waiting.entries[0].at.After(now) {
		q.end(q.waiting.entries[0])
	}
}

// spent tells whether a message has been received as often as it may be.
func (q *messages) spent(e *entry) bool {
	return q.mostReceives > 0 && e.receipt.count >= q.mostReceives
}

func (q *messages) bury(e *entry) {
	q.leave(e)
	q.dead = append(q.dead, e)
}

// next is when the next hidden message becomes ready; false: none is hidden.
func (q *messages) next() (time.Time, bool) {
	if len(q.waiting.entries) == 0 {
		return time.Time{}, false
	}
	return q.waiting.entries[0].at, true
}

// oldest is when the oldest message was sent; false: there is none.
func (q *messages) oldest() (time.Time, bool) {
	if len(q.ages.entries) == 0 {
		return time.Time{}, false
	}
	return q.ages.entries[0].Sent, true
}

// show makes a message ready.
func (q *messages) show(e *entry) {
	q.move(e, ready, time.Time{})
	q.appeared = true
}

// move takes an entry from one place to another.
func (q *messages) move(e *entry, to place, at time.Time) {
	q.unlink(e)
	if to == ready {
		e.inFlight = false
	}
	e.place, e.at = to, at
	switch to {
	case ready:
		q.count.Visible++
		e.group.show(e)
	case hidden:
		heap.Push(&q.waiting, e)
		if e.inFlight {
			q.count.InFlight++
			e.group.inFlight++
		} else {
			q.count.Delayed++
		}
	case writing, leaving:
	}
	q.settle(e.group)
}

// unlink takes an entry out of the heap and the counts of its place.
func (q *messages) unlink(e *entry) {
	switch e.place {
	case ready:
		q.count.Visible--
		e.group.unshow(e)
	case hidden:
		heap.Remove(&q.waiting, e.spot)
		if !e.inFlight {
			q.count.Delayed--
			return
		}
		q.count.InFlight--
		e.group.inFlight--
	case writing, leaving:
	}
}
