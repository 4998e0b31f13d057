package engine_test

import (
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// watched is a service of a definition with two containers: main, which has a
// health check, and a side one.
func watched(t *testing.T, grace *time.Duration) (*cluster, string) {
	t.Helper()
	c := newHosts(t, 1)
	c.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "web", Containers: []engine.ContainerDefinition{
		{Name: "main", Memory: 10, Essential: true, HealthCheck: check()},
		{Name: "side", Memory: 10},
	}}})
	c.do(engine.CreateService{Name: "web", TaskDefinition: "web", Desired: 1, HealthGrace: grace})
	c.run()
	return c, c.with("web", plimsoll.StatusRunning)[0]
}

func check() *order.Health {
	return &order.Health{Command: []string{"CMD", "x"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 1}
}

// tells is the runtime saying how the containers are.
func (c *cluster) tells(id string, states ...runtime.State) {
	c.t.Helper()
	c.step(engine.Observed{Event: runtime.Event{TaskID: id, Kind: runtime.Changed, At: c.now, States: states}})
}

func health(health string) runtime.State {
	return runtime.State{Container: "main", Phase: order.Running, Health: health}
}

func TestTheHealthOfATaskIsThatOfItsEssentialContainers(t *testing.T) {
	c, id := watched(t, nil)
	d, _ := c.m.TaskDefinition("web")
	c.tells(id, health(order.HealthHealthy), runtime.State{Container: "side", Phase: order.Running, Health: order.HealthUnhealthy})
	if got := c.task(id); got.Health(d) != order.HealthHealthy || got.LastStatus != plimsoll.StatusRunning {
		t.Errorf("%s, %s", got.Health(d), got.LastStatus)
	}
	c.tells(id, health(order.HealthUnknown))
	if got := c.task(id).Health(d); got != order.HealthUnknown {
		t.Error(got)
	}
}

func TestAnUnhealthyTaskOfAServiceIsReplacedAndCountsAsAFailure(t *testing.T) {
	c, id := watched(t, nil)
	c.tells(id, health(order.HealthUnhealthy))
	got := c.task(id)
	if got.DesiredStatus != plimsoll.StatusStopped || got.StopCode != "ServiceSchedulerInitiated" || got.StoppedReason != "Task failed container health checks" {
		t.Errorf("%s %s %q", got.DesiredStatus, got.StopCode, got.StoppedReason)
	}
	equal(t, "events", c.said("web", "failed container health checks."), 1)
	s, _ := c.m.Service("", "web")
	equal(t, "failed tasks", s.Deployments[0].FailedTasks, 1)
	c.pass(2 * time.Second)
	c.run()
	c.expect("web", 1, 0)
}

func TestTheGracePeriodPutsTheVerdictOffAndNotAway(t *testing.T) {
	grace := time.Minute
	c, id := watched(t, &grace)
	c.tells(id, health(order.HealthUnhealthy))
	c.pass(59 * time.Second)
	if got := c.task(id); got.DesiredStatus != plimsoll.StatusRunning {
		t.Fatal("stopped within its grace period")
	}
	c.pass(time.Second)
	if got := c.task(id); got.DesiredStatus != plimsoll.StatusStopped {
		t.Error("it runs on though it is unhealthy")
	}
	c, id = watched(t, &grace)
	c.tells(id, health(order.HealthUnhealthy))
	c.tells(id, health(order.HealthHealthy))
	c.pass(2 * time.Minute)
	if got := c.task(id); got.DesiredStatus != plimsoll.StatusRunning {
		t.Error("stopped though it became healthy in time")
	}
}

func TestContainersAreKnownOneByOneAndOverARestart(t *testing.T) {
	c, id := watched(t, nil)
	c.tells(id, health(order.HealthHealthy), runtime.State{Container: "side", Phase: order.Ended, Restarts: 2, Exit: &runtime.Exit{Container: "side", Code: 3, OOM: true}})
	check := func() {
		t.Helper()
		side := c.task(id).Containers[1]
		if side.LastStatus != plimsoll.StatusStopped || side.Restarts != 2 || side.ExitCode == nil || *side.ExitCode != 3 || side.Reason == "" {
			t.Errorf("side %+v", side)
		}
		if main := c.task(id).Containers[0]; main.LastStatus != plimsoll.StatusRunning || main.Health != order.HealthHealthy || main.ExitCode != nil {
			t.Errorf("main %+v", main)
		}
	}
	check()
	version := c.task(id).Version
	c.tells(id, health(order.HealthHealthy))
	equal(t, "the version after nothing new", c.task(id).Version, version)
	c.m = reload(t, c.cfg, c.disk)
	check()
}

func TestAProtectedTaskIsNotReplacedForItsHealthBeforeItsProtectionEnds(t *testing.T) {
	for name, end := range map[string]func(c *cluster, id string){
		"ended":   func(c *cluster, id string) { c.do(engine.UpdateTaskProtection{Tasks: []string{id}}) },
		"expired": func(c *cluster, _ string) { c.pass(2 * time.Hour) },
	} {
		c, id := watched(t, nil)
		c.protect(id)
		c.tells(id, health(order.HealthUnhealthy))
		c.pass(time.Hour)
		equal(t, name+", while it is protected", c.task(id).DesiredStatus, plimsoll.StatusRunning)
		end(c, id)
		equal(t, name, c.task(id).StoppedReason, "Task failed container health checks")
	}
}
