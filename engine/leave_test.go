package engine_test

import (
	"fmt"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

// workers is a service of so many running workers; cooperative ones are tagged.
func (c *cluster) workers(n int, cooperative bool) []string {
	c.t.Helper()
	c.create("worker", n, func(in *engine.CreateService) {
		in.Tags = map[string]string{plimsoll.TagCooperative: fmt.Sprint(cooperative)}
	})
	c.run()
	c.pass(2 * time.Minute)
	return c.with("worker", plimsoll.StatusRunning)
}

// writes has a worker write the desired count that it has read, less one.
func (c *cluster) writes(read int, caller string) {
	c.t.Helper()
	n := read - 1
	c.do(engine.UpdateService{Service: "worker", Desired: &n, Caller: caller})
}

// stoppedByScaleIn are the tasks that were told to go.
func (c *cluster) stoppedByScaleIn() int {
	n := 0
	for _, t := range c.m.Tasks("") {
		if t.StopCode == "ServiceSchedulerInitiated" {
			n++
		}
	}
	return n
}

// Twenty workers read 50, write 49 and exit, in any order that can be.
func TestTwentyWorkersThatTakeThemselvesOffLeaveTheRightCount(t *testing.T) {
	for _, known := range []bool{true, false} {
		for _, orderly := range []bool{true, false} {
			for _, killed := range []bool{true, false} {
				c := newHosts(t, 10)
				all := c.workers(50, !known)
				caller := func(id string) string {
					if known {
						return id
					}
					return ""
				}
				for n, id := range all[:20] {
					c.writes(50, caller(id))
					if orderly {
						c.step(c.exited(id, 0))
					}
					if killed && n == 10 {
						c.restart()
					}
				}
				c.pass(time.Second)
				if !orderly {
					for _, id := range all[:20] {
						c.step(c.exited(id, 0))
					}
				}
				c.run()
				c.pass(time.Minute)
				c.run()
				what := fmt.Sprintf("known %t, orderly %t, killed %t", known, orderly, killed)
				s, _ := c.m.Service("", "worker")
				equal(t, what+": desired", s.Desired, 30)
				equal(t, what+": running", len(c.with("worker", plimsoll.StatusRunning)), 30)
				equal(t, what+": stopped by the engine", c.stoppedByScaleIn(), 0)
				equal(t, what+": failures", s.Failures, 0)
				equal(t, what+": leaves", len(s.Leaves), 0)
				for _, id := range all[20:] {
					equal(t, what+": a busy worker", c.task(id).LastStatus, plimsoll.StatusRunning)
				}
				c.checkDisk()
			}
		}
	}
}

func TestAWorkerThatSaysItTwiceIsTakenOffOnce(t *testing.T) {
	for _, known := range []bool{true, false} {
		c := newHosts(t, 10)
		all := c.workers(5, !known)
		caller := ""
		if known {
			caller = all[2]
		}
		c.writes(5, caller)
		c.writes(5, caller) // a retry, whose first answer was lost
		c.step(c.exited(all[2], 0))
		c.run()
		c.pass(time.Minute)
		c.run()
		s, _ := c.m.Service("", "worker")
		equal(t, fmt.Sprintf("known %t: desired", known), s.Desired, 4)
		equal(t, "running", len(c.with("worker", plimsoll.StatusRunning)), 4)
	}
}

func TestAWorkerThatDoesNotExitIsStoppedItself(t *testing.T) {
	c := newHosts(t, 3)
	all := c.workers(5, false)
	c.writes(5, all[1])
	c.pass(9 * time.Second)
	equal(t, "while it is waited for", len(c.with("worker", plimsoll.StatusRunning)), 5)
	c.pass(2 * time.Second)
	equal(t, "the worker", c.task(all[1]).LastStatus, plimsoll.StatusDeactivating)
	equal(t, "the others", len(c.with("worker", plimsoll.StatusRunning)), 4)
}

func TestAScaleInThatNobodyExitsForChoosesInTheEnd(t *testing.T) {
	c := newHosts(t, 3)
	c.workers(5, true)
	c.writes(5, "")
	c.pass(9 * time.Second)
	equal(t, "while it is waited for", len(c.with("worker", plimsoll.StatusRunning)), 5)
	c.pass(2 * time.Second)
	equal(t, "then", len(c.with("worker", plimsoll.StatusRunning)), 4)
}

func TestAnOrdinaryScaleInDoesNotWait(t *testing.T) {
	c := newHosts(t, 3)
	c.workers(5, false)
	c.writes(5, "")
	equal(t, "of a service that is not cooperative", len(c.with("worker", plimsoll.StatusRunning)), 4)
	c = newHosts(t, 3)
	c.workers(5, true)
	c.desire("worker", 3)
	equal(t, "by more than one", len(c.with("worker", plimsoll.StatusRunning)), 3)
}

func TestAWorkerThatFailsIsNotOneThatHasTakenItselfOff(t *testing.T) {
	c := newHosts(t, 3)
	all := c.workers(5, true)
	c.writes(5, "")
	c.step(c.exited(all[0], 1))
	c.run()
	s, _ := c.m.Service("", "worker")
	equal(t, "leaves", len(s.Leaves), 1)
	equal(t, "running", len(c.with("worker", plimsoll.StatusRunning)), 4)
}
