package place

import (
	"fmt"
	"maps"
	"slices"

	"plimsoll"
)

// Fleet is the free capacity of many hosts, indexed so that Pick costs nearly
// the same for a thousand hosts and for ten thousand: each zone has a balanced
// tree of its open hosts in the order in which they are to be filled. It is not
// safe for concurrent use.
type Fleet struct {
	hosts []host // the tree's nodes; a removed host leaves its slot in vacant
	slots map[string]int32
	// names and groups are shared between clones until one of them changes it.
	slotsShared, groupsShared bool
	vacant                    []int32
	zones                     []zone
	groups                    map[string]int32
	// spread has len(zones) counts for each group: how many tasks of the group
	// the open hosts of each zone have. total counts those of closed hosts too.
	spread []int32
	total  []int32
	names  []string // of the groups, by index
	unused []int32  // indexes of groups that no task is in
	// lastSlot and lastGroup are what was looked up last: the same host and
	// group are mostly asked for several times in a row.
	lastSlot, lastGroup int32
}

// zone is a zone and the root of the tree of its open hosts.
type zone struct {
	name string
	root int32
}

// host is a host and its node in its zone's tree.
type host struct {
	id     string
	zone   int32
	closed bool
	free   plimsoll.Resources
	// ports are never changed in place, so that clones share them.
	ports []int
	// groups are shared with a clone while that is said: then they are copied
	// before they change.
	groups       []tally
	groupsShared bool

	left, right int32
	rank        uint32 // the heap order of the tree
	maxMemory   int64  // the largest free memory of the subtree
}

// tally is how many tasks of a group a host has.
type tally struct{ group, count int32 }

// none is the index of no host.
const none int32 = -1

// NewFleet gives a fleet of the hosts. Of two hosts with one ID the later
// counts.
func NewFleet(hosts []Host) *Fleet {
	f := &Fleet{
		slots:  make(map[string]int32, len(hosts)),
		groups: map[string]int32{},
		hosts:  make([]host, 0, len(hosts)),
	}
	for _, h := range hosts {
		f.Add(h)
	}
	return f
}

// Clone gives an independent copy. It copies the hosts and counts as plain
// memory; names and lists are shared until one side changes them.
func (f *Fleet) Clone() *Fleet {
	f.slotsShared, f.groupsShared = true, true
	for i := range f.hosts {
		f.hosts[i].groupsShared = true
	}
	c := *f
	c.hosts = slices.Clone(f.hosts)
	c.vacant = slices.Clone(f.vacant)
	c.zones = slices.Clone(f.zones)
	c.spread = slices.Clone(f.spread)
	c.total = slices.Clone(f.total)
	c.names = slices.Clone(f.names)
	c.unused = slices.Clone(f.unused)
	return &c
}

// Add puts a host into the fleet. A host with the same ID is replaced, and what
// was reserved on it is forgotten.
func (f *Fleet) Add(h Host) {
	f.Remove(h.ID)
	f.ownSlots()
	ports := slices.Clone(h.Ports)
	slices.Sort(ports)
	node := host{
		id: h.ID, zone: f.zoneIndex(h.Zone), closed: h.Closed,
		free: h.Free, ports: ports, left: none, right: none,
	}
	var slot int32
	if n := len(f.vacant); n > 0 {
		slot, f.vacant = f.vacant[n-1], f.vacant[:n-1]
		f.hosts[slot] = node
	} else {
		slot = int32(len(f.hosts))
		f.hosts = append(f.hosts, node)
	}
	f.hosts[slot].rank = scatter(uint32(slot))
	f.slots[h.ID] = slot
	if !h.Closed {
		f.link(slot)
	}
}

// Remove takes a host, and all that is reserved on it, out of the fleet. An
// unknown one is no error.
func (f *Fleet) Remove(id string) {
	slot, ok := f.slots[id]
	if !ok {
		return
	}
	f.ownSlots()
	h := &f.hosts[slot]
	if !h.closed {
		f.unlink(slot)
		f.spreadOut(h, -1)
	}
	for _, t := range h.groups {
		f.forget(t.group, t.count)
	}
	delete(f.slots, id)
	f.hosts[slot] = host{left: none, right: none, zone: none}
	f.vacant = append(f.vacant, slot)
}

// SetClosed closes a host to new tasks or opens it again. Tasks on a closed
// host do not count for the spread over the zones: they are about to leave.
func (f *Fleet) SetClosed(id string, closed bool) {
	slot, ok := f.slots[id]
	if !ok || f.hosts[slot].closed == closed {
		return
	}
	h := &f.hosts[slot]
	h.closed = closed
	if closed {
		f.unlink(slot)
		f.spreadOut(h, -1)
		return
	}
	f.link(slot)
	f.spreadOut(h, 1)
}

