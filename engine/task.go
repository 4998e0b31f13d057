package engine

import (
	"maps"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
	"plimsoll/place"
)

// task is a task with its place in the indexes.
type task struct {
	*Task
	home *cluster
	svc  *service  // nil for a standalone task, and for a stopped one
	host *instance // nil until it is placed
	def  *definition

	epoch  uint64
	dirty  bool
	counts taskTally
	// placedIn is the Step whose effects start the task.
	placedIn uint64
	// unproven: loaded as placed, and the runtime has not said yet whether
	// there is anything of it.
	unproven bool
	// protectTimer is the latest time at which a timer looks at the protection.
	protectTimer time.Time
}

// The codes that say why a task stopped.
const (
	stopScheduler = "ServiceSchedulerInitiated"
	stopUser      = "UserInitiated"
	// stopTermination is of tasks whose host is terminated.
	stopTermination = "TerminationNotice"
	stopEssential   = "EssentialContainerExited"
	stopNoStart     = "TaskFailedToStart"
)

func (t *task) alive() bool { return t.LastStatus != plimsoll.StatusStopped }

// staying tells whether the task runs or is on its way to it.
func (t *task) staying() bool { return t.DesiredStatus == plimsoll.StatusRunning }

// editTask gives a copy of the task that may be changed in this step.
func (m *Machine) editTask(t *task) *Task {
	if t.epoch != m.epoch {
		changed := *t.Task
		changed.Containers = slices.Clone(changed.Containers)
		t.Task, t.epoch = &changed, m.epoch
	}
	if !t.dirty {
		t.dirty = true
		t.Version++
		m.changed.tasks = append(m.changed.tasks, t)
	}
	return t.Task
}

// origin is what a new task comes from.
type origin struct {
	svc       *service
	override  TaskOverride
	reserved  plimsoll.Resources
	priority  int
	group     string
	startedBy string
	launch    string
	tags      map[string]string
	token     string
	request   string
	provider  string // capacity provider
	target    string // ARN of the instance that it is made for
}

// createTask makes a task that waits for a host.
func (m *Machine) createTask(home *cluster, d *definition, o origin) *task {
	n := m.number()
	id := m.hexID(n)
	e := &Task{
		Seq: n, ID: id, ARN: m.arn("task", home.Name+"/"+id), Cluster: home.Name,
		TaskDefinition: d.ARN, Family: d.Family, Group: o.group, StartedBy: o.startedBy,
		LaunchType: o.launch, Priority: o.priority, Reserved: o.reserved, FixedPorts: d.fixedPorts(),
		LastStatus: plimsoll.StatusProvisioning, DesiredStatus: plimsoll.StatusRunning,
		Tags: maps.Clone(o.tags), Override: o.override, CreatedAt: m.now,
		ClientToken: o.token, Request: o.request, CapacityProvider: o.provider, Target: o.target,
	}
	if o.svc != nil {
		e.Service, e.Deployment = o.svc.Name, o.svc.Deployments[0].ID
	}
	for _, c := range d.Containers {
		e.Containers = append(e.Containers, Container{
			Name: c.Name, Image: c.Image, LastStatus: plimsoll.StatusPending,
			ARN: m.arn("container", home.Name+"/"+id+"/"+m.uuid(m.number())),
		})
	}
	t := &task{Task: e, home: home, svc: o.svc, def: d, epoch: m.epoch}
	m.editTask(t)
	m.tasks[id] = t
	home.tasks = append(home.tasks, t)
	if o.token != "" {
		home.byToken[o.token] = append(home.byToken[o.token], t)
	}
	if t.svc != nil {
		t.svc.tasks = append(t.svc.tasks, t)
		t.svc.waiting = append(t.svc.waiting, t)
		home.lines[t.svc] = true
		m.makeRoom(home, false, t.svc)
	}
	m.recount(t)
	return t
}

// request is what the task asks of a host.
func (t *task) request() place.Request {
	group := "family:" + t.Family
	if t.Service != "" {
		group = "service:" + t.Service
	}
	return place.Request{Group: group, Reserved: t.Reserved, Ports: t.FixedPorts}
}

