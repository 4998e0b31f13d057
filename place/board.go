package place

import (
	"cmp"
	"slices"
	"strings"

	"plimsoll"
)

// Board is the hosts of a cluster in a row, for the placements that a Fleet's
// order does not serve: constraints, and strategies other than spread over the
// zones. A choice looks at the hosts that its fixed constraints admit, one by
// one, in plain memory: some 30 µs for 10,000. Which hosts those are, which part
// of a layer each belongs to, and how many of a group's tasks are where, is kept
// from one choice to the next. It is not safe for concurrent use.
type Board struct {
	sites []Site
	// admitted are the hosts that a fixed constraint admits, by its text.
	admitted map[string][]int32
	// parts are, by the key of a layer, the part that each host belongs to.
	parts map[string]*parts
	// groups are the counts of the groups that have been asked about.
	groups map[string]*groupCount
}

// Site is a host on a board.
type Site struct {
	Free   plimsoll.Resources
	Closed bool
	// Ports are the fixed host ports in use, sorted.
	Ports []int
}

// maxGroups bounds the groups that are counted.
const maxGroups = 1000

type parts struct {
	of []int32 // by host
	n  int
}

// groupCount is how many of a group's tasks each host has, and each part of a
// layer, closed hosts' left out.
type groupCount struct {
	onHost []int32
	inPart map[string][]int32
}

// NewBoard makes a board of the hosts; they are told by their index from then on.
func NewBoard(sites []Site) *Board {
	return &Board{
		sites: sites, admitted: map[string][]int32{}, parts: map[string]*parts{}, groups: map[string]*groupCount{},
	}
}

// Reserve takes what a task needs from a host; Release gives it back.
func (b *Board) Reserve(host int, r Request) {
	s := &b.sites[host]
	s.Free = s.Free.Sub(r.Reserved)
	if len(r.Ports) > 0 {
		s.Ports = slices.Concat(s.Ports, r.Ports)
		slices.Sort(s.Ports)
	}
	b.tally(host, r.Group, 1)
}

// Release gives back what Reserve took for the same request.
func (b *Board) Release(host int, r Request) {
	s := &b.sites[host]
	s.Free = s.Free.Add(r.Reserved)
	if len(r.Ports) > 0 {
		s.Ports = slices.DeleteFunc(slices.Clone(s.Ports), func(p int) bool { return slices.Contains(r.Ports, p) })
	}
	b.tally(host, r.Group, -1)
}

func (b *Board) tally(host int, group string, by int32) {
	g := b.groups[group]
	if g == nil {
		return
	}
	g.onHost[host] += by
	if b.sites[host].Closed {
		return
	}
	for key, counts := range g.inPart {
		counts[b.parts[key].of[host]] += by
	}
}

// Search is one task to be placed.
type Search struct {
	Request
	Strategies []Strategy
	// Fixed names the constraints that hold for a host until its attributes
	// change, and Admits tells whether they do; it is asked once for each host.
	// An empty Fixed admits all.
	Fixed  string
	Admits func(host int) bool
	// Distinct keeps two tasks of the group off one host.
	Distinct bool
	// Check is what else has to hold; nil: nothing. It is asked last.
	Check func(host int) bool
	// Value is the value of a host's field ("attribute:rack").
	Value func(host int, field string) string
	// On are the hosts of the group's tasks, one for each task. It is asked the
	// first time that the board counts the group.
	On func() []int
	// Random is a number that random strategies are to use.
	Random uint64
}

// Pick chooses a host and reserves nothing. Of hosts that are equally good the
// one that was put on the board first is taken.
func (b *Board) Pick(s *Search) (host int, ok bool) {
	keys := layers(s.Strategies)
	var g *groupCount
	if len(keys) > 0 || s.Distinct {
		g = b.group(s, keys)
	}
	marks := b.marks(s, keys, g)
	best, bestKey := none, make([]int64, len(marks))
	key := make([]int64, len(marks))
	for _, i := range b.hosts(s) {
		h := &b.sites[i]
		if h.Closed || !s.Reserved.Fits(h.Free) || !unused(h.Ports, s.Ports) || s.Distinct && g.onHost[i] > 0 {
			continue
		}
		better := best == none
		for n := range marks {
			k := marks[n].of(i, h)
			if !better && k > bestKey[n] {
				break
			}
			better = better || k < bestKey[n]
			key[n] = k
		}
		if !better || s.Check != nil && !s.Check(int(i)) {
			continue
		}
		best = i
		key, bestKey = bestKey, key
	}
	return int(best), best != none
}

