package scale_test

import (
	"math"
	"testing"
	"time"

	"plimsoll/scale"
)

// alone decides on one service with the given desired count, all of it running
// on a cluster with room to spare, and gives the verdict.
func alone(t *testing.T, p scale.Policy, running int, values ...float64) scale.Verdict {
	t.Helper()
	c := newScene(30).service(p, running).reads(p.Service, values...)
	for i := range running {
		c.tasks(p.Service, 1, i%30)
	}
	return verdictOf(t, c.decide(), p.Service)
}

func ratio(target float64) scale.Trigger {
	return scale.Trigger{Name: "latency", Unit: "ms", Target: target, Mode: scale.Ratio}
}

func TestAnAverageIsRoundedUp(t *testing.T) {
	for _, c := range []struct {
		value, target float64
		running, want int
	}{
		{18, 4, 1, 5}, {16, 4, 1, 4}, {16.1, 4, 1, 5}, {0.3, 5, 0, 1},
		{0.3, 0.1, 1, 3}, // 0.3/0.1 is a little over 3 in binary
		{1e300, 1e-300, 1, 50}, {3, 1, 9, 3},
	} {
		if v := alone(t, policy("web", 1, 0, 50, perTask(c.target)), c.running, c.value); v.Want != c.want {
			t.Errorf("%v / %v from %d: want %d, not %d", c.value, c.target, c.running, v.Want, c.want)
		}
	}
}

func TestWithinTheToleranceNothingChanges(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  int
	}{
		{40, 10}, {44, 10}, {36, 10}, {44.1, 12}, {35.9, 9},
	} {
		if v := alone(t, policy("web", 1, 0, 50, perTask(4)), 10, c.value); v.Want != c.want {
			t.Errorf("%v / 4 at 10 tasks: want %d, not %d: %s", c.value, v.Want, c.want, v.Reason)
		}
	}
}

func TestZeroHasNoTolerance(t *testing.T) {
	if v := alone(t, policy("web", 1, 0, 50, perTask(100)), 0, 1); v.Want != 1 {
		t.Errorf("the first request wants %d tasks, not 1", v.Want)
	}
}

func TestARatioCountsTheTasksThatRun(t *testing.T) {
	for _, c := range []struct {
		value float64
		run   int
		want  int
	}{
		{400, 3, 6}, {100, 4, 2}, {210, 4, 4}, {190, 4, 4}, {700, 0, 4}, {150, 3, 3},
	} {
		if v := alone(t, policy("web", 1, 0, 50, ratio(200)), c.run, c.value); v.Want != c.want {
			t.Errorf("%v / 200 * %d: want %d, not %d: %s", c.value, c.run, v.Want, c.want, v.Reason)
		}
	}
}

func TestAStartingTaskIsComingCapacity(t *testing.T) {
	for _, c := range []struct {
		name                    string
		value                   float64
		running, starting, want int
	}{
		{"the answer to twice the load is under way already", 400, 4, 4, 8},
		{"three times the load asks for more than is coming", 600, 4, 4, 12},
		{"a rise that the starting tasks level out is held", 250, 4, 4, 8},
		{"to shrink, what is starting counts as busy", 100, 4, 4, 6},
		{"no task runs yet", 900, 0, 3, 3},
	} {
		s := newScene(30).service(policy("web", 1, 0, 50, ratio(200)), c.running+c.starting).reads("web", c.value)
		for i := range c.running {
			s.tasks("web", 1, i)
		}
		for i := range c.starting {
			s.tasks("web", 1, i, starting)
		}
		if v := verdictOf(t, s.decide(), "web"); v.Want != c.want {
			t.Errorf("%s: want %d, not %d: %s", c.name, v.Want, c.want, v.Reason)
		}
	}
}

func TestABacklogIsNotAnsweredTwice(t *testing.T) {
	s := newScene(10).service(policy("mail", 1, 0, 50, perTask(1)), 8).reads("mail", 8)
	s.tasks("mail", 2, 0).tasks("mail", 2, 1, starting).tasks("mail", 4, -1)
	check(t, s.decide(), "mail", expect{8, 8, 8})
}

func TestOfSeveralTriggersTheMostCounts(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(4), scale.Trigger{Name: "queue", Target: 1, Mode: scale.Average})
	if v := alone(t, p, 1, 8, 7); v.Want != 7 || *v.Demand != 15 {
		t.Errorf("want %d of demand %v, not 7 of 15", v.Want, *v.Demand)
	}
}

func TestActivationDecidesBetweenZeroAndOne(t *testing.T) {
	trigger := perTask(10)
	trigger.Activation = 5
	for _, c := range []struct {
		value         float64
		running, want int
	}{
		{5, 0, 0}, {5.5, 0, 1}, {5, 3, 0}, {25, 0, 3},
	} {
		p := policy("web", 1, 0, 50, trigger)
		s := newScene(5).service(p, c.running).reads("web", c.value).tasks("web", c.running, 0)
		s.in.Memory = scale.Memory{Services: map[string]scale.ServiceMemory{"web": {SeenAt: noon.Add(-time.Second), Desired: c.running}}}
		if v := verdictOf(t, s.decide(), "web"); v.Want != c.want {
			t.Errorf("%v from %d tasks: want %d, not %d: %s", c.value, c.running, v.Want, c.want, v.Reason)
		}
	}
}

