package control

// ring keeps the newest values, up to a bound.
type ring[T any] struct {
	items []T
	first int // of a full ring
	bound int
}

func newRing[T any](bound int) *ring[T] { return &ring[T]{bound: bound} }

// add appends a value, in place of the oldest if the ring is full.
func (r *ring[T]) add(v T) {
	if len(r.items) < r.bound {
		r.items = append(r.items, v)
		return
	}
	r.items[r.first] = v
	r.first = (r.first + 1) % r.bound
}

// last is the newest value, or nil; it may be changed in place.
func (r *ring[T]) last() *T {
	if len(r.items) == 0 {
		return nil
	}
	return &r.items[(r.first+len(r.items)-1)%len(r.items)]
}

// since copies the values from the first for which after is true, the oldest
// first; after has to be false for older values and true for all newer ones.
func (r *ring[T]) since(after func(*T) bool) []T {
	n := len(r.items)
	from := n
	for from > 0 && after(&r.items[(r.first+from-1)%n]) {
		from--
	}
	list := make([]T, 0, n-from)
	for i := from; i < n; i++ {
		list = append(list, r.items[(r.first+i)%n])
	}
	return list
}
