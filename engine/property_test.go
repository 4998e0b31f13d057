package engine_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/place"
)

// chaos drives a cluster with whatever people, programs and the machine may do,
// and checks the invariants after each step. A twin gets the same events.
type chaos struct {
	*cluster
	t    *rapid.T
	twin *engine.Machine
	b    before
	// steps counts the steps so far.
	steps int
}

// happen is one step of one event.
func (c *chaos) happen(e engine.Event) engine.Effects {
	c.t.Helper()
	fx := c.m.Step(c.now, []engine.Event{e})
	c.persist(fx)
	if again := c.twin.Step(c.now, []engine.Event{e}); !reflect.DeepEqual(fx, again) {
		c.t.Fatalf("the same event gives other effects:\n%+v\n%+v", fx, again)
	}
	c.checkEffects(fx)
	c.checkCapacity()
	c.checkProtected(c.b)
	c.checkWaiting(c.b)
	c.checkRollout(c.b)
	c.checkBounds()
	c.checkTerms(c.b)
	if c.steps++; c.steps%4 == 0 { // the dearest of the checks
		c.checkDisk()
	}
	c.b = snapshot(c.m)
	return fx
}

func (c *chaos) event(e engine.Event) { c.carryOut(c.happen(e)) }

func (c *chaos) call(command engine.Command) {
	c.calls++
	c.event(engine.Call{ID: c.calls, Command: command})
}

// checkEffects: nothing is started twice, nothing is stopped that has not left
// the router, and all that a step changes is on record.
func (c *chaos) checkEffects(fx engine.Effects) {
	c.t.Helper()
	for _, s := range fx.Starts {
		if c.tasks[s.TaskID] != nil {
			c.t.Fatalf("task %s is started twice", s.TaskID)
		}
		if got := c.task(s.TaskID).LastStatus; got != plimsoll.StatusPending {
			c.t.Fatalf("task %s is started and is %s", s.TaskID, got)
		}
	}
	for _, id := range fx.Stops {
		if t, ok := c.m.Task("", id); ok && staying(t) {
			c.t.Fatalf("task %s is stopped and is to run", id)
		}
	}
	seen := map[string]bool{}
	for _, r := range fx.Records {
		if r.Value == nil {
			continue // a service that is gone may be made anew in the same step
		}
		if seen[r.Key] {
			c.t.Fatalf("%q has two records in one step", r.Key)
		}
		seen[r.Key] = true
	}
}

func (c *chaos) pick(label string, list []string) string {
	if len(list) == 0 {
		c.t.Skip("no " + label)
	}
	return rapid.SampledFrom(list).Draw(c.t, label)
}

// host is any of the hosts.
func (c *chaos) host() *engine.ContainerInstance {
	all := c.m.Instances("")
	if len(all) == 0 {
		c.t.Skip("no host")
	}
	return rapid.SampledFrom(all).Draw(c.t, "host")
}

func (c *chaos) serviceNames() []string {
	var names []string
	for _, s := range c.m.Services("") {
		names = append(names, s.Name)
	}
	return names
}

func (c *chaos) taskIDs() []string {
	var ids []string
	for _, t := range c.m.Tasks("") {
		ids = append(ids, t.ID)
	}
	return ids
}

// workers are up to n tasks of services that are to run.
func (c *chaos) workers(n int) []string {
	var ids []string
	for _, t := range c.m.Tasks("") {
		if t.Service != "" && staying(t) && t.ContainerInstance != "" {
			ids = append(ids, t.ID)
		}
	}
	var picked []string
	for range n {
		picked = append(picked, c.pick("worker", ids))
	}
	return picked
}

