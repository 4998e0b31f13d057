package queue

import "container/heap"

// group is the messages of a queue with one MessageGroupId, or without one. In a
// FIFO queue it gives them in order, and nothing while one of them is in flight.
// In a standard queue it gives whatever is ready, the oldest first; the groups
// take turns by how much each has in flight already (SQS's fair queues).
type group struct {
	fifo     bool
	size     int
	inFlight int
	spot     int // place in the heap of groups; -1: it has nothing to give

	ready        entryHeap // standard
	oldest, last *entry    // FIFO
}

func newGroup(fifo bool) *group {
	return &group{fifo: fifo, spot: -1, ready: entryHeap{
		less: func(a, b *entry) bool { return a.Sequence < b.Sequence }, spot: func(e *entry) *int { return &e.spot },
	}}
}

// add takes a message in, in a FIFO queue at its place in the order of the
// sequence: at the end, but for one that comes from another queue.
func (g *group) add(e *entry) {
	e.group = g
	g.size++
	if !g.fifo {
		return
	}
	older := g.last
	for older != nil && older.Sequence > e.Sequence {
		older = older.before
	}
	e.before = older
	if older == nil {
		e.after, g.oldest = g.oldest, e
	} else {
		e.after, older.after = older.after, e
	}
	if e.after == nil {
		g.last = e
	} else {
		e.after.before = e
	}
}

func (g *group) remove(e *entry) {
	g.size--
	if !g.fifo {
		return
	}
	if e.before == nil {
		g.oldest = e.after
	} else {
		e.before.after = e.after
	}
	if e.after == nil {
		g.last = e.before
	} else {
		e.after.before = e.before
	}
	e.before, e.after = nil, nil
}

// show and unshow keep what is ready; a FIFO group's own order does that.
func (g *group) show(e *entry) {
	if !g.fifo {
		heap.Push(&g.ready, e)
	}
}

func (g *group) unshow(e *entry) {
	if !g.fifo {
		heap.Remove(&g.ready, e.spot)
	}
}

// front is the message that can be received next; nil: none.
func (g *group) front() *entry {
	switch {
	case !g.fifo && len(g.ready.entries) > 0:
		return g.ready.entries[0]
	case g.fifo && g.inFlight == 0 && g.oldest != nil && g.oldest.place == ready:
		return g.oldest
	}
	return nil
}

// settle puts a group where it belongs among those that have something to give.
func (q *messages) settle(g *group) {
	front := g.front()
	if q.fifo && front != nil && q.spent(front) {
		q.bury(front) // which settles the group
		return
	}
	free := front != nil
	switch {
	case free && g.spot < 0:
		heap.Push(&q.free, g)
	case free:
		heap.Fix(&q.free, g.spot)
	case g.spot >= 0:
		heap.Remove(&q.free, g.spot)
	}
}

// groupHeap has the group on top that is to give next.
type groupHeap []*group

func (h groupHeap) Len() int { return len(h) }
func (h groupHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.inFlight != b.inFlight {
		return a.inFlight < b.inFlight
	}
	return a.front().Sequence < b.front().Sequence
}
func (h groupHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].spot, h[j].spot = i, j }
func (h *groupHeap) Push(x any)   { g := x.(*group); g.spot = len(*h); *h = append(*h, g) }
func (h *groupHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	g.spot = -1
	return g
}

// entryHeap is a heap of entries that know their place in it.
type entryHeap struct {
	entries []*entry
	less    func(a, b *entry) bool
	spot    func(*entry) *int
}

func (h *entryHeap) Len() int           { return len(h.entries) }
func (h *entryHeap) Less(i, j int) bool { return h.less(h.entries[i], h.entries[j]) }
func (h *entryHeap) Swap(i, j int) {
	e := h.entries
	e[i], e[j] = e[j], e[i]
	*h.spot(e[i]), *h.spot(e[j]) = i, j
}
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	*h.spot(e) = len(h.entries)
	h.entries = append(h.entries, e)
}
func (h *entryHeap) Pop() any {
	last := len(h.entries) - 1
	e := h.entries[last]
	h.entries[last] = nil
	h.entries = h.entries[:last]
	return e
}
