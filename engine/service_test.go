package engine_test

import (
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
)

func TestAServiceHoldsItsDesiredCount(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 3, 1, 100)
	c.run()
	c.expect("web", 3, 0)
	equal(t, "steady state events", c.said("web", "has reached a steady state"), 1)

	c.pass(2 * time.Minute)
	c.step(c.exited(c.with("web", plimsoll.StatusRunning)[0], 1))
	c.expect("web", 2, 1)
	c.run()
	c.expect("web", 3, 0)
}

func TestTasksAreSpreadOverTheZones(t *testing.T) {
	c := newHosts(t, 6)
	c.service("web", 6, 1, 100)
	zones := map[string]int{}
	for _, task := range c.m.Tasks("") {
		zones[task.Zone]++
	}
	equal(t, "tasks by zone", zones, map[string]int{"us-east-1a": 2, "us-east-1b": 2, "us-east-1c": 2})
}

func TestTasksThatFindNoRoomWaitAndStartWhenThereIs(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 10, 1, 200)
	c.run()
	c.expect("web", 5, 5)
	equal(t, "shortage events", c.said("web", "1 of 1 have less than 200 CPU units free"), 1)

	c.pass(10 * time.Second)
	equal(t, "shortage events after a while", c.said("web", "was unable to place a task"), 1)
	c.hosts(2)
	c.run()
	c.expect("web", 10, 0)
}

func TestTheHighestPriorityThenTheOldestStartsFirst(t *testing.T) {
	c := newHosts(t, 1)
	c.service("full", 5, 1, 200)
	c.service("batch", 1, 3, 200)
	c.service("late", 1, 2, 200)
	c.service("urgent", 2, 1, 200)
	c.run()
	c.expect("urgent", 0, 2)
	for _, want := range []struct{ urgent, late, batch int }{{1, 0, 0}, {2, 0, 0}, {2, 1, 0}, {2, 1, 1}} {
		running, _ := c.counts("full")
		c.desire("full", running-1)
		c.run()
		c.expect("urgent", want.urgent, 2-want.urgent)
		c.expect("late", want.late, 1-want.late)
		c.expect("batch", want.batch, 1-want.batch)
	}
}

func TestWhatFitsIsNotHeldUpByWhatDoesNot(t *testing.T) {
	c := newHosts(t, 1)
	c.service("huge", 1, 1, 5000)
	c.service("small", 1, 3, 100)
	c.run()
	c.expect("huge", 0, 1)
	c.expect("small", 1, 0)
}

func TestASecondCopyWithTheSameHostPortWaitsAndSaysWhy(t *testing.T) {
	c := newHosts(t, 1)
	d := c.definition("fixed", 10, 10, 8080)
	c.do(engine.CreateService{Name: "fixed", TaskDefinition: d, Desired: 2})
	c.run()
	c.expect("fixed", 1, 1)
	equal(t, "events", c.said("fixed", "1 of 1 have a port in use that the task needs (8080)"), 1)
}

func TestScaleInTakesTheUnplacedThenTheYoungestOfTheFullestZone(t *testing.T) {
	c := newHosts(t, 3)
	c.service("web", 17, 1, 200) // 15 fit: five in each zone
	c.run()
	c.expect("web", 15, 2)
	c.desire("web", 15)
	c.expect("web", 15, 0)

	running := c.with("web", plimsoll.StatusRunning)
	c.desire("web", 12)
	left := c.with("web", plimsoll.StatusRunning)
	equal(t, "what is left", left, running[:12])
}

