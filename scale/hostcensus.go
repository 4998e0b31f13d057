package scale

import (
	"plimsoll"
	"plimsoll/place"
)

// crew is a service in one pass.
type crew struct {
	want  HostWant
	known bool // that is what it wants
	// daemon and keeps are the service's; staying are its tasks on hosts that
	// stay.
	daemon, keeps bool
	staying       int
}

// member is a container instance, with what the groups know of it.
type member struct {
	*plimsoll.ContainerInstance
	group *group // nil: of none
	plimsoll.GroupHost
	number int32              // its own in hosts, and in the berths
	tasks  []stowed           // not stopped, daemons' left out
	held   plimsoll.Resources // what they reserve
	ports  int                // host ports of theirs
	// movable is how many of them have to find a place elsewhere, moving what those
	// reserve.
	movable int
	moving  plimsoll.Resources
	daemons int
	// protected and keeps tell that a task of it is, or keeps its host.
	protected, keeps bool
	closed           bool // takes no tasks, or is to take none
}

// stowed is a task on a host.
type stowed struct {
	*plimsoll.Task
	crew    int32 // noCrew: a standalone task
	leaving bool
	moves   bool // it has to find a place elsewhere if the host goes
}

func (t *stowed) request() request {
	return request{Request: place.Request{Reserved: t.Reserved, Ports: t.Ports}, crew: t.crew}
}

// enlist gives a service its number.
func (p *hostPass) enlist(name string) int32 {
	number := int32(len(p.crews))
	want, known := p.in.Wants[name]
	p.crews = append(p.crews, crew{want: want, known: known})
	p.byName[name] = number
	return number
}

// gatherHosts puts hosts and groups together.
func (p *hostPass) gatherHosts() {
	type seat struct{ group, host int }
	p.groups = make([]group, len(p.in.Groups))
	known := map[string]seat{}
	if len(p.groups) == 1 {
		known = make(map[string]seat, len(p.in.Groups[0].Hosts))
	}
	for i := range p.in.Groups {
		g := &p.groups[i]
		*g = group{HostGroup: &p.in.Groups[i], desired: p.in.Groups[i].Desired}
		g.joined = make([]bool, len(g.Hosts))
		for n, t := range g.Types {
			if n == 0 {
				g.size = t.Resources
			}
			g.size, g.price = g.size.Least(t.Resources), max(g.price, t.Price)
		}
		g.size = g.size.Sub(p.daemons)
		for at := range g.Hosts {
			known[g.Hosts[at].InstanceID] = seat{i, at}
		}
	}
	p.hosts = make([]member, len(p.in.Cluster.Instances))
	for i := range p.in.Cluster.Instances {
		c := &p.in.Cluster.Instances[i]
		m := &p.hosts[i]
		m.ContainerInstance, m.number, m.closed = c, int32(i), !c.Schedulable()
		if at, ok := known[c.InstanceID]; ok {
			m.group = &p.groups[at.group]
			m.GroupHost = m.group.Hosts[at.host]
			if !m.Leaving {
				m.group.arrived++
				m.group.joined[at.host] = true
			}
		}
		m.GroupHost.InstanceID = c.InstanceID
	}
	for i := range p.groups {
		p.await(&p.groups[i])
	}
}

// gatherTasks puts the tasks on their hosts.
func (p *hostPass) gatherTasks() {
	where := p.where()
	counts := make([]int32, len(p.hosts))
	placed := make([]stowed, 0, len(p.in.Cluster.Tasks))
	hostOf := make([]int32, 0, len(p.in.Cluster.Tasks))
	for i := range p.in.Cluster.Tasks {
		t := &p.in.Cluster.Tasks[i]
		if !t.Live() {
			continue
		}
		leaving := t.DesiredStatus == plimsoll.StatusStopped
		at, number := where(i)
		if at == noHost {
			if t.ContainerInstance == "" && !leaving {
				p.unplaced = append(p.unplaced, t)
			}
			continue
		}
		if number != noCrew && p.crews[number].daemon {
			p.hosts[at].daemons++
			continue
		}
		counts[at]++
		placed = append(placed, stowed{Task: t, crew: number, leaving: leaving})
		hostOf = append(hostOf, at)
	}
	lists := make([]stowed, len(placed))
	for i, from := 0, int32(0); i < len(p.hosts); i++ {
		m, to := &p.hosts[i], from+counts[i]
		m.tasks = lists[from:from:to]
		from = to
	}
	for i := range placed {
		p.hosts[hostOf[i]].stow(&placed[i], p.crews)
	}
}

// where gives the host and the crew of a live task by its place in the snapshot, by
// what the decision on the services found out if that was of the same snapshot.
func (p *hostPass) where() func(task int) (host, crew int32) {
	tasks := p.in.Cluster.Tasks
	if p.in.Plan != nil && p.in.Plan.whereabouts.of(&p.in.Cluster) {
		w := p.in.Plan.whereabouts
		crewOf := make([]int32, w.services)
		for i := range crewOf {
			crewOf[i] = noCrew
		}
		for i := range p.in.Cluster.Services {
			crewOf[w.byName[p.in.Cluster.Services[i].Name]] = int32(i)
		}
		return func(i int) (int32, int32) {
			if owner := w.ownerOf[i]; owner != noService && crewOf[owner] != noCrew {
				return w.hostOf[i], crewOf[owner]
			}
			return w.hostOf[i], p.crewOf(&tasks[i])
		}
	}
	byARN := make(map[string]int32, len(p.hosts))
	for i := range p.hosts {
		byARN[p.hosts[i].ARN] = int32(i)
	}
	return func(i int) (int32, int32) {
		at, ok := byARN[tasks[i].ContainerInstance]
		if !ok {
			return noHost, noCrew
		}
		return at, p.crewOf(&tasks[i])
	}
}

// crewOf is the number of a task's service.
func (p *hostPass) crewOf(t *plimsoll.Task) int32 {
	if t.Service == "" {
		return noCrew
	}
	if number, ok := p.byName[t.Service]; ok {
		return number
	}
	return p.enlist(t.Service)
}

// stow adds a task to those of the host.
func (m *member) stow(t *stowed, crews []crew) {
	m.tasks = append(m.tasks, *t)
	m.held = m.held.Add(t.Reserved)
	m.ports += max(len(t.Ports), len(t.Endpoints))
	m.protected = m.protected || t.Protected
	m.keeps = m.keeps || t.crew != noCrew && crews[t.crew].keeps
}
