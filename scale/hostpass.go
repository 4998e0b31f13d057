package scale

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/place"
)

// DecideHosts works out which hosts come and which go. It is pure, as Decide is.
// Hosts come for tasks that find no room on what is there and on what is on its
// way, packed into the groups' types; hosts go when what they have really finds
// a place elsewhere.
func DecideHosts(in HostInput) HostPlan {
	p := newHostPass(&in)
	p.followDrains()
	p.open()
	p.grow()
	p.shrink()
	return p.finish()
}

// hostPass is the working state of one DecideHosts.
type hostPass struct {
	in     *HostInput
	now    time.Time
	plan   HostPlan
	hosts  []member
	byARN  map[string]int
	groups []group
	// daemons is what the daemons' tasks take of every host.
	daemons  plimsoll.Resources
	services map[string]*plimsoll.Service
	// fleet is where what is wanted has its places; spots are those of wanted
	// tasks and of headroom that are not there yet.
	fleet *place.Fleet
	spots []spot
	// staying are each service's tasks on hosts that stay.
	staying map[string]int
	// rest is what found no place.
	rest   []need
	stable time.Duration
	moves  map[Deed][]HostMove
}

// member is a container instance, with what the groups know of it.
type member struct {
	*plimsoll.ContainerInstance
	group *group // nil: of none
	plimsoll.GroupHost
	tasks []*plimsoll.Task // not stopped, daemons' left out
	// movable are those of them that have to find a place elsewhere.
	movable []*plimsoll.Task
	daemons int
	load    float64 // how full it is, in its fullest dimension
	closed  bool    // takes no tasks, or is to take none
}

// group is a plimsoll.HostGroup in one pass.
type group struct {
	*plimsoll.HostGroup
	size    plimsoll.Resources // what a new host has for tasks
	price   float64
	joined  map[string]bool // its instances that are in the cluster
	inZone  map[string]int  // its hosts by zone, coming ones included
	arrived int
	coming  int
	stalled bool
	leaving int // hosts of it that drain to be terminated
	desired int
}

// need is tasks of one size that have no place.
type need struct {
	service  string
	priority int
	size     plimsoll.Resources
	ports    []int
	count    int
}

func (n need) request() place.Request {
	return place.Request{Group: n.service, Reserved: n.size, Ports: n.ports}
}

// spot is a place that is kept on a host.
type spot struct {
	host string
	place.Request
}

func newHostPass(in *HostInput) *hostPass {
	p := &hostPass{
		in: in, now: in.Now, byARN: make(map[string]int, len(in.Cluster.Instances)),
		services: make(map[string]*plimsoll.Service, len(in.Cluster.Services)), moves: map[Deed][]HostMove{},
	}
	p.plan = HostPlan{At: in.Now, Memory: HostMemory{
		OutAt: in.Memory.OutAt, InAt: in.Memory.InAt, Stable: in.Memory.Stable, Groups: map[string]GroupMemory{},
	}}
	p.stable = max(in.Rules.In.Stable, in.Memory.Stable)
	for i := range in.Cluster.Services {
		s := &in.Cluster.Services[i]
		p.services[s.Name] = s
		if s.Daemon {
			p.daemons = p.daemons.Add(s.Reserved)
		}
	}
	p.gather()
	for host, until := range in.Memory.Spared {
		if until.After(p.now) {
			p.spare(host, until)
		}
	}
	return p
}

func (p *hostPass) spare(host string, until time.Time) {
	if p.plan.Memory.Spared == nil {
		p.plan.Memory.Spared = map[string]time.Time{}
	}
	p.plan.Memory.Spared[host] = until
	p.by(until)
}

// by notes a time at which the decision may differ.
func (p *hostPass) by(t time.Time) {
	if t.After(p.now) && (p.plan.Recheck.IsZero() || t.Before(p.plan.Recheck)) {
		p.plan.Recheck = t
	}
}

