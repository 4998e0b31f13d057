package tenants

import (
	"context"
	"fmt"
	"sync"

	"plimsoll"
	"plimsoll/engine"
)

// Engine is the running engine of a tenant in a region.
type Engine interface {
	Do(ctx context.Context, c engine.Command) (any, error)
	Read(f func(engine.View))
}

// Bounded is an engine whose commands are refused where they would go over the
// tenant's quota.
type Bounded struct {
	Engine
	quota func() Quota

	mu sync.Mutex
	// claimed is what commands ask for that are under way: the state does not
	// show it yet.
	claimed amount
}

// Bound puts an engine under a quota, which may change at any time.
func Bound(e Engine, quota func() Quota) *Bounded { return &Bounded{Engine: e, quota: quota} }

// amount is how much of each thing there is, or is asked for.
type amount struct {
	clusters, services, tasks, hosts, cpu, memory int64
}

func (a amount) plus(b amount, sign int64) amount {
	return amount{
		a.clusters + sign*b.clusters, a.services + sign*b.services, a.tasks + sign*b.tasks,
		a.hosts + sign*b.hosts, a.cpu + sign*b.cpu, a.memory + sign*b.memory,
	}
}

// Do carries a command out, or refuses it with LimitExceededException.
func (b *Bounded) Do(ctx context.Context, c engine.Command) (any, error) {
	quota := b.quota()
	if quota == (Quota{}) {
		return b.Engine.Do(ctx, c)
	}
	claim, err := b.claim(quota, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.claimed = b.claimed.plus(claim, -1)
	}()
	return b.Engine.Do(ctx, c)
}

// claim notes what a command asks for, if there is that much left.
func (b *Bounded) claim(q Quota, c engine.Command) (amount, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var used, claim amount
	b.Read(func(v engine.View) { used, claim = usage(v), asked(v, c) })
	sum := used.plus(b.claimed, 1)
	for _, one := range []struct {
		what              string
		quota, used, asks int64
	}{
		{"clusters", int64(q.Clusters), sum.clusters, claim.clusters},
		{"services", int64(q.Services), sum.services, claim.services},
		{"tasks", int64(q.Tasks), sum.tasks, claim.tasks},
		{"container instances", int64(q.Hosts), sum.hosts, claim.hosts},
		{"CPU units of container instances", q.CPU, sum.cpu, claim.cpu},
		{"MiB of memory of container instances", q.Memory, sum.memory, claim.memory},
	} {
		if one.quota > 0 && one.asks > 0 && one.used+one.asks > one.quota {
			return amount{}, &engine.Error{
				Code: "LimitExceededException",
				Message: fmt.Sprintf("The quota of %d %s is exceeded: %d are in use, and %d more were asked for.",
					one.quota, one.what, one.used, one.asks),
			}
		}
	}
	b.claimed = b.claimed.plus(claim, 1)
	return claim, nil
}

// usage counts what a tenant has.
func usage(v engine.View) amount {
	var a amount
	for _, c := range v.Clusters() {
		if c.Status == "ACTIVE" {
			a.clusters++
		}
		for _, s := range v.Services(c.Name) {
			if s.Status == "ACTIVE" {
				a.services++
				a.tasks += int64(s.Desired)
			}
		}
		for _, t := range v.Tasks(c.Name) {
			if t.Service == "" && t.LastStatus != plimsoll.StatusStopped {
				a.tasks++
			}
		}
		for _, i := range v.Instances(c.Name) {
			a.hosts++
			a.cpu += i.Registered.CPU
			a.memory += i.Registered.Memory
		}
	}
	return a
}

func hostsOf(n int, each plimsoll.Resources) amount {
	return amount{hosts: int64(n), cpu: each.CPU * int64(n), memory: each.Memory * int64(n)}
}

// asked is what a command would add.
func asked(v engine.View, c engine.Command) amount {
	switch c := c.(type) {
	case engine.CreateCluster:
		if known, ok := v.Cluster(c.Name); !ok || known.Status != "ACTIVE" {
			return amount{clusters: 1}
		}
	case engine.CreateService:
		return amount{services: 1, tasks: int64(c.Desired)}
	case engine.UpdateService:
		if s, ok := v.Service(c.Cluster, c.Service); ok && c.Desired != nil {
			return amount{tasks: int64(max(0, *c.Desired-s.Desired))}
		}
	case engine.RunTask:
		return amount{tasks: int64(max(1, c.Count))}
	case engine.StartTask:
		return amount{tasks: int64(len(c.Instances))}
	case engine.RegisterInstance:
		if c.ARN != "" {
			return amount{} // it is there already
		}
		return amount{hosts: 1, cpu: c.Resources.CPU, memory: c.Resources.Memory}
	case engine.CreateGroup:
		return hostsOf(c.Group.Desired, c.Group.Each)
	case engine.UpdateGroup:
		for _, g := range v.Groups() {
			if g.Name != c.Name {
				continue
			}
			desired := g.Desired
			if c.Min != nil {
				desired = max(desired, *c.Min)
			}
			if c.Desired != nil {
				desired = *c.Desired
			}
			return hostsOf(max(0, desired-g.Desired), g.Each)
		}
	case engine.PutHosts:
		var wanted, had amount
		for _, h := range c.Hosts {
			wanted = wanted.plus(amount{hosts: 1, cpu: h.Resources.CPU, memory: h.Resources.Memory}, 1)
		}
		for _, i := range v.Instances(c.Cluster) {
			if i.Agent {
				continue // PutHosts leaves it alone
			}
			had = had.plus(amount{hosts: 1, cpu: i.Registered.CPU, memory: i.Registered.Memory}, 1)
		}
		return wanted.plus(had, -1)
	}
	return amount{}
}
