package engine

import (
	"encoding/json"
	"fmt"

	"plimsoll"
)

// changes are the entities that a step has changed, each once, in the order of
// their first change.
type changes struct {
	identity    bool
	clusters    []*cluster
	definitions []*definition
	providers   []string // by name
	settings    []string // by key
	groups      []string // by name
	instances   []*instance
	services    []*service
	tasks       []*task
	events      []eventRecord
	// left are the keys of services and clusters that are gone: another of the
	// same name may be made in the same step. gone are those of the rest.
	left, gone []string
}

// eventRecord is a service's event as it is kept. The newest hundred of a
// service have a key each, so that an event costs its own length.
type eventRecord struct {
	Cluster, Service string
	ServiceEvent
}

const identityKey = "identity"

func groupKey(name string) string    { return "group/" + name }
func providerKey(name string) string { return "provider/" + name }
func clusterKey(c *Cluster) string   { return "cluster/" + c.Name }
func definitionKey(d *TaskDefinition) string {
	return fmt.Sprintf("definition/%s:%d", d.Family, d.Revision)
}
func instanceKey(i *ContainerInstance) string {
	return "instance/" + i.Cluster + "/" + plimsoll.ARNName(i.ARN)
}
func serviceKey(s *Service) string { return "service/" + s.Cluster + "/" + s.Name }
func taskKey(t *Task) string       { return "task/" + t.ID }
func eventKey(cluster, service string, seq uint64) string {
	return fmt.Sprintf("event/%s/%s/%d", cluster, service, seq%keptEvents)
}

// record turns the step's changes into records and notices. An entity comes
// after those that it refers to, and goes before them, so that a state of which
// only the first records are known is whole.
func (m *Machine) record() {
	ch := m.changed
	m.changed = changes{}
	if ch.identity {
		m.put(identityKey, m.ids)
	}
	for _, key := range ch.left {
		m.drop(key)
	}
	for _, name := range ch.providers {
		if p := m.providers[name]; p != nil {
			m.put(providerKey(name), p)
		} else {
			m.drop(providerKey(name))
		}
	}
	for _, name := range ch.groups {
		if g := m.groups[name]; g != nil {
			m.put(groupKey(name), g)
		} else {
			m.drop(groupKey(name))
		}
	}
	for _, key := range ch.settings {
		if s := m.settings[key]; s != nil {
			m.put(key, s)
		} else {
			m.drop(key)
		}
	}
	for _, c := range ch.clusters {
		c.dirty = false
		if m.clusters[c.Name] != c {
			continue // it has been deleted
		}
		m.put(clusterKey(c.Cluster), c.Cluster)
		m.notify(Notice{Kind: "cluster", ARN: c.ARN, LastStatus: c.Status})
	}
	for _, d := range ch.definitions {
		d.dirty = false
		if m.definition(d.Family, d.Revision) != d {
			continue // it has been deleted
		}
		m.put(definitionKey(d.TaskDefinition), d.TaskDefinition)
	}
	for _, i := range ch.instances {
		i.dirty = false
		if i.home.byARN[i.ARN] != i {
			continue // it has left
		}
		m.put(instanceKey(i.ContainerInstance), i.ContainerInstance)
		m.notify(Notice{Kind: "container-instance", ARN: i.ARN, LastStatus: i.Status})
	}
	for _, s := range ch.services {
		s.dirty = false
		if s.home.services[s.Name] != s {
			continue // it has been forgotten
		}
		m.put(serviceKey(s.Service), s.Service)
		m.notify(Notice{Kind: "service", ARN: s.ARN, Service: s.Name, LastStatus: s.Status})
	}
	for _, t := range ch.tasks {
		t.dirty = false
		if m.tasks[t.ID] != t {
			continue // it has been forgotten
		}
		m.put(taskKey(t.Task), t.Task)
		m.notify(Notice{Kind: "task", ARN: t.ARN, Service: t.Service, LastStatus: string(t.LastStatus), Message: t.StoppedReason})
	}
	for _, e := range ch.events {
		if c := m.clusters[e.Cluster]; c != nil && c.services[e.Service] != nil {
			m.put(eventKey(e.Cluster, e.Service, e.Seq), e)
		}
	}
	for _, key := range ch.gone {
		m.drop(key)
	}
}

func (m *Machine) put(key string, entity any) {
	value, err := json.Marshal(entity)
	if err != nil {
		// Entities are plain values; one that cannot be written is a fault in
		// this package, and going on would lose it without a word.
		panic(fmt.Sprintf("engine: record %q: %v", key, err))
	}
	m.fx.Records = append(m.fx.Records, Record{Key: key, Value: value})
}

func (m *Machine) drop(key string) {
	m.fx.Records = append(m.fx.Records, Record{Key: key})
}

func (m *Machine) notify(n Notice) {
	n.At = m.now
	m.fx.Notices = append(m.fx.Notices, n)
}