func TestScaleInNeverTakesAProtectedTask(t *testing.T) {
	c := newHosts(t, 3)
	c.service("mailer", 6, 1, 100)
	c.run()
	running := c.with("mailer", plimsoll.StatusRunning)
	busy := running[3:]
	c.protect(busy...)

	c.desire("mailer", 1)
	c.run()
	equal(t, "what runs", c.with("mailer", plimsoll.StatusRunning), busy)
	s, _ := c.m.Service("", "mailer")
	equal(t, "the desired count", s.Desired, 1)
	equal(t, "events", c.said("mailer", "unable to scale in to 1 tasks: 3 tasks are protected"), 1)

	c.do(engine.UpdateTaskProtection{Tasks: busy[:1]})
	c.run()
	equal(t, "what runs once one is idle", c.with("mailer", plimsoll.StatusRunning), busy[1:])

	c.pass(121 * time.Minute)
	c.run()
	c.expect("mailer", 1, 0)
}

func TestAProtectedTaskIsStoppedByAPersonAllTheSame(t *testing.T) {
	c := newHosts(t, 1)
	c.service("mailer", 1, 1, 100)
	c.run()
	id := c.with("mailer", plimsoll.StatusRunning)[0]
	c.protect(id)
	c.do(engine.StopTask{Task: id, Reason: "by hand"})
	c.run()
	task := c.task(id)
	equal(t, "status", task.LastStatus, plimsoll.StatusStopped)
	equal(t, "stop code", task.StopCode, "UserInitiated")
	equal(t, "reason", task.StoppedReason, "by hand")
	c.expect("mailer", 1, 0)
}

func TestARunningTaskOfAServiceIsDrainedBeforeItIsStopped(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	c.run()
	id := c.with("web", plimsoll.StatusRunning)[0]
	c.desire("web", 0)
	equal(t, "drains", c.last.Drains, []engine.Drain{{TaskID: id, TaskARN: c.task(id).ARN, Service: "web", Deadline: c.now.Add(10 * time.Second)}})
	equal(t, "status", c.task(id).LastStatus, plimsoll.StatusDeactivating)
	equal(t, "stops", len(c.last.Stops), 0)

	fx := c.step(engine.Drained{TaskID: id})
	equal(t, "stops after the drain", fx.Stops, []string{id})
	equal(t, "capacity while it stops", c.m.Remaining(c.task(id).ContainerInstance).CPU, int64(900))
	c.step(c.exited(id, 0))
	task := c.task(id)
	equal(t, "status", task.LastStatus, plimsoll.StatusStopped)
	equal(t, "capacity", c.m.Remaining(task.ContainerInstance).CPU, int64(1000))
	equal(t, "exit code", *task.Containers[0].ExitCode, 0)
	equal(t, "stop code", task.StopCode, "ServiceSchedulerInitiated")
}

func TestADrainThatDoesNotEndIsEndedAtItsDeadline(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	c.run()
	id := c.with("web", plimsoll.StatusRunning)[0]
	c.desire("web", 0)
	c.pass(9 * time.Second)
	equal(t, "status before the deadline", c.task(id).LastStatus, plimsoll.StatusDeactivating)
	c.pass(time.Second)
	equal(t, "status at the deadline", c.task(id).LastStatus, plimsoll.StatusStopping)
	equal(t, "stopped", c.tasks[id].stopping, true)
}

func TestFailedStartsAreTriedAgainWithADoublingDelay(t *testing.T) {
	c := newHosts(t, 1)
	c.service("broken", 1, 1, 100)
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		id := c.with("broken", plimsoll.StatusPending)[0]
		delete(c.tasks, id)
		c.step(c.says(id, runtime.StartFailed))
		equal(t, "stop code", c.task(id).StopCode, "TaskFailedToStart")
		c.expect("broken", 0, 0)
		c.pass(wait*time.Second - time.Millisecond)
		c.expect("broken", 0, 0)
		c.pass(time.Millisecond)
		c.expect("broken", 0, 1)
	}
	equal(t, "events", c.said("broken", "the next start is in 1m0s"), 2)
}