// gather puts hosts, groups and tasks together.
func (p *hostPass) gather() {
	p.groups = make([]group, len(p.in.Groups))
	of := map[string]*group{}
	known := map[string]plimsoll.GroupHost{}
	for i := range p.in.Groups {
		g := &p.groups[i]
		*g = group{HostGroup: &p.in.Groups[i], joined: map[string]bool{}, desired: p.in.Groups[i].Desired}
		for n, t := range g.Types {
			if n == 0 {
				g.size = t.Resources
			}
			g.size, g.price = g.size.Least(t.Resources), max(g.price, t.Price)
		}
		g.size = g.size.Sub(p.daemons)
		for _, h := range g.Hosts {
			of[h.InstanceID], known[h.InstanceID] = g, h
		}
	}
	p.hosts = make([]member, len(p.in.Cluster.Instances))
	for i := range p.in.Cluster.Instances {
		c := &p.in.Cluster.Instances[i]
		m := &p.hosts[i]
		*m = member{ContainerInstance: c, group: of[c.InstanceID], GroupHost: known[c.InstanceID], closed: !c.Schedulable()}
		m.GroupHost.InstanceID = c.InstanceID
		p.byARN[c.ARN] = i
		if m.group != nil && !m.Leaving {
			m.group.arrived++
			m.group.joined[c.InstanceID] = true
		}
	}
	for i := range p.groups {
		p.await(&p.groups[i])
	}
	for i := range p.in.Cluster.Tasks {
		t := &p.in.Cluster.Tasks[i]
		at, ok := p.byARN[t.ContainerInstance]
		if !ok || !t.Live() {
			continue
		}
		if s := p.services[t.Service]; t.Service != "" && s != nil && s.Daemon {
			p.hosts[at].daemons++
			continue
		}
		p.hosts[at].tasks = append(p.hosts[at].tasks, t)
	}
}

// await counts the launches that are under way.
func (p *hostPass) await(g *group) {
	g.coming = max(0, g.Desired-g.arrived)
	was, known := p.in.Memory.Groups[g.Name]
	now := GroupMemory{Desired: g.Desired, Arrived: g.arrived, WaitingAt: was.WaitingAt}
	if !known || was.Desired != now.Desired || was.Arrived != now.Arrived {
		now.WaitingAt = p.now
	}
	p.plan.Memory.Groups[g.Name] = now
	if g.coming == 0 || p.in.Rules.LaunchTimeout <= 0 {
		return
	}
	p.by(now.WaitingAt.Add(p.in.Rules.LaunchTimeout))
	if g.stalled = p.now.Sub(now.WaitingAt) >= p.in.Rules.LaunchTimeout; g.stalled {
		p.lack("group %q: %d launched hosts have not joined the cluster for %s; they are not counted on, and no more are launched there until one joins",
			g.Name, g.coming, p.now.Sub(now.WaitingAt).Round(time.Second))
	}
}

func (p *hostPass) lack(format string, args ...any) {
	p.plan.Lacking = append(p.plan.Lacking, fmt.Sprintf(format, args...))
}

// followDrains terminates hosts that have drained, drains those that are about to
// be taken away, and sees to those that drain for too long.
func (p *hostPass) followDrains() {
	for i := range p.hosts {
		m := &p.hosts[i]
		switch {
		case m.Leaving:
			m.closed = true
		case m.Interrupted && m.Status == plimsoll.InstanceActive:
			m.closed = true
			p.move(DeedDrain, m, "the instance is about to be taken away")
		case m.Status == plimsoll.InstanceDraining && !m.DrainedAt.IsZero() && m.group != nil:
			p.followDrain(m)
		}
	}
}

func (p *hostPass) followDrain(m *member) {
	g, rules := m.group, p.in.Rules.In
	drained := p.now.Sub(m.DrainedAt)
	protected := m.protected()
	switch {
	case len(m.tasks) == 0 && m.Running+m.Pending <= m.daemons:
		if g.Desired-g.leaving-1 < g.Min && !m.Interrupted {
			p.undrain(m, fmt.Sprintf("group %q has its minimum of %d hosts", g.Name, g.Min))
			return
		}
		p.move(DeedTerminate, m, fmt.Sprintf("drained in %s, and has no tasks", drained.Round(time.Second)))
	case rules.DrainTimeout > 0 && drained >= rules.DrainTimeout && !m.Interrupted && rules.Stuck == StuckUndrain:
		p.spare(m.ARN, p.now.Add(drained))
		p.undrain(m, fmt.Sprintf("has drained for %s, and still has %d tasks", drained.Round(time.Second), len(m.tasks)))
		return
	case rules.DrainTimeout > 0 && drained >= rules.DrainTimeout && rules.Stuck == StuckTerminate && !protected:
		p.move(DeedTerminate, m, fmt.Sprintf("has drained for %s, and still has %d tasks, none of them protected", drained.Round(time.Second), len(m.tasks)))
	default:
		if rules.DrainTimeout > 0 {
			p.by(m.DrainedAt.Add(rules.DrainTimeout))
		}
	}
	g.leaving++
}

