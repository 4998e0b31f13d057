package scale_test

import (
	"strings"
	"testing"

	"plimsoll"
	"plimsoll/scale"
)

// graphics gives hosts GPUs, as many each as are named.
func (c *scene) graphics(gpus ...int64) *scene {
	for i, n := range gpus {
		h := &c.in.Cluster.Instances[i]
		h.Registered.GPU, h.Remaining.GPU = n, n
	}
	return c
}

// drawer is a service of tasks with a GPU each.
func drawer(name string, priority int) scale.Policy {
	p := policy(name, priority, 0, 20, perTask(1))
	p.Reserved = plimsoll.Resources{CPU: 128, Memory: 128, GPU: 1}
	return p
}

func TestGPUsAreDividedToo(t *testing.T) {
	c := newScene(3).graphics(0, 2, 1).service(drawer("train", 1), 0).reads("train", 5)
	plan := c.decide()
	check(t, plan, "train", expect{5, 3, 3})
	if v := verdictOf(t, plan, "train"); !strings.Contains(v.Reason, "3 of 3 have less than 1 GPU free") {
		t.Errorf("the reason does not say what is short: %s", v.Reason)
	}
}

func TestAGPUIsTakenOnlyFromATaskThatHasOne(t *testing.T) {
	c := newScene(2).graphics(1, 0).service(drawer("train", 1), 0).service(drawer("batch", 3), 1).service(filler("filler", 4, 0, 9), 4)
	c.tasks("batch", 1, 0).tasks("filler", 4, 1).reads("train", 1).reads("batch", 1)
	plan := c.decide()
	check(t, plan, "train", expect{1, 1, 0})
	check(t, plan, "batch", expect{1, 0, 0})
	check(t, plan, "filler", expect{9, 7, 4})
}

// onPort gives a task fixed host ports.
func onPort(ports ...int) taskOption { return func(t *plimsoll.Task) { t.Ports = ports } }

// fixed gives a service of the cluster fixed host ports.
func (c *scene) fixed(service string, ports ...int) *scene {
	c.state(service).Ports = ports
	return c
}

func TestAFixedPortHasOneTaskAHost(t *testing.T) {
	c := newScene(3).service(policy("edge", 1, 0, 20, perTask(1)), 1).fixed("edge", 80).tasks("edge", 1, 0, onPort(80)).reads("edge", 5)
	plan := c.decide()
	check(t, plan, "edge", expect{5, 3, 3})
	if v := verdictOf(t, plan, "edge"); !strings.Contains(v.Reason, "3 of 3 have a port in use that the task needs (80)") {
		t.Errorf("the reason does not say what is short: %s", v.Reason)
	}
}

func TestAPortIsFreedByTheTaskThatHoldsIt(t *testing.T) {
	// There is CPU and memory on all hosts; what web lacks is the port.
	c := newScene(2).
		service(policy("web", 1, 0, 20, perTask(1)), 0).fixed("web", 443, 80).
		service(filler("old", 3, 0, 2), 2).fixed("old", 80).
		service(filler("other", 4, 0, 2), 2).fixed("other", 8125).
		tasks("old", 1, 0, onPort(80)).tasks("old", 1, 1, onPort(80)).
		tasks("other", 1, 0, onPort(8125)).tasks("other", 1, 1, onPort(8125)).reads("web", 1)
	plan := c.decide()
	check(t, plan, "web", expect{1, 1, 0})
	check(t, plan, "old", expect{2, 1, 1})
	check(t, plan, "other", expect{2, 2, 2})
	if v := verdictOf(t, plan, "web"); !strings.Contains(v.Reason, "1 waits for 1 task of old (priority 3) to stop") {
		t.Errorf("the reason does not say for whom it waits: %s", v.Reason)
	}
}

func TestAProtectedTaskKeepsItsPort(t *testing.T) {
	c := newScene(1).
		service(policy("web", 1, 0, 20, perTask(1)), 0).fixed("web", 80).
		service(filler("old", 3, 0, 2), 1).fixed("old", 80).
		tasks("old", 1, 0, onPort(80), protected).reads("web", 1)
	plan := c.decide()
	check(t, plan, "web", expect{1, 0, 0})
	check(t, plan, "old", expect{2, 1, 1})
}
