package engine_test

import (
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

func (c *cluster) rollouts(service string) []string {
	s, _ := c.m.Service("", service)
	var all []string
	for _, r := range s.Rollouts {
		all = append(all, plimsoll.ARNName(r.TaskDefinition)+" "+r.Status)
	}
	return all
}

func TestServiceDeploymentsAreRememberedWithTheirEnds(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 2, 1, 100)
	equal(t, "at first", c.rollouts("web"), []string{"web:1 IN_PROGRESS"})
	c.run()
	c.redeploy("web", 100, 200)
	s, _ := c.m.Service("", "web")
	equal(t, "where it comes from", s.Rollouts[0].Sources, []string{s.Rollouts[1].ID})
	c.redeploy("web", 100, 200)
	equal(t, "superseded", c.rollouts("web"), []string{"web:3 IN_PROGRESS", "web:2 STOPPED", "web:1 SUCCESSFUL"})
	c.run()
	equal(t, "at the end", c.rollouts("web"), []string{"web:3 SUCCESSFUL", "web:2 STOPPED", "web:1 SUCCESSFUL"})
	c.checkDisk()
	for range 12 {
		c.redeploy("web", 100, 200)
		c.run()
	}
	equal(t, "kept", len(c.rollouts("web")), 10)
}

func TestAStoppedServiceDeploymentGoesBackToTheLastGoodOne(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 2, 1, 100)
	c.run()
	c.redeploy("web", 50, 100)
	s, _ := c.m.Service("", "web")
	stop := engine.StopServiceDeployment{Service: "web", Deployment: engine.RevisionID(s.Rollouts[0].ID)}
	c.do(stop)
	equal(t, "on the way", c.rollouts("web"), []string{"web:2 ROLLBACK_IN_PROGRESS", "web:1 SUCCESSFUL"})
	c.do(stop) // once more is the same
	c.run()
	equal(t, "rollouts", c.rollouts("web"), []string{"web:2 ROLLBACK_SUCCESSFUL", "web:1 SUCCESSFUL"})
	equal(t, "what runs", c.revisions("web"), map[string]int{"web:1": 2})
	s, _ = c.m.Service("", "web")
	equal(t, "back to", s.Rollouts[0].BackTo, s.Rollouts[1].ID)
	equal(t, "once it has ended", c.refused(stop).Code, "ConflictException")
	stop.Deployment = "0"
	equal(t, "of none", c.refused(stop).Code, "ServiceDeploymentNotFoundException")
}

func TestTheFirstServiceDeploymentHasNothingToGoBackTo(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 2, 1, 100)
	s, _ := c.m.Service("", "web")
	refusal := c.refused(engine.StopServiceDeployment{Service: "web", Deployment: engine.RevisionID(s.Rollouts[0].ID)})
	equal(t, "code", refusal.Code, "ConflictException")
	c.run()
	equal(t, "rollouts", c.rollouts("web"), []string{"web:1 SUCCESSFUL"})
}

func TestTheBreakersRollbackIsPartOfTheServiceDeployment(t *testing.T) {
	for name, test := range map[string]struct {
		rollback bool
		want     []string
	}{
		"with rollback":    {true, []string{"web:2 ROLLBACK_SUCCESSFUL", "web:1 SUCCESSFUL"}},
		"without rollback": {false, []string{"web:2 STOPPED", "web:1 SUCCESSFUL"}},
	} {
		c := newHosts(t, 3)
		c.create("web", 2, func(in *engine.CreateService) { in.Breaker = engine.Breaker{Enable: true, Rollback: test.rollback} })
		c.run()
		c.pass(10 * time.Second)
		c.redeploy("web", 0, 200)
		c.fail(2)
		c.pass(time.Minute)
		c.run()
		c.pass(10 * time.Second)
		equal(t, name, c.rollouts("web"), test.want)
		s, _ := c.m.Service("", "web")
		equal(t, name+": failed tasks", s.FailedTasks(&s.Rollouts[0]) >= 3, true)
	}
}
