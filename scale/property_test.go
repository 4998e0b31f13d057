package scale_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/place"
	"plimsoll/scale"
)

// sizes that tasks have, from a sixteenth of a host to a whole one.
var sizes = []plimsoll.Resources{
	{CPU: 64, Memory: 64}, {CPU: 128, Memory: 64}, {CPU: 128, Memory: 256},
	{CPU: 256, Memory: 256}, {CPU: 512, Memory: 256}, {CPU: 512, Memory: 512}, {CPU: 1024, Memory: 1024},
}

// drawModel makes a cluster with services at zero and some of their tasks
// running already, wherever they fit.
func drawModel(t *rapid.T, uniform bool) *model {
	m := &model{
		dice:  func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "dice") },
		blind: rapid.Bool().Draw(t, "blind"),
		slow:  rapid.IntRange(0, 4).Draw(t, "slow"),
	}
	m.in = scale.Input{Now: noon, Readings: map[string][]scale.Reading{}, Overrides: map[string]scale.Override{}}
	zones := rapid.IntRange(1, 3).Draw(t, "zones")
	for i := range rapid.IntRange(1, 6).Draw(t, "hosts") {
		m.in.Cluster.Instances = append(m.in.Cluster.Instances, plimsoll.ContainerInstance{
			ARN: fmt.Sprintf("ci/%d", i), Zone: string(rune('a' + i%zones)),
			Status: plimsoll.InstanceActive, Connected: true, Registered: big, Remaining: big,
		})
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "services") {
		m.drawService(t, fmt.Sprintf("s%d", i), uniform)
	}
	m.placeAll()
	for _, task := range m.tasks {
		if task.ContainerInstance != "" {
			task.LastStatus, task.left = plimsoll.StatusRunning, 0
		}
	}
	m.snapshot()
	return m
}

func (m *model) drawService(t *rapid.T, name string, uniform bool) {
	size := small
	if !uniform {
		size = rapid.SampledFrom(sizes).Draw(t, "size")
	}
	p := scale.Policy{
		Service: name, Reserved: size,
		Priority:  rapid.IntRange(1, 3).Draw(t, "priority"),
		Min:       rapid.IntRange(0, 2).Draw(t, "min"),
		Max:       rapid.IntRange(2, 24).Draw(t, "max"),
		Remainder: rapid.IntRange(0, 3).Draw(t, "remainder") == 0,
	}
	if !p.Remainder {
		p.Triggers = []scale.Trigger{perTask(1)}
		m.demand(name, float64(rapid.IntRange(0, 20).Draw(t, "demand")))
	}
	m.in.Policies = append(m.in.Policies, p)
	n := rapid.IntRange(0, min(6, p.Max)).Draw(t, "tasks")
	m.in.Cluster.Services = append(m.in.Cluster.Services, plimsoll.Service{Name: name, Desired: n, Reserved: size})
	for range n {
		m.add(name, size)
	}
}

// shake changes the cluster and the demand a little.
func (m *model) shake(t *rapid.T) {
	for i := range m.in.Policies {
		p := &m.in.Policies[i]
		if p.Remainder {
			continue
		}
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			m.demand(p.Service, float64(rapid.IntRange(0, 20).Draw(t, "demand")))
		case 1:
			m.in.Readings[p.Service] = []scale.Reading{{Problem: "no answer"}}
		}
	}
	for _, task := range m.tasks {
		if task.Serving() && rapid.IntRange(0, 7).Draw(t, "protect") == 0 {
			task.Protected = !task.Protected
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "drain") == 0 {
		c := &m.in.Cluster.Instances[rapid.IntRange(0, len(m.in.Cluster.Instances)-1).Draw(t, "host")]
		if c.Status == plimsoll.InstanceActive {
			c.Status = plimsoll.InstanceDraining
		} else {
			c.Status = plimsoll.InstanceActive
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "die") == 0 && len(m.tasks) > 0 {
		m.tasks[rapid.IntRange(0, len(m.tasks)-1).Draw(t, "task")].LastStatus = plimsoll.StatusStopped
	}
	for i := range m.in.Policies {
		name := m.in.Policies[i].Service
		switch rapid.IntRange(0, 19).Draw(t, "override") {
		case 0:
			m.in.Overrides[name] = scale.Override{Paused: true}
		case 1:
			m.in.Overrides[name] = scale.Override{Floor: 3, Until: m.in.Now.Add(5 * time.Second)}
		case 2, 3, 4:
			delete(m.in.Overrides, name)
		}
	}
}

func TestThePropertiesOfEveryPlanHoldInEveryRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, rapid.Bool().Draw(t, "uniform"))
		for range rapid.IntRange(1, 25).Draw(t, "ticks") {
			before := m.in
			plan := m.decide()
			checkPure(t, before, plan)
			checkBounds(t, m, plan)
			checkUnknown(t, m, plan)
			checkRoom(t, m, before, plan)
			checkPriority(t, m, plan)
			m.apply()
			m.tick()
			m.shake(t)
			m.snapshot()
		}
	})
}

