package scale_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

func TestEqualsShareTheClusterByTheirWeights(t *testing.T) {
	heavy, light := policy("heavy", 2, 0, 50, perTask(1)), policy("light", 2, 0, 50, perTask(1))
	heavy.Weight = 3
	c := newScene(3).service(heavy, 0).service(light, 0).reads("heavy", 50).reads("light", 50)
	plan := c.decide()
	check(t, plan, "heavy", expect{50, 9, 9})
	check(t, plan, "light", expect{50, 3, 3})
}

func TestAHeavierEqualGetsItsShareFromALighterOne(t *testing.T) {
	heavy, light := policy("heavy", 2, 0, 50, perTask(1)), policy("light", 2, 0, 50, perTask(1))
	heavy.Weight = 3
	c := newScene(3).service(heavy, 0).service(light, 12).tasks("light", 4, 0).tasks("light", 4, 1).tasks("light", 4, 2).
		reads("heavy", 50).reads("light", 50)
	plan := c.decide()
	check(t, plan, "heavy", expect{50, 9, 0})
	check(t, plan, "light", expect{50, 3, 3})
}

func TestOfSeveralThatAreEnoughTheLeastHarmfulGoes(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 9, perTask(1)), 0).
		service(filler("old", 3, 0, 9), 1).service(filler("new", 3, 0, 9), 1).
		service(filler("coming", 3, 0, 9), 1).service(filler("last", 3, 0, 9), 1).
		reads("web", 1)
	c.tasks("old", 1, 0).tasks("new", 1, 0, func(x *plimsoll.Task) { x.CreatedAt = noon }).tasks("last", 1, 0).tasks("coming", 1, 0, starting)
	check(t, c.decide(), "coming", expect{9, 0, 0})
	c.in.Cluster.Tasks[3].LastStatus = plimsoll.StatusRunning
	check(t, c.decide(), "new", expect{9, 0, 0})
}

// full is a cluster full of a filler's small tasks, and a web service that
// wants so many.
func full(hosts int, web float64) *scene {
	c := newScene(hosts).service(policy("web", 1, 0, 99, perTask(1)), 0).service(filler("batch", 3, 0, 99), 4*hosts).reads("web", web)
	for h := range hosts {
		c.tasks("batch", 4, h)
	}
	return c
}

func TestABoundedNumberOfTasksGivesWayInOnePass(t *testing.T) {
	c := full(3, 8)
	c.in.Eviction.PerPass = 3
	plan := c.decide()
	check(t, plan, "web", expect{8, 3, 0})
	check(t, plan, "batch", expect{99, 9, 9})
	if v := verdictOf(t, plan, "web"); !strings.Contains(v.Reason, "3 tasks give way in this pass, the next takes more") {
		t.Errorf("the reason does not say it: %s", v.Reason)
	}
	if !plan.Recheck.Equal(noon.Add(time.Second)) {
		t.Errorf("the next pass is at %s", plan.Recheck)
	}
}

func TestTheTasksThatOnePlaceNeedsGoTogetherWhateverTheBound(t *testing.T) {
	p := policy("large", 1, 0, 2, perTask(1))
	p.Reserved = big
	c := newScene(2).service(p, 0).service(filler("batch", 3, 0, 99), 8).tasks("batch", 4, 0).tasks("batch", 4, 1).reads("large", 2)
	c.in.Eviction.PerPass = 1
	plan := c.decide()
	check(t, plan, "large", expect{2, 1, 0})
	check(t, plan, "batch", expect{99, 1, 1})
}

func TestAServiceThatGaveWayIsNotRefilledWithinTheQuietTime(t *testing.T) {
	c := full(3, 6)
	c.in.Eviction.Quiet = time.Minute
	plan := c.decide()
	check(t, plan, "batch", expect{99, 6, 6})
	// The demand is over before the tasks of web have come.
	c.in.Cluster.Tasks = nil
	for i := range c.in.Cluster.Instances {
		c.in.Cluster.Instances[i].Remaining = big
	}
	c.state("batch").Desired = 6
	c.tasks("batch", 2, 0).tasks("batch", 2, 1).tasks("batch", 2, 2)
	c.later(plan, 59*time.Second).reads("web", 0)
	plan = c.decide()
	check(t, plan, "batch", expect{99, 6, 6})
	if v := verdictOf(t, plan, "batch"); !strings.Contains(v.Reason, "it gave way, and gets no more until 2026-05-04T12:01:00Z") {
		t.Errorf("the reason does not say it: %s", v.Reason)
	}
	if !plan.Recheck.Equal(noon.Add(time.Minute)) {
		t.Errorf("the end of the quiet time is not looked at: %s", plan.Recheck)
	}
	c.later(plan, time.Second)
	check(t, c.decide(), "batch", expect{99, 12, 12})
}

func TestTheMinimumIsGuaranteedInTheQuietTimeToo(t *testing.T) {
	c := newScene(1).service(policy("batch", 3, 2, 9, perTask(1)), 0).reads("batch", 5)
	c.in.Eviction.Quiet = time.Minute
	c.in.Memory.Services = map[string]scale.ServiceMemory{"batch": {SeenAt: noon, TakenAt: noon}}
	check(t, c.decide(), "batch", expect{5, 2, 2})
}

func TestNoServiceIsRefilledAndTakenFromAgainWithinTheQuietTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, rapid.Bool().Draw(t, "uniform"))
		m.in.Eviction = scale.Eviction{Quiet: 20 * time.Second, PerPass: rapid.IntRange(0, 3).Draw(t, "per pass")}
		seed := rapid.Uint64().Draw(t, "seed")
		m.dice = rand.New(rand.NewPCG(seed, 1)).IntN
		type past struct {
			taken  time.Time
			filled bool
		}
		last := map[string]past{}
		for range 60 {
			before := m.in
			plan := m.decide()
			checkPure(t, before, plan)
			checkBounds(t, m, plan)
			checkUnknown(t, m, plan)
			checkRoom(t, m, before, plan)
			for _, v := range plan.Verdicts {
				memory, p := plan.Memory.Services[v.Service], last[v.Service]
				switch {
				case memory.TakenAt.Equal(m.in.Now):
					if p.filled && m.in.Now.Sub(p.taken) < m.in.Eviction.Quiet {
						t.Fatalf("%s gave way at %s, was refilled, and gives way again at %s:\n%s", v.Service, p.taken, m.in.Now, m)
					}
					last[v.Service] = past{taken: m.in.Now}
				case v.Desired > max(m.service(v.Service).Desired, v.Min, v.Protected):
					last[v.Service] = past{taken: p.taken, filled: true}
				}
			}
			m.apply()
			m.tick()
			m.shake(t)
			m.snapshot()
		}
	})
}
