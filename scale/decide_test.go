package scale_test

import (
	"testing"

	"plimsoll"
	"plimsoll/scale"
)

// expect is what a verdict has to say.
type expect struct{ want, grant, desired int }

func check(t *testing.T, p scale.Plan, service string, e expect) {
	t.Helper()
	v := verdictOf(t, p, service)
	if got := (expect{v.Want, v.Grant, v.Desired}); got != e {
		t.Errorf("%s: want, grant, desired are %v, not %v: %s", service, got, e, v.Reason)
	}
}

func TestASpikeTakesTheRemainderDownAndWaitsForItsRoom(t *testing.T) {
	c := newScene(3).
		service(policy("web", 1, 1, 20, perTask(4)), 1).
		service(filler("thumbs", 3, 0, 30), 11).
		tasks("web", 1, 0).tasks("thumbs", 3, 0).tasks("thumbs", 4, 1).tasks("thumbs", 4, 2).
		reads("web", 18)
	plan := c.decide()
	check(t, plan, "web", expect{want: 5, grant: 5, desired: 1})
	check(t, plan, "thumbs", expect{want: 30, grant: 7, desired: 7})
	if len(plan.Changes) != 1 || plan.Changes[0].Service != "thumbs" {
		t.Errorf("the plan changes %v, not thumbs alone", plan.Changes)
	}
}

func TestFreedRoomIsAskedForWhenItIsSeenToBeFree(t *testing.T) {
	c := newScene(3).
		service(policy("web", 1, 1, 20, perTask(4)), 1).
		service(filler("thumbs", 3, 0, 30), 7).
		tasks("web", 1, 0).tasks("thumbs", 3, 0).
		tasks("thumbs", 2, 1).tasks("thumbs", 2, 1, leaving).
		tasks("thumbs", 2, 2).
		reads("web", 18)
	plan := c.decide()
	check(t, plan, "web", expect{want: 5, grant: 5, desired: 3})
	check(t, plan, "thumbs", expect{want: 30, grant: 7, desired: 7})
}

func TestALowerPriorityNeverTakesFromAHigherOne(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 4).
		service(policy("mail", 2, 0, 20, perTask(1)), 0).
		tasks("web", 4, 0).
		reads("web", 4).reads("mail", 9)
	plan := c.decide()
	check(t, plan, "web", expect{4, 4, 4})
	check(t, plan, "mail", expect{9, 0, 0})
}

func TestAServiceAtItsMinimumIsNotTaken(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 3, 20, perTask(1)), 4).
		tasks("mail", 4, 0).
		reads("web", 5).reads("mail", 9)
	plan := c.decide()
	check(t, plan, "web", expect{5, 1, 0})
	check(t, plan, "mail", expect{9, 3, 3})
}

func TestAProtectedTaskIsNotTaken(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 0, 20, perTask(1)), 4).
		tasks("mail", 3, 0, protected).tasks("mail", 1, 0).
		reads("web", 5).reads("mail", 0)
	plan := c.decide()
	check(t, plan, "mail", expect{0, 3, 3})
	check(t, plan, "web", expect{5, 1, 0})
}

func TestAStandaloneTaskHoldsItsPlace(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 2, 20, perTask(1)), 0).
		tasks("", 3, 0).
		reads("web", 5)
	check(t, c.decide(), "web", expect{5, 1, 1})
}

func TestADrainingHostTakesNoNewTasks(t *testing.T) {
	c := newScene(2).service(policy("web", 1, 0, 20, perTask(1)), 0).reads("web", 8)
	c.in.Cluster.Instances[0].Status = plimsoll.InstanceDraining
	check(t, c.decide(), "web", expect{8, 4, 4})
}

func TestAVictimThatFreesNoUsableRoomIsNotTaken(t *testing.T) {
	// The only host that could hold the large task is full of protected ones.
	c := newScene(2).
		service(scale.Policy{Service: "large", Priority: 1, Max: 1, Reserved: big, Triggers: []scale.Trigger{perTask(1)}}, 0).
		service(policy("thumbs", 3, 0, 8, perTask(1)), 6).
		tasks("thumbs", 1, 0, protected).tasks("thumbs", 2, 0).
		tasks("thumbs", 1, 1, protected).tasks("thumbs", 2, 1).
		reads("large", 1).reads("thumbs", 6)
	plan := c.decide()
	check(t, plan, "large", expect{1, 0, 0})
	check(t, plan, "thumbs", expect{6, 6, 6})
}

func TestEqualsShareWhatIsFree(t *testing.T) {
	c := newScene(2).
		service(policy("a", 2, 0, 20, perTask(1)), 0).
		service(policy("b", 2, 0, 20, perTask(1)), 0).
		reads("a", 20).reads("b", 20)
	plan := c.decide()
	check(t, plan, "a", expect{20, 4, 4})
	check(t, plan, "b", expect{20, 4, 4})
}

func TestAnEqualDoesNotStarve(t *testing.T) {
	c := newScene(2).
		service(policy("a", 2, 0, 20, perTask(1)), 8).
		service(policy("b", 2, 0, 20, perTask(1)), 0).
		tasks("a", 4, 0).tasks("a", 4, 1).
		reads("a", 20).reads("b", 20)
	plan := c.decide()
	check(t, plan, "a", expect{20, 4, 4})
	check(t, plan, "b", expect{20, 4, 0})
}

