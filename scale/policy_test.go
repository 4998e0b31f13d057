package scale_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

// running gives the scene of one service with that many running tasks.
func running(p scale.Policy, n int) *scene {
	c := newScene(30).service(p, n)
	for i := range n {
		c.tasks(p.Service, 1, i%30)
	}
	return c
}

// later lets time pass, with the plan's memory and the count that it asked for.
func (c *scene) later(plan scale.Plan, d time.Duration) *scene {
	c.in.Memory, c.in.Now = plan.Memory, c.in.Now.Add(d)
	return c
}

func TestStepsGiveExactCountsAtTheirBreakPoints(t *testing.T) {
	steps := scale.Trigger{Name: "depth", Mode: scale.Steps, Steps: []scale.Step{{From: 1, Tasks: 2}, {From: 10, Tasks: 5}, {From: 100, Tasks: 20}}}
	for _, c := range []struct {
		value float64
		want  int
	}{
		{0, 0}, {0.99, 0}, {1, 2}, {9.999, 2}, {10, 5}, {10.001, 5}, {99, 5}, {100, 20}, {1e12, 20},
	} {
		v := alone(t, policy("web", 1, 0, 50, steps), 5, c.value)
		if v.Triggers[0].Want != c.want || v.Want != c.want {
			t.Errorf("%v wants %d, not %d: %s", c.value, v.Want, c.want, v.Reason)
		}
	}
}

func TestAStepFromZeroHoldsAnIdleServiceUp(t *testing.T) {
	steps := scale.Trigger{Name: "depth", Mode: scale.Steps, Steps: []scale.Step{{From: 0, Tasks: 3}, {From: 10, Tasks: 5}}}
	if v := alone(t, policy("web", 1, 0, 50, steps), 5, 0); v.Want != 3 {
		t.Errorf("want %d, not 3: %s", v.Want, v.Reason)
	}
}

func TestAMissingReadingHoldsTheLastStep(t *testing.T) {
	steps := scale.Trigger{Name: "depth", Mode: scale.Steps, Steps: []scale.Step{{From: 1, Tasks: 2}, {From: 10, Tasks: 5}}}
	c := running(policy("web", 1, 0, 50, steps), 5).fails("web", "no answer")
	check(t, c.decide(), "web", expect{5, 5, 5})
}

func TestAScheduleIsExactWhateverTheTolerance(t *testing.T) {
	clock := scale.Trigger{Name: "cron", Mode: scale.Exact}
	if v := alone(t, policy("web", 1, 0, 50, clock), 20, 21); v.Want != 21 {
		t.Errorf("want %d, not the schedule's 21: %s", v.Want, v.Reason)
	}
}

func TestOneJobForEachMessageAtOnceAndExactly(t *testing.T) {
	job := scale.Trigger{Name: "queue jobs", Unit: "messages", Mode: scale.Job, Target: 1}
	p := policy("work", 1, 0, 50, job)
	p.Behavior.DownWindow, p.Behavior.UpWindow = time.Hour, time.Hour
	p.Behavior.Up = &scale.Rate{Tasks: 1, Period: time.Hour}
	for _, c := range []struct {
		running int
		value   float64
		want    int
	}{
		{0, 1, 1}, {0, 40, 40}, {20, 21, 21}, {20, 19, 19}, {20, 200, 50},
	} {
		if v := alone(t, p, c.running, c.value); v.Want != c.want {
			t.Errorf("%v messages at %d tasks: want %d, not %d: %s", c.value, c.running, v.Want, c.want, v.Reason)
		}
	}
}

func TestJobsCountTheBusyTasksWhereTheQueueDoesNot(t *testing.T) {
	job := scale.Trigger{Name: "queue jobs", Mode: scale.Job, Target: 1, Waiting: true}
	c := newScene(5).service(policy("work", 1, 0, 50, job), 4).tasks("work", 3, 0, protected).tasks("work", 1, 1).reads("work", 2)
	if v := verdictOf(t, c.decide(), "work"); v.Want != 5 || !strings.Contains(v.Reason, "3 tasks that are busy") {
		t.Errorf("2 messages wait and 3 tasks are busy: want %d: %s", v.Want, v.Reason)
	}
}

// drains is a worker that is to clear its queue within the time.
func drains(within time.Duration) scale.Policy {
	p := policy("mail", 1, 0, 50, scale.Trigger{
		Name: "queue mail", Unit: "messages", Mode: scale.Backlog, Target: 10, DrainWithin: within,
	})
	return p
}

func TestABacklogWithoutAKnownRateIsDividedByItsTarget(t *testing.T) {
	if v := alone(t, drains(time.Minute), 1, 95); v.Want != 10 {
		t.Errorf("want %d, not 95/10: %s", v.Want, v.Reason)
	}
}

