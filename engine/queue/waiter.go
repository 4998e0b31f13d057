package queue

import "slices"

// waiters is the row of those who wait for a message, the first come first. It
// is guarded by the queue's lock.
type waiters struct {
	row    []*waiter
	last   uint64 // ticket
	called int    // were woken and are on their way
}

// waiter is one place in the row.
type waiter struct {
	ticket uint64
	called bool
	woken  chan struct{}
}

// busy tells whether somebody is before a newcomer.
func (w *waiters) busy() bool { return w.called > 0 || len(w.row) > 0 }

// join puts a waiter into the row: a newcomer (nil) at the end, one who was
// called in vain at its old place.
func (w *waiters) join(one *waiter) *waiter {
	if one == nil {
		w.last++
		one = &waiter{ticket: w.last}
	}
	one.called, one.woken = false, make(chan struct{})
	at, _ := slices.BinarySearchFunc(w.row, one.ticket, func(w *waiter, ticket uint64) int {
		if w.ticket < ticket {
			return -1
		}
		return 1
	})
	w.row = slices.Insert(w.row, at, one)
	return one
}

// wakeOne wakes the first and takes it out of the row. It tries again, and
// wakes the next when it leaves.
func (w *waiters) wakeOne() {
	if len(w.row) == 0 {
		return
	}
	one := w.row[0]
	w.row[0] = nil
	w.row = w.row[1:]
	one.called = true
	w.called++
	close(one.woken)
}

func (w *waiters) wakeAll() {
	for len(w.row) > 0 {
		w.wakeOne()
	}
}

// leave takes a waiter out of the row; one that was called is out already, and
// has come.
func (w *waiters) leave(one *waiter) {
	if one.called {
		one.called = false
		w.called--
		return
	}
	if i := slices.Index(w.row, one); i >= 0 {
		w.row = slices.Delete(w.row, i, i+1)
	}
}