func (c *chaos) actions() map[string]func(*rapid.T) {
	families := []string{"small", "large", "ported", "checked"}
	family := func() string { return rapid.SampledFrom(families).Draw(c.t, "family") }
	number := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(c.t, label) }
	actions := map[string]func(){
		"create service": func() {
			least, most := number("minimum", 0, 100), number("maximum", 100, 200)
			c.call(engine.CreateService{
				Name: fmt.Sprintf("s%d", number("service", 1, 4)), TaskDefinition: family(),
				Desired: number("desired", 0, 6), MinimumHealthyPercent: &least, MaximumPercent: &most,
				Tags: map[string]string{plimsoll.TagPriority: fmt.Sprint(number("priority", 1, 3))},
			})
		},
		"scale service": func() {
			n := number("desired", 0, 6)
			c.call(engine.UpdateService{Service: c.pick("service", c.serviceNames()), Desired: &n})
		},
		"create a service with terms": func() { c.call(c.choosy()) },
		"change an attribute": func() {
			i := c.host()
			name := rapid.SampledFrom([]string{"disk", engine.AttributeGroup}).Draw(c.t, "attribute")
			value := rapid.SampledFrom([]string{"ssd", "tape", "asg-a", "asg-b"}).Draw(c.t, "value")
			if _, there := i.Attributes[name]; there && rapid.Bool().Draw(c.t, "take it off") {
				c.call(engine.DeleteAttributes{Attributes: []engine.Attribute{{Name: name, Target: i.ARN}}})
				return
			}
			c.call(engine.PutAttributes{Attributes: []engine.Attribute{{Name: name, Value: &value, Target: i.ARN}}})
		},
		"register a host": func() {
			c.call(engine.RegisterInstance{Resources: plimsoll.Resources{CPU: 700, Memory: 700}})
		},
		"deregister a host": func() {
			i := c.host()
			c.call(engine.DeregisterInstance{Instance: i.ARN, Force: rapid.Bool().Draw(c.t, "force")})
		},
		"start a task on a host": func() {
			i := c.host()
			c.call(engine.StartTask{TaskDefinition: family(), Instances: []string{i.ARN}})
		},
		"a worker takes itself off": func() {
			id := c.workers(1)[0]
			s, _ := c.m.Service("", c.task(id).Service)
			if s == nil || s.Desired == 0 {
				c.t.Skip("nothing to take off")
			}
			n := max(0, s.Desired-number("less", 0, 1))
			if rapid.Bool().Draw(c.t, "unknown") {
				c.call(engine.UpdateService{Service: s.Name, Desired: &n})
				return
			}
			c.call(engine.UpdateService{Service: s.Name, Desired: &n, Caller: id})
		},
		"delete definitions": func() {
			var inactive []string
			for _, d := range c.m.TaskDefinitions() {
				if d.Status != "ACTIVE" {
					inactive = append(inactive, d.ARN)
				}
			}
			c.call(engine.DeleteTaskDefinitions{TaskDefinitions: []string{c.pick("definition", inactive)}})
		},
		"replace a definition": func() {
			d, _ := c.m.TaskDefinition(family())
			c.call(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: d.Family, Containers: d.Containers}})
			c.call(engine.DeregisterTaskDefinition{TaskDefinition: d.ARN})
		},
		"deploy service": func() {
			name, with := c.pick("service", c.serviceNames()), family()
			if name == "agent" {
				with = "small" // with a fixed port it would keep all others out
			}
			c.call(engine.UpdateService{Service: name, TaskDefinition: with, ForceNewDeployment: true})
		},
		"delete service": func() {
			name, force := c.pick("service", c.serviceNames()), rapid.Bool().Draw(c.t, "force")
			c.b.forced[name] = force
			c.call(engine.DeleteService{Service: name, Force: force})
		},
		"run task": func() {
			c.call(engine.RunTask{TaskDefinition: family(), Count: number("count", 1, 4)})
		},
		"stop task": func() {
			id := c.pick("task", c.taskIDs())
			c.b.released[id] = true
			c.call(engine.StopTask{Task: id})
		},
		"protect": func() {
			c.call(engine.UpdateTaskProtection{
				Tasks: c.workers(number("tasks", 1, 3)), Enabled: true, Expires: time.Duration(number("minutes", 1, 5)) * time.Minute,
			})
		},
		"scale service to nothing": func() {
			none := 0
			c.call(engine.UpdateService{Service: c.pick("service", c.serviceNames()), Desired: &none})
		},
		"unprotect": func() {
			id := c.pick("task", c.taskIDs())
			c.b.released[id] = true
			c.call(engine.UpdateTaskProtection{Tasks: []string{id}})
		},
		"release": func() {
			c.call(engine.TagResource{ARN: c.task(c.pick("task", c.taskIDs())).ARN, Set: map[string]string{plimsoll.TagReleased: "now"}})
		},
		"take a release back": func() {
			c.call(engine.TagResource{ARN: c.task(c.pick("task", c.taskIDs())).ARN, Remove: []string{plimsoll.TagReleased}})
		},
		"drain or open host": func() {
			i := c.host()
			status := rapid.SampledFrom([]string{"ACTIVE", "DRAINING"}).Draw(c.t, "status")
			c.call(engine.UpdateContainerInstancesState{Instances: []string{i.ARN}, Status: status})
		},
		"change the number of hosts": func() { c.call(engine.PutHosts{Hosts: hostSpecs(number("hosts", 1, 5))}) },
		"a task starts": func() {
			c.event(c.started(c.pick("starting task", c.ids(func(t *modelTask) bool { return !t.running }))))
		},
		"a task's health changes": func() {
			id := c.pick("checked task", c.ids(func(t *modelTask) bool { return t.running && t.spec.Containers[0].HealthCheck != nil }))
			c.event(c.turns(id, rapid.SampledFrom([]string{order.HealthHealthy, order.HealthUnhealthy, order.HealthUnknown}).Draw(c.t, "health")))
		},
		"a task fails to start": func() {
			id := c.pick("starting task", c.ids(func(t *modelTask) bool { return !t.running }))
			e := c.says(id, runtime.StartFailed)
			delete(c.tasks, id)
			c.event(e)
		},
		"a task ends": func() {
			id := c.pick("running task", c.ids(func(t *modelTask) bool { return t.running || t.stopping }))
			c.event(c.exited(id, number("code", 0, 1)))
		},
		"a stop is done": func() {
			c.event(c.exited(c.pick("stopping task", c.ids(func(t *modelTask) bool { return t.stopping })), 0))
		},
		"a drain is done": func() {
			id := c.pick("drain", c.drains)
			c.drains = slices.DeleteFunc(c.drains, func(d string) bool { return d == id })
			c.event(engine.Drained{TaskID: id})
		},
		"time passes": func() {
			c.now = c.now.Add(time.Duration(number("seconds", 0, 100)) * time.Second)
			c.event(engine.Tick{})
		},
		"the engine is killed": func() { c.kill(rapid.Bool().Draw(c.t, "before its effects")) },
	}
	made := map[string]func(*rapid.T){}
	for name, act := range actions {
		made[name] = func(t *rapid.T) {
			c.t, c.cluster.t = t, t
			act()
		}
	}
	return made
}

