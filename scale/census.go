package scale

import (
	"cmp"
	"slices"

	"plimsoll"
)

// host is a container instance in one pass.
type host struct {
	instance *plimsoll.ContainerInstance
	zone     int32
	open     bool
	// empty is what is free now, and free is that less what starts in this pass.
	empty, free plimsoll.Resources
	// guard is the largest in each dimension of the tasks that a place on this
	// host is kept for.
	guard plimsoll.Resources
	// freeing is the newest of the host's tasks that are about to go, an index
	// into room.departures, or noDeparture.
	freeing int32
}

// newPass counts the cluster: who runs what, where, and what is free.
func newPass(in *Input) *pass {
	p := &pass{
		in: in, now: in.Now,
		services: make([]service, 0, max(len(in.Policies), len(in.Cluster.Services))),
		byName:   make(map[string]int32, len(in.Policies)+len(in.Cluster.Services)),
	}
	for i := range in.Policies {
		policy := &in.Policies[i]
		p.byName[policy.Service] = p.admit(policy.Service)
		s := &p.services[i]
		s.policy = policy
		s.size = policy.Reserved
		s.was = in.Memory.Services[policy.Service]
		s.over = in.Overrides[policy.Service]
		s.fixed = s.over.Paused
	}
	for i := range in.Cluster.Services {
		state := &in.Cluster.Services[i]
		index, known := p.byName[state.Name]
		if !known {
			index = p.admit(state.Name)
			p.byName[state.Name] = index
			p.services[index].fixed = true
		}
		s := &p.services[index]
		s.state = state
		if !state.Reserved.IsZero() {
			s.size = state.Reserved
		}
		s.ports = state.Ports
	}
	p.rank()
	owners := p.countHosts()
	p.countTasks(owners)
	return p
}

// admit adds a service to the pass.
func (p *pass) admit(name string) int32 {
	index := int32(len(p.services))
	p.services = append(p.services, service{index: index, name: name})
	return index
}

// rank orders the services: by priority, and those that take the remainder
// after all others; equals in the file's order.
func (p *pass) rank() {
	p.ranked = make([]int32, len(p.in.Policies))
	for i := range p.ranked {
		p.ranked[i] = int32(i)
	}
	slices.SortFunc(p.ranked, func(a, b int32) int {
		return cmp.Or(p.services[a].compareRank(&p.services[b]), cmp.Compare(a, b))
	})
	for k, i := range p.ranked {
		s := &p.services[i]
		if k == 0 || s.compareRank(&p.services[p.ranked[k-1]]) != 0 {
			p.classes = append(p.classes, int32(k))
		}
		s.class, s.position = int32(len(p.classes)-1), int32(k)
	}
	p.classes = append(p.classes, int32(len(p.ranked)))
	p.tail = len(p.ranked)
}

// compareRank is negative if s goes before o.
func (s *service) compareRank(o *service) int {
	if s.policy.Remainder != o.policy.Remainder {
		if o.policy.Remainder {
			return -1
		}
		return 1
	}
	return cmp.Compare(s.policy.Priority, o.policy.Priority)
}

// countHosts indexes the hosts; the result finds one by its ARN.
func (p *pass) countHosts() map[string]int32 {
	instances := p.in.Cluster.Instances
	if len(instances) == 0 && p.in.Budget != nil {
		// All that is not on its way to a place of its own holds a part of it.
		p.budgeted = true
		instances = []plimsoll.ContainerInstance{{
			ARN: "budget", Status: plimsoll.InstanceActive, Connected: true,
			Registered: *p.in.Budget, Remaining: *p.in.Budget,
		}}
	}
	p.hosts = make([]host, len(instances))
	byARN := make(map[string]int32, len(instances))
	for i := range instances {
		instance := &instances[i]
		zone := slices.Index(p.zones, instance.Zone)
		if zone < 0 {
			zone = len(p.zones)
			p.zones = append(p.zones, instance.Zone)
		}
		p.hosts[i] = host{
			instance: instance, zone: int32(zone), open: instance.Schedulable(),
			free: instance.Remaining, freeing: noDeparture,
		}
		byARN[instance.ARN] = int32(i)
	}
	return byARN
}