func TestARunOfAMinuteEndsTheBackOff(t *testing.T) {
	c := newHosts(t, 1)
	c.service("flaky", 1, 1, 100)
	c.run()
	c.step(c.exited(c.with("flaky", plimsoll.StatusRunning)[0], 1))
	c.pass(time.Second)
	c.run()
	s, _ := c.m.Service("", "flaky")
	equal(t, "failures", s.Failures, 1)
	c.pass(time.Minute)
	s, _ = c.m.Service("", "flaky")
	equal(t, "failures after a minute's run", s.Failures, 0)
	c.step(c.exited(c.with("flaky", plimsoll.StatusRunning)[0], 1))
	c.expect("flaky", 0, 1)
}

func TestFailuresOfOneRoundCountOnce(t *testing.T) {
	c := newHosts(t, 1)
	c.service("broken", 5, 1, 100)
	for _, id := range c.with("broken", plimsoll.StatusPending) {
		delete(c.tasks, id)
		c.step(c.says(id, runtime.StartFailed))
	}
	s, _ := c.m.Service("", "broken")
	equal(t, "failures", s.Failures, 1)
	equal(t, "failed tasks of the deployment", s.Deployments[0].FailedTasks, 5)
}

func TestAServiceIsDeletedWhenItsTasksAreGone(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 2, 1, 100)
	c.run()
	refusal := c.refused(engine.DeleteService{Service: "web"})
	equal(t, "refusal", refusal.Message, "The service cannot be stopped while it is scaled above 0.")

	s := c.do(engine.DeleteService{Service: "web", Force: true}).(*engine.Service)
	equal(t, "status", s.Status, "DRAINING")
	refusal = c.refused(engine.CreateService{Name: "web", TaskDefinition: "web"})
	equal(t, "refusal", refusal.Message, "Unable to Start a service that is still Draining.")
	equal(t, "refusal of an update", c.refused(engine.UpdateService{Service: "web"}).Code, "ServiceNotActiveException")
	c.run()
	s, _ = c.m.Service("", "web")
	equal(t, "status", s.Status, "INACTIVE")

	c.do(engine.CreateService{Name: "web", TaskDefinition: "web", Desired: 1})
	c.run()
	c.expect("web", 1, 0)
	c.checkDisk()
}

func TestAnInactiveServiceIsForgottenAfterAnHour(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 0, 1, 100)
	c.do(engine.DeleteService{Service: "web"})
	c.pass(time.Hour)
	if s, ok := c.m.Service("", "web"); ok {
		t.Errorf("the service is still there: %+v", s)
	}
	for key := range c.disk {
		if len(key) > 5 && (key[:5] == "event" || key[:5] == "servi") {
			t.Errorf("%q is still on record", key)
		}
	}
}

func TestCreateServiceIsIdempotentByItsToken(t *testing.T) {
	c := newHosts(t, 1)
	d := c.definition("web", 100, 10)
	first := c.do(engine.CreateService{Name: "web", TaskDefinition: d, Desired: 1, ClientToken: "x"}).(*engine.Service)
	again := c.do(engine.CreateService{Name: "web", TaskDefinition: d, Desired: 1, ClientToken: "x"}).(*engine.Service)
	equal(t, "ARN", again.ARN, first.ARN)
	refusal := c.refused(engine.CreateService{Name: "web", TaskDefinition: d, Desired: 1})
	equal(t, "refusal", *refusal, engine.Error{Code: "InvalidParameterException", Message: "Creation of service was not idempotent."})
	c.run()
	c.expect("web", 1, 0)
}

func TestNothingIsStartedOnceAllIsStopped(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 2, 1, 400)
	c.service("waiting", 2, 2, 400)
	c.run()
	c.protect(c.with("web", plimsoll.StatusRunning)[0])
	c.do(engine.StopAll{Reason: "shutting down"})
	c.run()
	equal(t, "live tasks", c.m.Live(), 0)
	equal(t, "refusal", c.refused(engine.RunTask{TaskDefinition: "web"}).Code, "ServerException")

	c.restart()
	c.run()
	c.expect("web", 2, 0)
}
