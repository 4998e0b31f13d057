package engine_test

import (
	"fmt"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

// newGroup is a cluster with a group of hosts of 1,000 CPU units and 1,000 MiB.
func newGroup(t failer, minimum, desired, most int) *cluster {
	c := newCluster(t, engine.Config{})
	c.do(engine.CreateCluster{})
	c.do(engine.CreateGroup{Group: engine.Group{
		Name: "g", Cluster: "default", Min: minimum, Max: most, Desired: desired, Type: "large",
		Zones: []string{"us-east-1a", "us-east-1b"}, Each: plimsoll.Resources{CPU: 1000, Memory: 1000},
	}})
	return c
}

func (c *cluster) group() *engine.Group {
	for _, g := range c.m.Groups() {
		if g.Name == "g" {
			return g
		}
	}
	return nil
}

// members is the group in short: "a:InService b:Pending".
func (c *cluster) members() string {
	words := ""
	for _, i := range c.group().Members {
		words += fmt.Sprintf("%s:%s ", i.Zone[len(i.Zone)-1:], i.State)
	}
	return words
}

func (c *cluster) setDesired(n int) {
	c.do(engine.UpdateGroup{Name: "g", Desired: &n})
}

func TestALaunchTakesItsTimeAndGoesToTheZoneWithTheFewest(t *testing.T) {
	c := newGroup(t, 0, 2, 10)
	equal(t, "members", c.members(), "a:Pending b:Pending ")
	equal(t, "hosts before the launch is over", len(c.m.Instances("")), 0)
	c.pass(2900 * time.Millisecond)
	equal(t, "hosts shortly before", len(c.m.Instances("")), 0)
	c.pass(100 * time.Millisecond)
	equal(t, "members", c.members(), "a:InService b:InService ")
	equal(t, "hosts", len(c.m.Instances("")), 2)
	i := c.m.Instances("")[0]
	equal(t, "the host's group", i.Attributes[engine.AttributeGroup], "g")
	equal(t, "the host's instance", i.EC2InstanceID, c.group().Members[0].InstanceID)
	c.setDesired(3)
	equal(t, "members", c.members(), "a:InService b:InService a:Pending ")
	c.setDesired(2)
	equal(t, "the one that is not there yet goes first", c.members(), "a:InService b:InService ")
	c.checkDisk()
}

func TestALaunchSurvivesAKill(t *testing.T) {
	c := newGroup(t, 0, 1, 10)
	c.pass(time.Second)
	c.restart()
	equal(t, "members", c.members(), "a:Pending ")
	c.pass(2 * time.Second)
	equal(t, "members", c.members(), "a:InService ")
	equal(t, "hosts", len(c.m.Instances("")), 1)
	c.restart()
	equal(t, "hosts after another kill", len(c.m.Instances("")), 1)
	c.checkDisk()
}

func TestTasksThatWaitAreStartedWhenTheLaunchedHostJoins(t *testing.T) {
	c := newGroup(t, 0, 0, 10)
	c.service("web", 2, 1, 600)
	c.run()
	c.expect("web", 0, 2)
	c.setDesired(2)
	c.pass(3 * time.Second)
	c.run()
	c.expect("web", 2, 0)
}

func TestATerminatedInstanceTakesItsTasksWithItAndIsNotReplacedAfterADecrement(t *testing.T) {
	c := newGroup(t, 1, 2, 10)
	c.pass(3 * time.Second)
	c.service("web", 2, 1, 400)
	c.run()
	first := c.group().Members[0].InstanceID
	c.do(engine.TerminateMember{InstanceID: first, Decrement: true})
	c.run()
	c.pass(time.Minute)
	c.run()
	equal(t, "members", c.members(), "b:InService ")
	equal(t, "desired", c.group().Desired, 1)
	equal(t, "hosts", len(c.m.Instances("")), 1)
	c.expect("web", 2, 0)
	refusal := c.refused(engine.TerminateMember{InstanceID: c.group().Members[0].InstanceID, Decrement: true})
	equal(t, "below the minimum", refusal.Code, "ValidationError")
	c.do(engine.TerminateMember{InstanceID: c.group().Members[0].InstanceID})
	c.run()
	c.pass(3 * time.Second)
	c.run()
	equal(t, "without a decrement another comes", c.members(), "a:InService ")
	c.expect("web", 2, 0)
	c.checkDisk()
}

func TestProtectedInstancesAreNotChosenToGo(t *testing.T) {
	c := newGroup(t, 0, 2, 10)
	c.pass(3 * time.Second)
	c.do(engine.ProtectMembers{Name: "g", InstanceIDs: []string{c.group().Members[0].InstanceID}, Protected: true})
	c.setDesired(0)
	equal(t, "members", c.members(), "a:InService ")
}

func TestAGroupIsRefusedWhatItCannotHave(t *testing.T) {
	c := newGroup(t, 1, 1, 2)
	three, zero := 3, 0
	for name, command := range map[string]engine.Command{
		"above the maximum":      engine.UpdateGroup{Name: "g", Desired: &three},
		"below the minimum":      engine.UpdateGroup{Name: "g", Desired: &zero},
		"a group twice":          engine.CreateGroup{Group: engine.Group{Name: "g"}},
		"an unknown group":       engine.UpdateGroup{Name: "h"},
		"an unknown instance":    engine.TerminateMember{InstanceID: "i-0"},
		"a group with instances": engine.DeleteGroup{Name: "g"},
		"a group without zones":  engine.CreateGroup{Group: engine.Group{Name: "h", Each: plimsoll.Resources{CPU: 1, Memory: 1}}},
	} {
		if refusal := c.refused(command); refusal == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}

func TestADeletedGroupGoesWithItsLastInstance(t *testing.T) {
	c := newGroup(t, 1, 2, 2)
	c.pass(3 * time.Second)
	c.service("web", 1, 1, 400)
	c.run()
	c.do(engine.DeleteGroup{Name: "g", Force: true})
	c.restart()
	c.run()
	c.pass(time.Minute)
	c.run()
	if g := c.group(); g != nil {
		t.Errorf("the group is there still: %s", c.members())
	}
	equal(t, "hosts", len(c.m.Instances("")), 0)
	c.checkDisk()
}

func TestTheEnginesOwnHostsAndThoseOfAGroupLeaveEachOtherAlone(t *testing.T) {
	c := newGroup(t, 0, 1, 2)
	c.pass(3 * time.Second)
	c.hosts(2)
	equal(t, "hosts", len(c.m.Instances("")), 3)
	c.hosts(0)
	equal(t, "hosts", len(c.m.Instances("")), 1)
	c.do(engine.DeregisterInstance{Instance: c.m.Instances("")[0].ARN})
	c.pass(3 * time.Second)
	equal(t, "a deregistered host is replaced", c.members(), "a:InService ")
	equal(t, "hosts", len(c.m.Instances("")), 1)
}
