package place

import "slices"

// count adds to how many tasks of a group a host has.
func (f *Fleet) count(slot int32, group string, by int32) {
	g, ok := f.groups[group]
	if !ok {
		if by < 0 {
			return
		}
		g = f.admit(group)
	}
	h := &f.tallies[slot]
	i := slices.IndexFunc(h.list, func(t tally) bool { return t.group == g })
	if i < 0 && by < 0 {
		return
	}
	if h.shared {
		h.list, h.shared = append(make([]tally, 0, len(h.list)+4), h.list...), false
	}
	if i < 0 {
		h.list = append(h.list, tally{group: g, count: by})
	} else if h.list[i].count += by; h.list[i].count == 0 {
		h.list = slices.Delete(h.list, i, i+1)
	}
	if f.index.Open(slot, nil) {
		f.spread[g][f.index.Zone(slot)] += by
	}
	if by > 0 {
		f.total[g] += by
	} else {
		f.forget(g, -by)
	}
}

// spreadOut adds (sign 1) or takes away (sign -1) all of a host's tasks in the
// counts of its zone.
func (f *Fleet) spreadOut(slot, sign int32) {
	for _, t := range f.tallies[slot].list {
		f.spread[t.group][f.index.Zone(slot)] += sign * t.count
	}
}

// admit gives a group its row of counts, a row out of use if there is one.
func (f *Fleet) admit(group string) int32 {
	f.ownGroups()
	var g int32
	if n := len(f.unused); n > 0 {
		g, f.unused = f.unused[n-1], f.unused[:n-1]
		f.names[g] = group
	} else {
		g = int32(len(f.total))
		f.total = append(f.total, 0)
		f.names = append(f.names, group)
		f.spread = append(f.spread, make([]int32, f.index.Zones()))
	}
	f.groups[group] = g
	return g
}

// forget takes tasks off a group, and the group out of the table with its last
// task, so that group names of the past take no memory.
func (f *Fleet) forget(g, count int32) {
	f.total[g] -= count
	if f.total[g] > 0 {
		return
	}
	f.ownGroups()
	delete(f.groups, f.names[g])
	f.unused = append(f.unused, g)
}
