package engine

import (
	"cmp"
	"slices"
)

// bury puts a stopped task at the end of those that are kept for a time.
func (m *Machine) bury(t *task) { m.stopped = append(m.stopped, t) }

// retain forgets the stopped tasks that are too old or too many, and has a Step
// look at the oldest of the rest when its time is over. One timer at a time is
// enough for that.
func (m *Machine) retain() {
	for len(m.stopped) > 0 {
		t := m.stopped[0]
		if len(m.stopped) <= m.cfg.StoppedMax && m.now.Sub(t.StoppedAt) < m.cfg.StoppedKeep {
			break
		}
		m.stopped = m.stopped[1:]
		m.forgetTask(t)
	}
	if len(m.stopped) > 0 && !m.retaining {
		m.retaining = true
		m.after(m.stopped[0].StoppedAt.Add(m.cfg.StoppedKeep), func() { m.retaining = false })
	}
}

func (m *Machine) forgetTask(t *task) {
	if t.Excused {
		m.unexcuse(t)
	}
	m.disposal = true
	delete(m.tasks, t.ID)
	home := t.home
	if at, found := slices.BinarySearchFunc(home.tasks, t.Seq, bySeq); found {
		home.tasks = slices.Delete(home.tasks, at, at+1)
	}
	if t.ClientToken != "" {
		rest := slices.DeleteFunc(home.byToken[t.ClientToken], func(o *task) bool { return o == t })
		if len(rest) == 0 {
			delete(home.byToken, t.ClientToken)
		} else {
			home.byToken[t.ClientToken] = rest
		}
	}
	m.changed.gone = append(m.changed.gone, taskKey(t.Task))
	m.fx.Forgets = append(m.fx.Forgets, t.ID)
}

// expire forgets an INACTIVE service when its time is over.
func (m *Machine) expire(s *service) {
	m.after(s.InactiveAt.Add(m.cfg.StoppedKeep), func() {
		if s.Status == statusInactive && s.home.services[s.Name] == s {
			m.forgetService(s)
		}
	})
}

// forgetService takes a service and its events out of the state.
func (m *Machine) forgetService(s *service) {
	m.disposal = true
	delete(s.home.services, s.Name)
	s.home.daemons = slices.DeleteFunc(s.home.daemons, func(o *service) bool { return o == s })
	m.changed.left = append(m.changed.left, serviceKey(s.Service))
	for _, e := range slices.Backward(s.Events) {
		m.changed.left = append(m.changed.left, eventKey(s.Cluster, s.Name, e.Seq))
	}
}

// byStop orders stopped tasks as they are forgotten.
func byStop(a, b *task) int {
	return cmp.Or(a.StoppedAt.Compare(b.StoppedAt), cmp.Compare(a.Seq, b.Seq))
}
