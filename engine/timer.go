package engine

import (
	"container/heap"
	"time"
)

// timer is something to look at when its time has come. It is never taken back:
// fire looks whether there still is something to do, so that a timer that has
// lost its reason does nothing.
type timer struct {
	at   time.Time
	seq  uint64 // orders timers of the same time
	fire func()
}

// timers is a heap of timers, the earliest first.
type timers struct {
	heap timerHeap
	seq  uint64
}

// after has fire called by the first Step at or after the time.
func (m *Machine) after(at time.Time, fire func()) {
	m.timers.seq++
	heap.Push(&m.timers.heap, timer{at: at, seq: m.timers.seq, fire: fire})
}

// next is when the earliest timer is due; zero if there is none.
func (t *timers) next() time.Time {
	if len(t.heap) == 0 {
		return time.Time{}
	}
	return t.heap[0].at
}

// fireTimers fires what is due.
func (m *Machine) fireTimers() {
	for len(m.timers.heap) > 0 && !m.timers.heap[0].at.After(m.now) {
		t := heap.Pop(&m.timers.heap).(timer)
		t.fire()
	}
}

type timerHeap []timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)   { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return last
}
