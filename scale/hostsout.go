package scale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plimsoll"
)

// grow makes room for what has none: hosts that drain come back first, then hosts
// are launched.
func (p *hostPass) grow() {
	p.takeBack()
	p.keepMinimum()
	if len(p.rest) == 0 {
		return
	}
	p.refuse()
	if len(p.rest) == 0 {
		return
	}
	kinds := p.kinds()
	p.bySize(p.rest)
	packed := pack(p.rest, kinds)
	budget := max(0, p.in.Rules.LaunchesPerPass-p.launched())
	if len(packed.left) > 0 || len(packed.bins) > budget {
		// Not all can have a host now: the highest priority goes first.
		slices.SortStableFunc(p.rest, func(a, b need) int { return cmp.Compare(a.priority, b.priority) })
		packed = pack(p.rest, kinds)
		slices.SortStableFunc(packed.bins, func(a, b bin) int { return cmp.Compare(a.priority, b.priority) })
	}
	for _, n := range packed.left {
		p.lack("service %q: %d tasks wait for room, and no group may grow: %s", n.service, n.count, p.bounds())
	}
	p.launch(packed.bins[:min(budget, len(packed.bins))])
}

// takeBack has hosts that drain take tasks again, the last first, where that lets
// more of what is wanted find a place.
func (p *hostPass) takeBack() {
	var draining []*member
	for i := range p.hosts {
		m := &p.hosts[i]
		ours := m.group != nil && !m.DrainedAt.IsZero() && m.Status == plimsoll.InstanceDraining
		if ours && m.closed && m.Connected && !m.Interrupted && !m.Leaving && !p.terminates(m) {
			draining = append(draining, m)
		}
	}
	slices.SortFunc(draining, func(a, b *member) int {
		return cmp.Or(b.DrainedAt.Compare(a.DrainedAt), cmp.Compare(a.ARN, b.ARN))
	})
	for _, m := range draining {
		before := tasksIn(p.rest)
		if before == 0 {
			return
		}
		m.closed = false
		p.open()
		if tasksIn(p.rest) >= before {
			m.closed = true
			p.open()
			continue
		}
		m.group.leaving--
		p.regret()
		p.undrain(m, fmt.Sprintf("%d tasks had no room elsewhere", before))
	}
}

func (p *hostPass) terminates(m *member) bool {
	return slices.ContainsFunc(p.moves[DeedTerminate], func(h HostMove) bool { return h.Host == m.ARN })
}

func tasksIn(needs []need) (n int) {
	for _, one := range needs {
		n += one.count
	}
	return n
}

// keepMinimum launches what a group lacks of its minimum. Those hosts take what
// is wanted, too.
func (p *hostPass) keepMinimum() {
	for i := range p.groups {
		g := &p.groups[i]
		lack := min(g.Min-g.desired, p.in.Rules.LaunchesPerPass-p.launched())
		if lack <= 0 || g.stalled {
			continue
		}
		zones := make([]string, 0, lack)
		for n := range lack {
			zone := p.expect(g, fmt.Sprintf("minimum/%s/%d", g.Name, n))
			zones = append(zones, zone)
		}
		p.ask(g, zones, fmt.Sprintf("the group's minimum is %d hosts", g.Min))
		p.rest = p.settleNeeds(p.rest)
	}
}

// launched is how many hosts the plan launches so far.
func (p *hostPass) launched() (n int) {
	for _, m := range p.moves[DeedLaunch] {
		n += m.To - m.From
	}
	return n
}

// ask raises a group's desired capacity, once in a plan.
func (p *hostPass) ask(g *group, zones []string, reason string) {
	for i := range p.moves[DeedLaunch] {
		if m := &p.moves[DeedLaunch][i]; m.Group == g.Name {
			m.To += len(zones)
			m.Zones = append(m.Zones, zones...)
			m.Reason += "; " + reason
			g.desired = m.To
			return
		}
	}
	p.moves[DeedLaunch] = append(p.moves[DeedLaunch], HostMove{
		Deed: DeedLaunch, Group: g.Name, From: g.desired, To: g.desired + len(zones), Zones: zones, Reason: reason,
	})
	g.desired += len(zones)
}

// refuse takes what fits no kind of host out of the rest, and says so by name.
func (p *hostPass) refuse() {
	if len(p.groups) == 0 {
		p.rest = nil
		return
	}
	p.rest = slices.DeleteFunc(p.rest, func(n need) bool {
		for i := range p.groups {
			if len(p.groups[i].Types) > 0 && n.size.Fits(p.groups[i].size) {
				return false
			}
		}
		p.lack("service %q: a task reserves %s, and no kind of host has as much: %s", n.service, n.size, p.sizes())
		return true
	})
}

func (p *hostPass) sizes() string {
	var words []string
	for _, g := range p.groups {
		words = append(words, fmt.Sprintf("%q has %s for tasks", g.Name, g.size))
	}
	return strings.Join(words, ", ")
}

func (p *hostPass) bounds() string {
	var words []string
	for _, g := range p.groups {
		switch {
		case g.stalled:
			words = append(words, fmt.Sprintf("the launches of %q do not arrive", g.Name))
		default:
			words = append(words, fmt.Sprintf("%q has %d hosts of at most %d", g.Name, g.desired, g.Max))
		}
	}
	return strings.Join(words, ", ")
}

// kinds are the groups as kinds of host.
func (p *hostPass) kinds() []kind {
	kinds := make([]kind, len(p.groups))
	priced := slices.ContainsFunc(p.groups, func(g group) bool { return g.price > 0 })
	whole := p.largest()
	for i := range p.groups {
		g := &p.groups[i]
		kinds[i] = kind{size: g.size, price: g.price, room: max(0, g.Max-g.desired)}
		if !priced {
			kinds[i].price = fullness(g.size, whole)
		}
		if g.stalled || len(g.Types) == 0 {
			kinds[i].room = 0
		}
	}
	return kinds
}

// launch asks the groups for the hosts.
func (p *hostPass) launch(bins []bin) {
	zones := make([][]string, len(p.groups))
	services := make([][]string, len(p.groups))
	for _, b := range bins {
		g := &p.groups[b.kind]
		zone := g.nextZone()
		g.inZone[zone]++
		zones[b.kind] = append(zones[b.kind], zone)
		for _, s := range b.services {
			if !slices.Contains(services[b.kind], s) {
				services[b.kind] = append(services[b.kind], s)
			}
		}
	}
	waiting := tasksIn(p.rest)
	for i := range p.groups {
		if len(zones[i]) == 0 {
			continue
		}
		p.regret()
		p.ask(&p.groups[i], zones[i], fmt.Sprintf("%d tasks find no room on what is there or coming; %d hosts more for %s",
			waiting, len(zones[i]), strings.Join(services[i], ", ")))
	}
}

// regret notes that hosts were asked for, and whether that was soon after one had
// gone: then hosts are kept for longer from now on.
func (p *hostPass) regret() {
	m := &p.plan.Memory
	if m.OutAt.Equal(p.now) {
		return
	}
	m.OutAt = p.now
	if m.InAt.IsZero() {
		return
	}
	if p.now.Sub(m.InAt) < 4*p.stable {
		m.Stable = max(p.in.Rules.In.Stable, min(2*p.stable, p.in.Rules.In.StableMost))
		p.stable = m.Stable
	}
	m.InAt = p.now.Add(-4 * p.stable) // it counts once
}
