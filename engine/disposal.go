package engine

import (
	"cmp"
	"maps"
	"slices"
)

// statusDeleting is of a task definition that goes when nothing refers to it.
const statusDeleting = "DELETE_IN_PROGRESS"

// deleteTaskDefinitions deletes INACTIVE definitions. A definition that tasks or
// services still refer to is kept until they are gone; the last revision of a
// family is kept for good, so that its number is never given again.
func (m *Machine) deleteTaskDefinitions(c DeleteTaskDefinitions) (*DefinitionsResult, *Error) {
	if n := len(c.TaskDefinitions); n < 1 || n > 10 {
		return nil, refuse(codeInvalid, "taskDefinitions has %d items: 1 to 10 are allowed.", n)
	}
	result := &DefinitionsResult{}
	for _, ref := range c.TaskDefinitions {
		d := m.findDefinition(ref)
		switch {
		case d == nil || !means(ref, d.ARN):
			result.Failures = append(result.Failures, Failure{ARN: m.definitionARN(ref), Reason: reasonMissing,
				Detail: "The specified task definition does not exist. Specify a valid account, family, revision and try again."})
			continue
		case d.Status == statusActive:
			result.Failures = append(result.Failures, Failure{ARN: d.ARN, Reason: "NOT_INACTIVE",
				Detail: "The task definition is ACTIVE: deregister it first."})
			continue
		case d.Status == statusInactive:
			changed := *d.TaskDefinition
			changed.Status = statusDeleting
			d.TaskDefinition = &changed
			m.redefine(d)
			m.doomed = append(m.doomed, d)
		}
		result.Definitions = append(result.Definitions, d.TaskDefinition)
	}
	m.disposal = true
	return result, nil
}

func (m *Machine) definitionARN(ref string) string { return m.arn("task-definition", named(ref)) }

// dispose takes the deleted definitions out of the state that nothing refers to
// any more. It looks only when something has been forgotten.
func (m *Machine) dispose() {
	if !m.disposal {
		return
	}
	m.disposal = false
	if len(m.doomed) == 0 {
		return
	}
	used := m.definitionsInUse()
	m.doomed = slices.DeleteFunc(m.doomed, func(d *definition) bool {
		f := m.families[d.Family]
		if used[d.ARN] || f.revisions[len(f.revisions)-1] == d {
			return false
		}
		f.revisions = slices.DeleteFunc(f.revisions, func(o *definition) bool { return o == d })
		m.changed.gone = append(m.changed.gone, definitionKey(d.TaskDefinition))
		return true
	})
}

// definitionsInUse are the ARNs of the definitions that a task or a service
// refers to.
func (m *Machine) definitionsInUse() map[string]bool {
	used := map[string]bool{}
	for _, t := range m.tasks {
		used[t.TaskDefinition] = true
	}
	for _, c := range m.clusters {
		for _, s := range c.services {
			used[s.TaskDefinition] = true
			for _, d := range s.Deployments {
				used[d.TaskDefinition] = true
			}
		}
	}
	return used
}

// definition is a revision of a family; nil if there is none.
func (m *Machine) definition(name string, revision int) *definition {
	f := m.families[name]
	if f == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(f.revisions, revision, func(d *definition, n int) int {
		return cmp.Compare(d.Revision, n)
	})
	if !found {
		return nil
	}
	return f.revisions[i]
}

// deleteCluster takes an empty cluster out of the state, with what it still
// remembers of stopped tasks and deleted services.
func (m *Machine) deleteCluster(c DeleteCluster) (*Cluster, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if len(home.instances) > 0 {
		return nil, refuse(codeHasInstances, "The Cluster cannot be deleted while Container Instances are active or draining.")
	}
	for _, s := range home.services {
		if s.Status != statusInactive {
			return nil, refuse(codeHasServices, "The Cluster cannot be deleted while Services are active.")
		}
	}
	if len(home.live()) > 0 {
		return nil, refuse(codeHasTasks, "The Cluster cannot be deleted while Tasks are active.")
	}
	for _, t := range slices.Clone(home.tasks) {
		m.forgetTask(t)
	}
	m.stopped = slices.DeleteFunc(m.stopped, func(t *task) bool { return t.home == home })
	for _, name := range sortedKeys(home.services) {
		m.forgetService(home.services[name])
	}
	// All of it goes before the cluster's own record, and before another of its
	// name may come.
	m.changed.left = append(append(m.changed.left, m.changed.gone...), clusterKey(home.Cluster))
	m.changed.gone = nil
	delete(m.clusters, home.Name)
	ended := *home.Cluster
	ended.Status = statusInactive
	m.notify(Notice{Kind: "cluster", ARN: ended.ARN, LastStatus: ended.Status})
	return &ended, nil
}

// editCluster changes a cluster.
func (m *Machine) editCluster(home *cluster, change func(*Cluster)) {
	changed := *home.Cluster
	changed.Tags = maps.Clone(changed.Tags)
	change(&changed)
	home.Cluster = &changed
	if !home.dirty {
		home.dirty = true
		m.changed.clusters = append(m.changed.clusters, home)
	}
}
