package scale_test

import (
	"fmt"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/place"
	"plimsoll/scale"
)

// model is a tiny platform for runs of many decisions: tasks take time to start
// and to stop, and it is the platform that chooses which of them stop.
type model struct {
	in    scale.Input
	plan  scale.Plan
	dice  func(n int) int // 0 to n-1
	blind bool            // stops at random, and places in a random order
	even  bool            // stops on the host that has most tasks of the service
	tasks []*modelTask
	next  int
	slow  int // the most ticks that a start or a stop takes
}

type modelTask struct {
	plimsoll.Task
	left int // ticks until the next state
}

func (m *model) policy(name string) *scale.Policy {
	for i := range m.in.Policies {
		if m.in.Policies[i].Service == name {
			return &m.in.Policies[i]
		}
	}
	return nil
}

func (m *model) service(name string) *plimsoll.Service {
	for i := range m.in.Cluster.Services {
		if m.in.Cluster.Services[i].Name == name {
			return &m.in.Cluster.Services[i]
		}
	}
	return nil
}

// staying are the service's tasks that are not leaving, without those on hosts
// that are draining.
func (m *model) staying(service string) []*modelTask {
	var list []*modelTask
	for _, t := range m.tasks {
		if t.Service == service && t.Live() && !t.Leaving() && !m.draining(t.ContainerInstance) {
			list = append(list, t)
		}
	}
	return list
}

func (m *model) draining(host string) bool {
	return slices.ContainsFunc(m.in.Cluster.Instances, func(c plimsoll.ContainerInstance) bool {
		return c.ARN == host && c.Status == plimsoll.InstanceDraining
	})
}

// replace stops what runs on draining hosts when its replacements run.
func (m *model) replace(s *plimsoll.Service) {
	running := 0
	for _, t := range m.staying(s.Name) {
		if t.Serving() {
			running++
		}
	}
	for _, t := range m.tasks {
		if t.Service == s.Name && !t.Protected && !t.Leaving() && running >= s.Desired && m.draining(t.ContainerInstance) {
			t.DesiredStatus, t.LastStatus, t.left = plimsoll.StatusStopped, plimsoll.StatusStopping, m.dice(m.slow+1)
		}
	}
}

// add gives the service a task that waits for a host.
func (m *model) add(service string, size plimsoll.Resources) *modelTask {
	m.next++
	t := &modelTask{Task: plimsoll.Task{
		ARN: fmt.Sprintf("task/model/%05d", m.next), Service: service, Reserved: size,
		LastStatus: plimsoll.StatusProvisioning, DesiredStatus: plimsoll.StatusRunning,
		CreatedAt: m.in.Now.Add(time.Duration(m.next) * time.Millisecond),
	}}
	m.tasks = append(m.tasks, t)
	return t
}

// fleet is what is really free.
func (m *model) fleet() *place.Fleet {
	hosts := make([]place.Host, len(m.in.Cluster.Instances))
	for i, c := range m.in.Cluster.Instances {
		hosts[i] = place.Host{ID: c.ARN, Zone: c.Zone, Free: c.Registered, Closed: !c.Schedulable()}
	}
	f := place.NewFleet(hosts)
	for _, t := range m.tasks {
		if t.Live() && t.ContainerInstance != "" {
			_ = f.Reserve(t.ContainerInstance, place.Request{Group: t.Service, Reserved: t.Reserved})
		}
	}
	return f
}

// tick lets the platform do what it was asked for, and time pass.
func (m *model) tick() {
	m.in.Now = m.in.Now.Add(time.Second)
	for _, t := range m.tasks {
		if t.left > 0 {
			t.left--
			continue
		}
		switch {
		case t.Leaving():
			t.LastStatus = plimsoll.StatusStopped
		case t.LastStatus == plimsoll.StatusPending:
			t.LastStatus = plimsoll.StatusRunning
		}
	}
	m.tasks = slices.DeleteFunc(m.tasks, func(t *modelTask) bool { return !t.Live() })
	for i := range m.in.Cluster.Services {
		m.reconcile(&m.in.Cluster.Services[i])
	}
	m.placeAll()
	m.snapshot()
}

