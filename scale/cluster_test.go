package scale_test

import (
	"fmt"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/scale"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// small is the size of most tasks here: four of them fill a host of size big.
var (
	small = plimsoll.Resources{CPU: 256, Memory: 256}
	big   = plimsoll.Resources{CPU: 1024, Memory: 1024}
)

// scene is a cluster under construction for one decision.
type scene struct {
	in   scale.Input
	next int
}

// newScene gives a cluster of that many hosts of four small tasks each, in
// three zones.
func newScene(hosts int) *scene {
	c := &scene{in: scale.Input{
		Now:       noon,
		Readings:  map[string][]scale.Reading{},
		Overrides: map[string]scale.Override{},
	}}
	c.in.Cluster.Name = "test"
	c.in.Cluster.At = noon
	for i := range hosts {
		c.in.Cluster.Instances = append(c.in.Cluster.Instances, plimsoll.ContainerInstance{
			ARN: fmt.Sprintf("ci/h%02d", i), InstanceID: fmt.Sprintf("i-%02d", i),
			Zone: string(rune('a' + i%3)), Status: plimsoll.InstanceActive, Connected: true,
			Registered: big, Remaining: big,
		})
	}
	return c
}

// service adds a service under control with one task per unit of demand.
func (c *scene) service(policy scale.Policy, desired int) *scene {
	if policy.Reserved.IsZero() {
		policy.Reserved = small
	}
	c.in.Policies = append(c.in.Policies, policy)
	return c.outsider(policy.Service, policy.Reserved, desired)
}

// outsider adds a service to the cluster that is not under control.
func (c *scene) outsider(name string, size plimsoll.Resources, desired int) *scene {
	c.in.Cluster.Services = append(c.in.Cluster.Services, plimsoll.Service{
		Name: name, ARN: "service/test/" + name, Desired: desired, Reserved: size,
	})
	return c
}

func (c *scene) state(service string) *plimsoll.Service {
	for i := range c.in.Cluster.Services {
		if c.in.Cluster.Services[i].Name == service {
			return &c.in.Cluster.Services[i]
		}
	}
	return nil
}

// task changes one task as it is added.
type taskOption func(*plimsoll.Task)

func protected(t *plimsoll.Task) { t.Protected, t.ProtectedUntil = true, noon.Add(time.Hour) }
func leaving(t *plimsoll.Task) {
	t.LastStatus, t.DesiredStatus = plimsoll.StatusStopping, plimsoll.StatusStopped
}
func starting(t *plimsoll.Task) { t.LastStatus = plimsoll.StatusPending }
func sized(r plimsoll.Resources) taskOption {
	return func(t *plimsoll.Task) { t.Reserved = r }
}

// tasks adds n tasks of the service on a host; a host below 0 leaves them
// waiting for one.
func (c *scene) tasks(service string, n, host int, options ...taskOption) *scene {
	for range n {
		c.next++
		t := plimsoll.Task{
			ARN: fmt.Sprintf("task/test/%04d", c.next), Service: service, Reserved: small,
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			CreatedAt: noon.Add(-time.Hour + time.Duration(c.next)*time.Second),
		}
		if s := c.state(service); s != nil {
			t.Reserved = s.Reserved
		}
		if host < 0 {
			t.LastStatus = plimsoll.StatusProvisioning
		} else {
			t.ContainerInstance = c.in.Cluster.Instances[host].ARN
			t.Zone = c.in.Cluster.Instances[host].Zone
		}
		for _, o := range options {
			o(&t)
		}
		if host >= 0 {
			h := &c.in.Cluster.Instances[host]
			h.Remaining = h.Remaining.Sub(t.Reserved)
		}
		if s := c.state(service); s != nil {
			if t.Serving() {
				s.Running++
			} else if !t.Leaving() {
				s.Pending++
			}
		}
		c.in.Cluster.Tasks = append(c.in.Cluster.Tasks, t)
	}
	return c
}

// reads sets the readings of a service's triggers.
func (c *scene) reads(service string, values ...float64) *scene {
	list := make([]scale.Reading, len(values))
	for i, v := range values {
		list[i] = scale.Reading{Known: true, Value: v, At: noon}
	}
	c.in.Readings[service] = list
	return c
}

// fails sets the readings of a service's triggers to unknown.
func (c *scene) fails(service, problem string) *scene {
	c.in.Readings[service] = []scale.Reading{{Problem: problem}}
	return c
}

func (c *scene) decide() scale.Plan { return scale.Decide(c.in) }

func verdictOf(t testing.TB, p scale.Plan, service string) scale.Verdict {
	t.Helper()
	for _, v := range p.Verdicts {
		if v.Service == service {
			return v
		}
	}
	t.Fatalf("the plan has no verdict on %q", service)
	return scale.Verdict{}
}

// perTask is a trigger that wants a task for each unit of demand.
func perTask(target float64) scale.Trigger {
	return scale.Trigger{Name: "router", Unit: "requests in flight", Target: target, Mode: scale.Average}
}

func policy(name string, priority, lo, hi int, triggers ...scale.Trigger) scale.Policy {
	return scale.Policy{
		Service: name, Priority: priority, Min: lo, Max: hi, Triggers: triggers,
		Behavior: scale.Behavior{Tolerance: 0.1},
	}
}

func filler(name string, priority, lo, hi int) scale.Policy {
	return scale.Policy{Service: name, Priority: priority, Min: lo, Max: hi, Remainder: true}
}