// checkPure asks twice: the same input gives the same plan.
func checkPure(t *rapid.T, in scale.Input, plan scale.Plan) {
	if again := scale.Decide(in); !reflect.DeepEqual(again, plan) {
		t.Fatalf("the same input gave another plan:\n%+v\n%+v", plan, again)
	}
}

// checkBounds is invariants 1 and 2: within min and max, and never below what
// is protected, or the reason is shown.
func checkBounds(t *rapid.T, m *model, plan scale.Plan) {
	for _, v := range plan.Verdicts {
		if v.Reason == "" {
			t.Fatalf("%s has no reason", v.Service)
		}
		if m.in.Overrides[v.Service].Paused {
			if v.Desired != m.service(v.Service).Desired {
				t.Fatalf("paused %s goes from %d to %d", v.Service, m.service(v.Service).Desired, v.Desired)
			}
			continue
		}
		if v.Desired < v.Protected {
			t.Fatalf("%s: desired %d is below %d protected: %s", v.Service, v.Desired, v.Protected, v.Reason)
		}
		if v.Desired > max(v.Max, v.Protected) || v.Want > v.Max || v.Want < v.Min {
			t.Fatalf("%s: want %d, desired %d of %d to %d with %d protected: %s", v.Service, v.Want, v.Desired, v.Min, v.Max, v.Protected, v.Reason)
		}
		if v.Desired > v.Grant && v.Desired > m.service(v.Service).Desired {
			t.Fatalf("%s: desired %d grows beyond the grant %d", v.Service, v.Desired, v.Grant)
		}
		if v.Desired < v.Min && !strings.Contains(v.Reason, "wait") && !strings.Contains(v.Reason, " of "+fmt.Sprint(v.Want)+":") {
			t.Fatalf("%s: desired %d is below the minimum %d and the reason does not say why: %s", v.Service, v.Desired, v.Min, v.Reason)
		}
	}
	seenGrowth := false
	for _, c := range plan.Changes {
		if c.To < c.From && seenGrowth {
			t.Fatalf("a shrink comes after a growth: %+v", plan.Changes)
		}
		seenGrowth = seenGrowth || c.To > c.From
		if c.To == c.From || c.Reason == "" {
			t.Fatalf("the change %+v changes nothing or has no reason", c)
		}
	}
}

// checkUnknown is invariant 8: a failed reading lowers no want below the
// present count.
func checkUnknown(t *rapid.T, m *model, plan scale.Plan) {
	for _, v := range plan.Verdicts {
		if len(v.Triggers) == 1 && !v.Triggers[0].Known {
			if floor := min(m.service(v.Service).Desired, v.Max); v.Want < floor {
				t.Fatalf("%s: want %d of an unknown demand is below %d: %s", v.Service, v.Want, floor, v.Reason)
			}
		}
	}
}

