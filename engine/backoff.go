package engine

import (
	"time"

	"plimsoll"
)

// backoff is how long a service waits after its nth failure in a row: one
// second, doubled each time, at most a minute.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	if n > 10 {
		return lastRetry
	}
	return min(firstRetry<<(n-1), lastRetry)
}

// failedRun counts a task that did not start, or ended soon after its start.
// Failures while the service is held already are of the same round.
func (m *Machine) failedRun(s *service, t *Task, why string) {
	if s.Status != statusActive {
		return
	}
	e := m.editService(s)
	for i := range e.Deployments {
		if e.Deployments[i].ID == t.Deployment {
			e.Deployments[i].FailedTasks++
		}
	}
	if len(e.Deployments) > 0 && t.Deployment != e.Deployments[0].ID {
		return // a former deployment's failure holds nothing up
	}
	if m.tripped(s) || m.held(s) {
		return
	}
	e.Failures++
	wait := backoff(e.Failures)
	e.RetryAt = m.now.Add(wait)
	m.say(s, "(service %s) is unable to consistently start tasks successfully: (task %s) %s; the next start is in %s (failure %d in a row).",
		s.Name, t.ID, why, wait, e.Failures)
	m.retryLater(s)
}

// retryLater looks at the service again when its back-off ends.
func (m *Machine) retryLater(s *service) {
	if s.Failures == 0 {
		return
	}
	m.after(s.RetryAt, func() {
		if s.Status != statusActive || m.held(s) {
			return
		}
		m.unsettle(s)
		if len(s.waiting) > 0 {
			m.makeRoom(s.home, false, s)
		}
	})
}

// watchRun has a task that was started after a failure end the back-off once it
// has run long enough.
func (m *Machine) watchRun(t *task) {
	s := t.svc
	if !s.failedBefore(t.StartedAt) {
		return
	}
	m.after(t.StartedAt.Add(provenRun), func() {
		if t.svc == s && t.LastStatus == plimsoll.StatusRunning {
			m.proven(s, t.StartedAt)
		}
	})
}

// failedBefore tells whether the service is in a row of failures of which the
// last was before the time. Only what was started after it proves anything.
func (s *service) failedBefore(started time.Time) bool {
	return s.Failures > 0 && !started.Before(s.RetryAt.Add(-backoff(s.Failures)))
}

// proven ends a service's back-off: a task has run for long enough.
func (m *Machine) proven(s *service, started time.Time) {
	if s.Status != statusActive || !s.failedBefore(started) {
		return
	}
	e := m.editService(s)
	e.Failures, e.RetryAt = 0, time.Time{}
	m.unsettle(s)
	m.makeRoom(s.home, false, s)
}
