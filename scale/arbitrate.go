package scale

import "container/heap"

// arbitrate divides the cluster among the services. Every task that has a host
// keeps it, unless its service wants fewer or somebody with a better claim
// needs the room. Then places are found for what is missing: the guaranteed
// minima in order of priority, then the wants, class by class, and last the
// services that take the remainder.
func (p *pass) arbitrate() {
	needs, owed := false, false
	for i := range p.services {
		s := &p.services[i]
		s.hostless = s.hostless || len(p.hosts) == 0
		p.quieten(s)
		p.keep(s)
		needs = needs || s.needs() > 0
		owed = owed || s.owed() > 0
	}
	if !needs && !owed {
		return
	}
	p.measure()
	p.openRoom()
	p.departAll()
	p.promise()
	p.grantMinima()
	p.fails = p.fails[:0]
	p.tail = len(p.ranked)
	for c := range len(p.classes) - 1 {
		p.grantWants(p.ranked[p.classes[c]:p.classes[c+1]])
	}
}

// keep counts the tasks that stay of those that have a host. What a service
// has beyond its desired count is on its way out, even if the platform has not
// chosen yet which tasks go; during a deployment it may have more for a while.
func (p *pass) keep(s *service) {
	placed := len(s.tasks)
	if s.fixed || s.hostless {
		s.held = placed
		return
	}
	s.held = min(placed, max(s.current(), s.protected))
	going := 0
	if !s.deploying() {
		going = placed - s.held
	}
	if target := s.target(); s.held > target {
		going += s.held - target
		s.held = target
	}
	if going > 0 {
		p.orderStops(s)
		s.gone = min(going, len(s.stops))
	}
}

func (s *service) deploying() bool { return s.state != nil && s.state.Deploying }

// target is how many tasks the service is to have if there is room.
func (s *service) target() int { return max(s.want, s.protected) }

// allowed is the target, which for a service that tasks were taken from not
// long ago is no more than it has or is guaranteed.
func (s *service) allowed() int {
	if s.quiet.IsZero() {
		return s.target()
	}
	return min(s.target(), max(s.current(), s.policy.Min))
}

// needs is how many more places the service is to get.
func (s *service) needs() int {
	if s.fixed || s.hostless || s.state == nil {
		return 0
	}
	return max(0, s.allowed()-s.count())
}

// quieten holds a service that tasks were taken from not long ago.
func (p *pass) quieten(s *service) {
	if p.in.Eviction.Quiet <= 0 || s.was.TakenAt.IsZero() {
		return
	}
	if end := s.was.TakenAt.Add(p.in.Eviction.Quiet); p.now.Before(end) {
		s.quiet = end
		p.by(end)
	}
}

// owed is how many tasks the platform has been asked for already that have no
// host yet, and that it will place without being asked again.
func (s *service) owed() int {
	if s.hostless || s.state == nil {
		return 0
	}
	if s.fixed {
		return max(0, s.state.Desired-s.held)
	}
	return max(0, min(s.state.Desired, s.target())-s.held)
}

// departAll counts the tasks that are about to go: those that are leaving, and
// those that are no longer wanted.
func (p *pass) departAll() {
	for _, task := range p.leaving {
		p.depart(task, nil)
	}
	for i := range p.services {
		s := &p.services[i]
		for _, task := range s.stops[:s.gone] {
			p.depart(task, s)
		}
	}
}

// promise sets room aside for the tasks that the platform owes already, since
// it may place them before any that it is asked for now.
func (p *pass) promise() {
	for i := range p.services {
		s := &p.services[i]
		for range s.owed() {
			h, ok := p.room.spare.Pick(s.request(), s.spread)
			if !ok {
				break
			}
			if s.fixed {
				p.start(s, h)
				continue
			}
			p.setAside(s, h)
			p.room.same = false
		}
	}
}

// setAside keeps a place in what is free for a task that is owed.
func (p *pass) setAside(s *service, h int32) {
	p.room.spare.Take(h, s.request())
	p.counts(s, h, 1)
	p.hosts[h].free = p.hosts[h].free.Sub(s.size)
	s.ghosts = append(s.ghosts, h)
}

