package scale

import (
	"cmp"
	"slices"

	"plimsoll"
)

// kind is a kind of host that can be launched, room of them at most.
type kind struct {
	size  plimsoll.Resources
	price float64
	room  int
}

// bin is a host that is to be launched, with what it is for.
type bin struct {
	kind     int
	held     plimsoll.Resources
	ports    []int
	priority int // the best of its tasks
	services []string
}

// packing is tasks packed into hosts.
type packing struct {
	bins []bin
	left []need
	cost float64
}

// better tells whether a packing leaves less, costs less, or has fewer hosts.
func (a *packing) better(b *packing) bool {
	left := func(p *packing) (n int) {
		for _, l := range p.left {
			n += l.count
		}
		return n
	}
	return cmp.Or(cmp.Compare(left(a), left(b)), cmp.Compare(a.cost, b.cost), cmp.Compare(len(a.bins), len(b.bins))) < 0
}

// pack packs needs, in the order given, into hosts of the kinds, at the smallest
// cost that it finds. For each kind in turn it packs first fit into hosts of that
// kind, and then moves each host's tasks to the cheapest kind that holds them
// (FFDLR: D. K. Friesen and M. A. Langston, Variable Sized Bin Packing, SIAM J.
// Comput. 15, 1986), and takes the best. With needs by falling size that is first
// fit decreasing.
func pack(needs []need, kinds []kind) packing {
	var best *packing
	for first := range kinds {
		one := packFirst(needs, kinds, first)
		if best == nil || one.better(best) {
			best = &one
		}
	}
	if best == nil {
		return packing{left: needs}
	}
	return *best
}

func packFirst(needs []need, kinds []kind, first int) packing {
	var p packing
	used := make([]int, len(kinds))
	for _, n := range needs {
		from := 0 // no earlier host has room for one like it
		for n.count > 0 {
			at := p.fit(&n, kinds, from)
			if at < 0 {
				k := cheapest(n.size, kinds, used, first)
				if k < 0 {
					break
				}
				used[k]++
				at = len(p.bins)
				p.bins = append(p.bins, bin{kind: k, priority: n.priority})
			}
			p.bins[at].add(&n)
			from = at
			n.count--
		}
		if n.count > 0 {
			p.left = append(p.left, n)
		}
	}
	for i := range p.bins {
		b := &p.bins[i]
		used[b.kind]--
		b.kind = cheapest(b.held, kinds, used, -1)
		used[b.kind]++
		p.cost += kinds[b.kind].price
	}
	return p
}

// fit finds the first host in which a task fits.
func (p *packing) fit(n *need, kinds []kind, from int) int {
	for i := from; i < len(p.bins); i++ {
		b := &p.bins[i]
		if b.held.Add(n.size).Fits(kinds[b.kind].size) && !slices.ContainsFunc(n.ports, func(port int) bool { return slices.Contains(b.ports, port) }) {
			return i
		}
	}
	return -1
}

func (b *bin) add(n *need) {
	b.held = b.held.Add(n.size)
	b.ports = append(b.ports, n.ports...)
	b.priority = min(b.priority, n.priority)
	if !slices.Contains(b.services, n.service) {
		b.services = append(b.services, n.service)
	}
}

// cheapest is the kind for so much: the first choice if it fits and there is room,
// else the one of the smallest price; -1 if there is none.
func cheapest(size plimsoll.Resources, kinds []kind, used []int, first int) int {
	fits := func(k int) bool { return used[k] < kinds[k].room && size.Fits(kinds[k].size) }
	if first >= 0 && fits(first) {
		return first
	}
	best := -1
	for k := range kinds {
		if fits(k) && (best < 0 || kinds[k].price < kinds[best].price) {
			best = k
		}
	}
	return best
}