// choosy is a service that does not go just anywhere, of one of several kinds.
func (c *chaos) choosy() engine.CreateService {
	number := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(c.t, label) }
	kinds := map[string]func(*engine.CreateService){
		"ssd":   func(in *engine.CreateService) { in.Constraints = memberOf(onSSD) },
		"apart": func(in *engine.CreateService) { in.Constraints = []place.Constraint{{Type: place.DistinctInstance}} },
		"even": func(in *engine.CreateService) {
			in.Strategies = []place.Strategy{{Type: place.Spread, Field: "attribute:disk"}, {Type: place.Spread, Field: place.FieldInstance}}
		},
		"random": func(in *engine.CreateService) { in.Strategies = []place.Strategy{{Type: place.Random}} },
		"shares": func(in *engine.CreateService) {
			in.ProviderStrategy = []engine.ProviderShare{{Provider: "a", Base: 1, Weight: 1}, {Provider: "b", Weight: 2}}
		},
		"agent": func(in *engine.CreateService) {
			in.Scheduling, in.Desired, in.TaskDefinition = engine.Daemon, 0, "small"
		},
		"breaker": func(in *engine.CreateService) {
			in.Breaker = engine.Breaker{Enable: true, Rollback: rapid.Bool().Draw(c.t, "rollback")}
		},
		"workers": func(in *engine.CreateService) { in.Tags = map[string]string{plimsoll.TagCooperative: "true"} },
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(c.t, "kind")
	in := engine.CreateService{
		Name: name, TaskDefinition: rapid.SampledFrom([]string{"small", "ported", "checked"}).Draw(c.t, "family"), Desired: number("desired", 0, 6),
	}
	kinds[name](&in)
	return in
}

// onSSD is the model's one memberOf expression.
const onSSD = "attribute:disk == ssd"

// kill ends the engine between two steps, or between a step's records and its
// effects; meanwhile a task may end.
func (c *chaos) kill(lost bool) {
	if lost {
		// On record, and never carried out.
		c.happen(engine.Call{ID: 0, Command: engine.RunTask{TaskDefinition: "small"}})
	}
	for _, id := range c.ids(func(t *modelTask) bool { return t.running }) {
		if rapid.IntRange(0, 3).Draw(c.t, "ends meanwhile") == 0 {
			c.tasks[id].exited = true
		}
	}
	c.m = reload(c.t, c.cfg, c.disk)
	c.twin = reload(c.t, c.cfg, c.disk)
	c.drains = nil
	c.b = snapshot(c.m)
	events := c.adopt(c.m.Specs())
	c.event(engine.Tick{})
	for _, e := range events {
		c.event(e)
	}
}

