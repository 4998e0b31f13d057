package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/place"
)

// attribute puts an attribute on the nth host, counted from 1.
func (c *cluster) attribute(host int, name, value string) {
	c.t.Helper()
	c.do(engine.PutAttributes{Attributes: []engine.Attribute{{
		Name: name, Value: &value, Target: c.m.Instances("")[host-1].ARN,
	}}})
}

// hostsOf are the numbers of the hosts that have the service's tasks, by how many.
func (c *cluster) hostsOf(service string) map[int]int {
	on := map[int]int{}
	for _, t := range c.m.ServiceTasks("", service) {
		for n, i := range c.m.Instances("") {
			if i.ARN == t.ContainerInstance {
				on[n+1]++
			}
		}
	}
	return on
}

func (c *cluster) create(name string, desired int, change func(*engine.CreateService)) {
	c.t.Helper()
	in := engine.CreateService{Name: name, TaskDefinition: c.definition(name, 100, 10), Desired: desired}
	if change != nil {
		change(&in)
	}
	c.do(in)
}

func memberOf(expression string) []place.Constraint {
	return []place.Constraint{{Type: place.MemberOf, Expression: expression}}
}

func TestTasksGoOnlyWhereTheirConstraintHolds(t *testing.T) {
	c := newHosts(t, 3)
	c.attribute(2, "disk", "ssd")
	c.create("db", 2, func(in *engine.CreateService) { in.Constraints = memberOf("attribute:disk == ssd") })
	c.run()
	equal(t, "hosts of db", c.hostsOf("db"), map[int]int{2: 2})

	c.create("cache", 1, func(in *engine.CreateService) {
		in.Constraints = memberOf("attribute:disk == tape and not task:group == service:db")
	})
	c.run()
	c.expect("cache", 0, 1)
	equal(t, "shortage events", c.said("cache", "3 of 3 do not satisfy the placement constraints"), 1)
	c.attribute(2, "disk", "tape")
	c.run()
	c.expect("cache", 0, 1)
	c.attribute(3, "disk", "tape")
	c.run()
	equal(t, "hosts of cache", c.hostsOf("cache"), map[int]int{3: 1})
}

func TestADefinitionsConstraintHoldsForAllItsTasks(t *testing.T) {
	c := newHosts(t, 3)
	c.attribute(3, "gpu", "yes")
	c.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
		Family: "train", Constraints: memberOf("attribute:gpu exists"),
		Containers: []engine.ContainerDefinition{{Name: "main", CPU: 600, Memory: 10, Essential: true}},
	}})
	r := c.do(engine.RunTask{TaskDefinition: "train", Count: 2}).(*engine.RunTaskResult)
	equal(t, "placed on", r.Tasks[0].ContainerInstance, c.m.Instances("")[2].ARN)
	equal(t, "failures", len(r.Failures), 1)
	equal(t, "reason", r.Failures[0].Reason, "MemberOf placement constraint unsatisfied.")
}

func TestDistinctInstanceKeepsTasksOfAGroupApart(t *testing.T) {
	c := newHosts(t, 3)
	distinct := []place.Constraint{{Type: place.DistinctInstance}}
	c.create("one-each", 4, func(in *engine.CreateService) { in.Constraints = distinct })
	c.run()
	equal(t, "hosts", c.hostsOf("one-each"), map[int]int{1: 1, 2: 1, 3: 1})
	c.expect("one-each", 3, 1)
	equal(t, "shortage", c.said("one-each", "3 of 3 have a task of the group already"), 1)
	c.definition("job", 10, 10)
	r := c.do(engine.RunTask{TaskDefinition: "job", Count: 4, Constraints: distinct, Group: "batch"}).(*engine.RunTaskResult)
	equal(t, "jobs apart", len(r.Tasks), 3)
	equal(t, "reason", r.Failures[0].Reason, "DistinctInstance placement constraint unsatisfied.")
}

