package place

import "slices"

// The tree of a zone is a treap: in the order of before, balanced by rank. Its
// nodes are the hosts themselves, linked by number, so that a clone of an index
// is a copy of plain memory. maxMemory and maxGPU let first skip subtrees in
// which the task cannot fit, whichever is short.

// before is the order in which hosts are filled: the fullest first.
func (x *Index) before(a, b int32) bool {
	m, n := &x.nodes[a], &x.nodes[b]
	if m.key.CPU != n.key.CPU {
		return m.key.CPU < n.key.CPU
	}
	if m.key.Memory != n.key.Memory {
		return m.key.Memory < n.key.Memory
	}
	return m.id < n.id
}

// first finds the first host in order in which the request fits.
func (x *Index) first(root int32, r *Request) int32 {
	if root == none {
		return none
	}
	h := &x.nodes[root]
	if h.maxMemory < r.Reserved.Memory || h.maxGPU < r.Reserved.GPU {
		return none
	}
	if h.key.CPU >= r.Reserved.CPU {
		if found := x.first(h.left, r); found != none {
			return found
		}
		if r.Reserved.Fits(h.key) && h.portsFree(r.Ports) {
			return root
		}
	}
	return x.first(h.right, r)
}

// portsFree tells whether none of the ports is taken.
func (h *node) portsFree(ports []int) bool {
	for _, p := range ports {
		if _, taken := slices.BinarySearch(h.ports, p); taken {
			return false
		}
	}
	return true
}

// link puts a host into the tree of its zone.
func (x *Index) link(slot int32) {
	z := &x.zones[x.nodes[slot].zone]
	h := &x.nodes[slot]
	h.left, h.right, h.linked = none, none, true
	z.root = x.insert(z.root, slot)
}

// unlink takes a host out of the tree of its zone.
func (x *Index) unlink(slot int32) {
	n := &x.nodes[slot]
	n.linked = false
	z := &x.zones[n.zone]
	z.root = x.delete(z.root, slot)
}

func (x *Index) insert(root, slot int32) int32 {
	if root == none {
		x.measure(slot)
		return slot
	}
	if x.nodes[slot].rank > x.nodes[root].rank {
		x.nodes[slot].left, x.nodes[slot].right = x.split(root, slot)
		x.measure(slot)
		return slot
	}
	if x.before(slot, root) {
		x.nodes[root].left = x.insert(x.nodes[root].left, slot)
	} else {
		x.nodes[root].right = x.insert(x.nodes[root].right, slot)
	}
	x.measure(root)
	return root
}

func (x *Index) delete(root, slot int32) int32 {
	if root == none {
		return none
	}
	if root == slot {
		return x.join(x.nodes[root].left, x.nodes[root].right)
	}
	if x.before(slot, root) {
		x.nodes[root].left = x.delete(x.nodes[root].left, slot)
	} else {
		x.nodes[root].right = x.delete(x.nodes[root].right, slot)
	}
	x.measure(root)
	return root
}

// split parts a tree into what comes before the host and what comes after it.
func (x *Index) split(root, slot int32) (low, high int32) {
	if root == none {
		return none, none
	}
	if x.before(root, slot) {
		x.nodes[root].right, high = x.split(x.nodes[root].right, slot)
		low = root
	} else {
		low, x.nodes[root].left = x.split(x.nodes[root].left, slot)
		high = root
	}
	x.measure(root)
	return low, high
}

// join makes one tree of two, all of the first before all of the second.
func (x *Index) join(low, high int32) int32 {
	switch {
	case low == none:
		return high
	case high == none:
		return low
	case x.nodes[low].rank > x.nodes[high].rank:
		x.nodes[low].right = x.join(x.nodes[low].right, high)
		x.measure(low)
		return low
	default:
		x.nodes[high].left = x.join(low, x.nodes[high].left)
		x.measure(high)
		return high
	}
}

// measure sets maxMemory and maxGPU from the node and its children.
func (x *Index) measure(slot int32) {
	h := &x.nodes[slot]
	h.maxMemory, h.maxGPU = h.key.Memory, h.key.GPU
	for _, child := range [...]int32{h.left, h.right} {
		if child != none {
			h.maxMemory = max(h.maxMemory, x.nodes[child].maxMemory)
			h.maxGPU = max(h.maxGPU, x.nodes[child].maxGPU)
		}
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