// mark says how good a host is by one strategy; less is better.
type mark struct {
	// parts and counts are of a spread.
	parts, counts []int32
	memory        bool // binpack by memory; else by CPU
	random        bool
	seed          uint64
}

func (m *mark) of(i int32, h *Site) int64 {
	switch {
	case m.parts != nil:
		return int64(m.counts[m.parts[i]])
	case m.random:
		return int64(scatter(uint32(i)^scatter(uint32(m.seed))) ^ uint32(m.seed>>32))
	case m.memory:
		return h.Free.Memory
	}
	return h.Free.CPU
}

func (b *Board) marks(s *Search, keys []string, g *groupCount) []mark {
	list := make([]mark, len(s.Strategies))
	layer := 0
	for n, strategy := range s.Strategies {
		switch {
		case strategy.Type == Spread:
			key := keys[layer]
			list[n] = mark{parts: b.parts[key].of, counts: g.inPart[key]}
			layer++
		case strategy.Type == Random:
			list[n] = mark{random: true, seed: s.Random}
		default:
			list[n] = mark{memory: strategy.Field == FieldMemory}
		}
	}
	return list
}

// Lacks counts, over all hosts, what each lacks for the search.
func (b *Board) Lacks(s *Search) Shortage {
	short := Shortage{Request: s.Request, Hosts: len(b.sites)}
	var g *groupCount
	if s.Distinct {
		g = b.group(s, nil)
	}
	admitted := map[int32]bool{}
	for _, i := range b.hosts(s) {
		admitted[i] = true
	}
	for i := range b.sites {
		h := &b.sites[i]
		if h.Closed {
			short.Closed++
			continue
		}
		apart := !admitted[int32(i)] || s.Check != nil && !s.Check(i)
		taken := s.Distinct && g.onHost[i] > 0
		cpu, memory, port := s.Reserved.CPU > h.Free.CPU, s.Reserved.Memory > h.Free.Memory, !unused(h.Ports, s.Ports)
		count := func(n *int, lacks bool) {
			if lacks {
				*n++
			}
		}
		count(&short.Apart, apart)
		count(&short.Taken, taken)
		count(&short.CPU, cpu)
		count(&short.Memory, memory)
		count(&short.Port, port)
		if !apart && !taken && !cpu && !memory && !port {
			short.Fits++
		}
	}
	return short
}

// Admitted are the hosts that the search's fixed constraints admit, closed ones
// included.
func (b *Board) Admitted(s *Search) []int32 { return b.hosts(s) }

func (b *Board) hosts(s *Search) []int32 {
	if list, ok := b.admitted[s.Fixed]; ok {
		return list
	}
	list := make([]int32, 0, len(b.sites))
	for i := range b.sites {
		if s.Fixed == "" || s.Admits(i) {
			list = append(list, int32(i))
		}
	}
	b.admitted[s.Fixed] = list
	return list
}

// group gives the counts of a group, with those of the layers.
func (b *Board) group(s *Search, keys []string) *groupCount {
	g := b.groups[s.Group]
	var on []int
	if g == nil {
		if len(b.groups) >= maxGroups {
			clear(b.groups) // names of the past; those in use are counted anew
		}
		g = &groupCount{onHost: make([]int32, len(b.sites)), inPart: map[string][]int32{}}
		on = s.On()
		for _, host := range on {
			g.onHost[host]++
		}
		b.groups[s.Group] = g
	}
	for _, key := range keys {
		if g.inPart[key] != nil {
			continue
		}
		p := b.layer(s, key)
		counts := make([]int32, p.n)
		for i, n := range g.onHost {
			if !b.sites[i].Closed {
				counts[p.of[i]] += n
			}
		}
		g.inPart[key] = counts
	}
	return g
}

// layer parts the hosts by the values of the fields that the key joins.
func (b *Board) layer(s *Search, key string) *parts {
	if p := b.parts[key]; p != nil {
		return p
	}
	p := &parts{of: make([]int32, len(b.sites))}
	index := map[string]int32{}
	fields := strings.Split(key, "\x00")
	values := make([]string, len(fields))
	for i := range b.sites {
		for n, field := range fields {
			values[n] = s.Value(i, field)
		}
		joined := strings.Join(values, "\x00")
		at, known := index[joined]
		if !known {
			at = int32(len(index))
			index[joined] = at
		}
		p.of[i] = at
	}
	p.n = len(index)
	b.parts[key] = p
	return p
}

// unused tells whether none of the ports is among those in use.
func unused(inUse, ports []int) bool {
	for _, p := range ports {
		if _, taken := slices.BinarySearchFunc(inUse, p, cmp.Compare[int]); taken {
			return false
		}
	}
	return true
}
