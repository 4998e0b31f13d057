package engine_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
)

func TestRunTaskWithoutRoomFailsByName(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 400, 10)
	r := c.do(engine.RunTask{TaskDefinition: "job", Count: 3}).(*engine.RunTaskResult)
	equal(t, "tasks", len(r.Tasks), 2)
	equal(t, "failures", r.Failures, []engine.Failure{{
		Reason: "RESOURCE:CPU", Detail: "of the container instances 1 of 1 have less than 400 CPU units free",
	}})
	c.definition("hog", 10, 5000)
	r = c.do(engine.RunTask{TaskDefinition: "hog"}).(*engine.RunTaskResult)
	equal(t, "the hog's failure", r.Failures[0].Reason, "RESOURCE:MEMORY")
}

func TestRunTaskIsIdempotentByItsToken(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	run := engine.RunTask{TaskDefinition: "job", Count: 2, ClientToken: "once"}
	first := c.do(run).(*engine.RunTaskResult)
	c.restart()
	again := c.do(run).(*engine.RunTaskResult)
	equal(t, "tasks", []string{again.Tasks[0].ID, again.Tasks[1].ID}, []string{first.Tasks[0].ID, first.Tasks[1].ID})
	equal(t, "live tasks", c.m.Live(), 2)
	run.Count = 1
	equal(t, "refusal of another request", c.refused(run).Code, "ConflictException")
}

func TestTaskIDsAreThoseOfECSAndNeverComeTwice(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 1, 1)
	seen := map[string]bool{}
	for range 5 {
		for _, task := range c.do(engine.RunTask{TaskDefinition: "job", Count: 10}).(*engine.RunTaskResult).Tasks {
			if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(task.ID) || seen[task.ID] {
				t.Fatalf("task id %q", task.ID)
			}
			seen[task.ID] = true
		}
		c.run()
		c.do(engine.StopAll{})
		c.run()
		c.pass(2 * time.Hour) // the tasks are forgotten
		c.restart()
	}
}

func TestASpecIsCompleteAndOverridesHold(t *testing.T) {
	cfg := engine.Config{TaskEnv: func(id string, role bool) map[string]string {
		return map[string]string{"ECS_AGENT_URI": "http://127.0.0.1/" + id, "AWS_REGION": "engine"}
	}}
	c := newCluster(t, cfg)
	c.do(engine.CreateCluster{})
	c.hosts(1)
	c.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
		Family: "job", Memory: 512, Containers: []engine.ContainerDefinition{{
			Name: "main", Image: "busybox", Command: []string{"true"}, CPU: 100, Essential: true,
			Environment:  map[string]string{"A": "defined", "B": "defined", "AWS_REGION": "defined"},
			PortMappings: []engine.PortMapping{{ContainerPort: 80}},
		}},
	}})
	r := c.do(engine.RunTask{TaskDefinition: "job", Override: engine.TaskOverride{Containers: []engine.ContainerOverride{{
		Name: "main", Command: []string{"false"}, Environment: map[string]string{"B": "overridden"}, CPU: 300,
	}}}}).(*engine.RunTaskResult)
	id := r.Tasks[0].ID
	equal(t, "reserved", r.Tasks[0].Reserved, plimsoll.Resources{CPU: 300, Memory: 512})
	spec := c.last.Starts[0]
	equal(t, "address", spec.Address, "127.64.0.1")
	main := spec.Containers[0]
	equal(t, "environment", main.Env, map[string]string{
		"A": "defined", "B": "overridden", "AWS_REGION": "defined", "ECS_AGENT_URI": "http://127.0.0.1/" + id,
	})
	equal(t, "command", main.Command, []string{"false"})
	equal(t, "limits", []int64{main.CPU, main.Memory}, []int64{300, 512})
	equal(t, "stop time-out", main.StopTimeout, 30*time.Second)
	equal(t, "ports", main.Ports, []runtime.Port{{ContainerPort: 80, Protocol: "tcp"}})
	equal(t, "family label", main.Labels["com.amazonaws.ecs.task-definition-family"], "job")
	equal(t, "specs after a restart", reload(t, cfg, c.disk).Specs(), []runtime.Spec{spec})
}

