package scale

import (
	"slices"

	"plimsoll"
	"plimsoll/place"
)

// room is the cluster's capacity as two indexes of the same hosts: spare is what
// is free now and promised to nobody, coming is that and what is about to be
// freed. Whatever is placed is taken out of both, so coming never has less.
type room struct {
	spare, coming *place.Index
	// departures are the tasks that are about to go, in lists by host.
	departures []departure
	// guarded are the hosts on which a place is kept for a task that is not
	// there yet.
	guarded []int32
	// largest is the largest of their guards in each dimension.
	largest plimsoll.Resources
	// held is the class from which on something was not asked for because it
	// could disturb; what ranks below waits with it.
	held  int32
	whole plimsoll.Resources
	// same tells that nothing is about to be freed and nothing set aside: coming
	// is spare.
	same bool
	// lacks has the words of a shortage by size.
	lacks map[plimsoll.Resources]string
}

// departure is a task that is about to go; older is the next on its host.
type departure struct {
	task, older int32
}

const noDeparture int32 = -1

// openRoom builds the indexes and counts where the services' tasks are.
func (p *pass) openRoom() {
	hosts := make([]place.Host, len(p.hosts))
	for i := range p.hosts {
		h := &p.hosts[i]
		hosts[i] = place.Host{ID: h.instance.ARN, Zone: h.instance.Zone, Free: h.free, Closed: !h.open, Ports: p.ports[int32(i)]}
	}
	p.room.spare = place.NewIndex(hosts)
	p.room.coming = p.room.spare.Clone()
	p.room.same = true
	p.room.held = int32(len(p.classes))
	zones := len(p.zones)
	counts := make([]int32, len(p.services)*zones)
	for i := range p.services {
		s := &p.services[i]
		s.spread = counts[i*zones : (i+1)*zones]
		for _, task := range s.tasks {
			p.counts(s, p.hostOf[task], 1)
		}
	}
}

// counts adds to how many tasks the service has in the host's zone. Those on
// closed hosts do not count: they are about to leave.
func (p *pass) counts(s *service, h int32, by int32) {
	if host := &p.hosts[h]; host.open {
		s.spread[host.zone] += by
	}
}

// measure sets what share of the whole cluster one task of each service is.
func (p *pass) measure() {
	for i := range p.hosts {
		if h := &p.hosts[i]; h.open {
			registered := h.instance.Registered
			if registered.IsZero() {
				registered = h.instance.Remaining
			}
			p.room.whole = p.room.whole.Add(registered)
		}
	}
	for i := range p.services {
		s := &p.services[i]
		cpu := float64(s.size.CPU) / float64(max(1, p.room.whole.CPU))
		memory := float64(s.size.Memory) / float64(max(1, p.room.whole.Memory))
		gpu := float64(s.size.GPU) / float64(max(1, p.room.whole.GPU))
		s.portion = max(cpu, memory, gpu)
		if s.policy != nil && s.policy.Weight > 0 {
			s.portion /= s.policy.Weight
		}
	}
}

// request is one task of the service.
func (s *service) request() place.Request {
	return place.Request{Reserved: s.size, Ports: s.ports}
}

// held is what a task holds of its host.
func (p *pass) held(task int32) place.Request {
	t := &p.in.Cluster.Tasks[task]
	return place.Request{Reserved: t.Reserved, Ports: t.Ports}
}

// depart counts a task's capacity as about to be freed. s is its service, nil
// if it was not counted as one that stays.
func (p *pass) depart(task int32, s *service) {
	h := p.hostOf[task]
	if h == noHost {
		return
	}
	if s != nil {
		p.counts(s, h, -1)
	}
	p.room.coming.Give(h, p.held(task))
	host := &p.hosts[h]
	p.room.departures = append(p.room.departures, departure{task: task, older: host.freeing})
	host.freeing = int32(len(p.room.departures) - 1)
	p.room.same = false
}