// departs tells whether what is on the host is replaced elsewhere.
func (m *member) departs() bool {
	return m.closed && (m.Status == plimsoll.InstanceDraining || m.Leaving || m.Interrupted)
}

func (m *member) protected() bool {
	return slices.ContainsFunc(m.tasks, func(t *plimsoll.Task) bool { return t.Protected })
}

func (p *hostPass) undrain(m *member, reason string) {
	m.closed = !m.Connected
	p.move(DeedUndrain, m, reason)
}

func (p *hostPass) move(deed Deed, m *member, reason string) {
	h := HostMove{Deed: deed, Host: m.ARN, InstanceID: m.GroupHost.InstanceID, Zone: m.ContainerInstance.Zone, Reason: reason}
	if m.group != nil {
		h.Group = m.group.Name
	}
	p.moves[deed] = append(p.moves[deed], h)
}

// open makes the fleet of what is there and what is on its way, and puts what is
// wanted into it; what has no place is left in rest.
func (p *hostPass) open() {
	hosts := make([]place.Host, 0, len(p.hosts))
	for i := range p.hosts {
		m := &p.hosts[i]
		hosts = append(hosts, place.Host{ID: m.ARN, Zone: m.ContainerInstance.Zone, Free: m.Registered, Closed: m.closed})
	}
	p.fleet = place.NewFleet(hosts)
	p.spots = p.spots[:0]
	for i := range p.groups {
		p.expectComing(&p.groups[i])
	}
	needs := p.settleTasks()
	for _, h := range p.in.Rules.Headroom {
		if h.Tasks > 0 {
			needs = append(needs, need{service: headroomGroup, priority: plimsoll.LowestPriority + 1, size: h.Size, count: h.Tasks})
		}
	}
	p.rest = p.settleNeeds(needs)
}

// headroomGroup is the name under which room is kept free.
const headroomGroup = "(headroom)"

// expectComing adds a group's launches to the fleet: those that the platform
// shows in their zones, the others where the group has fewest.
func (p *hostPass) expectComing(g *group) {
	g.inZone = map[string]int{}
	var pending []string
	for _, h := range g.Hosts {
		if h.Leaving {
			continue
		}
		g.inZone[h.Zone]++
		if !g.joined[h.InstanceID] {
			pending = append(pending, h.Zone)
		}
	}
	if g.stalled {
		return
	}
	for n := range g.coming {
		id := fmt.Sprintf("coming/%s/%d", g.Name, n)
		if n < len(pending) {
			p.fleet.Add(place.Host{ID: id, Zone: pending[n], Free: g.size})
		} else {
			p.expect(g, id)
		}
	}
}

// expect adds a host that is on its way, in the zone that the group keeps even.
func (p *hostPass) expect(g *group, id string) (zone string) {
	zone = g.nextZone()
	g.inZone[zone]++
	p.fleet.Add(place.Host{ID: id, Zone: zone, Free: g.size})
	return zone
}

// nextZone is the zone with the fewest of the group's hosts.
func (g *group) nextZone() string {
	best := ""
	for i, zone := range g.Zones {
		if i == 0 || g.inZone[zone] < g.inZone[best] {
			best = zone
		}
	}
	return best
}

// settleTasks reserves what the tasks hold, and gives what is wanted beyond. The
// hosts' other uses are reserved as well.
func (p *hostPass) settleTasks() []need {
	p.staying = map[string]int{}
	staying, waiting, hostless := p.staying, map[string]int{}, map[string]bool{}
	var needs []need
	for i := range p.hosts {
		p.settleHost(&p.hosts[i], staying)
	}
	for i := range p.in.Cluster.Tasks {
		t := &p.in.Cluster.Tasks[i]
		if !t.Live() || t.Leaving() || t.ContainerInstance != "" {
			continue
		}
		switch {
		case t.LastStatus == plimsoll.StatusRunning:
			hostless[t.Service] = true
		case t.Service == "":
			needs = append(needs, need{service: "task " + t.ID(), priority: plimsoll.LowestPriority, size: t.Reserved, ports: t.Ports, count: 1})
		default:
			waiting[t.Service]++
		}
	}
	for i := range p.in.Cluster.Services {
		s := &p.in.Cluster.Services[i]
		if s.Daemon || hostless[s.Name] {
			continue
		}
		want, known := p.in.Wants[s.Name]
		if !known {
			want = HostWant{Tasks: s.Desired, Priority: plimsoll.LowestPriority}
		}
		missing := want.Tasks - staying[s.Name]
		if !want.Elastic {
			missing = max(missing, waiting[s.Name])
		}
		if missing > 0 {
			needs = append(needs, need{service: s.Name, priority: want.Priority, size: s.Reserved, ports: s.Ports, count: missing})
		}
	}
	return needs
}

