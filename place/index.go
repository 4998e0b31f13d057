package place

import (
	"slices"

	"plimsoll"
)

// Index is the free capacity of many hosts, which it knows by number. Pick
// costs nearly the same for a thousand hosts and for ten thousand: each zone
// has a balanced tree of its open hosts in the order in which they are to be
// filled. The trees are brought up to date when the next Pick needs them, so
// that what is taken and given back in between costs next to nothing. It is not
// safe for concurrent use.
type Index struct {
	nodes  []node // a removed host leaves its number in vacant
	vacant []int32
	zones  []zone
	// touched are the nodes that may be in the wrong place in their tree.
	touched []int32
}

// zone is a zone and the root of the tree of its hosts.
type zone struct {
	name string
	root int32
}

// node is a host, and its node in its zone's tree while it is linked.
type node struct {
	id     string
	free   plimsoll.Resources
	key    plimsoll.Resources // what was free when it was linked
	zone   int32              // none: the number is vacant
	closed bool
	linked bool
	touch  bool // it is in touched
	// ports are never changed in place, so that clones share them.
	ports []int

	left, right int32
	rank        uint32 // the heap order of the tree
	// maxMemory and maxGPU are the most that is free on a host of the subtree.
	maxMemory, maxGPU int64
}

// none is the index of no host.
const none int32 = -1

// NewIndex gives an index of the hosts, which get the numbers of their places
// in the list.
func NewIndex(hosts []Host) *Index {
	x := &Index{nodes: make([]node, 0, len(hosts))}
	for _, h := range hosts {
		x.Add(h)
	}
	return x
}

// Clone gives an independent copy, as plain memory.
func (x *Index) Clone() *Index {
	return &Index{
		nodes:   slices.Clone(x.nodes),
		vacant:  slices.Clone(x.vacant),
		zones:   slices.Clone(x.zones),
		touched: slices.Clone(x.touched),
	}
}

// Add puts a host into the index and gives its number. Numbers of hosts that
// were removed are given again.
func (x *Index) Add(h Host) int32 {
	var slot int32
	if n := len(x.vacant); n > 0 {
		slot, x.vacant = x.vacant[n-1], x.vacant[:n-1]
	} else {
		slot = int32(len(x.nodes))
		x.nodes = append(x.nodes, node{})
	}
	ports := slices.Clone(h.Ports)
	slices.Sort(ports)
	n := &x.nodes[slot]
	*n = node{
		id: h.ID, zone: x.zoneIndex(h.Zone), closed: h.Closed, touch: n.touch,
		free: h.Free, ports: ports, left: none, right: none, rank: scatter(uint32(slot)),
	}
	x.touchNode(slot)
	return slot
}

// Remove takes a host out of the index.
func (x *Index) Remove(slot int32) {
	n := &x.nodes[slot]
	if n.linked {
		x.unlink(slot)
	}
	*n = node{zone: none, touch: n.touch}
	x.vacant = append(x.vacant, slot)
}

// SetClosed closes a host to new tasks or opens it again.
func (x *Index) SetClosed(slot int32, closed bool) {
	if n := &x.nodes[slot]; n.closed != closed {
		n.closed = closed
		x.touchNode(slot)
	}
}

// Free is what is left of a host; negative if it is overdrawn.
func (x *Index) Free(slot int32) plimsoll.Resources { return x.nodes[slot].free }

// Zone is the number of a host's zone, from 0 to Zones.
func (x *Index) Zone(slot int32) int { return int(x.nodes[slot].zone) }

// Zones is how many zones the hosts are or were in.
func (x *Index) Zones() int { return len(x.zones) }

// Open tells whether a host takes new tasks, and has none of the ports in use.
func (x *Index) Open(slot int32, ports []int) bool {
	n := &x.nodes[slot]
	return !n.closed && n.portsFree(ports)
}

// Pick chooses a host for the task and takes nothing. Of the zones in which
// the task fits it takes the one with the least in spread, and there the fullest
// host: the one with the least free CPU, then the least free memory, then the
// lowest ID. The same holds between zones with equally little. Spread is by the
// number of the zone, usually how many tasks of the same service a zone has;
// nil is nothing anywhere. The request's group does not matter here.
func (x *Index) Pick(r Request, spread []int32) (slot int32, ok bool) {
	x.update()
	best, bestCount := none, int32(0)
	for z := range x.zones {
		count := int32(0)
		if spread != nil {
			count = spread[z]
		}
		if best != none && count > bestCount {
			continue
		}
		slot := x.first(x.zones[z].root, &r)
		if slot == none {
			continue
		}
		if best == none || count < bestCount || x.before(slot, best) {
			best, bestCount = slot, count
		}
	}
	return best, best != none
}

// Fits tells whether the task fits on the host as it is now.
func (x *Index) Fits(slot int32, r Request) bool {
	n := &x.nodes[slot]
	return !n.closed && r.Reserved.Fits(n.free) && n.portsFree(r.Ports)
}

// Take takes what the task needs from the host. A host may be overdrawn (tasks
// that are found running have what they have); that its ports are free is for
// the caller to see to (Open).
func (x *Index) Take(slot int32, r Request) {
	n := &x.nodes[slot]
	n.free = n.free.Sub(r.Reserved)
	if len(r.Ports) > 0 {
		ports := slices.Concat(n.ports, r.Ports)
		slices.Sort(ports)
		n.ports = ports
	}
	x.touchNode(slot)
}

// Give gives back what Take took for the same request.
func (x *Index) Give(slot int32, r Request) {
	n := &x.nodes[slot]
	n.free = n.free.Add(r.Reserved)
	if len(r.Ports) > 0 {
		n.ports = slices.Clone(n.ports)
		for _, p := range r.Ports {
			if i, found := slices.BinarySearch(n.ports, p); found {
				n.ports = slices.Delete(n.ports, i, i+1)
			}
		}
	}
	x.touchNode(slot)
}

// touchNode notes that a host may have to move in its tree.
func (x *Index) touchNode(slot int32) {
	if n := &x.nodes[slot]; !n.touch {
		n.touch = true
		x.touched = append(x.touched, slot)
	}
}

// update puts what was touched into its place in the trees. Closed hosts and
// overdrawn ones are in none, since nothing fits on them.
func (x *Index) update() {
	for _, slot := range x.touched {
		n := &x.nodes[slot]
		n.touch = false
		member := n.zone != none && !n.closed && (plimsoll.Resources{}).Fits(n.free)
		if n.linked && (!member || n.key != n.free) {
			x.unlink(slot)
		}
		if member && !n.linked {
			n.key = n.free
			x.link(slot)
		}
	}
	x.touched = x.touched[:0]
}

// zoneIndex finds or makes the number of a zone.
func (x *Index) zoneIndex(name string) int32 {
	for i := range x.zones {
		if x.zones[i].name == name {
			return int32(i)
		}
	}
	x.zones = append(x.zones, zone{name: name, root: none})
	return int32(len(x.zones) - 1)
}
