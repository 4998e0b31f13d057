package engine_test

import (
	"slices"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

func (c *cluster) release(id string) {
	c.t.Helper()
	c.do(engine.TagResource{ARN: c.task(id).ARN, Set: map[string]string{plimsoll.TagReleased: c.now.Format(time.RFC3339)}})
}

func TestAReleasedTaskIsTheFirstToGo(t *testing.T) {
	c := newHosts(t, 3)
	c.service("work", 6, 1, 100)
	c.run()
	oldest := c.with("work", plimsoll.StatusRunning)[0]
	c.release(oldest)
	c.expect("work", 6, 0)
	c.desire("work", 5)
	c.run()
	c.expect("work", 5, 0)
	equal(t, "stopped", c.with("work", plimsoll.StatusStopped), []string{oldest})
}

func TestAReleasedTaskThatEndsIsNotReplaced(t *testing.T) {
	c := newHosts(t, 3)
	c.service("work", 6, 1, 100)
	c.run()
	ids := c.with("work", plimsoll.StatusRunning)
	for _, id := range ids[:3] {
		c.release(id)
		c.step(c.exited(id, 0)) // a second after its start, and that is no failure
	}
	c.run()
	c.expect("work", 3, 0)
	s, _ := c.m.Service("", "work")
	equal(t, "failures", s.Failures, 0)

	c.restart()
	c.run()
	c.expect("work", 3, 0)
	c.desire("work", 4) // two are counted out, one still is not
	c.run()
	c.expect("work", 3, 0)
	c.desire("work", 3)
	c.run()
	c.expect("work", 3, 0)
	equal(t, "running", c.with("work", plimsoll.StatusRunning), ids[3:])
	c.desire("work", 5)
	c.run()
	c.expect("work", 5, 0)
}

func TestAReleaseThatNobodyCountsEnds(t *testing.T) {
	c := newHosts(t, 3)
	c.service("work", 2, 1, 100)
	c.run()
	id := c.with("work", plimsoll.StatusRunning)[0]
	c.release(id)
	c.step(c.exited(id, 0))
	c.run()
	c.pass(9 * time.Minute)
	c.expect("work", 1, 0)
	c.pass(2 * time.Minute)
	c.run()
	c.expect("work", 2, 0)
}

func TestAReleaseThatIsTakenBackHasTheTaskReplaced(t *testing.T) {
	c := newHosts(t, 3)
	c.service("work", 2, 1, 100)
	c.run()
	id := c.with("work", plimsoll.StatusRunning)[0]
	c.release(id)
	c.step(c.exited(id, 0))
	c.do(engine.TagResource{ARN: c.task(id).ARN, Remove: []string{plimsoll.TagReleased}})
	c.run()
	c.expect("work", 2, 0)
}

func TestAReleasedTaskCannotBeProtectedAgain(t *testing.T) {
	c := newHosts(t, 1)
	c.service("work", 2, 1, 100)
	c.run()
	id := c.with("work", plimsoll.StatusRunning)[0]
	c.release(id)
	r := c.do(engine.UpdateTaskProtection{Tasks: []string{id}, Enabled: true}).(*engine.ProtectionResult)
	if len(r.Failures) != 1 || r.Failures[0].Reason != "TASK_NOT_VALID" {
		t.Errorf("%+v", r)
	}
	if !slices.Contains(c.with("work", plimsoll.StatusRunning), id) {
		t.Error("the task was stopped")
	}
}

func TestAReleasedTaskThatIsStoppedByNameIsNotReplaced(t *testing.T) {
	c := newHosts(t, 3)
	c.service("work", 6, 1, 100)
	c.run()
	ids := c.with("work", plimsoll.StatusRunning)
	for _, id := range ids[:3] {
		c.release(id)
	}
	c.desire("work", 5) // any of the three may go for this
	for _, id := range ids[:2] {
		c.do(engine.StopTask{Task: id})
	}
	c.restart()
	c.run()
	c.desire("work", 4)
	c.desire("work", 3)
	c.run()
	equal(t, "running", c.with("work", plimsoll.StatusRunning), ids[3:])
	equal(t, "tasks", len(c.m.Tasks("")), 6)
}
