package engine_test

import (
	"slices"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime/order"
	"plimsoll/place"
)

// before is what a step began with, as far as the invariants compare.
type before struct {
	tasks    map[string]*engine.Task
	services map[string]*engine.Service
	draining map[string]bool
	healthy  map[string]int
	// released are the tasks that somebody asked to be stopped or unprotected,
	// forced the services that are deleted by force.
	released, forced map[string]bool
}

func snapshot(m *engine.Machine) before {
	b := before{
		tasks: map[string]*engine.Task{}, services: map[string]*engine.Service{}, draining: map[string]bool{},
		healthy: map[string]int{}, released: map[string]bool{}, forced: map[string]bool{},
	}
	for _, t := range m.Tasks("") {
		b.tasks[t.ID] = t
	}
	for _, s := range m.Services("") {
		b.services[s.Name] = s
		b.healthy[s.Name] = healthy(m, s.Name)
	}
	for _, i := range m.Instances("") {
		b.draining[i.ARN] = i.Status == plimsoll.InstanceDraining
	}
	return b
}

// healthy counts the service's tasks that stay, run, and are HEALTHY where they
// have a health check.
func healthy(m *engine.Machine, service string) int {
	n := 0
	for _, t := range m.Tasks("") {
		if t.Service == service && staying(t) && t.LastStatus == plimsoll.StatusRunning && fit(m, t) {
			n++
		}
	}
	return n
}

// fit tells whether no health check says anything but HEALTHY.
func fit(m *engine.Machine, t *engine.Task) bool {
	d, ok := m.TaskDefinition(t.TaskDefinition)
	return ok && (d.Containers[0].HealthCheck == nil || t.Containers[0].Health == order.HealthHealthy)
}

// leaving tells whether the task had taken itself off.
func (b before) leaving(service, id string) bool {
	s := b.services[service]
	return s != nil && slices.ContainsFunc(s.Leaves, func(l engine.Leave) bool { return l.Task == id })
}

// may tells whether the task's terms let it on the host.
func (c *cluster) may(t *engine.Task, i *engine.ContainerInstance) bool {
	group, grouped := i.Attributes[engine.AttributeGroup]
	if t.Target != "" && t.Target != i.ARN || t.CapacityProvider != "" && grouped && group != "asg-"+t.CapacityProvider {
		return false
	}
	s, ok := c.m.Service("", t.Service)
	if !ok || t.Service == "" {
		return true
	}
	for _, constraint := range s.Constraints {
		if constraint.Expression == onSSD && i.Attributes["disk"] != "ssd" {
			return false
		}
		if constraint.Type == place.DistinctInstance && slices.ContainsFunc(c.m.Tasks(""), func(o *engine.Task) bool {
			return o.ID != t.ID && alive(o) && o.Service == t.Service && o.ContainerInstance == i.ARN
		}) {
			return false
		}
	}
	return true
}

// checkTerms: what was placed in this step is where its terms let it be, and a
// daemon has no two tasks that stay on one host.
func (c *cluster) checkTerms(b before) {
	c.t.Helper()
	daemons := map[string]bool{}
	for _, t := range c.m.Tasks("") {
		if !alive(t) {
			continue
		}
		if t.Target != "" && staying(t) {
			if key := t.Service + " on " + t.Target; daemons[key] {
				c.t.Fatalf("the daemon %s has two tasks", key)
			} else {
				daemons[key] = true
			}
		}
		if was := b.tasks[t.ID]; t.ContainerInstance == "" || was != nil && was.ContainerInstance != "" {
			continue
		}
		if i, ok := c.m.Instance("", t.ContainerInstance); ok && !c.may(t, i) {
			c.t.Fatalf("task %s of %s was placed on %s, where its terms do not let it be", t.ID, t.Service, i.Name)
		}
	}
}

func alive(t *engine.Task) bool { return t.LastStatus != plimsoll.StatusStopped }

func staying(t *engine.Task) bool {
	return alive(t) && t.DesiredStatus == plimsoll.StatusRunning
}