// checkRoom is invariant 4 and stop before start: the grants pack into the
// cluster, and what is started now packs into what is really free now.
func checkRoom(t *rapid.T, m *model, before scale.Input, plan scale.Plan) {
	for i, h := range scale.Leftovers(before) {
		if h.Before.CPU >= 0 && h.Before.Memory >= 0 && (h.Free.CPU < 0 || h.Free.Memory < 0) {
			t.Fatalf("what starts now overdraws host %d, which has %s free: %s\n%s", i, h.Before, h.Free, m)
		}
		if h.Coming.CPU < 0 || h.Coming.Memory < 0 {
			t.Fatalf("the grants overdraw host %d: %s\n%s", i, h.Coming, m)
		}
	}
	free := m.fleet()
	var all plimsoll.Resources
	for _, c := range m.in.Cluster.Instances {
		if c.Schedulable() {
			all = all.Add(free.Free(c.ARN))
		}
	}
	for _, v := range plan.Verdicts {
		s := m.service(v.Service)
		if n := v.Desired - max(s.Desired, v.Protected); n > 0 {
			all = all.Sub(s.Reserved.Times(n))
			if _, ok := free.Pick(place.Request{Reserved: s.Reserved}); !ok {
				t.Fatalf("%s starts, and not one of its tasks fits now: %s\n%s", v.Service, v.Reason, m)
			}
		}
	}
	if all.CPU < 0 || all.Memory < 0 {
		t.Fatalf("more is started than is free: %s\n%s", all, m)
	}
}

// checkPriority is invariant 3: nobody waits for room while somebody of lower
// rank keeps tasks that would each be enough, and that may be taken; and
// nothing of lower rank is started in room that a higher one could use.
func checkPriority(t *rapid.T, m *model, plan scale.Plan) {
	for _, high := range plan.Verdicts {
		p := m.policy(high.Service)
		if high.Grant >= high.Want && high.Waiting == 0 || m.in.Overrides[high.Service].Paused {
			continue
		}
		if strings.Contains(high.Reason, "way to") {
			continue // it has just lost tasks itself; the next pass makes up for that
		}
		for _, low := range plan.Verdicts {
			q := m.policy(low.Service)
			below := p.Remainder == q.Remainder && p.Priority < q.Priority || !p.Remainder && q.Remainder
			fits := p.Reserved.Fits(q.Reserved)
			if !below || !fits || m.in.Overrides[low.Service].Paused {
				continue
			}
			current := m.service(low.Service).Desired
			if low.Desired > current && low.Desired > max(low.Min, low.Protected) {
				t.Fatalf("%s starts while %s waits:\n%s", low.Service, high.Service, m)
			}
			if high.Grant < high.Want && m.takeable(low, q) {
				t.Fatalf("%s keeps %d while %s is short:\n%s", low.Service, low.Grant, high.Service, m)
			}
		}
	}
}

// takeable tells whether a task more could be taken of the service, of those
// that are on hosts that stay, and would leave room that can be used.
func (m *model) takeable(v scale.Verdict, p *scale.Policy) bool {
	lasting, free, displaced := 0, 0, 0
	for _, task := range m.tasks {
		if task.Service == v.Service && !task.Leaving() && m.draining(task.ContainerInstance) {
			displaced++
		}
	}
	for _, task := range m.staying(v.Service) {
		if task.ContainerInstance == "" {
			continue
		}
		lasting++
		if !task.Protected {
			free++
		}
	}
	kept := v.Grant - displaced
	return kept > p.Min && kept > lasting-free && v.Desired == v.Grant && v.Waiting == 0
}

// String shows a model in a failure.
func (m *model) String() string {
	var b strings.Builder
	for _, c := range m.in.Cluster.Instances {
		fmt.Fprintf(&b, "%s zone %s %s remaining %s:", c.ARN, c.Zone, c.Status, c.Remaining)
		for _, t := range m.tasks {
			if t.ContainerInstance == c.ARN {
				fmt.Fprintf(&b, " %s(%d/%d %s %s)", t.Service, t.Reserved.CPU, t.Reserved.Memory, t.LastStatus, t.DesiredStatus)
			}
		}
		b.WriteByte('\n')
	}
	for _, v := range m.plan.Verdicts {
		fmt.Fprintf(&b, "%s from %d to %d, priority %d, %d to %d: %s\n", v.Service, m.service(v.Service).Desired, v.Desired, v.Priority, v.Min, v.Max, v.Reason)
	}
	return b.String()
}