func TestTheRateOfATaskIsLearnedAndNoMessageWaitsMuchLongerThanStated(t *testing.T) {
	const step = 5 // seconds between decisions; a task takes one of them to start
	rapid.Check(t, func(t *rapid.T) {
		each := rapid.Float64Range(0.05, 5).Draw(t, "messages per second and task")
		within := time.Duration(rapid.IntRange(1, 5).Draw(t, "minutes")) * time.Minute
		p := drains(within)
		p.Max, p.Behavior.DownWindow = 200, time.Minute
		c := newScene(0).service(p, 2)
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		load := 20 * rng.Float64()
		queue, n, lag := 0.0, 2, 2
		var come, done []float64 // in all, by step
		for i := range 260 {
			if i%100 == 0 {
				queue += 40 * rng.Float64() * each * within.Seconds()
			}
			arrived := load * 2 * rng.Float64() * each * step
			c.in.Cluster.Tasks = nil
			c.tasks("mail", n, -1, func(x *plimsoll.Task) { x.LastStatus = plimsoll.StatusRunning })
			c.reads("mail", queue).in.Readings["mail"][0].At = c.in.Now
			plan := c.decide()
			c.later(plan, step*time.Second)
			worked := min(queue, float64(n)*each*step)
			before := 0.0
			if i > 0 {
				before = done[i-1]
			}
			done = append(done, before+worked)
			come = append(come, before+queue) // what has come by now is what is done and what is there
			queue += arrived - worked
			n, lag = lag, plan.Verdicts[0].Desired
			c.state("mail").Desired = lag
		}
		patience := int(1.3*within.Seconds())/step + 20
		for i := 100; i+patience < len(come); i++ {
			if done[i+patience] < come[i]-1 {
				t.Fatalf("at step %d %.0f messages had come, and only %.0f were done %s later; stated are %s: %+v",
					i, come[i], done[i+patience], time.Duration(patience*step)*time.Second, within, c.in.Memory)
			}
		}
	})
}

func TestOneMessageNeverWantsMoreThanOneTask(t *testing.T) {
	c := running(drains(time.Second), 1).reads("mail", 1)
	c.in.Memory = scale.Memory{Services: map[string]scale.ServiceMemory{"mail": {
		SeenAt: noon.Add(-time.Second), Desired: 1, Want: 1, Asked: 1,
		Triggers: map[string]scale.TriggerMemory{"queue mail": {Rate: 1e-6}},
	}}}
	check(t, c.decide(), "mail", expect{1, 1, 1})
}

// sum is a formula over two triggers.
func sum(target float64) *scale.Formula {
	return &scale.Formula{Text: "queue + web", Target: target, Eval: func(v []float64) (float64, error) {
		if v[0] == 13 {
			return 0, errors.New("thirteen is not allowed")
		}
		return v[0] + v[1], nil
	}}
}

func TestAFormulaTakesThePlaceOfTheGreatestWant(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1), scale.Trigger{Name: "queue", Target: 1})
	p.Formula = sum(2)
	v := alone(t, p, 1, 8, 7)
	if v.Want != 8 || !strings.Contains(v.Reason, "formula queue + web: 15.0 / 2 per task = 8") {
		t.Errorf("want %d: %s", v.Want, v.Reason)
	}
	if len(v.Triggers) != 3 || v.Triggers[2].Value != 15 {
		t.Errorf("the verdict's triggers are %+v", v.Triggers)
	}
}

func TestAFormulaThatFailsOrLacksAReadingHolds(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1), scale.Trigger{Name: "queue", Target: 1})
	p.Formula = sum(1)
	if v := alone(t, p, 6, 13, 0); v.Want != 6 || !strings.Contains(v.Reason, "thirteen") {
		t.Errorf("an error: want %d: %s", v.Want, v.Reason)
	}
	if v := alone(t, p, 6, 2); v.Want != 6 || !strings.Contains(v.Reason, "queue is unknown") {
		t.Errorf("a missing reading: want %d: %s", v.Want, v.Reason)
	}
	if v := alone(t, p, 6, math.NaN(), 1); v.Want != 6 {
		t.Errorf("an absurd reading: want %d: %s", v.Want, v.Reason)
	}
}

