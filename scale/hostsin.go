package scale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"plimsoll"
)

// triesPerPass bounds the hosts whose tasks are tried elsewhere in one pass, on
// top of four for each that may go.
const triesPerPass = 32

// memoryGap is the least time without a decision after which the wants of before
// are not known any more.
const memoryGap = 30 * time.Second

// shrink has hosts drain that can be spared.
func (p *hostPass) shrink() {
	rules := p.in.Rules.In
	if rules.Off || len(p.groups) == 0 {
		p.remember()
		p.plan.Reason = "hosts are kept"
		return
	}
	draining := 0
	for i := range p.groups {
		draining += p.groups[i].leaving
	}
	now := p.batchMost() - draining
	batch, why := p.dispensable(max(1, now)) // one: is there any?
	now = min(now, len(batch))
	switch known, out := p.now.Sub(p.plan.Memory.Since), p.plan.Memory.OutAt; {
	case len(batch) == 0:
		p.plan.Reason = why
	case !out.IsZero() && p.now.Sub(out) < p.stable:
		p.by(out.Add(p.stable))
		p.plan.Reason = fmt.Sprintf("hosts came %s ago: none goes for %s after that", p.now.Sub(out).Round(time.Second), p.stable)
		now = 0
	case known < p.stable:
		p.by(p.plan.Memory.Since.Add(p.stable))
		p.plan.Reason = fmt.Sprintf("the wants are known for %s only: no host goes before %s", known.Round(time.Second), p.stable)
		now = 0
	case now <= 0:
		p.plan.Reason = fmt.Sprintf("%d hosts drain already", draining)
	}
	if now <= 0 {
		return
	}
	m := &p.plan.Memory
	if m.InAt = p.now; m.Stable > rules.Stable && p.now.Sub(m.OutAt) > 4*m.Stable {
		m.Stable = max(rules.Stable, m.Stable/2)
	}
	for _, c := range batch[:now] {
		p.move(DeedDrain, c.member, c.reason)
	}
}

// batchMost is how many hosts may be on their way out at a time.
func (p *hostPass) batchMost() int { return max(1, int(p.in.Rules.In.Batch*float64(len(p.hosts)))) }

// remember notes what the services want, and gives what is lacking to the most
// that they wanted within the stable time.
func (p *hostPass) remember() []need {
	m := &p.plan.Memory
	m.Since, m.SeenAt = p.in.Memory.Since, p.now
	if m.Since.IsZero() || p.now.Sub(p.in.Memory.SeenAt) > max(p.stable, memoryGap) {
		m.Since = p.now
	}
	m.Peaks = make(map[string][]Want, len(p.in.Wants))
	most := len(p.in.Cluster.Services)
	for _, list := range p.in.Memory.Peaks {
		most += len(list)
	}
	all := make([]Want, 0, most) // of all lists, one after the other
	var needs []need
	for i := range p.in.Cluster.Services {
		s, c := &p.in.Cluster.Services[i], &p.crews[i]
		want := c.want
		if !c.known || want.Elastic || s.Daemon {
			continue
		}
		list := all[len(all):]
		for _, w := range p.in.Memory.Peaks[s.Name] {
			if w.Count > want.Tasks && p.now.Sub(w.At) < p.stable {
				list = append(list, w)
			}
		}
		peaks := append(list, Want{At: p.now, Count: want.Tasks})
		all = all[:len(all)+len(peaks)]
		m.Peaks[s.Name] = slices.Clip(peaks)
		if len(list) > 0 {
			p.by(list[0].At.Add(p.stable))
			if lack := list[0].Count - max(want.Tasks, c.staying); lack > 0 {
				needs = append(needs, need{service: s.Name, crew: int32(i), priority: want.Priority, size: s.Reserved, ports: s.Ports, count: lack})
			}
		}
	}
	return needs
}

// candidate is a host that can be spared.
type candidate struct {
	*member
	reason string
}

