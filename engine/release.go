package engine

import (
	"slices"
	"time"

	"plimsoll"
)

// excuseFor is how long a released task that has ended goes without a
// replacement while the desired count does not follow: the control loop may be
// down, and a service must not stay short for ever.
const excuseFor = 10 * time.Minute

// released tells whether the task has asked to be counted out.
func (t *Task) released() bool { return t.Tags[plimsoll.TagReleased] != "" }

// excuse has a task that is gone, or going, count for its service's desired
// count until that has been lowered.
func (m *Machine) excuse(s *service, t *task) {
	if t.Excused {
		return
	}
	m.editTask(t).Excused = true
	s.addExcused(t)
	m.watchExcused(t)
	m.say(s, "(service %s) (task %s) was released and goes; it is not replaced.", s.Name, t.ID)
	m.unsettle(s)
}

// addExcused keeps the list in the order of creation, as a new start finds it.
func (s *service) addExcused(t *task) {
	at, _ := slices.BinarySearchFunc(s.excused, t.Seq, bySeq)
	s.excused = slices.Insert(s.excused, at, t)
}

// watchExcused ends the excuse when its time is over.
func (m *Machine) watchExcused(t *task) {
	since := t.StoppedAt
	if since.IsZero() {
		since = t.StoppingAt
	}
	if since.IsZero() {
		since = m.now
	}
	m.after(since.Add(excuseFor), func() {
		if t.Excused {
			m.unexcuse(t)
		}
	})
}

// unexcuse has the task count no more: it is replaced, unless the desired count
// has been lowered.
func (m *Machine) unexcuse(t *task) {
	m.editTask(t).Excused = false
	s := t.home.services[t.Service]
	if s == nil {
		return
	}
	s.excused = slices.DeleteFunc(s.excused, func(o *task) bool { return o == t })
	m.unsettle(s)
}

// countOut takes up to n excused tasks off the service's count, and tells how
// many there were.
func (m *Machine) countOut(s *service, n int) int {
	n = min(n, len(s.excused))
	for _, t := range s.excused[:n] {
		m.editTask(t).Excused = false
	}
	s.excused = slices.Delete(s.excused, 0, n)
	return n
}
