package engine_test

import (
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime/order"
)

func (c *cluster) redeploy(service string, minimum, maximum int) {
	c.t.Helper()
	d := c.definition(service, 100, 10)
	c.do(engine.UpdateService{Service: service, TaskDefinition: d, MinimumHealthyPercent: &minimum, MaximumPercent: &maximum})
}

// revisions counts a service's running tasks by revision of their definition.
func (c *cluster) revisions(service string) map[string]int {
	n := map[string]int{}
	for _, id := range c.with(service, plimsoll.StatusRunning) {
		n[plimsoll.ARNName(c.task(id).TaskDefinition)]++
	}
	return n
}

func TestADeploymentStartsTheNewBeforeItStopsTheOld(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 4, 1, 100)
	c.run()
	c.redeploy("web", 100, 200)
	c.expect("web", 4, 4)
	fresh := c.with("web", plimsoll.StatusPending)
	for i, id := range fresh {
		c.step(c.started(id))
		c.expect("web", 4, 3-i)
	}
	s, _ := c.m.Service("", "web")
	equal(t, "deployments while the old tasks stop", len(s.Deployments), 2)
	equal(t, "rollout", s.Deployments[0].RolloutState, "COMPLETED")
	c.run()
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:2": 4})
	s, _ = c.m.Service("", "web")
	equal(t, "deployments", len(s.Deployments), 1)
	equal(t, "events", c.said("web", "deployment completed"), 2)
}

func TestADeploymentWithoutRoomToGrowStopsTheOldFirst(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 4, 1, 100)
	c.run()
	c.redeploy("web", 50, 100)
	c.expect("web", 2, 2)
	c.run()
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:2": 4})
}

func TestADeploymentLeavesProtectedTasksToFinish(t *testing.T) {
	c := newHosts(t, 3)
	c.service("mailer", 2, 1, 100)
	c.run()
	busy := c.with("mailer", plimsoll.StatusRunning)[0]
	c.protect(busy)
	c.redeploy("mailer", 100, 200)
	c.run()
	equal(t, "what runs", c.revisions("mailer"), map[string]int{"mailer:1": 1, "mailer:2": 2})
	equal(t, "events", c.said("mailer", "was unable to scale in due to (reason 1 tasks under protection)"), 1)
	s, _ := c.m.Service("", "mailer")
	equal(t, "the rollout", s.Deployments[0].RolloutState, "IN_PROGRESS")

	c.do(engine.UpdateTaskProtection{Tasks: []string{busy}})
	c.run()
	equal(t, "what runs then", c.revisions("mailer"), map[string]int{"mailer:2": 2})
	s, _ = c.m.Service("", "mailer")
	equal(t, "the rollout then", s.Deployments[0].RolloutState, "COMPLETED")
}

func TestProtectedTasksCountForTheCeilingOfADeployment(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 4, 1, 100)
	c.run()
	old := c.with("web", plimsoll.StatusRunning)
	c.protect(old...)
	c.redeploy("web", 100, 150)
	c.run()
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:1": 4, "web:2": 2})
	c.do(engine.UpdateTaskProtection{Tasks: old[:2]})
	c.run()
	equal(t, "what runs then", c.revisions("web"), map[string]int{"web:1": 2, "web:2": 4})
}

func TestANewDeploymentTakesTheWaitingTasksOfTheOldAway(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 3, 1, 2000)
	c.expect("web", 0, 3)
	c.redeploy("web", 100, 200)
	c.run()
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:2": 3})
}

func TestAForcedDeploymentReplacesTasksOfTheSameDefinition(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	c.run()
	old := c.with("web", plimsoll.StatusRunning)[0]
	c.do(engine.UpdateService{Service: "web", ForceNewDeployment: true})
	c.run()
	equal(t, "the old task", c.task(old).LastStatus, plimsoll.StatusStopped)
	c.expect("web", 1, 0)
}

func TestBothPercentagesCannotBeAHundred(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	full := 100
	refusal := c.refused(engine.UpdateService{Service: "web", MaximumPercent: &full})
	equal(t, "refusal", refusal.Code, "InvalidParameterException")
}

func (c *cluster) drainHost(arn string) {
	c.t.Helper()
	c.do(engine.UpdateContainerInstancesState{Instances: []string{arn}, Status: "DRAINING"})
}

func TestTasksOnADrainingHostStopWhenTheirReplacementsRun(t *testing.T) {
	c := newHosts(t, 2)
	c.service("web", 2, 1, 100)
	c.run()
	old := c.with("web", plimsoll.StatusRunning)[0]
	c.drainHost(c.task(old).ContainerInstance)
	equal(t, "the old task", c.task(old).LastStatus, plimsoll.StatusRunning)
	c.expect("web", 2, 1)
	fresh := c.with("web", plimsoll.StatusPending)[0]
	c.step(c.started(fresh))
	equal(t, "the old task then", c.task(old).LastStatus, plimsoll.StatusDeactivating)
	c.run()
	c.expect("web", 2, 0)
	if c.task(fresh).ContainerInstance == c.task(old).ContainerInstance {
		t.Error("the replacement was placed on the draining host")
	}
}

