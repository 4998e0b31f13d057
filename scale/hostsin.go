package scale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"plimsoll"
	"plimsoll/place"
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
	batch, why := p.dispensable()
	draining := 0
	for i := range p.groups {
		draining += p.groups[i].leaving
	}
	now := min(len(batch), p.batchMost()-draining)
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
	var needs []need
	for i := range p.in.Cluster.Services {
		s := &p.in.Cluster.Services[i]
		want, known := p.in.Wants[s.Name]
		if !known || want.Elastic || s.Daemon {
			continue
		}
		var list []Want
		for _, w := range p.in.Memory.Peaks[s.Name] {
			if w.Count > want.Tasks && p.now.Sub(w.At) < p.stable {
				list = append(list, w)
			}
		}
		m.Peaks[s.Name] = append(list, Want{At: p.now, Count: want.Tasks})
		if len(list) > 0 {
			p.by(list[0].At.Add(p.stable))
			if lack := list[0].Count - max(want.Tasks, p.staying[s.Name]); lack > 0 {
				needs = append(needs, need{service: s.Name, priority: want.Priority, size: s.Reserved, ports: s.Ports, count: lack})
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
// many as may be on their way at most; the words say why there is none.
func (p *hostPass) dispensable() ([]candidate, string) {
	peaks := p.remember()
	switch {
	case len(p.rest) > 0 || p.launched() > 0:
		return nil, "there are tasks that wait for room"
	case p.comes() > 0:
		return nil, fmt.Sprintf("%d hosts are on their way", p.comes())
	case len(p.moves[DeedUndrain]) > 0:
		return nil, "a host that drained takes tasks again"
	}
	s := &sparing{hostPass: p, gone: map[string]int{}, inZone: map[string]int{}, why: "no host belongs to a group"}
	s.measure()
	if left := p.settleNeeds(peaks); len(left) > 0 {
		return nil, fmt.Sprintf("service %q had more tasks within the last %s than there is room for", left[0].service, p.stable)
	}
	var list []*member
	for i := range p.hosts {
		if m := &p.hosts[i]; m.group != nil && !m.closed && !m.Leaving {
			s.inZone[zoneKey(m)]++
			m.load = m.utilised()
			list = append(list, m)
		}
	}
	list = slices.DeleteFunc(list, func(m *member) bool { return !s.allowed(m) })
	most := p.batchMost()
	var batch []candidate
	for tries := triesPerPass + 4*most; len(list) > 0 && len(batch) < most && tries > 0; tries-- {
		at := s.next(list)
		m := list[at]
		list = slices.Delete(list, at, at+1)
		if !s.roomToGo(m) {
			continue
		}
		if reason, ok := s.try(m); ok {
			batch = append(batch, candidate{m, reason})
		}
	}
	return batch, s.why
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
	gone   map[string]int // hosts of the batch, by group
	inZone map[string]int // hosts that stay, by group and zone
	totals totals
	why    string
}

func zoneKey(m *member) string { return m.group.Name + "/" + m.ContainerInstance.Zone }

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
		t.used = t.used.Add(m.Registered.Sub(s.fleet.Free(m.ARN)))
		for _, one := range m.tasks {
			t.tasks++
			t.ports += max(len(one.Ports), len(one.Endpoints))
		}
		if m.UsedCPU == nil {
			t.usedKnown = false
		} else {
			t.usedCPU += *m.UsedCPU * float64(m.Registered.CPU)
		}
	}
	for _, spot := range s.spots {
		if spot.Group == headroomGroup {
			t.used = t.used.Sub(spot.Reserved) // it is room
		}
	}
	s.totals = t
}

// allowed tells whether a host may go at all.
func (s *sparing) allowed(m *member) bool {
	_, spared := s.plan.Memory.Spared[m.ARN]
	kept := slices.ContainsFunc(m.tasks, func(t *plimsoll.Task) bool {
		service := s.services[t.Service]
		return t.Service != "" && service != nil && service.Tags[plimsoll.TagKeepHost] == "true"
	})
	id := m.GroupHost.InstanceID
	switch {
	case m.GroupHost.Protected:
		s.why = fmt.Sprintf("host %s is protected from scale-in", id)
	case m.protected():
		s.why = fmt.Sprintf("host %s has protected tasks", id)
	case kept:
		s.why = fmt.Sprintf("host %s has tasks that keep their host", id)
	case spared:
		s.why = fmt.Sprintf("host %s could not be drained a while ago", id)
	default:
		return true
	}
	return false
}

// roomToGo tells whether the bounds of group and zone let one more host go.
func (s *sparing) roomToGo(m *member) bool {
	g := m.group
	switch {
	case g.desired-g.leaving-s.gone[g.Name]-1 < g.Min:
		s.why = fmt.Sprintf("group %q has its minimum of %d hosts", g.Name, g.Min)
	case s.inZone[zoneKey(m)]-1 < s.in.Rules.In.MinPerZone:
		s.why = fmt.Sprintf("group %q has its minimum of %d hosts in zone %s", g.Name, s.in.Rules.In.MinPerZone, m.ContainerInstance.Zone)
	default:
		return true
	}
	return false
}

// next chooses whom to try: an empty host first, then the least utilised; of
// equals one of the fullest zone, the dearest, the one with fewer tasks.
func (s *sparing) next(list []*member) int {
	best := 0
	for i := 1; i < len(list); i++ {
		if s.compare(list[i], list[best]) < 0 {
			best = i
		}
	}
	return best
}

func (s *sparing) compare(a, b *member) int {
	return cmp.Or(
		cmp.Compare(min(1, len(a.tasks)), min(1, len(b.tasks))),
		cmp.Compare(len(a.tasks)-len(a.movable), len(b.tasks)-len(b.movable)), // what cannot move has to end there
		cmp.Compare(a.load, b.load),
		cmp.Compare(s.inZone[zoneKey(b)], s.inZone[zoneKey(a)]),
		cmp.Compare(b.group.price, a.group.price),
		cmp.Compare(len(a.tasks), len(b.tasks)),
		cmp.Compare(a.ARN, b.ARN),
	)
}

// utilised is how full a host is, in its fullest dimension.
func (m *member) utilised() float64 {
	var held plimsoll.Resources
	for _, t := range m.movable {
		held = held.Add(t.Reserved)
	}
	return fullness(held, m.Registered)
}

// try closes a host and places what it has on the others. If that fails, or a
// metric would be too high, everything is as before.
func (s *sparing) try(m *member) (reason string, ok bool) {
	before := s.totals
	after, words, ok := s.forecast(m)
	if !ok {
		s.why = words
		return "", false
	}
	s.fleet.SetClosed(m.ARN, true)
	if !s.displace(m) {
		s.fleet.SetClosed(m.ARN, false)
		return "", false
	}
	m.closed = true
	s.totals = after
	s.gone[m.group.Name]++
	s.inZone[zoneKey(m)]--
	load := "has no tasks"
	switch {
	case len(m.movable) == 0 && len(m.tasks) > 0:
		load = fmt.Sprintf("none of the %d tasks of the host needs a place elsewhere", len(m.tasks))
	case len(m.movable) > 0:
		load = fmt.Sprintf("the %d tasks of the host fit on the others", len(m.movable))
	}
	return fmt.Sprintf("%s; reserved CPU %.0f%% -> %.0f%%, memory %.0f%% -> %.0f%% on %d hosts", load,
		percent(before.used.CPU, before.whole.CPU), percent(after.used.CPU, after.whole.CPU),
		percent(before.used.Memory, before.whole.Memory), percent(after.used.Memory, after.whole.Memory), after.hosts), true
}

// displace finds places elsewhere for what a host has, and for what was to come
// there; all or nothing.
func (s *sparing) displace(m *member) bool {
	var away []place.Request
	var kept []int // spots on this host
	for _, t := range m.movable {
		away = append(away, place.Request{Group: t.Service, Reserved: t.Reserved, Ports: t.Ports})
	}
	for i, spot := range s.spots {
		if spot.host == m.ARN {
			kept = append(kept, i)
			away = append(away, spot.Request)
		}
	}
	slices.SortStableFunc(away, func(a, b place.Request) int {
		return cmp.Compare(fullness(b.Reserved, m.Registered), fullness(a.Reserved, m.Registered))
	})
	var moved []spot
	for _, r := range away {
		host, ok := s.fleet.Pick(r)
		if !ok {
			s.why = fmt.Sprintf("what host %s has does not fit on the others: %s", m.GroupHost.InstanceID, r.Reserved)
			for _, back := range moved {
				s.fleet.Release(back.host, back.Request)
			}
			return false
		}
		_ = s.fleet.Reserve(host, r)
		moved = append(moved, spot{host, r})
	}
	for _, i := range slices.Backward(kept) {
		s.spots = slices.Delete(s.spots, i, i+1)
	}
	s.spots = append(s.spots, moved...)
	return true
}

// forecast tells whether the metrics let one host more go, and gives them as they
// are then.
func (s *sparing) forecast(m *member) (totals, string, bool) {
	rules, before := s.in.Rules.In, s.totals
	after := before
	after.hosts--
	after.whole = after.whole.Sub(m.Registered)
	overhead := m.Registered.Sub(m.Remaining) // what daemons and the like hold there goes with it
	for _, t := range m.tasks {
		overhead = overhead.Sub(t.Reserved)
	}
	after.used = after.used.Sub(overhead.Most(plimsoll.Resources{}))
	metrics := []struct {
		name          string
		t             Threshold
		before, after float64
	}{
		{"reserved CPU", rules.CPU, percent(before.used.CPU, before.whole.CPU), percent(after.used.CPU, after.whole.CPU)},
		{"reserved memory", rules.Memory, percent(before.used.Memory, before.whole.Memory), percent(after.used.Memory, after.whole.Memory)},
		{"host ports", rules.Ports, percent(int64(before.ports), int64(before.hosts*rules.MostPorts)), percent(int64(after.ports), int64(after.hosts*rules.MostPorts))},
		{"tasks", rules.Tasks, percent(int64(before.tasks), int64(before.hosts*rules.MostTasks)), percent(int64(after.tasks), int64(after.hosts*rules.MostTasks))},
		{"used CPU", rules.UsedCPU, 100 * before.usedCPU / float64(max(1, before.whole.CPU)), 100 * after.usedCPU / float64(max(1, after.whole.CPU))},
	}
	known := []bool{true, true, rules.MostPorts > 0, rules.MostTasks > 0, before.usedKnown}
	var words []string
	for i, metric := range metrics {
		switch {
		case !known[i]:
		case metric.t.Below > 0 && metric.before >= metric.t.Below && len(m.movable) > 0:
			words = append(words, fmt.Sprintf("%s is at %.0f%%, hosts go below %.0f%%", metric.name, metric.before, metric.t.Below))
		case metric.t.After > 0 && metric.after > metric.t.After:
			words = append(words, fmt.Sprintf("%s would be at %.0f%%, at most %.0f%% is allowed", metric.name, metric.after, metric.t.After))
		}
	}
	return after, strings.Join(words, ", "), len(words) == 0
}