// settleHost reserves what a host's tasks hold. Those that hold no host are left
// out: elastic ones above what is wanted, and those on their way out.
func (p *hostPass) settleHost(m *member, staying map[string]int) {
	held := plimsoll.Resources{}
	m.movable = m.movable[:0]
	for _, t := range m.tasks {
		held = held.Add(t.Reserved)
		if t.Leaving() {
			continue
		}
		if want, known := p.in.Wants[t.Service]; known && want.Elastic && !t.Protected && staying[t.Service] >= want.Tasks {
			continue
		}
		if !m.departs() {
			staying[t.Service]++
		}
		r := place.Request{Group: t.Service, Reserved: t.Reserved, Ports: t.Ports}
		if p.fleet.Reserve(m.ARN, r) != nil {
			r.Ports = nil
			_ = p.fleet.Reserve(m.ARN, r) // the host is there
		}
		if t.Service != "" { // a standalone task ends where it is
			m.movable = append(m.movable, t)
		}
	}
	if other := m.Registered.Sub(m.Remaining).Sub(held).Most(plimsoll.Resources{}); !other.IsZero() {
		_ = p.fleet.Reserve(m.ARN, place.Request{Reserved: other})
	}
}

// settleNeeds finds places for what is wanted, the largest first, and gives what
// has none.
func (p *hostPass) settleNeeds(needs []need) []need {
	p.bySize(needs)
	var rest []need
	for _, n := range needs {
		r := n.request()
		for n.count > 0 {
			host, ok := p.fleet.Pick(r)
			if !ok {
				break
			}
			_ = p.fleet.Reserve(host, r)
			p.spots = append(p.spots, spot{host, r})
			n.count--
		}
		if n.count > 0 {
			rest = append(rest, n)
		}
	}
	return rest
}

// bySize orders needs, the largest first: by the greatest share that a task takes
// of the largest host in any dimension.
func (p *hostPass) bySize(needs []need) {
	whole := p.largest()
	slices.SortStableFunc(needs, func(a, b need) int {
		return cmp.Or(cmp.Compare(fullness(b.size, whole), fullness(a.size, whole)), cmp.Compare(a.priority, b.priority), cmp.Compare(a.service, b.service))
	})
}

func (p *hostPass) largest() plimsoll.Resources {
	whole := plimsoll.Resources{CPU: 1, Memory: 1, GPU: 1}
	for i := range p.groups {
		whole = whole.Most(p.groups[i].size)
	}
	for i := range p.hosts {
		whole = whole.Most(p.hosts[i].Registered)
	}
	return whole
}

// fullness is the greatest share of whole in any dimension.
func fullness(r, whole plimsoll.Resources) float64 {
	return max(float64(r.CPU)/float64(max(1, whole.CPU)), float64(r.Memory)/float64(max(1, whole.Memory)), float64(r.GPU)/float64(max(1, whole.GPU)))
}

// finish puts the plan together.
func (p *hostPass) finish() HostPlan {
	for _, deed := range []Deed{DeedUndrain, DeedLaunch, DeedDrain, DeedTerminate} {
		p.plan.Moves = append(p.plan.Moves, p.moves[deed]...)
	}
	for _, g := range p.groups {
		v := GroupVerdict{Group: g.Name, Min: g.Min, Max: g.Max, Desired: g.desired, Coming: g.coming, Stalled: g.stalled}
		for _, h := range p.moves[DeedTerminate] {
			if h.Group == g.Name {
				v.Desired--
			}
		}
		var whole, free plimsoll.Resources
		for i := range p.hosts {
			m := &p.hosts[i]
			if m.group == nil || m.group.Name != g.Name {
				continue
			}
			v.Hosts++
			if m.Status == plimsoll.InstanceDraining {
				v.Draining++
				continue
			}
			whole, free = whole.Add(m.Registered), free.Add(m.Remaining)
		}
		used := whole.Sub(free)
		v.CPU, v.Memory = percent(used.CPU, whole.CPU), percent(used.Memory, whole.Memory)
		p.plan.Groups = append(p.plan.Groups, v)
	}
	if len(p.plan.Memory.Groups) == 0 {
		p.plan.Memory.Groups = nil
	}
	p.plan.Memory.Spared = maps.Clone(p.plan.Memory.Spared)
	return p.plan
}

func percent(part, whole int64) float64 { return 100 * float64(part) / float64(max(1, whole)) }
