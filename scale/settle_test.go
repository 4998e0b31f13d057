package scale_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

// settle runs the model with constant demand and tells after how many ticks
// the last change came, of the ticks given.
func (m *model) settle(ticks int) (last int) {
	for i := range ticks {
		m.decide()
		if len(m.plan.Changes) > 0 {
			last = i + 1
		}
		m.apply()
		m.tick()
	}
	return last
}

func TestConstantDemandSettlesWhicheverTasksThePlatformStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, true)
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		m.dice = rng.IntN
		draining := rapid.Bool().Draw(t, "draining")
		if draining {
			m.in.Cluster.Instances[0].Status = plimsoll.InstanceDraining
		}
		if last := m.settle(160); last > 80 {
			t.Fatalf("changes go on until tick %d of 160:\n%s", last, m)
		}
		if !draining {
			settled(t, m)
		}
	})
}

// settled tells that no capacity is left idle that somebody wants, and that
// what is asked for runs.
func settled(t *rapid.T, m *model) {
	for _, v := range m.plan.Verdicts {
		if v.Desired != v.Grant || v.Running != v.Desired {
			t.Fatalf("%s has settled at desired %d and running %d of the grant %d:\n%s", v.Service, v.Desired, v.Running, v.Grant, m)
		}
		if v.Grant < v.Want && m.fleet().Room(placeRequest(m, v.Service), 1) > 0 {
			t.Fatalf("%s is short while there is room for it:\n%s", v.Service, m)
		}
	}
}

func TestTasksOfDifferentSizesSettleToo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, false)
		seed := rapid.Uint64().Draw(t, "seed")
		m.dice = rand.New(rand.NewPCG(seed, 1)).IntN
		changes := 0
		for range 250 {
			m.decide()
			changes += len(m.plan.Changes)
			m.apply()
			m.tick()
		}
		if changes > 80 {
			t.Fatalf("%d changes in 250 s of constant demand:\n%s", changes, m)
		}
	})
}

func TestConstantDemandWithNoiseChangesACountAtMostOnceAfterSettling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, true)
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		m.dice = rng.IntN
		level := map[string]float64{}
		for i := range m.in.Policies {
			p := &m.in.Policies[i]
			p.Behavior = scale.Behavior{Tolerance: 0.1, DownWindow: 2 * time.Minute}
			p.Max = 1000
			if len(p.Triggers) > 0 {
				p.Triggers[0].Target = float64(rapid.IntRange(1, 20).Draw(t, "target"))
				level[p.Service] = float64(rapid.IntRange(0, 200).Draw(t, "level"))
			}
		}
		changes := map[string]int{}
		for i := range 600 {
			for service, d := range level {
				m.demand(service, d*(0.9+0.2*rng.Float64()))
			}
			m.decide()
			if i > 250 {
				for _, c := range m.plan.Changes {
					changes[c.Service]++
				}
			}
			m.apply()
			m.tick()
		}
		for service, n := range changes {
			if n > 1 {
				t.Fatalf("%s changed %d times after settling:\n%s", service, n, m)
			}
		}
	})
}

func TestTasksTakenInVainAreNotTakenAgain(t *testing.T) {
	// The large task needs a whole host. The platform stops tasks evenly over
	// the hosts, so that the minimum of the small ones is on each of them. What
	// is started again is younger than what stayed, and so the next forecast
	// already knows that its going makes no room.
	m := &model{dice: func(n int) int { return 0 }, even: true}
	m.in = newScene(3).
		service(scale.Policy{Service: "large", Priority: 1, Max: 1, Reserved: big, Triggers: []scale.Trigger{perTask(1)}}, 0).
		service(policy("small", 2, 3, 12, perTask(1)), 12).
		reads("large", 1).reads("small", 12).in
	for i := range m.in.Cluster.Instances {
		m.in.Cluster.Instances[i].Zone = "a"
	}
	for range 12 {
		m.add("small", small)
	}
	m.tick()
	m.tick()
	retreats := 0
	for range 600 {
		was := m.service("small").Desired
		m.decide()
		m.apply()
		if was == 12 && m.service("small").Desired < was {
			retreats++
		}
		m.tick()
	}
	if retreats != 1 {
		t.Fatalf("tasks were taken %d times, not once:\n%s", retreats, m)
	}
}

func TestGrowthThatWaitsForRoomIsNotForgottenOnTheWay(t *testing.T) {
	c := newScene(3).
		service(policy("web", 1, 0, 20, perTask(1)), 9).
		service(filler("thumbs", 3, 0, 30), 3).
		tasks("web", 4, 0).tasks("web", 4, 1).tasks("web", 1, 2).tasks("thumbs", 3, 2).
		reads("web", 11)
	c.in.Policies[0].Behavior.DownWindow = time.Minute
	plan := c.decide()
	check(t, plan, "web", expect{11, 11, 9})
	check(t, plan, "thumbs", expect{30, 1, 1})

	// The next reading is near enough to nine tasks, but the goal is eleven.
	for i := range c.in.Cluster.Tasks[9:11] {
		leaving(&c.in.Cluster.Tasks[9+i])
	}
	c.state("thumbs").Desired = 1
	c.in.Memory, c.in.Now = plan.Memory, noon.Add(time.Second)
	c.reads("web", 9.5)
	plan = c.decide()
	check(t, plan, "web", expect{11, 11, 9})
	check(t, plan, "thumbs", expect{30, 1, 1})
}
