package engine

import (
	"slices"
	"time"

	"plimsoll"
)

// A worker that has run out of work may take itself off: it reads the desired
// count, writes it back less one, and exits. Many at a time read the same count,
// and the one that a scale-in would stop may be another, busy one. So such a
// write counts as "one less, and it is I that go": the count falls by one,
// whatever number was read, and no task is stopped for it while the exit is
// waited for. It is known by its caller, where the worker uses the credentials
// of its own task, or, for callers that are not known, by the service's tag
// plimsoll:cooperative and by its being one less than a count of just now.

// leaveWait is how long the exit of a worker that has taken itself off is waited
// for. Then it is stopped; if nobody knows which it was, scale-in chooses.
const leaveWait = 10 * time.Second

// formerKept is how long a count that workers have taken themselves off may
// have been read before.
const formerKept = 30 * time.Second

// maxFormer bounds the former counts that are kept.
const maxFormer = 64

// cooperative tells whether writes of unknown callers may be workers'.
func (s *service) cooperative() bool { return s.Tags[plimsoll.TagCooperative] == "true" }

// desire carries out a write of the desired count.
func (m *Machine) desire(s *service, want int, caller string) {
	worker := m.tasks[caller]
	known := worker != nil && worker.svc == s && worker.staying()
	former := s.wasDesired(want+1, m.now)
	switch {
	case known && (want < s.Desired || former):
		m.leave(s, worker.ID, false)
	case !known && s.cooperative() && want == s.Desired-1:
		m.leave(s, "", false)
	case !known && s.cooperative() && former:
		m.leave(s, "", true)
	default:
		if len(s.Leaves)+len(s.Former) > 0 {
			e := m.editService(s)
			e.Leaves, e.Former = nil, nil
		}
		m.setDesired(s, want)
	}
}

// wasDesired tells whether the count was the desired one a short while ago.
func (s *service) wasDesired(n int, now time.Time) bool {
	return slices.ContainsFunc(s.Former, func(f FormerCount) bool { return f.Desired == n && now.Before(f.Until) })
}

// leave takes one worker off the count; the same one only once.
func (m *Machine) leave(s *service, worker string, lost bool) {
	if worker != "" && slices.ContainsFunc(s.Leaves, func(l Leave) bool { return l.Task == worker }) {
		return
	}
	e := m.editService(s)
	e.Former = slices.DeleteFunc(slices.Clone(e.Former), func(f FormerCount) bool { return !m.now.Before(f.Until) })
	e.Former = append(e.Former, FormerCount{Desired: e.Desired, Until: m.now.Add(formerKept)})
	e.Former = e.Former[max(0, len(e.Former)-maxFormer):]
	if e.Desired == 0 {
		return
	}
	until := m.now.Add(leaveWait)
	e.Leaves = append(e.Leaves, Leave{Until: until, Task: worker, Lost: lost})
	m.setDesired(s, s.Desired-1)
	m.watchLeaves(s, until)
}

// watchLeaves looks at the service's leaves when one's time is over.
func (m *Machine) watchLeaves(s *service, until time.Time) {
	m.after(until, func() {
		if s.Status == statusActive && s.home.services[s.Name] == s {
			m.endLeaves(s)
		}
	})
}

// endLeaves gives up waiting for the exits whose time is over.
func (m *Machine) endLeaves(s *service) {
	over := func(l Leave) bool { return !m.now.Before(l.Until) }
	if !slices.ContainsFunc(s.Leaves, over) {
		return
	}
	e := m.editService(s)
	ended := slices.Clone(e.Leaves)
	e.Leaves = slices.DeleteFunc(e.Leaves, over)
	for _, l := range ended {
		t := m.tasks[l.Task]
		switch {
		case !over(l):
		case l.Lost:
			// Nobody has gone: it was the same write once more.
			m.setDesired(s, s.Desired+1)
		case t != nil && t.svc == s && t.staying() && !t.Protected(m.now):
			m.stop(t, stopScheduler, s.scalingReason())
			m.sayTasks(s, "has stopped", "", []*task{t})
		}
	}
	m.unsettle(s)
}

// gone takes an exit as what a leave has been waiting for, and tells whether it
// was. A worker that is known is waited for itself; of the others any that ends
// well is one of those that said so.
func (m *Machine) gone(s *service, t *task, code int) bool {
	at := slices.IndexFunc(s.Leaves, func(l Leave) bool { return l.Task == t.ID })
	if at < 0 && code == 0 {
		at = slices.IndexFunc(s.Leaves, func(l Leave) bool { return l.Task == "" && !l.Lost })
		if at < 0 {
			at = slices.IndexFunc(s.Leaves, func(l Leave) bool { return l.Task == "" })
		}
	}
	if at < 0 {
		return false
	}
	e := m.editService(s)
	e.Leaves = slices.Delete(e.Leaves, at, at+1)
	return true
}

// expected is how many tasks are about to exit by themselves.
func (s *service) expected() int { return len(s.Leaves) }