func TestAnOverrideOfTheTaskChangesWhatItReservesAndItsRole(t *testing.T) {
	cfg := engine.Config{TaskEnv: func(_ string, role bool) map[string]string { return map[string]string{"ROLE": fmt.Sprint(role)} }}
	c := newCluster(t, cfg)
	c.do(engine.CreateCluster{})
	c.hosts(1)
	c.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
		Family: "job", CPU: 100, Memory: 100, Containers: []engine.ContainerDefinition{
			{Name: "main", Memory: 50, MemoryReservation: 40, Essential: true}, {Name: "side", Memory: 50},
		},
	}})
	r := c.do(engine.RunTask{TaskDefinition: "job", Override: engine.TaskOverride{
		CPU: 200, Memory: 300, TaskRoleARN: "arn:aws:iam::123456789012:role/other",
		Containers: []engine.ContainerOverride{{Name: "main", MemoryReservation: 45}},
	}}).(*engine.RunTaskResult)
	equal(t, "reserved", r.Tasks[0].Reserved, plimsoll.Resources{CPU: 200, Memory: 300})
	equal(t, "role", c.last.Starts[0].Containers[0].Env["ROLE"], "true")
	d, _ := c.m.TaskDefinition("job")
	equal(t, "memoryReservation", d.With(r.Tasks[0].Override).Containers[0].MemoryReservation, int64(45))
	equal(t, "the definition", d.CPU, int64(100))
	equal(t, "the task after a restart", reload(t, cfg, c.disk).Tasks("")[0].Override, r.Tasks[0].Override)
	for name, over := range map[string]engine.ContainerOverride{
		"above its memory":         {Name: "main", MemoryReservation: 51},
		"above the memory with it": {Name: "main", MemoryReservation: 60, Memory: 55},
		"less than nothing":        {Name: "main", MemoryReservation: -1},
	} {
		refusal := c.refused(engine.RunTask{TaskDefinition: "job", Override: engine.TaskOverride{Containers: []engine.ContainerOverride{over}}})
		equal(t, name, refusal.Code, "InvalidParameterException")
	}
}

func TestATokenInUseNamesTheTasksOfTheOtherRequest(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	r := c.do(engine.RunTask{TaskDefinition: "job", Count: 2, ClientToken: "x", ReferenceID: "one"}).(*engine.RunTaskResult)
	again := c.do(engine.RunTask{TaskDefinition: "job", Count: 2, ClientToken: "x", ReferenceID: "one"}).(*engine.RunTaskResult)
	equal(t, "tasks of the same request", []string{again.Tasks[0].ID, again.Tasks[1].ID}, []string{r.Tasks[0].ID, r.Tasks[1].ID})
	refusal := c.refused(engine.RunTask{TaskDefinition: "job", Count: 2, ClientToken: "x", ReferenceID: "two"})
	equal(t, "code", refusal.Code, "ConflictException")
	equal(t, "resources", refusal.Resources, []string{r.Tasks[0].ARN, r.Tasks[1].ARN})
}

