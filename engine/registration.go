package engine

import (
	"fmt"
	"maps"
	"slices"

	"plimsoll"
	"plimsoll/place"
)

// registerInstance makes a further logical host of this machine, or brings one
// up to date that was registered so before.
func (m *Machine) registerInstance(c RegisterInstance) (*ContainerInstance, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if c.Resources.CPU <= 0 || c.Resources.Memory <= 0 {
		return nil, refuse(codeClient, "totalResources has %d CPU units and %d MiB of memory: both must be over 0.", c.Resources.CPU, c.Resources.Memory)
	}
	zone := c.Zone
	if zone == "" {
		zone = m.cfg.Region + "a"
	}
	attributes := merged(m.hostAttributes(zone), c.Attributes, map[string]string{"ecs.availability-zone": zone})
	if c.ARN != "" {
		i := m.findInstance(home, c.ARN)
		if i == nil {
			return nil, refuse(codeClient, "The referenced container instance was not found: %q.", c.ARN)
		}
		m.reregister(i, c, zone, attributes)
		return i.ContainerInstance, nil
	}
	n := m.number()
	id := m.hexID(n)
	ec2 := c.EC2InstanceID
	if ec2 == "" {
		ec2 = "i-" + id[:17]
	}
	ports := slices.Sorted(slices.Values(c.Ports))
	i := &instance{home: home, epoch: m.epoch, ContainerInstance: &ContainerInstance{
		Seq: n, Name: ec2, ARN: m.arn("container-instance", home.Name+"/"+id), Cluster: home.Name,
		EC2InstanceID: ec2, Address: m.freeAddress(), Zone: zone, Status: plimsoll.InstanceActive,
		Registered: c.Resources, RegisteredAt: m.now, Attributes: attributes, Tags: maps.Clone(c.Tags),
		Agent: true, AgentVersion: c.AgentVersion, AgentHash: c.AgentHash, DockerVersion: c.DockerVersion, ReservedPorts: slices.Compact(ports),
	}}
	m.admit(i)
	m.makeRoom(home, true, nil)
	return i.ContainerInstance, nil
}

// admit puts a new instance into its cluster.
func (m *Machine) admit(i *instance) {
	home := i.home
	home.board = nil
	m.unsettleDaemons(home)
	home.instances = append(home.instances, i)
	home.byARN[i.ARN] = i
	home.fleet.Add(place.Host{ID: i.ARN, Zone: i.Zone, Free: i.Registered, Ports: i.ReservedPorts})
	m.editInstance(i)
}

// reregister brings an instance up to date; what it had on it stays.
func (m *Machine) reregister(i *instance, c RegisterInstance, zone string, attributes map[string]string) {
	e := m.editInstance(i)
	e.Attributes = attributes
	e.AgentVersion, e.AgentHash, e.DockerVersion = c.AgentVersion, c.AgentHash, c.DockerVersion
	if c.Tags != nil {
		e.Tags = maps.Clone(c.Tags)
	}
	m.updateHost(i, HostSpec{Name: i.Name, Zone: zone, Address: i.Address, Resources: c.Resources})
	m.makeRoom(i.home, true, nil)
}

// freeAddress is a loopback address that no instance has: 127.65.0.1 and up.
func (m *Machine) freeAddress() string {
	taken := map[string]bool{}
	for _, c := range m.clusters {
		for _, i := range c.instances {
			taken[i.Address] = true
		}
	}
	for n := 0; ; n++ {
		address := fmt.Sprintf("127.65.%d.%d", n/250, n%250+1)
		if !taken[address] {
			return address
		}
	}
}

// deregisterInstance takes an instance out of its cluster. Tasks that run on it
// end first: nothing may run on this machine that nobody sees.
func (m *Machine) deregisterInstance(c DeregisterInstance) (*ContainerInstance, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	i := m.findInstance(home, c.Instance)
	if c.Instance == "" || i == nil {
		return nil, refuse(codeInvalid, "The referenced container instance was not found: %q.", c.Instance)
	}
	if len(i.tasks) > 0 && !c.Force {
		return nil, refuse(codeInvalid, "Found %d running tasks on the instance. Stop them, drain it, or use force.", len(i.tasks))
	}
	ended := *i.ContainerInstance
	ended.Status = statusInactive
	tasks := slices.Clone(i.tasks)
	m.dismiss(i)
	for _, t := range tasks {
		m.stop(t, stopUser, "Container instance "+i.EC2InstanceID+" was deregistered")
	}
	return &ended, nil
}
