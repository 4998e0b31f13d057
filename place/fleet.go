package place

import (
	"fmt"
	"maps"
	"slices"

	"plimsoll"
)

// Fleet is an Index whose hosts and groups have names, and which counts the
// groups' tasks itself. It is not safe for concurrent use.
type Fleet struct {
	index *Index
	slots map[string]int32
	// tallies has for each host how many tasks of which group it has.
	tallies []tallies
	// slots, groups and tallies are shared between clones until one of them
	// changes them.
	slotsShared, groupsShared bool
	groups                    map[string]int32
	// spread has a row of counts for each group, one for each zone: how many
	// tasks of the group the zone's open hosts have. total counts those of
	// closed hosts too.
	spread [][]int32
	total  []int32
	names  []string // of the groups, by index
	unused []int32  // indexes of groups that no task is in
}

// tallies are the counts of one host. They are shared with a clone while that
// is said: then they are copied before they change.
type tallies struct {
	list   []tally
	shared bool
}

// tally is how many tasks of a group a host has.
type tally struct{ group, count int32 }

// NewFleet gives a fleet of the hosts. Of two hosts with one ID the later
// counts.
func NewFleet(hosts []Host) *Fleet {
	f := &Fleet{
		index:  NewIndex(nil),
		slots:  make(map[string]int32, len(hosts)),
		groups: map[string]int32{},
	}
	for _, h := range hosts {
		f.Add(h)
	}
	return f
}

// Clone gives an independent copy. Names and lists are shared until one side
// changes them.
func (f *Fleet) Clone() *Fleet {
	f.slotsShared, f.groupsShared = true, true
	for i := range f.tallies {
		f.tallies[i].shared = true
	}
	c := *f
	c.index = f.index.Clone()
	c.tallies = slices.Clone(f.tallies)
	c.spread = make([][]int32, len(f.spread))
	for g, row := range f.spread {
		c.spread[g] = slices.Clone(row)
	}
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
	slot := f.index.Add(h)
	if int(slot) == len(f.tallies) {
		f.tallies = append(f.tallies, tallies{})
	}
	f.slots[h.ID] = slot
	for g := range f.spread {
		if lack := f.index.Zones() - len(f.spread[g]); lack > 0 {
			f.spread[g] = append(f.spread[g], make([]int32, lack)...)
		}
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
	if f.index.Open(slot, nil) {
		f.spreadOut(slot, -1)
	}
	for _, t := range f.tallies[slot].list {
		f.forget(t.group, t.count)
	}
	f.tallies[slot] = tallies{}
	f.index.Remove(slot)
	delete(f.slots, id)
}

// SetClosed closes a host to new tasks or opens it again. Tasks on a closed
// host do not count for the spread over the zones: they are about to leave.
func (f *Fleet) SetClosed(id string, closed bool) {
	slot, ok := f.slots[id]
	if !ok || f.index.Open(slot, nil) != closed {
		return
	}
	f.index.SetClosed(slot, closed)
	if closed {
		f.spreadOut(slot, -1)
	} else {
		f.spreadOut(slot, 1)
	}
}

// Free is what is left of a host; negative if it is overdrawn, and zero for an
// unknown host.
func (f *Fleet) Free(hostID string) plimsoll.Resources {
	slot, ok := f.slots[hostID]
	if !ok {
		return plimsoll.Resources{}
	}
	return f.index.Free(slot)
}

// Pick chooses a host for the task and reserves nothing. Of the zones in which
// the task fits it takes the one with the fewest tasks of r.Group, and there
// the fullest host, as Index.Pick has it.
func (f *Fleet) Pick(r Request) (hostID string, ok bool) {
	var spread []int32
	if g, ok := f.groups[r.Group]; ok {
		spread = f.spread[g]
	}
	slot, ok := f.index.Pick(r, spread)
	if !ok {
		return "", false
	}
	return f.index.nodes[slot].id, true
}

// Reserve takes what the task needs from the host. A host may be overdrawn
// (tasks that are found running have what they have); an unknown host, or a
// port that is taken, is an error, and then nothing is reserved.
func (f *Fleet) Reserve(hostID string, r Request) error {
	slot, ok := f.slots[hostID]
	if !ok {
		return fmt.Errorf("reserve on host %q: no such host in the fleet", hostID)
	}
	for _, p := range r.Ports {
		if !f.index.nodes[slot].portsFree([]int{p}) {
			return fmt.Errorf("reserve on host %q: port %d is taken", hostID, p)
		}
	}
	f.index.Take(slot, r)
	f.count(slot, r.Group, 1)
	return nil
}

// Release gives back what Reserve took for the same request. An unknown host is
// no error: it left with what it had.
func (f *Fleet) Release(hostID string, r Request) {
	slot, ok := f.slots[hostID]
	if !ok {
		return
	}
	f.index.Give(slot, r)
	f.count(slot, r.Group, -1)
}

// Shortage tells why Pick fails for the request.
func (f *Fleet) Shortage(r Request) Shortage { return f.index.Shortage(r) }

// Room is how many tasks like this would fit, at most limit.
func (f *Fleet) Room(r Request, limit int) int { return f.index.Room(r, limit) }

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
