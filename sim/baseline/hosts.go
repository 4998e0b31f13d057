package baseline

import (
	"cmp"
	"slices"
	"time"

	"plimsoll"
)

// Fleet is what a host policy sees: one group of equal hosts.
type Fleet struct {
	Now               time.Time
	Min, Max, Desired int
	// Each is what a new host has.
	Each plimsoll.Resources
	// Hosts are those in the cluster; the others that are desired are on their
	// way.
	Hosts []Host
	// Waiting are the tasks that no host has room for.
	Waiting []plimsoll.Resources
}

// Host is a host in the cluster.
type Host struct {
	ID               string // of the instance
	JoinedAt         time.Time
	Draining         bool
	Tasks            int // that run or are about to
	Registered, Free plimsoll.Resources
}

// HostMoves are what becomes of the hosts.
type HostMoves struct {
	// Desired is what the group is to have, before Terminate.
	Desired int
	// Drain and Terminate are instances. Each that is terminated lowers the
	// desired number.
	Drain, Terminate []string
}

// HostPolicy has hosts come and go, at its interval.
type HostPolicy interface {
	Interval() time.Duration
	Hosts(f Fleet) HostMoves
}

// NewHosts makes the host policy that goes with a policy: ECS's own, and with
// ecscale its way of taking hosts away.
func NewHosts(policy string) HostPolicy {
	if policy == "ecscale" {
		return &ECScale{}
	}
	return &CapacityProvider{}
}

// ECS cluster auto scaling's defaults: managed scaling at a target of 100 %.
const (
	providerPeriod   = time.Minute
	providerIn       = 15 // datapoints under the target
	providerLeastUp  = 1
	providerMostUp   = 10000
	providerWarmup   = 300 * time.Second
	providerPerPoint = 100.0
)

// CapacityProvider is ECS cluster auto scaling: CapacityProviderReservation is
// M/N x 100, with N the hosts that there are and M those that are needed. Above
// 100 the group grows at once; after 15 minutes below it, and not while a host
// warms up, empty hosts go. A host with a task never does.
type CapacityProvider struct{ low int }

// Interval is the period of the metric.
func (c *CapacityProvider) Interval() time.Duration { return providerPeriod }

// Hosts gives the moves of one datapoint.
func (c *CapacityProvider) Hosts(f Fleet) HostMoves {
	moves := HostMoves{Desired: f.Desired}
	var empty []string
	n, warming := 0, false
	for _, h := range f.Hosts {
		if h.Draining {
			continue
		}
		n++
		warming = warming || f.Now.Sub(h.JoinedAt) < providerWarmup
		if h.Tasks == 0 {
			empty = append(empty, h.ID)
		}
	}
	needed := n - len(empty)
	if len(f.Waiting) > 0 {
		needed = n + packed(f.Waiting, f.Each)
	}
	reservation := providerPerPoint
	switch {
	case n > 0:
		reservation *= float64(needed) / float64(n)
	case needed > 0:
		reservation *= 2
	}
	c.low = run(c.low, reservation < providerPerPoint)
	switch {
	case reservation > providerPerPoint:
		// Hosts that are on their way are desired already, and not in N.
		if up := needed - f.Desired; up > 0 {
			moves.Desired = min(f.Desired+min(max(up, providerLeastUp), providerMostUp), f.Max)
		}
	case c.low >= providerIn && !warming && f.Desired <= n:
		most := max(0, f.Desired-f.Min)
		moves.Terminate = empty[:min(len(empty), most)]
	}
	return moves
}

// packed is how many new hosts some tasks fill: first fit, the largest first.
func packed(tasks []plimsoll.Resources, each plimsoll.Resources) int {
	tasks = slices.SortedFunc(slices.Values(tasks), func(a, b plimsoll.Resources) int {
		return cmp.Compare(b.CPU*each.Memory+b.Memory*each.CPU, a.CPU*each.Memory+a.Memory*each.CPU)
	})
	var free []plimsoll.Resources
	for _, t := range tasks {
		if !t.Fits(each) {
			continue // no host could ever hold it
		}
		at := slices.IndexFunc(free, t.Fits)
		if at < 0 {
			at = len(free)
			free = append(free, each)
		}
		free[at] = free[at].Sub(t)
	}
	return len(free)
}

// ecscale's defaults. It is a function that somebody runs by a schedule: here
// each hour.
const (
	ecscaleEvery  = time.Hour
	ecscaleCPU    = 30.0
	ecscaleMemory = 60.0
	ecscaleAfter  = 70.0
)

// ECScale takes hosts away by ecscale's rules; they come by ECS's own.
type ECScale struct {
	provider CapacityProvider
	next     time.Time
}

// Interval is that of the growth.
func (e *ECScale) Interval() time.Duration { return e.provider.Interval() }

// Hosts grows by ECS's rule at each datapoint, and shrinks each hour: what has
// drained is terminated and what is empty drains; or else one host with tasks
// does, where little is reserved and the rest would hold its tasks.
func (e *ECScale) Hosts(f Fleet) HostMoves {
	moves := e.provider.Hosts(f)
	moves.Terminate = nil
	if f.Now.Before(e.next) {
		return moves
	}
	e.next = f.Now.Add(ecscaleEvery)
	left := f.Desired
	var active []Host
	for _, h := range f.Hosts {
		switch {
		case !h.Draining:
			active = append(active, h)
		case h.Tasks == 0 && left > f.Min:
			moves.Terminate = append(moves.Terminate, h.ID)
			left--
		}
	}
	if left <= f.Min || len(active) < 2 {
		return moves
	}
	cpu, memory := reserved(active)
	n := float64(len(active))
	if memory*n/(n-1) >= ecscaleAfter {
		return moves
	}
	for _, h := range active {
		if h.Tasks == 0 && len(active)-len(moves.Drain) > max(1, f.Min) {
			moves.Drain = append(moves.Drain, h.ID)
		}
	}
	if len(moves.Drain) == 0 && memory < ecscaleMemory && cpu < ecscaleCPU && len(active) > f.Min {
		moves.Drain = []string{slices.MinFunc(active, func(a, b Host) int {
			return cmp.Or(cmp.Compare(b.Free.Memory, a.Free.Memory), cmp.Compare(a.Tasks, b.Tasks))
		}).ID}
	}
	return moves
}

// reserved are the shares of the hosts' CPU and memory that are reserved, in
// percent.
func reserved(hosts []Host) (cpu, memory float64) {
	var all, free plimsoll.Resources
	for _, h := range hosts {
		all, free = all.Add(h.Registered), free.Add(h.Free)
	}
	return 100 * float64(all.CPU-free.CPU) / float64(max(1, all.CPU)), 100 * float64(all.Memory-free.Memory) / float64(max(1, all.Memory))
}
