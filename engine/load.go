package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"plimsoll"
	"plimsoll/place"
)

// loading is what Load has brought, before it is put together.
type loading struct {
	clusters    []*Cluster
	definitions []*TaskDefinition
	instances   []*ContainerInstance
	services    []*Service
	tasks       []*Task
	events      []eventRecord
}

// Load takes one record of the durable state: the latest value of a key. It is
// called before the first Step, with each key at most once, in any order; the
// state can be read after Specs or Step has been called.
func (m *Machine) Load(key string, value []byte) error {
	l := m.loading
	if l == nil {
		return fmt.Errorf("load record %q: the machine has begun; records are loaded before the first step", key)
	}
	if value == nil {
		return nil
	}
	kind, _, _ := strings.Cut(key, "/")
	var err error
	switch kind {
	case identityKey:
		err = json.Unmarshal(value, &m.ids)
		m.ids.next = m.ids.Ceiling
	case "provider":
		p := &CapacityProvider{}
		err = json.Unmarshal(value, p)
		m.providers[p.Name] = p
	case "group":
		g := &Group{}
		err = json.Unmarshal(value, g)
		m.buildGroup(g)
	case "setting":
		s := &Setting{}
		err = json.Unmarshal(value, s)
		m.settings[key] = s
	case "cluster":
		l.clusters, err = decode(l.clusters, value)
	case "definition":
		l.definitions, err = decode(l.definitions, value)
	case "instance":
		l.instances, err = decode(l.instances, value)
	case "service":
		l.services, err = decode(l.services, value)
	case "task":
		l.tasks, err = decode(l.tasks, value)
	case "event":
		var e eventRecord
		err = json.Unmarshal(value, &e)
		l.events = append(l.events, e)
	default:
		return fmt.Errorf("load record %q: %q is no kind of record that this version knows (cluster, definition, event, group, identity, instance, provider, service, setting, task): the state is of a newer version or of another program", key, kind)
	}
	if err != nil {
		return fmt.Errorf("load record %q: %w", key, err)
	}
	return nil
}

func decode[T any](list []*T, value []byte) ([]*T, error) {
	entity := new(T)
	if err := json.Unmarshal(value, entity); err != nil {
		return list, err
	}
	return append(list, entity), nil
}

// build puts the loaded records together, once.
func (m *Machine) build() {
	l := m.loading
	if l == nil {
		return
	}
	m.loading = nil
	for _, c := range l.clusters {
		m.clusters[c.Name] = newCluster(c)
	}
	m.buildDefinitions(l.definitions)
	m.buildInstances(l.instances)
	m.buildServices(l.services, l.events)
	slices.SortFunc(l.tasks, func(a, b *Task) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, t := range l.tasks {
		m.buildTask(t)
	}
	slices.SortFunc(m.stopped, byStop)
	for _, c := range m.sortedClusters() {
		for _, name := range sortedKeys(c.services) {
			m.buildSteady(c.services[name])
		}
		m.makeRoom(c, true, nil)
	}
}

func (m *Machine) buildDefinitions(list []*TaskDefinition) {
	slices.SortFunc(list, func(a, b *TaskDefinition) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, d := range list {
		f := m.families[d.Family]
		if f == nil {
			f = &family{name: d.Family}
			m.families[d.Family] = f
		}
		made := &definition{TaskDefinition: d}
		f.revisions = append(f.revisions, made)
		if d.Status == statusDeleting {
			m.doomed, m.disposal = append(m.doomed, made), true
		}
	}
}

func (m *Machine) buildInstances(list []*ContainerInstance) {
	slices.SortFunc(list, func(a, b *ContainerInstance) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range list {
		home := m.clusters[e.Cluster]
		if home == nil {
			continue
		}
		i := &instance{ContainerInstance: e, home: home}
		home.instances = append(home.instances, i)
		home.byARN[i.ARN] = i
		home.fleet.Add(place.Host{ID: i.ARN, Zone: i.Zone, Free: i.Registered, Closed: i.draining(), Ports: i.ReservedPorts})
	}
}

func (m *Machine) buildServices(list []*Service, events []eventRecord) {
	for _, e := range list {
		if home := m.clusters[e.Cluster]; home != nil {
			home.services[e.Name] = newService(home, e)
		}
	}
	slices.SortFunc(events, func(a, b eventRecord) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, e := range events {
		home := m.clusters[e.Cluster]
		if home == nil || home.services[e.Service] == nil {
			continue
		}
		s := home.services[e.Service]
		s.events = max(s.events, e.Seq)
		s.Events = append(s.Events, e.ServiceEvent)
	}
}

// buildTask puts a task into the indexes, and has a task that was to be
// started, drained or stopped looked at again.
func (m *Machine) buildTask(e *Task) {
	home := m.clusters[e.Cluster]
	def := m.findDefinition(e.TaskDefinition)
	if home == nil || def == nil {
		return
	}
	t := &task{Task: e, home: home, def: def}
	m.tasks[t.ID] = t
	home.tasks = append(home.tasks, t)
	if t.ClientToken != "" {
		home.byToken[t.ClientToken] = append(home.byToken[t.ClientToken], t)
	}
	if s := home.services[t.Service]; t.Excused && s != nil {
		s.addExcused(t)
		m.watchExcused(t)
	}
	if !t.alive() {
		m.stopped = append(m.stopped, t)
		return
	}
	if s := home.services[t.Service]; t.Service != "" && s != nil && len(s.Deployments) > 0 {
		t.svc = s
		s.tasks = append(s.tasks, t)
		if t.LastStatus == plimsoll.StatusProvisioning {
			s.waiting = append(s.waiting, t)
			home.lines[s] = true
		}
		m.watchProtection(t)
	}
	if i := home.byARN[t.ContainerInstance]; i != nil {
		t.host, t.unproven = i, true
		i.host(t)
		m.reserve(t)
	}
	m.recount(t)
	if t.LastStatus == plimsoll.StatusDeactivating {
		m.after(t.DrainUntil, func() { m.drained(t.ID) })
	}
}

// buildSteady sets what a service has in memory only.
func (m *Machine) buildSteady(s *service) {
	switch s.Status {
	case statusInactive:
		m.expire(s)
		return
	case statusActive:
		s.steady = s.settled()
		m.retryLater(s)
		for _, l := range s.Leaves {
			m.watchLeaves(s, l.Until)
		}
		for _, t := range s.tasks {
			if t.LastStatus == plimsoll.StatusRunning {
				m.watchRun(t)
				m.watchHealthy(t)
			}
		}
	}
	m.unsettle(s)
}