func newChaos(t *rapid.T) *chaos {
	cfg := engine.Config{StoppedMax: 12, StoppedKeep: 5 * time.Minute, Seed: "test"}
	c := &chaos{cluster: newCluster(t, cfg), t: t, twin: engine.New(cfg)}
	c.b = snapshot(c.m)
	c.call(engine.CreateCluster{})
	for family, d := range map[string]engine.ContainerDefinition{
		"small":   {Name: "main", CPU: 200, Memory: 100, Essential: true},
		"large":   {Name: "main", CPU: 600, Memory: 300, Essential: true},
		"checked": {Name: "main", CPU: 200, Memory: 100, Essential: true, HealthCheck: check()},
		"ported":  {Name: "main", CPU: 100, Memory: 400, Essential: true, PortMappings: []engine.PortMapping{{ContainerPort: 80, HostPort: 8080}}},
	} {
		c.call(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: family, Containers: []engine.ContainerDefinition{d}}})
	}
	for _, name := range []string{"a", "b"} {
		c.call(engine.CreateCapacityProvider{Name: name, Group: "asg-" + name})
	}
	c.call(engine.PutClusterCapacityProviders{Cluster: "default", CapacityProviders: []string{"a", "b"}})
	c.call(engine.PutHosts{Hosts: hostSpecs(3)})
	return c
}

func TestTheInvariantsHoldAfterEveryStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChaos(t)
		t.Repeat(c.actions())
		c.t, c.cluster.t = t, t
		c.checkDisk()
		c.comesToRest()
	})
}

// comesToRest: once nothing fails any more and there is room, every service has
// just what it is to have, and nothing is left over.
func (c *chaos) comesToRest() {
	c.t.Helper()
	c.b = snapshot(c.m)
	c.do(engine.PutHosts{Hosts: hostSpecs(60)})
	ssd := "ssd"
	for _, i := range c.m.Instances("") {
		c.do(engine.PutAttributes{Attributes: []engine.Attribute{{Name: "disk", Value: &ssd, Target: i.ARN}}})
		if _, there := i.Attributes[engine.AttributeGroup]; there {
			c.do(engine.DeleteAttributes{Attributes: []engine.Attribute{{Name: engine.AttributeGroup, Target: i.ARN}}})
		}
		c.do(engine.UpdateContainerInstancesState{Instances: []string{i.ARN}, Status: "ACTIVE"})
	}
	for range 12 {
		c.run()
		c.now = c.now.Add(time.Minute)
		c.step(engine.Tick{})
	}
	c.run()
	for _, s := range c.m.Services("") {
		running, pending := c.m.ServiceCounts("", s.Name)
		blocked := s.Desired*s.MaximumPercent/100 <= (s.Desired*s.MinimumHealthyPercent+99)/100
		switch {
		case s.Status == "ACTIVE" && s.Deployments[0].RolloutState == "FAILED":
		case s.Status == "ACTIVE" && s.Scheduling == engine.Daemon:
			// A host may be too small for its task.
			if running+pending != s.Desired {
				c.t.Fatalf("%s has %d running and %d pending tasks on %d hosts", s.Name, running, pending, s.Desired)
			}
		case s.Status == "DRAINING":
			c.t.Fatalf("%s is still DRAINING", s.Name)
		case s.Status == "ACTIVE" && !blocked && (running != s.Desired || pending != 0 || len(s.Deployments) != 1):
			c.t.Fatalf("%s has %d running and %d pending tasks of %d in %d deployments", s.Name, running, pending, s.Desired, len(s.Deployments))
		}
	}
	for _, t := range c.m.Tasks("") {
		if alive(t) && t.LastStatus != plimsoll.StatusRunning && t.Target == "" {
			c.t.Fatalf("task %s of %q is still %s", t.ID, t.Service, t.LastStatus)
		}
	}
}

// Whatever the disk has kept of the records, even if the last step's are cut
// in two, makes a valid machine that goes on.
func TestEveryPrefixOfTheRecordsIsAValidState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChaos(t)
		t.Repeat(c.actions())
		disk := map[string][]byte{}
		cut := rapid.IntRange(0, 3).Draw(t, "every nth record")
		n := 0
		for _, batch := range c.batches {
			for _, r := range batch {
				if r.Value == nil {
					delete(disk, r.Key)
				} else {
					disk[r.Key] = r.Value
				}
				n++
				if cut > 0 && n%(cut*7) != 0 {
					continue
				}
				p := &cluster{t: t, cfg: c.cfg, m: reload(t, c.cfg, disk), now: c.now, tasks: map[string]*modelTask{}, disk: map[string][]byte{}}
				p.checkCapacity()
				p.step(engine.Tick{})
				p.checkCapacity()
			}
		}
	})
}
