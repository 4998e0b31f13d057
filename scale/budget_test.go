package scale_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"plimsoll"
)

// fargate is a cluster without hosts and a budget of so many small tasks.
func fargate(tasks int) *scene {
	c := newScene(0)
	c.in.Budget = new(plimsoll.Resources)
	*c.in.Budget = small.Times(tasks)
	return c
}

// hostless are running tasks without a container instance.
func (c *scene) hostless(service string, n int) *scene {
	return c.tasks(service, n, -1, func(t *plimsoll.Task) { t.LastStatus = plimsoll.StatusRunning })
}

func TestABudgetIsDividedByPriorityAsHostsAre(t *testing.T) {
	c := fargate(10).service(policy("web", 1, 0, 20, perTask(1)), 2).service(filler("batch", 3, 1, 20), 8).
		hostless("web", 2).hostless("batch", 8).reads("web", 6)
	plan := c.decide()
	check(t, plan, "web", expect{6, 6, 2})
	check(t, plan, "batch", expect{20, 4, 4})
}

func TestABudgetThatIsUsedUpIsTheReason(t *testing.T) {
	c := fargate(4).service(policy("web", 1, 0, 20, perTask(1)), 0).reads("web", 6)
	plan := c.decide()
	check(t, plan, "web", expect{6, 4, 4})
	if v := verdictOf(t, plan, "web"); !strings.Contains(v.Reason, "the budget of 1024 CPU units, 1024 MiB is used up") {
		t.Errorf("the reason does not say it: %s", v.Reason)
	}
}

func TestProtectedTasksKeepTheirPartOfTheBudget(t *testing.T) {
	c := fargate(4).service(policy("web", 1, 0, 20, perTask(1)), 0).service(filler("batch", 3, 0, 20), 4).reads("web", 4)
	c.hostless("batch", 4)
	c.in.Cluster.Tasks[0].Protected, c.in.Cluster.Tasks[1].Protected = true, true
	plan := c.decide()
	check(t, plan, "batch", expect{20, 2, 2})
	check(t, plan, "web", expect{4, 2, 0})
}

func TestNoPlanGoesOverTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := fargate(rapid.IntRange(1, 20).Draw(t, "budget"))
		left := c.in.Budget.CPU
		for _, name := range []string{"a", "b", "c"} {
			p := policy(name, rapid.IntRange(1, 3).Draw(t, "priority"), rapid.IntRange(0, 2).Draw(t, "min"), 20, perTask(1))
			p.Reserved = rapid.SampledFrom(sizes[:5]).Draw(t, "size")
			n := rapid.IntRange(0, int(left/p.Reserved.CPU)).Draw(t, "tasks")
			left -= p.Reserved.CPU * int64(n)
			c.service(p, n).hostless(name, n).reads(name, float64(rapid.IntRange(0, 20).Draw(t, "demand")))
		}
		plan := c.decide()
		var after, now plimsoll.Resources
		for i, v := range plan.Verdicts {
			after = after.Add(c.in.Policies[i].Reserved.Times(v.Grant))
			now = now.Add(c.in.Policies[i].Reserved.Times(max(v.Desired, c.in.Cluster.Services[i].Desired)))
		}
		if after.CPU > c.in.Budget.CPU || now.CPU > c.in.Budget.CPU {
			t.Fatalf("the budget is %s; granted are %s, and running until they stop %s: %+v", c.in.Budget, after, now, plan.Verdicts)
		}
	})
}
