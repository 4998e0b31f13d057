package scale_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/place"
	"plimsoll/scale"
)

// park is a platform of hosts that come and go, for runs of many decisions: it
// launches, places, drains and terminates as an ECS cluster with Auto Scaling
// groups does.
type park struct {
	scale.HostInput
	dice   *rand.Rand
	boot   time.Duration
	ready  map[string][]time.Time // launches under way, by group
	tasks  []*plimsoll.Task
	next   int
	broken func(format string, args ...any)
	// changes counts what became of hosts since it was last set to 0.
	changes int
}

func newPark(seed uint64, groups ...plimsoll.HostGroup) *park {
	return &park{
		HostInput: scale.HostInput{Now: midday, Rules: scale.DefaultHostRules(), Wants: map[string]scale.HostWant{}, Groups: groups},
		dice:      rand.New(rand.NewPCG(seed, 1)), boot: 90 * time.Second, ready: map[string][]time.Time{},
	}
}

func (k *park) instance(arn string) *plimsoll.ContainerInstance {
	for i := range k.Cluster.Instances {
		if k.Cluster.Instances[i].ARN == arn {
			return &k.Cluster.Instances[i]
		}
	}
	return nil
}

// tick lets time pass: hosts arrive, services follow what is wanted, and a decision
// is made and carried out.
func (k *park) tick(d time.Duration) scale.HostPlan {
	k.Now = k.Now.Add(d)
	for i := range k.Groups {
		g := &k.Groups[i]
		for len(k.ready[g.Name]) > 0 && !k.ready[g.Name][0].After(k.Now) {
			k.ready[g.Name] = k.ready[g.Name][1:]
			k.arrive(g)
		}
	}
	k.follow()
	k.snapshot()
	p := scale.DecideHosts(k.HostInput)
	k.Memory = p.Memory
	for _, m := range p.Moves {
		k.carryOut(m)
	}
	return p
}

func (k *park) arrive(g *plimsoll.HostGroup) {
	count := map[string]int{}
	for _, h := range g.Hosts {
		count[h.Zone]++
	}
	zone := slices.MinFunc(g.Zones, func(a, b string) int { return count[a] - count[b] })
	k.next++
	id := fmt.Sprintf("i-%05d", k.next)
	g.Hosts = append(g.Hosts, plimsoll.GroupHost{InstanceID: id, Zone: zone})
	k.Cluster.Instances = append(k.Cluster.Instances, plimsoll.ContainerInstance{
		ARN: "ci/" + id, InstanceID: id, Zone: zone, Status: plimsoll.InstanceActive, Connected: true,
		Registered: g.Types[0].Resources, Remaining: g.Types[0].Resources,
	})
}

// fleet is what is really free.
func (k *park) fleet() *place.Fleet {
	var hosts []place.Host
	for _, c := range k.Cluster.Instances {
		hosts = append(hosts, place.Host{ID: c.ARN, Zone: c.Zone, Free: c.Registered, Closed: c.Status != plimsoll.InstanceActive})
	}
	f := place.NewFleet(hosts)
	for _, t := range k.tasks {
		if t.ContainerInstance != "" {
			_ = f.Reserve(t.ContainerInstance, place.Request{Group: t.Service, Reserved: t.Reserved})
		}
	}
	return f
}

// follow has the services' tasks be as many as are wanted and fit; those on
// draining hosts stop when as many run elsewhere.
func (k *park) follow() {
	f := k.fleet()
	draining := map[string]bool{}
	for _, c := range k.Cluster.Instances {
		draining[c.ARN] = c.Status == plimsoll.InstanceDraining
	}
	for _, s := range k.Cluster.Services {
		want := k.Wants[s.Name].Tasks
		var staying, displaced []*plimsoll.Task
		for _, t := range k.tasks {
			switch {
			case t.Service != s.Name:
			case draining[t.ContainerInstance]:
				displaced = append(displaced, t)
			default:
				staying = append(staying, t)
			}
		}
		r := place.Request{Group: s.Name, Reserved: s.Reserved}
		for len(staying) < want {
			host, ok := f.Pick(r)
			if !ok {
				break
			}
			_ = f.Reserve(host, r)
			k.next++
			t := &plimsoll.Task{
				ARN: fmt.Sprintf("task/%06d", k.next), Service: s.Name, ContainerInstance: host, Reserved: s.Reserved,
				LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			}
			staying = append(staying, t)
			k.tasks = append(k.tasks, t)
		}
		stop := displaced[:max(0, min(len(displaced), len(staying)+len(displaced)-want))]
		for len(staying) > want {
			stop = append(stop, staying[k.dice.IntN(len(staying))])
			staying = slices.DeleteFunc(staying, func(t *plimsoll.Task) bool { return t == stop[len(stop)-1] })
		}
		k.tasks = slices.DeleteFunc(k.tasks, func(t *plimsoll.Task) bool { return slices.Contains(stop, t) && !t.Protected })
	}
}