// countTasks counts each service's tasks and lists those that have a host, and
// takes care that nothing counts as free that a task holds: the list of tasks
// and the hosts' own figures may have been read at different moments.
func (p *pass) countTasks(byARN map[string]int32) {
	tasks := p.in.Cluster.Tasks
	p.hostOf = make([]int32, len(tasks))
	p.ownerOf = make([]int32, len(tasks))
	p.placed = make([]int32, 0, len(tasks))
	used := make([]plimsoll.Resources, len(p.hosts))
	starts := make([]int32, len(p.services)+1)
	for i := range tasks {
		t := &tasks[i]
		p.hostOf[i], p.ownerOf[i] = noHost, noService
		if !t.Live() {
			continue
		}
		h, ok := byARN[t.ContainerInstance]
		if p.budgeted {
			h, ok = 0, true
		}
		if ok {
			p.hostOf[i] = h
			used[h] = used[h].Add(t.Reserved)
			if len(t.Ports) > 0 {
				if p.ports == nil {
					p.ports = map[int32][]int{}
				}
				p.ports[h] = append(p.ports[h], t.Ports...)
			}
		}
		if index, ok := p.byName[t.Service]; ok && t.Service != "" {
			p.ownerOf[i] = index
		}
		switch {
		case t.Leaving():
			p.leaving = append(p.leaving, int32(i))
		case p.ownerOf[i] != noService && p.countTask(&p.services[p.ownerOf[i]], t):
			if p.displaces(i) {
				p.services[p.ownerOf[i]].displaced++
			} else {
				p.placed = append(p.placed, int32(i))
				starts[p.ownerOf[i]+1]++
			}
		}
	}
	for i := range p.hosts {
		h := &p.hosts[i]
		if registered := h.instance.Registered; !registered.IsZero() {
			h.free = h.free.Least(registered.Sub(used[i]))
		}
		h.empty = h.free
	}
	p.listTasks(starts)
}

// listTasks gives each service the list of its tasks that have a host, all in
// one allocation. starts has each service's count, one place further on.
func (p *pass) listTasks(starts []int32) {
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	list := make([]int32, starts[len(starts)-1])
	for i := range p.services {
		p.services[i].tasks = list[starts[i]:starts[i]:starts[i+1]]
	}
	for _, i := range p.placed {
		s := &p.services[p.ownerOf[i]]
		s.tasks = append(s.tasks, i)
	}
}

// displaces tells whether a task's host is draining, so that the platform is
// replacing the task elsewhere. A host that the snapshot does not show counts as one:
// it has gone, or come, between the reading of the hosts and that of the tasks.
func (p *pass) displaces(task int) bool {
	h := p.hostOf[task]
	return h == noHost || p.hosts[h].instance.Status == plimsoll.InstanceDraining
}

// warmsUp tells whether a task that runs is still too new to count as one that
// does.
func (p *pass) warmsUp(s *service, t *plimsoll.Task) bool {
	if s.policy == nil || s.policy.Behavior.Warmup <= 0 || t.StartedAt.IsZero() {
		return false
	}
	end := t.StartedAt.Add(s.policy.Behavior.Warmup)
	p.by(end)
	return p.now.Before(end)
}

// countTask counts a task that is not leaving; it tells whether the task has a
// host.
func (p *pass) countTask(s *service, t *plimsoll.Task) bool {
	placed := t.ContainerInstance != "" || p.budgeted
	switch {
	case t.Serving() && !p.warmsUp(s, t):
		s.running++
	case placed || t.Serving():
		s.starting++
	default:
		s.unplaced++
	}
	if t.Protected {
		s.protected++
	}
	if t.LastStatus == plimsoll.StatusRunning && !placed {
		s.hostless = true
	}
	return placed
}
