package runtime

import (
	"slices"
	"sync"
	"testing"
)

func TestStartsKeepTheirOrderAndTheirBound(t *testing.T) {
	for limit, ordered := range map[int]bool{1: true, 3: false} {
		q := NewQueue(limit)
		var mu sync.Mutex
		var order []int
		now, most := 0, 0
		gate := make(chan struct{})
		for i := range 20 {
			q.Put(func() {
				mu.Lock()
				order = append(order, i)
				now++
				most = max(most, now)
				mu.Unlock()
				<-gate
				mu.Lock()
				now--
				mu.Unlock()
			})
		}
		for range 20 {
			gate <- struct{}{}
		}
		q.Close()
		q.Wait()
		if most > limit || len(order) != 20 || ordered && !slices.IsSorted(order) {
			t.Errorf("limit %d: %d at a time, in the order %v", limit, most, order)
		}
	}
}

func TestAClosedQueueBeginsNothing(t *testing.T) {
	q := NewQueue(1)
	begun, gate := make(chan struct{}), make(chan struct{})
	var ran []int
	q.Put(func() { close(begun); <-gate; ran = append(ran, 1) })
	q.Put(func() { ran = append(ran, 2) })
	<-begun
	q.Close()
	q.Put(func() { ran = append(ran, 3) })
	close(gate)
	q.Wait()
	if !slices.Equal(ran, []int{1}) {
		t.Error(ran)
	}
}