// dispensable are the hosts that can be spared, in the order in which they go, as
// many as may begin to drain now; the words say why there is none.
func (p *hostPass) dispensable(most int) ([]candidate, string) {
	peaks := p.remember()
	switch {
	case len(p.rest) > 0 || p.launched() > 0:
		return nil, "there are tasks that wait for room"
	case p.comes() > 0:
		return nil, fmt.Sprintf("%d hosts are on their way", p.comes())
	case len(p.moves[DeedUndrain]) > 0:
		return nil, "a host that drained takes tasks again"
	}
	s := &sparing{hostPass: p}
	s.measure()
	if left := p.settleNeeds(peaks); len(left) > 0 {
		return nil, fmt.Sprintf("service %q had more tasks within the last %s than there is room for", left[0].service, p.stable)
	}
	list := s.gather()
	s.order(list)
	var batch []candidate
	for tries := triesPerPass + 4*p.batchMost(); len(list) > 0 && len(batch) < most && tries > 0; tries-- {
		c := list[0]
		list = list[1:]
		if !s.roomToGo(c) {
			continue
		}
		if reason, ok := s.try(c); ok {
			batch = append(batch, candidate{c.member, reason})
			s.order(list) // its zone has one host less
		}
	}
	if len(batch) > 0 {
		return batch, ""
	}
	return nil, s.words()
}

func (p *hostPass) comes() (n int) {
	for i := range p.groups {
		if !p.groups[i].stalled {
			n += p.groups[i].coming
		}
	}
	return n
}

// sparing is the search for hosts that can be spared.
type sparing struct {
	*hostPass
	// pools are the groups' parts in each zone.
	pools  []pool
	totals totals
	// last was refused last, because of refusal.
	last    *spare
	refusal refusal
}

// pool is a group's hosts in a zone.
type pool struct {
	group *group
	zone  string
	// gone are those that go in this pass, stay the others.
	gone, stay int
}

// spare is a host that may be spared.
type spare struct {
	*member
	pool int     // in sparing.pools
	load float64 // how full it is, in its fullest dimension
}

// refusal says why a host does not go. The words are found at the end, for the
// last alone.
type refusal int

const (
	noGroup refusal = iota
	hostProtected
	taskProtected
	taskKeeps
	sparedBefore
	groupAtMinimum
	zoneAtMinimum
	metricTooHigh
	noPlaces
)

// gather lists the hosts that may go, and counts those of each pool.
func (s *sparing) gather() []*spare {
	all := make([]spare, 0, len(s.hosts))
	list := make([]*spare, 0, len(s.hosts))
	for i := range s.hosts {
		m := &s.hosts[i]
		if m.group == nil || m.closed || m.Leaving {
			continue
		}
		all = append(all, spare{member: m, pool: s.poolOf(m), load: fullness(m.moving, m.Registered)})
		c := &all[len(all)-1]
		s.pools[c.pool].stay++
		if s.allowed(c) {
			list = append(list, c)
		}
	}
	return list
}

func (s *sparing) poolOf(m *member) int {
	zone := m.ContainerInstance.Zone
	for i := range s.pools {
		if p := &s.pools[i]; p.group == m.group && p.zone == zone {
			return i
		}
	}
	s.pools = append(s.pools, pool{group: m.group, zone: zone})
	return len(s.pools) - 1
}

func (s *sparing) refuse(c *spare, why refusal) bool {
	s.last, s.refusal = c, why
	return false
}

// words say why no host goes: why the last did not.
func (s *sparing) words() string {
	if s.refusal == noGroup {
		return "no host belongs to a group"
	}
	m := s.last.member
	id, g := m.GroupHost.InstanceID, m.group
	switch s.refusal {
	case hostProtected:
		return fmt.Sprintf("host %s is protected from scale-in", id)
	case taskProtected:
		return fmt.Sprintf("host %s has protected tasks", id)
	case taskKeeps:
		return fmt.Sprintf("host %s has tasks that keep their host", id)
	case sparedBefore:
		return fmt.Sprintf("host %s could not be drained a while ago", id)
	case groupAtMinimum:
		return fmt.Sprintf("group %q has its minimum of %d hosts", g.Name, g.Min)
	case zoneAtMinimum:
		return fmt.Sprintf("group %q has its minimum of %d hosts in zone %s", g.Name, s.in.Rules.In.MinPerZone, m.ContainerInstance.Zone)
	case metricTooHigh:
		return s.tooHigh(m)
	}
	size, _ := s.displace(m)
	return fmt.Sprintf("what host %s has does not fit on the others: %s", id, size)
}

// totals are the metrics of the hosts that take tasks.
type totals struct {
	hosts        int
	whole, used  plimsoll.Resources
	ports, tasks int
	usedCPU      float64 // in CPU units
	usedKnown    bool
}

