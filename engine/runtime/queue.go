package runtime

import "sync"

// Queue carries out starts, a bounded number of them at the same time and in the
// order in which they came. Stops have no place in it, so no start waits behind
// one.
type Queue struct {
	limit int

	mu      sync.Mutex
	waiting []func()
	active  int
	closed  bool
	workers sync.WaitGroup
}

// NewQueue makes a queue of which limit starts are carried out at a time.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// Put adds a start; a closed queue drops it.
func (q *Queue) Put(start func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, start)
	if q.active < q.limit {
		q.active++
		q.workers.Go(q.work)
	}
}

func (q *Queue) work() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.active--
			q.mu.Unlock()
			return
		}
		start := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		start()
	}
}

// Busy tells whether anything waits or is being carried out.
func (q *Queue) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active > 0
}

// Close drops what waits. Wait returns when what had begun has ended.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.waiting = true, nil
}

// Wait is called after Close.
func (q *Queue) Wait() { q.workers.Wait() }