// stop sends a task on its way out: the unplaced are stopped at once, a
// running one of a service leaves the router first.
func (m *Machine) stop(t *task, code, reason string) {
	if !t.staying() {
		return
	}
	e := m.editTask(t)
	e.DesiredStatus = plimsoll.StatusStopped
	e.StopCode, e.StoppedReason, e.StoppingAt = code, reason, m.now
	switch t.LastStatus {
	case plimsoll.StatusProvisioning:
		m.finish(t)
	case plimsoll.StatusPending:
		if m.withdraw(t) {
			m.finish(t)
		} else {
			m.stopNow(t)
		}
	case plimsoll.StatusRunning:
		if t.svc != nil {
			e.LastStatus = plimsoll.StatusDeactivating
			e.DrainUntil = m.now.Add(m.cfg.DeregistrationDelay)
			m.drain(t)
		} else {
			m.stopNow(t)
		}
	}
	m.recount(t)
	if t.svc != nil {
		m.unsettle(t.svc)
	}
}

// withdraw takes back the start of a task that was placed in this very step:
// the stops of a step are carried out before its starts.
func (m *Machine) withdraw(t *task) bool {
	if t.placedIn != m.step {
		return false
	}
	i := slices.IndexFunc(m.fx.Starts, func(s runtime.Spec) bool { return s.TaskID == t.ID })
	if i < 0 {
		return false
	}
	m.fx.Starts = slices.Delete(m.fx.Starts, i, i+1)
	return true
}

// drain asks for a task's requests to end, and looks again at the deadline.
func (m *Machine) drain(t *task) {
	m.fx.Drains = append(m.fx.Drains, Drain{TaskID: t.ID, TaskARN: t.ARN, Service: t.Service, Deadline: t.DrainUntil})
	m.after(t.DrainUntil, func() { m.drained(t.ID) })
}

// drained sends the stop signal to a task that has left the router.
func (m *Machine) drained(id string) {
	t := m.tasks[id]
	if t != nil && t.LastStatus == plimsoll.StatusDeactivating {
		m.stopNow(t)
	}
}

func (m *Machine) stopNow(t *task) {
	m.editTask(t).LastStatus = plimsoll.StatusStopping
	m.fx.Stops = append(m.fx.Stops, t.ID)
}

// finish ends a task of which nothing runs any more, and frees what it had.
func (m *Machine) finish(t *task) {
	e := m.editTask(t)
	e.LastStatus, e.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
	e.StoppedAt = m.now
	for i := range e.Containers {
		e.Containers[i].LastStatus = plimsoll.StatusStopped
	}
	m.recount(t)
	if s := t.svc; s != nil {
		s.dismiss(t)
		m.unsettle(s)
	}
	if i := t.host; i != nil {
		i.home.fleet.Release(i.ARN, t.request())
		if b := i.home.board; b != nil {
			b.Release(i.slot, t.boardRequest())
		}
		i.unhost(t)
		m.makeRoom(t.home, true, nil)
		if i.draining() {
			m.unsettleDaemons(t.home) // they leave when nothing else is left
		}
		if i.Surplus && len(i.tasks) == 0 {
			m.dismiss(i)
		}
	}
	t.svc, t.host = nil, nil
	m.bury(t)
}

// reserve takes what the task needs from its host. A port that is taken can
// only be met while a state is loaded whose tasks share it; then the task keeps
// what it has.
func (m *Machine) reserve(t *task) {
	if b := t.home.board; b != nil {
		b.Reserve(t.host.slot, t.boardRequest())
	}
	r := t.request()
	if t.home.fleet.Reserve(t.host.ARN, r) != nil {
		r.Ports = nil
		_ = t.home.fleet.Reserve(t.host.ARN, r) // the host is there, and no port is asked for
	}
}

func (m *Machine) stopTask(c StopTask) (*Task, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	t := m.findTask(home, c.Task)
	if t == nil {
		return nil, refuse(codeInvalid, "The referenced task was not found.")
	}
	reason := c.Reason
	if reason == "" {
		reason = "Task stopped by user"
	}
	if t.svc != nil && t.released() && t.staying() && !t.stale() && !t.displaced() {
		m.excuse(t.svc, t)
	}
	m.stop(t, stopUser, reason)
	return t.Task, nil
}

// findTask finds a task by id or ARN; a nil cluster is any.
func (m *Machine) findTask(home *cluster, ref string) *task {
	t := m.tasks[named(ref)]
	if t == nil {
		return nil
	}
	if of := clusterOf(ref); of != "" && of != t.Cluster {
		return nil
	}
	if home != nil && home != t.home {
		return nil
	}
	return t
}
