package engine_test

import (
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
)

// fail has every start of a revision fail, and waits the back-off out, until
// nothing is started any more. Those of others succeed.
func (c *cluster) fail(revision int) {
	c.t.Helper()
	for range 100 {
		starting := c.ids(func(t *modelTask) bool { return !t.running && !t.stopping })
		for _, id := range starting {
			if c.tasks[id].spec.Revision != revision {
				c.step(c.started(id))
				continue
			}
			e := c.says(id, runtime.StartFailed)
			delete(c.tasks, id)
			c.step(e)
		}
		c.pass(time.Minute)
		if len(starting) == 0 && len(c.ids(func(t *modelTask) bool { return !t.running })) == 0 {
			return
		}
	}
	c.t.Fatalf("starts are tried for ever")
}

func TestTheCircuitBreakerEndsADeploymentThatFails(t *testing.T) {
	c := newHosts(t, 3)
	c.create("web", 4, func(in *engine.CreateService) { in.Breaker = engine.Breaker{Enable: true} })
	c.fail(1)
	s, _ := c.m.Service("", "web")
	equal(t, "rollout", s.Deployments[0].RolloutState, "FAILED")
	equal(t, "failed tasks", s.Deployments[0].FailedTasks >= 3, true)
	equal(t, "events", c.said("web", "deployment failed: tasks failed to start"), 1)
	c.expect("web", 0, 0)
	c.restart()
	c.pass(time.Hour)
	c.expect("web", 0, 0)
	c.redeploy("web", 100, 200)
	c.run()
	c.expect("web", 4, 0)
}

func TestTheCircuitBreakerRollsBackToWhatWasCompleted(t *testing.T) {
	c := newHosts(t, 3)
	c.create("web", 4, func(in *engine.CreateService) { in.Breaker = engine.Breaker{Enable: true, Rollback: true} })
	c.run()
	c.pass(10 * time.Second)
	s, _ := c.m.Service("", "web")
	equal(t, "the first rollout", s.Deployments[0].RolloutState, "COMPLETED")
	good := s.Deployments[0].ID
	old := c.with("web", plimsoll.StatusRunning)

	c.redeploy("web", 50, 200)
	c.fail(2)
	c.run()
	c.pass(10 * time.Second)
	s, _ = c.m.Service("", "web")
	equal(t, "the primary deployment", s.Deployments[0].ID, good)
	equal(t, "its rollout", s.Deployments[0].RolloutState, "COMPLETED")
	equal(t, "deployments", len(s.Deployments), 1)
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:1": 4})
	equal(t, "rollbacks said", c.said("web", "rolling back to (deployment "+good+")"), 1)
	kept := 0
	for _, id := range old {
		if c.task(id).LastStatus == plimsoll.StatusRunning {
			kept++
		}
	}
	equal(t, "tasks that were kept", kept, 2)
}

func TestATaskThatEndsAtOnceTripsTheBreakerToo(t *testing.T) {
	c := newHosts(t, 3)
	c.create("web", 1, func(in *engine.CreateService) { in.Breaker = engine.Breaker{Enable: true} })
	for range 3 {
		id := c.ids(func(t *modelTask) bool { return !t.running })[0]
		c.step(c.started(id))
		c.step(c.exited(id, 1))
		c.pass(time.Minute)
	}
	s, _ := c.m.Service("", "web")
	equal(t, "rollout", s.Deployments[0].RolloutState, "FAILED")
	c.expect("web", 0, 0)
}

func TestTheBreakersThresholdIsMeantAsItSays(t *testing.T) {
	for name, test := range map[string]struct {
		breaker engine.Breaker
		desired int
		want    int
	}{
		"the default, few":  {engine.Breaker{}, 2, 3},
		"the default, many": {engine.Breaker{}, 30, 15},
		"the default, most": {engine.Breaker{}, 900, 200},
		"a count":           {engine.Breaker{Type: engine.ThresholdCount, Threshold: 2}, 30, 2},
		"unbounded":         {engine.Breaker{Type: engine.ThresholdUnbounded, Threshold: 10}, 10, 1},
	} {
		c := newCluster(t, engine.Config{})
		c.do(engine.CreateCluster{})
		c.hosts(100)
		test.breaker.Enable = true
		c.create("web", test.desired, func(in *engine.CreateService) { in.Breaker = test.breaker })
		failed := 0
		for range 1000 {
			s, _ := c.m.Service("", "web")
			if s.Deployments[0].RolloutState == "FAILED" {
				break
			}
			starting := c.ids(func(t *modelTask) bool { return !t.running && !t.stopping })
			if len(starting) == 0 {
				c.pass(time.Minute)
				continue
			}
			e := c.says(starting[0], runtime.StartFailed)
			delete(c.tasks, starting[0])
			c.step(e)
			failed++
		}
		equal(t, name, failed, test.want)
	}
}

func TestATaskThatRunsWellSetsTheBreakersCountBack(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := newHosts(t, 3)
		c.create("web", 2, func(in *engine.CreateService) { in.Breaker = engine.Breaker{Enable: true, KeepCount: keep} })
		starting := c.ids(func(t *modelTask) bool { return !t.running })
		c.step(c.started(starting[0]))
		e := c.says(starting[1], runtime.StartFailed)
		delete(c.tasks, starting[1])
		c.step(e)
		c.pass(500 * time.Millisecond)
		s, _ := c.m.Service("", "web")
		equal(t, "failed tasks", s.Deployments[0].FailedTasks, 1)
		c.pass(10 * time.Second)
		s, _ = c.m.Service("", "web")
		want := 0
		if keep {
			want = 1
		}
		equal(t, "failed tasks then", s.Deployments[0].FailedTasks, want)
	}
}
