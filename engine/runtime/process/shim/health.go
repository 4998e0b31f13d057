package shim

import (
	"syscall"
	"time"
)

// check is a run of a container's health check. It is a process in the
// container's own setting.
type check struct {
	container int
	pid       int
	deadline  time.Time
}

// healthDue are the times at which a health check begins, or has taken too long.
func (s *shim) healthDue() []time.Time {
	var due []time.Time
	for i, p := range s.all {
		if p == nil || p.checker == nil {
			continue
		}
		if c := s.checkOf(i); c != nil {
			due = append(due, c.deadline)
		} else {
			due = append(due, p.checker.Due())
		}
	}
	return due
}

// checkHealth begins the checks that are due, and ends those that take too long.
func (s *shim) checkHealth(now time.Time) {
	for i, p := range s.all {
		if p == nil || p.checker == nil {
			continue
		}
		c := s.checkOf(i)
		switch {
		case c != nil && !now.Before(c.deadline):
			syscall.Kill(-c.pid, syscall.SIGKILL)
			c.deadline = now.Add(time.Hour) // its end is told
		case c == nil && !now.Before(p.checker.Due()):
			s.beginCheck(i, now)
		}
	}
}

func (s *shim) beginCheck(i int, now time.Time) {
	c := s.all[i].c
	c.Args = c.Health.Command
	pid, err := s.run(c, s.null)
	if err != nil {
		s.judge(i, false)
		return
	}
	s.checks = append(s.checks, &check{container: i, pid: pid, deadline: now.Add(c.Health.Timeout)})
}

// checked takes the end of a process that is none of the containers'.
func (s *shim) checked(pid int, ok bool) {
	for n, c := range s.checks {
		if c.pid == pid {
			s.checks = append(s.checks[:n], s.checks[n+1:]...)
			s.judge(c.container, ok)
			return
		}
	}
}

func (s *shim) judge(i int, ok bool) {
	if checker := s.all[i].checker; checker != nil && checker.Result(ok, time.Now()) {
		s.order.Health(i, ok)
	}
}

func (s *shim) checkOf(i int) *check {
	for _, c := range s.checks {
		if c.container == i {
			return c
		}
	}
	return nil
}

func (s *shim) isCheck(pid int) bool {
	for _, c := range s.checks {
		if c.pid == pid {
			return true
		}
	}
	return false
}

// forgetChecks ends the check of a container that has ended.
func (s *shim) forgetChecks(i int) {
	for n, c := range s.checks {
		if c.container == i {
			syscall.Kill(-c.pid, syscall.SIGKILL)
			s.checks = append(s.checks[:n], s.checks[n+1:]...)
			return
		}
	}
}
