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
	groups []group
	// daemons is what the daemons' tasks take of every host.
	daemons plimsoll.Resources
	// crews are the services, those of the cluster first, in its order.
	crews  []crew
	byName map[string]int32
	// unplaced are the tasks that have no host and are to run.
	unplaced []*plimsoll.Task
	// berths is where what is wanted has its places; spots are those of wanted
	// tasks and of headroom that are not there yet.
	berths berths
	spots  []spot
	// rest is what found no place.
	rest   []need
	stable time.Duration
	moves  map[Deed][]HostMove
}

// group is a plimsoll.HostGroup in one pass.
type group struct {
	*plimsoll.HostGroup
	size    plimsoll.Resources // what a new host has for tasks
	price   float64
	joined  []bool         // which of its Hosts are in the cluster
	inZone  map[string]int // its hosts by zone, coming ones included
	arrived int
	coming  int
	stalled bool
	leaving int // hosts of it that drain to be terminated
	desired int
}

// need is tasks of one size that have no place.
type need struct {
	service  string
	crew     int32
	priority int
	size     plimsoll.Resources
	ports    []int
	count    int
}

func (n *need) request() request {
	return request{Request: place.Request{Reserved: n.size, Ports: n.ports}, crew: n.crew}
}

func newHostPass(in *HostInput) *hostPass {
	p := &hostPass{
		in: in, now: in.Now, crews: make([]crew, 0, len(in.Cluster.Services)+1),
		byName: make(map[string]int32, len(in.Cluster.Services)), moves: map[Deed][]HostMove{},
	}
	p.plan = HostPlan{At: in.Now, Memory: HostMemory{
		OutAt: in.Memory.OutAt, InAt: in.Memory.InAt, Stable: in.Memory.Stable, Groups: map[string]GroupMemory{},
	}}
	p.stable = max(in.Rules.In.Stable, in.Memory.Stable)
	for i := range in.Cluster.Services {
		s := &in.Cluster.Services[i]
		c := &p.crews[p.enlist(s.Name)]
		c.daemon, c.keeps = s.Daemon, s.Tags[plimsoll.TagKeepHost] == "true"
		if s.Daemon {
			p.daemons = p.daemons.Add(s.Reserved)
		}
	}
	p.gatherHosts()
	p.gatherTasks()
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
	case rules.DrainTimeout > 0 && drained >= rules.DrainTimeout && rules.Stuck == StuckTerminate && !m.protected:
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

// open makes the berths of what is there and what is on its way, and puts what is
// wanted into them; what has no place is left in rest.
func (p *hostPass) open() {
	p.berths = newBerths(p.hosts, len(p.crews)+1)
	p.spots = p.spots[:0]
	for i := range p.groups {
		p.expectComing(&p.groups[i])
	}
	needs := p.settleTasks()
	for _, h := range p.in.Rules.Headroom {
		if h.Tasks > 0 {
			needs = append(needs, need{service: headroomGroup, crew: p.headroom(), priority: plimsoll.LowestPriority + 1, size: h.Size, count: h.Tasks})
		}
	}
	p.rest = p.settleNeeds(needs)
}

// headroom is the number under which headroom has its places.
func (p *hostPass) headroom() int32 { return int32(len(p.crews)) }

// headroomGroup is the name under which room is kept free.
const headroomGroup = "(headroom)"

// expectComing adds a group's launches to the fleet: those that the platform
// shows in their zones, the others where the group has fewest.
func (p *hostPass) expectComing(g *group) {
	g.inZone = map[string]int{}
	var pending []string
	for i := range g.Hosts {
		h := &g.Hosts[i]
		if h.Leaving {
			continue
		}
		g.inZone[h.Zone]++
		if !g.joined[i] {
			pending = append(pending, h.Zone)
		}
	}
	if g.stalled {
		return
	}
	for n := range g.coming {
		id := fmt.Sprintf("coming/%s/%d", g.Name, n)
		if n < len(pending) {
			p.berths.add(place.Host{ID: id, Zone: pending[n], Free: g.size})
		} else {
			p.expect(g, id)
		}
	}
}

// expect adds a host that is on its way, in the zone that the group keeps even.
func (p *hostPass) expect(g *group, id string) (zone string) {
	zone = g.nextZone()
	g.inZone[zone]++
	p.berths.add(place.Host{ID: id, Zone: zone, Free: g.size})
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
	for i := range p.crews {
		p.crews[i].staying = 0
	}
	var needs []need
	for i := range p.hosts {
		p.settleHost(&p.hosts[i])
	}
	waiting, hostless := map[string]int{}, map[string]bool{}
	for _, t := range p.unplaced {
		switch {
		case t.LastStatus == plimsoll.StatusRunning:
			hostless[t.Service] = true
		case t.Service == "":
			needs = append(needs, need{service: "task " + t.ID(), crew: noCrew, priority: plimsoll.LowestPriority, size: t.Reserved, ports: t.Ports, count: 1})
		default:
			waiting[t.Service]++
		}
	}
	for i := range p.in.Cluster.Services {
		s, c := &p.in.Cluster.Services[i], &p.crews[i]
		if s.Daemon || hostless[s.Name] {
			continue
		}
		want := c.want
		if !c.known {
			want = HostWant{Tasks: s.Desired, Priority: plimsoll.LowestPriority}
		}
		missing := want.Tasks - c.staying
		if !want.Elastic {
			missing = max(missing, waiting[s.Name])
		}
		if missing > 0 {
			needs = append(needs, need{service: s.Name, crew: int32(i), priority: want.Priority, size: s.Reserved, ports: s.Ports, count: missing})
		}
	}
	return needs
}

// settleHost reserves what a host's tasks hold. Those that hold no host are left
// out: elastic ones above what is wanted, and those on their way out.
func (p *hostPass) settleHost(m *member) {
	m.movable, m.moving = 0, plimsoll.Resources{}
	departs := m.departs()
	for i := range m.tasks {
		t := &m.tasks[i]
		t.moves = false
		if t.leaving {
			continue
		}
		if t.crew != noCrew {
			c := &p.crews[t.crew]
			if c.known && c.want.Elastic && !t.Protected && c.staying >= c.want.Tasks {
				continue
			}
			if !departs {
				c.staying++
			}
			t.moves = true // a standalone task ends where it is
			m.movable++
			m.moving = m.moving.Add(t.Reserved)
		}
		r := t.request()
		if !p.berths.free(m.number, r.Ports) {
			r.Ports = nil
		}
		p.berths.take(m.number, r)
	}
	if other := m.Registered.Sub(m.Remaining).Sub(m.held).Most(plimsoll.Resources{}); !other.IsZero() {
		p.berths.take(m.number, request{Request: place.Request{Reserved: other}, crew: noCrew})
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
			host, ok := p.berths.pick(&r)
			if !ok {
				break
			}
			p.berths.take(host, r)
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
	for n := range p.groups {
		g := &p.groups[n]
		v := GroupVerdict{Group: g.Name, Min: g.Min, Max: g.Max, Desired: g.desired, Coming: g.coming, Stalled: g.stalled}
		for _, h := range p.moves[DeedTerminate] {
			if h.Group == g.Name {
				v.Desired--
			}
		}
		var whole, free plimsoll.Resources
		for i := range p.hosts {
			m := &p.hosts[i]
			if m.group != g {
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