func TestStrategiesChooseTheHost(t *testing.T) {
	spread := func(field string) []place.Strategy { return []place.Strategy{{Type: place.Spread, Field: field}} }
	for name, test := range map[string]struct {
		strategies []place.Strategy
		want       map[int]int
	}{
		"over instances":   {spread(place.FieldInstance), map[int]int{1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2}},
		"over racks, full": {append(spread("attribute:rack"), place.Strategy{Type: place.Binpack, Field: place.FieldMemory}), map[int]int{1: 6, 4: 6}},
		"binpack alone":    {[]place.Strategy{{Type: place.Binpack, Field: place.FieldMemory}}, map[int]int{1: 10, 2: 2}},
		"racks, then instances": {
			append(spread("attribute:rack"), spread(place.FieldInstance)...), map[int]int{1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2}},
	} {
		c := newHosts(t, 6)
		for n := range 6 {
			c.attribute(n+1, "rack", fmt.Sprint(n/3))
		}
		c.create("web", 12, func(in *engine.CreateService) { in.Strategies = test.strategies })
		c.run()
		got := c.hostsOf("web")
		// Hosts are told apart by their ARN only: count how many have how many.
		if fmt.Sprint(countsOf(got)) != fmt.Sprint(countsOf(test.want)) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func countsOf(on map[int]int) map[int]int {
	n := map[int]int{}
	for _, tasks := range on {
		n[tasks]++
	}
	return n
}

func TestRandomPlacementIsTheSameWithTheSameSeed(t *testing.T) {
	var seen []string
	for range 2 {
		c := newHosts(t, 9)
		c.create("web", 30, func(in *engine.CreateService) { in.Strategies = []place.Strategy{{Type: place.Random}} })
		c.run()
		on := c.hostsOf("web")
		if len(on) < 6 {
			t.Errorf("30 tasks are on %d of 9 hosts", len(on))
		}
		seen = append(seen, fmt.Sprint(on))
	}
	equal(t, "the second time", seen[1], seen[0])
}

func TestStrategiesAndConstraintsThatECSDoesNotHaveAreRefused(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("web", 1, 1)
	for words, in := range map[string]engine.RunTask{
		"the field \"rack\" of spread":          {Strategies: []place.Strategy{{Type: place.Spread, Field: "rack"}}},
		"the field \"disk\" of binpack":         {Strategies: []place.Strategy{{Type: place.Binpack, Field: "disk"}}},
		"random has no field":                   {Strategies: []place.Strategy{{Type: place.Random, Field: "cpu"}}},
		"the type \"best\"":                     {Strategies: []place.Strategy{{Type: "best"}}},
		"memberOf needs an expression":          {Constraints: memberOf(" ")},
		"distinctInstance has no expression":    {Constraints: []place.Constraint{{Type: place.DistinctInstance, Expression: "a"}}},
		"placementConstraints[0]: the type":     {Constraints: []place.Constraint{{Type: "near"}}},
		"position 1: the subject \"x\"":         {Constraints: memberOf("x == 1")},
		"those that begin with service: are":    {Group: "service:web"},
		"both a launch type and capacity":       {LaunchType: "EC2", ProviderStrategy: []engine.ProviderShare{{Provider: "a", Weight: 1}}},
		"capacity provider \"a\" was not found": {ProviderStrategy: []engine.ProviderShare{{Provider: "a", Weight: 1}}},
	} {
		in.TaskDefinition = "web"
		if refusal := c.refused(in); !strings.Contains(refusal.Message, words) {
			t.Errorf("got %q, want it with %q", refusal.Message, words)
		}
	}
}

func TestADaemonHasOneTaskOnEachHost(t *testing.T) {
	c := newHosts(t, 3)
	c.attribute(3, "quiet", "yes")
	c.create("agent", 0, func(in *engine.CreateService) {
		in.Scheduling, in.Constraints = engine.Daemon, memberOf("attribute:quiet !exists")
	})
	c.run()
	equal(t, "hosts", c.hostsOf("agent"), map[int]int{1: 1, 2: 1})
	s, _ := c.m.Service("", "agent")
	equal(t, "desired", s.Desired, 2)

	c.hosts(5)
	c.run()
	equal(t, "with five hosts", c.hostsOf("agent"), map[int]int{1: 1, 2: 1, 4: 1, 5: 1})

	c.step(c.exited(c.m.ServiceTasks("", "agent")[0].ID, 1))
	c.pass(2 * time.Second)
	c.run()
	equal(t, "after a crash", c.hostsOf("agent"), map[int]int{1: 1, 2: 1, 4: 1, 5: 1})

	c.do(engine.UpdateService{Service: "agent", TaskDefinition: c.definition("agent", 100, 10)})
	c.run()
	equal(t, "after a deployment", c.hostsOf("agent"), map[int]int{1: 1, 2: 1, 4: 1, 5: 1})
	equal(t, "revisions", c.revisions("agent"), map[string]int{"agent:2": 4})
	c.restart()
	c.run()
	equal(t, "after a restart", c.hostsOf("agent"), map[int]int{1: 1, 2: 1, 4: 1, 5: 1})
	c.do(engine.DeleteService{Service: "agent"})
	c.run()
	equal(t, "after its end", c.hostsOf("agent"), map[int]int{})
}

func TestADaemonsTaskLeavesADrainingHostLast(t *testing.T) {
	c := newHosts(t, 2)
	c.create("agent", 0, func(in *engine.CreateService) { in.Scheduling = engine.Daemon })
	c.service("web", 2, 1, 100)
	c.run()
	c.drainHost(c.m.Instances("")[0].ARN)
	equal(t, "while web is there", c.hostsOf("agent"), map[int]int{1: 1, 2: 1})
	c.run()
	equal(t, "then", c.hostsOf("agent"), map[int]int{2: 1})
	c.expect("web", 2, 0)
}

func TestADaemonTakesNeitherACountNorAStrategy(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("agent", 1, 1)
	for words, in := range map[string]engine.CreateService{
		"a desired count":     {Desired: 1},
		"placement strategy":  {Strategies: []place.Strategy{{Type: place.Random}}},
		"distinctInstance":    {Constraints: []place.Constraint{{Type: place.DistinctInstance}}},
		"a capacity provider": {ProviderStrategy: []engine.ProviderShare{{Provider: "a", Weight: 1}}},
	} {
		in.Name, in.TaskDefinition, in.Scheduling = "agent", "agent", engine.Daemon
		if refusal := c.refused(in); !strings.Contains(refusal.Message, words) {
			t.Errorf("got %q, want it with %q", refusal.Message, words)
		}
	}
}

func TestCapacityProvidersShareTasksByBaseAndWeight(t *testing.T) {
	c := newHosts(t, 4)
	for _, name := range []string{"steady", "spare"} {
		c.do(engine.CreateCapacityProvider{Name: name, Group: "asg-" + name})
	}
	c.do(engine.PutClusterCapacityProviders{Cluster: "default", CapacityProviders: []string{"steady", "spare"}})
	for n, group := range []string{"asg-steady", "asg-spare", "asg-spare"} {
		c.attribute(n+1, engine.AttributeGroup, group)
	}
	c.create("web", 8, func(in *engine.CreateService) {
		in.ProviderStrategy = []engine.ProviderShare{{Provider: "steady", Base: 2, Weight: 1}, {Provider: "spare", Weight: 2}}
	})
	c.run()
	c.expect("web", 8, 0)
	have := map[string]int{}
	for _, task := range c.m.ServiceTasks("", "web") {
		have[task.CapacityProvider]++
		i, _ := c.m.Instance("", task.ContainerInstance)
		if group, ok := i.Attributes[engine.AttributeGroup]; ok && group != "asg-"+task.CapacityProvider {
			t.Errorf("a task of %s is on a host of %s", task.CapacityProvider, group)
		}
	}
	equal(t, "shares", have, map[string]int{"steady": 4, "spare": 4})

	refusal := c.refused(engine.PutClusterCapacityProviders{Cluster: "default", CapacityProviders: []string{"steady"}})
	equal(t, "removing one in use", refusal.Code, "ResourceInUseException")
	refusal = c.refused(engine.DeleteCapacityProvider{Name: "spare"})
	equal(t, "deleting one of a cluster", refusal.Code, "ClientException")
	c.restart()
	c.checkDisk()
}

func TestTagsOfServiceAndDefinitionArePropagated(t *testing.T) {
	c := newHosts(t, 1)
	c.create("web", 1, func(in *engine.CreateService) {
		in.Tags = map[string]string{"team": "a"}
		in.PropagateTags, in.ManagedTags = "SERVICE", true
	})
	equal(t, "tags", c.m.ServiceTasks("", "web")[0].Tags, map[string]string{
		"team": "a", "aws:ecs:clusterName": "default", "aws:ecs:serviceName": "web",
	})
}

func TestAHostThatIsRegisteredTakesTasksAndLeavesWithThem(t *testing.T) {
	c := newHosts(t, 0)
	i := c.do(engine.RegisterInstance{
		Resources: plimsoll.Resources{CPU: 500, Memory: 500}, Zone: "us-east-1b", Attributes: map[string]string{"rack": "1"}, Ports: []int{22},
	}).(*engine.ContainerInstance)
	equal(t, "address", i.Address, "127.65.0.1")
	c.service("web", 2, 1, 100)
	c.run()
	c.expect("web", 2, 0)
	c.hosts(0)
	equal(t, "hosts that the engine's own list does not name", len(c.m.Instances("")), 1)
	refusal := c.refused(engine.DeregisterInstance{Instance: i.ARN})
	equal(t, "refusal", refusal.Message, "Found 2 running tasks on the instance. Stop them, drain it, or use force.")
	c.do(engine.DeregisterInstance{Instance: i.ARN, Force: true})
	c.run()
	equal(t, "hosts", len(c.m.Instances("")), 0)
	c.expect("web", 0, 2)
}

func TestAnEmptyClusterIsDeletedWithItsMemory(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	c.run()
	equal(t, "with hosts", c.refused(engine.DeleteCluster{Cluster: "default"}).Code, "ClusterContainsContainerInstancesException")
	c.desire("web", 0)
	c.run()
	c.hosts(0)
	equal(t, "with services", c.refused(engine.DeleteCluster{Cluster: "default"}).Code, "ClusterContainsServicesException")
	c.do(engine.DeleteService{Service: "web"})
	c.run()
	c.do(engine.DeleteCluster{Cluster: "default"})
	if len(c.m.Clusters()) != 0 {
		t.Error("the cluster is still there")
	}
	for key := range c.disk {
		if !strings.HasPrefix(key, "definition/") && key != "identity" {
			t.Errorf("%q is still on record", key)
		}
	}
	c.do(engine.CreateCluster{})
	c.checkDisk()
}

func TestDeletedDefinitionsGoWhenNothingRefersToThem(t *testing.T) {
	c := newHosts(t, 1)
	first := c.definition("web", 10, 10)
	last := c.definition("web", 10, 10)
	c.do(engine.RunTask{TaskDefinition: first})
	c.run()
	r := c.do(engine.DeleteTaskDefinitions{TaskDefinitions: []string{first, "none:1"}}).(*engine.DefinitionsResult)
	equal(t, "of an ACTIVE one", r.Failures[0].Reason, "NOT_INACTIVE")
	equal(t, "of none", r.Failures[1].Reason, "MISSING")
	for _, arn := range []string{first, last} {
		c.do(engine.DeregisterTaskDefinition{TaskDefinition: arn})
		c.do(engine.DeleteTaskDefinitions{TaskDefinitions: []string{arn}})
	}
	d, ok := c.m.TaskDefinition(first)
	equal(t, "while a task runs", ok && d.Status == "DELETE_IN_PROGRESS", true)
	c.do(engine.StopTask{Task: c.m.Tasks("")[0].ID})
	c.run()
	c.pass(2 * time.Hour)
	_, ok = c.m.TaskDefinition(first)
	equal(t, "the first is known", ok, false)
	equal(t, "the next revision", plimsoll.ARNName(c.definition("web", 10, 10)), "web:3")
	c.checkDisk()
}

func TestAttributesAreBounded(t *testing.T) {
	c := newHosts(t, 1)
	for n := range 10 {
		c.attribute(1, fmt.Sprint("a", n), "x")
	}
	arn := c.m.Instances("")[0].ARN
	x := " x"
	for code, a := range map[string]engine.Attribute{
		"AttributeLimitExceededException": {Name: "more", Target: arn},
		"InvalidParameterException":       {Name: "a1", Value: &x, Target: arn},
		"TargetNotFoundException":         {Name: "a1", Target: "none"},
	} {
		equal(t, code, c.refused(engine.PutAttributes{Attributes: []engine.Attribute{a}}).Code, code)
	}
	equal(t, "an attribute that is not there", c.refused(engine.DeleteAttributes{Attributes: []engine.Attribute{{Name: "none", Target: arn}}}).Code, "TargetNotFoundException")
	c.do(engine.DeleteAttributes{Attributes: []engine.Attribute{{Name: "a1", Target: arn}}})
	c.attribute(1, "more", "y")
}

func TestStartTaskPlacesWithoutChoosing(t *testing.T) {
	c := newHosts(t, 2)
	c.definition("job", 600, 10, 8080)
	second := c.m.Instances("")[1].ARN
	r := c.do(engine.StartTask{TaskDefinition: "job", Instances: []string{second, second, "none"}}).(*engine.RunTaskResult)
	equal(t, "placed on", r.Tasks[0].ContainerInstance, second)
	equal(t, "failures", []string{r.Failures[0].Reason, r.Failures[1].Reason}, []string{"RESOURCE:CPU", "MISSING"})
	refusal := c.refused(engine.StartTask{TaskDefinition: "job", Instances: []string{second}, Group: "service:web"})
	equal(t, "in a service's group", refusal.Code, "InvalidParameterException")
	c.drainHost(second)
	r = c.do(engine.StartTask{TaskDefinition: "job", Instances: []string{second}}).(*engine.RunTaskResult)
	equal(t, "on a draining host", r.Failures[0].Reason, "INACTIVE")
}
