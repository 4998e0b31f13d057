package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// family is the revisions of a task definition, in their order.
type family struct {
	name      string
	revisions []*definition
}

type definition struct {
	*TaskDefinition
	dirty bool
}

// maxContainers is ECS's quota of containers in a task definition.
const maxContainers = 10

const (
	statusActive   = "ACTIVE"
	statusInactive = "INACTIVE"
	statusDraining = "DRAINING"
)

func (m *Machine) registerTaskDefinition(c RegisterTaskDefinition) (*TaskDefinition, *Error) {
	d := c.Definition
	if refusal := checkDefinition(&d); refusal != nil {
		return nil, refusal
	}
	if refusal := checkConstraints("placementConstraints", d.Constraints, false); refusal != nil {
		return nil, refuse(codeClient, "%s", refusal.Message)
	}
	f := m.families[d.Family]
	if f == nil {
		f = &family{name: d.Family}
		m.families[d.Family] = f
	}
	d.Revision = 1
	if n := len(f.revisions); n > 0 {
		d.Revision = f.revisions[n-1].Revision + 1
	}
	d.ARN = m.arn("task-definition", fmt.Sprintf("%s:%d", d.Family, d.Revision))
	d.Status, d.RegisteredAt = statusActive, m.now
	made := &definition{TaskDefinition: &d}
	f.revisions = append(f.revisions, made)
	m.redefine(made)
	return made.TaskDefinition, nil
}

func (m *Machine) deregisterTaskDefinition(c DeregisterTaskDefinition) (*TaskDefinition, *Error) {
	d := m.findDefinition(c.TaskDefinition)
	if d == nil || !means(c.TaskDefinition, d.ARN) {
		return nil, refuse(codeClient, "Unable to describe task definition.")
	}
	if d.Status == statusActive {
		changed := *d.TaskDefinition
		changed.Status, changed.DeregisteredAt = statusInactive, m.now
		d.TaskDefinition = &changed
		m.redefine(d)
	}
	return d.TaskDefinition, nil
}

func (m *Machine) redefine(d *definition) {
	if !d.dirty {
		d.dirty = true
		m.changed.definitions = append(m.changed.definitions, d)
	}
}

// checkDefinition refuses what ECS refuses, as far as the engine acts on it.
func checkDefinition(d *TaskDefinition) *Error {
	if !validName(d.Family) {
		return refuse(codeClient, "Family %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", d.Family)
	}
	if len(d.Containers) == 0 {
		return refuse(codeClient, "Container list cannot be empty.")
	}
	if len(d.Containers) > maxContainers {
		return refuse(codeClient, "containerDefinitions has %d containers: at most %d are allowed.", len(d.Containers), maxContainers)
	}
	if d.CPU < 0 || d.Memory < 0 {
		return refuse(codeClient, "cpu (%d) and memory (%d) of the task cannot be negative.", d.CPU, d.Memory)
	}
	names := map[string]bool{}
	essential := false
	for i := range d.Containers {
		if refusal := checkContainer(d, &d.Containers[i]); refusal != nil {
			return refusal
		}
		name := d.Containers[i].Name
		if names[name] {
			return refuse(codeClient, "Container.name %q is used by more than one container.", name)
		}
		names[name] = true
		essential = essential || d.Containers[i].Essential
	}
	if !essential {
		return refuse(codeClient, "A task definition must have at least one essential container.")
	}
	ports := d.fixedPorts()
	for i := 1; i < len(ports); i++ {
		if ports[i] == ports[i-1] {
			return refuse(codeClient, "Host port %d is mapped more than once.", ports[i])
		}
	}
	if refusal := checkVolumes(d); refusal != nil {
		return refusal
	}
	return checkOrder(d)
}