func (k *park) snapshot() {
	k.Cluster.Tasks = k.Cluster.Tasks[:0]
	used := map[string]plimsoll.Resources{}
	running := map[string]int{}
	for _, t := range k.tasks {
		k.Cluster.Tasks = append(k.Cluster.Tasks, *t)
		used[t.ContainerInstance] = used[t.ContainerInstance].Add(t.Reserved)
		running[t.ContainerInstance]++
	}
	for i := range k.Cluster.Instances {
		c := &k.Cluster.Instances[i]
		c.Remaining, c.Running = c.Registered.Sub(used[c.ARN]), running[c.ARN]
	}
}

func (k *park) carryOut(m scale.HostMove) {
	k.changes++
	g := &k.Groups[slices.IndexFunc(k.Groups, func(g plimsoll.HostGroup) bool { return g.Name == m.Group })]
	c := k.instance(m.Host)
	switch m.Deed {
	case scale.DeedLaunch:
		for range m.To - g.Desired {
			k.ready[g.Name] = append(k.ready[g.Name], k.Now.Add(k.boot))
		}
		g.Desired = m.To
		k.changes += m.To - m.From - 1
	case scale.DeedDrain:
		c.Status, c.DrainedAt = plimsoll.InstanceDraining, k.Now
	case scale.DeedUndrain:
		c.Status, c.DrainedAt = plimsoll.InstanceActive, time.Time{}
	case scale.DeedTerminate:
		k.terminate(g, c)
	}
}

func (k *park) terminate(g *plimsoll.HostGroup, c *plimsoll.ContainerInstance) {
	for _, t := range k.tasks {
		if t.ContainerInstance == c.ARN && k.broken != nil {
			k.broken("host %s is terminated with a task", c.ARN)
		}
	}
	if c.Status != plimsoll.InstanceDraining && k.broken != nil {
		k.broken("host %s is terminated without having drained", c.ARN)
	}
	if g.Desired <= g.Min && k.broken != nil {
		k.broken("group %s goes below its minimum of %d", g.Name, g.Min)
	}
	g.Desired--
	g.Hosts = slices.DeleteFunc(g.Hosts, func(h plimsoll.GroupHost) bool { return h.InstanceID == c.InstanceID })
	k.Cluster.Instances = slices.DeleteFunc(k.Cluster.Instances, func(o plimsoll.ContainerInstance) bool { return o.ARN == c.ARN })
}

// service sets what a service wants.
func (k *park) service(name string, want int, size plimsoll.Resources) {
	if _, there := k.Wants[name]; !there {
		k.Cluster.Services = append(k.Cluster.Services, plimsoll.Service{Name: name, Reserved: size, Desired: want})
	}
	k.Wants[name] = scale.HostWant{Tasks: want, Priority: 1}
}

// wants is what all tasks that are wanted reserve.
func (k *park) wants() (sum plimsoll.Resources) {
	for _, s := range k.Cluster.Services {
		sum = sum.Add(s.Reserved.Times(k.Wants[s.Name].Tasks))
	}
	return sum
}

func (k *park) unmet() int {
	n := -len(k.tasks)
	for _, w := range k.Wants {
		n += w.Tasks
	}
	return n
}

// TestHostsAreAtMostATenthMoreThanTheLowerBound packs generated mixes: each grows
// from nothing to a peak, and shrinks to the half of it.
func TestHostsAreAtMostATenthMoreThanTheLowerBound(t *testing.T) {
	size := plimsoll.Resources{CPU: 4096, Memory: 8192}
	sum, worst, mixes := 0.0, 0.0, 40
	for seed := range uint64(mixes) {
		k := newPark(seed, plimsoll.HostGroup{Name: "g", Types: []plimsoll.HostType{{Name: "t", Resources: size}}, Zones: []string{"a", "b", "c"}, Max: 1000})
		counts := map[string]int{}
		for i := range 8 + k.dice.IntN(8) {
			name := fmt.Sprintf("s%02d", i)
			counts[name] = 4 + k.dice.IntN(40)
			k.service(name, counts[name], plimsoll.Resources{CPU: 64 * int64(1+k.dice.IntN(16)), Memory: 128 * int64(1+k.dice.IntN(16))})
		}
		for range 60 {
			k.tick(30 * time.Second)
		}
		for name := range counts {
			k.service(name, counts[name]/2, plimsoll.Resources{})
		}
		for range 200 {
			k.tick(30 * time.Second)
		}
		total := k.wants()
		bound := math.Ceil(max(float64(total.CPU)/float64(size.CPU), float64(total.Memory)/float64(size.Memory)))
		ratio := float64(k.Groups[0].Desired) / bound
		sum, worst = sum+ratio, max(worst, ratio)
		if k.unmet() != 0 {
			t.Errorf("seed %d: %d tasks have no host", seed, k.unmet())
		}
	}
	t.Logf("hosts per lower bound: %.3f on average, %.3f at most, %d mixes", sum/float64(mixes), worst, mixes)
	if sum/float64(mixes) > 1.10 {
		t.Errorf("hosts are %.3f times the lower bound on average, want at most 1.10", sum/float64(mixes))
	}
}