// checkCapacity: the sum of reservations stays within capacity on every host,
// host ports are unique, and the counts are the tasks' own.
func (c *cluster) checkCapacity() {
	c.t.Helper()
	sum := map[string]plimsoll.Resources{}
	ports := map[string][]int{}
	count := map[string]int{}
	for _, t := range c.m.Tasks("") {
		if !alive(t) || t.ContainerInstance == "" {
			continue
		}
		sum[t.ContainerInstance] = sum[t.ContainerInstance].Add(t.Reserved)
		ports[t.ContainerInstance] = append(ports[t.ContainerInstance], t.FixedPorts...)
		count[t.ContainerInstance]++
	}
	for _, i := range c.m.Instances("") {
		if !sum[i.ARN].Fits(i.Registered) {
			c.t.Fatalf("%s of %v holds %v", i.Name, i.Registered, sum[i.ARN])
		}
		if got, want := c.m.Remaining(i.ARN), i.Registered.Sub(sum[i.ARN]); got != want {
			c.t.Fatalf("%s has %v left by the index, %v by its tasks", i.Name, got, want)
		}
		list := slices.Sorted(slices.Values(ports[i.ARN]))
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			c.t.Fatalf("%s has a host port twice: %v", i.Name, list)
		}
		if r, p := c.m.InstanceCounts(i.ARN); r+p != count[i.ARN] {
			c.t.Fatalf("%s counts %d running and %d pending tasks and has %d", i.Name, r, p, count[i.ARN])
		}
		delete(count, i.ARN)
	}
	if len(count) > 0 {
		c.t.Fatalf("tasks are on hosts that are not in the cluster: %v", count)
	}
}

// checkProtected: nothing but an exit, a person or a forced deletion ends a
// protected task.
func (c *cluster) checkProtected(b before) {
	c.t.Helper()
	for _, t := range c.m.Tasks("") {
		was := b.tasks[t.ID]
		if was == nil || !staying(was) || !was.Protected(c.now) || b.released[t.ID] || b.forced[t.Service] {
			continue
		}
		if t.DesiredStatus == plimsoll.StatusStopped && t.StopCode == "ServiceSchedulerInitiated" {
			c.t.Fatalf("the protected task %s of %s was stopped: %s", t.ID, t.Service, t.StoppedReason)
		}
	}
}

// checkWaiting: no task waits for which there is room, and none of lower
// priority was placed in its stead in this step.
func (c *cluster) checkWaiting(b before) {
	c.t.Helper()
	placed := map[string][]*engine.Task{}
	held := map[string][]int{}
	for _, t := range c.m.Tasks("") {
		if !alive(t) || t.ContainerInstance == "" {
			continue
		}
		held[t.ContainerInstance] = append(held[t.ContainerInstance], t.FixedPorts...)
		if was := b.tasks[t.ID]; was == nil || was.ContainerInstance == "" {
			placed[t.ContainerInstance] = append(placed[t.ContainerInstance], t)
		}
	}
	for _, w := range c.m.Tasks("") {
		if w.LastStatus != plimsoll.StatusProvisioning {
			continue
		}
		s, _ := c.m.Service("", w.Service)
		if c.now.Before(s.RetryAt) || w.CapacityProvider != "" {
			continue // in a strategy, those of one provider wait in line
		}
		for _, i := range c.m.Instances("") {
			if i.Status != plimsoll.InstanceActive {
				continue
			}
			free, ports := c.m.Remaining(i.ARN), slices.Clone(held[i.ARN])
			for _, t := range placed[i.ARN] {
				if t.Priority > w.Priority {
					free = free.Add(t.Reserved)
					ports = slices.DeleteFunc(ports, func(p int) bool { return slices.Contains(t.FixedPorts, p) })
				}
			}
			open := !slices.ContainsFunc(w.FixedPorts, func(p int) bool { return slices.Contains(ports, p) })
			if w.Reserved.Fits(free) && open && c.may(w, i) {
				c.t.Fatalf("task %s of %s (priority %d) waits though %s had room for it", w.ID, w.Service, w.Priority, i.Name)
			}
		}
	}
}