func checkContainer(d *TaskDefinition, c *ContainerDefinition) *Error {
	if !validName(c.Name) {
		return refuse(codeClient, "Container.name %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", c.Name)
	}
	if c.CPU < 0 || c.Memory < 0 || c.MemoryReservation < 0 {
		return refuse(codeClient, "Invalid setting for container '%s': cpu (%d), memory (%d) and memoryReservation (%d) cannot be negative.", c.Name, c.CPU, c.Memory, c.MemoryReservation)
	}
	if d.Memory == 0 && c.Memory == 0 && c.MemoryReservation == 0 {
		return refuse(codeClient, "Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", c.Name)
	}
	if c.Memory > 0 && c.MemoryReservation > c.Memory {
		return refuse(codeClient, "Invalid setting for container '%s'. The value for 'memoryReservation' (%d) must not exceed 'memory' (%d).", c.Name, c.MemoryReservation, c.Memory)
	}
	for _, p := range c.PortMappings {
		if p.ContainerPort < 0 || p.ContainerPort > 65535 || p.HostPort < 0 || p.HostPort > 65535 {
			return refuse(codeClient, "Invalid setting for container '%s': container port %d and host port %d have to be from 0 to 65535.", c.Name, p.ContainerPort, p.HostPort)
		}
		if d.NetworkMode == "host" && p.HostPort != 0 && p.HostPort != p.ContainerPort {
			return refuse(codeClient, "When networkMode=host, the host ports and container ports in port mappings must match: container '%s' maps %d to %d.", c.Name, p.ContainerPort, p.HostPort)
		}
	}
	if len(c.PortMappings) > 0 && d.NetworkMode == "none" {
		return refuse(codeClient, "Invalid setting for container '%s'. portMappings are not allowed when networkMode=none.", c.Name)
	}
	return checkSetting(d, c)
}

// essential tells whether a container ends the task when it ends.
func (d *TaskDefinition) essential(container string) bool {
	for i := range d.Containers {
		if d.Containers[i].Name == container {
			return d.Containers[i].Essential
		}
	}
	return false
}

// hostPort is the host port that a mapping is fixed to; 0 is dynamic. With the
// host's network the container port is the host port.
func (d *TaskDefinition) hostPort(p PortMapping) int {
	if p.HostPort == 0 && d.NetworkMode == "host" {
		return p.ContainerPort
	}
	return p.HostPort
}

// fixedPorts are the fixed host ports of all containers, sorted.
func (d *TaskDefinition) fixedPorts() []int {
	var ports []int
	for _, c := range d.Containers {
		for _, p := range c.PortMappings {
			if port := d.hostPort(p); port > 0 {
				ports = append(ports, port)
			}
		}
	}
	slices.Sort(ports)
	return ports
}

// findDefinition finds a definition by family (the latest ACTIVE revision),
// family:revision or ARN; nil if there is none.
func (m *Machine) findDefinition(ref string) *definition {
	name, revision, numbered := strings.Cut(named(ref), ":")
	f := m.families[name]
	if f == nil {
		return nil
	}
	if !numbered {
		for _, d := range slices.Backward(f.revisions) {
			if d.Status == statusActive {
				return d
			}
		}
		return nil
	}
	n, err := strconv.Atoi(revision)
	if err != nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(f.revisions, n, func(d *definition, n int) int {
		return cmp.Compare(d.Revision, n)
	})
	if !found {
		return nil
	}
	return f.revisions[i]
}

// usable finds a definition that new tasks may be made from.
func (m *Machine) usable(ref string) (*definition, *Error) {
	if ref == "" {
		return nil, refuse(codeInvalid, "TaskDefinition can not be blank.")
	}
	d := m.findDefinition(ref)
	if d == nil || !means(ref, d.ARN) {
		if strings.Contains(named(ref), ":") {
			return nil, refuse(codeClient, "Unable to describe task definition.")
		}
		return nil, refuse(codeClient, "TaskDefinition not found.")
	}
	if d.Status != statusActive {
		return nil, refuse(codeClient, "TaskDefinition is inactive")
	}
	return d, nil
}

func (m *Machine) sortedFamilies() []*family {
	return slices.SortedFunc(maps.Values(m.families), func(a, b *family) int {
		return cmp.Compare(a.name, b.name)
	})
}
