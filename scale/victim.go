package scale

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxLooks bounds how many services of a class are looked at for a single task
// that would be enough, before several are taken.
const maxLooks = 128

// maxChoices bounds how many of those that would be enough are compared.
const maxChoices = 3

// nextEviction is when a decision that has reached Eviction.PerPass is made
// again at the latest.
const nextEviction = time.Second

// victim is a task that is taken from a service.
type victim struct {
	service, task int32
}

// sortByPriority orders services by priority alone, equals in the file's order.
func sortByPriority(list []int32, services []service) {
	slices.SortFunc(list, func(a, b int32) int {
		return cmp.Or(cmp.Compare(services[a].policy.Priority, services[b].policy.Priority), cmp.Compare(a, b))
	})
}

// orderStops lists a service's unprotected tasks in the order in which the
// platform stops them: each time one of the zone with the most tasks, of a zone
// the youngest; of zones with equally many, the one whose youngest is youngest.
// It is a forecast; another platform may choose otherwise, and the next
// snapshot tells.
func (p *pass) orderStops(s *service) {
	if s.ordered {
		return
	}
	s.ordered = true
	tasks := p.in.Cluster.Tasks
	p.order.reset(len(p.zones) + 1)
	stops := make([]int32, 0, len(s.tasks))
	for _, i := range s.tasks {
		p.order.left[p.zoneOf(i)]++
		if !tasks[i].Protected {
			stops = append(stops, i)
		}
	}
	slices.SortFunc(stops, func(a, b int32) int {
		return cmp.Or(
			tasks[b].CreatedAt.Compare(tasks[a].CreatedAt),
			strings.Compare(tasks[b].ARN, tasks[a].ARN),
		)
	})
	s.stops = stops
	if len(p.zones) > 1 {
		p.balanceZones(stops)
	}
}

// zoneOf is the index of a task's zone; the last one is that of unknown hosts.
func (p *pass) zoneOf(task int32) int {
	if h := p.hostOf[task]; h != noHost {
		return int(p.hosts[h].zone)
	}
	return len(p.zones)
}

// zoneOrder is what balanceZones works with, kept from one service to the next.
// Each has an entry for every zone: how many tasks are left, which places in
// young are the zone's, and how many of those are done.
type zoneOrder struct {
	left  []int
	zone  [][]int32
	done  []int
	young []int32
}

// reset empties it for so many zones.
func (o *zoneOrder) reset(zones int) {
	if len(o.left) != zones {
		o.left, o.zone, o.done = make([]int, zones), make([][]int32, zones), make([]int, zones)
	}
	for z := range zones {
		o.left[z], o.zone[z], o.done[z] = 0, o.zone[z][:0], 0
	}
}

// balanceZones reorders stops, which are the youngest first, so that each goes
// from the zone with the most tasks left.
func (p *pass) balanceZones(stops []int32) {
	o := &p.order
	o.young = append(o.young[:0], stops...)
	for i, task := range stops {
		z := p.zoneOf(task)
		o.zone[z] = append(o.zone[z], int32(i))
	}
	for k := range stops {
		best, first := -1, int32(0)
		for z, places := range o.zone {
			if o.done[z] == len(places) {
				continue
			}
			next := places[o.done[z]]
			if best < 0 || o.left[z] > o.left[best] || o.left[z] == o.left[best] && next < first {
				best, first = z, next
			}
		}
		stops[k] = o.young[first]
		o.done[best]++
		o.left[best]--
	}
}

