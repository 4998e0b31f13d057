package engine

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sort"

	"plimsoll"
)

var _ View = (*Machine)(nil)

// Region is the region in every ARN.
func (m *Machine) Region() string { return m.cfg.Region }

// Account is the account in every ARN.
func (m *Machine) Account() string { return m.cfg.Account }

// Clusters are all clusters, by name.
func (m *Machine) Clusters() []*Cluster {
	list := make([]*Cluster, 0, len(m.clusters))
	for _, c := range m.sortedClusters() {
		list = append(list, c.Cluster)
	}
	return list
}

// Cluster finds a cluster by name or ARN; empty is "default".
func (m *Machine) Cluster(ref string) (*Cluster, bool) {
	if c := m.findCluster(ref); c != nil {
		return c.Cluster, true
	}
	return nil, false
}

// CapacityProviders are all capacity providers, by name.
func (m *Machine) CapacityProviders() []*CapacityProvider {
	list := make([]*CapacityProvider, 0, len(m.providers))
	for _, name := range sortedKeys(m.providers) {
		list = append(list, m.providers[name])
	}
	return list
}

// Settings are the account settings that have been set, by name and principal.
func (m *Machine) Settings() []*Setting {
	list := make([]*Setting, 0, len(m.settings))
	for _, key := range sortedKeys(m.settings) {
		list = append(list, m.settings[key])
	}
	return list
}

// TaskDefinitions are all definitions, INACTIVE ones too, by family and revision.
func (m *Machine) TaskDefinitions() []*TaskDefinition {
	var list []*TaskDefinition
	for _, f := range m.sortedFamilies() {
		for _, d := range f.revisions {
			list = append(list, d.TaskDefinition)
		}
	}
	return list
}

// TaskDefinition finds a definition by family (the latest ACTIVE revision),
// family:revision or ARN.
func (m *Machine) TaskDefinition(ref string) (*TaskDefinition, bool) {
	if d := m.findDefinition(ref); d != nil {
		return d.TaskDefinition, true
	}
	return nil, false
}

// Services are the services of a cluster, by name; INACTIVE ones too.
func (m *Machine) Services(cluster string) []*Service {
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	list := make([]*Service, 0, len(c.services))
	for _, name := range sortedKeys(c.services) {
		list = append(list, c.services[name].Service)
	}
	return list
}

// Service finds a service by name or ARN.
func (m *Machine) Service(cluster, ref string) (*Service, bool) {
	if s := m.lookService(cluster, ref); s != nil {
		return s.Service, true
	}
	return nil, false
}

func (m *Machine) lookService(cluster, ref string) *service {
	if cluster == "" {
		cluster = clusterOf(ref)
	}
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	return m.findService(c, ref)
}

// ServiceCounts are the tasks of a service that run, and that are on the way to
// running. Those that are about to stop count for neither.
func (m *Machine) ServiceCounts(cluster, service string) (running, pending int) {
	s := m.lookService(cluster, service)
	if s == nil {
		return 0, 0
	}
	return s.sum.running, s.sum.live - s.sum.running
}

// DeploymentCounts are the same of one of its deployments, by id.
func (m *Machine) DeploymentCounts(cluster, service, deployment string) (running, pending int) {
	s := m.lookService(cluster, service)
	if s == nil || s.perDeploy[deployment] == nil {
		return 0, 0
	}
	return s.perDeploy[deployment].running, s.perDeploy[deployment].pending
}

// Tasks are the tasks of a cluster in the order of their creation, stopped ones
// included while they are kept.
func (m *Machine) Tasks(cluster string) []*Task {
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	return entities(c.tasks)
}

// TasksAfter are the tasks of a cluster that were created after the one with a Seq
// (0: all), in the order of their creation, stopped ones included.
func (m *Machine) TasksAfter(cluster string, seq uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		c := m.findCluster(cluster)
		if c == nil {
			return
		}
		yieldAfter(c.tasks, seq, yield)
	}
}

// ServiceTasksAfter are those of a service that have not stopped.
func (m *Machine) ServiceTasksAfter(cluster, service string, seq uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		if s := m.lookService(cluster, service); s != nil {
			yieldAfter(s.tasks, seq, yield)
		}
	}
}

func yieldAfter(tasks []*task, seq uint64, yield func(*Task) bool) {
	first := sort.Search(len(tasks), func(i int) bool { return tasks[i].Seq > seq })
	for _, t := range tasks[first:] {
		if !yield(t.Task) {
			return
		}
	}
}

// ServiceTasks are the tasks of a service that have not stopped, in the order
// of their creation.
func (m *Machine) ServiceTasks(cluster, service string) []*Task {
	s := m.lookService(cluster, service)
	if s == nil {
		return nil
	}
	return entities(s.tasks)
}

func entities(tasks []*task) []*Task {
	list := make([]*Task, len(tasks))
	for i, t := range tasks {
		list[i] = t.Task
	}
	return list
}

// Task finds a task by id or ARN; an empty cluster is any.
func (m *Machine) Task(clusterRef, ref string) (*Task, bool) {
	var home *cluster
	if clusterRef != "" {
		if home = m.findCluster(clusterRef); home == nil {
			return nil, false
		}
	}
	if t := m.findTask(home, ref); t != nil {
		return t.Task, true
	}
	return nil, false
}

// Instances are the container instances of a cluster in the order of their
// registration.
func (m *Machine) Instances(cluster string) []*ContainerInstance {
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	list := make([]*ContainerInstance, len(c.instances))
	for n, i := range c.instances {
		list[n] = i.ContainerInstance
	}
	return list
}

// Instance finds a container instance by id or ARN.
func (m *Machine) Instance(cluster, ref string) (*ContainerInstance, bool) {
	if i := m.lookInstance(cluster, ref); i != nil {
		return i.ContainerInstance, true
	}
	return nil, false
}

func (m *Machine) lookInstance(cluster, ref string) *instance {
	if cluster == "" {
		cluster = clusterOf(ref)
	}
	c := m.findCluster(cluster)
	if c == nil {
		return nil
	}
	return m.findInstance(c, ref)
}

// Remaining is what is left of an instance; negative if it is overdrawn.
func (m *Machine) Remaining(instanceARN string) plimsoll.Resources {
	i := m.lookInstance("", instanceARN)
	if i == nil {
		return plimsoll.Resources{}
	}
	return i.home.fleet.Free(i.ARN)
}

// InstanceCounts are the tasks that are on an instance: those that run, to the
// end of their stop, and those that are being started.
func (m *Machine) InstanceCounts(instanceARN string) (running, pending int) {
	i := m.lookInstance("", instanceARN)
	if i == nil {
		return 0, 0
	}
	return i.running, i.pending
}

func sortedKeys[K cmp.Ordered, V any](byKey map[K]V) []K {
	return slices.Sorted(maps.Keys(byKey))
}
