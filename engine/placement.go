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
		t := s.waiting[0]
		r := t.request()
		if hopeless(full, r) {
			heap.Pop(&queue)
			m.reportShortage(s, r)
			continue
		}
		host, ok := c.fleet.Pick(r)
		if !ok {
			heap.Pop(&queue)
			full = append(full, r)
			m.reportShortage(s, r)
			continue
		}
		s.waiting = s.waiting[1:]
		m.assign(t, c.byARN[host])
		if len(s.waiting) == 0 {
			delete(c.lines, s)
			heap.Pop(&queue)
		} else {
			heap.Fix(&queue, 0)
		}
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
func (m *Machine) reportShortage(s *service, r place.Request) {
	if !s.shortageAt.IsZero() && m.now.Sub(s.shortageAt) < shortageInterval {
		return
	}
	s.shortageAt = m.now
	m.say(s, "(service %s) was unable to place a task because no container instance met all of its requirements: %s.",
		s.Name, s.home.fleet.Shortage(r))
}

// lines is a heap of services with waiting tasks, the next to be served first.
type lines []*service

func (l lines) Len() int { return len(l) }
func (l lines) Less(i, j int) bool {
	a, b := l[i].waiting[0], l[j].waiting[0]
	if by := cmp.Compare(a.Priority, b.Priority); by != 0 {
		return by < 0
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