// Free is what is left of a host; negative if it is overdrawn, and zero for an
// unknown host.
func (f *Fleet) Free(hostID string) plimsoll.Resources {
	slot, ok := f.slot(hostID)
	if !ok {
		return plimsoll.Resources{}
	}
	return f.hosts[slot].free
}

// Pick chooses a host for the task and reserves nothing. Of the zones in which
// the task fits it takes the one with the fewest tasks of r.Group, and there
// the fullest host: the one with the least free CPU, then the least free
// memory, then the lowest ID. The same holds between zones with equally few.
func (f *Fleet) Pick(r Request) (hostID string, ok bool) {
	best, bestCount := none, int32(0)
	group, grouped := f.group(r.Group)
	for z := range f.zones {
		count := int32(0)
		if grouped {
			count = f.spread[int(group)*len(f.zones)+z]
		}
		if best != none && count > bestCount {
			continue
		}
		slot := f.first(f.zones[z].root, &r)
		if slot == none {
			continue
		}
		if best == none || count < bestCount || f.before(slot, best) {
			best, bestCount = slot, count
		}
	}
	if best == none {
		return "", false
	}
	f.lastSlot = best
	return f.hosts[best].id, true
}

// Reserve takes what the task needs from the host. A host may be overdrawn
// (tasks that are found running have what they have); an unknown host, or a
// port that is taken, is an error, and then nothing is reserved.
func (f *Fleet) Reserve(hostID string, r Request) error {
	slot, ok := f.slot(hostID)
	if !ok {
		return fmt.Errorf("reserve on host %q: no such host in the fleet", hostID)
	}
	h := &f.hosts[slot]
	for _, p := range r.Ports {
		if _, taken := slices.BinarySearch(h.ports, p); taken {
			return fmt.Errorf("reserve on host %q: port %d is taken", hostID, p)
		}
	}
	f.refill(slot, h.free.Sub(r.Reserved))
	if len(r.Ports) > 0 {
		ports := slices.Concat(h.ports, r.Ports)
		slices.Sort(ports)
		h.ports = ports
	}
	f.count(h, r.Group, 1)
	return nil
}

// Release gives back what Reserve took for the same request. An unknown host is
// no error: it left with what it had.
func (f *Fleet) Release(hostID string, r Request) {
	slot, ok := f.slot(hostID)
	if !ok {
		return
	}
	h := &f.hosts[slot]
	f.refill(slot, h.free.Add(r.Reserved))
	if len(r.Ports) > 0 {
		h.ports = slices.DeleteFunc(slices.Clone(h.ports), func(p int) bool {
			return slices.Contains(r.Ports, p)
		})
	}
	f.count(h, r.Group, -1)
}

// slot finds a host by its ID.
func (f *Fleet) slot(id string) (int32, bool) {
	if s := f.lastSlot; id != "" && int(s) < len(f.hosts) && f.hosts[s].id == id {
		return s, true
	}
	slot, ok := f.slots[id]
	if ok {
		f.lastSlot = slot
	}
	return slot, ok
}

// group finds a group by its name. One without tasks is none: its index may be
// another's by now.
func (f *Fleet) group(name string) (int32, bool) {
	if g := f.lastGroup; int(g) < len(f.names) && f.total[g] > 0 && f.names[g] == name {
		return g, true
	}
	g, ok := f.groups[name]
	if ok {
		f.lastGroup = g
	}
	return g, ok
}

// refill sets a host's free capacity and moves it to its new place.
func (f *Fleet) refill(slot int32, free plimsoll.Resources) {
	h := &f.hosts[slot]
	if free == h.free {
		return
	}
	if h.closed {
		h.free = free
		return
	}
	f.unlink(slot)
	h.free = free
	f.link(slot)
}

// zoneIndex finds or makes the index of a zone.
func (f *Fleet) zoneIndex(name string) int32 {
	for i := range f.zones {
		if f.zones[i].name == name {
			return int32(i)
		}
	}
	old := len(f.zones)
	f.zones = append(f.zones, zone{name: name, root: none})
	spread := make([]int32, 0, len(f.total)*(old+1))
	for g := range f.total {
		spread = append(spread, f.spread[g*old:(g+1)*old]...)
		spread = append(spread, 0)
	}
	f.spread = spread
	return int32(old)
}

// ownSlots makes the names this fleet's own before they change.
func (f *Fleet) ownSlots() {
	if f.slotsShared {
		f.slots, f.slotsShared = maps.Clone(f.slots), false
	}
}

// ownGroups makes the groups this fleet's own before they change.
func (f *Fleet) ownGroups() {
	if f.groupsShared {
		f.groups, f.groupsShared = maps.Clone(f.groups), false
	}
}