// evict finds the fewest tasks of others that make room for one of s, and
// counts them as going. Only tasks of strictly lower rank are taken, above
// their services' minima, unprotected ones, the lowest rank first. For a
// guaranteed minimum (class is nil) those of strictly lower priority give way
// down to nothing, and equals down to their minima. Among equals a task goes
// from a larger share to a smaller one if it stays the larger.
func (p *pass) evict(s *service, class []int32) (int32, bool) {
	if most := p.in.Eviction.PerPass; most > 0 && p.taken >= most {
		p.bounded = true
		p.by(p.now.Add(nextEviction))
		return noHost, false
	}
	if p.hopeless(s) {
		return p.level(s, class)
	}
	p.popped = p.popped[:0]
	if h, ok := p.search(s, class != nil, false); ok {
		return h, true
	}
	if class == nil {
		if h, ok := p.search(s, false, true); ok {
			return h, true
		}
	}
	p.giveBack(len(p.popped))
	if len(s.ports) == 0 {
		p.fails = append(p.fails, s.size)
	}
	return p.level(s, class)
}

// search goes through the services that rank below s, class by class from the
// lowest, until a host has room for s. What it has taken on the way stays taken
// until it is given back. Deep goes below the minima.
func (p *pass) search(s *service, wants, deep bool) (int32, bool) {
	end := len(p.ranked)
	if !deep {
		for p.tail > 0 && !p.services[p.ranked[p.tail-1]].gives(false) {
			p.tail--
		}
		end = p.tail
	}
	for end > 0 {
		class := p.services[p.ranked[end-1]].class
		if wants && class <= s.class {
			break
		}
		start := int(p.classes[class])
		if h, ok := p.takeFrom(s, p.ranked[start:end], wants, deep); ok {
			return h, true
		}
		end = start
	}
	return noHost, false
}

// hopeless tells whether no victims were found for a task that is no larger,
// of a service of no lower rank.
func (p *pass) hopeless(s *service) bool {
	for _, size := range p.fails {
		if size.Fits(s.size) {
			return true
		}
	}
	return false
}

// takeFrom takes tasks of one class until a host has room for s: first a
// single one that is enough by itself, then one after the other.
func (p *pass) takeFrom(s *service, class []int32, wants, deep bool) (int32, bool) {
	if v := p.single(s, class, wants, deep); v != nil {
		h := p.hostOf[p.pop(v)]
		p.spoils(s, h)
		return h, true
	}
	for k := len(class) - 1; k >= 0; k-- {
		v := &p.services[class[k]]
		if !v.gives(deep) || !v.yields(s, wants, deep) {
			continue
		}
		p.orderStops(v)
		for v.gives(deep) {
			h := p.hostOf[p.pop(v)]
			if h != noHost && p.room.coming.Fits(h, s.request()) {
				p.spoils(s, h)
				return h, true
			}
		}
	}
	return noHost, false
}

// single finds the service of a class of which one task is enough, the task
// that it harms least: one that does not serve yet, then the youngest, then of
// the service that comes last. It looks at a bounded number of services.
func (p *pass) single(s *service, class []int32, wants, deep bool) *service {
	var best *service
	looks, choices := 0, 0
	for k := len(class) - 1; k >= 0 && looks < maxLooks && choices < maxChoices; k-- {
		v := &p.services[class[k]]
		if !v.gives(deep) || !v.yields(s, wants, deep) {
			continue
		}
		looks++
		if p.orderStops(v); !v.gives(deep) || !p.suffices(s, v.stops[v.gone]) {
			continue
		}
		choices++
		if best == nil || p.lessHarm(v.stops[v.gone], best.stops[best.gone]) {
			best = v
		}
	}
	return best
}

// lessHarm tells whether the going of one task harms less than that of another.
func (p *pass) lessHarm(a, b int32) bool {
	x, y := &p.in.Cluster.Tasks[a], &p.in.Cluster.Tasks[b]
	if x.Serving() != y.Serving() {
		return !x.Serving()
	}
	return x.CreatedAt.After(y.CreatedAt)
}

// yields tells whether v's tasks may be taken for s.
func (v *service) yields(s *service, wants, deep bool) bool {
	switch {
	case v == s:
		return false
	case wants:
		return v.class > s.class
	case deep:
		return v.policy.Priority > s.policy.Priority
	}
	return v.policy.Remainder || v.policy.Priority >= s.policy.Priority
}

