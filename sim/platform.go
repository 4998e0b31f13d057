package sim

import (
	"context"
	"errors"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/platform"
)

// cluster is the world as a platform: what platform/ecs reads over the wire is
// read from the machine itself. What it gave is never changed afterwards.
type cluster struct {
	world *world
	last  plimsoll.Cluster
	// tasks are those that last.Tasks was made of, in the same order.
	tasks []*engine.Task
	// revision is that of the machine at the last reading; protected tells that
	// time alone may change what was read.
	revision  uint64
	protected bool
}

var (
	_ platform.Cluster = (*cluster)(nil)

	errUnreadable = errors.New("the cluster does not answer")
)

// Snapshot gives the cluster whole.
func (c *cluster) Snapshot(context.Context) (plimsoll.Cluster, error) {
	w := c.world
	if w.outage(ClusterOutage, "") {
		return plimsoll.Cluster{}, errUnreadable
	}
	if c.revision != w.revision || c.protected || c.last.Name == "" {
		c.read()
		c.revision = w.revision
	}
	c.last.At = w.clock()
	return c.last, nil
}

// SetDesired sets the desired count of a service.
func (c *cluster) SetDesired(_ context.Context, service string, desired int) error {
	_, err := c.world.call(engine.UpdateService{Cluster: c.world.cfg.Cluster, Service: service, Desired: &desired})
	return err
}

func (c *cluster) read() {
	m, name := c.world.machine, c.world.cfg.Cluster
	services := make([]plimsoll.Service, 0, len(c.world.loads))
	for _, s := range m.Services(name) {
		services = append(services, c.service(s))
	}
	instances := m.Instances(name)
	hosts := make([]plimsoll.ContainerInstance, 0, len(instances))
	for _, i := range instances {
		running, pending := m.InstanceCounts(i.ARN)
		hosts = append(hosts, plimsoll.ContainerInstance{
			DrainedAt: c.world.drained[i.ARN], ARN: i.ARN, InstanceID: i.EC2InstanceID, Address: i.Address, Zone: i.Zone, Status: i.Status, Connected: true,
			Registered: i.Registered, Remaining: m.Remaining(i.ARN), Running: running, Pending: pending,
		})
	}
	c.last = plimsoll.Cluster{Name: name, Services: services, Instances: hosts, Tasks: c.readTasks(m.Tasks(name))}
}

// readTasks turns the tasks into those of a snapshot; what has not changed since
// the last is copied from it. The machine never changes a task that it has given.
func (c *cluster) readTasks(now []*engine.Task) []plimsoll.Task {
	list := make([]plimsoll.Task, len(now))
	c.protected = false
	old := 0
	for i, t := range now {
		for old < len(c.tasks) && c.tasks[old].Seq < t.Seq {
			old++
		}
		if old < len(c.tasks) && c.tasks[old] == t && t.ProtectedUntil.IsZero() {
			list[i] = c.last.Tasks[old]
			continue
		}
		list[i] = c.task(t)
		c.protected = c.protected || list[i].Protected
	}
	c.tasks = now
	return list
}

func (c *cluster) service(s *engine.Service) plimsoll.Service {
	m := c.world.machine
	running, pending := m.ServiceCounts(s.Cluster, s.Name)
	out := plimsoll.Service{
		ARN: s.ARN, Name: s.Name, TaskDefinition: s.TaskDefinition, Desired: s.Desired, Running: running, Pending: pending,
		Deploying: len(s.Deployments) > 1, Tags: s.Tags, CreatedAt: s.CreatedAt,
	}
	if load := c.world.byName[s.Name]; load != nil {
		out.Reserved = load.Policy.Reserved
	}
	return out
}

func (c *cluster) task(t *engine.Task) plimsoll.Task {
	protected := t.Protected(c.world.clock())
	out := plimsoll.Task{
		ARN: t.ARN, Service: t.Service, TaskDefinition: t.TaskDefinition, ContainerInstance: t.ContainerInstance, Zone: t.Zone,
		LastStatus: t.LastStatus, DesiredStatus: t.DesiredStatus, Protected: protected, Reserved: t.Reserved, Ports: t.FixedPorts,
		CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, StoppingAt: t.StoppingAt, StoppedAt: t.StoppedAt,
		StopCode: t.StopCode, StoppedReason: t.StoppedReason,
	}
	if protected {
		out.ProtectedUntil = t.ProtectedUntil
	}
	return out
}
