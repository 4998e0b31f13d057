package engine

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"plimsoll"
	"plimsoll/place"
)

// placeWaiting places the waiting tasks for which there is room, by priority and
// then by age. A task for which there is none does not hold up those after it:
// what it needs is not there.
func (m *Machine) placeWaiting(c *cluster) {
	var queue lines
	if c.freed {
		queue = slices.Collect(maps.Keys(c.lines)) // the heap puts them in order
	} else {
		queue = c.fresh
	}
	c.freed, c.fresh, c.roomy = false, nil, false
	if m.halted != "" {
		return
	}
	queue = slices.DeleteFunc(queue, func(s *service) bool { return len(s.waiting) == 0 || m.held(s) })
	heap.Init(&queue)
	var full []place.Request
	for len(queue) > 0 {
		s := queue[0]
		if s.mixed() {
			heap.Pop(&queue)
			m.placeMixed(s)
			continue
		}
		t := s.waiting[0]
		r, n := t.request(), t.terms()
		if hopeless(full, r) {
			heap.Pop(&queue)
			m.reportShortage(s, r, n)
			continue
		}
		i, ok := m.pick(c, r, n)
		if !ok {
			heap.Pop(&queue)
			if n.plain() {
				full = append(full, r) // what is less and more constrained may still fit
			}
			m.reportShortage(s, r, n)
			continue
		}
		s.waiting = s.waiting[1:]
		m.assign(t, i)
		if len(s.waiting) == 0 {
			delete(c.lines, s)
			heap.Pop(&queue)
		} else {
			heap.Fix(&queue, 0)
		}
	}
}

// mixed tells whether the service's waiting tasks differ in where they may go,
// so that one that finds no place does not hold up the others.
func (s *service) mixed() bool { return s.daemon() || len(s.Strategy) > 1 }

// placeMixed places those of the service's waiting tasks that find a place.
func (m *Machine) placeMixed(s *service) {
	full := map[string]bool{} // by capacity provider
	var rest []*task
	for _, t := range s.waiting {
		r, n := t.request(), t.terms()
		if full[n.provider] {
			rest = append(rest, t)
			continue
		}
		i, ok := m.pick(s.home, r, n)
		if !ok {
			rest = append(rest, t)
			full[n.provider] = !s.daemon()
			m.reportShortage(s, r, n)
			continue
		}
		m.assign(t, i)
	}
	if s.waiting = rest; len(rest) == 0 {
		delete(s.home.lines, s)
	}
}

// hopeless tells whether a request needs at least as much as one that has been
// found to fit nowhere.
func hopeless(full []place.Request, r place.Request) bool {
	for _, f := range full {
		if f.Reserved.Fits(r.Reserved) && (len(f.Ports) == 0 || slices.Equal(f.Ports, r.Ports)) {
			return true
		}
	}
	return false
}

// assign places a task on a host and has it started.
func (m *Machine) assign(t *task, i *instance) {
	t.host = i
	e := m.editTask(t)
	e.ContainerInstance, e.Zone, e.PlacedAt = i.ARN, i.Zone, m.now
	e.LastStatus = plimsoll.StatusPending
	m.reserve(t)
	i.host(t)
	m.recount(t)
	m.start(t)
}

func (m *Machine) start(t *task) {
	t.placedIn = m.step
	m.fx.Starts = append(m.fx.Starts, m.spec(t))
}

// held tells whether the service's back-off holds its starts.
func (m *Machine) held(s *service) bool { return m.now.Before(s.RetryAt) }

// reportShortage says in a service event what is missing, at most once in an
// interval.
func (m *Machine) reportShortage(s *service, r place.Request, n terms) {
	if !s.shortageAt.IsZero() && m.now.Sub(s.shortageAt) < shortageInterval {
		return
	}
	s.shortageAt = m.now
	if n.target != "" {
		if i := s.home.byARN[n.target]; i != nil {
			m.say(s, "(service %s) was unable to place a task on container instance %s, where it is to have one: %s.",
				s.Name, i.EC2InstanceID, i.lacks(r.Reserved, r.Ports))
		}
		return
	}
	m.say(s, "(service %s) was unable to place a task because no container instance met all of its requirements: %s.",
		s.Name, m.shortage(s.home, r, n))
}

// lines is a heap of services with waiting tasks, the next to be served first.
type lines []*service

func (l lines) Len() int { return len(l) }
func (l lines) Less(i, j int) bool {
	a, b := l[i].waiting[0], l[j].waiting[0]
	if by := cmp.Compare(a.Priority, b.Priority); by != 0 {
		return by < 0
	}
	if l[i].daemon() != l[j].daemon() {
		return l[i].daemon() // of equals, a daemon is the first to come
	}
	return a.Seq < b.Seq
}
func (l lines) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *lines) Push(x any)   { *l = append(*l, x.(*service)) }
func (l *lines) Pop() any {
	old := *l
	last := old[len(old)-1]
	*l = old[:len(old)-1]
	return last
}