// reconcile asks tasks to stop or makes new ones until the count is as desired.
func (m *model) reconcile(s *plimsoll.Service) {
	m.replace(s)
	staying := m.staying(s.Name)
	for n := len(staying); n < s.Desired; n++ {
		m.add(s.Name, s.Reserved)
	}
	for n := len(staying); n > s.Desired; n-- {
		t := m.choose(staying)
		if t == nil {
			return
		}
		t.DesiredStatus = plimsoll.StatusStopped
		if t.ContainerInstance == "" {
			t.LastStatus = plimsoll.StatusStopped
		} else {
			t.LastStatus = plimsoll.StatusStopping
			t.left = m.dice(m.slow + 1)
		}
		staying = slices.DeleteFunc(staying, func(o *modelTask) bool { return o == t })
	}
}

// choose picks the task to stop: one that waits for a host, then one at random,
// or the youngest of the zone with the most.
func (m *model) choose(staying []*modelTask) *modelTask {
	var list []*modelTask
	zones, hosts := map[string]int{}, map[string]int{}
	for _, t := range staying {
		hosts[t.ContainerInstance]++
		if t.ContainerInstance == "" {
			return t
		}
		zones[t.Zone]++
		if !t.Protected {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	if m.blind {
		return list[m.dice(len(list))]
	}
	if m.even {
		return slices.MaxFunc(list, func(a, b *modelTask) int {
			return hosts[a.ContainerInstance] - hosts[b.ContainerInstance]
		})
	}
	return slices.MaxFunc(list, func(a, b *modelTask) int {
		if zones[a.Zone] != zones[b.Zone] {
			return zones[a.Zone] - zones[b.Zone]
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
}

// placeAll puts waiting tasks on hosts, in order of priority or at random.
func (m *model) placeAll() {
	f := m.fleet()
	var waiting []*modelTask
	for _, t := range m.tasks {
		if t.Live() && !t.Leaving() && t.ContainerInstance == "" {
			waiting = append(waiting, t)
		}
	}
	if m.blind {
		for i := len(waiting) - 1; i > 0; i-- {
			j := m.dice(i + 1)
			waiting[i], waiting[j] = waiting[j], waiting[i]
		}
	} else {
		slices.SortStableFunc(waiting, func(a, b *modelTask) int {
			return m.policy(a.Service).Priority - m.policy(b.Service).Priority
		})
	}
	for _, t := range waiting {
		r := place.Request{Group: t.Service, Reserved: t.Reserved}
		if id, ok := f.Pick(r); ok {
			_ = f.Reserve(id, r)
			t.ContainerInstance, t.Zone = id, m.zone(id)
			t.LastStatus, t.left = plimsoll.StatusPending, m.dice(m.slow+1)
		}
	}
}

func (m *model) zone(id string) string {
	for _, c := range m.in.Cluster.Instances {
		if c.ARN == id {
			return c.Zone
		}
	}
	return ""
}

// snapshot writes the cluster into the input of the next decision.
func (m *model) snapshot() {
	c := &m.in.Cluster
	c.At = m.in.Now
	f := m.fleet()
	for i := range c.Instances {
		c.Instances[i].Remaining = f.Free(c.Instances[i].ARN)
	}
	c.Tasks = c.Tasks[:0:0]
	for i := range c.Services {
		c.Services[i].Running, c.Services[i].Pending = 0, 0
	}
	for _, t := range m.tasks {
		c.Tasks = append(c.Tasks, t.Task)
		if s := m.service(t.Service); s != nil && !t.Leaving() {
			if t.Serving() {
				s.Running++
			} else {
				s.Pending++
			}
		}
	}
}

// decide makes a plan and keeps its memory; apply carries it out.
func (m *model) decide() scale.Plan {
	m.plan = scale.Decide(m.in)
	m.in.Memory = m.plan.Memory
	return m.plan
}

func (m *model) apply() {
	for _, c := range m.plan.Changes {
		m.service(c.Service).Desired = c.To
	}
}

// demand sets a service's one reading.
func (m *model) demand(service string, v float64) {
	m.in.Readings[service] = []scale.Reading{{Known: true, Value: v, At: m.in.Now}}
}

// placeRequest is one task of the service.
func placeRequest(m *model, service string) place.Request {
	return place.Request{Group: service, Reserved: m.service(service).Reserved}
}
