package sim

import (
	"context"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/scale"
	"plimsoll/sim/baseline"
)

// field is a policy of the field.
type field struct {
	world   *world
	policy  baseline.Policy
	sources [][]*source
	wants   []int
	changed map[string]int
	// hosts has the hosts come and go; nil where none do.
	hosts    baseline.HostPolicy
	hostsDue time.Duration
}

func newField(w *world, policy baseline.Policy) (*field, error) {
	f := &field{world: w, policy: policy, wants: make([]int, len(w.loads)), changed: map[string]int{}}
	if w.cfg.Hosts.scale() {
		f.hosts = baseline.NewHosts(policy.Name())
	}
	for _, l := range w.loads {
		var list []*source
		for i := range l.Reads {
			s, err := w.source(l, i)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
		f.sources = append(f.sources, list)
	}
	return f, nil
}

func (f *field) name() string            { return f.policy.Name() }
func (f *field) interval() time.Duration { return f.policy.Interval() }
func (f *field) wakes() bool             { return false }
func (f *field) urgent() bool            { return false }

func (f *field) step() error {
	w := f.world
	for i, l := range w.loads {
		s, ok := w.machine.Service(w.cfg.Cluster, l.Policy.Service)
		if !ok {
			return fmt.Errorf("sim: service %q is gone", l.Policy.Service)
		}
		seen := baseline.Observation{
			Now: w.clock(), Service: l.Policy.Service, Ready: l.running, Desired: s.Desired,
			Min: l.Policy.Min, Max: l.Policy.Max, Capacity: l.capacity(),
		}
		for k, from := range f.sources[i] {
			seen.Metrics = append(seen.Metrics, metric(&l.Policy.Triggers[k], from))
		}
		want := min(max(f.policy.Desired(seen), l.Policy.Min), l.Policy.Max)
		f.wants[i] = want
		if want == s.Desired {
			continue
		}
		if _, err := w.call(engine.UpdateService{Cluster: w.cfg.Cluster, Service: l.Policy.Service, Desired: &want}); err != nil {
			return err
		}
		f.changed[l.Policy.Service]++
	}
	if f.hosts == nil || w.now < f.hostsDue {
		return nil
	}
	f.hostsDue = w.now + f.hosts.Interval()
	return f.stepHosts()
}

// stepHosts has the host policy look at the hosts, and does what it says.
func (f *field) stepHosts() error {
	w := f.world
	g := w.group()
	moves := f.hosts.Hosts(w.fleet(g))
	if moves.Desired != g.Desired {
		if err := w.setCapacity(moves.Desired); err != nil {
			return err
		}
	}
	for _, id := range moves.Drain {
		if i := w.instance(id); i != nil {
			if err := w.drain(i.ARN, true); err != nil {
				return err
			}
		}
	}
	for _, id := range moves.Terminate {
		if err := w.terminate(id); err != nil {
			return err
		}
	}
	return nil
}

// fleet is the group as the field's host policies see it.
func (w *world) fleet(g *engine.Group) baseline.Fleet {
	f := baseline.Fleet{Now: w.clock(), Min: g.Min, Max: g.Max, Desired: g.Desired, Each: g.Each}
	for _, i := range w.machine.Instances(w.cfg.Cluster) {
		if i.Surplus {
			continue // it is being terminated
		}
		running, pending := w.machine.InstanceCounts(i.ARN)
		f.Hosts = append(f.Hosts, baseline.Host{
			ID: i.EC2InstanceID, JoinedAt: i.RegisteredAt, Draining: i.Status == plimsoll.InstanceDraining,
			Tasks: running + pending, Registered: i.Registered, Free: w.machine.Remaining(i.ARN),
		})
	}
	for _, t := range w.machine.Tasks(w.cfg.Cluster) {
		if t.ContainerInstance == "" && alive(t) && t.DesiredStatus == plimsoll.StatusRunning {
			f.Waiting = append(f.Waiting, t.Reserved)
		}
	}
	return f
}

func (f *field) wanted() (n int) {
	for _, want := range f.wants {
		n += want
	}
	return n
}

// metric is a trigger's reading as the field's policies take it.
func metric(t *scale.Trigger, from *source) baseline.Metric {
	sample, err := from.Read(context.Background())
	m := baseline.Metric{Known: err == nil, Value: sample.Value, Target: t.Target, Kind: baseline.Average, Activation: t.Activation}
	switch {
	case t.Mode == scale.Ratio:
		m.Kind = baseline.Ratio
	case t.Mode == scale.Exact:
		m.Kind, m.Target = baseline.Average, 1
	}
	m.Queue = from.kind == Backlog || from.kind == Waiting
	return m
}

// capacity is how much of the first trigger's value one task bears at most; 0
// where that cannot be said.
func (l *workload) capacity() float64 {
	if len(l.Reads) == 0 {
		return 0
	}
	switch l.Reads[0].Kind {
	case Arrivals:
		return l.Rate
	case Concurrency:
		return l.Policy.Triggers[0].Target
	case Backlog, Waiting:
		return 1
	}
	return 0
}