func TestAPausedServiceKeepsItsCount(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 2).
		tasks("web", 2, 0).reads("web", 0)
	c.in.Overrides["web"] = scale.Override{Paused: true}
	check(t, c.decide(), "web", expect{0, 2, 2})
}

func TestAMinimumComesBeforeAnotherServicesWants(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 1, 20), 0).
		reads("web", 20)
	plan := c.decide()
	check(t, plan, "web", expect{20, 3, 3})
	check(t, plan, "mail", expect{1, 1, 1})
}

func TestOfTwoMinimaTheHigherPriorityWins(t *testing.T) {
	c := newScene(1).
		service(policy("mail", 2, 4, 20), 4).
		service(policy("web", 1, 2, 20), 0).
		tasks("mail", 4, 0)
	plan := c.decide()
	check(t, plan, "mail", expect{4, 2, 2})
	check(t, plan, "web", expect{2, 2, 0})
}

func TestAClusterWithoutInstancesDividesNothing(t *testing.T) {
	c := newScene(0).service(policy("web", 1, 0, 20, perTask(1)), 3).reads("web", 9)
	check(t, c.decide(), "web", expect{9, 9, 9})
}

func TestTasksThatWaitForAHostHoldNoRoom(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 0, 20, perTask(1)), 5).
		tasks("mail", 2, 0).tasks("mail", 3, -1).
		reads("web", 2).reads("mail", 5)
	plan := c.decide()
	// What mail is owed may be placed before web's: first it is withdrawn.
	check(t, plan, "web", expect{2, 2, 0})
	check(t, plan, "mail", expect{5, 2, 2})
}

func TestTheReplacementsOfADrainingHostsTasksGetTheirRoom(t *testing.T) {
	c := newScene(2).
		service(policy("web", 1, 0, 20, perTask(1)), 2).
		service(policy("mail", 2, 0, 20, perTask(1)), 4).
		tasks("web", 2, 0).tasks("mail", 4, 1).
		reads("web", 2).reads("mail", 4)
	c.in.Cluster.Instances[0].Status = plimsoll.InstanceDraining
	plan := c.decide()
	check(t, plan, "web", expect{2, 2, 2})
	check(t, plan, "mail", expect{4, 2, 2})
}

func TestADrainWithoutRoomElsewhereLowersNoCount(t *testing.T) {
	c := newScene(2).
		service(policy("web", 2, 0, 20, perTask(1)), 2).
		service(policy("mail", 1, 0, 20, perTask(1)), 4).
		tasks("web", 2, 0).tasks("mail", 4, 1).
		reads("web", 2).reads("mail", 4)
	c.in.Cluster.Instances[0].Status = plimsoll.InstanceDraining
	plan := c.decide()
	check(t, plan, "web", expect{2, 2, 2})
	check(t, plan, "mail", expect{4, 4, 4})
}

func TestNothingStartsThatThePlatformCouldPutInAHigherOnesPlace(t *testing.T) {
	wide, narrow := plimsoll.Resources{CPU: 128, Memory: 256}, plimsoll.Resources{CPU: 128, Memory: 64}
	scene := func() *scene {
		c := newScene(2).
			service(scale.Policy{Service: "mail", Priority: 1, Max: 1, Reserved: wide, Triggers: []scale.Trigger{perTask(1)}}, 0).
			service(scale.Policy{Service: "thumbs", Priority: 3, Max: 1, Reserved: narrow, Triggers: []scale.Trigger{perTask(1)}}, 0).
			reads("mail", 1).reads("thumbs", 1)
		// Both fit on the first host, though not together; thumbs alone fits on
		// the second.
		return c.
			tasks("", 1, 0, sized(plimsoll.Resources{CPU: 832, Memory: 448})).
			tasks("", 1, 1, sized(plimsoll.Resources{CPU: 512, Memory: 832}))
	}
	c := scene()
	plan := c.decide()
	check(t, plan, "mail", expect{1, 1, 1})
	check(t, plan, "thumbs", expect{1, 1, 0})

	// When mail has its place, thumbs can have the other.
	c.state("mail").Desired = 1
	c.tasks("mail", 1, 0, starting)
	check(t, c.decide(), "thumbs", expect{1, 1, 1})
}

func TestOfEqualSizesAllStartTogether(t *testing.T) {
	c := newScene(2).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 0, 20, perTask(1)), 0).
		service(filler("thumbs", 3, 0, 30), 0).
		reads("web", 3).reads("mail", 2)
	plan := c.decide()
	check(t, plan, "web", expect{3, 3, 3})
	check(t, plan, "mail", expect{2, 2, 2})
	check(t, plan, "thumbs", expect{30, 3, 3})
}

// A host that comes or goes while a snapshot is read is missing in it, and its tasks
// are not.
func TestATaskOnAHostThatIsNotSeenCountsWithoutAPlaceOfItsOwn(t *testing.T) {
	for demand, want := range map[float64]expect{4: {1, 1, 1}, 8: {2, 2, 2}, 12: {3, 3, 3}, 40: {10, 5, 4}} {
		c := newScene(1).service(policy("web", 1, 0, 20, perTask(4)), 2).tasks("web", 2, 0).reads("web", demand)
		c.in.Cluster.Tasks[1].ContainerInstance = "ci/unseen"
		c.in.Cluster.Instances[0].Remaining = big.Sub(small)
		check(t, c.decide(), "web", want)
	}
}
