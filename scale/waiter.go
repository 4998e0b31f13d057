package scale

// waiter is a task that a place was found for which is not free yet, or that
// was not asked for because it could disturb.
type waiter struct {
	service, host int32
	// asked tells that the platform has been asked for the task already.
	asked bool
}

// wait notes a task of the service that waits for its place on a host.
func (p *pass) wait(s *service, h int32, asked bool) {
	s.waiting++
	p.waiters = append(p.waiters, waiter{service: s.index, host: h, asked: asked})
}

// hasten gives room that has become free to those that wait for a place, in the
// order of their claims. A place that was set aside for a task that is owed is
// free again when that task is placed elsewhere; without this, somebody who
// comes later and ranks lower would take it.
func (p *pass) hasten(h int32) {
	left := p.waiters[:0]
	for _, w := range p.waiters {
		s := &p.services[w.service]
		free := p.room.spare.Free(h)
		if w.host == h {
			free = free.Add(s.size)
		}
		if !s.size.Fits(free) || !p.advance(s, w) {
			left = append(left, w)
		}
	}
	p.waiters = left
}

// advance starts a waiting task in what is free now, if there is room.
func (p *pass) advance(s *service, w waiter) bool {
	p.release(s, w.host)
	h, ok := p.room.spare.Pick(s.request(), s.spread)
	if !ok || !w.asked && p.disturbs(s) {
		p.reserve(s, w.host)
		return false
	}
	p.start(s, h)
	p.guard(s, h)
	s.waiting--
	if !w.asked {
		s.late++
	}
	if s.waiting == 0 {
		s.starts += s.late
		s.late = 0
		s.notes.waitsFor = nil
	}
	return true
}