func TestATaskThatEndsByItselfSaysHow(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10, 0)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
	equal(t, "status at first", job.LastStatus, plimsoll.StatusPending)
	c.run()
	task := c.task(job.ID)
	equal(t, "binding", task.Containers[0].Bindings, []engine.Binding{{ContainerPort: 80, HostPort: 20000, Address: "127.64.0.1", Protocol: "tcp"}})
	rebound := c.says(job.ID, runtime.Rebound).(engine.Observed)
	rebound.Event.Bindings[0].Address = "127.0.0.1"
	c.step(rebound)
	equal(t, "address", c.task(job.ID).Containers[0].Bindings[0].Address, "127.0.0.1")

	c.pass(time.Minute)
	c.step(c.exited(job.ID, 3))
	stopped := c.task(job.ID)
	equal(t, "stop code", stopped.StopCode, "EssentialContainerExited")
	equal(t, "reason", stopped.StoppedReason, "Essential container in task exited")
	equal(t, "exit code", *stopped.Containers[0].ExitCode, 3)
	equal(t, "stopped at", stopped.StoppedAt, c.now)
	equal(t, "what was read before is as it was", task.LastStatus, plimsoll.StatusRunning)
	c.restart()
	equal(t, "exit code after a restart", *c.task(job.ID).Containers[0].ExitCode, 3)
}

func TestAStandaloneTaskIsStoppedAtOnceAndOnlyOnce(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
	c.run()
	c.do(engine.StopTask{Task: job.ARN})
	equal(t, "stops", c.last.Stops, []string{job.ID})
	c.do(engine.StopTask{Task: job.ID, Reason: "again"})
	equal(t, "stops of the second call", len(c.last.Stops), 0)
	c.step(c.exited(job.ID, 137))
	equal(t, "reason", c.task(job.ID).StoppedReason, "Task stopped by user")
}

func TestATaskStoppedInTheStepThatPlacedItIsNeverStarted(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	fx := c.m.Step(c.now, []engine.Event{
		engine.Call{ID: 1, Command: engine.RunTask{TaskDefinition: "job"}},
		engine.Call{ID: 2, Command: engine.StopAll{}},
	})
	if len(fx.Starts) != 0 || len(fx.Stops) != 0 {
		t.Errorf("starts %+v, stops %v", fx.Starts, fx.Stops)
	}
	equal(t, "live tasks", c.m.Live(), 0)
}

func TestStoppedTasksAreKeptForATimeAndInABoundedNumber(t *testing.T) {
	c := newCluster(t, engine.Config{StoppedMax: 3, StoppedKeep: time.Hour})
	c.do(engine.CreateCluster{})
	c.hosts(1)
	c.definition("job", 1, 1)
	var ids []string
	for range 5 {
		job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
		c.run()
		c.pass(time.Second)
		c.step(c.exited(job.ID, 0))
		ids = append(ids, job.ID)
	}
	equal(t, "kept", len(c.m.Tasks("")), 3)
	equal(t, "forgotten last", c.last.Forgets, ids[1:2])
	c.pass(time.Hour - 2*time.Second)
	equal(t, "kept after nearly an hour", len(c.m.Tasks("")), 2)
	c.pass(2 * time.Second)
	equal(t, "kept after an hour", len(c.m.Tasks("")), 0)
	c.checkDisk()
}

// A promised start is made good: the record was written, the start never asked
// for.
func TestATaskOfWhichThereIsNoTraceAfterARestartIsStarted(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
	delete(c.tasks, job.ID)
	c.restart()
	if c.tasks[job.ID] == nil {
		t.Fatal("the task was not started")
	}
	c.run()
	equal(t, "status", c.task(job.ID).LastStatus, plimsoll.StatusRunning)
}

func TestAStopThatWasLostIsAskedForAgain(t *testing.T) {
	c := newHosts(t, 1)
	c.definition("job", 100, 10)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0]
	c.run()
	c.do(engine.StopTask{Task: job.ID})
	c.tasks[job.ID].stopping = false // the engine was killed before it was asked for
	c.restart()
	equal(t, "stopping", c.tasks[job.ID].stopping, true)
}

func TestWhatRunsAndIsKnownToNobodyIsStopped(t *testing.T) {
	c := newHosts(t, 1)
	fx := c.step(engine.Observed{Event: runtime.Event{TaskID: "stray", Kind: runtime.Started}})
	equal(t, "stops", fx.Stops, []string{"stray"})
}