func (s *sparing) measure() {
	t := totals{usedKnown: true}
	for i := range s.hosts {
		m := &s.hosts[i]
		if m.closed {
			continue
		}
		t.hosts++
		t.whole = t.whole.Add(m.Registered)
		t.used = t.used.Add(m.Registered.Sub(s.berths.index.Free(m.number)))
		t.tasks += len(m.tasks)
		t.ports += m.ports
		if m.UsedCPU == nil {
			t.usedKnown = false
		} else {
			t.usedCPU += *m.UsedCPU * float64(m.Registered.CPU)
		}
	}
	for i := range s.spots {
		if spot := &s.spots[i]; spot.crew == s.headroom() {
			t.used = t.used.Sub(spot.Reserved) // it is room
		}
	}
	s.totals = t
}

// allowed tells whether a host may go at all.
func (s *sparing) allowed(c *spare) bool {
	_, spared := s.plan.Memory.Spared[c.ARN]
	switch {
	case c.GroupHost.Protected:
		return s.refuse(c, hostProtected)
	case c.protected:
		return s.refuse(c, taskProtected)
	case c.keeps:
		return s.refuse(c, taskKeeps)
	case spared:
		return s.refuse(c, sparedBefore)
	}
	return true
}

// roomToGo tells whether the bounds of group and zone let one more host go.
func (s *sparing) roomToGo(c *spare) bool {
	g, gone := c.group, 0
	for i := range s.pools {
		if s.pools[i].group == g {
			gone += s.pools[i].gone
		}
	}
	switch {
	case g.desired-g.leaving-gone-1 < g.Min:
		return s.refuse(c, groupAtMinimum)
	case s.pools[c.pool].stay-1 < s.in.Rules.In.MinPerZone:
		return s.refuse(c, zoneAtMinimum)
	}
	return true
}

// order has those that are to be tried first at the front: empty hosts, then the
// least utilised; of equals one of the fullest zone, the dearest, the one with
// fewer tasks.
func (s *sparing) order(list []*spare) {
	slices.SortFunc(list, func(a, b *spare) int {
		if c := cmp.Compare(min(1, len(a.tasks)), min(1, len(b.tasks))); c != 0 {
			return c
		}
		if c := cmp.Compare(len(a.tasks)-a.movable, len(b.tasks)-b.movable); c != 0 {
			return c // what cannot move has to end there
		}
		if c := cmp.Compare(a.load, b.load); c != 0 {
			return c
		}
		if c := cmp.Compare(s.pools[b.pool].stay, s.pools[a.pool].stay); c != 0 {
			return c
		}
		if c := cmp.Compare(b.group.price, a.group.price); c != 0 {
			return c
		}
		if c := cmp.Compare(len(a.tasks), len(b.tasks)); c != 0 {
			return c
		}
		return strings.Compare(a.ARN, b.ARN)
	})
}

// try closes a host and places what it has on the others. If that fails, or a
// metric would be too high, everything is as before.
func (s *sparing) try(c *spare) (reason string, ok bool) {
	m, before := c.member, s.totals
	after := s.forecast(m)
	if s.exceeds(m, &after) {
		return "", s.refuse(c, metricTooHigh)
	}
	if _, ok := s.displace(m); !ok {
		return "", s.refuse(c, noPlaces)
	}
	m.closed = true
	s.totals = after
	s.pools[c.pool].stay--
	s.pools[c.pool].gone++
	load := "has no tasks"
	switch {
	case m.movable == 0 && len(m.tasks) > 0:
		load = fmt.Sprintf("none of the %d tasks of the host needs a place elsewhere", len(m.tasks))
	case m.movable > 0:
		load = fmt.Sprintf("the %d tasks of the host fit on the others", m.movable)
	}
	return fmt.Sprintf("%s; reserved CPU %.0f%% -> %.0f%%, memory %.0f%% -> %.0f%% on %d hosts", load,
		percent(before.used.CPU, before.whole.CPU), percent(after.used.CPU, after.whole.CPU),
		percent(before.used.Memory, before.whole.Memory), percent(after.used.Memory, after.whole.Memory), after.hosts), true
}