// gives tells whether v can go without one more task: above its minimum, or
// above nothing where a minimum of higher priority is at stake.
func (v *service) gives(deep bool) bool {
	switch {
	case v.fixed || v.hostless || v.state == nil || v.held == 0:
		return false
	case v.ordered && v.gone >= len(v.stops):
		return false
	}
	return deep || v.count() > v.policy.Min
}

// suffices tells whether the room that one task leaves is enough for s.
func (p *pass) suffices(s *service, task int32) bool {
	h := p.hostOf[task]
	if h == noHost || !p.hosts[h].open {
		return false
	}
	t := &p.in.Cluster.Tasks[task]
	for _, port := range s.ports {
		if !p.room.coming.Open(h, []int{port}) && !slices.Contains(t.Ports, port) {
			return false
		}
	}
	return s.size.Fits(p.room.coming.Free(h).Add(t.Reserved))
}

// pop takes the next task of v.
func (p *pass) pop(v *service) int32 {
	task := v.stops[v.gone]
	v.gone++
	v.taken++
	v.held--
	p.taken++
	p.depart(task, v)
	p.popped = append(p.popped, victim{service: v.index, task: task})
	return task
}

// unpop gives the last task taken of v back.
func (p *pass) unpop(v *service) {
	v.gone--
	v.taken--
	v.held++
	p.taken--
	p.tail = max(p.tail, int(v.position)+1)
	p.remain(v.stops[v.gone], v)
}

// giveBack undoes the last n pops.
func (p *pass) giveBack(n int) {
	for range n {
		last := len(p.popped) - 1
		p.unpop(&p.services[p.popped[last].service])
		p.popped = p.popped[:last]
	}
}

// spoils gives back what was taken without need for the place on host h, and
// notes for whom the rest gives way. Of one service only the last taken can be
// given back, since the platform stops the others before.
func (p *pass) spoils(s *service, h int32) {
	for i := len(p.popped) - 1; i >= 0; i-- {
		x := p.popped[i]
		v := &p.services[x.service]
		if v.stops[v.gone-1] == x.task && p.dispensable(s, x.task, h) {
			p.unpop(v)
			continue
		}
		v.notes.givesTo = addShare(v.notes.givesTo, s.index, 1)
	}
	p.popped = p.popped[:0]
}

// dispensable tells whether the place on host h is there without this task's
// going.
func (p *pass) dispensable(s *service, task, h int32) bool {
	if p.hostOf[task] != h {
		return true
	}
	t := &p.in.Cluster.Tasks[task]
	return s.size.Fits(p.room.coming.Free(h).Sub(t.Reserved)) &&
		!slices.ContainsFunc(s.ports, func(port int) bool { return slices.Contains(t.Ports, port) })
}

// level takes tasks of the equal with the largest share for s, as long as that
// share stays no smaller than s's becomes.
func (p *pass) level(s *service, class []int32) (int32, bool) {
	if len(class) < 2 || p.top < s.share()+s.portion-rounding {
		return noHost, false
	}
	var richest *service
	for _, i := range class {
		v := &p.services[i]
		if v == s || v.granted > 0 || !v.gives(false) {
			continue
		}
		if v.share()-v.portion < s.share()+s.portion-rounding {
			continue
		}
		if p.orderStops(v); !v.gives(false) {
			continue
		}
		if richest == nil || v.share() > richest.share() {
			richest = v
		}
	}
	if richest == nil {
		return noHost, false
	}
	v := richest
	p.popped = p.popped[:0]
	for v.gives(false) && v.share()-v.portion >= s.share()+s.portion-rounding {
		h := p.hostOf[p.pop(v)]
		if h != noHost && p.room.coming.Fits(h, s.request()) {
			p.spoils(s, h)
			return h, true
		}
	}
	p.giveBack(len(p.popped))
	return noHost, false
}
