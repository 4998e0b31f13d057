package engine

import (
	"slices"

	"plimsoll"
	"plimsoll/engine/runtime/order"
)

// recount brings the counts of a task's service, deployment and instance up to
// the task's state. It is called after each change of that state; what the task
// counted for before is kept with the task.
func (m *Machine) recount(t *task) {
	was, now := t.counts, t.tally()
	if was == now {
		return
	}
	t.counts = now
	if s := t.svc; s != nil {
		s.sum = s.sum.add(was.service, -1).add(now.service, 1)
		c := s.deployCount(t.Deployment)
		c.running += now.service.running - was.service.running
		c.healthy += now.service.healthy - was.service.healthy
		c.pending += now.pending() - was.pending()
		c.all += now.all - was.all
	}
	if i := t.host; i != nil {
		i.running += now.hostRunning - was.hostRunning
		i.pending += now.hostPending - was.hostPending
	}
}

// taskTally is what one task counts for: ones and zeros.
type taskTally struct {
	service                  tally
	all                      int
	hostRunning, hostPending int
}

func (t taskTally) pending() int { return t.service.live - t.service.running }

func (t *task) tally() taskTally {
	var n taskTally
	if !t.alive() {
		return n
	}
	n.all = 1
	switch t.LastStatus {
	case plimsoll.StatusProvisioning:
	case plimsoll.StatusPending:
		n.hostPending = 1
	default:
		n.hostRunning = 1
	}
	if !t.staying() || t.svc == nil {
		return n
	}
	n.service.live = 1
	if t.LastStatus == plimsoll.StatusRunning {
		n.service.running = 1
	}
	if t.sound() {
		n.service.healthy = 1
	}
	switch {
	case t.stale():
		n.service.stale = 1
	case t.displaced():
		n.service.displaced = 1
	}
	return n
}

// sound tells whether the task is of use: it runs, and, where essential
// containers have health checks, all of these say so.
func (t *task) sound() bool {
	return t.LastStatus == plimsoll.StatusRunning && (!t.def.checked() || t.Health(t.def.TaskDefinition) == order.HealthHealthy)
}

// checked tells whether an essential container has a health check: ECS judges
// the task by it then.
func (d *TaskDefinition) checked() bool {
	return slices.ContainsFunc(d.Containers, func(c ContainerDefinition) bool { return c.Essential && c.HealthCheck != nil })
}

// stale tells whether the task is of a deployment that is being replaced.
func (t *task) stale() bool {
	return t.svc != nil && t.Deployment != t.svc.Deployments[0].ID
}

// displaced tells whether the task is on an instance that is being drained.
func (t *task) displaced() bool { return t.host != nil && t.host.draining() }

func (s *service) deployCount(id string) *deployCount {
	c := s.perDeploy[id]
	if c == nil {
		c = &deployCount{}
		s.perDeploy[id] = c
	}
	return c
}