// redeem gives one place that was set aside back, for the task to be placed
// anew; noHost if there is none.
func (p *pass) redeem(s *service) int32 {
	last := len(s.ghosts) - 1
	if last < 0 {
		return noHost
	}
	h := s.ghosts[last]
	s.ghosts = s.ghosts[:last]
	p.room.spare.Give(h, s.request())
	p.counts(s, h, -1)
	p.hosts[h].free = p.hosts[h].free.Add(s.size)
	return h
}

// grantMinima finds places up to each service's guaranteed minimum.
func (p *pass) grantMinima() {
	order := make([]int32, 0, len(p.ranked))
	for _, i := range p.ranked {
		if s := &p.services[i]; s.needs() > 0 && s.count() < s.policy.Min {
			order = append(order, i)
		}
	}
	sortByPriority(order, p.services)
	for _, i := range order {
		s := &p.services[i]
		for s.needs() > 0 && s.count() < s.policy.Min && p.place(s, nil) {
		}
	}
}

// grantWants finds places for what a class of equals wants, each time for the
// one that has the smallest share of the cluster, so that none starves another.
func (p *pass) grantWants(class []int32) {
	q := &queue{pass: p}
	p.top = 0
	for _, i := range class {
		s := &p.services[i]
		p.top = max(p.top, s.share()-s.portion)
		if s.needs() > 0 {
			q.list = append(q.list, i)
		}
	}
	heap.Init(q)
	for len(q.list) > 0 {
		s := &p.services[q.list[0]]
		if s.taken == 0 && s.needs() > 0 && p.place(s, class) {
			heap.Fix(q, 0)
			continue
		}
		heap.Pop(q)
	}
}

// place finds a place for one more task of the service: in what is free, else
// in what is about to be freed, else by taking others' tasks. class are the
// equals of s when its wants are served, and nil when its minimum is.
func (p *pass) place(s *service, class []int32) bool {
	aside := p.redeem(s)
	h, free, ok := p.find(s, class)
	if !ok {
		if aside != noHost {
			// The task will be withdrawn, but until then it may still come.
			p.setAside(s, aside)
		}
		return false
	}
	asked := s.count() < s.current()
	if free && (asked || !p.disturbs(s)) {
		p.start(s, h)
		switch {
		case asked:
		case s.waiting == 0:
			s.starts++
		default:
			s.late++
		}
	} else {
		p.await(s, h)
		p.wait(s, h, asked)
	}
	p.guard(s, h)
	s.granted++
	if aside != noHost && aside != h {
		p.hasten(aside)
	}
	return true
}

// find finds a host for place, and tells whether the room on it is free now.
func (p *pass) find(s *service, class []int32) (h int32, free, ok bool) {
	if h, ok := p.room.spare.Pick(s.request(), s.spread); ok {
		return h, true, true
	}
	if !p.room.same {
		if h, ok := p.room.coming.Pick(s.request(), s.spread); ok {
			return h, false, true
		}
	}
	h, ok = p.evict(s, class)
	return h, false, ok
}

// queue is a heap of services, the one with the smallest share first.
type queue struct {
	pass *pass
	list []int32
}

func (q *queue) Len() int { return len(q.list) }

func (q *queue) Less(a, b int) bool {
	s, o := &q.pass.services[q.list[a]], &q.pass.services[q.list[b]]
	if x, y := s.share(), o.share(); x != y {
		return x < y
	}
	return q.list[a] < q.list[b]
}

func (q *queue) Swap(a, b int) { q.list[a], q.list[b] = q.list[b], q.list[a] }

// Push completes heap.Interface; nothing is ever pushed.
func (q *queue) Push(x any) { q.list = append(q.list, x.(int32)) }

func (q *queue) Pop() any {
	last := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return last
}

// share is the service's part of the cluster, in the dimension of which one of
// its tasks takes most.
func (s *service) share() float64 { return float64(s.count()) * s.portion }