func TestAProtectedTaskOnADrainingHostFinishes(t *testing.T) {
	c := newHosts(t, 2)
	c.service("mailer", 1, 1, 100)
	c.run()
	busy := c.with("mailer", plimsoll.StatusRunning)[0]
	c.protect(busy)
	c.drainHost(c.task(busy).ContainerInstance)
	c.run()
	equal(t, "the busy task", c.task(busy).LastStatus, plimsoll.StatusRunning)
	c.expect("mailer", 2, 0)
	c.step(c.exited(busy, 0))
	c.run()
	c.expect("mailer", 1, 0)
}

func TestAStandaloneTaskOnADrainingHostFinishes(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
	c.run()
	c.drainHost(job.ContainerInstance)
	c.run()
	equal(t, "the job", c.task(job.ID).LastStatus, plimsoll.StatusRunning)
}

func TestASurplusHostLeavesWithItsLastTask(t *testing.T) {
	c := newHosts(t, 2)
	c.service("web", 2, 1, 100)
	c.run()
	first := c.m.Instances("")[0].ARN
	c.hosts(1)
	equal(t, "hosts while the second has a task", len(c.m.Instances("")), 2)
	c.run()
	equal(t, "hosts", len(c.m.Instances("")), 1)
	equal(t, "the first keeps its identity", c.m.Instances("")[0].ARN, first)
	c.expect("web", 2, 0)
	c.pass(time.Second)
	c.checkDisk()
}

// checked is a service that has been deployed with a health check.
func checked(t *testing.T, desired int) *cluster {
	t.Helper()
	c := newHosts(t, 3)
	c.checkedDefinition()
	c.do(engine.CreateService{Name: "web", TaskDefinition: "web", Desired: desired})
	c.run()
	return c
}

func (c *cluster) checkedDefinition() string {
	c.t.Helper()
	return c.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "web", Containers: []engine.ContainerDefinition{
		{Name: "main", CPU: 100, Memory: 10, Essential: true, HealthCheck: check()},
	}}}).(*engine.TaskDefinition).ARN
}

func TestADeploymentStopsTheOldOnlyForTheNewThatAreHealthy(t *testing.T) {
	c := checked(t, 2)
	c.do(engine.UpdateService{Service: "web", TaskDefinition: c.checkedDefinition()})
	fresh := c.with("web", plimsoll.StatusPending)
	for _, id := range fresh {
		c.step(c.started(id))
	}
	equal(t, "what runs before the checks", c.revisions("web"), map[string]int{"web:1": 2, "web:2": 2})
	c.step(c.turns(fresh[0], order.HealthHealthy))
	equal(t, "what runs with one healthy", c.revisions("web"), map[string]int{"web:1": 1, "web:2": 2})
	s, _ := c.m.Service("", "web")
	equal(t, "rollout with one healthy", s.Deployments[0].RolloutState, "IN_PROGRESS")
	c.step(c.turns(fresh[1], order.HealthHealthy))
	equal(t, "what runs with both healthy", c.revisions("web"), map[string]int{"web:2": 2})
	s, _ = c.m.Service("", "web")
	equal(t, "rollout with both healthy", s.Deployments[0].RolloutState, "COMPLETED")
}

func TestADeploymentThatNeverGetsHealthyLeavesTheOldAndTripsTheBreaker(t *testing.T) {
	c := checked(t, 2)
	grace := 3 * time.Minute
	c.do(engine.UpdateService{
		Service: "web", TaskDefinition: c.checkedDefinition(), HealthGrace: &grace,
		Breaker: &engine.Breaker{Enable: true, Rollback: true},
	})
	for range 4 {
		for _, id := range c.with("web", plimsoll.StatusPending) {
			c.step(c.started(id))
			c.step(c.turns(id, order.HealthUnhealthy))
		}
		c.pass(grace - time.Second)
		equal(t, "the old, all the while", c.revisions("web")["web:1"], 2)
		c.pass(2 * time.Second)
		c.pass(2 * time.Minute)
	}
	c.run()
	s, _ := c.m.Service("", "web")
	equal(t, "said", c.said("web", "deployment failed: tasks failed to start"), 1)
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:1": 2})
	equal(t, "rollout", s.Deployments[0].RolloutState, "COMPLETED")
}

func TestOldTasksThatAreNotHealthyAreNotInTheWay(t *testing.T) {
	c := checked(t, 2)
	grace := time.Hour
	half, full := 50, 100
	c.do(engine.UpdateService{Service: "web", HealthGrace: &grace, MinimumHealthyPercent: &half, MaximumPercent: &full})
	for _, id := range c.with("web", plimsoll.StatusRunning) {
		c.step(c.turns(id, order.HealthUnknown))
	}
	c.do(engine.UpdateService{Service: "web", TaskDefinition: c.checkedDefinition()})
	c.run()
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:2": 2})
}

func TestScaleInTakesTheUnhealthyBeforeTheYoungest(t *testing.T) {
	c := checked(t, 3)
	grace := time.Hour
	c.do(engine.UpdateService{Service: "web", HealthGrace: &grace})
	running := c.with("web", plimsoll.StatusRunning)
	c.step(c.turns(running[0], order.HealthUnhealthy))
	c.desire("web", 2)
	c.run()
	equal(t, "what is left", c.with("web", plimsoll.StatusRunning), running[1:])
}