func TestTheLastTaskStaysUntilTheCooldownEnds(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1))
	p.Behavior.Cooldown = time.Minute
	s := newScene(5).service(p, 4).reads("web", 4).tasks("web", 4, 0)
	s.in.Memory = s.decide().Memory

	s.in.Now = noon.Add(30 * time.Second)
	s.reads("web", 0)
	plan := s.decide()
	if v := verdictOf(t, plan, "web"); v.Want != 1 || !plan.Recheck.Equal(noon.Add(time.Minute)) {
		t.Errorf("want %d and recheck at %s: %s", v.Want, plan.Recheck, v.Reason)
	}
	s.in.Memory, s.in.Now = plan.Memory, plan.Recheck
	check(t, s.decide(), "web", expect{0, 0, 0})
}

func TestLostHistoryShrinksNothing(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1))
	p.Behavior.DownWindow, p.Behavior.Cooldown = time.Minute, time.Minute
	s := newScene(5).service(p, 4).reads("web", 0).tasks("web", 4, 0)
	check(t, s.decide(), "web", expect{4, 4, 4})
}

func TestAnUnknownReadingHoldsTheCount(t *testing.T) {
	s := newScene(5).service(policy("web", 1, 0, 50, perTask(1)), 4).tasks("web", 4, 0).fails("web", "timeout")
	plan := s.decide()
	check(t, plan, "web", expect{4, 4, 4})
	if v := verdictOf(t, plan, "web"); v.Demand != nil || v.Triggers[0].Known {
		t.Errorf("an unknown demand is shown as %v", v.Demand)
	}
}

func TestAMissingReadingIsUnknown(t *testing.T) {
	s := newScene(5).service(policy("web", 1, 0, 50, perTask(1)), 4).tasks("web", 4, 0)
	check(t, s.decide(), "web", expect{4, 4, 4})
}

func TestAnAbsurdReadingIsUnknown(t *testing.T) {
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		if v := alone(t, policy("web", 1, 0, 50, perTask(1)), 4, value); v.Want != 4 || v.Triggers[0].Known {
			t.Errorf("%v wants %d: %s", value, v.Want, v.Reason)
		}
	}
}

func TestAKnownReadingMayStillRaiseWhatAnUnknownOneHolds(t *testing.T) {
	p := policy("web", 1, 0, 50, perTask(1), perTask(1))
	s := newScene(5).service(p, 4).tasks("web", 4, 0)
	for _, c := range []struct {
		value float64
		want  int
	}{{9, 9}, {1, 4}} {
		s.in.Readings["web"] = []scale.Reading{{Problem: "timeout"}, {Known: true, Value: c.value}}
		if v := verdictOf(t, s.decide(), "web"); v.Want != c.want {
			t.Errorf("unknown and %v want %d, not %d", c.value, v.Want, c.want)
		}
	}
}

func TestTheFailureCountRaisesAndNeverLowers(t *testing.T) {
	count := 6
	trigger := perTask(1)
	trigger.FailureCount = &count
	for running, want := range map[int]int{2: 6, 6: 6, 9: 9} {
		s := newScene(5).service(policy("web", 1, 0, 50, trigger), running).tasks("web", min(4, running), 0).fails("web", "timeout")
		if v := verdictOf(t, s.decide(), "web"); v.Want != want {
			t.Errorf("with %d tasks: want %d, not %d", running, v.Want, want)
		}
	}
}

func TestAFloorHoldsUntilItsTime(t *testing.T) {
	s := newScene(5).service(policy("web", 1, 0, 8, perTask(1)), 1).tasks("web", 1, 0).reads("web", 1)
	s.in.Overrides["web"] = scale.Override{Floor: 3, Until: noon.Add(time.Minute)}
	plan := s.decide()
	check(t, plan, "web", expect{3, 3, 3})
	if !plan.Recheck.Equal(noon.Add(time.Minute)) {
		t.Errorf("the recheck is at %s, not at the floor's end", plan.Recheck)
	}
	s.in.Now = noon.Add(time.Minute)
	check(t, s.decide(), "web", expect{1, 1, 1})
	s.in.Now = noon
	s.in.Overrides["web"] = scale.Override{Floor: 30, Until: noon.Add(time.Minute)}
	check(t, s.decide(), "web", expect{8, 8, 8})
}

func TestTheCountStaysWithinMinAndMax(t *testing.T) {
	for value, want := range map[float64]int{0: 2, 1: 2, 5: 5, 99: 8} {
		if v := alone(t, policy("web", 1, 2, 8, perTask(1)), 3, value); v.Want != want || v.Desired != want {
			t.Errorf("%v wants %d, not %d", value, v.Want, want)
		}
	}
}

func TestMoreProtectedTasksThanMaxAreKeptWithTheReason(t *testing.T) {
	s := newScene(5).service(policy("web", 1, 0, 2, perTask(1)), 4).tasks("web", 4, 0, protected).reads("web", 9)
	check(t, s.decide(), "web", expect{2, 4, 4})
}

func TestAServiceThatIsNotInTheClusterGetsNoChange(t *testing.T) {
	s := newScene(5)
	s.in.Policies = []scale.Policy{policy("web", 1, 1, 8, perTask(1))}
	s.reads("web", 4)
	plan := s.decide()
	check(t, plan, "web", expect{4, 0, 0})
	if len(plan.Changes) != 0 {
		t.Errorf("the plan changes %v", plan.Changes)
	}
}
