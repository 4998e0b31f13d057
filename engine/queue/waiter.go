package queue

import "slices"

// waiters is the row of those who wait for a message, the first come first. It
// is guarded by the queue's lock.
type waiters struct{ row []*waiter }

// waiter is one place in the row.
type waiter struct{ woken chan struct{} }

func (w *waiters) join() *waiter {
	one := &waiter{woken: make(chan struct{})}
	w.row = append(w.row, one)
	return one
}

// wakeOne wakes the first and takes it out of the row. It tries again, and
// wakes the next when it leaves.
func (w *waiters) wakeOne() {
	if len(w.row) == 0 {
		return
	}
	close(w.row[0].woken)
	w.row[0] = nil
	w.row = w.row[1:]
}

func (w *waiters) wakeAll() {
	for len(w.row) > 0 {
		w.wakeOne()
	}
}

// leave takes a waiter out of the row; one that was woken is out already.
func (w *waiters) leave(one *waiter) {
	if i := slices.Index(w.row, one); i >= 0 {
		w.row = slices.Delete(w.row, i, i+1)
	}
}