func TestTheLastGoodValueStandsInForItsTimeAndThenTheCountIsHeld(t *testing.T) {
	trigger := perTask(1)
	trigger.LastGoodFor = time.Minute
	c := running(policy("web", 1, 0, 50, trigger), 5).reads("web", 12)
	plan := c.decide()
	check(t, plan, "web", expect{12, 12, 12})
	c.later(plan, 59*time.Second).fails("web", "no answer")
	plan = c.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 12 || v.Demand != nil || !strings.Contains(v.Reason, "no answer") || !strings.Contains(v.Reason, "last good value holds until 2026-05-04T12:01:00Z") {
		t.Errorf("within its time: want %d of demand %v: %s", v.Want, v.Demand, v.Reason)
	}
	if !plan.Recheck.Equal(noon.Add(time.Minute)) {
		t.Errorf("the end of the value's time is not looked at: %s", plan.Recheck)
	}
	c.later(plan, time.Hour).state("web").Desired = 12
	if v := verdictOf(t, c.decide(), "web"); v.Want != 12 || !strings.Contains(v.Reason, "held") {
		t.Errorf("after its time: want %d: %s", v.Want, v.Reason)
	}
}

func TestPanicAnswersABurstPastTheWindowAndTheRate(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1))
	p.Behavior.UpWindow = time.Minute
	p.Behavior.Up = &scale.Rate{Tasks: 1, Period: time.Minute}
	if v := alone(t, p, 5, 10); v.Want != 5 {
		t.Fatalf("without panic: want %d: %s", v.Want, v.Reason)
	}
	p.Behavior.Panic = &scale.Panic{Threshold: 2, Window: time.Minute}
	if v := alone(t, p, 5, 9); v.Want != 5 {
		t.Errorf("below the threshold: want %d: %s", v.Want, v.Reason)
	}
	c := running(p, 5).reads("web", 10)
	plan := c.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 10 || !strings.Contains(v.Reason, "in panic") {
		t.Fatalf("at the threshold: want %d: %s", v.Want, v.Reason)
	}
	c.later(plan, 59*time.Second).reads("web", 1).state("web").Desired = 10
	plan = c.decide()
	check(t, plan, "web", expect{10, 10, 10})
	c.later(plan, 2*time.Second)
	if v := verdictOf(t, c.decide(), "web"); v.Want != 1 {
		t.Errorf("after the panic: want %d: %s", v.Want, v.Reason)
	}
}

func TestATaskThatWarmsUpIsComingCapacity(t *testing.T) {
	p := policy("web", 1, 0, 50, ratio(200))
	p.Behavior.Warmup = time.Minute
	c := newScene(30).service(p, 8).reads("web", 400)
	c.tasks("web", 4, 0, func(x *plimsoll.Task) { x.StartedAt = noon.Add(-time.Hour) })
	c.tasks("web", 4, 1, func(x *plimsoll.Task) { x.StartedAt = noon.Add(-30 * time.Second) })
	plan := c.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 8 {
		t.Errorf("the answer to twice the load is warming up: want %d: %s", v.Want, v.Reason)
	}
	if !plan.Recheck.Equal(noon.Add(30 * time.Second)) {
		t.Errorf("the end of the warm-up is not looked at: %s", plan.Recheck)
	}
}

func TestACeilingHoldsUntilItEndsAndNotBelowTheMinimum(t *testing.T) {
	c := running(policy("web", 1, 2, 50, perTask(1)), 10).reads("web", 20)
	c.in.Overrides["web"] = scale.Override{Ceiling: 4, CeilingUntil: noon.Add(time.Minute)}
	plan := c.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 4 || !strings.Contains(v.Reason, "the ceiling until") {
		t.Errorf("want %d: %s", v.Want, v.Reason)
	}
	c.in.Overrides["web"] = scale.Override{CeilingUntil: noon.Add(time.Minute)}
	check(t, c.decide(), "web", expect{2, 2, 2})
	c.later(plan, time.Minute)
	check(t, c.decide(), "web", expect{20, 20, 20})
}

func TestWhatIsSpentLeavesTheMinimumUntilTheNextPeriod(t *testing.T) {
	p := policy("web", 1, 1, 50, perTask(1))
	p.Spend = &scale.Spend{Limit: 20, Price: 1, Unit: "task-hours", Period: 24 * time.Hour}
	c := running(p, 10).reads("web", 10)
	plan := c.decide()
	check(t, plan, "web", expect{10, 10, 10})
	if !plan.Recheck.After(noon.Add(2*time.Hour)) || plan.Recheck.After(noon.Add(2*time.Hour+time.Minute)) {
		t.Errorf("20 task-hours are used up by 10 tasks at %s", plan.Recheck)
	}
	c.later(plan, time.Hour)
	plan = c.decide()
	check(t, plan, "web", expect{10, 10, 10})
	c.later(plan, time.Hour)
	plan = c.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 1 || !strings.Contains(v.Reason, "the 20 task-hours of this 24h0m0s are used up, until 2026-05-05T00:00:00Z") {
		t.Errorf("want %d: %s", v.Want, v.Reason)
	}
	c.later(plan, 10*time.Hour)
	check(t, c.decide(), "web", expect{10, 10, 10})
}