// TestConstantDemandWithNoiseMovesNoHosts runs a day in which every service's want
// is anew within a tenth of its own every 10 s, with nothing to smooth it.
func TestConstantDemandWithNoiseMovesNoHosts(t *testing.T) {
	for seed := range uint64(1) {
		k := newPark(seed, plimsoll.HostGroup{Name: "g", Types: []plimsoll.HostType{kind1}, Zones: []string{"a", "b", "c"}, Max: 100})
		hour := func() {
			for range 360 {
				for i := range 5 {
					base := float64(10 + 10*i)
					k.service(fmt.Sprintf("s%d", i), int(math.Round(base*(0.9+0.2*k.dice.Float64()))), plimsoll.Resources{CPU: 100, Memory: 50})
				}
				k.tick(10 * time.Second)
			}
		}
		for range 4 {
			hour()
		}
		settling := k.changes
		k.changes = 0
		for range 20 {
			hour()
		}
		t.Logf("seed %d: %d changes while settling (4 h), %d in the 20 h after", seed, settling, k.changes)
		if k.changes > 1 {
			t.Errorf("seed %d: %d hosts came or went in 20 h of constant demand", seed, k.changes)
		}
	}
}

// TestHostsKeepTheInvariantsWhateverHappens checks, over generated runs, that drain
// precedes terminate, that bounds of groups and zones hold, that no protected task
// loses its host, and that few hosts drain at a time.
func TestHostsKeepTheInvariantsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		minimum := rapid.IntRange(0, 3).Draw(rt, "min")
		k := newPark(rapid.Uint64().Draw(rt, "seed"),
			plimsoll.HostGroup{Name: "g", Types: []plimsoll.HostType{kind1}, Zones: []string{"a", "b"}, Min: minimum, Max: 12},
			plimsoll.HostGroup{Name: "h", Types: []plimsoll.HostType{{Name: "big", Resources: plimsoll.Resources{CPU: 2000, Memory: 2000}}}, Zones: []string{"b", "c"}, Max: 4})
		k.broken = func(format string, args ...any) { rt.Fatalf(format, args...) }
		k.Rules.In.Stable = time.Minute
		k.Rules.In.MinPerZone = rapid.IntRange(0, 1).Draw(rt, "zone minimum")
		k.Rules.In.Stuck = rapid.SampledFrom([]scale.Stuck{scale.StuckUndrain, scale.StuckWait}).Draw(rt, "stuck")
		k.Rules.In.DrainTimeout = 5 * time.Minute
		for i := range 3 {
			k.service(fmt.Sprint("s", i), 0, plimsoll.Resources{CPU: int64(50 + 200*i), Memory: 100})
		}
		for range rapid.IntRange(20, 120).Draw(rt, "ticks") {
			for i := range 3 {
				if rapid.IntRange(0, 9).Draw(rt, "change") == 0 {
					k.service(fmt.Sprint("s", i), rapid.IntRange(0, 20).Draw(rt, "want"), plimsoll.Resources{})
				}
			}
			for _, task := range k.tasks {
				if k.dice.IntN(20) == 0 {
					task.Protected = !task.Protected
				}
			}
			if n := len(k.Cluster.Instances); n > 0 && k.dice.IntN(30) == 0 {
				k.Cluster.Instances[k.dice.IntN(n)].Connected = k.dice.IntN(2) == 0
			}
			before := slices.Clone(k.tasks)
			p := k.tick(20 * time.Second)
			k.check(rt, p, before)
		}
	})
}

func (k *park) check(t *rapid.T, p scale.HostPlan, before []*plimsoll.Task) {
	drains := 0
	for _, m := range p.Moves {
		if m.Deed != scale.DeedDrain {
			continue
		}
		drains++
		for _, task := range k.tasks {
			if task.ContainerInstance == m.Host && task.Protected {
				t.Fatalf("host %s with the protected task %s is to drain", m.Host, task.ARN)
			}
		}
	}
	draining, stay := 0, map[string]int{}
	groupOf := map[string]string{}
	for _, g := range k.Groups {
		for _, h := range g.Hosts {
			groupOf[h.InstanceID] = g.Name
		}
	}
	for _, c := range k.Cluster.Instances {
		if c.Status == plimsoll.InstanceDraining {
			draining++
		} else {
			stay[groupOf[c.InstanceID]+"/"+c.Zone]++
		}
	}
	for _, m := range p.Moves {
		if left := stay[m.Group+"/"+m.Zone]; m.Deed == scale.DeedDrain && left < k.Rules.In.MinPerZone {
			t.Fatalf("group %s has %d hosts in zone %s that do not drain", m.Group, left, m.Zone)
		}
	}
	if most := max(1, len(k.Cluster.Instances)/10); drains > 0 && draining > most {
		t.Fatalf("%d hosts of %d drain", draining, len(k.Cluster.Instances))
	}
	for _, g := range k.Groups {
		if g.Desired > g.Max {
			t.Fatalf("group %s is at %d of at most %d", g.Name, g.Desired, g.Max)
		}
	}
	for _, task := range before {
		if task.Protected && !slices.Contains(k.tasks, task) {
			t.Fatalf("the protected task %s is gone", task.ARN)
		}
	}
}