// remain undoes the depart of a service's task.
func (p *pass) remain(task int32, s *service) {
	h := p.hostOf[task]
	if h == noHost {
		return
	}
	p.counts(s, h, 1)
	p.room.coming.Take(h, p.held(task))
	for link := &p.hosts[h].freeing; *link != noDeparture; link = &p.room.departures[*link].older {
		if p.room.departures[*link].task == task {
			*link = p.room.departures[*link].older
			return
		}
	}
}

// reserve takes a place for the service on a host, in both indexes.
func (p *pass) reserve(s *service, h int32) {
	p.room.spare.Take(h, s.request())
	p.room.coming.Take(h, s.request())
	p.counts(s, h, 1)
}

// release gives a reserved place back.
func (p *pass) release(s *service, h int32) {
	p.room.spare.Give(h, s.request())
	p.room.coming.Give(h, s.request())
	p.counts(s, h, -1)
}

// start takes a place that is free now.
func (p *pass) start(s *service, h int32) {
	p.reserve(s, h)
	p.hosts[h].free = p.hosts[h].free.Sub(s.size)
}

// await takes a place that is still to be freed, and notes whose tasks have to
// go for it.
func (p *pass) await(s *service, h int32) {
	host := &p.hosts[h]
	missing := s.size.Sub(p.room.spare.Free(h).Most(plimsoll.Resources{}))
	ports := slices.DeleteFunc(slices.Clone(s.ports), func(port int) bool { return p.room.spare.Open(h, []int{port}) })
	for host.freeing != noDeparture && (missing.CPU > 0 || missing.Memory > 0 || missing.GPU > 0 || len(ports) > 0) {
		d := p.room.departures[host.freeing]
		host.freeing = d.older
		t := &p.in.Cluster.Tasks[d.task]
		missing = missing.Sub(t.Reserved)
		ports = slices.DeleteFunc(ports, func(port int) bool { return slices.Contains(t.Ports, port) })
		s.notes.waitsFor = addShare(s.notes.waitsFor, p.ownerOf[d.task], 1)
	}
	p.reserve(s, h)
}

// guard keeps a place for a task that the platform has not placed yet.
func (p *pass) guard(s *service, h int32) {
	host := &p.hosts[h]
	if host.guard.IsZero() {
		p.room.guarded = append(p.room.guarded, h)
	}
	host.guard = host.guard.Most(s.size)
	p.room.largest = p.room.largest.Most(s.size)
}

// disturbs tells whether one more task of the service, asked for now, could be
// put by the platform into the place of a task of higher rank that is not there
// yet, and leave that one without. That is so where it fits now and does not
// fit beside what the host is kept for, unless the place that is meant for it
// would serve the other as well.
func (p *pass) disturbs(s *service) bool {
	if s.class > p.room.held {
		return true
	}
	if p.room.largest.Fits(s.size) {
		return false
	}
	for _, h := range p.room.guarded {
		host := &p.hosts[h]
		if !host.guard.Fits(s.size) && s.size.Fits(host.empty) && !s.size.Times(s.starts+1).Fits(p.room.spare.Free(h)) {
			p.room.held = s.class
			return true
		}
	}
	return false
}

// shortage says why no more tasks of the service fit.
func (p *pass) shortage(s *service) string {
	if len(s.ports) > 0 {
		return p.room.coming.Shortage(s.request()).String()
	}
	words, ok := p.room.lacks[s.size]
	if !ok {
		if p.room.lacks == nil {
			p.room.lacks = map[plimsoll.Resources]string{}
		}
		shortage := p.room.coming.Shortage(s.request())
		words = shortage.String()
		if p.budgeted {
			words = "the budget of " + p.in.Budget.String() + " is used up"
		}
		if shortage.Fits > 0 {
			words = "what is being freed is divided when it is free"
		}
		p.room.lacks[s.size] = words
	}
	return words
}

// addShare adds tasks of a service to a short list.
func addShare(list []share, service int32, tasks int) []share {
	for i := range list {
		if list[i].service == service {
			list[i].tasks += tasks
			return list
		}
	}
	return append(list, share{service: service, tasks: tasks})
}
