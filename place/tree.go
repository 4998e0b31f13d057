package place

import "slices"

// The tree of a zone is a treap: in the order of before, balanced by rank. Its
// nodes are the hosts themselves, linked by index, so that a clone of a fleet
// is a copy of plain memory. maxMemory lets first skip subtrees in which the
// task cannot fit, whichever of CPU and memory is short.

// before is the order in which hosts are filled: the fullest first.
func (f *Fleet) before(a, b int32) bool {
	x, y := &f.hosts[a], &f.hosts[b]
	if x.free.CPU != y.free.CPU {
		return x.free.CPU < y.free.CPU
	}
	if x.free.Memory != y.free.Memory {
		return x.free.Memory < y.free.Memory
	}
	return x.id < y.id
}

// first finds the first host in order in which the request fits.
func (f *Fleet) first(root int32, r *Request) int32 {
	if root == none {
		return none
	}
	h := &f.hosts[root]
	if h.maxMemory < r.Reserved.Memory {
		return none
	}
	if h.free.CPU >= r.Reserved.CPU {
		if found := f.first(h.left, r); found != none {
			return found
		}
		if h.free.Memory >= r.Reserved.Memory && h.open(r.Ports) {
			return root
		}
	}
	return f.first(h.right, r)
}

// open tells whether none of the ports is taken.
func (h *host) open(ports []int) bool {
	for _, p := range ports {
		if _, taken := slices.BinarySearch(h.ports, p); taken {
			return false
		}
	}
	return true
}

// link puts a host into the tree of its zone.
func (f *Fleet) link(slot int32) {
	z := &f.zones[f.hosts[slot].zone]
	h := &f.hosts[slot]
	h.left, h.right = none, none
	z.root = f.insert(z.root, slot)
}

// unlink takes a host out of the tree of its zone.
func (f *Fleet) unlink(slot int32) {
	z := &f.zones[f.hosts[slot].zone]
	z.root = f.delete(z.root, slot)
}

func (f *Fleet) insert(root, slot int32) int32 {
	if root == none {
		f.measure(slot)
		return slot
	}
	if f.hosts[slot].rank > f.hosts[root].rank {
		f.hosts[slot].left, f.hosts[slot].right = f.split(root, slot)
		f.measure(slot)
		return slot
	}
	if f.before(slot, root) {
		f.hosts[root].left = f.insert(f.hosts[root].left, slot)
	} else {
		f.hosts[root].right = f.insert(f.hosts[root].right, slot)
	}
	f.measure(root)
	return root
}

func (f *Fleet) delete(root, slot int32) int32 {
	if root == none {
		return none
	}
	if root == slot {
		return f.join(f.hosts[root].left, f.hosts[root].right)
	}
	if f.before(slot, root) {
		f.hosts[root].left = f.delete(f.hosts[root].left, slot)
	} else {
		f.hosts[root].right = f.delete(f.hosts[root].right, slot)
	}
	f.measure(root)
	return root
}

// split parts a tree into what comes before the host and what comes after it.
func (f *Fleet) split(root, slot int32) (low, high int32) {
	if root == none {
		return none, none
	}
	if f.before(root, slot) {
		f.hosts[root].right, high = f.split(f.hosts[root].right, slot)
		low = root
	} else {
		low, f.hosts[root].left = f.split(f.hosts[root].left, slot)
		high = root
	}
	f.measure(root)
	return low, high
}

// join makes one tree of two, all of the first before all of the second.
func (f *Fleet) join(low, high int32) int32 {
	switch {
	case low == none:
		return high
	case high == none:
		return low
	case f.hosts[low].rank > f.hosts[high].rank:
		f.hosts[low].right = f.join(f.hosts[low].right, high)
		f.measure(low)
		return low
	default:
		f.hosts[high].left = f.join(low, f.hosts[high].left)
		f.measure(high)
		return high
	}
}

// measure sets maxMemory from the node and its children.
func (f *Fleet) measure(slot int32) {
	h := &f.hosts[slot]
	h.maxMemory = h.free.Memory
	if h.left != none {
		h.maxMemory = max(h.maxMemory, f.hosts[h.left].maxMemory)
	}
	if h.right != none {
		h.maxMemory = max(h.maxMemory, f.hosts[h.right].maxMemory)
	}
}

// scatter is a mixing function (the finalizer of MurmurHash3): ranks have to
// look random for the tree to be balanced, and be the same in every run.
func scatter(x uint32) uint32 {
	x += 0x9e3779b9
	x ^= x >> 16
	x *= 0x85ebca6b
	x ^= x >> 13
	x *= 0xc2b2ae35
	x ^= x >> 16
	return x
}
