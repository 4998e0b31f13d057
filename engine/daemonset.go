package engine

import (
	"slices"

	"plimsoll/place"
)

// daemon tells whether the service has one task on each instance.
func (s *service) daemon() bool { return s.Scheduling == Daemon }

// reconcileDaemon has one task on each open instance that satisfies the
// constraints. A task of a former deployment goes first; the one that takes its
// place is made when it is gone from there. Tasks on an instance that is being
// drained are stopped when no other service's are left on it.
func (m *Machine) reconcileDaemon(s *service) {
	d := m.findDefinition(s.TaskDefinition)
	if d == nil {
		return
	}
	wanted := m.daemonHosts(s, d)
	m.setDaemonDesired(s, len(wanted))
	if s.sum.live == len(wanted) && s.current() == len(wanted) {
		return
	}
	m.stopDaemons(s, wanted)
	if !m.held(s) && s.Deployments[0].RolloutState != rolloutFailed {
		m.startDaemons(s, d, wanted)
	}
}

// daemonHosts are the instances that are to have a task. They are looked for
// anew when instances have changed, or where a constraint asks about more than
// attributes.
func (m *Machine) daemonHosts(s *service, d *definition) map[*instance]bool {
	board := m.board(s.home)
	if s.wanted != nil && s.wantedOn == board {
		return s.wanted
	}
	n := terms{constraints: slices.Concat(d.Constraints, s.Constraints), group: "service:" + s.Name}
	r := m.search(s.home, place.Request{}, n)
	wanted := map[*instance]bool{}
	for _, at := range board.Admitted(r) {
		i := s.home.instances[at]
		if !i.draining() && (r.Check == nil || r.Check(int(at))) {
			wanted[i] = true
		}
	}
	s.wanted, s.wantedOn = wanted, nil
	if r.Check == nil {
		s.wantedOn = board
	}
	return wanted
}

// setDaemonDesired notes how many tasks the service is to have.
func (m *Machine) setDaemonDesired(s *service, n int) {
	if s.Desired != n {
		m.editService(s).Desired = n
		s.steady = false
	}
}

// stopDaemons stops the tasks that are not to be where they are.
func (m *Machine) stopDaemons(s *service, wanted map[*instance]bool) {
	floor := s.healthyFloor()
	var stopped []*task
	stop := func(t *task, why string) {
		stopped = append(stopped, t)
		m.stop(t, stopScheduler, why)
	}
	for _, t := range slices.Clone(s.tasks) {
		if !t.staying() || t.Protected(m.now) {
			continue
		}
		i := s.home.byARN[t.Target]
		switch {
		case i == nil || !wanted[i] && !i.draining():
			stop(t, s.scalingReason())
		case i.draining():
			if !i.busy() {
				stop(t, "Container instance "+i.EC2InstanceID+" is being drained")
			}
		case t.stale() && (!t.sound() || s.sum.healthy > floor):
			stop(t, s.scalingReason())
		}
	}
	if len(stopped) > 0 {
		m.sayTasks(s, "has stopped", "", stopped)
	}
}

// startDaemons makes tasks for the instances that have none at all.
func (m *Machine) startDaemons(s *service, d *definition, wanted map[*instance]bool) {
	has := map[string]bool{}
	for _, t := range s.tasks {
		has[t.Target] = true
	}
	from := m.originOf(s, d)
	var started []*task
	for _, i := range s.home.instances {
		if wanted[i] && !has[i.ARN] {
			from.target = i.ARN
			started = append(started, m.createTask(s.home, d, from))
		}
	}
	if len(started) == 0 {
		return
	}
	m.sayTasks(s, "has started", "", started)
}

// busy tells whether tasks of other kinds than daemons' are on the instance.
func (i *instance) busy() bool {
	return slices.ContainsFunc(i.tasks, func(t *task) bool { return t.svc == nil || !t.svc.daemon() })
}

// unsettleDaemons has the cluster's daemons look at its instances again.
func (m *Machine) unsettleDaemons(home *cluster) {
	for _, s := range home.daemons {
		m.unsettle(s)
	}
}