// displace closes a host and finds places elsewhere for what it has, and for what
// was to come there; all or nothing. What found none is given back.
func (s *sparing) displace(m *member) (lacking plimsoll.Resources, ok bool) {
	away := make([]request, 0, m.movable+4)
	for i := range m.tasks {
		if t := &m.tasks[i]; t.moves {
			away = append(away, t.request())
		}
	}
	for i := range s.spots {
		if s.spots[i].host == m.number {
			away = append(away, s.spots[i].request)
		}
	}
	slices.SortStableFunc(away, func(a, b request) int {
		return cmp.Compare(fullness(b.Reserved, m.Registered), fullness(a.Reserved, m.Registered))
	})
	s.close(m, true)
	moved := make([]spot, 0, len(away))
	for i := range away {
		host, ok := s.berths.pick(&away[i])
		if !ok {
			for _, back := range moved {
				s.berths.give(back.host, back.request)
			}
			s.close(m, false)
			return away[i].Reserved, false
		}
		s.berths.take(host, away[i])
		moved = append(moved, spot{host, away[i]})
	}
	s.spots = slices.DeleteFunc(s.spots, func(one spot) bool { return one.host == m.number })
	s.spots = append(s.spots, moved...)
	return plimsoll.Resources{}, true
}

// close closes a host, or opens it again. What a closed host has does not count
// for the spread over the zones: it is about to leave.
func (s *sparing) close(m *member, closed bool) {
	by := int32(1)
	if closed {
		by = -1
	}
	zone := s.berths.index.Zone(m.number)
	for i := range m.tasks {
		if t := &m.tasks[i]; t.moves {
			s.berths.count(t.crew, zone, by)
		}
	}
	for i := range s.spots {
		if one := &s.spots[i]; one.host == m.number {
			s.berths.count(one.crew, zone, by)
		}
	}
	s.berths.index.SetClosed(m.number, closed)
}

// forecast gives the metrics as they are when one host more has gone.
func (s *sparing) forecast(m *member) totals {
	after := s.totals
	after.hosts--
	after.whole = after.whole.Sub(m.Registered)
	overhead := m.Registered.Sub(m.Remaining).Sub(m.held) // what daemons and the like hold there goes with it
	after.used = after.used.Sub(overhead.Most(plimsoll.Resources{}))
	return after
}

// metric is one of those that bound how hosts go.
type metric struct {
	name string
	Threshold
	before, after float64
	known         bool
}

func (s *sparing) metrics(after *totals) [5]metric {
	rules, before := &s.in.Rules.In, &s.totals
	return [...]metric{
		{"reserved CPU", rules.CPU, percent(before.used.CPU, before.whole.CPU), percent(after.used.CPU, after.whole.CPU), true},
		{"reserved memory", rules.Memory, percent(before.used.Memory, before.whole.Memory), percent(after.used.Memory, after.whole.Memory), true},
		{"host ports", rules.Ports, percent(int64(before.ports), int64(before.hosts*rules.MostPorts)), percent(int64(after.ports), int64(after.hosts*rules.MostPorts)), rules.MostPorts > 0},
		{"tasks", rules.Tasks, percent(int64(before.tasks), int64(before.hosts*rules.MostTasks)), percent(int64(after.tasks), int64(after.hosts*rules.MostTasks)), rules.MostTasks > 0},
		{"used CPU", rules.UsedCPU, 100 * before.usedCPU / float64(max(1, before.whole.CPU)), 100 * after.usedCPU / float64(max(1, after.whole.CPU)), before.usedKnown},
	}
}

// isHigh tells whether hosts with tasks to be moved do not go by the metric as it
// is, exceeds whether it would be too high without the host.
func (m *metric) isHigh(moves bool) bool { return m.Below > 0 && m.before >= m.Below && moves }
func (m *metric) exceeds() bool          { return m.After > 0 && m.after > m.After }

// exceeds tells whether a metric does not let the host go.
func (s *sparing) exceeds(m *member, after *totals) bool {
	metrics := s.metrics(after)
	for i := range metrics {
		if one := &metrics[i]; one.known && (one.isHigh(m.movable > 0) || one.exceeds()) {
			return true
		}
	}
	return false
}

// tooHigh says which metrics do not let the host go.
func (s *sparing) tooHigh(m *member) string {
	after := s.forecast(m)
	var words []string
	for _, one := range s.metrics(&after) {
		switch {
		case !one.known:
		case one.isHigh(m.movable > 0):
			words = append(words, fmt.Sprintf("%s is at %.0f%%, hosts go below %.0f%%", one.name, one.before, one.Below))
		case one.exceeds():
			words = append(words, fmt.Sprintf("%s would be at %.0f%%, at most %.0f%% is allowed", one.name, one.after, one.After))
		}
	}
	return strings.Join(words, ", ")
}