// checkRollout: no start brings a service over its maximum, no stop of an old
// task brings it under its minimum of healthy tasks, and a rollout is completed
// by healthy tasks only.
func (c *cluster) checkRollout(b before) {
	c.t.Helper()
	for _, s := range c.m.Services("") {
		if s.Status != "ACTIVE" || s.Scheduling == engine.Daemon {
			continue
		}
		running, pending := c.m.ServiceCounts("", s.Name)
		made, oldStopped, otherStopped := 0, 0, 0
		for _, t := range c.m.Tasks("") {
			if t.Service != s.Name {
				continue
			}
			was := b.tasks[t.ID]
			switch {
			case was == nil:
				made++
			case !staying(was) || staying(t) || was.LastStatus != plimsoll.StatusRunning:
			case t.StopCode != "ServiceSchedulerInitiated" || b.leaving(s.Name, t.ID) || !fit(c.m, t):
				otherStopped++
			case was.Deployment != s.Deployments[0].ID || c.isDraining(was.ContainerInstance):
				oldStopped++
			default:
				otherStopped++
			}
		}
		if most := s.Desired * s.MaximumPercent / 100; made > 0 && running+pending > most {
			c.t.Fatalf("%s has %d running and %d pending tasks, at most %d are allowed", s.Name, running, pending, most)
		}
		floor := (s.Desired*s.MinimumHealthyPercent + 99) / 100
		fit := healthy(c.m, s.Name)
		if oldStopped > 0 && otherStopped == 0 && fit < min(floor, b.healthy[s.Name]) {
			c.t.Fatalf("%d old tasks of %s were stopped and %d of at least %d are healthy", oldStopped, s.Name, fit, floor)
		}
		was := b.services[s.Name]
		ended := was != nil && was.Deployments != nil && was.Deployments[0].ID == s.Deployments[0].ID && was.Deployments[0].RolloutState == "IN_PROGRESS" &&
			s.Deployments[0].RolloutState == "COMPLETED"
		if ended && fit < s.Desired {
			c.t.Fatalf("the rollout of %s is completed with %d of %d tasks healthy", s.Name, fit, s.Desired)
		}
	}
}

func (c *cluster) isDraining(arn string) bool {
	i, ok := c.m.Instance("", arn)
	return ok && i.Status == plimsoll.InstanceDraining
}

// checkBounds: what has stopped is bounded, and what a service is to have is
// there or on its way, unless its back-off, its rollout or its end is in the way.
func (c *cluster) checkBounds() {
	c.t.Helper()
	stopped := 0
	for _, t := range c.m.Tasks("") {
		if !alive(t) {
			stopped++
		}
	}
	if stopped > c.cfg.StoppedMax {
		c.t.Fatalf("%d stopped tasks are kept, at most %d are allowed", stopped, c.cfg.StoppedMax)
	}
	for _, s := range c.m.Services("") {
		running, pending := c.m.ServiceCounts("", s.Name)
		if s.Status != "ACTIVE" || c.now.Before(s.RetryAt) || s.Scheduling == engine.Daemon || s.Deployments[0].RolloutState == "FAILED" {
			continue
		}
		most := s.Desired * s.MaximumPercent / 100
		excused := 0
		for _, t := range c.m.Tasks("") {
			if t.Service == s.Name && t.Excused {
				excused++
			}
		}
		if running+pending < min(s.Desired-excused, most) {
			c.t.Fatalf("%s has %d running and %d pending tasks and is to have %d", s.Name, running, pending, s.Desired)
		}
	}
}

// checkDisk: the records bring back just what the machine shows.
func (c *cluster) checkDisk() {
	c.t.Helper()
	if got, want := dump(reload(c.t, c.cfg, c.disk)), dump(c.m); got != want {
		c.t.Fatalf("the records give another state:\n%s\nthan the machine has:\n%s", got, want)
	}
}
