package engine

import (
	"cmp"
	"maps"
	"slices"

	"plimsoll"
	"plimsoll/place"
)

// instance is a container instance with the tasks that are on it.
type instance struct {
	*ContainerInstance
	home  *cluster
	epoch uint64
	dirty bool

	tasks            []*task // not stopped, in order of creation
	running, pending int
	// slot is its index on the cluster's board, while there is one.
	slot int
}

func (i *instance) draining() bool { return i.Status == plimsoll.InstanceDraining }

// editInstance gives a copy of the instance that may be changed in this step.
func (m *Machine) editInstance(i *instance) *ContainerInstance {
	if i.epoch != m.epoch {
		changed := *i.ContainerInstance
		i.ContainerInstance, i.epoch = &changed, m.epoch
	}
	if !i.dirty {
		i.dirty = true
		m.changed.instances = append(m.changed.instances, i)
	}
	return i.ContainerInstance
}

func (m *Machine) putHosts(c PutHosts) ([]*ContainerInstance, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	wanted := map[string]HostSpec{}
	for _, h := range c.Hosts {
		if h.Name == "" {
			return nil, refuse(codeInvalid, "every host must have a name")
		}
		if _, twice := wanted[h.Name]; twice {
			return nil, refuse(codeInvalid, "host %q is named twice", h.Name)
		}
		wanted[h.Name] = h
	}
	present := map[string]*instance{}
	for _, i := range slices.Clone(home.instances) {
		if i.Agent {
			continue // registered through the API, and left so
		}
		if h, ok := wanted[i.Name]; ok {
			present[i.Name] = i
			m.updateHost(i, h)
			continue
		}
		m.dismiss(i)
	}
	result := make([]*ContainerInstance, 0, len(c.Hosts))
	for _, h := range c.Hosts {
		i := present[h.Name]
		if i == nil {
			i = m.registerHost(home, h)
		}
		result = append(result, i.ContainerInstance)
	}
	m.makeRoom(home, true, nil)
	return result, nil
}

func (m *Machine) registerHost(home *cluster, h HostSpec) *instance {
	n := m.number()
	id := m.hexID(n)
	i := &instance{home: home, epoch: m.epoch, ContainerInstance: &ContainerInstance{
		Seq: n, Name: h.Name, ARN: m.arn("container-instance", home.Name+"/"+id),
		Cluster: home.Name, EC2InstanceID: "i-" + id[:17], Address: h.Address, Zone: h.Zone,
		Status: plimsoll.InstanceActive, Registered: h.Resources, RegisteredAt: m.now,
		Attributes: m.hostAttributes(h.Zone),
	}}
	m.admit(i)
	return i
}

// hostAttributes are those that every host of a zone has.
func (m *Machine) hostAttributes(zone string) map[string]string {
	attributes := map[string]string{"ecs.availability-zone": zone, "ecs.os-type": "linux"}
	if m.cfg.Architecture != "" {
		attributes[AttributeArchitecture] = m.cfg.Architecture
	}
	return attributes
}

// updateHost makes a host that stays be as it is asked for now. Its tasks keep
// what they have, even if that is more than the host now has.
func (m *Machine) updateHost(i *instance, h HostSpec) {
	if i.Zone == h.Zone && i.Address == h.Address && i.Registered == h.Resources && !i.Surplus {
		return
	}
	i.home.board = nil
	e := m.editInstance(i)
	if i.Surplus {
		e.Surplus, e.Status = false, plimsoll.InstanceActive
	}
	e.Zone, e.Address, e.Registered = h.Zone, h.Address, h.Resources
	e.Attributes = maps.Clone(e.Attributes)
	e.Attributes["ecs.availability-zone"] = h.Zone
	i.home.fleet.Add(place.Host{ID: i.ARN, Zone: i.Zone, Free: i.Registered, Closed: i.draining(), Ports: i.ReservedPorts})
	m.unsettleDaemons(i.home)
	for _, t := range i.tasks {
		m.reserve(t)
		m.recount(t)
		if t.svc != nil {
			m.unsettle(t.svc)
		}
	}
}

// dismiss takes a host out of the cluster, at once if it has no tasks, and with
// its last task if it has.
func (m *Machine) dismiss(i *instance) {
	if len(i.tasks) > 0 {
		m.editInstance(i).Surplus = true
		m.setInstanceStatus(i, plimsoll.InstanceDraining)
		return
	}
	home := i.home
	home.board = nil
	m.unsettleDaemons(home)
	home.fleet.Remove(i.ARN)
	delete(home.byARN, i.ARN)
	home.instances = slices.DeleteFunc(home.instances, func(o *instance) bool { return o == i })
	m.changed.gone = append(m.changed.gone, instanceKey(i.ContainerInstance))
	m.notify(Notice{Kind: "container-instance", ARN: i.ARN, LastStatus: statusInactive, Message: "left the cluster"})
	m.left(i.EC2InstanceID)
}

// setInstanceStatus drains an instance or opens it again, and has the services
// with tasks on it look at them.
func (m *Machine) setInstanceStatus(i *instance, status string) {
	if i.Status == status {
		return
	}
	i.home.board = nil
	m.unsettleDaemons(i.home)
	m.editInstance(i).Status = status
	i.home.fleet.SetClosed(i.ARN, status != plimsoll.InstanceActive)
	for _, t := range i.tasks {
		m.recount(t)
		if t.svc != nil {
			m.unsettle(t.svc)
		}
	}
	if status == plimsoll.InstanceActive {
		m.makeRoom(i.home, true, nil)
	}
}

func (m *Machine) updateContainerInstancesState(c UpdateContainerInstancesState) (*InstancesResult, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if c.Status != plimsoll.InstanceActive && c.Status != plimsoll.InstanceDraining {
		return nil, refuse(codeInvalid, "Container instance status %q is invalid: ACTIVE and DRAINING are allowed.", c.Status)
	}
	if len(c.Instances) == 0 {
		return nil, refuse(codeInvalid, "Container instances can not be empty.")
	}
	if len(c.Instances) > 10 {
		return nil, refuse(codeInvalid, "At most 10 container instances can be updated in one call, not %d.", len(c.Instances))
	}
	result := &InstancesResult{}
	for _, ref := range c.Instances {
		i := m.findInstance(home, ref)
		if i == nil {
			arn := m.arn("container-instance", home.Name+"/"+named(ref))
			result.Failures = append(result.Failures, Failure{ARN: arn, Reason: reasonMissing})
			continue
		}
		m.setInstanceStatus(i, c.Status)
		result.Instances = append(result.Instances, i.ContainerInstance)
	}
	return result, nil
}

// findInstance finds an instance of the cluster by id or ARN.
func (m *Machine) findInstance(c *cluster, ref string) *instance {
	if of := clusterOf(ref); of != "" && of != c.Name {
		return nil
	}
	return c.byARN[m.arn("container-instance", c.Name+"/"+named(ref))]
}

// host puts a placed task on its instance's list.
func (i *instance) host(t *task) {
	at, _ := slices.BinarySearchFunc(i.tasks, t.Seq, bySeq)
	i.tasks = slices.Insert(i.tasks, at, t)
}

// unhost takes a stopped task off it.
func (i *instance) unhost(t *task) {
	if at, found := slices.BinarySearchFunc(i.tasks, t.Seq, bySeq); found {
		i.tasks = slices.Delete(i.tasks, at, at+1)
	}
}

func bySeq(t *task, seq uint64) int { return cmp.Compare(t.Seq, seq) }
